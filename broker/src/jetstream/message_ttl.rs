//! The header `Nats-TTL`: how long one message lives.
//!
//! Seconds as an integer, a duration of Go's (`1h30m`), or `never`. Whether its stream allows it
//! and when the message goes is not known here. Source: ADR-43, and nats-server 2.15.1, which was
//! asked for every line of the table below.

use super::error::{self, ApiError};
use crate::go_duration;

/// How long a message lives that says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageTtl {
    /// The maximum age of the stream is not for this message.
    Never,
    /// This many seconds from when it was stored, at least 1.
    Seconds(u64),
}

impl MessageTtl {
    /// Parses a header's value; `None` if it is empty, or zero written as `00`, which both mean
    /// that the message has no such time.
    ///
    /// # Errors
    ///
    /// The value is none of the three, or below one second: 10165.
    pub fn parse(value: &[u8]) -> Result<Option<Self>, ApiError> {
        if value.is_empty() {
            return Ok(None);
        }
        if value.eq_ignore_ascii_case(b"never") {
            return Ok(Some(Self::Never));
        }
        let value = std::str::from_utf8(value).map_err(|_| error::MESSAGE_TTL_INVALID)?;
        // Fractions of a second are cut off. Note that "0" is a duration, and too short a one.
        if let Ok(nanoseconds) = go_duration::parse(value) {
            let seconds = nanoseconds / 1_000_000_000;
            let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
            return Ok(Some(Self::Seconds(seconds.ok_or(error::MESSAGE_TTL_INVALID)?)));
        }
        if !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error::MESSAGE_TTL_INVALID);
        }
        // Only digits: what fails is too large. Such a message lives as long as there is time.
        // nats-server, whose arithmetic overflows, removes most of them at once.
        let seconds = value.parse().unwrap_or(u64::MAX);
        Ok((seconds > 0).then_some(Self::Seconds(seconds)))
    }

    /// When a message stored at `stored_unix_ns` is over, or `None` for never.
    pub fn expires_unix_ns(self, stored_unix_ns: i64) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::Seconds(seconds) => {
                i64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(stored_unix_ns)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line was tried with nats-server 2.15.1.
    #[test]
    fn values() {
        let check = |value: &str, expected: Result<Option<MessageTtl>, ApiError>| {
            assert_eq!(MessageTtl::parse(value.as_bytes()), expected, "{value:?}");
        };
        let accepted = |value, seconds| check(value, Ok(Some(MessageTtl::Seconds(seconds))));
        accepted("1", 1);
        accepted("5", 5);
        accepted("1s", 1);
        accepted("+5s", 5);
        accepted("1.5s", 1);
        accepted("1.999999999s", 1);
        accepted("1.s", 1);
        accepted(".5m", 30);
        accepted("1000ms", 1);
        accepted("1000000us", 1);
        accepted("1000000µs", 1);
        accepted("1000000000ns", 1);
        accepted("1h2m3.5s", 3723);
        accepted("9223372037", 9_223_372_037);
        accepted("2562047h47m16.854775807s", 9_223_372_036);
        for value in ["never", "NEVER", "Never"] {
            check(value, Ok(Some(MessageTtl::Never)));
        }
        check("", Ok(None));
        check("00", Ok(None));
        for value in [
            "0",
            "999ms",
            "0.9s",
            "-1",
            "-1s",
            "x",
            "1x",
            "2562047h48m",
            "+5",
            "1 s",
            "1e3",
            "1.",
            "5_0",
            "0x10",
            "1d",
            "1m1",
        ] {
            check(value, Err(error::MESSAGE_TTL_INVALID));
        }
        assert_eq!(MessageTtl::parse(b"\xff"), Err(error::MESSAGE_TTL_INVALID));
    }

    #[test]
    fn what_outlives_time_stays() {
        let huge = MessageTtl::parse(b"99999999999999999999999").unwrap().unwrap();
        assert_eq!(huge, MessageTtl::Seconds(u64::MAX));
        assert_eq!(huge.expires_unix_ns(0), None);
        assert_eq!(MessageTtl::Seconds(9_223_372_037).expires_unix_ns(0), None);
        assert_eq!(MessageTtl::Seconds(9_223_372_036).expires_unix_ns(i64::MAX), None);
        assert_eq!(MessageTtl::Seconds(2).expires_unix_ns(7), Some(2_000_000_007));
        assert_eq!(MessageTtl::Never.expires_unix_ns(7), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value: Vec<u8>) {
            let _ = MessageTtl::parse(&value);
        }
    }
}
