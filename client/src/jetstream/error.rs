//! Why an operation of JetStream failed.

use serde::Deserialize;

use super::ErrorCode;
use crate::RequestError;

/// What a server answered instead of doing what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{description} (error {err_code})")]
pub struct ApiError {
    /// The kind of error, with the numbers of HTTP: 400 when the request is wrong, 404 when there
    /// is no such thing, 500 and 503 when the server is not able to.
    pub code: u16,
    /// The error.
    #[serde(default)]
    pub err_code: ErrorCode,
    /// The error in words.
    #[serde(default)]
    pub description: String,
}

/// Why an operation of JetStream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused.
    #[error("cannot {operation}: {error}")]
    Refused {
        /// What was asked for.
        operation: String,
        /// What the server said.
        error: ApiError,
    },
    /// Nobody listens where JetStream should: it is off on the server, or the prefix or the domain
    /// is a wrong one, or, for a direct get, the stream does not exist or does not allow it.
    #[error(
        "cannot {operation}: nobody listens to {subject}; is JetStream on, and is the domain right?"
    )]
    NoResponders {
        /// What was asked for.
        operation: String,
        /// Where it was asked.
        subject: String,
    },
    /// No answer came: the client is closed, the request has no room in the outgoing buffer, or
    /// the time is over.
    #[error("cannot {operation}: {error}")]
    Request {
        /// What was asked for.
        operation: String,
        /// What went wrong.
        error: RequestError,
    },
    /// The answer is not what a server says.
    #[error("cannot {operation}: the answer cannot be read: {reason}")]
    Answer {
        /// What was asked for.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server answered with a status that is not an answer.
    #[error("cannot {operation}: the server says {code} {description}")]
    Status {
        /// What was asked for.
        operation: String,
        /// The status.
        code: u16,
        /// What the server says to it.
        description: String,
    },
    /// The name cannot be one of a stream or a consumer: it is empty, longer than 255 bytes, or
    /// has a blank or one of `. * > / \` in it.
    #[error("cannot {operation}: a name is not empty and has no blanks and none of . * > / \\")]
    InvalidName {
        /// What was asked for.
        operation: String,
    },
    /// The subject is malformed.
    #[error("cannot {operation}: {error}")]
    InvalidSubject {
        /// What was asked for.
        operation: String,
        /// What is wrong with it.
        error: crate::SubjectError,
    },
    /// The consumer is of another kind: push instead of pull, or pull instead of push.
    #[error("cannot {operation}: it is a {is} consumer, and not a {wanted} consumer")]
    WrongKind {
        /// What was asked for.
        operation: String,
        /// What it is.
        is: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

impl Error {
    /// The number of the error, if it was the server that refused.
    pub fn err_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { error, .. } => Some(error.err_code),
            _ => None,
        }
    }

    /// Whether the server says that there is no such stream, consumer or message.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { error, .. } => error.code == 404,
            Self::Status { code, .. } => *code == 404,
            _ => false,
        }
    }
}
