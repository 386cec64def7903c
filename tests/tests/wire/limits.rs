//! The limits of a connection: what fits exactly, and what one more does.

use fulmar_tests::{RawClient, Server, eventually};
use serde_json::json;

use crate::Then::{Closed, Open};
use crate::{check, check_on, plain};

const PAYLOAD_ERROR: &str = "-ERR 'Maximum Payload Violation'\r\n";
const CONTROL_LINE_ERROR: &str = "-ERR 'maximum control line exceeded'\r\n";

#[test]
fn payload() {
    let server = Server::with_configuration("max_payload: 10");
    assert_eq!(server.client().info()["max_payload"], 10);
    check(&server, "SUB a 1\r\nPUB a 10\r\n0123456789\r\n", "MSG a 1 10\r\n0123456789\r\n", Open);
    // On the line already: whether the payload follows does not matter.
    check(&server, "PUB a 11\r\n", PAYLOAD_ERROR, Closed);
    check(&server, "PUB a 11\r\n0123456789x\r\n", PAYLOAD_ERROR, Closed);
    check(&server, "PUB a re 999999999\r\n", PAYLOAD_ERROR, Closed);
}

#[test]
fn payload_of_the_default_limit() {
    let server = Server::start();
    let payload = "x".repeat(1_048_576);
    let message = format!("SUB a 1\r\nPUB a 1048576\r\n{payload}\r\n");
    check(&server, message, format!("MSG a 1 1048576\r\n{payload}\r\n"), Open);
    check(&server, format!("PUB a 1048577\r\n{payload}x\r\n"), PAYLOAD_ERROR, Closed);
}

#[test]
fn payload_of_nothing() {
    let server = Server::with_configuration("max_payload: 1");
    check(&server, "SUB a 1\r\nPUB a 0\r\n\r\n", "MSG a 1 0\r\n\r\n", Open);
    check(&server, "PUB a 2\r\n", PAYLOAD_ERROR, Closed);
}

#[test]
fn payload_above_the_default() {
    let server = Server::with_configuration("max_payload: 4MB");
    let payload = vec![b'x'; 4 * 1024 * 1024];
    let mut client = plain(&server);
    client.send("SUB a 1\r\n");
    client.publish("a", &payload);
    client.expect_exact([b"MSG a 1 4194304\r\n", &payload[..], b"\r\n"].concat());
    client.ping();
    check(&server, "PUB a 4194305\r\n", PAYLOAD_ERROR, Closed);
}

/// The arguments count, not the verb and not the line end.
#[test]
fn control_line() {
    let server = Server::start();
    for (before, after, delivery) in [
        ("PUB ", " 1\r\nx\r\n", ""),
        ("PUB a ", " 1\r\nx\r\n", ""),
        ("SUB ", " 1\r\n", ""),
        ("SUB a ", "\r\n", ""),
        ("SUB a ", " 1\r\n", ""),
        ("UNSUB ", "\r\n", ""),
        ("CONNECT {\"verbose\":false,\"name\":\"", "\"}\r\n", ""),
    ] {
        let line_end = after.find("\r\n").unwrap();
        let verb = before.find(' ').unwrap() + 1;
        let fixed = before.len() - verb + line_end;
        let line = |arguments: usize| format!("{before}{}{after}", "y".repeat(arguments - fixed));
        check(&server, line(4096), delivery, Open);
        check(&server, line(4097), CONTROL_LINE_ERROR, Closed);
        check(&server, line(10_000), CONTROL_LINE_ERROR, Closed);
    }
}

#[test]
fn control_line_without_an_end() {
    let server = Server::start();
    for verb in ["PUB ", "SUB ", "UNSUB ", "CONNECT "] {
        let mut client = plain(&server);
        client.send(verb);
        client.send("y".repeat(70_000));
        client.expect_exact(CONTROL_LINE_ERROR);
        client.expect_closed();
    }
}

#[test]
fn control_line_of_another_length() {
    let server = Server::with_configuration("max_control_line: 64");
    let subject = "y".repeat(62);
    // `<subject> 1` is 64 bytes.
    let delivery = format!("MSG {subject} 1 1\r\nx\r\n");
    let input = format!("SUB {subject} 1\r\nPUB {subject} 1\r\nx\r\n");
    let mut client = server.client();
    client.send("CONNECT {\"verbose\":false}\r\n");
    check_on(&mut client, input, delivery, Open);
    check_on(&mut client, format!("SUB {subject}y 1\r\n"), CONTROL_LINE_ERROR, Closed);
}

#[test]
fn connections() {
    let server = Server::builder().configuration("max_connections: 3").monitoring().start();
    let mut clients: Vec<RawClient> = (0..3).map(|_| plain(&server)).collect();
    for _ in 0..3 {
        // INFO comes all the same.
        let mut refused = server.client();
        refused.expect_error("maximum connections exceeded");
        refused.expect_closed();
    }
    for client in &mut clients {
        client.ping();
    }
    // One leaves, one comes.
    clients.pop();
    eventually("the connection to end", || server.varz()["connections"] == 2);
    plain(&server).ping();
}

#[test]
fn connections_of_none() {
    let server = Server::with_configuration("max_connections: 0");
    let mut refused = server.client();
    refused.expect_error("maximum connections exceeded");
    refused.expect_closed();
}

#[test]
fn subscriptions() {
    for configuration in ["max_subscriptions: 2", "max_subs: 2"] {
        let server = Server::with_configuration(configuration);
        let mut client = plain(&server);
        let error = "-ERR 'maximum subscriptions exceeded'\r\n";
        check_on(&mut client, "SUB a 1\r\nSUB b group 2\r\n", "", Open);
        check_on(&mut client, "SUB c 3\r\nSUB d 4\r\n", [error, error].concat(), Open);
        check_on(&mut client, "PUB c 0\r\n\r\n", "", Open);
        check_on(&mut client, "PUB a 0\r\n\r\n", "MSG a 1 0\r\n\r\n", Open);
        // One goes, one comes; another connection counts for itself.
        check_on(&mut client, "UNSUB 1\r\nSUB c 3\r\n", "", Open);
        check_on(&mut client, "PUB c 0\r\n\r\n", "MSG c 3 0\r\n\r\n", Open);
        check_on(&mut client, "SUB e 5\r\n", error, Open);
        check(&server, "SUB a 1\r\nSUB b 2\r\n", "", Open);
    }
}

#[test]
fn subscription_tokens() {
    let server = Server::with_configuration("max_sub_tokens: 3");
    let mut client = plain(&server);
    for subject in ["a", "a.b.c", "*.*.*", "a.b.>"] {
        check_on(&mut client, format!("SUB {subject} {subject}\r\n"), "", Open);
    }
    for subject in ["a.b.c.d", "*.*.*.*", "a.b.c.>"] {
        let answer = format!(
            "-ERR 'Permissions Violation for Subscription to \"{subject}\", too many tokens'\r\n"
        );
        check_on(&mut client, format!("SUB {subject} {subject}\r\n"), answer, Open);
    }
    // Publishing is not limited.
    let publication = "PUB a.b.c.d.e 0\r\n\r\n";
    check_on(&mut client, publication, "MSG a.b.c.d.e a.b.> 0\r\n\r\n", Open);
}

#[test]
fn subjects_of_many_tokens() {
    let server = Server::start();
    // 2,000 tokens of one letter are within the control line.
    let subject = vec!["t"; 2_000].join(".");
    for filter in [subject.clone(), vec!["*"; 2_000].join("."), "t.>".to_owned()] {
        let input = format!("SUB {filter} 1\r\nPUB {subject} 1\r\nx\r\n");
        check(&server, input, format!("MSG {subject} 1 1\r\nx\r\n"), Open);
    }
}

#[test]
fn they_show_in_varz() {
    let configuration = "max_connections: 11\nmax_subscriptions: 12\nmax_control_line: 1300\n\
         max_payload: 1400\nmax_pending: 150000\nping_interval: \"16s\"\nping_max: 7\n\
         write_deadline: \"18s\"";
    let server = Server::builder().configuration(configuration).monitoring().start();
    let varz = server.varz();
    for (name, value) in json!({
        "max_connections": 11, "max_subscriptions": 12, "max_control_line": 1300,
        "max_payload": 1400, "max_pending": 150_000, "ping_interval": 16_000_000_000_u64,
        "ping_max": 7, "write_deadline": 18_000_000_000_u64,
    })
    .as_object()
    .unwrap()
    {
        assert_eq!(&varz[name], value, "{name}");
    }
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("2000", 2_000),
        ("2k", 2_000),
        ("2K", 2_000),
        ("2kb", 2_048),
        ("2KB", 2_048),
        ("2KiB", 2_048),
        ("1m", 1_000_000),
        ("1MB", 1_048_576),
    ] {
        let server = Server::with_configuration(format!("max_payload: {text}"));
        assert_eq!(server.client().info()["max_payload"], bytes, "{text}");
    }
}
