//! What becomes of segments that are no longer appended to: footers, and compaction.

use std::collections::BTreeMap;

use fulmar_storage::{Disk, Log, Message, Options, RealDisk, SimulatedDisk};

use crate::support::{
    Told, append_durable, append_one, disk_with, files, open, options, payloads, relaxed, segments,
};

/// The names of the files that end so.
fn names(disk: &SimulatedDisk, suffix: &str) -> Vec<String> {
    files(disk).into_keys().filter(|name| name.ends_with(suffix)).collect()
}

/// A log of some segments, every tenth message of which is deleted.
fn footed_log() -> (SimulatedDisk, Vec<(u64, String)>) {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..400);
    let deleted: Vec<u64> = (1..400).filter(|number| number % 10 == 0).collect();
    log.delete(&deleted).unwrap();
    log.commit(true).unwrap();
    log.run_background().unwrap();
    let left = payloads(&log);
    assert_eq!(names(&disk, ".footer").len(), log.segments() - 1);
    (disk, left)
}

fn told(disk: &SimulatedDisk, options: Options) -> Told {
    let mut told = Told::default();
    Log::open_with(disk.after_kill(), options, &mut told).unwrap();
    told
}

#[test]
fn a_sealed_segment_is_not_read_if_it_has_a_footer() {
    let (disk, left) = footed_log();
    // Damage in it is then met when the message is read, or when one asks for everything.
    let (name, bytes) = segments(&disk).pop_first().unwrap();
    let place = bytes.windows(10).position(|part| part == b"message 15").unwrap();
    disk.corrupt(&name, place, 1);
    let (log, report) = open(&disk.after_kill());
    assert!(report.damage.is_empty());
    assert!(log.read(15).is_err() && log.read(16).unwrap().is_some());
    assert_eq!(log.messages(), left.len() as u64);
    let verify = Options { verify: true, ..options() };
    let (log, report) = Log::open(disk.after_kill(), verify).unwrap();
    assert_eq!(report.damage[0].sequences, 15..16);
    assert_eq!(log.messages(), left.len() as u64 - 1);
}

#[test]
fn a_footer_that_is_missing_damaged_or_another_ones_costs_nothing_but_reading() {
    let (disk, left) = footed_log();
    let expected = told(&disk, options());
    assert_eq!(expected.messages.len(), left.len());
    let whole = files(&disk);
    let footers = names(&disk, ".footer");
    let check = |damaged: &BTreeMap<String, Vec<u8>>| {
        let disk = disk_with(damaged);
        let mut told = Told::default();
        let (mut log, report) = Log::open_with(disk.clone(), options(), &mut told).unwrap();
        assert!(report.damage.is_empty());
        assert_eq!(told, expected);
        assert_eq!(payloads(&log), left);
        log.run_background().unwrap();
        assert_eq!(names(&disk, ".footer"), footers, "it is written anew");
    };
    check(&whole);
    let mut without = whole.clone();
    without.retain(|name, _| !name.ends_with(".footer"));
    check(&without);
    let (one, other) = (&footers[1], &footers[2]);
    let mut swapped = whole.clone();
    swapped.insert(one.clone(), whole[other].clone());
    check(&swapped);
    for length in [0, 11, 400, whole[one].len() - 1] {
        let mut short = whole.clone();
        short.get_mut(one).unwrap().truncate(length);
        check(&short);
    }
    for place in (0..whole[one].len()).step_by(7) {
        let mut flipped = whole.clone();
        flipped.get_mut(one).unwrap()[place] ^= 1 << (place % 8);
        check(&flipped);
    }
    let mut orphaned = whole.clone();
    let name = "00000000000000ff-0000000000000001.footer";
    orphaned.insert(name.to_owned(), whole[one].clone());
    check(&orphaned);
}

#[test]
fn a_footer_of_what_is_not_synced_counts_until_the_machine_stops() {
    let disk = SimulatedDisk::new();
    let options = relaxed(10_000);
    let (mut log, _) = Log::open(disk.clone(), options).unwrap();
    for number in 1..300 {
        append_one(&mut log, &format!("message {number}")).unwrap();
    }
    log.commit(false).unwrap();
    log.run_background().unwrap();
    let footers = names(&disk, ".footer");
    assert_eq!(footers.len(), log.segments() - 1);
    // Damage shows whether the segment was read.
    let (name, bytes) = segments(&disk).pop_first().unwrap();
    let place = bytes.windows(10).position(|part| part == b"message 15").unwrap();
    let damage = |disk: &SimulatedDisk| {
        disk.corrupt(&name, place, 1);
        Log::open(disk.clone(), options).unwrap().1.damage
    };
    assert!(damage(&disk.after_kill()).is_empty());
    assert_eq!(damage(&disk.after_power_cut(|| true)).len(), 1);
    log.commit(true).unwrap();
    log.run_background().unwrap();
    assert_eq!(names(&disk, ".footer"), footers);
    assert!(damage(&disk.after_power_cut(|| true)).is_empty(), "now it is on the disk");
}

/// Keys that are put again and again, and of each the last one kept.
fn put(log: &mut Log<SimulatedDisk>, latest: &mut BTreeMap<u64, u64>, key: u64, round: u64) {
    let payload = format!("{key:04} {round:0200}");
    let message =
        Message { subject: b"key", headers: b"", payload: payload.as_bytes(), timestamp_ns: 0 };
    let sequence = log.append(&[message]).unwrap().start;
    if let Some(old) = latest.insert(key, sequence) {
        log.delete(&[old]).unwrap();
    }
}

#[test]
fn a_key_value_store_stays_as_small_as_what_is_in_it() {
    let disk = SimulatedDisk::new();
    let options = Options { segment_bytes: 16 << 10, ..options() };
    let (mut log, _) = Log::open(disk.clone(), options).unwrap();
    let mut latest = BTreeMap::new();
    // Some keys are put once, so the front never moves.
    for key in 0..40 {
        put(&mut log, &mut latest, key, 0);
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes_max = 0;
    for round in 1..2_000 {
        for _ in 0..5 {
            put(&mut log, &mut latest, random.u64(20..60), round);
        }
        log.commit(true).unwrap();
        log.run_background().unwrap();
        let bytes: usize = files(&disk).values().map(Vec::len).sum();
        bytes_max = bytes_max.max(bytes);
    }
    assert!(log.next_sequence() > 10_000);
    assert!(bytes_max < 16 * (16 << 10), "{bytes_max} bytes for 60 keys");
    assert!(log.segments() < 12, "{} segments", log.segments());
    let check = |log: &Log<SimulatedDisk>| {
        let left = payloads(log);
        assert_eq!(left.len(), latest.len());
        for (key, sequence) in &latest {
            let found = left.iter().find(|(found, _)| found == sequence).unwrap();
            assert!(found.1.starts_with(&format!("{key:04} ")));
        }
    };
    check(&log);
    for disk in [disk.after_kill(), disk.after_power_cut(|| false)] {
        let (log, report) = Log::open(disk.clone(), options).unwrap();
        assert!(report.damage.is_empty(), "{report:?}");
        check(&log);
        let verify = Options { verify: true, ..options };
        let (log, report) = Log::open(disk.after_kill(), verify).unwrap();
        assert!(report.damage.is_empty(), "{report:?}");
        check(&log);
    }
}

#[test]
fn who_reads_while_a_segment_is_compacted_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    append_durable(&mut log, 1..300);
    let located = log.locate(5).unwrap().unwrap();
    let deleted: Vec<u64> = (1..300).filter(|number| number % 5 != 0).collect();
    log.delete(&deleted).unwrap();
    log.commit(true).unwrap();
    let bytes = |disk: &RealDisk| -> u64 {
        let names = disk.list().unwrap();
        let path = |name: &String| directory.path().join(name);
        names.iter().map(|name| std::fs::metadata(path(name)).unwrap().len()).sum()
    };
    let before = bytes(&disk);
    log.run_background().unwrap();
    assert!(bytes(&disk) < before, "{} of {before}", bytes(&disk));
    assert_eq!(located.read().unwrap().payload(), b"message 5");
    let left = payloads(&log);
    assert_eq!(left.len(), 59);
    drop((located, log, disk));
    let disk = RealDisk::open(directory.path()).unwrap();
    let (log, report) = Log::open(disk, options()).unwrap();
    assert!(report.damage.is_empty());
    assert_eq!(payloads(&log), left);
}

#[test]
fn what_a_compacted_segment_lost_is_reported() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..300);
    log.delete(&(1..60).filter(|number| number % 4 != 0).collect::<Vec<_>>()).unwrap();
    log.commit(true).unwrap();
    log.run_background().unwrap();
    let left = payloads(&log);
    drop(log);
    let whole = files(&disk);
    let compacted = whole.keys().find(|name| name.ends_with("-00000001.segment")).unwrap();
    let verify = Options { verify: true, ..options() };
    let (_, report) = Log::open(disk_with(&whole), verify).unwrap();
    assert!(report.damage.is_empty());
    let length = whole[compacted].len();
    for place in 0..length {
        let mut flipped = whole.clone();
        flipped.get_mut(compacted).unwrap()[place] ^= 1 << (place % 8);
        let (log, report) = Log::open(disk_with(&flipped), verify).unwrap();
        let found = payloads(&log);
        assert!(found.len() + 1 >= left.len() && found.iter().all(|one| left.contains(one)));
        if found.len() < left.len() {
            let [damage] = &report.damage[..] else { panic!("{place}: {report:?}") };
            assert!(damage.synced, "{place}");
        }
        let mut short = whole.clone();
        short.get_mut(compacted).unwrap().truncate(place);
        let (log, report) = Log::open(disk_with(&short), verify).unwrap();
        let found = payloads(&log);
        assert!(found.iter().all(|one| left.contains(one)), "{place}");
        let lost = left.iter().filter(|one| !found.contains(one));
        for (sequence, _) in lost {
            assert!(report.damage.iter().any(|damage| damage.sequences.contains(sequence)));
        }
        assert!(place == 0 || !report.damage.is_empty(), "{place}");
    }
}
