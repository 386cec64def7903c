//! Mirrors and sources: streams of this shard that copy from other streams of it.
//!
//! Who copies from whom is known by name, so that an origin may be made later, or again. What one
//! stream makes visible is copied in a later round, and a round is short: whoever has more to copy
//! has its turn again after all others. What becomes of a copy is in `stream/origin.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use fulmar_storage::Filters;
use slab::Slab;

use super::super::error::{self, ApiError};
use super::super::response::StreamSourceInfo;
use super::super::stream::{CopyBudget, CopyEnd, Origin};
use super::super::stream_config::{RetentionPolicy, StreamSource};
use super::super::time::Now;
use super::consumers::ConsumerEntry;
use super::{Account, Shard, StreamEntry};

/// Messages that one stream copies before the next one gets its turn.
const TURN_MESSAGES: usize = 512;
/// Bytes of the same.
const TURN_BYTES: usize = 2 * 1024 * 1024;
/// Turns of one round: then commits and deliveries have theirs.
const TURNS_MAX: usize = 8;
/// Messages that are searched for where they are from in one turn.
const SEARCHED_MAX: usize = 2048;
/// Messages that an origin lets go of in one turn.
const RELEASED_MAX: usize = 4096;
/// How long after a failure of a log it is tried again.
const AGAIN_NS: u64 = 250_000_000;

/// Who copies from the streams of one name.
#[derive(Default)]
pub(super) struct CopiedBy {
    streams: Vec<u32>,
    /// What is copied, by any of them.
    filters: Vec<Filters>,
}

impl CopiedBy {
    /// Their places.
    pub(super) fn streams(&self) -> Vec<u32> {
        self.streams.clone()
    }

    /// Whether anybody copies messages with this subject.
    fn wants(&self, subject: &[u8]) -> bool {
        self.filters.iter().any(|filters| filters.matches(subject))
    }
}

/// What of an origin is not copied yet: what matches, from a sequence on.
pub(super) struct Held(Vec<(Filters, u64)>);

impl Held {
    /// Whether a message is still to be copied.
    pub(super) fn holds(&self, sequence: u64, subject: &[u8]) -> bool {
        self.0.iter().any(|(filters, below)| sequence >= *below && filters.matches(subject))
    }
}

/// Whether anybody, consumer or copy, wants what comes to a stream.
pub(super) fn is_wanted<'a>(
    consumers: &'a Slab<Box<ConsumerEntry>>,
    of_stream: &'a BTreeMap<Arc<str>, u32>,
    account: &'a Account,
    name: &str,
) -> impl Fn(&[u8]) -> bool + use<'a> {
    let copied_by = account.copied_by.get(name);
    move |subject| {
        of_stream
            .values()
            .any(|id| consumers[*id as usize].consumer.settings().filters.matches(subject))
            || copied_by.is_some_and(|copied_by| copied_by.wants(subject))
    }
}

impl Shard {
    /// Notes from whom a stream copies by its configuration, which is new.
    pub(super) fn follow_origins(&mut self, id: u32) {
        let account = self.streams[id as usize].stream.account;
        self.forget_origins(account, id);
        let Self { streams, accounts, .. } = self;
        let copied_by = &mut accounts[account as usize].copied_by;
        for origin in streams[id as usize].stream.origins.iter() {
            if self.options.reaches(origin.source()) {
                let by = copied_by.entry(origin.name().clone()).or_default();
                by.filters.push(origin.filters().clone());
                if !by.streams.contains(&id) {
                    by.streams.push(id);
                }
            }
        }
        self.mark_copier(id);
        // It may be what others wait for.
        self.mark_copiers_of(id);
    }

    /// A stream copies from nobody any more: what only it wanted is not wanted now.
    pub(super) fn forget_origins(&mut self, account: u32, id: u32) {
        let Self { streams, accounts, .. } = self;
        let account = &mut accounts[account as usize];
        account.copied_by.retain(|name, by| {
            if !by.streams.contains(&id) {
                return true;
            }
            by.streams.retain(|other| *other != id);
            by.filters = by
                .streams
                .iter()
                .filter_map(|other| streams.get(*other as usize))
                .flat_map(|other| other.stream.origins.iter())
                .filter(|origin| origin.name() == name)
                .map(|origin| origin.filters().clone())
                .collect();
            !by.streams.is_empty()
        });
    }

    /// The streams that are there and that a stream copies from.
    pub(super) fn copied_from(&self, id: u32) -> Vec<u32> {
        let stream = &self.streams[id as usize].stream;
        let by_name = &self.accounts[stream.account as usize].by_name;
        stream
            .origins
            .iter()
            .filter(|origin| self.options.reaches(origin.source()))
            .filter_map(|origin| by_name.get(origin.name()).copied())
            .collect()
    }

    /// Has those who copy from a stream look at it.
    pub(super) fn mark_copiers_of(&mut self, id: u32) {
        let stream = &self.streams[id as usize].stream;
        let copied_by = &self.accounts[stream.account as usize].copied_by;
        if copied_by.is_empty() {
            return;
        }
        let Some(by) = copied_by.get(&stream.name) else { return };
        for copier in by.streams.clone() {
            self.mark_copier(copier);
        }
    }

    /// Has a stream look at those it copies from, if there are any.
    pub(super) fn mark_copier(&mut self, id: u32) {
        let entry = &mut self.streams[id as usize];
        if !entry.is_copy_due && !entry.stream.origins.is_empty() {
            entry.is_copy_due = true;
            self.dirty_copiers.push_back(id);
        }
    }

    /// Copies, in turn.
    pub(super) fn copy_streams(&mut self, now: Now) {
        for _ in 0..self.dirty_copiers.len().min(TURNS_MAX) {
            let Some(id) = self.dirty_copiers.pop_front() else { return };
            let Some(entry) = self.streams.get_mut(id as usize) else { continue };
            entry.is_copy_due = false;
            if !entry.stream.search_origins(SEARCHED_MAX) || self.take_copy_turn(now, id) {
                self.mark_copier(id);
            }
        }
    }

    /// One turn of one stream. Returns whether there is more to do now.
    fn take_copy_turn(&mut self, now: Now, id: u32) -> bool {
        let mut budget = CopyBudget { messages: TURN_MESSAGES, bytes: TURN_BYTES };
        let stream = &mut self.streams[id as usize].stream;
        stream.settle_origins();
        if stream.config.sealed {
            return false;
        }
        let (count, turn) = (stream.origins.len(), stream.origins.take_turn());
        let before = stream.store().last_sequence();
        let mut has_more = false;
        for step in 0..count {
            let index = turn.wrapping_add(step) % count;
            let Some(origin) = self.find_origin(id, index) else { continue };
            match self.copy_between(now, id, index, origin, &mut budget) {
                CopyEnd::CaughtUp | CopyEnd::IsFull => {}
                CopyEnd::HasMore => has_more = true,
                CopyEnd::IsRefused => {
                    let at_ns = now.after(AGAIN_NS);
                    self.look_at_stream(id, at_ns);
                }
            }
            has_more |= self.release_copied(now, id, index, origin);
        }
        let stream = &self.streams[id as usize].stream;
        if stream.store().last_sequence() != before || stream.needs_commit() {
            self.mark_stream(id);
        }
        has_more
    }

    /// The place of the stream that is meant by an origin. `None`: there is none now, which is
    /// noted.
    fn find_origin(&mut self, id: u32, index: usize) -> Option<u32> {
        let Self { streams, accounts, options, .. } = self;
        let stream = &mut streams[id as usize].stream;
        let account = stream.account;
        let origin = stream.origins.get_mut(index)?;
        if !options.reaches(origin.source()) {
            // As with nats-server, which waits for an answer from elsewhere.
            origin.unlink(why_not_reached(origin));
            return None;
        }
        let place = accounts[account as usize].by_name.get(origin.name()).copied();
        if place.is_none() {
            // Who had it before goes on as if it were only silent.
            let error = (!origin.was_caught_up()).then_some(error::STREAM_NOT_FOUND);
            origin.unlink(error);
        }
        place.filter(|place| *place != id)
    }

    /// Copies from one stream to another, after they are linked.
    fn copy_between(
        &mut self,
        now: Now,
        id: u32,
        index: usize,
        origin: u32,
        budget: &mut CopyBudget,
    ) -> CopyEnd {
        let Self { streams, consumers, accounts, post, .. } = self;
        let Some((to, from)) = streams.get2_mut(id as usize, origin as usize) else {
            return CopyEnd::CaughtUp;
        };
        let StreamEntry { stream, consumers: of_stream, .. } = &mut **to;
        let generation = from.generation;
        if !stream.origins.get(index).is_some_and(|one| one.is_linked_with(generation))
            && let Err(error) = stream.link_origin(index, generation, &from.stream)
        {
            tracing::error!("stream {}: {error}; it copies nothing now", stream.name);
            return CopyEnd::IsRefused;
        }
        let account = &accounts[stream.account as usize];
        let is_wanted = is_wanted(consumers, of_stream, account, &stream.name);
        stream.copy_from(now, index, &from.stream, budget, || post.random(), &is_wanted)
    }

    /// Has an origin that keeps only what somebody wants let go of what is copied. Returns whether
    /// there is more of it.
    fn release_copied(&mut self, now: Now, id: u32, index: usize, origin: u32) -> bool {
        let of_origin = &self.streams[origin as usize];
        if of_origin.stream.config.retention == RetentionPolicy::Limits {
            return false;
        }
        let Some(one) = self.streams[id as usize].stream.origins.get(index) else { return false };
        let range = one.to_release();
        if range.is_empty() {
            return false;
        }
        let held = self.held(origin);
        let store = of_origin.stream.store();
        let (mut gone, mut next, mut seen) = (Vec::new(), range.start, 0);
        while let Some(sequence) =
            store.next_matching(one.filters(), next).filter(|sequence| *sequence < range.end)
        {
            if seen == RELEASED_MAX {
                break;
            }
            seen += 1;
            next = sequence + 1;
            let subject = store.subject_of(sequence).unwrap_or_default();
            let is_wanted = of_origin
                .consumers
                .values()
                .any(|id| self.consumers[*id as usize].consumer.wants(sequence, subject));
            if !is_wanted && !held.holds(sequence, subject) {
                gone.push(sequence);
            }
        }
        let has_more = seen == RELEASED_MAX;
        let entry = &mut self.streams[origin as usize];
        if !gone.is_empty() {
            if let Err(error) = entry.stream.store_mut().delete_many(&gone) {
                tracing::error!("stream {}: {error}", entry.stream.name);
                return false;
            }
            self.commit_later(now, origin);
        }
        if let Some(one) = self.streams[id as usize].stream.origins.get_mut(index) {
            one.handle_released(if has_more { next } else { range.end });
        }
        has_more
    }

    /// What of a stream is not copied yet by those who copy from it.
    pub(super) fn held(&self, id: u32) -> Held {
        let entry = &self.streams[id as usize];
        let copied_by = &self.accounts[entry.stream.account as usize].copied_by;
        let Some(by) = copied_by.get(&entry.stream.name) else { return Held(Vec::new()) };
        let origins = by
            .streams
            .iter()
            .flat_map(|copier| self.streams[*copier as usize].stream.origins.iter())
            .filter(|origin| {
                *origin.name() == entry.stream.name && self.options.reaches(origin.source())
            });
        Held(
            origins
                .map(|origin| (origin.filters().clone(), origin.kept_below(entry.generation)))
                .collect(),
        )
    }

    /// From whom a stream copies, as answers show it: its mirror's origin, or its sources.
    pub(super) fn describe_origins(
        &self,
        now: Now,
        id: u32,
    ) -> (Option<StreamSourceInfo>, Vec<StreamSourceInfo>) {
        let stream = &self.streams[id as usize].stream;
        let by_name = &self.accounts[stream.account as usize].by_name;
        let info = |origin: &Origin| {
            let living = by_name
                .get(origin.name())
                .filter(|_| self.options.reaches(origin.source()))
                .map(|place| &self.streams[*place as usize])
                .map(|entry| (entry.generation, &entry.stream));
            origin.info(now, living)
        };
        let mirror = stream.origins.iter().find(|origin| origin.is_mirror()).map(info);
        let sources = stream.origins.iter().filter(|origin| !origin.is_mirror()).map(info);
        (mirror, sources.collect())
    }

    /// A mirror that answers direct gets for a stream of this name, which does not do so itself.
    pub(super) fn direct_mirror_of(&self, account: u32, name: &str) -> Option<u32> {
        let by = self.accounts[account as usize].copied_by.get(name)?;
        by.streams.iter().copied().find(|id| {
            let stream = &self.streams[*id as usize].stream;
            stream.config.mirror_direct
                && stream.origins.iter().any(|one| one.is_mirror() && one.was_caught_up())
        })
    }
}

impl crate::config::JetStreamOptions {
    /// Whether a stream to copy from is one of this server, and of the same account.
    fn reaches(&self, source: &StreamSource) -> bool {
        let is_here = source.external.as_ref().is_none_or(|external| {
            let api = external.api_prefix.as_str();
            let domain = api.strip_prefix("$JS.").and_then(|rest| rest.strip_suffix(".API"));
            api == "$JS.API" || (domain.is_some() && domain == self.domain.as_deref())
        });
        is_here && source.consumer.is_none()
    }
}

/// What is told of an origin that cannot be read.
fn why_not_reached(origin: &Origin) -> Option<ApiError> {
    origin.source().consumer.as_ref()?;
    let text = "copying through a given consumer is not supported";
    Some(if origin.is_mirror() {
        error::mirror_consumer_setup_failed(text)
    } else {
        error::source_consumer_setup_failed(text)
    })
}
