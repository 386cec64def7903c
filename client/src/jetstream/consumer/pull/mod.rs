//! Consumers that are asked for messages: one at a time, a batch at a time, or on and on.

mod batch;
mod request;
mod status;
mod stream;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

pub(in crate::jetstream) use batch::ask_for_one;
pub use batch::{Batch, BatchBuilder};
pub use request::PullRequest;
pub use stream::{
    HEARTBEAT_DEFAULT, MESSAGES_PENDING_MAX, PULL_EXPIRES_DEFAULT, Stream, StreamBuilder,
};

use super::{
    AckPolicy, Consumer, ConsumerKind, DeliverPolicy, MessagesError, PriorityPolicy, ReplayPolicy,
};
use crate::jetstream::Message;

/// The configuration of a pull consumer.
///
/// What a field means is said at [`consumer::Config`](super::Config).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The name; one is made if there is none.
    pub name: Option<String>,
    /// The name, of a consumer that stays when nobody uses it.
    pub durable_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// With which message it begins.
    pub deliver_policy: DeliverPolicy,
    /// What must be acknowledged.
    pub ack_policy: AckPolicy,
    /// After so long without acknowledgement a message is delivered again.
    pub ack_wait: Duration,
    /// How often a message is delivered.
    pub max_deliver: u32,
    /// How long to wait after the first delivery, the second and so on.
    pub backoff: Vec<Duration>,
    /// Only messages of this subject.
    pub filter_subject: Option<String>,
    /// Only messages of these subjects.
    pub filter_subjects: Vec<String>,
    /// How fast.
    pub replay_policy: ReplayPolicy,
    /// Of how many messages in a hundred the time of their acknowledgement is published.
    pub sample_frequency: u8,
    /// How many pull requests may wait.
    pub max_waiting: i64,
    /// How many messages may wait for their acknowledgement.
    pub max_ack_pending: i64,
    /// Without payloads.
    pub headers_only: bool,
    /// How many messages a pull request may ask for.
    pub max_batch: i64,
    /// How many bytes a pull request may ask for.
    pub max_bytes: i64,
    /// How long a pull request may wait.
    pub max_expires: Duration,
    /// After so long without interest it is removed.
    pub inactive_threshold: Duration,
    /// On how many servers.
    pub num_replicas: u8,
    /// How far it is, is kept in memory only.
    pub memory_storage: bool,
    /// Nothing is delivered before.
    pub pause_until: Option<Timestamp>,
    /// Who of several that pull is served.
    pub priority_policy: PriorityPolicy,
    /// The groups of those that pull.
    pub priority_groups: Vec<String>,
    /// After so long without a pull request somebody else is pinned.
    pub priority_timeout: Duration,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
}

impl ConsumerKind for Config {
    const KIND: &'static str = "pull";

    fn to_config(&self) -> super::Config {
        let own = self.clone();
        super::Config {
            name: own.name,
            durable_name: own.durable_name,
            description: own.description,
            deliver_policy: own.deliver_policy,
            ack_policy: own.ack_policy,
            ack_wait: own.ack_wait,
            max_deliver: own.max_deliver,
            backoff: own.backoff,
            filter_subject: own.filter_subject,
            filter_subjects: own.filter_subjects,
            replay_policy: own.replay_policy,
            sample_frequency: own.sample_frequency,
            max_waiting: own.max_waiting,
            max_ack_pending: own.max_ack_pending,
            headers_only: own.headers_only,
            max_batch: own.max_batch,
            max_bytes: own.max_bytes,
            max_expires: own.max_expires,
            inactive_threshold: own.inactive_threshold,
            num_replicas: own.num_replicas,
            memory_storage: own.memory_storage,
            pause_until: own.pause_until,
            priority_policy: own.priority_policy,
            priority_groups: own.priority_groups,
            priority_timeout: own.priority_timeout,
            metadata: own.metadata,
            ..super::Config::default()
        }
    }

    fn from_config(config: &super::Config) -> Option<Self> {
        if config.deliver_subject.is_some() {
            return None;
        }
        let all = config.clone();
        Some(Self {
            name: all.name,
            durable_name: all.durable_name,
            description: all.description,
            deliver_policy: all.deliver_policy,
            ack_policy: all.ack_policy,
            ack_wait: all.ack_wait,
            max_deliver: all.max_deliver,
            backoff: all.backoff,
            filter_subject: all.filter_subject,
            filter_subjects: all.filter_subjects,
            replay_policy: all.replay_policy,
            sample_frequency: all.sample_frequency,
            max_waiting: all.max_waiting,
            max_ack_pending: all.max_ack_pending,
            headers_only: all.headers_only,
            max_batch: all.max_batch,
            max_bytes: all.max_bytes,
            max_expires: all.max_expires,
            inactive_threshold: all.inactive_threshold,
            num_replicas: all.num_replicas,
            memory_storage: all.memory_storage,
            pause_until: all.pause_until,
            priority_policy: all.priority_policy,
            priority_groups: all.priority_groups,
            priority_timeout: all.priority_timeout,
            metadata: all.metadata,
        })
    }
}

impl Consumer<Config> {
    /// Its messages, on and on, with the defaults of [`Consumer::stream`].
    ///
    /// # Errors
    ///
    /// The client is closed.
    pub async fn messages(&self) -> Result<Stream, MessagesError> {
        self.stream().messages().await
    }

    /// Its messages, on and on: some are always asked for in advance. Options are set one after
    /// the other before [`StreamBuilder::messages`].
    ///
    /// ```no_run
    /// # async fn example(consumer: fulmar_client::jetstream::consumer::PullConsumer) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let mut messages = consumer.stream().max_messages(100).messages().await?;
    /// while let Some(message) = messages.try_next().await? {
    ///     message.ack().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&self) -> StreamBuilder<'_> {
        StreamBuilder::new(self)
    }

    /// Up to so many of its messages as there are; waits for the rest until the request expires.
    ///
    /// ```no_run
    /// # async fn example(consumer: fulmar_client::jetstream::consumer::PullConsumer) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use futures_util::TryStreamExt as _;
    ///
    /// let batch = consumer.batch().max_messages(10).expires(Duration::from_secs(1)).messages().await?;
    /// let messages: Vec<_> = batch.try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch(&self) -> BatchBuilder<'_> {
        BatchBuilder::new(self)
    }

    /// Up to so many of its messages as there are now: it does not wait for more.
    pub fn fetch(&self) -> BatchBuilder<'_> {
        BatchBuilder::new(self).no_wait()
    }

    /// The next message; `None` when none comes within `expires`.
    ///
    /// # Errors
    ///
    /// See [`MessagesError`].
    pub async fn next(&self, expires: Duration) -> Result<Option<Message>, MessagesError> {
        batch::next(self, expires).await
    }

    /// Where pull requests are sent.
    fn next_subject(&self) -> String {
        let prefix = self.context.api_prefix();
        format!("{prefix}.CONSUMER.MSG.NEXT.{}.{}", self.stream_name(), self.name())
    }
}
