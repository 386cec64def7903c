//! Lines to a syslog, the one of this machine or another, in the form of RFC 3164.
//!
//! A syslog may be slow or gone. Lines wait for it in a queue of [`QUEUE_LINES_MAX`] lines of at
//! most [`LINE_BYTES_MAX`] bytes; what finds no room there is lost, and counted by the caller.

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, Sender};
use jiff::Zoned;

use super::LogError;
use super::line::Level;
use crate::executable;

/// Lines that wait for a syslog.
const QUEUE_LINES_MAX: usize = 1_024;
/// Bytes of a line; the rest is cut off. Few collectors take more.
const LINE_BYTES_MAX: usize = 8 * 1_024;
/// How long a connection or a write to another machine may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts to connect again; lines in between are lost.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The port of a remote syslog that has none in its address.
const PORT: u16 = 514;
/// Where the local syslog listens.
const LOCAL_PATHS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// A syslog. Clones write to the same one.
#[derive(Clone, Debug)]
pub(super) struct Syslog {
    queue: Sender<Job>,
    facility: u8,
    is_local: bool,
    host: String,
    tag: String,
}

#[derive(Debug)]
enum Job {
    Line(Vec<u8>),
    /// Answered when everything before it has been dealt with.
    Flush(Sender<()>),
}

impl Syslog {
    /// The syslog of this machine.
    pub fn local() -> Result<Self, LogError> {
        const DAEMON: u8 = 3;
        let address = Address::Local;
        Self::start(address, LOCAL_PATHS.join(" or "), DAEMON, true)
    }

    /// The syslog at `udp://host:port`, `tcp://host:port` or `unix:///path`.
    pub fn remote(address: &str) -> Result<Self, LogError> {
        // nats-server names no facility there, which makes it this one.
        const KERNEL: u8 = 0;
        let parsed =
            Address::parse(address).ok_or_else(|| LogError::Address(address.to_owned()))?;
        let is_local = matches!(parsed, Address::Unix(_));
        Self::start(parsed, address.to_owned(), KERNEL, is_local)
    }

    fn start(
        address: Address,
        name: String,
        facility: u8,
        is_local: bool,
    ) -> Result<Self, LogError> {
        let failed = |error| LogError::Syslog { address: name.clone(), error };
        let connection = address.connect().map_err(failed)?;
        let (queue, jobs) = channel::bounded(QUEUE_LINES_MAX);
        thread::Builder::new()
            .name("fulmar-syslog".to_owned())
            .spawn(move || deliver(&address, connection, &jobs))
            .map_err(failed)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { queue, facility, is_local, host, tag: executable::name() })
    }

    /// Puts a line, with its end, into the queue.
    pub fn write(&self, level: Level, line: &[u8]) -> io::Result<()> {
        let mut message = self.header(level, &Zoned::now()).into_bytes();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let room = LINE_BYTES_MAX.saturating_sub(message.len() + 1);
        message.extend_from_slice(&line[..line.len().min(room)]);
        message.push(b'\n');
        self.queue.try_send(Job::Line(message)).map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    /// Waits until the queue is empty, no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (done, answer) = channel::bounded(1);
        if self.queue.send_deadline(Job::Flush(done), deadline).is_ok() {
            let _ = answer.recv_deadline(deadline);
        }
    }

    fn header(&self, level: Level, now: &Zoned) -> String {
        // Notice for trace lines: what asks to be shown is not to be filtered away.
        let severity = match level {
            Level::Fatal => 2,
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info | Level::Trace => 5,
            Level::Debug => 7,
        };
        let priority = self.facility * 8 + severity;
        let (tag, pid) = (&self.tag, std::process::id());
        if self.is_local {
            format!("<{priority}>{} {tag}[{pid}]: ", now.strftime("%b %e %T"))
        } else {
            let is_utc = now.offset().is_zero();
            let time = now.strftime(if is_utc { "%FT%TZ" } else { "%FT%T%:z" });
            format!("<{priority}>{time} {} {tag}[{pid}]: ", self.host)
        }
    }
}

/// Sends what is in the queue until all who may write to it are gone.
fn deliver(address: &Address, connection: Connection, jobs: &Receiver<Job>) {
    let mut connection = Some(connection);
    let mut retry_at = Instant::now();
    for job in jobs {
        match job {
            Job::Line(line) => {
                let is_sent =
                    connection.as_mut().is_some_and(|connection| connection.send(&line).is_ok());
                if is_sent || Instant::now() < retry_at {
                    continue;
                }
                connection = address.connect().ok();
                let is_sent =
                    connection.as_mut().is_some_and(|connection| connection.send(&line).is_ok());
                if !is_sent {
                    connection = None;
                    retry_at = Instant::now() + RETRY_INTERVAL;
                }
            }
            Job::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    /// Wherever this machine's syslog listens.
    Local,
    Unix(String),
    /// `host:port`.
    Udp(String),
    Tcp(String),
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if scheme == "unix" {
            return rest.starts_with('/').then(|| Self::Unix(rest.to_owned()));
        }
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.is_empty() || host.contains(['/', '@', '?']) {
            return None;
        }
        // A colon inside brackets is part of an IPv6 address.
        let has_port = host.rfind(':') > host.rfind(']');
        let address = if has_port { host.to_owned() } else { format!("{host}:{PORT}") };
        match scheme {
            "udp" => Some(Self::Udp(address)),
            "tcp" => Some(Self::Tcp(address)),
            _ => None,
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Local => {
                let mut last = io::ErrorKind::NotFound.into();
                for path in LOCAL_PATHS {
                    match connect_unix(Path::new(path)) {
                        Ok(connection) => return Ok(connection),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Self::Unix(path) => connect_unix(Path::new(path)),
            Self::Udp(address) => {
                let mut last = io::ErrorKind::AddrNotAvailable.into();
                for candidate in address.to_socket_addrs()? {
                    let any = if candidate.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let connected = UdpSocket::bind(any)
                        .and_then(|socket| socket.connect(candidate).map(|()| socket));
                    match connected {
                        Ok(socket) => return Ok(Connection::Udp(socket)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Self::Tcp(address) => {
                let mut last = io::ErrorKind::AddrNotAvailable.into();
                for candidate in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&candidate, PATIENCE) {
                        Ok(stream) => {
                            stream.set_write_timeout(Some(PATIENCE))?;
                            return Ok(Connection::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

fn connect_unix(path: &Path) -> io::Result<Connection> {
    let datagram = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection::UnixDatagram(socket))
    };
    let stream = || {
        let stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection::UnixStream(stream))
    };
    datagram().or_else(|_: io::Error| stream())
}

#[derive(Debug)]
enum Connection {
    UnixDatagram(UnixDatagram),
    UnixStream(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Connection {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::UnixDatagram(socket) => socket.send(message).map(|_| ()),
            Self::Udp(socket) => socket.send(message).map(|_| ()),
            Self::UnixStream(stream) => stream.write_all(message),
            Self::Tcp(stream) => stream.write_all(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses() {
        let udp = |address: &str| Some(Address::Udp(address.into()));
        for (text, expected) in [
            ("udp://h:1", udp("h:1")),
            ("udp://h", udp("h:514")),
            ("udp://127.0.0.1:514/", udp("127.0.0.1:514")),
            ("udp://[::1]", udp("[::1]:514")),
            ("udp://[::1]:7", udp("[::1]:7")),
            ("tcp://h:1", Some(Address::Tcp("h:1".into()))),
            ("unix:///dev/log", Some(Address::Unix("/dev/log".into()))),
            ("unix://log", None),
            ("h:1", None),
            ("udp://", None),
            ("udp:///h", None),
            ("udp://u@h", None),
            ("http://h", None),
            ("", None),
        ] {
            assert_eq!(Address::parse(text), expected, "{text}");
        }
        let error = Syslog::remote("nowhere").unwrap_err().to_string();
        assert!(error.contains("\"nowhere\" is not the address of a syslog"), "{error}");
    }

    #[test]
    fn headers() {
        let (queue, _jobs) = channel::bounded(1);
        let (host, tag) = ("host".to_owned(), "fulmar".to_owned());
        let pid = std::process::id();
        let utc = "2026-01-02T15:04:05.5[UTC]".parse().unwrap();
        let west = "2026-01-02T15:04:05[-08:00]".parse().unwrap();
        let mut syslog = Syslog { queue, facility: 3, is_local: true, host, tag };
        for (level, priority) in [
            (Level::Fatal, 26),
            (Level::Error, 27),
            (Level::Warn, 28),
            (Level::Info, 29),
            (Level::Trace, 29),
            (Level::Debug, 31),
        ] {
            let expected = format!("<{priority}>Jan  2 15:04:05 fulmar[{pid}]: ");
            assert_eq!(syslog.header(level, &utc), expected);
        }
        (syslog.facility, syslog.is_local) = (0, false);
        let expected = format!("<5>2026-01-02T15:04:05Z host fulmar[{pid}]: ");
        assert_eq!(syslog.header(Level::Info, &utc), expected);
        let expected = format!("<5>2026-01-02T15:04:05-08:00 host fulmar[{pid}]: ");
        assert_eq!(syslog.header(Level::Info, &west), expected);
    }

    #[test]
    fn datagrams() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let address = format!("udp://{}", receiver.local_addr().unwrap());
        let syslog = Syslog::remote(&address).unwrap();
        syslog.write(Level::Info, b"hello\n").unwrap();
        syslog.write(Level::Info, &[b'x'; 100_000]).unwrap();
        let mut buffer = [0; 20_000];
        let length = receiver.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]);
        assert!(text.starts_with("<5>") && text.ends_with("]: hello\n"), "{text}");
        assert_eq!(receiver.recv(&mut buffer).unwrap(), LINE_BYTES_MAX);
    }

    #[test]
    fn local_sockets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let syslog = Syslog::remote(&format!("unix://{}", path.display())).unwrap();
        syslog.write(Level::Error, b"hello\n").unwrap();
        let mut buffer = [0; 1_000];
        let length = receiver.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]);
        assert!(text.starts_with("<3>") && text.ends_with("]: hello\n"), "{text}");
    }

    #[test]
    fn streams_are_connected_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let syslog = Syslog::remote(&address).unwrap();
        let (first, _) = listener.accept().unwrap();
        syslog.write(Level::Info, b"one\n").unwrap();
        let mut line = String::new();
        BufReader::new(&first).read_line(&mut line).unwrap();
        assert!(line.ends_with("]: one\n"), "{line}");
        drop(first);
        // The first write after the end still succeeds; a later one finds the connection gone.
        listener.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut second = loop {
            assert!(Instant::now() < deadline, "connected again in time");
            syslog.write(Level::Info, b"two\n").unwrap();
            syslog.flush(Duration::from_secs(5));
            if let Ok((stream, _)) = listener.accept() {
                break stream;
            }
        };
        second.set_nonblocking(false).unwrap();
        second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut byte = [0];
        second.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"<");
    }

    #[test]
    fn a_syslog_that_does_not_read_costs_lines_and_no_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let syslog = Syslog::remote(&address).unwrap();
        let line = [b'x'; LINE_BYTES_MAX];
        let begun = Instant::now();
        let lost =
            (0..20 * QUEUE_LINES_MAX).filter(|_| syslog.write(Level::Info, &line).is_err()).count();
        assert!(lost > 0, "the queue is bounded");
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody waited for it");
        syslog.flush(Duration::from_millis(10));
        assert!(begun.elapsed() < Duration::from_secs(12), "nor does a flush");
    }

    #[test]
    fn nobody_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Syslog::remote(&address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot reach syslog {address}: ")), "{error}");
    }
}
