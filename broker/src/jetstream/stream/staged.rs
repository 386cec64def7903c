//! The checks of messages in batches, against the stream as it will be with those that come before
//! them in the batch and are not stored yet.
//!
//! nats-server checks them in another order than single messages, and refuses what it could not
//! judge in a cluster. Source: nats-server 2.15.1, which was asked.

use fulmar_protocol::headers::Headers;
use fulmar_storage::Message;
use hashbrown::{HashMap, HashSet};

use super::Stream;
use super::in_flight::Kind;
use super::publish::{Changed, HEADERS_BYTES_MAX, Incoming, Refusal, Wishes};
use super::publish_headers::{PublishHeaders, number};
use crate::jetstream::counter::{self, Counter};
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::message_ttl::MessageTtl;
use crate::jetstream::stream_config::DiscardPolicy;
use crate::jetstream::time::Now;

/// What the messages of a batch change that were checked so far. Its memory is bounded by that of
/// the batch.
#[derive(Debug, Default)]
pub(super) struct Staged {
    messages: u64,
    bytes: u64,
    ids: HashSet<Box<[u8]>>,
    /// How many messages of a subject there are, and whether the last is a plan.
    subjects: HashMap<Box<[u8]>, (u64, bool)>,
    /// What was expected of the last sequence of a subject, and was found.
    expected: HashMap<Box<[u8]>, u64>,
    counters: HashMap<Box<[u8]>, Counter>,
}

impl Stream {
    /// Checks a message of a batch, and notes it in `staged` if it is good.
    pub(super) fn check_staged<'a>(
        &mut self,
        now: Now,
        staged: &mut Staged,
        subject: &[u8],
        incoming: &Incoming<'a>,
        headers: &PublishHeaders<'a>,
        wishes: &mut Wishes<'a>,
    ) -> Result<Kind, Refusal> {
        let config = &self.config;
        if incoming.headers.len() > HEADERS_BYTES_MAX {
            return Err(error::STREAM_HEADER_EXCEEDS_MAXIMUM.into());
        }
        if headers.increment.is_some() {
            let block = Headers::new(incoming.headers);
            let allowed = config.allow_msg_counter;
            wishes.increment = counter::check_published(block, incoming.payload, allowed)?;
        }
        if headers.expected_stream.is_some_and(|name| *name != *self.name.as_bytes()) {
            return Err(error::STREAM_NOT_MATCH.into());
        }
        if let Some(ttl) = headers.ttl {
            let ttl = MessageTtl::parse(ttl);
            if ttl != Ok(None) && !config.allow_msg_ttl {
                return Err(error::MESSAGE_TTL_DISABLED.into());
            }
            wishes.ttl = ttl?;
        }
        if let Some(id) = headers.message_id {
            if staged.ids.contains(id) {
                return Err(Refusal::Duplicate(0));
            }
            if let Some(sequence) = self.dedupe.find(id, now.unix_ns, config.duplicate_window_ns) {
                return Err(Refusal::Duplicate(sequence));
            }
        }
        if headers.stream_source.is_some() {
            return Err(error::MESSAGE_SOURCE_HDR_NOT_ALLOWED.into());
        }
        if config.allow_msg_counter && wishes.increment.is_none() {
            return Err(error::MESSAGE_INCR_MISSING.into());
        }
        self.check_staged_expectations(staged, subject, headers)?;
        if headers.is_about_schedules() {
            wishes.plan = self.check_plan(now, subject, incoming.headers)?;
            let ended = wishes.plan.ends.and_then(|plan| staged.subjects.get(plan));
            if ended.is_some_and(|(_, is_plan)| !is_plan) {
                return Err(error::MESSAGE_SCHEDULES_SCHEDULER_INVALID.into());
            }
        }
        let mut kind = Kind::Stored;
        if let Some(rollup) = headers.rollup {
            kind = self.check_rollup(rollup)?;
        } else if wishes.plan.needs_rollup {
            kind = Kind::RollupSubject;
        }
        let refused = match kind {
            Kind::RollupSubject if staged.subjects.contains_key(subject) => "sub",
            Kind::RollupAll if staged.messages > 0 => "all",
            _ => "",
        };
        if !refused.is_empty() {
            let text = format!("batch rollup {refused} invalid");
            return Err(error::stream_rollup_failed(&text).into());
        }
        staged.messages += 1;
        staged.bytes += self.store.bytes_of(&Message {
            subject,
            headers: incoming.headers,
            payload: incoming.payload,
            timestamp_ns: 0,
        });
        if let Some(id) = headers.message_id {
            staged.ids.insert(id.into());
        }
        let (count, is_plan) = staged.subjects.entry(subject.into()).or_default();
        *count += 1;
        *is_plan = wishes.plan.fires_unix_ns.is_some();
        let count = *count;
        if self.config.discard == DiscardPolicy::New {
            self.check_staged_room(staged, subject, count, kind)?;
        }
        Ok(kind)
    }

    /// What is stored in place of a message that was checked. `None`: it is stored as it is.
    pub(super) fn change_staged(
        &self,
        staged: &mut Staged,
        subject: &[u8],
        headers: &[u8],
        wishes: &mut Wishes<'_>,
    ) -> Result<Option<Changed>, ApiError> {
        let Some(increment) = &wishes.increment else {
            return self.change(subject, headers, wishes);
        };
        let mut counter = match staged.counters.remove(subject) {
            Some(counter) => counter,
            None => self.counter_of(subject)?,
        };
        let changed = Changed::by_counting(&mut counter, headers, increment);
        staged.counters.insert(subject.into(), counter);
        let size = changed.headers.len() + changed.payload.as_ref().map_or(0, Vec::len);
        if usize::try_from(self.config.max_msg_size).is_ok_and(|max| size > max) {
            return Err(error::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
        }
        Ok(Some(changed))
    }

    fn check_staged_expectations(
        &self,
        staged: &mut Staged,
        subject: &[u8],
        headers: &PublishHeaders<'_>,
    ) -> Result<(), Refusal> {
        if let Some(expected) = headers.expected_last_sequence {
            let last = self.store.last_sequence() + staged.messages;
            if number(expected) != Some(last) {
                return Err(error::stream_wrong_last_sequence(last).into());
            }
            // Only the first can expect something of the stream as its publisher knows it.
            if staged.messages > 0 {
                return Err(error::STREAM_WRONG_LAST_SEQUENCE_CONSTANT.into());
            }
        }
        let Some(expected) = headers.expected_last_subject_sequence else {
            return self.check_expected_subject_sequence(subject, headers);
        };
        let of = headers.expected_last_subject_sequence_subject.unwrap_or(subject);
        if staged.subjects.contains_key(of) {
            return Err(error::STREAM_WRONG_LAST_SEQUENCE_CONSTANT.into());
        }
        if let Some(last) = staged.expected.get(of) {
            if number(expected) != Some(*last) {
                return Err(error::stream_wrong_last_sequence(*last).into());
            }
            return Ok(());
        }
        self.check_expected_subject_sequence(subject, headers)?;
        staged.expected.insert(of.into(), number(expected).unwrap_or_default());
        Ok(())
    }

    /// Whether a stream that refuses what does not fit has room for all that is staged.
    fn check_staged_room(
        &self,
        staged: &Staged,
        subject: &[u8],
        count: u64,
        kind: Kind,
    ) -> Result<(), Refusal> {
        let is_over = |max: i64, sum: u64| u64::try_from(max).is_ok_and(|max| max > 0 && sum > max);
        let config = &self.config;
        let text = if is_over(config.max_msgs, self.store.messages() + staged.messages) {
            "maximum messages exceeded"
        } else if is_over(config.max_bytes, self.store.bytes() + staged.bytes) {
            "maximum bytes exceeded"
        } else if config.discard_new_per_subject
            && kind == Kind::Stored
            && is_over(config.max_msgs_per_subject, self.store.count_of(subject) + count)
        {
            "maximum messages per subject exceeded"
        } else {
            return Ok(());
        };
        Err(error::stream_store_failed(text).into())
    }
}
