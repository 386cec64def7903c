//! Atomic batches: messages that are stored whole, with neighbouring sequences, or not at all.
//!
//! They are kept in memory until the last one comes, and checked then, each against the stream as
//! it will be with those before it ([`super::staged`]). A crash before the commit loses a batch,
//! as its publisher has not heard that it is stored; one in the middle of it leaves all or nothing,
//! which the log promises.

use fulmar_storage::Message;

use super::Stream;
use super::batches::{BATCH_BYTES_MAX, Place};
use super::in_flight::{Entry, Kind};
use super::publish::{Incoming, Refusal, Wishes};
use super::publish_headers::PublishHeaders;
use super::staged::Staged;
use crate::jetstream::batch_reply::{AtomicCommit, AtomicPart};
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::header_block::HeaderBlock;
use crate::jetstream::metadata;
use crate::jetstream::post::{NO_CONSUMER, Outgoing, Post};
use crate::jetstream::stream_config::RetentionPolicy;
use crate::jetstream::time::Now;

/// What a message of a batch takes beside its bytes.
const MESSAGE_BYTES: usize = size_of::<Sizes>();

/// A batch that was not committed yet.
#[derive(Debug)]
pub(super) struct AtomicBatch {
    place: Place,
    /// When it is given up if nothing comes, monotonic.
    pub(super) ends_at_ns: u64,
    /// Subjects, headers and payloads.
    bytes: Vec<u8>,
    sizes: Vec<Sizes>,
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    subject: usize,
    headers: usize,
    payload: usize,
}

impl AtomicBatch {
    fn new(place: Place) -> Self {
        Self { place, ends_at_ns: 0, bytes: Vec::new(), sizes: Vec::new() }
    }

    /// Adds a message.
    ///
    /// # Errors
    ///
    /// The batch, or all together, would take too much memory.
    fn push(&mut self, subject: &[u8], headers: &[u8], payload: &[u8]) -> Result<(), ApiError> {
        let size = subject.len() + headers.len() + payload.len();
        let grown = self.bytes.len() + self.sizes.len() * MESSAGE_BYTES + size + MESSAGE_BYTES;
        if grown > BATCH_BYTES_MAX {
            return Err(error::atomic_publish_too_large_batch(self.sizes.len()));
        }
        if !self.place.grow(size + MESSAGE_BYTES) {
            return Err(error::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT);
        }
        for part in [subject, headers, payload] {
            self.bytes.extend_from_slice(part);
        }
        let (subject, headers, payload) = (subject.len(), headers.len(), payload.len());
        self.sizes.push(Sizes { subject, headers, payload });
        Ok(())
    }

    /// Takes the last message away.
    fn pop(&mut self) {
        if let Some(Sizes { subject, headers, payload }) = self.sizes.pop() {
            let size = subject + headers + payload;
            self.bytes.truncate(self.bytes.len() - size);
            self.place.shrink(size + MESSAGE_BYTES);
        }
    }

    fn iter(&self) -> impl Iterator<Item = Incoming<'_>> {
        let mut rest = &self.bytes[..];
        self.sizes.iter().map(move |sizes| {
            let (subject, behind) = rest.split_at(sizes.subject);
            let (headers, behind) = behind.split_at(sizes.headers);
            let (payload, behind) = behind.split_at(sizes.payload);
            rest = behind;
            Incoming { subject, reply: None, headers, payload }
        })
    }
}

/// A message that was checked and can be stored.
struct Ready<'a> {
    subject: &'a [u8],
    /// If they are not its own.
    headers: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    own: Incoming<'a>,
    found: PublishHeaders<'a>,
    wishes: Wishes<'a>,
    kind: Kind,
}

impl Stream {
    /// A message of an atomic batch came. `subject` is the one it is to be stored with. Returns
    /// as [`Stream::handle_publish`].
    pub(super) fn handle_atomic_part(
        &mut self,
        now: Now,
        part: &AtomicPart<'_>,
        subject: &[u8],
        incoming: &Incoming<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        post: &mut Post,
    ) -> bool {
        let reply = incoming.reply.filter(|_| !self.config.no_ack).unwrap_or_default();
        match self.gather(now, part, subject, incoming) {
            // It is not stored, but it was understood.
            Ok(None) => self.send_empty(reply, post),
            Ok(Some(mut batch)) => match self.store_batch(now, part, &batch, reply, is_wanted) {
                Ok(()) => {}
                Err(error) if error == error::STREAM_TOO_MANY_REQUESTS => {
                    // As if its last message had not come.
                    if part.commit == Some(AtomicCommit::WithMessage) {
                        batch.pop();
                    }
                    self.batches.atomic.insert(part.id.into(), batch);
                    return false;
                }
                Err(error) => self.refuse(reply, &error, post),
            },
            Err(error) => self.refuse(reply, &error, post),
        }
        true
    }

    /// Adds a message to its batch, and answers with the batch if that is complete.
    fn gather(
        &mut self,
        now: Now,
        part: &AtomicPart<'_>,
        subject: &[u8],
        incoming: &Incoming<'_>,
    ) -> Result<Option<AtomicBatch>, ApiError> {
        let batches = &mut self.batches;
        let (messages_max, timeout_ns) = (batches.room.messages_max, batches.room.timeout_ns);
        if !batches.atomic.contains_key(part.id) {
            if part.sequence != 1 {
                return Err(match part.messages() > messages_max {
                    true => error::atomic_publish_too_large_batch(messages_max),
                    false => error::ATOMIC_PUBLISH_INCOMPLETE_BATCH,
                });
            }
            let place = batches.atomic_place(now);
            let place = place.ok_or(error::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT)?;
            batches.atomic.insert(part.id.into(), AtomicBatch::new(place));
        }
        if part.commit == Some(AtomicCommit::Unknown) {
            batches.atomic.remove(part.id);
            return Err(error::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT);
        }
        let level = PublishHeaders::read(incoming.headers).required_api_level;
        if level.is_some_and(metadata::is_level_refused) {
            batches.abandon(part.id, "unsupported");
            return Err(error::REQUIRED_API_LEVEL);
        }
        let batch = batches.atomic.get_mut(part.id).expect("it was there or was added");
        batch.ends_at_ns = now.after(timeout_ns);
        let ends_without = part.commit == Some(AtomicCommit::WithoutMessage);
        let expected = batch.sizes.len() as u64 + 1;
        if part.sequence != expected || (part.sequence == 1 && ends_without) {
            batches.abandon(part.id, "incomplete");
            return Err(error::ATOMIC_PUBLISH_INCOMPLETE_BATCH);
        }
        if part.messages() > messages_max {
            batches.abandon(part.id, "large");
            return Err(error::atomic_publish_too_large_batch(messages_max));
        }
        if !ends_without {
            let without_level = level.map(|_| without_level(incoming.headers));
            let headers = without_level.as_deref().unwrap_or(incoming.headers);
            if let Err(error) = batch.push(subject, headers, incoming.payload) {
                batches.abandon(part.id, "large");
                return Err(error);
            }
        }
        Ok(part.commit.and_then(|_| batches.atomic.remove(part.id)))
    }

    /// Checks all messages of a batch and stores them.
    fn store_batch(
        &mut self,
        now: Now,
        part: &AtomicPart<'_>,
        batch: &AtomicBatch,
        reply: &[u8],
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), ApiError> {
        let mut ready = self.check_all(now, batch)?;
        if part.commit == Some(AtomicCommit::WithoutMessage)
            && let Some(last) = ready.last_mut()
        {
            let headers = last.headers.as_deref().unwrap_or(last.own.headers);
            let mut block = HeaderBlock::new(headers);
            block.set("Nats-Batch-Commit", "1");
            last.headers = Some(block.finish());
        }
        let of_interest = self.config.retention == RetentionPolicy::Interest;
        let timestamp_ns = self.last_unix_ns.max(now.unix_ns);
        let messages: Vec<Message<'_>> = ready
            .iter()
            .map(|ready| Message {
                subject: ready.subject,
                headers: ready.headers.as_deref().unwrap_or(ready.own.headers),
                payload: ready.payload.as_deref().unwrap_or(ready.own.payload),
                timestamp_ns,
            })
            .collect();
        let is_skipped = of_interest && !ready.iter().any(|ready| is_wanted(ready.subject));
        let first = if is_skipped {
            let first = self.store.last_sequence() + 1;
            let next = first + messages.len() as u64;
            self.store.skip_to(next).map_err(|error| self.store_error(&error))?;
            first
        } else {
            let result = self.store.append_atomic(&messages);
            self.last_unix_ns = timestamp_ns;
            result.map_err(|error| self.store_error(&error))?.start
        };
        let last = messages.len() - 1;
        let extra = batch_extra(part.id, ready.len() as u64);
        for (number, ready) in ready.iter().enumerate() {
            let sequence = first + number as u64;
            let mut kind = if is_skipped { Kind::Skipped } else { ready.kind };
            if !is_skipped {
                self.note_wishes(sequence, &ready.wishes, timestamp_ns);
                if of_interest && !is_wanted(ready.subject) {
                    // It is stored with the others, as they are in one piece, and goes at once.
                    kind = Kind::Unwanted;
                }
            }
            match ready.found.message_id {
                Some(id) => self.dedupe.add(id, sequence, now.unix_ns),
                None => self.dedupe.add_without_id(),
            }
            let (reply, extra) =
                if number == last { (reply, &extra[..]) } else { (&[][..], &[][..]) };
            let subject = ready.subject;
            self.open.push(&Entry { sequence, kind, subject, reply, extra });
        }
        Ok(())
    }

    fn check_all<'a>(
        &mut self,
        now: Now,
        batch: &'a AtomicBatch,
    ) -> Result<Vec<Ready<'a>>, ApiError> {
        let mut staged = Staged::default();
        let mut all = Vec::with_capacity(batch.sizes.len());
        for own in batch.iter() {
            let found = PublishHeaders::read(own.headers);
            if found.expected_last_message_id.is_some() {
                let name = "Nats-Expected-Last-Msg-Id";
                return Err(error::atomic_publish_unsupported_header_batch(name));
            }
            let mut wishes = Wishes::default();
            let checked =
                self.check_staged(now, &mut staged, own.subject, &own, &found, &mut wishes);
            let kind = checked.map_err(|refusal| match refusal {
                Refusal::Error(error) => error,
                Refusal::Duplicate(_) => error::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE,
            })?;
            let changed = self.change_staged(&mut staged, own.subject, own.headers, &mut wishes)?;
            let (headers, payload) =
                changed.map_or((None, None), |changed| (Some(changed.headers), changed.payload));
            all.push(Ready { subject: own.subject, headers, payload, own, found, wishes, kind });
        }
        Ok(all)
    }

    fn send_empty(&self, reply: &[u8], post: &mut Post) {
        if reply.is_empty() {
            return;
        }
        post.send(&Outgoing {
            account: self.account,
            consumer: NO_CONSUMER,
            via: None,
            subject: reply,
            reply: None,
            headers: b"",
            payload: b"",
        });
    }
}

/// What the PubAck of a batch says behind the sequence.
pub(super) fn batch_extra(id: &[u8], count: u64) -> Vec<u8> {
    let id = serde_json::to_string(&String::from_utf8_lossy(id)).expect("text is JSON");
    format!(",\"batch\":{id},\"count\":{count}").into_bytes()
}

/// Headers without the one that only the server is to read.
pub(super) fn without_level(headers: &[u8]) -> Vec<u8> {
    let mut block = HeaderBlock::new(headers);
    block.remove(|name| name == b"Nats-Required-Api-Level");
    block.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::batches::BatchRoom;
    use super::*;

    fn batch(room: &Arc<BatchRoom>) -> AtomicBatch {
        AtomicBatch::new(Place::take(room, true).unwrap())
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let mut batch = batch(&Arc::default());
        let messages = [(&b"a"[..], &b"h"[..], &b"pp"[..]), (b"bb", b"", b""), (b"c", b"", b"x")];
        for (subject, headers, payload) in messages {
            batch.push(subject, headers, payload).unwrap();
        }
        let all: Vec<_> = batch.iter().map(|one| (one.subject, one.headers, one.payload)).collect();
        assert_eq!(all, messages);
        drop(all);
        batch.pop();
        batch.push(b"d", b"", b"").unwrap();
        let last = batch.iter().last().unwrap();
        assert_eq!((last.subject, last.payload, batch.iter().count()), (&b"d"[..], &b""[..], 3));
    }

    #[test]
    fn memory_is_bounded_for_one_batch_and_for_all() {
        let room = Arc::default();
        let part = vec![0; BATCH_BYTES_MAX / 4];
        let mut batches = Vec::new();
        let refused = loop {
            let mut batch = batch(&room);
            for _ in 0..3 {
                batch.push(b"a", b"", &part).unwrap();
            }
            let too_large = batch.push(b"a", b"", &part);
            assert_eq!(too_large, Err(error::atomic_publish_too_large_batch(3)));
            batches.push(batch);
            let mut next = self::batch(&room);
            if let Err(refused) = (0..3).try_for_each(|_| next.push(b"a", b"", &part)) {
                break refused;
            }
        };
        assert_eq!(refused, error::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT);
        assert!(batches.len() < 16);
        batches.clear();
        batch(&room).push(b"a", b"", &part).unwrap();
    }
}
