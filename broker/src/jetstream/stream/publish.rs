//! What becomes of a message that is published to a stream: the checks, in nats-server's order.

use fulmar_protocol::headers::Headers;
use fulmar_storage::{Error, Filters, Message};
use num_bigint::BigInt;

use super::Stream;
use super::batches::Part;
use super::in_flight::{Entry, Kind};
use super::publish_headers::{PublishHeaders, number};
use crate::jetstream::batch_reply::FastPart;
use crate::jetstream::counter;
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::header_block::HeaderBlock;
use crate::jetstream::message_ttl::MessageTtl;
use crate::jetstream::post::{NO_CONSUMER, Outgoing, Post};
use crate::jetstream::response::publish_refused;
use crate::jetstream::schedule::Published;
use crate::jetstream::stream_config::{DiscardPolicy, RetentionPolicy};
use crate::jetstream::time::Now;

/// The most bytes of headers.
pub(super) const HEADERS_BYTES_MAX: usize = 65_535;

/// A message that came to a stream.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// Where the publisher wants its PubAck.
    pub reply: Option<&'a [u8]>,
    /// A whole header block, its blank line included, or nothing.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
}

/// What a message wants beside being stored.
#[derive(Debug, Default)]
pub(super) struct Wishes<'a> {
    pub(super) ttl: Option<MessageTtl>,
    pub(super) increment: Option<BigInt>,
    pub(super) plan: Published<'a>,
}

/// A message that was taken in.
pub(super) struct Taken {
    pub(super) sequence: u64,
    pub(super) kind: Kind,
    /// What its PubAck says behind the sequence.
    extra: Vec<u8>,
}

/// What is stored in place of a message.
pub(super) struct Changed {
    pub(super) headers: Vec<u8>,
    /// `None`: its own.
    pub(super) payload: Option<Vec<u8>>,
    /// What its PubAck says behind the sequence.
    pub(super) extra: Vec<u8>,
}

/// Why a message is not taken in.
pub enum Refusal {
    /// Its publisher hears this error.
    Error(ApiError),
    /// It is the same as the message with this sequence.
    Duplicate(u64),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl Stream {
    /// A message came on one of the stream's subjects. `is_wanted` says whether a consumer is
    /// interested in a subject. Returns false, and nothing has happened, if the log has no room
    /// before a job comes back: then the message is to come again.
    pub fn handle_publish(
        &mut self,
        now: Now,
        incoming: &Incoming<'_>,
        is_wanted: impl Fn(&[u8]) -> bool,
        post: &mut Post,
    ) -> bool {
        let random = post.random();
        let reply = incoming.reply.filter(|_| !self.config.no_ack).unwrap_or_default();
        let transformed =
            self.subject_transform.as_ref().and_then(|one| one.apply(incoming.subject, random));
        let subject = transformed.as_deref().unwrap_or(incoming.subject);
        let headers = PublishHeaders::read(incoming.headers);
        if headers.batch_id.is_some() || incoming.reply.is_some_and(FastPart::is_meant) {
            match self.part_of(incoming) {
                Ok(Some(Part::Atomic(part))) => {
                    return self
                        .handle_atomic_part(now, &part, subject, incoming, &is_wanted, post);
                }
                Ok(Some(Part::Fast(part))) => {
                    return self.handle_fast_part(now, &part, subject, incoming, &is_wanted, post);
                }
                Ok(None) => {}
                Err(error) => {
                    self.refuse(reply, &error, post);
                    return true;
                }
            }
        }
        let mut wishes = Wishes::default();
        match self.check(now, subject, incoming, &headers, &mut wishes).and_then(|kind| {
            self.take_in(now, subject, incoming, &headers, wishes, kind, is_wanted)
                .map_err(Refusal::Error)
        }) {
            Ok(Taken { sequence, kind, extra }) => {
                self.open.push(&Entry { sequence, kind, subject, reply, extra: &extra });
            }
            Err(Refusal::Duplicate(sequence)) => {
                let kind = Kind::Duplicate;
                self.open.push(&Entry { sequence, kind, subject, reply, extra: b"" });
            }
            Err(Refusal::Error(error)) if error == error::STREAM_TOO_MANY_REQUESTS => return false,
            Err(Refusal::Error(error)) => self.refuse(reply, &error, post),
        }
        true
    }

    /// Tells a publisher that more messages wait than may.
    pub fn refuse_for_now(&mut self, reply: Option<&[u8]>, post: &mut Post) {
        let reply = reply.filter(|_| !self.config.no_ack).unwrap_or_default();
        self.refuse(reply, &error::STREAM_TOO_MANY_REQUESTS, post);
    }

    /// Stores a message of the stream's own, which is not checked: markers, and what plans
    /// publish. Answers with its sequence, or `None` if nobody wants it.
    ///
    /// # Errors
    ///
    /// The log does not take it.
    pub(super) fn publish_own(
        &mut self,
        now: Now,
        subject: &[u8],
        headers: &[u8],
        payload: &[u8],
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<u64>, ApiError> {
        let incoming = Incoming { subject, reply: None, headers, payload };
        let headers = PublishHeaders::read(headers);
        let ttl = headers.ttl.and_then(|ttl| MessageTtl::parse(ttl).ok()).flatten();
        let wishes = Wishes { ttl, ..Wishes::default() };
        let kind = if headers.rollup.is_some() { Kind::RollupSubject } else { Kind::Stored };
        let taken = self.take_in(now, subject, &incoming, &headers, wishes, kind, is_wanted)?;
        let Taken { sequence, kind, .. } = taken;
        self.open.push(&Entry { sequence, kind, subject, reply: b"", extra: b"" });
        Ok((kind != Kind::Skipped).then_some(sequence))
    }

    /// Tells a publisher that its message was not taken in.
    pub(super) fn refuse(&mut self, reply: &[u8], error: &ApiError, post: &mut Post) {
        if reply.is_empty() {
            return;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&publish_refused(error, &self.name));
        post.send(&Outgoing {
            account: self.account,
            consumer: NO_CONSUMER,
            via: None,
            subject: reply,
            reply: None,
            headers: b"",
            payload: &self.scratch,
        });
    }

    /// The checks, in nats-server's order.
    fn check<'a>(
        &mut self,
        now: Now,
        subject: &[u8],
        incoming: &Incoming<'a>,
        headers: &PublishHeaders<'a>,
        wishes: &mut Wishes<'a>,
    ) -> Result<Kind, Refusal> {
        let config = &self.config;
        if config.sealed {
            return Err(error::STREAM_SEALED.into());
        }
        let mut kind = Kind::Stored;
        let mut ttl_error = None;
        if !incoming.headers.is_empty() {
            if headers.increment.is_some() {
                let block = Headers::new(incoming.headers);
                let allowed = config.allow_msg_counter;
                wishes.increment = counter::check_published(block, incoming.payload, allowed)?;
            }
            if headers.expected_stream.is_some_and(|name| *name != *self.name.as_bytes()) {
                return Err(error::STREAM_NOT_MATCH.into());
            }
            if let Some(ttl) = headers.ttl {
                match MessageTtl::parse(ttl) {
                    Ok(Some(_)) if !config.allow_msg_ttl => {
                        return Err(error::MESSAGE_TTL_DISABLED.into());
                    }
                    Ok(ttl) => wishes.ttl = ttl,
                    // All other checks come first.
                    Err(error) => ttl_error = Some(error),
                }
            }
            self.check_expected_subject_sequence(subject, headers)?;
            if let Some(expected) = headers.expected_last_sequence
                && number(expected) != Some(self.store.last_sequence())
            {
                return Err(error::stream_wrong_last_sequence(self.store.last_sequence()).into());
            }
            if headers.is_about_schedules() {
                wishes.plan = self.check_plan(now, subject, incoming.headers)?;
            }
            if headers.stream_source.is_some() {
                return Err(error::MESSAGE_SOURCE_HDR_NOT_ALLOWED.into());
            }
            if let Some(id) = headers.message_id
                && let Some(sequence) =
                    self.dedupe.find(id, now.unix_ns, self.config.duplicate_window_ns)
            {
                return Err(Refusal::Duplicate(sequence));
            }
            self.check_expected_last_id(headers)?;
            if let Some(rollup) = headers.rollup {
                kind = self.check_rollup(rollup)?;
            }
        }
        if wishes.plan.needs_rollup {
            kind = Kind::RollupSubject;
        }
        let config = &self.config;
        let size = incoming.headers.len() + incoming.payload.len();
        if usize::try_from(config.max_msg_size).is_ok_and(|max| size > max) {
            return Err(error::STREAM_MESSAGE_EXCEEDS_MAXIMUM.into());
        }
        if incoming.headers.len() > HEADERS_BYTES_MAX {
            return Err(error::STREAM_HEADER_EXCEEDS_MAXIMUM.into());
        }
        if config.allow_msg_counter && wishes.increment.is_none() {
            return Err(error::MESSAGE_INCR_MISSING.into());
        }
        if let Some(error) = ttl_error {
            return Err(error.into());
        }
        if config.discard == DiscardPolicy::New {
            self.check_room(subject, incoming)?;
        }
        Ok(kind)
    }

    pub(super) fn check_expected_subject_sequence(
        &self,
        subject: &[u8],
        headers: &PublishHeaders<'_>,
    ) -> Result<(), Refusal> {
        let other = headers.expected_last_subject_sequence_subject;
        let Some(expected) = headers.expected_last_subject_sequence else {
            if other.is_some() {
                return Err(error::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID.into());
            }
            return Ok(());
        };
        let last = match other {
            None => self.store.last_of(subject).unwrap_or(0),
            Some(filter) => Filters::parse([filter])
                .ok()
                .and_then(|filters| {
                    self.store.previous_matching(&filters, self.store.last_sequence())
                })
                .unwrap_or(0),
        };
        if number(expected) == Some(last) {
            return Ok(());
        }
        Err(error::stream_wrong_last_sequence(last).into())
    }

    pub(super) fn check_expected_last_id(
        &self,
        headers: &PublishHeaders<'_>,
    ) -> Result<(), Refusal> {
        match headers.expected_last_message_id {
            Some(id) if id != self.dedupe.last() => {
                let last = String::from_utf8_lossy(self.dedupe.last());
                Err(error::stream_wrong_last_msg_id(&*last).into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_rollup(&self, rollup: &[u8]) -> Result<Kind, Refusal> {
        if !self.config.allow_rollup_hdrs || self.config.deny_purge {
            return Err(error::stream_rollup_failed("rollup not permitted").into());
        }
        match &rollup.to_ascii_lowercase()[..] {
            b"sub" => Ok(Kind::RollupSubject),
            b"all" => Ok(Kind::RollupAll),
            other => {
                let text = format!("rollup value invalid: {:?}", String::from_utf8_lossy(other));
                Err(error::stream_rollup_failed(&text).into())
            }
        }
    }

    /// Whether a stream that refuses what does not fit has room for a message.
    pub(super) fn check_room(
        &self,
        subject: &[u8],
        incoming: &Incoming<'_>,
    ) -> Result<(), Refusal> {
        let config = &self.config;
        let per_subject_max =
            u64::try_from(config.max_msgs_per_subject).ok().filter(|max| *max > 0);
        let replaces_one = per_subject_max.is_some_and(|max| self.store.count_of(subject) >= max);
        if replaces_one && config.discard_new_per_subject {
            let text = "maximum messages per subject exceeded";
            return Err(error::stream_store_failed(text).into());
        }
        let is_over = |max: i64, is: u64| u64::try_from(max).is_ok_and(|max| max > 0 && is >= max);
        if !replaces_one && is_over(config.max_msgs, self.store.messages()) {
            return Err(error::stream_store_failed("maximum messages exceeded").into());
        }
        let size = self.store.bytes_of(&Message {
            subject,
            headers: incoming.headers,
            payload: incoming.payload,
            timestamp_ns: 0,
        });
        let bytes = self.store.bytes() + size;
        if !replaces_one && u64::try_from(config.max_bytes).is_ok_and(|max| max > 0 && bytes > max)
        {
            return Err(error::stream_store_failed("maximum bytes exceeded").into());
        }
        Ok(())
    }

    /// Gives a message its sequence and puts it into the log.
    #[expect(clippy::too_many_arguments, reason = "what the checks found, and no more")]
    pub(super) fn take_in(
        &mut self,
        now: Now,
        subject: &[u8],
        incoming: &Incoming<'_>,
        headers: &PublishHeaders<'_>,
        mut wishes: Wishes<'_>,
        kind: Kind,
        is_wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Taken, ApiError> {
        let timestamp_ns = self.last_unix_ns.max(now.unix_ns);
        let mut taken = Taken { sequence: 0, kind, extra: Vec::new() };
        if self.config.retention == RetentionPolicy::Interest && !is_wanted(subject) {
            taken.sequence = self.store.last_sequence() + 1;
            taken.kind = Kind::Skipped;
            let next = taken.sequence + 1;
            self.store.skip_to(next).map_err(|error| self.store_error(&error))?;
        } else {
            let changed = self.change(subject, incoming.headers, &mut wishes)?;
            let mut message = Message {
                subject,
                headers: incoming.headers,
                payload: incoming.payload,
                timestamp_ns,
            };
            if let Some(changed) = &changed {
                message.headers = &changed.headers;
                message.payload = changed.payload.as_deref().unwrap_or(message.payload);
            }
            let sequences =
                self.store.append(&[message]).map_err(|error| self.store_error(&error))?;
            self.last_unix_ns = timestamp_ns;
            taken.sequence = sequences.start;
            taken.extra = changed.map_or_else(Vec::new, |changed| changed.extra);
            self.note_wishes(taken.sequence, &wishes, timestamp_ns);
        }
        match headers.message_id {
            Some(id) => self.dedupe.add(id, taken.sequence, now.unix_ns),
            None => self.dedupe.add_without_id(),
        }
        Ok(taken)
    }

    /// Notes when a message that was stored ends, and what it means for plans.
    pub(super) fn note_wishes(&mut self, sequence: u64, wishes: &Wishes<'_>, stored_ns: i64) {
        if let Some(ttl) = wishes.ttl {
            self.note_ttl(sequence, ttl, stored_ns);
        }
        if self.config.allow_msg_schedules {
            self.note_plan(sequence, &wishes.plan);
        }
    }

    /// What is stored in place of a message, by what it wants. `None`: it is stored as it is.
    pub(super) fn change(
        &self,
        subject: &[u8],
        headers: &[u8],
        wishes: &mut Wishes<'_>,
    ) -> Result<Option<Changed>, ApiError> {
        if let Some(increment) = &wishes.increment {
            return self.count(subject, headers, increment).map(Some);
        }
        let mut changed = wishes.ttl.as_mut().and_then(|ttl| self.lengthen_ttl(headers, ttl));
        if wishes.plan.needs_rollup {
            let mut block = HeaderBlock::new(changed.as_deref().unwrap_or(headers));
            block.append("Nats-Rollup", "sub");
            changed = Some(block.finish());
        }
        Ok(changed.map(|headers| Changed { headers, payload: None, extra: Vec::new() }))
    }

    /// What a publisher hears of an error of the log.
    pub(super) fn store_error(&self, error: &Error) -> ApiError {
        match error {
            Error::Busy { .. } | Error::SyncFirst(_) => error::STREAM_TOO_MANY_REQUESTS,
            Error::DiskFull { .. } => error::INSUFFICIENT_RESOURCES,
            Error::TooLarge { .. } => error::STREAM_MESSAGE_EXCEEDS_MAXIMUM,
            error => error::stream_store_failed(error.to_string()),
        }
    }
}
