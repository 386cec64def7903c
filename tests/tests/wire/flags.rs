//! The command line: what starts, what is answered at once, and what is refused with one clear
//! line. And the log it leads to.

use std::net::TcpListener;

use fulmar_tests::{Finished, Server, is_fulmar, run, run_linked_as};
use serde_json::Value;

use crate::Then::Open;
use crate::check_on;

#[test]
fn version() {
    for flag in ["-v", "--v", "-version", "--version", "version"] {
        let finished = run([flag]);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{flag}");
        let expected = if is_fulmar() {
            format!("fulmar: v{} (serves NATS 2.15.1)\n", env!("CARGO_PKG_VERSION"))
        } else {
            "nats-server: v2.15.1\n".to_owned()
        };
        assert_eq!(finished.stdout, expected, "{flag}");
    }
}

#[test]
fn through_a_link_it_is_nats_server() {
    let finished = run_linked_as("nats-server", ["--version"]);
    assert_eq!(finished.stdout, "nats-server: v2.15.1\n");
    assert_eq!(finished.code, Some(0));
    let finished = run_linked_as("nats-server", ["foo"]);
    assert_eq!(finished.stderr, "nats-server: unrecognized command: \"foo\"\n");
    assert_eq!(finished.code, Some(1));
}

#[test]
fn help() {
    for flag in ["-h", "--h", "-help", "--help", "help"] {
        let finished = run([flag]);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{flag}");
        for word in [
            "Usage:",
            "--addr",
            "--net",
            "-p, --port",
            "--name",
            "--server_name",
            "-P, --pid",
            "-m, --http_port",
            "-c, --config",
            "-t ",
            "--signal",
            "--client_advertise",
            "--ports_file_dir",
            "-l, --log",
            "--logtime",
            "--logtime_utc",
            "-D, --debug",
            "-V, --trace",
            "-VV",
            "-DV",
            "--log_size_limit",
            "--max_traced_msg_len",
            "--user",
            "--pass",
            "--auth",
            "-h, --help",
            "-v, --version",
        ] {
            assert!(finished.stdout.contains(word), "{word} is missing:\n{}", finished.stdout);
        }
    }
}

/// Every way to write a flag: one or two dashes, with `=` or a space.
#[test]
fn flags_take_their_value_in_every_form() {
    for arguments in [
        &["-n", "gull"][..],
        &["-n=gull"],
        &["--n", "gull"],
        &["--n=gull"],
        &["-name", "gull"],
        &["-name=gull"],
        &["--name", "gull"],
        &["--name=gull"],
        &["-server_name", "gull"],
        &["--server_name=gull"],
        // The last one wins.
        &["-n", "tern", "--name", "gull"],
    ] {
        let server = Server::builder().arguments(arguments.iter().copied()).start();
        assert_eq!(server.client().info()["server_name"], "gull", "{arguments:?}");
    }
}

#[test]
fn host_and_port_and_their_other_names() {
    // The harness has said 127.0.0.1 and a free port; what comes later wins.
    for arguments in [
        &["-a", "127.0.0.1", "-p", "-1"][..],
        &["--addr", "127.0.0.1", "--port", "-1"],
        &["--addr=127.0.0.1", "--port=-1"],
        &["-net", "127.0.0.1", "-port=-1"],
        &["--net=127.0.0.1", "--p=-1"],
    ] {
        let server = Server::builder().arguments(arguments.iter().copied()).start();
        assert_eq!(server.client().info()["host"], "127.0.0.1");
    }
    for flag in ["-m", "--m", "-http_port", "--http_port"] {
        let server = Server::builder().arguments([flag, "-1"]).monitoring().start();
        assert_eq!(server.page("/healthz").status, 200);
    }
}

#[test]
fn flags_win_over_the_configuration() {
    let server = Server::builder()
        .configuration("server_name: tern\nhost: \"127.0.0.2\"\nport: 1\ndebug: false")
        .arguments(["--name", "gull", "-D"])
        .start();
    assert_eq!(server.client().info()["server_name"], "gull");
    assert_eq!(server.client().info()["host"], "127.0.0.1");
    server.wait_for_log("[DBG]");
}

#[test]
fn switches_can_be_switched_off() {
    let server =
        Server::builder().configuration("debug: true\ntrace: true").arguments(["-D=false"]).start();
    server.connect().ping();
    server.wait_for_log("[TRC]");
    assert!(!server.log().contains("[DBG]"), "{}", server.log());
}

/// Every refusal: exit code 1 and one line that says what is wrong.
#[test]
fn refusals() {
    for (arguments, words) in [
        (&["foo"][..], &["unrecognized command: \"foo\""][..]),
        (&["-p", "-1", "foo"], &["unrecognized command: \"foo\""]),
        (&["-c", "missing.conf"], &["missing.conf", "no such file or directory"]),
        (&["-t"], &["configuration file", "-c"]),
        (&["-n", "two words"], &["server name cannot contain spaces"]),
        (&["--signal", "nonsense=999999999"], &["unknown signal \"nonsense\""]),
        (&["--signal", "stop=abc"], &["abc"]),
        (&["-sl=reload=999999999"], &["999999999", "no such process"]),
        (&["-p", "70000"], &["70000", "port"]),
        (&["-p", "-1", "-a", "203.0.113.7"], &["203.0.113.7", "cannot assign requested address"]),
        (&["-p", "-1", "-a", "127.0.0.1", "-P", "missing/pid"], &["missing/pid", "no such file"]),
        (&["-p", "-1", "-a", "127.0.0.1", "-l", "missing/log"], &["missing/log", "no such file"]),
    ] {
        let finished = run(arguments);
        refused(&format!("{arguments:?}"), &finished, words);
        assert_eq!(finished.code, Some(1), "{arguments:?}");
    }
}

/// Flags that do not exist and values that do not fit. nats-server explains itself at length and
/// exits with 0; fulmar does as with every other refusal.
#[test]
fn unknown_flags_and_bad_values() {
    for (arguments, words) in [
        (&["--nonsense"][..], &["nonsense"][..]),
        (&["-nonsense=1"], &["nonsense"]),
        (&["---p", "1"], &["-p"]),
        (&["-p"], &["-p"]),
        (&["-p", "abc"], &["abc", "p"]),
        (&["--port=12x"], &["12x", "port"]),
        (&["--logtime=maybe"], &["maybe", "logtime"]),
        (&["-D=maybe"], &["maybe", "D"]),
        (&["--log_size_limit", "x"], &["x", "log_size_limit"]),
        (&["--max_traced_msg_len", "x"], &["x", "max_traced_msg_len"]),
    ] {
        let finished = run(arguments);
        refused(&format!("{arguments:?}"), &finished, words);
        let code = if is_fulmar() { 1 } else { 0 };
        assert_eq!(finished.code, Some(code), "{arguments:?}");
    }
}

#[track_caller]
fn refused(what: &str, finished: &Finished, words: &[&str]) {
    let complaint = finished.stderr.to_lowercase();
    for word in words {
        assert!(complaint.contains(&word.to_lowercase()), "{what}: {finished:?}");
    }
    if is_fulmar() {
        // What happened before belongs to the log. The line may be followed by an excerpt of the
        // configuration file, indented.
        let lines = finished.stderr.lines();
        let lines = lines.filter(|line| !line.contains("[INF]") && !line.starts_with(' '));
        assert_eq!(lines.count(), 1, "{what}: {finished:?}");
    }
}

#[test]
fn a_port_in_use_is_a_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let finished = run(["-a", "127.0.0.1", "-p", &port]);
    assert_eq!(finished.code, Some(1));
    refused("a taken port", &finished, &["[FTL]", &port, "address already in use"]);
    let finished = run(["-a", "127.0.0.1", "-p", "-1", "-m", &port]);
    assert_eq!(finished.code, Some(1));
    refused("a taken monitoring port", &finished, &["[FTL]", &port, "address already in use"]);
}

#[test]
fn configurations_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checked.conf");
    let path = path.to_str().unwrap();
    let check = |text: &str| {
        std::fs::write(path, text).unwrap();
        run(["-t", "-c", path])
    };
    for good in ["port: -1", "port = 4222;", "{ port 4222 }", "# nothing\nmax_payload: 1MB\n"] {
        let finished = check(good);
        assert_eq!(finished.code, Some(0), "{good}: {finished:?}");
        let said = format!("configuration file {path} is valid (sha256:");
        assert!(finished.stderr.contains(&said), "{finished:?}");
    }
    for (bad, words) in [
        ("port: -1\nfoo: bar", &["checked.conf:2:1", "unknown field \"foo\""][..]),
        ("", &["checked.conf", "empty"]),
        ("port: -1\nmax_payload: x {\n", &["expected", "new line"]),
        ("port: many", &["checked.conf:1"]),
        ("debug: maybe", &["checked.conf:1"]),
        ("max_payload: \"x\"", &["checked.conf:1"]),
        ("max_payload: 3GB", &["checked.conf:1", "max_payload"]),
        ("max_sub_tokens: 300", &["checked.conf:1", "max_sub_tokens"]),
        ("ping_interval: \"often\"", &["checked.conf:1", "ping_interval", "often"]),
        ("lame_duck_duration: \"29s\"", &["checked.conf:1", "lame_duck_duration", "30"]),
        ("authorization { user: ana, password: x, token: y }", &["checked.conf:1", "token"]),
        ("include \"missing.conf\"", &["missing.conf", "no such file or directory"]),
        ("port: $NO_SUCH_VARIABLE_ANYWHERE", &["NO_SUCH_VARIABLE_ANYWHERE"]),
        ("server_name: \"two words\"", &["server name cannot contain spaces"]),
        ("listen: \"127.0.0.1:abc\"", &["checked.conf:1", "abc"]),
    ] {
        let finished = check(bad);
        assert_eq!(finished.code, Some(1), "{bad}: {finished:?}");
        refused(bad, &finished, words);
    }
}

/// What is wrong only in combination is found when the server starts.
#[test]
fn contradictions_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("started.conf");
    let path = path.to_str().unwrap();
    for (bad, words) in [
        (
            "max_payload: 100\nmax_pending: 10",
            &["max_payload (100) cannot be higher than max_pending (10)"][..],
        ),
        ("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"40s\"", &["grace", "40s", "30s"]),
        (
            "authorization { users: [{user: ana, password: x}] }\nno_auth_user: eve",
            &["no_auth_user", "eve"],
        ),
    ] {
        std::fs::write(path, bad).unwrap();
        let finished = run(["-a", "127.0.0.1", "-p", "-1", "-c", path]);
        assert_eq!(finished.code, Some(1), "{bad}: {finished:?}");
        refused(bad, &finished, words);
    }
}

#[test]
fn log_lines_have_pid_time_and_label() {
    let server = Server::start();
    server.wait_for_log("Server is ready");
    let log = server.log();
    let ready = log.lines().last().unwrap();
    // [pid] 2026/01/02 15:04:05.000000 [INF] Server is ready
    let rest = ready.strip_prefix(&format!("[{}] ", server.pid())).unwrap();
    let (time, text) = rest.split_once(" [INF] ").unwrap();
    assert_eq!(text, "Server is ready");
    let shape: String =
        time.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    assert_eq!(shape, "0000/00/00 00:00:00.000000");
    let listening =
        format!("[INF] Listening for client connections on 127.0.0.1:{}", server.port());
    assert!(log.contains(&listening), "{log}");
    assert!(log.contains("Version:  2.15.1"), "{log}");
}

#[test]
fn log_time_can_be_left_out() {
    for argument in ["-T=false", "--logtime=false", "-logtime=0"] {
        let server = Server::builder().arguments([argument]).start();
        server.wait_for_log(&format!("[{}] [INF] Server is ready\n", server.pid()));
    }
    let server = Server::with_configuration("logtime: false");
    server.wait_for_log(&format!("[{}] [INF] Server is ready\n", server.pid()));
    let server = Server::builder().arguments(["--logtime_utc"]).start();
    server.wait_for_log("[INF] Server is ready\n");
}

#[test]
fn debug_and_trace_say_what_happens() {
    for arguments in [&["-DV"][..], &["-D", "-V"], &["--debug", "--trace"], &["-DVV"]] {
        let server = Server::builder().arguments(arguments.iter().copied()).start();
        let mut client = server.client();
        let cid = client.cid();
        client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB a.b g 1\r\nUNSUB 1 9\r\n");
        client.send("PUB a.b re 5\r\nhello\r\nHPUB a.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\nX");
        client.read_to_end();
        server.wait_for_log("Client connection closed: Protocol Violation");
        let log = server.log();
        assert!(log.contains(&format!("cid:{cid} - Client connection created")), "{log}");
        let mut rest = log.as_str();
        for trace in [
            "<<- [CONNECT {\"verbose\":false,\"headers\":true}]",
            "<<- [SUB a.b g 1]",
            "<<- [UNSUB 1 9]",
            "<<- [PUB a.b re 5]",
            "<<- MSG_PAYLOAD: [\"hello\"]",
            "->> [MSG a.b 1 re 5]",
            "->> MSG_PAYLOAD: [\"hello\"]",
            "<<- [HPUB a.b 12 14]",
            "<<- MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\nhi\"]",
            "->> [HMSG a.b 1 12 14]",
            "->> MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\nhi\"]",
            "<<- [PING]",
            "->> [PONG]",
            "->> [-ERR Unknown Protocol Operation]",
        ] {
            let start = rest.find(trace).unwrap_or_else(|| panic!("{trace} is missing in {log}"));
            let line = &rest[..start];
            let line = &line[line.rfind('\n').map_or(0, |end| end + 1)..];
            assert!(line.contains("[TRC]") && line.contains(&format!("cid:{cid} - ")), "{line}");
            rest = &rest[start..];
        }
    }
}

#[test]
fn traced_payloads_can_be_cut() {
    for builder in [
        Server::builder().arguments(["-V", "--max_traced_msg_len", "4"]),
        Server::builder().configuration("trace: true\nmax_traced_msg_len: 4"),
    ] {
        let server = builder.start();
        let mut client = server.client();
        check_on(&mut client, "PUB a 4\r\n1234\r\nPUB a 5\r\n12345\r\n", "+OK\r\n+OK\r\n", Open);
        server.wait_for_log("MSG_PAYLOAD: [\"1234\"]");
        server.wait_for_log("MSG_PAYLOAD: [\"1234...\"]");
    }
}

#[test]
fn log_files_rotate_by_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let server = Server::builder()
        .arguments(["-l", path.to_str().unwrap(), "--log_size_limit", "2000", "-DV"])
        .start();
    let mut client = server.connect();
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    fulmar_tests::eventually("the log to rotate", || {
        client.publish("a", "x".repeat(100));
        client.ping();
        files() > 2
    });
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        // log.YYYY.MM.DD.hh.mm.ss.nnnnnnnnn
        let digits = name.split('.').skip(1).all(|part| part.parse::<u32>().is_ok());
        assert!(name == "log" || (digits && name.split('.').count() == 8), "{name}");
    }
}

/// Only fulmar writes JSON; the flag comes with it.
#[test]
fn json_log_has_one_object_a_line() {
    if !is_fulmar() {
        return;
    }
    let server = Server::builder().arguments(["--log_format", "json"]).start();
    server.wait_for_log("Server is ready");
    for line in server.log().lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert!(object.is_object(), "{line}");
    }
}
