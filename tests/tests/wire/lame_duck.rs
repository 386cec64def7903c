//! Lame duck mode: a server about to go tells its clients, takes no new ones and lets the others
//! leave one by one.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use fulmar_tests::{Page, Server, eventually};
use rustix::process::Signal;

use crate::plain;

/// The shortest that the configuration allows.
const CONFIGURATION: &str = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"";

#[test]
fn clients_are_told_and_closed_one_by_one() {
    let mut server = Server::builder().configuration(CONFIGURATION).monitoring().start();
    let mut told = server.connect();
    let mut old_fashioned = plain(&server);
    let mut unconnected = server.client();
    // It understands INFO at any time, but has not sent the PING that says so.
    let mut not_pinged = server.client();
    not_pinged.send("CONNECT {\"verbose\":true,\"protocol\":1}\r\n");
    not_pinged.expect_line("+OK");
    let cid = told.cid();
    assert_eq!(told.info().get("ldm"), None);

    let start = Instant::now();
    server.signal(Signal::USR2);
    let info = told.expect_info();
    assert_eq!(info["ldm"], true);
    assert_eq!(info["client_id"], cid);
    assert_eq!(info.get("connect_urls"), None, "there is no other server to go to");
    server.wait_for_log("Entering lame duck mode, stop accepting new clients");

    // Nobody gets in any more; those who are in go on.
    let address = server.address();
    eventually("new connections to be refused", || TcpStream::connect(address).is_err());
    told.send("SUB duck 1\r\n");
    told.ping();
    old_fashioned.publish("duck", "quack");
    told.expect_exact("MSG duck 1 5\r\nquack\r\n");
    old_fashioned.ping();
    let health = server.page("/healthz");
    assert_eq!(health.status, 500);
    assert!(health.body.contains("\"status\":\"error\""), "{}", health.body);

    // A second signal and a gentler one change nothing.
    server.signal(Signal::USR2);
    server.signal(Signal::TERM);
    told.ping();

    for client in [&mut told, &mut old_fashioned, &mut unconnected, &mut not_pinged] {
        client.expect_closed();
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "the grace period is over first");
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn without_clients_it_ends_at_once() {
    let mut server = Server::with_configuration(CONFIGURATION);
    server.signal(Signal::USR2);
    assert_eq!(server.wait_for_exit().code(), Some(0));
    assert!(server.log().contains("Entering lame duck mode"), "{}", server.log());
}

#[test]
fn the_hard_signal_ends_it_at_once() {
    let mut server = Server::builder()
        .configuration("lame_duck_duration: \"60s\"\nlame_duck_grace_period: \"50s\"")
        .monitoring()
        .start();
    let mut client = server.connect();
    server.signal(Signal::USR2);
    assert_eq!(client.expect_info()["ldm"], true);
    server.signal(Signal::INT);
    client.expect_closed();
    assert_eq!(server.wait_for_exit().code(), Some(0));
    let gone = Page::try_get(&server.monitoring_url("/varz"), Duration::from_secs(1));
    assert!(gone.is_err());
}
