//! PING and PONG, both ways, and what happens to those who do not answer.

use std::time::Instant;

use fulmar_tests::Server;

use crate::Then::Open;
use crate::{check, expect_reason, plain};

#[test]
fn ping_is_answered() {
    let server = Server::start();
    for input in
        ["PING\r\n", "ping\r\n", "PiNg\r\n", "PING\n", "PING  \t \r\n", "PING whatever\r\n"]
    {
        check(&server, input, "PONG\r\n", Open);
        // Without CONNECT too.
        let mut client = server.client();
        crate::check_on(&mut client, input, "PONG\r\n", Open);
    }
    check(&server, "PING\r\n".repeat(1_000), "PONG\r\n".repeat(1_000), Open);
}

#[test]
fn verbose_makes_no_difference() {
    let server = Server::start();
    let mut client = server.client();
    client.send("CONNECT {\"verbose\":true}\r\nPING\r\nPONG\r\nPING\r\n");
    client.expect_exact("+OK\r\nPONG\r\nPONG\r\n");
}

/// The server measures the round trip soon after CONNECT, long before the ping interval.
#[test]
fn first_ping_of_the_server_comes_after_about_two_seconds() {
    let server = Server::start();
    let mut client = plain(&server);
    client.leave_pings_alone();
    let start = Instant::now();
    client.expect_line("PING");
    let waited = start.elapsed().as_secs_f64();
    // 2 s and up to a fifth of that; the rest is for a slow machine.
    assert!((1.5..8.0).contains(&waited), "{waited} s");
    client.send("PONG\r\n");
    client.ping();
}

#[test]
fn silence_is_pinged_and_then_stale() {
    let server = Server::builder()
        .configuration("ping_interval: \"250ms\"\nping_max: 2")
        .monitoring()
        .start();
    let mut client = plain(&server);
    let mut faithful = plain(&server);
    let cid = client.cid();
    client.leave_pings_alone();
    for line in ["PING", "PING", "-ERR 'Stale Connection'"] {
        client.expect_line(line);
        // Whoever answers (as `ping` does, before anything else) stays.
        faithful.ping();
    }
    client.expect_closed();
    faithful.ping();
    expect_reason(&server, cid, "Stale Connection");
    assert_eq!(server.varz()["stale_connections"], 1);
}

#[test]
fn without_connect_too() {
    let server = Server::with_configuration("ping_interval: \"250ms\"\nping_max: 1");
    let mut client = server.client();
    client.leave_pings_alone();
    client.expect_exact("PING\r\n-ERR 'Stale Connection'\r\n");
    client.expect_closed();
}

#[test]
fn an_answer_resets_the_count() {
    let server = Server::with_configuration("ping_interval: \"150ms\"\nping_max: 1");
    let mut client = plain(&server);
    client.leave_pings_alone();
    for _ in 0..6 {
        client.expect_line("PING");
        client.send("PONG\r\n");
    }
    client.expect_exact("PING\r\n-ERR 'Stale Connection'\r\n");
    client.expect_closed();
}

/// Whoever sends PINGs himself is alive and needs none, once the round trip was measured.
#[test]
fn activity_makes_pings_unnecessary() {
    let server = Server::with_configuration("ping_interval: \"400ms\"\nping_max: 1");
    let mut client = plain(&server);
    client.leave_pings_alone();
    client.expect_line("PING");
    client.send("PONG\r\n");
    let start = Instant::now();
    while start.elapsed().as_millis() < 1_300 {
        client.send("PING\r\n");
        // Never PING: three intervals pass.
        client.expect_line("PONG");
    }
}
