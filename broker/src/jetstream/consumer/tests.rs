//! A stream that is a plain list, a sink that remembers, and the rules one by one.

mod acks;
mod info;
mod kept;
mod model;
mod never_stuck;
mod pull;
mod push;
mod start;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};

use super::*;

/// A second.
const S: u64 = 1_000_000_000;
/// A millisecond.
const MS: u64 = 1_000_000;

fn at(monotonic_ns: u64) -> Now {
    Now { unix_ns: 1_700_000_000_000_000_000, monotonic_ns: 0 }.plus(monotonic_ns)
}

/// A message of the list.
#[derive(Clone, Debug)]
struct Stored {
    subject: String,
    headers: Vec<u8>,
    payload: Vec<u8>,
    timestamp_ns: i64,
}

/// The stream as a list of what is there: every answer is found by looking at all of it.
#[derive(Clone, Debug, Default)]
struct List {
    stored: BTreeMap<u64, Stored>,
    last: u64,
    /// There, but not to be read.
    damaged: BTreeSet<u64>,
}

impl List {
    fn of(subjects: &[&str]) -> Self {
        let mut list = Self::default();
        for subject in subjects {
            list.append(subject);
        }
        list
    }

    fn numbered(count: u64) -> Self {
        let mut list = Self::default();
        for _ in 0..count {
            list.append("s");
        }
        list
    }

    fn append(&mut self, subject: &str) -> u64 {
        self.append_at(subject, i64::try_from(self.last).unwrap() * 1000)
    }

    fn append_at(&mut self, subject: &str, timestamp_ns: i64) -> u64 {
        self.last += 1;
        let payload = format!("m{}", self.last).into_bytes();
        let subject = subject.to_owned();
        let stored = Stored { subject, headers: Vec::new(), payload, timestamp_ns };
        self.stored.insert(self.last, stored);
        self.last
    }

    /// Removes a message and tells the consumer.
    fn remove(&mut self, now: u64, sequence: u64, consumer: &mut Consumer, out: &mut Out) {
        if let Some(stored) = self.stored.remove(&sequence) {
            consumer.handle_removed(at(now), sequence, stored.subject.as_bytes(), out);
        }
    }

    fn matching<'a>(&'a self, filters: &'a Filters) -> impl DoubleEndedIterator<Item = u64> + 'a {
        self.stored
            .iter()
            .filter(|(_, stored)| filters.matches(stored.subject.as_bytes()))
            .map(|(sequence, _)| *sequence)
    }
}

impl Messages for List {
    fn first_sequence(&self) -> u64 {
        match self.stored.keys().next() {
            Some(first) => *first,
            None if self.last == 0 => 0,
            None => self.last + 1,
        }
    }

    fn last_sequence(&self) -> u64 {
        self.last
    }

    fn next_matching(&self, filters: &Filters, from: u64) -> Option<u64> {
        self.stored
            .range(from..)
            .find(|(_, stored)| filters.matches(stored.subject.as_bytes()))
            .map(|(sequence, _)| *sequence)
    }

    fn count_matching(&self, filters: &Filters, from: u64) -> u64 {
        self.matching(filters).filter(|sequence| *sequence >= from).count() as u64
    }

    fn last_matching(&self, filters: &Filters) -> Option<u64> {
        self.matching(filters).next_back()
    }

    fn last_per_subject(&self, filters: &Filters, up_to: u64) -> Vec<u64> {
        let mut last = BTreeMap::new();
        for sequence in self.matching(filters).filter(|sequence| *sequence <= up_to) {
            last.insert(&self.stored[&sequence].subject, sequence);
        }
        let mut all: Vec<u64> = last.into_values().collect();
        all.sort_unstable();
        all
    }

    fn sequence_at_time(&self, unix_ns: i64) -> u64 {
        self.stored
            .iter()
            .find(|(_, stored)| stored.timestamp_ns >= unix_ns)
            .map_or(self.last + 1, |(sequence, _)| *sequence)
    }

    fn read<R>(&self, sequence: u64, show: impl FnOnce(Delivery<'_>) -> R) -> Option<R> {
        let stored = self.stored.get(&sequence)?;
        if self.damaged.contains(&sequence) {
            return None;
        }
        Some(show(Delivery {
            subject: stored.subject.as_bytes(),
            headers: &stored.headers,
            payload: &stored.payload,
            timestamp_ns: stored.timestamp_ns,
        }))
    }
}

/// Something that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    to: String,
    subject: String,
    reply: String,
    headers: String,
    payload: String,
}

impl Sent {
    /// The numbers of a delivery's reply subject: delivered, stream, consumer, pending.
    fn numbers(&self) -> [u64; 4] {
        let numbers: Vec<u64> =
            self.reply.split('.').skip(4).map(|number| number.parse().unwrap()).collect();
        [numbers[0], numbers[1], numbers[2], numbers[4]]
    }

    /// A status without the version and the end.
    fn status(&self) -> &str {
        self.headers.strip_prefix("NATS/1.0 ").unwrap_or("").trim_end()
    }
}

/// Remembers what comes out.
#[derive(Debug, Default)]
struct Out {
    sent: Vec<Sent>,
    advisories: Vec<String>,
    acknowledged: Vec<u64>,
    replies: Vec<String>,
    /// Subjects nobody listens to.
    deaf: BTreeSet<String>,
    asked: RefCell<u64>,
}

impl Sink for Out {
    fn send(
        &mut self,
        to: &[u8],
        subject: &[u8],
        reply: Option<&[u8]>,
        headers: &[u8],
        payload: &[u8],
    ) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.sent.push(Sent {
            to: text(to),
            subject: text(subject),
            reply: text(reply.unwrap_or(b"")),
            headers: text(headers),
            payload: text(payload),
        });
    }

    fn has_interest(&mut self, subject: &[u8]) -> bool {
        *self.asked.borrow_mut() += 1;
        !self.deaf.contains(std::str::from_utf8(subject).unwrap())
    }

    fn advisory(&mut self, advisory: Advisory<'_>) {
        self.advisories.push(match advisory {
            Advisory::Terminated { consumer_sequence, stream_sequence, deliveries, reason } => {
                let reason = String::from_utf8(reason.to_vec()).unwrap();
                format!("terminated {stream_sequence} {consumer_sequence} {deliveries} {reason}")
            }
            other => format!("{other:?}"),
        });
    }

    fn acknowledged(&mut self, sequence: u64) {
        self.acknowledged.push(sequence);
    }

    fn reply_when_durable(&mut self, to: &[u8]) {
        self.replies.push(String::from_utf8(to.to_vec()).unwrap());
    }
}

impl Out {
    /// What was sent since the last time.
    fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// The same as stream sequences for deliveries and texts for statuses.
    fn brief(&mut self) -> Vec<String> {
        self.take()
            .into_iter()
            .map(|sent| {
                if sent.status().is_empty() || !sent.reply.starts_with("$JS.ACK") {
                    if sent.reply.starts_with("$JS.ACK") {
                        return sent.numbers()[1].to_string();
                    }
                    return sent.status().replace("\r\n", " | ");
                }
                sent.numbers()[1].to_string()
            })
            .collect()
    }
}

/// A consumer with its stream and its sink.
struct Bench {
    list: List,
    out: Out,
    consumer: Consumer,
}

impl Bench {
    fn new(list: List, settings: ConsumerSettings) -> Self {
        let identity = Identity { stream: "S".into(), consumer: "c".into() };
        let consumer = Consumer::new(identity, settings, at(0), &list, 7);
        Self { list, out: Out::default(), consumer }
    }

    fn request(&mut self, now: u64, reply: &str, body: &str) {
        let Self { list, out, consumer } = self;
        consumer.handle_request(at(now), reply.as_bytes(), body.as_bytes(), list, out);
    }

    fn ack_as(&mut self, now: u64, delivery: (u64, u64), body: &str, reply: &str) {
        let subject = format!("$JS.ACK.S.c.1.{}.{}.0.0", delivery.0, delivery.1);
        let ack = AckSubject::parse(subject.as_bytes()).unwrap();
        let reply = (!reply.is_empty()).then_some(reply.as_bytes());
        let Self { list, out, consumer } = self;
        consumer.handle_ack(at(now), &ack, body.as_bytes(), reply, list, out);
    }

    /// An acknowledgement of a stream sequence that was delivered once.
    fn ack(&mut self, now: u64, sequence: u64, body: &str) {
        self.ack_as(now, (sequence, sequence), body, "");
    }

    fn poll(&mut self, now: u64) -> Progress {
        let Self { list, out, consumer } = self;
        let budget = Budget { messages: 1000, bytes: 1 << 20 };
        let progress = consumer.poll(at(now), list, out, budget);
        if !progress.has_more {
            consumer.check(at(now), list).unwrap();
        }
        progress
    }

    /// Polls, and what came out in short.
    fn polled(&mut self, now: u64) -> Vec<String> {
        self.poll(now);
        self.out.brief()
    }

    fn info(&mut self, now: u64) -> Info {
        let Self { list, out, consumer } = self;
        consumer.info(at(now), list, out)
    }

    fn restarted(&mut self, now: u64) -> Consumer {
        let mut bytes = Vec::new();
        self.consumer.snapshot(at(now), &mut bytes);
        let state = State::decode(&bytes).unwrap();
        let Self { list, consumer, .. } = self;
        let settings = consumer.settings().clone();
        Consumer::restore(consumer.identity().clone(), settings, state, at(now), list, 8)
    }
}

fn pull() -> ConsumerSettings {
    ConsumerSettings::pull()
}

fn pull_with(change: impl FnOnce(&mut PullSettings)) -> ConsumerSettings {
    let mut settings = PullSettings::default();
    change(&mut settings);
    ConsumerSettings { mode: Mode::Pull(settings), ..ConsumerSettings::pull() }
}

fn push_with(change: impl FnOnce(&mut PushSettings)) -> ConsumerSettings {
    let mut settings = PushSettings {
        deliver_subject: b"deliver".as_slice().into(),
        heartbeat_ns: None,
        flow_control: false,
        rate: None,
    };
    change(&mut settings);
    ConsumerSettings { mode: Mode::Push(settings), ..ConsumerSettings::pull() }
}

fn filters(filters: &[&str]) -> Filters {
    Filters::parse(filters).unwrap()
}
