//! A stream as its consumers see it: what may be shown, and nothing else.

use fulmar_storage::Filters;

use super::Stream;
use crate::jetstream::consumer::{Delivery, Messages};

/// What consumers see of a stream while one of them is polled.
pub struct View<'a> {
    stream: &'a Stream,
}

impl<'a> View<'a> {
    /// The view of a stream as it is now.
    pub fn new(stream: &'a Stream) -> Self {
        Self { stream }
    }
}

impl Messages for View<'_> {
    fn first_sequence(&self) -> u64 {
        self.stream.store.first_sequence()
    }

    fn last_sequence(&self) -> u64 {
        self.stream.visible
    }

    fn next_matching(&self, filters: &Filters, from: u64) -> Option<u64> {
        let next = self.stream.store.next_matching(filters, from)?;
        (next <= self.stream.visible).then_some(next)
    }

    fn count_matching(&self, filters: &Filters, from: u64) -> u64 {
        self.stream.store.count_matching(filters, from, self.stream.visible)
    }

    fn last_matching(&self, filters: &Filters) -> Option<u64> {
        self.stream.store.previous_matching(filters, self.stream.visible)
    }

    fn last_per_subject(&self, filters: &Filters, up_to: u64) -> Vec<u64> {
        self.stream.store.last_per_subject(filters, up_to.min(self.stream.visible))
    }

    fn sequence_at_time(&self, unix_ns: i64) -> u64 {
        self.stream.sequence_at_time(unix_ns)
    }

    fn read<R>(&self, sequence: u64, show: impl FnOnce(Delivery<'_>) -> R) -> Option<R> {
        let record = self.stream.record(sequence)?;
        Some(show(Delivery {
            subject: record.subject(),
            headers: record.headers(),
            payload: record.payload(),
            timestamp_ns: record.timestamp_ns(),
        }))
    }
}
