//! Pull requests: what they ask for, how they end, and how they wait.

use fulmar_tests::{JetStream, Message, Subscription, assert_contains, payloads, sequences};
use serde_json::{Value, json};

use crate::{
    MILLISECOND, SECOND, check_pending, consumer, start, start_with, start_with_consumer, stream,
    wait_for_waiting,
};

const NO_MESSAGES: &str = "404 No Messages";
const TIMEOUT: &str = "408 Request Timeout";

#[test]
fn a_message_comes_as_published_with_an_ack_subject() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_with("s.a.b", &[("A", "b")], "body");
    js.publish("s.c", "");
    check_pending(&mut js, 2);
    let messages = js.fetch("S", "C", 2);
    let first = &messages[0];
    assert_eq!((first.subject.as_str(), first.text().as_str()), ("s.a.b", "body"));
    assert_eq!(first.headers, b"NATS/1.0\r\nA: b\r\n\r\n");
    let delivery = first.delivery();
    assert_eq!((delivery.stream.as_str(), delivery.consumer.as_str()), ("S", "C"));
    assert_eq!((delivery.delivered, delivery.stream_sequence), (1, 1));
    assert_eq!((delivery.consumer_sequence, delivery.pending), (1, 1));
    assert_eq!(first.reply.as_deref().map(|reply| reply.split('.').count()), Some(9));
    let second = &messages[1];
    assert_eq!(
        (second.subject.as_str(), &second.headers[..], &second.payload[..]),
        ("s.c", &b""[..], &b""[..])
    );
    let delivery = second.delivery();
    assert_eq!((delivery.stream_sequence, delivery.consumer_sequence, delivery.pending), (2, 2, 0));
}

#[test]
fn the_ack_subject_tells_when_the_message_was_stored() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish("s.a", "");
    let timestamp_ns = js.next("S", "C").delivery().timestamp_ns;
    let time = js.get("S", 1)["message"]["time"].take();
    // Compared by the part below a second, which both write in decimal digits.
    let time = time.as_str().expect("a time");
    let fraction = time.split_once('.').expect("a fraction").1.trim_end_matches('Z');
    let digits = format!("{:09}", timestamp_ns % SECOND);
    assert_eq!(digits.trim_end_matches('0'), fraction);
}

#[test]
fn an_empty_body_asks_for_one_message() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 3);
    let pull = js.pull("S", "C", "");
    assert_eq!(js.receive(&pull).text(), "1");
    check_rest(&mut js, &pull, &["2", "3"]);
}

#[test]
fn a_number_asks_for_so_many_messages() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 4);
    let pull = js.pull("S", "C", "3");
    let messages: Vec<_> = (0..3).map(|_| js.receive(&pull)).collect();
    assert_eq!(payloads(&messages), ["1", "2", "3"]);
    check_rest(&mut js, &pull, &["4"]);
}

#[test]
fn a_batch_ends_silently_when_it_is_full() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 5);
    let pull = js.pull("S", "C", json!({"batch": 2, "expires": 60 * SECOND}));
    assert_eq!(payloads(&[js.receive(&pull), js.receive(&pull)]), ["1", "2"]);
    check_rest(&mut js, &pull, &["3", "4", "5"]);
}

#[test]
fn a_request_waits_for_messages_that_come_later() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let pull = js.pull("S", "C", json!({"batch": 2}));
    wait_for_waiting(&mut js, "C", 1);
    js.publish("s.a", "1");
    assert_eq!(js.receive(&pull).text(), "1");
    js.publish("s.a", "2");
    assert_eq!(js.receive(&pull).text(), "2");
}

#[test]
fn without_waiting_it_gets_what_is_there_and_404() {
    let (_server, mut js) = start_with_consumer(json!({}));
    check_end(&mut js, json!({"no_wait": true}), 0, NO_MESSAGES);
    js.publish_numbers("s.a", 3);
    check_pending(&mut js, 3);
    let end = check_end(&mut js, json!({"no_wait": true, "batch": 10}), 3, NO_MESSAGES);
    assert_eq!(end.headers, b"NATS/1.0 404 No Messages\r\n\r\n");
    check_end(&mut js, json!({"no_wait": true, "batch": 10}), 0, NO_MESSAGES);
}

#[test]
fn without_waiting_but_with_an_expiry_it_waits_when_nothing_is_there() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let request = json!({"no_wait": true, "batch": 2, "expires": 100 * MILLISECOND});
    check_end(&mut js, request, 0, TIMEOUT);
    let pull = js.pull("S", "C", json!({"no_wait": true, "batch": 2, "expires": 60 * SECOND}));
    wait_for_waiting(&mut js, "C", 1);
    js.publish("s.a", "late");
    assert_eq!(js.receive(&pull).text(), "late");
}

#[test]
fn an_expired_request_tells_what_it_did_not_get() {
    let (_server, mut js) = start_with_consumer(json!({"ack_policy": "none"}));
    js.publish("s.a", "12345");
    let request = json!({"batch": 3, "expires": 100 * MILLISECOND});
    let end = check_end(&mut js, request, 1, TIMEOUT);
    assert_eq!(
        String::from_utf8_lossy(&end.headers),
        "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 2\r\nNats-Pending-Bytes: 0\r\n\r\n"
    );
    js.publish("s.a", "12345");
    let request = json!({"batch": 3, "max_bytes": 1_000, "expires": 100 * MILLISECOND});
    let end = check_end(&mut js, request, 1, TIMEOUT);
    assert_eq!(end.header("Nats-Pending-Messages").as_deref(), Some("2"));
    // What counts is subject, reply and payload.
    let left: usize = end.header("Nats-Pending-Bytes").and_then(|text| text.parse().ok()).unwrap();
    assert!((900..1_000 - 8).contains(&left), "{left}");
}

#[test]
fn an_unlimited_request_waits_without_an_end() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let unlimited = js.pull("S", "C", json!({"batch": 1}));
    wait_for_waiting(&mut js, "C", 1);
    check_end(&mut js, json!({"batch": 1, "expires": 100 * MILLISECOND}), 0, TIMEOUT);
    js.publish("s.a", "for the first");
    assert_eq!(js.receive(&unlimited).text(), "for the first");
}

#[test]
fn max_bytes_ends_before_the_message_that_is_too_much() {
    let (_server, mut js) = start_with_consumer(json!({"ack_policy": "none"}));
    js.publish("s.a", "x".repeat(100));
    js.publish("s.a", "x".repeat(1_000));
    let status = "409 Message Size Exceeds MaxBytes";
    let end = check_end(&mut js, json!({"batch": 10, "max_bytes": 100}), 0, status);
    assert_eq!(end.header("Nats-Pending-Messages").as_deref(), Some("10"));
    assert_eq!(end.header("Nats-Pending-Bytes").as_deref(), Some("100"));
    let end = check_end(&mut js, json!({"batch": 10, "max_bytes": 1_000}), 1, status);
    assert_eq!(end.header("Nats-Pending-Messages").as_deref(), Some("9"));
    check_pending(&mut js, 1);
    check_end(&mut js, json!({"batch": 10, "max_bytes": 10_000, "no_wait": true}), 1, NO_MESSAGES);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let large = "400 Bad Request - heartbeat value too large";
    for (request, expected) in [
        (r#"{"expires":100000000,"idle_heartbeat":50000001}"#, large),
        (r#"{"idle_heartbeat":1000000}"#, large),
        ("{", "400 Bad Request - unexpected end of JSON input"),
    ] {
        let pull = js.pull("S", "C", request);
        assert_eq!(js.receive(&pull).status().as_deref(), Some(expected), "{request}");
    }
    for request in [r#"{"batch":"1"}"#, r#"{"expires":"1s"}"#, r#"{"no_wait":1}"#] {
        let pull = js.pull("S", "C", request);
        let status = js.receive(&pull).status().unwrap_or_default();
        assert!(status.starts_with("400 Bad Request - "), "{request}: {status}");
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let (_server, mut js) = start_with_consumer(json!({}));
    check_end(&mut js, json!({"no_wait": true, "unheard_of": 1}), 0, NO_MESSAGES);
}

#[test]
fn waiting_requests_are_served_in_turn() {
    let (_server, mut js) = start_with_consumer(json!({"ack_policy": "none"}));
    let first = js.pull("S", "C", json!({"batch": 2}));
    wait_for_waiting(&mut js, "C", 1);
    let second = js.pull("S", "C", json!({"batch": 2}));
    wait_for_waiting(&mut js, "C", 2);
    js.publish_numbers("s.a", 4);
    let messages = [js.receive(&first), js.receive(&first)];
    assert_eq!(payloads(&messages), ["1", "3"]);
    let messages = [js.receive(&second), js.receive(&second)];
    assert_eq!(payloads(&messages), ["2", "4"]);
}

#[test]
fn no_more_requests_wait_than_the_consumer_allows() {
    let (_server, mut js) = start_with_consumer(json!({"max_waiting": 2}));
    for waiting in 1..=2 {
        js.pull("S", "C", json!({"expires": 60 * SECOND}));
        wait_for_waiting(&mut js, "C", waiting);
    }
    let end = check_end(&mut js, json!({"expires": 60 * SECOND}), 0, "409 Exceeded MaxWaiting");
    assert_eq!(end.headers, b"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n");
    // One that does not wait is answered.
    check_end(&mut js, json!({"no_wait": true}), 0, NO_MESSAGES);
}

#[test]
fn with_a_heartbeat_it_is_not_told_that_too_many_wait() {
    let (_server, mut js) = start_with_consumer(json!({"max_waiting": 1}));
    js.pull("S", "C", json!({"expires": 60 * SECOND}));
    wait_for_waiting(&mut js, "C", 1);
    let request = json!({"expires": 60 * SECOND, "idle_heartbeat": 10 * MILLISECOND});
    let silent = js.pull("S", "C", request);
    check_end(&mut js, json!({"expires": SECOND}), 0, "409 Exceeded MaxWaiting");
    assert_eq!(js.arrived(&silent), []);
}

#[test]
fn requests_keep_within_the_limits_of_the_consumer() {
    let (_server, mut js) = start_with_consumer(json!({
        "max_batch": 5, "max_expires": 100 * MILLISECOND, "max_bytes": 1_000,
    }));
    for (request, expected) in [
        (json!({"batch": 6}), "409 Exceeded MaxRequestBatch of 5"),
        (
            json!({"batch": 5, "expires": 101 * MILLISECOND}),
            "409 Exceeded MaxRequestExpires of 100ms",
        ),
        (json!({"batch": 5, "max_bytes": 1_001}), "409 Exceeded MaxRequestMaxBytes of 1000"),
    ] {
        check_end(&mut js, request, 0, expected);
    }
    let request = json!({"batch": 5, "expires": 100 * MILLISECOND, "max_bytes": 1_000});
    check_end(&mut js, request, 0, TIMEOUT);
}

#[test]
fn a_push_consumer_cannot_be_pulled() {
    let (_server, mut js) = start_with_consumer(json!({"deliver_subject": "d.x"}));
    let end = check_end(&mut js, json!({}), 0, "409 Consumer is push based");
    assert_eq!(end.headers, b"NATS/1.0 409 Consumer is push based\r\n\r\n");
}

#[test]
fn a_request_ends_with_its_consumer() {
    for whole_stream in [false, true] {
        let (_server, mut js) = start_with_consumer(json!({}));
        let pull = js.pull("S", "C", json!({"batch": 3, "expires": 60 * SECOND}));
        wait_for_waiting(&mut js, "C", 1);
        js.ok(if whole_stream { "STREAM.DELETE.S" } else { "CONSUMER.DELETE.S.C" }, "");
        assert_eq!(js.receive(&pull).headers, b"NATS/1.0 409 Consumer Deleted\r\n\r\n");
    }
}

#[test]
fn heartbeats_come_while_there_is_nothing_else() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 2);
    let request =
        json!({"batch": 10, "expires": 400 * MILLISECOND, "idle_heartbeat": 100 * MILLISECOND});
    let pull = js.pull("S", "C", request);
    assert_eq!(payloads(&[js.receive(&pull), js.receive(&pull)]), ["1", "2"]);
    let beat = js.receive(&pull);
    assert_eq!(
        String::from_utf8_lossy(&beat.headers),
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n"
    );
    assert_eq!((beat.reply.as_deref(), beat.text().as_str()), (None, ""));
    let mut beats = 1;
    let end = loop {
        let message = js.receive(&pull);
        match message.status().as_deref() {
            Some("100 Idle Heartbeat") => beats += 1,
            _ => break message,
        }
    };
    assert_eq!(end.status().as_deref(), Some(TIMEOUT));
    assert!((2..=4).contains(&beats), "{beats}");
}

#[test]
fn a_request_of_somebody_who_left_is_forgotten() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let gone = js.pull("S", "C", json!({"batch": 1, "expires": 60 * SECOND}));
    wait_for_waiting(&mut js, "C", 1);
    js.unsubscribe(gone);
    js.publish("s.a", "1");
    let message = js.next("S", "C");
    assert_eq!((message.text().as_str(), message.delivery().delivered), ("1", 1));
    wait_for_waiting(&mut js, "C", 0);
}

#[test]
fn max_ack_pending_holds_back_the_rest() {
    let (_server, mut js) = start_with_consumer(json!({"max_ack_pending": 2}));
    js.publish_numbers("s.a", 5);
    let pull = js.pull("S", "C", json!({"batch": 5, "expires": 60 * SECOND}));
    let messages = [js.receive(&pull), js.receive(&pull)];
    assert_contains(&js.consumer_info("S", "C"), &json!({"num_ack_pending": 2, "num_pending": 3}));
    assert_eq!(js.arrived(&pull), []);
    js.acknowledge(&messages[0], "");
    assert_eq!(js.receive(&pull).text(), "3");
    js.acknowledge(&messages[1], "");
    assert_eq!(js.receive(&pull).text(), "4");
}

#[test]
fn headers_only_replaces_the_body_by_its_size() {
    let (_server, mut js) = start_with_consumer(json!({"headers_only": true}));
    js.publish("s.a", "12345");
    js.publish_with("s.a", &[("A", "b")], "1234567");
    js.publish("s.a", "");
    let messages = js.fetch("S", "C", 3);
    for (message, headers) in messages.iter().zip([
        "NATS/1.0\r\nNats-Msg-Size: 5\r\n\r\n",
        "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 7\r\n\r\n",
        "NATS/1.0\r\nNats-Msg-Size: 0\r\n\r\n",
    ]) {
        assert_eq!(String::from_utf8_lossy(&message.headers), headers);
        assert_eq!(message.text(), "");
    }
}

#[test]
fn two_consumers_do_not_know_of_each_other() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.consumer("S", consumer(json!({"durable_name": "D"})));
    js.publish_numbers("s.a", 3);
    let messages = js.fetch("S", "C", 3);
    js.acknowledge(&messages[0], "");
    assert_eq!(sequences(&js.fetch("S", "D", 3)), [1, 2, 3]);
    assert_eq!(js.consumer_info("S", "D")["num_ack_pending"], 3);
    assert_eq!(js.consumer_info("S", "C")["num_ack_pending"], 2);
}

#[test]
fn members_that_pull_together_share_the_messages() {
    let (server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 60);
    let mut members: Vec<_> = (0..3).map(|_| server.jetstream()).collect();
    let mut all = Vec::new();
    for _ in 0..4 {
        for member in &mut members {
            all.extend(sequences(&member.fetch("S", "C", 5)));
        }
    }
    all.sort_unstable();
    assert_eq!(all, (1..=60).collect::<Vec<u64>>());
}

#[test]
fn the_server_needs_no_reply_to_drop_a_request() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.send("$JS.API.CONSUMER.MSG.NEXT.S.C", "", &[], "");
    js.publish("s.a", "1");
    assert_eq!(js.next("S", "C").delivery().delivered, 1);
}

#[test]
fn an_ephemeral_consumer_disappears_when_nobody_pulls() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"name": "C", "inactive_threshold": 100 * MILLISECOND}));
    js.consumer("S", json!({"durable_name": "D", "inactive_threshold": 100 * MILLISECOND}));
    js.consumer("S", json!({"durable_name": "E"}));
    fulmar_tests::eventually("only the one that stays", || {
        js.ok("CONSUMER.NAMES.S", "")["consumers"] == json!(["E"])
    });
}

#[test]
fn a_waiting_request_keeps_an_ephemeral_consumer() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"name": "C", "inactive_threshold": 100 * MILLISECOND}));
    js.consumer("S", json!({"name": "D", "inactive_threshold": 100 * MILLISECOND}));
    let pull = js.pull("S", "C", json!({"batch": 1, "expires": 60 * SECOND}));
    fulmar_tests::eventually("only the one that is used", || {
        js.ok("CONSUMER.NAMES.S", "")["consumers"] == json!(["C"])
    });
    js.publish("s.a", "1");
    assert_eq!(js.receive(&pull).text(), "1");
}

#[test]
fn original_replay_keeps_the_distance_between_messages() {
    let (_server, mut js) = start();
    js.stream(stream(json!({})));
    js.publish("s.a", "1");
    // The second is stored once the first one has this age.
    let age = 300 * MILLISECOND;
    js.consumer("S", consumer(json!({"durable_name": "A", "ack_wait": age})));
    js.next("S", "A");
    js.next("S", "A");
    js.publish("s.a", "2");
    js.consumer("S", consumer(json!({"replay_policy": "original"})));
    let start = std::time::Instant::now();
    assert_eq!(payloads(&js.fetch("S", "C", 2)), ["1", "2"]);
    assert!(start.elapsed().as_nanos() >= u128::from(age) * 2 / 3, "{:?}", start.elapsed());
}

/// A pull with this request gets so many messages and then this status.
#[track_caller]
fn check_end(js: &mut JetStream, request: Value, messages: usize, status: &str) -> Message {
    let pull = js.pull("S", "C", request.clone());
    for number in 0..messages {
        assert_eq!(js.receive(&pull).status(), None, "{request}, message {number}");
    }
    let end = js.receive(&pull);
    assert_eq!(end.status().as_deref(), Some(status), "{request}");
    end
}

/// Nothing more came to this request, and the next one gets these.
#[track_caller]
fn check_rest(js: &mut JetStream, pull: &Subscription, expected: &[&str]) {
    assert_eq!(payloads(&js.fetch("S", "C", expected.len())), expected);
    js.expect_nothing("S", "C");
    assert_eq!(js.arrived(pull), []);
}
