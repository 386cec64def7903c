//! What a shard has done elsewhere: the jobs, and the mail about how they went.
//!
//! A job names its stream by place and generation: if the stream is gone when it comes back, what
//! came of it is nobody's business any more.

use std::path::PathBuf;

use fulmar_storage::{BackgroundDone, BackgroundJob, CommitDone, CommitJob};

use super::super::disk::{AnyDisk, AnyFile};
use super::super::writer::Job;
use crate::reactor::Mail;

/// Which stream a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    /// Its place.
    pub id: u32,
    /// Tells it from earlier ones in the same place.
    pub generation: u64,
}

/// What came of a job.
pub enum ShardMail {
    /// Messages of a stream were written, and synced if it is durable.
    Committed {
        /// The stream.
        stream: StreamId,
        /// How it went.
        done: CommitDone<AnyFile>,
    },
    /// Notes about the consumers of a stream were written and synced.
    Noted {
        /// The stream.
        stream: StreamId,
        /// How it went.
        done: CommitDone<AnyFile>,
    },
    /// A log was tidied up.
    TidiedUp {
        /// The stream.
        stream: StreamId,
        /// How it went.
        done: BackgroundDone<AnyDisk>,
    },
    /// The files of a deleted stream are gone, or could not be removed.
    Removed,
}

/// Writes, and perhaps syncs, messages or notes.
pub(super) struct Commit {
    pub(super) stream: StreamId,
    pub(super) job: CommitJob<AnyFile>,
    /// They are notes about consumers.
    pub(super) is_notes: bool,
}

impl Job for Commit {
    fn run(self: Box<Self>) -> Mail {
        let Self { stream, job, is_notes } = *self;
        let done = job.run();
        Mail::Shard(Box::new(if is_notes {
            ShardMail::Noted { stream, done }
        } else {
            ShardMail::Committed { stream, done }
        }))
    }
}

/// Prepares segments, writes footers, removes and compacts segments.
pub(super) struct TidyUp {
    pub(super) stream: StreamId,
    pub(super) job: BackgroundJob<AnyDisk>,
}

impl Job for TidyUp {
    fn run(self: Box<Self>) -> Mail {
        let Self { stream, job } = *self;
        Mail::Shard(Box::new(ShardMail::TidiedUp { stream, done: job.run() }))
    }
}

/// Removes the files of a deleted stream.
pub(super) struct Remove(pub(super) PathBuf);

impl Job for Remove {
    fn run(self: Box<Self>) -> Mail {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::error!(
                "the files of a deleted stream in {:?} cannot be removed: {error}; it is tried \
                 again at the next start",
                self.0
            );
        }
        Mail::Shard(Box::new(ShardMail::Removed))
    }
}
