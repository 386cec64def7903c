//! Signals, exit codes, and the files a server leaves or takes along.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fulmar_tests::{Server, ServerBuilder, eventually, run};
use rustix::process::Signal;

#[test]
fn interrupt_and_terminate_end_it_with_success() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Server::start();
        let mut clients = [server.connect(), server.client()];
        server.signal(signal);
        for client in &mut clients {
            client.expect_closed();
        }
        assert_eq!(server.wait_for_exit().code(), Some(0), "{signal:?}");
        let log = server.log();
        assert!(
            log.contains("Initiating Shutdown...") && log.contains("Server Exiting.."),
            "{log}"
        );
    }
}

#[test]
fn the_ports_file_lists_the_addresses_and_goes_with_the_server() {
    let mut server = Server::builder().monitoring().start();
    let ports = server.ports().unwrap();
    assert_eq!(ports["nats"], serde_json::json!([server.url()]));
    let monitoring = server.monitoring_url("");
    assert_eq!(ports["monitoring"], serde_json::json!([monitoring]));
    assert_eq!(ports.get("cluster"), None);
    server.signal(Signal::TERM);
    server.wait_for_exit();
    assert_eq!(server.ports(), None);
}

#[test]
fn the_pid_file_has_the_pid() {
    for flag in ["-P", "--pid", "-pid"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let server = Server::builder().arguments([flag, text(&path)]).start();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), server.pid().to_string());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pid");
    let server = Server::with_configuration(format!("pid_file: \"{}\"", text(&path)));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), server.pid().to_string());
}

#[test]
fn user_signal_one_reopens_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let moved = directory.path().join("log.1");
    let server = Server::builder().arguments(["-l", text(&log)]).start();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    eventually("the log to say ready", || read(&log).contains("Server is ready"));
    assert_eq!(server.log(), "", "with a log file nothing goes to standard error");
    let mode = std::fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);

    std::fs::rename(&log, &moved).unwrap();
    server.signal(Signal::USR1);
    eventually("the log to be reopened", || read(&log).contains("File log re-opened"));
    assert!(!read(&log).contains("Server is ready"));
    server.connect().ping();
    server.signal(Signal::TERM);
    eventually("the end in the new log", || read(&log).contains("Server Exiting.."));
    assert!(!read(&moved).contains("Server Exiting.."));
}

#[test]
fn hang_up_reloads_the_configuration() {
    let mut server = Server::builder()
        .configuration("authorization { token: old }\nmax_payload: 1000")
        .monitoring()
        .start();
    let loaded = server.varz()["config_load_time"].clone();
    let digest = server.varz()["config_digest"].clone();
    let mut client = server.connect_with(&serde_json::json!({"auth_token": "old"}));
    server.rewrite_configuration("authorization { token: new }\nmax_payload: 2000");
    server.signal(Signal::HUP);
    server.wait_for_log("Reloaded server configuration");
    // Who is no longer authorised is told and closed.
    client.expect_error("Authorization Violation");
    client.expect_closed();
    let mut client = server.connect_with(&serde_json::json!({"auth_token": "new"}));
    assert_eq!(client.info()["max_payload"], 2000);
    client.ping();
    let varz = server.varz();
    assert_ne!(varz["config_load_time"], loaded);
    assert_ne!(varz["config_digest"], digest);
    assert_eq!(varz["max_payload"], 2000);
}

#[test]
fn debug_and_trace_can_be_switched_while_running() {
    let mut server = Server::with_configuration("debug: false\ntrace: false");
    let mut client = server.connect();
    client.ping();
    assert!(!server.log().contains("[TRC]") && !server.log().contains("[DBG]"));
    server.rewrite_configuration("debug: true\ntrace: true");
    server.signal(Signal::HUP);
    server.wait_for_log("Reloaded server configuration");
    client.ping();
    server.connect().ping();
    server.wait_for_log("Client connection created");
    server.wait_for_log(&format!("cid:{} - ", client.cid()));
    server.wait_for_log("<<- [PING]");
}

#[test]
fn a_broken_configuration_is_not_loaded() {
    let mut server = Server::builder().configuration("max_payload: 1000").monitoring().start();
    let mut client = server.connect();
    for broken in ["max_payload: \"many\"", "max_payload: 10\nnonsense: 1", "max_payload: {"] {
        let before = failures(&server);
        server.rewrite_configuration(broken);
        server.signal(Signal::HUP);
        eventually("the failure in the log", || failures(&server) > before);
        client.ping();
        assert_eq!(server.varz()["max_payload"], 1000);
    }
    // What cannot change while running fails as a whole.
    server.rewrite_configuration("max_payload: 2000\nserver_name: other");
    server.signal(Signal::HUP);
    server.wait_for_log("config reload not supported for");
    assert_eq!(server.varz()["max_payload"], 1000);
    client.ping();
}

fn failures(server: &Server) -> usize {
    server.log().matches("Failed to reload server configuration").count()
}

/// The binary sends signals itself: `--signal command=pid`.
#[test]
fn the_signal_flag_reaches_a_process() {
    let mut server = Server::builder().configuration("debug: false").start();
    let pid = server.pid();
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    std::fs::write(&pid_file, pid.to_string()).unwrap();

    for arguments in [
        vec!["--signal".to_owned(), format!("reload={pid}")],
        vec!["-sl".to_owned(), format!("reload={pid}")],
        vec![format!("--signal=reload={pid}")],
        vec![format!("-sl=reload={}", text(&pid_file))],
    ] {
        let before = reloads(&server);
        let finished = run(&arguments);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        eventually("the reload", || reloads(&server) > before);
    }

    let finished = run(["-sl", &format!("ldm={pid}")]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    server.wait_for_log("Entering lame duck mode");
    assert_eq!(server.wait_for_exit().code(), Some(0));

    for (command, code) in [("quit", Some(0)), ("term", Some(0)), ("stop", None)] {
        let mut server = Server::start();
        let finished = run(["--signal", &format!("{command}={}", server.pid())]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_eq!(server.wait_for_exit().code(), code, "{command}");
    }
}

fn reloads(server: &Server) -> usize {
    server.log().matches("Reloaded server configuration").count()
}

#[test]
fn a_killed_server_starts_again_on_its_port() {
    let mut server = ServerBuilder::default().restartable().start();
    let port = server.port();
    for _ in 0..3 {
        // Connections that were open leave the port half closed behind.
        let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
        server.restart();
        assert_eq!(server.port(), port);
        for client in &mut clients {
            client.expect_closed();
        }
        server.connect().ping();
    }
    let clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    server.signal(Signal::TERM);
    server.wait_for_exit();
    server.start_again();
    server.connect().ping();
    drop(clients);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}
