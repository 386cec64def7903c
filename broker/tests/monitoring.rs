//! The monitoring pages of an embedded broker: which fields they have in which order, and that
//! nobody who asks for them holds up anybody else.
//!
//! The orders are those of nats-server 2.15.1. What the fields say is tested from outside, in the
//! crate `fulmar-tests`, against nats-server too.

#![expect(clippy::unwrap_used, reason = "a panic here is a failing test with a place")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fulmar::config::Monitoring;
use fulmar::{Options, Server};
use socket2::{Domain, Socket, Type};

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// Connections the monitoring listener has at once.
const VISITS_MAX: usize = 64;

fn start(change: impl FnOnce(&mut Options)) -> Server {
    let monitoring = Monitoring { host: None, port: 0, base_path: "/".to_owned() };
    let mut options = Options { monitoring: Some(monitoring), ..Options::local() };
    change(&mut options);
    Server::start(options).unwrap()
}

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn visit(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.monitoring_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn send_request(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
}

/// Reads up to the end of the connection.
fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn get(server: &Server, path: &str) -> Answer {
    let mut stream = visit(server);
    send_request(&mut stream, path);
    read_answer(stream)
}

fn page(server: &Server, path: &str) -> String {
    let answer = get(server, path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

fn json(server: &Server, path: &str) -> serde_json::Value {
    serde_json::from_str(&page(server, path)).unwrap()
}

/// A client that has connected.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(server: &Server, options: &str) -> Self {
        let stream = TcpStream::connect(server.client_address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self(BufReader::new(stream));
        client.line();
        client.send(&format!("CONNECT {{\"verbose\":false,\"protocol\":0{options}}}\r\n"));
        client.ping();
        client
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// Everything sent before has been done when this returns; messages that come are skipped.
    fn ping(&mut self) {
        self.send("PING\r\n");
        while self.line() != "PONG\r\n" {}
    }
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// The names of the fields that are indented so far, in their order.
fn fields_at(body: &str, indentation: usize) -> Vec<&str> {
    let prefix = format!("{}\"", " ".repeat(indentation));
    body.lines()
        .filter_map(|line| line.strip_prefix(&prefix)?.split_once("\": ").map(|(name, _)| name))
        .collect()
}

const VARZ: &[&str] = &[
    "server_id",
    "server_name",
    "version",
    "proto",
    "go",
    "host",
    "port",
    "auth_required",
    "max_connections",
    "max_subscriptions",
    "ping_interval",
    "ping_max",
    "http_host",
    "http_port",
    "http_base_path",
    "https_port",
    "auth_timeout",
    "max_control_line",
    "max_payload",
    "max_pending",
    "cluster",
    "gateway",
    "leaf",
    "mqtt",
    "websocket",
    "jetstream",
    "tls_timeout",
    "write_deadline",
    "start",
    "now",
    "uptime",
    "mem",
    "cores",
    "gomaxprocs",
    "cpu",
    "connections",
    "total_connections",
    "routes",
    "remotes",
    "leafnodes",
    "in_msgs",
    "in_bytes",
    "in_client_msgs",
    "in_client_bytes",
    "out_msgs",
    "out_bytes",
    "out_client_msgs",
    "out_client_bytes",
    "slow_consumers",
    "stale_connections",
    "stalled_clients",
    "subscriptions",
    "http_req_stats",
    "config_load_time",
    "config_digest",
    "tags",
    "metadata",
    "slow_consumer_stats",
    "stale_connection_stats",
    "disk_io_wait_stats",
    "fulmar",
];

#[test]
fn varz_has_its_fields_in_order() {
    let server = start(|options| {
        options.limits.subscriptions_max = Some(7);
        options.server_tags = vec!["blue".to_owned()];
        options.server_metadata = [("zone".to_owned(), "a".to_owned())].into();
        let token = fulmar::config::Secret::new("secret");
        options.authentication = fulmar::config::Authentication::Token(token);
    });
    let body = page(&server, "/varz");
    assert_eq!(fields_at(&body, 2), VARZ);
    for line in [
        "  \"auth_timeout\": 2,",
        "  \"cluster\": {},",
        "  \"http_base_path\": \"\",",
        "  \"http_req_stats\": {\n    \"/varz\": 1\n  },",
        "  \"tags\": [\n    \"blue\"\n  ],",
        "  \"metadata\": {\n    \"zone\": \"a\"\n  },",
        "  \"fulmar\": \"0.1.0\"\n}",
    ] {
        assert!(body.contains(line), "{line}: {body}");
    }
    let port = server.monitoring_address().unwrap().port();
    assert!(body.contains(&format!("  \"http_port\": {port},\n")), "{body}");

    let optional = ["auth_required", "max_subscriptions", "tags", "metadata"];
    let plain = page(&start(|_| ()), "/varz");
    let expected: Vec<&str> =
        VARZ.iter().copied().filter(|name| !optional.contains(name)).collect();
    assert_eq!(fields_at(&plain, 2), expected);
}

const CONNZ: &[&str] =
    &["server_id", "now", "num_connections", "total", "offset", "limit", "connections"];

const CONNECTION: &[&str] = &[
    "cid",
    "kind",
    "type",
    "ip",
    "port",
    "start",
    "last_activity",
    "stop",
    "reason",
    "rtt",
    "uptime",
    "idle",
    "pending_bytes",
    "in_msgs",
    "out_msgs",
    "in_bytes",
    "out_bytes",
    "subscriptions",
    "name",
    "lang",
    "version",
    "authorized_user",
    "subscriptions_list",
    "subscriptions_list_detail",
    "name_tag",
];

const SUBSCRIPTION: &[&str] =
    &["account", "account_tag", "subject", "qgroup", "sid", "msgs", "max", "cid"];

const SUBSZ: &[&str] = &[
    "server_id",
    "now",
    "num_subscriptions",
    "num_cache",
    "num_inserts",
    "num_removes",
    "num_matches",
    "cache_hit_rate",
    "max_fanout",
    "avg_fanout",
    "total",
    "offset",
    "limit",
    "subscriptions_list",
];

fn without<'a>(fields: &[&'a str], left_out: &[&str]) -> Vec<&'a str> {
    fields.iter().copied().filter(|name| !left_out.contains(name)).collect()
}

#[test]
fn connz_and_subsz_have_their_fields_in_order() {
    let server = start(|_| ());
    let identity = r#","name":"gull","lang":"rust","version":"1","user":"ana""#;
    let mut client = Client::connect(&server, identity);
    client.send("SUB a.> group 1\r\nUNSUB 1 9\r\n");
    client.ping();

    let body = page(&server, "/connz");
    assert_eq!(fields_at(&body, 2), CONNZ);
    let only_asked =
        ["authorized_user", "subscriptions_list", "subscriptions_list_detail", "name_tag"];
    let open = without(CONNECTION, &["stop", "reason"]);
    assert_eq!(fields_at(&body, 6), without(&open, &only_asked));
    let body = page(&server, "/connz?subs=1&auth=1");
    assert_eq!(fields_at(&body, 6), without(&open, &["subscriptions_list_detail"]));
    assert!(body.contains("\"subscriptions_list\": [\n        \"a.\\u003e\"\n      ],"), "{body}");
    let body = page(&server, "/connz?subs=detail");
    assert_eq!(fields_at(&body, 10), without(SUBSCRIPTION, &["account", "account_tag"]));

    let body = page(&server, "/subsz");
    assert_eq!(fields_at(&body, 2), without(SUBSZ, &["subscriptions_list"]));
    let body = page(&server, "/subscriptionsz?subs=1");
    assert_eq!(fields_at(&body, 2), SUBSZ);
    assert_eq!(fields_at(&body, 6), SUBSCRIPTION);

    drop(client);
    eventually("it to be closed", || json(&server, "/connz?state=closed")["total"] == 1);
    let body = page(&server, "/connz?state=closed&subs=detail&auth=1");
    assert_eq!(fields_at(&body, 6), without(CONNECTION, &["subscriptions_list", "name_tag"]));
    assert_eq!(fields_at(&body, 10), SUBSCRIPTION);
}

#[test]
fn heads_are_those_of_nats_server() {
    let server = start(|_| ());
    let check = |path: &str, status: u16, content_type: &str, for_any_origin: bool| {
        let answer = get(&server, path);
        assert_eq!(answer.status, status, "{path}");
        let line = format!("\r\nContent-Type: {content_type}\r\n");
        assert!(format!("{}\r\n", answer.head).contains(&line), "{path}: {}", answer.head);
        let line = "Access-Control-Allow-Origin: *";
        assert_eq!(answer.head.contains(line), for_any_origin, "{path}: {}", answer.head);
        answer.body
    };
    for path in ["/varz", "/connz", "/subsz", "/healthz"] {
        check(path, 200, "application/json", true);
    }
    check("/healthz?consumer=x", 400, "application/json", true);
    check("/", 200, "text/html; charset=utf-8", false);
    check("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", false);
    check("/connz?limit=x", 400, "text/plain; charset=utf-8", false);
    let body = check("/jsz", 404, "text/plain; charset=utf-8", false);
    assert_eq!(body, "404 page not found\n");
    assert_eq!(check("/%68ealthz", 200, "application/json", true), r#"{"status":"ok"}"#);
}

#[test]
fn pages_stand_below_the_base_path() {
    let server = start(|options| {
        options.monitoring.as_mut().unwrap().base_path = "/nats".to_owned();
    });
    let check = |path, status| assert_eq!(get(&server, path).status, status, "{path}");
    for path in ["/nats", "/nats/varz", "/nats/subscriptionsz", "/nats/metrics"] {
        check(path, 200);
    }
    for path in ["/", "/varz", "/natsvarz", "/nats/", "/nats/nats/varz"] {
        check(path, 404);
    }
    assert_eq!(json(&server, "/nats/varz")["http_base_path"], "/nats");
    assert!(page(&server, "/nats").contains("href=\"./nats/varz\""));
}

/// What needs several pages of mail from several reactors comes out whole.
#[test]
fn many_connections_and_subscriptions_are_gathered() {
    const CONNECTIONS: usize = 300;
    const SUBSCRIPTIONS: usize = 700;
    for reactors in [1, 3] {
        let server = start(|options| options.reactors = Some(reactors));
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(&server, "")).collect();
        let subscriptions: String =
            (0..SUBSCRIPTIONS).map(|number| format!("SUB s.{number} {number}\r\n")).collect();
        for client in &mut clients[..2] {
            client.send(&subscriptions);
            client.ping();
        }
        let mut cids = Vec::new();
        for offset in (0..CONNECTIONS).step_by(128) {
            let connz = json(&server, &format!("/connz?limit=128&offset={offset}"));
            assert_eq!(connz["total"], CONNECTIONS);
            let list = connz["connections"].as_array().unwrap();
            assert_eq!(list.len(), 128.min(CONNECTIONS - offset));
            cids.extend(list.iter().map(|connection| connection["cid"].as_u64().unwrap()));
        }
        assert!(cids.is_sorted() && cids.len() == CONNECTIONS);
        let connz = json(&server, "/connz?subs=1&sort=subs&limit=3");
        for (connection, count) in [(0, SUBSCRIPTIONS), (1, SUBSCRIPTIONS), (2, 0)] {
            let connection = &connz["connections"][connection];
            assert_eq!(connection["subscriptions"], count);
            let list = connection["subscriptions_list"].as_array();
            assert_eq!(list.map_or(0, Vec::len), count);
        }
        let subsz = json(&server, "/subsz?subs=1&limit=9999");
        assert_eq!(subsz["subscriptions_list"].as_array().unwrap().len(), 2 * SUBSCRIPTIONS);
        assert_eq!(subsz["total"], 2 * SUBSCRIPTIONS);
        let subsz = json(&server, "/subsz?subs=1&test=s.7");
        assert_eq!((&subsz["total"], &subsz["limit"]), (&2.into(), &1024.into()));

        drop(clients);
        eventually("all to be remembered", || {
            json(&server, "/connz?state=closed")["total"] == CONNECTIONS
        });
        assert_eq!(json(&server, "/connz?state=any")["total"], CONNECTIONS);
    }
}

#[test]
fn subsz_tells_of_the_cache() {
    let server = start(|options| options.reactors = Some(1));
    let mut client = Client::connect(&server, "");
    client.send("SUB a 1\r\nSUB a 2\r\nSUB a g 3\r\nSUB b 4\r\n");
    client.send("PUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\nPUB nobody 0\r\n\r\n");
    client.ping();
    eventually("the counters to be published", || json(&server, "/subsz")["num_matches"] == 4);
    let subsz = json(&server, "/subsz");
    for (name, value) in [
        ("num_cache", 3.0),
        ("cache_hit_rate", 0.25),
        ("max_fanout", 3.0),
        ("avg_fanout", 4.0 / 3.0),
    ] {
        assert_eq!(subsz[name].as_f64(), Some(value), "{name}");
    }
}

#[test]
fn healthz_fails_while_clients_are_sent_away() {
    let server = start(|options| {
        options.timers.lame_duck_grace_period = DEADLINE;
        options.timers.lame_duck_duration = 2 * DEADLINE;
    });
    let _client = Client::connect(&server, "");
    assert_eq!(get(&server, "/healthz").status, 200);
    server.enter_lame_duck_mode();
    eventually("it to be unhealthy", || get(&server, "/healthz").status == 500);
    let text = "failed to be ready for connections after 1ms: server";
    let body = format!(r#"{{"status":"error","error":"{text}"}}"#);
    assert_eq!(get(&server, "/healthz").body, body);
    let body =
        format!(r#"{{"status":"error","errors":[{{"type":"CONNECTION","error":"{text}"}}]}}"#);
    assert_eq!(get(&server, "/healthz?details=1").body, body);
}

/// Every sample has a description before it, and those that dashboards show are there.
#[test]
fn metrics_are_described() {
    let server = start(|options| options.reactors = Some(2));
    let mut client = Client::connect(&server, "");
    client.send("SUB a 1\r\nPUB a 5\r\nhello\r\n");
    client.ping();
    eventually("the counters to be published", || json(&server, "/varz")["out_msgs"] == 1);

    let body = page(&server, "/metrics");
    let (mut described, mut kind) = (Vec::new(), "");
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(!described.contains(&name) && !text.is_empty(), "{line}");
            described.push(name);
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, typed) = typed.split_once(' ').unwrap();
            assert_eq!(Some(&name), described.last(), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&typed), "{line}");
            kind = typed;
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let last = *described.last().unwrap();
            let suffixes: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let fits = suffixes.iter().any(|suffix| name == format!("{last}{suffix}"));
            assert!(fits, "{line} belongs to {last}");
            if name.starts_with("fulmar_") {
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            }
            value.parse::<f64>().unwrap();
        }
    }
    let id = server.server_id();
    for sample in [
        format!("nats_varz_in_msgs{{server_id=\"{id}\"}} 1"),
        format!("nats_varz_out_bytes{{server_id=\"{id}\"}} 5"),
        format!("nats_varz_connections{{server_id=\"{id}\"}} 1"),
        format!("nats_varz_slow_consumers{{server_id=\"{id}\"}} 0"),
        format!("nats_varz_slow_consumer_stats_clients{{server_id=\"{id}\"}} 0"),
        format!("nats_varz_version{{server_id=\"{id}\",value=\"2.15.1\"}} 1"),
        format!("nats_subsz_num_subscriptions{{server_id=\"{id}\"}} 1"),
        format!("nats_connz_in_msgs{{server_id=\"{id}\"}} 1"),
        format!("nats_healthz_status{{server_id=\"{id}\"}} 0"),
        "fulmar_pending_bytes 0".to_owned(),
    ] {
        assert!(body.lines().any(|line| line == sample), "{sample}: {body}");
    }
    // The client is on one of the two reactors.
    for sample in ["connections", "in_messages_total", "out_messages_total", "cache_misses_total"] {
        let of = |reactor| format!("fulmar_reactor_{sample}{{reactor=\"{reactor}\"}} 1\n");
        assert_ne!(body.contains(&of(0)), body.contains(&of(1)), "{sample}: {body}");
    }
    for stage in ["receive", "inbox", "flush", "tick"] {
        let of = |name: &str, more: &str| {
            let labels = format!("{{reactor=\"0\",stage=\"{stage}\"{more}}} ");
            let start = format!("fulmar_reactor_stage_seconds_{name}{labels}");
            let line = body.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap_or_else(|| panic!("{start}: {body}")).parse::<f64>().unwrap()
        };
        assert!(of("bucket", ",le=\"0.000001\"") <= of("bucket", ",le=\"1.048576\""));
        assert_eq!(of("bucket", ",le=\"+Inf\""), of("count", ""));
        assert!(of("count", "") > 0.0 && of("sum", "") > 0.0);
    }
}

#[test]
fn a_connection_is_used_again() {
    let server = start(|_| ());
    let mut stream = visit(&server);
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut reader = BufReader::new(&stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim_end().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(body, br#"{"status":"ok"}"#);
    }
    // Half closed: what was asked for before still comes.
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = read_answer(stream);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
}

#[test]
fn what_is_no_request_is_refused() {
    let server = start(|_| ());
    let check = |bytes: &[u8], statuses: &[u16]| {
        let mut stream = visit(&server);
        // It may be refused before all of it was sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let status: Option<u16> = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        assert!(status.is_some_and(|status| statuses.contains(&status)), "{shown:?}: {text:?}");
    };
    check(b"BOGUS\r\n\r\n", &[400]);
    check(b"\0\xff\x16\x03\x01\r\n\r\n", &[400]);
    check(b"GET /varz HTTP/9.9\r\n\r\n", &[400, 505]);
    check(b"GET /varz HTTP/1.1\r\nContent-Length: -1\r\n\r\n", &[400]);
    check(&[&b"GET /"[..], &[b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n"].concat(), &[414, 431]);
    check(&[&b"GET / HTTP/1.1\r\nX: "[..], &[b'a'; 1 << 20], b"\r\n\r\n"].concat(), &[431]);
    check(&[&b"GET / HTTP/1.1\r\n"[..], &b"A: b\r\n".repeat(5000), b"\r\n"].concat(), &[431]);
    // The body of a request is of no interest, and not waited for.
    check(b"POST /healthz HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nbegin", &[200]);
    check(b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin", &[200]);
    assert_eq!(get(&server, "/healthz").status, 200);
}

#[test]
fn a_request_that_does_not_come_is_not_waited_for() {
    let server = start(|_| ());
    let silent = visit(&server);
    let mut slow = visit(&server);
    slow.write_all(b"GET /varz HTTP/1.1\r\nHost: ").unwrap();
    for mut stream in [silent, slow] {
        let mut rest = Vec::new();
        // Cut without an answer, or with one that says so.
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() && !rest.starts_with(b"HTTP/1.1 200"), "{ended:?} {rest:?}");
    }
}

#[test]
fn silent_visitors_make_room_for_others() {
    let server = start(|_| ());
    let mut silent: Vec<_> = (0..3 * VISITS_MAX).map(|_| visit(&server)).collect();
    for number in 0..VISITS_MAX {
        if number % 2 == 0 {
            silent.push(visit(&server));
        }
        assert_eq!(get(&server, "/healthz").status, 200);
    }
    let mut cut = 0;
    for stream in &mut silent {
        stream.set_nonblocking(true).unwrap();
        // The end, or a reset; whoever is still there would block.
        cut += usize::from(!matches!(
            stream.read(&mut [0]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
        ));
    }
    assert!(silent.len() - cut <= VISITS_MAX, "{cut} of {} were cut", silent.len());
}

/// Visitors that ask for a lot and do not read it: neither clients nor other visitors notice, and
/// no more than a few answers are held for them.
#[test]
fn answers_that_are_not_read_hold_up_nobody() {
    const SUBSCRIPTIONS: usize = 60_000;
    const LARGE_ANSWERS_MAX: usize = 4;
    let server = start(|options| options.reactors = Some(1));
    let mut client = Client::connect(&server, "");
    let subject = "s".repeat(100);
    for chunk in 0..SUBSCRIPTIONS / 1000 {
        let lines: String = (0..1000)
            .map(|number| format!("SUB {subject}.{chunk}.{number} {chunk}-{number}\r\n"))
            .collect();
        client.send(&lines);
    }
    client.ping();
    let ask = || {
        let mut stream = unwilling_visitor(server.monitoring_address().unwrap());
        send_request(&mut stream, &format!("/subsz?subs=1&limit={SUBSCRIPTIONS}"));
        let mut first = [0; 13];
        stream.read_exact(&mut first).unwrap();
        let status: u16 = std::str::from_utf8(&first[9..12]).unwrap().parse().unwrap();
        (stream, status)
    };
    let mut readers = Vec::new();
    for _ in 0..LARGE_ANSWERS_MAX {
        let (stream, status) = ask();
        assert_eq!(status, 200);
        readers.push(stream);
    }
    assert_eq!(ask().1, 503, "a fifth one is refused");
    // Everything else goes on.
    client.send("PUB nobody 2\r\nhi\r\n");
    client.ping();
    assert_eq!(get(&server, "/healthz").status, 200);
    assert_eq!(json(&server, "/connz?subs=1&limit=1&offset=1")["total"], 1);
    assert_eq!(json(&server, "/subsz?subs=1&limit=10")["total"], SUBSCRIPTIONS);
    // Whoever reads gets all of it, and then there is room again.
    let mut rest = Vec::new();
    readers.swap_remove(0).read_to_end(&mut rest).unwrap();
    assert!(rest.len() > SUBSCRIPTIONS * 100 && rest.ends_with(b"\n}"));
    eventually("room for another one", || ask().1 == 200);
    // The end waits for none of them.
    server.shutdown();
}

/// A connection whose system takes little that it does not read.
fn unwilling_visitor(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.into()
}
