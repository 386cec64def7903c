//! Pictures of a report: SVG written by hand, a few shapes do not need a drawing library.
//!
//! Bars are drawn relative to the reference server, because the scenarios differ by orders of
//! magnitude; the absolute figure stands at the end of each bar.

use std::fmt::Write as _;

use crate::measure::Metric;
use crate::report::{Report, ScenarioResult, Spread};

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 24.0;
/// Where bars and curves begin; scenario names stand left of it.
const PLOT_LEFT: f64 = 150.0;
/// Room for the figure at the end of a bar.
const FIGURE_WIDTH: f64 = 170.0;
const BAR_HEIGHT: f64 = 15.0;
const GROUP_GAP: f64 = 14.0;
const HEADER_HEIGHT: f64 = 78.0;

const INK: &str = "#24292f";
const FAINT_INK: &str = "#6e7781";
const GRID: &str = "#d8dee4";
/// The last server is the reference and gets the calm colour.
const REFERENCE_COLOR: &str = "#8c9bab";
const COLORS: [&str; 4] = ["#d9480f", "#1971c2", "#2f9e44", "#9c36b5"];

/// The pictures of a report: for each a short name and the SVG text. Those without data are
/// left out.
pub fn pictures(report: &Report) -> Vec<(&'static str, String)> {
    let cpu = bars(report, "Server CPU per message, less is better", Metric::is_cpu_cost);
    let rate = bars(report, "Rate on shared cores, more is better", |metric| {
        metric == Metric::RatePerSecond
    });
    let memory = bars(report, "Resident memory, less is better", |metric| {
        matches!(
            metric,
            Metric::BytesPerConnection | Metric::BytesPerSubscription | Metric::ResidentBytesLoaded
        )
    });
    let all = [("cpu", cpu), ("rate", rate), ("memory", memory), ("latency", latencies(report))];
    all.into_iter().filter_map(|(name, picture)| Some((name, picture?))).collect()
}

/// One group of bars per scenario that has a wanted metric.
fn bars(report: &Report, title: &str, wanted: fn(Metric) -> bool) -> Option<String> {
    let groups: Vec<(&ScenarioResult, Metric)> = report
        .scenarios
        .iter()
        .filter(|scenario| !scenario.is_floor())
        .filter_map(|scenario| {
            Some((scenario, scenario.metrics().into_iter().find(|m| wanted(*m))?))
        })
        .collect();
    if groups.is_empty() {
        return None;
    }
    let labels = report.labels();
    let group_height = BAR_HEIGHT * labels.len() as f64 + GROUP_GAP;
    let plot_height = group_height * groups.len() as f64;
    let mut svg = Svg::new(WIDTH, HEADER_HEIGHT + plot_height + 2.0 * MARGIN);
    header(&mut svg, report, title);

    let relative_max = groups
        .iter()
        .flat_map(|(scenario, metric)| relative_spreads(scenario, *metric))
        .flatten()
        .map(|spread| spread.max)
        .fold(1.0, f64::max);
    let scale = (WIDTH - PLOT_LEFT - FIGURE_WIDTH) / relative_max;
    let (top, bottom) = (HEADER_HEIGHT, HEADER_HEIGHT + plot_height);
    for tick in ticks(relative_max) {
        let x = PLOT_LEFT + tick * scale;
        svg.line((x, top), (x, bottom), GRID, 1.0);
        svg.text((x, bottom + 16.0), 11.0, FAINT_INK, "middle", &format!("{tick}x"));
    }
    for (index, (scenario, metric)) in groups.iter().enumerate() {
        let group_top = top + index as f64 * group_height + GROUP_GAP / 2.0;
        let middle = group_top + (group_height - GROUP_GAP) / 2.0;
        svg.text((PLOT_LEFT - 10.0, middle + 4.0), 13.0, INK, "end", &scenario.name);
        for (server, relative) in relative_spreads(scenario, *metric).into_iter().enumerate() {
            let bar_top = group_top + server as f64 * BAR_HEIGHT;
            let Some(Spread { median, min, max }) = relative else {
                svg.text((PLOT_LEFT + 4.0, bar_top + 11.5), 11.0, FAINT_INK, "start", "failed");
                continue;
            };
            let color = color(server, labels.len());
            svg.bar((PLOT_LEFT, bar_top + 1.0), (median * scale, BAR_HEIGHT - 2.0), color);
            let center = bar_top + BAR_HEIGHT / 2.0;
            let at = |value: f64| (PLOT_LEFT + value * scale, center);
            svg.line(at(min), at(max), INK, 1.0);
            let figure = scenario.servers[server].spread(*metric);
            let figure = figure.map(|spread| metric.unit().show(spread.median)).unwrap_or_default();
            let text = if server + 1 < labels.len() {
                let ratio = scenario.ratio(server, *metric);
                let ratio = ratio.map(|spread| format!("  ({:.2}x)", spread.median));
                figure + &ratio.unwrap_or_default()
            } else {
                figure
            };
            let x = PLOT_LEFT + max.max(median) * scale + 6.0;
            svg.text((x, bar_top + 11.5), 11.0, INK, "start", &text);
        }
    }
    svg.line((PLOT_LEFT, top), (PLOT_LEFT, bottom), INK, 1.0);
    Some(svg.finish())
}

/// Each server's spread over the median of the reference.
fn relative_spreads(scenario: &ScenarioResult, metric: Metric) -> Vec<Option<Spread>> {
    let spreads = || scenario.servers.iter().map(|server| server.spread(metric));
    // Where the reference has no figure, or none to divide by (memory that did not grow), the
    // first server that has one is the measure.
    let is_measure = |median: &f64| *median > 0.0;
    let medians = || spreads().flatten().map(|spread| spread.median);
    let reference = spreads().next_back().flatten().map(|spread| spread.median);
    let measure = reference.filter(is_measure).or_else(|| medians().find(is_measure));
    let measure = measure.unwrap_or(1.0);
    let relative = |spread: Spread| Spread {
        median: spread.median / measure,
        min: spread.min / measure,
        max: spread.max / measure,
    };
    spreads().map(|spread| spread.map(relative)).collect()
}

/// Latency over percentiles, one panel per scenario, both axes logarithmic.
fn latencies(report: &Report) -> Option<String> {
    const PANEL_HEIGHT: f64 = 250.0;
    const PANEL_GAP: f64 = 70.0;
    let panels: Vec<&ScenarioResult> = report
        .scenarios
        .iter()
        .filter(|scenario| scenario.servers.iter().any(|server| !server.latency_curve().is_empty()))
        .collect();
    if panels.is_empty() {
        return None;
    }
    let labels = report.labels();
    let height = HEADER_HEIGHT + panels.len() as f64 * (PANEL_HEIGHT + PANEL_GAP);
    let mut svg = Svg::new(WIDTH, height);
    header(&mut svg, report, "Latency of request and reply, less is better");

    let left = 90.0;
    let right = WIDTH - MARGIN - 20.0;
    // 99.99 % is the fourth decade of 1 / (1 - p).
    let x_of = |percentile: f64| {
        let decades = -(1.0 - percentile / 100.0).max(1e-4).log10();
        left + decades / 4.0 * (right - left)
    };
    for (index, scenario) in panels.iter().enumerate() {
        let top = HEADER_HEIGHT + index as f64 * (PANEL_HEIGHT + PANEL_GAP) + 20.0;
        let bottom = top + PANEL_HEIGHT;
        let curves: Vec<Vec<(f64, f64)>> =
            scenario.servers.iter().map(super::report::ServerResult::latency_curve).collect();
        let values = || curves.iter().flatten().map(|(_, value)| value.max(1.0).log10());
        let low = values().fold(f64::INFINITY, f64::min).floor();
        let high = values().fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
        let y_of =
            |value: f64| bottom - (value.max(1.0).log10() - low) / (high - low) * PANEL_HEIGHT;

        svg.text((left, top - 8.0), 13.0, INK, "start", &scenario.about);
        for percentile in [0.0, 50.0, 90.0, 99.0, 99.9, 99.99] {
            let x = x_of(percentile);
            svg.line((x, top), (x, bottom), GRID, 1.0);
            svg.text((x, bottom + 16.0), 11.0, FAINT_INK, "middle", &format!("{percentile} %"));
        }
        let mut decade = 10f64.powf(low);
        while decade <= 10f64.powf(high) * 1.001 {
            for step in [1.0, 2.0, 5.0] {
                let value = decade * step;
                if value > 10f64.powf(high) * 1.001 {
                    break;
                }
                let y = y_of(value);
                svg.line((left, y), (right, y), GRID, 1.0);
                let text =
                    Metric::LatencyNsP50.unit().show(value).replace(".00", "").replace(".0", "");
                svg.text((left - 8.0, y + 4.0), 11.0, FAINT_INK, "end", &text);
            }
            decade *= 10.0;
        }
        for (server, curve) in curves.iter().enumerate() {
            let points: Vec<_> = curve.iter().map(|(p, value)| (x_of(*p), y_of(*value))).collect();
            svg.curve(&points, color(server, labels.len()));
        }
    }
    Some(svg.finish())
}

fn header(svg: &mut Svg, report: &Report, title: &str) {
    svg.text((MARGIN, 30.0), 17.0, INK, "start", title);
    let about = &report.circumstances;
    let line = format!(
        "{}, {} cores, medians of {} rounds, {}",
        about.cpu, about.cores, about.rounds, about.date
    );
    svg.text((MARGIN, 48.0), 11.0, FAINT_INK, "start", &line);
    let labels = report.labels();
    let mut x = MARGIN;
    for (index, (label, version)) in about.versions.iter().enumerate() {
        svg.bar((x, 57.0), (11.0, 11.0), color(index, labels.len()));
        // The first word like v1.2.3; programs print their names and more around it.
        let is_version = |word: &&str| {
            word.strip_prefix('v')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let version = version.split_ascii_whitespace().find(is_version).unwrap_or_default();
        let text = format!("{label} {version}");
        svg.text((x + 16.0, 67.0), 12.0, INK, "start", &text);
        x += 46.0 + 7.2 * text.len() as f64;
    }
}

fn color(index: usize, count: usize) -> &'static str {
    if index + 1 == count { REFERENCE_COLOR } else { COLORS[index % COLORS.len()] }
}

/// Three to seven round marks from zero to `max`.
fn ticks(max: f64) -> Vec<f64> {
    let steps = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    let step = steps.into_iter().find(|step| max / step <= 6.0).unwrap_or(1000.0);
    (0..=6).map(|index| f64::from(index) * step).filter(|tick| *tick <= max).collect()
}

/// An SVG document in the making.
struct Svg {
    text: String,
}

impl Svg {
    fn new(width: f64, height: f64) -> Self {
        let mut text = String::new();
        let _ = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" \
             font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n"
        );
        Self { text }
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), color: &str, width: f64) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.text,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{color}\" stroke-width=\"{width}\"/>"
        );
    }

    fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
        let width = width.max(1.0);
        let _ = writeln!(
            self.text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             rx=\"2\" fill=\"{color}\"/>"
        );
    }

    fn curve(&mut self, points: &[(f64, f64)], color: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        let _ = writeln!(
            self.text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2.5\" \
             stroke-linejoin=\"round\"/>",
            path.trim_end()
        );
        for (x, y) in points {
            let _ = writeln!(
                self.text,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
            );
        }
    }

    fn text(&mut self, (x, y): (f64, f64), size: f64, color: &str, anchor: &str, content: &str) {
        let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{color}\" \
             text-anchor=\"{anchor}\">{content}</text>"
        );
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(ticks(1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(3.7), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(ticks(11.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn a_reference_of_nothing_still_gives_a_picture() {
        use crate::measure::Measurement;
        use crate::report::ServerResult;
        let server = |value: f64| ServerResult {
            label: String::new(),
            rounds: vec![Ok(Measurement {
                values: [(Metric::BytesPerConnection, value)].into(),
                latency_curve: vec![],
            })],
        };
        let check = |values: [f64; 2], expected: [f64; 2]| {
            let servers = values.map(server).into();
            let scenario = ScenarioResult { name: "x".into(), about: "x".into(), servers };
            let relative = relative_spreads(&scenario, Metric::BytesPerConnection);
            let medians: Vec<f64> = relative.iter().flatten().map(|spread| spread.median).collect();
            assert_eq!(medians, expected);
        };
        check([50.0, 100.0], [0.5, 1.0]);
        check([50.0, 0.0], [1.0, 0.0]);
        check([0.0, 0.0], [0.0, 0.0]);
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text((0.0, 0.0), 10.0, INK, "start", "a<b & c>d");
        assert!(svg.finish().contains("a&lt;b &amp; c&gt;d"));
    }
}
