//! What a client sees on the wire, byte for byte, and what an operator sees around it.
//!
//! One executable with a file per noun: a single one links faster and uses both cores to the
//! end. Every test starts a server of its own, so they run in any order and beside each other.

mod authentication;
mod connect;
mod errors;
mod flags;
mod headers;
mod hostile;
mod info;
mod lame_duck;
mod limits;
mod monitoring;
mod no_responders;
mod order;
mod payload;
mod ping;
mod publish;
mod queue;
mod signals;
mod slow_consumer;
mod subscribe;
mod telnet;
mod unsubscribe;
mod verbose_pedantic;

use fulmar_tests::{RawClient, Server, eventually_some};
use serde_json::json;

/// What a connection is after the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The server goes on answering.
    Open,
    /// The server has closed it.
    Closed,
}

/// On a fresh connection that sent CONNECT: sends `input`, expects exactly `answer`, and then
/// either that the connection still answers a PING or that it was closed.
#[track_caller]
fn check(server: &Server, input: impl AsRef<[u8]>, answer: impl AsRef<[u8]>, then: Then) {
    check_on(&mut plain(server), input, answer, then);
}

/// As [`check`], on a connection that the test has prepared.
#[track_caller]
fn check_on(client: &mut RawClient, input: impl AsRef<[u8]>, answer: impl AsRef<[u8]>, then: Then) {
    let (input, answer) = (input.as_ref(), answer.as_ref());
    let _context = Context(input);
    client.send(input);
    // A PING after what must close would itself be a reason to answer.
    match then {
        Then::Open => {
            client.send("PING\r\n");
            client.expect_exact([answer, b"PONG\r\n"].concat());
        }
        Then::Closed => {
            client.expect_exact(answer);
            client.expect_closed();
        }
    }
}

/// The connection is among the closed ones of connz, or will be soon, with this reason.
#[track_caller]
fn expect_reason(server: &Server, cid: u64, reason: &str) {
    let connection = eventually_some("the closed connection in connz", || {
        server.connz(&format!("?state=closed&cid={cid}"))["connections"].get(0).cloned()
    });
    assert_eq!(connection["reason"], reason);
}

/// Tells which row of a table failed.
struct Context<'a>(&'a [u8]);

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let start = &self.0[..self.0.len().min(200)];
            eprintln!("--- after sending: {:?}", start.escape_ascii().to_string());
        }
    }
}

/// A connection with the fewest features: protocol 0, no headers, neither verbose nor pedantic.
#[track_caller]
fn plain(server: &Server) -> RawClient {
    server.connect_with(&json!({"protocol": 0, "headers": false, "no_responders": false}))
}
