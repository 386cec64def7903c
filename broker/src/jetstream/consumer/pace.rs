//! How fast messages may go: a limit on bytes, and the pauses with which they were stored.
//!
//! Both answer the same question: when may the next message be sent?

use super::settings::RateSettings;

const SECOND_NS: u128 = 1_000_000_000;
/// Pauses shorter than this are not waited for.
const PAUSE_NS_MIN: u64 = 1_000_000;

/// A bucket of bytes that fills with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    bytes_per_second: u64,
    burst_bytes: u64,
    /// Bytes in the bucket at `as_of`, in billionths, so that no time is too short to count.
    level: u128,
    as_of: u64,
}

impl Rate {
    pub(super) fn new(settings: RateSettings, now: u64) -> Self {
        let burst_bytes = settings.burst_bytes.get();
        Self {
            bytes_per_second: (settings.bits_per_second.get() / 8).max(1),
            burst_bytes,
            level: u128::from(burst_bytes) * SECOND_NS,
            as_of: now,
        }
    }

    /// When a message of this size may be sent: now or later.
    pub(super) fn ready_at(&mut self, bytes: u64, now: u64) -> u64 {
        self.fill(now);
        let missing = self.needed(bytes).saturating_sub(self.level);
        let wait = missing.div_ceil(u128::from(self.bytes_per_second));
        now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// A message of this size was sent.
    pub(super) fn sent(&mut self, bytes: u64, now: u64) {
        self.fill(now);
        self.level = self.level.saturating_sub(self.needed(bytes));
    }

    /// A message larger than the bucket goes when the bucket is full, not never.
    fn needed(&self, bytes: u64) -> u128 {
        u128::from(bytes.min(self.burst_bytes)) * SECOND_NS
    }

    fn fill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.as_of);
        self.as_of = self.as_of.max(now);
        let full = u128::from(self.burst_bytes) * SECOND_NS;
        let gained = u128::from(passed) * u128::from(self.bytes_per_second);
        self.level = self.level.saturating_add(gained).min(full);
    }
}

/// Delivers what was there before with the pauses it was stored with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    /// The end of the stream when the consumer began: from here on nothing waits.
    up_to: u64,
    /// The message before: when it was stored and when it was sent.
    last: Option<(i64, u64)>,
}

impl Replay {
    pub(super) fn new(up_to: u64) -> Self {
        Self { up_to, last: None }
    }

    /// Whether everything that was there before is delivered when `next` comes next.
    pub(super) fn is_over(&self, next: u64) -> bool {
        next > self.up_to
    }

    /// When the message stored at `timestamp_ns` may be sent.
    pub(super) fn ready_at(&self, timestamp_ns: i64) -> u64 {
        let Some((stored_ns, sent_at)) = self.last else { return 0 };
        match u64::try_from(timestamp_ns.saturating_sub(stored_ns)) {
            Ok(pause) if pause > PAUSE_NS_MIN => sent_at.saturating_add(pause),
            _ => 0,
        }
    }

    pub(super) fn sent(&mut self, timestamp_ns: i64, now: u64) {
        self.last = Some((timestamp_ns, now));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn bytes_flow_as_fast_as_they_may() {
        let number = |value| NonZeroU64::new(value).expect("not zero");
        let settings = RateSettings { bits_per_second: number(8_000), burst_bytes: number(500) };
        let mut rate = Rate::new(settings, 0);
        assert_eq!(rate.ready_at(500, 0), 0, "a full bucket");
        rate.sent(500, 0);
        assert_eq!(rate.ready_at(100, 0), 100_000_000, "100 bytes at 1,000 a second");
        assert_eq!(rate.ready_at(100, 50_000_000), 100_000_000);
        assert_eq!(
            rate.ready_at(9_999, 50_000_000),
            500_000_000,
            "a full bucket is enough for any"
        );
        rate.sent(100, 100_000_000);
        assert_eq!(rate.ready_at(1, 100_000_000), 101_000_000);
        assert_eq!(rate.ready_at(500, u64::MAX), u64::MAX, "and time has an end");
    }

    #[test]
    fn pauses_are_kept() {
        let mut replay = Replay::new(10);
        assert_eq!(replay.ready_at(5_000_000_000), 0, "nothing before it");
        replay.sent(5_000_000_000, 100);
        assert_eq!(replay.ready_at(5_000_500_000), 0, "too short to wait");
        assert_eq!(replay.ready_at(7_000_000_000), 2_000_000_100);
        assert_eq!(replay.ready_at(1), 0, "it was stored before");
        assert!(!replay.is_over(10) && replay.is_over(11));
    }
}
