//! What peers write to each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// 0: the subject itself decides.
    via_size: usize,
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
    /// The subject that decides who gets it, if it is not the one that is shown: a stream sends
    /// `orders.1` to the inbox of who asked for it.
    pub via: Option<&'a [u8]>,
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

impl<'a> Message<'a> {
    /// Bytes of headers and payload.
    pub fn body_size(&self) -> usize {
        self.framed.len() - 2
    }

    /// The subject by which receivers are found.
    #[inline]
    pub fn routed_by(&self) -> &'a [u8] {
        self.via.unwrap_or(self.subject)
    }
}

/// A message whose body does not lie in one piece: it is put together in the batch.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// As in [`Message`].
    pub account: u32,
    /// As in [`Message`].
    pub origin: ConnectionId,
    /// As in [`Message`].
    pub via: Option<&'a [u8]>,
    /// As in [`Message`].
    pub subject: &'a [u8],
    /// As in [`Message`].
    pub reply: Option<&'a [u8]>,
    /// A whole header block, its blank line included, or nothing.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
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
        self.bytes.extend_from_slice(message.via.unwrap_or_default());
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
            via_size: message.via.map_or(0, <[u8]>::len),
            subject_size: message.subject.len(),
            reply_size: message.reply.map(<[u8]>::len),
            queue_size: queue.len(),
            header_size: message.header_size,
            framed,
        });
    }

    /// Adds a message in parts.
    pub fn add_parts(&mut self, parts: &Parts<'_>, target: Target, queue: &[u8]) {
        let start = self.bytes.len();
        let framed_size = parts.headers.len() + parts.payload.len() + 2;
        let via = parts.via.unwrap_or_default();
        let reply = parts.reply.unwrap_or_default();
        for part in [via, parts.subject, reply, queue, parts.headers, parts.payload, b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
        self.size += self.bytes.len() - start + size_of::<Envelope>();
        self.messages.push(Envelope {
            account: parts.account,
            origin: parts.origin,
            target,
            hops: 0,
            start,
            via_size: via.len(),
            subject_size: parts.subject.len(),
            reply_size: parts.reply.map(<[u8]>::len),
            queue_size: queue.len(),
            header_size: parts.headers.len(),
            framed: Framed::Copied(framed_size),
        });
    }

    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = Delivered<'_>> {
        self.messages.iter().map(|envelope| {
            let (via, rest) = self.bytes[envelope.start..].split_at(envelope.via_size);
            let (subject, rest) = rest.split_at(envelope.subject_size);
            let (reply, rest) = rest.split_at(envelope.reply_size.unwrap_or(0));
            let (queue, rest) = rest.split_at(envelope.queue_size);
            let (framed, shared) = match envelope.framed {
                Framed::Copied(size) => (&rest[..size], None),
                Framed::Shared(index) => (&self.shared[index][..], Some(&self.shared[index])),
            };
            let message = Message {
                account: envelope.account,
                origin: envelope.origin,
                via: (!via.is_empty()).then_some(via),
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

/// The batches on their way from one peer to the others, and how far those are behind.
pub struct Outboxes<T, W> {
    me: PeerId,
    list: Vec<Outbox<T, W>>,
    /// How many rounds of pushes had several receivers.
    round: u64,
    rounds_pushed: Arc<AtomicU64>,
}

/// The batch on its way to one peer.
struct Outbox<T, W> {
    inbox: Arc<Inbox<T, W>>,
    /// Bytes of all batches in the inbox, whoever pushed them.
    queued: Arc<AtomicUsize>,
    batch: Option<Box<Batch>>,
    pushed: bool,
}

impl<T: From<Box<Batch>>, W: Wake> Outboxes<T, W> {
    /// Outboxes of the peer `me` to the peers with these inboxes and these counts of bytes in
    /// them. `rounds_pushed` is where others see how far its rounds are.
    pub fn new(
        me: PeerId,
        rounds_pushed: Arc<AtomicU64>,
        peers: impl Iterator<Item = (Arc<Inbox<T, W>>, Arc<AtomicUsize>)>,
    ) -> Self {
        let list = peers
            .map(|(inbox, queued)| Outbox { inbox, queued, batch: None, pushed: false })
            .collect();
        Self { me, list, round: 0, rounds_pushed }
    }

    /// Adds a message to the batch for `peer`.
    #[inline]
    pub fn add(
        &mut self,
        peer: PeerId,
        message: &Message<'_>,
        target: Target,
        queue: &[u8],
        hops: u8,
    ) {
        self.batch(peer).add(message, target, queue, hops);
    }

    /// Adds a message in parts to the batch for `peer`.
    pub fn add_parts(&mut self, peer: PeerId, parts: &Parts<'_>, target: Target, queue: &[u8]) {
        self.batch(peer).add_parts(parts, target, queue);
    }

    /// Pushes all batches. Called before sockets are flushed, so that nobody hears of a message's
    /// effect before its receivers have it.
    pub fn push(&mut self) {
        let receivers = self.list.iter().filter(|outbox| outbox.batch.is_some()).count();
        if receivers == 0 {
            return;
        }
        let round = (receivers > 1).then(|| {
            self.round += 1;
            Round { peer: self.me, number: self.round }
        });
        for outbox in &mut self.list {
            if let Some(mut batch) = outbox.batch.take() {
                batch.round = round;
                outbox.queued.fetch_add(batch.size(), Ordering::Relaxed);
                outbox.inbox.push_quietly(T::from(batch));
                outbox.pushed = true;
            }
        }
        if let Some(round) = round {
            self.rounds_pushed.store(round.number, Ordering::Release);
        }
        for outbox in &mut self.list {
            if std::mem::take(&mut outbox.pushed) {
                outbox.inbox.notify();
            }
        }
    }

    /// Pushes something to `peer` that is not a message, with no order to messages.
    pub fn send(&self, peer: PeerId, mail: T) {
        self.list[usize::from(peer)].inbox.push(mail);
    }

    /// Whether any batch is so large that all should be pushed before the tick ends.
    #[inline]
    pub fn is_batch_large(&self) -> bool {
        self.list.len() > 1
            && self
                .list
                .iter()
                .any(|outbox| outbox.batch.as_ref().is_some_and(|one| one.size() >= BATCH_BYTES))
    }

    /// Whether a peer is so far behind that this one should stop reading its sockets.
    pub fn is_congested(&self) -> bool {
        self.list.len() > 1
            && self
                .list
                .iter()
                .any(|outbox| outbox.queued.load(Ordering::Relaxed) > INBOX_BYTES_MAX)
    }

    fn batch(&mut self, peer: PeerId) -> &mut Batch {
        self.list[usize::from(peer)].batch.get_or_insert_default()
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
            via: None,
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
        batch.add_parts(
            &Parts {
                account: 7,
                origin,
                via: Some(b"inbox"),
                subject: b"a.c",
                reply: Some(b"ack"),
                headers: b"H",
                payload: b"body",
            },
            Target::Plain,
            b"",
        );
        let all: Vec<_> = batch.iter().collect();
        assert_eq!(all.len(), 4);
        let parts = all[3].message;
        assert_eq!((parts.subject, parts.routed_by()), (&b"a.c"[..], &b"inbox"[..]));
        assert_eq!((parts.reply, parts.header_size), (Some(&b"ack"[..]), 1));
        assert_eq!(parts.framed, b"Hbody\r\n");
        assert_eq!(all[0].message.routed_by(), b"a.b");
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
