//! Why an operation on an object store failed.

use crate::jetstream::consumer::MessagesError;
use crate::jetstream::{Error as StreamError, PublishError};

/// Why an operation on an object store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot be that of a bucket.
    #[error("{0:?} cannot be the name of a bucket: use letters, digits, '-' and '_'")]
    InvalidBucket(String),
    /// An object must have a name.
    #[error("an object of bucket {bucket} must have a name")]
    InvalidName {
        /// The bucket.
        bucket: String,
    },
    /// There is no such object.
    #[error("there is no object {name:?} in bucket {bucket}")]
    NotFound {
        /// The bucket.
        bucket: String,
        /// The object.
        name: String,
    },
    /// There is an object of this name already.
    #[error("there is an object {name:?} in bucket {bucket} already")]
    Exists {
        /// The bucket.
        bucket: String,
        /// The object.
        name: String,
    },
    /// What is linked to is a link itself.
    #[error("cannot link to {name:?} of bucket {bucket}: it is a link itself")]
    LinkToLink {
        /// The bucket.
        bucket: String,
        /// The object.
        name: String,
    },
    /// What is linked to is a whole bucket, which cannot be read as an object.
    #[error("cannot read {name:?} of bucket {bucket}: it is a link to a whole bucket")]
    LinkToBucket {
        /// The bucket.
        bucket: String,
        /// The object.
        name: String,
    },
    /// Too many links lead to each other.
    #[error("cannot read {name:?} of bucket {bucket}: more than {max} links follow each other", max = super::LINKS_MAX)]
    TooManyLinks {
        /// The bucket.
        bucket: String,
        /// The object.
        name: String,
    },
    /// What the bucket says of an object cannot be read.
    #[error("what bucket {bucket} says of an object cannot be read: {reason}")]
    Info {
        /// The bucket.
        bucket: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What is to be put cannot be read.
    #[error("cannot read what is to be put into bucket {bucket}: {source}")]
    Read {
        /// The bucket.
        bucket: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The stream of the bucket cannot be asked.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The stream of the bucket does not take what is to be put.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Messages do not come any more.
    #[error(transparent)]
    Messages(#[from] MessagesError),
}

impl Error {
    /// Whether there is no such object, or no such bucket.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Stream(error) => error.is_not_found(),
            _ => false,
        }
    }
}
