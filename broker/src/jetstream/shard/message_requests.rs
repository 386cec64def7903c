//! What is asked of single messages: to be got, directly or by the API, and deleted.

use fulmar_storage::Filters;

use super::super::api_subject::Operation;
use super::super::error::{self, ApiError};
use super::super::post::{NO_CONSUMER, Outgoing};
use super::super::request::{DirectGetRequest, MessageDeleteRequest, MessageGetRequest};
use super::super::response::{self, MessageFound, StoredMessage, Success};
use super::super::stream::{BatchPlace, Selector};
use super::super::time::Now;
use super::super::timestamp::Timestamp;
use super::super::json;
use super::Shard;
use super::dispatch::Arrival;
use super::requests::Answer;

/// Subjects that one direct get for several may resolve to.
const MULTI_MAX: usize = 1024;
/// Messages that one batch of a direct get may have, whatever is asked for: it is answered in one
/// go, and nothing else of the shard is done meanwhile.
const BATCH_MAX: u64 = 8192;

impl Shard {
    pub(super) fn get_message(
        &mut self,
        operation: Operation<'_>,
        name: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        if arrival.payload.is_empty() {
            return Err(error::BAD_REQUEST);
        }
        let request: MessageGetRequest = self.read_request(arrival.payload)?;
        request.check()?;
        let id = self.stream_id(arrival.account, name)?;
        let stream = &self.streams[id as usize].stream;
        let record = if !request.last_by_subj.is_empty() {
            stream.find(Selector::LastOf(request.last_by_subj.as_bytes()))
        } else {
            let from = match request.start_time {
                Some(time) => stream.sequence_at_time(time.unix_ns()),
                None => request.seq,
            };
            match &request.next_by_subj[..] {
                "" if request.start_time.is_some() => stream.find(Selector::From(from)),
                "" => stream.find(Selector::Sequence(from)),
                filter => stream.find(Selector::NextOf(filter.as_bytes(), from)),
            }
        };
        let record = record.ok_or(error::NO_MESSAGE_FOUND)?;
        let message = StoredMessage {
            subject: &String::from_utf8_lossy(record.subject()),
            seq: record.sequence(),
            hdrs: if request.no_hdr { b"" } else { record.headers() },
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
        if arrival.payload.is_empty() {
            return Err(error::BAD_REQUEST);
        }
        let request: MessageDeleteRequest = self.read_request(arrival.payload)?;
        let id = self.stream_id(arrival.account, name)?;
        let stream = &mut self.streams[id as usize].stream;
        if stream.config.sealed {
            return Err(error::STREAM_SEALED);
        }
        if stream.config.deny_delete {
            return Err(error::stream_msg_delete_failed("message delete not permitted"));
        }
        if !stream.delete(request.seq, !request.no_erase).map_err(|error| {
            error::stream_msg_delete_failed(&error)
        })? {
            return Err(error::sequence_not_found(request.seq));
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
        let id = self.accounts[account as usize].by_name.get(name).copied().filter(|id| {
            self.streams[*id as usize].stream.config.allow_direct
        });
        let Some(id) = id else {
            // As if nobody listened: that is what a client of a stream without it hears.
            let mut headers = b"NATS/1.0 503\r\nNats-Subject: ".to_vec();
            headers.extend_from_slice(arrival.subject);
            headers.extend_from_slice(b"\r\n\r\n");
            return self.send_status(account, reply, &headers);
        };
        if let Some(subject) = subject {
            return self.send_directly(id, Selector::LastOf(subject.as_bytes()), false, reply);
        }
        if arrival.payload.is_empty() {
            return self.send_status(account, reply, b"NATS/1.0 408 Empty Request\r\n\r\n");
        }
        let mut request = DirectGetRequest::default();
        if json::read(arrival.payload, &mut request).is_err() {
            return self.send_status(account, reply, b"NATS/1.0 408 Malformed Request\r\n\r\n");
        }
        if !request.is_valid() {
            return self.send_status(account, reply, b"NATS/1.0 408 Bad Request\r\n\r\n");
        }
        if !request.multi_last.is_empty() {
            return self.get_multi(id, &request, reply);
        }
        if request.batch > 0 {
            return self.get_batch(id, &request, reply);
        }
        let selector = if request.last_by_subj.is_empty() {
            let from = match request.start_time {
                Some(time) => {
                    self.streams[id as usize].stream.sequence_at_time(time.unix_ns())
                }
                None => request.seq,
            };
            match &request.next_by_subj[..] {
                "" => Selector::Sequence(from),
                filter => Selector::NextOf(filter.as_bytes(), from),
            }
        } else {
            Selector::LastOf(request.last_by_subj.as_bytes())
        };
        self.send_directly(id, selector, request.no_hdr, reply);
    }

    fn send_directly(&mut self, id: u32, selector: Selector<'_>, no_headers: bool, reply: &[u8]) {
        let Self { streams, post, .. } = self;
        let stream = &streams[id as usize].stream;
        let Some(record) = stream.find(selector) else {
            let headers = b"NATS/1.0 404 Message Not Found\r\n\r\n";
            return self.send_status(self.streams[id as usize].stream.account, reply, headers);
        };
        let headers =
            if no_headers { Vec::new() } else { stream.direct_headers(&record, None) };
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
    fn get_batch(&mut self, id: u32, request: &DirectGetRequest, reply: &[u8]) {
        let bytes_max = self.bytes_max(request.max_bytes);
        let Self { streams, post, .. } = self;
        let stream = &streams[id as usize].stream;
        let account = stream.account;
        let filters = match &request.next_by_subj[..] {
            "" => Filters::all(),
            filter => Filters::parse([filter.as_bytes()]).unwrap_or_default(),
        };
        let mut from = match request.start_time {
            Some(time) => stream.sequence_at_time(time.unix_ns()),
            None => request.seq,
        };
        let (mut last_sequence, mut bytes) = (0, 0);
        let (mut next_is_exact, mut found_any) =
            (request.next_by_subj.is_empty() && request.start_time.is_none(), false);
        let visible = stream.visible_sequence();
        for _ in 0..request.batch.unsigned_abs().min(BATCH_MAX) {
            let next = if next_is_exact {
                stream.record(from)
            } else {
                let next = stream.store().next_matching(&filters, from);
                next.filter(|next| *next <= visible).and_then(|next| stream.record(next))
            };
            next_is_exact = false;
            let Some(record) = next else { break };
            found_any = true;
            from = record.sequence() + 1;
            let pending = stream.store().count_matching(&filters, from, visible);
            let place = BatchPlace { pending, last_sequence };
            let headers = if request.no_hdr {
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
    fn get_multi(&mut self, id: u32, request: &DirectGetRequest, reply: &[u8]) {
        let bytes_max = self.bytes_max(request.max_bytes);
        let Self { streams, post, .. } = self;
        let stream = &streams[id as usize].stream;
        let account = stream.account;
        let up_to = match (request.up_to_time, request.up_to_seq) {
            (Some(time), _) => stream.sequence_at_time(time.unix_ns()).saturating_sub(1),
            (None, 0) => stream.visible_sequence(),
            (None, sequence) => sequence.min(stream.visible_sequence()),
        };
        let filters = Filters::parse(request.multi_last.iter().map(String::as_bytes));
        let sequences = match filters {
            Ok(filters) => stream.store().last_per_subject(&filters, up_to),
            Err(_) => Vec::new(),
        };
        if sequences.is_empty() {
            return self.send_status(account, reply, b"NATS/1.0 404 No Results\r\n\r\n");
        }
        if sequences.len() > MULTI_MAX {
            return self.send_status(account, reply, b"NATS/1.0 413 Too Many Results\r\n\r\n");
        }
        let mut pending = sequences.len() as u64 - 1;
        let (mut last_sequence, mut bytes, mut sent) = (0, 0, 0);
        for sequence in sequences {
            if sequence < request.seq {
                pending = pending.saturating_sub(1);
                continue;
            }
            let Some(record) = stream.record(sequence) else { continue };
            let headers = if request.no_hdr {
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
            pending = pending.saturating_sub(1);
            last_sequence = sequence;
            bytes += record.subject().len() + record.headers().len() + record.payload().len();
            sent += 1;
            if bytes >= bytes_max || (request.batch > 0 && sent >= request.batch) {
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
