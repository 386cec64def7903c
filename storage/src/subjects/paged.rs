//! Very many values by number, in pages: growing never copies them all, and a page that nothing
//! is in gives its memory back.
//!
//! It knows numbers. It refuses to know what the values are.

use super::slabs::NOWHERE;

const PAGE_LENGTH_MAX: u32 = 1_024;

/// Values of one size. Numbers are low: as long as nothing is removed, they count from 0.
#[derive(Debug)]
pub(super) struct Paged<V> {
    pages: Vec<Page<V>>,
    /// A page that has room; each of these names the next.
    open: u32,
    length: usize,
}

/// It is in the list of open pages exactly while it has room.
#[derive(Debug)]
struct Page<V> {
    values: Vec<V>,
    free: Vec<u16>,
    used: u32,
    next_open: u32,
}

impl<V> Default for Paged<V> {
    fn default() -> Self {
        Self { pages: Vec::new(), open: NOWHERE, length: 0 }
    }
}

impl<V> Paged<V> {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn insert(&mut self, value: V) -> u32 {
        self.length += 1;
        if self.open == NOWHERE {
            let number = u32::try_from(self.pages.len()).expect("pages fit the memory");
            assert!(number < NOWHERE / PAGE_LENGTH_MAX, "2^32 numbers are used up");
            let (values, free) = (Vec::new(), Vec::new());
            self.pages.push(Page { values, free, used: 0, next_open: NOWHERE });
            self.open = number;
        }
        let number = self.open;
        let page = &mut self.pages[number as usize];
        page.used += 1;
        if page.used == PAGE_LENGTH_MAX {
            self.open = std::mem::replace(&mut page.next_open, NOWHERE);
        }
        let slot = if let Some(slot) = page.free.pop() {
            page.values[usize::from(slot)] = value;
            slot
        } else {
            page.values.push(value);
            u16::try_from(page.values.len() - 1).expect("a page is no longer")
        };
        number * PAGE_LENGTH_MAX + u32::from(slot)
    }

    /// Its number may be that of another value soon.
    pub(super) fn remove(&mut self, number: u32) {
        let (page_number, slot) = (number / PAGE_LENGTH_MAX, number % PAGE_LENGTH_MAX);
        self.length -= 1;
        let page = &mut self.pages[page_number as usize];
        if page.used == PAGE_LENGTH_MAX {
            page.next_open = std::mem::replace(&mut self.open, page_number);
        }
        page.used -= 1;
        if page.used > 0 {
            page.free.push(u16::try_from(slot).expect("a page is no longer"));
        } else if page.values.capacity() > 16 {
            page.values = Vec::new();
            page.free = Vec::new();
        } else {
            page.values.clear();
            page.free.clear();
        }
    }

    pub(super) fn get(&self, number: u32) -> &V {
        let (page, slot) = (number / PAGE_LENGTH_MAX, number % PAGE_LENGTH_MAX);
        &self.pages[page as usize].values[slot as usize]
    }

    /// As [`get`](Self::get), for a number that may have been given back: then it is nothing, or
    /// the last value.
    pub(super) fn get_if_there(&self, number: u32) -> Option<&V> {
        let (page, slot) = (number / PAGE_LENGTH_MAX, number % PAGE_LENGTH_MAX);
        self.pages.get(page as usize)?.values.get(slot as usize)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut V {
        let (page, slot) = (number / PAGE_LENGTH_MAX, number % PAGE_LENGTH_MAX);
        &mut self.pages[page as usize].values[slot as usize]
    }

    /// No number is as large as this.
    pub(super) fn numbers_end(&self) -> usize {
        self.pages.len() * PAGE_LENGTH_MAX as usize
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        let of_page =
            |page: &Page<V>| page.values.capacity() * size_of::<V>() + page.free.capacity() * 2;
        self.pages.capacity() * size_of::<Page<V>>() + self.pages.iter().map(of_page).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_are_unique_and_come_back() {
        let mut paged = Paged::default();
        let mut model = BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..60_000 {
            let grows = round % 20_000 < 11_000;
            if grows == (random.u8(..) < 240) || model.is_empty() {
                let value = random.u64(..);
                assert_eq!(model.insert(paged.insert(value), value), None);
            } else {
                let from = random.u32(..);
                let found = model.range(from % 12_000..).next().or(model.iter().next());
                let number = *found.unwrap().0;
                assert_eq!(*paged.get(number), model.remove(&number).unwrap());
                paged.remove(number);
            }
            assert_eq!(paged.len(), model.len());
        }
        for (number, value) in &model {
            assert_eq!(paged.get_mut(*number), &mut value.clone());
            assert!((*number as usize) < paged.numbers_end());
        }
        let before = paged.memory_bytes();
        model.keys().for_each(|number| paged.remove(*number));
        assert!(paged.memory_bytes() < before / 2 && paged.memory_bytes() < 8_000);
    }
}
