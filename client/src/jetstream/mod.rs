//! JetStream: streams that keep messages, and consumers that deliver them.
//!
//! ```no_run
//! # async fn example(client: fulmar_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use fulmar_client::jetstream::{self, consumer::pull, stream};
//! use futures_util::TryStreamExt as _;
//!
//! let context = jetstream::new(client);
//! let stream = context
//!     .get_or_create_stream(stream::Config {
//!         name: "ORDERS".to_owned(),
//!         subjects: vec!["orders.>".to_owned()],
//!         ..Default::default()
//!     })
//!     .await?;
//!
//! let ack = context.publish("orders.new", "hello".into()).await?;
//! println!("stored with sequence {}", ack.await?.sequence);
//!
//! let config = pull::Config { durable_name: Some("worker".to_owned()), ..Default::default() };
//! let consumer = stream.get_or_create_consumer("worker", config).await?;
//! let mut messages = consumer.messages().await?;
//! while let Some(message) = messages.try_next().await? {
//!     message.ack().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * [`new`], or [`ContextBuilder`] for domains, time limits and bounds.
//! * [`Context`]: publish, and make, change, list and delete streams.
//! * [`stream::Stream`]: ask, read, purge, and make consumers.
//! * [`consumer::Consumer`]: messages, one at a time, in batches, or on and on;
//!   [`consumer::ordered`] reads without gaps and without acknowledgements.
//! * [`Message`], which is acknowledged.
//!
//! # Bounds
//!
//! At most [`ACKS_INFLIGHT_MAX`] publishes of a context are without an answer (publishers wait). A
//! stream of messages from a pull consumer has at most
//! [`MESSAGES_PENDING_MAX`](consumer::pull::MESSAGES_PENDING_MAX) messages in advance, or as many
//! bytes as it is told to. What is set by the user takes the place of these numbers.

pub mod account;
mod batch;
pub mod consumer;
mod context;
mod error;
mod error_code;
pub mod header;
mod message;
mod pages;
mod publish;
pub(crate) mod silence;
pub mod stream;
pub(crate) mod wire;

pub use batch::{AtomicBatch, BATCH_MESSAGES_MAX};
pub use context::{
    ACK_TIMEOUT_DEFAULT, ACKS_INFLIGHT_MAX, API_TIMEOUT_DEFAULT, Context, ContextBuilder, new,
    with_domain, with_prefix,
};
pub use error::{ApiError, Error};
pub use error_code::ErrorCode;
pub use jiff::Timestamp;
pub use message::{AckError, AckKind, Acker, Message, MessageInfo, StreamMessage};
pub use pages::Pages;
pub use publish::{
    NO_RESPONDERS_PAUSE, NO_RESPONDERS_RETRIES, Publish, PublishAck, PublishAckFuture,
    PublishError, Rollup, Schedule,
};
