//! What can wait, and what another thread does better: preparing the next segment, removing
//! segments that nobody needs.
//!
//! It knows which of it is due. It refuses to know when it is done, and by whom.

use std::sync::Arc;

use super::Log;
use super::commit::Place;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::segment::Segment;

/// Work that another thread may run. A log whose job is dropped instead of handed back with
/// [`Log::handle_background`] does no more of the kind.
#[must_use = "a log waits for its work to come back"]
pub struct BackgroundJob<D: Disk>(Work<D>);

/// How work in the background went.
#[must_use = "a log waits for its work to come back"]
pub struct BackgroundDone<D: Disk>(Worked<D>);

enum Work<D: Disk> {
    Prepare(Prepare<D>),
    Remove { disk: D, names: Vec<String> },
}

enum Worked<D: Disk> {
    Prepare(Prepared<D>),
    Remove { names: Vec<String>, result: Result<(), Error> },
}

/// A segment that is to be prepared.
pub(super) struct Prepare<D: Disk> {
    disk: D,
    id: u64,
    salt: u64,
    bytes: u64,
}

/// How preparing a segment went.
pub(super) struct Prepared<D: Disk>(Result<Arc<Segment<D::File>>, Error>);

impl<D: Disk> BackgroundJob<D> {
    /// Does it. It takes as long as writing one segment, at most.
    pub fn run(self) -> BackgroundDone<D> {
        BackgroundDone(match self.0 {
            Work::Prepare(prepare) => Worked::Prepare(prepare.run()),
            Work::Remove { disk, mut names } => {
                let result = remove(&disk, &mut names);
                Worked::Remove { names, result }
            }
        })
    }
}

impl<D: Disk> Prepare<D> {
    pub(super) fn run(self) -> Prepared<D> {
        Prepared(Segment::create(&self.disk, self.id, self.salt, self.bytes))
    }
}

impl<D: Disk> Log<D> {
    /// Takes what is to be done beside committing, if anything is due: preparing the next segment
    /// when the last is half full, removing segments in which every message is deleted. One of
    /// each kind at a time.
    ///
    /// The segment that is appended to always stays, and so does the one before: with a single
    /// marker left, one flipped bit in it would have the sequences start anew. Who reads a removed
    /// segment goes on reading it.
    pub fn take_background(&mut self) -> Option<BackgroundJob<D>> {
        // If it fails, the log is finished.
        if self.finished.is_some() || self.erase_some().is_err() {
            return None;
        }
        if self.spares.is_empty() && !self.preparing && !self.prepare_failed {
            let bytes = self.kept.back().map_or(0, |kept| kept.segment.file.bytes());
            if self.end > bytes / 2 {
                let bytes = self.options.next_segment_bytes(bytes);
                return Some(BackgroundJob(Work::Prepare(self.prepare(bytes))));
            }
        }
        if !self.removing {
            let found = self.take_removable();
            if !found.is_empty() {
                let mut names = std::mem::take(&mut self.removals_failed);
                names.extend(found);
                self.removing = true;
                let disk = self.disk.clone();
                return Some(BackgroundJob(Work::Remove { disk, names }));
            }
        }
        None
    }

    /// Hears how work in the background went.
    ///
    /// # Errors
    ///
    /// [`Error::DiskFull`], or what the disk said. The log goes on: it is tried again later.
    pub fn handle_background(&mut self, done: BackgroundDone<D>) -> Result<(), Error> {
        match done.0 {
            Worked::Prepare(prepared) => self.handle_prepared(prepared),
            Worked::Remove { names, result } => {
                self.removing = false;
                self.removals_failed = names;
                result
            }
        }
    }

    /// Does everything that is due in the background, here and now.
    ///
    /// # Errors
    ///
    /// As [`handle_background`](Self::handle_background).
    pub fn run_background(&mut self) -> Result<(), Error> {
        while let Some(job) = self.take_background() {
            let done = job.run();
            self.handle_background(done)?;
        }
        Ok(())
    }

    pub(super) fn prepare(&mut self, bytes: u64) -> Prepare<D> {
        self.preparing = true;
        let salt = next_salt(&mut self.salt_state);
        let (disk, id) = (self.disk.clone(), self.spare_next_id);
        Prepare { disk, id, salt, bytes }
    }

    pub(super) fn handle_prepared(&mut self, prepared: Prepared<D>) -> Result<(), Error> {
        self.preparing = false;
        // Not tried again before an append needs it, or it would be tried without end.
        self.prepare_failed = prepared.0.is_err();
        let segment = prepared.0?;
        debug_assert_eq!(segment.id, self.spare_next_id);
        self.spare_next_id += 1;
        self.spares.push_back(segment);
        Ok(())
    }

    /// Lets go of the segments in which every message is below the front, if that is durable.
    fn take_removable(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        if !self.front_place.is_some_and(|place| self.durable.is_at_or_behind(place)) {
            return names;
        }
        while self.kept.len() > 2 && self.kept[1].base_sequence <= self.front {
            // What stays must say on the disk how far the log had come.
            let stays = Place { segment: self.kept[1].segment.id, bytes: 1, sequence: 0 };
            if !self.durable.is_at_or_behind(stays) {
                break;
            }
            names.extend(self.kept.pop_front().map(|kept| kept.segment.name()));
        }
        names
    }
}

/// Removes files, the oldest first. What is left in `names` is still there.
fn remove<D: Disk>(disk: &D, names: &mut Vec<String>) -> Result<(), Error> {
    while let Some(name) = names.first() {
        disk.remove(name).map_err(|error| Error::disk(format!("remove {name}"), error))?;
        names.remove(0);
    }
    disk.sync_directory().map_err(|error| Error::disk("sync the directory of the log", error))
}

/// The next number of a sequence that does not repeat, each hard to guess without the first
/// (splitmix64).
fn next_salt(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
