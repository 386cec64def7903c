//! The load: clients that cost as little as possible, because they share the cores with the
//! server they measure.
//!
//! Everything that is sent is encoded beforehand or copied from a pattern. What arrives through
//! core NATS has a known length, so it is counted without being parsed; what comes from a stream
//! is parsed, and looked at message by message. They know the wire and nothing about scenarios,
//! rounds or tables. No client library is used, ours neither: its cost would be measured along.

pub mod api;
pub mod connection;
pub mod frames;
pub mod getter;
pub mod messages;
pub mod pace;
pub mod publisher;
pub mod puller;
pub mod relay;
pub mod requester;
pub mod stored;
pub mod stream_publisher;
pub mod subscriber;
pub mod watcher;

use std::time::Duration;

/// How long a client waits for anything before it calls the server stuck.
pub const STALL_TIME_MAX: Duration = Duration::from_secs(20);
