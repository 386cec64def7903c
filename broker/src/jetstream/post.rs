//! What a shard sends: to whom it goes, by interest, as mail in batches.
//!
//! It knows subjects and bytes. It refuses to know streams and consumers.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::mesh::interest::{PeerId, Routes, SubscriberId};
use crate::mesh::mail::{ConnectionId, Outboxes, Parts, Target};
use crate::mesh::waker::PeerWaker;
use crate::reactor::Mail;
use crate::reactor::cache::RouteCache;
use crate::shared::Shared;

/// The generation in the origin of what a shard sends: a connection never has it.
const ORIGIN_GENERATION: u32 = u32::MAX;
/// The place in the origin of what no consumer sent.
pub const NO_CONSUMER: u32 = u32::MAX;

/// A message that a shard sends.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The account it is sent in.
    pub account: u32,
    /// The consumer it comes from, by its place, or [`NO_CONSUMER`]: whom a slow receiver asks to
    /// pause.
    pub consumer: u32,
    /// The subject that decides who gets it, if it is not the one that is shown.
    pub via: Option<&'a [u8]>,
    /// The subject that is shown.
    pub subject: &'a [u8],
    /// Where answers are wanted.
    pub reply: Option<&'a [u8]>,
    /// A whole header block, its blank line included, or nothing.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
}

/// A message that a shard sent to itself: a stream takes in what another one republished.
#[derive(Debug)]
pub struct Loopback {
    /// The account it was sent in.
    pub account: u32,
    /// The places of the shard's subscriptions that want it.
    pub slots: Vec<u32>,
    /// The subject that decided who gets it.
    pub routed_by: Vec<u8>,
    /// The subject that is shown.
    pub subject: Vec<u8>,
    /// Where answers are wanted.
    pub reply: Option<Vec<u8>>,
    /// Headers and payload.
    pub body: Vec<u8>,
    /// How much of the body is headers.
    pub header_size: usize,
}

/// The outgoing mail of a shard.
pub struct Post {
    me: PeerId,
    shared: Arc<Shared>,
    outboxes: Outboxes<Mail, PeerWaker>,
    caches: Vec<RouteCache>,
    loopback: VecDeque<Loopback>,
    random: fastrand::Rng,
}

impl Post {
    /// The outgoing mail of the peer `me`. `seed` decides which member of a queue group gets what.
    pub fn new(me: PeerId, shared: Arc<Shared>, seed: u64) -> Self {
        Self {
            me,
            outboxes: shared.outboxes(me),
            caches: shared.accounts.iter().map(|_| RouteCache::new()).collect(),
            loopback: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
            shared,
        }
    }

    /// Sends a message to everybody who wants it, and tells whether there is anybody.
    pub fn send(&mut self, message: &Outgoing<'_>) -> bool {
        let Self { me, shared, outboxes, caches, loopback, random } = self;
        let account = message.account as usize;
        let routed_by = message.via.unwrap_or(message.subject);
        let routes = caches[account].routes(*me, &shared.accounts[account].interest, routed_by);
        if routes.is_empty() {
            return false;
        }
        let parts = Parts {
            account: message.account,
            origin: ConnectionId {
                peer: *me,
                slot: message.consumer,
                generation: ORIGIN_GENERATION,
            },
            via: message.via,
            subject: message.subject,
            reply: message.reply,
            headers: message.headers,
            payload: message.payload,
        };
        let mut own = Vec::new();
        for queue in &routes.queues {
            let member = queue.members[random.usize(..queue.members.len())];
            if member.peer == *me {
                own.push(member.slot);
            } else {
                outboxes.add_parts(member.peer, &parts, Target::Queue(member), &queue.name);
            }
        }
        let mut peers = routes.peers;
        while peers != 0 {
            let peer = PeerId::try_from(peers.trailing_zeros()).expect("a bit of 64");
            peers &= peers - 1;
            outboxes.add_parts(peer, &parts, Target::Plain, b"");
        }
        own.extend_from_slice(&routes.local);
        if !own.is_empty() {
            loopback.push_back(Loopback {
                account: message.account,
                slots: own,
                routed_by: routed_by.to_vec(),
                subject: message.subject.to_vec(),
                reply: message.reply.map(<[u8]>::to_vec),
                body: [message.headers, message.payload].concat(),
                header_size: message.headers.len(),
            });
        }
        true
    }

    /// A random number.
    pub fn random(&mut self) -> u32 {
        self.random.u32(..)
    }

    /// Whether anybody wants messages to `subject`.
    pub fn has_interest(&mut self, account: u32, subject: &[u8]) -> bool {
        !self.routes(account, subject).is_empty()
    }

    /// Who wants messages to `subject`, as this shard sees it.
    pub fn routes(&mut self, account: u32, subject: &[u8]) -> &Routes {
        let account = account as usize;
        self.caches[account].routes(self.me, &self.shared.accounts[account].interest, subject)
    }

    /// The next message that the shard sent to itself.
    pub fn take_loopback(&mut self) -> Option<Loopback> {
        self.loopback.pop_front()
    }

    /// Whether the shard sent itself something that was not taken yet.
    pub fn has_loopback(&self) -> bool {
        !self.loopback.is_empty()
    }

    /// Hands all batches over to their receivers.
    pub fn push(&mut self) {
        self.outboxes.push();
    }

    /// Hands the batches over if they are large.
    pub fn push_if_large(&mut self) {
        if self.outboxes.is_batch_large() {
            self.outboxes.push();
        }
    }

    /// Whether a receiver is so far behind that deliveries should wait.
    pub fn is_congested(&self) -> bool {
        self.outboxes.is_congested()
    }

    /// The id of a subscription of this shard.
    pub fn subscriber(&self, slot: u32) -> SubscriberId {
        SubscriberId { slot, generation: 0, peer: self.me }
    }

    /// What all peers see.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}
