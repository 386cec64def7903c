//! The power is cut at every sync of a workload. Then a ledger of what was sent and promised is
//! held against what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use fulmar_storage::{Error, Log, Options, Promise, SimulatedDisk};

use crate::support::{Owned, Told, growing, options, read_all};

/// What the world knows.
#[derive(Default)]
struct Ledger {
    /// What was given to the log with each sequence.
    sent: BTreeMap<u64, Owned>,
    /// The last sequence that was promised to be on the disk.
    durable: u64,
    /// The last sequence that was with the system.
    written: u64,
    /// The last sequence that anybody may have seen.
    seen: u64,
    /// The largest sequence that a message was to have.
    asked: u64,
    front_asked: u64,
    front_durable: u64,
    deleted_asked: BTreeSet<u64>,
    /// Deleted for no other message.
    deleted_alone: BTreeSet<u64>,
    deleted_durable: BTreeSet<u64>,
    /// Which are there whole or not at all.
    batches: Vec<Range<u64>>,
    /// Old and new: the one was deleted because the other came.
    replaced: Vec<(u64, u64)>,
}

impl Ledger {
    fn note(&mut self, log: &Log<SimulatedDisk>, promise: Promise) {
        let watermarks = log.watermarks();
        self.durable = self.durable.max(watermarks.durable);
        self.written = self.written.max(watermarks.written);
        let shown = match promise {
            Promise::Durable => watermarks.durable,
            Promise::Written { .. } => watermarks.written,
        };
        self.seen = self.seen.max(shown);
    }

    /// The log after a crash has to be this.
    fn check(&mut self, log: &Log<SimulatedDisk>, kept: Kept, story: &str) {
        if matches!(kept, Kept::Kill) {
            self.durable = self.written;
            assert!(log.quarantine().is_empty(), "{story}: {:?}", log.quarantine());
        }
        let front = log.front();
        let fronts = self.front_durable..=self.front_asked.max(1);
        assert!(fronts.contains(&front), "{story}: the front is {front}, not in {fronts:?}");
        let (messages, _) = read_all(log);
        for (sequence, owned) in &messages {
            assert_eq!(self.sent.get(sequence), Some(owned), "{story}: {sequence} was not sent so");
        }
        for sequence in messages.keys() {
            assert!(!self.deleted_durable.contains(sequence), "{story}: {sequence} was deleted");
        }
        for (old, new) in &self.replaced {
            assert!(
                *old > self.durable
                    || *old < front
                    || [old, new].into_iter().any(|either| messages.contains_key(either))
                    || self.deleted_asked.contains(new)
                    || self.deleted_alone.contains(old),
                "{story}: {old} was deleted for {new}, which is not there"
            );
        }
        for batch in &self.batches {
            let mut rest = batch
                .clone()
                .filter(|sequence| *sequence >= front && !self.deleted_asked.contains(sequence));
            let is_there = rest.next().map(|sequence| messages.contains_key(&sequence));
            assert!(
                rest.all(|sequence| Some(messages.contains_key(&sequence)) == is_there),
                "{story}: batch {batch:?} is there in part"
            );
        }
        for sequence in self.sent.range(front..).map(|(sequence, _)| *sequence) {
            let promised = sequence <= self.durable && !self.deleted_asked.contains(&sequence);
            assert!(
                !promised || messages.contains_key(&sequence),
                "{story}: {sequence} was promised"
            );
        }
        for damage in log.quarantine() {
            assert!(!damage.synced, "{story}: an unfinished write is no damage: {damage:?}");
        }
        assert!(log.next_sequence() > self.seen, "{story}: a sequence would come again");
        let given = self.sent.keys().next_back().copied().unwrap_or(0).max(front).max(self.asked);
        if matches!(kept, Kept::Kill) {
            assert!(log.next_sequence() <= given.max(self.seen) + 1, "{story}: left out in vain");
        }
        // What is served now was made durable first. What is not there was lost, and nobody knew.
        self.sent.retain(|sequence, _| messages.contains_key(sequence) || *sequence < front);
        self.durable = log.next_sequence() - 1;
        self.seen = self.durable;
        self.written = self.durable;
        self.asked = 0;
        // Of a message that was lost and that nobody saw, the sequence may come again.
        let next = log.next_sequence();
        let gone = |sequence: &u64| *sequence < next && !messages.contains_key(sequence);
        self.deleted_durable = self.deleted_asked.iter().copied().filter(gone).collect();
        self.deleted_asked = self.deleted_durable.clone();
        self.deleted_alone.clear();
        self.batches.clear();
        self.replaced.clear();
        (self.front_asked, self.front_durable) = (front, front);
    }
}

/// A random life of a log. Stops at the first error of the disk.
fn live(
    log: &mut Log<SimulatedDisk>,
    ledger: &mut Ledger,
    promise: Promise,
    random: &mut fastrand::Rng,
    steps: usize,
) -> Result<(), Error> {
    // In some lives so much is deleted that there is something to compact.
    let tenths_deleted = *random.choice(&[2, 9]).unwrap();
    for _ in 0..steps {
        match random.u8(0..20) {
            0..8 => {
                let payload_bytes_max = *random.choice(&[10, 200, 1_500, 6_000]).unwrap();
                let batch: Vec<Owned> = (0..random.usize(1..6))
                    .map(|_| Owned::random(random, payload_bytes_max))
                    .collect();
                let messages: Vec<_> = batch.iter().map(Owned::as_message).collect();
                // It is sent when it is handed over, whether or not the log can answer.
                let next = log.next_sequence();
                let atomic = random.bool();
                let appended =
                    if atomic { log.append_atomic(&messages) } else { log.append(&messages) };
                match appended {
                    Ok(sequences) => {
                        assert_eq!(sequences.start, next);
                        if atomic {
                            ledger.batches.push(sequences.clone());
                        }
                        ledger.sent.extend(sequences.zip(batch));
                    }
                    Err(Error::SyncFirst(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            8..10 => log.commit(false)?,
            10..14 => {
                log.commit(true)?;
                ledger.deleted_durable = ledger.deleted_asked.clone();
            }
            14..16 => {
                let end = log.next_sequence();
                let deleted: Vec<u64> = (end.saturating_sub(60)..end)
                    .filter(|_| random.u8(0..10) < tenths_deleted)
                    .collect();
                ledger.deleted_asked.extend(&deleted);
                ledger.deleted_alone.extend(&deleted);
                if random.bool() {
                    log.delete(&deleted)?
                } else {
                    log.erase(&deleted)?
                };
            }
            16 if random.bool() => {
                let old = log.first_at_or_after(random.u64(log.front()..=log.next_sequence()));
                let owned = Owned::random(random, 700);
                let new = log.next_sequence();
                match log.append(&[owned.as_message()]) {
                    Ok(_) => {
                        ledger.sent.insert(new, owned);
                    }
                    Err(Error::SyncFirst(_)) => continue,
                    Err(error) => return Err(error),
                }
                if let Some(old) = old {
                    ledger.deleted_asked.insert(old);
                    ledger.replaced.push((old, new));
                    log.delete(&[old])?;
                }
            }
            16 => {
                let owned = Owned::random(random, 50);
                let sequence = log.next_sequence() + random.u64(0..60);
                ledger.asked = ledger.asked.max(sequence);
                match log.append_at(sequence, &owned.as_message()) {
                    Ok(()) => {
                        ledger.sent.insert(sequence, owned);
                    }
                    Err(Error::SyncFirst(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            17 => log.run_background()?,
            18 => {
                let front = random.u64(log.front()..=log.next_sequence());
                let before = ledger.front_asked;
                ledger.front_asked = before.max(front);
                log.truncate_front(front)?;
                log.commit(true)?;
                ledger.deleted_durable = ledger.deleted_asked.clone();
                ledger.front_durable = ledger.front_durable.max(front);
            }
            _ => {
                log.run_background()?;
            }
        }
        ledger.note(log, promise);
    }
    Ok(())
}

/// Which of the unsynced sectors reach the disk.
#[derive(Clone, Copy, Debug)]
enum Kept {
    None,
    All,
    Random(u64),
    /// The process ends, and the machine goes on.
    Kill,
}

fn cut(disk: &SimulatedDisk, kept: Kept) -> SimulatedDisk {
    match kept {
        Kept::None => disk.after_power_cut(|| false),
        Kept::All => disk.after_power_cut(|| true),
        Kept::Kill => disk.after_kill(),
        Kept::Random(seed) => {
            let mut random = fastrand::Rng::with_seed(seed);
            disk.after_power_cut(|| random.bool())
        }
    }
}

/// Opens with the power cut at the first, second... sync of the opening, until one goes through.
fn open_through_cuts(mut disk: SimulatedDisk, options: Options, kept: Kept) -> SimulatedDisk {
    for number in 1.. {
        disk.cut_power_at_sync(number);
        if Log::open(disk.clone(), options).is_ok() && !disk.is_powered_off() {
            return disk.after_power_cut(|| false);
        }
        assert!(disk.is_powered_off(), "an opening fails for no other reason");
        disk = cut(&disk, kept);
    }
    unreachable!("an opening has a bounded number of syncs")
}

fn crash_at_every_sync(options: Options, workload_seed: u64) -> u64 {
    let promise = options.promise;
    let mut crashes = 0;
    for sync in 1.. {
        let ways =
            [Kept::None, Kept::All, Kept::Random(sync), Kept::Random(sync + 1_000), Kept::Kill];
        for (way, kept) in ways.into_iter().enumerate() {
            let story = format!("seed {workload_seed}, sync {sync}, kept {kept:?}");
            let mut random = fastrand::Rng::with_seed(workload_seed);
            let mut ledger = Ledger { front_asked: 1, ..Ledger::default() };
            let disk = SimulatedDisk::new();
            disk.cut_power_at_sync(sync);
            let (mut log, _) = Log::open(disk.clone(), options).unwrap();
            let lived = live(&mut log, &mut ledger, promise, &mut random, 120);
            if !disk.is_powered_off() {
                lived.unwrap();
                assert!(sync > 20, "the workload syncs");
                return crashes;
            }
            // The last step may have synced one thing before the power went.
            ledger.note(&log, promise);
            drop(log);
            let mut disk = cut(&disk, kept);
            if way == 3 {
                disk = open_through_cuts(disk, options, kept);
            }
            // It is opened, goes on, loses power, and is opened again.
            for round in 0..3 {
                let mut told = Told::default();
                let (mut log, _) = Log::open_with(disk.clone(), options, &mut told)
                    .unwrap_or_else(|error| panic!("{story}, round {round}: {error}"));
                let (messages, _) = read_all(&log);
                assert_eq!(told.messages, Told::about(messages.iter()).messages, "{story}");
                if round == 2 {
                    let mut verified = Told::default();
                    let verify = Options { verify: true, ..options };
                    Log::open_with(disk.after_kill(), verify, &mut verified).unwrap();
                    assert_eq!(told, verified, "{story}: footers say something else");
                }
                ledger.check(&log, kept, &format!("{story}, round {round}"));
                live(&mut log, &mut ledger, promise, &mut random, 15).unwrap();
                disk = cut(&disk, kept);
            }
            crashes += 5;
        }
    }
    unreachable!("the workload ends")
}

/// Seeds from `first` on: as many as the environment says, for long runs.
fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let number = |name| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("it is a number"))
    };
    let first = number("FULMAR_CRASH_SEED_FIRST").unwrap_or(first);
    first..first + number("FULMAR_CRASH_SEEDS").unwrap_or(count)
}

#[test]
fn a_crash_at_any_sync_keeps_what_was_promised() {
    let mut crashes = 0;
    for seed in seeds(0, 2) {
        let options = if seed % 2 == 0 { options() } else { growing() };
        crashes += crash_at_every_sync(options, seed);
    }
    assert!(crashes > 800, "{crashes}");
}

#[test]
fn a_relaxed_log_keeps_what_was_synced_and_repeats_no_sequence() {
    for seed in seeds(10, 2) {
        let options = if seed % 2 == 0 { options() } else { growing() };
        let promise = Promise::Written { unsynced_sequences_max: 40 };
        let crashes = crash_at_every_sync(Options { promise, ..options }, seed);
        assert!(crashes > 200, "{crashes}");
    }
}
