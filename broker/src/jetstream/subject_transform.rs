//! How one subject becomes another: `orders.*.>` to `{{wildcard(1)}}.orders.>`.
//!
//! What is transformed, and when, is not known here. Chance is an argument.

use std::fmt::Write as _;

/// A source and a destination that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectTransform {
    /// Empty for the source `>`.
    source: Vec<String>,
    destination: Vec<Part>,
    /// Whether what `>` stands for in the source is added at the end.
    keeps_tail: bool,
}

/// A token of the destination. Indexes are those of tokens of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Wildcard(usize),
    /// Of the tokens, or, if there are none, of the whole subject.
    Partition {
        buckets: i32,
        tokens: Vec<usize>,
    },
    SplitFromLeft(usize, i32),
    SplitFromRight(usize, i32),
    SliceFromLeft(usize, i32),
    SliceFromRight(usize, i32),
    Split(usize, String),
    Left(usize, i32),
    Right(usize, i32),
    Random(i32),
}

const BAD_SUBJECT: &str = "invalid subject";

impl SubjectTransform {
    /// Makes a transform; an empty source is `>`. `None` if `destination` is empty.
    ///
    /// # Errors
    ///
    /// nats-server's words for what does not fit.
    pub fn new(source: &str, destination: &str) -> Result<Option<Self>, String> {
        if destination.is_empty() {
            return Ok(None);
        }
        let source = if source.is_empty() { ">" } else { source };
        let (from, to) = (shape(source)?, shape(destination)?);
        if !to.wildcards.is_empty() || from.has_tail != to.has_tail {
            return Err(BAD_SUBJECT.to_owned());
        }
        let has_wildcards = !from.wildcards.is_empty() || from.has_tail;
        let mut parts = Vec::with_capacity(to.tokens.len());
        for token in to.tokens.iter().filter(|token| **token != ">") {
            let function = Function::parse(token)?;
            if !has_wildcards && function.needs_wildcards() {
                return Err(refused("wildcard index out of range", token));
            }
            parts.push(function.bind(token, &from.wildcards)?);
        }
        let source = from.tokens.iter().map(|token| (*token).to_owned()).collect();
        Ok(Some(Self { source, destination: parts, keeps_tail: to.has_tail }))
    }

    /// What `subject` becomes, or `None` if the source does not match it. `random` is any number;
    /// only the function of that name looks at it.
    pub fn apply(&self, subject: &str, random: u32) -> Option<String> {
        let tokens: Vec<&str> = subject.split('.').collect();
        self.matches(&tokens).then(|| self.build(subject, &tokens, random))
    }

    fn matches(&self, tokens: &[&str]) -> bool {
        let mut tokens = tokens.iter();
        for part in &self.source {
            let Some(token) = tokens.next() else { return false };
            match part.as_str() {
                ">" => return true,
                "*" => {}
                part if part != *token => return false,
                _ => {}
            }
        }
        tokens.next().is_none()
    }

    fn build(&self, subject: &str, tokens: &[&str], random: u32) -> String {
        let mut built = String::with_capacity(subject.len() + 16);
        for (index, part) in self.destination.iter().enumerate() {
            if index > 0 {
                built.push('.');
            }
            part.write(subject, tokens, random, &mut built);
        }
        if self.keeps_tail {
            for token in &tokens[self.source.len() - 1..] {
                if !built.is_empty() {
                    built.push('.');
                }
                built.push_str(token);
            }
        }
        built
    }
}

/// Checks what nats-server checks of a transform in a configuration.
///
/// # Errors
///
/// Its words for what is wrong.
pub fn validate(source: &str, destination: &str) -> Result<(), String> {
    if destination.is_empty() {
        return Ok(());
    }
    let mut is_over = false;
    for token in destination.split('.') {
        if token.is_empty() || is_over {
            return Err(refused("invalid transform", token));
        }
        if is_function(token) {
            if Function::call(token).is_none() {
                return Err(refused("unknown function", token));
            }
            continue;
        }
        if token == ">" {
            is_over = true;
        } else if token.contains(['\t', '\n', '\u{c}', '\r', ' ']) {
            return Err(refused("invalid transform", ""));
        }
    }
    SubjectTransform::new(source, destination).map(drop)
}

fn refused(reason: &str, token: &str) -> String {
    let text = format!("invalid mapping destination: {reason}");
    if token.is_empty() { text } else { format!("{text} in {token}") }
}

struct Shape<'a> {
    tokens: Vec<&'a str>,
    /// Where the `*` stand.
    wildcards: Vec<usize>,
    has_tail: bool,
}

fn shape(subject: &str) -> Result<Shape<'_>, String> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let last = tokens.len() - 1;
    let is_wrong =
        |(index, token): (usize, &&str)| token.is_empty() || (*token == ">" && index != last);
    if tokens.iter().enumerate().any(is_wrong) {
        return Err(BAD_SUBJECT.to_owned());
    }
    let wildcards = (0..tokens.len()).filter(|index| tokens[*index] == "*").collect();
    let has_tail = tokens[last] == ">";
    Ok(Shape { tokens, wildcards, has_tail })
}

fn is_function(token: &str) -> bool {
    token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
}

/// A token of the destination as it was written: its numbers count wildcards of the source.
enum Function<'a> {
    None,
    Wildcard(i64),
    Partition {
        buckets: i32,
        wildcards: Vec<i64>,
    },
    /// Those with a wildcard and a number.
    Cut(fn(usize, i32) -> Part, i64, i32),
    Split(i64, &'a str),
    Random(i32),
}

/// Names as they are written; in brackets the letters that may be of either case.
const NAMES: &[(&str, &[&str])] = &[
    ("wildcard", &["wildcard"]),
    ("partition", &["partition"]),
    ("splitfromleft", &["split", "from", "left"]),
    ("splitfromright", &["split", "from", "right"]),
    ("slicefromleft", &["slice", "from", "left"]),
    ("slicefromright", &["slice", "from", "right"]),
    ("right", &["right"]),
    ("left", &["left"]),
    ("split", &["split"]),
    ("random", &["random"]),
];

impl<'a> Function<'a> {
    /// The name and the arguments of `{{name(arguments)}}`.
    fn call(token: &'a str) -> Option<(&'static str, &'a str)> {
        let inner = token.strip_prefix("{{")?.strip_suffix("}}")?.trim_ascii();
        let (name, arguments) = inner.strip_suffix(')')?.split_once('(')?;
        let written = name.trim_ascii_end();
        let (name, _) = NAMES.iter().find(|(_, words)| is_written(written, words))?;
        Some((name, arguments))
    }

    fn parse(token: &'a str) -> Result<Self, String> {
        if token.len() > 1 && token.starts_with('$') {
            // Other things begin with a dollar sign too: those are left as they are.
            return Ok(token[1..].parse().map_or(Self::None, Self::Wildcard));
        }
        if !is_function(token) {
            return Ok(Self::None);
        }
        let (name, arguments) =
            Self::call(token).ok_or_else(|| refused("unknown function", token))?;
        let arguments: Vec<&str> = separated(arguments);
        let not_enough = || refused("not enough arguments passed to the function", token);
        let too_many = || refused("too many arguments passed to the function", token);
        let invalid = || refused("function argument is invalid or in the wrong format", token);
        let number = |text: &str| text.trim_matches(' ').parse::<i64>().map_err(|_| invalid());
        let small = |text: &str| {
            number(text).and_then(|number| i32::try_from(number).map_err(|_| invalid()))
        };
        match (name, arguments.as_slice()) {
            ("wildcard", [""]) => Err(not_enough()),
            ("wildcard", [wildcard]) => Ok(Self::Wildcard(number(wildcard)?)),
            ("wildcard", _) => Err(too_many()),
            ("partition", [buckets, wildcards @ ..]) => Ok(Self::Partition {
                buckets: small(buckets)?,
                wildcards: wildcards.iter().map(|text| number(text)).collect::<Result<_, _>>()?,
            }),
            ("random", [maximum]) => Ok(Self::Random(small(maximum)?)),
            ("random", _) | (_, [] | [_]) => Err(not_enough()),
            (_, [_, _, _, ..]) => Err(too_many()),
            ("split", [wildcard, delimiter]) => {
                let wildcard = number(wildcard)?;
                if delimiter.contains([' ', '.']) {
                    return Err(invalid());
                }
                Ok(Self::Split(wildcard, delimiter))
            }
            (name, [wildcard, size]) => {
                let part = match name {
                    "splitfromleft" => Part::SplitFromLeft,
                    "splitfromright" => Part::SplitFromRight,
                    "slicefromleft" => Part::SliceFromLeft,
                    "slicefromright" => Part::SliceFromRight,
                    "left" => Part::Left,
                    _ => Part::Right,
                };
                Ok(Self::Cut(part, number(wildcard)?, small(size)?))
            }
        }
    }

    fn needs_wildcards(&self) -> bool {
        !matches!(self, Self::None | Self::Partition { .. } | Self::Random(_))
    }

    /// Replaces numbers of wildcards with indexes of tokens.
    fn bind(self, token: &str, wildcards: &[usize]) -> Result<Part, String> {
        let index = |number: i64| match usize::try_from(number) {
            // nats-server takes what is below 1 for the first token.
            Err(_) | Ok(0) => Ok(0),
            Ok(number) => wildcards.get(number - 1).copied().ok_or_else(|| {
                refused("wildcard index out of range", &format!("{token}: [{number}]"))
            }),
        };
        Ok(match self {
            Self::None => Part::Literal(token.to_owned()),
            Self::Wildcard(wildcard) => Part::Wildcard(index(wildcard)?),
            // Without a wildcard in the source the numbers mean nothing: the whole subject counts.
            Self::Partition { buckets, wildcards: numbers } => Part::Partition {
                buckets,
                tokens: numbers.into_iter().map(index).collect::<Result<_, _>>()?,
            },
            Self::Cut(part, wildcard, size) => part(index(wildcard)?, size),
            Self::Split(wildcard, delimiter) => Part::Split(index(wildcard)?, delimiter.to_owned()),
            Self::Random(maximum) => Part::Random(maximum),
        })
    }
}

/// Whether `written` is these words, each with a first letter of either case.
fn is_written(written: &str, words: &[&str]) -> bool {
    let mut rest = written;
    words.iter().all(|word| {
        let Some((found, after)) = rest.split_at_checked(word.len()) else { return false };
        rest = after;
        found[..1].eq_ignore_ascii_case(&word[..1]) && found[1..] == word[1..]
    }) && rest.is_empty()
}

/// The arguments between the commas; blanks after a comma belong to it.
fn separated(arguments: &str) -> Vec<&str> {
    let mut parts = arguments.split(',');
    let first = parts.next();
    first.into_iter().chain(parts.map(str::trim_ascii_start)).collect()
}

impl Part {
    fn write(&self, subject: &str, tokens: &[&str], random: u32, out: &mut String) {
        let token = |index: &usize| tokens.get(*index).copied().unwrap_or_default();
        match self {
            Self::Literal(text) => out.push_str(text),
            Self::Wildcard(index) => out.push_str(token(index)),
            Self::Partition { buckets, tokens } => {
                let key: String = tokens.iter().map(token).collect();
                let key = if tokens.is_empty() { subject } else { &key };
                // A negative number of buckets is read as the unsigned number of the same bits.
                let bucket = fnv1a(key.as_bytes()).checked_rem(buckets.cast_unsigned());
                let _ = write!(out, "{}", bucket.unwrap_or(0));
            }
            Self::Random(maximum) => {
                let random = i64::from(random >> 1);
                let _ = write!(out, "{}", random.checked_rem(i64::from(*maximum)).unwrap_or(0));
            }
            Self::SplitFromLeft(index, position) => {
                let token = token(index);
                match within(token, *position) {
                    Some(position) => push_split(token, position, out),
                    None => out.push_str(token),
                }
            }
            Self::SplitFromRight(index, position) => {
                let token = token(index);
                match within(token, *position) {
                    Some(position) => push_split(token, token.len() - position, out),
                    None => out.push_str(token),
                }
            }
            Self::SliceFromLeft(index, size) => {
                let token = token(index);
                match within(token, *size) {
                    Some(size) => push_slices(token, size, out),
                    None => out.push_str(token),
                }
            }
            Self::SliceFromRight(index, size) => {
                let token = token(index);
                match within(token, *size) {
                    Some(size) => {
                        let (first, rest) = token.split_at(floor(token, token.len() % size));
                        out.push_str(first);
                        if !first.is_empty() {
                            out.push('.');
                        }
                        push_slices(rest, size, out);
                    }
                    None => out.push_str(token),
                }
            }
            Self::Split(index, delimiter) => {
                let token = token(index);
                // An empty delimiter splits between all letters.
                let pieces: Vec<&str> = if delimiter.is_empty() {
                    token.split("").filter(|piece| !piece.is_empty()).collect()
                } else {
                    token.split(delimiter.as_str()).collect()
                };
                for (number, piece) in pieces.iter().enumerate() {
                    out.push_str(piece);
                    let next_is_there = pieces.get(number + 1).is_some_and(|next| !next.is_empty());
                    if next_is_there && !(number == 0 && piece.is_empty()) {
                        out.push('.');
                    }
                }
            }
            Self::Left(index, size) => {
                let token = token(index);
                let end = within(token, *size).unwrap_or(token.len());
                out.push_str(&token[..floor(token, end)]);
            }
            Self::Right(index, size) => {
                let token = token(index);
                let size = within(token, *size).unwrap_or(token.len());
                out.push_str(&token[floor(token, token.len() - size)..]);
            }
        }
    }
}

/// The position, if it is inside of `token`: otherwise nothing is cut.
fn within(token: &str, position: i32) -> Option<usize> {
    usize::try_from(position).ok().filter(|position| (1..token.len()).contains(position))
}

/// The nearest position at or before `position` where a letter begins. nats-server cuts letters
/// into bytes, which makes subjects that are no UTF-8.
fn floor(token: &str, position: usize) -> usize {
    token.floor_char_boundary(position)
}

fn push_split(token: &str, position: usize, out: &mut String) {
    let (left, right) = token.split_at(floor(token, position));
    out.push_str(left);
    out.push('.');
    out.push_str(right);
}

fn push_slices(token: &str, size: usize, out: &mut String) {
    let mut start = 0;
    while start < token.len() {
        let mut end = floor(token, (start + size).min(token.len()));
        if end <= start {
            // One letter is larger than a slice.
            end = token.ceil_char_boundary(start + 1);
        }
        if start > 0 {
            out.push('.');
        }
        out.push_str(&token[start..end]);
        start = end;
    }
}

/// The 32-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, destination: &str, subject: &str, expected: &str) {
        let transform = SubjectTransform::new(source, destination).unwrap().unwrap();
        let found = transform.apply(subject, 7).unwrap_or_else(|| "no match".to_owned());
        assert_eq!(found, expected, "{source} {destination} {subject}");
    }

    #[test]
    fn transforms() {
        check("foo.*.*", "bar.$2.{{wildcard(1)}}", "foo.a.b", "bar.b.a");
        check("foo.*.*", "bar.{{ Wildcard( 2 ) }}", "foo.a.b", "bar.b");
        check("foo.>", "bar.>", "foo.a.b", "bar.a.b");
        check("foo.*.>", "bar.$1.>", "foo.a.b.c", "bar.a.b.c");
        check("", "x.>", "a.b", "x.a.b");
        check(">", ">", "a.b", "a.b");
        check("foo.>", ">", "foo.a", "a");
        check("foo", "bar", "foo", "bar");
        check("foo", "bar", "baz", "no match");
        check("foo.*", "bar.$1", "foo.a.b", "no match");
        check("*.*", "$2.$1.$x", "a.b", "b.a.$x");
        check("*", "{{splitfromleft(1,3)}}", "abcdef", "abc.def");
        check("*", "{{SplitFromRight(1,3)}}", "abcdefgh", "abcde.fgh");
        check("*", "{{SplitFromRight(1,9)}}", "abcdefgh", "abcdefgh");
        check("*", "{{slicefromleft(1,3)}}", "abcdefgh", "abc.def.gh");
        check("*", "{{SliceFromRight(1,3)}}", "abcdefgh", "ab.cde.fgh");
        check("*", "{{SliceFromRight(1,4)}}", "abcdefgh", "abcd.efgh");
        check("*", "{{split(1,-)}}", "-a-b--c-", "a.b.c");
        check("*", "{{left(1,3)}}", "abcdef", "abc");
        check("*", "{{Right(1, 3)}}", "abcdef", "def");
        check("*", "{{random(4)}}", "a", "3");
        check("*", "{{partition(0,1)}}", "a", "0");
        // FNV-1a of "a" is 0xe40c292c.
        check("*", "{{partition(10,1)}}", "a", &(0xe40c_292c_u32 % 10).to_string());
        check("*", "x.{{partition(10)}}", "a", &format!("x.{}", 0xe40c_292c_u32 % 10));
    }

    #[test]
    fn refusals() {
        let check = |source: &str, destination: &str, expected: &str| {
            let found = validate(source, destination).err().unwrap_or_default();
            assert_eq!(found, expected, "{source} {destination}");
        };
        check("foo.*", "", "");
        check("foo.*", "bar.$1", "");
        check("foo", "bar.{{partition(3)}}", "");
        check("foo.*", "bar.*", "invalid subject");
        check("foo.>", "bar", "invalid subject");
        check("foo", "bar.>", "invalid subject");
        check("foo..x", "bar", "invalid subject");
        check("foo", "a..b", "invalid mapping destination: invalid transform");
        check("foo.>", "a.>.b", "invalid mapping destination: invalid transform in b");
        check("foo", "a b", "invalid mapping destination: invalid transform");
        check("*", "{{x(1)}}", "invalid mapping destination: unknown function in {{x(1)}}");
        check(
            "*",
            "{{wildcard(2)}}",
            "invalid mapping destination: wildcard index out of range in {{wildcard(2)}}: [2]",
        );
        check("a", "$1", "invalid mapping destination: wildcard index out of range in $1");
        for (destination, reason) in [
            ("{{wildcard()}}", "not enough arguments passed to the function"),
            ("{{wildcard(1,2)}}", "too many arguments passed to the function"),
            ("{{wildcard(x)}}", "function argument is invalid or in the wrong format"),
            ("{{split(1)}}", "not enough arguments passed to the function"),
            ("{{split(1,a,b)}}", "too many arguments passed to the function"),
            ("{{partition(x,1)}}", "function argument is invalid or in the wrong format"),
            ("{{random(1,2)}}", "not enough arguments passed to the function"),
        ] {
            check(
                "*",
                destination,
                &format!("invalid mapping destination: {reason} in {destination}"),
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(
            source in "[a*>.]{0,6}",
            destination in r"([$*>a]|\{\{(split|splitfromleft|SliceFromRight|left|partition|random)\([-0-9,a]{0,6}\)\}\}|\.){0,4}",
            subject in "[aé.-]{0,12}",
            random: u32,
        ) {
            let _ = validate(&source, &destination);
            if let Ok(Some(transform)) = SubjectTransform::new(&source, &destination) {
                let _ = transform.apply(&subject, random);
            }
        }
    }
}
