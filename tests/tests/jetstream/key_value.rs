//! The conventions of key-value buckets and object stores, as clients use them.

use fulmar_tests::{JetStream, Message, assert_contains, payloads};
use serde_json::{Value, json};

use crate::{SECOND, changed, start};

/// The configuration of the bucket `b` as clients send it.
fn bucket(changes: Value) -> Value {
    let configuration = json!({
        "name": "KV_b", "subjects": ["$KV.b.>"], "max_msgs_per_subject": 1, "discard": "new",
        "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true, "num_replicas": 1,
        "storage": "memory", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1,
        "max_msg_size": -1, "duplicate_window": 120 * SECOND,
    });
    changed(configuration, changes)
}

#[track_caller]
fn start_bucket(changes: Value) -> (fulmar_tests::Server, JetStream) {
    let (server, mut js) = start();
    js.stream(bucket(changes));
    (server, js)
}

#[track_caller]
fn get(js: &mut JetStream, key: &str) -> Message {
    js.request(&format!("$JS.API.DIRECT.GET.KV_b.$KV.b.{key}"), &[], "")
}

#[test]
fn a_value_is_put_and_got() {
    let (_server, mut js) = start_bucket(json!({}));
    assert_eq!(js.publish("$KV.b.color", "blue"), 1);
    assert_eq!(js.publish("$KV.b.color", "green"), 2);
    assert_eq!(js.publish("$KV.b.a/b_c=d.e-f", "odd"), 3);
    let message = get(&mut js, "color");
    assert_eq!(
        (message.text().as_str(), message.header("Nats-Sequence").as_deref()),
        ("green", Some("2"))
    );
    assert_eq!(get(&mut js, "a/b_c=d.e-f").text(), "odd");
    assert_eq!(get(&mut js, "none").status().as_deref(), Some("404 Message Not Found"));
    // One value each: the old one is gone.
    assert_contains(&js.state("KV_b"), &json!({"messages": 2, "first_seq": 2}));
}

#[test]
fn a_key_is_created_once() {
    let (_server, mut js) = start_bucket(json!({}));
    let create = [("Nats-Expected-Last-Subject-Sequence", "0")];
    assert_eq!(js.publish_with("$KV.b.key", &create, "first"), 1);
    js.put_refused("$KV.b.key", &create, "second", "400 10071 wrong last sequence: 1");
    let update = [("Nats-Expected-Last-Subject-Sequence", "1")];
    assert_eq!(js.publish_with("$KV.b.key", &update, "third"), 2);
    js.put_refused("$KV.b.key", &update, "fourth", "400 10071 wrong last sequence: 2");
    assert_eq!(get(&mut js, "key").text(), "third");
}

#[test]
fn a_deleted_key_has_a_marker_and_a_purged_one_no_history() {
    let (_server, mut js) = start_bucket(json!({"max_msgs_per_subject": 5}));
    for number in 0..3 {
        js.publish("$KV.b.key", number.to_string());
    }
    js.publish_with("$KV.b.key", &[("KV-Operation", "DEL")], "");
    let message = get(&mut js, "key");
    assert_eq!(message.header("KV-Operation").as_deref(), Some("DEL"));
    assert_eq!(js.state("KV_b")["messages"], 4);
    js.publish_with("$KV.b.key", &[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")], "");
    assert_eq!(js.state("KV_b")["messages"], 1);
    assert_eq!(get(&mut js, "key").header("KV-Operation").as_deref(), Some("PURGE"));
    // Creating it again expects the marker.
    js.publish_with("$KV.b.key", &[("Nats-Expected-Last-Subject-Sequence", "5")], "again");
}

#[test]
fn history_is_kept_up_to_its_length() {
    let (_server, mut js) = start_bucket(json!({"max_msgs_per_subject": 3}));
    for number in 0..10 {
        js.publish("$KV.b.key", number.to_string());
        js.publish("$KV.b.other", "");
    }
    let filter = json!({"filter_subject": "$KV.b.key", "ack_policy": "none"});
    let answer = js.consumer("KV_b", changed(filter, json!({"durable_name": "C"})));
    assert_eq!(answer["num_pending"], 3);
    assert_eq!(payloads(&js.fetch("KV_b", "C", 3)), ["7", "8", "9"]);
}

#[test]
fn a_watch_ends_its_first_part_by_what_is_left() {
    let (_server, mut js) = start_bucket(json!({}));
    for key in ["a", "b", "c", "a", "d.e"] {
        js.publish(&format!("$KV.b.{key}"), key);
    }
    for (filter, expected) in [
        ("$KV.b.>", &["b", "c", "a", "d.e"][..]),
        ("$KV.b.*", &["b", "c", "a"]),
        ("$KV.b.a", &["a"]),
        ("$KV.b.none", &[]),
    ] {
        let (pending, watch) = start_watch(&mut js, filter, json!({}));
        assert_eq!(pending, expected.len(), "{filter}");
        let mut values = Vec::new();
        while values.len() < pending {
            let message = js.receive(&watch);
            values.push(message.text());
            assert_eq!(message.delivery().pending, (pending - values.len()) as u64, "{filter}");
        }
        assert_eq!(values, expected, "{filter}");
    }
}

#[test]
fn a_watch_sees_changes_and_deletes() {
    let (_server, mut js) = start_bucket(json!({}));
    js.publish("$KV.b.key", "1");
    let (_, watch) = start_watch(&mut js, "$KV.b.>", json!({}));
    assert_eq!(js.receive(&watch).text(), "1");
    js.publish("$KV.b.key", "2");
    let message = js.receive(&watch);
    assert_eq!((message.subject.as_str(), message.text().as_str()), ("$KV.b.key", "2"));
    js.publish_with("$KV.b.key", &[("KV-Operation", "DEL")], "");
    assert_eq!(js.receive(&watch).header("KV-Operation").as_deref(), Some("DEL"));
}

#[test]
fn keys_are_listed_without_their_values() {
    let (_server, mut js) = start_bucket(json!({}));
    for key in ["x", "y", "x"] {
        js.publish(&format!("$KV.b.{key}"), "a value");
    }
    js.publish_with("$KV.b.gone", &[("KV-Operation", "DEL")], "");
    let (pending, watch) = start_watch(&mut js, "$KV.b.>", json!({"headers_only": true}));
    let messages: Vec<_> = (0..pending).map(|_| js.receive(&watch)).collect();
    assert_eq!(payloads(&messages), ["", "", ""]);
    let keys: Vec<_> = messages
        .iter()
        .filter(|message| message.header("KV-Operation").is_none())
        .map(|message| message.subject.as_str())
        .collect();
    assert_eq!(keys, ["$KV.b.y", "$KV.b.x"]);
    assert_eq!(messages[0].header("Nats-Msg-Size").as_deref(), Some("7"));
}

#[test]
fn buckets_are_found_by_their_subject() {
    let (_server, mut js) = start_bucket(json!({}));
    js.stream(bucket(json!({"name": "KV_c", "subjects": ["$KV.c.>"]})));
    js.stream(json!({"name": "OBJ_o", "subjects": ["$O.o.C.>", "$O.o.M.>"]}));
    js.stream(json!({"name": "S", "subjects": ["s.>"]}));
    let names = js.ok("STREAM.NAMES", json!({"subject": "$KV.*.>"}));
    assert_eq!(names["streams"], json!(["KV_b", "KV_c"]));
    let names = js.ok("STREAM.NAMES", json!({"subject": "$O.*.C.>"}));
    assert_eq!(names["streams"], json!(["OBJ_o"]));
    assert_eq!(js.ok("STREAM.LIST", json!({"subject": "$KV.*.>"}))["total"], 2);
}

#[test]
fn the_status_of_a_bucket_is_that_of_its_stream() {
    let (_server, mut js) = start_bucket(json!({"max_age": 3_600 * SECOND, "compression": "s2"}));
    js.publish("$KV.b.key", "value");
    assert_contains(
        &js.stream_info("KV_b"),
        &json!({
            "config": {
                "max_msgs_per_subject": 1, "max_age": 3_600 * SECOND, "compression": "s2",
                "duplicate_window": 120 * SECOND,
            },
            "state": {"messages": 1, "bytes": 30},
        }),
    );
}

#[test]
fn an_object_is_chunks_and_a_description() {
    let (_server, mut js) = start();
    js.stream(json!({
        "name": "OBJ_o", "subjects": ["$O.o.C.>", "$O.o.M.>"], "discard": "new",
        "allow_rollup_hdrs": true, "allow_direct": true, "storage": "file",
    }));
    for number in 0..5 {
        js.publish("$O.o.C.chunks", format!("{number}").repeat(100_000));
    }
    let description = |chunks| json!({"name": "file", "nuid": "chunks", "chunks": chunks});
    let meta = "$O.o.M.ZmlsZQ==";
    for chunks in [4, 5] {
        js.publish_with(meta, &[("Nats-Rollup", "sub")], description(chunks).to_string());
    }
    let answer = js.ok("STREAM.MSG.GET.OBJ_o", json!({"last_by_subj": meta}));
    assert_eq!(answer["message"]["seq"], 7);
    let message = js.request(&format!("$JS.API.DIRECT.GET.OBJ_o.{meta}"), &[], "");
    assert_eq!(message.json(), description(5));
    // Reading the chunks in order.
    let inbox = js.subscribe_inbox();
    let answer = js.consumer(
        "OBJ_o",
        json!({
            "deliver_subject": inbox.subject, "filter_subject": "$O.o.C.chunks",
            "flow_control": true, "idle_heartbeat": 5 * SECOND, "mem_storage": true,
            "ack_policy": "none", "max_deliver": 1, "num_replicas": 1,
        }),
    );
    assert_eq!(answer["num_pending"], 5);
    for number in 0..5 {
        let message = js.receive(&inbox);
        assert_eq!(message.payload, format!("{number}").repeat(100_000).as_bytes());
        assert_eq!(message.delivery().pending, 4 - number);
    }
    // Deleting it.
    js.publish_with(meta, &[("Nats-Rollup", "sub")], json!({"deleted": true}).to_string());
    let answer = js.ok("STREAM.PURGE.OBJ_o", json!({"filter": "$O.o.C.chunks"}));
    assert_eq!(answer["purged"], 5);
    assert_eq!(js.state("OBJ_o")["messages"], 1);
}

/// An ordered consumer over the last value of each key; gives how many there were.
#[track_caller]
fn start_watch(
    js: &mut JetStream,
    filter: &str,
    changes: Value,
) -> (usize, fulmar_tests::Subscription) {
    let inbox = js.subscribe_inbox();
    let configuration = json!({
        "deliver_subject": inbox.subject, "deliver_policy": "last_per_subject",
        "filter_subject": filter, "flow_control": true, "idle_heartbeat": 5 * SECOND,
        "ack_policy": "none", "max_deliver": 1, "mem_storage": true, "num_replicas": 1,
    });
    let answer = js.consumer("KV_b", changed(configuration, changes));
    let pending = answer["num_pending"].as_u64().and_then(|count| count.try_into().ok());
    (pending.expect("a count"), inbox)
}
