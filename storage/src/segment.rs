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
    pub(crate) id: u64,
    pub(crate) salt: u64,
    pub(crate) seed: Seed,
    pub(crate) file: F,
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
    pub(crate) fn new(id: u64, salt: u64, file: F) -> Arc<Self> {
        Arc::new(Self { id, salt, seed: Seed::new(id, salt), file })
    }

    pub(crate) fn create<D: Disk<File = F>>(
        disk: &D,
        id: u64,
        salt: u64,
        bytes: u64,
    ) -> Result<Arc<Self>, Error> {
        let name = segment_name(id, salt);
        match disk.create_zeroed(&name, bytes) {
            Ok(file) => Ok(Self::new(id, salt, file)),
            Err(error)
                if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                Err(Error::DiskFull { segment_bytes: bytes })
            }
            Err(error) => Err(Error::disk(format!("prepare {name}"), error)),
        }
    }

    pub(crate) fn name(&self) -> String {
        segment_name(self.id, self.salt)
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

/// The name holds what the checksums are seeded with, so that no damage inside the file can take
/// it away.
pub(crate) fn segment_name(id: u64, salt: u64) -> String {
    format!("{id:016x}-{salt:016x}.segment")
}

/// The identity and the salt in a name, if it is the name of a segment.
pub(crate) fn parse_segment_name(name: &str) -> Option<(u64, u64)> {
    let (id, salt) = name.strip_suffix(".segment")?.split_once('-')?;
    let number = |digits: &str| {
        let plain = digits.len() == 16
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
    };
    Some((number(id)?, number(salt)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_and_nothing_else_is_one() {
        for (id, salt) in [(0, 0), (1, u64::MAX), (u64::MAX, 0x0123_4567_89ab_cdef)] {
            assert_eq!(parse_segment_name(&segment_name(id, salt)), Some((id, salt)));
        }
        for name in [
            "",
            "lock",
            "0000000000000001.segment",
            "1-2.segment",
            "000000000000000A-0000000000000001.segment",
            "+000000000000001-0000000000000001.segment",
            "0000000000000001-0000000000000001.segment.bak",
        ] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
    }
}
