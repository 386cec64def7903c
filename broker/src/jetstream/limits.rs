//! What the server and an account allow streams and consumers to use.
//!
//! What is really used is not known here: room is promised to streams when they are made.

use serde::Serialize;

use super::error::{self, ApiError};
use super::stream_config::{StorageType, StreamConfig};

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

/// Room that can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of streams in memory.
    pub memory_bytes_max: u64,
    /// Bytes of streams in files.
    pub file_bytes_max: u64,
}

impl Room {
    /// Whether there is room for a stream with this checked configuration, in place of `old` if
    /// it is an update. `others` are the other streams of its account, which allows `account`.
    ///
    /// # Errors
    ///
    /// What there is too little of.
    pub fn check<'a>(
        self,
        new: &StreamConfig,
        old: Option<&StreamConfig>,
        others: impl Iterator<Item = &'a StreamConfig>,
        account: &AccountLimits,
    ) -> Result<(), ApiError> {
        let (mut streams, mut reserved) = (0, 0);
        for other in others {
            streams += 1;
            reserved += reservation(other, new.storage);
        }
        if old.is_none() && account.max_streams > 0 && streams >= account.max_streams {
            return Err(error::MAXIMUM_STREAMS_LIMIT);
        }
        if account.max_consumers > 0 && new.max_consumers > account.max_consumers {
            return Err(error::MAXIMUM_CONSUMERS_LIMIT);
        }
        let (of_account, of_server, error) = match new.storage {
            StorageType::Memory => {
                (account.max_memory, self.memory_bytes_max, error::MEMORY_RESOURCES_EXCEEDED)
            }
            StorageType::File => {
                (account.max_storage, self.file_bytes_max, error::STORAGE_RESOURCES_EXCEEDED)
            }
        };
        let before = old.map_or(0, |old| reservation(old, new.storage));
        let after = match old {
            // A new stream that names no bound has to find any room at all.
            None if new.max_bytes < 0 => 1,
            _ => reservation(new, new.storage),
        };
        if u64::try_from(of_account).is_ok_and(|most| reserved.saturating_add(after) > most) {
            return Err(error);
        }
        // One that becomes smaller is never refused.
        if reserved.saturating_add(before.max(after)) > of_server {
            return Err(error);
        }
        Ok(())
    }
}

/// Bytes that are promised to a stream in `storage`.
pub fn reservation(config: &StreamConfig, storage: StorageType) -> u64 {
    if config.storage == storage { u64::try_from(config.max_bytes).unwrap_or(0) } else { 0 }
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
