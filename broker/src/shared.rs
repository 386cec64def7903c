//! What all peers of one server see: its settings, its identity, the interest, the inboxes, the
//! counters. Nothing here is locked on the path of a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use fulmar_protocol::info::Info;

use crate::config::Options;
use crate::mesh::inbox::Inbox;
use crate::mesh::interest::Interest;
use crate::reactor::{Mail, PollWaker};
use crate::stats::ReactorStats;

/// The inbox of a reactor.
pub type ReactorInbox = Inbox<Mail, PollWaker>;

/// What all peers see.
pub struct Shared {
    /// The settings.
    pub options: Options,
    /// What INFO says to everybody; a connection adds its own number and address.
    pub info: Info,
    /// The accounts, by the number connections carry.
    pub accounts: Vec<Account>,
    /// The reactors, by their number.
    pub peers: Vec<Peer>,
    /// Connections that were accepted and are not closed yet.
    pub connection_count: AtomicUsize,
    /// The server is about to stop and says so to whoever comes.
    pub lame_duck: AtomicBool,
    /// When the server started.
    pub started: SystemTime,
    /// The same moment, to reckon with.
    pub started_at: Instant,
}

/// An account: a world of subjects.
pub struct Account {
    /// Its name.
    pub name: String,
    /// Who wants which subject in it.
    pub interest: Interest,
}

/// What others see of a reactor.
pub struct Peer {
    /// Its inbox.
    pub inbox: Arc<ReactorInbox>,
    /// Bytes of messages in its inbox.
    pub inbox_bytes: Arc<AtomicUsize>,
    /// Rounds of pushes to several peers that it has finished; see
    /// [`Round`](crate::mesh::mail::Round).
    pub rounds_pushed: AtomicU64,
    /// Its counters.
    pub stats: ReactorStats,
}

impl Shared {
    /// The account of clients for whom nothing else is configured.
    pub const GLOBAL_ACCOUNT: &'static str = "$G";

    /// Whether one more connection is allowed, which then counts.
    pub fn admit(&self) -> bool {
        let max = self.options.limits.connections_max;
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
