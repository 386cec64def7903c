//! A world from one seed: reactors, their mail and their clients, without sockets, threads or a
//! clock.
//!
//! Chance decides what clients send, how their bytes are cut, how much each read and each write
//! takes, which reactor makes the next step, and how time passes. What comes of it is compared
//! with a [`model`] that knows only what clients sent and heard. The same seed makes the same
//! world, byte by byte: what it finds can be looked at again.
//!
//! ```text
//! client ── cable ── machine(reactor) ── inbox ── machine(reactor) ── cable ── client
//!    └──────────────────────── model ───────────────────────────────────────────┘
//! ```
//!
//! It refuses to know threads: that two of them hand over mail rightly is loom's to show.

pub mod cable;
mod client;
pub mod machine;
pub mod model;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use fulmar::mesh::waker::PeerWaker;
use fulmar::reactor::outgoing::POOL_BYTES_MAX;
use fulmar::reactor::{CloseReason, ConnectionReport, Holdings, Mail, SubscriptionReport};
use fulmar::stats::Counters;
use fulmar::{Options, Shared};
use fulmar_protocol::NATS_VERSION;
use fulmar_protocol::info::Info;

use self::cable::Cable;
use self::client::{Character, Client, Reading};
use self::machine::{Arrival, Machine};
use self::model::{Model, Tick, Totals, Violation};

/// Ticks in which a world must come to rest once its clients only listen.
const REST_TICKS_MAX: usize = 20_000;
/// Bytes on the way to a client that are not soon reached.
const ROOM_AMPLE: usize = 200_000;

/// What a world came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// A digest of all bytes, with their clients, in their order.
    pub digest: u64,
    /// What the clients did.
    pub totals: Totals,
    /// Clients that were closed because they took too little or too slowly.
    pub slow: usize,
    /// Clients that were closed because they left PINGs unanswered.
    pub stale: usize,
    /// Times a publisher was paused.
    pub stalls: u64,
}

/// Something was wrong in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it can be seen again.
    pub seed: u64,
    /// What.
    pub violation: Violation,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "in the world of seed {}: {}", self.seed, self.violation)
    }
}

/// Makes the world of `seed` and lets it run to its end.
///
/// # Errors
///
/// The reactors did something that the model does not allow.
pub fn run(seed: u64) -> Result<Outcome, Failure> {
    World::new(seed, false).run().map_err(|violation| Failure { seed, violation })
}

/// The same, and every event is told on standard error.
///
/// # Errors
///
/// As [`run`].
pub fn tell(seed: u64) -> Result<Outcome, Failure> {
    World::new(seed, true).run().map_err(|violation| Failure { seed, violation })
}

/// What reactors share, and the poll of each.
///
/// # Panics
///
/// The system has no more file descriptors.
pub fn shared(options: Options, reactor_count: usize) -> (Arc<Shared>, Vec<mio::Poll>) {
    let polls: Vec<_> =
        (0..reactor_count).map(|_| mio::Poll::new().expect("a file descriptor")).collect();
    let wakers =
        polls.iter().map(|poll| PeerWaker::of_poll(poll).expect("a file descriptor")).collect();
    let info = Info {
        server_id: "N".repeat(56),
        server_name: "world".to_owned(),
        version: NATS_VERSION.to_owned(),
        proto: 1,
        host: options.host.clone(),
        headers: !options.no_header_support,
        max_payload: options.limits.payload_bytes_max,
        ..Info::default()
    };
    let shared = Shared::new(options, info, wakers).expect("no hashes, so no threads");
    (Arc::new(shared), polls)
}

/// What kind of world it is.
#[derive(Clone, Debug)]
struct Plan {
    reactor_count: usize,
    client_count: usize,
    step_count: usize,
    /// Little may wait for a client.
    is_tight: bool,
    /// Time passes only as fast as everybody who wants to can keep up with.
    is_patient: bool,
    is_heavy: bool,
    options: Options,
}

impl Plan {
    fn new(random: &mut Rng) -> Self {
        let mut options = Options::local();
        let is_tight = random.u8(..4) == 0;
        if is_tight {
            options.limits.pending_bytes_max = random.usize(20_000..=300_000);
        }
        let client_count = random.usize(2..=9);
        if random.u8(..8) == 0 {
            options.limits.connections_max = client_count - 1;
        }
        let is_heavy = random.u8(..6) == 0;
        // With it, much of what is heavy would be dropped, as it should be.
        options.no_fast_producer_stall = !is_heavy && random.u8(..8) == 0;
        options.timers.ping_interval = Duration::from_millis(random.u64(500..=5_000));
        options.timers.write_deadline = Duration::from_millis(random.u64(200..=4_000));
        Self {
            reactor_count: random.usize(1..=4),
            client_count,
            step_count: random.usize(200..=1_200),
            is_tight,
            is_patient: random.u8(..4) != 0,
            is_heavy,
            options,
        }
    }
}

struct World {
    random: Rng,
    plan: Plan,
    shared: Arc<Shared>,
    machines: Vec<Machine>,
    clients: Vec<Client>,
    cables: Vec<Cable>,
    model: Model,
    tick: Tick,
    now: Instant,
    digest: DefaultHasher,
    /// Clients of which it is known that the server let them go.
    let_go: Vec<bool>,
    held_up: Option<HeldUp>,
    slow: usize,
    stale: usize,
    is_told: bool,
}

/// A machine that makes no steps.
#[derive(Clone, Copy)]
struct HeldUp {
    machine: usize,
    steps_left: usize,
}

impl World {
    fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Rng::with_seed(seed);
        let plan = Plan::new(&mut random);
        let (shared, polls) = shared(plan.options.clone(), plan.reactor_count);
        let now = Instant::now();
        let machines = (0u8..)
            .zip(polls)
            .map(|(number, poll)| Machine::new(number, &shared, poll, random.u64(..), now))
            .collect();
        Self {
            random,
            plan,
            shared,
            machines,
            clients: Vec::new(),
            cables: Vec::new(),
            model: Model::default(),
            tick: 0,
            now,
            digest: DefaultHasher::new(),
            let_go: Vec::new(),
            held_up: None,
            slow: 0,
            stale: 0,
            is_told,
        }
    }

    fn run(mut self) -> Result<Outcome, Violation> {
        for _ in 0..self.plan.step_count {
            self.step()?;
        }
        self.come_to_rest()?;
        for client in &mut self.clients {
            if client.is_talking() && !self.let_go[client.number] {
                client.ping(&mut self.cables[client.number]);
            }
        }
        self.come_to_rest()?;
        let totals = self.model.check()?;
        self.check_counts()?;
        let stalls = self.machines.iter().map(|machine| machine.reactor().counters().stalls).sum();
        self.end()?;
        self.check_nothing_is_left()?;
        let (slow, stale) = (self.slow, self.stale);
        Ok(Outcome { digest: self.digest.finish(), totals, slow, stale, stalls })
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.hold_a_machine_up();
        match self.random.u8(..100) {
            0..=1 => self.connect(),
            2 if self.random.u8(..3) == 0 => self.disconnect(),
            3..=24 => self.act(),
            25..=49 => {
                let client = self.any_client();
                self.receive(client)?;
            }
            50..=52 => self.pass_time()?,
            _ => {
                let machine = self.random.usize(..self.machines.len());
                if self.held_up.is_some_and(|held_up| held_up.machine == machine) {
                    return Ok(());
                }
                for _ in 0..self.random.usize(1..=6) {
                    self.step_machine(machine);
                }
            }
        }
        Ok(())
    }

    /// Now and then a thread does not run for a while, wherever in its tick it is.
    fn hold_a_machine_up(&mut self) {
        match &mut self.held_up {
            Some(HeldUp { steps_left: 0, .. }) => self.held_up = None,
            Some(held_up) => held_up.steps_left -= 1,
            None if self.random.u8(..50) == 0 => {
                let machine = self.random.usize(..self.machines.len());
                self.held_up = Some(HeldUp { machine, steps_left: self.random.usize(10..=100) });
            }
            None => {}
        }
    }

    fn connect(&mut self) {
        let here = self.clients.iter().filter(|client| client.is_talking()).count();
        if here >= self.plan.client_count {
            return;
        }
        let random = &mut self.random;
        let is_person = random.u8(..6) == 0;
        let headers = !is_person && random.u8(..4) != 0;
        let character = Character {
            verbose: is_person || random.u8(..4) == 0,
            pedantic: is_person || random.u8(..4) == 0,
            echo: is_person || random.u8(..4) != 0,
            headers,
            no_responders: headers && random.bool(),
            asynchronous_info: !is_person && random.bool(),
            is_person,
            answers_pings: random.u8(..8) != 0,
            responds: random.u8(..3) == 0,
            is_heavy: self.plan.is_heavy && random.bool(),
        };
        let number = self.model.connect();
        let cid = number as u64 + 1;
        let refused = !self.shared.admit();
        let room = if random.bool() { random.usize(300..=5_000) } else { ROOM_AMPLE };
        self.clients.push(Client::new(number, character, refused));
        self.cables.push(Cable::new(room));
        self.let_go.push(false);
        if refused {
            self.model.gone(number, self.tick);
        }
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let machine = number % self.machines.len();
        self.machines[machine].accept(Arrival { cable: number, cid, address, refused });
    }

    fn disconnect(&mut self) {
        let number = self.any_client();
        let Some(client) = self.clients.get_mut(number) else { return };
        if client.is_talking() && !self.let_go[number] {
            client.left = true;
            self.model.gone(number, self.tick);
            if self.is_told {
                eprintln!("{:6} client {number} leaves", self.tick);
            }
            if self.random.bool() {
                self.cables[number].close();
            } else {
                self.cables[number].reset();
            }
        }
    }

    fn act(&mut self) {
        self.tick += 1;
        let number = self.any_client();
        let Some(client) = self.clients.get_mut(number) else { return };
        let cable = &mut self.cables[number];
        // A client whose bytes are not read does not go on for ever.
        if client.is_talking() && !self.let_go[number] && cable.sent_size() < 1_000_000 {
            let bytes = client.act(&mut self.model, cable, self.tick, &mut self.random);
            self.note(|| format!("client {number} sends {}", shown(&bytes)));
            (number, bytes).hash(&mut self.digest);
        }
    }

    fn receive(&mut self, number: usize) -> Result<(), Violation> {
        self.tick += 1;
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        let most = match client.reading {
            Reading::Promptly => usize::MAX,
            Reading::Slowly => self.random.usize(1..=300),
            Reading::NotAtAll => return Ok(()),
        };
        if client.left {
            return Ok(());
        }
        let cable = &mut self.cables[number];
        let bytes = client.receive(&mut self.model, cable, self.tick, most)?;
        if !bytes.is_empty() {
            self.note(|| format!("client {number} receives {}", shown(&bytes)));
        }
        (number, bytes).hash(&mut self.digest);
        Ok(())
    }

    fn pass_time(&mut self) -> Result<(), Violation> {
        if self.held_up.is_some() {
            return Ok(());
        }
        let longest = if self.plan.is_patient {
            // Everybody who reads and answers is through with it before it goes on.
            for _ in 0..2 {
                self.tick_machines();
                for number in 0..self.clients.len() {
                    self.receive(number)?;
                }
            }
            self.plan.options.timers.ping_interval / 4
        } else {
            Duration::from_secs(20)
        };
        let scale = [1_000, 100, 10, 1][self.random.usize(..4)];
        let longest = u64::try_from((longest / scale).as_micros()).unwrap_or(u64::MAX).max(1);
        let passed = Duration::from_micros(self.random.u64(1..=longest));
        self.now += passed;
        self.note(|| format!("{passed:?} pass"));
        Ok(())
    }

    fn step_machine(&mut self, number: usize) {
        self.tick += 1;
        self.note(|| format!("reactor {number}: {}", self.machines[number].next_step()));
        self.machines[number].step(self.now, &mut self.cables, &mut self.random);
        self.notice_who_was_let_go();
    }

    fn tick_machines(&mut self) {
        self.note(|| "all reactors make a tick".to_owned());
        for machine in &mut self.machines {
            self.tick += 1;
            machine.tick(self.now, &mut self.cables, &mut self.random);
        }
        self.notice_who_was_let_go();
    }

    fn notice_who_was_let_go(&mut self) {
        for (number, cable) in self.cables.iter().enumerate() {
            if cable.has_ended() && !self.let_go[number] {
                self.let_go[number] = true;
                self.model.gone(number, self.tick);
                if self.is_told {
                    eprintln!("{:6} client {number} is let go", self.tick);
                }
            }
        }
    }

    fn note(&self, event: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{:6} {}", self.tick, event());
        }
    }

    fn any_client(&mut self) -> usize {
        if self.clients.is_empty() { 0 } else { self.random.usize(..self.clients.len()) }
    }

    /// Everybody listens, until nothing is under way any more.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        for client in &mut self.clients {
            client.reading = Reading::Promptly;
            self.cables[client.number].widen();
        }
        for _ in 0..REST_TICKS_MAX {
            self.tick_machines();
            for number in 0..self.clients.len() {
                self.receive(number)?;
            }
            if self.machines.iter().all(|machine| machine.is_idle(&self.cables)) {
                return self.check_rest();
            }
            self.now += Duration::from_millis(1);
        }
        Err("the reactors do not come to rest".to_owned())
    }

    fn check_rest(&self) -> Result<(), Violation> {
        for client in &self.clients {
            let number = client.number;
            if self.let_go[number] {
                continue;
            }
            if client.is_talking() {
                client.check_is_content()?;
                if self.machine_of(number).is_waiting_for(number) {
                    return Err(format!("something waits for client {number}, who listens"));
                }
            } else if !client.left {
                return Err(format!("client {number} was not let go for what it did"));
            }
        }
        Ok(())
    }

    fn machine_of(&self, client: usize) -> &Machine {
        &self.machines[client % self.machines.len()]
    }

    /// What the reactors tell is what the clients saw, and what they count is the sum of it.
    fn check_counts(&mut self) -> Result<(), Violation> {
        for number in 0..self.machines.len() {
            let connections = self.machines[number].connections();
            let subscriptions = self.machines[number].subscriptions();
            let mut sum =
                Counters { connections_total: connections.len() as u64, ..Counters::default() };
            for report in &connections {
                self.check_connection(report)?;
                sum.in_messages += report.traffic.in_messages;
                sum.in_bytes += report.traffic.in_bytes;
                sum.out_messages += report.traffic.out_messages;
                sum.out_bytes += report.traffic.out_bytes;
                sum.stalls += report.stalls;
                match report.end.map(|end| end.reason) {
                    None => {
                        sum.connections += 1;
                        sum.subscriptions += report.subscription_count as u64;
                    }
                    Some(
                        CloseReason::SlowConsumerPendingBytes
                        | CloseReason::SlowConsumerWriteDeadline,
                    ) => sum.slow_consumers += 1,
                    Some(CloseReason::StaleConnection) => sum.stale_connections += 1,
                    Some(_) => {}
                }
            }
            for report in &subscriptions {
                self.check_subscription(report)?;
            }
            self.slow += usize::try_from(sum.slow_consumers).unwrap_or(usize::MAX);
            self.stale += usize::try_from(sum.stale_connections).unwrap_or(usize::MAX);
            // What is only counted once is taken over. Messages are dropped only for those who
            // are closed for the same reason a moment later.
            let drops = self.plan.options.no_fast_producer_stall && sum.slow_consumers > 0;
            let told = *self.machines[number].reactor().counters();
            let sum = Counters {
                in_messages: sum.in_messages,
                in_bytes: sum.in_bytes,
                out_messages: sum.out_messages,
                out_bytes: sum.out_bytes,
                connections: sum.connections,
                connections_total: sum.connections_total,
                subscriptions: sum.subscriptions,
                slow_consumers: sum.slow_consumers,
                stale_connections: sum.stale_connections,
                stalls: sum.stalls,
                dropped_messages: if drops { told.dropped_messages } else { 0 },
                authentication_failures: 0,
                ..told
            };
            if told != sum || subscriptions.len() as u64 != sum.subscriptions {
                return Err(format!("reactor {number} counts {told:?}, and it is {sum:?}"));
            }
        }
        Ok(())
    }

    fn check_connection(&self, report: &ConnectionReport) -> Result<(), Violation> {
        let number = usize::try_from(report.cid - 1).unwrap_or(usize::MAX);
        let (client, cable) = (&self.clients[number], &self.cables[number]);
        let timers = &self.plan.options.timers;
        let Some(end) = report.end else {
            let told = (report.traffic, report.subscription_count);
            let counts = self.model.counts(number);
            if told != counts {
                return Err(format!("client {number}: {told:?} is told, and it is {counts:?}"));
            }
            return Ok(());
        };
        let is_expected = match end.reason {
            CloseReason::ClientClosed => client.left,
            CloseReason::SlowConsumerPendingBytes => self.plan.is_tight || self.plan.is_heavy,
            CloseReason::SlowConsumerWriteDeadline => {
                cable.silence_before_end().is_some_and(|silence| silence >= timers.write_deadline)
            }
            CloseReason::StaleConnection => {
                client.check_staleness(cable, timers.ping_max)?;
                let keeps_up = cable.room_max() >= ROOM_AMPLE && !self.plan.is_heavy;
                let answers = client.character.answers_pings && !client.was_slow;
                !(self.plan.is_patient && keeps_up && answers)
            }
            reason => {
                client.check_last_words(cable)?;
                client.offended.is_some_and(|offence| offence.reason == reason)
            }
        };
        if is_expected {
            Ok(())
        } else {
            Err(format!("client {number} was let go: {:?}", end.reason))
        }
    }

    fn check_subscription(&self, report: &SubscriptionReport) -> Result<(), Violation> {
        let client = usize::try_from(report.cid - 1).unwrap_or(usize::MAX);
        let sid = String::from_utf8_lossy(&report.sid);
        let received = self.model.received_by(client, &sid);
        if received == Some(report.delivered) {
            return Ok(());
        }
        Err(format!(
            "subscription {sid} of client {client}: {} are told, and it had {received:?}",
            report.delivered
        ))
    }

    /// Everybody leaves, or the server does.
    fn end(&mut self) -> Result<(), Violation> {
        match self.random.u8(..3) {
            0 => {
                for client in &mut self.clients {
                    if !client.left {
                        client.left = true;
                        self.cables[client.number].close();
                    }
                }
            }
            1 => {
                let grace = Duration::from_millis(self.random.u64(0..=50));
                let over = Duration::from_millis(self.random.u64(0..=500));
                for peer in &self.shared.peers {
                    peer.inbox.push(Mail::LameDuck { grace, over });
                }
                self.come_to_rest()?;
                self.now += grace + over + Duration::from_millis(1);
            }
            _ => self.machines.iter_mut().for_each(Machine::stop),
        }
        self.come_to_rest()?;
        match self.let_go.iter().position(|let_go| !let_go) {
            None => Ok(()),
            Some(client) => Err(format!("client {client} is still there at the end")),
        }
    }

    fn check_nothing_is_left(&mut self) -> Result<(), Violation> {
        // The last timers of those who left run out.
        self.now += 2 * self.plan.options.timers.ping_interval + Duration::from_secs(10);
        self.come_to_rest()?;
        check_nothing_is_left(&self.shared, &self.machines)
    }
}

/// Looks whether everything was given back that clients took, after the last one has gone and its
/// timers have run out.
///
/// # Errors
///
/// Something is left.
pub fn check_nothing_is_left(shared: &Shared, machines: &[Machine]) -> Result<(), Violation> {
    for (machine, peer) in machines.iter().zip(&shared.peers) {
        let holdings = machine.reactor().holdings();
        let bounded = holdings.pooled_bytes.min(POOL_BYTES_MAX);
        if holdings != (Holdings { pooled_bytes: bounded, ..Holdings::default() }) {
            return Err(format!("at the end there is {holdings:?}"));
        }
        let bytes = peer.inbox_bytes.load(Ordering::Relaxed);
        if bytes != 0 {
            return Err(format!("at the end {bytes} bytes are counted in an empty inbox"));
        }
    }
    let count = shared.connection_count.load(Ordering::Relaxed);
    if count != 0 {
        return Err(format!("at the end {count} connections are counted"));
    }
    let interest = &shared.accounts[0].interest;
    let (inserts, removes) = interest.changes();
    if !interest.is_empty() || inserts != removes {
        return Err(format!("at the end there is interest: {inserts} came, {removes} went"));
    }
    Ok(())
}

/// The beginning of what was sent, to be read.
fn shown(bytes: &[u8]) -> String {
    let more = if bytes.len() > 400 { "..." } else { "" };
    format!("{:?}{more}", String::from_utf8_lossy(&bytes[..bytes.len().min(400)]))
}
