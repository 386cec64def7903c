//! Priority groups: who of several pulling clients is served, and when.

use fulmar_tests::{JetStream, Message, assert_contains, payloads};
use serde_json::{Value, json};

use crate::{
    MILLISECOND, SECOND, changed, check_pending, consumer, start_with, start_with_consumer,
    wait_for_waiting,
};

fn grouped(policy: &str, changes: Value) -> Value {
    changed(json!({"priority_policy": policy, "priority_groups": ["A"]}), changes)
}

/// A pull for one message that ends soon.
fn short(changes: Value) -> Value {
    changed(json!({"batch": 1, "group": "A", "expires": 100 * MILLISECOND}), changes)
}

/// A pull for one message that waits.
fn long(changes: Value) -> Value {
    changed(json!({"batch": 1, "group": "A", "expires": 60 * SECOND}), changes)
}

#[test]
fn a_pull_names_its_group() {
    for policy in ["overflow", "pinned_client", "prioritized"] {
        let (_server, mut js) = start_with_consumer(grouped(policy, json!({})));
        js.publish_numbers("s.a", 2);
        for (request, expected) in [
            (json!({"batch": 1}), "400 Bad Request - Priority Group missing"),
            (json!({"batch": 1, "group": "Z"}), "400 Bad Request - Invalid Priority Group"),
        ] {
            let pull = js.pull("S", "C", &request);
            assert_eq!(js.receive(&pull).status().as_deref(), Some(expected), "{request}");
        }
        let pull = js.pull("S", "C", json!({"batch": 1, "group": "A"}));
        assert_eq!(js.receive(&pull).text(), "1", "{policy}");
    }
}

#[test]
fn groups_share_the_messages() {
    let groups = json!({"priority_groups": ["A", "B"]});
    let (_server, mut js) = start_with_consumer(grouped("overflow", groups));
    js.publish_numbers("s.a", 2);
    for (group, expected) in [("A", "1"), ("B", "2")] {
        let pull = js.pull("S", "C", json!({"batch": 1, "group": group}));
        assert_eq!(js.receive(&pull).text(), expected);
    }
}

#[test]
fn without_a_policy_its_conditions_are_refused() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 2);
    for (condition, expected) in [
        (json!({"min_pending": 1}), "400 Bad Request - Not a Overflow Priority consumer"),
        (json!({"min_ack_pending": 1}), "400 Bad Request - Not a Overflow Priority consumer"),
        (json!({"id": "x"}), "400 Bad Request - Not a Pinned Client Priority consumer"),
    ] {
        check_end(&mut js, changed(short(condition), json!({"group": null})), expected);
    }
    // A group or a priority alone does not matter.
    let pull = js.pull("S", "C", short(json!({})));
    assert_eq!(js.receive(&pull).text(), "1");
    let pull = js.pull("S", "C", short(json!({"group": null, "priority": 3})));
    assert_eq!(js.receive(&pull).text(), "2");
}

#[test]
fn overflow_serves_when_enough_messages_wait() {
    let (_server, mut js) = start_with_consumer(grouped("overflow", json!({})));
    js.publish_numbers("s.a", 3);
    check_pending(&mut js, 3);
    check_end(&mut js, short(json!({"min_pending": 4})), "408 Request Timeout");
    let pull = js.pull("S", "C", long(json!({"min_pending": 3})));
    assert_eq!(js.receive(&pull).text(), "1");
    // Now it waits until enough are there.
    let pull = js.pull("S", "C", long(json!({"min_pending": 4})));
    wait_for_waiting(&mut js, "C", 1);
    js.publish_numbers("s.a", 2);
    assert_eq!(js.receive(&pull).text(), "2");
}

#[test]
fn overflow_serves_when_others_have_enough_to_do() {
    let (_server, mut js) = start_with_consumer(grouped("overflow", json!({})));
    js.publish_numbers("s.a", 5);
    check_end(&mut js, short(json!({"min_ack_pending": 1})), "408 Request Timeout");
    let waiting = js.pull("S", "C", long(json!({"min_ack_pending": 2})));
    wait_for_waiting(&mut js, "C", 1);
    for expected in ["1", "2"] {
        let pull = js.pull("S", "C", long(json!({})));
        assert_eq!(js.receive(&pull).text(), expected);
    }
    assert_eq!(js.receive(&waiting).text(), "3");
}

#[test]
fn overflow_refuses_a_pin() {
    let (_server, mut js) = start_with_consumer(grouped("overflow", json!({})));
    check_end(
        &mut js,
        short(json!({"id": "x"})),
        "400 Bad Request - Not a Pinned Client Priority consumer",
    );
}

#[test]
fn the_first_client_is_pinned_and_gets_everything() {
    let (_server, mut js) = start_with_consumer(grouped("pinned_client", json!({})));
    let advisories = js.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.S.C");
    js.publish_numbers("s.a", 3);
    let (message, pin) = become_pinned(&mut js);
    assert_eq!(message.text(), "1");
    assert_contains(
        &js.receive(&advisories).json(),
        &json!({
            "type": "io.nats.jetstream.advisory.v1.consumer_group_pinned", "stream": "S",
            "consumer": "C", "group": "A", "pinned_id": pin,
        }),
    );
    assert_contains(
        &js.consumer_info("S", "C")["priority_groups"],
        &json!([{"group": "A", "pinned_client_id": pin}]),
    );
    // Another one waits, and a wrong pin is told.
    let other = js.pull("S", "C", long(json!({})));
    wait_for_waiting(&mut js, "C", 1);
    let end = check_end(&mut js, short(json!({"id": "wrong"})), "423 Nats-Pin-Id mismatch");
    assert_eq!(end.headers, b"NATS/1.0 423 Nats-Pin-Id mismatch\r\n\r\n");
    let pull = js.pull("S", "C", long(json!({"id": pin})));
    let message = js.receive(&pull);
    assert_eq!((message.text().as_str(), message.header("Nats-Pin-Id")), ("2", Some(pin)));
    assert_eq!(js.arrived(&other), []);
}

#[test]
fn unpinning_lets_another_client_in() {
    let (_server, mut js) = start_with_consumer(grouped("pinned_client", json!({})));
    js.publish_numbers("s.a", 3);
    let (_, pin) = become_pinned(&mut js);
    let other = js.pull("S", "C", long(json!({})));
    wait_for_waiting(&mut js, "C", 1);
    let advisories = js.subscribe("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C");
    let answer = js.ok("CONSUMER.UNPIN.S.C", json!({"group": "A"}));
    assert_eq!(answer, json!({"type": "io.nats.jetstream.api.v1.consumer_unpin_response"}));
    assert_contains(
        &js.receive(&advisories).json(),
        &json!({
            "type": "io.nats.jetstream.advisory.v1.consumer_group_unpinned", "stream": "S",
            "consumer": "C", "group": "A", "reason": "admin",
        }),
    );
    let message = js.receive(&other);
    assert_eq!(message.text(), "2");
    let new_pin = message.header("Nats-Pin-Id").expect("a pin");
    assert_ne!(new_pin, pin);
    check_end(&mut js, short(json!({"id": pin})), "423 Nats-Pin-Id mismatch");
}

#[test]
fn a_pin_lapses_when_its_client_is_silent() {
    let timeout = json!({"priority_timeout": 200 * MILLISECOND});
    let (_server, mut js) = start_with_consumer(grouped("pinned_client", timeout));
    js.publish_numbers("s.a", 2);
    let advisories = js.subscribe("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C");
    let (_, pin) = become_pinned(&mut js);
    let other = js.pull("S", "C", long(json!({})));
    let message = js.receive(&other);
    assert_eq!(message.text(), "2");
    assert_ne!(message.header("Nats-Pin-Id"), Some(pin));
    assert_eq!(js.receive(&advisories).json()["reason"], "timeout");
}

#[test]
fn unpin_requests_must_make_sense() {
    let (_server, mut js) = start_with_consumer(grouped("pinned_client", json!({})));
    js.refused(
        "CONSUMER.UNPIN.S.C",
        json!({"group": "Z"}),
        "400 10160 Provided priority group does not exist for this consumer",
    );
    for body in ["{}", "{\"foo\":1}"] {
        js.refused(
            "CONSUMER.UNPIN.S.C",
            body,
            "400 10025 invalid JSON: consumer group not specified",
        );
    }
    js.refused("CONSUMER.UNPIN.S.D", json!({"group": "A"}), "404 10014 consumer not found");
}

#[test]
fn the_most_important_request_is_served_first() {
    let (_server, mut js) = start_with_consumer(grouped("prioritized", json!({})));
    let requests: Vec<_> = [5, 0, 3]
        .into_iter()
        .enumerate()
        .map(|(count, priority)| {
            let pull = js.pull("S", "C", long(json!({"batch": 2, "priority": priority})));
            wait_for_waiting(&mut js, "C", count as u64 + 1);
            pull
        })
        .collect();
    js.publish_numbers("s.a", 6);
    for (request, expected) in requests.iter().zip([["5", "6"], ["1", "2"], ["3", "4"]]) {
        assert_eq!(payloads(&[js.receive(request), js.receive(request)]), expected);
    }
}

#[test]
fn a_priority_is_one_digit() {
    let (_server, mut js) = start_with_consumer(grouped("prioritized", json!({})));
    for priority in [10, -1] {
        check_end(
            &mut js,
            short(json!({"priority": priority})),
            "400 Bad Request - Priority must be between 0 and 9",
        );
    }
}

#[test]
fn groups_are_told_only_where_there_are_some() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", consumer(json!({})));
    assert_eq!(js.consumer_info("S", "C")["priority_groups"], Value::Null);
    js.consumer("S", consumer(grouped("overflow", json!({"durable_name": "D"}))));
    assert_contains(&js.consumer_info("S", "D")["priority_groups"], &json!([{"group": "A"}]));
}

/// Pulls one message as the first client, and gives it with the pin.
#[track_caller]
fn become_pinned(js: &mut JetStream) -> (Message, String) {
    let pull = js.pull("S", "C", long(json!({})));
    let message = js.receive(&pull);
    let pin = message.header("Nats-Pin-Id").expect("a pin");
    (message, pin)
}

/// A pull with this request gets nothing but this status.
#[track_caller]
fn check_end(js: &mut JetStream, request: Value, status: &str) -> Message {
    let pull = js.pull("S", "C", &request);
    let end = js.receive(&pull);
    assert_eq!(end.status().as_deref(), Some(status), "{request}");
    end
}
