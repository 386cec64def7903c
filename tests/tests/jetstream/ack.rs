//! Answering messages: every kind of ack, and what is delivered again, when and how often.

use fulmar_tests::{JetStream, Subscription, assert_contains, payloads, sequences};
use serde_json::json;

use crate::{MILLISECOND, SECOND, start_with, start_with_consumer};

#[test]
fn an_ack_that_asks_is_answered_with_nothing() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish("s.a", "");
    let message = js.next("S", "C");
    let answer = js.request(message.reply.as_deref().unwrap(), &[], "+ACK");
    assert_eq!((&answer.headers[..], &answer.payload[..]), (&b""[..], &b""[..]));
    assert_eq!(answer.reply, None);
    assert_eq!(js.consumer_info("S", "C")["num_ack_pending"], 0);
}

#[test]
fn these_bodies_acknowledge() {
    for body in ["", "+ACK", "+OK"] {
        let (_server, mut js) = start_with_consumer(json!({"ack_wait": 100 * MILLISECOND}));
        js.publish_numbers("s.a", 2);
        let message = js.next("S", "C");
        js.acknowledge(&message, body);
        assert_contains(
            &js.consumer_info("S", "C"),
            &json!({"num_ack_pending": 0, "ack_floor": {"consumer_seq": 1, "stream_seq": 1}}),
        );
        // Whatever is delivered now, it is not the first.
        assert_eq!(sequences(&js.fetch("S", "C", 2)), [2, 2]);
    }
}

#[test]
fn an_ack_without_reply_counts_too() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish("s.a", "");
    let message = js.next("S", "C");
    js.send(message.reply.as_deref().unwrap(), "", &[], "+ACK");
    fulmar_tests::eventually("the ack", || js.consumer_info("S", "C")["num_ack_pending"] == 0);
}

#[test]
fn an_ack_may_come_from_another_connection_and_twice() {
    let (server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 2);
    let messages = js.fetch("S", "C", 2);
    let mut other = server.jetstream();
    for _ in 0..3 {
        other.acknowledge(&messages[0], "");
    }
    assert_contains(&js.consumer_info("S", "C"), &json!({"num_ack_pending": 1}));
}

#[test]
fn an_ack_of_all_takes_what_came_before() {
    let (_server, mut js) = start_with_consumer(json!({"ack_policy": "all"}));
    js.publish_numbers("s.a", 5);
    let messages = js.fetch("S", "C", 5);
    js.acknowledge(&messages[2], "");
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"num_ack_pending": 2, "ack_floor": {"consumer_seq": 3, "stream_seq": 3}}),
    );
    // One that is covered changes nothing.
    js.acknowledge(&messages[0], "");
    assert_contains(&js.consumer_info("S", "C"), &json!({"num_ack_pending": 2}));
    js.acknowledge(&messages[4], "");
    assert_contains(&js.consumer_info("S", "C"), &json!({"num_ack_pending": 0}));
}

#[test]
fn without_acks_nothing_is_pending() {
    let (_server, mut js) = start_with_consumer(json!({"ack_policy": "none"}));
    js.publish_numbers("s.a", 3);
    let messages = js.fetch("S", "C", 3);
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({
            "num_ack_pending": 0, "delivered": {"consumer_seq": 3, "stream_seq": 3},
            "ack_floor": {"consumer_seq": 3, "stream_seq": 3},
        }),
    );
    js.send(messages[0].reply.as_deref().unwrap(), "", &[], "-NAK");
    js.expect_nothing("S", "C");
}

#[test]
fn what_is_not_acknowledged_comes_again() {
    let (_server, mut js) = start_with_consumer(json!({"ack_wait": 100 * MILLISECOND}));
    js.publish_numbers("s.a", 2);
    let first = js.fetch("S", "C", 2);
    js.acknowledge(&first[0], "");
    let again = js.next("S", "C").delivery();
    assert_eq!((again.delivered, again.stream_sequence, again.consumer_sequence), (2, 2, 3));
    assert_eq!(again.timestamp_ns, first[1].delivery().timestamp_ns);
    let third = js.next("S", "C");
    assert_eq!((third.delivery().delivered, third.delivery().consumer_sequence), (3, 4));
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"num_ack_pending": 1, "num_redelivered": 1, "delivered": {"consumer_seq": 4, "stream_seq": 2}}),
    );
    js.acknowledge(&third, "");
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"num_ack_pending": 0, "num_redelivered": 0, "ack_floor": {"stream_seq": 2}}),
    );
}

#[test]
fn an_ack_of_an_older_delivery_counts() {
    let (_server, mut js) = start_with_consumer(json!({"ack_wait": 100 * MILLISECOND}));
    js.publish("s.a", "");
    let first = js.next("S", "C");
    js.next("S", "C");
    js.acknowledge(&first, "");
    assert_eq!(js.consumer_info("S", "C")["num_ack_pending"], 0);
}

#[test]
fn a_nak_brings_the_message_again_at_once() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 2);
    let message = js.next("S", "C");
    js.acknowledge(&message, "-NAK");
    // Before what was never delivered.
    let messages = js.fetch("S", "C", 2);
    assert_eq!(sequences(&messages), [1, 2]);
    assert_eq!(messages[0].delivery().delivered, 2);
    assert_eq!(messages[1].delivery().delivered, 1);
}

#[test]
fn a_nak_may_ask_for_a_delay() {
    for delay in ["-NAK {\"delay\":200000000}", "-NAK 200ms", "-NAK {\"delay\": 200000000}"] {
        let (_server, mut js) = start_with_consumer(json!({}));
        js.publish_numbers("s.a", 2);
        let message = js.next("S", "C");
        let start = std::time::Instant::now();
        js.acknowledge(&message, delay);
        let messages = js.fetch("S", "C", 2);
        assert_eq!(sequences(&messages), [2, 1], "{delay}");
        assert_eq!(messages[1].delivery().delivered, 2);
        assert!(start.elapsed().as_millis() >= 190, "{delay}: {:?}", start.elapsed());
    }
}

#[test]
fn a_nak_with_a_broken_delay_has_none() {
    for body in ["-NAK {", "-NAK x", "-NAK {\"delay\":\"1h\"}", "-NAK -5s"] {
        let (_server, mut js) = start_with_consumer(json!({}));
        js.publish("s.a", "");
        let message = js.next("S", "C");
        js.acknowledge(&message, body);
        assert_eq!(js.next("S", "C").delivery().delivered, 2, "{body}");
    }
}

#[test]
fn work_in_progress_begins_the_wait_again() {
    let (_server, mut js) = start_with_consumer(json!({"ack_wait": SECOND}));
    js.publish_numbers("s.a", 2);
    let messages = js.fetch("S", "C", 2);
    let start = std::time::Instant::now();
    let pull = js.pull("S", "C", json!({"batch": 2}));
    // Two messages delivered together; only one of them is worked on.
    while start.elapsed().as_millis() < 700 {
        js.acknowledge(&messages[0], "+WPI");
    }
    assert_eq!(js.receive(&pull).delivery().stream_sequence, 2);
    assert_eq!(js.receive(&pull).delivery().stream_sequence, 1);
    assert!(start.elapsed().as_millis() >= 1_500, "{:?}", start.elapsed());
}

#[test]
fn a_terminated_message_never_comes_again() {
    for body in ["+TERM", "+TERM it is broken"] {
        let (_server, mut js) = start_with_consumer(json!({"ack_wait": 100 * MILLISECOND}));
        js.publish_numbers("s.a", 2);
        let message = js.next("S", "C");
        js.acknowledge(&message, body);
        assert_contains(
            &js.consumer_info("S", "C"),
            &json!({"num_ack_pending": 0, "ack_floor": {"stream_seq": 1}}),
        );
        assert_eq!(sequences(&js.fetch("S", "C", 2)), [2, 2], "{body}");
        // It stays in the stream.
        assert_eq!(js.state("S")["messages"], 2);
    }
}

#[test]
fn an_ack_may_ask_for_the_next_messages() {
    let (_server, mut js) = start_with_consumer(json!({"ack_policy": "explicit"}));
    js.publish_numbers("s.a", 6);
    let message = js.next("S", "C");
    let answers = js.start_request(message.reply.as_deref().unwrap(), &[], "+NXT");
    let second = js.receive(&answers);
    assert_eq!(second.text(), "2");
    let answers = js.start_request(second.reply.as_deref().unwrap(), &[], "+NXT 2");
    assert_eq!(payloads(&[js.receive(&answers), js.receive(&answers)]), ["3", "4"]);
    let request = "+NXT {\"batch\": 5, \"no_wait\": true}";
    let answers = js.start_request(second.reply.as_deref().unwrap(), &[], request);
    assert_eq!(payloads(&[js.receive(&answers), js.receive(&answers)]), ["5", "6"]);
    assert_eq!(js.receive(&answers).status().as_deref(), Some("404 No Messages"));
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"num_ack_pending": 4, "ack_floor": {"stream_seq": 2}}),
    );
}

#[test]
fn unknown_bodies_change_nothing() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 2);
    let messages = js.fetch("S", "C", 2);
    for body in ["+FOO", "ACK", "-ACK", "x", "{}"] {
        js.send(messages[0].reply.as_deref().unwrap(), "", &[], body);
    }
    js.acknowledge(&messages[1], "");
    assert_contains(&js.consumer_info("S", "C"), &json!({"num_ack_pending": 1}));
}

#[test]
fn acks_of_what_was_never_delivered_change_nothing() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 3);
    let message = js.next("S", "C");
    for subject in [
        "$JS.ACK.S.C.1.2.2.1700000000000000000.1",
        "$JS.ACK.S.C.1.99.99.1700000000000000000.1",
        "$JS.ACK.S.C.1.0.0.0.0",
        "$JS.ACK.S.C.x.y.z.a.b",
    ] {
        js.send(subject, "", &[], "+ACK");
    }
    js.acknowledge(&message, "");
    let info = js.consumer_info("S", "C");
    assert_contains(
        &info,
        &json!({
            "num_ack_pending": 0, "num_pending": 2, "delivered": {"stream_seq": 1},
            "ack_floor": {"stream_seq": 1},
        }),
    );
    assert_eq!(sequences(&js.fetch("S", "C", 2)), [2, 3]);
}

#[test]
fn max_deliver_ends_the_redelivery() {
    let (_server, mut js) =
        start_with_consumer(json!({"ack_wait": 100 * MILLISECOND, "max_deliver": 2}));
    let given_up = listen_for_giving_up(&mut js);
    js.publish("s.a", "");
    assert_eq!(js.next("S", "C").delivery().delivered, 1);
    assert_eq!(js.next("S", "C").delivery().delivered, 2);
    let pull = js.pull("S", "C", "");
    js.receive(&given_up);
    assert_eq!(js.arrived(&pull), []);
    js.publish("s.a", "new");
    assert_eq!(js.receive(&pull).text(), "new");
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn max_deliver_of_one_never_delivers_again() {
    let (_server, mut js) =
        start_with_consumer(json!({"ack_wait": 100 * MILLISECOND, "max_deliver": 1}));
    let given_up = listen_for_giving_up(&mut js);
    js.publish("s.a", "");
    js.next("S", "C");
    assert_eq!(js.consumer_info("S", "C")["num_redelivered"], 0);
    js.receive(&given_up);
    js.expect_nothing("S", "C");
    assert_eq!(js.consumer_info("S", "C")["num_redelivered"], 0);
}

#[test]
fn a_nak_counts_towards_max_deliver() {
    let (_server, mut js) = start_with_consumer(json!({"max_deliver": 2}));
    js.publish("s.a", "");
    for delivered in 1..=2 {
        let message = js.next("S", "C");
        assert_eq!(message.delivery().delivered, delivered);
        js.acknowledge(&message, "-NAK");
    }
    js.expect_nothing("S", "C");
}

#[test]
fn a_message_given_up_can_still_be_acknowledged() {
    let (_server, mut js) =
        start_with_consumer(json!({"ack_wait": 100 * MILLISECOND, "max_deliver": 1}));
    let given_up = listen_for_giving_up(&mut js);
    js.publish("s.a", "");
    let message = js.next("S", "C");
    js.receive(&given_up);
    js.acknowledge(&message, "");
    assert_eq!(js.consumer_info("S", "C")["num_ack_pending"], 0);
}

#[test]
fn backoff_waits_longer_each_time() {
    let (_server, mut js) = start_with_consumer(json!({
        "backoff": [100 * MILLISECOND, 300 * MILLISECOND], "max_deliver": 4,
    }));
    js.publish("s.a", "");
    js.next("S", "C");
    for (delivered, wait) in [(2, 100), (3, 300), (4, 300)] {
        let start = std::time::Instant::now();
        assert_eq!(js.next("S", "C").delivery().delivered, delivered);
        let waited = start.elapsed().as_millis();
        // Timers may be late, but not early by more than the time between the two clocks.
        assert!(waited >= wait - 30, "delivery {delivered} after {waited} ms");
    }
}

#[test]
fn a_nak_does_not_wait_for_the_backoff() {
    let (_server, mut js) = start_with_consumer(json!({"backoff": [3_600 * SECOND]}));
    js.publish("s.a", "");
    let message = js.next("S", "C");
    js.acknowledge(&message, "-NAK");
    assert_eq!(js.next("S", "C").delivery().delivered, 2);
}

#[test]
fn redeliveries_come_in_order_before_new_messages() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 5);
    let messages = js.fetch("S", "C", 3);
    for message in &messages {
        js.acknowledge(message, "-NAK");
    }
    assert_eq!(sequences(&js.fetch("S", "C", 5)), [1, 2, 3, 4, 5]);
}

#[test]
fn a_deleted_message_is_not_delivered_again() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 3);
    let messages = js.fetch("S", "C", 2);
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
    js.send(messages[0].reply.as_deref().unwrap(), "", &[], "-NAK");
    assert_eq!(js.next("S", "C").delivery().stream_sequence, 3);
    js.expect_nothing("S", "C");
}

#[test]
fn a_purge_takes_what_was_pending() {
    let (_server, mut js) = start_with_consumer(json!({"ack_wait": 100 * MILLISECOND}));
    js.publish_numbers("s.a", 3);
    js.fetch("S", "C", 2);
    js.ok("STREAM.PURGE.S", "");
    let info = js.consumer_info("S", "C");
    assert_contains(&info, &json!({"num_ack_pending": 0, "num_pending": 0}));
    js.publish("s.a", "new");
    assert_eq!(payloads(&js.fetch("S", "C", 2)), ["new", "new"]);
}

#[test]
fn the_ack_subject_is_only_for_acks() {
    let (_server, mut js) = start_with(json!({}));
    // A reply that looks like an ack would let others acknowledge.
    js.client().send("PUB s.a $JS.ACK.S.C.1.1.1.1.0 1\r\nx\r\n");
    js.client()
        .expect_error("Permissions Violation for Publish with Reply of \"$JS.ACK.S.C.1.1.1.1.0\"");
    assert_eq!(js.state("S")["messages"], 0);
}

/// A subscription to what the server says when it gives up a message.
#[track_caller]
fn listen_for_giving_up(js: &mut JetStream) -> Subscription {
    js.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C")
}
