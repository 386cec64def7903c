//! What a server says of a stream.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::super::wire::{nanoseconds_known, null_is_default, time_known};
use super::config::{Config, External, SubjectTransform};

/// What a server says of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// Its configuration, with what the server added to it.
    pub config: Config,
    /// When it was made.
    pub created: Timestamp,
    /// What is in it.
    pub state: State,
    /// The JetStream domain of the server.
    #[serde(default)]
    pub domain: Option<String>,
    /// Which servers have it.
    #[serde(default)]
    pub cluster: Option<ClusterInfo>,
    /// How far the mirror is.
    #[serde(default)]
    pub mirror: Option<SourceInfo>,
    /// How far its sources are.
    #[serde(default, deserialize_with = "null_is_default")]
    pub sources: Vec<SourceInfo>,
    /// Streams that have the same messages, the nearest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub alternates: Vec<Alternate>,
    /// When the server said this.
    #[serde(default, rename = "ts", deserialize_with = "time_known::deserialize")]
    pub time: Option<Timestamp>,
}

/// What is in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    /// How many messages.
    pub messages: u64,
    /// How many bytes, with headers and what the storage itself needs.
    pub bytes: u64,
    /// The sequence of the first message; one more than the last when there is none.
    #[serde(rename = "first_seq")]
    pub first_sequence: u64,
    /// When the first message was stored; `None` when there is none.
    #[serde(default, rename = "first_ts", deserialize_with = "time_known::deserialize")]
    pub first_timestamp: Option<Timestamp>,
    /// The sequence of the last message that was stored; 0 when there was none.
    #[serde(rename = "last_seq")]
    pub last_sequence: u64,
    /// When the last message was stored.
    #[serde(default, rename = "last_ts", deserialize_with = "time_known::deserialize")]
    pub last_timestamp: Option<Timestamp>,
    /// How many consumers there are.
    #[serde(default)]
    pub consumer_count: usize,
    /// How many subjects have messages.
    #[serde(default, rename = "num_subjects")]
    pub subjects_count: u64,
    /// How many sequences between the first and the last have no message.
    #[serde(default, rename = "num_deleted")]
    pub deleted_count: u64,
    /// These sequences, where they were asked for; see
    /// [`Stream::info_with_deleted`](super::Stream::info_with_deleted).
    #[serde(default, deserialize_with = "null_is_default")]
    pub deleted: Vec<u64>,
    /// How many messages each subject has, where that was asked for; see
    /// [`Stream::subjects`](super::Stream::subjects).
    #[serde(default, deserialize_with = "null_is_default")]
    pub subjects: BTreeMap<String, u64>,
    /// What the server found damaged.
    #[serde(default)]
    pub lost: Option<Lost>,
}

/// Messages that a server lost.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lost {
    /// Their sequences.
    #[serde(default, rename = "msgs", deserialize_with = "null_is_default")]
    pub messages: Vec<u64>,
    /// Their bytes.
    #[serde(default)]
    pub bytes: u64,
}

/// Which servers have a stream or a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ClusterInfo {
    /// The name of the cluster.
    #[serde(default)]
    pub name: Option<String>,
    /// The name of the Raft group.
    #[serde(default)]
    pub raft_group: Option<String>,
    /// The server that decides.
    #[serde(default)]
    pub leader: Option<String>,
    /// Since when it does.
    #[serde(default)]
    pub leader_since: Option<Timestamp>,
    /// The others.
    #[serde(default, deserialize_with = "null_is_default")]
    pub replicas: Vec<Replica>,
}

/// A server that follows the leader.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Whether it has everything.
    #[serde(default)]
    pub current: bool,
    /// Whether it is not reached.
    #[serde(default)]
    pub offline: bool,
    /// How long ago it was heard of.
    #[serde(default, deserialize_with = "nanoseconds_known::deserialize")]
    pub active: Option<Duration>,
    /// How many operations it is behind.
    #[serde(default)]
    pub lag: u64,
}

/// How far the copy of a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SourceInfo {
    /// The stream that is copied.
    pub name: String,
    /// How many of its messages are missing.
    #[serde(default)]
    pub lag: u64,
    /// How long ago it was heard of; `None` if never.
    #[serde(default, deserialize_with = "nanoseconds_known::deserialize")]
    pub active: Option<Duration>,
    /// How it is reached.
    #[serde(default)]
    pub external: Option<External>,
    /// Why it cannot be copied.
    #[serde(default)]
    pub error: Option<super::super::ApiError>,
    /// Only messages of these subjects are copied.
    #[serde(default)]
    pub filter_subject: Option<String>,
    /// Subjects are mapped so.
    #[serde(default, deserialize_with = "null_is_default")]
    pub subject_transforms: Vec<SubjectTransform>,
}

/// A stream that has the same messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Alternate {
    /// Its name.
    pub name: String,
    /// Its domain.
    #[serde(default)]
    pub domain: Option<String>,
    /// Its cluster.
    #[serde(default)]
    pub cluster: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_was_never_used() {
        let info: Info = serde_json::from_str(
            r#"{"type":"x","config":{"name":"A","max_msgs":-1},"created":"2024-05-06T07:08:09.123456789+02:00",
            "state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,
            "last_ts":"0001-01-01T00:00:00Z","consumer_count":0},"sources":null,
            "mirror":{"name":"B","active":-1,"lag":3},"ts":"2024-05-06T07:08:09Z"}"#,
        )
        .unwrap();
        assert_eq!(info.created.to_string(), "2024-05-06T05:08:09.123456789Z");
        assert_eq!((info.state.first_timestamp, info.state.last_timestamp), (None, None));
        let mirror = info.mirror.unwrap();
        assert_eq!((mirror.lag, mirror.active), (3, None));
    }
}
