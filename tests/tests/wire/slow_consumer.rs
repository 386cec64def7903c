//! A subscriber that does not read: it is closed and counted, and nobody waits for it.

use std::os::fd::AsFd;

use fulmar_tests::{RawClient, Server, eventually, eventually_some};

use crate::plain;

#[test]
fn too_many_pending_bytes_close_it() {
    Server::for_each_reactor_count(
        &Server::builder().configuration("max_pending: 1MB\nwrite_deadline: \"3s\"").monitoring(),
        |server| {
            let mut reader = plain(server);
            reader.send("SUB flood 1\r\n");
            reader.ping();
            let (mut slow, cid) = slow_subscriber(server);
            let mut publisher = plain(server);
            // More than the limit and both socket buffers hold.
            let mut published = 0;
            let connection = eventually_some("the slow consumer to be closed", || {
                for _ in 0..100 {
                    publisher.publish("flood", [b'x'; 10_000]);
                    published += 1;
                }
                // The publisher and the one that reads go on all the time.
                publisher.ping();
                for _ in 0..100 {
                    assert_eq!(reader.message().payload.len(), 10_000);
                }
                closed(server, cid)
            });
            assert_eq!(connection["reason"], "Slow Consumer (Pending Bytes)");
            let varz = server.varz();
            assert_eq!(varz["slow_consumers"], 1);
            assert_eq!(varz["slow_consumer_stats"]["clients"], 1);
            eventually("two connections to be left", || server.varz()["connections"] == 2);
            server.wait_for_log("Slow Consumer");
            assert!(server.log().contains("MaxPending of"), "the log says which limit it was");
            // It gets what was on the way, then the end, and no error line.
            let rest = slow.read_to_end();
            assert!(!rest.windows(5).any(|window| window == b"-ERR "), "no error line");
            // Whole messages up to the last, which may be cut.
            assert!(rest.starts_with(b"MSG flood 1 10000\r\nxx"));
            reader.ping();
            publisher.ping();
        },
    );
}

#[test]
fn a_write_that_takes_too_long_closes_it() {
    let server = Server::builder().configuration("write_deadline: \"300ms\"").monitoring().start();
    let (_slow, cid) = slow_subscriber(&server);
    let mut publisher = plain(&server);
    // Far below max_pending, and more than the socket buffers hold.
    for _ in 0..16 {
        publisher.publish("flood", vec![b'x'; 1_000_000]);
    }
    publisher.ping();
    let connection = eventually_some("the slow consumer to be closed", || closed(&server, cid));
    assert_eq!(connection["reason"], "Slow Consumer (Write Deadline)");
    let varz = server.varz();
    assert_eq!(
        (&varz["slow_consumers"], &varz["slow_consumer_stats"]["clients"]),
        (&1.into(), &1.into())
    );
    server.wait_for_log("Slow Consumer");
    assert!(server.log().contains("WriteDeadline of 300ms exceeded"), "{}", server.log());
    publisher.ping();
}

#[test]
fn who_reads_late_but_in_time_loses_nothing() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let (mut late, _cid) = slow_subscriber(server);
        let mut publisher = plain(server);
        for number in 0..2_000 {
            publisher.publish("flood", format!("{number} {}", "x".repeat(8_000)));
        }
        publisher.ping();
        for number in 0..2_000 {
            let payload = late.message().payload;
            assert!(payload.starts_with(format!("{number} ").as_bytes()), "message {number}");
        }
        late.ping();
    });
}

#[test]
fn its_pending_bytes_show_in_connz() {
    let server = Server::builder().monitoring().start();
    let (_slow, cid) = slow_subscriber(&server);
    let mut publisher = plain(&server);
    for _ in 0..16 {
        publisher.publish("flood", vec![b'x'; 1_000_000]);
    }
    publisher.ping();
    eventually("pending bytes in connz", || {
        let connz = server.connz("?sort=pending");
        let first = &connz["connections"][0];
        first["cid"] == cid && first["pending_bytes"].as_u64() > Some(1_000_000)
    });
}

/// Above three quarters of the limit a publisher is slowed down for moments, and this is counted.
#[test]
fn a_publisher_far_ahead_is_stalled_for_moments() {
    let server = Server::builder().configuration("max_pending: 8MB").monitoring().start();
    let (_slow, cid) = slow_subscriber(&server);
    let mut publisher = plain(&server);
    eventually("a stall", || {
        publisher.publish("flood", vec![b'x'; 100_000]);
        publisher.ping();
        server.varz()["stalled_clients"].as_u64() > Some(0)
    });
    let connz = server.connz(&format!("?state=all&cid={cid}"));
    assert!(connz["connections"][0]["stalls"].as_u64() > Some(0), "{connz}");
}

/// With this option the messages are left out instead, so it never becomes too slow.
#[test]
fn instead_of_stalling_messages_can_be_left_out() {
    let server = Server::builder()
        .configuration("max_pending: 4MB\nno_fast_producer_stall: true")
        .monitoring()
        .start();
    let (mut slow, _cid) = slow_subscriber(&server);
    let mut publisher = plain(&server);
    for number in 0..2_000 {
        publisher.publish("flood", format!("{number} {}", "x".repeat(10_000)));
    }
    publisher.ping();
    let varz = server.varz();
    assert_eq!((&varz["slow_consumers"], &varz["stalled_clients"]), (&0.into(), &0.into()));
    slow.send("PING\r\n");
    // What does come is whole and in order, and less than what was sent.
    let mut last = None;
    let mut received = 0;
    loop {
        let line = slow.line();
        if line == "PONG" {
            break;
        }
        let size = line.rsplit(' ').next().and_then(|size| size.parse::<usize>().ok());
        let payload = slow.bytes(size.expect("a message") + 2);
        let text = String::from_utf8(payload).unwrap();
        let number: usize = text.split(' ').next().unwrap().parse().unwrap();
        assert!(last < Some(number), "{last:?} before {number}");
        last = Some(number);
        received += 1;
    }
    assert!((100..2_000).contains(&received), "{received}");
    publisher.ping();
}

/// Several at once, while a queue group and a plain subscriber work on.
#[test]
fn several_slow_consumers_disturb_nobody() {
    Server::for_each_reactor_count(
        &Server::builder().configuration("max_pending: 512KB\nmax_payload: 100KB").monitoring(),
        |server| {
            let slow: Vec<(RawClient, u64)> = (0..5).map(|_| slow_subscriber(server)).collect();
            let mut reader = plain(server);
            reader.send("SUB flood 1\r\nSUB flood group 2\r\n");
            reader.ping();
            let mut publisher = plain(server);
            eventually("all slow consumers to be closed", || {
                // Twice 20 messages stay below the limit for the one that reads.
                for _ in 0..20 {
                    publisher.publish("flood", [b'x'; 10_000]);
                }
                publisher.ping();
                for _ in 0..40 {
                    reader.message();
                }
                server.varz()["slow_consumers"] == 5
            });
            reader.ping();
            drop(slow);
        },
    );
}

/// A subscription to `flood` that nobody reads, over small socket buffers.
#[track_caller]
fn slow_subscriber(server: &Server) -> (RawClient, u64) {
    let mut client = plain(server);
    let socket = client.stream().as_fd();
    rustix::net::sockopt::set_socket_recv_buffer_size(socket, 32 * 1024).expect("an option");
    client.send("SUB flood 1\r\n");
    client.ping();
    let cid = client.cid();
    (client, cid)
}

fn closed(server: &Server, cid: u64) -> Option<serde_json::Value> {
    server.connz(&format!("?state=closed&cid={cid}"))["connections"].get(0).cloned()
}
