//! What a store promises beyond what its log does.

use std::ops::Range;

use fulmar_storage::{Disk, Error, Filters, MemoryDisk, Message, Removed, Store, SubjectState};

use crate::support::{Home, append, message, on_each_disk, open, options};

on_each_disk!(
    a_store_is_asked_by_sequence_and_by_subject,
    what_is_deleted_stays_deleted,
    sequences_are_as_users_know_them,
    what_is_accepted_is_in_the_index_and_not_visible,
    bytes_are_counted_as_in_nats_server,
    times_are_found,
    gaps_are_told_as_ranges,
    a_refused_batch_changes_nothing,
);

fn filters(filter: &str) -> Filters {
    Filters::parse([filter]).unwrap()
}

fn a_store_is_asked_by_sequence_and_by_subject(home: &impl Home) {
    let (mut store, recovery) = open(home);
    assert!(recovery.damage.is_empty());
    for number in 0..200 {
        append(&mut store, &format!("orders.{}", number % 20), &format!("order {number}"));
    }
    append(&mut store, "metrics.cpu", "0.5");
    let check = |store: &Store<_>| {
        assert_eq!((store.messages(), store.subject_count()), (201, 21));
        assert_eq!(store.last_of(b"orders.3"), Some(184));
        assert_eq!(store.first_of(b"orders.3"), Some(4));
        assert_eq!(store.count_of(b"orders.3"), 10);
        assert_eq!(store.next_matching(&filters("metrics.>"), 1), Some(201));
        assert_eq!(store.previous_matching(&filters("orders.3"), 100), Some(84));
        assert_eq!(store.count_matching(&filters("orders.*"), 101, 201), 100);
        assert_eq!(store.last_per_subject(&filters("*.cpu"), 201), [201]);
        let state = SubjectState { first: 201, last: 201, count: 1 };
        let found: Vec<_> = store.subjects_matching(&filters("metrics.*")).collect();
        assert_eq!(found, [(&b"metrics.cpu"[..], state)]);
        assert_eq!(store.subject_of(5), Some(&b"orders.4"[..]));
        assert_eq!(store.read(5).unwrap().unwrap().payload(), b"order 4");
        assert_eq!(store.locate(6).unwrap().unwrap().read().unwrap().payload(), b"order 5");
        assert_eq!((store.next_from(0), store.previous_from(u64::MAX)), (Some(1), Some(201)));
    };
    check(&store);
    store.close().unwrap();
    let (store, recovery) = open(home);
    assert!(recovery.closed && recovery.damage.is_empty());
    check(&store);
}

fn what_is_deleted_stays_deleted(home: &impl Home) {
    let (mut store, _) = open(home);
    for number in 0..100 {
        append(&mut store, &format!("s.{}", number % 10), "payload");
    }
    let bytes = store.bytes();
    let each = bytes / 100;
    assert!(store.delete(50, false).unwrap());
    assert!(!store.delete(50, false).unwrap());
    assert!(!store.delete(500, false).unwrap());
    let removed = store.delete_many(&[51, 52, 53, 53, 1_000]).unwrap();
    assert_eq!(removed, Removed { messages: 3, bytes: 3 * each });
    let removed = store.truncate_front(31).unwrap();
    assert_eq!(removed, Removed { messages: 30, bytes: 30 * each });
    assert_eq!(store.truncate_front(31).unwrap(), Removed::default());
    assert!(matches!(store.truncate_front(102), Err(Error::SequenceAhead { .. })));
    assert!(store.read(50).unwrap().is_none());
    assert!(store.delete(54, true).unwrap());
    assert!(!store.delete(54, true).unwrap());
    // All of one subject, as a purge does.
    let mut gone = Vec::new();
    while let Some(sequence) = store.next_matching(&filters("s.5"), 0) {
        gone.push(sequence);
        assert!(store.delete(sequence, false).unwrap());
    }
    assert_eq!(gone, [36, 46, 56, 66, 76, 86, 96]);
    store.commit(true).unwrap();
    let check = |store: &Store<_>| {
        assert_eq!((store.messages(), store.subject_count()), (58, 9));
        assert_eq!(store.bytes(), 58 * each);
        assert_eq!((store.first_sequence(), store.last_sequence()), (31, 100));
        assert_eq!(store.deleted_count(), 12);
        assert_eq!(store.index(), &store.recount().unwrap());
    };
    check(&store);
    store.run_background().unwrap();
    check(&store);
    drop(store);
    let (store, _) = open(home);
    check(&store);
}

fn sequences_are_as_users_know_them(home: &impl Home) {
    let (mut store, _) = open(home);
    assert_eq!((store.first_sequence(), store.last_sequence()), (0, 0));
    append(&mut store, "a", "");
    append(&mut store, "a", "");
    assert_eq!((store.first_sequence(), store.last_sequence()), (1, 2));
    assert!(store.delete(1, false).unwrap());
    assert_eq!((store.first_sequence(), store.deleted_count()), (2, 0));
    store.truncate_front(3).unwrap();
    assert_eq!((store.first_sequence(), store.last_sequence()), (3, 2));
    assert_eq!((store.messages(), store.bytes(), store.deleted_count()), (0, 0, 0));
    store.skip_to(100).unwrap();
    assert_eq!((store.first_sequence(), store.last_sequence()), (100, 99));
    assert_eq!(append(&mut store, "a", ""), 100);
    store.append_at(200, &message("b", "")).unwrap();
    assert!(matches!(store.append_at(200, &message("b", "")), Err(Error::SequenceUsed { .. })));
    store.commit(true).unwrap();
    let check = |store: &Store<_>| {
        assert_eq!((store.first_sequence(), store.last_sequence()), (100, 200));
        assert_eq!((store.messages(), store.deleted_count()), (2, 99));
    };
    check(&store);
    drop(store);
    check(&open(home).0);
}

fn what_is_accepted_is_in_the_index_and_not_visible(home: &impl Home) {
    let (mut store, _) = open(home);
    append(&mut store, "a", "one");
    let sequences = store.append_atomic(&[message("a", "two"), message("a", "three")]).unwrap();
    assert_eq!(sequences, 2..4);
    assert_eq!((store.last_of(b"a"), store.visible_sequence()), (Some(3), 1));
    assert!(store.read(3).unwrap().is_none());
    assert_eq!(store.read_accepted(3).unwrap().unwrap().payload(), b"three");
    let job = store.take_commit(true).unwrap();
    assert_eq!(append_only(&mut store, "a"), 4);
    store.handle_committed(job.run()).unwrap();
    assert_eq!((store.visible_sequence(), store.watermarks().accepted), (3, 4));
    assert_eq!(store.read(3).unwrap().unwrap().payload(), b"three");
    assert!(store.read(4).unwrap().is_none());
}

fn append_only<D: Disk>(store: &mut Store<D>, subject: &str) -> u64 {
    store.append(&[message(subject, "")]).unwrap().start
}

fn bytes_are_counted_as_in_nats_server(home: &impl Home) {
    // The numbers were read from the stream information of nats-server 2.15.
    let disk = home.disk();
    let memory = disk.is_memory();
    let (mut store, _) = Store::open(disk, options()).unwrap();
    let headers = b"NATS/1.0\r\nA: b\r\n\r\n";
    let ten = [b'x'; 10];
    let plain = Message { subject: b"file.a", headers: b"", payload: &ten, timestamp_ns: 0 };
    let check = |store: &mut Store<_>, message: &Message<'_>, in_file: u64, in_memory: u64| {
        let before = store.bytes();
        store.append(&[*message]).unwrap();
        let expected = if memory { in_memory } else { in_file };
        assert_eq!(store.bytes() - before, expected);
        assert_eq!(store.bytes_of(message), expected);
    };
    check(&mut store, &plain, 46, 32);
    check(&mut store, &Message { payload: b"", ..plain }, 36, 22);
    check(&mut store, &Message { headers, ..plain }, 68, 50);
}

fn times_are_found(home: &impl Home) {
    let (mut store, _) = open(home);
    assert_eq!(store.sequence_at_time(5).unwrap(), None);
    for number in 0..100 {
        let message = Message { timestamp_ns: number * 10, ..message("a", "x") };
        store.append(&[message]).unwrap();
    }
    store.commit(true).unwrap();
    store.append(&[Message { timestamp_ns: 2_000, ..message("a", "not durable") }]).unwrap();
    store.delete_many(&(11..=20).collect::<Vec<u64>>()).unwrap();
    let check = |time: i64, expected: Option<u64>| {
        assert_eq!(store.sequence_at_time(time).unwrap(), expected, "{time}");
    };
    check(i64::MIN, Some(1));
    check(0, Some(1));
    check(1, Some(2));
    check(90, Some(10));
    check(91, Some(21));
    check(200, Some(21));
    check(990, Some(100));
    check(991, Some(101));
    check(2_001, None);
}

fn gaps_are_told_as_ranges(home: &impl Home) {
    let (mut store, _) = open(home);
    let gaps = |store: &Store<_>| store.deleted().collect::<Vec<Range<u64>>>();
    assert_eq!(gaps(&store), []);
    for _ in 0..20 {
        append_only(&mut store, "a");
    }
    assert_eq!(gaps(&store), []);
    store.delete_many(&[1, 5, 6, 10, 20]).unwrap();
    assert_eq!(gaps(&store), [5..7, 10..11, 20..21]);
    assert_eq!(store.deleted_count(), 4);
    store.skip_to(1 << 40).unwrap();
    append_only(&mut store, "a");
    assert_eq!(gaps(&store), [5..7, 10..11, 20..1 << 40]);
    assert_eq!(store.deleted().map(|gap| gap.end - gap.start).sum::<u64>(), store.deleted_count());
}

fn a_refused_batch_changes_nothing(home: &impl Home) {
    let (mut store, _) = open(home);
    append(&mut store, "a", "one");
    let large = "x".repeat(2 << 20);
    let batch = [message("b", "fits"), message("c", &large)];
    assert!(matches!(store.append(&batch), Err(Error::TooLarge { .. })));
    assert!(matches!(store.append_atomic(&batch), Err(Error::TooLarge { .. })));
    assert!(matches!(store.append_at(9, &batch[1]), Err(Error::TooLarge { .. })));
    assert!(matches!(store.append(&[message("", "")]), Err(Error::SubjectLength(0))));
    assert_eq!((store.messages(), store.last_sequence(), store.subject_count()), (1, 1, 1));
}

#[test]
fn a_store_can_go_to_another_thread_and_filters_too() {
    // Opening a large one takes a second: whoever serves others has it done elsewhere.
    let opened = std::thread::spawn(|| {
        let (mut store, _) = Store::open(MemoryDisk::new(), options()).unwrap();
        append(&mut store, "a.1", "one");
        (store, filters("a.*"))
    });
    let (store, filters) = opened.join().unwrap();
    assert_eq!(store.next_matching(&filters, 0), Some(1));
}
