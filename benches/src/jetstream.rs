//! What is measured of streams: publishing with acknowledgements, pulling, reading by subject,
//! starting again after a crash.
//!
//! Every scenario makes its own stream in a fresh store and checks what it did against what the
//! server says that it holds. It knows neither how a server keeps a stream nor which one it is.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::load::api::Api;
use crate::load::connection::Wait;
use crate::load::getter::Getter;
use crate::load::puller::{Acks, Puller, Selection};
use crate::load::requester::latency_histogram;
use crate::load::stored::{Stored, Subjects};
use crate::load::stream_publisher::{StreamPublisher, Until};
use crate::load::watcher::Watcher;
use crate::measure::{Measurement, Metric};
use crate::phase::{Phase, nanoseconds};
use crate::report::Spread;
use crate::scenario::{MEMORY_REST_TIME_MAX, Size};
use crate::server::Server;
use crate::store::{Store, Syncing};

/// The name of the stream; that of a bucket follows from the rules for buckets.
const STREAM: &str = "BENCH";
const BUCKET_STREAM: &str = "KV_bench";

/// Most messages of a publisher, or gets, that wait for their answer.
const WINDOW: u64 = 1_000;

/// Messages that a pull asks for at once.
const BATCH: u64 = 1_000;

/// Most messages that a consumer with explicit acks may have unacknowledged: more than are ever
/// under way, so that the client decides.
const ACK_PENDING_MAX: u64 = 10_000;

/// Length of payloads where only the number of messages matters.
const PAYLOAD_BYTES: usize = 128;

/// Full size of what is stored before it is read, and of what is published once.
const READ_MESSAGES: u64 = 1_000_000;
const FILTERED_SUBJECTS: u64 = 1_000;
const MANY_SUBJECTS: u64 = 100_000;
const LARGE_MESSAGES: u64 = 10_000_000;
const LARGE_SUBJECTS: u64 = 1_000_000;
const KEYS: u64 = 100_000;

/// Bare writes with a sync, beside a measurement.
const PROBE_WRITES: usize = 64;

/// Where messages go one by one there is a bare write behind so many.
const MESSAGES_PER_PROBE: u64 = 32;

/// How long a server may need from its start until it answers about a stream.
const READY_TIME_MAX: Duration = Duration::from_secs(180);

/// How often it is asked: the resolution of that time.
const READY_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// One kind of work on a stream, and when the server shall sync.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// What its configuration says about syncing.
    pub syncing: Syncing,
    /// What is done.
    pub kind: Kind,
}

/// What is done with a stream.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Publishing with a window of `WINDOW` messages.
    Publish(Storage, usize),
    /// The same into `MANY_SUBJECTS` subjects.
    PublishManySubjects,
    /// Publishing when the message before is acknowledged.
    PublishOneByOne(Wait),
    /// Pulling `READ_MESSAGES` messages.
    Pull(Acks),
    /// Pulling one subject of `FILTERED_SUBJECTS`.
    PullFiltered,
    /// Publishing `LARGE_MESSAGES` messages into `LARGE_SUBJECTS` subjects, a crash, a start.
    Large,
    /// Putting `KEYS` keys.
    PutKeys,
    /// Getting each of `KEYS` keys.
    GetKeys,
    /// Watching `KEYS` keys.
    WatchKeys,
}

/// Where a stream is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In files.
    File,
    /// In memory.
    Memory,
}

impl Work {
    /// Does it on `server`, which has nothing stored yet.
    ///
    /// # Errors
    /// When the server fails, or loses, doubles or changes a message; the message says where.
    pub fn measure(self, server: &mut Server, size: &Size) -> Result<Measurement> {
        match self.kind {
            Kind::Publish(storage, payload_bytes) => {
                let stored = Stored::new(Subjects::Same("bench.subject"), payload_bytes);
                publish(server, size, Probe::new(server, self.syncing), storage, stored)
            }
            Kind::PublishManySubjects => {
                let count = size.scaled(MANY_SUBJECTS);
                let subjects = Subjects::Numbered { prefix: "bench.", count };
                let stored = Stored::new(subjects, PAYLOAD_BYTES);
                publish(server, size, Probe::new(server, self.syncing), Storage::File, stored)
            }
            Kind::PublishOneByOne(wait) => {
                publish_one_by_one(server, size, Probe::new(server, self.syncing), wait)
            }
            Kind::Pull(acks) => pull(server, size, acks),
            Kind::PullFiltered => pull_filtered(server, size),
            Kind::Large => large(server, size),
            Kind::PutKeys => put_keys(server, size),
            Kind::GetKeys => get_keys(server, size),
            Kind::WatchKeys => watch_keys(server, size),
        }
    }
}

fn publish(
    server: &Server,
    size: &Size,
    mut probe: Probe<'_>,
    storage: Storage,
    stored: Stored,
) -> Result<Measurement> {
    let mut stream = Stream::create(server, STREAM, storage, stored)?;
    let mut publisher = stream.publisher(WINDOW)?;
    publisher.run(Until::Over(size.warm_up_time)).context("while warming up")?;
    // Half before and half behind: between them the window would run dry.
    probe.look(PROBE_WRITES / 2)?;
    let (count, phase) =
        Phase::of(server.meter(), || publisher.run(Until::Over(size.measure_time)))?;
    probe.look(PROBE_WRITES / 2)?;
    stream.check_holds(publisher.acknowledged())?;
    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerMessage, count);
    if let Some(median) = probe.median() {
        measurement.note(Metric::BareSyncNs, median);
    }
    Ok(measurement)
}

fn publish_one_by_one(
    server: &Server,
    size: &Size,
    mut probe: Probe<'_>,
    wait: Wait,
) -> Result<Measurement> {
    let stored = Stored::new(Subjects::Same("bench.subject"), PAYLOAD_BYTES);
    let mut stream = Stream::create(server, STREAM, Storage::File, stored)?;
    let mut publisher = stream.publisher(1)?;
    publisher.set_wait(wait)?;
    let mut run_for = |time: Duration, probe: &mut Probe<'_>, latencies: &mut Histogram<u64>| {
        let begin = Instant::now();
        let mut sum: Option<(u64, Phase)> = None;
        while sum.is_none() || begin.elapsed() < time {
            // As often as messages: the disk is slow in bursts, in which few messages pass.
            probe.look(1)?;
            let ((), phase) = Phase::of(server.meter(), || {
                publisher.run_one_by_one(MESSAGES_PER_PROBE, latencies)
            })?;
            sum = Some(match sum {
                None => (MESSAGES_PER_PROBE, phase),
                Some((count, phases)) => (count + MESSAGES_PER_PROBE, phases + phase),
            });
        }
        anyhow::Ok(sum)
    };
    let mut latencies = latency_histogram()?;
    run_for(size.warm_up_time, &mut probe, &mut latencies).context("while warming up")?;
    latencies.reset();
    probe.times_ns.clear();
    let sum = run_for(size.measure_time, &mut probe, &mut latencies)?;
    let (count, phase) = sum.context("at least one piece was run")?;
    stream.check_holds(publisher.acknowledged())?;
    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerMessage, count);
    measurement.note_latencies(&latencies);
    if let Some(median) = probe.median() {
        measurement.note(Metric::BareSyncNs, median);
        let latency = latencies.value_at_percentile(50.0) as f64;
        measurement.note(Metric::LatencyNsBeyondSync, latency - median);
    }
    Ok(measurement)
}

fn pull(server: &Server, size: &Size, acks: Acks) -> Result<Measurement> {
    let stored = Stored::new(Subjects::Same("bench.subject"), PAYLOAD_BYTES);
    let mut stream = Stream::create(server, STREAM, Storage::File, stored)?;
    let count = size.scaled(READ_MESSAGES);
    stream.fill(count)?;
    let mut puller = Puller::open(server.address(), acks, BATCH)?;
    let all = Selection { first: 0, step: 1, count };
    let mut consumers = 0;
    // One consumer after the other, each from the beginning.
    let mut pull_for = |time: Duration| {
        let deadline = Instant::now() + time;
        let mut got = 0;
        while got == 0 || Instant::now() < deadline {
            consumers += 1;
            let name = format!("consumer{consumers}");
            let policy = match acks {
                Acks::None => json!({ "ack_policy": "none" }),
                Acks::Explicit => {
                    json!({ "ack_policy": "explicit", "max_ack_pending": ACK_PENDING_MAX })
                }
            };
            got += stream.pull(&mut puller, &name, policy, all, acks, deadline)?;
        }
        anyhow::Ok(got)
    };
    pull_for(size.warm_up_time).context("while warming up")?;
    let (count, phase) = Phase::of(server.meter(), || pull_for(size.measure_time))?;
    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerDelivery, count);
    Ok(measurement)
}

fn pull_filtered(server: &Server, size: &Size) -> Result<Measurement> {
    let messages = size.scaled(READ_MESSAGES);
    let subjects = FILTERED_SUBJECTS.min(messages);
    let subject = Subjects::Numbered { prefix: "bench.", count: subjects };
    let stored = Stored::new(subject, PAYLOAD_BYTES);
    let mut stream = Stream::create(server, STREAM, Storage::File, stored)?;
    // The same number for each subject.
    stream.fill(messages / subjects * subjects)?;
    let mut puller = Puller::open(server.address(), Acks::None, BATCH)?;
    let mut times = Vec::new();
    let mut passes = 0;
    // Every pass takes another subject, and all its messages.
    let mut one_pass = |times: &mut Vec<f64>| {
        let first = passes % subjects;
        passes += 1;
        let selection = Selection { first, step: subjects, count: messages / subjects };
        let filter = stream.stored.subjects().of(first);
        let policy = json!({ "ack_policy": "none", "filter_subject": filter });
        let begin = Instant::now();
        let far = begin + READY_TIME_MAX;
        let name = format!("consumer{passes}");
        let got = stream.pull(&mut puller, &name, policy, selection, Acks::None, far)?;
        times.push(nanoseconds(begin.elapsed()));
        anyhow::Ok(got)
    };
    one_pass(&mut times).context("while warming up")?;
    times.clear();
    let (count, phase) = Phase::of(server.meter(), || {
        let deadline = Instant::now() + size.measure_time;
        let mut got = 0;
        while got == 0 || Instant::now() < deadline {
            got += one_pass(&mut times)?;
        }
        Ok(got)
    })?;
    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerDelivery, count);
    note_median(&mut measurement, Metric::TimeNsForAll, &times);
    Ok(measurement)
}

fn large(server: &mut Server, size: &Size) -> Result<Measurement> {
    let mut measurement = Measurement::default();
    let (messages, subjects) = (size.scaled(LARGE_MESSAGES), size.scaled(LARGE_SUBJECTS));
    let subject = Subjects::Numbered { prefix: "bench.", count: subjects };
    let stored = Stored::new(subject, PAYLOAD_BYTES);
    let mut stream = Stream::create(server, STREAM, Storage::File, stored.clone())?;
    let mut publisher = stream.publisher(WINDOW)?;
    let (count, phase) = Phase::of(server.meter(), || publisher.run(Until::Count(messages)))?;
    phase.note_into(&mut measurement, Metric::CpuNsPerMessage, count);
    // Also the time in which a server that does not sync hands over what it still holds.
    let resident = server.meter().resident_bytes_settled(MEMORY_REST_TIME_MAX)?;
    measurement.note(Metric::ResidentBytesLoaded, resident as f64);
    stream.check_holds(messages)?;
    drop((publisher, stream));

    let started = server.kill_and_start_again().context("the start after a crash")?;
    let mut stream = Stream::when_ready(server, STREAM, stored, started)?;
    measurement.note(Metric::TimeNsToReady, nanoseconds(started.elapsed()));
    measurement.note(Metric::CpuNsOfStart, nanoseconds(server.meter().cpu_time()?));
    stream.check_holds(messages).context("after a crash")?;
    ensure!(
        stream.api.stream_state(STREAM)?.subjects == subjects,
        "after a crash there are not {subjects} subjects"
    );
    let mut publisher = stream.publisher_from(1, messages + 1)?;
    publisher.run(Until::Count(1)).context("the first message after a crash")?;
    measurement.note(Metric::TimeNsToFirstAck, nanoseconds(started.elapsed()));
    let resident = server.meter().resident_bytes_settled(MEMORY_REST_TIME_MAX)?;
    measurement.note(Metric::ResidentBytesStarted, resident as f64);
    Ok(measurement)
}

fn put_keys(server: &Server, size: &Size) -> Result<Measurement> {
    let keys = size.scaled(KEYS);
    let mut bucket = Stream::create_bucket(server, keys)?;
    let mut publisher = bucket.publisher(WINDOW)?;
    let (count, phase) = Phase::of(server.meter(), || {
        passes(size.measure_time, || publisher.run(Until::Count(keys)))
    })?;
    let state = bucket.api.stream_state(BUCKET_STREAM)?;
    ensure!(
        (state.messages, state.last_sequence) == (keys, count),
        "{keys} keys were put {count} times, and the server holds {state:?}"
    );
    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerMessage, count);
    Ok(measurement)
}

fn get_keys(server: &Server, size: &Size) -> Result<Measurement> {
    let keys = size.scaled(KEYS);
    let mut bucket = Stream::create_bucket(server, keys)?;
    bucket.fill(keys)?;
    let mut getter = Getter::open(server.address(), WINDOW)?;
    let mut get_all = || getter.get_all(BUCKET_STREAM, &bucket.stored, keys).map(|()| keys);
    get_all().context("while warming up")?;
    let (count, phase) = Phase::of(server.meter(), || passes(size.measure_time, get_all))?;
    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerRequest, count);
    Ok(measurement)
}

fn watch_keys(server: &Server, size: &Size) -> Result<Measurement> {
    let keys = size.scaled(KEYS);
    let mut bucket = Stream::create_bucket(server, keys)?;
    bucket.fill(keys)?;
    let mut watcher = Watcher::open(server.address())?;
    let mut times = Vec::new();
    let Stream { api, stored, .. } = &mut bucket;
    let mut watch_all = |times: &mut Vec<f64>| {
        let begin = Instant::now();
        watcher.watch_all(api, BUCKET_STREAM, stored, keys)?;
        times.push(nanoseconds(begin.elapsed()));
        Ok(keys)
    };
    watch_all(&mut times).context("while warming up")?;
    times.clear();
    let (count, phase) =
        Phase::of(server.meter(), || passes(size.measure_time, || watch_all(&mut times)))?;
    let mut measurement = Measurement::default();
    phase.note_into(&mut measurement, Metric::CpuNsPerDelivery, count);
    note_median(&mut measurement, Metric::TimeNsForAll, &times);
    Ok(measurement)
}

/// Whole passes until `time` is over, at least one; the sum of what they return.
fn passes(time: Duration, mut pass: impl FnMut() -> Result<u64>) -> Result<u64> {
    let begin = Instant::now();
    let mut sum = pass()?;
    while begin.elapsed() < time {
        sum += pass()?;
    }
    Ok(sum)
}

fn note_median(measurement: &mut Measurement, metric: Metric, values: &[f64]) {
    if let Some(Spread { median, .. }) = Spread::of(values) {
        measurement.note(metric, median);
    }
}

/// Looks at the bare disk beside a server that may wait for it, and at nothing beside another.
struct Probe<'a> {
    store: Option<&'a Store>,
    times_ns: Vec<f64>,
}

impl<'a> Probe<'a> {
    fn new(server: &'a Server, syncing: Syncing) -> Self {
        let store = server.store().filter(|_| syncing.may_wait_for_disk());
        Self { store, times_ns: Vec::new() }
    }

    fn look(&mut self, writes: usize) -> Result<()> {
        if let Some(store) = self.store {
            self.times_ns.extend(store.probe(writes)?.into_iter().map(nanoseconds));
        }
        Ok(())
    }

    fn median(&self) -> Option<f64> {
        Spread::of(&self.times_ns).map(|spread| spread.median)
    }
}

/// A stream of the server, where only this load publishes.
struct Stream<'a> {
    server: &'a Server,
    name: &'static str,
    stored: Stored,
    api: Api,
}

impl<'a> Stream<'a> {
    fn create(
        server: &'a Server,
        name: &'static str,
        storage: Storage,
        stored: Stored,
    ) -> Result<Self> {
        let storage = match storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        };
        let config = json!({ "subjects": [stored.subjects().filter()], "storage": storage });
        Self::create_as(server, name, &config, stored)
    }

    /// With the configuration that clients give a bucket.
    fn create_bucket(server: &'a Server, keys: u64) -> Result<Self> {
        let subjects = Subjects::Numbered { prefix: "$KV.bench.", count: keys };
        let stored = Stored::new(subjects, PAYLOAD_BYTES);
        let config = json!({
            "subjects": ["$KV.bench.>"],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
        });
        Self::create_as(server, BUCKET_STREAM, &config, stored)
    }

    fn create_as(
        server: &'a Server,
        name: &'static str,
        config: &Value,
        stored: Stored,
    ) -> Result<Self> {
        let mut api = Api::open(server.address())?;
        api.create_stream(name, config)?;
        Ok(Self { server, name, stored, api })
    }

    /// A stream that is there already, as soon as a server started at `started` answers about
    /// it.
    fn when_ready(
        server: &'a Server,
        name: &'static str,
        stored: Stored,
        started: Instant,
    ) -> Result<Self> {
        let mut api = Api::open(server.address())?;
        while let Err(error) = api.stream_state(name) {
            if started.elapsed() > READY_TIME_MAX {
                return Err(error.context(format!("not ready after {READY_TIME_MAX:?}")));
            }
            std::thread::park_timeout(READY_POLL_INTERVAL);
        }
        Ok(Self { server, name, stored, api })
    }

    fn publisher(&self, window: u64) -> Result<StreamPublisher> {
        self.publisher_from(window, 1)
    }

    fn publisher_from(&self, window: u64, sequence_first: u64) -> Result<StreamPublisher> {
        let (address, stored) = (self.server.address(), self.stored.clone());
        StreamPublisher::open(address, self.name, stored, window, sequence_first)
    }

    /// Publishes the first `count` messages.
    fn fill(&mut self, count: u64) -> Result<()> {
        self.publisher(WINDOW)?.run(Until::Count(count)).context("while filling the stream")?;
        self.check_holds(count)
    }

    /// Does it hold as many messages as were acknowledged, with sequences from 1?
    fn check_holds(&mut self, count: u64) -> Result<()> {
        let state = self.api.stream_state(self.name)?;
        ensure!(
            (state.messages, state.last_sequence) == (count, count),
            "{count} messages were acknowledged, and the server holds {state:?}"
        );
        Ok(())
    }

    /// Pulls the messages of `selection` with a new consumer until `deadline`, and asks the
    /// server whether it counted the same. Returns how many there were.
    fn pull(
        &mut self,
        puller: &mut Puller,
        consumer: &str,
        mut policy: Value,
        selection: Selection,
        acks: Acks,
        deadline: Instant,
    ) -> Result<u64> {
        let Self { name: stream, stored, api, .. } = self;
        policy["durable_name"] = consumer.into();
        let state = api.create_consumer(stream, consumer, &policy)?;
        ensure!(
            state.pending == selection.count,
            "{state:?} of a new consumer that has {} messages",
            selection.count
        );
        let got = puller.run(stream, consumer, stored, selection, deadline)?;
        let state = api.consumer_state(stream, consumer)?;
        let last = selection.first + (got - 1) * selection.step + 1;
        let is_right = state.delivered == last
            && state.pending == selection.count - got
            && state.ack_pending == 0
            && (acks == Acks::None || state.ack_floor == last);
        ensure!(is_right, "{state:?} of a consumer that got {got} messages");
        api.delete_consumer(stream, consumer)?;
        Ok(got)
    }
}
