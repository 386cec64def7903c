//! Watches over something that should be heard of again and again: over its silence, and over the
//! connection it comes through.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::{BoxFuture, Client, State, Statistics};

/// Notices that something was silent for too long, by a timer that is not set again each time it
/// is heard of.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    heard: bool,
    heard_at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Silence {
    /// Notices silence of this length.
    pub(crate) fn new(limit: Duration) -> Self {
        let now = Instant::now();
        let sleep = Box::pin(tokio::time::sleep(limit));
        Self { limit, heard: false, heard_at: now, sleep }
    }

    /// It was heard of, or something was found that waited.
    pub(crate) fn hear(&mut self) {
        self.heard = true;
    }

    /// Ready when it was silent for too long. Called when everything that was heard was taken, so
    /// that a slow listener does not call it silent.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.heard) {
            self.heard_at = Instant::now();
        }
        loop {
            std::task::ready!(self.sleep.as_mut().poll(cx));
            let due = self.heard_at + self.limit;
            if Instant::now() >= due {
                // The next silence begins here.
                self.heard = true;
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(due);
        }
    }
}

/// Notices that another connection was made.
pub(crate) struct Reconnects {
    statistics: Arc<Statistics>,
    /// How many connections were made when this was asked last. That there was none meanwhile may
    /// go unseen; a number that has changed does not.
    connects: u64,
    changed: BoxFuture<watch::Receiver<State>>,
}

impl Reconnects {
    pub(crate) fn new(client: &Client) -> Self {
        let statistics = client.statistics();
        let connects = statistics.connects.load(Ordering::Relaxed);
        Self { statistics, connects, changed: Box::pin(changed(client.watch_state())) }
    }

    /// Whether it happened since this was asked last.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(state) = self.changed.as_mut().poll(cx) {
            self.changed = Box::pin(changed(state));
        }
        let connects = self.statistics.connects.load(Ordering::Relaxed);
        std::mem::replace(&mut self.connects, connects) != connects
    }
}

impl fmt::Debug for Reconnects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnects").field("connects", &self.connects).finish_non_exhaustive()
    }
}

async fn changed(mut state: watch::Receiver<State>) -> watch::Receiver<State> {
    if state.changed().await.is_err() {
        // The client has ended; whoever waits hears of it otherwise.
        std::future::pending::<()>().await;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_noticed_and_noise_is_not() {
        let limit = Duration::from_millis(20);
        let mut silence = Silence::new(limit);
        let begin = Instant::now();
        let mut polls = 0;
        // Heard of each time it is looked at, for longer than the limit.
        while begin.elapsed() < 2 * limit {
            silence.hear();
            let looked = std::future::poll_fn(|cx| Poll::Ready(silence.poll(cx))).await;
            assert!(looked.is_pending());
            polls += 1;
            tokio::task::yield_now().await;
        }
        assert!(polls > 0);
        let heard_at = silence.heard_at;
        std::future::poll_fn(|cx| silence.poll(cx)).await;
        assert!(heard_at.elapsed() >= limit);
        let noticed_at = Instant::now();
        std::future::poll_fn(|cx| silence.poll(cx)).await;
        assert!(noticed_at.elapsed() >= limit);
    }
}
