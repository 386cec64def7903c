//! The log itself: what is accepted, what is written, what is durable, and in which order.
//!
//! It does no I/O that its owner did not ask for: it hands out jobs and hears how they went. It
//! refuses to know threads and clocks.

mod append;
mod background;
mod commit;
mod compact;
mod delete;
mod erase;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

pub use append::MARKER_INTERVAL_BYTES;
use append::{MarkerKind, RecoveryMark};
pub use background::{BackgroundDone, BackgroundJob};
use commit::{Batch, Place, Write};
pub use commit::{CommitDone, CommitJob};
use compact::Compacting;
use delete::Waiting;
use erase::Erasing;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::kept::Kept;
use crate::options::{Options, Promise};
use crate::record::MARKER_BYTES;
use crate::recovery::{Damage, Recovery, recover};
use crate::segment::{Record, Segment};
use crate::visitor::Visitor;

/// A message to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// 1 to [`SUBJECT_BYTES_MAX`](crate::SUBJECT_BYTES_MAX) bytes.
    pub subject: &'a [u8],
    /// Kept as they are; empty for none.
    pub headers: &'a [u8],
    /// Kept as it is.
    pub payload: &'a [u8],
    /// Nanoseconds since 1970. The log does not look at it.
    pub timestamp_ns: i64,
}

/// How far a log has come: all three never go down, and `accepted >= written >= durable`.
///
/// Each is the last sequence that it holds for, 0 if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// It has its sequence, and is in memory.
    pub accepted: u64,
    /// It is with the operating system: the end of the process does not lose it.
    pub written: u64,
    /// It is on the disk: the end of the machine does not lose it.
    pub durable: u64,
}

/// A log of one stream.
///
/// One owner holds it. Writing and syncing is a job that the owner may run itself
/// ([`commit`](Self::commit)) or give to another thread ([`take_commit`](Self::take_commit)); what
/// is accepted in the meantime gathers into the next. So it is with what can wait
/// ([`take_background`](Self::take_background)). See the [crate] for the format and an example.
pub struct Log<D: Disk> {
    disk: D,
    options: Options,
    salt_state: u64,
    boot: u128,
    /// Oldest first; records are appended to the last.
    kept: VecDeque<Kept<D::File>>,
    /// Prepared for the next rolls, in their order.
    spares: VecDeque<Arc<Segment<D::File>>>,
    spare_next_id: u64,
    preparing: bool,
    prepare_failed: bool,
    removing: bool,
    /// Files to be removed.
    removals: Vec<String>,
    footing: bool,
    /// Some segment may need a footer.
    footers_due: bool,
    compacting: Compacting,
    compaction_failed: bool,
    /// Of messages that were deleted since it was found that there is nothing to compact.
    dead_bytes_new: u64,
    /// Accepted and not yet taken to be written, oldest first; each is for one segment.
    batches: VecDeque<Batch>,
    /// What the commit that is under way writes.
    in_flight: Vec<Write<D::File>>,
    /// Of `batches` and `in_flight`; at most `unwritten_bytes_max` and the markers between.
    unwritten_bytes: u64,
    /// The buffer of a batch that was written, to be used again.
    buffer: Vec<u8>,
    /// Where the next record goes in the last segment, and what it is chained to.
    end: u64,
    chain: u32,
    marker_last_at: u64,
    /// From which segment and offset on the log was not known to be synced when it was opened,
    /// if something there could not be read: for the first marker of the next segment.
    unsure_from: Option<(u64, u64)>,
    /// Then, from where on deletions there do not count.
    doubtful_from: (u64, u64),
    /// Messages that opening found to be none, and of which the log is to say so.
    dropped: Vec<Range<u64>>,
    next_sequence: u64,
    /// Messages below are deleted.
    front: u64,
    /// Behind which place the front is noted; `None` while it waits for the next commit.
    front_place: Option<Place>,
    /// Deleted, and to be noted with the next commit.
    waiting: Waiting,
    erasing: Erasing,
    /// Every deletion that does not wait is noted before this place.
    deletions_place: Place,
    /// How many messages are neither deleted nor damaged.
    live: u64,
    written: Place,
    durable: Place,
    committing: bool,
    /// A marker must be durable before anything else is appended.
    recovery_mark: Option<RecoveryMark>,
    /// The last record says that the log was closed.
    closed: bool,
    quarantine: Vec<Damage>,
    finished: Option<String>,
}

/// A message that can be read without the log, and also when it is deleted in the meantime: it
/// keeps its segment alive.
pub struct Located<F> {
    segment: Arc<Segment<F>>,
    sequence: u64,
    offset: u64,
}

/// A segment, and the sequence and offset of a message in it.
type Found<'log, F> = (&'log Arc<Segment<F>>, u64, u64);

impl<F: DiskFile> Located<F> {
    /// The message, its checksums verified.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], or the disk failed.
    pub fn read(&self) -> Result<Record<'_>, Error> {
        self.segment.read(self.offset, self.sequence)
    }
}

impl<D: Disk> Log<D> {
    /// Opens the log in a directory, or a new one if there is none, and says what it found.
    ///
    /// Every record is read and verified, and what is kept is durable when this returns. Damage
    /// is no error: it is in the [`Recovery`], and the rest of the log is served. No byte is
    /// changed, and nothing removed but files of zeros whose preparing was cut short.
    ///
    /// # Errors
    ///
    /// The options contradict themselves, a newer version wrote the log, a segment is there
    /// twice, or the disk failed. No record was changed.
    pub fn open(disk: D, options: Options) -> Result<(Self, Recovery), Error> {
        Self::open_with(disk, options, &mut ())
    }

    /// As [`open`](Self::open), and tells `visitor` about every message on the way.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(
        disk: D,
        options: Options,
        visitor: &mut impl Visitor,
    ) -> Result<(Self, Recovery), Error> {
        options.check()?;
        let recovered = recover(&disk, &options, visitor)?;
        let mut report = recovered.report;
        let is_new = recovered.kept.is_empty();
        let mut next_sequence = recovered.next_sequence;
        if is_new {
            next_sequence = options.first_sequence;
        }
        let mut mark = recovered.leave_segment || recovered.cut || !recovered.dropped.is_empty();
        let boot = disk.boot();
        if let Promise::Written { unsynced_sequences_max } = options.promise
            && !report.closed
        {
            // If the machine was started since, somebody may have seen that many messages of which
            // nothing is left. The next opening asks the same, so it needs a marker of this start.
            // So does a new log: without one on the disk it would be new once more.
            let same_boot = boot != 0 && boot == recovered.boot;
            if !is_new && !same_boot {
                next_sequence += unsynced_sequences_max;
            }
            mark |= !same_boot;
        }
        let last_id = recovered.kept.back().map_or(0, |kept| kept.segment.id);
        let spare_next_id = recovered.spares.back().map_or(last_id, |spare| spare.id) + 1;
        let place = Place { segment: last_id, bytes: recovered.end, sequence: next_sequence - 1 };
        let durable = if recovered.is_durable {
            place
        } else {
            durable_place(&recovered.kept, recovered.durable)
        };
        let front = if is_new { options.first_sequence } else { recovered.front };
        let live = recovered.kept.iter().map(|kept| kept.index.count_in(front..u64::MAX)).sum();
        let log = Self {
            disk,
            options,
            salt_state: options.salt,
            boot,
            kept: recovered.kept,
            spares: recovered.spares,
            spare_next_id,
            preparing: false,
            prepare_failed: false,
            removing: false,
            removals: Vec::new(),
            footing: false,
            footers_due: true,
            compacting: Compacting::default(),
            compaction_failed: false,
            dead_bytes_new: u64::MAX,
            batches: VecDeque::new(),
            in_flight: Vec::new(),
            unwritten_bytes: 0,
            buffer: Vec::new(),
            end: recovered.end,
            chain: recovered.chain,
            marker_last_at: recovered.marker_last_at,
            // The first segment is number 1, and zero says that there is nothing to note.
            unsure_from: recovered.leave_segment.then_some(recovered.durable.max((1, 0))),
            doubtful_from: recovered.doubtful_from,
            dropped: recovered.dropped,
            next_sequence,
            front,
            front_place: Some(place),
            waiting: Waiting::default(),
            erasing: Erasing::recovered(&recovered.erasures, recovered.erased, place),
            deletions_place: place,
            live,
            written: place,
            durable,
            committing: false,
            recovery_mark: mark.then_some(RecoveryMark {
                leave_segment: recovered.leave_segment || is_new,
                cut: recovered.cut,
            }),
            closed: report.closed,
            quarantine: report.damage.clone(),
            finished: None,
        };
        report.messages = log.live;
        report.closed |= is_new;
        Ok((log, report))
    }

    /// Writes and syncs everything and notes that nothing is missing behind it.
    ///
    /// # Errors
    ///
    /// The disk failed now or before. The log on the disk is as after a crash.
    pub fn close(mut self) -> Result<(), Error> {
        self.commit(true)?;
        let mut erasures = usize::MAX;
        while self.erasing.len() < erasures {
            erasures = self.erasing.len();
            self.erase_some()?;
            self.commit(true)?;
        }
        if self.closed || self.kept.is_empty() || self.recovery_mark.is_some() {
            return Ok(());
        }
        // Without room for a marker there is none, and the next opening finds a log that was
        // left: all of it is durable just the same.
        if self.end + MARKER_BYTES <= self.active().file.bytes() {
            self.push_marker(MarkerKind::Closed);
            self.commit(true)?;
        }
        Ok(())
    }

    /// The message with this sequence. `None`: there is none, it is deleted, or the promise does
    /// not hold for it yet.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], now or since the log was opened; or the disk failed.
    pub fn read(&self, sequence: u64) -> Result<Option<Record<'_>>, Error> {
        if sequence == u64::MAX {
            return Ok(None);
        }
        self.first_between(sequence, sequence + 1)
    }

    /// The first message at or behind `sequence`. `None`: there is none that the promise holds
    /// for.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if messages may have been there that cannot be read; go on at the end
    /// of its `sequences`. Or the disk failed.
    pub fn next_from(&self, sequence: u64) -> Result<Option<Record<'_>>, Error> {
        self.first_between(sequence, u64::MAX)
    }

    /// Where the message with this sequence is, for another thread to read: cold bytes then stop
    /// that thread and not the owner of the log. `None` as for [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] since the log was opened.
    pub fn locate(&self, sequence: u64) -> Result<Option<Located<D::File>>, Error> {
        if sequence == u64::MAX {
            return Ok(None);
        }
        let found = self.visible_between(sequence, sequence + 1)?;
        Ok(found.map(|(segment, sequence, offset)| Located {
            segment: segment.clone(),
            sequence,
            offset,
        }))
    }

    /// All messages at or behind `sequence` that the promise holds for. Damage is an item of its
    /// own, and what is behind it follows.
    pub fn iter_from(&self, sequence: u64) -> Iter<'_, D> {
        Iter { log: self, next: Some(sequence) }
    }

    /// The message with this sequence, whether or not the promise holds for it yet: for its owner,
    /// who has to know the last value before it can disappear, and not to be shown.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_accepted(&self, sequence: u64) -> Result<Option<Record<'_>>, Error> {
        if sequence == u64::MAX {
            return Ok(None);
        }
        let Some((segment, _, offset)) = self.known_between(sequence, sequence + 1)? else {
            return Ok(None);
        };
        let in_flight =
            self.in_flight.iter().map(|write| (write.segment.id, write.offset, &*write.bytes));
        let batches = self.batches.iter().map(|batch| (batch.segment, batch.offset, &batch.bytes));
        let unwritten = in_flight.chain(batches).find_map(|(id, start, bytes)| {
            let inside = usize::try_from(offset.checked_sub(start)?).ok()?;
            bytes.get(inside..).filter(|rest| id == segment.id && !rest.is_empty())
        });
        match unwritten {
            Some(bytes) => segment.parse(offset, sequence, bytes).map(Some),
            None => segment.read(offset, sequence).map(Some),
        }
    }

    /// The first sequence at or behind `sequence` that has a message, whether or not the promise
    /// holds for it yet. It asks memory, not the disk, and steps over damage.
    pub fn first_at_or_after(&self, sequence: u64) -> Option<u64> {
        let found = self.find_between(sequence.max(self.front), u64::MAX);
        found.map(|(_, sequence, _)| sequence)
    }

    /// The last sequence at or before `sequence` that has a message; as
    /// [`first_at_or_after`](Self::first_at_or_after).
    pub fn last_at_or_before(&self, sequence: u64) -> Option<u64> {
        let behind = self.kept.partition_point(|kept| kept.base_sequence <= sequence);
        let found = self.kept.iter().take(behind).rev().find_map(|kept| {
            let last = kept.index.last_up_to(sequence);
            last.or((kept.base_sequence <= self.front).then_some(0))
        });
        found.filter(|sequence| *sequence >= self.front)
    }

    /// The last sequence that may be shown and acknowledged, by the promise in the options; 0 if
    /// there is none.
    pub fn visible_sequence(&self) -> u64 {
        match self.options.promise {
            Promise::Durable => self.durable.sequence,
            Promise::Written { .. } => self.written.sequence,
        }
    }

    /// How far the log has come.
    pub fn watermarks(&self) -> Watermarks {
        Watermarks {
            accepted: self.next_sequence - 1,
            written: self.written.sequence,
            durable: self.durable.sequence,
        }
    }

    /// The sequence that the next message will get.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Messages below this sequence are deleted.
    pub fn front(&self) -> u64 {
        self.front
    }

    /// How many messages are accepted and neither deleted nor damaged.
    pub fn messages(&self) -> u64 {
        self.live
    }

    /// How many segments have records in them.
    pub fn segments(&self) -> usize {
        self.kept.len()
    }

    /// What opening the log found that cannot be read.
    pub fn quarantine(&self) -> &[Damage] {
        &self.quarantine
    }

    /// Whether a write or sync failed, so that the log has to be opened again.
    pub fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    fn first_between(&self, from: u64, to: u64) -> Result<Option<Record<'_>>, Error> {
        match self.visible_between(from, to)? {
            Some((segment, sequence, offset)) => segment.read(offset, sequence).map(Some),
            None => Ok(None),
        }
    }

    fn visible_between(&self, from: u64, to: u64) -> Result<Option<Found<'_, D::File>>, Error> {
        self.known_between(from, to.min(self.visible_sequence() + 1))
    }

    fn known_between(&self, from: u64, to: u64) -> Result<Option<Found<'_, D::File>>, Error> {
        let from = from.max(self.front);
        let found = self.find_between(from, to);
        let until = found.map_or(to, |(_, sequence, _)| sequence);
        if let Some(damage) = self.damage_between(from, until) {
            return Err(Error::Damaged {
                segment: damage.segment,
                bytes: damage.bytes.clone(),
                sequences: damage.sequences.clone(),
            });
        }
        Ok(found)
    }

    fn find_between(&self, from: u64, to: u64) -> Option<Found<'_, D::File>> {
        let behind = self.kept.partition_point(|kept| kept.base_sequence <= from);
        for kept in self.kept.iter().skip(behind.saturating_sub(1)) {
            if let Some((sequence, offset)) = kept.index.next_from(from) {
                return (sequence < to).then_some((&kept.segment, sequence, offset));
            }
        }
        None
    }

    fn damage_between(&self, from: u64, to: u64) -> Option<&Damage> {
        let touches =
            |damage: &&Damage| damage.sequences.start.max(from) < damage.sequences.end.min(to);
        self.quarantine.iter().filter(touches).min_by_key(|damage| damage.sequences.start)
    }

    fn active(&self) -> &Segment<D::File> {
        &self.kept.back().expect("there is a segment to append to").segment
    }

    fn check_not_finished(&self) -> Result<(), Error> {
        self.finished.as_ref().map_or(Ok(()), |why| Err(Error::Finished(why.clone())))
    }

    fn finish(&mut self, error: Error) -> Error {
        self.finished.get_or_insert_with(|| error.to_string());
        self.batches.clear();
        error
    }
}

/// A place in a log that is opened, and the last sequence before it.
fn durable_place<F: DiskFile>(kept: &VecDeque<Kept<F>>, (segment, bytes): (u64, u64)) -> Place {
    let at = kept.partition_point(|kept| kept.segment.id < segment);
    let first = kept.front().map_or(1, |kept| kept.base_sequence);
    let sequence = kept.get(at).map_or(first - 1, |kept| {
        let before = kept.index.last_before(bytes).filter(|_| kept.segment.id == segment);
        before.unwrap_or(kept.base_sequence.saturating_sub(1))
    });
    Place { segment, bytes, sequence }
}

/// The messages of a log, in order; see [`Log::iter_from`].
pub struct Iter<'log, D: Disk> {
    log: &'log Log<D>,
    next: Option<u64>,
}

impl<'log, D: Disk> Iterator for Iter<'log, D> {
    type Item = Result<Record<'log>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.log.next_from(self.next?).transpose();
        self.next = match &item {
            Some(Ok(record)) => record.sequence().checked_add(1),
            Some(Err(Error::Damaged { sequences, .. })) => Some(sequences.end),
            Some(Err(_)) | None => None,
        };
        item
    }
}
