//! An asynchronous NATS client.
//!
//! ```no_run
//! use futures_util::StreamExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = fulmar_client::connect("nats://localhost:4222").await?;
//!
//! let mut subscriber = client.subscribe("greet.*").await?;
//! client.publish("greet.joe", "hello".into()).await?;
//! let message = subscriber.next().await.expect("the subscription has not ended");
//! assert_eq!((message.subject.as_str(), &message.payload[..]), ("greet.joe", &b"hello"[..]));
//!
//! client.drain().await?;
//! client.closed().await;
//! # Ok(())
//! # }
//! ```
//!
//! It speaks to any NATS server; types and names are those a user of `async-nats` expects.
//!
//! * [`connect`], or [`ConnectOptions`] for credentials, TLS, time limits and bounds.
//! * [`Client`]: publish, subscribe, request, flush, drain. Cheap to clone, used from any task.
//! * [`Subscriber`]: a [`Stream`](futures_core::Stream) of [`Message`]s.
//! * [`Event`]: what happens to the connection.
//! * [`jetstream`]: streams that keep messages, and consumers that deliver them.
//! * [`kv`]: buckets of keys and values. [`object_store`]: buckets of objects of any size.
//! * [`services`]: endpoints that answer requests, can be found, and count what they do.
//!
//! # What is guaranteed
//!
//! Messages are delivered at most once. A message that was published is in the outgoing buffer;
//! it is with the server when a later [`Client::flush`] has returned. When the connection is lost
//! the client makes another, makes its subscriptions anew (with what is left of their limits) and
//! sends the messages that were not written to the lost one. What was written and not yet taken
//! by the server is lost with it.
//!
//! What is published through [`jetstream`] is stored when its answer says so.
//!
//! # Bounds
//!
//! Memory is bounded by [`WRITE_BUFFER_BYTES_MAX`] twice (publishers wait), while there is no
//! connection by [`RECONNECT_BUFFER_BYTES_MAX`] (publishers wait), for each subscription by
//! [`SUBSCRIPTION_MESSAGES_MAX`] and [`SUBSCRIPTION_BYTES_MAX`] (messages are dropped and
//! counted, see [`Event::SlowConsumer`]), and for events by [`EVENTS_MAX`] (dropped and
//! counted).
//!
//! With JetStream there are besides, for each context,
//! [`ACKS_INFLIGHT_MAX`](jetstream::ACKS_INFLIGHT_MAX) messages without an answer (publishers
//! wait), each of which is kept in case that no stream listens yet; for each stream of messages
//! from a pull consumer [`MESSAGES_PENDING_MAX`](jetstream::consumer::pull::MESSAGES_PENDING_MAX)
//! messages that were asked for, and for an object that is put or read
//! [`CHUNKS_INFLIGHT_MAX`](object_store::CHUNKS_INFLIGHT_MAX) or
//! [`CHUNKS_AHEAD_MAX`](object_store::CHUNKS_AHEAD_MAX) of its pieces. What a single request asks
//! for, a batch of messages or a page of a list, is bounded by the request and by the server.
//! Messages of push consumers and watches wait in subscriptions, with the bounds of these; flow
//! control keeps watches within them.

mod client;
mod connection;
mod driver;
mod error;
mod event;
mod headers;
pub mod jetstream;
pub mod kv;
mod message;
pub mod object_store;
mod options;
mod server_addr;
pub mod services;
mod shared;
mod state;
mod statistics;
mod status;
mod subject;
mod subscriber;
mod tls;

pub use bytes::Bytes;
pub use client::{Client, Request};
pub use driver::{EVENTS_MAX, FAREWELL_TIME_MAX};
pub use error::{
    ConnectError, DrainError, FlushError, PublishError, RequestError, SubscribeError,
    UnsubscribeError,
};
pub use event::{ClientError, Event, ServerError};
pub use fulmar_protocol::info::Info as ServerInfo;
pub use fulmar_protocol::subject::SubjectError;
pub use headers::{HeaderError, HeaderMap};
pub use message::Message;
pub use options::{
    CONNECTION_TIMEOUT_DEFAULT, ConnectOptions, DRAIN_TIMEOUT_DEFAULT, INBOX_PREFIX_DEFAULT,
    PING_INTERVAL_DEFAULT, RECONNECT_BUFFER_BYTES_MAX, REQUEST_TIMEOUT_DEFAULT,
    SUBSCRIPTION_BYTES_MAX, SUBSCRIPTION_MESSAGES_MAX, WRITE_BUFFER_BYTES_MAX,
};
pub use rustls;
pub use server_addr::{ServerAddr, ServerAddrError, ToServerAddrs};
pub use state::State;
pub use statistics::Statistics;
pub use status::StatusCode;
pub use subject::{Subject, ToSubject};
pub use subscriber::Subscriber;

/// A future in a box, for what is waited for by hand.
pub(crate) type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// Connects with default options to the first of `servers` that accepts the client.
///
/// # Errors
///
/// None of them does: the last one's error.
///
/// ```no_run
/// # async fn example() -> Result<(), fulmar_client::ConnectError> {
/// let one = fulmar_client::connect("localhost").await?;
/// let any = fulmar_client::connect("nats://a.example,tls://b.example:4443").await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect(servers: impl ToServerAddrs) -> Result<Client, ConnectError> {
    ConnectOptions::new().connect(servers).await
}
