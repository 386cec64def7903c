//! What answers to API requests and publishers look like: every field, in nats-server's order.
//!
//! What the answers are is not known here.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Serialize, Serializer};

use super::api_subject::Operation;
use super::consumer_config::ConsumerConfig;
use super::error::ApiError;
use super::json;
use super::limits::AccountLimits;
use super::metadata::API_LEVEL;
use super::stream_config::{
    ExternalStream, StreamConfig, SubjectTransformConfig, is_false, is_zero, is_zero_u64,
};
use super::timestamp::Timestamp;

/// Most names in one answer.
pub const NAMES_MAX: usize = 1024;
/// Most descriptions of streams or consumers in one answer.
pub const LIST_MAX: usize = 256;
/// Most subjects in one description of a stream.
pub const SUBJECT_DETAILS_MAX: usize = 100_000;

/// An answer: its type, and an error or a body.
#[derive(Clone, Debug, Serialize)]
pub struct Response<T> {
    /// [`Operation::response_type`].
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Why the request was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// The rest. Some of it stands in the answer of a refused request too.
    #[serde(flatten)]
    pub body: T,
}

/// The answer to a request that was granted.
pub fn granted<T: Serialize>(operation: Operation<'_>, body: T) -> Vec<u8> {
    json::to_vec(&Response { kind: operation.response_type(), error: None, body })
}

/// The answer to a request that was refused.
pub fn refused(operation: Operation<'_>, error: ApiError) -> Vec<u8> {
    fn with<T: Serialize + Default>(operation: Operation<'_>, error: ApiError) -> Vec<u8> {
        let (kind, error) = (operation.response_type(), Some(error));
        json::to_vec(&Response { kind, error, body: T::default() })
    }
    match operation {
        Operation::StreamInfo(_) => with::<StreamInfoBody>(operation, error),
        Operation::StreamNames => with::<StreamNames>(operation, error),
        Operation::StreamList => with::<StreamList>(operation, error),
        Operation::StreamPurge(_) => with::<Purged>(operation, error),
        Operation::StreamRestore(_) => with::<RestoreStarted>(operation, error),
        Operation::ConsumerNames(_) => with::<ConsumerNames>(operation, error),
        Operation::ConsumerList(_) => with::<ConsumerList>(operation, error),
        Operation::ConsumerPause(..) => with::<Paused>(operation, error),
        Operation::ConsumerReset(..) => with::<ConsumerReset>(operation, error),
        _ => with::<Nothing>(operation, error),
    }
}

/// A body without fields.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Nothing {}

/// Which part of a list an answer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paged {
    /// Entries in the list.
    pub total: i64,
    /// The first of them here.
    pub offset: i64,
    /// Most in one answer.
    pub limit: i64,
}

impl Paged {
    /// The page from `offset` on of a list of `total`, and which entries it has.
    pub fn new(total: usize, offset: i64, limit: usize) -> (Self, std::ops::Range<usize>) {
        let start = usize::try_from(offset).unwrap_or(0).min(total);
        let end = total.min(start + limit);
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let paged = Self { total: whole(total), offset: whole(start), limit: whole(limit) };
        (paged, start..end)
    }
}

/// The body of `account_info_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AccountInfo {
    /// What is used and allowed.
    #[serde(flatten)]
    pub tier: Tier,
    /// The domain of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Requests so far.
    pub api: ApiStats,
    /// The same by number of replicas.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, Tier>,
}

/// What an account uses and may use.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tier {
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes in files.
    pub storage: u64,
    /// Bytes in memory that streams may grow to.
    pub reserved_memory: u64,
    /// Bytes in files that streams may grow to.
    pub reserved_storage: u64,
    /// Streams.
    pub streams: u64,
    /// Consumers.
    pub consumers: u64,
    /// What is allowed.
    pub limits: AccountLimits,
}

/// Requests so far.
#[derive(Clone, Debug, Serialize)]
pub struct ApiStats {
    /// The level of the API.
    pub level: u32,
    /// All requests.
    pub total: u64,
    /// Refused ones.
    pub errors: u64,
    /// Those being answered.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub inflight: u64,
}

impl Default for ApiStats {
    fn default() -> Self {
        Self { level: API_LEVEL, total: 0, errors: 0, inflight: 0 }
    }
}

/// A stream, its configuration and its state.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamInfo {
    /// As [`StreamConfig::shown`].
    pub config: StreamConfig,
    /// When it was made.
    pub created: Timestamp,
    /// What it holds.
    pub state: StreamState,
    /// The domain of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Servers that hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// The stream it is a copy of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSourceInfo>,
    /// The streams whose messages it stores too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSourceInfo>,
    /// Where the same messages are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternates: Vec<StreamAlternate>,
    /// When this was written.
    pub ts: Timestamp,
}

/// What a stream holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamState {
    /// Messages.
    pub messages: u64,
    /// Their bytes, as nats-server counts them.
    pub bytes: u64,
    /// The first message, or the next if there is none; 0 before the first.
    pub first_seq: u64,
    /// Its time.
    pub first_ts: Timestamp,
    /// The last message that was stored.
    pub last_seq: u64,
    /// Its time.
    pub last_ts: Timestamp,
    /// Subjects.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub num_subjects: u64,
    /// Messages by subject, if asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<String, u64>,
    /// Messages that are gone between the first and the last.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub num_deleted: u64,
    /// Their sequences, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<u64>,
    /// What was found damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostStreamData>,
    /// Consumers.
    pub consumer_count: u64,
}

super::json::fields!(StreamState, "StreamState" {
    messages: "messages",
    bytes: "bytes",
    first_seq: "first_seq",
    first_ts: "first_ts",
    last_seq: "last_seq",
    last_ts: "last_ts",
    num_subjects: "num_subjects" as "int",
    subjects: "subjects" as "map[string]uint64",
    num_deleted: "num_deleted" as "int",
    deleted: "deleted" as "[]uint64",
    lost: "lost",
    consumer_count: "consumer_count" as "int",
});

/// What was found damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LostStreamData {
    /// Sequences.
    pub msgs: Vec<u64>,
    /// Bytes.
    pub bytes: u64,
}

super::json::fields!(LostStreamData, "LostStreamData" {
    msgs: "msgs" as "[]uint64",
    bytes: "bytes",
});

/// Servers that hold a stream or consumer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClusterInfo {
    /// Name of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the server that leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}

/// A stream that another one copies from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamSourceInfo {
    /// Its name.
    pub name: String,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStream>,
    /// Messages that are not copied yet.
    pub lag: u64,
    /// The last message that came from a source; nats-server tells it since 2.15.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub seq: u64,
    /// Nanoseconds since it was last heard of; -1 is never.
    pub active: i64,
    /// Why nothing is copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// Only these subjects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Only these subjects, and what they become.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransformConfig>,
}

/// A stream with the same messages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamAlternate {
    /// Its name.
    pub name: String,
    /// The domain it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The cluster it is in.
    pub cluster: String,
}

/// The body of `stream_create_response`.
#[derive(Clone, Debug, Serialize)]
pub struct StreamCreated {
    /// The stream.
    #[serde(flatten)]
    pub info: StreamInfo,
    /// Always true.
    pub did_create: bool,
}

/// The body of `stream_info_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamInfoBody {
    /// The part of the subjects that is shown.
    #[serde(flatten)]
    pub paged: Paged,
    /// The stream.
    #[serde(flatten)]
    pub info: Option<StreamInfo>,
}

/// The body of `stream_names_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamNames {
    /// The part of the list.
    #[serde(flatten)]
    pub paged: Paged,
    /// The names; `None` (`null`) if there are none.
    pub streams: Option<Vec<String>>,
}

/// The body of `stream_list_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamList {
    /// The part of the list.
    #[serde(flatten)]
    pub paged: Paged,
    /// The streams. Unlike everywhere else, their configurations are not
    /// [`shown`](StreamConfig::shown) but as they are stored.
    pub streams: Vec<StreamInfo>,
    /// Those that are not served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The same, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offline: BTreeMap<String, String>,
}

/// The body of everything that only succeeds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Success {
    /// Always true.
    pub success: bool,
}

impl Success {
    /// It did.
    pub const YES: Self = Self { success: true };
}

/// The body of `stream_purge_response`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Purged {
    /// Whether it was done.
    #[serde(skip_serializing_if = "is_false")]
    pub success: bool,
    /// Messages that are gone.
    pub purged: u64,
}

/// The body of `stream_msg_get_response`.
#[derive(Clone, Debug, Serialize)]
pub struct MessageFound<'a> {
    /// The message.
    pub message: StoredMessage<'a>,
}

/// A message as `STREAM.MSG.GET` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct StoredMessage<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// Its sequence.
    pub seq: u64,
    /// Its header block.
    #[serde(serialize_with = "base64", skip_serializing_if = "is_empty")]
    pub hdrs: &'a [u8],
    /// Its payload.
    #[serde(serialize_with = "base64", skip_serializing_if = "is_empty")]
    pub data: &'a [u8],
    /// When it was stored.
    pub time: Timestamp,
}

/// The body of `stream_snapshot_response`.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotStarted {
    /// As [`StreamConfig::shown`].
    pub config: StreamConfig,
    /// What the stream holds.
    pub state: StreamState,
}

/// The body of `stream_restore_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RestoreStarted {
    /// Where the snapshot has to be sent.
    pub deliver_subject: String,
}

/// A consumer, its configuration and its state.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConsumerInfo {
    /// Its stream.
    pub stream_name: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// As [`ConsumerConfig::shown`].
    pub config: ConsumerConfig,
    /// The last delivery.
    pub delivered: SequenceInfo,
    /// Up to where everything is acknowledged.
    pub ack_floor: SequenceInfo,
    /// Messages delivered and not acknowledged.
    pub num_ack_pending: u64,
    /// Of those, the ones delivered more than once.
    pub num_redelivered: u64,
    /// Pulls that wait.
    pub num_waiting: u64,
    /// Messages to be delivered.
    pub num_pending: u64,
    /// Servers that hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// Whether somebody listens where it delivers.
    #[serde(skip_serializing_if = "is_false")]
    pub push_bound: bool,
    /// Whether it delivers nothing for now.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    /// For so many nanoseconds.
    #[serde(rename = "pause_remaining", skip_serializing_if = "is_zero")]
    pub pause_remaining_ns: i64,
    /// When this was written.
    pub ts: Timestamp,
    /// The first group and its pinned client; nats-server shows no other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<PriorityGroupState>,
}

/// A point of a consumer in both counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SequenceInfo {
    /// In deliveries.
    pub consumer_seq: u64,
    /// In the stream.
    pub stream_seq: u64,
    /// When it was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
}

/// A group and its pinned client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PriorityGroupState {
    /// Its name.
    pub group: String,
    /// The id the pinned client has to send.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned_client_id: String,
    /// Since when; shown even if nobody is pinned.
    pub pinned_ts: Timestamp,
}

/// The body of `consumer_names_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConsumerNames {
    /// The part of the list.
    #[serde(flatten)]
    pub paged: Paged,
    /// The names.
    pub consumers: Vec<String>,
}

/// The body of `consumer_list_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConsumerList {
    /// The part of the list.
    #[serde(flatten)]
    pub paged: Paged,
    /// The consumers. Unlike everywhere else, their configurations are not
    /// [`shown`](ConsumerConfig::shown) but as they are stored.
    pub consumers: Vec<ConsumerInfo>,
    /// Those that are not served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The same, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offline: BTreeMap<String, String>,
}

/// The body of `consumer_pause_response`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Paused {
    /// Whether it is paused.
    pub paused: bool,
    /// Until then; zero if not.
    pub pause_until: Timestamp,
    /// For so many nanoseconds.
    #[serde(rename = "pause_remaining", skip_serializing_if = "is_zero")]
    pub pause_remaining_ns: i64,
}

/// The body of `consumer_reset_response`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConsumerReset {
    /// The consumer.
    #[serde(flatten)]
    pub info: Option<ConsumerInfo>,
    /// The sequence it begins with.
    pub reset_seq: u64,
}

/// What a publisher is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct PubAck<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The domain of the server.
    pub domain: Option<&'a str>,
    /// The sequence of the message.
    pub sequence: u64,
    /// Whether it was known already.
    pub duplicate: bool,
    /// The value of the counter.
    pub value: Option<&'a str>,
    /// The batch, and how many messages it has.
    pub batch: Option<(&'a str, u64)>,
}

impl PubAck<'_> {
    /// Appends the answer to `out`. Of a plain message it is written by hand, as in nats-server,
    /// with the same blank before `true`.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.value.is_some() || self.batch.is_some() {
            return json::write(&BatchAck::of(self), out);
        }
        out.extend_from_slice(b"{\"stream\":");
        json::write(self.stream, out);
        if let Some(domain) = self.domain {
            out.extend_from_slice(b",\"domain\":");
            json::write(domain, out);
        }
        out.extend_from_slice(b",\"seq\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.sequence).as_bytes());
        if self.duplicate {
            out.extend_from_slice(b",\"duplicate\": true");
        }
        out.push(b'}');
    }
}

/// What a publisher is told whose message was refused.
pub fn publish_refused(error: &ApiError, stream: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Refused<'a> {
        error: &'a ApiError,
        stream: &'a str,
        seq: u64,
    }
    json::to_vec(&Refused { error, stream, seq: 0 })
}

/// An answer with what plain messages do not have.
#[derive(Serialize)]
struct BatchAck<'a> {
    stream: &'a str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    val: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl<'a> BatchAck<'a> {
    fn of(ack: &PubAck<'a>) -> Self {
        Self {
            stream: ack.stream,
            seq: ack.sequence,
            domain: ack.domain,
            duplicate: ack.duplicate,
            val: ack.value,
            batch: ack.batch.map(|(id, _)| id),
            count: ack.batch.map(|(_, count)| count),
        }
    }
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

fn is_empty(bytes: &[u8]) -> bool {
    bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn publish_answers() {
        let check = |ack: PubAck<'_>, expected: &str| {
            let mut out = Vec::new();
            ack.write(&mut out);
            assert_eq!(text(out), expected);
        };
        let plain = PubAck { stream: "S", sequence: 22, ..PubAck::default() };
        check(plain, r#"{"stream":"S","seq":22}"#);
        check(PubAck { duplicate: true, ..plain }, r#"{"stream":"S","seq":22,"duplicate": true}"#);
        check(PubAck { domain: Some("hub"), ..plain }, r#"{"stream":"S","domain":"hub","seq":22}"#);
        check(
            PubAck { value: Some("-3"), domain: Some("hub"), ..plain },
            r#"{"stream":"S","seq":22,"domain":"hub","val":"-3"}"#,
        );
        check(
            PubAck { batch: Some(("b", 3)), duplicate: true, ..plain },
            r#"{"stream":"S","seq":22,"duplicate":true,"batch":"b","count":3}"#,
        );
        check(PubAck { stream: "a<\"b", ..plain }, r#"{"stream":"a\u003c\"b","seq":22}"#);
        assert_eq!(
            text(publish_refused(&crate::jetstream::error::STREAM_NOT_MATCH, "S")),
            r#"{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"},"stream":"S","seq":0}"#
        );
    }

    #[test]
    fn messages_and_accounts() {
        let message = StoredMessage {
            subject: "a.c",
            seq: 3,
            hdrs: b"NATS/1.0\r\nFoo: b<ar\r\n\r\n",
            data: b"three",
            time: Timestamp::from_unix_ns(0),
        };
        assert_eq!(
            text(granted(Operation::MessageGet("S"), MessageFound { message })),
            r#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"a.c","seq":3,"hdrs":"TkFUUy8xLjANCkZvbzogYjxhcg0KDQo=","data":"dGhyZWU=","time":"1970-01-01T00:00:00Z"}}"#
        );
        let limits = r#"{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false}"#;
        let tier = format!(
            r#""memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":0,"consumers":0,"limits":{limits}"#
        );
        let info = |info: AccountInfo| text(granted(Operation::Info, info));
        assert_eq!(
            info(AccountInfo::default()),
            format!(
                r#"{{"type":"io.nats.jetstream.api.v1.account_info_response",{tier},"api":{{"level":5,"total":0,"errors":0}}}}"#
            )
        );
        let full = AccountInfo {
            domain: Some("hub".into()),
            tiers: BTreeMap::from([("R1".into(), Tier::default())]),
            api: ApiStats { inflight: 1, ..ApiStats::default() },
            ..AccountInfo::default()
        };
        assert_eq!(
            info(full),
            format!(
                r#"{{"type":"io.nats.jetstream.api.v1.account_info_response",{tier},"domain":"hub","api":{{"level":5,"total":0,"errors":0,"inflight":1}},"tiers":{{"R1":{{{tier}}}}}}}"#
            )
        );
    }

    #[test]
    fn states() {
        let state = StreamState {
            messages: 2,
            bytes: 66,
            first_seq: 1,
            last_seq: 4,
            num_subjects: 1,
            subjects: BTreeMap::from([("a.>b".into(), 2)]),
            num_deleted: 2,
            deleted: vec![2, 3],
            lost: Some(LostStreamData { msgs: vec![2], bytes: 9 }),
            consumer_count: 1,
            ..StreamState::default()
        };
        let json = r#"{"messages":2,"bytes":66,"first_seq":1,"first_ts":"0001-01-01T00:00:00Z","last_seq":4,"last_ts":"0001-01-01T00:00:00Z","num_subjects":1,"subjects":{"a.\u003eb":2},"num_deleted":2,"deleted":[2,3],"lost":{"msgs":[2],"bytes":9},"consumer_count":1}"#;
        assert_eq!(text(json::to_vec(&state)), json);
        let mut read = StreamState::default();
        json::read(json.as_bytes(), &mut read).unwrap();
        assert_eq!(read, state);
    }

    #[test]
    fn pages() {
        let check = |total, offset, limit, expected| {
            let (paged, range) = Paged::new(total, offset, limit);
            assert_eq!((paged.total, paged.offset, paged.limit, range), expected);
        };
        check(0, 0, 256, (0, 0, 256, 0..0));
        check(3, 1, 256, (3, 1, 256, 1..3));
        check(3, 9, 256, (3, 3, 256, 3..3));
        check(600, 256, 256, (600, 256, 256, 256..512));
        check(3, -1, 2, (3, 0, 2, 0..2));
    }
}
