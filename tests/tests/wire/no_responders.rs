//! The 503 that tells a requester at once that nobody listens.

use fulmar_tests::{RawClient, Server};
use serde_json::json;

use crate::Then::Open;
use crate::{check_on, plain};

#[test]
fn nobody_listening_is_answered_with_503() {
    let server = Server::start();
    for (subscription, publication, status) in [
        // The subject of the request, the sid of the requester's subscription to the reply.
        ("SUB inbox 9", "PUB nobody inbox 2\r\nhi\r\n", Some(("inbox", "9", "nobody"))),
        ("SUB inbox.* 9", "PUB a.b inbox.1 0\r\n\r\n", Some(("inbox.1", "9", "a.b"))),
        ("SUB _INBOX.> x", "PUB q _INBOX.a.b 0\r\n\r\n", Some(("_INBOX.a.b", "x", "q"))),
        (
            "SUB inbox 9",
            "HPUB nobody inbox 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            Some(("inbox", "9", "nobody")),
        ),
        // No reply wanted, or nowhere to send it.
        ("SUB inbox 9", "PUB nobody 2\r\nhi\r\n", None),
        ("SUB inbox 9", "PUB nobody other 2\r\nhi\r\n", None),
        // A queue subscription does not do.
        ("SUB inbox group 9", "PUB nobody inbox 2\r\nhi\r\n", None),
    ] {
        let mut client = requester(&server);
        client.send(format!("{subscription}\r\n"));
        let answer = status
            .map(|(reply, sid, subject)| no_responders(reply, sid, subject))
            .unwrap_or_default();
        check_on(&mut client, publication, answer, Open);
    }
}

#[test]
fn somebody_listening_is_not() {
    let server = Server::start();
    let mut listener = plain(&server);
    listener.send("SUB plain 1\r\nSUB queue group 2\r\nSUB wild.* 3\r\n");
    listener.ping();
    for subject in ["plain", "queue", "wild.card"] {
        let mut client = requester(&server);
        client.send("SUB inbox 9\r\n");
        check_on(&mut client, format!("PUB {subject} inbox 2\r\nhi\r\n"), "", Open);
    }
    for (subject, sid) in [("plain", 1), ("queue", 2), ("wild.card", 3)] {
        listener.expect_exact(format!("MSG {subject} {sid} inbox 2\r\nhi\r\n"));
    }
    // The moment it leaves.
    listener.send("UNSUB 1\r\n");
    listener.ping();
    let mut client = requester(&server);
    client.send("SUB inbox 9\r\n");
    let answer = no_responders("inbox", "9", "plain");
    check_on(&mut client, "PUB plain inbox 2\r\nhi\r\n", answer, Open);
}

#[test]
fn only_who_asked_for_it_gets_it() {
    let server = Server::start();
    for options in [
        json!({"no_responders": false, "protocol": 0}),
        json!({"headers": false, "protocol": 0, "no_responders": false}),
    ] {
        let mut client = server.connect_with(&options);
        client.send("SUB inbox 9\r\n");
        check_on(&mut client, "PUB nobody inbox 2\r\nhi\r\n", "", Open);
    }
    // Another connection that listens to the reply does not count.
    let mut listener = plain(&server);
    listener.send("SUB inbox 9\r\n");
    listener.ping();
    check_on(&mut requester(&server), "PUB nobody inbox 2\r\nhi\r\n", "", Open);
    listener.ping();
}

#[test]
fn own_subscription_without_echo_does_not_count_as_listening() {
    let server = Server::start();
    let mut client = server.connect_with(&json!({"echo": false, "protocol": 0}));
    client.send("SUB service 1\r\nSUB service group 2\r\nSUB inbox 9\r\n");
    let answer = no_responders("inbox", "9", "service");
    check_on(&mut client, "PUB service inbox 2\r\nhi\r\n", answer, Open);
    // With echo it does.
    let mut client = requester(&server);
    client.send("SUB service 1\r\nSUB inbox 9\r\n");
    let answer = "MSG service 1 inbox 2\r\nhi\r\n";
    check_on(&mut client, "PUB service inbox 2\r\nhi\r\n", answer, Open);
}

#[test]
fn it_does_not_count_as_a_delivery() {
    let server = Server::start();
    let mut client = requester(&server);
    let status = no_responders("inbox", "9", "nobody");
    client.send("SUB inbox 9\r\nUNSUB 9 2\r\n");
    for _ in 0..5 {
        check_on(&mut client, "PUB nobody inbox 0\r\n\r\n", &status, Open);
    }
    let message = "MSG inbox 9 1\r\nx\r\n";
    for answer in [message, message, ""] {
        check_on(&mut client, "PUB inbox 1\r\nx\r\n", answer, Open);
    }
    check_on(&mut client, "PUB nobody inbox 0\r\n\r\n", "", Open);
}

#[test]
fn it_comes_in_order_with_what_was_published_before() {
    let server = Server::start();
    let mut client = requester(&server);
    client.send("SUB inbox 9\r\nSUB foo 1\r\n");
    let publications = "PUB foo 1\r\na\r\nPUB nobody inbox 0\r\n\r\nPUB foo 1\r\nb\r\n";
    let status = no_responders("inbox", "9", "nobody");
    let answer = format!("MSG foo 1 1\r\na\r\n{status}MSG foo 1 1\r\nb\r\n");
    check_on(&mut client, publications, answer, Open);
}

/// HMSG of header bytes only: a status line without a description and the subject asked.
fn no_responders(reply: &str, sid: &str, subject: &str) -> String {
    let bytes = 32 + subject.len();
    format!(
        "HMSG {reply} {sid} {bytes} {bytes}\r\nNATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n\r\n"
    )
}

#[track_caller]
fn requester(server: &Server) -> RawClient {
    server.connect_with(&json!({"protocol": 0}))
}
