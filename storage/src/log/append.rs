//! What is accepted: messages, and the markers between them, into the open batch.
//!
//! It refuses to know the disk, but for the preparing of a segment that nobody prepared ahead.

use std::ops::Range;

use super::commit::{Batch, Place};
use super::{Log, Message};
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::index::Index;
use crate::kept::Kept;
use crate::options::{Promise, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEQUENCE_GIVEN_MAX};
use crate::record::{
    FLAG_CONTINUES, FLAG_GAP, FLAG_MORE, Frame, HEAD_BYTES, Kind, MARKER_BYTES, Marker,
    SUBJECT_BYTES_MAX, encode, message_bytes,
};

/// There is a marker at the start of each segment, and behind the record that reaches this many
/// bytes since the last marker.
pub const MARKER_INTERVAL_BYTES: u64 = 64 << 10;

/// What recovery wants to be durable before anything else is appended.
#[derive(Clone, Copy)]
pub(super) struct RecoveryMark {
    /// It begins a new segment.
    pub(super) leave_segment: bool,
    /// The batch at the end was not finished.
    pub(super) cut: bool,
}

/// What a marker is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkerKind {
    Start { cut: bool },
    Interval,
    Cut,
    Closed,
}

/// Where a record goes.
enum Placement {
    Here,
    BehindMarker,
    NextSegment,
}

/// How full a segment is, for planning ahead.
#[derive(Clone, Copy)]
struct Filling {
    end: u64,
    marker_last_at: u64,
    capacity: u64,
}

/// A record that is to be placed.
#[derive(Clone, Copy)]
pub(super) struct Planned {
    pub(super) bytes: u64,
    /// Messages leave some room for deletions.
    pub(super) is_message: bool,
}

impl<D: Disk> Log<D> {
    /// Gives the messages of a batch their sequences and takes them in, all or none. They are in
    /// memory only: see [`take_commit`](Self::take_commit). A crash may leave any of them.
    ///
    /// If no segment is prepared and one is needed, it is prepared here, which takes about as
    /// long as writing it; [`take_background`](Self::take_background) has it done before.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::SubjectLength`], [`Error::Busy`], [`Error::SyncFirst`],
    /// [`Error::DiskFull`], [`Error::Finished`]. Nothing of the batch was accepted then. It is
    /// busy also while another thread has the preparing of the segment that is needed.
    pub fn append(&mut self, batch: &[Message<'_>]) -> Result<Range<u64>, Error> {
        self.check_batch(batch)?;
        self.check_unsynced(batch.len() as u64)?;
        if !batch.is_empty() {
            self.settle_recovery()?;
            self.prepare_for(batch.iter().map(planned))?;
        }
        let first_sequence = self.next_sequence;
        for message in batch {
            self.push_message(message, self.next_sequence, 0);
        }
        Ok(first_sequence..self.next_sequence)
    }

    /// As [`append`](Self::append), and a crash leaves all of the messages or none of them. The
    /// sequences of a batch that a crash took are not used again.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_atomic(&mut self, batch: &[Message<'_>]) -> Result<Range<u64>, Error> {
        self.check_batch(batch)?;
        self.check_unsynced(batch.len() as u64)?;
        if !batch.is_empty() {
            self.settle_recovery()?;
            self.prepare_for(batch.iter().map(planned))?;
        }
        let first_sequence = self.next_sequence;
        for (number, message) in batch.iter().enumerate() {
            let more = if number + 1 < batch.len() { FLAG_MORE } else { 0 };
            let continues = if number > 0 { FLAG_CONTINUES } else { 0 };
            self.push_message(message, self.next_sequence, more | continues);
        }
        Ok(first_sequence..self.next_sequence)
    }

    /// Takes in a message with a sequence of its own, at or behind the next one. The sequences
    /// between stay unused.
    ///
    /// With [`Promise::Written`] a jump that is longer than `unsynced_sequences_max` is written
    /// and synced here.
    ///
    /// # Errors
    ///
    /// [`Error::SequenceUsed`], [`Error::SequenceTooLarge`], and as [`append`](Self::append).
    pub fn append_at(&mut self, sequence: u64, message: &Message<'_>) -> Result<(), Error> {
        self.check_sequence(sequence)?;
        self.check_batch(std::slice::from_ref(message))?;
        let gap = sequence - self.next_sequence;
        if gap == 0 || self.check_unsynced(gap.saturating_add(1)).is_ok() {
            self.check_unsynced(1)?;
        } else {
            self.skip_durably(sequence)?;
        }
        self.settle_recovery()?;
        self.prepare_for(std::iter::once(planned(message)))?;
        let flags = if sequence > self.next_sequence { FLAG_GAP } else { 0 };
        self.push_message(message, sequence, flags);
        Ok(())
    }

    /// Leaves the sequences below `next_sequence` unused, as soon as what is accepted now is
    /// durable. The next message gets `next_sequence`.
    ///
    /// # Errors
    ///
    /// As [`append_at`](Self::append_at).
    pub fn skip_to(&mut self, next_sequence: u64) -> Result<(), Error> {
        self.check_sequence(next_sequence)?;
        let gap = next_sequence - self.next_sequence;
        if gap == 0 {
            return self.check_not_finished();
        }
        if self.check_unsynced(gap).is_err() {
            return self.skip_durably(next_sequence);
        }
        self.check_not_finished()?;
        self.settle_recovery()?;
        self.skip(next_sequence)
    }

    fn skip(&mut self, next_sequence: u64) -> Result<(), Error> {
        // As long as a marker: if it needs a segment, the segment's first marker will do.
        self.prepare_for(std::iter::once(PLANNED_MARKER))?;
        if self.kept.is_empty() {
            // A log that is new starts there.
            self.front = next_sequence;
        }
        self.next_sequence = next_sequence;
        match self.filling().placement(PLANNED_MARKER) {
            Placement::NextSegment => self.roll(false),
            Placement::Here | Placement::BehindMarker => self.push_marker(MarkerKind::Interval),
        }
        Ok(())
    }

    /// More sequences are left out than may be unsynced: behind a crash nobody would know how
    /// many to leave out, if the jump itself were not on the disk.
    fn skip_durably(&mut self, next_sequence: u64) -> Result<(), Error> {
        self.check_not_finished()?;
        let unsynced = self.next_sequence - 1 - self.durable.sequence;
        if self.committing || unsynced > 0 {
            return Err(Error::SyncFirst(unsynced));
        }
        self.settle_recovery()?;
        self.skip(next_sequence)?;
        self.commit(true)
    }

    fn check_batch(&self, batch: &[Message<'_>]) -> Result<(), Error> {
        self.check_not_finished()?;
        let mut batch_bytes = 0;
        let record_bytes_max = SEGMENT_BYTES_MAX - MARKER_BYTES;
        for message in batch {
            if message.subject.is_empty() || message.subject.len() > SUBJECT_BYTES_MAX {
                return Err(Error::SubjectLength(message.subject.len()));
            }
            let bytes = bytes_of(message);
            if bytes > record_bytes_max {
                return Err(Error::TooLarge { bytes, bytes_max: record_bytes_max });
            }
            batch_bytes += bytes;
        }
        self.check_room(batch_bytes)
    }

    /// Whether so many bytes may be accepted now.
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), Error> {
        let bytes_max = self.options.unwritten_bytes_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { bytes, bytes_max });
        }
        if self.unwritten_bytes + bytes > bytes_max {
            return Err(Error::Busy { unwritten_bytes: self.unwritten_bytes });
        }
        Ok(())
    }

    fn check_sequence(&self, sequence: u64) -> Result<(), Error> {
        if sequence < self.next_sequence {
            return Err(Error::SequenceUsed { sequence, next_sequence: self.next_sequence });
        }
        if sequence > SEQUENCE_GIVEN_MAX {
            return Err(Error::SequenceTooLarge(sequence));
        }
        Ok(())
    }

    fn check_unsynced(&self, sequences: u64) -> Result<(), Error> {
        if let Promise::Written { unsynced_sequences_max } = self.options.promise {
            let unsynced = self.next_sequence - 1 - self.durable.sequence;
            if unsynced.saturating_add(sequences) > unsynced_sequences_max {
                return Err(Error::SyncFirst(unsynced));
            }
        }
        Ok(())
    }

    /// Appends what recovery wants before anything else, and makes it durable: what it says about
    /// sequences, and about messages that do not count, must not be forgotten when the log goes on.
    pub(super) fn settle_recovery(&mut self) -> Result<(), Error> {
        let Some(mark) = self.recovery_mark else { return Ok(()) };
        let leave_segment =
            mark.leave_segment || self.end + MARKER_BYTES > self.active().file.bytes();
        let dropped = std::mem::take(&mut self.dropped);
        self.wait_for_dropped(dropped);
        let prepared = if leave_segment {
            let bytes = self.planned_deletions().map(|record| record.bytes).sum();
            self.prepare_spare(0, bytes, 0).map(|_| ())
        } else {
            self.prepare_for(std::iter::once(PLANNED_MARKER))
        };
        if let Err(error) = prepared {
            self.dropped = self.no_longer_wait_for_dropped();
            return Err(error);
        }
        if leave_segment {
            self.roll(mark.cut);
        } else {
            self.push_marker(if mark.cut { MarkerKind::Cut } else { MarkerKind::Interval });
        }
        self.recovery_mark = None;
        self.commit(true)
    }

    /// Sees to it that there are as many spare segments as these records need, and the deletions
    /// that wait behind them, and that they are long enough.
    pub(super) fn prepare_for(
        &mut self,
        records: impl Iterator<Item = Planned> + Clone,
    ) -> Result<(), Error> {
        let mut filling = self.filling();
        let mut rolls = 0;
        for record in records.clone().chain(self.planned_deletions()) {
            match filling.placement(record) {
                Placement::Here => {}
                Placement::BehindMarker => {
                    filling.marker_last_at = filling.end;
                    filling.end += MARKER_BYTES;
                }
                Placement::NextSegment => {
                    let batch_bytes = records.clone().map(|record| record.bytes).sum();
                    let capacity = self.prepare_spare(rolls, record.bytes, batch_bytes)?;
                    rolls += 1;
                    filling = Filling { end: MARKER_BYTES, marker_last_at: 0, capacity };
                }
            }
            filling.end += record.bytes;
        }
        Ok(())
    }

    /// Sees to it that there is a spare segment with this number, and that a record fits it.
    /// Answers how long it is.
    fn prepare_spare(
        &mut self,
        number: usize,
        record_bytes: u64,
        batch_bytes: u64,
    ) -> Result<u64, Error> {
        let needed = MARKER_BYTES + record_bytes;
        let spare_bytes = self.spares.get(number).map_or(0, |spare| spare.file.bytes());
        if spare_bytes >= needed {
            return Ok(spare_bytes);
        }
        if self.preparing {
            // Its owner has it in hand, and the order of the segments is their identity.
            return Err(Error::Busy { unwritten_bytes: self.unwritten_bytes });
        }
        // One that is too short makes way, with those behind it: identities have no gaps.
        while self.spares.len() > number {
            let name = self.spares[self.spares.len() - 1].name();
            let removed = self.disk.remove(&name);
            removed.map_err(|error| Error::disk(format!("remove {name}"), error))?;
            self.spares.pop_back();
            self.spare_next_id -= 1;
        }
        let previous = match number.checked_sub(1) {
            Some(before) => self.spares[before].file.bytes(),
            None => self.filling().capacity,
        };
        // A batch gets one segment if it can, with some room for markers and deletions.
        let batch_bytes =
            (MARKER_BYTES + batch_bytes + batch_bytes / 8).min(self.options.segment_bytes);
        let bytes = self.options.next_segment_bytes(previous).max(batch_bytes).max(needed);
        let prepared = self.prepare(bytes.next_multiple_of(SEGMENT_BYTES_MIN)).run();
        self.handle_prepared(prepared)?;
        Ok(self.spares[number].file.bytes())
    }

    fn filling(&self) -> Filling {
        let capacity = self.kept.back().map_or(0, |kept| kept.segment.file.bytes());
        Filling { end: self.end, marker_last_at: self.marker_last_at, capacity }
    }

    /// Makes room for a record: puts a marker before it, or goes on in the next segment.
    fn place(&mut self, record: Planned) {
        match self.filling().placement(record) {
            Placement::Here => {}
            Placement::BehindMarker => self.push_marker(MarkerKind::Interval),
            Placement::NextSegment => self.roll(false),
        }
    }

    fn push_message(&mut self, message: &Message<'_>, sequence: u64, flags: u8) {
        self.place(planned(message));
        let frame = Frame {
            kind: Kind::Message,
            flags,
            previous: self.chain,
            sequence,
            timestamp_ns: message.timestamp_ns,
        };
        let offset = self.end;
        self.next_sequence = sequence + 1;
        self.live += 1;
        self.push(|out, segment, index| {
            let Message { subject, headers, payload, .. } = message;
            index.push(sequence, offset);
            encode(out, segment.seed, offset, &frame, subject, headers, payload)
        });
    }

    pub(super) fn push_deletion(&mut self, flags: u8, body: &[u8]) {
        self.place(planned_deletion(body.len()));
        let frame = Frame {
            kind: Kind::Deletion,
            flags,
            previous: self.chain,
            sequence: self.next_sequence,
            timestamp_ns: 0,
        };
        let offset = self.end;
        self.push(|out, segment, _| encode(out, segment.seed, offset, &frame, &[], &[], body));
        let kept = self.kept.back_mut().expect("a record was put into it");
        kept.deletion_bytes += self.end - offset;
    }

    pub(super) fn push_marker(&mut self, kind: MarkerKind) {
        let active = self.active();
        let (erased_segment, erased_bytes) = self.erasing.done_before(self.durable);
        let mut marker = Marker {
            closed: kind == MarkerKind::Closed,
            cut: matches!(kind, MarkerKind::Cut | MarkerKind::Start { cut: true }),
            segment: active.id,
            segment_bytes: active.file.bytes(),
            front: self.front,
            durable_segment: self.durable.segment,
            durable_bytes: self.durable.bytes,
            boot: self.boot,
            erased_segment,
            erased_bytes,
            ..Marker::default()
        };
        if matches!(kind, MarkerKind::Start { .. }) {
            marker.start = true;
            marker.previous_end = self.end;
            let unsure_from = self.unsure_from.take().unwrap_or_default();
            (marker.unsure_segment, marker.unsure_bytes) = unsure_from;
            (marker.doubtful_segment, marker.doubtful_bytes) =
                std::mem::take(&mut self.doubtful_from);
            self.end = 0;
        }
        let frame = Frame {
            kind: Kind::Marker,
            flags: 0,
            previous: self.chain,
            sequence: self.next_sequence,
            timestamp_ns: 0,
        };
        let offset = self.end;
        self.marker_last_at = offset;
        self.push(|out, segment, _| marker.encode(out, segment.seed, offset, &frame));
        self.closed = kind == MarkerKind::Closed;
    }

    /// Goes on in the next segment, which was prepared.
    fn roll(&mut self, cut: bool) {
        let segment = self.spares.pop_front().expect("a segment was prepared before it is needed");
        if let Some(sealed) = self.kept.back_mut()
            && sealed.segment.identity.generation == 0
        {
            sealed.end = self.end;
        }
        self.kept.push_back(Kept::new(segment, self.next_sequence));
        self.compaction_failed = false;
        self.dead_bytes_new = u64::MAX;
        self.push_marker(MarkerKind::Start { cut });
    }

    /// Puts a record at the end of the open batch. `put` answers its head checksum.
    fn push(
        &mut self,
        put: impl FnOnce(&mut Vec<u8>, &crate::segment::Segment<D::File>, &mut Index) -> u32,
    ) {
        let Kept { segment, index, .. } =
            self.kept.back_mut().expect("there is a segment to append to");
        if self.batches.back().is_none_or(|batch| batch.segment != segment.id) {
            let bytes = std::mem::take(&mut self.buffer);
            self.batches.push_back(Batch { segment: segment.id, offset: self.end, bytes });
        }
        let batch = self.batches.back_mut().expect("it was just put there");
        let bytes_before = batch.bytes.len();
        self.chain = put(&mut batch.bytes, segment, index);
        let bytes = (batch.bytes.len() - bytes_before) as u64;
        self.end += bytes;
        self.unwritten_bytes += bytes;
        self.closed = false;
        debug_assert_eq!(batch.offset + batch.bytes.len() as u64, self.end);
        debug_assert!(self.end <= segment.file.bytes(), "a record fits its segment");
    }

    pub(super) fn accepted_place(&self) -> Place {
        let segment = self.kept.back().map_or(0, |kept| kept.segment.id);
        Place { segment, bytes: self.end, sequence: self.next_sequence - 1 }
    }
}

impl Filling {
    fn placement(self, record: Planned) -> Placement {
        let marker_is_due = self.end - self.marker_last_at >= MARKER_INTERVAL_BYTES;
        let mut needed = record.bytes;
        if marker_is_due {
            needed += MARKER_BYTES;
        }
        // The first message of a segment may fill it.
        if record.is_message && self.end > MARKER_BYTES {
            needed += deletion_reserve_bytes(self.capacity);
        }
        if self.capacity.saturating_sub(self.end) < needed {
            Placement::NextSegment
        } else if marker_is_due {
            Placement::BehindMarker
        } else {
            Placement::Here
        }
    }
}

/// Room that messages leave, so that deletions find some when the disk is full.
fn deletion_reserve_bytes(capacity: u64) -> u64 {
    (capacity / 16).min(4_096)
}

const PLANNED_MARKER: Planned = Planned { bytes: MARKER_BYTES, is_message: false };

fn planned(message: &Message<'_>) -> Planned {
    Planned { bytes: bytes_of(message), is_message: true }
}

/// A deletion record with a body of so many bytes.
pub(super) fn planned_deletion(body_bytes: usize) -> Planned {
    Planned { bytes: message_bytes(0, 0, body_bytes), is_message: false }
}

fn bytes_of(message: &Message<'_>) -> u64 {
    message_bytes(message.subject.len(), message.headers.len(), message.payload.len())
}

const _: () = assert!(HEAD_BYTES as u64 + MARKER_BYTES < SEGMENT_BYTES_MIN);
