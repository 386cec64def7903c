//! The log file: opened to append, opened again on request, rotated by size.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::LogError;
use super::line::{Level, Shape};

/// A log file that may be rotated.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    file: fs::File,
    bytes: u64,
    /// Above this the file is rotated. It doubles when that fails, so as not to fail at each line.
    bytes_max: Option<u64>,
    bytes_max_configured: Option<u64>,
    /// The current one included.
    files_max: Option<usize>,
    shape: Shape,
}

impl File {
    pub fn open(
        path: &Path,
        bytes_max: Option<u64>,
        files_max: Option<usize>,
        shape: Shape,
    ) -> Result<Self, LogError> {
        let failed = |error| LogError::File { path: path.to_owned(), error };
        let file = open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            bytes_max,
            bytes_max_configured: bytes_max,
            files_max,
            shape,
        })
    }

    /// Opens the path anew; the file that was written so far may have another name by now.
    pub fn reopen(&mut self) -> Result<(), LogError> {
        *self =
            Self::open(&self.path, self.bytes_max_configured, self.files_max, self.shape.clone())?;
        Ok(())
    }

    /// Appends a line, and rotates the file when it is too large then.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.append(line)?;
        if self.bytes_max.is_some_and(|bytes_max| self.bytes > bytes_max) {
            self.rotate();
        }
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn rotate(&mut self) {
        let backup = backup_path(&self.path, &Zoned::now());
        let renamed = fs::rename(&self.path, &backup);
        match renamed.and_then(|()| open(&self.path)) {
            Ok(file) => {
                (self.file, self.bytes) = (file, 0);
                self.bytes_max = self.bytes_max_configured;
                self.note(
                    Level::Info,
                    &format!("Rotated log, backup saved as {:?}", backup.display().to_string()),
                );
                if let Some(files_max) = self.files_max {
                    self.purge(files_max.saturating_sub(1));
                }
            }
            Err(error) => {
                self.bytes_max = self.bytes_max.map(|bytes_max| bytes_max.saturating_mul(2));
                self.note(Level::Error, &format!("Unable to rotate the log file: {error}"));
            }
        }
    }

    /// Removes the oldest backups until `backups_max` are left.
    fn purge(&mut self, backups_max: usize) {
        let mut backups = match backups(&self.path) {
            Ok(backups) => backups,
            Err(error) => {
                self.note(Level::Error, &format!("Unable to list old log files: {error}"));
                return;
            }
        };
        // Their names sort by their age.
        backups.sort();
        for backup in &backups[..backups.len().saturating_sub(backups_max)] {
            let name = backup.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match fs::remove_file(backup) {
                Ok(()) => self.note(Level::Info, &format!("Purged log file {name:?}")),
                Err(error) => {
                    self.note(
                        Level::Error,
                        &format!("Unable to remove log file {name:?}: {error}"),
                    );
                    return;
                }
            }
        }
    }

    /// A line about the file, in the file.
    fn note(&mut self, level: Level, text: &str) {
        // When this one fails, so does the next line, and that is counted.
        let _ = self.append(self.shape.line(level, text).as_bytes());
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

/// `file.YYYY.MM.DD.hh.mm.ss.nnnnnnnnn`, in local time.
fn backup_path(path: &Path, now: &Zoned) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(now.strftime(".%Y.%m.%d.%H.%M.%S.%9f").to_string());
    name.into()
}

/// The files beside `path` that a rotation left.
fn backups(path: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut backups = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let candidate = entry.file_name();
        let stamp = candidate.to_str().and_then(|other| other.strip_prefix(&*name));
        if stamp.is_some_and(is_stamp) && entry.file_type()?.is_file() {
            backups.push(entry.path());
        }
    }
    Ok(backups)
}

/// Whether this is what [`backup_path`] puts behind a name.
fn is_stamp(text: &str) -> bool {
    const FORM: &str = ".0000.00.00.00.00.00.000000000";
    text.len() == FORM.len()
        && text.bytes().zip(FORM.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        })
}

#[cfg(test)]
mod tests {
    use super::super::line::Frame;
    use super::*;

    fn shape() -> Shape {
        Shape::new(Frame::Message, true)
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_appended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for line in ["a\n", "b\n"] {
            File::open(&path, None, None, shape()).unwrap().write(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "a\nb\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // The umask of this process may take more away.
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o640, 0);
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("moved"));
        let mut file = File::open(&path, None, None, shape()).unwrap();
        file.write(b"a\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        file.write(b"b\n").unwrap();
        file.reopen().unwrap();
        file.write(b"c\n").unwrap();
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("a\nb\n", "c\n"));
    }

    #[test]
    fn a_file_that_cannot_be_opened() {
        let directory = tempfile::tempdir().unwrap();
        let error = File::open(directory.path(), None, None, shape()).unwrap_err();
        assert!(error.to_string().starts_with("cannot open log file "), "{error}");
    }

    #[test]
    fn rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = File::open(&path, Some(100), None, shape()).unwrap();
        for _ in 0..2 {
            file.write("x".repeat(99).as_bytes()).unwrap();
            assert_eq!(backups(&path).unwrap().len(), 0, "not larger than the limit yet");
            file.write(b"y\n").unwrap();
            let all = backups(&path).unwrap();
            assert_eq!(all.len(), 1);
            assert!(read(&all[0]).ends_with(&format!("{}y\n", "x".repeat(99))));
            let expected =
                format!("Rotated log, backup saved as {:?}\n", all[0].display().to_string());
            assert_eq!(read(&path), expected);
            fs::remove_file(&all[0]).unwrap();
            file.bytes = 0;
        }
    }

    #[test]
    fn only_so_many_files_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let foreign = ["log.2026.01.02", "log.old", "other.2026.01.02.03.04.05.000000001"];
        for name in foreign {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let oldest = directory.path().join("log.2001.01.02.03.04.05.000000001");
        fs::write(&oldest, "").unwrap();
        let mut file = File::open(&path, Some(10), Some(3), shape()).unwrap();
        for number in 0..5 {
            file.write(format!("a longer line {number}\n").as_bytes()).unwrap();
        }
        let mut all = backups(&path).unwrap();
        all.sort();
        assert_eq!(all.len(), 2, "and the current one");
        assert!(read(&all[1]).ends_with("a longer line 4\n"));
        assert!(read(&path).contains("Purged log file \"log."), "{}", read(&path));
        assert!(!oldest.exists());
        assert!(foreign.iter().all(|name| directory.path().join(name).exists()));
    }

    #[test]
    fn a_rotation_that_fails_is_tried_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = File::open(&path, Some(10), None, shape()).unwrap();
        fs::remove_file(&path).unwrap();
        file.write(b"more than ten bytes\n").unwrap();
        assert_eq!(file.bytes_max, Some(20));
        fs::write(&path, "").unwrap();
        file.write(b"more than ten bytes\n").unwrap();
        assert_eq!(file.bytes_max, Some(10));
        assert_eq!(backups(&path).unwrap().len(), 1);
    }

    #[test]
    fn stamps() {
        let now = "2026-01-02T03:04:05.000000067[UTC]".parse::<Zoned>().unwrap();
        let path = backup_path(Path::new("a/b.log"), &now);
        assert_eq!(path, Path::new("a/b.log.2026.01.02.03.04.05.000000067"));
        assert!(is_stamp(".2026.01.02.03.04.05.000000067"));
        for other in ["", ".", ".2026.01.02.03.04.05.00000006", ".2026.01.02.03.04.05.00000006x"] {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
