//! Why an operation on a bucket failed.

use crate::jetstream::consumer::MessagesError;
use crate::jetstream::{Error as StreamError, PublishError};

/// Why an operation on a bucket failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot be that of a bucket.
    #[error("{0:?} cannot be the name of a bucket: use letters, digits, '-' and '_'")]
    InvalidBucket(String),
    /// The text cannot be a key.
    #[error(
        "{0:?} cannot be a key: use letters, digits and '-/_=.', and no '.' at either end or after \
         another"
    )]
    InvalidKey(String),
    /// So many values of a key cannot be kept.
    #[error("a bucket keeps 1 to {max} values of a key, and not {0}", max = super::HISTORY_MAX)]
    InvalidHistory(u8),
    /// The server is older than what the configuration needs.
    #[error("the server does not support limit markers: they need nats-server 2.11 or newer")]
    LimitMarkersUnsupported,
    /// The key has a value already.
    #[error("cannot create key {key} of bucket {bucket}: it has a value already")]
    Exists {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// The last revision of the key is another than was expected.
    #[error("cannot change key {key} of bucket {bucket}: its revision is not {expected} any more")]
    WrongRevision {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// What was expected.
        expected: u64,
    },
    /// The message is none that belongs to a bucket.
    #[error("a message of bucket {bucket} cannot be read: {reason}")]
    Entry {
        /// The bucket.
        bucket: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream of the bucket cannot be asked.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The stream of the bucket does not take the change.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Entries do not come any more.
    #[error(transparent)]
    Messages(#[from] MessagesError),
}

impl Error {
    /// Whether there is no such bucket.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Stream(error) if error.is_not_found())
    }
}
