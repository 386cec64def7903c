//! Bytes of deleted messages that are to be overwritten: which, when, and whether that is done.
//!
//! The deletion is durable before the first byte changes, so a message is whole, or deleted. A
//! record keeps its head, so its neighbours are still chained to it. Bytes that somebody may have
//! borrowed are not written: it waits until the log is the only one that holds the segment.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::Log;
use super::commit::Place;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::record::{HEAD_BYTES, Head, Kind};
use crate::segment::Segment;

/// How many are overwritten at once, so that nobody waits long for it.
const ERASURES_MAX: usize = 64;

/// A message that is to be overwritten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Erasure {
    pub(super) segment: u64,
    pub(super) sequence: u64,
    /// The deletion is before this place.
    pub(super) behind: Place,
}

/// What is to be overwritten, and what is overwritten and not known to be on the disk.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    queue: VecDeque<Erasure>,
    overwritten: BTreeSet<u64>,
    /// What the commit that is under way syncs.
    syncing: BTreeSet<u64>,
    /// Before this place (segment, offset) every erasure that is noted is on the disk.
    from: Option<(u64, u64)>,
}

impl Erasing {
    /// What an opening found that is not known to be done.
    pub(super) fn recovered(erasures: &[(u64, u64)], from: (u64, u64), behind: Place) -> Self {
        let queue: VecDeque<_> = erasures
            .iter()
            .map(|(segment, sequence)| Erasure { segment: *segment, sequence: *sequence, behind })
            .collect();
        let from = (!queue.is_empty()).then_some(from);
        Self { queue, from, ..Self::default() }
    }

    pub(super) fn add(&mut self, erasure: Erasure, from: Place) {
        self.queue.push_back(erasure);
        self.from.get_or_insert((from.segment, from.bytes));
    }

    /// Before which place every erasure that is noted is on the disk, if everything that is noted
    /// before `durable` is durable.
    pub(super) fn done_before(&self, durable: Place) -> (u64, u64) {
        self.from.unwrap_or((durable.segment, durable.bytes))
    }

    /// Whether messages of a segment are to be overwritten, or were and are not synced.
    pub(super) fn touches(&self, segment: u64) -> bool {
        self.queue.iter().any(|erasure| erasure.segment == segment)
            || self.overwritten.contains(&segment)
            || self.syncing.contains(&segment)
    }

    /// A segment stands for others from now on.
    pub(super) fn handle_compacted(&mut self, replaced: std::ops::RangeInclusive<u64>, by: u64) {
        for erasure in &mut self.queue {
            if replaced.contains(&erasure.segment) {
                erasure.segment = by;
            }
        }
    }

    /// How many messages are still to be overwritten.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The segments that a sync must include.
    pub(super) fn take_unsynced(&mut self) -> &BTreeSet<u64> {
        self.syncing = std::mem::take(&mut self.overwritten);
        &self.syncing
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.overwritten.is_empty()
    }

    pub(super) fn handle_synced(&mut self) {
        self.syncing.clear();
        self.settle();
    }

    fn settle(&mut self) {
        if self.queue.is_empty() && self.overwritten.is_empty() && self.syncing.is_empty() {
            self.from = None;
        }
    }
}

impl<D: Disk> Log<D> {
    /// Overwrites what may be overwritten now, as far as that does not take long.
    pub(super) fn erase_some(&mut self) -> Result<(), Error> {
        for _ in 0..self.erasing.queue.len().min(ERASURES_MAX) {
            let Some(erasure) = self.erasing.queue.pop_front() else { break };
            if !self.durable.is_at_or_behind(erasure.behind) {
                self.erasing.queue.push_back(erasure);
                continue;
            }
            let at = self.kept.partition_point(|kept| kept.segment.id < erasure.segment);
            // A segment that is gone has nothing left to erase.
            let kept = self.kept.get_mut(at).filter(|kept| kept.segment.id == erasure.segment);
            let Some(kept) = kept else { continue };
            let Some(offset) = kept.index.offset_of(erasure.sequence) else { continue };
            let Some(segment) = Arc::get_mut(&mut kept.segment) else {
                self.erasing.queue.push_back(erasure);
                continue;
            };
            if let Err(error) = overwrite(segment, offset) {
                return Err(self.finish(error));
            }
            self.erasing.overwritten.insert(erasure.segment);
        }
        self.erasing.settle();
        Ok(())
    }
}

/// Overwrites all of a message but its head. One whose head is damaged stays as it is.
fn overwrite<F: DiskFile>(segment: &mut Segment<F>, offset: u64) -> Result<(), Error> {
    let name = segment.name();
    let Some(record) = segment.record(offset)? else { return Ok(()) };
    let Ok(head) = Head::parse(segment.seed, offset, &record) else { return Ok(()) };
    drop(record);
    if head.kind != Kind::Message {
        return Ok(());
    }
    let zeros = vec![0; head.bytes as usize - HEAD_BYTES];
    let overwritten = segment.file.overwrite(offset + HEAD_BYTES as u64, &zeros);
    overwritten.map_err(|error| Error::disk(format!("erase in {name}"), error))
}
