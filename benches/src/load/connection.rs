//! One client connection on a blocking socket: the handshake, and lines read one by one.
//!
//! For setting up and for confirming only; the bulk of a measurement goes past it, straight to
//! the socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::STALL_TIME_MAX;

/// What every client of the load says of itself: what current client libraries send.
const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\
    \"lang\":\"rust\",\"version\":\"0\",\"name\":\"fulmar-benches\",\"protocol\":1,\"echo\":true,\
    \"headers\":true,\"no_responders\":true}\r\nPING\r\n";

/// Longest line that a server may send: INFO with many URLs stays far below.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How a client waits for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// In the kernel, which wakes it.
    Asleep,
    /// Asking again and again, on a socket that does not block: what the kernel takes to wake it
    /// is not in its latency.
    Busily,
}

/// A connected client.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes that arrived behind the line read last.
    unread: Vec<u8>,
}

impl Connection {
    /// Connects, says CONNECT and waits for the PONG that says all was accepted.
    ///
    /// # Errors
    /// When the server cannot be reached, answers with an error, or not in time.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        let mut connection = Self::unspoken(stream)?;
        let info = connection.line()?;
        if !info.starts_with(b"INFO ") {
            bail!("expected INFO, the server said {:?}", String::from_utf8_lossy(&info));
        }
        connection.send(CONNECT)?;
        connection.wait_for_pong()?;
        Ok(connection)
    }

    /// A connection without any handshake, for a peer that does not speak NATS.
    ///
    /// # Errors
    /// When the socket takes no options.
    pub fn unspoken(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL_TIME_MAX))?;
        stream.set_write_timeout(Some(STALL_TIME_MAX))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Sends `bytes` as they are.
    ///
    /// # Errors
    /// When the server has closed, or takes nothing for [`STALL_TIME_MAX`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) if is_timeout(error.kind()) => {
                bail!("the server took no bytes for {STALL_TIME_MAX:?}")
            }
            Err(error) => match self.last_words() {
                Some(words) => bail!("the server closed the connection: {words}"),
                None => Err(error).context("the server closed the connection"),
            },
        }
    }

    /// Sends PING and waits for its PONG: all that was sent before has been processed.
    ///
    /// # Errors
    /// When the server answers with an error, closes, or is silent for [`STALL_TIME_MAX`].
    pub fn confirm(&mut self) -> Result<()> {
        self.send(b"PING\r\n")?;
        self.wait_for_pong()
    }

    fn wait_for_pong(&mut self) -> Result<()> {
        loop {
            let line = self.line()?;
            match line.as_slice() {
                b"PONG" => return Ok(()),
                b"PING" => self.send(b"PONG\r\n")?,
                b"+OK" => {}
                info if info.starts_with(b"INFO ") => {}
                other => bail!("the server said {:?}", String::from_utf8_lossy(other)),
            }
        }
    }

    /// The next line, without its line end.
    fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let mut line: Vec<u8> = self.unread.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            if self.unread.len() > LINE_BYTES_MAX {
                bail!("the server sent a line longer than {LINE_BYTES_MAX} bytes");
            }
            let mut chunk = [0; 4096];
            let count = read_some(&mut self.stream, &mut chunk)?;
            self.unread.extend_from_slice(&chunk[..count]);
        }
    }

    /// What the server said before it hung up: the reason, mostly.
    fn last_words(&mut self) -> Option<String> {
        let mut text = Vec::new();
        drop(self.stream.read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The bare socket, together with what was read from it too early.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }
}

/// Reads what there is, at least one byte.
///
/// # Errors
/// When the peer closed, or was silent for [`STALL_TIME_MAX`].
pub fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match stream.read(buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_timeout(error.kind()) => {
                bail!("nothing came from the server for {STALL_TIME_MAX:?}")
            }
            Err(error) => return Err(error).context("cannot read from the server"),
        }
    }
}

/// As [`read_some`], on a socket that does not block, asking again and again.
///
/// # Errors
/// As [`read_some`].
pub fn read_busily(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let begin = Instant::now();
    loop {
        match stream.read(buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ensure!(
                    begin.elapsed() < STALL_TIME_MAX,
                    "nothing came from the server for {STALL_TIME_MAX:?}"
                );
            }
            Err(error) => return Err(error).context("cannot read from the server"),
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
