//! Fast ingest: messages that are stored as they come, while their publisher hears of every so
//! many of them only.
//!
//! [`FastBatch`] counts and says what is to be told; it refuses to know the stream. Whatever says
//! that something is stored waits for the promise like a PubAck, in the order in which it came.
//!
//! ```text
//!  start ──► under way ──► commit, end, or (without gaps) a gap or a refused message ──► PubAck
//!              │  every `flow` messages, and when pinged: ack
//!              └─ silent for too long: forgotten
//! ```

use smallvec::SmallVec;

use super::Stream;
use super::atomic_batch::{batch_extra, without_level};
use super::batches::Place;
use super::in_flight::{Entry, Kind};
use super::publish::{Incoming, Refusal, Wishes};
use super::publish_headers::PublishHeaders;
use super::staged::Staged;
use crate::jetstream::batch_reply::{FastAnswer, FastOperation, FastPart};
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::metadata;
use crate::jetstream::post::{NO_CONSUMER, Outgoing, Post};
use crate::jetstream::time::Now;

/// Messages that all fast batches of a stream together send between two acks.
const FLOW_MAX: usize = 500;

/// A fast batch.
#[derive(Debug)]
pub(super) struct FastBatch {
    _place: Place,
    /// When it is forgotten if nothing comes, monotonic.
    pub(super) ends_at_ns: u64,
    gap_ok: bool,
    /// The last message that came.
    last: u64,
    /// The sequence in the stream of the last one that was stored.
    stored: u64,
    /// The message that the last ack was for.
    acked: u64,
    /// Every how many messages there is an ack.
    flow: u16,
    /// What the publisher wants at most.
    flow_max: u16,
}

/// What is to be done with a message.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Nothing,
    Store,
    /// Its batch ends without it.
    End,
}

impl FastBatch {
    /// A batch that begins with `part`; with it there are `batches`.
    fn new(place: Place, part: &FastPart<'_>, batches: usize) -> Self {
        let mut batch = Self {
            _place: place,
            ends_at_ns: 0,
            gap_ok: part.gap_ok,
            last: 0,
            stored: 0,
            acked: 0,
            flow: 1,
            flow_max: part.flow,
        };
        if batches == 1 {
            batch.flow = batch.flow_most(1);
        }
        batch
    }

    /// A message came. `batches` are under way. What its publisher is to hear goes to `tell`.
    fn handle(
        &mut self,
        part: &FastPart<'_>,
        batches: usize,
        tell: &mut impl FnMut(FastAnswer),
    ) -> Next {
        if part.operation == FastOperation::Ping {
            return self.handle_ping(part.sequence, batches, tell);
        }
        let expected = self.last + 1;
        if part.sequence != expected {
            tell(FastAnswer::Gap { expected, sequence: part.sequence });
            // What came before would be stored twice.
            if !self.gap_ok || part.sequence < expected {
                return Next::End;
            }
        }
        if part.operation == FastOperation::CommitWithoutMessage {
            self.last = part.sequence - 1;
            return Next::End;
        }
        self.last = part.sequence;
        Next::Store
    }

    fn handle_ping(
        &mut self,
        sequence: u64,
        batches: usize,
        tell: &mut impl FnMut(FastAnswer),
    ) -> Next {
        if sequence > self.last {
            tell(FastAnswer::Gap { expected: self.last + 1, sequence: sequence + 1 });
            if !self.gap_ok {
                return Next::End;
            }
            self.last = sequence;
            if let Some(ack) = self.next_ack(batches) {
                tell(ack);
                return Next::Nothing;
            }
        }
        tell(self.ack());
        Next::Nothing
    }

    /// The ack that is due, if one is; the flow follows how many batches there are.
    fn next_ack(&mut self, batches: usize) -> Option<FastAnswer> {
        let flow = u64::from(self.flow);
        let behind = self.last.checked_sub(self.acked).filter(|behind| *behind >= flow)?;
        self.acked += behind / flow * flow;
        let most = self.flow_most(batches);
        self.flow = match self.flow < most {
            true => self.flow.saturating_mul(2).min(most),
            false => (self.flow / 2).max(most),
        };
        Some(self.ack())
    }

    fn flow_most(&self, batches: usize) -> u16 {
        let share = (FLOW_MAX / batches.max(1)).max(1);
        u16::try_from(share).unwrap_or(u16::MAX).min(self.flow_max)
    }

    fn ack(&self) -> FastAnswer {
        FastAnswer::Ack { sequence: self.acked, messages: self.flow }
    }
}

impl Stream {
    /// A message of a fast batch came. `subject` is the one it is to be stored with. Returns as
    /// [`Stream::handle_publish`].
    pub(super) fn handle_fast_part(
        &mut self,
        now: Now,
        part: &FastPart<'_>,
        subject: &[u8],
        incoming: &Incoming<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        post: &mut Post,
    ) -> bool {
        let reply = incoming.reply.unwrap_or_default();
        let wants_acks = !self.config.no_ack;
        let reply_of_ack = if wants_acks { reply } else { b"" };
        let level = PublishHeaders::read(incoming.headers).required_api_level;
        let before = match self.find_fast(now, part) {
            Ok(before) => before,
            Err(error) => {
                self.refuse(reply_of_ack, &error, post);
                return true;
            }
        };
        if level.is_some_and(metadata::is_level_refused) {
            self.batches.fast.remove(part.id);
            self.refuse(reply_of_ack, &error::REQUIRED_API_LEVEL, post);
            return true;
        }
        let (count, timeout_ns) = (self.batches.fast.len(), self.batches.room.timeout_ns);
        let batch = self.batches.fast.get_mut(part.id).expect("it was found or added");
        batch.ends_at_ns = now.after(timeout_ns);
        let flow = batch.flow;
        let mut told = SmallVec::<[FastAnswer; 2]>::new();
        let next = batch.handle(part, count, &mut |answer| told.push(answer));
        let stored = if next == Next::Store {
            let without_level = level.map(|_| without_level(incoming.headers));
            let headers = without_level.as_deref().unwrap_or(incoming.headers);
            let stored =
                self.store_fast(now, subject, &Incoming { headers, ..*incoming }, is_wanted);
            if let Err(Refusal::Error(error)) = &stored
                && *error == error::STREAM_TOO_MANY_REQUESTS
            {
                self.forget_last(part.id, before);
                return false;
            }
            Some(stored)
        } else {
            None
        };
        for answer in told {
            self.open.push(&Entry::answer(reply, &answer.to_json()));
        }
        let Some(stored) = stored else {
            if next == Next::End {
                self.end_fast(part.id, reply_of_ack);
            }
            return true;
        };
        let commits = part.operation == FastOperation::Commit;
        if part.sequence == 1 && !commits && wants_acks {
            // It says nothing of what is stored, so that it need not wait.
            let answer = FastAnswer::Ack { sequence: 0, messages: flow }.to_json();
            post.send(&Outgoing {
                account: self.account,
                consumer: NO_CONSUMER,
                via: None,
                subject: reply,
                reply: None,
                headers: b"",
                payload: &answer,
            });
        }
        self.tell_of_fast(part, stored, reply, reply_of_ack, post);
        true
    }

    /// Finds the batch of a message, or begins it, and answers with the last message before.
    fn find_fast(&mut self, now: Now, part: &FastPart<'_>) -> Result<Option<u64>, ApiError> {
        let batches = &mut self.batches;
        if let Some(batch) = batches.fast.get(part.id) {
            return Ok(Some(batch.last));
        }
        if part.sequence != 1 || part.operation == FastOperation::Ping {
            return Err(error::BATCH_PUBLISH_UNKNOWN_BATCH_ID);
        }
        let place = batches.fast_place(now).ok_or(error::BATCH_PUBLISH_TOO_MANY_INFLIGHT)?;
        let batch = FastBatch::new(place, part, batches.fast.len() + 1);
        batches.fast.insert(part.id.into(), batch);
        Ok(None)
    }

    /// As if the last message of a batch had not come, before which `before` was the last.
    fn forget_last(&mut self, id: &[u8], before: Option<u64>) {
        match (before, self.batches.fast.get_mut(id)) {
            (Some(before), Some(batch)) => batch.last = before,
            _ => {
                self.batches.fast.remove(id);
            }
        }
    }

    /// Tells the publisher of a batch what became of a message that was to be stored.
    fn tell_of_fast(
        &mut self,
        part: &FastPart<'_>,
        stored: Result<u64, Refusal>,
        reply: &[u8],
        reply_of_ack: &[u8],
        post: &mut Post,
    ) {
        let commits = part.operation == FastOperation::Commit;
        let count = self.batches.fast.len();
        let Some(batch) = self.batches.fast.get_mut(part.id) else { return };
        let is_alone = !batch.gap_ok && batch.last == 1;
        match stored {
            Ok(sequence) => {
                batch.stored = sequence;
                if !commits && let Some(ack) = batch.next_ack(count) {
                    self.open.push(&Entry::answer(reply, &ack.to_json()));
                }
            }
            Err(Refusal::Duplicate(sequence)) => {
                if let Some(ack) = batch.next_ack(count) {
                    self.open.push(&Entry::answer(reply, &ack.to_json()));
                }
                if commits && is_alone {
                    self.batches.fast.remove(part.id);
                    let (kind, reply) = (Kind::Duplicate, reply_of_ack);
                    let extra = &batch_extra(part.id, part.sequence)[..];
                    self.open.push(&Entry { sequence, kind, subject: b"", reply, extra });
                    return;
                }
            }
            Err(Refusal::Error(error)) if is_alone => {
                self.batches.fast.remove(part.id);
                return self.refuse(reply_of_ack, &error, post);
            }
            Err(Refusal::Error(error)) => {
                let is_over = commits || !batch.gap_ok;
                if is_over {
                    batch.last -= 1;
                }
                let answer = FastAnswer::Error { sequence: part.sequence, error };
                self.open.push(&Entry::answer(reply, &answer.to_json()));
                if is_over {
                    self.end_fast(part.id, reply_of_ack);
                }
                return;
            }
        }
        if commits {
            self.end_fast(part.id, reply_of_ack);
        }
    }

    /// Checks and stores a message, and answers with its sequence.
    fn store_fast(
        &mut self,
        now: Now,
        subject: &[u8],
        incoming: &Incoming<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<u64, Refusal> {
        let found = PublishHeaders::read(incoming.headers);
        let mut wishes = Wishes::default();
        let mut staged = Staged::default();
        let kind = self.check_staged(now, &mut staged, subject, incoming, &found, &mut wishes)?;
        // nats-server 2.15.1 refuses this too, but with an answer that says that the batch is over.
        self.check_expected_last_id(&found)?;
        let taken = self.take_in(now, subject, incoming, &found, wishes, kind, is_wanted)?;
        let (sequence, kind) = (taken.sequence, taken.kind);
        self.open.push(&Entry { sequence, kind, subject, reply: b"", extra: b"" });
        Ok(sequence)
    }

    /// Ends a batch with a PubAck for what is stored.
    fn end_fast(&mut self, id: &[u8], reply: &[u8]) {
        let Some(batch) = self.batches.fast.remove(id) else { return };
        let mut ack = self.ack_head.clone();
        ack.extend_from_slice(batch.stored.to_string().as_bytes());
        ack.extend_from_slice(&batch_extra(id, batch.last));
        ack.push(b'}');
        self.open.push(&Entry::answer(reply, &ack));
    }
}
