//! What a server says of the account.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::wire::{limit_known, null_is_default};

/// What an account has of JetStream, and may have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// What it has in all.
    #[serde(flatten)]
    pub usage: Tier,
    /// The JetStream domain of the server.
    #[serde(default)]
    pub domain: Option<String>,
    /// Its use of the API.
    #[serde(default)]
    pub api: ApiUsage,
    /// What it has by replication factor (`R1`, `R3`), where there are limits for each.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tiers: BTreeMap<String, Tier>,
}

/// What an account has, and may have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Tier {
    /// Bytes in memory.
    #[serde(default)]
    pub memory: u64,
    /// Bytes in files.
    #[serde(default)]
    pub storage: u64,
    /// Bytes in memory that are set aside.
    #[serde(default)]
    pub reserved_memory: u64,
    /// Bytes in files that are set aside.
    #[serde(default)]
    pub reserved_storage: u64,
    /// Streams.
    #[serde(default)]
    pub streams: usize,
    /// Consumers.
    #[serde(default)]
    pub consumers: usize,
    /// What it may have.
    #[serde(default)]
    pub limits: Limits,
}

/// What an account may have; `None` where there is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// Bytes in memory.
    #[serde(default, deserialize_with = "limit_known::deserialize")]
    pub max_memory: Option<u64>,
    /// Bytes in files.
    #[serde(default, deserialize_with = "limit_known::deserialize")]
    pub max_storage: Option<u64>,
    /// Streams.
    #[serde(default, deserialize_with = "limit_known::deserialize")]
    pub max_streams: Option<u64>,
    /// Consumers.
    #[serde(default, deserialize_with = "limit_known::deserialize")]
    pub max_consumers: Option<u64>,
    /// Messages of a consumer that wait for their acknowledgement.
    #[serde(default, deserialize_with = "limit_known::deserialize")]
    pub max_ack_pending: Option<u64>,
    /// Bytes of a stream in memory.
    #[serde(default, deserialize_with = "limit_known::deserialize")]
    pub memory_max_stream_bytes: Option<u64>,
    /// Bytes of a stream in files.
    #[serde(default, deserialize_with = "limit_known::deserialize")]
    pub storage_max_stream_bytes: Option<u64>,
    /// Whether each stream must have a limit of its bytes.
    #[serde(default)]
    pub max_bytes_required: bool,
}

/// The use of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ApiUsage {
    /// What the server offers: 0 before nats-server 2.11, 1 from there on, and so on.
    #[serde(default)]
    pub level: u32,
    /// Requests since the server started.
    #[serde(default)]
    pub total: u64,
    /// Requests that were refused.
    #[serde(default)]
    pub errors: u64,
    /// Requests that are being answered.
    #[serde(default)]
    pub inflight: u64,
}
