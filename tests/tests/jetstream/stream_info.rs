//! What the server tells of its streams: info with details and pages, list, names.

use fulmar_tests::{JetStream, assert_contains};
use serde_json::{Value, json};

use crate::{start, start_with};

#[test]
fn an_unused_stream_has_sequence_zero() {
    let (_server, mut js) = start_with(json!({}));
    assert_eq!(
        js.state("S"),
        json!({
            "messages": 0, "bytes": 0, "first_seq": 0, "first_ts": "0001-01-01T00:00:00Z",
            "last_seq": 0, "last_ts": "0001-01-01T00:00:00Z", "consumer_count": 0,
        })
    );
}

#[test]
fn info_of_an_unpaged_stream_has_zero_paging() {
    let (_server, mut js) = start_with(json!({}));
    let info = js.stream_info("S");
    assert_contains(&info, &json!({"total": 0, "offset": 0, "limit": 0, "did_create": null}));
    for time in ["created", "ts"] {
        assert!(info[time].as_str().is_some_and(|text| text.ends_with('Z')), "{info}");
    }
    // A server alone leads everything, under its name.
    assert_eq!(info["cluster"]["leader"], js.client().info()["server_name"]);
    assert_eq!(info["cluster"].as_object().map(serde_json::Map::len), Some(1));
    // The body is optional; one that is not an object is not looked at.
    for body in ["{}", "x", " "] {
        assert_eq!(js.ok("STREAM.INFO.S", body)["total"], 0);
    }
}

#[test]
fn a_stream_that_is_not_there_has_no_info() {
    let (_server, mut js) = start();
    js.refused("STREAM.INFO.S", "", "404 10059 stream not found");
}

#[test]
fn state_counts_messages_bytes_subjects_and_consumers() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"storage": storage}));
        let first = js.publish("s.a", "");
        js.publish("s.b", "12345");
        let last = js.publish("s.b", "12345");
        js.consumer("S", json!({"durable_name": "C"}));
        let state = js.state("S");
        assert_contains(
            &state,
            &json!({
                "messages": 3, "first_seq": first, "last_seq": last, "num_subjects": 2,
                "num_deleted": null, "deleted": null, "subjects": null, "consumer_count": 1,
            }),
        );
        assert_eq!(state["first_ts"], js.get("S", first)["message"]["time"]);
        assert_eq!(state["last_ts"], js.get("S", last)["message"]["time"]);
    }
}

#[test]
fn bytes_are_those_of_subject_headers_payload_and_a_constant() {
    // File: 22 + subject + payload + 8, with headers also 4. Memory: 16 + subject + payload.
    for (storage, plain, with_headers) in [("memory", 16, 16), ("file", 30, 34)] {
        let (_server, mut js) = start_with(json!({"storage": storage}));
        js.publish("s.a", "12345");
        assert_eq!(js.state("S")["bytes"], plain + 3 + 5, "{storage}");
        js.ok("STREAM.PURGE.S", "");
        js.publish_with("s.a", &[("A", "b")], "12345");
        assert_eq!(js.state("S")["bytes"], with_headers + 3 + 5 + "NATS/1.0\r\nA: b\r\n\r\n".len());
    }
}

#[test]
fn times_have_up_to_nine_digits_of_fraction() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "");
    let state = js.state("S");
    let time = state["last_ts"].as_str().expect("text");
    let (whole, fraction) = time.split_once('.').expect("a fraction");
    assert_eq!(whole.len(), "2026-01-01T00:00:00".len(), "{time}");
    let digits = fraction.strip_suffix('Z').expect("UTC");
    assert!((1..=9).contains(&digits.len()) && !digits.ends_with('0'), "{time}");
}

#[test]
fn deleted_messages_are_counted_and_listed_on_request() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.x", 10);
    for sequence in [1, 4, 6, 10] {
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": sequence}));
    }
    let plain = js.state("S");
    assert_contains(
        &plain,
        &json!({
            "messages": 6, "first_seq": 2, "last_seq": 10, "num_deleted": 3, "deleted": null,
        }),
    );
    let details = js.ok("STREAM.INFO.S", json!({"deleted_details": true}));
    assert_eq!(details["state"]["deleted"], json!([4, 6, 10]));
}

#[test]
fn subjects_are_counted_by_filter() {
    let (_server, mut js) = start_with(json!({}));
    for subject in ["s.a", "s.a", "s.b", "s.c.d"] {
        js.publish(subject, "");
    }
    for (filter, expected) in [
        (">", json!({"s.a": 2, "s.b": 1, "s.c.d": 1})),
        ("s.*", json!({"s.a": 2, "s.b": 1})),
        ("s.a", json!({"s.a": 2})),
        ("s.*.d", json!({"s.c.d": 1})),
    ] {
        let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": filter}));
        assert_eq!(info["state"]["subjects"], expected, "{filter}");
        let total = expected.as_object().map(serde_json::Map::len);
        assert_contains(&info, &json!({"total": total, "offset": 0, "limit": 100_000}));
        // The whole stream is still described.
        assert_contains(&info["state"], &json!({"messages": 4, "num_subjects": 3}));
    }
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": "t"}));
    assert_contains(&info, &json!({"total": 0, "limit": 0, "state": {"subjects": null}}));
}

#[test]
fn subjects_come_in_pages_by_name() {
    let (_server, mut js) = start_with(json!({}));
    for subject in ["s.c", "s.a", "s.b"] {
        js.publish(subject, "");
    }
    for (offset, expected) in [
        (0, json!({"s.a": 1, "s.b": 1, "s.c": 1})),
        (-2, json!({"s.a": 1, "s.b": 1, "s.c": 1})),
        (1, json!({"s.b": 1, "s.c": 1})),
        (2, json!({"s.c": 1})),
        (3, Value::Null),
        (30, Value::Null),
    ] {
        let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": "s.*", "offset": offset}));
        assert_eq!(info["state"]["subjects"], expected, "{offset}");
        let shown = offset.max(0);
        assert_contains(&info, &json!({"total": 3, "offset": shown, "limit": 100_000}));
    }
}

#[test]
fn a_subject_without_messages_is_gone_from_the_details() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "");
    js.publish("s.b", "");
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">"}));
    assert_contains(
        &info["state"],
        &json!({"subjects": {"s.a": null, "s.b": 1}, "num_subjects": 1}),
    );
}

#[test]
fn names_of_nothing_are_null_and_a_list_of_nothing_is_empty() {
    let (_server, mut js) = start();
    assert_eq!(
        js.ok("STREAM.NAMES", ""),
        json!({
            "type": "io.nats.jetstream.api.v1.stream_names_response",
            "total": 0, "offset": 0, "limit": 1_024, "streams": null,
        })
    );
    assert_eq!(
        js.ok("STREAM.LIST", ""),
        json!({
            "type": "io.nats.jetstream.api.v1.stream_list_response",
            "total": 0, "offset": 0, "limit": 256, "streams": [],
        })
    );
}

#[test]
fn names_and_list_are_sorted() {
    let (_server, mut js) = start();
    for name in ["b", "C", "a", "c1", "c"] {
        js.stream(json!({"name": name, "storage": "memory"}));
    }
    let expected = json!(["C", "a", "b", "c", "c1"]);
    let names = js.ok("STREAM.NAMES", "");
    assert_contains(&names, &json!({"total": 5, "streams": expected}));
    assert_eq!(listed(&mut js, ""), expected);
}

#[test]
fn the_list_describes_each_stream_without_what_only_info_knows() {
    let (_server, mut js) = start_with(json!({"metadata": {"a": "b"}}));
    js.publish("s.x", "");
    let list = js.ok("STREAM.LIST", "");
    assert_contains(
        &list["streams"][0],
        &json!({
            "config": {"name": "S", "subjects": ["s.>"], "metadata": {"a": "b"}},
            "state": {"messages": 1, "num_subjects": 1},
            "cluster": null,
        }),
    );
    assert_eq!(list["streams"][0]["created"], js.stream_info("S")["created"]);
    // The versions of the server are added to single answers only.
    assert_eq!(list["streams"][0]["config"]["metadata"]["_nats.ver"], Value::Null);
}

#[test]
fn names_and_list_take_a_subject() {
    let (_server, mut js) = start();
    for (name, subjects) in
        [("A", json!(["a.>"])), ("B", json!(["b.*", "b.*.x"])), ("C", json!(["a2"]))]
    {
        js.stream(json!({"name": name, "subjects": subjects, "storage": "memory"}));
    }
    for (subject, expected) in [
        ("a.x", json!(["A"])),
        ("a.*", json!(["A"])),
        ("b.y.x", json!(["B"])),
        ("b.y.z", Value::Null),
        ("*", json!(["C"])),
        ("*.x", json!(["A", "B"])),
        (">", json!(["A", "B", "C"])),
        ("a", Value::Null),
    ] {
        let names = js.ok("STREAM.NAMES", json!({"subject": subject}));
        assert_eq!(names["streams"], expected, "{subject}");
        let expected = if expected.is_null() { json!([]) } else { expected };
        assert_eq!(listed(&mut js, json!({"subject": subject})), expected, "{subject}");
    }
}

#[test]
fn names_and_list_begin_at_an_offset() {
    let (_server, mut js) = start();
    for name in ["A", "B", "C"] {
        js.stream(json!({"name": name, "storage": "memory"}));
    }
    let names = js.ok("STREAM.NAMES", json!({"offset": 1}));
    assert_contains(&names, &json!({"total": 3, "offset": 1, "streams": ["B", "C"]}));
    let list = js.ok("STREAM.LIST", json!({"offset": 2}));
    assert_contains(&list, &json!({"total": 3, "offset": 2}));
    assert_eq!(list["streams"][0]["config"]["name"], "C");
    for path in ["STREAM.NAMES", "STREAM.LIST"] {
        let page = js.ok(path, json!({"offset": 30}));
        assert_contains(&page, &json!({"total": 3, "offset": 3}));
        assert!(page["streams"].as_array().is_none_or(Vec::is_empty), "{page}");
    }
}

#[test]
fn requests_for_pages_are_strict() {
    let (_server, mut js) = start_with(json!({}));
    let unknown = "400 10025 invalid JSON: json: unknown field \"foo\"";
    for path in ["STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.S"] {
        js.refused(path, json!({"foo": 1}), unknown);
    }
}

fn listed(js: &mut JetStream, body: impl ToString) -> Value {
    let list = js.ok("STREAM.LIST", body);
    let streams = list["streams"].as_array().expect("a list");
    streams.iter().map(|stream| stream["config"]["name"].clone()).collect()
}
