//! What holds for every request to the API: how it is answered, refused, counted.

use fulmar_tests::{Server, assert_contains, error};
use serde_json::json;

use crate::{start, start_with, stream};

#[test]
fn the_server_says_that_it_has_jetstream() {
    let (_server, mut js) = start();
    assert_contains(js.client().info(), &json!({"jetstream": true, "api_lvl": 5, "domain": null}));
    let server = Server::start();
    assert_contains(server.connect().info(), &json!({"jetstream": null}));
}

#[test]
fn without_jetstream_nobody_answers() {
    let server = Server::start();
    let mut js = server.jetstream();
    for path in ["INFO", "STREAM.NAMES", "STREAM.CREATE.S", "CONSUMER.MSG.NEXT.S.C"] {
        let subject = format!("$JS.API.{path}");
        assert_eq!(js.request(&subject, &[], "").status().as_deref(), Some("503"), "{path}");
    }
}

#[test]
fn an_unknown_request_gets_no_answer() {
    let (_server, mut js) = start();
    let mut silent = Vec::new();
    for path in ["FOO", "FOO.BAR", "STREAM.INFO", "STREAM.INFO.S.x", "STREAM.TEMPLATE.CREATE.x"] {
        silent.push((path, js.start_request(&format!("$JS.API.{path}"), &[], "")));
    }
    js.ok("INFO", "");
    for (path, answers) in silent {
        assert_eq!(js.arrived(&answers), [], "{path}");
    }
}

#[test]
fn requests_for_a_cluster_are_refused_by_a_server_alone() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"durable_name": "C"}));
    for (path, body) in [
        ("STREAM.LEADER.STEPDOWN.S", ""),
        ("CONSUMER.LEADER.STEPDOWN.S.C", ""),
        ("STREAM.PEER.REMOVE.S", r#"{"peer":"x"}"#),
    ] {
        js.refused(path, body, "503 10010 JetStream clustering support required");
    }
}

#[test]
fn broken_json_is_refused() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"durable_name": "C"}));
    for path in [
        "STREAM.CREATE.S",
        "STREAM.UPDATE.S",
        "STREAM.MSG.GET.S",
        "STREAM.MSG.DELETE.S",
        "CONSUMER.CREATE.S",
        "CONSUMER.CREATE.S.C",
        "CONSUMER.DURABLE.CREATE.S.C",
    ] {
        for body in ["{", "x", "[]", "{\"name\":}", "\"S\"", "{} x"] {
            let answer = js.api(path, body);
            assert!(
                error(&answer).starts_with("400 10025 invalid JSON: "),
                "{path} {body}: {answer}"
            );
        }
    }
}

#[test]
fn field_names_may_be_in_any_case() {
    let (_server, mut js) = start();
    let answer = js.ok("STREAM.CREATE.S", r#"{"Name":"S","SUBJECTS":["s"],"storage":"memory"}"#);
    assert_eq!(answer["config"]["subjects"], json!(["s"]));
}

#[test]
fn a_request_without_reply_is_carried_out() {
    let (_server, mut js) = start();
    js.send("$JS.API.STREAM.CREATE.S", "", &[], stream(json!({})).to_string());
    fulmar_tests::eventually("the stream", || js.api("STREAM.INFO.S", "").get("error").is_none());
}

#[test]
fn requests_of_one_client_are_answered_in_turn() {
    let (_server, mut js) = start_with(json!({}));
    let inbox = js.subscribe_inbox();
    for number in 0..100 {
        let body = json!({"subjects_filter": ">", "offset": number}).to_string();
        js.send("$JS.API.STREAM.INFO.S", &inbox.subject, &[], body);
    }
    let answers: Vec<_> = (0..100).map(|_| js.receive(&inbox).json()).collect();
    assert!(answers.iter().all(|answer| answer["config"]["name"] == "S"));
}

#[test]
fn a_level_that_the_server_does_not_have_is_refused() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer("S", json!({"durable_name": "C"}));
    let required = "412 10185 JetStream minimum api level required";
    for (path, body) in [
        ("INFO", ""),
        ("STREAM.NAMES", ""),
        ("STREAM.LIST", ""),
        ("STREAM.INFO.S", ""),
        ("STREAM.CREATE.T", "{\"name\":\"T\"}"),
        ("STREAM.UPDATE.S", "{\"name\":\"S\"}"),
        ("STREAM.PURGE.S", ""),
        ("STREAM.MSG.GET.S", "{\"seq\":1}"),
        ("STREAM.MSG.DELETE.S", "{\"seq\":1}"),
        ("CONSUMER.NAMES.S", ""),
        ("CONSUMER.LIST.S", ""),
        ("CONSUMER.INFO.S.C", ""),
        ("CONSUMER.DELETE.S.C", ""),
        ("STREAM.DELETE.S", ""),
    ] {
        for level in ["6", "100", "x"] {
            let answer = js.api_with(path, &[("Nats-Required-Api-Level", level)], body);
            assert_eq!(error(&answer), required, "{path} {level}");
        }
    }
    for level in ["0", "1", "5"] {
        let answer = js.api_with("STREAM.INFO.S", &[("Nats-Required-Api-Level", level)], "");
        assert_eq!(error(&answer), "", "{level}");
    }
}

#[test]
fn pulls_and_direct_gets_may_require_a_level_too() {
    let (_server, mut js) = start_with(json!({"allow_direct": true}));
    js.publish("s.a", "1");
    js.consumer("S", json!({"durable_name": "C"}));
    let too_high = [("Nats-Required-Api-Level", "6")];
    for (subject, body) in [
        ("$JS.API.CONSUMER.MSG.NEXT.S.C", ""),
        ("$JS.API.DIRECT.GET.S", r#"{"seq":1}"#),
        ("$JS.API.DIRECT.GET.S.s.a", ""),
    ] {
        let answer = js.request(subject, &too_high, body);
        assert_eq!(answer.headers, b"NATS/1.0 412 Required Api Level\r\n\r\n", "{subject}");
        let answer = js.request(subject, &[("Nats-Required-Api-Level", "5")], body);
        assert_eq!(answer.text(), "1", "{subject}");
        js.publish("s.a", "1");
    }
}

#[test]
fn a_domain_has_the_api_too() {
    let server = Server::builder().configuration("jetstream { domain: hub }").jetstream().start();
    let mut js = server.jetstream();
    assert_eq!(js.client().info()["domain"], "hub");
    js.stream(stream(json!({"allow_direct": true})));
    js.publish("s.a", "1");
    assert_eq!(js.ok("INFO", "")["domain"], "hub");
    let mut domain = server.jetstream();
    domain.use_domain("hub");
    assert_eq!(domain.ok("INFO", "")["domain"], "hub");
    assert_contains(&domain.stream_info("S"), &json!({"domain": "hub", "state": {"messages": 1}}));
    domain.consumer("S", json!({"durable_name": "C"}));
    assert_eq!(domain.next("S", "C").text(), "1");
    let message = domain.request("$JS.hub.API.DIRECT.GET.S", &[], r#"{"seq":1}"#);
    assert_eq!(message.text(), "1");
    // The answer to CREATE does not name it, that to UPDATE does.
    let answer = js.ok("STREAM.UPDATE.S", stream(json!({"allow_direct": true, "max_msgs": 5})));
    assert_eq!(answer["domain"], "hub");
    let answer = js.stream(stream(json!({"name": "T", "subjects": ["t"]})));
    assert_eq!(answer.get("domain"), None);
    let answer = js.request("$JS.other.API.INFO", &[], "");
    assert_eq!(answer.status().as_deref(), Some("503"));
}

#[test]
fn many_clients_may_ask_at_once() {
    let (server, mut js) = start_with(json!({}));
    let mut clients: Vec<_> = (0..10).map(|_| server.jetstream()).collect();
    let questions: Vec<_> = clients
        .iter_mut()
        .enumerate()
        .map(|(number, client)| {
            let name = format!("T{number}");
            let body =
                json!({"name": name, "subjects": [format!("t.{number}")], "storage": "memory"});
            client.start_request(&format!("$JS.API.STREAM.CREATE.{name}"), &[], body.to_string())
        })
        .collect();
    for (client, question) in clients.iter_mut().zip(&questions) {
        assert_eq!(error(&client.receive(question).json()), "");
    }
    assert_eq!(js.ok("STREAM.NAMES", "")["total"], 11);
}

#[test]
fn unknown_fields_may_be_allowed_by_the_server() {
    let server = Server::builder().configuration("jetstream { strict: false }").jetstream().start();
    let mut js = server.jetstream();
    js.stream(stream(json!({"unheard_of": 1})));
    js.consumer("S", json!({"durable_name": "C", "unheard_of": 1}));
    js.ok("STREAM.INFO.S", json!({"unheard_of": 1}));
}
