//! Bytes that change on the disk: found, reported exactly, and no harm to their neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use fulmar_storage::{Cause, Error, Log, Options, SimulatedDisk};
use proptest::prelude::*;

use crate::support::{
    Owned, append_durable, append_one, disk_with, files, open, options, payloads, read_all,
    segments,
};

type Files = BTreeMap<String, Vec<u8>>;

/// A record in a file that is whole: where it is, and its sequence if it is a message.
struct Extent {
    bytes: Range<usize>,
    sequence: Option<u64>,
}

/// Walks a segment by the drawing in the documentation, without the crate.
fn extents(file: &[u8]) -> Vec<Extent> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at + 40 <= file.len() && file[at + 12] != 0 {
        let bytes = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap());
        let sequence = u64::from_le_bytes(file[at + 24..at + 32].try_into().unwrap());
        let end = at + usize::try_from(bytes).unwrap().next_multiple_of(8);
        extents.push(Extent { bytes: at..end, sequence: (file[at + 12] == 1).then_some(sequence) });
        at = end;
    }
    extents
}

fn small_log(closed: bool) -> Files {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    for number in 1..=12 {
        append_durable(&mut log, number..number + 1);
    }
    if closed {
        log.close().unwrap();
    }
    files(&disk)
}

#[test]
fn every_flipped_byte_is_quarantined_exactly_or_costs_nothing() {
    for closed in [false, true] {
        let whole = small_log(closed);
        let (name, bytes) = whole.first_key_value().unwrap();
        let extents = extents(bytes);
        let end = extents.last().unwrap().bytes.end;
        assert_eq!(extents.len(), if closed { 14 } else { 13 });
        let (original, _) = read_all(&open(&disk_with(&whole)).0);
        assert_eq!(original.len(), 12);
        for place in 0..bytes.len() {
            for bit in [place % 8, (place + 5) % 8] {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                let damaged_files = BTreeMap::from([(name.clone(), flipped)]);
                let (mut log, report) = open(&disk_with(&damaged_files));
                let hit = extents.iter().find(|extent| extent.bytes.contains(&place));
                let (messages, _) = read_all(&log);
                let mut expected = original.clone();
                match (&report.damage[..], hit) {
                    ([], Some(extent)) => {
                        let length = u32::from_le_bytes(
                            bytes[extent.bytes.start + 8..][..4].try_into().unwrap(),
                        );
                        let inside = place - extent.bytes.start;
                        assert!(inside >= length as usize, "{place}: only padding costs nothing");
                    }
                    ([damage], Some(extent)) => {
                        let range = extent.bytes.start as u64..extent.bytes.end as u64;
                        assert_eq!(damage.bytes, range, "{place}");
                        if let Some(sequence) = extent.sequence {
                            expected.remove(&sequence);
                            assert_eq!(damage.sequences.start, sequence, "{place}");
                            if damage.cause != Cause::Tail {
                                assert_eq!(damage.sequences.end, sequence + 1, "{place}");
                            }
                            let read = log.read(sequence);
                            assert!(matches!(read, Err(Error::Damaged { .. })), "{place}");
                        }
                    }
                    ([damage], None) => {
                        assert_eq!(damage.cause, Cause::Tail, "{place}");
                        let range = end as u64..(place as u64 + 1).next_multiple_of(8);
                        assert_eq!(damage.bytes, range, "{place}");
                    }
                    other => panic!("{place}: {:?}", other.0),
                }
                assert_eq!(messages, expected, "{place}");
                let sequence = append_one(&mut log, "new").unwrap();
                assert!(sequence > 12, "{place}: no sequence comes again");
            }
        }
    }
}

#[test]
fn a_record_that_rots_while_the_log_is_open_is_not_served() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..4);
    let (name, bytes) = files(&disk).pop_first().unwrap();
    let extent = extents(&bytes).into_iter().find(|extent| extent.sequence == Some(2)).unwrap();
    disk.corrupt(&name, extent.bytes.start + 45, 1);
    let Err(Error::Damaged { segment: 1, bytes, sequences }) = log.read(2) else {
        panic!("a damaged record was served")
    };
    assert_eq!((bytes.start, sequences), (extent.bytes.start as u64, 2..3));
    let (messages, damaged) = read_all(&log);
    assert_eq!(messages.into_keys().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(damaged, vec![2..3]);
}

/// Five segments or more, everything durable, then closed.
fn long_log(seed: u64) -> (Files, BTreeMap<u64, Owned>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    while log.segments() < 6 {
        let message = Owned::random(&mut random, 700);
        log.append(&[message.as_message()]).unwrap();
        log.commit(true).unwrap();
    }
    let (messages, _) = read_all(&log);
    log.close().unwrap();
    (files(&disk), messages)
}

#[derive(Clone, Debug)]
enum Fault {
    Zeros { place: f64, bytes: usize },
    Noise { place: f64, bytes: usize, seed: u64 },
    CopyWithin { from: f64, to: f64, bytes: usize },
    Shorten { place: f64 },
    Remove,
    Swap,
}

fn fault() -> impl Strategy<Value = Fault> {
    let place = 0.0..1.0;
    let bytes = prop_oneof![1_usize..64, Just(512_usize), 1_usize..4_096];
    prop_oneof![
        (place.clone(), bytes.clone()).prop_map(|(place, bytes)| Fault::Zeros { place, bytes }),
        (place.clone(), bytes.clone(), any::<u64>())
            .prop_map(|(place, bytes, seed)| Fault::Noise { place, bytes, seed }),
        (place.clone(), place.clone(), bytes).prop_map(|(from, to, bytes)| Fault::CopyWithin {
            from,
            to,
            bytes
        }),
        place.prop_map(|place| Fault::Shorten { place }),
        Just(Fault::Remove),
        Just(Fault::Swap),
    ]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a small length"
)]
fn share(place: f64, of: usize) -> usize {
    (place * of as f64) as usize
}

/// Damages segment number `number`, and answers the bytes of it that are no longer the same.
fn apply(files: &mut Files, number: usize, fault: &Fault) -> BTreeSet<usize> {
    let names: Vec<String> = files.keys().cloned().collect();
    let before = files[&names[number]].clone();
    let mut after = before.clone();
    let range = |place: f64, bytes: usize| {
        let start = share(place, before.len());
        start..(start + bytes).min(before.len())
    };
    match *fault {
        Fault::Zeros { place, bytes } => after[range(place, bytes)].fill(0),
        Fault::Noise { place, bytes, seed } => {
            fastrand::Rng::with_seed(seed).fill(&mut after[range(place, bytes)]);
        }
        Fault::CopyWithin { from, to, bytes } => {
            let (from, to) = (range(from, bytes), range(to, bytes));
            let bytes = from.len().min(to.len());
            after.copy_within(from.start..from.start + bytes, to.start);
        }
        Fault::Shorten { place } => after.truncate(share(place, before.len())),
        Fault::Remove => after.clear(),
        // The bytes of another segment under this one's name.
        Fault::Swap => after.clone_from(&files[&names[(number + 1) % 5]]),
    }
    let changed = (0..before.len()).filter(|at| before.get(*at) != after.get(*at)).collect();
    if matches!(fault, Fault::Remove) {
        files.remove(&names[number]);
    } else {
        files.insert(names[number].clone(), after);
    }
    changed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_costs_what_it_hits_and_is_reported(seed in 0_u64..8, number in 0_usize..5, fault in fault()) {
        let (mut files, original) = long_log(seed);
        let before = files.values().nth(number).unwrap().clone();
        let changed = apply(&mut files, number, &fault);
        let (mut log, report) = open(&disk_with(&files));
        let (messages, _) = read_all(&log);
        for (sequence, owned) in &messages {
            prop_assert_eq!(Some(owned), original.get(sequence));
        }
        let hit: BTreeSet<u64> = extents(&before)
            .into_iter()
            .filter(|extent| changed.range(extent.bytes.clone()).next().is_some())
            .filter_map(|extent| extent.sequence)
            .collect();
        let lost: BTreeSet<u64> =
            original.keys().copied().filter(|sequence| !messages.contains_key(sequence)).collect();
        prop_assert!(lost.is_subset(&hit), "lost {lost:?}, hit {hit:?}");
        for sequence in &lost {
            prop_assert!(report.damage.iter().any(|damage| damage.sequences.contains(sequence)));
            let read = log.read(*sequence);
            prop_assert!(matches!(read, Err(Error::Damaged { .. })), "{sequence}");
        }
        for damage in report.damage.iter().filter(|damage| !damage.sequences.is_empty()) {
            prop_assert!(damage.synced, "a sealed segment was on the disk: {damage:?}");
            prop_assert!(damage.sequences.clone().any(|sequence| hit.contains(&sequence)));
        }
        // Opening changed nothing, and the log goes on behind all that was.
        let sequence = append_one(&mut log, "new").unwrap();
        prop_assert!(sequence > *original.last_key_value().unwrap().0);
    }

    #[test]
    fn no_directory_makes_opening_panic_or_serve_what_was_not_sent(
        seed in 0_u64..8,
        faults in prop::collection::vec((0_usize..6, fault()), 1..6),
    ) {
        let (mut files, original) = long_log(seed);
        for (number, fault) in faults {
            let count = files.len();
            if count > 5 {
                apply(&mut files, number.min(count - 1), &fault);
            }
        }
        let (log, _) = Log::open(disk_with(&files), options()).unwrap();
        let (messages, _) = read_all(&log);
        for (sequence, owned) in &messages {
            prop_assert_eq!(Some(owned), original.get(sequence));
        }
    }
}

#[test]
fn a_missing_segment_is_named_and_reopening_says_the_same() {
    let (mut files, original) = long_log(1);
    let third = files.keys().nth(2).unwrap().clone();
    let lost = extents(&files.remove(&third).unwrap());
    let lost: Vec<u64> = lost.iter().filter_map(|extent| extent.sequence).collect();
    let disk = disk_with(&files);
    let (log, report) = open(&disk);
    let [damage] = &report.damage[..] else { panic!("{report:?}") };
    assert_eq!((damage.segment, damage.cause, damage.synced), (3, Cause::Missing, true));
    assert_eq!(damage.sequences, lost[0]..lost[lost.len() - 1] + 1);
    let (messages, damaged) = read_all(&log);
    assert_eq!(messages.len() + lost.len(), original.len());
    assert_eq!(damaged, std::slice::from_ref(&damage.sequences));
    drop(log);
    assert_eq!(open(&disk.after_kill()).1.damage, report.damage);
}

#[test]
fn a_record_of_another_history_does_not_fit_the_chain() {
    // A restored copy of a disk went on differently from the same place: each record is whole.
    let history = |middle: &str| {
        let disk = disk_with(&small_log(false));
        let (mut log, _) = open(&disk);
        append_one(&mut log, middle).unwrap();
        append_durable(&mut log, 14..16);
        files(&disk).pop_first().unwrap()
    };
    let (name, mut bytes) = history("this one");
    let (_, other) = history("that one");
    let extent = extents(&bytes).into_iter().find(|extent| extent.sequence == Some(13)).unwrap();
    bytes[extent.bytes.clone()].copy_from_slice(&other[extent.bytes.clone()]);
    let (_, report) = open(&disk_with(&BTreeMap::from([(name, bytes)])));
    let [damage] = &report.damage[..] else { panic!("{report:?}") };
    assert_eq!((damage.cause, damage.bytes.start), (Cause::Link, extent.bytes.end as u64));
    assert!(damage.sequences.is_empty(), "both can be read");
}

#[test]
fn a_record_of_another_numbering_is_none() {
    // Two logs with one salt, of which one starts later: each record is whole in its place.
    let log_from = |first_sequence: u64| {
        let disk = SimulatedDisk::new();
        let options = Options { first_sequence, ..options() };
        let (mut log, _) = Log::open(disk.clone(), options).unwrap();
        append_durable(&mut log, 10..20);
        log.close().unwrap();
        files(&disk).pop_first().unwrap()
    };
    for (first_sequence, other_sequence) in [(1, 100), (100, 1)] {
        let (name, mut bytes) = log_from(first_sequence);
        let (_, other) = log_from(other_sequence);
        let extent = extents(&bytes).swap_remove(5);
        bytes[extent.bytes.clone()].copy_from_slice(&other[extent.bytes.clone()]);
        let (log, report) = open(&disk_with(&BTreeMap::from([(name, bytes)])));
        let [damage] = &report.damage[..] else { panic!("{report:?}") };
        let sequence = extent.sequence.unwrap();
        assert_eq!((damage.cause, &damage.sequences), (Cause::Head, &(sequence..sequence + 1)));
        assert_eq!(damage.bytes, extent.bytes.start as u64..extent.bytes.end as u64);
        assert_eq!(payloads(&log).len(), 9, "its neighbours are served");
    }
}

#[test]
fn sequences_do_not_start_anew_when_the_marker_of_an_empty_log_is_damaged() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..200);
    let before = log.segments();
    while log.segments() == before {
        append_durable(&mut log, 0..1);
    }
    let next_sequence = log.next_sequence();
    log.truncate_front(next_sequence).unwrap();
    log.commit(true).unwrap();
    log.run_background().unwrap();
    drop(log);
    let whole = segments(&disk);
    assert_eq!(whole.len(), 2);
    for place in 0..400 {
        let mut damaged = whole.clone();
        damaged.last_entry().unwrap().get_mut()[place] ^= 1;
        let (mut log, _) = open(&disk_with(&damaged));
        assert!(append_one(&mut log, "new").unwrap() >= next_sequence, "{place}");
    }
}

#[test]
fn the_oldest_segment_is_missed_too() {
    let (mut files, _) = long_log(2);
    let (_, bytes) = files.pop_first().unwrap();
    let last = extents(&bytes).iter().filter_map(|extent| extent.sequence).max().unwrap();
    let (log, report) = open(&disk_with(&files));
    let [damage] = &report.damage[..] else { panic!("{report:?}") };
    assert_eq!((damage.segment, damage.cause), (1, Cause::Missing));
    assert_eq!(damage.sequences, 1..last + 1);
    assert!(matches!(log.read(1), Err(Error::Damaged { .. })));
}

#[test]
fn files_of_others_are_left_alone_and_two_of_one_segment_are_refused() {
    let mut files = small_log(true);
    files.insert("notes.txt".to_owned(), b"mine".to_vec());
    files.insert("0000000000000001.segment.bak".to_owned(), vec![0; 4_096]);
    let disk = disk_with(&files);
    let (log, report) = open(&disk);
    assert!(report.damage.is_empty());
    assert_eq!(payloads(&log).len(), 12);
    assert_eq!(crate::support::files(&disk), files);

    let bytes = files.values().max_by_key(|bytes| bytes.iter().filter(|b| **b > 0).count());
    let twin = bytes.unwrap().clone();
    files.insert("0000000000000001-00000000000000ff.segment".to_owned(), twin);
    let disk = disk_with(&files);
    let refused = Log::open(disk.clone(), options()).err().unwrap();
    assert!(matches!(refused, Error::SegmentTwice { segment: 1, .. }), "{refused}");
    assert_eq!(crate::support::files(&disk), files, "nothing was touched");
}

#[test]
fn a_segment_whose_preparing_was_cut_short_is_removed() {
    let mut files = small_log(false);
    files.insert("0000000000000002-00000000000000ff.segment".to_owned(), vec![0; 1_000]);
    let disk = disk_with(&files);
    let (mut log, report) = open(&disk);
    assert!(report.damage.is_empty());
    assert_eq!(crate::support::files(&disk).len(), 1);
    append_durable(&mut log, 13..200);
    assert!(log.segments() > 1);
    assert_eq!(payloads(&log).len(), 199);
}
