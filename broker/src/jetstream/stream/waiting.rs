//! Messages that came while the log could take none: they wait, in order, until it can.
//!
//! The log is busy for a moment when its next segment is being prepared, or when more is accepted
//! than the disk has taken. Its publishers should not notice; only when more waits than
//! nats-server would let wait are they told to slow down.

use std::collections::VecDeque;

use super::publish::Incoming;

/// Messages that may wait.
const MESSAGES_MAX: usize = 100_000;
/// Bytes of messages that may wait.
const BYTES_MAX: usize = 128 << 20;

/// Messages that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    messages: VecDeque<Waiter>,
    bytes: usize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Subject, reply subject, headers, payload.
    bytes: Box<[u8]>,
    subject_size: usize,
    reply_size: Option<usize>,
    headers_size: usize,
}

impl Waiter {
    /// The message as it came.
    pub(super) fn as_incoming(&self) -> Incoming<'_> {
        let (subject, rest) = self.bytes.split_at(self.subject_size);
        let (reply, rest) = rest.split_at(self.reply_size.unwrap_or(0));
        let (headers, payload) = rest.split_at(self.headers_size);
        Incoming { subject, reply: self.reply_size.map(|_| reply), headers, payload }
    }
}

impl Waiting {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Has a message wait behind all others. Returns whether there is room for it.
    #[must_use]
    pub(super) fn push(&mut self, message: &Incoming<'_>) -> bool {
        let Incoming { subject, reply, headers, payload } = message;
        let bytes = [subject, reply.unwrap_or_default(), headers, payload].concat();
        if self.messages.len() == MESSAGES_MAX || self.bytes + bytes.len() > BYTES_MAX {
            return false;
        }
        self.bytes += bytes.len();
        self.messages.push_back(Waiter {
            bytes: bytes.into(),
            subject_size: subject.len(),
            reply_size: reply.map(<[u8]>::len),
            headers_size: headers.len(),
        });
        true
    }

    /// The message that came first.
    pub(super) fn pop(&mut self) -> Option<Waiter> {
        let waiter = self.messages.pop_front()?;
        self.bytes -= waiter.bytes.len();
        Some(waiter)
    }

    /// Puts a message back that was taken just now.
    pub(super) fn put_back(&mut self, waiter: Waiter) {
        self.bytes += waiter.bytes.len();
        self.messages.push_front(waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_in_order_and_whole() {
        let mut waiting = Waiting::default();
        let message = |subject, reply| Incoming { subject, reply, headers: b"h", payload: b"pp" };
        assert!(waiting.push(&message(b"s.a", None)));
        assert!(waiting.push(&message(b"s.b", Some(b"reply"))));
        let first = waiting.pop().unwrap();
        waiting.put_back(first);
        for (subject, reply) in [(&b"s.a"[..], None), (b"s.b", Some(&b"reply"[..]))] {
            let waiter = waiting.pop().unwrap();
            let found = waiter.as_incoming();
            assert_eq!((found.subject, found.reply), (subject, reply));
            assert_eq!((found.headers, found.payload), (&b"h"[..], &b"pp"[..]));
        }
        assert!(waiting.is_empty() && waiting.bytes == 0 && waiting.pop().is_none());
    }

    #[test]
    fn there_is_a_limit() {
        let mut waiting = Waiting::default();
        let payload = vec![0; BYTES_MAX / 4];
        let message = Incoming { subject: b"", reply: None, headers: b"", payload: &payload };
        for is_room in [true, true, true, true, false] {
            assert_eq!(waiting.push(&message), is_room);
        }
        assert!(waiting.pop().is_some() && waiting.push(&message));
    }
}
