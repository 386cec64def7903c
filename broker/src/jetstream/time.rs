//! The time of an event, as it is handed to everything that must not look at a clock itself.
//!
//! Two clocks, because they answer different questions. How long something took, and when it is
//! due, is measured by the monotonic one, which no administrator and no time server sets. What
//! users see, and what must still mean something after a restart, is unix time.

/// A moment, read once from both clocks and handed to every `handle_*` and `poll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since 1970 in UTC. It can jump in either direction between two moments.
    pub unix_ns: i64,
    /// Nanoseconds since a moment that is fixed while the process runs. It never goes back.
    pub monotonic_ns: u64,
}

/// The monotonic moment that never comes.
pub const NEVER_NS: u64 = u64::MAX;

impl Now {
    /// The monotonic moment that is `duration_ns` from now; far ends are [`NEVER_NS`].
    #[inline]
    #[must_use]
    pub fn after(self, duration_ns: u64) -> u64 {
        self.monotonic_ns.saturating_add(duration_ns)
    }

    /// Nanoseconds until the monotonic moment; 0 when it has come.
    #[inline]
    #[must_use]
    pub fn until(self, monotonic_ns: u64) -> u64 {
        monotonic_ns.saturating_sub(self.monotonic_ns)
    }

    /// The unix time that a monotonic moment has, if no clock is set in between.
    #[inline]
    #[must_use]
    pub fn unix_of(self, monotonic_ns: u64) -> i64 {
        if monotonic_ns == NEVER_NS {
            return i64::MAX;
        }
        if monotonic_ns >= self.monotonic_ns {
            let ahead = i64::try_from(monotonic_ns - self.monotonic_ns).unwrap_or(i64::MAX);
            self.unix_ns.saturating_add(ahead)
        } else {
            let behind = i64::try_from(self.monotonic_ns - monotonic_ns).unwrap_or(i64::MAX);
            self.unix_ns.saturating_sub(behind)
        }
    }

    /// The monotonic moment of a unix time that is to come; now when it has come already.
    #[inline]
    #[must_use]
    pub fn monotonic_of(self, unix_ns: i64) -> u64 {
        if unix_ns == i64::MAX {
            return NEVER_NS;
        }
        let ahead = i128::from(unix_ns) - i128::from(self.unix_ns);
        self.after(u64::try_from(ahead).unwrap_or(0))
    }

    /// The same moment plus a duration, for tests and simulations.
    #[must_use]
    pub fn plus(self, duration_ns: u64) -> Self {
        let unix = i64::try_from(duration_ns).unwrap_or(i64::MAX);
        Self {
            unix_ns: self.unix_ns.saturating_add(unix),
            monotonic_ns: self.monotonic_ns.saturating_add(duration_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_translated_both_ways_and_stay_in_range() {
        let now = Now { unix_ns: 1_000_000, monotonic_ns: 500 };
        assert_eq!(now.unix_of(600), 1_000_100);
        assert_eq!(now.unix_of(400), 999_900);
        assert_eq!(now.monotonic_of(1_000_100), 600);
        assert_eq!(now.monotonic_of(5), 500, "what has passed is due now");
        assert_eq!(now.unix_of(NEVER_NS), i64::MAX);
        assert_eq!(now.monotonic_of(i64::MAX), NEVER_NS);
        assert_eq!(now.until(500), 0);
        assert_eq!(now.until(510), 10);
        let old = Now { unix_ns: i64::MIN, monotonic_ns: u64::MAX - 1 };
        assert_eq!(old.after(10), NEVER_NS);
        assert_eq!(old.unix_of(0), i64::MIN);
        assert_eq!(old.monotonic_of(i64::MAX - 1), NEVER_NS);
        assert_eq!(now.plus(7), Now { unix_ns: 1_000_007, monotonic_ns: 507 });
    }
}
