//! The messages of a stream in order and without gaps: a consumer that needs no acknowledgements,
//! and another one that takes its place whenever something is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream as _;

use super::push::{Feed, Input};
use super::{
    AckPolicy, Action, Consumer, DeliverPolicy, MessagesError, ReplayPolicy, create, is_gone, pull,
};
use crate::jetstream::silence::Reconnects;
use crate::jetstream::stream::Stream;
use crate::jetstream::{Context, Error, Message};
use crate::{BoxFuture, RequestError};

/// How often the server of an ordered consumer gives a sign of life unless
/// [`Config::heartbeat`] is set.
pub const ORDERED_HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);

/// After so long without interest the server removes a consumer that is asked for messages.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(300);

/// How long to wait before another attempt to make a consumer.
const CREATE_PAUSE: Duration = Duration::from_millis(500);

/// Which messages are read in order; see [`Stream::ordered`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// With which message it begins.
    pub deliver_policy: DeliverPolicy,
    /// Only messages of these subjects, which must not overlap; none for all.
    pub filter_subjects: Vec<String>,
    /// How fast.
    pub replay_policy: ReplayPolicy,
    /// Without payloads.
    pub headers_only: bool,
    /// How messages are delivered.
    pub delivery: Delivery,
    /// How many messages are asked for in advance, where they are asked for; 0 for
    /// [`MESSAGES_PENDING_MAX`](pull::MESSAGES_PENDING_MAX).
    pub max_messages: usize,
    /// How often the server gives a sign of life; zero for [`ORDERED_HEARTBEAT_DEFAULT`].
    pub heartbeat: Duration,
    /// What the names of the consumers begin with.
    pub name_prefix: Option<String>,
    /// What the consumers say they are for.
    pub description: Option<String>,
    /// Anything else that the consumers say.
    pub metadata: BTreeMap<String, String>,
}

/// How messages that are read in order are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// They are asked for.
    #[default]
    Pull,
    /// They are sent without being asked for, with flow control.
    Push,
}

impl Stream {
    /// Its messages in order and without gaps. Nothing needs to be acknowledged.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    ///
    /// ```no_run
    /// # async fn example(stream: fulmar_client::jetstream::stream::Stream) -> Result<(), Box<dyn std::error::Error>> {
    /// use fulmar_client::jetstream::consumer::ordered;
    /// use futures_util::TryStreamExt as _;
    ///
    /// let mut messages = stream.ordered(ordered::Config::default()).await?;
    /// while let Some(message) = messages.try_next().await? {
    ///     println!("{}", message.info()?.stream_sequence);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ordered(&self, config: Config) -> Result<Messages, Error> {
        Messages::start(self.context(), self.name(), config).await
    }
}

/// The messages of a stream in order and without gaps; see [`Stream::ordered`].
///
/// It ends when the client or the stream does; the latter with an error.
pub struct Messages {
    context: Context,
    stream_name: String,
    config: Config,
    state: State,
    reconnects: Reconnects,
    /// Of the last message that was given away.
    stream_sequence: u64,
    consumer_sequence: u64,
    num_pending: u64,
    /// How many consumers took the place of another.
    resets: u64,
}

enum State {
    Reading(Reader),
    Creating(BoxFuture<Result<Made, Error>>),
    Ended,
}

/// Where messages come from.
struct Reader {
    consumer_name: String,
    source: Source,
}

enum Source {
    Pull(Box<pull::Stream>),
    Push(Box<Feed>),
}

/// A consumer that was made.
struct Made {
    reader: Reader,
    num_pending: u64,
    /// It delivers only what comes after this.
    begins_after: u64,
}

impl Messages {
    pub(crate) async fn start(
        context: &Context,
        stream_name: &str,
        config: Config,
    ) -> Result<Self, Error> {
        let reconnects = Reconnects::new(context.client());
        let made = make(context, stream_name, &config, config.deliver_policy).await?;
        let mut messages = Self {
            context: context.clone(),
            stream_name: stream_name.to_owned(),
            config,
            state: State::Ended,
            reconnects,
            stream_sequence: 0,
            consumer_sequence: 0,
            num_pending: made.num_pending,
            resets: 0,
        };
        messages.begin(made);
        Ok(messages)
    }

    /// How many messages there were for the first consumer when it was made.
    pub fn num_pending(&self) -> u64 {
        self.num_pending
    }

    /// How often something was missing, so that another consumer was made.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    fn begin(&mut self, made: Made) {
        // Where "new" begins is decided once.
        if self.config.deliver_policy == DeliverPolicy::New {
            self.stream_sequence = self.stream_sequence.max(made.begins_after);
        }
        self.consumer_sequence = 0;
        self.state = State::Reading(made.reader);
    }

    /// Something is missing: makes another consumer, which goes on after the last message.
    fn reset(&mut self) {
        let before = std::mem::replace(&mut self.state, State::Ended);
        let old = match before {
            State::Reading(reader) => Some(reader.consumer_name),
            State::Creating(_) | State::Ended => None,
        };
        tracing::debug!(stream = self.stream_name, "making another ordered consumer");
        self.resets += 1;
        let begins_anew =
            self.stream_sequence == 0 && self.config.deliver_policy != DeliverPolicy::New;
        let deliver_policy = if begins_anew {
            self.config.deliver_policy
        } else {
            DeliverPolicy::ByStartSequence { start_sequence: self.stream_sequence + 1 }
        };
        let (context, stream) = (self.context.clone(), self.stream_name.clone());
        let config = self.config.clone();
        self.state = State::Creating(Box::pin(async move {
            if let Some(old) = old {
                delete_later(&context, &stream, &old);
            }
            loop {
                match make(&context, &stream, &config, deliver_policy).await {
                    Err(error) if may_pass(&error) => {
                        tracing::debug!(%error, "an ordered consumer cannot be made");
                        tokio::time::sleep(CREATE_PAUSE).await;
                    }
                    result => return result,
                }
            }
        }));
    }

    /// Whether this is the message that comes next.
    fn follows(&mut self, message: &Message) -> bool {
        let Ok(info) = message.info() else { return false };
        let follows = info.consumer_sequence == self.consumer_sequence + 1;
        if follows {
            self.consumer_sequence = info.consumer_sequence;
            self.stream_sequence = info.stream_sequence;
        }
        follows
    }
}

impl futures_core::Stream for Messages {
    type Item = Result<Message, MessagesError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let reader = match &mut this.state {
                State::Ended => return Poll::Ready(None),
                State::Creating(creating) => {
                    match std::task::ready!(creating.as_mut().poll(cx)) {
                        Ok(made) => this.begin(made),
                        Err(error) => {
                            this.state = State::Ended;
                            return Poll::Ready(Some(Err(error.into())));
                        }
                    }
                    continue;
                }
                State::Reading(reader) => reader,
            };
            let next = match reader.poll(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    if !this.reconnects.poll(cx) {
                        return Poll::Pending;
                    }
                    // What was on its way is lost, and it may be another server.
                    Next::Lost
                }
            };
            match next {
                Next::Message(message) => {
                    if this.follows(&message) {
                        return Poll::Ready(Some(Ok(message)));
                    }
                    this.reset();
                }
                Next::SignOfLife(last)
                    if last.is_none_or(|last| last == this.consumer_sequence) => {}
                Next::SignOfLife(_) | Next::Lost => this.reset(),
                Next::Failed(error) => {
                    this.state = State::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                Next::End => {
                    this.state = State::Ended;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

/// What comes from a consumer.
enum Next {
    Message(Message),
    /// The server has delivered this last, if it says so.
    SignOfLife(Option<u64>),
    /// Another consumer must take its place.
    Lost,
    /// Another one would not do better.
    Failed(MessagesError),
    End,
}

impl Reader {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Next> {
        match &mut self.source {
            Source::Push(feed) => feed.poll(cx).map(|input| match input {
                Input::Message(message) => Next::Message(message),
                Input::Heartbeat { consumer_sequence } => Next::SignOfLife(consumer_sequence),
                Input::Silence(_) => Next::Lost,
                Input::End => Next::End,
            }),
            Source::Pull(messages) => {
                Pin::new(messages).poll_next(cx).map(|message| match message {
                    Some(Ok(message)) => Next::Message(message),
                    Some(Err(MessagesError::Request(RequestError::Closed))) => Next::End,
                    Some(Err(error @ MessagesError::Refused { .. })) => Next::Failed(error),
                    Some(Err(_)) => Next::Lost,
                    None => Next::End,
                })
            }
        }
    }
}

/// Whether another attempt may succeed where this one failed.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Refused { error: refused, .. } => !is_gone(error) && refused.code >= 500,
        Error::Request { error, .. } => matches!(error, RequestError::TimedOut),
        Error::NoResponders { .. } => true,
        _ => false,
    }
}

/// Tells the server that a consumer is not needed any more. It would find out by itself, later.
fn delete_later(context: &Context, stream: &str, consumer: &str) {
    let subject = format!("{}.CONSUMER.DELETE.{stream}.{consumer}", context.api_prefix());
    context.client().publish_if_possible(&subject, b"");
}

/// Makes a consumer and listens to it.
async fn make(
    context: &Context,
    stream_name: &str,
    config: &Config,
    deliver_policy: DeliverPolicy,
) -> Result<Made, Error> {
    let heartbeat =
        if config.heartbeat.is_zero() { ORDERED_HEARTBEAT_DEFAULT } else { config.heartbeat };
    let prefix = config.name_prefix.as_deref().unwrap_or_default();
    let mut wanted = super::Config {
        name: Some(format!("{prefix}{}", nuid::next())),
        description: config.description.clone(),
        deliver_policy,
        ack_policy: AckPolicy::None,
        max_deliver: 1,
        replay_policy: config.replay_policy,
        headers_only: config.headers_only,
        num_replicas: 1,
        memory_storage: true,
        metadata: config.metadata.clone(),
        ..super::Config::default()
    };
    match &config.filter_subjects[..] {
        [] if deliver_policy == DeliverPolicy::LastPerSubject => {
            wanted.filter_subject = Some(">".to_owned());
        }
        [] => {}
        [one] => wanted.filter_subject = Some(one.clone()),
        several => wanted.filter_subjects = several.to_vec(),
    }
    let client = context.client();
    let operation = || format!("read stream {stream_name} in order");
    let failed = |error: RequestError| Error::Request { operation: operation(), error };
    let (info, source) = match config.delivery {
        Delivery::Pull => {
            wanted.inactive_threshold = INACTIVE_THRESHOLD;
            let info = create(context, stream_name, wanted, Action::Create).await?;
            let consumer: Consumer<pull::Config> =
                Consumer::from_info(context.clone(), info.clone())?;
            let messages_max = match config.max_messages {
                0 => pull::MESSAGES_PENDING_MAX,
                messages_max => messages_max,
            };
            let messages = consumer.stream().max_messages(messages_max).heartbeat(heartbeat);
            let messages = messages.messages().await;
            let messages = messages.map_err(|error| match error {
                MessagesError::Request(error) => failed(error),
                other => Error::Answer { operation: operation(), reason: other.to_string() },
            })?;
            (info, Source::Pull(Box::new(messages)))
        }
        Delivery::Push => {
            let inbox = client.new_inbox();
            wanted.deliver_subject = Some(inbox.clone());
            wanted.flow_control = true;
            wanted.idle_heartbeat = heartbeat;
            let subscriber =
                client.subscribe(&inbox).await.map_err(|error| failed(error.into()))?;
            let info = create(context, stream_name, wanted, Action::Create).await?;
            let feed = Feed::new(client.clone(), subscriber, &inbox, heartbeat);
            (info, Source::Push(Box::new(feed)))
        }
    };
    Ok(Made {
        num_pending: info.num_pending,
        begins_after: info.delivered.stream_sequence,
        reader: Reader { consumer_name: info.name, source },
    })
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("stream", &self.stream_name)
            .field("stream_sequence", &self.stream_sequence)
            .field("resets", &self.resets)
            .finish_non_exhaustive()
    }
}

/// Whoever reads no more needs no consumer.
impl Drop for Messages {
    fn drop(&mut self) {
        if let State::Reading(reader) = &self.state {
            delete_later(&self.context, &self.stream_name, &reader.consumer_name);
        }
    }
}
