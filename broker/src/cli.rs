//! The binary, up to the moment the broker starts: arguments, configuration, log.
//!
//! What a broker does is not known here; whoever calls [`main`] starts it.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::conf::{Diagnostic, Severity, System};
use crate::config::{self, Flags, Options, Show};
use crate::log::{self, LogHandle};
use crate::{executable, signal};

/// How long the last lines may take to leave for a syslog.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// What a broker starts with.
#[derive(Debug)]
pub struct Start {
    /// What flags and file mean.
    pub options: Options,
    /// The flags: with them, [`config::load`] reads the file again when a reload is asked for.
    pub flags: Flags,
    /// The log of the process.
    pub log: LogHandle,
}

/// Does what `arguments` (without the name of the executable) ask for. If that is to start a
/// broker, `run` does so, and returns when it has ended.
///
/// Exit codes are nats-server's: 0, or 1 for any error, which stands on standard error.
pub fn main<E: Display>(
    arguments: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(Start) -> Result<(), E>,
) -> ExitCode {
    let name = executable::name();
    match follow(&name, arguments, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            if !text.is_empty() {
                complain(&format!("{name}: {text}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn follow<E: Display>(
    name: &str,
    arguments: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(Start) -> Result<(), E>,
) -> Result<(), String> {
    let flags = Flags::parse(arguments).map_err(|error| error.to_string())?;
    match flags.show {
        Some(Show::Version) => return print(&format!("{}\n", executable::version(name))),
        Some(Show::Help) => return print(&Flags::usage(name)),
        None => {}
    }
    if let Some(request) = &flags.signal {
        return signal::send(request, name).map_err(|error| error.to_string());
    }
    if flags.test && flags.config.is_none() {
        return Err("-t checks a configuration file: name it with -c <file>".to_owned());
    }
    let loaded = config::load(&flags, &System).map_err(|diagnostics| lines(&diagnostics))?;
    if flags.test {
        if loaded.remarks.iter().any(|remark| remark.severity == Severity::Warning) {
            return Err(lines(&loaded.remarks));
        }
        if let Some((path, digest)) = &loaded.options.config_file {
            complain(&format!("{name}: configuration file {} is valid ({digest})", path.display()));
        }
        return Ok(());
    }
    if !loaded.remarks.is_empty() {
        complain(&lines(&loaded.remarks));
    }
    let log = log::install(&loaded.options.log).map_err(|error| error.to_string())?;
    let logged = &loaded.options.log;
    let log_is_elsewhere = logged.file.is_some() || logged.syslog || logged.remote_syslog.is_some();
    let start = Start { options: loaded.options, flags, log: log.clone() };
    let result = run(start).map_err(|error| {
        crate::fatal!("{error}");
        // Said once: the log is standard error, unless it is somewhere else.
        if log_is_elsewhere { error.to_string() } else { String::new() }
    });
    log.flush(FLUSH_PATIENCE);
    result
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Unlike `print!`, a closed pipe is no panic.
fn print(text: &str) -> Result<(), String> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| format!("cannot write to standard output: {error}"))
}

fn complain(text: &str) {
    // Nobody is left to hear that this did not work.
    let _ = writeln!(io::stderr(), "{text}");
}
