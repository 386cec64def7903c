//! JetStream: streams, consumers and their API, as state machines without I/O.

pub mod header_block;
pub mod message_ttl;
pub mod schedule;
pub mod subject_transform;
