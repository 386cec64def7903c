//! Messages that were accepted and may not be shown yet: what is to be done when they may.
//!
//! Subjects and reply subjects lie in one buffer, so that a message on its way needs no memory of
//! its own. Entries leave in the order in which they came.

/// What is to be done when the promise holds for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is in the log.
    Stored,
    /// It is in the log, and all older ones with its subject are to go.
    RollupSubject,
    /// It is in the log, and all older ones are to go.
    RollupAll,
    /// It has a sequence and is not in the log: no consumer is interested.
    Skipped,
    /// It is the same as the message with this sequence.
    Duplicate,
    /// It is in the log for the sake of its batch, and goes at once: no consumer is interested.
    Unwanted,
    /// No message: what is to be told when the promise holds for all before it. The whole answer
    /// is in `extra`.
    Answer,
}

impl Kind {
    /// Whether there is a message with the entry's sequence that came with it.
    pub fn is_in_log(self) -> bool {
        matches!(self, Self::Stored | Self::RollupSubject | Self::RollupAll)
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its sequence, or that of the message it repeats.
    pub sequence: u64,
    /// What is to be done.
    pub kind: Kind,
    /// Its subject in the stream.
    pub subject: &'a [u8],
    /// Where its publisher wants to hear of it; empty: nowhere.
    pub reply: &'a [u8],
    /// What its answer says behind the sequence, for instance the value of a counter.
    pub extra: &'a [u8],
}

impl<'a> Entry<'a> {
    /// What is to be told when the promise holds for all before it.
    pub fn answer(reply: &'a [u8], payload: &'a [u8]) -> Self {
        Self { sequence: 0, kind: Kind::Answer, subject: b"", reply, extra: payload }
    }
}

#[derive(Debug)]
struct Place {
    sequence: u64,
    kind: Kind,
    start: usize,
    subject_size: usize,
    reply_size: usize,
    extra_size: usize,
}

/// Messages on their way, in order.
#[derive(Debug, Default)]
pub struct InFlight {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl InFlight {
    /// Adds a message behind all others.
    pub fn push(&mut self, entry: &Entry<'_>) {
        let start = self.bytes.len();
        for part in [entry.subject, entry.reply, entry.extra] {
            self.bytes.extend_from_slice(part);
        }
        self.places.push(Place {
            sequence: entry.sequence,
            kind: entry.kind,
            start,
            subject_size: entry.subject.len(),
            reply_size: entry.reply.len(),
            extra_size: entry.extra.len(),
        });
    }

    /// All messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.places.iter().map(|place| {
            let (subject, rest) = self.bytes[place.start..].split_at(place.subject_size);
            let (reply, rest) = rest.split_at(place.reply_size);
            let Place { sequence, kind, extra_size, .. } = *place;
            Entry { sequence, kind, subject, reply, extra: &rest[..extra_size] }
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_in_order() {
        let mut in_flight = InFlight::default();
        for (sequence, subject, reply, extra) in
            [(1, &b"a"[..], &b"r"[..], &b""[..]), (2, b"bb", b"", b",\"val\":\"1\"")]
        {
            let kind = Kind::Stored;
            in_flight.push(&Entry { sequence, kind, subject, reply, extra });
        }
        let all: Vec<_> = in_flight.iter().collect();
        assert_eq!((all[0].sequence, all[0].subject, all[0].reply), (1, &b"a"[..], &b"r"[..]));
        assert_eq!((all[1].subject, all[1].reply), (&b"bb"[..], &b""[..]));
        assert_eq!(all[1].extra, b",\"val\":\"1\"");
        in_flight.clear();
        assert!(in_flight.is_empty());
    }
}
