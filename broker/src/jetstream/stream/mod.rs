//! A stream: a subscriber that owns a log.
//!
//! It decides what becomes of a message, gives it a sequence, and answers when the promise holds.
//! It does no I/O that its owner did not ask for: commits are jobs ([`Stream::take_commit`]), time
//! is an argument, and what it sends goes through [`Post`]. It refuses to know threads and JSON of
//! requests.
//!
//! ```text
//!  handle_publish ──► checks ──► log (accepted) ──► open ──take_commit──► in flight
//!                        │                                                   │ handle_committed
//!                        └──► refusal                          visible ◄─────┘
//!                                        limits, rollups, consumers, PubAck ─┘
//! ```
//!
//! Whatever deletes an older message because of a newer one (limits, rollups) happens when the
//! newer one may be shown, not when it is accepted: in between a reader would find neither.

mod atomic_batch;
mod batches;
mod counters;
mod dedupe;
mod fast_batch;
mod get;
mod in_flight;
mod limits;
mod origin;
mod publish;
mod publish_headers;
mod republish;
mod schedules;
mod staged;
#[cfg(test)]
mod tests;
mod ttl;
mod view;

use std::sync::Arc;

use fulmar_storage::{CommitDone, CommitJob, Error, Store};

use self::batches::Batches;
pub use self::batches::{Abandoned, BatchRoom};
use self::dedupe::Dedupe;
pub use self::get::BatchPlace;
use self::in_flight::{Entry, InFlight, Kind};
pub use self::origin::{CopyBudget, CopyEnd, Origin, Origins};
pub use self::publish::Incoming;
pub use self::publish_headers::PublishHeaders;
use self::schedules::Plans;
use self::ttl::Ends;
pub use self::view::View;
use super::disk::{AnyDisk, AnyFile};
use super::message_ttl::MessageTtl;
use super::post::{NO_CONSUMER, Outgoing, Post};
use super::republish::Republish;
use super::stream_config::StreamConfig;
use super::subject_transform::SubjectTransform;
use super::time::Now;
use super::timestamp::Timestamp;

/// How a stream is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A PubAck waits for the disk.
    Durable,
    /// A PubAck waits for the operating system, which has a while until the disk has it.
    Relaxed,
    /// There is no disk.
    Memory,
}

/// A stream.
pub struct Stream {
    /// Its name.
    pub name: Arc<str>,
    /// Its account, by number.
    pub account: u32,
    /// Its configuration, checked.
    pub config: StreamConfig,
    /// When it was made, in nanoseconds since 1970.
    pub created_unix_ns: i64,
    /// When a PubAck may go out.
    pub durability: Durability,
    /// The streams it copies from.
    pub origins: Origins,
    store: Store<AnyDisk>,
    dedupe: Dedupe,
    /// Accepted since the last commit began.
    open: InFlight,
    /// What the commit under way brings.
    committing: InFlight,
    is_committing: bool,
    /// The sequence up to which everything was done that a visible message brings about.
    visible: u64,
    /// The time of the last message: time in a stream never goes back.
    last_unix_ns: i64,
    /// `{"stream":"NAME",` and the domain, up to the number behind `"seq":`.
    ack_head: Vec<u8>,
    subject_transform: Option<SubjectTransform>,
    republish: Option<Republish>,
    ends: Ends,
    plans: Plans,
    batches: Batches,
    /// Scratch for answers.
    scratch: Vec<u8>,
}

/// What a commit made visible, for consumers.
#[derive(Debug, Default)]
pub struct Visible {
    /// The first sequence that was not visible before, and the one behind the last.
    pub sequences: std::ops::Range<u64>,
    /// What limits and rollups took away.
    pub removed: Removed,
}

/// Messages that left a stream, with their subjects.
#[derive(Debug, Default)]
pub struct Removed {
    subjects: Vec<u8>,
    list: Vec<(u64, usize)>,
}

impl Removed {
    /// Adds one.
    fn push(&mut self, sequence: u64, subject: &[u8]) {
        self.subjects.extend_from_slice(subject);
        self.list.push((sequence, self.subjects.len()));
    }

    /// Adds others behind them.
    fn append(&mut self, others: &Self) {
        for (sequence, subject) in others.iter() {
            self.push(sequence, subject);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sequences and subjects, in the order in which they left.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = 0;
        self.list.iter().map(move |(sequence, end)| {
            let subject = &self.subjects[start..*end];
            start = *end;
            (*sequence, subject)
        })
    }
}

impl Stream {
    /// A stream over a store that was opened.
    pub fn new(
        name: &str,
        account: u32,
        config: StreamConfig,
        created_unix_ns: i64,
        durability: Durability,
        store: Store<AnyDisk>,
        domain: Option<&str>,
    ) -> Self {
        let visible = store.visible_sequence();
        let mut stream = Self {
            name: Arc::from(name),
            account,
            created_unix_ns,
            durability,
            origins: Origins::default(),
            dedupe: Dedupe::default(),
            open: InFlight::default(),
            committing: InFlight::default(),
            is_committing: false,
            visible,
            last_unix_ns: 0,
            ack_head: ack_head(name, domain),
            subject_transform: None,
            republish: None,
            ends: Ends::default(),
            plans: Plans::default(),
            batches: Batches::default(),
            scratch: Vec::new(),
            store,
            config,
        };
        let last = stream.store.previous_from(stream.store.last_sequence());
        let last_ns = last.and_then(|last| stream.timestamp_of(last)).unwrap_or(0);
        stream.last_unix_ns = last_ns;
        stream.follow_config();
        stream
    }

    /// Fills the window of message ids from what is in the log.
    pub fn recover_dedupe(&mut self, now: Now) {
        let since = now.unix_ns.saturating_sub(self.config.duplicate_window_ns);
        let mut sequence = self.store.last_sequence();
        let mut found = Vec::new();
        while let Some(place) = self.store.previous_from(sequence) {
            let Ok(Some(record)) = self.store.read(place) else { break };
            if record.timestamp_ns() < since {
                break;
            }
            if let Some(id) = PublishHeaders::read(record.headers()).message_id {
                found.push((id.to_vec(), place, record.timestamp_ns()));
            }
            sequence = place - 1;
        }
        for (id, sequence, at_ns) in found.into_iter().rev() {
            self.dedupe.add(&id, sequence, at_ns);
        }
    }

    /// Reads off the log when messages end and plans fire, if the configuration allows any.
    pub fn recover_times(&mut self, now: Now) {
        let StreamConfig { allow_msg_ttl, allow_msg_schedules, .. } = self.config;
        if !allow_msg_ttl && !allow_msg_schedules {
            return;
        }
        let mut next = self.store.next_from(0);
        while let Some(sequence) = next {
            next = self.store.next_from(sequence + 1);
            // What is damaged was reported when the log was opened.
            let Ok(Some(record)) = self.store.read(sequence) else { continue };
            if record.headers().is_empty() {
                continue;
            }
            let (headers, stored_ns) = (record.headers().to_vec(), record.timestamp_ns());
            drop(record);
            let found = PublishHeaders::read(&headers);
            if let Some(Ok(Some(ttl))) = found.ttl.map(MessageTtl::parse)
                && allow_msg_ttl
            {
                self.note_ttl(sequence, ttl, stored_ns);
            }
            if allow_msg_schedules {
                self.recover_plan(now, sequence, stored_ns, &headers, &found);
            }
        }
    }

    /// Takes a new configuration over, checked.
    pub fn update(&mut self, config: StreamConfig) {
        self.config = config;
        self.follow_config();
    }

    fn follow_config(&mut self) {
        self.subject_transform = self.config.subject_transform.as_ref().and_then(|transform| {
            SubjectTransform::new(&transform.source, &transform.destination).ok()
        });
        self.republish = republish::of_config(&self.config);
        let last_sequence = self.store.last_sequence();
        self.origins.follow(self.config.mirror.as_ref(), &self.config.sources, last_sequence);
        self.forget_batches();
    }

    /// Writes and syncs everything, and notes that nothing is missing behind it.
    ///
    /// # Errors
    ///
    /// The disk failed now or before.
    pub fn close(self) -> Result<(), Error> {
        self.store.close()
    }

    /// The log and its index.
    pub fn store(&self) -> &Store<AnyDisk> {
        &self.store
    }

    /// The log and its index.
    pub fn store_mut(&mut self) -> &mut Store<AnyDisk> {
        &mut self.store
    }

    /// The last sequence that may be shown.
    pub fn visible_sequence(&self) -> u64 {
        self.visible
    }

    /// Whether anything waits for a commit.
    pub fn needs_commit(&self) -> bool {
        !self.is_committing && !self.open.is_empty()
    }

    /// Takes the writing, and for a durable stream the syncing, of all that was accepted. `None`:
    /// there is nothing, or the last one is under way.
    pub fn take_commit(&mut self, sync: bool) -> Option<CommitJob<AnyFile>> {
        if self.is_committing {
            return None;
        }
        let job = self.store.take_commit(sync)?;
        self.begin_commit();
        Some(job)
    }

    /// Commits in place, without waiting for the disk: for relaxed streams and those in memory.
    ///
    /// # Errors
    ///
    /// The log is finished.
    pub fn commit_here(&mut self) -> Result<(), Error> {
        if self.is_committing {
            return Ok(());
        }
        self.store.commit(false)?;
        self.begin_commit();
        self.is_committing = false;
        Ok(())
    }

    /// Makes what was accepted ready to be settled if none of it is in the log. False: a commit is
    /// under way, or there is nothing.
    pub fn begin_empty_commit(&mut self) -> bool {
        if self.store.is_finished() {
            // Nobody knows what is on the disk.
            self.open.clear();
        }
        if self.is_committing || self.open.is_empty() {
            return false;
        }
        self.begin_commit();
        self.is_committing = false;
        true
    }

    fn begin_commit(&mut self) {
        debug_assert!(self.committing.is_empty(), "the last commit was handled");
        std::mem::swap(&mut self.open, &mut self.committing);
        self.is_committing = true;
    }

    /// Hears how a commit went.
    ///
    /// # Errors
    ///
    /// What the disk said: the log is finished. Publishers that wait get no answer, as nobody
    /// knows whether their messages are there.
    pub fn handle_committed(&mut self, done: CommitDone<AnyFile>) -> Result<(), Error> {
        self.is_committing = false;
        let result = self.store.handle_committed(done);
        if result.is_err() {
            self.committing.clear();
            self.open.clear();
        }
        result
    }

    /// Does what a commit, or time, brings about: limits, rollups, PubAcks, ends of lives, plans.
    /// [`Stream::commit_here`] or [`Stream::handle_committed`] came before. `is_wanted` says
    /// whether a consumer is interested in a subject.
    pub fn settle(
        &mut self,
        now: Now,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        post: &mut Post,
    ) -> Visible {
        // A timer may come while a commit is under way, whose messages are to wait for its end.
        let committed = match self.is_committing {
            true => InFlight::default(),
            false => std::mem::take(&mut self.committing),
        };
        let mut removed = Removed::default();
        let first = self.visible + 1;
        self.visible = self.visible.max(self.store.visible_sequence());
        for entry in committed.iter() {
            if let Some(republish) = &self.republish
                && entry.kind.is_in_log()
            {
                self.publish_again(republish, &entry, post);
            }
            match entry.kind {
                Kind::Stored => self.limit_subject(entry.subject, entry.sequence, &mut removed),
                Kind::RollupSubject => {
                    self.remove_older_of(entry.subject, entry.sequence, &mut removed);
                }
                Kind::RollupAll => self.remove_older(entry.sequence, &mut removed),
                Kind::Unwanted => {
                    self.remove(entry.sequence, &mut removed);
                }
                Kind::Skipped | Kind::Duplicate | Kind::Answer => {}
            }
        }
        self.limit_all(now, &mut removed);
        if self.config.allow_msg_ttl {
            self.end_lives(now, is_wanted, &mut removed);
        }
        if self.config.allow_msg_schedules {
            self.end_plans(&mut removed);
            self.fire_plans(now, post.random(), is_wanted);
        }
        for entry in committed.iter() {
            self.acknowledge(&entry, post);
        }
        if !self.is_committing {
            self.committing = committed;
            self.committing.clear();
        }
        Visible { sequences: first..self.visible + 1, removed }
    }

    fn acknowledge(&mut self, entry: &Entry<'_>, post: &mut Post) {
        if entry.reply.is_empty() {
            return;
        }
        self.scratch.clear();
        if entry.kind == Kind::Answer {
            self.scratch.extend_from_slice(entry.extra);
        } else {
            self.scratch.extend_from_slice(&self.ack_head);
            let mut digits = itoa::Buffer::new();
            self.scratch.extend_from_slice(digits.format(entry.sequence).as_bytes());
            if entry.kind == Kind::Duplicate {
                // The space is nats-server's.
                self.scratch.extend_from_slice(b",\"duplicate\": true");
            }
            self.scratch.extend_from_slice(entry.extra);
            self.scratch.push(b'}');
        }
        post.send(&Outgoing {
            account: self.account,
            consumer: NO_CONSUMER,
            via: None,
            subject: entry.reply,
            reply: None,
            headers: b"",
            payload: &self.scratch,
        });
    }

    /// The time of the last message.
    pub fn last_time(&self) -> Timestamp {
        match self.last_unix_ns {
            0 => Timestamp::default(),
            unix_ns => Timestamp::from_unix_ns(unix_ns),
        }
    }

    /// When there is something to settle though nothing was committed, in nanoseconds since 1970:
    /// a message is too old or ends, or a plan fires.
    pub fn next_time(&self) -> Option<i64> {
        if self.store.is_finished() {
            return None;
        }
        [self.next_expiry_unix_ns(), self.next_end_unix_ns(), self.next_plan_unix_ns()]
            .into_iter()
            .flatten()
            .min()
    }

    fn timestamp_of(&self, sequence: u64) -> Option<i64> {
        let record = self.store.read(sequence).ok()??;
        Some(record.timestamp_ns())
    }
}

/// What stands before the sequence in a PubAck.
fn ack_head(name: &str, domain: Option<&str>) -> Vec<u8> {
    let domain = domain.map_or(String::new(), |domain| format!("\"domain\":\"{domain}\","));
    format!("{{\"stream\":\"{name}\",{domain}\"seq\":").into_bytes()
}
