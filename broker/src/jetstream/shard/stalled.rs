//! Messages that wait for room in a log: its next segment is being made, or the disk is behind.
//!
//! They keep their order, and nothing overtakes them. How many may wait is the caller's to say.

use std::collections::VecDeque;

use super::dispatch::Arrival;

/// Messages that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    messages: VecDeque<Waiting>,
    bytes: u64,
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    account: u32,
    bytes: Box<[u8]>,
    subject_size: usize,
    reply_size: Option<usize>,
    headers_size: usize,
}

impl Stalled {
    /// Adds a message behind all others, unless there are as many as may be.
    pub(super) fn push(
        &mut self,
        arrival: &Arrival<'_>,
        messages_max: usize,
        bytes_max: u64,
    ) -> bool {
        let reply = arrival.reply.unwrap_or_default();
        let bytes = [arrival.subject, reply, arrival.headers, arrival.payload].concat();
        if self.messages.len() >= messages_max || self.bytes + bytes.len() as u64 > bytes_max {
            return false;
        }
        self.bytes += bytes.len() as u64;
        self.messages.push_back(Waiting {
            account: arrival.account,
            bytes: bytes.into(),
            subject_size: arrival.subject.len(),
            reply_size: arrival.reply.map(<[u8]>::len),
            headers_size: arrival.headers.len(),
        });
        true
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.bytes.len() as u64;
        Some(message)
    }

    /// Puts back what was taken last.
    pub(super) fn put_back(&mut self, message: Waiting) {
        self.bytes += message.bytes.len() as u64;
        self.messages.push_front(message);
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl Waiting {
    /// The message as it came.
    pub(super) fn arrival(&self) -> Arrival<'_> {
        let (subject, rest) = self.bytes.split_at(self.subject_size);
        let (reply, rest) = rest.split_at(self.reply_size.unwrap_or(0));
        let (headers, payload) = rest.split_at(self.headers_size);
        let reply = self.reply_size.map(|_| reply);
        Arrival { account: self.account, subject, reply, headers, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_in_order_and_within_bounds() {
        let mut stalled = Stalled::default();
        let arrival = |payload| Arrival {
            account: 1,
            subject: b"s",
            reply: Some(b"r"),
            headers: b"h",
            payload,
        };
        assert!(stalled.push(&arrival(b"one"), 2, 100));
        assert!(stalled.push(&arrival(b"two"), 2, 100));
        assert!(!stalled.push(&arrival(b"three"), 2, 100), "too many");
        assert!(!stalled.push(&arrival(b"three"), 9, 12), "too many bytes");
        let first = stalled.pop().unwrap();
        assert_eq!(
            (first.arrival().payload, first.arrival().reply),
            (&b"one"[..], Some(&b"r"[..]))
        );
        stalled.put_back(first);
        assert_eq!(stalled.pop().unwrap().arrival().payload, b"one");
        assert_eq!(stalled.pop().unwrap().arrival().payload, b"two");
        assert!(stalled.is_empty() && stalled.bytes == 0);
    }
}
