//! The wire: operations read and written, headers looked up.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fulmar_protocol::client_op::{self, Limits, Step};
use fulmar_protocol::headers::Headers;
use fulmar_protocol::{encode, server_op};

/// A buffer as one read fills it.
const CHUNK_BYTES: usize = 64 * 1024;

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for size in [16, 128, 1024] {
        let payload = vec![b'x'; size];
        let chunk = repeated(|out| encode::publish(out, b"orders.eu.created", None, &payload));
        group.throughput(Throughput::Elements(count_client(&chunk)));
        group.bench_function(format!("pub-{size}"), |bencher| {
            bencher.iter(|| count_client(black_box(&chunk)));
        });
        let chunk =
            repeated(|out| encode::message(out, b"orders.eu.created", b"7", None, 0, &payload));
        group.throughput(Throughput::Elements(count_server(&chunk)));
        group.bench_function(format!("msg-{size}"), |bencher| {
            bencher.iter(|| count_server(black_box(&chunk)));
        });
    }
    let request = repeated(|out| {
        encode::publish(out, b"svc.add", Some(b"_INBOX.aBcDeFgHiJkLmNoPqRsTuV.1"), b"1")
    });
    group.throughput(Throughput::Elements(count_client(&request)));
    group.bench_function("pub-with-reply", |bencher| {
        bencher.iter(|| count_client(black_box(&request)))
    });
    let headers = b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n";
    let chunk =
        repeated(|out| encode::publish_with_headers(out, b"orders", None, headers, b"body"));
    group.throughput(Throughput::Elements(count_client(&chunk)));
    group.bench_function("hpub", |bencher| bencher.iter(|| count_client(black_box(&chunk))));
    let chunk =
        repeated(|out| encode::subscribe(out, b"orders.*.created", Some(b"workers"), b"12"));
    group.throughput(Throughput::Elements(count_client(&chunk)));
    group.bench_function("sub", |bencher| bencher.iter(|| count_client(black_box(&chunk))));
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::with_capacity(CHUNK_BYTES);
    for size in [16, 128, 1024] {
        let payload = vec![b'x'; size];
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("pub-{size}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode::publish(&mut out, black_box(b"orders.eu.created"), None, &payload);
            });
        });
        group.bench_function(format!("msg-{size}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode::message(&mut out, black_box(b"orders.eu.created"), b"7", None, 0, &payload);
            });
        });
    }
    group.finish();
}

fn headers(criterion: &mut Criterion) {
    let mut block = b"NATS/1.0\r\n".to_vec();
    for number in 0..10 {
        block.extend_from_slice(format!("Header-{number}: value of {number}\r\n").as_bytes());
    }
    block.extend_from_slice(b"\r\n");
    let mut group = criterion.benchmark_group("headers");
    for (what, name) in [("first", "Header-0"), ("last", "Header-9"), ("absent", "Nats-Msg-Id")] {
        group.bench_function(what, |bencher| {
            bencher.iter(|| Headers::new(black_box(&block)).get(black_box(name)).map(<[u8]>::len));
        });
    }
    group.finish();
}

/// As many of what `write` appends as a chunk holds.
fn repeated(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK_BYTES {
        write(&mut chunk);
    }
    chunk
}

fn count_client(mut chunk: &[u8]) -> u64 {
    let limits = Limits::default();
    let mut count = 0;
    while let Ok(Step::Op { op, consumed }) = client_op::parse(chunk, &limits) {
        black_box(op);
        chunk = &chunk[consumed..];
        count += 1;
    }
    count
}

fn count_server(mut chunk: &[u8]) -> u64 {
    let mut count = 0;
    while let Ok(server_op::Step::Op { op, consumed }) = server_op::parse(chunk) {
        black_box(op);
        chunk = &chunk[consumed..];
        count += 1;
    }
    count
}

criterion_group!(benches, parse, write, headers);
criterion_main!(benches);
