//! What a consumer is asked to be, as the API writes it. The rules are the server's: nothing is
//! checked here.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::wire::{
    empty_is_none, is_default, limit, nanoseconds, nanoseconds_list, null_is_default,
};

/// The configuration of a consumer with all fields: those of pull consumers, those of push
/// consumers, and those of both.
///
/// [`pull::Config`](super::pull::Config) and [`push::Config`](super::push::Config) have only what
/// goes together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The name; the server makes one if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub name: Option<String>,
    /// The name, of a consumer that stays when nobody uses it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub durable_name: Option<String>,
    /// What it is for; at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub description: Option<String>,
    /// With which message it begins. It cannot be changed.
    #[serde(flatten)]
    pub deliver_policy: DeliverPolicy,
    /// What must be acknowledged. It cannot be changed.
    #[serde(default)]
    pub ack_policy: AckPolicy,
    /// After so long without acknowledgement a message is delivered again. Zero leaves it to the
    /// server, which takes 30 s.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub ack_wait: Duration,
    /// How often a message is delivered; 0 sets no limit.
    #[serde(default, with = "limit")]
    pub max_deliver: u32,
    /// How long to wait after the first delivery, the second and so on, instead of `ack_wait`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "nanoseconds_list")]
    pub backoff: Vec<Duration>,
    /// Only messages of this subject, which may have wildcards.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub filter_subject: Option<String>,
    /// Only messages of these subjects, which must not overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub filter_subjects: Vec<String>,
    /// How fast. It cannot be changed.
    #[serde(default)]
    pub replay_policy: ReplayPolicy,
    /// How many bits a second, of a push consumer; 0 sets no limit.
    #[serde(default, rename = "rate_limit_bps", skip_serializing_if = "is_default")]
    pub rate_limit: u64,
    /// Of how many messages in a hundred the server publishes how long their acknowledgement took.
    #[serde(default, rename = "sample_freq", skip_serializing_if = "is_default", with = "percent")]
    pub sample_frequency: u8,
    /// How many pull requests may wait; 0 leaves it to the server, which takes 512.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_waiting: i64,
    /// How many messages may wait for their acknowledgement: 0 leaves it to the server, which
    /// takes 1,000, and -1 sets no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
    /// The server sends requests that must be answered before it sends more; of a push consumer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flow_control: bool,
    /// The server sends a sign of life when there was no message for so long; of a push consumer.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub idle_heartbeat: Duration,
    /// Without payloads.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers_only: bool,
    /// How many messages a pull request may ask for; 0 sets no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_batch: i64,
    /// How long a pull request may wait; zero sets no limit.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub max_expires: Duration,
    /// How many bytes a pull request may ask for; 0 sets no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_bytes: i64,
    /// Where messages are delivered: it is a push consumer.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub deliver_subject: Option<String>,
    /// The queue group that shares the messages of a push consumer.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "empty_is_none")]
    pub deliver_group: Option<String>,
    /// After so long without interest it is removed. Zero leaves it to the server: 5 s unless it
    /// is durable.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub inactive_threshold: Duration,
    /// On how many servers; 0 for as many as the stream.
    #[serde(default, skip_serializing_if = "is_default")]
    pub num_replicas: u8,
    /// How far it is, is kept in memory only.
    #[serde(default, rename = "mem_storage", skip_serializing_if = "is_default")]
    pub memory_storage: bool,
    /// Nothing is delivered before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Timestamp>,
    /// Who of several that pull is served.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority_policy: PriorityPolicy,
    /// The groups of those that pull.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub priority_groups: Vec<String>,
    /// After so long without a pull request somebody else is pinned. Zero leaves it to the
    /// server, which takes two minutes.
    #[serde(default, skip_serializing_if = "is_default", with = "nanoseconds")]
    pub priority_timeout: Duration,
    /// Anything else; at most 128 KiB. Names that begin with `_nats.` are the server's.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub metadata: BTreeMap<String, String>,
}

/// With which message a consumer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "deliver_policy", rename_all = "snake_case")]
pub enum DeliverPolicy {
    /// The first there is.
    #[default]
    #[serde(alias = "undefined")]
    All,
    /// The last there is.
    Last,
    /// The first that is stored from now on.
    New,
    /// The one with this sequence, or the first after it.
    ByStartSequence {
        /// The sequence.
        #[serde(rename = "opt_start_seq")]
        start_sequence: u64,
    },
    /// The first that is not older.
    ByStartTime {
        /// The time.
        #[serde(rename = "opt_start_time")]
        start_time: Timestamp,
    },
    /// The last of each subject. It needs a filter.
    LastPerSubject,
}

/// What must be acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckPolicy {
    /// Each message.
    #[default]
    Explicit,
    /// Nothing: what was sent is done with.
    None,
    /// A message, and with it all before it.
    All,
    /// Nothing: what comes before a flow control request that was answered is done with.
    FlowControl,
}

/// How fast messages are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPolicy {
    /// As fast as they are taken.
    #[default]
    Instant,
    /// With the pauses with which they were stored.
    Original,
}

/// Who of several that pull from one consumer is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriorityPolicy {
    /// By turns.
    #[default]
    None,
    /// Those that set conditions only when their conditions are met; see
    /// [`StreamBuilder::min_pending`](super::pull::StreamBuilder::min_pending).
    Overflow,
    /// One, as long as it pulls.
    PinnedClient,
    /// Those with the lower number first; see
    /// [`StreamBuilder::priority`](super::pull::StreamBuilder::priority).
    Prioritized,
}

/// A number out of a hundred, as text with or without a percent sign.
mod percent {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(percent: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{percent}%"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let digits = text.trim_end_matches('%');
        if digits.is_empty() {
            return Ok(0);
        }
        digits.parse().map_err(|_| D::Error::custom(format!("{text:?} is no percentage")))
    }
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
            Config::default(),
            r#"{"deliver_policy":"all","ack_policy":"explicit","max_deliver":-1,"replay_policy":"instant"}"#,
        );
        check(
            Config {
                durable_name: Some("a".to_owned()),
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 7 },
                backoff: vec![Duration::from_millis(1), Duration::from_millis(2)],
                sample_frequency: 30,
                max_ack_pending: -1,
                priority_policy: PriorityPolicy::PinnedClient,
                ..Config::default()
            },
            r#"{"durable_name":"a","deliver_policy":"by_start_sequence","opt_start_seq":7,"ack_policy":"explicit","max_deliver":-1,"backoff":[1000000,2000000],"replay_policy":"instant","sample_freq":"30%","max_ack_pending":-1,"priority_policy":"pinned_client"}"#,
        );
        check(
            Config {
                deliver_policy: DeliverPolicy::ByStartTime {
                    start_time: "2024-05-06T07:08:09Z".parse().unwrap(),
                },
                ..Config::default()
            },
            r#"{"deliver_policy":"by_start_time","opt_start_time":"2024-05-06T07:08:09Z","ack_policy":"explicit","max_deliver":-1,"replay_policy":"instant"}"#,
        );
    }

    #[test]
    fn what_a_server_writes_is_read() {
        let config: Config = serde_json::from_str(
            r#"{"name":"x","deliver_policy":"last_per_subject","ack_policy":"none","sample_freq":"5","max_deliver":3,"unknown":{}}"#,
        )
        .unwrap();
        let expected = Config {
            name: Some("x".to_owned()),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            sample_frequency: 5,
            max_deliver: 3,
            ..Config::default()
        };
        assert_eq!(config, expected);
    }
}
