//! When acknowledgements are due.
//!
//! The wait is the same for all deliveries of the same number, so their deadlines come in the
//! order in which they were set: a queue for each number of deliveries is a sorted list, and
//! setting one costs a push. Only pauses that clients ask for come in any order, and have a heap.
//!
//! Nothing is taken out when a message is acknowledged. An entry counts as long as its message
//! waits, is not queued for redelivery, and still has that deadline; others are dropped when they
//! come to the front, and all of them when they outnumber the waiting messages twice.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::window::{Entry, Window};
use crate::jetstream::time::NEVER_NS;

/// Numbers of deliveries with a queue of their own; those beyond share the last one. With a
/// longer list of pauses a few deadlines go to the heap.
const LEVEL_COUNT: usize = 8;
/// Entries without meaning that are tolerated whatever the number of others.
const STALE_SLACK: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    stream: u64,
}

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    levels: [VecDeque<Due>; LEVEL_COUNT],
    irregular: BinaryHeap<Reverse<Due>>,
}

impl Deadlines {
    /// The acknowledgement of a delivery is due at a moment; [`NEVER_NS`] is not a moment.
    #[inline]
    pub(super) fn set(&mut self, stream: u64, deliveries: u32, at: u64) {
        if at == NEVER_NS {
            return;
        }
        let level = (deliveries.max(1) as usize - 1).min(LEVEL_COUNT - 1);
        let queue = &mut self.levels[level];
        if queue.back().is_none_or(|last| last.at <= at) {
            queue.push_back(Due { at, stream });
        } else {
            self.irregular.push(Reverse(Due { at, stream }));
        }
    }

    /// The same for a moment that has nothing to do with when others are due.
    pub(super) fn set_irregular(&mut self, stream: u64, at: u64) {
        if at != NEVER_NS {
            self.irregular.push(Reverse(Due { at, stream }));
        }
    }

    /// The first one that still means something.
    pub(super) fn next(&mut self, window: &Window) -> Option<u64> {
        self.drop_stale(window);
        let regular = self.levels.iter().filter_map(|queue| queue.front());
        let irregular = self.irregular.peek().map(|Reverse(due)| due);
        regular.chain(irregular).map(|due| due.at).min()
    }

    /// Moves messages whose time has come to the end of `due`, and sorts all there. A deadline
    /// counts as reached when it is not after `now`.
    pub(super) fn take_due(&mut self, now: u64, window: &Window, due: &mut Vec<u64>) {
        for queue in &mut self.levels {
            while let Some(front) = queue.front().filter(|front| front.at <= now) {
                if means_something(window, *front) {
                    due.push(front.stream);
                }
                queue.pop_front();
            }
        }
        while let Some(Reverse(front)) = self.irregular.peek().filter(|due| due.0.at <= now) {
            if means_something(window, *front) {
                due.push(front.stream);
            }
            self.irregular.pop();
        }
        due.sort_unstable();
        due.dedup();
    }

    /// Entries, whether they mean something or not.
    pub(super) fn len(&self) -> usize {
        self.levels.iter().map(VecDeque::len).sum::<usize>() + self.irregular.len()
    }

    /// Gives back memory if most entries mean nothing.
    pub(super) fn tidy(&mut self, window: &Window) {
        if self.len() > 2 * window.len() + STALE_SLACK {
            for queue in &mut self.levels {
                queue.retain(|due| means_something(window, *due));
            }
            self.irregular.retain(|Reverse(due)| means_something(window, *due));
        }
    }

    /// Starts again from what the window says.
    pub(super) fn rebuild(&mut self, window: &Window) {
        *self = Self::default();
        let mut all: Vec<&Entry> = window.iter().filter(|entry| entry.ticket == 0).collect();
        all.sort_unstable_by_key(|entry| entry.deadline);
        for entry in all {
            self.set(entry.stream, entry.deliveries, entry.deadline);
        }
    }

    /// Whether every message that waits for time to pass will be found, for the watchdog.
    pub(super) fn covers(&self, window: &Window) -> bool {
        let mut known: Vec<Due> = self.levels.iter().flatten().copied().collect();
        known.extend(self.irregular.iter().map(|due| due.0));
        known.sort_unstable();
        window.iter().filter(|entry| entry.ticket == 0 && entry.deadline != NEVER_NS).all(|entry| {
            known.binary_search(&Due { at: entry.deadline, stream: entry.stream }).is_ok()
        })
    }

    fn drop_stale(&mut self, window: &Window) {
        for queue in &mut self.levels {
            while queue.front().is_some_and(|due| !means_something(window, *due)) {
                queue.pop_front();
            }
        }
        while self.irregular.peek().is_some_and(|due| !means_something(window, due.0)) {
            self.irregular.pop();
        }
    }
}

#[inline]
fn means_something(window: &Window, due: Due) -> bool {
    window.get(due.stream).is_some_and(|entry| entry.ticket == 0 && entry.deadline == due.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(entries: &[(u64, u64)]) -> Window {
        let mut window = Window::default();
        for (number, (stream, deadline)) in (1..).zip(entries) {
            window.push(Entry {
                stream: *stream,
                consumer: number,
                deadline: *deadline,
                deliveries: 1,
                ticket: 0,
            });
        }
        window
    }

    #[test]
    fn due_is_what_still_has_that_deadline() {
        let mut window = window(&[(1, 100), (2, 100), (3, 100), (4, 150), (5, NEVER_NS)]);
        let mut deadlines = Deadlines::default();
        deadlines.rebuild(&window);
        assert!(deadlines.covers(&window));
        assert_eq!(deadlines.len(), 4, "what is never due is not there");
        window.remove(1);
        window.get_mut(2).expect("it waits").deadline = 120;
        assert!(!deadlines.covers(&window));
        deadlines.set(2, 1, 120);
        assert!(deadlines.covers(&window), "out of order, in the heap");
        assert_eq!(deadlines.next(&window), Some(100));
        let mut due = Vec::new();
        deadlines.take_due(99, &window, &mut due);
        assert!(due.is_empty());
        deadlines.take_due(149, &window, &mut due);
        assert_eq!(due, [2, 3]);
        assert_eq!(deadlines.next(&window), Some(150));
        window.get_mut(4).expect("it waits").ticket = 1;
        assert_eq!(deadlines.next(&window), None);
    }

    #[test]
    fn memory_follows_what_is_waiting() {
        let mut window = window(&[(1, 5)]);
        let mut deadlines = Deadlines::default();
        deadlines.rebuild(&window);
        for stream in 2..10_000 {
            window.push(Entry { stream, consumer: stream, deadline: 9, deliveries: 1, ticket: 0 });
            deadlines.set(stream, 1, 9);
            window.remove(stream);
            deadlines.tidy(&window);
            assert!(deadlines.len() <= 2 * window.len() + STALE_SLACK);
        }
        assert_eq!(deadlines.next(&window), Some(5));
    }
}
