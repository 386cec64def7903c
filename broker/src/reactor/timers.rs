//! When a connection is looked at again: PINGs, deadlines, lame duck mode.
//!
//! A timer is an entry in a heap and only says "look": what is due is decided by the state of
//! the connection then. So a deadline that moves back costs nothing, and an idle connection has
//! one entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use fulmar_protocol::error_text;

use super::connection::{Connection, Stage};
use super::{CloseReason, Reactor, slot_number};

/// From accept to the first PING, which measures the round trip early. As in nats-server.
const FIRST_PING_AFTER: Duration = Duration::from_secs(2);
/// A round trip is measured again after this, even when the client is busy. As in nats-server.
const ROUND_TRIP_EVERY: Duration = Duration::from_secs(3600);
/// Timers from which on stale ones are looked for.
const COMPACT_FROM: usize = 4096;
/// The longest gap between two connections closed in lame duck mode.
const LAME_DUCK_GAP_MAX: Duration = Duration::from_secs(1);

/// Timers of all connections of a reactor.
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, u32, u32)>>,
    /// How many timers there are when the stale ones are forgotten.
    compact_at: usize,
}

impl Default for Timers {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), compact_at: COMPACT_FROM }
    }
}

impl Timers {
    /// Has the connection at `slot` looked at at `at`, or earlier.
    pub(super) fn set(&mut self, connection: &mut Connection, slot: u32, at: Instant) {
        if connection.timer_at.is_none_or(|earlier| at < earlier) {
            connection.timer_at = Some(at);
            self.heap.push(Reverse((at, slot, connection.generation)));
        }
    }

    /// How many are set, those of connections that are gone included.
    pub(super) fn count(&self) -> usize {
        self.heap.len()
    }

    fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Forgets timers of connections that are gone, when they are many: connections that come
    /// and go faster than their timers fire would fill the heap.
    fn forget_stale(&mut self, is_open: impl Fn(u32, u32) -> bool) {
        if self.heap.len() >= self.compact_at {
            self.heap.retain(|Reverse((_, slot, generation))| is_open(*slot, *generation));
            self.compact_at = (2 * self.heap.len()).max(COMPACT_FROM);
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<(Instant, u32, u32)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }
}

/// Lame duck mode: who is still to be closed, and when the next one is.
pub(super) struct LameDuck {
    left: Vec<(u32, u32)>,
    next_at: Instant,
    gap: Duration,
}

impl Reactor {
    /// When [`Reactor::handle_timeouts`] is to be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        let lame_duck = self.lame_duck.as_ref().filter(|duck| !duck.left.is_empty());
        self.timers.next().into_iter().chain(lame_duck.map(|duck| duck.next_at)).min()
    }

    /// Does what is due.
    pub fn handle_timeouts(&mut self) {
        let now = self.local.now;
        while let Some((at, slot, generation)) = self.timers.pop_due(now) {
            let Some(connection) = self.local.connections.get_mut(slot as usize) else { continue };
            if connection.generation != generation || connection.timer_at != Some(at) {
                continue;
            }
            connection.timer_at = None;
            self.handle_timeout(slot);
        }
        self.timers.forget_stale(|slot, generation| {
            self.local
                .connections
                .get(slot as usize)
                .is_some_and(|found| found.generation == generation)
        });
        self.close_next_for_lame_duck();
    }

    pub(super) fn start_timers(&mut self, slot: u32) {
        let timers = &self.live.options.timers;
        // Up to a fifth more, so that many clients that connect at once are not asked at once.
        let jitter = FIRST_PING_AFTER.as_millis() / 5;
        let jitter = self.local.random_below(usize::try_from(jitter).unwrap_or(1)) as u64;
        let first_ping = FIRST_PING_AFTER.min(timers.ping_interval) + Duration::from_millis(jitter);
        let connection = &mut self.local.connections[slot as usize];
        connection.ping_due = connection.started + first_ping;
        let mut at = connection.ping_due;
        if !connection.stage.may_work() {
            at = at.min(connection.started + timers.authentication_timeout);
        }
        self.timers.set(connection, slot, at);
    }

    /// Looks at a connection: is anything due, and when is the next look?
    fn handle_timeout(&mut self, slot: u32) {
        let now = self.local.now;
        let options = &self.live.options.timers;
        let connection = &mut self.local.connections[slot as usize];
        if connection.closing.is_some() {
            return;
        }
        let authenticate_by = (!connection.stage.may_work())
            .then(|| connection.started + options.authentication_timeout);
        let write_by = connection.blocked_since.map(|since| since + options.write_deadline);
        if authenticate_by.is_some_and(|deadline| now >= deadline) {
            let text = Some(error_text::AUTHENTICATION_TIMEOUT);
            return self.close(slot, CloseReason::AuthenticationTimeout, text);
        }
        if write_by.is_some_and(|deadline| now >= deadline) {
            return self.close_slow(slot, CloseReason::SlowConsumerWriteDeadline);
        }
        if now >= connection.ping_due {
            let recently = now.duration_since(connection.last_received) < options.ping_interval;
            let measured_recently = connection
                .rtt_measured_at
                .is_some_and(|at| now.duration_since(at) < ROUND_TRIP_EVERY);
            connection.ping_due = now + options.ping_interval;
            if !(recently && measured_recently) {
                if connection.pings_unanswered >= options.ping_max {
                    self.local.counters.stale_connections += 1;
                    tracing::debug!("{} - Stale Client Connection - Closing", self.label(slot));
                    let text = Some(error_text::STALE_CONNECTION);
                    return self.close(slot, CloseReason::StaleConnection, text);
                }
                connection.pings_unanswered += 1;
                connection.ping_sent = Some(now);
                self.local.write(slot, 8, |out| out.extend_from_slice(b"PING\r\n"));
            }
        }
        let connection = &mut self.local.connections[slot as usize];
        let next =
            [Some(connection.ping_due), authenticate_by, write_by].into_iter().flatten().min();
        if let Some(at) = next {
            self.timers.set(connection, slot, at);
        }
    }

    pub(super) fn enter_lame_duck(&mut self, grace: Duration, over: Duration) {
        let left: Vec<(u32, u32)> = self
            .local
            .connections
            .iter()
            .map(|(slot, connection)| (slot_number(slot), connection.generation))
            .collect();
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX).max(1);
        let gap = (over / count).min(LAME_DUCK_GAP_MAX);
        self.lame_duck =
            Some(LameDuck { left: left.clone(), next_at: self.local.now + grace, gap });
        for (slot, _) in left {
            let connection = &self.local.connections[slot as usize];
            if connection.stage == Stage::Pinged
                && connection.agreed.asynchronous_info
                && connection.closing.is_none()
            {
                self.write_info(slot, false);
            }
        }
    }

    fn close_next_for_lame_duck(&mut self) {
        let now = self.local.now;
        while let Some(duck) = &mut self.lame_duck {
            if now < duck.next_at {
                return;
            }
            let Some((slot, generation)) = duck.left.pop() else { return };
            duck.next_at += duck.gap;
            if self.generation(slot) == Some(generation) {
                self.close(slot, CloseReason::ServerShutdown, None);
            }
        }
    }
}
