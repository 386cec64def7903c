//! An endpoint as its user sees it: requests come, and are answered.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;

use super::{EndpointInfo, EndpointStats, RespondError};
use crate::{Client, HeaderMap, Message, Subscriber};

/// The header of an answer that says in words what went wrong.
pub const ERROR_HEADER: &str = "Nats-Service-Error";
/// The header of an answer that says with a number what went wrong.
pub const ERROR_CODE_HEADER: &str = "Nats-Service-Error-Code";

/// The requests of an endpoint. It ends when the service is stopped; dropping it ends the
/// endpoint.
#[derive(Debug)]
pub struct Endpoint {
    client: Client,
    requests: Subscriber,
    state: Arc<EndpointState>,
}

/// What an endpoint is and has done.
#[derive(Debug)]
pub(super) struct EndpointState {
    pub(super) info: EndpointInfo,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    errors: u64,
    last_error: String,
    processing_time: Duration,
}

impl EndpointState {
    pub(super) fn new(info: EndpointInfo) -> Self {
        Self { info, counts: Mutex::default() }
    }

    /// Without [`EndpointStats::data`].
    pub(super) fn stats(&self) -> EndpointStats {
        let counts = self.counts.lock();
        let nanoseconds = counts.processing_time.as_nanos() / u128::from(counts.requests.max(1));
        EndpointStats {
            name: self.info.name.clone(),
            subject: self.info.subject.clone(),
            queue_group: self.info.queue_group.clone(),
            num_requests: counts.requests,
            num_errors: counts.errors,
            last_error: counts.last_error.clone(),
            processing_time: counts.processing_time,
            average_processing_time: Duration::from_nanos(
                u64::try_from(nanoseconds).unwrap_or(u64::MAX),
            ),
            data: None,
        }
    }

    pub(super) fn reset(&self) {
        *self.counts.lock() = Counts::default();
    }
}

impl Endpoint {
    pub(super) fn new(client: Client, requests: Subscriber, state: Arc<EndpointState>) -> Self {
        Self { client, requests, state }
    }

    /// What it is.
    pub fn info(&self) -> &EndpointInfo {
        &self.state.info
    }

    /// What it has done.
    pub fn stats(&self) -> EndpointStats {
        self.state.stats()
    }

    /// Ends it: requests that have come already can still be taken.
    pub fn stop(&mut self) {
        self.client.drain_subscription(self.requests.sid());
    }
}

impl Stream for Endpoint {
    type Item = Request;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        let message = std::task::ready!(Pin::new(&mut self.requests).poll_next(cx));
        Poll::Ready(message.map(|message| {
            self.state.counts.lock().requests += 1;
            Request {
                message,
                client: self.client.clone(),
                state: self.state.clone(),
                begin: Instant::now(),
            }
        }))
    }
}

/// A request to an endpoint. It reads as a [`Message`].
///
/// The time from taking it to answering or dropping it counts as the time it took.
pub struct Request {
    message: Message,
    client: Client,
    state: Arc<EndpointState>,
    begin: Instant,
}

impl Request {
    /// Answers it.
    ///
    /// # Errors
    ///
    /// See [`RespondError`].
    pub async fn respond(&self, payload: Bytes) -> Result<(), RespondError> {
        let reply = self.message.reply.as_ref().ok_or(RespondError::NoReply)?;
        Ok(self.client.publish(reply, payload).await?)
    }

    /// Answers it with headers.
    ///
    /// # Errors
    ///
    /// See [`RespondError`].
    pub async fn respond_with_headers(
        &self,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), RespondError> {
        let reply = self.message.reply.as_ref().ok_or(RespondError::NoReply)?;
        Ok(self.client.publish_with_headers(reply, headers, payload).await?)
    }

    /// Answers it with an error: a number and its text. Whoever asked sees them in the headers
    /// [`ERROR_CODE_HEADER`] and [`ERROR_HEADER`].
    ///
    /// # Errors
    ///
    /// See [`RespondError`].
    pub async fn respond_error(
        &self,
        code: u32,
        description: &str,
        payload: Bytes,
    ) -> Result<(), RespondError> {
        {
            let mut counts = self.state.counts.lock();
            counts.errors += 1;
            counts.last_error = format!("{code}:{description}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(ERROR_HEADER, description)?;
        headers.insert(ERROR_CODE_HEADER, code.to_string())?;
        self.respond_with_headers(headers, payload).await
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }
}

impl Deref for Request {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.state.counts.lock().processing_time += self.begin.elapsed();
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}
