//! Subject transforms: which subject becomes which other one, as streams (`subject_transform`,
//! `republish`, the transforms of mirrors and sources) and account mappings write it down.
//!
//! A transform is a source filter and a destination whose tokens are literals or functions of
//! the tokens that the source's `*` stood for: `$1`, `{{wildcard(1)}}`, `{{partition(5,1)}}` and
//! so on. This file knows nothing of streams and draws no randomness. What a function does in
//! odd cases (index 0, a negative count, a delimiter at the start) is what nats-server does:
//! clients compute partitions themselves and must find their messages again.
//!
//! Sources: <https://docs.nats.io/nats-concepts/subject_mapping>, ADR-30, and nats-server 2.15.1,
//! which was asked for every line of the tables below.

use fulmar_protocol::subject::tokens;
use smallvec::SmallVec;

/// A checked transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectTransform {
    source: Box<str>,
    destination: Box<str>,
    source_tokens: Vec<SourceToken>,
    /// What the destination is made of, without a `>` at its end.
    parts: Vec<Part>,
    /// What becomes of the rest of the subject.
    shape: Shape,
}

/// Why a transform cannot be. The text is nats-server's: clients see it in API errors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// Source or destination is no subject, the destination has a `*`, or only one of them ends
    /// in `>`.
    #[error("invalid subject")]
    InvalidSubject,
    /// The destination has an empty token, a blank, or tokens behind `>`.
    #[error("invalid mapping destination: invalid transform{}", in_token(.0))]
    InvalidTransform(String),
    /// A wildcard of the source is not used, so that the transform cannot be undone.
    #[error("invalid mapping destination: not using all of the token wildcard(s) in {0}")]
    WildcardUnused(String),
    /// `{{...}}` around something that is no function.
    #[error("invalid mapping destination: unknown function in {0}")]
    UnknownFunction(String),
    /// A function asks for a wildcard that the source does not have.
    #[error("invalid mapping destination: wildcard index out of range in {0}")]
    WildcardOutOfRange(String),
    /// A function has too few arguments.
    #[error("invalid mapping destination: not enough arguments passed to the function in {0}")]
    NotEnoughArguments(String),
    /// An argument is no number, too large, or a delimiter with a blank.
    #[error(
        "invalid mapping destination: function argument is invalid or in the wrong format in {0}"
    )]
    InvalidArgument(String),
    /// A function has too many arguments.
    #[error("invalid mapping destination: too many arguments passed to the function in {0}")]
    TooManyArguments(String),
    /// A function that cannot be undone, where that is needed.
    #[error(
        "invalid mapping destination: the only mapping function allowed for import transforms is \
         {{{{Wildcard()}}}} in {0}"
    )]
    NotReversible(String),
}

impl SubjectTransform {
    /// Parses a transform. An empty `source` means `>`; an empty `destination` leaves the
    /// subjects that match `source` as they are, which is how mirrors and sources write a mere
    /// filter.
    ///
    /// # Errors
    ///
    /// See [`TransformError`]. The destination may have blanks in it: [`Self::for_mapping`]
    /// refuses them.
    pub fn new(source: &str, destination: &str) -> Result<Self, TransformError> {
        Self::parse(source, destination, false)
    }

    /// As [`Self::new`], with the further checks that stream configurations and account mappings
    /// make: their errors name the first bad token of the destination.
    ///
    /// # Errors
    ///
    /// See [`TransformError`].
    pub fn for_mapping(source: &str, destination: &str) -> Result<Self, TransformError> {
        let mut tail_seen = false;
        for token in destination.split('.').filter(|_| !destination.is_empty()) {
            if token.is_empty() || tail_seen {
                return Err(TransformError::InvalidTransform(token.to_owned()));
            }
            if is_call(token) {
                let known = FUNCTIONS.iter().any(|(_, name)| arguments(token, name).is_some());
                if !known {
                    return Err(TransformError::UnknownFunction(token.to_owned()));
                }
            } else if token.contains(BLANKS) {
                return Err(TransformError::InvalidTransform(String::new()));
            }
            tail_seen = token == ">";
        }
        Self::new(source, destination)
    }

    /// As [`Self::new`], but the transform has to be reversible: imports need that.
    ///
    /// # Errors
    ///
    /// See [`TransformError`].
    pub fn reversible(source: &str, destination: &str) -> Result<Self, TransformError> {
        Self::parse(source, destination, true)
    }

    /// The source filter as it was written; `>` if it was empty.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The destination as it was written.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Whether [`Self::apply`] uses its random number.
    pub fn is_random(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Random { .. }))
    }

    /// What `subject` becomes, or `None` if the source does not match it or it is not a subject
    /// that can be published to.
    ///
    /// `random` is for `{{random(n)}}`: a new number for each call if [`Self::is_random`] says
    /// so, anything otherwise. The result may have empty tokens, as with nats-server: whoever
    /// publishes it should check.
    pub fn apply(&self, subject: &[u8], random: u32) -> Option<Vec<u8>> {
        if self.shape == Shape::Everything {
            return Some(subject.to_vec());
        }
        let subject_tokens: SmallVec<[&[u8]; 32]> = tokens(subject).collect();
        if subject_tokens.iter().any(|token| matches!(*token, b"" | b"*" | b">"))
            || !self.matches(&subject_tokens)
        {
            return None;
        }
        if self.shape == Shape::Unchanged {
            return Some(subject.to_vec());
        }
        let mut out = Vec::with_capacity(self.destination.len() + subject.len());
        let mut random = random;
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            part.write(subject, &subject_tokens, &mut random, &mut out);
        }
        if self.shape == Shape::Tail {
            for (index, token) in subject_tokens[self.source_tokens.len() - 1..].iter().enumerate()
            {
                if index > 0 || !self.parts.is_empty() {
                    out.push(b'.');
                }
                out.extend_from_slice(token);
            }
        }
        Some(out)
    }

    /// The transform from the destination back to the source, or `None` if there is none: a
    /// wildcard got lost, or was put through another function than `wildcard`.
    pub fn reverse(&self) -> Option<Self> {
        // At which place of the destination each wildcard of the source went first.
        let mut placed: SmallVec<[usize; 8]> = SmallVec::new();
        let mut source = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(token) => source.push(&**token),
                Part::Wildcard { token } => {
                    placed.push(*token);
                    source.push("*");
                }
                _ => return None,
            }
        }
        let mut destination = Vec::new();
        for (index, token) in self.source_tokens.iter().enumerate() {
            destination.push(match token {
                SourceToken::Literal(token) => token.to_string(),
                SourceToken::Tail => continue,
                SourceToken::Wildcard => {
                    let place = placed.iter().position(|token| *token == index)?;
                    format!("${}", place + 1)
                }
            });
        }
        if self.shape == Shape::Tail {
            source.push(">");
            destination.push(">".to_owned());
        }
        match self.shape {
            Shape::Everything => Some(self.clone()),
            Shape::Unchanged => None,
            Shape::Tail | Shape::Whole => Self::new(&source.join("."), &destination.join(".")).ok(),
        }
    }

    fn parse(source: &str, destination: &str, strict: bool) -> Result<Self, TransformError> {
        let source = if source.is_empty() { ">" } else { source };
        let source_tokens = source_tokens(source).ok_or(TransformError::InvalidSubject)?;
        let source_has_tail = source_tokens.last() == Some(&SourceToken::Tail);
        let mut transform = Self {
            source: source.into(),
            destination: destination.into(),
            source_tokens,
            parts: Vec::new(),
            shape: Shape::Unchanged,
        };
        if destination.is_empty() {
            return Ok(transform);
        }
        let destination_tokens = self::source_tokens(destination)
            .filter(|tokens| !tokens.contains(&SourceToken::Wildcard))
            .ok_or(TransformError::InvalidSubject)?;
        let has_tail = destination_tokens.last() == Some(&SourceToken::Tail);
        if has_tail != source_has_tail {
            return Err(TransformError::InvalidSubject);
        }
        let wildcards: Vec<usize> = transform
            .source_tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| **token == SourceToken::Wildcard)
            .map(|(index, _)| index)
            .collect();
        let mut wildcards_used = 0;
        for token in &destination_tokens {
            let SourceToken::Literal(token) = token else { continue };
            let part = match Call::parse(token)? {
                None => Part::Literal(token.clone()),
                Some(call) if wildcards.is_empty() && !source_has_tail => {
                    call.without_wildcards(token)?
                }
                Some(call) if strict && call.function != Function::Wildcard => {
                    return Err(TransformError::NotReversible(token.to_string()));
                }
                Some(call) => {
                    wildcards_used += call.wildcards.len();
                    call.resolve(token, &wildcards)?
                }
            };
            transform.parts.push(part);
        }
        if strict && wildcards_used < wildcards.len() {
            return Err(TransformError::WildcardUnused(destination.to_owned()));
        }
        transform.shape = match has_tail {
            true if source == ">" && destination == ">" => Shape::Everything,
            true => Shape::Tail,
            false => Shape::Whole,
        };
        Ok(transform)
    }

    fn matches(&self, subject_tokens: &[&[u8]]) -> bool {
        let (count, minimum) = (subject_tokens.len(), self.source_tokens.len());
        let tail = self.source_tokens.last() == Some(&SourceToken::Tail);
        (count == minimum || tail && count > minimum)
            && self.source_tokens.iter().zip(subject_tokens).all(|(token, given)| match token {
                SourceToken::Literal(token) => token.as_bytes() == *given,
                SourceToken::Wildcard | SourceToken::Tail => true,
            })
    }
}

/// How the whole subject is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// From `>` to `>`: even what is no subject stays what it is.
    Everything,
    /// There is no destination: only the filter counts.
    Unchanged,
    /// The parts are all.
    Whole,
    /// Behind the parts comes what the source's `>` stood for.
    Tail,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SourceToken {
    Literal(Box<str>),
    Wildcard,
    Tail,
}

/// One token of the destination. `token` counts the tokens of the subject from 0 and is below
/// the number of source tokens, which a matching subject has at least.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Wildcard {
        token: usize,
    },
    Partition {
        count: u32,
        /// None: the whole subject.
        tokens: SmallVec<[usize; 2]>,
    },
    Random {
        below: u32,
    },
    /// Cut once, `length` bytes from an end.
    Split {
        token: usize,
        from: End,
        length: usize,
    },
    /// Cut into pieces of `length` bytes, counted from an end.
    Slice {
        token: usize,
        from: End,
        length: usize,
    },
    /// Only the `length` bytes at an end.
    Keep {
        token: usize,
        from: End,
        length: usize,
    },
    SplitAt {
        token: usize,
        delimiter: Box<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl Part {
    fn write(&self, subject: &[u8], tokens: &[&[u8]], random: &mut u32, out: &mut Vec<u8>) {
        match self {
            Self::Literal(token) => out.extend_from_slice(token.as_bytes()),
            Self::Wildcard { token } => out.extend_from_slice(tokens[*token]),
            Self::Partition { count, tokens: keys } => {
                let hash = if keys.is_empty() {
                    fnv_1a(FNV_OFFSET, subject)
                } else {
                    keys.iter().fold(FNV_OFFSET, |hash, token| fnv_1a(hash, tokens[*token]))
                };
                write_number(hash.checked_rem(*count).unwrap_or(0), out);
            }
            Self::Random { below } => {
                let drawn = *random & 0x7fff_ffff;
                write_number(drawn.checked_rem(*below).unwrap_or(0), out);
                *random = another(*random);
            }
            Self::Split { token, from, length } => {
                let token = tokens[*token];
                if !(1..token.len()).contains(length) {
                    return out.extend_from_slice(token);
                }
                let (left, right) = token.split_at(from.position(token, *length));
                write_joined([left, right], out);
            }
            Self::Slice { token, from, length } => {
                let token = tokens[*token];
                if !(1..token.len()).contains(length) {
                    return out.extend_from_slice(token);
                }
                match from {
                    End::Left => write_joined(token.chunks(*length), out),
                    End::Right => {
                        let (first, rest) = token.split_at(token.len() % length);
                        let first = (!first.is_empty()).then_some(first);
                        write_joined(first.into_iter().chain(rest.chunks(*length)), out);
                    }
                }
            }
            Self::Keep { token, from, length } => {
                let token = tokens[*token];
                if !(1..token.len()).contains(length) {
                    return out.extend_from_slice(token);
                }
                let (left, right) = token.split_at(from.position(token, *length));
                out.extend_from_slice(if *from == End::Left { left } else { right });
            }
            Self::SplitAt { token, delimiter } => {
                let pieces = split_at(tokens[*token], delimiter.as_bytes());
                // A dot stands before each piece that has something in it, but not before the
                // second if the first is empty. So `--a` becomes `.a`: nats-server does that.
                for (index, piece) in pieces.iter().enumerate() {
                    let after_empty_first = index == 1 && pieces[0].is_empty();
                    if index > 0 && !piece.is_empty() && !after_empty_first {
                        out.push(b'.');
                    }
                    out.extend_from_slice(piece);
                }
            }
        }
    }
}

impl End {
    /// Where in `token` the cut is that is `length` bytes from this end.
    fn position(self, token: &[u8], length: usize) -> usize {
        match self {
            Self::Left => length,
            Self::Right => token.len() - length,
        }
    }
}

fn write_joined<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (index, piece) in pieces.into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(piece);
    }
}

fn write_number(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The number that the next `{{random(n)}}` of the same destination takes. Its low bits must not
/// follow those of `random`, or two of them would always go together: so murmur3's finalizer.
fn another(random: u32) -> u32 {
    let mut mixed = random.wrapping_add(0x9e37_79b9);
    mixed = (mixed ^ mixed >> 16).wrapping_mul(0x85eb_ca6b);
    mixed = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35);
    mixed ^ mixed >> 16
}

/// The pieces between delimiters; with an empty one the characters, where a byte that is no
/// UTF-8 is one of its own.
fn split_at<'a>(token: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    if delimiter.is_empty() {
        for chunk in token.utf8_chunks() {
            let valid = chunk.valid();
            pieces.extend(
                valid.char_indices().map(|(start, character)| {
                    &valid.as_bytes()[start..start + character.len_utf8()]
                }),
            );
            pieces.extend(chunk.invalid().chunks(1));
        }
        return pieces;
    }
    let mut start = 0;
    for found in memchr::memmem::find_iter(token, delimiter) {
        pieces.push(&token[start..found]);
        start = found + delimiter.len();
    }
    pieces.push(&token[start..]);
    pieces
}

/// FNV-1a of 32 bits: what nats-server and its clients compute partitions with.
fn fnv_1a(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME))
}

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// The tokens of a filter, or `None` if one is empty or comes behind `>`. Blanks are let
/// through, as in nats-server: no subject that arrives has any.
fn source_tokens(filter: &str) -> Option<Vec<SourceToken>> {
    let tokens: Vec<_> = filter
        .split('.')
        .map(|token| match token {
            "" => None,
            "*" => Some(SourceToken::Wildcard),
            ">" => Some(SourceToken::Tail),
            token => Some(SourceToken::Literal(token.into())),
        })
        .collect::<Option<_>>()?;
    let before_last = &tokens[..tokens.len() - 1];
    (!before_last.contains(&SourceToken::Tail)).then_some(tokens)
}

/// A function of the destination with its arguments, before it is known what the wildcards
/// stand for.
struct Call {
    function: Function,
    /// Which wildcards of the source it uses; they count from 1.
    wildcards: SmallVec<[i64; 2]>,
    number: i32,
    delimiter: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Wildcard,
    Partition,
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Right,
    Left,
    Split,
    Random,
}

/// In the order in which nats-server tries them.
const FUNCTIONS: [(Function, &str); 10] = [
    (Function::Wildcard, "Wildcard"),
    (Function::Partition, "Partition"),
    (Function::SplitFromLeft, "SplitFromLeft"),
    (Function::SplitFromRight, "SplitFromRight"),
    (Function::SliceFromLeft, "SliceFromLeft"),
    (Function::SliceFromRight, "SliceFromRight"),
    (Function::Right, "Right"),
    (Function::Left, "Left"),
    (Function::Split, "Split"),
    (Function::Random, "Random"),
];

impl Call {
    /// Parses a token of a destination; `None` for a literal.
    fn parse(token: &str) -> Result<Option<Self>, TransformError> {
        if let Some(index) = token.strip_prefix('$') {
            // Other things than `$1` may begin with `$`.
            return Ok(index.parse().ok().map(Self::wildcard));
        }
        if !is_call(token) {
            return Ok(None);
        }
        let (function, given) = FUNCTIONS
            .iter()
            .find_map(|(function, name)| Some((*function, arguments(token, name)?)))
            .ok_or_else(|| TransformError::UnknownFunction(token.to_owned()))?;
        let not_enough = || TransformError::NotEnoughArguments(token.to_owned());
        let too_many = || TransformError::TooManyArguments(token.to_owned());
        let invalid = || TransformError::InvalidArgument(token.to_owned());
        let index = |text: &str| text.trim_matches(' ').parse::<i64>().map_err(|_| invalid());
        // nats-server keeps 32 bits of what is far below zero.
        let count = |text: &str| match index(text)? {
            count if count > i64::from(i32::MAX) => Err(invalid()),
            count => Ok(i32::from_le_bytes(
                count.to_le_bytes()[..4].try_into().expect("four bytes of eight"),
            )),
        };
        let mut call = Self::wildcard(0);
        call.function = function;
        match (function, &given[..]) {
            (Function::Wildcard, [""]) => return Err(not_enough()),
            (Function::Wildcard, [wildcard]) => call.wildcards[0] = index(wildcard)?,
            (Function::Wildcard, _) => return Err(too_many()),
            (Function::Partition, given) => {
                call.number = count(given[0])?;
                call.wildcards =
                    given[1..].iter().map(|text| index(text)).collect::<Result<_, _>>()?;
            }
            (Function::Random, [below]) => {
                call.number = count(below)?;
                call.wildcards.clear();
            }
            (Function::Random, _) => return Err(not_enough()),
            (_, [_]) => return Err(not_enough()),
            (Function::Split, [wildcard, delimiter]) => {
                call.wildcards[0] = index(wildcard)?;
                if delimiter.contains(' ') {
                    return Err(invalid());
                }
                call.delimiter = (*delimiter).into();
            }
            (_, [wildcard, length]) => {
                call.wildcards[0] = index(wildcard)?;
                call.number = length.trim_matches(' ').parse().map_err(|_| invalid())?;
            }
            _ => return Err(too_many()),
        }
        Ok(Some(call))
    }

    fn wildcard(wildcard: i64) -> Self {
        Self {
            function: Function::Wildcard,
            wildcards: SmallVec::from_slice(&[wildcard]),
            number: 0,
            delimiter: Box::default(),
        }
    }

    /// What it is if the source has no wildcards at all.
    fn without_wildcards(mut self, token: &str) -> Result<Part, TransformError> {
        if !matches!(self.function, Function::Random | Function::Partition) {
            return Err(TransformError::WildcardOutOfRange(token.to_owned()));
        }
        self.wildcards.clear();
        self.resolve(token, &[])
    }

    /// Puts the source's tokens for its wildcards; `wildcards` says where those are.
    fn resolve(self, token: &str, wildcards: &[usize]) -> Result<Part, TransformError> {
        let mut resolved = SmallVec::<[usize; 2]>::new();
        for wildcard in self.wildcards {
            resolved.push(match usize::try_from(wildcard) {
                // What counts below 1 is the first token, wildcard or not.
                Err(_) | Ok(0) => 0,
                Ok(wildcard) => *wildcards.get(wildcard - 1).ok_or_else(|| {
                    TransformError::WildcardOutOfRange(format!("{token}: [{wildcard}]"))
                })?,
            });
        }
        let first = resolved.first().copied().unwrap_or(0);
        // Zero is never a length to cut at, and so does for what is below.
        let length = usize::try_from(self.number).unwrap_or(0);
        Ok(match self.function {
            Function::Wildcard => Part::Wildcard { token: first },
            Function::Partition => {
                Part::Partition { count: self.number.cast_unsigned(), tokens: resolved }
            }
            Function::Random => Part::Random { below: self.number.unsigned_abs() },
            Function::SplitFromLeft => Part::Split { token: first, from: End::Left, length },
            Function::SplitFromRight => Part::Split { token: first, from: End::Right, length },
            Function::SliceFromLeft => Part::Slice { token: first, from: End::Left, length },
            Function::SliceFromRight => Part::Slice { token: first, from: End::Right, length },
            Function::Left => Part::Keep { token: first, from: End::Left, length },
            Function::Right => Part::Keep { token: first, from: End::Right, length },
            Function::Split => Part::SplitAt { token: first, delimiter: self.delimiter },
        })
    }
}

const BLANKS: [char; 5] = ['\t', '\n', '\x0c', '\r', ' '];

/// Whether `{{` and `}}` stand around something.
fn is_call(token: &str) -> bool {
    token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
}

/// The arguments of `name` somewhere in `token`, or `None` if it is not called there. Empty
/// parentheses are one empty argument.
fn arguments<'a>(token: &'a str, name: &str) -> Option<SmallVec<[&'a str; 4]>> {
    let list = token.match_indices("{{").find_map(|(start, braces)| {
        let rest = token[start + braces.len()..].trim_start_matches(BLANKS);
        let rest = strip_name(rest, name)?.trim_start_matches(BLANKS).strip_prefix('(')?;
        let closed = |end: &usize| rest[end + 1..].trim_start_matches(BLANKS).starts_with("}}");
        let end = rest.rmatch_indices(')').map(|(end, _)| end).find(closed)?;
        Some(&rest[..end])
    })?;
    let mut given: SmallVec<[&str; 4]> = list.split(',').collect();
    for argument in &mut given[1..] {
        *argument = argument.trim_start_matches(BLANKS);
    }
    Some(given)
}

/// What follows `name` in `text`; only the letters that are capital in `name` may be either.
fn strip_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(name.len())?;
    let same = start.bytes().zip(name.bytes()).all(|(given, letter)| {
        given == letter || letter.is_ascii_uppercase() && given == letter.to_ascii_lowercase()
    });
    same.then_some(rest)
}

fn in_token(token: &str) -> String {
    if token.is_empty() { String::new() } else { format!(" in {token}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every expected subject was read back from a stream of nats-server 2.15.1.
    #[test]
    fn applied() {
        let check = |source: &str, destination: &str, cases: &[(&str, Option<&str>)]| {
            let transform = SubjectTransform::for_mapping(source, destination).unwrap();
            for (subject, expected) in cases {
                let applied = transform.apply(subject.as_bytes(), 0);
                let applied = applied.map(|bytes| String::from_utf8(bytes).unwrap());
                assert_eq!(applied.as_deref(), *expected, "{source} {destination} {subject}");
            }
        };
        check("s.*", "t.$1", &[("s.abc", Some("t.abc")), ("s.abc.d", None), ("s", None)]);
        check("s.*.*", "t.$2.$1", &[("s.a.b", Some("t.b.a"))]);
        check("s.*.*", "t.$1", &[("s.a.b", Some("t.a"))]);
        check("s.*.*", "t.$0.$1", &[("s.a.b", Some("t.s.a"))]);
        check("s.*.*", "t.$-1.{{wildcard(0)}}", &[("s.a.b", Some("t.s.s"))]);
        check("s.*", "t.{{wildcard(-2)}}", &[("s.abc", Some("t.s"))]);
        check("s.*", "t.{{Wildcard( 1 )}}", &[("s.abc", Some("t.abc"))]);
        check("s.*", "t.{{ wildcard (1) }}", &[("s.abc", Some("t.abc"))]);
        check("s.*", "t.{{wildcard(+1)}}.$+1", &[("s.abc", Some("t.abc.abc"))]);
        check("s.*", "t.$1x", &[("s.abc", Some("t.$1x"))]);
        check("s.*", "t.{{}}", &[("s.abc", Some("t.{{}}"))]);
        check("s.*", "t.x{{wildcard(1)}}", &[("s.abc", Some("t.x{{wildcard(1)}}"))]);
        check("s.*", "t.{{bad{{wildcard(1)}}", &[("s.abc", Some("t.abc"))]);
        check("s.*", "t.{{wildcard(1)}}}}", &[("s.abc", Some("t.abc"))]);
        check("s.*", "{{wildcard(1)}}", &[("s.abc", Some("abc"))]);
        check(
            "s.*.q",
            "{{wildcard(1)}}.{{splitFromLeft(1,1)}}.k.$1",
            &[("s.abc.q", Some("abc.a.bc.k.abc")), ("s.abc.r", None)],
        );

        let partitions: [(_, _, &[_]); 9] = [
            ("s.*", "10,1", &[("s.abc", "1"), ("s.xyz", "8"), ("s.0", "3")]),
            ("s.*.*", "10,1,2", &[("s.abc.def", "6"), ("s.1.2", "0")]),
            ("s.*.*", "10, 2, 1", &[("s.abc.def", "6"), ("s.1.2", "4")]),
            ("s.*", "10", &[("s.abc", "8"), ("s.1", "7")]),
            // Without wildcards the tokens are not looked at.
            ("s.abc", "10", &[("s.abc", "8")]),
            ("s.abc", "10,5,6", &[("s.abc", "8")]),
            ("s.*", "0", &[("s.abc", "0")]),
            ("s.*", "-3", &[("s.abc", "2296380108")]),
            ("s.*", "-4294967299", &[("s.abc", "2296380108")]),
        ];
        for (source, list, cases) in partitions {
            let destination = format!("t.{{{{partition({list})}}}}");
            for (subject, partition) in cases {
                check(source, &destination, &[(subject, Some(&format!("t.{partition}")))]);
            }
        }
        check("s.*", "t.{{partition(3,0)}}", &[("s.abc", Some("t.1"))]);
        check("s.>", "t.{{partition(3)}}.>", &[("s.a.b", Some("t.0.a.b"))]);

        check(
            "s.*",
            "t.{{splitfromleft(1,2)}}",
            &[("s.abcdef", Some("t.ab.cdef")), ("s.ab", Some("t.ab")), ("s.abc", Some("t.ab.c"))],
        );
        check(
            "s.*",
            "t.{{SplitFromRight(1,2)}}",
            &[("s.abcdef", Some("t.abcd.ef")), ("s.ab", Some("t.ab")), ("s.abc", Some("t.a.bc"))],
        );
        check(
            "s.*",
            "t.{{SliceFromLeft(1,2)}}",
            &[
                ("s.abcdefg", Some("t.ab.cd.ef.g")),
                ("s.abcdef", Some("t.ab.cd.ef")),
                ("s.ab", Some("t.ab")),
                ("s.abc", Some("t.ab.c")),
            ],
        );
        check(
            "s.*",
            "t.{{sliceFromRight(1,2)}}",
            &[
                ("s.abcdefg", Some("t.a.bc.de.fg")),
                ("s.abcdef", Some("t.ab.cd.ef")),
                ("s.ab", Some("t.ab")),
                ("s.abc", Some("t.a.bc")),
            ],
        );
        check("s.*", "t.{{slicefromright(1,-2)}}", &[("s.abcdefg", Some("t.abcdefg"))]);
        check("s.*", "t.{{left(1,2)}}", &[("s.abcdef", Some("t.ab")), ("s.ab", Some("t.ab"))]);
        check("s.*", "t.{{Right(1,2)}}", &[("s.abcdef", Some("t.ef")), ("s.ab", Some("t.ab"))]);
        check(
            "s.*",
            "t.{{split(1,-)}}",
            &[
                ("s.a-b--c", Some("t.a.b.c")),
                ("s.-a-", Some("t.a")),
                ("s.--a", Some("t..a")),
                ("s.abc", Some("t.abc")),
                ("s.a--", Some("t.a")),
                ("s.-", Some("t.")),
                ("s.---", Some("t.")),
            ],
        );
        check("s.*", "t.{{split(1, -)}}", &[("s.1-2", Some("t.1.2"))]);
        check("s.*", "t.{{split(1,ab)}}", &[("s.1ab2ab3", Some("t.1.2.3"))]);
        check("s.*", "t.{{split(1,)}}", &[("s.aéb", Some("t.a.é.b"))]);

        check("x", "t.u", &[("x", Some("t.u")), ("y", None)]);
        check("x", "t.$foo.$", &[("x", Some("t.$foo.$"))]);
        check("s.>", "t.>", &[("s.a.b.c", Some("t.a.b.c")), ("s.a", Some("t.a")), ("s", None)]);
        check("s.*.>", "t.$1.u.>", &[("s.a.b.c", Some("t.a.u.b.c"))]);
        check("s.*.>", "t.u.>", &[("s.a.b.c", Some("t.u.b.c"))]);
        check("s.>", ">", &[("s.a.b", Some("a.b"))]);
        for source in [">", ""] {
            check(source, "t.>", &[("s.a.b", Some("t.s.a.b")), ("x", Some("t.x"))]);
            check(source, ">", &[("s.a.b", Some("s.a.b")), ("x", Some("x"))]);
        }
    }

    #[test]
    fn without_a_destination_it_is_a_filter() {
        let filter = SubjectTransform::new("s.*", "").unwrap();
        assert_eq!(filter.apply(b"s.a", 0).as_deref(), Some(&b"s.a"[..]));
        assert_eq!(filter.apply(b"t.a", 0), None);
        assert_eq!(filter.reverse(), None);
    }

    #[test]
    fn what_cannot_be_published_to_is_not_transformed() {
        let transform = SubjectTransform::new("s.>", "t.>").unwrap();
        for subject in ["s.*", "s.>", "s..a", "s.", "", "."] {
            assert_eq!(transform.apply(subject.as_bytes(), 0), None, "{subject:?}");
        }
    }

    #[test]
    fn random_numbers_are_the_callers() {
        let drawn = |destination: &str, random| {
            let transform = SubjectTransform::for_mapping("s.*", destination).unwrap();
            assert!(transform.is_random());
            String::from_utf8(transform.apply(b"s.a", random).unwrap()).unwrap()
        };
        assert_eq!(drawn("t.{{random(1)}}", 5), "t.0");
        assert_eq!(drawn("t.{{random(0)}}", 5), "t.0");
        assert_eq!(drawn("t.{{random(-1)}}", 5), "t.0");
        assert_eq!(drawn("t.{{Random( 10 )}}", 25), "t.5");
        assert_eq!(drawn("t.{{random(-10)}}", 25), "t.5");
        assert_eq!(drawn("t.{{random(10)}}", 0x8000_0019), "t.5");
        let pairs: std::collections::BTreeSet<_> =
            (0..100).map(|random| drawn("{{random(2)}}.{{random(2)}}", random)).collect();
        assert_eq!(pairs.len(), 4, "{pairs:?}");
        let literal = SubjectTransform::new("x", "t.{{random(3)}}").unwrap();
        assert_eq!(literal.apply(b"x", 4).as_deref(), Some(&b"t.1"[..]));
        assert!(!SubjectTransform::new("x", "t").unwrap().is_random());
    }

    /// Every expected text was read from an API error of nats-server 2.15.1.
    #[test]
    fn refused() {
        let check = |source: &str, destination: &str, expected: &str| {
            let error = SubjectTransform::for_mapping(source, destination).unwrap_err();
            assert_eq!(error.to_string(), expected, "{source} {destination}");
        };
        let prefix = "invalid mapping destination:";
        let function = |call: &str, expected: &str| {
            check("s.*", &format!("t.{call}"), &format!("{prefix} {expected} in {call}"));
        };
        let format = "function argument is invalid or in the wrong format";
        function("{{WILDCARD(1)}}", "unknown function");
        function("{{foo(1)}}", "unknown function");
        function("{{a}}", "unknown function");
        function("{{wildcard(1)x}}", "unknown function");
        function("{{wildcard()}}", "not enough arguments passed to the function");
        function("{{wildcard(1,2)}}", "too many arguments passed to the function");
        function("{{wildcard(x)}}", format);
        function("{{wildcard(1))}}", format);
        function("{{partition()}}", format);
        function("{{partition(2147483648)}}", format);
        function("{{partition(3,x)}}", format);
        function("{{SplitFromLeft(1)}}", "not enough arguments passed to the function");
        function("{{SplitFromLeft(1,2,3)}}", "too many arguments passed to the function");
        function("{{SplitFromLeft(1,99999999999)}}", format);
        function("{{SplitFromLeft(x,1)}}", format);
        function("{{split(1,- )}}", format);
        function("{{split(1)}}", "not enough arguments passed to the function");
        function("{{split(1,a,b)}}", "too many arguments passed to the function");
        function("{{random()}}", format);
        function("{{random(1,2)}}", "not enough arguments passed to the function");
        function("{{random(2147483648)}}", format);
        let range = "invalid mapping destination: wildcard index out of range in";
        check("s.*", "t.{{wildcard(2)}}", &format!("{range} {{{{wildcard(2)}}}}: [2]"));
        check("s.*", "t.$2", &format!("{range} $2: [2]"));
        check("s.*", "t.{{partition(3,2)}}", &format!("{range} {{{{partition(3,2)}}}}: [2]"));
        check("s.>", "t.{{wildcard(1)}}.>", &format!("{range} {{{{wildcard(1)}}}}: [1]"));
        check("x", "t.$1", &format!("{range} $1"));
        check("x", "t.{{wildcard(1)}}", &format!("{range} {{{{wildcard(1)}}}}"));
        check("x", "t.{{left(1,1)}}", &format!("{range} {{{{left(1,1)}}}}"));
        check("s.*", "t.>", "invalid subject");
        check("s.>", "t", "invalid subject");
        check("s.*", "t.*", "invalid subject");
        check("s..x", "t", "invalid subject");
        check("s.*", "t.u v", "invalid mapping destination: invalid transform");
        check("s.*", "t..v", "invalid mapping destination: invalid transform");
        check("s.*", "t.>.x", "invalid mapping destination: invalid transform in x");
        // Without the checks of a mapping, as for `republish`.
        assert!(SubjectTransform::new("s.*", "t.u v").is_ok());
        assert_eq!(SubjectTransform::new("s.*", "t..v"), Err(TransformError::InvalidSubject));
    }

    #[test]
    fn reversible_ones() {
        let check = |source: &str, destination: &str, expected: &str| {
            let error = SubjectTransform::reversible(source, destination).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid mapping destination: {expected}"));
        };
        check("s.*.*", "t.$1", "not using all of the token wildcard(s) in t.$1");
        check(
            "s.*",
            "t.{{partition(3,1)}}",
            "the only mapping function allowed for import transforms is {{Wildcard()}} in \
             {{partition(3,1)}}",
        );
        for (source, destination) in [
            ("s.*.*.*", "t.$2.{{wildcard(3)}}.$1"),
            ("s.a", "t.b.c"),
            ("*.>", "x.$1.>"),
            (">", ">"),
        ] {
            let transform = SubjectTransform::reversible(source, destination).unwrap();
            let back = transform.reverse().unwrap();
            for subject in ["s.a", "s.a.b.c", "s.x.yy.z", "t.b.c"] {
                if let Some(there) = transform.apply(subject.as_bytes(), 0) {
                    assert_eq!(back.apply(&there, 0).as_deref(), Some(subject.as_bytes()));
                }
            }
        }
        let lossy = [("s.*.*", "t.$1"), ("s.*", "t.{{left(1,2)}}")];
        for (source, destination) in lossy {
            assert_eq!(SubjectTransform::new(source, destination).unwrap().reverse(), None);
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        let transform = SubjectTransform::new("s.*", "t.{{split(1,)}}").unwrap();
        assert_eq!(transform.apply(b"s.\xe2\x82a", 0).as_deref(), Some(&b"t.\xe2.\x82.a"[..]));
    }

    proptest! {
        #[test]
        fn never_panics(
            source in "([a*>$]|\\{\\{|\\}\\}|\\.){0,6}",
            destination in "([a*>$1]|\\.|\\{\\{|\\}\\}|\\(|\\)|,|-|wildcard|[Pp]artition|split|left|sliceFromRight|random){0,9}",
            subjects in proptest::collection::vec("[a-c.*>é-]{0,9}", 0..4),
        ) {
            for transform in [
                SubjectTransform::new(&source, &destination),
                SubjectTransform::for_mapping(&source, &destination),
                SubjectTransform::reversible(&source, &destination),
            ].into_iter().flatten() {
                let _ = transform.reverse();
                for subject in &subjects {
                    let _ = transform.apply(subject.as_bytes(), 7);
                }
            }
        }
    }
}
