//! JetStream: streams, consumers and their API, as state machines without I/O.

pub mod subject_transform;
