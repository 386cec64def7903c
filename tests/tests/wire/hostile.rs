//! Clients that mean harm or are broken: they get the documented answer or are closed, and nobody
//! else notices.

use std::thread;

use fulmar_tests::{RawClient, Server, eventually};

use crate::plain;

/// Takes one connection through a round trip, as an ordinary client beside the others.
#[track_caller]
fn others_do_not_notice(witness: &mut RawClient) {
    witness.send("PUB witness 2\r\nok\r\n");
    witness.expect_exact("MSG witness 1 2\r\nok\r\n");
    witness.ping();
}

#[track_caller]
fn witness(server: &Server) -> RawClient {
    let mut client = plain(server);
    client.send("SUB witness 1\r\n");
    client.ping();
    client
}

#[test]
fn two_thousand_connections_at_once() {
    const CONNECTIONS: usize = 2_000;
    let server = Server::builder().monitoring().start();
    let mut clients: Vec<RawClient> = thread::scope(|scope| {
        let parts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Vec<RawClient> {
                    (0..CONNECTIONS / 4).map(|_| server.client()).collect()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("it connected")).collect()
    });
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!(
            "CONNECT {{\"verbose\":false}}\r\nSUB each.{number} 1\r\nSUB all 2\r\nPING\r\n"
        ));
    }
    for client in &mut clients {
        client.expect_line("PONG");
    }
    assert_eq!(server.varz()["connections"], CONNECTIONS);
    let mut publisher = plain(&server);
    publisher.publish("all", "hello");
    for number in 0..CONNECTIONS {
        publisher.publish(&format!("each.{number}"), number.to_string());
    }
    publisher.ping();
    for (number, client) in clients.iter_mut().enumerate() {
        let text = number.to_string();
        client.expect_exact("MSG all 2 5\r\nhello\r\n");
        client.expect_exact(format!("MSG each.{number} 1 {}\r\n{text}\r\n", text.len()));
    }
    drop(clients);
    eventually("all to be gone", || {
        let varz = server.varz();
        varz["connections"] == 1 && varz["subscriptions"].as_u64() < Some(1_000)
    });
    publisher.ping();
}

#[test]
fn connections_that_come_and_go() {
    let server = Server::builder().monitoring().start();
    let mut witness = witness(&server);
    thread::scope(|scope| {
        for number in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..150 {
                    let mut client = RawClient::open_silently(server.address());
                    match (number + round) % 5 {
                        // Gone before INFO.
                        0 => {}
                        1 => client.send("SUB witness 1\r\nPUB"),
                        2 => client.send("PUB witness.not 100000\r\nabc"),
                        3 => {
                            client.expect_info();
                        }
                        _ => {
                            client.expect_info();
                            client.send("CONNECT {}\r\nSUB a 1\r\nSUB a.> g 2\r\n");
                            client.finish_sending();
                        }
                    }
                }
            });
        }
    });
    others_do_not_notice(&mut witness);
    eventually("all to be gone", || server.varz()["connections"] == 1);
}

#[test]
fn silent_and_half_open_connections() {
    let server = Server::start();
    let mut witness = witness(&server);
    let silent: Vec<RawClient> =
        (0..50).map(|_| RawClient::open_silently(server.address())).collect();
    let mut half: Vec<RawClient> = Vec::new();
    for beginning in [
        "C",
        "CONNECT",
        "CONNECT {",
        "P",
        "PUB",
        "PUB ",
        "PUB a",
        "PUB a 5",
        "PUB a 5\r",
        "PUB a 5\r\n",
        "PUB a 5\r\nhel",
        "PUB a 5\r\nhello",
        "PUB a 5\r\nhello\r",
        "SUB a",
        "UNSUB",
        "PIN",
        "PING",
        "PING\r",
    ] {
        let mut client = server.client();
        client.send(beginning);
        half.push(client);
    }
    others_do_not_notice(&mut witness);
    // Who says no more is taken for gone: no half message, and the connection ends.
    for mut client in half {
        client.finish_sending();
        client.expect_closed();
    }
    drop(silent);
    others_do_not_notice(&mut witness);
}

#[test]
fn noise() {
    let server = Server::start();
    let mut witness = witness(&server);
    let mut state = 0x2545_f491_u32;
    for _ in 0..300 {
        let mut noise = Vec::new();
        for _ in 0..64 {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            noise.extend_from_slice(&state.to_le_bytes());
        }
        // Begins like something, to get further.
        let beginnings: [&[u8]; 8] =
            [b"", b"PUB ", b"SUB ", b"CONNECT {", b"HPUB ", b"UNSUB ", b"+OK ", b"PING "];
        let beginning = beginnings[usize::try_from(state % 8).expect("below 8")];
        let mut client = server.client();
        client.send(beginning);
        client.send(&noise);
        client.finish_sending();
        client.read_to_end();
    }
    others_do_not_notice(&mut witness);
}

#[test]
fn a_payload_announced_and_never_sent() {
    let server = Server::start();
    let mut witness = witness(&server);
    // 200 times the largest payload would be 200 MiB if it were set aside at once.
    let clients: Vec<RawClient> = (0..200)
        .map(|_| {
            let mut client = server.client();
            client.send("PUB a 1048576\r\nx");
            client
        })
        .collect();
    others_do_not_notice(&mut witness);
    drop(clients);
    others_do_not_notice(&mut witness);
}

#[test]
fn subscriptions_without_end() {
    const SUBSCRIPTIONS: usize = 100_000;
    let server = Server::builder().monitoring().start();
    let mut witness = witness(&server);
    let mut greedy = plain(&server);
    let mut lines = String::new();
    for sid in 0..SUBSCRIPTIONS {
        let filter = match sid % 4 {
            0 => format!("greedy.{sid}"),
            1 => format!("greedy.{sid}.*"),
            2 => format!("*.{sid}.>"),
            _ => format!("greedy.many.{sid}.tokens g{}", sid % 7),
        };
        lines.push_str(&format!("SUB {filter} {sid}\r\n"));
    }
    greedy.send(&lines);
    greedy.ping();
    others_do_not_notice(&mut witness);
    // (witness itself is one.)
    let count = |server: &Server| server.varz()["subscriptions"].as_u64().expect("a number");
    assert!(count(&server) > 100_000);
    greedy.send("PUB greedy.4 0\r\n\r\nPUB greedy.5.x 0\r\n\r\nPUB x.6.y.z 0\r\n\r\n");
    greedy
        .expect_exact("MSG greedy.4 4 0\r\n\r\nMSG greedy.5.x 5 0\r\n\r\nMSG x.6.y.z 6 0\r\n\r\n");
    drop(greedy);
    eventually("its subscriptions to end", || count(&server) < 1_000);
    others_do_not_notice(&mut witness);
}

/// Nothing but operations that want an answer, and nobody reads the answers.
#[test]
fn answers_that_nobody_reads() {
    let server = Server::builder().configuration("max_pending: 1MB").monitoring().start();
    let mut witness = witness(&server);
    let mut careless = plain(&server);
    careless.stream().set_nonblocking(true).expect("sockets can be non-blocking");
    let pings = "PING\r\n".repeat(10_000);
    let closed = |client: &mut RawClient| {
        // Either it is closed in the end, or nothing more is taken from it: both are bounded.
        match client.try_send(&pings) {
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            Ok(()) => false,
        }
    };
    for _ in 0..200 {
        if closed(&mut careless) {
            break;
        }
    }
    others_do_not_notice(&mut witness);
    let mem = server.varz()["mem"].as_u64().expect("a number");
    assert!(mem < 200_000_000, "{mem} bytes resident");
}

/// A publisher much faster than everybody: a subscriber that reads gets all of it.
#[test]
fn a_publisher_faster_than_everybody() {
    const MESSAGES: usize = 200_000;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut witness = witness(server);
        let mut subscriber = plain(server);
        subscriber.send("SUB flood 1\r\n");
        subscriber.ping();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut publisher = plain(server);
                let thousand = "PUB flood 16\r\n0123456789abcdef\r\n".repeat(1_000);
                for _ in 0..MESSAGES / 1_000 {
                    publisher.send(&thousand);
                }
                publisher.ping();
            });
            scope.spawn(|| {
                for _ in 0..20 {
                    others_do_not_notice(&mut witness);
                }
            });
            let thousand = "MSG flood 1 16\r\n0123456789abcdef\r\n".repeat(1_000);
            for _ in 0..MESSAGES / 1_000 {
                subscriber.expect_exact(&thousand);
            }
            subscriber.ping();
        });
    });
}
