//! What an account uses and what it may use.

use fulmar_tests::{JetStream, Server, assert_contains};
use serde_json::json;

use crate::{consumer, start, stream};

const ACCOUNTS: &str = "
    accounts {
        A { users: [{user: a, password: a}], jetstream: enabled }
        B { users: [{user: b, password: b}] }
        C {
            users: [{user: c, password: c}]
            jetstream {
                max_mem: 1000, max_file: 2000, max_streams: 2, max_consumers: 1
                max_ack_pending: 10, max_bytes_required: true
                mem_max_stream_bytes: 500, disk_max_stream_bytes: 600
            }
        }
        D { users: [{user: d, password: d}], jetstream { max_mem: 100, max_file: 200 } }
    }
    jetstream {}
";

#[test]
fn info_counts_what_is_there() {
    let (_server, mut js) = start();
    assert_eq!(
        js.ok("INFO", ""),
        json!({
            "type": "io.nats.jetstream.api.v1.account_info_response",
            "memory": 0, "storage": 0, "reserved_memory": 0, "reserved_storage": 0,
            "streams": 0, "consumers": 0,
            "limits": {
                "max_memory": -1, "max_storage": -1, "max_streams": -1, "max_consumers": -1,
                "max_ack_pending": -1, "memory_max_stream_bytes": -1,
                "storage_max_stream_bytes": -1, "max_bytes_required": false,
            },
            "api": {"level": 5, "total": 0, "errors": 0},
        })
    );
    js.stream(stream(json!({"max_bytes": 1_000})));
    js.stream(json!({"name": "F", "max_bytes": 2_000}));
    js.publish("s.a", "x");
    js.publish("F", "x");
    js.consumer("S", consumer(json!({})));
    js.api("STREAM.INFO.NONE", "");
    let info = js.ok("INFO", "");
    assert_contains(
        &info,
        &json!({
            "memory": 20, "storage": 32, "reserved_memory": 1_000, "reserved_storage": 2_000,
            "streams": 2, "consumers": 1, "api": {"level": 5, "total": 5, "errors": 1},
        }),
    );
    js.ok("STREAM.DELETE.S", "");
    assert_contains(
        &js.ok("INFO", ""),
        &json!({"memory": 0, "reserved_memory": 0, "streams": 1, "consumers": 0}),
    );
}

#[test]
fn info_takes_any_body() {
    let (_server, mut js) = start();
    for body in ["", "{}", "x", "{\"a\":1}"] {
        js.ok("INFO", body);
    }
}

#[test]
fn an_account_without_jetstream_is_told_so() {
    let (_server, mut b) = start_as("b");
    let disabled = "503 10039 JetStream not enabled for account";
    b.refused("INFO", "", disabled);
    b.refused("STREAM.NAMES", "", disabled);
    b.refused("STREAM.CREATE.S", json!({"name": "S"}), disabled);
}

#[test]
fn accounts_do_not_see_each_other() {
    let (server, mut a) = start_as("a");
    let mut d = connect_as(&server, "d");
    a.stream(stream(json!({})));
    a.publish("s.a", "1");
    d.refused("STREAM.INFO.S", "", "404 10059 stream not found");
    assert_eq!(d.request("s.a", &[], "").status().as_deref(), Some("503"));
    // The same name and subjects are free there.
    d.stream(stream(json!({})));
    d.publish("s.a", "2");
    assert_eq!(a.state("S")["messages"], 1);
    assert_eq!(d.ok("INFO", "")["streams"], 1);
}

#[test]
fn info_tells_the_limits() {
    let (_server, mut c) = start_as("c");
    assert_eq!(
        c.ok("INFO", "")["limits"],
        json!({
            "max_memory": 1_000, "max_storage": 2_000, "max_streams": 2, "max_consumers": 1,
            "max_ack_pending": 10, "memory_max_stream_bytes": 500,
            "storage_max_stream_bytes": 600, "max_bytes_required": true,
        })
    );
}

#[test]
fn streams_keep_within_the_limits_of_the_account() {
    let (_server, mut c) = start_as("c");
    let large = "400 10122 stream max bytes exceeds account limit max stream bytes";
    for (changes, expected) in [
        (json!({}), "400 10113 account requires a stream config to have max bytes set"),
        (json!({"max_bytes": 501}), large),
        (json!({"max_bytes": 601, "storage": "file"}), large),
    ] {
        c.refused("STREAM.CREATE.S", stream(changes), expected);
    }
    c.stream(stream(json!({"max_bytes": 500})));
    c.stream(stream(json!({"name": "T", "subjects": ["t"], "max_bytes": 600, "storage": "file"})));
    c.refused(
        "STREAM.CREATE.U",
        stream(json!({"name": "U", "subjects": ["u"], "max_bytes": 5})),
        "400 10027 maximum number of streams reached",
    );
    c.ok("STREAM.DELETE.T", "");
    c.stream(stream(json!({"name": "U", "subjects": ["u"], "max_bytes": 5})));
}

#[test]
fn consumers_keep_within_the_limits_of_the_account() {
    let (_server, mut c) = start_as("c");
    c.stream(stream(json!({"max_bytes": 500})));
    c.consumer_refused(
        "S",
        consumer(json!({"max_ack_pending": 11})),
        "400 10121 consumer max ack pending exceeds system limit of 10",
    );
    let answer = c.consumer("S", consumer(json!({})));
    assert_eq!(answer["config"]["max_ack_pending"], 10);
    c.consumer_refused(
        "S",
        consumer(json!({"durable_name": "D"})),
        "400 10026 maximum consumers limit reached",
    );
}

#[test]
fn what_is_reserved_keeps_within_the_limits_of_the_account() {
    let (_server, mut d) = start_as("d");
    d.refused(
        "STREAM.CREATE.S",
        stream(json!({"max_bytes": 101})),
        "500 10028 insufficient memory resources available",
    );
    d.refused(
        "STREAM.CREATE.S",
        stream(json!({"max_bytes": 201, "storage": "file"})),
        "500 10047 insufficient storage resources available",
    );
    d.stream(stream(json!({"max_bytes": 60})));
    d.refused(
        "STREAM.CREATE.T",
        stream(json!({"name": "T", "subjects": ["t"], "max_bytes": 60})),
        "500 10028 insufficient memory resources available",
    );
}

#[test]
fn messages_keep_within_the_limits_of_the_account() {
    let (_server, mut d) = start_as("d");
    d.stream(stream(json!({})));
    // 20 bytes each, and 100 in all.
    for _ in 0..5 {
        d.publish("s.a", "x");
    }
    d.put_refused("s.a", &[], "x", "400 10002 resource limits exceeded for account");
    d.ok("STREAM.PURGE.S", json!({"keep": 1}));
    d.publish("s.a", "x");
}

#[test]
fn the_server_has_limits_too() {
    let server = Server::builder()
        .configuration("jetstream { max_mem: 1000, max_file: 2000 }")
        .jetstream()
        .start();
    let mut js = server.jetstream();
    js.refused(
        "STREAM.CREATE.S",
        stream(json!({"max_bytes": 1_001})),
        "500 10028 insufficient memory resources available",
    );
    js.refused(
        "STREAM.CREATE.S",
        stream(json!({"max_bytes": 2_001, "storage": "file"})),
        "500 10047 insufficient storage resources available",
    );
    js.stream(stream(json!({"max_bytes": 1_000})));
}

#[test]
fn the_server_bounds_consumers_and_windows() {
    let server = Server::builder()
        .configuration(
            "jetstream { limits { max_ack_pending: 50, max_request_batch: 20, duplicate_window: \"1m\" } }",
        )
        .jetstream()
        .start();
    let mut js = server.jetstream();
    let answer = js.stream(stream(json!({})));
    assert_eq!(answer["config"]["duplicate_window"], 60_000_000_000_u64);
    js.refused(
        "STREAM.CREATE.T",
        stream(json!({"name": "T", "subjects": ["t"], "duplicate_window": 61_000_000_000_u64})),
        "500 10052 duplicates window can not be larger then server limit of 1m0s",
    );
    js.consumer_refused(
        "S",
        consumer(json!({"max_ack_pending": 51})),
        "400 10121 consumer max ack pending exceeds system limit of 50",
    );
    js.consumer_refused(
        "S",
        consumer(json!({"max_batch": 21})),
        "400 10125 consumer max request batch exceeds server limit of 20",
    );
    let answer = js.consumer("S", consumer(json!({})));
    assert_contains(&answer["config"], &json!({"max_ack_pending": 50, "max_batch": 20}));
}

/// A server with several accounts, and a connection of this user, whose password is the same.
#[track_caller]
fn start_as(user: &str) -> (Server, JetStream) {
    let server = Server::builder().configuration(ACCOUNTS).jetstream().start();
    let js = connect_as(&server, user);
    (server, js)
}

#[track_caller]
fn connect_as(server: &Server, user: &str) -> JetStream {
    server.jetstream_with(&json!({"user": user, "pass": user}))
}
