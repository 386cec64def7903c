//! What a bucket says of an object, as it is stored.

use std::collections::BTreeMap;

use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::HeaderMap;
use crate::jetstream::wire::{is_default, null_is_default};

/// What an object is called, and what it is put with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The name: any text.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Headers.
    pub headers: HeaderMap,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
    /// How large its pieces are, in bytes; 0 for
    /// [`CHUNK_BYTES_DEFAULT`](super::CHUNK_BYTES_DEFAULT).
    pub chunk_size: usize,
}

/// An object of this name.
impl From<&str> for ObjectMeta {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// An object of this name.
impl From<String> for ObjectMeta {
    fn from(name: String) -> Self {
        Self { name, ..Self::default() }
    }
}

/// The same as another object has.
impl From<&ObjectInfo> for ObjectMeta {
    fn from(info: &ObjectInfo) -> Self {
        Self {
            name: info.name.clone(),
            description: info.description.clone(),
            headers: info.headers.clone(),
            metadata: info.metadata.clone(),
            chunk_size: info.options.max_chunk_size,
        }
    }
}

/// What a bucket says of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// The name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Headers.
    #[serde(default, skip_serializing_if = "HeaderMap::is_empty", with = "headers")]
    pub headers: HeaderMap,
    /// Anything else.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "null_is_default")]
    pub(super) options: Options,
    /// The bucket.
    pub bucket: String,
    /// What the subject of its pieces ends with.
    #[serde(default)]
    pub nuid: String,
    /// How many bytes it has.
    #[serde(default)]
    pub size: u64,
    /// How many pieces it has.
    #[serde(default)]
    pub chunks: u64,
    /// When it was put or changed. It is not stored here, but with the message.
    #[serde(skip)]
    pub modified: Option<Timestamp>,
    /// A hash of its bytes: `SHA-256=` and base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it was deleted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deleted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Options {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<Link>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) max_chunk_size: usize,
}

/// Another object, or another bucket, that is meant instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The bucket.
    pub bucket: String,
    /// The object; `None` for the whole bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl ObjectInfo {
    /// What is meant instead of it, if it is a link.
    pub fn link(&self) -> Option<&Link> {
        self.options.link.as_ref()
    }

    /// How large its pieces are, in bytes; 0 when that is not known.
    pub fn chunk_size(&self) -> usize {
        self.options.max_chunk_size
    }
}

/// What the digest says of these bytes of a hash.
pub(super) fn digest_text(hash: &[u8]) -> String {
    format!("{DIGEST_KIND}{}", BASE64URL.encode(hash))
}

/// Whether a digest is that of this hash; `None` when it is of an unknown kind.
pub(super) fn digest_matches(digest: &str, hash: &[u8]) -> Option<bool> {
    let kind = digest.get(..DIGEST_KIND.len())?;
    if !kind.eq_ignore_ascii_case(DIGEST_KIND) {
        return None;
    }
    // Some clients write it without padding.
    let text = digest[DIGEST_KIND.len()..].trim_end_matches('=');
    Some(BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|stored| stored == hash))
}

/// The kind of hash there is.
const DIGEST_KIND: &str = "SHA-256=";

/// Headers are stored as names with lists of values.
mod headers {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::HeaderMap;

    pub(super) fn serialize<S: Serializer>(
        headers: &HeaderMap,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut lists = BTreeMap::<&str, Vec<&str>>::new();
        for (name, value) in headers.iter() {
            lists.entry(name).or_default().push(value);
        }
        lists.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HeaderMap, D::Error> {
        let lists = Option::<BTreeMap<String, Vec<String>>>::deserialize(deserializer)?;
        let mut headers = HeaderMap::new();
        for (name, values) in lists.unwrap_or_default() {
            for value in values {
                headers.append(name.as_str(), value).map_err(D::Error::custom)?;
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_as_other_clients_store_it() {
        let check = |info: ObjectInfo, expected: &str| {
            assert_eq!(serde_json::to_string(&info).unwrap(), expected);
            assert_eq!(serde_json::from_str::<ObjectInfo>(expected).unwrap(), info);
        };
        check(
            ObjectInfo {
                name: "a".to_owned(),
                bucket: "b".to_owned(),
                nuid: "n".to_owned(),
                size: 5,
                chunks: 1,
                digest: Some("SHA-256=x".to_owned()),
                options: Options { max_chunk_size: 7, ..Options::default() },
                ..ObjectInfo::default()
            },
            r#"{"name":"a","options":{"max_chunk_size":7},"bucket":"b","nuid":"n","size":5,"chunks":1,"digest":"SHA-256=x"}"#,
        );
        let mut headers = HeaderMap::new();
        headers.append("A", "1").unwrap();
        headers.append("A", "2").unwrap();
        let link = Link { bucket: "c".to_owned(), name: Some("d".to_owned()) };
        check(
            ObjectInfo {
                name: "a".to_owned(),
                headers,
                bucket: "b".to_owned(),
                options: Options { link: Some(link), ..Options::default() },
                deleted: true,
                ..ObjectInfo::default()
            },
            r#"{"name":"a","headers":{"A":["1","2"]},"options":{"link":{"bucket":"c","name":"d"}},"bucket":"b","nuid":"","size":0,"chunks":0,"deleted":true}"#,
        );
        let from_go = r#"{"name":"a","options":{"max_chunk_size":131072},"bucket":"b","nuid":"n","size":1,"mtime":"0001-01-01T00:00:00Z","chunks":1,"headers":null}"#;
        assert_eq!(serde_json::from_str::<ObjectInfo>(from_go).unwrap().size, 1);
    }

    #[test]
    fn digests() {
        let hash = [0xfb, 0xff, 0x00, 0x01];
        assert_eq!(digest_text(&hash), "SHA-256=-_8AAQ==");
        for digest in ["SHA-256=-_8AAQ==", "sha-256=-_8AAQ=="] {
            assert_eq!(digest_matches(digest, &hash), Some(true));
        }
        assert_eq!(digest_matches("SHA-256=-_8AAQ", &hash), Some(true));
        assert_eq!(digest_matches("SHA-256=-_8AAg==", &hash), Some(false));
        assert_eq!(digest_matches("SHA-256=", &hash), Some(false));
        assert_eq!(digest_matches("MD5=-_8AAQ==", &hash), None);
        assert_eq!(digest_matches("", &hash), None);
    }
}
