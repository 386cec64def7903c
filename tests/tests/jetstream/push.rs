//! Consumers that push: to whom, when, with heartbeats, flow control and a rate; ordered consumers.

use fulmar_tests::{JetStream, Message, Subscription, assert_contains, payloads, sequences};
use serde_json::{Value, json};

use crate::{
    MILLISECOND, SECOND, changed, consumer, start_with, start_with_consumer, wait_for_push_bound,
};

/// The consumer `C`, durable, that pushes to `d.x` without acks.
fn push(changes: Value) -> Value {
    changed(json!({"durable_name": "C", "deliver_subject": "d.x"}), changes)
}

#[test]
fn messages_come_from_the_stream_subject_with_an_ack_subject() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_with("s.a", &[("A", "b")], "body");
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({})));
    let message = js.receive(&deliveries);
    // The one who listens to the deliver subject sees the subject of the stream.
    assert_eq!(message.subject, "s.a");
    assert_eq!(
        (&message.headers[..], message.text().as_str()),
        (&b"NATS/1.0\r\nA: b\r\n\r\n"[..], "body")
    );
    let delivery = message.delivery();
    assert_eq!((delivery.delivered, delivery.stream_sequence), (1, 1));
    assert_eq!((delivery.consumer_sequence, delivery.pending), (1, 0));
}

#[test]
fn what_is_stored_later_is_pushed_at_once() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({"filter_subject": "s.a"})));
    for number in ["1", "2", "3"] {
        js.publish("s.b", "not this");
        js.publish("s.a", number);
        assert_eq!(js.receive(&deliveries).text(), number);
    }
}

#[test]
fn nothing_is_pushed_while_nobody_listens() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", push(json!({"ack_policy": "explicit"})));
    js.publish_numbers("s.a", 3);
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"push_bound": null, "delivered": {"consumer_seq": 0}, "num_ack_pending": 0}),
    );
    let deliveries = js.subscribe("d.x");
    let messages = receive(&mut js, &deliveries, 3);
    assert_eq!(payloads(&messages), ["1", "2", "3"]);
    assert_eq!(js.consumer_info("S", "C")["push_bound"], true);
    // Gone, and there again.
    js.unsubscribe(deliveries);
    wait_for_push_bound(&mut js, "C", false);
    js.publish("s.a", "4");
    let deliveries = js.subscribe("d.x");
    assert_eq!(js.receive(&deliveries).text(), "4");
}

#[test]
fn everybody_who_listens_gets_every_message() {
    let (server, mut js) = start_with(json!({}));
    let mut other = server.jetstream();
    let one = js.subscribe("d.x");
    let two = other.subscribe("d.*");
    js.consumer("S", push(json!({})));
    js.publish_numbers("s.a", 3);
    assert_eq!(payloads(&receive(&mut js, &one, 3)), ["1", "2", "3"]);
    assert_eq!(payloads(&receive(&mut other, &two, 3)), ["1", "2", "3"]);
}

#[test]
fn members_of_the_group_share_the_messages() {
    let (_server, mut js) = start_with(json!({}));
    let members = [js.subscribe_queue("d.x", "group"), js.subscribe_queue("d.x", "group")];
    js.consumer("S", push(json!({"deliver_group": "group", "ack_policy": "explicit"})));
    assert_eq!(js.consumer_info("S", "C")["push_bound"], true);
    js.publish_numbers("s.a", 100);
    fulmar_tests::eventually("all delivered", || {
        js.consumer_info("S", "C")["num_ack_pending"] == 100
    });
    let mut all = Vec::new();
    for member in &members {
        let share = sequences(&js.arrived(member));
        assert!(share.len() > 10 && share.is_sorted(), "{share:?}");
        all.extend(share);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=100).collect::<Vec<u64>>());
}

#[test]
fn a_listener_of_another_group_does_not_start_it() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "1");
    let stranger = js.subscribe_queue("d.x", "strangers");
    js.consumer("S", push(json!({"deliver_group": "group"})));
    assert_eq!(js.consumer_info("S", "C")["push_bound"], Value::Null);
    let member = js.subscribe_queue("d.x", "group");
    assert_eq!(js.receive(&member).text(), "1");
    drop(stranger);
}

#[test]
fn pushed_messages_are_acknowledged_like_pulled_ones() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({"ack_policy": "explicit", "ack_wait": 100 * MILLISECOND})));
    js.publish_numbers("s.a", 2);
    let messages = receive(&mut js, &deliveries, 2);
    js.acknowledge(&messages[0], "");
    let again = js.receive(&deliveries);
    assert_eq!((again.text().as_str(), again.delivery().delivered), ("2", 2));
    js.acknowledge(&again, "-NAK");
    assert_eq!(js.receive(&deliveries).delivery().delivered, 3);
}

#[test]
fn max_ack_pending_holds_back_the_rest() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({"ack_policy": "explicit", "max_ack_pending": 2})));
    js.publish_numbers("s.a", 4);
    let messages = receive(&mut js, &deliveries, 2);
    assert_contains(&js.consumer_info("S", "C"), &json!({"num_ack_pending": 2}));
    assert_eq!(js.arrived(&deliveries), []);
    js.acknowledge(&messages[0], "");
    assert_eq!(js.receive(&deliveries).text(), "3");
}

#[test]
fn heartbeats_come_while_there_is_nothing_else() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 2);
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({"idle_heartbeat": 100 * MILLISECOND})));
    assert_eq!(payloads(&receive(&mut js, &deliveries, 2)), ["1", "2"]);
    for _ in 0..2 {
        let beat = js.receive(&deliveries);
        assert_eq!(beat.subject, "d.x");
        assert_eq!(
            String::from_utf8_lossy(&beat.headers),
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n"
        );
        assert_eq!((beat.reply.as_deref(), beat.text().as_str()), (None, ""));
    }
    js.publish("s.a", "3");
    let message = loop {
        let message = js.receive(&deliveries);
        if message.status().is_none() {
            break message;
        }
    };
    assert_eq!(message.delivery().consumer_sequence, 3);
}

#[test]
fn flow_control_waits_for_an_answer_and_tells_that_it_stalls() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({"flow_control": true, "idle_heartbeat": 100 * MILLISECOND})));
    for _ in 0..40 {
        js.send("s.a", "", &[], "x".repeat(100_000));
    }
    let mut messages = 0;
    let mut request = None;
    let stalled = loop {
        let message = js.receive(&deliveries);
        match message.status().as_deref() {
            None => messages += 1,
            Some("100 FlowControl Request") => {
                assert_eq!(message.headers, b"NATS/1.0 100 FlowControl Request\r\n\r\n");
                assert_eq!(message.text(), "");
                request = message.reply;
            }
            Some("100 Idle Heartbeat") if message.header("Nats-Consumer-Stalled").is_some() => {
                break message;
            }
            Some("100 Idle Heartbeat") => {}
            Some(status) => panic!("{status}"),
        }
    };
    assert!(messages < 40, "more than the window was sent");
    let request = request.expect("a request before the stall");
    let start = "$JS.FC.S.C.";
    assert!(request.starts_with(start) && request.len() > start.len(), "{request}");
    assert_eq!(stalled.header("Nats-Consumer-Stalled"), Some(request.clone()));
    assert_eq!(stalled.header("Nats-Last-Consumer"), Some(messages.to_string()));
    // Each answer lets more through, until everything is there.
    js.send(&request, "", &[], "");
    while messages < 40 {
        let message = js.receive(&deliveries);
        match message.reply {
            Some(reply) if message.status().is_some() => js.send(&reply, "", &[], ""),
            Some(_) => messages += 1,
            None => {}
        }
    }
}

#[test]
fn a_rate_limits_how_fast_messages_are_pushed() {
    let (_server, mut js) = start_with(json!({"max_msg_size": 20_000}));
    for _ in 0..10 {
        js.publish("s.a", "x".repeat(10_000));
    }
    let deliveries = js.subscribe("d.x");
    // As much as the largest message comes at once; 80,000 bytes at 1,000,000 bits per second take
    // 0.64 seconds.
    let start = std::time::Instant::now();
    js.consumer("S", push(json!({"rate_limit_bps": 1_000_000})));
    receive(&mut js, &deliveries, 10);
    assert!(start.elapsed().as_millis() >= 400, "{:?}", start.elapsed());
}

#[test]
fn headers_only_replaces_the_body_by_its_size() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({"headers_only": true})));
    js.publish("s.a", "12345");
    let message = js.receive(&deliveries);
    assert_eq!(message.header("Nats-Msg-Size").as_deref(), Some("5"));
    assert_eq!(message.text(), "");
}

#[test]
fn an_ephemeral_consumer_disappears_when_nobody_listens() {
    let (_server, mut js) = start_with(json!({}));
    let listened = js.subscribe("d.c");
    let threshold = 100 * MILLISECOND;
    for (name, subject) in [("C", "d.c"), ("D", "d.d")] {
        js.consumer(
            "S",
            json!({"name": name, "deliver_subject": subject, "inactive_threshold": threshold}),
        );
    }
    expect_consumers(&mut js, &json!(["C"]));
    js.unsubscribe(listened);
    expect_consumers(&mut js, &json!([]));
}

#[test]
fn an_ordered_consumer_can_be_built() {
    // What clients create for one, and again after a gap from where they were.
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 6);
    let ordered = json!({
        "flow_control": true, "idle_heartbeat": 5 * SECOND, "ack_policy": "none",
        "max_deliver": 1, "mem_storage": true, "num_replicas": 1, "deliver_policy": "all",
        "ack_wait": 22 * 3_600 * SECOND, "inactive_threshold": 300 * SECOND,
    });
    let first = js.subscribe_inbox();
    let answer =
        js.consumer("S", changed(ordered.clone(), json!({"deliver_subject": first.subject})));
    assert_contains(&answer, &json!({"num_pending": 6, "config": {"mem_storage": true}}));
    assert_eq!(payloads(&receive(&mut js, &first, 3)), ["1", "2", "3"]);
    let name = answer["name"].as_str().unwrap().to_owned();
    js.unsubscribe(first);
    js.ok(&format!("CONSUMER.DELETE.S.{name}"), "");
    js.refused(&format!("CONSUMER.DELETE.S.{name}"), "", "404 10014 consumer not found");
    let second = js.subscribe_inbox();
    let again = json!({
        "deliver_subject": second.subject, "deliver_policy": "by_start_sequence",
        "opt_start_seq": 4,
    });
    js.consumer("S", changed(ordered, again));
    let messages = receive(&mut js, &second, 3);
    assert_eq!(payloads(&messages), ["4", "5", "6"]);
    let sequences: Vec<_> =
        messages.iter().map(|message| message.delivery().consumer_sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
}

#[test]
fn a_deleted_consumer_pushes_no_more() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({})));
    js.publish("s.a", "1");
    assert_eq!(js.receive(&deliveries).text(), "1");
    js.ok("CONSUMER.DELETE.S.C", "");
    js.publish("s.a", "2");
    assert_eq!(js.arrived(&deliveries), []);
}

#[test]
fn what_is_pushed_into_another_stream_is_stored_there() {
    let (_server, mut js) = start_with(json!({}));
    js.stream(json!({"name": "T", "subjects": ["d.x"], "storage": "memory"}));
    js.publish_numbers("s.a", 3);
    js.consumer("S", push(json!({})));
    fulmar_tests::eventually("three messages in the other stream", || {
        js.state("T")["messages"] == 3
    });
}

#[test]
fn a_pull_consumer_is_never_bound() {
    let (_server, mut js) = start_with_consumer(json!({}));
    assert_eq!(js.consumer_info("S", "C")["push_bound"], Value::Null);
    let answer = js.consumer("S", consumer(json!({"durable_name": "D"})));
    assert_eq!(answer["push_bound"], Value::Null);
}

#[test]
fn acks_by_flow_control_are_acks() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer("S", push(json!({"ack_policy": "flow_control", "max_ack_pending": 4})));
    js.publish_numbers("s.a", 6);
    // As many as may be pending, and then the question how far the receiver is.
    assert_eq!(payloads(&receive(&mut js, &deliveries, 4)), ["1", "2", "3", "4"]);
    let request = js.receive(&deliveries);
    assert_eq!(request.status().as_deref(), Some("100 FlowControl Request"));
    assert_contains(&js.consumer_info("S", "C"), &json!({"num_ack_pending": 4}));
    let headers = [("Nats-Last-Consumer", "3"), ("Nats-Last-Stream", "3")];
    js.send(&request.reply.expect("where to answer"), "", &headers, "");
    assert_eq!(payloads(&receive(&mut js, &deliveries, 2)), ["5", "6"]);
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"num_ack_pending": 3, "ack_floor": {"consumer_seq": 3, "stream_seq": 3}}),
    );
}

#[track_caller]
fn receive(js: &mut JetStream, subscription: &Subscription, count: usize) -> Vec<Message> {
    (0..count).map(|_| js.receive(subscription)).collect()
}

#[track_caller]
fn expect_consumers(js: &mut JetStream, expected: &Value) {
    fulmar_tests::eventually("these consumers", || {
        js.ok("CONSUMER.NAMES.S", "")["consumers"] == *expected
    });
}
