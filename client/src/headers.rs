//! The headers of a message: a received block as it came, or entries to be written.
//!
//! A received block is looked at in place and copied only when it is changed. How a block is
//! read and written is decided in `fulmar_protocol::headers`.

use std::fmt;

use bytes::Bytes;
use fulmar_protocol::headers::{HeaderMap as Entries, Headers};

pub use fulmar_protocol::headers::HeaderError;

/// The headers of a message: names and values in order; a name may occur several times.
///
/// Names are compared with their case, as servers do.
///
/// ```
/// use fulmar_client::HeaderMap;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("Content-Type", "text/plain")?;
/// headers.append("Trace", "a")?;
/// headers.append("Trace", "b")?;
/// assert_eq!(headers.get("Content-Type"), Some("text/plain"));
/// assert_eq!(headers.get_all("Trace").collect::<Vec<_>>(), ["a", "b"]);
/// # Ok::<(), fulmar_client::HeaderError>(())
/// ```
#[derive(Clone)]
pub struct HeaderMap(Repr);

#[derive(Clone)]
enum Repr {
    // Invariant: UTF-8, and no status in the first line. So `get` can borrow text, and the block
    // may be written again as it is.
    Block(Bytes),
    Entries(Entries),
}

impl HeaderMap {
    /// No headers.
    pub fn new() -> Self {
        Self(Repr::Entries(Entries::new()))
    }

    /// The headers of a received block.
    pub(crate) fn received(block: Bytes) -> Self {
        let headers = Headers::new(&block);
        if headers.status().is_none() && std::str::from_utf8(&block).is_ok() {
            return Self(Repr::Block(block));
        }
        Self(Repr::Entries(Entries::from(headers)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// How many there are; a name with two values counts twice.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Sets `name` to `value` and forgets earlier values.
    ///
    /// # Errors
    ///
    /// The name or the value cannot be a header; nothing is changed then.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), HeaderError> {
        self.entries().insert(name, value)
    }

    /// Adds `value` to those `name` has.
    ///
    /// # Errors
    ///
    /// The name or the value cannot be a header; nothing is changed then.
    pub fn append(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), HeaderError> {
        self.entries().append(name, value)
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The last value of `name`.
    pub fn get_last(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(key, _)| *key == name).map(|(_, value)| value).last()
    }

    /// All values of `name`, in the order in which they were written.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Names and values in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let (block, entries) = match &self.0 {
            Repr::Block(block) => (Some(Headers::new(block)), None),
            Repr::Entries(entries) => (None, Some(entries)),
        };
        let block = block.into_iter().flat_map(Headers::iter);
        let block = block.map(|(name, value)| (checked_text(name), checked_text(value)));
        block.chain(entries.into_iter().flat_map(Entries::iter))
    }

    /// The same without the headers of these names.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let mut block = Vec::new();
        self.encode(&mut block);
        let mut kept = Vec::with_capacity(block.len());
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            if !names.iter().any(|other| other.as_bytes() == name) {
                kept.extend_from_slice(line);
            }
        }
        Self::received(kept.into())
    }

    /// Appends the block, its blank line included.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Block(block) => out.extend_from_slice(block),
            Repr::Entries(entries) => entries.encode(out),
        }
    }

    fn entries(&mut self) -> &mut Entries {
        if let Repr::Block(block) = &self.0 {
            self.0 = Repr::Entries(Entries::from(Headers::new(block)));
        }
        match &mut self.0 {
            Repr::Entries(entries) => entries,
            Repr::Block(_) => unreachable!("replaced above"),
        }
    }
}

/// A name or a value, which ends at a colon or a line end: a cut between characters.
fn checked_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the block was checked when it was received")
}

impl Default for HeaderMap {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for HeaderMap {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for HeaderMap {}

impl fmt::Debug for HeaderMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(headers: &HeaderMap) -> Vec<u8> {
        let mut out = Vec::new();
        headers.encode(&mut out);
        out
    }

    #[test]
    fn a_received_block_can_be_changed() {
        let mut headers =
            HeaderMap::received(Bytes::from_static(b"NATS/1.0\r\nA: 1\r\nB:2\r\n\r\n"));
        assert_eq!((headers.get("A"), headers.get("a"), headers.len()), (Some("1"), None, 2));
        assert_eq!(block(&headers), b"NATS/1.0\r\nA: 1\r\nB:2\r\n\r\n");
        headers.insert("A", "3").unwrap();
        headers.append("B", "4").unwrap();
        assert_eq!(headers.get_all("B").collect::<Vec<_>>(), ["2", "4"]);
        assert_eq!((headers.get("A"), headers.get_last("B")), (Some("3"), Some("4")));
    }

    #[test]
    fn a_status_is_not_written_again() {
        let headers = HeaderMap::received(Bytes::from_static(b"NATS/1.0 503\r\nA: 1\r\n\r\n"));
        assert_eq!(block(&headers), b"NATS/1.0\r\nA: 1\r\n\r\n");
    }

    #[test]
    fn some_names_are_left_out() {
        let headers = HeaderMap::received(Bytes::from_static(
            b"NATS/1.0\r\nA: 1\r\nB: A: 2\r\nA:3\r\nAB:4\r\n\r\n",
        ));
        let rest = headers.without(&["A", "C"]);
        assert_eq!(block(&rest), b"NATS/1.0\r\nB: A: 2\r\nAB:4\r\n\r\n");
        assert!(headers.without(&["A", "B", "AB"]).is_empty());
        assert!(HeaderMap::new().without(&["A"]).is_empty());
    }

    proptest! {
        #[test]
        fn any_block_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = [b"NATS/1.0\r\n", &bytes[..], b"\r\n\r\n"].concat();
            let headers = HeaderMap::received(Bytes::from(bytes.clone()));
            prop_assert_eq!(headers.iter().count(), Headers::new(&bytes).iter().count());
            let again = HeaderMap::received(Bytes::from(block(&headers)));
            prop_assert_eq!(again.len(), headers.len());
        }
    }
}
