//! `--signal`: tells a running broker to stop, to reload, to open its log again.
//!
//! The process is named by its number, by a file that holds it, by the beginning of its number and
//! a star, or not at all when only one runs.

use std::ffi::OsStr;
use std::path::Path;
use std::{env, fs, io};

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

/// Why no signal was sent, or not to all.
#[derive(Debug, Error)]
pub enum SignalError {
    /// There is an equals sign too many.
    #[error("invalid signal {0:?}; write for example quit or quit=<pid>")]
    Form(String),
    /// Nobody knows this signal.
    #[error("unknown signal {0:?}; known are stop, quit, term, reopen, reload and ldm")]
    Unknown(String),
    /// Neither a number, nor a file that holds one.
    #[error("invalid pid: {0:?} is neither a process number nor a file with one")]
    Pid(String),
    /// Nothing to send to.
    #[error("no {name} processes running{}", .prefix.as_ref().map(|prefix| format!(" whose pid starts with {prefix}")).unwrap_or_default())]
    Nobody {
        /// The name of this executable.
        name: String,
        /// What the number was to start with.
        prefix: Option<String>,
    },
    /// It must be said which one is meant.
    #[error("multiple {name} processes running, choose one:{}", list(.pids))]
    Several {
        /// The name of this executable.
        name: String,
        /// All that run.
        pids: Vec<i32>,
    },
    /// The processes cannot be listed.
    #[error("cannot list processes, name one by its pid: {0}")]
    List(#[source] io::Error),
    /// The system refused.
    #[error("signal {word:?} {pid}: {error}")]
    Refused {
        /// The signal as written.
        word: String,
        /// The process.
        pid: i32,
        /// What the system said.
        error: io::Error,
    },
}

fn list(pids: &[i32]) -> String {
    pids.iter().map(|pid| format!("\n{pid}")).collect()
}

/// Follows `word[=process]`, where processes of this executable's `name` are looked for.
///
/// # Errors
/// The first thing that stands in the way; then signals to some processes may have been sent.
pub fn send(request: &str, name: &str) -> Result<(), SignalError> {
    let (word, process) = request.split_once('=').unwrap_or((request, ""));
    if process.contains('=') {
        return Err(SignalError::Form(request.to_owned()));
    }
    let signal = signal(word).ok_or_else(|| SignalError::Unknown(word.to_owned()))?;
    let content = fs::read_to_string(process);
    let process = content.as_deref().unwrap_or(process).trim();
    let pids = match Process::parse(process)? {
        Process::Number(pid) => vec![pid],
        Process::Only => {
            let pids = running(name).map_err(SignalError::List)?;
            if pids.len() > 1 {
                return Err(SignalError::Several { name: name.to_owned(), pids });
            }
            pids
        }
        Process::StartsWith(prefix) => {
            let mut pids = running(name).map_err(SignalError::List)?;
            pids.retain(|pid| pid.to_string().starts_with(&prefix));
            pids
        }
    };
    if pids.is_empty() {
        let prefix = process.strip_suffix('*').filter(|prefix| !prefix.is_empty());
        return Err(SignalError::Nobody {
            name: name.to_owned(),
            prefix: prefix.map(str::to_owned),
        });
    }
    for pid in pids {
        let target = Pid::from_raw(pid).ok_or_else(|| SignalError::Pid(pid.to_string()))?;
        kill_process(target, signal).map_err(|error| SignalError::Refused {
            word: word.to_owned(),
            pid,
            error: error.into(),
        })?;
    }
    Ok(())
}

fn signal(word: &str) -> Option<Signal> {
    Some(match word {
        "stop" => Signal::KILL,
        "quit" => Signal::INT,
        "term" => Signal::TERM,
        "reopen" => Signal::USR1,
        "reload" => Signal::HUP,
        "ldm" => Signal::USR2,
        _ => return None,
    })
}

/// Which process is meant.
#[derive(Debug, PartialEq, Eq)]
enum Process {
    /// This one. Never 0 or less: those would be groups of processes, or all.
    Number(i32),
    /// All whose number starts so.
    StartsWith(String),
    /// The only one there is.
    Only,
}

impl Process {
    fn parse(text: &str) -> Result<Self, SignalError> {
        let wrong = || SignalError::Pid(text.to_owned());
        let (digits, is_prefix) = match text.strip_suffix('*') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        match (digits, is_prefix) {
            (digits, true) => Ok(Self::StartsWith(digits.to_owned())),
            ("", false) => Ok(Self::Only),
            (digits, false) => {
                let pid = digits.parse().ok().filter(|pid| *pid > 0);
                pid.map(Self::Number).ok_or_else(wrong)
            }
        }
    }
}

/// All other processes of this executable, or called by its `name`, in the order of their numbers.
fn running(name: &str) -> io::Result<Vec<i32>> {
    let own_pid = std::process::id().to_string();
    let executable = env::current_exe().ok();
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let file_name = entry?.file_name();
        let Some(pid) = file_name.to_str().filter(|pid| *pid != own_pid) else { continue };
        let Ok(number) = pid.parse() else { continue };
        let directory = Path::new("/proc").join(pid);
        // A process that ends meanwhile, or of somebody else, has nothing to read.
        let is_same_file =
            executable.is_some() && fs::read_link(directory.join("exe")).ok() == executable;
        let command = fs::read(directory.join("cmdline")).unwrap_or_default();
        if is_same_file || called(&command).is_some_and(|called| called == name) {
            pids.push(number);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The file name of the first word of a command line as `/proc` shows it.
fn called(command: &[u8]) -> Option<&str> {
    let path = command.split(|byte| *byte == 0).next()?;
    Path::new(str::from_utf8(path).ok()?).file_name().and_then(OsStr::to_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that no process has.
    const NAME: &str = "no-such-broker";

    #[track_caller]
    fn check_error(request: &str, expected: &str) {
        assert_eq!(send(request, NAME).expect_err(request).to_string(), expected);
    }

    #[test]
    fn mistakes() {
        check_error(
            "quit=1=2",
            "invalid signal \"quit=1=2\"; write for example quit or quit=<pid>",
        );
        check_error(
            "bad=1",
            "unknown signal \"bad\"; known are stop, quit, term, reopen, reload and ldm",
        );
        check_error(
            "QUIT",
            "unknown signal \"QUIT\"; known are stop, quit, term, reopen, reload and ldm",
        );
        for pid in ["x", "-1", "0", "1x", "99999999999", "+1", "x*"] {
            let expected =
                format!("invalid pid: {pid:?} is neither a process number nor a file with one");
            check_error(&format!("quit={pid}"), &expected);
        }
        check_error("quit=2147483647", "signal \"quit\" 2147483647: No such process (os error 3)");
        check_error(
            "quit=2147483647*",
            "no no-such-broker processes running whose pid starts with 2147483647",
        );
    }

    #[test]
    fn words() {
        for (word, expected) in [
            ("stop", Signal::KILL),
            ("quit", Signal::INT),
            ("term", Signal::TERM),
            ("reopen", Signal::USR1),
            ("reload", Signal::HUP),
            ("ldm", Signal::USR2),
        ] {
            assert_eq!(signal(word), Some(expected));
        }
    }

    #[test]
    fn processes() {
        assert_eq!(Process::parse("").unwrap(), Process::Only);
        assert_eq!(Process::parse("17").unwrap(), Process::Number(17));
        assert_eq!(Process::parse("17*").unwrap(), Process::StartsWith("17".into()));
        assert_eq!(Process::parse("*").unwrap(), Process::StartsWith(String::new()));
    }

    #[test]
    fn a_process_gets_its_signal() {
        use std::os::unix::process::ExitStatusExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        for by_file in [false, true] {
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let request = if by_file {
                fs::write(&file, format!("{}\n", child.id())).unwrap();
                format!("quit={}", file.display())
            } else {
                format!("quit={}", child.id())
            };
            send(&request, NAME).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(2));
        }
    }

    #[test]
    fn command_lines() {
        assert_eq!(called(b"/usr/bin/nats-server\0-p\x004222\0"), Some("nats-server"));
        assert_eq!(called(b"fulmar\0"), Some("fulmar"));
        assert_eq!(called(b""), None);
        assert_eq!(called(b"\xff\0"), None);
    }
}
