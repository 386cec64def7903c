//! The messages of a pull consumer, on and on.
//!
//! There is no task behind it: asking for more, noticing silence and starting again after it
//! happen when the user asks for the next message.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::super::{Consumer, MessagesError, info_of, is_gone};
use super::status::Status;
use super::window::{Bounds, Verdict, Window};
use super::{Config, PullRequest};
use crate::jetstream::context::encode;
use crate::jetstream::silence::{Reconnects, Silence};
use crate::jetstream::{Context, Message, header};
use crate::subscriber::UNBOUNDED;
use crate::{BoxFuture, PublishError, Subscriber};

/// How many messages are asked for in advance unless [`StreamBuilder::max_messages`] is set.
pub const MESSAGES_PENDING_MAX: usize = 500;
/// How long a pull request waits unless [`StreamBuilder::expires`] is set.
pub const PULL_EXPIRES_DEFAULT: Duration = Duration::from_secs(30);
/// How often a server gives a sign of life unless [`StreamBuilder::heartbeat`] is set.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);

/// How long to wait before a consumer is asked again that could not be reached.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(500);

/// How messages are asked for, on and on; see [`Consumer::stream`].
#[derive(Clone, Debug)]
#[must_use = "nothing is asked for before `messages`"]
pub struct StreamBuilder<'a> {
    consumer: &'a Consumer<Config>,
    messages_max: usize,
    bytes_max: usize,
    threshold_messages: Option<usize>,
    threshold_bytes: Option<usize>,
    heartbeat: Option<Duration>,
    request: PullRequest,
}

impl<'a> StreamBuilder<'a> {
    pub(super) fn new(consumer: &'a Consumer<Config>) -> Self {
        Self {
            consumer,
            messages_max: MESSAGES_PENDING_MAX,
            bytes_max: 0,
            threshold_messages: None,
            threshold_bytes: None,
            heartbeat: None,
            request: PullRequest { expires: PULL_EXPIRES_DEFAULT, ..PullRequest::default() },
        }
    }

    /// How many messages are asked for in advance, at least 1. Together with their size this
    /// bounds what waits in memory.
    pub fn max_messages(mut self, messages_max: usize) -> Self {
        self.messages_max = messages_max.max(1);
        self
    }

    /// How many bytes are asked for in advance. No message that is larger is ever delivered.
    pub fn max_bytes(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// More is asked for when no more messages than this are to come; half of
    /// [`StreamBuilder::max_messages`] unless it is set.
    pub fn threshold_messages(mut self, messages: usize) -> Self {
        self.threshold_messages = Some(messages);
        self
    }

    /// More is asked for when no more bytes than this are to come; half of
    /// [`StreamBuilder::max_bytes`] unless it is set.
    pub fn threshold_bytes(mut self, bytes: usize) -> Self {
        self.threshold_bytes = Some(bytes);
        self
    }

    /// How long a pull request waits, at least a second; then another takes its place.
    pub fn expires(mut self, expires: Duration) -> Self {
        self.request.expires = expires.max(Duration::from_secs(1));
        self
    }

    /// How often the server gives a sign of life, at most half of [`StreamBuilder::expires`]. When
    /// there is none for twice as long, messages are asked for anew.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// The priority group; see [`PriorityPolicy`](super::super::PriorityPolicy).
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.request.group = Some(group.into());
        self
    }

    /// Messages come only while so many are not delivered yet; for
    /// [`PriorityPolicy::Overflow`](super::super::PriorityPolicy::Overflow).
    pub fn min_pending(mut self, messages: u64) -> Self {
        self.request.min_pending = messages;
        self
    }

    /// Messages come only while so many wait for their acknowledgement; for
    /// [`PriorityPolicy::Overflow`](super::super::PriorityPolicy::Overflow).
    pub fn min_ack_pending(mut self, messages: u64) -> Self {
        self.request.min_ack_pending = messages;
        self
    }

    /// The lower, the sooner it is served, 0 to 9; for
    /// [`PriorityPolicy::Prioritized`](super::super::PriorityPolicy::Prioritized).
    pub fn priority(mut self, priority: u8) -> Self {
        self.request.priority = priority;
        self
    }

    /// The messages.
    ///
    /// # Errors
    ///
    /// The client is closed.
    pub async fn messages(self) -> Result<Stream, MessagesError> {
        let context = self.consumer.context().clone();
        let client = context.client().clone();
        let inbox = client.new_inbox();
        // What comes was asked for, so the requests are the bound.
        let all = format!("{inbox}.*");
        let subscriber = client.subscribe_with_bounds(all.as_bytes(), UNBOUNDED).await?;
        let heartbeat = self.heartbeat.unwrap_or(HEARTBEAT_DEFAULT).min(self.request.expires / 2);
        let messages_low = self.threshold_messages.unwrap_or(self.messages_max / 2);
        let bounds = Bounds {
            messages_max: self.messages_max,
            bytes_max: self.bytes_max,
            messages_low: messages_low.min(self.messages_max - 1),
            bytes_low: self
                .threshold_bytes
                .unwrap_or(self.bytes_max / 2)
                .min(self.bytes_max.saturating_sub(1)),
        };
        let mut stream = Stream {
            stream_name: self.consumer.stream_name().to_owned(),
            consumer_name: self.consumer.name().to_owned(),
            next_subject: self.consumer.next_subject(),
            reconnected: Reconnects::new(&client),
            context,
            subscriber,
            inbox,
            window: Window::new(bounds),
            request: PullRequest { idle_heartbeat: heartbeat, ..self.request },
            silence: Silence::new(heartbeat * 2),
            outgoing: None,
            reaching: None,
            ended: false,
        };
        stream.send_request();
        // Nothing is lost when it is not sent yet: it is, when the first message is asked for.
        if let Some(outgoing) = &mut stream.outgoing {
            outgoing.await?;
            stream.outgoing = None;
        }
        Ok(stream)
    }
}

/// The messages of a pull consumer, on and on; see [`Consumer::stream`].
///
/// It ends after an error, which says that there will be no more messages. What passes is not an
/// error: when the connection is lost and made again, when the server is silent for too long or
/// cannot be reached, messages are asked for anew.
pub struct Stream {
    context: Context,
    stream_name: String,
    consumer_name: String,
    next_subject: String,
    subscriber: Subscriber,
    /// Answers to the request n come to this, a dot and n.
    inbox: String,
    window: Window,
    /// What every request says.
    request: PullRequest,
    silence: Silence,
    reconnected: Reconnects,
    /// A request on its way into the outgoing buffer.
    outgoing: Option<BoxFuture<Result<(), PublishError>>>,
    /// Waits until the consumer can be reached.
    reaching: Option<BoxFuture<Result<(), MessagesError>>>,
    ended: bool,
}

impl Stream {
    /// Asks for more if more should be asked for.
    fn send_request(&mut self) {
        if self.outgoing.is_some() || self.reaching.is_some() {
            return;
        }
        let Some((number, wanted)) = self.window.poll_request() else { return };
        let PullRequest { batch, max_bytes, .. } = wanted;
        let request = PullRequest { batch, max_bytes, ..self.request.clone() };
        let client = self.context.client().clone();
        let subject = self.next_subject.clone();
        let reply = format!("{}.{number}", self.inbox);
        let payload = encode(&request);
        self.outgoing =
            Some(Box::pin(async move { client.publish_with_reply(subject, reply, payload).await }));
    }

    /// What was asked for does not come: asks for it anew.
    fn begin_anew(&mut self) {
        self.window.forget();
    }

    /// Waits, at least for `pause`, until the consumer can be reached, or is known to be gone.
    fn reach(&mut self, pause: Duration) {
        if self.reaching.is_some() {
            return;
        }
        let context = self.context.clone();
        let (stream, consumer) = (self.stream_name.clone(), self.consumer_name.clone());
        self.reaching = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            loop {
                match info_of(&context, &stream, &consumer).await {
                    Ok(_) => return Ok(()),
                    Err(error) if is_gone(&error) => {
                        return Err(MessagesError::ConsumerDeleted { stream, consumer });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the consumer cannot be reached");
                        tokio::time::sleep(UNREACHABLE_PAUSE).await;
                    }
                }
            }
        }));
    }

    fn end(&mut self, error: MessagesError) -> Poll<Option<Result<Message, MessagesError>>> {
        self.ended = true;
        Poll::Ready(Some(Err(error)))
    }

    fn refused(&self, description: String) -> MessagesError {
        MessagesError::Refused {
            stream: self.stream_name.clone(),
            consumer: self.consumer_name.clone(),
            description,
        }
    }

    /// What came: a message for the user, or something that changes what is asked for.
    fn handle(&mut self, message: crate::Message) -> Result<Option<Message>, MessagesError> {
        // A message that was stored with a status keeps it; but only what the server says comes
        // to the inbox.
        let status = message.status.filter(|_| message.subject.starts_with(&self.inbox));
        let Some(code) = status else {
            self.window.handle_message(message.length);
            if self.request.group.is_some()
                && let Some(id) = message.headers.as_ref().and_then(|all| all.get(header::PIN_ID))
                && self.request.id.as_deref() != Some(id)
            {
                self.request.id = Some(id.to_owned());
            }
            return Ok(Some(Message::new(message, self.context.client().clone())));
        };
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let number = number.unwrap_or(0);
        match Status::of(code, &message) {
            Status::Heartbeat => {}
            Status::Ended(ended) => {
                if self.window.handle_end(number, ended) == Verdict::TooLarge {
                    return Err(MessagesError::MessageTooLarge {
                        stream: self.stream_name.clone(),
                        consumer: self.consumer_name.clone(),
                        bytes_max: ended.bytes,
                    });
                }
            }
            Status::WrongPin => {
                self.request.id = None;
                self.begin_anew();
            }
            Status::Moved => {
                self.begin_anew();
                self.reach(Duration::ZERO);
            }
            Status::NoResponders => {
                self.begin_anew();
                self.reach(UNREACHABLE_PAUSE);
            }
            Status::ConsumerDeleted => {
                return Err(MessagesError::ConsumerDeleted {
                    stream: self.stream_name.clone(),
                    consumer: self.consumer_name.clone(),
                });
            }
            Status::Refused(description) => return Err(self.refused(description)),
        }
        Ok(None)
    }

    /// Sends what is to be sent.
    fn poll_requests(&mut self, cx: &mut TaskContext<'_>) -> Result<(), MessagesError> {
        if let Some(reaching) = &mut self.reaching {
            match reaching.as_mut().poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(reached) => {
                    self.reaching = None;
                    self.silence.hear();
                    reached?;
                }
            }
        }
        loop {
            self.send_request();
            let Some(outgoing) = &mut self.outgoing else { return Ok(()) };
            let Poll::Ready(sent) = outgoing.as_mut().poll(cx) else { return Ok(()) };
            self.outgoing = None;
            sent?;
        }
    }
}

impl futures_core::Stream for Stream {
    type Item = Result<Message, MessagesError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut this.subscriber).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    this.silence.hear();
                    let message = match this.handle(message) {
                        Ok(message) => message,
                        Err(error) => return this.end(error),
                    };
                    // Before the message is given away, so that more is on its way meanwhile.
                    if let Err(error) = this.poll_requests(cx) {
                        return this.end(error);
                    }
                    if let Some(message) = message {
                        return Poll::Ready(Some(Ok(message)));
                    }
                }
                // The client has ended.
                Poll::Ready(None) => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    if this.reconnected.poll(cx) {
                        this.begin_anew();
                        this.silence.hear();
                    }
                    if this.reaching.is_none() && this.silence.poll(cx).is_ready() {
                        tracing::debug!(consumer = this.consumer_name, "no sign of life");
                        this.begin_anew();
                        this.reach(Duration::ZERO);
                        this.silence.hear();
                    }
                    let before = this.reaching.is_some();
                    if let Err(error) = this.poll_requests(cx) {
                        return this.end(error);
                    }
                    if before && this.reaching.is_none() {
                        // The silence begins to count now.
                        continue;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("stream", &self.stream_name)
            .field("consumer", &self.consumer_name)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}
