//! From rounds to medians, spreads and ratios, and those as tables.
//!
//! It knows numbers and names, not how they were measured.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::goal;
use crate::measure::{Better, Measurement, Metric};

/// Everything that a run found out; this is what the JSON file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// When, where and how it was measured.
    pub circumstances: Circumstances,
    /// The results, in the order of the scenarios.
    pub scenarios: Vec<ScenarioResult>,
}

/// When, where and how a run was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Circumstances {
    /// Date and time with the offset to UTC.
    pub date: String,
    /// Model of the processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub kernel: String,
    /// Load average over one minute before the run: above 0 others used the machine too.
    pub load_average: String,
    /// The command line, without folders.
    pub command: String,
    /// Revision of our sources.
    pub revision: String,
    /// The servers compared, and what each says for `-v`. The last one is the reference.
    pub versions: Vec<(String, String)>,
    /// Rounds of every scenario.
    pub rounds: u32,
    /// Seconds of every measurement.
    pub seconds: f64,
    /// Bytes that publishers could be ahead of their subscribers; 0 for no bound.
    pub ahead_bytes_max: usize,
}

/// All rounds of one scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// The scenario's short name.
    pub name: String,
    /// What it is, in one line.
    pub about: String,
    /// Per server, in the order of [`Circumstances::versions`]; a floor scenario has one entry.
    pub servers: Vec<ServerResult>,
}

/// All rounds of one scenario with one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerResult {
    /// Which server.
    pub label: String,
    /// What each round yielded, or why it failed.
    pub rounds: Vec<Result<Measurement, String>>,
}

/// The label of scenarios that measure no server.
pub const FLOOR_LABEL: &str = "relay";

/// Middle and ends of the values of all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The value in the middle; of an even number the mean of the two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of `values`, if there are any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { median, min, max })
    }
}

impl ServerResult {
    /// The values of `metric` in the rounds that succeeded.
    fn values(&self, metric: Metric) -> Vec<f64> {
        self.rounds
            .iter()
            .flatten()
            .filter_map(|round| round.values.get(&metric).copied())
            .collect()
    }

    /// The spread of `metric` over the rounds that succeeded.
    pub fn spread(&self, metric: Metric) -> Option<Spread> {
        Spread::of(&self.values(metric))
    }

    /// The latency curve: of each percentile the median over the rounds.
    pub fn latency_curve(&self) -> Vec<(f64, f64)> {
        let rounds: Vec<&Measurement> = self.rounds.iter().flatten().collect();
        let Some(first) = rounds.first() else { return Vec::new() };
        let median_of = |index: usize| {
            let values: Vec<f64> = rounds
                .iter()
                .filter_map(|round| round.latency_curve.get(index).map(|(_, value)| *value))
                .collect();
            Spread::of(&values).map(|spread| spread.median)
        };
        let percentiles = first.latency_curve.iter().map(|(percentile, _)| *percentile);
        percentiles.enumerate().filter_map(|(i, p)| Some((p, median_of(i)?))).collect()
    }
}

impl ScenarioResult {
    /// Did it measure servers, or the floor?
    pub fn is_floor(&self) -> bool {
        self.servers.iter().all(|server| server.label == FLOOR_LABEL)
    }

    /// The metrics that any round yielded, in their order.
    pub fn metrics(&self) -> Vec<Metric> {
        let rounds = self.servers.iter().flat_map(|server| server.rounds.iter().flatten());
        let mut metrics: Vec<Metric> =
            rounds.flat_map(|round| round.values.keys().copied()).collect();
        metrics.sort_unstable();
        metrics.dedup();
        metrics
    }

    /// How `metric` of the server `index` relates to that of the last server: the ratio of the
    /// medians, and the smallest and largest ratio within one round.
    pub fn ratio(&self, index: usize, metric: Metric) -> Option<Spread> {
        // Memory that did not grow, or a latency below that of the bare disk, is nothing to
        // divide by.
        let is_ratio = |ratio: &f64| ratio.is_finite() && *ratio >= 0.0;
        let (server, reference) = (self.servers.get(index)?, self.servers.last()?);
        let by_round: Vec<f64> = server
            .rounds
            .iter()
            .zip(&reference.rounds)
            .filter_map(|(ours, theirs)| {
                let ours = ours.as_ref().ok()?.values.get(&metric)?;
                Some(ours / theirs.as_ref().ok()?.values.get(&metric)?)
            })
            .filter(is_ratio)
            .collect();
        let Spread { min, max, .. } = Spread::of(&by_round)?;
        let median = server.spread(metric)?.median / reference.spread(metric)?.median;
        is_ratio(&median).then_some(Spread { median, min, max })
    }
}

impl Report {
    /// The labels of the servers; the last is the reference.
    pub fn labels(&self) -> Vec<&str> {
        self.circumstances.versions.iter().map(|(label, _)| label.as_str()).collect()
    }

    /// The rounds that failed, as lines for people.
    pub fn failures(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for scenario in &self.scenarios {
            for server in &scenario.servers {
                for (index, round) in server.rounds.iter().enumerate() {
                    if let Err(error) = round {
                        let (name, label, round) = (&scenario.name, &server.label, index + 1);
                        lines.push(format!("{name}, {label}, round {round}: {error}"));
                    }
                }
            }
        }
        lines
    }

    /// The comparison: medians, spreads and ratios.
    pub fn comparison_table(&self) -> Table {
        self.table(true)
    }

    /// What helps to understand the comparison.
    pub fn detail_table(&self) -> Table {
        self.table(false)
    }

    /// With ratios for the metrics that are compared, or the others without.
    fn table(&self, is_comparison: bool) -> Table {
        let wanted = |metric: &Metric| metric.is_compared() == is_comparison;
        let labels = self.labels();
        let compared = if is_comparison { labels.len().saturating_sub(1) } else { 0 };
        let mut header = vec!["scenario".to_owned(), "measure".to_owned()];
        header.extend(labels.iter().map(|label| (*label).to_owned()));
        header
            .extend((0..compared).map(|index| format!("{} / {}", labels[index], labels[compared])));
        let mut table = markdown_table(header);
        for scenario in self.scenarios.iter().filter(|scenario| !scenario.is_floor()) {
            let mut name = scenario.name.as_str();
            for metric in scenario.metrics().into_iter().filter(wanted) {
                let mut row = vec![std::mem::take(&mut name).to_owned(), metric.label().to_owned()];
                row.extend(scenario.servers.iter().map(|server| show(server, metric)));
                row.extend((0..compared).map(|index| match scenario.ratio(index, metric) {
                    // It says whether the disk was the same for both, not who is better.
                    Some(Spread { median, .. }) if metric.better() == Better::Neither => {
                        format!("{median:.2}x")
                    }
                    Some(Spread { median, min, max }) => {
                        format!("**{median:.2}x** ({min:.2}–{max:.2})")
                    }
                    None => "–".to_owned(),
                }));
                table.add_row(row);
            }
        }
        table
    }

    /// What was to be reached, and was or was not; nothing if no scenario has goals, or there is
    /// only one server.
    pub fn goal_table(&self) -> Option<Table> {
        let labels = self.labels();
        let (_, compared) = labels.split_last()?;
        let mut header = vec!["scenario".to_owned(), "measure".to_owned(), "goal".to_owned()];
        header.extend(compared.iter().map(|label| (*label).to_owned()));
        let mut table = markdown_table(header);
        let mut is_empty = true;
        for scenario in &self.scenarios {
            let mut name = scenario.name.as_str();
            for goal in goal::of(&scenario.name) {
                let mut row = vec![std::mem::take(&mut name).to_owned()];
                row.extend([goal.metric().label().to_owned(), goal.text()]);
                row.extend((0..compared.len()).map(|index| match goal.reached(scenario, index) {
                    Some((text, true)) => format!("{text}, reached"),
                    Some((text, false)) => format!("{text}, **missed**"),
                    None => "–".to_owned(),
                }));
                table.add_row(row);
                is_empty = false;
            }
        }
        (!is_empty && !compared.is_empty()).then_some(table)
    }

    /// The part of a page that is about this run: how it came about, with a link to the page of
    /// the run at `link`, and the comparison.
    pub fn section(&self, link: &str) -> String {
        let about = &self.circumstances;
        let date = about.date.split(' ').next().unwrap_or_default();
        let mut text = format!(
            "{date}, {} cores of {}, {}; {} rounds of {} s. The run with its plots is \
             [{link}]({link}).\n\n{}\n",
            about.cores,
            about.cpu,
            about.kernel,
            about.rounds,
            about.seconds,
            self.comparison_table()
        );
        if let Some(table) = self.floor_table() {
            let _ = write!(text, "\nA thread that only copies bytes between sockets:\n\n{table}\n");
        }
        text
    }

    /// The floor scenarios.
    pub fn floor_table(&self) -> Option<Table> {
        let floors: Vec<_> = self.scenarios.iter().filter(|scenario| scenario.is_floor()).collect();
        if floors.is_empty() {
            return None;
        }
        let mut table = markdown_table(vec!["floor".into(), "measure".into(), FLOOR_LABEL.into()]);
        for scenario in floors {
            let mut name = scenario.name.as_str();
            let metrics = scenario.metrics();
            for metric in metrics.into_iter().filter(|metric| metric.better() != Better::Neither) {
                let name = std::mem::take(&mut name).to_owned();
                let values = scenario.servers.iter().map(|server| show(server, metric)).collect();
                table.add_row([vec![name, metric.label().to_owned()], values].concat());
            }
        }
        Some(table)
    }

    /// The whole report as a Markdown page; `plots` are the names of pictures beside it.
    pub fn markdown(&self, plots: &[String]) -> String {
        let about = &self.circumstances;
        let mut page = String::new();
        let gigabytes = about.memory_bytes as f64 / f64::from(1 << 30);
        let mut line = |text: String| {
            page.push_str(&text);
            page.push('\n');
        };
        line(format!("# Comparison of {}, {}\n", self.labels().join(" and "), about.date));
        line(format!("- command: `{}`", about.command));
        line(format!("- machine: {}, {} cores, {gigabytes:.0} GiB", about.cpu, about.cores));
        line(format!("- system: {}; load average before: {}", about.kernel, about.load_average));
        line(format!("- sources: {}", about.revision));
        for (label, version) in &about.versions {
            line(format!("- {label}: {version}"));
        }
        let ahead = match about.ahead_bytes_max {
            0 => "as far ahead of subscribers as the server lets them".to_owned(),
            bytes => format!("at most {bytes} bytes ahead of subscribers"),
        };
        line(format!(
            "- {} rounds of {} s each, servers by turns; load and server share the cores; \
             publishers {ahead}\n",
            about.rounds, about.seconds
        ));
        line("Medians, in parentheses the smallest and the largest round.\n".to_owned());
        line(format!("{}\n", self.comparison_table()));
        if let Some(table) = self.floor_table() {
            line(
                "What the machine itself costs: a thread that only copies bytes from one socket \
                  to another.\n"
                    .to_owned(),
            );
            line(format!("{table}\n"));
        }
        if let Some(table) = self.goal_table() {
            line(format!("Goals, as the medians are:\n\n{table}\n"));
        }
        line(
            "Details: how far server and load kept the machine busy, and what was counted.\n"
                .to_owned(),
        );
        line(format!("{}\n", self.detail_table()));
        line("Scenarios:\n".to_owned());
        for scenario in &self.scenarios {
            line(format!("- {}: {}", scenario.name, scenario.about));
        }
        let failures = self.failures();
        if !failures.is_empty() {
            line("\nFailed rounds, not counted above:\n".to_owned());
            for failure in failures {
                line(format!("- {}", failure.replace('\n', " ")));
            }
        }
        for plot in plots {
            let _ = write!(page, "\n![{plot}]({plot})\n");
        }
        page
    }
}

fn show(server: &ServerResult, metric: Metric) -> String {
    let failed = server.rounds.iter().filter(|round| round.is_err()).count();
    let Some(Spread { median, min, max }) = server.spread(metric) else {
        return "failed".to_owned();
    };
    let mut text = metric.unit().show_spread(median, min, max);
    if failed > 0 {
        let _ = write!(text, ", {failed} failed");
    }
    text
}

fn markdown_table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    let columns = header.len();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(2).take(columns) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[(Metric, f64)]) -> Result<Measurement, String> {
        Ok(Measurement { values: values.iter().copied().collect(), latency_curve: vec![] })
    }

    fn server(label: &str, cpu: &[f64]) -> ServerResult {
        let rounds = cpu.iter().map(|value| measured(&[(Metric::CpuNsPerMessage, *value)]));
        ServerResult { label: label.to_owned(), rounds: rounds.collect() }
    }

    fn report(ours: &[f64], theirs: &[f64]) -> Report {
        Report {
            circumstances: Circumstances {
                date: "2026-01-02".into(),
                cpu: "a processor".into(),
                cores: 2,
                memory_bytes: 8 << 30,
                kernel: "Linux".into(),
                load_average: "0.00".into(),
                command: "compare".into(),
                revision: "abc".into(),
                versions: vec![("ours".into(), "1".into()), ("theirs".into(), "2".into())],
                rounds: 3,
                seconds: 1.0,
                ahead_bytes_max: 1000,
            },
            scenarios: vec![
                ScenarioResult {
                    name: "1-1".into(),
                    about: "one to one".into(),
                    servers: vec![server("ours", ours), server("theirs", theirs)],
                },
                ScenarioResult {
                    name: "relay-16".into(),
                    about: "the floor".into(),
                    servers: vec![server(FLOOR_LABEL, &[7.0])],
                },
            ],
        }
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        let check = |values: &[f64], median| assert_eq!(Spread::of(values).unwrap().median, median);
        check(&[3.0, 1.0, 2.0], 2.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5);
        check(&[7.0], 7.0);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_of_medians_with_the_range_within_rounds() {
        let report = report(&[100.0, 200.0, 150.0], &[1000.0, 1000.0, 500.0]);
        let ratio = report.scenarios[0].ratio(0, Metric::CpuNsPerMessage).unwrap();
        assert_eq!(ratio, Spread { median: 0.15, min: 0.1, max: 0.3 });
    }

    #[test]
    fn tables_say_what_was_found() {
        let report = report(&[100.0, 200.0, 150.0], &[1000.0, 1000.0, 500.0]);
        let text = report.comparison_table().to_string();
        let row = text.lines().last().unwrap();
        for expected in ["1-1", "150 ns (100–200)", "1.00 µs (0.50–1.00)", "**0.15x**"] {
            assert!(row.contains(expected), "{expected:?} in {text}");
        }
        assert!(report.floor_table().unwrap().to_string().contains("7.00 ns"));
    }

    #[test]
    fn goals_stand_where_there_are_some() {
        let mut report = report(&[100.0, 200.0, 150.0], &[1000.0; 3]);
        assert!(report.goal_table().is_none());
        report.scenarios[0].name = "js-relaxed-128".into();
        let text = report.goal_table().unwrap().to_string();
        assert!(text.contains("at most 0.25x") && text.contains("0.15x, reached"), "{text}");
        // There is no rate.
        assert!(text.contains("at least 3x") && text.contains(" – "), "{text}");
        assert!(report.markdown(&[]).contains("Goals"));
        report.circumstances.versions.remove(0);
        assert!(report.goal_table().is_none());
    }

    #[test]
    fn failed_rounds_are_named_and_not_counted() {
        let mut report = report(&[100.0, 200.0, 150.0], &[1000.0; 3]);
        report.scenarios[0].servers[0].rounds[1] = Err("slow consumer".into());
        assert_eq!(report.failures(), ["1-1, ours, round 2: slow consumer"]);
        assert!(report.comparison_table().to_string().contains("125 ns (100–150), 1 failed"));
        assert!(report.markdown(&[]).contains("Failed rounds"));
    }

    #[test]
    fn the_file_reads_back() {
        let report = report(&[1.0], &[2.0]);
        let text = serde_json::to_string(&report).unwrap();
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
