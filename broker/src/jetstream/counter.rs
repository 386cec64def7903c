//! Counters: streams whose messages add to a number, one number for each subject.
//!
//! A message brings `Nats-Incr: 5` and no payload; what is stored has the new total as its
//! payload, `{"val":"12"}`. A stream that sources counters adds them up: the header
//! `Nats-Counter-Sources` keeps what each source last had, `{"<stream>":{"<subject>":"7"}}`, and
//! `Nats-Incr` becomes the difference. Numbers have as many digits as fit into a message. Where
//! the last total is kept is not known here.
//!
//! Source: ADR-49, and nats-server 2.15.1, which was asked for every line of the tables below.

use std::collections::BTreeMap;

use fulmar_protocol::headers::Headers;
use num_bigint::BigInt;
use serde::Deserialize;

use super::error::{self, ApiError};
use super::header_block::HeaderBlock;

const INCREMENT: &str = "Nats-Incr";
const SOURCES: &str = "Nats-Counter-Sources";

/// Headers that make no sense together with an increment.
const INCOMPATIBLE: [&str; 6] = [
    "Nats-Rollup",
    "Nats-Expected-Stream",
    "Nats-Expected-Last-Msg-Id",
    "Nats-Expected-Last-Subject-Sequence-Subject",
    "Nats-Expected-Last-Sequence",
    "Nats-Expected-Last-Subject-Sequence",
];

/// What a message adds; `None` if it says nothing. A stream of counters then refuses it with
/// [`error::MESSAGE_INCR_MISSING`], but only after all its other checks.
///
/// # Errors
///
/// [`error::MESSAGE_INCR_INVALID`]: not a decimal number.
pub fn increment_of(headers: Headers<'_>) -> Result<Option<BigInt>, ApiError> {
    match headers.get(INCREMENT) {
        None | Some(b"") => Ok(None),
        Some(value) => parse(value).map(Some).ok_or(error::MESSAGE_INCR_INVALID),
    }
}

/// Checks what a client publishes: the first of all checks of a stream, whether it counts
/// (`allowed`) or not. What is sourced is not checked.
///
/// # Errors
///
/// 10171 not a decimal number, or together with `Nats-Rollup` or `Nats-Expected-*`; 10168 not
/// allowed; 10170 with a payload.
pub fn check_published(
    headers: Headers<'_>,
    payload: &[u8],
    allowed: bool,
) -> Result<Option<BigInt>, ApiError> {
    let Some(increment) = increment_of(headers)? else { return Ok(None) };
    if !allowed {
        return Err(error::MESSAGE_INCR_DISABLED);
    }
    if !payload.is_empty() {
        return Err(error::MESSAGE_INCR_PAYLOAD);
    }
    if INCOMPATIBLE.iter().any(|name| headers.get(name).is_some_and(|value| !value.is_empty())) {
        return Err(error::MESSAGE_INCR_INVALID);
    }
    Ok(Some(increment))
}

/// The number of one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    total: BigInt,
    /// What each source last had, by its stream and then its subject.
    sources: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    val: String,
}

impl Counter {
    /// Reads the counter off the last message of its subject. One without messages is
    /// [`Self::default`].
    ///
    /// # Errors
    ///
    /// [`error::MESSAGE_COUNTER_BROKEN`]: it is none.
    pub fn read(headers: Headers<'_>, payload: &[u8]) -> Result<Self, ApiError> {
        let total = total_of(payload)?;
        let sources = match headers.get(SOURCES) {
            None | Some(b"") => BTreeMap::new(),
            Some(json) => {
                serde_json::from_slice(json).map_err(|_| error::MESSAGE_COUNTER_BROKEN)?
            }
        };
        Ok(Self { total, sources })
    }

    /// Adds what a client published.
    pub fn add(&mut self, increment: &BigInt) {
        self.total += increment;
    }

    /// Adds what a source has more than it last had; what the message itself says it adds does
    /// not count. Returns the difference.
    ///
    /// `stream` and `subject` are the origin's: the first and the fifth field of
    /// `Nats-Stream-Source`.
    ///
    /// # Errors
    ///
    /// [`error::MESSAGE_COUNTER_BROKEN`]: `payload` is not that of a counter. Nothing changed.
    pub fn add_source(
        &mut self,
        stream: &str,
        subject: &str,
        payload: &[u8],
    ) -> Result<BigInt, ApiError> {
        let total = total_of(payload)?;
        let subjects = self.sources.entry(stream.to_owned()).or_default();
        let previous = subjects.insert(subject.to_owned(), total.to_string());
        let previous = previous.and_then(|text| parse(text.as_bytes())).unwrap_or_default();
        let difference = total - previous;
        self.total += &difference;
        Ok(difference)
    }

    /// The total, as `PubAck.val` has it.
    pub fn total(&self) -> String {
        self.total.to_string()
    }

    /// The payload of the message to be stored.
    pub fn payload(&self) -> Vec<u8> {
        format!("{{\"val\":\"{}\"}}", self.total).into_bytes()
    }

    /// Puts what has to be stored into the message's headers. `difference` is what
    /// [`Self::add_source`] returned, if it was that.
    pub fn write_headers(&self, difference: Option<&BigInt>, headers: &mut HeaderBlock) {
        if let Some(difference) = difference {
            headers.set(INCREMENT, difference.to_string());
        }
        if !self.sources.is_empty() {
            let json = serde_json::to_string(&self.sources).expect("text in text is JSON");
            headers.set(SOURCES, json);
        }
    }
}

fn total_of(payload: &[u8]) -> Result<BigInt, ApiError> {
    let payload: Payload =
        serde_json::from_slice(payload).map_err(|_| error::MESSAGE_COUNTER_BROKEN)?;
    match payload.val.as_str() {
        "" => Ok(BigInt::ZERO),
        total => parse(total.as_bytes()).ok_or(error::MESSAGE_COUNTER_BROKEN),
    }
}

/// A sign if one likes, and decimal digits. The library would let underscores through.
fn parse(text: &[u8]) -> Option<BigInt> {
    let digits = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(lines: &str) -> String {
        format!("NATS/1.0\r\n{}\r\n", lines.replace(';', "\r\n"))
    }

    #[test]
    fn increments() {
        let check = |value: &str, expected: Result<Option<i64>, ApiError>| {
            let block = block(&format!("Nats-Incr: {value};"));
            let increment = increment_of(Headers::new(block.as_bytes()));
            assert_eq!(increment, expected.map(|number| number.map(BigInt::from)), "{value}");
        };
        check("1", Ok(Some(1)));
        check("+5", Ok(Some(5)));
        check("-3", Ok(Some(-3)));
        check("0", Ok(Some(0)));
        check("-0", Ok(Some(0)));
        check("+0", Ok(Some(0)));
        check("00012", Ok(Some(12)));
        check(" 7 ", Ok(Some(7)));
        check("", Ok(None));
        for wrong in ["x", "1.5", "1e3", "1_000", "0x10", "--1", "+-1", "+", "-", "٣", "1 2"] {
            check(wrong, Err(error::MESSAGE_INCR_INVALID));
        }
    }

    #[test]
    fn published() {
        let check =
            |lines: &str, payload: &str, allowed, expected: Result<Option<i64>, ApiError>| {
                let block = block(lines);
                let headers = Headers::new(block.as_bytes());
                let checked = check_published(headers, payload.as_bytes(), allowed);
                assert_eq!(checked, expected.map(|number| number.map(BigInt::from)), "{lines}");
            };
        check("Nats-Incr: 1;", "", true, Ok(Some(1)));
        check("Nats-Incr: 1;", "x", true, Err(error::MESSAGE_INCR_PAYLOAD));
        check("Nats-Incr: x;", "x", true, Err(error::MESSAGE_INCR_INVALID));
        check("A: b;", "body", true, Ok(None));
        check("Nats-Incr: 1;", "x", false, Err(error::MESSAGE_INCR_DISABLED));
        check("Nats-Incr: x;", "", false, Err(error::MESSAGE_INCR_INVALID));
        check("Nats-Incr: ;", "", false, Ok(None));
        for name in INCOMPATIBLE {
            let with = |value: &str| format!("Nats-Incr: 1;{name}: {value};");
            check(&with("T"), "", true, Err(error::MESSAGE_INCR_INVALID));
            check(&with(""), "", true, Ok(Some(1)));
        }
        check("Nats-Incr: 1;Nats-Msg-Id: 1;", "", true, Ok(Some(1)));
    }

    /// The totals that the server answered one after the other.
    #[test]
    fn totals() {
        let mut counter = Counter::default();
        let nines = "9".repeat(41);
        for (increment, total) in [
            ("1", "1"),
            ("+5", "6"),
            ("-3", "3"),
            ("0", "3"),
            ("00012", "15"),
            ("14", "29"),
            (&nines[..], "100000000000000000000000000000000000000028"),
            (&format!("-{nines}"), "29"),
            ("-30", "-1"),
        ] {
            counter.add(&parse(increment.as_bytes()).unwrap());
            assert_eq!(counter.total(), total);
            let payload = counter.payload();
            assert_eq!(payload, format!("{{\"val\":\"{total}\"}}").into_bytes());
            counter = Counter::read(Headers::new(b""), &payload).unwrap();
        }
    }

    /// A stream that sources two others, as the server stored it.
    #[test]
    fn sourced() {
        let mut counter = Counter::default();
        let mut check = |stream: &str,
                         subject: &str,
                         total: i64,
                         lines: &str,
                         expected: &str,
                         payload: &str| {
            let total = format!("{{\"val\":\"{total}\"}}");
            let difference = counter.add_source(stream, subject, total.as_bytes()).unwrap();
            let mut headers = HeaderBlock::new(block(lines).as_bytes());
            counter.write_headers(Some(&difference), &mut headers);
            let headers = headers.finish();
            assert_eq!(String::from_utf8(headers.clone()).unwrap(), block(expected));
            assert_eq!(counter.payload(), payload.as_bytes());
            let read = Counter::read(Headers::new(&headers), payload.as_bytes());
            assert_eq!(read, Ok(counter.clone()));
        };
        check(
            "T",
            "c.z",
            7,
            "X: 1;Nats-Incr: +07;Y: 2;Nats-Stream-Source: T 23 c.z > c.z eKDjQFMW;",
            "X: 1;Nats-Incr: 7;Y: 2;Nats-Stream-Source: T 23 c.z > c.z eKDjQFMW;\
             Nats-Counter-Sources: {\"T\":{\"c.z\":\"7\"}};",
            "{\"val\":\"7\"}",
        );
        check(
            "E1",
            "e.z",
            100,
            "Nats-Incr: 100;Nats-Stream-Source: E1 1 e.> c.> e.z 8PH31fN2;",
            "Nats-Incr: 100;Nats-Stream-Source: E1 1 e.> c.> e.z 8PH31fN2;\
             Nats-Counter-Sources: {\"E1\":{\"e.z\":\"100\"},\"T\":{\"c.z\":\"7\"}};",
            "{\"val\":\"107\"}",
        );
        // Something between was missed: the difference counts, not what the message added.
        check(
            "T",
            "c.z",
            10,
            "Nats-Incr: 1;",
            "Nats-Incr: 3;Nats-Counter-Sources: {\"E1\":{\"e.z\":\"100\"},\"T\":{\"c.z\":\"10\"}};",
            "{\"val\":\"110\"}",
        );
        // Sources of sources: what came in the headers is replaced.
        check(
            "E1",
            "e.z",
            99,
            "Nats-Counter-Sources: {\"Q\":{\"q\":\"1\"}};Nats-Incr: -1;",
            "Nats-Counter-Sources: {\"E1\":{\"e.z\":\"99\"},\"T\":{\"c.z\":\"10\"}};Nats-Incr: -1;",
            "{\"val\":\"109\"}",
        );
    }

    #[test]
    fn broken() {
        let read = |lines: &str, payload: &str| {
            let block = block(lines);
            Counter::read(Headers::new(block.as_bytes()), payload.as_bytes())
        };
        for payload in ["", "5", "{\"val\":5}", "{\"val\":\"x\"}", "{\"val\":\"1_0\"}", "x"] {
            assert_eq!(read("", payload), Err(error::MESSAGE_COUNTER_BROKEN), "{payload}");
            let mut counter = Counter::default();
            let sourced = counter.add_source("S", "s", payload.as_bytes());
            assert_eq!(sourced, Err(error::MESSAGE_COUNTER_BROKEN), "{payload}");
            assert_eq!(counter, Counter::default());
        }
        let wrong = "Nats-Counter-Sources: {\"A\":5};";
        assert_eq!(read(wrong, "{\"val\":\"1\"}"), Err(error::MESSAGE_COUNTER_BROKEN));
        assert_eq!(read("", "{}"), Ok(Counter::default()));
    }

    proptest! {
        #[test]
        fn never_panics(block: Vec<u8>, payload: Vec<u8>) {
            let headers = Headers::new(&block);
            let _ = check_published(headers, &payload, true);
            let _ = Counter::read(headers, &payload);
        }
    }
}
