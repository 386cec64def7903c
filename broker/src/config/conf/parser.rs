//! The grammar of the configuration format: entries, maps, arrays, variables, includes.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::diagnostic::{Diagnostic, Severity, in_order};
use super::digest::digest;
use super::lexer::{Fault, Lexer, Scalar};
use super::source::{Place, Sources};
use super::{
    CONFIGURATION_BYTES_MAX, DEPTH_MAX, Entry, Map, Node, SOURCES_MAX, Surroundings, Value,
};

/// A configuration file with all that it includes.
#[derive(Debug)]
pub struct Document {
    /// Everything that is written.
    pub map: Map,
    /// The name of the file.
    pub name: String,
    sources: Sources,
}

impl Document {
    /// Reads the file at `path`, the files it includes and the variables it names.
    ///
    /// # Errors
    /// What stands in the way, in the order of the places; never an empty list. A word out of
    /// place ends the reading, a variable that does not exist does not.
    pub fn read(path: &Path, surroundings: &dyn Surroundings) -> Result<Self, Vec<Diagnostic>> {
        let name = path.display().to_string();
        let mut shared = Shared {
            sources: Sources::default(),
            diagnostics: Vec::new(),
            bytes_left: CONFIGURATION_BYTES_MAX,
            references: Vec::new(),
            surroundings,
        };
        let map = shared
            .open(path)
            .map_err(|error| Some(Diagnostic::new(Severity::Error, "", error)))
            .and_then(|source| shared.parse(source, &directory_of(path), 0));
        let map = map.unwrap_or_else(|last| {
            shared.diagnostics.extend(last);
            Map::default()
        });
        if shared.diagnostics.is_empty() {
            Ok(Self { map, name, sources: shared.sources })
        } else {
            Err(in_order(shared.diagnostics))
        }
    }

    /// The digest that nats-server gives the same configuration.
    pub fn digest(&self) -> String {
        digest(&self.map)
    }

    /// A message about a place in this document.
    pub fn diagnostic(
        &self,
        place: Place,
        severity: Severity,
        text: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::at(&self.sources, place, severity, text)
    }
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// What all texts of one configuration have in common.
struct Shared<'a> {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    /// Of [`CONFIGURATION_BYTES_MAX`].
    bytes_left: usize,
    /// The environment variables that are being read, the outermost first.
    references: Vec<String>,
    surroundings: &'a dyn Surroundings,
}

impl Shared<'_> {
    fn open(&mut self, path: &Path) -> Result<usize, String> {
        let name = path.display().to_string();
        let text = self
            .surroundings
            .file(path, self.bytes_left)
            .map_err(|error| format!("cannot read configuration file {name}: {error}"))?;
        self.add(name, text, true)
    }

    fn add(&mut self, name: String, text: Vec<u8>, is_shown: bool) -> Result<usize, String> {
        if self.sources.len() == SOURCES_MAX {
            return Err(format!("more than {SOURCES_MAX} files and variables are used"));
        }
        if !self.spend(text.len()) {
            return Err(too_large());
        }
        Ok(self.sources.add(name, text, is_shown))
    }

    /// Takes `bytes` from what may still be used.
    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Parses one of the texts at a nesting of `depth`.
    ///
    /// An error without a message has been reported.
    fn parse(
        &mut self,
        source: usize,
        directory: &Path,
        depth: usize,
    ) -> Result<Map, Option<Diagnostic>> {
        let text = Rc::clone(&self.sources.get(source).text);
        let mut parser = Parser {
            lexer: Lexer::new(&text),
            source,
            directory,
            scopes: vec![Map::default()],
            shared: self,
        };
        let result = match memchr::memchr(0, &text) {
            Some(at) => Err(Fault::new(at..at + 1, "a NUL byte is not allowed").into()),
            None => parser.top(depth),
        };
        let map = parser.scopes.swap_remove(0);
        match result {
            Ok(()) => Ok(map),
            Err(Stop::Reported) => Err(None),
            Err(Stop::Fault(fault)) => {
                let place = Place { source, start: fault.range.start, end: fault.range.end };
                Err(Some(Diagnostic::at(&self.sources, place, Severity::Error, fault.text)))
            }
        }
    }
}

/// Why the reading of a text ended early.
enum Stop {
    Fault(Fault),
    /// Another text is at fault, and that has been reported.
    Reported,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn too_large() -> String {
    format!("the configuration is larger than {} MiB", CONFIGURATION_BYTES_MAX / 1024 / 1024)
}

/// One text while it is read.
struct Parser<'a, 'shared, 'world> {
    lexer: Lexer<'a>,
    source: usize,
    /// Of the file, for includes.
    directory: &'a Path,
    /// The maps that are open here, the outermost first: where variables are looked up.
    scopes: Vec<Map>,
    shared: &'shared mut Shared<'world>,
}

/// Where an entry stands; line ends mean different things there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Outside of all maps, or inside the braces around everything.
    Top,
    Map,
}

impl Parser<'_, '_, '_> {
    fn top(&mut self, depth: usize) -> Result<(), Stop> {
        loop {
            self.lexer.skip_space_and_comments();
            let start = self.lexer.at();
            match self.lexer.peek() {
                None => return Ok(()),
                Some(b'{') => {
                    self.lexer.bump();
                    self.braces(depth + 1)?;
                }
                Some(b'}') => {
                    // nats-server lets a brace that closes nothing stand at the very end.
                    self.lexer.bump();
                    self.lexer.skip_space_and_comments();
                    if self.lexer.peek().is_some() {
                        return Err(
                            Fault::new(start..start + 1, "this brace closes nothing").into()
                        );
                    }
                }
                Some(_) => {
                    self.entry(Level::Top, depth)?;
                    self.end_of_entry("a new line, `,` or `;`", b",;}")?;
                }
            }
        }
    }

    /// Entries within braces that stand around everything, as in JSON.
    fn braces(&mut self, depth: usize) -> Result<(), Stop> {
        let start = self.lexer.at();
        check_depth(depth, &(start..start + 1))?;
        loop {
            self.lexer.skip_space_and_comments();
            match self.lexer.peek() {
                // nats-server does not miss the closing brace.
                None => return Ok(()),
                Some(b'{') => {
                    self.lexer.bump();
                    self.braces(depth + 1)?;
                    self.lexer.skip_space_and_comments();
                    self.lexer.take(b",;");
                }
                Some(b'}') => {
                    self.lexer.bump();
                    return Ok(());
                }
                Some(_) => {
                    self.entry(Level::Top, depth)?;
                    self.end_of_entry("a new line, `,`, `;` or `}`", b",;")?;
                }
            }
        }
    }

    /// Passes what ends an entry or a value: a line end, one of `ends`, or what closes it all.
    fn end_of_entry(&mut self, expected: &str, ends: &[u8]) -> Result<(), Stop> {
        self.lexer.skip_blanks();
        if self.lexer.skip_comment()
            || self.lexer.take(ends)
            || matches!(self.lexer.peek(), None | Some(b'\r' | b'\n'))
            || (self.lexer.peek() == Some(b'}') && expected.contains('}'))
            || (self.lexer.peek() == Some(b']') && expected.contains(']'))
        {
            return Ok(());
        }
        let text = format!("expected {expected} before this; put a text with spaces in quotes");
        Err(Fault::new(self.lexer.word_here(), text).into())
    }

    fn entry(&mut self, level: Level, depth: usize) -> Result<(), Stop> {
        let key = self.lexer.key()?;
        if key.is_include {
            return self.include(key.range, depth);
        }
        self.lexer.skip_space();
        let has_separator = self.lexer.take(b"=:");
        let is_missing = match level {
            Level::Top if has_separator => {
                self.lexer.skip_blanks();
                false
            }
            Level::Top => self.lexer.peek().is_none(),
            Level::Map => {
                self.lexer.skip_space();
                matches!(self.lexer.peek(), None | Some(b',' | b'}'))
            }
        };
        if is_missing {
            return Err(
                Fault::new(key.range, format!("the key `{}` has no value", key.text)).into()
            );
        }
        let node = self.value(depth)?;
        if !self.shared.spend(key.text.len()) {
            return Err(Fault::new(key.range, too_large()).into());
        }
        let key_place = self.place(key.range);
        self.scope().entries.insert(key.text, Entry { key_place, node, is_variable: false });
        Ok(())
    }

    fn include(&mut self, keyword: Range<usize>, depth: usize) -> Result<(), Stop> {
        let (path, range) = self.lexer.include_path()?;
        let range = keyword.start..range.end;
        check_depth(depth + 1, &range)?;
        // As in nats-server, an absolute path too is looked for below the file's directory.
        let path = self.directory.join(path.trim_start_matches('/'));
        let source = self.shared.open(&path).map_err(|error| Fault::new(range.clone(), error))?;
        match self.shared.parse(source, &directory_of(&path), depth + 1) {
            Ok(included) => {
                self.scope().entries.extend(included.entries);
                Ok(())
            }
            Err(inner) => {
                self.shared.diagnostics.extend(inner);
                Err(Stop::Reported)
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Stop> {
        let start = self.lexer.at();
        if !self.shared.spend(NODE_BYTES) {
            return Err(Fault::new(start..start + 1, too_large()).into());
        }
        let value = match self.lexer.peek() {
            Some(b'[') => self.array(depth + 1)?,
            Some(b'{') => self.map(depth + 1)?,
            _ => match self.lexer.scalar()? {
                Scalar::Text(text) => {
                    if !self.shared.spend(text.len()) {
                        return Err(Fault::new(start..start + 1, too_large()).into());
                    }
                    Value::Text(text)
                }
                Scalar::Integer(number) => Value::Integer(number),
                Scalar::Float(number) => Value::Float(number),
                Scalar::Bool(value) => Value::Bool(value),
                Scalar::Date(date) => Value::Date(date),
                Scalar::Variable(name) => self.variable(&name, start, depth)?,
            },
        };
        // A map or an array is marked by its opening brace alone.
        let end = match value {
            Value::Map(_) | Value::Array(_) => start + 1,
            _ => self.lexer.at(),
        };
        Ok(Node { place: self.place(start..end), value })
    }

    fn array(&mut self, depth: usize) -> Result<Value, Stop> {
        let start = self.lexer.at();
        check_depth(depth, &(start..start + 1))?;
        self.lexer.bump();
        let mut nodes = Vec::new();
        loop {
            self.lexer.skip_space_and_comments();
            let at = self.lexer.at();
            match self.lexer.peek() {
                None => {
                    return Err(Fault::new(start..start + 1, "this array is never closed").into());
                }
                Some(b',') => {
                    return Err(Fault::new(at..at + 1, "a value is missing before this").into());
                }
                Some(b']') => {
                    self.lexer.bump();
                    return Ok(Value::Array(nodes));
                }
                Some(_) => {
                    nodes.push(self.value(depth)?);
                    self.end_of_entry("a new line, `,` or `]`", b",")?;
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Stop> {
        let start = self.lexer.at();
        check_depth(depth, &(start..start + 1))?;
        self.lexer.bump();
        self.scopes.push(Map::default());
        loop {
            self.lexer.skip_space_and_comments();
            match self.lexer.peek() {
                None => return Err(Fault::new(start..start + 1, "this map is never closed").into()),
                Some(b'}') => {
                    self.lexer.bump();
                    return Ok(Value::Map(self.scopes.pop().unwrap_or_default()));
                }
                Some(_) => {
                    self.entry(Level::Map, depth)?;
                    self.end_of_entry("a new line, `,`, `;` or `}`", b",;")?;
                }
            }
        }
    }

    /// What `$name` stands for: a key of a map that is open here, else the environment.
    fn variable(&mut self, name: &str, start: usize, depth: usize) -> Result<Value, Stop> {
        let range = start..self.lexer.at();
        // A bcrypt hash may be written without quotes.
        if name.starts_with("2a$") {
            return Ok(Value::Text(format!("${name}")));
        }
        for scope in self.scopes.iter_mut().rev() {
            if let Some(entry) = scope.entries.get_mut(name) {
                entry.is_variable = true;
                let (bytes, height) = size(&entry.node.value);
                if depth + height > DEPTH_MAX {
                    return Err(Fault::new(range, too_deep()).into());
                }
                if !self.shared.spend(bytes) {
                    return Err(Fault::new(range, too_large()).into());
                }
                return Ok(entry.node.value.clone());
            }
        }
        if let Some(text) = self.shared.surroundings.variable(name) {
            return self.environment(name, text, range, depth);
        }
        let hash = if name.starts_with('2') { "; put a password hash in quotes" } else { "" };
        let text = format!(
            "variable `${name}` is neither a key written above nor in the environment{hash}"
        );
        let place = self.place(range);
        let diagnostic = Diagnostic::at(&self.shared.sources, place, Severity::Error, text);
        self.shared.diagnostics.push(diagnostic);
        Ok(Value::Missing)
    }

    /// The value of an environment variable is read as a value in a file would be.
    fn environment(
        &mut self,
        name: &str,
        text: String,
        range: Range<usize>,
        depth: usize,
    ) -> Result<Value, Stop> {
        const KEY: &str = "value";
        if self.shared.references.iter().any(|reference| reference == name) {
            let text = format!("variable `${name}` refers to itself");
            return Err(Fault::new(range, text).into());
        }
        check_depth(depth + 1, &range)?;
        let text = format!("{KEY}={text}").into_bytes();
        let source = self
            .shared
            .add(format!("${name}"), text, false)
            .map_err(|error| Fault::new(range.clone(), error))?;
        self.shared.references.push(name.to_owned());
        let parsed = self.shared.parse(source, Path::new(""), depth + 1);
        self.shared.references.pop();
        match parsed {
            Ok(mut map) => {
                Ok(map.entries.remove(KEY).map_or(Value::Missing, |entry| entry.node.value))
            }
            Err(None) => Err(Stop::Reported),
            Err(Some(inner)) => {
                let text = format!("the value of `${name}` cannot be read: {}", inner.text);
                Err(Fault::new(range, text).into())
            }
        }
    }

    fn scope(&mut self) -> &mut Map {
        self.scopes.last_mut().expect("the outermost scope stays until the text is read")
    }

    fn place(&self, range: Range<usize>) -> Place {
        Place { source: self.source, start: range.start, end: range.end }
    }
}

fn check_depth(depth: usize, range: &Range<usize>) -> Result<(), Fault> {
    if depth > DEPTH_MAX { Err(Fault::new(range.clone(), too_deep())) } else { Ok(()) }
}

fn too_deep() -> String {
    format!("maps, arrays and includes are nested more than {DEPTH_MAX} times")
}

/// What a value costs beside its text: itself and its place in a map or an array.
const NODE_BYTES: usize = size_of::<Node>() + size_of::<Entry>();

/// The bytes a value takes, and how many maps and arrays stand within each other in it.
fn size(value: &Value) -> (usize, usize) {
    let sum = |children: &mut dyn Iterator<Item = (usize, &Value)>| {
        let (mut bytes, mut height) = (NODE_BYTES, 0);
        for (key_bytes, child) in children {
            let (child_bytes, child_height) = size(child);
            bytes += key_bytes + child_bytes;
            height = height.max(child_height);
        }
        (bytes, height + 1)
    };
    match value {
        Value::Text(text) => (NODE_BYTES + text.len(), 0),
        Value::Array(nodes) => sum(&mut nodes.iter().map(|node| (0, &node.value))),
        Value::Map(map) => sum(&mut map.iter().map(|(key, entry)| (key.len(), &entry.node.value))),
        _ => (NODE_BYTES, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;

    fn read(memory: &Memory) -> Result<Document, Vec<Diagnostic>> {
        Document::read(Path::new("x.conf"), memory)
    }

    /// The value in JSON, as the digest sees it.
    #[track_caller]
    fn check_in(memory: &Memory, expected: &str) {
        let document = read(memory).unwrap_or_else(|diagnostics| panic!("{}", show(&diagnostics)));
        let mut json = String::new();
        super::super::digest::write_map(&mut json, &document.map);
        assert_eq!(json, expected, "{memory:?}");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        check_in(&Memory::file("x.conf", text), expected);
    }

    /// `place` is the line and column of the first message, `part` is in it.
    #[track_caller]
    fn check_fault(text: &str, place: &str, part: &str) {
        check_fault_in(&Memory::file("x.conf", text), &format!("x.conf:{place}"), part);
    }

    #[track_caller]
    fn check_fault_in(memory: &Memory, location: &str, part: &str) {
        let diagnostics = read(memory).map(|document| document.map).expect_err("a fault");
        assert_eq!(diagnostics[0].location, location, "{}", show(&diagnostics));
        assert!(diagnostics[0].text.contains(part), "{}", show(&diagnostics));
    }

    fn show(diagnostics: &[Diagnostic]) -> String {
        diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn entries() {
        check("", "{}");
        check("  \n\t\r\n # only\n // comments", "{}");
        check("\u{feff}a: 1", r#"{"a":1}"#);
        for text in [
            "a = 1",
            "a: 1",
            "a 1",
            "a=1",
            "a:1",
            "a  =  1",
            "a\n=1",
            "a\n1",
            "a\t:\t1",
            "'a' 1",
            "\"a\": 1",
            "a: 1;",
            "a: 1,",
            "a: 1 # x",
            "a: 1 // x",
            "a: 1# x",
            "a: 1\r\n",
            "a: 1 }",
            "{a: 1}",
            "{ a: 1 }\n",
            "{\n\"a\": 1\n}\n",
            "{a: 1",
            "{a: 1\n",
            "{{a: 1}}",
            "a: 1\n}\n",
            "a: 1 }\n}\n # x",
            "a: 0, a: 1",
            "{ a: 1 # x\n}",
            "\u{a0}a\u{2003}1",
        ] {
            // A bare number ends where a comment starts only after a space.
            if text == "a: 1# x" {
                check_fault(text, "1:7", "expected");
                continue;
            }
            check(text, r#"{"a":1}"#);
        }
        check("a: 1, b: 2; c: 3\nd: 4", r#"{"a":1,"b":2,"c":3,"d":4}"#);
        check("{a: 1}\nb: 2", r#"{"a":1,"b":2}"#);
        check("{{a: 1}, b: 2}", r#"{"a":1,"b":2}"#);
        check("a:", r#"{"a":""}"#);
        check("a: ;b: 1", r#"{"a":"","b":1}"#);
        check("A: 1, a: 2", r#"{"A":1,"a":2}"#);
        check("a: http://b", r#"{"a":"http://b"}"#);
        check("a //b", r#"{"a":"//b"}"#);
        check("a #b", r##"{"a":"#b"}"##);
    }

    #[test]
    fn values() {
        check(
            "a: -5k, b: 1.50, c: 2016-05-04T18:53:41Z",
            r#"{"a":-5000,"b":1.5,"c":"2016-05-04T18:53:41Z"}"#,
        );
        check("a: (\nfoo\n)\nb: 1", r#"{"a":"\nfoo\n","b":1}"#);
        check("a: yes, b: OFF, c: \"on\"", r#"{"a":true,"b":false,"c":"on"}"#);
        check("a: 127.0.0.1:4222", r#"{"a":"127.0.0.1:4222"}"#);
        check("a: [1, 2]", r#"{"a":[1,2]}"#);
        check("a: [10]", r#"{"a":[10]}"#);
        check("a: [1k,2Mb ]", r#"{"a":[1000,2097152]}"#);
        check("a: []", r#"{"a":[]}"#);
        check("a: [ x, 'y', \"z\", ]", r#"{"a":["x","y","z"]}"#);
        check("a: [\n1\n2 # x\n// y\n 3, 4\n]", r#"{"a":[1,2,3,4]}"#);
        check("a: [{b: 1}, [c], true, 1.5]", r#"{"a":[{"b":1},["c"],true,1.5]}"#);
        check("a {}", r#"{"a":{}}"#);
    }

    #[test]
    fn maps() {
        for text in [
            "a {b: 1, c: 2}",
            "a: {b: 1; c: 2}",
            "a = {b 1\nc 2}",
            "a\n{\nb:\n1\nc\n=\n2\n}",
            "a {b: 1, c: 2,}",
            "a {b: 1 # x\n c: 2 // y\n}",
            "a {'b': 1, \"c\": 2}",
            "a { // x\n b=1\n\n c=2 }",
            "{a: {b: 1, c: 2}}",
            "a {b: 0, b: 1, c: 2}",
        ] {
            check(text, r#"{"a":{"b":1,"c":2}}"#);
        }
        check("a {b {c {d: 1}}}", r#"{"a":{"b":{"c":{"d":1}}}}"#);
        check("a {b: ; c: 1}", r#"{"a":{"b":"","c":1}}"#);
    }

    #[test]
    fn variables() {
        let mut memory = Memory::file("x.conf", "");
        let mut check = |text: &str, expected: &str| {
            memory.files.insert("x.conf".into(), text.into());
            for (name, value) in [
                ("NUMBER", "10k"),
                ("TEXT", "abc"),
                ("QUOTED", "'a b'"),
                ("BOOL", "yes"),
                ("ARRAY", "[1, {a: $TEXT}]"),
                ("EMPTY", ""),
                ("OTHER", "$TEXT"),
                ("MORE", "1\nb: 2"),
            ] {
                memory.variables.insert(name.into(), value.into());
            }
            check_in(&memory, expected);
        };
        check("a: 1, b: $a", r#"{"a":1,"b":1}"#);
        check("a: {x: [1]}, b: $a", r#"{"a":{"x":[1]},"b":{"x":[1]}}"#);
        check("a: 1, b {a: 2, c: $a}, d: $a", r#"{"a":1,"b":{"a":2,"c":2},"d":1}"#);
        check("a: 1, b {c: [$a, {d: $a}]}", r#"{"a":1,"b":{"c":[1,{"d":1}]}}"#);
        check("a: x, b: \"$a\"", r#"{"a":"x","b":"$a"}"#);
        check("TEXT: 1, a: $TEXT", r#"{"TEXT":1,"a":1}"#);
        check("a: $NUMBER", r#"{"a":10000}"#);
        check("a: $TEXT", r#"{"a":"abc"}"#);
        check("a: $QUOTED", r#"{"a":"a b"}"#);
        check("a: $BOOL", r#"{"a":true}"#);
        check("a: $ARRAY", r#"{"a":[1,{"a":"abc"}]}"#);
        check("a: $EMPTY", r#"{"a":""}"#);
        check("a: $OTHER, b: $OTHER", r#"{"a":"abc","b":"abc"}"#);
        check("a: $MORE", r#"{"a":1}"#);
        check("a: $2a$11$abc.d/e", r#"{"a":"$2a$11$abc.d/e"}"#);
        check("a.b: 1, c: $a.b", r#"{"a.b":1,"c":1}"#);
    }

    #[test]
    fn a_variable_is_known_by_its_use() {
        let document = read(&Memory::file("x.conf", "a: 1, b: $a, c {d: 1, e: $d}")).unwrap();
        let used = |map: &Map| -> Vec<String> {
            map.iter().filter(|(_, e)| e.is_variable).map(|(key, _)| key.to_owned()).collect()
        };
        assert_eq!(used(&document.map), ["a"]);
        let Value::Map(inner) = &document.map.entries["c"].node.value else { panic!("a map") };
        assert_eq!(used(inner), ["d"]);
    }

    #[test]
    fn faults_of_variables() {
        check_fault("a: $a", "1:4", "neither a key");
        check_fault("a: $b\nb: 1", "1:4", "neither a key");
        check_fault("a {b: 1}\nc: $b", "2:4", "neither a key");
        check_fault("a: $2b$11$x", "1:4", "put a password hash in quotes");
        let mut memory = Memory::file("x.conf", "a: $A\nb: $C, c: $D");
        memory.variables.insert("A".into(), "$B".into());
        memory.variables.insert("B".into(), "$A".into());
        check_fault_in(&memory, "x.conf:1:4", "refers to itself");
        // Several missing ones are reported at once; a value is not shown.
        memory.variables.insert("A".into(), "secret value".into());
        let shown = show(&read(&memory).unwrap_err());
        assert!(shown.contains("the value of `$A` cannot be read: expected"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        memory.variables.remove("A");
        assert_eq!(read(&memory).unwrap_err().len(), 3);
    }

    #[test]
    fn includes() {
        let mut memory = Memory::file("x.conf", "");
        memory.files.insert("a.conf".into(), "a: 1".into());
        memory.files.insert("sub/b.conf".into(), "b: 2, include ../a.conf\n".into());
        memory.files.insert("sub/../a.conf".into(), "a: 3".into());
        memory.files.insert("v.conf".into(), "v: $x".into());
        let mut check = |text: &str, expected: &str| {
            memory.files.insert("x.conf".into(), text.into());
            check_in(&memory, expected);
        };
        for text in [
            "include a.conf",
            "include a.conf\n",
            "include 'a.conf'",
            "INCLUDE \"a.conf\"",
            "include /a.conf",
            "{include a.conf}",
            "include a.conf;",
            "a: 0, include a.conf",
            "include a.conf # x",
        ] {
            check(text, r#"{"a":1}"#);
        }
        check("x {include a.conf\n y: 2}", r#"{"x":{"a":1,"y":2}}"#);
        check("x {include a.conf}", r#"{"x":{"a":1}}"#);
        check("include sub/b.conf", r#"{"a":3,"b":2}"#);
        check("include a.conf\nb: $a", r#"{"a":1,"b":1}"#);
        check("include: a.conf", r#"{"include":"a.conf"}"#);
        check("\"include\" a.conf", r#"{"include":"a.conf"}"#);
        // An included file does not see the variables of the including one.
        memory.files.insert("x.conf".into(), "x: 1, include v.conf\n".into());
        check_fault_in(&memory, "v.conf:1:4", "neither a key");
    }

    #[test]
    fn faults_of_includes() {
        check_fault("include b.conf", "1:1", "cannot read configuration file b.conf");
        check_fault("include x.conf", "1:1", "nested more than");
        check_fault("include", "1:1", "has no value");
        check_fault("include {a: 1}", "1:9", "in quotes");
        let mut memory = Memory::file("x.conf", "include a.conf");
        memory.files.insert("a.conf".into(), "a: [".into());
        check_fault_in(&memory, "a.conf:1:4", "never closed");
        check_fault_in(&Memory::default(), "", "cannot read configuration file x.conf: ");
    }

    #[test]
    fn faults() {
        check_fault("a", "1:1", "no value");
        check_fault("a: 1\nb", "2:1", "no value");
        check_fault("a:\n1", "1:3", "on the line of its key");
        check_fault("a: 1 2", "1:6", "expected a new line");
        check_fault("a: b c", "1:6", "quotes");
        check_fault("a{ b: 1 }", "1:2", "space before the brace");
        check_fault("= 1", "1:1", "expected a key");
        check_fault("a: 1,, b: 2", "1:6", "expected a key");
        check_fault("}\na: 1", "1:1", "closes nothing");
        check_fault("a {", "1:3", "never closed");
        check_fault("a {b: 1", "1:3", "never closed");
        check_fault("a {b", "1:4", "no value");
        check_fault("a {b: }", "1:4", "no value");
        check_fault("a {b: , c: 1}", "1:4", "no value");
        check_fault("a {b: 1 c: 2}", "1:9", "expected");
        check_fault("a {b: [1}", "1:9", "expected");
        check_fault("a [", "1:3", "never closed");
        check_fault("a [1", "1:3", "never closed");
        check_fault("a [1,,2]", "1:6", "missing");
        check_fault("a [,]", "1:4", "missing");
        check_fault("a [1 2]", "1:6", "expected");
        check_fault("a [1;2]", "1:5", "expected");
        check_fault("a: \"x", "1:4", "never closed");
        check_fault("a: 1\nb: \0", "2:4", "NUL");
        check_fault("# \0", "1:3", "NUL");
        check_fault("\"a\n\n: 1", "1:1", "never closed");
        let bytes =
            Memory { files: [("x.conf".into(), b"a: \xff".to_vec())].into(), ..Memory::default() };
        check_fault_in(&bytes, "x.conf:1:4", "not UTF-8");
        // In a comment nobody minds.
        let bytes = Memory {
            files: [("x.conf".into(), b"a: 1 # \xff".to_vec())].into(),
            ..Memory::default()
        };
        check_in(&bytes, r#"{"a":1}"#);
    }

    #[test]
    fn bounds() {
        let deep = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&Memory::file("x.conf", &deep(DEPTH_MAX))).is_ok());
        check_fault(&deep(DEPTH_MAX + 1), "1:68", "nested");
        check_fault(&deep(100_000), "1:68", "nested");
        check_fault(&"{".repeat(100_000), "1:66", "nested");
        check_fault(&"a {".repeat(100_000), "1:195", "nested");
        // Each line doubles the value, or nests it once more.
        let doubling: String = (1..40).map(|n| format!("a{n}: [$a{}, $a{0}]\n", n - 1)).collect();
        check_fault(&format!("a0: x\n{doubling}"), "18:13", "larger than 64 MiB");
        let nesting: String = (1..200).map(|n| format!("a{n}: [$a{}]\n", n - 1)).collect();
        check_fault(&format!("a0: x\n{nesting}"), "66:7", "nested");
        // A file that includes itself twice would be read 2^64 times.
        let memory = Memory::file("x.conf", "include x.conf\ninclude x.conf\n");
        assert!(read(&memory).is_err());
        // Variables that refer to ever more variables.
        let mut memory = Memory::file("x.conf", "a: $V0");
        for n in 0..200 {
            memory.variables.insert(format!("V{n}"), format!("$V{}", n + 1));
        }
        assert!(read(&memory).is_err());
    }

    /// Digests that nats-server 2.15.1 printed for these texts (`-t`).
    #[test]
    fn digests() {
        for (text, expected) in DIGESTS {
            let document = read(&Memory::file("x.conf", text))
                .unwrap_or_else(|diagnostics| panic!("{text}: {}", show(&diagnostics)));
            assert_eq!(document.digest(), format!("sha256:{expected}"), "{text}");
        }
    }

    const DIGESTS: &[(&str, &str)] = &[
        (
            "system_account: a, system: 1\n",
            "743e4af579c048a3b952ec81c5bd1816ea2eb616bee002cfc3d9fd1d06a4e906",
        ),
        (
            "system_account: a, system: -5k\n",
            "459db7db7074c8dde173f7dd459b610b597fa50e1a2446530c94a51209a1519c",
        ),
        (
            "system_account: a, system: 10kb\n",
            "3efe5fa8d1a128a36683b0bdf548d9409b2ead79e1baf178cc6cf90b8e697b0e",
        ),
        (
            "system_account: a, system: 3MiB\n",
            "e10a0bc1a6b084a0f76b02fb49744441c01ae649077926f188fcf1b8bcba2040",
        ),
        (
            "system_account: a, system: 2m\n",
            "fedfcaf34930ce4fe31c7e761cdb18c3e21f7ee0b90410e70f2cfeb01251c440",
        ),
        (
            "system_account: a, system: 7gb\n",
            "7216656453d6a4c5dce8e335f257b3cdd51ec5deb7c7c4a2484656c5a376ad8b",
        ),
        (
            "system_account: a, system: 1e\n",
            "200b0aff6aefbab2564b097109c4584c63b8ef6c6b5fe3e7aa211f05d09210b0",
        ),
        (
            "system_account: a, system: 1.50\n",
            "fa2579a7363e48aba1b9f4a5a5d8377bc707b6e678ab5fb94fe95794870c271e",
        ),
        (
            "system_account: a, system: -0.25\n",
            "8d52abeb6a2e58c5a6c7952bf0186eb951a843ed267b8e9cf52bff8cc6ecdb4e",
        ),
        (
            "system_account: a, system: 0.0000001\n",
            "15a89475d53c7ddec794a43495b7ec690e7712ade396c3419ea405a551ca766e",
        ),
        (
            "system_account: a, system: 123456789012345678901234.5\n",
            "0282a248f13262c217054b8395a285aa17b595ce40d19559481d2313d2ddd03c",
        ),
        (
            "system_account: a, system: true\n",
            "d5aa5909b6e6bd665c583b4cd3563313c541ce5026a86c76cac341cce33d3852",
        ),
        (
            "system_account: a, system: OFF\n",
            "ebefcaf29ec234d97eeb5f00ea6b3213195a9b436a5bfd29f063a0e64e58dd23",
        ),
        (
            "system_account: a, system: foo\n",
            "1972500b81a7f447c5716f424db6f38f9c8a63eb6fe85c393cd4076670ca6e46",
        ),
        (
            "system_account: a, system: \"foo bar\"\n",
            "27863797ab4c1d2816707e9ffe38765e0ed6e0a8c280abe6bc496b873bfec57d",
        ),
        (
            "system_account: a, system: 'a \"b\" \\n'\n",
            "7c2789d366986a973a38a507375a9c76058783c6291caf8eb1d743081608585c",
        ),
        (
            "system_account: a, system: \"\\x41\\t\\n\\r\\\"\\\\ <>&/ \\x7f é 🦅\"\n",
            "22d5e2037b4ffd7e1e467707b0e936dd8761d837511744eee371430b2f9872e3",
        ),
        (
            "system_account: a, system: a\\x41\\tb\n",
            "be7ea52fe4bdcf252956e9f2377db33d977ac241f76f92796f4285308c22f516",
        ),
        (
            "system_account: a, system: 2016-05-04T18:53:41Z\n",
            "54cc0f6363787d9e23e48a02b1e1400f9fb61eb24fbb1fc884a6c98869cab060",
        ),
        (
            "system_account: a, system: 127.0.0.1:4222\n",
            "729874dfee9776e2f8e0979a502843c5da7dce87f6d82d4a274f29228bc8d257",
        ),
        (
            "system_account: a, system: 0.0.0.0:-1\n",
            "16c541a6f268c32feee4966dec7981e697d10bf4963e9733756b3c5cdad767b9",
        ),
        (
            "system_account: a, system: 10s\n",
            "2f7849fef713c0aec376a3206e86af682a8c3fc154377f74a13f0386fcd12eaf",
        ),
        (
            "system_account: a, system: 1h30m\n",
            "cb7f124adfeb64511f5782a7d3e1665f5fea9bb5ffc07e96b99323d521a70ed2",
        ),
        (
            "system_account: a, system: 1kx\n",
            "41b0dc710da50501d3cf4d7ac36c0a51f7fdd6d140e51633f5c364cbce76c7e8",
        ),
        (
            "system_account: a, system: http://a:1/b#c\n",
            "dc1c0fbf2af61481de5416db63199bb163d8deae41ae11a2b66ac29d1b099e09",
        ),
        (
            "system_account: a, system: [1 , 2 ]\n",
            "110e0c1b06ad4810f5b37967786b6659d653245d3939f6b38c549805b9f71a7e",
        ),
        (
            "system_account: a, system: [a, 'b', \"c\"]\n",
            "584aac16c4da567d4c52e54a4b33c8f00ace5ef6ed9b5966a36b0348a4da032e",
        ),
        (
            "system_account: a, system: [\n1\n2 # x\n// y\n3, 4\n]\n",
            "32d6a176085211f0832417618affb4e13737bec0d0055d6b905ca1b474a9bb2d",
        ),
        (
            "system_account: a, system: []\n",
            "13f5dca08c938ebb2884cb0a2398762647c4fe2e04cbff3608287224ae7a703f",
        ),
        (
            "system_account: a, system: {}\n",
            "4ae743dfbbb89a0b16d28e80b939c16903159d51b7404bedc8cfd33563601e36",
        ),
        (
            "system_account: a, system: {a: 1, b {c: [ {d: x}, {e: \"y\"} ]}, \"f g\" = 2.5}\n",
            "7e6ec30f98aa065f4e6a689ca22cec833650f894a294fbaf0e7a48029ad8807f",
        ),
        (
            "system_account: a, system: {a b\n c = d; e: f,\n # comment\n g: h // comment\n}\n",
            "1eb95511f432e3ab7ab91c5b916100fbc9f96466db26e1abd9ee18d22bf74af0",
        ),
        (
            "system_account: a, system: (\nfoo\n bar)\n)\n",
            "a510c846a9b2de9c9336e6a982a7d0224128b060a479991bc5f27b100c82bd66",
        ),
        (
            "system_account: a, system: $2a$11$abc.d/e\n",
            "80508856e9206dc5fe2f108f8f35f5802d9880bd49ddf6a0c8405f38eb05af2f",
        ),
        (
            "system_account: a, system: [x, [y, [z]], {a: on}]\n",
            "4f98dfb660e22d960e104ab0aa404e4883f59a7cc622c645e5341fe4d93b002a",
        ),
        (
            "system_account: a, system: a'\n",
            "0b33ca7aa418397670443d95eb46e5567fc0e757b5d3c891ee59630cdf4d5896",
        ),
        (
            "system_account: a, system: \"multi\nline\"\n",
            "f9c20a2df27fba63501f64071d715031028f54640e6d1cc6315950e52155cb69",
        ),
        (
            "system_account: a, system: {\"a\":\"b\",\"c\":{\"d\":[1 ,2 ,3 ]}}\n",
            "9f9f269ac5f94e4651cb672d26ea2b115a7328281af159c90847254dda608ec2",
        ),
        (
            "system_account: a, system: {a: ; b: \"\"}\n",
            "018fc44434aef692a8e65fac728cff4d9663e83f56cad3656ba59d721f926bb9",
        ),
        ("port: 4222", "797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
        ("{ \"port\": 4222 }", "797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
        ("port 4222 }\n}\n", "797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
        (
            "x: [a, b], server_tags: $x",
            "1712fcbabf5bb506a0b0ad79870824b184ee8ebee77d09654ca8df5a8e851f02",
        ),
        (
            "x = 10k\nmax_payload = $x\n{debug: true}",
            "d1f0a5ea320be11a6da176bce1690ae35f163dca4ea3e4d27ef9fe9705ed6b0c",
        ),
        (
            "debug: true\nDEBUG: false\nlogtime: on",
            "697509a66852f80db7a7fcc2241d099229a74cbf1aced6eee223ef3c5fb178d1",
        ),
        (
            "server_name: a, server_name: b",
            "e135ebb9b6a4f1565aa21b45b27eee6d9a1dd9f66e57928e5b209a5014d49b47",
        ),
        (
            "server_metadata {a: b, \"c d\": 'e', $f: g}",
            "0db987c0f335f7bab01686a6b307f6cac18a6ad624a7ef24509d83bff34b3451",
        ),
        (
            "authorization {user: a, pass: b}",
            "f41ac29105330dd3d6b0989bb13d37c7e78c0f1f5898376412c508887538b5d7",
        ),
        (
            "listen: 0.0.0.0:4222;http: localhost:8222",
            "c07fb28e5db88c4f06df5927131d1a8ded3b685309d78148bad3630651c72074",
        ),
    ];

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read(&Memory { files: [("x.conf".into(), bytes)].into(), ..Memory::default() });
        }

        /// Likelier to be close to the format than any bytes.
        #[test]
        fn no_text_makes_it_panic(
            words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
        ) {
            let mut memory = Memory::file("x.conf", &words.concat());
            memory.variables.insert("V".into(), words.concat());
            let _ = read(&memory);
        }
    }

    const WORDS: &[&str] = &[
        "a",
        "b",
        " ",
        "\n",
        "=",
        ":",
        "{",
        "}",
        "[",
        "]",
        ",",
        ";",
        "(",
        "\n)",
        "'",
        "\"",
        "\\",
        "\\x41",
        "1",
        "10k",
        "-",
        ".",
        "2016-05-04T18:53:41Z",
        "true",
        "$a",
        "$V",
        "include x.conf ",
        "#",
        "//",
        "é",
        "\u{a0}",
        "\r\n",
    ];
}
