//! What the server tells unasked: of streams, consumers, messages and requests.

use fulmar_tests::{JetStream, Subscription, assert_contains};
use serde_json::{Value, json};

use crate::{MILLISECOND, consumer, start_with, start_with_consumer, stream};

const EVENT: &str = "$JS.EVENT.ADVISORY";

#[test]
fn streams_are_told_of_when_they_change() {
    let (_server, mut js) = start_with(json!({}));
    let advisories = js.subscribe(&format!("{EVENT}.STREAM.>"));
    let other = |changes| stream(crate::changed(json!({"name": "T", "subjects": ["t"]}), changes));
    js.stream(other(json!({})));
    js.ok("STREAM.UPDATE.T", other(json!({"max_msgs": 5})));
    js.ok("STREAM.DELETE.T", "");
    for (event, action) in [("CREATED", "create"), ("UPDATED", "modify"), ("DELETED", "delete")] {
        let advisory = check(
            &mut js,
            &advisories,
            &format!("{EVENT}.STREAM.{event}.T"),
            "stream_action",
            json!({"stream": "T", "action": action}),
        );
        assert_eq!(advisory.as_object().map(serde_json::Map::len), Some(5), "{advisory}");
    }
}

#[test]
fn what_is_refused_is_not_told_of() {
    let (_server, mut js) = start_with(json!({}));
    let advisories = js.subscribe(&format!("{EVENT}.STREAM.>"));
    // The same again is no new one.
    js.stream(stream(json!({})));
    js.api("STREAM.CREATE.T", json!({"name": "T", "max_age": 1}));
    js.api("STREAM.DELETE.T", "");
    js.stream(json!({"name": "U", "storage": "memory"}));
    let expected = json!({"stream": "U", "action": "create"});
    check(&mut js, &advisories, &format!("{EVENT}.STREAM.CREATED.U"), "stream_action", expected);
}

#[test]
fn consumers_are_told_of_when_they_come_and_go() {
    let (_server, mut js) = start_with(json!({}));
    let advisories = js.subscribe(&format!("{EVENT}.CONSUMER.>"));
    js.consumer("S", consumer(json!({})));
    js.ok("CONSUMER.DELETE.S.C", "");
    for (event, action) in [("CREATED", "create"), ("DELETED", "delete")] {
        check(
            &mut js,
            &advisories,
            &format!("{EVENT}.CONSUMER.{event}.S.C"),
            "consumer_action",
            json!({"stream": "S", "consumer": "C", "action": action}),
        );
    }
}

#[test]
fn an_ephemeral_consumer_is_told_of_when_it_disappears() {
    let (_server, mut js) = start_with(json!({}));
    let advisories = js.subscribe(&format!("{EVENT}.CONSUMER.DELETED.S.C"));
    js.consumer("S", json!({"name": "C", "inactive_threshold": 100 * MILLISECOND}));
    let expected = json!({"consumer": "C", "action": "delete"});
    check(
        &mut js,
        &advisories,
        &format!("{EVENT}.CONSUMER.DELETED.S.C"),
        "consumer_action",
        expected,
    );
}

#[test]
fn a_nak_and_a_termination_are_told_of() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let advisories = js.subscribe(&format!("{EVENT}.CONSUMER.>"));
    js.publish("s.a", "");
    let message = js.next("S", "C");
    js.acknowledge(&message, "-NAK");
    let message = js.next("S", "C");
    js.acknowledge(&message, "+TERM it is broken");
    check(
        &mut js,
        &advisories,
        &format!("{EVENT}.CONSUMER.MSG_NAKED.S.C"),
        "nak",
        json!({
            "stream": "S", "consumer": "C", "consumer_seq": 1, "stream_seq": 1, "deliveries": 1,
        }),
    );
    check(
        &mut js,
        &advisories,
        &format!("{EVENT}.CONSUMER.MSG_TERMINATED.S.C"),
        "terminated",
        json!({
            "stream": "S", "consumer": "C", "consumer_seq": 2, "stream_seq": 1, "deliveries": 2,
            "reason": "it is broken",
        }),
    );
}

#[test]
fn a_termination_without_a_reason_has_none() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let advisories = js.subscribe(&format!("{EVENT}.CONSUMER.>"));
    js.publish("s.a", "");
    let message = js.next("S", "C");
    js.acknowledge(&message, "+TERM");
    let subject = format!("{EVENT}.CONSUMER.MSG_TERMINATED.S.C");
    check(&mut js, &advisories, &subject, "terminated", json!({"reason": null}));
}

#[test]
fn a_message_that_is_given_up_is_told_of_once() {
    let (_server, mut js) =
        start_with_consumer(json!({"max_deliver": 1, "ack_wait": 100 * MILLISECOND}));
    let advisories = js.subscribe(&format!("{EVENT}.CONSUMER.MAX_DELIVERIES.>"));
    js.publish("s.a", "");
    js.next("S", "C");
    check(
        &mut js,
        &advisories,
        &format!("{EVENT}.CONSUMER.MAX_DELIVERIES.S.C"),
        "max_deliver",
        json!({"stream": "S", "consumer": "C", "stream_seq": 1, "deliveries": 1}),
    );
    js.expect_nothing("S", "C");
    assert_eq!(js.arrived(&advisories), []);
}

#[test]
fn acks_are_sampled() {
    let (_server, mut js) = start_with_consumer(json!({"sample_freq": "100%"}));
    let metrics = js.subscribe("$JS.EVENT.METRIC.>");
    js.publish_numbers("s.a", 2);
    let messages = js.fetch("S", "C", 2);
    js.acknowledge(&messages[1], "");
    let message = js.receive(&metrics);
    assert_eq!(message.subject, "$JS.EVENT.METRIC.CONSUMER.ACK.S.C");
    let metric = message.json();
    assert_contains(
        &metric,
        &json!({
            "type": "io.nats.jetstream.metric.v1.consumer_ack", "stream": "S", "consumer": "C",
            "consumer_seq": 2, "stream_seq": 2, "deliveries": 1,
        }),
    );
    assert!(metric["ack_time"].as_u64() > Some(0), "{metric}");
}

#[test]
fn without_a_frequency_no_ack_is_sampled() {
    for frequency in [json!(null), json!("0"), json!("0%")] {
        let (_server, mut js) = start_with_consumer(json!({"sample_freq": frequency}));
        let metrics = js.subscribe("$JS.EVENT.METRIC.>");
        js.publish("s.a", "");
        let message = js.next("S", "C");
        js.acknowledge(&message, "");
        assert_eq!(js.arrived(&metrics), []);
    }
}

#[cfg(feature = "ahead")]
#[test]
fn every_request_is_told_of_with_its_answer() {
    let (_server, mut js) = start_with(json!({}));
    let audit = js.subscribe(&format!("{EVENT}.API"));
    let body = json!({"offset": 0}).to_string();
    let answer = js.request("$JS.API.STREAM.NAMES", &[], &body).text();
    let advisory = check(
        &mut js,
        &audit,
        &format!("{EVENT}.API"),
        "api_audit",
        json!({"subject": "$JS.API.STREAM.NAMES", "request": body, "response": answer}),
    );
    let server = &js.client().info()["server_name"];
    assert_eq!(&advisory["server"], server);
    assert_contains(
        &advisory["client"],
        &json!({
            "acc": "$G", "host": "127.0.0.1", "kind": "Client", "client_type": "nats",
            "id": js.client().cid(),
        }),
    );
    // Without a body there is no request; refusals are told of too.
    let answer = js.request("$JS.API.STREAM.DELETE.T", &[], "").text();
    let expected =
        json!({"subject": "$JS.API.STREAM.DELETE.T", "request": null, "response": answer});
    check(&mut js, &audit, &format!("{EVENT}.API"), "api_audit", expected);
}

#[test]
fn getting_messages_is_not_told_of() {
    let (_server, mut js) = start_with(json!({"allow_direct": true}));
    js.consumer("S", consumer(json!({})));
    js.publish("s.a", "");
    let audit = js.subscribe(&format!("{EVENT}.API"));
    js.get("S", 1);
    js.next("S", "C");
    js.request("$JS.API.DIRECT.GET.S", &[], r#"{"seq":1}"#);
    js.ok("INFO", "");
    let expected = json!({"subject": "$JS.API.INFO"});
    check(&mut js, &audit, &format!("{EVENT}.API"), "api_audit", expected);
}

#[test]
fn advisories_can_be_stored() {
    let (_server, mut js) = start_with(json!({}));
    js.stream(stream(json!({"name": "E", "subjects": ["$JS.EVENT.ADVISORY.CONSUMER.>"]})));
    js.consumer("S", consumer(json!({})));
    fulmar_tests::eventually("a stored advisory", || js.state("E")["messages"] == 1);
    let subject = js.get("E", 1)["message"]["subject"].take();
    assert_eq!(subject, "$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.C");
}

/// The next advisory is of this type and contains these fields; gives all of it.
#[track_caller]
fn check(
    js: &mut JetStream,
    advisories: &Subscription,
    subject: &str,
    kind: &str,
    expected: Value,
) -> Value {
    let message = js.receive(advisories);
    assert_eq!(message.subject, subject);
    let advisory = message.json();
    assert_eq!(advisory["type"], format!("io.nats.jetstream.advisory.v1.{kind}"), "{advisory}");
    assert_contains(&advisory, &expected);
    assert!(advisory["id"].as_str().is_some_and(|id| id.len() == 22), "{advisory}");
    assert!(advisory["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{advisory}");
    advisory
}
