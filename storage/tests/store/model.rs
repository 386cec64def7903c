//! Random operations on a store, next to a map of messages.

use std::collections::BTreeMap;

use fulmar_storage::{Message, SimulatedDisk, Store};
use proptest::prelude::*;

use crate::support::{Simulated, open};

#[derive(Clone, Debug)]
enum Operation {
    Append {
        seed: u64,
        messages: usize,
        atomic: bool,
    },
    AppendAt {
        seed: u64,
        gap: u64,
    },
    Skip(u64),
    Delete {
        seed: u64,
        thousandths: u64,
    },
    /// Of the sequences there are, in thousandths.
    TruncateFront(u64),
    Commit {
        sync: bool,
    },
    Background,
    Reopen {
        close: bool,
    },
}

type Model = BTreeMap<u64, (Vec<u8>, Vec<u8>, Vec<u8>)>;

fn operation() -> impl Strategy<Value = Operation> {
    let gap = prop_oneof![3 => 0_u64..5, 1 => 0_u64..100_000];
    prop_oneof![
        6 => (any::<u64>(), 0_usize..30, any::<bool>()).prop_map(
            |(seed, messages, atomic)| Operation::Append { seed, messages, atomic }
        ),
        1 => (any::<u64>(), gap.clone()).prop_map(|(seed, gap)| Operation::AppendAt { seed, gap }),
        1 => gap.prop_map(Operation::Skip),
        4 => (any::<u64>(), prop_oneof![Just(20_u64), Just(300), Just(900)]).prop_map(
            |(seed, thousandths)| Operation::Delete { seed, thousandths }
        ),
        1 => (0_u64..=1_000).prop_map(Operation::TruncateFront),
        3 => any::<bool>().prop_map(|sync| Operation::Commit { sync }),
        2 => Just(Operation::Background),
        2 => any::<bool>().prop_map(|close| Operation::Reopen { close }),
    ]
}

fn random_message(random: &mut fastrand::Rng) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let subject = format!("s.{}", random.u8(0..20)).into_bytes();
    let headers = if random.u8(..) < 60 { b"NATS/1.0\r\n\r\n".to_vec() } else { Vec::new() };
    let length = random.usize(..300);
    let payload = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    (subject, headers, payload)
}

fn borrowed((subject, headers, payload): &(Vec<u8>, Vec<u8>, Vec<u8>)) -> Message<'_> {
    Message { subject, headers, payload, timestamp_ns: 5 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_map_of_messages(operations in prop::collection::vec(operation(), 1..60)) {
        let home = Simulated::default();
        let (mut store, _) = open(&home);
        let (mut model, mut next) = (Model::new(), 1);
        for operation in operations {
            match operation {
                Operation::Append { seed, messages, atomic } => {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let batch: Vec<_> = (0..messages).map(|_| random_message(&mut random)).collect();
                    let messages: Vec<Message<'_>> = batch.iter().map(borrowed).collect();
                    let sequences =
                        if atomic { store.append_atomic(&messages) } else { store.append(&messages) };
                    let sequences = sequences.unwrap();
                    prop_assert_eq!(sequences.start, next);
                    next = sequences.end;
                    model.extend(sequences.zip(batch));
                }
                Operation::AppendAt { seed, gap } => {
                    let message = random_message(&mut fastrand::Rng::with_seed(seed));
                    store.append_at(next + gap, &borrowed(&message)).unwrap();
                    model.insert(next + gap, message);
                    next += gap + 1;
                }
                Operation::Skip(gap) => {
                    next += gap;
                    store.skip_to(next).unwrap();
                }
                Operation::Delete { seed, thousandths } => {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let gone: Vec<u64> =
                        model.keys().copied().filter(|_| random.u64(..1_000) < thousandths).collect();
                    let before = store.bytes();
                    let removed = store.delete_many(&gone).unwrap();
                    prop_assert_eq!(removed.messages, gone.len() as u64);
                    prop_assert_eq!(before - store.bytes(), removed.bytes);
                    gone.iter().for_each(|sequence| { model.remove(sequence); });
                }
                Operation::TruncateFront(thousandths) => {
                    let front = 1 + (next - 1) * thousandths / 1_000;
                    let kept = model.split_off(&front);
                    let removed = store.truncate_front(front).unwrap();
                    prop_assert_eq!(removed.messages, model.len() as u64);
                    model = kept;
                }
                Operation::Commit { sync } => store.commit(sync).unwrap(),
                Operation::Background => store.run_background().unwrap(),
                Operation::Reopen { close } => {
                    store.commit(true).unwrap();
                    if close {
                        store.close().unwrap();
                    } else {
                        drop(store);
                    }
                    let (reopened, recovery) = open(&home);
                    prop_assert!(recovery.damage.is_empty(), "{:?}", recovery);
                    store = reopened;
                }
            }
            check(&store, &model, next);
        }
    }
}

fn check(store: &Store<SimulatedDisk>, model: &Model, next: u64) {
    assert_eq!(store.messages(), model.len() as u64);
    let bytes = model.values().map(|message| store.bytes_of(&borrowed(message))).sum::<u64>();
    assert_eq!(store.bytes(), bytes);
    assert_eq!(store.last_sequence(), next - 1);
    let empty = if next == 1 { 0 } else { next };
    assert_eq!(store.first_sequence(), model.keys().next().copied().unwrap_or(empty));
    assert_eq!(store.index(), &store.recount().unwrap());
    let gaps = store.deleted().map(|gap| gap.end - gap.start).sum::<u64>();
    assert_eq!(gaps, store.deleted_count());
    for (sequence, message) in model {
        let record = store.read_accepted(*sequence).unwrap().unwrap();
        let parts = (record.subject(), record.headers(), record.payload());
        assert_eq!(parts, (&message.0[..], &message.1[..], &message.2[..]));
        let visible = store.read(*sequence).unwrap().is_some();
        assert_eq!(visible, *sequence <= store.visible_sequence());
    }
}
