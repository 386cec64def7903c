//! What each operation of a client does, apart from publishing.

use std::sync::Arc;

use fulmar_protocol::client_op::{ClientOp, Publish};
use fulmar_protocol::connect::Connect;
use fulmar_protocol::info::Info;
use fulmar_protocol::subject::{Filter, is_publishable};
use fulmar_protocol::{encode, error_text};
use subtle::ConstantTimeEq;

use super::connection::{Agreed, Identity, Stage};
use super::subscriptions::{Sid, Subscription};
use super::{CloseReason, Reactor};
use crate::config::Authentication;
use crate::mesh::interest::SubscriberId;
use crate::shared::Shared;

/// What an INFO takes at the most: lists of addresses are short on one server.
const INFO_BYTES_MAX: usize = 16 * 1024;
/// The queue group that belongs to the server.
const SYSTEM_QUEUE: &[u8] = b"_sys_";

/// Whether a subject or a reply begins like one that is the server's own, so that
/// [`Reactor::check_publish`] has to look closer.
#[inline]
pub(super) fn may_be_reserved(publish: &Publish<'_>) -> bool {
    matches!(publish.subject.first(), Some(b'_' | b'$'))
        || publish.reply.is_some_and(|reply| {
            reply.starts_with(b"_R_.")
                || reply.starts_with(b"_GR_.")
                || reply.starts_with(b"$JS.ACK.")
        })
}

impl Reactor {
    pub(super) fn handle_connect(&mut self, slot: u32, json: &[u8]) {
        let connection = &self.local.connections[slot as usize];
        let before = connection.connect_so_far();
        let first = connection.identity.is_none();
        let connect = match before.changed_by(json) {
            Ok(connect) => connect,
            Err(error) => {
                tracing::error!("{} - CONNECT cannot be read: {error}", self.label(slot));
                return self.close(slot, CloseReason::ProtocolViolation, None);
            }
        };
        if !first {
            // A second CONNECT begins anew.
            self.remove_all_subscriptions(slot);
        }
        let Some(user) = self.authenticate(slot, &connect) else {
            self.local.counters.authentication_failures += 1;
            let user =
                connect.user.as_deref().map_or(String::new(), |user| format!(" - User {user:?}"));
            tracing::error!("{} - authentication error{user}", self.label(slot));
            let text = Some(error_text::AUTHORIZATION_VIOLATION);
            return self.close(slot, CloseReason::AuthenticationFailure, text);
        };
        let server_headers = self.shared.info.headers;
        let agreed = Agreed {
            verbose: connect.verbose,
            pedantic: connect.pedantic,
            echo: connect.echo,
            headers: connect.headers && server_headers,
            no_responders: connect.no_responders,
            asynchronous_info: connect.protocol >= 1,
        };
        let connection = &mut self.local.connections[slot as usize];
        connection.agreed = agreed;
        connection.limits.headers = agreed.headers;
        connection.identity = Some(Box::new(Identity {
            name: connect.name.into(),
            lang: connect.lang.into(),
            version: connect.version.into(),
            user: user.into(),
        }));
        if connection.stage == Stage::Unauthenticated {
            connection.stage = Stage::Ready;
        }
        if !(0..=1).contains(&connect.protocol) {
            let text = Some(error_text::INVALID_CLIENT_PROTOCOL);
            return self.close(slot, CloseReason::BadClientProtocolVersion, text);
        }
        if agreed.no_responders && !agreed.headers {
            let text = Some(error_text::NO_RESPONDERS_NEEDS_HEADERS);
            return self.close(slot, CloseReason::NoRespondersRequiresHeaders, text);
        }
        self.acknowledge(slot);
    }

    pub(super) fn handle_subscribe(
        &mut self,
        slot: u32,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) {
        let limits = &self.shared.options.limits;
        let connection = &self.local.connections[slot as usize];
        if queue == Some(SYSTEM_QUEUE) {
            return self.write_error(slot, &error_text::subscription_violation(subject, queue));
        }
        if limits.subscriptions_max.is_some_and(|max| connection.sids.count() >= max) {
            return self.write_error(slot, error_text::SUBSCRIPTIONS_EXCEEDED);
        }
        let tokens = fulmar_protocol::subject::tokens(subject).count();
        if limits.subscription_tokens_max.is_some_and(|max| tokens > max) {
            return self.write_error(slot, &error_text::too_many_tokens(subject));
        }
        if connection.sids.find(&self.local.subscriptions, sid).is_none() {
            let Ok(filter) = Filter::parse(subject) else {
                return self.write_error(slot, error_text::INVALID_SUBJECT);
            };
            self.add_subscription(slot, filter, queue, sid);
        }
        self.acknowledge(slot);
    }

    pub(super) fn handle_unsubscribe(&mut self, slot: u32, sid: &[u8], max: Option<u64>) {
        let connection = &self.local.connections[slot as usize];
        if let Some(place) = connection.sids.find(&self.local.subscriptions, sid)
            && let Some(subscription) = self.local.subscriptions.get_mut(place)
        {
            match max {
                Some(max) if max > subscription.delivered => subscription.max = max,
                _ => self.remove_subscription(place),
            }
        }
        self.acknowledge(slot);
    }

    pub(super) fn handle_ping(&mut self, slot: u32) {
        self.local.write(slot, 8, |out| out.extend_from_slice(b"PONG\r\n"));
        let connection = &mut self.local.connections[slot as usize];
        // A PING before CONNECT is a person's, or a probe's.
        if connection.stage == Stage::Ready && connection.identity.is_some() {
            connection.stage = Stage::Pinged;
            if connection.agreed.asynchronous_info {
                self.write_info(slot, true);
            }
        }
    }

    pub(super) fn handle_pong(&mut self, slot: u32) {
        let now = self.local.now;
        let connection = &mut self.local.connections[slot as usize];
        connection.pings_unanswered = 0;
        if let Some(sent) = connection.ping_sent.take() {
            connection.rtt = Some(now.duration_since(sent));
        }
    }

    /// Checks what a pedantic client wants checked, refuses what is the server's own, and
    /// answers a verbose client. Returns whether the message goes on.
    pub(super) fn check_publish(&mut self, slot: u32, publish: &Publish<'_>) -> bool {
        let agreed = self.local.connections[slot as usize].agreed;
        if agreed.pedantic && !is_publishable(publish.subject) {
            self.write_error(slot, error_text::INVALID_PUBLISH_SUBJECT);
        }
        if may_be_reserved(publish) {
            if publish.subject.starts_with(b"_GR_.") || publish.subject.starts_with(b"$NRG.") {
                self.write_error(slot, &error_text::publish_violation(publish.subject));
                return false;
            }
            if let Some(reply) = publish.reply
                && (reply.starts_with(b"_R_.")
                    || reply.starts_with(b"_GR_.")
                    || reply.starts_with(b"$JS.ACK."))
            {
                self.write_error(slot, &error_text::reply_violation(reply));
                return false;
            }
        }
        self.acknowledge(slot);
        true
    }

    pub(super) fn refuse_unauthenticated(&mut self, slot: u32) {
        self.local.counters.authentication_failures += 1;
        let text = Some(error_text::AUTHORIZATION_VIOLATION);
        self.close(slot, CloseReason::AuthenticationFailure, text);
    }

    /// Writes INFO; `for_connect` makes it the one that follows the first PONG.
    pub(super) fn write_info(&mut self, slot: u32, for_connect: bool) {
        let connection = &self.local.connections[slot as usize];
        let mut info = Info {
            client_id: connection.cid,
            client_ip: connection.address.ip().to_canonical().to_string(),
            lame_duck_mode: self.lame_duck.is_some(),
            ..self.shared.info.clone()
        };
        if for_connect {
            info.connect_info = true;
            info.remote_account = self.shared.accounts[connection.account as usize].name.clone();
        }
        self.local.write(slot, INFO_BYTES_MAX, |out| encode::info(out, &info));
    }

    pub(super) fn remove_subscription(&mut self, place: u32) {
        if self.local.subscriptions.get(place).is_none() {
            return;
        }
        let connection_slot =
            self.local.subscriptions.get(place).map_or(0, |found| found.connection);
        let connection = &mut self.local.connections[connection_slot as usize];
        connection.sids.remove(&self.local.subscriptions, place);
        let account = connection.account as usize;
        let subscription = self.local.subscriptions.remove(place);
        self.withdraw(account, place, &subscription);
    }

    pub(super) fn remove_all_subscriptions(&mut self, slot: u32) {
        let connection = &mut self.local.connections[slot as usize];
        let account = connection.account as usize;
        let sids = std::mem::take(&mut connection.sids);
        for place in sids.iter() {
            let subscription = self.local.subscriptions.remove(place);
            self.withdraw(account, place, &subscription);
        }
    }

    pub(super) fn trace_operation(&self, slot: u32, op: &ClientOp<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let optional =
            |bytes: Option<&[u8]>| bytes.map_or(String::new(), |bytes| format!("{} ", text(bytes)));
        let label = self.label(slot);
        match op {
            ClientOp::Publish(publish) => {
                let (subject, reply) = (text(publish.subject), optional(publish.reply));
                let (headers, size) = (publish.headers.len(), publish.framed.len() - 2);
                if headers > 0 {
                    tracing::trace!("{label} - <<- [HPUB {subject} {reply}{headers} {size}]");
                } else {
                    tracing::trace!("{label} - <<- [PUB {subject} {reply}{size}]");
                }
                let log = &self.shared.options.log;
                let body = if log.trace_headers { publish.headers } else { publish.body() };
                let shown = log.traced_message_bytes_max.unwrap_or(body.len()).min(body.len());
                let more = if shown < body.len() { "..." } else { "" };
                tracing::trace!("{label} - <<- MSG_PAYLOAD: [{:?}{more}]", text(&body[..shown]));
            }
            ClientOp::Connect(json) => {
                tracing::trace!("{label} - <<- [CONNECT {}]", without_secrets(json));
            }
            ClientOp::Subscribe { subject, queue, sid } => tracing::trace!(
                "{label} - <<- [SUB {} {}{}]",
                text(subject),
                optional(*queue),
                text(sid)
            ),
            ClientOp::Unsubscribe { sid, max } => tracing::trace!(
                "{label} - <<- [UNSUB {}{}]",
                text(sid),
                max.map_or(String::new(), |max| format!(" {max}"))
            ),
            ClientOp::Ping => tracing::trace!("{label} - <<- [PING]"),
            ClientOp::Pong => tracing::trace!("{label} - <<- [PONG]"),
            ClientOp::Ignored => {}
        }
    }

    /// The user a client is let in as; `None` when it is not. Who was let in and presents nothing
    /// new stays who it is.
    fn authenticate(&self, slot: u32, connect: &Connect) -> Option<String> {
        let presents_nothing =
            connect.user.is_none() && connect.pass.is_none() && connect.auth_token.is_none();
        match &self.local.connections[slot as usize].identity {
            Some(identity) if presents_nothing => Some(identity.user.to_string()),
            _ => authenticate(&self.shared, connect),
        }
    }

    fn add_subscription(
        &mut self,
        slot: u32,
        filter: Filter<'_>,
        queue: Option<&[u8]>,
        sid: &[u8],
    ) {
        let shared_filter: Arc<[u8]> = Arc::from(filter.as_bytes());
        let queue: Option<Arc<[u8]>> = queue.map(Arc::from);
        let (place, generation) = self.local.subscriptions.insert(Subscription {
            connection: slot,
            generation: 0,
            sid: Sid::from_slice(sid),
            filter: shared_filter.clone(),
            queue: queue.clone(),
            delivered: 0,
            max: 0,
        });
        let connection = &mut self.local.connections[slot as usize];
        connection.sids.add(&self.local.subscriptions, place);
        let id = SubscriberId { slot: place, generation, peer: self.local.me };
        let interest = &self.shared.accounts[connection.account as usize].interest;
        interest.add(filter, &shared_filter, queue.as_ref(), id);
    }

    /// Takes the interest of a subscription back.
    fn withdraw(&self, account: usize, place: u32, subscription: &Subscription) {
        let filter = Filter::parse(&subscription.filter).expect("it was parsed when it was added");
        let id =
            SubscriberId { slot: place, generation: subscription.generation, peer: self.local.me };
        self.shared.accounts[account].interest.remove(filter, subscription.queue.as_deref(), id);
    }

    /// Answers `+OK` to a client that wants it.
    fn acknowledge(&mut self, slot: u32) {
        if self.local.connections[slot as usize].agreed.verbose {
            self.local.write(slot, 5, |out| out.extend_from_slice(b"+OK\r\n"));
        }
    }

    fn write_error(&mut self, slot: u32, text: &str) {
        tracing::debug!("{} - {text}", self.label(slot));
        self.local.write(slot, text.len() + 16, |out| encode::error(out, text));
    }
}

/// A CONNECT as a log may show it.
fn without_secrets(json: &[u8]) -> String {
    const SECRETS: [&str; 4] = ["pass", "auth_token", "jwt", "sig"];
    let text = String::from_utf8_lossy(json);
    if !SECRETS.iter().any(|name| text.contains(name)) {
        return text.into_owned();
    }
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(json) else {
        return "[REDACTED]".to_owned();
    };
    for name in SECRETS {
        if let Some(value) = fields.get_mut(name) {
            *value = "[REDACTED]".into();
        }
    }
    serde_json::Value::Object(fields).to_string()
}

/// The user a client is let in as, which is empty where no user is asked for; `None` when it is
/// not let in.
fn authenticate(shared: &Shared, connect: &Connect) -> Option<String> {
    if connect.new_account || connect.account.as_ref().is_some_and(|account| !account.is_empty()) {
        return None;
    }
    let same =
        |given: &str, expected: &str| bool::from(given.as_bytes().ct_eq(expected.as_bytes()));
    match &shared.options.authentication {
        Authentication::None => Some(connect.user.clone().unwrap_or_default()),
        Authentication::Token(token) => {
            same(connect.auth_token.as_deref().unwrap_or_default(), token.expose())
                .then(String::new)
        }
        Authentication::Users { users, no_auth_user } => {
            let Some(name) = connect.user.as_deref().filter(|name| !name.is_empty()) else {
                return no_auth_user.clone();
            };
            let known = users.iter().find(|user| user.user == name)?;
            let password = connect.pass.as_deref().unwrap_or_default();
            same(password, known.password.expose()).then(|| name.to_owned())
        }
    }
}
