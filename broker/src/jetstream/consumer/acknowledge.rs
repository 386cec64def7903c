//! What clients say about deliveries, and what follows from it.

use super::Consumer;
use super::ack::{AckBody, AckSubject};
use super::ledger::Settled;
use super::messages::Messages;
use super::settings::AckPolicy;
use super::sink::{Advisory, Sink};
use super::window::Entry;
use crate::jetstream::time::{NEVER_NS, Now};

impl Consumer {
    /// An acknowledgement in any of its forms: the subject says which delivery, the body what
    /// became of it, and an empty message goes to `reply` once that is kept. The next messages,
    /// if it asks for them, come with the next [`poll`](Consumer::poll).
    pub fn handle_ack(
        &mut self,
        now: Now,
        ack: &AckSubject<'_>,
        body: &[u8],
        reply: Option<&[u8]>,
        messages: &impl Messages,
        sink: &mut impl Sink,
    ) {
        if !self.takes_acks() {
            return;
        }
        self.touch(now);
        let is_answered = match AckBody::parse(body) {
            AckBody::Ack => self.acknowledge(now, ack, true, sink),
            AckBody::Next(request) => {
                self.acknowledge(now, ack, true, sink);
                if let Some(reply) = reply {
                    self.handle_request(now, reply, request, messages, sink);
                }
                false
            }
            AckBody::Term(reason) => {
                let is_acknowledged = self.acknowledge(now, ack, false, sink);
                sink.advisory(Advisory::Terminated {
                    consumer_sequence: ack.consumer_sequence.unwrap_or(0),
                    stream_sequence: ack.stream_sequence.unwrap_or(0),
                    deliveries: ack.deliveries.unwrap_or(0),
                    reason,
                });
                is_acknowledged
            }
            AckBody::Nak { delay_ns } => {
                self.refuse(now, ack, delay_ns, sink);
                ack.stream_sequence != Some(0)
            }
            AckBody::Progress => {
                self.prolong(now, ack);
                ack.stream_sequence != Some(0)
            }
            AckBody::Other => ack.stream_sequence != Some(0),
        };
        if let Some(reply) = reply.filter(|_| is_answered) {
            sink.reply_when_durable(reply);
        }
    }

    /// The owner is done with a message in place of a client: it was moved elsewhere, for
    /// example after its last delivery ([`Advisory::MaxDeliveries`]). Whether there was anything
    /// to be done with.
    pub fn dismiss(&mut self, now: Now, sequence: u64, sink: &mut impl Sink) -> bool {
        match self.ledger.settle(sequence) {
            Settled::Unknown => return false,
            Settled::Exceeded => {}
            Settled::Waiting(entry) => self.redelivery.forget(entry.ticket),
        }
        self.journal.settled(sequence);
        sink.acknowledged(sequence);
        self.note_ack(now);
        true
    }

    /// Everything up to a sequence is done with.
    pub(super) fn acknowledge_up_to(&mut self, now: Now, sequence: u64, sink: &mut impl Sink) {
        // What was not delivered cannot be done with, whatever a client says.
        let sequence = sequence.min(self.ledger.delivered().stream);
        let is_exceeded = self.ledger.exceeded().range(..=sequence).next().is_some();
        if sequence <= self.ledger.floor().stream && !is_exceeded {
            return;
        }
        while let Some(entry) = self.ledger.settle_oldest(sequence) {
            self.redelivery.forget(entry.ticket);
            sink.acknowledged(entry.stream);
        }
        for stream in self.ledger.exceeded().range(..=sequence).map(|(stream, _)| *stream) {
            sink.acknowledged(stream);
        }
        self.ledger.raise_floor(sequence);
        self.journal.settled_up_to(sequence);
        self.note_ack(now);
    }

    /// The message is done with. `false` if it was never delivered: that is not answered.
    #[inline]
    fn acknowledge(
        &mut self,
        now: Now,
        ack: &AckSubject<'_>,
        is_sampled: bool,
        sink: &mut impl Sink,
    ) -> bool {
        let Some(sequence) = ack.stream_sequence else { return false };
        if sequence >= self.backlog.reached() {
            return false;
        }
        if self.settings.acknowledge == AckPolicy::All {
            self.acknowledge_up_to(now, sequence, sink);
            return true;
        }
        match self.ledger.settle(sequence) {
            Settled::Unknown => {}
            Settled::Exceeded => {
                self.journal.settled(sequence);
                sink.acknowledged(sequence);
            }
            Settled::Waiting(entry) => {
                if is_sampled && self.settings.sample_percent > 0 {
                    self.sample(now, ack, entry, sink);
                }
                self.redelivery.forget(entry.ticket);
                self.journal.settled(sequence);
                sink.acknowledged(sequence);
            }
        }
        self.note_ack(now);
        true
    }

    /// The place up to which everything is done with may have moved.
    pub(super) fn note_ack(&mut self, now: Now) {
        self.last_ack_ns = now.unix_ns;
        self.journal.acknowledged();
    }

    /// The client does not want the message now.
    fn refuse(
        &mut self,
        now: Now,
        ack: &AckSubject<'_>,
        delay_ns: Option<u64>,
        sink: &mut impl Sink,
    ) {
        let (Some(stream), Some(consumer)) = (ack.stream_sequence, ack.consumer_sequence) else {
            return;
        };
        if consumer <= self.ledger.floor().consumer || consumer > self.ledger.delivered().consumer {
            return;
        }
        let Some(entry) = self.ledger.window().get(stream).copied() else { return };
        sink.advisory(Advisory::Naked {
            consumer_sequence: consumer,
            stream_sequence: stream,
            deliveries: ack.deliveries.unwrap_or(0),
        });
        self.last_delivery_ns = now.unix_ns;
        match delay_ns {
            Some(delay) => {
                let deadline = now.after(delay);
                self.redelivery.forget(entry.ticket);
                self.ledger.set_deadline(stream, deadline);
                self.deadlines.set_irregular(stream, deadline);
                self.journal.deadline(stream, now.unix_of(deadline));
            }
            None => {
                self.journal.deadline(stream, now.unix_ns);
                self.redeliver_or_exceed(stream, sink);
            }
        }
    }

    /// The client still works on the message.
    fn prolong(&mut self, now: Now, ack: &AckSubject<'_>) {
        let Some(stream) = ack.stream_sequence else { return };
        let Some(entry) = self.ledger.window().get(stream).copied() else { return };
        let deadline = match self.settings.wait_ns(entry.deliveries) {
            0 => NEVER_NS,
            wait => now.after(wait),
        };
        self.redelivery.forget(entry.ticket);
        self.ledger.set_deadline(stream, deadline);
        self.deadlines.set(stream, entry.deliveries, deadline);
        self.deadlines.tidy(self.ledger.window());
        self.journal.deadline(stream, now.unix_of(deadline));
        self.last_delivery_ns = now.unix_ns;
    }

    fn sample(&mut self, now: Now, ack: &AckSubject<'_>, entry: Entry, sink: &mut impl Sink) {
        let percent = self.settings.sample_percent;
        // As in nats-server a hundred and one values are compared with a percentage.
        if percent < 100 && self.random.u8(0..100) > percent {
            return;
        }
        let wait = self.settings.wait_ns(entry.deliveries);
        let ack_time_ns = match entry.deadline {
            NEVER_NS => 0,
            deadline => now.monotonic_ns.saturating_sub(deadline.saturating_sub(wait)),
        };
        sink.advisory(Advisory::Acknowledged {
            consumer_sequence: ack.consumer_sequence.unwrap_or(entry.consumer),
            stream_sequence: entry.stream,
            ack_time_ns,
            deliveries: ack.deliveries.unwrap_or(u64::from(entry.deliveries)),
        });
    }
}
