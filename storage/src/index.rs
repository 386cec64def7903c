//! Where the messages of one segment start, four bytes each, and which of them are deleted.
//!
//! It is derived from the records, and never evidence of anything.

use std::ops::Range;

use crate::record::ALIGNMENT_BYTES;

/// Sequence to offset, for one segment.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Offsets divided by the alignment, so that a segment may have 32 GiB.
    places: Vec<u32>,
    /// Where the sequences go on without a gap; nearly always there is one.
    runs: Vec<Run>,
    deleted: Marks,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first_sequence: u64,
    first_place: usize,
}

/// The largest offset that an [`Index`] can hold, and so the largest segment, in bytes.
pub(crate) const OFFSET_MAX: u64 = u32::MAX as u64 * ALIGNMENT_BYTES as u64;

impl Index {
    /// Adds a message behind all others.
    pub(crate) fn push(&mut self, sequence: u64, offset: u64) {
        let place = u32::try_from(offset / ALIGNMENT_BYTES as u64)
            .expect("a segment is no longer than an index can hold");
        if self.next_sequence() != Some(sequence) {
            debug_assert!(self.next_sequence().is_none_or(|next| next < sequence));
            self.runs.push(Run { first_sequence: sequence, first_place: self.places.len() });
        }
        self.places.push(place);
    }

    /// An index whose places were written down. `runs` are first sequences and first places.
    /// `None`: they are not in order.
    pub(crate) fn from_parts(places: Vec<u32>, runs: &[(u64, u32)]) -> Option<Self> {
        let runs: Vec<Run> = runs
            .iter()
            .map(|(sequence, place)| Run {
                first_sequence: *sequence,
                first_place: *place as usize,
            })
            .collect();
        let in_order = runs.is_empty() == places.is_empty()
            && runs.first().is_none_or(|run| run.first_place == 0)
            && runs.last().is_none_or(|run| {
                let step = places.len().checked_sub(run.first_place).filter(|step| *step > 0);
                step.and_then(|step| run.first_sequence.checked_add(step as u64)).is_some()
            })
            && runs.windows(2).all(|pair| {
                let step = pair[1].first_place.checked_sub(pair[0].first_place);
                let end = step.and_then(|step| pair[0].first_sequence.checked_add(step as u64));
                step.is_some_and(|step| step > 0)
                    && end.is_some_and(|end| end < pair[1].first_sequence)
            })
            && places.windows(2).all(|pair| pair[0] < pair[1]);
        in_order.then(|| Self { places, runs, deleted: Marks::default() })
    }

    /// First sequences and first places of the runs.
    pub(crate) fn runs(&self) -> impl ExactSizeIterator<Item = (u64, u32)> {
        self.runs.iter().map(|run| {
            (run.first_sequence, u32::try_from(run.first_place).expect("a segment is short"))
        })
    }

    /// Offsets divided by the alignment.
    pub(crate) fn places(&self) -> &[u32] {
        &self.places
    }

    /// The messages at or behind `sequence` that are not deleted: their sequences and places.
    pub(crate) fn live_from(&self, sequence: u64) -> impl Iterator<Item = (u64, usize)> {
        let first = self.place_from(sequence);
        let ends = self.runs.iter().skip(1).map(|run| run.first_place);
        let runs = self.runs.iter().zip(ends.chain([self.places.len()]));
        let runs = runs.skip_while(move |(_, end)| *end <= first);
        runs.flat_map(move |(run, end)| {
            let mut place = run.first_place.max(first);
            std::iter::from_fn(move || {
                place = self.deleted.next_unset(place);
                if place >= end {
                    return None;
                }
                place += 1;
                Some((run.first_sequence + (place - 1 - run.first_place) as u64, place - 1))
            })
        })
    }

    /// Where the message at a place is.
    pub(crate) fn offset_at(&self, place: usize) -> u64 {
        self.offset(place)
    }

    /// The last sequence, deleted or not.
    pub(crate) fn last(&self) -> Option<u64> {
        self.next_sequence().map(|next| next - 1)
    }

    /// The last sequence before an offset.
    pub(crate) fn last_before(&self, offset: u64) -> Option<u64> {
        let end = self
            .places
            .partition_point(|place| u64::from(*place) * (ALIGNMENT_BYTES as u64) < offset);
        end.checked_sub(1).map(|place| self.sequence(place))
    }

    /// Where a message is, deleted or not.
    pub(crate) fn offset_of(&self, sequence: u64) -> Option<u64> {
        let place = self.place_from(sequence);
        (place < self.places.len() && self.sequence(place) == sequence).then(|| self.offset(place))
    }

    /// The messages of a range that are deleted, or below `front`.
    pub(crate) fn deleted_in(
        &self,
        sequences: Range<u64>,
        front: u64,
    ) -> impl Iterator<Item = u64> {
        let places = self.place_from(sequences.start)..self.place_from(sequences.end);
        let below = self.place_from(front);
        places
            .filter(move |place| *place < below || self.deleted.is_set(*place))
            .map(|place| self.sequence(place))
    }

    /// Marks the messages of a range as deleted, and answers how many were not yet, and how many
    /// bytes they take. `end` is where the records end.
    pub(crate) fn delete(&mut self, sequences: Range<u64>, end: u64) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        for place in self.place_from(sequences.start)..self.place_from(sequences.end) {
            if self.deleted.set(place) {
                messages += 1;
                bytes += self.offset_or(place + 1, end) - self.offset(place);
            }
        }
        (messages, bytes)
    }

    /// Marks as deleted what is in `now` and is not in `before`, of which this one is a part.
    pub(crate) fn delete_since(&mut self, now: &Self, before: &Marks, end: u64) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        for (at, word) in now.deleted.words.iter().enumerate() {
            let mut new = word & !before.words.get(at).copied().unwrap_or(0);
            while new != 0 {
                let place = at * 64 + new.trailing_zeros() as usize;
                new &= new - 1;
                let sequence = now.sequence(place);
                let (more, more_bytes) = self.delete(sequence..sequence + 1, end);
                messages += more;
                bytes += more_bytes;
            }
        }
        (messages, bytes)
    }

    /// What is deleted, by place.
    pub(crate) fn deleted(&self) -> &Marks {
        &self.deleted
    }

    /// The first message at or behind `sequence` that is not deleted, and its offset.
    pub(crate) fn next_from(&self, sequence: u64) -> Option<(u64, u64)> {
        let place = self.deleted.next_unset(self.place_from(sequence));
        (place < self.places.len()).then(|| (self.sequence(place), self.offset(place)))
    }

    /// The last message at or before `sequence` that is not deleted.
    pub(crate) fn last_up_to(&self, sequence: u64) -> Option<u64> {
        let end = self.place_from(sequence.saturating_add(1));
        self.deleted.last_unset_below(end).map(|place| self.sequence(place))
    }

    /// How many messages that are not deleted are in a range.
    pub(crate) fn count_in(&self, sequences: Range<u64>) -> u64 {
        let places = self.place_from(sequences.start)..self.place_from(sequences.end);
        (places.len() - self.deleted.count_in(places)) as u64
    }

    fn next_sequence(&self) -> Option<u64> {
        let run = self.runs.last()?;
        Some(run.first_sequence + (self.places.len() - run.first_place) as u64)
    }

    /// The place of the first message at or behind `sequence`, deleted or not.
    fn place_from(&self, sequence: u64) -> usize {
        let at = self.runs.partition_point(|run| run.first_sequence <= sequence);
        let end = self.runs.get(at).map_or(self.places.len(), |next| next.first_place);
        let Some(run) = at.checked_sub(1).map(|before| self.runs[before]) else { return end };
        let step = usize::try_from(sequence - run.first_sequence).unwrap_or(usize::MAX);
        run.first_place.saturating_add(step).min(end)
    }

    fn sequence(&self, place: usize) -> u64 {
        let at = self.runs.partition_point(|run| run.first_place <= place);
        let run = self.runs[at - 1];
        run.first_sequence + (place - run.first_place) as u64
    }

    fn offset_or(&self, place: usize, end: u64) -> u64 {
        if place < self.places.len() { self.offset(place) } else { end }
    }

    fn offset(&self, place: usize) -> u64 {
        u64::from(self.places[place]) * ALIGNMENT_BYTES as u64
    }
}

/// A set of places, in which the next one outside is found quickly even if most are inside. It
/// has no memory while it is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    words: Vec<u64>,
    /// A bit for each word of which every bit is set.
    full: Vec<u64>,
    count: usize,
}

impl Marks {
    /// Answers whether the place was not marked.
    fn set(&mut self, place: usize) -> bool {
        let (word, bit) = (place / 64, 1 << (place % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += usize::from(is_new);
        if self.words[word] == u64::MAX {
            if word / 64 >= self.full.len() {
                self.full.resize(word / 64 + 1, 0);
            }
            self.full[word / 64] |= 1 << (word % 64);
        }
        is_new
    }

    pub(crate) fn is_set(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// The first place at or behind `place` that is not marked.
    fn next_unset(&self, place: usize) -> usize {
        let Some(first) = self.words.get(place / 64) else { return place };
        let rest = !first & (u64::MAX << (place % 64));
        if rest != 0 {
            return place / 64 * 64 + rest.trailing_zeros() as usize;
        }
        let word = next_clear(&self.full, place / 64 + 1);
        word * 64 + self.words.get(word).map_or(0, |word| word.trailing_ones() as usize)
    }

    /// The last place below `end` that is not marked.
    fn last_unset_below(&self, end: usize) -> Option<usize> {
        let place = end.checked_sub(1)?;
        let word = self.words.get(place / 64).copied().unwrap_or(0);
        let rest = !word & (u64::MAX >> (63 - place % 64));
        if rest != 0 {
            return Some(place / 64 * 64 + 63 - rest.leading_zeros() as usize);
        }
        let word = last_clear_below(&self.full, place / 64)?;
        Some(word * 64 + 63 - self.words[word].leading_ones() as usize)
    }

    fn count_in(&self, places: Range<usize>) -> usize {
        if places.is_empty() {
            return 0;
        }
        if places.start == 0 && places.end / 64 >= self.words.len() {
            return self.count;
        }
        let (first, last) = (places.start / 64, (places.end - 1) / 64);
        let words = self.words.iter().enumerate().take(last + 1).skip(first);
        words
            .map(|(at, word)| {
                let mut word = *word;
                if at == first {
                    word &= u64::MAX << (places.start % 64);
                }
                if at == last {
                    word &= u64::MAX >> (63 - (places.end - 1) % 64);
                }
                word.count_ones() as usize
            })
            .sum()
    }
}

/// The first bit at or behind `at` that is not set; bits behind the end are not.
fn next_clear(words: &[u64], at: usize) -> usize {
    let Some(first) = words.get(at / 64) else { return at };
    let rest = !first & (u64::MAX << (at % 64));
    if rest != 0 {
        return at / 64 * 64 + rest.trailing_zeros() as usize;
    }
    let rest = words[at / 64 + 1..].iter().position(|word| *word != u64::MAX);
    let word = rest.map_or(words.len(), |step| at / 64 + 1 + step);
    word * 64 + words.get(word).map_or(0, |word| word.trailing_ones() as usize)
}

/// The last bit below `end` that is not set.
fn last_clear_below(words: &[u64], end: usize) -> Option<usize> {
    let at = end.checked_sub(1)?;
    let rest = !words.get(at / 64).copied().unwrap_or(0) & (u64::MAX >> (63 - at % 64));
    if rest != 0 {
        return Some(at / 64 * 64 + 63 - rest.leading_zeros() as usize);
    }
    let word = words[..at / 64].iter().rposition(|word| *word != u64::MAX)?;
    Some(word * 64 + 63 - words[word].leading_ones() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_stepped_over_and_counted_right() {
        let mut index = Index::default();
        let sequences = [3, 4, 5, 9, 10, 1_000_000_000_000];
        for sequence in sequences {
            index.push(sequence, sequence % 1_000 * 8);
        }
        for from in (0..12).chain([999_999_999_999, 1_000_000_000_000, 1_000_000_000_001]) {
            let expected = sequences.iter().copied().find(|sequence| *sequence >= from);
            let expected = expected.map(|sequence| (sequence, sequence % 1_000 * 8));
            assert_eq!(index.next_from(from), expected, "{from}");
            let expected = sequences.iter().copied().rfind(|sequence| *sequence <= from);
            assert_eq!(index.last_up_to(from), expected, "{from}");
            let count = sequences.iter().filter(|sequence| **sequence >= from).count() as u64;
            assert_eq!(index.count_in(from..u64::MAX), count, "{from}");
        }
        assert_eq!(Index::default().next_from(0), None);
        assert_eq!(Index::default().last_up_to(5), None);
        assert_eq!(Index::default().count_in(0..u64::MAX), 0);
    }

    #[test]
    fn deleted_messages_are_stepped_over_and_counted_right() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..40_u64 {
            let mut index = Index::default();
            let mut live: Vec<u64> = (100..100 + random.u64(1..10_000))
                .filter(|sequence| round % 2 == 0 || sequence % 1_000 > 10)
                .collect();
            for sequence in &live {
                index.push(*sequence, sequence * 8);
            }
            for _ in 0..random.usize(0..30) {
                let start = random.u64(90..10_200);
                let range = start..start + random.u64(0..4_200) / random.u64(1..200);
                let before = live.len();
                live.retain(|sequence| !range.contains(sequence));
                let deleted = (before - live.len()) as u64;
                let (messages, bytes) = index.delete(range, u64::MAX / 2);
                assert_eq!(messages, deleted);
                assert!(bytes >= deleted * 8);
            }
            assert_eq!(index.count_in(0..u64::MAX), live.len() as u64);
            for _ in 0..100 {
                let (from, to) = (random.u64(90..10_200), random.u64(90..10_200));
                let at = live.partition_point(|sequence| *sequence < from);
                let expected = live.get(at).map(|sequence| (*sequence, sequence * 8));
                assert_eq!(index.next_from(from), expected, "{from}");
                let end = live.partition_point(|sequence| *sequence <= from);
                let expected = end.checked_sub(1).map(|last| live[last]);
                assert_eq!(index.last_up_to(from), expected, "{from}");
                let told: Vec<u64> = index.live_from(from).map(|(sequence, _)| sequence).collect();
                assert_eq!(told, live[at..], "{from}");
                let to_at = live.partition_point(|sequence| *sequence < to);
                let expected = to_at.saturating_sub(at) as u64;
                assert_eq!(index.count_in(from..to.max(from)), expected, "{from}..{to}");
            }
        }
    }
}
