//! Requests that wait for an answer: who waits, under which token, until when.
//!
//! A timer per request would cost more than the request. Here one moment is kept, not later than
//! the first deadline; when it comes, all requests are looked at. Most requests of a client have
//! the same time limit and are answered long before it, so that moment comes about once per time
//! limit.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Somebody waits, or has ceased to.
pub(crate) trait Waiter {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
}

/// Requests by token; `R` is who waits.
pub(super) struct Requests<R> {
    pending: HashMap<u64, Pending<R>, RandomState>,
    sweep_at_ms: Option<u64>,
    swept_at_ms: u64,
}

struct Pending<R> {
    waiter: R,
    /// `u64::MAX` when there is none: an `Option` would make each entry a quarter larger.
    deadline_ms: u64,
}

/// Requests without a time limit whose callers have gone are found at least this often.
const SWEEP_INTERVAL_MS_MAX: u64 = 10_000;

/// A sweep takes about a millisecond for 100,000 requests. One for each 1,000 keeps it below 1 %
/// of a core, whatever the deadlines are, and costs that precision.
const REQUESTS_PER_MS: usize = 1_000;

impl<R: Waiter> Requests<R> {
    pub(super) fn new() -> Self {
        Self { pending: HashMap::default(), sweep_at_ms: None, swept_at_ms: 0 }
    }

    pub(super) fn insert(&mut self, token: u64, waiter: R, now_ms: u64, timeout_ms: Option<u64>) {
        let deadline_ms =
            timeout_ms.map_or(u64::MAX, |timeout_ms| now_ms.saturating_add(timeout_ms));
        self.pending.insert(token, Pending { waiter, deadline_ms });
        let look_ms = deadline_ms.min(now_ms + SWEEP_INTERVAL_MS_MAX);
        if self.sweep_at_ms.is_none_or(|sweep_at_ms| look_ms < sweep_at_ms) {
            self.sweep_at_ms = Some(look_ms.max(self.sweep_earliest_ms()));
        }
    }

    pub(super) fn remove(&mut self, token: u64) -> Option<R> {
        self.pending.remove(&token).map(|pending| pending.waiter)
    }

    /// When [`Requests::sweep`] is due.
    pub(super) fn sweep_at_ms(&self) -> Option<u64> {
        self.sweep_at_ms
    }

    /// Removes those whose time is over, and those whose callers have gone; gives `expired` the
    /// former.
    pub(super) fn sweep(&mut self, now_ms: u64, mut expired: impl FnMut(R)) {
        if self.sweep_at_ms.is_none_or(|sweep_at_ms| now_ms < sweep_at_ms) {
            return;
        }
        let mut look_ms = now_ms + SWEEP_INTERVAL_MS_MAX;
        let over = self.pending.extract_if(|_, pending| {
            if pending.waiter.is_gone() {
                return true;
            }
            if now_ms >= pending.deadline_ms {
                return true;
            }
            look_ms = look_ms.min(pending.deadline_ms);
            false
        });
        for (_, pending) in over {
            if !pending.waiter.is_gone() {
                expired(pending.waiter);
            }
        }
        self.swept_at_ms = now_ms;
        self.sweep_at_ms =
            (!self.pending.is_empty()).then(|| look_ms.max(self.sweep_earliest_ms()));
    }

    /// Forgets all; their waiters are dropped.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.sweep_at_ms = None;
    }

    fn sweep_earliest_ms(&self) -> u64 {
        let pause_ms = self.pending.len() / REQUESTS_PER_MS;
        self.swept_at_ms.saturating_add(u64::try_from(pause_ms).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    impl Waiter for &Cell<bool> {
        fn is_gone(&self) -> bool {
            self.get()
        }
    }

    fn sweep(requests: &mut Requests<&Cell<bool>>, now_ms: u64) -> usize {
        let mut count = 0;
        requests.sweep(now_ms, |_| count += 1);
        count
    }

    #[test]
    fn expire_at_their_deadline() {
        let here = Cell::new(false);
        let mut requests = Requests::new();
        requests.insert(1, &here, 100, Some(50));
        requests.insert(2, &here, 110, Some(50));
        assert_eq!(requests.sweep_at_ms(), Some(150));
        assert_eq!(sweep(&mut requests, 149), 0);
        assert_eq!(sweep(&mut requests, 150), 1);
        assert_eq!(requests.sweep_at_ms(), Some(160));
        requests.insert(3, &here, 151, Some(2));
        assert_eq!(requests.sweep_at_ms(), Some(153));
        assert!(requests.remove(2).is_some() && requests.remove(2).is_none());
        assert_eq!(sweep(&mut requests, 200), 1);
        assert_eq!(requests.sweep_at_ms(), None);
    }

    #[test]
    fn callers_that_have_gone_are_found() {
        let (gone, here) = (Cell::new(true), Cell::new(false));
        let mut requests = Requests::new();
        requests.insert(1, &gone, 0, None);
        requests.insert(2, &here, 0, None);
        assert_eq!(requests.sweep_at_ms(), Some(SWEEP_INTERVAL_MS_MAX));
        assert_eq!(sweep(&mut requests, SWEEP_INTERVAL_MS_MAX), 0);
        assert!(requests.remove(1).is_none() && requests.remove(2).is_some());
    }

    #[test]
    fn many_are_not_looked_at_all_the_time() {
        let here = Cell::new(false);
        let mut requests = Requests::new();
        for token in 0..10_000 {
            requests.insert(token, &here, 0, Some(token));
        }
        let mut sweeps = 0;
        let mut expired = 0;
        for now_ms in 0..=10_020 {
            if requests.sweep_at_ms().is_some_and(|at_ms| at_ms <= now_ms) {
                sweeps += 1;
                expired += sweep(&mut requests, now_ms);
            }
        }
        assert_eq!(expired, 10_000);
        assert!(sweeps < 4_000, "{sweeps}");
    }
}
