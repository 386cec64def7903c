//! Who wants a subject: remembered and asked, among few and many subscriptions. And what a
//! subscription takes of the memory, as the kernel sees it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fulmar::mesh::interest::{Interest, Routes, SubscriberId};
use fulmar::reactor::cache::RouteCache;
use fulmar::reactor::subscriptions::{Sid, Sids, Subscription, Subscriptions};
use fulmar_benches::process::ProcessMeter;
use fulmar_protocol::subject::Filter;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Subjects that take turns where an answer is not to be remembered: many more than are.
const SUBJECT_COUNT: usize = 64 * 1024;

/// Whether this is measured, and not only run as a test.
fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Prints what each of many subscriptions takes, one in ten of them with a wildcard: in the
/// interest, and in the list of the connection that they all belong to. It comes first, when no
/// freed memory can be used again.
fn memory(_: &mut Criterion) {
    let count = if is_measuring() { 1_000_000 } else { 1_000 };
    let meter = ProcessMeter::of_self().expect("the kernel has CPU clocks");
    let resident = || meter.resident_bytes().expect("there is /proc");
    let each = |bytes: u64| bytes / u64::try_from(count).expect("a million fits");
    let before = resident();
    let interest = subscribed(count, 10);
    let interest_bytes = resident().saturating_sub(before);
    println!(
        "memory: {} B for each of {count} subscriptions in the interest",
        each(interest_bytes)
    );

    let before = resident();
    let (mut all, mut sids) = (Subscriptions::default(), Sids::default());
    // In the broker it is the one that the interest has, too.
    let filter: Arc<[u8]> = Arc::from([]);
    for number in 0..count {
        let (slot, _) = all.insert(Subscription {
            connection: 0,
            generation: 0,
            sid: Sid::from_slice(number.to_string().as_bytes()),
            filter: filter.clone(),
            queue: None,
            delivered: 0,
            max: 0,
        });
        sids.add(&all, slot);
    }
    let list_bytes = resident().saturating_sub(before);
    println!("memory: {} B more in the list of their connection", each(list_bytes));
    black_box((interest, all, sids));
}

fn matching(criterion: &mut Criterion) {
    let measuring = is_measuring();
    let mut group = criterion.benchmark_group("subject-match");
    for count in [10, 10_000, 1_000_000] {
        if count > 10_000 && !measuring {
            // Run as a test, a million is not worth its set-up.
            continue;
        }
        for (kind, one_in) in [("literal", 0), ("one-in-ten-wildcard", 10), ("wildcard", 1)] {
            let interest = subscribed(count, one_in);
            let subjects: Vec<Vec<u8>> = (0..SUBJECT_COUNT.min(count))
                .map(|number| subject(number * 7919 % count))
                .collect();
            let name = format!("{kind}/{count}");
            let mut cache = RouteCache::new();
            group.bench_function(format!("hit/{name}"), |bencher| {
                bencher.iter(|| cache.routes(0, &interest, black_box(&subjects[0])).local.len());
            });
            let mut next = 0;
            let mut routes = Routes::default();
            group.bench_function(format!("miss/{name}"), |bencher| {
                bencher.iter(|| {
                    next = (next + 1) % subjects.len();
                    interest.routes(0, black_box(&subjects[next]), &mut routes);
                    routes.local.len()
                });
            });
        }
    }
    group.bench_function("subscribe-and-unsubscribe", |bencher| {
        let interest = subscribed(10_000, 10);
        let filter: Arc<[u8]> = Arc::from(&b"_INBOX.aBcDeFgHiJkLmNoPqRsTuV.1"[..]);
        let id = SubscriberId { slot: u32::MAX, generation: 0, peer: 0 };
        bencher.iter_batched(
            || Filter::parse(&filter).expect("it is well formed"),
            |parsed| {
                interest.add(parsed, &filter, None, id);
                interest.remove(parsed, None, id);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// `count` subscriptions to distinct subjects, of which one in `one_in` has a `*` (0 is none).
fn subscribed(count: usize, one_in: usize) -> Interest {
    let interest = Interest::new();
    for number in 0..count {
        let mut filter = subject(number);
        if one_in != 0 && number % one_in == 0 {
            let dot = filter.iter().rposition(|byte| *byte == b'.').expect("subjects have dots");
            let middle = filter[..dot].iter().rposition(|byte| *byte == b'.').expect("two of them");
            filter.splice(middle + 1..dot, *b"*");
        }
        let shared: Arc<[u8]> = Arc::from(&filter[..]);
        let slot = u32::try_from(number).expect("a million fits");
        let id = SubscriberId { slot, generation: 0, peer: 0 };
        interest.add(Filter::parse(&filter).expect("it is well formed"), &shared, None, id);
    }
    interest
}

fn subject(number: usize) -> Vec<u8> {
    format!("orders.{}.{number}", number % 100).into_bytes()
}

criterion_group!(benches, memory, matching);
criterion_main!(benches);
