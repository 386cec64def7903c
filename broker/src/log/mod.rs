//! The log: nats-server's lines on standard error, in a file or in a syslog, or JSON.
//!
//! The rest of the broker writes with `tracing`; where its lines go, and what is shown, is decided
//! here and can change while the broker runs. Nothing here knows what is worth a line.
//!
//! ```text
//! tracing::info! -> Levels (shown?) -> Shape (one line) -> Sink: standard error | File | Syslog
//! ```
//!
//! Writers wait for standard error and for files as long as the system makes them, so that the last
//! line before a crash is there to read. A syslog gets a bounded queue and a thread of its own.

mod file;
mod line;
mod syslog;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, LogOptions};
use file::File;
use line::{Frame, Level, Shape};
use syslog::Syslog;

/// The target of errors after which the broker ends: their label is `FTL`.
///
/// `tracing` has no level above error; [`fatal!`](crate::fatal) writes such a line.
pub const FATAL: &str = "fulmar::fatal";

/// Writes a line with the label `FTL`: an error after which the broker ends.
#[macro_export]
macro_rules! fatal {
    ($($argument:tt)+) => { ::tracing::error!(target: $crate::log::FATAL, $($argument)+) };
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("cannot open log file {path}: {error}")]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The syslog cannot be reached.
    #[error("cannot reach syslog {address}: {error}")]
    Syslog {
        /// Its address, or where one was looked for.
        address: String,
        /// What the system said.
        error: io::Error,
    },
    /// The address of the remote syslog is none.
    #[error(
        "{0:?} is not the address of a syslog; write udp://host:port, tcp://host:port or unix:///path"
    )]
    Address(String),
    /// The process has a log already.
    #[error("this process has a log already")]
    Installed,
}

/// Makes the log of this process.
///
/// # Errors
/// The file or the syslog cannot be had, or somebody made a log before.
pub fn install(options: &LogOptions) -> Result<LogHandle, LogError> {
    let (subscriber, handle) = subscriber(options)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Installed)?;
    Ok(handle)
}

/// The log as a subscriber, for programs that have their own idea of who gets it.
///
/// # Errors
/// The file or the syslog cannot be had.
pub fn subscriber(
    options: &LogOptions,
) -> Result<(impl Subscriber + Send + Sync + use<>, LogHandle), LogError> {
    let state = Arc::new(State {
        debug: AtomicBool::new(options.debug),
        trace: AtomicBool::new(options.trace),
        output: RwLock::new(Output::open(options)?),
    });
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines(state.clone()))
        .with_writer(Writers(state.clone()));
    let subscriber = tracing_subscriber::registry().with(lines).with(Levels(state.clone()));
    Ok((subscriber, LogHandle { state }))
}

/// The running log.
#[derive(Clone, Debug)]
pub struct LogHandle {
    state: Arc<State>,
}

impl LogHandle {
    /// Opens the log file again, after it was moved away. Without a file this only writes a line.
    ///
    /// # Errors
    /// The file cannot be opened; lines still go where they went.
    pub fn reopen(&self) -> Result<(), LogError> {
        let output = self.state.output.read_recursive();
        let text = if let Sink::File(file) = &mut output.destination.lock().sink {
            file.reopen()?;
            "File log re-opened"
        } else {
            "File log re-open ignored, not a file logger"
        };
        output.write_own(Level::Info, text);
        Ok(())
    }

    /// Follows other options from now on.
    ///
    /// # Errors
    /// What they ask for cannot be had; lines still go where they went.
    pub fn reconfigure(&self, options: &LogOptions) -> Result<(), LogError> {
        // It may take time to have the new output; nobody waits for that.
        let output = Output::open(options)?;
        let old = std::mem::replace(&mut *self.state.output.write(), output);
        drop(old);
        self.state.debug.store(options.debug, Ordering::Relaxed);
        self.state.trace.store(options.trace, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Waits until everything written so far has left the process, no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let syslog = match &self.state.output.read_recursive().destination.lock().sink {
            Sink::Syslog(syslog) => Some(syslog.clone()),
            _ => None,
        };
        if let Some(syslog) = syslog {
            syslog.flush(patience);
        }
    }
}

#[derive(Debug)]
struct State {
    debug: AtomicBool,
    trace: AtomicBool,
    /// Read recursively: the text of a line may come from code that itself writes a line.
    output: RwLock<Output>,
}

/// Where lines go and what they look like there.
#[derive(Debug)]
struct Output {
    shape: Shape,
    destination: Mutex<Destination>,
}

#[derive(Debug)]
struct Destination {
    sink: Sink,
    /// Lines that could not be written since the last one that could.
    lost: u64,
}

#[derive(Debug)]
enum Sink {
    StandardError,
    File(File),
    Syslog(Syslog),
}

impl Output {
    /// As in nats-server a file comes before a remote syslog, and that before the local one.
    fn open(options: &LogOptions) -> Result<Self, LogError> {
        let frame = match (options.format, options.time) {
            (LogFormat::Json, true) => Frame::Json { has_time: true },
            (LogFormat::Json, false) => Frame::Json { has_time: false },
            (LogFormat::Text, has_time) => Frame::Text { has_time, has_color: false },
        };
        let bare = match options.format {
            LogFormat::Json => frame,
            LogFormat::Text => Frame::Message,
        };
        let shape = |frame| Shape::new(frame, options.utc);
        let (shape, sink) = if let Some(path) = &options.file {
            let shape = shape(frame);
            let file = File::open(path, options.size_bytes_max, options.files_max, shape.clone())?;
            (shape, Sink::File(file))
        } else if let Some(address) = &options.remote_syslog {
            (shape(bare), Sink::Syslog(Syslog::remote(address)?))
        } else if options.syslog {
            (shape(bare), Sink::Syslog(Syslog::local()?))
        } else {
            let frame = match frame {
                Frame::Text { has_time, .. } => {
                    Frame::Text { has_time, has_color: io::stderr().is_terminal() }
                }
                frame => frame,
            };
            (shape(frame), Sink::StandardError)
        };
        Ok(Self { shape, destination: Mutex::new(Destination { sink, lost: 0 }) })
    }

    /// Writes a line about the log itself. The caller holds no lock of ours.
    fn write_own(&self, level: Level, text: &str) {
        self.write(level, self.shape.line(level, text).as_bytes());
    }

    /// Writes a whole line, after one that tells how many were lost before it.
    fn write(&self, level: Level, line: &[u8]) {
        let mut destination = self.destination.lock();
        if destination.lost > 0 {
            let text =
                format!("{} log lines were lost: they could not be written", destination.lost);
            let text = self.shape.line(Level::Warn, &text);
            if destination.sink.write(Level::Warn, text.as_bytes()).is_ok() {
                destination.lost = 0;
            }
        }
        if destination.sink.write(level, line).is_err() {
            destination.lost += 1;
        }
    }
}

impl Sink {
    fn write(&mut self, level: Level, line: &[u8]) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().lock().write_all(line),
            Self::File(file) => file.write(line),
            Self::Syslog(syslog) => syslog.write(level, line),
        }
    }
}

/// Decides what is shown.
struct Levels(Arc<State>);

impl Levels {
    fn shows(&self, metadata: &Metadata<'_>) -> bool {
        // Debug and trace are switched on one by one, and for our own code only.
        let is_own = || metadata.target().starts_with("fulmar");
        match *metadata.level() {
            tracing::Level::DEBUG => self.0.debug.load(Ordering::Relaxed) && is_own(),
            tracing::Level::TRACE => self.0.trace.load(Ordering::Relaxed) && is_own(),
            _ => true,
        }
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.shows(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.shows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.0.trace.load(Ordering::Relaxed) {
            LevelFilter::TRACE
        } else if self.0.debug.load(Ordering::Relaxed) {
            LevelFilter::DEBUG
        } else {
            LevelFilter::INFO
        })
    }
}

/// Makes one line of an event.
struct Lines(Arc<State>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        self.0.output.read_recursive().shape.write_event(&mut writer, event)
    }
}

/// Takes the finished lines.
struct Writers(Arc<State>);

impl<'a> MakeWriter<'a> for Writers {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { state: &self.0, level: Level::Info }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        LineWriter { state: &self.0, level: Level::of(metadata) }
    }
}

/// Each call is one line: the layer above formats it into a buffer first.
struct LineWriter<'a> {
    state: &'a State,
    level: Level,
}

impl io::Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.state.output.read_recursive().write(self.level, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tracing::{debug, error, info, trace, warn};

    use super::*;

    /// What `write` leaves in a log file, each line without its pid.
    fn lines(options: LogOptions, write: impl FnOnce(&LogHandle, &Path)) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let options = LogOptions { file: Some(path.clone()), utc: true, ..options };
        let (subscriber, handle) = subscriber(&options).unwrap();
        tracing::subscriber::with_default(subscriber, || write(&handle, &path));
        strip(&fs::read_to_string(&path).unwrap())
    }

    fn strip(text: &str) -> Vec<String> {
        let pid = format!("[{}] ", std::process::id());
        text.lines().map(|line| line.strip_prefix(&pid).unwrap_or(line).to_owned()).collect()
    }

    fn untimed() -> LogOptions {
        LogOptions { time: false, ..LogOptions::default() }
    }

    fn write_all() {
        info!("info {}", 1);
        warn!("warn");
        error!("error");
        crate::fatal!("fatal {}", 2);
        debug!("debug");
        trace!("trace");
        debug!(target: "elsewhere", "debug of others");
        info!(target: "elsewhere", "info of others");
    }

    #[test]
    fn levels() {
        let always = ["[INF] info 1", "[WRN] warn", "[ERR] error", "[FTL] fatal 2"];
        let last = "[INF] info of others";
        for (debug, trace, more) in [
            (false, false, &[][..]),
            (true, false, &["[DBG] debug"]),
            (false, true, &["[TRC] trace"]),
            (true, true, &["[DBG] debug", "[TRC] trace"]),
        ] {
            let written = lines(LogOptions { debug, trace, ..untimed() }, |_, _| write_all());
            let expected: Vec<_> = always.iter().chain(more).chain([&last]).collect();
            assert_eq!(written.iter().collect::<Vec<_>>(), expected, "-D={debug} -V={trace}");
        }
    }

    #[test]
    fn times() {
        let written = lines(LogOptions::default(), |_, _| info!("x"));
        let (time, rest) = written[0].split_at("2026/01/02 15:04:05.000000".len());
        let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!((form.as_str(), rest), ("0000/00/00 00:00:00.000000", " [INF] x"));
    }

    #[test]
    fn fields() {
        let write = || info!(number = 1, text = "a\nb", debug = ?Some(2), display = %"é", flag = true, "message");
        let text = lines(untimed(), |_, _| write());
        assert_eq!(text, ["[INF] message number=1 text=a\\nb debug=Some(2) display=é flag=true"]);
        let json = lines(LogOptions { format: LogFormat::Json, ..untimed() }, |_, _| write());
        let value: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
        let expected = serde_json::json!({
            "level": "info", "pid": std::process::id(), "message": "message", "number": 1,
            "text": "a\nb", "debug": "Some(2)", "display": "é", "flag": true,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn reopening() {
        let written = lines(untimed(), |handle, path| {
            info!("before");
            fs::rename(path, path.with_extension("1")).unwrap();
            handle.reopen().unwrap();
            info!("after");
            let moved = fs::read_to_string(path.with_extension("1")).unwrap();
            assert_eq!(strip(&moved), ["[INF] before"]);
        });
        assert_eq!(written, ["[INF] File log re-opened", "[INF] after"]);
    }

    #[test]
    fn following_other_options() {
        let written = lines(untimed(), |handle, path| {
            debug!("hidden");
            let other = path.with_extension("other");
            let options = LogOptions { file: Some(other.clone()), debug: true, ..untimed() };
            handle.reconfigure(&options).unwrap();
            debug!("shown");
            let nowhere = LogOptions { file: Some(path.join("x")), ..untimed() };
            assert!(handle.reconfigure(&nowhere).is_err());
            debug!("still shown");
            handle.reconfigure(&LogOptions { file: Some(path.into()), ..untimed() }).unwrap();
            debug!("hidden again");
            info!("back");
            let other = fs::read_to_string(other).unwrap();
            assert_eq!(strip(&other), ["[DBG] shown", "[DBG] still shown"]);
        });
        assert_eq!(written, ["[INF] back"]);
    }

    #[test]
    fn many_writers_keep_their_lines_whole() {
        let written = lines(untimed(), |_, _| {
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            std::thread::scope(|scope| {
                for writer in 0..4 {
                    let dispatch = dispatch.clone();
                    scope.spawn(move || {
                        let _guard = tracing::dispatcher::set_default(&dispatch);
                        for number in 0..200 {
                            info!("{writer} {number} {}", "x".repeat(100));
                        }
                    });
                }
            });
        });
        assert_eq!(written.len(), 800);
        assert!(written.iter().all(|line| line.starts_with("[INF] ") && line.ends_with("xxx")));
    }

    #[test]
    fn lost_lines_are_counted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let options = LogOptions { remote_syslog: Some(address), ..untimed() };
        let output = Output::open(&options).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let line = format!("{}\n", "x".repeat(8_000));
        while output.destination.lock().lost < 10 {
            output.write(Level::Info, line.as_bytes());
        }
        // Now the syslog reads on.
        let reader = std::thread::spawn(move || {
            use std::io::{BufRead as _, BufReader};
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.any(|line| line.contains("log lines were lost"))
        });
        while output.destination.lock().lost > 0 {
            output.write(Level::Info, b"x\n");
            std::thread::yield_now();
        }
        if let Sink::Syslog(syslog) = &output.destination.lock().sink {
            syslog.flush(Duration::from_secs(10));
        }
        drop(output);
        assert!(reader.join().unwrap());
    }
}
