//! A connection in use: reading and writing by turns.

use std::task::{Context, Poll};

use tokio::time::Instant;

use super::READ_BYTES;
use super::transport::Transport;
use super::{Exit, Task};
use crate::Statistics;
use crate::connection::outbound::Taken;
use crate::shared::Driver;

/// With less room than this a read gets new memory.
const READ_BYTES_MIN: usize = 4 * 1024;

/// For a message that is announced and has not come so much memory is taken at once; more only as
/// its bytes come.
const READ_AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// How often the task reads and writes before it lets other tasks run.
const ROUNDS_PER_POLL: usize = 16;

/// How many full buffers are written before the socket is read again.
const BATCHES_PER_ROUND: usize = 4;

/// A connection in use.
pub(super) struct Link {
    pub(super) transport: Transport,
    pub(super) since: Instant,
}

/// What became of writing.
#[derive(PartialEq, Eq)]
enum Outgoing {
    /// There may be more.
    More,
    /// Nothing is left, or the socket takes no more; the task will be woken.
    Waits,
}

impl Task {
    /// Reads and writes until there is nothing to do, or the connection is done with.
    pub(super) fn poll_link(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<Exit> {
        for _ in 0..ROUNDS_PER_POLL {
            let incoming = self.poll_incoming(cx, link);
            let may_sleep = incoming.is_pending();
            let outgoing = self.poll_outgoing(cx, link, may_sleep);
            self.poll_timer(cx);
            self.poll_tickets(cx);
            if let Some(exit) = self.exit.take() {
                return Poll::Ready(exit);
            }
            let control_waits = self.batch.is_empty() && self.connection.has_control();
            if may_sleep && outgoing == Outgoing::Waits && !control_waits {
                return Poll::Pending;
            }
            if std::mem::take(&mut self.yield_wanted) {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once. Pending when there is nothing to be read.
    fn poll_incoming(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<()> {
        if self.input.capacity() - self.input.len() < READ_BYTES_MIN {
            self.input.reserve(READ_BYTES);
        }
        match link.transport.poll_read(cx, &mut self.input) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => self.lose("the server closed the connection".to_owned()),
            Poll::Ready(Ok(_)) => {
                self.connection.handle_sign_of_life();
                self.handle_input();
            }
            Poll::Ready(Err(error)) => self.lose(format!("cannot read: {error}")),
        }
        Poll::Ready(())
    }

    /// Takes what has gathered and writes it. Only when the task `may_sleep` is it woken by the
    /// next who writes.
    fn poll_outgoing(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        may_sleep: bool,
    ) -> Outgoing {
        for _ in 0..BATCHES_PER_ROUND {
            if self.batch.is_empty() && !self.take_batch(cx, may_sleep) {
                return Outgoing::Waits;
            }
            while self.written < self.batch.len() {
                match link.transport.poll_write(cx, &self.batch[self.written..]) {
                    Poll::Ready(Ok(count)) if count > 0 => self.written += count,
                    Poll::Ready(Ok(_)) => {
                        self.lose("the socket takes nothing".to_owned());
                        return Outgoing::Waits;
                    }
                    Poll::Ready(Err(error)) => {
                        self.lose(format!("cannot write: {error}"));
                        return Outgoing::Waits;
                    }
                    Poll::Pending => {
                        self.poll_commands(cx);
                        return Outgoing::Waits;
                    }
                }
            }
            if link.transport.needs_flush() && !self.batch.is_empty() {
                match link.transport.poll_flush(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        self.lose(format!("cannot write: {error}"));
                        return Outgoing::Waits;
                    }
                    Poll::Pending => {
                        self.poll_commands(cx);
                        return Outgoing::Waits;
                    }
                }
            }
            self.batch.clear();
            self.written = 0;
        }
        Outgoing::More
    }

    /// Takes the outgoing buffer and does what its commands say. Whether there was anything.
    fn take_batch(&mut self, cx: &mut Context<'_>, may_sleep: bool) -> bool {
        let taken = {
            let mut core = self.shared.lock();
            if core.outbound.is_idle() && !self.connection.has_control() {
                if may_sleep {
                    core.driver = Driver::Asleep(cx.waker().clone());
                }
                return false;
            }
            core.driver = Driver::Awake;
            core.outbound.take(&mut self.batch, &mut self.commands)
        };
        self.handle_taken(taken);
        self.handle_commands();
        self.connection.take_control(&mut self.batch);
        true
    }

    pub(super) fn handle_taken(&self, taken: Taken) {
        if taken.messages > 0 {
            Statistics::add(&self.shared.statistics.out_messages, taken.messages);
            Statistics::add(&self.shared.statistics.out_bytes, taken.message_bytes);
        }
        if taken.space_wanted {
            self.shared.space.notify_waiters();
        }
    }

    /// Parses the input if it can be more than the beginning of a message.
    pub(super) fn handle_input(&mut self) {
        if self.input.len() < self.input_needed {
            return;
        }
        self.connection.handle_input(self.input.split().freeze());
        self.handle_events();
        let (rest, needed) = self.connection.rest();
        self.input_needed = needed;
        if !rest.is_empty() {
            // Room for the whole message, so that it is copied no second time; but what a server
            // merely announces does not make the client take memory without a bound.
            self.input.reserve(needed.clamp(READ_BYTES, READ_AHEAD_BYTES_MAX));
            self.input.extend_from_slice(rest);
        }
        self.connection.forget_input();
    }
}
