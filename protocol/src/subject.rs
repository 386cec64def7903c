//! Subjects and filters: dot-separated tokens, parsed once into types that cannot be wrong.
//!
//! A [`Subject`] is what a message is published to; a [`Filter`] is what a subscription asks
//! for, with `*` for one token and `>` for one or more at the end. Both borrow bytes: NATS never
//! checks that they are UTF-8.

use std::fmt;

/// A well-formed subject without wildcards.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject<'a>(&'a [u8]);

/// A well-formed filter, which may have wildcards.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Filter<'a> {
    bytes: &'a [u8],
    wildcard: bool,
}

/// Why bytes are no subject, or no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// There is nothing.
    #[error("the subject is empty")]
    Empty,
    /// Two dots meet, or one stands at an end.
    #[error("the subject has an empty token")]
    EmptyToken,
    /// A space, tab, carriage return or line feed.
    #[error("the subject has a blank in it")]
    Blank,
    /// `>` is not the last token.
    #[error("'>' is not the last token of the subject")]
    TailNotLast,
    /// A wildcard where none may be.
    #[error("the subject has a wildcard")]
    Wildcard,
}

impl<'a> Subject<'a> {
    /// Parses a subject that may be published to.
    ///
    /// # Errors
    ///
    /// The subject is malformed or has a wildcard token.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SubjectError> {
        let filter = Filter::parse(bytes)?;
        if filter.wildcard {
            return Err(SubjectError::Wildcard);
        }
        Ok(Self(bytes))
    }

    /// The bytes it was parsed from.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Filter<'a> {
    /// Parses a filter.
    ///
    /// # Errors
    ///
    /// A token is empty or has a blank in it, or `>` is not last.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SubjectError> {
        if bytes.is_empty() {
            return Err(SubjectError::Empty);
        }
        let mut wildcard = false;
        let mut tail_seen = false;
        for token in tokens(bytes) {
            if tail_seen {
                return Err(SubjectError::TailNotLast);
            }
            match token {
                [] => return Err(SubjectError::EmptyToken),
                b"*" => wildcard = true,
                b">" => (wildcard, tail_seen) = (true, true),
                token if token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) => {
                    return Err(SubjectError::Blank);
                }
                _ => {}
            }
        }
        Ok(Self { bytes, wildcard })
    }

    /// The bytes it was parsed from.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether a token is `*` or `>`.
    pub fn has_wildcard(self) -> bool {
        self.wildcard
    }

    /// How many tokens it has; at least one.
    pub fn token_count(self) -> usize {
        tokens(self.bytes).count()
    }

    /// Whether a message published to `subject` is for this filter.
    ///
    /// `subject` may be any bytes: what is published is not checked. A wildcard in it stands for
    /// itself, so only a wildcard of the filter meets it.
    pub fn matches(self, subject: &[u8]) -> bool {
        if !self.wildcard {
            return self.bytes == subject;
        }
        let mut subject_tokens = tokens(subject);
        for token in tokens(self.bytes) {
            let Some(subject_token) = subject_tokens.next() else { return false };
            match token {
                b">" => return true,
                b"*" => {}
                token if token != subject_token => return false,
                _ => {}
            }
        }
        subject_tokens.next().is_none()
    }

    /// Whether some subject is for both filters.
    pub fn overlaps(self, other: Filter<'_>) -> bool {
        let (mut own_tokens, mut other_tokens) = (tokens(self.bytes), tokens(other.bytes));
        loop {
            match (own_tokens.next(), other_tokens.next()) {
                (None, None) | (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(b"*"), _) | (_, Some(b"*")) => {}
                (Some(own), Some(other)) if own != other => return false,
                _ => {}
            }
        }
    }

    /// Whether every subject that is for this filter is for `other` as well.
    pub fn is_subset_of(self, other: Filter<'_>) -> bool {
        let mut own_tokens = tokens(self.bytes);
        for wanted in tokens(other.bytes) {
            match (own_tokens.next(), wanted) {
                (None, _) => return false,
                (Some(_), b">") => return true,
                (Some(b">"), _) => return false,
                (Some(_), b"*") => {}
                (Some(own), wanted) if own != wanted => return false,
                _ => {}
            }
        }
        own_tokens.next().is_none()
    }
}

/// The tokens between the dots, empty ones included.
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    // A plain byte loop: tokens are too short for a vector search to pay (12 against 24 ns).
    subject.split(|byte| *byte == b'.')
}

/// Whether every token of `subject` is neither empty nor a wildcard: what pedantic checks.
pub fn is_publishable(subject: &[u8]) -> bool {
    Subject::parse(subject).is_ok()
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

impl fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters() {
        let check = |bytes: &str, expected: Result<bool, SubjectError>| {
            assert_eq!(
                Filter::parse(bytes.as_bytes()).map(Filter::has_wildcard),
                expected,
                "{bytes}"
            );
        };
        check("foo", Ok(false));
        check("foo.bar", Ok(false));
        check("foo.*", Ok(true));
        check(">", Ok(true));
        check("*.*.>", Ok(true));
        check("foo*.bar>", Ok(false));
        check("", Err(SubjectError::Empty));
        check(".", Err(SubjectError::EmptyToken));
        check("foo.", Err(SubjectError::EmptyToken));
        check(".foo", Err(SubjectError::EmptyToken));
        check("foo..bar", Err(SubjectError::EmptyToken));
        check("foo.>.bar", Err(SubjectError::TailNotLast));
        check("foo. .bar", Err(SubjectError::Blank));
    }

    #[test]
    fn subjects() {
        assert!(is_publishable(b"foo.bar"));
        assert!(is_publishable(b"foo*.b>r"));
        assert!(is_publishable("käse.\u{1f9c0}".as_bytes()));
        assert!(is_publishable(b"\xff.\xfe"));
        assert_eq!(Subject::parse(b"foo.*"), Err(SubjectError::Wildcard));
        assert_eq!(Subject::parse(b"foo.."), Err(SubjectError::EmptyToken));
    }

    #[test]
    fn matching() {
        let check = |filter: &str, subject: &str, expected: bool| {
            let matched = Filter::parse(filter.as_bytes()).unwrap().matches(subject.as_bytes());
            assert_eq!(matched, expected, "{filter} {subject}");
        };
        check("foo", "foo", true);
        check("foo", "foo.bar", false);
        check("foo.*", "foo.bar", true);
        check("foo.*", "foo", false);
        check("foo.*", "foo.bar.baz", false);
        check("*.bar", "foo.bar", true);
        check("foo.>", "foo.bar.baz", true);
        check("foo.>", "foo", false);
        check(">", "anything.at.all", true);
        check("foo.*", "foo.*", true);
        check("foo.bar", "foo.*", false);
        check("foo.>", "foo.>", true);
    }

    /// All there is to match with two names and up to four tokens: longer subjects meet filters
    /// of at most three tokens as those of four do.
    fn all_subjects() -> Vec<Vec<u8>> {
        let mut subjects: Vec<Vec<u8>> = vec![];
        let mut last: Vec<Vec<u8>> = vec![vec![]];
        for _ in 0..4 {
            last = last
                .iter()
                .flat_map(|subject| {
                    // "c" stands for every name that no filter has.
                    ["a", "b", "c"].map(|token| {
                        let mut longer = subject.clone();
                        if !longer.is_empty() {
                            longer.push(b'.');
                        }
                        longer.extend_from_slice(token.as_bytes());
                        longer
                    })
                })
                .collect();
            subjects.extend_from_slice(&last);
        }
        subjects
    }

    #[test]
    fn overlaps_and_subsets_are_what_enumeration_says() {
        let tokens = ["a", "b", "*", ">"];
        let mut filters = Vec::new();
        for first in tokens {
            filters.push(first.to_owned());
            for second in tokens {
                filters.push(format!("{first}.{second}"));
                filters.extend(tokens.map(|third| format!("{first}.{second}.{third}")));
            }
        }
        let filters: Vec<_> =
            filters.iter().filter_map(|filter| Filter::parse(filter.as_bytes()).ok()).collect();
        assert_eq!(filters.len(), 4 + 3 * 4 + 3 * 3 * 4);
        let subjects = all_subjects();
        let matched: Vec<Vec<bool>> = filters
            .iter()
            .map(|filter| subjects.iter().map(|subject| filter.matches(subject)).collect())
            .collect();
        for (one, of_one) in filters.iter().zip(&matched) {
            for (other, of_other) in filters.iter().zip(&matched) {
                let mut pairs = of_one.iter().zip(of_other);
                let both = pairs.clone().any(|(one, other)| *one && *other);
                assert_eq!(one.overlaps(*other), both, "{one:?} overlaps {other:?}");
                let within = pairs.all(|(one, other)| !one || *other);
                assert_eq!(one.is_subset_of(*other), within, "{one:?} is subset of {other:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_filter_matches_itself_taken_as_a_subject(filter in "[ab*>](\\.[ab*>]){0,4}") {
            if let Ok(parsed) = Filter::parse(filter.as_bytes()) {
                prop_assert!(parsed.matches(filter.as_bytes()));
            }
        }
    }
}
