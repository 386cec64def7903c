//! What was written, in a file or on the command line: each value of the right type, or absent.
//!
//! Defaults and how values bear on each other are `meaning`'s business.

use std::collections::BTreeMap;
use std::time::Duration;

use super::options::{LogFormat, Secret, SyncPolicy, UserPassword};

/// Defines [`Settings`] and [`Settings::over`], so that no field can be left out of the latter.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// Values as a user wrote them. `None` is "not written"; an empty text or a 0 is what the
        /// user wrote, and stands for the default wherever nats-server reads it so.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Settings {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }

        impl Settings {
            /// These settings, and where they say nothing, those of `below`.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self { $($field: self.$field.or(below.$field),)* }
            }
        }
    };
}

settings! {
    /// Address of the client listener.
    host: String,
    /// Port of the client listener.
    port: Port,
    /// Name of the server.
    server_name: String,
    /// `host[:port]` shown to clients.
    client_advertise: String,
    /// The single user.
    user: String,
    /// The password of the single user.
    password: Secret,
    /// The token.
    token: Secret,
    /// The list of users.
    users: Vec<UserPassword>,
    /// The user of clients that present nothing.
    no_auth_user: String,
    /// From accept to CONNECT; zero is the default.
    authentication_timeout: Duration,
    /// Address of the monitoring listener.
    http_host: String,
    /// Port of the monitoring listener; [`Port::Unset`] is no listener.
    http_port: Port,
    /// Path below which the monitoring endpoints stand.
    http_base_path: String,
    /// Clients at once; 0 refuses everyone.
    connections_max: usize,
    /// Subscriptions of a connection; 0 is unlimited.
    subscriptions_max: usize,
    /// Tokens of a subscription's subject; 0 is unlimited.
    subscription_tokens_max: usize,
    /// Bytes of a control line; 0 is the default.
    control_line_bytes_max: usize,
    /// Bytes of a message; 0 is the default.
    payload_bytes_max: usize,
    /// Bytes that wait for one client; 0 is the default.
    pending_bytes_max: usize,
    /// Between two PINGs; zero is the default.
    ping_interval: Duration,
    /// Unanswered PINGs; 0 is the default.
    ping_max: u32,
    /// Of a write; zero is the default.
    write_deadline: Duration,
    /// Of lame duck mode.
    lame_duck_duration: Duration,
    /// Before the first client is closed; zero is the default.
    lame_duck_grace_period: Duration,
    /// Refuse headers.
    no_header_support: bool,
    /// Drop instead of pausing a fast publisher.
    no_fast_producer_stall: bool,
    /// Closed connections that are remembered; 0 is the default.
    max_closed_clients: usize,
    /// File for the process id.
    pid_file: String,
    /// Directory for the ports file.
    ports_file_dir: String,
    /// File for the log.
    log_file: String,
    /// Text or JSON lines.
    log_format: LogFormat,
    /// Log lines carry the time.
    log_time: bool,
    /// That time is UTC.
    log_utc: bool,
    /// Debug lines.
    debug: bool,
    /// Trace lines.
    trace: bool,
    /// Trace the system account too.
    trace_verbose: bool,
    /// Trace headers only.
    trace_headers: bool,
    /// Payload bytes in a trace line; 0 is all.
    traced_message_bytes_max: usize,
    /// Size at which the log is rotated; 0 is never.
    log_size_bytes_max: u64,
    /// Log files that are kept; 0 is all.
    log_files_max: usize,
    /// Log to the local syslog.
    syslog: bool,
    /// Log to a remote syslog.
    remote_syslog: String,
    /// Threads for client connections.
    reactors: usize,
    /// Tags of `/varz`.
    server_tags: Vec<String>,
    /// Metadata of `/varz`.
    server_metadata: BTreeMap<String, String>,
    /// Whether there are streams.
    jetstream: bool,
    /// Directory below which streams are kept.
    store_dir: String,
    /// What the `jetstream` block says besides.
    jetstream_block: JetStreamSettings,
}

/// What a `jetstream` block says; no flag says any of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JetStreamSettings {
    /// Bytes of streams in memory.
    pub memory_bytes_max: Option<u64>,
    /// Bytes of streams in files.
    pub file_bytes_max: Option<u64>,
    /// When files are synced.
    pub sync: Option<SyncPolicy>,
    /// Name of the domain.
    pub domain: Option<String>,
    /// Whether API requests with unknown fields are refused.
    pub strict: Option<bool>,
    /// Messages a consumer may have delivered and not acknowledged; 0 is unlimited.
    pub ack_pending_max: Option<usize>,
    /// Messages a pull may ask for; 0 is unlimited.
    pub request_batch_max: Option<usize>,
    /// The longest window in which duplicates are known; zero is unlimited.
    pub duplicate_window_max: Option<Duration>,
    /// Atomic batches of one stream at once; 0 is the default.
    pub batches_per_stream_max: Option<usize>,
    /// Atomic batches of all streams at once; 0 is the default.
    pub batches_max: Option<usize>,
    /// Messages of an atomic batch; 0 is the default.
    pub batch_messages_max: Option<usize>,
    /// How long an atomic batch may take; zero is the default.
    pub batch_timeout: Option<Duration>,
    /// Messages that wait for one stream; 0 is the default.
    pub buffered_messages_max: Option<usize>,
    /// Bytes that wait for one stream; 0 is the default.
    pub buffered_bytes_max: Option<u64>,
    /// API requests that wait; 0 is the default.
    pub request_queue_max: Option<usize>,
    /// API requests for information that wait; 0 is as many as of the others.
    pub info_queue_max: Option<usize>,
}

/// A port as it can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// `-1`: any free port.
    Free,
    /// `0`: as if nothing had been written.
    Unset,
    /// This one.
    Number(u16),
}

impl TryFrom<i64> for Port {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match number {
            -1 => Ok(Self::Free),
            0 => Ok(Self::Unset),
            _ => u16::try_from(number).map(Self::Number).map_err(|_| {
                format!("{number} is not a port; ports are 1 to 65535, or -1 for a free one")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_over_wins_and_silence_does_not() {
        let file = Settings {
            host: Some("a".into()),
            port: Some(Port::Number(1)),
            trace: Some(true),
            ..Settings::default()
        };
        let flags = Settings { port: Some(Port::Unset), trace: Some(false), ..Settings::default() };
        let both = flags.over(file);
        assert_eq!(both.host.as_deref(), Some("a"));
        assert_eq!(both.port, Some(Port::Unset));
        assert_eq!(both.trace, Some(false));
        assert_eq!(both.debug, None);
    }

    #[test]
    fn ports() {
        assert_eq!(Port::try_from(-1), Ok(Port::Free));
        assert_eq!(Port::try_from(0), Ok(Port::Unset));
        assert_eq!(Port::try_from(65_535), Ok(Port::Number(65_535)));
        for wrong in [-2, 65_536, i64::MIN, i64::MAX] {
            assert!(Port::try_from(wrong).is_err(), "{wrong}");
        }
    }
}
