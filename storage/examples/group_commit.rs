//! How fast a log answers from the disk, next to a bare `pwrite` and `fdatasync` in the same
//! directory and the same minute: disks change by the minute.
//!
//! `cargo run --release -p fulmar-storage --example group_commit DIRECTORY`
//!
//! It makes two directories below DIRECTORY, which must be empty or not there, and leaves them.

use std::error::Error;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fulmar_storage::{Disk, Log, Message, Options, RealDisk};

const PAYLOAD: [u8; 128] = [b'x'; 128];
const ROUNDS: usize = 5;
const ROUND_DURATION: Duration = Duration::from_millis(1_000);
const SEGMENT_BYTES: u64 = 64 << 20;

/// Messages that wait for one sync.
const WINDOW: u32 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("give a directory to work in")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let bare_disk = RealDisk::open(&directory.join("bare"))?;
    drop(bare_disk.create_zeroed("bare", SEGMENT_BYTES)?);
    let bare = std::fs::OpenOptions::new().write(true).open(directory.join("bare/bare"))?;
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(1) };
    let (mut log, _) = Log::open(RealDisk::open(&directory.join("log"))?, options)?;
    log.run_background()?;
    let mut bare_offset = 0;
    for round in 1..=ROUNDS {
        let bare_us = median_us(|| {
            bare.write_all_at(&PAYLOAD, bare_offset)?;
            bare_offset = (bare_offset + 176) % (SEGMENT_BYTES - 176);
            Ok(bare.sync_data()?)
        })?;
        let one_us = median_us(|| {
            append(&mut log)?;
            log.commit(false)?;
            Ok(log.commit(true)?)
        })?;
        let (rate, append_us) = group_commit(&mut log)?;
        println!(
            "round {round}: 128 B: bare {bare_us:.0} us, one message {one_us:.0} us; {WINDOW} \
             together: {rate:.0} messages/s durable, {append_us:.2} us to append one"
        );
        log.truncate_front(log.next_sequence())?;
        log.commit(true)?;
        log.run_background()?;
    }
    log.close()?;
    Ok(())
}

fn append(log: &mut Log<RealDisk>) -> Result<(), fulmar_storage::Error> {
    let message = Message { subject: b"bench", headers: b"", payload: &PAYLOAD, timestamp_ns: 0 };
    log.append(&[message]).map(|_| ())
}

/// The median of as many runs as fit half a round, in microseconds.
fn median_us(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < ROUND_DURATION / 2 {
        let before = Instant::now();
        run()?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2].as_secs_f64() * 1e6)
}

/// Appends `WINDOW` messages one by one, writes and syncs, again and again: messages a second,
/// and microseconds of appending a message.
fn group_commit(log: &mut Log<RealDisk>) -> Result<(f64, f64), Box<dyn Error>> {
    let (mut messages, mut appending) = (0_u32, Duration::ZERO);
    let start = Instant::now();
    while start.elapsed() < ROUND_DURATION {
        log.run_background()?;
        let before = Instant::now();
        for _ in 0..WINDOW {
            append(log)?;
        }
        appending += before.elapsed();
        log.commit(true)?;
        messages += WINDOW;
    }
    let rate = f64::from(messages) / start.elapsed().as_secs_f64();
    Ok((rate, appending.as_secs_f64() * 1e6 / f64::from(messages)))
}
