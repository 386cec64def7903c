//! Why a connection ended, in the words `/connz` and the system events use.

/// The reason a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed it.
    ClientClosed,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// Credentials were wrong or missing.
    AuthenticationFailure,
    /// More waited for the client than `max_pending`.
    SlowConsumerPendingBytes,
    /// The client took nothing for `write_deadline`.
    SlowConsumerWriteDeadline,
    /// Writing to the socket failed.
    WriteError,
    /// Reading from the socket failed.
    ReadError,
    /// Bytes that are no operation.
    ParseError,
    /// PINGs stayed unanswered.
    StaleConnection,
    /// Malformed arguments.
    ProtocolViolation,
    /// CONNECT's `protocol` is unknown.
    BadClientProtocolVersion,
    /// `max_connections` was reached.
    MaximumConnectionsExceeded,
    /// A message larger than `max_payload`.
    MaximumPayloadExceeded,
    /// A line longer than `max_control_line`.
    MaximumControlLineExceeded,
    /// The server stops.
    ServerShutdown,
    /// `HPUB` without agreement on headers.
    HeaderViolation,
    /// No-responders was asked for without headers.
    NoRespondersRequiresHeaders,
}

impl CloseReason {
    /// The text nats-server shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "Client Closed",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::AuthenticationFailure => "Authentication Failure",
            Self::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            Self::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            Self::WriteError => "Write Error",
            Self::ReadError => "Read Error",
            Self::ParseError => "Parse Error",
            Self::StaleConnection => "Stale Connection",
            Self::ProtocolViolation => "Protocol Violation",
            Self::BadClientProtocolVersion => "Bad Client Protocol Version",
            Self::MaximumConnectionsExceeded => "Maximum Connections Exceeded",
            Self::MaximumPayloadExceeded => "Maximum Message Payload Exceeded",
            Self::MaximumControlLineExceeded => "Maximum Control Line Exceeded",
            Self::ServerShutdown => "Server Shutdown",
            Self::HeaderViolation => "Message Header Violation",
            Self::NoRespondersRequiresHeaders => "No Responders Requires Headers",
        }
    }

    /// Whether what waits for the client is dropped and not written: it would not take it.
    pub fn drops_pending(self) -> bool {
        matches!(
            self,
            Self::SlowConsumerPendingBytes
                | Self::SlowConsumerWriteDeadline
                | Self::WriteError
                | Self::ReadError
        )
    }
}
