//! Atomic batches: all messages are stored, with neighbouring sequences, or none.

use fulmar_tests::{JetStream, Subscription, assert_contains, error};
use serde_json::{Value, json};

use crate::{SECOND, changed, start_with, stream};

const INCOMPLETE: &str = "400 10176 atomic publish batch is incomplete";
const ABANDONED: &str = "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S";

#[track_caller]
fn start_atomic(changes: Value) -> (fulmar_tests::Server, JetStream) {
    start_with(changed(json!({"allow_atomic": true}), changes))
}

#[test]
fn a_batch_is_stored_when_it_is_committed() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_atomic(json!({"storage": storage}));
        js.publish("s.before", "");
        check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "1");
        check_accepted(&mut js, "s.b", &batch("one", 2, &[]), "2");
        assert_eq!(js.state("S")["messages"], 1);
        let answer = js.request("s.c", &batch("one", 3, &[COMMIT]), "3");
        assert_eq!(answer.text(), r#"{"stream":"S","seq":4,"batch":"one","count":3}"#);
        assert_contains(&js.state("S"), &json!({"messages": 4, "last_seq": 4}));
        for (sequence, subject) in [(2, "s.a"), (3, "s.b"), (4, "s.c")] {
            assert_eq!(js.get("S", sequence)["message"]["subject"], subject);
        }
    }
}

#[test]
fn messages_without_reply_belong_to_it_too() {
    let (_server, mut js) = start_atomic(json!({}));
    for number in 1..=9 {
        js.send("s.a", "", &batch("one", number, &[]), "");
    }
    let answer = js.put("s.a", &batch("one", 10, &[COMMIT]), "");
    assert_contains(&answer, &json!({"seq": 10, "count": 10}));
}

#[test]
fn a_batch_may_end_without_a_last_message() {
    let (_server, mut js) = start_atomic(json!({}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    check_accepted(&mut js, "s.a", &batch("one", 2, &[]), "");
    let end = [("Nats-Batch-Commit", "eob")];
    let answer = js.put("s.a", &batch("one", 3, &end), "not stored");
    assert_eq!(answer, json!({"stream": "S", "seq": 2, "batch": "one", "count": 2}));
    assert_eq!(js.state("S")["messages"], 2);
    js.put_refused("s.a", &batch("two", 1, &end), "", INCOMPLETE);
}

#[test]
fn a_batch_of_one_is_complete() {
    let (_server, mut js) = start_atomic(json!({}));
    let answer = js.put("s.a", &batch("one", 1, &[COMMIT]), "");
    assert_eq!(answer, json!({"stream": "S", "seq": 1, "batch": "one", "count": 1}));
}

#[test]
fn several_batches_grow_beside_each_other() {
    let (_server, mut js) = start_atomic(json!({}));
    for number in 1..=3 {
        check_accepted(&mut js, "s.a", &batch("one", number, &[]), "");
        check_accepted(&mut js, "s.b", &batch("two", number, &[]), "");
        js.publish("s.between", "");
    }
    let answer = js.put("s.b", &batch("two", 4, &[COMMIT]), "");
    assert_contains(&answer, &json!({"seq": 7, "count": 4, "batch": "two"}));
    let answer = js.put("s.a", &batch("one", 4, &[COMMIT]), "");
    assert_contains(&answer, &json!({"seq": 11, "count": 4, "batch": "one"}));
    for (sequence, subject) in [(3, "s.between"), (4, "s.b"), (7, "s.b"), (8, "s.a"), (11, "s.a")] {
        assert_eq!(js.get("S", sequence)["message"]["subject"], subject);
    }
}

#[test]
fn the_headers_of_a_batch_are_stored() {
    let (_server, mut js) = start_atomic(json!({}));
    js.publish_with("s.a", &batch("one", 1, &[COMMIT, ("A", "b")]), "");
    let message = js.get("S", 1)["message"].take();
    assert_eq!(
        crate::decoded(&message["hdrs"]),
        "NATS/1.0\r\nNats-Batch-Id: one\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\
         A: b\r\n\r\n"
    );
}

#[test]
fn a_gap_abandons_the_batch() {
    let (_server, mut js) = start_atomic(json!({}));
    let abandoned = js.subscribe(ABANDONED);
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    js.put_refused("s.a", &batch("one", 3, &[]), "", INCOMPLETE);
    check_abandoned(&mut js, &abandoned, "one", "incomplete");
    js.put_refused("s.a", &batch("one", 2, &[]), "", INCOMPLETE);
    js.put_refused("s.a", &batch("one", 4, &[COMMIT]), "", INCOMPLETE);
    // The same sequence twice is a gap too.
    check_accepted(&mut js, "s.a", &batch("two", 1, &[]), "");
    js.put_refused("s.a", &batch("two", 1, &[]), "", INCOMPLETE);
    check_abandoned(&mut js, &abandoned, "two", "incomplete");
    assert_eq!(js.state("S")["messages"], 0);
}

#[test]
fn a_batch_begins_with_one() {
    let (_server, mut js) = start_atomic(json!({}));
    js.put_refused("s.a", &batch("one", 2, &[]), "", INCOMPLETE);
    js.put_refused("s.a", &batch("one", 0, &[]), "", INCOMPLETE);
    js.put_refused("s.a", &batch("one", 2, &[COMMIT]), "", INCOMPLETE);
}

#[test]
fn the_headers_of_a_batch_are_checked() {
    let (_server, mut js) = start_atomic(json!({}));
    let missing = "400 10175 atomic publish sequence is missing";
    let invalid = "400 10179 atomic publish batch ID is invalid";
    let commit = "400 10200 atomic publish batch commit is invalid";
    let long = "x".repeat(65);
    for (headers, expected) in [
        (&[("Nats-Batch-Id", "one")][..], missing),
        (&[("Nats-Batch-Id", "one"), ("Nats-Batch-Sequence", "x")], missing),
        (&[("Nats-Batch-Id", "one"), ("Nats-Batch-Sequence", "-1")], missing),
        (&[("Nats-Batch-Id", &long), ("Nats-Batch-Sequence", "1")], invalid),
        (
            &[("Nats-Batch-Id", "one"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "2")],
            commit,
        ),
        (
            &[("Nats-Batch-Id", "one"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "")],
            commit,
        ),
    ] {
        js.put_refused("s.a", headers, "", expected);
    }
    js.publish_with("s.a", &batch(&"x".repeat(64), 1, &[COMMIT]), "");
    // Without an id it is no batch.
    for headers in
        [&[("Nats-Batch-Sequence", "1")][..], &[COMMIT], &[("Nats-Batch-Id", ""), COMMIT]]
    {
        assert_eq!(js.put("s.a", headers, "").get("count"), None, "{headers:?}");
    }
}

#[test]
fn the_stream_must_allow_it() {
    let (_server, mut js) = start_with(json!({}));
    js.put_refused("s.a", &batch("one", 1, &[]), "", "400 10174 atomic publish is disabled");
}

#[test]
fn expectations_are_checked_when_it_is_committed() {
    let (_server, mut js) = start_atomic(json!({}));
    js.publish("s.known", "");
    let rows = [
        (1, ("Nats-Expected-Last-Sequence", "999"), "400 10071 wrong last sequence: 1"),
        (1, ("Nats-Expected-Last-Subject-Sequence", "5"), "400 10071 wrong last sequence: 0"),
        (2, ("Nats-Expected-Last-Subject-Sequence", "5"), "400 10164 wrong last sequence"),
        (1, ("Nats-Expected-Stream", "T"), "400 10060 expected stream does not match"),
        (2, ("Nats-Expected-Stream", "T"), "400 10060 expected stream does not match"),
        (1, ("Nats-TTL", "1s"), "400 10166 per-message TTL is disabled"),
        (1, ("Nats-Rollup", "sub"), "500 10111 rollup not permitted"),
    ];
    for (row, (number, header, expected)) in rows.into_iter().enumerate() {
        let id = row.to_string();
        for this in 1..=2 {
            let more = if this == number { &[header][..] } else { &[] };
            check_accepted(&mut js, "s.a", &batch(&id, this, more), "");
        }
        let answer = js.put("s.b", &batch(&id, 3, &[COMMIT]), "");
        assert_eq!(error(&answer), expected, "{number} {header:?}");
    }
    assert_eq!(js.state("S")["messages"], 1);
    // What holds is stored.
    let expected = [("Nats-Expected-Last-Sequence", "1")];
    check_accepted(&mut js, "s.a", &batch("good", 1, &expected), "");
    js.publish_with("s.a", &batch("good", 2, &[COMMIT]), "");
}

#[test]
fn a_subject_is_expected_once_in_a_batch() {
    let (_server, mut js) = start_atomic(json!({}));
    let new = [("Nats-Expected-Last-Subject-Sequence", "0")];
    check_accepted(&mut js, "s.a", &batch("one", 1, &new), "");
    check_accepted(&mut js, "s.b", &batch("one", 2, &new), "");
    js.publish_with("s.c", &batch("one", 3, &[COMMIT]), "");
    check_accepted(&mut js, "s.d", &batch("two", 1, &new), "");
    let twice = [new[0], COMMIT];
    js.put_refused("s.d", &batch("two", 2, &twice), "", "400 10164 wrong last sequence");
}

#[test]
fn ids_are_unique_in_a_batch_and_in_the_stream() {
    let duplicate = "400 10201 atomic publish batch contains duplicate message id";
    let (_server, mut js) = start_atomic(json!({}));
    js.publish_with("s.a", &[("Nats-Msg-Id", "known")], "");
    js.put_refused("s.a", &batch("one", 1, &[("Nats-Msg-Id", "known"), COMMIT]), "", duplicate);
    check_accepted(&mut js, "s.a", &batch("two", 1, &[("Nats-Msg-Id", "new")]), "");
    js.put_refused("s.a", &batch("two", 2, &[("Nats-Msg-Id", "new"), COMMIT]), "", duplicate);
    check_accepted(&mut js, "s.a", &batch("three", 1, &[("Nats-Msg-Id", "a")]), "");
    js.publish_with("s.a", &batch("three", 2, &[("Nats-Msg-Id", "b"), COMMIT]), "");
    // Afterwards they are known.
    assert_eq!(js.put("s.a", &[("Nats-Msg-Id", "a")], "")["duplicate"], true);
}

#[test]
fn the_last_id_cannot_be_expected() {
    let (_server, mut js) = start_atomic(json!({}));
    js.put_refused(
        "s.a",
        &batch("one", 1, &[("Nats-Expected-Last-Msg-Id", "x"), COMMIT]),
        "",
        "400 10177 atomic publish unsupported header used: Nats-Expected-Last-Msg-Id",
    );
}

#[test]
fn limits_hold_for_the_whole_batch() {
    let (_server, mut js) = start_atomic(json!({"max_msgs": 3, "discard": "new"}));
    for number in 1..=3 {
        check_accepted(&mut js, "s.a", &batch("one", number, &[]), "");
    }
    let full = "503 10077 maximum messages exceeded";
    js.put_refused("s.a", &batch("one", 4, &[COMMIT]), "", full);
    assert_eq!(js.state("S")["messages"], 0);
    let (_server, mut js) = start_atomic(json!({"max_msg_size": 200}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    let large = "400 10054 message size exceeds maximum allowed";
    js.put_refused("s.a", &batch("one", 2, &[]), "x".repeat(300), large);
    js.put_refused("s.a", &batch("one", 3, &[COMMIT]), "", INCOMPLETE);
    assert_eq!(js.state("S")["messages"], 0);
}

#[test]
fn a_rollup_in_a_batch_takes_what_came_before() {
    let (_server, mut js) = start_atomic(json!({"allow_rollup_hdrs": true}));
    js.publish("s.a", "");
    js.publish("s.b", "");
    check_accepted(&mut js, "s.a", &batch("one", 1, &[("Nats-Rollup", "sub")]), "");
    js.publish_with("s.b", &batch("one", 2, &[COMMIT]), "");
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">"}));
    assert_eq!(info["state"]["subjects"], json!({"s.a": 1, "s.b": 2}));
}

#[test]
fn a_batch_has_at_most_a_thousand_messages() {
    let (_server, mut js) = start_atomic(json!({}));
    let abandoned = js.subscribe(ABANDONED);
    for number in 1..1_000 {
        js.send("s.a", "", &batch("full", number, &[]), "");
    }
    let answer = js.put("s.a", &batch("full", 1_000, &[COMMIT]), "");
    assert_contains(&answer, &json!({"seq": 1_000, "count": 1_000}));
    for number in 1..=1_000 {
        js.send("s.a", "", &batch("more", number, &[]), "");
    }
    let large = "400 10199 atomic publish batch is too large: 1000";
    js.put_refused("s.a", &batch("more", 1_001, &[COMMIT]), "", large);
    check_abandoned(&mut js, &abandoned, "more", "large");
    assert_eq!(js.state("S")["messages"], 1_000);
}

#[test]
fn fifty_batches_of_a_stream_are_under_way_at_once() {
    let (_server, mut js) = start_atomic(json!({}));
    for number in 0..50 {
        check_accepted(&mut js, "s.a", &batch(&number.to_string(), 1, &[]), "");
    }
    let many = "429 10210 atomic publish too many inflight";
    js.put_refused("s.a", &batch("50", 1, &[]), "", many);
    js.publish_with("s.a", &batch("7", 2, &[COMMIT]), "");
    check_accepted(&mut js, "s.a", &batch("50", 1, &[]), "");
}

#[test]
fn a_batch_is_abandoned_when_nothing_comes() {
    let server = fulmar_tests::Server::builder()
        .configuration("jetstream { limits { batch { timeout: \"250ms\" } } }")
        .jetstream()
        .start();
    let mut js = server.jetstream();
    js.stream(stream(json!({"allow_atomic": true})));
    let abandoned = js.subscribe(ABANDONED);
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    check_abandoned(&mut js, &abandoned, "one", "timeout");
    js.put_refused("s.a", &batch("one", 2, &[COMMIT]), "", INCOMPLETE);
}

#[test]
fn consumers_and_republishing_see_all_of_it() {
    let (_server, mut js) = start_atomic(json!({"republish": {"src": ">", "dest": "again.>"}}));
    let again = js.subscribe("again.>");
    js.consumer("S", json!({"durable_name": "C"}));
    let pull = js.pull("S", "C", json!({"batch": 2, "expires": 60 * SECOND}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "1");
    assert_eq!(js.arrived(&pull), []);
    js.publish_with("s.a", &batch("one", 2, &[COMMIT]), "2");
    for payload in ["1", "2"] {
        assert_eq!(js.receive(&pull).text(), payload);
        assert_eq!(js.receive(&again).text(), payload);
    }
}

#[test]
fn a_rollup_takes_nothing_of_its_own_batch() {
    let (_server, mut js) = start_atomic(json!({"allow_rollup_hdrs": true}));
    let subject = [("Nats-Rollup", "sub")];
    let all = [("Nats-Rollup", "all")];
    for (id, second, rollup, expected) in [
        ("one", "s.a", subject, "500 10111 batch rollup sub invalid"),
        ("two", "s.b", all, "500 10111 batch rollup all invalid"),
    ] {
        check_accepted(&mut js, "s.a", &batch(id, 1, &[]), "");
        let headers = batch(id, 2, &[rollup[0], COMMIT]);
        js.put_refused(second, &headers, "", expected);
    }
    js.publish("s.old", "");
    check_accepted(&mut js, "s.a", &batch("three", 1, &all), "");
    js.publish_with("s.b", &batch("three", 2, &[subject[0], COMMIT]), "");
    assert_contains(&js.state("S"), &json!({"messages": 2, "first_seq": 2, "last_seq": 3}));
}

#[test]
fn what_comes_later_in_a_batch_expects_nothing() {
    let (_server, mut js) = start_atomic(json!({}));
    js.publish("s.known", "");
    let constant = "400 10164 wrong last sequence";
    for (row, (subject, header, expected)) in [
        ("s.b", ("Nats-Expected-Last-Sequence", "2"), constant),
        ("s.b", ("Nats-Expected-Last-Sequence", "1"), "400 10071 wrong last sequence: 2"),
        ("s.a", ("Nats-Expected-Last-Subject-Sequence", "0"), constant),
        ("s.a", ("Nats-Expected-Last-Subject-Sequence", "2"), constant),
        (
            "s.known",
            ("Nats-Expected-Last-Subject-Sequence", "0"),
            "400 10071 wrong last sequence: 1",
        ),
        (
            "s.b",
            ("Nats-Expected-Last-Subject-Sequence-Subject", "s.a"),
            "400 10193 missing sequence for expected last sequence per subject",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let id = row.to_string();
        check_accepted(&mut js, "s.a", &batch(&id, 1, &[]), "");
        let answer = js.put(subject, &batch(&id, 2, &[header, COMMIT]), "");
        assert_eq!(error(&answer), expected, "{subject} {header:?}");
    }
    // Another subject that is named may be one of the batch.
    check_accepted(&mut js, "s.a", &batch("other", 1, &[]), "");
    let headers = [
        ("Nats-Expected-Last-Subject-Sequence", "0"),
        ("Nats-Expected-Last-Subject-Sequence-Subject", "s.a"),
        COMMIT,
    ];
    js.put_refused("s.b", &batch("other", 2, &headers), "", constant);
}

#[test]
fn a_level_that_the_server_does_not_have_abandons_the_batch() {
    let (_server, mut js) = start_atomic(json!({}));
    let abandoned = js.subscribe(ABANDONED);
    let headers = batch("one", 1, &[("Nats-Required-Api-Level", "1000"), COMMIT]);
    js.put_refused("s.a", &headers, "", "412 10185 JetStream minimum api level required");
    check_abandoned(&mut js, &abandoned, "one", "unsupported");
    js.publish_with("s.a", &batch("one", 1, &[("Nats-Required-Api-Level", "1"), COMMIT]), "");
    let stored = crate::decoded(&js.get("S", 1)["message"]["hdrs"]);
    assert!(!stored.contains("Nats-Required-Api-Level"), "{stored}");
}

#[test]
fn the_last_message_says_that_the_batch_was_committed() {
    let (_server, mut js) = start_atomic(json!({}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    js.publish_with("s.a", &batch("one", 2, &[("Nats-Batch-Commit", "eob")]), "");
    assert_eq!(
        crate::decoded(&js.get("S", 1)["message"]["hdrs"]),
        "NATS/1.0\r\nNats-Batch-Id: one\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\r\n"
    );
}

#[test]
fn counters_add_up_in_a_batch() {
    let (_server, mut js) = start_atomic(json!({"allow_msg_counter": true}));
    js.publish_with("s.a", &[("Nats-Incr", "5")], "");
    for (number, subject) in [(1, "s.a"), (2, "s.b"), (3, "s.a")] {
        check_accepted(&mut js, subject, &batch("one", number, &[("Nats-Incr", "+2")]), "");
    }
    let answer = js.put("s.b", &batch("one", 4, &[("Nats-Incr", "-1"), COMMIT]), "");
    assert_eq!(answer, json!({"stream": "S", "seq": 5, "batch": "one", "count": 4}));
    for (sequence, value) in [(2, "7"), (3, "2"), (4, "9"), (5, "1")] {
        let stored = crate::decoded(&js.get("S", sequence)["message"]["data"]);
        assert_eq!(stored, format!(r#"{{"val":"{value}"}}"#), "{sequence}");
    }
    let missing = "400 10169 message counter increment is missing";
    check_accepted(&mut js, "s.a", &batch("two", 1, &[]), "");
    js.put_refused("s.a", &batch("two", 2, &[("Nats-Incr", "1"), COMMIT]), "", missing);
}

#[test]
fn times_to_live_are_checked_and_kept() {
    let (_server, mut js) = start_atomic(json!({"allow_msg_ttl": true}));
    let invalid = "400 10165 invalid per-message TTL";
    js.put_refused("s.a", &batch("one", 1, &[("Nats-TTL", "x"), COMMIT]), "", invalid);
    check_accepted(&mut js, "s.a", &batch("two", 1, &[("Nats-TTL", "1s")]), "");
    js.publish_with("s.b", &batch("two", 2, &[COMMIT]), "");
    fulmar_tests::eventually("the first to end", || js.state("S")["messages"] == 1);
    assert_eq!(js.state("S")["first_seq"], 2);
}

#[test]
fn subjects_of_a_batch_are_transformed() {
    let transform = json!({"src": "s.*", "dest": "t.{{wildcard(1)}}"});
    let (_server, mut js) = start_atomic(json!({"subject_transform": transform}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    js.publish_with("s.b", &batch("one", 2, &[COMMIT]), "");
    for (sequence, subject) in [(1, "t.a"), (2, "t.b")] {
        assert_eq!(js.get("S", sequence)["message"]["subject"], subject);
    }
}

#[test]
fn only_what_a_consumer_wants_stays() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_atomic(json!({"retention": "interest", "storage": storage}));
        check_accepted(&mut js, "s.a", &batch("none", 1, &[]), "");
        js.publish_with("s.b", &batch("none", 2, &[COMMIT]), "");
        assert_contains(&js.state("S"), &json!({"messages": 0, "last_seq": 2}));
        let wants = json!({"durable_name": "C", "ack_policy": "explicit", "filter_subject": "s.b"});
        js.consumer("S", wants);
        for (number, subject) in [(1, "s.a"), (2, "s.b")] {
            check_accepted(&mut js, subject, &batch("some", number, &[]), "");
        }
        let answer = js.put("s.c", &batch("some", 3, &[COMMIT]), "");
        assert_contains(&answer, &json!({"seq": 5, "count": 3}));
        assert_contains(&js.state("S"), &json!({"messages": 1, "last_seq": 5}));
        assert_eq!(js.fetch("S", "C", 1)[0].subject, "s.b");
    }
}

#[test]
fn limits_of_subjects_and_bytes_hold_for_the_whole_batch() {
    let new = json!({
        "max_msgs_per_subject": 2, "discard": "new", "discard_new_per_subject": true,
    });
    let (_server, mut js) = start_atomic(new);
    js.publish("s.a", "");
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    let full = "503 10077 maximum messages per subject exceeded";
    js.put_refused("s.a", &batch("one", 2, &[COMMIT]), "", full);
    let (_server, mut js) = start_atomic(json!({"max_bytes": 1_000, "discard": "new"}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "x".repeat(500));
    let full = "503 10077 maximum bytes exceeded";
    js.put_refused("s.a", &batch("one", 2, &[COMMIT]), "x".repeat(500), full);
    // Where old messages go, only the last ones of a batch stay.
    let (_server, mut js) = start_atomic(json!({"max_msgs": 2}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    check_accepted(&mut js, "s.a", &batch("one", 2, &[]), "");
    js.publish_with("s.a", &batch("one", 3, &[COMMIT]), "");
    assert_contains(&js.state("S"), &json!({"messages": 2, "first_seq": 2, "last_seq": 3}));
}

#[test]
fn a_stream_that_does_not_allow_it_any_more_forgets_its_batches() {
    let (_server, mut js) = start_atomic(json!({}));
    check_accepted(&mut js, "s.a", &batch("one", 1, &[]), "");
    js.ok("STREAM.UPDATE.S", stream(json!({"allow_atomic": false})));
    js.ok("STREAM.UPDATE.S", stream(json!({"allow_atomic": true})));
    js.put_refused("s.a", &batch("one", 2, &[COMMIT]), "", INCOMPLETE);
}

#[test]
fn a_batch_that_was_acknowledged_survives_a_crash_and_an_open_one_does_not() {
    let mut server = fulmar_tests::Server::builder()
        .configuration("jetstream { sync_interval: always }")
        .jetstream()
        .restartable()
        .start();
    let mut js = server.jetstream();
    js.stream(stream(json!({"allow_atomic": true, "storage": "file"})));
    check_accepted(&mut js, "s.a", &batch("open", 1, &[]), "");
    for number in 1..10 {
        check_accepted(&mut js, "s.a", &batch("done", number, &[]), number.to_string());
    }
    js.publish_with("s.a", &batch("done", 10, &[COMMIT, ("Nats-Msg-Id", "last")]), "10");
    server.restart();
    let mut js = server.jetstream();
    assert_contains(&js.state("S"), &json!({"messages": 10, "last_seq": 10}));
    assert_eq!(js.put("s.a", &[("Nats-Msg-Id", "last")], "")["duplicate"], true);
    js.put_refused("s.a", &batch("open", 2, &[COMMIT]), "", INCOMPLETE);
}

const COMMIT: (&str, &str) = ("Nats-Batch-Commit", "1");

/// The headers of a message of a batch.
fn batch<'a>(id: &'a str, number: u64, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    // Leaked, because a test ends soon and its tables then stay short.
    let number: &'static str = number.to_string().leak();
    [&[("Nats-Batch-Id", id), ("Nats-Batch-Sequence", number)], more].concat()
}

/// A message of a batch that is not the last is answered with nothing.
#[track_caller]
fn check_accepted(
    js: &mut JetStream,
    subject: &str,
    headers: &[(&str, &str)],
    payload: impl AsRef<[u8]>,
) {
    let answer = js.request(subject, headers, payload);
    assert_eq!((answer.status(), answer.text().as_str()), (None, ""), "{headers:?}");
}

#[track_caller]
fn check_abandoned(js: &mut JetStream, abandoned: &Subscription, id: &str, reason: &str) {
    let advisory = js.receive(abandoned).json();
    assert_contains(
        &advisory,
        &json!({
            "type": "io.nats.jetstream.advisory.v1.stream_batch_abandoned", "stream": "S",
            "batch": id, "reason": reason,
        }),
    );
}
