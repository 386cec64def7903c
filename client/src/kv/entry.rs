//! What happened to a key.

use bytes::Bytes;
use jiff::Timestamp;

use crate::HeaderMap;
use crate::jetstream::header;

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The value; empty when it was deleted.
    pub value: Bytes,
    /// The number of the change: it grows with each change of any key of the bucket.
    pub revision: u64,
    /// How many entries follow that are there already, where entries come one after the other.
    pub delta: u64,
    /// When it happened.
    pub created: Timestamp,
    /// What happened.
    pub operation: Operation,
    /// Where entries come one after the other: all that were there in the beginning have come,
    /// with this one.
    pub seen_current: bool,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It got a value.
    Put,
    /// It was deleted.
    Delete,
    /// It was deleted with all its history, or went because of its age.
    Purge,
}

impl Operation {
    /// What the headers of a message say.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(OPERATION_HEADER) {
            Some("DEL") => return Self::Delete,
            Some("PURGE") => return Self::Purge,
            _ => {}
        }
        // Markers that the server puts in the place of values.
        match headers.get(header::MARKER_REASON) {
            Some("MaxAge" | "Purge") => Self::Purge,
            Some("Remove") => Self::Delete,
            _ => Self::Put,
        }
    }

    /// Whether the key has no value after it.
    pub fn is_delete(self) -> bool {
        self != Self::Put
    }
}

/// What a message that is not a value is.
pub(super) const OPERATION_HEADER: &str = "KV-Operation";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations() {
        let check = |name: &str, value: &str, expected: Operation| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value).unwrap();
            assert_eq!(Operation::of(&headers), expected);
        };
        check("KV-Operation", "DEL", Operation::Delete);
        check("KV-Operation", "PURGE", Operation::Purge);
        check("Nats-Marker-Reason", "MaxAge", Operation::Purge);
        check("Nats-Marker-Reason", "Purge", Operation::Purge);
        check("Nats-Marker-Reason", "Remove", Operation::Delete);
        check("Other", "DEL", Operation::Put);
    }
}
