//! The side of a consumer that clients ask: taking requests, ending them, choosing the one that
//! gets the next message.

use super::messages::Messages;
use super::pull_request::{Priority, PullRequest};
use super::requests::{Request, Requests};
use super::settings::{PriorityPolicy, PullSettings};
use super::sink::{Advisory, Sink};
use super::status::{Left, Status};
use super::{Consumer, Side};
use crate::jetstream::time::{NEVER_NS, Now};

/// How often it is looked whether somebody still waits for requests, when they are too many.
const INTEREST_CHECK_NS: u64 = 1_000_000_000;
/// Characters of a pin.
const PIN_ID_LENGTH: usize = 22;
/// The largest number a request may say its place with.
const PRIORITY_MAX: i64 = 9;

#[derive(Debug)]
pub(super) struct Pull {
    pub(super) requests: Requests,
    pub(super) pin: Option<Pin>,
    priority: PriorityPolicy,
    interest_checked_at: u64,
}

/// One client has the consumer for itself.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) since_unix_ns: i64,
    /// When it is over, unless the client asks again.
    pub(super) expires_at: u64,
}

/// Why requests that wait are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedFor {
    /// The consumer, or its stream, is deleted.
    Deletion,
    /// The server stops.
    Shutdown,
}

/// What a message that needs a receiver is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub now: Now,
    /// Bytes that count against a request's limit.
    pub size: u64,
    /// Messages to be delivered, this one too.
    pub pending: u64,
    /// Messages that wait for acknowledgement.
    pub ack_pending: u64,
    /// The poll it is in.
    pub poll: u64,
}

impl Consumer {
    /// A pull request, from the payload of a message and its reply subject. Errors and "nothing
    /// there" are answered at once; messages come with the next
    /// [`poll`](Consumer::poll).
    pub fn handle_request(
        &mut self,
        now: Now,
        reply: &[u8],
        body: &[u8],
        messages: &impl Messages,
        sink: &mut impl Sink,
    ) {
        if reply.is_empty() {
            return;
        }
        self.sync(messages);
        let available = self.backlog.count() + self.redelivery.len() as u64;
        let Side::Pull(pull) = &mut self.side else {
            return tell(sink, &mut self.status, reply, Status::PushBased);
        };
        let request = match PullRequest::parse(body) {
            Ok(request) => request,
            Err(reason) => {
                return tell(sink, &mut self.status, reply, Status::BadRequest(&reason));
            }
        };
        let super::Mode::Pull(settings) = &self.settings.mode else { return };
        if let Err(status) = pull.check(&request, settings, now) {
            return tell(sink, &mut self.status, reply, status);
        }
        if pull.requests.is_full()
            && now.until(pull.interest_checked_at.saturating_add(INTEREST_CHECK_NS)) == 0
        {
            pull.interest_checked_at = now.monotonic_ns;
            self.attend_requests(
                now,
                sink,
                Attention { ends_no_wait: false, checks_interest: true },
            );
        }
        let Side::Pull(pull) = &mut self.side else { return };
        if request.no_wait {
            if available == 0 && request.expires_ns.is_none() {
                self.touch(now);
                return tell(sink, &mut self.status, reply, Status::NoMessages);
            }
            let wanted = u64::try_from(pull.requests.messages_wanted()).unwrap_or(0);
            if available > 0 && available < wanted {
                self.touch(now);
                return tell(sink, &mut self.status, reply, Status::RequestsPending);
            }
        }
        if pull.requests.is_full() {
            // A client with heartbeats notices by itself; told, it would ask again at once.
            if request.heartbeat_ns == 0 {
                tell(sink, &mut self.status, reply, Status::TooManyWaiting);
            }
            return;
        }
        let expires_at = request
            .expires_ns
            .map_or(NEVER_NS, |expires| now.after(u64::try_from(expires).unwrap_or(0)));
        let heartbeat_at = match request.heartbeat_ns {
            0 => NEVER_NS,
            heartbeat => now.after(heartbeat),
        };
        pull.requests.push(Request {
            reply: reply.into(),
            left: Left { messages: request.batch, bytes: request.bytes_max },
            delivered: 0,
            expires_at,
            heartbeat_ns: request.heartbeat_ns,
            heartbeat_at,
            no_wait: request.no_wait,
            priority: request.priority,
            seen_in_poll: 0,
        });
        self.touch(now);
    }

    /// Takes the consumer away from the client that has it for itself. `false` if the group is
    /// not one of the consumer's.
    pub fn unpin(&mut self, group: &str, sink: &mut impl Sink) -> bool {
        let super::Mode::Pull(settings) = &self.settings.mode else { return false };
        let Some(group) = settings.groups.iter().find(|known| &***known == group) else {
            return false;
        };
        if let Side::Pull(pull) = &mut self.side {
            pull.pin = None;
        }
        sink.advisory(Advisory::Unpinned { group, reason: "admin" });
        true
    }

    /// Ends all requests that wait: the consumer goes away.
    pub fn close(&mut self, why: ClosedFor, sink: &mut impl Sink) {
        let Side::Pull(pull) = &mut self.side else { return };
        while let Some(request) = pull.requests.remove_front() {
            let status = match why {
                ClosedFor::Deletion => Status::ConsumerDeleted,
                ClosedFor::Shutdown => Status::ServerShutdown(request.left),
            };
            tell(sink, &mut self.status, &request.reply, status);
        }
    }

    /// Ends requests whose time is over, sends heartbeats, and as asked for ends requests that
    /// do not wait, or those nobody listens for.
    pub(super) fn attend_requests(&mut self, now: Now, sink: &mut impl Sink, attention: Attention) {
        let Side::Pull(pull) = &mut self.side else { return };
        let text = &mut self.status;
        let consumer = self.ledger.delivered().consumer;
        let stream = self.backlog.reached().saturating_sub(1);
        pull.requests.retain(|request| {
            if request.expires_at <= now.monotonic_ns {
                tell(sink, text, &request.reply, Status::RequestTimeout(request.left));
                return false;
            }
            if attention.ends_no_wait
                && request.no_wait
                && (request.expires_at == NEVER_NS || request.delivered > 0)
            {
                tell(sink, text, &request.reply, Status::NoMessages);
                return false;
            }
            if attention.checks_interest && !sink.has_interest(&request.reply) {
                return false;
            }
            if request.heartbeat_at <= now.monotonic_ns {
                let status = Status::IdleHeartbeat { consumer, stream, stalled: None };
                tell(sink, text, &request.reply, status);
                request.heartbeat_at = now.after(request.heartbeat_ns);
            }
            true
        });
    }

    /// Gives a pin back whose client did not ask for too long.
    pub(super) fn expire_pin(&mut self, now: Now, sink: &mut impl Sink) {
        let Side::Pull(pull) = &mut self.side else { return };
        if let Some(pin) = pull.pin.take_if(|pin| pin.expires_at <= now.monotonic_ns) {
            sink.advisory(Advisory::Unpinned { group: &pin.group, reason: "timeout" });
        }
    }
}

/// What to look at besides time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attention {
    /// Nothing can be delivered now: those who do not wait are told.
    pub ends_no_wait: bool,
    /// Requests nobody listens for are dropped.
    pub checks_interest: bool,
}

impl Pull {
    pub(super) fn new(settings: &PullSettings) -> Self {
        let is_ranked = settings.priority == PriorityPolicy::Prioritized;
        Self {
            requests: Requests::new(settings.waiting_max, is_ranked),
            pin: None,
            priority: settings.priority,
            interest_checked_at: 0,
        }
    }

    pub(super) fn update(&mut self, settings: &PullSettings) {
        if self.priority != settings.priority {
            self.priority = settings.priority;
            self.pin = None;
        }
        let is_ranked = settings.priority == PriorityPolicy::Prioritized;
        self.requests.configure(settings.waiting_max, is_ranked);
    }

    /// What is wrong with a request, in nats-server's order. The right pin is renewed.
    fn check(
        &mut self,
        request: &PullRequest,
        settings: &PullSettings,
        now: Now,
    ) -> Result<(), Status<'static>> {
        let above = |value: i64, max: Option<std::num::NonZeroU64>| {
            max.map(std::num::NonZeroU64::get)
                .filter(|max| u64::try_from(value).is_ok_and(|value| value > *max))
        };
        if let Some(max) = above(request.batch, settings.batch_max) {
            return Err(Status::BatchTooLarge(max));
        }
        if let Some(max) = above(request.expires_ns.unwrap_or(0), settings.expires_max_ns) {
            return Err(Status::ExpiresTooLate(max));
        }
        if let Some(max) = above(request.bytes_max, settings.bytes_max) {
            return Err(Status::TooManyBytes(max));
        }
        let Some(Priority { group, min_pending, min_ack_pending, id, priority }) =
            &request.priority
        else {
            return Ok(());
        };
        if (*min_pending != 0 || *min_ack_pending != 0)
            && settings.priority != PriorityPolicy::Overflow
        {
            return Err(Status::BadRequest("Not a Overflow Priority consumer"));
        }
        let is_pinned = matches!(settings.priority, PriorityPolicy::Pinned { .. });
        if !id.is_empty() && !is_pinned {
            return Err(Status::BadRequest("Not a Pinned Client Priority consumer"));
        }
        if !(0..=PRIORITY_MAX).contains(priority) {
            return Err(Status::BadRequest("Priority must be between 0 and 9"));
        }
        if settings.priority == PriorityPolicy::None {
            return Ok(());
        }
        if group.is_empty() {
            return Err(Status::BadRequest("Priority Group missing"));
        }
        if !settings.groups.iter().any(|known| **known == **group) {
            return Err(Status::BadRequest("Invalid Priority Group"));
        }
        if let (Some(pin), PriorityPolicy::Pinned { timeout_ns }) =
            (&mut self.pin, settings.priority)
        {
            if pin.id == *id {
                pin.expires_at = now.after(timeout_ns);
            } else if !id.is_empty() {
                return Err(Status::PinMismatch);
            }
        }
        Ok(())
    }

    /// Whether a waiting request can have this message; if so it is the first in line, and its
    /// bytes are counted. Requests that are found to be over on the way are ended.
    pub(super) fn choose(
        &mut self,
        wanted: Wanted,
        sink: &mut impl Sink,
        text: &mut String,
        random: &mut fastrand::Rng,
    ) -> bool {
        let now = wanted.now.monotonic_ns;
        let mut passed_over = 0;
        loop {
            let count = self.requests.len();
            let Some(request) = self.requests.front() else { return false };
            if request.expires_at > now && request.seen_in_poll != wanted.poll {
                if !sink.has_interest(&request.reply) {
                    self.requests.remove_front();
                    continue;
                }
                request.seen_in_poll = wanted.poll;
            }
            match fit(request, self.pin.as_ref(), self.priority, wanted) {
                Fit::Yes => {
                    self.pin_front(wanted.now, sink, random);
                    return true;
                }
                Fit::NotNow => {
                    self.requests.pass_over();
                    passed_over += 1;
                    if passed_over >= count {
                        return false;
                    }
                }
                Fit::Over(status) => {
                    tell(sink, text, &request.reply, status);
                    self.requests.remove_front();
                }
            }
        }
    }

    /// The first request gets the consumer for its client alone, where that is the policy and
    /// nobody has it.
    fn pin_front(&mut self, now: Now, sink: &mut impl Sink, random: &mut fastrand::Rng) {
        let PriorityPolicy::Pinned { timeout_ns } = self.priority else { return };
        if self.pin.is_some() {
            return;
        }
        let Some(priority) = self.requests.front().and_then(|request| request.priority.as_mut())
        else {
            return;
        };
        let id: String =
            std::iter::repeat_with(|| random.alphanumeric()).take(PIN_ID_LENGTH).collect();
        priority.id.clone_from(&id);
        let group = priority.group.clone();
        sink.advisory(Advisory::Pinned { group: &group, pin_id: &id });
        let expires_at = now.after(timeout_ns);
        self.pin = Some(Pin { id, group, since_unix_ns: now.unix_ns, expires_at });
    }
}

/// Whether a request can have a message.
enum Fit {
    Yes,
    /// It waits for other conditions.
    NotNow,
    /// It never can, and ends.
    Over(Status<'static>),
}

/// Whether a request that somebody listens for can have a message; if so the bytes are counted.
#[inline]
fn fit(request: &mut Request, pin: Option<&Pin>, policy: PriorityPolicy, wanted: Wanted) -> Fit {
    if request.expires_at <= wanted.now.monotonic_ns {
        return Fit::Over(Status::RequestTimeout(request.left));
    }
    match policy {
        PriorityPolicy::None | PriorityPolicy::Prioritized => {}
        PriorityPolicy::Overflow => {
            if !wanted.overflows(request) {
                return Fit::NotNow;
            }
        }
        PriorityPolicy::Pinned { .. } => match (pin, request.pin_id()) {
            (None, "") => {}
            (Some(pin), id) if pin.id == id => {}
            (Some(_), "") => return Fit::NotNow,
            _ => return Fit::Over(Status::WrongPin(request.left)),
        },
    }
    let left = &mut request.left;
    if left.bytes > 0 {
        let size = i64::try_from(wanted.size).unwrap_or(i64::MAX);
        if size > left.bytes {
            return Fit::Over(Status::MessageTooLarge(*left));
        }
        left.bytes -= size;
        if left.bytes == 0 {
            left.messages = 1;
        }
    }
    Fit::Yes
}

impl Wanted {
    /// Whether enough is waiting for a request that leaves less to others.
    fn overflows(&self, request: &Request) -> bool {
        let Some(priority) = &request.priority else { return true };
        let reached =
            |min: i64, value: u64| min > 0 && u64::try_from(min).is_ok_and(|min| min <= value);
        (priority.min_pending <= 0 && priority.min_ack_pending <= 0)
            || reached(priority.min_pending, self.pending)
            || reached(priority.min_ack_pending, self.ack_pending)
    }
}

/// Sends a status to a requester.
pub(super) fn tell(sink: &mut impl Sink, text: &mut String, to: &[u8], status: Status<'_>) {
    status.write(text);
    sink.send(to, to, None, text.as_bytes(), b"");
}
