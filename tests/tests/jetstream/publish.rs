//! Publishing one message: the PubAck, what the headers demand, and what is refused.

use fulmar_tests::{assert_contains, error};
use serde_json::json;

use crate::{SECOND, start_with, stream};

const WRONG_LAST: &str = "400 10071 wrong last sequence:";

#[test]
fn the_answer_is_the_stream_and_the_sequence() {
    let (_server, mut js) = start_with(json!({}));
    assert_eq!(js.request("s.a", &[], "x").text(), r#"{"stream":"S","seq":1}"#);
    assert_eq!(js.request("s.a", &[("A", "b")], "").text(), r#"{"stream":"S","seq":2}"#);
    assert_eq!(js.request("s.a", &[], "x").headers, b"");
}

#[test]
fn a_duplicate_is_answered_with_the_sequence_of_the_first() {
    let (_server, mut js) = start_with(json!({}));
    let id = [("Nats-Msg-Id", "one")];
    js.publish("s.a", "");
    assert_eq!(js.request("s.a", &id, "x").text(), r#"{"stream":"S","seq":2}"#);
    js.publish("s.a", "");
    // There is a space before `true`, and nowhere else.
    let duplicate = r#"{"stream":"S","seq":2,"duplicate": true}"#;
    assert_eq!(js.request("s.a", &id, "x").text(), duplicate);
    // Its subject and its payload do not matter.
    assert_eq!(js.request("s.b", &id, "y").text(), duplicate);
    assert_contains(&js.state("S"), &json!({"messages": 3, "last_seq": 3}));
}

#[test]
fn ids_are_of_one_stream() {
    let (_server, mut js) = start_with(json!({}));
    js.stream(json!({"name": "T", "storage": "memory"}));
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "");
    assert_eq!(js.put("T", &[("Nats-Msg-Id", "one")], ""), json!({"stream": "T", "seq": 1}));
}

#[test]
fn ids_are_forgotten_after_the_window() {
    let (_server, mut js) = start_with(json!({"duplicate_window": 100_000_000}));
    let id = [("Nats-Msg-Id", "one")];
    js.publish_with("s.a", &id, "");
    fulmar_tests::eventually("a second message with that id", || {
        js.put("s.a", &id, "")["seq"] != 1
    });
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn ids_survive_deleting_and_purging() {
    let (_server, mut js) = start_with(json!({}));
    let id = [("Nats-Msg-Id", "one")];
    js.publish_with("s.a", &id, "");
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
    assert_eq!(js.put("s.a", &id, "")["duplicate"], true);
    js.ok("STREAM.PURGE.S", "");
    assert_eq!(js.put("s.a", &id, "")["duplicate"], true);
}

#[test]
fn header_names_are_matched_by_case() {
    let (_server, mut js) = start_with(json!({}));
    for header in ["nats-msg-id", "NATS-MSG-ID", "Nats-Msg-ID", "Nats-Msg-I"] {
        for _ in 0..2 {
            assert_eq!(js.put("s.a", &[(header, "one")], "").get("duplicate"), None, "{header}");
        }
    }
    js.publish_with("s.a", &[("nats-expected-stream", "T")], "");
}

#[test]
fn a_refusal_names_the_stream_and_sequence_zero() {
    let (_server, mut js) = start_with(json!({}));
    assert_eq!(
        js.request("s.a", &[("Nats-Expected-Stream", "T")], "").text(),
        concat!(
            r#"{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"},"#,
            r#""stream":"S","seq":0}"#
        )
    );
    assert_eq!(js.state("S")["last_seq"], 0);
    js.publish_with("s.a", &[("Nats-Expected-Stream", "S")], "");
}

#[test]
fn without_a_stream_there_is_nobody() {
    let (_server, mut js) = start_with(json!({}));
    for subject in ["s", "t.a", "S"] {
        let answer = js.request(subject, &[], "");
        assert_eq!(answer.status().as_deref(), Some("503"), "{subject}");
        assert_eq!(answer.header("Nats-Subject").as_deref(), Some(subject));
    }
}

#[test]
fn without_a_reply_it_is_stored_all_the_same() {
    let (_server, mut js) = start_with(json!({}));
    js.send("s.a", "", &[], "1");
    js.send("s.a", "", &[("Nats-Msg-Id", "x")], "2");
    js.send("s.a", "", &[("Nats-Expected-Stream", "T")], "refused");
    assert_eq!(js.publish("s.a", "3"), 3);
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let (_server, mut js) = start_with(json!({}));
    let inbox = js.subscribe_inbox();
    for number in 0..500 {
        js.send("s.a", &inbox.subject, &[], number.to_string());
    }
    for number in 0..500 {
        assert_eq!(js.receive(&inbox).json()["seq"], number + 1);
    }
    assert_eq!(js.get("S", 500)["message"]["data"], "NDk5");
}

#[test]
fn a_stream_without_acks_answers_nothing() {
    let (_server, mut js) = start_with(json!({"no_ack": true}));
    let answers = js.start_request("s.a", &[], "x");
    js.start_request("s.a", &[("Nats-Expected-Stream", "T")], "refused");
    fulmar_tests::eventually("a stored message", || js.state("S")["messages"] == 1);
    assert_eq!(js.arrived(&answers), []);
}

#[test]
fn subscribers_get_what_is_stored_too() {
    let (_server, mut js) = start_with(json!({}));
    let subscription = js.subscribe("s.*");
    js.publish("s.a", "x");
    let message = js.receive(&subscription);
    assert_eq!((message.subject.as_str(), message.text().as_str()), ("s.a", "x"));
}

#[test]
fn the_last_sequence_must_be_the_expected_one() {
    let (_server, mut js) = start_with(json!({}));
    let expected = |sequence: &'static str| [("Nats-Expected-Last-Sequence", sequence)];
    assert_eq!(js.publish_with("s.a", &expected("0"), ""), 1);
    assert_eq!(js.publish_with("s.b", &expected("1"), ""), 2);
    for wrong in ["0", "1", "3", "x", "-2", "18446744073709551615"] {
        js.put_refused("s.a", &expected(wrong), "", &format!("{WRONG_LAST} 2"));
    }
    js.ok("STREAM.PURGE.S", "");
    assert_eq!(js.publish_with("s.a", &expected("2"), ""), 3);
}

#[test]
fn the_last_sequence_of_the_subject_must_be_the_expected_one() {
    let (_server, mut js) = start_with(json!({}));
    let expected = |sequence: &'static str| [("Nats-Expected-Last-Subject-Sequence", sequence)];
    assert_eq!(js.publish_with("s.a", &expected("0"), ""), 1);
    assert_eq!(js.publish_with("s.b", &expected("0"), ""), 2);
    assert_eq!(js.publish_with("s.a", &expected("1"), ""), 3);
    for wrong in ["0", "2", "4", "x", "100"] {
        js.put_refused("s.a", &expected(wrong), "", &format!("{WRONG_LAST} 3"));
    }
    js.put_refused("s.new", &expected("3"), "", &format!("{WRONG_LAST} 0"));
    // A deleted message is none.
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 3}));
    js.put_refused("s.a", &expected("3"), "", &format!("{WRONG_LAST} 1"));
    assert_eq!(js.publish_with("s.a", &expected("1"), ""), 4);
}

#[test]
fn the_expected_sequence_may_be_that_of_other_subjects() {
    let (_server, mut js) = start_with(json!({}));
    for subject in ["s.a", "s.b.x", "s.b.y"] {
        js.publish(subject, "");
    }
    let refused = |sequence| format!("{WRONG_LAST} {sequence}");
    for (filter, sequence, expected) in [
        ("s.a", "1", String::new()),
        ("s.a", "3", refused(1)),
        ("s.b.*", "3", String::new()),
        ("s.b.*", "2", refused(3)),
        ("s.b.>", "3", String::new()),
        ("s.none", "0", String::new()),
        ("s.none", "1", refused(0)),
        ("other", "0", String::new()),
    ] {
        let headers = [
            ("Nats-Expected-Last-Subject-Sequence", sequence),
            ("Nats-Expected-Last-Subject-Sequence-Subject", filter),
        ];
        let answer = js.put("s.z", &headers, "");
        assert_eq!(error(&answer), expected, "{filter} {sequence}");
    }
    js.put_refused(
        "s.z",
        &[("Nats-Expected-Last-Subject-Sequence-Subject", "s.a")],
        "",
        "400 10193 missing sequence for expected last sequence per subject",
    );
}

#[test]
fn the_last_id_must_be_the_expected_one() {
    let (_server, mut js) = start_with(json!({}));
    let expected = |id: &'static str| [("Nats-Expected-Last-Msg-Id", id)];
    js.put_refused("s.a", &expected("one"), "", "400 10070 wrong last msg ID: ");
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "");
    js.put_refused("s.a", &expected("two"), "", "400 10070 wrong last msg ID: one");
    assert_eq!(js.publish_with("s.b", &expected("one"), ""), 2);
    // The last message had none.
    js.put_refused("s.a", &expected("one"), "", "400 10070 wrong last msg ID: ");
}

#[test]
fn an_expectation_is_checked_before_a_duplicate_is_seen() {
    let (_server, mut js) = start_with(json!({}));
    let headers = [("Nats-Msg-Id", "one"), ("Nats-Expected-Last-Sequence", "0")];
    js.publish_with("s.a", &headers, "");
    js.put_refused("s.a", &headers, "", &format!("{WRONG_LAST} 1"));
    let headers = [("Nats-Msg-Id", "one"), ("Nats-Expected-Last-Subject-Sequence", "0")];
    js.put_refused("s.a", &headers, "", &format!("{WRONG_LAST} 1"));
}

#[test]
fn the_first_of_several_reasons_is_told() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_with("s.a", &[("Nats-Msg-Id", "known")], "");
    let reasons = [
        (("Nats-Incr", "1"), "400 10168 message counters is disabled"),
        (("Nats-Expected-Stream", "T"), "400 10060 expected stream does not match"),
        (("Nats-TTL", "1s"), "400 10166 per-message TTL is disabled"),
        (("Nats-Expected-Last-Subject-Sequence", "77"), "400 10071 wrong last sequence: 1"),
        (("Nats-Expected-Last-Sequence", "78"), "400 10071 wrong last sequence: 1"),
        (("Nats-Schedule", "@every 1s"), "400 10188 message schedules is disabled"),
        (("Nats-Stream-Source", "x"), "400 10227 message stream source header is not allowed"),
        // A duplicate is no error, but it ends the checks.
        (("Nats-Msg-Id", "known"), ""),
        (("Nats-Expected-Last-Msg-Id", "other"), "400 10070 wrong last msg ID: known"),
        (("Nats-Rollup", "sub"), "500 10111 rollup not permitted"),
    ];
    for first in 0..reasons.len() {
        // In the opposite order: which comes first in the message does not matter.
        let headers: Vec<_> = reasons[first..].iter().rev().map(|(header, _)| *header).collect();
        let answer = js.put("s.a", &headers, "");
        assert_eq!(error(&answer), reasons[first].1, "{headers:?}");
        assert_eq!(answer.get("duplicate").is_some(), reasons[first].1.is_empty());
    }
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn a_rollup_replaces_what_came_before() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"allow_rollup_hdrs": true, "storage": storage}));
        for subject in ["s.a", "s.b", "s.a"] {
            js.publish(subject, "");
        }
        assert_eq!(js.publish_with("s.a", &[("Nats-Rollup", "sub")], "rolled"), 4);
        let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">"}));
        assert_contains(
            &info["state"],
            &json!({"messages": 2, "first_seq": 2, "subjects": {"s.a": 1, "s.b": 1}}),
        );
        assert_eq!(js.publish_with("s.c", &[("Nats-Rollup", "all")], "rolled"), 5);
        assert_contains(&js.state("S"), &json!({"messages": 1, "first_seq": 5, "last_seq": 5}));
        // The header is stored like any other.
        assert_eq!(js.get("S", 5)["message"]["hdrs"], "TkFUUy8xLjANCk5hdHMtUm9sbHVwOiBhbGwNCg0K");
    }
}

#[test]
fn rollups_need_leave_and_a_known_value() {
    let (_server, mut js) = start_with(json!({}));
    for value in ["sub", "all", "x"] {
        js.put_refused("s.a", &[("Nats-Rollup", value)], "", "500 10111 rollup not permitted");
    }
    js.ok("STREAM.UPDATE.S", stream(json!({"allow_rollup_hdrs": true})));
    js.put_refused("s.a", &[("Nats-Rollup", "x")], "", "500 10111 rollup value invalid: \"x\"");
    for value in ["sub", "SUB", "all", "All"] {
        js.publish_with("s.a", &[("Nats-Rollup", value)], "");
    }
}

#[test]
fn the_largest_message_counts_its_headers() {
    let (_server, mut js) = start_with(json!({"max_msg_size": 100}));
    let too_large = "400 10054 message size exceeds maximum allowed";
    js.publish("s.a", "x".repeat(100));
    js.put_refused("s.a", &[], "x".repeat(101), too_large);
    // `NATS/1.0`, `A: b` and an empty line are 18 bytes.
    js.publish_with("s.a", &[("A", "b")], "x".repeat(82));
    js.put_refused("s.a", &[("A", "b")], "x".repeat(83), too_large);
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn a_header_block_has_at_most_64_kibibytes() {
    let (_server, mut js) = start_with(json!({}));
    let rest = "NATS/1.0\r\nA: \r\n\r\n".len();
    let value = "x".repeat(65_535 - rest);
    js.publish_with("s.a", &[("A", &value)], "");
    let value = "x".repeat(65_536 - rest);
    js.put_refused(
        "s.a",
        &[("A", &value)],
        "",
        "400 10097 header size exceeds maximum allowed of 64k",
    );
}

#[test]
fn the_first_sequence_may_be_chosen() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"first_seq": 100, "storage": storage}));
        assert_contains(&js.state("S"), &json!({"messages": 0, "first_seq": 100, "last_seq": 99}));
        assert_eq!(js.publish("s.a", ""), 100);
        assert_contains(&js.state("S"), &json!({"messages": 1, "first_seq": 100, "last_seq": 100}));
    }
}

#[test]
fn a_domain_is_named_between_stream_and_sequence() {
    let server = fulmar_tests::Server::builder()
        .configuration("jetstream { domain: hub }")
        .jetstream()
        .start();
    let mut js = server.jetstream();
    js.stream(stream(json!({})));
    let id = [("Nats-Msg-Id", "one")];
    assert_eq!(js.request("s.a", &id, "").text(), r#"{"stream":"S","domain":"hub","seq":1}"#);
    assert_eq!(
        js.request("s.a", &id, "").text(),
        r#"{"stream":"S","domain":"hub","seq":1,"duplicate": true}"#
    );
}

#[test]
fn a_message_may_carry_all_expectations_at_once() {
    let (_server, mut js) = start_with(json!({"allow_rollup_hdrs": true, "allow_msg_ttl": true}));
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "");
    let headers = [
        ("Nats-Msg-Id", "two"),
        ("Nats-Expected-Stream", "S"),
        ("Nats-Expected-Last-Sequence", "1"),
        ("Nats-Expected-Last-Subject-Sequence", "1"),
        ("Nats-Expected-Last-Msg-Id", "one"),
        ("Nats-Rollup", "sub"),
        ("Nats-TTL", "1h"),
    ];
    assert_eq!(js.publish_with("s.a", &headers, ""), 2);
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn sequences_have_no_gaps_after_refusals() {
    let (_server, mut js) = start_with(json!({"duplicate_window": 10 * SECOND}));
    for number in 1..=20 {
        js.put("s.a", &[("Nats-Expected-Stream", "T")], "");
        assert_eq!(js.publish("s.a", ""), number);
    }
}

#[test]
fn duplicates_are_answered_though_nothing_is_written() {
    let (_server, mut js) = start_with(json!({"storage": "file"}));
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "");
    for _ in 0..3 {
        let answer = js.request("s.a", &[("Nats-Msg-Id", "one")], "");
        assert_eq!(answer.text(), r#"{"stream":"S","seq":1,"duplicate": true}"#);
    }
}

#[test]
fn large_messages_follow_each_other() {
    let (_server, mut js) = start_with(json!({"storage": "file"}));
    let payload = "x".repeat(512 << 10);
    for sequence in 1..=20 {
        assert_eq!(js.publish("s.a", &payload), sequence);
    }
}
