//! The sequences of each subject, in order: 4 to 6 bytes each, found by bisection.
//!
//! It knows rising numbers. It refuses to know subjects and messages.
//!
//! ```text
//!  empty ─► one: in the list itself ─► run: up to 256, as distances from a base
//!                                           │ more, or more than 2^32 apart
//!                                           ▼
//!                                      long: a directory of runs
//! ```

use std::collections::VecDeque;

use slab::Slab;

use super::slabs::{NOWHERE, Slabs};

/// The sequences of one subject, or a run of them. Everything else about them is in [`Postings`].
///
/// No sequence: `length` is 0 and `place` is nowhere. One: it is `base`, and `place` is nowhere.
/// Up to [`RUN_LENGTH_MAX`]: each is `base` and a distance, which are at `place`. In a list, but
/// not in a run of a long one, a `length` of 0 with a `place` says that the list is long.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    base: u64,
    place: u32,
    length: u16,
}

/// What lists refer to.
#[derive(Debug)]
pub(super) struct Postings {
    distances: Slabs<u32>,
    long: Slab<Long>,
}

#[derive(Debug, Default)]
struct Long {
    /// None is empty, and each ends before the next one's base.
    runs: VecDeque<List>,
    count: u64,
}

const RUN_LENGTH_MAX: usize = 256;
/// Neighbours in a long list become one when they have no more than this together.
const MERGED_LENGTH_MAX: usize = 128;
/// About a quarter more each time: what is unused stays small, and what is copied too.
const LENGTHS: &[u32] = &[2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];

impl List {
    pub(super) const EMPTY: Self = Self { base: 0, place: NOWHERE, length: 0 };

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0 && self.place == NOWHERE
    }

    fn one(sequence: u64) -> Self {
        Self { base: sequence, place: NOWHERE, length: 1 }
    }

    fn len(&self) -> usize {
        usize::from(self.length)
    }

    fn long(&self) -> Option<usize> {
        (self.length == 0 && self.place != NOWHERE).then_some(self.place as usize)
    }
}

impl Default for Postings {
    fn default() -> Self {
        Self { distances: Slabs::new(LENGTHS), long: Slab::new() }
    }
}

impl Postings {
    /// Adds a sequence above all others.
    pub(super) fn push(&mut self, list: &mut List, sequence: u64) {
        if list.is_empty() {
            *list = List::one(sequence);
            return;
        }
        if let Some(key) = list.long() {
            let Self { distances, long } = self;
            let long = &mut long[key];
            long.count += 1;
            let last = long.runs.back_mut().expect("a long list has runs");
            if !push_to_run(distances, last, sequence) {
                long.runs.push_back(List::one(sequence));
            }
        } else if !push_to_run(&mut self.distances, list, sequence) {
            let count = u64::from(list.length) + 1;
            let runs = VecDeque::from([*list, List::one(sequence)]);
            let key = self.long.insert(Long { runs, count });
            let place = u32::try_from(key).expect("a long list has two runs, which are in memory");
            assert!(place != NOWHERE, "as many long lists as fit 32 bits do not fit the memory");
            *list = List { base: 0, place, length: 0 };
        }
    }

    /// A number that is read where the next sequence will be written, for who wants that memory
    /// to be there already.
    pub(super) fn touch(&self, list: &List) -> u32 {
        if list.place == NOWHERE || list.length == 0 {
            return 0;
        }
        self.distances.get(list.place)[list.len() - 1]
    }

    /// Takes a sequence out. Answers whether it was there.
    pub(super) fn remove(&mut self, list: &mut List, sequence: u64) -> bool {
        let Some(key) = list.long() else {
            return remove_from_run(&mut self.distances, list, sequence);
        };
        let Self { distances, long } = self;
        let Long { runs, count } = &mut long[key];
        let Some(at) = run_of(runs, sequence) else { return false };
        if !remove_from_run(distances, &mut runs[at], sequence) {
            return false;
        }
        *count -= 1;
        if runs[at].is_empty() {
            runs.remove(at);
        } else {
            for left in [at.checked_sub(1), Some(at)].into_iter().flatten() {
                if left + 1 < runs.len() && merge(distances, runs, left) {
                    break;
                }
            }
        }
        self.shorten(list);
        true
    }

    /// Takes all sequences below `sequence` out, and answers how many they were.
    pub(super) fn truncate_front(&mut self, list: &mut List, sequence: u64) -> u64 {
        let Some(key) = list.long() else {
            return truncate_run(&mut self.distances, list, sequence);
        };
        let Self { distances, long } = self;
        let Long { runs, count } = &mut long[key];
        let mut removed = 0;
        while let Some(run) = runs.front_mut() {
            removed += truncate_run(distances, run, sequence);
            if !run.is_empty() {
                break;
            }
            runs.pop_front();
        }
        *count -= removed;
        self.shorten(list);
        removed
    }

    pub(super) fn count(&self, list: &List) -> u64 {
        list.long().map_or(u64::from(list.length), |key| self.long[key].count)
    }

    pub(super) fn first(&self, list: &List) -> Option<u64> {
        match list.long() {
            Some(key) => self.long[key].runs.front().and_then(|run| self.at(run, 0)),
            None => self.at(list, 0),
        }
    }

    pub(super) fn last(&self, list: &List) -> Option<u64> {
        let run = list.long().map_or(Some(list), |key| self.long[key].runs.back());
        run.and_then(|run| self.at(run, run.len().checked_sub(1)?))
    }

    /// The first sequence at or behind `sequence`.
    pub(super) fn next_from(&self, list: &List, sequence: u64) -> Option<u64> {
        let Some(key) = list.long() else {
            return self.at(list, self.rank(list, sequence));
        };
        let runs = &self.long[key].runs;
        let at = run_of(runs, sequence).unwrap_or(0);
        let found = self.at(&runs[at], self.rank(&runs[at], sequence));
        found.or_else(|| self.at(runs.get(at + 1)?, 0))
    }

    /// The last sequence at or before `sequence`.
    pub(super) fn previous_from(&self, list: &List, sequence: u64) -> Option<u64> {
        let previous = |run: &List| {
            let rank = sequence.checked_add(1).map_or(run.len(), |end| self.rank(run, end));
            self.at(run, rank.checked_sub(1)?)
        };
        let Some(key) = list.long() else { return previous(list) };
        let runs = &self.long[key].runs;
        let at = run_of(runs, sequence)?;
        // The base of a run may be below its first sequence.
        previous(&runs[at]).or_else(|| previous(&runs[at.checked_sub(1)?]))
    }

    /// How many sequences are below `sequence`.
    pub(super) fn count_below(&self, list: &List, sequence: u64) -> u64 {
        let Some(key) = list.long() else { return self.rank(list, sequence) as u64 };
        let Long { runs, count } = &self.long[key];
        let Some(at) = run_of(runs, sequence) else { return 0 };
        let sum = |runs: std::collections::vec_deque::Iter<'_, List>| -> u64 {
            runs.map(|run| u64::from(run.length)).sum()
        };
        let before =
            if at < runs.len() / 2 { sum(runs.range(..at)) } else { count - sum(runs.range(at..)) };
        before + self.rank(&runs[at], sequence) as u64
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        let runs = |long: &Long| long.runs.capacity() * size_of::<List>();
        self.distances.memory_bytes()
            + self.long.capacity() * size_of::<Long>()
            + self.long.iter().map(|(_, long)| runs(long)).sum::<usize>()
    }

    /// A long list that one run or none is left of is no longer long.
    fn shorten(&mut self, list: &mut List) {
        let Some(key) = list.long() else { return };
        if self.long[key].runs.len() <= 1 {
            let mut runs = self.long.remove(key).runs;
            *list = runs.pop_front().unwrap_or(List::EMPTY);
            if self.long.is_empty() {
                self.long.shrink_to_fit();
            }
        }
    }

    /// How many of a run are below `sequence`.
    fn rank(&self, run: &List, sequence: u64) -> usize {
        let Some(distance) = sequence.checked_sub(run.base) else { return 0 };
        if run.place == NOWHERE {
            return if distance > 0 { run.len() } else { 0 };
        }
        let Ok(distance) = u32::try_from(distance) else { return run.len() };
        self.distances.get(run.place)[..run.len()].partition_point(|known| *known < distance)
    }

    /// The sequence at a rank in a run, if there are so many.
    fn at(&self, run: &List, rank: usize) -> Option<u64> {
        if rank >= run.len() {
            None
        } else if run.place == NOWHERE {
            Some(run.base)
        } else {
            Some(run.base + u64::from(self.distances.get(run.place)[rank]))
        }
    }
}

/// The last run that starts at or before `sequence`.
fn run_of(runs: &VecDeque<List>, sequence: u64) -> Option<usize> {
    runs.partition_point(|run| run.base <= sequence).checked_sub(1)
}

/// Answers whether the sequence could be added: the run is not full, and it is not too far away.
fn push_to_run(distances: &mut Slabs<u32>, run: &mut List, sequence: u64) -> bool {
    let length = run.len();
    if run.place == NOWHERE {
        let Ok(distance) = u32::try_from(sequence - run.base) else { return false };
        run.place = distances.allocate(2);
        distances.get_mut(run.place)[..2].copy_from_slice(&[0, distance]);
        run.length = 2;
        return true;
    }
    if length == RUN_LENGTH_MAX {
        return false;
    }
    let distance = u32::try_from(sequence - run.base).or_else(|_| {
        rebase(distances, run);
        u32::try_from(sequence - run.base)
    });
    let Ok(distance) = distance else { return false };
    if length == distances.capacity(run.place) {
        run.place = distances.move_to(run.place, length, length + 1);
    }
    distances.get_mut(run.place)[length] = distance;
    run.length += 1;
    true
}

/// Lets the base be the first sequence.
fn rebase(distances: &mut Slabs<u32>, run: &mut List) {
    let known = &mut distances.get_mut(run.place)[..usize::from(run.length)];
    let first = known[0];
    known.iter_mut().for_each(|distance| *distance -= first);
    run.base += u64::from(first);
}

fn remove_from_run(distances: &mut Slabs<u32>, run: &mut List, sequence: u64) -> bool {
    if run.place == NOWHERE {
        let found = run.length == 1 && run.base == sequence;
        if found {
            *run = List::EMPTY;
        }
        return found;
    }
    let known = &mut distances.get_mut(run.place)[..usize::from(run.length)];
    let distance = sequence.checked_sub(run.base).and_then(|distance| u32::try_from(distance).ok());
    let Some(at) = distance.and_then(|distance| known.binary_search(&distance).ok()) else {
        return false;
    };
    known.copy_within(at + 1.., at);
    run.length -= 1;
    fit(distances, run);
    true
}

fn truncate_run(distances: &mut Slabs<u32>, run: &mut List, sequence: u64) -> u64 {
    if run.place == NOWHERE {
        let removed = u64::from(run.length == 1 && run.base < sequence);
        if removed > 0 {
            *run = List::EMPTY;
        }
        return removed;
    }
    let known = &mut distances.get_mut(run.place)[..usize::from(run.length)];
    let below =
        sequence.checked_sub(run.base).map_or(0, |distance| match u32::try_from(distance) {
            Ok(distance) => known.partition_point(|known| *known < distance),
            Err(_) => known.len(),
        });
    known.copy_within(below.., 0);
    run.length -= u16::try_from(below).expect("no more than there are");
    fit(distances, run);
    below as u64
}

/// Gives back what a run that became shorter does not need.
fn fit(distances: &mut Slabs<u32>, run: &mut List) {
    match run.length {
        0 => {
            distances.free(run.place);
            *run = List::EMPTY;
        }
        1 => {
            let sequence = run.base + u64::from(distances.get(run.place)[0]);
            distances.free(run.place);
            *run = List::one(sequence);
        }
        // Not at once, or one that comes and goes would be copied each time.
        length => {
            let length = usize::from(length);
            let roomy = (length + length / 3 + 1).min(RUN_LENGTH_MAX);
            if distances.capacity_for(roomy) < distances.capacity(run.place) {
                run.place = distances.move_to(run.place, length, length);
            }
        }
    }
}

/// Makes one run of two neighbours, if that is short. Answers whether it did.
fn merge(distances: &mut Slabs<u32>, runs: &mut VecDeque<List>, left: usize) -> bool {
    let (mut first, second) = (runs[left], runs[left + 1]);
    if first.len() + second.len() > MERGED_LENGTH_MAX {
        return false;
    }
    let sequence = |distances: &Slabs<u32>, rank: usize| {
        let distance = if second.place == NOWHERE { 0 } else { distances.get(second.place)[rank] };
        second.base + u64::from(distance)
    };
    if first.place != NOWHERE {
        rebase(distances, &mut first);
    }
    let reaches = u32::try_from(sequence(distances, second.len() - 1) - first.base).is_ok();
    if reaches {
        for rank in 0..second.len() {
            let next = sequence(distances, rank);
            let pushed = push_to_run(distances, &mut first, next);
            debug_assert!(pushed, "it is not too far away, and they are not too many");
        }
        if second.place != NOWHERE {
            distances.free(second.place);
        }
        runs.remove(left + 1);
    }
    runs[left] = first;
    reaches
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Operation {
        Push { count: u64, step: u64 },
        Remove { from_thousandths: usize, count: usize, every: usize },
        TruncateFront { thousandths: usize },
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let step = prop_oneof![6 => 1_u64..5, 2 => 1_u64..100_000_000, 1 => Just(1_u64 << 33)];
        prop_oneof![
            6 => (1_u64..700, step).prop_map(|(count, step)| Operation::Push { count, step }),
            4 => (0_usize..1_000, 1_usize..600, 1_usize..4).prop_map(
                |(from_thousandths, count, every)| Operation::Remove { from_thousandths, count, every }
            ),
            2 => (0_usize..=1_000).prop_map(|thousandths| Operation::TruncateFront { thousandths }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_list_is_a_set_of_numbers(operations in prop::collection::vec(operation(), 1..40)) {
            let (mut postings, mut list, mut model) = (Postings::default(), List::EMPTY, BTreeSet::new());
            let mut next = 1_u64;
            for operation in operations {
                match operation {
                    Operation::Push { count, step } => for _ in 0..count {
                        next += step;
                        postings.push(&mut list, next);
                        model.insert(next);
                    },
                    Operation::Remove { from_thousandths, count, every } => {
                        let from = model.len() * from_thousandths / 1_000;
                        let gone: Vec<u64> = model.iter().copied().skip(from).step_by(every).take(count).collect();
                        for sequence in gone {
                            prop_assert!(postings.remove(&mut list, sequence));
                            prop_assert!(!postings.remove(&mut list, sequence));
                            model.remove(&sequence);
                        }
                    }
                    Operation::TruncateFront { thousandths } => {
                        let at = model.len() * thousandths / 1_000;
                        let to = model.iter().copied().nth(at).unwrap_or(next + 1);
                        let kept = model.split_off(&to);
                        prop_assert_eq!(postings.truncate_front(&mut list, to), model.len() as u64);
                        model = kept;
                    }
                }
                check(&postings, &list, &model, next);
            }
            postings.truncate_front(&mut list, u64::MAX);
            prop_assert_eq!(postings.long.len(), 0);
            prop_assert!(postings.memory_bytes() < 128 << 10, "{}", postings.memory_bytes());
        }
    }

    fn check(postings: &Postings, list: &List, model: &BTreeSet<u64>, next: u64) {
        assert_eq!(list.is_empty(), model.is_empty());
        assert_eq!(postings.count(list), model.len() as u64);
        assert_eq!(postings.first(list), model.first().copied());
        assert_eq!(postings.last(list), model.last().copied());
        let known = model.iter().copied().step_by(model.len() / 20 + 1);
        let probes = known.flat_map(|at| [at - 1, at, at + 1]);
        for probe in probes.chain([0, next, next + 1, u64::MAX]) {
            let after = model.range(probe..).next().copied();
            assert_eq!(postings.next_from(list, probe), after, "{probe}");
            let before = model.range(..=probe).next_back().copied();
            assert_eq!(postings.previous_from(list, probe), before, "{probe}");
            let below = model.range(..probe).count() as u64;
            assert_eq!(postings.count_below(list, probe), below, "{probe}");
        }
    }
}
