//! What can wait, and what another thread does better: preparing the next segment, writing footers,
//! compacting, removing files that nobody needs.
//!
//! It knows which of it is due. It refuses to know when it is done, and by whom.

use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use super::Log;
use super::commit::Place;
use super::compact::{Compact, Compacted};
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::footer::{Footer, Summary};
use crate::index::Marks;
use crate::kept::{FooterState, Kept};
use crate::segment::{Identity, Segment};

/// Work that another thread may run. A log whose job is dropped instead of handed back with
/// [`Log::handle_background`] does no more of the kind.
#[must_use = "a log waits for its work to come back"]
pub struct BackgroundJob<D: Disk>(Work<D>);

/// How work in the background went.
#[must_use = "a log waits for its work to come back"]
pub struct BackgroundDone<D: Disk>(Worked<D>);

enum Work<D: Disk> {
    Prepare(Prepare<D>),
    Footer(Foot<D>),
    Confirm { disk: D, segment: Identity },
    Compact(Compact<D>),
    Remove { disk: D, names: Vec<String> },
}

enum Worked<D: Disk> {
    Prepare(Prepared<D>),
    Footer { segment: Identity, state: FooterState, result: Result<bool, Error> },
    Compact(Compacted<D>),
    Remove(Result<(), Error>),
}

/// A footer that is to be written.
struct Foot<D: Disk> {
    disk: D,
    segment: Arc<Segment<D::File>>,
    end: u64,
    dropped: Vec<Range<u64>>,
    starts_cut: bool,
    deleted: Marks,
    boot: u128,
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
    /// Does it. It takes as long as reading and writing two segments, at most.
    pub fn run(self) -> BackgroundDone<D> {
        BackgroundDone(match self.0 {
            Work::Prepare(prepare) => Worked::Prepare(prepare.run()),
            Work::Footer(foot) => {
                let state =
                    if foot.boot == 0 { FooterState::Written } else { FooterState::Provisional };
                Worked::Footer { segment: foot.segment.identity, state, result: foot.run() }
            }
            Work::Confirm { disk, segment } => {
                let result = confirm(&disk, &segment.footer_name());
                Worked::Footer { segment, state: FooterState::Written, result }
            }
            Work::Compact(compact) => Worked::Compact(compact.run()),
            Work::Remove { disk, names } => Worked::Remove(remove(&disk, &names)),
        })
    }
}

impl<D: Disk> Prepare<D> {
    pub(super) fn run(self) -> Prepared<D> {
        let identity = Identity::appended(self.id, self.salt);
        Prepared(Segment::create(&self.disk, identity, self.bytes))
    }
}

impl<D: Disk> Foot<D> {
    /// Answers whether there can be one.
    fn run(&self) -> Result<bool, Error> {
        let Self { disk, segment, end, dropped, starts_cut, deleted, boot } = self;
        let Some(summary) = Summary::read(segment, *end, dropped, *starts_cut, deleted)? else {
            return Ok(false);
        };
        let name = segment.identity.footer_name();
        let written = disk.create_with(&name, &summary.encode(segment, *boot), false);
        written.map_err(|error| Error::disk(format!("write {name}"), error)).map(|_| true)
    }
}

impl<D: Disk> Log<D> {
    /// Takes what is to be done beside committing, if anything is due: preparing the next segment
    /// when the last is half full, removing segments in which every message is deleted, compacting
    /// those of which less than half is needed, writing footers. One of each kind at a time.
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
            let mut names = self.take_removable();
            if !names.is_empty() || !self.removals.is_empty() {
                names.append(&mut self.removals);
                self.removing = true;
                let disk = self.disk.clone();
                return Some(BackgroundJob(Work::Remove { disk, names }));
            }
        }
        if let Some(compact) = self.take_compact() {
            return Some(BackgroundJob(Work::Compact(compact)));
        }
        self.take_foot().map(BackgroundJob)
    }

    /// Hears how work in the background went.
    ///
    /// # Errors
    ///
    /// [`Error::DiskFull`], or what the disk said. The log goes on: it is tried again later.
    pub fn handle_background(&mut self, done: BackgroundDone<D>) -> Result<(), Error> {
        match done.0 {
            Worked::Prepare(prepared) => self.handle_prepared(prepared),
            Worked::Footer { segment, state, result } => {
                self.footing = false;
                let at = self.kept.partition_point(|kept| kept.segment.id < segment.id);
                let kept = self.kept.get_mut(at);
                match kept.filter(|kept| kept.segment.identity == segment) {
                    Some(kept) if matches!(result, Ok(true)) => kept.footer = state,
                    Some(kept) => kept.footer = FooterState::Impossible,
                    // It was removed or compacted in the meantime.
                    None => self.removals.push(segment.footer_name()),
                }
                result.map(|_| ())
            }
            Worked::Compact(compacted) => self.handle_compacted(compacted),
            Worked::Remove(result) => {
                self.removing = false;
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

    /// The footer of the oldest sealed segment that needs one, if what the segment holds cannot be
    /// lost in this start of the machine; or the confirming of one, when it cannot be at all.
    fn take_foot(&mut self) -> Option<Work<D>> {
        if self.footing || !self.footers_due || self.disk.is_memory() {
            return None;
        }
        let (written, durable) = (self.written.segment, self.durable.segment);
        let is_due = |kept: &&Kept<D::File>| match kept.footer {
            FooterState::Missing => {
                kept.is_plain
                    && kept.segment.file.bytes() >= self.options.footer_segment_bytes_min
                    && (kept.segment.id < durable || kept.segment.id < written && self.boot != 0)
            }
            FooterState::Provisional => kept.segment.id < durable,
            FooterState::Written | FooterState::Impossible => false,
        };
        let Some(kept) = self.kept.iter().find(is_due) else {
            self.footers_due = false;
            return None;
        };
        self.footing = true;
        let disk = self.disk.clone();
        if kept.footer == FooterState::Provisional {
            return Some(Work::Confirm { disk, segment: kept.segment.identity });
        }
        Some(Work::Footer(Foot {
            disk,
            segment: kept.segment.clone(),
            end: kept.end,
            dropped: kept.dropped.clone(),
            starts_cut: kept.starts_cut,
            deleted: kept.index.deleted().clone(),
            boot: if kept.segment.id < durable { 0 } else { self.boot },
        }))
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
            let removed = self.kept.pop_front().expect("there are more than two");
            names.extend(removed.file_names());
        }
        names
    }
}

/// Lets a footer count in any start of the machine. Answers whether it could be read.
fn confirm<D: Disk>(disk: &D, name: &str) -> Result<bool, Error> {
    let failed = |error| Error::disk(format!("confirm {name}"), error);
    let mut file = disk.open(name).map_err(failed)?;
    let confirmed = Footer::confirmed(&file.contents().map_err(failed)?);
    match confirmed {
        Some(start) => file.overwrite(0, &start).map_err(failed).map(|()| true),
        None => Ok(false),
    }
}

/// Removes files, the oldest first. A footer need not be there.
fn remove<D: Disk>(disk: &D, names: &[String]) -> Result<(), Error> {
    for name in names {
        match disk.remove(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => {
                removed.map_err(|error| Error::disk(format!("remove {name}"), error))?;
            }
        }
    }
    disk.sync_directory().map_err(|error| Error::disk("sync the directory of the log", error))
}

/// The next number of a sequence that does not repeat, each hard to guess without the first
/// (splitmix64).
pub(super) fn next_salt(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
