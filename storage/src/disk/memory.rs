//! A directory in memory, for logs that need not outlive the process: nothing is zeroed, and
//! syncing costs nothing.
//!
//! It knows bytes and who holds them. It refuses to know records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{Disk, DiskFile};

/// A directory in memory. A clone is another handle of the same directory.
///
/// A file takes what was written into it, however long it is, and is gone when it is removed and
/// nobody has it open any more. Nobody can open it twice at the same time.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Directory>>);

#[derive(Debug, Default)]
struct Directory {
    /// `None` while somebody has it open.
    files: BTreeMap<String, (u64, Option<Contents>)>,
    next_id: u64,
}

/// A file of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryFile {
    disk: MemoryDisk,
    name: String,
    id: u64,
    /// `None` only while it is dropped.
    contents: Option<Contents>,
}

#[derive(Debug)]
struct Contents {
    bytes: u64,
    published: AtomicU64,
    extents: Extents,
    writing: Mutex<()>,
}

/// Bytes that were written at once.
#[derive(Debug)]
struct Extent {
    offset: u64,
    bytes: Box<[u8]>,
}

/// Extents by rising offset, added to while others read: part `n` has room for `2^n` of them, and
/// none is ever moved.
#[derive(Debug, Default)]
struct Extents {
    parts: [OnceLock<Box<[OnceLock<Extent>]>>; PARTS],
    length: AtomicUsize,
}

const PARTS: usize = 32;

impl MemoryDisk {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.directory().files.keys().cloned().collect())
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<MemoryFile> {
        let mut directory = self.directory();
        if directory.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = directory.next_id;
        directory.next_id += 1;
        directory.files.insert(name.to_owned(), (id, None));
        let contents = Contents {
            bytes,
            published: AtomicU64::new(0),
            extents: Extents::default(),
            writing: Mutex::new(()),
        };
        let (disk, name) = (self.clone(), name.to_owned());
        Ok(MemoryFile { disk, name, id, contents: Some(contents) })
    }

    fn create_with(&self, name: &str, bytes: &[u8], _: bool) -> io::Result<MemoryFile> {
        let _ = self.remove(name);
        let file = self.create_zeroed(name, bytes.len() as u64)?;
        file.write_at(0, bytes)?;
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        let mut directory = self.directory();
        let (id, contents) = directory.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let mut contents = contents.take().ok_or(io::ErrorKind::ResourceBusy)?;
        *contents.published.get_mut() = 0;
        let (disk, name) = (self.clone(), name.to_owned());
        Ok(MemoryFile { disk, name, id: *id, contents: Some(contents) })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.directory().files.remove(name);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// One: it is gone when the machine stops.
    fn boot(&self) -> u128 {
        1
    }
}

impl MemoryFile {
    fn contents(&self) -> &Contents {
        self.contents.as_ref().expect("a file that is open has its contents")
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut directory = self.disk.directory();
        // Another file may have its name by now, or none.
        if let Some((id, contents)) = directory.files.get_mut(&self.name)
            && *id == self.id
        {
            *contents = self.contents.take();
        }
    }
}

impl DiskFile for MemoryFile {
    fn bytes(&self) -> u64 {
        self.contents().bytes
    }

    /// Bytes can be written behind all others, or again as they are.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let contents = self.contents();
        let _writing = contents.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(bytes.len() as u64);
        if offset < contents.published.load(Ordering::Acquire) || end > contents.bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if offset >= contents.extents.end() {
            contents.extents.push(Extent { offset, bytes: bytes.into() });
            return Ok(());
        }
        if contents.gather(offset..end) == bytes {
            return Ok(());
        }
        Err(io::ErrorKind::InvalidInput.into())
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let contents = self.contents.as_mut().expect("a file that is open has its contents");
        contents.overwrite(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn publish(&self, bytes: u64) {
        let contents = self.contents();
        contents.published.fetch_max(bytes.min(contents.bytes), Ordering::AcqRel);
    }

    fn published(&self) -> u64 {
        self.contents().published.load(Ordering::Acquire)
    }

    fn contents(&mut self) -> io::Result<Cow<'_, [u8]>> {
        self.read(0..self.bytes())
    }

    fn read(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let contents = self.contents();
        if range.end > contents.bytes || range.start > range.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let behind = contents.extents.partition_point(|extent| extent.offset <= range.start);
        let extent = behind.checked_sub(1).and_then(|at| contents.extents.get(at));
        if let Some(slice) = extent.and_then(|extent| extent.slice(&range)) {
            return Ok(Cow::Borrowed(slice));
        }
        Ok(Cow::Owned(contents.gather(range)))
    }
}

impl Contents {
    /// Bytes from any number of extents, and the zeros between.
    fn gather(&self, range: Range<u64>) -> Vec<u8> {
        let length = usize::try_from(range.end - range.start).expect("what is read fits memory");
        let mut bytes = vec![0; length];
        let first = self.extents.partition_point(|extent| extent.end() <= range.start);
        let touched = (first..).map_while(|at| self.extents.get(at));
        for extent in touched.take_while(|extent| extent.offset < range.end) {
            let (start, end) = (extent.offset.max(range.start), extent.end().min(range.end));
            let slice = extent.slice(&(start..end)).expect("it is inside the extent");
            let at = usize::try_from(start - range.start).expect("it is inside the range");
            bytes[at..at + slice.len()].copy_from_slice(slice);
        }
        bytes
    }
}

impl Contents {
    /// Over bytes that were written, in as many extents as they are.
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = self.extents.partition_point(|extent| extent.end() <= offset);
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let extent = self.extents.get_mut(at).filter(|extent| extent.offset <= offset);
            let extent = extent.ok_or(io::ErrorKind::InvalidInput)?;
            let start = usize::try_from(offset - extent.offset).expect("it is in the extent");
            let length = rest.len().min(extent.bytes.len() - start);
            extent.bytes[start..start + length].copy_from_slice(&rest[..length]);
            (offset, rest, at) = (offset + length as u64, &rest[length..], at + 1);
        }
        Ok(())
    }
}

impl Extent {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    fn slice(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.offset)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..end)
    }
}

impl Extents {
    /// Only one thread does this at a time.
    fn push(&self, extent: Extent) {
        let at = self.length.load(Ordering::Acquire);
        let (part, place) = place(at);
        let part = self.parts[part]
            .get_or_init(|| std::iter::repeat_with(OnceLock::new).take(1 << part).collect());
        part[place].set(extent).expect("a place is filled once");
        self.length.store(at + 1, Ordering::Release);
    }

    fn get(&self, at: usize) -> Option<&Extent> {
        if at >= self.length.load(Ordering::Acquire) {
            return None;
        }
        let (part, place) = place(at);
        self.parts[part].get()?[place].get()
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut Extent> {
        let (part, place) = place(at);
        self.parts[part].get_mut()?[place].get_mut()
    }

    fn end(&self) -> u64 {
        let last = self.length.load(Ordering::Acquire).checked_sub(1);
        last.and_then(|last| self.get(last)).map_or(0, Extent::end)
    }

    fn partition_point(&self, is_before: impl Fn(&Extent) -> bool) -> usize {
        let (mut low, mut high) = (0, self.length.load(Ordering::Acquire));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The part that has number `at`, and where in it.
fn place(at: usize) -> (usize, usize) {
    let part = (at + 1).ilog2() as usize;
    (part, at + 1 - (1 << part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_in_one_piece_or_over_several() {
        let disk = MemoryDisk::new();
        let file = disk.create_zeroed("one", 1_000_000).unwrap();
        let mut expected = vec![0; 1_000_000];
        let (mut offset, mut random) = (0, fastrand::Rng::with_seed(1));
        for number in 1..=500_u16 {
            let [byte, _] = number.to_le_bytes();
            let length = random.usize(1..2_000);
            file.write_at(offset as u64, &vec![byte; length]).unwrap();
            expected[offset..offset + length].fill(byte);
            assert!(matches!(
                file.read(offset as u64..(offset + length) as u64).unwrap(),
                Cow::Borrowed(bytes) if bytes == &expected[offset..offset + length]
            ));
            offset += length + random.usize(0..2) * 8;
            let from = random.usize(0..expected.len());
            let to = random.usize(from..expected.len());
            assert_eq!(&*file.read(from as u64..to as u64).unwrap(), &expected[from..to]);
        }
        file.write_at(0, &expected[..10]).unwrap();
        assert_eq!(file.write_at(0, b"other").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let beyond = file.read(999_999..1_000_001).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_lives_until_it_is_removed_and_dropped() {
        let disk = MemoryDisk::new();
        let mut file = disk.create_zeroed("one", 4_096).unwrap();
        file.write_at(0, b"hel").unwrap();
        file.write_at(3, b"xx").unwrap();
        file.overwrite(2, b"llo").unwrap();
        let beyond = file.overwrite(4, b"o!").unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(disk.open("one").unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(file);
        let file = disk.open("one").unwrap();
        assert_eq!(&*file.read(0..6).unwrap(), b"hello\0");
        disk.remove("one").unwrap();
        let second = disk.create_zeroed("one", 4_096).unwrap();
        assert_eq!(&*file.read(0..5).unwrap(), b"hello");
        drop(file);
        drop(second);
        assert_eq!(&*disk.open("one").unwrap().read(0..5).unwrap(), [0; 5]);
        assert_eq!(disk.list().unwrap(), ["one"]);
    }
}
