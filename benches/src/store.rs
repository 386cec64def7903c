//! The folder in which a server under test keeps its streams, what it is told about syncing, and
//! how fast the disk below really is at that moment.
//!
//! It knows the one block of configuration that any server with JetStream reads, and nothing of
//! what is stored.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// Pages of the file that bare writes go to, one behind the other and then again.
const PROBE_PAGES: usize = 64;

/// Bytes of a bare write: a page.
const PROBE_BYTES: usize = 4096;

/// What `statfs(2)` says of a file system that is only memory.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// When a server syncs what it has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncing {
    /// Whenever that server does when nobody says anything: the setting of those who set nothing.
    ServerDefault,
    /// Every two minutes: a power cut may lose what was acknowledged.
    Relaxed,
    /// Before it acknowledges.
    Always,
}

impl Syncing {
    /// May a server wait for the disk before it acknowledges?
    pub fn may_wait_for_disk(self) -> bool {
        self != Self::Relaxed
    }
}

/// A fresh folder with a configuration file for one server; it is removed when this is dropped.
#[derive(Debug)]
pub struct Store {
    /// Removed when it is dropped.
    _folder: TempDir,
    config: PathBuf,
    /// Beside the streams, with its final length and written before.
    probe: File,
}

impl Store {
    /// A fresh store below `base`.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn create(base: &Path, syncing: Syncing) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("fulmar-bench-")
            .tempdir_in(base)
            .with_context(|| format!("cannot make a store below {}", base.display()))?;
        let sync_interval = match syncing {
            Syncing::ServerDefault => "",
            Syncing::Relaxed => "    sync_interval: \"2m\"\n",
            Syncing::Always => "    sync_interval: always\n",
        };
        let streams = folder.path().join("streams");
        let text = format!("jetstream {{\n    store_dir: {streams:?}\n{sync_interval}}}\n");
        let config = folder.path().join("server.conf");
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let probe =
            File::create(folder.path().join("probe")).context("no file beside the store")?;
        probe.write_all_at(&[0; PROBE_BYTES * PROBE_PAGES], 0)?;
        probe.sync_all()?;
        Ok(Self { _folder: folder, config, probe })
    }

    /// The configuration file of the server.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Writes a page and syncs it, `count` times one behind the other, into a file beside the
    /// streams that has its final length and was written before: the least that a durable write
    /// can cost here.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn probe(&self, count: usize) -> Result<Vec<Duration>> {
        let page = [0x5a; PROBE_BYTES];
        let write = |index: usize| {
            let begin = Instant::now();
            self.probe.write_all_at(&page, (index % PROBE_PAGES * PROBE_BYTES) as u64)?;
            self.probe.sync_data()?;
            Ok(begin.elapsed())
        };
        (0..count).map(write).collect()
    }
}

/// Refuses a folder where nothing is ever written to a disk.
///
/// # Errors
/// When it is one, or is not there.
pub fn check_is_on_disk(base: &Path) -> Result<()> {
    let system = rustix::fs::statfs(base)
        .with_context(|| format!("cannot look at the folder {}", base.display()))?;
    ensure!(
        system.f_type != TMPFS_MAGIC,
        "{} is in memory, where a sync costs nothing: name a folder on a disk (--store-base)",
        base.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_fresh_and_goes_away() {
        let base = tempfile::tempdir().unwrap();
        let check = |syncing, expected: Option<&str>| {
            let store = Store::create(base.path(), syncing).unwrap();
            let text = fs::read_to_string(store.config()).unwrap();
            let line = text.lines().find(|line| line.contains("sync_interval"));
            assert_eq!(line.map(str::trim), expected, "{text}");
            assert!(text.contains("store_dir: \"/"), "{text}");
        };
        check(Syncing::ServerDefault, None);
        check(Syncing::Relaxed, Some("sync_interval: \"2m\""));
        check(Syncing::Always, Some("sync_interval: always"));
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_disk_takes_time() {
        let base = tempfile::tempdir().unwrap();
        let store = Store::create(base.path(), Syncing::Relaxed).unwrap();
        for _ in 0..2 {
            let times = store.probe(PROBE_PAGES + 1).unwrap();
            assert_eq!(times.len(), PROBE_PAGES + 1);
            assert!(times.iter().all(|time| *time > Duration::ZERO));
        }
    }

    #[test]
    fn memory_is_no_disk() {
        assert!(check_is_on_disk(Path::new("/nowhere/at/all")).is_err());
        let shared_memory = Path::new("/dev/shm");
        if shared_memory.is_dir() {
            assert!(check_is_on_disk(shared_memory).unwrap_err().to_string().contains("memory"));
        }
    }
}
