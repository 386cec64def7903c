//! Where delivery starts, what is still to come, and starting again.

use super::*;

/// Everything a new consumer delivers, and what it says is still to come after each message.
fn all(list: List, settings: ConsumerSettings) -> Vec<(u64, u64)> {
    let mut bench = Bench::new(list, ConsumerSettings { ack_pending_max: None, ..settings });
    bench.request(0, "a", "1000");
    bench.poll(0);
    bench.out.take().iter().map(|sent| (sent.numbers()[1], sent.numbers()[3])).collect()
}

fn started(deliver: DeliverPolicy) -> ConsumerSettings {
    ConsumerSettings { deliver, ..pull() }
}

#[test]
fn every_policy_starts_where_it_says() {
    let list = || List::of(&["a", "b", "a", "c", "b"]);
    assert_eq!(all(list(), started(DeliverPolicy::All)), [(1, 4), (2, 3), (3, 2), (4, 1), (5, 0)]);
    assert_eq!(all(list(), started(DeliverPolicy::Last)), [(5, 0)]);
    assert_eq!(all(list(), started(DeliverPolicy::New)), []);
    assert_eq!(all(list(), started(DeliverPolicy::StartSequence(4))), [(4, 1), (5, 0)]);
    assert_eq!(all(list(), started(DeliverPolicy::StartSequence(9))), []);
    assert_eq!(all(list(), started(DeliverPolicy::StartTime(2_001))), [(4, 1), (5, 0)]);
    assert_eq!(all(list(), started(DeliverPolicy::StartTime(9_000_000))), []);
    assert_eq!(all(list(), started(DeliverPolicy::LastPerSubject)), [(3, 2), (4, 1), (5, 0)]);
}

#[test]
fn filters_count_too() {
    let list = || List::of(&["a.1", "b.1", "a.2", "c.1", "b.2", "a.1"]);
    let filtered = |deliver, filter: &[&str]| ConsumerSettings {
        filters: filters(filter),
        ..started(deliver)
    };
    assert_eq!(all(list(), filtered(DeliverPolicy::All, &["b.*"])), [(2, 1), (5, 0)]);
    assert_eq!(
        all(list(), filtered(DeliverPolicy::All, &["b.2", "a.>"])),
        [(1, 3), (3, 2), (5, 1), (6, 0)]
    );
    assert_eq!(all(list(), filtered(DeliverPolicy::Last, &["b.*", "a.2"])), [(5, 0)]);
    assert_eq!(all(list(), filtered(DeliverPolicy::Last, &["x"])), []);
    assert_eq!(all(list(), filtered(DeliverPolicy::LastPerSubject, &["a.*"])), [(3, 1), (6, 0)]);
    assert_eq!(all(list(), filtered(DeliverPolicy::LastPerSubject, &["x.*"])), []);
}

#[test]
fn an_empty_stream_starts_with_what_comes() {
    for deliver in [
        DeliverPolicy::All,
        DeliverPolicy::Last,
        DeliverPolicy::New,
        DeliverPolicy::StartTime(0),
        DeliverPolicy::LastPerSubject,
    ] {
        let mut bench = Bench::new(List::default(), started(deliver));
        assert_eq!(bench.info(0).delivered, Position::default());
        bench.request(0, "a", "10");
        bench.list.append("s");
        assert_eq!(bench.polled(0), ["1"], "{deliver:?}");
    }
    let mut list = List::numbered(3);
    list.stored.clear();
    let mut bench = Bench::new(list, pull());
    assert_eq!(bench.info(0).delivered, Position { consumer: 0, stream: 3 });
    bench.list.append("s");
    bench.request(0, "a", "10");
    assert_eq!(bench.polled(0), ["4"]);
}

#[test]
fn a_future_start_is_kept() {
    let mut bench = Bench::new(List::numbered(1), started(DeliverPolicy::StartSequence(4)));
    bench.request(0, "a", "10");
    for _ in 0..5 {
        bench.list.append("s");
    }
    assert_eq!(bench.polled(0), ["4", "5", "6"]);
}

#[test]
fn the_last_of_each_subject_and_then_everything() {
    let mut bench = Bench::new(
        List::of(&["a", "b", "c", "a"]),
        ConsumerSettings { acknowledge: AckPolicy::None, ..started(DeliverPolicy::LastPerSubject) },
    );
    assert_eq!(bench.info(0).pending, 3);
    bench.list.append("b");
    bench.list.append("b");
    assert_eq!(bench.info(0).pending, 5);
    bench.request(0, "a", "1");
    assert_eq!(bench.polled(0), ["2"]);
    assert!(!bench.consumer.wants(1, b"a") && bench.consumer.wants(3, b"c"));
    bench.list.remove(0, 3, &mut bench.consumer, &mut bench.out);
    bench.list.remove(0, 1, &mut bench.consumer, &mut bench.out);
    assert_eq!(bench.info(0).pending, 3, "4, 5 and 6");
    bench.consumer = bench.restarted(1);
    assert_eq!(bench.info(1).pending, 3, "also after a restart");
    bench.request(1, "a", "9");
    assert_eq!(bench.polled(1), ["4", "5", "6"]);
    assert_eq!(bench.info(1).pending, 0);
}

#[test]
fn what_is_to_come_is_exact_whatever_comes_and_goes() {
    let mut bench = Bench::new(
        List::of(&["a", "b", "a", "b"]),
        ConsumerSettings { filters: filters(&["a"]), ..pull() },
    );
    assert_eq!(bench.info(0).pending, 2);
    bench.list.append("a");
    bench.poll(0);
    assert!(!bench.consumer.handle_appended(5, b"a"), "it waits for a request");
    bench.list.append("b");
    bench.consumer.handle_appended(6, b"b");
    assert_eq!(bench.info(0).pending, 3, "told");
    bench.list.append("a");
    bench.list.append("a");
    bench.list.stored.remove(&8);
    bench.consumer.handle_removed(at(0), 8, b"a", &mut bench.out);
    assert_eq!(bench.info(0).pending, 4, "not told, and gone before it was counted");
    bench.list.remove(0, 1, &mut bench.consumer, &mut bench.out);
    bench.list.remove(0, 2, &mut bench.consumer, &mut bench.out);
    assert_eq!(bench.info(0).pending, 3);
    bench.request(0, "a", "2");
    bench.poll(0);
    let sent: Vec<[u64; 4]> = bench.out.take().iter().map(Sent::numbers).collect();
    assert_eq!(sent, [[1, 3, 1, 2], [1, 5, 2, 1]]);
    bench.list.stored.retain(|sequence, _| *sequence > 6);
    bench.consumer.handle_purged(at(0), &bench.list);
    assert_eq!((bench.info(0).pending, bench.info(0).ack_pending), (1, 0));
    assert_eq!(bench.info(0).ack_floor, Position { consumer: 2, stream: 6 });
    bench.list.stored.clear();
    bench.consumer.handle_purged(at(0), &bench.list);
    assert_eq!((bench.info(0).pending, bench.info(0).delivered.stream), (0, 8));
}

#[test]
fn other_filters_count_anew() {
    let mut bench = Bench::new(List::of(&["a", "b", "a", "b", "c"]), pull());
    bench.request(0, "a", "1");
    assert_eq!(bench.polled(0), ["1"]);
    let Bench { list, out, consumer } = &mut bench;
    consumer.update(ConsumerSettings { filters: filters(&["b"]), ..pull() }, at(1), list, out);
    assert_eq!(bench.info(1).pending, 2);
    bench.request(1, "a", "9");
    assert_eq!(bench.polled(1), ["2", "4"]);
    let Bench { list, out, consumer } = &mut bench;
    consumer.update(ConsumerSettings { filters: filters(&["b", "c"]), ..pull() }, at(1), list, out);
    assert_eq!(bench.polled(2), ["5"], "nothing was passed over that is wanted now");
}

#[test]
fn wants_is_what_interest_retention_asks() {
    let settings = ConsumerSettings { filters: filters(&["a"]), ..pull() };
    let mut bench = Bench::new(List::of(&["a", "b", "a"]), settings);
    assert!(bench.consumer.wants(1, b"a") && !bench.consumer.wants(2, b"b"));
    assert!(bench.consumer.wants(4, b"a"), "what is still to come");
    bench.request(0, "a", "1");
    bench.poll(0);
    assert!(bench.consumer.wants(1, b"a"));
    bench.ack(0, 1, "");
    assert!(!bench.consumer.wants(1, b"a") && bench.consumer.wants(3, b"a"));
}

#[test]
fn it_starts_again_where_it_is_told() {
    let mut bench = Bench::new(List::numbered(5), pull());
    bench.request(0, "a", "4");
    bench.poll(0);
    bench.ack(0, 1, "");
    bench.out.take();
    assert_eq!(bench.consumer.reset(0, &bench.list), Ok(2), "behind what is acknowledged");
    let info = bench.info(0);
    assert_eq!((info.pending, info.ack_pending, info.redelivered), (4, 0, 0));
    assert_eq!(info.delivered, Position { consumer: 0, stream: 1 });
    bench.request(1, "a", "1");
    bench.poll(1);
    assert_eq!(bench.out.take()[0].numbers(), [1, 2, 1, 3]);
    assert_eq!(bench.consumer.reset(5, &bench.list), Ok(5));
    bench.request(1, "a", "10");
    assert_eq!(bench.polled(1), ["5"]);

    let reset = |deliver, sequence| {
        let list = List::numbered(5);
        Bench::new(list.clone(), started(deliver)).consumer.reset(sequence, &list)
    };
    assert_eq!(reset(DeliverPolicy::New, 3), Err(ResetError::NotAllowed));
    assert_eq!(reset(DeliverPolicy::New, 0), Ok(6));
    assert_eq!(reset(DeliverPolicy::StartSequence(3), 2), Err(ResetError::BelowStartSequence));
    assert_eq!(reset(DeliverPolicy::StartSequence(3), 3), Ok(3));
    assert_eq!(reset(DeliverPolicy::StartTime(2000), 2), Err(ResetError::BelowStartTime));
    assert_eq!(reset(DeliverPolicy::StartTime(2000), 3), Ok(3));
}
