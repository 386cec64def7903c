//! Subjects that a stream changes when it stores, and messages that it publishes again.

use fulmar_tests::{JetStream, Message, assert_contains};
use serde_json::{Value, json};

use crate::{start_with, stream};

#[test]
fn a_message_is_stored_under_the_new_subject() {
    let (_server, mut js) = start_with(json!({
        "subjects": ["in.>"], "subject_transform": {"src": "in.*.*", "dest": "out.$2.$1"},
    }));
    assert_eq!(js.publish("in.a.b", "x"), 1);
    assert_eq!(js.get("S", 1)["message"]["subject"], "out.b.a");
    // What the source does not match stays as it is.
    js.publish("in.a", "");
    assert_eq!(js.get("S", 2)["message"]["subject"], "in.a");
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">"}));
    assert_eq!(info["state"]["subjects"], json!({"out.b.a": 1, "in.a": 1}));
}

#[test]
fn every_function_of_a_transform_works() {
    for (src, dest, subject, expected) in [
        ("in.*", "out.$1", "in.a", "out.a"),
        ("in.*.*", "out.{{wildcard(2)}}.{{wildcard(1)}}", "in.a.b", "out.b.a"),
        ("in.>", "out.>", "in.a.b.c", "out.a.b.c"),
        ("in.*", "out", "in.a", "out"),
        ("in.*", "out.{{Partition(1,1)}}", "in.a", "out.0"),
        ("in.*", "out.{{partition(10,1)}}.$1", "in.foo", "out.3.foo"),
        ("in.*", "out.{{splitfromleft(1,2)}}", "in.abcde", "out.ab.cde"),
        ("in.*", "out.{{SplitFromRight(1,2)}}", "in.abcde", "out.abc.de"),
        ("in.*", "out.{{SliceFromLeft(1,2)}}", "in.abcde", "out.ab.cd.e"),
        ("in.*", "out.{{SliceFromRight(1,2)}}", "in.abcde", "out.a.bc.de"),
        ("in.*", "out.{{split(1,-)}}", "in.a-b-c", "out.a.b.c"),
        ("in.*", "out.{{left(1,2)}}", "in.abcde", "out.ab"),
        ("in.*", "out.{{right(1,2)}}", "in.abcde", "out.de"),
        ("", "out.>", "in.a", "out.in.a"),
    ] {
        let (_server, mut js) = start_with(json!({
            "subjects": ["in.>"], "subject_transform": {"src": src, "dest": dest},
        }));
        js.publish(subject, "");
        assert_eq!(js.get("S", 1)["message"]["subject"], expected, "{src} {dest} {subject}");
    }
}

#[test]
fn the_new_subject_is_the_one_that_counts() {
    let (_server, mut js) = start_with(json!({
        "subjects": ["in.>"], "subject_transform": {"src": "in.*", "dest": "out.$1"},
        "max_msgs_per_subject": 1, "allow_direct": true,
    }));
    js.publish("in.a", "1");
    js.publish_with("in.a", &[("Nats-Expected-Last-Subject-Sequence", "1")], "2");
    assert_contains(&js.state("S"), &json!({"messages": 1, "num_subjects": 1}));
    let message = js.request("$JS.API.DIRECT.GET.S.out.a", &[], "");
    assert_eq!(message.text(), "2");
    js.consumer("S", json!({"durable_name": "C", "filter_subject": "out.*"}));
    assert_eq!(js.next("S", "C").subject, "out.a");
}

#[test]
fn a_message_is_published_again_with_where_it_was_stored() {
    let (_server, mut js) = start_with(json!({"republish": {"src": "s.>", "dest": "again.>"}}));
    let again = js.subscribe("again.>");
    js.publish("s.a", "1");
    js.publish_with("s.b.c", &[("A", "b")], "22");
    js.publish("s.a", "3");
    let message = js.receive(&again);
    check_republished(&mut js, &message, "again.a", "1", "s.a", 1, 0);
    let message = js.receive(&again);
    check_republished(&mut js, &message, "again.b.c", "22", "s.b.c", 2, 0);
    assert_eq!(message.header("A").as_deref(), Some("b"));
    // The sequence before it is that of its subject.
    let message = js.receive(&again);
    check_republished(&mut js, &message, "again.a", "3", "s.a", 3, 1);
}

#[test]
fn the_headers_of_a_republished_message_are_in_this_order() {
    let (_server, mut js) = start_with(json!({"republish": {"src": ">", "dest": "again.>"}}));
    let again = js.subscribe("again.>");
    js.publish("s.a", "1");
    let time = js.get("S", 1)["message"]["time"].take();
    let message = js.receive(&again);
    assert_eq!(message.subject, "again.s.a");
    assert_eq!(
        String::from_utf8_lossy(&message.headers),
        format!(
            "NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: s.a\r\nNats-Sequence: 1\r\n\
             Nats-Time-Stamp: {}\r\nNats-Last-Sequence: 0\r\n\r\n",
            time.as_str().unwrap()
        )
    );
}

#[test]
fn only_what_matches_is_published_again() {
    let (_server, mut js) = start_with(json!({"republish": {"src": "s.a.*", "dest": "again.$1"}}));
    let again = js.subscribe("again.>");
    js.publish("s.b", "");
    js.publish("s.a.x", "matches");
    assert_eq!(js.receive(&again).text(), "matches");
}

#[test]
fn what_is_refused_is_not_published_again() {
    let (_server, mut js) = start_with(json!({"republish": {"src": ">", "dest": "again.>"}}));
    let again = js.subscribe("again.>");
    js.put("s.a", &[("Nats-Expected-Stream", "T")], "refused");
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "stored");
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "duplicate");
    js.publish("s.a", "last");
    assert_eq!(js.receive(&again).text(), "stored");
    assert_eq!(js.receive(&again).text(), "last");
}

#[test]
fn headers_only_replaces_the_body_by_its_size() {
    let (_server, mut js) =
        start_with(json!({"republish": {"src": ">", "dest": "again.>", "headers_only": true}}));
    let again = js.subscribe("again.>");
    js.publish("s.a", "12345");
    let message = js.receive(&again);
    assert_eq!(
        (message.text().as_str(), message.header("Nats-Msg-Size").as_deref()),
        ("", Some("5"))
    );
}

#[test]
fn another_stream_may_store_what_is_published_again() {
    let (_server, mut js) = start_with(json!({"republish": {"src": "s.>", "dest": "again.>"}}));
    js.stream(stream(json!({"name": "T", "subjects": ["again.>"]})));
    js.publish("s.a", "x");
    fulmar_tests::eventually("the copy", || js.state("T")["messages"] == 1);
    assert_eq!(js.get("T", 1)["message"]["subject"], "again.a");
}

#[test]
fn an_update_starts_and_ends_it() {
    let (_server, mut js) = start_with(json!({}));
    let again = js.subscribe("again.>");
    js.publish("s.a", "1");
    js.ok("STREAM.UPDATE.S", stream(json!({"republish": {"src": ">", "dest": "again.>"}})));
    js.publish("s.a", "2");
    assert_eq!(js.receive(&again).text(), "2");
    js.ok("STREAM.UPDATE.S", stream(json!({})));
    js.publish("s.a", "3");
    assert_eq!(js.arrived(&again), []);
}

#[track_caller]
fn check_republished(
    js: &mut JetStream,
    message: &Message,
    subject: &str,
    payload: &str,
    original: &str,
    sequence: u64,
    last_sequence: u64,
) {
    assert_eq!((message.subject.as_str(), message.text().as_str()), (subject, payload));
    let stored: Value = js.get("S", sequence);
    for (header, expected) in [
        ("Nats-Stream", "S".to_owned()),
        ("Nats-Subject", original.to_owned()),
        ("Nats-Sequence", sequence.to_string()),
        ("Nats-Last-Sequence", last_sequence.to_string()),
        ("Nats-Time-Stamp", stored["message"]["time"].as_str().expect("a time").to_owned()),
    ] {
        assert_eq!(message.header(header), Some(expected), "{header}");
    }
}
