//! The disk a stream is on: a directory of the file system, or memory.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use fulmar_storage::{Disk, DiskFile, MemoryDisk, MemoryFile, RealDisk, RealFile};

/// A directory for one log.
#[derive(Clone)]
pub enum AnyDisk {
    /// Of the file system.
    Real(RealDisk),
    /// In memory.
    Memory(MemoryDisk),
}

/// A file in it.
#[expect(clippy::large_enum_variant, reason = "there are few files, and each is read often")]
pub enum AnyFile {
    /// Of the file system.
    Real(RealFile),
    /// In memory.
    Memory(MemoryFile),
}

impl Disk for AnyDisk {
    type File = AnyFile;

    fn list(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Real(disk) => disk.list(),
            Self::Memory(disk) => disk.list(),
        }
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<AnyFile> {
        match self {
            Self::Real(disk) => disk.create_zeroed(name, bytes).map(AnyFile::Real),
            Self::Memory(disk) => disk.create_zeroed(name, bytes).map(AnyFile::Memory),
        }
    }

    fn create_with(&self, name: &str, bytes: &[u8], sync: bool) -> io::Result<AnyFile> {
        match self {
            Self::Real(disk) => disk.create_with(name, bytes, sync).map(AnyFile::Real),
            Self::Memory(disk) => disk.create_with(name, bytes, sync).map(AnyFile::Memory),
        }
    }

    fn open(&self, name: &str) -> io::Result<AnyFile> {
        match self {
            Self::Real(disk) => disk.open(name).map(AnyFile::Real),
            Self::Memory(disk) => disk.open(name).map(AnyFile::Memory),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Real(disk) => disk.remove(name),
            Self::Memory(disk) => disk.remove(name),
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        match self {
            Self::Real(disk) => disk.sync_directory(),
            Self::Memory(disk) => disk.sync_directory(),
        }
    }

    fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    fn boot(&self) -> u128 {
        match self {
            Self::Real(disk) => disk.boot(),
            Self::Memory(disk) => disk.boot(),
        }
    }
}

impl DiskFile for AnyFile {
    fn bytes(&self) -> u64 {
        match self {
            Self::Real(file) => file.bytes(),
            Self::Memory(file) => file.bytes(),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Real(file) => file.write_at(offset, bytes),
            Self::Memory(file) => file.write_at(offset, bytes),
        }
    }

    fn contents(&mut self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Real(file) => file.contents(),
            Self::Memory(file) => file.contents(),
        }
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Real(file) => file.overwrite(offset, bytes),
            Self::Memory(file) => file.overwrite(offset, bytes),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync(),
            Self::Memory(file) => file.sync(),
        }
    }

    fn publish(&self, bytes: u64) {
        match self {
            Self::Real(file) => file.publish(bytes),
            Self::Memory(file) => file.publish(bytes),
        }
    }

    fn published(&self) -> u64 {
        match self {
            Self::Real(file) => file.published(),
            Self::Memory(file) => file.published(),
        }
    }

    fn read(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Real(file) => file.read(range),
            Self::Memory(file) => file.read(range),
        }
    }
}
