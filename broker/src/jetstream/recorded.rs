//! Replays what nats-server answered to API requests, against the types here and a table of
//! streams and consumers in place of the rest of a server.
//!
//! The chapters are those of the black-box tests; this finds a wrong rule without a server, and
//! says which. State (messages, times) is not compared.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::api_subject::{Operation, without_domain};
use super::consumer_config::{self, ConsumerConfig};
use super::error::{self, ApiError};
use super::limits::{AccountLimits, Limits, Room};
use super::request::{self, ListRequest};
use super::response::{
    self, ConsumerInfo, PriorityGroupState, SequenceInfo, StreamCreated, StreamInfo,
    StreamSourceInfo, StreamState,
};
use super::stream_config::{self, StreamConfig, StreamSource};
use super::timestamp::Timestamp;
use super::{json, metadata};

macro_rules! chapters {
    ($($name:ident,)*) => {$(
        #[test]
        fn $name() {
            play(Account::default(), include_str!(concat!(
                "../../../tests/tests/jetstream_api/",
                stringify!($name),
                ".txt"
            )));
        }
    )*};
}

chapters! {
    consumer_create,
    consumer_update,
    json,
    messages,
    requests,
    stream_create,
    stream_origins,
    stream_update,
}

#[test]
fn limits() {
    let limits =
        Limits { duplicate_window_ns: 60_000_000_000, ack_pending_max: 50, request_batch_max: 5 };
    let room = Room { memory_bytes_max: 1000, file_bytes_max: 2000 };
    let account = Account { limits, room, ..Account::default() };
    play(account, include_str!("../../../tests/tests/jetstream_api/limits.txt"));
}

#[test]
fn lenient() {
    let account = Account { strict: false, ..Account::default() };
    play(account, include_str!("../../../tests/tests/jetstream_api/lenient.txt"));
}

#[test]
fn domain() {
    let account = Account { domain: Some("hub"), ..Account::default() };
    play(account, include_str!("../../../tests/tests/jetstream_api/domain.txt"));
}

#[track_caller]
fn play(mut account: Account, chapter: &str) {
    let mut differences = Vec::new();
    let mut lines = chapter.lines().enumerate().peekable();
    let mut compared = 0;
    while let Some((number, line)) = lines.next() {
        if line.starts_with("---") {
            account.streams.clear();
        }
        let Some(request) = line.strip_prefix("> ") else { continue };
        let expected = lines.next().and_then(|(_, line)| line.strip_prefix("< ")).unwrap();
        let Some(found) = account.answer(request) else { continue };
        compared += 1;
        if !found.agrees_with(expected) {
            differences.push(format!(
                "line {}: {request}\n  expected {expected}\n  {found:?}",
                number + 1
            ));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {compared}:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert!(compared > 5, "only {compared} answers were compared");
}

/// As much of an answer as can be known without messages and clocks.
#[derive(Debug)]
enum Found {
    /// The whole answer.
    Refused(String),
    /// The whole answer, which has no error.
    Whole(String),
    /// The configuration in the answer.
    Config(String),
    /// An answer without an error.
    Granted,
    /// A status line at the beginning.
    Status(&'static [u8]),
    /// Silence.
    Nothing,
}

impl Found {
    fn agrees_with(&self, expected: &str) -> bool {
        #[derive(serde::Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            config: Option<&'a RawValue>,
        }
        match self {
            Self::Refused(answer) => answer == expected,
            Self::Whole(answer) => {
                let json = &expected[expected.find('{').unwrap_or(0)..];
                answer == json
            }
            Self::Config(config) => {
                let json = &expected[expected.find('{').unwrap_or(0)..];
                let answer: Answer<'_> = serde_json::from_str(json).unwrap();
                answer.config.is_some_and(|expected| expected.get() == config)
            }
            Self::Granted => !expected.contains("\"error\":") && expected != "nothing",
            Self::Status(status) => {
                let status = String::from_utf8_lossy(status).replace("\r\n", "\\r\\n");
                expected.starts_with(&status)
            }
            Self::Nothing => expected == "nothing",
        }
    }
}

struct Account {
    limits: Limits,
    room: Room,
    strict: bool,
    domain: Option<&'static str>,
    streams: BTreeMap<String, Stream>,
}

impl Default for Account {
    fn default() -> Self {
        let room = Room { memory_bytes_max: u64::MAX, file_bytes_max: u64::MAX };
        Self {
            limits: Limits::default(),
            room,
            strict: true,
            domain: None,
            streams: BTreeMap::new(),
        }
    }
}

struct Stream {
    config: StreamConfig,
    /// Of the configuration it was made with.
    first_seq: u64,
    consumers: BTreeMap<String, ConsumerConfig>,
}

impl Account {
    fn answer(&mut self, request: &str) -> Option<Found> {
        let (header, request) = match request.strip_prefix('[') {
            Some(rest) => rest.split_once("] ").unwrap(),
            None => ("", request),
        };
        let request = request.strip_prefix("~ ").unwrap_or(request);
        let (subject, body) = request.split_once(' ').unwrap_or((request, ""));
        let body = unescaped(body);
        let plain = self.domain.and_then(|domain| without_domain(subject.as_bytes(), domain));
        let subject = plain.as_deref().unwrap_or(subject.as_bytes());
        let operation = Operation::parse(subject)?;
        if let Some(level) = header.strip_prefix("Nats-Required-Api-Level: ")
            && metadata::is_level_refused(level.as_bytes())
        {
            return match operation {
                Operation::DirectGet { .. } => None,
                _ => Some(refused(operation, error::REQUIRED_API_LEVEL)),
            };
        }
        match self.handle(operation, &body) {
            Ok(found) => found,
            Err(error) => Some(refused(operation, error)),
        }
    }

    fn handle(&mut self, operation: Operation<'_>, body: &[u8]) -> Result<Option<Found>, ApiError> {
        if let Some(refusal) = request::cluster_refusal(operation) {
            return refusal.map_or(Ok(Some(Found::Nothing)), Err);
        }
        match operation {
            Operation::StreamCreate(name) => self.create_stream(name, body).map(Some),
            Operation::StreamUpdate(name) => self.update_stream(name, body).map(Some),
            Operation::ConsumerCreate { .. } | Operation::DurableCreate(..) => {
                self.create_consumer(operation, body).map(Some)
            }
            Operation::StreamNames | Operation::StreamList => {
                ListRequest::of_streams(operation, body, self.strict)?;
                Ok(Some(Found::Granted))
            }
            Operation::StreamInfo(name) => {
                request::StreamInfoRequest::parse(body, self.strict)?;
                Ok(Some(Found::Config(shown(&self.stream(name)?.config.shown()))))
            }
            Operation::StreamDelete(name) => {
                request::require_empty(body)?;
                self.stream(name)?;
                self.streams.remove(name);
                Ok(Some(Found::Granted))
            }
            Operation::StreamPurge(name) => {
                request::PurgeRequest::parse(body, self.strict)?;
                let config = &self.stream(name)?.config;
                if config.sealed {
                    return Err(error::STREAM_SEALED);
                }
                if config.deny_purge {
                    return Err(error::stream_purge_failed("stream purge not permitted"));
                }
                Ok(Some(Found::Granted))
            }
            Operation::MessageGet(name) => {
                request::MessageGetRequest::parse(body, self.strict)?;
                self.stream(name)?;
                Ok(None)
            }
            Operation::MessageDelete(name) => {
                request::MessageDeleteRequest::parse(body, self.strict)?;
                self.stream(name)?;
                Ok(None)
            }
            Operation::StreamSnapshot(name) => {
                request::require_body(body)?;
                self.stream(name)?;
                request::SnapshotRequest::parse(body, self.strict)?;
                Ok(None)
            }
            Operation::StreamRestore(name) => {
                let request = request::RestoreRequest::parse(body, name, self.strict)?;
                self.check(request.config, false)?;
                Err(error::STREAM_NAME_EXIST_RESTORE_FAILED)
            }
            Operation::ConsumerNames(name) | Operation::ConsumerList(name) => {
                ListRequest::of_consumers(body, self.strict)?;
                self.stream(name)?;
                Ok(Some(Found::Granted))
            }
            Operation::ConsumerInfo(stream, consumer) => {
                request::require_empty(body)?;
                let config = self.consumer(stream, consumer)?;
                Ok(Some(Found::Config(shown(&config.shown()))))
            }
            Operation::ConsumerDelete(stream, consumer) => {
                request::require_empty(body)?;
                self.consumer(stream, consumer)?;
                self.streams.get_mut(stream).unwrap().consumers.remove(consumer);
                Ok(Some(Found::Granted))
            }
            Operation::ConsumerPause(stream, consumer) => {
                let until = request::pause(body, self.strict)?;
                let config = self.consumer(stream, consumer)?;
                config.pause_until = until;
                config.set_static_metadata();
                Ok(Some(Found::Granted))
            }
            Operation::ConsumerUnpin(stream, consumer) => {
                let group = request::unpin(body)?;
                if !self.consumer(stream, consumer)?.priority_groups.contains(&group) {
                    return Err(error::CONSUMER_INVALID_PRIORITY_GROUP);
                }
                Ok(Some(Found::Granted))
            }
            Operation::ConsumerReset(stream, consumer) => {
                if self.consumer(stream, consumer).is_err() {
                    return Ok(Some(Found::Nothing));
                }
                request::reset(body)?;
                Ok(Some(Found::Granted))
            }
            Operation::DirectGet { subject, .. } => {
                Ok(request::DirectGetRequest::parse(subject, body)
                    .err()
                    .map(|error| Found::Status(error.header())))
            }
            Operation::ConsumerNext(..) => {
                let Err(text) = request::PullRequest::parse(body) else { return Ok(None) };
                let status = format!("NATS/1.0 400 Bad Request - {text}");
                Ok(Some(Found::Status(Vec::leak(status.into_bytes()))))
            }
            _ => Ok(None),
        }
    }

    fn stream(&mut self, name: &str) -> Result<&mut Stream, ApiError> {
        self.streams.get_mut(name).ok_or(error::STREAM_NOT_FOUND)
    }

    fn consumer(&mut self, stream: &str, name: &str) -> Result<&mut ConsumerConfig, ApiError> {
        self.stream(stream)?.consumers.get_mut(name).ok_or(error::CONSUMER_NOT_FOUND)
    }

    fn check(&self, config: StreamConfig, pedantic: bool) -> Result<StreamConfig, ApiError> {
        let stream = |name: &str| self.streams.get(name).map(|stream| &stream.config);
        let account = AccountLimits::default();
        let site = stream_config::Site { limits: &self.limits, account: &account, stream: &stream };
        config.check(site, pedantic)
    }

    fn check_room(&self, new: &StreamConfig, old: Option<&StreamConfig>) -> Result<(), ApiError> {
        let streams = self.streams.values().map(|stream| &stream.config);
        let others = streams.filter(|other| other.name != new.name);
        self.room.check(new, old, others, &AccountLimits::default())
    }

    fn is_taken(&self, config: &StreamConfig) -> bool {
        self.streams.values().any(|other| {
            other.config.name != config.name && other.config.overlaps(&config.subjects)
        })
    }

    fn create_stream(&mut self, name: &str, body: &[u8]) -> Result<Found, ApiError> {
        let mut request = request::stream_config(body, self.strict)?;
        request.config.set_static_metadata();
        request.config.check_create_request(name)?;
        let config = self.check(request.config, request.pedantic)?;
        config.check_standalone()?;
        if let Some(existing) = self.streams.get(name) {
            if !existing.config.is_same_as(&config) {
                return Err(error::STREAM_NAME_EXIST);
            }
            return Ok(created(name, existing));
        }
        self.check_room(&config, None)?;
        config.check_filters()?;
        if self.is_taken(&config) {
            return Err(error::STREAM_SUBJECT_OVERLAP);
        }
        let stream = Stream { first_seq: config.first_seq, config, consumers: BTreeMap::new() };
        let answer = created(name, &stream);
        self.streams.insert(name.to_owned(), stream);
        Ok(answer)
    }

    fn update_stream(&mut self, name: &str, body: &[u8]) -> Result<Found, ApiError> {
        let request = request::stream_config(body, self.strict)?;
        let mut config = self.check(request.config, request.pedantic)?;
        if config.name != name {
            return Err(error::STREAM_MISMATCH);
        }
        let existing = self.streams.get(name).ok_or(error::STREAM_NOT_FOUND)?;
        config.set_static_metadata();
        let config = self.check(config, request.pedantic)?;
        let config = existing.config.check_update(config)?;
        self.check_room(&config, Some(&existing.config))?;
        let consumers = existing.consumers.iter().map(|(name, config)| (name.as_str(), config));
        existing.config.check_consumer_limits(&config, consumers)?;
        if self.is_taken(&config) {
            return Err(error::STREAM_SUBJECT_OVERLAP);
        }
        let domain = self.domain.map(str::to_owned);
        let stream = self.stream(name)?;
        stream.config = config;
        let info = StreamInfo { domain, ..stream.info() };
        Ok(whole(&response::granted(Operation::StreamUpdate(name), info)))
    }

    fn create_consumer(
        &mut self,
        operation: Operation<'_>,
        body: &[u8],
    ) -> Result<Found, ApiError> {
        let mut request = request::consumer_config(body, self.strict)?;
        request.resolve(operation)?;
        let stream = self.streams.get_mut(&request.stream).ok_or(error::STREAM_NOT_FOUND)?;
        let (limits, account) = (self.limits.clone(), AccountLimits::default());
        let site =
            consumer_config::Site { limits: &limits, account: &account, stream: &stream.config };
        let name = match &request.config {
            config if config.is_durable() => config.durable.clone(),
            config if !config.name.is_empty() => config.name.clone(),
            _ => format!("made-up-{}", stream.consumers.len()),
        };
        let others = stream.consumers.iter().map(|(name, config)| (name.as_str(), config));
        let config = request.plan(site, stream.consumers.get(&name), others, |_| false)?;
        let info = consumer_info(&stream.config.name, &name, &config);
        stream.consumers.insert(name, config);
        Ok(whole(&response::granted(operation, info)))
    }
}

/// The time of every answer here; it is taken out again.
const TIME: &str = "2026-01-02T03:04:05Z";
/// How long every pause here lasts still; it is taken out again.
const PAUSE_NS: i64 = 123_456_789;

impl Stream {
    /// The stream as it is without messages.
    fn info(&self) -> StreamInfo {
        let source = |source: &StreamSource| StreamSourceInfo {
            seq: 0,
            name: source.name.clone(),
            external: source.external.clone(),
            lag: 0,
            active: -1,
            error: None,
            filter_subject: source.filter_subject.clone(),
            subject_transforms: source.subject_transforms.clone(),
        };
        // That a mirror has a filter is not said before it has found its origin.
        let mirror = |origin: &StreamSource| StreamSourceInfo {
            filter_subject: String::new(),
            ..source(origin)
        };
        let state = StreamState {
            first_seq: self.first_seq,
            last_seq: self.first_seq.saturating_sub(1),
            consumer_count: u64::try_from(self.consumers.len()).unwrap(),
            ..StreamState::default()
        };
        StreamInfo {
            config: self.config.shown(),
            created: Timestamp::parse(TIME).unwrap(),
            state,
            mirror: self.config.mirror.as_ref().map(mirror),
            sources: self.config.sources.iter().map(source).collect(),
            ts: Timestamp::parse(TIME).unwrap(),
            ..StreamInfo::default()
        }
    }
}

fn created(name: &str, stream: &Stream) -> Found {
    let body = StreamCreated { info: stream.info(), did_create: true };
    whole(&response::granted(Operation::StreamCreate(name), body))
}

/// The consumer as it is without messages.
fn consumer_info(stream: &str, name: &str, config: &ConsumerConfig) -> ConsumerInfo {
    let time = Timestamp::parse(TIME).unwrap();
    let start = SequenceInfo {
        stream_seq: config.opt_start_seq.saturating_sub(1),
        ..SequenceInfo::default()
    };
    let paused = config.pause_until.is_some_and(|until| until.unix_ns() > time.unix_ns());
    let group = |group: &String| PriorityGroupState {
        group: group.clone(),
        ..PriorityGroupState::default()
    };
    ConsumerInfo {
        stream_name: stream.to_owned(),
        name: name.to_owned(),
        created: time,
        config: config.shown(),
        delivered: start,
        ack_floor: start,
        paused,
        pause_remaining_ns: if paused { PAUSE_NS } else { 0 },
        ts: time,
        priority_groups: config.priority_groups.first().map(group).into_iter().collect(),
        ..ConsumerInfo::default()
    }
}

/// An answer without what time and chance decide.
fn whole(answer: &[u8]) -> Found {
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    let pause = format!("\"pause_remaining\":{PAUSE_NS}");
    let answer = answer.replace(TIME, "*").replace(&pause, "\"pause_remaining\":0");
    let made_up = (0..9).fold(answer, |answer, number| {
        answer.replace(&format!("\"name\":\"made-up-{number}\""), "\"name\":\"*\"")
    });
    Found::Whole(made_up)
}

fn refused(operation: Operation<'_>, error: ApiError) -> Found {
    Found::Refused(String::from_utf8(response::refused(operation, error)).unwrap())
}

fn shown(config: &impl serde::Serialize) -> String {
    String::from_utf8(json::to_vec(config)).unwrap()
}

/// `\xNN` as that byte; everything else as it is.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
