//! What a shard does with its consumers: tells them what their stream shows, has them deliver,
//! takes their acknowledgements, and notes how far they are.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use fulmar_storage::{CommitDone, Filters};

use super::super::consumer::{
    AckPolicy, AckSubject, Budget, ClosedFor, Consumer, ConsumerSettings, DeliverPolicy, Mode,
    PriorityPolicy, PullSettings, PushSettings, RateSettings, ReplayPolicy,
};
use super::super::consumer_config::{self, ConsumerConfig};
use super::super::consumer_log::{Event, Waiting};
use super::super::disk::AnyFile;
use super::super::stream::{View, Visible};
use super::super::stream_config::RetentionPolicy;
use super::super::time::{NEVER_NS, Now};
use super::dispatch::Arrival;
use super::jobs::{Commit, StreamId};
use super::sink::ConsumerSink;
use super::{DELIVERIES_MAX, NOTE_WITHIN_NS, Shard};

/// Messages that one consumer delivers before the next one gets its turn.
const TURN_MESSAGES: usize = 256;
/// Bytes of the same.
const TURN_BYTES: usize = 1024 * 1024;
/// How often it is looked whether somebody listens to a deliver subject.
const INTEREST_STEP_NS: u64 = 50_000_000;
/// How long a consumer waits for a receiver that is behind, and for one close to its limit.
const PAUSE_NS: u64 = 2_000_000;
const PAUSE_NEAR_LIMIT_NS: u64 = 10_000_000;

/// A consumer and what belongs to it.
pub(super) struct ConsumerEntry {
    pub(super) consumer: Consumer,
    pub(super) config: ConsumerConfig,
    pub(super) created_unix_ns: i64,
    pub(super) name: Arc<str>,
    pub(super) stream: u32,
    pub(super) generation: u64,
    /// What happens to it goes to the disk.
    pub(super) is_kept: bool,
    pub(super) is_dirty: bool,
    pub(super) look_at_ns: u64,
    /// Nothing is delivered before: a receiver is behind.
    pub(super) paused_until_ns: u64,
    /// Where empty messages go when the next note is on the disk.
    pub(super) replies: Vec<Vec<u8>>,
    /// It may have something to note.
    pub(super) is_noted: bool,
}

impl Shard {
    /// Tells the consumers of a stream what became visible and what left it.
    pub(super) fn tell_consumers(&mut self, now: Now, id: u32, visible: &Visible) {
        let Self { streams, consumers, post, .. } = self;
        let entry = &mut streams[id as usize];
        if entry.consumers.is_empty() {
            return;
        }
        let mut acknowledged = Vec::new();
        for consumer_id in entry.consumers.values() {
            let consumer = &mut consumers[*consumer_id as usize];
            let mut sink = ConsumerSink {
                post,
                account: entry.stream.account,
                id: *consumer_id,
                stream: &entry.stream.name,
                name: &consumer.name,
                now,
                domain: self.options.domain.as_deref(),
                random: &mut self.random,
                acknowledged: &mut acknowledged,
                replies: &mut consumer.replies,
            };
            for (sequence, subject) in visible.removed.iter() {
                consumer.consumer.handle_removed(now, sequence, subject, &mut sink);
            }
        }
        let ids: Vec<u32> = entry.consumers.values().copied().collect();
        for consumer in ids {
            self.mark_consumer(consumer);
        }
    }

    /// Tells the consumers of a stream that many messages left it.
    pub(super) fn tell_consumers_of_purge(&mut self, now: Now, id: u32) {
        let Self { streams, consumers, .. } = self;
        let entry = &streams[id as usize];
        let view = View::new(&entry.stream);
        let ids: Vec<u32> = entry.consumers.values().copied().collect();
        for consumer in &ids {
            consumers[*consumer as usize].consumer.handle_purged(now, &view);
        }
        for consumer in ids {
            self.mark_consumer(consumer);
        }
    }

    /// Notes that a consumer may have something to deliver.
    pub(super) fn mark_consumer(&mut self, id: u32) {
        let entry = &mut self.consumers[id as usize];
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty_consumers.push_back(id);
        }
    }

    /// Has consumers deliver, in turn.
    pub(super) fn deliver(&mut self, now: Now) {
        let mut delivered = 0;
        for _ in 0..self.dirty_consumers.len() {
            if delivered >= DELIVERIES_MAX || self.post.is_congested() {
                return;
            }
            let Some(id) = self.dirty_consumers.pop_front() else { return };
            let Some(entry) = self.consumers.get_mut(id as usize) else { continue };
            entry.is_dirty = false;
            if entry.paused_until_ns > now.monotonic_ns {
                let at_ns = entry.paused_until_ns;
                self.look_at_consumer(id, at_ns);
                continue;
            }
            delivered += self.poll_consumer(now, id);
        }
    }

    /// One turn of one consumer. Returns how much it delivered.
    fn poll_consumer(&mut self, now: Now, id: u32) -> usize {
        self.watch_interest(now, id);
        let budget = Budget { messages: TURN_MESSAGES, bytes: TURN_BYTES };
        let progress = self
            .with_consumer(now, id, |consumer, view, sink| consumer.poll(now, view, sink, budget));
        if progress.is_inactive {
            self.delete_consumer(now, id);
            return progress.messages;
        }
        if progress.has_more {
            self.mark_consumer(id);
        }
        let mut next = self.consumers[id as usize].consumer.next_timeout(now).unwrap_or(NEVER_NS);
        if self.consumers[id as usize].config.is_push() {
            next = next.min(now.after(INTEREST_STEP_NS));
        }
        if next != NEVER_NS {
            self.look_at_consumer(id, next);
        }
        progress.messages
    }

    /// A timer of a consumer.
    pub(super) fn handle_consumer_timeout(&mut self, _now: Now, id: u32) {
        self.mark_consumer(id);
    }

    /// A receiver of a consumer's messages is behind.
    pub(super) fn pause_consumer(&mut self, now: Now, id: u32, near_limit: bool) {
        if let Some(entry) = self.consumers.get_mut(id as usize) {
            let pause_ns = if near_limit { PAUSE_NEAR_LIMIT_NS } else { PAUSE_NS };
            entry.paused_until_ns = now.after(pause_ns);
        }
    }

    /// Calls into a consumer, and does what that brought about.
    pub(super) fn with_consumer<R>(
        &mut self,
        now: Now,
        id: u32,
        call: impl FnOnce(&mut Consumer, &View<'_>, &mut ConsumerSink<'_>) -> R,
    ) -> R {
        let Self { streams, consumers, post, random, options, .. } = self;
        let entry = &mut consumers[id as usize];
        let stream_id = entry.stream;
        let stream = &streams[stream_id as usize].stream;
        let view = View::new(stream);
        let mut acknowledged = Vec::new();
        let mut sink = ConsumerSink {
            post,
            account: stream.account,
            id,
            stream: &stream.name,
            name: &entry.name,
            now,
            domain: options.domain.as_deref(),
            random,
            acknowledged: &mut acknowledged,
            replies: &mut entry.replies,
        };
        let result = call(&mut entry.consumer, &view, &mut sink);
        if entry.is_kept {
            if !entry.is_noted && (entry.consumer.has_change() || !entry.replies.is_empty()) {
                entry.is_noted = true;
                self.noted_consumers.push(id);
            }
        } else if !entry.replies.is_empty() {
            // Nothing of it is ever on a disk, so there is nothing to wait for.
            let account = stream.account;
            for reply in std::mem::take(&mut entry.replies) {
                self.send_answer(account, &reply, b"");
            }
        }
        if !acknowledged.is_empty() {
            self.release(now, stream_id, id, &acknowledged);
        }
        result
    }

    /// Messages that a consumer is done with leave a stream that keeps what somebody wants.
    fn release(&mut self, now: Now, stream_id: u32, by: u32, sequences: &[u64]) {
        if self.streams[stream_id as usize].stream.config.retention == RetentionPolicy::Limits {
            return;
        }
        let held = self.held(stream_id);
        let Self { streams, consumers, .. } = self;
        let entry = &mut streams[stream_id as usize];
        let mut gone: Vec<u64> = match entry.stream.config.retention {
            RetentionPolicy::Limits => return,
            RetentionPolicy::WorkQueue => sequences.to_vec(),
            RetentionPolicy::Interest => {
                let is_wanted = |sequence: u64| {
                    let Some(subject) = entry.stream.store().subject_of(sequence) else {
                        return false;
                    };
                    entry.consumers.values().any(|id| {
                        *id != by && consumers[*id as usize].consumer.wants(sequence, subject)
                    })
                };
                sequences.iter().copied().filter(|sequence| !is_wanted(*sequence)).collect()
            }
        };
        // What is still to be copied stays until then.
        let store = entry.stream.store();
        gone.retain(|sequence| {
            store.subject_of(*sequence).is_none_or(|subject| !held.holds(*sequence, subject))
        });
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        gone.dedup();
        if let Err(error) = entry.stream.store_mut().delete_many(&gone) {
            tracing::error!("stream {}: {error}", entry.stream.name);
            return;
        }
        self.commit_later(now, stream_id);
    }

    /// An acknowledgement came.
    pub(super) fn handle_ack(&mut self, now: Now, arrival: &Arrival<'_>) {
        let Some(ack) = AckSubject::parse(arrival.subject) else { return };
        let Some(id) = self.consumer_by_bytes(arrival.account, ack.stream, ack.consumer) else {
            return self.answer_nobody(arrival);
        };
        self.with_consumer(now, id, |consumer, view, sink| {
            consumer.handle_ack(now, &ack, arrival.payload, arrival.reply, view, sink);
        });
        self.mark_consumer(id);
    }

    /// An answer to flow control came: `$JS.FC.<stream>.<consumer>.<random>`.
    pub(super) fn handle_flow_control(&mut self, now: Now, arrival: &Arrival<'_>) {
        let mut tokens = arrival.subject.split(|byte| *byte == b'.').skip(2);
        let (Some(stream), Some(consumer)) = (tokens.next(), tokens.next()) else { return };
        let Some(id) = self.consumer_by_bytes(arrival.account, stream, consumer) else { return };
        self.with_consumer(now, id, |consumer, _, sink| {
            consumer.handle_flow_control_reply(now, arrival.subject, arrival.headers, sink);
        });
        self.mark_consumer(id);
    }

    fn consumer_by_bytes(&mut self, account: u32, stream: &[u8], consumer: &[u8]) -> Option<u32> {
        // Acks come many in a row for one consumer.
        if let Some(id) = self.last_acked
            && let Some(entry) = self.consumers.get(id as usize)
            && entry.name.as_bytes() == consumer
            && let Some(owner) = self.streams.get(entry.stream as usize)
            && owner.stream.name.as_bytes() == stream
            && owner.stream.account == account
        {
            return Some(id);
        }
        let stream = std::str::from_utf8(stream).ok()?;
        let consumer = std::str::from_utf8(consumer).ok()?;
        let stream = *self.accounts[account as usize].by_name.get(stream)?;
        let id = *self.streams[stream as usize].consumers.get(consumer)?;
        self.last_acked = Some(id);
        Some(id)
    }

    /// Notes what happened to consumers since the last round, and commits where somebody waits.
    pub(super) fn note_consumers(&mut self, now: Now) {
        let mut noted = std::mem::take(&mut self.noted_consumers);
        let mut change = Vec::new();
        for id in noted.drain(..) {
            let Some(entry) = self.consumers.get_mut(id as usize) else { continue };
            entry.is_noted = false;
            let stream_id = entry.stream;
            let Some(stream) = self.streams.get_mut(stream_id as usize) else { continue };
            let account = stream.stream.account;
            let Some(log) = &mut stream.consumer_log else { continue };
            change.clear();
            if entry.consumer.take_change(now, &mut change)
                && let Err(error) = log.append(&entry.name, Event::Change(&change))
            {
                tracing::error!(
                    "consumer {} of stream {}: {error}; its state is not kept any more",
                    entry.name,
                    stream.stream.name
                );
                entry.replies.clear();
                continue;
            }
            let is_waited_for = !entry.replies.is_empty();
            for to in entry.replies.drain(..) {
                log.answer_when_durable(Waiting { account, to, payload: Vec::new() });
            }
            if is_waited_for {
                self.commit_notes(stream_id);
            } else {
                self.commit_notes_later(now, stream_id);
            }
        }
        if self.noted_consumers.is_empty() {
            self.noted_consumers = noted;
        }
    }

    /// Has the notes of a stream go to the disk now.
    pub(super) fn commit_notes(&mut self, id: u32) {
        let Self { streams, consumers, writer, .. } = self;
        let entry = &mut streams[id as usize];
        let Some(log) = &mut entry.consumer_log else { return };
        entry.note_at_ns = NEVER_NS;
        if log.is_rewrite_due() {
            let now = self.now;
            let all = entry.consumers.iter().filter_map(|(name, id)| {
                let one = &mut consumers[*id as usize];
                one.is_kept.then(|| {
                    let mut state = Vec::new();
                    one.consumer.snapshot(now, &mut state);
                    (&**name, super::open::consumer_document(one), state)
                })
            });
            if let Err(error) = log.rewrite(all) {
                tracing::error!("stream {}: {error}", entry.stream.name);
            }
        }
        if let Some(job) = log.take_commit() {
            let stream = StreamId { id, generation: entry.generation };
            writer.give(Box::new(Commit { stream, job, is_notes: true }));
        } else if log.has_uncommitted() {
            // The last one is under way: this one follows it.
            entry.is_note_wanted = true;
        }
    }

    fn commit_notes_later(&mut self, now: Now, id: u32) {
        let entry = &mut self.streams[id as usize];
        if entry.note_at_ns == NEVER_NS {
            let at_ns = now.after(NOTE_WITHIN_NS);
            entry.note_at_ns = at_ns;
            self.look_at_stream(id, at_ns);
        }
    }

    /// Notes are on the disk: who waited for them hears of it.
    pub(super) fn handle_noted(&mut self, _now: Now, id: u32, done: CommitDone<AnyFile>) {
        let entry = &mut self.streams[id as usize];
        let Some(log) = &mut entry.consumer_log else { return };
        if let Err(error) = log.handle_committed(done) {
            tracing::error!(
                "stream {}: {error}; the state of its consumers is not kept until the server is \
                 started again",
                entry.stream.name
            );
        }
        let answers = log.take_answers();
        for Waiting { account, to, payload } in answers {
            self.send_answer(account, &to, &payload);
        }
        let entry = &mut self.streams[id as usize];
        if std::mem::take(&mut entry.is_note_wanted) {
            self.commit_notes(id);
        }
    }

    /// Tells a push consumer whether somebody listens to it.
    fn watch_interest(&mut self, now: Now, id: u32) {
        let Self { streams, consumers, post, .. } = self;
        let entry = &mut consumers[id as usize];
        if !entry.config.is_push() {
            return;
        }
        let account = streams[entry.stream as usize].stream.account;
        let routes = post.routes(account, entry.config.deliver_subject.as_bytes());
        let is_there = match &entry.config.deliver_group[..] {
            "" => !routes.local.is_empty() || routes.peers != 0,
            group => routes.queues.iter().any(|queue| *queue.name == *group.as_bytes()),
        };
        entry.consumer.handle_interest(now, is_there);
    }

    /// Ends a consumer: requests that wait hear of it.
    pub(super) fn drop_consumer(&mut self, now: Now, id: u32) {
        self.with_consumer(now, id, |consumer, _, sink| {
            consumer.close(ClosedFor::Deletion, sink);
        });
        let entry = self.consumers.remove(id as usize);
        let stream = &mut self.streams[entry.stream as usize];
        stream.consumers.remove(&entry.name);
        if entry.is_kept
            && let Some(log) = &mut stream.consumer_log
            && let Err(error) = log.append(&entry.name, Event::Deleted)
        {
            tracing::error!("consumer {}: {error}", entry.name);
        }
        if self.last_acked == Some(id) {
            self.last_acked = None;
        }
        if self.streams[entry.stream as usize].stream.config.retention == RetentionPolicy::Interest
        {
            self.release_unwanted(now, entry.stream);
        }
    }

    /// What neither a consumer nor a copy waits for leaves a stream that keeps what somebody wants:
    /// after a consumer or a copy ended, after the retention changed, and after a restart that
    /// found an acknowledgement and not what came of it.
    pub(super) fn release_unwanted(&mut self, now: Now, id: u32) {
        let is_work_queue = match self.streams[id as usize].stream.config.retention {
            RetentionPolicy::Limits => return,
            RetentionPolicy::WorkQueue => true,
            RetentionPolicy::Interest => false,
        };
        let held = self.held(id);
        let Self { streams, consumers, .. } = self;
        let entry = &mut streams[id as usize];
        let store = entry.stream.store();
        let mut gone = Vec::new();
        let mut next = store.next_from(0);
        while let Some(sequence) = next {
            let subject = store.subject_of(sequence).unwrap_or_default();
            let mut matching = entry.consumers.values().filter_map(|other| {
                let consumer = &consumers[*other as usize].consumer;
                consumer
                    .settings()
                    .filters
                    .matches(subject)
                    .then(|| consumer.wants(sequence, subject))
            });
            // A work queue keeps what has no consumer yet.
            let is_unwanted = match matching.next() {
                None => !is_work_queue,
                Some(first) => !first && !matching.any(|wants| wants),
            };
            if is_unwanted && !held.holds(sequence, subject) {
                gone.push(sequence);
            }
            next = store.next_from(sequence + 1);
        }
        if gone.is_empty() {
            return;
        }
        if let Err(error) = entry.stream.store_mut().delete_many(&gone) {
            tracing::error!("stream {}: {error}", entry.stream.name);
        }
        self.commit_later(now, id);
    }
}

/// What a checked configuration asks a consumer to do.
pub(super) fn settings_of(config: &ConsumerConfig, payload_bytes_max: usize) -> ConsumerSettings {
    let positive = |value: i64| u64::try_from(value).ok().and_then(NonZeroU64::new);
    let filters: Vec<&[u8]> = if config.filter_subject.is_empty() {
        config.filter_subjects.iter().map(String::as_bytes).collect()
    } else {
        vec![config.filter_subject.as_bytes()]
    };
    // A filter for everything is none: what it costs should not depend on how it is written.
    let is_all = filters.iter().any(|filter| *filter == b">");
    let filters = if is_all { Filters::all() } else { Filters::parse(filters).unwrap_or_default() };
    let mode = if config.is_push() {
        Mode::Push(PushSettings {
            deliver_subject: config.deliver_subject.as_bytes().into(),
            heartbeat_ns: positive(config.idle_heartbeat_ns),
            flow_control: config.flow_control,
            rate: NonZeroU64::new(config.rate_limit_bps).map(|bits_per_second| RateSettings {
                bits_per_second,
                burst_bytes: NonZeroU64::new(payload_bytes_max as u64).unwrap_or(NonZeroU64::MIN),
            }),
        })
    } else {
        Mode::Pull(PullSettings {
            waiting_max: usize::try_from(config.max_waiting).unwrap_or(512),
            batch_max: positive(config.max_batch),
            expires_max_ns: positive(config.max_expires_ns),
            bytes_max: positive(config.max_bytes),
            priority: match config.priority_policy {
                consumer_config::PriorityPolicy::None => PriorityPolicy::None,
                consumer_config::PriorityPolicy::Overflow => PriorityPolicy::Overflow,
                consumer_config::PriorityPolicy::PinnedClient => PriorityPolicy::Pinned {
                    timeout_ns: u64::try_from(config.priority_timeout_ns).unwrap_or(0),
                },
                consumer_config::PriorityPolicy::Prioritized => PriorityPolicy::Prioritized,
            },
            groups: config.priority_groups.iter().map(|group| group.as_str().into()).collect(),
        })
    };
    ConsumerSettings {
        deliver: match config.deliver_policy {
            consumer_config::DeliverPolicy::All => DeliverPolicy::All,
            consumer_config::DeliverPolicy::Last => DeliverPolicy::Last,
            consumer_config::DeliverPolicy::New => DeliverPolicy::New,
            consumer_config::DeliverPolicy::ByStartSequence => {
                DeliverPolicy::StartSequence(config.opt_start_seq)
            }
            consumer_config::DeliverPolicy::ByStartTime => DeliverPolicy::StartTime(
                config.opt_start_time.map_or(0, super::super::timestamp::Timestamp::unix_ns),
            ),
            consumer_config::DeliverPolicy::LastPerSubject => DeliverPolicy::LastPerSubject,
        },
        acknowledge: match config.ack_policy {
            consumer_config::AckPolicy::None => AckPolicy::None,
            consumer_config::AckPolicy::All => AckPolicy::All,
            consumer_config::AckPolicy::Explicit => AckPolicy::Explicit,
            consumer_config::AckPolicy::FlowControl => AckPolicy::FlowControl,
        },
        replay: match config.replay_policy {
            consumer_config::ReplayPolicy::Instant => ReplayPolicy::Instant,
            consumer_config::ReplayPolicy::Original => ReplayPolicy::Original,
        },
        filters,
        ack_wait_ns: u64::try_from(config.ack_wait_ns).unwrap_or(0),
        backoff_ns: config
            .backoff_ns
            .iter()
            .map(|wait| u64::try_from(*wait).unwrap_or(0))
            .collect(),
        deliveries_max: u32::try_from(config.max_deliver).ok().and_then(NonZeroU32::new),
        ack_pending_max: usize::try_from(config.max_ack_pending).ok().and_then(NonZeroUsize::new),
        headers_only: config.headers_only,
        sample_percent: sample_percent(&config.sample_freq),
        inactive_threshold_ns: positive(config.inactive_threshold_ns),
        paused_until_unix_ns: config
            .pause_until
            .filter(|until| !until.is_zero())
            .map(super::super::timestamp::Timestamp::unix_ns),
        mode,
    }
}

/// `"30"` or `"30%"` as a number; what was checked is from 0 to 100.
fn sample_percent(text: &str) -> u8 {
    text.strip_suffix('%').unwrap_or(text).trim().parse().unwrap_or(0).min(100)
}
