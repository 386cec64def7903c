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
    /// How long a segment is, in bytes: a multiple of 4096, [`SEGMENT_BYTES_MIN`] to 4 GiB less
    /// 4096. It bounds the largest message. Segments that are there keep their length.
    pub segment_bytes: u64,
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
        /// have more.
        /// Behind a log that was not closed, as many sequences are left out.
        unsynced_sequences_max: u64,
    },
}

impl Options {
    /// Segments of 64 MiB, as much unwritten, sequences from 1, durable before it is read.
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            segment_bytes: 64 << 20,
            first_sequence: 1,
            unwritten_bytes_max: 64 << 20,
            promise: Promise::Durable,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let sizes = SEGMENT_BYTES_MIN..=OFFSET_MAX.min(u64::from(u32::MAX));
        if !sizes.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4_096) {
            return Err(Error::Options(
                "segment_bytes must be a multiple of 4096, from 4096 to 4 GiB less 4096",
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

/// The largest sequence that an owner may ask for.
pub(crate) const SEQUENCE_GIVEN_MAX: u64 = 1 << 63;
