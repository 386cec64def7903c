//! The configuration of a stream: its JSON, its defaults, the rules of creating and updating it.
//!
//! What a stream does with its configuration is not known here, and neither is which streams
//! there are: whoever asks says so. Rules, their order and their texts are nats-server's.

use std::collections::HashSet;

use serde::Serialize;

use super::consumer_config::ConsumerConfig;
use super::error::{self, ApiError};
use super::json::{cannot_unmarshal, fields, text_enum};
use super::limits::{AccountLimits, Limits};
use super::metadata::{self, METADATA_BYTES_MAX, Metadata};
use super::subject_transform::SubjectTransform;
use super::subjects;
use super::timestamp::Timestamp;
use crate::go_duration;

/// What is asked of a stream. Durations are nanoseconds; -1 is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamConfig {
    /// Unique in its account, and part of API subjects.
    pub name: String,
    /// For people; at most 4 KiB.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What the stream stores.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// When a message may go.
    pub retention: RetentionPolicy,
    /// Consumers it may have.
    pub max_consumers: i64,
    /// Messages it may hold.
    pub max_msgs: i64,
    /// Bytes it may hold.
    pub max_bytes: i64,
    /// Age a message may reach; 0 is unlimited.
    #[serde(rename = "max_age")]
    pub max_age_ns: i64,
    /// Messages of one subject it may hold.
    pub max_msgs_per_subject: i64,
    /// Bytes of one message, headers included.
    #[serde(skip_serializing_if = "is_zero_i32")]
    pub max_msg_size: i32,
    /// What goes when a limit is reached: old messages, or the new one.
    pub discard: DiscardPolicy,
    /// Where messages are kept.
    pub storage: StorageType,
    /// Servers that hold a copy.
    pub num_replicas: i64,
    /// Publishers get no answer.
    #[serde(skip_serializing_if = "is_false")]
    pub no_ack: bool,
    /// How long message ids are remembered.
    #[serde(rename = "duplicate_window", skip_serializing_if = "is_zero")]
    pub duplicate_window_ns: i64,
    /// On which servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The stream this one is a copy of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSource>,
    /// Streams whose messages are stored here too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSource>,
    /// Compression of stored messages.
    pub compression: Compression,
    /// The sequence of the first message; 0 is 1.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub first_seq: u64,
    /// What subjects become before they are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<SubjectTransformConfig>,
    /// Where stored messages are published again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    /// Direct gets are answered.
    pub allow_direct: bool,
    /// A mirror answers direct gets for its origin.
    pub mirror_direct: bool,
    /// A full subject refuses new messages.
    #[serde(skip_serializing_if = "is_false")]
    pub discard_new_per_subject: bool,
    /// Nothing comes in and nothing goes.
    pub sealed: bool,
    /// Single messages cannot be deleted.
    pub deny_delete: bool,
    /// Messages cannot be purged.
    pub deny_purge: bool,
    /// A header of a message may remove those before it.
    pub allow_rollup_hdrs: bool,
    /// What consumers may ask for.
    pub consumer_limits: ConsumerLimits,
    /// A header of a message may limit its age.
    pub allow_msg_ttl: bool,
    /// Age of the marker that is left where the last message of a subject went; 0 leaves none.
    #[serde(rename = "subject_delete_marker_ttl", skip_serializing_if = "is_zero")]
    pub subject_delete_marker_ttl_ns: i64,
    /// Messages are increments of counters.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_counter: bool,
    /// Batches are stored as a whole or not at all.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_atomic: bool,
    /// Messages may be scheduled.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_schedules: bool,
    /// Whether an answer waits for the message to be kept.
    #[serde(skip_serializing_if = "is_persist_default")]
    pub persist_mode: PersistMode,
    /// Batches may be published fast.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_batched: bool,
    /// Whatever the user attaches, and the server's own entries.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

fields!(StreamConfig, "StreamConfig" {
    name: "name",
    description: "description",
    subjects: "subjects",
    retention: "retention",
    max_consumers: "max_consumers" as "int",
    max_msgs: "max_msgs",
    max_bytes: "max_bytes",
    max_age_ns: "max_age" as "time.Duration",
    max_msgs_per_subject: "max_msgs_per_subject",
    max_msg_size: "max_msg_size",
    discard: "discard",
    storage: "storage",
    num_replicas: "num_replicas" as "int",
    no_ack: "no_ack",
    duplicate_window_ns: "duplicate_window" as "time.Duration",
    placement: "placement",
    mirror: "mirror",
    sources: "sources" as "[]*server.StreamSource",
    compression: "compression",
    first_seq: "first_seq",
    subject_transform: "subject_transform",
    republish: "republish",
    allow_direct: "allow_direct",
    mirror_direct: "mirror_direct",
    discard_new_per_subject: "discard_new_per_subject",
    sealed: "sealed",
    deny_delete: "deny_delete",
    deny_purge: "deny_purge",
    allow_rollup_hdrs: "allow_rollup_hdrs",
    consumer_limits: "consumer_limits",
    allow_msg_ttl: "allow_msg_ttl",
    subject_delete_marker_ttl_ns: "subject_delete_marker_ttl" as "time.Duration",
    allow_msg_counter: "allow_msg_counter",
    allow_atomic: "allow_atomic",
    allow_msg_schedules: "allow_msg_schedules",
    persist_mode: "persist_mode",
    allow_batched: "allow_batched",
    metadata: "metadata",
});

text_enum! {
    /// When a message may go.
    RetentionPolicy, "RetentionPolicy", cannot_unmarshal, {
        /// When a limit says so.
        #[default]
        Limits = "limits",
        /// When every consumer that wants it has acknowledged it.
        Interest = "interest",
        /// When the one consumer that wants it has acknowledged it.
        WorkQueue = "workqueue",
    }
}

text_enum! {
    /// What goes when a limit is reached.
    DiscardPolicy, "DiscardPolicy", cannot_unmarshal, {
        /// The oldest messages.
        #[default]
        Old = "old" | "Old" | "OLD",
        /// The new one: it is refused.
        New = "new" | "New" | "NEW",
    }
}

text_enum! {
    /// Where messages are kept.
    StorageType, "StorageType", cannot_unmarshal, {
        /// In files.
        #[default]
        File = "file",
        /// In memory.
        Memory = "memory",
    }
}

text_enum! {
    /// Compression of stored messages.
    Compression, "StoreCompression", unknown_compression, {
        /// As they are.
        #[default]
        None = "none",
        /// S2.
        S2 = "s2",
    }
}

text_enum! {
    /// Whether an answer waits for the message to be kept.
    PersistMode, "PersistModeType", cannot_unmarshal, {
        /// It waits.
        #[default]
        Default = "default" | "",
        /// It does not.
        Async = "async",
    }
}

/// A stream that another one copies from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamSource {
    /// Its name.
    pub name: String,
    /// The first sequence that is copied.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub opt_start_seq: u64,
    /// Messages from then on are copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Timestamp>,
    /// Only these subjects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Only these subjects, and what they become.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransformConfig>,
    /// Where the stream is, if in another account or domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStream>,
    /// The consumer that is used, if there is one already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<StreamConsumerSource>,
}

fields!(StreamSource, "StreamSource" {
    name: "name",
    opt_start_seq: "opt_start_seq",
    opt_start_time: "opt_start_time",
    filter_subject: "filter_subject",
    subject_transforms: "subject_transforms" as "[]server.SubjectTransformConfig",
    external: "external",
    consumer: "consumer",
});

/// Where a stream of another account or domain is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExternalStream {
    /// What stands in front of API subjects there.
    #[serde(rename = "api")]
    pub api_prefix: String,
    /// What stands in front of delivered subjects.
    #[serde(rename = "deliver")]
    pub deliver_prefix: String,
}

fields!(ExternalStream, "ExternalStream" {
    api_prefix: "api",
    deliver_prefix: "deliver",
});

/// A consumer that somebody made for copying from a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamConsumerSource {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it delivers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
}

fields!(StreamConsumerSource, "StreamConsumerSource" {
    name: "name",
    deliver_subject: "deliver_subject",
});

/// What subjects become.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct SubjectTransformConfig {
    /// Subjects it is for.
    #[serde(rename = "src")]
    pub source: String,
    /// What they become.
    #[serde(rename = "dest")]
    pub destination: String,
}

fields!(SubjectTransformConfig, "SubjectTransformConfig" {
    source: "src",
    destination: "dest",
});

/// Where stored messages are published again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Republish {
    /// Subjects it is for.
    #[serde(rename = "src", skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where they are published.
    #[serde(rename = "dest")]
    pub destination: String,
    /// Without the payload.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
}

fields!(Republish, "RePublish" {
    source: "src",
    destination: "dest",
    headers_only: "headers_only",
});

/// On which servers a stream is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// In this cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// On servers with these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Led by this server; only in requests to step down.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred: String,
}

fields!(Placement, "Placement" {
    cluster: "cluster",
    tags: "tags",
    preferred: "preferred",
});

/// What consumers of a stream may ask for, and get if they do not ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsumerLimits {
    /// How long a consumer may be unused; 0 is unlimited.
    #[serde(rename = "inactive_threshold", skip_serializing_if = "is_zero")]
    pub inactive_threshold_ns: i64,
    /// Messages delivered and not acknowledged; 0 is unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
}

fields!(ConsumerLimits, "StreamConsumerLimits" {
    inactive_threshold_ns: "inactive_threshold" as "time.Duration",
    max_ack_pending: "max_ack_pending" as "int",
});

/// A request to create or update a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamConfigRequest {
    /// The configuration.
    pub config: StreamConfig,
    /// Refuse instead of filling in and correcting.
    pub pedantic: bool,
}

fields!(StreamConfigRequest, "StreamConfigRequest" {
    pedantic: "pedantic",
    ..config
});

/// Bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
/// Servers that may hold a copy.
pub const REPLICAS_MAX: i64 = 5;
/// How long message ids are remembered, if nothing else is said.
const DUPLICATE_WINDOW_NS: i64 = 2 * 60 * SECOND_NS;
const SECOND_NS: i64 = 1_000_000_000;
/// The shortest age and the shortest duplicate window.
const SHORTEST_NS: i64 = SECOND_NS / 10;

/// What a configuration is checked against.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Limits of the server.
    pub limits: &'a Limits,
    /// Limits of the account.
    pub account: &'a AccountLimits,
    /// The configuration of the account's stream of this name.
    pub stream: &'a dyn Fn(&str) -> Option<&'a StreamConfig>,
}

impl StreamConfig {
    /// The API level a server must have to serve this.
    pub fn required_level(&self) -> u32 {
        let level_of = |used: bool, level: u32| if used { level } else { 0 };
        [
            level_of(self.allow_msg_ttl || self.subject_delete_marker_ttl_ns > 0, 1),
            level_of(self.allow_msg_counter, 2),
            level_of(self.allow_atomic, 2),
            level_of(self.allow_msg_schedules, 2),
            level_of(self.persist_mode == PersistMode::Async, 2),
            level_of(self.allow_batched, 4),
        ]
        .into_iter()
        .max()
        .unwrap_or(0)
    }

    /// Writes the server's stored entries into the metadata.
    pub fn set_static_metadata(&mut self) {
        let level = self.required_level();
        metadata::set_static(&mut self.metadata, level);
    }

    /// The configuration as answers show it.
    #[must_use]
    pub fn shown(&self) -> Self {
        Self { metadata: metadata::with_dynamic(&self.metadata), ..self.clone() }
    }

    /// Whether `asked`, checked, asks for this stream as it is: creating it again is no error.
    pub fn is_same_as(&self, asked: &Self) -> bool {
        let mut asked = asked.clone();
        metadata::copy_level(&mut asked.metadata, &self.metadata);
        asked == *self
    }

    /// Whether a subject of this stream meets one of `subjects`.
    pub fn overlaps(&self, subjects: &[String]) -> bool {
        self.subjects.iter().any(|mine| subjects.iter().any(|other| subjects::collide(mine, other)))
    }

    /// What only the API of creating a stream refuses, before [`StreamConfig::check`].
    /// `name_in_subject` is the name that the API subject has.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check_create_request(&self, name_in_subject: &str) -> Result<(), ApiError> {
        if name_in_subject != self.name {
            return Err(error::STREAM_MISMATCH);
        }
        if name_in_subject.contains(['\\', '/']) {
            return Err(error::STREAM_NAME_CONTAINS_PATH_SEPARATORS);
        }
        refuse(self.sealed, "stream configuration for create can not be sealed")?;
        refuse(
            self.mirror_direct && self.mirror.is_none(),
            "stream has no mirror but does have mirror direct",
        )
    }

    /// The configuration with its defaults filled in, if it keeps all rules that a new stream and
    /// an updated one have in common. `pedantic` refuses what would be corrected.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(mut self, site: Site<'_>, pedantic: bool) -> Result<Self, ApiError> {
        self.check_texts()?;
        self.fill_counts(pedantic)?;
        self.fill_times(site.limits, pedantic)?;
        self.check_features(pedantic)?;
        let mut prefixes = Prefixes::default();
        self.check_mirror(site, pedantic, &mut prefixes)?;
        self.check_sources(site, &mut prefixes)?;
        prefixes.check()?;
        self.check_cycles(site)?;
        self.check_subjects()?;
        self.check_account(site.account)?;
        self.check_transform()?;
        self.check_republish(pedantic)?;
        if self.placement.as_ref().is_some_and(|placement| *placement == Placement::default()) {
            self.placement = None;
        }
        let preferred = self.placement.as_ref().is_some_and(|p| !p.preferred.is_empty());
        refuse(preferred, "preferred server not permitted in placement")?;
        Ok(self)
    }

    /// What a server that stands alone refuses of a checked configuration.
    ///
    /// # Errors
    ///
    /// More than one replica is asked for.
    pub fn check_standalone(&self) -> Result<(), ApiError> {
        if self.num_replicas > 1 { Err(error::STREAM_REPLICAS_NOT_SUPPORTED) } else { Ok(()) }
    }

    /// What is refused of a checked configuration only when the stream is made.
    ///
    /// # Errors
    ///
    /// A filter of the mirror or of a source is no subject.
    pub fn check_filters(&self) -> Result<(), ApiError> {
        let wrong = |filter: &str| !filter.is_empty() && !subjects::is_valid(filter);
        if let Some(mirror) = self.mirror.as_ref().filter(|it| wrong(&it.filter_subject)) {
            let filter = &mirror.filter_subject;
            let text = format!("subject filter '{filter}' for the mirror invalid subject");
            return Err(error::stream_create(text));
        }
        if let Some(source) = self.sources.iter().find(|it| wrong(&it.filter_subject)) {
            let filter = &source.filter_subject;
            let text = format!("subject filter '{filter}' for the source: invalid subject");
            return Err(error::stream_create(text));
        }
        Ok(())
    }

    /// `new`, checked by [`StreamConfig::check`], as the update of a stream with this
    /// configuration.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check_update(&self, mut new: Self) -> Result<Self, ApiError> {
        let old = self;
        refuse(new.name != old.name, "stream configuration name must match original")?;
        new.check_standalone()?;
        refuse(
            new.storage != old.storage,
            "stream configuration update can not change storage type",
        )?;
        let work_queues = [new.retention, old.retention]
            .into_iter()
            .filter(|retention| *retention == RetentionPolicy::WorkQueue)
            .count();
        refuse(
            work_queues == 1,
            "stream configuration update can not change retention policy to/from workqueue",
        )?;
        refuse(
            old.sealed && !new.sealed,
            "stream configuration update can not unseal a sealed stream",
        )?;
        refuse(
            old.deny_delete && !new.deny_delete,
            "stream configuration update can not cancel deny message deletes",
        )?;
        refuse(
            old.deny_purge && !new.deny_purge,
            "stream configuration update can not cancel deny purge",
        )?;
        if new.mirror.is_some() && new.mirror != old.mirror {
            return Err(error::STREAM_MIRROR_NOT_UPDATABLE);
        }
        refuse(old.allow_msg_ttl && !new.allow_msg_ttl, "message TTL status can not be disabled")?;
        refuse(
            new.allow_msg_counter != old.allow_msg_counter,
            "stream configuration update can not change message counter setting",
        )?;
        refuse(
            old.allow_msg_schedules && !new.allow_msg_schedules,
            "message schedules can not be disabled",
        )?;
        refuse(
            new.persist_mode != old.persist_mode,
            "stream configuration update can not change persist mode",
        )?;
        if new.sealed {
            new.max_age_ns = 0;
            new.discard = DiscardPolicy::New;
            (new.deny_delete, new.deny_purge, new.allow_rollup_hdrs) = (true, true, false);
        }
        Ok(new)
    }

    /// Whether the consumers of a stream with this configuration fit the limits that `new` sets.
    ///
    /// # Errors
    ///
    /// The names of those that do not.
    pub fn check_consumer_limits<'a>(
        &self,
        new: &Self,
        consumers: impl Iterator<Item = (&'a str, &'a ConsumerConfig)>,
    ) -> Result<(), ApiError> {
        let (old, new) = (&self.consumer_limits, &new.consumer_limits);
        let (pending, inactive) = (new.max_ack_pending, new.inactive_threshold_ns);
        if pending == old.max_ack_pending && inactive == old.inactive_threshold_ns {
            return Ok(());
        }
        let names: Vec<&str> = consumers
            .filter(|(_, config)| {
                (pending > 0 && config.max_ack_pending > pending)
                    || (inactive > 0 && config.inactive_threshold_ns > inactive)
            })
            .map(|(name, _)| name)
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let names = names.join(", ");
        Err(error::stream_update(format_args!("change to limits violates consumers: {names}")))
    }

    fn check_texts(&self) -> Result<(), ApiError> {
        refuse(
            !subjects::is_valid_name(&self.name),
            "stream name is required and can not contain '.', '*', '>', '\\', '/'",
        )?;
        let longest = subjects::NAME_BYTES_MAX;
        refuse_with(self.name.len() > longest, || {
            format!("stream name is too long, maximum allowed is {longest}")
        })?;
        refuse_with(self.description.len() > DESCRIPTION_BYTES_MAX, || {
            format!("stream description is too long, maximum allowed is {DESCRIPTION_BYTES_MAX}")
        })?;
        refuse_with(metadata::size(&self.metadata) > METADATA_BYTES_MAX, || {
            format!("stream metadata exceeds maximum size of {METADATA_BYTES_MAX} bytes")
        })
    }

    fn fill_counts(&mut self, pedantic: bool) -> Result<(), ApiError> {
        if self.num_replicas == 0 {
            self.num_replicas = 1;
        }
        refuse_with(self.num_replicas > REPLICAS_MAX, || {
            format!("maximum replicas is {REPLICAS_MAX}")
        })?;
        if self.num_replicas < 0 {
            return Err(error::REPLICAS_COUNT_CANNOT_BE_NEGATIVE);
        }
        unlimited(&mut self.max_msgs, "max_msgs", pedantic)?;
        unlimited(&mut self.max_msgs_per_subject, "max_msgs_per_subject", pedantic)?;
        unlimited(&mut self.max_bytes, "max_bytes", pedantic)?;
        let mut size = i64::from(self.max_msg_size);
        unlimited(&mut size, "max_msg_size", pedantic)?;
        self.max_msg_size = i32::try_from(size).unwrap_or(-1);
        unlimited(&mut self.max_consumers, "max_consumers", pedantic)
    }

    fn fill_times(&mut self, limits: &Limits, pedantic: bool) -> Result<(), ApiError> {
        let age = self.max_age_ns;
        refuse(age < 0, "max age can not be negative")?;
        refuse(age != 0 && age < SHORTEST_NS, "max age needs to be >= 100ms")?;
        let limit = limits.duplicate_window_ns;
        if self.duplicate_window_ns == 0 && self.mirror.is_none() && self.sources.is_empty() {
            let mut window = DUPLICATE_WINDOW_NS;
            if limit > 0 && window > limit {
                refuse_pedantic(
                    pedantic,
                    "duplicate window limits are higher than current limits",
                )?;
                window = limit;
            }
            if age != 0 && age < window {
                refuse_pedantic(pedantic, "duplicate window cannot be bigger than max age")?;
                window = age;
            }
            self.duplicate_window_ns = window;
        }
        let window = self.duplicate_window_ns;
        refuse(window < 0, "duplicates window can not be negative")?;
        refuse(age != 0 && window > age, "duplicates window can not be larger then max age")?;
        refuse_with(limit > 0 && window > limit, || {
            let limit = go_duration::format(limit);
            format!("duplicates window can not be larger then server limit of {limit}")
        })?;
        refuse(window > 0 && window < SHORTEST_NS, "duplicates window needs to be >= 100ms")
    }

    fn check_features(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let discards_new = self.discard == DiscardPolicy::New;
        refuse(self.deny_purge && self.allow_rollup_hdrs, "roll-ups require the purge permission")?;
        if self.allow_msg_counter {
            refuse(discards_new, "counter stream cannot use discard new")?;
            refuse(self.allow_msg_ttl, "counter stream cannot use message TTLs")?;
            refuse(self.allow_msg_schedules, "counter stream cannot use message schedules")?;
            refuse(
                self.retention != RetentionPolicy::Limits,
                "counter stream can only use limits retention",
            )?;
        }
        if self.discard_new_per_subject {
            refuse(!discards_new, "discard new per subject requires discard new policy to be set")?;
            refuse(
                self.max_msgs_per_subject <= 0,
                "discard new per subject requires max msgs per subject > 0",
            )?;
        }
        let marker_age = self.subject_delete_marker_ttl_ns;
        refuse(marker_age < 0, "subject delete marker TTL must not be negative")?;
        if marker_age > 0 {
            refuse(marker_age < SECOND_NS, "subject delete marker TTL must be at least 1 second")?;
            refuse(
                pedantic && !self.allow_msg_ttl,
                "subject delete marker cannot be set if message TTLs are disabled",
            )?;
            self.allow_msg_ttl = true;
            self.need_rollups(
                pedantic,
                "subject delete marker cannot be set if roll-ups are disabled",
            )?;
        }
        if self.allow_msg_schedules {
            refuse(discards_new, "message scheduling cannot use discard new")?;
            self.need_rollups(
                pedantic,
                "message scheduling cannot be set if roll-ups are disabled",
            )?;
        }
        if self.persist_mode == PersistMode::Async {
            refuse(
                self.storage != StorageType::File,
                "async persist mode is only supported on file storage",
            )?;
            refuse(
                self.num_replicas > 1,
                "async persist mode is not supported on replicated streams",
            )?;
            refuse(
                self.allow_atomic,
                "async persist mode is not supported with atomic batch publish",
            )?;
        }
        Ok(())
    }

    fn need_rollups(&mut self, pedantic: bool, text: &str) -> Result<(), ApiError> {
        if !self.allow_rollup_hdrs {
            refuse(pedantic, text)?;
            (self.allow_rollup_hdrs, self.deny_purge) = (true, false);
        }
        Ok(())
    }

    fn check_mirror(
        &mut self,
        site: Site<'_>,
        pedantic: bool,
        prefixes: &mut Prefixes,
    ) -> Result<(), ApiError> {
        let Some(mirror) = &self.mirror else { return Ok(()) };
        for (excluded, error) in [
            (self.first_seq > 0, error::MIRROR_WITH_FIRST_SEQ),
            (!self.subjects.is_empty(), error::MIRROR_WITH_SUBJECTS),
            (!self.sources.is_empty(), error::MIRROR_WITH_SOURCES),
            (self.allow_msg_counter, error::MIRROR_WITH_COUNTERS),
            (self.allow_atomic, error::MIRROR_WITH_ATOMIC_PUBLISH),
            (self.allow_batched, error::MIRROR_WITH_BATCH_PUBLISH),
            (self.allow_msg_schedules, error::MIRROR_WITH_MSG_SCHEDULES),
            (mirror.has_wrong_consumer(), error::MIRROR_DURABLE_CONSUMER_CFG_INVALID),
            (mirror.has_filter_and_transforms(), error::MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED),
        ] {
            if excluded {
                return Err(error);
            }
        }
        refuse(
            self.subject_delete_marker_ttl_ns > 0,
            "subject delete markers forbidden on mirrors",
        )?;
        for (index, transform) in mirror.subject_transforms.iter().enumerate() {
            if let Some(text) = transform.wrong_source() {
                return Err(error::mirror_invalid_subject_filter(text));
            }
            SubjectTransform::for_mapping(&transform.source, &transform.destination)
                .map(drop)
                .map_err(error::mirror_invalid_transform_destination)?;
            let mut others =
                mirror.subject_transforms.iter().enumerate().filter(|(other, _)| *other != index);
            if others.any(|(_, other)| subjects::collide(&transform.source, &other.source)) {
                return Err(error::MIRROR_OVERLAPPING_SUBJECT_FILTERS);
            }
        }
        if let Some(external) = &mirror.external {
            prefixes.add(external);
            return Ok(());
        }
        if !subjects::is_valid_name(&mirror.name) {
            return Err(error::MIRROR_INVALID_STREAM_NAME);
        }
        if let Some(origin) = (site.stream)(&mirror.name) {
            prefixes.subjects.extend(origin.subjects.iter().cloned());
            if self.is_smaller_than(origin) {
                return Err(error::MIRROR_MAX_MESSAGE_SIZE_TOO_BIG);
            }
            refuse_pedantic(
                pedantic && self.mirror_direct != origin.allow_direct,
                "origin stream has direct get set, mirror has it disabled",
            )?;
            self.mirror_direct = origin.allow_direct;
        }
        Ok(())
    }

    fn check_sources(&self, site: Site<'_>, prefixes: &mut Prefixes) -> Result<(), ApiError> {
        if !self.sources.is_empty() && self.allow_msg_schedules {
            return Err(error::SOURCE_WITH_MSG_SCHEDULES);
        }
        let (mut identities, mut consumers) = (HashSet::new(), HashSet::new());
        for source in &self.sources {
            if !subjects::is_valid_name(&source.name) {
                return Err(error::SOURCE_INVALID_STREAM_NAME);
            }
            if !identities.insert(source.identity()) {
                return Err(error::SOURCE_DUPLICATE_DETECTED);
            }
            if source.has_filter_and_transforms() {
                return Err(error::SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED);
            }
            for transform in &source.subject_transforms {
                if let Some(text) = transform.wrong_source() {
                    return Err(error::source_invalid_subject_filter(text));
                }
                SubjectTransform::for_mapping(&transform.source, &transform.destination)
                    .map(drop)
                    .map_err(error::source_invalid_transform_destination)?;
            }
            let transforms = || source.subject_transforms.iter().enumerate();
            let overlap = transforms().any(|(index, transform)| {
                transforms().any(|(other, outer)| {
                    index != other && subjects::is_subset(&transform.source, &outer.source)
                })
            });
            if overlap {
                return Err(error::SOURCE_OVERLAPPING_SUBJECT_FILTERS);
            }
            if let Some(consumer) = &source.consumer {
                if source.has_wrong_consumer() {
                    return Err(error::SOURCE_DURABLE_CONSUMER_CFG_INVALID);
                }
                let api = source.external.as_ref().map(|external| &external.api_prefix);
                if !consumers.insert((&source.name, api, &consumer.name)) {
                    return Err(error::SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED);
                }
            }
            match &source.external {
                Some(external) => prefixes.add(external),
                None => {
                    if let Some(origin) = (site.stream)(&source.name) {
                        prefixes.subjects.extend(origin.subjects.iter().cloned());
                        if self.is_smaller_than(origin) {
                            return Err(error::SOURCE_MAX_MESSAGE_SIZE_TOO_BIG);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether messages of `origin` can be too large for this stream.
    fn is_smaller_than(&self, origin: &Self) -> bool {
        self.max_msg_size > 0 && origin.max_msg_size > 0 && self.max_msg_size < origin.max_msg_size
    }

    /// Refuses streams that would copy from each other in a circle.
    fn check_cycles(&self, site: Site<'_>) -> Result<(), ApiError> {
        let mut waiting = vec![self];
        let mut visited: HashSet<&str> = HashSet::new();
        let mut next = 0;
        while let Some(config) = waiting.get(next).copied() {
            next += 1;
            visited.insert(&config.name);
            for source in config.sources.iter().filter(|source| source.external.is_none()) {
                if visited.contains(source.name.as_str()) {
                    let filter = &source.filter_subject;
                    let meets = filter.is_empty()
                        || config.subjects.iter().any(|it| subjects::collide(it, filter));
                    refuse(meets, "detected cycle")?;
                } else if let Some(origin) = (site.stream)(&source.name) {
                    waiting.push(origin);
                }
            }
            if let Some(mirror) = config.mirror.as_ref().filter(|it| it.external.is_none()) {
                refuse(visited.contains(mirror.name.as_str()), "detected cycle")?;
                waiting.extend((site.stream)(&mirror.name));
            }
            // A stream can be waited for by several paths, but each path grows `visited`.
            refuse(waiting.len() > ORIGINS_MAX, "detected cycle")?;
        }
        Ok(())
    }

    fn check_subjects(&mut self) -> Result<(), ApiError> {
        if self.subjects.is_empty() {
            if self.mirror.is_none() && self.sources.is_empty() {
                self.subjects.push(self.name.clone());
            }
            return Ok(());
        }
        for (index, subject) in self.subjects.iter().enumerate() {
            refuse(!subjects::is_valid(subject), "invalid subject")?;
            refuse(self.subjects[..index].contains(subject), "duplicate subjects detected")?;
            if subject == ">" {
                refuse(!self.no_ack, "capturing all subjects requires no-ack to be true")?;
                refuse(self.num_replicas != 1, "capturing all subjects requires replicas of 1")?;
            }
            if !self.no_ack {
                let api = ["$JS.>", "$JSC.>", "$NRG.>"];
                refuse(
                    api.iter().any(|space| subjects::collide(subject, space))
                        && !subjects::is_subset(subject, "$JS.EVENT.>"),
                    "subjects that overlap with jetstream api require no-ack to be true",
                )?;
                refuse(
                    subjects::collide(subject, "$SYS.>")
                        && !subjects::is_subset(subject, "$SYS.ACCOUNT.>"),
                    "subjects that overlap with system api require no-ack to be true",
                )?;
            }
            let later = &self.subjects[index + 1..];
            if let Some(other) = later.iter().find(|other| subjects::collide(subject, other)) {
                let (subject, other) =
                    (super::json::go_quoted(subject), super::json::go_quoted(other));
                return Err(error::stream_invalid_config(format!(
                    "subject {subject} overlaps with {other}"
                )));
            }
        }
        Ok(())
    }

    fn check_account(&self, account: &AccountLimits) -> Result<(), ApiError> {
        let largest = match self.storage {
            StorageType::File => account.storage_max_stream_bytes,
            StorageType::Memory => account.memory_max_stream_bytes,
        };
        if account.max_bytes_required && self.max_bytes <= 0 {
            return Err(error::STREAM_MAX_BYTES_REQUIRED);
        }
        if largest > 0 && self.max_bytes > largest {
            return Err(error::STREAM_MAX_STREAM_BYTES_EXCEEDED);
        }
        Ok(())
    }

    fn check_transform(&self) -> Result<(), ApiError> {
        let Some(transform) = &self.subject_transform else { return Ok(()) };
        if let Some(text) = transform.wrong_source() {
            return Err(error::stream_transform_invalid_source(text));
        }
        SubjectTransform::for_mapping(&transform.source, &transform.destination)
            .map(drop)
            .map_err(error::stream_transform_invalid_destination)
    }

    fn check_republish(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let Some(republish) = &mut self.republish else { return Ok(()) };
        if republish.source.is_empty() {
            refuse_pedantic(pedantic, "republish source can not be empty")?;
            republish.source = ">".to_owned();
        }
        if let Some(transform) = &self.subject_transform
            && republish.source == ">"
            && republish.destination == ">"
            && self.subjects.len() == 1
            && self.subjects[0] == transform.source
        {
            // What is stored is published again under the subject it is stored with.
            refuse_pedantic(pedantic, "implicit republish based on subject transform")?;
            republish.source.clone_from(&transform.destination);
            republish.destination.clone_from(&transform.destination);
        }
        let meets = self.subjects.iter().any(|it| subjects::collide(&republish.destination, it));
        refuse(meets, "stream configuration for republish destination forms a cycle")?;
        let Republish { source, destination, .. } = republish;
        refuse_with(SubjectTransform::new(source, destination).is_err(), || {
            format!(
                "stream configuration for republish with transform \
                 from '{source}' to '{destination}' not valid"
            )
        })
    }
}

/// Streams that are looked at when a circle is searched for: far more than an account has in use,
/// few enough to be done with in a moment.
const ORIGINS_MAX: usize = 100_000;

/// What makes two sources the same; both would copy the same messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceIdentity {
    name: String,
    api: Option<String>,
    consumer: Option<String>,
    filters: Vec<SubjectTransformConfig>,
}

impl StreamSource {
    /// The stream, where it is, filters and transforms.
    pub fn identity(&self) -> SourceIdentity {
        let api = self.external.as_ref().map(|external| external.api_prefix.clone());
        let consumer = self.consumer.as_ref().map(|consumer| consumer.name.clone());
        let filters = if self.subject_transforms.is_empty() {
            let source = if self.filter_subject.is_empty() { ">" } else { &self.filter_subject };
            vec![SubjectTransformConfig { source: source.to_owned(), destination: ">".to_owned() }]
        } else {
            let or_all =
                |text: &str| if text.is_empty() { ">".to_owned() } else { text.to_owned() };
            let transforms = self.subject_transforms.iter();
            transforms
                .map(|transform| SubjectTransformConfig {
                    source: or_all(&transform.source),
                    destination: or_all(&transform.destination),
                })
                .collect()
        };
        SourceIdentity { name: self.name.clone(), api, consumer, filters }
    }

    fn has_filter_and_transforms(&self) -> bool {
        !self.filter_subject.is_empty() && !self.subject_transforms.is_empty()
    }

    fn has_wrong_consumer(&self) -> bool {
        self.consumer.as_ref().is_some_and(|consumer| {
            !subjects::is_valid_name(&consumer.name)
                || !subjects::is_valid_literal(&consumer.deliver_subject)
                || self.opt_start_seq != 0
                || self.opt_start_time.is_some()
                || !self.filter_subject.is_empty()
        })
    }
}

impl SubjectTransformConfig {
    fn wrong_source(&self) -> Option<String> {
        let wrong = !self.source.is_empty() && !subjects::is_valid(&self.source);
        wrong.then(|| format!("invalid subject {}", self.source))
    }
}

/// Prefixes of external streams, and subjects of those in this account.
#[derive(Default)]
struct Prefixes {
    deliver: Vec<String>,
    api: Vec<String>,
    subjects: Vec<String>,
}

impl Prefixes {
    fn add(&mut self, external: &ExternalStream) {
        let given = |prefix: &String| Some(prefix.clone()).filter(|prefix| !prefix.is_empty());
        self.deliver.extend(given(&external.deliver_prefix));
        self.api.extend(given(&external.api_prefix));
    }

    fn check(&self) -> Result<(), ApiError> {
        const API: &str = "$JS.API";
        for prefix in &self.deliver {
            if !subjects::is_valid_literal(prefix) {
                return Err(error::stream_invalid_external_delivery_subj(prefix));
            }
            let met =
                |subject: &&String| subjects::collide(subject, &format!("{prefix}.{subject}"));
            if let Some(subject) = self.subjects.iter().find(met) {
                return Err(error::stream_external_del_prefix_overlaps(prefix, subject));
            }
        }
        for prefix in &self.api {
            refuse_with(!subjects::is_valid_literal(prefix), || {
                let prefix = super::json::go_quoted(prefix);
                format!(
                    "stream external api prefix {prefix} must be a valid subject without wildcards"
                )
            })?;
            if subjects::collide(prefix, API) {
                return Err(error::stream_external_api_overlap(prefix, API));
            }
        }
        Ok(())
    }
}

/// Makes 0 and what is below -1 unlimited; pedantic refuses the latter.
fn unlimited(value: &mut i64, name: &str, pedantic: bool) -> Result<(), ApiError> {
    if *value < -1 && pedantic {
        return Err(error::pedantic(format_args!("{name} must be set to -1")));
    }
    if *value == 0 || *value < -1 {
        *value = -1;
    }
    Ok(())
}

fn refuse(broken: bool, text: &str) -> Result<(), ApiError> {
    if broken { Err(error::stream_invalid_config(text)) } else { Ok(()) }
}

fn refuse_with(broken: bool, text: impl FnOnce() -> String) -> Result<(), ApiError> {
    if broken { Err(error::stream_invalid_config(text())) } else { Ok(()) }
}

fn refuse_pedantic(broken: bool, text: &str) -> Result<(), ApiError> {
    if broken { Err(error::pedantic(text)) } else { Ok(()) }
}

fn unknown_compression(raw: &str) -> String {
    let kind = match raw.as_bytes().first() {
        Some(b'"') => return "unknown compression algorithm".to_owned(),
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "bool",
        Some(b'n') => return "unknown compression algorithm".to_owned(),
        _ => "number",
    };
    format!("json: cannot unmarshal {kind} into Go value of type string")
}

fn is_persist_default(mode: &PersistMode) -> bool {
    *mode == PersistMode::Default
}

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn is_zero(value: &i64) -> bool {
    *value == 0
}

pub(super) fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

fn is_zero_i32(value: &i32) -> bool {
    *value == 0
}
