//! JetStream: streams that keep messages, and consumers that hand them on.

pub mod consumer;
pub mod time;
