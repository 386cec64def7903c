//! The power is cut at every sync of a workload. Then the counters are held against a recount,
//! and what is there against a ledger of what was promised.

use std::collections::BTreeMap;
use std::ops::Range;

use fulmar_storage::{Error, Message, SimulatedDisk, Store};

use crate::support::options;

/// What the world knows.
#[derive(Default)]
struct Ledger {
    /// The subject of each message that was handed to the store.
    sent: BTreeMap<u64, String>,
    /// Messages that were to be deleted, and whether that is durable.
    deleted: BTreeMap<u64, bool>,
    /// The last sequence that is durable.
    durable: u64,
    /// All of each or nothing.
    batches: Vec<Range<u64>>,
}

impl Ledger {
    fn note_synced(&mut self, store: &Store<SimulatedDisk>) {
        self.durable = store.watermarks().durable;
        assert_eq!(self.durable, store.last_sequence());
        self.deleted.values_mut().for_each(|is_durable| *is_durable = true);
    }

    /// The store after a crash has to be this.
    fn check(&self, store: &Store<SimulatedDisk>, story: &str) {
        assert_eq!(store.index(), &store.recount().unwrap(), "{story}");
        assert!(store.last_sequence() >= self.durable, "{story}");
        let there = |sequence: u64| store.subject_of(sequence).is_some();
        for (sequence, subject) in &self.sent {
            let found = store.subject_of(*sequence);
            assert!(found.is_none_or(|found| found == subject.as_bytes()), "{story}: {sequence}");
            match self.deleted.get(sequence) {
                Some(true) => assert!(found.is_none(), "{story}: {sequence} came back"),
                Some(false) => {}
                None if *sequence <= self.durable => {
                    assert!(found.is_some(), "{story}: {sequence} was promised");
                }
                None => {}
            }
        }
        let mut next = 0;
        while let Some(sequence) = store.next_from(next) {
            assert!(self.sent.contains_key(&sequence), "{story}: {sequence} was not sent");
            next = sequence + 1;
        }
        for batch in &self.batches {
            let kept = |sequence: &u64| !self.deleted.contains_key(sequence);
            let count = batch.clone().filter(kept).filter(|sequence| there(*sequence)).count();
            let whole = batch.clone().filter(kept).count();
            assert!(count == 0 || count == whole, "{story}: {count} of {whole} of a batch");
        }
    }
}

/// A random life of a store. Stops at the first error of the disk.
fn live(
    store: &mut Store<SimulatedDisk>,
    ledger: &mut Ledger,
    random: &mut fastrand::Rng,
    steps: usize,
) -> Result<(), Error> {
    for _ in 0..steps {
        match random.u8(0..20) {
            0..8 => {
                let subjects: Vec<String> =
                    (0..random.usize(1..8)).map(|_| format!("s.{}", random.u8(0..12))).collect();
                let payload = vec![b'x'; random.usize(0..600)];
                let batch: Vec<Message<'_>> = subjects
                    .iter()
                    .map(|subject| Message {
                        subject: subject.as_bytes(),
                        headers: b"",
                        payload: &payload,
                        timestamp_ns: 0,
                    })
                    .collect();
                let atomic = random.bool();
                // It is sent when it is handed over, whether or not the store can answer.
                let next = store.last_sequence() + 1;
                let sequences =
                    if atomic { store.append_atomic(&batch)? } else { store.append(&batch)? };
                assert_eq!(sequences.start, next);
                if atomic {
                    ledger.batches.push(sequences.clone());
                }
                ledger.sent.extend(sequences.zip(subjects.iter().cloned()));
            }
            8..11 => {
                let from = random.u64(0..=store.last_sequence());
                let count = random.u64(0..6);
                let gone: Vec<u64> =
                    (0..count).filter_map(|step| store.next_from(from + 3 * step)).collect();
                ledger.deleted.extend(gone.iter().map(|sequence| (*sequence, false)));
                if let [one] = gone[..] {
                    store.delete(one, random.bool())?;
                } else {
                    store.delete_many(&gone)?;
                }
            }
            11 => {
                let front = random.u64(store.first_sequence()..=store.last_sequence() + 1);
                let below = ledger.sent.range(..front).map(|(sequence, _)| *sequence);
                for sequence in below.collect::<Vec<_>>() {
                    ledger.deleted.entry(sequence).or_insert(false);
                }
                store.truncate_front(front)?;
            }
            12..18 => {
                let sync = random.bool();
                store.commit(sync)?;
                if sync {
                    ledger.note_synced(store);
                }
            }
            _ => store.run_background()?,
        }
    }
    Ok(())
}

#[test]
fn counters_are_right_after_a_crash_at_any_sync() {
    let mut crashes = 0;
    for seed in 0..4 {
        for sync in 1.. {
            let story = format!("seed {seed}, sync {sync}");
            let mut random = fastrand::Rng::with_seed(seed);
            let mut ledger = Ledger::default();
            let disk = SimulatedDisk::new();
            disk.cut_power_at_sync(sync);
            let (mut store, _) = Store::open(disk.clone(), options()).unwrap();
            let lived = live(&mut store, &mut ledger, &mut random, 150);
            if !disk.is_powered_off() {
                lived.unwrap();
                assert!(sync > 20, "the workload syncs");
                break;
            }
            drop(store);
            let mut kept = fastrand::Rng::with_seed(sync);
            let disk = disk.after_power_cut(|| kept.bool());
            let (store, _) = Store::open(disk, options()).unwrap();
            ledger.check(&store, &story);
            crashes += 1;
        }
    }
    assert!(crashes > 150, "{crashes}");
}
