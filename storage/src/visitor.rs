//! What opening a log tells its owner about every message, so that an index over subjects is
//! built by the same pass over the disk.
//!
//! It knows what is told, and in which order. It refuses to know who listens.

use std::ops::Range;

/// Hears what is in a log while it is opened; see [`Log::open_with`](crate::Log::open_with).
///
/// What it knows when the opening is done is what the log has: the messages that it was told
/// about, without those that it was told about later that they are deleted.
pub trait Visitor {
    /// A message that can be read. Sequences rise from call to call.
    fn message(&mut self, message: Visited<'_>);

    /// There are no messages with these sequences, or no longer. Some may never have been told.
    fn deleted(&mut self, sequences: Range<u64>);

    /// There are no messages below this sequence, or no longer. It does not go down.
    fn front(&mut self, sequence: u64);

    /// These sequences were left out on purpose; they are above all that were told so far.
    fn skipped(&mut self, sequences: Range<u64>) {
        let _ = sequences;
    }
}

/// A message that opening a log came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visited<'a> {
    /// Its number in the log.
    pub sequence: u64,
    /// Its subject.
    pub subject: &'a [u8],
    /// How long its headers are, in bytes.
    pub headers_bytes: u32,
    /// How long its payload is, in bytes.
    pub payload_bytes: u32,
    /// Nanoseconds since 1970.
    pub timestamp_ns: i64,
}

/// Who does not listen.
impl Visitor for () {
    fn message(&mut self, _: Visited<'_>) {}
    fn deleted(&mut self, _: Range<u64>) {}
    fn front(&mut self, _: u64) {}
}
