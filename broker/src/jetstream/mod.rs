//! JetStream: streams, consumers, and the API that clients manage them with.

pub mod advisory;
pub mod api_subject;
pub mod batch_reply;
pub mod consumer_config;
pub mod counter;
pub mod error;
pub mod header_block;
pub mod json;
pub mod limits;
pub mod message_ttl;
pub mod metadata;
pub mod republish;
pub mod response;
pub mod s2_stream;
pub mod schedule;
pub mod snapshot;
pub mod source_header;
pub mod stream_config;
pub mod subject_transform;
pub mod subjects;
pub mod timestamp;
