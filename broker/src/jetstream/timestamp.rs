//! Points in time as Go reads and writes them in JSON: RFC 3339 with nanoseconds, and the year 1
//! for "never". The offset a client wrote is kept.
//!
//! Clocks are not known here.

use std::fmt;

use jiff::{SignedDuration, civil};
use serde::Serialize;

use super::json::{Decode, Place, Raw, go_quoted};

/// A point in time and the offset from UTC in which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970, of any year from 0 to 9999.
    seconds: i64,
    /// Below a second.
    nanoseconds: u32,
    offset_minutes: i16,
}

const EPOCH: civil::DateTime = civil::datetime(1970, 1, 1, 0, 0, 0, 0);
/// Seconds from the beginning of the year 1 to 1970.
const ZERO_SECONDS: i64 = -62_135_596_800;

impl Timestamp {
    /// Go's zero time, the beginning of the year 1: never.
    pub const ZERO: Self = Self { seconds: ZERO_SECONDS, nanoseconds: 0, offset_minutes: 0 };

    /// `unix_ns` nanoseconds after 1970, in UTC.
    pub fn from_unix_ns(unix_ns: i64) -> Self {
        const SECOND: i64 = 1_000_000_000;
        let nanoseconds = u32::try_from(unix_ns.rem_euclid(SECOND)).expect("less than a second");
        Self { seconds: unix_ns.div_euclid(SECOND), nanoseconds, offset_minutes: 0 }
    }

    /// Nanoseconds after 1970; what is out of range (before 1677, after 2262) is the nearest.
    pub fn unix_ns(self) -> i64 {
        let unix_ns = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds);
        i64::try_from(unix_ns).unwrap_or(if unix_ns < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether this is Go's zero time.
    pub fn is_zero(self) -> bool {
        self.seconds == ZERO_SECONDS && self.nanoseconds == 0
    }

    /// The same moment, written in UTC.
    #[must_use]
    pub fn in_utc(self) -> Self {
        Self { offset_minutes: 0, ..self }
    }

    /// Whether both are the same moment, whatever their offsets.
    pub fn is_same_moment(self, other: Self) -> bool {
        (self.seconds, self.nanoseconds) == (other.seconds, other.nanoseconds)
    }

    /// Reads RFC 3339 as Go's `time.Parse` does: an hour may have one digit, a comma may stand
    /// before the fraction.
    ///
    /// # Errors
    ///
    /// Go's words for what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        Parser { text, rest: text }.parse()
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.offset_minutes) * 60;
        let local =
            EPOCH.checked_add(SignedDuration::from_secs(local)).unwrap_or(civil::DateTime::MAX);
        write!(f, "{:04}-{:02}-{:02}", local.year(), local.month(), local.day())?;
        write!(f, "T{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second())?;
        if self.nanoseconds != 0 {
            let digits = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset_minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let offset = self.offset_minutes.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", offset / 60, offset % 60)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Decode for Timestamp {
    const GO_TYPE: &'static str = "time.Time";

    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        *self = Self::parse(&raw.string(place, <Self as Decode>::GO_TYPE)?)?;
        Ok(())
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn parse(mut self) -> Result<Timestamp, String> {
        let year = self.digits(4, 4, "2006")?;
        self.letter('-')?;
        let month = self.digits(2, 2, "01")?;
        if !(1..=12).contains(&month) {
            return Err(self.out_of_range("month"));
        }
        self.letter('-')?;
        let day = self.digits(2, 2, "02")?;
        self.letter('T')?;
        let hour = self.digits(1, 2, "15")?;
        if hour > 23 {
            return Err(self.out_of_range("hour"));
        }
        self.letter(':')?;
        let minute = self.digits(2, 2, "04")?;
        if minute > 59 {
            return Err(self.out_of_range("minute"));
        }
        self.letter(':')?;
        let second = self.digits(2, 2, "05")?;
        if second > 59 {
            return Err(self.out_of_range("second"));
        }
        let nanoseconds = self.fraction();
        let offset_minutes = self.offset()?;
        if !self.rest.is_empty() {
            return Err(format!(
                "parsing time {}: extra text: {}",
                go_quoted(self.text),
                go_quoted(self.rest)
            ));
        }
        let narrow = |number: i64| i8::try_from(number).unwrap_or(0);
        let year = i16::try_from(year).unwrap_or(0);
        let Ok(date) = civil::Date::new(year, narrow(month), narrow(day)) else {
            return Err(self.out_of_range("day"));
        };
        let time = date.at(narrow(hour), narrow(minute), narrow(second), 0);
        let local = time.duration_since(EPOCH).as_secs();
        Ok(Timestamp {
            seconds: local - i64::from(offset_minutes) * 60,
            nanoseconds,
            offset_minutes,
        })
    }

    /// A number of so many digits; `element` is what Go's layout calls it.
    fn digits(&mut self, shortest: usize, longest: usize, element: &str) -> Result<i64, String> {
        let count = self.rest.bytes().take(longest).take_while(u8::is_ascii_digit).count();
        if count < shortest {
            return Err(self.cannot(element));
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(digits.parse().unwrap_or(0))
    }

    fn letter(&mut self, letter: char) -> Result<(), String> {
        self.rest = self
            .rest
            .strip_prefix(letter)
            .ok_or_else(|| self.cannot(letter.encode_utf8(&mut [0; 4])))?;
        Ok(())
    }

    fn fraction(&mut self) -> u32 {
        let Some(rest) = self.rest.strip_prefix(['.', ',']) else { return 0 };
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return 0;
        }
        let (digits, rest) = rest.split_at(count);
        self.rest = rest;
        // Cut to nanoseconds.
        format!("{:0<9}", &digits[..digits.len().min(9)]).parse().unwrap_or(0)
    }

    fn offset(&mut self) -> Result<i16, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let (sign, digits) = match self.rest.as_bytes() {
            [b'+', digits @ ..] => (1, digits),
            [b'-', digits @ ..] => (-1, digits),
            _ => return Err(self.cannot("Z07:00")),
        };
        let [h1, h2, b':', m1, m2, ..] = digits else { return Err(self.cannot("Z07:00")) };
        let [hours, minutes] = [[h1, h2], [m1, m2]].map(|[tens, ones]| {
            (tens.is_ascii_digit() && ones.is_ascii_digit())
                .then(|| i16::from(tens - b'0') * 10 + i16::from(ones - b'0'))
        });
        let (Some(hours), Some(minutes)) = (hours, minutes) else {
            return Err(self.cannot("Z07:00"));
        };
        self.rest = &self.rest[6..];
        if hours > 24 {
            return Err(self.out_of_range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.out_of_range("time zone offset minute"));
        }
        Ok(sign * (hours * 60 + minutes))
    }

    fn cannot(&self, element: &str) -> String {
        format!(
            "parsing time {} as \"2006-01-02T15:04:05Z07:00\": cannot parse {} as {}",
            go_quoted(self.text),
            go_quoted(self.rest),
            go_quoted(element)
        )
    }

    fn out_of_range(&self, what: &str) -> String {
        format!("parsing time {}: {what} out of range", go_quoted(self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let shown = Timestamp::parse(text).map(|time| time.to_string());
            assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text}");
        };
        for text in [
            "0001-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "2026-11-21T06:11:50.651010719Z",
            "2024-02-29T23:59:59.5+02:00",
            "2000-03-01T00:00:00-11:30",
            "9999-12-31T23:59:59.999999999Z",
            "0000-01-01T00:00:00Z",
        ] {
            check(text, Ok(text));
        }
        check("2020-12-01T00:00:00.100Z", Ok("2020-12-01T00:00:00.1Z"));
        check("2020-12-01T0:00:00,5Z", Ok("2020-12-01T00:00:00.5Z"));
        check("2020-12-01T00:00:00.1234567891Z", Ok("2020-12-01T00:00:00.123456789Z"));
        check("2020-12-01T00:00:00-00:00", Ok("2020-12-01T00:00:00Z"));
        let layout = "\"2006-01-02T15:04:05Z07:00\"";
        for (text, rest, element) in [
            ("foo", "foo", "2006"),
            ("", "", "2006"),
            ("2020-12-01 00:00:00Z", " 00:00:00Z", "T"),
            ("2020-12-01T00:00:00", "", "Z07:00"),
            ("2020-12-01T00:00:00+0200", "+0200", "Z07:00"),
        ] {
            let expected =
                format!("parsing time {text:?} as {layout}: cannot parse {rest:?} as {element:?}");
            check(text, Err(&expected));
        }
        for (text, what) in [
            ("2020-13-01T00:00:00Z", "month"),
            ("2020-12-01T24:00:00Z", "hour"),
            ("2020-02-30T00:00:00Z", "day"),
            ("2020-12-01T00:00:00+25:00", "time zone offset hour"),
        ] {
            check(text, Err(&format!("parsing time {text:?}: {what} out of range")));
        }
        check(
            "2020-12-01T00:00:00Zx",
            Err("parsing time \"2020-12-01T00:00:00Zx\": extra text: \"x\""),
        );
    }

    #[test]
    fn nanoseconds() {
        assert_eq!(Timestamp::from_unix_ns(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(Timestamp::from_unix_ns(-1).unix_ns(), -1);
        assert_eq!(Timestamp::ZERO.unix_ns(), i64::MIN);
        assert!(Timestamp::parse("0001-01-01T00:00:00Z").unwrap().is_zero());
        let (utc, east) = ("2020-01-01T00:00:00Z", "2020-01-01T02:00:00+02:00");
        let [utc, east] = [utc, east].map(|text| Timestamp::parse(text).unwrap());
        assert!(utc.is_same_moment(east) && utc != east);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-0-9T:Z+.,é ]{0,40}") {
            let _ = Timestamp::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(unix_ns: i64) {
            let time = Timestamp::from_unix_ns(unix_ns);
            assert_eq!(time.unix_ns(), unix_ns);
            assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }
    }
}
