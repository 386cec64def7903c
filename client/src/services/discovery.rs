//! What a service says of itself, as it is written for whoever looks for services.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::jetstream::wire::{empty_is_none, nanoseconds, null_is_default};

/// That a service is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// What kind of answer this is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service.
    pub name: String,
    /// This instance of it.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Anything else.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: BTreeMap<String, String>,
}

/// What a service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// What kind of answer this is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service.
    pub name: String,
    /// This instance of it.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Anything else.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: BTreeMap<String, String>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its endpoints.
    #[serde(default, deserialize_with = "null_is_default")]
    pub endpoints: Vec<EndpointInfo>,
}

/// What an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// Its name.
    pub name: String,
    /// Where it takes requests.
    pub subject: String,
    /// The queue group of its instances.
    #[serde(default, with = "empty_is_none")]
    pub queue_group: Option<String>,
    /// Anything else.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: BTreeMap<String, String>,
}

/// What a service has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// What kind of answer this is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service.
    pub name: String,
    /// This instance of it.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Anything else.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: BTreeMap<String, String>,
    /// Since when.
    pub started: Timestamp,
    /// What each endpoint has done.
    #[serde(default, deserialize_with = "null_is_default")]
    pub endpoints: Vec<EndpointStats>,
}

/// What an endpoint has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Its name.
    pub name: String,
    /// Where it takes requests.
    pub subject: String,
    /// The queue group of its instances.
    #[serde(default, with = "empty_is_none")]
    pub queue_group: Option<String>,
    /// How many requests it took.
    #[serde(default)]
    pub num_requests: u64,
    /// How many of them it answered with an error.
    #[serde(default)]
    pub num_errors: u64,
    /// The last error: its number, a colon and its text.
    #[serde(default)]
    pub last_error: String,
    /// The time from taking a request to answering it, of all of them together.
    #[serde(default, with = "nanoseconds")]
    pub processing_time: Duration,
    /// The same of one of them, on the average.
    #[serde(default, with = "nanoseconds")]
    pub average_processing_time: Duration,
    /// What the service adds; see [`Config::stats_handler`](super::Config::stats_handler).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}
