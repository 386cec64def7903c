//! Requests: who gets what, and how they end.

use super::*;

#[test]
fn a_batch_is_delivered_and_carries_what_clients_need() {
    let mut bench = Bench::new(List::numbered(3), pull());
    bench.request(0, "inbox", r#"{"batch":2,"expires":5000000000}"#);
    assert!(bench.out.sent.is_empty(), "nothing before the poll");
    let progress = bench.poll(0);
    assert_eq!((progress.messages, progress.has_more), (2, false));
    let sent = bench.out.take();
    assert_eq!(
        sent[0],
        Sent {
            to: "inbox".into(),
            subject: "s".into(),
            reply: "$JS.ACK.S.c.1.1.1.0.2".into(),
            headers: String::new(),
            payload: "m1".into(),
        }
    );
    assert_eq!(sent[1].reply, "$JS.ACK.S.c.1.2.2.1000.1");
    assert_eq!(bench.polled(S), [""; 0], "the request has all it asked for");
    bench.request(S, "inbox", "");
    assert_eq!(bench.polled(S), ["3"]);
}

#[test]
fn requests_wait_for_messages_and_take_turns() {
    let mut bench = Bench::new(List::default(), pull());
    bench.request(0, "a", "2");
    bench.request(0, "b", "2");
    assert_eq!(bench.polled(0), [""; 0]);
    assert_eq!(bench.info(0).waiting, 2);
    for _ in 0..5 {
        let sequence = bench.list.append("s");
        assert!(bench.consumer.handle_appended(sequence, b"s"), "it waits for this");
    }
    bench.poll(1);
    let to: Vec<String> = bench.out.take().into_iter().map(|sent| sent.to).collect();
    assert_eq!(to, ["a", "b", "a", "b"]);
    assert_eq!((bench.info(1).waiting, bench.info(1).pending), (0, 1));
}

#[test]
fn the_budget_holds_up_nobody_else() {
    let mut bench = Bench::new(List::numbered(10), pull());
    bench.request(0, "a", "10");
    let Bench { list, out, consumer } = &mut bench;
    let progress = consumer.poll(at(0), list, out, Budget { messages: 4, bytes: 1000 });
    assert_eq!((progress.messages, progress.has_more), (4, true));
    let progress = consumer.poll(at(0), list, out, Budget { messages: 100, bytes: 5 });
    assert_eq!((progress.messages, progress.has_more, progress.bytes), (2, true, 6));
    assert_eq!(bench.poll(0).messages, 4);
}

#[test]
fn a_request_that_is_over_says_what_it_did_not_get() {
    let mut bench = Bench::new(List::numbered(1), pull());
    bench.request(0, "a", r#"{"batch":3,"expires":1000000000,"max_bytes":500}"#);
    assert_eq!(bench.polled(0), ["1"]);
    assert_eq!(bench.consumer.next_timeout(at(0)), Some(S));
    assert_eq!(bench.polled(S - 1), [""; 0]);
    let size = "s".len() + "$JS.ACK.S.c.1.1.1.0.0".len() + "m1".len();
    assert_eq!(
        bench.polled(S),
        [format!(
            "408 Request Timeout | Nats-Pending-Messages: 2 | Nats-Pending-Bytes: {}",
            500 - size
        )]
    );
    bench.list.append("s");
    assert_eq!(bench.polled(S), [""; 0], "it is gone");
}

#[test]
fn what_does_not_wait_ends_when_there_is_nothing() {
    let mut bench = Bench::new(List::default(), pull());
    bench.request(0, "a", r#"{"batch":3,"no_wait":true}"#);
    assert_eq!(bench.out.brief(), ["404 No Messages"], "at once");
    bench.request(0, "a", r#"{"batch":3,"no_wait":true,"expires":1000000000}"#);
    assert_eq!(bench.polled(0), [""; 0], "with an end it waits for the first message");
    bench.list.append("s");
    assert_eq!(bench.polled(1), ["1", "404 No Messages"]);
    bench.list.append("s");
    bench.request(2, "a", r#"{"batch":3,"no_wait":true}"#);
    assert_eq!(bench.polled(2), ["2", "404 No Messages"]);
    bench.request(3, "a", r#"{"batch":3,"no_wait":true,"expires":1000000000}"#);
    assert_eq!(bench.polled(3), [""; 0]);
    assert_eq!(
        bench.polled(2 * S),
        ["408 Request Timeout | Nats-Pending-Messages: 3 | Nats-Pending-Bytes: 0"]
    );
}

#[test]
fn what_does_not_wait_stands_behind_those_before() {
    let settings = ConsumerSettings { ack_pending_max: NonZeroUsize::new(1), ..pull() };
    let mut bench = Bench::new(List::numbered(3), settings);
    bench.request(0, "a", "10");
    assert_eq!(bench.polled(0), ["1"]);
    bench.request(0, "b", r#"{"batch":1,"no_wait":true}"#);
    assert_eq!(bench.polled(0), ["408 Requests Pending"]);
}

#[test]
fn what_does_not_wait_is_not_ended_by_missing_acknowledgements() {
    let settings = ConsumerSettings { ack_pending_max: NonZeroUsize::new(1), ..pull() };
    let mut bench = Bench::new(List::numbered(2), settings);
    bench.request(0, "a", r#"{"batch":5,"no_wait":true}"#);
    assert_eq!(bench.polled(0), ["1"]);
    bench.ack(1, 1, "");
    assert_eq!(bench.polled(1), ["2"]);
    bench.ack(2, 2, "");
    assert_eq!(bench.polled(2), ["404 No Messages"]);
}

#[test]
fn bytes_are_counted_as_clients_count_them() {
    let size = "s".len() + "$JS.ACK.S.c.1.1.1.0.9".len() + "m1".len();
    let mut bench = Bench::new(List::numbered(10), pull());
    bench.request(0, "a", &format!(r#"{{"batch":5,"max_bytes":{}}}"#, size - 1));
    assert_eq!(
        bench.polled(0),
        [format!(
            "409 Message Size Exceeds MaxBytes | Nats-Pending-Messages: 5 | \
             Nats-Pending-Bytes: {}",
            size - 1
        )]
    );
    bench.request(0, "a", &format!(r#"{{"batch":5,"max_bytes":{size}}}"#));
    assert_eq!(bench.polled(0), ["1"], "exactly full ends without a word");
    bench.request(0, "a", r#"{"batch":1,"max_bytes":1000}"#);
    let left = 1000 - "s".len() - "$JS.ACK.S.c.1.2.2.1000.8".len() - "m2".len();
    assert_eq!(
        bench.polled(0),
        [
            "2".to_owned(),
            format!("409 Batch Completed | Nats-Pending-Messages: 0 | Nats-Pending-Bytes: {left}")
        ]
    );
    assert_eq!(bench.info(0).waiting, 0);
}

#[test]
fn heartbeats_go_to_those_who_wait() {
    let mut bench = Bench::new(List::numbered(1), pull());
    bench.request(0, "a", r#"{"batch":5,"expires":1000000000,"idle_heartbeat":300000000}"#);
    assert_eq!(bench.polled(100 * MS), ["1"], "counts from here");
    assert_eq!(bench.polled(300 * MS), [""; 0]);
    let heartbeat = "100 Idle Heartbeat | Nats-Last-Consumer: 1 | Nats-Last-Stream: 1";
    assert_eq!(bench.polled(400 * MS), [heartbeat]);
    assert_eq!(bench.consumer.next_timeout(at(400 * MS)), Some(700 * MS));
    assert_eq!(bench.polled(700 * MS), [heartbeat]);
    assert_eq!(
        bench.polled(S),
        ["408 Request Timeout | Nats-Pending-Messages: 4 | Nats-Pending-Bytes: 0"]
    );
}

#[test]
fn malformed_and_immoderate_requests_are_refused() {
    let number = |value| std::num::NonZeroU64::new(value);
    let mut bench = Bench::new(
        List::numbered(1),
        pull_with(|settings| {
            settings.batch_max = number(3);
            settings.expires_max_ns = number(1_500_000_000);
            settings.bytes_max = number(1000);
            settings.waiting_max = 1;
        }),
    );
    let mut check = |body: &str, expected: &str| {
        bench.request(0, "a", body);
        assert_eq!(bench.out.brief(), [expected], "{body}");
    };
    check(r#"{"batch":4}"#, "409 Exceeded MaxRequestBatch of 3");
    check(r#"{"batch":1,"expires":2000000000}"#, "409 Exceeded MaxRequestExpires of 1.5s");
    check(r#"{"batch":1,"max_bytes":2000}"#, "409 Exceeded MaxRequestMaxBytes of 1000");
    check(r#"{"min_pending":2}"#, "400 Bad Request - Not a Overflow Priority consumer");
    check(r#"{"id":"x"}"#, "400 Bad Request - Not a Pinned Client Priority consumer");
    check(r#"{"priority":11}"#, "400 Bad Request - Priority must be between 0 and 9");
    check(
        r#"{"batch":1,"expires":1000000000,"idle_heartbeat":900000000}"#,
        "400 Bad Request - heartbeat value too large",
    );
    bench.request(0, "", "");
    assert_eq!(bench.info(0).waiting, 0, "nowhere to answer");
}

#[test]
fn too_many_requests_are_refused_unless_they_would_ask_again_at_once() {
    let mut bench = Bench::new(List::default(), pull_with(|settings| settings.waiting_max = 1));
    bench.request(2 * S, "a", "1");
    bench.request(2 * S, "b", "1");
    assert_eq!(bench.out.brief(), ["409 Exceeded MaxWaiting"]);
    bench.request(2 * S, "b", r#"{"batch":1,"expires":9000000000,"idle_heartbeat":1000000000}"#);
    assert_eq!(bench.out.brief(), [""; 0]);
    bench.out.deaf.insert("a".into());
    bench.request(2 * S, "b", "1");
    assert_eq!(bench.out.brief(), ["409 Exceeded MaxWaiting"], "looked at within the second");
    bench.request(3 * S, "b", "1");
    assert_eq!(bench.out.brief(), [""; 0], "the place of one nobody waits for is free");
    assert_eq!(bench.info(3 * S).waiting, 1);
}

#[test]
fn requests_nobody_listens_for_get_nothing() {
    let mut bench = Bench::new(List::default(), pull());
    bench.request(0, "gone", "5");
    bench.request(0, "here", "5");
    bench.out.deaf.insert("gone".into());
    for _ in 0..3 {
        bench.list.append("s");
    }
    bench.poll(1);
    assert!(bench.out.take().iter().all(|sent| sent.to == "here"));
    assert_eq!(*bench.out.asked.borrow(), 2, "once for each in a poll");
    assert_eq!(bench.info(1).waiting, 1);
}

#[test]
fn a_consumer_that_sends_by_itself_is_not_asked() {
    let mut bench = Bench::new(List::numbered(1), push_with(|_| {}));
    bench.request(0, "a", "1");
    assert_eq!(bench.polled(0), ["409 Consumer is push based"]);
}

#[test]
fn those_who_wait_are_told_when_it_goes_away() {
    for (why, text) in [
        (ClosedFor::Deletion, "409 Consumer Deleted"),
        (
            ClosedFor::Shutdown,
            "409 Server Shutdown | Nats-Pending-Messages: 4 | Nats-Pending-Bytes: 0",
        ),
    ] {
        let mut bench = Bench::new(List::default(), pull());
        bench.request(0, "a", "4");
        bench.consumer.close(why, &mut bench.out);
        assert_eq!(bench.out.brief(), [text]);
        assert_eq!(bench.info(0).waiting, 0);
    }
}

fn grouped(priority: PriorityPolicy) -> ConsumerSettings {
    pull_with(|settings| {
        settings.priority = priority;
        settings.groups = vec!["A".into()];
    })
}

#[test]
fn a_group_has_to_be_named() {
    let mut bench = Bench::new(List::default(), grouped(PriorityPolicy::Overflow));
    let mut check = |body: &str, expected: &str| {
        bench.request(0, "a", body);
        assert_eq!(bench.out.brief(), [expected], "{body}");
    };
    check("{}", "400 Bad Request - Priority Group missing");
    check(r#"{"group":"B"}"#, "400 Bad Request - Invalid Priority Group");
}

#[test]
fn overflow_is_served_when_enough_waits() {
    let mut bench = Bench::new(List::numbered(2), grouped(PriorityPolicy::Overflow));
    bench.request(0, "a", r#"{"batch":5,"group":"A","min_pending":3}"#);
    bench.request(0, "b", r#"{"batch":5,"group":"A","min_ack_pending":2}"#);
    assert_eq!(bench.polled(0), [""; 0]);
    assert!(bench.consumer.why(at(0)).contains("2 pull requests wait"));
    bench.list.append("s");
    bench.poll(1);
    let got: Vec<String> = bench.out.take().into_iter().map(|sent| sent.to).collect();
    assert_eq!(got, ["a"], "one of three brought it below");
    bench.request(2, "c", r#"{"batch":1,"group":"A"}"#);
    bench.poll(2);
    let got: Vec<String> = bench.out.take().into_iter().map(|sent| sent.to).collect();
    assert_eq!(got, ["c", "b"], "who asks for nothing special is served, and then enough wait");
    assert_eq!(bench.info(2).waiting, 2);
}

#[test]
fn lower_numbers_go_first() {
    let mut bench = Bench::new(List::default(), grouped(PriorityPolicy::Prioritized));
    bench.request(0, "two", r#"{"batch":2,"group":"A","priority":2}"#);
    bench.request(0, "one", r#"{"batch":2,"group":"A","priority":1}"#);
    bench.request(0, "one'", r#"{"batch":1,"group":"A","priority":1}"#);
    for _ in 0..4 {
        bench.list.append("s");
    }
    bench.poll(0);
    let got: Vec<String> = bench.out.take().into_iter().map(|sent| sent.to).collect();
    assert_eq!(got, ["one", "one'", "one", "two"]);
}

#[test]
fn one_client_has_it_alone_until_it_is_silent() {
    let timeout_ns = 5 * S;
    let mut bench = Bench::new(List::default(), grouped(PriorityPolicy::Pinned { timeout_ns }));
    bench.request(0, "a", r#"{"batch":1,"group":"A"}"#);
    bench.request(0, "b", r#"{"batch":9,"group":"A"}"#);
    assert_eq!(bench.info(0).group, Some(PinInfo { group: "A".into(), pin: None }));
    bench.list.append("s");
    bench.list.append("s");
    bench.poll(0);
    let sent = bench.out.take();
    assert_eq!(sent.len(), 1, "the second message waits for the client that is pinned");
    let pin = bench.info(0).group.unwrap().pin.unwrap().0;
    assert_eq!(pin.len(), 22);
    assert_eq!(sent[0].headers, format!("NATS/1.0\r\nNats-Pin-Id: {pin}\r\n\r\n"));
    assert_eq!(
        std::mem::take(&mut bench.out.advisories),
        [format!("Pinned {{ group: \"A\", pin_id: {pin:?} }}")]
    );
    bench.request(S, "c", r#"{"batch":1,"group":"A","id":"wrong"}"#);
    assert_eq!(bench.polled(S), ["423 Nats-Pin-Id mismatch"]);
    bench.request(S, "a", &format!(r#"{{"batch":1,"group":"A","id":"{pin}"}}"#));
    assert_eq!(bench.polled(S), ["2"]);
    bench.list.append("s");
    assert_eq!(bench.polled(5 * S), [""; 0], "renewed by the request");
    assert_eq!(bench.consumer.next_timeout(at(5 * S)), Some(6 * S));
    bench.poll(6 * S);
    let sent = bench.out.take();
    assert_eq!((sent.len(), sent[0].to.as_str()), (1, "b"), "now it is its turn");
    assert_eq!(bench.out.advisories[0], "Unpinned { group: \"A\", reason: \"timeout\" }");
    let next = bench.info(6 * S).group.unwrap().pin.unwrap().0;
    assert_ne!(next, pin);

    assert!(!bench.consumer.unpin("B", &mut bench.out));
    assert!(bench.consumer.unpin("A", &mut bench.out));
    bench.request(6 * S, "c", &format!(r#"{{"batch":1,"group":"A","id":"{next}"}}"#));
    bench.list.append("s");
    bench.poll(6 * S);
    let mut got: Vec<String> = bench.out.take().into_iter().map(|sent| sent.to).collect();
    got.sort_unstable();
    assert_eq!(got, ["b", "c"], "with an old pin it is told, and one without gets the message");
}
