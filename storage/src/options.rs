//! How a log is kept: sizes, numbers, and what it promises.
//!
//! It knows the bounds of each. It refuses to know what they are used for.

use crate::error::Error;
use crate::index::OFFSET_MAX;

/// The smallest segment, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A random number that publishers cannot guess. It keeps payloads from being taken for
    /// records when a damaged log is searched, and need not be the same at each opening.
    pub salt: u64,
    /// How long the first segment of a log is, in bytes: a multiple of 4096, from
    /// [`SEGMENT_BYTES_MIN`] to `segment_bytes`. Each segment is twice as long as the one before,
    /// up to `segment_bytes`, so that a small stream takes little room and a large one few files.
    pub first_segment_bytes: u64,
    /// How long a segment is at most, in bytes: a multiple of 4096, [`SEGMENT_BYTES_MIN`] to 4 GiB
    /// less 4096. A message that does not fit gets a longer segment for itself. Segments that are
    /// there keep their length.
    pub segment_bytes: u64,
    /// Sealed segments that are shorter, in bytes, get no footer: reading them costs as little.
    pub footer_segment_bytes_min: u64,
    /// Reads every record when the log is opened, also where a footer says what there is: for who
    /// wants to know of damage before it is met.
    pub verify: bool,
    /// The first sequence of a log that is new; 1 to 2^63.
    pub first_sequence: u64,
    /// The most that may be accepted and not yet written, in bytes.
    pub unwritten_bytes_max: u64,
    /// From when on messages can be read, and may be acknowledged.
    pub promise: Promise,
}

/// From when on messages can be read, and may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// When they are on the disk. A power cut loses none that was seen.
    Durable,
    /// When they are with the operating system. A power cut loses what was not synced; the
    /// sequences of these messages are not used again.
    Written {
        /// The most messages that may be accepted and not yet synced, 1 to 2^32; no batch may
        /// have more. Behind a log that was not closed before the machine stopped, as many
        /// sequences are left out.
        unsynced_sequences_max: u64,
    },
}

impl Options {
    /// Segments of 64 KiB to 64 MiB, as much unwritten, sequences from 1, durable before it is
    /// read.
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            first_segment_bytes: 64 << 10,
            segment_bytes: 64 << 20,
            footer_segment_bytes_min: 1 << 20,
            verify: false,
            first_sequence: 1,
            unwritten_bytes_max: 64 << 20,
            promise: Promise::Durable,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_length = |bytes: u64| {
            (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) && bytes.is_multiple_of(4_096)
        };
        if !is_length(self.segment_bytes) {
            return Err(Error::Options(
                "segment_bytes must be a multiple of 4096, from 4096 to 4 GiB less 4096",
            ));
        }
        if !is_length(self.first_segment_bytes) || self.first_segment_bytes > self.segment_bytes {
            return Err(Error::Options(
                "first_segment_bytes must be a multiple of 4096, from 4096 to segment_bytes",
            ));
        }
        if !(1..=SEQUENCE_GIVEN_MAX).contains(&self.first_sequence) {
            return Err(Error::Options("first_sequence must be from 1 to 2^63"));
        }
        if let Promise::Written { unsynced_sequences_max } = self.promise
            && !(1..=1 << 32).contains(&unsynced_sequences_max)
        {
            return Err(Error::Options("unsynced_sequences_max must be from 1 to 2^32"));
        }
        Ok(())
    }
}

impl Options {
    /// How long the segment is that follows one of so many bytes; 0: the first one.
    pub(crate) fn next_segment_bytes(&self, previous_bytes: u64) -> u64 {
        if previous_bytes == 0 {
            self.first_segment_bytes
        } else {
            previous_bytes.saturating_mul(2).min(self.segment_bytes)
        }
    }
}

/// The longest segment, in bytes. Offsets in it fit an index, and lengths a record's head.
pub(crate) const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64 / 4_096 * 4_096;

const _: () = assert!(SEGMENT_BYTES_MAX <= OFFSET_MAX);

/// The largest sequence that an owner may ask for.
pub(crate) const SEQUENCE_GIVEN_MAX: u64 = 1 << 63;
