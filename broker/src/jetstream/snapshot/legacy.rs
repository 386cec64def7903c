//! The format before archives: a tar of the files that nats-server keeps a stream in.
//!
//! ```text
//! meta.inf             JSON: the stream's configuration, and when it was created
//! msgs/<n>.blk         records, in the order of sequences
//! obs/<name>/meta.inf  JSON: the consumer's configuration
//! obs/<name>/o.dat     what it has delivered, in binary
//! errors.txt           why the snapshot is not whole
//!
//! record  length 4 (all of it; highest bit: has headers) | sequence 8 | time 8
//!         subject length 2 | subject | [header length 4 | headers] | payload | checksum 8
//! ```
//!
//! Integers of records are little endian. The highest bit of a sequence marks a message that was
//! erased in place, the next a note that a message, perhaps of an earlier file, was deleted.
//! Other files (`meta.sum`, `index.db`) repeat what is here and are passed over. The checksums of
//! records are not compared: their key is the server's, and the compression has its own.
//!
//! The format lacks one thing: which messages at the front are gone. Whoever restores knows it
//! from the state that comes with the request.

use super::{
    Consumer, ConsumerState, DOCUMENT_BYTES_MAX, Found, FoundItem, Limits, MessageAt,
    NAME_BYTES_MAX, SnapshotError,
};

const BLOCK_BYTES: usize = 512;
/// Records of extended headers: a path and some times.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

const RECORD_HEAD_BYTES: usize = 22;
const RECORD_CHECKSUM_BYTES: usize = 8;
const HAS_HEADERS: u32 = 1 << 31;
const ERASED: u64 = 1 << 63;
const DELETION: u64 = 1 << 62;

/// Reads files from the beginning of what it is shown.
#[derive(Debug, Default)]
pub(super) struct Reader {
    progress: Progress,
    /// Bytes still to come that mean nothing.
    skipping: u64,
    /// What an extended header says of the file behind the next header.
    path: Option<String>,
    size: Option<u64>,
    /// A consumer whose state has not come.
    consumer: Option<(String, Vec<u8>)>,
    /// The last message.
    sequence: u64,
}

#[derive(Debug, Default)]
enum Progress {
    /// The header of a file, or the end.
    #[default]
    Head,
    /// An extended header.
    Extension { size: u64 },
    /// A file that is taken whole.
    Document { kind: Document, size: u64 },
    /// A file of records; `padding` follows the last.
    Records { left: u64, padding: u64 },
}

#[derive(Clone, Debug)]
enum Document {
    Config,
    ConsumerConfig(String),
    ConsumerState(String),
    Error,
}

impl Reader {
    pub(super) fn read(&mut self, bytes: &[u8], limits: Limits) -> Result<Found, SnapshotError> {
        if self.skipping > 0 {
            let skipped = bytes.len().min(usize::try_from(self.skipping).unwrap_or(usize::MAX));
            self.skipping -= skipped as u64;
            return Ok(if skipped == 0 { Found::Nothing } else { Found::Skip(skipped) });
        }
        match &self.progress {
            Progress::Head => self.read_head(bytes),
            Progress::Extension { size } => {
                let size = *size;
                let Some(records) = whole(bytes, size) else { return Ok(Found::Nothing) };
                self.read_extension(records)?;
                self.progress = Progress::Head;
                self.skipping = padding(size);
                Ok(Found::Skip(records.len()))
            }
            Progress::Document { kind, size } => {
                let (kind, size) = (kind.clone(), *size);
                let Some(document) = whole(bytes, size) else { return Ok(Found::Nothing) };
                self.progress = Progress::Head;
                self.skipping = padding(size);
                let item = self.read_document(kind, document)?;
                Ok(item
                    .map_or(Found::Skip(document.len()), |item| Found::Item(document.len(), item)))
            }
            Progress::Records { left: 0, padding } => {
                self.skipping = *padding;
                self.progress = Progress::Head;
                Ok(Found::Skip(0))
            }
            Progress::Records { left, padding } => {
                let (left, padding) = (*left, *padding);
                let (taken, found) = self.read_record(bytes, left, limits)?;
                self.progress = Progress::Records { left: left - taken, padding };
                Ok(found)
            }
        }
    }

    fn read_head(&mut self, bytes: &[u8]) -> Result<Found, SnapshotError> {
        let Some(head) = bytes.first_chunk::<BLOCK_BYTES>() else { return Ok(Found::Nothing) };
        if head.iter().all(|byte| *byte == 0) {
            return Ok(match self.take_consumer() {
                Some(consumer) => Found::Item(0, FoundItem::Consumer(consumer)),
                None => Found::Item(BLOCK_BYTES, FoundItem::End),
            });
        }
        let checksum = octal(&head[148..156]).ok_or(SnapshotError::Malformed)?;
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        // The checksum counts as eight blanks.
        if sum(&head[..148]) + 8 * u64::from(b' ') + sum(&head[156..]) != checksum {
            return Err(SnapshotError::Malformed);
        }
        let size = octal(&head[124..136]).ok_or(SnapshotError::Malformed)?;
        match head[156] {
            b'x' if size > EXTENSION_BYTES_MAX => {
                return Err(SnapshotError::EntryTooLarge("extended header".to_owned()));
            }
            b'x' => {
                self.progress = Progress::Extension { size };
                return Ok(Found::Skip(BLOCK_BYTES));
            }
            b'0' | 0 => {}
            _ => return Err(SnapshotError::UnexpectedContent),
        }
        let path = self.path.take().unwrap_or_else(|| text_until_zero(&head[..100]));
        let size = self.size.take().unwrap_or(size);
        let kind = match &path.split('/').collect::<Vec<_>>()[..] {
            ["meta.inf"] => Document::Config,
            ["errors.txt"] => Document::Error,
            ["obs", name, "meta.inf"] => Document::ConsumerConfig((*name).to_owned()),
            ["obs", name, "o.dat"] => Document::ConsumerState((*name).to_owned()),
            ["msgs", name] if name.ends_with(".blk") => {
                self.progress = Progress::Records { left: size, padding: padding(size) };
                return Ok(Found::Skip(BLOCK_BYTES));
            }
            _ => {
                self.skipping = size.checked_add(padding(size)).ok_or(SnapshotError::Malformed)?;
                return Ok(Found::Skip(BLOCK_BYTES));
            }
        };
        if size > DOCUMENT_BYTES_MAX as u64 {
            return Err(SnapshotError::EntryTooLarge(path));
        }
        self.progress = Progress::Document { kind, size };
        Ok(Found::Skip(BLOCK_BYTES))
    }

    /// Records `length key=value\n`, where the length counts all of it.
    fn read_extension(&mut self, records: &[u8]) -> Result<(), SnapshotError> {
        let mut rest = records;
        while !rest.is_empty() {
            let blank = memchr::memchr(b' ', rest).ok_or(SnapshotError::Malformed)?;
            let length = decimal(&rest[..blank]).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|length| *length > blank + 1 && *length <= rest.len());
            let (record, after) = rest.split_at(length.ok_or(SnapshotError::Malformed)?);
            let record = &record[blank + 1..];
            let record = record.strip_suffix(b"\n").ok_or(SnapshotError::Malformed)?;
            if let Some(path) = record.strip_prefix(b"path=") {
                self.path = Some(String::from_utf8_lossy(path).into_owned());
            } else if let Some(size) = record.strip_prefix(b"size=") {
                self.size = Some(decimal(size).ok_or(SnapshotError::Malformed)?);
            }
            rest = after;
        }
        Ok(())
    }

    fn read_document(
        &mut self,
        kind: Document,
        document: &[u8],
    ) -> Result<Option<FoundItem>, SnapshotError> {
        match kind {
            Document::Config => Ok(Some(FoundItem::Config(document.to_vec()))),
            Document::Error => {
                Err(SnapshotError::Incomplete(String::from_utf8_lossy(document).into_owned()))
            }
            Document::ConsumerConfig(name) => {
                let previous = self.take_consumer();
                self.consumer = Some((name, document.to_vec()));
                Ok(previous.map(FoundItem::Consumer))
            }
            Document::ConsumerState(name) => {
                let wrong = |reason: &str| SnapshotError::Consumer {
                    name: name.clone(),
                    reason: reason.to_owned(),
                };
                let Some((_, config)) = self.consumer.take_if(|(known, _)| *known == name) else {
                    return Err(wrong("missing config"));
                };
                let state = if document.is_empty() {
                    ConsumerState::default()
                } else {
                    ConsumerState::from_binary(document).ok_or_else(|| wrong("corrupt state"))?
                };
                Ok(Some(FoundItem::Consumer(Consumer { name, config, state })))
            }
        }
    }

    /// A consumer whose state does not come has delivered nothing.
    fn take_consumer(&mut self) -> Option<Consumer> {
        let (name, config) = self.consumer.take()?;
        Some(Consumer { name, config, state: ConsumerState::default() })
    }

    /// The record at the beginning of `bytes`, of whose file `left` bytes are left. Also: how
    /// many of them are taken care of.
    fn read_record(
        &mut self,
        bytes: &[u8],
        left: u64,
        limits: Limits,
    ) -> Result<(u64, Found), SnapshotError> {
        if left < RECORD_HEAD_BYTES as u64 {
            return Err(SnapshotError::Malformed);
        }
        let Some(head) = bytes.first_chunk::<RECORD_HEAD_BYTES>() else {
            return Ok((0, Found::Nothing));
        };
        let (first, rest) = head.split_first_chunk().expect("22 bytes have 4");
        let (sequence, rest) = rest.split_first_chunk().expect("18 bytes have 8");
        let (unix_ns, rest) = rest.split_first_chunk().expect("10 bytes have 8");
        let (subject_bytes, _) = rest.split_first_chunk().expect("2 bytes have 2");
        let first = u32::from_le_bytes(*first);
        let sequence = u64::from_le_bytes(*sequence);
        let unix_ns = i64::from_le_bytes(*unix_ns);
        let subject_bytes = usize::from(u16::from_le_bytes(*subject_bytes));

        let has_headers = first & HAS_HEADERS != 0;
        let record_bytes = u64::from(first & !HAS_HEADERS);
        let length = usize::try_from(record_bytes).map_err(|_| SnapshotError::Malformed)?;
        let prefix_bytes = RECORD_HEAD_BYTES + subject_bytes + if has_headers { 4 } else { 0 };
        let body_bytes = length.checked_sub(prefix_bytes + RECORD_CHECKSUM_BYTES);
        let body_bytes = body_bytes.filter(|_| record_bytes <= left);
        let body_bytes = body_bytes.ok_or(SnapshotError::Malformed)?;
        let skip = |reader: &mut Self| {
            reader.skipping = record_bytes;
            Ok((record_bytes, Found::Skip(0)))
        };
        if sequence & DELETION != 0 {
            // It has nothing but its head and its checksum.
            self.skipping = record_bytes;
            let deleted = FoundItem::Deleted(sequence & !(DELETION | ERASED));
            return Ok((record_bytes, Found::Item(0, deleted)));
        }
        if sequence & ERASED != 0 || sequence <= self.sequence {
            return skip(self);
        }
        if body_bytes > limits.message_bytes_max || subject_bytes > NAME_BYTES_MAX {
            return Err(SnapshotError::MessageTooLarge(sequence));
        }
        let Some(record) = bytes.get(..length) else { return Ok((0, Found::Nothing)) };
        let header_bytes = if has_headers {
            let length = record[prefix_bytes - 4..].first_chunk().expect("the prefix has it");
            usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX)
        } else {
            0
        };
        if header_bytes > body_bytes {
            return Err(SnapshotError::Malformed);
        }
        self.sequence = sequence;
        // The header length stands between subject and headers.
        let message = MessageAt {
            sequence,
            unix_ns,
            subject: RECORD_HEAD_BYTES..RECORD_HEAD_BYTES + subject_bytes,
            headers: prefix_bytes..prefix_bytes + header_bytes,
            payload: prefix_bytes + header_bytes..prefix_bytes + body_bytes,
        };
        Ok((record_bytes, Found::Item(length, FoundItem::Message(Box::new(message)))))
    }
}

fn whole(bytes: &[u8], size: u64) -> Option<&[u8]> {
    bytes.get(..usize::try_from(size).ok()?)
}

/// Files fill whole blocks.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

/// A number of a header: octal digits between blanks and zeros.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = text_until_zero(field);
    let digits = digits.trim_matches(' ');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn text_until_zero(field: &[u8]) -> String {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
