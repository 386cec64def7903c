//! Publishing with an answer: the message, the answer, and the window of messages without one.
//!
//! A publish is a request whose answer nobody waits for yet. Its place in the window is given back
//! when the answer comes, whether or not somebody looks at it, so that waiting for one answer
//! never holds up the next message.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::context::Context;
use super::wire::empty_is_none;
use super::{ApiError, ErrorCode, header};
use crate::client::{accept_later, accept_outcome};
use crate::shared::Place;
use crate::{BoxFuture, HeaderError, HeaderMap, Message, RequestError, Subject, ToSubject};

/// How often a message is published again when no stream listens to its subject.
pub const NO_RESPONDERS_RETRIES: usize = 2;
/// How long to wait before that: a stream whose leader changes listens again soon.
pub const NO_RESPONDERS_PAUSE: Duration = Duration::from_millis(250);

impl Context {
    /// Publishes a message to a stream. Returns once it is in the outgoing buffer; what it returns
    /// waits for the stream's answer, and may be waited for at any time later, or never. Waits
    /// while as many messages are without an answer as there may be (see
    /// [`ContextBuilder::max_ack_inflight`](super::ContextBuilder::max_ack_inflight)).
    ///
    /// # Errors
    ///
    /// The message was not sent; see [`PublishError`].
    ///
    /// ```no_run
    /// # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
    /// let first = context.publish("orders.1", "a".into()).await?;
    /// let second = context.publish("orders.2", "b".into()).await?;
    /// println!("{} {}", first.await?.sequence, second.await?.sequence);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(
        &self,
        subject: impl ToSubject,
        payload: Bytes,
    ) -> Result<PublishAckFuture, PublishError> {
        self.send(Unacknowledged { subject: subject.to_subject(), headers: None, payload }).await
    }

    /// Publishes a message with headers to a stream; see [`Context::publish`].
    ///
    /// # Errors
    ///
    /// The message was not sent; see [`PublishError`].
    pub async fn publish_with_headers(
        &self,
        subject: impl ToSubject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PublishAckFuture, PublishError> {
        let subject = subject.to_subject();
        self.send(Unacknowledged { subject, headers: Some(headers), payload }).await
    }

    /// Publishes a message that was put together piece by piece; see [`Context::publish`].
    ///
    /// # Errors
    ///
    /// The message was not sent; see [`PublishError`].
    pub async fn send_publish(
        &self,
        subject: impl ToSubject,
        publish: Publish,
    ) -> Result<PublishAckFuture, PublishError> {
        let subject = subject.to_subject();
        let (headers, payload) = publish.into_parts(&subject)?;
        self.send(Unacknowledged { subject, headers, payload }).await
    }

    async fn send(&self, message: Unacknowledged) -> Result<PublishAckFuture, PublishError> {
        let place = Place::take(self.window()).await;
        let Unacknowledged { subject, headers, payload } = &message;
        let timeout = Some(self.ack_timeout());
        let begun = self.client().begin_request(
            subject.as_bytes(),
            headers.as_ref(),
            payload,
            timeout,
            Some(place),
        );
        match begun.await {
            Ok(answer) => {
                let context = self.clone();
                Ok(PublishAckFuture { state: State::Waiting { answer, message, context } })
            }
            Err(error) => Err(PublishError::from_request(error, subject)),
        }
    }

    /// Publishes once more, some time after nobody listened, and waits for the answer.
    async fn publish_again(self, message: Unacknowledged) -> Result<PublishAck, PublishError> {
        let Unacknowledged { subject, headers, payload } = &message;
        let mut outcome = Err(RequestError::NoResponders);
        for _ in 0..NO_RESPONDERS_RETRIES {
            tokio::time::sleep(NO_RESPONDERS_PAUSE).await;
            let timeout = Some(self.ack_timeout());
            let client = self.client();
            outcome = match client
                .begin_request(subject.as_bytes(), headers.as_ref(), payload, timeout, None)
                .await
            {
                Ok(answer) => accept_later(answer).await,
                Err(error) => Err(error),
            };
            if !matches!(outcome, Err(RequestError::NoResponders)) {
                break;
            }
        }
        read_ack(outcome, subject)
    }
}

/// A message that was published; kept until the stream has answered.
#[derive(Clone, Debug)]
struct Unacknowledged {
    subject: Subject,
    headers: Option<HeaderMap>,
    payload: Bytes,
}

/// The answer of the stream to a message, when it comes. Dropping it changes nothing for the
/// message.
///
/// When no stream listens to the subject, the message is published again, up to
/// [`NO_RESPONDERS_RETRIES`] times: but only when this is waited for.
#[must_use = "whether a stream has the message is known when this was waited for"]
pub struct PublishAckFuture {
    state: State,
}

enum State {
    Waiting {
        answer: oneshot::Receiver<Option<Message>>,
        message: Unacknowledged,
        context: Context,
    },
    Again(BoxFuture<Result<PublishAck, PublishError>>),
    Done,
}

impl Future for PublishAckFuture {
    type Output = Result<PublishAck, PublishError>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let state = &mut self.get_mut().state;
        if let State::Waiting { answer, .. } = state {
            let outcome = std::task::ready!(Pin::new(answer).poll(cx));
            let State::Waiting { message, context, .. } = std::mem::replace(state, State::Done)
            else {
                unreachable!("it is `Waiting`");
            };
            let outcome = accept_outcome(outcome);
            if !matches!(outcome, Err(RequestError::NoResponders)) {
                return Poll::Ready(read_ack(outcome, &message.subject));
            }
            *state = State::Again(Box::pin(context.publish_again(message)));
        }
        let State::Again(again) = state else {
            panic!("the answer to a publish was taken before");
        };
        let ack = std::task::ready!(again.as_mut().poll(cx));
        *state = State::Done;
        Poll::Ready(ack)
    }
}

impl fmt::Debug for PublishAckFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting { .. } => "waiting",
            State::Again(_) => "published again",
            State::Done => "done",
        };
        f.debug_tuple("PublishAckFuture").field(&state).finish()
    }
}

/// What a stream says to a message that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PublishAck {
    /// The stream.
    pub stream: String,
    /// The sequence of the message.
    #[serde(rename = "seq")]
    pub sequence: u64,
    /// The JetStream domain of the stream.
    #[serde(default, with = "empty_is_none")]
    pub domain: Option<String>,
    /// It had a message with this id already, at this sequence, and did not store this one.
    #[serde(default)]
    pub duplicate: bool,
    /// The value of the counter after this message.
    #[serde(default, rename = "val", with = "empty_is_none")]
    pub value: Option<String>,
    /// The batch that was committed.
    #[serde(default, rename = "batch", with = "empty_is_none")]
    pub batch_id: Option<String>,
    /// How many messages the batch had.
    #[serde(default, rename = "count")]
    pub batch_size: usize,
}

/// Reads what came back for a message to `subject`.
pub(crate) fn read_ack(
    outcome: Result<Message, RequestError>,
    subject: &Subject,
) -> Result<PublishAck, PublishError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        error: Option<ApiError>,
        #[serde(flatten)]
        ack: Option<PublishAck>,
    }
    let message = outcome.map_err(|error| PublishError::from_request(error, subject))?;
    // Nearly every answer is one that says yes.
    if !message.payload.starts_with(b"{\"error\"")
        && let Ok(ack) = serde_json::from_slice::<PublishAck>(&message.payload)
        && ack.sequence > 0
    {
        return Ok(ack);
    }
    let reason = match serde_json::from_slice::<Answer>(&message.payload) {
        Ok(Answer { error: Some(error), .. }) => {
            return Err(PublishError::Refused { subject: subject.clone(), error });
        }
        Ok(Answer { ack: Some(ack), .. }) => return Ok(ack),
        Ok(_) => "it names no stream".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(PublishError::Answer { subject: subject.clone(), reason })
}

/// Why a stream does not have a message, or is not known to have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The message was not sent.
    #[error(transparent)]
    Publish(#[from] crate::PublishError),
    /// A name or a value cannot be a header.
    #[error("cannot publish to {subject}: {error}")]
    Header {
        /// Where it was to go.
        subject: Subject,
        /// What is wrong.
        error: HeaderError,
    },
    /// No stream listens to the subject.
    #[error("cannot publish to {subject}: no stream listens to it")]
    NoStream {
        /// Where it was to go.
        subject: Subject,
    },
    /// No answer came in time: whether the stream has the message is not known. A message with an
    /// id may be published again without becoming two.
    #[error("no stream answered in time to a message to {subject}, which it may have all the same")]
    TimedOut {
        /// Where it went.
        subject: Subject,
    },
    /// The client was closed before an answer came.
    #[error("the client was closed before a stream answered to a message to {subject}")]
    Closed {
        /// Where it went.
        subject: Subject,
    },
    /// The stream refused it.
    #[error("cannot publish to {subject}: {error}")]
    Refused {
        /// Where it was to go.
        subject: Subject,
        /// What the server said.
        error: ApiError,
    },
    /// Something that is not a stream answered.
    #[error("the answer to a message to {subject} cannot be read: {reason}")]
    Answer {
        /// Where it went.
        subject: Subject,
        /// What is wrong.
        reason: String,
    },
}

impl PublishError {
    /// The number of the error, if it was the stream that refused.
    pub fn err_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { error, .. } => Some(error.err_code),
            _ => None,
        }
    }

    /// Whether the stream refused because its last message, or that of the subject, is not the
    /// expected one.
    pub fn is_wrong_last_sequence(&self) -> bool {
        let wrong =
            [ErrorCode::STREAM_WRONG_LAST_SEQUENCE, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT];
        self.err_code().is_some_and(|code| wrong.contains(&code))
    }

    pub(crate) fn from_request(error: RequestError, subject: &Subject) -> Self {
        let subject = subject.clone();
        match error {
            RequestError::Publish(error) => Self::Publish(error),
            RequestError::NoResponders => Self::NoStream { subject },
            RequestError::TimedOut => Self::TimedOut { subject },
            // A publish has no inbox of its own.
            RequestError::Closed | RequestError::Subscribe(_) => Self::Closed { subject },
        }
    }
}

/// A message for a stream that is put together piece by piece; see [`Context::send_publish`].
///
/// ```no_run
/// # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
/// use fulmar_client::jetstream::Publish;
///
/// let publish = Publish::new()
///     .payload("hello".into())
///     .message_id("order-1")
///     .expected_last_subject_sequence(0);
/// let ack = context.send_publish("orders.1", publish).await?.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing before it is sent"]
pub struct Publish {
    payload: Bytes,
    headers: Option<HeaderMap>,
    invalid: Option<HeaderError>,
}

impl Publish {
    /// A message without payload and headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to publish.
    pub fn payload(mut self, payload: Bytes) -> Self {
        self.payload = payload;
        self
    }

    /// Adds these headers.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        match &mut self.headers {
            None => self.headers = Some(headers),
            Some(own) => {
                for (name, value) in headers.iter() {
                    if let Err(error) = own.append(name, value) {
                        self.invalid.get_or_insert(error);
                    }
                }
            }
        }
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let headers = self.headers.get_or_insert_with(HeaderMap::new);
        if let Err(error) = headers.insert(name, value) {
            self.invalid.get_or_insert(error);
        }
        self
    }

    /// An id: a stream that has had a message with it within its
    /// [`duplicate_window`](super::stream::Config::duplicate_window) does not take another.
    pub fn message_id(self, id: impl Into<String>) -> Self {
        self.header(header::MESSAGE_ID, id)
    }

    /// The stream that must take it.
    pub fn expected_stream(self, stream: impl Into<String>) -> Self {
        self.header(header::EXPECTED_STREAM, stream)
    }

    /// The sequence that the last message of the stream must have.
    pub fn expected_last_sequence(self, sequence: u64) -> Self {
        self.header(header::EXPECTED_LAST_SEQUENCE, sequence.to_string())
    }

    /// The sequence that the last message of the subject must have; 0 for none.
    pub fn expected_last_subject_sequence(self, sequence: u64) -> Self {
        self.header(header::EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string())
    }

    /// Which subject [`Publish::expected_last_subject_sequence`] is about, if not the message's
    /// own; it may have wildcards.
    pub fn expected_last_subject_sequence_subject(self, subject: impl Into<String>) -> Self {
        self.header(header::EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT, subject)
    }

    /// The id that the last message of the stream must have.
    pub fn expected_last_message_id(self, id: impl Into<String>) -> Self {
        self.header(header::EXPECTED_LAST_MESSAGE_ID, id)
    }

    /// It takes the place of messages before it. The stream must
    /// [allow it](super::stream::Config::allow_rollup).
    pub fn rollup(self, rollup: Rollup) -> Self {
        let what = match rollup {
            Rollup::Subject => "sub",
            Rollup::All => "all",
        };
        self.header(header::ROLLUP, what)
    }

    /// How long it is kept, at least a second. The stream must
    /// [allow it](super::stream::Config::allow_message_ttl).
    pub fn ttl(self, ttl: Duration) -> Self {
        self.header(header::TTL, duration_text(ttl))
    }

    /// It is kept whatever the stream's [`max_age`](super::stream::Config::max_age) is. The stream
    /// must [allow it](super::stream::Config::allow_message_ttl).
    pub fn ttl_never(self) -> Self {
        self.header(header::TTL, "never")
    }

    /// It adds to the counter that the subject is, instead of having a payload; what comes of it
    /// is in [`PublishAck::value`]. The stream must
    /// [count](super::stream::Config::allow_message_counter).
    pub fn increment(self, by: i64) -> Self {
        self.header(header::INCREMENT, format!("{by:+}"))
    }

    /// The stream publishes it to `target`, when or as often as `schedule` says, until another
    /// takes its place. The stream must
    /// [allow it](super::stream::Config::allow_message_schedules), and store both subjects.
    pub fn schedule(self, schedule: &Schedule, target: impl Into<String>) -> Self {
        let publish = self
            .header(header::SCHEDULE, schedule.to_string())
            .header(header::SCHEDULE_TARGET, target);
        match schedule {
            Schedule::Cron { time_zone: Some(zone), .. } => {
                publish.header(header::SCHEDULE_TIME_ZONE, zone)
            }
            _ => publish,
        }
    }

    /// The schedule publishes the last message of this subject instead of its own payload.
    pub fn schedule_source(self, subject: impl Into<String>) -> Self {
        self.header(header::SCHEDULE_SOURCE, subject)
    }

    /// How long what the schedule publishes is kept, at least a second.
    pub fn schedule_ttl(self, ttl: Duration) -> Self {
        self.header(header::SCHEDULE_TTL, duration_text(ttl))
    }

    /// What the schedule publishes takes the place of earlier messages of its subject.
    pub fn schedule_rollup(self) -> Self {
        self.header(header::SCHEDULE_ROLLUP, "sub")
    }

    pub(crate) fn into_parts(
        self,
        subject: &Subject,
    ) -> Result<(Option<HeaderMap>, Bytes), PublishError> {
        match self.invalid {
            Some(error) => Err(PublishError::Header { subject: subject.clone(), error }),
            None => Ok((self.headers, self.payload)),
        }
    }
}

/// A message that has only a payload.
impl From<Bytes> for Publish {
    fn from(payload: Bytes) -> Self {
        Self::new().payload(payload)
    }
}

/// A message that has only a payload.
impl From<&'static str> for Publish {
    fn from(payload: &'static str) -> Self {
        Self::new().payload(payload.into())
    }
}

/// Which messages another takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollup {
    /// Those of its subject.
    Subject,
    /// All of the stream.
    All,
}

/// When a message is published by its stream; see [`Publish::schedule`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// Once, at this time.
    At(Timestamp),
    /// Again and again, with this much time between: at least a second.
    Every(Duration),
    /// When this pattern says so.
    Cron {
        /// Six fields (second, minute, hour, day of the month, month, day of the week), or one of
        /// `@yearly`, `@monthly`, `@weekly`, `@daily`, `@hourly`.
        pattern: String,
        /// The name of a time zone, such as `Europe/Berlin`; `None` for UTC.
        time_zone: Option<String>,
    },
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => write!(f, "@at {time}"),
            Self::Every(pause) => write!(f, "@every {}", duration_text(*pause)),
            Self::Cron { pattern, .. } => f.write_str(pattern),
        }
    }
}

/// A duration as servers read it in a header.
pub(crate) fn duration_text(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_nanos()) {
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ns", duration.as_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &'static str) -> Result<PublishAck, PublishError> {
        let message = Message {
            subject: Subject::from("inbox"),
            reply: None,
            payload: Bytes::from_static(payload.as_bytes()),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        };
        read_ack(Ok(message), &Subject::from("a"))
    }

    #[test]
    fn answers() {
        let ack = |stream: &str, sequence| PublishAck {
            stream: stream.to_owned(),
            sequence,
            ..PublishAck::default()
        };
        assert_eq!(answer(r#"{"stream":"S","seq":3}"#), Ok(ack("S", 3)));
        let duplicate = PublishAck { domain: Some("D".to_owned()), duplicate: true, ..ack("S", 3) };
        assert_eq!(
            answer(r#"{"stream":"S","domain":"D","seq":3,"duplicate": true}"#),
            Ok(duplicate)
        );
        let batch = PublishAck {
            batch_id: Some("b".to_owned()),
            batch_size: 2,
            value: Some("7".to_owned()),
            ..ack("S", 4)
        };
        assert_eq!(answer(r#"{"stream":"S","seq":4,"batch":"b","count":2,"val":"7"}"#), Ok(batch));
        let refused = answer(
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 9"},"stream":"S","seq":0}"#,
        )
        .unwrap_err();
        assert!(refused.is_wrong_last_sequence());
        let text = "cannot publish to a: wrong last sequence: 9 (error 10071)";
        assert_eq!(refused.to_string(), text);
        assert!(matches!(answer("hello"), Err(PublishError::Answer { .. })));
        assert!(matches!(answer("{}"), Err(PublishError::Answer { .. })));
    }

    #[test]
    fn headers_of_a_publish() {
        let schedule = Schedule::Cron {
            pattern: "@daily".to_owned(),
            time_zone: Some("Asia/Tokyo".to_owned()),
        };
        let mut more = HeaderMap::new();
        more.insert("A", "1").unwrap();
        let publish = Publish::new()
            .message_id("id")
            .ttl(Duration::from_millis(1500))
            .increment(5)
            .schedule(&schedule, "b")
            .headers(more);
        let (headers, _) = publish.into_parts(&Subject::from("a")).unwrap();
        let headers = headers.unwrap();
        let expected = [
            ("Nats-Msg-Id", "id"),
            ("Nats-TTL", "1500000000ns"),
            ("Nats-Incr", "+5"),
            ("Nats-Schedule", "@daily"),
            ("Nats-Schedule-Target", "b"),
            ("Nats-Schedule-Time-Zone", "Asia/Tokyo"),
            ("A", "1"),
        ];
        assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
        let every = Schedule::Every(Duration::from_secs(90));
        assert_eq!(every.to_string(), "@every 90s");
        let broken = Publish::new().message_id("a\r\nb").into_parts(&Subject::from("a"));
        assert!(matches!(broken, Err(PublishError::Header { .. })));
    }
}
