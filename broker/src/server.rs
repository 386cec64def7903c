//! A broker inside a program: start it, ask for its address, stop it.

use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};
use std::{fmt, io};

use crossbeam::sync::Parker;
use data_encoding::BASE32_NOPAD;
use fulmar_protocol::NATS_VERSION;
use fulmar_protocol::info::Info;
use tokio::sync::mpsc;

use crate::config::{Authentication, JetStreamOptions, Options};
use crate::control::{self, Command};
use crate::jetstream::driver::Clock;
use crate::jetstream::metadata::API_LEVEL;
use crate::jetstream::{self, Shard};
use crate::mesh::interest::{PEER_COUNT_MAX, PeerId};
use crate::mesh::waker::PeerWaker;
use crate::reactor::{self, Reactor};
use crate::reload;
use crate::shared::{Live, Shared};

/// Connections that may wait to be accepted: a thousand clients that come at once find room.
const BACKLOG: i32 = 4096;
/// Reactors there can be: one peer owns the streams.
const REACTOR_COUNT_MAX: usize = PEER_COUNT_MAX - 1;
/// Commands that may wait for the control thread.
const COMMANDS_MAX: usize = 16;

/// A running broker. Dropping it stops it.
///
/// ```
/// let server = fulmar::Server::start(fulmar::Options::local())?;
/// println!("clients connect to {}", server.client_address());
/// server.shutdown();
/// # Ok::<(), fulmar::StartError>(())
/// ```
pub struct Server {
    client_address: SocketAddr,
    monitoring_address: Option<SocketAddr>,
    server_id: String,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    control: Option<JoinHandle<()>>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener could not be had.
    #[error("cannot listen for {what} on {address}: {error}")]
    Listen {
        /// Whom it is for.
        what: &'static str,
        /// `host:port` as configured.
        address: String,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused a thread or a poll.
    #[error("cannot start {what}: {error}")]
    System {
        /// What was to be started.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// An option that cannot be met.
    #[error("{0}")]
    Option(String),
    /// The streams cannot be opened.
    #[error("{0}")]
    Streams(#[from] jetstream::OpenError),
}

/// Why settings were not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A change needs a restart.
    #[error("{0}")]
    NotSupported(String),
    /// The system refused a thread.
    #[error("cannot compare passwords with their hashes: {0}")]
    System(io::Error),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("client_address", &self.client_address)
            .field("monitoring_address", &self.monitoring_address)
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a broker. It accepts clients when this returns.
    ///
    /// # Errors
    ///
    /// A port is taken, a host cannot be resolved, or the system has no threads or files left.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let listener = listen("client connections", &options.host, options.port)?;
        let monitoring = match &options.monitoring {
            Some(monitoring) => {
                let host = monitoring.host.as_deref().unwrap_or(&options.host);
                Some(listen("monitoring", host, monitoring.port)?)
            }
            None => None,
        };
        let system = |what| move |error| StartError::System { what, error };
        let client_address = listener.local_addr().map_err(system("the client listener"))?;
        let monitoring_address = monitoring
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()
            .map_err(system("the monitoring listener"))?;

        let server_id = random_server_id().map_err(system("the server's identity"))?;
        let reactor_count = reactor_count(&options)?;
        let mut polls = Vec::new();
        let mut wakers = Vec::new();
        for _ in 0..reactor_count {
            let poll = mio::Poll::new().map_err(system("a poll"))?;
            wakers.push(PeerWaker::of_poll(&poll).map_err(system("a waker"))?);
            polls.push(poll);
        }
        let info = info(&options, &server_id, client_address);
        let jetstream = options.jetstream.clone();
        let parker = Parker::new();
        if jetstream.is_some() {
            wakers.push(PeerWaker::Thread(parker.unparker().clone()));
        }
        let shared = Shared::new(options, info, wakers)
            .map_err(system("a thread that compares passwords"))?;
        let shared = Arc::new(shared);
        let held = shared.clone();
        let shard = match jetstream {
            Some(jetstream) => {
                let seed = seed().map_err(system("the random generator"))?;
                Some(start_shard(&shared, jetstream, seed, parker)?)
            }
            None => None,
        };

        let mut reactors = Vec::new();
        for (number, poll) in polls.into_iter().enumerate() {
            let shared = shared.clone();
            let me = u8::try_from(number).expect("reactor_count keeps it below PEER_COUNT_MAX");
            let seed = seed().map_err(system("the random generator"))?;
            let thread = std::thread::Builder::new()
                .name(format!("fulmar-reactor-{number}"))
                .spawn(move || {
                    let reactor = Reactor::new(me, shared.clone(), seed, Instant::now());
                    let inbox = shared.peers[number].inbox.clone();
                    reactor::run(reactor, inbox, poll, &shared, number);
                })
                .map_err(system("a reactor thread"))?;
            reactors.push(thread);
        }
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let control =
            control::Control { shared, listener, monitoring, reactors, shard, commands: receiver };
        let control = control.spawn().map_err(system("the control thread"))?;
        Ok(Self {
            client_address,
            monitoring_address,
            server_id,
            shared: held,
            commands,
            control: Some(control),
        })
    }

    /// Where clients connect.
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// Where clients connect, as a URL.
    pub fn client_url(&self) -> String {
        let mut address = self.client_address;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::from([127, 0, 0, 1]));
        }
        format!("nats://{address}")
    }

    /// Where the monitoring pages are, if there are any.
    pub fn monitoring_address(&self) -> Option<SocketAddr> {
        self.monitoring_address
    }

    /// The server's id, as INFO shows it.
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// The settings now.
    pub fn options(&self) -> Options {
        self.shared.live().options.clone()
    }

    /// Takes new settings over while clients stay connected; those who would not be let in any
    /// more are closed. Returns the names of the settings that changed.
    ///
    /// # Errors
    ///
    /// A change needs a restart; then nothing changes.
    pub fn reload(&self, options: Options) -> Result<Vec<&'static str>, ReloadError> {
        let live = self.shared.live();
        let changed =
            reload::changes(&live.options, &options).map_err(ReloadError::NotSupported)?;
        let info = info(&options, &self.server_id, self.client_address);
        let live = Live { options, info, loaded: SystemTime::now() };
        self.shared.reload(live).map_err(ReloadError::System)?;
        Ok(changed)
    }

    /// Closes all connections and waits until everything has ended.
    pub fn shutdown(self) {
        drop(self);
    }

    /// Stops accepting, tells the clients, and closes them one by one; then everything ends.
    /// Returns at once; [`Server::wait`] waits for the end.
    pub fn enter_lame_duck_mode(&self) {
        // A full queue has the same command, or Stop, in it already.
        let _ = self.commands.try_send(Command::LameDuck);
    }

    /// Waits until the broker has ended, after [`Server::enter_lame_duck_mode`] or a signal.
    pub fn wait(mut self) {
        if let Some(control) = self.control.take() {
            let _ = control.join();
        }
    }

    /// What sends commands to the control thread.
    pub(crate) fn commands(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            // It has ended already, or it takes the command; there is no third way.
            let mut command = Command::Stop;
            while let Err(mpsc::error::TrySendError::Full(back)) = self.commands.try_send(command) {
                command = back;
                std::thread::yield_now();
            }
            let _ = control.join();
        }
    }
}

/// Opens the streams, which clients find when they are let in, and starts the thread that owns them.
fn start_shard(
    shared: &Arc<Shared>,
    options: JetStreamOptions,
    seed: u64,
    parker: Parker,
) -> Result<JoinHandle<()>, StartError> {
    let number = shared.reactors().len();
    let me = PeerId::try_from(number).expect("reactor_count leaves a number for it");
    let inbox = shared.peers[number].inbox.clone();
    let clock = Clock::start();
    let shard = Shard::open(me, shared.clone(), options, seed, clock.now())?;
    std::thread::Builder::new()
        .name("fulmar-shard-0".to_owned())
        .spawn(move || jetstream::driver::run(shard, &inbox, &parker, clock))
        .map_err(|error| StartError::System { what: "the thread of the streams", error })
}

fn listen(what: &'static str, host: &str, port: u16) -> Result<TcpListener, StartError> {
    let address = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let failed = |error| StartError::Listen { what, address: address.clone(), error };
    if host == "0.0.0.0"
        && let Ok(listener) = listen_on(SocketAddr::from(([0; 16], port)))
    {
        // All addresses, IPv6 too, as in nats-server. A machine without IPv6 goes on below.
        return Ok(listener);
    }
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for candidate in address.to_socket_addrs().map_err(failed)? {
        match listen_on(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn reactor_count(options: &Options) -> Result<usize, StartError> {
    match options.reactors {
        None => Ok(default_reactor_count()),
        Some(count) if (1..=REACTOR_COUNT_MAX).contains(&count) => Ok(count),
        Some(count) => Err(StartError::Option(format!(
            "{count} reactors are not possible: choose from 1 to {REACTOR_COUNT_MAX}"
        ))),
    }
}

/// How many reactors a machine gets: half its cores, because kernel and clients want the other
/// half. On 2 cores with the load beside it, one reactor measured best (see ARCHITECTURE.md).
fn default_reactor_count() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, 16)
}

fn info(options: &Options, server_id: &str, address: SocketAddr) -> Info {
    let (host, port) = match options.client_advertise.as_deref().map(split_host) {
        Some((host, port)) => (host.to_owned(), port.unwrap_or(address.port())),
        None => (options.host.clone(), address.port()),
    };
    Info {
        server_id: server_id.to_owned(),
        server_name: options.server_name.clone().unwrap_or_else(|| server_id.to_owned()),
        version: NATS_VERSION.to_owned(),
        proto: 1,
        go: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
        host,
        port,
        headers: !options.no_header_support,
        jetstream: options.jetstream.is_some(),
        domain: options.jetstream.as_ref().and_then(|one| one.domain.clone()).unwrap_or_default(),
        api_lvl: if options.jetstream.is_some() { u64::from(API_LEVEL) } else { 0 },
        auth_required: match &options.authentication {
            Authentication::None => false,
            Authentication::Token(_) => true,
            Authentication::Users { no_auth_user, .. } => no_auth_user.is_none(),
        },
        max_payload: options.limits.payload_bytes_max,
        fulmar: env!("CARGO_PKG_VERSION").to_owned(),
        ..Info::default()
    }
}

/// Splits `host`, `host:port` or `[v6]:port`.
fn split_host(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    }
}

/// A server id: the form of an nkey of a server, 56 characters of which the first is `N`.
fn random_server_id() -> io::Result<String> {
    /// The prefix byte of a server's nkey; it makes the first character an `N`.
    const SERVER_PREFIX: u8 = 13 << 3;
    let mut key = [0; 35];
    key[0] = SERVER_PREFIX;
    fill_random(&mut key[1..33])?;
    let checksum = crc16(&key[..33]).to_le_bytes();
    key[33..].copy_from_slice(&checksum);
    Ok(BASE32_NOPAD.encode(&key))
}

/// CRC-16/XMODEM, which nkeys end with.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 }
        })
    })
}

fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_id_is_an_nkey() {
        let id = random_server_id().unwrap();
        assert_eq!((id.len(), id.as_bytes()[0]), (56, b'N'));
        let key = BASE32_NOPAD.decode(id.as_bytes()).unwrap();
        assert_eq!(crc16(&key[..33]).to_le_bytes(), key[33..]);
        // The check value of CRC-16/XMODEM.
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn advertised_addresses() {
        assert_eq!(split_host("example.org:4333"), ("example.org", Some(4333)));
        assert_eq!(split_host("example.org"), ("example.org", None));
        assert_eq!(split_host("[::1]:4333"), ("[::1]", Some(4333)));
        assert_eq!(split_host("::1"), ("::1", None));
    }
}
