//! Pauses, being unused, and what a consumer says about itself.

use std::num::NonZeroU64;

use super::*;

#[test]
fn a_pause_holds_back_and_ends_by_itself() {
    let until = at(5 * S).unix_ns;
    let paused = ConsumerSettings { paused_until_unix_ns: Some(until), ..pull() };
    let mut bench = Bench::new(List::numbered(2), paused.clone());
    bench.request(0, "a", r#"{"batch":1,"expires":2000000000}"#);
    assert_eq!(bench.polled(0), [""; 0]);
    assert_eq!(bench.info(S).pause_left_ns, Some(4 * S));
    assert_eq!(
        bench.consumer.why(at(S)),
        "It is paused for another 4.000 s; 2 messages are ready."
    );
    assert_eq!(bench.polled(2 * S).len(), 1, "requests end all the same");
    bench.request(2 * S, "a", "1");
    assert_eq!(bench.consumer.next_timeout(at(2 * S)), Some(5 * S));
    assert_eq!(bench.polled(5 * S), ["1"]);
    assert_eq!(bench.info(5 * S).pause_left_ns, None);
    let end = format!("Paused {{ paused: false, until_unix_ns: Some({until}) }}");
    assert_eq!(std::mem::take(&mut bench.out.advisories), std::slice::from_ref(&end));
    assert_eq!(bench.consumer.next_timeout(at(5 * S)), Some(35 * S), "only the acknowledgement");

    let Bench { list, out, consumer } = &mut bench;
    let until = at(9 * S).unix_ns;
    let longer = ConsumerSettings { paused_until_unix_ns: Some(until), ..paused };
    consumer.update(longer, at(6 * S), list, out);
    consumer.update(pull(), at(7 * S), list, out);
    assert_eq!(
        std::mem::take(&mut out.advisories),
        [
            format!("Paused {{ paused: true, until_unix_ns: Some({until}) }}"),
            "Paused { paused: false, until_unix_ns: None }".into()
        ]
    );
    bench.request(7 * S, "a", "1");
    assert_eq!(bench.polled(7 * S), ["2"]);
}

fn unused_after(settings: ConsumerSettings, seconds: u64) -> ConsumerSettings {
    ConsumerSettings { inactive_threshold_ns: NonZeroU64::new(seconds * S), ..settings }
}

#[test]
fn what_nobody_asks_is_to_be_deleted() {
    let mut bench = Bench::new(List::numbered(1), unused_after(pull(), 5));
    let look_at = bench.consumer.next_timeout(at(0)).unwrap();
    assert!((5 * S + 100 * MS..6 * S).contains(&look_at), "with some jitter");
    assert!(!bench.poll(look_at - 1).is_inactive);
    bench.request(look_at - 1, "a", "2");
    assert!(!bench.poll(look_at).is_inactive);
    assert!(!bench.poll(100 * S).is_inactive, "somebody waits for a request");
    bench.out.deaf.insert("a".into());
    let due = bench.consumer.next_timeout(at(100 * S)).unwrap();
    assert!(due > 100 * S);
    bench.ack(due - S, 1, "");
    assert!(!bench.poll(due).is_inactive, "an acknowledgement is a use");
    let due = bench.consumer.next_timeout(at(due)).unwrap();
    assert!(bench.poll(due).is_inactive, "and nobody listens to that request any more");
}

#[test]
fn clients_are_given_time_for_what_they_have() {
    let mut bench = Bench::new(List::numbered(1), unused_after(pull(), 5));
    bench.request(0, "a", "1");
    bench.poll(0);
    assert!(!bench.poll(7 * S).is_inactive);
    let due = bench.consumer.next_timeout(at(7 * S)).unwrap();
    assert_eq!(due, 30 * S, "when the message is due again");
    assert!(!bench.poll(30 * S).is_inactive);
    assert!(!bench.poll(35 * S).is_inactive);
    assert!(bench.poll(36 * S).is_inactive);
}

#[test]
fn what_nobody_listens_to_is_to_be_deleted() {
    let mut bench = Bench::new(List::numbered(1), unused_after(push_with(|_| {}), 5));
    assert_eq!(bench.consumer.next_timeout(at(0)), Some(5 * S));
    bench.consumer.handle_interest(at(S), true);
    assert!(!bench.poll(2 * S).is_inactive);
    assert!(!bench.poll(20 * S).is_inactive, "silence is no lack of interest");
    bench.consumer.handle_interest(at(60 * S), false);
    bench.consumer.handle_interest(at(61 * S), false);
    assert!(!bench.poll(65 * S - 1).is_inactive);
    bench.ack(65 * S - 1, 1, "");
    assert!(!bench.poll(65 * S).is_inactive);
    assert!(bench.poll(70 * S).is_inactive);
}

#[test]
fn times_are_those_of_the_last_event() {
    let mut bench = Bench::new(List::numbered(1), pull());
    let info = bench.info(0);
    assert_eq!((info.last_delivery_ns, info.last_ack_ns), (None, None));
    bench.request(S, "a", "1");
    bench.poll(S);
    bench.ack(2 * S, 1, "");
    let info = bench.info(3 * S);
    assert_eq!(info.last_delivery_ns, Some(at(S).unix_ns));
    assert_eq!(info.last_ack_ns, Some(at(2 * S).unix_ns));
}

#[test]
fn it_says_what_it_waits_for() {
    let mut bench = Bench::new(List::numbered(1), pull());
    bench.poll(0);
    assert_eq!(bench.consumer.why(at(0)), "It waits for a pull request; 1 messages are ready.");
    bench.request(0, "a", "5");
    bench.poll(0);
    assert_eq!(
        bench.consumer.why(at(S)),
        "It waits for messages: everything up to sequence 1 is delivered or does not match; 1 \
         are on their way, the first of them is due again in 29.000 s."
    );
}

#[test]
fn faults_are_found_and_repaired() {
    let mut bench = Bench::new(List::numbered(9), pull());
    bench.request(0, "a", "4");
    bench.poll(0);
    bench.out.take();
    let check = |bench: &Bench| bench.consumer.check(at(1), &bench.list);
    let repaired = |bench: &mut Bench| {
        bench.consumer.repair(&bench.list);
        bench.poll(1);
        assert_eq!(bench.consumer.check(at(1), &bench.list), Ok(()));
    };
    // Messages go without a word.
    bench.list.stored.remove(&8);
    assert_eq!(check(&bench), Err(Fault::Pending { counted: 5, actual: 4 }));
    repaired(&mut bench);
    bench.list.stored.remove(&2);
    assert_eq!(check(&bench), Err(Fault::Missing { sequence: 2 }));
    repaired(&mut bench);
    assert_eq!(bench.info(1).ack_pending, 3);
    // What is kept beside the ledger is lost.
    bench.consumer.deadlines = Deadlines::default();
    assert_eq!(check(&bench), Err(Fault::Deadlines));
    repaired(&mut bench);
    bench.ack(1, 3, "-NAK");
    bench.consumer.redelivery = Redelivery::default();
    assert_eq!(check(&bench), Err(Fault::Redelivery));
    repaired(&mut bench);
    // A message is there, somebody waits, and nobody polled.
    bench.request(1, "a", "1");
    assert_eq!(check(&bench), Err(Fault::Stuck { sequence: 3 }));
    assert_eq!(bench.polled(1), ["3"]);
    assert_eq!(bench.polled(30 * S + 1), [""; 0]);
    bench.request(31 * S, "a", "9");
    assert_eq!(bench.polled(31 * S), ["1", "3", "4", "5", "6", "7", "9"]);
}
