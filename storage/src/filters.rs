//! Which subjects someone wants: filters, parsed once, and asked very often.
//!
//! It knows tokens and wildcards. It refuses to know who wants the subjects, and what for.

use std::cell::{RefCell, RefMut};
use std::fmt;

use fulmar_protocol::subject::{Filter, SubjectError, tokens};

use crate::subjects::Memory;

/// Subject filters, of which one has to match. None at all match every subject.
///
/// A stream's index remembers in them what it found out about them. That does not change what
/// they are: they are equal to filters that were never used, and a clone remembers nothing.
#[derive(Default)]
pub struct Filters {
    patterns: Vec<Pattern>,
    memory: RefCell<Option<Box<Memory>>>,
}

/// One filter, taken apart as far as that makes matching quick.
#[derive(Clone)]
pub(crate) struct Pattern {
    bytes: Box<[u8]>,
    /// Bytes before the first wildcard token: all of them if there is none.
    literal_bytes: usize,
    tail: Tail,
}

/// What comes behind the literal bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// `>` alone.
    Anything,
    Tokens,
}

impl Filters {
    /// Filters that match every subject.
    pub fn all() -> Self {
        Self::default()
    }

    /// Parses filters. One that is there twice counts once, and with `>` among them they match
    /// every subject.
    ///
    /// # Errors
    ///
    /// What is wrong with the first one that is malformed.
    pub fn parse<T: AsRef<[u8]>>(
        filters: impl IntoIterator<Item = T>,
    ) -> Result<Self, SubjectError> {
        let mut patterns: Vec<Pattern> = Vec::new();
        for filter in filters {
            let pattern = Pattern::new(Filter::parse(filter.as_ref())?);
            if patterns.iter().all(|known| known.bytes != pattern.bytes) {
                patterns.push(pattern);
            }
        }
        if patterns.iter().any(|pattern| &*pattern.bytes == b">") {
            patterns.clear();
        }
        Ok(Self { patterns, memory: RefCell::default() })
    }

    /// Whether they match a message of this subject.
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(subject))
    }

    /// Whether they match every subject.
    pub fn is_all(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The filters as they were written, in their order; none if they match every subject.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.patterns.iter().map(Pattern::as_bytes)
    }

    /// The filters, if none of them has a wildcard and there is one.
    pub(crate) fn literals(&self) -> Option<impl ExactSizeIterator<Item = &[u8]>> {
        let literal = !self.is_all() && !self.patterns.iter().any(Pattern::has_wildcard);
        literal.then(|| self.iter())
    }

    pub(crate) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// What the index with this identity remembers.
    pub(crate) fn memory(&self, identity: u64) -> RefMut<'_, Memory> {
        RefMut::map(self.memory.borrow_mut(), |memory| {
            &mut **memory.get_or_insert_with(|| Box::new(Memory::new(identity)))
        })
    }
}

impl Clone for Filters {
    fn clone(&self) -> Self {
        Self { patterns: self.patterns.clone(), memory: RefCell::default() }
    }
}

impl Pattern {
    /// The pattern that matches every subject.
    pub(crate) fn everything() -> Self {
        Self { bytes: Box::from(&b">"[..]), literal_bytes: 0, tail: Tail::Anything }
    }

    fn new(filter: Filter<'_>) -> Self {
        let bytes = filter.as_bytes();
        let mut literal_bytes = 0;
        let mut tail = Tail::Nothing;
        for token in tokens(bytes) {
            match token {
                b">" => tail = Tail::Anything,
                b"*" => tail = Tail::Tokens,
                _ => {
                    literal_bytes += token.len() + 1;
                    continue;
                }
            }
            break;
        }
        if tail == Tail::Nothing {
            literal_bytes = bytes.len();
        }
        Self { bytes: bytes.into(), literal_bytes, tail }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn has_wildcard(&self) -> bool {
        self.tail != Tail::Nothing
    }

    /// As [`Filter::matches`], with most subjects told by their first bytes.
    pub(crate) fn matches(&self, subject: &[u8]) -> bool {
        let (literal, pattern_rest) = self.bytes.split_at(self.literal_bytes);
        let Some(subject_rest) = subject.strip_prefix(literal) else { return false };
        match self.tail {
            Tail::Nothing => subject_rest.is_empty(),
            Tail::Anything => true,
            Tail::Tokens => {
                let mut subject_tokens = tokens(subject_rest);
                for token in tokens(pattern_rest) {
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
        }
    }
}

impl PartialEq for Filters {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Filters {}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn none_and_the_full_wildcard_match_everything() {
        let all = Filters::parse(["a.b", ">", "c"]).unwrap();
        assert!(all.is_all() && all.matches(b"x") && all.iter().len() == 0);
        assert_eq!(all, Filters::all());
        assert_eq!(Filters::parse(["a"; 2]).unwrap().iter().len(), 1);
        assert_eq!(Filters::parse(["a", "b..c"]), Err(SubjectError::EmptyToken));
        let filters = Filters::parse(["a.*", "b"]).unwrap();
        assert!(filters.matches(b"a.1") && filters.matches(b"b") && !filters.matches(b"a"));
    }

    proptest! {
        #[test]
        fn it_matches_what_the_protocol_says(
            filter in "[ab*>]{1,2}(\\.[ab*>]{1,2}){0,4}",
            subject in "[ab*>.]{1,9}",
        ) {
            if let Ok(filter) = Filter::parse(filter.as_bytes()) {
                let subject = subject.as_bytes();
                prop_assert_eq!(Pattern::new(filter).matches(subject), filter.matches(subject));
            }
        }
    }
}
