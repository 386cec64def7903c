//! The names of the headers by which publishers, servers and consumers speak to each other.

/// Which stream a publisher expects.
pub const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
/// Which sequence the last message of the stream is expected to have.
pub const EXPECTED_LAST_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
/// Which sequence the last message of the subject is expected to have.
pub const EXPECTED_LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
/// Which subject that is about, if not the message's own.
pub const EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: &str =
    "Nats-Expected-Last-Subject-Sequence-Subject";
/// Which id the last message of the stream is expected to have.
pub const EXPECTED_LAST_MESSAGE_ID: &str = "Nats-Expected-Last-Msg-Id";
/// The id by which a stream knows that it has a message already.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// Messages that this one takes the place of: `sub` or `all`.
pub const ROLLUP: &str = "Nats-Rollup";
/// How long the message is kept.
pub const TTL: &str = "Nats-TTL";
/// By how much a counter changes.
pub const INCREMENT: &str = "Nats-Incr";
/// The parts of a counter's value by the streams they come from.
pub const COUNTER_SOURCES: &str = "Nats-Counter-Sources";
/// When the message is published.
pub const SCHEDULE: &str = "Nats-Schedule";
/// Where a scheduled message is published.
pub const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";
/// The subject whose last message is published instead of the scheduled message itself.
pub const SCHEDULE_SOURCE: &str = "Nats-Schedule-Source";
/// How long what a schedule publishes is kept.
pub const SCHEDULE_TTL: &str = "Nats-Schedule-TTL";
/// The time zone of a schedule.
pub const SCHEDULE_TIME_ZONE: &str = "Nats-Schedule-Time-Zone";
/// What a schedule publishes takes the place of earlier messages: `sub`.
pub const SCHEDULE_ROLLUP: &str = "Nats-Schedule-Rollup";
/// The schedule that published the message.
pub const SCHEDULER: &str = "Nats-Scheduler";
/// When the schedule publishes next, or `purge`.
pub const SCHEDULE_NEXT: &str = "Nats-Schedule-Next";
/// The batch that a message belongs to.
pub const BATCH_ID: &str = "Nats-Batch-Id";
/// The message's place in the batch.
pub const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
/// This is the last message of the batch.
pub const BATCH_COMMIT: &str = "Nats-Batch-Commit";
/// Why a server put a marker in the place of messages: `MaxAge`, `Purge` or `Remove`.
pub const MARKER_REASON: &str = "Nats-Marker-Reason";
/// The stream a message was read from.
pub const STREAM: &str = "Nats-Stream";
/// The subject of a message that was read from a stream.
pub const SUBJECT: &str = "Nats-Subject";
/// The sequence of a message that was read from a stream.
pub const SEQUENCE: &str = "Nats-Sequence";
/// When a message that was read from a stream was stored.
pub const TIME_STAMP: &str = "Nats-Time-Stamp";
/// The sequence of the message before.
pub const LAST_SEQUENCE: &str = "Nats-Last-Sequence";
/// How many messages follow.
pub const NUM_PENDING: &str = "Nats-Num-Pending";
/// Where a message comes from that a stream collected from another.
pub const STREAM_SOURCE: &str = "Nats-Stream-Source";
/// How many bytes the payload has that a consumer left out.
pub const MESSAGE_SIZE: &str = "Nats-Msg-Size";
/// In a heartbeat: the consumer sequence delivered last.
pub const LAST_CONSUMER: &str = "Nats-Last-Consumer";
/// In a heartbeat: the stream sequence delivered last.
pub const LAST_STREAM: &str = "Nats-Last-Stream";
/// In a heartbeat: the flow control request that has no answer yet.
pub const CONSUMER_STALLED: &str = "Nats-Consumer-Stalled";
/// How many messages a pull request did not get.
pub const PENDING_MESSAGES: &str = "Nats-Pending-Messages";
/// How many bytes a pull request did not get.
pub const PENDING_BYTES: &str = "Nats-Pending-Bytes";
/// Who is pinned.
pub const PIN_ID: &str = "Nats-Pin-Id";
/// What a client expects a server to offer.
pub const REQUIRED_API_LEVEL: &str = "Nats-Required-Api-Level";
