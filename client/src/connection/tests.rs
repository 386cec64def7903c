//! The state machine with numbers for time and letters for subscribers and callers.

use proptest::prelude::*;

use super::*;

const INTERVAL_MS: u64 = 1_000;

/// Somebody who waits: a letter, small while it does and large when it has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller(char);

impl Waiter for Caller {
    fn is_gone(&self) -> bool {
        self.0.is_uppercase()
    }
}

type Machine = Connection<char, Caller, Caller>;

fn down() -> Machine {
    Connection::new(INTERVAL_MS)
}

fn up() -> Machine {
    let mut machine = down();
    machine.handle_link_up(0);
    machine
}

fn control(machine: &mut Machine) -> String {
    let mut out = Vec::new();
    machine.take_control(&mut out);
    String::from_utf8(out).unwrap()
}

/// Feeds `input` as the driver does and shows what happened, one word each.
fn feed(machine: &mut Machine, input: &[u8]) -> String {
    let whole = [machine.rest().0, input].concat();
    machine.handle_input(Bytes::from(whole));
    happened(machine)
}

fn happened(machine: &mut Machine) -> String {
    let mut words = Vec::new();
    loop {
        words.push(match machine.poll_event() {
            Err(broken) => format!("{broken:?}"),
            Ok(None) => return words.join(" "),
            Ok(Some(Event::Ignored)) => continue,
            Ok(Some(Event::Message { sid, subscriber, message })) => {
                let payload = String::from_utf8_lossy(&message.payload);
                format!("{subscriber}{sid}:{}={payload}", message.subject)
            }
            Ok(Some(Event::Reply { waiter, message })) => {
                format!("{}:{}", waiter.0, String::from_utf8_lossy(&message.payload))
            }
            Ok(Some(Event::Notice(notice))) => match notice {
                Notice::Ended { subscriber, .. } => format!("{subscriber}-ended"),
                Notice::Expired(waiter) => format!("{}-expired", waiter.0),
                Notice::Flushed(waiter) => format!("{}-flushed", waiter.0),
                Notice::FlushFailed(waiter) => format!("{}-failed", waiter.0),
                Notice::Info(info) => format!("info:{}", info.max_payload),
                Notice::ServerError(error) => format!("error:{error}"),
                Notice::Drained => "drained".to_owned(),
            },
        });
        if words.last().is_some_and(|word| word.starts_with("Protocol")) {
            return words.join(" ");
        }
    }
}

fn subscribe(machine: &mut Machine, sid: u64, subject: &'static str, subscriber: char) {
    machine.subscribe(sid, Bytes::from_static(subject.as_bytes()), None, subscriber);
}

#[test]
fn messages_go_to_their_subscriptions() {
    let mut machine = up();
    subscribe(&mut machine, 1, "a", 'x');
    subscribe(&mut machine, 2, "b.*", 'y');
    let input = b"MSG a 1 2\r\nhi\r\nMSG b.c 2 r 0\r\n\r\nMSG z 9 1\r\n?\r\nPING\r\n+OK\r\n";
    assert_eq!(feed(&mut machine, input), "x1:a=hi y2:b.c=");
    assert_eq!(control(&mut machine), "PONG\r\n");
    assert_eq!(machine.take_counts(), Counts { messages: 3, message_bytes: 3 });
}

#[test]
fn the_parts_of_a_message() {
    let mut machine = up();
    subscribe(&mut machine, 1, "a", 'x');
    machine.handle_input(Bytes::from_static(
        b"HMSG a 1 back 24 28\r\nNATS/1.0 404 No\r\nK:v\r\n\r\nbody\r\n",
    ));
    let Ok(Some(Event::Message { message, .. })) = machine.poll_event() else { panic!() };
    assert_eq!(message.reply.as_deref(), Some("back"));
    assert_eq!(message.status, Some(crate::StatusCode::NOT_FOUND));
    assert_eq!(message.description.as_deref(), Some("No"));
    assert_eq!(message.headers.unwrap().get("K"), Some("v"));
    assert_eq!((&message.payload[..], message.length), (&b"body"[..], 1 + 4 + 28));
}

#[test]
fn what_is_neither_known_nor_whole_breaks_it() {
    assert!(feed(&mut up(), b"XYZ\r\n").starts_with("Protocol"));
    assert!(feed(&mut up(), b"MSG a x 0\r\n\r\n").starts_with("Protocol"));
    assert!(feed(&mut up(), b"INFO {\r\n").starts_with("Protocol"));
    assert_eq!(feed(&mut up(), b"PONG\r\n"), "");
}

#[test]
fn what_the_server_says_is_passed_on() {
    let input = b"INFO {\"max_payload\":7}\r\n-ERR 'Stale Connection'\r\n";
    assert_eq!(feed(&mut up(), input), "info:7 error:Stale Connection");
}

#[test]
fn a_subscription_ends_after_its_last_message() {
    let mut machine = up();
    subscribe(&mut machine, 1, "a", 'x');
    machine.unsubscribe(1, Some(2));
    let input = b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\n";
    assert_eq!(feed(&mut machine, input), "x1:a=1 x1:a=2 x-ended");
    subscribe(&mut machine, 2, "a", 'y');
    machine.unsubscribe(2, None);
    machine.unsubscribe(2, None);
    assert_eq!(feed(&mut machine, b"MSG a 2 1\r\n1\r\n"), "y-ended");
}

#[test]
fn subscriptions_are_made_anew_with_what_is_left_of_their_limits() {
    let mut machine = up();
    subscribe(&mut machine, 1, "a", 'x');
    machine.subscribe(2, Bytes::from_static(b"b"), Some(Bytes::from_static(b"q")), 'y');
    machine.subscribe_mux(3, Bytes::from_static(b"in.*"));
    machine.unsubscribe(1, Some(3));
    feed(&mut machine, b"MSG a 1 1\r\n1\r\nMSG a 1 10\r\nhalf");
    machine.handle_link_down();
    assert_eq!(happened(&mut machine), "");
    machine.handle_link_up(5);
    assert_eq!(control(&mut machine), "SUB a 1\r\nUNSUB 1 2\r\nSUB b q 2\r\nSUB in.* 3\r\n");
    let input = b"MSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\n";
    assert_eq!(feed(&mut machine, input), "x1:a=2 x1:a=3 x-ended");
}

#[test]
fn answers_go_to_their_requests() {
    let mut machine = up();
    machine.subscribe_mux(7, Bytes::from_static(b"in.*"));
    machine.request(1, Caller('a'), 0, Some(10));
    machine.request(2, Caller('b'), 0, Some(10));
    let input = b"MSG in.2 7 1\r\n2\r\nMSG in.2 7 1\r\n2\r\nMSG in.x 7 0\r\n\r\n";
    assert_eq!(feed(&mut machine, input), "b:2");
    assert_eq!(machine.poll_timeout(), 10);
    machine.handle_timeout(10).unwrap();
    assert_eq!(happened(&mut machine), "a-expired");
    assert_eq!(machine.poll_timeout(), INTERVAL_MS);
}

#[test]
fn requests_outlive_the_connection_but_not_their_time() {
    let mut machine = up();
    machine.subscribe_mux(7, Bytes::from_static(b"in.*"));
    machine.request(1, Caller('a'), 0, Some(50));
    machine.request(2, Caller('b'), 0, Some(90));
    machine.handle_link_down();
    assert_eq!(machine.poll_timeout(), 50);
    machine.handle_timeout(50).unwrap();
    assert_eq!(happened(&mut machine), "a-expired");
    machine.handle_link_up(60);
    assert_eq!(feed(&mut machine, b"MSG in.2 7 1\r\n!\r\n"), "b:!");
}

#[test]
fn silence_is_found_out() {
    let mut machine = up();
    for round in 1..=2 {
        machine.handle_timeout(round * INTERVAL_MS - 1).unwrap();
        assert_eq!(control(&mut machine), "");
        machine.handle_timeout(round * INTERVAL_MS).unwrap();
        assert_eq!(control(&mut machine), "PING\r\n");
    }
    assert_eq!(machine.handle_timeout(3 * INTERVAL_MS), Err(Broken::Stale(2)));
}

#[test]
fn whatever_is_heard_is_a_sign_of_life() {
    let mut machine = up();
    for round in 1..=10 {
        machine.handle_timeout(round * INTERVAL_MS).unwrap();
        assert_eq!(control(&mut machine), "PING\r\n");
        if round % 2 == 0 {
            machine.handle_sign_of_life();
        }
    }
}

#[test]
fn flushes_are_answered_in_their_order() {
    let mut machine = up();
    machine.flush(Caller('a'));
    machine.handle_timeout(INTERVAL_MS).unwrap();
    // This one was written by its caller before the driver takes what the machine has to send.
    machine.flush(Caller('b'));
    control(&mut machine);
    machine.flush(Caller('c'));
    assert_eq!(feed(&mut machine, b"PONG\r\n"), "a-flushed");
    assert_eq!(feed(&mut machine, b"PONG\r\n"), "b-flushed");
    assert_eq!(feed(&mut machine, b"PONG\r\n"), "");
    assert_eq!(feed(&mut machine, b"PONG\r\n"), "c-flushed");
}

#[test]
fn a_flush_does_not_outlive_its_connection_but_may_wait_for_one() {
    let mut machine = up();
    machine.flush(Caller('a'));
    machine.ping(Caller('b'));
    machine.handle_link_down();
    assert_eq!(happened(&mut machine), "a-failed b-failed");
    machine.flush(Caller('G'));
    machine.flush(Caller('c'));
    machine.handle_link_up(0);
    assert_eq!(control(&mut machine), "");
    machine.resume_flushes();
    assert_eq!(control(&mut machine), "PING\r\n");
    assert_eq!(feed(&mut machine, b"PONG\r\n"), "c-flushed");
}

#[test]
fn one_subscription_is_drained() {
    let mut machine = up();
    subscribe(&mut machine, 1, "a", 'x');
    machine.drain_subscription(1);
    let input = b"MSG a 1 1\r\n1\r\nPONG\r\nMSG a 1 1\r\n2\r\n";
    assert_eq!(feed(&mut machine, input), "x1:a=1 x-ended");
    subscribe(&mut machine, 2, "a", 'y');
    machine.drain_subscription(2);
    machine.handle_link_down();
    assert_eq!(happened(&mut machine), "y-ended");
    subscribe(&mut machine, 3, "a", 'z');
    machine.drain_subscription(3);
    assert_eq!(happened(&mut machine), "z-ended");
}

#[test]
fn all_subscriptions_are_drained_and_requests_go_on() {
    let mut machine = up();
    machine.subscribe_mux(7, Bytes::from_static(b"in.*"));
    machine.request(1, Caller('r'), 0, None);
    subscribe(&mut machine, 1, "a", 'x');
    machine.drain();
    // Written by a user in the same batch: its PING goes first, and so must its PONG.
    machine.flush(Caller('f'));
    assert_eq!(control(&mut machine), "UNSUB 1\r\nPING\r\n");
    assert_eq!(feed(&mut machine, b"PONG\r\nMSG a 1 1\r\n1\r\n"), "f-flushed x1:a=1");
    assert_eq!(feed(&mut machine, b"PONG\r\n"), "x-ended drained");
    assert_eq!(feed(&mut machine, b"MSG in.1 7 1\r\n!\r\n"), "r:!");
}

#[test]
fn a_drain_ends_with_its_connection() {
    let mut machine = up();
    subscribe(&mut machine, 1, "a", 'x');
    machine.drain();
    machine.handle_link_down();
    assert_eq!(happened(&mut machine), "x-ended drained");
    let mut machine = down();
    subscribe(&mut machine, 1, "a", 'x');
    machine.drain();
    assert_eq!(happened(&mut machine), "x-ended drained");
}

#[test]
fn close_ends_everything() {
    let mut machine = up();
    subscribe(&mut machine, 1, "a", 'x');
    machine.request(1, Caller('r'), 0, Some(1));
    machine.flush(Caller('f'));
    machine.close();
    assert_eq!(happened(&mut machine), "f-failed x-ended");
    assert_eq!(machine.poll_timeout(), u64::MAX);
}

proptest! {
    /// However the bytes are cut by the network, the same happens.
    #[test]
    fn cuts_do_not_matter(
        payloads in proptest::collection::vec("[a-z]{0,30}", 1..12),
        cuts in proptest::collection::vec(1usize..40, 0..30),
    ) {
        let machine = || {
            let mut machine = up();
            subscribe(&mut machine, 1, "s", 'x');
            machine.unsubscribe(1, Some(9));
            machine
        };
        let mut whole = Vec::new();
        for payload in &payloads {
            encode::message(&mut whole, b"s", b"1", None, 0, payload.as_bytes());
            whole.extend_from_slice(b"PING\r\n");
        }
        let mut at_once = machine();
        let expected = feed(&mut at_once, &whole);
        let mut in_pieces = machine();
        let mut found = Vec::new();
        let mut rest = &whole[..];
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            found.push(feed(&mut in_pieces, piece));
            rest = after;
        }
        found.retain(|words| !words.is_empty());
        prop_assert_eq!(found.join(" "), expected);
        prop_assert_eq!(control(&mut in_pieces), control(&mut at_once));
        prop_assert_eq!(in_pieces.take_counts(), at_once.take_counts());
    }

    #[test]
    fn never_panics(input: Vec<u8>, verb in 0usize..6) {
        let verbs: [&[u8]; 6] = [b"", b"MSG a 1 ", b"HMSG a 1 3 ", b"INFO ", b"PONG", b"-ERR "];
        let verb = verbs[verb];
        let mut machine = up();
        subscribe(&mut machine, 1, "a", 'x');
        machine.drain();
        machine.handle_input(Bytes::from([verb, &input].concat()));
        while let Ok(Some(_)) = machine.poll_event() {}
    }
}
