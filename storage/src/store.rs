//! All that one stream needs of storage: the log, and the index that says what is in it.
//!
//! It keeps the two together: what the log accepted or deleted is in the index at once, and
//! everything that a user is told is asked of the index. It refuses to know limits, retention and
//! consumers.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::Error;
use crate::filters::Filters;
use crate::log::{
    BackgroundDone, BackgroundJob, CommitDone, CommitJob, Located, Log, Message, Watermarks,
};
use crate::options::Options;
use crate::recovery::{Damage, Recovery};
use crate::segment::Record;
use crate::subjects::{Removed, SubjectIndex, SubjectState};
use crate::visitor::{Listed, ListedMessage, Visited, Visitor};

/// The messages of one stream.
///
/// One owner holds it. What is appended or deleted is accepted, and is in every answer of the
/// index from then on; what may be shown to others ends at
/// [`visible_sequence`](Self::visible_sequence). Committing and what can wait are jobs for the
/// owner or for another thread, as those of a [`Log`]. See the [crate] for an example.
pub struct Store<D: Disk> {
    log: Log<D>,
    index: SubjectIndex,
    sizes: Sizes,
}

/// How large a message counts: as in nats-server, so that limits in bytes mean the same.
#[derive(Clone, Copy)]
enum Sizes {
    File,
    Memory,
}

impl<D: Disk> Store<D> {
    /// Opens what is in a directory, or something new, and says what it found. Every record is
    /// read and verified.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn open(disk: D, options: Options) -> Result<(Self, Recovery), Error> {
        let sizes = if disk.is_memory() { Sizes::Memory } else { Sizes::File };
        let mut builder = Builder::new(sizes);
        let (log, recovery) = Log::open_with(disk, options, &mut builder)?;
        let store = Self { log, index: builder.finish(), sizes };
        store.check();
        Ok((store, recovery))
    }

    /// Gives the messages of a batch their sequences and takes them in, all or none. A crash
    /// before they are durable may leave any of them.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn append(&mut self, batch: &[Message<'_>]) -> Result<Range<u64>, Error> {
        let sequences = self.log.append(batch)?;
        self.note(sequences.clone(), batch);
        Ok(sequences)
    }

    /// As [`append`](Self::append), and a crash leaves all of the messages or none of them.
    ///
    /// # Errors
    ///
    /// As [`Log::append_atomic`].
    pub fn append_atomic(&mut self, batch: &[Message<'_>]) -> Result<Range<u64>, Error> {
        let sequences = self.log.append_atomic(batch)?;
        self.note(sequences.clone(), batch);
        Ok(sequences)
    }

    /// Takes in a message with a sequence of its own, at or behind the next one. The sequences
    /// between stay unused.
    ///
    /// # Errors
    ///
    /// As [`Log::append_at`].
    pub fn append_at(&mut self, sequence: u64, message: &Message<'_>) -> Result<(), Error> {
        self.log.append_at(sequence, message)?;
        self.note(sequence..sequence + 1, std::slice::from_ref(message));
        Ok(())
    }

    /// Leaves the sequences below `next_sequence` unused.
    ///
    /// # Errors
    ///
    /// As [`Log::skip_to`].
    pub fn skip_to(&mut self, next_sequence: u64) -> Result<(), Error> {
        self.log.skip_to(next_sequence)
    }

    /// Deletes a message, and answers whether it was there. It is gone at once, and it is durable
    /// when the commit that is taken next is. With `erase`, its bytes are overwritten then; see
    /// [`Log::erase`].
    ///
    /// # Errors
    ///
    /// As [`Log::delete`]. Nothing is deleted then.
    pub fn delete(&mut self, sequence: u64, erase: bool) -> Result<bool, Error> {
        if erase {
            self.log.erase(&[sequence])?;
        } else {
            self.log.delete(&[sequence])?;
        }
        let removed = self.index.remove(sequence);
        self.check();
        Ok(removed.is_some())
    }

    /// Deletes messages, and answers how many of them were there, and their bytes. A sequence that
    /// is damaged can be deleted too: reading it then reports nothing more.
    ///
    /// # Errors
    ///
    /// As [`Log::delete`]. Nothing is deleted then.
    pub fn delete_many(&mut self, sequences: &[u64]) -> Result<Removed, Error> {
        self.log.delete(sequences)?;
        let mut removed = Removed::default();
        for sequence in sequences {
            removed += self.index.remove(*sequence).unwrap_or_default();
        }
        self.check();
        Ok(removed)
    }

    /// Deletes all messages below `sequence`, which is not above the next one, and answers how
    /// many there were, and their bytes.
    ///
    /// # Errors
    ///
    /// As [`Log::truncate_front`]. Nothing is deleted then.
    pub fn truncate_front(&mut self, sequence: u64) -> Result<Removed, Error> {
        self.log.truncate_front(sequence)?;
        let removed = self.index.truncate_front(sequence);
        self.check();
        Ok(removed)
    }

    /// The message with this sequence. `None`: there is none, it is deleted, or the promise does
    /// not hold for it yet.
    ///
    /// # Errors
    ///
    /// As [`Log::read`].
    pub fn read(&self, sequence: u64) -> Result<Option<Record<'_>>, Error> {
        self.log.read(sequence)
    }

    /// As [`read`](Self::read), but whether or not the promise holds for it: for its owner, not to
    /// be shown.
    ///
    /// # Errors
    ///
    /// As [`Log::read_accepted`].
    pub fn read_accepted(&self, sequence: u64) -> Result<Option<Record<'_>>, Error> {
        self.log.read_accepted(sequence)
    }

    /// Where the message with this sequence is, for another thread to read.
    ///
    /// # Errors
    ///
    /// As [`Log::locate`].
    pub fn locate(&self, sequence: u64) -> Result<Option<Located<D::File>>, Error> {
        self.log.locate(sequence)
    }

    /// The first message that is not older than a time in nanoseconds since 1970, if there is one.
    /// It is found by bisection, so times are taken to rise with the sequences. Messages that
    /// cannot be read are stepped over.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub fn sequence_at_time(&self, timestamp_ns: i64) -> Result<Option<u64>, Error> {
        let Some(first) = self.index.first_sequence() else { return Ok(None) };
        let (mut low, mut high) = (first, self.log.next_sequence());
        // Messages below `low` are older, the first one at or behind `high` is not.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.timestamp_from(middle, high)? {
                Some((sequence, timestamp)) if timestamp < timestamp_ns => low = sequence + 1,
                _ => high = middle,
            }
        }
        Ok(self.index.next_from(low))
    }

    /// The first message. Never used: 0. Empty: the sequence behind the last one.
    pub fn first_sequence(&self) -> u64 {
        let last = self.last_sequence();
        self.index.first_sequence().unwrap_or(if last == 0 { 0 } else { last + 1 })
    }

    /// The last sequence that is used; 0 if there is none.
    pub fn last_sequence(&self) -> u64 {
        self.log.next_sequence() - 1
    }

    /// The last sequence that may be shown and acknowledged, by the promise in the options; 0 if
    /// there is none.
    pub fn visible_sequence(&self) -> u64 {
        self.log.visible_sequence()
    }

    /// How far writing and syncing have come.
    pub fn watermarks(&self) -> Watermarks {
        self.log.watermarks()
    }

    /// How many messages there are.
    pub fn messages(&self) -> u64 {
        self.index.messages()
    }

    /// How large all messages are together, counted as nats-server counts: in a file 22 bytes,
    /// the subject, the payload and 8 bytes, with headers 4 bytes more and the headers; in memory
    /// the subject, the headers, the payload and 16 bytes.
    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// How large a message would be, counted as in [`bytes`](Self::bytes).
    pub fn bytes_of(&self, message: &Message<'_>) -> u64 {
        let Message { subject, headers, payload, .. } = message;
        self.sizes.of(subject.len(), headers.len(), payload.len())
    }

    /// How many sequences from the first message to the last one have no message.
    pub fn deleted_count(&self) -> u64 {
        let first = self.index.first_sequence();
        first.map_or(0, |first| self.last_sequence() + 1 - first - self.messages())
    }

    /// The sequences from the first message on that have no message, as ranges, up to
    /// `last_sequence`. They are in order and have messages between them.
    pub fn deleted(&self) -> impl Iterator<Item = Range<u64>> {
        let end = self.log.next_sequence();
        let mut next = self.index.first_sequence().unwrap_or(end);
        std::iter::from_fn(move || {
            let start = self.index.gap_from(next);
            if start >= end {
                return None;
            }
            next = self.index.next_from(start).unwrap_or(end);
            Some(start..next)
        })
    }

    /// What is there, by sequence and by subject, accepted or more.
    pub fn index(&self) -> &SubjectIndex {
        &self.index
    }

    /// The first message at or behind `sequence`.
    pub fn next_from(&self, sequence: u64) -> Option<u64> {
        self.index.next_from(sequence)
    }

    /// The last message at or before `sequence`.
    pub fn previous_from(&self, sequence: u64) -> Option<u64> {
        self.index.previous_from(sequence)
    }

    /// The subject of a message that is there.
    pub fn subject_of(&self, sequence: u64) -> Option<&[u8]> {
        self.index.subject_of(sequence)
    }

    /// How many subjects have a message.
    pub fn subject_count(&self) -> usize {
        self.index.subject_count()
    }

    /// The first message of a subject.
    pub fn first_of(&self, subject: &[u8]) -> Option<u64> {
        self.index.first_of(subject)
    }

    /// The last message of a subject.
    pub fn last_of(&self, subject: &[u8]) -> Option<u64> {
        self.index.last_of(subject)
    }

    /// How many messages a subject has.
    pub fn count_of(&self, subject: &[u8]) -> u64 {
        self.index.count_of(subject)
    }

    /// The first message at or behind `from` that the filters match.
    pub fn next_matching(&self, filters: &Filters, from: u64) -> Option<u64> {
        self.index.next_matching(filters, from)
    }

    /// The last message at or before `up_to` that the filters match.
    pub fn previous_matching(&self, filters: &Filters, up_to: u64) -> Option<u64> {
        self.index.previous_matching(filters, up_to)
    }

    /// How many messages from `from` to `to`, both included, the filters match.
    pub fn count_matching(&self, filters: &Filters, from: u64, to: u64) -> u64 {
        self.index.count_matching(filters, from, to)
    }

    /// The subjects that the filters match, each once, in no order.
    pub fn subjects_matching(
        &self,
        filters: &Filters,
    ) -> impl ExactSizeIterator<Item = (&[u8], SubjectState)> {
        self.index.subjects_matching(filters)
    }

    /// The last message of each subject that the filters match, of those up to `up_to`; rising.
    pub fn last_per_subject(&self, filters: &Filters, up_to: u64) -> Vec<u64> {
        self.index.last_per_subject(filters, up_to)
    }

    /// Takes a write of everything that is accepted, and with `sync` a sync of it;
    /// see [`Log::take_commit`].
    pub fn take_commit(&mut self, sync: bool) -> Option<CommitJob<D::File>> {
        self.log.take_commit(sync)
    }

    /// Hears how a commit went.
    ///
    /// # Errors
    ///
    /// What the disk said. The store is finished: it can be read, and has to be opened again.
    pub fn handle_committed(&mut self, done: CommitDone<D::File>) -> Result<(), Error> {
        self.log.handle_committed(done)
    }

    /// Writes all that is accepted, and with `sync` makes it durable, here and now.
    ///
    /// # Errors
    ///
    /// As [`Log::commit`].
    pub fn commit(&mut self, sync: bool) -> Result<(), Error> {
        self.log.commit(sync)
    }

    /// Takes work that can wait, if any is due; see [`Log::take_background`].
    pub fn take_background(&mut self) -> Option<BackgroundJob<D>> {
        self.log.take_background()
    }

    /// Hears how work in the background went.
    ///
    /// # Errors
    ///
    /// As [`Log::handle_background`].
    pub fn handle_background(&mut self, done: BackgroundDone<D>) -> Result<(), Error> {
        self.log.handle_background(done)
    }

    /// Does everything that is due in the background, here and now.
    ///
    /// # Errors
    ///
    /// As [`Log::run_background`].
    pub fn run_background(&mut self) -> Result<(), Error> {
        self.log.run_background()
    }

    /// Writes and syncs everything and notes that nothing is missing behind it.
    ///
    /// # Errors
    ///
    /// As [`Log::close`].
    pub fn close(self) -> Result<(), Error> {
        self.log.close()
    }

    /// What opening found that cannot be read.
    pub fn quarantine(&self) -> &[Damage] {
        self.log.quarantine()
    }

    /// Whether a write or sync failed, so that it has to be opened again.
    pub fn is_finished(&self) -> bool {
        self.log.is_finished()
    }

    /// The log below.
    pub fn log(&self) -> &Log<D> {
        &self.log
    }

    /// An index made anew by reading every message: for tests, and for whoever doubts. It equals
    /// [`index`](Self::index).
    ///
    /// # Errors
    ///
    /// A message cannot be read.
    pub fn recount(&self) -> Result<SubjectIndex, Error> {
        let mut builder = Builder::new(self.sizes);
        let mut next = 0;
        while let Some(sequence) = self.log.first_at_or_after(next) {
            if let Some(record) = self.log.read_accepted(sequence)? {
                let headers_bytes = record.headers().len();
                let payload_bytes = record.payload().len();
                builder.add(sequence, record.subject(), headers_bytes, payload_bytes);
            }
            next = sequence + 1;
        }
        Ok(builder.finish())
    }

    /// The first message in a range that can be read, and its time.
    fn timestamp_from(&self, mut from: u64, end: u64) -> Result<Option<(u64, i64)>, Error> {
        while let Some(sequence) = self.index.next_from(from).filter(|found| *found < end) {
            match self.log.read_accepted(sequence) {
                Ok(Some(record)) => return Ok(Some((sequence, record.timestamp_ns()))),
                Ok(None) | Err(Error::Damaged { .. }) => from = sequence + 1,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn note(&mut self, sequences: Range<u64>, batch: &[Message<'_>]) {
        let sizes = self.sizes;
        self.index.append_many(sequences.zip(batch).map(|(sequence, message)| {
            let Message { subject, headers, payload, .. } = message;
            let bytes = sizes.of(subject.len(), headers.len(), payload.len());
            (sequence, *subject, small(bytes))
        }));
        self.check();
    }

    fn check(&self) {
        debug_assert_eq!(self.log.messages(), self.index.messages(), "log and index go together");
    }
}

/// Makes an index of what a log says while it is opened.
struct Builder {
    index: SubjectIndex,
    sizes: Sizes,
    /// Messages that are not in the index yet, because many at once are quicker.
    waiting: Vec<Waiting>,
    subjects: Vec<u8>,
}

struct Waiting {
    sequence: u64,
    subject_end: usize,
    bytes: u32,
}

const WAITING_MAX: usize = 256;

impl Builder {
    fn new(sizes: Sizes) -> Self {
        let (waiting, subjects) = (Vec::with_capacity(WAITING_MAX), Vec::new());
        Self { index: SubjectIndex::new(), sizes, waiting, subjects }
    }

    fn add(&mut self, sequence: u64, subject: &[u8], headers_bytes: usize, payload_bytes: usize) {
        let bytes = small(self.sizes.of(subject.len(), headers_bytes, payload_bytes));
        self.subjects.extend_from_slice(subject);
        self.waiting.push(Waiting { sequence, subject_end: self.subjects.len(), bytes });
        if self.waiting.len() == WAITING_MAX {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let mut start = 0;
        self.index.append_many(self.waiting.iter().map(|waiting| {
            let subject = &self.subjects[start..waiting.subject_end];
            start = waiting.subject_end;
            (waiting.sequence, subject, waiting.bytes)
        }));
        self.waiting.clear();
        self.subjects.clear();
    }

    fn finish(mut self) -> SubjectIndex {
        self.settle();
        self.index
    }
}

impl Visitor for Builder {
    fn message(&mut self, message: Visited<'_>) {
        let Visited { sequence, subject, headers_bytes, payload_bytes, .. } = message;
        self.add(sequence, subject, headers_bytes as usize, payload_bytes as usize);
    }

    fn listed(&mut self, listed: Listed<'_>) {
        self.settle();
        let sizes = self.sizes;
        let lengths: Vec<usize> = listed.subjects().map(<[u8]>::len).collect();
        let messages = listed.messages().map(|message| {
            let ListedMessage { sequence, subject, headers_bytes, payload_bytes } = message;
            let parts = (headers_bytes as usize, payload_bytes as usize);
            (sequence, subject, small(sizes.of(lengths[subject as usize], parts.0, parts.1)))
        });
        self.index.append_listed(listed.subjects(), messages);
    }
}

impl Sizes {
    fn of(self, subject: usize, headers: usize, payload: usize) -> u64 {
        let parts = subject as u64 + headers as u64 + payload as u64;
        match self {
            Self::File if headers > 0 => parts + 34,
            Self::File => parts + 30,
            Self::Memory => parts + 16,
        }
    }
}

/// A message is at most a segment, which has at most 4 GiB less 4096 bytes, with a head that is
/// longer than what is added here.
fn small(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("the log accepted the message")
}
