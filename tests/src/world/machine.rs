//! One reactor with sockets made of [`Cable`]s: the loop of `fulmar::reactor::driver`, cut into
//! steps between which anything else may happen.
//!
//! The order of the steps is the driver's, and the chances (how much a read returns, how much a
//! write takes, which socket comes first) are those a kernel has. It refuses to know what the
//! clients say.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use fulmar::reactor::{
    Answer, CloseReason, ConnectionReport, Mail, Page, Reactor, Readiness, SubscriptionReport,
};
use fulmar::{PeerInbox, Shared};

use super::cable::{Cable, Read};

/// Bytes one read takes at the most, as in the driver.
const READ_BYTES: usize = 512 * 1024;
/// Slices one write takes at the most, as in the driver.
const SLICE_COUNT: usize = 64;

/// A reactor and its sockets.
pub struct Machine {
    reactor: Reactor,
    inbox: Arc<PeerInbox>,
    /// What the inbox's waker wakes; nobody polls it, a step happens when it happens.
    _poll: mio::Poll,
    sockets: Vec<Option<Socket>>,
    arrivals: VecDeque<Arrival>,
    dirty: Vec<u32>,
    phase: Phase,
    /// When the tick began.
    now: Instant,
}

/// A connection that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Which of the cables it is.
    pub cable: usize,
    /// Its number.
    pub cid: u64,
    /// Where the client is.
    pub address: SocketAddr,
    /// It is one too many.
    pub refused: bool,
}

#[derive(Clone, Copy)]
struct Socket {
    cable: usize,
    /// A write may succeed.
    writable: bool,
}

/// Where in its tick the machine is.
enum Phase {
    /// Before the next tick.
    Idle,
    /// These sockets are still to be read.
    Receive { ready: Vec<u32> },
    /// These bytes were read and are still to be handled.
    Handle { ready: Vec<u32>, slot: u32, bytes: Vec<u8>, drained: bool },
    /// The inbox is to be drained once more, and timers looked at.
    Drain,
    /// Mail is to be pushed.
    Push,
    /// These sockets are still to be flushed.
    Flush { dirty: Vec<u32> },
    /// Connections that ended are to be let go.
    Close,
}

impl Machine {
    /// The machine of the reactor number `me`, whose waker is that of `poll`.
    pub fn new(me: u8, shared: &Arc<Shared>, poll: mio::Poll, seed: u64, now: Instant) -> Self {
        Self {
            reactor: Reactor::new(me, shared.clone(), seed, now),
            inbox: shared.peers[usize::from(me)].inbox.clone(),
            _poll: poll,
            sockets: Vec::new(),
            arrivals: VecDeque::new(),
            dirty: Vec::new(),
            phase: Phase::Idle,
            now,
        }
    }

    /// Hands over a connection.
    pub fn accept(&mut self, arrival: Arrival) {
        self.arrivals.push_back(arrival);
    }

    /// The reactor itself, to look at.
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Does the next piece of a tick.
    pub fn step(&mut self, now: Instant, cables: &mut [Cable], random: &mut Rng) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => self.begin(now, cables, random),
            Phase::Receive { ready } => self.receive(ready, cables, random),
            Phase::Handle { ready, slot, bytes, drained } => {
                if !drained {
                    self.drain();
                }
                let handled = self.reactor.handle_bytes(slot, &bytes);
                if handled < bytes.len() {
                    self.reactor.push_mail();
                    self.flush_dirty(cables, random);
                    Phase::Handle { ready, slot, bytes: bytes[handled..].to_vec(), drained: true }
                } else {
                    Phase::Receive { ready }
                }
            }
            Phase::Drain => {
                self.drain();
                self.reactor.handle_timeouts();
                Phase::Push
            }
            Phase::Push => {
                self.reactor.push_mail();
                self.reactor.take_dirty(&mut self.dirty);
                Phase::Flush { dirty: std::mem::take(&mut self.dirty) }
            }
            Phase::Flush { mut dirty } => match dirty.pop() {
                Some(slot) => {
                    self.flush(slot, cables, random);
                    Phase::Flush { dirty }
                }
                None => Phase::Close,
            },
            Phase::Close => {
                self.close_ended(cables, random);
                self.reactor.publish_stats();
                Phase::Idle
            }
        };
    }

    /// What [`Machine::step`] does next, in words.
    pub fn next_step(&self) -> String {
        match &self.phase {
            Phase::Idle => "begins a tick".to_owned(),
            Phase::Receive { ready } => format!("reads one of {ready:?}"),
            Phase::Handle { slot, bytes, .. } => format!("handles {} bytes of {slot}", bytes.len()),
            Phase::Drain => "drains its inbox".to_owned(),
            Phase::Push => "pushes mail".to_owned(),
            Phase::Flush { dirty } => format!("flushes one of {dirty:?}"),
            Phase::Close => "lets go who ended".to_owned(),
        }
    }

    /// Does the rest of a tick, or a whole one.
    pub fn tick(&mut self, now: Instant, cables: &mut [Cable], random: &mut Rng) {
        self.step(now, cables, random);
        while !matches!(self.phase, Phase::Idle) {
            self.step(now, cables, random);
        }
    }

    /// Whether it is between two ticks and has nothing to do until somebody sends something or
    /// time passes.
    pub fn is_idle(&self, cables: &[Cable]) -> bool {
        let quiet = |slot: usize, socket: &Socket| {
            let cable = &cables[socket.cable];
            let slot = u32::try_from(slot).expect("few sockets");
            let reads = cable.is_readable() && self.reactor.readiness(slot) != Readiness::Never;
            let writes = cable.room() > 0 && self.reactor.outgoing(slot).is_some();
            !(reads || writes)
        };
        self.has_no_mail()
            && self.arrivals.is_empty()
            && self
                .sockets
                .iter()
                .enumerate()
                .filter_map(|(slot, socket)| Some((slot, socket.as_ref()?)))
                .all(|(slot, socket)| quiet(slot, socket))
    }

    /// Whether no mail is in its inbox and none is about to be pushed.
    pub fn has_no_mail(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.inbox.is_empty()
    }

    /// Whether the reactor holds anything that waits for the client at the other end of `cable`.
    pub fn is_waiting_for(&self, cable: usize) -> bool {
        self.slot_of(cable).is_some_and(|slot| self.reactor.outgoing(slot).is_some())
    }

    /// Ends all connections.
    pub fn stop(&mut self) {
        self.reactor.handle_stop();
    }

    /// What the reactor tells about all its connections, those that ended included.
    pub fn connections(&mut self) -> Vec<ConnectionReport> {
        let mut reports = Vec::new();
        for ended in [false, true] {
            reports.extend(self.ask(|from, answer| Mail::Connections { from, ended, answer }));
        }
        reports
    }

    /// What the reactor tells about all its subscriptions.
    pub fn subscriptions(&mut self) -> Vec<SubscriptionReport> {
        self.ask(|from, answer| Mail::Subscriptions { from, answer })
    }

    fn ask<T: Send + 'static>(&mut self, mail: impl Fn(u64, Answer<Page<T>>) -> Mail) -> Vec<T> {
        let mut entries = Vec::new();
        let mut from = Some(0);
        while let Some(next) = from {
            let (sender, receiver) = std::sync::mpsc::channel();
            let answer = Answer::new(move |page: Page<T>| {
                sender.send(page).expect("it is waited for below");
            });
            self.reactor.handle_mail(mail(next, answer));
            let page = receiver.try_recv().expect("a reactor answers at once");
            entries.extend(page.entries);
            from = page.next;
        }
        entries
    }

    fn slot_of(&self, cable: usize) -> Option<u32> {
        let slot = self
            .sockets
            .iter()
            .position(|socket| socket.is_some_and(|socket| socket.cable == cable))?;
        Some(u32::try_from(slot).expect("few sockets"))
    }

    fn begin(&mut self, now: Instant, cables: &[Cable], random: &mut Rng) -> Phase {
        self.now = now;
        self.reactor.set_now(now);
        let mut ready = Vec::new();
        for (slot, socket) in self.sockets.iter_mut().enumerate() {
            let Some(socket) = socket else { continue };
            let slot = u32::try_from(slot).expect("few sockets");
            if !socket.writable && cables[socket.cable].room() > 0 {
                socket.writable = true;
                self.dirty.push(slot);
            }
            if cables[socket.cable].is_readable() {
                ready.push(slot);
            }
        }
        if self.reactor.is_congested() {
            return Phase::Drain;
        }
        random.shuffle(&mut ready);
        Phase::Receive { ready }
    }

    fn receive(&mut self, mut ready: Vec<u32>, cables: &mut [Cable], random: &mut Rng) -> Phase {
        let Some(slot) = ready.pop() else { return Phase::Drain };
        if matches!(self.reactor.readiness(slot), Readiness::Never | Readiness::After(_)) {
            return Phase::Receive { ready };
        }
        self.reactor.resume(slot);
        let Some(socket) = self.sockets[slot as usize] else { return Phase::Receive { ready } };
        match cables[socket.cable].read(some(random, READ_BYTES)) {
            Read::Nothing => Phase::Receive { ready },
            Read::Bytes(bytes) => Phase::Handle { ready, slot, bytes, drained: false },
            Read::End => {
                self.reactor.handle_end(slot, CloseReason::ClientClosed);
                Phase::Receive { ready }
            }
        }
    }

    fn drain(&mut self) {
        while let Some(mail) = self.inbox.pop() {
            self.reactor.handle_mail(mail);
        }
        while let Some(arrival) = self.arrivals.pop_front() {
            let slot = self.reactor.handle_open(arrival.address, arrival.cid);
            if self.sockets.len() <= slot as usize {
                self.sockets.resize(slot as usize + 1, None);
            }
            self.sockets[slot as usize] = Some(Socket { cable: arrival.cable, writable: true });
            if arrival.refused {
                self.reactor.handle_refused(slot);
            }
        }
    }

    fn flush_dirty(&mut self, cables: &mut [Cable], random: &mut Rng) {
        self.reactor.take_dirty(&mut self.dirty);
        for slot in std::mem::take(&mut self.dirty) {
            self.flush(slot, cables, random);
        }
    }

    fn flush(&mut self, slot: u32, cables: &mut [Cable], random: &mut Rng) {
        let Some(socket) = &mut self.sockets[slot as usize] else { return };
        let cable = &mut cables[socket.cable];
        while socket.writable
            && let Some(outgoing) = self.reactor.outgoing(slot)
        {
            if cable.room() == 0 {
                socket.writable = false;
                self.reactor.handle_blocked(slot);
                continue;
            }
            let mut slices = [IoSlice::new(&[]); SLICE_COUNT];
            let count = outgoing.gather(&mut slices[..random.usize(1..=SLICE_COUNT)]);
            let mut left = cable.room().min(some(random, usize::MAX));
            let mut written = 0;
            for slice in &slices[..count] {
                let taken = left.min(slice.len());
                cable.write(&slice[..taken], self.now);
                (left, written) = (left - taken, written + taken);
            }
            self.reactor.handle_written(slot, written);
        }
    }

    fn close_ended(&mut self, cables: &mut [Cable], random: &mut Rng) {
        let mut closing = Vec::new();
        while self.reactor.has_closing() {
            self.reactor.take_closing(&mut closing);
            for slot in closing.drain(..) {
                self.flush(slot, cables, random);
                self.reactor.forget(slot);
                if let Some(socket) = self.sockets[slot as usize].take() {
                    cables[socket.cable].end(self.now, !socket.writable);
                }
            }
        }
    }
}

/// How much of `all` a read or a write takes: mostly everything, sometimes a little.
fn some(random: &mut Rng, all: usize) -> usize {
    match random.u8(..) {
        0..=19 => random.usize(1..=8),
        20..=59 => random.usize(1..=600),
        60..=79 => random.usize(1..=100_000),
        _ => all,
    }
}
