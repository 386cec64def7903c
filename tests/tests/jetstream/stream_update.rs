//! Updating streams: what may change, and what a stream does from then on.

use fulmar_tests::{JetStream, assert_contains, error};
use serde_json::{Value, json};

use crate::{SECOND, changed, start, start_with, stream};

#[test]
fn the_answer_describes_the_stream() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.x", "1");
    let answer = js.ok("STREAM.UPDATE.S", stream(json!({"max_msgs": 5})));
    assert_contains(
        &answer,
        &json!({
            "config": {"name": "S", "max_msgs": 5},
            "state": {"messages": 1, "last_seq": 1},
            "did_create": null, "total": null, "cluster": null,
        }),
    );
    assert_contains(&js.stream_info("S"), &json!({"config": {"max_msgs": 5}}));
}

#[test]
fn a_stream_that_is_not_there_cannot_be_updated() {
    let (_server, mut js) = start();
    js.refused("STREAM.UPDATE.S", stream(json!({})), "404 10059 stream not found");
    js.refused(
        "STREAM.UPDATE.S",
        "",
        "500 10052 stream name is required and can not contain '.', '*', '>', '\\', '/'",
    );
}

#[test]
fn the_name_is_the_one_in_the_subject() {
    let (_server, mut js) = start_with(json!({}));
    js.refused(
        "STREAM.UPDATE.S",
        stream(json!({"name": "T"})),
        "400 10056 stream name in subject does not match request",
    );
}

#[test]
fn what_may_change_changes() {
    let (_server, mut js) = start();
    for changes in [
        json!({"subjects": ["new.one", "new.two"]}),
        json!({"retention": "interest"}),
        json!({"discard": "new"}),
        json!({"max_msgs": 5, "max_bytes": 6, "max_msgs_per_subject": 7, "max_consumers": 8}),
        json!({"max_msg_size": 9}),
        json!({"max_age": SECOND, "duplicate_window": SECOND}),
        json!({"description": "new", "metadata": {"new": "yes"}}),
        json!({"no_ack": true}),
        json!({"allow_direct": true}),
        json!({"allow_rollup_hdrs": true}),
        json!({"deny_delete": true, "deny_purge": true}),
        json!({"discard_new_per_subject": true, "discard": "new", "max_msgs_per_subject": 1}),
        json!({"compression": "s2"}),
        json!({"subject_transform": {"src": ">", "dest": "x.>"}}),
        json!({"republish": {"src": ">", "dest": "x.>"}}),
        json!({"placement": {"cluster": "x"}}),
        json!({"consumer_limits": {"max_ack_pending": 3}}),
        json!({"allow_msg_ttl": true}),
        json!({"subject_delete_marker_ttl": SECOND}),
        json!({"allow_atomic": true, "allow_batched": true}),
        json!({"allow_msg_schedules": true}),
        json!({"sealed": true}),
    ] {
        check_changed(&mut js, json!({}), changes.clone(), changes);
    }
}

#[test]
fn what_may_be_taken_back_is_taken_back() {
    let (_server, mut js) = start();
    for (before, after) in [
        (json!({"retention": "interest"}), json!({"retention": "limits"})),
        (json!({"allow_rollup_hdrs": true}), json!({"allow_rollup_hdrs": false})),
        (json!({"allow_atomic": true, "allow_batched": true}), json!({"allow_atomic": null})),
        (json!({"metadata": {"a": "b"}}), json!({"metadata": {}})),
        (json!({"republish": {"src": ">", "dest": "x.>"}}), json!({"republish": null})),
        (
            json!({"subject_transform": {"src": ">", "dest": "x.>"}}),
            json!({"subject_transform": null}),
        ),
        (
            json!({"subject_delete_marker_ttl": SECOND}),
            json!({"subject_delete_marker_ttl": null, "allow_msg_ttl": true}),
        ),
    ] {
        check_changed(&mut js, before, after.clone(), after);
    }
    // Without a window it is the usual one, bounded by the age.
    let usual = json!({"duplicate_window": 120 * SECOND});
    let removed = json!({"duplicate_window": null});
    check_changed(&mut js, json!({"duplicate_window": SECOND}), removed, usual);
    check_changed(
        &mut js,
        json!({}),
        json!({"max_age": SECOND}),
        json!({"duplicate_window": SECOND}),
    );
    check_changed(
        &mut js,
        json!({"max_msgs": 5}),
        json!({"max_msgs": null}),
        json!({"max_msgs": -1}),
    );
}

#[test]
fn what_may_not_change_is_refused() {
    for (before, after, expected) in [
        (
            json!({}),
            json!({"storage": "file"}),
            "500 10052 stream configuration update can not change storage type",
        ),
        (
            json!({}),
            json!({"retention": "workqueue"}),
            "500 10052 stream configuration update can not change retention policy to/from \
             workqueue",
        ),
        (
            json!({"retention": "workqueue"}),
            json!({"retention": "limits"}),
            "500 10052 stream configuration update can not change retention policy to/from \
             workqueue",
        ),
        (
            json!({"retention": "interest"}),
            json!({"retention": "workqueue"}),
            "500 10052 stream configuration update can not change retention policy to/from \
             workqueue",
        ),
        (
            json!({"deny_delete": true}),
            json!({"deny_delete": false}),
            "500 10052 stream configuration update can not cancel deny message deletes",
        ),
        (
            json!({"deny_purge": true}),
            json!({"deny_purge": false}),
            "500 10052 stream configuration update can not cancel deny purge",
        ),
        (
            json!({"allow_msg_ttl": true}),
            json!({"allow_msg_ttl": false}),
            "500 10052 message TTL status can not be disabled",
        ),
        (
            json!({"allow_msg_schedules": true}),
            json!({"allow_msg_schedules": false}),
            "500 10052 message schedules can not be disabled",
        ),
        (
            json!({}),
            json!({"allow_msg_counter": true}),
            "500 10052 stream configuration update can not change message counter setting",
        ),
        (
            json!({"allow_msg_counter": true}),
            json!({"allow_msg_counter": false}),
            "500 10052 stream configuration update can not change message counter setting",
        ),
        (
            json!({"storage": "file"}),
            json!({"persist_mode": "async"}),
            "500 10052 stream configuration update can not change persist mode",
        ),
        (
            json!({}),
            json!({"num_replicas": 3}),
            "500 10074 replicas > 1 not supported in non-clustered mode",
        ),
        (
            json!({}),
            json!({"subjects": null, "mirror": {"name": "T"}}),
            "400 10055 stream mirror configuration can not be updated",
        ),
        (
            json!({"subjects": null, "mirror": {"name": "T"}}),
            json!({"mirror": {"name": "U"}}),
            "400 10055 stream mirror configuration can not be updated",
        ),
        (json!({}), json!({"max_age": 1}), "500 10052 max age needs to be >= 100ms"),
        (json!({}), json!({"subjects": ["a..b"]}), "500 10052 invalid subject"),
    ] {
        let (_server, mut js) = start();
        let before = stream(before);
        let created = js.stream(before.clone());
        js.refused("STREAM.UPDATE.S", changed(before, after), expected);
        assert_eq!(js.stream_info("S")["config"], created["config"]);
    }
}

#[test]
fn subjects_of_other_streams_are_refused() {
    let (_server, mut js) = start_with(json!({}));
    js.stream(json!({"name": "T", "subjects": ["t.>"]}));
    js.refused(
        "STREAM.UPDATE.S",
        stream(json!({"subjects": ["s.>", "t.x"]})),
        "400 10065 subjects overlap with an existing stream",
    );
    // Its own old ones are not in the way.
    js.ok("STREAM.UPDATE.S", stream(json!({"subjects": ["s.*", "s.*.>"]})));
}

#[test]
fn subjects_apply_from_the_answer_on() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.x", "1");
    js.ok("STREAM.UPDATE.S", stream(json!({"subjects": ["n.>"]})));
    assert_eq!(js.request("s.x", &[], "2").status().as_deref(), Some("503"));
    assert_eq!(js.publish("n.x", "2"), 2);
    // What was stored stays.
    assert_eq!(js.get("S", 1)["message"]["subject"], "s.x");
}

#[test]
fn smaller_limits_apply_at_once() {
    let (_server, mut js) = start();
    for (limit, messages) in [
        (json!({"max_msgs": 3}), 3),
        (json!({"max_msgs_per_subject": 2}), 4),
        // 20 bytes each, in memory.
        (json!({"max_bytes": 100}), 5),
    ] {
        js.stream(stream(json!({})));
        for number in 0..10 {
            js.publish(if number % 2 == 0 { "s.a" } else { "s.b" }, "x");
        }
        js.ok("STREAM.UPDATE.S", stream(limit));
        let state = js.state("S");
        assert_contains(&state, &json!({"messages": messages, "first_seq": 11 - messages}));
        js.ok("STREAM.DELETE.S", "");
    }
}

#[test]
fn a_sealed_stream_stays_as_it_is() {
    let sealed_error = "400 10109 invalid operation on sealed stream";
    let (_server, mut js) =
        start_with(json!({"max_age": 3_600 * SECOND, "allow_rollup_hdrs": true}));
    js.publish("s.x", "1");
    let answer =
        js.ok("STREAM.UPDATE.S", stream(json!({"sealed": true, "max_age": 3_600 * SECOND})));
    assert_contains(
        &answer["config"],
        &json!({
            "sealed": true, "max_age": 0, "discard": "new", "deny_delete": true,
            "deny_purge": true, "allow_rollup_hdrs": false,
        }),
    );
    js.put_refused("s.x", &[], "2", sealed_error);
    js.refused("STREAM.PURGE.S", "", sealed_error);
    js.refused("STREAM.MSG.DELETE.S", json!({"seq": 1}), sealed_error);
    js.refused(
        "STREAM.UPDATE.S",
        stream(json!({"sealed": false})),
        "500 10052 stream configuration update can not unseal a sealed stream",
    );
    // It can be read and deleted.
    assert_eq!(js.get("S", 1)["message"]["seq"], 1);
    js.ok("STREAM.DELETE.S", "");
}

#[test]
fn consumer_limits_hold_for_the_consumers_that_are_there() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer(
        "S",
        json!({"durable_name": "C", "ack_policy": "explicit", "max_ack_pending": 100}),
    );
    js.refused(
        "STREAM.UPDATE.S",
        stream(json!({"consumer_limits": {"max_ack_pending": 10}})),
        "500 10069 change to limits violates consumers: C",
    );
    js.ok("STREAM.UPDATE.S", stream(json!({"consumer_limits": {"max_ack_pending": 100}})));
}

#[test]
fn a_consumer_survives_an_update() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"durable_name": "C", "ack_policy": "explicit"}));
    let pull = js.pull("S", "C", json!({"batch": 2}));
    js.publish("s.x", "before");
    js.ok("STREAM.UPDATE.S", stream(json!({"subjects": ["s.>", "n.>"]})));
    js.publish("n.x", "after");
    assert_eq!(js.receive(&pull).text(), "before");
    assert_eq!(js.receive(&pull).text(), "after");
}

#[test]
fn pedantic_refuses_what_would_be_corrected() {
    let (_server, mut js) = start_with(json!({}));
    let answer = js.api("STREAM.UPDATE.S", stream(json!({"pedantic": true, "max_msgs": -2})));
    assert_eq!(error(&answer), "400 10157 pedantic mode: max_msgs must be set to -1");
}

/// A stream created with `before` and updated with `after` too, then contains `expected`.
#[track_caller]
fn check_changed(js: &mut JetStream, before: Value, after: Value, expected: Value) {
    let before = stream(before);
    js.stream(before.clone());
    let answer = js.ok("STREAM.UPDATE.S", changed(before, after));
    assert_contains(&answer["config"], &expected);
    assert_eq!(js.stream_info("S")["config"], answer["config"]);
    js.ok("STREAM.DELETE.S", "");
}
