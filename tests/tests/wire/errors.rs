//! What is no protocol at all, and how the server says so.

use fulmar_tests::Server;

use crate::Then::{Closed, Open};
use crate::{check, check_on, expect_reason};

const UNKNOWN: &str = "-ERR 'Unknown Protocol Operation'\r\n";

#[test]
fn unknown_operations_are_named_and_close() {
    let server = Server::start();
    for input in [
        // What is no verb.
        "HELLO\r\n",
        "X",
        "\r\n",
        "\n",
        " PING\r\n",
        "\tPING\r\n",
        "\0",
        "\u{fc}",
        "{}\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PUSH",
        "PIN\r\n",
        "PONK",
        "SUBSCRIBE a 1\r\n",
        "PUBLISH a 0\r\n",
        "CONNEXION",
        "UNSUBSCRIBE",
        "HPUT",
        "HELP\r\n",
        "QUIT\r\n",
        "EXIT",
        // A verb without arguments.
        "PUB\r\n",
        "HPUB\r\n",
        "SUB\r\n",
        "UNSUB\r\n",
        "PUB\n",
        "SUB\n",
        // What a server or another server says.
        "MSG a 1 0\r\n\r\n",
        "HMSX",
        "RS+ a\r\n",
        "RS- a\r\n",
        "LS+ a\r\n",
        "LS- a\r\n",
        "A+ a\r\n",
        "A- a\r\n",
        "RMSG a b 0\r\n\r\n",
        "LMSG a b 0\r\n\r\n",
        "+NO\r\n",
        "-OK\r\n",
    ] {
        check(&server, input, UNKNOWN, Closed);
    }
}

#[test]
fn a_tls_hello_is_no_protocol() {
    let server = Server::start();
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let mut client = server.client();
    check_on(&mut client, hello, UNKNOWN, Closed);
}

#[test]
fn harmless_lines_of_servers_are_ignored() {
    let server = Server::start();
    for input in [
        "+OK\r\n",
        "+ok\r\n",
        "+OK and more\r\n",
        "+OK\n",
        "INFO {}\r\n",
        "info {}\r\n",
        "INFO {\"server_id\":\"x\",\"unknown\":1}\r\n",
        "PONG\r\n",
        "pong\r\n",
        "PONG and more\r\n",
        "PONG\r\nPONG\r\nPONG\r\n",
    ] {
        check(&server, input, "", Open);
    }
}

#[test]
fn broken_lines_close_without_an_answer() {
    let server = Server::start();
    for input in [
        "CONNECTED\r\n",
        "INFO {\r\n",
        "INFO x\r\n",
        "-ERR 'something'\r\n",
        "-ERR x\r\n",
        "-err 'x'\r\n",
    ] {
        check(&server, input, "", Closed);
    }
}

/// All that was sent before is answered, nothing after.
#[test]
fn answers_come_in_order_before_the_end() {
    let server = Server::start();
    let input = "PING\r\nSUB a 1\r\nPUB a 1\r\nx\r\nSUB .bad 2\r\nPING\r\nBAD\r\nPING\r\n";
    let answer = format!("PONG\r\nMSG a 1 1\r\nx\r\n-ERR 'Invalid Subject'\r\nPONG\r\n{UNKNOWN}");
    check(&server, input, answer, Closed);
}

#[test]
fn verbs_cut_anywhere_are_verbs() {
    let server = Server::start();
    let bytes = b"SUB a 1\r\nPUB a re 3\r\nabc\r\nPONG\r\nUNSUB 1\r\n+OK\r\n";
    for cut in 1..bytes.len() {
        let mut client = crate::plain(&server);
        client.send_cut(bytes, &[cut]);
        check_on(&mut client, "", "MSG a 1 re 3\r\nabc\r\n", Open);
    }
}

#[test]
fn closed_connections_are_counted_with_their_reason() {
    let server = Server::builder().monitoring().configuration("max_payload: 10").start();
    for (input, answer, reason) in [
        ("BAD\r\n", UNKNOWN, "Protocol Violation"),
        ("PUB a b c d\r\n", "", "Protocol Violation"),
        ("CONNECT {\r\n", "", "Protocol Violation"),
        ("-ERR 'x'\r\n", "", "Parse Error"),
        (
            "PUB a 11\r\n",
            "-ERR 'Maximum Payload Violation'\r\n",
            "Maximum Message Payload Exceeded",
        ),
        (
            "CONNECT {\"protocol\":9}\r\n",
            "-ERR 'invalid client protocol'\r\n",
            "Bad Client Protocol Version",
        ),
        (
            "CONNECT {\"no_responders\":true}\r\n",
            "-ERR 'no responders requires headers support'\r\n",
            "No Responders Requires Headers",
        ),
        (
            "CONNECT {\"account\":\"x\"}\r\n",
            "-ERR 'Authorization Violation'\r\n",
            "Authentication Failure",
        ),
    ] {
        let mut client = server.client();
        let cid = client.cid();
        check_on(&mut client, input, answer, Closed);
        expect_reason(&server, cid, reason);
    }
    let line = format!("SUB {} 1\r\n", "y".repeat(5_000));
    let mut client = server.client();
    let cid = client.cid();
    check_on(&mut client, line, "-ERR 'maximum control line exceeded'\r\n", Closed);
    expect_reason(&server, cid, "Maximum Control Line Exceeded");

    let client = server.client();
    let cid = client.cid();
    drop(client);
    expect_reason(&server, cid, "Client Closed");
}
