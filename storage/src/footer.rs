//! What is in a sealed segment, written down beside it, so that opening a log need not read the
//! segment.
//!
//! It is derived and never evidence: if it is missing, damaged, or of another segment, the
//! segment is read instead. It knows one segment. It refuses to know the log.

use std::ops::Range;

use hashbrown::HashTable;

use crate::deletions;
use crate::disk::DiskFile;
use crate::error::Error;
use crate::index::{Index, Marks};
use crate::record::{
    ALIGNMENT_BYTES, FLAG_ERASED, HEAD_BYTES, Head, Kind, MARKER_BYTES, Marker, SUBJECT_BYTES_MAX,
    Straddling,
};
use crate::segment::Segment;

const MAGIC: [u8; 8] = *b"FULMARIX";
const FORMAT: u32 = 1;
const MARKER_LENGTH: usize = 192;
const MARKERS_AT: usize = 136;
const FIXED_BYTES: usize = MARKERS_AT + 2 * MARKER_LENGTH;
const RUN_BYTES: usize = 12;
const ERASURE_BYTES: usize = 24;

const _: () = assert!(MARKER_LENGTH as u64 == MARKER_BYTES);

/// A footer whose checksum and lengths are right.
pub(crate) struct Footer<'a> {
    bytes: &'a [u8],
    messages: usize,
    runs: Range<usize>,
    places: Range<usize>,
    subject_ends: Range<usize>,
    names: Range<usize>,
    numbers: Column,
    headers: Column,
    payloads: Column,
    deletions: Range<usize>,
    erasures: Range<usize>,
}

/// Numbers of the same width, or all the same.
#[derive(Clone, Debug)]
struct Column {
    base: u32,
    width: usize,
    bytes: Range<usize>,
}

/// What one segment is like, gathered by reading it.
pub(crate) struct Summary {
    end: u64,
    chain: u32,
    last_marker_at: u64,
    next_sequence: u64,
    first_marker: Vec<u8>,
    last_marker: Vec<u8>,
    index: Index,
    subject_ends: Vec<u32>,
    names: Vec<u8>,
    numbers: Vec<u32>,
    headers: Vec<u32>,
    payloads: Vec<u32>,
    deleted: Vec<Range<u64>>,
    /// Deletions move the front to here.
    front: u64,
    erased: Vec<(u64, Range<u64>)>,
    straddling: Straddling,
    /// The batch that is open where the segment begins was not finished.
    cuts: bool,
}

/// A marker as it is in a segment.
pub(crate) struct WrittenMarker {
    pub(crate) head: Head,
    pub(crate) marker: Marker,
}

impl Summary {
    /// Reads a segment whose records end at `end`. `dropped` are batches in it that were not
    /// finished, `starts_cut` says the same of the one that is open where it begins, and of `deleted` messages the bodies may be overwritten. `None`: something in it is damaged, and it has to be read each time.
    pub(crate) fn read<F: DiskFile>(
        segment: &Segment<F>,
        end: u64,
        dropped: &[Range<u64>],
        starts_cut: bool,
        deleted: &Marks,
    ) -> Result<Option<Self>, Error> {
        let read = segment.file.read(0..end);
        let bytes = read.map_err(|error| Error::disk(format!("read {}", segment.name()), error))?;
        let summary = Self::parse(segment, &bytes, dropped, deleted);
        Ok(summary
            .map(|summary| Self { cuts: starts_cut || summary.straddling.is_cut(), ..summary }))
    }

    fn parse<F>(
        segment: &Segment<F>,
        bytes: &[u8],
        dropped: &[Range<u64>],
        deleted: &Marks,
    ) -> Option<Self> {
        let mut summary = Self {
            end: bytes.len() as u64,
            chain: 0,
            last_marker_at: 0,
            next_sequence: 0,
            first_marker: Vec::new(),
            last_marker: Vec::new(),
            index: Index::default(),
            subject_ends: Vec::new(),
            names: Vec::new(),
            numbers: Vec::new(),
            headers: Vec::new(),
            payloads: Vec::new(),
            deleted: dropped.to_vec(),
            front: 0,
            erased: Vec::new(),
            straddling: Straddling::new(),
            cuts: false,
        };
        let mut subjects = HashTable::new();
        let hasher = foldhash::fast::RandomState::default();
        let mut at = 0;
        while at < bytes.len() {
            let head = Head::parse(segment.seed, at as u64, &bytes[at..]).ok()?;
            let record = &bytes[at..at + head.bytes as usize];
            let is_whole = head.body_is_whole(record);
            let is_deleted =
                head.kind == Kind::Message && deleted.is_set(summary.index.places().len());
            if !(is_whole || is_deleted) || (at > 0 && head.previous != summary.chain) {
                return None;
            }
            let body = &record[HEAD_BYTES..];
            if head.kind == Kind::Message {
                summary.straddling.message(&head);
            }
            match head.kind {
                Kind::Message if !is_whole => {
                    // Nobody asks for its subject any more.
                    summary.index.push(head.sequence, at as u64);
                    summary.push_subject(&mut subjects, &hasher, b"?")?;
                    summary.headers.push(0);
                    summary.payloads.push(0);
                }
                Kind::Message => {
                    let subject = &body[..usize::from(head.subject_bytes)];
                    summary.index.push(head.sequence, at as u64);
                    summary.push_subject(&mut subjects, &hasher, subject)?;
                    summary.headers.push(head.headers_bytes);
                    summary.payloads.push(head.payload_bytes());
                }
                Kind::Deletion => {
                    let ranges = deletions::decode(body)?;
                    if head.flags & FLAG_ERASED == 0 {
                        let front = ranges.iter().find(|range| range.start == 0);
                        summary.front = summary.front.max(front.map_or(0, |range| range.end));
                        summary.deleted.extend(ranges.into_iter().filter(|range| range.start > 0));
                    } else {
                        summary.erased.extend(ranges.into_iter().map(|range| (at as u64, range)));
                    }
                }
                Kind::Marker => {
                    let marker = Marker::parse(body)?;
                    if at == 0 {
                        summary.first_marker = record.to_vec();
                    }
                    if at == 0 && segment.identity.generation > 0 {
                        summary.straddling.compacted(&marker);
                    } else {
                        summary.straddling.marker(&marker);
                    }
                    summary.last_marker_at = at as u64;
                    summary.last_marker = record.to_vec();
                }
            }
            summary.chain = head.checksum;
            summary.next_sequence = head.sequence + u64::from(head.kind == Kind::Message);
            at += usize::try_from(head.bytes_aligned()).ok()?;
        }
        deletions::normalize(&mut summary.deleted);
        (!summary.first_marker.is_empty()).then_some(summary)
    }

    fn push_subject(
        &mut self,
        table: &mut HashTable<u32>,
        hasher: &foldhash::fast::RandomState,
        subject: &[u8],
    ) -> Option<()> {
        use std::hash::BuildHasher;
        let Self { names, subject_ends, numbers, .. } = self;
        let name = |names: &[u8], ends: &[u32], number: u32| {
            let start = number.checked_sub(1).map_or(0, |before| ends[before as usize] as usize);
            start..(ends[number as usize] as usize).min(names.len())
        };
        let hash = hasher.hash_one(subject);
        let known =
            table.find(hash, |number| &names[name(names, subject_ends, *number)] == subject);
        if let Some(number) = known {
            numbers.push(*number);
            return Some(());
        }
        let number = u32::try_from(subject_ends.len()).ok()?;
        names.extend_from_slice(subject);
        subject_ends.push(u32::try_from(names.len()).ok()?);
        table.insert_unique(hash, number, |number| {
            hasher.hash_one(&names[name(names, subject_ends, *number)])
        });
        numbers.push(number);
        Some(())
    }

    /// As it is written. `boot` says in which start of the machine alone it counts; 0: in any,
    /// because the segment is on the disk.
    pub(crate) fn encode<F: DiskFile>(&self, segment: &Segment<F>, boot: u128) -> Vec<u8> {
        let mut out = vec![0; FIXED_BYTES];
        let runs = self.index.runs();
        let (run_count, message_count) = (runs.len(), self.index.places().len());
        for (sequence, place) in runs {
            out.extend_from_slice(&sequence.to_le_bytes());
            out.extend_from_slice(&place.to_le_bytes());
        }
        for number in self.index.places().iter().chain(&self.subject_ends) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.names);
        let columns = [&self.numbers, &self.headers, &self.payloads];
        let columns = columns.map(|numbers| put_column(&mut out, numbers));
        let deletions = deletions::encode(&self.deleted, usize::MAX).pop().unwrap_or_default();
        out.extend_from_slice(&deletions);
        for (offset, range) in &self.erased {
            for number in [*offset, range.start, range.end] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let put32 = |out: &mut [u8], at: usize, number: usize| {
            let number = u32::try_from(number).expect("a segment has less than 4 GiB");
            out[at..at + 4].copy_from_slice(&number.to_le_bytes());
        };
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let numbers = [
            segment.id,
            segment.identity.salt,
            segment.file.bytes(),
            self.end,
            self.next_sequence,
            self.last_marker_at,
        ];
        for (place, number) in out[16..64].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        out[64..80].copy_from_slice(&boot.to_le_bytes());
        out[80..84].copy_from_slice(&self.chain.to_le_bytes());
        put32(&mut out, 84, message_count);
        put32(&mut out, 88, run_count);
        put32(&mut out, 92, self.subject_ends.len());
        put32(&mut out, 96, deletions.len());
        put32(&mut out, 100, self.erased.len());
        put32(&mut out, 104, self.names.len());
        for (at, (base, width)) in [108, 114, 120].into_iter().zip(columns) {
            out[at..at + 4].copy_from_slice(&base.to_le_bytes());
            out[at + 4] = width;
        }
        out[126] = u8::from(self.cuts);
        out[128..136].copy_from_slice(&self.front.to_le_bytes());
        out[MARKERS_AT..MARKERS_AT + MARKER_LENGTH].copy_from_slice(&self.first_marker);
        out[MARKERS_AT + MARKER_LENGTH..FIXED_BYTES].copy_from_slice(&self.last_marker);
        let checksum = crc32c::crc32c(&out[16..]);
        out[12..16].copy_from_slice(&checksum.to_le_bytes());
        out
    }
}

/// The numbers less the smallest, in as few bytes each as will do: the smallest, and how many
/// bytes.
fn put_column(out: &mut Vec<u8>, numbers: &[u32]) -> (u32, u8) {
    let base = numbers.iter().copied().min().unwrap_or(0);
    let largest = numbers.iter().copied().max().unwrap_or(0) - base;
    let width = match largest {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    for number in numbers {
        out.extend_from_slice(&(number - base).to_le_bytes()[..width]);
    }
    (base, u8::try_from(width).expect("at most 4"))
}

impl<'a> Footer<'a> {
    /// The footer in a file, if it is one of this segment and counts in this start of the machine.
    pub(crate) fn parse<F: DiskFile>(
        bytes: &'a [u8],
        segment: &Segment<F>,
        boot: u128,
    ) -> Option<Self> {
        let checksum = u32_at(bytes.get(..FIXED_BYTES)?, 12);
        let footer = Self::parse_again(bytes, segment, boot)?;
        (crc32c::crc32c(&bytes[16..]) == checksum && footer.is_in_order()).then_some(footer)
    }

    /// The start of the bytes of a footer as it is when the segment is on the disk, so that it
    /// counts in any start of the machine. `None`: they are damaged.
    pub(crate) fn confirmed(bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut fixed, rest) = (*bytes.first_chunk::<FIXED_BYTES>()?, &bytes[FIXED_BYTES..]);
        if crc32c::crc32c(&bytes[16..]) != u32_at(&fixed, 12) {
            return None;
        }
        fixed[64..80].fill(0);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&fixed[16..]), rest);
        fixed[12..16].copy_from_slice(&checksum.to_le_bytes());
        Some(fixed[..80].to_vec())
    }

    /// Whether it counts in any start of the machine.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.bytes[64..80] == [0; 16]
    }

    /// As [`parse`](Self::parse), of bytes that were parsed before.
    pub(crate) fn parse_again<F: DiskFile>(
        bytes: &'a [u8],
        segment: &Segment<F>,
        boot: u128,
    ) -> Option<Self> {
        let fixed = bytes.get(..FIXED_BYTES)?;
        let is_ours = fixed[..8] == MAGIC
            && u32_at(fixed, 8) == FORMAT
            && u64_at(fixed, 16) == segment.id
            && u64_at(fixed, 24) == segment.identity.salt
            && u64_at(fixed, 32) == segment.file.bytes()
            && u64_at(fixed, 40) <= segment.file.bytes();
        let footer_boot = u128::from_le_bytes(*fixed[64..].first_chunk()?);
        let counts = footer_boot == 0 || footer_boot == boot;
        if !is_ours || !counts {
            return None;
        }
        let count = |at: usize| u32_at(fixed, at) as usize;
        let (messages, subjects) = (count(84), count(92));
        let mut end = FIXED_BYTES;
        let mut take = |bytes: Option<usize>| {
            let start = end;
            end = start.checked_add(bytes?)?;
            Some(start..end)
        };
        let runs = take(count(88).checked_mul(RUN_BYTES))?;
        let places = take(messages.checked_mul(4))?;
        let subject_ends = take(subjects.checked_mul(4))?;
        let names = take(Some(count(104)))?;
        let mut column = |at: usize| {
            let (base, width) = (u32_at(fixed, at), usize::from(fixed[at + 4]));
            let bytes = take(messages.checked_mul(width))?;
            [0, 1, 2, 4].contains(&width).then_some(Column { base, width, bytes })
        };
        let (numbers, headers, payloads) = (column(108)?, column(114)?, column(120)?);
        let deletions = take(Some(count(96)))?;
        let erasures = take(count(100).checked_mul(ERASURE_BYTES))?;
        let footer = Self {
            bytes,
            messages,
            runs,
            places,
            subject_ends,
            names,
            numbers,
            headers,
            payloads,
            deletions,
            erasures,
        };
        (end == bytes.len()).then_some(footer)
    }

    /// Whether each number is one that the others have.
    fn is_in_order(&self) -> bool {
        let mut start = 0;
        let names_end = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let names_rise = self.bytes[self.subject_ends.clone()].chunks_exact(4).all(|end| {
            let end = u32_at(end, 0);
            let subject_bytes = end.checked_sub(start).map_or(0, |bytes| bytes as usize);
            start = end;
            (1..=SUBJECT_BYTES_MAX).contains(&subject_bytes) && end <= names_end
        });
        let (end, _) = self.end();
        let (headers, payloads) = (&self.headers, &self.payloads);
        let sizes_fit = u64::from(headers.max()) + u64::from(payloads.max()) < end
            || (0..self.messages).all(|place| {
                let headers_bytes = u64::from(headers.get(self.bytes, place));
                headers_bytes + u64::from(payloads.get(self.bytes, place)) < end
            });
        let subjects = self.subjects();
        let known = self.numbers.max() < subjects
            || (0..self.messages).all(|place| self.subject_of(place) < subjects);
        names_rise && sizes_fit && known
    }

    /// Where the records end, and the checksum of the last head.
    pub(crate) fn end(&self) -> (u64, u32) {
        (u64_at(self.bytes, 40), u32_at(self.bytes, 80))
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        u64_at(self.bytes, 48)
    }

    pub(crate) fn last_marker_at(&self) -> u64 {
        u64_at(self.bytes, 56)
    }

    /// The first record of the segment, and the last marker in it. `None`: they are no markers.
    pub(crate) fn markers<F>(
        &self,
        segment: &Segment<F>,
    ) -> Option<(WrittenMarker, WrittenMarker)> {
        let marker = |start: usize, offset: u64| {
            let record = &self.bytes[start..start + MARKER_LENGTH];
            let head = Head::parse(segment.seed, offset, record).ok()?;
            let marker = Marker::parse(record.get(HEAD_BYTES..head.bytes as usize)?)?;
            head.body_is_whole(record).then_some(WrittenMarker { head, marker })
        };
        let last = marker(MARKERS_AT + MARKER_LENGTH, self.last_marker_at())?;
        Some((marker(MARKERS_AT, 0)?, last))
    }

    /// Where the messages are. `None`: that cannot be.
    pub(crate) fn index(&self) -> Option<Index> {
        let places = self.bytes[self.places.clone()].chunks_exact(4);
        let places: Vec<u32> = places.map(|place| u32_at(place, 0)).collect();
        let runs = self.bytes[self.runs.clone()].chunks_exact(RUN_BYTES);
        let runs: Vec<(u64, u32)> = runs.map(|run| (u64_at(run, 0), u32_at(run, 8))).collect();
        let (end, _) = self.end();
        let is_inside = |place: &u32| u64::from(*place) * (ALIGNMENT_BYTES as u64) < end;
        if !places.last().is_none_or(is_inside) {
            return None;
        }
        let index = Index::from_parts(places, &runs)?;
        index.last().is_none_or(|last| last < self.next_sequence()).then_some(index)
    }

    /// Whether the batch that is open where the segment begins was not finished.
    pub(crate) fn cuts(&self) -> bool {
        self.bytes[126] != 0
    }

    /// Messages below are deleted, as the deletions in the segment say.
    pub(crate) fn front(&self) -> u64 {
        u64_at(self.bytes, 128)
    }

    /// What the records in the segment delete besides. `None`: that cannot be.
    pub(crate) fn deleted(&self) -> Option<Vec<Range<u64>>> {
        deletions::decode(&self.bytes[self.deletions.clone()])
    }

    /// About how long the deletions are.
    pub(crate) fn deletion_bytes(&self) -> u64 {
        self.deletions.len() as u64
    }

    /// What they delete and overwrite, and where they say so.
    pub(crate) fn erased(&self) -> impl Iterator<Item = (u64, Range<u64>)> {
        self.bytes[self.erasures.clone()]
            .chunks_exact(ERASURE_BYTES)
            .map(|erasure| (u64_at(erasure, 0), u64_at(erasure, 8)..u64_at(erasure, 16)))
    }

    pub(crate) fn subjects(&self) -> u32 {
        u32_at(self.bytes, 92)
    }

    pub(crate) fn subject(&self, number: u32) -> &'a [u8] {
        let ends = &self.bytes[self.subject_ends.clone()];
        let end = |number: u32| u32_at(ends, number as usize * 4) as usize;
        let start = number.checked_sub(1).map_or(0, end);
        &self.bytes[self.names.clone()][start..end(number)]
    }

    pub(crate) fn subject_of(&self, place: usize) -> u32 {
        self.numbers.get(self.bytes, place)
    }

    pub(crate) fn headers_bytes_of(&self, place: usize) -> u32 {
        self.headers.get(self.bytes, place)
    }

    pub(crate) fn payload_bytes_of(&self, place: usize) -> u32 {
        self.payloads.get(self.bytes, place)
    }
}

impl Column {
    /// No number is above it.
    fn max(&self) -> u32 {
        let largest = [0, 0xff, 0xffff, 0, u32::MAX][self.width.min(4)];
        self.base.saturating_add(largest)
    }

    fn get(&self, bytes: &[u8], place: usize) -> u32 {
        let bytes = &bytes[self.bytes.clone()];
        let number = match self.width {
            0 => 0,
            1 => u32::from(bytes[place]),
            2 => u32::from(u16::from_le_bytes([bytes[place * 2], bytes[place * 2 + 1]])),
            _ => u32_at(bytes, place * 4),
        };
        self.base.saturating_add(number)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the field is inside"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the field is inside"))
}
