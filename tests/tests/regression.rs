//! Faults that were found once, each as the story of how it came about.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use fulmar::{Options, Shared};
use fulmar_tests::world::cable::Cable;
use fulmar_tests::world::machine::{Arrival, Machine};
use fulmar_tests::world::shared;

/// One reactor and its clients, who do what a story says.
struct Story {
    shared: Arc<Shared>,
    machine: Machine,
    cables: Vec<Cable>,
    now: Instant,
    random: Rng,
}

impl Story {
    fn new(options: Options) -> Self {
        let now = Instant::now();
        let (shared, mut polls) = shared(options, 1);
        let poll = polls.pop().expect("one for each reactor");
        let machine = Machine::new(0, &shared, poll, 1, now);
        Self { shared, machine, cables: Vec::new(), now, random: Rng::with_seed(1) }
    }

    /// A client connects, on whose cable there is room for `room_max` bytes.
    fn connect(&mut self, room_max: usize) -> usize {
        let cable = self.cables.len();
        self.cables.push(Cable::new(room_max));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let refused = !self.shared.admit();
        let arrival = Arrival { cable, cid: cable as u64 + 1, address, refused };
        self.machine.accept(arrival);
        self.tick();
        cable
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.cables[client].send(bytes);
        while self.cables[client].sent_size() > 0 {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.machine.tick(self.now, &mut self.cables, &mut self.random);
    }

    fn pending_bytes(&self) -> usize {
        self.machine.reactor().holdings().pending_bytes
    }
}

#[test]
fn who_takes_the_place_of_a_slow_client_is_not_closed_in_its_stead() {
    let mut options = Options::local();
    options.limits.pending_bytes_max = 4_096;
    let mut story = Story::new(options);
    let quiet = br#"CONNECT {"verbose":false,"pedantic":false}"#;

    // A client does not read, and so much waits for it that a PING is too much.
    let slow = story.connect(1);
    story.send(slow, &[quiet, &b"\r\nSUB a 1\r\n"[..]].concat());
    let busy = story.connect(1_000_000);
    story.send(busy, &[quiet, &b"\r\n"[..]].concat());
    let size = 4_096 - 2 - story.pending_bytes() - "MSG a 1 1000\r\n\r\n".len();
    let publish = format!("PUB a {size}\r\n{}\r\n", "x".repeat(size));
    story.send(busy, publish.as_bytes());
    assert_eq!(story.pending_bytes(), 4_096 - 2);
    story.now += Duration::from_secs(5);
    story.tick();
    assert_eq!(story.pending_bytes(), 4_096 + 4, "the PING waits with the rest");

    // It leaves before anybody has looked at it, and another one comes in its place.
    story.cables[slow].reset();
    story.tick();
    let newcomer = story.connect(1_000_000);
    story.send(busy, b"PING\r\n");
    story.tick();
    assert!(story.cables[slow].has_ended());
    assert!(!story.cables[newcomer].has_ended());
    assert_eq!(story.machine.reactor().counters().slow_consumers, 0);
}
