//! What a stream is asked to be, as the API writes it. The rules are the server's: nothing is
//! checked here.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::wire::{empty_is_none, is_default, limit, nanoseconds, null_is_default};

/// The configuration of a stream.
///
/// Where a number is a limit, 0 sets none.
///
/// ```
/// use std::time::Duration;
///
/// use fulmar_client::jetstream::stream::{Config, StorageType};
///
/// let config = Config {
///     name: "ORDERS".to_owned(),
///     subjects: vec!["orders.>".to_owned()],
///     storage: StorageType::Memory,
///     max_age: Duration::from_secs(3600),
///     ..Config::default()
/// };
/// # assert_eq!(config.max_messages, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The name: 1 to 255 bytes, no blanks and none of `. * > / \`. It cannot be changed.
    pub name: String,
    /// What it is for; at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub description: Option<String>,
    /// Messages to these subjects are stored. None: those to the stream's name, unless it has a
    /// mirror or sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub subjects: Vec<String>,
    /// When a message has served its purpose.
    #[serde(default)]
    pub retention: RetentionPolicy,
    /// How many consumers there may be.
    #[serde(default, with = "limit")]
    pub max_consumers: u32,
    /// How many messages are kept.
    #[serde(default, rename = "max_msgs", with = "limit")]
    pub max_messages: u64,
    /// How many bytes are kept, with headers and what the storage itself needs.
    #[serde(default, with = "limit")]
    pub max_bytes: u64,
    /// How long a message is kept: zero for ever, otherwise at least 100 ms.
    #[serde(default, with = "nanoseconds")]
    pub max_age: Duration,
    /// How many messages are kept of each subject.
    #[serde(default, rename = "max_msgs_per_subject", with = "limit")]
    pub max_messages_per_subject: u64,
    /// How large a message may be, in bytes of headers and payload.
    #[serde(default, rename = "max_msg_size", with = "limit")]
    pub max_message_size: u32,
    /// What gives way when a limit is reached.
    #[serde(default)]
    pub discard: DiscardPolicy,
    /// Where messages are kept. It cannot be changed.
    #[serde(default)]
    pub storage: StorageType,
    /// On how many servers: 1 to 5; 0 leaves it to the server, which takes 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub num_replicas: u8,
    /// Publishers get no answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_ack: bool,
    /// For how long the stream remembers message ids, so that it takes no message twice. Zero
    /// leaves it to the server, which takes two minutes.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub duplicate_window: Duration,
    /// Where in a cluster it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// It is a copy of this stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Source>,
    /// It collects the messages of these streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub sources: Vec<Source>,
    /// How messages are kept in files.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compression: Compression,
    /// The sequence of the first message; 0 leaves it to the server, which takes 1.
    #[serde(default, rename = "first_seq", skip_serializing_if = "is_default")]
    pub first_sequence: u64,
    /// Messages are stored under other subjects than they were published to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<SubjectTransform>,
    /// Messages that were stored are published again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    /// Messages can be read without the stream's leader; see
    /// [`Stream::direct_get`](super::Stream::direct_get).
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_direct: bool,
    /// This mirror answers direct gets of the stream that it copies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mirror_direct: bool,
    /// With [`DiscardPolicy::New`]: a subject that has as many messages as it may have takes no
    /// more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub discard_new_per_subject: bool,
    /// Nothing is added and nothing is removed any more. It cannot be taken back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sealed: bool,
    /// Single messages cannot be deleted. It cannot be taken back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deny_delete: bool,
    /// Messages cannot be purged. It cannot be taken back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deny_purge: bool,
    /// A message may take the place of those before it; see
    /// [`Publish::rollup`](crate::jetstream::Publish::rollup).
    #[serde(default, rename = "allow_rollup_hdrs", skip_serializing_if = "is_default")]
    pub allow_rollup: bool,
    /// Limits of its consumers.
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "null_is_default")]
    pub consumer_limits: ConsumerLimits,
    /// A message may say how long it is kept; see
    /// [`Publish::ttl`](crate::jetstream::Publish::ttl). It cannot be taken back.
    #[serde(default, rename = "allow_msg_ttl", skip_serializing_if = "is_default")]
    pub allow_message_ttl: bool,
    /// When the last message of a subject goes because of a limit, a marker takes its place for
    /// so long. Zero: no markers; otherwise at least a second.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub subject_delete_marker_ttl: Duration,
    /// Each subject is a counter; see
    /// [`Publish::increment`](crate::jetstream::Publish::increment). It cannot be changed.
    #[serde(default, rename = "allow_msg_counter", skip_serializing_if = "is_default")]
    pub allow_message_counter: bool,
    /// Messages can be published together, all or none; see
    /// [`Context::atomic_batch`](crate::jetstream::Context::atomic_batch).
    #[serde(default, rename = "allow_atomic", skip_serializing_if = "is_default")]
    pub allow_atomic_publish: bool,
    /// A message may say when it is published; see
    /// [`Publish::schedule`](crate::jetstream::Publish::schedule). It cannot be taken back.
    #[serde(default, rename = "allow_msg_schedules", skip_serializing_if = "is_default")]
    pub allow_message_schedules: bool,
    /// Messages can be published in a fast batch, whose answers come together.
    #[serde(default, rename = "allow_batched", skip_serializing_if = "is_default")]
    pub allow_batch_publish: bool,
    /// What the server's answer to a publisher promises.
    #[serde(default, skip_serializing_if = "is_default")]
    pub persist_mode: PersistMode,
    /// Anything else; at most 128 KiB. Names that begin with `_nats.` are the server's.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub metadata: BTreeMap<String, String>,
}

impl From<&Config> for Config {
    fn from(config: &Config) -> Self {
        config.clone()
    }
}

/// A stream of that name, with all else left to the server.
impl From<&str> for Config {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// When a message of a stream has served its purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetentionPolicy {
    /// When a limit says so.
    #[default]
    Limits,
    /// When every consumer has it acknowledged.
    Interest,
    /// When one consumer has it acknowledged.
    WorkQueue,
}

/// What gives way when a stream is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscardPolicy {
    /// The oldest messages.
    #[default]
    Old,
    /// The new message: it is refused.
    New,
}

/// Where messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    /// In files.
    #[default]
    File,
    /// In memory: they are gone when the server ends.
    Memory,
}

/// How messages are kept in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// With S2, block by block.
    S2,
}

/// What the server's answer to a publisher promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersistMode {
    /// What the server is configured to promise.
    #[default]
    #[serde(alias = "")]
    Default,
    /// That the message was taken; it may not be in its file yet.
    Async,
}

/// Where in a cluster a stream should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The name of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub cluster: Option<String>,
    /// Tags that its servers have.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// Limits of the consumers of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerLimits {
    /// After so long without interest a consumer is removed. Zero sets no limit.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub inactive_threshold: Duration,
    /// So many messages may wait for their acknowledgement. 0 sets no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
}

/// A mapping of subjects: `*` and `>` of the source are `{{wildcard(1)}}` and so on in the
/// destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectTransform {
    /// The subjects it is about; "" for all.
    #[serde(rename = "src")]
    pub source: String,
    /// What becomes of them.
    #[serde(rename = "dest")]
    pub destination: String,
}

/// How messages that were stored are published again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Republish {
    /// Which; "" for all.
    #[serde(default, rename = "src")]
    pub source: String,
    /// Under which subject.
    #[serde(rename = "dest")]
    pub destination: String,
    /// Without the payload.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers_only: bool,
}

/// A stream that another one copies or collects from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Begins with this sequence; 0 begins with the first.
    #[serde(default, rename = "opt_start_seq", skip_serializing_if = "is_default")]
    pub start_sequence: u64,
    /// Begins with the first message that is not older.
    #[serde(default, rename = "opt_start_time", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// Only messages of these subjects.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub filter_subject: Option<String>,
    /// Only messages of the sources of these mappings, under other subjects. An empty destination
    /// leaves the subject as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub subject_transforms: Vec<SubjectTransform>,
    /// It is in another account or domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// A consumer of it that was made for this, instead of one that the server makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<SourceConsumer>,
}

impl Source {
    /// A stream of this name in the JetStream domain `domain`.
    pub fn in_domain(name: impl Into<String>, domain: &str) -> Self {
        let external = External { api_prefix: format!("$JS.{domain}.API"), ..External::default() };
        Self { name: name.into(), external: Some(external), ..Self::default() }
    }
}

impl From<&str> for Source {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// How a stream in another account or domain is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// What its API subjects begin with, instead of `$JS.API`.
    #[serde(rename = "api")]
    pub api_prefix: String,
    /// What the subjects begin with to which messages are delivered; none leaves it to the server.
    #[serde(
        default,
        rename = "deliver",
        skip_serializing_if = "Option::is_none",
        with = "empty_is_none"
    )]
    pub deliver_prefix: Option<String>,
}

/// A consumer through which a stream is copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceConsumer {
    /// Its name.
    pub name: String,
    /// Where it delivers.
    pub deliver_subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_the_api_wants_it() {
        let check = |config: Config, expected: &str| {
            assert_eq!(serde_json::to_string(&config).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Config>(expected).unwrap(), config);
        };
        check(
            Config::from("A"),
            r#"{"name":"A","retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file"}"#,
        );
        check(
            Config {
                subjects: vec!["a.>".to_owned()],
                retention: RetentionPolicy::WorkQueue,
                max_messages: 5,
                max_age: Duration::from_secs(1),
                mirror: Some(Source {
                    start_time: Some("2024-05-06T07:08:09.5Z".parse().unwrap()),
                    ..Source::in_domain("B", "hub")
                }),
                compression: Compression::S2,
                consumer_limits: ConsumerLimits { max_ack_pending: 7, ..Default::default() },
                persist_mode: PersistMode::Async,
                metadata: [("a".to_owned(), "b".to_owned())].into(),
                ..Config::from("A")
            },
            r#"{"name":"A","subjects":["a.>"],"retention":"workqueue","max_consumers":-1,"max_msgs":5,"max_bytes":-1,"max_age":1000000000,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","mirror":{"name":"B","opt_start_time":"2024-05-06T07:08:09.5Z","external":{"api":"$JS.hub.API"}},"compression":"s2","consumer_limits":{"max_ack_pending":7},"persist_mode":"async","metadata":{"a":"b"}}"#,
        );
    }

    #[test]
    fn what_a_server_leaves_out_or_calls_null_is_read() {
        let config: Config = serde_json::from_str(
            r#"{"name":"A","subjects":null,"sources":null,"metadata":null,"description":"","max_msgs":-1,"unknown":1}"#,
        )
        .unwrap();
        assert_eq!(config, Config::from("A"));
    }
}
