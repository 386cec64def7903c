//! A message about a place in the configuration, with the line and a mark below it.

use std::fmt;

use super::source::{Place, Sources};

/// A message for the person who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the broker may start all the same.
    pub severity: Severity,
    /// `file:line:column`, or the file alone; empty when no file is to blame.
    pub location: String,
    /// What is wrong, in one line.
    pub text: String,
    excerpt: Option<String>,
    order: (usize, usize),
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The broker cannot start with it.
    Error,
    /// The broker starts; `-t` refuses it, as nats-server's does.
    Warning,
    /// Worth a look, no more.
    Notice,
}

impl Diagnostic {
    /// A message about no place.
    pub fn new(severity: Severity, location: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            severity,
            location: location.into(),
            text: text.into(),
            excerpt: None,
            order: (0, 0),
        }
    }

    pub(super) fn at(
        sources: &Sources,
        place: Place,
        severity: Severity,
        text: impl Into<String>,
    ) -> Self {
        let position = sources.position(place);
        let name = &sources.get(place.source).name;
        Self {
            severity,
            location: format!("{name}:{}:{}", position.line, position.column),
            text: text.into(),
            excerpt: position
                .text
                .map(|line| excerpt(position.line, line, position.start, position.end)),
            order: (place.source, place.start),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.location.is_empty() {
            write!(f, "{}: ", self.location)?;
        }
        match self.severity {
            Severity::Error => {}
            Severity::Warning => f.write_str("warning: ")?,
            Severity::Notice => f.write_str("note: ")?,
        }
        f.write_str(&self.text)?;
        self.excerpt.as_ref().map_or(Ok(()), |excerpt| write!(f, "\n{excerpt}"))
    }
}

/// Sorts messages by where they point, errors first.
pub fn in_order(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.severity, diagnostic.order));
    diagnostics
}

/// Characters of a line that are shown: a generated file may be one line.
const LINE_CHARACTERS_MAX: usize = 100;
/// Characters before the mark, when the line is cut.
const LINE_CHARACTERS_BEFORE: usize = 40;

fn excerpt(number: usize, line: &[u8], start: usize, end: usize) -> String {
    let hidden = masked(line);
    let width = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().count();
    let before = width(&hidden[..start]);
    let marked = width(&hidden[start..end]).max(1);
    let characters: Vec<char> = String::from_utf8_lossy(&hidden)
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    let from = if characters.len() > LINE_CHARACTERS_MAX {
        before.saturating_sub(LINE_CHARACTERS_BEFORE)
    } else {
        0
    };
    let to = characters.len().min(from + LINE_CHARACTERS_MAX);
    let shown: String = characters[from.min(to)..to].iter().collect();
    let marked = marked.min((to - from.min(to)).saturating_sub(before - from).max(1));
    let number = number.to_string();
    format!(
        "  {number} | {shown}\n  {:width$} | {:before$}{}",
        "",
        "",
        "^".repeat(marked),
        width = number.len(),
        before = before - from,
    )
}

/// Words after which a secret is expected.
const SECRET_KEYS: [&str; 6] = ["pass", "password", "token", "seed", "secret", "nkey"];

/// The line with stars in place of what may be a secret: messages end up in logs.
///
/// Columns stay where they are. Hidden is the value after a key of [`SECRET_KEYS`], and what
/// stands between `//` and `@` in a URL.
fn masked(line: &[u8]) -> Vec<u8> {
    let mut hidden = line.to_vec();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut at = 0;
    while at < line.len() {
        if !is_word(line[at]) {
            at += 1;
            continue;
        }
        let word_end =
            line[at..].iter().position(|&byte| !is_word(byte)).map_or(line.len(), |n| at + n);
        let word = line[at..word_end].to_ascii_lowercase();
        at = word_end;
        if SECRET_KEYS.iter().any(|key| word == key.as_bytes()) {
            let skip = |from: usize, set: &[u8]| {
                line[from..]
                    .iter()
                    .position(|byte| !set.contains(byte))
                    .map_or(line.len(), |n| from + n)
            };
            let value = skip(at, b"\"' \t:=");
            if value == at {
                continue;
            }
            let quote = line[value - 1];
            let ends = |byte: &u8| match quote {
                b'"' | b'\'' => *byte == quote,
                _ => b" \t,;}]".contains(byte),
            };
            let value_end = line[value..].iter().position(ends).map_or(line.len(), |n| value + n);
            hidden[value..value_end].fill(b'*');
            at = value_end;
        }
    }
    let mut from = 0;
    while let Some(slashes) = memchr::memmem::find(&line[from..], b"//").map(|n| from + n + 2) {
        let url_end = line[slashes..]
            .iter()
            .position(|byte| b" \t,\"']}/".contains(byte))
            .map_or(line.len(), |n| slashes + n);
        if let Some(at_sign) = memchr::memrchr(b'@', &line[slashes..url_end]) {
            hidden[slashes..slashes + at_sign].fill(b'*');
        }
        from = slashes;
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, start: usize, end: usize, expected: &str) {
        let mut sources = Sources::default();
        let source = sources.add("f.conf".into(), text.into(), true);
        let diagnostic =
            Diagnostic::at(&sources, Place { source, start, end }, Severity::Error, "wrong");
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn the_mark_is_below_the_place() {
        check("port: x", 6, 7, "f.conf:1:7: wrong\n  1 | port: x\n    |       ^");
        check("a\nb: foo\r\nc", 5, 8, "f.conf:2:4: wrong\n  2 | b: foo\n    |    ^^^");
        check("é: ü", 4, 6, "f.conf:1:4: wrong\n  1 | é: ü\n    |    ^");
        check("\tx: 1", 1, 2, "f.conf:1:2: wrong\n  1 |  x: 1\n    |  ^");
        check("a", 1, 1, "f.conf:1:2: wrong\n  1 | a\n    |  ^");
        check("", 0, 0, "f.conf:1:1: wrong\n  1 | \n    | ^");
        // A place that goes on over the line end is marked up to it.
        check("a: {\n}", 3, 6, "f.conf:1:4: wrong\n  1 | a: {\n    |    ^");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let expected = format!(
            "f.conf:1:501: wrong\n  1 | {}x{}\n    | {}^",
            "a".repeat(40),
            "b".repeat(59),
            " ".repeat(40)
        );
        check(&text, 500, 501, &expected);
    }

    #[test]
    fn secrets_are_not_shown() {
        for (line, expected) in [
            ("password: foo", "password: ***"),
            ("{user: a, PASS = foo}", "{user: a, PASS = ***}"),
            (r#""password": "a b", x: 1"#, r#""password": "***", x: 1"#),
            ("token 'abc'", "token '***'"),
            ("passwords: foo", "passwords: foo"),
            ("password", "password"),
            ("password:", "password:"),
            ("a: nats://u:p@h:1, b: x@y", "a: nats://***@h:1, b: x@y"),
            ("a: //x", "a: //x"),
        ] {
            assert_eq!(String::from_utf8(masked(line.as_bytes())).unwrap(), expected);
        }
    }

    #[test]
    fn variables_are_not_shown() {
        let mut sources = Sources::default();
        let source = sources.add("$X".into(), b"secret".to_vec(), false);
        let place = Place { source, start: 0, end: 1 };
        let diagnostic = Diagnostic::at(&sources, place, Severity::Warning, "wrong");
        assert_eq!(diagnostic.to_string(), "$X:1:1: warning: wrong");
    }

    proptest::proptest! {
        #[test]
        fn any_place_of_any_text(text: Vec<u8>, start: usize, length in 0usize..100) {
            let mut sources = Sources::default();
            let start = start % (text.len() + 1);
            let end = (start + length).min(text.len());
            let source = sources.add("f".into(), text, true);
            let _ = Diagnostic::at(&sources, Place { source, start, end }, Severity::Error, "");
        }
    }
}
