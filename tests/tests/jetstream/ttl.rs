//! Messages that carry their own time to live, and the markers that streams leave in their place.

use fulmar_tests::{JetStream, assert_contains, eventually};
use serde_json::{Value, json};

use crate::{SECOND, start_with};

const INVALID: &str = "400 10165 invalid per-message TTL";

#[test]
fn a_time_to_live_is_a_duration_or_seconds_or_never() {
    let (_server, mut js) = start_with(json!({"allow_msg_ttl": true}));
    for ttl in ["1s", "1", "1.5s", "2", "1m30s", "9999h", "never", "Never", "99999999999", ""] {
        js.publish_with("s.a", &[("Nats-TTL", ttl)], "");
    }
    for ttl in ["0", "-1", "-1s", "0.5", "500ms", "999ms", "x", "never x", "1x"] {
        js.put_refused("s.a", &[("Nats-TTL", ttl)], "", INVALID);
    }
}

#[test]
fn the_stream_must_allow_it() {
    let (_server, mut js) = start_with(json!({}));
    for ttl in ["1s", "never"] {
        js.put_refused("s.a", &[("Nats-TTL", ttl)], "", "400 10166 per-message TTL is disabled");
    }
    js.put_refused("s.a", &[("Nats-TTL", "x")], "", INVALID);
}

#[test]
fn it_is_judged_after_everything_else() {
    let (_server, mut js) = start_with(json!({"allow_msg_ttl": true, "max_msg_size": 100}));
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "");
    for (header, payload, expected) in [
        (("A", "b"), String::new(), INVALID),
        (("Nats-Msg-Id", "two"), String::new(), INVALID),
        (("Nats-Expected-Last-Sequence", "9"), String::new(), "400 10071 wrong last sequence: 1"),
        (("A", "b"), "x".repeat(200), "400 10054 message size exceeds maximum allowed"),
    ] {
        js.put_refused("s.a", &[("Nats-TTL", "x"), header], &payload, expected);
    }
    let answer = js.put("s.a", &[("Nats-TTL", "x"), ("Nats-Msg-Id", "one")], "");
    assert_eq!(answer["duplicate"], true);
    let (_server, mut js) = start_with(json!({}));
    let headers = [("Nats-TTL", "1s"), ("Nats-Expected-Last-Sequence", "9")];
    js.put_refused("s.a", &headers, "", "400 10166 per-message TTL is disabled");
}

#[test]
fn it_is_known_after_a_restart() {
    let mut server = fulmar_tests::Server::builder().jetstream().restartable().start();
    let mut js = server.jetstream();
    js.stream(crate::stream(json!({
        "storage": "file", "allow_msg_ttl": true, "max_age": 3 * SECOND,
    })));
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    js.publish_with("s.b", &[("Nats-TTL", "never")], "");
    js.publish_with("s.c", &[("Nats-TTL", "1h")], "");
    server.restart();
    let mut js = server.jetstream();
    eventually("the first to leave", || js.get("S", 1).get("error").is_some());
    eventually("the third to leave", || js.state("S")["messages"] == 1);
    assert_eq!(js.get("S", 2)["message"]["subject"], "s.b");
}

#[test]
fn a_message_leaves_when_its_time_is_over() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"allow_msg_ttl": true, "storage": storage}));
        js.publish("s.a", "stays");
        js.publish_with("s.b", &[("Nats-TTL", "1s")], "leaves");
        js.publish_with("s.c", &[("Nats-TTL", "1h")], "stays");
        assert_eq!(js.get("S", 2)["message"]["subject"], "s.b");
        eventually("the second message to leave", || js.state("S")["messages"] == 2);
        assert_contains(
            &js.ok("STREAM.INFO.S", json!({"deleted_details": true}))["state"],
            &json!({"first_seq": 1, "last_seq": 3, "deleted": [2], "num_subjects": 2}),
        );
    }
}

#[test]
fn never_outlives_the_age_of_the_stream() {
    let configuration = json!({"allow_msg_ttl": true, "max_age": SECOND / 2});
    let (_server, mut js) = start_with(configuration);
    js.publish("s.a", "leaves");
    js.publish_with("s.b", &[("Nats-TTL", "never")], "stays");
    js.publish("s.c", "leaves");
    eventually("the others to leave", || js.state("S")["messages"] == 1);
    assert_eq!(js.get("S", 2)["message"]["subject"], "s.b");
}

#[test]
fn the_age_of_the_stream_ends_a_longer_life() {
    let (_server, mut js) = start_with(json!({"allow_msg_ttl": true, "max_age": SECOND / 2}));
    js.publish_with("s.a", &[("Nats-TTL", "1h")], "");
    js.publish("s.b", "");
    wait_for_empty(&mut js);
}

#[test]
fn the_last_of_a_subject_leaves_a_marker() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({
            "subject_delete_marker_ttl": 3_600 * SECOND, "max_age": SECOND, "storage": storage,
        }));
        let subscription = js.subscribe("s.>");
        js.publish("s.a", "1");
        js.publish("s.a", "2");
        eventually("the marker", || js.get("S", 3).get("error").is_none());
        let marker = js.get("S", 3)["message"].take();
        assert_contains(&marker, &json!({"subject": "s.a", "data": null}));
        assert_eq!(
            headers(&marker),
            "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1h0m0s\r\nNats-Rollup: sub\r\n\r\n"
        );
        assert_contains(&js.state("S"), &json!({"messages": 1, "first_seq": 3, "last_seq": 3}));
        // It is stored, not published.
        assert_eq!(js.arrived(&subscription).len(), 2);
    }
}

#[test]
fn a_time_to_live_leaves_a_marker_too() {
    let (_server, mut js) = start_with(with_long_markers());
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    eventually("the marker", || js.get("S", 2).get("error").is_none());
    assert!(headers(&js.get("S", 2)["message"]).contains("Nats-Marker-Reason: MaxAge"));
}

#[test]
fn a_time_to_live_is_not_shorter_than_that_of_markers() {
    let (_server, mut js) = start_with(json!({"subject_delete_marker_ttl": 3_600 * SECOND}));
    js.publish_with("s.a", &[("Nats-TTL", "1s"), ("A", "b")], "");
    js.publish_with("s.a", &[("Nats-TTL", "2h")], "");
    js.publish_with("s.a", &[("Nats-TTL", "never")], "");
    // It would end before the marker of an older message, which is then the last one.
    let message = js.get("S", 1)["message"].take();
    assert_eq!(headers(&message), "NATS/1.0\r\nA: b\r\nNats-TTL: 3600\r\n\r\n");
    for (sequence, expected) in [(2, "Nats-TTL: 2h"), (3, "Nats-TTL: never")] {
        let message = js.get("S", sequence)["message"].take();
        assert!(headers(&message).contains(expected), "{message}");
    }
    // With one message per subject there is no older one.
    let (_server, mut js) = start_with(with_long_markers());
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    let message = js.get("S", 1)["message"].take();
    assert!(headers(&message).contains("Nats-TTL: 1s"), "{message}");
}

#[test]
fn what_says_that_its_subject_is_gone_leaves_no_marker() {
    let (_server, mut js) = start_with(with_long_markers());
    for (subject, header) in [
        ("s.a", ("Nats-Marker-Reason", "Purge")),
        ("s.b", ("KV-Operation", "PURGE")),
        ("s.c", ("KV-Operation", "DEL")),
        ("s.d", ("Nats-Marker-Reason", "")),
    ] {
        js.publish_with(subject, &[("Nats-TTL", "1s"), header], "");
    }
    eventually("the first four to leave", || {
        let state = js.state("S");
        state["first_seq"] == 5 && state["messages"] == 2
    });
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">"}));
    assert_eq!(info["state"]["subjects"], json!({"s.c": 1, "s.d": 1}));
}

#[test]
fn markers_are_published_again_and_end_with_the_age_of_the_stream() {
    let (_server, mut js) = start_with(json!({
        "subject_delete_marker_ttl": 3_600 * SECOND, "max_age": SECOND,
        "republish": {"src": ">", "dest": "again.>"},
    }));
    let again = js.subscribe("again.>");
    js.publish("s.a", "");
    assert_eq!(js.receive(&again).header("Nats-Marker-Reason"), None);
    let marker = js.receive(&again);
    assert_eq!(marker.header("Nats-Marker-Reason").as_deref(), Some("MaxAge"));
    assert_eq!(marker.header("Nats-Last-Sequence").as_deref(), Some("1"));
    eventually("the marker to be gone", || js.state("S")["messages"] == 0);
}

#[test]
fn a_marker_leaves_when_its_own_time_is_over() {
    let (_server, mut js) = start_with(json!({"subject_delete_marker_ttl": SECOND}));
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    eventually("the marker to be gone", || js.state("S")["messages"] == 0);
    assert_contains(&js.state("S"), &json!({"first_seq": 3, "last_seq": 2}));
}

#[test]
fn what_is_not_the_last_of_its_subject_leaves_no_marker() {
    let (_server, mut js) = start_with(json!({"subject_delete_marker_ttl": SECOND}));
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    js.publish("s.a", "the last");
    eventually("the first to leave", || js.state("S")["messages"] == 1);
    assert_eq!(js.state("S")["last_seq"], 2);
}

#[test]
fn deleting_and_purging_leave_no_marker() {
    let (_server, mut js) = start_with(json!({"subject_delete_marker_ttl": 3_600 * SECOND}));
    for subject in ["s.a", "s.b", "s.c", "s.c", "s.d"] {
        js.publish(subject, "");
    }
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
    js.ok("STREAM.PURGE.S", json!({"filter": "s.b"}));
    js.ok("STREAM.PURGE.S", json!({"filter": "s.c", "keep": 1}));
    js.ok("STREAM.PURGE.S", "");
    assert_contains(&js.state("S"), &json!({"messages": 0, "last_seq": 5}));
}

#[test]
fn consumers_see_markers() {
    let (_server, mut js) = start_with(with_long_markers());
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    js.consumer("S", json!({"durable_name": "C", "deliver_policy": "new"}));
    let marker = js.next("S", "C");
    assert_eq!(marker.subject, "s.a");
    assert_eq!(marker.header("Nats-Marker-Reason").as_deref(), Some("MaxAge"));
}

#[test]
fn a_rollup_with_a_time_to_live_leaves_too() {
    let (_server, mut js) = start_with(json!({"allow_msg_ttl": true, "allow_rollup_hdrs": true}));
    js.publish("s.a", "");
    js.publish_with("s.a", &[("Nats-Rollup", "sub"), ("Nats-TTL", "1s")], "");
    assert_eq!(js.state("S")["messages"], 1);
    eventually("the rolled up one to leave", || js.state("S")["messages"] == 0);
}

/// Markers that stay, in a stream where short lives are left alone.
fn with_long_markers() -> Value {
    json!({"subject_delete_marker_ttl": 3_600 * SECOND, "max_msgs_per_subject": 1})
}

/// The headers of a message from `STREAM.MSG.GET`.
#[track_caller]
fn headers(message: &Value) -> String {
    crate::decoded(&message["hdrs"])
}

#[test]
fn what_is_pending_leaves_as_well() {
    let (_server, mut js) = start_with(json!({"allow_msg_ttl": true}));
    js.consumer("S", json!({"durable_name": "C", "ack_policy": "explicit"}));
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    js.next("S", "C");
    wait_for_empty(&mut js);
    crate::check_pending(&mut js, 0);
    js.publish("s.a", "new");
    assert_eq!(js.next("S", "C").text(), "new");
}

#[track_caller]
fn wait_for_empty(js: &mut JetStream) {
    eventually("an empty stream", || js.state("S")["messages"] == 0);
}
