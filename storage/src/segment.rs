//! One file of the log: its name, its checksum seed, and the records below its mark.
//!
//! It knows where its records are only when told the offset. It refuses to know sequences.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::record::{HEAD_BYTES, Head, Kind, Seed, aligned};

/// A segment as long as anyone reads it, even after retention removed its name.
pub(crate) struct Segment<F> {
    /// As in its identity, which is asked for most often.
    pub(crate) id: u64,
    pub(crate) identity: Identity,
    pub(crate) seed: Seed,
    pub(crate) file: F,
}

/// What the name of a segment says. It holds what the checksums are seeded with, so that no damage
/// inside the file can take it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) id: u64,
    /// How often it was compacted; 0: as it was appended to.
    pub(crate) generation: u32,
    pub(crate) salt: u64,
    /// It stands for all segments from this one to its own identity.
    pub(crate) first_id: u64,
}

impl Identity {
    pub(crate) fn appended(id: u64, salt: u64) -> Self {
        Self { id, generation: 0, salt, first_id: id }
    }

    /// Whether `older` was compacted into this one.
    pub(crate) fn replaces(&self, older: &Self) -> bool {
        self.generation > older.generation
            && (self.first_id..=self.id).contains(&older.id)
            && (self.first_id..=self.id).contains(&older.first_id)
    }

    pub(crate) fn segment_name(&self) -> String {
        format!("{}.segment", self.stem())
    }

    pub(crate) fn footer_name(&self) -> String {
        format!("{}.footer", self.stem())
    }

    fn stem(&self) -> String {
        let Self { id, generation, salt, first_id } = self;
        match generation {
            0 => format!("{id:016x}-{salt:016x}"),
            _ => format!("{id:016x}-{salt:016x}-{first_id:016x}-{generation:08x}"),
        }
    }

    /// What the name of a segment or of a footer says; the rest of the name.
    pub(crate) fn parse(name: &str) -> Option<(Self, &str)> {
        let (stem, rest) = name.split_at_checked(name.find('.')?)?;
        let number = |digits: &str, length: usize| {
            let plain = digits.len() == length
                && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        let mut parts = stem.split('-');
        let id = number(parts.next()?, 16)?;
        let salt = number(parts.next()?, 16)?;
        let Some(first_id) = parts.next() else { return Some((Self::appended(id, salt), rest)) };
        let first_id = number(first_id, 16)?;
        let generation = u32::try_from(number(parts.next()?, 8)?).ok()?;
        let is_whole = parts.next().is_none() && generation > 0 && first_id <= id;
        is_whole.then_some((Self { id, generation, salt, first_id }, rest))
    }
}

/// A message as it is in the log, its checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'log> {
    sequence: u64,
    timestamp_ns: i64,
    subject_bytes: usize,
    headers_bytes: usize,
    body: Cow<'log, [u8]>,
}

impl Record<'_> {
    /// Its number in the log. It was never and will never be that of another message.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The time its publisher's server gave it, in nanoseconds since 1970.
    pub fn timestamp_ns(&self) -> i64 {
        self.timestamp_ns
    }

    /// Its subject.
    pub fn subject(&self) -> &[u8] {
        &self.body[..self.subject_bytes]
    }

    /// Its headers as they were given; empty if it has none.
    pub fn headers(&self) -> &[u8] {
        &self.body[self.subject_bytes..self.subject_bytes + self.headers_bytes]
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        &self.body[self.subject_bytes + self.headers_bytes..]
    }
}

impl<F: DiskFile> Segment<F> {
    pub(crate) fn new(identity: Identity, file: F) -> Arc<Self> {
        let seed = Seed::new(identity.id, identity.salt);
        Arc::new(Self { id: identity.id, identity, seed, file })
    }

    pub(crate) fn create<D: Disk<File = F>>(
        disk: &D,
        identity: Identity,
        bytes: u64,
    ) -> Result<Arc<Self>, Error> {
        let name = identity.segment_name();
        match disk.create_zeroed(&name, bytes) {
            Ok(file) => Ok(Self::new(identity, file)),
            Err(error) => Err(full_or_failed(error, bytes, || format!("prepare {name}"))),
        }
    }

    /// Makes a segment of records that are all there are.
    pub(crate) fn create_with<D: Disk<File = F>>(
        disk: &D,
        identity: Identity,
        records: &[u8],
    ) -> Result<Arc<Self>, Error> {
        let name = identity.segment_name();
        match disk.create_with(&name, records, true) {
            Ok(file) => {
                file.publish(records.len() as u64);
                Ok(Self::new(identity, file))
            }
            Err(error) => {
                Err(full_or_failed(error, records.len() as u64, || format!("write {name}")))
            }
        }
    }

    pub(crate) fn name(&self) -> String {
        self.identity.segment_name()
    }

    /// The message that starts at `offset`, if that is below the mark.
    pub(crate) fn read(&self, offset: u64, sequence: u64) -> Result<Record<'_>, Error> {
        match self.record(offset)? {
            Some(record) => self.verified(offset, sequence, record),
            None => Err(self.damaged(offset..offset + HEAD_BYTES as u64, sequence)),
        }
    }

    /// As many bytes as the record at `offset` says that it has. `None`: they are not all below
    /// the mark.
    pub(crate) fn record(&self, offset: u64) -> Result<Option<Cow<'_, [u8]>>, Error> {
        let published = self.file.published();
        let read = |range: Range<u64>| {
            let doing = || format!("read {} at {}", self.name(), range.start);
            self.file.read(range.clone()).map_err(|error| Error::disk(doing(), error))
        };
        let head_end = offset + HEAD_BYTES as u64;
        if head_end > published {
            return Ok(None);
        }
        // The length is taken before its checksum is verified, so it is bounded here.
        let head = read(offset..head_end)?;
        let bytes = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        let end = offset + u64::from(bytes);
        if end > published || end < head_end {
            return Ok(None);
        }
        read(offset..end).map(Some)
    }

    /// The message at the start of `bytes`, which are or will be at `offset`.
    pub(crate) fn parse<'b>(
        &self,
        offset: u64,
        sequence: u64,
        bytes: &'b [u8],
    ) -> Result<Record<'b>, Error> {
        self.verified(offset, sequence, Cow::Borrowed(bytes))
    }

    fn verified<'b>(
        &self,
        offset: u64,
        sequence: u64,
        record: Cow<'b, [u8]>,
    ) -> Result<Record<'b>, Error> {
        let head = match Head::parse(self.seed, offset, &record) {
            Ok(head) if head.kind == Kind::Message && head.sequence == sequence => head,
            _ => return Err(self.damaged(offset..offset + HEAD_BYTES as u64, sequence)),
        };
        if !head.body_is_whole(&record) {
            let end = offset + u64::from(head.bytes);
            return Err(self.damaged(offset..aligned(end), sequence));
        }
        let bytes = HEAD_BYTES..head.bytes as usize;
        let body = match record {
            Cow::Borrowed(record) => Cow::Borrowed(&record[bytes]),
            Cow::Owned(mut record) => {
                record.truncate(bytes.end);
                record.drain(..bytes.start);
                Cow::Owned(record)
            }
        };
        Ok(Record {
            sequence,
            timestamp_ns: head.timestamp_ns,
            subject_bytes: usize::from(head.subject_bytes),
            headers_bytes: head.headers_bytes as usize,
            body,
        })
    }

    fn damaged(&self, bytes: Range<u64>, sequence: u64) -> Error {
        Error::Damaged { segment: self.id, bytes, sequences: sequence..sequence + 1 }
    }
}

fn full_or_failed(error: std::io::Error, bytes: u64, doing: impl FnOnce() -> String) -> Error {
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        Error::DiskFull { segment_bytes: bytes }
    } else {
        Error::disk(doing(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_and_nothing_else_is_one() {
        for (id, salt) in [(0, 0), (1, u64::MAX), (u64::MAX, 0x0123_4567_89ab_cdef)] {
            let appended = Identity::appended(id, salt);
            let compacted = Identity { generation: 7, first_id: id / 2, ..appended };
            for identity in [appended, compacted] {
                let (name, footer) = (identity.segment_name(), identity.footer_name());
                assert_eq!(Identity::parse(&name), Some((identity, ".segment")));
                assert_eq!(Identity::parse(&footer), Some((identity, ".footer")));
            }
            assert!(compacted.replaces(&appended) && !appended.replaces(&compacted));
        }
        for name in [
            "",
            "lock",
            "0000000000000001.segment",
            "1-2.segment",
            "000000000000000A-0000000000000001.segment",
            "+000000000000001-0000000000000001.segment",
            "0000000000000001-0000000000000001-0000000000000001.segment",
            "0000000000000001-0000000000000001-0000000000000001-00000000.segment",
            "0000000000000001-0000000000000001-0000000000000002-00000001.segment",
        ] {
            assert_eq!(Identity::parse(name), None, "{name}");
        }
    }
}
