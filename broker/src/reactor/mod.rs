//! A reactor: the connections of one thread, without the sockets.
//!
//! [`Reactor`] takes bytes, mail and the time, and says what is to be written and to whom mail
//! goes; `driver` does the reading, writing and waiting around it. So a test or a simulation
//! runs the same reactor from memory.
//!
//! ```text
//!            bytes, mail, time                      what happens
//! driver ───────────────────────▶ Reactor ─┬─ operations   what a client asks for
//!        ◀─────────────────────── (state)  ├─ delivery     messages into outgoing buffers
//!          dirty, closing, mail            └─ timers       pings, deadlines, lame duck
//! ```

pub mod cache;
mod close_reason;
pub mod connection;
mod delivery;
mod driver;
mod ended;
mod operations;
pub mod outgoing;
mod report;
pub mod subscriptions;
mod timers;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fulmar_protocol::client_op::{self, ClientOp, ParseError, Publish, Step};
use fulmar_protocol::{encode, error_text};
use slab::Slab;

use self::cache::RouteCache;
pub use self::close_reason::CloseReason;
use self::connection::{Connection, Partial, Pause, Stage};
use self::delivery::{Aftermath, Heads, Local};
pub use self::driver::run;
use self::ended::Ended;
use self::outgoing::{Outgoing, Pool};
pub use self::report::{Answer, ConnectionReport, End, Holdings, Page, SubscriptionReport};
use self::subscriptions::Subscriptions;
use self::timers::{LameDuck, Timers};
use crate::jetstream::ShardMail;
use crate::mesh::interest::{PeerId, SubscriberId};
use crate::mesh::mail::{Batch, ConnectionId, Message, Outboxes, Target};
use crate::mesh::waker::PeerWaker;
use crate::shared::{Live, Shared};
use crate::stats::Counters;

/// How long a publisher pauses at the most for a subscriber that is behind before it is read
/// again. At a read of 64 KiB or more each time, it is never slower than 32 MB/s for that.
const PAUSE_MAX: Duration = Duration::from_millis(2);
/// The same for a subscriber close to its limit, which is then closed: as long as nats-server's.
const PAUSE_NEAR_LIMIT_MAX: Duration = Duration::from_millis(10);
/// Bytes of deliveries after which sockets are flushed before more of the chunk is routed: what
/// waits longer has left the processor's cache when it is written.
const FLUSH_BYTES: u64 = 1024 * 1024;
/// The same for each connection that has something to write, so that a large fan-out does not
/// become many small writes.
const FLUSH_CONNECTION_BYTES: u64 = 48 * 1024;
/// How often a message for a queue group is sent on to another reactor because a member was gone.
const HOPS_MAX: u8 = 3;

/// What peers write to a reactor, and to a shard.
pub enum Mail {
    /// Messages for its subscriptions.
    Messages(Box<Batch>),
    /// A subscriber elsewhere is behind with the messages of this connection.
    Pause {
        /// The publisher.
        connection: ConnectionId,
        /// The subscriber is close to its limit.
        near_limit: bool,
    },
    /// What a client presented was compared with a hash.
    Verified {
        /// The client.
        connection: ConnectionId,
        /// It was the right password.
        right: bool,
    },
    /// A new connection.
    Open(Box<Accepted>),
    /// The settings changed.
    Reload(Arc<Live>),
    /// What is asked of it about its connections, for monitoring.
    Connections {
        /// Where to go on; 0 is the beginning.
        from: u64,
        /// Ended connections, not open ones.
        ended: bool,
        /// Where the answer goes.
        answer: Answer<Page<ConnectionReport>>,
    },
    /// What is asked of it about its subscriptions, for monitoring.
    Subscriptions {
        /// Where to go on; 0 is the beginning.
        from: u64,
        /// Where the answer goes.
        answer: Answer<Page<SubscriptionReport>>,
    },
    /// The server is about to stop: tell the clients, and close them one by one.
    LameDuck {
        /// From now to the first.
        grace: Duration,
        /// From the first to the last.
        over: Duration,
    },
    /// What a shard had done elsewhere.
    Shard(Box<ShardMail>),
    /// Close everything and end.
    Stop,
}

impl From<Box<Batch>> for Mail {
    fn from(batch: Box<Batch>) -> Self {
        Self::Messages(batch)
    }
}

/// A connection that was accepted and is handed to a reactor.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket, not blocking.
    pub stream: std::net::TcpStream,
    /// Where the client is.
    pub address: SocketAddr,
    /// Its number.
    pub cid: u64,
    /// It is one too many: it is told so and closed.
    pub refused: bool,
}

/// The connections of one thread.
pub struct Reactor {
    shared: Arc<Shared>,
    /// The settings it was told last.
    live: Arc<Live>,
    caches: Vec<RouteCache>,
    outboxes: Outboxes<Mail, PeerWaker>,
    local: Local,
    timers: Timers,
    lame_duck: Option<LameDuck>,
    /// Connections that ended since the driver asked.
    closing: Vec<u32>,
    ended: Ended,
    next_generation: u32,
    /// The publisher elsewhere that was asked to pause last, and when.
    asked_to_pause: Option<(ConnectionId, Instant)>,
    trace: bool,
}

/// Whether a connection is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Now.
    Now,
    /// Now, but little: a subscriber is close to its limit.
    Sparingly,
    /// At this moment, or when the subscriber that is behind has caught up.
    After(Instant),
    /// Not any more.
    Never,
}

impl Reactor {
    /// The reactor number `me`, without connections. `seed` decides which member of a queue
    /// group gets which message.
    pub fn new(me: PeerId, shared: Arc<Shared>, seed: u64, now: Instant) -> Self {
        let live = shared.live();
        let options = &live.options;
        let outboxes = shared.outboxes(me);
        let local = Local {
            me,
            connections: Slab::new(),
            subscriptions: Subscriptions::default(),
            pool: Pool::default(),
            dirty: Vec::new(),
            aftermath: Aftermath::default(),
            counters: Counters::default(),
            heads: Heads::default(),
            pending_bytes_max: options.limits.pending_bytes_max,
            drops_when_behind: options.no_fast_producer_stall,
            traced: options.log.trace.then(|| options.log.clone()),
            now,
            random: seed | 1,
        };
        Self {
            caches: shared.accounts.iter().map(|_| RouteCache::new()).collect(),
            outboxes,
            local,
            timers: Timers::default(),
            lame_duck: None,
            closing: Vec::new(),
            ended: Ended::new(options.max_closed_clients.div_ceil(shared.reactors().len().max(1))),
            next_generation: 0,
            asked_to_pause: None,
            trace: options.log.trace,
            live,
            shared,
        }
    }

    /// Tells the time. Everything that follows happens at `now`, which never goes back.
    pub fn set_now(&mut self, now: Instant) {
        self.local.now = now;
    }

    /// A client connected: INFO is written to it, and its place returned.
    pub fn handle_open(&mut self, address: SocketAddr, cid: u64) -> u32 {
        let limits = client_op::Limits {
            control_line_bytes_max: self.live.options.limits.control_line_bytes_max,
            payload_bytes_max: self.live.options.limits.payload_bytes_max,
            headers: false,
        };
        let stage =
            if self.live.info.auth_required { Stage::Unauthenticated } else { Stage::Ready };
        self.next_generation = self.next_generation.wrapping_add(1);
        let now = self.local.now;
        let connection = Connection::new(self.next_generation, cid, address, stage, limits, now);
        let slot = u32::try_from(self.local.connections.insert(Box::new(connection)))
            .expect("file descriptors end before that");
        self.local.counters.connections += 1;
        self.local.counters.connections_total += 1;
        self.start_timers(slot);
        self.write_info(slot, false);
        tracing::debug!("{} - Client connection created", self.label(slot));
        slot
    }

    /// The connection at `slot` is one more than the server may have.
    pub fn handle_refused(&mut self, slot: u32) {
        self.close(
            slot,
            CloseReason::MaximumConnectionsExceeded,
            Some(error_text::CONNECTIONS_EXCEEDED),
        );
    }

    /// Bytes came from the client at `slot`. Returns how many were handled: fewer than there are
    /// when so much waits to be written that it should be flushed first.
    pub fn handle_bytes(&mut self, slot: u32, bytes: &[u8]) -> usize {
        let now = self.local.now;
        let Some(connection) = self.local.connections.get_mut(slot as usize) else {
            return bytes.len();
        };
        connection.last_received = now;
        connection.last_activity = now;
        if connection.stage == Stage::Verifying {
            let waiting = connection.partial.get_or_insert_default();
            waiting.bytes.extend_from_slice(bytes);
            waiting.needed = waiting.bytes.len() + 1;
            return bytes.len();
        }
        let origin = ConnectionId { peer: self.local.me, slot, generation: connection.generation };
        let handled = self.handle_operations(slot, bytes);
        if !self.local.aftermath.is_empty() {
            self.settle(origin);
        }
        handled
    }

    fn handle_operations(&mut self, slot: u32, bytes: &[u8]) -> usize {
        let connection = &mut self.local.connections[slot as usize];
        let mut rest = bytes;
        if let Some(partial) = connection.partial.take() {
            rest = self.handle_rest_of_partial(slot, partial, rest);
        }
        let flush_at = self.local.counters.out_bytes + FLUSH_BYTES;
        while !rest.is_empty() {
            let connection = &self.local.connections[slot as usize];
            if connection.closing.is_some() {
                return bytes.len();
            }
            if self.local.counters.out_bytes >= flush_at && self.is_flush_worthwhile(flush_at) {
                break;
            }
            if !connection.stage.may_work() {
                if connection.stage == Stage::Verifying {
                    let partial = Partial { bytes: rest.to_vec(), needed: rest.len() + 1 };
                    self.local.connections[slot as usize].partial = Some(Box::new(partial));
                    return bytes.len();
                }
                // nats-server reads nothing but CONNECT before it knows who speaks.
                if rest[0] | 0x20 != b'c' {
                    self.refuse_unauthenticated(slot);
                    return bytes.len();
                }
            }
            match client_op::parse(rest, &connection.limits) {
                Ok(Step::Op { op: ClientOp::Publish(publish), consumed }) if !self.trace => {
                    self.handle_publish(slot, &publish, None);
                    rest = &rest[consumed..];
                }
                Ok(Step::Op { op, consumed }) => {
                    self.handle_operation(slot, op, None);
                    rest = &rest[consumed..];
                }
                Ok(Step::Incomplete { needed }) => {
                    let partial = Partial { bytes: rest.to_vec(), needed };
                    self.local.connections[slot as usize].partial = Some(Box::new(partial));
                    return bytes.len();
                }
                Err(error) => {
                    self.handle_parse_error(slot, error);
                    return bytes.len();
                }
            }
        }
        bytes.len() - rest.len()
    }

    /// The connection's bytes ended, or reading it failed.
    pub fn handle_end(&mut self, slot: u32, reason: CloseReason) {
        self.close(slot, reason, None);
    }

    /// `written` bytes of what waited for `slot` went out.
    pub fn handle_written(&mut self, slot: u32, written: usize) {
        let now = self.local.now;
        let Some(connection) = self.local.connections.get_mut(slot as usize) else { return };
        let Some(outgoing) = &mut connection.outgoing else { return };
        outgoing.advance(&mut self.local.pool, written);
        connection.written_at = now;
        connection.last_activity = now;
        connection.blocked_since = None;
        if outgoing.pending() == 0
            && let Some(outgoing) = connection.outgoing.take()
        {
            self.local.pool.give(outgoing);
        }
    }

    /// The socket of `slot` takes nothing at the moment.
    pub fn handle_blocked(&mut self, slot: u32) {
        let now = self.local.now;
        let Some(connection) = self.local.connections.get_mut(slot as usize) else { return };
        if connection.blocked_since.is_none() {
            connection.blocked_since = Some(now);
            let deadline = now + self.live.options.timers.write_deadline;
            self.timers.set(connection, slot, deadline);
        }
    }

    /// Mail came. [`Mail::Open`] and [`Mail::Stop`] are for the driver, [`Mail::Shard`] is for a
    /// shard: they do nothing here.
    pub fn handle_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Messages(batch) => self.handle_batch(&batch),
            Mail::Pause { connection, near_limit } => {
                self.pause(connection, None, near_limit);
            }
            Mail::Reload(live) => self.handle_reload(live),
            Mail::Verified { connection, right } => self.handle_verified(connection, right),
            Mail::Connections { from, ended, answer } => {
                answer.give(self.report_connections(from, ended));
            }
            Mail::Subscriptions { from, answer } => answer.give(self.report_subscriptions(from)),
            Mail::LameDuck { grace, over } => self.enter_lame_duck(grace, over),
            Mail::Open(_) | Mail::Shard(_) | Mail::Stop => {}
        }
    }

    /// Takes new settings over, for the connections there are too.
    fn handle_reload(&mut self, live: Arc<Live>) {
        let before = std::mem::replace(&mut self.live, live);
        let (old, new) = (&before.options, &self.live.options);
        self.trace = new.log.trace;
        self.local.traced = new.log.trace.then(|| new.log.clone());
        self.local.drops_when_behind = new.no_fast_producer_stall;
        let limits = &new.limits;
        for (_, connection) in &mut self.local.connections {
            connection.limits.control_line_bytes_max = limits.control_line_bytes_max;
            connection.limits.payload_bytes_max = limits.payload_bytes_max;
        }
        if old.authentication != new.authentication {
            let slots: Vec<u32> = self
                .local
                .connections
                .iter()
                .filter(|(_, connection)| {
                    let user = connection.identity.as_ref().map_or("", |identity| &identity.user);
                    !new.authentication.still_lets_in(&old.authentication, user)
                })
                .map(|(slot, _)| slot_number(slot))
                .collect();
            for slot in slots {
                let text = Some(error_text::AUTHORIZATION_VIOLATION);
                self.close(slot, CloseReason::AuthenticationFailure, text);
            }
        }
    }

    /// Ends all connections: the server stops.
    pub fn handle_stop(&mut self) {
        let slots: Vec<usize> = self.local.connections.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.close(slot_number(slot), CloseReason::ServerShutdown, None);
        }
    }

    /// Whether the connection at `slot` is to be read.
    pub fn readiness(&self, slot: u32) -> Readiness {
        let now = self.local.now;
        let Some(connection) = self.local.connections.get(slot as usize) else {
            return Readiness::Never;
        };
        if connection.closing.is_some() {
            return Readiness::Never;
        }
        if connection.stage == Stage::Verifying {
            let timers = &self.live.options.timers;
            return Readiness::After(connection.started + timers.authentication_timeout);
        }
        let Some(pause) = connection.paused else { return Readiness::Now };
        let caught_up = pause.behind.is_some_and(|(slot, generation)| {
            self.local
                .connections
                .get(slot as usize)
                .filter(|connection| connection.generation == generation)
                .is_none_or(|connection| connection.pending() < delivery::BEHIND_BYTES / 2)
        });
        if caught_up || now >= pause.until {
            return if pause.sparing && !caught_up { Readiness::Sparingly } else { Readiness::Now };
        }
        Readiness::After(pause.until)
    }

    /// The connection at `slot` is about to be read: a pause is over.
    pub fn resume(&mut self, slot: u32) {
        if let Some(connection) = self.local.connections.get_mut(slot as usize) {
            connection.paused = None;
        }
    }

    /// Whether another reactor is so far behind that sockets should not be read.
    pub fn is_congested(&self) -> bool {
        self.outboxes.is_congested()
    }

    /// Moves the connections that have something to write into `list`.
    pub fn take_dirty(&mut self, list: &mut Vec<u32>) {
        list.append(&mut self.local.dirty);
    }

    /// What waits to be written to the connection at `slot`.
    pub fn outgoing(&self, slot: u32) -> Option<&Outgoing> {
        self.local.connections.get(slot as usize)?.outgoing.as_deref()
    }

    /// The generation of the connection at `slot`, if there is one.
    pub fn generation(&self, slot: u32) -> Option<u32> {
        self.local.connections.get(slot as usize).map(|connection| connection.generation)
    }

    /// Whether any connection ended since [`Reactor::take_closing`].
    pub fn has_closing(&self) -> bool {
        !self.closing.is_empty()
    }

    /// Moves the connections that ended into `list`. What waits for them should be written
    /// once, then [`Reactor::forget`] be called.
    pub fn take_closing(&mut self, list: &mut Vec<u32>) {
        list.append(&mut self.closing);
    }

    /// Forgets a connection that ended.
    pub fn forget(&mut self, slot: u32) {
        let Some(mut connection) = self.local.connections.try_remove(slot as usize) else { return };
        debug_assert!(connection.closing.is_some(), "only a closed connection is forgotten");
        if let Some(outgoing) = connection.outgoing.take() {
            self.local.pool.give(outgoing);
        }
        self.local.counters.connections -= 1;
        if connection.closing != Some(CloseReason::MaximumConnectionsExceeded) {
            self.shared.dismiss();
        }
    }

    /// Pushes the mail of this tick. Called before sockets are flushed, so that nobody hears of a
    /// message's effect before its receivers have it.
    pub fn push_mail(&mut self) {
        self.outboxes.push();
    }

    /// Makes the counters visible to others.
    pub fn publish_stats(&mut self) {
        let counters = &mut self.local.counters;
        counters.subscriptions = self.local.subscriptions.count() as u64;
        (counters.cache_hits, counters.cache_misses) = (0, 0);
        (counters.cache_entries, counters.fanout_sum) = (0, 0);
        for cache in &self.caches {
            let counts = cache.counts();
            counters.cache_hits += counts.hits;
            counters.cache_misses += counts.misses;
            counters.cache_entries += counts.entries;
            counters.fanout_sum += counts.fanout_sum;
            counters.fanout_max = counters.fanout_max.max(counts.fanout_max);
        }
        self.shared.peers[usize::from(self.local.me)].stats.publish(counters);
    }

    /// The counters so far.
    pub fn counters(&self) -> &Counters {
        &self.local.counters
    }

    /// Whether so much waits for each connection on the average that a flush is not wasted.
    #[inline(never)]
    fn is_flush_worthwhile(&self, flush_at: u64) -> bool {
        let written = self.local.counters.out_bytes - flush_at + FLUSH_BYTES;
        written >= self.local.dirty.len() as u64 * FLUSH_CONNECTION_BYTES
    }

    /// Completes the operation that came in part, and returns the bytes behind it.
    fn handle_rest_of_partial<'a>(
        &mut self,
        slot: u32,
        mut partial: Box<Partial>,
        mut rest: &'a [u8],
    ) -> &'a [u8] {
        loop {
            let missing = partial.needed - partial.bytes.len();
            // A line of unknown length is taken up to its end, so that the buffer never holds
            // more than one operation; a body is taken up to its known end.
            let taken = if missing > 1 {
                missing.min(rest.len())
            } else {
                memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)
            };
            // A claim of a large body gets memory only as its bytes come.
            let room = partial.bytes.capacity() - partial.bytes.len();
            if taken > room && missing <= partial.bytes.len().max(taken) {
                partial.bytes.reserve_exact(missing.max(taken));
            }
            partial.bytes.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            let connection = &mut self.local.connections[slot as usize];
            match client_op::parse(&partial.bytes, &connection.limits) {
                Ok(Step::Incomplete { needed }) => {
                    partial.needed = needed;
                    if rest.is_empty() {
                        connection.partial = Some(partial);
                        return rest;
                    }
                }
                Ok(Step::Op { consumed, .. }) => {
                    debug_assert_eq!(consumed, partial.bytes.len(), "one operation at a time");
                    self.handle_whole_partial(slot, partial.bytes);
                    return rest;
                }
                Err(error) => {
                    self.handle_parse_error(slot, error);
                    return &[];
                }
            }
        }
    }

    /// An operation that came in parts is whole. A large body in it is shared as it lies there.
    fn handle_whole_partial(&mut self, slot: u32, bytes: Vec<u8>) {
        let limits = self.local.connections[slot as usize].limits;
        let whole = Bytes::from(bytes);
        if let Ok(Step::Op { op, .. }) = client_op::parse(&whole, &limits) {
            let shared = match &op {
                ClientOp::Publish(publish)
                    if publish.framed.len() >= delivery::SHARED_FROM_BYTES =>
                {
                    Some(whole.slice_ref(publish.framed))
                }
                _ => None,
            };
            self.handle_operation(slot, op, shared.as_ref());
        }
    }

    #[inline(never)]
    fn handle_operation(&mut self, slot: u32, op: ClientOp<'_>, shared: Option<&Bytes>) {
        if self.trace {
            self.trace_operation(slot, &op);
        }
        match op {
            ClientOp::Publish(publish) => self.handle_publish(slot, &publish, shared),
            ClientOp::Connect(json) => self.handle_connect(slot, json),
            ClientOp::Subscribe { subject, queue, sid } => {
                self.handle_subscribe(slot, subject, queue, sid);
            }
            ClientOp::Unsubscribe { sid, max } => self.handle_unsubscribe(slot, sid, max),
            ClientOp::Ping => self.handle_ping(slot),
            ClientOp::Pong => self.handle_pong(slot),
            ClientOp::Ignored => {}
        }
    }

    #[inline]
    fn handle_publish(&mut self, slot: u32, publish: &Publish<'_>, shared: Option<&Bytes>) {
        let connection = &mut self.local.connections[slot as usize];
        debug_assert!(
            connection.stage != Stage::Unauthenticated,
            "only CONNECT is read before that"
        );
        let size = (publish.framed.len() - 2) as u64;
        connection.traffic.in_messages += 1;
        connection.traffic.in_bytes += size;
        let agreed = connection.agreed;
        let account = connection.account;
        let origin = ConnectionId { peer: self.local.me, slot, generation: connection.generation };
        self.local.counters.in_messages += 1;
        self.local.counters.in_bytes += size;
        if (agreed.pedantic || agreed.verbose || operations::may_be_reserved(publish))
            && !self.check_publish(slot, publish)
        {
            return;
        }
        let message = Message {
            account,
            origin,
            via: None,
            subject: publish.subject,
            reply: publish.reply,
            header_size: publish.headers.len(),
            framed: publish.framed,
            shared,
        };
        let reached = self.route(message);
        if !reached
            && agreed.no_responders
            && let Some(reply) = publish.reply
        {
            self.answer_no_responders(slot, publish.subject, reply);
        }
        if !self.local.aftermath.is_empty() {
            self.settle(origin);
        }
        if self.outboxes.is_batch_large() {
            self.push_mail();
        }
    }

    /// Brings a message to everybody who wants it, and tells whether there was anybody.
    #[inline]
    fn route(&mut self, message: Message<'_>) -> bool {
        let Self { caches, local, outboxes, shared, .. } = self;
        let account = message.account as usize;
        let me = local.me;
        let routes =
            caches[account].routes(me, &shared.accounts[account].interest, message.subject);
        if routes.is_empty() {
            return false;
        }
        let receivers =
            routes.local.len() + routes.queues.len() + routes.peers.count_ones() as usize;
        let mut place = None;
        let message = if Local::is_shared(message.framed.len(), receivers) {
            delivery::share(message, &mut place)
        } else {
            // One receiver of a body that lies in the chunk, or in a small buffer: a copy is
            // cheaper than a count of references.
            let shared =
                message.shared.filter(|shared| shared.len() >= delivery::ALWAYS_SHARED_FROM_BYTES);
            Message { shared, ..message }
        };
        local.heads.prepare(&message);
        let mut reached = routes.peers != 0;
        for slot in &routes.local {
            reached |= local.deliver(*slot, None, &message);
        }
        for queue in &routes.queues {
            reached |= local.deliver_to_queue(queue, &message, |peer, target| {
                outboxes.add(peer, &message, target, &queue.name, 0);
            });
        }
        let mut peers = routes.peers;
        while peers != 0 {
            let peer = PeerId::try_from(peers.trailing_zeros()).expect("a bit of 64");
            peers &= peers - 1;
            outboxes.add(peer, &message, Target::Plain, b"", 0);
        }
        reached
    }

    fn handle_batch(&mut self, batch: &Batch) {
        if let Some(round) = batch.round() {
            self.shared.await_round(round);
        }
        let inbox_bytes = &self.shared.peers[usize::from(self.local.me)].inbox_bytes;
        inbox_bytes.fetch_sub(batch.size(), Ordering::Relaxed);
        for delivered in batch.iter() {
            let message = delivered.message;
            self.local.heads.prepare(&message);
            match delivered.target {
                Target::Plain => {
                    let Self { caches, local, shared, .. } = self;
                    let account = message.account as usize;
                    let interest = &shared.accounts[account].interest;
                    let routes = caches[account].routes(local.me, interest, message.routed_by());
                    for slot in &routes.local {
                        local.deliver(*slot, None, &message);
                    }
                }
                Target::Queue(member) => {
                    if !self.local.deliver(member.slot, Some(member.generation), &message) {
                        self.deliver_to_another_member(
                            &message,
                            delivered.queue,
                            member,
                            delivered.hops,
                        );
                    }
                }
            }
            if !self.local.aftermath.is_empty() {
                self.settle(message.origin);
            }
        }
    }

    /// The member of a queue group that was chosen elsewhere is gone: another one gets the message.
    fn deliver_to_another_member(
        &mut self,
        message: &Message<'_>,
        queue_name: &[u8],
        gone: SubscriberId,
        hops: u8,
    ) {
        let Self { caches, local, outboxes, shared, .. } = self;
        let account = message.account as usize;
        let interest = &shared.accounts[account].interest;
        let routes = caches[account].routes(local.me, interest, message.routed_by());
        let Some(queue) = routes.queues.iter().find(|queue| *queue.name == *queue_name) else {
            return;
        };
        let me = local.me;
        let start = local.random_below(queue.members.len());
        for member in queue.members[start..].iter().chain(&queue.members[..start]) {
            if *member == gone {
                continue;
            }
            if member.peer == me {
                if local.deliver(member.slot, Some(member.generation), message) {
                    return;
                }
            } else if hops < HOPS_MAX {
                let target = Target::Queue(*member);
                outboxes.add(member.peer, message, target, queue_name, hops + 1);
                return;
            }
        }
    }

    /// Does what delivering a message of `origin` brought about.
    fn settle(&mut self, origin: ConnectionId) {
        while let Some(slot) = self.local.aftermath.finished.pop() {
            self.remove_subscription(slot);
        }
        while let Some(slot) = self.local.aftermath.slow.pop() {
            // An answer that a timer wrote is settled later, when another one may be in its place.
            let connection = self.local.connections.get(slot as usize);
            if connection.is_some_and(|one| one.pending() > self.local.pending_bytes_max) {
                self.close_slow(slot, CloseReason::SlowConsumerPendingBytes);
            }
        }
        if let Some(behind) = self.local.aftermath.behind.take() {
            let now = self.local.now;
            let paused = if origin.peer == self.local.me {
                let generation = self.generation(behind.slot);
                let subscriber = generation.map(|generation| (behind.slot, generation));
                self.pause(origin, subscriber, behind.near_limit)
            } else if self.asked_to_pause == Some((origin, now)) {
                // Once a tick is enough, and a batch has many messages of one publisher.
                false
            } else {
                self.asked_to_pause = Some((origin, now));
                let mail = Mail::Pause { connection: origin, near_limit: behind.near_limit };
                self.outboxes.send(origin.peer, mail);
                true
            };
            if paused
                && let Some(subscriber) = self.local.connections.get_mut(behind.slot as usize)
                && subscriber.closing.is_none()
            {
                subscriber.stalls += 1;
                self.local.counters.stalls += 1;
            }
        }
    }

    /// Does not read a publisher for a moment, because a subscriber is behind. Returns whether
    /// that is news.
    fn pause(
        &mut self,
        publisher: ConnectionId,
        behind: Option<(u32, u32)>,
        near_limit: bool,
    ) -> bool {
        let now = self.local.now;
        let Some(connection) = self.local.connection(publisher) else { return false };
        if connection.closing.is_some()
            || connection.paused.is_some_and(|pause| pause.sparing || !near_limit)
        {
            return false;
        }
        let longest = if near_limit { PAUSE_NEAR_LIMIT_MAX } else { PAUSE_MAX };
        connection.paused = Some(Pause { until: now + longest, behind, sparing: near_limit });
        true
    }

    /// Tells a publisher that nobody listens, on its own subscription to the reply. As in
    /// nats-server that is no delivery: it is counted nowhere.
    fn answer_no_responders(&mut self, slot: u32, subject: &[u8], reply: &[u8]) {
        let Self { caches, local, shared, .. } = self;
        let account = local.connections[slot as usize].account as usize;
        let interest = &shared.accounts[account].interest;
        let routes = caches[account].routes(local.me, interest, reply);
        let own = routes.local.iter().find_map(|place| {
            local.subscriptions.get(*place).filter(|subscription| subscription.connection == slot)
        });
        let Some(subscription) = own else { return };
        let sid = subscription.sid.clone();
        let size_max = reply.len() + sid.len() + subject.len() + 96;
        local.write(slot, size_max, |out| encode::no_responders(out, reply, &sid, subject));
    }

    fn handle_parse_error(&mut self, slot: u32, error: ParseError) {
        let (reason, text) = match error {
            ParseError::UnknownOperation => {
                (CloseReason::ProtocolViolation, Some(error_text::UNKNOWN_OPERATION))
            }
            ParseError::Arguments(_) => (CloseReason::ProtocolViolation, None),
            ParseError::ControlLineTooLong(_) => {
                (CloseReason::MaximumControlLineExceeded, Some(error_text::CONTROL_LINE_EXCEEDED))
            }
            ParseError::PayloadTooLarge(_) => {
                (CloseReason::MaximumPayloadExceeded, Some(error_text::PAYLOAD_VIOLATION))
            }
            ParseError::HeadersNotSupported => (CloseReason::ProtocolViolation, None),
            ParseError::ClientError => (CloseReason::ParseError, None),
        };
        tracing::error!("{} - {error}", self.label(slot));
        self.close(slot, reason, text);
    }

    /// Ends a connection: its subscriptions go at once, and the driver hears of it.
    fn close(&mut self, slot: u32, reason: CloseReason, text: Option<&str>) {
        let Some(connection) = self.local.connections.get_mut(slot as usize) else { return };
        if connection.closing.is_some() {
            return;
        }
        if let Some(text) = text {
            if self.trace {
                self.trace_answer(slot, &format!("-ERR {text}"));
            }
            self.local.write(slot, text.len() + 16, |out| encode::error(out, text));
        }
        self.ended.push(self.report_end(slot, reason));
        self.remove_all_subscriptions(slot);
        let connection = &mut self.local.connections[slot as usize];
        connection.closing = Some(reason);
        connection.partial = None;
        connection.paused = None;
        if reason.drops_pending()
            && let Some(outgoing) = connection.outgoing.take()
        {
            self.local.pool.give(outgoing);
        }
        self.closing.push(slot);
        tracing::debug!("{} - Client connection closed: {}", self.label(slot), reason.as_str());
    }

    fn close_slow(&mut self, slot: u32, reason: CloseReason) {
        let Some(connection) = self.local.connections.get(slot as usize) else { return };
        if connection.closing.is_some() {
            return;
        }
        let pending = connection.pending();
        self.local.counters.slow_consumers += 1;
        match reason {
            CloseReason::SlowConsumerWriteDeadline => tracing::info!(
                "{} - Slow Consumer Detected: WriteDeadline of {:?} exceeded with {pending} total bytes.",
                self.label(slot),
                self.live.options.timers.write_deadline,
            ),
            _ => tracing::info!(
                "{} - Slow Consumer Detected: MaxPending of {} Exceeded",
                self.label(slot),
                self.local.pending_bytes_max,
            ),
        }
        self.close(slot, reason, None);
    }

    /// How log lines name a connection.
    fn label(&self, slot: u32) -> String {
        match self.local.connections.get(slot as usize) {
            Some(connection) => format!("{} - cid:{}", connection.address, connection.cid),
            None => "unknown".to_owned(),
        }
    }
}

fn slot_number(slot: usize) -> u32 {
    u32::try_from(slot).expect("file descriptors end before that")
}
