//! Requests: who asks for what, and the answer's way back.
//!
//! What is asked of streams is in `stream_requests`, of consumers in `consumer_requests`, of single
//! messages in `message_requests`.

use super::super::advisory::{ClientInfo, Event as AdvisoryEvent};
use super::super::api_subject::Operation;
use super::super::error::{self, ApiError};
use super::super::metadata;
use super::super::post::{NO_CONSUMER, Outgoing};
use super::super::stream::PublishHeaders;
use super::super::time::Now;
use super::super::timestamp::Timestamp;
use super::super::{request, response};
use super::Shard;
use super::dispatch::Arrival;

/// Where each request and its answer are shown.
const AUDIT_SUBJECT: &[u8] = b"$JS.EVENT.ADVISORY.API";

/// What becomes of a request.
pub(super) enum Answer {
    /// This is sent.
    Json(Vec<u8>),
    /// It was sent already, or is sent later, or nothing is.
    Elsewhere,
}

impl Shard {
    /// A request came.
    pub(super) fn handle_request(&mut self, now: Now, arrival: &Arrival<'_>) {
        let plain;
        let subject = match self.without_domain(arrival.subject) {
            Some(subject) => {
                plain = subject;
                &plain[..]
            }
            None => arrival.subject,
        };
        if let Some(mapped) = mapped_by_domain(arrival.subject, subject) {
            self.post.send(&Outgoing {
                account: arrival.account,
                consumer: NO_CONSUMER,
                via: None,
                subject: mapped,
                reply: arrival.reply,
                headers: arrival.headers,
                payload: arrival.payload,
            });
            return;
        }
        let Some(operation) = Operation::parse(subject) else { return };
        let headers = PublishHeaders::read(arrival.headers);
        let answer = match headers.required_api_level {
            Some(level)
                if metadata::is_level_refused(level)
                    && matches!(
                        operation,
                        Operation::ConsumerNext(..) | Operation::DirectGet { .. }
                    ) =>
            {
                let headers = b"NATS/1.0 412 Required Api Level\r\n\r\n";
                let reply = arrival.reply.unwrap_or_default();
                return self.send_status(arrival.account, reply, headers);
            }
            Some(level) if metadata::is_level_refused(level) => {
                Answer::Json(response::refused(operation, error::REQUIRED_API_LEVEL))
            }
            _ => match self.answer(now, operation, arrival) {
                Ok(answer) => answer,
                Err(error) => {
                    self.accounts[arrival.account as usize].api_errors += 1;
                    Answer::Json(response::refused(operation, error))
                }
            },
        };
        self.accounts[arrival.account as usize].api_total += 1;
        if let Answer::Json(answer) = answer {
            self.audit(now, arrival, &answer);
            if let Some(reply) = arrival.reply {
                self.send_answer(arrival.account, reply, &answer);
            }
        }
    }

    fn answer(
        &mut self,
        now: Now,
        operation: Operation<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, ApiError> {
        match operation {
            Operation::Info => self.account_info(operation, arrival),
            Operation::StreamCreate(name) => self.create_stream(now, operation, name, arrival),
            Operation::StreamUpdate(name) => self.update_stream(now, operation, name, arrival),
            Operation::StreamNames => self.stream_names(operation, arrival),
            Operation::StreamList => self.stream_list(now, operation, arrival),
            Operation::StreamInfo(name) => self.stream_info(now, operation, name, arrival),
            Operation::StreamDelete(name) => self.delete_stream(now, operation, name, arrival),
            Operation::StreamPurge(name) => self.purge_stream(now, operation, name, arrival),
            Operation::MessageGet(name) => self.get_message(operation, name, arrival),
            Operation::MessageDelete(name) => self.delete_message(now, operation, name, arrival),
            Operation::DirectGet { stream, subject } => {
                self.get_directly(stream, subject, arrival);
                Ok(Answer::Elsewhere)
            }
            Operation::ConsumerCreate { stream, .. } | Operation::DurableCreate(stream, _) => {
                self.create_consumer(now, operation, stream, arrival)
            }
            Operation::ConsumerNames(stream) => self.consumer_names(operation, stream, arrival),
            Operation::ConsumerList(stream) => self.consumer_list(now, operation, stream, arrival),
            Operation::ConsumerInfo(stream, consumer) => {
                self.consumer_info(now, operation, stream, consumer, arrival)
            }
            Operation::ConsumerDelete(stream, consumer) => {
                self.delete_consumer_by_request(now, operation, stream, consumer, arrival)
            }
            Operation::ConsumerNext(stream, consumer) => {
                self.next_messages(now, stream, consumer, arrival);
                Ok(Answer::Elsewhere)
            }
            Operation::ConsumerPause(stream, consumer) => {
                self.pause_by_request(now, operation, stream, consumer, arrival)
            }
            Operation::ConsumerUnpin(stream, consumer) => {
                self.unpin_consumer(now, operation, stream, consumer, arrival)
            }
            Operation::ConsumerReset(stream, consumer) => {
                self.reset_consumer(now, operation, stream, consumer, arrival)
            }
            Operation::StreamSnapshot(_) | Operation::StreamRestore(_) => Err(error::BAD_REQUEST),
            // Of clusters, or of nothing.
            operation => match request::cluster_refusal(operation).flatten() {
                Some(error) => Err(error),
                None => Ok(Answer::Elsewhere),
            },
        }
    }

    /// Sends the answer to a request.
    pub(super) fn send_answer(&mut self, account: u32, to: &[u8], answer: &[u8]) {
        self.post.send(&Outgoing {
            account,
            consumer: NO_CONSUMER,
            via: None,
            subject: to,
            reply: None,
            headers: b"",
            payload: answer,
        });
    }

    /// Sends a status without a body, such as `404 No Messages`.
    pub(super) fn send_status(&mut self, account: u32, to: &[u8], headers: &[u8]) {
        self.post.send(&Outgoing {
            account,
            consumer: NO_CONSUMER,
            via: None,
            subject: to,
            reply: None,
            headers,
            payload: b"",
        });
    }

    /// Tells whoever watches what happened.
    pub(super) fn advise(&mut self, now: Now, account: u32, event: &AdvisoryEvent<'_>) {
        let subject = event.subject();
        if !self.post.has_interest(account, subject.as_bytes()) {
            return;
        }
        let id = self.random_id();
        let time = Timestamp::from_unix_ns(now.unix_ns);
        let payload = event.to_json(&id, time, self.options.domain.as_deref());
        self.post.send(&Outgoing {
            account,
            consumer: NO_CONSUMER,
            via: None,
            subject: subject.as_bytes(),
            reply: None,
            headers: b"",
            payload: &payload,
        });
    }

    /// A random id of letters and digits, as clients make them.
    pub(super) fn random_id(&mut self) -> String {
        std::iter::repeat_with(|| self.random.alphanumeric()).take(22).collect()
    }

    fn audit(&mut self, now: Now, arrival: &Arrival<'_>, answer: &[u8]) {
        if !self.post.has_interest(arrival.account, AUDIT_SUBJECT) {
            return;
        }
        let shared = self.post.shared().clone();
        let live = shared.live();
        let client = ClientInfo {
            account: &shared.accounts[arrival.account as usize].name,
            server: &live.info.server_name,
            ..ClientInfo::default()
        };
        let event = AdvisoryEvent::ApiAudit {
            server: &live.info.server_name,
            client: &client,
            subject: &String::from_utf8_lossy(arrival.subject),
            request: &String::from_utf8_lossy(arrival.payload),
            response: &String::from_utf8_lossy(answer),
        };
        self.advise(now, arrival.account, &event);
    }

    /// `$JS.<domain>.API.x` as `$JS.API.x`, if that is what it is.
    fn without_domain(&self, subject: &[u8]) -> Option<Vec<u8>> {
        let domain = self.options.domain.as_deref()?;
        let rest = subject.strip_prefix(b"$JS.")?.strip_prefix(domain.as_bytes())?;
        rest.starts_with(b".API.").then(|| [b"$JS", rest].concat())
    }
}

/// The subject behind `$JS.<domain>.API.` of a message to a key-value or object store in a domain.
/// `plain` is the same with `$JS.API.` in front.
fn mapped_by_domain<'a>(subject: &[u8], plain: &'a [u8]) -> Option<&'a [u8]> {
    let rest = plain.strip_prefix(b"$JS.API.")?;
    let is_store = rest.starts_with(b"$KV.") || rest.starts_with(b"$OBJ.");
    (is_store && subject != plain).then_some(rest)
}
