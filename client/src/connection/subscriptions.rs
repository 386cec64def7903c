//! The table of a client's subscriptions: what is subscribed to, and how many messages came.
//!
//! Invariant: an entry whose `max` is reached is not in the table.

use bytes::Bytes;
use foldhash::fast::RandomState;
use fulmar_protocol::encode;
use hashbrown::HashMap;

/// Subscriptions by number; `S` is what takes the messages.
pub(super) struct Subscriptions<S> {
    entries: HashMap<u64, Entry<S>, RandomState>,
}

struct Entry<S> {
    subject: Bytes,
    queue: Option<Bytes>,
    /// Since it was made, over all connections.
    delivered: u64,
    /// It ends when so many were delivered.
    max: Option<u64>,
    subscriber: S,
}

impl<S> Subscriptions<S> {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::default() }
    }

    pub(super) fn insert(&mut self, sid: u64, subject: Bytes, queue: Option<Bytes>, subscriber: S) {
        let entry = Entry { subject, queue, delivered: 0, max: None, subscriber };
        self.entries.insert(sid, entry);
    }

    pub(super) fn get_mut(&mut self, sid: u64) -> Option<&mut S> {
        self.entries.get_mut(&sid).map(|entry| &mut entry.subscriber)
    }

    /// Counts a message: who takes it, and whether it is the last; then the caller removes the
    /// subscription.
    pub(super) fn count_message(&mut self, sid: u64) -> Option<(&mut S, bool)> {
        let entry = self.entries.get_mut(&sid)?;
        entry.delivered += 1;
        Some((&mut entry.subscriber, entry.max == Some(entry.delivered)))
    }

    pub(super) fn remove(&mut self, sid: u64) -> Option<S> {
        self.entries.remove(&sid).map(|entry| entry.subscriber)
    }

    /// Ends a subscription after `max` messages; returns it when that many were delivered.
    pub(super) fn limit(&mut self, sid: u64, max: u64) -> Option<S> {
        let entry = self.entries.get_mut(&sid)?;
        if entry.delivered < max {
            entry.max = Some(max);
            return None;
        }
        self.remove(sid)
    }

    pub(super) fn sids(&self) -> impl Iterator<Item = u64> {
        self.entries.keys().copied()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, S)> {
        self.entries.drain().map(|(sid, entry)| (sid, entry.subscriber))
    }

    /// Appends what makes all subscriptions on a new connection, in the order in which they were
    /// made, and limits those that have a limit to what is left of it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(sid, _)| **sid);
        for (sid, entry) in entries {
            let mut digits = itoa::Buffer::new();
            let sid = digits.format(*sid).as_bytes();
            encode::subscribe(out, &entry.subject, entry.queue.as_deref(), sid);
            if let Some(max) = entry.max {
                encode::unsubscribe(out, sid, Some(max - entry.delivered));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(subscriptions: &Subscriptions<char>) -> String {
        let mut out = Vec::new();
        subscriptions.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn made_anew_with_what_is_left() {
        let mut subscriptions = Subscriptions::new();
        subscriptions.insert(2, Bytes::from_static(b"b"), Some(Bytes::from_static(b"q")), 'b');
        subscriptions.insert(1, Bytes::from_static(b"a.>"), None, 'a');
        assert_eq!(subscriptions.limit(1, 3), None);
        assert_eq!(subscriptions.count_message(1), Some((&mut 'a', false)));
        assert_eq!(encoded(&subscriptions), "SUB a.> 1\r\nUNSUB 1 2\r\nSUB b q 2\r\n");
        assert_eq!(subscriptions.count_message(1), Some((&mut 'a', false)));
        assert_eq!(subscriptions.count_message(1), Some((&mut 'a', true)));
        assert_eq!(subscriptions.remove(1), Some('a'));
        assert_eq!(subscriptions.count_message(1), None);
        assert_eq!(encoded(&subscriptions), "SUB b q 2\r\n");
    }

    #[test]
    fn a_limit_that_is_reached_already_ends_it() {
        let mut subscriptions = Subscriptions::new();
        subscriptions.insert(1, Bytes::from_static(b"a"), None, 'a');
        subscriptions.count_message(1);
        assert_eq!(subscriptions.limit(1, 1), Some('a'));
        assert_eq!(subscriptions.limit(1, 1), None);
    }
}
