//! The side of a consumer that sends by itself: whether anybody listens, heartbeats, flow control.

use super::flow::Flow;
use super::pace::Rate;
use super::settings::{AckPolicy, PushSettings};
use super::sink::Sink;
use super::status::{self, Status};
use super::{Consumer, Mode, Side};
use crate::jetstream::time::{NEVER_NS, Now};

#[derive(Debug)]
pub(super) struct Push {
    /// Somebody listens to the deliver subject.
    pub(super) is_active: bool,
    pub(super) flow: Option<Flow>,
    pub(super) rate: Option<Rate>,
    /// When silence has lasted long enough.
    pub(super) heartbeat_at: u64,
}

impl Push {
    pub(super) fn new(settings: &PushSettings, now: Now) -> Self {
        Self {
            is_active: false,
            flow: settings.flow_control.then(Flow::new),
            rate: settings.rate.map(|rate| Rate::new(rate, now.monotonic_ns)),
            heartbeat_at: settings.heartbeat_ns.map_or(NEVER_NS, |after| now.after(after.get())),
        }
    }

    /// Other settings; whether messages go to another subject now. Then nobody is known to listen
    /// until [`Consumer::handle_interest`] says so.
    pub(super) fn update(
        &mut self,
        before: &PushSettings,
        settings: &PushSettings,
        now: Now,
    ) -> bool {
        if before.rate != settings.rate {
            self.rate = settings.rate.map(|rate| Rate::new(rate, now.monotonic_ns));
        }
        if before.flow_control != settings.flow_control {
            self.flow = settings.flow_control.then(Flow::new);
        }
        if before.heartbeat_ns != settings.heartbeat_ns {
            self.heartbeat_at =
                settings.heartbeat_ns.map_or(NEVER_NS, |after| now.after(after.get()));
        }
        let moved = before.deliver_subject != settings.deliver_subject;
        if moved {
            self.is_active = false;
        }
        moved
    }
}

impl Consumer {
    /// Whether anybody listens to the deliver subject, in the deliver group if there is one.
    /// Nobody does until this says so.
    pub fn handle_interest(&mut self, now: Now, is_there: bool) {
        let Side::Push(push) = &mut self.side else { return };
        if is_there {
            push.is_active = true;
            self.activity.look_at = NEVER_NS;
        } else {
            if push.is_active || self.activity.look_at == NEVER_NS {
                self.activity.last = now.monotonic_ns;
                self.activity.look_at = now.after(self.activity.threshold_ns);
            }
            push.is_active = false;
        }
    }

    /// A message to the subject of a flow control question. Where answers are acknowledgements
    /// its headers say up to where.
    pub fn handle_flow_control_reply(
        &mut self,
        now: Now,
        subject: &[u8],
        headers: &[u8],
        sink: &mut impl Sink,
    ) {
        let Side::Push(Push { flow: Some(flow), .. }) = &mut self.side else { return };
        if !flow.answered(subject) || self.settings.acknowledge != AckPolicy::FlowControl {
            return;
        }
        let sequence = status::header(headers, status::LAST_STREAM_HEADER)
            .and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
        if let Some(sequence) = sequence {
            self.acknowledge_up_to(now, sequence, sink);
        }
    }

    /// Says that the consumer is alive when nothing else did.
    pub(super) fn send_heartbeat(&mut self, now: Now, sink: &mut impl Sink) {
        let (Side::Push(push), Mode::Push(settings)) = (&mut self.side, &self.settings.mode) else {
            return;
        };
        if push.heartbeat_at > now.monotonic_ns {
            return;
        }
        push.heartbeat_at = settings.heartbeat_ns.map_or(NEVER_NS, |after| now.after(after.get()));
        if !push.is_active {
            return;
        }
        let status = Status::IdleHeartbeat {
            consumer: self.ledger.delivered().consumer,
            stream: self.backlog.reached().saturating_sub(1),
            stalled: push.flow.as_ref().and_then(Flow::awaited),
        };
        status.write(&mut self.status);
        let to = &settings.deliver_subject;
        sink.send(to, to, None, self.status.as_bytes(), b"");
        let waits = !self.ledger.window().is_empty();
        if self.settings.acknowledge == AckPolicy::FlowControl
            && waits
            && push.flow.as_ref().is_some_and(|flow| flow.awaited().is_none())
        {
            self.ask_for_flow(sink);
        }
    }

    /// Asks the receiver to confirm what it has taken.
    pub(super) fn ask_for_flow(&mut self, sink: &mut impl Sink) {
        let (Side::Push(Push { flow: Some(flow), .. }), Mode::Push(settings)) =
            (&mut self.side, &self.settings.mode)
        else {
            return;
        };
        let reply = flow.ask(&self.identity.stream, &self.identity.consumer, &mut self.random);
        Status::FlowControl.write(&mut self.status);
        let to = &settings.deliver_subject;
        sink.send(to, to, Some(reply.as_bytes()), self.status.as_bytes(), b"");
    }
}
