//! Counters of a client.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the client began. They are written by one task, once per batch of messages, and
/// may be read at any time.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Bytes of headers and payloads received.
    pub in_bytes: AtomicU64,
    /// Bytes of headers and payloads accepted for sending.
    pub out_bytes: AtomicU64,
    /// Messages received.
    pub in_messages: AtomicU64,
    /// Messages accepted for sending.
    pub out_messages: AtomicU64,
    /// Messages received for a subscription that did not take them in time, and dropped.
    pub dropped_messages: AtomicU64,
    /// Events that the callback did not take in time, and dropped.
    pub dropped_events: AtomicU64,
    /// How often a connection was established, the first time included.
    pub connects: AtomicU64,
}

impl Statistics {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}
