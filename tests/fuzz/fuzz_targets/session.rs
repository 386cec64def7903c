//! Whole sessions: a few clients send operations and bytes of any kind to reactors with small
//! limits, read or do not read, come and go, while time passes.
//!
//! Whatever they do, the reactors write only what a client can read, hold only as much as their
//! limits say, and hold nothing when everybody has gone. Who gets which message is for the
//! simulation to check (`fulmar_tests::world`), which drives the same machines.

#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use fastrand::Rng;
use fulmar::config::{Authentication, Secret};
use fulmar::reactor::Mail;
use fulmar::{Options, Shared};
use fulmar_protocol::encode;
use fulmar_protocol::server_op::{self, ServerOp, Step};
use fulmar_tests::world::cable::Cable;
use fulmar_tests::world::machine::{Arrival, Machine};
use fulmar_tests::world::{check_nothing_is_left, shared};
use libfuzzer_sys::fuzz_target;

/// Events of one input.
const EVENT_COUNT_MAX: usize = 400;
/// Bytes that one event sends at the most.
const SENT_BYTES_MAX: usize = 64 * 1024;
/// Rounds after which everybody who listens has everything.
const ROUND_COUNT_MAX: usize = 1_000;

#[derive(Arbitrary, Debug)]
struct Input {
    reactor_count: u8,
    limits: SmallLimits,
    seed: u64,
    events: Vec<Event>,
}

#[derive(Arbitrary, Debug)]
struct SmallLimits {
    connections: u8,
    subscriptions: Option<u8>,
    tokens: Option<u8>,
    control_line: u8,
    payload: u16,
    pending: u16,
    token: bool,
    no_headers: bool,
    drops: bool,
}

#[derive(Arbitrary, Debug)]
enum Event {
    Connect { room: u16 },
    Bytes { client: u8, bytes: Vec<u8> },
    Operations { client: u8, operations: Vec<Operation> },
    Repeat { client: u8, count: u16, operation: Operation },
    Receive { client: u8, most: u16 },
    Step { machine: u8, count: u8 },
    Tick { machine: u8 },
    Time { milliseconds: u16 },
    Close { client: u8 },
    Reset { client: u8 },
    LameDuck { grace: u8, over: u8 },
}

#[derive(Arbitrary, Clone, Debug)]
enum Operation {
    Connect {
        flags: u8,
        protocol: u8,
        token: Token,
    },
    Publish {
        subject: Subject,
        reply: Option<Subject>,
        size: u16,
    },
    PublishWithHeaders {
        subject: Subject,
        reply: Option<Subject>,
        headers: u8,
        size: u16,
    },
    Subscribe {
        subject: Subject,
        queue: Option<u8>,
        sid: Sid,
    },
    Unsubscribe {
        sid: Sid,
        max: Option<u8>,
    },
    Ping,
    Pong,
    Info,
    /// A claim about a body that does not follow.
    Claim {
        size: u32,
    },
    Line {
        bytes: Vec<u8>,
    },
}

#[derive(Arbitrary, Clone, Debug)]
enum Token {
    None,
    Right,
    Wrong,
}

#[derive(Arbitrary, Clone, Debug)]
enum Subject {
    Usual { tokens: [u8; 3], count: u8 },
    Odd(u8),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Clone, Debug)]
enum Sid {
    Number(u8),
    Long(u8),
}

const ODD: [&str; 14] = [
    "_R_.a",
    "_GR_.a",
    "$NRG.a",
    "$JS.ACK.a",
    "$SYS.a",
    "_INBOX.a",
    "a..b",
    ".",
    "a.",
    "a.>.b",
    "a*.b>",
    "\u{fffd}",
    "a.b.c.d.e.f.g.h.i.j",
    "token-that-is-longer-than-a-control-line-may-be-in-some-of-these-worlds",
];
const TOKENS: [&str; 6] = ["a", "b", "c", "*", ">", "another-token"];
const QUEUES: [&str; 3] = ["red", "blue", "_sys_"];
const TOKEN: &str = "right";

struct World {
    shared: Arc<Shared>,
    machines: Vec<Machine>,
    cables: Vec<Cable>,
    /// What came to a client and is no whole operation yet.
    incoming: Vec<Vec<u8>>,
    now: Instant,
    random: Rng,
    options: Options,
}

fuzz_target!(|input: Input| {
    let mut world = World::new(&input);
    for event in input.events.iter().take(EVENT_COUNT_MAX) {
        world.handle(event);
    }
    world.end();
});

impl World {
    fn new(input: &Input) -> Self {
        let mut options = Options::local();
        let limits = &input.limits;
        options.limits.connections_max = usize::from(limits.connections % 8);
        options.limits.subscriptions_max = limits.subscriptions.map(|max| usize::from(max) + 1);
        options.limits.subscription_tokens_max = limits.tokens.map(|max| usize::from(max % 4) + 1);
        options.limits.control_line_bytes_max = usize::from(limits.control_line) + 32;
        options.limits.payload_bytes_max = usize::from(limits.payload);
        options.limits.pending_bytes_max = usize::from(limits.pending) + 2_048;
        options.no_header_support = limits.no_headers;
        options.no_fast_producer_stall = limits.drops;
        if limits.token {
            options.authentication = Authentication::Token(Secret::new(TOKEN));
        }
        let (shared, polls) = shared(options.clone(), usize::from(input.reactor_count % 3) + 1);
        let now = Instant::now();
        let machines = (0u8..)
            .zip(polls)
            .map(|(number, poll)| Machine::new(number, &shared, poll, input.seed, now))
            .collect();
        Self {
            shared,
            machines,
            cables: Vec::new(),
            incoming: Vec::new(),
            now,
            random: Rng::with_seed(input.seed),
            options,
        }
    }

    fn handle(&mut self, event: &Event) {
        match event {
            Event::Connect { room } => self.connect(usize::from(*room) + 1),
            Event::Bytes { client, bytes } => self.send(*client, bytes),
            Event::Operations { client, operations } => {
                let mut out = Vec::new();
                for operation in operations {
                    write(&mut out, operation);
                    if out.len() > SENT_BYTES_MAX {
                        break;
                    }
                }
                self.send(*client, &out);
            }
            Event::Repeat { client, count, operation } => {
                let mut one = Vec::new();
                write(&mut one, operation);
                let count = usize::from(*count).min(SENT_BYTES_MAX / one.len().max(1));
                self.send(*client, &one.repeat(count));
            }
            Event::Receive { client, most } => {
                if let Some(client) = self.client(*client) {
                    self.receive(client, usize::from(*most) + 1);
                }
            }
            Event::Step { machine, count } => {
                let machine = usize::from(*machine) % self.machines.len();
                for _ in 0..*count {
                    self.machines[machine].step(self.now, &mut self.cables, &mut self.random);
                }
                self.check(machine);
            }
            Event::Tick { machine } => self.tick(usize::from(*machine) % self.machines.len()),
            Event::Time { milliseconds } => {
                self.now += Duration::from_millis(u64::from(*milliseconds));
            }
            Event::Close { client } => {
                if let Some(client) = self.client(*client) {
                    self.cables[client].close();
                }
            }
            Event::Reset { client } => {
                if let Some(client) = self.client(*client) {
                    self.cables[client].reset();
                }
            }
            Event::LameDuck { grace, over } => {
                let millis = |number: u8| Duration::from_millis(u64::from(number));
                for peer in &self.shared.peers {
                    let (grace, over) = (millis(*grace), millis(*over));
                    peer.inbox.push(Mail::LameDuck { grace, over });
                }
            }
        }
    }

    fn connect(&mut self, room: usize) {
        if self.cables.len() >= 32 {
            return;
        }
        let cable = self.cables.len();
        self.cables.push(Cable::new(room));
        self.incoming.push(Vec::new());
        let refused = !self.shared.admit();
        let machine = cable % self.machines.len();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        self.machines[machine].accept(Arrival { cable, cid: cable as u64 + 1, address, refused });
    }

    fn client(&self, number: u8) -> Option<usize> {
        (!self.cables.is_empty()).then(|| usize::from(number) % self.cables.len())
    }

    fn send(&mut self, client: u8, bytes: &[u8]) {
        if let Some(client) = self.client(client)
            && self.cables[client].sent_size() < 2 * SENT_BYTES_MAX
        {
            self.cables[client].send(bytes);
        }
    }

    fn receive(&mut self, client: usize, most: usize) {
        let bytes = self.cables[client].receive(most);
        let mut incoming = std::mem::take(&mut self.incoming[client]);
        incoming.extend_from_slice(&bytes);
        let mut rest = &incoming[..];
        while !rest.is_empty() {
            match server_op::parse(rest) {
                Ok(Step::Op { op, consumed }) => {
                    if let ServerOp::Message(message) = op {
                        let size = message.headers.len() + message.payload.len();
                        // An answer that nobody listens is the server's own.
                        let own = message.headers.starts_with(b"NATS/1.0 503\r\n");
                        assert!(own || size <= self.options.limits.payload_bytes_max);
                    }
                    rest = &rest[consumed..];
                }
                Ok(Step::Incomplete { .. }) => break,
                Err(error) => {
                    // A cable that was cut is no stream any more.
                    panic!("client {client} cannot read {:?}: {error}", rest.escape_ascii())
                }
            }
        }
        self.incoming[client] = rest.to_vec();
    }

    fn tick(&mut self, machine: usize) {
        self.machines[machine].tick(self.now, &mut self.cables, &mut self.random);
        self.check(machine);
    }

    /// What a reactor holds is bounded by the limits and the number of its connections.
    fn check(&self, machine: usize) {
        let holdings = self.machines[machine].reactor().holdings();
        let limits = &self.options.limits;
        let count = holdings.connections;
        // A line of the largest size, its body, and what the allocator rounds up.
        let partial_max = 2 * (limits.control_line_bytes_max + limits.payload_bytes_max + 64);
        assert!(holdings.partial_bytes <= count * partial_max, "{holdings:?}");
        // INFO and a last answer are written above the limit, then the connection is closed.
        let pending_max = limits.pending_bytes_max + 1_024;
        assert!(holdings.pending_bytes <= count * pending_max, "{holdings:?}");
        if let Some(max) = limits.subscriptions_max {
            assert!(holdings.subscriptions <= count * max, "{holdings:?}");
        }
    }

    /// Everybody listens, then everybody goes.
    fn end(&mut self) {
        for cable in &mut self.cables {
            cable.widen();
        }
        self.rest();
        for cable in &mut self.cables {
            cable.close();
        }
        self.rest();
        assert!(self.cables.iter().all(Cable::has_ended), "somebody is still there");
        // The timers of those who are gone run out.
        self.now += Duration::from_secs(3600);
        self.rest();
        if let Err(violation) = check_nothing_is_left(&self.shared, &self.machines) {
            panic!("{violation}");
        }
    }

    fn rest(&mut self) {
        for _ in 0..ROUND_COUNT_MAX {
            for machine in 0..self.machines.len() {
                self.tick(machine);
            }
            for client in 0..self.cables.len() {
                self.receive(client, usize::MAX);
            }
            if self.machines.iter().all(|machine| machine.is_idle(&self.cables)) {
                return;
            }
            self.now += Duration::from_millis(5);
        }
        panic!("the reactors do not come to rest");
    }
}

fn write(out: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Connect { flags, protocol, token } => {
            let flag = |bit: u8| flags & 1 << bit != 0;
            let token = match token {
                Token::None => String::new(),
                Token::Right => format!(r#","auth_token":"{TOKEN}""#),
                Token::Wrong => r#","auth_token":"wrong""#.to_owned(),
            };
            let json = format!(
                concat!(
                    r#"CONNECT {{"verbose":{},"pedantic":{},"echo":{},"headers":{},"#,
                    r#""no_responders":{},"protocol":{}{}}}"#,
                    "\r\n"
                ),
                flag(0),
                flag(1),
                flag(2),
                flag(3),
                flag(4),
                protocol % 3,
                token
            );
            out.extend_from_slice(json.as_bytes());
        }
        Operation::Publish { subject, reply, size } => {
            let reply = reply.as_ref().map(text);
            encode::publish(out, &text(subject), reply.as_deref(), &vec![b'x'; usize::from(*size)]);
        }
        Operation::PublishWithHeaders { subject, reply, headers, size } => {
            let reply = reply.as_ref().map(text);
            let block = format!("NATS/1.0\r\nA: {}\r\n\r\n", "b".repeat(usize::from(*headers)));
            let payload = vec![b'y'; usize::from(*size)];
            encode::publish_with_headers(
                out,
                &text(subject),
                reply.as_deref(),
                block.as_bytes(),
                &payload,
            );
        }
        Operation::Subscribe { subject, queue, sid } => {
            let queue = queue.map(|queue| QUEUES[usize::from(queue) % QUEUES.len()].as_bytes());
            encode::subscribe(out, &text(subject), queue, name(sid).as_bytes());
        }
        Operation::Unsubscribe { sid, max } => {
            encode::unsubscribe(out, name(sid).as_bytes(), max.map(u64::from));
        }
        Operation::Ping => out.extend_from_slice(b"PING\r\n"),
        Operation::Pong => out.extend_from_slice(b"PONG\r\n"),
        Operation::Info => out.extend_from_slice(b"INFO {}\r\n"),
        Operation::Claim { size } => {
            out.extend_from_slice(format!("PUB a {size}\r\n").as_bytes());
        }
        Operation::Line { bytes } => {
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn text(subject: &Subject) -> Vec<u8> {
    match subject {
        Subject::Usual { tokens, count } => {
            let count = usize::from(*count % 3) + 1;
            let tokens = tokens.map(|token| TOKENS[usize::from(token) % TOKENS.len()]);
            tokens[..count].join(".").into_bytes()
        }
        Subject::Odd(number) => ODD[usize::from(*number) % ODD.len()].as_bytes().to_vec(),
        Subject::Any(bytes) => bytes.clone(),
    }
}

fn name(sid: &Sid) -> String {
    match sid {
        Sid::Number(number) => number.to_string(),
        Sid::Long(number) => format!("subscription-with-a-long-name-{number}"),
    }
}
