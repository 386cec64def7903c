//! Getting, deleting and purging what a stream holds, and deleting the stream.

use fulmar_tests::{JetStream, assert_contains, is_fulmar};
use serde_json::{Value, json};

use crate::{start_with, stream};

const NOT_FOUND: &str = "404 10037 no message found";
const BAD_REQUEST: &str = "400 10003 bad request";

#[test]
fn a_message_is_got_as_it_was_published() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", b"\x00\xff");
    js.publish_with("s.b", &[("A", "b")], "body");
    js.publish("s.c", "");
    let mut answer = js.get("S", 1);
    let time = answer["message"]["time"].take();
    assert!(time.as_str().is_some_and(|text| text.ends_with('Z')), "{time}");
    assert_eq!(
        answer,
        json!({
            "type": "io.nats.jetstream.api.v1.stream_msg_get_response",
            "message": {"subject": "s.a", "seq": 1, "data": "AP8=", "time": null},
        })
    );
    // The header block as it is on the wire, in base64.
    assert_contains(
        &js.get("S", 2)["message"],
        &json!({"hdrs": "TkFUUy8xLjANCkE6IGINCg0K", "data": "Ym9keQ=="}),
    );
    assert_contains(&js.get("S", 3)["message"], &json!({"hdrs": null, "data": null}));
}

#[test]
fn messages_are_got_by_sequence_subject_and_time() {
    let (_server, mut js) = start_with(json!({}));
    for subject in ["s.a", "s.b", "s.a", "s.c.d", "s.b"] {
        js.publish(subject, "");
    }
    for (request, expected) in [
        (json!({"seq": 1}), 1),
        (json!({"last_by_subj": "s.a"}), 3),
        (json!({"last_by_subj": "s.*"}), 5),
        (json!({"last_by_subj": ">"}), 5),
        (json!({"last_by_subj": "s.*.d"}), 4),
        (json!({"next_by_subj": "s.b"}), 2),
        (json!({"next_by_subj": "s.b", "seq": 2}), 2),
        (json!({"next_by_subj": "s.b", "seq": 3}), 5),
        (json!({"next_by_subj": "s.*.*", "seq": 2}), 4),
        (json!({"start_time": "2020-01-01T00:00:00Z"}), 1),
        (json!({"start_time": "2020-01-01T00:00:00Z", "next_by_subj": "s.b"}), 2),
        (json!({"seq": 1, "no_hdr": true}), 1),
    ] {
        let answer = js.ok("STREAM.MSG.GET.S", request.clone());
        assert_eq!(answer["message"]["seq"], expected, "{request}");
    }
    let time = js.get("S", 3)["message"]["time"].take();
    let answer = js.ok("STREAM.MSG.GET.S", json!({"start_time": time}));
    assert_eq!(answer["message"]["seq"], 3);
}

#[test]
fn what_is_not_there_is_not_found() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 3);
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 2}));
    for request in [
        json!({"seq": 2}),
        json!({"seq": 4}),
        json!({"seq": u64::MAX}),
        json!({"last_by_subj": "s.b"}),
        json!({"last_by_subj": "s"}),
        json!({"next_by_subj": "s.a", "seq": 4}),
        json!({"next_by_subj": "s.b"}),
        json!({"start_time": "2100-01-01T00:00:00Z"}),
    ] {
        js.refused("STREAM.MSG.GET.S", request, NOT_FOUND);
    }
    js.refused("STREAM.MSG.GET.T", json!({"seq": 1}), "404 10059 stream not found");
}

#[test]
fn selectors_that_contradict_each_other_are_refused() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "");
    for request in [
        json!({}),
        json!({"seq": 0}),
        json!({"seq": 1, "last_by_subj": "s.a"}),
        json!({"next_by_subj": "s.a", "last_by_subj": "s.a"}),
        json!({"seq": 1, "start_time": "2020-01-01T00:00:00Z"}),
        // What direct get can do, this cannot.
        json!({"seq": 1, "batch": 2}),
        json!({"seq": 1, "max_bytes": 100}),
        json!({"multi_last": ["s.>"]}),
    ] {
        js.refused("STREAM.MSG.GET.S", request, BAD_REQUEST);
    }
    js.refused("STREAM.MSG.GET.S", "", BAD_REQUEST);
    js.refused(
        "STREAM.MSG.GET.S",
        json!({"foo": 1}),
        "400 10025 invalid JSON: json: unknown field \"foo\"",
    );
}

#[test]
fn a_deleted_message_is_gone_and_its_sequence_stays_used() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"storage": storage}));
        js.publish_numbers("s.a", 4);
        let answer = js.ok("STREAM.MSG.DELETE.S", json!({"seq": 2}));
        assert_eq!(
            answer,
            json!({
                "type": "io.nats.jetstream.api.v1.stream_msg_delete_response", "success": true,
            })
        );
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": 4, "no_erase": true}));
        check_sequences(&mut js, &[1, 3]);
        assert_contains(&js.state("S"), &json!({"messages": 2, "first_seq": 1, "last_seq": 4}));
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
        assert_contains(&js.state("S"), &json!({"messages": 1, "first_seq": 3, "last_seq": 4}));
        assert_eq!(js.publish("s.a", ""), 5);
    }
}

#[test]
fn deleting_what_is_not_there_names_the_sequence() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 2);
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
    js.refused("STREAM.MSG.DELETE.S", json!({"seq": 1}), "400 10043 sequence 1 not found");
    js.refused("STREAM.MSG.DELETE.S", json!({"seq": 40}), "400 10043 sequence 40 not found");
    js.refused("STREAM.MSG.DELETE.S", json!({"seq": 0}), "400 10043 sequence 0 not found");
    js.refused("STREAM.MSG.DELETE.S", "", BAD_REQUEST);
    js.refused("STREAM.MSG.DELETE.T", json!({"seq": 1}), "404 10059 stream not found");
}

#[test]
fn the_last_message_of_a_subject_moves_back_when_it_is_deleted() {
    let (_server, mut js) = start_with(json!({}));
    for subject in ["s.a", "s.b", "s.a"] {
        js.publish(subject, "");
    }
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 3}));
    let answer = js.ok("STREAM.MSG.GET.S", json!({"last_by_subj": "s.a"}));
    assert_eq!(answer["message"]["seq"], 1);
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
    js.refused("STREAM.MSG.GET.S", json!({"last_by_subj": "s.a"}), NOT_FOUND);
}

#[test]
fn a_purge_takes_everything_and_keeps_the_last_sequence() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"storage": storage}));
        js.publish_numbers("s.a", 3);
        let last_time = js.state("S")["last_ts"].take();
        let answer = js.ok("STREAM.PURGE.S", "");
        assert_eq!(
            answer,
            json!({
                "type": "io.nats.jetstream.api.v1.stream_purge_response",
                "success": true, "purged": 3,
            })
        );
        assert_eq!(
            js.state("S"),
            json!({
                "messages": 0, "bytes": 0, "first_seq": 4, "first_ts": "0001-01-01T00:00:00Z",
                "last_seq": 3, "last_ts": last_time, "consumer_count": 0,
            })
        );
        assert_eq!(js.ok("STREAM.PURGE.S", "{}")["purged"], 0);
        assert_eq!(js.publish("s.a", ""), 4);
    }
}

#[test]
fn a_purge_takes_what_its_request_says() {
    for storage in ["memory", "file"] {
        for (request, remaining) in [
            (json!({"filter": "s.a"}), &[2, 4, 5][..]),
            (json!({"filter": "s.*"}), &[5]),
            (json!({"filter": "s.>"}), &[]),
            (json!({"filter": "t"}), &[1, 2, 3, 4, 5, 6]),
            (json!({"seq": 3}), &[3, 4, 5, 6]),
            (json!({"seq": 1}), &[1, 2, 3, 4, 5, 6]),
            (json!({"seq": 7}), &[]),
            (json!({"keep": 2}), &[5, 6]),
            (json!({"keep": 6}), &[1, 2, 3, 4, 5, 6]),
            (json!({"keep": 100}), &[1, 2, 3, 4, 5, 6]),
            (json!({"filter": "s.a", "keep": 1}), &[2, 4, 5, 6]),
            (json!({"filter": "s.*", "keep": 2}), &[4, 5, 6]),
            (json!({"filter": "s.a", "seq": 4}), &[2, 4, 5, 6]),
            (json!({"filter": "s.a", "seq": 100}), &[2, 4, 5]),
            (json!({"seq": 0}), &[]),
            (json!({"keep": 0}), &[]),
        ] {
            let (_server, mut js) = start_with(json!({"storage": storage}));
            for subject in ["s.a", "s.b", "s.a", "s.b", "s.c.d", "s.a"] {
                js.publish(subject, "");
            }
            let answer = js.ok("STREAM.PURGE.S", request.clone());
            assert_eq!(answer["purged"], 6 - remaining.len(), "{storage} {request}");
            check_sequences(&mut js, remaining);
            let state = js.state("S");
            assert_eq!(state["first_seq"], remaining.first().copied().unwrap_or(7), "{request}");
            assert_eq!(state["last_seq"], 6, "{request}");
        }
    }
}

#[test]
fn a_purge_beyond_the_end_moves_the_next_sequence() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"storage": storage}));
        js.publish("s.a", "");
        js.ok("STREAM.PURGE.S", json!({"seq": 1_000}));
        assert_contains(&js.state("S"), &json!({"first_seq": 1_000, "last_seq": 999}));
        assert_eq!(js.publish("s.a", ""), 1_000);
    }
}

#[test]
fn purge_requests_must_make_sense() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "");
    js.refused("STREAM.PURGE.S", json!({"seq": 5, "keep": 2}), BAD_REQUEST);
    js.refused(
        "STREAM.PURGE.S",
        json!({"foo": 1}),
        "400 10025 invalid JSON: json: unknown field \"foo\"",
    );
    let answer = js.refused("STREAM.PURGE.T", "", "404 10059 stream not found");
    assert_eq!(answer["purged"], 0);
    assert_eq!(js.ok("STREAM.PURGE.S", json!({"filter": "a..b"}))["purged"], 0);
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn deny_flags_protect_messages() {
    let (_server, mut js) = start_with(json!({"deny_delete": true, "deny_purge": true}));
    js.publish("s.a", "");
    js.refused("STREAM.PURGE.S", "", "500 10110 stream purge not permitted");
    js.refused("STREAM.PURGE.S", json!({"keep": 1}), "500 10110 stream purge not permitted");
    js.refused("STREAM.MSG.DELETE.S", json!({"seq": 1}), "500 10057 message delete not permitted");
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn a_deleted_stream_is_gone_with_its_messages_and_consumers() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"storage": storage}));
        js.publish_numbers("s.a", 3);
        js.consumer("S", json!({"durable_name": "C"}));
        let answer = js.ok("STREAM.DELETE.S", "");
        assert_eq!(
            answer,
            json!({
                "type": "io.nats.jetstream.api.v1.stream_delete_response", "success": true,
            })
        );
        js.refused("STREAM.DELETE.S", "", "404 10059 stream not found");
        js.refused("STREAM.INFO.S", "", "404 10059 stream not found");
        js.refused("CONSUMER.INFO.S.C", "", "404 10059 stream not found");
        assert_eq!(js.ok("STREAM.NAMES", "")["streams"], Value::Null);
        assert_eq!(js.request("s.a", &[], "").status().as_deref(), Some("503"));
        if storage == "file" && !is_fulmar() {
            // nats-server removes the directory later, and then that of the next stream with it.
            continue;
        }
        // The next one of that name begins anew.
        js.stream(stream(json!({"storage": storage})));
        assert_eq!(js.publish("s.a", ""), 1);
        js.refused("CONSUMER.INFO.S.C", "", "404 10014 consumer not found");
        js.ok("STREAM.DELETE.S", "{}");
    }
}

#[test]
fn delete_wants_an_empty_body() {
    let (_server, mut js) = start_with(json!({}));
    for body in ["x", "{\"a\":1}", "[]", "null"] {
        js.refused("STREAM.DELETE.S", body, "400 10038 expected an empty request payload");
    }
    js.ok("STREAM.DELETE.S", " { } ");
}

/// These sequences are there, of the first ten, and no others.
#[track_caller]
fn check_sequences(js: &mut JetStream, expected: &[u64]) {
    let there: Vec<u64> =
        (1..=10).filter(|sequence| js.get("S", *sequence).get("error").is_none()).collect();
    assert_eq!(there, expected);
}
