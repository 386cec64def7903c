//! Where the consumers of a stream are kept: their configurations and how far they are, as records
//! of one log, so that all that happened to all of them goes to the disk in one sync.
//!
//! It knows names and bytes. It refuses to know what a consumer is.
//!
//! Records carry the name of the consumer as their subject, and one byte as their headers:
//!
//! | byte | payload |
//! |---|---|
//! | `C` | the configuration; written twice, so that one damaged byte does not cost a consumer |
//! | `S` | the whole state |
//! | `D` | what changed since the record before |
//! | `X` | nothing: the consumer was deleted |
//!
//! When changes have become long compared with the states, all configurations and states are
//! written anew and what is before them is deleted.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use fulmar_storage::{CommitDone, CommitJob, Error, Log, Message, Options, Recovery};

use super::disk::{AnyDisk, AnyFile};

/// Bytes of records after which states may be written anew.
const REWRITE_FROM_BYTES: u64 = 1 << 20;
/// The same, as a multiple of what the states took last time.
const REWRITE_FACTOR: u64 = 4;

/// What happened to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It was made or updated.
    Config(&'a [u8]),
    /// Its whole state.
    State(&'a [u8]),
    /// What changed in its state.
    Change(&'a [u8]),
    /// It was deleted.
    Deleted,
}

/// A consumer as the log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Its configuration, as it was given.
    pub config: Vec<u8>,
    /// Its last whole state, and what changed since, in order; nothing if nothing happened to it.
    pub changes: Vec<Vec<u8>>,
}

/// An answer that waits until what it is about cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The account it goes to.
    pub account: u32,
    /// Where it goes.
    pub to: Vec<u8>,
    /// What it says.
    pub payload: Vec<u8>,
}

/// The log of the consumers of one stream.
pub struct ConsumerLog {
    log: Log<AnyDisk>,
    waiting: VecDeque<(u64, Waiting)>,
    is_committing: bool,
    bytes_since_rewrite: u64,
    rewritten_bytes: u64,
    /// The sequences of the records that were written anew last and may not be durable yet.
    rewritten: Option<Range<u64>>,
}

impl ConsumerLog {
    /// Opens the log on `disk`, and says which consumers are in it.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn open(
        disk: AnyDisk,
        options: Options,
    ) -> Result<(Self, BTreeMap<String, Recovered>, Recovery), Error> {
        let (log, recovery) = Log::open(disk, options)?;
        let mut consumers: BTreeMap<String, Recovered> = BTreeMap::new();
        let mut bytes = 0;
        for record in log.iter_from(0) {
            // What is damaged is in the recovery's report already.
            let Ok(record) = record else { continue };
            let name = String::from_utf8_lossy(record.subject()).into_owned();
            let payload = record.payload().to_vec();
            bytes += payload.len() as u64;
            match record.headers() {
                b"C" => consumers.entry(name).or_default().config = payload,
                b"S" => consumers.entry(name).or_default().changes = vec![payload],
                b"D" => consumers.entry(name).or_default().changes.push(payload),
                b"X" => {
                    consumers.remove(&name);
                }
                _ => {}
            }
        }
        let consumer_log = Self {
            log,
            waiting: VecDeque::new(),
            is_committing: false,
            bytes_since_rewrite: bytes,
            rewritten_bytes: 0,
            rewritten: None,
        };
        Ok((consumer_log, consumers, recovery))
    }

    /// Notes an event.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn append(&mut self, name: &str, event: Event<'_>) -> Result<(), Error> {
        let (kind, payload) = match event {
            Event::Config(config) => (b"C", config),
            Event::State(state) => (b"S", state),
            Event::Change(change) => (b"D", change),
            Event::Deleted => (b"X", &b""[..]),
        };
        let message = Message { subject: name.as_bytes(), headers: kind, payload, timestamp_ns: 0 };
        let twice = [message, message];
        let batch = if matches!(event, Event::Config(_)) { &twice[..] } else { &twice[..1] };
        self.log.append(batch)?;
        self.bytes_since_rewrite += (name.len() + payload.len()) as u64 + 48;
        Ok(())
    }

    /// Sends an answer when everything that was noted so far is on the disk.
    pub fn answer_when_durable(&mut self, waiting: Waiting) {
        self.waiting.push_back((self.log.watermarks().accepted, waiting));
    }

    /// The answers that may go out.
    pub fn take_answers(&mut self) -> Vec<Waiting> {
        let durable = self.log.watermarks().durable;
        let ready = self.waiting.partition_point(|(sequence, _)| *sequence <= durable);
        self.waiting.drain(..ready).map(|(_, waiting)| waiting).collect()
    }

    /// Whether so much was noted that the states should be written anew.
    pub fn is_rewrite_due(&self) -> bool {
        self.rewritten.is_none()
            && self.bytes_since_rewrite
                > REWRITE_FROM_BYTES.max(self.rewritten_bytes * REWRITE_FACTOR)
    }

    /// Writes all consumers anew: name, configuration, state. What was before goes when this is on
    /// the disk.
    ///
    /// # Errors
    ///
    /// As [`Log::append`]. What was before stays.
    pub fn rewrite<'a>(
        &mut self,
        consumers: impl Iterator<Item = (&'a str, Vec<u8>, Vec<u8>)>,
    ) -> Result<(), Error> {
        let from = self.log.next_sequence();
        self.bytes_since_rewrite = 0;
        for (name, config, state) in consumers {
            self.append(name, Event::Config(&config))?;
            self.append(name, Event::State(&state))?;
        }
        self.rewritten_bytes = self.bytes_since_rewrite;
        self.bytes_since_rewrite = 0;
        self.rewritten = Some(from..self.log.next_sequence());
        Ok(())
    }

    /// Takes the writing and syncing of all that was noted. `None`: there is nothing, or the last
    /// one is under way.
    pub fn take_commit(&mut self) -> Option<CommitJob<AnyFile>> {
        if self.is_committing {
            return None;
        }
        let job = self.log.take_commit(true)?;
        self.is_committing = true;
        Some(job)
    }

    /// Whether anything was noted since the last commit was taken.
    pub fn has_uncommitted(&self) -> bool {
        let watermarks = self.log.watermarks();
        watermarks.accepted > watermarks.durable
    }

    /// Hears how a commit went.
    ///
    /// # Errors
    ///
    /// What the disk said: the log is finished, and answers that wait are never sent.
    pub fn handle_committed(&mut self, done: CommitDone<AnyFile>) -> Result<(), Error> {
        self.is_committing = false;
        self.log.handle_committed(done)?;
        let durable = self.log.watermarks().durable;
        if let Some(rewritten) = self.rewritten.take_if(|range| durable + 1 >= range.end) {
            self.log.truncate_front(rewritten.start)?;
        }
        self.log.run_background()
    }

    /// Writes and syncs everything, and notes that nothing is missing behind it.
    ///
    /// # Errors
    ///
    /// As [`Log::close`].
    pub fn close(self) -> Result<(), Error> {
        self.log.close()
    }
}
