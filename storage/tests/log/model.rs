//! Random operations on a log, next to a map of messages.

use std::collections::BTreeMap;

use fulmar_storage::{Error, Log, Options, SimulatedDisk};
use proptest::prelude::*;

use crate::support::{Owned, Told, files, growing, options, read_all};

#[derive(Clone, Debug)]
enum Operation {
    Append {
        seed: u64,
        messages: usize,
        payload_bytes_max: usize,
        atomic: bool,
    },
    /// How many sequences are left out before.
    AppendAt {
        seed: u64,
        gap: u64,
    },
    Skip {
        gap: u64,
    },
    /// Of the last sequences, each with this chance in a hundred.
    Delete {
        seed: u64,
        of: u64,
        chance: u8,
    },
    Write,
    Sync,
    Prepare,
    /// Of the sequences there are, in thousandths.
    TruncateFront(u64),
    RemoveSegments,
    Close,
    Kill,
    PowerCut {
        seed: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (any::<u64>(), 0_usize..12, prop_oneof![Just(20_usize), Just(300), Just(9_000)], any::<bool>())
            .prop_map(|(seed, messages, payload_bytes_max, atomic)| Operation::Append {
                seed,
                messages,
                payload_bytes_max,
                atomic,
            }),
        2 => (any::<u64>(), prop_oneof![Just(0), Just(1), 0_u64..1_000_000])
            .prop_map(|(seed, gap)| Operation::AppendAt { seed, gap }),
        1 => (0_u64..1_000).prop_map(|gap| Operation::Skip { gap }),
        3 => (any::<u64>(), prop_oneof![Just(1_u64), Just(20), Just(10_000)], 1_u8..=100)
            .prop_map(|(seed, of, chance)| Operation::Delete { seed, of, chance }),
        4 => Just(Operation::Write),
        4 => Just(Operation::Sync),
        1 => Just(Operation::Prepare),
        1 => (0_u64..=1_000).prop_map(Operation::TruncateFront),
        1 => Just(Operation::RemoveSegments),
        1 => Just(Operation::Close),
        1 => Just(Operation::Kill),
        1 => any::<u64>().prop_map(|seed| Operation::PowerCut { seed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_map_of_messages(operations in prop::collection::vec(operation(), 1..60)) {
        let mut disk = SimulatedDisk::new();
        let (mut log, _) = Log::open(disk.clone(), growing()).unwrap();
        let mut model: BTreeMap<u64, Owned> = BTreeMap::new();
        for operation in operations {
            match operation {
                Operation::Append { seed, messages, payload_bytes_max, atomic } => {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let batch: Vec<Owned> =
                        (0..messages).map(|_| Owned::random(&mut random, payload_bytes_max)).collect();
                    let borrowed: Vec<_> = batch.iter().map(Owned::as_message).collect();
                    let next = log.next_sequence();
                    let sequences =
                        if atomic { log.append_atomic(&borrowed) } else { log.append(&borrowed) };
                    let sequences = sequences.unwrap();
                    prop_assert_eq!(sequences.clone(), next..next + messages as u64);
                    model.extend(sequences.zip(batch));
                }
                Operation::AppendAt { seed, gap } => {
                    let owned = Owned::random(&mut fastrand::Rng::with_seed(seed), 100);
                    let sequence = log.next_sequence() + gap;
                    log.append_at(sequence, &owned.as_message()).unwrap();
                    let again = log.append_at(sequence, &owned.as_message());
                    prop_assert!(matches!(again, Err(Error::SequenceUsed { .. })), "twice");
                    model.insert(sequence, owned);
                }
                Operation::Skip { gap } => {
                    let next = log.next_sequence() + gap;
                    log.skip_to(next).unwrap();
                    prop_assert_eq!(log.next_sequence(), next);
                }
                Operation::Delete { seed, of, chance } => {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let end = log.next_sequence() + 2;
                    let chosen: Vec<u64> =
                        (end.saturating_sub(of)..end).filter(|_| random.u8(0..100) < chance).collect();
                    let before = model.len();
                    model.retain(|known, _| chosen.binary_search(known).is_err());
                    let deleted =
                        if seed % 2 == 0 { log.delete(&chosen) } else { log.erase(&chosen) };
                    prop_assert_eq!(deleted.unwrap(), (before - model.len()) as u64);
                }
                Operation::Write => log.commit(false).unwrap(),
                Operation::Sync => log.commit(true).unwrap(),
                Operation::Prepare => log.run_background().unwrap(),
                Operation::TruncateFront(thousandths) => {
                    let last = log.next_sequence() - log.front();
                    let sequence = log.front() + last * thousandths / 1_000;
                    let below = model.range(..sequence).count() as u64;
                    prop_assert_eq!(log.truncate_front(sequence).unwrap(), below);
                    model.retain(|known, _| *known >= sequence);
                }
                Operation::RemoveSegments => { log.run_background().unwrap(); }
                Operation::Close | Operation::Kill | Operation::PowerCut { .. } => {
                    // What a crash does to what is not durable is the crash test's question.
                    log.commit(true).unwrap();
                    let next = log.next_sequence();
                    match operation {
                        Operation::Close => log.close().unwrap(),
                        _ => drop(log),
                    }
                    disk = if let Operation::PowerCut { seed } = operation {
                        let mut random = fastrand::Rng::with_seed(seed);
                        disk.after_power_cut(|| random.bool())
                    } else {
                        disk.after_kill()
                    };
                    let mut told = Told::default();
                    let (reopened, report) =
                        Log::open_with(disk.clone(), growing(), &mut told).unwrap();
                    prop_assert_eq!(&told.messages, &Told::about(model.iter()).messages);
                    let mut verified = Told::default();
                    let verify = Options { verify: true, ..growing() };
                    Log::open_with(disk.after_kill(), verify, &mut verified).unwrap();
                    prop_assert_eq!(told, verified, "footers say what the records say");
                    log = reopened;
                    prop_assert!(report.damage.is_empty(), "{:?}", report);
                    prop_assert_eq!(log.next_sequence(), next);
                }
            }
            prop_assert_eq!(log.messages(), model.len() as u64);
            let at = log.front() + (log.next_sequence() - log.front()) / 2;
            let expected = model.range(at..).next().map(|(sequence, _)| *sequence);
            prop_assert_eq!(log.first_at_or_after(at), expected);
            if let Some(sequence) = expected {
                let record = log.read_accepted(sequence).unwrap().unwrap();
                prop_assert_eq!(record.payload(), &model[&sequence].payload);
            }
            let expected = model.range(..=at).next_back().map(|(sequence, _)| *sequence);
            prop_assert_eq!(log.last_at_or_before(at), expected);
            let durable = log.watermarks().durable;
            let (messages, damaged) = read_all(&log);
            prop_assert!(damaged.is_empty());
            prop_assert!(messages.iter().eq(model.iter().filter(|(sequence, _)| **sequence <= durable)));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimulatedDisk::new();
        let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
        for _ in 0..60 {
            let message = Owned::random(&mut random, 400);
            log.append(&[message.as_message()]).unwrap();
            if random.bool() {
                log.commit(false).unwrap();
            }
            if random.u8(..) < 50 {
                log.commit(true).unwrap();
            }
        }
        log.commit(false).unwrap();
        (files(&disk), files(&disk.after_power_cut(|| random.bool())))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
