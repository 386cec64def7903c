//! JetStream: streams, consumers and their API, as state machines without I/O.

pub mod message_ttl;
pub mod subject_transform;
