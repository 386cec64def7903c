//! One record: how it is laid out in bytes, and how bytes are told from a record.
//!
//! It knows offsets, checksums and fields. It refuses to know files, and what a sequence or a
//! subject is for.

/// Bytes of a record before its subject.
pub const HEAD_BYTES: usize = 40;

/// Records start at multiples of this many bytes; what is between them is zero.
pub const ALIGNMENT_BYTES: usize = 8;

/// The fewest bytes a message takes in a segment: its head and a subject of one byte, aligned.
pub const MESSAGE_BYTES_MIN: u64 = 48;

/// The longest subject, in bytes: what the two bytes of its length field hold.
pub const SUBJECT_BYTES_MAX: usize = u16::MAX as usize;

/// Bytes of a marker, aligned.
pub const MARKER_BYTES: u64 = 192;

/// No log comes to this sequence: it may start at 2^63, and 2^62 messages do not fit a disk.
const SEQUENCE_MAX: u64 = (1 << 63) + (1 << 62);

/// The format that this crate writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

const MARKER_BODY_BYTES: usize = 152;
const MARKER_MAGIC: [u8; 8] = *b"FULMARLG";
const MARKER_FLAG_START: u32 = 1;
const MARKER_FLAG_CLOSED: u32 = 2;
const MARKER_FLAG_CUT: u32 = 4;

/// What checksums in a segment start from, so that a record copied to another place is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    /// `salt` is a number that publishers cannot guess: no payload can then be made that looks
    /// like a record when a damaged log is searched.
    pub(crate) fn new(segment: u64, salt: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&segment.to_le_bytes());
        bytes[8..].copy_from_slice(&salt.to_le_bytes());
        Self(crc32c::crc32c(&bytes))
    }

    fn head_checksum(self, offset: u64, head_behind_checksum: &[u8]) -> u32 {
        let seeded = crc32c::crc32c_append(self.0, &offset.to_le_bytes());
        crc32c::crc32c_append(seeded, head_behind_checksum)
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Message = 1,
    Marker = 2,
    Deletion = 3,
}

/// Of a message: the sequences between the message before and this one were left out on purpose.
pub(crate) const FLAG_GAP: u8 = 1;
/// Of a message: the next message belongs to the same batch, which is there whole or not at all.
pub(crate) const FLAG_MORE: u8 = 2;
/// Of a message: the message before belongs to the same batch.
pub(crate) const FLAG_CONTINUES: u8 = 4;

/// Of a deletion: the bytes of the messages are overwritten behind it.
pub(crate) const FLAG_ERASED: u8 = 1;

const MESSAGE_FLAGS: u8 = FLAG_GAP | FLAG_MORE | FLAG_CONTINUES;

/// A head whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) checksum: u32,
    pub(crate) body_checksum: u32,
    /// Head and body, without the zeros behind.
    pub(crate) bytes: u32,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) subject_bytes: u16,
    pub(crate) headers_bytes: u32,
    /// The head checksum of the record before.
    pub(crate) previous: u32,
    pub(crate) sequence: u64,
    pub(crate) timestamp_ns: i64,
}

/// Why bytes are not the head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// They never were, or they are damaged.
    NoRecord,
    /// They are the head of a record of a kind that this version does not know.
    Newer,
}

/// What [`encode`] needs that is not in the parts.
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) previous: u32,
    pub(crate) sequence: u64,
    pub(crate) timestamp_ns: i64,
}

impl Head {
    /// Reads the head at the start of `bytes`, which go on to the end of the segment.
    pub(crate) fn parse(seed: Seed, offset: u64, bytes: &[u8]) -> Result<Self, HeadFault> {
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
            return Err(HeadFault::NoRecord);
        };
        // The cheap questions first: a search asks them at every eighth byte.
        let kind_byte = head[12];
        let record_bytes = u32_at(head, 8);
        if kind_byte == 0 || (record_bytes as usize) < HEAD_BYTES {
            return Err(HeadFault::NoRecord);
        }
        if record_bytes as usize > bytes.len() {
            return Err(HeadFault::NoRecord);
        }
        let checksum = u32_at(head, 0);
        if seed.head_checksum(offset, &head[4..]) != checksum {
            return Err(HeadFault::NoRecord);
        }
        let flags = head[13];
        let kind = match (kind_byte, flags) {
            (1, flags) if flags & !MESSAGE_FLAGS == 0 => Kind::Message,
            (2, 0) => Kind::Marker,
            (3, flags) if flags & !FLAG_ERASED == 0 => Kind::Deletion,
            _ => return Err(HeadFault::Newer),
        };
        let subject_bytes = u16::from_le_bytes([head[14], head[15]]);
        let headers_bytes = u32_at(head, 16);
        let sequence = u64_at(head, 24);
        if sequence > SEQUENCE_MAX {
            return Err(HeadFault::NoRecord);
        }
        let body_bytes = u64::from(record_bytes) - HEAD_BYTES as u64;
        if u64::from(subject_bytes) + u64::from(headers_bytes) > body_bytes {
            return Err(HeadFault::NoRecord);
        }
        Ok(Self {
            checksum,
            body_checksum: u32_at(head, 4),
            bytes: record_bytes,
            kind,
            flags,
            subject_bytes,
            headers_bytes,
            previous: u32_at(head, 20),
            sequence,
            timestamp_ns: i64::from_le_bytes(u64_at(head, 32).to_le_bytes()),
        })
    }

    /// Bytes from this record to the next.
    pub(crate) fn bytes_aligned(&self) -> u64 {
        aligned(u64::from(self.bytes))
    }

    /// How long the payload is, in bytes.
    pub(crate) fn payload_bytes(&self) -> u32 {
        let head_bytes = u32::try_from(HEAD_BYTES).expect("a head is short");
        self.bytes - head_bytes - u32::from(self.subject_bytes) - self.headers_bytes
    }

    /// Whether `record`, which starts with this head, has the body that was written.
    pub(crate) fn body_is_whole(&self, record: &[u8]) -> bool {
        record
            .get(HEAD_BYTES..self.bytes as usize)
            .is_some_and(|body| crc32c::crc32c(body) == self.body_checksum)
    }
}

/// Puts a record behind `out`, which ends where the record is to start, and answers its head
/// checksum. The caller has seen to it that the parts fit their length fields.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    seed: Seed,
    offset: u64,
    frame: &Frame,
    subject: &[u8],
    headers: &[u8],
    payload: &[u8],
) -> u32 {
    let body_bytes = subject.len() + headers.len() + payload.len();
    let record_bytes = u32::try_from(HEAD_BYTES + body_bytes).expect("a record fits its segment");
    let mut body_checksum = crc32c::crc32c(subject);
    if !headers.is_empty() {
        body_checksum = crc32c::crc32c_append(body_checksum, headers);
    }
    body_checksum = crc32c::crc32c_append(body_checksum, payload);

    let mut head = [0; HEAD_BYTES];
    head[4..8].copy_from_slice(&body_checksum.to_le_bytes());
    head[8..12].copy_from_slice(&record_bytes.to_le_bytes());
    head[12] = frame.kind as u8;
    head[13] = frame.flags;
    let subject_bytes = u16::try_from(subject.len()).expect("the subject's length was checked");
    head[14..16].copy_from_slice(&subject_bytes.to_le_bytes());
    let headers_bytes = u32::try_from(headers.len()).expect("headers fit their record");
    head[16..20].copy_from_slice(&headers_bytes.to_le_bytes());
    head[20..24].copy_from_slice(&frame.previous.to_le_bytes());
    head[24..32].copy_from_slice(&frame.sequence.to_le_bytes());
    head[32..40].copy_from_slice(&frame.timestamp_ns.to_le_bytes());
    let checksum = seed.head_checksum(offset, &head[4..]);
    head[..4].copy_from_slice(&checksum.to_le_bytes());

    out.extend_from_slice(&head);
    out.extend_from_slice(subject);
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    let padding = record_bytes.next_multiple_of(8) - record_bytes;
    out.extend_from_slice(&[0; ALIGNMENT_BYTES][..padding as usize]);
    checksum
}

/// Bytes that a message takes in a segment.
pub(crate) fn message_bytes(subject: usize, headers: usize, payload: usize) -> u64 {
    aligned(HEAD_BYTES as u64 + subject as u64 + headers as u64 + payload as u64)
}

/// The next offset at which a record may start.
pub(crate) fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT_BYTES as u64)
}

/// Whether the batch that is open where records begin is cut off by one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Straddling {
    is_open: bool,
    is_cut: bool,
}

impl Straddling {
    pub(crate) fn new() -> Self {
        Self { is_open: true, is_cut: false }
    }

    pub(crate) fn message(&mut self, head: &Head) {
        let goes_on = FLAG_CONTINUES | FLAG_MORE;
        self.is_open &= head.flags & goes_on == goes_on;
    }

    pub(crate) fn marker(&mut self, marker: &Marker) {
        if marker.cut {
            self.is_cut |= self.is_open;
            self.is_open = false;
        }
    }

    /// A segment that was compacted begins: no batch reaches beyond its first marker.
    pub(crate) fn compacted(&mut self, first: &Marker) {
        self.marker(first);
        self.is_open = false;
    }

    pub(crate) fn is_cut(self) -> bool {
        self.is_cut
    }
}

/// What a log says about itself at the start of each segment and every 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Marker {
    /// It is the first record of its segment.
    pub(crate) start: bool,
    /// The log was closed behind it, with everything synced.
    pub(crate) closed: bool,
    /// The batch before it was not finished when the log was opened: its messages are none.
    pub(crate) cut: bool,
    pub(crate) segment: u64,
    pub(crate) segment_bytes: u64,
    /// Messages below this sequence are deleted.
    pub(crate) front: u64,
    /// Where the records of the segment before end.
    pub(crate) previous_end: u64,
    /// When the log was recovered and this segment begun, everything from this place to the end
    /// of the segment before was not known to be synced. Zero: the segment was begun otherwise.
    pub(crate) unsure_segment: u64,
    pub(crate) unsure_bytes: u64,
    /// Then, deletions from this place to the end of the segment before do not count: something
    /// before them was not finished. Zero: all of them count.
    pub(crate) doubtful_segment: u64,
    pub(crate) doubtful_bytes: u64,
    /// Everything before this place was synced when the marker was made.
    pub(crate) durable_segment: u64,
    pub(crate) durable_bytes: u64,
    /// The start of the machine in which it was made; 0 if that is not known.
    pub(crate) boot: u128,
    /// Every erasure that is noted before this place was carried out and synced when the marker
    /// was made.
    pub(crate) erased_segment: u64,
    pub(crate) erased_bytes: u64,
    /// First in a segment that was compacted: where the records of the last segment ended that it
    /// stands for, and the last head checksum there. 0 otherwise.
    pub(crate) replaced_end: u64,
    pub(crate) replaced_chain: u32,
    /// First in a segment that was compacted: what deletions in segments before this one name is
    /// no longer in it.
    pub(crate) applied_segment: u64,
}

impl Marker {
    /// Puts the marker behind `out` and answers its head checksum.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, seed: Seed, offset: u64, frame: &Frame) -> u32 {
        let mut body = [0; MARKER_BODY_BYTES];
        let mut flags = 0;
        if self.start {
            flags |= MARKER_FLAG_START;
        }
        if self.closed {
            flags |= MARKER_FLAG_CLOSED;
        }
        if self.cut {
            flags |= MARKER_FLAG_CUT;
        }
        body[..8].copy_from_slice(&MARKER_MAGIC);
        body[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        body[12..16].copy_from_slice(&flags.to_le_bytes());
        let numbers = [
            self.segment,
            self.segment_bytes,
            self.front,
            self.previous_end,
            self.unsure_segment,
            self.unsure_bytes,
            self.durable_segment,
            self.durable_bytes,
        ];
        for (place, number) in body[16..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        body[80..88].copy_from_slice(&self.erased_segment.to_le_bytes());
        body[88..96].copy_from_slice(&self.erased_bytes.to_le_bytes());
        body[96..104].copy_from_slice(&self.replaced_end.to_le_bytes());
        body[104..112].copy_from_slice(&self.applied_segment.to_le_bytes());
        body[112..116].copy_from_slice(&self.replaced_chain.to_le_bytes());
        body[120..128].copy_from_slice(&self.doubtful_segment.to_le_bytes());
        body[128..136].copy_from_slice(&self.doubtful_bytes.to_le_bytes());
        body[136..152].copy_from_slice(&self.boot.to_le_bytes());
        encode(out, seed, offset, frame, &[], &[], &body)
    }

    /// Reads the body of a marker whose checksums are right. `None`: of another version.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let body = body.first_chunk::<MARKER_BODY_BYTES>()?;
        if body[..8] != MARKER_MAGIC || u32_at(body, 8) != FORMAT_VERSION {
            return None;
        }
        let flags = u32_at(body, 12);
        Some(Self {
            start: flags & MARKER_FLAG_START != 0,
            closed: flags & MARKER_FLAG_CLOSED != 0,
            cut: flags & MARKER_FLAG_CUT != 0,
            segment: u64_at(body, 16),
            segment_bytes: u64_at(body, 24),
            front: u64_at(body, 32),
            previous_end: u64_at(body, 40),
            unsure_segment: u64_at(body, 48),
            unsure_bytes: u64_at(body, 56),
            durable_segment: u64_at(body, 64),
            durable_bytes: u64_at(body, 72),
            doubtful_segment: u64_at(body, 120),
            doubtful_bytes: u64_at(body, 128),
            boot: u128::from_le_bytes(*body[136..].first_chunk()?),
            erased_segment: u64_at(body, 80),
            erased_bytes: u64_at(body, 88),
            replaced_end: u64_at(body, 96),
            replaced_chain: u32_at(body, 112),
            applied_segment: u64_at(body, 104),
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the field is inside the head"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the field is inside the head"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED_SEGMENT: u64 = 7;
    const SALT: u64 = 0x5eed;
    const OFFSET: u64 = 4_096;

    fn seed() -> Seed {
        Seed::new(SEED_SEGMENT, SALT)
    }

    fn sample() -> (Vec<u8>, u32) {
        let mut out = Vec::new();
        let frame = Frame {
            kind: Kind::Message,
            flags: FLAG_MORE,
            previous: 0x0102_0304,
            sequence: 0x1122_3344_5566_7788,
            timestamp_ns: -2,
        };
        let checksum = encode(&mut out, seed(), OFFSET, &frame, b"a.b", b"NATS/1.0\r\n\r\n", b"hi");
        (out, checksum)
    }

    #[test]
    fn each_field_is_where_the_drawing_says() {
        let (bytes, checksum) = sample();
        let check = |range: std::ops::Range<usize>, expected: &[u8]| {
            assert_eq!(&bytes[range.clone()], expected, "{range:?}");
        };
        check(0..4, &checksum.to_le_bytes());
        check(4..8, &crc32c::crc32c(b"a.bNATS/1.0\r\n\r\nhi").to_le_bytes());
        check(8..12, &57_u32.to_le_bytes());
        check(12..14, &[1, 2]);
        check(14..16, &[3, 0]);
        check(16..20, &[12, 0, 0, 0]);
        check(20..24, &[4, 3, 2, 1]);
        check(24..32, &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        check(32..40, &(-2_i64).to_le_bytes());
        check(40..43, b"a.b");
        check(43..55, b"NATS/1.0\r\n\r\n");
        check(55..57, b"hi");
        check(57..64, &[0; 7]);
        assert_eq!(bytes.len(), 64);
    }

    #[test]
    fn a_head_comes_back_as_it_was_written() {
        let (bytes, checksum) = sample();
        let head = Head::parse(seed(), OFFSET, &bytes).unwrap();
        assert_eq!(head.checksum, checksum);
        assert_eq!((head.kind, head.bytes, head.bytes_aligned()), (Kind::Message, 57, 64));
        assert_eq!((head.subject_bytes, head.headers_bytes), (3, 12));
        assert_eq!((head.previous, head.sequence), (0x0102_0304, 0x1122_3344_5566_7788));
        assert_eq!(head.timestamp_ns, -2);
        assert!(head.body_is_whole(&bytes));
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_seen() {
        let (bytes, _) = sample();
        for bit in 0..57 * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let whole = Head::parse(seed(), OFFSET, &flipped)
                .is_ok_and(|head| head.body_is_whole(&flipped));
            assert!(!whole, "bit {bit}");
        }
    }

    #[test]
    fn a_record_is_one_only_where_it_was_written() {
        let (bytes, _) = sample();
        assert!(Head::parse(seed(), OFFSET + 8, &bytes).is_err());
        assert!(Head::parse(Seed::new(SEED_SEGMENT + 1, SALT), OFFSET, &bytes).is_err());
        assert!(Head::parse(Seed::new(SEED_SEGMENT, SALT + 1), OFFSET, &bytes).is_err());
        assert!(Head::parse(seed(), OFFSET, &bytes[..56]).is_err(), "cut off");
    }

    #[test]
    fn zeros_are_never_a_record() {
        // Whatever the seed: the kind is asked for before the checksum.
        for segment in 0..100 {
            let found = Head::parse(Seed::new(segment, segment), segment * 8, &[0; 256]);
            assert_eq!(found, Err(HeadFault::NoRecord));
        }
    }

    #[test]
    fn a_kind_or_flag_of_a_newer_version_is_told_from_damage() {
        for (place, value) in [(12, 9), (13, 0x80)] {
            let (mut bytes, _) = sample();
            bytes[place] = value;
            assert_eq!(Head::parse(seed(), OFFSET, &bytes), Err(HeadFault::NoRecord));
            let checksum = seed().head_checksum(OFFSET, &bytes[4..HEAD_BYTES]);
            bytes[..4].copy_from_slice(&checksum.to_le_bytes());
            assert_eq!(Head::parse(seed(), OFFSET, &bytes), Err(HeadFault::Newer));
        }
    }

    #[test]
    fn a_marker_comes_back_as_it_was_written() {
        let marker = Marker {
            start: true,
            closed: true,
            cut: true,
            segment: 1,
            segment_bytes: 2,
            front: 3,
            previous_end: 4,
            unsure_segment: 5,
            unsure_bytes: 6,
            doubtful_segment: 15,
            doubtful_bytes: 16,
            durable_segment: 7,
            durable_bytes: 8,
            boot: 9 << 64,
            erased_segment: 10,
            erased_bytes: 11,
            replaced_end: 12,
            replaced_chain: 13,
            applied_segment: 14,
        };
        let frame =
            Frame { kind: Kind::Marker, flags: 0, previous: 0, sequence: 9, timestamp_ns: 0 };
        let mut out = Vec::new();
        marker.encode(&mut out, seed(), 0, &frame);
        assert_eq!(out.len() as u64, MARKER_BYTES);
        assert_eq!(Marker::parse(&out[HEAD_BYTES..]), Some(marker));
        out[HEAD_BYTES + 8] = 2;
        assert_eq!(Marker::parse(&out[HEAD_BYTES..]), None, "another version");
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // RFC 3720, B.4: 32 bytes of zeros, 32 bytes of ones, and 0 to 31.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c::crc32c(&rising), 0x46dd_794e);
    }
}
