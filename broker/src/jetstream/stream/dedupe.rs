//! The message ids of the last while: the same again is a duplicate.
//!
//! It takes the time as a number. It refuses to know what becomes of a duplicate.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Ids and the sequences of their messages, for the length of a window.
#[derive(Debug, Default)]
pub struct Dedupe {
    sequences: HashMap<Arc<[u8]>, u64, RandomState>,
    /// Oldest first, with the time of each in nanoseconds.
    order: VecDeque<(i64, Arc<[u8]>)>,
    /// Of the message before.
    last: Option<Arc<[u8]>>,
}

impl Dedupe {
    /// The sequence of the message with this id, if it is within the window of `window_ns` before
    /// `now_ns`.
    pub fn find(&mut self, id: &[u8], now_ns: i64, window_ns: i64) -> Option<u64> {
        self.forget_before(now_ns.saturating_sub(window_ns));
        self.sequences.get(id).copied()
    }

    /// Notes a message that was taken in.
    pub fn add(&mut self, id: &[u8], sequence: u64, now_ns: i64) {
        let id: Arc<[u8]> = Arc::from(id);
        self.last = Some(id.clone());
        self.order.push_back((now_ns, id.clone()));
        self.sequences.insert(id, sequence);
    }

    /// A message without an id was taken in.
    pub fn add_without_id(&mut self) {
        self.last = None;
    }

    /// The id of the last message; empty if it had none.
    pub fn last(&self) -> &[u8] {
        self.last.as_deref().unwrap_or_default()
    }

    /// Forgets what is older than `before_ns`.
    pub fn forget_before(&mut self, before_ns: i64) {
        while let Some((at_ns, id)) = self.order.front()
            && *at_ns < before_ns
        {
            self.sequences.remove(id);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_the_length_of_the_window() {
        let mut dedupe = Dedupe::default();
        dedupe.add(b"a", 1, 100);
        assert_eq!(dedupe.last(), b"a");
        dedupe.add(b"b", 2, 150);
        dedupe.add_without_id();
        assert_eq!(dedupe.last(), b"");
        assert_eq!(dedupe.find(b"a", 200, 100), Some(1));
        assert_eq!(dedupe.find(b"a", 201, 100), None);
        assert_eq!(dedupe.find(b"b", 250, 100), Some(2));
        assert_eq!(dedupe.find(b"b", 251, 100), None);
        assert!(dedupe.sequences.is_empty());
    }
}
