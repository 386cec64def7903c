//! What survives a restart, and bytes that were not written by a consumer.

use proptest::prelude::*;

use super::*;

/// Takes changes the way an owner does.
#[derive(Default)]
struct Keeper {
    state: Option<State>,
    snapshots: usize,
    changes: usize,
}

impl Keeper {
    fn keep(&mut self, consumer: &mut Consumer, now: u64) {
        let mut bytes = Vec::new();
        if !consumer.take_change(at(now), &mut bytes) {
            assert!(bytes.is_empty());
            return;
        }
        match &mut self.state {
            None => {
                self.state = Some(State::decode(&bytes).unwrap());
                self.snapshots += 1;
            }
            Some(state) => {
                state.apply(&bytes).unwrap();
                self.changes += 1;
            }
        }
        assert!(!consumer.has_change());
    }

    fn restored(&self, bench: &Bench, now: u64) -> Consumer {
        let state = self.state.clone().unwrap();
        let settings = bench.consumer.settings().clone();
        let identity = bench.consumer.identity().clone();
        Consumer::restore(identity, settings, state, at(now), &bench.list, 9)
    }
}

#[test]
fn it_goes_on_where_it_was() {
    let mut bench = Bench::new(
        List::numbered(10),
        ConsumerSettings { deliveries_max: NonZeroU32::new(3), ..pull() },
    );
    let mut keeper = Keeper::default();
    keeper.keep(&mut bench.consumer, 0);
    bench.request(0, "a", "4");
    bench.poll(0);
    keeper.keep(&mut bench.consumer, 0);
    bench.ack(S, 2, "");
    bench.ack(S, 3, "");
    bench.ack(S, 1, "-NAK 10s");
    keeper.keep(&mut bench.consumer, S);
    bench.request(11 * S, "a", "1");
    bench.poll(11 * S);
    bench.out.take();
    keeper.keep(&mut bench.consumer, 11 * S);
    assert_eq!((keeper.snapshots, keeper.changes), (1, 3));

    let before = bench.info(12 * S);
    bench.consumer = keeper.restored(&bench, 12 * S);
    let after = bench.info(12 * S);
    assert_eq!(after, Info { waiting: before.waiting, ..before });
    assert_eq!((after.ack_pending, after.redelivered, after.pending), (2, 1, 6));
    assert!(!bench.consumer.has_change());
    bench.request(12 * S, "a", "1");
    bench.poll(12 * S);
    assert_eq!(bench.out.take()[0].numbers(), [1, 5, 6, 5]);
    bench.request(12 * S, "a", "3");
    bench.poll(29 * S);
    bench.out.take();
    bench.request(30 * S, "a", "3");
    assert_eq!(bench.polled(30 * S), ["4", "9", "10"], "the rest of its 30 s");
    bench.request(41 * S, "a", "1");
    assert_eq!(bench.polled(41 * S), ["1"]);
    bench.poll(71 * S);
    assert_eq!(
        bench.out.advisories.last().unwrap(),
        "MaxDeliveries { stream_sequence: 1, deliveries: 3 }"
    );
}

#[test]
fn what_left_the_stream_meanwhile_is_not_waited_for() {
    let mut bench = Bench::new(List::numbered(6), pull());
    bench.request(0, "a", "4");
    bench.poll(0);
    bench.list.stored.retain(|sequence, _| *sequence > 2);
    let mut again = bench.restarted(S);
    std::mem::swap(&mut bench.consumer, &mut again);
    let info = bench.info(S);
    assert_eq!((info.ack_pending, info.pending), (2, 2));
    assert_eq!(info.ack_floor, Position { consumer: 2, stream: 2 });
    bench.list.stored.clear();
    bench.consumer = bench.restarted(S);
    let info = bench.info(S);
    assert_eq!((info.ack_pending, info.pending, info.delivered.stream), (0, 0, 4));
}

#[test]
fn a_clock_that_went_back_delays_nothing() {
    let mut bench = Bench::new(List::numbered(1), pull());
    bench.request(100 * S, "a", "1");
    bench.poll(100 * S);
    let mut bytes = Vec::new();
    bench.consumer.snapshot(at(100 * S), &mut bytes);
    let state = State::decode(&bytes).unwrap();
    let earlier = Now { unix_ns: at(0).unix_ns - 1_000_000, monotonic_ns: 7 };
    let identity = bench.consumer.identity().clone();
    let mut again = Consumer::restore(identity, pull(), state, earlier, &bench.list, 1);
    assert_eq!(again.next_timeout(earlier), Some(7 + 30 * S));
}

#[test]
fn without_acknowledgements_the_place_is_kept() {
    let settings = ConsumerSettings { acknowledge: AckPolicy::None, ..pull() };
    let mut bench = Bench::new(List::numbered(9), settings);
    let mut keeper = Keeper::default();
    keeper.keep(&mut bench.consumer, 0);
    bench.request(0, "a", "5");
    bench.poll(0);
    keeper.keep(&mut bench.consumer, 0);
    assert_eq!(keeper.changes, 1);
    bench.consumer = keeper.restored(&bench, S);
    bench.out.take();
    bench.request(S, "a", "1");
    bench.poll(S);
    assert_eq!(bench.out.take()[0].numbers(), [1, 6, 6, 3]);
}

#[test]
fn what_no_change_describes_is_a_snapshot() {
    let mut bench = Bench::new(List::numbered(9), pull());
    let mut keeper = Keeper::default();
    keeper.keep(&mut bench.consumer, 0);
    bench.request(0, "a", "5");
    bench.poll(0);
    keeper.keep(&mut bench.consumer, 0);
    bench.consumer.reset(2, &bench.list).unwrap();
    keeper.keep(&mut bench.consumer, 0);
    bench.consumer = keeper.restored(&bench, 0);
    assert_eq!((bench.info(0).pending, bench.info(0).delivered.consumer), (8, 0));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut bench = Bench::new(List::numbered(9), pull());
    bench.request(0, "a", "5");
    bench.poll(0);
    let mut snapshot = Vec::new();
    bench.consumer.snapshot(at(0), &mut snapshot);
    assert_eq!(
        State::decode(&[2, 0]).unwrap_err().to_string(),
        "the consumer's state has format 2, this server reads 1"
    );
    for length in 0..snapshot.len() {
        assert!(State::decode(&snapshot[..length]).is_err(), "cut at {length}");
    }
    let mut state = State::decode(&snapshot).unwrap();
    bench.ack(1, 1, "");
    let mut change = Vec::new();
    assert!(bench.consumer.take_change(at(1), &mut change));
    assert!(State::decode(&change).is_err(), "a change is no snapshot");
    assert!(state.apply(&[1, 1, 99]).is_err());
    assert!(state.apply(&[1, 1, 3, 2]).is_err(), "cut");
    assert!(state.apply(&[1, 1, 1, 2, 1, 0]).is_err(), "delivered before");
    state.apply(&change).unwrap();
    state.apply(&change).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused_or_make_sense(
        mut bytes in prop::collection::vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..60),
        has_start in any::<bool>(),
    ) {
        if has_start {
            bytes.splice(0..0, [1, 0]);
        }
        if let Ok(state) = State::decode(&bytes) {
            let list = List::numbered(20);
            let identity = Identity { stream: "S".into(), consumer: "c".into() };
            let mut consumer = Consumer::restore(identity, pull(), state, at(S), &list, 1);
            let out = &mut Out::default();
            consumer.handle_request(at(S), b"a", b"100", &list, out);
            consumer.poll(at(S), &list, out, Budget { messages: 1000, bytes: 100_000 });
            consumer.check(at(S), &list).unwrap();
        }
    }

    /// Bytes of any kind are decoded or refused, and what is decoded can be driven.
    #[test]
    fn no_bytes_make_it_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        change in prop::collection::vec(
            prop_oneof![3 => 0_u8..12, 1 => any::<u8>()], 0..40
        ),
        is_change in any::<bool>(),
    ) {
        let mut bench = Bench::new(List::numbered(40), pull());
        bench.request(0, "a", "20");
        bench.poll(0);
        for sequence in [3, 4, 5, 9] {
            bench.ack(0, sequence, "");
        }
        bench.ack(0, 7, "-NAK");
        let mut bytes = Vec::new();
        bench.consumer.snapshot(at(0), &mut bytes);
        let mut flipped = bytes.clone();
        for (place, value) in &flips {
            let place = place.index(flipped.len());
            flipped[place] = *value;
        }
        for candidate in [&bytes, &flipped] {
            let Ok(mut state) = State::decode(candidate) else { continue };
            if is_change {
                let mut whole = vec![1, 1];
                whole.extend_from_slice(&change);
                let _ = state.apply(&whole);
            }
            let identity = bench.consumer.identity().clone();
            let mut consumer = Consumer::restore(identity, pull(), state, at(S), &bench.list, 1);
            let out = &mut Out::default();
            consumer.handle_request(at(S), b"a", b"5", &bench.list, out);
            let budget = Budget { messages: 50, bytes: 10_000 };
            for now in [S, 2 * S, 100 * S] {
                consumer.poll(at(now), &bench.list, out, budget);
                consumer.check(at(now), &bench.list).unwrap();
            }
            let mut again = Vec::new();
            consumer.snapshot(at(100 * S), &mut again);
            State::decode(&again).unwrap();
        }
    }
}
