//! What the log promises while it runs.

use std::io::ErrorKind;

use fulmar_storage::{
    Disk, Error, Log, MARKER_INTERVAL_BYTES, MemoryDisk, Message, Options, RealDisk, SimulatedDisk,
    Watermarks,
};

use crate::support::{
    SEGMENT_BYTES, append_durable, append_one, open, options, payloads, read_all, relaxed,
};

#[test]
fn watermarks_follow_each_other_and_nothing_is_read_before_its_promise() {
    let (mut log, report) = open(&SimulatedDisk::new());
    assert!(report.closed && report.damage.is_empty() && report.segments == 0);
    let at = |accepted, written, durable| Watermarks { accepted, written, durable };
    assert_eq!(log.watermarks(), at(0, 0, 0));
    append_one(&mut log, "one").unwrap();
    assert_eq!(log.watermarks(), at(1, 0, 0));
    assert!(log.read(1).unwrap().is_none());
    log.commit(false).unwrap();
    assert_eq!(log.watermarks(), at(1, 1, 0));
    assert!(log.read(1).unwrap().is_none(), "it could still disappear");
    log.commit(true).unwrap();
    assert_eq!(log.watermarks(), at(1, 1, 1));
    let record = log.read(1).unwrap().unwrap();
    assert_eq!(
        (record.sequence(), record.subject(), record.payload()),
        (1, &b"a"[..], &b"one"[..])
    );
    assert_eq!((record.headers(), record.timestamp_ns()), (&b""[..], 1));
    assert!(log.read(0).unwrap().is_none() && log.read(2).unwrap().is_none());
    assert!(log.read(u64::MAX).unwrap().is_none());
}

#[test]
fn a_relaxed_log_shows_what_is_written() {
    let (mut log, _) = Log::open(SimulatedDisk::new(), relaxed(2)).unwrap();
    append_one(&mut log, "one").unwrap();
    assert!(log.read(1).unwrap().is_none());
    log.commit(false).unwrap();
    assert!(log.read(1).unwrap().is_some());
    append_one(&mut log, "two").unwrap();
    assert!(matches!(append_one(&mut log, "three"), Err(Error::SyncFirst(2))));
    log.commit(true).unwrap();
    assert_eq!(append_one(&mut log, "three").unwrap(), 3);
}

#[test]
fn a_batch_gathers_while_the_disk_works() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_one(&mut log, "one").unwrap();
    let write = log.take_commit(false).unwrap();
    append_one(&mut log, "two").unwrap();
    assert!(log.take_commit(true).is_none(), "one commit at a time");
    assert!(matches!(log.commit(true), Err(Error::Busy { .. })));
    let written = write.run();
    append_one(&mut log, "three").unwrap();
    log.handle_committed(written).unwrap();
    assert_eq!(log.watermarks(), Watermarks { accepted: 3, written: 1, durable: 0 });
    let (commit, writes_before) = (log.take_commit(true).unwrap(), disk.writes());
    append_one(&mut log, "four").unwrap();
    let committed = commit.run();
    assert_eq!(disk.writes(), writes_before + 1, "both messages went with one write");
    log.handle_committed(committed).unwrap();
    // It was taken before the fourth, so it speaks for the others alone.
    assert_eq!(log.watermarks(), Watermarks { accepted: 4, written: 3, durable: 3 });
    assert!(log.take_commit(true).is_some());
}

#[test]
fn one_commit_writes_all_that_is_accepted_over_several_segments() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    for number in 1..=200 {
        append_one(&mut log, &format!("message {number}")).unwrap();
    }
    assert!(log.segments() >= 3);
    let commit = log.take_commit(true).unwrap();
    assert!(commit.syncs() && commit.bytes() > 2 * SEGMENT_BYTES);
    for sequence in [1, 100, 200] {
        let record = log.read_accepted(sequence).unwrap().unwrap();
        assert_eq!(record.payload(), format!("message {sequence}").as_bytes(), "in flight");
    }
    log.handle_committed(commit.run()).unwrap();
    assert_eq!(log.watermarks(), Watermarks { accepted: 200, written: 200, durable: 200 });
    assert!(log.take_commit(true).is_none(), "nothing is left to do");
    let (log, report) = open(&disk.after_power_cut(|| false));
    assert!(report.damage.is_empty());
    assert_eq!(payloads(&log).len(), 200);
}

#[test]
fn segments_are_prepared_ahead_rolled_and_removed() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    log.run_background().unwrap();
    append_durable(&mut log, 1..200);
    assert!(log.segments() >= 3);
    assert_eq!(log.messages(), 199);
    let segments_before = log.segments();
    log.truncate_front(150).unwrap();
    log.run_background().unwrap();
    assert_eq!(log.segments(), segments_before, "the deletion is not durable yet");
    assert_eq!(log.messages(), 50);
    log.commit(true).unwrap();
    log.run_background().unwrap();
    assert!(log.segments() < segments_before);
    let spares = 1;
    assert!(crate::support::segments(&disk).len() <= log.segments() + spares);
    assert_eq!(log.next_from(0).unwrap().unwrap().sequence(), 150);
    let (log, report) = open(&disk.after_power_cut(|| false));
    assert!(report.damage.is_empty(), "{report:?}");
    assert_eq!((log.front(), log.messages(), log.next_sequence()), (150, 50, 200));
    assert!(log.read(149).unwrap().is_none());
    assert_eq!(payloads(&log).first().unwrap(), &(150, "message 150".to_owned()));
}

#[test]
fn everything_can_be_deleted_and_the_sequence_goes_on() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..100);
    assert!(matches!(log.truncate_front(101), Err(Error::SequenceAhead { .. })));
    log.truncate_front(100).unwrap();
    log.commit(true).unwrap();
    log.run_background().unwrap();
    assert_eq!((log.segments(), log.messages()), (2, 0));
    let (mut log, report) = open(&disk.after_kill());
    assert!(report.damage.is_empty());
    assert_eq!(append_one(&mut log, "hundred").unwrap(), 100);
}

#[test]
fn segments_stay_until_what_follows_them_is_durable() {
    // Found by the crash test: everything was deleted and removed while the segment that went on
    // was in memory only. A power cut then left an empty directory, and sequences from 1.
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..50);
    assert_eq!(log.segments(), 1);
    log.truncate_front(50).unwrap();
    log.commit(true).unwrap();
    for number in 50..300 {
        append_one(&mut log, &format!("message {number}")).unwrap();
    }
    assert!(log.segments() > 3);
    let segments = log.segments();
    log.run_background().unwrap();
    assert_eq!(log.segments(), segments);
    let (log, _) = open(&disk.after_power_cut(|| false));
    assert_eq!((log.front(), log.next_sequence()), (50, 50));
}

#[test]
fn who_reads_a_segment_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let (mut log, _) = Log::open(disk, options()).unwrap();
    append_durable(&mut log, 1..200);
    append_one(&mut log, "not durable").unwrap();
    assert!(log.locate(200).unwrap().is_none());
    let located = log.locate(1).unwrap().unwrap();
    log.truncate_front(200).unwrap();
    log.commit(true).unwrap();
    let segments = log.segments();
    log.run_background().unwrap();
    assert!(log.segments() < segments);
    assert!(log.read(1).unwrap().is_none());
    // Another thread reads while the owner goes on.
    let reader = std::thread::spawn(move || located.read().unwrap().payload().to_vec());
    append_durable(&mut log, 201..300);
    assert_eq!(reader.join().unwrap(), b"message 1");
}

#[test]
fn segments_grow_and_a_large_message_gets_one_that_fits() {
    let disk = SimulatedDisk::new();
    let options = Options { segment_bytes: 16 << 10, ..options() };
    let (mut log, _) = Log::open(disk.clone(), options).unwrap();
    let lengths = |disk: &SimulatedDisk| -> Vec<usize> {
        crate::support::segments(disk).values().map(Vec::len).collect()
    };
    assert_eq!(lengths(&disk), [0; 0], "a log that is new has no file");
    append_durable(&mut log, 1..2);
    assert_eq!(lengths(&disk), [4_096]);
    append_durable(&mut log, 2..600);
    assert_eq!(lengths(&disk), [4_096, 8_192, 16_384, 16_384]);
    // A spare that is too short makes way.
    append_durable(&mut log, 600..700);
    log.run_background().unwrap();
    assert_eq!(lengths(&disk).len(), 5);
    let large = vec![b'x'; 50_000];
    let message = Message { subject: b"a", headers: b"", payload: &large, timestamp_ns: 0 };
    assert_eq!(log.append(&[message]).unwrap(), 700..701);
    append_durable(&mut log, 701..900);
    assert_eq!(lengths(&disk), [4_096, 8_192, 16_384, 16_384, 53_248, 16_384]);
    let (log, report) = Log::open(disk.after_power_cut(|| false), options).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    assert_eq!(log.messages(), 899);
    assert_eq!(log.read(700).unwrap().unwrap().payload(), large);
    // A batch gets a segment for itself, if there may be one.
    let disk = SimulatedDisk::new();
    let (mut log, _) = Log::open(disk.clone(), options).unwrap();
    log.append(&[Message { payload: &large[..1_000], ..message }; 10]).unwrap();
    assert_eq!(lengths(&disk), [12_288]);
}

#[test]
fn a_full_disk_refuses_the_batch_and_nothing_else() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..20);
    disk.set_room_bytes_max(Some(SEGMENT_BYTES));
    let refused = loop {
        match append_one(&mut log, "more") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::DiskFull { segment_bytes: SEGMENT_BYTES }), "{refused}");
    let accepted = log.watermarks().accepted;
    // A batch of which only the end needs another segment is refused whole.
    let large = vec![0; 3_000];
    let message = Message { subject: b"a", headers: b"", payload: b"x", timestamp_ns: 0 };
    let batch = [message, Message { payload: &large, ..message }];
    assert!(matches!(log.append(&batch), Err(Error::DiskFull { .. })));
    assert_eq!(log.watermarks().accepted, accepted);
    log.commit(true).unwrap();
    assert_eq!(payloads(&log).len() as u64, accepted);
    disk.set_room_bytes_max(None);
    assert_eq!(append_one(&mut log, "again").unwrap(), accepted + 1);
    append_durable(&mut log, 0..1);
    assert_eq!(payloads(&log).len() as u64, accepted + 2);
}

#[test]
fn a_failed_write_finishes_the_log_until_it_is_opened_again() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..10);
    disk.fail_write_at(disk.writes() + 1, ErrorKind::Other);
    append_one(&mut log, "half of it is written, which is not enough").unwrap();
    assert!(matches!(log.commit(false), Err(Error::Disk { .. })));
    assert!(log.is_finished());
    assert!(matches!(append_one(&mut log, "x"), Err(Error::Finished(_))));
    assert!(matches!(log.commit(false), Err(Error::Finished(_))));
    assert!(matches!(log.commit(true), Err(Error::Finished(_))));
    assert!(matches!(log.truncate_front(3), Err(Error::Finished(_))));
    assert_eq!(payloads(&log).len(), 9, "reading goes on");
    let (mut log, report) = open(&disk.after_kill());
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert!(!report.damage[0].synced);
    let sequence = append_one(&mut log, "new").unwrap();
    assert!(sequence > 10, "10 was given away, perhaps");
    append_durable(&mut log, 0..1);
    assert_eq!(payloads(&log).len(), 11);
}

#[test]
fn after_a_failed_sync_what_is_kept_is_written_again() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..10);
    append_one(&mut log, "the disk says no").unwrap();
    log.commit(false).unwrap();
    disk.fail_sync_at(disk.syncs() + 1, ErrorKind::Other);
    assert!(matches!(log.commit(true), Err(Error::Disk { .. })));
    assert!(log.is_finished());
    assert!(log.read(10).unwrap().is_none(), "it was never durable");
    drop(log);
    // The system takes the pages for synced. What the next opening serves must be on the disk.
    let disk = disk.after_kill();
    let (log, _) = open(&disk);
    let served = payloads(&log);
    assert_eq!(served.len(), 10);
    let (log, _) = open(&disk.after_power_cut(|| false));
    assert_eq!(payloads(&log), served);
}

#[test]
fn bounds_are_named_and_kept() {
    let (mut log, _) =
        Log::open(SimulatedDisk::new(), Options { unwritten_bytes_max: 1_000, ..options() })
            .unwrap();
    let payload = vec![7; 4_000];
    let message = Message { subject: b"a", headers: b"", payload: &payload, timestamp_ns: 0 };
    assert!(matches!(log.append(&[message]), Err(Error::TooLarge { bytes_max: 1_000, .. })));
    let message = Message { payload: &payload[..500], ..message };
    assert!(matches!(log.append(&[message; 2]), Err(Error::TooLarge { bytes_max: 1_000, .. })));
    log.append(&[message]).unwrap();
    assert!(matches!(log.append(&[message]), Err(Error::Busy { .. })));
    log.commit(false).unwrap();
    log.append(&[message]).unwrap();
    let message = Message { subject: b"", ..message };
    assert!(matches!(log.append(&[message]), Err(Error::SubjectLength(0))));
    let subject = vec![b'a'; 65_536];
    let message = Message { subject: &subject, ..message };
    assert!(matches!(log.append(&[message]), Err(Error::SubjectLength(65_536))));
    assert_eq!(log.append(&[]).unwrap(), 3..3);
    for wrong in [
        Options { segment_bytes: 0, ..options() },
        Options { first_segment_bytes: 0, ..options() },
        Options { first_segment_bytes: 4 << 20, ..options() },
        Options { segment_bytes: 4_100, ..options() },
        Options { segment_bytes: 4 << 30, ..options() },
        Options { first_sequence: 0, ..options() },
        Options { first_sequence: u64::MAX, ..options() },
        relaxed(0),
        relaxed(u64::MAX),
    ] {
        assert!(matches!(Log::open(SimulatedDisk::new(), wrong), Err(Error::Options(_))));
    }
}

#[test]
fn a_new_log_starts_where_it_is_told_and_an_old_one_goes_on() {
    let disk = SimulatedDisk::new();
    let from = |first_sequence| Options { first_sequence, ..options() };
    let (mut log, _) = Log::open(disk.clone(), from(1_000)).unwrap();
    assert_eq!(append_one(&mut log, "x").unwrap(), 1_000);
    log.commit(false).unwrap();
    log.close().unwrap();
    let (mut log, report) = Log::open(disk.after_power_cut(|| false), from(1)).unwrap();
    assert!(report.closed && report.damage.is_empty(), "{report:?}");
    assert_eq!(append_one(&mut log, "y").unwrap(), 1_001);
}

#[test]
fn a_marker_comes_every_64_kib_and_leads_behind_a_lost_start() {
    let disk = SimulatedDisk::new();
    let bytes = 512 << 10;
    let options = Options { first_segment_bytes: bytes, segment_bytes: bytes, ..options() };
    let (mut log, _) = Log::open(disk.clone(), options).unwrap();
    let payload = vec![b'x'; 1_000];
    let message = Message { subject: b"a", headers: b"", payload: &payload, timestamp_ns: 0 };
    for _ in 0..40 {
        log.append(&[message; 10]).unwrap();
        log.commit(true).unwrap();
    }
    let mut files = crate::support::files(&disk);
    let (name, bytes) = files.iter_mut().next().unwrap();
    let markers: Vec<usize> = (0..bytes.len() - 8)
        .step_by(8)
        .filter(|at| bytes[*at..].starts_with(b"FULMARLG"))
        .collect();
    let record_bytes = 1_048;
    assert!(markers.len() >= 6, "{markers:?}");
    for pair in markers.windows(2) {
        let interval = (pair[1] - pair[0]) as u64;
        let longest = MARKER_INTERVAL_BYTES + record_bytes + 120;
        assert!((MARKER_INTERVAL_BYTES..=longest).contains(&interval), "{name}: {interval}");
    }
    // The first 100 KiB are gone, and with them the first marker.
    bytes[..100 << 10].fill(0xa5);
    let (log, report) = Log::open(crate::support::disk_with(&files), options).unwrap();
    let [damage] = &report.damage[..] else { panic!("{report:?}") };
    assert_eq!(damage.bytes.start, 0);
    assert!((100 << 10..(100 << 10) + record_bytes).contains(&damage.bytes.end));
    assert!(damage.synced, "the markers behind say that this was on the disk");
    assert_eq!(damage.sequences.start, 1);
    let (messages, damaged) = read_all(&log);
    assert_eq!(damaged, std::slice::from_ref(&damage.sequences));
    assert_eq!(
        messages.keys().copied().collect::<Vec<_>>(),
        (damage.sequences.end..401).collect::<Vec<_>>()
    );
}

#[test]
fn erased_bytes_are_gone_from_the_disk_and_nothing_else_is() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..200);
    let holds = |disk: &SimulatedDisk, text: &str| {
        let files = crate::support::files(disk);
        let padded = format!("{text}\0");
        files
            .values()
            .any(|bytes| bytes.windows(padded.len()).any(|part| part == padded.as_bytes()))
    };
    let located = log.locate(150).unwrap().unwrap();
    append_one(&mut log, "secret").unwrap();
    assert_eq!(log.erase(&[10, 11, 150, 200, 1_000]).unwrap(), 4);
    assert!(log.read(10).unwrap().is_none() && log.read_accepted(200).unwrap().is_none());
    assert!(holds(&disk, "message 10"), "it is not durable yet that it is deleted");
    log.commit(true).unwrap();
    assert!(!holds(&disk, "message 10") && !holds(&disk, "message 11"));
    assert!(!holds(&disk, "secret"));
    assert!(holds(&disk, "message 150"), "somebody reads in its segment");
    assert_eq!(located.read().unwrap().payload(), b"message 150");
    drop(located);
    log.run_background().unwrap();
    assert!(!holds(&disk, "message 150"));
    log.commit(true).unwrap();
    let after = disk.after_power_cut(|| false);
    assert!(!holds(&after, "message 10") && !holds(&after, "message 150"));
    let (log, report) = open(&after);
    assert!(report.damage.is_empty(), "{report:?}");
    let left: Vec<u64> = payloads(&log).into_iter().map(|(sequence, _)| sequence).collect();
    let expected: Vec<u64> =
        (1..200).filter(|sequence| ![10, 11, 150].contains(sequence)).collect();
    assert_eq!(left, expected);
}

#[test]
fn erasing_that_a_crash_stopped_goes_on() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk);
    append_durable(&mut log, 1..10);
    let keeps_it = log.locate(1).unwrap().unwrap();
    log.erase(&[3]).unwrap();
    log.commit(true).unwrap();
    drop(log);
    let found = |disk: &SimulatedDisk| {
        let (_, bytes) = crate::support::files(disk).pop_first().unwrap();
        bytes.windows(9).any(|part| part == b"message 3")
    };
    assert!(found(&disk), "nothing was overwritten while it was read");
    drop(keeps_it);
    let disk = disk.after_power_cut(|| false);
    let (mut log, report) = open(&disk);
    assert!(report.damage.is_empty());
    log.run_background().unwrap();
    assert!(!found(&disk));
    log.close().unwrap();
    let writes = disk.writes();
    let (mut log, report) = open(&disk.after_kill());
    assert!(report.damage.is_empty() && report.closed, "{report:?}");
    log.run_background().unwrap();
    assert_eq!((payloads(&log).len(), disk.writes()), (8, writes), "it is not done again");
}

#[test]
fn a_relaxed_log_leaves_sequences_out_only_after_the_machine_stopped() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = Log::open(disk.clone(), relaxed(1_000)).unwrap();
    append_one(&mut log, "one").unwrap();
    log.commit(false).unwrap();
    assert_eq!(log.visible_sequence(), 1);
    let disk = disk.after_kill();
    let (mut log, _) = Log::open(disk.clone(), relaxed(1_000)).unwrap();
    assert_eq!(log.next_sequence(), 2);
    append_one(&mut log, "two").unwrap();
    log.commit(false).unwrap();
    let mut disk = disk.after_power_cut(|| false);
    for round in 0..3 {
        // Nothing was appended since the last opening, but nobody can know.
        let (log, _) = Log::open(disk.clone(), relaxed(1_000)).unwrap();
        assert_eq!(log.next_sequence(), 1_001, "round {round}");
        disk = disk.after_kill();
    }
    let (mut log, _) = Log::open(disk.clone(), relaxed(1_000)).unwrap();
    append_one(&mut log, "three").unwrap();
    log.commit(false).unwrap();
    let disk = disk.after_kill();
    let (log, _) = Log::open(disk.clone(), relaxed(1_000)).unwrap();
    assert_eq!(payloads(&log), [(1_001, "three".to_owned())]);
    log.close().unwrap();
    let (log, report) = Log::open(disk.after_power_cut(|| true), relaxed(1_000)).unwrap();
    assert_eq!((log.next_sequence(), report.closed), (1_002, true), "nothing was missing");
}

#[test]
fn a_log_in_memory_behaves_the_same_and_gives_its_memory_back() {
    let disk = MemoryDisk::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    append_durable(&mut log, 1..500);
    assert_eq!(payloads(&log).len(), 499);
    log.delete(&[499]).unwrap();
    log.truncate_front(450).unwrap();
    log.commit(true).unwrap();
    log.run_background().unwrap();
    assert!(disk.list().unwrap().len() <= 8);
    drop(log);
    let (log, report) = Log::open(disk, options()).unwrap();
    assert!(report.damage.is_empty());
    assert_eq!(payloads(&log).len(), 49);
    assert_eq!(payloads(&log)[0], (450, "message 450".to_owned()));
}

#[test]
fn a_closed_log_and_a_killed_one_come_back_on_the_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4_u64 {
        let disk = RealDisk::open(directory.path()).unwrap();
        let (mut log, report) = Log::open(disk, options()).unwrap();
        assert!(report.damage.is_empty(), "{report:?}");
        assert_eq!(report.closed, round % 2 == 0);
        assert_eq!(payloads(&log), expected);
        append_durable(&mut log, round * 50..round * 50 + 50);
        expected = payloads(&log);
        assert_eq!(expected.len() as u64, round * 50 + 50);
        if round % 2 == 1 {
            log.close().unwrap();
        }
    }
}
