//! The wire between a client and a reactor, in memory: two queues of bytes, one of which takes
//! only so much before it blocks.
//!
//! It refuses to know what the bytes mean, and when anybody reads or writes.

use std::time::{Duration, Instant};

/// Bytes that a cable takes that was widened.
const WIDE: usize = 1024 * 1024;

/// One connection as both of its ends see it.
#[derive(Debug)]
pub struct Cable {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// Bytes that may be on their way to the client, as in the buffers of two kernels.
    room_max: usize,
    is_wide: bool,
    client_end: ClientEnd,
    written_at: Option<Instant>,
    server_end: Option<ServerEnd>,
}

#[derive(Clone, Copy, Debug)]
struct ServerEnd {
    at: Instant,
    /// There was no room for its last words.
    blocked: bool,
}

/// What the client did with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientEnd {
    Open,
    /// It sends nothing more; what it sent before is still read.
    Closed,
    /// It is gone, and what was on its way with it.
    Reset,
}

/// What a read of the server's end found.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing, for now.
    Nothing,
    /// These bytes; at least one.
    Bytes(Vec<u8>),
    /// The client ended.
    End,
}

impl Cable {
    /// A cable that takes `room_max` bytes towards a client that does not read.
    pub fn new(room_max: usize) -> Self {
        Self {
            to_server: Vec::new(),
            to_client: Vec::new(),
            room_max,
            is_wide: false,
            client_end: ClientEnd::Open,
            written_at: None,
            server_end: None,
        }
    }

    /// The client sends `bytes`. After the server's end they are lost.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.server_end.is_none() {
            self.to_server.extend_from_slice(bytes);
        }
    }

    /// Bytes that the server has not read yet.
    pub fn sent_size(&self) -> usize {
        self.to_server.len()
    }

    /// The client takes up to `most` of the bytes that came.
    pub fn receive(&mut self, most: usize) -> Vec<u8> {
        let size = most.min(self.to_client.len());
        take(&mut self.to_client, size)
    }

    /// Bytes that the client has not received yet.
    pub fn receivable_size(&self) -> usize {
        self.to_client.len()
    }

    /// Whether the server has ended and everything it wrote was received.
    pub fn is_over(&self) -> bool {
        self.server_end.is_some() && self.to_client.is_empty()
    }

    /// The client ends, after what it sent.
    pub fn close(&mut self) {
        self.client_end = ClientEnd::Closed;
        self.to_client.clear();
    }

    /// The client is gone at once.
    pub fn reset(&mut self) {
        self.client_end = ClientEnd::Reset;
        self.to_server.clear();
        self.to_client.clear();
    }

    /// Whether a read of the server's end would find something.
    pub fn is_readable(&self) -> bool {
        !self.to_server.is_empty() || self.client_end != ClientEnd::Open
    }

    /// The server reads up to `most` bytes.
    pub fn read(&mut self, most: usize) -> Read {
        if self.to_server.is_empty() {
            return if self.client_end == ClientEnd::Open { Read::Nothing } else { Read::End };
        }
        let size = most.clamp(1, self.to_server.len());
        Read::Bytes(take(&mut self.to_server, size))
    }

    /// How many bytes a write of the server would take now.
    pub fn room(&self) -> usize {
        match self.client_end {
            ClientEnd::Open => {
                let max = if self.is_wide { WIDE } else { self.room_max };
                max.saturating_sub(self.to_client.len())
            }
            // Nobody reads, and nobody minds.
            ClientEnd::Closed | ClientEnd::Reset => usize::MAX,
        }
    }

    /// The server writes `bytes`, for which there is room.
    pub fn write(&mut self, bytes: &[u8], now: Instant) {
        debug_assert!(bytes.len() <= self.room(), "more is written than there is room for");
        self.written_at = Some(now);
        if self.client_end == ClientEnd::Open {
            self.to_client.extend_from_slice(bytes);
        }
    }

    /// The server ends. What it wrote can still be received; `blocked` says that it could not
    /// write everything.
    pub fn end(&mut self, now: Instant, blocked: bool) {
        self.server_end = Some(ServerEnd { at: now, blocked });
        self.to_server.clear();
    }

    /// Whether the server has ended.
    pub fn has_ended(&self) -> bool {
        self.server_end.is_some()
    }

    /// Whether there was no room for the server's last words.
    pub fn ended_blocked(&self) -> bool {
        self.server_end.is_some_and(|end| end.blocked)
    }

    /// For how long nothing had been written when the server ended.
    pub fn silence_before_end(&self) -> Option<Duration> {
        Some(self.server_end?.at.duration_since(self.written_at?))
    }

    /// From now on there is so much room that whoever reads is soon through with everything.
    pub fn widen(&mut self) {
        self.is_wide = true;
    }

    /// Bytes it took towards a client that did not read, before it was widened.
    pub fn room_max(&self) -> usize {
        self.room_max
    }
}

/// The first `size` of `bytes`, of which the rest stays.
fn take(bytes: &mut Vec<u8>, size: usize) -> Vec<u8> {
    let rest = bytes.split_off(size);
    std::mem::replace(bytes, rest)
}
