//! The header `Nats-Stream-Source`: from where a stream has a message that it sourced.
//!
//! It lets a stream go on where it was after a restart, and origins of counters be told apart.
//! What is copied, and when, is not known here.
//!
//! ```text
//! ORDERS:Hj3kkF2a 23 orders.* new.$1 orders.eu eKDjQFMW
//! stream          |  filter   |      subject   identity of the origin
//!                 sequence    transform        (a hash of when it was created)
//! ```
//!
//! The first, third and fourth field together name the source. With several filters and
//! transforms each field has them all, with form feeds in between. A stream in another account or
//! domain has the hash of its API prefix behind it, one copied through a given consumer
//! `:C=` and the hash of the consumer's name. Older servers left out what is at the end; the
//! oldest stored the subject that acknowledges the message there.
//!
//! Source: nats-server 2.15.1, whose headers are in the tables below.

use std::fmt;

use sha2::{Digest, Sha256};

use super::header_block::HeaderBlock;
use super::stream_config::StreamSource;
use super::timestamp::Timestamp;

/// The name of the header.
pub const STREAM_SOURCE: &str = "Nats-Stream-Source";

/// Names a source among those of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    /// The origin, and what tells it from others of the same name.
    pub stream: String,
    /// Filters, with form feeds in between.
    pub filter: String,
    /// What becomes of what each of them lets through.
    pub transform: String,
}

impl SourceKey {
    /// The key of a configured source.
    pub fn of(source: &StreamSource) -> Self {
        let mut stream = source.name.clone();
        if let Some(external) = &source.external {
            stream = format!("{stream}:{}", short_hash(&external.api_prefix));
        }
        if let Some(consumer) = &source.consumer {
            stream = format!("{stream}:C={}", short_hash(&consumer.name));
        }
        let or_all = |text: &str| if text.is_empty() { ">".to_owned() } else { text.to_owned() };
        let transforms = &source.subject_transforms;
        if transforms.is_empty() {
            return Self {
                stream,
                filter: or_all(&source.filter_subject),
                transform: ">".to_owned(),
            };
        }
        let filters: Vec<_> = transforms.iter().map(|each| or_all(&each.source)).collect();
        let transforms: Vec<_> = transforms.iter().map(|each| or_all(&each.destination)).collect();
        Self { stream, filter: filters.join("\x0c"), transform: transforms.join("\x0c") }
    }
}

/// The key in one line, as the server's own records have it.
impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.stream, self.filter, self.transform)
    }
}

/// The value of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceHeader {
    /// The first field: the origin, and what tells it from others of the same name.
    pub stream: String,
    /// The sequence the message has there.
    pub sequence: u64,
    /// Filter and transform; older servers have none.
    pub filter_and_transform: Option<(String, String)>,
    /// The subject the message has there.
    pub subject: Option<String>,
    /// The identity of the origin: another stream of the same name has another.
    pub identity: Option<String>,
}

impl SourceHeader {
    /// The header of a message that `key` brought.
    pub fn new(key: &SourceKey, sequence: u64, subject: &[u8], identity: Option<&str>) -> Self {
        Self {
            stream: key.stream.clone(),
            sequence,
            filter_and_transform: Some((key.filter.clone(), key.transform.clone())),
            subject: Some(String::from_utf8_lossy(subject).into_owned()),
            identity: identity.map(str::to_owned),
        }
    }

    /// Reads a value; `None` if it is none.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = String::from_utf8_lossy(value);
        if let Some(tokens) = value.strip_prefix("$JS.ACK.") {
            return Self::parse_acknowledgement(tokens);
        }
        let mut fields = value.split(' ');
        let mut next = || fields.next().map(str::to_owned);
        let stream = next()?;
        let sequence = parse_sequence(&next()?)?;
        let filter_and_transform = match (next(), next()) {
            (Some(filter), Some(transform)) => Some((filter, transform)),
            (None, _) => None,
            (Some(_), None) => return None,
        };
        let (subject, identity) = (next(), next());
        Some(Self { stream, sequence, filter_and_transform, subject, identity })
    }

    /// `<stream>.<consumer>.<deliveries>.<sequence>...`, perhaps behind a domain and an account.
    fn parse_acknowledgement(tokens: &str) -> Option<Self> {
        let tokens: Vec<_> = tokens.split('.').collect();
        let first = match tokens.len() {
            7 => 0,
            9.. => 2,
            _ => return None,
        };
        Some(Self {
            stream: tokens[first].to_owned(),
            sequence: parse_sequence(tokens[first + 3])?,
            filter_and_transform: None,
            subject: None,
            identity: None,
        })
    }

    /// Which source brought the message. `None`: the header does not say.
    pub fn key(&self) -> Option<SourceKey> {
        let (filter, transform) = self.filter_and_transform.clone()?;
        Some(SourceKey { stream: self.stream.clone(), filter, transform })
    }

    /// The header block with which the message is stored: that of the origin, in which what
    /// would be checked or understood once more is replaced by this header.
    pub fn write_into(&self, block: &[u8]) -> Vec<u8> {
        let mut block = HeaderBlock::new(block);
        block.remove(|name| {
            name == STREAM_SOURCE.as_bytes()
                || name.starts_with(b"Nats-Expected-")
                || name.starts_with(b"Nats-Batch-")
        });
        block.append(STREAM_SOURCE, self.to_string());
        block.finish()
    }
}

impl fmt::Display for SourceHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stream, self.sequence)?;
        if let Some((filter, transform)) = &self.filter_and_transform {
            write!(f, " {filter} {transform}")?;
            if let Some(subject) = &self.subject {
                write!(f, " {subject}")?;
                if let Some(identity) = &self.identity {
                    write!(f, " {identity}")?;
                }
            }
        }
        Ok(())
    }
}

/// What tells a stream from others of its name: a hash of when it was created.
pub fn stream_identity(created: Timestamp) -> String {
    short_hash(&created.in_utc().to_string())
}

/// Eight characters for a name of any length.
pub fn short_hash(name: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = Sha256::digest(name.as_bytes());
    hash[..8].iter().map(|byte| char::from(DIGITS[usize::from(byte % 62)])).collect()
}

fn parse_sequence(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::stream_config::{
        ExternalStream, StreamConsumerSource, SubjectTransformConfig,
    };

    /// Created at these times, the server's streams had these identities.
    #[test]
    fn identities() {
        let check = |created: &str, expected: &str| {
            assert_eq!(stream_identity(Timestamp::parse(created).unwrap()), expected);
        };
        check("2026-11-21T07:21:20.330482476Z", "jnQEa7vT");
        check("2026-11-21T07:21:20.330813019Z", "Onwoie8G");
        check("2026-11-21T07:21:20.331159205Z", "Hhr5nAjZ");
        check("2026-11-21T08:21:20.331159205+01:00", "Hhr5nAjZ");
        assert_eq!(short_hash("D"), "1vR9AhxX");
    }

    /// Headers as the server stored them, and the sources that brought the messages.
    #[test]
    fn built_and_parsed() {
        let check =
            |source: StreamSource, sequence, subject: &str, identity: &str, expected: &str| {
                let key = SourceKey::of(&source);
                let header = SourceHeader::new(&key, sequence, subject.as_bytes(), Some(identity));
                assert_eq!(header.to_string(), expected);
                assert_eq!(SourceHeader::parse(expected.as_bytes()), Some(header.clone()));
                assert_eq!(header.key(), Some(key));
            };
        let source = |name: &str| StreamSource { name: name.to_owned(), ..StreamSource::default() };
        let transform = |source: &str, destination: &str| SubjectTransformConfig {
            source: source.to_owned(),
            destination: destination.to_owned(),
        };
        let filtered = StreamSource { filter_subject: "s.f".to_owned(), ..source("S") };
        check(filtered, 1, "s.f", "jnQEa7vT", "S 1 s.f > s.f jnQEa7vT");
        check(source("S2"), 1, "t.x", "Onwoie8G", "S2 1 > > t.x Onwoie8G");
        let transformed = StreamSource {
            subject_transforms: vec![transform("s.a.*", "x.$1"), transform("s.b", "")],
            ..source("S")
        };
        check(transformed, 2, "s.a.q", "jnQEa7vT", "S 2 s.a.*\x0cs.b x.$1\x0c> s.a.q jnQEa7vT");
        let consumer =
            StreamConsumerSource { name: "D".to_owned(), deliver_subject: "dd".to_owned() };
        let through = StreamSource { consumer: Some(consumer.clone()), ..source("S") };
        check(through, 1, "s.e", "nP1TfCXy", "S:C=1vR9AhxX 1 > > s.e nP1TfCXy");
        // The same function of another name: this one was not seen on the server.
        let external = ExternalStream { api_prefix: "D".to_owned(), ..ExternalStream::default() };
        let elsewhere =
            StreamSource { external: Some(external), consumer: Some(consumer), ..source("S") };
        check(elsewhere, 1, "s.e", "x", "S:1vR9AhxX:C=1vR9AhxX 1 > > s.e x");
    }

    #[test]
    fn of_older_servers() {
        let check = |value: &str, stream: &str, sequence: u64, key: Option<&str>| {
            let header = SourceHeader::parse(value.as_bytes()).unwrap();
            assert_eq!((&header.stream[..], header.sequence), (stream, sequence), "{value}");
            assert_eq!(header.key().map(|key| key.to_string()).as_deref(), key, "{value}");
        };
        check("S 1 > > a", "S", 1, Some("S > >"));
        check("S 1 a b", "S", 1, Some("S a b"));
        check("S 1", "S", 1, None);
        check("$JS.ACK.S.C.1.22.3.1700000000000000000.0", "S", 22, None);
        check("$JS.ACK.hub.acc.S.C.1.22.3.1700000000000000000.0", "S", 22, None);
        check("$JS.ACK.hub.acc.S.C.1.22.3.1700000000000000000.0.x", "S", 22, None);
        for wrong in
            ["", "S", "S 1 a", "S x > >", "S -1 > >", "$JS.ACK.S.C.1.22", "$JS.ACK.S.C.1.x.3.4.5"]
        {
            assert_eq!(SourceHeader::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn into_the_headers_of_the_origin() {
        let header = SourceHeader::parse(b"A 1 > > s.f Hhr5nAjZ").unwrap();
        let check = |block: &str, expected: &str| {
            let written = header.write_into(block.as_bytes());
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        };
        check("", "NATS/1.0\r\nNats-Stream-Source: A 1 > > s.f Hhr5nAjZ\r\n\r\n");
        check(
            "NATS/1.0\r\nNats-Expected-Stream: S\r\nNats-Msg-Id: m\r\nNats-Batch-Foo: x\r\n\
             Nats-Stream-Source: S 1 s.f > s.f jnQEa7vT\r\nK: v\r\n\r\n",
            "NATS/1.0\r\nNats-Msg-Id: m\r\nK: v\r\nNats-Stream-Source: A 1 > > s.f Hhr5nAjZ\r\n\r\n",
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value: Vec<u8>, tokens in "[0-9a-z.]{0,30}") {
            let _ = SourceHeader::parse(&value);
            let _ = SourceHeader::parse(format!("$JS.ACK.{tokens}").as_bytes());
        }
    }
}
