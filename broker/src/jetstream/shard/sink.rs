//! What comes out of a consumer, on its way into mail.

use std::sync::Arc;

use super::super::advisory;
use super::super::consumer::{Advisory, Sink};
use super::super::post::{Outgoing, Post};
use super::super::time::Now;

/// Takes what one consumer produces.
pub(super) struct ConsumerSink<'a> {
    pub(super) post: &'a mut Post,
    pub(super) account: u32,
    /// The consumer's place, so that slow receivers can ask it to pause.
    pub(super) id: u32,
    pub(super) stream: &'a Arc<str>,
    pub(super) name: &'a Arc<str>,
    pub(super) now: Now,
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
        advisory::send_of_consumer(
            self.post,
            self.account,
            self.now,
            self.stream,
            self.name,
            &advisory,
        );
    }

    fn acknowledged(&mut self, sequence: u64) {
        self.acknowledged.push(sequence);
    }

    fn reply_when_durable(&mut self, to: &[u8]) {
        self.replies.push(to.to_vec());
    }
}
