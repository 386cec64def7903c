//! Payloads of every size, cut anywhere, arrive whole at everyone.

use std::thread;

use fulmar_tests::{RawClient, Server};
use serde_json::json;

use crate::plain;

/// Around powers of two, where buffers begin and end, and sizes without a pattern.
fn sizes() -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..=80).collect();
    for power in 7..=16 {
        let size = 1_usize << power;
        sizes.extend(size - 20..size + 4);
    }
    sizes.extend([1_000, 1_023, 5_000, 9_999, 12_345, 30_000, 60_000, 69_999, 70_000]);
    sizes.extend([131_071, 131_072, 131_073, 500_000, 1_048_575, 1_048_576]);
    sizes
}

/// Bytes that are different at every place and for every seed, line ends among them.
fn bytes(size: usize, seed: usize) -> Vec<u8> {
    let mut state = u32::try_from(seed).expect("a small seed").wrapping_mul(2_654_435_761) | 1;
    let mut bytes = Vec::with_capacity(size + 4);
    while bytes.len() < size {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[test]
fn every_size_arrives_whole_at_several_subscribers() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut subscribers: Vec<RawClient> = (0..3).map(|_| plain(server)).collect();
        for subscriber in &mut subscribers {
            subscriber.send("SUB size.* 1\r\n");
            subscriber.ping();
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut publisher = plain(server);
                for size in sizes() {
                    publisher.publish(&format!("size.{size}"), bytes(size, size));
                }
                publisher.ping();
            });
            for subscriber in &mut subscribers {
                scope.spawn(move || {
                    for size in sizes() {
                        let message = subscriber.message();
                        assert_eq!(message.subject, format!("size.{size}"));
                        assert!(message.payload == bytes(size, size), "{size} bytes differ");
                    }
                    subscriber.ping();
                });
            }
        });
    });
}

#[test]
fn headers_and_payloads_of_every_size_stay_apart() {
    let server = Server::start();
    let mut reader = server.connect();
    let mut stranger = plain(&server);
    for client in [&mut reader, &mut stranger] {
        client.send("SUB size 1\r\n");
        client.ping();
    }
    let mut publisher = server.connect_with(&json!({"protocol": 0}));
    for header in [12, 13, 100, 500, 512, 4_000, 4_096, 32_000, 65_536, 70_000] {
        for payload in [0, 1, 100, 511, 512, 4_095, 4_096, 40_000, 65_536] {
            let text = format!("NATS/1.0\r\n{}\r\n", "h".repeat(header - 12));
            let body = bytes(payload, header);
            publisher.send(format!("HPUB size {header} {}\r\n{text}", header + payload));
            publisher.send([&body[..], b"\r\n"].concat());
            let message = reader.message();
            assert!(message.headers == text.as_bytes() && message.payload == body);
            let message = stranger.message();
            assert!(message.headers.is_empty() && message.payload == body);
        }
    }
}

/// The same session, cut at other places each time, is the same session.
#[test]
fn cuts_make_no_difference() {
    let server = Server::start();
    let mut session = b"SUB cut.* 1\r\nSUB cut.b group 2\r\n".to_vec();
    let mut answer = Vec::new();
    for (number, size) in [0, 1, 2, 15, 80, 300, 511, 512, 513, 700, 2_000].into_iter().enumerate()
    {
        let body = bytes(size, number);
        session.extend(format!("PUB cut.a re.{number} {size}\r\n").into_bytes());
        session.extend([&body[..], b"\r\nPING\r\n"].concat());
        answer.extend(format!("MSG cut.a 1 re.{number} {size}\r\n").into_bytes());
        answer.extend([&body[..], b"\r\nPONG\r\n"].concat());
        session.extend(format!("HPUB cut.c 12 {}\r\nNATS/1.0\r\n\r\n", size + 12).into_bytes());
        session.extend([&body[..], b"\r\n"].concat());
        answer.extend(format!("HMSG cut.c 1 12 {}\r\nNATS/1.0\r\n\r\n", size + 12).into_bytes());
        answer.extend([&body[..], b"\r\n"].concat());
    }
    let mut random = bytes(40_000, 7).into_iter();
    let mut below = |limit: usize| {
        let number = u16::from_le_bytes([random.next().unwrap(), random.next().unwrap()]);
        usize::from(number) % limit
    };
    for round in 0..40 {
        let mut cuts: Vec<usize> =
            (0..1 + round * 3).map(|_| 1 + below(session.len() - 1)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut client = server.connect_with(&json!({"protocol": 0}));
        client.send_cut(&session, &cuts);
        client.expect_exact(&answer);
        client.ping();
    }
}

/// A publisher that pauses inside a large payload holds nobody else up.
#[test]
fn a_payload_may_take_its_time() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut slow = plain(server);
        let mut fast = plain(server);
        let mut subscriber = plain(server);
        subscriber.send("SUB slow 1\r\nSUB fast 2\r\n");
        subscriber.ping();
        let body = bytes(300_000, 1);
        slow.send("PUB slow 300000\r\n");
        for part in body.chunks(50_000) {
            slow.send(part);
            fast.publish("fast", "x");
            fast.ping();
            subscriber.expect_exact("MSG fast 2 1\r\nx\r\n");
            subscriber.ping();
        }
        slow.send("\r\n");
        assert!(subscriber.message().payload == body);
        subscriber.ping();
    });
}

/// One large payload for many: each gets all of it, and what comes before and after.
#[test]
fn large_payloads_fan_out() {
    const SUBSCRIBERS: usize = 60;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut subscribers: Vec<RawClient> = (0..SUBSCRIBERS).map(|_| plain(server)).collect();
        for (number, subscriber) in subscribers.iter_mut().enumerate() {
            // Different sids make different heads in front of the same payload.
            subscriber.send(format!("SUB fan.* {}\r\n", "s".repeat(1 + number)));
            subscriber.ping();
        }
        let large: Vec<Vec<u8>> = (0..4).map(|seed| bytes(150_000 + seed, seed)).collect();
        let mut publisher = plain(server);
        for payload in &large {
            publisher.publish("fan.small", "before");
            publisher.publish("fan.large", payload);
            publisher.publish("fan.small", "after");
        }
        publisher.ping();
        for (number, subscriber) in subscribers.iter_mut().enumerate() {
            for payload in &large {
                for expected in [b"before", &payload[..], b"after"] {
                    let message = subscriber.message();
                    assert_eq!(message.sid.len(), 1 + number);
                    assert!(message.payload == expected, "{} bytes differ", expected.len());
                }
            }
            subscriber.ping();
        }
    });
}

/// A reader far behind makes the server write parts of messages: nothing is lost or doubled at the
/// cuts.
#[test]
fn a_late_reader_gets_every_byte() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut reader = plain(server);
        reader.send("SUB late 1\r\n");
        reader.ping();
        // 16 MB, more than the socket buffers hold and less than what may be pending.
        let sizes: Vec<usize> = (0..800).map(|number| number * number * 37 % 40_000).collect();
        let mut publisher = plain(server);
        for (seed, size) in sizes.iter().enumerate() {
            publisher.publish("late", bytes(*size, seed));
        }
        publisher.ping();
        for (seed, size) in sizes.iter().enumerate() {
            let payload = reader.message().payload;
            assert!(payload == bytes(*size, seed), "message {seed} of {size} bytes");
        }
        reader.ping();
    });
}
