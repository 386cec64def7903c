//! The broker as a process: banner, files for other programs, signals, the end.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::files::{Ports, PortsFile, urls, write_pid};
use crate::cli::Start;
use crate::config::conf::System;
use crate::config::{self, Authentication, Options};
use crate::{Server, StartError, executable};

/// A `max_payload` from here on is warned of, as nats-server does.
const PAYLOAD_WARNING_BYTES: usize = 8 * 1024 * 1024;

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The broker did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file for other programs could not be written.
    #[error("cannot write {what} {path}: {error}")]
    File {
        /// Which one.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(std::io::Error),
}

/// Runs a broker until a signal ends it.
///
/// # Errors
///
/// It did not start, or the files other programs wait for could not be written.
pub fn run(start: Start) -> Result<(), RunError> {
    let name = executable::name();
    announce(&name, &start.options);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Signals)?;
    let entered = runtime.enter();
    // Before anybody learns that the process is there: an early signal must not kill it.
    let signals = Signals::new().map_err(RunError::Signals)?;
    drop(entered);

    let server = Server::start(start.options.clone())?;
    let options = &start.options;
    tracing::info!("  ID:       {}", server.server_id());
    tracing::info!(
        "Listening for client connections on {}:{}",
        options.host,
        server.client_address().port()
    );
    if let (Some(monitoring), Some(address)) = (&options.monitoring, server.monitoring_address()) {
        let host = monitoring.host.as_deref().unwrap_or(&options.host);
        tracing::info!("Starting http monitor on {host}:{}", address.port());
    }
    if let Some(path) = &options.pid_file {
        write_pid(path).map_err(|error| RunError::File {
            what: "the pid file",
            path: path.clone(),
            error,
        })?;
    }
    let ports_file = write_ports(&server, options)?;
    tracing::info!("Server is ready");

    runtime.block_on(attend(server, signals, &start));
    drop(ports_file);
    tracing::info!("Server Exiting..");
    Ok(())
}

fn announce(name: &str, options: &Options) {
    tracing::info!("Starting {name}");
    tracing::info!("  Version:  {}", fulmar_protocol::NATS_VERSION);
    tracing::info!("  Fulmar:   {}", env!("CARGO_PKG_VERSION"));
    if let Some(server_name) = &options.server_name {
        tracing::info!("  Name:     {server_name}");
    }
    if let Some((path, digest)) = &options.config_file {
        tracing::info!("Using configuration file: {} ({digest})", path.display());
    }
    if options.limits.payload_bytes_max > PAYLOAD_WARNING_BYTES {
        tracing::warn!(
            "Maximum payloads over 8 MB are generally discouraged and could lead to poor performance: max_payload is {} bytes",
            options.limits.payload_bytes_max
        );
    }
    let plain = match &options.authentication {
        Authentication::None => false,
        Authentication::Token(token) => !token.is_bcrypt(),
        Authentication::Users { users, .. } => users.iter().any(|user| !user.password.is_bcrypt()),
    };
    if plain {
        tracing::warn!("Plaintext passwords detected, use nkeys or bcrypt");
    }
}

fn write_ports(server: &Server, options: &Options) -> Result<Option<PortsFile>, RunError> {
    let Some(directory) = &options.ports_file_dir else { return Ok(None) };
    let ports = Ports {
        nats: urls("nats", server.client_address()),
        monitoring: server
            .monitoring_address()
            .map(|address| urls("http", address))
            .unwrap_or_default(),
        ..Ports::default()
    };
    match PortsFile::write(directory, &ports) {
        Ok(file) => Ok(Some(file)),
        Err(error) => {
            Err(RunError::File { what: "the ports file in", path: directory.clone(), error })
        }
    }
}

/// Does what signals ask for until the broker has ended.
async fn attend(server: Server, mut signals: Signals, start: &Start) {
    loop {
        match signals.next().await {
            Asked::Stop | Asked::Terminate => {
                tracing::info!("Initiating Shutdown...");
                let stopping = tokio::task::spawn_blocking(move || server.shutdown());
                // It does not panic; if it did, the process ends all the same.
                let _ = stopping.await;
                return;
            }
            Asked::LameDuck => break,
            Asked::Reload => reload(&server, start),
            Asked::Reopen => reopen(start),
        }
    }
    tracing::info!("Entering lame duck mode, stop accepting new clients");
    server.enter_lame_duck_mode();
    let commands = server.commands();
    let mut ended = tokio::task::spawn_blocking(move || server.wait());
    loop {
        tokio::select! {
            _ = &mut ended => {
                tracing::info!("Initiating Shutdown...");
                return;
            }
            asked = signals.next() => match asked {
                Asked::Stop => {
                    // A full queue has a Stop in it already, and a closed one has ended.
                    let _ = commands.try_send(super::Command::Stop);
                }
                Asked::Reopen => reopen(start),
                // As in nats-server: whoever asked for lame duck mode has asked for the end.
                Asked::Terminate | Asked::LameDuck | Asked::Reload => {}
            },
        }
    }
}

fn reopen(start: &Start) {
    match start.log.reopen() {
        Ok(()) => tracing::info!("File log re-opened"),
        Err(error) => tracing::error!("the log file cannot be opened again: {error}"),
    }
}

/// Reads the configuration again and takes it over, all of it or nothing.
fn reload(server: &Server, start: &Start) {
    let failed = |what: &dyn std::fmt::Display| {
        tracing::error!("Failed to reload server configuration: {what}")
    };
    if start.options.config_file.is_none() {
        return failed(&"no configuration file was given with -c");
    }
    let loaded = match config::load(&start.flags, &System) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return diagnostics.iter().for_each(|diagnostic| failed(diagnostic)),
    };
    let (log_before, log) = (server.options().log, loaded.options.log.clone());
    if let Err(error) = start.log.reconfigure(&log) {
        return failed(&error);
    }
    let changed = match server.reload(loaded.options) {
        Ok(changed) => changed,
        Err(error) => {
            // The old log was good until now; if it cannot be had again, the new one stays.
            let _ = start.log.reconfigure(&log_before);
            return failed(&error);
        }
    };
    for name in changed {
        tracing::info!("Reloaded: {name}");
    }
    tracing::info!("Reloaded server configuration");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Terminate,
    Reload,
    Reopen,
    LameDuck,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user_1.recv() => Asked::Reopen,
            _ = self.user_2.recv() => Asked::LameDuck,
        }
    }
}
