//! The bodies of API requests, each read once into a type that keeps its rules.
//!
//! Whether what they name exists is not known here. `strict` is the server's setting: with it a
//! field that nobody knows is refused.

use super::api_subject::Operation;
use super::consumer_config::CreateConsumerRequest;
use super::error::{self, ApiError};
use super::json::{self, Object, fields};
use super::response::StreamState;
use super::stream_config::{StreamConfig, StreamConfigRequest};
use super::subjects;
use super::timestamp::Timestamp;

/// Checks that a request that takes no body has none: nothing, or an object without members.
///
/// # Errors
///
/// It has one.
pub fn require_empty(body: &[u8]) -> Result<(), ApiError> {
    if json::is_empty_request(body) { Ok(()) } else { Err(error::NOT_EMPTY_REQUEST) }
}

/// Reads the body of `STREAM.CREATE` or `STREAM.UPDATE`.
///
/// # Errors
///
/// It is no such JSON.
pub fn stream_config(body: &[u8], strict: bool) -> Result<StreamConfigRequest, ApiError> {
    read(body, strict)
}

/// Reads the body of `CONSUMER.CREATE`; [`CreateConsumerRequest::resolve`] is next.
///
/// # Errors
///
/// It is no such JSON.
pub fn consumer_config(body: &[u8], strict: bool) -> Result<CreateConsumerRequest, ApiError> {
    read(body, strict)
}

/// The body of a request for a list of streams or consumers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// The first entry that is asked for; not negative.
    pub offset: i64,
    /// Only streams with a subject that this filter meets; empty is all.
    pub subject: String,
}

impl ListRequest {
    /// Reads the body of `STREAM.NAMES` or `STREAM.LIST`.
    ///
    /// # Errors
    ///
    /// It is an object or array, and no such JSON.
    pub fn of_streams(
        operation: Operation<'_>,
        body: &[u8],
        strict: bool,
    ) -> Result<Self, ApiError> {
        Ok(if operation == Operation::StreamNames {
            let StreamNamesRequest { offset, subject } = read_optional(body, strict)?;
            Self { offset: offset.max(0), subject }
        } else {
            let StreamListRequest { offset, subject } = read_optional(body, strict)?;
            Self { offset: offset.max(0), subject }
        })
    }

    /// Reads the body of `CONSUMER.NAMES` or `CONSUMER.LIST`.
    ///
    /// # Errors
    ///
    /// It is an object or array, and no such JSON.
    pub fn of_consumers(body: &[u8], strict: bool) -> Result<Self, ApiError> {
        let ConsumersRequest { offset } = read_optional(body, strict)?;
        Ok(Self { offset: offset.max(0), subject: String::new() })
    }

    /// Whether a stream with these subjects is asked for.
    pub fn asks_for(&self, config: &StreamConfig) -> bool {
        self.subject.is_empty()
            || config.subjects.iter().any(|stored| subjects::collide(&self.subject, stored))
    }
}

#[derive(Default)]
struct StreamNamesRequest {
    offset: i64,
    subject: String,
}

fields!(StreamNamesRequest, "JSApiStreamNamesRequest" {
    offset: "offset" as "int",
    subject: "subject",
});

#[derive(Default)]
struct StreamListRequest {
    offset: i64,
    subject: String,
}

fields!(StreamListRequest, "JSApiStreamListRequest" {
    offset: "offset" as "int",
    subject: "subject",
});

#[derive(Default)]
struct ConsumersRequest {
    offset: i64,
}

fields!(ConsumersRequest, "JSApiConsumersRequest" {
    offset: "offset" as "int",
});

/// The body of `STREAM.INFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamInfoRequest {
    /// The first subject that is asked for; not negative.
    pub offset: i64,
    /// List the sequences that are gone.
    pub deleted_details: bool,
    /// Count the messages of each subject that this filter matches; empty counts none.
    pub subjects_filter: String,
}

fields!(StreamInfoRequest, "JSApiStreamInfoRequest" {
    offset: "offset" as "int",
    deleted_details: "deleted_details",
    subjects_filter: "subjects_filter",
});

impl StreamInfoRequest {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// It is an object or array, and no such JSON.
    pub fn parse(body: &[u8], strict: bool) -> Result<Self, ApiError> {
        let request: Self = read_optional(body, strict)?;
        Ok(Self { offset: request.offset.max(0), ..request })
    }
}

/// The body of `STREAM.PURGE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeRequest {
    /// Messages before this sequence go; 0 is all. Not together with `keep`.
    pub sequence: u64,
    /// Only messages of these subjects; empty is all.
    pub filter: String,
    /// So many messages stay.
    pub keep: u64,
}

fields!(PurgeRequest, "JSApiStreamPurgeRequest" {
    sequence: "seq",
    filter: "filter",
    keep: "keep",
});

impl PurgeRequest {
    /// Reads the body; without one everything goes.
    ///
    /// # Errors
    ///
    /// It is an object or array, and no such JSON, or asks for what excludes each other.
    pub fn parse(body: &[u8], strict: bool) -> Result<Self, ApiError> {
        let request: Self = read_optional(body, strict)?;
        if request.sequence > 0 && request.keep > 0 {
            return Err(error::BAD_REQUEST);
        }
        Ok(request)
    }
}

/// The body of `STREAM.MSG.DELETE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageDeleteRequest {
    /// The message.
    pub sequence: u64,
    /// Its bytes may stay on disk.
    pub no_erase: bool,
}

fields!(MessageDeleteRequest, "JSApiMsgDeleteRequest" {
    sequence: "seq",
    no_erase: "no_erase",
});

impl MessageDeleteRequest {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// There is none, or it is no such JSON.
    pub fn parse(body: &[u8], strict: bool) -> Result<Self, ApiError> {
        read_required(body, strict)
    }
}

/// What message is asked for, as it is written in a body.
#[derive(Clone, Debug, Default, PartialEq)]
struct WrittenGet {
    sequence: u64,
    last_by_subject: String,
    next_by_subject: String,
    batch: i64,
    max_bytes: i64,
    start_time: Option<Timestamp>,
    multi_last: Vec<String>,
    up_to_sequence: u64,
    up_to_time: Option<Timestamp>,
    no_headers: bool,
}

fields!(WrittenGet, "JSApiMsgGetRequest" {
    sequence: "seq",
    last_by_subject: "last_by_subj",
    next_by_subject: "next_by_subj",
    batch: "batch" as "int",
    max_bytes: "max_bytes" as "int",
    start_time: "start_time",
    multi_last: "multi_last",
    up_to_sequence: "up_to_seq",
    up_to_time: "up_to_time",
    no_headers: "no_hdr",
});

/// Which message is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with this sequence.
    At(u64),
    /// The first stored then or later.
    Since(Timestamp),
    /// The last of a subject, which may have wildcards.
    LastOf(String),
    /// The first of a subject, which may have wildcards, from a sequence on; 0 is the first.
    NextOf {
        /// The subject.
        subject: String,
        /// From there.
        from: From,
    },
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At this sequence; 0 is the first.
    Sequence(u64),
    /// With messages stored then or later.
    Time(Timestamp),
}

/// The body of `STREAM.MSG.GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageGetRequest {
    /// Which message.
    pub selector: Selector,
    /// Without its headers.
    pub no_headers: bool,
}

impl MessageGetRequest {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// There is none, it is no such JSON, or it asks for what excludes each other.
    pub fn parse(body: &[u8], strict: bool) -> Result<Self, ApiError> {
        let written: WrittenGet = read_required(body, strict)?;
        let selector = written.selector();
        if written.batch > 0 || written.max_bytes > 0 {
            return Err(error::BAD_REQUEST);
        }
        let no_headers = written.no_headers;
        Ok(Self { selector: selector.ok_or(error::BAD_REQUEST)?, no_headers })
    }
}

impl WrittenGet {
    /// The message that is asked for, or `None` if that is not clear.
    fn selector(&self) -> Option<Selector> {
        let (last, next) = (&self.last_by_subject, &self.next_by_subject);
        match (self.sequence, self.start_time, last.is_empty(), next.is_empty()) {
            (0, None, false, true) => Some(Selector::LastOf(last.clone())),
            (sequence, None, true, false) => {
                Some(Selector::NextOf { subject: next.clone(), from: From::Sequence(sequence) })
            }
            (0, Some(time), true, false) => {
                Some(Selector::NextOf { subject: next.clone(), from: From::Time(time) })
            }
            (0, Some(time), true, true) => Some(Selector::Since(time)),
            (1.., None, true, true) => Some(Selector::At(self.sequence)),
            _ => None,
        }
    }
}

/// What is asked for with `DIRECT.GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectGetRequest {
    /// One message.
    One(MessageGetRequest),
    /// Messages one after the other.
    Batch {
        /// The first one; never [`Selector::LastOf`].
        first: MessageGetRequest,
        /// At most so many; negative is none at all.
        messages_max: i64,
        /// At most so many bytes; 0 is what may wait for a client.
        bytes_max: i64,
    },
    /// The last message of each subject.
    MultiLast {
        /// Subjects, which may have wildcards.
        subjects: Vec<String>,
        /// As it was with this message, and at what time; nothing is as it is.
        up_to: Option<From>,
        /// Only messages from this sequence on.
        sequence: u64,
        /// At most so many; 0 is all.
        messages_max: i64,
        /// At most so many bytes; 0 is what may wait for a client.
        bytes_max: i64,
        /// Without their headers.
        no_headers: bool,
    },
}

/// Why a direct get is refused, as a status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectGetError {
    /// Nothing is asked for.
    Empty,
    /// The body is no such JSON.
    Malformed,
    /// What is asked for excludes each other.
    Conflict,
}

impl DirectGetError {
    /// The header block of the answer.
    pub fn header(self) -> &'static [u8] {
        match self {
            Self::Empty => b"NATS/1.0 408 Empty Request\r\n\r\n",
            Self::Malformed => b"NATS/1.0 408 Malformed Request\r\n\r\n",
            Self::Conflict => b"NATS/1.0 408 Bad Request\r\n\r\n",
        }
    }
}

impl DirectGetRequest {
    /// Reads the body of `DIRECT.GET.<stream>`, or of `DIRECT.GET.<stream>.<subject>`.
    ///
    /// # Errors
    ///
    /// What the answer's status says.
    pub fn parse(subject: Option<&str>, body: &[u8]) -> Result<Self, DirectGetError> {
        match subject {
            Some(subject) => Self::of_subject(subject, body),
            None => Self::of_body(body),
        }
    }

    fn of_subject(subject: &str, body: &[u8]) -> Result<Self, DirectGetError> {
        let mut written = WrittenGet::default();
        if !body.is_empty() {
            json::read(body, &mut written).map_err(|_| DirectGetError::Malformed)?;
        }
        let no_headers = written.no_headers;
        // A bound of bytes means nothing here, and is no conflict either.
        let allowed =
            WrittenGet { no_headers, max_bytes: written.max_bytes, ..WrittenGet::default() };
        if subject.is_empty() || written != allowed {
            return Err(DirectGetError::Conflict);
        }
        let selector = Selector::LastOf(subject.to_owned());
        Ok(Self::One(MessageGetRequest { selector, no_headers }))
    }

    fn of_body(body: &[u8]) -> Result<Self, DirectGetError> {
        if body.is_empty() {
            return Err(DirectGetError::Empty);
        }
        let mut written = WrittenGet::default();
        json::read(body, &mut written).map_err(|_| DirectGetError::Malformed)?;
        let WrittenGet { batch: messages_max, max_bytes: bytes_max, no_headers, .. } = written;
        let is_last = !written.last_by_subject.is_empty();
        let has_nothing = written.sequence == 0
            && written.start_time.is_none()
            && !is_last
            && written.next_by_subject.is_empty()
            && written.multi_last.is_empty();
        if has_nothing {
            return Err(DirectGetError::Empty);
        }
        if written.up_to_sequence > 0 && written.up_to_time.is_some() {
            return Err(DirectGetError::Conflict);
        }
        if !written.multi_last.is_empty() {
            let other = is_last || !written.next_by_subject.is_empty();
            if other || (written.sequence > 0 && written.start_time.is_some()) {
                return Err(DirectGetError::Conflict);
            }
            let up_to = match (written.up_to_time, written.up_to_sequence) {
                (Some(time), _) => Some(From::Time(time)),
                (None, 0) => None,
                (None, sequence) => Some(From::Sequence(sequence)),
            };
            return Ok(Self::MultiLast {
                subjects: written.multi_last,
                up_to,
                sequence: written.sequence,
                messages_max,
                bytes_max,
                no_headers,
            });
        }
        let selector = written.selector().ok_or(DirectGetError::Conflict)?;
        let one = MessageGetRequest { selector, no_headers };
        match messages_max {
            0 => Ok(Self::One(one)),
            1.. if is_last => Err(DirectGetError::Conflict),
            _ => Ok(Self::Batch { first: one, messages_max, bytes_max }),
        }
    }
}

/// The body of `STREAM.SNAPSHOT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Where chunks are sent.
    pub deliver_subject: String,
    /// Without consumers.
    pub no_consumers: bool,
    /// Bytes of a chunk.
    pub chunk_bytes: usize,
    /// Bytes that are sent before an answer is needed.
    pub window_bytes: usize,
    /// Read every message first.
    pub check: bool,
}

impl SnapshotRequest {
    /// Reads the body. nats-server looks the stream up between the check for an empty body
    /// (`require_body`) and this.
    ///
    /// # Errors
    ///
    /// It is no such JSON, or chunks cannot be sent there.
    pub fn parse(body: &[u8], strict: bool) -> Result<Self, ApiError> {
        const CHUNK_BYTES: i64 = 128 * 1024;
        const WINDOW_BYTES: i64 = 8 * 1024 * 1024;
        const CHUNK_BYTES_MAX: i64 = 1024 * 1024;
        const WINDOW_BYTES_MAX: i64 = 32 * 1024 * 1024;
        let written: WrittenSnapshot = read(body, strict)?;
        if !subjects::is_valid_literal(&written.deliver_subject) {
            return Err(error::SNAPSHOT_DELIVER_SUBJECT_INVALID);
        }
        let bytes = |asked: i64, usual: i64, most: i64| {
            let bytes = if asked == 0 { usual } else { asked.clamp(1024, most) };
            usize::try_from(bytes).unwrap_or(1024)
        };
        let chunk_bytes = bytes(written.chunk_size, CHUNK_BYTES, CHUNK_BYTES_MAX);
        let window_bytes = bytes(written.window_size, WINDOW_BYTES, WINDOW_BYTES_MAX);
        Ok(Self {
            deliver_subject: written.deliver_subject,
            no_consumers: written.no_consumers,
            chunk_bytes,
            // At least one chunk has to fit.
            window_bytes: window_bytes.max(chunk_bytes),
            check: written.check,
        })
    }
}

/// Checks that a request that needs a body has one.
///
/// # Errors
///
/// It has none.
pub fn require_body(body: &[u8]) -> Result<(), ApiError> {
    if json::is_empty_request(body) { Err(error::BAD_REQUEST) } else { Ok(()) }
}

#[derive(Default)]
struct WrittenSnapshot {
    deliver_subject: String,
    no_consumers: bool,
    chunk_size: i64,
    window_size: i64,
    check: bool,
}

fields!(WrittenSnapshot, "JSApiStreamSnapshotRequest" {
    deliver_subject: "deliver_subject",
    no_consumers: "no_consumers",
    chunk_size: "chunk_size" as "int",
    window_size: "window_size" as "int",
    check: "jsck",
});

/// The body of `STREAM.RESTORE`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestoreRequest {
    /// The configuration; it has the name that the subject has.
    pub config: StreamConfig,
    /// What the stream held.
    pub state: StreamState,
}

fields!(RestoreRequest, "JSApiStreamRestoreRequest" {
    config: "config",
    state: "state",
});

impl RestoreRequest {
    /// Reads the body; `stream` is the name in the subject.
    ///
    /// # Errors
    ///
    /// There is none, it is no such JSON, or it names another stream.
    pub fn parse(body: &[u8], stream: &str, strict: bool) -> Result<Self, ApiError> {
        let mut request: Self = read_required(body, strict)?;
        if request.config.name.is_empty() {
            stream.clone_into(&mut request.config.name);
        }
        if request.config.name != stream {
            return Err(error::STREAM_MISMATCH);
        }
        if stream.contains(['\\', '/']) {
            return Err(error::STREAM_NAME_CONTAINS_PATH_SEPARATORS);
        }
        Ok(request)
    }
}

/// Reads until when `CONSUMER.PAUSE` is to pause; `None` is not at all.
///
/// # Errors
///
/// The body is an object or array, and no such JSON.
pub fn pause(body: &[u8], strict: bool) -> Result<Option<Timestamp>, ApiError> {
    #[derive(Default)]
    struct PauseRequest {
        pause_until: Timestamp,
    }
    fields!(PauseRequest, "JSApiConsumerPauseRequest" {
        pause_until: "pause_until",
    });
    let PauseRequest { pause_until } = read_optional(body, strict)?;
    Ok(Some(pause_until.in_utc()).filter(|until| !until.is_zero()))
}

/// Reads the group whose client `CONSUMER.UNPIN` is to let go.
///
/// # Errors
///
/// There is no group, or no group can have that name.
pub fn unpin(body: &[u8]) -> Result<String, ApiError> {
    #[derive(Default)]
    struct UnpinRequest {
        group: String,
    }
    fields!(UnpinRequest, "JSApiConsumerUnpinRequest" {
        group: "group",
    });
    let mut request = UnpinRequest::default();
    json::read(body, &mut request).map_err(error::invalid_json)?;
    if request.group.is_empty() {
        return Err(error::invalid_json("consumer group not specified"));
    }
    if !super::consumer_config::is_group_name(&request.group) {
        return Err(error::CONSUMER_INVALID_GROUP_NAME);
    }
    Ok(request.group)
}

/// Reads the sequence that `CONSUMER.RESET` goes back to; 0 is what is not acknowledged.
///
/// # Errors
///
/// The body is no such JSON.
pub fn reset(body: &[u8]) -> Result<u64, ApiError> {
    #[derive(Default)]
    struct ResetRequest {
        sequence: u64,
    }
    fields!(ResetRequest, "JSApiConsumerResetRequest" {
        sequence: "seq",
    });
    let mut request = ResetRequest::default();
    if !body.is_empty() {
        json::read(body, &mut request).map_err(error::invalid_json)?;
    }
    Ok(request.sequence)
}

/// The body of `CONSUMER.MSG.NEXT`: nothing, a number, or JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequest {
    /// Messages; whoever reads it takes what is below 1 for 1.
    pub batch: i64,
    /// How long it may wait; 0 is for ever, or not at all if `no_wait`.
    pub expires_ns: i64,
    /// At most so many bytes; 0 is unlimited.
    pub max_bytes: i64,
    /// Take what is there.
    pub no_wait: bool,
    /// How often to say that nothing has come; 0 is never.
    pub idle_heartbeat_ns: i64,
    /// Priorities, if the body is JSON.
    pub priority: Option<PullPriority>,
}

/// What a pull of a group says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullPriority {
    /// The group.
    pub group: String,
    /// Only if so many messages are pending.
    pub min_pending: i64,
    /// Only if so many messages are not acknowledged.
    pub min_ack_pending: i64,
    /// The id of the pinned client.
    pub id: String,
    /// The lowest number is served first, 0 to 9.
    pub priority: i64,
}

#[derive(Default)]
struct WrittenPull {
    pull: PullRequest,
    priority: PullPriority,
}

impl Object for WrittenPull {
    // nats-server reads into a pointer to a pointer here, and that has no name.
    const GO_NAME: &'static str = "";
    const GO_TYPE: &'static str = "server.JSApiConsumerGetNextRequest";

    fn member(
        &mut self,
        name: &str,
        raw: json::Raw<'_>,
        place: &json::Place<'_>,
    ) -> Result<bool, String> {
        Ok(self.pull.member(name, raw, place)? || self.priority.member(name, raw, place)?)
    }
}

fields!(PullRequest, "JSApiConsumerGetNextRequest" {
    expires_ns: "expires" as "time.Duration",
    batch: "batch" as "int",
    max_bytes: "max_bytes" as "int",
    no_wait: "no_wait",
    idle_heartbeat_ns: "idle_heartbeat" as "time.Duration",
});

fields!(PullPriority, "PriorityGroup" {
    group: "group",
    min_pending: "min_pending",
    min_ack_pending: "min_ack_pending",
    id: "id",
    priority: "priority" as "int",
});

impl PullRequest {
    /// Reads the body. Text that is neither a number nor JSON asks for one message.
    ///
    /// # Errors
    ///
    /// What follows `400 Bad Request - ` in the answer.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let body = body.trim_ascii();
        if body.first() != Some(&b'{') {
            let number = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok());
            return Ok(Self { batch: number.unwrap_or(1), ..Self::default() });
        }
        let mut written = WrittenPull::default();
        json::read(body, &mut written)?;
        let WrittenPull { mut pull, priority } = written;
        if pull.idle_heartbeat_ns > 0 && pull.idle_heartbeat_ns.saturating_mul(2) > pull.expires_ns
        {
            return Err("heartbeat value too large".to_owned());
        }
        pull.priority = Some(priority);
        Ok(pull)
    }
}

/// What a server that stands alone says to requests about clusters; `Some(None)` is nothing: the
/// request is for the system account.
pub fn cluster_refusal(operation: Operation<'_>) -> Option<Option<ApiError>> {
    match operation {
        Operation::StreamPeerRemove(_)
        | Operation::StreamPeerEvacuate(_)
        | Operation::StreamCancelMove(_)
        | Operation::StreamLeaderStepDown(_)
        | Operation::ConsumerLeaderStepDown(..) => Some(Some(error::CLUSTER_REQUIRED)),
        Operation::MetaLeaderStepDown
        | Operation::MetaRescue
        | Operation::ServerRemove
        | Operation::ServerEvacuate
        | Operation::AccountPurge(_)
        | Operation::AccountStreamMove(..)
        | Operation::AccountStreamCancelMove(..)
        | Operation::Unknown => Some(None),
        _ => None,
    }
}

fn read<T: Object + Default>(body: &[u8], strict: bool) -> Result<T, ApiError> {
    let mut request = T::default();
    json::read_request(body, strict, &mut request).map_err(error::invalid_json)?;
    Ok(request)
}

/// Reads a body that is passed over if it is no object or array.
fn read_optional<T: Object + Default>(body: &[u8], strict: bool) -> Result<T, ApiError> {
    if json::is_object_or_array(body) { read(body, strict) } else { Ok(T::default()) }
}

fn read_required<T: Object + Default>(body: &[u8], strict: bool) -> Result<T, ApiError> {
    require_body(body)?;
    read(body, strict)
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is refused, and in which words, is in the recorded chapters.

    #[test]
    fn pulls() {
        let check = |body: &str, expected: PullRequest| {
            assert_eq!(PullRequest::parse(body.as_bytes()), Ok(expected), "{body:?}");
        };
        let of = |batch| PullRequest { batch, ..PullRequest::default() };
        check("", of(1));
        check(" \r\n", of(1));
        check("7", of(7));
        check(" +7 ", of(7));
        check("-7", of(-7));
        check("x", of(1));
        check("[1]", of(1));
        check("99999999999999999999", of(1));
        let json =
            PullRequest { priority: Some(PullPriority::default()), ..PullRequest::default() };
        check("{}", json.clone());
        check(" {\"foo\":1}", json.clone());
        check(
            r#"{"batch":5,"expires":20,"max_bytes":6,"no_wait":true,"idle_heartbeat":10,
                "group":"g","min_pending":1,"min_ack_pending":2,"id":"i","priority":3}"#,
            PullRequest {
                batch: 5,
                expires_ns: 20,
                max_bytes: 6,
                no_wait: true,
                idle_heartbeat_ns: 10,
                priority: Some(PullPriority {
                    group: "g".into(),
                    min_pending: 1,
                    min_ack_pending: 2,
                    id: "i".into(),
                    priority: 3,
                }),
            },
        );
        let largest = format!(r#"{{"idle_heartbeat":{0},"expires":{0}}}"#, i64::MAX);
        check(&largest, PullRequest { idle_heartbeat_ns: i64::MAX, expires_ns: i64::MAX, ..json });
    }

    #[test]
    fn gets() {
        let time = Timestamp::parse("2000-01-01T00:00:00Z").unwrap();
        let one = |selector| MessageGetRequest { selector, no_headers: false };
        let check = |body: &str, expected: Selector| {
            assert_eq!(MessageGetRequest::parse(body.as_bytes(), true), Ok(one(expected.clone())));
            let direct = DirectGetRequest::parse(None, body.as_bytes());
            assert_eq!(direct, Ok(DirectGetRequest::One(one(expected))), "{body}");
        };
        let next = |from| Selector::NextOf { subject: "a".into(), from };
        check(r#"{"seq":7}"#, Selector::At(7));
        check(r#"{"last_by_subj":"a"}"#, Selector::LastOf("a".into()));
        check(r#"{"next_by_subj":"a"}"#, next(From::Sequence(0)));
        check(r#"{"next_by_subj":"a","seq":7}"#, next(From::Sequence(7)));
        check(r#"{"start_time":"2000-01-01T00:00:00Z"}"#, Selector::Since(time));
        check(
            r#"{"next_by_subj":"a","start_time":"2000-01-01T00:00:00Z"}"#,
            next(From::Time(time)),
        );
        let direct = |subject: Option<&str>, body: &str| {
            DirectGetRequest::parse(subject, body.as_bytes()).unwrap()
        };
        assert_eq!(
            direct(None, r#"{"seq":7,"batch":3,"max_bytes":9,"no_hdr":true}"#),
            DirectGetRequest::Batch {
                first: MessageGetRequest { selector: Selector::At(7), no_headers: true },
                messages_max: 3,
                bytes_max: 9,
            }
        );
        let several = |up_to, sequence| DirectGetRequest::MultiLast {
            subjects: vec!["a".into(), "b.>".into()],
            up_to,
            sequence,
            messages_max: 0,
            bytes_max: 0,
            no_headers: false,
        };
        assert_eq!(direct(None, r#"{"multi_last":["a","b.>"]}"#), several(None, 0));
        assert_eq!(
            direct(None, r#"{"multi_last":["a","b.>"],"seq":4,"up_to_seq":9}"#),
            several(Some(From::Sequence(9)), 4)
        );
        assert_eq!(
            direct(None, r#"{"multi_last":["a","b.>"],"up_to_time":"2000-01-01T00:00:00Z"}"#),
            several(Some(From::Time(time)), 0)
        );
        let last = one(Selector::LastOf("a.b".into()));
        assert_eq!(direct(Some("a.b"), ""), DirectGetRequest::One(last.clone()));
        assert_eq!(
            direct(Some("a.b"), r#"{"no_hdr":true}"#),
            DirectGetRequest::One(MessageGetRequest { no_headers: true, ..last })
        );
    }

    #[test]
    fn snapshots() {
        let check = |body: &str, expected: (usize, usize)| {
            let body = format!(r#"{{"deliver_subject":"d"{body}}}"#);
            let request = SnapshotRequest::parse(body.as_bytes(), true).unwrap();
            assert_eq!((request.chunk_bytes, request.window_bytes), expected, "{body}");
        };
        check("", (128 * 1024, 8 << 20));
        check(r#","chunk_size":1,"window_size":-1"#, (1024, 1024));
        check(r#","chunk_size":99999999,"window_size":99999999"#, (1 << 20, 32 << 20));
        check(r#","chunk_size":5000,"window_size":6000"#, (5000, 6000));
        check(r#","chunk_size":5000,"window_size":2000"#, (5000, 5000));
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>, strict: bool) {
            let _ = PullRequest::parse(&body);
            let _ = DirectGetRequest::parse(None, &body);
            let _ = MessageGetRequest::parse(&body, strict);
            let _ = RestoreRequest::parse(&body, "S", strict);
        }
    }
}
