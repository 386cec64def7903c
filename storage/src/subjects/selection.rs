//! What a filter has found out about an index, so that asking for the next match, and the next,
//! costs what the matches cost and not what lies between them.
//!
//! It belongs to the filter, and is forgotten with it. It is never wrong, only useless: it speaks
//! of the messages up to a horizon, to which none will ever be added. Those behind it are compared
//! one by one until they are many, and then a new one is made.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::SubjectIndex;
use super::names::Number;
use crate::filters::Filters;

/// What is remembered for filters with wildcards.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Which index it is about.
    identity: u64,
    selection: Option<Selection>,
    /// Messages that were compared for nothing since a selection was made, or since the start.
    compared: usize,
    /// With so many, a selection is worth as many steps.
    compared_max: usize,
    /// No message from the first of these to the second matches, both included.
    none_between: (u64, u64),
}

#[derive(Debug)]
struct Selection {
    /// Up to which message it holds.
    horizon: u64,
    subjects: Selected,
}

/// The subjects that match, of those that had messages when this was made.
#[derive(Debug)]
enum Selected {
    /// For each the first message at or behind `position`, if there is one.
    Few { heads: BinaryHeap<Reverse<(u64, Number)>>, position: u64 },
    /// A bit for each number.
    Many(Vec<u64>),
}

/// Where comparing messages one by one has led.
enum Compared {
    Match(u64),
    /// There is none behind.
    End,
    /// Here it can be gone on with.
    Unfinished(u64),
}

/// With more subjects than these, one message in a few thousand matches even of ten million, and
/// looking at each takes some microseconds a match. It bounds the heads to 64 KiB.
const FEW_MAX: usize = 4_096;
/// Messages that are compared before a selection is thought of.
const COMPARED_MIN: usize = 64;
/// How many times more they may be, when a selection takes too many steps.
const COMPARED_GROWTH: usize = 4;
/// Matches that are this close together are no reason for a selection.
const CLOSE: usize = 8;

impl SubjectIndex {
    /// The first message at or behind `asked` that filters with wildcards match.
    pub(super) fn next_selected(
        &self,
        filters: &Filters,
        asked: u64,
        memory: &mut Memory,
    ) -> Option<u64> {
        let last = self.rows.end();
        if last < asked {
            return None;
        }
        if memory.identity != self.identity {
            *memory = Memory::new(self.identity);
        }
        let mut from = asked;
        let (none_from, none_to) = memory.none_between;
        if (none_from..=none_to).contains(&from) {
            from = none_to + 1;
        }
        let found = self.next_selected_from(filters, from, last, memory);
        if found.is_none() {
            memory.none_between = (asked, last);
        }
        found
    }

    fn next_selected_from(
        &self,
        filters: &Filters,
        mut from: u64,
        last: u64,
        memory: &mut Memory,
    ) -> Option<u64> {
        loop {
            if let Some(selection) = &mut memory.selection
                && from <= selection.horizon
            {
                if selection.is_behind(from) {
                    // Whoever asks has gone back.
                    let made = self.select(filters, from, last, usize::MAX);
                    *selection = made.expect("so many steps are always enough");
                }
                if let Some(sequence) = selection.next(self, from) {
                    return Some(sequence);
                }
                from = selection.horizon + 1;
            }
            let budget = (memory.compared_max - memory.compared).max(CLOSE);
            let (compared, found) = self.compare(filters, from, budget);
            let for_nothing = memory.compared + compared.saturating_sub(CLOSE);
            memory.compared = for_nothing.min(memory.compared_max);
            match found {
                Compared::Match(sequence) => return Some(sequence),
                Compared::End => return None,
                Compared::Unfinished(next) => from = next,
            }
            if self.count_between(from, last) <= memory.compared_max as u64 {
                let (_, found) = self.compare(filters, from, usize::MAX);
                return if let Compared::Match(sequence) = found { Some(sequence) } else { None };
            }
            match self.select(filters, from, last, memory.compared_max) {
                None => memory.compared_max *= COMPARED_GROWTH,
                selection => *memory = Memory { selection, ..Memory::new(self.identity) },
            }
        }
    }

    /// Compares so many messages with the filters, one after the other.
    fn compare(&self, filters: &Filters, from: u64, budget: usize) -> (usize, Compared) {
        let mut compared = 0;
        let mut last = None;
        let ended = self.rows.each_from(from, |sequence, number| {
            if compared == budget {
                return ControlFlow::Break(Compared::Unfinished(sequence));
            }
            compared += 1;
            if last != Some(number) && filters.matches(self.names.name(number)) {
                return ControlFlow::Break(Compared::Match(sequence));
            }
            last = Some(number);
            ControlFlow::Continue(())
        });
        (compared, ended.unwrap_or(Compared::End))
    }

    /// Finds the subjects that match, if that takes no more than so many steps.
    fn select(&self, filters: &Filters, from: u64, last: u64, steps: usize) -> Option<Selection> {
        let numbers = self.names.matching_within(filters, steps)?;
        let subjects = if numbers.len() <= FEW_MAX {
            let head = |number: Number| {
                let first = self.postings.next_from(self.names.get(number), from)?;
                Some(Reverse((first, number)))
            };
            Selected::Few { heads: numbers.into_iter().filter_map(head).collect(), position: from }
        } else {
            let mut bits = vec![0; self.names.numbers_end().div_ceil(64)];
            for number in numbers {
                bits[number as usize / 64] |= 1 << (number % 64);
            }
            Selected::Many(bits)
        };
        Some(Selection { horizon: last, subjects })
    }
}

impl Memory {
    pub(crate) fn new(identity: u64) -> Self {
        Self {
            identity,
            selection: None,
            compared: 0,
            compared_max: COMPARED_MIN,
            none_between: (1, 0),
        }
    }
}

impl Selection {
    fn is_behind(&self, from: u64) -> bool {
        match self.subjects {
            Selected::Few { position, .. } => from < position,
            Selected::Many(_) => false,
        }
    }

    /// The first match from `from` up to the horizon.
    fn next(&mut self, index: &SubjectIndex, from: u64) -> Option<u64> {
        let horizon = self.horizon;
        match &mut self.subjects {
            Selected::Few { heads, position } => {
                *position = from;
                while let Some(Reverse((sequence, number))) = heads.peek().copied() {
                    if sequence >= from && index.contains(sequence) {
                        return Some(sequence);
                    }
                    // The subject may be gone, and its number be that of another one. All messages
                    // of that one are behind the horizon: it came after this was made.
                    let list = index.names.get_if_there(number);
                    let next = list
                        .and_then(|list| index.postings.next_from(list, from.max(sequence + 1)));
                    match next.filter(|next| *next <= horizon) {
                        Some(next) => {
                            let mut head = heads.peek_mut().expect("it was just seen");
                            *head = Reverse((next, number));
                        }
                        None => {
                            heads.pop();
                        }
                    }
                }
                None
            }
            Selected::Many(bits) => index
                .rows
                .each_from(from, |sequence, number| {
                    if sequence > horizon {
                        return ControlFlow::Break(None);
                    }
                    // Up to the horizon a number is still that of the subject that had it then,
                    // or it would have no message here.
                    let word = bits.get(number as usize / 64).copied().unwrap_or(0);
                    if word >> (number % 64) & 1 == 1 {
                        return ControlFlow::Break(Some(sequence));
                    }
                    ControlFlow::Continue(())
                })
                .flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader goes through an index while messages come and go, from time to time back, and is
    /// shown what comparing each message would show. Answers which selections it had.
    fn walk(filter: &str, subject: impl Fn(u64) -> String, messages: u64) -> (bool, bool) {
        let filters = Filters::parse([filter]).unwrap();
        let mut index = SubjectIndex::new();
        let mut random = fastrand::Rng::with_seed(messages);
        let (mut few, mut many) = (false, false);
        let mut last = 0;
        let mut append = |index: &mut SubjectIndex, count: u64| {
            for _ in 0..count {
                last += 1;
                index.append(last, subject(last).as_bytes(), 100);
            }
            last
        };
        let mut end = append(&mut index, messages);
        let (mut from, mut expected) = (0, Vec::new());
        let mut left = 12_000;
        while left > 0 {
            if expected.is_empty() {
                let mut next = from;
                index.rows.each_from(from, |sequence, number| {
                    if filters.matches(index.names.name(number)) {
                        expected.push(sequence);
                    }
                    next = sequence;
                    if expected.len() < 500 {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                });
                expected.reverse();
            }
            let found = index.next_matching(&filters, from);
            assert_eq!(found, expected.pop(), "{filter} from {from}");
            if let Some(selection) = &filters.memory(index.identity).selection {
                few |= matches!(selection.subjects, Selected::Few { .. });
                many |= matches!(selection.subjects, Selected::Many(_));
            }
            left -= 1;
            from = found.map_or(end, |found| found + 1);
            if random.u16(..) < 100 {
                // Whole subjects go, and others come that get their numbers.
                for sequence in from..(from + 3_000).min(end) {
                    if random.bool() {
                        index.remove(sequence);
                    }
                }
                end = append(&mut index, 100);
                from -= random.u64(0..=from.min(1_000));
                expected.clear();
            }
            if found.is_none() {
                end = append(&mut index, 1_000);
                expected.clear();
            }
        }
        (few, many)
    }

    #[test]
    fn a_reader_of_few_subjects_is_shown_each_match() {
        let subject = |number: u64| match number % 300 {
            0 => format!("b.{}.x", number / 300 % 40),
            1 => format!("b.{number}.y"),
            _ => format!("a.{}", number % 100),
        };
        assert_eq!(walk("b.*.x", subject, 200_000), (true, false));
    }

    #[test]
    fn a_reader_of_many_subjects_is_shown_each_match() {
        let subject = |number: u64| match number % 100 {
            0 => format!("b.{number}.x"),
            1 => format!("b.{number}.y"),
            _ => format!("a.{}", number % 100),
        };
        assert_eq!(walk("b.*.x", subject, 500_000), (false, true));
    }

    #[test]
    fn a_reader_of_everything_remembers_nothing() {
        let subject = |number: u64| format!("a.{}", number % 1_000);
        assert_eq!(walk("*.*", subject, 20_000), (false, false));
    }

    #[test]
    fn what_is_remembered_of_one_index_is_not_used_for_another() {
        let filters = Filters::parse(["b.*.x"]).unwrap();
        for rare in [900, 400] {
            let mut index = SubjectIndex::new();
            for sequence in 1..=1_000 {
                let subject = if sequence == rare { &b"b.1.x"[..] } else { b"a.1.x" };
                index.append(sequence, subject, 1);
            }
            for _ in 0..3 {
                assert_eq!(index.next_matching(&filters, 1), Some(rare));
                assert_eq!(index.next_matching(&filters, rare + 1), None);
            }
            // The same index without its messages is another one, too.
            index.truncate_front(1_001);
            assert_eq!(index.next_matching(&filters, 1), None);
            index.append(2_000, b"b.2.x", 1);
            assert_eq!(index.next_matching(&filters, 1), Some(2_000));
        }
    }
}
