//! Republishing: what a stream publishes again, under another subject, once it is stored.
//!
//! Who sends it, and that it may not form a circle, is not known here. Source: ADR-28, and
//! nats-server 2.15.1, whose headers are in the table below.

use fulmar_protocol::subject::is_publishable;

use super::header_block::HeaderBlock;
use super::subject_transform::{SubjectTransform, TransformError};
use super::timestamp::Timestamp;

/// What is published again, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Republish {
    transform: SubjectTransform,
    headers_only: bool,
}

/// A message that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    /// Its stream.
    pub stream: &'a str,
    /// The subject it was stored with.
    pub subject: &'a [u8],
    /// Its place in the stream.
    pub sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub unix_ns: i64,
    /// The message before it with the same subject, 0 if there is none.
    pub last_sequence: u64,
    /// Its header block, empty if it has none.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl Republish {
    /// Parses `republish` of a stream's configuration; an empty `source` means `>`.
    ///
    /// # Errors
    ///
    /// See [`TransformError`]; the API has a text of its own for all of them.
    pub fn new(
        source: &str,
        destination: &str,
        headers_only: bool,
    ) -> Result<Self, TransformError> {
        Ok(Self { transform: SubjectTransform::new(source, destination)?, headers_only })
    }

    /// Whether [`Self::subject_for`] uses its random number.
    pub fn is_random(&self) -> bool {
        self.transform.is_random()
    }

    /// Under which subject a message stored with `subject` is published again. `None`: it is
    /// not, because the source does not match, or what comes out is not a subject.
    pub fn subject_for(&self, subject: &[u8], random: u32) -> Option<Vec<u8>> {
        self.transform.apply(subject, random).filter(|subject| is_publishable(subject))
    }

    /// The header block of the republished message: what the stored one has, and where it is
    /// stored.
    pub fn headers(&self, message: &StoredMessage<'_>) -> Vec<u8> {
        let mut block = HeaderBlock::new(message.headers);
        let mut number = itoa::Buffer::new();
        block.append("Nats-Stream", message.stream);
        block.append("Nats-Subject", message.subject);
        block.append("Nats-Sequence", number.format(message.sequence));
        block.append("Nats-Time-Stamp", Timestamp::from_unix_ns(message.unix_ns).to_string());
        block.append("Nats-Last-Sequence", number.format(message.last_sequence));
        if self.headers_only {
            block.append("Nats-Msg-Size", number.format(message.payload.len()));
        }
        block.finish()
    }

    /// The payload of the republished message: that of the stored one, or nothing.
    pub fn payload<'a>(&self, message: &StoredMessage<'a>) -> &'a [u8] {
        if self.headers_only { &[] } else { message.payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a subscriber of nats-server 2.15.1 got.
    #[test]
    fn republished() {
        let check = |message: StoredMessage<'_>,
                     subject: &str,
                     headers: [&str; 2],
                     payload: &str| {
            for (headers_only, expected) in [(false, headers[0]), (true, headers[1])] {
                let republish = Republish::new("r.>", "out.>", headers_only).unwrap();
                assert_eq!(republish.subject_for(message.subject, 0).unwrap(), subject.as_bytes());
                let block = String::from_utf8(republish.headers(&message)).unwrap();
                assert_eq!(block, format!("NATS/1.0\r\n{}\r\n", expected.replace(';', "\r\n")));
                let payload = if headers_only { "" } else { payload };
                assert_eq!(republish.payload(&message), payload.as_bytes());
            }
        };
        let first = StoredMessage {
            stream: "R",
            subject: b"r.a",
            sequence: 1,
            unix_ns: Timestamp::parse("2026-11-21T07:21:20.32171052Z").unwrap().unix_ns(),
            last_sequence: 0,
            headers: b"",
            payload: b"one",
        };
        let bare = "Nats-Stream: R;Nats-Subject: r.a;Nats-Sequence: 1;\
                    Nats-Time-Stamp: 2026-11-21T07:21:20.32171052Z;Nats-Last-Sequence: 0;";
        check(first, "out.a", [bare, &format!("{bare}Nats-Msg-Size: 3;")], "one");
        let second = StoredMessage {
            sequence: 5,
            last_sequence: 2,
            headers: b"NATS/1.0\r\nX: 1\r\n\r\n",
            payload: b"",
            ..first
        };
        let with = "X: 1;Nats-Stream: R;Nats-Subject: r.a;Nats-Sequence: 5;\
                    Nats-Time-Stamp: 2026-11-21T07:21:20.32171052Z;Nats-Last-Sequence: 2;";
        check(second, "out.a", [with, &format!("{with}Nats-Msg-Size: 0;")], "");
    }

    #[test]
    fn not_republished() {
        let check = |source: &str, destination: &str, subject: &str, expected: Option<&str>| {
            let republish = Republish::new(source, destination, false).unwrap();
            let applied = republish.subject_for(subject.as_bytes(), 0);
            assert_eq!(applied.as_deref(), expected.map(str::as_bytes), "{subject}");
        };
        check("s.*.q", "{{wildcard(1)}}.k", "s.abc.q", Some("abc.k"));
        check("s.*.q", "{{wildcard(1)}}.k", "s.abc.r", None);
        check("s.*", "t.{{split(1,-)}}", "s.a-b", Some("t.a.b"));
        // What comes out is no subject.
        check("s.*", "t.{{split(1,-)}}", "s.--a", None);
        check("s.*", "t.{{split(1,-)}}", "s.-", None);
        check("s.*", "t.u v", "s.a", None);
        check("", "out.>", "x", Some("out.x"));
        assert!(Republish::new("s.*", "t.$2", false).is_err());
    }
}
