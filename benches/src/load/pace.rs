//! How far publishers may run ahead of the slowest subscriber.
//!
//! Without a bound the bytes under way grow to the megabytes of all socket buffers between, which
//! fall out of the processor's cache: then the memory of the machine is measured rather than a
//! server, and the slowest subscriber of a server that does not slow publishers down is cut off.
//! The bound is the same for every server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What publishers and subscribers of one load know of each other.
#[derive(Debug)]
pub struct Pace {
    /// Most messages that may be under way; `None` is no bound.
    ahead_max: Option<u64>,
    published: AtomicU64,
    delivered: AtomicU64,
    /// The smallest number of deliveries that anyone waits for; `u64::MAX` when nobody waits.
    /// It spares the subscribers the lock.
    awaited: AtomicU64,
    waiting: Mutex<Vec<(u64, Thread)>>,
}

impl Pace {
    /// A pace of at most `ahead_max` messages under way, beginning with none.
    pub fn new(ahead_max: Option<u64>) -> Self {
        Self {
            ahead_max,
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// A publisher has sent `count` more messages. Returns when it may send the next, at
    /// `deadline` at the latest.
    pub fn published(&self, count: u64, deadline: Instant) {
        let Some(ahead_max) = self.ahead_max else { return };
        let published = self.published.fetch_add(count, Ordering::Relaxed) + count;
        // The order on both sides is the same: say what oneself did, then look at the other. So
        // either the publisher sees the delivery or the subscriber sees who waits.
        let delivered = || self.delivered.load(Ordering::SeqCst);
        if published.saturating_sub(delivered()) <= ahead_max {
            return;
        }
        // Who must wait waits until half is delivered: few wake-ups, large batches.
        let enough = published - ahead_max / 2;
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((enough, std::thread::current()));
            self.awaited.fetch_min(enough, Ordering::SeqCst);
        }
        while delivered() < enough {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            std::thread::park_timeout(left);
        }
    }

    /// The subscribers have got `count` messages by now: of those that all get, what the slowest
    /// has got; of those that one of a group gets, the sum.
    pub fn delivered(&self, count: u64) {
        if self.ahead_max.is_none() {
            return;
        }
        self.delivered.store(count, Ordering::SeqCst);
        if count < self.awaited.load(Ordering::SeqCst) {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(enough, thread)| {
            let stays = *enough > count;
            if !stays {
                thread.unpark();
            }
            stays
        });
        let awaited = waiting.iter().map(|(enough, _)| *enough).min();
        self.awaited.store(awaited.unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn publishers_never_run_further_ahead() {
        let pace = Pace::new(Some(100));
        let sent = AtomicU64::new(0);
        let deadline = Instant::now() + LONG;
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        sent.fetch_add(10, Ordering::SeqCst);
                        pace.published(10, deadline);
                    }
                });
            }
            let mut delivered = 0;
            while delivered < 30_000 {
                let now = sent.load(Ordering::SeqCst);
                // Each of the three may have sent once before it is made to wait.
                assert!(now <= delivered + 100 + 30, "{now} sent, {delivered} delivered");
                delivered = now;
                pace.delivered(delivered);
                std::thread::yield_now();
            }
        });
        assert!(Instant::now() < deadline, "somebody was not woken");
    }

    #[test]
    fn nobody_waits_beyond_the_deadline() {
        let pace = Pace::new(Some(1));
        let begin = Instant::now();
        pace.published(10, begin + Duration::from_millis(5));
        assert!(begin.elapsed() >= Duration::from_millis(5));
    }

    #[test]
    fn without_a_bound_nobody_waits() {
        let begin = Instant::now();
        Pace::new(None).published(1_000_000, begin + LONG);
        assert!(begin.elapsed() < LONG);
    }
}
