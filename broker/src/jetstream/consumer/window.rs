//! The deliveries that are not acknowledged, in the order of the stream.
//!
//! Messages are delivered for the first time in ascending order, by both of their sequences, so
//! a queue is a sorted list: new ones go to its end, and acknowledgements in order leave at its
//! front. One that leaves from the middle leaves a settled place behind. There are never more
//! settled places than others, give or take [`SETTLED_SLACK`], so memory follows what is waiting
//! and not the distance between the oldest and the newest.

use std::collections::VecDeque;

/// Settled places that are tolerated whatever the number of others.
const SETTLED_SLACK: usize = 64;

/// One delivered message. 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its sequence in the stream.
    pub stream: u64,
    /// The sequence of its first delivery.
    pub consumer: u64,
    /// When its acknowledgement is due. Meaningless while it is queued for redelivery.
    pub deadline: u64,
    /// How often it was delivered; 0 marks a settled place.
    pub deliveries: u32,
    /// Its ticket in the redelivery queue, 0 if it is not queued.
    pub ticket: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    live: usize,
}

impl Window {
    /// Messages that are waiting.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The oldest.
    #[inline]
    pub(super) fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The newest place, waiting or settled: what comes next is behind it.
    #[inline]
    pub(super) fn back(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// Adds a delivery behind all others.
    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert!(
            self.back()
                .is_none_or(|last| last.stream < entry.stream && last.consumer < entry.consumer)
        );
        debug_assert!(entry.deliveries > 0);
        self.entries.push_back(entry);
        self.live += 1;
    }

    #[inline]
    pub(super) fn get(&self, stream: u64) -> Option<&Entry> {
        let index = self.find(stream)?;
        self.entries.get(index)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, stream: u64) -> Option<&mut Entry> {
        let index = self.find(stream)?;
        self.entries.get_mut(index)
    }

    /// Takes a message out.
    #[inline]
    pub(super) fn remove(&mut self, stream: u64) -> Option<Entry> {
        let index = self.find(stream)?;
        let place = self.entries.get_mut(index)?;
        let entry = *place;
        place.deliveries = 0;
        self.live -= 1;
        self.tidy();
        Some(entry)
    }

    /// Takes the oldest out if it is not behind `stream`.
    pub(super) fn pop_up_to(&mut self, stream: u64) -> Option<Entry> {
        if self.front()?.stream > stream {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.live -= 1;
        self.tidy();
        Some(entry)
    }

    /// Everything that is waiting, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.deliveries > 0)
    }

    /// The same, to be changed; sequences and deliveries must stay.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(|entry| entry.deliveries > 0)
    }

    #[inline]
    fn find(&self, stream: u64) -> Option<usize> {
        let first = self.entries.front()?.stream;
        let distance = stream.checked_sub(first)?;
        // Without filters and deletions the place is the distance, and what is acknowledged in
        // order is at the front: at distance 0.
        let index = match usize::try_from(distance).ok().filter(|guess| self.is_at(*guess, stream))
        {
            Some(index) => index,
            None => self.search(distance, stream)?,
        };
        (self.entries.get(index)?.deliveries > 0).then_some(index)
    }

    /// With a filter messages are often about equally far apart.
    fn search(&self, distance: u64, stream: u64) -> Option<usize> {
        let (first, last) = (self.entries.front()?.stream, self.entries.back()?.stream);
        if stream > last {
            return None;
        }
        let steps = self.entries.len() as u64 - 1;
        let guess = distance.checked_mul(steps).and_then(|all| all.checked_div(last - first));
        match guess.and_then(|guess| usize::try_from(guess).ok()) {
            Some(guess) if self.is_at(guess, stream) => Some(guess),
            _ => self.entries.binary_search_by_key(&stream, |entry| entry.stream).ok(),
        }
    }

    #[inline]
    fn is_at(&self, index: usize, stream: u64) -> bool {
        self.entries.get(index).is_some_and(|entry| entry.stream == stream)
    }

    /// The front is a waiting one again, and settled places do not outnumber the others.
    #[inline]
    fn tidy(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.deliveries == 0) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + SETTLED_SLACK {
            self.entries.retain(|entry| entry.deliveries > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stream: u64, consumer: u64) -> Entry {
        Entry { stream, consumer, deadline: 0, deliveries: 1, ticket: 0 }
    }

    #[test]
    fn it_finds_among_gaps_and_settled_places() {
        let mut window = Window::default();
        for number in 1..=10 {
            window.push(entry(number * 1000, number));
        }
        assert_eq!(window.get(4000).map(|entry| entry.consumer), Some(4));
        assert!(window.get(4001).is_none());
        assert!(window.get(0).is_none() && window.get(u64::MAX).is_none());
        assert_eq!(window.remove(4000).map(|entry| entry.consumer), Some(4));
        assert!(window.remove(4000).is_none());
        assert_eq!((window.len(), window.entries.len()), (9, 10));
        for number in [1, 2, 3] {
            window.remove(number * 1000);
        }
        assert_eq!(window.front().map(|entry| entry.stream), Some(5000));
        assert_eq!(window.pop_up_to(5999).map(|entry| entry.stream), Some(5000));
        assert!(window.pop_up_to(5999).is_none());
    }

    #[test]
    fn memory_follows_what_is_waiting() {
        let mut window = Window::default();
        window.push(entry(1, 1));
        for number in 2..10_000 {
            window.push(entry(number, number));
            window.remove(number);
            assert!(window.entries.len() <= 2 * window.len() + SETTLED_SLACK);
        }
        assert_eq!(window.iter().count(), 1);
    }
}
