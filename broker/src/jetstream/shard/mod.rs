//! A shard: streams and their consumers, without threads.
//!
//! It takes mail and the time, and sends mail; what waits for the disk is handed out as jobs.
//! [`driver`](super::driver) is the loop around it. After every event the same things are done in
//! the same order, in [`Shard::work`]: timers, what the shard sent itself, commits, deliveries,
//! notes about consumers, mail.
//!
//! ```text
//!  mail ──► handle_mail ──┬─ messages ──► by subscription: stream, API, acks
//!                         ├─ commits that ended ──► settle: limits, PubAcks, consumers
//!                         └─ pauses of slow receivers
//! ```

mod consumer_requests;
mod consumers;
mod copying;
mod dispatch;
mod jobs;
mod message_requests;
mod open;
mod requests;
mod sink;
mod stalled;
mod stream_requests;
mod streams;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use fulmar_storage::Slots;
use slab::Slab;

use self::consumers::ConsumerEntry;
use self::copying::CopiedBy;
use self::dispatch::Slot;
pub use self::jobs::ShardMail;
pub use self::open::OpenError;
use self::stalled::Stalled;
use super::consumer_log::ConsumerLog;
use super::disk::AnyDisk;
use super::limits::Room;
use super::post::Post;
use super::store_root::StoreRoot;
use super::stream::{BatchRoom, Stream};
use super::time::{NEVER_NS, Now};
use super::writer::Writer;
use crate::config::JetStreamOptions;
use crate::reactor::Mail;

/// Messages that all consumers together deliver before commits and mail get their turn.
const DELIVERIES_MAX: usize = 2048;
/// Messages that the shard sent itself and handles in one round.
const LOOPBACK_MAX: usize = 4096;
/// How long what happened to a consumer may be in memory only, when nobody waits for it.
const NOTE_WITHIN_NS: u64 = 100_000_000;

/// Streams and their consumers.
pub struct Shard {
    post: Post,
    options: JetStreamOptions,
    /// What all streams together may take.
    room: Room,
    /// What the batches of all streams may take.
    batch_room: Arc<BatchRoom>,
    root: Option<StoreRoot>,
    /// What the shard's subscriptions are for.
    slots: Slab<Slot>,
    accounts: Vec<Account>,
    streams: Slab<Box<StreamEntry>>,
    consumers: Slab<Box<ConsumerEntry>>,
    /// Tells a stream or consumer from an earlier one in the same place.
    next_generation: u64,
    /// The time of this round.
    now: Now,
    /// Streams with something to commit.
    dirty_streams: Vec<u32>,
    /// Consumers that may have something to deliver, in turn.
    dirty_consumers: std::collections::VecDeque<u32>,
    /// Streams that may have something to copy, in turn.
    dirty_copiers: std::collections::VecDeque<u32>,
    /// Consumers that may have something to note.
    noted_consumers: Vec<u32>,
    /// The consumer that the last acknowledgement was for.
    last_acked: Option<u32>,
    /// When to look at what.
    looks: BinaryHeap<Reverse<(u64, Who)>>,
    writer: Writer,
    background: Writer,
    random: fastrand::Rng,
    has_stopped: bool,
}

/// What a timer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Stream { id: u32, generation: u64 },
    Consumer { id: u32, generation: u64 },
}

/// The streams of one account.
#[derive(Default)]
struct Account {
    by_name: BTreeMap<Arc<str>, u32>,
    /// Who copies from the streams of a name, whether there is one or not.
    copied_by: BTreeMap<Arc<str>, CopiedBy>,
    api_total: u64,
    api_errors: u64,
}

/// A stream and what belongs to it.
struct StreamEntry {
    stream: Stream,
    generation: u64,
    /// Its subscriptions: the place, and the filter.
    subscriptions: Vec<(u32, Arc<[u8]>)>,
    consumers: BTreeMap<Arc<str>, u32>,
    /// Its configuration on the disk; none in memory.
    slots: Option<Slots<AnyDisk>>,
    /// Its consumers on the disk; none in memory and before the first durable one.
    consumer_log: Option<ConsumerLog>,
    /// Messages that wait for room in the log.
    stalled: Stalled,
    is_dirty: bool,
    /// It may have something to copy.
    is_copy_due: bool,
    is_in_background: bool,
    /// Notes came while the last ones were on their way, and somebody waits for them.
    is_note_wanted: bool,
    /// When the timer looks next.
    look_at_ns: u64,
    /// When a relaxed stream is synced next.
    sync_at_ns: u64,
    /// When deletions go to the disk, if nothing is published before.
    commit_at_ns: u64,
    /// When notes about consumers go to the disk, if nothing asks for it before.
    note_at_ns: u64,
}

impl Shard {
    /// Mail came.
    pub fn handle_mail(&mut self, now: Now, mail: Mail) {
        self.now = now;
        match mail {
            Mail::Messages(batch) => self.handle_batch(now, &batch),
            Mail::Shard(mail) => self.handle_shard_mail(now, *mail),
            Mail::Pause { connection, near_limit } => {
                self.pause_consumer(now, connection.slot, near_limit);
            }
            Mail::Stop => self.stop(),
            // The others are for reactors.
            _ => {}
        }
    }

    /// Does what the events since the last time brought about.
    pub fn work(&mut self, now: Now) {
        self.now = now;
        self.handle_timeouts(now);
        for _ in 0..LOOPBACK_MAX {
            let Some(message) = self.post.take_loopback() else { break };
            self.handle_loopback(now, &message);
        }
        self.copy_streams(now);
        self.commit_streams(now);
        self.deliver(now);
        self.note_consumers(now);
        self.post.push();
    }

    /// When there is something to do again, if no mail comes: [`NEVER_NS`] is never, 0 is now.
    pub fn next_timeout(&self) -> u64 {
        if self.post.has_loopback()
            || !self.dirty_consumers.is_empty()
            || !self.dirty_streams.is_empty()
            || !self.dirty_copiers.is_empty()
        {
            return 0;
        }
        self.looks.peek().map_or(NEVER_NS, |Reverse((at_ns, _))| *at_ns)
    }

    /// Whether a receiver is so far behind that deliveries wait for it.
    pub fn is_congested(&self) -> bool {
        self.post.is_congested()
    }

    /// Whether it was told to stop, and did.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    fn handle_timeouts(&mut self, now: Now) {
        while let Some(Reverse((at_ns, who))) = self.looks.peek().copied()
            && at_ns <= now.monotonic_ns
        {
            self.looks.pop();
            match who {
                Who::Stream { id, generation } => {
                    if let Some(entry) = self.streams.get_mut(id as usize)
                        && entry.generation == generation
                        && entry.look_at_ns == at_ns
                    {
                        entry.look_at_ns = NEVER_NS;
                        self.handle_stream_timeout(now, id);
                    }
                }
                Who::Consumer { id, generation } => {
                    if let Some(entry) = self.consumers.get_mut(id as usize)
                        && entry.generation == generation
                        && entry.look_at_ns == at_ns
                    {
                        entry.look_at_ns = NEVER_NS;
                        self.handle_consumer_timeout(now, id);
                    }
                }
            }
        }
    }

    /// Has the timer look at a stream at `at_ns`, or earlier.
    fn look_at_stream(&mut self, id: u32, at_ns: u64) {
        let entry = &mut self.streams[id as usize];
        if at_ns < entry.look_at_ns {
            entry.look_at_ns = at_ns;
            let generation = entry.generation;
            self.looks.push(Reverse((at_ns, Who::Stream { id, generation })));
        }
    }

    /// Has the timer look at a consumer at `at_ns`, or earlier.
    fn look_at_consumer(&mut self, id: u32, at_ns: u64) {
        let entry = &mut self.consumers[id as usize];
        if at_ns < entry.look_at_ns {
            entry.look_at_ns = at_ns;
            let generation = entry.generation;
            self.looks.push(Reverse((at_ns, Who::Consumer { id, generation })));
        }
    }

    fn generation(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation
    }
}
