//! What the server and an account allow streams and consumers to use.
//!
//! Who counts, and what is used already, is not known here.

use serde::Serialize;

/// Limits that the configuration of the server sets for all streams and consumers; 0 sets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Longest window in which duplicates are known, in nanoseconds.
    pub duplicate_window_ns: i64,
    /// Most messages of a consumer that are delivered and not acknowledged.
    pub ack_pending_max: i64,
    /// Most messages that one pull may ask for.
    pub request_batch_max: i64,
}

/// What an account may use; -1 is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountLimits {
    /// Bytes of streams in memory.
    pub max_memory: i64,
    /// Bytes of streams in files.
    pub max_storage: i64,
    /// Streams.
    pub max_streams: i64,
    /// Consumers.
    pub max_consumers: i64,
    /// Messages of a consumer that are delivered and not acknowledged.
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory.
    pub memory_max_stream_bytes: i64,
    /// Bytes of one stream in files.
    pub storage_max_stream_bytes: i64,
    /// Whether every stream must say how many bytes it may have.
    pub max_bytes_required: bool,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}
