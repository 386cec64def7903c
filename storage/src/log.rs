//! The log itself: what is accepted, what is written, what is durable, and in which order.
//!
//! It does no I/O that its owner did not ask for: it hands out jobs and hears how they went. It
//! refuses to know threads and clocks.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::index::{Index, OFFSET_MAX};
use crate::record::{
    Frame, HEAD_BYTES, Kind, MARKER_BYTES, Marker, SUBJECT_BYTES_MAX, encode, message_bytes,
};
use crate::recovery::{Damage, Kept, Recovery, recover};
use crate::segment::{Record, Segment};

/// There is a marker at the start of each segment, and behind the record that reaches this many
/// bytes since the last marker.
pub const MARKER_INTERVAL_BYTES: u64 = 64 << 10;

/// The smallest segment, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A random number that publishers cannot guess. It keeps payloads from being taken for
    /// records when a damaged log is searched, and need not be the same at each opening.
    pub salt: u64,
    /// How long a segment is, in bytes: a multiple of 4096, [`SEGMENT_BYTES_MIN`] to 4 GiB less
    /// 4096. It bounds the largest message. Segments that are there keep their length.
    pub segment_bytes: u64,
    /// The first sequence of a log that is new; 1 to 2^63.
    pub first_sequence: u64,
    /// The most that may be accepted and not yet written, in bytes.
    pub unwritten_bytes_max: u64,
    /// From when on messages can be read, and may be acknowledged.
    pub promise: Promise,
}

/// From when on messages can be read, and may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// When they are on the disk. A power cut loses none that was seen.
    Durable,
    /// When they are with the operating system. A power cut loses what was not synced; the
    /// sequences of these messages are not used again.
    Written {
        /// The most messages that may be accepted and not yet synced, 1 to 2^32; no batch may
        /// have more.
        /// Behind a log that was not closed, as many sequences are left out.
        unsynced_sequences_max: u64,
    },
}

impl Options {
    /// Segments of 64 MiB, as much unwritten, sequences from 1, durable before it is read.
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            segment_bytes: 64 << 20,
            first_sequence: 1,
            unwritten_bytes_max: 64 << 20,
            promise: Promise::Durable,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let sizes = SEGMENT_BYTES_MIN..=OFFSET_MAX.min(u64::from(u32::MAX));
        if !sizes.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4_096) {
            return Err(Error::Options(
                "segment_bytes must be a multiple of 4096, from 4096 to 4 GiB less 4096",
            ));
        }
        if !(1..=1 << 63).contains(&self.first_sequence) {
            return Err(Error::Options("first_sequence must be from 1 to 2^63"));
        }
        if let Promise::Written { unsynced_sequences_max } = self.promise
            && !(1..=1 << 32).contains(&unsynced_sequences_max)
        {
            return Err(Error::Options("unsynced_sequences_max must be from 1 to 2^32"));
        }
        Ok(())
    }
}

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
/// One owner holds it. Writing and syncing are jobs that the owner may run itself
/// ([`write`](Self::write), [`sync`](Self::sync)) or give to another thread
/// ([`take_write`](Self::take_write), [`take_sync`](Self::take_sync)); what is accepted in the
/// meantime gathers into the next write. See the [crate] for the format and an example.
pub struct Log<D: Disk> {
    disk: D,
    options: Options,
    salt_state: u64,
    /// Oldest first; records are appended to the last.
    kept: VecDeque<Kept<D::File>>,
    /// Prepared for the next rolls, in their order.
    spares: VecDeque<Arc<Segment<D::File>>>,
    spare_next_id: u64,
    preparing: bool,
    /// Accepted and not yet written, oldest first; each is for one segment.
    batches: VecDeque<WriteJob<D::File>>,
    /// Of `batches` and of the write that is under way; at most `unwritten_bytes_max` and the
    /// markers between.
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
    next_sequence: u64,
    /// Messages below are deleted.
    front: u64,
    front_place: Place,
    written: Place,
    durable: Place,
    writing: bool,
    syncing: bool,
    /// A marker must be durable before anything else is appended.
    recovery_mark: Option<RecoveryMark>,
    /// The last record says that the log was closed.
    closed: bool,
    quarantine: Vec<Damage>,
    finished: Option<String>,
}

/// A place between two records, and the last sequence before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    segment: u64,
    bytes: u64,
    sequence: u64,
}

impl Place {
    fn is_at_or_behind(self, other: Self) -> bool {
        (self.segment, self.bytes) >= (other.segment, other.bytes)
    }
}

#[derive(Clone, Copy)]
struct RecoveryMark {
    leave_segment: bool,
}

/// Where a record goes.
enum Placement {
    Here,
    BehindMarker,
    NextSegment,
}

/// A write that another thread may run. A log whose job is dropped instead of handed back with
/// [`Log::handle_written`] writes no more.
#[must_use = "a log waits for its write to come back"]
pub struct WriteJob<F> {
    segment: Arc<Segment<F>>,
    offset: u64,
    bytes: Vec<u8>,
    last_sequence: u64,
}

/// How a write went.
#[must_use = "a log waits for its write to come back"]
pub struct WriteDone<F> {
    job: WriteJob<F>,
    result: io::Result<()>,
}

/// A sync that another thread may run. A log whose job is dropped instead of handed back with
/// [`Log::handle_synced`] syncs no more.
#[must_use = "a log waits for its sync to come back"]
pub struct SyncJob<F> {
    segments: Vec<Arc<Segment<F>>>,
    target: Place,
}

/// How a sync went.
#[must_use = "a log waits for its sync to come back"]
pub struct SyncDone {
    target: Place,
    result: Result<(), Error>,
}

/// A segment that another thread may prepare. A log whose job is dropped instead of handed back
/// with [`Log::handle_prepared`] prepares no more.
#[must_use = "a log waits for its segment to come back"]
pub struct PrepareJob<D: Disk> {
    disk: D,
    id: u64,
    salt: u64,
    bytes: u64,
}

/// How preparing a segment went.
#[must_use = "a log waits for its segment to come back"]
pub struct PrepareDone<D: Disk>(Result<Arc<Segment<D::File>>, Error>);

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

impl<F: DiskFile> WriteJob<F> {
    /// Writes.
    pub fn run(self) -> WriteDone<F> {
        let result = self.segment.file.write_at(self.offset, &self.bytes);
        WriteDone { job: self, result }
    }

    /// How much it writes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<F: DiskFile> SyncJob<F> {
    /// Syncs, the oldest segment first.
    pub fn run(self) -> SyncDone {
        let result = self.segments.iter().try_for_each(|segment| {
            let synced = segment.file.sync();
            synced.map_err(|error| Error::disk(format!("sync {}", segment.name()), error))
        });
        SyncDone { target: self.target, result }
    }
}

impl<D: Disk> PrepareJob<D> {
    /// Makes the file, which takes about as long as writing it.
    pub fn run(self) -> PrepareDone<D> {
        PrepareDone(Segment::create(&self.disk, self.id, self.salt, self.bytes))
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
        options.check()?;
        let recovered = recover(&disk, options.segment_bytes)?;
        let mut report = recovered.report;
        let is_new = recovered.kept.is_empty();
        let mut next_sequence = recovered.next_sequence;
        if is_new {
            next_sequence = options.first_sequence;
        }
        let mut mark = recovered.leave_segment;
        if let Promise::Written { unsynced_sequences_max } = options.promise
            && !report.closed
        {
            // Somebody may have seen that many messages of which nothing is left. A new log needs
            // its marker too: without one on the disk it would be new once more.
            if !is_new {
                next_sequence += unsynced_sequences_max;
            }
            mark = true;
        }
        let last_id = recovered.kept.back().map_or(0, |kept| kept.segment.id);
        let spare_next_id = recovered.spares.back().map_or(last_id, |spare| spare.id) + 1;
        let place = Place { segment: last_id, bytes: recovered.end, sequence: next_sequence - 1 };
        let log = Self {
            disk,
            options,
            salt_state: options.salt,
            kept: recovered.kept,
            spares: recovered.spares,
            spare_next_id,
            preparing: false,
            batches: VecDeque::new(),
            unwritten_bytes: 0,
            buffer: Vec::new(),
            end: recovered.end,
            chain: recovered.chain,
            marker_last_at: recovered.marker_last_at,
            // The first segment is number 1, and zero says that there is nothing to note.
            unsure_from: recovered.leave_segment.then_some(recovered.durable.max((1, 0))),
            next_sequence,
            front: if is_new { options.first_sequence } else { recovered.front },
            front_place: place,
            written: place,
            durable: place,
            writing: false,
            syncing: false,
            recovery_mark: mark
                .then_some(RecoveryMark { leave_segment: recovered.leave_segment || is_new }),
            closed: report.closed,
            quarantine: report.damage.clone(),
            finished: None,
        };
        report.closed |= is_new;
        Ok((log, report))
    }

    /// Gives the messages of a batch their sequences and takes them in, all or none. They are in
    /// memory only: see [`write`](Self::write) and [`sync`](Self::sync).
    ///
    /// If no segment is prepared and one is needed, it is prepared here, which takes about as
    /// long as writing it; [`prepare_ahead`](Self::prepare_ahead) does it before.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::SubjectLength`], [`Error::Busy`], [`Error::SyncFirst`],
    /// [`Error::DiskFull`], [`Error::Finished`]. Nothing of the batch was accepted then. It is
    /// busy also while another thread has the preparing of the segment that is needed.
    pub fn append(&mut self, batch: &[Message<'_>]) -> Result<Range<u64>, Error> {
        self.check_not_finished()?;
        let mut batch_bytes = 0;
        let record_bytes_max = self.options.segment_bytes - MARKER_BYTES;
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
        let bytes_max = self.options.unwritten_bytes_max;
        if batch_bytes > bytes_max {
            return Err(Error::TooLarge { bytes: batch_bytes, bytes_max });
        }
        if self.unwritten_bytes + batch_bytes > bytes_max {
            return Err(Error::Busy { unwritten_bytes: self.unwritten_bytes });
        }
        let end_sequence = self.next_sequence + batch.len() as u64;
        if let Promise::Written { unsynced_sequences_max } = self.options.promise {
            let unsynced = self.next_sequence - 1 - self.durable.sequence;
            if unsynced + batch.len() as u64 > unsynced_sequences_max {
                return Err(Error::SyncFirst(unsynced));
            }
        }
        if !batch.is_empty() {
            self.settle_recovery()?;
            self.prepare_for(batch.iter().map(bytes_of))?;
        }
        let first_sequence = self.next_sequence;
        for message in batch {
            self.push_message(message);
        }
        debug_assert_eq!(self.next_sequence, end_sequence);
        Ok(first_sequence..self.next_sequence)
    }

    /// Writes all that is accepted, here and now.
    ///
    /// # Errors
    ///
    /// The disk failed now or before, and the log is finished; or another thread has a write.
    pub fn write(&mut self) -> Result<(), Error> {
        self.check_not_finished()?;
        while let Some(job) = self.take_write() {
            let done = job.run();
            self.handle_written(done)?;
        }
        Ok(())
    }

    /// Makes all that is written durable, here and now.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn sync(&mut self) -> Result<(), Error> {
        self.check_not_finished()?;
        match self.take_sync() {
            Some(job) => {
                let done = job.run();
                self.handle_synced(done)
            }
            None => Ok(()),
        }
    }

    /// Takes the oldest unwritten batch: all that has gathered for one segment. `None`: there is
    /// none, one is under way, or the log is finished.
    pub fn take_write(&mut self) -> Option<WriteJob<D::File>> {
        if self.writing || self.finished.is_some() {
            return None;
        }
        let job = self.batches.pop_front()?;
        self.writing = true;
        Some(job)
    }

    /// Hears how a write went.
    ///
    /// # Errors
    ///
    /// What the disk said. The log is finished.
    pub fn handle_written(&mut self, done: WriteDone<D::File>) -> Result<(), Error> {
        let WriteDone { job, result } = done;
        self.writing = false;
        if let Err(error) = result {
            let error = Error::disk(format!("write {}", job.segment.name()), error);
            return Err(self.finish(error));
        }
        let bytes = job.offset + job.bytes.len() as u64;
        debug_assert_eq!(job.offset, job.segment.file.published(), "writes go on where one ended");
        job.segment.file.publish(bytes);
        self.written = Place { segment: job.segment.id, bytes, sequence: job.last_sequence };
        self.unwritten_bytes -= job.bytes.len() as u64;
        self.buffer = job.bytes;
        self.buffer.clear();
        Ok(())
    }

    /// Takes a sync of everything that is written now. `None`: all of it is durable, a sync is
    /// under way, or the log is finished.
    pub fn take_sync(&mut self) -> Option<SyncJob<D::File>> {
        if self.syncing || self.finished.is_some() || self.durable == self.written {
            return None;
        }
        self.syncing = true;
        let ids = self.durable.segment..=self.written.segment;
        let unsynced = self.kept.iter().filter(|kept| ids.contains(&kept.segment.id));
        let segments = unsynced.map(|kept| kept.segment.clone()).collect();
        Some(SyncJob { segments, target: self.written })
    }

    /// Hears how a sync went.
    ///
    /// # Errors
    ///
    /// What the disk said. The log is finished: nobody knows what is on the disk.
    pub fn handle_synced(&mut self, done: SyncDone) -> Result<(), Error> {
        self.syncing = false;
        if let Err(error) = done.result {
            return Err(self.finish(error));
        }
        self.durable = done.target;
        debug_assert!(self.written.is_at_or_behind(self.durable));
        Ok(())
    }

    /// Prepares the next segment, if none is prepared, here and now.
    ///
    /// # Errors
    ///
    /// [`Error::DiskFull`], or the disk failed. The log goes on: it can be tried again.
    pub fn prepare_ahead(&mut self) -> Result<(), Error> {
        match self.take_prepare() {
            Some(job) => {
                let done = job.run();
                self.handle_prepared(done)
            }
            None => Ok(()),
        }
    }

    /// Takes the preparing of the next segment. `None`: one is prepared, one is being prepared,
    /// or the log is finished.
    pub fn take_prepare(&mut self) -> Option<PrepareJob<D>> {
        let needed = self.spares.is_empty() && !self.preparing && self.finished.is_none();
        needed.then(|| self.prepare_job())
    }

    /// Takes over a segment that was prepared.
    ///
    /// # Errors
    ///
    /// [`Error::DiskFull`], or what the disk said. The log goes on: it can be tried again.
    pub fn handle_prepared(&mut self, done: PrepareDone<D>) -> Result<(), Error> {
        self.preparing = false;
        let segment = done.0?;
        debug_assert_eq!(segment.id, self.spare_next_id);
        self.spare_next_id += 1;
        self.spares.push_back(segment);
        Ok(())
    }

    /// Deletes all messages below `sequence`. It is durable when what is accepted now is;
    /// afterwards [`remove_segments`](Self::remove_segments) gives their room back.
    ///
    /// # Errors
    ///
    /// [`Error::SequenceAhead`], [`Error::DiskFull`] if a segment is needed to note it,
    /// [`Error::Finished`]. Nothing is deleted then.
    pub fn truncate_front(&mut self, sequence: u64) -> Result<(), Error> {
        self.check_not_finished()?;
        if sequence > self.next_sequence {
            let next_sequence = self.next_sequence;
            return Err(Error::SequenceAhead { sequence, next_sequence });
        }
        if sequence <= self.front {
            return Ok(());
        }
        self.settle_recovery()?;
        // As long as a marker: if it needs a segment, the segment's first marker will do.
        self.prepare_for(std::iter::once(MARKER_BYTES))?;
        self.front = sequence;
        match self.placement(self.end, self.marker_last_at, MARKER_BYTES) {
            Placement::NextSegment => self.roll(),
            Placement::Here | Placement::BehindMarker => self.push_marker(false, false),
        }
        self.front_place = self.accepted_place();
        Ok(())
    }

    /// Removes the segments in which every message is deleted, if that is durable, and answers
    /// how many they were. The segment that is appended to always stays, and so does the one
    /// before: with a single marker left, one flipped bit in it would have the sequences start
    /// anew. Who reads a removed segment goes on reading it.
    ///
    /// # Errors
    ///
    /// The disk failed. The log goes on: it can be tried again.
    pub fn remove_segments(&mut self) -> Result<u64, Error> {
        if !self.durable.is_at_or_behind(self.front_place) {
            return Ok(0);
        }
        let mut removed = 0;
        while self.kept.len() > 2 && self.kept[1].base_sequence <= self.front {
            // What stays must say on the disk how far the log had come.
            let stays = Place { segment: self.kept[1].segment.id, bytes: 1, sequence: 0 };
            if !self.durable.is_at_or_behind(stays) {
                break;
            }
            let name = self.kept[0].segment.name();
            self.disk
                .remove(&name)
                .map_err(|error| Error::disk(format!("remove {name}"), error))?;
            self.kept.pop_front();
            removed += 1;
        }
        if removed > 0 {
            self.disk
                .sync_directory()
                .map_err(|error| Error::disk("sync the directory of the log", error))?;
        }
        Ok(removed)
    }

    /// Writes and syncs everything and notes that nothing is missing behind it.
    ///
    /// # Errors
    ///
    /// The disk failed now or before. The log on the disk is as after a crash.
    pub fn close(mut self) -> Result<(), Error> {
        self.flush()?;
        if self.closed || self.kept.is_empty() || self.recovery_mark.is_some() {
            return Ok(());
        }
        // Without room for a marker there is none, and the next opening finds a log that was
        // left: all of it is durable just the same.
        if self.end + MARKER_BYTES <= self.active().file.bytes() {
            self.push_marker(false, true);
            self.flush()?;
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
        self.kept.iter().map(|kept| kept.index.count_from(self.front)).sum()
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
        let from = from.max(self.front);
        let to = to.min(self.visible_sequence() + 1);
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

    fn visible_sequence(&self) -> u64 {
        match self.options.promise {
            Promise::Durable => self.durable.sequence,
            Promise::Written { .. } => self.written.sequence,
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.write()?;
        self.sync()
    }

    fn check_not_finished(&self) -> Result<(), Error> {
        self.finished.as_ref().map_or(Ok(()), |why| Err(Error::Finished(why.clone())))
    }

    fn finish(&mut self, error: Error) -> Error {
        self.finished.get_or_insert_with(|| error.to_string());
        self.batches.clear();
        error
    }

    /// Appends the marker that recovery wants before anything else, and makes it durable: what it
    /// says about sequences must not be forgotten when they are used.
    fn settle_recovery(&mut self) -> Result<(), Error> {
        let Some(mark) = self.recovery_mark else { return Ok(()) };
        if mark.leave_segment || self.end + MARKER_BYTES > self.active().file.bytes() {
            self.prepare_spares(1)?;
            self.roll();
        } else {
            self.push_marker(false, false);
        }
        self.recovery_mark = None;
        self.flush()
    }

    /// Sees to it that there are as many spare segments as records of these lengths need.
    fn prepare_for(&mut self, records: impl Iterator<Item = u64>) -> Result<(), Error> {
        let (mut end, mut marker_last_at) = (self.end, self.marker_last_at);
        let mut capacity = self.kept.back().map_or(0, |kept| kept.segment.file.bytes());
        let mut rolls = 0;
        for bytes in records {
            match placement(end, marker_last_at, bytes, capacity) {
                Placement::Here => {}
                Placement::BehindMarker => {
                    marker_last_at = end;
                    end += MARKER_BYTES;
                }
                Placement::NextSegment => {
                    rolls += 1;
                    (end, marker_last_at) = (MARKER_BYTES, 0);
                    capacity = self.options.segment_bytes;
                }
            }
            end += bytes;
        }
        self.prepare_spares(rolls)
    }

    fn prepare_spares(&mut self, count: usize) -> Result<(), Error> {
        while self.spares.len() < count {
            if self.preparing {
                // Its owner has it in hand, and the order of the segments is their identity.
                return Err(Error::Busy { unwritten_bytes: self.unwritten_bytes });
            }
            let done = self.prepare_job().run();
            self.handle_prepared(done)?;
        }
        Ok(())
    }

    fn prepare_job(&mut self) -> PrepareJob<D> {
        self.preparing = true;
        let salt = next_salt(&mut self.salt_state);
        let (disk, id) = (self.disk.clone(), self.spare_next_id);
        PrepareJob { disk, id, salt, bytes: self.options.segment_bytes }
    }

    fn placement(&self, end: u64, marker_last_at: u64, bytes: u64) -> Placement {
        let capacity = self.kept.back().map_or(0, |kept| kept.segment.file.bytes());
        placement(end, marker_last_at, bytes, capacity)
    }

    fn push_message(&mut self, message: &Message<'_>) {
        match self.placement(self.end, self.marker_last_at, bytes_of(message)) {
            Placement::Here => {}
            Placement::BehindMarker => self.push_marker(false, false),
            Placement::NextSegment => self.roll(),
        }
        let sequence = self.next_sequence;
        let frame = Frame {
            kind: Kind::Message,
            previous: self.chain,
            sequence,
            timestamp_ns: message.timestamp_ns,
        };
        let offset = self.end;
        self.next_sequence += 1;
        self.push(|out, segment| {
            let Message { subject, headers, payload, .. } = message;
            encode(out, segment.seed, offset, &frame, subject, headers, payload)
        });
        let kept = self.kept.back_mut().expect("a record was put into it");
        kept.index.push(sequence, offset);
    }

    fn push_marker(&mut self, start: bool, closed: bool) {
        let active = self.active();
        let mut marker = Marker {
            start,
            closed,
            segment: active.id,
            segment_bytes: active.file.bytes(),
            front: self.front,
            durable_segment: self.durable.segment,
            durable_bytes: self.durable.bytes,
            ..Marker::default()
        };
        if start {
            marker.previous_end = self.end;
            let unsure_from = self.unsure_from.take().unwrap_or_default();
            (marker.unsure_segment, marker.unsure_bytes) = unsure_from;
            self.end = 0;
        }
        let sequence = self.next_sequence;
        let frame = Frame { kind: Kind::Marker, previous: self.chain, sequence, timestamp_ns: 0 };
        let offset = self.end;
        self.marker_last_at = offset;
        self.push(|out, segment| marker.encode(out, segment.seed, offset, &frame));
        self.closed = closed;
    }

    /// Goes on in the next segment, which was prepared.
    fn roll(&mut self) {
        let segment = self.spares.pop_front().expect("a segment was prepared before it is needed");
        let base_sequence = self.next_sequence;
        self.kept.push_back(Kept { segment, base_sequence, index: Index::default() });
        self.push_marker(true, false);
    }

    /// Puts a record at the end of the open batch. `put` answers its head checksum.
    fn push(&mut self, put: impl FnOnce(&mut Vec<u8>, &Segment<D::File>) -> u32) {
        let segment = self.kept.back().expect("there is a segment to append to").segment.clone();
        if self.batches.back().is_none_or(|batch| batch.segment.id != segment.id) {
            let (offset, bytes) = (self.end, std::mem::take(&mut self.buffer));
            let last_sequence = self.next_sequence - 1;
            self.batches.push_back(WriteJob {
                segment: segment.clone(),
                offset,
                bytes,
                last_sequence,
            });
        }
        let batch = self.batches.back_mut().expect("it was just put there");
        let bytes_before = batch.bytes.len();
        self.chain = put(&mut batch.bytes, &segment);
        let bytes = (batch.bytes.len() - bytes_before) as u64;
        batch.last_sequence = self.next_sequence - 1;
        self.end += bytes;
        self.unwritten_bytes += bytes;
        self.closed = false;
        debug_assert_eq!(batch.offset + batch.bytes.len() as u64, self.end);
        debug_assert!(self.end <= segment.file.bytes(), "a record fits its segment");
    }

    fn active(&self) -> &Segment<D::File> {
        &self.kept.back().expect("there is a segment to append to").segment
    }

    fn accepted_place(&self) -> Place {
        let segment = self.kept.back().map_or(0, |kept| kept.segment.id);
        Place { segment, bytes: self.end, sequence: self.next_sequence - 1 }
    }
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

fn bytes_of(message: &Message<'_>) -> u64 {
    message_bytes(message.subject.len(), message.headers.len(), message.payload.len())
}

fn placement(end: u64, marker_last_at: u64, bytes: u64, capacity: u64) -> Placement {
    let marker_is_due = end - marker_last_at >= MARKER_INTERVAL_BYTES;
    let needed = if marker_is_due { bytes + MARKER_BYTES } else { bytes };
    if capacity.saturating_sub(end) < needed {
        Placement::NextSegment
    } else if marker_is_due {
        Placement::BehindMarker
    } else {
        Placement::Here
    }
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

const _: () = assert!(HEAD_BYTES as u64 + MARKER_BYTES < SEGMENT_BYTES_MIN);
