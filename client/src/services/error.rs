//! Why a service, an endpoint or an answer is not there.

use crate::{HeaderError, PublishError, SubjectError, SubscribeError};

/// Why a service or an endpoint is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name cannot be that of a service or an endpoint.
    #[error(
        "{0:?} cannot be the name of a service or an endpoint: use letters, digits, '-' and '_'"
    )]
    InvalidName(String),
    /// The version is not one.
    #[error("{0:?} is not a version: use three numbers, such as 1.0.0, as semver.org says")]
    InvalidVersion(String),
    /// The subject of an endpoint is malformed.
    #[error("{subject:?} cannot be the subject of an endpoint: {error}")]
    InvalidSubject {
        /// The subject.
        subject: String,
        /// What is wrong with it.
        error: SubjectError,
    },
    /// The service was stopped.
    #[error("the service was stopped")]
    Stopped,
    /// The subject cannot be subscribed to.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RespondError {
    /// The request says not where an answer is wanted.
    #[error("the request wants no answer: it has no reply address")]
    NoReply,
    /// What went wrong cannot be told.
    #[error("the error cannot be told: {0}")]
    Header(#[from] HeaderError),
    /// The answer was not sent.
    #[error(transparent)]
    Publish(#[from] PublishError),
}
