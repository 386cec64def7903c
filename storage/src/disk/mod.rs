//! The one trait between the log and where its bytes are, so that the log can be run on a disk
//! that loses power on purpose.
//!
//! It knows files of a fixed length in one directory. It refuses to know records.

mod map;
mod memory;
mod real;
mod simulated;

use std::borrow::Cow;
use std::io;
use std::ops::Range;

pub use memory::{MemoryDisk, MemoryFile};
pub use real::{RealDisk, RealFile};
pub use simulated::{SimulatedDisk, SimulatedFile};

/// A directory that belongs to one log alone. A clone is another handle of the same directory.
pub trait Disk: Clone + Send + 'static {
    /// A file in it.
    type File: DiskFile;

    /// The names of the files in the directory, in no order.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `bytes` zeros that takes its room on the disk now, and syncs the file and
    /// the directory. When it answers, writing into the file needs no room any more. What was
    /// made of it is removed again if it fails, as far as that is possible.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`]: a file of this name is there, and it was not touched.
    /// [`io::ErrorKind::StorageFull`]: there is no room. Otherwise what the disk said.
    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Makes a file of `bytes`, or puts it in the place of the one of this name, whole or not at
    /// all. If it is to be `durable`, it is when this answers; otherwise a power cut may leave any
    /// of it.
    ///
    /// # Errors
    ///
    /// As [`create_zeroed`](Self::create_zeroed).
    fn create_with(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<Self::File>;

    /// Opens a file as it is.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read and written.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes the name of a file. Who has the file open goes on reading it.
    ///
    /// # Errors
    ///
    /// It is not there, or may not be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names that came and went durable.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn sync_directory(&self) -> io::Result<()>;

    /// Whether it is a disk only in name, and all on it ends with the process. How large messages
    /// count depends on it, as in nats-server.
    fn is_memory(&self) -> bool {
        false
    }

    /// A number for the time since the machine was started: as long as it is the same, what was
    /// written is there, synced or not. 0 if that cannot be known.
    fn boot(&self) -> u128;
}

/// A file whose length never changes while it is open.
///
/// It has one mark, `published`: bytes below are written again only by who has the file alone, so
/// they may be borrowed; bytes above may be written and are only copied out. At one time a file is
/// open once.
pub trait DiskFile: Send + Sync + 'static {
    /// Its length in bytes.
    fn bytes(&self) -> u64;

    /// Writes at an offset. Nothing is durable before [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`]: below the mark or behind the end. Otherwise what the disk
    /// said; then nobody knows how much was written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes below the mark, which nobody else can have borrowed: who has a `&mut` has it alone.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`]: behind the end. Otherwise what the disk said; then nobody
    /// knows how much was written.
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written before durable.
    ///
    /// # Errors
    ///
    /// What the disk said. Nobody knows then what is durable, and a second sync that succeeds
    /// says nothing about the writes before the first.
    fn sync(&self) -> io::Result<()>;

    /// Moves the mark up; it never goes down.
    fn publish(&self, bytes: u64);

    /// Where the mark is.
    fn published(&self) -> u64;

    /// All bytes of the file, for who has it alone: they are borrowed if they can be, below the
    /// mark or above.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn contents(&mut self) -> io::Result<Cow<'_, [u8]>>;

    /// Bytes of the file: borrowed where they are below the mark and the file is mapped, copied
    /// otherwise.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`]: not all of it is inside the file. Otherwise what the
    /// disk said.
    fn read(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>>;
}
