//! What wakes a peer: a poll, for those who wait for sockets, or a parked thread, for those who
//! wait for mail alone.

use crossbeam::sync::Unparker;
use mio::{Poll, Token, Waker};

use super::inbox::Wake;

/// The token that a wake-up has in a poll.
pub const WAKE_TOKEN: Token = Token(usize::MAX);

/// Wakes the thread of a peer.
#[derive(Debug)]
pub enum PeerWaker {
    /// A reactor, out of its poll.
    Poll(Waker),
    /// A shard, out of its park.
    Thread(Unparker),
}

impl PeerWaker {
    /// The waker of the reactor that polls `poll`.
    ///
    /// # Errors
    ///
    /// The system has no more file descriptors.
    pub fn of_poll(poll: &Poll) -> std::io::Result<Self> {
        Waker::new(poll.registry(), WAKE_TOKEN).map(Self::Poll)
    }
}

impl Wake for PeerWaker {
    fn wake(&self) {
        match self {
            Self::Poll(waker) => {
                if let Err(error) = waker.wake() {
                    tracing::error!("a reactor could not be woken: {error}");
                }
            }
            Self::Thread(unparker) => unparker.unpark(),
        }
    }
}
