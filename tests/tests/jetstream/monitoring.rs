//! What the monitoring pages tell of JetStream.

use fulmar_tests::{JetStream, Server, assert_contains};
use serde_json::{Value, json};

use crate::{consumer, stream};

#[track_caller]
fn start() -> (Server, JetStream) {
    let server = Server::builder().jetstream().monitoring().start();
    let jetstream = server.jetstream();
    (server, jetstream)
}

/// A stream in memory with three messages and a consumer.
#[track_caller]
fn start_filled() -> (Server, JetStream) {
    let (server, mut js) = start();
    js.stream(stream(json!({})));
    js.publish_numbers("s.a", 3);
    js.consumer("S", consumer(json!({})));
    js.fetch("S", "C", 2);
    (server, js)
}

#[test]
fn jsz_counts_what_is_there() {
    let (server, mut js) = start_filled();
    js.api("STREAM.INFO.NONE", "");
    let jsz = server.page("/jsz").json();
    assert_contains(
        &jsz,
        &json!({
            "server_id": js.client().info()["server_id"], "disabled": null,
            "memory": 60, "storage": 0, "accounts": 1, "ha_assets": 0,
            "streams": 1, "consumers": 1, "messages": 3, "bytes": 60,
            "api": {"level": 5, "errors": 1}, "account_details": null,
        }),
    );
    assert_contains(&jsz["config"], &json!({"store_dir": store(&server), "strict": true}));
    for field in ["max_memory", "max_storage"] {
        assert!(jsz["config"][field].as_i64() > Some(0), "{jsz}");
    }
    assert!(jsz["now"].as_str().is_some_and(|time| time.ends_with('Z')), "{jsz}");
}

#[test]
fn jsz_without_jetstream_says_so() {
    let server = Server::builder().monitoring().start();
    let jsz = server.page("/jsz").json();
    assert_contains(&jsz, &json!({"disabled": true, "streams": 0, "consumers": 0}));
}

#[test]
fn jsz_tells_more_when_it_is_asked() {
    let (server, _js) = start_filled();
    let account =
        |query: &str| server.page(&format!("/jsz{query}")).json()["account_details"][0].take();
    assert_contains(
        &account("?accounts=true"),
        &json!({"name": "$G", "id": "$G", "memory": 60, "stream_detail": null}),
    );
    let streams = account("?streams=true");
    assert_contains(
        &streams["stream_detail"],
        &json!([{
            "name": "S", "state": {"messages": 3, "consumer_count": 1}, "config": null,
            "consumer_detail": null,
        }]),
    );
    let consumers = account("?consumers=true&config=true");
    assert_contains(
        &consumers["stream_detail"][0],
        &json!({
            "name": "S", "config": {"subjects": ["s.>"]},
            "consumer_detail": [{
                "name": "C", "stream_name": "S", "num_ack_pending": 2, "num_pending": 1,
            }],
        }),
    );
}

#[test]
fn healthz_knows_streams_and_consumers() {
    let (server, mut js) = start();
    js.stream(stream(json!({"storage": "file"})));
    js.consumer("S", consumer(json!({})));
    for (query, status, expected) in [
        ("", 200, json!({"status": "ok"})),
        ("?js-enabled-only=true", 200, json!({"status": "ok"})),
        ("?js-server-only=true", 200, json!({"status": "ok"})),
        ("?account=$G", 200, json!({"status": "ok"})),
        ("?account=$G&stream=S", 200, json!({"status": "ok"})),
        ("?account=$G&stream=S&consumer=C", 200, json!({"status": "ok"})),
        ("?account=NONE", 404, json!({"status": "unavailable"})),
        ("?account=$G&stream=NONE", 404, json!({"status": "unavailable"})),
        ("?account=$G&stream=S&consumer=NONE", 404, json!({"status": "unavailable"})),
        ("?stream=S", 400, json!({})),
        ("?account=$G&consumer=C", 400, json!({})),
    ] {
        let page = server.page(&format!("/healthz{query}"));
        assert_eq!(page.status, status, "{query}: {page:?}");
        let body: Value = serde_json::from_str(&page.body).expect("JSON");
        assert_contains(&body, &expected);
    }
}

#[test]
fn varz_has_a_part_about_jetstream() {
    let (server, mut js) = start_filled();
    js.ok("INFO", "");
    let varz = server.varz();
    assert_contains(
        &varz["jetstream"],
        &json!({
            "config": {"store_dir": store(&server)},
            "stats": {"memory": 60, "accounts": 1, "api": {"level": 5}},
        }),
    );
}

fn store(server: &Server) -> String {
    server.store().join("jetstream").to_string_lossy().into_owned()
}
