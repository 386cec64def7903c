//! A commit: everything that a log had accepted, written and if asked synced by one job, so that
//! a group of messages is handed to another thread and back once.
//!
//! It knows bytes and where they go. It refuses to know records.

use std::sync::Arc;

use super::Log;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::recovery::SYNC_FAILED_NAME;
use crate::segment::Segment;

/// A write and a sync that another thread may run. A log whose job is dropped instead of handed
/// back with [`Log::handle_committed`](crate::Log::handle_committed) commits no more.
#[must_use = "a log waits for its commit to come back"]
pub struct CommitJob<F> {
    /// Oldest first; each is for one segment.
    writes: Vec<Write<F>>,
    /// Synced when all is written, oldest first. Empty: not asked for.
    syncs: Vec<Arc<Segment<F>>>,
    target: Place,
}

/// How a commit went.
#[must_use = "a log waits for its commit to come back"]
pub struct CommitDone<F> {
    job: CommitJob<F>,
    result: Result<(), Error>,
}

/// Records that follow each other in one segment.
pub(super) struct Write<F> {
    pub(super) segment: Arc<Segment<F>>,
    pub(super) offset: u64,
    /// Shared with the log, which reads in it what is not written yet.
    pub(super) bytes: Arc<Vec<u8>>,
}

/// Records that follow each other in one segment, not yet taken to be written.
pub(super) struct Batch {
    /// Its identity: a batch that held the segment itself would keep erasing off.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// A place between two records, and the last sequence before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) bytes: u64,
    pub(super) sequence: u64,
}

impl Place {
    pub(super) fn is_at_or_behind(self, other: Self) -> bool {
        (self.segment, self.bytes) >= (other.segment, other.bytes)
    }
}

impl<F: DiskFile> CommitJob<F> {
    /// Writes everything, then syncs, the oldest segment first.
    pub fn run(self) -> CommitDone<F> {
        let result = self.write().and_then(|()| self.sync());
        CommitDone { job: self, result }
    }

    /// How much it writes, in bytes.
    pub fn bytes(&self) -> u64 {
        self.writes.iter().map(|write| write.bytes.len() as u64).sum()
    }

    /// Whether it syncs.
    pub fn syncs(&self) -> bool {
        !self.syncs.is_empty()
    }

    fn write(&self) -> Result<(), Error> {
        self.writes.iter().try_for_each(|write| {
            let written = write.segment.file.write_at(write.offset, &write.bytes);
            written.map_err(|error| Error::disk(format!("write {}", write.segment.name()), error))
        })
    }

    fn sync(&self) -> Result<(), Error> {
        self.syncs.iter().try_for_each(|segment| {
            let synced = segment.file.sync();
            synced.map_err(|error| Error::disk(format!("sync {}", segment.name()), error))
        })
    }
}

impl<F> Write<F> {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl<D: Disk> Log<D> {
    /// Takes a write of everything that is accepted, and with `sync` a sync of everything that is
    /// not durable. What is accepted in the meantime gathers into the next. `None`: there is
    /// nothing to do, a commit is under way, or the log is finished.
    pub fn take_commit(&mut self, sync: bool) -> Option<CommitJob<D::File>> {
        if self.committing || self.finished.is_some() {
            return None;
        }
        if self.has_deletions() {
            self.push_deletions();
        }
        let target = self.accepted_place();
        let syncs = if sync && (self.durable != target || self.erasing.has_unsynced()) {
            let ids = self.durable.segment..=target.segment;
            let erased = self.erasing.take_unsynced();
            let is_unsynced = |id: u64| ids.contains(&id) || erased.contains(&id);
            let unsynced = self.kept.iter().filter(|kept| is_unsynced(kept.segment.id));
            unsynced.map(|kept| kept.segment.clone()).collect()
        } else {
            Vec::new()
        };
        if self.batches.is_empty() && syncs.is_empty() {
            return None;
        }
        self.committing = true;
        let kept = &self.kept;
        let writes: Vec<Write<D::File>> = self
            .batches
            .drain(..)
            .map(|Batch { segment, offset, bytes }| {
                let at = kept.partition_point(|kept| kept.segment.id < segment);
                let segment = kept[at].segment.clone();
                Write { segment, offset, bytes: Arc::new(bytes) }
            })
            .collect();
        self.in_flight.clone_from(&writes);
        Some(CommitJob { writes, syncs, target })
    }

    /// Hears how a commit went.
    ///
    /// # Errors
    ///
    /// What the disk said. The log is finished: nobody knows what is on the disk.
    pub fn handle_committed(&mut self, done: CommitDone<D::File>) -> Result<(), Error> {
        let CommitDone { job: CommitJob { writes, syncs, target }, result } = done;
        self.committing = false;
        self.in_flight.clear();
        if let Err(error) = result {
            if !syncs.is_empty() {
                // The next opening must not take for synced what is only with the system. If it
                // cannot be noted, the disk has failed altogether.
                let _ = self.disk.create_with(SYNC_FAILED_NAME, &[], true);
            }
            return Err(self.finish(error));
        }
        for write in writes {
            debug_assert_eq!(
                write.offset,
                write.segment.file.published(),
                "writes go on where one ended"
            );
            write.segment.file.publish(write.end());
            self.unwritten_bytes -= write.bytes.len() as u64;
            // Of the buffers the largest is kept, to be used again.
            if let Some(mut bytes) = Arc::into_inner(write.bytes)
                && bytes.capacity() > self.buffer.capacity()
            {
                bytes.clear();
                self.buffer = bytes;
            }
        }
        self.footers_due |= target.segment != self.written.segment
            || !syncs.is_empty() && target.segment != self.durable.segment;
        self.written = target;
        if !syncs.is_empty() {
            drop(syncs);
            self.durable = target;
            self.erasing.handle_synced();
        }
        debug_assert!(self.written.is_at_or_behind(self.durable));
        self.erase_some()
    }

    /// Writes all that is accepted, and with `sync` makes it durable, here and now.
    ///
    /// # Errors
    ///
    /// The disk failed now or before, and the log is finished. [`Error::Busy`]: another thread
    /// has a commit.
    pub fn commit(&mut self, sync: bool) -> Result<(), Error> {
        self.check_not_finished()?;
        if self.committing {
            return Err(Error::Busy { unwritten_bytes: self.unwritten_bytes });
        }
        match self.take_commit(sync) {
            Some(job) => {
                let done = job.run();
                self.handle_committed(done)
            }
            None => Ok(()),
        }
    }
}

impl<F> Clone for Write<F> {
    fn clone(&self) -> Self {
        let Self { segment, offset, bytes } = self;
        Self { segment: segment.clone(), offset: *offset, bytes: bytes.clone() }
    }
}
