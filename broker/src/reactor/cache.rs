//! The answers a reactor remembers: from subject to those who want its messages.
//!
//! A set of two places a subject can be in, no list and no clock: a flood of ever different
//! subjects overwrites places and never allocates, and the size is fixed.

use crate::mesh::interest::{Buckets, Interest, PeerId, Routes, Stamp};

/// Places; a power of two. 4,096 answers to short subjects take half a megabyte when all are used.
const PLACE_COUNT: usize = 4096;
/// Subscriptions that all remembered answers may name together, 16 MiB at four bytes each.
/// Answers beyond that are made anew for each message.
const REMEMBERED_SUBSCRIPTIONS_MAX: usize = 4 * 1024 * 1024;

/// Room for subscriptions that an answer hands on to the next one in its place.
const KEPT_CAPACITY_MAX: usize = 64;

/// Remembered answers for one account.
pub struct RouteCache {
    places: Box<[Option<Box<Answer>>]>,
    remembered: usize,
    counts: CacheCounts,
}

/// What a cache did so far, and what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Answers that were remembered when they were asked for.
    pub hits: u64,
    /// Answers that were not.
    pub misses: u64,
    /// Answers remembered now, good or stale.
    pub entries: u64,
    /// Subscriptions those name, all together.
    pub fanout_sum: u64,
    /// The most subscriptions an answer ever named.
    pub fanout_max: u64,
}

struct Answer {
    hash: u64,
    buckets: Buckets,
    stamp: Stamp,
    subject: Vec<u8>,
    routes: Routes,
}

impl Default for RouteCache {
    fn default() -> Self {
        Self::new()
    }
}

impl RouteCache {
    /// Remembers nothing.
    pub fn new() -> Self {
        Self {
            places: (0..PLACE_COUNT).map(|_| None).collect(),
            remembered: 0,
            counts: CacheCounts::default(),
        }
    }

    /// Those who want a message to `subject`, as the reactor `me` sees it.
    #[inline]
    pub fn routes(&mut self, me: PeerId, interest: &Interest, subject: &[u8]) -> &Routes {
        let hash = interest.hash(subject);
        let first = place(hash);
        for index in [first, first ^ 1] {
            if let Some(answer) = &self.places[index]
                && answer.hash == hash
                && answer.subject == subject
                && answer.stamp == interest.stamp(answer.buckets)
            {
                self.counts.hits += 1;
                return &self.places[index].as_ref().expect("it was looked at just now").routes;
            }
        }
        self.ask(me, interest, subject, hash)
    }

    /// What it did so far, and what is in it.
    pub fn counts(&self) -> CacheCounts {
        self.counts
    }

    #[inline(never)]
    fn ask(&mut self, me: PeerId, interest: &Interest, subject: &[u8], hash: u64) -> &Routes {
        self.counts.misses += 1;
        let first = place(hash);
        // The place that has this subject already, a free one, or by turns one of the two.
        let index = [first, first ^ 1]
            .into_iter()
            .find(|index| {
                self.places[*index]
                    .as_ref()
                    .is_none_or(|answer| answer.hash == hash && answer.subject == subject)
            })
            .unwrap_or(if self.counts.misses.is_multiple_of(2) { first } else { first ^ 1 });
        let buckets = interest.buckets(subject, hash);
        let stamp = interest.stamp(buckets);
        let counts = &mut self.counts;
        let answer = self.places[index].get_or_insert_with(|| {
            counts.entries += 1;
            Box::new(Answer {
                hash,
                buckets,
                stamp,
                subject: Vec::new(),
                routes: Routes::default(),
            })
        });
        self.remembered -= answer.routes.capacity();
        counts.fanout_sum -= answer.routes.fanout as u64;
        if answer.routes.capacity() > KEPT_CAPACITY_MAX {
            // The memory of a large answer is not for the small one that comes after it.
            answer.routes = Routes::default();
        }
        interest.routes(me, subject, &mut answer.routes);
        self.remembered += answer.routes.capacity();
        counts.fanout_sum += answer.routes.fanout as u64;
        counts.fanout_max = counts.fanout_max.max(answer.routes.fanout as u64);
        answer.hash = hash;
        answer.buckets = buckets;
        answer.stamp = stamp;
        answer.subject.clear();
        answer.subject.extend_from_slice(subject);
        if self.remembered > REMEMBERED_SUBSCRIPTIONS_MAX {
            self.forget_all_but(index);
        }
        &self.places[index].as_ref().expect("it was filled just now").routes
    }

    fn forget_all_but(&mut self, kept: usize) {
        for (index, place) in self.places.iter_mut().enumerate() {
            if index != kept {
                *place = None;
            }
        }
        let routes = &self.places[kept].as_ref().expect("it is the one that is kept").routes;
        self.remembered = routes.capacity();
        (self.counts.entries, self.counts.fanout_sum) = (1, routes.fanout as u64);
    }
}

fn place(hash: u64) -> usize {
    // The interest's table takes the hash's low and high bits; any will do here.
    usize::try_from((hash >> 12) % PLACE_COUNT as u64).expect("less than PLACE_COUNT")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fulmar_protocol::subject::Filter;

    use super::*;
    use crate::mesh::interest::SubscriberId;

    fn add(interest: &Interest, filter: &str, slot: u32) {
        let shared: Arc<[u8]> = Arc::from(filter.as_bytes());
        let id = SubscriberId { slot, generation: 0, peer: 0 };
        interest.add(Filter::parse(filter.as_bytes()).unwrap(), &shared, None, id);
    }

    fn hits_and_misses(cache: &RouteCache) -> (u64, u64) {
        (cache.counts().hits, cache.counts().misses)
    }

    #[test]
    fn an_answer_is_good_until_the_interest_in_it_changes() {
        let (interest, mut cache) = (Interest::new(), RouteCache::new());
        add(&interest, "a", 1);
        assert_eq!(cache.routes(0, &interest, b"a").local, [1]);
        assert_eq!(cache.routes(0, &interest, b"a").local, [1]);
        assert_eq!(hits_and_misses(&cache), (1, 1));
        add(&interest, "other", 2);
        assert_eq!(cache.routes(0, &interest, b"a").local, [1]);
        assert_eq!(hits_and_misses(&cache), (2, 1));
        add(&interest, "*", 3);
        assert_eq!(cache.routes(0, &interest, b"a").local, [1, 3]);
        assert_eq!(hits_and_misses(&cache), (2, 2));
    }

    #[test]
    fn fanout_is_that_of_all_reactors() {
        let (interest, mut cache) = (Interest::new(), RouteCache::new());
        for (slot, peer) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
            let shared: Arc<[u8]> = Arc::from(&b"a"[..]);
            let queue: Arc<[u8]> = Arc::from(&b"group"[..]);
            let id = SubscriberId { slot, generation: 0, peer };
            let queue = (slot == 4).then_some(&queue);
            interest.add(Filter::parse(b"a").unwrap(), &shared, queue, id);
        }
        add(&interest, "b", 5);
        for subject in [&b"a"[..], b"b", b"nobody", b"a"] {
            cache.routes(0, &interest, subject);
        }
        let expected = CacheCounts { hits: 1, misses: 3, entries: 3, fanout_sum: 5, fanout_max: 4 };
        assert_eq!(cache.counts(), expected);
        add(&interest, "*", 6);
        cache.routes(0, &interest, b"nobody");
        assert_eq!((cache.counts().entries, cache.counts().fanout_sum), (3, 6));
    }

    /// A place that had a large answer kept its memory, which nobody counted.
    #[test]
    fn large_answers_do_not_leave_their_memory_to_small_ones() {
        let (interest, mut cache) = (Interest::new(), RouteCache::new());
        add(&interest, "small.*", 1);
        (0..10_000).for_each(|slot| add(&interest, "big.*", slot));
        for number in 0..20_000 {
            cache.routes(0, &interest, format!("small.{number}").as_bytes());
            if number % 10 == 0 {
                cache.routes(0, &interest, format!("big.{number}").as_bytes());
            }
            if number % 1000 == 0 {
                let room = cache.places.iter().flatten().map(|answer| answer.routes.capacity());
                assert_eq!(cache.remembered, room.sum::<usize>());
            }
            assert!(cache.remembered <= REMEMBERED_SUBSCRIPTIONS_MAX);
        }
    }

    #[test]
    fn ever_different_subjects_do_not_make_it_grow() {
        let (interest, mut cache) = (Interest::new(), RouteCache::new());
        add(&interest, ">", 1);
        for number in 0..100_000 {
            assert_eq!(cache.routes(0, &interest, format!("a.{number}").as_bytes()).local, [1]);
        }
        let counts = cache.counts();
        assert!(counts.entries <= PLACE_COUNT as u64);
        assert_eq!(counts.entries, cache.places.iter().flatten().count() as u64);
        assert_eq!(counts.fanout_sum, counts.entries);
        assert!(cache.remembered <= PLACE_COUNT * KEPT_CAPACITY_MAX);
    }
}
