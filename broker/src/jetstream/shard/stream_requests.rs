//! What is asked of streams: to be made, changed, described, listed, emptied, deleted.

use std::sync::Arc;

use fulmar_storage::Filters;

use super::super::advisory::{Action, Event as AdvisoryEvent};
use super::super::api_subject::Operation;
use super::super::error::{self, ApiError};
use super::super::limits::{AccountLimits, Limits};
use super::super::request::{self, ListRequest, PurgeRequest, StreamInfoRequest};
use super::super::response::{
    self, AccountInfo, ApiStats, LIST_MAX, NAMES_MAX, Paged, Purged, SUBJECT_DETAILS_MAX,
    StreamCreated, StreamInfo, StreamInfoBody, StreamList, StreamNames, StreamState, Success, Tier,
};
use super::super::stream_config::{Site, StorageType, StreamConfig};
use super::super::time::Now;
use super::super::timestamp::Timestamp;
use super::copying::CopiedBy;
use super::dispatch::Arrival;
use super::requests::Answer;
use super::{Shard, StreamEntry};

impl Shard {
    pub(super) fn account_info(
        &mut self,
        operation: Operation<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let account = &self.accounts[arrival.account as usize];
        let mut tier = Tier {
            streams: account.by_name.len() as u64,
            limits: self.account_limits(),
            ..Tier::default()
        };
        for id in account.by_name.values() {
            let entry = &self.streams[*id as usize];
            tier.consumers += entry.consumers.len() as u64;
            let bytes = entry.stream.store().bytes();
            let reserved = u64::try_from(entry.stream.config.max_bytes).unwrap_or(0);
            match entry.stream.config.storage {
                StorageType::Memory => {
                    tier.memory += bytes;
                    tier.reserved_memory += reserved;
                }
                StorageType::File => {
                    tier.storage += bytes;
                    tier.reserved_storage += reserved;
                }
            }
        }
        let info = AccountInfo {
            tier,
            domain: self.options.domain.clone(),
            api: ApiStats {
                total: account.api_total,
                errors: account.api_errors,
                ..ApiStats::default()
            },
            ..AccountInfo::default()
        };
        Ok(Answer::Json(response::granted(operation, info)))
    }

    pub(super) fn create_stream(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let request = request::stream_config(arrival.payload, self.options.strict)?;
        request.config.check_create_request(name)?;
        let config = self.check_config(arrival.account, request.config, request.pedantic)?;
        config.check_standalone()?;
        let id = match self.accounts[arrival.account as usize].by_name.get(name) {
            Some(id) => {
                if !self.streams[*id as usize].stream.config.is_same_as(&config) {
                    return Err(error::STREAM_NAME_EXIST);
                }
                *id
            }
            None => {
                self.check_new_stream(arrival.account, &config)?;
                config.check_filters()?;
                self.make_stream(now, arrival.account, config)?
            }
        };
        let info = self.describe_stream(now, id);
        // A server on its own names its domain in other answers, and not in this one.
        let info = StreamInfo { domain: None, ..info };
        let body = StreamCreated { info, did_create: true };
        Ok(Answer::Json(response::granted(operation, body)))
    }

    pub(super) fn update_stream(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let request = request::stream_config(arrival.payload, self.options.strict)?;
        let config = self.check_config(arrival.account, request.config, request.pedantic)?;
        if config.name != name {
            return Err(error::STREAM_MISMATCH);
        }
        let id = self.stream_id(arrival.account, name)?;
        let config = self.streams[id as usize].stream.config.check_update(config)?;
        self.check_overlap(arrival.account, &config)?;
        self.check_consumers(id, &config)?;
        let old = &self.streams[id as usize].stream.config;
        self.check_room(arrival.account, &config, Some(old))?;
        self.change_stream(now, id, config)?;
        let body = self.describe_stream(now, id);
        Ok(Answer::Json(response::granted(operation, body)))
    }

    pub(super) fn stream_names(
        &mut self,
        operation: Operation<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let request = ListRequest::of_streams(operation, arrival.payload, self.options.strict)?;
        let ids = self.streams_asked_for(arrival.account, &request);
        let (paged, range) = Paged::new(ids.len(), request.offset, NAMES_MAX);
        let names: Vec<String> = ids[range]
            .iter()
            .map(|id| self.streams[*id as usize].stream.name.to_string())
            .collect();
        let streams = (!names.is_empty()).then_some(names);
        Ok(Answer::Json(response::granted(operation, StreamNames { paged, streams })))
    }

    pub(super) fn stream_list(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let request = ListRequest::of_streams(operation, arrival.payload, self.options.strict)?;
        let ids = self.streams_asked_for(arrival.account, &request);
        let (paged, range) = Paged::new(ids.len(), request.offset, LIST_MAX);
        let infos = ids[range]
            .iter()
            .map(|id| {
                // The versions of the server are in single answers only.
                let config = self.streams[*id as usize].stream.config.clone();
                StreamInfo { config, ..self.describe_stream(now, *id) }
            })
            .collect();
        let body = StreamList { paged, streams: infos, ..StreamList::default() };
        Ok(Answer::Json(response::granted(operation, body)))
    }

    pub(super) fn stream_info(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let id = self.stream_id(arrival.account, name)?;
        let request = StreamInfoRequest::parse(arrival.payload, self.options.strict)?;
        let mut info = self.describe_stream(now, id);
        let live = self.post.shared().live();
        info.cluster =
            Some(response::ClusterInfo { name: None, leader: Some(live.info.server_name.clone()) });
        let stream = &self.streams[id as usize].stream;
        if request.deleted_details {
            info.state.deleted = stream.store().deleted().flatten().collect();
        }
        let mut paged = Paged::default();
        if !request.subjects_filter.is_empty() {
            let filters = Filters::parse([request.subjects_filter.as_bytes()])
                .map_err(|_| error::BAD_REQUEST)?;
            let mut found: Vec<(String, u64)> = stream
                .store()
                .subjects_matching(&filters)
                .map(|(subject, state)| {
                    (String::from_utf8_lossy(subject).into_owned(), state.count)
                })
                .collect();
            found.sort_unstable();
            let range;
            (paged, range) = Paged::new(found.len(), request.offset, SUBJECT_DETAILS_MAX);
            if found.is_empty() {
                paged = Paged::default();
            } else {
                paged.offset = request.offset;
            }
            info.state.subjects = found.drain(range).collect();
        }
        let body = StreamInfoBody { paged, info: Some(info) };
        Ok(Answer::Json(response::granted(operation, body)))
    }

    pub(super) fn delete_stream(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        request::require_empty(arrival.payload)?;
        let id = self.stream_id(arrival.account, name)?;
        self.remove_stream(now, id)?;
        Ok(Answer::Json(response::granted(operation, Success::YES)))
    }

    pub(super) fn purge_stream(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let request = PurgeRequest::parse(arrival.payload, self.options.strict)?;
        let id = self.stream_id(arrival.account, name)?;
        let stream = &mut self.streams[id as usize].stream;
        if stream.config.sealed {
            return Err(error::STREAM_SEALED);
        }
        if stream.config.deny_purge {
            return Err(error::stream_purge_failed("stream purge not permitted"));
        }
        let purged = stream
            .purge(&request.filter, request.sequence, request.keep)
            .map_err(|text| error::stream_purge_failed(&text))?;
        self.mark_stream(id);
        self.tell_consumers_of_purge(now, id);
        Ok(Answer::Json(response::granted(operation, Purged { success: true, purged })))
    }

    /// The place of a stream.
    pub(super) fn stream_id(&self, account: u32, name: &str) -> Result<u32, ApiError> {
        self.accounts[account as usize].by_name.get(name).copied().ok_or(error::STREAM_NOT_FOUND)
    }

    /// A stream as answers show it.
    pub(super) fn describe_stream(&self, now: Now, id: u32) -> StreamInfo {
        let entry = &self.streams[id as usize];
        let (mirror, sources) = self.describe_origins(now, id);
        StreamInfo {
            mirror,
            sources,
            config: entry.stream.config.shown(),
            created: Timestamp::from_unix_ns(entry.stream.created_unix_ns),
            state: state_of(entry),
            domain: self.options.domain.clone(),
            ts: Timestamp::from_unix_ns(now.unix_ns),
            ..StreamInfo::default()
        }
    }

    /// What an account may use.
    pub(super) fn account_limits(&self) -> AccountLimits {
        AccountLimits::default()
    }

    fn check_config(
        &self,
        account: u32,
        config: StreamConfig,
        pedantic: bool,
    ) -> Result<StreamConfig, ApiError> {
        let by_name = &self.accounts[account as usize].by_name;
        let other =
            |name: &str| by_name.get(name).map(|id| &self.streams[*id as usize].stream.config);
        let limits: Limits = self.options.limits();
        let account_limits: AccountLimits = self.account_limits();
        let site = Site { limits: &limits, account: &account_limits, stream: &other };
        let mut config = config.check(site, pedantic)?;
        config.set_static_metadata();
        Ok(config)
    }

    /// Whether the consumers of a stream keep within the limits of a new configuration.
    fn check_consumers(&self, id: u32, config: &StreamConfig) -> Result<(), ApiError> {
        let limits = &config.consumer_limits;
        let breaks = |value: i64, most: i64| most > 0 && value > most;
        let offenders: Vec<&str> = self.streams[id as usize]
            .consumers
            .iter()
            .filter(|(_, id)| {
                let consumer = &self.consumers[**id as usize].config;
                breaks(consumer.max_ack_pending, limits.max_ack_pending)
                    || breaks(consumer.inactive_threshold_ns, limits.inactive_threshold_ns)
            })
            .map(|(name, _)| &**name)
            .collect();
        if offenders.is_empty() {
            return Ok(());
        }
        let text = format!("change to limits violates consumers: {}", offenders.join(", "));
        Err(error::stream_update(text))
    }

    fn check_new_stream(&self, account: u32, config: &StreamConfig) -> Result<(), ApiError> {
        self.check_overlap(account, config)?;
        self.check_room(account, config, None)
    }

    /// Whether there is room for a stream, in place of `old` if it is an update.
    fn check_room(
        &self,
        account: u32,
        config: &StreamConfig,
        old: Option<&StreamConfig>,
    ) -> Result<(), ApiError> {
        let by_name = &self.accounts[account as usize].by_name;
        let others = by_name
            .iter()
            .filter(|(name, _)| ***name != *config.name)
            .map(|(_, id)| &self.streams[*id as usize].stream.config);
        self.room.check(config, old, others, &self.account_limits())
    }

    fn check_overlap(&self, account: u32, config: &StreamConfig) -> Result<(), ApiError> {
        let overlaps = self.accounts[account as usize].by_name.iter().any(|(name, id)| {
            **name != *config.name
                && self.streams[*id as usize].stream.config.overlaps(&config.subjects)
        });
        if overlaps { Err(error::STREAM_SUBJECT_OVERLAP) } else { Ok(()) }
    }

    /// The streams that a request for a list is about, by name.
    fn streams_asked_for(&self, account: u32, request: &ListRequest) -> Vec<u32> {
        let by_name = &self.accounts[account as usize].by_name;
        let is_asked_for = |id: &u32| request.asks_for(&self.streams[*id as usize].stream.config);
        by_name.values().copied().filter(is_asked_for).collect()
    }

    /// Makes a stream whose configuration was checked.
    fn make_stream(
        &mut self,
        now: Now,
        account: u32,
        config: StreamConfig,
    ) -> Result<u32, ApiError> {
        let name = config.name.clone();
        let id = self.open_new(now, account, config)?;
        let event = AdvisoryEvent::StreamAction { stream: &name, action: Action::Create };
        self.advise(now, account, &event);
        Ok(id)
    }

    /// Gives a stream another configuration, which was checked.
    fn change_stream(&mut self, now: Now, id: u32, config: StreamConfig) -> Result<(), ApiError> {
        self.write_config(id, &config).map_err(|error| error::stream_update(&error))?;
        let copied = self.copied_from(id);
        let entry = &mut self.streams[id as usize];
        let (account, name) = (entry.stream.account, entry.stream.name.clone());
        entry.stream.update(config);
        entry.stream.limit_all_subjects();
        self.follow_origins(id);
        for origin in copied {
            self.release_unwanted(now, origin);
        }
        self.subscribe_stream(id);
        self.settle(now, id);
        self.release_unwanted(now, id);
        self.tell_consumers_of_purge(now, id);
        self.mark_stream(id);
        let event = AdvisoryEvent::StreamAction { stream: &name, action: Action::Modify };
        self.advise(now, account, &event);
        Ok(())
    }

    /// Deletes a stream and its consumers.
    pub(super) fn remove_stream(&mut self, now: Now, id: u32) -> Result<(), ApiError> {
        let entry = &self.streams[id as usize];
        let (account, name) = (entry.stream.account, entry.stream.name.clone());
        if entry.slots.is_some() {
            let account_name = self.post.shared().accounts[account as usize].name.clone();
            if let Some(root) = &mut self.root {
                let away = root
                    .take_away(&account_name, &name)
                    .map_err(|error| error::stream_delete(&error))?;
                self.remove_files(away);
            }
        }
        let consumers: Vec<u32> = self.streams[id as usize].consumers.values().copied().collect();
        for consumer in consumers {
            self.drop_consumer(now, consumer);
        }
        let copied = self.copied_from(id);
        let entry = self.streams.remove(id as usize);
        for (place, filter) in &entry.subscriptions {
            self.unsubscribe(account, *place, filter);
        }
        self.forget_origins(account, id);
        self.accounts[account as usize].by_name.remove(&name);
        let copiers = self.accounts[account as usize].copied_by.get(&name);
        for copier in copiers.map_or_else(Vec::new, CopiedBy::streams) {
            self.mark_copier(copier);
        }
        for origin in copied {
            self.release_unwanted(now, origin);
        }
        let event = AdvisoryEvent::StreamAction { stream: &name, action: Action::Delete };
        self.advise(now, account, &event);
        Ok(())
    }

    /// Subscribes to what the configuration of a stream says, and to nothing else any more.
    pub(super) fn subscribe_stream(&mut self, id: u32) {
        let entry = &mut self.streams[id as usize];
        let account = entry.stream.account;
        let wanted: Vec<Arc<[u8]>> =
            entry.stream.config.subjects.iter().map(|one| Arc::from(one.as_bytes())).collect();
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut entry.subscriptions)
            .into_iter()
            .partition(|(_, filter)| wanted.contains(filter));
        let mut subscriptions = kept;
        for filter in wanted {
            if !subscriptions.iter().any(|(_, other)| *other == filter) {
                subscriptions.push(self.subscribe(account, &filter, super::Slot::Stream(id)));
            }
        }
        for (place, filter) in gone {
            self.unsubscribe(account, place, &filter);
        }
        self.streams[id as usize].subscriptions = subscriptions;
    }
}

/// The state of a stream as answers show it.
pub(super) fn state_of(entry: &StreamEntry) -> StreamState {
    let store = entry.stream.store();
    let time_of = |sequence: u64| {
        entry.stream.record(sequence).map_or_else(Timestamp::default, |record| {
            Timestamp::from_unix_ns(record.timestamp_ns())
        })
    };
    // What may not be shown yet is not counted either: whoever is told of it would ask for it.
    let (mut messages, mut bytes) = (store.messages(), store.bytes());
    let visible = entry.stream.visible_sequence();
    let mut hidden = store.next_from(visible + 1);
    let last_seq = if hidden.is_some() { visible } else { store.last_sequence() };
    while let Some(sequence) = hidden {
        messages -= 1;
        bytes -= store.index().bytes_of(sequence).map_or(0, u64::from);
        hidden = store.next_from(sequence + 1);
    }
    let first_seq = match messages {
        0 if last_seq == 0 => 0,
        0 => last_seq + 1,
        _ => store.first_sequence(),
    };
    let deleted = if messages == 0 { 0 } else { last_seq + 1 - first_seq - messages };
    StreamState {
        messages,
        bytes,
        first_seq,
        first_ts: if messages == 0 { Timestamp::default() } else { time_of(first_seq) },
        last_seq,
        last_ts: entry.stream.last_time(),
        num_subjects: store.subject_count() as u64,
        num_deleted: deleted,
        consumer_count: entry.consumers.len() as u64,
        ..StreamState::default()
    }
}
