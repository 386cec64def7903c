//! Advisories: what the server tells whoever listens on `$JS.EVENT.>`.
//!
//! When they are sent is not known here.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::json;
use super::response::StreamState;
use super::stream_config::{is_zero, is_zero_u64};
use super::timestamp::Timestamp;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// An API request was answered.
    ApiAudit {
        /// Name of this server.
        server: &'a str,
        /// Who asked.
        client: &'a ClientInfo<'a>,
        /// The subject of the request.
        subject: &'a str,
        /// Its body.
        request: &'a str,
        /// The answer.
        response: &'a str,
    },
    /// A stream was created, changed or deleted.
    StreamAction {
        /// Its name.
        stream: &'a str,
        /// What was done.
        action: Action,
    },
    /// A consumer was created or deleted.
    ConsumerAction {
        /// Its stream.
        stream: &'a str,
        /// Its name.
        consumer: &'a str,
        /// What was done.
        action: Action,
    },
    /// A consumer was paused or goes on.
    ConsumerPause {
        /// Its stream.
        stream: &'a str,
        /// Its name.
        consumer: &'a str,
        /// Whether it is paused.
        paused: bool,
        /// Until then; zero if it goes on.
        pause_until: Timestamp,
    },
    /// A message was acknowledged; a sample of the time that took.
    ConsumerAck {
        /// What message.
        delivery: Delivery<'a>,
        /// From the delivery to the acknowledgement.
        ack_time_ns: i64,
    },
    /// A message was delivered as often as it may be.
    MaxDeliveries {
        /// What message; its consumer sequence is not shown.
        delivery: Delivery<'a>,
    },
    /// A message was refused.
    Naked {
        /// What message.
        delivery: Delivery<'a>,
    },
    /// A message was given up.
    Terminated {
        /// What message.
        delivery: Delivery<'a>,
        /// Why, in the words of the client.
        reason: &'a str,
    },
    /// A client of a group was pinned.
    GroupPinned {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// The group.
        group: &'a str,
        /// The id of the client.
        pinned_id: &'a str,
    },
    /// The client of a group is no longer pinned.
    GroupUnpinned {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// The group.
        group: &'a str,
        /// `admin` or `timeout`.
        reason: &'a str,
    },
    /// A batch was dropped.
    BatchAbandoned {
        /// The stream.
        stream: &'a str,
        /// The batch.
        batch: &'a str,
        /// `timeout`, `large`, `incomplete` or `unsupported`.
        reason: &'a str,
    },
    /// A snapshot begins.
    SnapshotCreate {
        /// The stream.
        stream: &'a str,
        /// What it holds.
        state: &'a StreamState,
        /// Who asked.
        client: &'a ClientInfo<'a>,
    },
    /// A snapshot has ended.
    SnapshotComplete {
        /// The stream.
        stream: &'a str,
        /// When it began.
        start: Timestamp,
        /// When it ended.
        end: Timestamp,
        /// Who asked.
        client: &'a ClientInfo<'a>,
        /// What went wrong; empty if nothing did.
        error: &'a str,
    },
    /// A restore begins.
    RestoreCreate {
        /// The stream.
        stream: &'a str,
        /// Who asked.
        client: &'a ClientInfo<'a>,
    },
    /// A restore has ended.
    RestoreComplete {
        /// The stream.
        stream: &'a str,
        /// When it began.
        start: Timestamp,
        /// When it ended.
        end: Timestamp,
        /// Bytes that were received.
        bytes: i64,
        /// Who asked.
        client: &'a ClientInfo<'a>,
    },
    /// Requests were dropped, because too many waited.
    ApiLimitReached {
        /// Name of this server.
        server: &'a str,
        /// How many.
        dropped: i64,
    },
    /// There is no room for more messages.
    ServerOutOfStorage {
        /// Name of this server.
        server: &'a str,
        /// Its id.
        server_id: &'a str,
        /// The stream that found out.
        stream: &'a str,
        /// The cluster of the server.
        cluster: &'a str,
    },
}

/// One delivery of a message.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The sequence of the delivery.
    pub consumer_seq: u64,
    /// The sequence of the message.
    pub stream_seq: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// What was done to a stream or consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was made.
    Create,
    /// It is gone.
    Delete,
    /// Its configuration changed.
    Modify,
}

/// Who asked, as advisories show it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientInfo<'a> {
    /// When the client connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// From where.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub host: &'a str,
    /// Number of the connection.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub id: u64,
    /// Its account.
    #[serde(rename = "acc", skip_serializing_if = "str::is_empty")]
    pub account: &'a str,
    /// Its user.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user: &'a str,
    /// The name it gave.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    /// The language of its library.
    #[serde(rename = "lang", skip_serializing_if = "str::is_empty")]
    pub language: &'a str,
    /// The version of its library.
    #[serde(rename = "ver", skip_serializing_if = "str::is_empty")]
    pub version: &'a str,
    /// Time of a round trip.
    #[serde(rename = "rtt", skip_serializing_if = "is_zero")]
    pub round_trip_ns: i64,
    /// Name of its server.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub server: &'a str,
    /// `Client`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'a str,
    /// `nats`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub client_type: &'a str,
}

impl Event<'_> {
    /// Where it is published.
    pub fn subject(&self) -> String {
        const ADVISORY: &str = "$JS.EVENT.ADVISORY";
        const ACK: &str = "$JS.EVENT.METRIC.CONSUMER.ACK";
        let of = |kind: &str, it: &Delivery<'_>| {
            format!("{ADVISORY}.CONSUMER.{kind}.{}.{}", it.stream, it.consumer)
        };
        match self {
            Self::ApiAudit { .. } => format!("{ADVISORY}.API"),
            Self::StreamAction { stream, action } => {
                let past = action.past();
                format!("{ADVISORY}.STREAM.{past}.{stream}")
            }
            Self::ConsumerAction { stream, consumer, action } => {
                let past = action.past();
                format!("{ADVISORY}.CONSUMER.{past}.{stream}.{consumer}")
            }
            Self::ConsumerPause { stream, consumer, .. } => {
                format!("{ADVISORY}.CONSUMER.PAUSE.{stream}.{consumer}")
            }
            Self::ConsumerAck { delivery, .. } => {
                format!("{ACK}.{}.{}", delivery.stream, delivery.consumer)
            }
            Self::MaxDeliveries { delivery } => of("MAX_DELIVERIES", delivery),
            Self::Naked { delivery } => of("MSG_NAKED", delivery),
            Self::Terminated { delivery, .. } => of("MSG_TERMINATED", delivery),
            Self::GroupPinned { stream, consumer, .. } => {
                format!("{ADVISORY}.CONSUMER.PINNED.{stream}.{consumer}")
            }
            Self::GroupUnpinned { stream, consumer, .. } => {
                format!("{ADVISORY}.CONSUMER.UNPINNED.{stream}.{consumer}")
            }
            Self::BatchAbandoned { stream, .. } => {
                format!("{ADVISORY}.STREAM.BATCH_ABANDONED.{stream}")
            }
            Self::SnapshotCreate { stream, .. } => {
                format!("{ADVISORY}.STREAM.SNAPSHOT_CREATE.{stream}")
            }
            Self::SnapshotComplete { stream, .. } => {
                format!("{ADVISORY}.STREAM.SNAPSHOT_COMPLETE.{stream}")
            }
            Self::RestoreCreate { stream, .. } => {
                format!("{ADVISORY}.STREAM.RESTORE_CREATE.{stream}")
            }
            Self::RestoreComplete { stream, .. } => {
                format!("{ADVISORY}.STREAM.RESTORE_COMPLETE.{stream}")
            }
            Self::ApiLimitReached { .. } => format!("{ADVISORY}.API.LIMIT_REACHED"),
            Self::ServerOutOfStorage { .. } => format!("{ADVISORY}.SERVER.OUT_OF_STORAGE"),
        }
    }

    /// Its JSON. `id` is unique, and made like a nuid; `domain` is that of the server.
    pub fn to_json(&self, id: &str, time: Timestamp, domain: Option<&str>) -> Vec<u8> {
        json::to_vec(&Document { event: self, id, time, domain })
    }

    fn kind(&self) -> &'static str {
        macro_rules! advisory {
            ($name:literal) => {
                concat!("io.nats.jetstream.advisory.v1.", $name)
            };
        }
        match self {
            Self::ApiAudit { .. } => advisory!("api_audit"),
            Self::StreamAction { .. } => advisory!("stream_action"),
            Self::ConsumerAction { .. } => advisory!("consumer_action"),
            Self::ConsumerPause { .. } => advisory!("consumer_pause"),
            Self::ConsumerAck { .. } => "io.nats.jetstream.metric.v1.consumer_ack",
            Self::MaxDeliveries { .. } => advisory!("max_deliver"),
            Self::Naked { .. } => advisory!("nak"),
            Self::Terminated { .. } => advisory!("terminated"),
            Self::GroupPinned { .. } => advisory!("consumer_group_pinned"),
            Self::GroupUnpinned { .. } => advisory!("consumer_group_unpinned"),
            Self::BatchAbandoned { .. } => advisory!("stream_batch_abandoned"),
            Self::SnapshotCreate { .. } => advisory!("snapshot_create"),
            Self::SnapshotComplete { .. } => advisory!("snapshot_complete"),
            Self::RestoreCreate { .. } => advisory!("restore_create"),
            Self::RestoreComplete { .. } => advisory!("restore_complete"),
            Self::ApiLimitReached { .. } => advisory!("api_limit_reached"),
            Self::ServerOutOfStorage { .. } => advisory!("server_out_of_space"),
        }
    }
}

impl Action {
    fn past(self) -> &'static str {
        match self {
            Self::Create => "CREATED",
            Self::Delete => "DELETED",
            Self::Modify => "UPDATED",
        }
    }
}

struct Document<'a> {
    event: &'a Event<'a>,
    id: &'a str,
    time: Timestamp,
    domain: Option<&'a str>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.event.kind())?;
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("timestamp", &self.time)?;
        self.fields(&mut map)?;
        map.end()
    }
}

impl Document<'_> {
    /// Everything behind the timestamp. The domain does not stand at the same place in all.
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match *self.event {
            Event::ApiAudit { server, client, subject, request, response } => {
                map.serialize_entry("server", server)?;
                map.serialize_entry("client", client)?;
                map.serialize_entry("subject", subject)?;
                unless_empty(map, "request", request)?;
                map.serialize_entry("response", response)?;
                self.domain(map)
            }
            Event::StreamAction { stream, action } => {
                map.serialize_entry("stream", stream)?;
                map.serialize_entry("action", &action)?;
                self.domain(map)
            }
            Event::ConsumerAction { stream, consumer, action } => {
                of_consumer(map, stream, consumer)?;
                map.serialize_entry("action", &action)?;
                self.domain(map)
            }
            Event::ConsumerPause { stream, consumer, paused, pause_until } => {
                of_consumer(map, stream, consumer)?;
                map.serialize_entry("paused", &paused)?;
                map.serialize_entry("pause_until", &pause_until)?;
                self.domain(map)
            }
            Event::ConsumerAck { delivery, ack_time_ns } => {
                of_consumer(map, delivery.stream, delivery.consumer)?;
                map.serialize_entry("consumer_seq", &delivery.consumer_seq)?;
                map.serialize_entry("stream_seq", &delivery.stream_seq)?;
                map.serialize_entry("ack_time", &ack_time_ns)?;
                map.serialize_entry("deliveries", &delivery.deliveries)?;
                self.domain(map)
            }
            Event::MaxDeliveries { delivery } => {
                of_consumer(map, delivery.stream, delivery.consumer)?;
                map.serialize_entry("stream_seq", &delivery.stream_seq)?;
                map.serialize_entry("deliveries", &delivery.deliveries)?;
                self.domain(map)
            }
            Event::Naked { delivery } => {
                of_delivery(map, delivery)?;
                self.domain(map)
            }
            Event::Terminated { delivery, reason } => {
                of_delivery(map, delivery)?;
                unless_empty(map, "reason", reason)?;
                self.domain(map)
            }
            Event::GroupPinned { stream, consumer, group, pinned_id } => {
                of_consumer(map, stream, consumer)?;
                self.domain(map)?;
                map.serialize_entry("group", group)?;
                map.serialize_entry("pinned_id", pinned_id)
            }
            Event::GroupUnpinned { stream, consumer, group, reason } => {
                of_consumer(map, stream, consumer)?;
                self.domain(map)?;
                map.serialize_entry("group", group)?;
                map.serialize_entry("reason", reason)
            }
            Event::BatchAbandoned { stream, batch, reason } => {
                map.serialize_entry("stream", stream)?;
                self.domain(map)?;
                map.serialize_entry("batch", batch)?;
                map.serialize_entry("reason", reason)
            }
            Event::SnapshotCreate { stream, state, client } => {
                map.serialize_entry("stream", stream)?;
                map.serialize_entry("state", state)?;
                map.serialize_entry("client", client)?;
                self.domain(map)
            }
            Event::SnapshotComplete { stream, start, end, client, error } => {
                map.serialize_entry("stream", stream)?;
                map.serialize_entry("start", &start)?;
                map.serialize_entry("end", &end)?;
                map.serialize_entry("client", client)?;
                self.domain(map)?;
                unless_empty(map, "error", error)
            }
            Event::RestoreCreate { stream, client } => {
                map.serialize_entry("stream", stream)?;
                map.serialize_entry("client", client)?;
                self.domain(map)
            }
            Event::RestoreComplete { stream, start, end, bytes, client } => {
                map.serialize_entry("stream", stream)?;
                map.serialize_entry("start", &start)?;
                map.serialize_entry("end", &end)?;
                map.serialize_entry("bytes", &bytes)?;
                map.serialize_entry("client", client)?;
                self.domain(map)
            }
            Event::ApiLimitReached { server, dropped } => {
                map.serialize_entry("server", server)?;
                self.domain(map)?;
                map.serialize_entry("dropped", &dropped)
            }
            Event::ServerOutOfStorage { server, server_id, stream, cluster } => {
                map.serialize_entry("server", server)?;
                map.serialize_entry("server_id", server_id)?;
                unless_empty(map, "stream", stream)?;
                map.serialize_entry("cluster", cluster)?;
                self.domain(map)
            }
        }
    }

    fn domain<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        unless_empty(map, "domain", self.domain.unwrap_or_default())
    }
}

fn of_consumer<M: SerializeMap>(map: &mut M, stream: &str, consumer: &str) -> Result<(), M::Error> {
    map.serialize_entry("stream", stream)?;
    map.serialize_entry("consumer", consumer)
}

fn of_delivery<M: SerializeMap>(map: &mut M, delivery: Delivery<'_>) -> Result<(), M::Error> {
    of_consumer(map, delivery.stream, delivery.consumer)?;
    map.serialize_entry("consumer_seq", &delivery.consumer_seq)?;
    map.serialize_entry("stream_seq", &delivery.stream_seq)?;
    map.serialize_entry("deliveries", &delivery.deliveries)
}

fn unless_empty<M: SerializeMap>(map: &mut M, key: &str, value: &str) -> Result<(), M::Error> {
    if value.is_empty() { Ok(()) } else { map.serialize_entry(key, value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        let time = Timestamp::from_unix_ns(1_500_000_000);
        let check = |event: &Event<'_>, subject: &str, expected: &str| {
            assert_eq!(event.subject(), subject);
            let found = event.to_json("ID", time, Some("hub"));
            let expected = format!(
                r#"{{"type":"io.nats.jetstream.{}","id":"ID","timestamp":"1970-01-01T00:00:01.5Z",{}}}"#,
                event.kind().trim_start_matches("io.nats.jetstream."),
                expected
            );
            assert_eq!(String::from_utf8_lossy(&found), expected);
        };
        let delivery =
            Delivery { stream: "S", consumer: "C", consumer_seq: 1, stream_seq: 2, deliveries: 3 };
        check(
            &Event::StreamAction { stream: "S", action: Action::Modify },
            "$JS.EVENT.ADVISORY.STREAM.UPDATED.S",
            r#""stream":"S","action":"modify","domain":"hub""#,
        );
        check(
            &Event::ConsumerAction { stream: "S", consumer: "C", action: Action::Delete },
            "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.C",
            r#""stream":"S","consumer":"C","action":"delete","domain":"hub""#,
        );
        check(
            &Event::ConsumerPause {
                stream: "S",
                consumer: "C",
                paused: false,
                pause_until: Timestamp::ZERO,
            },
            "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C",
            r#""stream":"S","consumer":"C","paused":false,"pause_until":"0001-01-01T00:00:00Z","domain":"hub""#,
        );
        check(
            &Event::MaxDeliveries { delivery },
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C",
            r#""stream":"S","consumer":"C","stream_seq":2,"deliveries":3,"domain":"hub""#,
        );
        check(
            &Event::Terminated { delivery, reason: "a<b" },
            "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C",
            r#""stream":"S","consumer":"C","consumer_seq":1,"stream_seq":2,"deliveries":3,"reason":"a\u003cb","domain":"hub""#,
        );
        check(
            &Event::ConsumerAck { delivery, ack_time_ns: 9 },
            "$JS.EVENT.METRIC.CONSUMER.ACK.S.C",
            r#""stream":"S","consumer":"C","consumer_seq":1,"stream_seq":2,"ack_time":9,"deliveries":3,"domain":"hub""#,
        );
        check(
            &Event::GroupUnpinned { stream: "S", consumer: "C", group: "g", reason: "admin" },
            "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C",
            r#""stream":"S","consumer":"C","domain":"hub","group":"g","reason":"admin""#,
        );
        let client = ClientInfo {
            host: "127.0.0.1",
            id: 19,
            account: "$G",
            kind: "Client",
            client_type: "nats",
            ..ClientInfo::default()
        };
        check(
            &Event::ApiAudit {
                server: "N",
                client: &client,
                subject: "$JS.API.INFO",
                request: "",
                response: "{}",
            },
            "$JS.EVENT.ADVISORY.API",
            r#""server":"N","client":{"host":"127.0.0.1","id":19,"acc":"$G","kind":"Client","client_type":"nats"},"subject":"$JS.API.INFO","response":"{}","domain":"hub""#,
        );
    }
}
