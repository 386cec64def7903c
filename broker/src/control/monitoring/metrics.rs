//! `/metrics`: samples for Prometheus.
//!
//! What is on other pages has the names that prometheus-nats-exporter gives it, so that the
//! dashboards for it show this broker: every number of `/varz` and `/subsz` becomes a gauge
//! named after its path, as there. What is only known here begins with `fulmar_`.

use std::fmt::Display;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::Value;

use super::gather;
use super::healthz;
use super::query::Query;
use super::site::Site;
use super::subsz::{self, Subsz};
use super::varz::Varz;
use crate::stats::{BUCKET_COUNT, Counters, Stage};

/// Texts that are shown as a gauge whose value is 1, with the text in the label `value`.
const TEXTS: [&str; 6] = ["server_id", "server_name", "version", "domain", "leader", "name"];
/// Times that are shown in milliseconds since 1970.
const TIMES: [&str; 2] = ["start", "config_load_time"];

/// A counter of a reactor: its name, its type, what it counts, how it is read.
type ReactorMetric = (&'static str, &'static str, &'static str, fn(&Counters) -> u64);

const REACTOR_METRICS: [ReactorMetric; 17] = [
    ("connections", "gauge", "Connections now.", |c| c.connections),
    ("connections_opened_total", "counter", "Connections ever.", |c| c.connections_total),
    ("subscriptions", "gauge", "Subscriptions now.", |c| c.subscriptions),
    ("in_messages_total", "counter", "Messages from clients.", |c| c.in_messages),
    ("in_bytes_total", "counter", "Bytes of messages from clients.", |c| c.in_bytes),
    ("out_messages_total", "counter", "Messages to clients.", |c| c.out_messages),
    ("out_bytes_total", "counter", "Bytes of messages to clients.", |c| c.out_bytes),
    ("slow_consumers_total", "counter", "Connections closed because they took too little.", |c| {
        c.slow_consumers
    }),
    ("stale_connections_total", "counter", "Connections closed over unanswered PINGs.", |c| {
        c.stale_connections
    }),
    ("stalls_total", "counter", "Pauses of publishers for subscribers that were behind.", |c| {
        c.stalls
    }),
    ("dropped_messages_total", "counter", "Messages dropped for a subscriber far behind.", |c| {
        c.dropped_messages
    }),
    ("authentication_failures_total", "counter", "Failed attempts to authenticate.", |c| {
        c.authentication_failures
    }),
    ("cache_hits_total", "counter", "Subjects whose subscribers were remembered.", |c| {
        c.cache_hits
    }),
    ("cache_misses_total", "counter", "Subjects whose subscribers were looked up.", |c| {
        c.cache_misses
    }),
    ("cache_entries", "gauge", "Subjects whose subscribers are remembered now.", |c| {
        c.cache_entries
    }),
    ("cache_subscriptions", "gauge", "Subscriptions remembered for those subjects.", |c| {
        c.fanout_sum
    }),
    ("fanout_max", "gauge", "The most subscriptions a message ever had.", |c| c.fanout_max),
];

/// The page.
pub(super) async fn page(site: &Site) -> String {
    let mut samples = Samples::default();
    let labels = Labels::new(&[("server_id", site.server_name())]);
    samples.fields_of("varz", &Varz::of(site, &site.shared().live()), &labels);
    let subscriptions = subsz::Wanted::read(&Query::default());
    if let Ok(wanted) = subscriptions {
        let found = subsz::find(site, wanted).await;
        samples.fields_of("subsz", &Subsz::of(site, &found), &labels);
    }
    let pending_bytes = connections(site, &mut samples, &labels).await;
    health(site, &mut samples, &labels);

    let version = env!("CARGO_PKG_VERSION");
    let build =
        Labels::new(&[("version", version), ("nats_version", fulmar_protocol::NATS_VERSION)]);
    samples.describe("fulmar_build_info", "gauge", "The version of this broker.");
    samples.add("fulmar_build_info", &build, 1);
    samples.describe("fulmar_pending_bytes", "gauge", "Bytes that wait to be written to clients.");
    samples.add("fulmar_pending_bytes", &Labels::default(), pending_bytes);
    reactors(site, &mut samples);
    samples.text
}

/// What the exporter adds up over all open connections. Returns how many bytes wait for them.
async fn connections(site: &Site, samples: &mut Samples, labels: &Labels) -> u64 {
    let (mut count, mut subscriptions, mut pending_bytes) = (0_u64, 0_u64, 0_u64);
    let (mut in_messages, mut out_messages, mut in_bytes, mut out_bytes) = (0, 0, 0, 0);
    gather::connections(site.shared(), false, |report| {
        count += 1;
        subscriptions += report.subscription_count as u64;
        pending_bytes += report.pending_bytes as u64;
        in_messages += report.traffic.in_messages;
        out_messages += report.traffic.out_messages;
        in_bytes += report.traffic.in_bytes;
        out_bytes += report.traffic.out_bytes;
    })
    .await;
    for (name, help, value) in [
        ("num_connections", "Open connections.", count),
        ("total", "Open connections.", count),
        ("subscriptions", "Subscriptions of open connections.", subscriptions),
        ("pending_bytes", "Bytes that wait for open connections.", pending_bytes),
        ("in_msgs", "Messages from open connections.", in_messages),
        ("out_msgs", "Messages to open connections.", out_messages),
        ("in_bytes", "Bytes of messages from open connections.", in_bytes),
        ("out_bytes", "Bytes of messages to open connections.", out_bytes),
    ] {
        let name = format!("nats_connz_{name}");
        samples.describe(&name, "gauge", help);
        samples.add(&name, labels, value);
    }
    pending_bytes
}

fn health(site: &Site, samples: &mut Samples, labels: &Labels) {
    let is_ready = healthz::is_ready(site.shared());
    samples.describe("nats_healthz_status", "gauge", "0 when healthy, else 1.");
    samples.add("nats_healthz_status", labels, u8::from(!is_ready));
    let status = if is_ready { "ok" } else { "error" };
    samples.describe("nats_healthz_status_value", "gauge", "1 when healthy, else 0.");
    samples.add("nats_healthz_status_value", &labels.and("value", status), u8::from(is_ready));
}

fn reactors(site: &Site, samples: &mut Samples) {
    let peers = site.shared().reactors();
    let labels = |number: usize| Labels::new(&[("reactor", &number.to_string())]);
    let counters: Vec<Counters> = peers.iter().map(|peer| peer.stats.read()).collect();
    for (name, kind, help, read) in REACTOR_METRICS {
        let name = format!("fulmar_reactor_{name}");
        samples.describe(&name, kind, help);
        for (number, counters) in counters.iter().enumerate() {
            samples.add(&name, &labels(number), read(counters));
        }
    }
    let name = "fulmar_reactor_inbox_bytes";
    samples.describe(name, "gauge", "Bytes of messages in the inbox.");
    for (number, peer) in peers.iter().enumerate() {
        samples.add(name, &labels(number), peer.inbox_bytes.load(Ordering::Relaxed));
    }
    let name = "fulmar_reactor_stage_seconds";
    samples.describe(name, "histogram", "How long a reactor's tick and its stages take.");
    for (number, peer) in peers.iter().enumerate() {
        for stage in Stage::ALL {
            let labels = labels(number).and("stage", stage.as_str());
            samples.histogram(name, &labels, peer.stats.stage(stage));
        }
    }
}

/// Lines in the text format.
#[derive(Default)]
struct Samples {
    text: String,
}

/// The labels of a sample, escaped: `a="1",b="2"`.
#[derive(Clone, Default)]
struct Labels(String);

impl Labels {
    fn new(pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(Self::default(), |labels, (name, value)| labels.and(name, value))
    }

    fn and(&self, name: &str, value: &str) -> Self {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let separator = if self.0.is_empty() { "" } else { "," };
        Self(format!("{}{separator}{name}=\"{value}\"", self.0))
    }
}

impl Samples {
    /// Says what `name` is. Its samples follow.
    fn describe(&mut self, name: &str, kind: &str, help: &str) {
        self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn add(&mut self, name: &str, labels: &Labels, value: impl Display) {
        let Labels(labels) = labels;
        if labels.is_empty() {
            self.text.push_str(&format!("{name} {value}\n"));
        } else {
            self.text.push_str(&format!("{name}{{{labels}}} {value}\n"));
        }
    }

    fn histogram(&mut self, name: &str, labels: &Labels, histogram: &crate::stats::Histogram) {
        // The reactor goes on meanwhile: the count is read last, so that it is not below a bucket.
        let buckets: [u64; BUCKET_COUNT] = histogram.buckets();
        let sum = histogram.sum();
        let mut below = 0;
        let mut micros = 1_u64;
        for count in buckets {
            below += count;
            #[expect(clippy::cast_precision_loss, reason = "a power of two")]
            let limit = micros as f64 / 1e6;
            self.add(&format!("{name}_bucket"), &labels.and("le", &limit.to_string()), below);
            micros *= 2;
        }
        let count = histogram.count().max(below);
        self.add(&format!("{name}_bucket"), &labels.and("le", "+Inf"), count);
        self.add(&format!("{name}_sum"), labels, sum.as_secs_f64());
        self.add(&format!("{name}_count"), labels, count);
    }

    /// Every number of a page, and what else the exporter takes from it.
    fn fields_of(&mut self, page: &str, content: &impl Serialize, labels: &Labels) {
        match serde_json::to_value(content) {
            Ok(Value::Object(fields)) => {
                for (name, value) in &fields {
                    self.field(page, name, value, labels);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::error!("/{page} cannot be shown as metrics: {error}"),
        }
    }

    /// `path` is where the field is on the page: `slow_consumer_stats/clients`.
    fn field(&mut self, page: &str, path: &str, value: &Value, labels: &Labels) {
        let name = format!("nats_{page}_{}", metric_name(path));
        let help = format!("{path} of /{page}.");
        let key = path.rsplit('/').next().unwrap_or(path);
        match value {
            Value::Number(number) => {
                self.describe(&name, "gauge", &help);
                self.add(&name, labels, number);
            }
            Value::String(text) if TEXTS.contains(&key) => {
                self.describe(&name, "gauge", &help);
                self.add(&name, &labels.and("value", text), 1);
            }
            Value::String(text) if TIMES.contains(&key) => {
                if let Ok(time) = text.parse::<jiff::Timestamp>() {
                    self.describe(&name, "gauge", &format!("{help} Milliseconds since 1970."));
                    self.add(&name, labels, time.as_millisecond());
                }
            }
            Value::Object(fields) => {
                for (field, value) in fields {
                    self.field(page, &format!("{path}/{field}"), value, labels);
                }
            }
            _ => {}
        }
    }
}

/// A path as part of a metric's name: `http_req_stats//varz` is `http_req_stats_varz`.
fn metric_name(path: &str) -> String {
    let is_word = |part: &&str| !part.is_empty();
    path.split(['/', '_']).filter(is_word).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stats::ReactorStats;

    #[test]
    fn numbers_of_a_page_are_gauges_named_by_their_path() {
        let page = serde_json::json!({
            "server_id": "N\"1\\",
            "host": "not shown",
            "start": "1970-01-01T00:00:01.5Z",
            "cpu": 1.5,
            "stats": {"clients": 3, "name": "b"},
            "http_req_stats": {"/": 1, "/varz": 2},
        });
        let mut samples = Samples::default();
        samples.fields_of("varz", &page, &Labels::new(&[("server_id", "a")]));
        let lines: Vec<_> =
            samples.text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(
            lines,
            [
                "# TYPE nats_varz_cpu gauge",
                r#"nats_varz_cpu{server_id="a"} 1.5"#,
                "# TYPE nats_varz_http_req_stats gauge",
                r#"nats_varz_http_req_stats{server_id="a"} 1"#,
                "# TYPE nats_varz_http_req_stats_varz gauge",
                r#"nats_varz_http_req_stats_varz{server_id="a"} 2"#,
                "# TYPE nats_varz_server_id gauge",
                r#"nats_varz_server_id{server_id="a",value="N\"1\\"} 1"#,
                "# TYPE nats_varz_start gauge",
                r#"nats_varz_start{server_id="a"} 1500"#,
                "# TYPE nats_varz_stats_clients gauge",
                r#"nats_varz_stats_clients{server_id="a"} 3"#,
                "# TYPE nats_varz_stats_name gauge",
                r#"nats_varz_stats_name{server_id="a",value="b"} 1"#,
            ]
        );
    }

    #[test]
    fn buckets_add_up() {
        let stats = ReactorStats::default();
        for micros in [0, 1, 3, 3, 10_000_000] {
            stats.record(Stage::Flush, Duration::from_micros(micros));
        }
        let mut samples = Samples::default();
        let labels = Labels::new(&[("stage", "flush")]);
        samples.histogram("s", &labels, stats.stage(Stage::Flush));
        for line in [
            r#"s_bucket{stage="flush",le="0.000001"} 1"#,
            r#"s_bucket{stage="flush",le="0.000002"} 2"#,
            r#"s_bucket{stage="flush",le="0.000004"} 4"#,
            r#"s_bucket{stage="flush",le="1.048576"} 4"#,
            r#"s_bucket{stage="flush",le="+Inf"} 5"#,
            r#"s_sum{stage="flush"} 10.000007"#,
            r#"s_count{stage="flush"} 5"#,
        ] {
            assert!(samples.text.lines().any(|other| other == line), "{line}: {}", samples.text);
        }
    }
}
