//! The messages in order: which subject each has, and how large it is. 4 to 8 bytes each.
//!
//! Where sequences are dense they cost nothing; where few messages are left between many deleted
//! ones, they are written down. It knows subjects as numbers. It refuses to know their names.
//!
//! ```text
//!  dense:  base 40 │ 7 │ 9 │ · │ 7 │ ...   subjects of 40, 41, 43...; 42 is deleted
//!  sparse: base 40 │ 0:7 │ 900:9 │ ...     subjects of 40, 940...
//! ```

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

/// No subject.
const NONE: u32 = u32::MAX;
/// Sequences that a dense chunk spans at most.
const DENSE_SPAN_MAX: usize = 4_096;
/// Messages that a sparse chunk has at most.
const SPARSE_LENGTH_MAX: usize = 1_024;
/// Neighbours that have no more than this together become one when one of them loses a message.
const MERGED_LENGTH_MAX: usize = 512;
/// A chunk that spans no more than this is dense whatever is missing in it.
const SMALL_SPAN: usize = 64;

/// Sequence to subject and size.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Rising; the sequences of a chunk are at or above its base and below the next one's. Three
    /// lists of the same length, because bisection reads only the first and counting the second.
    bases: VecDeque<u64>,
    /// How many messages each chunk has; never 0.
    lives: VecDeque<u16>,
    chunks: VecDeque<Chunk>,
    messages: u64,
    /// The last sequence that was added, whether or not it is still there: to look for the last
    /// one that is takes longer.
    end: u64,
}

#[derive(Debug)]
struct Chunk {
    /// Dense: of `base`, `base + 1`...; [`NONE`] where there is no message.
    subjects: Vec<u32>,
    sizes: Sizes,
    /// Sparse: the distances of the messages from the base. Dense: not there.
    distances: Option<Vec<u32>>,
    /// Where the first message is. Messages go from the front so often that looking for the first
    /// one, or moving all others, would be most of the work.
    start: usize,
}

/// How large each message of a chunk is, in as few bytes as will do.
#[derive(Debug)]
enum Sizes {
    Equal(u32),
    Short(Vec<u16>),
    Long(Vec<u32>),
}

impl Rows {
    /// Adds a message behind all others.
    pub(super) fn push(&mut self, sequence: u64, subject: u32, bytes: u32) {
        assert!(self.end < sequence, "sequences only grow");
        debug_assert_ne!(subject, NONE);
        self.end = sequence;
        self.messages += 1;
        if let Some(base) = self.bases.back() {
            let distance = sequence - base;
            let chunk = self.chunks.back_mut().expect("each base has a chunk");
            let live = self.lives.back_mut().expect("each base has a count");
            if chunk.push(distance, usize::from(*live), subject, bytes) {
                *live += 1;
                return;
            }
        }
        self.bases.push_back(sequence);
        self.lives.push_back(1);
        self.chunks.push_back(Chunk::one(subject, bytes));
    }

    /// Takes a message out and answers its subject and size, if it was there.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<(u32, u32)> {
        let at = self.chunk_of(sequence)?;
        let chunk = &mut self.chunks[at];
        let place = chunk.place_at(sequence - self.bases[at])?;
        let found = (chunk.subjects[place], chunk.sizes.get(place));
        self.messages -= 1;
        self.lives[at] -= 1;
        if self.lives[at] == 0 {
            self.drop_chunk(at);
            return Some(found);
        }
        chunk.take_out(place, usize::from(self.lives[at]));
        for left in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            if self.merge(left) {
                break;
            }
        }
        Some(found)
    }

    /// Takes all messages below `sequence` out and shows subject and size of each, in order.
    pub(super) fn truncate_front(&mut self, sequence: u64, mut gone: impl FnMut(u32, u32)) {
        while !self.bases.is_empty() {
            let whole = self.bases.get(1).is_some_and(|next| *next <= sequence)
                || self.last().is_none_or(|last| last < sequence);
            if !whole {
                break;
            }
            let chunk = self.chunks.pop_front().expect("each base has a chunk");
            let live = self.lives.pop_front().expect("each base has a count");
            self.bases.pop_front();
            self.messages -= u64::from(live);
            chunk.each(0, |place, _, subject| {
                gone(subject, chunk.sizes.get(place));
                ControlFlow::<()>::Continue(())
            });
        }
        self.give_room_back();
        // What is left is in one chunk.
        while let Some(first) = self.first().filter(|first| *first < sequence) {
            let (subject, bytes) = self.remove(first).expect("the first one is there");
            gone(subject, bytes);
        }
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// The last sequence that was added; 0 if there was none.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The subject and the size of a message, if it is there.
    pub(super) fn get(&self, sequence: u64) -> Option<(u32, u32)> {
        let at = self.chunk_of(sequence)?;
        let chunk = &self.chunks[at];
        let place = chunk.place_at(sequence - self.bases[at])?;
        Some((chunk.subjects[place], chunk.sizes.get(place)))
    }

    pub(super) fn first(&self) -> Option<u64> {
        let distance = self.chunks.front()?.next_from(0).expect("a chunk has a message");
        Some(self.bases.front()? + distance)
    }

    pub(super) fn last(&self) -> Option<u64> {
        let distance = self.chunks.back()?.previous_from(u64::MAX).expect("a chunk has a message");
        Some(self.bases.back()? + distance)
    }

    /// The first message at or behind `sequence`.
    pub(super) fn next_from(&self, sequence: u64) -> Option<u64> {
        let at = self.chunk_of(sequence).unwrap_or(0);
        let base = *self.bases.get(at)?;
        if let Some(distance) = self.chunks[at].next_from(sequence.saturating_sub(base)) {
            return Some(base + distance);
        }
        let next = self.chunks.get(at + 1)?;
        Some(self.bases[at + 1] + next.next_from(0).expect("a chunk has a message"))
    }

    /// The last message at or before `sequence`.
    pub(super) fn previous_from(&self, sequence: u64) -> Option<u64> {
        let at = self.chunk_of(sequence)?;
        let base = self.bases[at];
        if let Some(distance) = self.chunks[at].previous_from(sequence - base) {
            return Some(base + distance);
        }
        let at = at.checked_sub(1)?;
        let distance = self.chunks[at].previous_from(u64::MAX).expect("a chunk has a message");
        Some(self.bases[at] + distance)
    }

    /// The first sequence at or behind `sequence` that has no message.
    pub(super) fn gap_from(&self, sequence: u64) -> u64 {
        let mut gap = sequence;
        let Some(start) = self.chunk_of(sequence) else { return gap };
        for at in start..self.chunks.len() {
            let base = self.bases[at];
            if base > gap {
                break;
            }
            gap = base + self.chunks[at].gap_from(gap - base, usize::from(self.lives[at]));
        }
        gap
    }

    /// How many messages are below `sequence`. Reads 2 bytes for each chunk on the nearer side:
    /// 5 KB at 10 M messages.
    pub(super) fn count_below(&self, sequence: u64) -> u64 {
        let Some(at) = self.chunk_of(sequence) else { return 0 };
        let sum = |lives: std::collections::vec_deque::Iter<'_, u16>| -> u64 {
            lives.map(|live| u64::from(*live)).sum()
        };
        let before = if at < self.lives.len() / 2 {
            sum(self.lives.range(..at))
        } else {
            self.messages - sum(self.lives.range(at..))
        };
        before + self.chunks[at].count_below(sequence - self.bases[at])
    }

    /// Shows the sequence and subject of each message at or behind `from`, in order, until told
    /// to stop.
    pub(super) fn each_from<B>(
        &self,
        from: u64,
        mut show: impl FnMut(u64, u32) -> ControlFlow<B>,
    ) -> Option<B> {
        let start = self.chunk_of(from).unwrap_or(0);
        for at in start..self.chunks.len() {
            let base = self.bases[at];
            let stopped = self.chunks[at]
                .each(from.saturating_sub(base), |_, distance, subject| {
                    show(base + distance, subject)
                });
            if stopped.is_some() {
                return stopped;
            }
        }
        None
    }

    /// The same at or before `from`, backwards.
    pub(super) fn each_back_from<B>(
        &self,
        from: u64,
        mut show: impl FnMut(u64, u32) -> ControlFlow<B>,
    ) -> Option<B> {
        for at in (0..=self.chunk_of(from)?).rev() {
            let base = self.bases[at];
            let stopped = self.chunks[at]
                .each_back(from - base, |distance, subject| show(base + distance, subject));
            if stopped.is_some() {
                return stopped;
            }
        }
        None
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bases.capacity() * 8
            + self.lives.capacity() * 2
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.chunks.iter().map(Chunk::memory_bytes).sum::<usize>()
    }

    /// The last chunk that starts at or before `sequence`.
    fn chunk_of(&self, sequence: u64) -> Option<usize> {
        // Nearly every question is about the end or the start.
        if self.bases.back().is_some_and(|base| *base <= sequence) {
            return Some(self.bases.len() - 1);
        }
        self.bases.partition_point(|base| *base <= sequence).checked_sub(1)
    }

    /// Makes one sparse chunk of two neighbours, if that is short. Answers whether it did.
    fn merge(&mut self, left: usize) -> bool {
        let right = left + 1;
        if right >= self.chunks.len() {
            return false;
        }
        let lengths = [self.lives[left], self.lives[right]].map(usize::from);
        let (base, gap) = (self.bases[left], self.bases[right] - self.bases[left]);
        let last = self.chunks[right].previous_from(u64::MAX).expect("a chunk has a message");
        if lengths[0] + lengths[1] > MERGED_LENGTH_MAX || u32::try_from(gap + last).is_err() {
            return false;
        }
        let mut merged = Chunk::sparse_with_room(lengths[0] + lengths[1]);
        for (at, offset) in [(left, 0), (right, gap)] {
            let chunk = &self.chunks[at];
            chunk.each(0, |place, distance, subject| {
                merged.push_sparse(offset + distance, subject, chunk.sizes.get(place));
                ControlFlow::<()>::Continue(())
            });
        }
        debug_assert_eq!(self.bases[left], base);
        self.chunks[left] = merged;
        self.lives[left] += self.lives[right];
        self.drop_chunk(right);
        true
    }

    fn drop_chunk(&mut self, at: usize) {
        self.bases.remove(at);
        self.lives.remove(at);
        self.chunks.remove(at);
        self.give_room_back();
    }

    fn give_room_back(&mut self) {
        if self.chunks.capacity() > 64 && self.chunks.len() < self.chunks.capacity() / 4 {
            let room = self.chunks.len() * 2;
            self.bases.shrink_to(room);
            self.lives.shrink_to(room);
            self.chunks.shrink_to(room);
        }
    }
}

impl Chunk {
    fn one(subject: u32, bytes: u32) -> Self {
        let subjects = vec![subject];
        Self { subjects, sizes: Sizes::Equal(bytes), distances: None, start: 0 }
    }

    fn sparse_with_room(length: usize) -> Self {
        Self {
            subjects: Vec::with_capacity(length),
            sizes: Sizes::Equal(0),
            distances: Some(Vec::with_capacity(length)),
            start: 0,
        }
    }

    /// Answers whether the message could be added.
    fn push(&mut self, distance: u64, live: usize, subject: u32, bytes: u32) -> bool {
        if self.distances.is_none() {
            let span = usize::try_from(distance).map_or(usize::MAX, |distance| distance + 1);
            if span <= DENSE_SPAN_MAX && (span <= SMALL_SPAN || is_dense(live + 1, span)) {
                self.grow_to(span - 1);
                self.sizes.push(self.subjects.len(), bytes);
                self.subjects.push(subject);
                return true;
            }
        }
        if live >= SPARSE_LENGTH_MAX || u32::try_from(distance).is_err() {
            return false;
        }
        self.become_sparse(live);
        self.push_sparse(distance, subject, bytes);
        true
    }

    /// Fills a dense chunk with nothing.
    fn grow_to(&mut self, length: usize) {
        if self.subjects.len() == self.subjects.capacity() {
            let more = self.subjects.len().max(4).min(DENSE_SPAN_MAX - self.subjects.len());
            self.subjects.reserve_exact(more);
        }
        while self.subjects.len() < length {
            self.sizes.push(self.subjects.len(), self.sizes.any());
            self.subjects.push(NONE);
        }
    }

    fn push_sparse(&mut self, distance: u64, subject: u32, bytes: u32) {
        let distance = u32::try_from(distance).expect("the caller has seen to it");
        self.sizes.push(self.subjects.len(), bytes);
        self.subjects.push(subject);
        self.distances.as_mut().expect("it is sparse").push(distance);
    }

    fn become_sparse(&mut self, live: usize) {
        if self.distances.is_some() {
            return;
        }
        let mut sparse = Self::sparse_with_room(live);
        self.each(0, |place, distance, subject| {
            sparse.push_sparse(distance, subject, self.sizes.get(place));
            ControlFlow::<()>::Continue(())
        });
        *self = sparse;
    }

    /// Takes the message at a place out, after which there are `live`, at least one.
    fn take_out(&mut self, place: usize, live: usize) {
        if self.distances.is_some() {
            self.take_out_sparse(place);
            return;
        }
        self.subjects[place] = NONE;
        if self.subjects.len() > SMALL_SPAN && !is_dense(live, self.subjects.len()) {
            self.become_sparse(live);
        } else if place == self.start {
            let step = self.subjects[place..].iter().position(|subject| *subject != NONE);
            self.start += step.expect("the caller has seen to it");
        }
    }

    fn take_out_sparse(&mut self, place: usize) {
        let distances = self.distances.as_mut().expect("the caller has seen to it");
        let gone = if place == self.start {
            self.start += 1;
            if self.start < self.subjects.len() / 2 {
                return;
            }
            0..std::mem::take(&mut self.start)
        } else {
            place..place + 1
        };
        distances.drain(gone.clone());
        self.subjects.drain(gone.clone());
        self.sizes.remove(gone);
        if self.subjects.capacity() > 64 && self.subjects.len() < self.subjects.capacity() / 4 {
            let room = self.subjects.len() * 2;
            distances.shrink_to(room);
            self.subjects.shrink_to(room);
            self.sizes.shrink_to(room);
        }
    }

    /// Where the message with this distance is.
    fn place_at(&self, distance: u64) -> Option<usize> {
        match &self.distances {
            Some(distances) => {
                let distance = u32::try_from(distance).ok()?;
                let step = distances[self.start..].binary_search(&distance).ok()?;
                Some(self.start + step)
            }
            None => {
                let place = usize::try_from(distance).ok()?;
                (*self.subjects.get(place)? != NONE).then_some(place)
            }
        }
    }

    /// The first place, not before the first message's, whose distance is at or above `distance`.
    fn lower_bound(&self, distance: u64) -> usize {
        let end = self.subjects.len();
        let place = match &self.distances {
            Some(distances) => distances.partition_point(|known| u64::from(*known) < distance),
            None => usize::try_from(distance).map_or(end, |place| place.min(end)),
        };
        place.max(self.start)
    }

    fn distance(&self, place: usize) -> u64 {
        self.distances.as_ref().map_or(place as u64, |distances| u64::from(distances[place]))
    }

    fn next_from(&self, distance: u64) -> Option<u64> {
        let start = self.lower_bound(distance);
        let step = self.subjects[start..].iter().position(|subject| *subject != NONE)?;
        Some(self.distance(start + step))
    }

    fn previous_from(&self, distance: u64) -> Option<u64> {
        let end = self.lower_bound(distance.saturating_add(1));
        let step = self.subjects[self.start..end].iter().rposition(|subject| *subject != NONE)?;
        Some(self.distance(self.start + step))
    }

    fn gap_from(&self, distance: u64, live: usize) -> u64 {
        let Some(place) = self.place_at(distance) else { return distance };
        let behind = &self.subjects[place..];
        let length = match &self.distances {
            None if live == self.subjects.len() - self.start => behind.len(),
            None => behind.iter().take_while(|subject| **subject != NONE).count(),
            Some(distances) => {
                let follows = distances[place..].windows(2).take_while(|two| two[0] + 1 == two[1]);
                1 + follows.count()
            }
        };
        distance + length as u64
    }

    fn count_below(&self, distance: u64) -> u64 {
        let end = self.lower_bound(distance);
        self.subjects[self.start..end].iter().filter(|subject| **subject != NONE).count() as u64
    }

    /// Shows place, distance and subject of each message at or behind `distance`.
    fn each<B>(
        &self,
        distance: u64,
        mut show: impl FnMut(usize, u64, u32) -> ControlFlow<B>,
    ) -> Option<B> {
        let start = self.lower_bound(distance);
        for (step, subject) in self.subjects[start..].iter().enumerate() {
            let place = start + step;
            if *subject != NONE
                && let ControlFlow::Break(stopped) = show(place, self.distance(place), *subject)
            {
                return Some(stopped);
            }
        }
        None
    }

    fn each_back<B>(
        &self,
        distance: u64,
        mut show: impl FnMut(u64, u32) -> ControlFlow<B>,
    ) -> Option<B> {
        let end = self.lower_bound(distance.saturating_add(1));
        for (step, subject) in self.subjects[self.start..end].iter().enumerate().rev() {
            let place = self.start + step;
            if *subject != NONE
                && let ControlFlow::Break(stopped) = show(self.distance(place), *subject)
            {
                return Some(stopped);
            }
        }
        None
    }

    fn memory_bytes(&self) -> usize {
        let sizes = match &self.sizes {
            Sizes::Equal(_) => 0,
            Sizes::Short(sizes) => sizes.capacity() * 2,
            Sizes::Long(sizes) => sizes.capacity() * 4,
        };
        self.subjects.capacity() * 4
            + sizes
            + self.distances.as_ref().map_or(0, |distances| distances.capacity() * 4)
    }
}

impl Sizes {
    /// Adds one behind `length` others.
    fn push(&mut self, length: usize, bytes: u32) {
        match self {
            Self::Equal(all) if length == 0 => *all = bytes,
            Self::Equal(all) if *all == bytes => {}
            Self::Equal(all) => {
                let room = (length + 1).next_power_of_two();
                *self = if let (Ok(all), Ok(_)) = (u16::try_from(*all), u16::try_from(bytes)) {
                    let mut sizes = Vec::with_capacity(room);
                    sizes.resize(length, all);
                    Self::Short(sizes)
                } else {
                    let mut sizes = Vec::with_capacity(room);
                    sizes.resize(length, *all);
                    Self::Long(sizes)
                };
                self.push(length, bytes);
            }
            Self::Short(sizes) => {
                debug_assert_eq!(sizes.len(), length);
                if let Ok(bytes) = u16::try_from(bytes) {
                    sizes.push(bytes);
                } else {
                    let mut long = Vec::with_capacity((length + 1).next_power_of_two());
                    long.extend(sizes.iter().map(|size| u32::from(*size)));
                    long.push(bytes);
                    *self = Self::Long(long);
                }
            }
            Self::Long(sizes) => {
                debug_assert_eq!(sizes.len(), length);
                sizes.push(bytes);
            }
        }
    }

    fn get(&self, place: usize) -> u32 {
        match self {
            Self::Equal(all) => *all,
            Self::Short(sizes) => u32::from(sizes[place]),
            Self::Long(sizes) => sizes[place],
        }
    }

    /// A size that costs nothing to add, for where there is no message.
    fn any(&self) -> u32 {
        match self {
            Self::Equal(all) => *all,
            Self::Short(_) | Self::Long(_) => 0,
        }
    }

    fn remove(&mut self, places: Range<usize>) {
        match self {
            Self::Equal(_) => {}
            Self::Short(sizes) => {
                sizes.drain(places);
            }
            Self::Long(sizes) => {
                sizes.drain(places);
            }
        }
    }

    fn shrink_to(&mut self, room: usize) {
        match self {
            Self::Equal(_) => {}
            Self::Short(sizes) => sizes.shrink_to(room),
            Self::Long(sizes) => sizes.shrink_to(room),
        }
    }
}

/// Whether what is missing is worth its room: a message of a sparse chunk takes twice as much.
fn is_dense(live: usize, span: usize) -> bool {
    live * 3 >= span
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Operation {
        Push { count: u64, step: u64, bytes: u32 },
        Remove { from_thousandths: usize, count: usize, every: usize },
        TruncateFront { thousandths: usize },
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let step = prop_oneof![6 => Just(1_u64), 2 => 1_u64..300, 1 => 1_u64..100_000_000, 1 => Just(1_u64 << 33)];
        let bytes = prop_oneof![4 => Just(100_u32), 2 => 0_u32..300, 1 => any::<u32>()];
        prop_oneof![
            6 => (1_u64..6_000, step, bytes).prop_map(|(count, step, bytes)| Operation::Push { count, step, bytes }),
            6 => (0_usize..1_000, 1_usize..6_000, 1_usize..10).prop_map(
                |(from_thousandths, count, every)| Operation::Remove { from_thousandths, count, every }
            ),
            2 => (0_usize..=1_000).prop_map(|thousandths| Operation::TruncateFront { thousandths }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_are_a_map(operations in prop::collection::vec(operation(), 1..20)) {
            let (mut rows, mut model) = (Rows::default(), BTreeMap::new());
            let mut next = 1_u64;
            for operation in operations {
                match operation {
                    Operation::Push { count, step, bytes } => for number in 0..count {
                        next += step;
                        let subject = u32::try_from(number).unwrap();
                        let bytes = if number > 20 { bytes } else { 100 };
                        rows.push(next, subject, bytes);
                        model.insert(next, (subject, bytes));
                    },
                    Operation::Remove { from_thousandths, count, every } => {
                        let from = model.len() * from_thousandths / 1_000;
                        let gone: Vec<u64> = model.keys().copied().skip(from).step_by(every).take(count).collect();
                        for sequence in gone {
                            prop_assert_eq!(rows.remove(sequence), model.remove(&sequence));
                            prop_assert_eq!(rows.remove(sequence), None);
                        }
                    }
                    Operation::TruncateFront { thousandths } => {
                        let at = model.len() * thousandths / 1_000;
                        let to = model.keys().copied().nth(at).unwrap_or(next + 1);
                        let kept = model.split_off(&to);
                        let mut gone = Vec::new();
                        rows.truncate_front(to, |subject, bytes| gone.push((subject, bytes)));
                        prop_assert_eq!(gone, model.into_values().collect::<Vec<_>>());
                        model = kept;
                    }
                }
                check(&rows, &model, next);
            }
        }
    }

    fn check(rows: &Rows, model: &BTreeMap<u64, (u32, u32)>, next: u64) {
        assert_eq!(rows.messages(), model.len() as u64);
        assert_eq!(rows.first(), model.keys().next().copied());
        assert_eq!(rows.last(), model.keys().next_back().copied());
        let mut all = Vec::new();
        rows.each_from(0, |sequence, subject| {
            all.push((sequence, subject));
            ControlFlow::<()>::Continue(())
        });
        assert!(
            all.iter()
                .copied()
                .eq(model.iter().map(|(sequence, (subject, _))| (*sequence, *subject)))
        );
        let known = model.keys().copied().step_by(model.len() / 20 + 1);
        let probes = known.flat_map(|at| [at - 1, at, at + 1]);
        for probe in probes.chain([0, next, next + 1, u64::MAX]) {
            assert_eq!(rows.get(probe), model.get(&probe).copied(), "{probe}");
            let after = model.range(probe..).next().map(|(sequence, _)| *sequence);
            assert_eq!(rows.next_from(probe), after, "{probe}");
            let before = model.range(..=probe).next_back().map(|(sequence, _)| *sequence);
            assert_eq!(rows.previous_from(probe), before, "{probe}");
            let gap = (probe..u64::MAX).take_while(|at| model.contains_key(at)).count() as u64;
            assert_eq!(rows.gap_from(probe) - probe, gap, "{probe}");
            assert_eq!(rows.count_below(probe), model.range(..probe).count() as u64, "{probe}");
            assert_eq!(rows.each_from(probe, |sequence, _| ControlFlow::Break(sequence)), after);
            assert_eq!(
                rows.each_back_from(probe, |sequence, _| ControlFlow::Break(sequence)),
                before
            );
        }
    }

    #[test]
    fn a_message_in_a_thousand_does_not_keep_the_others_memory() {
        let mut rows = Rows::default();
        for sequence in 1..=1_000_000 {
            rows.push(sequence, 1, 100);
        }
        let full = rows.memory_bytes();
        assert!(full < 4_200_000, "{full}");
        for sequence in (1..=1_000_000).filter(|sequence| sequence % 1_000 != 0) {
            rows.remove(sequence);
        }
        let left = rows.memory_bytes();
        assert!(left < 50_000, "{left}");
    }
}
