//! A small document that is replaced as a whole: the configuration of a stream.
//!
//! Each version is a file of its own, and the two newest are kept: when the newest was not
//! finished, or is damaged, the one before it is there. It refuses to know what the document says.
//!
//! ```text
//!  offset bytes   NAME-GGGGGGGGGGGGGGGG, G being the generation in hexadecimal
//!       0     4   checksum: CRC-32C of bytes 4 to length
//!       4     4   format: 1
//!       8     8   generation
//!      16     4   length of the document
//!      20         the document, then zeros up to a multiple of 512
//! ```
//!
//! | crash | what is left | reading |
//! |---|---|---|
//! | while a version is written | the version before, and a file that is not whole | the version before |
//! | before the oldest is removed | three versions | the newest |

use crate::disk::{Disk, DiskFile};
use crate::error::Error;

/// The longest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

const HEAD_BYTES: usize = 20;
const FORMAT: u32 = 1;
const FILE_BYTES_MULTIPLE: u64 = 512;

/// The versions of one document in a directory.
#[derive(Debug)]
pub struct Slots<D> {
    disk: D,
    name: String,
    /// Of the versions that are there, oldest first.
    generations: Vec<u64>,
    next_generation: u64,
}

/// What opening a document found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest version that is whole.
    pub document: Option<Vec<u8>>,
    /// Files of versions that are not whole. Nobody removes them but a later version.
    pub damaged: Vec<String>,
}

impl<D: Disk> Slots<D> {
    /// Opens the document `name`, which has no `-` in it, and reads its newest version.
    ///
    /// # Errors
    ///
    /// The disk failed. A damaged version is no error.
    pub fn open(disk: D, name: &str) -> Result<(Self, Found), Error> {
        let names = disk.list().map_err(|error| Error::disk("list the directory", error))?;
        let mut generations: Vec<u64> =
            names.iter().filter_map(|file| generation_of(file, name)).collect();
        generations.sort_unstable();
        let mut found = Found::default();
        for generation in generations.iter().rev() {
            let file_name = file_name(name, *generation);
            let file = disk
                .open(&file_name)
                .map_err(|error| Error::disk(format!("open {file_name}"), error))?;
            let bytes = file
                .read(0..file.bytes())
                .map_err(|error| Error::disk(format!("read {file_name}"), error))?;
            match parse(&bytes, *generation) {
                Some(document) => {
                    found.document = Some(document.to_vec());
                    break;
                }
                None => found.damaged.push(file_name),
            }
        }
        let next_generation = generations.last().map_or(1, |last| last + 1);
        Ok((Self { disk, name: name.to_owned(), generations, next_generation }, found))
    }

    /// Replaces the document. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::DiskFull`], or the disk failed. The version before is still
    /// there, and is read at the next opening unless all of the new one came to the disk.
    pub fn replace(&mut self, document: &[u8]) -> Result<(), Error> {
        if document.len() > DOCUMENT_BYTES_MAX {
            let (bytes, bytes_max) = (document.len() as u64, DOCUMENT_BYTES_MAX as u64);
            return Err(Error::TooLarge { bytes, bytes_max });
        }
        let generation = self.next_generation;
        // Also when it fails: what is left of it must not be taken for the next one.
        self.next_generation += 1;
        let name = file_name(&self.name, generation);
        let bytes = encode(document, generation);
        let file_bytes = (bytes.len() as u64).next_multiple_of(FILE_BYTES_MULTIPLE);
        let file =
            self.disk.create_zeroed(&name, file_bytes).map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Error::DiskFull { segment_bytes: file_bytes }
                }
                _ => Error::disk(format!("make {name}"), error),
            })?;
        file.write_at(0, &bytes)
            .and_then(|()| file.sync())
            .map_err(|error| Error::disk(format!("write {name}"), error))?;
        self.generations.push(generation);
        while self.generations.len() > 2 {
            let oldest = file_name(&self.name, self.generations.remove(0));
            // Left behind it does no harm: the newest one counts, and it is removed next time.
            let _ = self.disk.remove(&oldest);
        }
        Ok(())
    }
}

fn encode(document: &[u8], generation: u64) -> Vec<u8> {
    let length = u32::try_from(document.len()).expect("its length was checked");
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(document);
    let checksum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn parse(bytes: &[u8], generation: u64) -> Option<&[u8]> {
    let head = bytes.first_chunk::<HEAD_BYTES>()?;
    let u32_at =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = usize::try_from(u32_at(16)).ok()?;
    let whole = bytes.get(..HEAD_BYTES.checked_add(length)?)?;
    let is_whole = u32_at(0) == crc32c::crc32c(&whole[4..])
        && u32_at(4) == FORMAT
        && whole[8..16] == generation.to_le_bytes();
    is_whole.then(|| &whole[HEAD_BYTES..])
}

fn file_name(name: &str, generation: u64) -> String {
    format!("{name}-{generation:016x}")
}

fn generation_of(file: &str, name: &str) -> Option<u64> {
    let digits = file.strip_prefix(name)?.strip_prefix('-')?;
    let generation = u64::from_str_radix(digits, 16).ok()?;
    (file_name(name, generation) == file).then_some(generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimulatedDisk;

    #[test]
    fn the_newest_version_is_read_and_two_are_kept() {
        let disk = SimulatedDisk::new();
        let (mut slots, found) = Slots::open(disk.clone(), "stream").unwrap();
        assert_eq!(found, Found::default());
        for version in ["one", "two", "three"] {
            slots.replace(version.as_bytes()).unwrap();
        }
        let (_, found) = Slots::open(disk.clone(), "stream").unwrap();
        assert_eq!(found.document.as_deref(), Some(&b"three"[..]));
        let mut names = disk.list().unwrap();
        names.sort();
        assert_eq!(names, ["stream-0000000000000002", "stream-0000000000000003"]);
    }

    #[test]
    fn a_damaged_version_is_reported_and_the_one_before_is_read() {
        let disk = SimulatedDisk::new();
        let (mut slots, _) = Slots::open(disk.clone(), "stream").unwrap();
        slots.replace(b"one").unwrap();
        slots.replace(b"two").unwrap();
        let file = disk.open("stream-0000000000000002").unwrap();
        file.write_at(21, b"X").unwrap();
        let (mut slots, found) = Slots::open(disk.clone(), "stream").unwrap();
        assert_eq!(found.document.as_deref(), Some(&b"one"[..]));
        assert_eq!(found.damaged, ["stream-0000000000000002"]);
        slots.replace(b"three").unwrap();
        let (_, found) = Slots::open(disk, "stream").unwrap();
        assert_eq!(found, Found { document: Some(b"three".to_vec()), damaged: Vec::new() });
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let whole = encode(b"document", 7);
        assert_eq!(parse(&whole, 7), Some(&b"document"[..]));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&flipped, 7), None, "bit {bit}");
        }
        assert_eq!(parse(&whole, 8), None, "a file under another's name");
        assert_eq!(parse(&whole[..whole.len() - 1], 7), None);
    }
}
