//! What a configuration means: every value is checked, every default filled in.
//!
//! Where the values were written (flags, a file, an embedding program) is not known here.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings a broker runs with.
///
/// Defaults are those of nats-server 2.15, so that `Options::default()` behaves as
/// `nats-server` without arguments does.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Address the client listener binds. Default `0.0.0.0`.
    pub host: String,
    /// Port of the client listener; 0 picks a free one. Default 4222.
    pub port: u16,
    /// Name of this server, without spaces. Default: the server id.
    pub server_name: Option<String>,
    /// `host[:port]` that INFO shows instead of the listen address.
    pub client_advertise: Option<String>,
    /// What a client must present. Default: nothing.
    pub authentication: Authentication,
    /// The HTTP monitoring listener. Default: none.
    pub monitoring: Option<Monitoring>,
    /// Limits a client meets.
    pub limits: Limits,
    /// Timers a client meets.
    pub timers: Timers,
    /// Refuse headers altogether. Default false.
    pub no_header_support: bool,
    /// Do not pause a publisher whose subscriber is behind; drop for that subscriber instead.
    pub no_fast_producer_stall: bool,
    /// How many closed connections `/connz?state=closed` remembers. Default 10,000.
    pub max_closed_clients: usize,
    /// File that receives the process id.
    pub pid_file: Option<PathBuf>,
    /// Directory that receives `<executable>_<pid>.ports`.
    pub ports_file_dir: Option<PathBuf>,
    /// Where and how log lines are written.
    pub log: LogOptions,
    /// Threads that own client connections. Default: chosen for the machine.
    pub reactors: Option<usize>,
    /// Tags shown in `/varz`.
    pub server_tags: Vec<String>,
    /// Metadata shown in `/varz`.
    pub server_metadata: std::collections::BTreeMap<String, String>,
    /// Streams. Default: none.
    pub jetstream: Option<JetStreamOptions>,
    /// The configuration file these options came from, and its digest (`sha256:...`).
    pub config_file: Option<(PathBuf, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: 4222,
            server_name: None,
            client_advertise: None,
            authentication: Authentication::None,
            monitoring: None,
            limits: Limits::default(),
            timers: Timers::default(),
            no_header_support: false,
            no_fast_producer_stall: false,
            max_closed_clients: 10_000,
            pid_file: None,
            ports_file_dir: None,
            log: LogOptions::default(),
            reactors: None,
            server_tags: Vec::new(),
            server_metadata: std::collections::BTreeMap::new(),
            jetstream: None,
            config_file: None,
        }
    }
}

/// What a client must present in CONNECT.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Authentication {
    /// Nothing; operations before CONNECT are accepted.
    #[default]
    None,
    /// A token (`auth_token`).
    Token(Secret),
    /// A user and password out of this list.
    Users {
        /// Those who may connect.
        users: Vec<UserPassword>,
        /// The user of clients that present nothing; it is one of `users`.
        no_auth_user: Option<String>,
    },
}

impl Authentication {
    /// Whether `user`, who was let in when `before` was in force, is still let in. Passwords are
    /// not kept: one that changed has to be presented again.
    pub fn still_lets_in(&self, before: &Self, user: &str) -> bool {
        match (self, before) {
            (Self::None, _) => true,
            (Self::Token(now), Self::Token(before)) => now == before,
            (
                Self::Users { users, no_auth_user },
                Self::Users { users: users_before, no_auth_user: default_before },
            ) => {
                // Whoever came without credentials is let in as long as there is such a user.
                let password = |list: &[UserPassword]| {
                    list.iter().find(|known| known.user == user).map(|known| known.password.clone())
                };
                (no_auth_user == default_before || default_before.as_deref() != Some(user))
                    && password(users).is_some_and(|now| password(users_before) == Some(now))
            }
            _ => false,
        }
    }

    /// Whether any secret is a bcrypt hash.
    pub fn has_hashes(&self) -> bool {
        match self {
            Self::None => false,
            Self::Token(token) => token.is_bcrypt(),
            Self::Users { users, .. } => users.iter().any(|user| user.password.is_bcrypt()),
        }
    }
}

/// A user who presents a password.
#[derive(Clone, Debug, PartialEq)]
pub struct UserPassword {
    /// The name in CONNECT's `user`.
    pub user: String,
    /// The password, plain or a bcrypt hash (`$2a$`, `$2b$`, `$2x$`, `$2y$`).
    pub password: Secret,
}

/// A password or token. It never shows itself in a log.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `secret`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, to compare with.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is a bcrypt hash and not the secret itself.
    pub fn is_bcrypt(&self) -> bool {
        ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| self.0.starts_with(prefix))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// The HTTP monitoring listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitoring {
    /// Address to bind; the client listener's host when `None`.
    pub host: Option<String>,
    /// Port; 0 picks a free one.
    pub port: u16,
    /// Path all endpoints stand below, `/` by default.
    pub base_path: String,
}

/// Limits a client meets. Sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Clients at once. Default 65,536; 0 refuses everyone.
    pub connections_max: usize,
    /// Subscriptions of one connection; `None` is unlimited, the default.
    pub subscriptions_max: Option<usize>,
    /// Tokens of a subscription's subject; `None` is unlimited, the default.
    pub subscription_tokens_max: Option<usize>,
    /// Length of the arguments of a protocol line. Default 4,096.
    pub control_line_bytes_max: usize,
    /// Headers and payload of one message. Default 1 MiB.
    pub payload_bytes_max: usize,
    /// What may wait for one client before it is closed as a slow consumer. Default 64 MiB.
    pub pending_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 65_536,
            subscriptions_max: None,
            subscription_tokens_max: None,
            control_line_bytes_max: 4_096,
            payload_bytes_max: 1024 * 1024,
            pending_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Timers a client meets.
#[derive(Clone, Debug, PartialEq)]
pub struct Timers {
    /// Between two PINGs of the server. Default 2 minutes.
    pub ping_interval: Duration,
    /// Unanswered PINGs before the connection is stale. Default 2.
    pub ping_max: u32,
    /// From accept to CONNECT, when credentials are required. Default 2 s.
    pub authentication_timeout: Duration,
    /// How long a write may wait for a client. Default 10 s.
    pub write_deadline: Duration,
    /// From the start of lame duck mode until the last client is closed. Default 2 minutes.
    pub lame_duck_duration: Duration,
    /// From the start of lame duck mode until the first client is closed. Default 10 s.
    pub lame_duck_grace_period: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            authentication_timeout: Duration::from_secs(2),
            write_deadline: Duration::from_secs(10),
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
        }
    }
}

/// Streams: where they are kept and how much there may be.
#[derive(Clone, Debug, PartialEq)]
pub struct JetStreamOptions {
    /// The directory below which they are kept, in a directory `jetstream`. Default: `nats` in the
    /// directory for temporary files, which may not outlive a restart of the machine.
    pub store_dir: Option<PathBuf>,
    /// Bytes of streams in memory. Default: three quarters of the memory.
    pub memory_bytes_max: Option<u64>,
    /// Bytes of streams in files. Default: three quarters of what the disk has left.
    pub file_bytes_max: Option<u64>,
    /// When files are synced. Default: before the publisher is told that its message is stored.
    pub sync: SyncPolicy,
    /// Name of the domain: the API is also reached as `$JS.<domain>.API`.
    pub domain: Option<String>,
    /// Refuse API requests with unknown fields. Default true.
    pub strict: bool,
    /// Messages a consumer may have delivered and not acknowledged. Default: unlimited.
    pub ack_pending_max: Option<usize>,
    /// Messages a pull may ask for. Default: unlimited.
    pub request_batch_max: Option<usize>,
    /// The longest window in which duplicates are known. Default: unlimited.
    pub duplicate_window_max: Option<Duration>,
    /// Atomic batches of one stream at once. Default 50.
    pub batches_per_stream_max: usize,
    /// Atomic batches of all streams at once. Default 1,000.
    pub batches_max: usize,
    /// Fast batches of one stream at once. Default 1,000, or what is set for atomic ones.
    pub fast_batches_per_stream_max: usize,
    /// Fast batches of all streams at once. Default 50,000, or what is set for atomic ones.
    pub fast_batches_max: usize,
    /// Messages of an atomic batch. Default 1,000.
    pub batch_messages_max: usize,
    /// How long a batch may be silent. Default 10 s.
    pub batch_timeout: Duration,
    /// Messages that wait to be stored in one stream; publishers of more are refused. Default
    /// 100,000.
    pub buffered_messages_max: usize,
    /// Their bytes. Default 128 MiB.
    pub buffered_bytes_max: u64,
    /// API requests that wait; when there are more, all are dropped. Default 10,000.
    pub request_queue_max: usize,
    /// The same for requests for information. Default 10,000.
    pub info_queue_max: usize,
}

impl Default for JetStreamOptions {
    fn default() -> Self {
        Self {
            store_dir: None,
            memory_bytes_max: None,
            file_bytes_max: None,
            sync: SyncPolicy::Always,
            domain: None,
            strict: true,
            ack_pending_max: None,
            request_batch_max: None,
            duplicate_window_max: None,
            batches_per_stream_max: 50,
            batches_max: 1_000,
            fast_batches_per_stream_max: 1_000,
            fast_batches_max: 50_000,
            batch_messages_max: 1_000,
            batch_timeout: Duration::from_secs(10),
            buffered_messages_max: 100_000,
            buffered_bytes_max: 128 * 1024 * 1024,
            request_queue_max: 10_000,
            info_queue_max: 10_000,
        }
    }
}

impl JetStreamOptions {
    /// The directory that streams are kept in.
    pub fn directory(&self) -> PathBuf {
        const NAME: &str = "jetstream";
        match &self.store_dir {
            Some(directory) => directory.join(NAME),
            None => std::env::temp_dir().join("nats").join(NAME),
        }
    }

    /// What configurations of streams and consumers are checked against.
    pub fn limits(&self) -> crate::jetstream::limits::Limits {
        let whole = |number: Option<usize>| {
            number.map_or(0, |number| i64::try_from(number).unwrap_or(i64::MAX))
        };
        let nanoseconds = self.duplicate_window_max.unwrap_or_default().as_nanos();
        crate::jetstream::limits::Limits {
            duplicate_window_ns: i64::try_from(nanoseconds).unwrap_or(i64::MAX),
            ack_pending_max: whole(self.ack_pending_max),
            request_batch_max: whole(self.request_batch_max),
        }
    }
}

/// When what was written to a file is made to survive a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before the publisher is told.
    Always,
    /// This long after it was written; the publisher was told before.
    Interval(Duration),
}

/// Where and how log lines are written.
#[derive(Clone, Debug, PartialEq)]
pub struct LogOptions {
    /// The file; standard error when `None`.
    pub file: Option<PathBuf>,
    /// Text lines as nats-server writes them, or JSON.
    pub format: LogFormat,
    /// Lines carry the time. Default true.
    pub time: bool,
    /// The time is UTC and not local. Default false.
    pub utc: bool,
    /// `[DBG]` lines.
    pub debug: bool,
    /// `[TRC]` lines: the protocol.
    pub trace: bool,
    /// Trace the system account too.
    pub trace_verbose: bool,
    /// Trace only the headers of messages.
    pub trace_headers: bool,
    /// How many bytes of a payload a trace line shows; `None` is all.
    pub traced_message_bytes_max: Option<usize>,
    /// Size at which the file is rotated; `None` is never.
    pub size_bytes_max: Option<u64>,
    /// Log files that are kept, the current one included; `None` is all.
    pub files_max: Option<usize>,
    /// Write to the local syslog.
    pub syslog: bool,
    /// Write to this syslog (`udp://host:port`, `tcp://host:port`, ...).
    pub remote_syslog: Option<String>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            file: None,
            format: LogFormat::Text,
            time: true,
            utc: false,
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            traced_message_bytes_max: None,
            size_bytes_max: None,
            files_max: None,
            syslog: false,
            remote_syslog: None,
        }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `[pid] 2026/01/02 15:04:05.000000 [INF] text`.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Options {
    /// Options of a broker for tests and embedding: loopback, a free port.
    pub fn local() -> Self {
        Self { host: IpAddr::from([127, 0, 0, 1]).to_string(), port: 0, ..Self::default() }
    }
}
