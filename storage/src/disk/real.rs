//! A directory of the file system: append by write, read by map.
//!
//! It knows paths and system calls. It refuses to know records.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::map::Map;
use super::{Disk, DiskFile};

/// A directory that this process alone uses, as its lock file says.
#[derive(Clone, Debug)]
pub struct RealDisk(Arc<Directory>);

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    handle: File,
    /// Held as long as anyone has a handle of the directory.
    _lock: File,
}

/// A file of a [`RealDisk`].
pub struct RealFile {
    file: File,
    bytes: u64,
    /// `None` for an empty file, which cannot be mapped.
    map: Option<Map>,
    published: AtomicU64,
    /// Held while bytes are written and while the mark moves, so that the mark never moves over
    /// bytes that are being written.
    writing: Mutex<()>,
}

/// The file that is locked as long as the directory is in use. It stays empty.
const LOCK_NAME: &str = "lock";

/// What a file is called until it is whole.
const PART_SUFFIX: &str = ".part";

/// A random number of the kernel's, another one after each start.
const BOOT_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// Zeros are written in pieces of this many bytes.
const ZEROS_BYTES: usize = 1 << 20;

impl RealDisk {
    /// Opens a directory, and makes it first if it is not there; its parent must be.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`]: another process, or another handle of this one, has the
    /// directory open. Otherwise what the file system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::create_dir(path) {
            Ok(()) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_NAME))?;
        lock.try_lock()?;
        let handle = File::open(path)?;
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(is_part) {
                fs::remove_file(path.join(name))?;
            }
        }
        Ok(Self(Arc::new(Directory { path: path.to_path_buf(), handle, _lock: lock })))
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0.path)? {
            // A name that is not UTF-8 is none of ours, and is left alone.
            if let Ok(name) = entry?.file_name().into_string()
                && name != LOCK_NAME
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<RealFile> {
        let path = self.path_of(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let made = fill_with_zeros(&file, bytes)
            .and_then(|()| self.sync_directory())
            .and_then(|()| RealFile::new(file));
        if made.is_err() {
            // If it cannot be removed either, the next recovery finds a file of zeros that is
            // too short, and removes it.
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn create_with(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<RealFile> {
        let (part, path) = (self.path_of(&format!("{name}{PART_SUFFIX}")), self.path_of(name));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&part)?;
        let made = file
            .write_all_at(bytes, 0)
            .and_then(|()| if durable { file.sync_all() } else { Ok(()) })
            .and_then(|()| fs::rename(&part, &path));
        if let Err(error) = made {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        if durable {
            self.sync_directory()?;
        }
        RealFile::new(file)
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        RealFile::new(OpenOptions::new().read(true).write(true).open(self.path_of(name))?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path_of(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.handle.sync_all()
    }

    /// What Linux says; 0 on other systems.
    fn boot(&self) -> u128 {
        let text = fs::read_to_string(BOOT_PATH).unwrap_or_default();
        u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or_default()
    }
}

/// Whether a file was being made by [`Disk::create_with`] when the process ended. Others with such
/// a name are none of ours.
fn is_part(name: &str) -> bool {
    name.strip_suffix(PART_SUFFIX)
        .is_some_and(|rest| [".segment", ".footer"].iter().any(|suffix| rest.ends_with(suffix)))
}

/// Zeros are written, not only reserved: a block that `fallocate` reserved is converted at the
/// first sync, which took almost twice as long, and a file of written blocks cannot run out of
/// room. It is reserved first, so that a full disk is found before it is filled to the brim.
fn fill_with_zeros(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Some file systems cannot.
        Ok(()) | Err(Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = vec![0; usize::try_from(bytes).map_or(ZEROS_BYTES, |all| all.min(ZEROS_BYTES))];
    let mut offset = 0;
    while offset < bytes {
        let piece =
            usize::try_from(bytes - offset).map_or(zeros.len(), |rest| rest.min(zeros.len()));
        file.write_all_at(&zeros[..piece], offset)?;
        offset += piece as u64;
    }
    file.sync_all()
}

impl RealFile {
    fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let map = if bytes == 0 { None } else { Some(Map::new(&file)?) };
        Ok(Self { file, bytes, map, published: AtomicU64::new(0), writing: Mutex::new(()) })
    }
}

impl DiskFile for RealFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(bytes.len() as u64);
        if offset < self.published.load(Ordering::Acquire) || end > self.bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file.write_all_at(bytes, offset)
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset.saturating_add(bytes.len() as u64) > self.bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn publish(&self, bytes: u64) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.published.fetch_max(bytes.min(self.bytes), Ordering::AcqRel);
    }

    fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    fn contents(&mut self) -> io::Result<Cow<'_, [u8]>> {
        let Some(map) = &self.map else { return Ok(Cow::Borrowed(&[])) };
        let bytes = usize::try_from(self.bytes).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        map.slice(0, bytes, self.bytes)
            .map(Cow::Borrowed)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn read(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let beyond = || io::Error::from(io::ErrorKind::UnexpectedEof);
        if range.end > self.bytes {
            return Err(beyond());
        }
        let bytes = range.end.checked_sub(range.start).ok_or_else(beyond)?;
        let bytes = usize::try_from(bytes).map_err(|_| beyond())?;
        let offset = usize::try_from(range.start).map_err(|_| beyond())?;
        let mapped = self.map.as_ref().and_then(|map| map.slice(offset, bytes, self.published()));
        if let Some(slice) = mapped {
            return Ok(Cow::Borrowed(slice));
        }
        let mut copy = vec![0; bytes];
        self.file.read_exact_at(&mut copy, range.start)?;
        Ok(Cow::Owned(copy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_below_the_mark_are_borrowed_and_never_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        let file = disk.create_zeroed("one", 8_192).unwrap();
        file.write_at(0, b"hello").unwrap();
        assert!(matches!(file.read(0..5).unwrap(), Cow::Owned(bytes) if bytes == b"hello"));
        file.publish(5);
        assert!(matches!(file.read(0..5).unwrap(), Cow::Borrowed(b"hello")));
        assert!(matches!(file.read(0..6).unwrap(), Cow::Owned(bytes) if bytes == b"hello\0"));
        assert_eq!(file.write_at(4, b"x").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(file.write_at(8_190, b"xyz").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(file.read(8_190..8_193).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.write_at(5, b" world").unwrap();
        file.publish(11);
        assert_eq!(&*file.read(0..11).unwrap(), b"hello world");
        let mut file = file;
        file.overwrite(0, b"HE").unwrap();
        assert_eq!(&*file.read(0..11).unwrap(), b"HEllo world");
        assert_eq!(file.overwrite(8_190, b"xyz").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_removed_file_is_read_by_who_has_it_open() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        let file = disk.create_zeroed("one", 4_096).unwrap();
        file.write_at(0, b"still here").unwrap();
        file.publish(10);
        disk.remove("one").unwrap();
        assert_eq!(disk.list().unwrap(), Vec::<String>::new());
        assert_eq!(&*file.read(0..10).unwrap(), b"still here");
    }

    #[test]
    fn a_directory_is_open_once_and_a_file_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        let second = RealDisk::open(directory.path()).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        let _file = disk.create_zeroed("one", 4_096).unwrap();
        let again = disk.create_zeroed("one", 4_096).err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(disk.list().unwrap(), ["one"]);
        drop(disk);
        let reopened = RealDisk::open(directory.path()).unwrap();
        assert_eq!(reopened.open("one").unwrap().bytes(), 4_096);
    }
}
