//! What is there again after the server was stopped, killed and started.

use fulmar_tests::{JetStream, Server, assert_contains, eventually, payloads, sequences};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{MILLISECOND, SECOND, consumer, stream};

/// Stops the server as an operator does, starts it again, and connects.
#[track_caller]
fn restart(server: &mut Server) -> JetStream {
    server.signal(Signal::TERM);
    server.wait_for_exit();
    server.start_again();
    server.jetstream()
}

/// Kills the server without warning, starts it again, and connects.
#[track_caller]
fn crash(server: &mut Server) -> JetStream {
    server.restart();
    server.jetstream()
}

#[track_caller]
fn start() -> (Server, JetStream) {
    let server = Server::builder().jetstream().restartable().start();
    let jetstream = server.jetstream();
    (server, jetstream)
}

/// A server that does not acknowledge before the message is on disk.
#[track_caller]
fn start_careful() -> (Server, JetStream) {
    let server = Server::builder()
        .configuration("jetstream { sync_interval: always }")
        .jetstream()
        .restartable()
        .start();
    let jetstream = server.jetstream();
    (server, jetstream)
}

fn file(changes: Value) -> Value {
    stream(crate::changed(json!({"storage": "file"}), changes))
}

// Fulmar forgets the time of a last message that was deleted.
#[cfg(feature = "ahead")]
#[test]
fn messages_and_configuration_are_there_again() {
    let (mut server, mut js) = start();
    js.stream(file(json!({"max_msgs": 1_000, "metadata": {"a": "b"}, "allow_direct": true})));
    js.publish_with("s.a", &[("A", "b")], "1");
    for number in 2..=20 {
        js.publish(&format!("s.{}", number % 3), number.to_string());
    }
    for sequence in [5, 6, 20] {
        js.ok("STREAM.MSG.DELETE.S", json!({"seq": sequence}));
    }
    let before = js.ok("STREAM.INFO.S", json!({"deleted_details": true}));
    let stored: Vec<_> = (1..=20).map(|sequence| js.get("S", sequence)).collect();
    let mut js = restart(&mut server);
    let after = js.ok("STREAM.INFO.S", json!({"deleted_details": true}));
    for field in ["config", "created", "state"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    for (sequence, expected) in (1..).zip(&stored) {
        assert_eq!(js.get("S", sequence), *expected);
    }
    assert_eq!(js.publish("s.a", ""), 21);
    assert_eq!(js.request("$JS.API.DIRECT.GET.S", &[], r#"{"seq":1}"#).text(), "1");
}

#[test]
fn a_used_and_empty_stream_keeps_its_sequence() {
    let (mut server, mut js) = start();
    js.stream(file(json!({})));
    js.publish_numbers("s.a", 5);
    js.ok("STREAM.PURGE.S", "");
    let mut js = restart(&mut server);
    assert_contains(&js.state("S"), &json!({"messages": 0, "first_seq": 6, "last_seq": 5}));
    assert_eq!(js.publish("s.a", ""), 6);
}

#[test]
fn a_durable_consumer_goes_on_where_it_was() {
    let (mut server, mut js) = start();
    js.stream(file(json!({})));
    js.consumer("S", consumer(json!({"ack_wait": 3_600 * SECOND})));
    js.publish_numbers("s.a", 6);
    let messages = js.fetch("S", "C", 4);
    js.acknowledge(&messages[0], "");
    js.acknowledge(&messages[2], "");
    let before = js.consumer_info("S", "C");
    let mut js = restart(&mut server);
    let after = js.consumer_info("S", "C");
    assert_contains(
        &after,
        &json!({
            "created": before["created"], "config": before["config"],
            "delivered": {"consumer_seq": 4, "stream_seq": 4},
            "ack_floor": {"consumer_seq": 1, "stream_seq": 1},
            "num_ack_pending": 2, "num_pending": 2,
        }),
    );
    assert_eq!(sequences(&js.fetch("S", "C", 2)), [5, 6]);
    // What was delivered before can be acknowledged after.
    js.acknowledge(&messages[1], "");
    assert_contains(&js.consumer_info("S", "C"), &json!({"ack_floor": {"stream_seq": 3}}));
}

#[test]
fn what_was_not_acknowledged_comes_again() {
    let (mut server, mut js) = start();
    js.stream(file(json!({})));
    js.consumer("S", consumer(json!({"ack_wait": 300 * MILLISECOND})));
    js.publish_numbers("s.a", 2);
    js.fetch("S", "C", 2);
    let mut js = restart(&mut server);
    let messages = js.fetch("S", "C", 2);
    assert_eq!(sequences(&messages), [1, 2]);
    assert_eq!(messages[0].delivery().delivered, 2);
}

#[test]
fn ids_are_still_known() {
    let (mut server, mut js) = start();
    js.stream(file(json!({})));
    js.publish_with("s.a", &[("Nats-Msg-Id", "one")], "");
    let mut js = restart(&mut server);
    let answer = js.put("s.a", &[("Nats-Msg-Id", "one")], "");
    assert_eq!((answer["seq"].as_u64(), &answer["duplicate"]), (Some(1), &json!(true)));
}

#[test]
fn streams_in_memory_are_gone() {
    let (mut server, mut js) = start();
    js.stream(stream(json!({})));
    js.publish_numbers("s.a", 3);
    let mut js = restart(&mut server);
    js.refused("STREAM.INFO.S", "", "404 10059 stream not found");
    js.stream(stream(json!({})));
    assert_eq!(js.publish("s.a", ""), 1);
}

#[test]
fn what_was_deleted_stays_away() {
    let (mut server, mut js) = start();
    js.stream(file(json!({})));
    js.stream(file(json!({"name": "T", "subjects": ["t"]})));
    js.consumer("T", consumer(json!({})));
    js.ok("STREAM.DELETE.S", "");
    js.ok("CONSUMER.DELETE.T.C", "");
    let mut js = restart(&mut server);
    assert_eq!(js.ok("STREAM.NAMES", "")["streams"], json!(["T"]));
    assert_eq!(js.ok("CONSUMER.NAMES.T", "")["consumers"], json!([]));
}

#[test]
fn an_update_is_kept() {
    let (mut server, mut js) = start();
    js.stream(file(json!({})));
    js.consumer("S", consumer(json!({})));
    js.ok("STREAM.UPDATE.S", file(json!({"max_msgs": 2, "subjects": ["n.>"]})));
    js.consumer("S", consumer(json!({"description": "new"})));
    let mut js = restart(&mut server);
    assert_contains(&js.stream_info("S")["config"], &json!({"max_msgs": 2, "subjects": ["n.>"]}));
    assert_eq!(js.consumer_info("S", "C")["config"]["description"], "new");
    js.publish_numbers("n.a", 3);
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn old_messages_leave_while_the_server_is_away() {
    let (mut server, mut js) = start();
    js.stream(file(json!({"max_age": 200 * MILLISECOND})));
    js.publish_numbers("s.a", 3);
    let mut js = restart(&mut server);
    eventually("an empty stream", || js.state("S")["messages"] == 0);
    assert_eq!(js.state("S")["last_seq"], 3);
}

#[test]
fn times_to_live_end_after_a_restart_too() {
    let (mut server, mut js) = start();
    js.stream(file(json!({"allow_msg_ttl": true})));
    js.publish_with("s.a", &[("Nats-TTL", "1s")], "");
    js.publish("s.b", "");
    let mut js = restart(&mut server);
    eventually("the first message to leave", || js.state("S")["messages"] == 1);
}

#[test]
fn a_work_queue_keeps_only_what_is_left() {
    let (mut server, mut js) = start();
    js.stream(file(json!({"retention": "workqueue"})));
    js.consumer("S", consumer(json!({})));
    js.publish_numbers("s.a", 3);
    let message = js.next("S", "C");
    js.acknowledge(&message, "");
    eventually("two messages", || js.state("S")["messages"] == 2);
    let mut js = restart(&mut server);
    assert_eq!(js.state("S")["messages"], 2);
    assert_eq!(payloads(&js.fetch("S", "C", 2)), ["2", "3"]);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let (mut server, mut js) = start_careful();
    js.stream(file(json!({})));
    let inbox = js.subscribe_inbox();
    for number in 0..300 {
        js.send("s.a", &inbox.subject, &[], number.to_string());
    }
    let mut acknowledged = 0;
    while acknowledged < 100 {
        acknowledged = js.receive(&inbox).json()["seq"].as_u64().expect("a sequence");
    }
    let mut js = crash(&mut server);
    let state = js.state("S");
    let last = state["last_seq"].as_u64().expect("a sequence");
    assert!(last >= acknowledged, "{acknowledged} acknowledged, {state}");
    assert_eq!(state["messages"], last);
    for sequence in 1..=last {
        let message = js.get("S", sequence)["message"].take();
        assert_eq!(crate::decoded(&message["data"]), (sequence - 1).to_string());
    }
}

#[test]
fn streams_and_consumers_survive_a_kill() {
    let (mut server, mut js) = start_careful();
    js.stream(file(json!({})));
    js.consumer("S", consumer(json!({})));
    js.publish_numbers("s.a", 3);
    let mut js = crash(&mut server);
    assert_contains(&js.state("S"), &json!({"messages": 3, "consumer_count": 1}));
    assert_eq!(sequences(&js.fetch("S", "C", 3)), [1, 2, 3]);
}

#[test]
fn an_acknowledged_ack_survives_a_kill() {
    let (mut server, mut js) = start_careful();
    js.stream(file(json!({"retention": "workqueue"})));
    js.consumer("S", consumer(json!({"ack_wait": 100 * MILLISECOND})));
    js.publish_numbers("s.a", 2);
    let messages = js.fetch("S", "C", 2);
    js.acknowledge(&messages[0], "");
    eventually("one message", || js.state("S")["messages"] == 1);
    let mut js = crash(&mut server);
    assert_eq!(payloads(&js.fetch("S", "C", 1)), ["2"]);
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn a_batch_is_whole_or_not_there_after_a_kill() {
    let (mut server, mut js) = start_careful();
    js.stream(file(json!({"allow_atomic": true})));
    for batch in ["done", "open"] {
        for number in 1..=20 {
            let number = number.to_string();
            let mut headers = vec![("Nats-Batch-Id", batch), ("Nats-Batch-Sequence", &number)];
            if batch == "done" && number == "20" {
                headers.push(("Nats-Batch-Commit", "1"));
                js.publish_with("s.a", &headers, "");
            } else {
                js.send("s.a", "", &headers, "");
            }
        }
    }
    js.settle();
    let mut js = crash(&mut server);
    assert_contains(&js.state("S"), &json!({"messages": 20, "last_seq": 20}));
}

#[test]
fn many_restarts_change_nothing() {
    let (mut server, mut js) = start();
    js.stream(file(json!({"max_msgs_per_subject": 3})));
    for round in 0..4 {
        for number in 0..10 {
            js.publish(&format!("s.{}", number % 2), format!("{round} {number}"));
        }
        let before = js.state("S");
        js = restart(&mut server);
        assert_eq!(js.state("S"), before);
    }
    assert_contains(&js.state("S"), &json!({"messages": 6, "last_seq": 40}));
}
