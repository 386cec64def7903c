//! The number in the first line of a header block, by which servers say what happened.

use std::fmt;

/// The status of a message that a server generated, such as 503 when nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

impl StatusCode {
    /// 100: an idle heartbeat, or a flow control request.
    pub const IDLE_HEARTBEAT: Self = Self(100);
    /// 200: all is well.
    pub const OK: Self = Self(200);
    /// 404: there is no such message.
    pub const NOT_FOUND: Self = Self(404);
    /// 408: the request ran out of time on the server.
    pub const TIMEOUT: Self = Self(408);
    /// 503: nobody listens to the subject of a request.
    pub const NO_RESPONDERS: Self = Self(503);
    /// 409: the request was ended by the server.
    pub const REQUEST_TERMINATED: Self = Self(409);

    /// The number.
    pub fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether the number is 200 to 299.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }
}

impl From<u16> for StatusCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl PartialEq<u16> for StatusCode {
    fn eq(&self, other: &u16) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
