//! Reading messages of a stream without its leader: any server that has them answers, and the
//! answer is the message itself.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::super::context::encode;
use super::super::silence::Silence;
use super::super::wire::is_default;
use super::super::{Error, StreamMessage, header};
use super::Stream;
use crate::{Message, RequestError, StatusCode, Subscriber};

impl Stream {
    /// The message of this sequence. The stream must [allow it](super::Config::allow_direct).
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::is_not_found`] when there is no such message, and
    /// [`Error::NoResponders`] when the stream does not allow it.
    pub async fn direct_get(&self, sequence: u64) -> Result<StreamMessage, Error> {
        self.direct("DIRECT.GET", &json!({ "seq": sequence })).await
    }

    /// The last message of a subject; see [`Stream::direct_get`].
    ///
    /// # Errors
    ///
    /// See [`Stream::direct_get`].
    pub async fn direct_get_last(&self, subject: impl AsRef<str>) -> Result<StreamMessage, Error> {
        let (name, subject) = (self.name(), subject.as_ref());
        let operation = || format!("get the last message of {subject} of stream {name}");
        // The subject is a part of the subject of the request, so that who may read what can be
        // decided by permissions.
        let api = format!("DIRECT.GET.{name}.{subject}");
        let answer = self.context.exchange(&api, &(), operation).await?;
        accept(answer, operation)
    }

    /// The first message of a subject, which may have wildcards, from a sequence on; see
    /// [`Stream::direct_get`].
    ///
    /// # Errors
    ///
    /// See [`Stream::direct_get`].
    pub async fn direct_get_next(
        &self,
        subject: impl AsRef<str>,
        from_sequence: u64,
    ) -> Result<StreamMessage, Error> {
        let request = json!({ "next_by_subj": subject.as_ref(), "seq": from_sequence });
        self.direct("DIRECT.GET", &request).await
    }

    /// The first message that is not older than `time`; see [`Stream::direct_get`].
    ///
    /// # Errors
    ///
    /// See [`Stream::direct_get`].
    pub async fn direct_get_from_time(&self, time: Timestamp) -> Result<StreamMessage, Error> {
        self.direct("DIRECT.GET", &json!({ "start_time": time })).await
    }

    async fn direct(&self, api: &str, request: &serde_json::Value) -> Result<StreamMessage, Error> {
        let name = self.name();
        let operation = || format!("get a message of stream {name}");
        let answer = self.context.exchange(&format!("{api}.{name}"), request, operation).await?;
        accept(answer, operation)
    }

    /// Several messages with one request; see [`Stream::direct_get`].
    ///
    /// # Errors
    ///
    /// The request was not sent.
    ///
    /// ```no_run
    /// # async fn example(stream: fulmar_client::jetstream::stream::Stream) -> Result<(), Box<dyn std::error::Error>> {
    /// use fulmar_client::jetstream::stream::DirectBatch;
    /// use futures_util::TryStreamExt as _;
    ///
    /// let last = DirectBatch::last_of(["orders.*.status"]);
    /// let messages: Vec<_> = stream.direct_get_batch(last).await?.try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn direct_get_batch(&self, batch: DirectBatch) -> Result<DirectMessages, Error> {
        let operation = batch_operation(self.name());
        let client = self.context.client();
        let inbox = client.new_inbox();
        let not_sent = |error: RequestError| Error::Request { operation: operation.clone(), error };
        // What comes was asked for, so the request is the bound.
        let messages = client.subscribe_with_bounds(inbox.as_bytes(), crate::subscriber::UNBOUNDED);
        let messages = messages.await.map_err(|error| not_sent(error.into()))?;
        let subject = format!("{}.DIRECT.GET.{}", self.context.api_prefix(), self.name());
        let sent = client.publish_with_reply(&subject, inbox, encode(&batch)).await;
        sent.map_err(|error| not_sent(error.into()))?;
        Ok(DirectMessages {
            operation,
            subject,
            messages: Some(messages),
            silence: Silence::new(self.context.timeout()),
            pending: None,
        })
    }
}

fn batch_operation(name: &str) -> String {
    format!("get messages of stream {name}")
}

fn accept(answer: Message, operation: impl Fn() -> String) -> Result<StreamMessage, Error> {
    match answer.status {
        None => StreamMessage::from_direct(answer, operation),
        Some(status) => Err(status_error(&answer, status, operation())),
    }
}

fn status_error(answer: &Message, status: StatusCode, operation: String) -> Error {
    let description = answer.description.clone().unwrap_or_default();
    Error::Status { operation, code: status.as_u16(), description }
}

/// Which messages to get with one request; see [`Stream::direct_get_batch`].
#[derive(Clone, Debug, Default, Serialize)]
#[must_use = "nothing is asked for before it is sent"]
pub struct DirectBatch {
    #[serde(skip_serializing_if = "is_default")]
    batch: usize,
    #[serde(skip_serializing_if = "is_default")]
    max_bytes: usize,
    #[serde(skip_serializing_if = "is_default")]
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    multi_last: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    up_to_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to_time: Option<Timestamp>,
}

impl DirectBatch {
    /// Up to so many messages, in order, from the first on.
    pub fn next(messages_max: usize) -> Self {
        Self { batch: messages_max.max(1), seq: 1, ..Self::default() }
    }

    /// The last message of each subject that matches one of these: the server allows 1,024.
    pub fn last_of(subjects: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let multi_last = subjects.into_iter().map(Into::into).collect();
        Self { multi_last, ..Self::default() }
    }

    /// No more messages than this.
    pub fn max_messages(mut self, messages_max: usize) -> Self {
        self.batch = messages_max;
        self
    }

    /// No more bytes than this, but at least one message.
    pub fn max_bytes(mut self, bytes_max: usize) -> Self {
        self.max_bytes = bytes_max;
        self
    }

    /// Only messages of this subject, which may have wildcards.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.next_by_subj = Some(subject.into());
        self
    }

    /// From this sequence on.
    pub fn from_sequence(mut self, sequence: u64) -> Self {
        self.seq = sequence;
        self
    }

    /// From this time on.
    pub fn from_time(mut self, time: Timestamp) -> Self {
        self.start_time = Some(time);
        self.seq = 0;
        self
    }

    /// The last messages as they were when this was the last sequence; with
    /// [`DirectBatch::last_of`].
    pub fn up_to_sequence(mut self, sequence: u64) -> Self {
        self.up_to_seq = sequence;
        self
    }

    /// The last messages as they were at this time; with [`DirectBatch::last_of`].
    pub fn up_to_time(mut self, time: Timestamp) -> Self {
        self.up_to_time = Some(time);
        self
    }
}

/// The messages of a [`DirectBatch`]. It ends after the last, or after an error.
#[derive(Debug)]
pub struct DirectMessages {
    operation: String,
    subject: String,
    /// `None` when it has ended.
    messages: Option<Subscriber>,
    silence: Silence,
    pending: Option<u64>,
}

impl DirectMessages {
    /// How many messages followed the last one that was taken, when it was read: those that the
    /// request did not ask for included.
    pub fn pending(&self) -> Option<u64> {
        self.pending
    }

    fn end(&mut self, error: Option<Error>) -> Poll<Option<Result<StreamMessage, Error>>> {
        self.messages = None;
        Poll::Ready(error.map(Err))
    }

    fn handle(&mut self, message: Message) -> Poll<Option<Result<StreamMessage, Error>>> {
        let pending = message.headers.as_ref().and_then(|headers| headers.get(header::NUM_PENDING));
        self.pending = pending.and_then(|count| count.parse().ok()).or(self.pending);
        let operation = self.operation.clone();
        match message.status {
            None => match StreamMessage::from_direct(message, || operation.clone()) {
                Ok(message) => Poll::Ready(Some(Ok(message))),
                Err(error) => self.end(Some(error)),
            },
            Some(status) if status == END_OF_BATCH => self.end(None),
            // No message matches.
            Some(StatusCode::NOT_FOUND) => self.end(None),
            Some(StatusCode::NO_RESPONDERS) => {
                let subject = self.subject.clone();
                self.end(Some(Error::NoResponders { operation, subject }))
            }
            Some(status) => self.end(Some(status_error(&message, status, operation))),
        }
    }
}

/// The status after the last message of a batch.
const END_OF_BATCH: u16 = 204;

impl futures_core::Stream for DirectMessages {
    type Item = Result<StreamMessage, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let Some(messages) = &mut self.messages else {
            return Poll::Ready(None);
        };
        match Pin::new(messages).poll_next(cx) {
            Poll::Ready(Some(message)) => {
                self.silence.hear();
                self.handle(message)
            }
            Poll::Ready(None) => {
                let error = RequestError::Closed;
                let operation = self.operation.clone();
                self.end(Some(Error::Request { operation, error }))
            }
            Poll::Pending => {
                std::task::ready!(self.silence.poll(cx));
                let error = RequestError::TimedOut;
                let operation = self.operation.clone();
                self.end(Some(Error::Request { operation, error }))
            }
        }
    }
}
