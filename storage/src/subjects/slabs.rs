//! Room for very many short arrays whose lengths change: four bytes name one, where a `Vec` takes
//! 24 and an allocation of its own.
//!
//! Arrays are kept in slots of a few lengths, the slots of one length together in pages. It knows
//! lengths and slots. It refuses to know what is in them, and how many items of a slot are used.

/// No place.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Arrays of `T`, each named by a place. A page has 64 KiB, so at most 2^18 of them are 16 GiB.
#[derive(Debug)]
pub(super) struct Slabs<T> {
    /// The lengths of slots, rising.
    lengths: &'static [u32],
    pages: Vec<Page<T>>,
    /// For each length, one page that has a free slot; each of these names the next.
    open: Vec<u32>,
}

/// Slots of one length. It is in the list of open pages exactly while it has a free slot.
#[derive(Debug)]
struct Page<T> {
    items: Vec<T>,
    free: Vec<u16>,
    length: u32,
    slots_used: u32,
    slots_max: u32,
    next_open: u32,
}

const SLOT_BITS: u32 = 14;
const PAGE_BYTES: usize = 64 << 10;
/// A page that becomes empty gives its memory back, unless it is as small as this.
const KEPT_BYTES_MAX: usize = 4 << 10;

impl<T: Copy + Default> Slabs<T> {
    /// `lengths` rise, and the last is at least as long as any array will be.
    pub(super) fn new(lengths: &'static [u32]) -> Self {
        Self { lengths, pages: Vec::new(), open: Vec::new() }
    }

    /// A place for at least `length` items. What is in it is not said.
    pub(super) fn allocate(&mut self, length: usize) -> u32 {
        let class = self.class(length);
        if self.open.len() <= class {
            self.open.resize(class + 1, NOWHERE);
        }
        let mut number = self.open[class];
        if number == NOWHERE {
            number = u32::try_from(self.pages.len()).expect("pages fit the memory");
            assert!(number < NOWHERE >> SLOT_BITS, "16 GiB of short arrays are too many");
            let page = Page::new(self.lengths[class]);
            self.pages.push(page);
            self.open[class] = number;
        }
        let page = &mut self.pages[number as usize];
        let slot = page.take_slot();
        if page.is_full() {
            self.open[class] = std::mem::replace(&mut page.next_open, NOWHERE);
        }
        number << SLOT_BITS | u32::from(slot)
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, place: u32) {
        let (number, slot) = split(place);
        let class = self.class(self.pages[number].length as usize);
        let page = &mut self.pages[number];
        if page.is_full() {
            let number = u32::try_from(number).expect("it was taken from a place");
            page.next_open = std::mem::replace(&mut self.open[class], number);
        }
        page.give_slot(slot);
    }

    /// How many items there is room for at `place`.
    pub(super) fn capacity(&self, place: u32) -> usize {
        self.pages[split(place).0].length as usize
    }

    /// The length of the slot that [`allocate`](Self::allocate) gives for `length` items.
    pub(super) fn capacity_for(&self, length: usize) -> usize {
        self.lengths[self.class(length)] as usize
    }

    /// All items of the slot.
    pub(super) fn get(&self, place: u32) -> &[T] {
        let (number, slot) = split(place);
        let page = &self.pages[number];
        let length = page.length as usize;
        &page.items[slot * length..][..length]
    }

    /// All items of the slot.
    pub(super) fn get_mut(&mut self, place: u32) -> &mut [T] {
        let (number, slot) = split(place);
        let page = &mut self.pages[number];
        let length = page.length as usize;
        &mut page.items[slot * length..][..length]
    }

    /// Moves the first `used` items to a slot for `length`, and answers where that is.
    pub(super) fn move_to(&mut self, place: u32, used: usize, length: usize) -> u32 {
        let to = self.allocate(length);
        let (from_page, from_slot) = split(place);
        let (to_page, to_slot) = split(to);
        let from = from_slot * self.pages[from_page].length as usize;
        let to_start = to_slot * self.pages[to_page].length as usize;
        // Different lengths are in different pages.
        debug_assert_ne!(from_page, to_page);
        let [source, target] = self
            .pages
            .get_disjoint_mut([from_page, to_page])
            .expect("the two slots have different lengths");
        target.items[to_start..to_start + used].copy_from_slice(&source.items[from..from + used]);
        self.free(place);
        to
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(Page::memory_bytes).sum();
        pages + self.pages.capacity() * size_of::<Page<T>>() + self.open.capacity() * 4
    }

    fn class(&self, length: usize) -> usize {
        let class = self.lengths.partition_point(|known| (*known as usize) < length);
        debug_assert!(class < self.lengths.len(), "no array is so long");
        class
    }
}

impl<T: Copy + Default> Page<T> {
    fn new(length: u32) -> Self {
        let slots_max = (PAGE_BYTES / size_of::<T>() / length as usize).clamp(1, 1 << SLOT_BITS);
        let slots_max = u32::try_from(slots_max).expect("it was clamped");
        let (items, free) = (Vec::new(), Vec::new());
        Self { items, free, length, slots_used: 0, slots_max, next_open: NOWHERE }
    }

    fn is_full(&self) -> bool {
        self.slots_used == self.slots_max
    }

    fn take_slot(&mut self) -> u16 {
        debug_assert!(!self.is_full());
        self.slots_used += 1;
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let length = self.length as usize;
        let slot = self.items.len() / length;
        if self.items.capacity() < self.items.len() + length {
            // A page of a small index stays small, and none becomes larger than it may.
            let more = (self.items.len()).max(length);
            let most = length * self.slots_max as usize - self.items.len();
            self.items.reserve_exact(more.min(most));
        }
        self.items.resize(self.items.len() + length, T::default());
        u16::try_from(slot).expect("a page has at most 2^14 slots")
    }

    fn give_slot(&mut self, slot: usize) {
        self.slots_used -= 1;
        if self.slots_used > 0 {
            self.free.push(u16::try_from(slot).expect("a page has at most 2^14 slots"));
            return;
        }
        self.items.clear();
        self.free.clear();
        if self.items.capacity() * size_of::<T>() > KEPT_BYTES_MAX {
            self.items = Vec::new();
            self.free = Vec::new();
        }
    }

    fn memory_bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.free.capacity() * 2
    }
}

fn split(place: u32) -> (usize, usize) {
    ((place >> SLOT_BITS) as usize, (place & ((1 << SLOT_BITS) - 1)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_what_is_put_into_them_and_come_back() {
        const LENGTHS: &[u32] = &[2, 3, 8, 100, 20_000];
        let mut slabs = Slabs::<u32>::new(LENGTHS);
        let mut random = fastrand::Rng::with_seed(7);
        let mut held: Vec<(u32, Vec<u32>)> = Vec::new();
        for round in 0..40_000_u32 {
            // It grows, shrinks, and grows again.
            let grows = round % 20_000 < 12_000;
            if grows && random.u8(..) < 200 || held.is_empty() {
                let length = *random.choice(&[1, 2, 3, 4, 8, 9, 100]).unwrap();
                let place = slabs.allocate(length);
                assert!(slabs.capacity(place) >= length);
                assert_eq!(slabs.capacity(place), slabs.capacity_for(length));
                let content: Vec<u32> = (0..length).map(|_| random.u32(..)).collect();
                slabs.get_mut(place)[..length].copy_from_slice(&content);
                held.push((place, content));
            } else {
                let (place, content) = held.swap_remove(random.usize(..held.len()));
                assert_eq!(slabs.get(place)[..content.len()], content);
                slabs.free(place);
            }
        }
        for (place, content) in held.drain(..) {
            let moved =
                if content.len() < 8 { slabs.move_to(place, content.len(), 9) } else { place };
            assert_eq!(slabs.get(moved)[..content.len()], content);
            slabs.free(moved);
        }
        assert!(slabs.memory_bytes() < 64 << 10, "{}", slabs.memory_bytes());
    }

    #[test]
    fn memory_of_one_length_is_used_for_another_when_it_is_free() {
        const LENGTHS: &[u32] = &[4, 64];
        let mut slabs = Slabs::<u32>::new(LENGTHS);
        let places: Vec<u32> = (0..100_000).map(|_| slabs.allocate(4)).collect();
        assert!(slabs.memory_bytes() >= 1_600_000);
        places.into_iter().for_each(|place| slabs.free(place));
        assert!(slabs.memory_bytes() < 16 << 10, "{}", slabs.memory_bytes());
    }
}
