//! Requests that no client means well with: refused with the usual words, and the server goes on.

use fulmar_tests::{JetStream, Server, assert_contains, error};
use serde_json::{Value, json};

use crate::{consumer, start, start_with, start_with_consumer, stream};

#[test]
fn names_that_are_paths_are_refused() {
    let (server, mut js) = start();
    let path = "400 10128 Stream name can not contain path separators";
    for name in ["a/b", "/etc", "..\\up", "a\\b", "\\", "/"] {
        // As the one token that the subject can hold.
        let token = name.replace('.', "_");
        js.refused(
            &format!("STREAM.CREATE.{token}"),
            json!({"name": token, "subjects": ["s"]}),
            path,
        );
    }
    let invalid = "500 10052 stream name is required and can not contain '.', '*', '>', '\\', '/'";
    for name in ["*", ">", "a*", "a>"] {
        js.refused(
            &format!("STREAM.CREATE.{name}"),
            json!({"name": name, "subjects": ["s"]}),
            invalid,
        );
    }
    assert_eq!(js.ok("STREAM.NAMES", "")["streams"], Value::Null);
    // Nothing was left outside of the store.
    assert!(!server.directory().join("up").exists());
}

#[test]
fn other_paths_are_refused_too() {
    let (_server, mut js) = start_with(json!({}));
    for (path, body) in [
        ("STREAM.INFO.a/b", ""),
        ("STREAM.DELETE.a/b", ""),
        ("STREAM.PURGE.a/b", ""),
        ("STREAM.UPDATE.a/b", r#"{"name":"a/b"}"#),
        ("STREAM.MSG.GET.a/b", r#"{"seq":1}"#),
        ("CONSUMER.INFO.S.a/b", ""),
        ("CONSUMER.DELETE.S.a/b", ""),
        ("CONSUMER.NAMES.a/b", ""),
    ] {
        let answer = js.api(path, body);
        assert_ne!(error(&answer), "", "{path}: {answer}");
    }
    let answer = js.api("STREAM.RESTORE.a\\b", json!({"config": {"name": "a\\b"}, "state": {}}));
    assert_ne!(error(&answer), "", "{answer}");
}

#[test]
fn a_mirror_or_source_that_is_a_path_is_refused() {
    let (_server, mut js) = start();
    for name in ["../a", "a/b", "a b", "a.b", "*"] {
        let mirror = json!({"name": "M", "mirror": {"name": name}});
        js.refused("STREAM.CREATE.M", mirror, "400 10142 mirrored stream name is invalid");
        let sources = json!({"name": "M", "sources": [{"name": name}]});
        js.refused("STREAM.CREATE.M", sources, "400 10141 sourced stream name is invalid");
    }
}

#[test]
fn names_have_at_most_255_bytes() {
    let (_server, mut js) = start();
    let name = "x".repeat(255);
    js.stream(json!({"name": name}));
    js.publish(&name, "");
    js.ok(&format!("STREAM.DELETE.{name}"), "");
    let name = "x".repeat(256);
    js.refused(
        &format!("STREAM.CREATE.{name}"),
        json!({"name": name}),
        "500 10052 stream name is too long, maximum allowed is 255",
    );
}

#[test]
fn odd_names_are_names() {
    let (_server, mut js) = start();
    for (number, name) in
        ["-", "_", "a:b", "a|b", "caf\u{e9}", "\u{65e5}\u{672c}", "$x", "%2e%2e", "~"]
            .into_iter()
            .enumerate()
    {
        js.stream(json!({"name": name, "subjects": [format!("s.{number}")]}));
        js.publish(&format!("s.{number}"), "x");
        js.consumer(name, json!({"durable_name": name}));
        assert_eq!(js.next(name, name).text(), "x", "{name}");
        assert_contains(&js.stream_info(name), &json!({"config": {"name": name}}));
    }
    for name in ["-", "%2e%2e", "caf\u{e9}"] {
        js.ok(&format!("CONSUMER.DELETE.{name}.{name}"), "");
        js.ok(&format!("STREAM.DELETE.{name}"), "");
    }
}

#[test]
fn huge_numbers_do_not_hurt() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 3);
    let largest = u64::MAX;
    js.refused("STREAM.MSG.GET.S", json!({"seq": largest}), "404 10037 no message found");
    js.refused(
        "STREAM.MSG.DELETE.S",
        json!({"seq": largest}),
        &format!("400 10043 sequence {largest} not found"),
    );
    assert_eq!(js.ok("STREAM.PURGE.S", json!({"keep": largest}))["purged"], 0);
    for path in ["STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES.S", "CONSUMER.LIST.S"] {
        for offset in [json!(i64::MAX), json!(i64::MIN), json!(-1)] {
            js.ok(path, json!({"offset": offset}));
        }
    }
    js.ok("STREAM.INFO.S", json!({"subjects_filter": ">", "offset": i64::MAX}));
    for body in [
        json!({"batch": i64::MAX, "no_wait": true}),
        json!({"batch": 1, "max_bytes": i64::MAX, "no_wait": true}),
    ] {
        let pull = js.pull("S", "C", body);
        js.receive(&pull);
    }
    let pull = js.pull("S", "C", json!({"batch": 1, "expires": i64::MAX}));
    js.publish("s.a", "4");
    js.receive(&pull);
    let start = json!({"deliver_policy": "by_start_sequence", "opt_start_seq": largest});
    js.consumer("S", consumer(crate::changed(start, json!({"durable_name": "D"}))));
    js.expect_nothing("S", "D");
    assert_eq!(js.state("S")["messages"], 4);
}

#[test]
fn a_purge_up_to_the_largest_sequence_is_no_end() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 3);
    // The server may refuse it or not; then it still takes messages or says why not.
    js.api("STREAM.PURGE.S", json!({"seq": u64::MAX}));
    js.put("s.a", &[], "");
    js.stream(stream(json!({"name": "T", "subjects": ["t"]})));
    assert_eq!(js.publish("t", ""), 1);
}

#[test]
fn long_lists_are_taken_or_refused() {
    let (_server, mut js) = start();
    let subjects: Vec<String> = (0..1_000).map(|number| format!("s.{number}")).collect();
    js.stream(json!({"name": "S", "subjects": subjects, "storage": "memory"}));
    js.publish("s.999", "");
    let filters: Vec<String> = (0..1_000).map(|number| format!("s.{number}")).collect();
    js.consumer("S", json!({"durable_name": "C", "filter_subjects": filters}));
    assert_eq!(js.next("S", "C").subject, "s.999");
}

#[test]
fn deep_json_is_refused_and_the_server_goes_on() {
    let (_server, mut js) = start();
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = js.api("STREAM.CREATE.S", deep);
    assert!(error(&answer).starts_with("400 10025 invalid JSON: "), "{answer}");
    js.stream(stream(json!({})));
}

#[test]
fn a_body_of_garbage_is_refused() {
    let (_server, mut js) = start_with(json!({}));
    let garbage: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for path in ["STREAM.CREATE.S", "STREAM.UPDATE.S", "CONSUMER.CREATE.S"] {
        let answer = js.request(&format!("$JS.API.{path}"), &[], &garbage).json();
        assert!(error(&answer).starts_with("400 10025 invalid JSON: "), "{path}: {answer}");
    }
    for path in ["STREAM.DELETE.S", "CONSUMER.DELETE.S.C", "CONSUMER.INFO.S.C"] {
        let answer = js.request(&format!("$JS.API.{path}"), &[], &garbage).json();
        assert_eq!(error(&answer), "400 10038 expected an empty request payload", "{path}");
    }
    js.stream_info("S");
}

#[test]
fn subjects_with_many_tokens_are_stored() {
    let (_server, mut js) = start_with(json!({"allow_direct": true}));
    let subject = format!("s.{}", vec!["t"; 500].join("."));
    js.publish(&subject, "deep");
    let message =
        js.request("$JS.API.DIRECT.GET.S", &[], json!({"last_by_subj": subject}).to_string());
    assert_eq!(message.text(), "deep");
    js.consumer(
        "S",
        consumer(json!({"filter_subject": format!("s.{}", vec!["*"; 500].join("."))})),
    );
    assert_eq!(js.next("S", "C").subject, subject);
}

#[test]
fn a_large_message_is_stored_whole() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"storage": storage, "allow_direct": true}));
        let payload: Vec<u8> =
            (0..1_048_576_u32).map(|number| number.to_le_bytes()[number as usize % 2]).collect();
        assert_eq!(js.publish("s.a", &payload), 1);
        let message = js.request("$JS.API.DIRECT.GET.S", &[], r#"{"seq":1}"#);
        assert!(message.payload == payload, "{storage}: {} bytes", message.payload.len());
        js.consumer("S", consumer(json!({})));
        assert!(js.next("S", "C").payload == payload);
    }
}

#[test]
fn acks_that_are_none_do_not_hurt() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 2);
    let message = js.next("S", "C");
    for subject in [
        "$JS.ACK",
        "$JS.ACK.S",
        "$JS.ACK.S.C",
        "$JS.ACK.S.C.1",
        "$JS.ACK.S.C.1.1.1.1",
        "$JS.ACK.S.C.-1.-1.-1.-1.-1",
        "$JS.ACK.S.C.99999999999999999999.1.1.1.0",
        "$JS.ACK.S.C.1.18446744073709551615.1.1.0",
        "$JS.ACK.S.C.1.1.18446744073709551615.1.0",
        "$JS.ACK.T.C.1.1.1.1.0",
        "$JS.ACK.S.D.1.1.1.1.0",
        "$JS.FC.S.C.abcd",
        "$JS.SNAPSHOT.ACK.S.x.1.1",
    ] {
        for body in ["", "+ACK", "-NAK {\"delay\":-5}", "+NXT {", "+TERM", "\u{0}\u{ff}"] {
            js.send(subject, "", &[], body);
        }
    }
    js.settle();
    assert_contains(&js.consumer_info("S", "C"), &json!({"delivered": {"consumer_seq": 1}}));
    js.acknowledge(&message, "");
    assert_eq!(js.next("S", "C").text(), "2");
}

#[test]
fn headers_that_are_none_are_stored_as_they_are() {
    let (_server, mut js) = start_with(json!({}));
    let block = "NATS/1.0\r\nno colon\r\nNats-Msg-Id\r\n: empty\r\n\r\n";
    let inbox = js.subscribe_inbox();
    let reply = inbox.subject.clone();
    js.client().send(format!(
        "HPUB s.a {reply} {0} {1}\r\n{block}body\r\n",
        block.len(),
        block.len() + 4
    ));
    assert_eq!(js.receive(&inbox).json()["seq"], 1);
    let message = js.get("S", 1)["message"].take();
    assert_eq!(crate::decoded(&message["hdrs"]), block);
}

#[test]
fn many_streams_may_be_made_and_deleted() {
    let (_server, mut js) = start();
    for number in 0..200 {
        js.stream(stream(
            json!({"name": format!("S{number}"), "subjects": [format!("s.{number}")]}),
        ));
    }
    let names = js.ok("STREAM.NAMES", "");
    assert_contains(&names, &json!({"total": 200, "limit": 1_024}));
    for number in 0..200 {
        js.publish(&format!("s.{number}"), "");
        js.ok(&format!("STREAM.DELETE.S{number}"), "");
    }
    assert_eq!(js.ok("INFO", "")["streams"], 0);
}

#[test]
fn somebody_who_does_not_read_does_not_stop_the_others() {
    let (server, mut js) = start_with(json!({}));
    for _ in 0..200 {
        js.publish("s.a", "x".repeat(100_000));
    }
    let mut deaf = server.jetstream();
    deaf.consumer("S", consumer(json!({"durable_name": "D", "ack_policy": "none"})));
    deaf.pull("S", "D", json!({"batch": 10_000}));
    js.consumer("S", consumer(json!({})));
    for _ in 0..20 {
        assert_eq!(js.fetch("S", "C", 10).len(), 10);
    }
}

#[test]
fn a_connection_that_breaks_in_the_middle_changes_nothing() {
    let (server, mut js) = start_with(json!({}));
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("PUB s.a 100\r\nonly a part");
        drop(client);
    }
    js.publish("s.a", "whole");
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn publishing_into_the_api_is_only_a_request() {
    let (_server, mut js) = start_with(json!({}));
    let answer = js.request("$JS.API.STREAM.INFO.*", &[], "").status();
    // Nobody, or silence, or that there is no such stream; but never another stream.
    assert!(answer.is_none() || answer.as_deref() == Some("503"), "{answer:?}");
    js.stream_info("S");
}

#[test]
fn the_clock_at_its_edges_is_a_time() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "");
    for (time, expected) in [
        ("0001-01-01T00:00:00Z", 1),
        ("1969-12-31T23:59:59Z", 1),
        ("1970-01-01T00:00:00Z", 1),
        ("2020-02-29T12:00:00+23:59", 1),
        ("2262-04-11T23:47:16Z", 0),
        ("9999-12-31T23:59:59.999999999Z", 0),
    ] {
        let answer = js.api(
            "CONSUMER.CREATE.S",
            json!({
                "stream_name": "S",
                "config": {"deliver_policy": "by_start_time", "opt_start_time": time},
            }),
        );
        // nats-server counts time in nanoseconds since 1970, and wraps around at the far ends.
        if fulmar_tests::is_fulmar() {
            assert_eq!(answer["num_pending"], expected, "{time}: {answer}");
        }
        js.ok("INFO", "");
    }
    for time in ["", "now", "2020-13-01T00:00:00Z", "2020-01-01", "1700000000"] {
        let answer = js.api(
            "CONSUMER.CREATE.S",
            json!({
                "stream_name": "S",
                "config": {"deliver_policy": "by_start_time", "opt_start_time": time},
            }),
        );
        assert!(error(&answer).starts_with("400 10025 invalid JSON: "), "{time}: {answer}");
    }
}

#[test]
fn a_store_in_use_is_left_alone_by_a_clear_refusal() {
    // nats-server takes the directory of another one without a word.
    if !fulmar_tests::is_fulmar() {
        return;
    }
    let (server, mut js) = start_with(json!({"storage": "file"}));
    js.publish("s.a", "1");
    let store = server.store();
    let finished = fulmar_tests::run(
        ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"]
            .into_iter()
            .map(std::ffi::OsString::from)
            .chain([store.into_os_string()]),
    );
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(js.get("S", 1)["message"]["seq"], 1);
    check_alive(&server);
}

#[track_caller]
fn check_alive(server: &Server) {
    let mut js: JetStream = server.jetstream();
    js.ok("INFO", "");
}
