//! What a user does with a connection. Every method writes into the shared outgoing buffer and
//! returns; the driver does the rest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fulmar_protocol::info::Info;
use fulmar_protocol::subject::Filter;
use futures_core::Stream;
use tokio::sync::{oneshot, watch};

use crate::connection::outbound::{Publication, Refused};
use crate::shared::{Command, FlushCaller, NewSubscription, Place, RequestCaller, Shared};
use crate::subject::ToSubject;
use crate::subscriber::{QueueBounds, Sink, Subscriber};
use crate::{
    DrainError, FlushError, HeaderMap, Message, PublishError, RequestError, State, Statistics,
    SubscribeError,
};

/// A connection to a NATS server, shared by all clones.
///
/// It ends when [`Client::drain`] was called, or when all clones and all subscribers are gone:
/// then what was published is sent, if there is a connection, for at most
/// [`FAREWELL_TIME_MAX`](crate::FAREWELL_TIME_MAX).
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Keeps the driver alive: when the last one is dropped, the client is closed.
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle { shared }) }
    }

    /// Publishes a message. Returns once it is in the outgoing buffer, which the client sends as
    /// soon as the socket takes it; waits while that buffer is full.
    ///
    /// While there is no connection, messages wait in the buffer for the next one.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    ///
    /// ```no_run
    /// # async fn example(client: fulmar_client::Client) -> Result<(), fulmar_client::PublishError> {
    /// client.publish("greet.joe", "hello".into()).await
    /// # }
    /// ```
    pub async fn publish(
        &self,
        subject: impl ToSubject,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.publish_any(subject.subject_bytes(), None, None, &payload).await
    }

    /// Publishes a message with headers; see [`Client::publish`].
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish_with_headers(
        &self,
        subject: impl ToSubject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.publish_any(subject.subject_bytes(), None, Some(&headers), &payload).await
    }

    /// Publishes a message that says where an answer is wanted; see [`Client::publish`].
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish_with_reply(
        &self,
        subject: impl ToSubject,
        reply: impl ToSubject,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let reply = Some(reply.subject_bytes());
        self.publish_any(subject.subject_bytes(), reply, None, &payload).await
    }

    /// Publishes a message with headers that says where an answer is wanted; see
    /// [`Client::publish`].
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish_with_reply_and_headers(
        &self,
        subject: impl ToSubject,
        reply: impl ToSubject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let reply = Some(reply.subject_bytes());
        self.publish_any(subject.subject_bytes(), reply, Some(&headers), &payload).await
    }

    /// Publishes a message and waits for the first answer, at most as long as
    /// [`ConnectOptions::request_timeout`](crate::ConnectOptions::request_timeout) says.
    ///
    /// All requests of a client share one inbox. A request that is dropped costs nothing more; an
    /// answer to it is ignored.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]; [`RequestError::NoResponders`] when nobody listens to `subject`.
    ///
    /// ```no_run
    /// # async fn example(client: fulmar_client::Client) -> Result<(), fulmar_client::RequestError> {
    /// let answer = client.request("time.now", "".into()).await?;
    /// println!("{}", String::from_utf8_lossy(&answer.payload));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request(
        &self,
        subject: impl ToSubject,
        payload: Bytes,
    ) -> Result<Message, RequestError> {
        let timeout = self.handle.shared.request_timeout;
        self.request_any(subject.subject_bytes(), None, &payload, timeout).await
    }

    /// Publishes a message with headers and waits for the first answer; see [`Client::request`].
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn request_with_headers(
        &self,
        subject: impl ToSubject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, RequestError> {
        let timeout = self.handle.shared.request_timeout;
        self.request_any(subject.subject_bytes(), Some(&headers), &payload, timeout).await
    }

    /// Publishes a request that was put together piece by piece and waits for the first answer;
    /// see [`Client::request`].
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn send_request(
        &self,
        subject: impl ToSubject,
        request: Request,
    ) -> Result<Message, RequestError> {
        let timeout = request.timeout.unwrap_or(self.handle.shared.request_timeout);
        let subject = subject.subject_bytes();
        let headers = request.headers.as_ref();
        let Some(inbox) = request.inbox else {
            return self.request_any(subject, headers, &request.payload, timeout).await;
        };
        let exchange = async {
            let mut answers = self.subscribe(&inbox).await?;
            // It may fail only because the client is closed, and then the publish fails too.
            let _ = answers.unsubscribe_after(1).await;
            self.publish_any(subject, Some(inbox.as_bytes()), headers, &request.payload).await?;
            let answer = std::future::poll_fn(|cx| std::pin::Pin::new(&mut answers).poll_next(cx));
            accept(answer.await.ok_or(RequestError::Closed)?)
        };
        within(timeout, exchange).await
    }

    /// Subscribes to `subject`, in which `*` stands for any token and `>` for any rest.
    ///
    /// Messages that are published after [`Client::flush`] has returned, by whomever, reach the
    /// subscription.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub async fn subscribe(&self, subject: impl ToSubject) -> Result<Subscriber, SubscribeError> {
        self.subscribe_any(subject.subject_bytes(), None, self.handle.shared.queue_bounds).await
    }

    /// Subscribes as a member of the queue group `queue`: each message reaches one member.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub async fn queue_subscribe(
        &self,
        subject: impl ToSubject,
        queue: impl AsRef<str>,
    ) -> Result<Subscriber, SubscribeError> {
        let queue = queue.as_ref().as_bytes();
        if queue.is_empty() || queue.iter().any(|byte| byte.is_ascii_whitespace()) {
            return Err(SubscribeError::InvalidQueueName);
        }
        self.subscribe_any(subject.subject_bytes(), Some(queue), self.handle.shared.queue_bounds)
            .await
    }

    /// Waits until the server has taken everything that was published and subscribed before.
    ///
    /// # Errors
    ///
    /// The connection was lost meanwhile, or the client is closed. While there is no connection
    /// it waits for the next.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let (caller, answer) = oneshot::channel();
        let command = Command::Flush(FlushCaller::User(caller));
        self.handle.shared.write(|out| out.ping(command)).map_err(|_| FlushError::Closed)?;
        answer.await.unwrap_or(Err(FlushError::Closed))
    }

    /// Ends the client without losing messages: subscriptions end once everything the server has
    /// for them has come, then, when their messages were taken (for at most
    /// [`ConnectOptions::drain_timeout`](crate::ConnectOptions::drain_timeout)), everything published so far is sent and the
    /// connection is closed.
    ///
    /// Returns at once; [`Client::closed`] waits for the end. Meanwhile messages can be
    /// published, as answers to those that still come, and subscriptions cannot be made. When the
    /// connection is lost, or there is none, the client ends at once.
    ///
    /// # Errors
    ///
    /// The client is closed already.
    pub async fn drain(&self) -> Result<(), DrainError> {
        let drained = self.handle.shared.write(|out| {
            out.command(Command::Drain)?;
            out.drain();
            Ok(())
        });
        drained.map_err(|_| DrainError)
    }

    /// Waits until the client has ended.
    pub async fn closed(&self) {
        let mut state = self.handle.shared.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state.wait_for(|state| *state == State::Closed).await;
    }

    /// Gives up the connection and makes a new one, to the next server if there are several.
    /// Returns at once.
    pub async fn force_reconnect(&self) {
        // A client that is closed has no connection to give up.
        let _ = self.handle.shared.write(|out| out.command(Command::Reconnect));
    }

    /// A subject that nobody else uses, to receive answers at.
    pub fn new_inbox(&self) -> String {
        format!("{}.{}", self.handle.shared.inbox_prefix, nuid::next())
    }

    /// What the server said of itself last; empty before the first connection.
    pub fn server_info(&self) -> Info {
        (**self.handle.shared.info.read()).clone()
    }

    /// The largest message, in bytes of headers and payload, that the server allows; 0 before
    /// the first connection.
    pub fn max_payload(&self) -> usize {
        self.handle.shared.info.read().max_payload
    }

    /// Whether the server offers what nats-server `major.minor.patch` does.
    pub fn is_server_compatible(&self, major: u64, minor: u64, patch: u64) -> bool {
        let info = self.handle.shared.info.read();
        let version = info.version.split(['-', '+']).next().unwrap_or_default();
        let mut parts = version.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next()) >= (major, minor, patch)
    }

    /// Whether there is a connection.
    pub fn connection_state(&self) -> State {
        *self.handle.shared.state.borrow()
    }

    /// The time limit of requests that name none.
    pub fn timeout(&self) -> Option<Duration> {
        self.handle.shared.request_timeout
    }

    /// The client's counters.
    pub fn statistics(&self) -> Arc<Statistics> {
        self.handle.shared.statistics.clone()
    }

    async fn publish_any(
        &self,
        subject: &[u8],
        reply: Option<&[u8]>,
        headers: Option<&HeaderMap>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        Filter::parse(subject).map_err(PublishError::InvalidSubject)?;
        if let Some(reply) = reply {
            Filter::parse(reply).map_err(PublishError::InvalidSubject)?;
        }
        let shared = &*self.handle.shared;
        let publication = Publication { subject, headers, payload };
        let publish = || shared.write(|out| out.publish(publication, reply));
        let result = match publish() {
            Err(Refused::Full) => shared.retry(publish).await,
            result => result,
        };
        if result.map_err(publish_error)? {
            // A publisher that the driver keeps up with never waits. It must yield to other tasks
            // all the same: here, once per batch, that costs nothing.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    async fn request_any(
        &self,
        subject: &[u8],
        headers: Option<&HeaderMap>,
        payload: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Message, RequestError> {
        let answer = self.begin_request(subject, headers, payload, timeout, None).await?;
        accept_later(answer).await
    }

    /// Publishes a request; [`accept_later`] makes of what it returns the answer. `place` is given
    /// back when there is an answer, or never will be.
    pub(crate) async fn begin_request(
        &self,
        subject: &[u8],
        headers: Option<&HeaderMap>,
        payload: &[u8],
        timeout: Option<Duration>,
        place: Option<Place>,
    ) -> Result<oneshot::Receiver<Option<Message>>, RequestError> {
        Filter::parse(subject).map_err(PublishError::InvalidSubject)?;
        let shared = &*self.handle.shared;
        let publication = Publication { subject, headers, payload };
        let (caller, answer) = oneshot::channel();
        let mut caller = Some(RequestCaller::new(caller, place));
        let mut publish = || {
            let prefix = shared.mux_prefix.as_bytes();
            let subscribe_mux = |sid| {
                let subject = Bytes::from([prefix, b"*"].concat());
                Command::SubscribeMux { sid, subject }
            };
            let command = |token| {
                let caller = caller.take().expect("the request is accepted once");
                Command::Request { token, caller, timeout }
            };
            shared.write(|out| out.request(publication, prefix, subscribe_mux, command))
        };
        let result = match publish() {
            Err(Refused::Full) => {
                let retry = async { shared.retry(publish).await.map_err(publish_error) };
                within(timeout, async { Ok(retry.await?) }).await
            }
            result => result.map_err(|refused| publish_error(refused).into()),
        };
        result?;
        Ok(answer)
    }

    /// Publishes a message if there is room for it now: for what need not arrive.
    pub(crate) fn publish_if_possible(&self, subject: &str, payload: &[u8]) {
        let publication = Publication { subject: subject.as_bytes(), headers: None, payload };
        let _ = self.handle.shared.write(|out| out.publish(publication, None));
    }

    /// Subscribes with other bounds than those of the client: for messages that were asked for.
    pub(crate) async fn subscribe_with_bounds(
        &self,
        subject: &[u8],
        bounds: QueueBounds,
    ) -> Result<Subscriber, SubscribeError> {
        self.subscribe_any(subject, None, bounds).await
    }

    /// Ends a subscription without its [`Subscriber`]; see [`Subscriber::drain`].
    pub(crate) fn drain_subscription(&self, sid: u64) {
        // A client that is closed has no subscriptions.
        let _ = self.handle.drain_subscription(sid);
    }

    /// Tells of each connection that is made or lost.
    pub(crate) fn watch_state(&self) -> watch::Receiver<State> {
        self.handle.shared.state.subscribe()
    }

    async fn subscribe_any(
        &self,
        subject: &[u8],
        queue: Option<&[u8]>,
        bounds: QueueBounds,
    ) -> Result<Subscriber, SubscribeError> {
        Filter::parse(subject).map_err(SubscribeError::InvalidSubject)?;
        let shared = &*self.handle.shared;
        let sink = Sink::new(bounds);
        let messages = sink.queue();
        let mut sink = Some(sink);
        let mut subscribe = || {
            let command = |sid| {
                Command::Subscribe(Box::new(NewSubscription {
                    sid,
                    subject: Bytes::copy_from_slice(subject),
                    queue: queue.map(Bytes::copy_from_slice),
                    sink: sink.take().expect("the subscription is accepted once"),
                }))
            };
            shared.write(|out| out.subscribe(subject, queue, command))
        };
        let result = match subscribe() {
            Err(Refused::Full) => shared.retry(subscribe).await,
            result => result,
        };
        let sid = result.map_err(|_| SubscribeError::Closed)?;
        Ok(Subscriber::new(sid, messages, self.handle.clone()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.handle.shared;
        f.debug_struct("Client")
            .field("state", &*shared.state.borrow())
            .field("server", &shared.info.read().server_name)
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn unsubscribe(&self, sid: u64, max: Option<u64>) -> Result<(), Refused> {
        let command = Command::Unsubscribe { sid, max };
        self.shared.write(|out| out.unsubscribe(sid, max, command))
    }

    pub(crate) fn drain_subscription(&self, sid: u64) -> Result<(), Refused> {
        let command = Command::DrainSubscription { sid };
        self.shared.write(|out| out.drain_subscription(sid, command))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.shared.write(|out| {
            out.command(Command::Close)?;
            out.close();
            Ok(())
        });
    }
}

impl Shared {
    /// Waits for space in the outgoing buffer and tries again, until it is not full.
    #[cold]
    async fn retry<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        loop {
            let space = self.space.notified();
            let mut space = std::pin::pin!(space);
            // From here on a notification is not missed.
            space.as_mut().enable();
            match attempt() {
                Err(Refused::Full) => space.await,
                result => return result,
            }
        }
    }
}

/// A request that is put together piece by piece; see [`Client::send_request`].
///
/// ```no_run
/// # async fn example(client: fulmar_client::Client) -> Result<(), fulmar_client::RequestError> {
/// use std::time::Duration;
///
/// let request = fulmar_client::Request::new()
///     .payload("now".into())
///     .timeout(Some(Duration::from_secs(1)));
/// let answer = client.send_request("time", request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Request {
    payload: Bytes,
    headers: Option<HeaderMap>,
    /// `None` leaves it to the client.
    timeout: Option<Option<Duration>>,
    inbox: Option<String>,
}

impl Request {
    /// A request without payload and headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to send.
    #[must_use]
    pub fn payload(mut self, payload: Bytes) -> Self {
        self.payload = payload;
        self
    }

    /// The headers to send.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = Some(headers);
        self
    }

    /// How long to wait for an answer; `None` waits for ever.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Where the answer is to come, with a subscription of its own, instead of the inbox that
    /// all requests share.
    #[must_use]
    pub fn inbox(mut self, inbox: impl Into<String>) -> Self {
        self.inbox = Some(inbox.into());
        self
    }
}

/// The answer to a request, when it comes. The driver watches the time.
pub(crate) async fn accept_later(
    answer: oneshot::Receiver<Option<Message>>,
) -> Result<Message, RequestError> {
    accept_outcome(answer.await)
}

/// What came of a request.
pub(crate) fn accept_outcome(
    outcome: Result<Option<Message>, oneshot::error::RecvError>,
) -> Result<Message, RequestError> {
    match outcome {
        Ok(Some(message)) => accept(message),
        Ok(None) => Err(RequestError::TimedOut),
        Err(_) => Err(RequestError::Closed),
    }
}

fn accept(answer: Message) -> Result<Message, RequestError> {
    if answer.is_no_responders() { Err(RequestError::NoResponders) } else { Ok(answer) }
}

async fn within<T>(
    timeout: Option<Duration>,
    future: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    match timeout {
        None => future.await,
        Some(timeout) => {
            tokio::time::timeout(timeout, future).await.unwrap_or(Err(RequestError::TimedOut))
        }
    }
}

fn publish_error(refused: Refused) -> PublishError {
    match refused {
        Refused::TooLarge { bytes, bytes_max } => {
            PublishError::MaxPayloadExceeded { bytes, bytes_max }
        }
        Refused::HeadersNotSupported => PublishError::HeadersNotSupported,
        // Nobody stops at `Full`.
        Refused::Full | Refused::Closed => PublishError::Closed,
    }
}
