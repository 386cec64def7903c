//! Durations as Go writes them: `1h30m`, `2s`, `1.5h`, `100ms`.

use std::time::Duration;

/// Reads what Go's `time.ParseDuration` reads, without its negative durations.
///
/// # Errors
/// What is wrong, with an example of what is right.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration; write for example \"10s\", \"1m30s\" or \"100ms\"");
    if text.starts_with('-') && parse(&text[1..]).is_ok_and(|duration| !duration.is_zero()) {
        return Err(format!("{text:?} is a negative duration"));
    }
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong());
        }
        let unit_end = after
            .find(|character: char| character == '.' || character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_ns = unit_ns(unit).ok_or_else(wrong)?;
        total = whole_ns(whole, unit_ns)
            .and_then(|ns| total.checked_add(ns))
            .and_then(|ns| ns.checked_add(fraction_ns(fraction, unit_ns)))
            .filter(|ns| *ns <= NANOSECONDS_MAX)
            .ok_or_else(|| format!("{text:?} is too long a duration"))?;
        rest = after;
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| wrong())
}

/// The longest duration Go has, 292 years.
const NANOSECONDS_MAX: u128 = i64::MAX as u128;

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn unit_ns(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Both of Unicode's letters for micro.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    })
}

fn whole_ns(digits: &str, unit_ns: u128) -> Option<u128> {
    if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok()?.checked_mul(unit_ns) }
}

/// The fraction of a unit, cut to whole nanoseconds. More digits than this say nothing.
fn fraction_ns(digits: &str, unit_ns: u128) -> u128 {
    const DIGITS_MAX: usize = 18;
    let (mut value, mut scale) = (0, 1);
    for digit in digits.bytes().take(DIGITS_MAX) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    value * unit_ns / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h30m", 7_200_000_000_000),
            ("30m1h", 5_400_000_000_000),
            ("1m1m", 120_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1.0000000001s", 1_000_000_000),
            ("3.141592653589793238462643383279s", 3_141_592_653),
            ("12us", 12_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("7ms8ns", 7_000_008),
            ("2562047h47m16.854775807s", i64::MAX as u64),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "", "+", "-", "--1s", "1", "s", ".s", "1d", "1 s", " 1s", "1s ", "1S", "1s2", "x",
            "1e3s", "1sm", "٣s",
        ] {
            assert!(parse(text).unwrap_err().contains("not a duration"), "{text}");
        }
        assert!(parse("-5s").unwrap_err().contains("negative"));
        assert!(parse("2562047h47m16.854775808s").unwrap_err().contains("too long"));
        assert!(parse(&format!("{}h", "9".repeat(60))).unwrap_err().contains("too long"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-+]?([0-9.]{0,30}[nuµmsh]{0,2}){0,4}") {
            let _ = parse(&text);
        }
    }
}
