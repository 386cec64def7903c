//! What one stretch of work cost: wall time, CPU time of the server and of the load.
//!
//! It knows clocks; what the work was, and whether it was done right, is the affair of whoever
//! hands it in.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::measure::{Measurement, Metric};
use crate::process::ProcessMeter;

/// What happened between two moments of rest.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// From the beginning of the work to its end.
    pub wall_time: Duration,
    /// CPU time of the server process meanwhile.
    pub server_cpu_time: Duration,
    /// CPU time of this process meanwhile.
    pub load_cpu_time: Duration,
}

impl Phase {
    /// Does `work` and says what it cost the server that `meter` reads.
    ///
    /// # Errors
    /// As `work`; or the server has ended.
    pub fn of<T>(meter: ProcessMeter, work: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let load = ProcessMeter::of_self()?;
        let (server_before, load_before) = (meter.cpu_time()?, load.cpu_time()?);
        let begin = Instant::now();
        // A load that failed knows why better than the clock of a server that has ended.
        let outcome = work()?;
        let wall_time = begin.elapsed();
        let phase = Self {
            wall_time,
            server_cpu_time: meter.cpu_time()?.saturating_sub(server_before),
            load_cpu_time: load.cpu_time()?.saturating_sub(load_before),
        };
        Ok((outcome, phase))
    }

    /// Notes what each of `count` pieces of work cost; `cost` is what the CPU time of one is
    /// called.
    pub fn note_into(&self, measurement: &mut Measurement, cost: Metric, count: u64) {
        let count = count as f64;
        let wall_seconds = self.wall_time.as_secs_f64();
        measurement.note(cost, nanoseconds(self.server_cpu_time) / count);
        measurement.note(Metric::RatePerSecond, count / wall_seconds);
        measurement.note(Metric::ServerCores, self.server_cpu_time.as_secs_f64() / wall_seconds);
        measurement.note(Metric::LoadNsPerMessage, nanoseconds(self.load_cpu_time) / count);
        measurement.note(Metric::Count, count);
    }
}

impl std::ops::Add for Phase {
    type Output = Self;

    /// Two stretches of the same work, without what was between them.
    fn add(self, other: Self) -> Self {
        Self {
            wall_time: self.wall_time + other.wall_time,
            server_cpu_time: self.server_cpu_time + other.server_cpu_time,
            load_cpu_time: self.load_cpu_time + other.load_cpu_time,
        }
    }
}

/// A time in nanoseconds.
pub fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
