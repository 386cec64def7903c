//! What can go wrong, sorted by who is wrong: the caller, the disk, or the bytes on it.

use std::io;
use std::ops::Range;

/// What a log answers when it cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message does not fit a segment, or a batch does not fit `unwritten_bytes_max`. Nothing
    /// of the batch was accepted.
    #[error("{bytes} bytes are too many: the log takes {bytes_max} at once")]
    TooLarge {
        /// What it would take in the log, in bytes.
        bytes: u64,
        /// What may be, in bytes.
        bytes_max: u64,
    },
    /// A subject is empty or longer than [`SUBJECT_BYTES_MAX`](crate::SUBJECT_BYTES_MAX). Nothing
    /// of the batch was accepted.
    #[error("a subject has 1 to 65535 bytes, this one {0}")]
    SubjectLength(usize),
    /// As much as may wait to be written waits, or somebody else has the work in hand that is
    /// needed first. Commit, then append again. Nothing of the batch
    /// was accepted.
    #[error("{unwritten_bytes} bytes wait to be written: commit first")]
    Busy {
        /// What waits, in bytes.
        unwritten_bytes: u64,
    },
    /// As many messages as may be unsynced are. Commit with a sync, then append again. Nothing of the batch was
    /// accepted.
    #[error("{0} messages wait to be synced, no more may: sync first")]
    SyncFirst(u64),
    /// There is no room for another segment. Nothing of the batch was accepted; reading goes on,
    /// and so does appending as soon as there is room.
    #[error("the disk is full: there is no room for a segment of {segment_bytes} bytes")]
    DiskFull {
        /// The room that is missing, in bytes.
        segment_bytes: u64,
    },
    /// A sequence that the log has not come to.
    #[error("sequence {sequence} is behind the next one, {next_sequence}")]
    SequenceAhead {
        /// What was asked for.
        sequence: u64,
        /// The sequence that the next message will get.
        next_sequence: u64,
    },
    /// A sequence that was used, or left out, before. Nothing was accepted.
    #[error("sequence {sequence} is taken: the next one is {next_sequence}")]
    SequenceUsed {
        /// What was asked for.
        sequence: u64,
        /// The lowest sequence that a message can get.
        next_sequence: u64,
    },
    /// A sequence above 2^63. Nothing was accepted.
    #[error("sequences go up to 2^63, {0} is too large")]
    SequenceTooLarge(u64),
    /// A write or sync failed before. What is visible can be read; to append, open the log again.
    #[error("the log is finished since {0}: open it again")]
    Finished(String),
    /// The bytes that were asked for are damaged. Their neighbours are not.
    #[error(
        "segment {segment} is damaged from byte {} to {}: sequences {} to {} cannot be read",
        bytes.start, bytes.end, sequences.start, sequences.end.saturating_sub(1)
    )]
    Damaged {
        /// The segment.
        segment: u64,
        /// Where in its file.
        bytes: Range<u64>,
        /// What was, or may have been, there.
        sequences: Range<u64>,
    },
    /// A newer version wrote this log. Nothing was touched.
    #[error("segment {segment} was written by a newer version, at byte {offset}: use that one")]
    NewerVersion {
        /// The segment.
        segment: u64,
        /// Where in its file.
        offset: u64,
    },
    /// Two files say that they are the same segment. Nothing was touched.
    #[error("segment {segment} is there twice, as {names:?}: move one of the two away")]
    SegmentTwice {
        /// The segment.
        segment: u64,
        /// Both files.
        names: [String; 2],
    },
    /// The options contradict themselves.
    #[error("{0}")]
    Options(&'static str),
    /// The disk failed.
    #[error("could not {doing}: {source}")]
    Disk {
        /// What was being done, and to which file.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn disk(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Disk { doing: doing.into(), source }
    }
}
