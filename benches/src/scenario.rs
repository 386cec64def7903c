//! What is measured: each scenario drives one server and yields quantities.
//!
//! Scenarios know how work is counted and when a measurement begins and ends. They do not know
//! which server it is, how often they are repeated, or what becomes of the figures.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use hdrhistogram::Histogram;

use crate::jetstream::{Kind, Storage, Work};
use crate::load::connection::{Connection, Wait};
use crate::load::frames::{
    FramePattern, NUMBERED_COUNT_MAX, NUMBERED_SID_FIRST, PublishRing, SID, end_publish_frame,
    numbered_filter,
};
use crate::load::pace::Pace;
use crate::load::publisher::{Confirm, Publisher};
use crate::load::puller::Acks;
use crate::load::relay::Relay;
use crate::load::requester::{Pair, latency_histogram};
use crate::load::subscriber::{Delivery, Subscriber, SubscriberSet};
use crate::measure::{Measurement, Metric};
use crate::phase::{Phase, nanoseconds};
use crate::process::ProcessMeter;
use crate::server::{Launcher, Server, ServerSpec};
use crate::store::{Store, Syncing};

/// Where messages of the simple scenarios go.
const SUBJECT: &str = "bench.subject";

/// Connections that share the many subscriptions.
const SUBSCRIPTION_CONNECTIONS: usize = 10;

/// File descriptors that stay free for the process itself when it opens idle connections.
const DESCRIPTORS_SPARE: usize = 256;

/// How long memory may take to come to rest before it is read.
pub(crate) const MEMORY_REST_TIME_MAX: Duration = Duration::from_secs(3);

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
    /// What part of the full number of messages, subjects and keys the scenarios of streams
    /// store, above 0 and at most 1.
    pub scale: f64,
}

impl Size {
    /// That part of `full`, at least 1.
    pub fn scaled(&self, full: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "a part of a number that fits")]
        let part = (full as f64 * self.scale).round() as u64;
        part.clamp(1, full)
    }
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
    JetStream(Work),
}

const REQUEST_PAYLOAD_BYTES: usize = 16;
const SUBSCRIPTION_PAYLOAD_BYTES: usize = 16;

/// Every scenario, in the order of the tables.
pub const ALL: [Scenario; 38] = [
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
    js(
        "js-relaxed-128",
        "published into a file, synced every 2 minutes, 1,000 under way, 128 B",
        Syncing::Relaxed,
        Kind::Publish(Storage::File, 128),
    ),
    js(
        "js-relaxed-1024",
        "published into a file, synced every 2 minutes, 1,000 under way, 1 KiB",
        Syncing::Relaxed,
        Kind::Publish(Storage::File, 1024),
    ),
    js(
        "js-default-128",
        "published into a file, synced as the server does by default, 1,000 under way, 128 B",
        Syncing::ServerDefault,
        Kind::Publish(Storage::File, 128),
    ),
    js(
        "js-default-1024",
        "published into a file, synced as the server does by default, 1,000 under way, 1 KiB",
        Syncing::ServerDefault,
        Kind::Publish(Storage::File, 1024),
    ),
    js(
        "js-always-128",
        "published into a file, synced before the acknowledgement, 1,000 under way, 128 B",
        Syncing::Always,
        Kind::Publish(Storage::File, 128),
    ),
    js(
        "js-always-1024",
        "published into a file, synced before the acknowledgement, 1,000 under way, 1 KiB",
        Syncing::Always,
        Kind::Publish(Storage::File, 1024),
    ),
    js(
        "js-memory-128",
        "published into memory, 1,000 under way, 128 B",
        Syncing::Relaxed,
        Kind::Publish(Storage::Memory, 128),
    ),
    js(
        "js-subjects",
        "published into 100,000 subjects of a file, synced every 2 minutes, 1,000 under way, 128 B",
        Syncing::Relaxed,
        Kind::PublishManySubjects,
    ),
    js(
        "js-one-relaxed",
        "published into a file, synced every 2 minutes, one at a time, 128 B",
        Syncing::Relaxed,
        Kind::PublishOneByOne(Wait::Asleep),
    ),
    js(
        "js-one-relaxed-busy",
        "published into a file, synced every 2 minutes, one at a time by a thread that never \
         sleeps, 128 B",
        Syncing::Relaxed,
        Kind::PublishOneByOne(Wait::Busily),
    ),
    js(
        "js-one-always",
        "published into a file, synced before the acknowledgement, one at a time, 128 B",
        Syncing::Always,
        Kind::PublishOneByOne(Wait::Asleep),
    ),
    js(
        "js-one-always-busy",
        "published into a file, synced before the acknowledgement, one at a time by a thread that \
         never sleeps, 128 B",
        Syncing::Always,
        Kind::PublishOneByOne(Wait::Busily),
    ),
    js(
        "js-pull",
        "pulled in batches of 1,000, two under way, no acks, 128 B",
        Syncing::Relaxed,
        Kind::Pull(Acks::None),
    ),
    js(
        "js-pull-acks",
        "pulled in batches of 1,000, two under way, every message acknowledged, 128 B",
        Syncing::Relaxed,
        Kind::Pull(Acks::Explicit),
    ),
    js(
        "js-pull-filtered",
        "a new consumer of one subject in 1,000 pulls all it has of 1 M messages",
        Syncing::Relaxed,
        Kind::PullFiltered,
    ),
    js(
        "js-large",
        "10 M messages of 128 B published into 1 M subjects, synced every 2 minutes, 1,000 under \
         way; then the server is killed and started again",
        Syncing::Relaxed,
        Kind::Large,
    ),
    js(
        "js-kv-put",
        "100,000 keys put again and again, 1,000 under way, synced every 2 minutes, 128 B",
        Syncing::Relaxed,
        Kind::PutKeys,
    ),
    js(
        "js-kv-get",
        "100,000 keys, each got by its name, 1,000 under way, 128 B",
        Syncing::Relaxed,
        Kind::GetKeys,
    ),
    js(
        "js-kv-watch",
        "100,000 keys, all watched by a new watcher, 128 B",
        Syncing::Relaxed,
        Kind::WatchKeys,
    ),
];

const fn js(name: &'static str, about: &'static str, syncing: Syncing, kind: Kind) -> Scenario {
    Scenario { name, about, shape: Shape::JetStream(Work { syncing, kind }) }
}

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

    /// Does the server store anything on a disk?
    pub fn needs_disk(&self) -> bool {
        matches!(self.shape, Shape::JetStream(_))
    }

    /// Starts a fresh server for one measurement; those that store something get a fresh folder
    /// below `store_base`.
    ///
    /// # Errors
    /// When it does not start, or the folder cannot be made.
    pub fn start(
        &self,
        spec: &ServerSpec,
        launcher: &Launcher,
        store_base: &Path,
    ) -> Result<Server> {
        match self.shape {
            Shape::JetStream(work) => {
                let store = Store::create(store_base, work.syncing)?;
                Server::start_with_store(spec, launcher, store)
            }
            _ => Server::start(spec, launcher),
        }
    }

    /// Measures `server`, which was started for it; the floor scenarios need none.
    ///
    /// # Errors
    /// When the server fails, loses or invents a message; the message says where.
    pub fn run(&self, mut server: Option<&mut Server>, size: &Size) -> Result<Measurement> {
        let missing = || format!("{} needs a server", self.name);
        let target = || {
            let server = server.as_ref().with_context(missing)?;
            anyhow::Ok((server.address(), server.meter()))
        };
        let mut measurement = match self.shape {
            Shape::Stream { publishers, subscribers, delivery, payload_bytes } => {
                let (address, meter) = target()?;
                Stream::open(address, size, publishers, subscribers, delivery, payload_bytes)?
                    .measure(meter, size)?
            }
            Shape::Requests { pairs } => measure_requests(target()?, size, pairs, Wait::Asleep)?,
            Shape::RequestsBusily => measure_requests(target()?, size, 1, Wait::Busily)?,
            Shape::Idle => measure_idle(target()?, size)?,
            Shape::Subscriptions => measure_subscriptions(target()?, size)?,
            Shape::Relay { payload_bytes } => measure_relay(size, payload_bytes)?,
            Shape::JetStream(work) => work.measure(server.as_mut().with_context(missing)?, size)?,
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

/// Messages of a phase.
struct Counts {
    /// Sent by the publishers.
    published: u64,
    /// Counted at the subscribers.
    delivered: u64,
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
        let (counts, phase) = self.phase(meter, size.measure_time)?;
        let mut measurement = Measurement::default();
        let (metric, count) = match self.subscribers.copies() {
            0 => (Metric::CpuNsPerMessage, counts.published),
            1 => (Metric::CpuNsPerMessage, counts.delivered),
            _ => (Metric::CpuNsPerDelivery, counts.delivered),
        };
        phase.note_into(&mut measurement, metric, count);
        Ok(measurement)
    }

    /// Publishes for `time` and waits until everything has been processed and delivered.
    fn phase(&mut self, meter: ProcessMeter, time: Duration) -> Result<(Counts, Phase)> {
        let ends = self.publishers.len();
        let (publishers, subscribers) = (&mut self.publishers, &mut self.subscribers);
        let copies = subscribers.copies();
        let pace = &Pace::new(self.ahead_max);

        let ((published, delivered), phase) = Phase::of(meter, || {
            let (published, delivered) = thread::scope(|scope| {
                let subscribing = (copies > 0).then(|| scope.spawn(|| subscribers.run(ends, pace)));
                let publishing: Vec<_> = publishers
                    .iter_mut()
                    .map(|publisher| scope.spawn(move || publisher.run(time, pace)))
                    .collect();
                let published: Vec<Result<u64>> = publishing.into_iter().map(joined).collect();
                (published, subscribing.map(joined).transpose())
            });
            both(published.into_iter().sum::<Result<u64>>(), delivered, "and its subscribers")
        })?;
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
        Ok((Counts { published, delivered: delivered_sum }, phase))
    }
}

fn measure_requests(
    (address, meter): (SocketAddr, ProcessMeter),
    size: &Size,
    pairs: usize,
    wait: Wait,
) -> Result<Measurement> {
    let mut pairs: Vec<Pair> = (0..pairs)
        .map(|index| Pair::open(address, index, REQUEST_PAYLOAD_BYTES))
        .collect::<Result<_>>()?;
    run_pairs(&mut pairs, wait, meter, size.warm_up_time).context("while warming up")?;
    let (requests, latencies, phase) = run_pairs(&mut pairs, wait, meter, size.measure_time)?;

    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerRequest, requests);
    measurement.note_latencies(&latencies);
    Ok(measurement)
}

/// Lets all pairs ask and answer for `time`; returns how many requests there were, all latencies,
/// and what that cost.
fn run_pairs(
    pairs: &mut [Pair],
    wait: Wait,
    meter: ProcessMeter,
    time: Duration,
) -> Result<(u64, Histogram<u64>, Phase)> {
    type Outcome = Result<(u64, u64, Histogram<u64>)>;
    let mut run = || match wait {
        Wait::Asleep => thread::scope(|scope| {
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
            running.into_iter().map(join).collect::<Vec<Outcome>>()
        }),
        Wait::Busily => {
            let run = |pair: &mut Pair| {
                let mut latencies = latency_histogram()?;
                let (requests, answers) = pair.run_busily(time, &mut latencies)?;
                Ok((requests, answers, latencies))
            };
            pairs.iter_mut().map(run).collect()
        }
    };
    let (outcomes, phase) = Phase::of(meter, || run().into_iter().collect::<Result<Vec<_>>>())?;

    let mut latencies = latency_histogram()?;
    let mut requests_sum = 0;
    for (requests, answers, of_pair) in outcomes {
        ensure!(requests == answers, "{requests} requests had {answers} answers");
        requests_sum += requests;
        latencies.add(&of_pair).map_err(|error| anyhow!("histograms differ: {error:?}"))?;
    }
    Ok((requests_sum, latencies, phase))
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
            let (filter, sid) = (numbered_filter(number as u64), NUMBERED_SID_FIRST + number);
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
