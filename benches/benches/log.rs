//! The log on a real disk: taking messages in, committing them, reading them, opening it again.
//!
//! Files are below the folder for temporary files; another is named by `TMPDIR`. What waits for
//! the disk stands beside a bare write and sync of as many bytes, in a file that was written
//! before, in the same folder.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fulmar_storage::{Log, Message, Options, RealDisk};
use tempfile::TempDir;

/// Messages of a log that is read or opened.
const MESSAGES: u64 = 100_000;

/// Messages of an append: what a reactor brings in one go.
const BATCH: usize = 64;

/// A log that is written to begins again when it has this many messages, so that a long run
/// needs no more disk than a short one.
const MESSAGES_MAX: u64 = 200_000;

/// A log in a folder of its own, which goes away with it.
struct Scratch {
    log: Log<RealDisk>,
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        let log = open(&folder);
        Self { log, folder }
    }

    /// Removes what is in the log when it is long; not to be timed.
    fn shorten(&mut self) {
        self.log.run_background().expect("the disk works");
        if self.log.messages() >= MESSAGES_MAX {
            self.log.truncate_front(self.log.next_sequence()).expect("the disk works");
            self.log.commit(true).expect("the disk works");
            self.log.run_background().expect("the disk works");
        }
    }

    fn append(&mut self, batch: &[Message<'_>]) {
        black_box(self.log.append(batch).expect("there is room"));
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log-append");
    group.throughput(Throughput::Elements(BATCH as u64));
    for payload_bytes in [128, 1024] {
        let payload = vec![b'x'; payload_bytes];
        let batch = [message(&payload); BATCH];
        let mut scratch = Scratch::new();
        group.bench_function(format!("{BATCH}-of-{payload_bytes}"), |bencher| {
            bencher.iter_custom(|count| {
                timed(
                    &mut scratch,
                    count,
                    |scratch| scratch.append(&batch),
                    |scratch| {
                        scratch.log.commit(false).expect("the disk works");
                    },
                )
            });
        });
        let mut scratch = Scratch::new();
        group.bench_function(format!("{BATCH}-of-{payload_bytes}-and-write"), |bencher| {
            bencher.iter_custom(|count| {
                timed(
                    &mut scratch,
                    count,
                    |scratch| {
                        scratch.append(&batch);
                        scratch.log.commit(false).expect("the disk works");
                    },
                    |_| {},
                )
            });
        });
    }
    group.finish();
}

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log-commit");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    let payload = vec![b'x'; 128];
    for size in [1, 64, 1000] {
        group.throughput(Throughput::Elements(size as u64));
        let batch = vec![message(&payload); size];
        let mut scratch = Scratch::new();
        group.bench_function(format!("{size}-of-128"), |bencher| {
            bencher.iter_custom(|count| {
                timed(
                    &mut scratch,
                    count,
                    |scratch| {
                        scratch.append(&batch);
                        scratch.log.commit(true).expect("the disk works");
                    },
                    |_| {},
                )
            });
        });
        let bytes = vec![b'x'; size * 176];
        let file = File::create(scratch.folder.path().join("bare")).expect("the folder is ours");
        file.write_all_at(&bytes, 0).and_then(|()| file.sync_all()).expect("the disk works");
        group.bench_function(format!("{size}-bare"), |bencher| {
            bencher.iter(|| {
                file.write_all_at(black_box(&bytes), 0).expect("the disk works");
                file.sync_data().expect("the disk works");
            });
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let scratch = filled();
    let mut group = criterion.benchmark_group("log-read");
    group.throughput(Throughput::Elements(1));
    let mut sequence = 1;
    group.bench_function("any", |bencher| {
        bencher.iter(|| {
            // Ever different ones, far apart.
            sequence = (sequence + 61_803) % MESSAGES + 1;
            let record = scratch.log.read(sequence).expect("the disk works").expect("it is there");
            black_box(record.payload().len())
        });
    });
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("all", |bencher| {
        bencher.iter(|| {
            let records = scratch.log.iter_from(1);
            let bytes: usize =
                records.map(|record| record.expect("the disk works").payload().len()).sum();
            assert_eq!(bytes, 128 * usize::try_from(MESSAGES).expect("it is small"));
        });
    });
    group.finish();
}

fn recover(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log-recover");
    group.sample_size(20).throughput(Throughput::Elements(MESSAGES));
    for name in ["left", "closed"] {
        let Scratch { log, folder } = filled();
        if name == "closed" {
            log.close().expect("the disk works");
        } else {
            drop(log);
        }
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let open_once = |_| {
                    let begin = Instant::now();
                    let log = open(&folder);
                    let time = begin.elapsed();
                    assert_eq!(log.messages(), MESSAGES);
                    time
                };
                (0..count).map(open_once).sum()
            });
        });
    }
    group.finish();
}

/// Times `work` so many times, but not what is done behind it.
fn timed(
    scratch: &mut Scratch,
    count: u64,
    mut work: impl FnMut(&mut Scratch),
    mut behind: impl FnMut(&mut Scratch),
) -> Duration {
    let mut time = Duration::ZERO;
    for _ in 0..count {
        let begin = Instant::now();
        work(scratch);
        time += begin.elapsed();
        behind(scratch);
        scratch.shorten();
    }
    time
}

/// A log with [`MESSAGES`] messages of 128 bytes, all of them durable.
fn filled() -> Scratch {
    let payload = vec![b'x'; 128];
    let mut scratch = Scratch::new();
    for _ in 0..MESSAGES / 1_000 {
        scratch.append(&[message(&payload); 1_000]);
        scratch.log.commit(false).expect("the disk works");
    }
    scratch.log.commit(true).expect("the disk works");
    scratch
}

fn open(folder: &TempDir) -> Log<RealDisk> {
    let disk = RealDisk::open(&folder.path().join("log")).expect("the folder is ours");
    Log::open(disk, Options::new(1)).expect("the log is whole").0
}

fn message(payload: &[u8]) -> Message<'_> {
    Message { subject: b"orders.eu.created", headers: b"", payload, timestamp_ns: 1 }
}

criterion_group!(benches, append, commit, read, recover);
criterion_main!(benches);
