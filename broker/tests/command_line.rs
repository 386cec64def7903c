//! The command line of the binary: what it prints, where, and its exit code, as far as no broker
//! starts.

#![expect(clippy::unwrap_used, reason = "a panic here is a failing test with a place")]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take; one that starts a broker would take for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a finished process left.
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the binary; each argument is a word.
fn fulmar(arguments: &[&str]) -> Finished {
    run(Path::new(env!("CARGO_BIN_EXE_fulmar")), arguments)
}

fn run(binary: &Path, arguments: &[&str]) -> Finished {
    finish(Command::new(binary).args(arguments), Stdio::piped())
}

/// Waits for the end of a process that has something to say and no broker to start.
fn finish(command: &mut Command, stdout: Stdio) -> Finished {
    let child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("it does not end: {command:?}");
    };
    output.unwrap().into()
}

/// It must end with exit code 1 and this one line on standard error.
#[track_caller]
fn check_error(arguments: &[&str], line: &str) {
    let finished = fulmar(arguments);
    assert_eq!(finished.stderr, format!("fulmar: {line}\n"), "{arguments:?}");
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{arguments:?}");
}

/// A directory with one configuration file, and the path of that.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.conf");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

/// The binary under the name that scripts start nats-server by.
fn nats_server(directory: &Path) -> PathBuf {
    let link = directory.join("nats-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fulmar"), &link).unwrap();
    link
}

#[test]
fn version() {
    for arguments in [["-v"], ["--version"], ["version"]] {
        let finished = fulmar(&arguments);
        assert_eq!(finished.stdout, "fulmar: v0.1.0 (serves NATS 2.15.1)\n");
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn under_the_name_of_nats_server() {
    let directory = tempfile::tempdir().unwrap();
    let link = nats_server(directory.path());
    let finished = run(&link, &["-v"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "nats-server: v2.15.1\n"));
    let finished = run(&link, &["foo"]);
    assert_eq!(finished.stderr, "nats-server: unrecognized command: \"foo\"\n");
    assert_eq!(finished.code, Some(1));
    assert!(run(&link, &["-h"]).stdout.starts_with("Usage: nats-server "));
}

#[test]
fn help() {
    for arguments in [["-h"], ["--help"], ["help"]] {
        let finished = fulmar(&arguments);
        assert!(finished.stdout.starts_with("Usage: fulmar "), "{}", finished.stdout);
        assert!(finished.stdout.contains("--client_advertise <host[:port]>"));
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let finished = finish(Command::new(env!("CARGO_BIN_EXE_fulmar")).arg("-h"), writer.into());
    let expected = "fulmar: cannot write to standard output: Broken pipe (os error 32)\n";
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(1), expected));
}

#[test]
fn mistakes_cost_one_line() {
    check_error(&["foo"], "unrecognized command: \"foo\"");
    check_error(&["--prot", "1"], "unknown flag: -prot (did you mean --port?); -h shows all flags");
    check_error(&["-p"], "flag needs a value: -p");
    check_error(&["-p", "x"], "invalid value \"x\" for flag -p: not a whole number");
    check_error(&["--tls"], "-tls: TLS is not served yet by this version");
    check_error(&["-t"], "-t checks a configuration file: name it with -c <file>");
    check_error(&["--pass", "x"], "a password needs a user");
    check_error(
        &["-c", "/nonexistent/x.conf"],
        "cannot read configuration file /nonexistent/x.conf: No such file or directory (os error 2)",
    );
    check_error(
        &["-l", "/nonexistent/log"],
        "cannot open log file /nonexistent/log: No such file or directory (os error 2)",
    );
    check_error(
        &["-r", "nowhere"],
        "\"nowhere\" is not the address of a syslog; write udp://host:port, tcp://host:port or unix:///path",
    );
}

#[test]
fn a_valid_file() {
    let (_directory, path) = file("port: 4222 # any\n");
    for arguments in [["-t", "-c", &path], ["-t", "--config", &path]] {
        let finished = fulmar(&arguments);
        let digest = "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e";
        let expected = format!("fulmar: configuration file {path} is valid ({digest})\n");
        assert_eq!(finished.stderr, expected);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));
    }
}

#[test]
fn all_errors_of_a_file_are_shown_at_their_places() {
    let (_directory, path) = file("prot: 4222\ndebug: maybe\ncluster { port: 1 }\n");
    let finished = fulmar(&["-c", &path]);
    let expected = format!(
        "fulmar: {path}:1:1: unknown field \"prot\", did you mean \"port\"?\n\
         \x20 1 | prot: 4222\n\
         \x20   | ^^^^\n\
         {path}:2:8: `debug` must be true or false, not a text\n\
         \x20 2 | debug: maybe\n\
         \x20   |        ^^^^^\n\
         {path}:3:1: `cluster` (clustering) is not served yet by this version\n\
         \x20 3 | cluster {{ port: 1 }}\n\
         \x20   | ^^^^^^^\n"
    );
    assert_eq!(finished.stderr, expected);
    assert_eq!(finished.code, Some(1));
}

#[test]
fn the_test_of_a_file_minds_warnings() {
    let (_directory, path) = file("ping_interval: 120");
    let finished = fulmar(&["-t", "-c", &path]);
    assert!(finished.stderr.contains(":1:16: warning: `ping_interval` is 120 seconds"));
    assert_eq!(finished.code, Some(1));
}

#[test]
fn variables_of_the_environment() {
    let (_directory, path) = file("port: $FULMAR_TEST_PORT, debug: $FULMAR_TEST_DEBUG");
    let check = |debug: &str| {
        finish(
            Command::new(env!("CARGO_BIN_EXE_fulmar"))
                .args(["-t", "-c", &path])
                .env("FULMAR_TEST_PORT", "4222")
                .env("FULMAR_TEST_DEBUG", debug),
            Stdio::piped(),
        )
    };
    assert_eq!(check("yes").code, Some(0));
    let refused = check("maybe");
    assert!(refused.stderr.contains(":1:33: `debug` must be true or false"), "{}", refused.stderr);
    let missing = fulmar(&["-t", "-c", &path]);
    assert_eq!(
        missing.stderr.matches("neither a key written above nor in the environment").count(),
        2
    );
}

#[test]
fn includes_are_relative_to_their_file() {
    let (directory, path) = file("include sub/a.conf");
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("sub/a.conf"), "include b.conf").unwrap();
    fs::write(directory.path().join("sub/b.conf"), "\nfoo: 1").unwrap();
    let finished = fulmar(&["-t", "-c", &path]);
    assert!(
        finished.stderr.contains("sub/b.conf:2:1: unknown field \"foo\""),
        "{}",
        finished.stderr
    );
}

#[test]
fn signals() {
    check_error(
        &["-sl", "quit=1=2"],
        "invalid signal \"quit=1=2\"; write for example quit or quit=<pid>",
    );
    check_error(
        &["--signal", "bad"],
        "unknown signal \"bad\"; known are stop, quit, term, reopen, reload and ldm",
    );
    check_error(
        &["-sl=quit=2147483647"],
        "signal \"quit\" 2147483647: No such process (os error 3)",
    );
    // Another process of our own gets it, named by its pid file.
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(&pid_file, child.id().to_string()).unwrap();
    let finished = fulmar(&[&format!("-sl=ldm={}", pid_file.display())]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert_eq!(child.wait().unwrap().signal(), Some(12));
}

#[test]
fn without_a_process_to_send_to() {
    // A hard link, so that neither the path nor the name is that of a broker of another test. It
    // must be on the file system of the binary.
    let binary = Path::new(env!("CARGO_BIN_EXE_fulmar"));
    let directory = tempfile::tempdir_in(binary.parent().unwrap()).unwrap();
    let copy = directory.path().join("lonely-broker");
    fs::hard_link(binary, &copy).unwrap();
    for request in ["quit", "quit=*"] {
        let finished = run(&copy, &["--signal", request]);
        assert_eq!(finished.stderr, "lonely-broker: no lonely-broker processes running\n");
        assert_eq!(finished.code, Some(1));
    }
}
