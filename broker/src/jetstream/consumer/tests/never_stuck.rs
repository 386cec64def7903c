//! Every setting and every kind of request at once. No model says what is delivered; what must
//! hold is that each request ends at most once and gets no more than it asked for, that nothing
//! is sent where nobody listens or during a pause, and that the consumer is never stuck: what
//! could be delivered is, and when time alone has to pass it says when.

use std::collections::HashMap;
use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Append(usize),
    Remove(usize),
    Request(String, i64, i64),
    Ack(usize, &'static str),
    AnswerFlowControl,
    Interest(bool),
    Deaf(usize),
    Pass(u64),
    Pause(u64),
    Unpin,
    Restart,
}

const SUBJECTS: [&str; 3] = ["a", "b.1", "b.2"];

fn request() -> impl Strategy<Value = Op> {
    let optional = |values: std::ops::Range<i64>| prop_oneof![2 => Just(0), 1 => values];
    let group =
        prop_oneof![5 => Just(r#","group":"A""#), 1 => Just(r#","group":"B""#), 1 => Just("")];
    (
        (-1..6_i64, optional(1..9000), optional(20..400), optional(1..4000), any::<bool>()),
        (group, optional(1..6), optional(1..4), 0..3_i64, 0..4_usize),
    )
        .prop_map(|(asked, priority)| {
            let (batch, expires_ms, bytes, heartbeat_ms, no_wait) = asked;
            let (group, min_pending, min_ack_pending, rank, pin) = priority;
            // The current pin is put in when the request is sent.
            let id = match pin {
                0 => r#","id":"PIN""#,
                1 => r#","id":"wrong""#,
                _ => "",
            };
            let text = format!(
                r#"{{"batch":{batch},"expires":{},"max_bytes":{bytes},"idle_heartbeat":{},
                    "no_wait":{no_wait},"min_pending":{min_pending},
                    "min_ack_pending":{min_ack_pending},"priority":{rank}{group}{id}}}"#,
                expires_ms * 1_000_000,
                heartbeat_ms * 1_000_000,
            );
            Op::Request(text, batch, bytes)
        })
}

fn operation() -> impl Strategy<Value = Op> {
    const BODIES: [&str; 8] =
        ["+ACK", "+ACK", "+ACK", "-NAK", "-NAK 3s", "+WPI", "+TERM", "+NXT 2"];
    prop_oneof![
        8 => (0..SUBJECTS.len()).prop_map(Op::Append),
        2 => (0..30_usize).prop_map(Op::Remove),
        8 => request(),
        10 => (0..20_usize, prop::sample::select(&BODIES[..])).prop_map(|(at, body)| Op::Ack(at, body)),
        3 => Just(Op::AnswerFlowControl),
        2 => any::<bool>().prop_map(Op::Interest),
        1 => (0..10_usize).prop_map(Op::Deaf),
        8 => (1..6_000_u64).prop_map(Op::Pass),
        1 => (0..8_000_u64).prop_map(Op::Pause),
        1 => Just(Op::Unpin),
        1 => Just(Op::Restart),
    ]
}

fn settings() -> impl Strategy<Value = ConsumerSettings> {
    let number = |value: u64| NonZeroU64::new(value);
    let pull = (0..4_usize, 1..5_usize).prop_map(|(priority, waiting_max)| {
        let priority = [
            PriorityPolicy::None,
            PriorityPolicy::Overflow,
            PriorityPolicy::Pinned { timeout_ns: 3 * S },
            PriorityPolicy::Prioritized,
        ][priority];
        Mode::Pull(PullSettings {
            waiting_max,
            priority,
            groups: vec!["A".into()],
            ..PullSettings::default()
        })
    });
    let push = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(move |choices| {
        let (heartbeat, flow_control, is_limited) = choices;
        let rate = RateSettings {
            bits_per_second: number(800).unwrap(),
            burst_bytes: number(100).unwrap(),
        };
        Mode::Push(PushSettings {
            deliver_subject: b"deliver".as_slice().into(),
            heartbeat_ns: number(if heartbeat { S } else { 0 }),
            flow_control,
            rate: is_limited.then_some(rate),
        })
    });
    (
        prop_oneof![3 => pull, 2 => push],
        (0..3_usize, 0..4_usize, 0..3_u32, any::<bool>()),
        prop::collection::vec(1..9_u64, 0..3),
        (0..3_usize, any::<bool>(), 0..20_u64),
    )
        .prop_map(
            move |(mode, (acknowledge, ack_pending, deliveries, headers), backoff, rest)| {
                let (deliver, original, inactive) = rest;
                ConsumerSettings {
                    acknowledge: [AckPolicy::Explicit, AckPolicy::All, AckPolicy::None]
                        [acknowledge],
                    deliver: [
                        DeliverPolicy::All,
                        DeliverPolicy::New,
                        DeliverPolicy::LastPerSubject,
                    ][deliver],
                    replay: if original { ReplayPolicy::Original } else { ReplayPolicy::Instant },
                    filters: filters([&[][..], &["b.*"], &["a", "b.2"]][deliver]),
                    ack_wait_ns: 4 * S,
                    backoff_ns: backoff.into_iter().map(|seconds| seconds * S).collect(),
                    ack_pending_max: NonZeroUsize::new(ack_pending),
                    deliveries_max: NonZeroU32::new(deliveries),
                    headers_only: headers,
                    sample_percent: 50,
                    inactive_threshold_ns: number(inactive * S),
                    mode,
                    ..ConsumerSettings::pull()
                }
            },
        )
}

/// What is known of a request.
struct Asked {
    batch: i64,
    bytes: i64,
    got: i64,
    got_bytes: i64,
    is_over: bool,
}

struct Run {
    bench: Bench,
    now: u64,
    asked: HashMap<String, Asked>,
    deliveries: Vec<Sent>,
    question: Option<String>,
    is_listening: bool,
    kept: State,
}

impl Run {
    fn apply(&mut self, op: &Op) {
        let now = self.now;
        match op {
            Op::Append(subject) => {
                let timestamp = at(now).unix_ns;
                self.bench.list.append_at(SUBJECTS[*subject], timestamp);
            }
            Op::Remove(index) => {
                let sequence = self.bench.list.stored.keys().nth(*index).copied();
                let Bench { list, out, consumer } = &mut self.bench;
                if let Some(sequence) = sequence {
                    list.remove(now, sequence, consumer, out);
                }
            }
            Op::Request(body, batch, bytes) => {
                let pin = self.bench.info(now).group.and_then(|group| group.pin);
                let body = body.replace("PIN", pin.as_ref().map_or("", |pin| pin.0.as_str()));
                let reply = self.ask(*batch, *bytes);
                self.bench.request(now, &reply, &body);
            }
            Op::Ack(index, body) => {
                let Some(sent) = self.deliveries.iter().rev().nth(*index).cloned() else { return };
                let reply = self.ask(2, 0);
                let ack = AckSubject::parse(sent.reply.as_bytes()).unwrap();
                let Bench { list, out, consumer } = &mut self.bench;
                consumer.handle_ack(
                    at(now),
                    &ack,
                    body.as_bytes(),
                    Some(reply.as_bytes()),
                    list,
                    out,
                );
            }
            Op::AnswerFlowControl => {
                if let Some(question) = self.question.take() {
                    let Bench { out, consumer, .. } = &mut self.bench;
                    consumer.handle_flow_control_reply(at(now), question.as_bytes(), b"", out);
                }
            }
            Op::Interest(is_there) => {
                self.is_listening = *is_there;
                self.bench.consumer.handle_interest(at(now), *is_there);
            }
            Op::Deaf(index) => {
                self.bench.out.deaf.insert(format!("r{index}"));
            }
            Op::Pass(milliseconds) => self.now += milliseconds * MS,
            Op::Pause(milliseconds) => {
                let settings = ConsumerSettings {
                    paused_until_unix_ns: Some(at(now + milliseconds * MS).unix_ns),
                    ..self.bench.consumer.settings().clone()
                };
                let Bench { list, out, consumer } = &mut self.bench;
                consumer.update(settings, at(now), list, out);
            }
            Op::Unpin => {
                let Bench { out, consumer, .. } = &mut self.bench;
                consumer.unpin("A", out);
            }
            Op::Restart => {
                let state = self.kept.clone();
                let Bench { list, consumer, .. } = &self.bench;
                let (identity, settings) =
                    (consumer.identity().clone(), consumer.settings().clone());
                let again = Consumer::restore(identity, settings, state, at(now), list, 3);
                self.bench.consumer = again;
                self.bench.consumer.handle_interest(at(now), self.is_listening);
                self.question = None;
                self.asked.clear();
            }
        }
    }

    fn ask(&mut self, batch: i64, bytes: i64) -> String {
        let reply = format!("r{}", self.asked.len());
        let asked = Asked { batch, bytes, got: 0, got_bytes: 0, is_over: false };
        self.asked.insert(reply.clone(), asked);
        reply
    }

    fn settle(&mut self) {
        let now = self.now;
        let is_paused = self.bench.info(now).pause_left_ns.is_some();
        // What was sent outside polls are statuses.
        self.look(is_paused);
        for round in 0.. {
            assert!(round < 1000, "it always has more");
            let Bench { list, out, consumer } = &mut self.bench;
            let progress = consumer.poll(at(now), list, out, Budget { messages: 3, bytes: 100 });
            self.look(is_paused);
            if !progress.has_more {
                break;
            }
        }
        let Bench { list, consumer, .. } = &mut self.bench;
        if let Err(fault) = consumer.check(at(now), list) {
            panic!("{fault}: {}", consumer.why(at(now)));
        }
        if let Some(next) = consumer.next_timeout(at(now)) {
            let is_to_be_deleted = consumer.activity.look_at <= now;
            assert!(next > now || is_to_be_deleted, "it would be polled for ever");
        }
        assert!(!consumer.why(at(now)).is_empty());
        let mut change = Vec::new();
        if consumer.take_change(at(now), &mut change) {
            self.kept.apply(&change).unwrap();
        }
    }

    fn look(&mut self, is_paused: bool) {
        for sent in self.bench.out.take() {
            if sent.reply.starts_with("$JS.ACK") {
                assert!(!is_paused);
                if let Some(asked) = self.asked.get_mut(&sent.to) {
                    assert!(!asked.is_over, "{} is over", sent.to);
                    asked.got += 1;
                    assert!(asked.got <= asked.batch.max(1));
                    let headers = match sent.headers.find("Nats-Pin-Id") {
                        Some(_) if sent.headers.starts_with("NATS/1.0\r\nNats-Pin-Id") => 0,
                        Some(place) => place + 2,
                        None => sent.headers.len(),
                    };
                    let size = sent.subject.len() + sent.reply.len() + headers + sent.payload.len();
                    asked.got_bytes += i64::try_from(size).unwrap();
                    assert!(asked.bytes == 0 || asked.got_bytes <= asked.bytes);
                    asked.is_over = asked.got >= asked.batch && asked.bytes == 0;
                } else {
                    assert!(sent.to == "deliver" && self.is_listening);
                }
                assert!(!self.bench.out.deaf.contains(&sent.to));
                self.deliveries.push(sent);
            } else if sent.reply.starts_with("$JS.FC") {
                assert!(self.is_listening);
                self.question = Some(sent.reply);
            } else if !sent.status().starts_with("100") {
                let asked = self.asked.get_mut(&sent.to).unwrap();
                assert!(!asked.is_over, "{} ended twice: {}", sent.to, sent.status());
                asked.is_over = true;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn it_is_never_stuck(
        settings in settings(),
        before in 0..10_usize,
        ops in prop::collection::vec(operation(), 1..100),
    ) {
        let mut list = List::default();
        for number in 0..before {
            let ago = (10 - number as u64) * S;
            list.append_at(SUBJECTS[number % 3], at(0).unix_ns - ago.cast_signed());
        }
        let mut bench = Bench::new(list, settings);
        let mut snapshot = Vec::new();
        bench.consumer.take_change(at(0), &mut snapshot);
        let kept = State::decode(&snapshot).unwrap();
        let mut run = Run {
            bench,
            now: 0,
            asked: HashMap::new(),
            deliveries: Vec::new(),
            question: None,
            is_listening: false,
            kept,
        };
        for op in &ops {
            run.apply(op);
            run.settle();
        }
    }
}
