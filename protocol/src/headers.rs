//! The header block of a message: `NATS/1.0`, an optional status, `Key: Value` lines, a blank line.
//!
//! [`Headers`] reads a block lazily, without copying; [`HeaderMap`] builds one. Names are
//! compared with their case, as nats-server does.

use std::fmt;

use memchr::memmem;

/// The first line of every block.
const VERSION: &[u8] = b"NATS/1.0";

/// A header block that somebody else wrote, looked at in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// Looks at `block`, which should begin with `NATS/1.0` and end with a blank line. Lines
    /// that are not `Key: Value` are passed over: a block is data of the publisher and need not
    /// be well formed.
    pub fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    /// The bytes of the block.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The value of the first header called `name`, without leading blanks.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
    }

    /// The values of all headers called `name`, in the order in which they were written.
    pub fn get_all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values in the order in which they were written.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        lines(self.0).skip(1).filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }

    /// The status in the first line, as in `NATS/1.0 503 No Responders`: code and description.
    pub fn status(self) -> Option<(u16, &'a [u8])> {
        let rest = lines(self.0).next()?.strip_prefix(VERSION)?.trim_ascii();
        let (code, description) = rest.split_at_checked(3)?;
        let code = std::str::from_utf8(code).ok()?.parse().ok()?;
        Some((code, description.trim_ascii()))
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

/// The lines up to the blank one.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let end = memmem::find(rest, b"\r\n")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        (!line.is_empty()).then_some(line)
    })
}

/// Headers to be written: names and values in order; a name may occur several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMap {
    entries: Vec<(String, String)>,
}

/// Why a name or a value cannot be a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A name is empty, or has a colon, a blank or a control character in it.
    #[error("{0:?} cannot be the name of a header: use visible characters other than ':'")]
    Name(String),
    /// A value has a line end in it.
    #[error("the value of header {0:?} has a line end in it")]
    Value(String),
}

impl HeaderMap {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets `name` to `value` and forgets earlier values.
    ///
    /// # Errors
    ///
    /// See [`HeaderError`]; nothing is changed then.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), HeaderError> {
        let (name, value) = checked(name.into(), value.into())?;
        self.entries.retain(|(key, _)| *key != name);
        self.entries.push((name, value));
        Ok(())
    }

    /// Adds `value` to those `name` has.
    ///
    /// # Errors
    ///
    /// See [`HeaderError`]; nothing is changed then.
    pub fn append(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), HeaderError> {
        self.entries.push(checked(name.into(), value.into())?);
        Ok(())
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name`.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Appends the block, its blank line included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(VERSION);
        out.extend_from_slice(b"\r\n");
        for (name, value) in &self.entries {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl From<Headers<'_>> for HeaderMap {
    /// Copies what [`Headers::iter`] shows; bytes that are not UTF-8 become U+FFFD.
    fn from(headers: Headers<'_>) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { entries: headers.iter().map(|(name, value)| (text(name), text(value))).collect() }
    }
}

fn checked(name: String, value: String) -> Result<(String, String), HeaderError> {
    let visible = |byte: u8| byte.is_ascii_graphic() || !byte.is_ascii();
    if name.is_empty() || !name.bytes().all(|byte| visible(byte) && byte != b':') {
        return Err(HeaderError::Name(name));
    }
    if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(HeaderError::Value(name));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn looked_at_in_place() {
        let headers = Headers::new(b"NATS/1.0\r\nA: 1\r\na:2\r\nA:   3\r\nbroken\r\n\r\n");
        assert_eq!(headers.get("A"), Some(&b"1"[..]));
        assert_eq!(headers.get("a"), Some(&b"2"[..]));
        assert_eq!(headers.get_all("A").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(headers.get("broken"), None);
        assert_eq!(headers.status(), None);
    }

    #[test]
    fn statuses() {
        let check = |block: &str, expected: Option<(u16, &str)>| {
            let status = Headers::new(block.as_bytes()).status();
            assert_eq!(status, expected.map(|(code, text)| (code, text.as_bytes())), "{block:?}");
        };
        check("NATS/1.0 503\r\n\r\n", Some((503, "")));
        check("NATS/1.0 404 No Messages\r\n\r\n", Some((404, "No Messages")));
        check("NATS/1.0\r\n\r\n", None);
        check("NATS/1.0 x\r\n\r\n", None);
        check("", None);
    }

    #[test]
    fn bad_names_and_values() {
        let mut map = HeaderMap::new();
        assert!(map.insert("", "x").is_err());
        assert!(map.insert("a b", "x").is_err());
        assert!(map.insert("a:b", "x").is_err());
        assert!(map.insert("a", "x\r\ny").is_err());
        assert!(map.is_empty());
    }

    proptest! {
        #[test]
        fn written_and_read_back(entries in proptest::collection::vec(("[A-Za-z-]{1,9}", "[a-z0-9:]{0,9}"), 0..6)) {
            let mut map = HeaderMap::new();
            for (name, value) in &entries {
                map.append(name.as_str(), value.as_str()).unwrap();
            }
            let mut block = Vec::new();
            map.encode(&mut block);
            prop_assert_eq!(HeaderMap::from(Headers::new(&block)), map);
        }

        #[test]
        fn never_panics(block: Vec<u8>) {
            let headers = Headers::new(&block);
            let _ = (headers.iter().count(), headers.status());
        }
    }
}
