//! A consumer alone: what a delivery and an acknowledgement cost beside reading the message and
//! writing it to a socket.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fulmar::jetstream::consumer::{
    AckPolicy, AckSubject, Advisory, Budget, Consumer, ConsumerSettings, Delivery, Filters,
    Identity, Messages, Sink,
};
use fulmar::jetstream::time::Now;

/// Messages of a pull request.
const BATCH: u64 = 1000;
const PAYLOAD: [u8; 128] = [b'x'; 128];

/// A stream of which every message, or each so-and-so-many-th one, matches.
struct Plain {
    last: u64,
    step: u64,
}

impl Messages for Plain {
    fn first_sequence(&self) -> u64 {
        1
    }

    fn last_sequence(&self) -> u64 {
        self.last
    }

    fn next_matching(&self, _: &Filters, from: u64) -> Option<u64> {
        Some(from.next_multiple_of(self.step)).filter(|sequence| *sequence <= self.last)
    }

    fn count_matching(&self, _: &Filters, from: u64) -> u64 {
        self.last / self.step - (from - 1) / self.step
    }

    fn last_matching(&self, _: &Filters) -> Option<u64> {
        Some(self.last)
    }

    fn last_per_subject(&self, _: &Filters, _: u64) -> Vec<u64> {
        vec![self.last]
    }

    fn sequence_at_time(&self, _: i64) -> u64 {
        1
    }

    fn read<R>(&self, _: u64, show: impl FnOnce(Delivery<'_>) -> R) -> Option<R> {
        Some(show(Delivery {
            subject: b"orders.created",
            headers: b"",
            payload: &PAYLOAD,
            timestamp_ns: 1_700_000_000_000_000_000,
        }))
    }
}

/// Keeps the reply subjects, as a client does.
#[derive(Default)]
struct Client {
    replies: Vec<Vec<u8>>,
    used: usize,
    done: u64,
}

impl Sink for Client {
    fn send(&mut self, _: &[u8], _: &[u8], reply: Option<&[u8]>, _: &[u8], payload: &[u8]) {
        black_box(payload);
        let Some(reply) = reply else { return };
        if self.used == self.replies.len() {
            self.replies.push(Vec::new());
        }
        self.replies[self.used].clear();
        self.replies[self.used].extend_from_slice(reply);
        self.used += 1;
    }

    fn has_interest(&mut self, _: &[u8]) -> bool {
        true
    }

    fn advisory(&mut self, _: Advisory<'_>) {}

    fn acknowledged(&mut self, _: u64) {
        self.done += 1;
    }

    fn reply_when_durable(&mut self, _: &[u8]) {}
}

fn run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consumer");
    group.throughput(Throughput::Elements(BATCH));
    for (name, acknowledge, step) in [
        ("deliver", AckPolicy::None, 1),
        ("deliver-and-ack", AckPolicy::Explicit, 1),
        ("deliver-and-ack-filtered", AckPolicy::Explicit, 1000),
    ] {
        let messages = Plain { last: u64::MAX >> 2, step };
        let settings = ConsumerSettings { acknowledge, ..ConsumerSettings::pull() };
        let identity = Identity { stream: "ORDERS".into(), consumer: "worker".into() };
        let mut now = Now { unix_ns: 1_700_000_000_000_000_000, monotonic_ns: 0 };
        let mut consumer = Consumer::new(identity, settings, now, &messages, 1);
        let mut client = Client::default();
        let mut change = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                now = now.plus(1_000_000);
                client.used = 0;
                let request = br#"{"batch":1000,"expires":5000000000}"#;
                consumer.handle_request(now, b"_INBOX.client", request, &messages, &mut client);
                let budget = Budget { messages: usize::MAX, bytes: usize::MAX };
                let progress = consumer.poll(now, &messages, &mut client, budget);
                assert_eq!(progress.messages as u64, BATCH);
                if acknowledge == AckPolicy::Explicit {
                    let replies = std::mem::take(&mut client.replies);
                    for reply in &replies {
                        let ack = AckSubject::parse(reply).expect("the consumer wrote it");
                        consumer.handle_ack(now, &ack, b"+ACK", None, &messages, &mut client);
                    }
                    client.replies = replies;
                }
                change.clear();
                consumer.take_change(now, &mut change);
            });
        });
    }
}

criterion_group!(benches, run);
criterion_main!(benches);
