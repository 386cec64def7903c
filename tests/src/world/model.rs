//! What must have happened, told so simply that it can be seen to be right.
//!
//! The model knows when a client sent something and when it heard the PONG behind it, and nothing
//! of the server. A subscription is *certainly there* from the PONG after its SUB to the sending
//! of its UNSUB; it is *certainly not there* before the sending of its SUB and after the PONG
//! behind its UNSUB. A message was routed at some moment between its sending and its PONG. So for
//! a message and a subscription there are three answers: it must come, it must not come, or both
//! are right because the two were under way at the same time.

use std::collections::{HashMap, HashSet};

use fulmar::reactor::connection::Traffic;

/// A moment: how many steps the world has made.
pub type Tick = u64;

/// What was broken, in words.
pub type Violation = String;

/// What clients did, and what came to them.
#[derive(Default)]
pub struct Model {
    clients: Vec<Client>,
    subscriptions: Vec<Subscription>,
    messages: Vec<Message>,
    /// Which groups have had which message.
    group_deliveries: HashSet<(usize, String)>,
    /// Messages for queue groups may overtake one another when a member left meanwhile: they are
    /// sent on to another one. Until then their order is checked too.
    member_left: bool,
}

/// What has been going on, to see that it was something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that were published.
    pub messages: usize,
    /// Deliveries outside queue groups.
    pub plain: usize,
    /// Deliveries to members of queue groups.
    pub queue: usize,
    /// Deliveries that had to be.
    pub certain: usize,
    /// Answers that nobody listens.
    pub no_responders: usize,
    /// Subscriptions that ended because they had their last message.
    pub finished: usize,
}

#[derive(Default)]
struct Client {
    /// It understands headers.
    headers: bool,
    /// Since when it is not certain any more that what is for it comes to it.
    gone_at: Option<Tick>,
    /// Messages it has published.
    published: u32,
    published_bytes: u64,
    received: u64,
    received_bytes: u64,
    /// The last message of each client that it has heard of, directly or through others.
    heard: Vec<u32>,
    /// The last message of each client of which any message it received had heard.
    heard_by_received: Vec<u32>,
    subscriptions: HashMap<String, usize>,
}

struct Subscription {
    client: usize,
    filter: String,
    queue: Option<String>,
    sent: Tick,
    acknowledged: Option<Tick>,
    end_sent: Option<Tick>,
    end_acknowledged: Option<Tick>,
    limit: Option<u64>,
    /// Messages it had when the PONG behind its limit came.
    received_at_limit: Option<u64>,
    received: Vec<usize>,
}

struct Message {
    client: usize,
    /// Its number among those of its client, from 1.
    number: u32,
    subject: String,
    reply: Option<String>,
    headers: bool,
    size: usize,
    /// Its publisher wants it back.
    echo: bool,
    /// Its publisher wants to hear that nobody listens.
    no_responders: bool,
    sent: Tick,
    acknowledged: Option<Tick>,
    heard: Vec<u32>,
    nobody_listens: u32,
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where to.
    pub subject: String,
    /// Where answers are wanted.
    pub reply: Option<String>,
    /// With a header.
    pub headers: bool,
    /// Bytes of the payload, at least [`PAYLOAD_BYTES_MIN`].
    pub size: usize,
    /// The publisher wants it back if it subscribes to it.
    pub echo: bool,
    /// The publisher wants to hear that nobody listens.
    pub no_responders: bool,
}

/// A message as it came to a client.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The subscription's identifier.
    pub sid: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// Where answers are wanted.
    pub reply: Option<&'a str>,
    /// The header block, if there was one.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// Something that a client sent and whose PONG it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// This subscription.
    Subscription(usize),
    /// The end of this subscription.
    End(usize),
    /// The limit of this subscription.
    Limit(usize),
    /// This message.
    Message(usize),
    /// The PING itself.
    Ping,
}

/// Room for the number of a message in its payload.
pub const PAYLOAD_BYTES_MIN: usize = 8;

/// The payload of message number `id`.
pub fn payload(id: usize, size: usize) -> Vec<u8> {
    let mut payload = format!("{id:08x}").into_bytes();
    let pattern = [b'a' + u8::try_from(id % 26).expect("below 26"), b'\r', b'\n', b'-'];
    payload.extend(pattern.repeat(size.div_ceil(pattern.len())));
    payload.truncate(size);
    payload
}

/// The header block of message number `id`.
pub fn header_block(id: usize) -> Vec<u8> {
    format!("NATS/1.0\r\nNumber: {id}\r\n\r\n").into_bytes()
}

/// Whether `filter` asks for `subject`, by the words of the protocol.
pub fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for asked in filter.split('.') {
        match (asked, tokens.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            (asked, Some(token)) if asked != "*" && asked != token => return false,
            _ => {}
        }
    }
    tokens.next().is_none()
}

impl Model {
    /// A client connected. Returns its number.
    pub fn connect(&mut self) -> usize {
        self.clients.push(Client::default());
        self.clients.len() - 1
    }

    /// The client says whether it understands headers.
    pub fn set_headers(&mut self, client: usize, headers: bool) {
        self.clients[client].headers = headers;
    }

    /// The client leaves, or is let go: from now on nothing that is for it is certain to come.
    pub fn gone(&mut self, client: usize, tick: Tick) {
        self.clients[client].gone_at.get_or_insert(tick);
        self.member_left |=
            self.subscriptions.iter().any(|one| one.client == client && one.queue.is_some());
    }

    /// The client sends a SUB.
    pub fn subscribe(
        &mut self,
        client: usize,
        sid: &str,
        filter: &str,
        queue: Option<&str>,
        tick: Tick,
    ) -> usize {
        self.subscriptions.push(Subscription {
            client,
            filter: filter.to_owned(),
            queue: queue.map(str::to_owned),
            sent: tick,
            acknowledged: None,
            end_sent: None,
            end_acknowledged: None,
            limit: None,
            received_at_limit: None,
            received: Vec::new(),
        });
        let subscription = self.subscriptions.len() - 1;
        self.clients[client].subscriptions.insert(sid.to_owned(), subscription);
        subscription
    }

    /// The client sends an UNSUB without a number, or something that does the same.
    pub fn end(&mut self, subscription: usize, tick: Tick) {
        let subscription = &mut self.subscriptions[subscription];
        self.member_left |= subscription.queue.is_some();
        subscription.end_sent.get_or_insert(tick);
    }

    /// The client sends an UNSUB with a number, the first one for this subscription.
    pub fn limit(&mut self, subscription: usize, limit: u64) {
        let subscription = &mut self.subscriptions[subscription];
        self.member_left |= subscription.queue.is_some();
        subscription.limit = Some(limit);
    }

    /// The client sends a message. Returns its number.
    pub fn publish(&mut self, client: usize, publication: Publication, tick: Tick) -> usize {
        let publisher = &mut self.clients[client];
        publisher.published += 1;
        let id = self.messages.len();
        let header_size = if publication.headers { header_block(id).len() } else { 0 };
        publisher.published_bytes += (header_size + publication.size) as u64;
        let number = publisher.published;
        let heard = publisher.heard.clone();
        raise(&mut publisher.heard, client, number);
        let Publication { subject, reply, headers, size, echo, no_responders } = publication;
        self.messages.push(Message {
            client,
            number,
            subject,
            reply,
            headers,
            size,
            echo,
            no_responders,
            sent: tick,
            acknowledged: None,
            heard,
            nobody_listens: 0,
        });
        id
    }

    /// The client sends an empty message to a subject that nobody can ask for.
    pub fn publish_to_nobody(&mut self, client: usize) {
        self.clients[client].published += 1;
    }

    /// The PONG behind something came.
    pub fn acknowledge(&mut self, sent: Sent, tick: Tick) {
        match sent {
            Sent::Subscription(place) => self.subscriptions[place].acknowledged = Some(tick),
            Sent::End(place) => self.subscriptions[place].end_acknowledged = Some(tick),
            Sent::Limit(place) => {
                let subscription = &mut self.subscriptions[place];
                subscription.received_at_limit = Some(subscription.received.len() as u64);
            }
            Sent::Message(id) => self.messages[id].acknowledged = Some(tick),
            Sent::Ping => {}
        }
    }

    /// A message came to a client. Returns its number.
    ///
    /// # Errors
    ///
    /// It must not have come, or not like this.
    pub fn receive(&mut self, client: usize, what: Received<'_>) -> Result<usize, Violation> {
        let Received { sid, subject, reply, headers, payload } = what;
        let id = payload
            .get(..PAYLOAD_BYTES_MIN)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .filter(|id| *id < self.messages.len())
            .ok_or_else(|| format!("client {client} got a message nobody sent, to {subject}"))?;
        let message = &self.messages[id];
        let Some(&place) = self.clients[client].subscriptions.get(sid) else {
            return Err(format!("client {client} never subscribed as {sid}"));
        };
        let is_sent_on = self.may_be_sent_on(message, place);
        let subscription = &mut self.subscriptions[place];
        let receiver = &mut self.clients[client];
        let (filter, queue) = (subscription.filter.clone(), subscription.queue.clone());
        let broken = |what: &str| {
            Err(format!(
                "message {id} ({} of client {}, to {}) for subscription {place} ({filter} {queue:?} as {sid} of client {client}) {what}",
                message.number, message.client, message.subject,
            ))
        };

        if self::payload(id, message.size) != payload {
            return broken("has another payload");
        }
        let expected_headers =
            if message.headers && receiver.headers { header_block(id) } else { Vec::new() };
        if headers != expected_headers {
            return broken(&format!("has other headers: {headers:?}"));
        }
        if (subject, reply) != (message.subject.as_str(), message.reply.as_deref()) {
            return broken(&format!("came as {subject} with reply {reply:?}"));
        }
        if !matches(&subscription.filter, subject) {
            return broken("was not asked for");
        }
        if !message.echo && message.client == client && !is_sent_on {
            return broken("is an echo that is not wanted");
        }
        if message.acknowledged.is_some_and(|tick| tick < subscription.sent) && !is_sent_on {
            return broken("was over before the subscription");
        }
        if subscription.end_acknowledged.is_some_and(|tick| tick < message.sent) {
            return broken("came after the subscription's end");
        }
        if subscription.received.contains(&id) {
            return broken("came twice");
        }
        if let Some(queue) = &subscription.queue
            && !self.group_deliveries.insert((id, queue.clone()))
        {
            return broken("came to two members");
        }
        subscription.received.push(id);
        let count = subscription.received.len() as u64;
        if let (Some(limit), Some(before)) = (subscription.limit, subscription.received_at_limit)
            && count > limit.max(before)
        {
            return broken(&format!("is number {count} of at most {limit}"));
        }
        if subscription.queue.is_none() || !self.member_left {
            let heard = receiver.heard_by_received.get(message.client).copied().unwrap_or(0);
            if message.number <= heard {
                return broken("came after one that was sent because of it");
            }
        }
        for (other, number) in message.heard.iter().enumerate() {
            raise(&mut receiver.heard, other, *number);
            raise(&mut receiver.heard_by_received, other, *number);
        }
        raise(&mut receiver.heard, message.client, message.number);
        receiver.received += 1;
        receiver.received_bytes += (headers.len() + payload.len()) as u64;
        Ok(id)
    }

    /// Whether the message may have been on its way to another member of the group to which the
    /// subscription at `place` belongs. If that one has left, a member of that moment gets it, by
    /// what its client wants then.
    fn may_be_sent_on(&self, message: &Message, place: usize) -> bool {
        let Some(group) = &self.subscriptions[place].queue else { return false };
        self.subscriptions.iter().any(|other| {
            let has_left = other.end_sent.is_some()
                || other.limit.is_some()
                || self.clients[other.client].gone_at.is_some();
            other.queue.as_ref() == Some(group)
                && has_left
                && matches(&other.filter, &message.subject)
                && !self.is_excluded(other, message)
        })
    }

    /// A client heard that nobody listens to its request, on its own subscription `sid`.
    ///
    /// # Errors
    ///
    /// It must not have heard so, or not like this.
    pub fn receive_no_responders(
        &mut self,
        client: usize,
        sid: &str,
        reply: &str,
        subject: &str,
    ) -> Result<(), Violation> {
        let found = self.messages.iter_mut().enumerate().find(|(_, message)| {
            message.client == client && message.reply.as_deref() == Some(reply)
        });
        let Some((id, message)) = found else {
            return Err(format!("client {client} hears of a request to {reply} it never made"));
        };
        let own = self.clients[client].subscriptions.get(sid);
        if !own.is_some_and(|place| matches(&self.subscriptions[*place].filter, reply)) {
            return Err(format!("client {client} hears of {reply} as {sid}, which is not for it"));
        }
        message.nobody_listens += 1;
        if !message.no_responders || message.subject != subject || message.nobody_listens > 1 {
            return Err(format!("message {id} of client {client}: nobody listens, to {subject}"));
        }
        Ok(())
    }

    /// What the server should say about a client that is still there. Answers that nobody listens
    /// are not in it.
    pub fn counts(&self, client: usize) -> (Traffic, usize) {
        let one = &self.clients[client];
        let subscriptions = self.subscriptions.iter().filter(|subscription| {
            subscription.client == client
                && subscription.end_sent.is_none()
                && !subscription.is_finished()
        });
        let traffic = Traffic {
            in_messages: u64::from(one.published),
            in_bytes: one.published_bytes,
            out_messages: one.received,
            out_bytes: one.received_bytes,
        };
        (traffic, subscriptions.count())
    }

    /// How many messages came for the subscription that the client calls `sid`.
    pub fn received_by(&self, client: usize, sid: &str) -> Option<u64> {
        let place = self.clients[client].subscriptions.get(sid)?;
        Some(self.subscriptions[*place].received.len() as u64)
    }

    /// Looks at everything once no bytes and no mail are under way any more and everything that
    /// clients still there sent has its PONG.
    ///
    /// # Errors
    ///
    /// Something that had to come did not.
    pub fn check(&self) -> Result<Totals, Violation> {
        let mut totals = Totals { messages: self.messages.len(), ..Totals::default() };
        for (id, message) in self.messages.iter().enumerate() {
            self.check_message(id, message, &mut totals)?;
        }
        for (place, subscription) in self.subscriptions.iter().enumerate() {
            self.check_limit(place, subscription)?;
            totals.finished += usize::from(subscription.is_finished());
            match subscription.queue {
                None => totals.plain += subscription.received.len(),
                Some(_) => totals.queue += subscription.received.len(),
            }
        }
        Ok(totals)
    }

    fn check_message(
        &self,
        id: usize,
        message: &Message,
        totals: &mut Totals,
    ) -> Result<(), Violation> {
        let mut somebody_certainly = false;
        let mut somebody_possibly = false;
        let mut groups: HashSet<&str> = HashSet::new();
        let mut groups_with_gone_members: HashSet<&str> = HashSet::new();
        for (place, subscription) in self.subscriptions.iter().enumerate() {
            let wanted = matches(&subscription.filter, &message.subject)
                && (message.echo || subscription.client != message.client);
            if !wanted {
                continue;
            }
            let certain = self.is_certain(subscription, message);
            let possible = !self.is_excluded(subscription, message);
            somebody_certainly |= certain;
            somebody_possibly |= possible;
            if let Some(group) = &subscription.queue
                && possible
                && self.clients[subscription.client].gone_at.is_some()
            {
                groups_with_gone_members.insert(group);
            }
            if !certain {
                continue;
            }
            match &subscription.queue {
                Some(group) => {
                    // Whoever had the message sent on may have found a member that left later.
                    if subscription.end_sent.is_none() {
                        groups.insert(group);
                    }
                }
                None => {
                    totals.certain += 1;
                    if !subscription.received.contains(&id) {
                        return Err(format!(
                            "message {id} ({} of client {}, to {}) never came to subscription {place} ({} of client {})",
                            message.number,
                            message.client,
                            message.subject,
                            subscription.filter,
                            subscription.client,
                        ));
                    }
                }
            }
        }
        // What came to a client that is gone now, nobody knows.
        for group in groups.difference(&groups_with_gone_members) {
            totals.certain += 1;
            if !self.group_deliveries.contains(&(id, (*group).to_owned())) {
                return Err(format!(
                    "message {id} (to {}) never came to anybody of group {group}",
                    message.subject
                ));
            }
        }
        totals.no_responders += message.nobody_listens as usize;
        if somebody_certainly && message.nobody_listens > 0 {
            return Err(format!("message {id}: somebody listens, and the opposite was said"));
        }
        let hears = message.no_responders
            && message.reply.as_ref().is_some_and(|reply| {
                self.subscriptions.iter().any(|own| {
                    own.client == message.client
                        && own.queue.is_none()
                        && matches(&own.filter, reply)
                        && self.is_certain(own, message)
                })
            });
        if hears && !somebody_possibly && message.nobody_listens != 1 {
            return Err(format!("message {id}: nobody listens, and nobody said so"));
        }
        Ok(())
    }

    /// Whether the subscription was there for as long as the message was under way, without a
    /// limit, and its client is there still.
    fn is_certain(&self, subscription: &Subscription, message: &Message) -> bool {
        subscription.limit.is_none() && self.is_certain_but_for_limit(subscription, message)
    }

    fn is_certain_but_for_limit(&self, subscription: &Subscription, message: &Message) -> bool {
        let routed_by = message.acknowledged;
        self.clients[subscription.client].gone_at.is_none()
            && subscription.acknowledged.is_some_and(|there| there < message.sent)
            && routed_by.is_some_and(|routed| subscription.end_sent.is_none_or(|end| routed < end))
    }

    /// Whether the subscription was certainly not there when the message was.
    fn is_excluded(&self, subscription: &Subscription, message: &Message) -> bool {
        message.acknowledged.is_some_and(|routed| routed < subscription.sent)
            || subscription.end_acknowledged.is_some_and(|end| end < message.sent)
    }

    /// A subscription with a limit has had its messages without a gap, and as many as it may.
    fn check_limit(&self, place: usize, subscription: &Subscription) -> Result<(), Violation> {
        let Some(limit) = subscription.limit else { return Ok(()) };
        if subscription.queue.is_some() {
            return Ok(());
        }
        let mut due = 0;
        let mut missing: HashMap<usize, usize> = HashMap::new();
        for (id, message) in self.messages.iter().enumerate() {
            let wanted = matches(&subscription.filter, &message.subject)
                && (message.echo || subscription.client != message.client)
                && self.is_certain_but_for_limit(subscription, message);
            if !wanted {
                continue;
            }
            due += 1;
            if !subscription.received.contains(&id) {
                missing.entry(message.client).or_insert(id);
            } else if let Some(earlier) = missing.get(&message.client) {
                return Err(format!("subscription {place} had message {id} and not {earlier}"));
            }
        }
        let received = subscription.received.len() as u64;
        if received < limit.min(due) {
            return Err(format!(
                "subscription {place} had {received} of {due} messages, up to {limit} of which it wanted"
            ));
        }
        Ok(())
    }
}

impl Subscription {
    /// Whether it has had its last message.
    fn is_finished(&self) -> bool {
        self.limit.is_some_and(|limit| self.received.len() as u64 >= limit)
    }
}

fn raise(numbers: &mut Vec<u32>, place: usize, number: u32) {
    if numbers.len() <= place {
        numbers.resize(place + 1, 0);
    }
    numbers[place] = numbers[place].max(number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_protocol() {
        let check = |filter, subject, expected| {
            assert_eq!(matches(filter, subject), expected, "{filter} {subject}");
        };
        check("a.b", "a.b", true);
        check("a.b", "a", false);
        check("a.*", "a.b", true);
        check("a.*", "a.b.c", false);
        check("a.>", "a.b.c", true);
        check("a.>", "a", false);
        check(">", "a", true);
        check("*.b", "a.b", true);
        check("*.b", "a.c", false);
    }

    #[test]
    fn a_message_that_does_not_come_is_missed() {
        let mut model = Model::default();
        let (publisher, subscriber) = (model.connect(), model.connect());
        let subscription = model.subscribe(subscriber, "1", "a.*", None, 1);
        model.acknowledge(Sent::Subscription(subscription), 2);
        let publication = Publication {
            subject: "a.b".into(),
            reply: None,
            headers: false,
            size: 8,
            echo: true,
            no_responders: false,
        };
        let id = model.publish(publisher, publication, 3);
        model.acknowledge(Sent::Message(id), 4);
        assert!(model.check().is_err());
        let payload = payload(id, 8);
        let received =
            Received { sid: "1", subject: "a.b", reply: None, headers: b"", payload: &payload };
        assert_eq!(model.receive(subscriber, received), Ok(id));
        assert!(model.check().is_ok());
        assert!(model.receive(subscriber, received).is_err(), "it came twice");
        model.end(subscription, 5);
        model.acknowledge(Sent::End(subscription), 6);
        let late = Publication {
            subject: "a.b".into(),
            reply: None,
            headers: false,
            size: 8,
            echo: true,
            no_responders: false,
        };
        let late = model.publish(publisher, late, 7);
        let payload = self::payload(late, 8);
        let received = Received { payload: &payload, ..received };
        assert!(model.receive(subscriber, received).is_err(), "it came after the end");
    }
}
