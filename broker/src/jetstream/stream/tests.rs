//! Streams in memory, whose time is a number.

use std::sync::Arc;

use crossbeam::sync::Parker;
use fulmar_protocol::info::Info;
use fulmar_protocol::subject::Filter;
use fulmar_storage::{MemoryDisk, Options, Promise, Store};

use super::*;
use crate::jetstream::disk::AnyDisk;
use crate::jetstream::stream_config::{self, RetentionPolicy};
use crate::mesh::waker::PeerWaker;
use crate::shared::Shared;

const SECOND_NS: i64 = 1_000_000_000;
/// 2026-11-21T06:40:00Z
const START_NS: i64 = 1_795_243_200 * SECOND_NS;

/// A stream, whoever is there to hear of it, and the time.
struct World {
    disk: MemoryDisk,
    config: StreamConfig,
    stream: Stream,
    post: Post,
    unix_ns: i64,
    /// What is interesting to consumers.
    is_wanted: bool,
}

impl World {
    fn new(change: impl FnOnce(&mut StreamConfig)) -> Self {
        let mut config = StreamConfig {
            name: "S".to_owned(),
            subjects: vec!["s.>".to_owned()],
            max_msgs: -1,
            max_bytes: -1,
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            allow_rollup_hdrs: true,
            ..StreamConfig::default()
        };
        change(&mut config);
        let wakers = vec![PeerWaker::Thread(Parker::new().unparker().clone())];
        let options = crate::config::Options::default();
        let shared = Arc::new(Shared::new(options, Info::default(), wakers).unwrap());
        let post = Post::new(0, shared, 1);
        // What is answered and published again comes back, to be looked at.
        for filter in ["reply", "again.>"] {
            let (parsed, shared) = (Filter::parse(filter.as_bytes()).unwrap(), filter.as_bytes());
            let interest = &post.shared().accounts[0].interest;
            interest.add(parsed, &Arc::from(shared), None, post.subscriber(0));
        }
        let disk = MemoryDisk::new();
        let stream = open(&disk, &config, START_NS);
        Self { disk, config, stream, post, unix_ns: START_NS, is_wanted: true }
    }

    fn now(&self) -> Now {
        let since = u64::try_from(self.unix_ns - START_NS).unwrap();
        Now { unix_ns: self.unix_ns, monotonic_ns: since }
    }

    /// Publishes, and answers what the publisher hears until all of it may be shown.
    fn publish(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> String {
        self.send(subject, headers, payload);
        self.commit();
        self.heard().pop().map(|(_, text)| text).unwrap_or_default()
    }

    fn send(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) {
        let mut block = String::new();
        if !headers.is_empty() {
            let lines: String =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            block = format!("NATS/1.0\r\n{lines}\r\n");
        }
        let incoming = Incoming {
            subject: subject.as_bytes(),
            reply: Some(b"reply"),
            headers: block.as_bytes(),
            payload: payload.as_bytes(),
        };
        let is_wanted = self.is_wanted;
        self.stream.handle_publish(self.now(), &incoming, |_| is_wanted, &mut self.post);
    }

    /// Commits until there is nothing to commit, as a shard does.
    fn commit(&mut self) {
        self.stream.commit_here().unwrap();
        self.settle();
        while self.stream.needs_commit() {
            self.stream.commit_here().unwrap();
            self.settle();
        }
    }

    fn settle(&mut self) -> Visible {
        let is_wanted = self.is_wanted;
        self.stream.settle(self.now(), &|_| is_wanted, &mut self.post)
    }

    /// Time passes; each time the stream asked to be looked at, it is.
    fn pass(&mut self, seconds: i64) {
        let end = self.unix_ns + seconds * SECOND_NS;
        while let Some(at_ns) = self.stream.next_time().filter(|at_ns| *at_ns <= end) {
            self.unix_ns = self.unix_ns.max(at_ns);
            self.commit();
        }
        self.unix_ns = end;
    }

    /// The server stops, and is started again.
    fn reopen(&mut self) {
        let fresh = open(&MemoryDisk::new(), &self.config, self.unix_ns);
        std::mem::replace(&mut self.stream, fresh).close().unwrap();
        self.stream = open(&self.disk, &self.config, self.unix_ns);
        self.commit();
    }

    /// Subjects and bodies of what was sent.
    fn heard(&mut self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        std::iter::from_fn(|| self.post.take_loopback())
            .map(|message| (text(&message.subject), text(&message.body)))
            .collect()
    }

    /// Sequences and subjects of what is there.
    #[track_caller]
    fn check(&self, expected: &[(u64, &str)]) {
        let mut there = Vec::new();
        let mut next = self.stream.store.next_from(0);
        while let Some(sequence) = next {
            let subject = self.stream.store.subject_of(sequence).unwrap();
            there.push((sequence, std::str::from_utf8(subject).unwrap()));
            next = self.stream.store.next_from(sequence + 1);
        }
        assert_eq!(there, expected);
    }

    fn headers(&self, sequence: u64) -> String {
        let record = self.stream.record(sequence).expect("it is there");
        String::from_utf8_lossy(record.headers()).into_owned()
    }
}

fn open(disk: &MemoryDisk, config: &StreamConfig, unix_ns: i64) -> Stream {
    let promise = Promise::Written { unsynced_sequences_max: 1 << 32 };
    let options = Options { promise, ..Options::new(1) };
    let (store, _) = Store::open(AnyDisk::Memory(disk.clone()), options).unwrap();
    let config = config.clone();
    let mut stream = Stream::new("S", 0, config, START_NS, Durability::Memory, store, None);
    stream.recover_times(Now { unix_ns, monotonic_ns: 0 });
    stream
}

#[test]
fn a_commit_under_way_is_not_acknowledged_by_a_timer() {
    let mut world = World::new(|_| {});
    world.send("s.a", &[], "");
    let job = world.stream.take_commit(true).expect("something to commit");
    assert_eq!(world.settle().sequences, 1..1);
    assert_eq!(world.heard(), []);
    world.stream.handle_committed(job.run()).unwrap();
    assert_eq!(world.settle().sequences, 1..2);
    let answer = "{\"stream\":\"S\",\"seq\":1}".to_owned();
    assert_eq!(world.heard(), [("reply".to_owned(), answer)]);
}

#[test]
fn messages_end_when_they_say() {
    let mut world = World::new(|config| config.allow_msg_ttl = true);
    world.publish("s.a", &[("Nats-TTL", "5")], "");
    world.publish("s.b", &[("Nats-TTL", "2s")], "");
    world.publish("s.c", &[], "");
    assert_eq!(world.stream.next_time(), Some(START_NS + 2 * SECOND_NS));
    world.pass(1);
    world.check(&[(1, "s.a"), (2, "s.b"), (3, "s.c")]);
    world.pass(1);
    world.check(&[(1, "s.a"), (3, "s.c")]);
    world.reopen();
    assert_eq!(world.stream.next_time(), Some(START_NS + 5 * SECOND_NS));
    world.pass(3);
    world.check(&[(3, "s.c")]);
    assert_eq!(world.stream.next_time(), None);
}

#[test]
fn what_lives_forever_is_not_looked_at_again_for_its_age() {
    let mut world = World::new(|config| {
        config.allow_msg_ttl = true;
        config.max_age_ns = 10 * SECOND_NS;
    });
    world.publish("s.a", &[("Nats-TTL", "never")], "");
    world.publish("s.b", &[("Nats-TTL", "1h")], "");
    world.pass(5);
    world.publish("s.c", &[], "");
    world.pass(5);
    world.check(&[(1, "s.a"), (3, "s.c")]);
    assert_eq!(world.stream.next_time(), Some(START_NS + 15 * SECOND_NS));
    world.reopen();
    world.pass(5);
    world.check(&[(1, "s.a")]);
    assert_eq!(world.stream.next_time(), None);
    // A limit on how many there are is for all.
    world.config.max_msgs = 1;
    world.stream.update(world.config.clone());
    world.publish("s.d", &[], "");
    world.check(&[(4, "s.d")]);
}

#[test]
fn a_subject_is_never_without_its_last_message_or_a_marker() {
    let mut world = World::new(|config| {
        config.allow_msg_ttl = true;
        config.subject_delete_marker_ttl_ns = 60 * SECOND_NS;
        config.max_age_ns = 100 * SECOND_NS;
    });
    world.publish("s.a", &[], "1");
    world.publish("s.a", &[], "2");
    world.unix_ns += 100 * SECOND_NS;
    world.settle();
    // The marker is on its way.
    assert!(world.stream.record(2).is_some() && world.stream.record(3).is_none());
    world.check(&[(2, "s.a"), (3, "s.a")]);
    world.commit();
    world.check(&[(3, "s.a")]);
    world.pass(59);
    world.check(&[(3, "s.a")]);
    world.pass(1);
    world.check(&[]);
    assert_eq!(world.stream.store.last_sequence(), 3);
}

#[test]
fn nobody_wants_a_marker() {
    let mut world = World::new(|config| {
        config.allow_msg_ttl = true;
        config.subject_delete_marker_ttl_ns = SECOND_NS;
        config.retention = RetentionPolicy::Interest;
    });
    world.publish("s.a", &[("Nats-TTL", "5s")], "");
    world.is_wanted = false;
    world.pass(5);
    world.check(&[]);
}

#[test]
fn counters_see_what_may_not_be_shown_yet() {
    let mut world = World::new(|config| config.allow_msg_counter = true);
    for increment in ["1", "+2", "-5"] {
        world.send("s.a", &[("Nats-Incr", increment)], "");
    }
    world.commit();
    let answers: Vec<String> = world.heard().into_iter().map(|(_, answer)| answer).collect();
    let expected = [(1, "1"), (2, "3"), (3, "-2")].map(|(sequence, value)| {
        format!("{{\"stream\":\"S\",\"seq\":{sequence},\"val\":\"{value}\"}}")
    });
    assert_eq!(answers, expected);
    let origin = ("T", "t.a");
    let counted = world.stream.count_sourced(b"s.a", origin, b"", b"{\"val\":\"10\"}").unwrap();
    assert_eq!(
        String::from_utf8(counted.0).unwrap(),
        "NATS/1.0\r\nNats-Incr: 10\r\nNats-Counter-Sources: {\"T\":{\"t.a\":\"10\"}}\r\n\r\n"
    );
    assert_eq!(counted.1, b"{\"val\":\"8\"}");
}

#[test]
fn a_plan_that_repeats_goes_on_after_a_restart() {
    let mut world = World::new(|config| {
        config.allow_msg_ttl = true;
        config.allow_msg_schedules = true;
    });
    let headers = [("Nats-Schedule", "@every 10s"), ("Nats-Schedule-Target", "s.out")];
    world.publish("s.plan", &headers, "body");
    world.pass(9);
    world.check(&[(1, "s.plan")]);
    world.pass(1);
    world.check(&[(1, "s.plan"), (2, "s.out")]);
    assert_eq!(
        world.headers(2),
        "NATS/1.0\r\nNats-Scheduler: s.plan\r\nNats-Schedule-Next: 2026-11-21T06:40:20Z\r\n\r\n"
    );
    world.pass(5);
    world.reopen();
    assert_eq!(world.stream.next_time(), Some(START_NS + 20 * SECOND_NS));
    // What was missed while the server was away is published once.
    world.unix_ns = START_NS + 47 * SECOND_NS;
    world.reopen();
    world.check(&[(1, "s.plan"), (2, "s.out"), (3, "s.out")]);
    assert!(world.headers(3).contains("Nats-Schedule-Next: 2026-11-21T06:40:57Z"));
    // Whatever takes its place ends it.
    world.publish("s.plan", &[], "");
    world.pass(60);
    assert_eq!(world.stream.store.messages(), 4);
    assert_eq!(world.stream.next_time(), None);
}

#[test]
fn a_plan_fires_once_though_the_server_dies_before_it_is_deleted() {
    let mut world = World::new(|config| config.allow_msg_schedules = true);
    let headers =
        [("Nats-Schedule", "@at 2026-11-21T06:40:30Z"), ("Nats-Schedule-Target", "s.out")];
    world.publish("s.plan", &headers, "body");
    world.unix_ns += 30 * SECOND_NS;
    world.settle();
    world.check(&[(1, "s.plan"), (2, "s.out")]);
    // Everything that was accepted is written, and what follows from it is not done.
    world.reopen();
    world.check(&[(2, "s.out")]);
    world.pass(60);
    world.check(&[(2, "s.out")]);
}

#[test]
fn a_deleted_plan_does_not_fire() {
    let mut world = World::new(|config| config.allow_msg_schedules = true);
    let headers =
        [("Nats-Schedule", "@at 2026-11-21T06:40:30Z"), ("Nats-Schedule-Target", "s.out")];
    world.publish("s.plan", &headers, "");
    world.stream.delete(1, false).unwrap();
    world.pass(60);
    world.check(&[]);
    assert_eq!(world.stream.next_time(), None);
}

#[test]
fn what_limits_take_away_at_once_is_published_again_before() {
    let mut world = World::new(|config| {
        config.max_msgs_per_subject = 1;
        config.republish = Some(stream_config::Republish {
            source: ">".to_owned(),
            destination: "again.>".to_owned(),
            headers_only: false,
        });
    });
    for payload in ["1", "2", "3"] {
        world.send("s.a", &[], payload);
    }
    world.commit();
    world.check(&[(3, "s.a")]);
    let again: Vec<_> =
        world.heard().into_iter().filter(|(subject, _)| subject == "again.s.a").collect();
    assert_eq!(again.len(), 3);
    for (number, (_, body)) in (1_u64..).zip(&again) {
        let headers = format!("Nats-Last-Sequence: {}\r\n\r\n{number}", number - 1);
        assert!(body.ends_with(&headers), "{body}");
    }
}
