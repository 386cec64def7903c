//! Opening: what the records on the disk say, what is damaged, and where to go on.
//!
//! It reads every segment from its start, believes nothing but checksums, and changes no byte.
//! It refuses to know batches, and who asks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::deletions;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::index::Index;
use crate::options::Options;
use crate::record::{
    ALIGNMENT_BYTES, FLAG_CONTINUES, FLAG_ERASED, FLAG_GAP, FLAG_MORE, HEAD_BYTES, Head, HeadFault,
    Kind, MESSAGE_BYTES_MIN, Marker, aligned,
};
use crate::segment::{Segment, parse_segment_name, segment_name};
use crate::visitor::{Visited, Visitor};

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments with something in them.
    pub segments: u64,
    /// Messages that can be read and are not deleted.
    pub messages: u64,
    /// Bytes of records and markers, damaged ones included.
    pub bytes: u64,
    /// The log was closed, and not left.
    pub closed: bool,
    /// What cannot be read, in the order of the segments. Empty after a power cut between writes.
    pub damage: Vec<Damage>,
}

/// A stretch of a segment that is no longer what was written, or never was finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Where in its file. Empty if the whole file is missing, or only a link is broken.
    pub bytes: Range<u64>,
    /// The sequences that cannot be read because of it. It is exact for [`Cause::Body`]; for the
    /// others it is every sequence that may have been there.
    pub sequences: Range<u64>,
    /// The log had noted that these bytes were on the disk: they were damaged there. Otherwise
    /// they may be a write that a power cut did not let finish, which nobody was promised.
    pub synced: bool,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong with a stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One record: its head is whole, its body is not.
    Body,
    /// No record can be found here, and there are some behind.
    Head,
    /// The segment ends before the place where the next one says that it ended.
    End,
    /// Bytes behind the last record of the log, or of what was the log when it was last opened.
    Tail,
    /// The file is not there.
    Missing,
    /// Two records are whole, and the second does not follow the first.
    Link,
}

impl Damage {
    /// A deleted message is not missed.
    pub(crate) fn forget(&mut self, deleted: &Range<u64>) {
        let Range { start, end } = self.sequences;
        if deleted.start <= start && start < deleted.end {
            self.sequences.start = deleted.end.min(end);
        } else if deleted.start < end && end <= deleted.end {
            self.sequences.end = deleted.start;
        }
        if self.sequences.is_empty() {
            self.sequences = 0..0;
        }
    }
}

/// A segment with records, and where they are.
pub(crate) struct Kept<F> {
    pub(crate) segment: Arc<Segment<F>>,
    /// No message in it has a sequence below.
    pub(crate) base_sequence: u64,
    pub(crate) index: Index,
}

/// All that a log needs to go on.
pub(crate) struct Recovered<F> {
    pub(crate) report: Recovery,
    pub(crate) kept: VecDeque<Kept<F>>,
    /// Prepared and unused, by rising identity, the first following the last one kept.
    pub(crate) spares: VecDeque<Arc<Segment<F>>>,
    /// Where the records of the last segment end, and the checksum of the last head there.
    pub(crate) end: u64,
    pub(crate) chain: u32,
    pub(crate) marker_last_at: u64,
    /// Everything before this segment and offset is known to have been synced before this opening.
    pub(crate) durable: (u64, u64),
    pub(crate) next_sequence: u64,
    pub(crate) front: u64,
    /// The last segment cannot be gone on with: the log goes on in a new one.
    pub(crate) leave_segment: bool,
    /// The batch at the end is not finished.
    pub(crate) cut: bool,
    /// Messages whose bytes may have to be overwritten still: segment and offset.
    pub(crate) erasures: Vec<(u64, u64)>,
    /// What is noted to be overwritten before this segment and offset is.
    pub(crate) erased: (u64, u64),
    /// In which start of the machine the last marker was made; 0 if that is not known.
    pub(crate) boot: u128,
}

/// The most that is copied at once when unsynced bytes are written again, in bytes.
const REWRITE_BYTES: u64 = 1 << 20;

/// Reads everything, and makes everything that is kept durable.
pub(crate) fn recover<D: Disk, V: Visitor>(
    disk: &D,
    options: &Options,
    visitor: &mut V,
) -> Result<Recovered<D::File>, Error> {
    let found = open_segments(disk)?;
    let (used, spares) = split_spares(disk, found, options)?;
    let mut scan = Scan::default();
    let mut kept = VecDeque::new();
    for segment in used {
        kept.push_back(scan.segment(segment, visitor)?);
        delete(&mut kept, scan.deleted.drain(..));
    }
    let recovered = scan.finish(kept, spares, visitor);
    make_durable(disk, &recovered.kept, scan.durable, recovered.end)?;
    Ok(recovered)
}

/// Marks messages as deleted.
fn delete<F>(kept: &mut VecDeque<Kept<F>>, ranges: impl Iterator<Item = Range<u64>>) {
    for range in ranges {
        let behind = kept.partition_point(|kept| kept.base_sequence <= range.start);
        for kept in kept.iter_mut().skip(behind.saturating_sub(1)) {
            if kept.base_sequence >= range.end {
                break;
            }
            kept.index.delete(range.clone());
        }
    }
}

/// The segments in the directory by rising identity. Other files are none of ours.
fn open_segments<D: Disk>(disk: &D) -> Result<Vec<Arc<Segment<D::File>>>, Error> {
    let names = disk.list().map_err(|error| Error::disk("list the directory of the log", error))?;
    let mut identities: Vec<_> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    identities.sort_unstable();
    let mut segments = Vec::with_capacity(identities.len());
    for (id, salt) in identities {
        let name = segment_name(id, salt);
        let file = disk.open(&name).map_err(|error| Error::disk(format!("open {name}"), error))?;
        segments.push(Segment::new(id, salt, file));
    }
    Ok(segments)
}

type Split<F> = (Vec<Arc<Segment<F>>>, VecDeque<Arc<Segment<F>>>);

/// Tells the segments with something in them from those prepared for later: files of zeros behind
/// all others. Of these, one that would not be prepared so now, or was not to its end, is removed:
/// it was read, and there is nothing in it.
fn split_spares<D: Disk>(
    disk: &D,
    mut used: Vec<Arc<Segment<D::File>>>,
    options: &Options,
) -> Result<Split<D::File>, Error> {
    let is_empty = |segment: &Segment<D::File>| Ok(last_nonzero(&contents(segment)?) == 0);
    let remove = |segment: Arc<Segment<D::File>>| {
        let name = segment.name();
        disk.remove(&name).map_err(|error| Error::disk(format!("remove {name}"), error))
    };
    let mut at = 1;
    while at < used.len() {
        if used[at - 1].id != used[at].id {
            at += 1;
        } else if is_empty(&used[at])? {
            remove(used.remove(at))?;
        } else if is_empty(&used[at - 1])? {
            remove(used.remove(at - 1))?;
        } else {
            let names = [used[at - 1].name(), used[at].name()];
            return Err(Error::SegmentTwice { segment: used[at].id, names });
        }
    }
    let mut empty = Vec::new();
    while let Some(last) = used.last()
        && is_empty(last)?
    {
        empty.extend(used.pop());
    }
    let (mut next_id, mut bytes) =
        used.last().map_or((1, 0), |last| (last.id + 1, last.file.bytes()));
    let mut spares = VecDeque::new();
    for segment in empty.into_iter().rev() {
        bytes = options.next_segment_bytes(bytes);
        if segment.id == next_id && segment.file.bytes() == bytes {
            next_id += 1;
            spares.push_back(segment);
        } else {
            remove(segment)?;
        }
    }
    Ok((used, spares))
}

fn contents<F: DiskFile>(segment: &Segment<F>) -> Result<std::borrow::Cow<'_, [u8]>, Error> {
    let read = segment.file.read(0..segment.file.bytes());
    read.map_err(|error| Error::disk(format!("read {}", segment.name()), error))
}

/// What is carried from record to record and from segment to segment.
#[derive(Default)]
struct Scan {
    report: Recovery,
    /// The lowest sequence that the next message may have.
    expected: u64,
    /// The checksum of the last head, if the record before is known.
    chain: Option<u32>,
    front: u64,
    /// What the records of the last segment delete; those from the front are in `front`.
    deleted: Vec<Range<u64>>,
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
    segment: u64,
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

/// From a segment and offset to the start of another segment.
#[derive(Clone, Copy)]
struct Unsure {
    from: (u64, u64),
    below_segment: u64,
}

impl Unsure {
    fn covers(&self, damage: &Damage) -> bool {
        (damage.segment, damage.bytes.end) > self.from && damage.segment < self.below_segment
    }
}

/// The segment that was scanned last.
#[derive(Clone, Copy)]
struct Last {
    id: u64,
    /// Where its records end, and where the bytes behind them do that are not zero.
    end: u64,
    nonzero_end: u64,
    /// How long its file should be, if a marker says so, and is.
    bytes_expected: u64,
    bytes: u64,
    marker_at: u64,
    chain: u32,
}

impl Scan {
    fn segment<F: DiskFile, V: Visitor>(
        &mut self,
        segment: Arc<Segment<F>>,
        visitor: &mut V,
    ) -> Result<Kept<F>, Error> {
        let bytes = contents(&segment)?;
        let previous = self.last.replace(Last {
            id: segment.id,
            end: 0,
            nonzero_end: last_nonzero(&bytes),
            bytes_expected: bytes.len() as u64,
            bytes: bytes.len() as u64,
            marker_at: 0,
            chain: 0,
        });
        let mut last = self.last.expect("it was just put there");
        let mut base_sequence = self.expected;
        let mut index = Index::default();
        let mut at = 0;
        while let Some(found) = self.find(&segment, &bytes, at)? {
            let (start, head) = found;
            let record = &bytes[usize::try_from(start).expect("an offset in a slice")..];
            let whole = head.body_is_whole(record);
            let marker = match head.kind {
                Kind::Marker if whole => {
                    let body = &record[HEAD_BYTES..head.bytes as usize];
                    let newer = Error::NewerVersion { segment: segment.id, offset: start };
                    Some(Marker::parse(body).ok_or(newer)?)
                }
                _ => None,
            };
            let damage_before = self.report.damage.len();
            if start > at {
                self.chain = None;
                if at == 0 {
                    self.unknown_end_of(previous);
                }
                self.damage(segment.id, at..start, self.expected..head.sequence, Cause::Head);
            } else if at == 0 {
                self.join(previous, segment.id, &head, marker.as_ref());
                base_sequence = head.sequence;
                if previous.is_none() {
                    self.first = Some((segment.id, base_sequence));
                }
            } else {
                let unexplained = head.sequence > self.expected
                    && head.kind == Kind::Message
                    && head.flags & FLAG_GAP == 0;
                if unexplained || self.chain.is_some_and(|chain| chain != head.previous) {
                    self.damage(segment.id, at..at, self.expected..head.sequence, Cause::Link);
                }
            }
            let joins = at > 0 || previous.is_some();
            if joins && head.sequence > self.expected && self.report.damage.len() == damage_before {
                visitor.skipped(self.expected..head.sequence);
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
                (Kind::Message, true) => {
                    index.push(head.sequence, start);
                    visitor.message(visited(&head, record));
                }
                (_, false) => {
                    let lost = head.sequence..self.expected;
                    self.damage(segment.id, start..end, lost, Cause::Body);
                }
                (Kind::Deletion, true) => {
                    let ranges = deletions::decode(&record[HEAD_BYTES..head.bytes as usize]);
                    let newer = Error::NewerVersion { segment: segment.id, offset: start };
                    let ranges = ranges.ok_or(newer)?;
                    let erases = head.flags & FLAG_ERASED != 0;
                    if erases {
                        self.erasure((segment.id, start), &ranges);
                    }
                    self.deletion(segment.id, ranges, erases, visitor);
                }
                (Kind::Marker, true) => last.marker_at = start,
            }
            if head.kind == Kind::Message {
                self.end_message(&head);
            }
            self.report.closed = false;
            if let Some(marker) = marker {
                if marker.cut
                    && let Some(batch) = self.batch.take()
                {
                    self.drop_batch(batch, visitor);
                }
                let front = 0..marker.front;
                if marker.front > self.front {
                    self.deletion(segment.id, vec![front], false, visitor);
                }
                self.durable = self.durable.max((marker.durable_segment, marker.durable_bytes));
                self.report.closed = marker.closed;
                self.boot = marker.boot;
                self.erased = self.erased.max((marker.erased_segment, marker.erased_bytes));
                self.erasures.retain(|(place, _)| *place >= self.erased);
                last.bytes_expected = marker.segment_bytes;
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
        Ok(Kept { segment, base_sequence, index })
    }

    /// A message that does not continue a batch ends the one that is open, whose last messages are
    /// then missing; and one that continues a batch that is not open has lost its first.
    fn begin_message(&mut self, head: &Head) {
        let continues = head.flags & FLAG_CONTINUES != 0;
        if !continues && let Some(batch) = self.batch.take() {
            self.end_batch(batch, self.report.damage.len());
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
            self.end_batch(batch, self.report.damage.len());
        }
    }

    fn end_batch(&mut self, batch: Batch, damage_to: usize) {
        if batch.damage_from < damage_to {
            let sequences = batch.first_sequence..self.expected;
            self.torn.push(Torn { sequences, damage: batch.damage_from..damage_to });
        }
    }

    /// The messages of a batch that was not finished are none.
    fn drop_batch<V: Visitor>(&mut self, batch: Batch, visitor: &mut V) {
        self.drop_messages(batch.first_sequence..self.expected, visitor);
    }

    fn drop_messages<V: Visitor>(&mut self, sequences: Range<u64>, visitor: &mut V) {
        for at in &self.wide {
            self.report.damage[*at].forget(&sequences);
        }
        for at in self.bodies.range(sequences.clone()).map(|(_, at)| *at) {
            self.report.damage[at].forget(&sequences);
        }
        visitor.deleted(sequences.clone());
        self.deleted.push(sequences);
    }

    /// What is overwritten looks damaged. It is not, and nothing else is doubtful for it: that it
    /// was to be overwritten was on the disk before it was.
    fn erasure(&mut self, place: (u64, u64), ranges: &[Range<u64>]) {
        for range in ranges {
            self.named.extend(self.bodies.range(range.clone()).map(|(_, at)| *at));
            self.erasures.push((place, range.clone()));
        }
    }

    fn deletion<V: Visitor>(
        &mut self,
        segment: u64,
        ranges: Vec<Range<u64>>,
        erases: bool,
        visitor: &mut V,
    ) {
        let noted = Noted { segment, damage_before: self.report.damage.len(), ranges, erases };
        if self.is_doubtful(&noted) {
            self.doubtful.push(noted);
        } else {
            self.delete(noted, visitor);
        }
    }

    /// A message may be deleted because another one came. If the power went while both were being
    /// written, the deletion may be here and the other message not: then nobody was promised
    /// either, and the deletion does not count. So it is with everything behind damage that may be
    /// an unfinished write, as far as that writing went.
    fn is_doubtful(&self, noted: &Noted) -> bool {
        let damage = &self.report.damage[..noted.damage_before];
        damage.iter().enumerate().any(|(at, damage)| {
            if self.named.contains(&at) {
                return false;
            }
            let mut covering = self.unsure.iter().filter(|unsure| unsure.covers(damage)).peekable();
            if covering.peek().is_some() {
                covering.any(|unsure| noted.segment < unsure.below_segment)
            } else {
                !self.is_known(damage)
            }
        })
    }

    /// Whether a marker says that these bytes were synced. A file and its name are synced before
    /// there is anything in it.
    fn is_known(&self, damage: &Damage) -> bool {
        damage.cause == Cause::Missing || (damage.segment, damage.bytes.end) <= self.durable
    }

    fn delete<V: Visitor>(&mut self, noted: Noted, visitor: &mut V) {
        for range in noted.ranges {
            if noted.erases {
                self.overwritten.extend(self.bodies.range(range.clone()).map(|(_, at)| *at));
            }
            if range.start == 0 {
                self.front(range.end, visitor);
            } else {
                self.drop_messages(range, visitor);
            }
        }
    }

    fn front<V: Visitor>(&mut self, front: u64, visitor: &mut V) {
        if front > self.front {
            self.front = front;
            visitor.front(front);
        }
    }

    /// The first record at or behind `at`, with its offset. `None`: there is none.
    fn find<F>(
        &self,
        segment: &Segment<F>,
        bytes: &[u8],
        at: u64,
    ) -> Result<Option<(u64, Head)>, Error> {
        let mut at = usize::try_from(at).expect("an offset in a slice");
        let follows_at = if at > 0 { Some(at) } else { None };
        while at + HEAD_BYTES <= bytes.len() {
            match Head::parse(segment.seed, at as u64, &bytes[at..]) {
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
                    let (segment, offset) = (segment.id, at as u64);
                    return Err(Error::NewerVersion { segment, offset });
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
        let Some(marker) = marker.filter(|_| previous.id + 1 == id) else {
            self.unknown_end_of(Some(previous));
            if previous.id + 1 != id {
                self.damage(previous.id + 1, 0..0, lost, Cause::Missing);
            }
            return;
        };
        if marker.unsure_segment > 0 {
            let from = (marker.unsure_segment, marker.unsure_bytes);
            self.unsure.push(Unsure { from, below_segment: id });
        }
        if previous.end < marker.previous_end {
            self.damage(previous.id, previous.end..marker.previous_end, lost, Cause::End);
        } else if previous.end < previous.nonzero_end {
            self.unsure.push(Unsure { from: (previous.id, previous.end), below_segment: id });
            let tail = previous.end..aligned(previous.nonzero_end);
            self.damage(previous.id, tail, lost, Cause::Tail);
        } else if self.chain.is_some_and(|chain| chain != head.previous) {
            self.damage(previous.id, previous.end..previous.end, lost, Cause::Link);
        }
    }

    /// The segment behind `previous` cannot say where `previous` ended.
    fn unknown_end_of(&mut self, previous: Option<Last>) {
        if let Some(previous) = previous.filter(|previous| previous.end < previous.nonzero_end) {
            let tail = previous.end..aligned(previous.nonzero_end);
            self.damage(previous.id, tail, 0..0, Cause::Tail);
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

    fn finish<F, V: Visitor>(
        &mut self,
        mut kept: VecDeque<Kept<F>>,
        spares: VecDeque<Arc<Segment<F>>>,
        visitor: &mut V,
    ) -> Recovered<F> {
        let cut = self.batch.is_some();
        if let Some(batch) = self.batch.take() {
            self.drop_batch(batch, visitor);
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
                self.damage(last.id, tail, self.expected..next_sequence, Cause::Tail);
            }
        }
        // A note of what is not known to be synced goes into the first marker of a new segment, so
        // that the next opening does not take an unfinished write for damage.
        self.settle_doubtful(visitor);
        let mut erasures = self.half_erased();
        let leave_segment = self.settle_damage(visitor);
        delete(&mut kept, self.deleted.drain(..));
        erasures.extend(self.not_erased(&kept));
        Recovered {
            report: std::mem::take(&mut self.report),
            kept,
            spares,
            end: last.map_or(0, |last| last.end),
            chain: last.map_or(0, |last| last.chain),
            marker_last_at: last.map_or(0, |last| last.marker_at),
            durable: self.durable,
            next_sequence,
            // Without a marker nobody knows; the first sequence there can be is 1.
            front: self.front.max(1),
            leave_segment,
            cut,
            erasures,
            erased: self.erased,
            boot: self.boot,
        }
    }

    /// Everything is known now that there is to know about what was synced.
    fn settle_doubtful<V: Visitor>(&mut self, visitor: &mut V) {
        for noted in std::mem::take(&mut self.doubtful) {
            if !self.is_doubtful(&noted) {
                self.delete(noted, visitor);
            }
        }
    }

    /// Where the messages are of which some bytes are overwritten, but perhaps not all.
    fn half_erased(&self) -> Vec<(u64, u64)> {
        let ranges = self.erasures.iter().map(|(_, range)| range.clone());
        let bodies = ranges.flat_map(|range| self.bodies.range(range)).map(|(_, at)| *at);
        let places = bodies.filter(|at| self.overwritten.contains(at)).map(|at| {
            let damage = &self.report.damage[at];
            (damage.segment, damage.bytes.start)
        });
        places.collect()
    }

    /// Where the messages are that are whole, and deleted, and to be overwritten.
    fn not_erased<F>(&self, kept: &VecDeque<Kept<F>>) -> Vec<(u64, u64)> {
        let mut places = Vec::new();
        for (_, range) in &self.erasures {
            let behind = kept.partition_point(|kept| kept.base_sequence <= range.start);
            for Kept { segment, base_sequence, index } in kept.iter().skip(behind.saturating_sub(1))
            {
                if *base_sequence >= range.end {
                    break;
                }
                let offsets = index.deleted_in(range.clone(), self.front);
                places.extend(offsets.map(|offset| (segment.id, offset)));
            }
        }
        places
    }

    /// Deleted messages are not lost, and only now is it known which are deleted, and what was
    /// synced. Answers whether there is damage that may be an unfinished write and is not noted as
    /// such yet.
    fn settle_damage<V: Visitor>(&mut self, visitor: &mut V) -> bool {
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
                self.drop_messages(sequences, visitor);
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

/// What is told about a message.
fn visited<'a>(head: &Head, record: &'a [u8]) -> Visited<'a> {
    let subject_bytes = usize::from(head.subject_bytes);
    let head_bytes = u32::try_from(HEAD_BYTES).expect("a head is short");
    let others = head_bytes + u32::from(head.subject_bytes) + head.headers_bytes;
    Visited {
        sequence: head.sequence,
        subject: &record[HEAD_BYTES..HEAD_BYTES + subject_bytes],
        headers_bytes: head.headers_bytes,
        payload_bytes: head.bytes - others,
        timestamp_ns: head.timestamp_ns,
    }
}

/// Makes durable what recovery found. What was perhaps not synced is written again, the same
/// bytes: after a failed sync the system may hold pages that it takes for synced and that are not
/// on the disk, and a sync alone would pass over them.
fn make_durable<D: Disk>(
    disk: &D,
    kept: &VecDeque<Kept<D::File>>,
    durable: (u64, u64),
    last_end: u64,
) -> Result<(), Error> {
    if kept.is_empty() {
        return Ok(());
    }
    disk.sync_directory().map_err(|error| Error::disk("sync the directory of the log", error))?;
    for (number, Kept { segment, .. }) in kept.iter().enumerate() {
        let is_last = number + 1 == kept.len();
        let end = if is_last { last_end } else { segment.file.bytes() };
        if segment.id >= durable.0 {
            let start = if segment.id == durable.0 { durable.1.min(end) } else { 0 };
            rewrite(segment, start..end)
                .and_then(|()| segment.file.sync())
                .map_err(|error| Error::disk(format!("sync {}", segment.name()), error))?;
        }
        segment.file.publish(end);
    }
    Ok(())
}

fn rewrite<F: DiskFile>(segment: &Segment<F>, range: Range<u64>) -> std::io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min(at + REWRITE_BYTES);
        let bytes = segment.file.read(at..end)?.into_owned();
        segment.file.write_at(at, &bytes)?;
        at = end;
    }
    Ok(())
}

const ZEROS: [u8; 4_096] = [0; 4_096];

/// Where the first byte is, at or behind `from`, that is not zero.
fn first_nonzero(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    for chunk in bytes.get(from..)?.chunks(ZEROS.len()) {
        if chunk != &ZEROS[..chunk.len()] {
            return chunk.iter().position(|byte| *byte != 0).map(|inside| at + inside);
        }
        at += chunk.len();
    }
    None
}

/// How long `bytes` are without the zeros at their end.
fn last_nonzero(bytes: &[u8]) -> u64 {
    let mut end = bytes.len();
    for chunk in bytes.rchunks(ZEROS.len()) {
        let start = end - chunk.len();
        if chunk != &ZEROS[..chunk.len()] {
            let inside = chunk.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            return (start + inside) as u64;
        }
        end = start;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_stepped_over() {
        for (length, place) in [(1, 0), (8, 7), (4_096, 0), (4_097, 4_096), (20_000, 9_999)] {
            let mut bytes = vec![0; length];
            assert_eq!((first_nonzero(&bytes, 0), last_nonzero(&bytes)), (None, 0));
            bytes[place] = 1;
            assert_eq!(first_nonzero(&bytes, 0), Some(place));
            assert_eq!(first_nonzero(&bytes, place), Some(place));
            assert_eq!(first_nonzero(&bytes, place + 1), None);
            assert_eq!(last_nonzero(&bytes), place as u64 + 1);
        }
    }
}
