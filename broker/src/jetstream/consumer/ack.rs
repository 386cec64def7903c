//! Acknowledgements as they are written: the subject that says which delivery, and the body that
//! says what became of it.
//!
//! ```text
//! $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp>.<pending>
//! $JS.ACK.<domain or _>.<account hash>.<the same>[.<anything>]
//! ```
//!
//! The first form is the one that deliveries carry; the second one is understood.

/// The prefix of every acknowledgement's subject.
pub const ACK_PREFIX: &[u8] = b"$JS.ACK.";
/// Room for the five numbers of an acknowledgement's subject and their dots.
const NUMBERS_BYTES: usize = 5 * 21;

/// Which delivery an acknowledgement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The stream's name.
    pub stream: &'a [u8],
    /// The consumer's name.
    pub consumer: &'a [u8],
    /// How often the message had been delivered; `None` where the subject holds no number.
    pub deliveries: Option<u64>,
    /// The message's sequence in the stream.
    pub stream_sequence: Option<u64>,
    /// The sequence of the delivery.
    pub consumer_sequence: Option<u64>,
}

impl<'a> AckSubject<'a> {
    /// Reads a subject of either form; nothing if it is of neither.
    #[must_use]
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let rest = subject.strip_prefix(ACK_PREFIX)?;
        let mut tokens: [&[u8]; 9] = [b""; 9];
        let mut count = 0;
        for token in rest.split(|byte| *byte == b'.') {
            if let Some(place) = tokens.get_mut(count) {
                *place = token;
            }
            count += 1;
        }
        // Seven tokens behind the prefix are the first form, nine or more the second.
        let tokens = match count {
            7 => &tokens[..7],
            9.. => &tokens[2..],
            _ => return None,
        };
        Some(Self {
            stream: tokens[0],
            consumer: tokens[1],
            deliveries: number(tokens[2]),
            stream_sequence: number(tokens[3]),
            consumer_sequence: number(tokens[4]),
        })
    }
}

/// What a client says became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckBody<'a> {
    /// `+ACK`, `+OK` or nothing: it is processed.
    Ack,
    /// `+NXT`: it is processed, and here is the next pull request.
    Next(&'a [u8]),
    /// `-NAK`: deliver it again, at once or after so many nanoseconds.
    Nak {
        /// The pause that was asked for; nothing if none was, or it cannot be read.
        delay_ns: Option<u64>,
    },
    /// `+WPI`: it is still being worked on.
    Progress,
    /// `+TERM`: do not deliver it again, for a reason that may be empty.
    Term(&'a [u8]),
    /// Anything else changes nothing.
    Other,
}

impl<'a> AckBody<'a> {
    /// Reads the payload of an acknowledgement.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Self {
        match body {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::Progress,
            _ => {
                if let Some(request) = body.strip_prefix(b"+NXT") {
                    Self::Next(request)
                } else if let Some(delay) = body.strip_prefix(b"-NAK") {
                    Self::Nak { delay_ns: nak_delay_ns(delay.trim_ascii()) }
                } else if let Some(reason) = body.strip_prefix(b"+TERM") {
                    Self::Term(reason.trim_ascii())
                } else {
                    Self::Other
                }
            }
        }
    }
}

/// The reply subject of deliveries, written anew for each into the same buffer.
#[derive(Debug)]
pub(super) struct AckReply {
    buffer: Vec<u8>,
    prefix_bytes: usize,
}

impl AckReply {
    pub(super) fn new(stream: &str, consumer: &str) -> Self {
        let mut buffer = Vec::with_capacity(
            ACK_PREFIX.len() + stream.len() + consumer.len() + 2 + NUMBERS_BYTES,
        );
        buffer.extend_from_slice(ACK_PREFIX);
        buffer.extend_from_slice(stream.as_bytes());
        buffer.push(b'.');
        buffer.extend_from_slice(consumer.as_bytes());
        buffer.push(b'.');
        let prefix_bytes = buffer.len();
        Self { buffer, prefix_bytes }
    }

    /// Writes the numbers of one delivery; [`subject`](Self::subject) is the result.
    #[inline]
    pub(super) fn write(
        &mut self,
        deliveries: u32,
        stream_sequence: u64,
        consumer_sequence: u64,
        timestamp_ns: i64,
        pending: u64,
    ) {
        let mut digits = itoa::Buffer::new();
        self.buffer.truncate(self.prefix_bytes);
        self.buffer.extend_from_slice(digits.format(deliveries).as_bytes());
        for value in [stream_sequence, consumer_sequence] {
            self.buffer.push(b'.');
            self.buffer.extend_from_slice(digits.format(value).as_bytes());
        }
        self.buffer.push(b'.');
        self.buffer.extend_from_slice(digits.format(timestamp_ns).as_bytes());
        self.buffer.push(b'.');
        self.buffer.extend_from_slice(digits.format(pending).as_bytes());
    }

    #[inline]
    pub(super) fn subject(&self) -> &[u8] {
        &self.buffer
    }
}

/// Digits only; nothing else is a number here, and neither is what does not fit.
fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// `{"delay":<ns>}` or a duration in Go's words. What is in the past is now.
fn nak_delay_ns(argument: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Options {
        #[serde(default)]
        delay: i64,
    }
    if argument.is_empty() {
        return None;
    }
    let delay = if argument[0] == b'{' {
        serde_json::from_slice::<Options>(argument).ok()?.delay
    } else {
        go_duration_ns(std::str::from_utf8(argument).ok()?)?
    };
    Some(u64::try_from(delay).unwrap_or(0))
}

/// A duration as Go's `time.ParseDuration` reads it: `1h15m30.918s`, `-1.5h`, `300ms`, `0`.
/// Nanoseconds; nothing if it is malformed or out of range.
fn go_duration_ns(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u128;
    while !rest.is_empty() {
        let whole_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, behind) = rest.split_at(whole_end);
        let (fraction, behind) = match behind.strip_prefix('.') {
            Some(behind) => {
                let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
                behind.split_at(end)
            }
            None => ("", behind),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end =
            behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        let unit_ns: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
        total += whole * unit_ns;
        // Digits beyond a nanosecond of an hour are less than one: 18 are kept.
        let mut scale = unit_ns * 10_u128.pow(18) / 10;
        let mut part = 0_u128;
        for digit in fraction.bytes().take(18) {
            part += u128::from(digit - b'0') * scale;
            scale /= 10;
        }
        total += part / 10_u128.pow(18);
        if total > i64::MAX as u128 {
            return None;
        }
        rest = next;
    }
    let value = i64::try_from(total).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subjects_of_both_forms_are_read() {
        let expected = AckSubject {
            stream: b"S",
            consumer: b"C",
            deliveries: Some(2),
            stream_sequence: Some(7),
            consumer_sequence: Some(9),
        };
        for subject in [
            "$JS.ACK.S.C.2.7.9.1700000000000000000.5",
            "$JS.ACK._.hash.S.C.2.7.9.1700000000000000000.5",
            "$JS.ACK.hub.hash.S.C.2.7.9.1700000000000000000.5.random",
        ] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), Some(expected), "{subject}");
        }
        for subject in ["$JS.ACK", "$JS.ACK.S.C.2.7.9.1", "$JS.ACK.S.C.2.7.9.1.5.6", "foo.S.C"] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), None, "{subject}");
        }
        let wrong = AckSubject::parse(b"$JS.ACK.S.C.-1.x..99999999999999999999.0").expect("form");
        assert_eq!(
            (wrong.deliveries, wrong.stream_sequence, wrong.consumer_sequence),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut reply = AckReply::new("ORDERS", "worker");
        reply.write(3, 1000, 12, 1_700_000_000_000_000_001, 4);
        assert_eq!(reply.subject(), b"$JS.ACK.ORDERS.worker.3.1000.12.1700000000000000001.4");
        reply.write(1, 2, 3, -4, 0);
        assert_eq!(reply.subject(), b"$JS.ACK.ORDERS.worker.1.2.3.-4.0");
        let read = AckSubject::parse(reply.subject()).expect("of the first form");
        assert_eq!((read.stream_sequence, read.consumer_sequence), (Some(2), Some(3)));
    }

    #[test]
    fn bodies_are_told_apart() {
        let check = |body: &str, expected: AckBody<'_>| {
            assert_eq!(AckBody::parse(body.as_bytes()), expected, "{body}");
        };
        check("", AckBody::Ack);
        check("+ACK", AckBody::Ack);
        check("+OK", AckBody::Ack);
        check("+WPI", AckBody::Progress);
        check("+NXT", AckBody::Next(b""));
        check("+NXT {\"batch\":2}", AckBody::Next(b" {\"batch\":2}"));
        check("-NAK", AckBody::Nak { delay_ns: None });
        check("-NAK {\"delay\": 5}", AckBody::Nak { delay_ns: Some(5) });
        check("-NAK {\"delay\": -5}", AckBody::Nak { delay_ns: Some(0) });
        check("-NAK {}", AckBody::Nak { delay_ns: Some(0) });
        check("-NAK {\"delay\": \"x\"}", AckBody::Nak { delay_ns: None });
        check("-NAK 2s", AckBody::Nak { delay_ns: Some(2_000_000_000) });
        check("-NAKnonsense", AckBody::Nak { delay_ns: None });
        check("+TERM", AckBody::Term(b""));
        check("+TERM  it is broken ", AckBody::Term(b"it is broken"));
        check("hello", AckBody::Other);
        check("+WPI ", AckBody::Other);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(subject in ".{0,60}", body in "|(-NAK|[+]TERM|[+]NXT)[ -~]{0,30}|[a-z].{0,30}") {
            prop_assert!(AckSubject::parse(subject.as_bytes()).is_none());
            let whole = format!("$JS.ACK.{subject}");
            if let Some(ack) = AckSubject::parse(whole.as_bytes()) {
                let names = [ack.stream, b".", ack.consumer].concat();
                prop_assert!(whole.as_bytes().windows(names.len()).any(|part| part == names));
            }
            let is_known = AckBody::parse(body.as_bytes()) != AckBody::Other;
            prop_assert_eq!(is_known, body.is_empty() || body.starts_with(['-', '+']));
            prop_assert!(go_duration_ns(&body).is_none_or(|value| value != i64::MIN));
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(go_duration_ns(text), expected, "{text:?}");
        };
        check("0", Some(0));
        check("-0", Some(0));
        check("5s", Some(5_000_000_000));
        check("1h15m30.918s", Some(4_530_918_000_000));
        check("-1.5h", Some(-5_400_000_000_000));
        check("+300ms", Some(300_000_000));
        check(".5s", Some(500_000_000));
        check("5.s", Some(5_000_000_000));
        check("1.0000000000000000000000001ns", Some(1));
        check("9\u{b5}s", Some(9_000));
        check("2562047h47m16.854775807s", Some(i64::MAX));
        for malformed in ["", "-", "s", ".", "5", "5x", "5 s", ".s", "1h-5m", "99999999h", "3e9s"] {
            check(malformed, None);
        }
    }
}
