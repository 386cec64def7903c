//! The quantities a scenario yields: their names, units, and which direction is better.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Percentiles of a latency curve.
const CURVE_PERCENTILES: [f64; 14] =
    [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.99];

/// One quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// CPU time of the server per message published, in nanoseconds.
    CpuNsPerMessage,
    /// CPU time of the server per message delivered, in nanoseconds.
    CpuNsPerDelivery,
    /// CPU time of the server per request with its reply, in nanoseconds.
    CpuNsPerRequest,
    /// CPU time of the server per connection opened and subscribed, in nanoseconds.
    CpuNsPerConnection,
    /// CPU time of the server per subscription, in nanoseconds.
    CpuNsPerSubscription,
    /// CPU time of a server from its start until it is ready, in nanoseconds.
    CpuNsOfStart,
    /// Messages, deliveries or requests per second.
    RatePerSecond,
    /// Time to get everything that was asked for at once, in nanoseconds: the median of many.
    TimeNsForAll,
    /// From the start of the process until it answered about a stream, in nanoseconds.
    TimeNsToReady,
    /// From the start of the process until it acknowledged a message, in nanoseconds.
    TimeNsToFirstAck,
    /// A bare `pwrite` of 4 KiB and `fdatasync` in the folder of the server's store, beside the
    /// measurement, in nanoseconds: the median of many.
    BareSyncNs,
    /// Half of the requests were faster, in nanoseconds.
    LatencyNsP50,
    /// 90 % of the requests were faster, in nanoseconds.
    LatencyNsP90,
    /// 99 % of the requests were faster, in nanoseconds.
    LatencyNsP99,
    /// 99.9 % of the requests were faster, in nanoseconds.
    LatencyNsP999,
    /// By how much half of the durable publishes were faster than, beyond the time of a bare write
    /// and sync, in nanoseconds.
    LatencyNsBeyondSync,
    /// Growth of the resident memory per connection, in bytes.
    BytesPerConnection,
    /// Growth of the resident memory per subscription, in bytes.
    BytesPerSubscription,
    /// Resident memory of a server that has stored everything and come to rest, in bytes.
    ResidentBytesLoaded,
    /// Resident memory of a server that was started on a full store and has come to rest, in
    /// bytes.
    ResidentBytesStarted,
    /// Resident memory of the server at the end, in bytes.
    ResidentBytes,
    /// CPU time of the server over wall time: how many cores it kept busy.
    ServerCores,
    /// CPU time of the load itself per message, in nanoseconds.
    LoadNsPerMessage,
    /// Messages, deliveries, requests, connections or subscriptions measured.
    Count,
}

/// Which direction is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// It only explains the others.
    Neither,
}

/// How numbers of a metric are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds, shown in ns, µs or ms.
    Nanoseconds,
    /// Bytes, shown in B, kB or MB (powers of 1000).
    Bytes,
    /// Per second, shown in k/s or M/s.
    PerSecond,
    /// A plain number.
    Plain,
}

impl Metric {
    /// What it is called in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::CpuNsPerMessage => "CPU per message",
            Self::CpuNsPerDelivery => "CPU per delivery",
            Self::CpuNsPerRequest => "CPU per request",
            Self::CpuNsPerConnection => "CPU per connect",
            Self::CpuNsPerSubscription => "CPU per SUB",
            Self::CpuNsOfStart => "CPU of the start",
            Self::RatePerSecond => "rate",
            Self::TimeNsForAll => "time for all",
            Self::TimeNsToReady => "start to ready",
            Self::TimeNsToFirstAck => "start to first ack",
            Self::BareSyncNs => "bare write and sync",
            Self::LatencyNsP50 => "latency p50",
            Self::LatencyNsP90 => "latency p90",
            Self::LatencyNsP99 => "latency p99",
            Self::LatencyNsP999 => "latency p99.9",
            Self::LatencyNsBeyondSync => "p50 beyond bare",
            Self::BytesPerConnection => "memory per connection",
            Self::BytesPerSubscription => "memory per subscription",
            Self::ResidentBytesLoaded => "memory, loaded",
            Self::ResidentBytesStarted => "memory, started",
            Self::ResidentBytes => "resident memory",
            Self::ServerCores => "cores busy",
            Self::LoadNsPerMessage => "CPU of the load",
            Self::Count => "counted",
        }
    }

    /// Its unit.
    pub fn unit(self) -> Unit {
        match self {
            Self::CpuNsPerMessage
            | Self::CpuNsPerDelivery
            | Self::CpuNsPerRequest
            | Self::CpuNsPerConnection
            | Self::CpuNsPerSubscription
            | Self::CpuNsOfStart
            | Self::TimeNsForAll
            | Self::TimeNsToReady
            | Self::TimeNsToFirstAck
            | Self::BareSyncNs
            | Self::LatencyNsP50
            | Self::LatencyNsP90
            | Self::LatencyNsP99
            | Self::LatencyNsP999
            | Self::LatencyNsBeyondSync
            | Self::LoadNsPerMessage => Unit::Nanoseconds,
            Self::RatePerSecond => Unit::PerSecond,
            Self::BytesPerConnection
            | Self::BytesPerSubscription
            | Self::ResidentBytesLoaded
            | Self::ResidentBytesStarted
            | Self::ResidentBytes => Unit::Bytes,
            Self::ServerCores | Self::Count => Unit::Plain,
        }
    }

    /// Which direction is good.
    pub fn better(self) -> Better {
        match self {
            Self::RatePerSecond => Better::Higher,
            Self::BareSyncNs
            | Self::ResidentBytes
            | Self::ServerCores
            | Self::LoadNsPerMessage
            | Self::Count => Better::Neither,
            _ => Better::Lower,
        }
    }

    /// Does it stand in the table of the comparison? The others stand among the details. A
    /// durable figure means nothing without the disk's own time beside it.
    pub fn is_compared(self) -> bool {
        self.better() != Better::Neither || self == Self::BareSyncNs
    }

    /// Does it say what one unit of work costs the server's CPU?
    pub fn is_cpu_cost(self) -> bool {
        matches!(self, Self::CpuNsPerMessage | Self::CpuNsPerDelivery | Self::CpuNsPerRequest)
    }
}

impl Unit {
    /// A number with three significant digits and its unit.
    pub fn show(self, value: f64) -> String {
        let (scale, suffix) = self.scale_for(value);
        three_digits(value / scale) + suffix
    }

    /// A median, and in parentheses the smallest and largest value in the same unit.
    pub fn show_spread(self, median: f64, min: f64, max: f64) -> String {
        let (scale, suffix) = self.scale_for(median);
        let digits = |value: f64| three_digits(value / scale);
        format!("{}{suffix} ({}–{})", digits(median), digits(min), digits(max))
    }

    /// The factor and the name of the unit in which `value` is best read.
    fn scale_for(self, value: f64) -> (f64, &'static str) {
        let scales: &[(f64, &str)] = match self {
            Self::Nanoseconds => &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")],
            Self::Bytes => &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B")],
            Self::PerSecond => &[(1e6, " M/s"), (1e3, " k/s"), (1.0, "/s")],
            Self::Plain => &[(1e6, " M"), (1e3, " k"), (1.0, "")],
        };
        // 999.6 shows as 1000: it belongs to the next unit.
        let fitting = scales.iter().find(|(scale, _)| value.abs() / scale >= 0.9995);
        fitting.or(scales.last()).copied().unwrap_or((1.0, ""))
    }
}

/// What one round of a scenario yielded for one server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The quantities.
    pub values: BTreeMap<Metric, f64>,
    /// Points of the latency curve: the percentile and its nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency_curve: Vec<(f64, f64)>,
}

impl Measurement {
    /// Notes a quantity.
    pub fn note(&mut self, metric: Metric, value: f64) {
        self.values.insert(metric, value);
    }

    /// Notes the percentiles of latencies in nanoseconds, and their curve.
    pub fn note_latencies(&mut self, latencies: &Histogram<u64>) {
        let at = |percentile| latencies.value_at_percentile(percentile) as f64;
        for (metric, percentile) in [
            (Metric::LatencyNsP50, 50.0),
            (Metric::LatencyNsP90, 90.0),
            (Metric::LatencyNsP99, 99.0),
            (Metric::LatencyNsP999, 99.9),
        ] {
            self.note(metric, at(percentile));
        }
        self.latency_curve =
            CURVE_PERCENTILES.map(|percentile| (percentile, at(percentile))).into();
    }
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let check = |unit: Unit, value, expected: &str| assert_eq!(unit.show(value), expected);
        check(Unit::Nanoseconds, 236.7, "237 ns");
        check(Unit::Nanoseconds, 45.04, "45.0 ns");
        check(Unit::Nanoseconds, 999.7, "1.00 µs");
        check(Unit::Nanoseconds, 1_124.0, "1.12 µs");
        check(Unit::Nanoseconds, 0.5, "0.50 ns");
        check(Unit::PerSecond, 1_688_000.0, "1.69 M/s");
        check(Unit::PerSecond, 940.0, "940/s");
        check(Unit::Bytes, 46_900.0, "46.9 kB");
        check(Unit::Bytes, -12.0, "-12.0 B");
        check(Unit::Plain, 1.234, "1.23");
        check(Unit::Plain, 10_000.0, "10.0 k");
        let spread = Unit::Nanoseconds.show_spread(1_050.0, 980.0, 21_000.0);
        assert_eq!(spread, "1.05 µs (0.98–21.0)");
    }
}
