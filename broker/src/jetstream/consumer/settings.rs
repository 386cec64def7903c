//! What a consumer is asked to do, as values that are already checked.
//!
//! It refuses to know JSON, defaults and error codes: whoever fills this in has applied them.
//! Units are in the names. A value that means "no limit" on the wire (0 or -1) is `None` here.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use super::Filters;

/// Settings of one consumer.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Where delivery starts. Read when the consumer is made, and for what a reset allows.
    pub deliver: DeliverPolicy,
    /// Which acknowledgements are expected.
    pub acknowledge: AckPolicy,
    /// How fast messages of before are delivered.
    pub replay: ReplayPolicy,
    /// Which subjects; none means all.
    pub filters: Filters,
    /// How long a delivered message may stay unacknowledged before it is delivered again.
    /// 0: for ever, as with [`AckPolicy::FlowControl`].
    pub ack_wait_ns: u64,
    /// The same for the first, second and each further delivery; the last one repeats.
    /// When there are any, `ack_wait_ns` is not used.
    pub backoff_ns: Vec<u64>,
    /// How often a message is delivered at most.
    pub deliveries_max: Option<NonZeroU32>,
    /// How many messages may wait for acknowledgement; then nothing new is delivered.
    pub ack_pending_max: Option<NonZeroUsize>,
    /// Deliver headers and the size of the payload instead of the payload.
    pub headers_only: bool,
    /// How many acknowledgements of a hundred make a metric.
    pub sample_percent: u8,
    /// Without any use for so long, the consumer asks to be deleted.
    pub inactive_threshold_ns: Option<NonZeroU64>,
    /// Nothing is delivered before this unix time.
    pub paused_until_unix_ns: Option<i64>,
    /// Who asks for messages.
    pub mode: Mode,
}

/// Where delivery starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverPolicy {
    /// At the first message.
    All,
    /// At the last message that matches.
    Last,
    /// At the first message stored after the consumer was made.
    New,
    /// At a sequence.
    StartSequence(u64),
    /// At the first message stored at or after a unix time in nanoseconds.
    StartTime(i64),
    /// With the last message of each subject; then everything new.
    LastPerSubject,
}

/// Which acknowledgements a consumer expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckPolicy {
    /// None: what is sent is done.
    None,
    /// One for a message is one for all before it.
    All,
    /// One for each message.
    Explicit,
    /// Answers to flow control say up to where everything is processed.
    FlowControl,
}

/// How fast messages are delivered that were there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// As fast as they are taken.
    Instant,
    /// With the pauses they were stored with.
    Original,
}

/// Who starts a delivery.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Clients ask for batches.
    Pull(PullSettings),
    /// Messages are sent to a subject as long as somebody listens.
    Push(PushSettings),
}

/// Settings that only a pull consumer has.
#[derive(Clone, Debug)]
pub struct PullSettings {
    /// Requests that may wait at the same time.
    pub waiting_max: usize,
    /// Messages one request may ask for.
    pub batch_max: Option<NonZeroU64>,
    /// How long one request may wait.
    pub expires_max_ns: Option<NonZeroU64>,
    /// Bytes one request may ask for.
    pub bytes_max: Option<NonZeroU64>,
    /// Which of the waiting requests is served.
    pub priority: PriorityPolicy,
    /// The groups a request must name one of when there is a priority policy.
    pub groups: Vec<Box<str>>,
}

/// Which of several waiting requests gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorityPolicy {
    /// All in turn.
    None,
    /// All in turn, but a request may say how much must be waiting before it is served.
    Overflow,
    /// One client alone, until it has not asked for so long.
    Pinned {
        /// How long a pin lasts after the last request of its client.
        timeout_ns: u64,
    },
    /// In turn among those with the lowest number.
    Prioritized,
}

/// Settings that only a push consumer has.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// Where messages are sent.
    pub deliver_subject: Box<[u8]>,
    /// After so long without a message an empty one says that the consumer is alive.
    pub heartbeat_ns: Option<NonZeroU64>,
    /// Whether the receiver is asked to confirm what it has taken before more is sent.
    pub flow_control: bool,
    /// How fast bytes are sent.
    pub rate: Option<RateSettings>,
}

/// A limit on the speed of a push consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// Bits per second.
    pub bits_per_second: NonZeroU64,
    /// Bytes that may be sent at once after a pause: the largest message there can be.
    pub burst_bytes: NonZeroU64,
}

impl ConsumerSettings {
    /// A pull consumer with explicit acknowledgement, 30 s to acknowledge, 1,000 messages on
    /// their way and 512 waiting requests, for everything in the stream: what nats-server makes
    /// of a durable pull consumer with nothing else said.
    #[must_use]
    pub fn pull() -> Self {
        Self {
            deliver: DeliverPolicy::All,
            acknowledge: AckPolicy::Explicit,
            replay: ReplayPolicy::Instant,
            filters: Filters::all(),
            ack_wait_ns: 30_000_000_000,
            backoff_ns: Vec::new(),
            deliveries_max: None,
            ack_pending_max: NonZeroUsize::new(1000),
            headers_only: false,
            sample_percent: 0,
            inactive_threshold_ns: None,
            paused_until_unix_ns: None,
            mode: Mode::Pull(PullSettings::default()),
        }
    }

    /// How long the acknowledgement of a delivery is waited for, 0 for ever. `deliveries` counts
    /// from 1.
    #[inline]
    #[must_use]
    pub(super) fn wait_ns(&self, deliveries: u32) -> u64 {
        match self.backoff_ns.len() {
            0 => self.ack_wait_ns,
            length => self.backoff_ns[(deliveries.max(1) as usize - 1).min(length - 1)],
        }
    }

    /// Whether a message delivered so often is not delivered again.
    #[inline]
    pub(super) fn is_last_delivery(&self, deliveries: u32) -> bool {
        self.deliveries_max.is_some_and(|max| deliveries >= max.get())
    }
}

impl Default for PullSettings {
    fn default() -> Self {
        Self {
            waiting_max: 512,
            batch_max: None,
            expires_max_ns: None,
            bytes_max: None,
            priority: PriorityPolicy::None,
            groups: Vec::new(),
        }
    }
}
