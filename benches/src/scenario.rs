//! What is measured: each scenario drives one server and yields quantities.
//!
//! Scenarios know how work is counted and when a measurement begins and ends. They do not know
//! which server it is, how often they are repeated, or what becomes of the figures.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use hdrhistogram::Histogram;

use crate::load::connection::Connection;
use crate::load::frames::{
    FramePattern, NUMBERED_COUNT_MAX, NUMBERED_SID_FIRST, PublishRing, SID, end_publish_frame,
    numbered_filter,
};
use crate::load::pace::Pace;
use crate::load::publisher::{Confirm, Publisher};
use crate::load::relay::Relay;
use crate::load::requester::{Pair, latency_histogram};
use crate::load::subscriber::{Delivery, Subscriber, SubscriberSet};
use crate::measure::{Measurement, Metric};
use crate::process::ProcessMeter;
use crate::server::Server;

/// Where messages of the simple scenarios go.
const SUBJECT: &str = "bench.subject";

/// Connections that share the many subscriptions.
const SUBSCRIPTION_CONNECTIONS: usize = 10;

/// File descriptors that stay free for the process itself when it opens idle connections.
const DESCRIPTORS_SPARE: usize = 256;

/// How long memory may take to come to rest before it is read.
const MEMORY_REST_TIME_MAX: Duration = Duration::from_secs(3);

/// Percentiles of a latency curve.
const CURVE_PERCENTILES: [f64; 14] =
    [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.99];

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Time that a measurement takes.
    pub measure_time: Duration,
    /// Time before it that is not measured.
    pub warm_up_time: Duration,
    /// Most bytes of messages that may be under way between publishers and subscribers, counted
    /// once per receiver; 0 is no bound.
    pub ahead_bytes_max: usize,
    /// Connections of the idle scenario.
    pub connections: usize,
    /// Subscriptions of the subscription scenario.
    pub subscriptions: usize,
}

/// A named measurement.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Short name: on the command line and in tables.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Stream { publishers: usize, subscribers: usize, delivery: Delivery, payload_bytes: usize },
    Requests { pairs: usize },
    RequestsBusily,
    Idle,
    Subscriptions,
    Relay { payload_bytes: usize },
}

const REQUEST_PAYLOAD_BYTES: usize = 16;
const SUBSCRIPTION_PAYLOAD_BYTES: usize = 16;

/// Every scenario, in the order of the tables.
pub const ALL: [Scenario; 19] = [
    stream("pub-only-128", "one publisher, nobody subscribes, 128 B", 1, 0, 128),
    stream("1-1-16", "one publisher, one subscriber, 16 B", 1, 1, 16),
    stream("1-1-128", "one publisher, one subscriber, 128 B", 1, 1, 128),
    stream("1-1-1024", "one publisher, one subscriber, 1 KiB", 1, 1, 1024),
    stream("1-10-128", "one publisher, ten subscribers, 128 B", 1, 10, 128),
    stream("1-100-128", "one publisher, a hundred subscribers, 128 B", 1, 100, 128),
    stream("1-10-64k", "one publisher, ten subscribers, 64 KiB", 1, 10, 64 * 1024),
    Scenario {
        name: "queue-4-128",
        about: "one publisher, a queue group of four, 128 B",
        shape: Shape::Stream {
            publishers: 1,
            subscribers: 4,
            delivery: Delivery::One,
            payload_bytes: 128,
        },
    },
    stream("4-1-128", "four publishers, one subscriber, 128 B", 4, 1, 128),
    stream("4-4-128", "four publishers, four subscribers, each gets all, 128 B", 4, 4, 128),
    Scenario {
        name: "request-1",
        about: "request and reply, one pair, 16 B",
        shape: Shape::Requests { pairs: 1 },
    },
    Scenario {
        name: "request-1-busy",
        about: "request and reply, one pair in one thread that never sleeps, 16 B",
        shape: Shape::RequestsBusily,
    },
    Scenario {
        name: "request-8",
        about: "request and reply, eight pairs at once, 16 B",
        shape: Shape::Requests { pairs: 8 },
    },
    Scenario {
        name: "idle",
        about: "idle connections, each with one subscription",
        shape: Shape::Idle,
    },
    Scenario {
        name: "subscriptions",
        about: "distinct subscriptions held by ten connections, one in ten with `*`; \
                then 16 B to ever different subjects, each matching one",
        shape: Shape::Subscriptions,
    },
    relay("relay-16", "the floor: a thread copies 16 B messages between two sockets", 16),
    relay("relay-128", "the floor: a thread copies 128 B messages between two sockets", 128),
    relay("relay-1024", "the floor: a thread copies 1 KiB messages between two sockets", 1024),
    relay("relay-64k", "the floor: a thread copies 64 KiB messages between two sockets", 65_536),
];

const fn stream(
    name: &'static str,
    about: &'static str,
    publishers: usize,
    subscribers: usize,
    payload_bytes: usize,
) -> Scenario {
    let delivery = Delivery::Everyone;
    Scenario {
        name,
        about,
        shape: Shape::Stream { publishers, subscribers, delivery, payload_bytes },
    }
}

const fn relay(name: &'static str, about: &'static str, payload_bytes: usize) -> Scenario {
    Scenario { name, about, shape: Shape::Relay { payload_bytes } }
}

impl Scenario {
    /// Does it measure a server? The others show what the machine itself costs.
    pub fn needs_server(&self) -> bool {
        !matches!(self.shape, Shape::Relay { .. })
    }

    /// Measures `server`; the floor scenarios need none.
    ///
    /// # Errors
    /// When the server fails, loses or invents a message; the message says where.
    pub fn run(&self, server: Option<&Server>, size: &Size) -> Result<Measurement> {
        let target = || {
            let server = server.with_context(|| format!("{} needs a server", self.name))?;
            anyhow::Ok((server.address(), server.meter()))
        };
        let mut measurement = match self.shape {
            Shape::Stream { publishers, subscribers, delivery, payload_bytes } => {
                let (address, meter) = target()?;
                Stream::open(address, size, publishers, subscribers, delivery, payload_bytes)?
                    .measure(meter, size)?
            }
            Shape::Requests { pairs } => measure_requests(target()?, size, pairs, Waiting::Asleep)?,
            Shape::RequestsBusily => measure_requests(target()?, size, 1, Waiting::Busily)?,
            Shape::Idle => measure_idle(target()?, size)?,
            Shape::Subscriptions => measure_subscriptions(target()?, size)?,
            Shape::Relay { payload_bytes } => measure_relay(size, payload_bytes)?,
        };
        if let Some(server) = server {
            measurement.note(Metric::ResidentBytes, server.meter().resident_bytes()? as f64);
        }
        Ok(measurement)
    }
}

/// Publishers and subscribers at full speed.
struct Stream {
    publishers: Vec<Publisher>,
    subscribers: SubscriberSet,
    /// Most messages under way, with subscribers.
    ahead_max: Option<u64>,
}

/// What happened between two moments of rest.
struct Phase {
    /// Messages published.
    published: u64,
    /// Messages that arrived, counted at the subscribers.
    delivered: u64,
    wall_time: Duration,
    server_cpu_time: Duration,
    load_cpu_time: Duration,
}

impl Stream {
    /// `publishers` and `subscribers` of one subject.
    fn open(
        address: SocketAddr,
        size: &Size,
        publishers: usize,
        subscribers: usize,
        delivery: Delivery,
        payload_bytes: usize,
    ) -> Result<Self> {
        let ring = PublishRing::same(SUBJECT, payload_bytes);
        let pattern = FramePattern::same(SUBJECT, payload_bytes);
        let filter = match delivery {
            Delivery::Everyone => format!("SUB {SUBJECT} {SID}\r\n"),
            Delivery::One => format!("SUB {SUBJECT} group {SID}\r\n"),
        };
        let filters = |_| filter.clone().into_bytes();
        let subscribers = SubscriberSet::open(address, subscribers, delivery, &pattern, filters)?;
        Ok(Self {
            ahead_max: ahead_max(size, &ring, subscribers.copies()),
            subscribers,
            publishers: (0..publishers)
                .map(|_| Publisher::open(address, ring.clone()))
                .collect::<Result<_>>()?,
        })
    }

    fn measure(&mut self, meter: ProcessMeter, size: &Size) -> Result<Measurement> {
        self.phase(meter, size.warm_up_time).context("while warming up")?;
        let phase = self.phase(meter, size.measure_time)?;
        let mut measurement = Measurement::default();
        let (metric, count) = match self.subscribers.copies() {
            0 => (Metric::CpuNsPerMessage, phase.published),
            1 => (Metric::CpuNsPerMessage, phase.delivered),
            _ => (Metric::CpuNsPerDelivery, phase.delivered),
        };
        phase.note_into(&mut measurement, metric, count);
        Ok(measurement)
    }

    /// Publishes for `time` and waits until everything has been processed and delivered.
    fn phase(&mut self, meter: ProcessMeter, time: Duration) -> Result<Phase> {
        let load = ProcessMeter::of_self()?;
        let ends = self.publishers.len();
        let (publishers, subscribers) = (&mut self.publishers, &mut self.subscribers);
        let copies = subscribers.copies();
        let pace = &Pace::new(self.ahead_max);

        let (server_before, load_before) = (meter.cpu_time()?, load.cpu_time()?);
        let begin = Instant::now();
        let (published, delivered) = thread::scope(|scope| {
            let subscribing = (copies > 0).then(|| scope.spawn(|| subscribers.run(ends, pace)));
            let publishing: Vec<_> = publishers
                .iter_mut()
                .map(|publisher| scope.spawn(move || publisher.run(time, pace)))
                .collect();
            let published: Vec<Result<u64>> = publishing.into_iter().map(joined).collect();
            (published, subscribing.map(joined).transpose())
        });
        let wall_time = begin.elapsed();
        let server_cpu_time = meter.cpu_time()?.saturating_sub(server_before);
        let load_cpu_time = load.cpu_time()?.saturating_sub(load_before);

        let (published, delivered) =
            both(published.into_iter().sum::<Result<u64>>(), delivered, "and its subscribers")?;
        let mut delivered_sum = 0;
        if let Some(counts) = delivered {
            delivered_sum = counts.iter().sum();
            let expected = published * copies as u64;
            ensure!(
                delivered_sum == expected,
                "{delivered_sum} messages arrived where {expected} should have"
            );
            if copies > 1 {
                let uneven = counts.iter().find(|count| **count != published);
                ensure!(uneven.is_none(), "a subscriber got {uneven:?} of {published} messages");
            }
        }
        Ok(Phase { published, delivered: delivered_sum, wall_time, server_cpu_time, load_cpu_time })
    }
}

impl Phase {
    fn note_into(&self, measurement: &mut Measurement, cost: Metric, count: u64) {
        let count = count as f64;
        let wall_seconds = self.wall_time.as_secs_f64();
        measurement.note(cost, nanoseconds(self.server_cpu_time) / count);
        measurement.note(Metric::RatePerSecond, count / wall_seconds);
        measurement.note(Metric::ServerCores, self.server_cpu_time.as_secs_f64() / wall_seconds);
        measurement.note(Metric::LoadNsPerMessage, nanoseconds(self.load_cpu_time) / count);
        measurement.note(Metric::Count, count);
    }
}

/// How the clients of requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// Requester and responder sleep in threads of their own.
    Asleep,
    /// One thread polls both.
    Busily,
}

fn measure_requests(
    (address, meter): (SocketAddr, ProcessMeter),
    size: &Size,
    pairs: usize,
    waiting: Waiting,
) -> Result<Measurement> {
    let mut pairs: Vec<Pair> = (0..pairs)
        .map(|index| Pair::open(address, index, REQUEST_PAYLOAD_BYTES))
        .collect::<Result<_>>()?;
    run_pairs(&mut pairs, waiting, meter, size.warm_up_time).context("while warming up")?;
    let (phase, latencies) = run_pairs(&mut pairs, waiting, meter, size.measure_time)?;

    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerRequest, phase.delivered);
    let at = |percentile| latencies.value_at_percentile(percentile) as f64;
    for (metric, percentile) in [
        (Metric::LatencyNsP50, 50.0),
        (Metric::LatencyNsP90, 90.0),
        (Metric::LatencyNsP99, 99.0),
        (Metric::LatencyNsP999, 99.9),
    ] {
        measurement.note(metric, at(percentile));
    }
    measurement.latency_curve =
        CURVE_PERCENTILES.map(|percentile| (percentile, at(percentile))).into();
    Ok(measurement)
}

/// Lets all pairs ask and answer for `time`; returns what that cost, and all latencies.
fn run_pairs(
    pairs: &mut [Pair],
    waiting: Waiting,
    meter: ProcessMeter,
    time: Duration,
) -> Result<(Phase, Histogram<u64>)> {
    type Outcome = Result<(u64, u64, Histogram<u64>)>;
    let load = ProcessMeter::of_self()?;
    let (server_before, load_before) = (meter.cpu_time()?, load.cpu_time()?);
    let begin = Instant::now();
    let outcomes: Vec<Outcome> = match waiting {
        Waiting::Asleep => thread::scope(|scope| {
            let running: Vec<_> = pairs
                .iter_mut()
                .map(|pair| {
                    let (requester, responder) = pair.halves();
                    let answering = scope.spawn(|| responder.run());
                    let asking = scope.spawn(move || {
                        let mut latencies = latency_histogram()?;
                        let requests = requester.run(time, &mut latencies)?;
                        anyhow::Ok((requests, latencies))
                    });
                    (asking, answering)
                })
                .collect();
            let join = |(asking, answering)| {
                let ((requests, latencies), answers) =
                    both(joined(asking), joined(answering), "and the responder")?;
                Ok((requests, answers, latencies))
            };
            running.into_iter().map(join).collect()
        }),
        Waiting::Busily => {
            let run = |pair: &mut Pair| {
                let mut latencies = latency_histogram()?;
                let (requests, answers) = pair.run_busily(time, &mut latencies)?;
                Ok((requests, answers, latencies))
            };
            pairs.iter_mut().map(run).collect()
        }
    };
    let wall_time = begin.elapsed();
    let server_cpu_time = meter.cpu_time()?.saturating_sub(server_before);
    let load_cpu_time = load.cpu_time()?.saturating_sub(load_before);

    let mut latencies = latency_histogram()?;
    let (mut published, mut delivered) = (0, 0);
    for outcome in outcomes {
        let (requests, answers, of_pair) = outcome?;
        ensure!(requests == answers, "{requests} requests had {answers} answers");
        published += requests;
        delivered += answers;
        latencies.add(&of_pair).map_err(|error| anyhow!("histograms differ: {error:?}"))?;
    }
    Ok((Phase { published, delivered, wall_time, server_cpu_time, load_cpu_time }, latencies))
}

fn measure_idle((address, meter): (SocketAddr, ProcessMeter), size: &Size) -> Result<Measurement> {
    let count = size.connections.min(descriptors_max()?.saturating_sub(DESCRIPTORS_SPARE));
    ensure!(count > 0, "no file descriptors left for connections: raise the limit (ulimit -n)");
    // The first connection pays for what the server sets up once.
    let first = Connection::open(address)?;
    let bytes_before = meter.resident_bytes_settled(MEMORY_REST_TIME_MAX)?;
    let cpu_before = meter.cpu_time()?;
    let begin = Instant::now();
    let mut connections = Vec::with_capacity(count);
    for index in 0..count {
        let mut connection =
            Connection::open(address).with_context(|| format!("connection {index} of {count}"))?;
        connection.send(format!("SUB idle.{index} {SID}\r\n").as_bytes())?;
        connection.confirm()?;
        connections.push(connection);
    }
    let wall_time = begin.elapsed();
    let cpu_time = meter.cpu_time()?.saturating_sub(cpu_before);
    let bytes_after = meter.resident_bytes_settled(MEMORY_REST_TIME_MAX)?;
    // Every connection is still there and served, the oldest too.
    connections.iter_mut().try_for_each(Connection::confirm).context("an idle connection died")?;
    drop(first);

    let mut measurement = Measurement::default();
    let grown = bytes_after as f64 - bytes_before as f64;
    measurement.note(Metric::BytesPerConnection, grown / count as f64);
    measurement.note(Metric::CpuNsPerConnection, nanoseconds(cpu_time) / count as f64);
    measurement.note(Metric::RatePerSecond, count as f64 / wall_time.as_secs_f64());
    measurement.note(Metric::Count, count as f64);
    Ok(measurement)
}

fn measure_subscriptions(
    (address, meter): (SocketAddr, ProcessMeter),
    size: &Size,
) -> Result<Measurement> {
    let count = size.subscriptions;
    ensure!((1..=NUMBERED_COUNT_MAX).contains(&count), "1 to {NUMBERED_COUNT_MAX} subscriptions");
    let ring = PublishRing::numbered(count, SUBSCRIPTION_PAYLOAD_BYTES);
    let pattern = FramePattern::numbered(SUBSCRIPTION_PAYLOAD_BYTES);
    let filters = |connection: usize| {
        use std::io::Write as _;
        let mut lines = Vec::new();
        for number in (connection..count).step_by(SUBSCRIPTION_CONNECTIONS) {
            let (filter, sid) = (numbered_filter(number), NUMBERED_SID_FIRST + number);
            drop(write!(lines, "SUB {filter} {sid}\r\n"));
        }
        lines
    };
    let lines: Vec<Vec<u8>> = (0..SUBSCRIPTION_CONNECTIONS).map(filters).collect();

    let ahead_max = ahead_max(size, &ring, 1);
    let publisher = Publisher::open(address, ring)?;
    let bytes_before = meter.resident_bytes_settled(MEMORY_REST_TIME_MAX)?;
    let cpu_before = meter.cpu_time()?;
    // Each message has one receiver, whichever it is.
    let subscribers =
        SubscriberSet::open(address, SUBSCRIPTION_CONNECTIONS, Delivery::One, &pattern, |index| {
            lines[index].clone()
        })?;
    let cpu_time = meter.cpu_time()?.saturating_sub(cpu_before);
    let bytes_after = meter.resident_bytes_settled(MEMORY_REST_TIME_MAX)?;

    let mut stream = Stream { publishers: vec![publisher], subscribers, ahead_max };
    let mut measurement = stream.measure(meter, size)?;
    let grown = bytes_after as f64 - bytes_before as f64;
    measurement.note(Metric::BytesPerSubscription, grown / count as f64);
    measurement.note(Metric::CpuNsPerSubscription, nanoseconds(cpu_time) / count as f64);
    Ok(measurement)
}

fn measure_relay(size: &Size, payload_bytes: usize) -> Result<Measurement> {
    let (relay, source, sink) = Relay::start()?;
    let ring = PublishRing::same(SUBJECT, payload_bytes);
    let pattern = FramePattern::relayed(SUBJECT, payload_bytes);
    let pace = &Pace::new(ahead_max(size, &ring, 1));
    let mut publisher = Publisher::on(source, ring, Confirm::Nothing);
    let mut subscribers = SubscriberSet::of(
        vec![Subscriber::on(sink, pattern, end_publish_frame())],
        Delivery::Everyone,
    );

    let begin = Instant::now();
    let (published, delivered) = thread::scope(|scope| {
        let subscribing = scope.spawn(|| subscribers.run(1, pace));
        (publisher.run(size.measure_time, pace), joined(subscribing))
    });
    let wall_time = begin.elapsed();
    let (published, delivered) = (published?, delivered?);
    ensure!(delivered == [published], "{delivered:?} messages arrived of {published}");
    // The relay ends when there is nothing left to read.
    drop(publisher);
    let cpu_time = relay.cpu_time()?;

    let mut measurement = Measurement::default();
    measurement.note(Metric::CpuNsPerMessage, nanoseconds(cpu_time) / published as f64);
    measurement.note(Metric::RatePerSecond, published as f64 / wall_time.as_secs_f64());
    measurement.note(Metric::Count, published as f64);
    Ok(measurement)
}

/// How many messages of `ring` may be under way when each has `copies` receivers: at least two
/// chunks, so that a publisher need not wait for every one.
fn ahead_max(size: &Size, ring: &PublishRing, copies: usize) -> Option<u64> {
    let bounded = copies > 0 && size.ahead_bytes_max > 0;
    let messages = |copies: usize| size.ahead_bytes_max / (ring.frame_bytes() * copies);
    bounded.then(|| messages(copies).max(2 * ring.chunk_frames()) as u64)
}

/// The limit of open files, raised as far as this process may. Servers started later inherit it.
///
/// # Errors
/// When the kernel refuses to raise it to the limit that it names itself.
pub fn descriptors_max() -> Result<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
            .context("cannot raise the limit of open files")?;
    }
    Ok(limit.maximum.and_then(|maximum| usize::try_from(maximum).ok()).unwrap_or(usize::MAX))
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a client of the load panicked"))?
}

/// Both results, or what is known of their failure: when one side fails the other often only
/// waits in vain, and either may know the reason.
fn both<A, B>(first: Result<A>, second: Result<B>, second_name: &str) -> Result<(A, B)> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(first), Err(second)) => Err(anyhow!("{first:#}; {second_name}: {second:#}")),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
