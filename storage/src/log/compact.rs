//! Compaction: sealed segments of which less than half is needed are written anew with what is.
//!
//! A segment that was compacted stands in its place under a name of its own: same identity, next
//! generation. It is whole on the disk before what it replaces is removed; a crash in between
//! leaves both, and opening removes the older. It knows which segments are worth it, and what of
//! them is needed. It refuses to know when.
//!
//! ```text
//!  before   [1: 90 % dead] [2] [3: 60 % dead] [4] ...
//!  after    [1, generation 1] [2] [3, generation 1] [4] ...
//!  later    [1..3, generation 2, what is left of three] [4] ...
//! ```

use std::ops::Range;
use std::sync::Arc;

use super::Log;
use super::commit::Place;
use crate::deletions;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::index::{Index, Marks};
use crate::kept::Kept;
use crate::record::{
    FLAG_ERASED, FLAG_GAP, Frame, HEAD_BYTES, Head, Kind, MARKER_BYTES, Marker, Seed, Straddling,
    encode, message_bytes,
};
use crate::segment::{Identity, Segment};

/// Segments that are compacted into one at a time, at most.
const INPUTS_MAX: usize = 8;
/// The longest body of a deletion record that is written anew, in bytes.
const BODY_BYTES_MAX: usize = 16 << 10;

/// What is being compacted, or waits until deletions are durable.
#[derive(Default)]
pub(super) struct Compacting {
    waiting: Option<Plan>,
    under_way: Option<Plan>,
}

/// Which segments, and what of them was deleted when that was decided.
struct Plan {
    inputs: Vec<(Identity, Marks)>,
    front: u64,
    /// The deletions are noted before this place.
    behind: Place,
}

/// Segments that are to be compacted into one.
pub(super) struct Compact<D: Disk> {
    disk: D,
    inputs: Vec<Input<D::File>>,
    identity: Identity,
    front: u64,
    /// What deletions in segments before this one name will not be in it.
    applied_segment: u64,
    /// The first sequence of each segment before, and the segment before which deletions are
    /// applied to it.
    applied: Vec<(u64, u64)>,
}

struct Input<F> {
    segment: Arc<Segment<F>>,
    end: u64,
    starts_cut: bool,
    deleted: Marks,
}

/// How compacting went.
pub(super) struct Compacted<D: Disk> {
    identity: Identity,
    /// `None`: something in it is damaged.
    result: Result<Option<Output<D::File>>, Error>,
}

struct Output<F> {
    segment: Arc<Segment<F>>,
    index: Index,
    deletion_bytes: u64,
    applied_segment: u64,
    starts_cut: bool,
}

impl<D: Disk> Log<D> {
    /// Segments that are worth being compacted, if the deletions in them are durable: a message
    /// is often deleted because another one came, and must stay as long as that one can be lost.
    pub(super) fn take_compact(&mut self) -> Option<Compact<D>> {
        let is_settled = self.recovery_mark.is_none();
        if self.compacting.under_way.is_some() || self.compaction_failed || !is_settled {
            return None;
        }
        if self.compacting.waiting.is_none() && self.is_plan_due() {
            self.dead_bytes_new = 0;
            self.compacting.waiting = self.plan();
        }
        let plan = self.compacting.waiting.as_ref()?;
        if !self.durable.is_at_or_behind(plan.behind) {
            return None;
        }
        let plan = self.compacting.waiting.take()?;
        let at = self.position(&plan)?;
        let kept = self.kept.range(at..at + plan.inputs.len());
        // What is overwritten in place while it is read would be copied before.
        if kept.clone().any(|kept| self.erasing.touches(kept.segment.id)) {
            return None;
        }
        let inputs = kept.clone().zip(&plan.inputs).map(|(kept, (_, deleted))| Input {
            segment: kept.segment.clone(),
            end: kept.end,
            starts_cut: kept.starts_cut,
            deleted: deleted.clone(),
        });
        let last = plan.inputs.last().expect("a plan has a segment").0;
        let generations = plan.inputs.iter().map(|(identity, _)| identity.generation);
        let identity = Identity {
            id: last.id,
            generation: generations.max().expect("a plan has a segment") + 1,
            salt: super::background::next_salt(&mut self.salt_state),
            first_id: plan.inputs[0].0.first_id,
        };
        let before = self.kept.range(..at);
        let compact = Compact {
            disk: self.disk.clone(),
            inputs: inputs.collect(),
            identity,
            front: plan.front,
            applied_segment: plan.behind.segment,
            applied: before.map(|kept| (kept.base_sequence, kept.applied_segment)).collect(),
        };
        self.compacting.under_way = Some(plan);
        Some(compact)
    }

    pub(super) fn handle_compacted(&mut self, compacted: Compacted<D>) -> Result<(), Error> {
        let plan = self.compacting.under_way.take().expect("it was taken before");
        let output = match compacted.result {
            Ok(Some(output)) => output,
            Ok(None) => {
                // Nothing is made of damage: it is read, and reported, each time.
                if let Some(at) = self.position(&plan) {
                    let kept = self.kept.range_mut(at..at + plan.inputs.len());
                    kept.for_each(|kept| kept.is_plain = false);
                }
                return Ok(());
            }
            Err(error) => {
                self.compaction_failed = true;
                return Err(error);
            }
        };
        let Some(at) = self.position(&plan) else {
            // All of it was deleted and removed in the meantime.
            self.removals.push(compacted.identity.segment_name());
            return Ok(());
        };
        let mut kept = Kept::new(output.segment, self.kept[at].base_sequence);
        kept.end = kept.segment.file.bytes();
        kept.index = output.index;
        kept.deletion_bytes = output.deletion_bytes;
        kept.applied_segment = output.applied_segment;
        kept.starts_cut = output.starts_cut;
        for (old, (_, before)) in self.kept.range(at..).zip(&plan.inputs) {
            let (_, bytes) = kept.index.delete_since(&old.index, before, kept.end);
            kept.dead_bytes += bytes;
        }
        let (first_id, id) = (compacted.identity.first_id, compacted.identity.id);
        self.erasing.handle_compacted(first_id..=id, id);
        let replaced = self.kept.drain(at + 1..at + plan.inputs.len());
        self.removals.extend(replaced.flat_map(|kept| kept.file_names().collect::<Vec<_>>()));
        let first = std::mem::replace(&mut self.kept[at], kept);
        self.removals.extend(first.file_names());
        self.footers_due = true;
        // There may be others.
        self.dead_bytes_new = u64::MAX;
        Ok(())
    }

    /// Whether so much was deleted since there was nothing to do that there may be something now.
    fn is_plan_due(&self) -> bool {
        let segments = self.kept.len() as u64;
        self.dead_bytes_new >= self.options.first_segment_bytes / 4 + segments * DEAD_BYTES_MIN
    }

    /// The first segment of which less than half is needed, and what was compacted before it, if
    /// the two together are not much larger.
    fn plan(&mut self) -> Option<Plan> {
        let last_sealed = self.kept.len().checked_sub(2)?;
        let needed = self.needed();
        let is_sealed = |at: usize| {
            let kept = &self.kept[at];
            kept.is_plain && kept.segment.id < self.durable.segment
        };
        let end = (0..=last_sealed).find(|at| {
            let end = self.kept[*at].end;
            // Below the front whole segments are removed soon.
            let lives = self.kept[at + 1].base_sequence > self.front;
            is_sealed(*at) && lives && end > MARKER_BYTES && needed[*at] <= end / 2
        })?;
        let (mut start, mut together) = (end, needed[end]);
        while let Some(before) = start.checked_sub(1)
            && end - before < INPUTS_MAX
            && is_sealed(before)
            && self.kept[before].segment.identity.generation > 0
            && needed[before] <= together * 2 + SMALL_BYTES
            && needed[before] + together <= self.options.segment_bytes
        {
            together += needed[before];
            start = before;
        }
        if self.has_deletions() {
            self.push_deletions();
        }
        let inputs = self.kept.range(start..=end);
        Some(Plan {
            inputs: inputs
                .map(|kept| (kept.segment.identity, kept.index.deleted().clone()))
                .collect(),
            front: self.front,
            behind: self.deletions_place,
        })
    }

    /// About how many bytes of each segment are needed.
    fn needed(&self) -> Vec<u64> {
        let mut applied_min = u64::MAX;
        let needed = self.kept.iter().map(|kept| {
            // Deletions are needed as long as what they delete may be in a segment before.
            let is_applied = applied_min > kept.segment.id;
            let deletions = if is_applied { kept.deletion_bytes } else { 0 };
            applied_min = applied_min.min(kept.applied_segment);
            kept.end.saturating_sub(kept.dead_bytes + deletions)
        });
        needed.collect()
    }

    /// Where the segments of a plan are, if they all are still there.
    fn position(&self, plan: &Plan) -> Option<usize> {
        let first = plan.inputs.first()?.0;
        let at = self.kept.partition_point(|kept| kept.segment.id < first.id);
        let there = self.kept.iter().skip(at).take(plan.inputs.len());
        let identities = there.map(|kept| kept.segment.identity);
        identities.eq(plan.inputs.iter().map(|(identity, _)| *identity)).then_some(at)
    }
}

/// So much must be deleted for each segment before they are looked at again, in bytes.
const DEAD_BYTES_MIN: u64 = 256;
/// Segments of which less is needed are joined whatever their neighbours are like, in bytes.
const SMALL_BYTES: u64 = 16 << 10;

/// What is needed of the segments that are read.
struct Needed {
    /// Which segment, and where in it.
    messages: Vec<(usize, usize)>,
    /// Of their records.
    message_bytes: u64,
    deleted: Vec<Range<u64>>,
    erased: Vec<Range<u64>>,
    straddling: Straddling,
}

/// What the markers say, and what comes behind.
struct Markers {
    /// The first record: what it is chained to, its sequence, and what it says.
    previous: u32,
    sequence: u64,
    first: Marker,
    /// The last marker.
    last: Marker,
    next_sequence: u64,
    /// Where the records ended that were appended, and the last head checksum.
    end: u64,
    chain: u32,
}

/// Records of a segment that is written anew.
struct Writer {
    seed: Seed,
    out: Vec<u8>,
    chain: u32,
    /// The sequence that a message has that follows without a gap.
    expected: u64,
    index: Index,
}

impl<D: Disk> Compact<D> {
    pub(super) fn run(self) -> Compacted<D> {
        let result = self.write();
        Compacted { identity: self.identity, result }
    }

    fn write(&self) -> Result<Option<Output<D::File>>, Error> {
        let mut inputs = Vec::new();
        for input in &self.inputs {
            let read = input.segment.file.read(0..input.end);
            let doing = || format!("read {}", input.segment.name());
            inputs.push(read.map_err(|error| Error::disk(doing(), error))?);
        }
        let mut needed = Needed {
            messages: Vec::new(),
            message_bytes: 0,
            deleted: Vec::new(),
            erased: Vec::new(),
            straddling: Straddling::new(),
        };
        let mut markers: Option<Markers> = None;
        for (number, bytes) in inputs.iter().enumerate() {
            let Some(more) = self.read(number, bytes, &mut needed) else { return Ok(None) };
            markers = Some(match markers {
                Some(before) => before.and(more),
                None => more,
            });
        }
        let Some(markers) = markers else { return Ok(None) };
        deletions::normalize(&mut needed.deleted);
        deletions::normalize(&mut needed.erased);
        let notes: Vec<(u8, Vec<u8>)> = [(0, &needed.deleted), (FLAG_ERASED, &needed.erased)]
            .into_iter()
            .flat_map(|(flags, ranges)| {
                let bodies = deletions::encode(ranges, BODY_BYTES_MAX);
                bodies.into_iter().map(move |body| (flags, body))
            })
            .collect();
        let deletion_bytes: u64 =
            notes.iter().map(|(_, body)| message_bytes(0, 0, body.len())).sum();
        let segment_bytes = MARKER_BYTES + needed.message_bytes + deletion_bytes;
        let mut writer = Writer {
            seed: Seed::new(self.identity.id, self.identity.salt),
            out: Vec::with_capacity(usize::try_from(segment_bytes).unwrap_or_default()),
            chain: markers.previous,
            expected: markers.sequence,
            index: Index::default(),
        };
        let cut = needed.straddling.is_cut() || self.inputs[0].starts_cut;
        let marker = Marker { cut, ..self.marker(&markers, segment_bytes) };
        writer.marker(&marker, markers.sequence);
        for (number, offset) in &needed.messages {
            writer.message(&self.inputs[*number].segment, *offset, &inputs[*number]);
        }
        for (flags, body) in &notes {
            writer.deletion(*flags, body, markers.next_sequence);
        }
        let Writer { out, index, .. } = writer;
        debug_assert_eq!(out.len() as u64, segment_bytes);
        let segment = Segment::create_with(&self.disk, self.identity, &out)?;
        let applied_segment = self.applied_segment;
        Ok(Some(Output { segment, index, deletion_bytes, applied_segment, starts_cut: cut }))
    }

    /// Finds out what is needed of one segment. `None`: something in it is damaged.
    fn read(&self, number: usize, bytes: &[u8], needed: &mut Needed) -> Option<Markers> {
        let input = &self.inputs[number];
        let (mut at, mut place) = (0, 0);
        let mut markers: Option<Markers> = None;
        while at < bytes.len() {
            let head = Head::parse(input.segment.seed, at as u64, &bytes[at..]).ok()?;
            let record = &bytes[at..at + head.bytes as usize];
            let body = &record[HEAD_BYTES..];
            let is_needed = match head.kind {
                Kind::Message => {
                    place += 1;
                    needed.straddling.message(&head);
                    head.sequence >= self.front && !input.deleted.is_set(place - 1)
                }
                Kind::Marker | Kind::Deletion => true,
            };
            if is_needed && !head.body_is_whole(record) {
                return None;
            }
            match (head.kind, &mut markers) {
                (Kind::Marker, None) => {
                    let marker = Marker::parse(body).filter(|marker| marker.start)?;
                    if input.segment.identity.generation > 0 {
                        needed.straddling.compacted(&marker);
                    } else {
                        needed.straddling.marker(&marker);
                    }
                    markers = Some(Markers::new(&head, marker));
                }
                (_, Some(markers)) if head.previous != markers.chain => return None,
                (Kind::Marker, Some(markers)) => {
                    markers.last = Marker::parse(body)?;
                    needed.straddling.marker(&markers.last);
                }
                (_, None) => return None,
                (Kind::Deletion, _) => {
                    let is_erasure = head.flags & FLAG_ERASED != 0;
                    let into = if is_erasure { &mut needed.erased } else { &mut needed.deleted };
                    let ranges = deletions::decode(body)?.into_iter();
                    into.extend(ranges.filter(|range| self.is_deletion_needed(range, input)));
                }
                (Kind::Message, _) if is_needed => {
                    needed.messages.push((number, at));
                    needed.message_bytes += head.bytes_aligned();
                }
                (Kind::Message, _) => {}
            }
            if let Some(markers) = &mut markers {
                markers.next_sequence = head.sequence + u64::from(head.kind == Kind::Message);
                markers.end = at as u64 + head.bytes_aligned();
                markers.chain = head.checksum;
            }
            at += usize::try_from(head.bytes_aligned()).ok()?;
        }
        let mut markers = markers?;
        if input.segment.identity.generation > 0 {
            // What follows is chained to what was appended.
            let Marker { replaced_end, replaced_chain, .. } = markers.first;
            (markers.end, markers.chain) = (replaced_end, replaced_chain);
        }
        Some(markers)
    }

    /// Whether a message that a deletion names may still be in a segment before. One in the
    /// segments themselves is not copied, and the front is in the marker.
    fn is_deletion_needed(&self, range: &Range<u64>, input: &Input<D::File>) -> bool {
        if range.start == 0 {
            return false;
        }
        let behind = self.applied.partition_point(|(base, _)| *base <= range.start);
        let touched = self.applied.iter().skip(behind.saturating_sub(1));
        touched
            .take_while(|(base, _)| *base < range.end)
            .any(|(_, applied_segment)| *applied_segment <= input.segment.id)
    }

    fn marker(&self, markers: &Markers, segment_bytes: u64) -> Marker {
        let Markers { first, last, .. } = markers;
        Marker {
            closed: false,
            segment: self.identity.id,
            segment_bytes,
            front: last.front.max(self.front),
            durable_segment: last.durable_segment,
            durable_bytes: last.durable_bytes,
            boot: last.boot,
            erased_segment: last.erased_segment,
            erased_bytes: last.erased_bytes,
            replaced_end: markers.end,
            replaced_chain: markers.chain,
            applied_segment: self.applied_segment,
            ..*first
        }
    }
}

impl Markers {
    fn new(head: &Head, marker: Marker) -> Self {
        Self {
            previous: head.previous,
            sequence: head.sequence,
            first: marker,
            last: marker,
            next_sequence: head.sequence,
            end: 0,
            chain: head.checksum,
        }
    }

    /// Those of two segments that follow each other.
    fn and(self, next: Self) -> Self {
        let Self { previous, sequence, mut first, .. } = self;
        // What was not known to be synced when the second was begun is before both: there is
        // nothing wrong in the first.
        let noted = |of: fn(&Marker) -> (u64, u64)| {
            [&first, &next.first].map(of).into_iter().filter(|(segment, _)| *segment > 0).min()
        };
        let unsure = noted(|marker| (marker.unsure_segment, marker.unsure_bytes));
        let doubtful = noted(|marker| (marker.doubtful_segment, marker.doubtful_bytes));
        (first.unsure_segment, first.unsure_bytes) = unsure.unwrap_or_default();
        (first.doubtful_segment, first.doubtful_bytes) = doubtful.unwrap_or_default();
        Self { previous, sequence, first, ..next }
    }
}

impl Writer {
    fn marker(&mut self, marker: &Marker, sequence: u64) {
        let previous = self.chain;
        let frame = Frame { kind: Kind::Marker, flags: 0, previous, sequence, timestamp_ns: 0 };
        self.chain = marker.encode(&mut self.out, self.seed, 0, &frame);
    }

    /// Copies a message. It belongs to no batch any more: those in a segment that is compacted
    /// are whole, or none.
    fn message<F>(&mut self, segment: &Segment<F>, offset: usize, bytes: &[u8]) {
        let head = Head::parse(segment.seed, offset as u64, &bytes[offset..]);
        let head = head.expect("it was parsed before");
        let body = &bytes[offset + HEAD_BYTES..offset + head.bytes as usize];
        let (subject, rest) = body.split_at(usize::from(head.subject_bytes));
        let (headers, payload) = rest.split_at(head.headers_bytes as usize);
        let frame = Frame {
            kind: Kind::Message,
            flags: if head.sequence > self.expected { FLAG_GAP } else { 0 },
            previous: self.chain,
            sequence: head.sequence,
            timestamp_ns: head.timestamp_ns,
        };
        let at = self.out.len() as u64;
        self.index.push(head.sequence, at);
        self.expected = head.sequence + 1;
        self.chain = encode(&mut self.out, self.seed, at, &frame, subject, headers, payload);
    }

    fn deletion(&mut self, flags: u8, body: &[u8], sequence: u64) {
        let previous = self.chain;
        let frame = Frame { kind: Kind::Deletion, flags, previous, sequence, timestamp_ns: 0 };
        let at = self.out.len() as u64;
        self.chain = encode(&mut self.out, self.seed, at, &frame, &[], &[], body);
    }
}
