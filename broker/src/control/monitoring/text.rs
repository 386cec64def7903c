//! Times and durations in the form nats-server, a Go program, shows them in.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::go_duration;

const MICROSECOND_NS: i64 = 1_000;
const MILLISECOND_NS: i64 = 1_000_000;

/// Tells the wall-clock time of moments of this process.
pub(super) struct Clock {
    started: SystemTime,
    started_at: Instant,
    zone: TimeZone,
}

impl Clock {
    /// A clock that knows that it was `started` at the moment `started_at`.
    pub(super) fn new(started: SystemTime, started_at: Instant, zone: TimeZone) -> Self {
        Self { started, started_at, zone }
    }

    /// A moment in UTC: `2026-01-02T03:04:05.678901234Z`.
    pub(super) fn utc(&self, at: SystemTime) -> String {
        timestamp(at).to_string()
    }

    /// A moment in local time: `2026-01-02T04:04:05.678901234+01:00`.
    pub(super) fn local(&self, at: Instant) -> String {
        let at = timestamp(self.started + at.saturating_duration_since(self.started_at));
        let offset = self.zone.to_offset(at);
        if offset.seconds() == 0 {
            at.to_string()
        } else {
            at.display_with_offset(offset).to_string()
        }
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    // The years a Timestamp lacks are before -9999 and after 9999.
    Timestamp::try_from(at).unwrap_or_default()
}

/// Whole seconds, with days and years: `1y2d3h4m5s`.
pub(super) fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let years = days / 365;
    let (s, m, h, d) = (seconds % 60, minutes % 60, hours % 24, days % 365);
    match (years, days, hours, minutes) {
        (1.., ..) => format!("{years}y{d}d{h}h{m}m{s}s"),
        (_, 1.., ..) => format!("{d}d{h}h{m}m{s}s"),
        (_, _, 1.., _) => format!("{h}h{m}m{s}s"),
        (_, _, _, 1..) => format!("{m}m{s}s"),
        _ => format!("{s}s"),
    }
}

/// A round trip: `123µs`, `1.5ms`; below a millisecond without a fraction; `0s` is not known.
pub(super) fn round_trip(rtt: Option<Duration>) -> String {
    let nanoseconds = i64::try_from(rtt.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX);
    if (MICROSECOND_NS..MILLISECOND_NS).contains(&nanoseconds) {
        go_duration::format(nanoseconds / MICROSECOND_NS * MICROSECOND_NS)
    } else {
        go_duration::format(nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes() {
        let check = |seconds, expected| assert_eq!(uptime(Duration::from_secs(seconds)), expected);
        check(0, "0s");
        check(59, "59s");
        check(60, "1m0s");
        check(3_599, "59m59s");
        check(3_600, "1h0m0s");
        check(86_399, "23h59m59s");
        check(86_400, "1d0h0m0s");
        check(93_784, "1d2h3m4s");
        check(365 * 86_400 - 1, "364d23h59m59s");
        check(365 * 86_400, "1y0d0h0m0s");
        check(2 * 365 * 86_400 + 93_784, "2y1d2h3m4s");
        assert_eq!(uptime(Duration::from_millis(1_999)), "1s");
    }

    #[test]
    fn round_trips() {
        let check = |nanoseconds, expected| {
            assert_eq!(round_trip(Some(Duration::from_nanos(nanoseconds))), expected);
        };
        assert_eq!(round_trip(None), "0s");
        check(0, "0s");
        check(999, "999ns");
        check(1_000, "1µs");
        check(123_456, "123µs");
        check(999_999, "999µs");
        check(1_000_000, "1ms");
        check(4_452_807, "4.452807ms");
        check(1_500_000_000, "1.5s");
        check(60_000_000_000, "1m0s");
        check(3_723_000_000_004, "1h2m3.000000004s");
    }

    #[test]
    fn moments() {
        let started = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_700);
        let now = Instant::now();
        let clock = |zone| Clock::new(started, now, zone);
        let utc = clock(TimeZone::UTC);
        assert_eq!(utc.utc(started), "2023-11-14T22:13:20.1234567Z");
        assert_eq!(utc.utc(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(utc.local(now), "2023-11-14T22:13:20.1234567Z");
        assert_eq!(utc.local(now + Duration::from_nanos(1_876_543_300)), "2023-11-14T22:13:22Z");
        let east = clock(jiff::tz::offset(2).to_time_zone());
        assert_eq!(east.local(now), "2023-11-15T00:13:20.1234567+02:00");
    }
}
