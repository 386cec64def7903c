//! What Fulmar shall reach in a scenario, beside nats-server in the same run.
//!
//! It knows scenarios by their names and says nothing about how they are measured. Only streams
//! have goals so far.

use crate::measure::{Better, Metric};
use crate::report::ScenarioResult;

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At least, or at most, as many times the figure of the reference.
    Ratio(Metric, f64),
    /// At least, or at most, this.
    Value(Metric, f64),
}

/// The goals of the scenario with this name.
pub fn of(scenario: &str) -> &'static [Goal] {
    use Goal::{Ratio, Value};
    use Metric::{
        CpuNsPerDelivery, CpuNsPerMessage, CpuNsPerRequest, LatencyNsBeyondSync, LatencyNsP50,
        RatePerSecond, ResidentBytesLoaded, ResidentBytesStarted, TimeNsForAll, TimeNsToReady,
    };
    match scenario {
        "js-relaxed-128" | "js-subjects" => {
            &[Ratio(RatePerSecond, 3.0), Ratio(CpuNsPerMessage, 0.25)]
        }
        "js-default-128" => &[Ratio(RatePerSecond, 1.5)],
        "js-always-128" | "js-always-1024" => &[Ratio(RatePerSecond, 20.0)],
        "js-memory-128" => &[Ratio(RatePerSecond, 3.0), Ratio(CpuNsPerMessage, 0.2)],
        "js-one-relaxed" | "js-one-relaxed-busy" => &[Ratio(LatencyNsP50, 1.0)],
        "js-one-always" | "js-one-always-busy" => {
            &[Ratio(LatencyNsP50, 0.7), Value(LatencyNsBeyondSync, 60_000.0)]
        }
        "js-pull" => &[Ratio(RatePerSecond, 3.0), Ratio(CpuNsPerDelivery, 0.25)],
        "js-pull-acks" => &[Ratio(RatePerSecond, 3.0)],
        "js-pull-filtered" => &[Ratio(TimeNsForAll, 0.1)],
        "js-large" => &[
            Ratio(RatePerSecond, 4.0),
            Ratio(CpuNsPerMessage, 0.2),
            Ratio(ResidentBytesLoaded, 0.25),
            Value(TimeNsToReady, 1e9),
            Ratio(ResidentBytesStarted, 0.25),
        ],
        "js-kv-put" => &[Ratio(CpuNsPerMessage, 0.5)],
        "js-kv-get" => &[Ratio(CpuNsPerRequest, 0.5)],
        "js-kv-watch" => &[Ratio(CpuNsPerDelivery, 0.5)],
        _ => &[],
    }
}

impl Goal {
    /// The figure that it is about.
    pub fn metric(self) -> Metric {
        match self {
            Self::Ratio(metric, _) | Self::Value(metric, _) => metric,
        }
    }

    /// The goal in words.
    pub fn text(self) -> String {
        let direction = match self.metric().better() {
            Better::Higher => "at least",
            Better::Lower | Better::Neither => "at most",
        };
        match self {
            Self::Ratio(_, ratio) => format!("{direction} {ratio}x"),
            Self::Value(metric, value) => format!("{direction} {}", metric.unit().show(value)),
        }
    }

    /// What the server with this index reached, and whether that is enough; by the medians.
    pub fn reached(self, scenario: &ScenarioResult, index: usize) -> Option<(String, bool)> {
        let metric = self.metric();
        let is_enough = |reached: f64, goal: f64| match metric.better() {
            Better::Higher => reached >= goal,
            Better::Lower | Better::Neither => reached <= goal,
        };
        match self {
            Self::Ratio(_, goal) => {
                let ratio = scenario.ratio(index, metric)?.median;
                Some((format!("{ratio:.2}x"), is_enough(ratio, goal)))
            }
            Self::Value(_, goal) => {
                let value = scenario.servers.get(index)?.spread(metric)?.median;
                Some((metric.unit().show(value), is_enough(value, goal)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measurement;
    use crate::report::ServerResult;
    use crate::scenario;

    #[test]
    fn goals_are_for_scenarios_that_there_are() {
        let count = scenario::ALL.iter().filter(|scenario| !of(scenario.name).is_empty()).count();
        assert_eq!(count, 17);
    }

    #[test]
    fn more_is_enough_of_a_rate_and_less_of_a_time() {
        let server = |rate: f64, time: f64| ServerResult {
            label: String::new(),
            rounds: vec![Ok(Measurement {
                values: [(Metric::RatePerSecond, rate), (Metric::TimeNsToReady, time)].into(),
                latency_curve: vec![],
            })],
        };
        let servers = vec![server(300.0, 2e9), server(100.0, 9e9)];
        let result = ScenarioResult { name: "x".into(), about: "x".into(), servers };
        let check = |goal: Goal, expected: (&str, bool)| {
            let (text, is_enough) = goal.reached(&result, 0).unwrap();
            assert_eq!((text.as_str(), is_enough), expected);
        };
        check(Goal::Ratio(Metric::RatePerSecond, 3.0), ("3.00x", true));
        check(Goal::Ratio(Metric::RatePerSecond, 3.1), ("3.00x", false));
        check(Goal::Value(Metric::TimeNsToReady, 1e9), ("2.00 s", false));
        check(Goal::Value(Metric::TimeNsToReady, 2e9), ("2.00 s", true));
        assert_eq!(Goal::Value(Metric::TimeNsToReady, 1e9).text(), "at most 1.00 s");
        assert_eq!(Goal::Ratio(Metric::RatePerSecond, 3.0).text(), "at least 3x");
        assert_eq!(Goal::Ratio(Metric::LatencyNsP50, 1.0).reached(&result, 0), None);
    }
}
