//! The floor: a thread that reads from one socket and writes the same bytes to another.
//!
//! No server that passes bytes on through the kernel can cost less. It knows no protocol.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::time::{ClockId, clock_gettime};

use super::STALL_TIME_MAX;
use super::connection::Connection;

/// Size of one read.
const BUFFER_BYTES: usize = 64 * 1024;

/// A relay at work.
#[derive(Debug)]
pub struct Relay {
    thread: JoinHandle<Result<Duration>>,
}

impl Relay {
    /// Begins to copy; returns the relay, the connection that it reads from and the one that it
    /// writes to.
    ///
    /// # Errors
    /// When the loopback has no sockets to give.
    pub fn start() -> Result<(Self, Connection, Connection)> {
        let (source, mut from) = socket_pair()?;
        let (mut to, sink) = socket_pair()?;
        let thread = std::thread::spawn(move || -> Result<Duration> {
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                match from.read(&mut buffer).context("the relay cannot read")? {
                    // The clock of this thread alone: the load runs in the same process.
                    0 => return Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?),
                    count => to.write_all(&buffer[..count]).context("the relay cannot write")?,
                }
            }
        });
        Ok((Self { thread }, Connection::unspoken(source)?, Connection::unspoken(sink)?))
    }

    /// The CPU time of the copying thread. The connection it reads from must be closed before.
    ///
    /// # Errors
    /// When reading or writing failed.
    pub fn cpu_time(self) -> Result<Duration> {
        self.thread.join().map_err(|_| anyhow!("the relay panicked"))?
    }
}

/// Two ends of one connection over the loopback.
fn socket_pair() -> Result<(TcpStream, TcpStream)> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on the loopback")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL_TIME_MAX))?;
    }
    Ok((near, far))
}
