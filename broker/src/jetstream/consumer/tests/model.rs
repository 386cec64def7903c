//! The consumer against a model of it that is as naive as can be: plain lists, everything looked
//! at each time. Whatever happens in whatever order, both deliver the same, and all numbers are
//! those of a recount.

use proptest::prelude::*;

use super::*;

const SUBJECTS: [&str; 5] = ["a.1", "a.2", "b.1", "b.2", "c"];
const FILTERS: [&[&str]; 5] = [&[], &["a.*"], &["b.1"], &["a.1", "b.>"], &["c", "a.2", "b.2"]];
const CLIENTS: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
enum Op {
    Append {
        subject: usize,
        is_told: bool,
    },
    Remove(usize),
    /// Everything before one of the messages.
    PurgeTo(usize),
    PurgeSubject(usize),
    Request {
        client: usize,
        batch: i64,
        expires_s: u64,
    },
    Acknowledge(Pick, Body),
    Pass {
        milliseconds: u64,
    },
    Restart {
        from_changes: bool,
    },
    Filter(usize),
    DeliveriesMax(u32),
    Reset(usize),
    Vanish(usize),
    Damage(usize),
}

/// Which delivery: counted from the last one, or from the oldest that waits.
#[derive(Clone, Copy, Debug)]
enum Pick {
    Recent(usize),
    Waiting(usize),
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Ack,
    Nak,
    NakAfter { seconds: u64 },
    Progress,
    Term,
}

fn operation() -> impl Strategy<Value = Op> {
    let pick = prop_oneof![
        2 => (0..12_usize).prop_map(Pick::Recent),
        3 => (0..6_usize).prop_map(Pick::Waiting),
    ];
    let body = prop_oneof![
        6 => Just(Body::Ack),
        2 => Just(Body::Nak),
        2 => (0..40_u64).prop_map(|seconds| Body::NakAfter { seconds }),
        1 => Just(Body::Progress),
        1 => Just(Body::Term),
    ];
    prop_oneof![
        12 => (0..SUBJECTS.len(), any::<bool>())
            .prop_map(|(subject, is_told)| Op::Append { subject, is_told }),
        4 => (0..40_usize).prop_map(Op::Remove),
        1 => (0..40_usize).prop_map(Op::PurgeTo),
        1 => (0..SUBJECTS.len()).prop_map(Op::PurgeSubject),
        6 => (0..CLIENTS.len(), 1..6_i64, prop_oneof![Just(0), 1..60_u64])
            .prop_map(|(client, batch, expires_s)| Op::Request { client, batch, expires_s }),
        14 => (pick, body).prop_map(|(pick, body)| Op::Acknowledge(pick, body)),
        6 => (0..40_000_u64).prop_map(|milliseconds| Op::Pass { milliseconds }),
        1 => any::<bool>().prop_map(|from_changes| Op::Restart { from_changes }),
        1 => (0..FILTERS.len()).prop_map(Op::Filter),
        1 => (0..4_u32).prop_map(Op::DeliveriesMax),
        1 => (0..40_usize).prop_map(Op::Reset),
        1 => (0..CLIENTS.len()).prop_map(Op::Vanish),
        1 => (0..40_usize).prop_map(Op::Damage),
    ]
}

#[derive(Clone, Debug)]
struct Case {
    deliver: usize,
    acknowledge: AckPolicy,
    filter: usize,
    ack_pending_max: usize,
    deliveries_max: u32,
    backoff_s: Vec<u64>,
    before: Vec<usize>,
    budget: usize,
    ops: Vec<Op>,
}

fn case() -> impl Strategy<Value = Case> {
    let acknowledge = prop_oneof![
        5 => Just(AckPolicy::Explicit),
        2 => Just(AckPolicy::All),
        1 => Just(AckPolicy::None),
    ];
    (
        (0..6_usize, acknowledge, 0..FILTERS.len(), 0..8_usize, 0..4_u32),
        prop::collection::vec(1..40_u64, 0..4),
        prop::collection::vec(0..SUBJECTS.len(), 0..12),
        1..6_usize,
        prop::collection::vec(operation(), 1..120),
    )
        .prop_map(|(settings, backoff_s, before, budget, ops)| {
            let (deliver, acknowledge, filter, ack_pending_max, deliveries_max) = settings;
            Case {
                deliver,
                acknowledge,
                filter,
                ack_pending_max,
                deliveries_max,
                backoff_s,
                before,
                budget,
                ops,
            }
        })
}

impl Case {
    fn settings(&self) -> ConsumerSettings {
        ConsumerSettings {
            deliver: match self.deliver {
                0 => DeliverPolicy::All,
                1 => DeliverPolicy::Last,
                2 => DeliverPolicy::New,
                3 => DeliverPolicy::StartSequence(4),
                4 => DeliverPolicy::StartTime(3_500),
                _ => DeliverPolicy::LastPerSubject,
            },
            acknowledge: self.acknowledge,
            filters: filters(FILTERS[self.filter]),
            ack_pending_max: NonZeroUsize::new(self.ack_pending_max),
            deliveries_max: NonZeroU32::new(self.deliveries_max),
            backoff_ns: self.backoff_s.iter().map(|seconds| seconds * S).collect(),
            ..pull()
        }
    }
}

/// A message that was delivered and waits.
#[derive(Clone, Debug)]
struct Waiting {
    stream: u64,
    first_consumer: u64,
    deliveries: u32,
    due: u64,
}

/// The model.
struct Model {
    settings: ConsumerSettings,
    /// What goes first, with "last per subject".
    listed: Vec<u64>,
    listed_up_to: u64,
    next: u64,
    waiting: Vec<Waiting>,
    again: Vec<u64>,
    exceeded: BTreeSet<u64>,
    /// Who waits, for how many, until when.
    requests: Vec<(&'static str, i64, u64)>,
    deliveries: u64,
    /// Every delivery: stream and consumer sequence.
    history: Vec<(u64, u64)>,
}

impl Model {
    fn new(settings: ConsumerSettings, list: &List) -> Self {
        let matching: Vec<u64> = list.matching(&settings.filters).collect();
        let mut listed = Vec::new();
        let next = match settings.deliver {
            DeliverPolicy::All => 1,
            DeliverPolicy::Last => matching.last().copied().unwrap_or(1),
            DeliverPolicy::New => list.last + 1,
            DeliverPolicy::StartSequence(sequence) => sequence,
            DeliverPolicy::StartTime(time) => list.sequence_at_time(time),
            DeliverPolicy::LastPerSubject => {
                for sequence in &matching {
                    let subject = &list.stored[sequence].subject;
                    let is_last = matching
                        .iter()
                        .all(|other| other <= sequence || &list.stored[other].subject != subject);
                    if is_last {
                        listed.push(*sequence);
                    }
                }
                list.last + 1
            }
        };
        Self {
            settings,
            listed,
            listed_up_to: list.last,
            next,
            waiting: Vec::new(),
            again: Vec::new(),
            exceeded: BTreeSet::new(),
            requests: Vec::new(),
            deliveries: 0,
            history: Vec::new(),
        }
    }

    fn wait(&self, deliveries: u32) -> u64 {
        let backoff = &self.settings.backoff_ns;
        match backoff.len() {
            0 => self.settings.ack_wait_ns,
            length => backoff[(deliveries as usize - 1).min(length - 1)],
        }
    }

    /// Everything still to be delivered for the first time, in order.
    fn ahead(&self, list: &List) -> Vec<u64> {
        let filters = &self.settings.filters;
        let matches = |sequence: &&u64| {
            list.stored
                .get(sequence)
                .is_some_and(|stored| filters.matches(stored.subject.as_bytes()))
        };
        let listed = self.listed.iter().filter(matches).copied();
        listed.chain(list.matching(filters).filter(|sequence| *sequence >= self.next)).collect()
    }

    fn remove(&mut self, stream: u64) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.stream == stream)?;
        self.again.retain(|other| *other != stream);
        Some(self.waiting.remove(index))
    }

    fn refuse(&mut self, stream: u64) {
        let max = self.settings.deliveries_max.map_or(u32::MAX, NonZeroU32::get);
        let Some(waiting) = self.waiting.iter().find(|waiting| waiting.stream == stream) else {
            return;
        };
        if self.again.contains(&stream) && waiting.deliveries < max {
            return;
        }
        if waiting.deliveries >= max {
            self.remove(stream);
            self.exceeded.insert(stream);
        } else {
            self.again.push(stream);
        }
    }

    fn acknowledge(&mut self, now: u64, (stream, consumer): (u64, u64), body: Body) {
        let floor = self.floor();
        match (self.settings.acknowledge, body) {
            (AckPolicy::None, _) => {}
            (_, Body::Nak | Body::NakAfter { .. }) if consumer <= floor => {}
            (_, Body::Nak) => self.refuse(stream),
            (_, Body::NakAfter { seconds }) => {
                if let Some(waiting) = self.remove(stream) {
                    self.put_back(Waiting { due: now + seconds * S, ..waiting });
                }
            }
            (_, Body::Progress) => {
                if let Some(waiting) = self.remove(stream) {
                    let due = now + self.wait(waiting.deliveries);
                    self.put_back(Waiting { due, ..waiting });
                }
            }
            (AckPolicy::All, Body::Ack | Body::Term) => {
                let up_to: Vec<u64> = self
                    .waiting
                    .iter()
                    .map(|waiting| waiting.stream)
                    .filter(|other| *other <= stream)
                    .collect();
                for other in up_to {
                    self.remove(other);
                }
                self.exceeded.retain(|other| *other > stream);
            }
            (_, Body::Ack | Body::Term) => {
                self.remove(stream);
                self.exceeded.remove(&stream);
            }
        }
    }

    fn put_back(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
        self.waiting.sort_by_key(|waiting| waiting.stream);
    }

    fn floor(&self) -> u64 {
        self.waiting.first().map_or(self.deliveries, |waiting| waiting.first_consumer - 1)
    }

    /// What a poll delivers: to whom, and the numbers of the reply subject.
    fn poll(&mut self, now: u64, list: &List) -> Vec<(String, [u64; 4])> {
        let mut due: Vec<u64> = self
            .waiting
            .iter()
            .filter(|waiting| waiting.due <= now && !self.again.contains(&waiting.stream))
            .map(|waiting| waiting.stream)
            .collect();
        due.sort_unstable();
        for stream in due {
            self.refuse(stream);
        }
        self.requests.retain(|(_, _, until)| *until > now);
        let mut delivered = Vec::new();
        while !self.requests.is_empty() {
            let again = self.again.first().copied();
            let max = self.settings.deliveries_max.map_or(u32::MAX, NonZeroU32::get);
            let full =
                self.settings.ack_pending_max.is_some_and(|max| self.waiting.len() >= max.get());
            let (stream, deliveries) = if let Some(stream) = again {
                self.again.remove(0);
                let index = self.waiting.iter().position(|other| other.stream == stream).unwrap();
                if self.waiting[index].deliveries >= max {
                    self.waiting.remove(index);
                    self.exceeded.insert(stream);
                    continue;
                }
                if list.damaged.contains(&stream) {
                    self.waiting.remove(index);
                    continue;
                }
                let deliveries = self.waiting[index].deliveries + 1;
                self.waiting[index].deliveries = deliveries;
                self.waiting[index].due = now + self.wait(deliveries);
                (stream, deliveries)
            } else {
                if full && self.settings.acknowledge != AckPolicy::None {
                    break;
                }
                let Some(stream) = self.ahead(list).first().copied() else { break };
                if self.listed.is_empty() {
                    self.next = stream + 1;
                } else {
                    self.listed.retain(|other| *other > stream);
                    self.next = self.next.max(self.listed_up_to + 1).max(stream + 1);
                }
                if list.damaged.contains(&stream) {
                    continue;
                }
                if self.settings.acknowledge != AckPolicy::None {
                    let due = now + self.wait(1);
                    let first_consumer = self.deliveries + 1;
                    self.put_back(Waiting { stream, first_consumer, deliveries: 1, due });
                }
                (stream, 1)
            };
            self.deliveries += 1;
            self.history.push((stream, self.deliveries));
            let pending = self.ahead(list).len() as u64;
            let (client, left, until) = self.requests.remove(0);
            if left > 1 {
                self.requests.push((client, left - 1, until));
            }
            let numbers = [u64::from(deliveries), stream, self.deliveries, pending];
            delivered.push((client.to_owned(), numbers));
        }
        delivered
    }

    fn forget_missing(&mut self, list: &List) {
        let missing: Vec<u64> = self
            .waiting
            .iter()
            .map(|waiting| waiting.stream)
            .chain(self.exceeded.iter().copied())
            .filter(|stream| !list.stored.contains_key(stream))
            .collect();
        for stream in missing {
            self.remove(stream);
            self.exceeded.remove(&stream);
        }
    }
}

/// Both, with what they are driven by.
struct Pair {
    bench: Bench,
    model: Model,
    now: u64,
    budget: usize,
    kept: Option<State>,
}

impl Pair {
    fn new(case: &Case) -> Self {
        let subjects: Vec<&str> = case.before.iter().map(|subject| SUBJECTS[*subject]).collect();
        let list = List::of(&subjects);
        let settings = case.settings();
        let model = Model::new(settings.clone(), &list);
        let bench = Bench::new(list, settings);
        Self { bench, model, now: 0, budget: case.budget, kept: None }
    }

    /// The message that is at this place of all that are there.
    fn message(&self, index: usize) -> Option<u64> {
        let count = self.bench.list.stored.len();
        (count > 0).then(|| *self.bench.list.stored.keys().nth(index % count).unwrap())
    }

    fn pick(&self, pick: Pick) -> Option<(u64, u64)> {
        let history = &self.model.history;
        match pick {
            Pick::Recent(index) => history.iter().rev().nth(index).copied(),
            Pick::Waiting(index) => {
                let stream = self.model.waiting.get(index)?.stream;
                history.iter().rev().find(|delivery| delivery.0 == stream).copied()
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now;
        let Self { bench, model, .. } = self;
        match op {
            Op::Append { subject, is_told } => {
                let sequence = bench.list.append(SUBJECTS[*subject]);
                if *is_told {
                    bench.consumer.handle_appended(sequence, SUBJECTS[*subject].as_bytes());
                }
            }
            Op::Remove(index) => {
                if let Some(sequence) = self.message(*index) {
                    let Bench { list, out, consumer } = &mut self.bench;
                    list.remove(now, sequence, consumer, out);
                    self.model.remove(sequence);
                    self.model.exceeded.remove(&sequence);
                }
            }
            Op::PurgeTo(index) => {
                if let Some(sequence) = self.message(*index) {
                    self.bench.list.stored.retain(|other, _| *other >= sequence);
                    self.bench.consumer.handle_purged(at(now), &self.bench.list);
                    self.model.forget_missing(&self.bench.list);
                }
            }
            Op::PurgeSubject(subject) => {
                bench.list.stored.retain(|_, stored| stored.subject != SUBJECTS[*subject]);
                bench.consumer.handle_purged(at(now), &bench.list);
                model.forget_missing(&bench.list);
            }
            Op::Request { client, batch, expires_s } => {
                let expires = expires_s * S;
                bench.request(
                    now,
                    CLIENTS[*client],
                    &format!(r#"{{"batch":{batch},"expires":{expires}}}"#),
                );
                let until = if expires == 0 { u64::MAX } else { now + expires };
                model.requests.push((CLIENTS[*client], *batch, until));
            }
            Op::Acknowledge(pick, body) => {
                let Some(delivery) = self.pick(*pick) else { return };
                let text = match body {
                    Body::Ack => "+ACK".to_owned(),
                    Body::Nak => "-NAK".to_owned(),
                    Body::NakAfter { seconds } => format!("-NAK {seconds}s"),
                    Body::Progress => "+WPI".to_owned(),
                    Body::Term => "+TERM enough".to_owned(),
                };
                self.bench.ack_as(now, delivery, &text, "back");
                self.model.acknowledge(now, delivery, *body);
            }
            Op::Pass { milliseconds } => self.now += milliseconds * MS,
            Op::Restart { from_changes } => {
                if *from_changes {
                    self.keep();
                } else {
                    let mut bytes = Vec::new();
                    self.bench.consumer.snapshot(at(now), &mut bytes);
                    self.kept = Some(State::decode(&bytes).unwrap());
                }
                let state = self.kept.clone().unwrap();
                let consumer = &self.bench.consumer;
                let settings = consumer.settings().clone();
                let identity = consumer.identity().clone();
                let list = &self.bench.list;
                let again = Consumer::restore(identity, settings, state, at(now), list, 8);
                self.bench.consumer = again;
                self.model.requests.clear();
                for stream in self.model.again.drain(..) {
                    for waiting in &mut self.model.waiting {
                        if waiting.stream == stream {
                            waiting.due = now;
                        }
                    }
                }
            }
            Op::Filter(filter) => {
                // A selection was made by the filters of its time; what nats-server makes of
                // other filters in the middle of it is not worth a model.
                if model.listed.is_empty() {
                    let settings = ConsumerSettings {
                        filters: filters(FILTERS[*filter]),
                        ..model.settings.clone()
                    };
                    self.update(settings);
                }
            }
            Op::DeliveriesMax(max) => {
                let settings = ConsumerSettings {
                    deliveries_max: NonZeroU32::new(*max),
                    ..model.settings.clone()
                };
                self.update(settings);
            }
            Op::Reset(index) => {
                if model.settings.deliver == DeliverPolicy::All
                    && let Some(sequence) = self.message(*index)
                {
                    let Self { bench, model, .. } = self;
                    bench.consumer.reset(sequence, &bench.list).unwrap();
                    model.next = sequence;
                    model.waiting.clear();
                    model.again.clear();
                    model.exceeded.clear();
                    model.history.clear();
                    model.deliveries = 0;
                }
            }
            Op::Vanish(client) => {
                let client = CLIENTS[*client];
                model.requests.retain(|(other, _, _)| *other != client);
                bench.out.deaf.insert(client.to_owned());
                bench.info(now);
                bench.out.deaf.clear();
            }
            Op::Damage(index) => {
                if let Some(sequence) = self.message(*index) {
                    self.bench.list.damaged.insert(sequence);
                }
            }
        }
    }

    fn update(&mut self, settings: ConsumerSettings) {
        let Bench { list, out, consumer } = &mut self.bench;
        consumer.update(settings.clone(), at(self.now), list, out);
        self.model.settings = settings;
    }

    /// Takes the next change, as its owner would before it restarts.
    fn keep(&mut self) {
        let mut bytes = Vec::new();
        if !self.bench.consumer.take_change(at(self.now), &mut bytes) {
            return;
        }
        match &mut self.kept {
            Some(state) => state.apply(&bytes).unwrap(),
            None => self.kept = Some(State::decode(&bytes).unwrap()),
        }
    }

    fn compare(&mut self) {
        let expected = self.model.poll(self.now, &self.bench.list);
        let mut got = Vec::new();
        loop {
            let Bench { list, out, consumer } = &mut self.bench;
            let budget = Budget { messages: self.budget, bytes: 1 << 20 };
            let progress = consumer.poll(at(self.now), list, out, budget);
            assert!(progress.messages <= self.budget);
            got.extend(
                out.take()
                    .into_iter()
                    .filter(|sent| sent.reply.starts_with("$JS.ACK"))
                    .map(|sent| (sent.to.clone(), sent.numbers())),
            );
            if !progress.has_more {
                break;
            }
        }
        assert_eq!(got, expected);
        let Bench { list, consumer, .. } = &self.bench;
        consumer.check(at(self.now), list).unwrap();
        let info = self.bench.info(self.now);
        let model = &self.model;
        assert_eq!(info.pending, model.ahead(&self.bench.list).len() as u64);
        assert_eq!(info.ack_pending, model.waiting.len() as u64);
        assert_eq!(info.waiting, model.requests.len() as u64);
        assert_eq!(info.delivered.consumer, model.deliveries);
        assert_eq!(info.ack_floor.consumer, model.floor());
        if model.settings.deliveries_max != NonZeroU32::new(1) {
            let again = model.waiting.iter().filter(|waiting| waiting.deliveries > 1).count();
            assert_eq!(info.redelivered, (again + model.exceeded.len()) as u64);
        }
        // It wakes up for everything that time will do.
        let next = self.bench.consumer.next_timeout(at(self.now)).unwrap_or(u64::MAX);
        for waiting in &self.model.waiting {
            assert!(self.model.again.contains(&waiting.stream) || next <= waiting.due);
        }
        for (_, _, until) in &self.model.requests {
            assert!(next <= *until);
        }
    }
}

fn run(case: &Case) {
    let mut pair = Pair::new(case);
    pair.keep();
    pair.compare();
    for op in &case.ops {
        pair.apply(op);
        pair.compare();
        if case.ops.len().is_multiple_of(2) {
            pair.keep();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(case in case()) {
        run(&case);
    }
}
