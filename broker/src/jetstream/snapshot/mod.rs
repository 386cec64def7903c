//! Snapshots of streams, as they travel to whoever keeps a backup and back again.
//!
//! A snapshot is an S2 stream ([`super::s2_stream`]) of one of two formats: the archive that
//! nats-server writes since 2.15 and this broker writes too (`archive`), or the files of its
//! store in a tar, as before (`legacy`, which is only read). This file knows nothing of
//! streams in use, chunks and acknowledgements; it turns what a stream is made of into bytes and
//! bytes into that again, piece by piece.
//!
//! Memory: an [`Encoder`] holds what was not taken from it and a block of 128 KiB. A [`Decoder`]
//! holds what was pushed and not polled, one block of at most 4 MiB, and the one item that is
//! arriving: at most [`Limits::message_bytes_max`] and a subject of [`NAME_BYTES_MAX`], or
//! [`DOCUMENT_BYTES_MAX`].
//!
//! Source: nats-server 2.15.1. Its snapshots are data of the tests below, and it restored what
//! the encoder makes.

mod archive;
mod consumer_state;
mod legacy;

use std::ops::Range;

use serde::Deserialize;

pub use self::archive::Encoder;
pub use self::consumer_state::{ConsumerState, Delivery, SequencePair};
use super::s2_stream::{self, S2Error};

/// A subject, or the name of a consumer.
pub const NAME_BYTES_MAX: usize = 1024 * 1024;
/// The state of a stream, or configuration and state of a consumer: some 60 bytes for each
/// message that waits for its acknowledgement.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What of a message is bounded by the server's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Headers and payload together: `max_payload`.
    pub message_bytes_max: usize,
}

/// Why a snapshot cannot be read. Texts are nats-server's where it says the same; they follow
/// `restore failed: `.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The compression is damaged.
    #[error(transparent)]
    Compression(#[from] S2Error),
    /// It is neither format, or damaged.
    #[error("archive: invalid archive stream")]
    Malformed,
    /// The state of the stream is not the first entry.
    #[error("expected state.json first")]
    StateMissing,
    /// The state of the stream is not what it should be.
    #[error("error in state.json: {0}")]
    State(#[source] serde_json::Error),
    /// There are fewer consumers than the state said.
    #[error("expected consumer, found {0:?}")]
    ConsumerMissing(String),
    /// A consumer's document is not what it should be.
    #[error("failed to decode consumer {name:?} state: {reason}")]
    Consumer {
        /// Whose.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A consumer comes late, or an entry is something unknown.
    #[error("expected message sequence")]
    SequenceMissing,
    /// Sequences do not ascend.
    #[error("message sequence {0} out of order")]
    OutOfOrder(u64),
    /// A message is larger than the server takes.
    #[error("message sequence {0} exceeds maximum payload size")]
    MessageTooLarge(u64),
    /// A document or a name is larger than any that makes sense.
    #[error("entry {0:?} is too large")]
    EntryTooLarge(String),
    /// The tar has something else in it than files.
    #[error("unexpected content")]
    UnexpectedContent,
    /// Whoever made the snapshot noted why it is not whole.
    #[error("the snapshot is incomplete: {0}")]
    Incomplete(String),
    /// The end is missing.
    #[error("backup was truncated")]
    Truncated,
}

/// The next thing that a snapshot has.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// Comes first in an archive, and not at all in the older format.
    State(State),
    /// Comes first in the older format: the JSON of the stream's configuration, with the further
    /// field `Created`.
    Config(Vec<u8>),
    /// A consumer. In an archive they come before the messages, in the older format behind.
    Consumer(Consumer),
    /// A message. Sequences ascend.
    Message(Message<'a>),
    /// Only in the older format: the message, which may have come before, was deleted. If none
    /// with this or a higher sequence has come, the sequence is used nevertheless.
    Deleted(u64),
    /// That was all; nothing follows.
    End,
}

/// What a stream was when its snapshot was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    /// How many messages follow.
    #[serde(default)]
    pub messages: u64,
    /// Their bytes, as nats-server counts them.
    #[serde(default)]
    pub bytes: u64,
    /// The first sequence; those below are used, or 0.
    #[serde(default)]
    pub first_seq: u64,
    /// The last sequence that was used, also if its message is gone.
    #[serde(default)]
    pub last_seq: u64,
    /// How many consumers follow.
    #[serde(default, rename = "consumer_count")]
    pub consumers: u64,
}

/// A consumer with what it was about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, also if its configuration has none because it was unnamed.
    pub name: String,
    /// The JSON of its configuration; the older format adds `Created` and `Name`.
    pub config: Vec<u8>,
    /// What was delivered and acknowledged.
    pub state: ConsumerState,
}

/// A message as it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its place in the stream.
    pub sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub unix_ns: i64,
    /// Its subject.
    pub subject: &'a [u8],
    /// Its header block, empty if it has none.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

/// Reads a snapshot that arrives in pieces: push one, poll until there is nothing more, push the
/// next; [`Self::finish`] after the last.
#[derive(Debug)]
pub struct Decoder {
    compressed: s2_stream::Decoder,
    /// Decompressed bytes, done with up to `taken`.
    plain: Vec<u8>,
    taken: usize,
    format: Format,
    limits: Limits,
}

#[derive(Debug)]
enum Format {
    /// The first bytes have not come.
    Unknown,
    Archive(archive::Reader),
    Legacy(legacy::Reader),
    /// The end was read: what follows is not looked at.
    Over,
}

/// What a format found at the beginning of the bytes it was shown.
#[derive(Debug)]
enum Found {
    /// Not enough yet.
    Nothing,
    /// This many bytes that mean nothing outside.
    Skip(usize),
    /// This many bytes, and what they are; a message lies in them.
    Item(usize, FoundItem),
}

#[derive(Debug)]
enum FoundItem {
    State(State),
    Config(Vec<u8>),
    Consumer(Consumer),
    Message(Box<MessageAt>),
    Deleted(u64),
    End,
}

/// A message, and where in the bytes its parts are.
#[derive(Debug)]
struct MessageAt {
    sequence: u64,
    unix_ns: i64,
    subject: Range<usize>,
    headers: Range<usize>,
    payload: Range<usize>,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            compressed: s2_stream::Decoder::default(),
            plain: Vec::new(),
            taken: 0,
            format: Format::Unknown,
            limits,
        }
    }

    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.format, Format::Over) {
            self.compressed.push(bytes);
        }
    }

    /// The next item; `None`: more has to be pushed first, or the end was polled.
    ///
    /// # Errors
    ///
    /// See [`SnapshotError`]. The snapshot cannot be read any further.
    pub fn poll(&mut self) -> Result<Option<Item<'_>>, SnapshotError> {
        let (start, item) = loop {
            let bytes = &self.plain[self.taken..];
            let found = match &mut self.format {
                Format::Unknown => {
                    if bytes.len() >= archive::MAGIC.len() {
                        let is_archive = bytes.starts_with(archive::MAGIC);
                        self.taken += if is_archive { archive::MAGIC.len() } else { 0 };
                        self.format = if is_archive {
                            Format::Archive(archive::Reader::default())
                        } else {
                            Format::Legacy(legacy::Reader::default())
                        };
                        continue;
                    }
                    Found::Nothing
                }
                Format::Archive(reader) => reader.read(bytes, self.limits)?,
                Format::Legacy(reader) => reader.read(bytes, self.limits)?,
                Format::Over => return Ok(None),
            };
            match found {
                Found::Nothing => {
                    self.plain.drain(..self.taken);
                    self.taken = 0;
                    if !self.compressed.poll(&mut self.plain)? {
                        return Ok(None);
                    }
                }
                Found::Skip(length) => self.taken += length,
                Found::Item(length, item) => {
                    self.taken += length;
                    break (self.taken - length, item);
                }
            }
        };
        Ok(Some(match item {
            FoundItem::State(state) => Item::State(state),
            FoundItem::Config(config) => Item::Config(config),
            FoundItem::Consumer(consumer) => Item::Consumer(consumer),
            FoundItem::Deleted(sequence) => Item::Deleted(sequence),
            FoundItem::Message(message) => {
                let bytes = &self.plain[start..];
                Item::Message(Message {
                    sequence: message.sequence,
                    unix_ns: message.unix_ns,
                    subject: &bytes[message.subject],
                    headers: &bytes[message.headers],
                    payload: &bytes[message.payload],
                })
            }
            FoundItem::End => {
                self.format = Format::Over;
                (self.plain, self.taken, self.compressed) = Default::default();
                Item::End
            }
        }))
    }

    /// Nothing more will be pushed, and everything was polled.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Truncated`]: the end did not come.
    pub fn finish(self) -> Result<(), SnapshotError> {
        if matches!(self.format, Format::Over) { Ok(()) } else { Err(SnapshotError::Truncated) }
    }
}

#[cfg(test)]
mod tests;
