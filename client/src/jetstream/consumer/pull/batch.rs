//! The messages that one pull request gets.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::super::{Consumer, MessagesError};
use super::status::Status;
use super::stream::PULL_EXPIRES_DEFAULT;
use super::{Config, PullRequest};
use crate::jetstream::Message;
use crate::jetstream::context::encode;
use crate::jetstream::silence::Silence;
use crate::subscriber::UNBOUNDED;
use crate::{Client, Request, RequestError, Subscriber, ToSubject};

/// How many messages are asked for unless [`BatchBuilder::max_messages`] is set.
const BATCH_MESSAGES_DEFAULT: usize = 200;

/// What one pull request asks for; see [`Consumer::batch`] and [`Consumer::fetch`].
#[derive(Clone, Debug)]
#[must_use = "nothing is asked for before `messages`"]
pub struct BatchBuilder<'a> {
    consumer: &'a Consumer<Config>,
    request: PullRequest,
}

impl<'a> BatchBuilder<'a> {
    pub(super) fn new(consumer: &'a Consumer<Config>) -> Self {
        let request = PullRequest {
            batch: BATCH_MESSAGES_DEFAULT,
            expires: PULL_EXPIRES_DEFAULT,
            ..PullRequest::default()
        };
        Self { consumer, request }
    }

    /// How many messages, at least 1.
    pub fn max_messages(mut self, messages_max: usize) -> Self {
        self.request.batch = messages_max.max(1);
        self
    }

    /// How many bytes.
    pub fn max_bytes(mut self, bytes_max: usize) -> Self {
        self.request.max_bytes = bytes_max;
        self
    }

    /// How long to wait for messages.
    pub fn expires(mut self, expires: Duration) -> Self {
        self.request.expires = expires;
        self.request.no_wait = false;
        self
    }

    /// Only messages that are there now.
    pub(super) fn no_wait(mut self) -> Self {
        self.request.expires = Duration::ZERO;
        self.request.no_wait = true;
        self
    }

    /// How often the server gives a sign of life, at most half of [`BatchBuilder::expires`].
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.request.idle_heartbeat = heartbeat;
        self
    }

    /// The priority group; see [`PriorityPolicy`](super::super::PriorityPolicy).
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.request.group = Some(group.into());
        self
    }

    /// It is served only when so many messages are not delivered yet.
    pub fn min_pending(mut self, messages: u64) -> Self {
        self.request.min_pending = messages;
        self
    }

    /// It is served only when so many messages wait for their acknowledgement.
    pub fn min_ack_pending(mut self, messages: u64) -> Self {
        self.request.min_ack_pending = messages;
        self
    }

    /// Who is pinned, as the header [`PIN_ID`](crate::jetstream::header::PIN_ID) of an earlier
    /// message said.
    pub fn pin_id(mut self, id: impl Into<String>) -> Self {
        self.request.id = Some(id.into());
        self
    }

    /// The lower, the sooner it is served, 0 to 9.
    pub fn priority(mut self, priority: u8) -> Self {
        self.request.priority = priority;
        self
    }

    /// Asks for the messages.
    ///
    /// # Errors
    ///
    /// The client is closed.
    pub async fn messages(self) -> Result<Batch, MessagesError> {
        let context = self.consumer.context();
        let client = context.client().clone();
        let inbox = client.new_inbox();
        // What comes was asked for, so the request is the bound.
        let subscriber = client.subscribe_with_bounds(inbox.as_bytes(), UNBOUNDED).await?;
        let request = self.request;
        let next_subject = self.consumer.next_subject();
        client.publish_with_reply(next_subject, inbox.as_str(), encode(&request)).await?;
        // The server ends the request; only when it is not there any more does the client.
        let patience = match request.idle_heartbeat {
            Duration::ZERO => request.expires.saturating_add(context.timeout()),
            heartbeat => heartbeat * 2,
        };
        Ok(Batch {
            client,
            stream_name: self.consumer.stream_name().to_owned(),
            consumer_name: self.consumer.name().to_owned(),
            subscriber: Some(subscriber),
            inbox,
            left: request.batch,
            max_bytes: request.max_bytes,
            empty: true,
            patience,
            silence: Silence::new(patience),
        })
    }
}

/// The messages that one pull request gets. It ends when all have come, when the request has
/// expired, or after an error.
#[derive(Debug)]
pub struct Batch {
    client: Client,
    stream_name: String,
    consumer_name: String,
    /// `None` when it has ended.
    subscriber: Option<Subscriber>,
    inbox: String,
    left: usize,
    max_bytes: usize,
    empty: bool,
    patience: Duration,
    silence: Silence,
}

impl Batch {
    fn handle(&mut self, message: crate::Message) -> Poll<Option<Result<Message, MessagesError>>> {
        let status = message.status.filter(|_| message.subject.starts_with(&self.inbox));
        let Some(code) = status else {
            self.empty = false;
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                self.subscriber = None;
            }
            let message = Message::new(message, self.client.clone());
            return Poll::Ready(Some(Ok(message)));
        };
        let (stream, consumer) = (self.stream_name.clone(), self.consumer_name.clone());
        let error = match Status::of(code, &message) {
            Status::Heartbeat => return Poll::Pending,
            Status::Ended(ended) if ended.too_large && self.empty => {
                MessagesError::MessageTooLarge { stream, consumer, bytes_max: self.max_bytes }
            }
            Status::Ended(_) => {
                self.subscriber = None;
                return Poll::Ready(None);
            }
            other => ended_early(other, stream, consumer, &message),
        };
        self.end(error)
    }

    fn end(&mut self, error: MessagesError) -> Poll<Option<Result<Message, MessagesError>>> {
        self.subscriber = None;
        Poll::Ready(Some(Err(error)))
    }
}

/// What a status other than the usual end means for a single request.
fn ended_early(
    status: Status,
    stream: String,
    consumer: String,
    message: &crate::Message,
) -> MessagesError {
    match status {
        Status::NoResponders => MessagesError::Request(RequestError::NoResponders),
        Status::ConsumerDeleted => MessagesError::ConsumerDeleted { stream, consumer },
        Status::Refused(description) => MessagesError::Refused { stream, consumer, description },
        Status::Heartbeat | Status::Ended(_) | Status::Moved | Status::WrongPin => {
            let description = message.description.clone().unwrap_or_default();
            MessagesError::Refused { stream, consumer, description }
        }
    }
}

impl futures_core::Stream for Batch {
    type Item = Result<Message, MessagesError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(subscriber) = &mut this.subscriber else { return Poll::Ready(None) };
            match Pin::new(subscriber).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    this.silence.hear();
                    if let Poll::Ready(item) = this.handle(message) {
                        return Poll::Ready(item);
                    }
                }
                Poll::Ready(None) => return this.end(RequestError::Closed.into()),
                Poll::Pending => {
                    std::task::ready!(this.silence.poll(cx));
                    let error = MessagesError::MissingHeartbeat {
                        stream: this.stream_name.clone(),
                        consumer: this.consumer_name.clone(),
                        silence: this.patience,
                    };
                    return this.end(error);
                }
            }
        }
    }
}

/// The next message of a consumer.
pub(super) async fn next(
    consumer: &Consumer<Config>,
    expires: Duration,
) -> Result<Option<Message>, MessagesError> {
    let no_wait = expires.is_zero();
    let pull = PullRequest { batch: 1, expires, no_wait, ..PullRequest::default() };
    let (stream, name) = (consumer.stream_name(), consumer.name());
    let context = consumer.context();
    let patience = expires.saturating_add(context.timeout());
    let payload = encode(&pull);
    ask_for_one(context.client(), consumer.next_subject(), payload, patience, stream, name).await
}

/// Asks for one message, which comes with a subject of its own: so it needs an inbox of its own.
pub(in crate::jetstream) async fn ask_for_one(
    client: &Client,
    subject: impl ToSubject,
    payload: Bytes,
    patience: Duration,
    stream: &str,
    consumer: &str,
) -> Result<Option<Message>, MessagesError> {
    let inbox = client.new_inbox();
    let request = Request::new().payload(payload).timeout(Some(patience)).inbox(inbox.as_str());
    let answer = client.send_request(subject, request).await?;
    let Some(code) = answer.status.filter(|_| answer.subject == inbox.as_str()) else {
        return Ok(Some(Message::new(answer, client.clone())));
    };
    match Status::of(code, &answer) {
        Status::Ended(_) => Ok(None),
        other => Err(ended_early(other, stream.to_owned(), consumer.to_owned(), &answer)),
    }
}
