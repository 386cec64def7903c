//! SUB: which subjects a filter matches, what is refused, and when a subscription is seen.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fulmar_tests::{RawClient, Server};

use crate::Then::{Closed, Open};
use crate::{check, check_on, plain};

#[test]
fn filters_match_subjects() {
    let server = Server::start();
    for (filter, matching, others) in [
        ("foo", &["foo"][..], &["fo", "fooo", "foo.bar", "bar", "Foo"][..]),
        ("foo.bar", &["foo.bar"], &["foo", "foo.bar.baz", "foo.baz", "bar.foo"]),
        ("*", &["foo", "b"], &["foo.bar", "a.b.c"]),
        (">", &["foo", "foo.bar", "a.b.c.d.e.f.g.h"], &[]),
        ("foo.*", &["foo.bar", "foo.b"], &["foo", "foo.bar.baz", "fo.bar"]),
        ("*.bar", &["foo.bar", "b.bar"], &["bar", "foo.bar.bar", "foo.baz"]),
        ("*.*", &["foo.bar"], &["foo", "foo.bar.baz"]),
        ("foo.*.baz", &["foo.bar.baz"], &["foo.baz", "foo.bar.bar.baz", "foo.bar"]),
        ("foo.>", &["foo.bar", "foo.bar.baz"], &["foo", "fo.bar", "bar.foo"]),
        ("*.>", &["foo.bar", "foo.bar.baz"], &["foo"]),
        ("foo.*.>", &["foo.bar.baz", "foo.a.b.c"], &["foo.bar", "foo"]),
        ("*.*.*.>", &["a.b.c.d", "a.b.c.d.e"], &["a.b.c"]),
        // Only as a whole token is it a wildcard.
        ("foo*", &["foo*"], &["foo", "fooo", "foo.bar"]),
        ("*foo.b*r", &["*foo.b*r"], &["xfoo.bar", "foo.bar"]),
        ("foo.**", &["foo.**"], &["foo.bar", "foo.b.c"]),
        ("foo>", &["foo>"], &["foo", "foo.bar", "foox"]),
        (">foo.bar", &[">foo.bar"], &["foo.bar", "xfoo.bar"]),
        ("foo.>>", &["foo.>>"], &["foo.bar"]),
    ] {
        for (subjects, delivered) in [(matching, true), (others, false)] {
            for subject in subjects {
                let input = format!("SUB {filter} 7\r\nPUB {subject} 1\r\nx\r\n");
                let delivery = format!("MSG {subject} 7 1\r\nx\r\n");
                check(&server, input, if delivered { &delivery } else { "" }, Open);
            }
        }
    }
}

#[test]
fn filters_match_beside_each_other() {
    let filters = [
        "a", "a.b", "a.b.c", "a.b.c.d", "*", "*.b", "a.*", "*.*", "a.b.*", "a.*.c", "*.b.c",
        "*.*.c", "*.*.*", "a.>", "a.b.>", "*.>", "*.b.>", ">", "b", "b.>", "a.*.*.d", "c.*.e",
    ];
    let subjects = ["a", "a.b", "a.b.c", "a.b.c.d", "b", "b.b", "b.b.c", "c.d.e", "x", "a.x.c"];
    let server = Server::start();
    let mut client = plain(&server);
    for (sid, filter) in filters.iter().enumerate() {
        client.send(format!("SUB {filter} {sid}\r\n"));
    }
    // Twice: the second time a server may remember its answer. Then with every second one gone.
    let mut subscribed = vec![true; filters.len()];
    for round in 0..3 {
        if round == 2 {
            for sid in (0..filters.len()).step_by(2) {
                client.send(format!("UNSUB {sid}\r\n"));
                subscribed[sid] = false;
            }
        }
        for subject in subjects {
            let mut expected: Vec<String> = (0..filters.len())
                .filter(|sid| subscribed[*sid] && matches(filters[*sid], subject))
                .map(|sid| sid.to_string())
                .collect();
            expected.sort();
            client.publish(subject, "x");
            let mut sids: Vec<String> = (0..expected.len())
                .map(|_| {
                    let message = client.message();
                    assert_eq!(message.subject, subject);
                    message.sid
                })
                .collect();
            sids.sort();
            assert_eq!(sids, expected, "{subject} in round {round}");
            client.ping();
        }
    }
}

/// What the table above says, as a rule.
fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in filter.split('.') {
        match (part, tokens.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[test]
fn malformed_subjects_are_refused_and_the_connection_stays() {
    let server = Server::start();
    for subject in [
        ".",
        "..",
        ".foo",
        "foo.",
        "foo..bar",
        "foo.bar.",
        "*.",
        ".*",
        ".>",
        ">.",
        "foo..*",
        "foo.>.bar",
        ">.bar",
        "foo.>.>",
        ">.>",
        "foo.>.",
    ] {
        for queue in ["", "group "] {
            let answer = "-ERR 'Invalid Subject'\r\n";
            check(&server, format!("SUB {subject} {queue}1\r\n"), answer, Open);
        }
    }
}

#[test]
fn a_refused_subscription_does_not_take_its_sid() {
    let server = Server::start();
    let input = "SUB foo..bar 1\r\nSUB foo 1\r\nPUB foo 0\r\n\r\n";
    check(&server, input, "-ERR 'Invalid Subject'\r\nMSG foo 1 0\r\n\r\n", Open);
}

#[test]
fn wrong_number_of_arguments_closes_without_an_answer() {
    let server = Server::start();
    for line in ["SUB foo", "SUB foo group 1 more", "SUB  foo\t", "UNSUB 1 2 3"] {
        check(&server, format!("{line}\r\n"), "", Closed);
    }
}

#[test]
fn arguments_are_split_at_spaces_and_tabs() {
    let server = Server::start();
    for (line, sid) in [
        ("SUB foo 1", "1"),
        ("sub foo 1", "1"),
        ("SuB\tfoo\t1", "1"),
        ("SUB   foo \t  1  \t", "1"),
        ("SUB foo group 1", "1"),
        ("SUB \t foo\t \tgroup   1", "1"),
        // A sid is any token.
        ("SUB foo some-sid_0.*>", "some-sid_0.*>"),
        ("SUB foo 0", "0"),
        ("SUB foo -1", "-1"),
        ("SUB foo 18446744073709551616", "18446744073709551616"),
        ("SUB foo \u{fc}", "\u{fc}"),
    ] {
        for end in ["\r\n", "\n"] {
            let input = format!("{line}{end}PUB foo 1\r\nx\r\n");
            check(&server, input, format!("MSG foo {sid} 1\r\nx\r\n"), Open);
        }
    }
}

#[test]
fn a_duplicate_sid_is_ignored() {
    let server = Server::start();
    let mut client = plain(&server);
    client.send("SUB foo 1\r\nSUB bar 1\r\nSUB foo 1\r\nSUB foo group 1\r\n");
    check_on(&mut client, "PUB bar 1\r\na\r\n", "", Open);
    check_on(&mut client, "PUB foo 1\r\nb\r\n", "MSG foo 1 1\r\nb\r\n", Open);
    check_on(&mut client, "UNSUB 1\r\nPUB foo 1\r\nc\r\n", "", Open);
}

#[test]
fn a_sid_belongs_to_its_connection() {
    let server = Server::start();
    let mut clients: Vec<RawClient> = (0..3).map(|_| plain(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("SUB foo.{number} 1\r\nSUB all 2\r\n"));
        client.ping();
    }
    clients[0].send("UNSUB 1\r\nPUB foo.0 0\r\n\r\nPUB foo.1 0\r\n\r\nPUB all 0\r\n\r\n");
    clients[0].expect_exact("MSG all 2 0\r\n\r\n");
    clients[1].expect_exact("MSG foo.1 1 0\r\n\r\nMSG all 2 0\r\n\r\n");
    clients[2].expect_exact("MSG all 2 0\r\n\r\n");
    for client in &mut clients {
        client.ping();
    }
}

#[test]
fn subscriptions_end_with_their_connection() {
    let server = Server::builder().monitoring().start();
    let mut leaving = plain(&server);
    leaving.send("SUB foo 1\r\nSUB foo.* 2\r\nSUB foo.* group 3\r\n");
    leaving.ping();
    let count = || server.varz()["subscriptions"].as_u64().expect("a number");
    let with = count();
    drop(leaving);
    fulmar_tests::eventually("the subscriptions to end", || count() + 3 == with);
    check(&server, "PUB foo 1\r\nx\r\n", "", Open);
}

/// Whoever has the PONG after a SUB misses nothing published later, by whatever connection, and
/// whoever has the PONG after an UNSUB gets nothing more.
#[test]
fn a_subscription_is_seen_by_every_publisher_after_its_pong() {
    const PUBLISHERS: usize = 6;
    const ROUNDS: usize = 120;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut subscriber = plain(server);
        let publishers: Vec<RawClient> = (0..PUBLISHERS).map(|_| plain(server)).collect();
        let subscribed = Barrier::new(PUBLISHERS + 1);
        let published = Barrier::new(PUBLISHERS + 1);
        thread::scope(|scope| {
            for (number, mut publisher) in publishers.into_iter().enumerate() {
                let (subscribed, published) = (&subscribed, &published);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        // Asked before, so that a remembered answer would be the wrong one.
                        publisher.publish(&subject(round), "early");
                        publisher.ping();
                        subscribed.wait();
                        subscribed.wait();
                        publisher.publish(&subject(round), number.to_string());
                        publisher.ping();
                        published.wait();
                        published.wait();
                        publisher.publish(&subject(round), "late");
                        publisher.ping();
                    }
                });
            }
            for round in 0..ROUNDS {
                subscribed.wait();
                let filter = match round % 4 {
                    0 => subject(round),
                    1 => format!("visible.{round}.*"),
                    2 => format!("*.{round}.>"),
                    _ => format!("{} group", subject(round)),
                };
                subscriber.send(format!("SUB {filter} {round}\r\n"));
                subscriber.ping();
                subscribed.wait();
                published.wait();
                let mut from: Vec<usize> = (0..PUBLISHERS)
                    .map(|_| {
                        let payload = subscriber.message().payload;
                        String::from_utf8(payload).unwrap().parse().unwrap()
                    })
                    .collect();
                from.sort_unstable();
                assert_eq!(from, (0..PUBLISHERS).collect::<Vec<_>>());
                subscriber.send(format!("UNSUB {round}\r\n"));
                subscriber.ping();
                published.wait();
            }
        });
        subscriber.ping();
    });

    fn subject(round: usize) -> String {
        format!("visible.{round}.x")
    }
}

/// Many connections subscribe and unsubscribe while others publish: nobody gets what it did not
/// ask for, and the one that stays gets all.
#[test]
fn changing_subscriptions_disturb_nobody() {
    const CHANGING: usize = 4;
    const MESSAGES: usize = 3_000;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut staying = plain(server);
        staying.send("SUB stay.* 1\r\n");
        staying.ping();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..CHANGING {
                let done = &done;
                scope.spawn(move || {
                    let mut client = plain(server);
                    let mut sid = 0;
                    while !done.load(Ordering::Relaxed) {
                        sid += 1;
                        let own = format!("change.{number}.{sid}");
                        client.send(format!(
                            "SUB {own} {sid}\r\nSUB change.{number}.{sid}.> g{sid}\r\n"
                        ));
                        client.publish(&own, "x");
                        client.send(format!("UNSUB {sid}\r\nUNSUB g{sid}\r\n"));
                        client.publish(&own, "y");
                        client.expect_exact(format!("MSG {own} {sid} 1\r\nx\r\n"));
                        client.ping();
                    }
                });
            }
            let mut publisher = plain(server);
            for number in 0..MESSAGES {
                publisher.publish("stay.here", number.to_string());
            }
            for number in 0..MESSAGES {
                assert_eq!(staying.message().payload, number.to_string().into_bytes());
            }
            staying.ping();
            done.store(true, Ordering::Relaxed);
        });
    });
}
