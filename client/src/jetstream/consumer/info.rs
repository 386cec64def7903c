//! What a server says of a consumer.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::super::stream::ClusterInfo;
use super::super::wire::{nanoseconds, null_is_default, time_known};
use super::config::Config;

/// What a server says of a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// The stream.
    pub stream_name: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its configuration, with what the server added to it.
    pub config: Config,
    /// What was delivered last.
    pub delivered: SequenceInfo,
    /// Up to here everything is acknowledged.
    pub ack_floor: SequenceInfo,
    /// How many messages wait for their acknowledgement.
    #[serde(default)]
    pub num_ack_pending: usize,
    /// How many of these were delivered more than once.
    #[serde(default)]
    pub num_redelivered: usize,
    /// How many pull requests wait.
    #[serde(default)]
    pub num_waiting: usize,
    /// How many messages were not delivered yet.
    #[serde(default)]
    pub num_pending: u64,
    /// Which servers have it.
    #[serde(default)]
    pub cluster: Option<ClusterInfo>,
    /// Whether somebody listens to a push consumer.
    #[serde(default)]
    pub push_bound: bool,
    /// Whether it is paused.
    #[serde(default)]
    pub paused: bool,
    /// For how long yet; zero when it is not paused.
    #[serde(default, deserialize_with = "nanoseconds::deserialize")]
    pub pause_remaining: Duration,
    /// Who is pinned in which group.
    #[serde(default, deserialize_with = "null_is_default")]
    pub priority_groups: Vec<PriorityGroup>,
    /// When the server said this.
    #[serde(default, rename = "ts", deserialize_with = "time_known::deserialize")]
    pub time: Option<Timestamp>,
}

/// How far a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct SequenceInfo {
    /// In deliveries.
    #[serde(rename = "consumer_seq")]
    pub consumer_sequence: u64,
    /// In messages of the stream.
    #[serde(rename = "stream_seq")]
    pub stream_sequence: u64,
    /// When that was.
    #[serde(default, deserialize_with = "time_known::deserialize")]
    pub last_active: Option<Timestamp>,
}

/// Who is pinned in a group of those that pull.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PriorityGroup {
    /// The group.
    pub group: String,
    /// Who is pinned.
    #[serde(default)]
    pub pinned_client_id: Option<String>,
    /// Since when.
    #[serde(default, rename = "pinned_ts", deserialize_with = "time_known::deserialize")]
    pub pinned_since: Option<Timestamp>,
}
