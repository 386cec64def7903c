//! How long it takes to open a large stream whose process was killed.
//!
//! `cargo run --release -p fulmar-storage --example open_large DIRECTORY [MESSAGES] [SUBJECTS]`
//!
//! It makes DIRECTORY, which must not be there, and leaves it; if it is there, it opens it only.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use fulmar_storage::{Log, Message, Options, Promise, RealDisk, Store};

const PAYLOAD: [u8; 128] = [b'x'; 128];
const BATCH: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("give a directory to work in")?;
    let directory = Path::new(&directory);
    let mut number = |default: u64| match arguments.next() {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let (messages, subjects) = (number(10_000_000)?, number(1_000_000)?);
    let promise = Promise::Written { unsynced_sequences_max: 1 << 32 };
    let options = Options { promise, ..Options::new(1) };
    if !directory.exists() {
        write(directory, options, messages, subjects)?;
    }
    let start = Instant::now();
    let (log, report) = Log::open(RealDisk::open(directory)?, options)?;
    println!("log: {:.3} s, {} messages", start.elapsed().as_secs_f64(), report.messages);
    drop(log);
    let start = Instant::now();
    let (store, _) = Store::open(RealDisk::open(directory)?, options)?;
    println!(
        "store: {:.3} s, {} messages in {} subjects, {}",
        start.elapsed().as_secs_f64(),
        store.messages(),
        store.subject_count(),
        resident()?
    );
    Ok(())
}

fn write(
    directory: &Path,
    options: Options,
    messages: u64,
    subjects: u64,
) -> Result<(), Box<dyn Error>> {
    let (mut store, _) = Store::open(RealDisk::open(directory)?, options)?;
    let start = Instant::now();
    let (mut appending, mut working) = (0.0, 0.0);
    let mut names = Vec::new();
    for batch in 0..messages / BATCH {
        names.clear();
        // A subject that looks random, the same at each run.
        let numbers = (batch * BATCH..(batch + 1) * BATCH)
            .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % subjects);
        names.extend(numbers.map(|subject| format!("orders.{subject}.new")));
        let batch: Vec<Message<'_>> = names
            .iter()
            .map(|name| Message {
                subject: name.as_bytes(),
                headers: b"",
                payload: &PAYLOAD,
                timestamp_ns: 0,
            })
            .collect();
        let before = Instant::now();
        store.append(&batch)?;
        store.commit(false)?;
        appending += before.elapsed().as_secs_f64();
        let before = Instant::now();
        store.run_background()?;
        working += before.elapsed().as_secs_f64();
    }
    println!(
        "written in {:.1} s: {:.2} us to append and write a message, {:.2} us in the background, {}",
        start.elapsed().as_secs_f64(),
        appending * 1e6 / messages as f64,
        working * 1e6 / messages as f64,
        resident()?
    );
    Ok(())
}

fn resident() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let lines = status.lines().filter(|line| line.starts_with("Rss") || line.starts_with("VmRSS"));
    Ok(lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", "))
}
