//! What the records say, one after the other: which are whole, which follow which, and which
//! count.
//!
//! It believes nothing but checksums, and changes no byte. It refuses to know files, and who asks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::directory::{alone, first_nonzero, last_nonzero};
use super::{Cause, Damage, Recovery};
use crate::deletions;
use crate::disk::DiskFile;
use crate::error::Error;
use crate::footer::{Footer, WrittenMarker};
use crate::index::Index;
use crate::kept::{FooterState, Kept};
use crate::record::{
    ALIGNMENT_BYTES, FLAG_CONTINUES, FLAG_ERASED, FLAG_GAP, FLAG_MORE, HEAD_BYTES, Head, HeadFault,
    Kind, MARKER_BYTES, MESSAGE_BYTES_MIN, Marker, Seed, aligned,
};
use crate::segment::{Identity, Segment};

/// What the segments show together.
pub(super) struct Scanned<F> {
    pub(super) report: Recovery,
    pub(super) kept: VecDeque<Kept<F>>,
    /// Where the records of the last segment end, and the checksum of the last head there.
    pub(super) end: u64,
    pub(super) chain: u32,
    pub(super) marker_last_at: u64,
    /// Everything before this segment and offset is known to have been synced before this opening.
    pub(super) durable: (u64, u64),
    pub(super) next_sequence: u64,
    pub(super) front: u64,
    /// The last segment cannot be gone on with: the log goes on in a new one.
    pub(super) leave_segment: bool,
    /// Then, deletions from this segment and offset on do not count; (0, 0): all of them do.
    pub(super) doubtful_from: (u64, u64),
    /// The batch at the end is not finished.
    pub(super) cut: bool,
    /// Messages that are none, because their batches were not finished, and no deletion says so.
    pub(super) dropped: Vec<Range<u64>>,
    /// Messages whose bytes may have to be overwritten still: segment and sequence.
    pub(super) erasures: Vec<(u64, u64)>,
    /// What is noted to be overwritten before this segment and offset is.
    pub(super) erased: (u64, u64),
    /// In which start of the machine the last marker was made; 0 if that is not known.
    pub(super) boot: u128,
}

/// What is carried from record to record and from segment to segment.
#[derive(Default)]
pub(super) struct Scan {
    report: Recovery,
    /// The lowest sequence that the next message may have.
    expected: u64,
    /// The checksum of the last head, if the record before is known.
    chain: Option<u32>,
    front: u64,
    /// What the records of the last segment delete; those from the front are in `front`.
    deleted: Vec<Range<u64>>,
    /// Batches that were not finished.
    dropped: Vec<Range<u64>>,
    /// Segments with a deletion that does not count.
    ignored: BTreeSet<u64>,
    batch: Option<Batch>,
    /// How much damage there was when the last message was found.
    damage_at_message: usize,
    /// Deletions behind damage of which it is not known yet whether it was synced.
    doubtful: Vec<Noted>,
    /// Of the damage that is reported, what is the body of one message, by its sequence...
    bodies: BTreeMap<u64, usize>,
    /// ... and what else costs messages.
    wide: Vec<usize>,
    /// Of the damage that is reported, what is perhaps none: messages that a deletion names which
    /// were to be overwritten...
    named: BTreeSet<usize>,
    /// ... and what is none, because the deletion counts.
    overwritten: BTreeSet<usize>,
    /// What is noted to be overwritten, and where.
    erasures: Vec<((u64, u64), Range<u64>)>,
    /// What is noted to be overwritten before this place is.
    erased: (u64, u64),
    /// Batches that damage touched: what was not synced of them was not finished either.
    torn: Vec<Torn>,
    /// Everything before this place (segment, offset) was synced, as the last marker says.
    durable: (u64, u64),
    boot: u128,
    boot_now: u128,
    /// What an opening before this one did not know to be synced.
    unsure: Vec<Unsure>,
    last: Option<Last>,
    /// Which segment is the oldest, and the sequence that it says it starts with.
    first: Option<(u64, u64)>,
}

/// A batch of which the end was not found yet.
#[derive(Clone, Copy)]
struct Batch {
    first_sequence: u64,
    /// Of the damage that is reported, where that begins which may touch it.
    damage_from: usize,
}

/// A deletion, and where it is noted. A range that starts with 0 moves the front.
struct Noted {
    place: (u64, u64),
    /// How much damage was found before it.
    damage_before: usize,
    ranges: Vec<Range<u64>>,
    /// The messages are overwritten.
    erases: bool,
}

struct Torn {
    sequences: Range<u64>,
    /// Of the damage that is reported, what touches it.
    damage: Range<usize>,
}

/// What an opening before this one did not know to be synced: from a segment and offset to the
/// start of another segment.
#[derive(Clone, Copy)]
struct Unsure {
    from: (u64, u64),
    /// Deletions from this segment and offset on do not count, because something before them was
    /// not finished.
    doubtful_from: (u64, u64),
    below_segment: u64,
}

/// A place behind all others.
const NOWHERE: (u64, u64) = (u64::MAX, u64::MAX);

impl Unsure {
    fn covers(&self, damage: &Damage) -> bool {
        (damage.segment, damage.bytes.end) > self.from && damage.segment < self.below_segment
    }
}

/// The segment that was scanned last.
#[derive(Clone, Copy)]
struct Last {
    identity: Identity,
    /// Where its records end, and where the bytes behind them do that are not zero.
    end: u64,
    nonzero_end: u64,
    /// How long its file should be, if a marker says so, and is.
    bytes_expected: u64,
    bytes: u64,
    marker_at: u64,
    chain: u32,
    /// If it was compacted, and that can be read: where the records ended that it stands for, and
    /// the last head checksum there.
    replaced: Option<(u64, u32)>,
}

impl Last {
    fn id(&self) -> u64 {
        self.identity.id
    }

    /// Where the next segment says that this one ended, and what it is chained to.
    fn joint(&self) -> (u64, u32) {
        self.replaced.unwrap_or((self.end, self.chain))
    }
}

impl Scan {
    /// `boot` is the start of the machine that this is.
    pub(super) fn new(boot: u128) -> Self {
        Self { boot_now: boot, ..Self::default() }
    }

    /// Takes the note in the first marker of a segment, before what it is about is read.
    pub(super) fn note<F: DiskFile>(&mut self, segment: &Segment<F>) {
        let Ok(record) = segment.file.read(0..MARKER_BYTES.min(segment.file.bytes())) else {
            return;
        };
        let marker = Head::parse(segment.seed, 0, &record).ok().and_then(|head| {
            let body = record.get(HEAD_BYTES..head.bytes as usize)?;
            let is_whole = head.kind == Kind::Marker && head.body_is_whole(&record);
            is_whole.then(|| Marker::parse(body)).flatten()
        });
        if let Some(marker) = marker.filter(|marker| marker.start && marker.unsure_segment > 0) {
            let doubtful_from = match marker.doubtful_segment {
                0 => NOWHERE,
                segment => (segment, marker.doubtful_bytes),
            };
            self.unsure.push(Unsure {
                from: (marker.unsure_segment, marker.unsure_bytes),
                doubtful_from,
                below_segment: segment.identity.first_id,
            });
        }
    }

    /// Reads a segment from its start.
    pub(super) fn segment<F: DiskFile>(
        &mut self,
        mut segment: Arc<Segment<F>>,
    ) -> Result<Kept<F>, Error> {
        let (name, identity, seed) = (segment.name(), segment.identity, segment.seed);
        let bytes = alone(&mut segment).file.contents();
        let bytes = bytes.map_err(|error| Error::disk(format!("read {name}"), error))?;
        let previous = self.last.replace(Last {
            identity,
            end: 0,
            nonzero_end: last_nonzero(&bytes),
            bytes_expected: bytes.len() as u64,
            bytes: bytes.len() as u64,
            marker_at: 0,
            chain: 0,
            replaced: None,
        });
        let (mut deletion_bytes, mut applied_segment) = (0, 0);
        let mut last = self.last.expect("it was just put there");
        let mut base_sequence = self.expected;
        let mut index = Index::default();
        let mut at = 0;
        while let Some(found) = self.find(seed, identity.id, &bytes, at)? {
            let (start, head) = found;
            let record = &bytes[usize::try_from(start).expect("an offset in a slice")..];
            let whole = head.body_is_whole(record);
            let marker = match head.kind {
                Kind::Marker if whole => {
                    let body = &record[HEAD_BYTES..head.bytes as usize];
                    let newer = Error::NewerVersion { segment: identity.id, offset: start };
                    Some(Marker::parse(body).ok_or(newer)?)
                }
                _ => None,
            };
            if start > at {
                self.chain = None;
                if at == 0 {
                    self.unknown_end_of(previous);
                }
                self.damage(identity.id, at..start, self.expected..head.sequence, Cause::Head);
            } else if at == 0 {
                self.join(previous, identity.first_id, &head, marker.as_ref());
                base_sequence = head.sequence;
                if previous.is_none() {
                    self.first = Some((identity.first_id, base_sequence));
                }
            } else {
                let unexplained = head.sequence > self.expected
                    && head.kind == Kind::Message
                    && head.flags & FLAG_GAP == 0;
                if unexplained || self.chain.is_some_and(|chain| chain != head.previous) {
                    self.damage(identity.id, at..at, self.expected..head.sequence, Cause::Link);
                }
            }
            let end = (start + head.bytes_aligned()).min(bytes.len() as u64);
            if head.kind == Kind::Message {
                self.begin_message(&head);
            }
            self.expected = head.sequence;
            if head.kind == Kind::Message {
                self.expected += 1;
            }
            match (head.kind, whole) {
                (Kind::Message, true) => index.push(head.sequence, start),
                (_, false) => {
                    if head.kind == Kind::Message {
                        // It is where it is, and cannot be read.
                        index.push(head.sequence, start);
                        index.delete(head.sequence..head.sequence + 1, end);
                    }
                    let lost = head.sequence..self.expected;
                    self.damage(identity.id, start..end, lost, Cause::Body);
                }
                (Kind::Deletion, true) => {
                    let ranges = deletions::decode(&record[HEAD_BYTES..head.bytes as usize]);
                    let newer = Error::NewerVersion { segment: identity.id, offset: start };
                    let ranges = ranges.ok_or(newer)?;
                    let erases = head.flags & FLAG_ERASED != 0;
                    if erases {
                        self.erasure((identity.id, start), &ranges);
                    }
                    self.deletion((identity.id, start), ranges, erases);
                    deletion_bytes += head.bytes_aligned();
                }
                (Kind::Marker, true) => last.marker_at = start,
            }
            if head.kind == Kind::Message {
                self.end_message(&head);
            }
            self.report.closed = false;
            if let Some(marker) = marker {
                // Behind a segment that was compacted no batch goes on: it was whole, or is cut.
                let ends_batch = marker.cut || start == 0 && identity.generation > 0;
                if ends_batch && let Some(batch) = self.batch.take() {
                    if marker.cut { self.drop_batch(batch) } else { self.end_batch(batch) }
                }
                let front = 0..marker.front;
                if marker.front > self.front {
                    self.deletion((identity.id, start), vec![front], false);
                }
                self.note_marker(&marker);
                last.bytes_expected = marker.segment_bytes;
                if start == 0 && identity.generation > 0 {
                    last.replaced = Some((marker.replaced_end, marker.replaced_chain));
                    applied_segment = marker.applied_segment;
                }
            }
            self.chain = Some(head.checksum);
            last.chain = head.checksum;
            last.end = end;
            at = end;
        }
        if at == 0 {
            self.unknown_end_of(previous);
        }
        self.report.segments += 1;
        self.report.bytes += last.end;
        self.last = Some(last);
        drop(bytes);
        if identity.generation > 0 {
            // What follows is chained to what was there before it was compacted.
            self.chain = None;
        }
        let mut kept = Kept::new(segment, base_sequence);
        kept.index = index;
        kept.end = last.end;
        kept.deletion_bytes = deletion_bytes;
        kept.applied_segment = applied_segment;
        Ok(kept)
    }

    /// Takes what a footer says for what reading the segment would show. `None`: it cannot be
    /// that of this segment behind the one before, and nothing changed.
    pub(super) fn footed<F: DiskFile>(
        &mut self,
        segment: &Arc<Segment<F>>,
        footer: &Footer<'_>,
    ) -> Option<Kept<F>> {
        let identity = segment.identity;
        let (WrittenMarker { head, marker: first }, WrittenMarker { marker, .. }) =
            footer.markers(segment)?;
        let (index, deleted) = (footer.index()?, footer.deleted()?);
        let first_sequence = index.next_from(0).map_or(head.sequence, |(sequence, _)| sequence);
        let fits = first.start
            && head.sequence >= self.expected
            && first_sequence >= head.sequence
            && footer.next_sequence() >= head.sequence
            && marker.segment_bytes == segment.file.bytes();
        if !fits {
            return None;
        }
        let (end, chain) = footer.end();
        let bytes = segment.file.bytes();
        let is_compacted = identity.generation > 0;
        let previous = self.last.replace(Last {
            identity,
            end,
            nonzero_end: end,
            bytes_expected: if is_compacted { end } else { bytes },
            bytes,
            marker_at: footer.last_marker_at(),
            chain,
            replaced: is_compacted.then_some((first.replaced_end, first.replaced_chain)),
        });
        self.join(previous, identity.first_id, &head, Some(&first));
        if previous.is_none() {
            self.first = Some((identity.first_id, head.sequence));
        }
        if let Some(batch) = self.batch.take() {
            // It was on the disk, and so was all before it.
            if footer.cuts() { self.drop_batch(batch) } else { self.end_batch(batch) }
        }
        self.expected = footer.next_sequence();
        self.damage_at_message = self.report.damage.len();
        self.chain = (!is_compacted).then_some(chain);
        let mut kept = Kept::new(segment.clone(), head.sequence);
        let place = (identity.id, u64::MAX);
        self.deletion(place, deleted, false);
        for (offset, range) in footer.erased() {
            let ranges = [range];
            self.erasure((identity.id, offset), &ranges);
            self.deletion(place, ranges.to_vec(), true);
            kept.deletion_bytes += MARKER_BYTES;
        }
        let front = footer.front().max(marker.front);
        if front > self.front {
            let front = 0..front;
            self.deletion(place, vec![front], false);
        }
        self.note_marker(&marker);
        self.report.closed = false;
        self.report.segments += 1;
        self.report.bytes += end;
        kept.index = index;
        kept.end = end;
        kept.deletion_bytes += footer.deletion_bytes();
        kept.applied_segment = first.applied_segment;
        kept.starts_cut = footer.cuts();
        kept.footer =
            if footer.is_confirmed() { FooterState::Written } else { FooterState::Provisional };
        Some(kept)
    }

    fn note_marker(&mut self, marker: &Marker) {
        self.durable = self.durable.max((marker.durable_segment, marker.durable_bytes));
        self.report.closed = marker.closed;
        self.boot = marker.boot;
        self.erased = self.erased.max((marker.erased_segment, marker.erased_bytes));
        self.erasures.retain(|(place, _)| *place >= self.erased);
    }

    /// A message that does not continue a batch ends the one that is open, whose last messages are
    /// then missing; and one that continues a batch that is not open has lost its first.
    fn begin_message(&mut self, head: &Head) {
        let continues = head.flags & FLAG_CONTINUES != 0;
        if !continues && let Some(batch) = self.batch.take() {
            self.end_batch(batch);
        }
        if self.batch.is_none() && (continues || head.flags & FLAG_MORE != 0) {
            let damage = self.report.damage.len();
            let damage_from = if continues { self.damage_at_message } else { damage };
            self.batch = Some(Batch { first_sequence: head.sequence, damage_from });
        }
    }

    fn end_message(&mut self, head: &Head) {
        self.damage_at_message = self.report.damage.len();
        if head.flags & FLAG_MORE == 0
            && let Some(batch) = self.batch.take()
        {
            self.end_batch(batch);
        }
    }

    fn end_batch(&mut self, batch: Batch) {
        let damage_to = self.report.damage.len();
        if batch.damage_from < damage_to {
            let sequences = batch.first_sequence..self.expected;
            self.torn.push(Torn { sequences, damage: batch.damage_from..damage_to });
        }
    }

    /// The messages of a batch that was not finished are none.
    fn drop_batch(&mut self, batch: Batch) {
        self.drop_messages(batch.first_sequence..self.expected);
    }

    fn drop_messages(&mut self, sequences: Range<u64>) {
        self.forget(&sequences);
        self.dropped.push(sequences);
    }

    /// Nobody misses these messages.
    fn forget(&mut self, sequences: &Range<u64>) {
        for at in &self.wide {
            self.report.damage[*at].forget(sequences);
        }
        for at in self.bodies.range(sequences.clone()).map(|(_, at)| *at) {
            self.report.damage[at].forget(sequences);
        }
    }

    /// What is overwritten looks damaged. It is not, and nothing else is doubtful for it: that it
    /// was to be overwritten was on the disk before it was.
    fn erasure(&mut self, place: (u64, u64), ranges: &[Range<u64>]) {
        for range in ranges {
            self.named.extend(self.bodies.range(range.clone()).map(|(_, at)| *at));
            self.erasures.push((place, range.clone()));
        }
    }

    fn deletion(&mut self, place: (u64, u64), ranges: Vec<Range<u64>>, erases: bool) {
        let noted = Noted { place, damage_before: self.report.damage.len(), ranges, erases };
        if self.is_doubtful(&noted) {
            self.doubtful.push(noted);
        } else {
            self.delete(noted);
        }
    }

    /// A message may be deleted because another one came. If the power went while both were being
    /// written, the deletion may be here and the other message not: then nobody was promised
    /// either, and the deletion does not count. So it is with everything behind damage that may be
    /// an unfinished write, as far as that writing went.
    fn is_doubtful(&self, noted: &Noted) -> bool {
        let is_noted = |unsure: &Unsure| {
            unsure.doubtful_from <= noted.place && noted.place.0 < unsure.below_segment
        };
        self.unsure.iter().any(is_noted) || self.uncertain(noted.damage_before).next().is_some()
    }

    /// Of the first damage, as much as asked for, what may be an unfinished write and is not noted
    /// as such yet.
    fn uncertain(&self, count: usize) -> impl Iterator<Item = &Damage> {
        self.report.damage[..count].iter().enumerate().filter_map(|(at, damage)| {
            let is_explained = self.named.contains(&at)
                || self.is_known(damage)
                || self.unsure.iter().any(|unsure| unsure.covers(damage));
            (!is_explained).then_some(damage)
        })
    }

    /// Whether a marker says that these bytes were synced, or they were written since the machine
    /// was started: what happened before that was noted when the log was first opened in this
    /// start. A file and its name are synced before there is anything in it.
    fn is_known(&self, damage: &Damage) -> bool {
        let is_of_this_boot = self.boot_now != 0 && self.boot == self.boot_now;
        // The last write may have been cut short by the end of the process.
        let last = self.last.map_or((0, 0), |last| (last.id(), last.end));
        damage.cause == Cause::Missing
            || (damage.segment, damage.bytes.end) <= self.durable
            || is_of_this_boot && (damage.segment, damage.bytes.end) < last
    }

    fn delete(&mut self, noted: Noted) {
        for range in noted.ranges {
            if noted.erases {
                self.overwritten.extend(self.bodies.range(range.clone()).map(|(_, at)| *at));
            }
            if range.start == 0 {
                self.front = self.front.max(range.end);
            } else {
                self.forget(&range);
                self.deleted.push(range);
            }
        }
    }

    /// The first record at or behind `at`, with its offset. `None`: there is none.
    fn find(
        &self,
        seed: Seed,
        segment: u64,
        bytes: &[u8],
        at: u64,
    ) -> Result<Option<(u64, Head)>, Error> {
        let mut at = usize::try_from(at).expect("an offset in a slice");
        let follows_at = if at > 0 { Some(at) } else { None };
        while at + HEAD_BYTES <= bytes.len() {
            match Head::parse(seed, at as u64, &bytes[at..]) {
                // Two histories of one log, mixed by a restored copy, can put whole records where
                // they do not belong. A sequence that is used cannot come again, and one that
                // jumps must be vouched for by the record before.
                Ok(head)
                    if head.sequence == self.expected
                        || head.sequence > self.expected
                            && (follows_at != Some(at)
                                || self.chain.is_none_or(|chain| chain == head.previous)) =>
                {
                    return Ok(Some((at as u64, head)));
                }
                Err(HeadFault::Newer) => {
                    return Err(Error::NewerVersion { segment, offset: at as u64 });
                }
                Ok(_) | Err(HeadFault::NoRecord) => {}
            }
            at += ALIGNMENT_BYTES;
            let Some(nonzero) = first_nonzero(bytes, at) else { return Ok(None) };
            // A head can start with two checksums that are zero.
            let earliest = nonzero - nonzero % ALIGNMENT_BYTES;
            at = at.max(earliest.saturating_sub(ALIGNMENT_BYTES));
        }
        Ok(None)
    }

    /// Compares how a segment starts with how the one before ends.
    fn join(&mut self, previous: Option<Last>, id: u64, head: &Head, marker: Option<&Marker>) {
        let lost = self.expected..head.sequence;
        let Some(previous) = previous else { return };
        let Some(marker) = marker.filter(|_| previous.id() + 1 == id) else {
            self.unknown_end_of(Some(previous));
            if previous.id() + 1 != id {
                self.damage(previous.id() + 1, 0..0, lost, Cause::Missing);
            }
            return;
        };
        let is_compacted = previous.identity.generation > 0;
        let end_expected = if is_compacted { previous.bytes_expected } else { marker.previous_end };
        let follows = if is_compacted {
            previous.replaced.is_none_or(|joint| joint == (marker.previous_end, head.previous))
        } else {
            self.chain.is_none_or(|chain| chain == head.previous)
        };
        let is_lost = is_compacted && previous.end == 0;
        if previous.end < end_expected || is_lost {
            self.damage(previous.id(), previous.end..end_expected, lost, Cause::End);
        } else if previous.end < previous.nonzero_end {
            let from = (previous.id(), previous.end);
            self.unsure.push(Unsure { from, doubtful_from: NOWHERE, below_segment: id });
            let tail = previous.end..aligned(previous.nonzero_end);
            self.damage(previous.id(), tail, lost, Cause::Tail);
        } else if !follows {
            self.damage(previous.id(), previous.end..previous.end, lost, Cause::Link);
        }
    }

    /// The segment behind `previous` cannot say where `previous` ended.
    fn unknown_end_of(&mut self, previous: Option<Last>) {
        if let Some(previous) = previous.filter(|previous| previous.end < previous.nonzero_end) {
            let tail = previous.end..aligned(previous.nonzero_end);
            self.damage(previous.id(), tail, 0..0, Cause::Tail);
        }
    }

    fn damage(&mut self, segment: u64, bytes: Range<u64>, sequences: Range<u64>, cause: Cause) {
        let sequences = if sequences.is_empty() { 0..0 } else { sequences };
        let at = self.report.damage.len();
        if cause == Cause::Body && !sequences.is_empty() {
            self.bodies.insert(sequences.start, at);
        } else if !sequences.is_empty() {
            self.wide.push(at);
        }
        self.report.damage.push(Damage { segment, bytes, sequences, synced: false, cause });
    }

    /// All segments are scanned.
    pub(super) fn finish<F>(mut self, mut kept: VecDeque<Kept<F>>) -> Scanned<F> {
        let cut = self.batch.is_some();
        if let Some(batch) = self.batch.take() {
            self.drop_batch(batch);
        }
        let mut next_sequence = self.expected;
        let last = self.last;
        if let Some(last) = last {
            let shortened = last.bytes < last.bytes_expected;
            let tail_end = if shortened { last.bytes_expected } else { last.nonzero_end };
            if last.end < tail_end {
                // Each may have been a message that somebody was told the sequence of.
                let messages_max = (tail_end - last.end).div_ceil(MESSAGE_BYTES_MIN);
                next_sequence += messages_max;
                let tail = last.end..aligned(tail_end);
                self.damage(last.id(), tail, self.expected..next_sequence, Cause::Tail);
            }
        }
        self.settle_doubtful();
        let disturbed = self.disturbed();
        // A note of what is not known to be synced goes into the first marker of a new segment, so
        // that the next opening does not take an unfinished write for damage.
        let doubtful_from = self
            .uncertain(self.report.damage.len())
            .map(|damage| (damage.segment, damage.bytes.start))
            .min();
        let leave_segment = self.settle_damage();
        self.delete_in(&mut kept);
        for kept in &mut kept {
            let id = kept.segment.id;
            kept.is_plain = !self.ignored.contains(&id)
                && !disturbed.iter().any(|segments| segments.contains(&id));
        }
        let mut dropped = std::mem::take(&mut self.dropped);
        dropped.retain(|dropped| drop_in(&mut kept, dropped, self.front) > 0);
        let (end, chain) = last.map_or((0, 0), |last| last.joint());
        Scanned {
            erasures: self.not_erased(&kept),
            report: self.report,
            kept,
            end,
            chain,
            marker_last_at: last.map_or(0, |last| last.marker_at),
            durable: self.durable,
            next_sequence,
            // Without a marker nobody knows; the first sequence there can be is 1.
            front: self.front.max(1),
            leave_segment,
            doubtful_from: doubtful_from.unwrap_or_default(),
            cut,
            dropped,
            erased: self.erased,
            boot: self.boot,
        }
    }

    /// Marks as deleted what the records of the last segment delete.
    pub(super) fn delete_in<F>(&mut self, kept: &mut VecDeque<Kept<F>>) {
        for range in self.deleted.drain(..) {
            let behind = kept.partition_point(|kept| kept.base_sequence <= range.start);
            for kept in kept.iter_mut().skip(behind.saturating_sub(1)) {
                if kept.base_sequence >= range.end {
                    break;
                }
                let end = kept.end;
                kept.delete(range.clone(), end);
            }
        }
    }

    /// Segments in which something is damaged, or does not count because of damage before.
    fn disturbed(&self) -> Vec<Range<u64>> {
        let mut disturbed = Vec::new();
        for (at, damage) in self.report.damage.iter().enumerate() {
            if self.overwritten.contains(&at) {
                continue;
            }
            let covering = self.unsure.iter().filter(|unsure| unsure.covers(damage));
            let unnoted = if self.is_known(damage) { damage.segment + 1 } else { u64::MAX };
            let end = covering.map(|unsure| unsure.below_segment).max().unwrap_or(unnoted);
            disturbed.push(damage.segment..end.max(damage.segment + 1));
        }
        let noted = self.unsure.iter().filter(|unsure| unsure.doubtful_from != NOWHERE);
        disturbed.extend(noted.map(|unsure| unsure.doubtful_from.0..unsure.below_segment));
        disturbed
    }

    /// Everything is known now that there is to know about what was synced.
    fn settle_doubtful(&mut self) {
        for noted in std::mem::take(&mut self.doubtful) {
            if self.is_doubtful(&noted) {
                self.ignored.insert(noted.place.0);
            } else {
                self.delete(noted);
            }
        }
    }

    /// Where the messages are that are deleted, and to be overwritten, and perhaps are not, or
    /// not to the end.
    fn not_erased<F>(&self, kept: &VecDeque<Kept<F>>) -> Vec<(u64, u64)> {
        let mut sequences = Vec::new();
        for (_, range) in &self.erasures {
            let behind = kept.partition_point(|kept| kept.base_sequence <= range.start);
            for kept in kept.iter().skip(behind.saturating_sub(1)) {
                if kept.base_sequence >= range.end {
                    break;
                }
                let deleted = kept.index.deleted_in(range.clone(), self.front);
                sequences.extend(deleted.map(|sequence| (kept.segment.id, sequence)));
            }
        }
        sequences
    }

    /// Deleted messages are not lost, and only now is it known which are deleted, and what was
    /// synced. Answers whether there is damage that may be an unfinished write and is not noted as
    /// such yet.
    fn settle_damage(&mut self) -> bool {
        let mut unnoted = false;
        for at in 0..self.report.damage.len() {
            let damage = &self.report.damage[at];
            let known = self.is_known(damage) || self.overwritten.contains(&at);
            let noted = !self.overwritten.contains(&at)
                && self.unsure.iter().any(|unsure| unsure.covers(damage));
            self.report.damage[at].synced = known && !noted;
            unnoted |= !known && !noted;
        }
        for Torn { sequences, damage } in std::mem::take(&mut self.torn) {
            if self.report.damage[damage].iter().any(|damage| !damage.synced) {
                self.drop_messages(sequences);
            }
        }
        for damage in &mut self.report.damage {
            // Sequences start at 1.
            damage.forget(&(0..self.front.max(1)));
        }
        // Nobody misses the body of a message that is deleted.
        let bodies: BTreeSet<usize> = self.bodies.values().copied().collect();
        let mut number = 0..;
        self.report.damage.retain(|damage| {
            let at = number.next().expect("as many as there is damage");
            let is_missed = !damage.sequences.is_empty();
            is_missed || (damage.cause != Cause::Missing && !bodies.contains(&at))
        });
        if let Some((first_id, base)) = self.first
            && self.front > 0
            && base > self.front
        {
            let segment = first_id.saturating_sub(1);
            let sequences = self.front..base;
            let missing =
                Damage { segment, bytes: 0..0, sequences, synced: true, cause: Cause::Missing };
            self.report.damage.insert(0, missing);
        }
        unnoted
    }
}

/// Marks the messages of a batch that was not finished, and answers how many there were that
/// nothing else deletes.
fn drop_in<F>(kept: &mut VecDeque<Kept<F>>, dropped: &Range<u64>, front: u64) -> u64 {
    let behind = kept.partition_point(|kept| kept.base_sequence <= dropped.start);
    let mut messages = 0;
    for kept in kept.iter_mut().skip(behind.saturating_sub(1)) {
        if kept.base_sequence >= dropped.end {
            break;
        }
        kept.starts_cut |= dropped.start < kept.base_sequence;
        kept.dropped.push(dropped.clone());
        messages += kept.index.count_in(dropped.start.max(front)..dropped.end);
        let end = kept.end;
        kept.delete(dropped.clone(), end);
    }
    messages
}
