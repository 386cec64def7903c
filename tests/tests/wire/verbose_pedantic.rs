//! The two options for people and for tests of clients; both are on unless CONNECT says otherwise.

use fulmar_tests::{RawClient, Server};
use serde_json::json;

use crate::Then::{Closed, Open};
use crate::check_on;

#[test]
fn verbose_answers_every_operation_once() {
    let server = Server::start();
    let ok = "+OK\r\n";
    for (input, answer) in [
        ("SUB a 1\r\n", ok),
        ("SUB a group 1\r\n", ok),
        ("PUB a 1\r\nx\r\n", ok),
        ("UNSUB 1\r\n", ok),
        ("UNSUB 1 5\r\n", ok),
        ("CONNECT {\"headers\":true}\r\n", ok),
        ("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", ok),
        // Not for these.
        ("PING\r\n", "PONG\r\n"),
        ("PONG\r\n", ""),
        ("+OK\r\n", ""),
        ("INFO {}\r\n", ""),
        // A duplicate sid is ignored and acknowledged.
        ("SUB a 1\r\nSUB b 1\r\n", "+OK\r\n+OK\r\n"),
        // A refusal stands in for the acknowledgement.
        ("SUB a..b 1\r\n", "-ERR 'Invalid Subject'\r\n"),
    ] {
        let mut client = server.connect_with(&json!({"verbose": true, "protocol": 0}));
        check_on(&mut client, input, answer, Open);
    }
    for (input, answer) in
        [("X\r\n", "-ERR 'Unknown Protocol Operation'\r\n"), ("SUB a\r\n", ""), ("PUB a x\r\n", "")]
    {
        let mut client = server.connect_with(&json!({"verbose": true, "protocol": 0}));
        check_on(&mut client, input, answer, Closed);
    }
}

#[test]
fn verbose_acknowledges_before_it_delivers() {
    let server = Server::start();
    let mut client = server.connect_with(&json!({"verbose": true, "protocol": 0}));
    let input = "SUB a 1\r\nPUB a 1\r\nx\r\nPUB a 1\r\ny\r\nUNSUB 1\r\nPUB a 1\r\nz\r\n";
    let answer = "+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\n+OK\r\nMSG a 1 1\r\ny\r\n+OK\r\n+OK\r\n";
    check_on(&mut client, input, answer, Open);
}

#[test]
fn a_refused_publish_gets_only_the_error() {
    let server = Server::start();
    let mut client = server.connect_with(&json!({"verbose": true, "protocol": 0}));
    let answer = "-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\r\n";
    check_on(&mut client, "PUB $NRG.x 0\r\n\r\n", answer, Open);
}

#[test]
fn a_refused_subscription_gets_only_the_error() {
    let server = Server::with_configuration("max_subscriptions: 1\nmax_sub_tokens: 2");
    let mut client = server.connect_with(&json!({"verbose": true, "protocol": 0}));
    let tokens = "-ERR 'Permissions Violation for Subscription to \"a.b.c\", too many tokens'\r\n";
    check_on(&mut client, "SUB a.b.c 1\r\n", tokens, Open);
    let maximum = "+OK\r\n-ERR 'maximum subscriptions exceeded'\r\n";
    check_on(&mut client, "SUB a 1\r\nSUB b 2\r\n", maximum, Open);
}

#[test]
fn pedantic_names_invalid_publish_subjects_and_delivers_all_the_same() {
    let server = Server::start();
    let error = "-ERR 'Invalid Publish Subject'\r\n";
    for (subject, answer) in [
        ("a", ""),
        ("a.b.c", ""),
        ("a*.b>c", ""),
        ("*", error),
        ("a.*", error),
        ("a.>", error),
        (">", error),
        ("a.*.b", error),
        ("a.", error),
        (".a", error),
        ("a..b", error),
        (".", error),
    ] {
        let mut client = server.connect_with(&json!({"pedantic": true, "protocol": 0}));
        check_on(&mut client, format!("PUB {subject} 0\r\n\r\n"), answer, Open);
        let publication = format!("HPUB {subject} 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        check_on(&mut client, publication, answer, Open);
        // Not without the option.
        check_on(&mut server.connect(), format!("PUB {subject} 0\r\n\r\n"), "", Open);
    }
    let mut client = server.connect_with(&json!({"pedantic": true, "protocol": 0}));
    let answer = format!("{error}MSG a.* 1 1\r\nx\r\n");
    check_on(&mut client, "SUB a.> 1\r\nPUB a.* 1\r\nx\r\n", answer, Open);
}

#[test]
fn both_are_on_unless_connect_says_otherwise() {
    let server = Server::start();
    let mut client: RawClient = server.client();
    let input = "CONNECT {}\r\nPUB a.* 1\r\nx\r\n";
    let answer = "+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n";
    check_on(&mut client, input, answer, Open);
}
