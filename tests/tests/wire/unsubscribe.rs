//! UNSUB: at once, or after a number of messages.

use fulmar_tests::{RawClient, Server};

use crate::Then::{Closed, Open};
use crate::{check, check_on, plain};

#[test]
fn without_a_number_it_ends_at_once() {
    let server = Server::start();
    for unsubscribe in ["UNSUB 1", "unsub 1", "UNSUB\t1\t", "UNSUB   1  ", "UNSUB 1 0"] {
        let input = format!("SUB foo 1\r\n{unsubscribe}\r\nPUB foo 1\r\nx\r\n");
        check(&server, input, "", Open);
    }
}

#[test]
fn what_is_unknown_or_no_number_is_forgiven() {
    let server = Server::start();
    let mut client = plain(&server);
    client.send("SUB foo 1\r\n");
    for line in ["UNSUB 2", "UNSUB 2 5", "UNSUB \u{fc}"] {
        check_on(&mut client, format!("{line}\r\n"), "", Open);
    }
    check_on(&mut client, "PUB foo 1\r\nx\r\n", "MSG foo 1 1\r\nx\r\n", Open);
    // A number that is none counts as none.
    for number in ["-1", "abc", "0000000005", "99999999999"] {
        let input = format!("SUB bar 3\r\nUNSUB 3 {number}\r\nPUB bar 1\r\nx\r\n");
        check(&server, input, "", Open);
    }
}

#[test]
fn wrong_number_of_arguments_closes_without_an_answer() {
    check(&Server::start(), "SUB foo 1\r\nUNSUB 1 2 3\r\n", "", Closed);
}

#[test]
fn after_a_number_of_messages_it_ends_by_itself() {
    let server = Server::start();
    for max in [1, 2, 10, 100] {
        let mut client = plain(&server);
        client.send(format!("SUB foo 1\r\nUNSUB 1 {max}\r\n"));
        assert_eq!(count(&mut client, max + 20), max);
        // The sid is free again.
        client.send("SUB foo 1\r\n");
        assert_eq!(count(&mut client, 5), 5);
    }
}

#[test]
fn messages_before_the_unsub_count() {
    let server = Server::start();
    // (delivered before, number, delivered after)
    for (before, max, after) in
        [(0, 5, 5), (3, 5, 2), (4, 5, 1), (5, 5, 0), (6, 5, 0), (100, 5, 0), (1, 1, 0)]
    {
        let mut client = plain(&server);
        client.send("SUB foo 1\r\n");
        assert_eq!(count(&mut client, before), before);
        client.send(format!("UNSUB 1 {max}\r\n"));
        assert_eq!(count(&mut client, 20), after, "UNSUB 1 {max} after {before} messages");
    }
}

#[test]
fn the_last_unsub_decides() {
    let server = Server::start();
    for (lines, delivered) in [
        ("UNSUB 1 10\r\nUNSUB 1 3\r\n", 3),
        ("UNSUB 1 3\r\nUNSUB 1 10\r\n", 10),
        ("UNSUB 1 3\r\nUNSUB 1\r\n", 0),
        ("UNSUB 1 3\r\nUNSUB 1 0\r\n", 0),
    ] {
        let mut client = plain(&server);
        client.send("SUB foo 1\r\n");
        client.send(lines);
        assert_eq!(count(&mut client, 20), delivered, "{lines:?}");
    }
}

#[test]
fn only_that_subscription_ends() {
    let server = Server::start();
    let mut client = plain(&server);
    client.send("SUB foo 1\r\nSUB foo 2\r\nSUB * 3\r\nUNSUB 1 1\r\nUNSUB 2\r\n");
    let mut sids = Vec::new();
    for _ in 0..3 {
        client.publish("foo", "x");
    }
    for _ in 0..4 {
        sids.push(client.message().sid);
    }
    client.ping();
    sids.sort();
    assert_eq!(sids, ["1", "3", "3", "3"]);
}

#[test]
fn in_a_queue_group_each_member_counts_for_itself() {
    let server = Server::start();
    let mut members: Vec<RawClient> = (0..2).map(|_| plain(&server)).collect();
    for member in &mut members {
        member.send("SUB foo group 1\r\nUNSUB 1 10\r\n");
        member.ping();
    }
    let mut publisher = plain(&server);
    for _ in 0..50 {
        publisher.publish("foo", "x");
    }
    publisher.ping();
    // Twice ten and then nobody is left.
    for member in &mut members {
        for _ in 0..10 {
            assert_eq!(member.message().sid, "1");
        }
        member.ping();
    }
}

#[test]
fn counts_are_exact_with_many_publishers() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut subscribers: Vec<RawClient> = (0..3).map(|_| plain(server)).collect();
        for (number, subscriber) in subscribers.iter_mut().enumerate() {
            subscriber.send(format!("SUB foo 1\r\nUNSUB 1 {}\r\n", 100 + number));
            subscriber.ping();
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut publisher = plain(server);
                    for _ in 0..200 {
                        publisher.publish("foo", "x");
                    }
                    publisher.ping();
                });
            }
        });
        for (number, subscriber) in subscribers.iter_mut().enumerate() {
            for _ in 0..100 + number {
                subscriber.message();
            }
            subscriber.ping();
        }
    });
}

/// Everything queued before the UNSUB of a drain is delivered before its PONG.
#[test]
fn draining_loses_nothing() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut subscriber = plain(server);
        subscriber.send("SUB foo 1\r\n");
        subscriber.ping();
        let mut publisher = plain(server);
        for number in 0..2_000 {
            publisher.publish("foo", number.to_string());
        }
        publisher.ping();
        subscriber.send("UNSUB 1\r\nPING\r\n");
        for number in 0..2_000 {
            assert_eq!(subscriber.message().payload, number.to_string().into_bytes());
        }
        subscriber.expect_line("PONG");
        publisher.publish("foo", "late");
        publisher.ping();
        subscriber.ping();
    });
}

/// How many of `published` messages to `foo` come back.
#[track_caller]
fn count(client: &mut RawClient, published: usize) -> usize {
    for _ in 0..published {
        client.publish("foo", "x");
    }
    client.send("SUB _end _end\r\n");
    client.publish("_end", "");
    let mut delivered = 0;
    while client.message().sid != "_end" {
        delivered += 1;
    }
    client.send("UNSUB _end\r\n");
    client.ping();
    delivered
}
