//! Order: what one publisher sends arrives in that order, at every subscriber, always.

use std::thread;

use fulmar_tests::{RawClient, Server, is_fulmar};

use crate::plain;

/// Several publishers, several subscribers, several subjects: every subscriber has every message
/// once, and those of one publisher in order, across subjects and across subscriptions.
#[test]
fn each_publisher_is_heard_in_order() {
    const PUBLISHERS: usize = 4;
    const MESSAGES: usize = 2_000;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut subscribers: Vec<RawClient> = (0..4).map(|_| plain(server)).collect();
        for (number, subscriber) in subscribers.iter_mut().enumerate() {
            // The same interest said in different ways.
            subscriber.send(match number {
                0 => "SUB order.* 1\r\n",
                1 => "SUB order.0 1\r\nSUB order.1 2\r\nSUB order.2 3\r\n",
                2 => "SUB > 1\r\n",
                _ => "SUB order.0 group 1\r\nSUB *.1 2\r\nSUB order.2 3\r\n",
            });
            subscriber.ping();
        }
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                scope.spawn(move || {
                    let mut client = plain(server);
                    for number in 0..MESSAGES {
                        let subject = format!("order.{}", number % 3);
                        client.publish(&subject, format!("{publisher} {number}"));
                    }
                    client.ping();
                });
            }
            for subscriber in &mut subscribers {
                scope.spawn(move || {
                    let mut next = [0; PUBLISHERS];
                    for _ in 0..PUBLISHERS * MESSAGES {
                        let message = subscriber.message();
                        let text = String::from_utf8(message.payload).unwrap();
                        let (publisher, number) = text.split_once(' ').unwrap();
                        let publisher: usize = publisher.parse().unwrap();
                        assert_eq!(number, next[publisher].to_string(), "of {publisher}");
                        assert_eq!(message.subject, format!("order.{}", next[publisher] % 3));
                        next[publisher] += 1;
                    }
                    subscriber.ping();
                });
            }
        });
    });
}

/// Cause before effect: who hears `cause` and answers with `effect` is heard after it, by a third
/// connection too.
///
/// NATS does not promise this, and nats-server does not keep it on a loaded machine: the answer may
/// be under way before the last subscriber has the cause. Fulmar promises it, with any number of
/// reactors.
#[test]
fn an_effect_never_overtakes_its_cause() {
    const ROUNDS: usize = 500;
    if !is_fulmar() {
        return;
    }
    for reactors in ["1", "2", "4"] {
        let server = &Server::builder().arguments(["--reactors", reactors]).start();
        let mut observers: Vec<RawClient> = (0..4).map(|_| plain(server)).collect();
        for observer in &mut observers {
            observer.send("SUB cause 1\r\nSUB effect 2\r\n");
            observer.ping();
        }
        let mut first = plain(server);
        let mut second = plain(server);
        first.send("SUB effect 1\r\n");
        first.ping();
        second.send("SUB cause 1\r\n");
        second.ping();
        for round in 0..ROUNDS {
            first.publish("cause", round.to_string());
            second.message();
            second.publish("effect", round.to_string());
            first.message();
        }
        for observer in &mut observers {
            for round in 0..ROUNDS {
                let text = round.to_string();
                let bytes = text.len();
                observer.expect_exact(format!(
                    "MSG cause 1 {bytes}\r\n{text}\r\nMSG effect 2 {bytes}\r\n{text}\r\n"
                ));
            }
            observer.ping();
        }
    }
}

/// After the PONG of a publisher, whoever asks with a PING has its messages before the PONG.
#[test]
fn what_was_flushed_is_delivered_before_a_later_pong() {
    Server::for_each_reactor_count(&Server::builder(), |server| {
        let mut publishers: Vec<RawClient> = (0..3).map(|_| plain(server)).collect();
        let mut subscribers: Vec<RawClient> = (0..3).map(|_| plain(server)).collect();
        for subscriber in &mut subscribers {
            subscriber.send("SUB flush 1\r\n");
            subscriber.ping();
        }
        for round in 0..200 {
            let publisher = &mut publishers[round % 3];
            publisher.publish("flush", "x");
            publisher.ping();
            for subscriber in &mut subscribers {
                subscriber.send("PING\r\n");
                subscriber.expect_exact("MSG flush 1 1\r\nx\r\nPONG\r\n");
            }
        }
    });
}

/// Requests and replies of many pairs at once find each other.
#[test]
fn replies_find_their_requests() {
    const REQUESTERS: usize = 6;
    const REQUESTS: usize = 200;
    Server::for_each_reactor_count(&Server::builder(), |server| {
        thread::scope(|scope| {
            let responders: Vec<_> = (0..2)
                .map(|_| {
                    let mut responder = plain(server);
                    responder.send("SUB service group 1\r\nSUB stop 2\r\n");
                    responder.ping();
                    scope.spawn(move || {
                        let mut answered = 0;
                        loop {
                            let request = responder.message();
                            if request.sid == "2" {
                                return answered;
                            }
                            let reply = request.reply.expect("a request says where to reply");
                            let answer = [&request.payload[..], b"!"].concat();
                            responder.publish(&reply, answer);
                            answered += 1;
                        }
                    })
                })
                .collect();
            let requesters: Vec<_> = (0..REQUESTERS)
                .map(|number| {
                    scope.spawn(move || {
                        let mut client = plain(server);
                        client.send(format!("SUB inbox.{number}.* 1\r\n"));
                        for request in 0..REQUESTS {
                            let text = format!("{number} {request}");
                            let bytes = text.len();
                            client.send(format!(
                                "PUB service inbox.{number}.{request} {bytes}\r\n{text}\r\n"
                            ));
                            client.expect_exact(format!(
                                "MSG inbox.{number}.{request} 1 {}\r\n{text}!\r\n",
                                bytes + 1
                            ));
                        }
                    })
                })
                .collect();
            for requester in requesters {
                requester.join().expect("the requester got its replies");
            }
            plain(server).publish("stop", "");
            let answered: usize =
                responders.into_iter().map(|responder| responder.join().expect("it stopped")).sum();
            assert_eq!(answered, REQUESTERS * REQUESTS);
        });
    });
}
