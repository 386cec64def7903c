//! What is still to be delivered for the first time: where the next message is, and how many
//! there are.
//!
//! The count is exact at every moment, because each user of it depends on that: it is in every
//! delivery's reply subject, and clients stop when it is 0. It is a number that is kept while
//! messages come and go, so that reading it costs nothing; whenever it does not reach up to the
//! end of the stream the rest is counted from the index.
//!
//! With "last per subject" a list of sequences comes first, made when the consumer is; everything
//! behind the end that the stream had then follows.

use super::messages::Messages;
use super::{Filters, ledger::SEQUENCE_MAX};

/// The messages that are delivered before the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// Ascending.
    pub sequences: Vec<u64>,
    /// How many of them are behind us.
    pub done: usize,
    /// The end of the stream when it was made: everything behind it follows.
    pub up_to: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Backlog {
    /// The next message is here or later: what was delivered or passed over is before.
    next: u64,
    /// Where to look for it: `next`, or further if the count says that nothing is between. The
    /// count could be wrong, so `next` does not move for it, and nothing can be lost.
    look_from: u64,
    /// What is still to be delivered up to here is counted.
    counted_to: u64,
    count: u64,
    selection: Option<Selection>,
}

impl Backlog {
    /// Begins at `next`, or with a selection. Nothing is counted yet: [`sync`](Self::sync).
    pub(super) fn new(next: u64, selection: Option<Selection>) -> Self {
        let selection = selection.filter(|selection| selection.done < selection.sequences.len());
        Self { next, look_from: next, counted_to: 0, count: 0, selection }
    }

    /// The next message is here or later: everything before was delivered or passed over.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The same, but with nothing left to deliver it is behind the end of the stream.
    #[inline]
    pub(super) fn reached(&self) -> u64 {
        if self.count == 0 { self.next.max(self.counted_to + 1) } else { self.next }
    }

    /// Messages still to be delivered for the first time, as of the last [`sync`](Self::sync).
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    /// Counts what became visible since.
    #[inline]
    pub(super) fn sync(&mut self, filters: &Filters, messages: &impl Messages) {
        let last = messages.last_sequence();
        if self.counted_to >= last {
            return;
        }
        if self.counted_to == 0 {
            self.recount(filters, messages);
            return;
        }
        self.look_from = self.looked_from();
        self.count += messages.count_matching(filters, self.next.max(self.counted_to + 1));
        self.counted_to = last;
    }

    /// Counts everything.
    pub(super) fn recount(&mut self, filters: &Filters, messages: &impl Messages) {
        self.count = self.counted_anew(filters, messages);
        self.look_from = self.next;
        self.counted_to = messages.last_sequence();
    }

    /// What the count has to be.
    pub(super) fn counted_anew(&self, filters: &Filters, messages: &impl Messages) -> u64 {
        match &self.selection {
            None => messages.count_matching(filters, self.next),
            Some(selection) => {
                let listed = selection.sequences[selection.done..]
                    .iter()
                    .filter(|sequence| {
                        messages.next_matching(filters, **sequence) == Some(**sequence)
                    })
                    .count();
                listed as u64 + messages.count_matching(filters, selection.up_to + 1)
            }
        }
    }

    /// A message became visible; `matches` says whether a filter matches it. Messages that are
    /// not told in order are counted later.
    #[inline]
    pub(super) fn appended(&mut self, sequence: u64, matches: bool) {
        if self.counted_to != 0 && sequence == self.counted_to + 1 {
            self.look_from = self.looked_from();
            self.counted_to = sequence;
            if matches && sequence >= self.next {
                self.count += 1;
            }
        }
    }

    /// A message left the stream.
    #[inline]
    pub(super) fn removed(&mut self, sequence: u64, matches: impl FnOnce() -> bool) {
        if sequence > self.counted_to || !self.is_ahead(sequence) || !matches() {
            return;
        }
        self.count = self.count.saturating_sub(1);
    }

    /// Whether a message is still to be delivered for the first time, if it matches.
    #[inline]
    pub(super) fn is_ahead(&self, sequence: u64) -> bool {
        match &self.selection {
            Some(selection) if sequence <= selection.up_to => {
                selection.sequences[selection.done..].binary_search(&sequence).is_ok()
            }
            _ => sequence >= self.next,
        }
    }

    /// The next message to deliver; it stays the next one until it is
    /// [taken](Self::take).
    #[inline]
    pub(super) fn peek(&mut self, filters: &Filters, messages: &impl Messages) -> Option<u64> {
        while let Some(selection) = &mut self.selection {
            let Some(sequence) = selection.sequences.get(selection.done).copied() else {
                self.next = selection.up_to + 1;
                self.selection = None;
                break;
            };
            if messages.next_matching(filters, sequence) == Some(sequence) {
                return Some(sequence);
            }
            selection.done += 1;
        }
        if self.count == 0 {
            return None;
        }
        let found = messages
            .next_matching(filters, self.look_from.max(self.next))
            .or_else(|| messages.next_matching(filters, self.next));
        if found.is_none() {
            self.count = 0;
        }
        found
    }

    /// The message that [`peek`](Self::peek) returned is delivered or passed over.
    #[inline]
    pub(super) fn take(&mut self, sequence: u64) {
        self.count = self.count.saturating_sub(1);
        self.next = sequence + 1;
        if let Some(selection) = &mut self.selection {
            selection.done += 1;
            if selection.done == selection.sequences.len() {
                self.next = selection.up_to + 1;
                self.selection = None;
            }
        }
    }

    /// Where to look after more was counted.
    fn looked_from(&self) -> u64 {
        if self.count == 0 { self.counted_to + 1 } else { self.look_from }
    }

    /// The stream has nothing below `first` any more.
    pub(super) fn pass(&mut self, first: u64) {
        self.next = self.next.max(first);
    }

    /// Goes to a sequence. Everything is to be counted again.
    pub(super) fn go_to(&mut self, next: u64) {
        *self = Self::new(next.min(SEQUENCE_MAX), None);
    }
}
