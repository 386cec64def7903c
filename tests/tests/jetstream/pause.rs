//! Pausing consumers, and resetting them to where they begin again.

use fulmar_tests::{assert_contains, is_fulmar, payloads, sequences};
use serde_json::{Value, json};

use crate::{MILLISECOND, SECOND, consumer, start_with, start_with_consumer};

const FAR: &str = "2100-01-01T00:00:00Z";

#[test]
fn a_paused_consumer_delivers_nothing_until_it_is_resumed() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish("s.a", "1");
    let advisories = js.subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C");
    let answer = js.ok("CONSUMER.PAUSE.S.C", json!({"pause_until": FAR}));
    assert_contains(&answer, &json!({"paused": true, "pause_until": FAR}));
    assert!(answer["pause_remaining"].as_u64() > Some(3_600 * SECOND), "{answer}");
    assert_contains(
        &js.receive(&advisories).json(),
        &json!({
            "type": "io.nats.jetstream.advisory.v1.consumer_pause", "stream": "S",
            "consumer": "C", "paused": true, "pause_until": FAR,
        }),
    );
    let info = js.consumer_info("S", "C");
    assert_contains(
        &info,
        &json!({
            "paused": true,
            "config": {"pause_until": FAR, "metadata": {"_nats.req.level": "1"}},
        }),
    );
    assert!(info["pause_remaining"].as_u64() > Some(3_600 * SECOND), "{info}");
    let pull = js.pull("S", "C", json!({"batch": 1, "expires": 100 * MILLISECOND}));
    assert_eq!(js.receive(&pull).status().as_deref(), Some("408 Request Timeout"));

    let waiting = js.pull("S", "C", json!({"batch": 1, "expires": 60 * SECOND}));
    let answer = js.ok("CONSUMER.PAUSE.S.C", "");
    assert_eq!(
        answer,
        json!({
            "type": "io.nats.jetstream.api.v1.consumer_pause_response",
            "paused": false, "pause_until": "0001-01-01T00:00:00Z",
        })
    );
    assert_eq!(js.receive(&advisories).json()["paused"], false);
    if !is_fulmar() {
        // nats-server looks at those who wait when somebody asks again.
        js.pull("S", "C", "");
    }
    assert_eq!(js.receive(&waiting).text(), "1");
    assert_eq!(js.consumer_info("S", "C")["paused"], Value::Null);
}

#[test]
fn a_pause_ends_by_itself() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "1");
    let start = std::time::Instant::now();
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(300);
    js.consumer("S", consumer(json!({"pause_until": until.to_string()})));
    assert_eq!(js.consumer_info("S", "C")["paused"], true);
    assert_eq!(js.next("S", "C").text(), "1");
    assert!(start.elapsed().as_millis() >= 250, "{:?}", start.elapsed());
    assert_eq!(js.consumer_info("S", "C")["paused"], Value::Null);
}

#[test]
fn a_pause_in_the_past_is_none() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let past = "2020-01-01T00:00:00Z";
    let answer = js.ok("CONSUMER.PAUSE.S.C", json!({"pause_until": past}));
    assert_contains(&answer, &json!({"paused": false, "pause_until": past}));
    js.publish("s.a", "1");
    assert_eq!(js.next("S", "C").text(), "1");
}

#[test]
fn pushing_pauses_too_and_heartbeats_go_on() {
    let (_server, mut js) = start_with(json!({}));
    let deliveries = js.subscribe("d.x");
    js.consumer(
        "S",
        json!({
            "durable_name": "C", "deliver_subject": "d.x", "pause_until": FAR,
            "idle_heartbeat": 100 * MILLISECOND,
        }),
    );
    js.publish("s.a", "1");
    assert_eq!(js.receive(&deliveries).status().as_deref(), Some("100 Idle Heartbeat"));
    js.ok("CONSUMER.PAUSE.S.C", "{}");
    let message = loop {
        let message = js.receive(&deliveries);
        if message.status().is_none() {
            break message;
        }
    };
    assert_eq!(message.text(), "1");
}

#[test]
fn an_update_does_not_end_a_pause() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.ok("CONSUMER.PAUSE.S.C", json!({"pause_until": FAR}));
    js.consumer("S", consumer(json!({"description": "new"})));
    assert_contains(
        &js.consumer_info("S", "C"),
        &json!({"paused": true, "config": {"pause_until": FAR}}),
    );
}

#[test]
fn pause_requests_must_make_sense() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let far = json!({"pause_until": FAR});
    js.refused("CONSUMER.PAUSE.S.D", &far, "404 10014 consumer not found");
    js.refused("CONSUMER.PAUSE.T.C", &far, "404 10059 stream not found");
    js.refused(
        "CONSUMER.PAUSE.S.C",
        json!({"foo": 1}),
        "400 10025 invalid JSON: json: unknown field \"foo\"",
    );
    let answer = js.api("CONSUMER.PAUSE.S.C", json!({"pause_until": "tomorrow"}));
    assert!(fulmar_tests::error(&answer).starts_with("400 10025 invalid JSON: "), "{answer}");
    assert_contains(&answer, &json!({"paused": false}));
}

#[test]
fn a_reset_goes_back_to_what_was_not_acknowledged() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 5);
    let messages = js.fetch("S", "C", 3);
    js.acknowledge(&messages[0], "");
    let answer = js.ok("CONSUMER.RESET.S.C", "");
    assert_contains(
        &answer,
        &json!({
            "type": "io.nats.jetstream.api.v1.consumer_reset_response", "stream_name": "S",
            "name": "C", "reset_seq": 2, "num_pending": 4, "num_ack_pending": 0,
            "delivered": {"consumer_seq": 0, "stream_seq": 1},
            "ack_floor": {"consumer_seq": 0, "stream_seq": 1},
        }),
    );
    let again = js.fetch("S", "C", 4);
    assert_eq!(payloads(&again), ["2", "3", "4", "5"]);
    let delivery = again[0].delivery();
    assert_eq!((delivery.delivered, delivery.consumer_sequence), (1, 1));
}

#[test]
fn a_reset_may_name_the_sequence() {
    let (_server, mut js) = start_with_consumer(json!({}));
    js.publish_numbers("s.a", 5);
    for (sequence, expected) in [(4, &[4, 5][..]), (2, &[2, 3, 4, 5]), (1, &[1, 2, 3, 4, 5])] {
        let answer = js.ok("CONSUMER.RESET.S.C", json!({"seq": sequence}));
        assert_contains(&answer, &json!({"reset_seq": sequence, "num_pending": expected.len()}));
        assert_eq!(sequences(&js.fetch("S", "C", expected.len())), expected);
    }
    let answer = js.ok("CONSUMER.RESET.S.C", json!({"seq": 1_000}));
    assert_contains(&answer, &json!({"reset_seq": 1_000, "num_pending": 0}));
    js.expect_nothing("S", "C");
}

#[test]
fn reset_requests_must_make_sense() {
    let (_server, mut js) = start_with_consumer(json!({}));
    let answer = js.api("CONSUMER.RESET.S.C", "x");
    assert!(fulmar_tests::error(&answer).starts_with("400 10025 invalid JSON: "), "{answer}");
    assert_eq!(answer["reset_seq"], 0);
}
