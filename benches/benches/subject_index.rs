//! The index of a stream: what a message costs when it comes and when it goes, what it takes of
//! the memory, and how quickly messages are found and counted, by subject and by filter.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fulmar_benches::process::ProcessMeter;
use fulmar_storage::{Filters, SubjectIndex};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages that arrive together.
const BATCH: usize = 256;
/// How large each message is said to be.
const BYTES: u32 = 150;

/// Subjects of one length, in one allocation, as those in a read buffer are.
struct Subjects {
    text: Vec<u8>,
    length: usize,
}

impl Subjects {
    fn new(count: usize) -> Self {
        let mut text = Vec::new();
        for number in 0..count {
            text.extend_from_slice(
                format!("orders.{:03}.item.{number:07}", number % 1_000).as_bytes(),
            );
        }
        Self { length: text.len() / count, text }
    }

    fn get(&self, number: u32) -> &[u8] {
        &self.text[number as usize * self.length..][..self.length]
    }
}

/// Whether this is measured, and not only run as a test.
fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The size of the large index: messages and subjects.
fn large() -> (usize, usize) {
    if is_measuring() { (10_000_000, 1_000_000) } else { (10_000, 1_000) }
}

/// Which subject each message has: any.
fn picks(messages: usize, subjects: usize) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(1);
    let end = u32::try_from(subjects).expect("a million fits");
    (0..messages).map(|_| random.u32(..end)).collect()
}

fn append_all(index: &mut SubjectIndex, subjects: &Subjects, picks: &[u32]) {
    let mut sequence = index.last_sequence().unwrap_or(0);
    for batch in picks.chunks(BATCH) {
        index.append_many(batch.iter().map(|pick| {
            sequence += 1;
            (sequence, subjects.get(*pick), BYTES)
        }));
    }
}

/// Prints what the large index takes. It comes first, when no freed memory can be used again.
fn memory(_: &mut Criterion) {
    let (messages, subject_count) = large();
    let subjects = Subjects::new(subject_count);
    let picks = picks(messages, subject_count);
    let meter = ProcessMeter::of_self().expect("the kernel has CPU clocks");
    let resident = || meter.resident_bytes().expect("there is /proc");
    let cpu_time = || meter.cpu_time().expect("the kernel has CPU clocks");
    let (before, started) = (resident(), cpu_time());
    let mut index = SubjectIndex::new();
    append_all(&mut index, &subjects, &picks);
    let took = cpu_time().saturating_sub(started);
    println!(
        "memory: {} B resident, {} B counted, for {messages} messages of {} subjects of {} bytes; \
         CPU time to append: {took:?}",
        resident().saturating_sub(before),
        index.memory_bytes(),
        index.subject_count(),
        subjects.length,
    );
    black_box(index);
}

fn appending(criterion: &mut Criterion) {
    let measuring = is_measuring();
    let mut group = criterion.benchmark_group("subject-index/append");
    for subject_count in [1, 1_000, 1_000_000] {
        if subject_count > 1_000 && !measuring {
            // Run as a test, a million is not worth its set-up.
            continue;
        }
        let subjects = Subjects::new(subject_count);
        let picks = picks(64 * 1_024, subject_count);
        let mut index = SubjectIndex::new();
        let mut sequence = 0;
        // Of the messages before, as many stay as there are subjects, and some.
        let kept_max = 2 * subject_count as u64 + 1_000_000;
        let mut next = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("one/{subject_count}"), |bencher| {
            bencher.iter(|| {
                sequence += 1;
                next = (next + 1) % picks.len();
                index.append(sequence, subjects.get(picks[next]), BYTES);
            });
        });
        index.truncate_front(sequence.saturating_sub(kept_max));
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(format!("batch/{subject_count}"), |bencher| {
            bencher.iter(|| {
                next = (next + BATCH) % (picks.len() - BATCH);
                append_all(&mut index, &subjects, &picks[next..next + BATCH]);
            });
        });
    }
    group.finish();
}

/// A key-value bucket: each message is the only one of its subject. And a work queue.
fn coming_and_going(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subject-index/come-and-go");
    let subjects = Subjects::new(10_000);
    let picks = picks(64 * 1_024, 10_000);
    group.throughput(Throughput::Elements(1));
    group.bench_function("key-value", |bencher| {
        let (mut index, mut sequence, mut next) = (SubjectIndex::new(), 0, 0);
        bencher.iter(|| {
            sequence += 1;
            next = (next + 1) % picks.len();
            let subject = subjects.get(picks[next]);
            let before = index.last_of(subject);
            index.append(sequence, subject, BYTES);
            if let Some(before) = before {
                index.remove(before);
            }
        });
    });
    group.bench_function("queue", |bencher| {
        let (mut index, mut sequence, mut next) = (SubjectIndex::new(), 0, 0);
        bencher.iter(|| {
            sequence += 1;
            next = (next + 1) % picks.len();
            index.append(sequence, subjects.get(picks[next]), BYTES);
            // Out of order, as acknowledgements come.
            index.remove(sequence.saturating_sub(500 + u64::from(picks[next] % 500)));
        });
    });
    group.bench_function("truncate-front", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut index = SubjectIndex::new();
                append_all(&mut index, &subjects, &picks);
                index
            },
            |index| index.truncate_front(64 * 1_024),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn asking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subject-index/ask");
    let (messages, subject_count) = large();
    let subjects = Subjects::new(subject_count);
    let picks = picks(messages, subject_count);
    let mut index = SubjectIndex::new();
    append_all(&mut index, &subjects, &picks);
    let end = messages as u64;

    let mut next = 0;
    group.bench_function("last-of", |bencher| {
        bencher.iter(|| {
            next = (next + 7_919) % picks.len();
            index.last_of(subjects.get(picks[next]))
        });
    });
    let one = String::from_utf8_lossy(subjects.get(7)).into_owned();
    for (name, filter) in [
        ("all", ">"),
        ("literal", &*one),
        ("one-subject", "*.*.*.0000007"),
        ("one-in-1000", "orders.007.>"),
        ("every-subject", "orders.*.item.*"),
    ] {
        let filters = Filters::parse([filter]).expect("it is well formed");
        // A reader from the start to the end, again and again.
        let mut from = 0;
        group.bench_function(format!("next-matching/{name}"), |bencher| {
            bencher
                .iter(|| from = index.next_matching(&filters, from).map_or(0, |found| found + 1));
        });
        group.bench_function(format!("count-matching/{name}"), |bencher| {
            bencher.iter(|| index.count_matching(&filters, black_box(end / 3), end));
        });
    }
    let thousandth = Filters::parse(["orders.007.>"]).expect("it is well formed");
    group.bench_function("next-matching/one-in-1000-unprepared", |bencher| {
        bencher.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let filters = thousandth.clone();
                let started = Instant::now();
                black_box(index.next_matching(&filters, end / 2));
                took += started.elapsed();
            }
            took
        });
    });
    group.bench_function("last-per-subject/one-in-1000", |bencher| {
        bencher.iter(|| index.last_per_subject(&thousandth, end));
    });
    group.bench_function("subjects-matching/one-in-1000", |bencher| {
        bencher.iter(|| index.subjects_matching(&thousandth).count());
    });
    group.finish();
}

criterion_group!(benches, memory, appending, coming_and_going, asking);
criterion_main!(benches);
