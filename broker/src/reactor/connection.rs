//! One client connection without its socket: what it agreed on, what it has, what it did.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fulmar_protocol::client_op;
use fulmar_protocol::connect::Connect;

use super::close_reason::CloseReason;
use super::outgoing::{Outgoing, Pool};
use super::subscriptions::Sids;

/// A client connection.
#[derive(Debug)]
pub struct Connection {
    /// Tells it from earlier ones in the same place.
    pub generation: u32,
    /// Its number in the whole server, never used again.
    pub cid: u64,
    /// Where the client is.
    pub address: SocketAddr,
    /// The account it is bound to.
    pub account: u32,
    /// What CONNECT agreed on.
    pub agreed: Agreed,
    /// CONNECT's `protocol`.
    pub protocol: i64,
    /// How far the handshake is.
    pub stage: Stage,
    /// What it may send.
    pub limits: client_op::Limits,
    /// Why it is ending, once it is.
    pub closing: Option<CloseReason>,
    /// The beginning of an operation whose rest has not come yet.
    pub partial: Option<Box<Partial>>,
    /// What waits to be written.
    pub outgoing: Option<Box<Outgoing>>,
    /// Its subscriptions.
    pub sids: Sids,
    /// Who it says it is.
    pub identity: Option<Box<Identity>>,
    /// When it was accepted.
    pub started: Instant,
    /// When something came from it last, or went to it.
    pub last_activity: Instant,
    /// When something came from it last.
    pub last_received: Instant,
    /// The round trip to it: from accept to CONNECT at first, then from PING to PONG.
    pub rtt: Option<Duration>,
    /// When a PONG last measured it.
    pub rtt_measured_at: Option<Instant>,
    /// When the oldest unanswered PING went out.
    pub ping_sent: Option<Instant>,
    /// How many PINGs are unanswered.
    pub pings_unanswered: u32,
    /// When the next PING is due.
    pub ping_due: Instant,
    /// When the earliest timer that is set for it fires.
    pub timer_at: Option<Instant>,
    /// Since when its socket takes nothing, while it does not.
    pub blocked_since: Option<Instant>,
    /// When its socket took something last.
    pub written_at: Instant,
    /// Not to be read before: a subscriber of its messages is behind.
    pub paused: Option<Pause>,
    /// Messages and bytes of bodies from it and to it.
    pub traffic: Traffic,
    /// How often a publisher was paused because this client was behind.
    pub stalls: u64,
}

/// What CONNECT agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// `+OK` after each operation.
    pub verbose: bool,
    /// Subjects of messages are checked.
    pub pedantic: bool,
    /// Its own messages come back to it.
    pub echo: bool,
    /// It understands headers.
    pub headers: bool,
    /// It wants to hear that nobody listens.
    pub no_responders: bool,
    /// It understands INFO at any time.
    pub asynchronous_info: bool,
}

impl Default for Agreed {
    /// Before CONNECT: what an empty CONNECT means.
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            asynchronous_info: false,
        }
    }
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Credentials are needed and were not given yet.
    Unauthenticated,
    /// What it presented is being compared; nothing more is read meanwhile.
    Verifying,
    /// It may work.
    Ready,
    /// It has sent its first PING: it may be sent INFO at any time.
    Pinged,
}

impl Stage {
    /// Whether it was let in.
    #[inline]
    pub fn may_work(self) -> bool {
        matches!(self, Self::Ready | Self::Pinged)
    }
}

/// The beginning of an operation.
#[derive(Debug, Default)]
pub struct Partial {
    /// What came.
    pub bytes: Vec<u8>,
    /// How many bytes it has at least.
    pub needed: usize,
}

/// Who a client says it is.
#[derive(Debug, Default)]
pub struct Identity {
    /// CONNECT's `name`.
    pub name: Box<str>,
    /// CONNECT's `lang`.
    pub lang: Box<str>,
    /// CONNECT's `version`.
    pub version: Box<str>,
    /// The user it was let in as.
    pub user: Box<str>,
}

/// Messages and bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages from the client.
    pub in_messages: u64,
    /// Bytes of their headers and payloads.
    pub in_bytes: u64,
    /// Messages to the client.
    pub out_messages: u64,
    /// Bytes of their headers and payloads.
    pub out_bytes: u64,
}

/// Until when a publisher is not read.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// At the latest until then.
    pub until: Instant,
    /// Until this local connection has caught up; `None` for one of another reactor.
    pub behind: Option<(u32, u32)>,
    /// What is read then is little: the subscriber is close to its limit.
    pub sparing: bool,
}

impl Connection {
    /// A connection that was accepted just now.
    pub fn new(
        generation: u32,
        cid: u64,
        address: SocketAddr,
        stage: Stage,
        limits: client_op::Limits,
        now: Instant,
    ) -> Self {
        Self {
            generation,
            cid,
            address,
            account: 0,
            agreed: Agreed::default(),
            protocol: 0,
            stage,
            limits,
            closing: None,
            partial: None,
            outgoing: None,
            sids: Sids::default(),
            identity: None,
            started: now,
            last_activity: now,
            last_received: now,
            rtt: None,
            rtt_measured_at: None,
            ping_sent: None,
            pings_unanswered: 0,
            ping_due: now,
            timer_at: None,
            blocked_since: None,
            written_at: now,
            paused: None,
            traffic: Traffic::default(),
            stalls: 0,
        }
    }

    /// What the CONNECTs of this client add up to, without its credentials, which are not kept.
    pub fn connect_so_far(&self) -> Connect {
        let Some(identity) = &self.identity else { return Connect::default() };
        Connect {
            verbose: self.agreed.verbose,
            pedantic: self.agreed.pedantic,
            name: identity.name.to_string(),
            lang: identity.lang.to_string(),
            version: identity.version.to_string(),
            protocol: self.protocol,
            echo: self.agreed.echo,
            headers: self.agreed.headers,
            no_responders: self.agreed.no_responders,
            ..Connect::default()
        }
    }

    /// Bytes that wait to be written.
    pub fn pending(&self) -> usize {
        self.outgoing.as_ref().map_or(0, |outgoing| outgoing.pending())
    }

    /// The queue of what waits, and whether it was just made: then the connection has to be put
    /// on the list of those to flush.
    #[inline]
    pub fn outgoing(&mut self, pool: &mut Pool) -> (&mut Outgoing, bool) {
        let is_new = self.outgoing.is_none();
        (self.outgoing.get_or_insert_with(|| pool.take()), is_new)
    }
}
