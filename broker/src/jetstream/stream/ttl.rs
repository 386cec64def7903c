//! Messages that end on their own: when each does, and the markers that take their place.
//!
//! A stream whose messages have times to live of their own (`allow_msg_ttl`) looks here for its
//! maximum age too, as `Nats-TTL: never` is an exception to it. Ends are noted in memory and read
//! off the log again at each opening. What a header says is in
//! [`crate::jetstream::message_ttl`].
//!
//! A marker takes the place of the last message of its subject: it is stored like any message, with
//! a rollup, so that the subject is never without one of the two.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fulmar_protocol::headers::Headers;

use super::limits::REMOVED_MAX;
use super::publish_headers::PublishHeaders;
use super::{Removed, Stream};
use crate::go_duration;
use crate::jetstream::header_block::HeaderBlock;
use crate::jetstream::message_ttl::MessageTtl;
use crate::jetstream::time::Now;

/// How long after a failure it is tried again.
const AGAIN_NS: i64 = 1_000_000_000;
/// Ends of messages that left before may make up half of all, and so many more.
const LEFT_MAX: u64 = 1024;

/// When messages end.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Soonest first: nanoseconds since 1970, and which. Messages that left earlier may be in it.
    soonest: BinaryHeap<Reverse<(i64, u64)>>,
    /// What there is below this sequence is never too old, or is about to leave.
    aged: u64,
}

impl Ends {
    /// Notes when a message ends.
    fn add(&mut self, sequence: u64, at_ns: i64) {
        self.soonest.push(Reverse((at_ns, sequence)));
    }

    /// Forgets messages that left, if they may be many: `messages` are there.
    fn tidy_up(&mut self, messages: u64, is_there: impl Fn(u64) -> bool) {
        if self.soonest.len() as u64 > messages * 2 + LEFT_MAX {
            self.soonest.retain(|Reverse((_, sequence))| is_there(*sequence));
        }
    }

    /// When the first message ends, if it is one up to `visible`.
    fn next(&self, visible: u64) -> Option<i64> {
        let Reverse((at_ns, sequence)) = self.soonest.peek()?;
        // What may not be shown yet is looked at when it may.
        (*sequence <= visible).then_some(*at_ns)
    }

    /// A message up to `visible` that is over.
    fn take_due(&mut self, now_ns: i64, visible: u64) -> Option<u64> {
        self.next(visible).filter(|at_ns| *at_ns <= now_ns)?;
        self.soonest.pop().map(|Reverse((_, sequence))| sequence)
    }
}

impl Stream {
    /// Notes how long a message lives that was stored just now.
    pub(super) fn note_ttl(&mut self, sequence: u64, ttl: MessageTtl, stored_ns: i64) {
        if let Some(at_ns) = ttl.expires_unix_ns(stored_ns) {
            self.ends.add(sequence, at_ns);
            let store = &self.store;
            self.ends.tidy_up(store.messages(), |sequence| store.subject_of(sequence).is_some());
        }
    }

    /// The headers with a time to live that is not shorter than that of markers: otherwise the
    /// message could end before the marker of an older one, which would then be the last of its
    /// subject. `None`: they stay as they are.
    pub(super) fn lengthen_ttl(&self, headers: &[u8], ttl: &mut MessageTtl) -> Option<Vec<u8>> {
        let seconds_min =
            u64::try_from(self.config.subject_delete_marker_ttl_ns).ok()? / 1_000_000_000;
        match *ttl {
            // With one message per subject there is no older one.
            MessageTtl::Seconds(seconds)
                if seconds < seconds_min && self.config.max_msgs_per_subject != 1 =>
            {
                *ttl = MessageTtl::Seconds(seconds_min);
                let mut block = HeaderBlock::new(headers);
                block.remove(|name| name == b"Nats-TTL");
                block.append("Nats-TTL", seconds_min.to_string());
                Some(block.finish())
            }
            _ => None,
        }
    }

    /// Takes away what is over, in a stream with times to live, and has markers take the place of
    /// what is the last of its subject. Looks at [`REMOVED_MAX`] messages at the most.
    pub(super) fn end_lives(
        &mut self,
        now: Now,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        removed: &mut Removed,
    ) {
        let mut left = REMOVED_MAX;
        let mut gone = Vec::new();
        while left > 0
            && let Some(sequence) = self.ends.take_due(now.unix_ns, self.visible)
        {
            left -= 1;
            self.end_life(now, sequence, is_wanted, &mut gone);
        }
        if self.config.max_age_ns > 0 {
            let oldest_ns = now.unix_ns.saturating_sub(self.config.max_age_ns);
            while left > 0
                && let Some(sequence) = self.next_to_age()
                && self.timestamp_of(sequence).is_none_or(|at_ns| at_ns <= oldest_ns)
            {
                left -= 1;
                self.ends.aged = sequence + 1;
                if !self.lives_forever(sequence) {
                    self.end_life(now, sequence, is_wanted, &mut gone);
                }
            }
        }
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        gone.dedup();
        let mut subjects = Removed::default();
        for sequence in &gone {
            subjects.push(*sequence, self.store.subject_of(*sequence).unwrap_or_default());
        }
        match self.store.delete_many(&gone) {
            Ok(_) => removed.append(&subjects),
            Err(error) => {
                tracing::error!("stream {}: {error}", self.name);
                for sequence in gone {
                    self.ends.add(sequence, now.unix_ns.saturating_add(AGAIN_NS));
                }
            }
        }
    }

    /// When the next message ends that says so itself, in nanoseconds since 1970.
    pub(super) fn next_end_unix_ns(&self) -> Option<i64> {
        self.ends.next(self.visible)
    }

    /// The oldest message that the maximum age may be for.
    pub(super) fn next_to_age(&self) -> Option<u64> {
        self.store.next_from(self.ends.aged).filter(|first| *first <= self.visible)
    }

    /// A message is over: it goes to `gone`, or a marker is stored that replaces it.
    fn end_life(
        &mut self,
        now: Now,
        sequence: u64,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        gone: &mut Vec<u64>,
    ) {
        let Some(subject) = self.store.subject_of(sequence) else { return };
        let leaves_marker = self.config.subject_delete_marker_ttl_ns > 0
            && self.store.last_of(subject) == Some(sequence)
            && !self.is_marker(sequence);
        if !leaves_marker {
            gone.push(sequence);
            return;
        }
        let subject = subject.to_vec();
        let headers = marker_headers(self.config.subject_delete_marker_ttl_ns);
        match self.publish_own(now, &subject, &headers, b"", is_wanted) {
            // Nobody wants it, so that nothing replaces the message.
            Ok(None) => gone.push(sequence),
            Ok(Some(_)) => {}
            Err(error) => {
                tracing::error!("stream {}: a marker cannot be stored: {error}", self.name);
                self.ends.add(sequence, now.unix_ns.saturating_add(AGAIN_NS));
            }
        }
    }

    fn is_marker(&self, sequence: u64) -> bool {
        self.record(sequence).is_some_and(|record| is_marker(Headers::new(record.headers())))
    }

    fn lives_forever(&self, sequence: u64) -> bool {
        self.record(sequence).is_some_and(|record| {
            let ttl = PublishHeaders::read(record.headers()).ttl;
            ttl.is_some_and(|ttl| MessageTtl::parse(ttl) == Ok(Some(MessageTtl::Never)))
        })
    }
}

/// Whether a message says that its subject is gone: such a one leaves no marker. Clients of
/// key-value buckets write the second kind; their deletion of a single key is not one, as
/// nats-server sees it.
fn is_marker(headers: Headers<'_>) -> bool {
    headers.get("Nats-Marker-Reason").is_some_and(|reason| !reason.is_empty())
        || headers.get("KV-Operation") == Some(b"PURGE")
}

/// What a marker says, which itself stays for `ttl_ns`.
fn marker_headers(ttl_ns: i64) -> Vec<u8> {
    let ttl = go_duration::format(ttl_ns);
    format!("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {ttl}\r\nNats-Rollup: sub\r\n\r\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_come_in_order_and_when_they_may_be_shown() {
        let mut ends = Ends::default();
        for (sequence, at_ns) in [(1, 30), (2, 10), (3, 20)] {
            ends.add(sequence, at_ns);
        }
        assert_eq!(ends.next(1), None);
        assert_eq!((ends.next(2), ends.take_due(9, 2)), (Some(10), None));
        assert_eq!(ends.take_due(25, 3), Some(2));
        assert_eq!(ends.take_due(25, 2), None);
        assert_eq!(ends.take_due(25, 3), Some(3));
        assert_eq!((ends.take_due(25, 3), ends.next(3)), (None, Some(30)));
    }

    #[test]
    fn what_left_is_forgotten_before_it_is_many() {
        let mut ends = Ends::default();
        for sequence in 1..=LEFT_MAX + 21 {
            ends.add(sequence, 1);
            ends.tidy_up(10, |sequence| sequence > LEFT_MAX);
        }
        assert_eq!(ends.soonest.len(), 21);
    }

    /// Tried with nats-server 2.15.1.
    #[test]
    fn markers() {
        for (header, expected) in [
            ("Nats-Marker-Reason: MaxAge", true),
            ("Nats-Marker-Reason: Purge", true),
            ("Nats-Marker-Reason: ", false),
            ("KV-Operation: PURGE", true),
            ("KV-Operation: DEL", false),
            ("KV-Operation: PUT", false),
        ] {
            let block = format!("NATS/1.0\r\n{header}\r\n\r\n");
            assert_eq!(is_marker(Headers::new(block.as_bytes())), expected, "{header}");
        }
    }

    #[test]
    fn a_marker() {
        let expected = "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1h0m0s\r\n\
                        Nats-Rollup: sub\r\n\r\n";
        assert_eq!(marker_headers(3_600_000_000_000), expected.as_bytes());
    }
}
