//! What each operation of a client does, apart from publishing.

use std::sync::Arc;
use std::time::Duration;

use fulmar_protocol::client_op::Publish;
use fulmar_protocol::connect::Connect;
use fulmar_protocol::info::Info;
use fulmar_protocol::subject::{Filter, is_publishable};
use fulmar_protocol::{encode, error_text};
use subtle::ConstantTimeEq;

use super::connection::{Agreed, Identity, Stage};
use super::subscriptions::{Sid, Subscription};
use super::{CloseReason, Reactor};
use crate::config::{Authentication, Secret};
use crate::mesh::interest::SubscriberId;
use crate::mesh::mail::ConnectionId;
use crate::verifier::Question;

/// The name of a client that presents a token: the token itself is shown nowhere.
const TOKEN_USER: &str = "[REDACTED]";
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
        let verdict = self.authenticate(slot, &connect);
        let server_headers = self.live.info.headers;
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
            user: match &verdict {
                Verdict::Accepted(user) | Verdict::Compare { user, .. } => user.as_str().into(),
                Verdict::Refused => {
                    let token = connect.auth_token.as_deref();
                    presented_name(connect.user.as_deref(), token).into()
                }
            },
        }));
        connection.protocol = connect.protocol;
        let since_accept = self.local.now.duration_since(connection.started);
        connection.rtt.get_or_insert(since_accept.max(Duration::from_nanos(1)));
        match verdict {
            Verdict::Refused => self.refuse_credentials(slot),
            Verdict::Accepted(_) => self.let_in(slot),
            Verdict::Compare { hash, presented, .. } => {
                let generation = connection.generation;
                connection.stage = Stage::Verifying;
                let connection = ConnectionId { peer: self.local.me, slot, generation };
                let question = Question { connection, presented, hash };
                if !self.shared.verifier().is_some_and(|verifier| verifier.ask(question)) {
                    self.refuse_credentials(slot);
                }
            }
        }
    }

    /// What a client presented was compared with a hash.
    pub(super) fn handle_verified(&mut self, id: ConnectionId, right: bool) {
        let Some(connection) = self.local.connection(id) else { return };
        if connection.stage != Stage::Verifying || connection.closing.is_some() {
            return;
        }
        if !right {
            return self.refuse_credentials(id.slot);
        }
        connection.stage = Stage::Unauthenticated;
        // What came behind the CONNECT has waited for this.
        let waiting = connection.partial.take();
        self.let_in(id.slot);
        if let Some(waiting) = waiting {
            let mut bytes = &waiting.bytes[..];
            while !bytes.is_empty() {
                let handled = self.handle_bytes(id.slot, bytes);
                bytes = &bytes[handled..];
            }
        }
    }

    fn refuse_credentials(&mut self, slot: u32) {
        self.local.counters.authentication_failures += 1;
        let identity = self.local.connections[slot as usize].identity.as_deref();
        let user = identity
            .filter(|identity| !identity.user.is_empty())
            .map_or(String::new(), |identity| format!(" - User {:?}", identity.user));
        tracing::error!("{} - authentication error{user}", self.label(slot));
        let text = Some(error_text::AUTHORIZATION_VIOLATION);
        self.close(slot, CloseReason::AuthenticationFailure, text);
    }

    /// The credentials are right: the client may work, if it asked for what there is.
    fn let_in(&mut self, slot: u32) {
        let connection = &mut self.local.connections[slot as usize];
        if !connection.stage.may_work() {
            connection.stage = Stage::Ready;
        }
        let agreed = connection.agreed;
        if !(0..=1).contains(&connection.protocol) {
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
        let limits = &self.live.options.limits;
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
        if self.trace {
            self.trace_answer(slot, "PONG");
        }
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
            connection.rtt_measured_at = Some(now);
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
            ..self.live.info.clone()
        };
        if for_connect {
            info.connect_info = true;
            info.remote_account = self.shared.accounts[connection.account as usize].name.clone();
        }
        // Written apart, so that a thousand clients that come at once get the memory they need and
        // not what the longest INFO would.
        let mut line = Vec::with_capacity(512);
        encode::info(&mut line, &info);
        self.local.write(slot, line.len(), |out| out.extend_from_slice(&line));
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
        // Not in the order of a random hash: the same events leave the same interest behind.
        let mut places: Vec<u32> = sids.iter().collect();
        places.sort_unstable();
        for place in places {
            let subscription = self.local.subscriptions.remove(place);
            self.withdraw(account, place, &subscription);
        }
    }

    /// Whether a client is let in. Who was let in and presents nothing new stays who it is.
    fn authenticate(&self, slot: u32, connect: &Connect) -> Verdict {
        let presents_nothing =
            connect.user.is_none() && connect.pass.is_none() && connect.auth_token.is_none();
        let connection = &self.local.connections[slot as usize];
        match &connection.identity {
            Some(identity) if presents_nothing && connection.stage.may_work() => {
                Verdict::Accepted(identity.user.to_string())
            }
            _ => authenticate(&self.live.options.authentication, connect),
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
            if self.trace {
                self.trace_answer(slot, "OK");
            }
            self.local.write(slot, 5, |out| out.extend_from_slice(b"+OK\r\n"));
        }
    }

    fn write_error(&mut self, slot: u32, text: &str) {
        tracing::debug!("{} - {text}", self.label(slot));
        if self.trace {
            self.trace_answer(slot, &format!("-ERR {text}"));
        }
        self.local.write(slot, text.len() + 16, |out| encode::error(out, text));
    }
}

/// Whether a client is let in.
enum Verdict {
    /// As this user, which is empty where no user is asked for.
    Accepted(String),
    Refused,
    /// If what it presented belongs to the hash.
    Compare {
        user: String,
        hash: String,
        presented: String,
    },
}

impl Verdict {
    fn of(user: &str, presented: Option<&str>, expected: &Secret) -> Self {
        let presented = presented.unwrap_or_default();
        if expected.is_bcrypt() {
            let (hash, presented) = (expected.expose().to_owned(), presented.to_owned());
            return Self::Compare { user: user.to_owned(), hash, presented };
        }
        if bool::from(presented.as_bytes().ct_eq(expected.expose().as_bytes())) {
            Self::Accepted(user.to_owned())
        } else {
            Self::Refused
        }
    }
}

/// Under which name a client is shown, before anybody knows whether it is right.
fn presented_name<'a>(user: Option<&'a str>, token: Option<&str>) -> &'a str {
    let is_given = |text: &&str| !text.is_empty();
    let stand_in = token.filter(is_given).map(|_| TOKEN_USER);
    user.filter(is_given).or(stand_in).unwrap_or_default()
}

fn authenticate(expected: &Authentication, connect: &Connect) -> Verdict {
    if connect.new_account || connect.account.as_ref().is_some_and(|account| !account.is_empty()) {
        return Verdict::Refused;
    }
    let name = presented_name(connect.user.as_deref(), connect.auth_token.as_deref());
    match expected {
        Authentication::None => Verdict::Accepted(name.to_owned()),
        Authentication::Token(token) => Verdict::of(name, connect.auth_token.as_deref(), token),
        Authentication::Users { users, no_auth_user } => {
            let Some(name) = connect.user.as_deref().filter(|name| !name.is_empty()) else {
                return no_auth_user.clone().map_or(Verdict::Refused, Verdict::Accepted);
            };
            match users.iter().find(|user| user.user == name) {
                Some(known) => Verdict::of(name, connect.pass.as_deref(), &known.password),
                None => Verdict::Refused,
            }
        }
    }
}
