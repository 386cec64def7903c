//! The loop around a [`Reactor`]: it waits, reads, writes, and does not think.
//!
//! A tick is, in this order, and the order matters:
//!
//! 1. **poll**: wait for sockets, mail or a timer.
//! 2. **read, drain, route**: one read of each ready socket; mail that came is drained before
//!    those bytes are looked at. Whatever the bytes were sent in answer to has then been
//!    delivered here, so that causal order holds across publishers.
//! 3. **drain** once more, for ticks without bytes.
//! 4. **push mail** to other reactors, and only then
//! 5. **flush** sockets: nobody hears a PONG before the mail that went before it is on its way.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::{Accepted, CloseReason, Mail, Reactor, Readiness};
use crate::mesh::waker::WAKE_TOKEN;
use crate::shared::{PeerInbox, Shared};
use crate::stats::Stage;

/// Bytes all reads of a tick take together, unless so many sockets are ready that each gets
/// [`READ_BYTES_MIN`]. Large reads are few reads, and few
/// wake-ups of whoever writes: at 1 KiB a message, 512 KiB cost a fifth less than 256 KiB.
const READ_BYTES: usize = 512 * 1024;
/// Bytes one read may take however many sockets are ready.
const READ_BYTES_MIN: usize = 64 * 1024;
/// Slices one write takes at the most.
const SLICE_COUNT: usize = 64;
/// Events one poll returns at the most.
const EVENT_COUNT: usize = 1024;
/// How long a closed connection may still send before it is cut: a close with unread bytes
/// would reset the connection and take the error it was just sent with it.
const LINGER: Duration = Duration::from_millis(500);
/// How often lingering connections are looked at.
const LINGER_STEP: Duration = Duration::from_millis(20);
/// Connections that may linger at once; the oldest is cut for one more.
const LINGERING_MAX: usize = 1024;
/// How long a reactor waits before it looks again whether another one has caught up.
const CONGESTION_STEP: Duration = Duration::from_millis(1);

struct Socket {
    stream: TcpStream,
    generation: u32,
    /// There may be bytes to read; then it is on the ready list.
    readable: bool,
    /// A write may succeed.
    writable: bool,
    /// The client has ended its side: read up to the end.
    read_closed: bool,
}

struct Driver {
    reactor: Reactor,
    inbox: Arc<PeerInbox>,
    poll: Poll,
    sockets: Vec<Option<Socket>>,
    /// Sockets that may have bytes to read.
    ready: Vec<u32>,
    /// Sockets to be flushed.
    dirty: Vec<u32>,
    closing: Vec<u32>,
    lingering: VecDeque<(Instant, TcpStream)>,
    stopping: bool,
}

/// Runs `reactor` until it is told to stop. `inbox` is its own, woken through `poll`.
pub fn run(reactor: Reactor, inbox: Arc<PeerInbox>, poll: Poll, shared: &Shared, me: usize) {
    let mut driver = Driver {
        reactor,
        inbox,
        poll,
        sockets: Vec::new(),
        ready: Vec::new(),
        dirty: Vec::new(),
        closing: Vec::new(),
        lingering: VecDeque::new(),
        stopping: false,
    };
    let mut events = Events::with_capacity(EVENT_COUNT);
    let mut buffer = vec![0; READ_BYTES];
    let stats = &shared.peers[me].stats;
    while !driver.stopping {
        driver.wait(&mut events);
        let began = Instant::now();
        driver.reactor.set_now(began);
        driver.take_events(&events);
        driver.receive(&mut buffer);
        let received = Instant::now();
        driver.drain();
        driver.reactor.handle_timeouts();
        let drained = Instant::now();
        driver.reactor.push_mail();
        driver.flush();
        driver.close_ended();
        let flushed = Instant::now();
        stats.record(Stage::Receive, received - began);
        stats.record(Stage::Inbox, drained - received);
        stats.record(Stage::Flush, flushed - drained);
        stats.record(Stage::Tick, flushed - began);
        driver.reactor.publish_stats();
    }
}

impl Driver {
    /// Sleeps until there is something to do.
    fn wait(&mut self, events: &mut Events) {
        let now = Instant::now();
        self.reactor.set_now(now);
        let mut until = self.reactor.next_timeout();
        let mut earlier = |at: Instant| until = Some(until.map_or(at, |until| until.min(at)));
        if self.reactor.is_congested() {
            earlier(now + CONGESTION_STEP);
        } else {
            for slot in &self.ready {
                match self.reactor.readiness(*slot) {
                    Readiness::Now | Readiness::Sparingly => earlier(now),
                    Readiness::After(at) => earlier(at),
                    Readiness::Never => {}
                }
            }
        }
        if !self.lingering.is_empty() {
            earlier(now + LINGER_STEP);
        }
        let mut timeout = until.map(|until| until.saturating_duration_since(now));
        if timeout != Some(Duration::ZERO) && !self.inbox.prepare_to_sleep() {
            timeout = Some(Duration::ZERO);
        }
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            tracing::error!("a reactor cannot poll its sockets: {error}");
        }
        self.inbox.awake();
    }

    fn take_events(&mut self, events: &Events) {
        for event in events {
            if event.token() == WAKE_TOKEN {
                continue;
            }
            let (slot, generation) = place_of(event.token());
            let Some(Some(socket)) = self.sockets.get_mut(slot as usize) else { continue };
            if socket.generation != generation {
                continue;
            }
            socket.read_closed |= event.is_read_closed() || event.is_error();
            if (event.is_readable() || socket.read_closed) && !socket.readable {
                socket.readable = true;
                self.ready.push(slot);
            }
            if event.is_writable() && !socket.writable {
                socket.writable = true;
                self.dirty.push(slot);
            }
        }
    }

    /// One read of each ready socket.
    fn receive(&mut self, buffer: &mut [u8]) {
        if self.ready.is_empty() || self.reactor.is_congested() {
            return;
        }
        let ready = std::mem::take(&mut self.ready);
        let share = (buffer.len() / ready.len()).max(READ_BYTES_MIN);
        for slot in ready {
            if self.reactor.is_congested() {
                // What was read before this socket was enough.
                self.ready.push(slot);
                continue;
            }
            let share = match self.reactor.readiness(slot) {
                Readiness::Never => continue,
                Readiness::After(_) => {
                    self.ready.push(slot);
                    continue;
                }
                Readiness::Sparingly => READ_BYTES_MIN,
                Readiness::Now => share,
            };
            self.reactor.resume(slot);
            let buffer = &mut buffer[..share];
            let Some(Some(socket)) = self.sockets.get_mut(slot as usize) else { continue };
            match socket.stream.read(buffer) {
                Ok(0) => {
                    socket.readable = false;
                    self.reactor.handle_end(slot, CloseReason::ClientClosed);
                }
                Ok(size) => {
                    // A short read took all there was: the next bytes are a new event.
                    socket.readable = size == buffer.len() || socket.read_closed;
                    if socket.readable {
                        self.ready.push(slot);
                    }
                    if !self.inbox.is_empty() {
                        self.drain();
                    }
                    let mut bytes = &buffer[..size];
                    while !bytes.is_empty() {
                        let handled = self.reactor.handle_bytes(slot, bytes);
                        bytes = &bytes[handled..];
                        if !bytes.is_empty() {
                            self.reactor.push_mail();
                            self.flush();
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => self.ready.push(slot),
                Err(error) => {
                    socket.readable = false;
                    let reason = match error.kind() {
                        ErrorKind::ConnectionReset => CloseReason::ClientClosed,
                        _ => CloseReason::ReadError,
                    };
                    self.reactor.handle_end(slot, reason);
                }
            }
        }
    }

    fn drain(&mut self) {
        while let Some(mail) = self.inbox.pop() {
            match mail {
                Mail::Open(accepted) => self.open(*accepted),
                Mail::Stop => {
                    self.stopping = true;
                    self.reactor.handle_stop();
                }
                mail => self.reactor.handle_mail(mail),
            }
        }
    }

    fn open(&mut self, accepted: Accepted) {
        let mut stream = TcpStream::from_std(accepted.stream);
        let slot = self.reactor.handle_open(accepted.address, accepted.cid);
        let generation = self.reactor.generation(slot).expect("it was opened just now");
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered =
            self.poll.registry().register(&mut stream, token_of(slot, generation), interest);
        if self.sockets.len() <= slot as usize {
            self.sockets.resize_with(slot as usize + 1, || None);
        }
        // Not writable yet: the first event says so, and then INFO goes out.
        let socket =
            Socket { stream, generation, readable: false, writable: true, read_closed: false };
        self.sockets[slot as usize] = Some(socket);
        if let Err(error) = registered {
            tracing::error!("a connection cannot be polled: {error}");
            self.reactor.handle_end(slot, CloseReason::ReadError);
        } else if accepted.refused {
            self.reactor.handle_refused(slot);
        } else if self.stopping {
            self.reactor.handle_end(slot, CloseReason::ServerShutdown);
        }
    }

    /// Writes what waits, as far as the sockets take it.
    fn flush(&mut self) {
        self.reactor.take_dirty(&mut self.dirty);
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            self.flush_one(slot);
        }
        self.dirty = dirty;
    }

    fn flush_one(&mut self, slot: u32) {
        let Some(Some(socket)) = self.sockets.get_mut(slot as usize) else { return };
        while socket.writable
            && let Some(outgoing) = self.reactor.outgoing(slot)
        {
            let mut slices = [IoSlice::new(&[]); SLICE_COUNT];
            let count = outgoing.gather(&mut slices);
            match socket.stream.write_vectored(&slices[..count]) {
                Ok(size) => self.reactor.handle_written(slot, size),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    socket.writable = false;
                    self.reactor.handle_blocked(slot);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.reactor.handle_end(slot, CloseReason::WriteError);
                    return;
                }
            }
        }
    }

    /// Lets go of connections that ended. What waited for them was written as far as it went.
    fn close_ended(&mut self) {
        self.cut_lingering();
        while self.reactor.has_closing() {
            self.reactor.take_closing(&mut self.closing);
            let mut closing = std::mem::take(&mut self.closing);
            for slot in closing.drain(..) {
                self.flush_one(slot);
                self.reactor.forget(slot);
                if let Some(socket) = self.sockets.get_mut(slot as usize).and_then(Option::take) {
                    self.part_with(socket);
                }
            }
            self.closing = closing;
        }
    }

    fn part_with(&mut self, mut socket: Socket) {
        // Neither can fail in a way that anything could be done about.
        let _ = self.poll.registry().deregister(&mut socket.stream);
        if socket.read_closed || self.stopping || socket.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        if self.lingering.len() == LINGERING_MAX {
            self.lingering.pop_front();
        }
        self.lingering.push_back((Instant::now() + LINGER, socket.stream));
    }

    /// Reads and forgets what lingering connections still send, and cuts those that are done.
    fn cut_lingering(&mut self) {
        if self.lingering.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut scratch = [0; 4096];
        self.lingering.retain_mut(|(until, stream)| {
            // A bound, so that a client that keeps sending is not read for ever.
            for _ in 0..64 {
                match stream.read(&mut scratch) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return now < *until,
                    Err(_) => return false,
                }
            }
            now < *until
        });
    }
}

fn token_of(slot: u32, generation: u32) -> Token {
    Token(slot as usize | (generation as usize) << 32)
}

fn place_of(token: Token) -> (u32, u32) {
    let low = u32::try_from(token.0 & 0xffff_ffff).expect("32 bits are left");
    let high = u32::try_from(token.0 >> 32).expect("32 bits are left");
    (low, high)
}
