//! What peers write to each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::inbox::{Inbox, Wake};
use super::interest::{PeerId, SubscriberId};

/// Bytes of messages that may wait in an inbox before those who push stop reading their sockets.
pub const INBOX_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a batch after which all batches are pushed before the tick ends.
pub const BATCH_BYTES: usize = 256 * 1024;

/// A connection, for the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    /// The reactor that owns it.
    pub peer: PeerId,
    /// Its place there.
    pub slot: u32,
    /// Tells it from earlier ones in the same place.
    pub generation: u32,
}

/// Messages for the subscriptions of one peer, in the order in which they were published.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    shared: Vec<Bytes>,
    messages: Vec<Envelope>,
    size: usize,
    /// Which round of pushes of which peer it belongs to, if that had several receivers.
    round: Option<Round>,
}

/// One time that a peer pushed batches to several others.
///
/// A receiver must not deliver before all others have theirs: somebody could answer a message
/// here, and the answer overtake the message on its way to a third peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Who pushes.
    pub peer: PeerId,
    /// Its number.
    pub number: u64,
}

/// One message of a batch, by its places in it.
#[derive(Debug)]
struct Envelope {
    account: u32,
    origin: ConnectionId,
    target: Target,
    hops: u8,
    start: usize,
    subject_size: usize,
    reply_size: Option<usize>,
    queue_size: usize,
    header_size: usize,
    /// Copied bytes of the body, or its place among the shared ones.
    framed: Framed,
}

#[derive(Clone, Copy, Debug)]
enum Framed {
    Copied(usize),
    Shared(usize),
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All matching subscriptions of the peer outside queue groups.
    Plain,
    /// This member of the queue group named in the message, or another one if it is gone.
    Queue(SubscriberId),
}

/// A message on its way to subscriptions, wherever it was published.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The account it was published in.
    pub account: u32,
    /// The connection that published it.
    pub origin: ConnectionId,
    /// The subject, not checked.
    pub subject: &'a [u8],
    /// Where answers are wanted.
    pub reply: Option<&'a [u8]>,
    /// How much of the body is headers.
    pub header_size: usize,
    /// Headers, payload, CR LF.
    pub framed: &'a [u8],
    /// The same bytes, where they are shared already.
    pub shared: Option<&'a Bytes>,
}

impl Message<'_> {
    /// Bytes of headers and payload.
    pub fn body_size(&self) -> usize {
        self.framed.len() - 2
    }
}

/// A message out of a batch.
pub struct Delivered<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Whom it is for.
    pub target: Target,
    /// The queue group, for [`Target::Queue`].
    pub queue: &'a [u8],
    /// How often it was sent on because a member was gone.
    pub hops: u8,
}

impl Batch {
    /// Adds a message.
    pub fn add(&mut self, message: &Message<'_>, target: Target, queue: &[u8], hops: u8) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message.subject);
        self.bytes.extend_from_slice(message.reply.unwrap_or_default());
        self.bytes.extend_from_slice(queue);
        let framed = match message.shared {
            Some(shared) => {
                self.shared.push(shared.clone());
                Framed::Shared(self.shared.len() - 1)
            }
            None => {
                self.bytes.extend_from_slice(message.framed);
                Framed::Copied(message.framed.len())
            }
        };
        let copied = self.bytes.len() - start;
        let shared = message.shared.map_or(0, Bytes::len);
        self.size += copied + shared + size_of::<Envelope>();
        self.messages.push(Envelope {
            account: message.account,
            origin: message.origin,
            target,
            hops,
            start,
            subject_size: message.subject.len(),
            reply_size: message.reply.map(<[u8]>::len),
            queue_size: queue.len(),
            header_size: message.header_size,
            framed,
        });
    }

    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = Delivered<'_>> {
        self.messages.iter().map(|envelope| {
            let (subject, rest) = self.bytes[envelope.start..].split_at(envelope.subject_size);
            let (reply, rest) = rest.split_at(envelope.reply_size.unwrap_or(0));
            let (queue, rest) = rest.split_at(envelope.queue_size);
            let (framed, shared) = match envelope.framed {
                Framed::Copied(size) => (&rest[..size], None),
                Framed::Shared(index) => (&self.shared[index][..], Some(&self.shared[index])),
            };
            let message = Message {
                account: envelope.account,
                origin: envelope.origin,
                subject,
                reply: envelope.reply_size.map(|_| reply),
                header_size: envelope.header_size,
                framed,
                shared,
            };
            Delivered { message, target: envelope.target, queue, hops: envelope.hops }
        })
    }

    /// The round it was pushed in, if that had several receivers.
    pub fn round(&self) -> Option<Round> {
        self.round
    }

    /// Memory it stands for.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// The batch on its way to one peer, and how far that peer is behind.
pub struct Outbox<T, W> {
    inbox: Arc<Inbox<T, W>>,
    /// Bytes of all batches in the inbox, whoever pushed them.
    queued: Arc<AtomicUsize>,
    batch: Option<Box<Batch>>,
    pushed: bool,
}

impl<T: From<Box<Batch>>, W: Wake> Outbox<T, W> {
    /// An outbox to the peer with this inbox and this count of bytes in it.
    pub fn new(inbox: Arc<Inbox<T, W>>, queued: Arc<AtomicUsize>) -> Self {
        Self { inbox, queued, batch: None, pushed: false }
    }

    /// Adds a message to the batch.
    pub fn add(&mut self, message: &Message<'_>, target: Target, queue: &[u8], hops: u8) {
        self.batch.get_or_insert_default().add(message, target, queue, hops);
    }

    /// Bytes of the batch.
    pub fn size(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| batch.size())
    }

    /// Pushes the batch, if there is one, as part of `round`. [`Outbox::notify`] must follow
    /// when the round is over.
    pub fn push(&mut self, round: Option<Round>) {
        if let Some(mut batch) = self.batch.take() {
            batch.round = round;
            self.queued.fetch_add(batch.size(), Ordering::Relaxed);
            self.inbox.push_quietly(T::from(batch));
            self.pushed = true;
        }
    }

    /// Wakes the peer if something was pushed to it.
    pub fn notify(&mut self) {
        if std::mem::take(&mut self.pushed) {
            self.inbox.notify();
        }
    }

    /// Pushes something that is not a message, with no order to messages.
    pub fn send(&self, mail: T) {
        self.inbox.push(mail);
    }

    /// Whether the peer is so far behind that this one should stop reading its sockets.
    pub fn is_congested(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > INBOX_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_added() {
        let origin = ConnectionId { peer: 1, slot: 2, generation: 3 };
        let large = Bytes::from_static(b"large\r\n");
        let message = Message {
            account: 7,
            origin,
            subject: b"a.b",
            reply: Some(b"r"),
            header_size: 1,
            framed: b"hi\r\n",
            shared: None,
        };
        let member = SubscriberId { slot: 9, generation: 1, peer: 4 };
        let mut batch = Batch::default();
        batch.add(&message, Target::Plain, b"", 0);
        batch.add(&Message { reply: None, ..message }, Target::Queue(member), b"workers", 2);
        batch.add(
            &Message { framed: &large, shared: Some(&large), ..message },
            Target::Plain,
            b"",
            0,
        );
        let all: Vec<_> = batch.iter().collect();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].message.subject, all[0].message.reply), (&b"a.b"[..], Some(&b"r"[..])));
        assert_eq!((all[0].message.framed, all[0].message.origin), (&b"hi\r\n"[..], origin));
        assert_eq!(
            (all[1].target, all[1].queue, all[1].hops),
            (Target::Queue(member), &b"workers"[..], 2)
        );
        assert_eq!((all[1].message.reply, all[1].message.body_size()), (None, 2));
        assert_eq!(all[2].message.framed, b"large\r\n");
        assert!(all[2].message.shared.is_some());
    }
}
