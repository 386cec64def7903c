//! The inbox of a peer: many push, the owner drains, and a sleeping owner is woken once.
//!
//! One queue a peer and not one a pair of peers: what is pushed after another push returned is
//! drained after it, whoever pushed, and causal order across publishers rests on that.
//!
//! The inbox refuses to know what the mail says and how many bytes it has: its bound is kept by
//! those who push (see `Outbox`), who stop reading their sockets while the receiver is behind.

use super::sync::{AtomicBool, Ordering, Queue, fence};

/// Wakes the thread that owns an inbox out of its poll.
pub trait Wake {
    /// Makes the owner's current or next poll return.
    fn wake(&self);
}

/// Mail for one peer.
pub struct Inbox<T, W> {
    queue: Queue<T>,
    /// The owner is in its poll, or about to be, and has seen an empty queue.
    asleep: AtomicBool,
    waker: W,
}

impl<T, W: Wake> Inbox<T, W> {
    /// An empty inbox whose owner is woken by `waker`.
    pub fn new(waker: W) -> Self {
        Self { queue: Queue::new(), asleep: AtomicBool::new(false), waker }
    }

    /// Adds `mail`, and wakes the owner if it sleeps. Never blocks.
    pub fn push(&self, mail: T) {
        self.push_quietly(mail);
        self.notify();
    }

    /// Adds `mail` without waking the owner. [`Inbox::notify`] must follow.
    pub fn push_quietly(&self, mail: T) {
        self.queue.push(mail);
    }

    /// Wakes the owner if it sleeps.
    pub fn notify(&self) {
        // Pairs with the fence in `prepare_to_sleep`: either the owner sees the mail pushed
        // before, or this thread sees that the owner sleeps.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.waker.wake();
        }
    }

    /// The oldest mail. Only the owner calls it.
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Whether there is nothing to drain.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Announces that the owner is about to sleep. Returns false when mail is there and it must
    /// not; only the owner calls it.
    pub fn prepare_to_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        self.asleep.store(false, Ordering::Relaxed);
        false
    }

    /// Announces that the owner is awake, so that pushers need not wake it.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
