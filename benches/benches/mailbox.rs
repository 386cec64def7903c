//! Mail from one thread to another: what a message costs, alone and in batches.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fulmar::mesh::inbox::{Inbox, Wake};
use fulmar::mesh::mail::{Batch, ConnectionId, Message, Target};

/// An owner that never sleeps needs no waking.
struct NeverAsleep;

impl Wake for NeverAsleep {
    fn wake(&self) {}
}

fn hand_over(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");
    for batch_size in [1u64, 64, 1024] {
        let inbox: Arc<Inbox<Box<Batch>, NeverAsleep>> = Arc::new(Inbox::new(NeverAsleep));
        let (drained, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let owner = {
            let (inbox, drained, ended) = (inbox.clone(), drained.clone(), ended.clone());
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let Some(batch) = inbox.pop() else {
                        std::thread::yield_now();
                        continue;
                    };
                    let mut count = 0;
                    for delivered in batch.iter() {
                        black_box(delivered.message);
                        count += 1;
                    }
                    drained.fetch_add(count, Ordering::Release);
                }
            })
        };
        group.throughput(Throughput::Elements(batch_size));
        let mut pushed = 0;
        group.bench_function(format!("batches-of-{batch_size}"), |bencher| {
            bencher.iter(|| {
                let mut batch = Box::new(Batch::default());
                for _ in 0..batch_size {
                    batch.add(&message(), Target::Plain, b"", 0);
                }
                inbox.push(batch);
                pushed += batch_size;
                // Never more than a few thousand on their way, as in a tick.
                while pushed - drained.load(Ordering::Acquire) > 4 * 1024 {
                    std::thread::yield_now();
                }
            });
        });
        ended.store(true, Ordering::Relaxed);
        owner.join().expect("it does not panic");
    }
    group.finish();
}

fn message() -> Message<'static> {
    Message {
        account: 0,
        origin: ConnectionId { peer: 0, slot: 0, generation: 0 },
        via: None,
        subject: b"orders.eu.created",
        reply: None,
        header_size: 0,
        framed: b"sixteen bytes ..\r\n",
        shared: None,
    }
}

criterion_group!(benches, hand_over);
criterion_main!(benches);
