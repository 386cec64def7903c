//! Updating consumers: what may change, and what a consumer does from then on.

use fulmar_tests::{JetStream, assert_contains, payloads};
use serde_json::{Value, json};

use crate::{SECOND, changed, start_with};

fn durable(changes: Value) -> Value {
    changed(json!({"durable_name": "C", "ack_policy": "explicit"}), changes)
}

#[test]
fn what_may_change_changes() {
    let (_server, mut js) = start_with(json!({}));
    for (before, after) in [
        (json!({}), json!({"description": "new", "metadata": {"new": "yes"}})),
        (json!({}), json!({"ack_wait": SECOND, "max_deliver": 5, "max_ack_pending": 5})),
        (json!({}), json!({"backoff": [SECOND]})),
        (json!({"backoff": [SECOND]}), json!({"backoff": null})),
        (json!({}), json!({"filter_subject": "s.a"})),
        (json!({"filter_subject": "s.a"}), json!({"filter_subject": null})),
        (json!({"filter_subject": "s.a"}), json!({"filter_subject": "s.b"})),
        (
            json!({"filter_subject": "s.a"}),
            json!({"filter_subject": null, "filter_subjects": ["s.a", "s.c"]}),
        ),
        (json!({}), json!({"inactive_threshold": SECOND})),
        (json!({}), json!({"headers_only": true, "sample_freq": "10", "num_replicas": 1})),
        (json!({}), json!({"max_batch": 5, "max_expires": SECOND, "max_bytes": 100})),
        (json!({"deliver_subject": "d.x"}), json!({"deliver_subject": "d.y"})),
        (json!({"deliver_subject": "d.x"}), json!({"deliver_group": "group"})),
        (json!({"deliver_subject": "d.x"}), json!({"rate_limit_bps": 5_000})),
        (json!({}), json!({"priority_policy": "overflow", "priority_groups": ["A"]})),
        (
            json!({"priority_policy": "overflow", "priority_groups": ["A"]}),
            json!({"priority_groups": ["B"]}),
        ),
    ] {
        let before = durable(before);
        js.consumer("S", before.clone());
        let answer = js.consumer("S", changed(before, after.clone()));
        assert_contains(&answer["config"], &after);
        assert_eq!(js.consumer_info("S", "C")["config"], answer["config"]);
        js.ok("CONSUMER.DELETE.S.C", "");
    }
}

#[test]
fn what_may_not_change_is_refused() {
    let (_server, mut js) = start_with(json!({}));
    let push = json!({"deliver_subject": "d.x", "idle_heartbeat": SECOND});
    let plain_push = json!({"deliver_subject": "d.x"});
    for (before, after, expected) in [
        (json!({}), json!({"deliver_policy": "new"}), "deliver policy can not be updated"),
        (
            json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 2}),
            json!({"opt_start_seq": 3}),
            "start sequence can not be updated",
        ),
        (
            json!({"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}),
            json!({"opt_start_time": "2021-01-01T00:00:00Z"}),
            "start time can not be updated",
        ),
        (json!({}), json!({"ack_policy": "all"}), "ack policy can not be updated"),
        (json!({}), json!({"replay_policy": "original"}), "replay policy can not be updated"),
        (json!({}), json!({"max_waiting": 5}), "max waiting can not be updated"),
        (json!({}), json!({"mem_storage": true}), "storage type can not be updated"),
        (
            json!({}),
            json!({"deliver_subject": "d.x"}),
            "can not update pull consumer to push based",
        ),
        (
            plain_push,
            json!({"deliver_subject": null}),
            "can not update push consumer to pull based",
        ),
        (push.clone(), json!({"idle_heartbeat": 2 * SECOND}), "heart beats can not be updated"),
        (push, json!({"flow_control": true}), "flow control can not be updated"),
    ] {
        let before = durable(before);
        let created = js.consumer("S", before.clone());
        js.consumer_refused("S", changed(before, after), &format!("500 10012 {expected}"));
        assert_eq!(js.consumer_info("S", "C")["config"], created["config"]);
        js.ok("CONSUMER.DELETE.S.C", "");
    }
}

#[test]
fn the_same_again_changes_nothing() {
    let (_server, mut js) = start_with(json!({}));
    let first = js.consumer("S", durable(json!({})));
    js.publish("s.a", "");
    js.next("S", "C");
    let second = js.consumer("S", durable(json!({})));
    assert_eq!(second["created"], first["created"]);
    assert_contains(&second, &json!({"num_ack_pending": 1, "delivered": {"stream_seq": 1}}));
}

#[test]
fn a_new_filter_applies_to_what_was_not_delivered_yet() {
    let (_server, mut js) = start_with(json!({}));
    for subject in ["s.a", "s.b", "s.a", "s.b"] {
        js.publish(subject, subject);
    }
    js.consumer("S", durable(json!({"filter_subject": "s.a"})));
    assert_eq!(payloads(&js.fetch("S", "C", 2)), ["s.a", "s.a"]);
    let answer = js.consumer("S", durable(json!({"filter_subject": "s.b"})));
    // The one at sequence 2 lies before the last that was delivered.
    assert_eq!(answer["num_pending"], 1);
    assert_eq!(payloads(&js.fetch_available("S", "C")), ["s.b"]);
}

#[test]
fn a_shorter_ack_wait_applies_to_what_is_pending() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "");
    js.consumer("S", durable(json!({"ack_wait": 3_600 * SECOND})));
    js.next("S", "C");
    js.consumer("S", durable(json!({"ack_wait": SECOND / 10})));
    assert_eq!(js.next("S", "C").delivery().delivered, 2);
}

#[test]
fn a_larger_max_ack_pending_lets_more_through() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 3);
    js.consumer("S", durable(json!({"max_ack_pending": 1})));
    let pull = js.pull("S", "C", json!({"batch": 2}));
    assert_eq!(js.receive(&pull).text(), "1");
    js.consumer("S", durable(json!({"max_ack_pending": 2})));
    assert_eq!(js.receive(&pull).text(), "2");
}

#[test]
fn a_new_deliver_subject_waits_until_the_old_one_is_free() {
    let (_server, mut js) = start_with(json!({}));
    let old = js.subscribe("d.old");
    js.consumer("S", durable(json!({"deliver_subject": "d.old"})));
    fulmar_tests::eventually("an active consumer", || {
        js.consumer_info("S", "C")["push_bound"] == true
    });
    js.consumer_refused(
        "S",
        durable(json!({"deliver_subject": "d.new"})),
        "400 10013 consumer name already in use",
    );
    js.unsubscribe(old);
    let new = js.subscribe("d.new");
    become_updated(&mut js, durable(json!({"deliver_subject": "d.new"})));
    js.publish("s.a", "hello");
    assert_eq!(js.receive(&new).text(), "hello");
}

/// The server may notice only after a while that nobody listens any more.
fn become_updated(js: &mut JetStream, configuration: Value) {
    fulmar_tests::eventually("the update", || {
        let body = json!({"stream_name": "S", "config": configuration});
        js.api("CONSUMER.CREATE.S.C", body).get("error").is_none()
    });
}
