//! Consumers that send messages to a subject, without being asked.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;
use jiff::Timestamp;

use super::{AckPolicy, Consumer, ConsumerKind, DeliverPolicy, MessagesError, ReplayPolicy};
use crate::jetstream::silence::Silence;
use crate::jetstream::{Message, header};
use crate::{BoxFuture, Client, PublishError, StatusCode, Subject, Subscriber};

/// The configuration of a push consumer.
///
/// What a field means is said at [`consumer::Config`](super::Config).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where messages are sent.
    pub deliver_subject: String,
    /// The queue group that shares the messages.
    pub deliver_group: Option<String>,
    /// The name; one is made if there is none.
    pub name: Option<String>,
    /// The name, of a consumer that stays when nobody listens.
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
    /// How many bits a second.
    pub rate_limit: u64,
    /// Of how many messages in a hundred the time of their acknowledgement is published.
    pub sample_frequency: u8,
    /// How many messages may wait for their acknowledgement.
    pub max_ack_pending: i64,
    /// Without payloads.
    pub headers_only: bool,
    /// The server sends requests that must be answered before it sends more. It needs heartbeats.
    pub flow_control: bool,
    /// The server sends a sign of life when there was no message for so long.
    pub idle_heartbeat: Duration,
    /// After so long without interest it is removed.
    pub inactive_threshold: Duration,
    /// On how many servers.
    pub num_replicas: u8,
    /// How far it is, is kept in memory only.
    pub memory_storage: bool,
    /// Nothing is delivered before.
    pub pause_until: Option<Timestamp>,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
}

impl ConsumerKind for Config {
    const KIND: &'static str = "push";

    fn to_config(&self) -> super::Config {
        let own = self.clone();
        super::Config {
            deliver_subject: Some(own.deliver_subject),
            deliver_group: own.deliver_group,
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
            rate_limit: own.rate_limit,
            sample_frequency: own.sample_frequency,
            max_ack_pending: own.max_ack_pending,
            headers_only: own.headers_only,
            flow_control: own.flow_control,
            idle_heartbeat: own.idle_heartbeat,
            inactive_threshold: own.inactive_threshold,
            num_replicas: own.num_replicas,
            memory_storage: own.memory_storage,
            pause_until: own.pause_until,
            metadata: own.metadata,
            ..super::Config::default()
        }
    }

    fn from_config(config: &super::Config) -> Option<Self> {
        let all = config.clone();
        Some(Self {
            deliver_subject: all.deliver_subject?,
            deliver_group: all.deliver_group,
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
            rate_limit: all.rate_limit,
            sample_frequency: all.sample_frequency,
            max_ack_pending: all.max_ack_pending,
            headers_only: all.headers_only,
            flow_control: all.flow_control,
            idle_heartbeat: all.idle_heartbeat,
            inactive_threshold: all.inactive_threshold,
            num_replicas: all.num_replicas,
            memory_storage: all.memory_storage,
            pause_until: all.pause_until,
            metadata: all.metadata,
        })
    }
}

impl Consumer<Config> {
    /// Its messages. Flow control requests are answered when the messages before them were taken.
    ///
    /// Without flow control, messages that nobody takes are dropped, as those of any subscription
    /// are, and delivered again if they must be acknowledged.
    ///
    /// # Errors
    ///
    /// The client is closed.
    pub async fn messages(&self) -> Result<Messages, MessagesError> {
        let client = self.context.client();
        let subject = &self.config.deliver_subject;
        let subscriber = match &self.config.deliver_group {
            Some(group) => client.queue_subscribe(subject, group).await?,
            None => client.subscribe(subject).await?,
        };
        Ok(Messages {
            stream_name: self.stream_name().to_owned(),
            consumer_name: self.name().to_owned(),
            feed: Feed::new(client.clone(), subscriber, subject, self.config.idle_heartbeat),
        })
    }
}

/// The messages of a push consumer.
///
/// That the server is silent for too long is told each time, with
/// [`MessagesError::MissingHeartbeat`], and is not the end: the client cannot do more than wait.
/// It ends when the client does.
#[derive(Debug)]
pub struct Messages {
    stream_name: String,
    consumer_name: String,
    feed: Feed,
}

impl futures_core::Stream for Messages {
    type Item = Result<Message, MessagesError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            return Poll::Ready(match std::task::ready!(this.feed.poll(cx)) {
                Input::Message(message) => Some(Ok(message)),
                Input::Heartbeat { .. } => continue,
                Input::Silence(silence) => Some(Err(MessagesError::MissingHeartbeat {
                    stream: this.stream_name.clone(),
                    consumer: this.consumer_name.clone(),
                    silence,
                })),
                Input::End => None,
            });
        }
    }
}

/// What comes to the subject of a push consumer; flow control is seen to here.
pub(crate) struct Feed {
    client: Client,
    subscriber: Subscriber,
    subject: Subject,
    /// For how long silence is no reason to worry, and the watch over it; `None` without
    /// heartbeats.
    silence: Option<(Duration, Silence)>,
    /// The answer to a flow control request, on its way into the outgoing buffer. The server asks
    /// again if one is missing, so there is never more than one.
    outgoing: Option<BoxFuture<Result<(), PublishError>>>,
}

/// Something that came from a push consumer.
pub(crate) enum Input {
    Message(Message),
    /// A sign of life, with the number of the last delivery.
    Heartbeat {
        consumer_sequence: Option<u64>,
    },
    /// There was none for so long.
    Silence(Duration),
    /// The client has ended.
    End,
}

impl Feed {
    pub(crate) fn new(
        client: Client,
        subscriber: Subscriber,
        subject: &str,
        heartbeat: Duration,
    ) -> Self {
        let patience = heartbeat * 2;
        let silence = (!heartbeat.is_zero()).then(|| (patience, Silence::new(patience)));
        Self { client, subscriber, subject: Subject::from(subject), silence, outgoing: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Input> {
        loop {
            self.poll_outgoing(cx);
            match Pin::new(&mut self.subscriber).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    if let Some((_, silence)) = &mut self.silence {
                        silence.hear();
                    }
                    // A message that was stored with a status keeps it; but only what the server
                    // says comes with the subject that is listened to.
                    let status = message.status.filter(|_| message.subject == self.subject);
                    if status != Some(StatusCode::IDLE_HEARTBEAT) {
                        return Poll::Ready(Input::Message(Message::new(
                            message,
                            self.client.clone(),
                        )));
                    }
                    let get = |name| message.headers.as_ref().and_then(|all| all.get(name));
                    let stalled = get(header::CONSUMER_STALLED).map(Subject::from);
                    let is_request = message.reply.is_some();
                    let consumer_sequence =
                        get(header::LAST_CONSUMER).and_then(|number| number.parse().ok());
                    if let Some(subject) = message.reply.or(stalled) {
                        self.answer(subject);
                    }
                    if !is_request {
                        return Poll::Ready(Input::Heartbeat { consumer_sequence });
                    }
                }
                Poll::Ready(None) => return Poll::Ready(Input::End),
                Poll::Pending => {
                    let Some((patience, silence)) = &mut self.silence else {
                        return Poll::Pending;
                    };
                    std::task::ready!(silence.poll(cx));
                    return Poll::Ready(Input::Silence(*patience));
                }
            }
        }
    }

    fn answer(&mut self, subject: Subject) {
        if self.outgoing.is_none() {
            let client = self.client.clone();
            let answer = async move { client.publish(subject, Bytes::new()).await };
            self.outgoing = Some(Box::pin(answer));
        }
    }

    fn poll_outgoing(&mut self, cx: &mut TaskContext<'_>) {
        if let Some(outgoing) = &mut self.outgoing
            && let Poll::Ready(sent) = outgoing.as_mut().poll(cx)
        {
            self.outgoing = None;
            if let Err(error) = sent {
                tracing::debug!(%error, "a flow control request was not answered");
            }
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("subject", &self.subject).finish_non_exhaustive()
    }
}
