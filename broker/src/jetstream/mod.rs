//! JetStream: streams, consumers, and the API that clients manage them with.

pub mod advisory;
pub mod api_subject;
pub mod capacity;
pub mod consumer_config;
pub mod error;
pub mod json;
pub mod limits;
pub mod metadata;
#[cfg(test)]
mod recorded;
pub mod request;
pub mod response;
pub mod stream_config;
pub mod subject_transform;
pub mod subjects;
pub mod timestamp;
