//! The messages that a load stores in a stream, and the form in which they must come back.
//!
//! Message `n` (from 0) of a load has a subject that follows from `n`, and a payload that begins
//! with `n`. So whoever gets it later can tell which it is and whether it is whole.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};

use super::frames::{NUMBERED_COUNT_MAX, payload, publish_frame, scattered, write_number};
use super::messages::{number_at_end, number_of};
use super::stream_publisher::{REPLY_DIGITS, reply_placeholder};

/// Digits of a message's number in its payload.
const NUMBER_DIGITS: usize = 10;

/// Digits of a subject's number.
const SUBJECT_DIGITS: usize = 7;

/// The subjects of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// All messages have this one.
    Same(&'static str),
    /// This beginning and a number below `count`, each once before the first comes again, and
    /// neighbours far apart.
    Numbered {
        /// Everything before the number, the dot included.
        prefix: &'static str,
        /// 1 to [`NUMBERED_COUNT_MAX`].
        count: u64,
    },
}

/// Messages of one load.
#[derive(Clone, Debug)]
pub struct Stored {
    subjects: Subjects,
    payload: Vec<u8>,
    /// `PUB subject reply size`, the payload, with zeros where numbers stand.
    frame: Vec<u8>,
    subject_number: Range<usize>,
    reply_number: Range<usize>,
    payload_number: Range<usize>,
}

impl Subjects {
    /// The subject of message `number`.
    pub fn of(&self, number: u64) -> String {
        match self {
            Self::Same(subject) => (*subject).to_owned(),
            Self::Numbered { prefix, count } => {
                format!("{prefix}{:0SUBJECT_DIGITS$}", subject_number(number, *count))
            }
        }
    }

    /// A filter that matches all of them.
    pub fn filter(&self) -> String {
        match self {
            Self::Same(subject) => (*subject).to_owned(),
            Self::Numbered { prefix, .. } => format!("{prefix}*"),
        }
    }
}

impl Stored {
    /// Messages with payloads of this length, at least as long as their number.
    pub fn new(subjects: Subjects, payload_bytes: usize) -> Self {
        debug_assert!(payload_bytes >= NUMBER_DIGITS);
        let mut payload = payload(payload_bytes);
        payload[..NUMBER_DIGITS].fill(b'0');
        let subject = subjects.of(0);
        let frame = publish_frame(&format!("{subject} {}", reply_placeholder()), &payload);
        let subject_end = "PUB ".len() + subject.len();
        let subject_digits = match subjects {
            Subjects::Same(_) => 0,
            Subjects::Numbered { count, .. } => {
                debug_assert!((1..=NUMBERED_COUNT_MAX as u64).contains(&count));
                SUBJECT_DIGITS
            }
        };
        let reply_end = subject_end + 1 + reply_placeholder().len();
        let payload_begin = frame.len() - "\r\n".len() - payload.len();
        Self {
            subjects,
            payload,
            frame,
            subject_number: subject_end - subject_digits..subject_end,
            reply_number: reply_end - REPLY_DIGITS..reply_end,
            payload_number: payload_begin..payload_begin + NUMBER_DIGITS,
        }
    }

    /// The subjects of these messages.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Writes message `number` behind `out`, with its number where the acknowledgement goes.
    pub fn append_publish(&self, out: &mut Vec<u8>, number: u64) {
        let begin = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[begin..];
        if let Subjects::Numbered { count, .. } = self.subjects {
            write_number(&mut frame[self.subject_number.clone()], subject_number(number, count));
        }
        write_number(&mut frame[self.reply_number.clone()], number);
        write_number(&mut frame[self.payload_number.clone()], number);
    }

    /// Is this message `number`, as it was stored?
    ///
    /// # Errors
    /// Says what differs.
    pub fn check(&self, number: u64, subject: &[u8], payload: &[u8]) -> Result<()> {
        let is_subject = match &self.subjects {
            Subjects::Same(expected) => subject == expected.as_bytes(),
            Subjects::Numbered { prefix, count } => {
                number_at_end(subject) == Some((prefix.as_bytes(), subject_number(number, *count)))
            }
        };
        let text = || String::from_utf8_lossy(subject);
        ensure!(is_subject, "message {number} has the subject {}", text());
        ensure!(
            payload.len() == self.payload.len()
                && payload[NUMBER_DIGITS..] == self.payload[NUMBER_DIGITS..],
            "message {number} to {} is not what was stored",
            text()
        );
        let stored = number_of(&payload[..NUMBER_DIGITS]).context("a message without number")?;
        ensure!(stored == number, "message {stored} came where {number} was the next");
        Ok(())
    }
}

fn subject_number(number: u64, count: u64) -> u64 {
    scattered(number % count, count)
}

#[cfg(test)]
mod tests {
    use fulmar_protocol::client_op::{self, ClientOp, Limits, Step};

    use super::*;

    #[test]
    fn messages_are_well_formed_and_come_back_as_they_were_stored() {
        for subjects in [Subjects::Same("a.b"), Subjects::Numbered { prefix: "c.", count: 1_000 }] {
            let stored = Stored::new(subjects, 32);
            let mut out = Vec::new();
            for number in [0, 1, 999, 1_000, 1_234_567] {
                out.clear();
                stored.append_publish(&mut out, number);
                let Ok(Step::Op { op: ClientOp::Publish(publish), consumed }) =
                    client_op::parse(&out, &Limits::default())
                else {
                    panic!("{:?} is no PUB", String::from_utf8_lossy(&out));
                };
                assert_eq!(consumed, out.len());
                assert_eq!(publish.subject, stored.subjects().of(number).as_bytes());
                let reply = publish.reply.unwrap();
                assert_eq!(number_at_end(reply).unwrap().1, number);
                stored.check(number, publish.subject, publish.body()).unwrap();
                assert!(stored.check(number + 1, publish.subject, publish.body()).is_err());
                assert!(stored.check(number, b"c.x", publish.body()).is_err());
                let mut other = publish.body().to_vec();
                other[31] ^= 1;
                assert!(stored.check(number, publish.subject, &other).is_err());
                assert!(stored.check(number, publish.subject, &other[..31]).is_err());
            }
        }
    }

    #[test]
    fn every_subject_comes_once_before_the_first_comes_again() {
        let subjects = Subjects::Numbered { prefix: "x.", count: 250 };
        let mut names: Vec<String> = (0..250).map(|number| subjects.of(number)).collect();
        assert_eq!(subjects.of(250), names[0]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 250);
    }
}
