//! The loop around a [`Shard`]: it waits for mail, tells the time, and does not think.
//!
//! A round is: drain the inbox, timers, deliveries, commits, push mail. Mail that came while the
//! disk worked is handled together, and goes to the disk together.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::sync::Parker;

use super::shard::Shard;
use super::time::{NEVER_NS, Now};
use crate::shared::PeerInbox;

/// Mails that are handled before consumers and commits get their turn.
const MAILS_MAX: usize = 64;
/// How long a shard waits before it looks again whether its receivers have caught up.
const CONGESTION_STEP: Duration = Duration::from_millis(1);

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time.
    pub fn now(self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            unix_ns: i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX),
            monotonic_ns: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(NEVER_NS - 1),
        }
    }
}

/// Runs `shard` until it is told to stop. `inbox` is its own, woken through `parker`.
pub fn run(mut shard: Shard, inbox: &Arc<PeerInbox>, parker: &Parker, clock: Clock) {
    while !shard.has_stopped() {
        let now = clock.now();
        for _ in 0..MAILS_MAX {
            let Some(mail) = inbox.pop() else { break };
            shard.handle_mail(now, mail);
        }
        shard.work(now);
        if shard.has_stopped() {
            break;
        }
        let wait = if shard.is_congested() {
            Some(CONGESTION_STEP)
        } else {
            match shard.next_timeout() {
                NEVER_NS => None,
                at_ns => Some(Duration::from_nanos(at_ns.saturating_sub(clock.now().monotonic_ns))),
            }
        };
        if wait == Some(Duration::ZERO) || !inbox.prepare_to_sleep() {
            continue;
        }
        match wait {
            None => parker.park(),
            Some(wait) => parker.park_timeout(wait),
        }
        inbox.awake();
    }
}
