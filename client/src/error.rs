//! Why an operation of the client failed, one enum per operation.

use fulmar_protocol::subject::SubjectError;

use crate::event::ServerError;
use crate::server_addr::ServerAddrError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// An address cannot be read.
    #[error(transparent)]
    ServerParse(#[from] ServerAddrError),
    /// A file with certificates or keys cannot be used, or the options contradict each other.
    #[error("the TLS options cannot be used: {0}")]
    TlsOptions(String),
    /// The prefix of inboxes is no subject.
    #[error("{0:?} cannot be the prefix of inboxes: it is no subject without wildcards")]
    InboxPrefix(String),
    /// The host has no address.
    #[error("cannot look up {server}: {source}")]
    Dns {
        /// The server.
        server: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server cannot be reached, or closed the connection while it was being set up.
    #[error("cannot connect to {server}: {source}")]
    Io {
        /// The server.
        server: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server did not answer in time.
    #[error("cannot connect to {server}: no answer within {seconds} s")]
    TimedOut {
        /// The server.
        server: String,
        /// The limit, in seconds.
        seconds: f64,
    },
    /// The TLS handshake failed.
    #[error("cannot set up TLS with {server}: {source}")]
    Tls {
        /// The server.
        server: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// TLS was asked for, and the server does not offer it.
    #[error("{server} does not offer TLS, which is required")]
    TlsUnavailable {
        /// The server.
        server: String,
    },
    /// The server does not accept the credentials.
    #[error("{server} does not accept the credentials: {text}")]
    AuthorizationViolation {
        /// The server.
        server: String,
        /// What the server said.
        text: String,
    },
    /// The server refused the connection for another reason.
    #[error("{server} refused the connection: {error}")]
    Refused {
        /// The server.
        server: String,
        /// What the server said.
        error: ServerError,
    },
    /// What answered is no NATS server.
    #[error("{server} does not speak NATS: {reason}")]
    Protocol {
        /// The server.
        server: String,
        /// What was wrong.
        reason: String,
    },
    /// The client was closed before it was connected.
    #[error("the client was closed before it was connected")]
    Closed,
}

/// Why a message was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The subject or the reply address is malformed.
    #[error("cannot publish: {0}")]
    InvalidSubject(SubjectError),
    /// Headers and payload are larger than the server allows.
    #[error("cannot publish {bytes} bytes: the server allows {bytes_max}")]
    MaxPayloadExceeded {
        /// Bytes of headers and payload.
        bytes: usize,
        /// What the server allows.
        bytes_max: usize,
    },
    /// The server does not understand headers.
    #[error("cannot publish headers: the server does not support them")]
    HeadersNotSupported,
    /// The client was closed or drained.
    #[error("cannot publish: the client is closed")]
    Closed,
}

/// Why there is no subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The subject is malformed.
    #[error("cannot subscribe: {0}")]
    InvalidSubject(SubjectError),
    /// The name of the queue group is empty or has a blank in it.
    #[error("cannot subscribe: the name of a queue group is not empty and has no blanks")]
    InvalidQueueName,
    /// The client was closed or drained.
    #[error("cannot subscribe: the client is closed")]
    Closed,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
    /// Nobody listens to the subject.
    #[error("nobody listens to the subject of the request")]
    NoResponders,
    /// The request was not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The inbox for the answer cannot be subscribed to.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The client was closed before an answer came.
    #[error("the client was closed before an answer came")]
    Closed,
}

/// Why a flush did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The connection was lost before the server answered: what was published last may be lost.
    #[error("the connection was lost before the server answered")]
    Disconnected,
    /// The client is closed.
    #[error("cannot flush: the client is closed")]
    Closed,
}

/// Why a subscription was not ended: it had ended already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription has ended already")]
pub struct UnsubscribeError;

/// Why a client was not drained: it was closed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is closed already")]
pub struct DrainError;
