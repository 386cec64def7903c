//! A consumer as its user sees it: asked about, paused, and deleted. How messages come from it is
//! decided by its kind: [`pull`], [`push`], and the ordered ones of both.

mod config;
mod info;
pub mod ordered;
pub mod pull;
pub mod push;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use config::{AckPolicy, Config, DeliverPolicy, PriorityPolicy, ReplayPolicy};
pub use info::{Info, PriorityGroup, SequenceInfo};
pub use pull::PullRequest;

use super::context::{Context, Success, check_name};
use super::wire::{nanoseconds, time_known};
use super::{ApiError, Error, ErrorCode};
use crate::{PublishError, RequestError, SubscribeError};

/// A consumer that is asked for messages.
pub type PullConsumer = Consumer<pull::Config>;
/// A consumer that sends messages to a subject.
pub type PushConsumer = Consumer<push::Config>;

/// A consumer of a stream. `T` is its configuration, and says of which kind it is.
///
/// ```no_run
/// # async fn example(stream: fulmar_client::jetstream::stream::Stream) -> Result<(), Box<dyn std::error::Error>> {
/// use fulmar_client::jetstream::consumer::PullConsumer;
/// use futures_util::StreamExt as _;
///
/// let consumer: PullConsumer = stream.get_consumer("worker").await?;
/// let mut messages = consumer.messages().await?;
/// while let Some(message) = messages.next().await {
///     let message = message?;
///     println!("{}", message.subject);
///     message.ack().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Consumer<T> {
    context: Context,
    config: T,
    info: Info,
}

/// A configuration of a kind of consumer.
pub trait ConsumerKind: Clone + Send + Sync + sealed::Sealed {
    /// What the kind is called.
    #[doc(hidden)]
    const KIND: &'static str;

    /// With all fields.
    #[doc(hidden)]
    fn to_config(&self) -> Config;

    /// `None` when it is of another kind.
    #[doc(hidden)]
    fn from_config(config: &Config) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::pull::Config {}
    impl Sealed for super::push::Config {}
    impl Sealed for super::Config {}
}

/// Whatever kind it is.
impl ConsumerKind for Config {
    const KIND: &'static str = "any";

    fn to_config(&self) -> Config {
        self.clone()
    }

    fn from_config(config: &Config) -> Option<Self> {
        Some(config.clone())
    }
}

/// What to do when there is a consumer of that name, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Action {
    #[serde(rename = "")]
    CreateOrUpdate,
    #[serde(rename = "create")]
    Create,
    #[serde(rename = "update")]
    Update,
}

impl<T: ConsumerKind> Consumer<T> {
    pub(crate) async fn create(
        context: &Context,
        stream: &str,
        config: T,
        action: Action,
    ) -> Result<Self, Error> {
        let info = create(context, stream, config.to_config(), action).await?;
        Self::from_info(context.clone(), info)
    }

    pub(crate) fn from_info(context: Context, info: Info) -> Result<Self, Error> {
        let Some(config) = T::from_config(&info.config) else {
            return Err(Error::WrongKind {
                operation: format!("use consumer {} of stream {}", info.name, info.stream_name),
                is: if info.config.deliver_subject.is_some() { "push" } else { "pull" },
                wanted: T::KIND,
            });
        };
        Ok(Self { context, config, info })
    }
}

impl<T> Consumer<T> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The name of its stream.
    pub fn stream_name(&self) -> &str {
        &self.info.stream_name
    }

    /// The JetStream it belongs to.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Its configuration, with what the server added to it.
    pub fn config(&self) -> &T {
        &self.config
    }

    /// What the server said of it when this value was made.
    pub fn cached_info(&self) -> &Info {
        &self.info
    }

    /// What the server says of it now.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_NOT_FOUND`] when it was deleted.
    pub async fn info(&self) -> Result<Info, Error> {
        info_of(&self.context, self.stream_name(), self.name()).await
    }

    /// Deletes it.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_NOT_FOUND`] when it was deleted already.
    pub async fn delete(&self) -> Result<(), Error> {
        delete(&self.context, self.stream_name(), self.name()).await
    }

    /// Lets it deliver nothing until a time.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn pause(&self, until: Timestamp) -> Result<PauseState, Error> {
        pause(&self.context, self.stream_name(), self.name(), Some(until)).await
    }

    /// Lets it deliver again.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn resume(&self) -> Result<PauseState, Error> {
        pause(&self.context, self.stream_name(), self.name(), None).await
    }

    /// Lets it begin again: with the message after the last that was acknowledged, or with that of
    /// `sequence`, which must not come before that of its configuration.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_INVALID_RESET`].
    pub async fn reset(&self, sequence: Option<u64>) -> Result<Info, Error> {
        let request = sequence.map(|sequence| json!({ "seq": sequence }));
        call(&self.context, "RESET", self.stream_name(), self.name(), &request, "reset").await
    }

    /// Ends that somebody is pinned in a group: the next who pulls is.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn unpin(&self, group: impl AsRef<str>) -> Result<(), Error> {
        let request = json!({ "group": group.as_ref() });
        let (stream, name) = (self.stream_name(), self.name());
        call::<Success>(&self.context, "UNPIN", stream, name, &request, "unpin").await.map(drop)
    }
}

/// Whether a consumer is paused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PauseState {
    /// Whether it is.
    pub paused: bool,
    /// Until when.
    #[serde(default, deserialize_with = "time_known::deserialize")]
    pub pause_until: Option<Timestamp>,
    /// For how long yet; zero when it is not paused.
    #[serde(default, deserialize_with = "nanoseconds::deserialize")]
    pub pause_remaining: Duration,
}

/// Makes or changes a consumer.
pub(crate) async fn create(
    context: &Context,
    stream: &str,
    mut config: Config,
    action: Action,
) -> Result<Info, Error> {
    #[derive(Serialize)]
    struct Request<'a> {
        stream_name: &'a str,
        config: &'a Config,
        #[serde(skip_serializing_if = "is_any")]
        action: Action,
    }
    fn is_any(action: &Action) -> bool {
        *action == Action::CreateOrUpdate
    }
    if config.name.is_none() && config.durable_name.is_none() {
        config.name = Some(nuid::next().to_string());
    }
    let name = config.name.as_ref().or(config.durable_name.as_ref()).expect("it has one by now");
    let verb = if action == Action::Update { "update" } else { "create" };
    let operation = || format!("{verb} consumer {name} of stream {stream}");
    check_name(stream, operation)?;
    check_name(name, operation)?;
    // A filter in the subject lets permissions decide who may read what.
    let api = match &config.filter_subject {
        Some(filter) => format!("CONSUMER.CREATE.{stream}.{name}.{filter}"),
        None => format!("CONSUMER.CREATE.{stream}.{name}"),
    };
    let request = Request { stream_name: stream, config: &config, action };
    context.call(&api, &request, operation).await
}

/// What the server says of a consumer.
pub(crate) async fn info_of(context: &Context, stream: &str, name: &str) -> Result<Info, Error> {
    call(context, "INFO", stream, name, &(), "ask for").await
}

pub(crate) async fn delete(context: &Context, stream: &str, name: &str) -> Result<(), Error> {
    call::<Success>(context, "DELETE", stream, name, &(), "delete").await.map(drop)
}

pub(crate) async fn pause(
    context: &Context,
    stream: &str,
    name: &str,
    until: Option<Timestamp>,
) -> Result<PauseState, Error> {
    let (request, verb) = match until {
        Some(until) => (json!({ "pause_until": until }), "pause"),
        None => (json!({}), "resume"),
    };
    call(context, "PAUSE", stream, name, &request, verb).await
}

async fn call<T: serde::de::DeserializeOwned>(
    context: &Context,
    api: &str,
    stream: &str,
    name: &str,
    body: &impl Serialize,
    verb: &str,
) -> Result<T, Error> {
    let operation = || format!("{verb} consumer {name} of stream {stream}");
    check_name(stream, operation)?;
    check_name(name, operation)?;
    context.call(&format!("CONSUMER.{api}.{stream}.{name}"), body, operation).await
}

/// Why messages do not come from a consumer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessagesError {
    /// The consumer was deleted, or never was there.
    #[error("there is no consumer {consumer} of stream {stream} any more")]
    ConsumerDeleted {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
    },
    /// The server does not serve the request, and would not serve it again.
    #[error("consumer {consumer} of stream {stream} refuses the request: {description}")]
    Refused {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// What the server said.
        description: String,
    },
    /// The next message is larger than all that is asked for at once.
    #[error(
        "the next message of consumer {consumer} of stream {stream} is larger than the {bytes_max} \
         bytes that are asked for at once"
    )]
    MessageTooLarge {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// How many bytes are asked for at once.
        bytes_max: usize,
    },
    /// The server gave no sign of life for twice as long as it should. A stream of messages that
    /// goes on does not end with this.
    #[error("consumer {consumer} of stream {stream} gave no sign of life for {silence:?}")]
    MissingHeartbeat {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// For how long.
        silence: Duration,
    },
    /// The message does not come from a consumer.
    #[error("there is no next message: this one was not delivered by a consumer")]
    NotDelivered,
    /// A consumer that was to take the place of another could not be made.
    #[error(transparent)]
    Recreate(#[from] Error),
    /// The request was not sent, or not answered.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl From<PublishError> for MessagesError {
    fn from(error: PublishError) -> Self {
        Self::Request(error.into())
    }
}

impl From<SubscribeError> for MessagesError {
    fn from(error: SubscribeError) -> Self {
        Self::Request(error.into())
    }
}

/// Whether an error says that something is gone for good, and not that it cannot be reached.
pub(crate) fn is_gone(error: &Error) -> bool {
    let gone = [ErrorCode::CONSUMER_NOT_FOUND, ErrorCode::STREAM_NOT_FOUND];
    matches!(error, Error::Refused { error: ApiError { err_code, .. }, .. } if gone.contains(err_code))
}
