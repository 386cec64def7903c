//! CONNECT: each option's effect, and what it refuses.

use fulmar_tests::Server;
use serde_json::json;

use crate::Then::{Closed, Open};
use crate::{check_on, plain};

#[test]
fn options_decide_what_is_answered() {
    let server = Server::start();
    // Every row: a fresh connection, the JSON of CONNECT and the lines before it is pinged.
    for (connect, answer) in [
        ("{}", "+OK\r\n"),
        ("{\"pedantic\":false}", "+OK\r\n"),
        ("{\"verbose\":true}", "+OK\r\n"),
        ("{\"verbose\":false}", ""),
        ("{\"verbose\":false,\"protocol\":0}", ""),
        ("{\"verbose\":false,\"unknown\":{\"field\":[1,2]}}", ""),
        ("  {  \"verbose\" : false }  ", ""),
        ("\t{\"verbose\":false}", ""),
        ("{\"verbose\":false,\"name\":\"\u{fc}ber \\\"quoted\\\"\"}", ""),
        ("{\"verbose\":false,\"tls_required\":true}", ""),
        ("{\"verbose\":false,\"headers\":true,\"no_responders\":true}", ""),
        // Nobody asked for credentials: they are not looked at.
        ("{\"verbose\":false,\"user\":\"ana\",\"pass\":\"x\"}", ""),
        ("{\"verbose\":false,\"auth_token\":\"x\"}", ""),
        ("{\"verbose\":false,\"jwt\":\"\",\"nkey\":\"\",\"sig\":\"\"}", ""),
    ] {
        let mut client = server.client();
        check_on(&mut client, format!("CONNECT {connect}\r\n"), answer, Open);
    }
}

#[test]
fn refusals_close() {
    let server = Server::start();
    for (connect, answer) in [
        ("{\"protocol\":2}", "-ERR 'invalid client protocol'\r\n"),
        ("{\"protocol\":-1}", "-ERR 'invalid client protocol'\r\n"),
        ("{\"no_responders\":true}", "-ERR 'no responders requires headers support'\r\n"),
        (
            "{\"no_responders\":true,\"headers\":false}",
            "-ERR 'no responders requires headers support'\r\n",
        ),
        ("{\"account\":\"A\"}", "-ERR 'Authorization Violation'\r\n"),
        ("{\"new_account\":true}", "-ERR 'Authorization Violation'\r\n"),
        // What is no JSON object of these types is a broken client: no answer.
        ("", ""),
        ("{", ""),
        ("hello", ""),
        ("[]", ""),
        ("{\"verbose\":false", ""),
        ("{\"verbose\":\"yes\"}", ""),
        ("{\"verbose\":1}", ""),
        ("{\"protocol\":\"1\"}", ""),
        ("{\"protocol\":1.5}", ""),
        ("{\"name\":1}", ""),
        ("{\"verbose\":false} trailing", ""),
    ] {
        let mut client = server.client();
        check_on(&mut client, format!("CONNECT {connect}\r\n"), answer, Closed);
    }
}

#[test]
fn null_leaves_an_option_as_it_is() {
    let server = Server::start();
    let mut client = server.client();
    check_on(&mut client, "CONNECT {\"verbose\":null,\"name\":null}\r\n", "+OK\r\n", Open);
}

#[test]
fn no_responders_needs_a_server_with_headers() {
    let server = Server::with_configuration("no_header_support: true");
    let mut client = server.client();
    let connect = "CONNECT {\"headers\":true,\"no_responders\":true}\r\n";
    let answer = "-ERR 'no responders requires headers support'\r\n";
    check_on(&mut client, connect, answer, Closed);
}

#[test]
fn second_connect_drops_the_subscriptions() {
    let server = Server::start();
    let mut client = server.client();
    client.send("CONNECT {\"verbose\":false}\r\nSUB foo 1\r\n");
    check_on(&mut client, "PUB foo 1\r\na\r\n", "MSG foo 1 1\r\na\r\n", Open);
    check_on(&mut client, "CONNECT {}\r\nPUB foo 1\r\nb\r\n", "", Open);
    // The same sid is free again.
    check_on(&mut client, "SUB foo 1\r\nPUB foo 1\r\nc\r\n", "MSG foo 1 1\r\nc\r\n", Open);
}

#[test]
fn second_connect_changes_only_the_options_it_names() {
    let server = Server::start();
    let mut client = server.client();
    client.send("CONNECT {\"verbose\":false,\"echo\":false}\r\n");
    check_on(&mut client, "CONNECT {\"pedantic\":false}\r\nSUB foo 1\r\n", "", Open);
    check_on(&mut client, "PUB foo 0\r\n\r\n", "", Open);
    check_on(&mut client, "CONNECT {\"echo\":true}\r\nSUB foo 1\r\n", "", Open);
    check_on(&mut client, "PUB foo 0\r\n\r\n", "MSG foo 1 0\r\n\r\n", Open);
    check_on(&mut client, "CONNECT {\"verbose\":true}\r\n", "+OK\r\n", Open);
    check_on(&mut client, "CONNECT {\"verbose\":false}\r\n", "", Open);
}

#[test]
fn echo_false_keeps_own_messages_away() {
    let server = Server::start();
    let mut silent = server.connect_with(&json!({"echo": false, "no_responders": false}));
    let mut other = plain(&server);
    for client in [&mut silent, &mut other] {
        client.send("SUB foo 1\r\nSUB foo group 2\r\nSUB * 3\r\n");
        client.ping();
    }
    check_on(&mut silent, "PUB foo 2\r\nhi\r\n", "", Open);
    other.ping_after_messages(&["1", "2", "3"], "hi");

    // From others it hears everything; the queue group picks one of the two.
    other.send("UNSUB 2\r\nPUB foo 2\r\nho\r\n");
    other.ping_after_messages(&["1", "3"], "ho");
    silent.ping_after_messages(&["1", "2", "3"], "ho");
}

/// What only this file needs of a connection.
trait Messages {
    fn ping_after_messages(&mut self, sids: &[&str], payload: &str);
}

impl Messages for fulmar_tests::RawClient {
    /// Exactly one message for each sid, in any order, and then nothing.
    #[track_caller]
    fn ping_after_messages(&mut self, sids: &[&str], payload: &str) {
        let mut seen: Vec<String> = Vec::new();
        for _ in sids {
            let message = self.message();
            assert_eq!(message.payload, payload.as_bytes());
            seen.push(message.sid);
        }
        seen.sort();
        assert_eq!(seen, sids);
        self.ping();
    }
}
