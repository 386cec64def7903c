//! The monitoring pages: their fields, their parameters, and what they say of bad ones.
//!
//! The lists of fields are those of nats-server 2.15.1. A field that is not in them may only be
//! one that begins with `fulmar`.

use fulmar_tests::{RawClient, Server, eventually, eventually_some, is_fulmar};
use serde_json::{Value, json};

use crate::{expect_reason, plain};

/// What kind of value a field has.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Whole,
    Number,
    Bool,
    /// RFC 3339 with `Z` and up to nine digits of a second.
    Time,
    /// A duration as Go writes it: `1y2d3h4m5s`, `1.5ms`, `123µs`.
    Duration,
    Object,
    Array,
}

use Kind::{Array, Bool, Duration, Number, Object, Text, Time, Whole};

/// (name, kind, always there)
type Field = (&'static str, Kind, bool);

const VARZ: &[Field] = &[
    ("server_id", Text, true),
    ("server_name", Text, true),
    ("version", Text, true),
    ("proto", Whole, true),
    ("git_commit", Text, false),
    ("go", Text, true),
    ("host", Text, true),
    ("port", Whole, true),
    ("auth_required", Bool, false),
    ("tls_required", Bool, false),
    ("tls_verify", Bool, false),
    ("ip", Text, false),
    ("connect_urls", Array, false),
    ("ws_connect_urls", Array, false),
    ("max_connections", Whole, true),
    ("max_subscriptions", Whole, false),
    ("ping_interval", Whole, true),
    ("ping_max", Whole, true),
    ("http_host", Text, true),
    ("http_port", Whole, true),
    ("http_base_path", Text, true),
    ("https_port", Whole, true),
    ("auth_timeout", Number, true),
    ("max_control_line", Whole, true),
    ("max_payload", Whole, true),
    ("max_pending", Whole, true),
    ("cluster", Object, true),
    ("gateway", Object, true),
    ("leaf", Object, true),
    ("mqtt", Object, true),
    ("websocket", Object, true),
    ("jetstream", Object, true),
    ("tls_timeout", Number, true),
    ("write_deadline", Whole, true),
    ("write_timeout", Text, false),
    ("start", Time, true),
    ("now", Time, true),
    ("uptime", Duration, true),
    ("mem", Whole, true),
    ("cores", Whole, true),
    ("gomaxprocs", Whole, true),
    ("gomemlimit", Whole, false),
    ("cpu", Number, true),
    ("connections", Whole, true),
    ("total_connections", Whole, true),
    ("routes", Whole, true),
    ("remotes", Whole, true),
    ("leafnodes", Whole, true),
    ("in_msgs", Whole, true),
    ("in_bytes", Whole, true),
    ("in_client_msgs", Whole, true),
    ("in_client_bytes", Whole, true),
    ("out_msgs", Whole, true),
    ("out_bytes", Whole, true),
    ("out_client_msgs", Whole, true),
    ("out_client_bytes", Whole, true),
    ("slow_consumers", Whole, true),
    ("stale_connections", Whole, true),
    ("stalled_clients", Whole, true),
    ("subscriptions", Whole, true),
    ("http_req_stats", Object, true),
    ("config_load_time", Time, true),
    ("config_digest", Text, true),
    ("tags", Array, false),
    ("metadata", Object, false),
    ("feature_flags", Object, false),
    ("system_account", Text, false),
    ("slow_consumer_stats", Object, true),
    ("stale_connection_stats", Object, true),
    ("disk_io_wait_stats", Object, true),
];

const STATS_BY_KIND: &[Field] = &[
    ("clients", Whole, true),
    ("routes", Whole, true),
    ("gateways", Whole, true),
    ("leafs", Whole, true),
];

const DISK_STATS: &[Field] = &[
    ("waiters", Whole, true),
    ("waits", Whole, true),
    ("wait_time", Whole, true),
    ("max_wait_time", Whole, true),
];

const CONNZ: &[Field] = &[
    ("server_id", Text, true),
    ("now", Time, true),
    ("num_connections", Whole, true),
    ("total", Whole, true),
    ("offset", Whole, true),
    ("limit", Whole, true),
    ("connections", Array, true),
];

const CONNECTION: &[Field] = &[
    ("cid", Whole, true),
    ("kind", Text, true),
    ("type", Text, true),
    ("ip", Text, true),
    ("port", Whole, true),
    ("start", Time, true),
    ("last_activity", Time, true),
    ("stop", Time, false),
    ("reason", Text, false),
    ("rtt", Duration, true),
    ("uptime", Duration, true),
    ("idle", Duration, true),
    ("pending_bytes", Whole, true),
    ("in_msgs", Whole, true),
    ("out_msgs", Whole, true),
    ("in_bytes", Whole, true),
    ("out_bytes", Whole, true),
    ("stalls", Whole, false),
    ("subscriptions", Whole, true),
    ("name", Text, false),
    ("lang", Text, false),
    ("version", Text, false),
    ("authorized_user", Text, false),
    ("account", Text, false),
    ("subscriptions_list", Array, false),
    ("subscriptions_list_detail", Array, false),
    ("name_tag", Text, false),
];

const SUBSCRIPTION: &[Field] = &[
    ("account", Text, false),
    ("account_tag", Text, false),
    ("subject", Text, true),
    ("qgroup", Text, false),
    ("sid", Text, true),
    ("msgs", Whole, true),
    ("max", Whole, false),
    ("cid", Whole, true),
];

const SUBSZ: &[Field] = &[
    ("server_id", Text, true),
    ("now", Time, true),
    ("num_subscriptions", Whole, true),
    ("num_cache", Whole, true),
    ("num_inserts", Whole, true),
    ("num_removes", Whole, true),
    ("num_matches", Whole, true),
    ("cache_hit_rate", Number, true),
    ("max_fanout", Whole, true),
    ("avg_fanout", Number, true),
    ("total", Whole, true),
    ("offset", Whole, true),
    ("limit", Whole, true),
    ("subscriptions_list", Array, false),
];

#[track_caller]
fn assert_fields(object: &Value, fields: &[Field]) {
    let object = object.as_object().expect("an object");
    for (name, kind, required) in fields {
        let Some(value) = object.get(*name) else {
            assert!(!required, "{name} is missing");
            continue;
        };
        let fits = match kind {
            Text => value.is_string(),
            Whole => value.is_i64() || value.is_u64(),
            Number => value.is_number(),
            Bool => value.is_boolean(),
            Time => value.as_str().is_some_and(is_time),
            Duration => value.as_str().is_some_and(is_duration),
            Object => value.is_object(),
            Array => value.is_array(),
        };
        assert!(fits, "{name} is no {kind:?}: {value}");
    }
    for name in object.keys() {
        let known = fields.iter().any(|field| field.0 == name) || name.starts_with("fulmar");
        assert!(known, "{name} is not a field of nats-server");
    }
}

fn is_time(text: &str) -> bool {
    let shape: String =
        text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    let Some(fraction) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let Some(fraction) = fraction.strip_suffix('Z') else { return false };
    fraction.is_empty()
        || (fraction.starts_with('.')
            && fraction.len() <= 10
            && !text.ends_with("0Z")
            && fraction[1..].bytes().all(|byte| byte == b'0'))
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let Some(digits @ 1..) = digits else { return false };
        rest = &rest[digits..];
        let units = ["ns", "\u{b5}s", "ms", "y", "d", "h", "m", "s"];
        let Some(unit) = units.iter().find(|unit| rest.starts_with(**unit)) else { return false };
        rest = &rest[unit.len()..];
    }
    !text.is_empty()
}

#[test]
fn varz_has_every_field() {
    let server = Server::builder().monitoring().start();
    let varz = server.varz();
    assert_fields(&varz, VARZ);
    assert_fields(&varz["slow_consumer_stats"], STATS_BY_KIND);
    assert_fields(&varz["stale_connection_stats"], STATS_BY_KIND);
    assert_fields(&varz["disk_io_wait_stats"], DISK_STATS);
    assert_eq!(varz["server_id"], server.client().info()["server_id"]);
    for (name, value) in json!({
        "version": "2.15.1", "proto": 1, "host": "127.0.0.1", "port": server.port(),
        "max_connections": 65_536, "ping_interval": 120_000_000_000_u64, "ping_max": 2,
        "http_host": "127.0.0.1", "https_port": 0, "auth_timeout": 2, "max_control_line": 4096,
        "max_payload": 1_048_576, "max_pending": 67_108_864, "write_deadline": 10_000_000_000_u64,
        "connections": 0, "routes": 0, "remotes": 0, "leafnodes": 0, "in_msgs": 0, "out_bytes": 0,
        "slow_consumers": 0, "stale_connections": 0, "stalled_clients": 0,
    })
    .as_object()
    .unwrap()
    {
        assert_eq!(varz[name].as_f64(), value.as_f64(), "{name}");
        assert_eq!(varz[name].as_str(), value.as_str(), "{name}");
    }
    assert!(varz["mem"].as_u64() > Some(100_000), "resident bytes of this process");
    assert!(varz["cores"].as_u64() > Some(0));
}

#[test]
fn varz_counts() {
    let server = Server::builder().monitoring().start();
    let before = server.varz();
    let mut clients: Vec<RawClient> = (0..3).map(|_| plain(&server)).collect();
    clients[0].send("SUB a 1\r\nSUB a.* 2\r\n");
    clients[1].send("SUB a g 1\r\n");
    for client in &mut clients {
        client.ping();
    }
    clients[2].publish("a", "12345");
    clients[2].publish("nobody", "123");
    clients[2].send("PUB a 0\r\n\r\n");
    clients[2].ping();
    for client in &mut clients[..2] {
        client.message();
        client.message();
    }
    for (name, value) in [
        ("connections", 3),
        ("total_connections", 3),
        ("subscriptions", 3),
        ("in_msgs", 3),
        ("in_bytes", 8),
        ("in_client_msgs", 3),
        ("in_client_bytes", 8),
        ("out_msgs", 4),
        ("out_bytes", 10),
        ("out_client_msgs", 4),
        ("out_client_bytes", 10),
    ] {
        eventually(&format!("{name} to have grown by {value}"), || {
            server.varz()[name].as_i64() == before[name].as_i64().map(|count| count + value)
        });
    }
    clients.truncate(1);
    eventually("two connections to be gone", || server.varz()["connections"] == 1);
    assert_eq!(server.varz()["total_connections"], 3);
}

#[test]
fn requests_are_counted_by_path() {
    let server = Server::builder().monitoring().start();
    for path in ["/", "/connz", "/connz", "/subsz", "/subscriptionsz", "/healthz"] {
        assert_eq!(server.page(path).status, 200, "{path}");
    }
    server.varz();
    let stats = server.varz()["http_req_stats"].clone();
    assert_eq!(
        stats,
        json!({"/": 1, "/connz": 2, "/subsz": 2, "/healthz": 1, "/varz": 2}),
        "both names of subsz count as one"
    );
}

#[test]
fn tags_and_metadata_show() {
    let server = Server::builder()
        .configuration("server_tags: [\"blue\", \"north\"]\nserver_metadata: {zone: a}")
        .monitoring()
        .start();
    let varz = server.varz();
    assert_fields(&varz, VARZ);
    assert_eq!(varz["tags"], json!(["blue", "north"]));
    assert_eq!(varz["metadata"], json!({"zone": "a"}));
    assert!(varz["config_digest"].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn pages_are_indented_json_for_everybody() {
    let server = Server::builder().monitoring().start();
    for path in ["/varz", "/connz", "/subsz", "/subscriptionsz"] {
        let page = server.page(path);
        assert_eq!(page.content_type, "application/json", "{path}");
        assert_eq!(page.allow_origin, "*", "{path}");
        assert!(page.body.starts_with("{\n  \"server_id\": \"N"), "{path}: {}", page.body);
        // No function call around it, whatever is asked for.
        let page = server.page(&format!("{path}?callback=show"));
        assert!(page.body.starts_with("{\n  \"server_id\": "), "{path}");
    }
}

#[test]
fn root_is_a_page_of_links() {
    let server = Server::builder().monitoring().start();
    let page = server.page("/");
    assert_eq!(page.status, 200);
    assert!(page.content_type.starts_with("text/html"), "{}", page.content_type);
    for link in ["varz", "connz", "subsz", "healthz"] {
        assert!(page.body.contains(&format!("/{link}")), "{link} is missing");
    }
}

#[test]
fn unknown_pages_are_not_found() {
    let server = Server::builder().monitoring().start();
    for path in ["/nothing", "/varz/", "/Varz", "/connz/1", "/varzz", "/favicon.ico"] {
        assert_eq!(server.page(path).status, 404, "{path}");
    }
}

#[test]
fn base_path_comes_before_everything() {
    let server = Server::builder().configuration("http_base_path: \"/nats\"").monitoring().start();
    for path in ["/nats/varz", "/nats/connz", "/nats/subsz", "/nats/healthz", "/nats"] {
        assert_eq!(server.page(path).status, 200, "{path}");
    }
    assert_eq!(server.page("/nats/varz").json()["http_base_path"], "/nats");
    for path in ["/varz", "/connz", "/healthz"] {
        assert_eq!(server.page(path).status, 404, "{path}");
    }
}

#[test]
fn healthz_is_short() {
    let server = Server::builder().monitoring().start();
    for path in [
        "/healthz",
        "/healthz?js-enabled-only=true",
        "/healthz?js-server-only=true",
        "/healthz?js-server-only=1",
        "/healthz?js-enabled=false",
        "/healthz?details=true",
    ] {
        let page = server.page(path);
        assert_eq!((page.status, page.body.as_str()), (200, "{\"status\":\"ok\"}"), "{path}");
        assert_eq!(page.content_type, "application/json", "{path}");
    }
    for (path, body) in [
        (
            "/healthz?stream=x",
            r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#,
        ),
        (
            "/healthz?account=a&consumer=c",
            r#"{"status":"error","error":"\"stream\" must not be empty when checking consumer health"}"#,
        ),
        (
            "/healthz?stream=x&details=1",
            r#"{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\"account\" must not be empty when checking stream health"}]}"#,
        ),
        (
            "/healthz?js-server-only=perhaps",
            "Error decoding boolean for 'js-server-only': strconv.ParseBool: parsing \"perhaps\": \
             invalid syntax",
        ),
    ] {
        let page = server.page(path);
        assert_eq!((page.status, page.body.as_str()), (400, body), "{path}");
    }
}

#[test]
fn bad_parameters_are_named() {
    let server = Server::builder().monitoring().start();
    for (path, body) in [
        (
            "/connz?subs=perhaps",
            "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"perhaps\": invalid syntax",
        ),
        (
            "/connz?auth=yes",
            "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        (
            "/connz?offset=x",
            "Error decoding int for 'offset': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "/connz?limit=99999999999999999999",
            "Error decoding int for 'limit': strconv.Atoi: parsing \"99999999999999999999\": value out \
             of range",
        ),
        (
            "/connz?cid=-1",
            "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax",
        ),
        ("/connz?state=gone", "Error decoding state for gone"),
        ("/connz?sort=beauty", "invalid sorting option: beauty"),
        ("/connz?sort=stop", "sort by stop only valid on closed connections"),
        ("/connz?sort=reason&state=open", "sort by reason only valid on closed connections"),
        ("/connz?sort=stop&state=all", "sort by stop only valid on closed connections"),
        (
            "/subsz?subs=detail",
            "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"detail\": invalid syntax",
        ),
        (
            "/subsz?limit=1.5",
            "Error decoding int for 'limit': strconv.Atoi: parsing \"1.5\": invalid syntax",
        ),
        ("/subsz?test=a.*", "invalid test subject, must be valid publish subject: a.*"),
        ("/subsz?test=a..b", "invalid test subject, must be valid publish subject: a..b"),
    ] {
        let page = server.page(path);
        assert_eq!((page.status, page.body.as_str()), (400, body), "{path}");
        assert!(page.content_type.starts_with("text/plain"), "{path}: {}", page.content_type);
    }
}

#[test]
fn connz_has_every_field() {
    let server = Server::builder().monitoring().start();
    let connz = server.connz("");
    assert_fields(&connz, CONNZ);
    assert_eq!(connz["connections"], json!([]));

    let mut client = server.connect_with(&json!({
        "name": "gull", "lang": "rust", "version": "1.2.3", "protocol": 0,
    }));
    client.send("SUB a 1\r\nSUB b.> group 2\r\nUNSUB 2 7\r\n");
    client.publish("a", "12345");
    client.message();
    client.ping();
    for query in ["", "?subs=0", "?subs=1", "?subs=true", "?subs=detail", "?subs=DETAIL", "?auth=1"]
    {
        let connz = server.connz(query);
        assert_fields(&connz, CONNZ);
        for (name, value) in [("num_connections", 1), ("total", 1), ("offset", 0), ("limit", 1024)]
        {
            assert_eq!(connz[name], value, "{name}");
        }
        let connection = &connz["connections"][0];
        assert_fields(connection, CONNECTION);
        for (name, value) in json!({
            "cid": client.cid(), "kind": "Client", "type": "nats", "ip": "127.0.0.1",
            "port": client.stream().local_addr().unwrap().port(), "pending_bytes": 0,
            "in_msgs": 1, "in_bytes": 5, "out_msgs": 1, "out_bytes": 5, "subscriptions": 2,
            "name": "gull", "lang": "rust", "version": "1.2.3",
        })
        .as_object()
        .unwrap()
        {
            assert_eq!(&connection[name], value, "{query}: {name}");
        }
        assert_eq!(connection.get("stop"), None);
        assert_eq!(connection.get("reason"), None);
        assert_eq!(connection.get("account"), None, "the global account is not named");
        let lists = ["subscriptions_list", "subscriptions_list_detail"];
        let there: Vec<&str> =
            lists.into_iter().filter(|name| connection.get(*name).is_some()).collect();
        match query {
            "?subs=1" | "?subs=true" => {
                assert_eq!(there, ["subscriptions_list"]);
                assert_eq!(sorted(&connection["subscriptions_list"]), ["a", "b.>"]);
            }
            "?subs=detail" | "?subs=DETAIL" => {
                assert_eq!(there, ["subscriptions_list_detail"]);
                let list = connection["subscriptions_list_detail"].as_array().unwrap();
                let cid = client.cid();
                let find = |sid: &str| list.iter().find(|entry| entry["sid"] == sid).unwrap();
                assert_fields(find("1"), SUBSCRIPTION);
                assert_eq!(find("1"), &json!({"subject": "a", "sid": "1", "msgs": 1, "cid": cid}));
                assert_eq!(
                    find("2"),
                    &json!({
                        "subject": "b.>", "qgroup": "group", "sid": "2", "msgs": 0, "max": 7,
                        "cid": cid,
                    })
                );
            }
            _ => assert_eq!(there, [""; 0]),
        }
    }
}

fn sorted(list: &Value) -> Vec<String> {
    let mut texts: Vec<String> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|text| text.as_str().expect("a text").to_owned())
        .collect();
    texts.sort();
    texts
}

#[test]
fn connz_pages() {
    let server = Server::builder().monitoring().start();
    let clients: Vec<RawClient> = (0..10).map(|_| plain(&server)).collect();
    let ids: Vec<u64> = clients.iter().map(RawClient::cid).collect();
    for (query, offset, limit, page) in [
        ("", 0, 1024, &ids[..]),
        ("?limit=3", 0, 3, &ids[..3]),
        ("?offset=3&limit=3", 3, 3, &ids[3..6]),
        ("?offset=8&limit=3", 8, 3, &ids[8..]),
        ("?offset=10", 10, 1024, &[]),
        ("?offset=100&limit=5", 100, 5, &[]),
        ("?limit=0", 0, 1024, &ids[..]),
        ("?offset=-5&limit=-1", 0, 1024, &ids[..]),
    ] {
        let connz = server.connz(query);
        assert_fields(&connz, CONNZ);
        assert_eq!(cids(&connz), page, "{query}");
        assert_eq!(connz["num_connections"], page.len(), "{query}");
        assert_eq!(connz["total"], 10, "{query}");
        assert_eq!(connz["offset"], offset, "{query}");
        assert_eq!(connz["limit"], limit, "{query}");
    }
}

#[test]
fn connz_finds_one_connection() {
    let server = Server::builder().monitoring().start();
    let clients: Vec<RawClient> = (0..3).map(|_| plain(&server)).collect();
    for client in &clients {
        let cid = client.cid();
        for query in [format!("?cid={cid}"), format!("?cid={cid}&state=any")] {
            let connz = server.connz(&query);
            assert_eq!(cids(&connz), [cid]);
            assert_eq!((&connz["num_connections"], &connz["limit"]), (&json!(1), &json!(1)));
        }
        assert_eq!(cids(&server.connz(&format!("?cid={cid}&state=closed"))), [0; 0]);
    }
    let connz = server.connz("?cid=999999");
    assert_eq!(connz["connections"], json!([]));
    assert_eq!(connz["num_connections"], 0);
}

#[test]
fn connz_remembers_closed_connections() {
    let server = Server::builder().monitoring().start();
    let mut clients: Vec<RawClient> = (0..4)
        .map(|number| server.connect_with(&json!({"name": format!("gull {number}")})))
        .collect();
    let ids: Vec<u64> = clients.iter().map(RawClient::cid).collect();
    clients[2].send("SUB a 1\r\nSUB b g 2\r\n");
    clients[2].ping();
    // One after the other, so that the order of their ends is known.
    for (count, number) in [(1, 2), (2, 0)] {
        clients[number].finish_sending();
        clients[number].expect_closed();
        eventually("it to be closed", || {
            server.connz("?state=closed")["connections"].as_array().unwrap().len() == count
        });
    }
    clients[1].send("X");
    clients[1].expect_error("Unknown Protocol Operation");
    clients[1].expect_closed();
    eventually("all three", || server.connz("?state=closed")["num_connections"] == 3);

    let closed = server.connz("?state=closed");
    assert_fields(&closed, CONNZ);
    assert_eq!((cids(&closed), &closed["total"]), (ids[..3].to_vec(), &json!(3)));
    for connection in closed["connections"].as_array().unwrap() {
        assert_fields(connection, CONNECTION);
        assert!(connection["stop"].is_string());
        let number = ids.iter().position(|id| connection["cid"] == *id).unwrap();
        assert_eq!(connection["name"], format!("gull {number}"));
        let reason = if number == 1 { "Protocol Violation" } else { "Client Closed" };
        assert_eq!(connection["reason"], reason);
    }
    assert_eq!(cids(&server.connz("?state=closed&sort=stop")), [ids[1], ids[0], ids[2]]);
    let by_reason = server.connz("?state=closed&sort=reason");
    assert_eq!(by_reason["connections"][2]["reason"], "Protocol Violation");
    for query in ["?state=all", "?state=any", "?state=ALL"] {
        let all = server.connz(query);
        assert_eq!((cids(&all), &all["total"]), (ids.clone(), &json!(4)), "{query}");
    }
    for query in ["", "?state=open"] {
        assert_eq!(cids(&server.connz(query)), [ids[3]], "{query}");
    }
    let connz = server.connz(&format!("?state=closed&subs=1&cid={}", ids[2]));
    assert_eq!(sorted(&connz["connections"][0]["subscriptions_list"]), ["a", "b"]);
    let connz = server.connz(&format!("?state=all&subs=detail&cid={}", ids[2]));
    let list = connz["connections"][0]["subscriptions_list_detail"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    for entry in list {
        assert_fields(entry, SUBSCRIPTION);
    }
}

#[test]
fn connz_remembers_a_bounded_number() {
    let server = Server::builder().configuration("max_closed_clients: 5").monitoring().start();
    let mut ids = Vec::new();
    for _ in 0..12 {
        let client = plain(&server);
        let cid = client.cid();
        ids.push(cid);
        drop(client);
        eventually("it to be remembered", || cids(&server.connz("?state=closed")).contains(&cid));
    }
    let closed = server.connz("?state=closed");
    assert_eq!(cids(&closed), ids[7..]);
    assert_eq!(closed["total"], 5);
}

#[test]
fn connz_sorts() {
    let server = Server::builder().monitoring().start();
    let mut clients: Vec<RawClient> = (0..3).map(|_| plain(&server)).collect();
    let ids: Vec<u64> = clients.iter().map(RawClient::cid).collect();
    // The second has most subscriptions and hears most, the first says most messages, the third
    // most bytes and is the last to be active.
    clients[0].send("SUB a 1\r\n");
    clients[1].send("SUB a 1\r\nSUB a 2\r\nSUB b 3\r\n");
    for client in &mut clients {
        client.ping();
    }
    for _ in 0..3 {
        clients[0].publish("a", "x");
    }
    clients[0].ping_after(3);
    clients[1].publish("nobody", "xx");
    clients[1].publish("nobody", "xx");
    clients[1].ping_after(6);
    clients[2].publish("b", "y".repeat(100));
    clients[2].ping();
    clients[1].ping_after(1);
    let order = |numbers: [usize; 3]| numbers.map(|number| ids[number]).to_vec();
    for (sort, expected) in [
        ("cid", [0, 1, 2]),
        ("start", [0, 1, 2]),
        ("subs", [1, 0, 2]),
        ("msgs_to", [1, 0, 2]),
        ("msgs_from", [0, 1, 2]),
        ("bytes_to", [1, 0, 2]),
        ("bytes_from", [2, 1, 0]),
    ] {
        assert_eq!(cids(&server.connz(&format!("?sort={sort}"))), order(expected), "{sort}");
    }
    // These have no order to know beforehand, but each connection is there once.
    for sort in ["pending", "last", "idle", "uptime", "rtt"] {
        let mut all = cids(&server.connz(&format!("?sort={sort}")));
        all.sort_unstable();
        assert_eq!(all, ids, "{sort}");
    }
    // Sorting comes before paging.
    assert_eq!(cids(&server.connz("?sort=bytes_from&limit=1")), [ids[2]]);
    assert_eq!(cids(&server.connz("?sort=bytes_from&limit=1&offset=2")), [ids[0]]);
}

#[test]
fn connz_names_the_user() {
    let server = Server::builder()
        .configuration(
            "authorization { users: [{user: ana, password: one}, {user: bob, password: two}] }",
        )
        .monitoring()
        .start();
    let ana = server.connect_with(&json!({"user": "ana", "pass": "one"}));
    let bob = server.connect_with(&json!({"user": "bob", "pass": "two"}));
    let again = server.connect_with(&json!({"user": "ana", "pass": "one"}));
    let connz = server.connz("?auth=1");
    for (index, user) in ["ana", "bob", "ana"].into_iter().enumerate() {
        assert_eq!(connz["connections"][index]["authorized_user"], user);
        assert_fields(&connz["connections"][index], CONNECTION);
    }
    for query in ["", "?auth=0", "?auth=false"] {
        assert_eq!(server.connz(query)["connections"][0].get("authorized_user"), None);
    }
    assert_eq!(cids(&server.connz("?user=ana")), [ana.cid(), again.cid()]);
    assert_eq!(cids(&server.connz("?user=bob&auth=1")), [bob.cid()]);
    assert_eq!(cids(&server.connz("?user=eve")), [0; 0]);
    assert_eq!(cids(&server.connz("?acc=$G")).len(), 3);
    assert_eq!(cids(&server.connz("?acc=$G&user=bob")), [bob.cid()]);

    let bob_id = bob.cid();
    drop(bob);
    let connection = eventually_some("bob to be gone", || {
        let connz = server.connz("?state=closed&user=bob&auth=1");
        connz["connections"].get(0).cloned()
    });
    assert_eq!(
        (&connection["cid"], &connection["authorized_user"]),
        (&json!(bob_id), &json!("bob"))
    );
    let mut eve = server.client();
    let cid = eve.cid();
    eve.send("CONNECT {\"user\":\"eve\",\"pass\":\"x\"}\r\n");
    eve.expect_error("Authorization Violation");
    eve.expect_closed();
    expect_reason(&server, cid, "Authentication Failure");
}

#[test]
fn connz_measures_the_round_trip() {
    let server = Server::builder().monitoring().start();
    let client = plain(&server);
    let connection = server.connz(&format!("?cid={}", client.cid()))["connections"][0].clone();
    // From the first bytes to CONNECT, so never nothing.
    let rtt = connection["rtt"].as_str().unwrap();
    assert!(is_duration(rtt) && rtt != "0s", "{rtt}");
}

#[test]
fn subsz_has_every_field() {
    let server = Server::builder().monitoring().start();
    let before = server.page("/subsz").json();
    assert_fields(&before, SUBSZ);
    assert_eq!((&before["total"], before.get("subscriptions_list")), (&json!(0), None));

    let mut client = plain(&server);
    client.send("SUB a 1\r\nSUB a.* group 2\r\nSUB a.b.> 3\r\nSUB b 4\r\nUNSUB 2 9\r\nUNSUB 4\r\n");
    client.publish("a", "x");
    client.message();
    client.ping();
    for path in ["/subsz", "/subscriptionsz"] {
        let after = server.page(path).json();
        assert_fields(&after, SUBSZ);
        for (name, growth) in [("num_subscriptions", 3), ("num_inserts", 4), ("num_removes", 1)] {
            let grown = before[name].as_i64().map(|count| count + growth);
            assert_eq!(after[name].as_i64(), grown, "{name}");
        }
        assert!(after["num_matches"].as_u64() > before["num_matches"].as_u64());
    }

    let all = server.page("/subsz?subs=1").json();
    assert_fields(&all, SUBSZ);
    let list = all["subscriptions_list"].as_array().unwrap();
    assert_eq!(all["total"], list.len());
    let own: Vec<&Value> = list.iter().filter(|entry| entry["cid"] == client.cid()).collect();
    assert_eq!(own.len(), 3);
    for entry in list {
        assert_fields(entry, SUBSCRIPTION);
        assert!(entry["account"].is_string());
    }
    let group = own.iter().find(|entry| entry["sid"] == "2").unwrap();
    for (name, value) in json!({
        "account": "$G", "subject": "a.*", "qgroup": "group", "msgs": 0, "max": 9,
    })
    .as_object()
    .unwrap()
    {
        assert_eq!(&group[name], value, "{name}");
    }
    assert_eq!(own.iter().find(|entry| entry["sid"] == "1").unwrap()["msgs"], 1);
}

#[test]
fn subsz_tests_a_subject_and_pages() {
    let server = Server::builder().monitoring().start();
    let mut client = plain(&server);
    client
        .send("SUB a.b 1\r\nSUB a.* 2\r\nSUB a.> 3\r\nSUB *.b group 4\r\nSUB a 5\r\nSUB a.c 6\r\n");
    client.ping();
    for (subject, sids) in
        [("a.b", &["1", "2", "3", "4"][..]), ("a", &["5"]), ("a.c", &["2", "3", "6"]), ("x.y", &[])]
    {
        let subsz = server.page(&format!("/subsz?subs=1&acc=$G&test={subject}")).json();
        assert_fields(&subsz, SUBSZ);
        assert_eq!(sids_of(&subsz), sids, "{subject}");
        assert_eq!(subsz["total"], sids.len(), "{subject}");
    }
    let mut seen = Vec::new();
    for offset in [0, 2, 4] {
        let path = format!("/subsz?subs=1&acc=$G&test=a.b&offset={offset}&limit=2");
        let subsz = server.page(&path).json();
        assert_eq!(subsz["total"], 4);
        assert_eq!((&subsz["offset"], &subsz["limit"]), (&json!(offset), &json!(2)));
        let page = sids_of(&subsz);
        assert_eq!(page.len(), if offset == 4 { 0 } else { 2 });
        seen.extend(page);
    }
    seen.sort();
    assert_eq!(seen, ["1", "2", "3", "4"]);
    assert_eq!(server.page("/subsz?limit=0&offset=-1").json()["limit"], 1024);
}

fn sids_of(subsz: &Value) -> Vec<String> {
    let empty = Vec::new();
    let list = subsz.get("subscriptions_list").and_then(Value::as_array).unwrap_or(&empty);
    let mut sids: Vec<String> =
        list.iter().map(|entry| entry["sid"].as_str().expect("a sid").to_owned()).collect();
    sids.sort();
    sids
}

#[test]
fn the_listener_can_be_configured_everywhere() {
    for builder in [
        Server::builder().configuration("http: \"127.0.0.1:-1\""),
        Server::builder().configuration("http: -1"),
        Server::builder().configuration("http_port: -1"),
        Server::builder().configuration("monitor_port: -1"),
    ] {
        let server = builder.expect_monitoring().start();
        assert_eq!(server.varz()["port"], server.port());
    }
}

/// Only fulmar has this page; it is what Prometheus scrapes.
#[test]
fn metrics_are_prometheus_text() {
    if !is_fulmar() {
        return;
    }
    let server = Server::builder().monitoring().start();
    server.connect().ping();
    let page = server.page("/metrics");
    assert_eq!(page.status, 200);
    let samples = page.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut count = 0;
    for sample in samples {
        let (name, value) = sample.rsplit_once(' ').unwrap();
        assert!(name.starts_with(|letter: char| letter.is_ascii_lowercase()), "{sample}");
        assert!(value.parse::<f64>().is_ok() || value == "+Inf", "{sample}");
        count += 1;
    }
    assert!(count > 10, "only {count} samples");
}

fn cids(connz: &Value) -> Vec<u64> {
    let list = connz["connections"].as_array().expect("a list of connections");
    list.iter().map(|connection| connection["cid"].as_u64().expect("a cid")).collect()
}

/// What only this file needs of a connection.
trait PingAfter {
    fn ping_after(&mut self, messages: usize);
}

impl PingAfter for RawClient {
    /// Reads so many messages, then nothing else is on the way.
    #[track_caller]
    fn ping_after(&mut self, messages: usize) {
        for _ in 0..messages {
            self.message();
        }
        self.ping();
    }
}
