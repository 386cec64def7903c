//! Where streams are on the disk: one directory for each, under a root that one process uses.
//!
//! ```text
//!  STORE_DIR/jetstream/
//!    fulmar                       "fulmar streams, format 1", locked while in use
//!    ACCOUNT/STREAM/
//!      stream-GGGGGGGGGGGGGGGG    the configuration, its two newest versions (fulmar-storage, slots)
//!      messages/                  the log (fulmar-storage)
//!      consumers/                 the log of the consumers, from the first durable one on
//!    ACCOUNT/.deleted-N/          a stream that was deleted, until its files are gone
//! ```
//!
//! It refuses to know what is in the files. It removes nothing but what was deleted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fulmar_storage::RealDisk;

/// The file that says whose directory it is, and that is locked while it is in use.
const SIGN_NAME: &str = "fulmar";
/// What it says.
const SIGN: &str = "fulmar streams, format 1\n";
/// How directories of deleted streams begin; no stream's name has a dot in it.
const DELETED_PREFIX: &str = ".deleted-";
/// Bytes of a sign that are read, so that a wrong file is not read whole.
const SIGN_BYTES_MAX: u64 = 256;

/// The root of all streams.
#[derive(Debug)]
pub struct StoreRoot {
    path: PathBuf,
    next_deleted: u64,
    /// Locked as long as this value lives.
    _sign: File,
}

/// Why a directory cannot be used. Nothing in it was touched.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("the store directory {path:?} cannot be used: {error}")]
    System {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it open.
    #[error(
        "the store directory {0:?} is in use by another process: stop it, or choose another \
         directory with store_dir"
    )]
    InUse(PathBuf),
    /// It belongs to another version or another program.
    #[error(
        "the store directory {path:?} is not of this version: {found:?} is written in it, and this \
         is {SIGN:?}; nothing was touched"
    )]
    OtherVersion {
        /// The directory.
        path: PathBuf,
        /// What its sign says.
        found: String,
    },
    /// There are files in it, and no sign.
    #[error(
        "the store directory {0:?} has files in it that are not Fulmar's, perhaps those of a \
         nats-server: nothing was touched; choose another directory with store_dir"
    )]
    NotOurs(PathBuf),
}

/// A stream that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
}

impl StoreRoot {
    /// Opens the root in `directory`, and makes it if there is nothing.
    ///
    /// # Errors
    ///
    /// It cannot be used; nothing in it was touched.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.to_owned();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::System { path, error }
        };
        fs::create_dir_all(&path).map_err(failed(&path))?;
        let sign_path = path.join(SIGN_NAME);
        let is_new = !sign_path.try_exists().map_err(failed(&sign_path))?;
        if is_new && fs::read_dir(&path).map_err(failed(&path))?.next().is_some() {
            return Err(StoreError::NotOurs(path));
        }
        let mut sign = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&sign_path)
            .map_err(failed(&sign_path))?;
        match sign.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(path)),
            Err(fs::TryLockError::Error(error)) => return Err(failed(&sign_path)(error)),
        }
        let mut found = String::new();
        (&sign).take(SIGN_BYTES_MAX).read_to_string(&mut found).map_err(failed(&sign_path))?;
        if found.is_empty() {
            // New, or the process ended before it had signed; there is no stream before that.
            sign.write_all(SIGN.as_bytes())
                .and_then(|()| sign.sync_all())
                .and_then(|()| File::open(&path)?.sync_all())
                .map_err(failed(&sign_path))?;
        } else if found != SIGN {
            return Err(StoreError::OtherVersion { path, found });
        }
        Ok(Self { path, next_deleted: 0, _sign: sign })
    }

    /// The directory of all streams.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All streams, by account and name. What was deleted and is still there is removed.
    ///
    /// # Errors
    ///
    /// A directory cannot be read.
    pub fn streams(&mut self) -> io::Result<Vec<StreamPlace>> {
        let mut found = Vec::new();
        for account in directories(&self.path)? {
            for name in directories(&self.path.join(&account))? {
                if name.starts_with(DELETED_PREFIX) {
                    fs::remove_dir_all(self.path.join(&account).join(&name))?;
                } else {
                    found.push(StreamPlace { account: account.clone(), name });
                }
            }
        }
        found.sort_unstable_by(|a, b| (&a.account, &a.name).cmp(&(&b.account, &b.name)));
        Ok(found)
    }

    /// The directory of a stream, made if it is not there. Its name was checked: it has no dot and
    /// no slash in it.
    ///
    /// # Errors
    ///
    /// The system refused.
    pub fn stream(&self, account: &str, name: &str) -> io::Result<StreamDirectory> {
        let account = self.path.join(account);
        make_directory(&self.path, &account)?;
        let path = account.join(name);
        make_directory(&account, &path)?;
        Ok(StreamDirectory { path })
    }

    /// Takes a stream's directory out of the way at once, durably, and answers where it is: its
    /// files may be removed at leisure.
    ///
    /// # Errors
    ///
    /// The system refused; the stream is still there.
    pub fn take_away(&mut self, account: &str, name: &str) -> io::Result<PathBuf> {
        let account = self.path.join(account);
        loop {
            self.next_deleted += 1;
            let away = account.join(format!("{DELETED_PREFIX}{}", self.next_deleted));
            if away.try_exists()? {
                continue;
            }
            fs::rename(account.join(name), &away)?;
            File::open(&account)?.sync_all()?;
            return Ok(away);
        }
    }
}

/// The directory of a stream.
#[derive(Clone, Debug)]
pub struct StreamDirectory {
    path: PathBuf,
}

impl StreamDirectory {
    /// Where its configuration is.
    ///
    /// # Errors
    ///
    /// The system refused.
    pub fn config(&self) -> io::Result<RealDisk> {
        RealDisk::open(&self.path)
    }

    /// Where its messages are.
    ///
    /// # Errors
    ///
    /// The system refused.
    pub fn messages(&self) -> io::Result<RealDisk> {
        RealDisk::open(&self.path.join("messages"))
    }

    /// Where its consumers are.
    ///
    /// # Errors
    ///
    /// The system refused.
    pub fn consumers(&self) -> io::Result<RealDisk> {
        RealDisk::open(&self.path.join("consumers"))
    }

    /// Whether it ever had a durable consumer.
    pub fn has_consumers(&self) -> bool {
        self.path.join("consumers").is_dir()
    }
}

fn make_directory(parent: &Path, path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => File::open(parent)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn directories(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_used_by_one_and_lists_its_streams() {
        let parent = tempfile::tempdir().unwrap();
        let mut root = StoreRoot::open(&parent.path().join("root")).unwrap();
        assert!(matches!(StoreRoot::open(&parent.path().join("root")), Err(StoreError::InUse(_))));
        root.stream("$G", "b").unwrap();
        root.stream("$G", "a").unwrap();
        root.stream("A", "c").unwrap();
        let away = root.take_away("$G", "b").unwrap();
        assert!(away.exists());
        let names: Vec<_> =
            root.streams().unwrap().into_iter().map(|place| (place.account, place.name)).collect();
        assert_eq!(names, [("$G".into(), "a".into()), ("A".into(), "c".into())]);
        assert!(!away.exists());
        drop(root);
        StoreRoot::open(&parent.path().join("root")).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_not_touched() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("root");
        fs::create_dir_all(path.join("$G")).unwrap();
        assert!(matches!(
            StoreRoot::open(&parent.path().join("root")),
            Err(StoreError::NotOurs(_))
        ));
        assert!(!path.join(SIGN_NAME).exists());
        fs::write(path.join(SIGN_NAME), "fulmar streams, format 2\n").unwrap();
        let error = StoreRoot::open(&parent.path().join("root")).unwrap_err();
        assert!(matches!(error, StoreError::OtherVersion { .. }), "{error}");
    }
}
