//! A disk that loses power on purpose: two images of each file, written and durable.
//!
//! It knows sectors, and what a disk may do with those that were not synced. It refuses to know
//! records, time, and real files. Everything it decides comes from a seed: the same seed and the
//! same calls give the same bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A directory in memory. A clone is another handle of the same disk.
///
/// Without faults it is also a log's home in memory; it copies what is read.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

/// A file of a [`SimulatedDisk`].
#[derive(Debug)]
pub struct SimulatedFile {
    disk: SimulatedDisk,
    id: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Image>,
    next_id: u64,
    /// How often it was switched on.
    starts: u64,
    /// The directory as programs see it, and as it would be after a power cut.
    names: BTreeMap<String, u64>,
    names_durable: BTreeMap<String, u64>,
    syncs: u64,
    writes: u64,
    power_cut_at_sync: Option<u64>,
    powered_off: bool,
    fail_write_at: Option<(u64, io::ErrorKind)>,
    fail_sync_at: Option<(u64, io::ErrorKind)>,
    room_bytes_max: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Image {
    written: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ, or may.
    unsynced: BTreeSet<usize>,
    published: u64,
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedDisk {
    /// An empty disk without end and without faults.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { starts: 1, ..State::default() })))
    }

    /// How many syncs, of files and of the directory, were asked for so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// How many writes were asked for so far.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Cuts the power when sync number `number` (the first is 1) is asked for, before it has done
    /// anything. From then on every call fails.
    pub fn cut_power_at_sync(&self, number: u64) {
        self.state().power_cut_at_sync = Some(number);
    }

    /// Whether the power was cut.
    pub fn is_powered_off(&self) -> bool {
        self.state().powered_off
    }

    /// Lets write number `number` (the first is 1) fail with `kind`. Half of it is written.
    pub fn fail_write_at(&self, number: u64, kind: io::ErrorKind) {
        self.state().fail_write_at = Some((number, kind));
    }

    /// Lets sync number `number` fail with `kind`. As on Linux, what was to be synced then counts
    /// as synced and is not on the disk: syncing again does not help, writing again does.
    pub fn fail_sync_at(&self, number: u64, kind: io::ErrorKind) {
        self.state().fail_sync_at = Some((number, kind));
    }

    /// Lets no more than this many bytes be on the disk; `None` for no bound. What is there
    /// already stays.
    pub fn set_room_bytes_max(&self, bytes: Option<u64>) {
        self.state().room_bytes_max = bytes;
    }

    /// The disk as a machine finds it that is switched on again. Of the sectors, lengths and
    /// names that were not synced, `keep` says for each whether it reached the disk; it is asked
    /// in a fixed order, so that a seeded generator gives the same disk each time.
    pub fn after_power_cut(&self, mut keep: impl FnMut() -> bool) -> Self {
        let state = self.state();
        let (next_id, starts) = (state.next_id, state.starts + 1);
        let mut after = State { next_id, starts, ..State::default() };
        let all_names: BTreeSet<&String> =
            state.names.keys().chain(state.names_durable.keys()).collect();
        for name in all_names {
            let (written, durable) = (state.names.get(name), state.names_durable.get(name));
            let kept = if written == durable || keep() { written } else { durable };
            if let Some(id) = kept {
                after.names.insert(name.clone(), *id);
            }
        }
        after.names_durable = after.names.clone();
        for id in after.names.values() {
            let image = &state.files[id];
            let mut bytes = image.durable.clone();
            if image.written.len() != bytes.len() && keep() {
                bytes.resize(image.written.len(), 0);
            }
            for sector in &image.unsynced {
                let start = sector * SECTOR_BYTES;
                let end = (start + SECTOR_BYTES).min(image.written.len()).min(bytes.len());
                if start < end && keep() {
                    bytes[start..end].copy_from_slice(&image.written[start..end]);
                }
            }
            let durable = bytes.clone();
            after.files.insert(*id, Image { written: bytes, durable, ..Image::default() });
        }
        Self(Arc::new(Mutex::new(after)))
    }

    /// The disk as a new process finds it after the last one was killed: everything written is
    /// there, and no more of it is durable than before.
    pub fn after_kill(&self) -> Self {
        let state = self.state();
        let mut files = state.files.clone();
        for image in files.values_mut() {
            image.published = 0;
        }
        Self(Arc::new(Mutex::new(State {
            files,
            next_id: state.next_id,
            starts: state.starts,
            names: state.names.clone(),
            names_durable: state.names_durable.clone(),
            ..State::default()
        })))
    }

    /// The bytes of a file as programs see them.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|id| state.files[id].written.clone())
    }

    /// Puts a file there, or in the place of another, durable at once: how tests damage a log.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        let (written, durable) = (bytes.to_vec(), bytes.to_vec());
        state.files.insert(id, Image { written, durable, ..Image::default() });
        state.names.insert(name.to_owned(), id);
        state.names_durable.insert(name.to_owned(), id);
    }

    /// Flips bits of one byte of a file, durable at once, while programs have it open.
    ///
    /// # Panics
    ///
    /// There is no such file, or no such byte in it.
    pub fn corrupt(&self, name: &str, offset: usize, bits: u8) {
        let mut state = self.state();
        let id = state.names[name];
        let image = state.files.get_mut(&id).expect("a name has an image");
        image.written[offset] ^= bits;
        image.durable[offset] ^= bits;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.powered_off { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }

    /// Counts a sync, and says whether it may go on.
    fn begin_sync(&mut self) -> io::Result<Option<io::ErrorKind>> {
        self.check_power()?;
        self.syncs += 1;
        if self.power_cut_at_sync == Some(self.syncs) {
            self.powered_off = true;
        }
        self.check_power()?;
        Ok(self.fail_sync_at.filter(|(number, _)| *number == self.syncs).map(|(_, kind)| kind))
    }

    fn write(&mut self, id: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_power()?;
        self.writes += 1;
        let failure = self.fail_write_at.filter(|(number, _)| *number == self.writes);
        let image = self.files.get_mut(&id).expect("an open file has an image");
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let end = start.saturating_add(bytes.len());
        if end > image.written.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let reached = if failure.is_some() { bytes.len() / 2 } else { bytes.len() };
        image.written[start..start + reached].copy_from_slice(&bytes[..reached]);
        if reached > 0 {
            image.unsynced.extend(start / SECTOR_BYTES..(start + reached).div_ceil(SECTOR_BYTES));
        }
        failure.map_or(Ok(()), |(_, kind)| Err(kind.into()))
    }

    fn sync_file(&mut self, id: u64) -> io::Result<()> {
        let failure = self.begin_sync()?;
        let image = self.files.get_mut(&id).expect("an open file has an image");
        let unsynced = std::mem::take(&mut image.unsynced);
        if let Some(kind) = failure {
            return Err(kind.into());
        }
        image.durable.resize(image.written.len(), 0);
        for sector in unsynced {
            let start = sector * SECTOR_BYTES;
            let end = (start + SECTOR_BYTES).min(image.written.len());
            image.durable[start..end].copy_from_slice(&image.written[start..end]);
        }
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        if let Some(kind) = self.begin_sync()? {
            return Err(kind.into());
        }
        self.names_durable = self.names.clone();
        Ok(())
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|id| self.files[id].written.len() as u64).sum()
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.check_power()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<SimulatedFile> {
        let mut state = self.state();
        state.check_power()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room_bytes_max.is_some_and(|max| state.used_bytes().saturating_add(bytes) > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::StorageFull)?;
        let id = state.next_id;
        state.next_id += 1;
        state.names.insert(name.to_owned(), id);
        let unsynced = (0..length.div_ceil(SECTOR_BYTES)).collect();
        state.files.insert(id, Image { written: vec![0; length], unsynced, ..Image::default() });
        let synced = state.sync_file(id).and_then(|()| state.sync_names());
        if let Err(error) = synced {
            if !state.powered_off {
                state.names.remove(name);
            }
            return Err(error);
        }
        drop(state);
        Ok(SimulatedFile { disk: self.clone(), id, bytes })
    }

    fn create_with(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<SimulatedFile> {
        let mut state = self.state();
        state.check_power()?;
        let length = bytes.len() as u64;
        if state.room_bytes_max.is_some_and(|max| state.used_bytes().saturating_add(length) > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = state.next_id;
        state.next_id += 1;
        let unsynced = (0..bytes.len().div_ceil(SECTOR_BYTES)).collect();
        state.files.insert(id, Image { written: bytes.to_vec(), unsynced, ..Image::default() });
        if durable {
            state.sync_file(id)?;
        }
        state.names.insert(name.to_owned(), id);
        if durable {
            state.sync_names()?;
        }
        drop(state);
        Ok(SimulatedFile { disk: self.clone(), id, bytes: length })
    }

    fn open(&self, name: &str) -> io::Result<SimulatedFile> {
        let state = self.state();
        state.check_power()?;
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let bytes = state.files[&id].written.len() as u64;
        drop(state);
        Ok(SimulatedFile { disk: self.clone(), id, bytes })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.check_power()?;
        state.names.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.state().sync_names()
    }

    /// Of many digits, as those of real machines.
    fn boot(&self) -> u128 {
        u128::MAX / u128::from(self.state().starts + 1)
    }
}

impl DiskFile for SimulatedFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset < self.published() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.disk.state().write(self.id, offset, bytes)
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.state().write(self.id, offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync_file(self.id)
    }

    fn publish(&self, bytes: u64) {
        let mut state = self.disk.state();
        let image = state.files.get_mut(&self.id).expect("an open file has an image");
        image.published = image.published.max(bytes.min(self.bytes));
    }

    fn published(&self) -> u64 {
        self.disk.state().files[&self.id].published
    }

    fn contents(&mut self) -> io::Result<Cow<'_, [u8]>> {
        self.read(0..self.bytes)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let state = self.disk.state();
        state.check_power()?;
        let start = usize::try_from(range.start).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = usize::try_from(range.end).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = state.files[&self.id].written.get(start..end);
        bytes
            .map(|bytes| Cow::Owned(bytes.to_vec()))
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with_two_writes() -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        let file = disk.create_zeroed("one", 2_048).unwrap();
        file.write_at(0, &[1; 2_048]).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[2; 2_048]).unwrap();
        disk
    }

    #[test]
    fn a_power_cut_takes_or_leaves_each_unsynced_sector() {
        let disk = disk_with_two_writes();
        assert_eq!(disk.after_power_cut(|| false).contents("one").unwrap(), vec![1; 2_048]);
        assert_eq!(disk.after_power_cut(|| true).contents("one").unwrap(), vec![2; 2_048]);
        let mut turn = false;
        let torn = disk.after_power_cut(|| {
            turn = !turn;
            !turn
        });
        let torn = torn.contents("one").unwrap();
        let sectors: Vec<u8> = torn.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect();
        assert_eq!(sectors, [1, 2, 1, 2]);
        assert!(torn.chunks(SECTOR_BYTES).all(|sector| sector.iter().all(|b| *b == sector[0])));
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next() {
        let disk = disk_with_two_writes();
        disk.fail_sync_at(disk.syncs() + 1, io::ErrorKind::Other);
        let file = disk.open("one").unwrap();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(disk.contents("one").unwrap(), vec![2; 2_048], "the page cache has it");
        assert_eq!(disk.after_power_cut(|| true).contents("one").unwrap(), vec![1; 2_048]);
        file.write_at(0, &[2; 2_048]).unwrap();
        file.sync().unwrap();
        assert_eq!(disk.after_power_cut(|| false).contents("one").unwrap(), vec![2; 2_048]);
    }

    #[test]
    fn names_are_durable_when_the_directory_is() {
        let disk = disk_with_two_writes();
        disk.remove("one").unwrap();
        assert!(disk.after_power_cut(|| false).contents("one").is_some());
        assert!(disk.after_power_cut(|| true).contents("one").is_none());
        disk.sync_directory().unwrap();
        assert!(disk.after_power_cut(|| false).contents("one").is_none());
    }

    #[test]
    fn a_full_disk_refuses_a_file_and_keeps_nothing_of_it() {
        let disk = disk_with_two_writes();
        disk.set_room_bytes_max(Some(3_000));
        let refused = disk.create_zeroed("two", 1_024).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.list().unwrap(), ["one"]);
    }
}
