//! Work queues, where an acknowledged message is gone, and streams that keep what somebody waits
//! for.

use fulmar_tests::{JetStream, assert_contains, eventually, sequences};
use serde_json::{Value, json};

use crate::{MILLISECOND, changed, consumer, start_with, stream};

fn work_queue(changes: Value) -> Value {
    changed(json!({"retention": "workqueue"}), changes)
}

fn interest(changes: Value) -> Value {
    changed(json!({"retention": "interest"}), changes)
}

#[test]
fn a_work_queue_keeps_messages_until_they_are_acknowledged() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(work_queue(json!({"storage": storage})));
        js.publish_numbers("s.a", 3);
        assert_eq!(js.state("S")["messages"], 3);
        js.consumer("S", consumer(json!({})));
        let messages = js.fetch("S", "C", 3);
        assert_eq!(js.state("S")["messages"], 3);
        js.acknowledge(&messages[1], "");
        check_stored(&mut js, &[1, 3]);
        js.acknowledge(&messages[0], "");
        check_stored(&mut js, &[3]);
        js.acknowledge(&messages[2], "+TERM");
        check_stored(&mut js, &[]);
        assert_contains(&js.state("S"), &json!({"messages": 0, "first_seq": 4, "last_seq": 3}));
    }
}

#[test]
fn an_unacknowledged_piece_of_work_is_given_to_another() {
    let (server, mut js) = start_with(work_queue(json!({})));
    js.publish("s.a", "work");
    js.consumer("S", consumer(json!({"ack_wait": 100 * MILLISECOND})));
    let mut other = server.jetstream();
    js.next("S", "C");
    let message = other.next("S", "C");
    assert_eq!(message.delivery().delivered, 2);
    other.acknowledge(&message, "");
    check_stored(&mut js, &[]);
}

#[test]
fn deleting_its_consumer_keeps_the_work() {
    let (_server, mut js) = start_with(work_queue(json!({})));
    js.publish_numbers("s.a", 3);
    js.consumer("S", consumer(json!({})));
    let messages = js.fetch("S", "C", 2);
    js.acknowledge(&messages[0], "");
    js.ok("CONSUMER.DELETE.S.C", "");
    check_stored(&mut js, &[2, 3]);
    js.consumer("S", consumer(json!({})));
    assert_eq!(sequences(&js.fetch("S", "C", 2)), [2, 3]);
}

#[test]
fn consumers_of_a_work_queue_acknowledge_and_begin_at_the_start() {
    let (_server, mut js) = start_with(work_queue(json!({})));
    for (changes, expected) in [
        (
            json!({"ack_policy": "none"}),
            "400 10084 consumer in pull mode requires explicit ack policy on workqueue stream",
        ),
        (json!({"ack_policy": "all"}), "400 10098 workqueue stream requires explicit ack"),
        (
            json!({"ack_policy": "none", "deliver_subject": "d.x"}),
            "400 10098 workqueue stream requires explicit ack",
        ),
        (
            json!({"ack_policy": "all", "deliver_subject": "d.x"}),
            "400 10098 workqueue stream requires explicit ack",
        ),
        (
            json!({"deliver_policy": "last"}),
            "400 10101 consumer must be deliver all on workqueue stream",
        ),
        (
            json!({"deliver_policy": "new"}),
            "400 10101 consumer must be deliver all on workqueue stream",
        ),
        (
            json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 1}),
            "400 10101 consumer must be deliver all on workqueue stream",
        ),
    ] {
        js.consumer_refused("S", consumer(changes), expected);
    }
}

#[test]
fn each_piece_of_work_is_for_one_consumer() {
    let several = "400 10099 multiple non-filtered consumers not allowed on workqueue stream";
    let not_unique = "400 10100 filtered consumer not unique on workqueue stream";
    let (_server, mut js) = start_with(work_queue(json!({})));
    js.consumer("S", consumer(json!({"durable_name": "A"})));
    js.consumer_refused("S", consumer(json!({})), several);
    js.consumer_refused("S", consumer(json!({"filter_subject": "s.a"})), not_unique);
    // The same one again is no second one.
    js.consumer("S", consumer(json!({"durable_name": "A"})));
    js.ok("CONSUMER.DELETE.S.A", "");

    js.consumer("S", consumer(json!({"durable_name": "A", "filter_subject": "s.a.*"})));
    for filter in ["s.a.*", "s.a.b", "s.>", "s.*.c"] {
        js.consumer_refused("S", consumer(json!({"filter_subject": filter})), not_unique);
    }
    js.consumer_refused("S", consumer(json!({"filter_subjects": ["s.b", "s.a.x"]})), not_unique);
    js.consumer_refused("S", consumer(json!({})), several);
    js.consumer("S", consumer(json!({"durable_name": "B", "filter_subject": "s.b"})));
    js.consumer("S", consumer(json!({"durable_name": "D", "filter_subjects": ["s.d", "s.e.>"]})));
}

#[test]
fn work_for_several_consumers_goes_by_subject() {
    let (_server, mut js) = start_with(work_queue(json!({})));
    for subject in ["s.a", "s.b", "s.c", "s.a"] {
        js.publish(subject, "");
    }
    js.consumer("S", consumer(json!({"durable_name": "A", "filter_subject": "s.a"})));
    js.consumer("S", consumer(json!({"durable_name": "B", "filter_subject": "s.b"})));
    let messages = js.fetch("S", "A", 2);
    assert_eq!(sequences(&messages), [1, 4]);
    js.acknowledge(&messages[0], "");
    let message = js.next("S", "B");
    js.acknowledge(&message, "");
    check_stored(&mut js, &[3, 4]);
}

#[test]
fn a_work_queue_keeps_what_was_given_up() {
    let (_server, mut js) = start_with(work_queue(json!({})));
    js.publish("s.a", "");
    js.consumer("S", consumer(json!({"max_deliver": 1})));
    let message = js.next("S", "C");
    js.acknowledge(&message, "-NAK");
    js.expect_nothing("S", "C");
    check_stored(&mut js, &[1]);
}

#[test]
fn limits_apply_to_a_work_queue_too() {
    let (_server, mut js) = start_with(work_queue(json!({"max_msgs": 2})));
    js.consumer("S", consumer(json!({})));
    js.publish_numbers("s.a", 4);
    check_stored(&mut js, &[3, 4]);
    let (_server, mut js) = start_with(work_queue(json!({"max_msgs": 2, "discard": "new"})));
    js.publish_numbers("s.a", 2);
    js.put_refused("s.a", &[], "", "503 10077 maximum messages exceeded");
}

#[test]
fn a_message_that_interests_nobody_is_acknowledged_but_not_kept() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(interest(json!({"storage": storage})));
        assert_eq!(js.publish("s.a", ""), 1);
        assert_eq!(js.publish("s.a", ""), 2);
        assert_contains(&js.state("S"), &json!({"messages": 0, "last_seq": 2}));
        js.consumer("S", consumer(json!({"filter_subject": "s.b"})));
        assert_eq!(js.publish("s.a", ""), 3);
        assert_contains(&js.state("S"), &json!({"messages": 0, "first_seq": 4, "last_seq": 3}));
        assert_eq!(js.publish("s.b", ""), 4);
        check_stored(&mut js, &[4]);
    }
}

#[test]
fn a_message_is_kept_until_everybody_acknowledged_it() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(interest(json!({"storage": storage})));
        for name in ["A", "B"] {
            js.consumer("S", consumer(json!({"durable_name": name})));
        }
        js.publish_numbers("s.a", 2);
        let one = js.fetch("S", "A", 2);
        let two = js.fetch("S", "B", 2);
        js.acknowledge(&one[0], "");
        check_stored(&mut js, &[1, 2]);
        js.acknowledge(&two[0], "");
        check_stored(&mut js, &[2]);
        js.acknowledge(&two[1], "");
        js.acknowledge(&one[1], "+TERM");
        check_stored(&mut js, &[]);
    }
}

#[test]
fn only_those_whose_filter_matches_are_waited_for() {
    let (_server, mut js) = start_with(interest(json!({})));
    js.consumer("S", consumer(json!({"durable_name": "A", "filter_subject": "s.a"})));
    js.consumer("S", consumer(json!({"durable_name": "B", "filter_subjects": ["s.b", "s.c"]})));
    js.publish("s.a", "");
    js.publish("s.c", "");
    let message = js.next("S", "A");
    js.acknowledge(&message, "");
    check_stored(&mut js, &[2]);
}

#[test]
fn an_ack_of_all_releases_all() {
    let (_server, mut js) = start_with(interest(json!({})));
    js.consumer("S", consumer(json!({"ack_policy": "all"})));
    js.publish_numbers("s.a", 4);
    let messages = js.fetch("S", "C", 4);
    js.acknowledge(&messages[2], "");
    check_stored(&mut js, &[4]);
}

#[test]
fn without_acks_delivery_releases() {
    let (_server, mut js) = start_with(interest(json!({})));
    js.consumer("S", consumer(json!({"ack_policy": "none"})));
    js.publish_numbers("s.a", 3);
    js.fetch("S", "C", 2);
    check_stored(&mut js, &[3]);
}

#[test]
fn a_consumer_that_is_deleted_is_waited_for_no_more() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(interest(json!({"storage": storage})));
        js.consumer("S", consumer(json!({"durable_name": "A"})));
        js.consumer("S", consumer(json!({"durable_name": "B"})));
        js.publish_numbers("s.a", 3);
        let messages = js.fetch("S", "A", 2);
        js.acknowledge(&messages[0], "");
        check_stored(&mut js, &[1, 2, 3]);
        js.ok("CONSUMER.DELETE.S.B", "");
        check_stored(&mut js, &[2, 3]);
        js.ok("CONSUMER.DELETE.S.A", "");
        check_stored(&mut js, &[]);
    }
}

#[test]
fn interest_that_becomes_limits_keeps_everything() {
    let (_server, mut js) = start_with(interest(json!({})));
    js.ok("STREAM.UPDATE.S", stream(json!({})));
    js.publish("s.a", "");
    check_stored(&mut js, &[1]);
}

#[test]
fn limits_that_become_interest_release_what_nobody_waits_for() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", consumer(json!({})));
    js.publish_numbers("s.a", 3);
    let messages = js.fetch("S", "C", 2);
    js.acknowledge(&messages[0], "");
    check_stored(&mut js, &[1, 2, 3]);
    js.ok("STREAM.UPDATE.S", stream(interest(json!({}))));
    check_stored(&mut js, &[2, 3]);
}

#[test]
fn a_deleted_message_of_a_work_queue_is_not_delivered() {
    let (_server, mut js) = start_with(work_queue(json!({})));
    js.publish_numbers("s.a", 3);
    js.consumer("S", consumer(json!({})));
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 1}));
    assert_eq!(sequences(&js.fetch("S", "C", 2)), [2, 3]);
}

/// These sequences of the first ten are stored, or will be soon: an ack may be answered before the
/// message is gone.
#[track_caller]
fn check_stored(js: &mut JetStream, expected: &[u64]) {
    eventually(&format!("only {expected:?} stored"), || {
        let stored: Vec<u64> =
            (1..=10).filter(|sequence| js.get("S", *sequence).get("error").is_none()).collect();
        stored == expected
    });
    assert_eq!(js.state("S")["messages"], expected.len());
}
