//! What opening a log tells its owner about every message, so that an index over subjects is
//! built by the same pass over the disk.
//!
//! It knows what is told, and in which order. It refuses to know who listens.

use crate::footer::Footer;
use crate::index::Index;

/// Hears what is in a log when it is opened; see [`Log::open_with`](crate::Log::open_with).
///
/// It is told about every message that can be read and is not deleted, in order.
pub trait Visitor {
    /// Whether anybody listens at all.
    const LISTENS: bool = true;

    /// A message. Its sequence is above that of all before.
    fn message(&mut self, message: Visited<'_>);

    /// Messages in order, as they are written down for a whole segment. Their sequences are above
    /// those of all before.
    fn listed(&mut self, messages: Listed<'_>) {
        for message in messages.messages() {
            self.message(Visited {
                sequence: message.sequence,
                subject: messages.subject(message.subject),
                headers_bytes: message.headers_bytes,
                payload_bytes: message.payload_bytes,
            });
        }
    }
}

/// A message that opening a log came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visited<'a> {
    /// Its number in the log.
    pub sequence: u64,
    /// Its subject.
    pub subject: &'a [u8],
    /// How long its headers are, in bytes.
    pub headers_bytes: u32,
    /// How long its payload is, in bytes.
    pub payload_bytes: u32,
}

/// Messages, and their subjects by number.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    footer: &'a Footer<'a>,
    index: &'a Index,
    /// Messages below are deleted.
    front: u64,
}

/// A message of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedMessage {
    /// Its number in the log.
    pub sequence: u64,
    /// The number of its subject in the list.
    pub subject: u32,
    /// How long its headers are, in bytes.
    pub headers_bytes: u32,
    /// How long its payload is, in bytes.
    pub payload_bytes: u32,
}

impl<'a> Listed<'a> {
    pub(crate) fn new(footer: &'a Footer<'a>, index: &'a Index, front: u64) -> Self {
        Self { footer, index, front }
    }

    /// The subjects, each once, in the order of their numbers. Some may have no message any more.
    pub fn subjects(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        (0..self.footer.subjects()).map(move |number| self.footer.subject(number))
    }

    /// The subject with a number.
    ///
    /// # Panics
    ///
    /// There are not so many.
    pub fn subject(self, number: u32) -> &'a [u8] {
        self.footer.subject(number)
    }

    /// The messages, in order.
    pub fn messages(self) -> impl Iterator<Item = ListedMessage> {
        self.index.live_from(self.front).map(move |(sequence, place)| ListedMessage {
            sequence,
            subject: self.footer.subject_of(place),
            headers_bytes: self.footer.headers_bytes_of(place),
            payload_bytes: self.footer.payload_bytes_of(place),
        })
    }
}

/// Who does not listen.
impl Visitor for () {
    const LISTENS: bool = false;

    fn message(&mut self, _: Visited<'_>) {}
}
