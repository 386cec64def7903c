//! HPUB and HMSG: the header block goes through untouched, or is cut off for those who cannot
//! read it.

use fulmar_tests::{RawClient, Server};
use serde_json::json;

use crate::Then::{Closed, Open};
use crate::{check_on, plain};

/// 12 bytes of status line and 8 of one field, and the empty line.
const HEADER: &str = "NATS/1.0\r\nAb: cd\r\n\r\n";

#[test]
fn header_block_arrives_as_sent() {
    let server = Server::start();
    for (publication, delivery) in [
        (format!("HPUB foo 20 20\r\n{HEADER}\r\n"), format!("HMSG foo 1 20 20\r\n{HEADER}\r\n")),
        (
            format!("HPUB foo 20 25\r\n{HEADER}hello\r\n"),
            format!("HMSG foo 1 20 25\r\n{HEADER}hello\r\n"),
        ),
        (
            format!("HPUB foo re 20 25\r\n{HEADER}hello\r\n"),
            format!("HMSG foo 1 re 20 25\r\n{HEADER}hello\r\n"),
        ),
        (
            format!("hpub\tfoo  re \t 20 25 \r\n{HEADER}hello\r\n"),
            format!("HMSG foo 1 re 20 25\r\n{HEADER}hello\r\n"),
        ),
        (
            format!("HPUB foo 20 25\n{HEADER}hello\r\n"),
            format!("HMSG foo 1 20 25\r\n{HEADER}hello\r\n"),
        ),
        // An empty block is still a message with headers.
        (
            "HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n".to_owned(),
            "HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n".to_owned(),
        ),
        // The server does not read the block: repeated fields, a status, no order, no syntax.
        (
            "HPUB foo 34 34\r\nNATS/1.0 100 Idle\r\na:1\r\nA: 1\r\n\r\n\r\n\r\n".to_owned(),
            "HMSG foo 1 34 34\r\nNATS/1.0 100 Idle\r\na:1\r\nA: 1\r\n\r\n\r\n\r\n".to_owned(),
        ),
        (
            "HPUB foo 5 10\r\nhellothere\r\n".to_owned(),
            "HMSG foo 1 5 10\r\nhellothere\r\n".to_owned(),
        ),
        // PUB stays MSG.
        ("PUB foo 2\r\nhi\r\n".to_owned(), "MSG foo 1 2\r\nhi\r\n".to_owned()),
    ] {
        let mut client = with_headers(&server);
        client.send("SUB foo 1\r\n");
        check_on(&mut client, publication, delivery, Open);
    }
}

#[test]
fn a_header_block_of_no_bytes_makes_it_a_plain_message() {
    let server = Server::start();
    let mut client = with_headers(&server);
    client.send("SUB foo 1\r\n");
    check_on(&mut client, "HPUB foo 0 2\r\nhi\r\n", "MSG foo 1 2\r\nhi\r\n", Open);
}

#[test]
fn sizes_that_do_not_fit_close_without_an_answer() {
    let server = Server::start();
    for line in [
        "HPUB foo 5",
        "HPUB foo",
        "HPUB foo re 12 14 more",
        "HPUB foo 15 14",
        "HPUB foo -1 14",
        "HPUB foo 12 -1",
        "HPUB foo a 14",
        "HPUB foo 12 b",
        "HPUB foo 0000000012 14",
        "HPUB foo 12 0000000014",
        "HPUB foo 18446744073709551628 14",
        "HPUB foo 12 18446744073709551630",
    ] {
        check_on(&mut with_headers(&server), format!("{line}\r\n"), "", Closed);
    }
}

#[test]
fn header_and_payload_count_together_against_the_limit() {
    let server = Server::with_configuration("max_payload: 30");
    let mut client = with_headers(&server);
    client.send("SUB foo 1\r\n");
    let payload = "0123456789";
    let publication = format!("HPUB foo 20 30\r\n{HEADER}{payload}\r\n");
    check_on(&mut client, publication, format!("HMSG foo 1 20 30\r\n{HEADER}{payload}\r\n"), Open);
    check_on(&mut client, "HPUB foo 20 31\r\n", "-ERR 'Maximum Payload Violation'\r\n", Closed);
}

#[test]
fn who_cannot_read_headers_gets_the_payload() {
    let server = Server::start();
    let mut publisher = with_headers(&server);
    let mut reader = with_headers(&server);
    let mut stranger = plain(&server);
    for client in [&mut reader, &mut stranger] {
        client.send("SUB foo 1\r\nSUB bar group 2\r\n");
        client.ping();
    }
    publisher.send(format!("HPUB foo re 20 25\r\n{HEADER}hello\r\n"));
    publisher.send(format!("HPUB foo 20 20\r\n{HEADER}\r\n"));
    reader.expect_exact(format!("HMSG foo 1 re 20 25\r\n{HEADER}hello\r\n"));
    reader.expect_exact(format!("HMSG foo 1 20 20\r\n{HEADER}\r\n"));
    stranger.expect_exact("MSG foo 1 re 5\r\nhello\r\nMSG foo 1 0\r\n\r\n");
    // In a queue group too.
    reader.send("UNSUB 2\r\n");
    reader.ping();
    publisher.send(format!("HPUB bar 20 25\r\n{HEADER}hello\r\n"));
    stranger.expect_exact("MSG bar 2 5\r\nhello\r\n");
    reader.ping();
    stranger.ping();
}

#[test]
fn without_the_option_hpub_closes() {
    let server = Server::start();
    let publication = format!("HPUB foo 20 25\r\n{HEADER}hello\r\n");
    for connect in
        ["CONNECT {\"verbose\":false}\r\n", "CONNECT {\"headers\":false,\"verbose\":false}\r\n", ""]
    {
        let mut client = server.client();
        client.send(connect);
        client.ping();
        check_on(&mut client, &publication, "", Closed);
    }
}

#[test]
fn a_server_without_headers_refuses_them() {
    let server = Server::with_configuration("no_header_support: true");
    let mut client = with_headers(&server);
    assert_eq!(client.info()["headers"], false);
    check_on(&mut client, format!("HPUB foo 20 25\r\n{HEADER}hello\r\n"), "", Closed);
}

#[test]
fn large_header_block_passes() {
    let server = Server::start();
    let mut client = with_headers(&server);
    let block = format!("NATS/1.0\r\nLong: {}\r\n\r\n", "v".repeat(100_000));
    client.send("SUB foo 1\r\n");
    let bytes = block.len();
    check_on(
        &mut client,
        format!("HPUB foo {bytes} {}\r\n{block}tail\r\n", bytes + 4),
        format!("HMSG foo 1 {bytes} {}\r\n{block}tail\r\n", bytes + 4),
        Open,
    );
}

#[track_caller]
fn with_headers(server: &Server) -> RawClient {
    server.connect_with(&json!({"protocol": 0, "no_responders": false}))
}
