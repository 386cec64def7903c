//! How a published message says that it belongs to a batch.
//!
//! An atomic batch, which is stored whole or not at all, is told by headers; fast ingest, where
//! only some messages are acknowledged, by the reply subject. Which batches are under way, and
//! what a message does to them, is not known here.
//!
//! Source: ADR-50, and nats-server 2.15.1, which was asked for every line of the tables below.

use fulmar_protocol::headers::Headers;
use serde::Serialize;

use super::error::{self, ApiError};

/// Longest identifier of a batch.
pub const BATCH_ID_BYTES_MAX: usize = 64;

/// What the headers of a message of an atomic batch say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicPart<'a> {
    /// Which batch: at most 64 bytes.
    pub id: &'a [u8],
    /// Which message of it; the first is 1.
    pub sequence: u64,
    /// Whether it is the last, and what it is then.
    pub commit: Option<AtomicCommit>,
}

/// What the last message of an atomic batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicCommit {
    /// Part of the batch.
    WithMessage,
    /// Only the end: it is not stored. The message before it gets `Nats-Batch-Commit: 1`.
    WithoutMessage,
    /// No value that is known: if the batch can be found (or begins with this), it is given up
    /// with [`error::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT`].
    Unknown,
}

impl<'a> AtomicPart<'a> {
    /// Reads the headers; `None` if the message is not part of an atomic batch.
    ///
    /// # Errors
    ///
    /// In this order: [`error::ATOMIC_PUBLISH_DISABLED`] if not `allowed`,
    /// [`error::ATOMIC_PUBLISH_INVALID_BATCH_ID`] if it is too long,
    /// [`error::ATOMIC_PUBLISH_MISSING_SEQ`] if that is no number.
    pub fn parse(headers: Headers<'a>, allowed: bool) -> Result<Option<Self>, ApiError> {
        let Some(id) = headers.get("Nats-Batch-Id").filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        if !allowed {
            return Err(error::ATOMIC_PUBLISH_DISABLED);
        }
        if id.len() > BATCH_ID_BYTES_MAX {
            return Err(error::ATOMIC_PUBLISH_INVALID_BATCH_ID);
        }
        let sequence = headers.get("Nats-Batch-Sequence").and_then(parse_number);
        let sequence = sequence.ok_or(error::ATOMIC_PUBLISH_MISSING_SEQ)?;
        let commit = headers.get("Nats-Batch-Commit").map(|value| match value {
            b"1" => AtomicCommit::WithMessage,
            b"eob" => AtomicCommit::WithoutMessage,
            _ => AtomicCommit::Unknown,
        });
        Ok(Some(Self { id, sequence, commit }))
    }

    /// How many messages the batch has if this is its last: what is compared with the limit
    /// that [`error::atomic_publish_too_large_batch`] names.
    pub fn messages(&self) -> u64 {
        match self.commit {
            Some(AtomicCommit::WithoutMessage) => self.sequence.saturating_sub(1),
            _ => self.sequence,
        }
    }
}

/// What the reply subject of a message of fast ingest says:
/// `<prefix>.<id>.<flow>.<gap>.<sequence>.<operation>.$FI`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastPart<'a> {
    /// Which batch: at most 64 bytes.
    pub id: &'a [u8],
    /// Every how many messages the publisher wants to hear, at most.
    pub flow: u16,
    /// Whether the batch goes on if messages are missing.
    pub gap_ok: bool,
    /// Which message it is; the first is 1.
    pub sequence: u64,
    /// What to do.
    pub operation: FastOperation,
}

/// What a message of fast ingest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastOperation {
    /// The first: its sequence is 1.
    Start,
    /// A further one.
    Append,
    /// The last.
    Commit,
    /// Only the end: it is not stored, and never the first.
    CommitWithoutMessage,
    /// Not stored: the publisher asks how far the batch has come. It has the sequence of the
    /// message before.
    Ping,
}

const SUFFIX: &[u8] = b".$FI";
/// For publishers that do not say it in a way that can be understood.
const FLOW_DEFAULT: u16 = 10;

impl<'a> FastPart<'a> {
    /// Whether a reply subject says that a message is part of fast ingest, well or badly.
    pub fn is_meant(reply: &[u8]) -> bool {
        reply.ends_with(SUFFIX)
    }

    /// Reads a reply subject; `None` if the message is not part of fast ingest.
    ///
    /// # Errors
    ///
    /// In this order: [`error::BATCH_PUBLISH_DISABLED`] if not `allowed`,
    /// [`error::BATCH_PUBLISH_INVALID_PATTERN`], [`error::BATCH_PUBLISH_INVALID_BATCH_ID`] if it
    /// is too long.
    pub fn parse(reply: &'a [u8], allowed: bool) -> Result<Option<Self>, ApiError> {
        let Some(pattern) = reply.strip_suffix(SUFFIX).filter(|pattern| !pattern.is_empty()) else {
            return Ok(None);
        };
        if !allowed {
            return Err(error::BATCH_PUBLISH_DISABLED);
        }
        let part = Self::parse_pattern(pattern).ok_or(error::BATCH_PUBLISH_INVALID_PATTERN)?;
        if part.id.len() > BATCH_ID_BYTES_MAX {
            return Err(error::BATCH_PUBLISH_INVALID_BATCH_ID);
        }
        Ok(Some(part))
    }

    fn parse_pattern(pattern: &'a [u8]) -> Option<Self> {
        let mut tokens = pattern.rsplitn(6, |byte| *byte == b'.');
        let mut next = || tokens.next();
        let (operation, sequence, gap, flow, id) = (next()?, next()?, next()?, next()?, next()?);
        // There is a prefix, if only an empty one.
        next()?;
        let operation = match parse_number(operation)? {
            0 => FastOperation::Start,
            1 => FastOperation::Append,
            2 => FastOperation::Commit,
            3 => FastOperation::CommitWithoutMessage,
            4 => FastOperation::Ping,
            _ => return None,
        };
        // The highest number could not be counted on.
        let sequence = parse_number(sequence).filter(|number| (1..u64::MAX).contains(number))?;
        let fits = match operation {
            FastOperation::Start => sequence == 1,
            FastOperation::Append | FastOperation::CommitWithoutMessage => sequence > 1,
            FastOperation::Commit | FastOperation::Ping => true,
        };
        let gap_ok = match gap {
            b"ok" => true,
            b"fail" => false,
            _ => return None,
        };
        let digits = !flow.is_empty() && flow.iter().all(u8::is_ascii_digit);
        let flow = match parse_number(flow) {
            Some(0) => FLOW_DEFAULT,
            Some(flow) => u16::try_from(flow).unwrap_or(u16::MAX),
            None if digits => u16::MAX,
            None => FLOW_DEFAULT,
        };
        fits.then_some(Self { id, flow, gap_ok, sequence, operation })
    }
}

/// What the publisher of a fast batch is told while it is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FastAnswer {
    /// Everything up to `sequence` is stored; the next such answer comes `messages` later.
    Ack {
        /// 0 in answer to the first message.
        #[serde(rename = "seq")]
        sequence: u64,
        /// At least 1.
        #[serde(rename = "msgs")]
        messages: u16,
    },
    /// Messages are missing.
    Gap {
        /// The first that was expected and did not come.
        #[serde(rename = "last_seq")]
        expected: u64,
        /// The one that came.
        #[serde(rename = "seq")]
        sequence: u64,
    },
    /// A message was refused.
    #[serde(rename = "err")]
    Error {
        /// Which.
        #[serde(rename = "seq")]
        sequence: u64,
        /// Why.
        error: ApiError,
    },
}

impl FastAnswer {
    /// The JSON of the answer.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and text are JSON")
    }
}

/// Decimal digits, nothing else; `None` also if 64 bits do not hold them.
fn parse_number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic() {
        type Expected<'a> = Result<Option<(&'a str, u64, Option<AtomicCommit>)>, ApiError>;
        let check = |lines: &str, expected: Expected<'_>| {
            let block = format!("NATS/1.0\r\n{}\r\n", lines.replace(';', "\r\n"));
            let parsed = AtomicPart::parse(Headers::new(block.as_bytes()), true);
            let expected = expected.map(|part| {
                part.map(|(id, sequence, commit)| AtomicPart {
                    id: id.as_bytes(),
                    sequence,
                    commit,
                })
            });
            assert_eq!(parsed, expected, "{lines}");
        };
        let part = |rest: &str| format!("Nats-Batch-Id: a;{rest}");
        let numbered = |number: &str| part(&format!("Nats-Batch-Sequence: {number};"));
        let commit = |value: &str| format!("{}Nats-Batch-Commit: {value};", numbered("2"));
        check("", Ok(None));
        check("Nats-Batch-Id: ;Nats-Batch-Sequence: 1;", Ok(None));
        check("Nats-Batch-Sequence: 1;Nats-Batch-Commit: 1;", Ok(None));
        check(&numbered("1"), Ok(Some(("a", 1, None))));
        check(&numbered("01"), Ok(Some(("a", 1, None))));
        check(&numbered("0"), Ok(Some(("a", 0, None))));
        for wrong in ["", "x", "+1", "-1", "18446744073709551616"] {
            check(&numbered(wrong), Err(error::ATOMIC_PUBLISH_MISSING_SEQ));
        }
        check(&part(""), Err(error::ATOMIC_PUBLISH_MISSING_SEQ));
        check(&commit("1"), Ok(Some(("a", 2, Some(AtomicCommit::WithMessage)))));
        check(&commit("eob"), Ok(Some(("a", 2, Some(AtomicCommit::WithoutMessage)))));
        for unknown in ["", "0", "EOB", "true"] {
            check(&commit(unknown), Ok(Some(("a", 2, Some(AtomicCommit::Unknown)))));
        }
        let longest = "i".repeat(64);
        check(
            &format!("Nats-Batch-Id: {longest};Nats-Batch-Sequence: 1;"),
            Ok(Some((&longest, 1, None))),
        );
        check(&format!("Nats-Batch-Id: {longest}i;"), Err(error::ATOMIC_PUBLISH_INVALID_BATCH_ID));
        let block = format!("NATS/1.0\r\nNats-Batch-Id: {longest}i\r\n\r\n");
        let disabled = AtomicPart::parse(Headers::new(block.as_bytes()), false);
        assert_eq!(disabled, Err(error::ATOMIC_PUBLISH_DISABLED));
    }

    /// The size that 10199 compares with its limit.
    #[test]
    fn the_end_does_not_count() {
        let part = |sequence, commit| AtomicPart { id: b"a", sequence, commit };
        assert_eq!(part(1001, None).messages(), 1001);
        assert_eq!(part(1001, Some(AtomicCommit::WithMessage)).messages(), 1001);
        assert_eq!(part(1001, Some(AtomicCommit::WithoutMessage)).messages(), 1000);
        assert_eq!(part(0, Some(AtomicCommit::WithoutMessage)).messages(), 0);
    }

    #[test]
    fn fast() {
        type Expected<'a> = Result<Option<(&'a str, u16, bool, u64, FastOperation)>, ApiError>;
        let check = |reply: &str, expected: Expected<'_>| {
            let expected = expected.map(|part| {
                part.map(|(id, flow, gap_ok, sequence, operation)| FastPart {
                    id: id.as_bytes(),
                    flow,
                    gap_ok,
                    sequence,
                    operation,
                })
            });
            assert_eq!(FastPart::parse(reply.as_bytes(), true), expected, "{reply}");
        };
        let accepted = |reply: &str, flow, gap_ok, sequence, operation| {
            check(&format!("_INBOX.x.{reply}"), Ok(Some(("c", flow, gap_ok, sequence, operation))));
        };
        accepted("c.10.ok.1.0.$FI", 10, true, 1, FastOperation::Start);
        accepted("c.10.ok.2.1.$FI", 10, true, 2, FastOperation::Append);
        accepted("c.10.fail.3.2.$FI", 10, false, 3, FastOperation::Commit);
        accepted("c.1.ok.1.2.$FI", 1, true, 1, FastOperation::Commit);
        accepted("c.1.ok.4.3.$FI", 1, true, 4, FastOperation::CommitWithoutMessage);
        accepted("c.10.ok.1.4.$FI", 10, true, 1, FastOperation::Ping);
        accepted("c.1.ok.01.00.$FI", 1, true, 1, FastOperation::Start);
        for flow in ["0", "x", "-5", ""] {
            accepted(&format!("c.{flow}.ok.1.0.$FI"), 10, true, 1, FastOperation::Start);
        }
        for flow in ["70000", "65535", "99999999999999999999999"] {
            accepted(&format!("c.{flow}.ok.1.0.$FI"), 65_535, true, 1, FastOperation::Start);
        }
        check(".c.1.ok.1.0.$FI", Ok(Some(("c", 1, true, 1, FastOperation::Start))));
        check("p..1.ok.1.0.$FI", Ok(Some(("", 1, true, 1, FastOperation::Start))));
        for wrong in [
            "c.10.ok.1.1.$FI",
            "c.10.ok.2.0.$FI",
            "c.10.ok.0.0.$FI",
            "c.10.ok.0.4.$FI",
            "c.10.ok.1.5.$FI",
            "c.10.ok.1.-1.$FI",
            "c.10.ok.1.x.$FI",
            "c.10.ok.1..$FI",
            "c.10.maybe.1.0.$FI",
            "c.10.OK.1.0.$FI",
            "c.10.ok.1.3.$FI",
            "c.10.ok.x.0.$FI",
            "c.10.ok.18446744073709551615.1.$FI",
            "c.10.ok.18446744073709551616.1.$FI",
        ] {
            let wrong = format!("_INBOX.x.{wrong}");
            check(&wrong, Err(error::BATCH_PUBLISH_INVALID_PATTERN));
        }
        for short in ["0.$FI", "1.0.$FI", "ok.1.0.$FI", "1.ok.1.0.$FI", "id.1.ok.1.0.$FI"] {
            check(short, Err(error::BATCH_PUBLISH_INVALID_PATTERN));
        }
        for other in ["", "$FI", ".$FI", "_INBOX.x", "p.c.10.ok.1.0.$fi", "p.c.10.ok.1.0.$FI.x"] {
            check(other, Ok(None));
        }
        let longest = "i".repeat(64);
        check(
            &format!("p.{longest}.1.ok.1.2.$FI"),
            Ok(Some((&longest, 1, true, 1, FastOperation::Commit))),
        );
        let too_long = format!("p.{longest}i.1.ok.1.2.$FI");
        check(&too_long, Err(error::BATCH_PUBLISH_INVALID_BATCH_ID));
        for reply in ["p.z.1.ok.1.2.$FI", "p.z.1.ok.1.9.$FI", &too_long] {
            let disabled = FastPart::parse(reply.as_bytes(), false);
            assert_eq!(disabled, Err(error::BATCH_PUBLISH_DISABLED));
        }
    }

    #[test]
    fn answers() {
        let check = |answer: FastAnswer, expected: &str| {
            assert_eq!(String::from_utf8(answer.to_json()).unwrap(), expected);
        };
        check(FastAnswer::Ack { sequence: 0, messages: 10 }, r#"{"type":"ack","seq":0,"msgs":10}"#);
        check(
            FastAnswer::Gap { expected: 2, sequence: 3 },
            r#"{"type":"gap","last_seq":2,"seq":3}"#,
        );
        check(
            FastAnswer::Error { sequence: 2, error: error::STREAM_NOT_MATCH },
            r#"{"type":"err","seq":2,"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}"#,
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(reply in "[a-z0-9.]{0,40}", block: Vec<u8>) {
            let reply = format!("{reply}.$FI");
            let _ = FastPart::parse(reply.as_bytes(), true);
            let _ = FastPart::parse(&block, true);
            let _ = AtomicPart::parse(Headers::new(&block), true);
        }
    }
}
