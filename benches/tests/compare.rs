//! Every scenario and the program itself, tiny, against a real server.
//!
//! The server is the program named by `FULMAR_BENCH_SERVER`; without that the workspace's own
//! `fulmar`, which is built first if need be. As long as that does not serve streams, their
//! scenarios run against `nats-server`, which must be found then. These tests say that the load, the counting and the
//! reports work, not how fast anything is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fulmar_benches::measure::{Measurement, Metric};
use fulmar_benches::report::Report;
use fulmar_benches::scenario::{self, Scenario, Size};
use fulmar_benches::server::{self, Launcher, Server, ServerSpec};
use fulmar_benches::store::{Store, Syncing};

const COMPARE: &str = env!("CARGO_BIN_EXE_compare");

/// The server that all tests use.
static SERVER: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(path) = std::env::var_os("FULMAR_BENCH_SERVER") {
        return path.into();
    }
    // Of the same profile as `compare`, whose folder is named after it.
    let folder = Path::new(COMPARE).parent().and_then(Path::file_name).expect("target/<profile>");
    let profile = if folder == "debug" { "dev".as_ref() } else { folder };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "fulmar", "--bin", "fulmar", "--profile"]);
    build.arg(profile);
    let status = build.status().expect("cargo runs, it started this test");
    assert!(status.success(), "fulmar does not build");
    Path::new(COMPARE).with_file_name("fulmar")
});

/// The server that the tests of streams use.
static STREAM_SERVER: LazyLock<PathBuf> = LazyLock::new(|| {
    let store = Store::create(&std::env::temp_dir(), Syncing::Relaxed).expect("a store");
    match Server::start_with_store(&spec(&SERVER), &Launcher::Direct, store) {
        Ok(_) => SERVER.clone(),
        Err(error) => server::nats_server()
            .unwrap_or_else(|| panic!("no nats-server, and no streams otherwise: {error:#}")),
    }
});

fn spec(path: &Path) -> ServerSpec {
    ServerSpec { label: "server".to_owned(), path: path.to_owned(), args: vec![] }
}

fn launcher() -> Launcher {
    Launcher::BoundToParent(COMPARE.into())
}

/// Runs `compare` to its end.
fn compare(args: &[&str]) -> Output {
    Command::new(COMPARE).args(args).output().expect("compare runs")
}

/// Polls until `condition` holds; for what happens in other processes.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Everything as small as it can be.
fn tiny() -> Size {
    Size {
        measure_time: Duration::from_millis(40),
        warm_up_time: Duration::from_millis(10),
        ahead_bytes_max: 100_000,
        connections: 50,
        subscriptions: 2_000,
        scale: 0.002,
    }
}

/// Runs `scenario` against a fresh `server`.
fn run(scenario: &Scenario, server: &Path, size: &Size) -> Measurement {
    let start = || scenario.start(&spec(server), &launcher(), &std::env::temp_dir());
    let mut server = scenario.needs_server().then(|| start().expect("the server starts"));
    scenario
        .run(server.as_mut(), size)
        .unwrap_or_else(|error| panic!("{}: {error:#}", scenario.name))
}

#[test]
fn every_scenario_runs_and_counts() {
    for scenario in scenario::ALL.iter().filter(|scenario| !scenario.needs_disk()) {
        let measurement = run(scenario, &SERVER, &tiny());
        assert!(measurement.values[&Metric::Count] > 0.0, "{}", scenario.name);
        assert!(measurement.values[&Metric::RatePerSecond] > 0.0, "{}", scenario.name);
        let has_latencies = measurement.values.contains_key(&Metric::LatencyNsP99);
        assert_eq!(has_latencies, scenario.name.starts_with("request"), "{}", scenario.name);
    }
}

#[test]
fn every_scenario_of_streams_runs_and_counts() {
    for scenario in scenario::ALL.iter().filter(|scenario| scenario.needs_disk()) {
        let name = scenario.name;
        let Measurement { values, .. } = run(scenario, &STREAM_SERVER, &tiny());
        assert!(values[&Metric::Count] > 0.0, "{name}");
        assert!(values[&Metric::RatePerSecond] > 0.0, "{name}");
        let check = |metric: Metric, expected: bool| {
            assert_eq!(values.contains_key(&metric), expected, "{name}: {metric:?}");
        };
        check(Metric::LatencyNsP50, name.starts_with("js-one"));
        check(Metric::LatencyNsBeyondSync, name.starts_with("js-one-always"));
        check(Metric::BareSyncNs, name.contains("default") || name.contains("always"));
        for metric in [
            Metric::TimeNsToReady,
            Metric::TimeNsToFirstAck,
            Metric::CpuNsOfStart,
            Metric::ResidentBytesLoaded,
            Metric::ResidentBytesStarted,
        ] {
            check(metric, name == "js-large");
        }
        check(Metric::TimeNsForAll, ["js-pull-filtered", "js-kv-watch"].contains(&name));
    }
}

#[test]
fn tables_and_plots_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let readme = folder.path().join("README");
    fs::write(&readme, "a\n<!-- compare:begin -->\n<!-- compare:end -->\nb\n").unwrap();
    let path = STREAM_SERVER.display();
    let output = compare(&[
        "--servers",
        &format!("one={path},two={path}"),
        "--scenarios",
        "1-1-16,request-1,idle,relay-16,js-default-128,js-one-always,js-large",
        "--rounds",
        "2",
        "--seconds",
        "0.03",
        "--connections",
        "20",
        "--scale",
        "0.001",
        "--out",
        folder.path().to_str().unwrap(),
        "--into",
        &format!("{}=compare", readme.display()),
    ]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("one / two"), "{printed}");

    let names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let file = |ending: &str| {
        let name = names.iter().find(|name| name.ends_with(ending));
        let name = name.unwrap_or_else(|| panic!("no *{ending} in {names:?}"));
        fs::read_to_string(folder.path().join(name)).unwrap()
    };
    let report: Report = serde_json::from_str(&file(".json")).unwrap();
    assert_eq!(report.labels(), ["one", "two"]);
    for scenario in &report.scenarios {
        for server in &scenario.servers {
            assert_eq!(server.rounds.iter().flatten().count(), 2, "{}", scenario.name);
        }
    }
    let page = file(".md");
    assert!(page.contains("1-1-16") && page.contains("-latency.svg"), "{page}");
    let readme = fs::read_to_string(readme).unwrap();
    assert!(readme.starts_with("a\n<!--") && readme.ends_with("-->\nb\n"), "{readme}");
    assert!(readme.contains("js-default-128") && readme.contains("one / two"), "{readme}");
    assert!(page.contains("at least 1.5x"), "{page}");
    for metric in [Metric::BareSyncNs, Metric::LatencyNsBeyondSync, Metric::TimeNsToReady] {
        let row = page.lines().find(|line| line.contains(metric.label()));
        assert!(row.is_some_and(|row| row.matches(" (").count() >= 2), "{metric:?}: {page}");
    }
    // Where this machine keeps its programs is not for the record.
    let server_folder = STREAM_SERVER.parent().unwrap().to_str().unwrap();
    assert!(!page.contains(server_folder), "{page}");
    for picture in ["-cpu.svg", "-rate.svg", "-memory.svg", "-latency.svg"] {
        let picture = file(picture);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }
}

#[test]
fn a_server_that_does_not_start_is_a_failed_round() {
    let output = compare(&[
        "--servers",
        "broken=/bin/false",
        "--scenarios",
        "1-1-16",
        "--quick",
        "--no-files",
    ]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("1-1-16, broken, round 1: broken did not start"), "{errors}");
}

#[test]
fn bad_arguments_are_one_clear_line() {
    let check = |args: &[&str], expected: &str| {
        let output = compare(args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(expected), "{errors}");
    };
    check(&["--servers", "x=/nowhere/server"], "there is no program /nowhere/server");
    check(&["--seconds", "0"], "between 0.01 and 60 seconds");
    check(&["--into", "/nowhere=x"], "cannot read /nowhere");
    check(&["--scale", "0"], "above 0 and at most 1");
    check(
        &["--servers", "a=/bin/false", "--scenarios", "js-always-128", "--store-base", "/nowhere"],
        "cannot look at the folder /nowhere",
    );
    check(&["--servers", "a=/bin/false", "--scenarios", "nonsense"], "no scenario \"nonsense\"");
}

#[test]
fn a_server_does_not_outlive_a_comparison_that_was_killed() {
    let mut comparison = Command::new(COMPARE)
        .args(["--servers", &format!("server={}", SERVER.display())])
        .args(["--scenarios", "1-1-16", "--seconds", "60", "--no-files"])
        .stderr(Stdio::null())
        .spawn()
        .expect("compare runs");
    let children = format!("/proc/{0}/task/{0}/children", comparison.id());
    let name = SERVER.file_stem().unwrap().to_str().unwrap()[..].to_owned();
    let mut server = String::new();
    eventually("the server runs", || {
        server = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
        let command = fs::read_to_string(format!("/proc/{server}/comm")).unwrap_or_default();
        !server.is_empty() && name.starts_with(command.trim())
    });
    comparison.kill().unwrap();
    comparison.wait().unwrap();
    eventually("the server is gone", || {
        let status = fs::read_to_string(format!("/proc/{server}/status")).unwrap_or_default();
        // What nobody waits for may stay behind as a zombie, which does nothing any more.
        status.is_empty() || status.contains("State:\tZ")
    });
}

#[test]
fn a_server_behind_a_wrapper_is_measured_and_ended_itself() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let wrapper = folder.path().join("wrapper");
    fs::write(&wrapper, format!("#!/bin/sh\n'{}' \"$@\"\nexit 0\n", SERVER.display())).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();

    let server = Server::start(&spec(&wrapper), &Launcher::Direct).expect("the server starts");
    let process = format!("/proc/{}/exe", server.meter().pid());
    assert_eq!(fs::read_link(&process).unwrap(), SERVER.canonicalize().unwrap());
    drop(server);
    eventually("the server is gone", || fs::read_link(&process).is_err());
}

#[test]
fn a_server_that_dies_is_reported_and_not_waited_for() {
    let mut server = Server::start(&spec(&SERVER), &launcher()).expect("the server starts");
    let pid = i32::try_from(server.meter().pid()).unwrap();
    let size = Size { measure_time: Duration::from_secs(15), ahead_bytes_max: 0, ..tiny() };
    let scenario = scenario::ALL.into_iter().find(|scenario| scenario.name == "1-1-128").unwrap();
    let begin = Instant::now();
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| scenario.run(Some(&mut server), &size));
        std::thread::park_timeout(Duration::from_millis(300));
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        running.join().unwrap().unwrap_err()
    });
    assert!(begin.elapsed() < size.measure_time, "{error:#}");
    assert!(format!("{error:#}").contains("the server closed the connection"), "{error:#}");
}
