//! PUB and what subscribers get of it.

use fulmar_tests::Server;
use serde_json::json;

use crate::Then::{Closed, Open};
use crate::{check, check_on, plain};

#[test]
fn message_arrives_as_sent() {
    let server = Server::start();
    for (subscription, publication, delivery) in [
        ("SUB foo 1", "PUB foo 5\r\nhello\r\n", "MSG foo 1 5\r\nhello\r\n"),
        ("SUB foo 1", "PUB foo bar 5\r\nhello\r\n", "MSG foo 1 bar 5\r\nhello\r\n"),
        ("SUB foo 1", "PUB foo 0\r\n\r\n", "MSG foo 1 0\r\n\r\n"),
        ("SUB foo 1", "PUB foo bar 0\r\n\r\n", "MSG foo 1 bar 0\r\n\r\n"),
        ("SUB foo.bar.baz 1", "PUB foo.bar.baz 1\r\nx\r\n", "MSG foo.bar.baz 1 1\r\nx\r\n"),
        // Verbs in any case, arguments between any run of spaces and tabs.
        ("SUB foo 1", "pub foo 2\r\nok\r\n", "MSG foo 1 2\r\nok\r\n"),
        ("SUB foo 1", "pUb foo 2\r\nok\r\n", "MSG foo 1 2\r\nok\r\n"),
        ("SUB foo 1", "PUB\tfoo\t2\r\nok\r\n", "MSG foo 1 2\r\nok\r\n"),
        ("SUB foo 1", "PUB  \t foo \t bar   2 \t\r\nok\r\n", "MSG foo 1 bar 2\r\nok\r\n"),
        // The control line may end with a bare LF.
        ("SUB foo 1", "PUB foo 2\nok\r\n", "MSG foo 1 2\r\nok\r\n"),
        // What looks like protocol inside a payload is payload.
        ("SUB foo 1", "PUB foo 2\r\n\r\n\r\n", "MSG foo 1 2\r\n\r\n\r\n"),
        ("SUB foo 1", "PUB foo 6\r\nPING\r\n\r\n", "MSG foo 1 6\r\nPING\r\n\r\n"),
        ("SUB foo 1", "PUB foo 12\r\nPUB foo 0\r\n\r\r\n", "MSG foo 1 12\r\nPUB foo 0\r\n\r\r\n"),
        // Subjects are bytes.
        (
            "SUB \u{fc}ber.\u{65e5}\u{672c} 1",
            "PUB \u{fc}ber.\u{65e5}\u{672c} 1\r\nx\r\n",
            "MSG \u{fc}ber.\u{65e5}\u{672c} 1 1\r\nx\r\n",
        ),
        (
            "SUB $weird.!#%&'()+,-/:;<=?@[]^_`{|}~ 1",
            "PUB $weird.!#%&'()+,-/:;<=?@[]^_`{|}~ 1\r\nx\r\n",
            "MSG $weird.!#%&'()+,-/:;<=?@[]^_`{|}~ 1 1\r\nx\r\n",
        ),
        // The subject case matters.
        ("SUB foo 1", "PUB Foo 1\r\nx\r\n", ""),
    ] {
        check(&server, format!("{subscription}\r\n{publication}"), delivery, Open);
    }
}

#[test]
fn all_bytes_pass_through() {
    let server = Server::start();
    let mut client = plain(&server);
    let payload: Vec<u8> = (0..=255).collect();
    client.send("SUB bytes 1\r\n");
    client.publish("bytes", &payload);
    client.expect_exact([b"MSG bytes 1 256\r\n", &payload[..], b"\r\n"].concat());
    client.ping();
}

#[test]
fn broken_utf8_in_a_subject_passes_through() {
    let server = Server::start();
    for subject in [&b"\xff\xfe"[..], b"a.\x80.b", b"\xc3.\xa9", b"caf\xc3", b"\x01\x02"] {
        let mut client = plain(&server);
        client.send([b"SUB ", subject, b" 1\r\nPUB ", subject, b" 1\r\nx\r\nPING\r\n"].concat());
        client.expect_exact([b"MSG ", subject, b" 1 1\r\nx\r\nPONG\r\n"].concat());
    }
}

#[test]
fn wildcards_in_a_published_subject_are_letters() {
    let server = Server::start();
    for (filter, subject, delivered) in [
        ("foo.*", "foo.*", true),
        ("foo.>", "foo.*", true),
        ("foo.*", "foo.>", true),
        ("foo.>", "foo.>", true),
        (">", "*", true),
        (">", ">", true),
        ("foo.bar", "foo.*", false),
        ("foo.bar", "foo.>", false),
        ("foo.bar", ">", false),
    ] {
        let answer = if delivered { format!("MSG {subject} 1 1\r\nx\r\n") } else { String::new() };
        let input = format!("SUB {filter} 1\r\nPUB {subject} 1\r\nx\r\n");
        check(&server, input, answer, Open);
    }
}

#[test]
fn a_published_subject_is_not_validated() {
    let server = Server::start();
    for subject in [".", "..", "foo.", ".foo", "foo..bar"] {
        // Nobody can subscribe to exactly these; nothing complains about them either.
        check(&server, format!("PUB {subject} 1\r\nx\r\n"), "", Open);
    }
}

#[test]
fn sizes_that_are_none_close_without_an_answer() {
    let server = Server::start();
    for arguments in [
        "foo",
        "foo bar",
        "foo -1",
        "foo +1",
        "foo 1.0",
        "foo 0x1",
        "foo 1a",
        "foo a",
        "foo 1_0",
        "foo \u{661}",
        "foo 0000000005",
        "foo 1000000000",
        "foo 4294967296",
        "foo 4294967301",
        "foo 9223372036854775808",
        "foo 18446744073709551616",
        "foo 18446744073709551621",
        "foo 99999999999999999999999999999999999999",
        "foo bar -5",
        "foo bar baz 5",
        "foo bar baz qux 5",
        "5",
    ] {
        check(&server, format!("PUB {arguments}\r\n"), "", Closed);
    }
}

/// Whether the leading zeros come back is left to the server.
#[test]
fn sizes_have_up_to_nine_digits() {
    let server = Server::start();
    let mut client = plain(&server);
    client.send("SUB foo 1\r\n");
    for size in ["2", "02", "000000002"] {
        client.send(format!("PUB foo {size}\r\nok\r\n"));
        assert_eq!(client.message().payload, b"ok", "{size}");
    }
    client.ping();
}

#[test]
fn sizes_above_the_limit_close_before_the_payload() {
    let server = Server::start();
    for arguments in ["foo 1048577", "foo 2147483", "foo 999999999", "foo bar 1048577"] {
        let answer = "-ERR 'Maximum Payload Violation'\r\n";
        check(&server, format!("PUB {arguments}\r\n"), answer, Closed);
    }
}

#[test]
fn payload_must_be_followed_by_crlf() {
    let server = Server::start();
    for publication in [
        "PUB foo 5\r\nhello world\r\n",
        "PUB foo 5\r\nhello\n\n",
        "PUB foo 5\r\nhelloPUB foo 5\r\nhello\r\n",
        "PUB foo 0\r\nx\r\n",
        "PUB foo 0\r\nPING\r\n",
        "PUB foo 5\r\nhello\rx",
        "PUB foo 5\r\nhi\r\nPING\r\n",
    ] {
        let input = format!("SUB foo 1\r\n{publication}");
        check(&server, input, "-ERR 'Unknown Protocol Operation'\r\n", Closed);
    }
}

#[test]
fn what_came_before_a_broken_line_still_counts() {
    let server = Server::start();
    let mut subscriber = plain(&server);
    subscriber.send("SUB foo 1\r\n");
    subscriber.ping();
    let input = "PUB foo 1\r\na\r\nPUB foo 1\r\nb\r\nBOOM\r\nPUB foo 1\r\nc\r\n";
    check(&server, input, "-ERR 'Unknown Protocol Operation'\r\n", Closed);
    subscriber.expect_exact("MSG foo 1 1\r\na\r\nMSG foo 1 1\r\nb\r\n");
    subscriber.ping();
}

#[test]
fn half_a_message_is_never_delivered() {
    let server = Server::start();
    let mut subscriber = plain(&server);
    subscriber.send("SUB foo 1\r\n");
    subscriber.ping();
    for half in
        ["PUB foo 5\r\nhel", "PUB foo 5\r\nhello", "PUB foo 5\r\nhello\r", "PUB foo 5", "PU"]
    {
        let mut publisher = plain(&server);
        publisher.send(half);
        publisher.finish_sending();
        publisher.expect_closed();
        subscriber.ping();
    }
}

#[test]
fn reserved_subjects_are_refused_and_the_connection_stays() {
    let server = Server::start();
    for (publication, answer) in [
        ("PUB $NRG.foo 1\r\nx\r\n", "-ERR 'Permissions Violation for Publish to \"$NRG.foo\"'\r\n"),
        ("PUB _GR_.foo 1\r\nx\r\n", "-ERR 'Permissions Violation for Publish to \"_GR_.foo\"'\r\n"),
        (
            "PUB foo _R_.bar 1\r\nx\r\n",
            "-ERR 'Permissions Violation for Publish with Reply of \"_R_.bar\"'\r\n",
        ),
        (
            "PUB foo _GR_.bar 1\r\nx\r\n",
            "-ERR 'Permissions Violation for Publish with Reply of \"_GR_.bar\"'\r\n",
        ),
        (
            "PUB foo $JS.ACK.a.b 1\r\nx\r\n",
            "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.a.b\"'\r\n",
        ),
    ] {
        let mut client = plain(&server);
        client.send("SUB > 1\r\n");
        check_on(&mut client, publication, answer, Open);
    }
}

#[test]
fn subscribers_on_one_connection_each_get_their_copy() {
    let server = Server::start();
    let mut client = server.connect_with(&json!({"protocol": 0}));
    client.send("SUB foo 1\r\nSUB foo 2\r\nSUB * 3\r\nSUB > 4\r\nSUB foo.bar 5\r\n");
    client.send("PUB foo re 3\r\nabc\r\n");
    let mut sids: Vec<String> = (0..4)
        .map(|_| {
            let message = client.message();
            assert_eq!(
                (message.subject.as_str(), message.payload.as_slice()),
                ("foo", &b"abc"[..])
            );
            assert_eq!(message.reply.as_deref(), Some("re"));
            message.sid
        })
        .collect();
    sids.sort();
    assert_eq!(sids, ["1", "2", "3", "4"]);
    client.ping();
}
