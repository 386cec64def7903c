//! Numbers by the hash of what they stand for, in parts so that none is long in growing.
//!
//! It knows hashes and numbers. It asks its owner what a number stands for.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Numbers, each found by a parent (0 where there is none) and bytes.
#[derive(Debug)]
pub(super) struct Table {
    /// One, or [`PARTS`]. A single table of a million would stop its owner for a tenth of a
    /// second when it grows, because each number's bytes are hashed again.
    parts: Vec<HashTable<u32>>,
    length: usize,
    state: RandomState,
}

const PARTS: usize = 256;
/// With more than this, there are parts.
const WHOLE_LENGTH_MAX: usize = 16 << 10;

impl Default for Table {
    fn default() -> Self {
        Self { parts: vec![HashTable::new()], length: 0, state: RandomState::default() }
    }
}

impl Table {
    pub(super) fn hash(&self, parent: u32, bytes: &[u8]) -> u64 {
        hash_of(&self.state, (parent, bytes))
    }

    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.parts[self.part(hash)].find(hash, |number| is_it(*number)).copied()
    }

    /// Adds a number that is not there. `of` says what a number stands for.
    pub(super) fn insert<'a>(
        &mut self,
        hash: u64,
        number: u32,
        of: impl Fn(u32) -> (u32, &'a [u8]),
    ) {
        if self.length == WHOLE_LENGTH_MAX && self.parts.len() == 1 {
            self.divide(&of);
        }
        let part = self.part(hash);
        let state = &self.state;
        self.parts[part].insert_unique(hash, number, |number| hash_of(state, of(*number)));
        self.length += 1;
    }

    /// Takes a number out, which is there.
    pub(super) fn remove<'a>(
        &mut self,
        hash: u64,
        number: u32,
        of: impl Fn(u32) -> (u32, &'a [u8]),
    ) {
        let part = self.part(hash);
        let part = &mut self.parts[part];
        match part.find_entry(hash, |known| *known == number) {
            Ok(entry) => {
                entry.remove();
            }
            Err(_) => unreachable!("a number is in the table from its insertion to its removal"),
        }
        self.length -= 1;
        if part.capacity() > 64 && part.len() < part.capacity() / 8 {
            let state = &self.state;
            part.shrink_to(part.len() * 2, |number| hash_of(state, of(*number)));
        }
        if self.length == 0 {
            self.parts = vec![HashTable::new()];
        }
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.iter().map(HashTable::allocation_size).sum::<usize>()
            + self.parts.capacity() * size_of::<HashTable<u32>>()
    }

    /// Which part has a hash: by bits that the part itself does not look at first.
    fn part(&self, hash: u64) -> usize {
        let bits = usize::try_from(hash >> 40 & (PARTS as u64 - 1)).expect("it is below 256");
        bits & (self.parts.len() - 1)
    }

    fn divide<'a>(&mut self, of: &impl Fn(u32) -> (u32, &'a [u8])) {
        let whole = std::mem::take(&mut self.parts);
        self.parts.resize_with(PARTS, HashTable::new);
        for number in whole.into_iter().flatten() {
            let hash = hash_of(&self.state, of(number));
            let part = self.part(hash);
            let state = &self.state;
            self.parts[part].insert_unique(hash, number, |number| hash_of(state, of(*number)));
        }
    }
}

fn hash_of(state: &RandomState, (parent, bytes): (u32, &[u8])) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(bytes);
    hasher.write_u32(parent);
    hasher.finish()
}
