//! Counters of a reactor. The reactor alone writes them, once a tick; anybody reads them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Declares counters that one thread writes and others read, and the plain form of both.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters as the reactor keeps them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// Counters as others see them.
        #[derive(Debug, Default)]
        struct Published {
            $($name: AtomicU64,)*
        }

        impl Counters {
            /// Adds another reactor's.
            pub fn add(&mut self, other: &Self) {
                let fanout_max = self.fanout_max.max(other.fanout_max);
                $(self.$name += other.$name;)*
                self.fanout_max = fanout_max;
            }
        }

        impl Published {
            fn publish(&self, counters: &Counters) {
                $(self.$name.store(counters.$name, Ordering::Relaxed);)*
            }

            fn read(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Messages from clients.
    in_messages,
    /// Bytes of their headers and payloads.
    in_bytes,
    /// Messages to clients.
    out_messages,
    /// Bytes of their headers and payloads.
    out_bytes,
    /// Connections now.
    connections,
    /// Connections ever.
    connections_total,
    /// Subscriptions now.
    subscriptions,
    /// Connections closed because they took too little.
    slow_consumers,
    /// Connections closed because PINGs stayed unanswered.
    stale_connections,
    /// Times a publisher was paused for a subscriber that was behind.
    stalls,
    /// Messages dropped for a subscriber that was behind (`no_fast_producer_stall`).
    dropped_messages,
    /// Answers about interest that were remembered.
    cache_hits,
    /// Answers about interest that were made.
    cache_misses,
    /// Answers that are remembered now.
    cache_entries,
    /// The most subscriptions an answer ever named.
    fanout_max,
    /// Subscriptions that the answers remembered now name, all together.
    fanout_sum,
    /// Failed attempts to authenticate.
    authentication_failures,
}

/// What a reactor does in a tick, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading sockets, parsing, routing, writing into outgoing buffers.
    Receive,
    /// Draining the inbox and delivering what was in it.
    Inbox,
    /// Writing outgoing buffers to sockets.
    Flush,
    /// The whole tick, from waking up to sleeping again.
    Tick,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 4] = [Self::Receive, Self::Inbox, Self::Flush, Self::Tick];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Inbox => "inbox",
            Self::Flush => "flush",
            Self::Tick => "tick",
        }
    }
}

/// Buckets of a stage's histogram: bucket `n` counts durations below `1 µs << n`.
pub const BUCKET_COUNT: usize = 21;

/// The counters of one reactor.
#[derive(Debug, Default)]
pub struct ReactorStats {
    published: Published,
    stages: [Histogram; Stage::ALL.len()],
}

/// How long a stage took, one count a tick.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKET_COUNT],
    sum_ns: AtomicU64,
    count: AtomicU64,
}

impl ReactorStats {
    /// Makes `counters` visible. Only the reactor calls it.
    pub fn publish(&self, counters: &Counters) {
        self.published.publish(counters);
    }

    /// The counters as of the end of the last tick.
    pub fn read(&self) -> Counters {
        self.published.read()
    }

    /// Records that `stage` took `duration`. Only the reactor calls it.
    pub fn record(&self, stage: Stage, duration: Duration) {
        self.stages[stage as usize].record(duration);
    }

    /// The histogram of `stage`.
    pub fn stage(&self, stage: Stage) -> &Histogram {
        &self.stages[stage as usize]
    }
}

impl Histogram {
    fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let microseconds = nanoseconds / 1000;
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        // One thread writes: no read-modify-write is needed, and none is paid for.
        let add = |counter: &AtomicU64, more: u64| {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        if let Some(counter) = self.buckets.get(bucket) {
            add(counter, 1);
        }
        add(&self.sum_ns, nanoseconds);
        add(&self.count, 1);
    }

    /// Counts per bucket, not cumulated; longer durations are in none.
    pub fn buckets(&self) -> [u64; BUCKET_COUNT] {
        std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed))
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }

    /// How many durations there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_bucket_above_it() {
        let check = |nanoseconds: u64, bucket: Option<usize>| {
            let histogram = Histogram::default();
            histogram.record(Duration::from_nanos(nanoseconds));
            let counted = histogram.buckets().iter().position(|count| *count == 1);
            assert_eq!((counted, histogram.count()), (bucket, 1), "{nanoseconds}");
        };
        check(0, Some(0));
        check(999, Some(0));
        check(1_000, Some(1));
        check(1_999, Some(1));
        check(2_000, Some(2));
        check(1_000_000, Some(10));
        check(3_600_000_000_000, None);
    }
}
