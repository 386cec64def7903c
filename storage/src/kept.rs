//! A segment with records in it, and what is known of them in memory.

use std::ops::Range;
use std::sync::Arc;

use crate::index::Index;
use crate::segment::Segment;

/// A segment of a log.
pub(crate) struct Kept<F> {
    pub(crate) segment: Arc<Segment<F>>,
    /// No message in it has a sequence below.
    pub(crate) base_sequence: u64,
    pub(crate) index: Index,
    /// Where its records end, if it is sealed.
    pub(crate) end: u64,
    /// About how many bytes of it are of deleted messages...
    pub(crate) dead_bytes: u64,
    /// ... and of deletions.
    pub(crate) deletion_bytes: u64,
    /// What deletions in segments before this one name is no longer in it; 0: nothing is known.
    pub(crate) applied_segment: u64,
    /// Batches in it that were not finished.
    pub(crate) dropped: Vec<Range<u64>>,
    /// The batch that is open where it begins was not finished.
    pub(crate) starts_cut: bool,
    pub(crate) footer: FooterState,
    /// Every record in it is whole, and counts.
    pub(crate) is_plain: bool,
}

/// Whether what is in a segment is written down beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FooterState {
    Missing,
    /// It counts as long as the machine is not started anew: the segment was not synced yet.
    Provisional,
    Written,
    /// It could not be written, or must not be.
    Impossible,
}

impl<F> Kept<F> {
    /// A segment that is begun.
    pub(crate) fn new(segment: Arc<Segment<F>>, base_sequence: u64) -> Self {
        Self {
            segment,
            base_sequence,
            index: Index::default(),
            end: 0,
            dead_bytes: 0,
            deletion_bytes: 0,
            applied_segment: 0,
            dropped: Vec::new(),
            starts_cut: false,
            footer: FooterState::Missing,
            is_plain: true,
        }
    }

    /// Its file, and its footer's, if there is one.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = String> {
        let identity = self.segment.identity;
        let has_footer = matches!(self.footer, FooterState::Provisional | FooterState::Written);
        let footer = has_footer.then(|| identity.footer_name());
        [identity.segment_name()].into_iter().chain(footer)
    }

    /// Marks messages as deleted, and answers how many were not yet. `end` is where its records
    /// end now.
    pub(crate) fn delete(&mut self, sequences: Range<u64>, end: u64) -> u64 {
        let (messages, bytes) = self.index.delete(sequences, end);
        self.dead_bytes += bytes;
        messages
    }
}
