//! Writing a message into the outgoing buffers of local subscribers.
//!
//! Nothing here changes who is subscribed: what a delivery brings about (a subscription that has
//! had its last message, a subscriber that is too far behind) is noted in [`Aftermath`] and done
//! when the message has reached everybody.

use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

use super::connection::Connection;
use super::outgoing::Pool;
use super::subscriptions::Subscriptions;
use super::trace::trace_delivery;
use crate::config::LogOptions;
use crate::mesh::interest::{PeerId, QueueRoute};
use crate::mesh::mail::{ConnectionId, Message, Target};
use crate::stats::Counters;

/// Bodies from this size on are shared by their subscribers, if there are several.
pub(super) const SHARED_FROM_BYTES: usize = 4 * 1024;
/// Bodies from this size on that came in parts are shared even by one subscriber: the buffer
/// they were gathered in goes out as it is.
pub(super) const ALWAYS_SHARED_FROM_BYTES: usize = 32 * 1024;
/// Bytes that wait for a subscriber from which on publishers to it pause, as long as it reads.
/// What waits beyond that falls out of the processor's cache and only costs.
pub(super) const BEHIND_BYTES: usize = 1024 * 1024;
/// A subscriber that took nothing for so long is not waited for, until it is close to its limit.
const WAITED_FOR: Duration = Duration::from_millis(100);

/// Connections, subscriptions and buffers of one reactor: what a delivery touches.
pub(super) struct Local {
    pub(super) me: PeerId,
    pub(super) connections: Slab<Box<Connection>>,
    pub(super) subscriptions: Subscriptions,
    pub(super) pool: Pool,
    /// Connections that have something to write.
    pub(super) dirty: Vec<u32>,
    pub(super) aftermath: Aftermath,
    pub(super) counters: Counters,
    pub(super) heads: Heads,
    pub(super) pending_bytes_max: usize,
    /// Drop for a subscriber that is behind, instead of pausing the publisher.
    pub(super) drops_when_behind: bool,
    /// How deliveries are shown in the log, if they are.
    pub(super) traced: Option<LogOptions>,
    pub(super) now: Instant,
    pub(super) random: u64,
}

/// What is to be done after a message was delivered.
#[derive(Default)]
pub(super) struct Aftermath {
    /// Subscriptions that had their last message.
    pub(super) finished: Vec<u32>,
    /// Connections for which too much waits.
    pub(super) slow: Vec<u32>,
    /// A connection that is behind, for which the publisher should pause.
    pub(super) behind: Option<Behind>,
}

/// A connection that is behind with what is published.
#[derive(Clone, Copy)]
pub(super) struct Behind {
    pub(super) slot: u32,
    /// More than three quarters of what may wait for it does.
    pub(super) near_limit: bool,
}

impl Aftermath {
    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_none() && self.finished.is_empty() && self.slow.is_empty()
    }
}

/// The parts of a delivery's line that are the same for all subscribers.
#[derive(Default)]
pub(super) struct Heads {
    /// `HMSG subject ` or `MSG subject `; without its first byte, `HMSG` is `MSG`.
    head: Vec<u8>,
    /// ` reply size` and the line end.
    tail: Vec<u8>,
    /// The same for a subscriber that does not understand headers.
    tail_without_headers: Vec<u8>,
    header_size: usize,
}

impl Heads {
    pub(super) fn prepare(&mut self, message: &Message<'_>) {
        use fulmar_protocol::encode::message_head_tail;

        self.header_size = message.header_size;
        self.head.clear();
        self.head.extend_from_slice(if message.header_size == 0 { b"MSG " } else { b"HMSG " });
        self.head.extend_from_slice(message.subject);
        self.head.push(b' ');
        self.tail.clear();
        self.tail.push(b' ');
        message_head_tail(&mut self.tail, message.reply, message.header_size, message.body_size());
        if message.header_size != 0 {
            self.tail_without_headers.clear();
            self.tail_without_headers.push(b' ');
            let payload_size = message.body_size() - message.header_size;
            message_head_tail(&mut self.tail_without_headers, message.reply, 0, payload_size);
        }
    }
}

impl Local {
    /// Delivers to the subscription at `slot`, unless it is gone, is another one than
    /// `generation` says, or must not have this message. [`Heads::prepare`] came before.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        slot: u32,
        generation: Option<u16>,
        message: &Message<'_>,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(slot) else { return false };
        if generation.is_some_and(|generation| generation != subscription.generation) {
            return false;
        }
        let connection_slot = subscription.connection;
        let connection = &mut self.connections[connection_slot as usize];
        if connection.closing.is_some()
            || (subscription.max != 0 && subscription.delivered >= subscription.max)
        {
            return false;
        }
        if !connection.agreed.echo
            && connection_slot == message.origin.slot
            && connection.generation == message.origin.generation
            && message.origin.peer == self.me
        {
            return false;
        }
        let pending = connection.pending();
        if pending > BEHIND_BYTES {
            let near_limit = pending > self.pending_bytes_max / 4 * 3;
            if self.drops_when_behind {
                if near_limit {
                    self.counters.dropped_messages += 1;
                    return false;
                }
            } else if near_limit
                || (connection.blocked_since.is_some()
                    && self.now.duration_since(connection.written_at) < WAITED_FOR)
            {
                let behind = self
                    .aftermath
                    .behind
                    .get_or_insert(Behind { slot: connection_slot, near_limit });
                if near_limit {
                    *behind = Behind { slot: connection_slot, near_limit };
                }
            }
        }
        subscription.delivered += 1;
        if subscription.max != 0 && subscription.delivered >= subscription.max {
            self.aftermath.finished.push(slot);
        }

        let heads = &self.heads;
        let (head, tail, skipped) = if heads.header_size == 0 || connection.agreed.headers {
            (&heads.head[..], &heads.tail[..], 0)
        } else {
            (&heads.head[1..], &heads.tail_without_headers[..], heads.header_size)
        };
        let size = message.body_size() - skipped;
        connection.traffic.out_messages += 1;
        connection.traffic.out_bytes += size as u64;
        self.counters.out_messages += 1;
        self.counters.out_bytes += size as u64;
        let sid = &subscription.sid[..];
        if let Some(log) = &self.traced {
            let label = format!("{} - cid:{}", connection.address, connection.cid);
            trace_delivery(&label, sid, message, skipped == 0, log);
        }
        let (outgoing, is_new) = connection.outgoing(&mut self.pool);
        let head_size = head.len() + sid.len() + tail.len();
        match message.shared {
            None => {
                let framed = &message.framed[skipped..];
                outgoing.write(&mut self.pool, head_size + framed.len(), |out| {
                    out.extend_from_slice(head);
                    out.extend_from_slice(sid);
                    out.extend_from_slice(tail);
                    out.extend_from_slice(framed);
                });
            }
            Some(shared) => {
                outgoing.write(&mut self.pool, head_size, |out| {
                    out.extend_from_slice(head);
                    out.extend_from_slice(sid);
                    out.extend_from_slice(tail);
                });
                outgoing.share(&mut self.pool, shared.slice(skipped..));
            }
        }
        if outgoing.pending() > self.pending_bytes_max {
            self.aftermath.slow.push(connection_slot);
        }
        if is_new {
            self.dirty.push(connection_slot);
        }
        true
    }

    /// Delivers to one member of a queue group: a random one, or the next that may have it.
    /// Members of other reactors are handed to `send`.
    pub(super) fn deliver_to_queue(
        &mut self,
        queue: &QueueRoute,
        message: &Message<'_>,
        mut send: impl FnMut(PeerId, Target),
    ) -> bool {
        let count = queue.members.len();
        let start = self.random_below(count);
        for member in queue.members[start..].iter().chain(&queue.members[..start]) {
            if member.peer != self.me {
                send(member.peer, Target::Queue(*member));
                return true;
            }
            if self.deliver(member.slot, Some(member.generation), message) {
                return true;
            }
        }
        false
    }

    /// Whether a body of this size goes out by reference, given how many may get it.
    pub(super) fn is_shared(size: usize, receivers: usize) -> bool {
        size >= SHARED_FROM_BYTES && receivers > 1
    }

    /// Writes something that is not a message to a connection.
    pub(super) fn write(&mut self, slot: u32, size_max: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let (outgoing, is_new) = connection.outgoing(&mut self.pool);
        outgoing.write(&mut self.pool, size_max, write);
        // Answers that nobody reads are bounded like messages.
        if outgoing.pending() > self.pending_bytes_max {
            self.aftermath.slow.push(slot);
        }
        if is_new {
            self.dirty.push(slot);
        }
    }

    /// The connection, if it is still the one that is meant.
    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.slot as usize)
            .map(|connection| &mut **connection)
            .filter(|connection| connection.generation == id.generation)
    }

    /// A number below `count`, or 0. Which member of a group gets a message is no secret: a
    /// xorshift will do.
    pub(super) fn random_below(&mut self, count: usize) -> usize {
        if count <= 1 {
            return 0;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % count as u64).expect("less than a usize")
    }
}

/// Makes the body of `message` shared, in `place`.
pub(super) fn share<'a>(message: Message<'a>, place: &'a mut Option<Bytes>) -> Message<'a> {
    if message.shared.is_some() {
        return message;
    }
    let shared = place.insert(Bytes::copy_from_slice(message.framed));
    Message { shared: Some(shared), ..message }
}
