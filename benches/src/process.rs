//! What the kernel knows about a running process: CPU time and resident memory.
//!
//! It exists so that a server is measured from outside, in the same way whoever wrote it. It
//! refuses to know what the process does.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// Reads the CPU time and the memory of one process.
///
/// CPU time comes from the process' own CPU clock (`clock_getcpuclockid(3)`): nanoseconds, user
/// and system, all threads, those that have ended included. `utime` and `stime` in
/// `/proc/<pid>/stat` count in steps of 10 ms, which is too coarse for a short run, and
/// `/proc/<pid>/task/*/schedstat` forgets threads that have ended.
#[derive(Clone, Copy, Debug)]
pub struct ProcessMeter {
    pid: u32,
    clock: ClockId,
}

impl ProcessMeter {
    /// A meter of the process `pid`.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn new(pid: u32) -> Result<Self> {
        let raw = i32::try_from(pid).context("a process id fits 31 bits")?;
        let clock = clock_getcpuclockid(Pid::from_raw(raw))
            .with_context(|| format!("no CPU clock for process {pid}: has it ended?"))?;
        Ok(Self { pid, clock })
    }

    /// A meter of this very process, to tell how much the load itself costs.
    ///
    /// # Errors
    /// When the kernel has no CPU clocks.
    pub fn of_self() -> Result<Self> {
        Self::new(std::process::id())
    }

    /// The process that is measured.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// User and system time of all threads since the process began.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let now = self
            .clock
            .now()
            .with_context(|| format!("process {} has ended while it was measured", self.pid))?;
        Ok(now.into())
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the process has ended, or `/proc` is not the one of Linux.
    pub fn resident_bytes(&self) -> Result<u64> {
        // `smaps_rollup` is exact; `status` lags behind by up to 64 pages per CPU.
        let exact = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid));
        if let Some(bytes) = exact.ok().and_then(|text| kilobytes_field(&text, "Rss:")) {
            return Ok(bytes);
        }
        let path = format!("/proc/{}/status", self.pid);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        kilobytes_field(&text, "VmRSS:").with_context(|| format!("no VmRSS in {path}"))
    }

    /// Resident memory once it has come to rest: two readings 200 ms apart within 0.2 %, or the
    /// last one after `patience`.
    ///
    /// # Errors
    /// As [`ProcessMeter::resident_bytes`].
    pub fn resident_bytes_settled(&self, patience: Duration) -> Result<u64> {
        const PAUSE: Duration = Duration::from_millis(200);
        let mut last = self.resident_bytes()?;
        let mut waited = Duration::ZERO;
        while waited < patience {
            std::thread::park_timeout(PAUSE);
            waited += PAUSE;
            let now = self.resident_bytes()?;
            if now.abs_diff(last) <= now / 500 {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }
}

/// The last process in a chain of single children.
///
/// A server installed by a package manager may be started through a wrapper that stays around;
/// what is to be measured is the program behind it.
pub fn innermost_child(pid: u32) -> u32 {
    let mut innermost = pid;
    loop {
        let path = format!("/proc/{innermost}/task/{innermost}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let mut children = children.split_ascii_whitespace();
        match (children.next().and_then(|child| child.parse().ok()), children.next()) {
            (Some(child), None) => innermost = child,
            _ => return innermost,
        }
    }
}

/// Reads `Name:   123 kB` from a file in the style of `/proc/<pid>/status`, in bytes.
fn kilobytes_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_cpu_time() {
        let meter = ProcessMeter::of_self().unwrap();
        let before = meter.cpu_time().unwrap();
        let mut sum = 0u64;
        while meter.cpu_time().unwrap() < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(meter.cpu_time().unwrap() - before >= Duration::from_millis(5));
    }

    #[test]
    fn touched_memory_is_resident() {
        let meter = ProcessMeter::of_self().unwrap();
        let before = meter.resident_bytes().unwrap();
        let block = std::hint::black_box(vec![1u8; 32 << 20]);
        let after = meter.resident_bytes().unwrap();
        assert!(after >= before + (24 << 20), "{before} -> {after}");
        drop(block);
    }

    #[test]
    fn fields_in_kilobytes() {
        let text = "Name:\tx\nVmRSS:\t    1740 kB\nRss:                  12 kB\n";
        assert_eq!(kilobytes_field(text, "VmRSS:"), Some(1740 * 1024));
        assert_eq!(kilobytes_field(text, "Rss:"), Some(12 * 1024));
        assert_eq!(kilobytes_field(text, "VmHWM:"), None);
    }

    #[test]
    fn a_process_without_children_is_itself_innermost() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat is everywhere");
        assert_eq!(innermost_child(child.id()), child.id());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
