//! Interest: which subscriptions want a subject, for the whole process.
//!
//! One table is shared by all reactors, so that memory for a subscription does not grow with
//! their number. Filters without wildcards are in a `dashmap`, the others in a trie.
//! A reactor reads the table only when its own cache ([`super::interest::Stamp`]) has no valid
//! answer; a valid answer costs three loads of counters that change only with subscriptions.
//!
//! A filter bumps only the counter of the subjects it can meet: its own bucket when it is a
//! literal, that of its first token when that is a literal, and the one for all subjects when
//! it begins with a wildcard. A flood of request inboxes leaves other subjects' answers valid.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::trie::Trie;
use fulmar_protocol::subject::{Filter, tokens};

/// Shards of the literal table: more than there are cores, so that a lock is rarely met.
const SHARD_COUNT: usize = 64;
/// Removals after which the literal table is looked at, whether it should give memory back.
const SHRINK_EVERY: u64 = 64 * 1024;
/// Counters for literal filters; two subjects share one in 4,096 cases.
const LITERAL_BUCKET_COUNT: usize = 4096;
/// Counters for wildcard filters, by first token.
const PREFIX_BUCKET_COUNT: usize = 256;
/// Members of a filter or queue group from which on a member is found by a table and not by
/// looking at each.
const INDEXED_FROM: usize = 32;

/// A reactor, by its number; it is also the bit it has in [`Routes::peers`].
pub type PeerId = u8;
/// Peers there can be: the width of [`Routes::peers`].
pub const PEER_COUNT_MAX: usize = 64;

/// A subscription, for the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriberId {
    /// Its place among the subscriptions of its peer.
    pub slot: u32,
    /// Tells it from earlier ones in the same place.
    pub generation: u16,
    /// The reactor that owns it.
    pub peer: PeerId,
}

/// Which subscriptions want a message, as one reactor sees it.
#[derive(Debug, Default)]
pub struct Routes {
    /// Places of this reactor's own subscriptions outside queue groups.
    pub local: Vec<u32>,
    /// The other reactors that have subscriptions outside queue groups, a bit each.
    pub peers: u64,
    /// Queue groups; one member of each gets the message.
    pub queues: Vec<QueueRoute>,
    /// Subscriptions in all of these, those of other reactors one by one.
    pub fanout: usize,
}

/// The members of one queue group that want a message, over all filters that match.
#[derive(Debug)]
pub struct QueueRoute {
    /// The group's name.
    pub name: Arc<[u8]>,
    /// Its members.
    pub members: Vec<SubscriberId>,
}

impl Routes {
    /// Whether nobody wants the message.
    pub fn is_empty(&self) -> bool {
        self.local.is_empty() && self.peers == 0 && self.queues.is_empty()
    }

    /// How many subscriptions its memory has room for.
    pub fn capacity(&self) -> usize {
        self.local.capacity()
            + self.queues.iter().map(|queue| queue.members.capacity()).sum::<usize>()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.local.clear();
        self.peers = 0;
        self.queues.clear();
        self.fanout = 0;
    }
}

/// What the counters of a subject were when an answer was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    literal: u64,
    prefix: u64,
    all: u64,
}

/// Which counters a subject has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    literal: u16,
    prefix: u16,
}

/// The interest of one account.
pub struct Interest {
    hasher: RandomState,
    literals: DashMap<Arc<[u8]>, Subscribers, RandomState>,
    wildcards: RwLock<Trie<Subscribers>>,
    literal_generations: Box<[AtomicU64]>,
    prefix_generations: Box<[AtomicU64]>,
    all_generation: AtomicU64,
    /// Subscriptions ever added and removed, for `/subsz`.
    inserts: AtomicU64,
    removes: AtomicU64,
}

/// The subscriptions of one filter. Nearly all filters have one.
enum Subscribers {
    One(SubscriberId),
    Many(Box<Groups>),
}

#[derive(Default)]
struct Groups {
    plain: Members,
    queues: Vec<(Arc<[u8]>, Members)>,
}

/// A set of subscriptions that is read as a list.
#[derive(Default)]
struct Members {
    list: Vec<SubscriberId>,
    /// Place in the list, kept from [`INDEXED_FROM`] members on.
    places: Option<Box<HashMap<SubscriberId, usize, RandomState>>>,
}

impl Default for Interest {
    fn default() -> Self {
        Self::new()
    }
}

impl Interest {
    /// No interest.
    pub fn new() -> Self {
        let hasher = RandomState::default();
        let counters = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            literals: DashMap::with_hasher_and_shard_amount(hasher.clone(), SHARD_COUNT),
            hasher,
            wildcards: RwLock::new(Trie::new()),
            literal_generations: counters(LITERAL_BUCKET_COUNT),
            prefix_generations: counters(PREFIX_BUCKET_COUNT),
            all_generation: AtomicU64::new(0),
            inserts: AtomicU64::new(0),
            removes: AtomicU64::new(0),
        }
    }

    /// The hash by which a subject is found here and in the caches.
    pub fn hash(&self, subject: &[u8]) -> u64 {
        self.hasher.hash_one(subject)
    }

    /// The counters of `subject`, whose hash is `hash`.
    pub fn buckets(&self, subject: &[u8], hash: u64) -> Buckets {
        let first = tokens(subject).next().unwrap_or(&[]);
        Buckets {
            literal: bucket(hash, LITERAL_BUCKET_COUNT),
            prefix: bucket(self.hasher.hash_one(first), PREFIX_BUCKET_COUNT),
        }
    }

    /// What the counters say now. Taken before the table is read, so that a change made
    /// meanwhile makes the answer stale at once.
    pub fn stamp(&self, buckets: Buckets) -> Stamp {
        Stamp {
            literal: self.literal_generations[usize::from(buckets.literal)].load(Ordering::SeqCst),
            prefix: self.prefix_generations[usize::from(buckets.prefix)].load(Ordering::SeqCst),
            all: self.all_generation.load(Ordering::SeqCst),
        }
    }

    /// Adds a subscription. When this returns, every reactor's next message meets it.
    pub fn add(
        &self,
        filter: Filter<'_>,
        shared: &Arc<[u8]>,
        queue: Option<&Arc<[u8]>>,
        id: SubscriberId,
    ) {
        debug_assert_eq!(filter.as_bytes(), &**shared);
        if filter.has_wildcard() {
            let mut trie = self.wildcards.write();
            insert(trie.entry(filter.as_bytes()), queue, id);
        } else {
            // A guard ends with its statement: one that is held while the map is touched again is
            // a deadlock.
            self.literals
                .entry(shared.clone())
                .and_modify(|subscribers| subscribers.add(queue, id))
                .or_insert_with(|| Subscribers::new(queue, id));
        }
        self.inserts.fetch_add(1, Ordering::Relaxed);
        self.bump(filter);
    }

    /// Removes a subscription. When this returns, no reactor's next message meets it.
    pub fn remove(&self, filter: Filter<'_>, queue: Option<&[u8]>, id: SubscriberId) {
        if filter.has_wildcard() {
            self.wildcards.write().remove(filter.as_bytes(), |place| {
                if place.as_mut().is_some_and(|subscribers| subscribers.remove(queue, id)) {
                    *place = None;
                }
            });
        } else {
            let bytes = filter.as_bytes();
            self.literals.remove_if_mut(bytes, |_, subscribers| subscribers.remove(queue, id));
        }
        let removes = self.removes.fetch_add(1, Ordering::Relaxed) + 1;
        self.bump(filter);
        if removes.is_multiple_of(SHRINK_EVERY)
            && self.literals.len() * 4 < self.literals.capacity()
        {
            self.literals.shrink_to_fit();
        }
    }

    /// Fills `routes` with those who want a message to `subject`, as the reactor `me` sees it.
    ///
    /// A subject with an empty token meets nobody, as in nats-server.
    pub fn routes(&self, me: PeerId, subject: &[u8], routes: &mut Routes) {
        routes.clear();
        if tokens(subject).any(<[u8]>::is_empty) {
            return;
        }
        if let Some(subscribers) = self.literals.get(subject) {
            subscribers.collect(me, routes);
        }
        self.wildcards
            .read()
            .for_each_match(subject, |subscribers| subscribers.collect(me, routes));
    }

    /// Whether nobody wants anything, and nothing is kept of those who did.
    pub fn is_empty(&self) -> bool {
        self.wildcards.read().is_empty() && self.literals.is_empty()
    }

    /// Subscriptions ever added and removed.
    pub fn changes(&self) -> (u64, u64) {
        (self.inserts.load(Ordering::Relaxed), self.removes.load(Ordering::Relaxed))
    }

    fn bump(&self, filter: Filter<'_>) {
        let bytes = filter.as_bytes();
        let counter = if !filter.has_wildcard() {
            &self.literal_generations[usize::from(bucket(self.hash(bytes), LITERAL_BUCKET_COUNT))]
        } else {
            let first = tokens(bytes).next().unwrap_or(&[]);
            if matches!(first, b"*" | b">") {
                &self.all_generation
            } else {
                let hash = self.hasher.hash_one(first);
                &self.prefix_generations[usize::from(bucket(hash, PREFIX_BUCKET_COUNT))]
            }
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// One of `count` buckets, a power of two of at most 65,536.
fn bucket(hash: u64, count: usize) -> u16 {
    debug_assert!(count.is_power_of_two() && count <= 1 << 16);
    u16::try_from(hash & (count as u64 - 1)).expect("the mask leaves at most 16 bits")
}

fn insert(place: &mut Option<Subscribers>, queue: Option<&Arc<[u8]>>, id: SubscriberId) {
    match place {
        Some(subscribers) => subscribers.add(queue, id),
        None => *place = Some(Subscribers::new(queue, id)),
    }
}

impl Subscribers {
    fn new(queue: Option<&Arc<[u8]>>, id: SubscriberId) -> Self {
        match queue {
            None => Self::One(id),
            Some(_) => {
                let mut groups = Groups::default();
                groups.add(queue, id);
                Self::Many(Box::new(groups))
            }
        }
    }

    fn add(&mut self, queue: Option<&Arc<[u8]>>, id: SubscriberId) {
        if let Self::One(first) = *self {
            let mut groups = Groups::default();
            groups.add(None, first);
            *self = Self::Many(Box::new(groups));
        }
        if let Self::Many(groups) = self {
            groups.add(queue, id);
        }
    }

    /// Removes `id`, and tells whether nobody is left.
    fn remove(&mut self, queue: Option<&[u8]>, id: SubscriberId) -> bool {
        match self {
            Self::One(only) => *only == id,
            Self::Many(groups) => groups.remove(queue, id),
        }
    }

    fn collect(&self, me: PeerId, routes: &mut Routes) {
        match self {
            Self::One(id) => collect_plain(me, *id, routes),
            Self::Many(groups) => {
                groups.plain.list.iter().for_each(|id| collect_plain(me, *id, routes));
                for (name, members) in &groups.queues {
                    routes.fanout += members.list.len();
                    // A group is its name: members that came by different filters share it.
                    match routes.queues.iter_mut().find(|queue| queue.name == *name) {
                        Some(queue) => queue.members.extend_from_slice(&members.list),
                        None => routes
                            .queues
                            .push(QueueRoute { name: name.clone(), members: members.list.clone() }),
                    }
                }
            }
        }
    }
}

fn collect_plain(me: PeerId, id: SubscriberId, routes: &mut Routes) {
    routes.fanout += 1;
    if id.peer == me {
        routes.local.push(id.slot);
    } else {
        routes.peers |= 1 << id.peer;
    }
}

impl Groups {
    fn add(&mut self, queue: Option<&Arc<[u8]>>, id: SubscriberId) {
        let Some(name) = queue else {
            self.plain.add(id);
            return;
        };
        match self.queues.iter_mut().find(|(other, _)| other == name) {
            Some((_, members)) => members.add(id),
            None => {
                let mut members = Members::default();
                members.add(id);
                self.queues.push((name.clone(), members));
            }
        }
    }

    fn remove(&mut self, queue: Option<&[u8]>, id: SubscriberId) -> bool {
        match queue {
            None => self.plain.remove(id),
            Some(name) => {
                if let Some(place) = self.queues.iter().position(|(other, _)| **other == *name) {
                    self.queues[place].1.remove(id);
                    if self.queues[place].1.list.is_empty() {
                        self.queues.swap_remove(place);
                    }
                }
            }
        }
        self.plain.list.is_empty() && self.queues.is_empty()
    }
}

impl Members {
    fn add(&mut self, id: SubscriberId) {
        self.list.push(id);
        if let Some(places) = &mut self.places {
            places.insert(id, self.list.len() - 1);
        } else if self.list.len() >= INDEXED_FROM {
            let places = self.list.iter().enumerate().map(|(place, id)| (*id, place)).collect();
            self.places = Some(Box::new(places));
        }
    }

    fn remove(&mut self, id: SubscriberId) {
        let place = match &mut self.places {
            Some(places) => places.remove(&id),
            None => self.list.iter().position(|other| *other == id),
        };
        let Some(place) = place else { return };
        self.list.swap_remove(place);
        if let (Some(places), Some(moved)) = (&mut self.places, self.list.get(place)) {
            places.insert(*moved, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ME: PeerId = 0;

    fn id(peer: PeerId, slot: u32) -> SubscriberId {
        SubscriberId { slot, generation: 0, peer }
    }

    fn add(interest: &Interest, filter: &str, queue: Option<&str>, id: SubscriberId) {
        let shared: Arc<[u8]> = Arc::from(filter.as_bytes());
        let queue: Option<Arc<[u8]>> = queue.map(|name| Arc::from(name.as_bytes()));
        interest.add(Filter::parse(filter.as_bytes()).unwrap(), &shared, queue.as_ref(), id);
    }

    fn remove(interest: &Interest, filter: &str, queue: Option<&str>, id: SubscriberId) {
        interest.remove(Filter::parse(filter.as_bytes()).unwrap(), queue.map(str::as_bytes), id);
    }

    fn routes(interest: &Interest, subject: &str) -> Routes {
        let mut routes = Routes::default();
        interest.routes(ME, subject.as_bytes(), &mut routes);
        routes.local.sort_unstable();
        routes
    }

    fn stamp(interest: &Interest, subject: &str) -> Stamp {
        let bytes = subject.as_bytes();
        interest.stamp(interest.buckets(bytes, interest.hash(bytes)))
    }

    #[test]
    fn own_subscriptions_are_named_and_others_are_a_bit() {
        let interest = Interest::new();
        add(&interest, "a.b", None, id(0, 1));
        add(&interest, "a.*", None, id(0, 2));
        add(&interest, ">", None, id(3, 3));
        add(&interest, "a.b", None, id(5, 4));
        let found = routes(&interest, "a.b");
        assert_eq!((found.local, found.peers), (vec![1, 2], 1 << 3 | 1 << 5));
        let found = routes(&interest, "b");
        assert_eq!((found.local, found.peers), (vec![], 1 << 3));
    }

    #[test]
    fn a_queue_group_is_its_name_whatever_filter_its_members_came_by() {
        let interest = Interest::new();
        add(&interest, "a.b", Some("q"), id(0, 1));
        add(&interest, "a.*", Some("q"), id(1, 2));
        add(&interest, "a.*", Some("r"), id(0, 3));
        let found = routes(&interest, "a.b");
        assert_eq!(found.queues.len(), 2);
        assert_eq!(found.queues.iter().map(|queue| queue.members.len()).sum::<usize>(), 3);
        remove(&interest, "a.b", Some("q"), id(0, 1));
        remove(&interest, "a.*", Some("q"), id(1, 2));
        remove(&interest, "a.*", Some("r"), id(0, 3));
        assert!(routes(&interest, "a.b").is_empty());
    }

    #[test]
    fn a_subject_with_an_empty_token_meets_nobody() {
        let interest = Interest::new();
        add(&interest, ">", None, id(0, 1));
        for subject in ["", ".", "a.", ".a", "a..b"] {
            assert!(routes(&interest, subject).is_empty(), "{subject:?}");
        }
        assert!(!routes(&interest, "a").is_empty());
    }

    #[test]
    fn a_change_bumps_only_what_it_can_meet() {
        let interest = Interest::new();
        let (foo, other) = (stamp(&interest, "foo.bar"), stamp(&interest, "zoo.bar"));
        add(&interest, "foo.*", None, id(0, 1));
        assert_ne!(stamp(&interest, "foo.bar"), foo);
        assert_eq!(stamp(&interest, "zoo.bar"), other);
        let foo = stamp(&interest, "foo.bar");
        add(&interest, "foo.quux", None, id(0, 2));
        assert_eq!(stamp(&interest, "foo.bar"), foo);
        add(&interest, "*.quux", None, id(0, 3));
        assert_ne!(stamp(&interest, "foo.bar"), foo);
        assert_ne!(stamp(&interest, "zoo.bar"), other);
    }

    proptest! {
        #[test]
        fn agrees_with_asking_each_subscription(
            changes in proptest::collection::vec(
                (any::<bool>(), "[ab*](\\.[ab*]){0,2}(\\.>)?", proptest::option::of("[qr]"), 0u8..3, 0u32..60),
                0..120,
            ),
            subjects in proptest::collection::vec("[ab](\\.[ab]){0,3}", 1..8),
        ) {
            let interest = Interest::new();
            let mut model: Vec<(String, Option<String>, SubscriberId)> = Vec::new();
            for (adding, filter, queue, peer, slot) in changes {
                let id = id(peer, slot);
                if let Some(place) = model.iter().position(|(_, _, other)| *other == id) {
                    let (filter, queue, id) = model.swap_remove(place);
                    remove(&interest, &filter, queue.as_deref(), id);
                } else if adding {
                    add(&interest, &filter, queue.as_deref(), id);
                    model.push((filter, queue, id));
                }
            }
            for subject in &subjects {
                let found = routes(&interest, subject);
                let wanted = || model.iter().filter(|(filter, _, _)| {
                    Filter::parse(filter.as_bytes()).unwrap().matches(subject.as_bytes())
                });
                let mut local: Vec<u32> = wanted()
                    .filter(|(_, queue, id)| queue.is_none() && id.peer == ME)
                    .map(|(_, _, id)| id.slot)
                    .collect();
                local.sort_unstable();
                let peers = wanted()
                    .filter(|(_, queue, id)| queue.is_none() && id.peer != ME)
                    .fold(0, |peers, (_, _, id)| peers | 1 << id.peer);
                prop_assert_eq!((&found.local, found.peers), (&local, peers));
                for name in ["q", "r"] {
                    let mut expected: Vec<_> = wanted()
                        .filter(|(_, queue, _)| queue.as_deref() == Some(name))
                        .map(|(_, _, id)| (id.peer, id.slot))
                        .collect();
                    let mut members: Vec<_> = found.queues.iter()
                        .filter(|queue| *queue.name == *name.as_bytes())
                        .flat_map(|queue| queue.members.iter().map(|id| (id.peer, id.slot)))
                        .collect();
                    expected.sort_unstable();
                    members.sort_unstable();
                    prop_assert_eq!(members, expected);
                }
            }
            for (filter, queue, id) in model.drain(..) {
                remove(&interest, &filter, queue.as_deref(), id);
            }
            prop_assert!(interest.literals.is_empty());
        }
    }
}
