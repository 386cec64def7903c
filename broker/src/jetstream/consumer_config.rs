//! The configuration of a consumer: its JSON, its defaults, the rules of creating and updating it.
//!
//! What a consumer does with its configuration is not known here. Rules, their order and their
//! texts are nats-server's.

use serde::Serialize;

use super::json::{cannot_unmarshal, fields, text_enum};
use super::metadata::{self, Metadata};
use super::stream_config::{is_false, is_zero, is_zero_u64};
use super::timestamp::Timestamp;

/// What is asked of a consumer. Durations are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ConsumerConfig {
    /// The name of a consumer that stays when nobody uses it.
    #[serde(rename = "durable_name", skip_serializing_if = "String::is_empty")]
    pub durable: String,
    /// The name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// For people; at most 4 KiB.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Which message is the first.
    pub deliver_policy: DeliverPolicy,
    /// The sequence it begins with.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub opt_start_seq: u64,
    /// The time it begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Timestamp>,
    /// What is to be acknowledged.
    pub ack_policy: AckPolicy,
    /// How long an acknowledgement is waited for.
    #[serde(rename = "ack_wait", skip_serializing_if = "is_zero")]
    pub ack_wait_ns: i64,
    /// How often a message is delivered; -1 is unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_deliver: i64,
    /// How long acknowledgements of each delivery are waited for.
    #[serde(rename = "backoff", skip_serializing_if = "Vec::is_empty")]
    pub backoff_ns: Vec<i64>,
    /// Only these subjects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Only these subjects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// How fast messages are delivered.
    pub replay_policy: ReplayPolicy,
    /// Bits in a second; 0 is unlimited.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub rate_limit_bps: u64,
    /// Of how many percent of acknowledgements a metric is sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sample_freq: String,
    /// Pulls that may wait.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_waiting: i64,
    /// Messages delivered and not acknowledged; -1 is unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    /// The subscriber says when it has caught up.
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    /// Without the payload.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    /// Messages one pull may ask for.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_batch: i64,
    /// How long one pull may wait.
    #[serde(rename = "max_expires", skip_serializing_if = "is_zero")]
    pub max_expires_ns: i64,
    /// Bytes one pull may ask for.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_bytes: i64,
    /// Where messages are sent, if they are not pulled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
    /// The queue group of those who listen there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_group: String,
    /// How often an idle consumer says that it is there.
    #[serde(rename = "idle_heartbeat", skip_serializing_if = "is_zero")]
    pub idle_heartbeat_ns: i64,
    /// When an unused consumer goes.
    #[serde(rename = "inactive_threshold", skip_serializing_if = "is_zero")]
    pub inactive_threshold_ns: i64,
    /// Servers that hold it; 0 is as many as hold the stream.
    pub num_replicas: i64,
    /// Its state is kept in memory.
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    /// It is used by a server, and not shown.
    #[serde(skip_serializing_if = "is_false")]
    pub direct: bool,
    /// It is used by a stream that copies.
    #[serde(skip_serializing_if = "is_false")]
    pub sourcing: bool,
    /// Whatever the user attaches, and the server's own entries.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Until then nothing is delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Timestamp>,
    /// Groups of those who pull.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<String>,
    /// Who of a group is served.
    #[serde(skip_serializing_if = "is_priority_none")]
    pub priority_policy: PriorityPolicy,
    /// How long a silent client stays pinned.
    #[serde(rename = "priority_timeout", skip_serializing_if = "is_zero")]
    pub priority_timeout_ns: i64,
}

fields!(ConsumerConfig, "ConsumerConfig" {
    durable: "durable_name",
    name: "name",
    description: "description",
    deliver_policy: "deliver_policy",
    opt_start_seq: "opt_start_seq",
    opt_start_time: "opt_start_time",
    ack_policy: "ack_policy",
    ack_wait_ns: "ack_wait" as "time.Duration",
    max_deliver: "max_deliver" as "int",
    backoff_ns: "backoff" as "[]time.Duration",
    filter_subject: "filter_subject",
    filter_subjects: "filter_subjects",
    replay_policy: "replay_policy",
    rate_limit_bps: "rate_limit_bps",
    sample_freq: "sample_freq",
    max_waiting: "max_waiting" as "int",
    max_ack_pending: "max_ack_pending" as "int",
    flow_control: "flow_control",
    headers_only: "headers_only",
    max_batch: "max_batch" as "int",
    max_expires_ns: "max_expires" as "time.Duration",
    max_bytes: "max_bytes" as "int",
    deliver_subject: "deliver_subject",
    deliver_group: "deliver_group",
    idle_heartbeat_ns: "idle_heartbeat" as "time.Duration",
    inactive_threshold_ns: "inactive_threshold" as "time.Duration",
    num_replicas: "num_replicas" as "int",
    mem_storage: "mem_storage",
    direct: "direct",
    sourcing: "sourcing",
    metadata: "metadata",
    pause_until: "pause_until",
    priority_groups: "priority_groups",
    priority_policy: "priority_policy",
    priority_timeout_ns: "priority_timeout" as "time.Duration",
});

text_enum! {
    /// Which message is the first.
    DeliverPolicy, "DeliverPolicy", cannot_unmarshal, {
        /// The first that the stream has.
        #[default]
        All = "all" | "undefined",
        /// The last.
        Last = "last",
        /// The next that comes.
        New = "new",
        /// The one with the sequence of the configuration.
        ByStartSequence = "by_start_sequence",
        /// The first of the time of the configuration.
        ByStartTime = "by_start_time",
        /// The last of each subject.
        LastPerSubject = "last_per_subject",
    }
}

text_enum! {
    /// What is to be acknowledged.
    AckPolicy, "AckPolicy", cannot_unmarshal, {
        /// Nothing.
        #[default]
        None = "none",
        /// A message and with it all before.
        All = "all",
        /// Each message.
        Explicit = "explicit",
        /// What flow control says.
        FlowControl = "flow_control",
    }
}

text_enum! {
    /// How fast messages are delivered.
    ReplayPolicy, "ReplayPolicy", cannot_unmarshal, {
        /// As fast as they are taken.
        #[default]
        Instant = "instant",
        /// As fast as they came.
        Original = "original",
    }
}

text_enum! {
    /// Who of a group is served.
    PriorityPolicy, "PriorityPolicy", |raw| format!("unknown priority policy: {raw}"), {
        /// There are no groups.
        #[default]
        None = "none",
        /// Those whose conditions are met.
        Overflow = "overflow",
        /// One client, until it falls silent.
        PinnedClient = "pinned_client",
        /// Those with the lowest number.
        Prioritized = "prioritized",
    }
}

impl ConsumerConfig {
    /// Whether messages are sent, and not pulled.
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// The configuration as answers show it.
    #[must_use]
    pub fn shown(&self) -> Self {
        Self { metadata: metadata::with_dynamic(&self.metadata), ..self.clone() }
    }
}

fn is_priority_none(policy: &PriorityPolicy) -> bool {
    *policy == PriorityPolicy::None
}
