//! What all peers of one server see: its settings, its identity, the interest, the inboxes, the
//! counters. Nothing here is locked on the path of a message.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use fulmar_protocol::info::Info;
use parking_lot::RwLock;

use crate::config::Options;
use crate::mesh::inbox::Inbox;
use crate::mesh::interest::Interest;
use crate::mesh::interest::PeerId;
use crate::mesh::mail::{Outboxes, Round};
use crate::mesh::waker::PeerWaker;
use crate::reactor::Mail;
use crate::stats::ReactorStats;
use crate::verifier::Verifier;

/// The inbox of a peer.
pub type PeerInbox = Inbox<Mail, PeerWaker>;

/// What all peers see.
pub struct Shared {
    /// The settings, replaced as a whole by a reload. Reactors keep what they were told last and
    /// never look here.
    live: RwLock<Arc<Live>>,
    /// The accounts, by the number connections carry.
    pub accounts: Vec<Account>,
    /// The reactors, then the shard if there is one, by their number.
    pub peers: Vec<Peer>,
    reactor_count: usize,
    /// Compares passwords with hashes, where there are any.
    verifier: OnceLock<Verifier>,
    /// Connections that were accepted and are not closed yet.
    pub connection_count: AtomicUsize,
    /// The server is about to stop and says so to whoever comes.
    pub lame_duck: AtomicBool,
    /// When the server started.
    pub started: SystemTime,
    /// The same moment, to reckon with.
    pub started_at: Instant,
}

/// What a reload can change.
#[derive(Clone, Debug)]
pub struct Live {
    /// The settings.
    pub options: Options,
    /// What INFO says to everybody; a connection adds its own number and address.
    pub info: Info,
    /// When they were read.
    pub loaded: SystemTime,
}

/// An account: a world of subjects.
pub struct Account {
    /// Its name.
    pub name: String,
    /// Who wants which subject in it.
    pub interest: Interest,
}

/// What others see of a peer.
pub struct Peer {
    /// Its inbox.
    pub inbox: Arc<PeerInbox>,
    /// Bytes of messages in its inbox.
    pub inbox_bytes: Arc<AtomicUsize>,
    /// Rounds of pushes to several peers that it has finished; see
    /// [`Round`](crate::mesh::mail::Round).
    pub rounds_pushed: Arc<AtomicU64>,
    /// Its counters.
    pub stats: ReactorStats,
}

impl Shared {
    /// The account of clients for whom nothing else is configured.
    pub const GLOBAL_ACCOUNT: &'static str = "$G";

    /// What the peers see whose wakers these are, those of reactors first, before anything has
    /// happened.
    ///
    /// # Errors
    ///
    /// The system has no threads left to compare passwords with their hashes.
    pub fn new(options: Options, info: Info, wakers: Vec<PeerWaker>) -> io::Result<Self> {
        let is_reactor = |waker: &&PeerWaker| matches!(waker, PeerWaker::Poll(_));
        let reactor_count = wakers.iter().take_while(is_reactor).count();
        let peers: Vec<_> = wakers
            .into_iter()
            .map(|waker| Peer {
                inbox: Arc::new(Inbox::new(waker)),
                inbox_bytes: Arc::new(AtomicUsize::new(0)),
                rounds_pushed: Arc::new(AtomicU64::new(0)),
                stats: ReactorStats::default(),
            })
            .collect();
        let account = Account { name: Self::GLOBAL_ACCOUNT.to_owned(), interest: Interest::new() };
        let needs_verifier = options.authentication.has_hashes();
        let live = Live { options, info, loaded: SystemTime::now() };
        let shared = Self {
            live: RwLock::new(Arc::new(live)),
            accounts: vec![account],
            peers,
            reactor_count,
            verifier: OnceLock::new(),
            connection_count: AtomicUsize::new(0),
            lame_duck: AtomicBool::new(false),
            started: SystemTime::now(),
            started_at: Instant::now(),
        };
        if needs_verifier {
            shared.start_verifier()?;
        }
        Ok(shared)
    }

    /// The settings now.
    pub fn live(&self) -> Arc<Live> {
        self.live.read().clone()
    }

    /// Replaces the settings, here and in all reactors.
    ///
    /// # Errors
    ///
    /// The system has no threads left to compare passwords with their hashes; nothing changes.
    pub fn reload(&self, live: Live) -> io::Result<()> {
        if live.options.authentication.has_hashes() {
            self.start_verifier()?;
        }
        let live = Arc::new(live);
        *self.live.write() = live.clone();
        for peer in &self.peers {
            peer.inbox.push(Mail::Reload(live.clone()));
        }
        Ok(())
    }

    /// The reactors, by their number.
    pub fn reactors(&self) -> &[Peer] {
        &self.peers[..self.reactor_count]
    }

    /// The outboxes of the peer `me` to all others.
    pub fn outboxes(&self, me: PeerId) -> Outboxes<Mail, PeerWaker> {
        let rounds_pushed = self.peers[usize::from(me)].rounds_pushed.clone();
        let to = self.peers.iter().map(|peer| (peer.inbox.clone(), peer.inbox_bytes.clone()));
        Outboxes::new(me, rounds_pushed, to)
    }

    /// Waits until all receivers of `round` have their batches. Its sender is between two pushes
    /// and waits for nobody, so this ends, nearly always at once.
    pub fn await_round(&self, round: Round) {
        let pushed = &self.peers[usize::from(round.peer)].rounds_pushed;
        while pushed.load(Ordering::Acquire) < round.number {
            std::thread::yield_now();
        }
    }

    /// What compares passwords with hashes, if there are any.
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        self.verifier.get()
    }

    fn start_verifier(&self) -> io::Result<()> {
        if self.verifier.get().is_none() {
            let inboxes: Vec<_> = self.reactors().iter().map(|peer| peer.inbox.clone()).collect();
            // One caller at a time: the start, then the reloads, which come one by one.
            let _ = self.verifier.set(Verifier::start(&inboxes)?);
        }
        Ok(())
    }

    /// Whether one more connection is allowed, which then counts.
    pub fn admit(&self) -> bool {
        let max = self.live.read().options.limits.connections_max;
        self.connection_count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < max).then_some(count + 1)
            })
            .is_ok()
    }

    /// Takes back what [`Shared::admit`] counted.
    pub fn dismiss(&self) {
        self.connection_count.fetch_sub(1, Ordering::Relaxed);
    }
}
