//! JetStream: streams that keep messages, consumers that hand them on, and the API that clients
//! manage them with.

pub mod advisory;
pub mod api_subject;
pub mod batch_reply;
pub mod capacity;
pub mod consumer;
pub mod consumer_config;
pub mod consumer_log;
pub mod counter;
pub mod disk;
pub mod driver;
pub mod error;
pub mod header_block;
pub mod json;
pub mod limits;
pub mod message_ttl;
pub mod metadata;
pub mod post;
#[cfg(test)]
mod recorded;
pub mod republish;
pub mod request;
pub mod response;
pub mod s2_stream;
pub mod schedule;
pub mod shard;
pub mod snapshot;
pub mod source_header;
pub mod store_root;
pub mod stream;
pub mod stream_config;
pub mod subject_transform;
pub mod subjects;
pub mod time;
pub mod timestamp;
pub mod writer;

pub use shard::{OpenError, Shard, ShardMail};
