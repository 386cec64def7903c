//! What the server tells of consumers: info, list, names; and deleting them.

use fulmar_tests::assert_contains;
use serde_json::{Value, json};

use crate::{start, start_with, wait_for_waiting};

#[test]
fn info_counts_what_was_delivered_and_acknowledged() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 4);
    js.consumer("S", json!({"durable_name": "C", "ack_policy": "explicit"}));
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({
            "stream_name": "S", "name": "C", "cluster": null,
            "delivered": {"consumer_seq": 0, "stream_seq": 0, "last_active": null},
            "ack_floor": {"consumer_seq": 0, "stream_seq": 0, "last_active": null},
            "num_ack_pending": 0, "num_redelivered": 0, "num_waiting": 0, "num_pending": 4,
            "push_bound": null, "paused": null, "priority_groups": null,
        }),
    );
    let messages = js.fetch("S", "C", 3);
    js.acknowledge(&messages[0], "+ACK");
    js.acknowledge(&messages[2], "+ACK");
    let info = js.consumer_info("S", "C");
    assert_contains(
        &info,
        &json!({
            "delivered": {"consumer_seq": 3, "stream_seq": 3},
            "ack_floor": {"consumer_seq": 1, "stream_seq": 1},
            "num_ack_pending": 1, "num_redelivered": 0, "num_pending": 1,
        }),
    );
    for position in ["delivered", "ack_floor"] {
        let time = info[position]["last_active"].as_str().unwrap_or_default();
        assert!(time.ends_with('Z'), "{info}");
    }
    js.acknowledge(&messages[1], "+ACK");
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"ack_floor": {"consumer_seq": 3, "stream_seq": 3}, "num_ack_pending": 0}),
    );
}

#[test]
fn info_wants_an_empty_body() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"durable_name": "C"}));
    for body in ["", "{}", " { } "] {
        js.ok("CONSUMER.INFO.S.C", body);
    }
    for body in ["x", "{\"a\":1}"] {
        js.refused("CONSUMER.INFO.S.C", body, "400 10038 expected an empty request payload");
    }
}

#[test]
fn a_consumer_that_is_not_there_is_not_found() {
    let (_server, mut js) = start_with(json!({}));
    for path in ["CONSUMER.INFO", "CONSUMER.DELETE"] {
        js.refused(&format!("{path}.S.C"), "", "404 10014 consumer not found");
        js.refused(&format!("{path}.T.C"), "", "404 10059 stream not found");
    }
}

#[test]
fn names_and_list_of_nothing_are_empty() {
    let (_server, mut js) = start_with(json!({}));
    assert_eq!(
        js.ok("CONSUMER.NAMES.S", ""),
        json!({
            "type": "io.nats.jetstream.api.v1.consumer_names_response",
            "total": 0, "offset": 0, "limit": 1_024, "consumers": [],
        })
    );
    assert_eq!(
        js.ok("CONSUMER.LIST.S", ""),
        json!({
            "type": "io.nats.jetstream.api.v1.consumer_list_response",
            "total": 0, "offset": 0, "limit": 256, "consumers": [],
        })
    );
    for path in ["CONSUMER.NAMES.T", "CONSUMER.LIST.T"] {
        let answer = js.refused(path, "", "404 10059 stream not found");
        assert_contains(&answer, &json!({"total": 0, "limit": 0, "consumers": []}));
    }
}

#[test]
fn names_and_list_are_sorted_and_paged() {
    let (_server, mut js) = start_with(json!({}));
    for name in ["b", "C", "a", "c1", "c"] {
        js.consumer("S", json!({"durable_name": name}));
    }
    for (offset, expected) in [
        (0, json!(["C", "a", "b", "c", "c1"])),
        (3, json!(["c", "c1"])),
        (5, json!([])),
        (50, json!([])),
    ] {
        let page = json!({"total": 5, "offset": offset.min(5)});
        let names = js.ok("CONSUMER.NAMES.S", json!({"offset": offset}));
        assert_eq!(names["consumers"], expected);
        assert_contains(&names, &page);
        let list = js.ok("CONSUMER.LIST.S", json!({"offset": offset}));
        assert_eq!(listed(&list), expected);
        assert_contains(&list, &page);
    }
}

#[test]
fn the_list_describes_each_consumer() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 3);
    js.consumer("S", json!({"durable_name": "C", "ack_policy": "explicit"}));
    js.fetch("S", "C", 2);
    assert_contains(
        &js.ok("CONSUMER.LIST.S", "")["consumers"][0],
        &json!({
            "stream_name": "S", "name": "C", "num_ack_pending": 2, "num_pending": 1,
            "config": {"durable_name": "C"},
        }),
    );
}

#[test]
fn requests_for_pages_are_strict() {
    let (_server, mut js) = start_with(json!({}));
    for path in ["CONSUMER.NAMES.S", "CONSUMER.LIST.S"] {
        let unknown = "400 10025 invalid JSON: json: unknown field \"foo\"";
        js.refused(path, json!({"foo": 1}), unknown);
    }
}

#[test]
fn a_deleted_consumer_is_gone() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "");
    js.consumer("S", json!({"durable_name": "C", "ack_policy": "explicit"}));
    js.next("S", "C");
    let expected = "400 10038 expected an empty request payload";
    js.refused("CONSUMER.DELETE.S.C", "x", expected);
    assert_eq!(
        js.ok("CONSUMER.DELETE.S.C", ""),
        json!({"type": "io.nats.jetstream.api.v1.consumer_delete_response", "success": true})
    );
    js.refused("CONSUMER.INFO.S.C", "", "404 10014 consumer not found");
    assert_eq!(js.state("S")["consumer_count"], 0);
    // The next one of that name begins anew.
    let answer = js.consumer("S", json!({"durable_name": "C", "ack_policy": "explicit"}));
    assert_contains(&answer, &json!({"num_pending": 1, "num_ack_pending": 0}));
    assert_eq!(js.next("S", "C").delivery().delivered, 1);
}

#[test]
fn nobody_answers_for_a_consumer_that_is_not_there() {
    let (_server, mut js) = start();
    let answer = js.request("$JS.API.CONSUMER.MSG.NEXT.S.C", &[], "");
    assert_eq!(answer.status().as_deref(), Some("503"));
    let answer = js.request("$JS.ACK.S.C.1.1.1.1.0", &[], "+ACK");
    assert_eq!(answer.status().as_deref(), Some("503"));
}

fn listed(list: &Value) -> Value {
    let consumers = list["consumers"].as_array().expect("a list");
    consumers.iter().map(|consumer| consumer["name"].clone()).collect()
}

#[test]
fn waiting_requests_are_counted() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"durable_name": "C"}));
    js.pull("S", "C", json!({"batch": 1, "expires": 60_000_000_000_u64}));
    js.pull("S", "C", json!({"batch": 5, "expires": 60_000_000_000_u64}));
    wait_for_waiting(&mut js, "C", 2);
    js.publish("s.a", "");
    wait_for_waiting(&mut js, "C", 1);
}
