//! What a reactor tells about its connections and subscriptions, a page at a time so that a
//! question never holds up messages for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Identity, Traffic};
use super::subscriptions::{Sid, Subscription};
use super::{CloseReason, Reactor, ended};

/// Entries of a page: what is copied at once. 128 connections take some 25 µs.
const PAGE_ENTRIES: usize = 128;
/// Places that are looked at for a page, used or not.
const PAGE_PLACES: usize = 4096;

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
    pub next: Option<u64>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Why.
    pub reason: CloseReason,
    /// When.
    pub at: Instant,
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
    /// How it ended, if it did.
    pub end: Option<End>,
    /// The round trip to it, once known.
    pub rtt: Option<Duration>,
    /// Bytes that wait for it.
    pub pending_bytes: usize,
    /// Messages and bytes.
    pub traffic: Traffic,
    /// How often a publisher was paused because this client was behind.
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
    /// Its subscriptions when it ended. They are not told of an open connection, which may have
    /// any number of them, nor of an ended one that had too many.
    pub subscriptions: Arc<[SubscriptionReport]>,
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

/// What a reactor holds: all of it is given back when the last client has gone, but for a bounded
/// pool of buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Connections, those included that ended and are not forgotten.
    pub connections: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Timers. Those of a connection that is gone stay until they are due.
    pub timers: usize,
    /// Memory of operations of which only the beginning has come.
    pub partial_bytes: usize,
    /// Bytes that wait to be written.
    pub pending_bytes: usize,
    /// Memory of buffers that wait to be used again.
    pub pooled_bytes: usize,
}

impl Reactor {
    /// What it holds now.
    pub fn holdings(&self) -> Holdings {
        let connections = || self.local.connections.iter().map(|(_, connection)| connection);
        Holdings {
            connections: connections().count(),
            subscriptions: self.local.subscriptions.count(),
            timers: self.timers.count(),
            partial_bytes: connections()
                .filter_map(|connection| connection.partial.as_ref())
                .map(|partial| partial.bytes.capacity())
                .sum(),
            pending_bytes: connections().map(|connection| connection.pending()).sum(),
            pooled_bytes: self.local.pool.size(),
        }
    }

    pub(super) fn report_connections(&self, from: u64, ended: bool) -> Page<ConnectionReport> {
        if ended {
            let (entries, next) = self.ended.page(from, PAGE_ENTRIES);
            return Page { entries, next };
        }
        page(from, self.local.connections.capacity(), |slot| {
            let connection = self.local.connections.get(slot)?;
            // One that is closing was told of as ended already.
            connection.closing.is_none().then(|| report_connection(connection))
        })
    }

    pub(super) fn report_subscriptions(&self, from: u64) -> Page<SubscriptionReport> {
        page(from, self.local.subscriptions.capacity(), |slot| {
            let slot = u32::try_from(slot).ok()?;
            self.report_subscription(self.local.subscriptions.get(slot)?)
        })
    }

    /// What is remembered of the connection at `slot`, which ends now.
    pub(super) fn report_end(&self, slot: u32, reason: CloseReason) -> ConnectionReport {
        let connection = &self.local.connections[slot as usize];
        let mut report = report_connection(connection);
        report.end = Some(End { reason, at: self.local.now });
        if connection.sids.count() <= ended::LISTED_SUBSCRIPTIONS_MAX {
            report.subscriptions = connection
                .sids
                .iter()
                .filter_map(|place| self.report_subscription(self.local.subscriptions.get(place)?))
                .collect();
        }
        report
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

fn report_connection(connection: &Connection) -> ConnectionReport {
    let identity = connection.identity.as_deref();
    let text =
        |read: fn(&Identity) -> &str| -> Box<str> { identity.map(read).unwrap_or_default().into() };
    ConnectionReport {
        cid: connection.cid,
        address: connection.address,
        account: connection.account,
        started: connection.started,
        last_activity: connection.last_activity,
        end: None,
        rtt: connection.rtt,
        pending_bytes: connection.pending(),
        traffic: connection.traffic,
        stalls: connection.stalls,
        subscription_count: connection.sids.count(),
        name: text(|identity| &identity.name),
        lang: text(|identity| &identity.lang),
        version: text(|identity| &identity.version),
        user: text(|identity| &identity.user),
        subscriptions: Arc::from([]),
    }
}

/// What `entry` has at the places from `from` on, up to a full page.
fn page<T>(from: u64, capacity: usize, entry: impl Fn(usize) -> Option<T>) -> Page<T> {
    let mut place = usize::try_from(from).unwrap_or(usize::MAX).min(capacity);
    let end = place.saturating_add(PAGE_PLACES).min(capacity);
    let mut entries = Vec::new();
    while place < end && entries.len() < PAGE_ENTRIES {
        entries.extend(entry(place));
        place += 1;
    }
    Page { entries, next: (place < capacity).then_some(place as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_and_together_are_everything() {
        let check = |capacity: usize, is_used: fn(usize) -> bool| {
            let (mut seen, mut from, mut pages) = (Vec::new(), Some(0), 0);
            while let Some(place) = from {
                let page = page(place, capacity, |place| is_used(place).then_some(place));
                assert!(page.entries.len() <= PAGE_ENTRIES);
                assert!(page.next.is_none_or(|next| next - place <= PAGE_PLACES as u64));
                seen.extend(page.entries);
                from = page.next;
                pages += 1;
            }
            let expected: Vec<_> = (0..capacity).filter(|place| is_used(*place)).collect();
            assert_eq!(seen, expected);
            pages
        };
        assert_eq!(check(0, |_| true), 1);
        assert_eq!(check(PAGE_ENTRIES, |_| true), 1);
        assert_eq!(check(PAGE_ENTRIES + 1, |_| true), 2);
        assert_eq!(check(3 * PAGE_PLACES, |place| place % 5000 == 0), 3);
        check(100_000, |place| place % 3 == 0);
        assert!(page(u64::MAX, 7, Some).next.is_none());
    }
}
