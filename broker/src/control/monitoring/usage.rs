//! What this process takes of the machine.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// The share of the processor is an average over at least so long.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Measures the processor time of this process between two questions.
pub(super) struct Usage(Mutex<Sample>);

struct Sample {
    at: Instant,
    processor_time: Duration,
    /// Of the interval that ended at `at`.
    processor_percent: f64,
}

impl Usage {
    /// Begins to measure at `started_at`, when the broker started.
    pub(super) fn since(started_at: Instant) -> Self {
        let processor_time = Duration::ZERO;
        Self(Mutex::new(Sample { at: started_at, processor_time, processor_percent: 0.0 }))
    }

    /// Hundredths of one core, to a tenth: 200.0 is two cores that do nothing else. It is the
    /// average since the question before, if that was a second ago or more, else what was
    /// answered then.
    pub(super) fn processor_percent(&self) -> f64 {
        self.0.lock().processor_percent(Instant::now(), processor_time())
    }
}

impl Sample {
    fn processor_percent(&mut self, now: Instant, processor_time: Duration) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed >= INTERVAL_MIN {
            let spent = processor_time.saturating_sub(self.processor_time);
            let percent = spent.as_secs_f64() / elapsed.as_secs_f64() * 100.0;
            let processor_percent = (percent * 10.0).round() / 10.0;
            *self = Self { at: now, processor_time, processor_percent };
        }
        self.processor_percent
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Resident memory in bytes; 0 on systems without `/proc`.
pub(super) fn memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    resident_pages(&statm).unwrap_or_default() * rustix::param::page_size() as u64
}

/// The second number: pages of all, resident, shared, ...
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Cores this process may use.
pub(super) fn core_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_time_between_two_questions() {
        let now = Instant::now();
        let usage = Usage::since(now);
        let mut sample = usage.0.into_inner();
        let second = Duration::from_secs(1);
        let mut check = |elapsed: u32, spent_ms, expected: f64| {
            let percent =
                sample.processor_percent(now + second * elapsed, Duration::from_millis(spent_ms));
            assert!((percent - expected).abs() < 1e-9, "{percent} and not {expected}");
        };
        check(0, 900, 0.0);
        check(2, 3_000, 150.0);
        check(2, 3_900, 150.0);
        check(12, 3_123, 1.2);
        check(13, 3_123, 0.0);
    }

    #[test]
    fn memory() {
        assert_eq!(resident_pages("100 20 3 4 5 6 7\n"), Some(20));
        assert_eq!(resident_pages(""), None);
        if cfg!(target_os = "linux") {
            assert!((100_000..1 << 40).contains(&memory_bytes()));
        }
        assert!(processor_time() > Duration::ZERO);
        assert!(core_count() > 0);
    }
}
