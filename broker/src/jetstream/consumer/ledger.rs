//! What was delivered and what became of it: the part of a consumer that survives a restart.
//!
//! Every change is one of few methods, and each is also an operation of the journal
//! ([`super::journal`]): a ledger that was read back and one that lived through the same events
//! are equal, because the same code made both. It refuses to know the stream and the time;
//! deadlines are numbers it keeps for others.
//!
//! ```text
//!             deliver                settle
//!  (cursor) ──────────► waiting ──────────────► gone
//!                        │    ▲ redeliver
//!                        │    └──┐
//!                        └───────┘
//!                 exceed │
//!                        ▼            settle
//!                    exceeded ────────────────► gone
//! ```

use std::collections::BTreeMap;

use super::window::{Entry, Window};

/// The largest sequence: all are below half of what a number can hold, so that adding one to any
/// of them is safe, also to those read from a disk.
pub(super) const SEQUENCE_MAX: u64 = u64::MAX >> 1;

/// A place in the stream and in the consumer's own count of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Sequence of a delivery.
    pub consumer: u64,
    /// Sequence in the stream.
    pub stream: u64,
}

/// Where a message is in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It was waiting for an acknowledgement.
    Waiting(Entry),
    /// It had been delivered as often as it may be.
    Exceeded,
    /// It is not there.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Ledger {
    window: Window,
    /// Messages that were delivered as often as they may be, and how often that was. They are
    /// not delivered again and stay until they are acknowledged or leave the stream.
    exceeded: BTreeMap<u64, u32>,
    /// How many in the window were delivered more than once.
    redelivered: usize,
    /// The last delivery, and the furthest message that was delivered.
    delivered: Position,
    floor: Position,
}

impl Ledger {
    /// Nothing was delivered, and the first message will be `start` or a later one.
    pub(super) fn new(start: u64) -> Self {
        let before = Position { consumer: 0, stream: start.saturating_sub(1) };
        Self::at(before, before)
    }

    /// Nothing is waiting.
    pub(super) fn at(delivered: Position, floor: Position) -> Self {
        Self {
            window: Window::default(),
            exceeded: BTreeMap::new(),
            redelivered: 0,
            delivered,
            floor,
        }
    }

    #[inline]
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// For deadlines and tickets, which the ledger does not look at.
    #[inline]
    pub(super) fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    #[inline]
    pub(super) fn delivered(&self) -> Position {
        self.delivered
    }

    /// Everything up to here is done with.
    #[inline]
    pub(super) fn floor(&self) -> Position {
        self.floor
    }

    pub(super) fn exceeded(&self) -> &BTreeMap<u64, u32> {
        &self.exceeded
    }

    /// Messages delivered more than once, or as often as they may be, that are not done with.
    pub(super) fn redelivered(&self) -> usize {
        self.redelivered + self.exceeded.len()
    }

    /// A message is delivered for the first time and will be acknowledged.
    #[inline]
    pub(super) fn deliver(&mut self, stream: u64, deadline: u64) -> u64 {
        let consumer = self.delivered.consumer + 1;
        self.window.push(Entry { stream, consumer, deadline, deliveries: 1, ticket: 0 });
        self.delivered = Position { consumer, stream };
        consumer
    }

    /// A message is delivered and nothing is expected for it.
    #[inline]
    pub(super) fn deliver_untracked(&mut self, stream: u64) -> u64 {
        self.delivered = Position { consumer: self.delivered.consumer + 1, stream };
        self.floor = self.delivered;
        self.delivered.consumer
    }

    /// A waiting message is delivered once more. The sequence of this delivery, and how many
    /// there were.
    pub(super) fn redeliver(&mut self, stream: u64, deadline: u64) -> Option<(u64, u32)> {
        let entry = self.window.get_mut(stream)?;
        entry.deliveries = entry.deliveries.saturating_add(1);
        entry.deadline = deadline;
        entry.ticket = 0;
        if entry.deliveries == 2 {
            self.redelivered += 1;
        }
        self.delivered.consumer += 1;
        Some((self.delivered.consumer, entry.deliveries))
    }

    /// The client has more or less time than it had.
    pub(super) fn set_deadline(&mut self, stream: u64, deadline: u64) -> Option<Entry> {
        let entry = self.window.get_mut(stream)?;
        let before = *entry;
        entry.deadline = deadline;
        entry.ticket = 0;
        Some(before)
    }

    /// A message is done with.
    #[inline]
    pub(super) fn settle(&mut self, stream: u64) -> Settled {
        let Some(entry) = self.window.remove(stream) else {
            return match self.exceeded.remove(&stream) {
                Some(_) => Settled::Exceeded,
                None => Settled::Unknown,
            };
        };
        self.left(entry);
        Settled::Waiting(entry)
    }

    /// A message is not delivered any more, and not done with either.
    pub(super) fn exceed(&mut self, stream: u64) -> Option<Entry> {
        let entry = self.window.remove(stream)?;
        self.left(entry);
        self.exceeded.insert(stream, entry.deliveries);
        Some(entry)
    }

    /// The oldest waiting message up to `stream` is done with; call until there is none, then
    /// [`raise_floor`](Self::raise_floor).
    pub(super) fn settle_oldest(&mut self, stream: u64) -> Option<Entry> {
        let entry = self.window.pop_up_to(stream)?;
        self.uncount(entry);
        Some(entry)
    }

    /// Everything up to `stream` is done with, whether it was delivered here or not.
    pub(super) fn raise_floor(&mut self, stream: u64) {
        let stream = stream.min(self.delivered.stream);
        self.exceeded = self.exceeded.split_off(&(stream + 1));
        if stream <= self.floor.stream {
            return;
        }
        self.floor = match self.window.front() {
            Some(front) => {
                Position { consumer: front.consumer - 1, stream: stream.min(front.stream - 1) }
            }
            None => Position { consumer: self.delivered.consumer, stream },
        };
    }

    /// The stream was purged up to here: what was not delivered never will be. Call it when
    /// what is missing is settled.
    pub(super) fn pass(&mut self, first: u64) {
        let before = first.saturating_sub(1);
        if self.delivered.stream < before {
            self.delivered.stream = before;
        }
        if self.window.is_empty() {
            self.floor = self.delivered;
        } else if self.floor.stream < before {
            self.raise_floor(before);
        }
    }

    /// Puts back what was read from a disk. Everything must ascend.
    pub(super) fn restore(&mut self, entry: Entry) -> Result<(), &'static str> {
        let last = self
            .window
            .back()
            .map_or(self.floor, |last| Position { consumer: last.consumer, stream: last.stream });
        if entry.deliveries == 0 {
            return Err("a waiting message was never delivered");
        }
        if entry.stream <= last.stream || entry.consumer <= last.consumer {
            return Err("waiting messages are not in ascending order");
        }
        if entry.stream > self.delivered.stream || entry.consumer > self.delivered.consumer {
            return Err("a waiting message is behind the last one that was delivered");
        }
        if entry.deliveries > 1 {
            self.redelivered += 1;
        }
        self.window.push(entry);
        Ok(())
    }

    pub(super) fn restore_exceeded(&mut self, stream: u64, deliveries: u32) {
        self.exceeded.insert(stream, deliveries);
    }

    /// Counts again what is counted along the way.
    pub(super) fn recount(&self) -> usize {
        self.window.iter().filter(|entry| entry.deliveries > 1).count()
    }

    pub(super) fn redelivered_waiting(&self) -> usize {
        self.redelivered
    }

    pub(super) fn repair(&mut self) {
        self.redelivered = self.recount();
    }

    #[inline]
    fn uncount(&mut self, entry: Entry) {
        if entry.deliveries > 1 {
            self.redelivered -= 1;
        }
    }

    #[inline]
    fn left(&mut self, entry: Entry) {
        self.uncount(entry);
        match self.window.front() {
            None => self.floor = self.delivered,
            Some(front) if entry.consumer < front.consumer => {
                self.floor = Position { consumer: front.consumer - 1, stream: front.stream - 1 };
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(consumer: u64, stream: u64) -> Position {
        Position { consumer, stream }
    }

    #[test]
    fn the_floor_follows_the_oldest_that_waits() {
        let mut ledger = Ledger::new(5);
        assert_eq!((ledger.delivered(), ledger.floor()), (position(0, 4), position(0, 4)));
        for stream in [5, 8, 10, 20] {
            ledger.deliver(stream, 1);
        }
        ledger.settle(8);
        assert_eq!(ledger.floor(), position(0, 4), "5 still waits");
        ledger.settle(5);
        assert_eq!(ledger.floor(), position(2, 9), "everything before 10 is done with");
        assert_eq!(ledger.redeliver(10, 2), Some((5, 2)));
        assert_eq!((ledger.redelivered(), ledger.delivered()), (1, position(5, 20)));
        assert!(ledger.exceed(10).is_some());
        assert_eq!((ledger.redelivered(), ledger.floor()), (1, position(3, 19)));
        ledger.settle(20);
        assert_eq!(ledger.floor(), position(5, 20));
        assert_eq!(ledger.settle(10), Settled::Exceeded);
        assert_eq!(ledger.settle(10), Settled::Unknown);
        assert_eq!(ledger.redelivered(), 0);
    }

    #[test]
    fn one_for_all_before_it() {
        let mut ledger = Ledger::new(1);
        for stream in [1, 2, 5, 9] {
            ledger.deliver(stream, 1);
        }
        while ledger.settle_oldest(5).is_some() {}
        ledger.raise_floor(5);
        assert_eq!((ledger.floor(), ledger.window().len()), (position(3, 5), 1));
        while ledger.settle_oldest(100).is_some() {}
        ledger.raise_floor(100);
        assert_eq!(ledger.floor(), position(4, 9));
    }

    #[test]
    fn what_left_the_stream_is_passed() {
        let mut ledger = Ledger::new(1);
        for stream in [1, 2, 3] {
            ledger.deliver(stream, 1);
        }
        ledger.exceed(1);
        for stream in [1, 2, 3] {
            ledger.settle(stream);
        }
        ledger.pass(10);
        assert_eq!((ledger.delivered(), ledger.floor()), (position(3, 9), position(3, 9)));
        assert!(ledger.exceeded().is_empty());
    }
}
