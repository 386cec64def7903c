//! The load: clients that cost as little as possible, because they share the cores with the
//! server they measure.
//!
//! Everything that is sent is encoded beforehand, everything that arrives has a known length.
//! They know the wire and nothing about scenarios, rounds or tables. No client library is used,
//! ours neither: its cost would be measured along.

pub mod connection;
pub mod frames;
pub mod pace;
pub mod publisher;
pub mod relay;
pub mod requester;
pub mod subscriber;

use std::time::Duration;

/// How long a client waits for anything before it calls the server stuck.
pub const STALL_TIME_MAX: Duration = Duration::from_secs(20);
