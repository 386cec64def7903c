//! Durations in configuration files: Go's, but none below zero.

use std::time::Duration;

use crate::go_duration::{self, DurationError};

/// Reads what Go's `time.ParseDuration` reads, without its negative durations.
///
/// # Errors
/// What is wrong, with an example of what is right.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let nanoseconds = go_duration::parse(text).map_err(|error| match error {
        DurationError::Malformed => {
            format!("{text:?} is not a duration; write for example \"10s\", \"1m30s\" or \"100ms\"")
        }
        DurationError::TooLong => format!("{text:?} is too long a duration"),
    })?;
    u64::try_from(nanoseconds)
        .map(Duration::from_nanos)
        .map_err(|_| format!("{text:?} is a negative duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expected: Result<u64, &str>| match (parse(text), expected) {
            (Ok(duration), Ok(milliseconds)) => {
                assert_eq!(duration, Duration::from_millis(milliseconds), "{text}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        };
        check("1m30s", Ok(90_000));
        check("100ms", Ok(100));
        check("-0s", Ok(0));
        check("5", Err("\"5\" is not a duration"));
        check("-5s", Err("\"-5s\" is a negative duration"));
        check("2562047h47m16.854775808s", Err("too long"));
    }
}
