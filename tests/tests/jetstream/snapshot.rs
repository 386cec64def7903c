//! Snapshots of streams, and streams restored from them.

use fulmar_tests::{JetStream, assert_contains, error};
use serde_json::{Value, json};

use crate::{changed, consumer, start_with, stream};

/// What a snapshot is: its description, its chunks and the message that ends it.
struct Snapshot {
    description: Value,
    chunks: Vec<Vec<u8>>,
    end: fulmar_tests::Message,
}

#[test]
fn a_stream_is_restored_as_it_was() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({
            "storage": storage, "max_msgs": 1_000, "metadata": {"a": "b"},
        }));
        js.publish_with("s.a", &[("A", "b"), ("Nats-Msg-Id", "one")], "first");
        for number in 2..=200 {
            js.publish(&format!("s.{}", number % 7), number.to_string());
        }
        for sequence in [50, 51, 100] {
            js.ok("STREAM.MSG.DELETE.S", json!({"seq": sequence}));
        }
        js.consumer("S", consumer(json!({"filter_subject": "s.1"})));
        let messages = js.fetch("S", "C", 3);
        js.acknowledge(&messages[0], "");
        let before = js.ok("STREAM.INFO.S", json!({"deleted_details": true}));
        let stored: Vec<Value> = (1..=200).map(|sequence| js.get("S", sequence)).collect();

        let snapshot = take(&mut js, json!({}));
        assert_contains(
            &snapshot.description,
            &json!({
                "type": "io.nats.jetstream.api.v1.stream_snapshot_response",
                "config": {"name": "S", "max_msgs": 1_000},
                "state": {"messages": 197, "first_seq": 1, "last_seq": 200},
            }),
        );
        js.ok("STREAM.DELETE.S", "");
        let answer = restore(&mut js, &snapshot);
        assert_contains(&answer, &json!({"config": {"name": "S", "metadata": {"a": "b"}}}));

        let after = js.ok("STREAM.INFO.S", json!({"deleted_details": true}));
        assert_eq!(after["state"], before["state"]);
        for (sequence, expected) in (1..).zip(&stored) {
            assert_eq!(js.get("S", sequence), *expected);
        }
        // The consumer goes on where it was: two messages wait for their acks.
        assert_contains(
            &js.consumer_info("S", "C"),
            &json!({
                "num_ack_pending": 2, "delivered": {"consumer_seq": 3},
                "ack_floor": {"consumer_seq": 1},
            }),
        );
        js.acknowledge(&messages[1], "");
        assert_eq!(js.publish("s.a", "new"), 201);
    }
}

#[test]
fn chunks_are_acknowledged_and_the_end_is_empty() {
    let (_server, mut js) = start_with(json!({"storage": "file"}));
    for number in 0..20 {
        js.publish("s.a", random_text(number));
    }
    let snapshot = take(&mut js, json!({"chunk_size": 1_024}));
    assert!(snapshot.chunks.len() > 3, "{}", snapshot.chunks.len());
    let (last, full) = snapshot.chunks.split_last().unwrap();
    assert!(full.iter().all(|chunk| chunk.len() == 1_024));
    assert!(last.len() <= 1_024);
    assert_eq!(snapshot.end.headers, b"NATS/1.0 204\r\n\r\n");
}

#[test]
fn consumers_may_be_left_out() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "1");
    js.consumer("S", consumer(json!({})));
    let snapshot = take(&mut js, json!({"no_consumers": true}));
    js.ok("STREAM.DELETE.S", "");
    restore(&mut js, &snapshot);
    assert_contains(&js.state("S"), &json!({"messages": 1, "consumer_count": 0}));
}

#[test]
fn an_empty_stream_can_be_restored() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 3);
    js.ok("STREAM.PURGE.S", "");
    let snapshot = take(&mut js, json!({}));
    js.ok("STREAM.DELETE.S", "");
    restore(&mut js, &snapshot);
    assert_contains(&js.state("S"), &json!({"messages": 0, "first_seq": 4, "last_seq": 3}));
    assert_eq!(js.publish("s.a", ""), 4);
}

#[test]
fn a_stream_is_restored_on_another_server() {
    let (_server, mut js) = start_with(json!({"storage": "file"}));
    js.publish_numbers("s.a", 10);
    let snapshot = take(&mut js, json!({}));
    let (_other, mut other) = start_with(json!({"name": "T", "subjects": ["t"]}));
    restore(&mut other, &snapshot);
    for sequence in 1..=10 {
        assert_eq!(other.get("S", sequence), js.get("S", sequence));
    }
}

#[test]
fn snapshots_and_restores_are_told_of() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "1");
    let advisories = js.subscribe("$JS.EVENT.ADVISORY.STREAM.>");
    let snapshot = take(&mut js, json!({}));
    for event in ["SNAPSHOT_CREATE", "SNAPSHOT_COMPLETE"] {
        let message = js.receive(&advisories);
        assert_eq!(message.subject, format!("$JS.EVENT.ADVISORY.STREAM.{event}.S"));
        let kind = format!("io.nats.jetstream.advisory.v1.{}", event.to_ascii_lowercase());
        assert_contains(&message.json(), &json!({"type": kind, "stream": "S"}));
    }
    js.ok("STREAM.DELETE.S", "");
    assert!(js.receive(&advisories).subject.ends_with(".DELETED.S"));
    restore(&mut js, &snapshot);
    for event in ["RESTORE_CREATE", "RESTORE_COMPLETE"] {
        let message = loop {
            let message = js.receive(&advisories);
            if !message.subject.ends_with(".CREATED.S") {
                break message;
            }
        };
        assert_eq!(message.subject, format!("$JS.EVENT.ADVISORY.STREAM.{event}.S"));
        let kind = format!("io.nats.jetstream.advisory.v1.{}", event.to_ascii_lowercase());
        assert_contains(&message.json(), &json!({"type": kind, "stream": "S"}));
    }
}

#[test]
fn snapshot_requests_must_make_sense() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "1");
    js.refused("STREAM.SNAPSHOT.T", json!({"deliver_subject": "d"}), "404 10059 stream not found");
    js.refused("STREAM.SNAPSHOT.S", "", "400 10003 bad request");
    for subject in ["", "a..b", "a b", "d.*"] {
        let answer = js.api("STREAM.SNAPSHOT.S", json!({"deliver_subject": subject}));
        assert_eq!(error(&answer), "400 10015 deliver subject not valid", "{subject:?}");
    }
    js.refused(
        "STREAM.SNAPSHOT.S",
        json!({"deliver_subject": "d", "foo": 1}),
        "400 10025 invalid JSON: json: unknown field \"foo\"",
    );
}

#[test]
fn a_stream_that_is_there_is_not_restored() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "1");
    let snapshot = take(&mut js, json!({}));
    let body = json!({
        "config": snapshot.description["config"], "state": snapshot.description["state"],
    });
    js.refused(
        "STREAM.RESTORE.S",
        body.clone(),
        "400 10130 stream name already in use, cannot restore",
    );
    js.refused("STREAM.RESTORE.S", "", "400 10003 bad request");
    js.ok("STREAM.DELETE.S", "");
    js.refused("STREAM.RESTORE.T", body, "400 10056 stream name in subject does not match request");
}

#[test]
fn garbage_is_not_restored() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 3);
    let mut snapshot = take(&mut js, json!({}));
    js.ok("STREAM.DELETE.S", "");
    snapshot.chunks = vec![b"this is no snapshot".to_vec()];
    let answer = try_restore(&mut js, &snapshot);
    assert!(error(&answer).starts_with("500 10062 restore failed: "), "{answer}");
    js.refused("STREAM.INFO.S", "", "404 10059 stream not found");
    // The name is free again.
    js.stream(stream(json!({})));
}

/// Takes a snapshot of the stream `S`, acknowledging every chunk.
#[track_caller]
fn take(js: &mut JetStream, changes: Value) -> Snapshot {
    let inbox = js.subscribe_inbox();
    let request = changed(json!({"deliver_subject": inbox.subject}), changes);
    let description = js.ok("STREAM.SNAPSHOT.S", request);
    let mut chunks = Vec::new();
    loop {
        let message = js.receive(&inbox);
        if let Some(reply) = &message.reply {
            let start = "$JS.SNAPSHOT.ACK.S.";
            assert!(reply.starts_with(start), "{reply}");
            js.send(reply, "", &[], "");
        }
        if message.payload.is_empty() {
            return Snapshot { description, chunks, end: message };
        }
        chunks.push(message.payload);
    }
}

/// Restores the stream `S`, and gives the last answer.
#[track_caller]
fn restore(js: &mut JetStream, snapshot: &Snapshot) -> Value {
    let answer = try_restore(js, snapshot);
    assert_eq!(answer["type"], "io.nats.jetstream.api.v1.stream_create_response", "{answer}");
    assert_eq!(error(&answer), "", "{answer}");
    answer
}

#[track_caller]
fn try_restore(js: &mut JetStream, snapshot: &Snapshot) -> Value {
    let body = json!({
        "config": snapshot.description["config"], "state": snapshot.description["state"],
    });
    let answer = js.ok("STREAM.RESTORE.S", body);
    let subject = answer["deliver_subject"].as_str().expect("where to send the chunks").to_owned();
    assert!(subject.starts_with("$JS.SNAPSHOT.RESTORE.S."), "{subject}");
    for chunk in &snapshot.chunks {
        let answer = js.request(&subject, &[], chunk);
        if !answer.payload.is_empty() {
            return answer.json();
        }
    }
    js.request(&subject, &[], "").json()
}

/// A kibibyte that hardly compresses.
fn random_text(seed: u64) -> String {
    let mut generator = fastrand::Rng::with_seed(seed);
    (0..1_024).map(|_| generator.alphanumeric()).collect()
}
