//! Where a consumer begins, what its filters let through, and the exact number that is left.

use fulmar_tests::{JetStream, is_fulmar, payloads, sequences};
use serde_json::{Value, json};

use crate::{check_pending, consumer, start_with, start_with_consumer};

/// A stream with seven messages: `s.a`, `s.b`, `s.a`, `s.c.d`, `s.b`, `s.a`, `s.e`.
#[track_caller]
fn start_filled(configuration: Value) -> (fulmar_tests::Server, JetStream) {
    let (server, mut js) = start_with(configuration);
    for subject in ["s.a", "s.b", "s.a", "s.c.d", "s.b", "s.a", "s.e"] {
        js.publish(subject, "");
    }
    (server, js)
}

#[test]
fn each_policy_begins_at_its_place() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_filled(json!({"storage": storage}));
        for (configuration, expected) in [
            (json!({"deliver_policy": "all"}), &[1, 2, 3, 4, 5, 6, 7][..]),
            (json!({"deliver_policy": "last"}), &[7]),
            (json!({"deliver_policy": "new"}), &[]),
            (json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 5}), &[5, 6, 7]),
            (json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 50}), &[]),
            (
                json!({"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}),
                &[1, 2, 3, 4, 5, 6, 7],
            ),
            (
                json!({"deliver_policy": "by_start_time", "opt_start_time": "2100-01-01T00:00:00Z"}),
                &[],
            ),
            (json!({"deliver_policy": "last_per_subject", "filter_subject": "s.>"}), &[4, 5, 6, 7]),
            (json!({"deliver_policy": "last_per_subject", "filter_subject": "s.a"}), &[6]),
            (
                json!({"deliver_policy": "last_per_subject", "filter_subjects": ["s.b", "s.a"]}),
                &[5, 6],
            ),
            (json!({"deliver_policy": "last", "filter_subject": "s.a"}), &[6]),
            (json!({"deliver_policy": "last", "filter_subject": "s.none"}), &[]),
            (
                json!({
                    "deliver_policy": "by_start_sequence", "opt_start_seq": 2,
                    "filter_subject": "s.a",
                }),
                &[3, 6],
            ),
        ] {
            check_deliveries(&mut js, configuration, expected);
        }
    }
}

#[test]
fn the_last_of_several_filters_is_the_last_of_each() {
    let (_server, mut js) = start_filled(json!({}));
    check_deliveries(
        &mut js,
        json!({"deliver_policy": "last", "filter_subjects": ["s.a", "s.b"]}),
        &[6],
    );
}

#[test]
fn a_start_time_is_that_of_a_message() {
    let (_server, mut js) = start_filled(json!({}));
    for sequence in [1, 4, 7] {
        let time = js.get("S", sequence)["message"]["time"].take();
        let configuration = json!({"deliver_policy": "by_start_time", "opt_start_time": time});
        let expected: Vec<u64> = (sequence..=7).collect();
        check_deliveries(&mut js, configuration, &expected);
    }
}

#[test]
fn filters_let_through_what_they_match() {
    let (_server, mut js) = start_filled(json!({}));
    for (configuration, expected) in [
        (json!({"filter_subject": "s.a"}), &[1, 3, 6][..]),
        (json!({"filter_subject": "s.*"}), &[1, 2, 3, 5, 6, 7]),
        (json!({"filter_subject": "s.>"}), &[1, 2, 3, 4, 5, 6, 7]),
        (json!({"filter_subject": "s.*.d"}), &[4]),
        (json!({"filter_subject": ">"}), &[1, 2, 3, 4, 5, 6, 7]),
        (json!({"filter_subject": "s.none"}), &[]),
        (json!({"filter_subjects": ["s.a", "s.e"]}), &[1, 3, 6, 7]),
        (json!({"filter_subjects": ["s.e", "s.c.>", "s.b"]}), &[2, 4, 5, 7]),
        (json!({"filter_subjects": ["s.a"]}), &[1, 3, 6]),
    ] {
        check_deliveries(&mut js, configuration, expected);
    }
}

#[test]
fn new_messages_are_those_after_the_answer() {
    let (_server, mut js) = start_filled(json!({}));
    js.consumer("S", consumer(json!({"deliver_policy": "new"})));
    js.publish("s.a", "new");
    let message = js.next("S", "C");
    assert_eq!((message.text().as_str(), message.delivery().stream_sequence), ("new", 8));
}

#[test]
fn last_per_subject_goes_on_with_everything_that_comes_later() {
    let (_server, mut js) = start_filled(json!({}));
    js.consumer(
        "S",
        consumer(json!({"deliver_policy": "last_per_subject", "filter_subject": "s.*"})),
    );
    js.publish("s.a", "");
    js.publish("s.a", "");
    // Both new ones, and of the old ones what was the last at the time of the answer.
    assert_eq!(sequences(&js.fetch("S", "C", 5)), [5, 6, 7, 8, 9]);
    js.expect_nothing("S", "C");
}

#[test]
fn a_start_sequence_in_the_future_waits_for_it() {
    let (_server, mut js) = start_filled(json!({}));
    let configuration = json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 9});
    js.consumer("S", consumer(configuration));
    js.publish("s.a", "8");
    js.publish("s.a", "9");
    assert_eq!(payloads(&js.fetch("S", "C", 1)), ["9"]);
}

#[test]
fn deleted_messages_are_skipped() {
    let (_server, mut js) = start_filled(json!({}));
    for sequence in [1, 4, 5] {
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": sequence}));
    }
    check_deliveries(&mut js, json!({}), &[2, 3, 6, 7]);
    check_deliveries(&mut js, json!({"filter_subject": "s.b"}), &[2]);
    check_deliveries(
        &mut js,
        json!({"deliver_policy": "last_per_subject", "filter_subject": "s.b"}),
        &[2],
    );
}

#[test]
fn what_is_left_counts_down_in_the_ack_subjects() {
    let (_server, mut js) = start_filled(json!({}));
    for (configuration, expected) in [
        (json!({}), &[6, 5, 4, 3, 2, 1, 0][..]),
        (json!({"filter_subject": "s.a"}), &[2, 1, 0]),
        (json!({"filter_subjects": ["s.a", "s.b"]}), &[4, 3, 2, 1, 0]),
        (json!({"deliver_policy": "last_per_subject", "filter_subject": ">"}), &[3, 2, 1, 0]),
        (json!({"deliver_policy": "last"}), &[0]),
    ] {
        js.consumer("S", consumer(configuration.clone()));
        let pending: Vec<u64> =
            js.fetch_available("S", "C").iter().map(|message| message.delivery().pending).collect();
        assert_eq!(pending, expected, "{configuration}");
        js.ok("CONSUMER.DELETE.S.C", "");
    }
}

#[test]
fn what_is_left_follows_publishing_and_pulling() {
    let (_server, mut js) = start_with_consumer(json!({"filter_subject": "s.a"}));
    check_pending(&mut js, 0);
    for expected in 1..=3 {
        js.publish("s.a", "");
        js.publish("s.b", "");
        check_pending(&mut js, expected);
    }
    js.fetch("S", "C", 2);
    check_pending(&mut js, 1);
    js.fetch("S", "C", 1);
    check_pending(&mut js, 0);
    // What is pending an ack is not left to be delivered.
    assert_eq!(js.consumer_info("S", "C")["num_ack_pending"], 3);
}

#[test]
fn what_is_left_follows_deletes_and_purges() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_filled(json!({"storage": storage}));
        js.consumer("S", consumer(json!({"filter_subject": "s.*"})));
        check_pending(&mut js, 6);
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": 2}));
        check_pending(&mut js, 5);
        // One that the filter does not match.
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": 4}));
        check_pending(&mut js, 5);
        js.next("S", "C");
        // One that was delivered.
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
        check_pending(&mut js, 4);
        js.ok("STREAM.PURGE.S", json!({"filter": "s.a"}));
        check_pending(&mut js, 2);
        js.ok("STREAM.PURGE.S", json!({"seq": 7}));
        check_pending(&mut js, 1);
        js.ok("STREAM.PURGE.S", "");
        check_pending(&mut js, 0);
        js.publish("s.x", "");
        check_pending(&mut js, 1);
    }
}

#[test]
fn what_is_left_follows_the_limits_of_the_stream() {
    let (_server, mut js) = start_with(json!({"max_msgs": 5, "max_msgs_per_subject": 2}));
    js.consumer("S", consumer(json!({})));
    for _ in 0..4 {
        js.publish("s.a", "");
    }
    check_pending(&mut js, 2);
    for number in 0..10 {
        js.publish(&format!("s.{number}"), "");
    }
    check_pending(&mut js, 5);
    js.fetch("S", "C", 3);
    check_pending(&mut js, 2);
}

#[test]
fn what_is_left_of_last_per_subject_counts_each_subject_once() {
    let (_server, mut js) = start_filled(json!({}));
    let configuration = json!({"deliver_policy": "last_per_subject", "filter_subject": ">"});
    let answer = js.consumer("S", consumer(configuration));
    assert_eq!(answer["num_pending"], 4);
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 4}));
    check_pending(&mut js, 3);
    js.publish("s.new", "");
    check_pending(&mut js, 4);
    if is_fulmar() {
        // nats-server stops before the message that is gone, until something else happens.
        assert_eq!(sequences(&js.fetch("S", "C", 2)), [5, 6]);
        check_pending(&mut js, 2);
    }
}

#[test]
fn a_consumer_that_begins_late_has_less_left() {
    let (_server, mut js) = start_filled(json!({}));
    for (configuration, expected) in [
        (json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 3}), 5),
        (
            json!({
                "deliver_policy": "by_start_sequence", "opt_start_seq": 3,
                "filter_subject": "s.a",
            }),
            2,
        ),
        (json!({"deliver_policy": "new"}), 0),
        (json!({"deliver_policy": "last"}), 1),
    ] {
        let answer = js.consumer("S", consumer(configuration.clone()));
        assert_eq!(answer["num_pending"], expected, "{configuration}");
        js.ok("CONSUMER.DELETE.S.C", "");
    }
}

/// A consumer with this configuration delivers these sequences and counted them before.
#[track_caller]
fn check_deliveries(js: &mut JetStream, configuration: Value, expected: &[u64]) {
    let description = configuration.to_string();
    let answer = js.consumer("S", consumer(configuration));
    assert_eq!(answer["num_pending"], expected.len(), "{description}");
    assert_eq!(sequences(&js.fetch_available("S", "C")), expected, "{description}");
    js.ok("CONSUMER.DELETE.S.C", "");
}
