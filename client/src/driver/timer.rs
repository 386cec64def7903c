//! One timer for everything that is due at some time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A timer that is set again only when something is due earlier: what is due later is found when
/// it fires. So a deadline that moves with every message costs nothing.
pub(super) struct Timer {
    begin: Instant,
    sleep: Pin<Box<Sleep>>,
    armed_ms: u64,
    /// The runtime knows whom to wake.
    registered: bool,
}

impl Timer {
    /// A timer whose time begins at `begin`.
    pub(super) fn new(begin: Instant) -> Self {
        let sleep = Box::pin(tokio::time::sleep_until(begin));
        Self { begin, sleep, armed_ms: u64::MAX, registered: false }
    }

    /// Whether it has fired. Sees to it that the task is woken at `due_ms` or before.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due_ms: u64) -> bool {
        if due_ms < self.armed_ms
            && let Some(deadline) = self.begin.checked_add(Duration::from_millis(due_ms))
        {
            self.sleep.as_mut().reset(deadline);
            self.armed_ms = due_ms;
            self.registered = false;
        }
        if self.armed_ms == u64::MAX {
            return false;
        }
        // The task is always woken through the same handle, so registering once is enough. A task
        // that has used up its budget is not registered, but polled again at once.
        let fired = if self.registered {
            self.sleep.is_elapsed()
        } else {
            self.registered = tokio::task::coop::has_budget_remaining();
            matches!(self.sleep.as_mut().poll(cx), Poll::Ready(()))
        };
        if fired {
            self.armed_ms = u64::MAX;
        }
        fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fires_at_the_earliest_and_not_before() {
        let begin = Instant::now();
        let mut timer = Timer::new(begin);
        // Later, earlier, and later again: it fires for the earlier.
        for due_ms in [60_000, 20, 40_000] {
            assert!(!std::future::poll_fn(|cx| Poll::Ready(timer.poll(cx, due_ms))).await);
        }
        let fired = std::future::poll_fn(|cx| match timer.poll(cx, 40_000) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        fired.await;
        assert!(begin.elapsed() >= Duration::from_millis(20));
        assert!(begin.elapsed() < Duration::from_secs(20));
        assert!(!std::future::poll_fn(|cx| Poll::Ready(timer.poll(cx, u64::MAX))).await);
    }

    #[tokio::test]
    async fn fires_for_a_task_without_budget() {
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::consume_budget().await;
        }
        let mut timer = Timer::new(Instant::now());
        let fired = std::future::poll_fn(|cx| match timer.poll(cx, 10) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::time::timeout(Duration::from_secs(20), fired).await.expect("it fires");
    }
}
