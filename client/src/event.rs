//! What a client tells its user about the connection, besides messages.

use std::fmt;

use fulmar_protocol::error_text;

/// Something happened to the connection; see
/// [`ConnectOptions::event_callback`](crate::ConnectOptions::event_callback).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The client is connected, for the first time or again.
    Connected,
    /// The connection is lost; the client tries to get another one.
    Disconnected,
    /// The server is about to stop and will close the connection within minutes.
    LameDuckMode,
    /// [`Client::drain`](crate::Client::drain) has begun.
    Draining,
    /// The client has ended and will not connect again.
    Closed,
    /// The subscription with this number did not take its messages in time; some were dropped.
    /// Told once, until the subscription has caught up.
    SlowConsumer(u64),
    /// The server reported an error.
    ServerError(ServerError),
    /// The client could not do what it should.
    ClientError(ClientError),
}

/// An error that a server reported with `-ERR`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerError {
    /// The credentials are not accepted. The server closes the connection.
    AuthorizationViolation,
    /// The user may not publish or subscribe there; the text names the subject.
    PermissionsViolation(String),
    /// The server heard nothing from the client for too long, and closes the connection.
    StaleConnection,
    /// A message was larger than the server allows. It closes the connection.
    MaximumPayloadViolation,
    /// The server has as many connections as it may have, and closes this one.
    MaximumConnectionsExceeded,
    /// Any other text.
    Other(String),
}

impl ServerError {
    /// The error with this text, which is compared as clients do: without regard to case.
    pub(crate) fn from_text(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text).into_owned();
        let is = |other: &str| text.eq_ignore_ascii_case(other);
        let begins =
            |with: &str| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
        if is(error_text::AUTHORIZATION_VIOLATION) {
            Self::AuthorizationViolation
        } else if is(error_text::STALE_CONNECTION) {
            Self::StaleConnection
        } else if is(error_text::PAYLOAD_VIOLATION) {
            Self::MaximumPayloadViolation
        } else if is(error_text::CONNECTIONS_EXCEEDED) {
            Self::MaximumConnectionsExceeded
        } else if begins("Permissions Violation") {
            Self::PermissionsViolation(text)
        } else {
            Self::Other(text)
        }
    }
}

/// Something the client could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// No server could be reached in as many attempts as were allowed; the client has ended.
    MaxReconnects,
    /// Messages that waited for a connection are larger than the new server allows, and were
    /// dropped: how many.
    MessagesTooLarge(u64),
    /// The server heard from is silent: it left this many PINGs unanswered.
    StaleConnection(u32),
    /// An attempt to connect failed, or a connection was lost: why.
    Other(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Disconnected => f.write_str("disconnected"),
            Self::LameDuckMode => f.write_str("the server is about to stop"),
            Self::Draining => f.write_str("draining"),
            Self::Closed => f.write_str("closed"),
            Self::SlowConsumer(sid) => {
                write!(f, "subscription {sid} is slow: messages for it were dropped")
            }
            Self::ServerError(error) => error.fmt(f),
            Self::ClientError(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthorizationViolation => error_text::AUTHORIZATION_VIOLATION,
            Self::StaleConnection => error_text::STALE_CONNECTION,
            Self::MaximumPayloadViolation => error_text::PAYLOAD_VIOLATION,
            Self::MaximumConnectionsExceeded => error_text::CONNECTIONS_EXCEEDED,
            Self::PermissionsViolation(text) | Self::Other(text) => text,
        })
    }
}

impl std::error::Error for ServerError {}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxReconnects => f.write_str("no server could be reached, giving up"),
            Self::MessagesTooLarge(count) => write!(
                f,
                "{count} messages waiting for a connection are larger than the server allows, \
                 and were dropped"
            ),
            Self::StaleConnection(count) => {
                write!(f, "the server left {count} PINGs unanswered")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_server() {
        let check = |text: &str, expected: ServerError| {
            let error = ServerError::from_text(text.as_bytes());
            assert_eq!(error, expected);
            assert!(error.to_string().eq_ignore_ascii_case(text));
        };
        check("Authorization Violation", ServerError::AuthorizationViolation);
        check("authorization violation", ServerError::AuthorizationViolation);
        check("Stale Connection", ServerError::StaleConnection);
        check("Maximum Payload Violation", ServerError::MaximumPayloadViolation);
        check("maximum connections exceeded", ServerError::MaximumConnectionsExceeded);
        let text = "Permissions Violation for Publish to \"a\"";
        check(text, ServerError::PermissionsViolation(text.to_owned()));
        check("Perm", ServerError::Other("Perm".to_owned()));
    }
}
