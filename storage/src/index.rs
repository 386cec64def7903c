//! Where the messages of one segment start: four bytes each.
//!
//! It is derived from the records at each opening, and never evidence of anything.

/// Sequence to offset, for one segment.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Offsets divided by the alignment, so that a segment may have 32 GiB.
    places: Vec<u32>,
    /// Where the sequences go on without a gap; nearly always there is one.
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first_sequence: u64,
    first_place: usize,
}

/// The largest offset that an [`Index`] can hold, and so the largest segment, in bytes.
pub(crate) const OFFSET_MAX: u64 = u32::MAX as u64 * crate::record::ALIGNMENT_BYTES as u64;

impl Index {
    /// Adds a message behind all others.
    pub(crate) fn push(&mut self, sequence: u64, offset: u64) {
        let place = u32::try_from(offset / crate::record::ALIGNMENT_BYTES as u64)
            .expect("a segment is no longer than an index can hold");
        if self.next_sequence() != Some(sequence) {
            debug_assert!(self.next_sequence().is_none_or(|next| next < sequence));
            self.runs.push(Run { first_sequence: sequence, first_place: self.places.len() });
        }
        self.places.push(place);
    }

    /// The first message at or behind `sequence`, and its offset.
    pub(crate) fn next_from(&self, sequence: u64) -> Option<(u64, u64)> {
        let at = self.runs.partition_point(|run| run.first_sequence <= sequence);
        if let Some(run) = at.checked_sub(1).map(|before| self.runs[before]) {
            let end = self.runs.get(at).map_or(self.places.len(), |next| next.first_place);
            let place = usize::try_from(sequence - run.first_sequence)
                .ok()
                .and_then(|step| run.first_place.checked_add(step));
            if let Some(place) = place.filter(|place| *place < end) {
                return Some((sequence, self.offset(place)));
            }
        }
        self.runs.get(at).map(|run| (run.first_sequence, self.offset(run.first_place)))
    }

    /// How many messages are at or behind `sequence`.
    pub(crate) fn count_from(&self, sequence: u64) -> u64 {
        let at = self.runs.partition_point(|run| run.first_sequence <= sequence);
        let before = at.checked_sub(1).map_or(0, |before| {
            let run = self.runs[before];
            let end = self.runs.get(at).map_or(self.places.len(), |next| next.first_place);
            let step = usize::try_from(sequence - run.first_sequence).unwrap_or(usize::MAX);
            run.first_place.saturating_add(step).min(end)
        });
        (self.places.len() - before) as u64
    }

    fn next_sequence(&self) -> Option<u64> {
        let run = self.runs.last()?;
        Some(run.first_sequence + (self.places.len() - run.first_place) as u64)
    }

    fn offset(&self, place: usize) -> u64 {
        u64::from(self.places[place]) * crate::record::ALIGNMENT_BYTES as u64
    }
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
            let count = sequences.iter().filter(|sequence| **sequence >= from).count() as u64;
            assert_eq!(index.count_from(from), count, "{from}");
        }
        assert_eq!(Index::default().next_from(0), None);
        assert_eq!(Index::default().count_from(0), 0);
    }
}
