//! What is asked of single messages: to be got, directly or by the API, and deleted.

use fulmar_storage::Filters;

use super::super::api_subject::Operation;
use super::super::error::{self, ApiError};
use super::super::post::{NO_CONSUMER, Outgoing};
use super::super::request::{
    DirectGetRequest, From, MessageDeleteRequest, MessageGetRequest, Selector,
};
use super::super::response::{self, MessageFound, StoredMessage, Success};
use super::super::stream::BatchPlace;
use super::super::stream_config::StorageType;
use super::super::time::Now;
use super::super::timestamp::Timestamp;
use super::Shard;
use super::dispatch::Arrival;
use super::requests::Answer;

/// Subjects that one direct get for several may resolve to.
const MULTI_MAX: usize = 1024;
/// Messages that one batch of a direct get may have, whatever is asked for: it is answered in one
/// go, and nothing else of the shard is done meanwhile.
const BATCH_MAX: u64 = 8192;

/// The last messages of several subjects, as a direct get asks for them.
struct MultiLast {
    subjects: Vec<String>,
    up_to: Option<From>,
    sequence: u64,
    messages_max: i64,
    no_headers: bool,
}

impl Shard {
    pub(super) fn get_message(
        &mut self,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let request = MessageGetRequest::parse(arrival.payload, self.options.strict)?;
        let id = self.stream_id(arrival.account, name)?;
        let stream = &self.streams[id as usize].stream;
        let record = stream.find(&request.selector);
        let record = record.ok_or(error::NO_MESSAGE_FOUND)?;
        let message = StoredMessage {
            subject: &String::from_utf8_lossy(record.subject()),
            seq: record.sequence(),
            hdrs: if request.no_headers { b"" } else { record.headers() },
            data: record.payload(),
            time: Timestamp::from_unix_ns(record.timestamp_ns()),
        };
        let answer = response::granted(operation, MessageFound { message });
        drop(record);
        // Not audited: it is a read.
        if let Some(reply) = arrival.reply {
            self.send_answer(arrival.account, reply, &answer);
        }
        Ok(Answer::Elsewhere)
    }

    pub(super) fn delete_message(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        let request = MessageDeleteRequest::parse(arrival.payload, self.options.strict)?;
        let id = self.stream_id(arrival.account, name)?;
        let stream = &mut self.streams[id as usize].stream;
        if stream.config.sealed {
            return Err(error::STREAM_SEALED);
        }
        if stream.config.deny_delete {
            return Err(error::stream_msg_delete_failed("message delete not permitted"));
        }
        // The words of the store, which nats-server's two kinds do not share.
        let is_file = stream.config.storage == StorageType::File;
        if is_file && request.sequence == 0 {
            return Err(error::stream_msg_delete_failed("no message found"));
        }
        if is_file && request.sequence > stream.store().last_sequence() {
            return Err(error::stream_msg_delete_failed("stream store EOF"));
        }
        if !stream
            .delete(request.sequence, !request.no_erase)
            .map_err(|error| error::stream_msg_delete_failed(&error))?
        {
            return Err(error::sequence_not_found(request.sequence));
        }
        self.mark_stream(id);
        self.tell_consumers_of_purge(now, id);
        Ok(Answer::Json(response::granted(operation, Success::YES)))
    }

    /// A direct get: the answer is the message itself, or a status.
    pub(super) fn get_directly(
        &mut self,
        name: &str,
        subject: Option<&str>,
        arrival: &Arrival<'_>,
    ) {
        let Some(reply) = arrival.reply else { return };
        let account = arrival.account;
        let id = self.accounts[account as usize]
            .by_name
            .get(name)
            .copied()
            .filter(|id| self.streams[*id as usize].stream.config.allow_direct)
            .or_else(|| self.direct_mirror_of(account, name));
        let Some(id) = id else {
            // As if nobody listened: that is what a client of a stream without it hears.
            let mut headers = b"NATS/1.0 503\r\nNats-Subject: ".to_vec();
            headers.extend_from_slice(arrival.subject);
            headers.extend_from_slice(b"\r\n\r\n");
            return self.send_status(account, reply, &headers);
        };
        match DirectGetRequest::parse(subject, arrival.payload) {
            Err(error) => self.send_status(account, reply, error.header()),
            Ok(DirectGetRequest::One(one)) => {
                self.send_directly(id, &one.selector, one.no_headers, reply);
            }
            Ok(DirectGetRequest::Batch { first, messages_max, bytes_max }) => {
                self.get_batch(id, &first, messages_max, bytes_max, reply);
            }
            Ok(DirectGetRequest::MultiLast {
                subjects,
                up_to,
                sequence,
                messages_max,
                bytes_max,
                no_headers,
            }) => {
                let wanted = MultiLast { subjects, up_to, sequence, messages_max, no_headers };
                self.get_multi(id, &wanted, bytes_max, reply);
            }
        }
    }

    fn send_directly(&mut self, id: u32, selector: &Selector, no_headers: bool, reply: &[u8]) {
        let Self { streams, post, .. } = self;
        let stream = &streams[id as usize].stream;
        let Some(record) = stream.find(selector) else {
            let headers = b"NATS/1.0 404 Message Not Found\r\n\r\n";
            return self.send_status(self.streams[id as usize].stream.account, reply, headers);
        };
        let headers = if no_headers { Vec::new() } else { stream.direct_headers(&record, None) };
        post.send(&Outgoing {
            account: stream.account,
            consumer: NO_CONSUMER,
            via: None,
            subject: reply,
            reply: None,
            headers: &headers,
            payload: record.payload(),
        });
    }

    /// Several messages from a sequence or time on, then how many are left.
    fn get_batch(
        &mut self,
        id: u32,
        request: &MessageGetRequest,
        messages_max: i64,
        bytes_max: i64,
        reply: &[u8],
    ) {
        let bytes_max = self.bytes_max(bytes_max);
        let Self { streams, post, .. } = self;
        let stream = &streams[id as usize].stream;
        let account = stream.account;
        let (filter, mut from) = match &request.selector {
            Selector::At(sequence) => (None, *sequence),
            Selector::Since(time) => (None, stream.sequence_at_time(time.unix_ns())),
            Selector::NextOf { subject, from } => (Some(subject), stream.start_of(*from)),
            Selector::LastOf(_) => (None, 0),
        };
        let filters =
            filter.and_then(|filter| Filters::parse([filter.as_bytes()]).ok()).unwrap_or_default();
        let (mut last_sequence, mut bytes) = (0, 0);
        let mut found_any = false;
        let visible = stream.visible_sequence();
        for _ in 0..u64::try_from(messages_max).unwrap_or(0).min(BATCH_MAX) {
            let next = stream.store().next_matching(&filters, from);
            let next = next.filter(|next| *next <= visible).and_then(|next| stream.record(next));
            let Some(record) = next else { break };
            found_any = true;
            from = record.sequence() + 1;
            let pending = stream.store().count_matching(&filters, from, visible);
            let place = BatchPlace { pending, last_sequence };
            let headers = if request.no_headers {
                Vec::new()
            } else {
                stream.direct_headers(&record, Some(place))
            };
            post.send(&Outgoing {
                account,
                consumer: NO_CONSUMER,
                via: None,
                subject: reply,
                reply: None,
                headers: &headers,
                payload: record.payload(),
            });
            last_sequence = record.sequence();
            bytes += record.subject().len() + record.headers().len() + record.payload().len();
            if bytes >= bytes_max {
                break;
            }
        }
        let headers = if found_any {
            let pending = stream.store().count_matching(&filters, from, visible);
            format!(
                "NATS/1.0 204 EOB\r\nNats-Num-Pending: {pending}\r\n\
                 Nats-Last-Sequence: {last_sequence}\r\n\r\n"
            )
        } else {
            "NATS/1.0 404 Message Not Found\r\n\r\n".to_owned()
        };
        self.send_status(account, reply, headers.as_bytes());
    }

    /// The last message of each of several subjects, then how many are left.
    fn get_multi(&mut self, id: u32, request: &MultiLast, bytes_max: i64, reply: &[u8]) {
        let bytes_max = self.bytes_max(bytes_max);
        let Self { streams, post, .. } = self;
        let stream = &streams[id as usize].stream;
        let account = stream.account;
        let up_to = match request.up_to {
            Some(From::Time(time)) => stream.sequence_at_time(time.unix_ns()).saturating_sub(1),
            Some(From::Sequence(sequence)) => sequence.min(stream.visible_sequence()),
            None => stream.visible_sequence(),
        };
        let sequences = match Filters::parse(request.subjects.iter().map(String::as_bytes)) {
            Ok(filters) => stream.store().last_per_subject(&filters, up_to),
            Err(_) => Vec::new(),
        };
        if sequences.is_empty() {
            return self.send_status(account, reply, b"NATS/1.0 404 No Results\r\n\r\n");
        }
        if sequences.len() > MULTI_MAX {
            return self.send_status(account, reply, b"NATS/1.0 413 Too Many Results\r\n\r\n");
        }
        let mut pending = sequences.len() as u64;
        let (mut last_sequence, mut bytes, mut sent) = (0, 0, 0);
        for sequence in sequences {
            if sequence < request.sequence {
                pending = pending.saturating_sub(1);
                continue;
            }
            let Some(record) = stream.record(sequence) else { continue };
            pending = pending.saturating_sub(1);
            let headers = if request.no_headers {
                Vec::new()
            } else {
                stream.direct_headers(&record, Some(BatchPlace { pending, last_sequence }))
            };
            post.send(&Outgoing {
                account,
                consumer: NO_CONSUMER,
                via: None,
                subject: reply,
                reply: None,
                headers: &headers,
                payload: record.payload(),
            });
            last_sequence = sequence;
            bytes += record.subject().len() + record.headers().len() + record.payload().len();
            sent += 1;
            if bytes >= bytes_max || (request.messages_max > 0 && sent >= request.messages_max) {
                break;
            }
        }
        let headers = format!(
            "NATS/1.0 204 EOB\r\nNats-Num-Pending: {pending}\r\n\
             Nats-Last-Sequence: {last_sequence}\r\nNats-UpTo-Sequence: {up_to}\r\n\r\n"
        );
        self.send_status(account, reply, headers.as_bytes());
    }

    fn bytes_max(&self, asked: i64) -> usize {
        let most = self.post.shared().live().options.limits.pending_bytes_max;
        usize::try_from(asked).ok().filter(|asked| *asked > 0).unwrap_or(most)
    }
}
