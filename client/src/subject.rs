//! A subject as a message carries it: cheap to make from received bytes, cheap to clone.
//!
//! NATS never checks that subjects are UTF-8, Rust users want `&str`: both are kept here, so
//! that nothing else needs to know. Whether a subject is well formed is decided in
//! `fulmar_protocol::subject`.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

/// A subject, or a reply address.
///
/// It reads as a `&str`. Subjects of up to 38 bytes lie in place, so that
/// receiving one takes no allocation and no reference count; longer ones share the memory of the
/// message they came with.
///
/// ```
/// use fulmar_client::Subject;
///
/// let subject = Subject::from("orders.eu.created");
/// assert_eq!(subject, "orders.eu.created");
/// assert_eq!(subject.split('.').nth(1), Some("eu"));
/// ```
#[derive(Clone)]
pub struct Subject(Repr);

/// The longest subject that lies in place: then a `Subject` is as large as [`Bytes`] and its tag.
const INLINE_BYTES_MAX: usize = 38;

/// Invariant: what [`Subject::as_str`] gives was checked to be UTF-8 when the value was made.
#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Shared(Bytes),
    // Somebody publishes to bytes that are not UTF-8: rare, so it may cost two allocations.
    Lossy(Arc<Lossy>),
}

struct Lossy {
    raw: Bytes,
    text: String,
}

impl Subject {
    /// A subject from received bytes, which lie in `slab`.
    pub(crate) fn received(slab: &Bytes, bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE_BYTES_MAX && bytes.is_ascii() {
            // A copy of fixed length is a few instructions, one of any length a call. What lies
            // behind the subject is copied too where there is enough of it, and never looked at.
            let offset = bytes.as_ptr().addr() - slab.as_ptr().addr();
            let fixed = slab.get(offset..offset + INLINE_BYTES_MAX);
            if let Some(fixed) = fixed.and_then(|fixed| fixed.try_into().ok()) {
                return Self(Repr::Inline { len: inline_len(bytes), bytes: fixed });
            }
        }
        if let Some(inline) = inline(bytes) {
            return Self(inline);
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Self(Repr::Shared(slab.slice_ref(bytes))),
            Err(_) => Self(Repr::Lossy(Arc::new(Lossy {
                raw: slab.slice_ref(bytes),
                text: String::from_utf8_lossy(bytes).into_owned(),
            }))),
        }
    }

    /// The subject as text. Where its bytes are not UTF-8, U+FFFD stands for them.
    pub fn as_str(&self) -> &str {
        let checked = match &self.0 {
            Repr::Inline { len, bytes } => std::str::from_utf8(&bytes[..usize::from(*len)]),
            Repr::Shared(bytes) => std::str::from_utf8(bytes),
            Repr::Lossy(lossy) => return &lossy.text,
        };
        checked.expect("checked when the subject was made")
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
            Repr::Lossy(lossy) => &lossy.raw,
        }
    }

    /// The subject as a `String`; see [`Subject::as_str`].
    pub fn into_string(self) -> String {
        self.as_str().to_owned()
    }

    /// Whether it has neither empty tokens nor blanks, and `>` only at its end.
    pub fn is_valid(&self) -> bool {
        fulmar_protocol::subject::Filter::parse(self.as_bytes()).is_ok()
    }
}

fn inline(bytes: &[u8]) -> Option<Repr> {
    let mut array = [0; INLINE_BYTES_MAX];
    // `is_ascii` and not a check for UTF-8: it is a fraction of the time, and nearly always true.
    if bytes.len() > INLINE_BYTES_MAX || !(bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()) {
        return None;
    }
    array[..bytes.len()].copy_from_slice(bytes);
    Some(Repr::Inline { len: inline_len(bytes), bytes: array })
}

fn inline_len(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).expect("not longer than INLINE_BYTES_MAX")
}

/// What can be used where a subject is asked for: text, or a [`Subject`].
pub trait ToSubject {
    /// The bytes on the wire.
    fn subject_bytes(&self) -> &[u8];

    /// The subject as a value of its own.
    fn to_subject(&self) -> Subject {
        let bytes = self.subject_bytes();
        if let Some(inline) = inline(bytes) {
            return Subject(inline);
        }
        let slab = Bytes::copy_from_slice(bytes);
        Subject::received(&slab, &slab)
    }
}

impl ToSubject for str {
    fn subject_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl ToSubject for String {
    fn subject_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl ToSubject for Subject {
    fn subject_bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn to_subject(&self) -> Subject {
        self.clone()
    }
}

impl<T: ToSubject + ?Sized> ToSubject for &T {
    fn subject_bytes(&self) -> &[u8] {
        (**self).subject_bytes()
    }

    fn to_subject(&self) -> Subject {
        (**self).to_subject()
    }
}

impl From<&str> for Subject {
    fn from(text: &str) -> Self {
        Self(
            inline(text.as_bytes())
                .unwrap_or_else(|| Repr::Shared(Bytes::copy_from_slice(text.as_bytes()))),
        )
    }
}

impl From<String> for Subject {
    fn from(text: String) -> Self {
        Self(inline(text.as_bytes()).unwrap_or_else(|| Repr::Shared(Bytes::from(text))))
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.into_string()
    }
}

impl Deref for Subject {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Subject {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Subject {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

// All comparisons are those of the text, as `Borrow<str>` demands.
impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Subject {}

impl PartialEq<str> for Subject {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Subject {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Subject {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_and_text_are_kept(raw in proptest::collection::vec(any::<u8>(), 0..80), before in 0usize..4, after in 0usize..50) {
            let slab = Bytes::from([&vec![b'x'; before], &raw[..], &vec![b'y'; after]].concat());
            let subject = Subject::received(&slab, &slab[before..before + raw.len()]);
            prop_assert_eq!(subject.as_bytes(), &raw[..]);
            prop_assert_eq!(subject.as_str(), String::from_utf8_lossy(&raw));
            let copy = subject.to_subject();
            prop_assert_eq!(copy.as_bytes(), &raw[..]);
        }

        #[test]
        fn made_from_text(text in "\\PC{0,60}") {
            let subject = Subject::from(text.as_str());
            prop_assert_eq!(&subject, text.as_str());
            prop_assert_eq!(&subject, &Subject::from(text.clone()));
            prop_assert_eq!(subject.into_string(), text);
        }
    }

    #[test]
    fn is_no_larger_than_a_shared_slice_and_its_tag() {
        assert_eq!(size_of::<Option<Subject>>(), size_of::<Bytes>() + size_of::<usize>());
    }
}
