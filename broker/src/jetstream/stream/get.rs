//! Reading single messages of a stream, and the headers that a direct get adds.
//!
//! Only what may be shown is found. It refuses to know JSON.

use fulmar_storage::{Filters, Record};

use super::Stream;
use crate::jetstream::request::{From, Selector};
use crate::jetstream::timestamp::Timestamp;

/// How many are behind a message, and which one was sent before: what answers in batches say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// Messages that are still to come.
    pub pending: u64,
    /// The sequence of the message before; 0 for the first.
    pub last_sequence: u64,
}

impl Stream {
    /// The message that is meant. `None`: there is none, or it is damaged.
    pub fn find(&self, selector: &Selector) -> Option<Record<'_>> {
        let sequence = match selector {
            Selector::At(sequence) => Some(*sequence),
            Selector::Since(time) => self.store.next_from(self.sequence_at_time(time.unix_ns())),
            Selector::LastOf(filter) => {
                let filters = Filters::parse([filter.as_bytes()]).ok()?;
                self.store.previous_matching(&filters, self.visible)
            }
            Selector::NextOf { subject, from } => {
                let filters = Filters::parse([subject.as_bytes()]).ok()?;
                self.store.next_matching(&filters, self.start_of(*from))
            }
        }?;
        self.record(sequence)
    }

    /// The sequence at which a search begins.
    pub fn start_of(&self, from: From) -> u64 {
        match from {
            From::Sequence(sequence) => sequence,
            From::Time(time) => self.sequence_at_time(time.unix_ns()),
        }
    }

    /// The message with this sequence, if it may be shown.
    pub fn record(&self, sequence: u64) -> Option<Record<'_>> {
        if sequence > self.visible {
            return None;
        }
        match self.store.read(sequence) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!("stream {}: {error}", self.name);
                None
            }
        }
    }

    /// The first message stored at or after a time; the sequence behind the last one if there is
    /// none.
    pub fn sequence_at_time(&self, unix_ns: i64) -> u64 {
        // Times in a stream never go back, so the place is found by halves.
        let (mut low, mut high) = (self.store.first_sequence().max(1), self.visible + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(there) = self.store.next_from(middle).filter(|there| *there < high) else {
                high = middle;
                continue;
            };
            match self.timestamp_of(there) {
                Some(at_ns) if at_ns >= unix_ns => high = middle,
                _ => low = there + 1,
            }
        }
        self.store.next_from(low).filter(|there| *there <= self.visible).unwrap_or(self.visible + 1)
    }

    /// The headers of a message that is got directly: its own, and what it is.
    pub fn direct_headers(&self, record: &Record<'_>, place: Option<BatchPlace>) -> Vec<u8> {
        let mut out = Vec::with_capacity(record.headers().len() + 192);
        match record.headers().strip_suffix(b"\r\n") {
            Some(own) => out.extend_from_slice(own),
            None => out.extend_from_slice(b"NATS/1.0\r\n"),
        }
        let mut digits = itoa::Buffer::new();
        header(&mut out, b"Nats-Stream", self.name.as_bytes());
        header(&mut out, b"Nats-Subject", record.subject());
        header(&mut out, b"Nats-Sequence", digits.format(record.sequence()).as_bytes());
        let time = Timestamp::from_unix_ns(record.timestamp_ns()).to_string();
        header(&mut out, b"Nats-Time-Stamp", time.as_bytes());
        if let Some(place) = place {
            header(&mut out, b"Nats-Num-Pending", digits.format(place.pending).as_bytes());
            header(&mut out, b"Nats-Last-Sequence", digits.format(place.last_sequence).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
