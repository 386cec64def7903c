//! What a pull request asks for, as the API writes it.

use std::time::Duration;

use serde::Serialize;

use crate::jetstream::wire::{is_default, nanoseconds};

/// What a pull request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PullRequest {
    /// How many messages.
    pub batch: usize,
    /// How many bytes; 0 sets no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes: usize,
    /// How long it waits; zero for ever.
    #[serde(skip_serializing_if = "is_default", with = "nanoseconds")]
    pub expires: Duration,
    /// It does not wait.
    #[serde(skip_serializing_if = "is_default")]
    pub no_wait: bool,
    /// The server sends a sign of life when there was no message for so long; at most half of
    /// `expires`.
    #[serde(skip_serializing_if = "is_default", with = "nanoseconds")]
    pub idle_heartbeat: Duration,
    /// The priority group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// It is served only when so many messages are not delivered yet.
    #[serde(skip_serializing_if = "is_default")]
    pub min_pending: u64,
    /// It is served only when so many messages wait for their acknowledgement.
    #[serde(skip_serializing_if = "is_default")]
    pub min_ack_pending: u64,
    /// Who is pinned, as the last message said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The lower, the sooner it is served: 0 to 9.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: u8,
}
