//! One poll: everything that is due, then as many deliveries as there may be.
//!
//! The order matters. Time first, so that a message that is due again goes before new ones and a
//! request that is over gets nothing. Then deliveries, until something stops them; what stopped
//! them is remembered, because it is what the consumer waits for. Then requests that do not wait
//! are told, heartbeats go out, and it is looked whether anybody still uses the consumer.

use super::messages::{Delivery, Messages};
use super::pull::{Attention, Wanted, tell};
use super::push::Push;
use super::settings::{AckPolicy, Mode};
use super::sink::{Advisory, Sink};
use super::status::{self, Status};
use super::{Consumer, Filters, Side};
use crate::jetstream::time::{NEVER_NS, Now};

/// How much one poll may deliver, so that one consumer does not hold up others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Messages.
    pub messages: usize,
    /// Bytes of subjects, headers and payloads; the message that crosses the line is sent.
    pub bytes: usize,
}

/// What a poll did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages delivered.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// There was more to deliver than the budget allowed: poll again, at the same time.
    pub has_more: bool,
    /// Nobody has used the consumer for longer than its threshold: its owner deletes it.
    pub is_inactive: bool,
}

/// What keeps a consumer from delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Another poll: the budget was used up.
    Poll,
    /// The end of the pause.
    Resume,
    /// Somebody who listens to the deliver subject.
    Interest,
    /// An answer to flow control.
    FlowControl,
    /// A pull request.
    Request,
    /// An acknowledgement: too many are on their way.
    Acknowledgement,
    /// A message that matches.
    Messages,
    /// A moment: rate limit or replay.
    Moment(u64),
    /// A request that may have the message: those that wait have other priorities.
    OtherRequest,
}

/// A message that could be delivered now.
#[derive(Clone, Copy)]
struct Candidate {
    sequence: u64,
    /// How often it was delivered before.
    deliveries: u32,
}

impl Consumer {
    /// Does what is due, and delivers what may be delivered.
    pub fn poll(
        &mut self,
        now: Now,
        messages: &impl Messages,
        sink: &mut impl Sink,
        budget: Budget,
    ) -> Progress {
        self.polls += 1;
        self.sync(messages);
        self.expire_deadlines(now, sink);
        self.resume(now, sink);
        if let Side::Pull(pull) = &self.side {
            let is_due = pull.requests.due_at() <= now.monotonic_ns;
            self.expire_pin(now, sink);
            if is_due {
                self.attend_requests(now, sink, Attention::default());
            }
        }
        let mut progress = Progress::default();
        self.waits_for = self.deliver(now, messages, sink, budget, &mut progress);
        progress.has_more = self.waits_for == WaitsFor::Poll;
        if progress.messages > 0 {
            self.touch(now);
            self.deadlines.tidy(self.ledger.window());
        }
        if !progress.has_more
            && !matches!(self.waits_for, WaitsFor::Acknowledgement | WaitsFor::Moment(_))
            && let Side::Pull(pull) = &self.side
            && pull.requests.has_no_wait()
        {
            let attention = Attention { ends_no_wait: true, checks_interest: false };
            self.attend_requests(now, sink, attention);
        }
        self.send_heartbeat(now, sink);
        progress.is_inactive = self.is_inactive(now, sink);
        progress
    }

    /// When to poll again if nothing happens before: a monotonic moment, or never.
    pub fn next_timeout(&mut self, now: Now) -> Option<u64> {
        let mut next = self.deadlines.next(self.ledger.window()).unwrap_or(NEVER_NS);
        next = next.min(self.activity.look_at);
        if self.is_paused {
            next = next.min(now.after(self.pause_left_ns(now)));
        }
        if let WaitsFor::Moment(at) = self.waits_for {
            next = next.min(at);
        }
        match &self.side {
            Side::Pull(pull) => {
                next = next.min(pull.requests.due_at());
                next = next.min(pull.pin.as_ref().map_or(NEVER_NS, |pin| pin.expires_at));
            }
            Side::Push(push) if push.is_active => next = next.min(push.heartbeat_at),
            Side::Push(_) => {}
        }
        (next != NEVER_NS).then_some(next)
    }

    /// Messages whose acknowledgement is overdue are delivered again, or were delivered as often
    /// as they may be.
    fn expire_deadlines(&mut self, now: Now, sink: &mut impl Sink) {
        let mut due = std::mem::take(&mut self.due);
        self.deadlines.take_due(now.monotonic_ns, self.ledger.window(), &mut due);
        for stream in due.drain(..) {
            self.redeliver_or_exceed(stream, sink);
        }
        self.due = due;
    }

    /// Those who watch are told when a pause begins or is over.
    fn resume(&mut self, now: Now, sink: &mut impl Sink) {
        if self.settings.paused_until_unix_ns.is_none() {
            return;
        }
        let is_paused = self.pause_left_ns(now) > 0;
        if self.is_paused && !is_paused {
            let until_unix_ns = self.settings.paused_until_unix_ns;
            sink.advisory(Advisory::Paused { paused: false, until_unix_ns });
        }
        self.is_paused = is_paused;
    }

    /// Delivers until something stops it: that is returned.
    fn deliver(
        &mut self,
        now: Now,
        messages: &impl Messages,
        sink: &mut impl Sink,
        budget: Budget,
        progress: &mut Progress,
    ) -> WaitsFor {
        loop {
            if let Some(waits_for) = self.waits_for_receiver() {
                return waits_for;
            }
            let candidate = match self.candidate(messages, sink) {
                Ok(candidate) => candidate,
                Err(waits_for) => return waits_for,
            };
            if progress.messages >= budget.messages || progress.bytes >= budget.bytes {
                return WaitsFor::Poll;
            }
            let delivered = messages.read(candidate.sequence, |message| {
                let bytes = message.subject.len() + message.headers.len() + message.payload.len();
                self.deliver_one(now, candidate, message, sink).map(|()| bytes)
            });
            match delivered {
                None => self.pass_over(candidate, messages, sink),
                Some(Err(waits_for)) => return waits_for,
                Some(Ok(bytes)) => {
                    progress.messages += 1;
                    progress.bytes += bytes;
                }
            }
        }
    }

    /// What it waits for before any message is looked at.
    #[inline]
    pub(super) fn waits_for_receiver(&self) -> Option<WaitsFor> {
        if self.is_paused {
            return Some(WaitsFor::Resume);
        }
        match &self.side {
            Side::Pull(pull) => pull.requests.is_empty().then_some(WaitsFor::Request),
            Side::Push(push) if !push.is_active => Some(WaitsFor::Interest),
            Side::Push(push) => push
                .flow
                .as_ref()
                .is_some_and(super::flow::Flow::is_stalled)
                .then_some(WaitsFor::FlowControl),
        }
    }

    /// The message that comes next.
    #[inline]
    fn candidate(
        &mut self,
        messages: &impl Messages,
        sink: &mut impl Sink,
    ) -> Result<Candidate, WaitsFor> {
        while let Some(sequence) = self.redelivery.front(self.ledger.window()) {
            let deliveries = self.ledger.window().get(sequence).map_or(1, |entry| entry.deliveries);
            // The maximum can have been lowered since the message was queued.
            if self.settings.is_last_delivery(deliveries) {
                self.exceed(sequence, sink);
                continue;
            }
            return Ok(Candidate { sequence, deliveries });
        }
        if self.is_ack_pending_full() {
            return Err(WaitsFor::Acknowledgement);
        }
        match self.backlog.peek(&self.settings.filters, messages) {
            Some(sequence) => Ok(Candidate { sequence, deliveries: 0 }),
            None => {
                if self.replay.is_some_and(|replay| replay.is_over(self.backlog.reached())) {
                    self.replay = None;
                }
                Err(WaitsFor::Messages)
            }
        }
    }

    /// The index knows a message, and there is nothing to read: it is damaged, or it went
    /// without a word. Others do not wait for it.
    fn pass_over(&mut self, candidate: Candidate, messages: &impl Messages, sink: &mut impl Sink) {
        let sequence = candidate.sequence;
        if candidate.deliveries == 0 {
            self.backlog.take(sequence);
            self.journal.passed_over();
        } else {
            self.settle_missing(sequence, Some(sink));
        }
        if messages.next_matching(&Filters::all(), sequence) == Some(sequence) {
            sink.advisory(Advisory::Unreadable { stream_sequence: sequence });
        }
    }

    /// Delivers a message, or says what it has to wait for.
    #[inline]
    fn deliver_one(
        &mut self,
        now: Now,
        candidate: Candidate,
        message: Delivery<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), WaitsFor> {
        let Candidate { sequence, deliveries } = candidate;
        let is_new = deliveries == 0;
        let pending = self.backlog.count().saturating_sub(u64::from(is_new));
        self.ack_reply.write(
            deliveries.saturating_add(1),
            sequence,
            self.ledger.delivered().consumer + 1,
            message.timestamp_ns,
            pending,
        );
        if let Some(replay) = &self.replay {
            let at = replay.ready_at(message.timestamp_ns);
            if at > now.monotonic_ns {
                return Err(WaitsFor::Moment(at));
            }
        }
        let (mut headers, mut payload) = (message.headers, message.payload);
        if self.settings.headers_only {
            self.headers.clear();
            self.headers.extend_from_slice(headers);
            let mut digits = itoa::Buffer::new();
            let size = digits.format(payload.len()).as_bytes();
            status::add_header(&mut self.headers, status::MESSAGE_SIZE_HEADER, size);
            headers = &self.headers;
            payload = b"";
        }
        let reply = self.ack_reply.subject();
        let body_bytes = (headers.len() + payload.len()) as u64;
        let size = message.subject.len() as u64 + reply.len() as u64 + body_bytes;
        let mut asks_for_flow = false;
        match (&mut self.side, &self.settings.mode) {
            (Side::Pull(pull), _) => {
                let wanted = Wanted {
                    now,
                    size,
                    pending: pending + 1,
                    ack_pending: self.ledger.window().len() as u64,
                    poll: self.polls,
                };
                if !pull.choose(wanted, sink, &mut self.status, &mut self.random) {
                    return Err(if pull.requests.is_empty() {
                        WaitsFor::Request
                    } else {
                        WaitsFor::OtherRequest
                    });
                }
                let pinned;
                if let Some(pin) = &pull.pin {
                    let mut block = headers.to_vec();
                    status::add_header(&mut block, status::PIN_ID_HEADER, pin.id.as_bytes());
                    pinned = block;
                    headers = &pinned;
                }
                if let Some(request) = pull.requests.front() {
                    sink.send(&request.reply, message.subject, Some(reply), headers, payload);
                }
                if let Some(done) = pull.requests.turn(now.monotonic_ns)
                    && done.left.bytes > 0
                {
                    let status = Status::BatchCompleted(done.left);
                    tell(sink, &mut self.status, &done.reply, status);
                }
            }
            (Side::Push(push), Mode::Push(settings)) => {
                if let Some(rate) = &mut push.rate {
                    let at = rate.ready_at(size, now.monotonic_ns);
                    if at > now.monotonic_ns {
                        return Err(WaitsFor::Moment(at));
                    }
                    rate.sent(size, now.monotonic_ns);
                }
                let to = &settings.deliver_subject;
                sink.send(to, message.subject, Some(reply), headers, payload);
                if let Some(after) = settings.heartbeat_ns {
                    push.heartbeat_at = now.after(after.get());
                }
                if let Push { flow: Some(flow), .. } = push {
                    // One more is on its way than the ledger knows yet.
                    let on_their_way = self.ledger.window().len() + usize::from(is_new);
                    let is_full = self.settings.acknowledge == AckPolicy::FlowControl
                        && self
                            .settings
                            .ack_pending_max
                            .is_some_and(|max| on_their_way >= max.get());
                    let bytes = to.len() as u64 + reply.len() as u64 + body_bytes;
                    asks_for_flow = flow.sent(bytes, is_full);
                }
            }
            (Side::Push(_), Mode::Pull(_)) => return Err(WaitsFor::Interest),
        }
        if let Some(replay) = &mut self.replay {
            replay.sent(message.timestamp_ns, now.monotonic_ns);
        }
        self.note_delivery(now, candidate, sink);
        if asks_for_flow {
            self.ask_for_flow(sink);
        }
        Ok(())
    }

    /// A message was sent: it is counted, and its acknowledgement is waited for.
    #[inline]
    fn note_delivery(&mut self, now: Now, candidate: Candidate, sink: &mut impl Sink) {
        let Candidate { sequence, deliveries } = candidate;
        self.last_delivery_ns = now.unix_ns;
        let wait = self.settings.wait_ns(deliveries.saturating_add(1));
        let deadline = if wait == 0 { NEVER_NS } else { now.after(wait) };
        if deliveries > 0 {
            if let Some(entry) = self.ledger.window().get(sequence) {
                self.redelivery.forget(entry.ticket);
            }
            self.ledger.redeliver(sequence, deadline);
            self.deadlines.set(sequence, deliveries.saturating_add(1), deadline);
            self.journal.redelivered(sequence, now.unix_of(deadline));
            return;
        }
        self.backlog.take(sequence);
        if self.settings.acknowledge == AckPolicy::None {
            self.ledger.deliver_untracked(sequence);
            self.journal.delivered_untracked();
            sink.acknowledged(sequence);
            return;
        }
        self.ledger.deliver(sequence, deadline);
        self.deadlines.set(sequence, 1, deadline);
        self.journal.delivered(sequence, now.unix_of(deadline));
    }

    /// Whether nobody used the consumer for too long.
    fn is_inactive(&mut self, now: Now, sink: &mut impl Sink) -> bool {
        if now.monotonic_ns < self.activity.look_at {
            return false;
        }
        let threshold_ns = self.activity.threshold_ns;
        let unused_at = self.activity.last.saturating_add(threshold_ns);
        if unused_at > now.monotonic_ns {
            self.activity.look_at = unused_at;
            return false;
        }
        let Side::Pull(_) = &self.side else { return true };
        let attention = Attention { ends_no_wait: false, checks_interest: true };
        self.attend_requests(now, sink, attention);
        if let Side::Pull(pull) = &self.side
            && !pull.requests.is_empty()
        {
            self.activity.look_at = now.after(threshold_ns);
            return false;
        }
        // Clients may still work on what they have: they are given their time, and then some.
        let last_due = self
            .ledger
            .window()
            .iter()
            .filter(|entry| entry.ticket == 0 && entry.deadline != NEVER_NS)
            .map(|entry| entry.deadline.saturating_add(threshold_ns))
            .max()
            .unwrap_or(0);
        if last_due > now.monotonic_ns {
            self.activity.look_at = last_due;
            return false;
        }
        true
    }
}
