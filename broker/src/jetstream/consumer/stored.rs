//! A store of the storage crate as a consumer sees it: up to what its promise holds for.

use fulmar_storage::{Disk, Filters, Store};

use super::messages::{Delivery, Messages};

impl<D: Disk> Messages for Store<D> {
    fn first_sequence(&self) -> u64 {
        Store::first_sequence(self).min(self.visible_sequence() + 1)
    }

    #[inline]
    fn last_sequence(&self) -> u64 {
        self.visible_sequence()
    }

    #[inline]
    fn next_matching(&self, filters: &Filters, from: u64) -> Option<u64> {
        let visible = self.visible_sequence();
        if from > visible {
            return None;
        }
        let found = if filters.is_all() {
            self.next_from(from)
        } else {
            Store::next_matching(self, filters, from)
        };
        found.filter(|sequence| *sequence <= visible)
    }

    fn count_matching(&self, filters: &Filters, from: u64) -> u64 {
        let visible = self.visible_sequence();
        if from > visible { 0 } else { Store::count_matching(self, filters, from, visible) }
    }

    fn last_matching(&self, filters: &Filters) -> Option<u64> {
        self.previous_matching(filters, self.visible_sequence())
    }

    fn last_per_subject(&self, filters: &Filters, up_to: u64) -> Vec<u64> {
        Store::last_per_subject(self, filters, up_to.min(self.visible_sequence()))
    }

    fn sequence_at_time(&self, unix_ns: i64) -> u64 {
        // A message that cannot be read has no time: whoever asks gets what is behind it.
        let found = Store::sequence_at_time(self, unix_ns).ok().flatten();
        let behind = self.visible_sequence() + 1;
        found.unwrap_or(behind).min(behind)
    }

    #[inline]
    fn read<R>(&self, sequence: u64, show: impl FnOnce(Delivery<'_>) -> R) -> Option<R> {
        let record = Store::read(self, sequence).ok().flatten()?;
        Some(show(Delivery {
            subject: record.subject(),
            headers: record.headers(),
            payload: record.payload(),
            timestamp_ns: record.timestamp_ns(),
        }))
    }
}
