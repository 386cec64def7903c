//! The configuration of a consumer: its JSON, its defaults, the rules of creating and updating it.
//!
//! What a consumer does with its configuration is not known here. Rules, their order and their
//! texts are nats-server's.

use serde::Serialize;

use super::api_subject::Operation;
use super::error::{self, ApiError};
use super::json::{cannot_unmarshal, fields, go_quoted, text_enum};
use super::limits::{AccountLimits, Limits};
use super::metadata::{self, METADATA_BYTES_MAX, Metadata};
use super::stream_config::{
    DESCRIPTION_BYTES_MAX, RetentionPolicy, StreamConfig, is_false, is_zero, is_zero_u64,
};
use super::subjects;
use super::timestamp::Timestamp;
use crate::go_duration;

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

/// A request to create or update a consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateConsumerRequest {
    /// The stream.
    pub stream: String,
    /// The configuration.
    pub config: ConsumerConfig,
    /// Whether the consumer may be there, or has to be.
    pub action: ConsumerAction,
    /// Refuse instead of filling in and correcting.
    pub pedantic: bool,
}

fields!(CreateConsumerRequest, "CreateConsumerRequest" {
    stream: "stream_name",
    config: "config",
    action: "action",
    pedantic: "pedantic",
});

text_enum! {
    /// Whether a consumer may be there, or has to be.
    ConsumerAction, "ConsumerAction", |raw| format!("unknown consumer action: {raw}"), {
        /// It may.
        #[default]
        CreateOrUpdate = "",
        /// It has to be.
        Update = "update",
        /// If it is, it has this configuration.
        Create = "create",
    }
}

/// How long an acknowledgement is waited for, if nothing is said.
const ACK_WAIT_NS: i64 = 30 * SECOND_NS;
/// When an unused consumer goes that is not durable.
const INACTIVE_THRESHOLD_NS: i64 = 5 * SECOND_NS;
/// How long a silent client stays pinned.
const PRIORITY_TIMEOUT_NS: i64 = 120 * SECOND_NS;
/// Messages delivered and not acknowledged.
const ACK_PENDING_MAX: i64 = 1000;
/// Pulls that may wait.
const WAITING_MAX: i64 = 512;
/// How often a consumer says that it is there whose acknowledgements are flow control.
const FLOW_CONTROL_HEARTBEAT_NS: i64 = SECOND_NS;
const SECOND_NS: i64 = 1_000_000_000;
const MILLISECOND_NS: i64 = 1_000_000;
/// Letters of the name of a group.
const GROUP_NAME_BYTES_MAX: usize = 16;

/// What a configuration is checked against.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Limits of the server.
    pub limits: &'a Limits,
    /// Limits of the account.
    pub account: &'a AccountLimits,
    /// The stream.
    pub stream: &'a StreamConfig,
}

impl CreateConsumerRequest {
    /// Checks that subject and body name the same stream, consumer and filter; the configuration
    /// gets its name from the subject. `operation` is the one of the subject.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn resolve(&mut self, operation: Operation<'_>) -> Result<(), ApiError> {
        let config = &mut self.config;
        let (stream, name, filter, is_legacy) = match operation {
            Operation::ConsumerCreate { stream, consumer: None, .. } => (stream, None, None, true),
            Operation::ConsumerCreate { stream, consumer, filter } => {
                (stream, consumer, filter, false)
            }
            Operation::DurableCreate(stream, consumer) => (stream, Some(consumer), None, true),
            _ => return Err(error::BAD_REQUEST),
        };
        if stream != self.stream {
            return Err(error::STREAM_MISMATCH);
        }
        if name.unwrap_or(&config.name).contains(['\\', '/']) {
            return Err(error::CONSUMER_NAME_CONTAINS_PATH_SEPARATORS);
        }
        match name {
            None if !config.durable.is_empty() => {
                return Err(error::CONSUMER_EPHEMERAL_WITH_DURABLE_NAME);
            }
            None => {}
            Some(_) if is_legacy && config.durable.is_empty() => {
                return Err(error::CONSUMER_DURABLE_NAME_NOT_SET);
            }
            Some(name) if !config.durable.is_empty() && config.durable != name => {
                return Err(error::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT);
            }
            Some(name) => name.clone_into(&mut config.name),
        }
        if let Some(filter) = filter {
            if !config.filter_subjects.is_empty() {
                return Err(error::CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED);
            }
            if config.filter_subject != filter {
                return Err(error::CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH);
            }
        }
        // A server that stands alone holds one copy of everything.
        if config.num_replicas > 1 {
            return Err(error::STREAM_REPLICAS_NOT_SUPPORTED);
        }
        Ok(())
    }

    /// The configuration that the consumer is to have, whether it is there already (`existing`) or
    /// not. `others` are all consumers of the stream by name; `has_interest` says whether
    /// somebody listens on a subject.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn plan<'a>(
        self,
        site: Site<'_>,
        existing: Option<&ConsumerConfig>,
        others: impl Iterator<Item = (&'a str, &'a ConsumerConfig)> + Clone,
        has_interest: impl FnOnce(&str) -> bool,
    ) -> Result<ConsumerConfig, ApiError> {
        let Self { mut config, action, pedantic, .. } = self;
        if let Some(existing) = existing {
            config.keep_from(existing);
        }
        config.set_static_metadata();
        let config = config.check(site, pedantic)?;
        let is_work_queue = site.stream.retention == RetentionPolicy::WorkQueue;
        match existing {
            Some(existing) => {
                if action == ConsumerAction::Create && !existing.is_same_as(&config) {
                    return Err(error::CONSUMER_ALREADY_EXISTS);
                }
                if is_work_queue && !config.is_alone(others) {
                    return Err(error::CONSUMER_WQ_CONSUMER_NOT_UNIQUE);
                }
                existing.check_update(config, has_interest)
            }
            None if action == ConsumerAction::Update => Err(error::CONSUMER_DOES_NOT_EXIST),
            None => config.check_new(site, others),
        }
    }
}

impl ConsumerConfig {
    /// Whether messages are sent, and not pulled.
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// Whether it stays when nobody uses it.
    pub fn is_durable(&self) -> bool {
        !self.durable.is_empty()
    }

    /// All filters; none is everything.
    pub fn filters(&self) -> impl Iterator<Item = &str> + Clone {
        let single = Some(self.filter_subject.as_str()).filter(|filter| !filter.is_empty());
        self.filter_subjects.iter().map(String::as_str).chain(single)
    }

    /// Of how many percent of acknowledgements a metric is sent.
    pub fn sample_percent(&self) -> u32 {
        let text = self.sample_freq.strip_suffix('%').unwrap_or(&self.sample_freq);
        text.parse().unwrap_or(0)
    }

    /// The configuration as answers show it.
    #[must_use]
    pub fn shown(&self) -> Self {
        Self { metadata: metadata::with_dynamic(&self.metadata), ..self.clone() }
    }

    /// The API level a server must have to serve this.
    pub fn required_level(&self) -> u32 {
        let is_paused = self.pause_until.is_some_and(|until| !until.is_zero());
        let has_priority = self.priority_policy != PriorityPolicy::None
            || self.priority_timeout_ns != 0
            || !self.priority_groups.is_empty();
        match self.ack_policy {
            AckPolicy::FlowControl => 4,
            _ if is_paused || has_priority => 1,
            _ => 0,
        }
    }

    /// Writes the server's stored entries into the metadata.
    pub fn set_static_metadata(&mut self) {
        let level = self.required_level();
        metadata::set_static(&mut self.metadata, level);
    }

    /// Whether `asked`, checked, asks for this consumer as it is.
    ///
    /// As in nats-server, the time after which an unused consumer goes counts as it was filled
    /// in: whoever asks again has to write it.
    pub fn is_same_as(&self, asked: &Self) -> bool {
        let mut asked = asked.clone();
        metadata::copy_level(&mut asked.metadata, &self.metadata);
        asked == *self
    }

    /// Takes over what a request to change this consumer cannot change.
    pub fn keep_from(&mut self, existing: &Self) {
        self.pause_until = existing.pause_until;
        if self.sourcing && self.is_durable() {
            self.deliver_policy = existing.deliver_policy;
            self.opt_start_seq = existing.opt_start_seq;
            self.opt_start_time = existing.opt_start_time;
        }
    }

    /// The configuration with its defaults filled in, if it keeps all rules that a new consumer
    /// and an updated one have in common. `pedantic` refuses what would be corrected.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(mut self, site: Site<'_>, pedantic: bool) -> Result<Self, ApiError> {
        self.correct(pedantic)?;
        self.fill(site, pedantic)?;
        self.check_names(site)?;
        self.check_acknowledgements()?;
        self.check_delivery(site)?;
        self.check_limits(site)?;
        self.check_filters()?;
        self.check_start()?;
        self.check_rest()?;
        Ok(self)
    }

    /// What is refused of a checked configuration only when the consumer is made; the result is
    /// what the consumer has.
    fn check_new<'a>(
        mut self,
        site: Site<'_>,
        others: impl Iterator<Item = (&'a str, &'a Self)> + Clone,
    ) -> Result<Self, ApiError> {
        let counted = others.clone().filter(|(_, other)| !other.direct && !other.sourcing).count();
        let (of_stream, of_account) = (site.stream.max_consumers, site.account.max_consumers);
        let most = if of_stream <= 0 || (of_account > 0 && of_account < of_stream) {
            of_account
        } else {
            of_stream
        };
        if usize::try_from(most).is_ok_and(|most| most > 0 && counted >= most) {
            return Err(error::MAXIMUM_CONSUMERS_LIMIT);
        }
        let is_work_queue = site.stream.retention == RetentionPolicy::WorkQueue;
        if is_work_queue && !self.direct && !self.sourcing {
            if !matches!(self.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl) {
                return Err(error::CONSUMER_WQ_REQUIRES_EXPLICIT_ACK);
            }
            if self.deliver_policy != DeliverPolicy::All {
                return Err(error::CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL);
            }
            if counted > 0 && self.filters().next().is_none() {
                return Err(error::CONSUMER_WQ_MULTIPLE_UNFILTERED);
            }
            if !self.is_alone(others) {
                return Err(error::CONSUMER_WQ_CONSUMER_NOT_UNIQUE);
            }
        }
        let longest = subjects::NAME_BYTES_MAX;
        if self.durable.len() > longest || self.name.len() > longest {
            return Err(error::consumer_name_too_long(longest));
        }
        if !self.is_durable() && self.inactive_threshold_ns <= 0 {
            self.inactive_threshold_ns = INACTIVE_THRESHOLD_NS;
        }
        Ok(self)
    }

    /// `new`, checked by [`ConsumerConfig::check`], as the update of a consumer with this
    /// configuration. `has_interest` says whether somebody listens on a subject.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check_update(
        &self,
        mut new: Self,
        has_interest: impl FnOnce(&str) -> bool,
    ) -> Result<Self, ApiError> {
        let old = self;
        let start_time_differs = match (old.opt_start_time, new.opt_start_time) {
            (Some(old), Some(new)) => !old.is_same_moment(new),
            (old, new) => old.is_some() || new.is_some(),
        };
        for (changed, what) in [
            (old.deliver_policy != new.deliver_policy, "deliver policy"),
            (old.mem_storage != new.mem_storage, "storage type"),
            (old.direct != new.direct, "direct"),
            (old.sourcing != new.sourcing, "sourcing"),
            (old.opt_start_seq != new.opt_start_seq, "start sequence"),
            (start_time_differs, "start time"),
            (old.ack_policy != new.ack_policy, "ack policy"),
            (old.replay_policy != new.replay_policy, "replay policy"),
            (old.idle_heartbeat_ns != new.idle_heartbeat_ns, "heart beats"),
            (old.flow_control != new.flow_control, "flow control"),
        ] {
            if changed {
                return Err(error::consumer_create(format_args!("{what} can not be updated")));
            }
        }
        if old.deliver_subject != new.deliver_subject {
            if !old.is_push() {
                return Err(error::consumer_create("can not update pull consumer to push based"));
            }
            if !new.is_push() {
                return Err(error::consumer_create("can not update push consumer to pull based"));
            }
            if has_interest(&old.deliver_subject) {
                return Err(error::CONSUMER_NAME_EXIST);
            }
        }
        if old.max_waiting != new.max_waiting {
            return Err(error::consumer_create("max waiting can not be updated"));
        }
        // What was durable and is no longer keeps having no threshold.
        let changed = new.inactive_threshold_ns != old.inactive_threshold_ns;
        if changed && !old.is_durable() && new.inactive_threshold_ns <= 0 {
            new.inactive_threshold_ns = INACTIVE_THRESHOLD_NS;
        }
        new.pause_until = new.pause_until.map(Timestamp::in_utc);
        Ok(new)
    }

    /// Whether no other consumer of a work queue can get messages that this one gets.
    fn is_alone<'a>(&self, mut others: impl Iterator<Item = (&'a str, &'a Self)>) -> bool {
        let name = if self.is_durable() { &self.durable } else { &self.name };
        others.all(|(other_name, other)| {
            other_name == name
                || other.direct
                || other.sourcing
                || self.filters().all(|filter| {
                    other.filters().next().is_some()
                        && !other.filters().any(|theirs| subjects::collide(filter, theirs))
                })
        })
    }

    /// Makes "unlimited" and "nothing" of numbers that are too small.
    fn correct(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let must_be = |broken: bool, text: &str| {
            if broken && pedantic { Err(error::pedantic(text)) } else { Ok(()) }
        };
        must_be(self.max_deliver < -1, "max_deliver must be set to -1")?;
        if self.max_deliver <= 0 {
            self.max_deliver = -1;
        }
        must_be(self.max_waiting < 0, "max_waiting must not be negative")?;
        self.max_waiting = self.max_waiting.max(0);
        must_be(self.max_ack_pending < -1, "max_ack_pending must be set to -1")?;
        self.max_ack_pending = self.max_ack_pending.max(-1);
        for (value, text) in [
            (&mut self.max_batch, "max_batch must not be negative"),
            (&mut self.max_expires_ns, "max_expires must not be negative"),
            (&mut self.max_bytes, "max_bytes must not be negative"),
            (&mut self.idle_heartbeat_ns, "idle_heartbeat must not be negative"),
            (&mut self.inactive_threshold_ns, "inactive_threshold must not be negative"),
            (&mut self.priority_timeout_ns, "priority_timeout must not be negative"),
        ] {
            must_be(*value < 0, text)?;
            *value = (*value).max(0);
        }
        Ok(())
    }

    /// Fills in what is not said.
    fn fill(&mut self, site: Site<'_>, pedantic: bool) -> Result<(), ApiError> {
        let must_be_set = |missing: bool, text: &str| {
            if missing && pedantic { Err(error::pedantic(text)) } else { Ok(()) }
        };
        let of_stream = &site.stream.consumer_limits;
        if !self.is_push() && self.max_waiting == 0 {
            self.max_waiting = WAITING_MAX;
        }
        if self.ack_wait_ns == 0 && matches!(self.ack_policy, AckPolicy::Explicit | AckPolicy::All)
        {
            self.ack_wait_ns = ACK_WAIT_NS;
        }
        if let Some(first) = self.backoff_ns.first().copied() {
            must_be_set(
                self.ack_wait_ns != first,
                "first backoff value has to equal batch AckWait",
            )?;
            self.ack_wait_ns = first;
        }
        if self.max_ack_pending == 0 {
            must_be_set(
                of_stream.max_ack_pending > 0,
                "max_ack_pending must be set if it's configured in stream limits",
            )?;
            self.max_ack_pending = of_stream.max_ack_pending;
        }
        if self.inactive_threshold_ns == 0 {
            must_be_set(
                of_stream.inactive_threshold_ns > 0,
                "inactive_threshold must be set if it's configured in stream limits",
            )?;
            self.inactive_threshold_ns = of_stream.inactive_threshold_ns;
        }
        if self.max_ack_pending == 0 && self.ack_policy != AckPolicy::None {
            self.max_ack_pending = [site.limits.ack_pending_max, site.account.max_ack_pending]
                .into_iter()
                .filter(|limit| *limit > 0)
                .fold(ACK_PENDING_MAX, i64::min);
        }
        if !self.is_push() && self.max_batch == 0 && site.limits.request_batch_max > 0 {
            must_be_set(true, "max_request_batch must be set if it's JetStream limits are set")?;
            self.max_batch = site.limits.request_batch_max;
        }
        if self.priority_policy == PriorityPolicy::PinnedClient && self.priority_timeout_ns == 0 {
            self.priority_timeout_ns = PRIORITY_TIMEOUT_NS;
        }
        if self.ack_policy == AckPolicy::FlowControl && !pedantic {
            self.flow_control = true;
            self.idle_heartbeat_ns = FLOW_CONTROL_HEARTBEAT_NS;
        }
        Ok(())
    }

    fn check_names(&self, site: Site<'_>) -> Result<(), ApiError> {
        let wrong = |name: &str| !name.is_empty() && !subjects::is_valid_name(name);
        refuse_text(wrong(&self.name), "consumer name can not contain '.', '*', '>', '\\', '/'")?;
        refuse_text(
            wrong(&self.durable),
            "consumer durable name can not contain '.', '*', '>', '\\', '/'",
        )?;
        let (replicas, of_stream) = (self.num_replicas, site.stream.num_replicas);
        refuse(replicas > 0 && replicas > of_stream, error::CONSUMER_REPLICAS_EXCEEDS_STREAM)?;
        refuse(replicas < 0, error::REPLICAS_COUNT_CANNOT_BE_NEGATIVE)?;
        refuse(
            site.stream.retention != RetentionPolicy::Limits
                && replicas != 0
                && replicas != of_stream,
            error::CONSUMER_REPLICAS_SHOULD_MATCH_STREAM,
        )
    }

    fn check_acknowledgements(&self) -> Result<(), ApiError> {
        let negative = self.backoff_ns.iter().any(|wait| *wait < 0);
        refuse(negative, error::CONSUMER_BACK_OFF_NEGATIVE)?;
        refuse(self.ack_wait_ns < 0, error::CONSUMER_ACK_WAIT_NEGATIVE)?;
        if self.ack_policy == AckPolicy::FlowControl {
            refuse(!self.is_push(), error::CONSUMER_ACK_FC_REQUIRES_PUSH)?;
            refuse(!self.flow_control, error::CONSUMER_ACK_FC_REQUIRES_FC)?;
            refuse_text(
                self.idle_heartbeat_ns != FLOW_CONTROL_HEARTBEAT_NS,
                "flow control ack policy heartbeat needs to be 1s",
            )?;
            refuse(self.max_ack_pending <= 0, error::CONSUMER_ACK_FC_REQUIRES_MAX_ACK_PENDING)?;
            refuse(
                self.ack_wait_ns != 0 || !self.backoff_ns.is_empty(),
                error::CONSUMER_ACK_FC_REQUIRES_NO_ACK_WAIT,
            )?;
            refuse(self.max_deliver > 0, error::CONSUMER_ACK_FC_REQUIRES_NO_MAX_DELIVER)?;
        }
        let waits = i64::try_from(self.backoff_ns.len()).unwrap_or(i64::MAX);
        refuse(
            waits > 0 && self.max_deliver != -1 && waits > self.max_deliver,
            error::CONSUMER_MAX_DELIVER_BACKOFF,
        )
    }

    fn check_delivery(&self, site: Site<'_>) -> Result<(), ApiError> {
        if self.description.len() > DESCRIPTION_BYTES_MAX {
            return Err(error::consumer_description_too_long(DESCRIPTION_BYTES_MAX));
        }
        if self.is_push() {
            let subject = &self.deliver_subject;
            let makes_cycle =
                site.stream.subjects.iter().any(|stored| subjects::is_subset(subject, stored));
            refuse(!subjects::is_literal(subject), error::CONSUMER_DELIVER_TO_WILDCARDS)?;
            refuse(!subjects::is_valid(subject), error::CONSUMER_INVALID_DELIVER_SUBJECT)?;
            refuse(makes_cycle, error::CONSUMER_DELIVER_CYCLE)?;
            refuse(self.max_waiting != 0, error::CONSUMER_PUSH_MAX_WAITING)?;
            refuse(
                self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None,
                error::CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED,
            )?;
            return refuse(
                (1..100 * MILLISECOND_NS).contains(&self.idle_heartbeat_ns),
                error::CONSUMER_SMALL_HEARTBEAT,
            );
        }
        refuse(
            self.ack_policy == AckPolicy::None
                && site.stream.retention == RetentionPolicy::WorkQueue,
            error::CONSUMER_PULL_REQUIRES_ACK,
        )?;
        refuse(self.rate_limit_bps > 0, error::CONSUMER_PULL_WITH_RATE_LIMIT)?;
        refuse(self.idle_heartbeat_ns > 0, error::CONSUMER_HB_REQUIRES_PUSH)?;
        refuse(self.flow_control, error::CONSUMER_FC_REQUIRES_PUSH)?;
        refuse(
            (1..MILLISECOND_NS).contains(&self.max_expires_ns),
            error::CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL,
        )?;
        let most = site.limits.request_batch_max;
        if most > 0 && self.max_batch > most {
            return Err(error::consumer_max_request_batch_exceeded(most));
        }
        Ok(())
    }

    fn check_limits(&self, site: Site<'_>) -> Result<(), ApiError> {
        let of_stream = &site.stream.consumer_limits;
        for limit in
            [site.limits.ack_pending_max, site.account.max_ack_pending, of_stream.max_ack_pending]
        {
            if limit > 0 && self.max_ack_pending > limit {
                return Err(error::consumer_max_pending_ack_excess(limit));
            }
        }
        let longest = of_stream.inactive_threshold_ns;
        if longest > 0 && self.inactive_threshold_ns > longest {
            return Err(error::consumer_inactive_threshold_excess(go_duration::format(longest)));
        }
        if self.direct {
            refuse(!self.is_push(), error::CONSUMER_DIRECT_REQUIRES_PUSH)?;
            refuse(self.is_durable(), error::CONSUMER_DIRECT_REQUIRES_EPHEMERAL)?;
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        let single = &self.filter_subject;
        let several = &self.filter_subjects;
        refuse(
            !single.is_empty() && !several.is_empty(),
            error::CONSUMER_DUPLICATE_FILTER_SUBJECTS,
        )?;
        refuse_text(!single.is_empty() && !subjects::is_valid(single), "invalid subject")?;
        refuse(several.iter().any(String::is_empty), error::CONSUMER_EMPTY_FILTER)?;
        for (index, filter) in several.iter().enumerate() {
            refuse_text(!subjects::is_valid(filter), "invalid subject")?;
            let overlaps = several
                .iter()
                .enumerate()
                .any(|(other, outer)| other != index && subjects::is_subset(filter, outer));
            refuse(overlaps, error::CONSUMER_OVERLAPPING_SUBJECT_FILTERS)?;
        }
        Ok(())
    }

    /// A policy of where to begin, and nothing that belongs to another one.
    fn check_start(&self) -> Result<(), ApiError> {
        let (policy, needs_sequence, needs_time) = match self.deliver_policy {
            DeliverPolicy::All => ("all", false, false),
            DeliverPolicy::Last => ("last", false, false),
            DeliverPolicy::LastPerSubject => ("last per subject", false, false),
            DeliverPolicy::New => ("new", false, false),
            DeliverPolicy::ByStartSequence => ("by start sequence", true, false),
            DeliverPolicy::ByStartTime => ("by start time", false, true),
        };
        let missing = |what: &str| {
            error::consumer_invalid_policy(format_args!(
                "consumer delivery policy is deliver {policy}, but optional {what} is not set"
            ))
        };
        let excluded = |what: &str| {
            error::consumer_invalid_policy(format_args!(
                "consumer delivery policy is deliver {policy}, \
                 but optional start {what} is also set"
            ))
        };
        let (has_sequence, has_time) = (self.opt_start_seq > 0, self.opt_start_time.is_some());
        refuse_with(needs_sequence && !has_sequence, || missing("start sequence"))?;
        refuse_with(needs_time && !has_time, || missing("start time"))?;
        refuse_with(!needs_sequence && has_sequence, || {
            excluded(if needs_time { "start sequence" } else { "sequence" })
        })?;
        refuse_with(!needs_time && has_time, || excluded("time"))?;
        let is_unfiltered = self.filters().next().is_none();
        refuse_with(self.deliver_policy == DeliverPolicy::LastPerSubject && is_unfiltered, || {
            missing("filter subject")
        })
    }

    fn check_rest(&self) -> Result<(), ApiError> {
        if !self.sample_freq.is_empty() {
            let text = self.sample_freq.strip_suffix('%').unwrap_or(&self.sample_freq);
            check_percent(text).map_err(error::consumer_invalid_sampling)?;
        }
        refuse(
            self.flow_control && self.idle_heartbeat_ns == 0,
            error::CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS,
        )?;
        refuse(
            self.is_durable() && !self.name.is_empty() && self.name != self.durable,
            error::CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH,
        )?;
        if metadata::size(&self.metadata) > METADATA_BYTES_MAX {
            let limit = format!("{}KB", METADATA_BYTES_MAX / 1024);
            return Err(error::consumer_metadata_length(limit));
        }
        if self.priority_policy == PriorityPolicy::None {
            refuse(
                !self.priority_groups.is_empty(),
                error::CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE,
            )?;
            return refuse(
                self.priority_timeout_ns > 0,
                error::CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE,
            );
        }
        refuse(self.is_push(), error::CONSUMER_PUSH_WITH_PRIORITY_GROUP)?;
        refuse(self.priority_groups.is_empty(), error::CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP)?;
        for group in &self.priority_groups {
            refuse(group.is_empty(), error::CONSUMER_EMPTY_GROUP_NAME)?;
            refuse(!is_group_name(group), error::CONSUMER_INVALID_GROUP_NAME)?;
        }
        Ok(())
    }
}

/// Whether a group can have this name.
pub fn is_group_name(name: &str) -> bool {
    let is_letter =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'=' | b'-');
    (1..=GROUP_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter)
}

/// Whether `text` is a number that is not negative; what Go's `strconv.Atoi` says if it is not.
fn check_percent(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {}: invalid syntax", go_quoted(text)));
    }
    match text.parse::<i64>() {
        Err(_) => Err(format!("strconv.Atoi: parsing {}: value out of range", go_quoted(text))),
        // The text of an error that is none.
        Ok(percent) if percent < 0 => Err("<nil>".to_owned()),
        Ok(_) => Ok(()),
    }
}

fn refuse(broken: bool, error: ApiError) -> Result<(), ApiError> {
    if broken { Err(error) } else { Ok(()) }
}

fn refuse_with(broken: bool, error: impl FnOnce() -> ApiError) -> Result<(), ApiError> {
    if broken { Err(error()) } else { Ok(()) }
}

fn refuse_text(broken: bool, text: &str) -> Result<(), ApiError> {
    if broken { Err(error::stream_invalid_config(text)) } else { Ok(()) }
}

fn is_priority_none(policy: &PriorityPolicy) -> bool {
    *policy == PriorityPolicy::None
}
