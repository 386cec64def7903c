//! Acknowledgements in all their forms, and what happens without them.

use super::*;

fn delivered(settings: ConsumerSettings, count: u64) -> Bench {
    let mut bench = Bench::new(List::numbered(count), settings);
    bench.request(0, "a", "1000");
    assert_eq!(bench.poll(0).messages as u64, count);
    bench.out.take();
    bench
}

#[test]
fn an_acknowledged_message_is_done_with() {
    let mut bench = delivered(pull(), 3);
    bench.ack_as(S, (2, 2), "+ACK", "back");
    assert_eq!((&*bench.out.acknowledged, &*bench.out.replies), (&[2][..], &["back".into()][..]));
    let info = bench.info(S);
    assert_eq!((info.ack_pending, info.ack_floor), (2, Position { consumer: 0, stream: 0 }));
    bench.ack_as(S, (1, 1), "", "");
    assert_eq!(bench.info(S).ack_floor, Position { consumer: 2, stream: 2 });
    bench.ack_as(S, (3, 3), "+OK", "");
    assert_eq!(bench.info(S).ack_floor, Position { consumer: 3, stream: 3 });
    assert_eq!(bench.polled(100 * S), [""; 0]);
    assert_eq!(bench.consumer.next_timeout(at(100 * S)), None);
}

#[test]
fn what_is_not_there_is_answered_as_nats_server_answers() {
    let mut bench = delivered(pull(), 3);
    let mut check = |delivery: (u64, u64), body: &str, answered: bool| {
        bench.ack_as(S, delivery, body, "back");
        assert_eq!(bench.out.replies.len(), usize::from(answered), "{delivery:?} {body}");
        bench.out.replies.clear();
    };
    check((1, 1), "", true);
    check((1, 1), "", true);
    check((4, 4), "", false);
    check((0, 0), "", true);
    check((0, 0), "-NAK", false);
    check((9, 9), "-NAK", true);
    check((9, 9), "+WPI", true);
    check((9, 9), "+TERM", false);
    check((2, 2), "hello", true);
    assert_eq!(bench.out.acknowledged, [1]);
    let wrong = AckSubject::parse(b"$JS.ACK.S.c.1.x.y.0.0").unwrap();
    let Bench { list, out, consumer } = &mut bench;
    consumer.handle_ack(at(S), &wrong, b"", Some(b"back"), list, out);
    assert!(out.replies.is_empty());
}

#[test]
fn one_counts_for_all_before_it() {
    let mut bench = delivered(ConsumerSettings { acknowledge: AckPolicy::All, ..pull() }, 5);
    bench.ack_as(S, (3, 3), "", "back");
    assert_eq!(bench.out.acknowledged, [1, 2, 3]);
    assert_eq!(bench.info(S).ack_floor, Position { consumer: 3, stream: 3 });
    assert_eq!(bench.info(S).ack_pending, 2);
    bench.ack_as(S, (2, 2), "", "back");
    assert_eq!((bench.out.acknowledged.len(), bench.out.replies.len()), (3, 2));
    assert_eq!(bench.polled(30 * S), ["4", "5"]);
    bench.ack_as(31 * S, (5, 7), "", "back");
    assert_eq!(bench.info(31 * S).ack_pending, 0);
    assert_eq!(bench.info(31 * S).ack_floor, Position { consumer: 7, stream: 5 });
}

#[test]
fn without_acknowledgements_delivery_is_all() {
    let mut bench = delivered(ConsumerSettings { acknowledge: AckPolicy::None, ..pull() }, 3);
    let info = bench.info(0);
    assert_eq!((info.ack_pending, info.ack_floor), (0, Position { consumer: 3, stream: 3 }));
    assert_eq!(bench.out.acknowledged, [1, 2, 3], "for streams that keep what is wanted");
    assert!(!bench.consumer.takes_acks());
    bench.ack_as(S, (1, 1), "-NAK", "back");
    assert!(bench.out.replies.is_empty() && bench.out.advisories.is_empty());
    assert_eq!(bench.polled(100 * S), [""; 0]);
}

#[test]
fn silence_means_again_in_the_order_of_the_stream() {
    let mut bench = Bench::new(List::numbered(4), pull());
    bench.request(0, "a", "2");
    bench.poll(0);
    bench.request(S, "a", "2");
    bench.poll(S);
    bench.out.take();
    bench.ack(S, 3, "");
    bench.request(2 * S, "a", "10");
    assert_eq!(bench.polled(29 * S), [""; 0]);
    assert_eq!(bench.consumer.next_timeout(at(29 * S)), Some(30 * S));
    bench.poll(31 * S);
    let again: Vec<[u64; 4]> = bench.out.take().iter().map(Sent::numbers).collect();
    assert_eq!(again, [[2, 1, 5, 0], [2, 2, 6, 0], [2, 4, 7, 0]]);
    let info = bench.info(31 * S);
    assert_eq!((info.redelivered, info.ack_pending), (3, 3));
    assert_eq!(info.delivered, Position { consumer: 7, stream: 4 });
    bench.ack_as(31 * S, (1, 5), "", "");
    assert_eq!(bench.info(31 * S).redelivered, 2);
    assert_eq!(bench.polled(61 * S), ["2", "4"]);
}

#[test]
fn what_is_due_again_goes_before_what_is_new() {
    let settings = ConsumerSettings { ack_pending_max: NonZeroUsize::new(2), ..pull() };
    let mut bench = Bench::new(List::numbered(3), settings);
    bench.request(0, "a", "100");
    assert_eq!(bench.polled(0), ["1", "2"], "no more may be on their way");
    assert!(bench.consumer.why(at(0)).contains("max_ack_pending is 2"));
    assert_eq!(bench.polled(30 * S), ["1", "2"], "but these are already");
    bench.ack(31 * S, 2, "");
    assert_eq!(bench.polled(31 * S), ["3"]);
}

#[test]
fn a_refused_message_comes_again_at_once_or_later() {
    let mut bench = delivered(pull(), 3);
    bench.ack(S, 3, "-NAK");
    bench.ack(S, 1, "-NAK");
    bench.ack(S, 3, "-NAK");
    bench.ack(S, 2, r#"-NAK {"delay":5000000000}"#);
    assert_eq!(bench.polled(S), ["3", "1"], "in the order of refusal");
    assert_eq!(bench.out.advisories.len(), 4);
    assert_eq!(
        bench.out.advisories[0],
        "Naked { consumer_sequence: 3, stream_sequence: 3, deliveries: 1 }"
    );
    assert_eq!(bench.consumer.next_timeout(at(S)), Some(6 * S));
    assert_eq!(bench.polled(6 * S), ["2"]);
    bench.ack_as(6 * S, (2, 6), "-NAK 1h", "");
    assert_eq!(bench.polled(40 * S), ["1", "3"], "the pause is longer than the wait of others");
    assert_eq!(bench.polled(3606 * S - 1).len(), 2);
    assert!(bench.polled(3606 * S).contains(&"2".to_owned()));
}

#[test]
fn a_refusal_that_does_not_fit_changes_nothing() {
    let mut bench = delivered(pull(), 3);
    bench.ack(S, 1, "");
    for delivery in [(1, 1), (2, 9), (9, 2), (2, 0)] {
        bench.ack_as(S, delivery, "-NAK", "");
    }
    assert_eq!(bench.polled(S), [""; 0]);
    assert!(bench.out.advisories.is_empty());
}

#[test]
fn work_in_progress_has_more_time() {
    let mut bench = delivered(pull(), 2);
    bench.ack(20 * S, 1, "+WPI");
    assert_eq!(bench.polled(30 * S), ["2"]);
    assert_eq!(bench.polled(50 * S), ["1"]);
    bench.consumer.close(ClosedFor::Deletion, &mut bench.out);
    bench.out.take();
    bench.poll(80 * S);
    bench.ack_as(80 * S, (2, 3), "+WPI", "back");
    bench.request(80 * S, "a", "10");
    assert_eq!(bench.polled(80 * S), ["1"], "2 was due and is worked on still");
    assert_eq!(bench.polled(110 * S), ["1", "2"]);
}

#[test]
fn a_terminated_message_is_done_with_and_said_so() {
    let mut bench = delivered(pull(), 2);
    bench.ack_as(S, (1, 1), "+TERM it is broken", "back");
    assert_eq!(bench.out.advisories, ["terminated 1 1 1 it is broken"]);
    assert_eq!((&*bench.out.acknowledged, bench.out.replies.len()), (&[1][..], 1));
    assert_eq!(bench.polled(30 * S), ["2"]);
}

#[test]
fn one_answer_is_also_the_next_question() {
    let mut bench = Bench::new(List::numbered(3), pull());
    bench.request(0, "a", "1");
    assert_eq!(bench.polled(0), ["1"]);
    bench.ack_as(S, (1, 1), "+NXT {\"batch\":2}", "a");
    assert_eq!(bench.polled(S), ["2", "3"]);
    assert_eq!(bench.info(S).ack_pending, 2);
    bench.ack_as(S, (2, 2), "+NXT {\"no_wait\":true}", "a");
    assert_eq!(bench.polled(S), ["404 No Messages"]);
    bench.ack_as(S, (3, 3), "+NXT", "");
    assert_eq!((bench.info(S).ack_pending, bench.info(S).waiting), (0, 0));
    assert!(bench.out.replies.is_empty());
}

#[test]
fn a_message_is_delivered_so_often_and_no_more() {
    let settings = ConsumerSettings { deliveries_max: NonZeroU32::new(2), ..pull() };
    let mut bench = delivered(settings, 2);
    assert_eq!(bench.polled(30 * S), ["1", "2"]);
    bench.ack_as(31 * S, (2, 4), "-NAK", "");
    assert_eq!(
        bench.out.advisories.pop().unwrap(),
        "MaxDeliveries { stream_sequence: 2, deliveries: 2 }"
    );
    assert_eq!(bench.info(31 * S).ack_pending, 1, "a refusal of the last one is the end");
    assert_eq!(bench.polled(60 * S), [""; 0]);
    assert_eq!(
        bench.out.advisories.pop().unwrap(),
        "MaxDeliveries { stream_sequence: 1, deliveries: 2 }"
    );
    let info = bench.info(60 * S);
    assert_eq!((info.ack_pending, info.redelivered), (0, 2));
    assert_eq!(info.ack_floor, Position { consumer: 4, stream: 2 });
    assert!(bench.consumer.wants(1, b"s"), "it stays until somebody says it is done");
    assert!(bench.out.acknowledged.is_empty());
    bench.ack_as(61 * S, (1, 3), "", "back");
    assert_eq!((&*bench.out.acknowledged, bench.out.replies.len()), (&[1][..], 1));
    assert!(!bench.consumer.wants(1, b"s") && bench.consumer.wants(2, b"s"));
    bench.list.remove(S, 2, &mut bench.consumer, &mut bench.out);
    assert_eq!(bench.info(61 * S).redelivered, 0);
}

#[test]
fn what_was_moved_elsewhere_is_done_with() {
    let settings = ConsumerSettings { deliveries_max: NonZeroU32::new(1), ..pull() };
    let mut bench = delivered(settings, 2);
    bench.ack(S, 1, "-NAK");
    let Bench { out, consumer, .. } = &mut bench;
    assert!(consumer.dismiss(at(S), 1, out) && consumer.dismiss(at(S), 2, out));
    assert!(!consumer.dismiss(at(S), 2, out) && !consumer.dismiss(at(S), 9, out));
    assert_eq!(out.acknowledged, [1, 2]);
    assert_eq!(bench.info(S).ack_floor, Position { consumer: 2, stream: 2 });
}

#[test]
fn with_a_single_delivery_nothing_is_reported_as_delivered_again() {
    let settings = ConsumerSettings { deliveries_max: NonZeroU32::new(1), ..pull() };
    let mut bench = delivered(settings, 1);
    bench.poll(30 * S);
    let info = bench.info(30 * S);
    assert_eq!((info.redelivered, info.ack_pending), (0, 0));
    assert_eq!(bench.out.advisories, ["MaxDeliveries { stream_sequence: 1, deliveries: 1 }"]);
}

#[test]
fn pauses_grow_with_each_delivery() {
    let backoff_ns = vec![S, 5 * S, 2 * S];
    let mut bench = delivered(ConsumerSettings { backoff_ns, ..pull() }, 1);
    for due in [1, 6, 8, 10, 12] {
        assert_eq!(bench.polled(due * S - 1), [""; 0]);
        assert_eq!(bench.consumer.next_timeout(at(due * S - 1)), Some(due * S));
        assert_eq!(bench.polled(due * S), ["1"]);
    }
    bench.list.append("s");
    assert_eq!(bench.polled(13 * S), ["2"]);
    assert_eq!(bench.polled(14 * S), ["1", "2"], "each by its own count");
}

#[test]
fn more_or_less_time_holds_for_what_is_on_its_way() {
    let mut bench = delivered(pull(), 1);
    let Bench { list, out, consumer } = &mut bench;
    consumer.update(ConsumerSettings { ack_wait_ns: 5 * S, ..pull() }, at(S), list, out);
    assert_eq!(bench.polled(5 * S - 1), [""; 0]);
    assert_eq!(bench.polled(5 * S), ["1"]);
    let Bench { list, out, consumer } = &mut bench;
    consumer.update(ConsumerSettings { ack_wait_ns: 100 * S, ..pull() }, at(6 * S), list, out);
    assert_eq!(bench.polled(105 * S - 1), [""; 0]);
    assert_eq!(bench.polled(105 * S), ["1"]);
}

#[test]
fn a_share_of_acknowledgements_makes_a_metric() {
    let mut bench = delivered(ConsumerSettings { sample_percent: 100, ..pull() }, 3);
    bench.ack_as(3 * S, (2, 2), "", "");
    assert_eq!(
        bench.out.advisories,
        ["Acknowledged { consumer_sequence: 2, stream_sequence: 2, ack_time_ns: 3000000000, \
          deliveries: 1 }"]
    );
    bench.ack_as(3 * S, (2, 2), "", "");
    bench.ack_as(3 * S, (1, 1), "+TERM", "");
    assert_eq!(bench.out.advisories.len(), 2, "only what was waiting, and was processed");

    let mut bench = Bench::new(
        List::numbered(1000),
        ConsumerSettings { sample_percent: 30, ack_pending_max: None, ..pull() },
    );
    bench.request(0, "a", "1000");
    bench.poll(0);
    for sequence in 1..=1000 {
        bench.ack(0, sequence, "");
    }
    assert!((250..400).contains(&bench.out.advisories.len()));
}

#[test]
fn a_message_that_leaves_the_stream_is_not_waited_for() {
    let settings = ConsumerSettings { ack_pending_max: NonZeroUsize::new(2), ..pull() };
    let mut bench = Bench::new(List::numbered(4), settings);
    bench.request(0, "a", "100");
    assert_eq!(bench.polled(0), ["1", "2"]);
    bench.list.remove(S, 1, &mut bench.consumer, &mut bench.out);
    assert_eq!(
        std::mem::take(&mut bench.out.advisories),
        ["terminated 1 1 1 Unacknowledged message was deleted"]
    );
    bench.list.remove(S, 3, &mut bench.consumer, &mut bench.out);
    assert!(bench.out.advisories.is_empty());
    bench.poll(1);
    let sent = bench.out.take();
    assert_eq!((sent.len(), sent[0].numbers()), (1, [1, 4, 3, 0]));
    bench.poll(31 * S);
    assert_eq!(bench.info(31 * S).redelivered, 2);
    bench.list.remove(S, 2, &mut bench.consumer, &mut bench.out);
    assert_eq!(bench.info(31 * S).redelivered, 1);
}

#[test]
fn what_cannot_be_read_holds_up_nobody() {
    let mut bench = Bench::new(List::numbered(4), pull());
    bench.list.damaged = [1, 3].into();
    bench.request(0, "a", "100");
    bench.poll(0);
    let sent: Vec<[u64; 4]> = bench.out.take().iter().map(Sent::numbers).collect();
    assert_eq!(sent, [[1, 2, 1, 2], [1, 4, 2, 0]]);
    assert_eq!(bench.out.advisories.len(), 2);
    bench.list.damaged.insert(4);
    bench.out.advisories.clear();
    assert_eq!(bench.polled(30 * S), ["2"]);
    assert_eq!(bench.out.advisories.len(), 2, "given up, and why");
    assert_eq!(bench.info(30 * S).ack_pending, 1);
}
