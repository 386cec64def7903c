//! What a stream may hold: what goes when there is more, or when it is too old.
//!
//! Deletions are noted in the log with the next commit, and made again from the configuration at
//! each opening, so that nothing is owed for them.

use fulmar_storage::Filters;

use super::{Removed, Stream};
use crate::jetstream::stream_config::DiscardPolicy;
use crate::jetstream::time::Now;

/// Messages that one look at the limits takes away at the most: more go at the next look, so that
/// a limit that was lowered does not hold a shard.
pub(super) const REMOVED_MAX: usize = 16 * 1024;

impl Stream {
    /// Takes away the oldest messages of `subject`, as one at `sequence` came.
    pub(super) fn limit_subject(&mut self, subject: &[u8], sequence: u64, removed: &mut Removed) {
        let Some(max) = limit(self.config.max_msgs_per_subject) else { return };
        // Counted up to this one: others that came behind it may not be shown yet.
        let mut count = self.count_of_up_to(subject, sequence);
        while count > max
            && let Some(oldest) = self.store.first_of(subject)
        {
            if !self.remove(oldest, removed) {
                return;
            }
            count -= 1;
        }
    }

    /// Takes away all messages of `subject` before `sequence`.
    pub(super) fn remove_older_of(&mut self, subject: &[u8], sequence: u64, removed: &mut Removed) {
        while let Some(oldest) = self.store.first_of(subject)
            && oldest < sequence
            && self.remove(oldest, removed)
        {}
    }

    /// Takes away all messages before `sequence`.
    pub(super) fn remove_older(&mut self, sequence: u64, removed: &mut Removed) {
        let mut next = self.store.next_from(0);
        while let Some(oldest) = next.filter(|oldest| *oldest < sequence) {
            removed.push(oldest, self.store.subject_of(oldest).unwrap_or_default());
            next = self.store.next_from(oldest + 1);
        }
        if let Err(error) = self.store.truncate_front(sequence) {
            tracing::error!("stream {}: {error}", self.name);
        }
    }

    /// Takes away what is too much, and too old. Returns whether there is more of it.
    pub(super) fn limit_all(&mut self, now: Now, removed: &mut Removed) -> bool {
        let before = removed.len();
        // With times to live of its own, a message may be an exception.
        let oldest_ns = (self.config.max_age_ns > 0 && !self.config.allow_msg_ttl)
            .then(|| now.unix_ns.saturating_sub(self.config.max_age_ns));
        let discards_old = self.config.discard == DiscardPolicy::Old;
        let messages_max = limit(self.config.max_msgs).filter(|_| discards_old);
        let bytes_max = limit(self.config.max_bytes).filter(|_| discards_old);
        let mut front = None;
        let (mut messages, mut bytes) = (self.store.messages(), self.store.bytes());
        let mut next = self.store.next_from(0);
        while let Some(sequence) = next.filter(|sequence| *sequence <= self.visible) {
            let is_over = messages_max.is_some_and(|max| messages > max)
                || bytes_max.is_some_and(|max| bytes > max);
            let is_old = || {
                oldest_ns.is_some_and(|oldest_ns| {
                    self.timestamp_of(sequence).is_none_or(|at_ns| at_ns <= oldest_ns)
                })
            };
            if !(is_over || is_old()) || removed.len() - before == REMOVED_MAX {
                break;
            }
            messages -= 1;
            bytes -= self.store.index().bytes_of(sequence).map_or(0, u64::from);
            removed.push(sequence, self.store.subject_of(sequence).unwrap_or_default());
            front = Some(sequence + 1);
            next = self.store.next_from(sequence + 1);
        }
        if let Some(front) = front
            && let Err(error) = self.store.truncate_front(front)
        {
            tracing::error!("stream {}: {error}", self.name);
        }
        removed.len() - before == REMOVED_MAX
    }

    /// When the oldest message will be too old, in nanoseconds since 1970.
    pub(super) fn next_expiry_unix_ns(&self) -> Option<i64> {
        if self.config.max_age_ns == 0 {
            return None;
        }
        let first = self.next_to_age()?;
        Some(self.timestamp_of(first)?.saturating_add(self.config.max_age_ns))
    }

    /// How many messages of `subject` there are up to `sequence`.
    fn count_of_up_to(&self, subject: &[u8], sequence: u64) -> u64 {
        if self.store.last_of(subject) == Some(sequence) {
            return self.store.count_of(subject);
        }
        Filters::parse([subject])
            .map_or(0, |filters| self.store.count_matching(&filters, 0, sequence))
    }

    /// Takes one message away, and tells whether it is gone.
    pub(super) fn remove(&mut self, sequence: u64, removed: &mut Removed) -> bool {
        let Some(subject) = self.store.subject_of(sequence).map(<[u8]>::to_vec) else {
            return true;
        };
        match self.store.delete(sequence, false) {
            Ok(_) => {
                removed.push(sequence, &subject);
                true
            }
            Err(error) => {
                tracing::error!("stream {}: {error}", self.name);
                false
            }
        }
    }
}

/// A limit of a configuration, where -1 is none.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|max| *max > 0)
}

impl Stream {
    /// Deletes what a purge is about: messages of a filter (all, if it is empty), below a sequence
    /// if that is not 0, all but the newest `keep`. Answers how many went.
    ///
    /// # Errors
    ///
    /// In words: the filter is no filter, or the log is finished.
    pub fn purge(&mut self, filter: &str, below: u64, keep: u64) -> Result<u64, String> {
        let failed = |error: fulmar_storage::Error| error.to_string();
        if below > self.store.last_sequence() + 1 && filter.is_empty() {
            // What comes next is numbered from there on.
            self.store.skip_to(below).map_err(failed)?;
        }
        let last = self.store.last_sequence();
        let end = if below > 0 { below.min(last + 1) } else { last + 1 };
        let filters = match filter {
            "" | ">" => Filters::all(),
            filter => match Filters::parse([filter.as_bytes()]) {
                Ok(filters) => filters,
                // No subject is like that.
                Err(_) => return Ok(0),
            },
        };
        if filters.is_all() {
            let mut front = end;
            if keep > 0 {
                let mut left = keep;
                let mut from = last;
                front = 0;
                while let Some(sequence) = self.store.previous_from(from) {
                    left -= 1;
                    if left == 0 {
                        front = sequence;
                        break;
                    }
                    from = sequence - 1;
                }
            }
            let purged = self.store.truncate_front(front).map_err(failed)?.messages;
            return Ok(purged);
        }
        let total = self.store.count_matching(&filters, 0, last);
        let mut sequences = Vec::new();
        let mut next = self.store.next_matching(&filters, 0);
        while let Some(sequence) = next.filter(|sequence| *sequence < end) {
            if keep > 0 && total - sequences.len() as u64 <= keep {
                break;
            }
            sequences.push(sequence);
            next = self.store.next_matching(&filters, sequence + 1);
        }
        Ok(self.store.delete_many(&sequences).map_err(failed)?.messages)
    }

    /// Takes away what is too much of each subject: the configuration has changed.
    pub fn limit_all_subjects(&mut self) {
        let Some(max) = limit(self.config.max_msgs_per_subject) else { return };
        let mut gone = Vec::new();
        for (subject, state) in self.store.subjects_matching(&Filters::all()) {
            let Some(excess) = state.count.checked_sub(max).filter(|excess| *excess > 0) else {
                continue;
            };
            let Ok(filters) = Filters::parse([subject]) else { continue };
            let mut next = Some(state.first);
            for _ in 0..excess {
                let Some(sequence) = next else { break };
                gone.push(sequence);
                next = self.store.next_matching(&filters, sequence + 1);
            }
        }
        gone.sort_unstable();
        if let Err(error) = self.store.delete_many(&gone) {
            tracing::error!("stream {}: {error}", self.name);
        }
    }

    /// Deletes one message; `erase` overwrites it on the disk. Answers whether it was there.
    ///
    /// # Errors
    ///
    /// The log is finished.
    pub fn delete(&mut self, sequence: u64, erase: bool) -> Result<bool, fulmar_storage::Error> {
        self.store.delete(sequence, erase)
    }
}
