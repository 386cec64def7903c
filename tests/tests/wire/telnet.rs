//! A person at a keyboard: no CONNECT, bare line feeds, lower case, one letter at a time.

use fulmar_tests::{RawClient, Server};

use crate::Then::{Closed, Open};
use crate::check_on;

#[test]
fn a_session_without_connect() {
    let server = Server::start();
    let mut person = server.client();
    // Verbose and pedantic are on.
    check_on(&mut person, "sub greet.* 1\n", "+OK\r\n", Open);
    check_on(
        &mut person,
        "pub greet.you 5\nhello\r\n",
        "+OK\r\nMSG greet.you 1 5\r\nhello\r\n",
        Open,
    );
    check_on(
        &mut person,
        "pub greet.* 0\n\r\n",
        "-ERR 'Invalid Publish Subject'\r\n+OK\r\nMSG greet.* 1 0\r\n\r\n",
        Open,
    );
    check_on(&mut person, "unsub 1\n", "+OK\r\n", Open);
    check_on(&mut person, "pub greet.you 2\r\nhi\r\n", "+OK\r\n", Open);
    // Connecting later takes effect then, and drops nothing.
    check_on(&mut person, "sub a 2\n", "+OK\r\n", Open);
    check_on(&mut person, "connect {\"verbose\":false}\n", "", Open);
    check_on(&mut person, "pub a 1\r\nx\r\n", "MSG a 2 1\r\nx\r\n", Open);
    check_on(&mut person, "hello?\n", "-ERR 'Unknown Protocol Operation'\r\n", Closed);
}

#[test]
fn no_second_info_without_connect() {
    let server = Server::start();
    let mut person = server.client();
    person.ping();
    person.ping();
}

/// The payload's own line end must be complete, as it is not looked at but counted.
#[test]
fn a_payload_with_a_bare_line_feed_is_not_understood() {
    let server = Server::start();
    let answer = "-ERR 'Unknown Protocol Operation'\r\n";
    check_on(&mut server.client(), "pub greet 5\nhello\n", answer, Closed);
}

#[test]
fn messages_from_programs_arrive() {
    let server = Server::start();
    let mut person = server.client();
    check_on(&mut person, "sub news 1\n", "+OK\r\n", Open);
    let mut program = server.connect();
    program.publish("news", "one");
    program.send("HPUB news 18 21\r\nNATS/1.0\r\nA: b\r\n\r\ntwo\r\n");
    // Who did not ask for headers does not see them.
    person.expect_exact("MSG news 1 3\r\none\r\nMSG news 1 3\r\ntwo\r\n");
}

/// As `printf '...' | nc host port` does.
#[test]
fn what_was_sent_before_the_end_still_counts() {
    let server = Server::start();
    let mut program = server.connect();
    program.send("SUB news 1\r\n");
    program.ping();
    for number in 0..50 {
        let mut person = server.client();
        person.send(format!("pub news {}\r\n{number}\r\n", number.to_string().len()));
        person.finish_sending();
        assert_eq!(program.message().payload, number.to_string().into_bytes());
        assert!(b"+OK\r\n".starts_with(&person.read_to_end()[..]));
    }
}

#[test]
fn one_byte_at_a_time() {
    let server = Server::start();
    let session = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB a.* group s1\r\n\
        PUB a.b re 11\r\nhello\r\nyou!\r\nHPUB a.c 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB s1 2\r\n\
        PUB a.d 0\r\n\r\nPING\r\n";
    let answer =
        b"MSG a.b s1 re 11\r\nhello\r\nyou!\r\nHMSG a.c s1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n";
    let cuts: Vec<usize> = (1..session.len()).collect();
    let mut client: RawClient = server.client();
    client.send_cut(session, &cuts);
    client.expect_exact(answer);
    client.send("PING\r\n");
    client.expect_exact("PONG\r\n");
}
