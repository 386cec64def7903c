//! What a stream copies from other streams: how far it is with each of them, and what becomes of
//! a copy.
//!
//! It reads another stream where it is, and takes in what may be shown there. It refuses to know
//! where streams are: its owner brings the two together, says when, and how much at once.
//!
//! ```text
//!            search (sources only: what of them is here already?)
//!               │
//!  unlinked ──link──► linked: next ──copy──► accepted here ──commit──► kept
//!      ▲                │                                               │
//!      └── origin gone ─┘                 a work queue lets go of it ◄──┘
//! ```
//!
//! Nothing about this is on the disk beside the messages. A mirror has the sequences of its origin,
//! so its last one says how far it is; what came from a source says so in its header.

use std::collections::VecDeque;
use std::sync::Arc;

use fulmar_storage::{Error, Filters, Message};

use super::Stream;
use super::in_flight::{Entry, Kind};
use super::publish::Incoming;
use super::publish_headers::PublishHeaders;
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::message_ttl::MessageTtl;
use crate::jetstream::response::StreamSourceInfo;
use crate::jetstream::source_header::{SourceHeader, SourceKey, stream_identity};
use crate::jetstream::stream_config::{DiscardPolicy, RetentionPolicy, StreamSource};
use crate::jetstream::subject_transform::SubjectTransform;
use crate::jetstream::time::Now;
use crate::jetstream::timestamp::Timestamp;

/// Copies on their way to the disk that are told apart; of more, some are let go of later.
const MARKS_MAX: usize = 64;

/// The streams that a stream copies from.
#[derive(Debug, Default)]
pub struct Origins {
    list: Vec<Origin>,
    /// Messages at and above this one were searched for where they are from.
    searched_from: u64,
    /// The one that is copied from first in the next round.
    turn: usize,
}

/// A stream that another one copies from.
#[derive(Debug)]
pub struct Origin {
    source: StreamSource,
    name: Arc<str>,
    is_mirror: bool,
    key: SourceKey,
    filters: Filters,
    transforms: Vec<SubjectTransform>,
    /// It is known what of it is here.
    is_searched: bool,
    /// The last message of it that came here.
    last: Option<Last>,
    link: Option<Link>,
    /// It was found at least once, and everything it had then is here.
    was_caught_up: bool,
    /// When it was last heard of.
    heard_at_ns: Option<u64>,
    /// Messages it still had when it was last looked at.
    lag: u64,
    error: Option<ApiError>,
}

/// A message that came from an origin.
#[derive(Debug)]
struct Last {
    sequence: u64,
    /// Which stream of that name; older servers did not say.
    identity: Option<String>,
}

/// An origin that is there.
#[derive(Debug)]
struct Link {
    /// Which one it is.
    generation: u64,
    identity: String,
    /// The sequence that is looked at next.
    next: u64,
    /// Behind which sequence here everything of the origin is below which sequence there.
    marks: VecDeque<(u64, u64)>,
    /// What the origin has below this is here, as safely as this stream keeps anything.
    kept_below: u64,
    /// What the origin has below this was let go of.
    released_below: u64,
}

/// How much may be copied at once, and what is left of it.
#[derive(Clone, Copy, Debug)]
pub struct CopyBudget {
    /// Messages that are looked at.
    pub messages: usize,
    /// Bytes of headers and payloads.
    pub bytes: usize,
}

impl CopyBudget {
    fn is_used_up(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}

/// How a round of copying ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// Everything is here.
    CaughtUp,
    /// There is more, and no budget left.
    HasMore,
    /// There is more, and no room for it: a limit refuses it until something goes.
    IsFull,
    /// There is more, and the log does not take it now.
    IsRefused,
}

/// Why a message was not copied.
enum NotCopied {
    /// It never will be.
    Never(String),
    /// There is no room now.
    IsFull,
    /// The log does not take it now.
    IsRefused(Error),
}

impl From<Error> for NotCopied {
    fn from(error: Error) -> Self {
        Self::IsRefused(error)
    }
}

/// A message of an origin.
struct Original<'a> {
    sequence: u64,
    subject: &'a [u8],
    headers: &'a [u8],
    payload: &'a [u8],
    timestamp_ns: i64,
}

impl Origins {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, as configured.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.list.iter()
    }

    /// The one at a place.
    pub fn get(&self, index: usize) -> Option<&Origin> {
        self.list.get(index)
    }

    /// The one at a place.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Origin> {
        self.list.get_mut(index)
    }

    /// The place of the one whose turn it is; the next one has its turn after it.
    pub fn take_turn(&mut self) -> usize {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        turn
    }

    fn needs_search(&self) -> bool {
        self.searched_from > 0 && self.list.iter().any(|origin| !origin.is_searched)
    }

    /// Takes over what a configuration says, and keeps what is known of those that stay.
    pub(super) fn follow(
        &mut self,
        mirror: Option<&StreamSource>,
        sources: &[StreamSource],
        last_sequence: u64,
    ) {
        let mut before = std::mem::take(&mut self.list);
        let configured = mirror.map(|mirror| (mirror, true)).into_iter();
        for (source, is_mirror) in configured.chain(sources.iter().map(|one| (one, false))) {
            let mut origin = Origin::new(source, is_mirror);
            let known = before
                .iter()
                .position(|known| known.key == origin.key && known.is_mirror == is_mirror);
            if let Some(known) = known.map(|place| before.swap_remove(place)) {
                origin = Origin { source: source.clone(), ..known };
            } else if !is_mirror {
                // It may have been a source before, so its messages may be anywhere.
                self.searched_from = last_sequence + 1;
            }
            self.list.push(origin);
        }
    }
}

impl Origin {
    fn new(source: &StreamSource, is_mirror: bool) -> Self {
        let or_all = |text: &str| if text.is_empty() { ">".to_owned() } else { text.to_owned() };
        let transforms = &source.subject_transforms;
        let filters: Vec<String> = if transforms.is_empty() {
            vec![or_all(&source.filter_subject)]
        } else {
            transforms.iter().map(|one| or_all(&one.source)).collect()
        };
        // A filter for everything is none: what it costs should not depend on how it is written.
        let filters = if filters.iter().any(|filter| filter == ">") {
            Filters::all()
        } else {
            Filters::parse(&filters).unwrap_or_default()
        };
        Self {
            name: Arc::from(source.name.as_str()),
            is_mirror,
            key: SourceKey::of(source),
            filters,
            transforms: transforms
                .iter()
                .filter_map(|one| SubjectTransform::new(&one.source, &one.destination).ok())
                .collect(),
            is_searched: is_mirror,
            last: None,
            link: None,
            was_caught_up: false,
            heard_at_ns: None,
            lag: 0,
            error: None,
            source: source.clone(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// As it is configured.
    pub fn source(&self) -> &StreamSource {
        &self.source
    }

    /// What is copied.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Whether the stream is a mirror of it.
    pub fn is_mirror(&self) -> bool {
        self.is_mirror
    }

    /// Whether everything it had was here at least once.
    pub fn was_caught_up(&self) -> bool {
        self.was_caught_up
    }

    /// Whether it is linked with the stream of this generation.
    pub fn is_linked_with(&self, generation: u64) -> bool {
        self.link.as_ref().is_some_and(|link| link.generation == generation)
    }

    /// The sequence below which everything that the stream of this generation has is here, as
    /// safely as anything; 0 if it is not linked with it yet.
    pub fn kept_below(&self, generation: u64) -> u64 {
        self.link
            .as_ref()
            .filter(|link| link.generation == generation)
            .map_or(0, |link| link.kept_below)
    }

    /// What the stream it is linked with may let go of now, as sequences there.
    pub fn to_release(&self) -> std::ops::Range<u64> {
        self.link.as_ref().map_or(0..0, |link| link.released_below..link.kept_below)
    }

    /// Notes that the origin let go of everything below a sequence.
    pub fn handle_released(&mut self, below: u64) {
        if let Some(link) = &mut self.link {
            link.released_below = below;
        }
    }

    /// There is no stream of that name now, or it cannot be read from here: why, if that is to be
    /// told.
    pub fn unlink(&mut self, error: Option<ApiError>) {
        self.link = None;
        self.error = error;
    }

    /// As answers show it. `origin` is the stream it is linked with, if that is still there.
    pub fn info(&self, now: Now, origin: Option<(u64, &Stream)>) -> StreamSourceInfo {
        let living = origin.filter(|(generation, _)| self.is_linked_with(*generation));
        let lag = match (&self.link, living) {
            (Some(link), Some((_, origin))) => {
                origin.store.count_matching(&self.filters, link.next, origin.visible)
            }
            _ => self.lag,
        };
        let active = match self.heard_at_ns {
            None => -1,
            // Looking at it is hearing of it, unless something keeps it from being copied.
            Some(_) if lag == 0 && living.is_some() => 0,
            Some(at_ns) => {
                i64::try_from(now.monotonic_ns.saturating_sub(at_ns)).unwrap_or(i64::MAX)
            }
        };
        let last = self.last.as_ref().filter(|_| !self.is_mirror);
        StreamSourceInfo {
            name: self.source.name.clone(),
            external: self.source.external.clone(),
            lag,
            seq: last.map_or(0, |last| last.sequence),
            active,
            error: self.error.clone(),
            // As nats-server has it, a mirror tells of its filter when it has found its origin.
            filter_subject: match self.is_mirror && self.link.is_none() && active < 0 {
                true => String::new(),
                false => self.source.filter_subject.clone(),
            },
            subject_transforms: self.source.subject_transforms.clone(),
        }
    }

    /// What a subject becomes on its way.
    fn transform(&self, subject: &[u8], random: u32) -> Option<Vec<u8>> {
        self.transforms.iter().find_map(|transform| transform.apply(subject, random))
    }
}

impl Stream {
    /// Looks through what is here for the last message of each source, newest first and
    /// `messages_max` at once. Returns whether everything is known.
    pub fn search_origins(&mut self, messages_max: usize) -> bool {
        for _ in 0..messages_max {
            if !self.origins.needs_search() {
                break;
            }
            let below = self.origins.searched_from;
            let Some(sequence) = self.store.previous_from(below - 1) else {
                self.origins.searched_from = 0;
                break;
            };
            self.origins.searched_from = sequence;
            // What is damaged was reported when the log was opened.
            let Ok(Some(record)) = self.store.read_accepted(sequence) else { continue };
            let Some(header) =
                PublishHeaders::read(record.headers()).stream_source.and_then(SourceHeader::parse)
            else {
                continue;
            };
            let key = header.key();
            let unknown = self.origins.list.iter_mut().filter(|origin| !origin.is_searched);
            for origin in unknown {
                let is_from_it = match &key {
                    Some(key) => *key == origin.key,
                    // The oldest headers have the name only.
                    None => header.stream == origin.key.stream,
                };
                if is_from_it {
                    origin.is_searched = true;
                    origin.last =
                        Some(Last { sequence: header.sequence, identity: header.identity.clone() });
                }
            }
        }
        if self.origins.needs_search() {
            return false;
        }
        self.origins.searched_from = 0;
        for origin in &mut self.origins.list {
            origin.is_searched = true;
        }
        true
    }

    /// An origin is there: copying from it begins, or goes on.
    ///
    /// # Errors
    ///
    /// The log is finished, or cannot take it now.
    pub fn link_origin(
        &mut self,
        index: usize,
        generation: u64,
        origin: &Self,
    ) -> Result<(), Error> {
        let identity = stream_identity(Timestamp::from_unix_ns(origin.created_unix_ns));
        let one = &self.origins.list[index];
        let from_start = || match (one.source.opt_start_seq, one.source.opt_start_time) {
            (0, None) => origin.store.first_sequence().max(1),
            (0, Some(time)) => origin.sequence_at_time(time.unix_ns()),
            (sequence, _) => sequence,
        };
        let next = match (one.is_mirror, &one.last) {
            (true, _) => match self.store.last_sequence() {
                0 => {
                    let start = from_start();
                    if start > 1 {
                        self.store.skip_to(start)?;
                    }
                    start
                }
                last => last + 1,
            },
            // A stream of the same name that was made later has other messages.
            (false, Some(last))
                if last.identity.as_ref().is_none_or(|before| *before == identity) =>
            {
                last.sequence + 1
            }
            (false, _) => from_start(),
        };
        let one = &mut self.origins.list[index];
        one.error = None;
        one.link = Some(Link {
            generation,
            identity,
            next,
            marks: VecDeque::new(),
            kept_below: 0,
            released_below: 0,
        });
        self.mark_copied(index);
        Ok(())
    }

    /// Copies what became visible in an origin that is linked, as far as `budget` goes.
    /// `is_wanted` says whether a consumer is interested in a subject.
    pub fn copy_from(
        &mut self,
        now: Now,
        index: usize,
        origin: &Self,
        budget: &mut CopyBudget,
        mut random: impl FnMut() -> u32,
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> CopyEnd {
        let mut end = CopyEnd::CaughtUp;
        loop {
            let one = &self.origins.list[index];
            let Some(link) = &one.link else { break };
            let found = origin.store.next_matching(&one.filters, link.next);
            let Some(sequence) = found.filter(|sequence| *sequence <= origin.visible) else {
                let next = link.next.max(origin.visible + 1);
                self.pass(index, next);
                break;
            };
            if budget.is_used_up() {
                end = CopyEnd::HasMore;
                break;
            }
            budget.messages -= 1;
            // What is damaged there is missing here.
            if let Some(record) = origin.record(sequence) {
                let original = Original {
                    sequence,
                    subject: record.subject(),
                    headers: record.headers(),
                    payload: record.payload(),
                    timestamp_ns: record.timestamp_ns(),
                };
                let size = original.headers.len() + original.payload.len();
                budget.bytes = budget.bytes.saturating_sub(size.max(1));
                match self.copy(now, index, &original, &mut random, is_wanted) {
                    Ok(()) => {}
                    Err(NotCopied::Never(text)) => tracing::warn!(
                        "stream {}: message {sequence} of stream {} is not copied: {text}",
                        self.name,
                        origin.name
                    ),
                    Err(NotCopied::IsFull) => {
                        end = CopyEnd::IsFull;
                        break;
                    }
                    Err(NotCopied::IsRefused(error)) => {
                        tracing::debug!("stream {}: {error}", self.name);
                        end = CopyEnd::IsRefused;
                        break;
                    }
                }
            }
            self.pass(index, sequence + 1);
        }
        let one = &mut self.origins.list[index];
        match end {
            CopyEnd::CaughtUp => {
                one.heard_at_ns = Some(now.monotonic_ns);
                one.was_caught_up = true;
                one.lag = 0;
            }
            CopyEnd::HasMore => one.heard_at_ns = Some(now.monotonic_ns),
            CopyEnd::IsFull | CopyEnd::IsRefused => {}
        }
        self.mark_copied(index);
        end
    }

    /// Everything that may be shown here is kept: what of the origins is so, too.
    pub fn settle_origins(&mut self) {
        let visible = self.visible;
        for link in self.origins.list.iter_mut().filter_map(|origin| origin.link.as_mut()) {
            while let Some((here, there)) = link.marks.front().copied()
                && here <= visible
            {
                link.marks.pop_front();
                link.kept_below = there;
            }
        }
    }

    /// Nothing of the origin is left to be done below `next`.
    fn pass(&mut self, index: usize, next: u64) {
        if let Some(link) = &mut self.origins.list[index].link {
            link.next = next;
        }
    }

    /// Notes that what the origin has before the next sequence is here when all of now is.
    fn mark_copied(&mut self, index: usize) {
        let here = self.store.last_sequence();
        let Some(link) = &mut self.origins.list[index].link else { return };
        let mark = (here, link.next);
        let is_full = link.marks.len() == MARKS_MAX;
        match link.marks.back_mut() {
            // The later one covers the one before.
            Some(back) if back.0 == here || is_full => *back = mark,
            _ => link.marks.push_back(mark),
        }
        self.settle_origins();
    }

    /// Takes in one message of an origin.
    fn copy(
        &mut self,
        now: Now,
        index: usize,
        original: &Original<'_>,
        random: &mut impl FnMut() -> u32,
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), NotCopied> {
        let is_mirror = self.origins.list[index].is_mirror;
        let transformed = self.origins.list[index].transform(original.subject, random());
        let subject = transformed.as_deref().unwrap_or(original.subject);
        let transformed =
            self.subject_transform.as_ref().and_then(|one| one.apply(subject, random()));
        let subject = transformed.as_deref().unwrap_or(subject);
        if is_mirror {
            self.copy_as_mirror(subject, original, is_wanted)
        } else {
            self.copy_as_source(now, index, subject, original, is_wanted)
        }
    }

    /// As it is: with its sequence, its time and its headers.
    fn copy_as_mirror(
        &mut self,
        subject: &[u8],
        original: &Original<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), NotCopied> {
        let &Original { sequence, headers, payload, timestamp_ns, .. } = original;
        let incoming = Incoming { subject, reply: None, headers, payload };
        let found = PublishHeaders::read(headers);
        let mut kind = self.check_copy(subject, &incoming, &found)?;
        if self.config.retention == RetentionPolicy::Interest && !is_wanted(subject) {
            self.store.skip_to(sequence + 1)?;
            kind = Kind::Skipped;
        } else {
            let message = Message { subject, headers, payload, timestamp_ns };
            self.store.append_at(sequence, &message)?;
            self.last_unix_ns = timestamp_ns;
            self.note_copied_ttl(sequence, &found, timestamp_ns);
        }
        self.open.push(&Entry { sequence, kind, subject, reply: b"", extra: b"" });
        Ok(())
    }

    /// As a message of its own, whose header says where it is from.
    fn copy_as_source(
        &mut self,
        now: Now,
        index: usize,
        subject: &[u8],
        original: &Original<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), NotCopied> {
        let one = &self.origins.list[index];
        let identity = one.link.as_ref().map(|link| link.identity.clone());
        let header =
            SourceHeader::new(&one.key, original.sequence, original.subject, identity.as_deref());
        let mut headers = header.write_into(original.headers);
        let mut counted = None;
        if self.config.allow_msg_counter {
            let place = (&*header.stream, header.subject.as_deref().unwrap_or_default());
            let (block, payload) =
                self.count_sourced(subject, place, &headers, original.payload)
                    .map_err(|error| NotCopied::Never(error.description.into_owned()))?;
            headers = block;
            counted = Some(payload);
        }
        let payload = counted.as_deref().unwrap_or(original.payload);
        let incoming = Incoming { subject, reply: None, headers: &headers, payload };
        let found = PublishHeaders::read(&headers);
        let remembers_ids = self.config.duplicate_window_ns > 0;
        let id = found.message_id.filter(|_| remembers_ids);
        let is_duplicate = id.is_some_and(|id| {
            self.dedupe.find(id, now.unix_ns, self.config.duplicate_window_ns).is_some()
        });
        if !is_duplicate {
            let mut kind = self.check_copy(subject, &incoming, &found)?;
            let timestamp_ns = self.last_unix_ns.max(now.unix_ns);
            let sequence;
            if self.config.retention == RetentionPolicy::Interest && !is_wanted(subject) {
                sequence = self.store.last_sequence() + 1;
                self.store.skip_to(sequence + 1)?;
                kind = Kind::Skipped;
            } else {
                let message = Message { subject, headers: &headers, payload, timestamp_ns };
                sequence = self.store.append(&[message])?.start;
                self.last_unix_ns = timestamp_ns;
                self.note_copied_ttl(sequence, &found, timestamp_ns);
            }
            match id {
                Some(id) => self.dedupe.add(id, sequence, now.unix_ns),
                None => self.dedupe.add_without_id(),
            }
            self.open.push(&Entry { sequence, kind, subject, reply: b"", extra: b"" });
        }
        self.origins.list[index].last = Some(Last { sequence: original.sequence, identity });
        Ok(())
    }

    /// Whether a copy may come in, and what it brings about.
    fn check_copy(
        &self,
        subject: &[u8],
        incoming: &Incoming<'_>,
        headers: &PublishHeaders<'_>,
    ) -> Result<Kind, NotCopied> {
        let size = incoming.headers.len() + incoming.payload.len();
        if usize::try_from(self.config.max_msg_size).is_ok_and(|max| size > max) {
            let text = error::STREAM_MESSAGE_EXCEEDS_MAXIMUM.description.into_owned();
            return Err(NotCopied::Never(text));
        }
        // Where it fits later it waits, also in a mirror: nats-server drops it there, and gives
        // what comes next its sequence.
        if self.config.discard == DiscardPolicy::New && self.check_room(subject, incoming).is_err()
        {
            return Err(NotCopied::IsFull);
        }
        // Where rollups are not allowed the header means nothing.
        let rolls_up = self.config.allow_rollup_hdrs && !self.config.deny_purge;
        Ok(match headers.rollup.filter(|_| rolls_up).map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"sub") => Kind::RollupSubject,
            Some(b"all") => Kind::RollupAll,
            _ => Kind::Stored,
        })
    }

    /// A time to live means something only where that is configured.
    fn note_copied_ttl(&mut self, sequence: u64, headers: &PublishHeaders<'_>, timestamp_ns: i64) {
        if self.config.allow_msg_ttl
            && let Some(Ok(Some(ttl))) = headers.ttl.map(MessageTtl::parse)
        {
            self.note_ttl(sequence, ttl, timestamp_ns);
        }
    }
}
