//! What is asked of consumers: to be made, changed, described, listed, paused, reset, deleted, and
//! for messages.

use std::sync::Arc;

use super::super::advisory::{Action, Event as AdvisoryEvent};
use super::super::api_subject::Operation;
use super::super::consumer::{Consumer, Identity};
use super::super::consumer_config::{ConsumerConfig, Site};
use super::super::consumer_log::{Event, Waiting};
use super::super::error::{self, ApiError};
use super::super::request::{self, ListRequest};
use super::super::response::{
    self, ConsumerInfo, ConsumerList, ConsumerNames, ConsumerReset, LIST_MAX, NAMES_MAX, Nothing,
    Paged, Paused, PriorityGroupState, SequenceInfo, Success,
};
use super::super::stream::View;
use super::super::time::{NEVER_NS, Now};
use super::super::timestamp::Timestamp;
use super::Shard;
use super::consumers::{ConsumerEntry, settings_of};
use super::dispatch::Arrival;
use super::requests::Answer;

/// Letters of the name that a consumer gets whose client gave it none.
const NAME_LETTERS: usize = 8;

impl Shard {
    pub(super) fn create_consumer(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        stream: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let mut request = request::consumer_config(arrival.payload, self.options.strict)?;
        request.resolve(operation)?;
        let stream_id = self.stream_id(arrival.account, stream)?;
        let name = match (&request.config.name[..], &request.config.durable[..]) {
            ("", "") => None,
            ("", durable) => Some(durable.to_owned()),
            (name, _) => Some(name.to_owned()),
        };
        let existing = name
            .as_deref()
            .and_then(|name| self.streams[stream_id as usize].consumers.get(name).copied());
        let account_limits = self.account_limits();
        let limits = self.options.limits();
        let config = {
            let Self { streams, consumers, post, .. } = &mut *self;
            let entry = &streams[stream_id as usize];
            let site =
                Site { limits: &limits, account: &account_limits, stream: &entry.stream.config };
            let others =
                entry.consumers.iter().map(|(name, id)| (&**name, &consumers[*id as usize].config));
            let has_interest =
                |subject: &str| post.has_interest(arrival.account, subject.as_bytes());
            let existing = existing.map(|id| &consumers[id as usize].config);
            request.plan(site, existing, others, has_interest)?
        };
        let id = match existing {
            Some(id) => {
                self.update_consumer(now, id, config)?;
                id
            }
            None => self.make_consumer(now, stream_id, name, config)?,
        };
        let info = self.describe_consumer(now, id);
        let answer = response::granted(operation, info);
        Ok(self.answer_when_kept(id, arrival, answer))
    }

    pub(super) fn consumer_names(
        &mut self,
        operation: Operation<'_>,
        stream: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let id = self.stream_id(arrival.account, stream)?;
        let request = ListRequest::of_consumers(arrival.payload, self.options.strict)?;
        let entry = &self.streams[id as usize];
        let (paged, range) = Paged::new(entry.consumers.len(), request.offset, NAMES_MAX);
        let names = entry.consumers.keys().skip(range.start).take(range.len());
        let consumers = names.map(|name| name.to_string()).collect();
        Ok(Answer::Json(response::granted(operation, ConsumerNames { paged, consumers })))
    }

    pub(super) fn consumer_list(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        stream: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let id = self.stream_id(arrival.account, stream)?;
        let request = ListRequest::of_consumers(arrival.payload, self.options.strict)?;
        let entry = &self.streams[id as usize];
        let (paged, range) = Paged::new(entry.consumers.len(), request.offset, LIST_MAX);
        let ids: Vec<u32> =
            entry.consumers.values().copied().skip(range.start).take(range.len()).collect();
        let consumers = ids.into_iter().map(|id| self.describe_consumer(now, id)).collect();
        let body = ConsumerList { paged, consumers, ..ConsumerList::default() };
        Ok(Answer::Json(response::granted(operation, body)))
    }

    pub(super) fn consumer_info(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        stream: &str,
        consumer: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        request::require_empty(arrival.payload)?;
        let id = self.consumer_id(arrival.account, stream, consumer)?;
        let info = self.describe_consumer(now, id);
        Ok(Answer::Json(response::granted(operation, info)))
    }

    pub(super) fn delete_consumer_by_request(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        stream: &str,
        consumer: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        request::require_empty(arrival.payload)?;
        let id = self.consumer_id(arrival.account, stream, consumer)?;
        let entry = &self.consumers[id as usize];
        let (stream_id, is_kept) = (entry.stream, entry.is_kept);
        self.delete_consumer(now, id);
        let answer = response::granted(operation, Success::YES);
        if is_kept {
            return Ok(self.answer_when_noted(stream_id, arrival, answer));
        }
        Ok(Answer::Json(answer))
    }

    pub(super) fn next_messages(
        &mut self,
        now: Now,
        stream: &str,
        consumer: &str,
        arrival: &Arrival<'_>,
    ) {
        let Ok(id) = self.consumer_id(arrival.account, stream, consumer) else {
            return self.answer_nobody(arrival);
        };
        if self.consumers[id as usize].config.is_push() {
            let headers = b"NATS/1.0 409 Consumer is push based\r\n\r\n";
            return self.send_status(arrival.account, arrival.reply.unwrap_or_default(), headers);
        }
        let reply = arrival.reply.unwrap_or_default();
        self.with_consumer(now, id, |consumer, view, sink| {
            consumer.handle_request(now, reply, arrival.payload, view, sink);
        });
        self.mark_consumer(id);
    }

    pub(super) fn pause_by_request(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        stream: &str,
        consumer: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let until = request::pause(arrival.payload, self.options.strict)?;
        let id = self.consumer_id(arrival.account, stream, consumer)?;
        let mut config = self.consumers[id as usize].config.clone();
        config.pause_until = until;
        config.set_static_metadata();
        let until = until.unwrap_or_default();
        self.update_consumer(now, id, config)?;
        let left_ns = until.unix_ns().saturating_sub(now.unix_ns);
        let is_paused = !until.is_zero() && left_ns > 0;
        let body = Paused {
            paused: is_paused,
            pause_until: until,
            pause_remaining_ns: if is_paused { left_ns } else { 0 },
        };
        let answer = response::granted(operation, body);
        Ok(self.answer_when_kept(id, arrival, answer))
    }

    pub(super) fn unpin_consumer(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        stream: &str,
        consumer: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let group = request::unpin(arrival.payload)?;
        let id = self.consumer_id(arrival.account, stream, consumer)?;
        let is_known =
            self.with_consumer(now, id, |consumer, _, sink| consumer.unpin(&group, sink));
        if !is_known {
            return Err(error::CONSUMER_INVALID_PRIORITY_GROUP);
        }
        self.mark_consumer(id);
        Ok(Answer::Json(response::granted(operation, Nothing {})))
    }

    pub(super) fn reset_consumer(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        stream: &str,
        consumer: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let sequence = request::reset(arrival.payload)?;
        let Ok(id) = self.consumer_id(arrival.account, stream, consumer) else {
            // As nats-server: nobody answers for what is not there.
            return Ok(Answer::Elsewhere);
        };
        let reset_seq = self
            .with_consumer(now, id, |consumer, view, _| consumer.reset(sequence, view))
            .map_err(error::consumer_invalid_reset)?;
        self.mark_consumer(id);
        let info = Some(self.describe_consumer(now, id));
        let answer = response::granted(operation, ConsumerReset { info, reset_seq });
        Ok(self.answer_when_kept(id, arrival, answer))
    }

    /// A consumer as answers show it.
    pub(super) fn describe_consumer(&mut self, now: Now, id: u32) -> ConsumerInfo {
        let info =
            self.with_consumer(now, id, |consumer, view, sink| consumer.info(now, view, sink));
        let entry = &self.consumers[id as usize];
        let position = |at: super::super::consumer::Position, last: Option<i64>| SequenceInfo {
            consumer_seq: at.consumer,
            stream_seq: at.stream,
            last_active: last.map(Timestamp::from_unix_ns),
        };
        let priority_groups = info.group.map_or_else(Vec::new, |group| {
            let (pinned_client_id, since) = group.pin.unwrap_or_default();
            let pinned_ts = match since {
                0 => Timestamp::default(),
                since => Timestamp::from_unix_ns(since),
            };
            vec![PriorityGroupState { group: group.group, pinned_client_id, pinned_ts }]
        });
        ConsumerInfo {
            stream_name: self.streams[entry.stream as usize].stream.name.to_string(),
            name: entry.name.to_string(),
            created: Timestamp::from_unix_ns(entry.created_unix_ns),
            config: entry.config.shown(),
            delivered: position(info.delivered, info.last_delivery_ns),
            ack_floor: position(info.ack_floor, info.last_ack_ns),
            num_ack_pending: info.ack_pending,
            num_redelivered: info.redelivered,
            num_waiting: info.waiting,
            num_pending: info.pending,
            cluster: None,
            push_bound: info.is_push_bound,
            paused: info.pause_left_ns.is_some(),
            pause_remaining_ns: info
                .pause_left_ns
                .map_or(0, |left| i64::try_from(left).unwrap_or(i64::MAX)),
            ts: Timestamp::from_unix_ns(now.unix_ns),
            priority_groups,
        }
    }

    /// The place of a consumer.
    pub(super) fn consumer_id(
        &self,
        account: u32,
        stream: &str,
        consumer: &str,
    ) -> Result<u32, ApiError> {
        let id = self.stream_id(account, stream)?;
        let id = self.streams[id as usize].consumers.get(consumer);
        id.copied().ok_or(error::CONSUMER_NOT_FOUND)
    }

    /// Makes a consumer whose configuration was checked.
    fn make_consumer(
        &mut self,
        now: Now,
        stream_id: u32,
        name: Option<String>,
        config: ConsumerConfig,
    ) -> Result<u32, ApiError> {
        let name = match name {
            Some(name) => name,
            None => self.free_name(stream_id),
        };
        let is_kept = self.keeps_consumers(stream_id) && !config.mem_storage && config.is_durable();
        if is_kept {
            self.open_consumer_log(stream_id)
                .map_err(|error| error::consumer_store_failed(&error))?;
        }
        let settings = settings_of(&config, self.message_bytes_max(stream_id));
        let seed = self.random.u64(..);
        let stream = &self.streams[stream_id as usize].stream;
        let identity = Identity { stream: stream.name.to_string(), consumer: name.clone() };
        let consumer = Consumer::new(identity, settings, now, &View::new(stream), seed);
        let account = stream.account;
        let stream_name = stream.name.clone();
        let id = self.add_consumer(ConsumerEntry {
            consumer,
            config,
            created_unix_ns: now.unix_ns,
            name: Arc::from(name.as_str()),
            stream: stream_id,
            generation: 0,
            is_kept,
            is_dirty: false,
            look_at_ns: NEVER_NS,
            paused_until_ns: 0,
            replies: Vec::new(),
            is_noted: false,
        });
        if is_kept {
            self.keep_config(id)?;
        }
        let event = AdvisoryEvent::ConsumerAction {
            stream: &stream_name,
            consumer: &name,
            action: Action::Create,
        };
        self.advise(now, account, &event);
        Ok(id)
    }

    /// Puts a consumer in its place.
    pub(super) fn add_consumer(&mut self, mut entry: ConsumerEntry) -> u32 {
        entry.generation = self.generation();
        let (stream, name) = (entry.stream, entry.name.clone());
        let id =
            u32::try_from(self.consumers.insert(Box::new(entry))).expect("memory ends before that");
        self.streams[stream as usize].consumers.insert(name, id);
        self.mark_consumer(id);
        id
    }

    /// Gives a consumer another configuration, which was checked.
    fn update_consumer(
        &mut self,
        now: Now,
        id: u32,
        config: ConsumerConfig,
    ) -> Result<(), ApiError> {
        if self.consumers[id as usize].config == config {
            return Ok(());
        }
        let stream = self.consumers[id as usize].stream;
        let settings = settings_of(&config, self.message_bytes_max(stream));
        self.consumers[id as usize].config = config;
        self.with_consumer(now, id, |consumer, view, sink| {
            consumer.update(settings, now, view, sink);
        });
        self.mark_consumer(id);
        if self.consumers[id as usize].is_kept {
            self.keep_config(id)?;
        }
        Ok(())
    }

    /// The largest message that a stream takes.
    pub(super) fn message_bytes_max(&self, stream: u32) -> usize {
        let of_server = self.post.shared().live().options.limits.payload_bytes_max;
        let of_stream = self.streams[stream as usize].stream.config.max_msg_size;
        usize::try_from(of_stream).ok().filter(|bytes| *bytes > 0).unwrap_or(of_server)
    }

    /// Notes the configuration of a consumer.
    fn keep_config(&mut self, id: u32) -> Result<(), ApiError> {
        let Self { streams, consumers, .. } = self;
        let entry = &consumers[id as usize];
        let document = super::open::consumer_document(entry);
        match &mut streams[entry.stream as usize].consumer_log {
            Some(log) => log
                .append(&entry.name, Event::Config(&document))
                .map_err(|error| error::consumer_store_failed(&error)),
            None => Ok(()),
        }
    }

    /// Deletes a consumer and says so.
    pub(super) fn delete_consumer(&mut self, now: Now, id: u32) {
        let entry = &self.consumers[id as usize];
        let name = entry.name.clone();
        let stream = &self.streams[entry.stream as usize].stream;
        let (account, stream_name) = (stream.account, stream.name.clone());
        self.drop_consumer(now, id);
        let event = AdvisoryEvent::ConsumerAction {
            stream: &stream_name,
            consumer: &name,
            action: Action::Delete,
        };
        self.advise(now, account, &event);
    }

    /// Sends an answer about a consumer when what it says cannot be undone.
    fn answer_when_kept(&mut self, id: u32, arrival: &Arrival<'_>, answer: Vec<u8>) -> Answer {
        let entry = &self.consumers[id as usize];
        if entry.is_kept {
            let stream = entry.stream;
            return self.answer_when_noted(stream, arrival, answer);
        }
        Answer::Json(answer)
    }

    /// Sends an answer when all notes about the consumers of a stream are on the disk.
    fn answer_when_noted(&mut self, stream: u32, arrival: &Arrival<'_>, answer: Vec<u8>) -> Answer {
        let (Some(reply), Some(log)) =
            (arrival.reply, &mut self.streams[stream as usize].consumer_log)
        else {
            return Answer::Json(answer);
        };
        let waiting = Waiting { account: arrival.account, to: reply.to_vec(), payload: answer };
        log.answer_when_durable(waiting);
        self.commit_notes(stream);
        Answer::Elsewhere
    }

    /// Answers as if nobody listened: that is what a client hears who asks for messages of a
    /// consumer that is not there.
    pub(super) fn answer_nobody(&mut self, arrival: &Arrival<'_>) {
        let Some(reply) = arrival.reply else { return };
        let mut headers = b"NATS/1.0 503\r\nNats-Subject: ".to_vec();
        headers.extend_from_slice(arrival.subject);
        headers.extend_from_slice(b"\r\n\r\n");
        self.send_status(arrival.account, reply, &headers);
    }

    fn free_name(&mut self, stream: u32) -> String {
        loop {
            let name: String =
                std::iter::repeat_with(|| self.random.alphanumeric()).take(NAME_LETTERS).collect();
            if !self.streams[stream as usize].consumers.contains_key(name.as_str()) {
                return name;
            }
        }
    }
}
