//! A consumer as it was kept: read from bytes that anything may have happened to.
//!
//! Decoding never panics, and what it takes of memory follows what it is given: a snapshot a few
//! times its length, a change at most 32 bytes for each message of each run in it. What does not fit together is refused with a sentence; the caller decides whether the state
//! before it is good enough, which only ever delivers messages again that were acknowledged.

use super::backlog::Selection;
use super::journal::{self, Reader};
use super::ledger::{Ledger, Position, SEQUENCE_MAX};
use super::window::Entry;

/// Why bytes are not the state of a consumer, or not the change that comes next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by a version this one does not know.
    #[error("the consumer's state has format {found}, this server reads {VERSION}", VERSION = journal::VERSION)]
    Version {
        /// The version that was found.
        found: u8,
    },
    /// Damaged, or in the wrong order.
    #[error("the consumer's state cannot be read: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
}

impl From<&'static str> for StateError {
    fn from(reason: &'static str) -> Self {
        Self::Malformed { reason }
    }
}

/// The state of a consumer while nobody runs it.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) next: u64,
    pub(super) selection: Option<Selection>,
    /// Deadlines are unix nanoseconds, reinterpreted as unsigned.
    pub(super) ledger: Ledger,
    pub(super) last_delivery_ns: i64,
    pub(super) last_ack_ns: i64,
}

impl State {
    /// Reads a snapshot.
    ///
    /// # Errors
    ///
    /// [`StateError`] if it is none, or does not fit together.
    pub fn decode(snapshot: &[u8]) -> Result<Self, StateError> {
        let mut reader = opened(snapshot, journal::KIND_SNAPSHOT)?;
        let state = Self::snapshot(&mut reader)?;
        if reader.is_empty() { Ok(state) } else { Err("something follows its end".into()) }
    }

    /// Applies what [`Consumer::take_change`](super::Consumer::take_change) returned next: a
    /// change, or a snapshot that replaces everything.
    ///
    /// # Errors
    ///
    /// [`StateError`] if it is neither, or does not fit what is there. Then the state is
    /// somewhere between before and after: still one that can be restored.
    pub fn apply(&mut self, change: &[u8]) -> Result<(), StateError> {
        if change.get(1) == Some(&journal::KIND_SNAPSHOT) {
            *self = Self::decode(change)?;
            return Ok(());
        }
        let mut reader = opened(change, journal::KIND_CHANGES)?;
        self.changes(&mut reader).map_err(StateError::from)
    }

    fn snapshot(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let next = sequence(reader)?;
        let delivered = Position { consumer: sequence(reader)?, stream: sequence(reader)? };
        let floor = Position { consumer: sequence(reader)?, stream: sequence(reader)? };
        if floor.consumer > delivered.consumer || floor.stream > delivered.stream {
            return Err("more is acknowledged than was delivered");
        }
        let last_delivery_ns = reader.signed()?;
        let last_ack_ns = reader.signed()?;
        let selection = selection(reader)?;
        let mut ledger = Ledger::at(delivered, floor);
        let mut last = Entry { stream: 0, consumer: 0, deadline: 0, deliveries: 1, ticket: 0 };
        for _ in 0..count(reader)? {
            last = Entry {
                stream: behind(last.stream, reader)?,
                consumer: behind(last.consumer, reader)?,
                deadline: moved(last.deadline, reader)?,
                deliveries: deliveries(reader)?,
                ticket: 0,
            };
            ledger.restore(last)?;
        }
        let mut stream = 0;
        for _ in 0..count(reader)? {
            stream = behind(stream, reader)?;
            if ledger.window().get(stream).is_some() {
                return Err("a message waits and was delivered as often as it may be");
            }
            ledger.restore_exceeded(stream, deliveries(reader)?);
        }
        Ok(Self { next, selection, ledger, last_delivery_ns, last_ack_ns })
    }

    fn changes(&mut self, reader: &mut Reader<'_>) -> Result<(), &'static str> {
        let mut last = 0_u64;
        let mut last_deadline = 0_u64;
        while !reader.is_empty() {
            let code = reader.byte()?;
            match code {
                journal::OP_DELIVERED => {
                    let (first, count) = run(&mut last, reader)?;
                    last_deadline = moved(last_deadline, reader)?;
                    if first <= self.ledger.delivered().stream
                        || self.ledger.delivered().consumer + count > SEQUENCE_MAX
                    {
                        return Err("a delivery goes back");
                    }
                    if count > journal::RUN_MAX {
                        return Err("a run is longer than any is written");
                    }
                    for stream in first..first + count {
                        self.ledger.deliver(stream, last_deadline);
                        self.passed(stream);
                    }
                }
                journal::OP_SETTLED => {
                    let (first, count) = run(&mut last, reader)?;
                    let waiting = self.ledger.window().len() + self.ledger.exceeded().len();
                    if count > waiting as u64 {
                        return Err("more is acknowledged than was delivered");
                    }
                    for stream in first..first + count {
                        self.ledger.settle(stream);
                    }
                }
                journal::OP_REDELIVERED => {
                    let stream = stream(&mut last, reader)?;
                    last_deadline = moved(last_deadline, reader)?;
                    if self.ledger.delivered().consumer >= SEQUENCE_MAX {
                        return Err("a sequence is too large");
                    }
                    if self.ledger.redeliver(stream, last_deadline).is_none() {
                        return Err("what is delivered once more does not wait");
                    }
                }
                journal::OP_DEADLINE => {
                    let stream = stream(&mut last, reader)?;
                    last_deadline = moved(last_deadline, reader)?;
                    if self.ledger.set_deadline(stream, last_deadline).is_none() {
                        return Err("what has another deadline does not wait");
                    }
                }
                journal::OP_EXCEEDED => {
                    let stream = stream(&mut last, reader)?;
                    if self.ledger.exceed(stream).is_none() {
                        return Err("what is not delivered any more does not wait");
                    }
                }
                journal::OP_SETTLED_UP_TO => {
                    let stream = stream(&mut last, reader)?;
                    while self.ledger.settle_oldest(stream).is_some() {}
                    self.ledger.raise_floor(stream);
                }
                journal::OP_UNTRACKED => {
                    let next = sequence(reader)?;
                    let delivered =
                        Position { consumer: sequence(reader)?, stream: sequence(reader)? };
                    let before = self.ledger.delivered();
                    if delivered.consumer < before.consumer
                        || delivered.stream < before.stream
                        || next < self.next
                        || !self.ledger.window().is_empty()
                    {
                        return Err("a delivery goes back");
                    }
                    self.ledger = Ledger::at(delivered, delivered);
                    self.passed(next.saturating_sub(1));
                }
                journal::OP_NEXT => {
                    let next = sequence(reader)?;
                    self.passed(next.saturating_sub(1));
                }
                journal::OP_LAST_DELIVERY => self.last_delivery_ns = reader.signed()?,
                journal::OP_LAST_ACK => self.last_ack_ns = reader.signed()?,
                _ => return Err("it holds something unknown"),
            }
        }
        Ok(())
    }

    /// Everything up to here was delivered or passed over.
    fn passed(&mut self, sequence: u64) {
        self.next = self.next.max(sequence + 1);
        if let Some(selection) = &mut self.selection {
            let listed = &selection.sequences[selection.done..];
            selection.done += listed.partition_point(|listed| *listed <= sequence);
            if selection.done == selection.sequences.len() {
                self.next = self.next.max(selection.up_to + 1);
                self.selection = None;
            }
        }
    }
}

/// Writes a whole consumer behind what is in `into`.
pub(super) fn encode(
    into: &mut Vec<u8>,
    ends: journal::Ends,
    selection: Option<&Selection>,
    ledger: &Ledger,
    unix_of: impl Fn(&Entry) -> i64,
) {
    use journal::{put, put_signed};

    into.extend_from_slice(&[journal::VERSION, journal::KIND_SNAPSHOT]);
    put(into, ends.next);
    for position in [ends.delivered, ledger.floor()] {
        put(into, position.consumer);
        put(into, position.stream);
    }
    put_signed(into, ends.last_delivery_ns);
    put_signed(into, ends.last_ack_ns);
    match selection {
        None => put(into, 0),
        Some(selection) => {
            let listed = &selection.sequences[selection.done..];
            put(into, listed.len() as u64);
            put(into, selection.up_to);
            let mut last = 0;
            for sequence in listed {
                put(into, sequence - last);
                last = *sequence;
            }
        }
    }
    put(into, ledger.window().len() as u64);
    let mut last = (0, 0, 0);
    for entry in ledger.window().iter() {
        let deadline = unix_of(entry);
        put(into, entry.stream - last.0);
        put(into, entry.consumer - last.1);
        put_signed(into, deadline.wrapping_sub(last.2));
        put(into, u64::from(entry.deliveries));
        last = (entry.stream, entry.consumer, deadline);
    }
    put(into, ledger.exceeded().len() as u64);
    let mut last = 0;
    for (stream, deliveries) in ledger.exceeded() {
        put(into, stream - last);
        put(into, u64::from(*deliveries));
        last = *stream;
    }
}

fn opened(bytes: &[u8], kind: u8) -> Result<Reader<'_>, StateError> {
    let mut reader = Reader::new(bytes);
    let found = reader.byte()?;
    if found != journal::VERSION {
        return Err(StateError::Version { found });
    }
    if reader.byte()? != kind {
        return Err("it is of another kind".into());
    }
    Ok(reader)
}

fn selection(reader: &mut Reader<'_>) -> Result<Option<Selection>, &'static str> {
    let count = count(reader)?;
    if count == 0 {
        return Ok(None);
    }
    let up_to = sequence(reader)?;
    let mut sequences = Vec::new();
    let mut last = 0;
    for _ in 0..count {
        last = behind(last, reader)?;
        sequences.push(last);
    }
    if last > up_to {
        return Err("a selected message is behind the end of the selection");
    }
    Ok(Some(Selection { sequences, done: 0, up_to }))
}

/// How many items follow; each takes a byte at least.
fn count(reader: &mut Reader<'_>) -> Result<u64, &'static str> {
    let count = reader.number()?;
    if count > reader.left() { Err("it ends early") } else { Ok(count) }
}

fn sequence(reader: &mut Reader<'_>) -> Result<u64, &'static str> {
    let value = reader.number()?;
    if value > SEQUENCE_MAX { Err("a sequence is too large") } else { Ok(value) }
}

fn deliveries(reader: &mut Reader<'_>) -> Result<u32, &'static str> {
    u32::try_from(reader.number()?).map_err(|_| "a message was delivered too often")
}

/// A sequence behind another one.
fn behind(last: u64, reader: &mut Reader<'_>) -> Result<u64, &'static str> {
    match reader.number()? {
        0 => Err("sequences do not ascend"),
        distance => last
            .checked_add(distance)
            .filter(|value| *value <= SEQUENCE_MAX)
            .ok_or("a sequence is too large"),
    }
}

fn stream(last: &mut u64, reader: &mut Reader<'_>) -> Result<u64, &'static str> {
    let value = last.wrapping_add_signed(reader.signed()?);
    if value > SEQUENCE_MAX {
        return Err("a sequence is too large");
    }
    *last = value;
    Ok(value)
}

fn run(last: &mut u64, reader: &mut Reader<'_>) -> Result<(u64, u64), &'static str> {
    let first = stream(last, reader)?;
    let count = reader.number()?;
    if count == 0 || count > SEQUENCE_MAX - first {
        return Err("a run has no end");
    }
    *last = first + (count - 1);
    Ok((first, count))
}

fn moved(last: u64, reader: &mut Reader<'_>) -> Result<u64, &'static str> {
    Ok(last.wrapping_add_signed(reader.signed()?))
}
