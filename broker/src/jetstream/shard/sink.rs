//! What comes out of a consumer, on its way into mail.

use std::sync::Arc;

use super::super::advisory::{Delivery, Event};
use super::super::consumer::{Advisory, Sink};
use super::super::post::{NO_CONSUMER, Outgoing, Post};
use super::super::time::Now;
use super::super::timestamp::Timestamp;

/// Takes what one consumer produces.
pub(super) struct ConsumerSink<'a> {
    pub(super) post: &'a mut Post,
    pub(super) account: u32,
    /// The consumer's place, so that slow receivers can ask it to pause.
    pub(super) id: u32,
    pub(super) stream: &'a Arc<str>,
    pub(super) name: &'a Arc<str>,
    pub(super) now: Now,
    pub(super) domain: Option<&'a str>,
    /// For ids of advisories.
    pub(super) random: &'a mut fastrand::Rng,
    /// Sequences that the consumer is done with.
    pub(super) acknowledged: &'a mut Vec<u64>,
    /// Where an empty message goes when the change is on the disk.
    pub(super) replies: &'a mut Vec<Vec<u8>>,
}

impl Sink for ConsumerSink<'_> {
    fn send(
        &mut self,
        to: &[u8],
        subject: &[u8],
        reply: Option<&[u8]>,
        headers: &[u8],
        payload: &[u8],
    ) {
        self.post.send(&Outgoing {
            account: self.account,
            consumer: self.id,
            via: (to != subject).then_some(to),
            subject,
            reply,
            headers,
            payload,
        });
        self.post.push_if_large();
    }

    fn has_interest(&mut self, subject: &[u8]) -> bool {
        self.post.has_interest(self.account, subject)
    }

    fn advisory(&mut self, advisory: Advisory<'_>) {
        let delivery = |stream_seq: u64, consumer_seq: u64, deliveries: u64| Delivery {
            stream: self.stream,
            consumer: self.name,
            consumer_seq,
            stream_seq,
            deliveries,
        };
        let reason_text;
        let event = match advisory {
            Advisory::MaxDeliveries { stream_sequence, deliveries } => {
                Event::MaxDeliveries { delivery: delivery(stream_sequence, 0, deliveries) }
            }
            Advisory::Naked { consumer_sequence, stream_sequence, deliveries } => {
                Event::Naked { delivery: delivery(stream_sequence, consumer_sequence, deliveries) }
            }
            Advisory::Terminated { consumer_sequence, stream_sequence, deliveries, reason } => {
                reason_text = String::from_utf8_lossy(reason);
                Event::Terminated {
                    delivery: delivery(stream_sequence, consumer_sequence, deliveries),
                    reason: &reason_text,
                }
            }
            Advisory::Acknowledged {
                consumer_sequence,
                stream_sequence,
                ack_time_ns,
                deliveries,
            } => Event::ConsumerAck {
                delivery: delivery(stream_sequence, consumer_sequence, deliveries),
                ack_time_ns: i64::try_from(ack_time_ns).unwrap_or(i64::MAX),
            },
            Advisory::Pinned { group, pin_id } => Event::GroupPinned {
                stream: self.stream,
                consumer: self.name,
                group,
                pinned_id: pin_id,
            },
            Advisory::Unpinned { group, reason } => {
                Event::GroupUnpinned { stream: self.stream, consumer: self.name, group, reason }
            }
            Advisory::Paused { paused, until_unix_ns } => Event::ConsumerPause {
                stream: self.stream,
                consumer: self.name,
                paused,
                pause_until: until_unix_ns.map_or_else(Timestamp::default, Timestamp::from_unix_ns),
            },
            Advisory::Unreadable { stream_sequence } => {
                tracing::error!(
                    "consumer {} of stream {}: message {stream_sequence} cannot be read and was \
                     passed over",
                    self.name,
                    self.stream
                );
                return;
            }
        };
        let subject = event.subject();
        if !self.post.has_interest(self.account, subject.as_bytes()) {
            return;
        }
        let id: String = std::iter::repeat_with(|| self.random.alphanumeric()).take(22).collect();
        let time = Timestamp::from_unix_ns(self.now.unix_ns);
        let payload = event.to_json(&id, time, self.domain);
        self.post.send(&Outgoing {
            account: self.account,
            consumer: NO_CONSUMER,
            via: None,
            subject: subject.as_bytes(),
            reply: None,
            headers: b"",
            payload: &payload,
        });
    }

    fn acknowledged(&mut self, sequence: u64) {
        self.acknowledged.push(sequence);
    }

    fn reply_when_durable(&mut self, to: &[u8]) {
        self.replies.push(to.to_vec());
    }
}
