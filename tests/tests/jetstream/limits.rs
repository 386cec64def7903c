//! How much a stream keeps, and what happens to the message that is too much.

use fulmar_tests::{JetStream, assert_contains, eventually};
use serde_json::{Value, json};

use crate::{MILLISECOND, changed, start_with, stream};

const MESSAGES: &str = "503 10077 maximum messages exceeded";
const BYTES: &str = "503 10077 maximum bytes exceeded";
const PER_SUBJECT: &str = "503 10077 maximum messages per subject exceeded";

#[test]
fn the_oldest_messages_make_room() {
    for limit in [
        json!({"max_msgs": 3}),
        // A message of this test takes 20 bytes in memory and 34 in a file.
        json!({"max_bytes": 79}),
        json!({"max_bytes": 60}),
        json!({"max_bytes": 102, "storage": "file"}),
        json!({"max_msgs": 3, "storage": "file"}),
    ] {
        let description = limit.to_string();
        let (_server, mut js) = start_with(limit);
        js.publish_numbers("s.a", 5);
        let state = js.state("S");
        let three = json!({"messages": 3, "first_seq": 3, "last_seq": 5});
        assert!(state["messages"] == 3, "{description}: {state}");
        assert_contains(&state, &three);
    }
}

#[test]
fn each_subject_keeps_its_newest_messages() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"max_msgs_per_subject": 2, "storage": storage}));
        for subject in ["s.a", "s.b", "s.a", "s.a", "s.a", "s.c"] {
            js.publish(subject, "");
        }
        let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">", "deleted_details": true}));
        assert_contains(
            &info["state"],
            &json!({
                "messages": 4, "first_seq": 2, "last_seq": 6, "deleted": [3],
                "subjects": {"s.a": 2, "s.b": 1, "s.c": 1},
            }),
        );
    }
}

#[test]
fn with_discard_new_the_newest_is_refused() {
    for (limit, refusal) in [
        (json!({"max_msgs": 3}), MESSAGES),
        (json!({"max_bytes": 60}), BYTES),
        (json!({"max_bytes": 79}), BYTES),
        (json!({"max_msgs": 3, "storage": "file"}), MESSAGES),
        (json!({"max_bytes": 102, "storage": "file"}), BYTES),
    ] {
        let (_server, mut js) = start_with(changed(limit, json!({"discard": "new"})));
        js.publish_numbers("s.a", 3);
        js.put_refused("s.a", &[], "4", refusal);
        js.put_refused("s.b", &[("Nats-Msg-Id", "id")], "", refusal);
        assert_contains(&js.state("S"), &json!({"messages": 3, "first_seq": 1, "last_seq": 3}));
        // As soon as there is room it goes on, with the next sequence; and the id was not used.
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": 2}));
        let answer = js.put("s.a", &[], "4");
        assert_eq!(answer, json!({"stream": "S", "seq": 4}));
    }
}

#[test]
fn with_discard_new_a_subject_still_makes_room_for_its_newest() {
    let (_server, mut js) = start_with(json!({"max_msgs_per_subject": 1, "discard": "new"}));
    assert_eq!(js.publish("s.a", ""), 1);
    assert_eq!(js.publish("s.a", ""), 2);
    assert_contains(&js.state("S"), &json!({"messages": 1, "first_seq": 2}));
}

#[test]
fn with_discard_new_replacing_a_subject_fits_into_a_full_stream() {
    let (_server, mut js) =
        start_with(json!({"max_msgs_per_subject": 1, "discard": "new", "max_msgs": 2}));
    js.publish("s.a", "");
    js.publish("s.b", "");
    js.put_refused("s.c", &[], "", MESSAGES);
    assert_eq!(js.publish("s.a", ""), 3);
    assert_contains(&js.state("S"), &json!({"messages": 2, "first_seq": 2}));
}

#[test]
fn discard_new_per_subject_refuses_what_is_too_much_for_the_subject() {
    let (_server, mut js) = start_with(json!({
        "max_msgs_per_subject": 1, "discard": "new", "discard_new_per_subject": true,
    }));
    js.publish("s.a", "");
    js.put_refused("s.a", &[], "", PER_SUBJECT);
    js.publish("s.b", "");
    js.ok("STREAM.PURGE.S", json!({"filter": "s.a"}));
    assert_eq!(js.publish("s.a", ""), 3);
}

#[test]
fn a_message_larger_than_the_whole_stream_does_not_stay() {
    let (_server, mut js) = start_with(json!({"max_bytes": 50}));
    assert_eq!(js.publish("s.a", "x".repeat(100)), 1);
    assert_contains(&js.state("S"), &json!({"messages": 0, "first_seq": 2, "last_seq": 1}));
    assert_eq!(js.publish("s.a", "x"), 2);
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn messages_leave_when_they_are_old() {
    for storage in ["memory", "file"] {
        let (_server, mut js) =
            start_with(json!({"max_age": 100 * MILLISECOND, "storage": storage}));
        js.publish_numbers("s.a", 3);
        eventually("an empty stream", || js.state("S")["messages"] == 0);
        assert_contains(
            &js.state("S"),
            &json!({"messages": 0, "bytes": 0, "first_seq": 4, "last_seq": 3}),
        );
        assert_eq!(js.publish("s.a", ""), 4);
    }
}

#[test]
fn an_age_that_is_set_later_applies_to_old_messages() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 3);
    js.ok("STREAM.UPDATE.S", stream(json!({"max_age": 100 * MILLISECOND})));
    eventually("an empty stream", || js.state("S")["messages"] == 0);
}

#[test]
fn all_limits_hold_together() {
    let (_server, mut js) = start_with(json!({"max_msgs": 6, "max_msgs_per_subject": 4}));
    for number in 0..20 {
        js.publish(["s.a", "s.b"][number % 2], "");
    }
    check_subjects(&mut js, json!({"s.a": 3, "s.b": 3}));
    for _ in 0..5 {
        js.publish("s.a", "");
    }
    check_subjects(&mut js, json!({"s.a": 4, "s.b": 2}));
}

#[test]
fn the_number_of_consumers_is_limited() {
    let (_server, mut js) = start_with(json!({"max_consumers": 2}));
    js.consumer("S", json!({"durable_name": "A"}));
    js.consumer("S", json!({"name": "B"}));
    let refusal = "400 10026 maximum consumers limit reached";
    js.consumer_refused("S", json!({"durable_name": "C"}), refusal);
    js.consumer_refused("S", json!({}), refusal);
    // The same again is no new one.
    js.consumer("S", json!({"durable_name": "A"}));
    js.ok("CONSUMER.DELETE.S.B", "");
    js.consumer("S", json!({"durable_name": "C"}));
}

#[track_caller]
fn check_subjects(js: &mut JetStream, expected: Value) {
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">"}));
    assert_eq!(info["state"]["subjects"], expected);
}
