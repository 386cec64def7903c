//! Which messages have which subject, and which are there at all: all that is asked of a stream
//! and needs no disk.
//!
//! It is derived from the records, and never evidence of anything. It knows sequences, subjects
//! and sizes. It refuses to know payloads, and where the messages are.

mod names;
mod paged;
mod postings;
mod rows;
mod selection;
mod slabs;
mod table;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::{AddAssign, ControlFlow};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::filters::Filters;
use names::{MANY, Names, Number};
use postings::{List, Postings};
use rows::Rows;
pub(crate) use selection::Memory;
use slabs::NOWHERE;

/// The messages of a stream by sequence and by subject.
///
/// Sequences only grow and may have gaps. Messages go anywhere, at any time. It takes about 4
/// bytes a message for its subject, 4 to 6 for its place among those of its subject, up to 4 for
/// its size (none if neighbours are equally large), and 70 a subject, the name among them.
#[derive(Debug)]
pub struct SubjectIndex {
    names: Names<List>,
    postings: Postings,
    rows: Rows,
    bytes: u64,
    /// Not that of any other index of this process, now or before.
    identity: u64,
}

/// The messages of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectState {
    /// The first sequence.
    pub first: u64,
    /// The last sequence.
    pub last: u64,
    /// How many there are, at least one.
    pub count: u64,
}

/// Messages that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many they were.
    pub messages: u64,
    /// Their sizes together, as they were given to [`SubjectIndex::append`].
    pub bytes: u64,
}

/// With more filters than these, even if none has a wildcard, it pays to remember the matches.
const LITERALS_MAX: usize = 16;
/// Messages that are compared before subjects are looked for.
const COMPARED_MIN: usize = 64;

impl AddAssign for Removed {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}

impl Default for SubjectIndex {
    fn default() -> Self {
        static IDENTITY_NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            names: Names::new(),
            postings: Postings::default(),
            rows: Rows::default(),
            bytes: 0,
            identity: IDENTITY_NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl SubjectIndex {
    /// An index of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message behind all others. `bytes` is its size, however the owner counts.
    ///
    /// # Panics
    ///
    /// The sequence is 0, or not above that of the message added before, or the subject is longer than
    /// [`SUBJECT_BYTES_MAX`](crate::SUBJECT_BYTES_MAX).
    pub fn append(&mut self, sequence: u64, subject: &[u8], bytes: u32) {
        let number = self.names.find_or_insert(subject, List::EMPTY);
        self.push(sequence, number, bytes);
    }

    /// Adds messages behind all others: their sequences, subjects and sizes. If there are many
    /// subjects, it takes a fraction of what adding each takes.
    ///
    /// # Panics
    ///
    /// As [`append`](Self::append).
    pub fn append_many<'a>(&mut self, mut messages: impl Iterator<Item = (u64, &'a [u8], u32)>) {
        loop {
            let (mut group, mut names) = ([(0, NOWHERE, 0); MANY], [&[][..]; MANY]);
            let mut count = 0;
            for (sequence, subject, bytes) in messages.by_ref().take(MANY) {
                (group[count], names[count]) = ((sequence, NOWHERE, bytes), subject);
                count += 1;
            }
            if count < MANY / 8 {
                for ((sequence, _, bytes), subject) in group.into_iter().zip(names).take(count) {
                    self.append(sequence, subject, bytes);
                }
                return;
            }
            let numbers = self.names.find_many(&names);
            for at in 0..count {
                group[at].1 = numbers[at];
                if numbers[at] == NOWHERE {
                    group[at].1 = self.names.find_or_insert(names[at], List::EMPTY);
                }
            }
            self.push_many(&group[..count]);
        }
    }

    /// As [`append_many`](Self::append_many), of messages whose subjects were written down once
    /// for all of them: sequence, place of the subject in `subjects`, and size.
    ///
    /// # Panics
    ///
    /// As [`append`](Self::append), or a message has no place in `subjects`.
    pub fn append_listed<'a>(
        &mut self,
        subjects: impl IntoIterator<Item = &'a [u8]>,
        messages: impl IntoIterator<Item = (u64, u32, u32)>,
    ) {
        let mut subjects = subjects.into_iter();
        let (mut numbers, mut made) = (Vec::new(), Vec::new());
        loop {
            let mut names = [&[][..]; MANY];
            let mut count = 0;
            for subject in subjects.by_ref().take(MANY) {
                names[count] = subject;
                count += 1;
            }
            if count == 0 {
                break;
            }
            for (name, number) in names.iter().zip(self.names.find_many(&names)).take(count) {
                let mut number = number;
                if number == NOWHERE {
                    number = self.names.find_or_insert(name, List::EMPTY);
                    made.push(number);
                }
                numbers.push(number);
            }
        }
        let mut messages = messages.into_iter();
        loop {
            let mut group = [(0, NOWHERE, 0); MANY];
            let mut count = 0;
            for (sequence, subject, bytes) in messages.by_ref().take(MANY) {
                group[count] = (sequence, numbers[subject as usize], bytes);
                count += 1;
            }
            if count == 0 {
                break;
            }
            self.push_many(&group[..count]);
        }
        made.sort_unstable();
        made.dedup();
        for number in made {
            if self.names.get(number).is_empty() {
                self.names.remove(number);
            }
        }
    }

    /// Takes a message out. `None`: it is not there.
    pub fn remove(&mut self, sequence: u64) -> Option<Removed> {
        let (number, bytes) = self.rows.remove(sequence)?;
        let list = self.names.get_mut(number);
        let removed = self.postings.remove(list, sequence);
        debug_assert!(removed, "each message is in the list of its subject");
        if list.is_empty() {
            self.names.remove(number);
        }
        self.bytes -= u64::from(bytes);
        Some(Removed { messages: 1, bytes: u64::from(bytes) })
    }

    /// Takes all messages below `sequence` out.
    pub fn truncate_front(&mut self, sequence: u64) -> Removed {
        if self.rows.end() < sequence {
            let removed = Removed { messages: self.messages(), bytes: self.bytes };
            *self = Self::default();
            return removed;
        }
        let Self { names, postings, rows, .. } = self;
        let mut removed = Removed::default();
        let mut emptied = Vec::new();
        rows.truncate_front(sequence, |number, bytes| {
            removed.messages += 1;
            removed.bytes += u64::from(bytes);
            // All of its subject go with the first one, so that the rest find nothing to do.
            let list = names.get_mut(number);
            if postings.truncate_front(list, sequence) > 0 && list.is_empty() {
                emptied.push(number);
            }
        });
        // Not before: the rows name them as long as they are shown.
        emptied.into_iter().for_each(|number| names.remove(number));
        self.bytes -= removed.bytes;
        removed
    }

    /// How many messages there are.
    pub fn messages(&self) -> u64 {
        self.rows.messages()
    }

    /// The sizes of all messages together, as they were given to [`append`](Self::append).
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many subjects have a message.
    pub fn subject_count(&self) -> usize {
        self.names.len()
    }

    /// The first message.
    pub fn first_sequence(&self) -> Option<u64> {
        self.rows.first()
    }

    /// The last message.
    pub fn last_sequence(&self) -> Option<u64> {
        self.rows.last()
    }

    /// Whether this message is there.
    pub fn contains(&self, sequence: u64) -> bool {
        self.rows.get(sequence).is_some()
    }

    /// The subject of a message that is there.
    pub fn subject_of(&self, sequence: u64) -> Option<&[u8]> {
        self.rows.get(sequence).map(|(number, _)| self.names.name(number))
    }

    /// The size of a message that is there, as it was given to [`append`](Self::append).
    pub fn bytes_of(&self, sequence: u64) -> Option<u32> {
        self.rows.get(sequence).map(|(_, bytes)| bytes)
    }

    /// The first message at or behind `sequence`.
    pub fn next_from(&self, sequence: u64) -> Option<u64> {
        self.rows.next_from(sequence)
    }

    /// The last message at or before `sequence`.
    pub fn previous_from(&self, sequence: u64) -> Option<u64> {
        self.rows.previous_from(sequence)
    }

    /// The first sequence at or behind `sequence` that has no message.
    pub fn gap_from(&self, sequence: u64) -> u64 {
        self.rows.gap_from(sequence)
    }

    /// How many messages are from `from` to `to`, both included.
    pub fn count_between(&self, from: u64, to: u64) -> u64 {
        if from > to { 0 } else { self.count_up_to(to) - self.rows.count_below(from) }
    }

    /// The first and last message of a subject, and how many it has. `None`: none.
    pub fn state_of(&self, subject: &[u8]) -> Option<SubjectState> {
        self.names.find(subject).map(|number| self.state(number))
    }

    /// The first message of a subject.
    pub fn first_of(&self, subject: &[u8]) -> Option<u64> {
        self.postings.first(self.list_of(subject)?)
    }

    /// The last message of a subject.
    pub fn last_of(&self, subject: &[u8]) -> Option<u64> {
        self.postings.last(self.list_of(subject)?)
    }

    /// How many messages a subject has.
    pub fn count_of(&self, subject: &[u8]) -> u64 {
        self.list_of(subject).map_or(0, |list| self.postings.count(list))
    }

    /// The first message at or behind `from` that the filters match. What it takes follows the
    /// matches: what it took to find the subjects is remembered in `filters`, so ask with the same
    /// ones again.
    pub fn next_matching(&self, filters: &Filters, from: u64) -> Option<u64> {
        if self.names.all_match(filters) {
            return self.next_from(from);
        }
        match filters.literals().filter(|literals| literals.len() <= LITERALS_MAX) {
            Some(literals) => {
                let lists = literals.filter_map(|literal| self.list_of(literal));
                lists.filter_map(|list| self.postings.next_from(list, from)).min()
            }
            None => {
                let mut memory = filters.memory(self.identity);
                self.next_selected(filters, from, &mut memory)
            }
        }
    }

    /// The last message at or before `up_to` that the filters match. Nothing is remembered.
    pub fn previous_matching(&self, filters: &Filters, up_to: u64) -> Option<u64> {
        if self.names.all_match(filters) {
            return self.previous_from(up_to);
        }
        let previous = |list: &List| self.postings.previous_from(list, up_to);
        let mut budget = COMPARED_MIN;
        loop {
            if let Some(matching) = self.names.matching_within(filters, budget) {
                let lists = matching.into_iter().map(|number| self.names.get(number));
                return lists.filter_map(previous).max();
            }
            let mut compared = 0;
            let found = self.rows.each_back_from(up_to, |sequence, number| {
                compared += 1;
                if filters.matches(self.names.name(number)) {
                    ControlFlow::Break(Some(sequence))
                } else if compared == budget {
                    ControlFlow::Break(None)
                } else {
                    ControlFlow::Continue(())
                }
            });
            match found {
                None => return None,
                Some(Some(sequence)) => return Some(sequence),
                Some(None) => budget *= 4,
            }
        }
    }

    /// How many messages from `from` to `to`, both included, the filters match. It looks at each
    /// subject that matches or at each message, whichever are fewer, or at none if all match.
    pub fn count_matching(&self, filters: &Filters, from: u64, to: u64) -> u64 {
        let count_all = self.count_between(from, to);
        if count_all == 0 || self.names.all_match(filters) {
            return count_all;
        }
        let few = usize::try_from(count_all).unwrap_or(usize::MAX);
        if let Some(matching) = self.names.matching_within(filters, few.max(COMPARED_MIN)) {
            let lists = matching.into_iter().map(|number| self.names.get(number));
            return lists.map(|list| self.count_of_list(list, from, to)).sum();
        }
        let mut count = 0;
        self.rows.each_from(from, |sequence, number| {
            if sequence > to {
                return ControlFlow::Break(());
            }
            count += u64::from(filters.matches(self.names.name(number)));
            ControlFlow::Continue(())
        });
        count
    }

    /// The subjects that the filters match, in no order, but in the same one as long as nothing
    /// is appended or removed. It remembers four bytes for each while it goes on.
    pub fn subjects_matching(
        &self,
        filters: &Filters,
    ) -> impl ExactSizeIterator<Item = (&[u8], SubjectState)> {
        let numbers = self.names.matching(filters);
        numbers.into_iter().map(|number| (self.names.name(number), self.state(number)))
    }

    /// The last message of each subject that the filters match, of those up to `up_to`; rising.
    pub fn last_per_subject(&self, filters: &Filters, up_to: u64) -> Vec<u64> {
        let lists = self.names.matching(filters).into_iter().map(|number| self.names.get(number));
        let mut sequences: Vec<u64> =
            lists.filter_map(|list| self.postings.previous_from(list, up_to)).collect();
        sequences.sort_unstable();
        sequences
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub fn memory_bytes(&self) -> usize {
        self.names.memory_bytes() + self.postings.memory_bytes() + self.rows.memory_bytes()
    }

    fn count_up_to(&self, sequence: u64) -> u64 {
        sequence.checked_add(1).map_or(self.messages(), |end| self.rows.count_below(end))
    }

    /// Adds messages with the numbers of their subjects.
    fn push_many(&mut self, group: &[(u64, Number, u32)]) {
        // Waits for the memory of all of them together, see `Names::find_many`.
        let lists = group.iter().map(|(_, number, _)| self.names.get(*number));
        black_box(lists.fold(0, |sum, list| sum ^ self.postings.touch(list)));
        for (sequence, number, bytes) in group {
            self.push(*sequence, *number, *bytes);
        }
    }

    fn push(&mut self, sequence: u64, number: Number, bytes: u32) {
        self.rows.push(sequence, number, bytes);
        self.postings.push(self.names.get_mut(number), sequence);
        self.bytes += u64::from(bytes);
    }

    fn count_of_list(&self, list: &List, from: u64, to: u64) -> u64 {
        // Asked of everything there is, the numbers themselves need not be looked at.
        let up_to = if self.rows.end() <= to {
            self.postings.count(list)
        } else {
            self.postings.count_below(list, to + 1)
        };
        if self.first_sequence().is_none_or(|first| from <= first) {
            up_to
        } else {
            up_to - self.postings.count_below(list, from)
        }
    }

    fn list_of(&self, subject: &[u8]) -> Option<&List> {
        self.names.find(subject).map(|number| self.names.get(number))
    }

    fn state(&self, number: Number) -> SubjectState {
        let list = self.names.get(number);
        let count = self.postings.count(list);
        let ends = self.postings.first(list).zip(self.postings.last(list));
        let (first, last) = ends.expect("a subject without messages is forgotten");
        SubjectState { first, last, count }
    }
}

/// Whether they have the same messages, of the same subjects and sizes.
impl PartialEq for SubjectIndex {
    fn eq(&self, other: &Self) -> bool {
        let rows = |index: &Self| {
            let (mut rows, mut names) = (Vec::new(), BTreeMap::new());
            index.rows.each_from(0, |sequence, number| {
                let name = index.names.name(number).to_vec();
                let state = index.state(number);
                names.insert(name.clone(), (state.first, state.last, state.count));
                rows.push((sequence, name, index.bytes_of(sequence)));
                ControlFlow::<()>::Continue(())
            });
            (rows, names, index.subject_count())
        };
        (self.messages(), self.bytes) == (other.messages(), other.bytes)
            && rows(self) == rows(other)
    }
}

impl Eq for SubjectIndex {}
