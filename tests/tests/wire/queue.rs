//! Queue groups: one member of each group gets a message.

use std::collections::HashMap;
use std::thread;

use fulmar_tests::{RawClient, Server};

use crate::Then::Open;
use crate::{check, plain};

#[test]
fn one_member_gets_each_message() {
    const MEMBERS: usize = 4;
    const MESSAGES: usize = 2_000;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut members: Vec<RawClient> = (0..MEMBERS).map(|_| plain(server)).collect();
        for member in &mut members {
            member.send("SUB work.* group 1\r\n");
            member.ping();
        }
        let mut plain_subscriber = plain(server);
        plain_subscriber.send("SUB work.> 1\r\n");
        plain_subscriber.ping();

        let mut publisher = plain(server);
        for number in 0..MESSAGES {
            publisher.publish("work.item", number.to_string());
        }
        publisher.ping();
        // Whoever is not in the group has all of it, in order.
        for number in 0..MESSAGES {
            assert_eq!(plain_subscriber.message().payload, number.to_string().into_bytes());
        }

        let shares: Vec<Vec<usize>> = members.iter_mut().map(messages_until_now).collect();
        for share in &shares {
            assert!(share.is_sorted(), "a member gets its share in order");
            // Each is picked with a chance of 1/4: 50 of 2,000 is 20 standard deviations away.
            assert!(share.len() > 50, "a member got only {} messages", share.len());
        }
        let mut all = shares.concat();
        all.sort_unstable();
        assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
    });
}

#[test]
fn every_group_gets_its_own_copy() {
    let server = Server::start();
    let mut clients: Vec<RawClient> = (0..6).map(|_| plain(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("SUB foo group{} 1\r\n", number % 3));
        client.ping();
    }
    let mut publisher = plain(&server);
    for number in 0..300 {
        publisher.publish("foo", number.to_string());
    }
    publisher.ping();
    let shares: Vec<Vec<usize>> = clients.iter_mut().map(messages_until_now).collect();
    for group in 0..3 {
        let mut both = [&shares[group][..], &shares[group + 3][..]].concat();
        both.sort_unstable();
        assert_eq!(both, (0..300).collect::<Vec<_>>(), "group {group}");
    }
}

#[test]
fn members_on_one_connection_count_one_by_one() {
    let server = Server::start();
    let mut client = plain(&server);
    client.send("SUB foo group 1\r\nSUB foo group 2\r\nSUB foo other 3\r\nSUB foo 4\r\n");
    let mut counts: HashMap<String, usize> = HashMap::new();
    for _ in 0..400 {
        client.publish("foo", "x");
        for _ in 0..3 {
            *counts.entry(client.message().sid).or_default() += 1;
        }
        client.ping();
    }
    assert_eq!((counts["3"], counts["4"], counts["1"] + counts["2"]), (400, 400, 400));
    assert!(counts["1"] > 50 && counts["2"] > 50, "{counts:?}");
}

/// The name makes the group: members whose different filters match the same message are still
/// one group for that message.
#[test]
fn a_group_spans_the_filters_of_its_members() {
    let server = Server::start();
    let mut client = plain(&server);
    client
        .send("SUB foo.bar group 1\r\nSUB foo.* group 2\r\nSUB foo.> group 3\r\nSUB > group 4\r\n");
    let mut counts: HashMap<String, usize> = HashMap::new();
    for _ in 0..400 {
        client.publish("foo.bar", "x");
        *counts.entry(client.message().sid).or_default() += 1;
        client.ping();
    }
    assert_eq!(counts.len(), 4, "every member has its turn: {counts:?}");
    // One that only the last two match.
    counts.clear();
    for _ in 0..200 {
        client.publish("foo.bar.baz", "x");
        *counts.entry(client.message().sid).or_default() += 1;
        client.ping();
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
}

#[test]
fn group_names_are_tokens_of_any_kind() {
    let server = Server::start();
    for group in ["g", "group.one", "*", ">", "\u{fc}ber", "1", "a..b", ".", "$g"] {
        let input = format!("SUB foo {group} 1\r\nPUB foo re 2\r\nhi\r\n");
        check(&server, input, "MSG foo 1 re 2\r\nhi\r\n", Open);
    }
}

#[test]
fn the_group_of_the_system_is_refused() {
    let server = Server::start();
    let answer =
        "-ERR 'Permissions Violation for Subscription to \"foo\" using queue \"_sys_\"'\r\n";
    check(&server, "SUB foo _sys_ 1\r\nPUB foo 0\r\n\r\n", answer, Open);
}

#[test]
fn who_remains_takes_over() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut first = plain(server);
        let mut second = plain(server);
        let mut publisher = plain(server);
        for member in [&mut first, &mut second] {
            member.send("SUB foo group 1\r\n");
            member.ping();
        }
        first.send("UNSUB 1\r\n");
        first.ping();
        for number in 0..50 {
            publisher.publish("foo", number.to_string());
        }
        publisher.ping();
        assert_eq!(messages_until_now(&mut first), [0; 0]);
        assert_eq!(messages_until_now(&mut second), (0..50).collect::<Vec<_>>());
        second.send("UNSUB 1\r\n");
        second.ping();
        publisher.publish("foo", "nobody");
        publisher.ping();
        assert_eq!(messages_until_now(&mut second), [0; 0]);
    });
}

/// Several publishers at once: still exactly one delivery of each message, and what one member
/// gets from one publisher is in that publisher's order.
#[test]
fn exactly_one_delivery_with_many_publishers() {
    const MEMBERS: usize = 3;
    const PUBLISHERS: usize = 3;
    const MESSAGES: usize = 1_500;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut members: Vec<RawClient> = (0..MEMBERS).map(|_| plain(server)).collect();
        for member in &mut members {
            member.send("SUB jobs group 1\r\n");
            member.ping();
        }
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                scope.spawn(move || {
                    let mut client = plain(server);
                    for number in 0..MESSAGES {
                        client.publish("jobs", (number * PUBLISHERS + publisher).to_string());
                    }
                    client.ping();
                });
            }
        });
        let shares: Vec<Vec<usize>> = members.iter_mut().map(messages_until_now).collect();
        for share in &shares {
            for publisher in 0..PUBLISHERS {
                let own = share.iter().filter(|number| *number % PUBLISHERS == publisher);
                assert!(own.is_sorted());
            }
        }
        let mut all = shares.concat();
        all.sort_unstable();
        assert_eq!(all, (0..MESSAGES * PUBLISHERS).collect::<Vec<_>>());
    });
}

/// The numbers in the payloads of the messages that are on their way to `client`, up to one that
/// it sends to itself now.
#[track_caller]
fn messages_until_now(client: &mut RawClient) -> Vec<usize> {
    client.send("SUB _end _end\r\n");
    client.publish("_end", "");
    let mut numbers = Vec::new();
    loop {
        let message = client.message();
        if message.sid == "_end" {
            client.send("UNSUB _end\r\n");
            client.ping();
            return numbers;
        }
        let text = String::from_utf8(message.payload).expect("digits");
        numbers.push(text.parse().expect("a number"));
    }
}
