//! Sending without being asked: interest, heartbeats, flow control, speed.

use std::num::NonZeroU64;

use super::*;

fn number(value: u64) -> NonZeroU64 {
    NonZeroU64::new(value).unwrap()
}

#[test]
fn it_sends_while_somebody_listens() {
    let mut bench = Bench::new(List::numbered(2), push_with(|_| {}));
    assert_eq!(bench.polled(0), [""; 0]);
    assert!(bench.consumer.why(at(0)).contains("deliver subject deliver"));
    bench.consumer.handle_interest(at(0), true);
    bench.poll(0);
    let sent = bench.out.take();
    assert_eq!((sent.len(), sent[0].to.as_str(), sent[0].subject.as_str()), (2, "deliver", "s"));
    assert!(bench.info(0).is_push_bound);
    bench.consumer.handle_interest(at(1), false);
    bench.list.append("s");
    assert_eq!(bench.polled(1), [""; 0]);
    bench.consumer.handle_interest(at(2), true);
    assert_eq!(bench.polled(2), ["3"]);
}

#[test]
fn silence_is_broken_by_heartbeats() {
    let settings = push_with(|push| push.heartbeat_ns = Some(number(S)));
    let mut bench = Bench::new(List::numbered(1), settings);
    assert_eq!(bench.polled(S), [""; 0], "nobody listens");
    bench.consumer.handle_interest(at(S), true);
    assert_eq!(bench.polled(S + S / 2), ["1"]);
    assert_eq!(bench.consumer.next_timeout(at(S)), Some(2 * S + S / 2));
    assert_eq!(bench.polled(2 * S), [""; 0], "counts from the message");
    assert_eq!(
        bench.polled(2 * S + S / 2),
        ["100 Idle Heartbeat | Nats-Last-Consumer: 1 | Nats-Last-Stream: 1"]
    );
}

#[test]
fn it_stops_when_the_receiver_does_not_answer() {
    let settings = ConsumerSettings {
        acknowledge: AckPolicy::None,
        ..push_with(|push| {
            push.flow_control = true;
            push.heartbeat_ns = Some(number(S));
        })
    };
    let mut list = List::numbered(100);
    for stored in list.stored.values_mut() {
        stored.payload = vec![b'x'; 100 * 1024];
    }
    let mut bench = Bench::new(list, settings);
    bench.consumer.handle_interest(at(0), true);
    let budget = Budget { messages: 1000, bytes: usize::MAX };
    let Bench { list, out, consumer } = &mut bench;
    consumer.poll(at(0), list, out, budget);
    let sent = bench.out.take();
    let question = sent.iter().find(|sent| sent.reply.starts_with("$JS.FC.S.c.")).unwrap();
    assert_eq!((question.to.as_str(), question.status()), ("deliver", "100 FlowControl Request"));
    assert_eq!(sent.iter().filter(|sent| sent.reply.starts_with("$JS.ACK")).count(), 21);
    assert!(bench.consumer.why(at(0)).contains(&question.reply));
    let heartbeat = &bench.polled(S)[0];
    assert!(heartbeat.ends_with(&format!("Nats-Consumer-Stalled: {}", question.reply)));
    let Bench { list, out, consumer } = &mut bench;
    consumer.handle_flow_control_reply(at(S), b"$JS.FC.S.c.else", b"", out);
    assert_eq!(consumer.poll(at(S), list, out, budget).messages, 0);
    consumer.handle_flow_control_reply(at(S), question.reply.as_bytes(), b"", out);
    assert!(consumer.poll(at(S), list, out, budget).messages > 21, "the window has doubled");
}

#[test]
fn answers_can_be_acknowledgements() {
    let settings = ConsumerSettings {
        acknowledge: AckPolicy::FlowControl,
        ack_wait_ns: 0,
        ack_pending_max: NonZeroUsize::new(3),
        ..push_with(|push| {
            push.flow_control = true;
            push.heartbeat_ns = Some(number(S));
        })
    };
    let mut bench = Bench::new(List::numbered(4), settings);
    bench.consumer.handle_interest(at(0), true);
    bench.poll(0);
    let sent = bench.out.take();
    assert_eq!(sent.len(), 4, "three messages, and the question as no more may be on their way");
    let question = sent[3].reply.clone();
    let Bench { out, consumer, .. } = &mut bench;
    let headers = b"NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n";
    consumer.handle_flow_control_reply(at(1), question.as_bytes(), headers, out);
    assert_eq!(std::mem::take(&mut out.acknowledged), [1, 2]);
    assert_eq!(bench.info(1).ack_floor, Position { consumer: 2, stream: 2 });
    assert_eq!(bench.polled(1), ["4"]);
    assert_eq!(bench.polled(90 * S).len(), 2, "a heartbeat, and the question again");
    assert_eq!(bench.info(90 * S).ack_pending, 2, "there is no time to acknowledge");
    let Bench { out, consumer, .. } = &mut bench;
    let forged =
        b"NATS/1.0\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 18446744073709551615\r\n\r\n";
    let question = consumer_question(consumer);
    consumer.handle_flow_control_reply(at(90 * S), question.as_bytes(), forged, out);
    assert_eq!(bench.info(90 * S).ack_floor, Position { consumer: 4, stream: 4 });
    bench.consumer = bench.restarted(90 * S);
    assert_eq!(bench.consumer.next_timeout(at(90 * S)), None);
}

fn consumer_question(consumer: &Consumer) -> String {
    match &consumer.side {
        Side::Push(push) => push.flow.as_ref().unwrap().awaited().unwrap().to_owned(),
        Side::Pull(_) => panic!("it sends by itself"),
    }
}

#[test]
fn bytes_go_no_faster_than_they_may() {
    let settings = push_with(|push| {
        let rate = RateSettings { bits_per_second: number(8 * 100), burst_bytes: number(60) };
        push.rate = Some(rate);
    });
    let mut bench = Bench::new(List::numbered(3), settings);
    bench.consumer.handle_interest(at(0), true);
    let size = "s".len() + "$JS.ACK.S.c.1.1.1.0.2".len() + "m1".len();
    assert_eq!(bench.polled(0), ["1", "2"]);
    let due = bench.consumer.next_timeout(at(0)).unwrap();
    assert_eq!(due, (3 * size as u64 + 6 - 60) * S / 100, "later subjects are longer");
    assert_eq!(bench.polled(due - 1), [""; 0]);
    assert_eq!(bench.polled(due), ["3"]);
}

#[test]
fn what_was_is_replayed_with_its_pauses() {
    let mut list = List::default();
    for timestamp in [0, 2 * S, 2 * S, 5 * S] {
        list.append_at("s", timestamp.cast_signed());
    }
    let settings = ConsumerSettings { replay: ReplayPolicy::Original, ..push_with(|_| {}) };
    let mut bench = Bench::new(list, settings);
    bench.consumer.handle_interest(at(0), true);
    assert_eq!(bench.polled(10 * S), ["1"]);
    assert_eq!(bench.consumer.next_timeout(at(10 * S)), Some(12 * S));
    assert!(bench.consumer.why(at(10 * S)).contains("in 2.000 s"));
    assert_eq!(bench.polled(12 * S), ["2", "3"]);
    assert_eq!(bench.polled(15 * S), ["4"]);
    bench.list.append_at("s", 1000 * S.cast_signed());
    assert_eq!(bench.polled(16 * S), ["5"], "what is new comes at once");
}

#[test]
fn only_headers_and_a_size() {
    let mut list = List::numbered(2);
    list.stored.get_mut(&2).unwrap().headers = b"NATS/1.0\r\nA: b\r\n\r\n".to_vec();
    let settings = ConsumerSettings { headers_only: true, ..push_with(|_| {}) };
    let mut bench = Bench::new(list, settings);
    bench.consumer.handle_interest(at(0), true);
    bench.poll(0);
    let sent = bench.out.take();
    assert_eq!(
        (sent[0].headers.as_str(), sent[0].payload.as_str()),
        ("NATS/1.0\r\nNats-Msg-Size: 2\r\n\r\n", "")
    );
    assert_eq!(sent[1].headers, "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 2\r\n\r\n");
}

#[test]
fn another_deliver_subject_gets_everything_that_is_on_its_way() {
    let mut bench = Bench::new(List::numbered(3), push_with(|_| {}));
    bench.consumer.handle_interest(at(0), true);
    bench.poll(0);
    bench.out.take();
    bench.ack(0, 2, "");
    let settings = push_with(|push| push.deliver_subject = b"other".as_slice().into());
    let Bench { list, out, consumer } = &mut bench;
    consumer.update(settings, at(1), list, out);
    assert_eq!(bench.polled(1), [""; 0], "whether somebody listens there is not known yet");
    bench.consumer.handle_interest(at(2), true);
    bench.poll(2);
    let sent = bench.out.take();
    let got: Vec<(&str, u64)> =
        sent.iter().map(|sent| (sent.to.as_str(), sent.numbers()[1])).collect();
    assert_eq!(got, [("other", 1), ("other", 3)]);
}
