//! `/varz`: the broker as a whole.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use serde::Serialize;

use super::answer::go_float;
use super::site::Site;
use super::text::uptime;
use super::usage;
use crate::config::Authentication;
use crate::shared::{Live, Shared};
use crate::stats::Counters;

/// The page, in the order of nats-server's fields; an own field stands at the end.
#[derive(Serialize)]
pub(super) struct Varz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    proto: u32,
    go: &'a str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    auth_required: bool,
    max_connections: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_subscriptions: Option<usize>,
    ping_interval: u64,
    ping_max: u32,
    http_host: &'a str,
    http_port: u16,
    http_base_path: &'a str,
    https_port: u16,
    #[serde(serialize_with = "go_float")]
    auth_timeout: f64,
    max_control_line: usize,
    max_payload: usize,
    max_pending: usize,
    cluster: Absent,
    gateway: Absent,
    leaf: Absent,
    mqtt: Absent,
    websocket: Absent,
    jetstream: Absent,
    #[serde(serialize_with = "go_float")]
    tls_timeout: f64,
    write_deadline: u64,
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    #[serde(serialize_with = "go_float")]
    cpu: f64,
    connections: u64,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: u64,
    http_req_stats: BTreeMap<&'static str, u64>,
    config_load_time: String,
    config_digest: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    disk_io_wait_stats: DiskWaits,
    /// The version of this broker; `version` is the one of NATS it behaves as.
    fulmar: &'a str,
}

/// Something that is not configured: an object without fields.
#[derive(Serialize)]
struct Absent {}

/// A count for each kind of connection.
#[derive(Serialize)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

/// Waits for a turn at the disk, of which core publish/subscribe has none.
#[derive(Default, Serialize)]
struct DiskWaits {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

/// What clients have to authenticate a TLS connection in: nats-server's default, in seconds.
const TLS_TIMEOUT_S: f64 = 2.0;

impl<'a> Varz<'a> {
    /// The page as of now.
    pub(super) fn of(site: &'a Site, live: &'a Live) -> Self {
        let Live { options, info, loaded } = live;
        let counters = total(site.shared());
        let nanoseconds =
            |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let clients_only = |clients| ByKind { clients, routes: 0, gateways: 0, leafs: 0 };
        Self {
            server_id: &info.server_id,
            server_name: &info.server_name,
            version: &info.version,
            proto: info.proto,
            go: &info.go,
            host: &info.host,
            port: info.port,
            auth_required: options.authentication != Authentication::None,
            max_connections: options.limits.connections_max,
            max_subscriptions: options.limits.subscriptions_max,
            ping_interval: nanoseconds(options.timers.ping_interval),
            ping_max: options.timers.ping_max,
            http_host: options
                .monitoring
                .as_ref()
                .and_then(|monitoring| monitoring.host.as_deref())
                .unwrap_or(&options.host),
            http_port: site.port(),
            http_base_path: site.base_path(),
            https_port: 0,
            auth_timeout: options.timers.authentication_timeout.as_secs_f64(),
            max_control_line: options.limits.control_line_bytes_max,
            max_payload: options.limits.payload_bytes_max,
            max_pending: options.limits.pending_bytes_max,
            cluster: Absent {},
            gateway: Absent {},
            leaf: Absent {},
            mqtt: Absent {},
            websocket: Absent {},
            jetstream: Absent {},
            tls_timeout: TLS_TIMEOUT_S,
            write_deadline: nanoseconds(options.timers.write_deadline),
            start: site.clock().utc(site.shared().started),
            now: site.clock().utc(SystemTime::now()),
            uptime: uptime(Instant::now().saturating_duration_since(site.shared().started_at)),
            mem: usage::memory_bytes(),
            cores: usage::core_count(),
            gomaxprocs: usage::core_count(),
            cpu: site.usage().processor_percent(),
            connections: counters.connections,
            total_connections: counters.connections_total,
            routes: 0,
            remotes: 0,
            leafnodes: 0,
            in_msgs: counters.in_messages,
            in_bytes: counters.in_bytes,
            in_client_msgs: counters.in_messages,
            in_client_bytes: counters.in_bytes,
            out_msgs: counters.out_messages,
            out_bytes: counters.out_bytes,
            out_client_msgs: counters.out_messages,
            out_client_bytes: counters.out_bytes,
            slow_consumers: counters.slow_consumers,
            stale_connections: counters.stale_connections,
            stalled_clients: counters.stalls,
            subscriptions: site
                .shared()
                .accounts
                .iter()
                .map(|account| {
                    let (inserts, removes) = account.interest.changes();
                    inserts.saturating_sub(removes)
                })
                .sum(),
            http_req_stats: site.request_counts().filter(|(_, count)| *count > 0).collect(),
            config_load_time: site.clock().utc(*loaded),
            config_digest: options.config_file.as_ref().map_or("", |(_, digest)| digest),
            tags: &options.server_tags,
            metadata: &options.server_metadata,
            slow_consumer_stats: clients_only(counters.slow_consumers),
            stale_connection_stats: clients_only(counters.stale_connections),
            disk_io_wait_stats: DiskWaits::default(),
            fulmar: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The counters of all reactors together.
pub(super) fn total(shared: &Shared) -> Counters {
    let mut total = Counters::default();
    for peer in shared.reactors() {
        total.add(&peer.stats.read());
    }
    total
}
