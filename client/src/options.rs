//! What a user may choose before connecting.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fulmar_protocol::connect::Connect;

use crate::connection::outbound::Bounds;
use crate::subscriber::QueueBounds;
use crate::{Client, ConnectError, Event, ServerAddr, ToServerAddrs};

/// How long [`ConnectOptions::connection_timeout`] is unless it is set.
pub const CONNECTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How long [`ConnectOptions::request_timeout`] is unless it is set.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long [`ConnectOptions::ping_interval`] is unless it is set.
pub const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
/// How long [`ConnectOptions::drain_timeout`] is unless it is set.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// What [`ConnectOptions::subscription_capacity`] is unless it is set.
pub const SUBSCRIPTION_MESSAGES_MAX: usize = 64 * 1024;
/// What [`ConnectOptions::subscription_bytes_max`] is unless it is set.
pub const SUBSCRIPTION_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What [`ConnectOptions::write_buffer_bytes_max`] is unless it is set.
///
/// Large enough that a write to the socket carries hundreds of small messages, small enough that
/// the buffer and its twin stay in the second-level cache.
pub const WRITE_BUFFER_BYTES_MAX: usize = 128 * 1024;
/// What [`ConnectOptions::reconnect_buffer_bytes_max`] is unless it is set.
pub const RECONNECT_BUFFER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The prefix of inboxes unless [`ConnectOptions::custom_inbox_prefix`] is set.
pub const INBOX_PREFIX_DEFAULT: &str = "_INBOX";

/// Options of a client, set one after the other before [`ConnectOptions::connect`].
///
/// ```no_run
/// # async fn example() -> Result<(), fulmar_client::ConnectError> {
/// use std::time::Duration;
///
/// let client = fulmar_client::ConnectOptions::new()
///     .name("orders")
///     .user_and_password("joe".into(), "secret".into())
///     .request_timeout(Some(Duration::from_secs(2)))
///     .connect("nats://a.example,nats://b.example")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "options do nothing before `connect`"]
pub struct ConnectOptions {
    pub(crate) connect: Connect,
    pub(crate) tls: TlsOptions,
    pub(crate) ping_interval: Duration,
    pub(crate) connection_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) drain_timeout: Duration,
    pub(crate) bounds: Bounds,
    pub(crate) queue_bounds: QueueBounds,
    pub(crate) inbox_prefix: String,
    pub(crate) retry_on_initial_connect: bool,
    pub(crate) reconnects_max: Option<usize>,
    pub(crate) reconnect_delay: Option<DelayCallback>,
    pub(crate) ignore_discovered_servers: bool,
    pub(crate) retain_servers_order: bool,
    pub(crate) event_callback: Option<EventCallback>,
}

/// Which certificates are trusted and shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    pub(crate) required: bool,
    pub(crate) first: bool,
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) config: Option<Arc<rustls::ClientConfig>>,
}

pub(crate) type DelayCallback = Arc<dyn Fn(usize) -> Duration + Send + Sync>;
pub(crate) type EventCallback =
    Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect: Connect {
                verbose: false,
                pedantic: false,
                lang: "rust".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: 1,
                ..Connect::default()
            },
            tls: TlsOptions::default(),
            ping_interval: PING_INTERVAL_DEFAULT,
            connection_timeout: CONNECTION_TIMEOUT_DEFAULT,
            request_timeout: Some(REQUEST_TIMEOUT_DEFAULT),
            drain_timeout: DRAIN_TIMEOUT_DEFAULT,
            bounds: Bounds {
                up_bytes_max: WRITE_BUFFER_BYTES_MAX,
                down_bytes_max: RECONNECT_BUFFER_BYTES_MAX,
            },
            queue_bounds: QueueBounds {
                messages_max: SUBSCRIPTION_MESSAGES_MAX,
                bytes_max: SUBSCRIPTION_BYTES_MAX,
            },
            inbox_prefix: INBOX_PREFIX_DEFAULT.to_owned(),
            retry_on_initial_connect: false,
            reconnects_max: None,
            reconnect_delay: None,
            ignore_discovered_servers: false,
            retain_servers_order: false,
            event_callback: None,
        }
    }
}

impl ConnectOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects to the first of `servers` that accepts the client. They are tried in any order,
    /// unless [`ConnectOptions::retain_servers_order`] is set.
    ///
    /// # Errors
    ///
    /// None of them does: the last one's error.
    pub async fn connect(self, servers: impl ToServerAddrs) -> Result<Client, ConnectError> {
        let servers: Vec<ServerAddr> = servers.to_server_addrs()?;
        crate::driver::start(self, servers).await
    }

    /// Options with a token.
    pub fn with_token(token: String) -> Self {
        Self::new().token(token)
    }

    /// Options with a user and a password.
    pub fn with_user_and_password(user: String, password: String) -> Self {
        Self::new().user_and_password(user, password)
    }

    /// Logs in with a token. Credentials in the address of a server go before these.
    pub fn token(mut self, token: String) -> Self {
        self.connect.auth_token = Some(token);
        self
    }

    /// Logs in with a user and a password. Credentials in the address of a server go before
    /// these.
    pub fn user_and_password(mut self, user: String, password: String) -> Self {
        self.connect.user = Some(user);
        self.connect.pass = Some(password);
        self
    }

    /// A name that the server shows in its list of connections.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.connect.name = name.into();
        self
    }

    /// Own messages are not delivered to own subscriptions.
    pub fn no_echo(mut self) -> Self {
        self.connect.echo = false;
        self
    }

    /// TLS is used, or there is no connection. A server that requires TLS gets it anyway.
    pub fn require_tls(mut self, required: bool) -> Self {
        self.tls.required = required;
        self
    }

    /// TLS is set up before the server says anything, for servers that are configured so
    /// (`handshake_first`).
    pub fn tls_first(mut self) -> Self {
        self.tls.first = true;
        self.tls.required = true;
        self
    }

    /// Trusts the certificates in this PEM file too, besides those of the system. May be called
    /// several times.
    pub fn add_root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.roots.push(path.into());
        self
    }

    /// Shows the server the certificate (with its chain) in the PEM file `certificate`, whose key
    /// is in the PEM file `key`.
    pub fn add_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Uses this configuration of rustls instead of one made of the other TLS options.
    pub fn tls_client_config(mut self, config: rustls::ClientConfig) -> Self {
        self.tls.config = Some(Arc::new(config));
        self
    }

    /// How often the client asks the server for a sign of life. When two are missing and nothing
    /// else comes either, the connection is given up. At least a millisecond.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long one attempt to connect may take, from looking up the name to the server's answer.
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.connection_timeout = timeout;
        self
    }

    /// How long a request waits for its answer; `None` waits for ever. The precision is a
    /// millisecond, and less when thousands of requests wait.
    pub fn request_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long [`Client::drain`] waits for the user to take the last messages.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// How many messages may wait in a subscription; more are dropped, and
    /// [`Event::SlowConsumer`] tells of it.
    pub fn subscription_capacity(mut self, messages_max: usize) -> Self {
        self.queue_bounds.messages_max = messages_max;
        self
    }

    /// How many bytes of messages may wait in a subscription; more are dropped, and
    /// [`Event::SlowConsumer`] tells of it.
    pub fn subscription_bytes_max(mut self, bytes_max: usize) -> Self {
        self.queue_bounds.bytes_max = bytes_max;
        self
    }

    /// How many bytes may wait to be sent while connected; then publishers wait. The buffer holds
    /// at most one message more. There are two of them: one is filled while the other is sent.
    pub fn write_buffer_bytes_max(mut self, bytes_max: usize) -> Self {
        self.bounds.up_bytes_max = bytes_max.max(1);
        self
    }

    /// How many bytes of messages may wait while there is no connection; then publishers wait.
    pub fn reconnect_buffer_bytes_max(mut self, bytes_max: usize) -> Self {
        self.bounds.down_bytes_max = bytes_max.max(1);
        self
    }

    /// What inboxes begin with, instead of `_INBOX`: for users who may not subscribe there.
    pub fn custom_inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox_prefix = prefix.into();
        self
    }

    /// [`ConnectOptions::connect`] returns at once, and the client connects in the background,
    /// as it does when a connection is lost.
    pub fn retry_on_initial_connect(mut self) -> Self {
        self.retry_on_initial_connect = true;
        self
    }

    /// After so many attempts in a row without success the client ends; `None` and 0 set no
    /// limit.
    pub fn max_reconnects(mut self, attempts: impl Into<Option<usize>>) -> Self {
        self.reconnects_max = attempts.into().filter(|attempts| *attempts > 0);
        self
    }

    /// How long to wait before the attempt of this number (0 for the first after a connection was
    /// lost), instead of a time that doubles after each round through the servers.
    pub fn reconnect_delay_callback(
        mut self,
        delay: impl Fn(usize) -> Duration + Send + Sync + 'static,
    ) -> Self {
        self.reconnect_delay = Some(Arc::new(delay));
        self
    }

    /// Connects only to servers that were given, not to others they tell of.
    pub fn ignore_discovered_servers(mut self) -> Self {
        self.ignore_discovered_servers = true;
        self
    }

    /// Tries the servers in the order in which they were given.
    pub fn retain_servers_order(mut self) -> Self {
        self.retain_servers_order = true;
        self
    }

    /// Calls `callback` for each [`Event`], one after the other, in a task of its own. When it is
    /// slower than they come, at most [`EVENTS_MAX`](crate::EVENTS_MAX) wait and the rest are
    /// dropped and counted.
    pub fn event_callback<F>(
        mut self,
        callback: impl Fn(Event) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.event_callback = Some(Arc::new(move |event| Box::pin(callback(event))));
        self
    }
}

/// Without credentials.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("name", &self.connect.name)
            .field("tls", &self.tls)
            .field("ping_interval", &self.ping_interval)
            .field("connection_timeout", &self.connection_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("bounds", &self.bounds)
            .field("queue_bounds", &self.queue_bounds)
            .finish_non_exhaustive()
    }
}
