//! Whether a client has a connection.

use std::fmt;

/// Whether there is a connection; see [`Client::connection_state`](crate::Client::connection_state).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// There was none yet.
    Pending,
    /// There is one.
    Connected,
    /// It was lost, and the client tries to get another one.
    Disconnected,
    /// The client has ended.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Closed => "closed",
        })
    }
}
