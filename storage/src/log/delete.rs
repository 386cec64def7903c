//! What is deleted: marked at once, and noted in the log with the next commit.
//!
//! Deletions gather until a commit is taken, and are noted as ranges, so that a thousand of them
//! cost one record. It refuses to know why a message is deleted.

use std::ops::Range;

use super::Log;
use super::append::{Planned, planned_deletion};
use super::erase::Erasure;
use crate::deletions;
use crate::disk::Disk;
use crate::error::Error;
use crate::record::FLAG_ERASED;

/// The longest body of a deletion record, in bytes; shorter in small segments. It bounds what
/// comes back if one is damaged.
const BODY_BYTES_MAX: u64 = 16 << 10;

/// What is deleted and to be noted with the next commit, beside the front.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    deleted: Vec<Range<u64>>,
    /// Their bytes are to be overwritten.
    erased: Vec<Range<u64>>,
}

/// A deletion record: its flags and its body.
type Note = (u8, Vec<u8>);

impl<D: Disk> Log<D> {
    /// Deletes messages, and answers how many of them were there. They are gone at once, and it
    /// is durable when the commit that is taken next is.
    ///
    /// Sequences that are damaged are deleted too: they are then no longer reported when read.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`], [`Error::TooLarge`], [`Error::DiskFull`] if a segment is needed to note
    /// it, [`Error::Finished`]. Nothing is deleted then.
    pub fn delete(&mut self, sequences: &[u64]) -> Result<u64, Error> {
        let ranges = self.deletable(sequences)?;
        self.note(Waiting { deleted: ranges.clone(), erased: Vec::new() })?;
        Ok(self.mark_deleted(&ranges))
    }

    /// As [`delete`](Self::delete), and has the bytes of the messages overwritten, subject,
    /// headers and payload, as soon as the deletion is durable and nobody reads in the same
    /// segment any more ([`handle_committed`](Self::handle_committed) and
    /// [`take_background`](Self::take_background) see to it); that is on the disk with the next
    /// commit that syncs. After a crash in between the next opening goes on with it.
    ///
    /// What stays is the head of the record, with the sequence, the time, the lengths, and a
    /// checksum of 32 bits of what was there.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete).
    pub fn erase(&mut self, sequences: &[u64]) -> Result<u64, Error> {
        // What is damaged cannot be found to be overwritten, and must not pass for overwritten.
        let (whole, damaged): (Vec<u64>, Vec<u64>) = sequences.iter().partition(|sequence| {
            self.find_between(**sequence, sequence.saturating_add(1)).is_some()
        });
        let (erased, deleted) = (self.deletable(&whole)?, self.deletable(&damaged)?);
        self.note(Waiting { deleted: deleted.clone(), erased: erased.clone() })?;
        Ok(self.mark_deleted(&deleted) + self.mark_deleted(&erased))
    }

    /// Deletes all messages below `sequence`, and answers how many there were. They are gone at
    /// once, and it is durable when the commit that is taken next is; afterwards
    /// [`take_background`](Self::take_background) gives their room back.
    ///
    /// # Errors
    ///
    /// [`Error::SequenceAhead`], and as [`delete`](Self::delete). Nothing is deleted then.
    pub fn truncate_front(&mut self, sequence: u64) -> Result<u64, Error> {
        self.check_not_finished()?;
        if sequence > self.next_sequence {
            let next_sequence = self.next_sequence;
            return Err(Error::SequenceAhead { sequence, next_sequence });
        }
        if sequence <= self.front {
            return Ok(0);
        }
        self.settle_recovery()?;
        let (front, front_place) = (self.front, self.front_place);
        self.front = sequence;
        self.front_place = None;
        if let Err(error) = self.prepare_for(std::iter::empty()) {
            (self.front, self.front_place) = (front, front_place);
            return Err(error);
        }
        let below = self.kept.iter().take_while(|kept| kept.base_sequence < sequence);
        let deleted = below.map(|kept| kept.index.count_in(front..sequence)).sum();
        self.live -= deleted;
        Ok(deleted)
    }

    /// Whether deletions wait for the next commit.
    pub(super) fn has_deletions(&self) -> bool {
        self.front_place.is_none()
            || !self.waiting.deleted.is_empty()
            || !self.waiting.erased.is_empty()
    }

    /// Puts the deletions that wait into the open batch. There is room for them.
    pub(super) fn push_deletions(&mut self) {
        let notes = self.notes();
        self.push_notes(&notes);
    }

    /// Has it noted that messages are none. Nothing else waits while a log is not settled.
    pub(super) fn wait_for_dropped(&mut self, dropped: Vec<Range<u64>>) {
        debug_assert!(!self.has_deletions());
        self.waiting.deleted = dropped;
    }

    pub(super) fn no_longer_wait_for_dropped(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.waiting.deleted)
    }

    /// What the deletions that wait take at most.
    pub(super) fn planned_deletions(&self) -> impl Iterator<Item = Planned> + Clone + use<D> {
        let deleted = self.waiting.deleted.len() + usize::from(self.front_place.is_none());
        let planned = [deleted, self.waiting.erased.len()].map(|ranges| {
            (ranges > 0).then(|| planned_deletion(deletions::body_bytes_max(ranges)))
        });
        planned.into_iter().flatten()
    }

    fn deletable(&self, sequences: &[u64]) -> Result<Vec<Range<u64>>, Error> {
        self.check_not_finished()?;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for sequence in sequences.iter().copied().filter(|sequence| self.is_deletable(*sequence)) {
            match ranges.last_mut() {
                Some(last) if last.end == sequence => last.end += 1,
                _ => ranges.push(sequence..sequence + 1),
            }
        }
        Ok(ranges)
    }

    fn is_deletable(&self, sequence: u64) -> bool {
        if sequence < self.front || sequence >= self.next_sequence {
            return false;
        }
        self.find_between(sequence, sequence + 1).is_some()
            || self.damage_between(sequence, sequence + 1).is_some()
    }

    /// Lets ranges wait for the next commit, or puts them into the open batch if there are more
    /// than may wait.
    fn note(&mut self, more: Waiting) -> Result<(), Error> {
        if more.deleted.is_empty() && more.erased.is_empty() {
            return Ok(());
        }
        self.settle_recovery()?;
        let before = (self.waiting.deleted.len(), self.waiting.erased.len());
        self.waiting.deleted.extend(more.deleted);
        self.waiting.erased.extend(more.erased);
        // One more may come, for the front.
        let longest = self.waiting.deleted.len().max(self.waiting.erased.len()) + 1;
        let noted = if deletions::body_bytes_max(longest) <= self.body_bytes_max() {
            self.prepare_for(std::iter::empty())
        } else {
            self.push_many()
        };
        if noted.is_err() {
            self.waiting.deleted.truncate(before.0);
            self.waiting.erased.truncate(before.1);
        }
        noted
    }

    /// Puts more than may wait into the open batch.
    fn push_many(&mut self) -> Result<(), Error> {
        let notes = self.notes();
        let planned: Vec<Planned> =
            notes.iter().map(|(_, body)| planned_deletion(body.len())).collect();
        self.check_room(planned.iter().map(|record| record.bytes).sum())?;
        let waiting = std::mem::take(&mut self.waiting);
        let prepared = self.prepare_for(planned.iter().copied());
        self.waiting = waiting;
        prepared?;
        self.push_notes(&notes);
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        let body_bytes_max = self.body_bytes_max();
        let Waiting { mut deleted, mut erased } = self.waiting.clone();
        deletions::normalize(&mut deleted);
        deletions::normalize(&mut erased);
        if self.front_place.is_none() {
            for range in &mut deleted {
                range.start = range.start.max(self.front);
            }
            deleted.retain(|range| !range.is_empty());
            // From 0 on: that no message can have this sequence tells it from other deletions.
            deleted.insert(0, 0..self.front);
        }
        let deleted = deletions::encode(&deleted, body_bytes_max);
        let erased = deletions::encode(&erased, body_bytes_max);
        let with_flags = |flags| move |body| (flags, body);
        let deleted = deleted.into_iter().map(with_flags(0));
        deleted.chain(erased.into_iter().map(with_flags(FLAG_ERASED))).collect()
    }

    fn push_notes(&mut self, notes: &[Note]) {
        let from = self.accepted_place();
        for (flags, body) in notes {
            self.push_deletion(*flags, body);
        }
        let to = self.accepted_place();
        let Waiting { erased, .. } = std::mem::take(&mut self.waiting);
        for sequence in erased.into_iter().flatten() {
            let behind = self.kept.partition_point(|kept| kept.base_sequence <= sequence);
            if let Some(at) = behind.checked_sub(1) {
                let segment = self.kept[at].segment.id;
                self.erasing.add(Erasure { segment, sequence, behind: to }, from);
            }
        }
        if self.front_place.is_none() {
            self.front_place = Some(to);
        }
        self.deletions_place = to;
    }

    fn mark_deleted(&mut self, ranges: &[Range<u64>]) -> u64 {
        let mut deleted = 0;
        for range in ranges {
            let behind = self.kept.partition_point(|kept| kept.base_sequence <= range.start);
            let last = self.kept.len() - 1;
            for (at, kept) in self.kept.iter_mut().enumerate().skip(behind.saturating_sub(1)) {
                if kept.base_sequence >= range.end {
                    break;
                }
                let end = if at == last { self.end } else { kept.end };
                let dead_bytes = kept.dead_bytes;
                deleted += kept.delete(range.clone(), end);
                let more = kept.dead_bytes - dead_bytes;
                self.dead_bytes_new = self.dead_bytes_new.saturating_add(more);
            }
            for damage in &mut self.quarantine {
                damage.forget(range);
            }
        }
        self.live -= deleted;
        deleted
    }

    fn body_bytes_max(&self) -> usize {
        usize::try_from(BODY_BYTES_MAX.min(self.options.first_segment_bytes / 8))
            .expect("a few thousand bytes")
    }
}
