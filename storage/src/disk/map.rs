//! A read-only memory map: the only place of this crate where the compiler is asked to trust.
//!
//! It knows an address and a length. It refuses to know who writes the file: its caller says for
//! each read up to where nobody does.

#![expect(unsafe_code, reason = "a slice of mapped memory is made from a pointer")]

use std::fs::File;
use std::io;

use memmap2::{MmapOptions, MmapRaw};

/// A file's bytes as memory.
pub(super) struct Map(MmapRaw);

impl Map {
    /// Maps the whole of `file`, which must not be empty, as it is long now.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        MmapOptions::new().map_raw_read_only(file).map(Self)
    }

    /// The `bytes` bytes from `offset`, if they are all below `mark`. The caller promises with
    /// `mark` that nothing of this process writes below it as long as they are borrowed.
    pub(super) fn slice(&self, offset: usize, bytes: usize, mark: u64) -> Option<&[u8]> {
        let end = offset.checked_add(bytes)?;
        if end > self.0.len() || u64::try_from(end).ok()? > mark {
            return None;
        }
        // SAFETY: `offset..end` is inside the mapping, which lives as long as `self`. The bytes
        // are below the mark: `RealFile::write_at` refuses to write there under the same lock
        // under which the mark moves, and `RealFile::overwrite` needs a `&mut` of the file, whose
        // only map this is, so that no slice of it can be alive; `RealFile::contents`, which takes
        // the end of the file for the mark, borrows from a `&mut` too. A log opens each of its files
        // once. So this process changes none of the bytes while they are borrowed. The
        // directory's lock file keeps other Fulmar processes out, and no code of this crate
        // shortens a file. Who else may write into the directory can break this, as with any map
        // of any file.
        Some(unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(offset), bytes) })
    }
}
