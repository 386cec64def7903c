//! What has to be kept of a consumer, as bytes: changes since the last time, or everything.
//!
//! A consumer's owner takes a change, writes it behind those before, and once it is kept sends
//! the replies that wait for it. Reading back is decoding a snapshot and applying the changes
//! behind it to the same ledger that lived through them. This file knows how they are written,
//! [`super::state`] how they are read.
//!
//! # Format 1
//!
//! Numbers are LEB128 (`u`), signed ones zigzag LEB128 (`i`). Deadlines and times are unix
//! nanoseconds. The first byte is the version, the second one what follows:
//!
//! ```text
//!  1 0  a snapshot
//!       u next  u delivered.consumer  u delivered.stream  u floor.consumer  u floor.stream
//!       i time of the last delivery  i time of the last acknowledgement      0: never
//!       u sequences that are selected first; if any:
//!         u end of the stream then, and for each
//!           u distance to the one before (the first one: to 0)
//!       u messages that wait, and for each
//!         u distance of the stream sequence to the one before, u the same of the consumer's
//!         i distance of the deadline to the one before, u deliveries
//!       u messages that were delivered as often as they may be, and for each
//!         u distance of the stream sequence to the one before, u deliveries
//!  1 1  changes, until the end; sequences are distances to the last one named
//!       1  i first  u count  i deadline    delivered for the first time: `count` neighbours
//!       2  i first  u count                done with: `count` neighbours
//!       3  i stream  i deadline            delivered once more
//!       4  i stream  i deadline            has until then
//!       5  i stream                        was delivered as often as it may be
//!       6  i stream                        done with, and all before it
//!       7  u next  u delivered.consumer  u delivered.stream    delivered, nothing expected
//!       8  i time                          of the last delivery
//!       9  i time                          of the last acknowledgement
//!      10  u next                          what is before was delivered or passed over
//! ```
//!
//! The deadline in an operation is the distance to the last one written in the same change.

use super::ledger::Position;

/// The version that is written.
pub(super) const VERSION: u8 = 1;
pub(super) const KIND_SNAPSHOT: u8 = 0;
pub(super) const KIND_CHANGES: u8 = 1;

pub(super) const OP_DELIVERED: u8 = 1;
pub(super) const OP_SETTLED: u8 = 2;
pub(super) const OP_REDELIVERED: u8 = 3;
pub(super) const OP_DEADLINE: u8 = 4;
pub(super) const OP_EXCEEDED: u8 = 5;
pub(super) const OP_SETTLED_UP_TO: u8 = 6;
pub(super) const OP_UNTRACKED: u8 = 7;
pub(super) const OP_LAST_DELIVERY: u8 = 8;
pub(super) const OP_LAST_ACK: u8 = 9;
pub(super) const OP_NEXT: u8 = 10;

/// Neighbours delivered that are written as one: so few bytes cannot claim any number of them.
pub(super) const RUN_MAX: u64 = 4096;
/// Bytes of changes that are gathered; beyond them a snapshot is taken instead.
const CHANGES_BYTES_MAX: usize = 256 * 1024;

/// Neighbours that had the same done to them, not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    None,
    Delivered { first: u64, count: u64, deadline: i64 },
    Settled { first: u64, count: u64 },
}

/// Gathers changes.
#[derive(Debug)]
pub(super) struct Journal {
    bytes: Vec<u8>,
    run: Run,
    last_stream: u64,
    last_deadline: i64,
    untracked: bool,
    passed_over: bool,
    delivered: bool,
    acknowledged: bool,
    /// Changes are not described, or too long: a snapshot is due.
    whole: bool,
}

impl Journal {
    /// A new consumer begins with a snapshot.
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            run: Run::None,
            last_stream: 0,
            last_deadline: 0,
            untracked: false,
            passed_over: false,
            delivered: false,
            acknowledged: false,
            whole: true,
        }
    }

    /// Nothing happened since the last change was taken.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.whole
            && !self.untracked
            && !self.passed_over
            && !self.delivered
            && !self.acknowledged
            && self.run == Run::None
            && self.bytes.is_empty()
    }

    /// Whether the next change is a snapshot.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Something happened that only a snapshot describes.
    pub(super) fn need_snapshot(&mut self) {
        self.clear();
        self.whole = true;
    }

    #[inline]
    pub(super) fn delivered(&mut self, stream: u64, deadline: i64) {
        self.delivered = true;
        if let Run::Delivered { first, count, deadline: same } = &mut self.run
            && *first + *count == stream
            && *same == deadline
            && *count < RUN_MAX
        {
            *count += 1;
            return;
        }
        self.end_run();
        if !self.whole {
            self.run = Run::Delivered { first: stream, count: 1, deadline };
        }
    }

    #[inline]
    pub(super) fn delivered_untracked(&mut self) {
        self.delivered = true;
        self.untracked = true;
    }

    /// A message was not delivered and never will be.
    pub(super) fn passed_over(&mut self) {
        self.passed_over = true;
    }

    #[inline]
    pub(super) fn settled(&mut self, stream: u64) {
        if let Run::Settled { first, count } = &mut self.run
            && *first + *count == stream
        {
            *count += 1;
            return;
        }
        self.end_run();
        if !self.whole {
            self.run = Run::Settled { first: stream, count: 1 };
        }
    }

    pub(super) fn settled_up_to(&mut self, stream: u64) {
        self.operation(OP_SETTLED_UP_TO, stream, None);
    }

    pub(super) fn redelivered(&mut self, stream: u64, deadline: i64) {
        self.delivered = true;
        self.operation(OP_REDELIVERED, stream, Some(deadline));
    }

    pub(super) fn deadline(&mut self, stream: u64, deadline: i64) {
        self.operation(OP_DEADLINE, stream, Some(deadline));
    }

    pub(super) fn exceeded(&mut self, stream: u64) {
        self.operation(OP_EXCEEDED, stream, None);
    }

    #[inline]
    pub(super) fn acknowledged(&mut self) {
        self.acknowledged = true;
    }

    /// Writes what happened behind what is in `into`, and forgets it. Must not be called when a
    /// snapshot is due.
    pub(super) fn take(&mut self, into: &mut Vec<u8>, ends: Ends) {
        self.end_run();
        into.extend_from_slice(&[VERSION, KIND_CHANGES]);
        into.extend_from_slice(&self.bytes);
        if self.untracked {
            into.push(OP_UNTRACKED);
            put(into, ends.next);
            put(into, ends.delivered.consumer);
            put(into, ends.delivered.stream);
        }
        if self.passed_over {
            into.push(OP_NEXT);
            put(into, ends.next);
        }
        if self.delivered {
            into.push(OP_LAST_DELIVERY);
            put_signed(into, ends.last_delivery_ns);
        }
        if self.acknowledged {
            into.push(OP_LAST_ACK);
            put_signed(into, ends.last_ack_ns);
        }
        self.clear();
    }

    /// Everything is kept, or will be.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.run = Run::None;
        self.last_stream = 0;
        self.last_deadline = 0;
        self.untracked = false;
        self.passed_over = false;
        self.delivered = false;
        self.acknowledged = false;
        self.whole = false;
    }

    fn operation(&mut self, code: u8, stream: u64, deadline: Option<i64>) {
        self.end_run();
        if self.whole {
            return;
        }
        self.bytes.push(code);
        self.put_stream(stream);
        if let Some(deadline) = deadline {
            self.put_deadline(deadline);
        }
        self.check_length();
    }

    fn end_run(&mut self) {
        if self.whole {
            self.run = Run::None;
            return;
        }
        match std::mem::replace(&mut self.run, Run::None) {
            Run::None => return,
            Run::Delivered { first, count, deadline } => {
                self.bytes.push(OP_DELIVERED);
                self.put_stream(first);
                put(&mut self.bytes, count);
                self.put_deadline(deadline);
                self.last_stream = first + (count - 1);
            }
            Run::Settled { first, count } => {
                self.bytes.push(OP_SETTLED);
                self.put_stream(first);
                put(&mut self.bytes, count);
                self.last_stream = first + (count - 1);
            }
        }
        self.check_length();
    }

    fn put_stream(&mut self, stream: u64) {
        put_signed(&mut self.bytes, stream.wrapping_sub(self.last_stream).cast_signed());
        self.last_stream = stream;
    }

    fn put_deadline(&mut self, deadline: i64) {
        put_signed(&mut self.bytes, deadline.wrapping_sub(self.last_deadline));
        self.last_deadline = deadline;
    }

    fn check_length(&mut self) {
        if self.bytes.len() > CHANGES_BYTES_MAX {
            self.need_snapshot();
        }
    }
}

/// Where a consumer is when a change is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub next: u64,
    pub delivered: Position,
    pub last_delivery_ns: i64,
    pub last_ack_ns: i64,
}

/// Appends a number in LEB128.
pub(super) fn put(into: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f).to_le_bytes()[0];
        value >>= 7;
        if value == 0 {
            into.push(low);
            return;
        }
        into.push(low | 0x80);
    }
}

/// Appends a signed number in zigzag LEB128.
pub(super) fn put_signed(into: &mut Vec<u8>, value: i64) {
    put(into, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Reads what [`put`] wrote; every way to be wrong is an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are left: the most items that can follow.
    pub(super) fn left(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.bytes.split_first().ok_or("it ends early")?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err("a number is too large");
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number does not end")
    }

    pub(super) fn signed(&mut self) -> Result<i64, &'static str> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.number(), Ok(value));
            assert!(reader.is_empty());
        }
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).signed(), Ok(value));
        }
        assert!(Reader::new(&[0x80]).number().is_err());
        assert!(Reader::new(&[0xff; 10]).number().is_err());
        assert!(Reader::new(&[0x80; 11]).number().is_err());
    }

    #[test]
    fn neighbours_are_written_together() {
        let mut journal = Journal::new();
        assert!(journal.is_whole() && !journal.is_empty());
        journal.delivered(1, 5);
        journal.clear();
        assert!(journal.is_empty());
        for stream in 100..1100 {
            journal.delivered(stream, 1_700_000_000_000_000_000);
        }
        for stream in 100..600 {
            journal.settled(stream);
        }
        journal.acknowledged();
        let ends = Ends {
            next: 1,
            delivered: Position::default(),
            last_delivery_ns: 1_700_000_000_000_000_000,
            last_ack_ns: 1_700_000_000_000_000_000,
        };
        let mut bytes = Vec::new();
        journal.take(&mut bytes, ends);
        assert!(bytes.len() < 48, "{} bytes for 1,500 events", bytes.len());
        assert!(journal.is_empty());
    }

    #[test]
    fn what_grows_too_long_is_written_as_a_whole() {
        let mut journal = Journal::new();
        journal.clear();
        for stream in 0..CHANGES_BYTES_MAX as u64 {
            journal.settled(stream * 2);
        }
        assert!(journal.is_whole());
        assert!(journal.bytes.is_empty());
    }
}
