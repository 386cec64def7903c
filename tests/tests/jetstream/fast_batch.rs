//! Fast ingest: many messages on one way, with acks that count them and a PubAck at the end.

use fulmar_tests::{JetStream, Message, Subscription, assert_contains};
use serde_json::{Value, json};

use crate::start_with;

/// What a message of a batch does, as its reply subject says.
const START: u8 = 0;
const APPEND: u8 = 1;
const COMMIT: u8 = 2;
const END: u8 = 3;
const PING: u8 = 4;

const UNKNOWN: &str = "400 10208 batch publish ID unknown";

/// A batch that is being published.
struct Batch {
    id: String,
    flow: u64,
    gap: &'static str,
    answers: Subscription,
}

impl Batch {
    fn new(js: &mut JetStream, id: &str, flow: u64, gap: &'static str) -> Self {
        let answers = js.subscribe(&format!("_INBOX.fast.{id}.>"));
        Self { id: id.to_owned(), flow, gap, answers }
    }

    #[track_caller]
    fn send(&self, js: &mut JetStream, number: u64, operation: u8) {
        self.send_with(js, number, operation, &[]);
    }

    #[track_caller]
    fn send_with(&self, js: &mut JetStream, number: u64, operation: u8, headers: &[(&str, &str)]) {
        let Self { id, flow, gap, .. } = self;
        let reply = format!("_INBOX.fast.{id}.{flow}.{gap}.{number}.{operation}.$FI");
        js.send("s.a", &reply, headers, number.to_string());
    }

    #[track_caller]
    fn answer(&self, js: &mut JetStream) -> Message {
        js.receive(&self.answers)
    }

    #[track_caller]
    fn check_answer(&self, js: &mut JetStream, expected: &str) {
        assert_eq!(self.answer(js).text(), expected);
    }

    #[track_caller]
    fn check_refused(&self, js: &mut JetStream, expected: &str) {
        assert_eq!(fulmar_tests::error(&self.answer(js).json()), expected);
    }
}

#[track_caller]
fn start_batched() -> (fulmar_tests::Server, JetStream) {
    start_with(json!({"allow_batched": true}))
}

#[test]
fn a_batch_is_stored_while_it_comes_and_acknowledged_at_the_end() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"allow_batched": true, "storage": storage}));
        let batch = Batch::new(&mut js, "one", 10, "ok");
        batch.send(&mut js, 1, START);
        let first = batch.answer(&mut js);
        assert_eq!(first.text(), r#"{"type":"ack","seq":0,"msgs":10}"#);
        assert_eq!(first.subject, "_INBOX.fast.one.10.ok.1.0.$FI");
        batch.send(&mut js, 2, APPEND);
        batch.send(&mut js, 3, APPEND);
        fulmar_tests::eventually("what was sent", || js.state("S")["messages"] == 3);
        batch.send(&mut js, 4, COMMIT);
        let last = batch.answer(&mut js);
        assert_eq!(last.text(), r#"{"stream":"S","seq":4,"batch":"one","count":4}"#);
        assert_eq!(last.subject, "_INBOX.fast.one.10.ok.4.2.$FI");
        assert_contains(&js.state("S"), &json!({"messages": 4, "last_seq": 4}));
    }
}

#[test]
fn a_batch_may_end_without_a_last_message() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send(&mut js, 1, START);
    batch.send(&mut js, 2, APPEND);
    batch.send(&mut js, 3, END);
    batch.answer(&mut js);
    batch.check_answer(&mut js, r#"{"stream":"S","seq":2,"batch":"one","count":2}"#);
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn a_batch_of_one_has_only_a_puback() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send(&mut js, 1, COMMIT);
    batch.check_answer(&mut js, r#"{"stream":"S","seq":1,"batch":"one","count":1}"#);
    assert_eq!(js.arrived(&batch.answers), []);
}

#[test]
fn an_ack_comes_after_so_many_messages() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 2, "ok");
    batch.send(&mut js, 1, START);
    batch.check_answer(&mut js, r#"{"type":"ack","seq":0,"msgs":2}"#);
    for number in (2..=8).step_by(2) {
        batch.send(&mut js, number, APPEND);
        batch.send(&mut js, number + 1, APPEND);
        batch.check_answer(&mut js, &format!(r#"{{"type":"ack","seq":{number},"msgs":2}}"#));
    }
    batch.send(&mut js, 10, COMMIT);
    // The last message is the second of a pair, but its PubAck says more.
    loop {
        let answer = batch.answer(&mut js).json();
        if answer.get("count").is_some() {
            assert_contains(&answer, &json!({"seq": 10, "count": 10}));
            return;
        }
    }
}

#[test]
fn the_server_bounds_how_many_messages_come_between_acks() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 65_535, "ok");
    batch.send(&mut js, 1, START);
    batch.check_answer(&mut js, r#"{"type":"ack","seq":0,"msgs":500}"#);
    for number in 2..=500 {
        batch.send(&mut js, number, APPEND);
    }
    batch.check_answer(&mut js, r#"{"type":"ack","seq":500,"msgs":500}"#);
}

#[test]
fn a_ping_asks_how_far_it_is() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 2, "ok");
    batch.send(&mut js, 1, START);
    batch.send(&mut js, 2, APPEND);
    batch.answer(&mut js);
    batch.check_answer(&mut js, r#"{"type":"ack","seq":2,"msgs":2}"#);
    batch.send(&mut js, 2, PING);
    batch.check_answer(&mut js, r#"{"type":"ack","seq":2,"msgs":2}"#);
    // It stores nothing.
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn a_gap_is_told_and_the_batch_goes_on() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send(&mut js, 1, START);
    batch.send(&mut js, 4, APPEND);
    batch.send(&mut js, 5, COMMIT);
    batch.answer(&mut js);
    batch.check_answer(&mut js, r#"{"type":"gap","last_seq":2,"seq":4}"#);
    batch.check_answer(&mut js, r#"{"stream":"S","seq":3,"batch":"one","count":5}"#);
}

#[test]
fn a_gap_ends_the_batch_when_it_must_have_none() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "fail");
    batch.send(&mut js, 1, START);
    batch.send(&mut js, 4, APPEND);
    batch.answer(&mut js);
    batch.check_answer(&mut js, r#"{"type":"gap","last_seq":2,"seq":4}"#);
    batch.check_answer(&mut js, r#"{"stream":"S","seq":1,"batch":"one","count":1}"#);
    batch.send(&mut js, 5, COMMIT);
    batch.check_refused(&mut js, UNKNOWN);
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn a_refused_message_is_told_and_the_batch_goes_on() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send(&mut js, 1, START);
    batch.send_with(&mut js, 2, APPEND, &[("Nats-Expected-Stream", "T")]);
    batch.send(&mut js, 3, COMMIT);
    batch.answer(&mut js);
    let refused: Value = batch.answer(&mut js).json();
    assert_contains(&refused, &json!({"type": "err", "seq": 2}));
    assert_eq!(fulmar_tests::error(&refused), "400 10060 expected stream does not match");
    batch.check_answer(&mut js, r#"{"stream":"S","seq":2,"batch":"one","count":3}"#);
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn a_refused_message_ends_the_batch_when_it_must_have_no_gap() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "fail");
    batch.send(&mut js, 1, START);
    batch.send_with(&mut js, 2, APPEND, &[("Nats-Expected-Stream", "T")]);
    batch.answer(&mut js);
    assert_eq!(batch.answer(&mut js).json()["type"], "err");
    batch.check_answer(&mut js, r#"{"stream":"S","seq":1,"batch":"one","count":1}"#);
    batch.send(&mut js, 3, COMMIT);
    batch.check_refused(&mut js, UNKNOWN);
}

#[test]
fn a_duplicate_counts_but_is_not_stored() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    let id = [("Nats-Msg-Id", "same")];
    batch.send_with(&mut js, 1, START, &id);
    batch.send_with(&mut js, 2, APPEND, &id);
    batch.send(&mut js, 3, COMMIT);
    batch.answer(&mut js);
    batch.check_answer(&mut js, r#"{"stream":"S","seq":2,"batch":"one","count":3}"#);
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn a_batch_that_never_began_is_unknown() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    for (number, operation) in [(2, APPEND), (3, COMMIT), (3, END), (3, PING)] {
        batch.send(&mut js, number, operation);
        batch.check_refused(&mut js, UNKNOWN);
    }
}

#[test]
fn the_reply_subject_must_be_of_this_form() {
    let (_server, mut js) = start_batched();
    let answers = js.subscribe("_INBOX.fast.>");
    for reply in [
        "_INBOX.fast.one.10.ok.1.9.$FI",
        "_INBOX.fast.one.10.ok.0.0.$FI",
        "_INBOX.fast.one.10.ok.2.0.$FI",
        "_INBOX.fast.one.10.ok.1.1.$FI",
        "_INBOX.fast.one.10.ok.1.3.$FI",
        "_INBOX.fast.one.10.ok.x.0.$FI",
        "_INBOX.fast.one.10.maybe.1.0.$FI",
        "_INBOX.fast.$FI",
    ] {
        js.send("s.a", reply, &[], "");
        let answer = js.receive(&answers);
        assert_eq!(answer.subject, reply);
        assert_eq!(
            fulmar_tests::error(&answer.json()),
            "400 10206 batch publish pattern is invalid",
            "{reply}"
        );
    }
    assert_eq!(js.state("S")["messages"], 0);
}

#[test]
fn an_id_has_at_most_64_characters() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, &"x".repeat(65), 10, "ok");
    batch.send(&mut js, 1, COMMIT);
    batch.check_refused(&mut js, "400 10207 batch publish ID is invalid");
    let batch = Batch::new(&mut js, &"x".repeat(64), 10, "ok");
    batch.send(&mut js, 1, COMMIT);
    assert_eq!(batch.answer(&mut js).json()["count"], 1);
}

#[test]
fn the_stream_must_allow_it() {
    let (_server, mut js) = start_with(json!({}));
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send(&mut js, 1, START);
    batch.check_refused(&mut js, "400 10205 batch publish is disabled");
}

#[test]
fn a_message_that_came_before_ends_the_batch() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send(&mut js, 1, START);
    batch.send(&mut js, 2, APPEND);
    batch.answer(&mut js);
    batch.send(&mut js, 2, APPEND);
    batch.check_answer(&mut js, r#"{"type":"gap","last_seq":3,"seq":2}"#);
    batch.check_answer(&mut js, r#"{"stream":"S","seq":2,"batch":"one","count":2}"#);
    batch.send(&mut js, 3, APPEND);
    batch.check_refused(&mut js, UNKNOWN);
}

#[test]
fn a_ping_finds_a_gap() {
    let (_server, mut js) = start_batched();
    for (gap, expected) in [
        ("ok", r#"{"type":"ack","seq":0,"msgs":10}"#),
        ("fail", r#"{"stream":"S","seq":2,"batch":"fail","count":1}"#),
    ] {
        let batch = Batch::new(&mut js, gap, 10, gap);
        batch.send(&mut js, 1, START);
        batch.answer(&mut js);
        batch.send(&mut js, 3, PING);
        batch.check_answer(&mut js, r#"{"type":"gap","last_seq":2,"seq":4}"#);
        batch.check_answer(&mut js, expected);
        if gap == "ok" {
            batch.send(&mut js, 4, COMMIT);
            batch.check_answer(&mut js, r#"{"stream":"S","seq":2,"batch":"ok","count":4}"#);
            js.ok("STREAM.DELETE.S", json!({}));
            js.stream(crate::stream(json!({"allow_batched": true})));
            js.publish("s.a", "");
        }
    }
}

#[test]
fn the_first_message_is_refused_like_any_other_when_there_must_be_no_gap() {
    let (_server, mut js) = start_batched();
    let wrong = [("Nats-Expected-Stream", "T")];
    let batch = Batch::new(&mut js, "one", 10, "fail");
    batch.send_with(&mut js, 1, START, &wrong);
    batch.check_answer(&mut js, r#"{"type":"ack","seq":0,"msgs":10}"#);
    batch.check_refused(&mut js, "400 10060 expected stream does not match");
    batch.send(&mut js, 2, APPEND);
    batch.check_refused(&mut js, UNKNOWN);
    let batch = Batch::new(&mut js, "two", 10, "fail");
    batch.send_with(&mut js, 1, COMMIT, &wrong);
    batch.check_refused(&mut js, "400 10060 expected stream does not match");
}

#[test]
fn a_last_message_that_is_refused_ends_the_batch() {
    let (_server, mut js) = start_batched();
    for gap in ["ok", "fail"] {
        let batch = Batch::new(&mut js, gap, 10, gap);
        batch.send(&mut js, 1, START);
        batch.send_with(&mut js, 2, COMMIT, &[("Nats-Expected-Stream", "T")]);
        batch.answer(&mut js);
        assert_eq!(batch.answer(&mut js).json()["type"], "err");
        assert_contains(&batch.answer(&mut js).json(), &json!({"batch": gap, "count": 1}));
    }
}

#[test]
fn a_batch_of_duplicates() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({"allow_batched": true, "storage": storage}));
        let id = [("Nats-Msg-Id", "same")];
        js.publish_with("s.a", &id, "");
        let batch = Batch::new(&mut js, "one", 10, "fail");
        batch.send_with(&mut js, 1, COMMIT, &id);
        let duplicate = r#"{"stream":"S","seq":1,"duplicate": true,"batch":"one","count":1}"#;
        batch.check_answer(&mut js, duplicate);
        let batch = Batch::new(&mut js, "two", 2, "ok");
        batch.send_with(&mut js, 1, START, &id);
        batch.check_answer(&mut js, r#"{"type":"ack","seq":0,"msgs":2}"#);
        batch.send_with(&mut js, 2, APPEND, &id);
        batch.check_answer(&mut js, r#"{"type":"ack","seq":2,"msgs":2}"#);
        batch.send(&mut js, 3, END);
        batch.check_answer(&mut js, r#"{"stream":"S","seq":0,"batch":"two","count":2}"#);
        assert_eq!(js.state("S")["messages"], 1);
    }
}

#[test]
fn a_level_that_the_server_does_not_have_ends_the_batch() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send(&mut js, 1, START);
    batch.answer(&mut js);
    batch.send_with(&mut js, 2, APPEND, &[("Nats-Required-Api-Level", "1000")]);
    batch.check_refused(&mut js, "412 10185 JetStream minimum api level required");
    batch.send(&mut js, 3, APPEND);
    batch.check_refused(&mut js, UNKNOWN);
}

#[test]
fn expectations_hold() {
    let (_server, mut js) = start_batched();
    let batch = Batch::new(&mut js, "one", 10, "ok");
    batch.send_with(&mut js, 1, START, &[("Nats-Expected-Last-Sequence", "0")]);
    batch.answer(&mut js);
    batch.send_with(&mut js, 2, APPEND, &[("Nats-Expected-Last-Sequence", "0")]);
    let refused = batch.answer(&mut js).json();
    assert_eq!(fulmar_tests::error(&refused), "400 10071 wrong last sequence: 1");
    batch.send_with(&mut js, 3, APPEND, &[("Nats-Expected-Last-Subject-Sequence", "1")]);
    batch.send_with(&mut js, 4, APPEND, &[("Nats-Expected-Last-Msg-Id", "x")]);
    batch.check_refused(&mut js, "400 10070 wrong last msg ID: ");
    batch.send(&mut js, 5, COMMIT);
    batch.check_answer(&mut js, r#"{"stream":"S","seq":3,"batch":"one","count":5}"#);
}

#[test]
fn a_batch_is_forgotten_when_nothing_comes() {
    let server = fulmar_tests::Server::builder()
        .configuration(
            "jetstream { limits { batch { timeout: \"250ms\", max_inflight_per_stream: 1 } } }",
        )
        .jetstream()
        .start();
    let mut js = server.jetstream();
    js.stream(crate::stream(json!({"allow_batched": true})));
    let one = Batch::new(&mut js, "one", 10, "ok");
    one.send(&mut js, 1, START);
    one.answer(&mut js);
    let two = Batch::new(&mut js, "two", 10, "ok");
    two.send(&mut js, 1, START);
    two.check_refused(&mut js, "429 10211 batch publish too many inflight");
    fulmar_tests::eventually("room for another batch", || {
        two.send(&mut js, 1, START);
        two.answer(&mut js).json()["type"] == "ack"
    });
    one.send(&mut js, 2, APPEND);
    one.check_refused(&mut js, UNKNOWN);
}

#[test]
fn batches_beside_each_other_share_what_may_be_on_the_way() {
    let (_server, mut js) = start_batched();
    let one = Batch::new(&mut js, "one", 10, "ok");
    let two = Batch::new(&mut js, "two", 10, "ok");
    one.send(&mut js, 1, START);
    one.check_answer(&mut js, r#"{"type":"ack","seq":0,"msgs":10}"#);
    two.send(&mut js, 1, START);
    two.check_answer(&mut js, r#"{"type":"ack","seq":0,"msgs":1}"#);
    one.send(&mut js, 2, COMMIT);
    two.send(&mut js, 2, COMMIT);
    assert_eq!(one.answer(&mut js).json()["count"], 2);
    loop {
        let answer = two.answer(&mut js).json();
        if answer.get("count").is_some() {
            assert_eq!(answer["count"], 2);
            break;
        }
    }
    assert_eq!(js.state("S")["messages"], 4);
}
