//! The subscriptions of one reactor, and how a connection finds its own by their identifiers.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

/// The identifier a client gave a subscription. Most are short numbers and need no memory of
/// their own.
pub type Sid = SmallVec<[u8; 16]>;

/// A subscription of a client.
#[derive(Debug)]
pub struct Subscription {
    /// The place of the connection it belongs to.
    pub connection: u32,
    /// Tells it from earlier ones in the same place.
    pub generation: u16,
    /// The identifier the client chose.
    pub sid: Sid,
    /// What it asks for; well formed.
    pub filter: Arc<[u8]>,
    /// Its queue group.
    pub queue: Option<Arc<[u8]>>,
    /// Messages delivered so far.
    pub delivered: u64,
    /// Deliveries after which it ends; 0 is never.
    pub max: u64,
}

/// All subscriptions of a reactor.
#[derive(Debug, Default)]
pub struct Subscriptions {
    slab: Slab<Subscription>,
    next_generation: u16,
}

impl Subscriptions {
    /// Adds one and returns its place and generation. The `generation` it comes with is ignored.
    pub fn insert(&mut self, mut subscription: Subscription) -> (u32, u16) {
        self.next_generation = self.next_generation.wrapping_add(1);
        subscription.generation = self.next_generation;
        let slot = u32::try_from(self.slab.insert(subscription)).expect("memory ends before that");
        (slot, self.next_generation)
    }

    /// Takes one out.
    pub fn remove(&mut self, slot: u32) -> Subscription {
        self.slab.remove(slot as usize)
    }

    /// The one at `slot`.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Subscription> {
        self.slab.get(slot as usize)
    }

    /// The one at `slot`.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Subscription> {
        self.slab.get_mut(slot as usize)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slab.len()
    }

    /// Places there are, in use or not.
    pub fn capacity(&self) -> usize {
        self.slab.capacity()
    }
}

/// The subscriptions of one connection, by identifier. The identifiers themselves are in
/// [`Subscriptions`]; here are places only, so that a million subscriptions cost five bytes each.
#[derive(Debug, Default)]
pub struct Sids {
    places: Places,
}

#[derive(Debug)]
enum Places {
    Few(SmallVec<[u32; 4]>),
    Many(Box<Table>),
}

#[derive(Debug)]
struct Table {
    table: HashTable<u32>,
    hasher: RandomState,
}

/// Subscriptions from which on a table is worth its memory.
const TABLE_FROM: usize = 16;

impl Default for Places {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Sids {
    /// The place of the subscription called `sid`.
    pub fn find(&self, all: &Subscriptions, sid: &[u8]) -> Option<u32> {
        let is_it =
            |slot: &u32| all.get(*slot).is_some_and(|subscription| *subscription.sid == *sid);
        match &self.places {
            Places::Few(list) => list.iter().copied().find(|slot| is_it(slot)),
            Places::Many(many) => many.table.find(many.hasher.hash_one(sid), is_it).copied(),
        }
    }

    /// Adds a place, whose subscription is in `all` already.
    pub fn add(&mut self, all: &Subscriptions, slot: u32) {
        let list = match &mut self.places {
            Places::Many(many) => return many.add(all, slot),
            Places::Few(list) if list.len() < TABLE_FROM => return list.push(slot),
            Places::Few(list) => std::mem::take(list),
        };
        let mut many = Table {
            table: HashTable::with_capacity(2 * TABLE_FROM),
            hasher: RandomState::default(),
        };
        list.into_iter().chain([slot]).for_each(|slot| many.add(all, slot));
        self.places = Places::Many(Box::new(many));
    }

    /// Removes a place, whose subscription is still in `all`.
    pub fn remove(&mut self, all: &Subscriptions, slot: u32) {
        match &mut self.places {
            Places::Few(list) => list.retain(|other| *other != slot),
            Places::Many(many) => {
                let hash = many.hash(all, slot);
                if let Ok(entry) = many.table.find_entry(hash, |other| *other == slot) {
                    entry.remove();
                }
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match &self.places {
            Places::Few(list) => list.len(),
            Places::Many(many) => many.table.len(),
        }
    }

    /// All places, in no order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let (few, many) = match &self.places {
            Places::Few(list) => (Some(list.iter()), None),
            Places::Many(many) => (None, Some(many.table.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten()).copied()
    }
}

impl Table {
    fn add(&mut self, all: &Subscriptions, slot: u32) {
        let hash = self.hash(all, slot);
        let hasher = &self.hasher;
        self.table.insert_unique(hash, slot, |slot| hash_of(hasher, all, *slot));
    }

    fn hash(&self, all: &Subscriptions, slot: u32) -> u64 {
        hash_of(&self.hasher, all, slot)
    }
}

fn hash_of(hasher: &RandomState, all: &Subscriptions, slot: u32) -> u64 {
    let sid = all.get(slot).map_or(&[][..], |subscription| &subscription.sid);
    hasher.hash_one(sid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_by_identifier_when_few_and_when_many() {
        let (mut all, mut sids) = (Subscriptions::default(), Sids::default());
        let filter: Arc<[u8]> = Arc::from(&b"a"[..]);
        for number in 0..100 {
            let sid = Sid::from_slice(format!("sid-{number}-with-a-long-name").as_bytes());
            let (slot, _) = all.insert(Subscription {
                connection: 0,
                generation: 0,
                sid: sid.clone(),
                filter: filter.clone(),
                queue: None,
                delivered: 0,
                max: 0,
            });
            sids.add(&all, slot);
            assert_eq!(sids.find(&all, &sid), Some(slot));
            assert_eq!(sids.count(), number + 1);
        }
        assert_eq!(sids.find(&all, b"sid-100"), None);
        for slot in sids.iter().collect::<Vec<_>>() {
            sids.remove(&all, slot);
            let subscription = all.remove(slot);
            assert_eq!(sids.find(&all, &subscription.sid), None);
        }
        assert_eq!((sids.count(), all.count()), (0, 0));
    }
}
