//! Durations as Go reads and prints them: `1h30m`, `2s`, `1.5h`, `100ms`, `-3µs`.
//!
//! Configuration files, message headers and monitoring are full of them. To the nanosecond what
//! Go's `time.ParseDuration` and `Duration.String` do; what is too short, too long or negative
//! for a purpose is not known here.

use std::fmt::Write as _;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not numbers with units.
    #[error("not a duration: write for example \"10s\", \"1m30s\" or \"100ms\"")]
    Malformed,
    /// More than 63 bits of nanoseconds, 292 years.
    #[error("too long a duration: the longest is 2562047h47m16.854775807s")]
    TooLong,
}

/// Reads a duration, in nanoseconds.
///
/// # Errors
///
/// See [`DurationError`].
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut total: u64 = 0;
    let mut too_long = false;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(DurationError::Malformed);
        }
        let unit_end = after
            .find(|character: char| character == '.' || character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_ns = unit_ns(unit).ok_or(DurationError::Malformed)?;
        let sum = whole_ns(whole, unit_ns)
            .and_then(|ns| ns.checked_add(fraction_ns(fraction, unit_ns)))
            .and_then(|ns| total.checked_add(ns));
        // Only said once the rest is read: a malformed text is that first.
        (total, too_long) = (sum.unwrap_or(0), too_long || sum.is_none());
        rest = after;
    }
    match (too_long, negative) {
        (true, _) => Err(DurationError::TooLong),
        (false, true) => 0_i64.checked_sub_unsigned(total).ok_or(DurationError::TooLong),
        (false, false) => i64::try_from(total).map_err(|_| DurationError::TooLong),
    }
}

/// Prints `nanoseconds`: `1h2m3.5s`, `1.5ms`, `12ns`, `0s`.
pub fn format(nanoseconds: i64) -> String {
    let mut out = String::from(if nanoseconds < 0 { "-" } else { "" });
    let absolute = nanoseconds.unsigned_abs();
    match absolute {
        0 => out.push_str("0s"),
        1..MICROSECOND_NS => write_decimal(&mut out, absolute, 1, "ns"),
        MICROSECOND_NS..MILLISECOND_NS => write_decimal(&mut out, absolute, MICROSECOND_NS, "µs"),
        MILLISECOND_NS..SECOND_NS => write_decimal(&mut out, absolute, MILLISECOND_NS, "ms"),
        _ => {
            let (hours, minutes) = (absolute / HOUR_NS, absolute / MINUTE_NS % 60);
            if hours > 0 {
                write_decimal(&mut out, hours, 1, "h");
            }
            if hours > 0 || minutes > 0 {
                write_decimal(&mut out, minutes, 1, "m");
            }
            write_decimal(&mut out, absolute % MINUTE_NS, SECOND_NS, "s");
        }
    }
    out
}

const MICROSECOND_NS: u64 = 1_000;
const MILLISECOND_NS: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_NS: u64 = 60 * SECOND_NS;
const HOUR_NS: u64 = 60 * MINUTE_NS;

/// Writes `amount / unit`, a power of ten, as a decimal number without zeros at the end.
fn write_decimal(out: &mut String, amount: u64, unit: u64, suffix: &str) {
    let (whole, fraction) = (amount / unit, amount % unit);
    let digits = unit.ilog10() as usize;
    let written = if fraction == 0 {
        write!(out, "{whole}")
    } else {
        let fraction = format!("{fraction:0digits$}");
        write!(out, "{whole}.{}", fraction.trim_end_matches('0'))
    };
    written.expect("a String takes everything");
    out.push_str(suffix);
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Both of Unicode's letters for micro.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND_NS,
        "ms" => MILLISECOND_NS,
        "s" => SECOND_NS,
        "m" => MINUTE_NS,
        "h" => HOUR_NS,
        _ => return None,
    })
}

/// `None` if it is more than 64 bits.
fn whole_ns(digits: &str, unit_ns: u64) -> Option<u64> {
    if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok()?.checked_mul(unit_ns) }
}

/// The fraction of a unit in nanoseconds. Go computes it with floating point, so that
/// `0.3333333333333333333h` is 20 minutes, and ignores digits that 63 bits do not hold.
fn fraction_ns(digits: &str, unit_ns: u64) -> u64 {
    const VALUE_MAX: u64 = 1 << 63;
    let (mut value, mut scale) = (0_u64, 1.0_f64);
    for digit in digits.bytes() {
        let longer =
            value.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
        let Some(longer) = longer.filter(|longer| *longer <= VALUE_MAX) else { break };
        (value, scale) = (longer, scale * 10.0);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "Go's rounding; the product is at most unit_ns, which is far from 64 bits"
    )]
    let nanoseconds = (value as f64 * (unit_ns as f64 / scale)) as u64;
    nanoseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of Go's documentation and of its tests' table.
    #[test]
    fn read() {
        let check = |text: &str, expected| assert_eq!(parse(text), Ok(expected), "{text}");
        check("0", 0);
        check("-0", 0);
        check("0s", 0);
        check("-0s", 0);
        check("5s", 5_000_000_000);
        check("+5s", 5_000_000_000);
        check("-1.5s", -1_500_000_000);
        check("1h30m", 5_400_000_000_000);
        check("1.5h30m", 7_200_000_000_000);
        check("30m1h", 5_400_000_000_000);
        check("1m1m", 120_000_000_000);
        check(".5s", 500_000_000);
        check("1.s", 1_000_000_000);
        check("1.0000000001s", 1_000_000_000);
        check("3.141592653589793238462643383279s", 3_141_592_653);
        check("0.3333333333333333333h", 1_200_000_000_000);
        check("0.100000000000000000000h", 360_000_000_000);
        check("0.830103483285477580700h", 2_988_372_539_827);
        check("9007199254.740993ms", 9_007_199_254_740_993);
        check("12us", 12_000);
        check("12\u{b5}s", 12_000);
        check("12\u{3bc}s", 12_000);
        check("7ms8ns", 7_000_008);
        check("2562047h47m16.854775807s", i64::MAX);
        check("9223372036854775807ns", i64::MAX);
        check("-9223372036854775808ns", i64::MIN);
        check("-2562047h47m16.854775808s", i64::MIN);
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "+",
            "-",
            "--1s",
            "1",
            "00",
            "s",
            ".s",
            ".",
            "1d",
            "1 s",
            " 1s",
            "1s ",
            "1S",
            "1s2",
            "x",
            "1e3s",
            "1sm",
            "٣s",
            "99999999999999999999s1",
        ] {
            assert_eq!(parse(text), Err(DurationError::Malformed), "{text}");
        }
        for text in [
            "2562047h47m16.854775808s",
            "-2562047h47m16.854775809s",
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999999s",
        ] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
    }

    #[test]
    fn printed() {
        let check = |nanoseconds, expected| assert_eq!(format(nanoseconds), expected);
        check(0, "0s");
        check(1, "1ns");
        check(999, "999ns");
        check(1_000, "1µs");
        check(1_100, "1.1µs");
        check(2_200_000, "2.2ms");
        check(3_300_000_000, "3.3s");
        check(60_000_000_000, "1m0s");
        check(245_000_000_000, "4m5s");
        check(245_001_000_000, "4m5.001s");
        check(3_600_000_000_000, "1h0m0s");
        check(18_367_001_000_000, "5h6m7.001s");
        check(480_000_000_001, "8m0.000000001s");
        check(-1_500_000, "-1.5ms");
        check(i64::MAX, "2562047h47m16.854775807s");
        check(i64::MIN, "-2562047h47m16.854775808s");
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_read(nanoseconds: i64, shift in 0..63) {
            let nanoseconds = nanoseconds >> shift;
            proptest::prop_assert_eq!(parse(&format(nanoseconds)), Ok(nanoseconds));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+]?([0-9.]{0,30}[nuµmsh]{0,2}){0,4}") {
            let _ = parse(&text);
        }
    }
}
