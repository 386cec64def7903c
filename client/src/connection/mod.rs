//! The connection of a client as a state machine without socket, clock or lock.
//!
//! Bytes that arrived go in through [`Connection::handle_input`], and [`Connection::poll_event`]
//! says one after the other what they mean; the wishes of the user are methods; bytes to be sent
//! gather until [`Connection::take_control`]; time is an argument, in milliseconds since any
//! moment. [`Connection::handle_link_up`] and [`Connection::handle_link_down`] say when there is
//! a connection; subscriptions and requests outlive it.
//!
//! Not here: the first exchange ([`handshake`]), where to connect ([`pool`]), and the bytes of
//! user operations, which are written where they are called ([`outbound`]).

pub(crate) mod handshake;
pub(crate) mod outbound;
pub(crate) mod pool;
pub(crate) mod requests;
mod resend;
mod subscriptions;

use std::collections::VecDeque;

use bytes::Bytes;
use fulmar_protocol::encode;
use fulmar_protocol::info::Info;
use fulmar_protocol::server_op::{self, ServerOp};

use crate::Message;
use crate::event::ServerError;
use requests::{Requests, Waiter};
use subscriptions::Subscriptions;

/// The state machine. `S` takes the messages of a subscription, `R` waits for the answer to a
/// request, `W` waits for a flush.
pub(crate) struct Connection<S, R, W> {
    up: bool,
    slab: Bytes,
    /// Up to here the slab is consumed.
    consumed: usize,
    needed: usize,
    subscriptions: Subscriptions<S>,
    /// A subscription that has had its last message.
    finished: Option<u64>,
    mux: Option<Mux>,
    requests: Requests<R>,
    /// What PINGs without an answer are for, in the order in which they are sent.
    pings: VecDeque<Ping<W>>,
    /// Those whose PINGs are still in `control`.
    control_pings: VecDeque<Ping<W>>,
    /// Flushes that were asked for while there was no connection.
    flushes: Vec<W>,
    keep_alive: KeepAlive,
    control: Vec<u8>,
    notices: VecDeque<Notice<S, R, W>>,
    counts: Counts,
}

/// What [`Connection::poll_event`] found.
pub(crate) enum Event<'a, S, R, W> {
    /// A message for a subscription.
    Message { sid: u64, subscriber: &'a mut S, message: Message },
    /// An answer to a request.
    Reply { waiter: R, message: Message },
    /// Anything else that the driver must act upon.
    Notice(Notice<S, R, W>),
    /// Something that needs nothing done.
    Ignored,
}

/// What happened besides messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice<S, R, W> {
    /// The subscription gets no more messages.
    Ended { sid: u64, subscriber: S },
    /// The request was not answered in time.
    Expired(R),
    /// The server has everything that was sent before the flush.
    Flushed(W),
    /// Whether the server has everything cannot be known.
    FlushFailed(W),
    /// The server changed what it says of itself.
    Info(Box<Info>),
    /// The server reported an error.
    ServerError(ServerError),
    /// All subscriptions were drained.
    Drained,
}

/// Received since [`Connection::take_counts`] was called last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) messages: u64,
    /// Bytes of headers and payloads.
    pub(crate) message_bytes: u64,
}

/// The connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The bytes are not what a server sends.
    Protocol(String),
    /// So many PINGs have no answer.
    Stale(u32),
}

/// The shared inbox of all requests: `subject` is a prefix and `*`, answers come to that prefix
/// and a token.
struct Mux {
    sid: u64,
    subject: Bytes,
}

enum Ping<W> {
    KeepAlive,
    Flush(W),
    /// The UNSUB of the subscription was sent before.
    DrainOne(u64),
    /// The UNSUB of all of them was sent before.
    DrainAll,
}

/// PINGs at an interval; when too many have no answer and nothing else comes either, the
/// connection is dead.
struct KeepAlive {
    interval_ms: u64,
    due_ms: u64,
    heard: bool,
    unanswered: u32,
}

/// So many PINGs may stay unanswered.
const PINGS_UNANSWERED_MAX: u32 = 2;

impl<S, R: Waiter, W: Waiter> Connection<S, R, W> {
    pub(crate) fn new(ping_interval_ms: u64) -> Self {
        Self {
            up: false,
            slab: Bytes::new(),
            consumed: 0,
            needed: 0,
            subscriptions: Subscriptions::new(),
            finished: None,
            mux: None,
            requests: Requests::new(),
            pings: VecDeque::new(),
            control_pings: VecDeque::new(),
            flushes: Vec::new(),
            keep_alive: KeepAlive {
                interval_ms: ping_interval_ms,
                due_ms: u64::MAX,
                heard: false,
                unanswered: 0,
            },
            control: Vec::new(),
            notices: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    // --- what happened ---

    /// There is a connection whose first exchange is done: subscriptions are made anew. Messages
    /// that waited go between [`Connection::take_control`] and [`Connection::resume_flushes`].
    pub(crate) fn handle_link_up(&mut self, now_ms: u64) {
        debug_assert!(!self.up && self.pings.is_empty() && self.control.is_empty());
        self.up = true;
        self.keep_alive.heard = true;
        self.keep_alive.unanswered = 0;
        self.keep_alive.due_ms = now_ms.saturating_add(self.keep_alive.interval_ms);
        self.subscriptions.encode(&mut self.control);
        if let Some(mux) = &self.mux {
            let mut digits = itoa::Buffer::new();
            let sid = digits.format(mux.sid).as_bytes();
            encode::subscribe(&mut self.control, &mux.subject, None, sid);
        }
    }

    /// The connection is lost. What waited for its answers is told; the rest waits for the next.
    pub(crate) fn handle_link_down(&mut self) {
        self.up = false;
        self.slab = Bytes::new();
        self.consumed = 0;
        self.needed = 0;
        self.control.clear();
        self.keep_alive.due_ms = u64::MAX;
        self.pings.append(&mut self.control_pings);
        for ping in std::mem::take(&mut self.pings) {
            match ping {
                Ping::KeepAlive => {}
                Ping::Flush(waiter) => self.notices.push_back(Notice::FlushFailed(waiter)),
                Ping::DrainOne(sid) => self.end(sid),
                Ping::DrainAll => self.end_all(),
            }
        }
    }

    /// Something arrived, whatever it is: also a part of a message that is not yet whole.
    pub(crate) fn handle_sign_of_life(&mut self) {
        self.keep_alive.heard = true;
    }

    /// Takes bytes that arrived: first what [`Connection::rest`] left over, then what is new.
    pub(crate) fn handle_input(&mut self, slab: Bytes) {
        self.slab = slab;
        self.consumed = 0;
        self.needed = 0;
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_ms: u64) -> Result<(), Broken> {
        let notices = &mut self.notices;
        self.requests.sweep(now_ms, |waiter| notices.push_back(Notice::Expired(waiter)));
        if now_ms < self.keep_alive.due_ms {
            return Ok(());
        }
        let keep_alive = &mut self.keep_alive;
        if std::mem::take(&mut keep_alive.heard) {
            keep_alive.unanswered = 0;
        }
        if keep_alive.unanswered >= PINGS_UNANSWERED_MAX {
            return Err(Broken::Stale(keep_alive.unanswered));
        }
        keep_alive.unanswered += 1;
        keep_alive.due_ms = now_ms.saturating_add(keep_alive.interval_ms);
        self.send_ping(Ping::KeepAlive);
        Ok(())
    }

    // --- what the user wants ---

    pub(crate) fn subscribe(
        &mut self,
        sid: u64,
        subject: Bytes,
        queue: Option<Bytes>,
        subscriber: S,
    ) {
        self.subscriptions.insert(sid, subject, queue, subscriber);
    }

    /// Ends a subscription, now or after `max` messages since it was made.
    pub(crate) fn unsubscribe(&mut self, sid: u64, max: Option<u64>) {
        let ended = match max {
            None => self.subscriptions.remove(sid),
            Some(max) => self.subscriptions.limit(sid, max),
        };
        self.notices.extend(ended.map(|subscriber| Notice::Ended { sid, subscriber }));
    }

    /// Ends a subscription once everything sent before its UNSUB has come; the PING after it has
    /// been written by the caller.
    pub(crate) fn drain_subscription(&mut self, sid: u64) {
        if self.up {
            self.pings.push_back(Ping::DrainOne(sid));
        } else {
            self.end(sid);
        }
    }

    /// Answers to requests come through the subscription `sid` to `subject`, whose last token is
    /// `*`.
    pub(crate) fn subscribe_mux(&mut self, sid: u64, subject: Bytes) {
        self.mux = Some(Mux { sid, subject });
    }

    pub(crate) fn request(&mut self, token: u64, waiter: R, now_ms: u64, timeout_ms: Option<u64>) {
        self.requests.insert(token, waiter, now_ms, timeout_ms);
    }

    /// Somebody waits for the answer to a PING that has been written, if there is a connection.
    pub(crate) fn flush(&mut self, waiter: W) {
        if self.up {
            self.pings.push_back(Ping::Flush(waiter));
            return;
        }
        if self.flushes.len().is_power_of_two() {
            self.flushes.retain(|waiter| !waiter.is_gone());
        }
        self.flushes.push(waiter);
    }

    /// Sends the PINGs of flushes that were asked for while there was no connection.
    pub(crate) fn resume_flushes(&mut self) {
        for waiter in std::mem::take(&mut self.flushes) {
            self.send_ping(Ping::Flush(waiter));
        }
    }

    /// Sends a PING of the driver's own; `waiter` waits for its answer.
    pub(crate) fn ping(&mut self, waiter: W) {
        self.send_ping(Ping::Flush(waiter));
    }

    /// Ends all subscriptions once everything sent before has come; then comes
    /// [`Notice::Drained`].
    pub(crate) fn drain(&mut self) {
        if !self.up {
            self.end_all();
            return;
        }
        for sid in self.subscriptions.sids() {
            let mut digits = itoa::Buffer::new();
            encode::unsubscribe(&mut self.control, digits.format(sid).as_bytes(), None);
        }
        self.send_ping(Ping::DrainAll);
    }

    /// Ends everything.
    pub(crate) fn close(&mut self) {
        self.handle_link_down();
        self.requests.clear();
        let subscriptions = self.subscriptions.drain();
        self.notices
            .extend(subscriptions.map(|(sid, subscriber)| Notice::Ended { sid, subscriber }));
        self.notices.extend(self.flushes.drain(..).map(Notice::FlushFailed));
    }

    // --- what next ---

    /// The next thing that happened; `None` when there is nothing before more bytes come.
    pub(crate) fn poll_event(&mut self) -> Result<Option<Event<'_, S, R, W>>, Broken> {
        if let Some(sid) = self.finished.take() {
            self.end(sid);
        }
        if let Some(notice) = self.notices.pop_front() {
            return Ok(Some(Event::Notice(notice)));
        }
        if self.consumed == self.slab.len() {
            return Ok(None);
        }
        let parsed = server_op::parse(&self.slab[self.consumed..])
            .map_err(|error| Broken::Protocol(error.to_string()))?;
        let (op, consumed) = match parsed {
            server_op::Step::Op { op, consumed } => (op, consumed),
            server_op::Step::Incomplete { needed } => {
                self.needed = needed;
                return Ok(None);
            }
        };
        self.consumed += consumed;
        match op {
            ServerOp::Message(parsed) => {
                let sid = number(parsed.sid)
                    .ok_or_else(|| Broken::Protocol("a message for no subscription".to_owned()))?;
                self.counts.messages += 1;
                self.counts.message_bytes += (parsed.headers.len() + parsed.payload.len()) as u64;
                if let Some(mux) = self.mux.as_ref().filter(|mux| mux.sid == sid) {
                    let token = parsed.subject.get(mux.subject.len() - 1..).and_then(number);
                    let waiter = token.and_then(|token| self.requests.remove(token));
                    return Ok(Some(match waiter {
                        Some(waiter) => {
                            Event::Reply { waiter, message: Message::received(&self.slab, &parsed) }
                        }
                        // Its time was over, or it is a second answer.
                        None => Event::Ignored,
                    }));
                }
                let Some((subscriber, last)) = self.subscriptions.count_message(sid) else {
                    // It was sent before the server knew of the UNSUB.
                    return Ok(Some(Event::Ignored));
                };
                if last {
                    self.finished = Some(sid);
                }
                let message = Message::received(&self.slab, &parsed);
                Ok(Some(Event::Message { sid, subscriber, message }))
            }
            ServerOp::Ping => {
                self.control.extend_from_slice(b"PONG\r\n");
                Ok(Some(Event::Ignored))
            }
            ServerOp::Pong => {
                self.handle_pong();
                Ok(Some(Event::Ignored))
            }
            ServerOp::Info(json) => {
                let info = serde_json::from_slice(json)
                    .map_err(|error| Broken::Protocol(format!("INFO cannot be read: {error}")))?;
                Ok(Some(Event::Notice(Notice::Info(Box::new(info)))))
            }
            ServerOp::Err(text) => {
                Ok(Some(Event::Notice(Notice::ServerError(ServerError::from_text(text)))))
            }
            ServerOp::Ok => Ok(Some(Event::Ignored)),
        }
    }

    /// What of the input is left over, and how many bytes at least are needed to go on.
    pub(crate) fn rest(&self) -> (&[u8], usize) {
        (&self.slab[self.consumed..], self.needed)
    }

    /// Forgets the input, so that its memory is not held; what is left over was copied.
    pub(crate) fn forget_input(&mut self) {
        self.slab = Bytes::new();
        self.consumed = 0;
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    /// When [`Connection::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> u64 {
        self.requests.sweep_at_ms().unwrap_or(u64::MAX).min(self.keep_alive.due_ms)
    }

    /// Whether there are bytes to take.
    pub(crate) fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// Moves bytes that are to be sent to the end of `out`, which begins with what users wrote
    /// and whose commands were handled: answers to PINGs are told apart by their order.
    pub(crate) fn take_control(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.control);
        self.pings.append(&mut self.control_pings);
    }

    pub(crate) fn subscriber_mut(&mut self, sid: u64) -> Option<&mut S> {
        self.subscriptions.get_mut(sid)
    }

    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn handle_pong(&mut self) {
        match self.pings.pop_front() {
            // One too many does no harm.
            None | Some(Ping::KeepAlive) => {}
            Some(Ping::Flush(waiter)) => self.notices.push_back(Notice::Flushed(waiter)),
            Some(Ping::DrainOne(sid)) => self.end(sid),
            Some(Ping::DrainAll) => self.end_all(),
        }
    }

    fn send_ping(&mut self, ping: Ping<W>) {
        self.control.extend_from_slice(b"PING\r\n");
        self.control_pings.push_back(ping);
    }

    fn end(&mut self, sid: u64) {
        let ended = self.subscriptions.remove(sid);
        self.notices.extend(ended.map(|subscriber| Notice::Ended { sid, subscriber }));
    }

    fn end_all(&mut self) {
        let subscriptions = self.subscriptions.drain();
        self.notices
            .extend(subscriptions.map(|(sid, subscriber)| Notice::Ended { sid, subscriber }));
        self.notices.push_back(Notice::Drained);
    }
}

/// A decimal number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number * 10 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests;
