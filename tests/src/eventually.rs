//! Waiting for something that another process will do, with a bound and without hope.

use std::time::{Duration, Instant};

/// How long any single expectation may take before the test fails.
///
/// Long, because it is only ever waited out by a test that fails, and a loaded machine is slow.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Asks again and again until `condition` holds.
///
/// # Panics
///
/// When it does not hold within [`DEADLINE`]; `what` tells the reader what was waited for.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(()));
}

/// Asks again and again until `attempt` has an answer.
///
/// # Panics
///
/// When it has none within [`DEADLINE`]; `what` tells the reader what was waited for.
#[track_caller]
pub fn eventually_some<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for: {what}");
        nap(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two questions; no test result depends on its length"
)]
fn nap(pause: Duration) {
    std::thread::sleep(pause);
}
