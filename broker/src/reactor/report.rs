//! What a reactor tells about its connections and subscriptions, a page at a time so that a
//! question never holds up messages for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Traffic};
use super::subscriptions::{Sid, Subscription};
use super::{CloseReason, Reactor, slot_number};

/// Entries of a page.
const PAGE_ENTRIES: usize = 512;

/// Where an answer goes.
pub struct Answer<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Answer<T> {
    /// An answer that is given to `receive`, which must not block.
    pub fn new(receive: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(receive))
    }

    /// Gives the answer.
    pub fn give(self, answer: T) {
        (self.0)(answer);
    }
}

/// Some entries, and where the next ones begin.
#[derive(Debug)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
}

/// What is told about a connection.
#[derive(Clone, Debug)]
pub struct ConnectionReport {
    /// Its number.
    pub cid: u64,
    /// Where the client is.
    pub address: SocketAddr,
    /// The number of its account.
    pub account: u32,
    /// When it was accepted.
    pub started: Instant,
    /// When something went either way last.
    pub last_activity: Instant,
    /// Why it ended, if it did; `last_activity` is when.
    pub ended: Option<CloseReason>,
    /// The round trip to it, once measured.
    pub rtt: Option<Duration>,
    /// Bytes that wait for it.
    pub pending_bytes: usize,
    /// Messages and bytes.
    pub traffic: Traffic,
    /// How often it was paused.
    pub stalls: u64,
    /// How many subscriptions it has.
    pub subscription_count: usize,
    /// The name it gave itself.
    pub name: Box<str>,
    /// The language of its library.
    pub lang: Box<str>,
    /// The version of its library.
    pub version: Box<str>,
    /// The user it was let in as.
    pub user: Box<str>,
    /// Its subscriptions, if they were asked for.
    pub subscriptions: Vec<SubscriptionReport>,
}

/// What is told about a subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionReport {
    /// The number of its account.
    pub account: u32,
    /// What it asks for.
    pub subject: Arc<[u8]>,
    /// Its queue group.
    pub queue: Option<Arc<[u8]>>,
    /// The identifier the client chose.
    pub sid: Sid,
    /// Messages delivered so far.
    pub delivered: u64,
    /// Deliveries after which it ends; 0 is never.
    pub max: u64,
    /// The connection it belongs to.
    pub cid: u64,
}

impl Reactor {
    pub(super) fn report_connections(
        &self,
        from: u32,
        ended: bool,
        subscriptions: bool,
    ) -> Page<ConnectionReport> {
        let from = from as usize;
        if ended {
            let entries: Vec<_> =
                self.closed.iter().skip(from).take(PAGE_ENTRIES).cloned().collect();
            let next = from + entries.len();
            let next = (next < self.closed.len()).then(|| slot_number(next));
            return Page { entries, next };
        }
        let mut entries = Vec::new();
        for slot in from..self.local.connections.capacity() {
            if entries.len() == PAGE_ENTRIES {
                return Page { entries, next: Some(slot_number(slot)) };
            }
            if let Some(connection) = self.local.connections.get(slot) {
                entries.push(self.report_connection(connection, subscriptions));
            }
        }
        Page { entries, next: None }
    }

    pub(super) fn report_subscriptions(&self, from: u32) -> Page<SubscriptionReport> {
        let mut entries = Vec::new();
        for (place, subscription) in self.local.subscriptions.iter_from(from) {
            if entries.len() == PAGE_ENTRIES {
                return Page { entries, next: Some(place) };
            }
            entries.extend(self.report_subscription(subscription));
        }
        Page { entries, next: None }
    }

    pub(super) fn report_connection(
        &self,
        connection: &Connection,
        subscriptions: bool,
    ) -> ConnectionReport {
        let identity = connection.identity.as_deref();
        let text = |read: fn(&super::connection::Identity) -> &str| -> Box<str> {
            identity.map(read).unwrap_or_default().into()
        };
        ConnectionReport {
            cid: connection.cid,
            address: connection.address,
            account: connection.account,
            started: connection.started,
            last_activity: connection.last_activity,
            ended: connection.closing,
            rtt: connection.rtt,
            pending_bytes: connection.pending(),
            traffic: connection.traffic,
            stalls: connection.stalls,
            subscription_count: connection.sids.count(),
            name: text(|identity| &identity.name),
            lang: text(|identity| &identity.lang),
            version: text(|identity| &identity.version),
            user: text(|identity| &identity.user),
            subscriptions: if subscriptions {
                connection
                    .sids
                    .iter()
                    .filter_map(|place| {
                        self.report_subscription(self.local.subscriptions.get(place)?)
                    })
                    .collect()
            } else {
                Vec::new()
            },
        }
    }

    fn report_subscription(&self, subscription: &Subscription) -> Option<SubscriptionReport> {
        let connection = self.local.connections.get(subscription.connection as usize)?;
        Some(SubscriptionReport {
            account: connection.account,
            subject: subscription.filter.clone(),
            queue: subscription.queue.clone(),
            sid: subscription.sid.clone(),
            delivered: subscription.delivered,
            max: subscription.max,
            cid: connection.cid,
        })
    }
}
