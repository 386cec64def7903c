//! Who may connect: user and password, tokens, and what the others are told.

use std::time::Instant;

use fulmar_tests::Server;
use serde_json::{Value, json};

use crate::Then::{Closed, Open};
use crate::{check_on, expect_reason};

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";

/// bcrypt of `secret`, cost 4. The version letter changes nothing for ASCII.
const HASH: &str = "$2a$04$230m0VB0TuYz4EYpjwj4kO1HnGhvE8xnGCFAanYhc4kCLtj6cd4eG";

#[test]
fn one_user() {
    let accepted = [json!({"user": "ana", "pass": "secret"})];
    let refused = [
        json!({}),
        json!({"user": "ana"}),
        json!({"user": "ana", "pass": ""}),
        json!({"user": "ana", "pass": "wrong"}),
        json!({"user": "ana", "pass": "secret "}),
        json!({"user": "Ana", "pass": "secret"}),
        json!({"user": "", "pass": "secret"}),
        json!({"pass": "secret"}),
        json!({"auth_token": "secret"}),
    ];
    for builder in [
        Server::builder().configuration("authorization { user: ana, password: secret }"),
        Server::builder().configuration("authorization: { user: \"ana\", pass: \"secret\" }"),
        Server::builder().arguments(["--user", "ana", "--pass", "secret"]),
        Server::builder().arguments(["-user=ana", "-pass=secret"]),
    ] {
        expect(&builder.start(), &accepted, &refused);
    }
}

#[test]
fn one_token() {
    let accepted = [json!({"auth_token": "secret"})];
    let refused = [
        json!({}),
        json!({"auth_token": ""}),
        json!({"auth_token": "wrong"}),
        json!({"user": "secret"}),
        json!({"pass": "secret"}),
    ];
    for builder in [
        Server::builder().configuration("authorization { token: secret }"),
        Server::builder().arguments(["--auth", "secret"]),
        Server::builder().arguments(["--auth=secret"]),
    ] {
        expect(&builder.start(), &accepted, &refused);
    }
}

#[test]
fn several_users() {
    let server = Server::with_configuration(
        "authorization {\n  users = [\n    {user: ana, password: one}\n    \
         {user: bob, password: two}\n  ]\n}",
    );
    expect(
        &server,
        &[json!({"user": "ana", "pass": "one"}), json!({"user": "bob", "pass": "two"})],
        &[json!({"user": "ana", "pass": "two"}), json!({"user": "eve", "pass": "one"}), json!({})],
    );
}

#[test]
fn hashed_passwords_and_tokens() {
    for hash in [HASH.to_owned(), HASH.replacen("2a", "2b", 1), HASH.replacen("2a", "2y", 1)] {
        let server = Server::with_configuration(format!(
            "authorization {{ users: [{{user: ana, password: \"{hash}\"}}] }}"
        ));
        let refused =
            [json!({"user": "ana", "pass": "wrong"}), json!({"user": "ana", "pass": hash})];
        expect(&server, &[json!({"user": "ana", "pass": "secret"})], &refused);
    }

    let server = Server::with_configuration(format!("authorization {{ token: \"{HASH}\" }}"));
    let refused = [json!({"auth_token": "wrong"}), json!({"auth_token": HASH})];
    expect(&server, &[json!({"auth_token": "secret"})], &refused);

    // Unquoted it is no variable.
    let server =
        Server::with_configuration(format!("authorization {{ user: ana, password: {HASH} }}"));
    expect(&server, &[json!({"user": "ana", "pass": "secret"})], &[json!({})]);
}

#[test]
fn who_presents_nothing_is_the_default_user() {
    let server = Server::builder()
        .configuration(
            "authorization { users: [{user: ana, password: one}, {user: bob, password: two}] }\n\
             no_auth_user: bob",
        )
        .monitoring()
        .start();
    expect(
        &server,
        &[json!({}), json!({"user": "ana", "pass": "one"}), json!({"user": "bob", "pass": "two"})],
        &[json!({"user": "ana", "pass": "two"}), json!({"user": "eve"})],
    );
    let client = server.connect();
    let connz = server.connz(&format!("?auth=1&cid={}", client.cid()));
    assert_eq!(connz["connections"][0]["authorized_user"], "bob");
    // Without CONNECT too.
    for (input, answer) in [
        ("PING\r\n", "PONG\r\n"),
        ("SUB a 1\r\nPUB a 0\r\n\r\n", "+OK\r\n+OK\r\nMSG a 1 0\r\n\r\n"),
    ] {
        let mut client = server.client();
        check_on(&mut client, input, answer, Open);
    }
}

#[test]
fn nothing_goes_before_connect() {
    let server = Server::with_configuration("authorization { user: ana, password: secret }");
    for input in [
        "PING\r\n",
        "PONG\r\n",
        "SUB a 1\r\n",
        "PUB a 0\r\n\r\n",
        "UNSUB 1\r\n",
        "+OK\r\n",
        "INFO {}\r\n",
        "X",
        "\r\n",
        "HPUB a 0 0\r\n\r\n",
    ] {
        let mut client = server.client();
        check_on(&mut client, input, VIOLATION, Closed);
    }
    // What begins like CONNECT is judged as a line first.
    check_on(&mut server.client(), "CX", "-ERR 'Unknown Protocol Operation'\r\n", Closed);
    check_on(&mut server.client(), "CONNECT {\r\n", "", Closed);
}

#[test]
fn a_second_connect_may_lose_the_right() {
    let server = Server::with_configuration("authorization { user: ana, password: secret }");
    let mut client = server.client();
    client.send("CONNECT {\"user\":\"ana\",\"pass\":\"secret\",\"verbose\":false}\r\n");
    client.ping();
    check_on(&mut client, "CONNECT {\"pass\":\"wrong\"}\r\n", VIOLATION, Closed);
}

#[test]
fn who_says_nothing_in_time_is_closed() {
    for (configuration, seconds) in [
        ("authorization { user: ana, password: secret, timeout: 0.4 }", 0.3..8.0),
        ("authorization { token: secret, timeout: \"300ms\" }", 0.2..8.0),
        // The default.
        ("authorization { token: secret }", 1.5..8.0),
    ] {
        let server = Server::builder().configuration(configuration).monitoring().start();
        let start = Instant::now();
        let mut silent = server.client();
        let cid = silent.cid();
        silent.expect_error("Authentication Timeout");
        silent.expect_closed();
        let waited = start.elapsed().as_secs_f64();
        assert!(seconds.contains(&waited), "{configuration}: {waited} s");
        expect_reason(&server, cid, "Authentication Timeout");
    }
}

#[test]
fn half_a_connect_is_silence() {
    let server = Server::with_configuration("authorization { token: secret, timeout: 0.4 }");
    let mut client = server.client();
    client.send("CONNECT {\"auth_token\":\"secret\"");
    client.expect_error("Authentication Timeout");
    client.expect_closed();
}

#[test]
fn who_was_accepted_is_not_timed() {
    let server = Server::with_configuration("authorization { token: secret, timeout: 0.2 }");
    let mut client = server.connect_with(&json!({"auth_token": "secret"}));
    let mut late = server.client();
    late.expect_error("Authentication Timeout");
    late.expect_closed();
    client.ping();
}

#[test]
fn failures_are_logged_without_the_secret() {
    let server = Server::with_configuration("authorization { user: ana, password: hidden_one }");
    let connect = "CONNECT {\"user\":\"eve\",\"pass\":\"hidden_two\"}\r\n";
    check_on(&mut server.client(), connect, VIOLATION, Closed);
    server.wait_for_log("authentication error");
    let log = server.log();
    assert!(log.contains("[ERR]") && log.contains("eve"), "{log}");
    assert!(!log.contains("hidden"), "{log}");
}

#[test]
fn secrets_do_not_show_in_traces() {
    let server = Server::builder()
        .configuration("authorization { user: ana, password: hidden_one }")
        .arguments(["-DV"])
        .start();
    let mut client = server.connect_with(&json!({"user": "ana", "pass": "hidden_one"}));
    client.ping();
    server.wait_for_log("[CONNECT {");
    assert!(!server.log().contains("hidden"), "{}", server.log());
}

#[track_caller]
fn expect(server: &Server, accepted: &[Value], refused: &[Value]) {
    for credentials in accepted {
        server.connect_with(credentials).ping();
    }
    for credentials in refused {
        let mut client = server.client();
        check_on(&mut client, format!("CONNECT {credentials}\r\n"), VIOLATION, Closed);
    }
}
