//! Worlds from seeds: what reactors do with any clients, in any order of events.
//!
//! ```text
//! FULMAR_WORLDS=100000 cargo test --release -p fulmar-tests --test world    # more of them
//! FULMAR_WORLD_SEED=4711 cargo test -p fulmar-tests --test world            # this one again
//! ```

use fulmar_tests::world::{self, Outcome};

/// Worlds of an ordinary run.
const WORLD_COUNT: u64 = 300;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn world_count() -> u64 {
    number_from("FULMAR_WORLDS").unwrap_or(WORLD_COUNT)
}

fn world(seed: u64) -> Outcome {
    world::run(seed).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn every_message_comes_to_everybody_who_wants_it() {
    if let Some(seed) = number_from("FULMAR_WORLD_SEED") {
        match world::tell(seed) {
            Ok(outcome) => println!("{outcome:#?}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let count = world_count();
    let outcomes: Vec<Outcome> = (0..count).map(world).collect();
    // The worlds have in them what they are about.
    let sum = |part: fn(&Outcome) -> usize| outcomes.iter().map(part).sum::<usize>() as u64;
    let check = |what: &str, found: u64, least: u64| {
        assert!(found * WORLD_COUNT >= least * count, "only {found} {what} in {count} worlds");
    };
    check("messages", sum(|outcome| outcome.totals.messages), 10_000);
    check("deliveries", sum(|outcome| outcome.totals.plain), 10_000);
    check("deliveries to groups", sum(|outcome| outcome.totals.queue), 1_000);
    check("certain deliveries", sum(|outcome| outcome.totals.certain), 1_000);
    check("answers that nobody listens", sum(|outcome| outcome.totals.no_responders), 100);
    check("finished subscriptions", sum(|outcome| outcome.totals.finished), 100);
    check("slow clients", sum(|outcome| outcome.slow), 10);
    check("stale clients", sum(|outcome| outcome.stale), 10);
    check("stalls", outcomes.iter().map(|outcome| outcome.stalls).sum(), 1);
}

#[test]
fn the_same_seed_makes_the_same_world() {
    for seed in 0..world_count() / 15 {
        assert_eq!(world(seed), world(seed), "seed {seed}");
    }
}
