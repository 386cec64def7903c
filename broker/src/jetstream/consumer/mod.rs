//! A consumer: which messages of a stream were handed on, to whom, and what became of them.
//!
//! It is a state machine that does no I/O: bytes, time and the seed of its randomness are
//! arguments. It sees its stream through [`Messages`], and what it has to say goes into a
//! [`Sink`]. One call follows the other; nothing here locks, sleeps or looks at a clock.
//!
//! # How it is driven
//!
//! ```text
//!  handle_request ─┐
//!  handle_ack ─────┤                        ┌──► Sink: messages, statuses, advisories
//!  handle_appended ┼──► state ──► poll ─────┤
//!  handle_removed ─┤                 ▲      └──► Progress: more to do? delete me?
//!  handle_interest ┘                 │
//!                        next_timeout┘
//! ```
//!
//! Whatever happened, [`poll`](Consumer::poll) is called afterwards, once for any number of
//! events, and again at [`next_timeout`](Consumer::next_timeout). It does all that is due, then
//! delivers as much as it may. Nothing is ever delivered outside `poll`.
//!
//! Only what its stream shows is there for a consumer. The owner tells it about each message that
//! leaves ([`handle_removed`](Consumer::handle_removed), or
//! [`handle_purged`](Consumer::handle_purged) after many), and may tell it about each one that
//! becomes visible ([`handle_appended`](Consumer::handle_appended)): that is cheaper than counting,
//! which is what happens otherwise.
//!
//! # What is kept
//!
//! [`take_change`](Consumer::take_change) writes what happened since it was called last. Replies
//! to acknowledgements ([`Sink::reply_when_durable`]) are sent when the change that is taken next
//! is kept. [`State`] reads snapshots and changes back, [`Consumer::restore`] goes on from there.
//! A delivery that was not kept happens again; an acknowledgement whose reply was sent was kept.
//!
//! # Where things are
//!
//! | file | noun |
//! |---|---|
//! | `settings` | what it is asked to do |
//! | `backlog` | what is still to be delivered: the place in the stream, and the exact count |
//! | `ledger`, `window` | what was delivered and is not done with |
//! | `deadlines`, `redelivery` | when that is delivered again, and in which order |
//! | `requests`, `pull`, `pull_request` | who asks for messages |
//! | `push`, `flow`, `pace` | who gets them without asking, and how fast |
//! | `deliver` | one poll |
//! | `acknowledge`, `ack` | what clients say about deliveries |
//! | `journal`, `state` | what survives a restart |
//! | `watchdog` | what must hold, what to do if it does not, and what it waits for, in words |
//!
//! # Where it differs from nats-server, on purpose
//!
//! - An acknowledgement of everything up to a message counts by the stream's sequence, also after
//!   the message was delivered again; there it is ignored when a later delivery was numbered
//!   lower.
//! - A refused message with no delivery left leaves at once, not at the next request.
//! - "Still working" takes a message back that is due and was not delivered again yet.
//! - A pause asked for with a refusal is that long, whatever the backoff.
//! - A pin is given to a client that listens, not to one that is gone.
//! - A request that is refused for its size leaves the message where it was, also in the queue of
//!   those that are delivered again.
//! - A message that is deleted is done with alone, also where one acknowledgement counts for all
//!   before it; and the advisory says how often it was delivered, which there is one less.
//! - What a purge takes does not wait for acknowledgement any more, whatever its filter, and what
//!   that makes room for is delivered at once.
//! - What "last per subject" still has to deliver is counted as it will be delivered, also behind
//!   the end that the stream had at first and after a restart.

mod ack;
mod acknowledge;
mod backlog;
mod deadlines;
mod deliver;
mod flow;
mod info;
mod journal;
mod ledger;
mod messages;
mod pace;
mod pull;
mod pull_request;
mod push;
mod redelivery;
mod requests;
mod settings;
mod sink;
mod state;
mod status;
mod stored;
mod watchdog;
mod window;

use std::num::NonZeroU64;

use fastrand::Rng;

pub use ack::{ACK_PREFIX, AckBody, AckSubject};
pub use deliver::{Budget, Progress};
pub use fulmar_storage::Filters;
pub use info::{Info, PinInfo};
pub use ledger::Position;
pub use messages::{Delivery, Messages};
pub use pull::ClosedFor;
pub use settings::{
    AckPolicy, ConsumerSettings, DeliverPolicy, Mode, PriorityPolicy, PullSettings, PushSettings,
    RateSettings, ReplayPolicy,
};
pub use sink::{Advisory, Sink};
pub use state::{State, StateError};
pub use watchdog::Fault;

use ack::AckReply;
use backlog::{Backlog, Selection};
use deadlines::Deadlines;
use deliver::WaitsFor;
use journal::{Ends, Journal};
use ledger::{Ledger, SEQUENCE_MAX, Settled};
use pace::Replay;
use pull::Pull;
use push::Push;
use redelivery::Redelivery;

use crate::jetstream::time::{NEVER_NS, Now};

/// The reason that is given when a message leaves the stream before it is acknowledged.
const REASON_DELETED: &[u8] = b"Unacknowledged message was deleted";
/// What is added to the inactive threshold of a consumer that clients ask, so that many made
/// together do not go together: at least this,
const INACTIVE_JITTER_NS_MIN: u64 = 100_000_000;
/// and less than this.
const INACTIVE_JITTER_NS_MAX: u64 = 1_000_000_000;

/// Which consumer it is: the names in its subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The stream's name.
    pub stream: String,
    /// The consumer's name.
    pub consumer: String,
}

/// A consumer. See the [module](self).
#[derive(Debug)]
pub struct Consumer {
    identity: Identity,
    settings: ConsumerSettings,
    backlog: Backlog,
    ledger: Ledger,
    deadlines: Deadlines,
    redelivery: Redelivery,
    side: Side,
    journal: Journal,
    /// Unix times, 0 for never.
    last_delivery_ns: i64,
    last_ack_ns: i64,
    replay: Option<Replay>,
    /// Delivery is paused, and those who watch were told.
    is_paused: bool,
    activity: Activity,
    random: Rng,
    waits_for: WaitsFor,
    polls: u64,
    /// Buffers that are used again and again.
    ack_reply: AckReply,
    headers: Vec<u8>,
    status: String,
    due: Vec<u64>,
}

/// Who gets the messages.
#[derive(Debug)]
enum Side {
    Pull(Pull),
    Push(Push),
}

/// When the consumer was used, and when it will have been unused for too long.
#[derive(Debug)]
struct Activity {
    /// Threshold with jitter, [`NEVER_NS`] without one.
    threshold_ns: u64,
    last: u64,
    /// When to look whether it is unused.
    look_at: u64,
}

/// Why a consumer cannot be reset to a sequence. The texts are nats-server's, behind
/// `invalid reset: `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// The deliver policy does not start at a sequence or time.
    #[error("not allowed")]
    NotAllowed,
    /// It is before the first sequence that the deliver policy allows.
    #[error("below start seq")]
    BelowStartSequence,
    /// It is before the first message that the deliver policy allows.
    #[error("below start time")]
    BelowStartTime,
}

impl Consumer {
    /// A new consumer. It starts where its deliver policy says, given the stream as it is now.
    /// The same seed makes the same consumer.
    pub fn new(
        identity: Identity,
        settings: ConsumerSettings,
        now: Now,
        messages: &impl Messages,
        seed: u64,
    ) -> Self {
        let (start, selection) = start(&settings, messages);
        let backlog = Backlog::new(start, selection);
        let ledger = Ledger::new(start);
        Self::assemble(identity, settings, now, messages, seed, backlog, ledger)
    }

    /// A consumer that goes on where it was. What was on its way stays so until its time is over,
    /// measured by unix time; if that went back meanwhile, from the last event that is known.
    pub fn restore(
        identity: Identity,
        settings: ConsumerSettings,
        state: State,
        now: Now,
        messages: &impl Messages,
        seed: u64,
    ) -> Self {
        let State { next, selection, mut ledger, last_delivery_ns, last_ack_ns } = state;
        if settings.acknowledge == AckPolicy::None {
            ledger = Ledger::at(ledger.delivered(), ledger.delivered());
        }
        let unix_ns = now.unix_ns.max(last_delivery_ns).max(last_ack_ns);
        let then = Now { unix_ns, ..now };
        for entry in ledger.window_mut().iter_mut() {
            entry.deadline = match settings.wait_ns(entry.deliveries) {
                0 => NEVER_NS,
                _ => then.monotonic_of(entry.deadline.cast_signed()),
            };
        }
        let next = next.max(ledger.delivered().stream + 1);
        let backlog = Backlog::new(next, selection);
        let mut consumer = Self::assemble(identity, settings, now, messages, seed, backlog, ledger);
        consumer.last_delivery_ns = last_delivery_ns;
        consumer.last_ack_ns = last_ack_ns;
        consumer.deadlines.rebuild(consumer.ledger.window());
        consumer.drop_missing(messages);
        consumer.journal.clear();
        consumer
    }

    fn assemble(
        identity: Identity,
        settings: ConsumerSettings,
        now: Now,
        messages: &impl Messages,
        seed: u64,
        mut backlog: Backlog,
        ledger: Ledger,
    ) -> Self {
        let mut random = Rng::with_seed(seed);
        backlog.recount(&settings.filters, messages);
        let side = match &settings.mode {
            Mode::Pull(pull) => Side::Pull(Pull::new(pull)),
            Mode::Push(push) => Side::Push(Push::new(push, now)),
        };
        let replay = match settings.replay {
            ReplayPolicy::Instant => None,
            ReplayPolicy::Original => Some(Replay::new(messages.last_sequence())),
        };
        let activity = Activity::new(&settings, now, &mut random);
        Self {
            ack_reply: AckReply::new(&identity.stream, &identity.consumer),
            identity,
            settings,
            backlog,
            ledger,
            deadlines: Deadlines::default(),
            redelivery: Redelivery::default(),
            side,
            journal: Journal::new(),
            last_delivery_ns: 0,
            last_ack_ns: 0,
            replay,
            is_paused: false,
            activity,
            random,
            waits_for: WaitsFor::Messages,
            polls: 0,
            headers: Vec::new(),
            status: String::new(),
            due: Vec::new(),
        }
    }

    /// Which consumer it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it is asked to do.
    #[must_use]
    pub fn settings(&self) -> &ConsumerSettings {
        &self.settings
    }

    /// Whether acknowledgements mean anything to it: otherwise nobody listens to their subjects.
    #[must_use]
    pub fn takes_acks(&self) -> bool {
        matches!(self.settings.acknowledge, AckPolicy::Explicit | AckPolicy::All)
    }

    /// Replaces the settings; the caller has checked that they may be. Deliver, ack and replay
    /// policy are read by nothing that was before, and a consumer stays pull or push.
    pub fn update(
        &mut self,
        settings: ConsumerSettings,
        now: Now,
        messages: &impl Messages,
        sink: &mut impl Sink,
    ) {
        let before = std::mem::replace(&mut self.settings, settings);
        let settings = &self.settings;
        if before.ack_wait_ns != settings.ack_wait_ns || before.backoff_ns != settings.backoff_ns {
            for entry in self.ledger.window_mut().iter_mut() {
                let sent = entry.deadline.saturating_sub(before.wait_ns(entry.deliveries));
                entry.deadline = match (entry.deadline, settings.wait_ns(entry.deliveries)) {
                    (_, 0) => NEVER_NS,
                    (NEVER_NS, wait) => now.after(wait),
                    (_, wait) => sent.saturating_add(wait),
                };
            }
            self.deadlines.rebuild(self.ledger.window());
            self.journal.need_snapshot();
        }
        if before.inactive_threshold_ns != settings.inactive_threshold_ns {
            self.activity = Activity::new(settings, now, &mut self.random);
            if matches!(&self.side, Side::Push(push) if push.is_active) {
                self.activity.look_at = NEVER_NS;
            }
        }
        let was_sent_elsewhere = match (&mut self.side, &before.mode, &settings.mode) {
            (Side::Pull(pull), _, Mode::Pull(settings)) => {
                pull.update(settings);
                false
            }
            (Side::Push(push), Mode::Push(before), Mode::Push(settings)) => {
                push.update(before, settings, now)
            }
            _ => {
                debug_assert!(false, "a consumer stays pull or push");
                false
            }
        };
        if was_sent_elsewhere {
            self.redeliver_all(sink);
        }
        if before.filters != self.settings.filters {
            self.backlog.recount(&self.settings.filters, messages);
        }
        if before.paused_until_unix_ns != self.settings.paused_until_unix_ns {
            self.is_paused = self.pause_left_ns(now) > 0;
            let until_unix_ns = self.settings.paused_until_unix_ns;
            sink.advisory(Advisory::Paused { paused: self.is_paused, until_unix_ns });
        }
    }

    /// A message became visible. Optional: what is not told is counted. If it is told, then for
    /// every visible message in order, and only for those that are still there. Whether the
    /// consumer waits for this one: if not, there is no need to poll for it.
    #[inline]
    pub fn handle_appended(&mut self, sequence: u64, subject: &[u8]) -> bool {
        let matches = self.settings.filters.matches(subject);
        self.backlog.appended(sequence, matches);
        matches && self.waits_for_messages()
    }

    /// Whether a message that matches is what the consumer waits for. While it waits for anything
    /// else, a pull request for instance, it need not be polled when messages come.
    #[inline]
    #[must_use]
    pub fn waits_for_messages(&self) -> bool {
        matches!(self.waits_for, WaitsFor::Messages | WaitsFor::OtherRequest | WaitsFor::Poll)
    }

    /// A visible message left the stream, for whatever reason but an acknowledgement to this
    /// consumer.
    pub fn handle_removed(
        &mut self,
        now: Now,
        sequence: u64,
        subject: &[u8],
        sink: &mut impl Sink,
    ) {
        let filters = &self.settings.filters;
        self.backlog.removed(sequence, || filters.matches(subject));
        if self.settle_missing(sequence, Some(sink)) {
            self.note_ack(now);
        }
    }

    /// Many messages left the stream.
    pub fn handle_purged(&mut self, now: Now, messages: &impl Messages) {
        if self.drop_missing(messages) {
            self.note_ack(now);
        }
        self.ledger.pass(messages.first_sequence());
        self.backlog.recount(&self.settings.filters, messages);
        self.journal.need_snapshot();
    }

    /// Whether this consumer still needs a message: it is to be delivered, waits for its
    /// acknowledgement, or was delivered as often as it may be and not acknowledged. Streams that
    /// keep what somebody wants ask this.
    #[must_use]
    pub fn wants(&self, sequence: u64, subject: &[u8]) -> bool {
        self.ledger.window().get(sequence).is_some()
            || self.ledger.exceeded().contains_key(&sequence)
            || (self.backlog.is_ahead(sequence) && self.settings.filters.matches(subject))
    }

    /// Starts again at a sequence, or behind what is acknowledged when it is 0. Returns the
    /// sequence.
    ///
    /// # Errors
    ///
    /// [`ResetError`] if the deliver policy does not allow that sequence; nothing has changed.
    pub fn reset(&mut self, sequence: u64, messages: &impl Messages) -> Result<u64, ResetError> {
        let sequence = match (sequence, self.settings.deliver) {
            (0, _) => self.ledger.floor().stream + 1,
            (_, DeliverPolicy::All) => sequence,
            (_, DeliverPolicy::StartSequence(start)) if sequence < start => {
                return Err(ResetError::BelowStartSequence);
            }
            (_, DeliverPolicy::StartSequence(_)) => sequence,
            (_, DeliverPolicy::StartTime(unix_ns)) => {
                if sequence < messages.sequence_at_time(unix_ns) {
                    return Err(ResetError::BelowStartTime);
                }
                sequence
            }
            _ => return Err(ResetError::NotAllowed),
        };
        let sequence = sequence.min(SEQUENCE_MAX);
        self.backlog.go_to(sequence);
        self.backlog.recount(&self.settings.filters, messages);
        self.ledger = Ledger::new(sequence);
        self.deadlines = Deadlines::default();
        self.redelivery = Redelivery::default();
        self.last_delivery_ns = 0;
        self.last_ack_ns = 0;
        self.journal.need_snapshot();
        Ok(sequence)
    }

    /// Whether anything happened since the last [`take_change`](Self::take_change).
    #[inline]
    #[must_use]
    pub fn has_change(&self) -> bool {
        !self.journal.is_empty()
    }

    /// Writes what happened since the last time behind what is in `into`; `false` and nothing if
    /// nothing did. The first change of a consumer, and any that would be long, is a
    /// [snapshot](Self::snapshot).
    pub fn take_change(&mut self, now: Now, into: &mut Vec<u8>) -> bool {
        if self.journal.is_empty() {
            return false;
        }
        if self.journal.is_whole() {
            self.snapshot(now, into);
        } else {
            self.journal.take(into, self.ends());
        }
        true
    }

    /// Writes everything behind what is in `into`: it replaces all changes before it, also those
    /// not taken yet.
    pub fn snapshot(&mut self, now: Now, into: &mut Vec<u8>) {
        self.journal.clear();
        state::encode(into, self.ends(), self.backlog.selection(), &self.ledger, |entry| {
            if entry.ticket != 0 { now.unix_ns } else { now.unix_of(entry.deadline) }
        });
    }

    fn ends(&self) -> Ends {
        Ends {
            next: self.backlog.next(),
            delivered: self.ledger.delivered(),
            last_delivery_ns: self.last_delivery_ns,
            last_ack_ns: self.last_ack_ns,
        }
    }

    /// Counts what became visible.
    #[inline]
    fn sync(&mut self, messages: &impl Messages) {
        self.backlog.sync(&self.settings.filters, messages);
    }

    /// The consumer was used.
    #[inline]
    fn touch(&mut self, now: Now) {
        self.activity.last = now.monotonic_ns;
        if self.activity.look_at != NEVER_NS {
            self.activity.look_at =
                self.activity.look_at.min(now.after(self.activity.threshold_ns));
        }
    }

    /// How long nothing may be delivered yet.
    #[inline]
    fn pause_left_ns(&self, now: Now) -> u64 {
        match self.settings.paused_until_unix_ns {
            None => 0,
            Some(until) => u64::try_from(until.saturating_sub(now.unix_ns)).unwrap_or(0),
        }
    }

    /// No more messages may be on their way.
    #[inline]
    fn is_ack_pending_full(&self) -> bool {
        self.settings.ack_pending_max.is_some_and(|max| self.ledger.window().len() >= max.get())
    }

    /// A waiting message is delivered again, if it may be.
    fn redeliver_or_exceed(&mut self, stream: u64, sink: &mut impl Sink) {
        let Some(entry) = self.ledger.window().get(stream).copied() else { return };
        if self.settings.is_last_delivery(entry.deliveries) {
            self.exceed(stream, sink);
        } else {
            self.redelivery.push(stream, self.ledger.window_mut());
        }
    }

    /// A waiting message was delivered as often as it may be.
    fn exceed(&mut self, stream: u64, sink: &mut impl Sink) {
        let Some(entry) = self.ledger.exceed(stream) else { return };
        self.redelivery.forget(entry.ticket);
        self.journal.exceeded(stream);
        let deliveries = u64::from(entry.deliveries);
        sink.advisory(Advisory::MaxDeliveries { stream_sequence: stream, deliveries });
    }

    /// Everything that is on its way is delivered again at once.
    fn redeliver_all(&mut self, sink: &mut impl Sink) {
        let waiting: Vec<u64> = self.ledger.window().iter().map(|entry| entry.stream).collect();
        for stream in waiting {
            self.redeliver_or_exceed(stream, sink);
        }
    }

    /// A message that left the stream is done with. Whether it waited for its acknowledgement.
    fn settle_missing<S: Sink>(&mut self, sequence: u64, sink: Option<&mut S>) -> bool {
        match self.ledger.settle(sequence) {
            Settled::Unknown => false,
            Settled::Exceeded => {
                self.journal.settled(sequence);
                false
            }
            Settled::Waiting(entry) => {
                self.redelivery.forget(entry.ticket);
                self.journal.settled(sequence);
                if let Some(sink) = sink {
                    sink.advisory(Advisory::Terminated {
                        consumer_sequence: entry.consumer,
                        stream_sequence: sequence,
                        deliveries: u64::from(entry.deliveries),
                        reason: REASON_DELETED,
                    });
                }
                true
            }
        }
    }

    /// Everything that is not in the stream any more is done with. Whether any of it waited for
    /// its acknowledgement.
    fn drop_missing(&mut self, messages: &impl Messages) -> bool {
        let everything = Filters::all();
        let is_missing =
            |stream: &u64| messages.next_matching(&everything, *stream) != Some(*stream);
        let waiting = self.ledger.window().iter().map(|entry| entry.stream);
        let known = waiting.chain(self.ledger.exceeded().keys().copied());
        let missing: Vec<u64> = known.filter(is_missing).collect();
        let mut has_waited = false;
        for stream in missing {
            has_waited |= self.settle_missing::<NoSink>(stream, None);
        }
        self.backlog.pass(messages.first_sequence());
        has_waited
    }
}

impl Activity {
    fn new(settings: &ConsumerSettings, now: Now, random: &mut Rng) -> Self {
        let jitter_ns = match settings.mode {
            Mode::Pull(_) => random.u64(INACTIVE_JITTER_NS_MIN..INACTIVE_JITTER_NS_MAX),
            Mode::Push(_) => 0,
        };
        let threshold_ns = settings
            .inactive_threshold_ns
            .map_or(NEVER_NS, NonZeroU64::get)
            .saturating_add(jitter_ns);
        Self { threshold_ns, last: now.monotonic_ns, look_at: now.after(threshold_ns) }
    }
}

/// Where a new consumer starts: the first sequence it may deliver, and what goes first.
fn start(settings: &ConsumerSettings, messages: &impl Messages) -> (u64, Option<Selection>) {
    let first = messages.first_sequence();
    let last = messages.last_sequence();
    let filters = &settings.filters;
    let start = match settings.deliver {
        DeliverPolicy::StartSequence(sequence) => {
            return (sequence.clamp(first.max(1), SEQUENCE_MAX), None);
        }
        _ if first == 0 => return (1, None),
        DeliverPolicy::All => first,
        DeliverPolicy::Last => messages.last_matching(filters).unwrap_or(first),
        DeliverPolicy::New => last + 1,
        DeliverPolicy::StartTime(unix_ns) => messages.sequence_at_time(unix_ns),
        DeliverPolicy::LastPerSubject => {
            let sequences = messages.last_per_subject(filters, last);
            let start = sequences.first().copied().unwrap_or(last + 1);
            return (start, Some(Selection { sequences, done: 0, up_to: last }));
        }
    };
    (start.clamp(first, last.max(first) + 1), None)
}

/// Takes nothing: for what nobody is told.
enum NoSink {}

impl Sink for NoSink {
    fn send(&mut self, _: &[u8], _: &[u8], _: Option<&[u8]>, _: &[u8], _: &[u8]) {}

    fn has_interest(&mut self, _: &[u8]) -> bool {
        false
    }

    fn advisory(&mut self, _: Advisory<'_>) {}

    fn acknowledged(&mut self, _: u64) {}

    fn reply_when_durable(&mut self, _: &[u8]) {}
}

#[cfg(test)]
mod tests;
