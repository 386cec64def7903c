//! What is deleted: marked at once, and noted in the log with the next commit.
//!
//! Deletions gather until a commit is taken, and are noted as ranges, so that a thousand of them
//! cost one record. It refuses to know why a message is deleted.

use std::ops::Range;

use super::Log;
use super::append::{Planned, planned_deletion};
use crate::deletions;
use crate::disk::Disk;
use crate::error::Error;

/// The longest body of a deletion record, in bytes; shorter in small segments. It bounds what
/// comes back if one is damaged.
const BODY_BYTES_MAX: u64 = 16 << 10;

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
        self.check_not_finished()?;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for sequence in sequences.iter().copied().filter(|sequence| self.is_deletable(*sequence)) {
            match ranges.last_mut() {
                Some(last) if last.end == sequence => last.end += 1,
                _ => ranges.push(sequence..sequence + 1),
            }
        }
        if ranges.is_empty() {
            return Ok(0);
        }
        self.note_deleted(&ranges)?;
        let mut deleted = 0;
        for range in ranges {
            let behind = self.kept.partition_point(|kept| kept.base_sequence <= range.start);
            for kept in self.kept.iter_mut().skip(behind.saturating_sub(1)) {
                if kept.base_sequence >= range.end {
                    break;
                }
                deleted += kept.index.delete(range.clone());
            }
            for damage in &mut self.quarantine {
                damage.forget(&range);
            }
        }
        self.live -= deleted;
        Ok(deleted)
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
        self.front_place.is_none() || !self.deletions.is_empty()
    }

    /// Puts the deletions that wait into the open batch. There is room for them.
    pub(super) fn push_deletions(&mut self) {
        for body in self.deletion_bodies() {
            self.push_deletion(&body);
        }
        self.deletions.clear();
        if self.front_place.is_none() {
            self.front_place = Some(self.accepted_place());
        }
    }

    /// What the deletions that wait take at most.
    pub(super) fn planned_deletion(&self) -> Option<Planned> {
        let ranges = self.deletions.len() + usize::from(self.front_place.is_none());
        (ranges > 0).then(|| planned_deletion(deletions::body_bytes_max(ranges)))
    }

    fn deletion_bodies(&self) -> Vec<Vec<u8>> {
        let mut ranges = self.deletions.clone();
        deletions::normalize(&mut ranges);
        if self.front_place.is_none() {
            for range in &mut ranges {
                range.start = range.start.max(self.front);
            }
            ranges.retain(|range| !range.is_empty());
            // From 0 on: that no message can have this sequence tells it from other deletions.
            ranges.insert(0, 0..self.front);
        }
        deletions::encode(&ranges, self.body_bytes_max())
    }

    /// Lets ranges wait for the next commit, or puts them into the open batch if there are more
    /// than may wait.
    fn note_deleted(&mut self, ranges: &[Range<u64>]) -> Result<(), Error> {
        self.settle_recovery()?;
        let waiting = self.deletions.len();
        self.deletions.extend_from_slice(ranges);
        // One more may come, for the front.
        let body_bytes_max = deletions::body_bytes_max(self.deletions.len() + 1);
        let noted = if body_bytes_max <= self.body_bytes_max() {
            self.prepare_for(std::iter::empty())
        } else {
            self.push_many()
        };
        if noted.is_err() {
            self.deletions.truncate(waiting);
        }
        noted
    }

    /// Puts more than may wait into the open batch.
    fn push_many(&mut self) -> Result<(), Error> {
        let bodies = self.deletion_bodies();
        let planned: Vec<Planned> =
            bodies.iter().map(|body| planned_deletion(body.len())).collect();
        self.check_room(planned.iter().map(|record| record.bytes).sum())?;
        let waiting = std::mem::take(&mut self.deletions);
        if let Err(error) = self.prepare_for(planned.into_iter()) {
            self.deletions = waiting;
            return Err(error);
        }
        for body in bodies {
            self.push_deletion(&body);
        }
        if self.front_place.is_none() {
            self.front_place = Some(self.accepted_place());
        }
        Ok(())
    }

    fn is_deletable(&self, sequence: u64) -> bool {
        if sequence < self.front || sequence >= self.next_sequence {
            return false;
        }
        self.find_between(sequence, sequence + 1).is_some()
            || self.damage_between(sequence, sequence + 1).is_some()
    }

    fn body_bytes_max(&self) -> usize {
        usize::try_from(BODY_BYTES_MAX.min(self.options.segment_bytes / 8))
            .expect("a few thousand bytes")
    }
}
