//! A publisher that writes as fast as the server takes it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::connection::Connection;
use super::frames::{PublishRing, end_publish_frame};
use super::pace::Pace;

/// Does a publisher wait for the server's word at its end?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// PING, and wait for the PONG: everything has been processed.
    Pong,
    /// The other side does not speak NATS.
    Nothing,
}

/// One publishing connection and its messages.
#[derive(Debug)]
pub struct Publisher {
    connection: Connection,
    ring: PublishRing,
    confirm: Confirm,
}

impl Publisher {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not answer as it must.
    pub fn open(address: SocketAddr, ring: PublishRing) -> Result<Self> {
        let connection = Connection::open(address).context("a publisher cannot connect")?;
        Ok(Self::on(connection, ring, Confirm::Pong))
    }

    /// A publisher on a connection that exists.
    pub fn on(connection: Connection, ring: PublishRing, confirm: Confirm) -> Self {
        Self { connection, ring, confirm }
    }

    /// Publishes for `time` at the `pace` of the subscribers, then sends one end mark. Returns
    /// the number of messages without the mark.
    ///
    /// # Errors
    /// When the server closes the connection or takes nothing any more.
    pub fn run(&mut self, time: Duration, pace: &Pace) -> Result<u64> {
        let deadline = Instant::now() + time;
        let mut sent = 0;
        while Instant::now() < deadline {
            let (chunk, frames) = self.ring.next_chunk();
            self.connection.send(chunk).with_context(|| format!("publisher, after {sent}"))?;
            sent += frames;
            pace.published(frames, deadline);
        }
        self.connection.send(&end_publish_frame())?;
        if self.confirm == Confirm::Pong {
            self.connection.confirm().context("publisher, at the end")?;
        }
        Ok(sent)
    }
}
