//! The inbox between reactors, in every order its threads can run in.
//!
//! The file under test is included as it is and finds, where the broker has atomics and a queue,
//! those of loom: plain `cargo test` runs it, and each test is all interleavings (with a bound on
//! preemptions) and all values that a weak memory may show, not one lucky run.
//!
//! It can fail. Each of these was tried and found: either fence left out or weakened to `AcqRel`,
//! no second look at the queue, a look at `asleep` before the push, no wake (a deadlock each
//! time), and a wake that does not take `asleep` back (two wakes for one sleep).

/// What the inbox is built of, out of loom.
mod sync {
    use std::collections::VecDeque;

    use super::UNPOISONED;
    use loom::sync::Mutex;
    use loom::sync::atomic::AtomicUsize;
    pub use loom::sync::atomic::{Ordering, fence};

    /// loom's, with one change: a store is a swap whose result nobody takes.
    ///
    /// All stores to one atomic have one order, in which a swap follows immediately on what it
    /// read. loom keeps that order only as far as happens-before gives it, and would let a pusher
    /// read a `false` that a swap wrote before the owner's last `true`, although its fence comes
    /// after the owner's: a deadlock that no machine can have. Loads stay as weak as they are.
    pub struct AtomicBool(loom::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub fn new(value: bool) -> Self {
            Self(loom::sync::atomic::AtomicBool::new(value))
        }

        pub fn load(&self, ordering: Ordering) -> bool {
            self.0.load(ordering)
        }

        pub fn store(&self, value: bool, ordering: Ordering) {
            self.0.swap(value, ordering);
        }

        pub fn swap(&self, value: bool, ordering: Ordering) -> bool {
            self.0.swap(value, ordering)
        }
    }

    /// A queue that promises what crossbeam's `SegQueue` does and no more: a popped value is
    /// seen whole, and pushes that happen one after the other are popped in that order.
    ///
    /// `is_empty` reads two counters and takes no lock. With a lock it would order the owner and
    /// the pushers more than the real queue does, and a missing fence would go unnoticed.
    pub struct Queue<T> {
        values: Mutex<VecDeque<T>>,
        pushed: AtomicUsize,
        popped: AtomicUsize,
    }

    impl<T> Queue<T> {
        pub fn new() -> Self {
            Self {
                values: Mutex::new(VecDeque::new()),
                pushed: AtomicUsize::new(0),
                popped: AtomicUsize::new(0),
            }
        }

        pub fn push(&self, value: T) {
            self.values.lock().expect(UNPOISONED).push_back(value);
            self.pushed.fetch_add(1, Ordering::Release);
        }

        pub fn pop(&self) -> Option<T> {
            // Counted after it is there: a value of which `is_empty` does not know yet is left
            // for the next time, as it may be in the real queue.
            if self.is_empty() {
                return None;
            }
            let value = self.values.lock().expect(UNPOISONED).pop_front();
            self.popped.fetch_add(1, Ordering::Relaxed);
            value
        }

        pub fn is_empty(&self) -> bool {
            self.popped.load(Ordering::Relaxed) == self.pushed.load(Ordering::Acquire)
        }
    }
}

#[path = "../../broker/src/mesh/inbox.rs"]
mod inbox;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use inbox::{Inbox, Wake};
use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// A poll and its waker: a wake is remembered until the next poll returns, and many are one.
#[derive(Clone)]
struct Poll {
    woken: loom::sync::Arc<(Mutex<bool>, Condvar)>,
    /// Wakes so far. Not loom's: it is no part of what is tested and must not order anything.
    wakes: Arc<AtomicUsize>,
}

impl Poll {
    fn new() -> Self {
        Self {
            woken: loom::sync::Arc::new((Mutex::new(false), Condvar::new())),
            wakes: Arc::default(),
        }
    }

    /// Sleeps until somebody wakes it. With nobody left to do so loom reports a deadlock.
    fn poll(&self) {
        let (woken, changed) = &*self.woken;
        let mut woken = woken.lock().expect(UNPOISONED);
        while !*woken {
            woken = changed.wait(woken).expect(UNPOISONED);
        }
        *woken = false;
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }
}

impl Wake for Poll {
    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        let (woken, changed) = &*self.woken;
        *woken.lock().expect(UNPOISONED) = true;
        changed.notify_one();
    }
}

type Mail = (usize, usize);

const UNPOISONED: &str = "a test that panics ends";

/// Runs `test` in every order with at most two preemptions. That finds every fault named above;
/// three take ten times as long, and found no more.
fn explore(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(test);
}

fn push_from_thread(
    inbox: &Arc<Inbox<Mail, Poll>>,
    pusher: usize,
    count: usize,
) -> thread::JoinHandle<()> {
    let inbox = inbox.clone();
    thread::spawn(move || (0..count).for_each(|number| inbox.push((pusher, number))))
}

/// The owner's loop as the driver has it: sleep if there is nothing, then drain, until `count`
/// have come. Returns them in their order, and how often the owner announced that it sleeps.
fn receive(inbox: &Inbox<Mail, Poll>, poll: &Poll, count: usize) -> (Vec<Mail>, usize) {
    let (mut received, mut announcements) = (Vec::new(), 0);
    while received.len() < count {
        announcements += 1;
        if inbox.prepare_to_sleep() {
            poll.poll();
        }
        inbox.awake();
        while let Some(mail) = inbox.pop() {
            received.push(mail);
        }
    }
    (received, announcements)
}

#[test]
fn an_owner_that_sleeps_is_woken_by_one_pusher() {
    explore(|| {
        let poll = Poll::new();
        let inbox = Arc::new(Inbox::new(poll.clone()));
        let pusher = push_from_thread(&inbox, 0, 2);
        let (received, _) = receive(&inbox, &poll, 2);
        assert_eq!(received, [(0, 0), (0, 1)]);
        pusher.join().unwrap();
    });
}

#[test]
fn an_owner_that_sleeps_is_woken_whichever_of_two_pushes() {
    explore(|| {
        let poll = Poll::new();
        let inbox = Arc::new(Inbox::new(poll.clone()));
        let pushers = [push_from_thread(&inbox, 0, 1), push_from_thread(&inbox, 1, 1)];
        let (mut received, _) = receive(&inbox, &poll, 2);
        received.sort_unstable();
        assert_eq!(received, [(0, 0), (1, 0)]);
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert!(inbox.is_empty());
    });
}

#[test]
fn an_owner_that_sleeps_is_woken_for_what_was_pushed_quietly() {
    // As reactors do it: all receivers have their mail before the first one is woken.
    explore(|| {
        let (first_poll, second_poll) = (Poll::new(), Poll::new());
        let first = Arc::new(Inbox::new(first_poll.clone()));
        let second = Arc::new(Inbox::new(second_poll.clone()));
        let pusher = {
            let (first, second) = (first.clone(), second.clone());
            thread::spawn(move || {
                first.push_quietly((0, 0));
                second.push_quietly((0, 1));
                first.notify();
                second.notify();
            })
        };
        let other = {
            let first = first.clone();
            thread::spawn(move || first.push((1, 0)))
        };
        let (mut received, _) = receive(&first, &first_poll, 2);
        received.sort_unstable();
        assert_eq!(received, [(0, 0), (1, 0)]);
        pusher.join().unwrap();
        other.join().unwrap();
        assert_eq!(second.pop(), Some((0, 1)));
    });
}

#[test]
fn a_sleep_costs_at_most_one_wake() {
    explore(|| {
        let poll = Poll::new();
        let inbox = Arc::new(Inbox::new(poll.clone()));
        let pushers = [push_from_thread(&inbox, 0, 1), push_from_thread(&inbox, 1, 1)];
        let (_, announcements) = receive(&inbox, &poll, 2);
        for pusher in pushers {
            pusher.join().unwrap();
        }
        // A sleep that was announced and called off again may have been seen too.
        assert!(poll.wakes() <= announcements, "{} wakes, {announcements} times", poll.wakes());
    });
}

#[test]
fn two_pushes_to_a_sleeping_owner_wake_it_once() {
    explore(|| {
        let poll = Poll::new();
        let inbox = Arc::new(Inbox::new(poll.clone()));
        assert!(inbox.prepare_to_sleep());
        let pushers = [push_from_thread(&inbox, 0, 1), push_from_thread(&inbox, 1, 1)];
        poll.poll();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert_eq!(poll.wakes(), 1);
    });
}

#[test]
fn an_owner_that_is_awake_is_not_woken() {
    explore(|| {
        let poll = Poll::new();
        let inbox = Arc::new(Inbox::new(poll.clone()));
        let pusher = push_from_thread(&inbox, 0, 2);
        inbox.awake();
        pusher.join().unwrap();
        assert_eq!(poll.wakes(), 0);
        assert!(!inbox.prepare_to_sleep());
    });
}

#[test]
fn mail_that_was_pushed_because_of_other_mail_comes_after_it() {
    // Two peers: the second pushes because it heard of the first one's push.
    explore(|| {
        let poll = Poll::new();
        let inbox = Arc::new(Inbox::new(poll.clone()));
        let heard = Poll::new();
        let second = {
            let (inbox, heard) = (inbox.clone(), heard.clone());
            thread::spawn(move || {
                heard.poll();
                inbox.push((1, 0));
            })
        };
        let first = {
            let inbox = inbox.clone();
            thread::spawn(move || {
                inbox.push((0, 0));
                heard.wake();
            })
        };
        let (received, _) = receive(&inbox, &poll, 2);
        assert_eq!(received, [(0, 0), (1, 0)]);
        first.join().unwrap();
        second.join().unwrap();
    });
}
