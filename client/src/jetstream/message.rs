//! Messages as a consumer delivers them, with their acknowledgement, and as they lie in a stream.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::consumer::MessagesError;
use super::consumer::pull::{PullRequest, ask_for_one};
use super::{Error, header};
use crate::{Client, HeaderMap, PublishError, RequestError, Subject};

/// A message that a consumer delivered. It reads as a [`Message`](crate::Message).
///
/// ```no_run
/// # async fn example(message: fulmar_client::jetstream::Message) -> Result<(), Box<dyn std::error::Error>> {
/// println!("{}: {} bytes", message.subject, message.payload.len());
/// message.ack().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Message {
    message: crate::Message,
    client: Client,
}

/// Acknowledges a message without holding it; see [`Message::split`].
#[derive(Clone)]
pub struct Acker {
    reply: Option<Subject>,
    client: Client,
}

/// What to tell a consumer of a message.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum AckKind {
    /// It is done with.
    #[default]
    Ack,
    /// It was not done with: deliver it again, after this time, or at once.
    Nak(Option<Duration>),
    /// It is being worked on: the time it may take begins anew.
    Progress,
    /// It never will be done with: do not deliver it again, for this reason.
    Term(Option<String>),
}

impl Message {
    pub(crate) fn new(message: crate::Message, client: Client) -> Self {
        Self { message, client }
    }

    /// Acknowledges the message. Returns once the acknowledgement is in the outgoing buffer.
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn ack(&self) -> Result<(), AckError> {
        acknowledge(&self.client, &self.message.reply, AckKind::Ack).await
    }

    /// Tells the consumer something of the message; see [`Message::ack`].
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn ack_with(&self, kind: AckKind) -> Result<(), AckError> {
        acknowledge(&self.client, &self.message.reply, kind).await
    }

    /// Asks for the message again, after `delay`, or at once.
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn nak(&self, delay: Option<Duration>) -> Result<(), AckError> {
        self.ack_with(AckKind::Nak(delay)).await
    }

    /// Says that the message is being worked on: the time it may take begins anew.
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn progress(&self) -> Result<(), AckError> {
        self.ack_with(AckKind::Progress).await
    }

    /// Says that the message is not to be delivered again, and why.
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn term(&self, reason: Option<&str>) -> Result<(), AckError> {
        self.ack_with(AckKind::Term(reason.map(str::to_owned))).await
    }

    /// Acknowledges the message and waits until the server says that it knows.
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn double_ack(&self) -> Result<(), AckError> {
        acknowledge_and_wait(&self.client, &self.message.reply, AckKind::Ack).await
    }

    /// Tells the consumer something of the message and waits until the server says that it knows.
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn double_ack_with(&self, kind: AckKind) -> Result<(), AckError> {
        acknowledge_and_wait(&self.client, &self.message.reply, kind).await
    }

    /// Acknowledges the message and asks for the next with one request; `None` when none comes
    /// within `expires`.
    ///
    /// # Errors
    ///
    /// See [`MessagesError`].
    pub async fn ack_next(&self, expires: Duration) -> Result<Option<Self>, MessagesError> {
        let reply = self.message.reply.as_ref();
        let Some((reply, info)) = reply.and_then(|reply| Some((reply, MessageInfo::parse(reply)?)))
        else {
            return Err(MessagesError::NotDelivered);
        };
        let no_wait = expires.is_zero();
        let request = PullRequest { batch: 1, expires, no_wait, ..PullRequest::default() };
        let payload = [b"+NXT ", &super::context::encode(&request)[..]].concat().into();
        let patience = expires.saturating_add(super::API_TIMEOUT_DEFAULT);
        ask_for_one(&self.client, reply, payload, patience, info.stream, info.consumer).await
    }

    /// What the consumer says of this delivery.
    ///
    /// # Errors
    ///
    /// The reply address is not that of a consumer.
    pub fn info(&self) -> Result<MessageInfo<'_>, AckError> {
        let reply = self.message.reply.as_ref().ok_or(AckError::NotDelivered)?;
        MessageInfo::parse(reply).ok_or(AckError::NotDelivered)
    }

    /// What acknowledges the message without it.
    pub fn acker(&self) -> Acker {
        Acker { reply: self.message.reply.clone(), client: self.client.clone() }
    }

    /// The message, and what acknowledges it.
    pub fn split(self) -> (crate::Message, Acker) {
        let acker = Acker { reply: self.message.reply.clone(), client: self.client };
        (self.message, acker)
    }

    /// The message.
    pub fn into_inner(self) -> crate::Message {
        self.message
    }
}

impl Deref for Message {
    type Target = crate::Message;

    fn deref(&self) -> &crate::Message {
        &self.message
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl Acker {
    /// Acknowledges the message; see [`Message::ack`].
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn ack(&self) -> Result<(), AckError> {
        acknowledge(&self.client, &self.reply, AckKind::Ack).await
    }

    /// Tells the consumer something of the message; see [`Message::ack_with`].
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn ack_with(&self, kind: AckKind) -> Result<(), AckError> {
        acknowledge(&self.client, &self.reply, kind).await
    }

    /// Acknowledges the message and waits; see [`Message::double_ack`].
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn double_ack(&self) -> Result<(), AckError> {
        acknowledge_and_wait(&self.client, &self.reply, AckKind::Ack).await
    }

    /// Tells the consumer something of the message and waits; see [`Message::double_ack_with`].
    ///
    /// # Errors
    ///
    /// See [`AckError`].
    pub async fn double_ack_with(&self, kind: AckKind) -> Result<(), AckError> {
        acknowledge_and_wait(&self.client, &self.reply, kind).await
    }
}

impl fmt::Debug for Acker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acker").field("reply", &self.reply).finish_non_exhaustive()
    }
}

async fn acknowledge(
    client: &Client,
    reply: &Option<Subject>,
    kind: AckKind,
) -> Result<(), AckError> {
    let reply = reply.as_ref().ok_or(AckError::NotDelivered)?;
    Ok(client.publish(reply, kind.payload()).await?)
}

async fn acknowledge_and_wait(
    client: &Client,
    reply: &Option<Subject>,
    kind: AckKind,
) -> Result<(), AckError> {
    let reply = reply.as_ref().ok_or(AckError::NotDelivered)?;
    client.request(reply, kind.payload()).await?;
    Ok(())
}

impl AckKind {
    /// What it is on the wire.
    fn payload(&self) -> Bytes {
        match self {
            Self::Ack => Bytes::from_static(b"+ACK"),
            Self::Nak(None) => Bytes::from_static(b"-NAK"),
            Self::Nak(Some(delay)) => {
                format!(r#"-NAK {{"delay":{}}}"#, super::wire::from_duration(*delay)).into()
            }
            Self::Progress => Bytes::from_static(b"+WPI"),
            Self::Term(None) => Bytes::from_static(b"+TERM"),
            Self::Term(Some(reason)) => format!("+TERM {reason}").into(),
        }
    }
}

/// Why a consumer was not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The message does not come from a consumer.
    #[error("the message cannot be acknowledged: it was not delivered by a consumer")]
    NotDelivered,
    /// It was not sent.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The server did not say that it knows.
    #[error("the acknowledgement is not known to have arrived: {0}")]
    Request(#[from] RequestError),
}

/// What a consumer says of a delivery, in the reply address of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageInfo<'a> {
    /// The JetStream domain of the server, where it names it.
    pub domain: Option<&'a str>,
    /// The account, where the server names it: a hash.
    pub account_hash: Option<&'a str>,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// How often the message was delivered, this time included.
    pub delivered: u64,
    /// The sequence of the message in the stream.
    pub stream_sequence: u64,
    /// The number of this delivery.
    pub consumer_sequence: u64,
    /// When the message was stored.
    pub published: Timestamp,
    /// How many messages follow for this consumer.
    pub pending: u64,
}

impl<'a> MessageInfo<'a> {
    /// What the reply address says; `None` when it is not that of a consumer.
    pub fn parse(reply: &'a str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        // One pass: this is done for each message that is read in order.
        let (mut found, mut count, mut begin) = ([""; 9], 0, 0);
        for (end, byte) in rest.bytes().chain([b'.']).enumerate() {
            if byte == b'.' {
                if let Some(token) = found.get_mut(count) {
                    *token = &rest[begin..end];
                }
                count += 1;
                begin = end + 1;
            }
        }
        let mut tokens = found.into_iter();
        // The old form has seven tokens from here on, the new one nine and maybe more.
        let (domain, account_hash) = match count {
            7 => (None, None),
            9.. => (tokens.next().filter(|domain| *domain != "_"), tokens.next()),
            _ => return None,
        };
        let (stream, consumer) = (tokens.next()?, tokens.next()?);
        let mut number = || tokens.next()?.parse::<u64>().ok();
        let (delivered, stream_sequence, consumer_sequence) = (number()?, number()?, number()?);
        let nanoseconds = number()?;
        let pending = number()?;
        let published = Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
        Some(Self {
            domain,
            account_hash,
            stream,
            consumer,
            delivered,
            stream_sequence,
            consumer_sequence,
            published,
            pending,
        })
    }
}

/// A message as it lies in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMessage {
    /// The subject it is stored under.
    pub subject: Subject,
    /// Its sequence.
    pub sequence: u64,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
    /// When it was stored.
    pub time: Timestamp,
}

impl StreamMessage {
    /// The message that a direct get was answered with.
    pub(crate) fn from_direct(
        message: crate::Message,
        operation: impl Fn() -> String,
    ) -> Result<Self, Error> {
        let missing = |name: &str| Error::Answer {
            operation: operation(),
            reason: format!("its header {name} is missing or malformed"),
        };
        let mut headers = message.headers.unwrap_or_default();
        let get = |name: &str| headers.get(name);
        let subject = get(header::SUBJECT).ok_or_else(|| missing(header::SUBJECT))?;
        let subject = Subject::from(subject);
        let sequence = get(header::SEQUENCE).and_then(|text| text.parse().ok());
        let sequence = sequence.ok_or_else(|| missing(header::SEQUENCE))?;
        let time = get(header::TIME_STAMP).and_then(|text| text.parse().ok());
        let time = time.ok_or_else(|| missing(header::TIME_STAMP))?;
        // What the server added is in the fields above.
        let added = [
            header::STREAM,
            header::SUBJECT,
            header::SEQUENCE,
            header::TIME_STAMP,
            header::LAST_SEQUENCE,
            header::NUM_PENDING,
        ];
        headers = headers.without(&added);
        Ok(Self { subject, sequence, headers, payload: message.payload, time })
    }

    /// The value of the counter whose last message this is; see
    /// [`Publish::increment`](super::Publish::increment). `None` when it is no counter.
    pub fn counter_value(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Counter {
            val: String,
        }
        serde_json::from_slice::<Counter>(&self.payload).ok().map(|counter| counter.val)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_addresses() {
        let info = MessageInfo::parse("$JS.ACK.S.C.2.30.4.1700000000000000005.6").unwrap();
        let expected = MessageInfo {
            domain: None,
            account_hash: None,
            stream: "S",
            consumer: "C",
            delivered: 2,
            stream_sequence: 30,
            consumer_sequence: 4,
            published: Timestamp::from_nanosecond(1_700_000_000_000_000_005).unwrap(),
            pending: 6,
        };
        assert_eq!(info, expected);
        let named = MessageInfo { account_hash: Some("H"), ..expected };
        let check = |reply: &str, expected: MessageInfo<'_>| {
            assert_eq!(MessageInfo::parse(reply), Some(expected));
        };
        check("$JS.ACK._.H.S.C.2.30.4.1700000000000000005.6", named);
        let in_domain = MessageInfo { domain: Some("D"), ..named };
        check("$JS.ACK.D.H.S.C.2.30.4.1700000000000000005.6.random", in_domain);
        for reply in
            ["", "a.b", "$JS.ACK.S.C.2.30.4.5", "$JS.ACK.S.C.x.30.4.5.6", "$JS.ACK.a.b.c.d.e.f.g.h"]
        {
            assert_eq!(MessageInfo::parse(reply), None, "{reply}");
        }
    }

    #[test]
    fn kinds_of_acknowledgement() {
        let check = |kind: AckKind, expected: &str| assert_eq!(kind.payload(), expected);
        check(AckKind::Ack, "+ACK");
        check(AckKind::Nak(None), "-NAK");
        check(AckKind::Nak(Some(Duration::from_millis(2))), r#"-NAK {"delay":2000000}"#);
        check(AckKind::Progress, "+WPI");
        check(AckKind::Term(Some("no use".to_owned())), "+TERM no use");
    }
}
