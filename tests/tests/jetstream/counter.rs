//! Counters: messages that add to the value of their subject.

use fulmar_tests::JetStream;
use serde_json::json;

use crate::{decoded, start_with};

const INVALID: &str = "400 10171 message counter increment is invalid";

#[track_caller]
fn start_counters() -> (fulmar_tests::Server, JetStream) {
    start_with(json!({"allow_msg_counter": true, "allow_direct": true}))
}

#[test]
fn each_message_adds_to_the_value_of_its_subject() {
    let (_server, mut js) = start_counters();
    for (subject, increment, expected) in [
        ("s.a", "+1", "1"),
        ("s.a", "1", "2"),
        ("s.a", "-5", "-3"),
        ("s.a", "0", "-3"),
        ("s.b", "+7", "7"),
        ("s.a", "+99999999999999999999999999", "99999999999999999999999996"),
        ("s.a", "-99999999999999999999999999", "-3"),
    ] {
        let answer = js.put(subject, &[("Nats-Incr", increment)], "");
        assert_eq!(answer["val"], expected, "{subject} {increment}: {answer}");
    }
}

#[test]
fn the_answer_has_the_value_after_the_sequence() {
    let (_server, mut js) = start_counters();
    let answer = js.request("s.a", &[("Nats-Incr", "+4")], "");
    assert_eq!(answer.text(), r#"{"stream":"S","seq":1,"val":"4"}"#);
}

#[test]
fn what_is_stored_is_the_value() {
    let (_server, mut js) = start_counters();
    js.publish_with("s.a", &[("Nats-Incr", "+4")], "");
    js.publish_with("s.a", &[("Nats-Incr", "-1")], "");
    let message = js.get("S", 2)["message"].take();
    assert_eq!(decoded(&message["data"]), r#"{"val":"3"}"#);
    assert_eq!(decoded(&message["hdrs"]), "NATS/1.0\r\nNats-Incr: -1\r\n\r\n");
    let message = js.request("$JS.API.DIRECT.GET.S.s.a", &[], "");
    assert_eq!(message.json(), json!({"val": "3"}));
}

#[test]
fn an_increment_is_a_whole_number_and_nothing_else() {
    let (_server, mut js) = start_counters();
    for increment in ["x", "1.5", "++1", "1x", "0x10"] {
        js.put_refused("s.a", &[("Nats-Incr", increment)], "", INVALID);
    }
    let missing = "400 10169 message counter increment is missing";
    js.put_refused("s.a", &[], "", missing);
    js.put_refused("s.a", &[("Nats-Incr", "")], "", missing);
    js.put_refused("s.a", &[("Nats-Incr", "+1")], "x", "400 10170 message counter has payload");
    js.put_refused("s.a", &[], "x", missing);
    assert_eq!(js.state("S")["messages"], 0);
}

#[test]
fn an_increment_expects_nothing_else() {
    let (_server, mut js) = start_counters();
    for header in [
        ("Nats-Rollup", "sub"),
        ("Nats-Expected-Stream", "S"),
        ("Nats-Expected-Last-Sequence", "0"),
        ("Nats-Expected-Last-Subject-Sequence", "0"),
        ("Nats-Expected-Last-Msg-Id", "x"),
    ] {
        js.put_refused("s.a", &[("Nats-Incr", "+1"), header], "", INVALID);
    }
}

#[test]
fn a_duplicate_adds_nothing() {
    let (_server, mut js) = start_counters();
    let headers = [("Nats-Incr", "+1"), ("Nats-Msg-Id", "one")];
    js.publish_with("s.a", &headers, "");
    assert_eq!(
        js.request("s.a", &headers, "").text(),
        r#"{"stream":"S","seq":1,"duplicate": true}"#
    );
    assert_eq!(js.put("s.a", &[("Nats-Incr", "+1")], "")["val"], "2");
}

#[test]
fn the_stream_must_allow_it() {
    let (_server, mut js) = start_with(json!({}));
    let disabled = "400 10168 message counters is disabled";
    js.put_refused("s.a", &[("Nats-Incr", "+1")], "", disabled);
    js.put_refused("s.a", &[("Nats-Incr", "x")], "", INVALID);
}

#[test]
fn a_counter_keeps_its_value_with_one_message_per_subject() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({
            "allow_msg_counter": true, "max_msgs_per_subject": 1, "storage": storage,
        }));
        for expected in 1..=5 {
            let answer = js.put("s.a", &[("Nats-Incr", "+1")], "");
            assert_eq!(answer["val"], expected.to_string());
        }
        assert_eq!(js.state("S")["messages"], 1);
    }
}

#[test]
fn a_purged_counter_begins_at_zero() {
    let (_server, mut js) = start_counters();
    js.publish_with("s.a", &[("Nats-Incr", "+5")], "");
    js.ok("STREAM.PURGE.S", json!({"filter": "s.a"}));
    assert_eq!(js.put("s.a", &[("Nats-Incr", "+1")], "")["val"], "1");
}
