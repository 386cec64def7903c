//! A scripted client: it sends what chance tells it, and reads what comes as strictly as it can.
//!
//! Everything it sends is told to the [`Model`] first. What answers it is owed, and in which
//! order, it keeps itself.

use std::collections::VecDeque;

use fastrand::Rng;
use fulmar::reactor::CloseReason;
use fulmar_protocol::encode;
use fulmar_protocol::headers::Headers;
use fulmar_protocol::server_op::{self, ServerOp, Step};

use super::cable::Cable;
use super::model::{
    Model, PAYLOAD_BYTES_MIN, Publication, Received, Sent, Tick, Violation, header_block, payload,
};

/// What a client is like.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    /// It wants `+OK`s.
    pub verbose: bool,
    /// It wants its subjects checked.
    pub pedantic: bool,
    /// It wants its own messages back.
    pub echo: bool,
    /// It understands headers.
    pub headers: bool,
    /// It wants to hear that nobody listens.
    pub no_responders: bool,
    /// It understands INFO at any time.
    pub asynchronous_info: bool,
    /// It sends no CONNECT.
    pub is_person: bool,
    /// It answers PINGs.
    pub answers_pings: bool,
    /// It answers requests.
    pub responds: bool,
    /// Its messages are large.
    pub is_heavy: bool,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everything, whenever it is asked.
    Promptly,
    /// A few bytes now and then.
    Slowly,
    /// Not at all.
    NotAtAll,
}

/// A client and its end of the cable.
pub struct Client {
    /// Its number in the model; its cable has the same.
    pub number: usize,
    /// What it is like.
    pub character: Character,
    /// How it reads now.
    pub reading: Reading,
    /// It did not always read promptly.
    pub was_slow: bool,
    /// It has ended its side.
    pub left: bool,
    /// It sent something for which the server ends the connection; nothing follows it.
    pub offended: Option<Offence>,
    owed: VecDeque<Owed>,
    unanswered: VecDeque<Sent>,
    incoming: Vec<u8>,
    subscriptions: Vec<Own>,
    next_sid: usize,
    next_request: usize,
    connected: bool,
    pinged: bool,
    /// PINGs that came and that it did not answer.
    unanswered_pings: u32,
    told_stale: bool,
    /// The subscription that answers to its requests come to.
    inbox: Option<usize>,
}

/// Something for which a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// What it is called in the report.
    pub reason: CloseReason,
    text: Option<&'static str>,
    bytes: &'static [u8],
    /// How many bytes more of the same follow.
    padding: usize,
}

/// Being one client too many.
const TOO_MANY: Offence = Offence {
    reason: CloseReason::MaximumConnectionsExceeded,
    text: Some("maximum connections exceeded"),
    bytes: b"",
    padding: 0,
};

const OFFENCES: [Offence; 7] = [
    offence(CloseReason::ProtocolViolation, Some("Unknown Protocol Operation"), b"HELO me\r\n"),
    offence(
        CloseReason::ProtocolViolation,
        Some("Unknown Protocol Operation"),
        b"PUB a 2\r\nabcd\r\n",
    ),
    offence(CloseReason::ProtocolViolation, None, b"PUB a\r\n"),
    offence(CloseReason::ProtocolViolation, None, b"CONNECT {\r\n"),
    offence(CloseReason::ParseError, None, b"-ERR 'no'\r\n"),
    offence(
        CloseReason::MaximumPayloadExceeded,
        Some("Maximum Payload Violation"),
        b"PUB a 999999999\r\n",
    ),
    Offence {
        padding: 5_000,
        ..offence(
            CloseReason::MaximumControlLineExceeded,
            Some("maximum control line exceeded"),
            b"SUB a",
        )
    },
];

const fn offence(reason: CloseReason, text: Option<&'static str>, bytes: &'static [u8]) -> Offence {
    Offence { reason, text, bytes, padding: 0 }
}

/// An answer the server owes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owed {
    Info,
    Ok,
    Pong,
    Error(String),
}

struct Own {
    place: usize,
    sid: String,
    limited: bool,
}

impl Client {
    /// A client that was accepted just now, or refused.
    pub fn new(number: usize, character: Character, refused: bool) -> Self {
        let offended = refused.then_some(TOO_MANY);
        let last_words = offended.and_then(|offence| offence.text);
        let last_words = last_words.map(|text| Owed::Error(text.to_owned()));
        Self {
            number,
            character,
            reading: Reading::Promptly,
            was_slow: false,
            left: false,
            offended,
            owed: [Owed::Info].into_iter().chain(last_words).collect(),
            unanswered: VecDeque::new(),
            incoming: Vec::new(),
            subscriptions: Vec::new(),
            next_sid: 1,
            next_request: 1,
            connected: false,
            pinged: false,
            unanswered_pings: 0,
            told_stale: false,
            inbox: None,
        }
    }

    /// Whether it says anything more.
    pub fn is_talking(&self) -> bool {
        !self.left && self.offended.is_none()
    }

    /// Sends one thing or a few, and returns the bytes.
    pub fn act(
        &mut self,
        model: &mut Model,
        cable: &mut Cable,
        tick: Tick,
        random: &mut Rng,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.connected {
            self.connected = true;
            model.set_headers(self.number, self.character.headers);
            if !self.character.is_person {
                self.connect(model, &mut out, tick);
            }
        }
        for _ in 0..random.usize(1..=4) {
            self.act_once(model, &mut out, tick, random);
            if self.offended.is_some() {
                break;
            }
        }
        cable.send(&out);
        out
    }

    /// Sends a PING, whose PONG says that everything before it was handled.
    pub fn ping(&mut self, cable: &mut Cable) {
        let mut out = Vec::new();
        self.write_ping(&mut out);
        cable.send(&out);
    }

    /// Takes up to `most` bytes that came and looks at them.
    ///
    /// # Errors
    ///
    /// Something came that must not, or in another order or form.
    pub fn receive(
        &mut self,
        model: &mut Model,
        cable: &mut Cable,
        tick: Tick,
        most: usize,
    ) -> Result<Vec<u8>, Violation> {
        let bytes = cable.receive(most);
        self.incoming.extend_from_slice(&bytes);
        let incoming = std::mem::take(&mut self.incoming);
        let mut rest = &incoming[..];
        let mut out = Vec::new();
        while !rest.is_empty() {
            match server_op::parse(rest) {
                Ok(Step::Op { op, consumed }) => {
                    self.handle(model, &mut out, tick, op)
                        .map_err(|violation| format!("client {}: {violation}", self.number))?;
                    rest = &rest[consumed..];
                }
                Ok(Step::Incomplete { .. }) => break,
                Err(error) => {
                    let shown = String::from_utf8_lossy(&rest[..rest.len().min(80)]);
                    return Err(format!("client {} cannot read {shown:?}: {error}", self.number));
                }
            }
        }
        self.incoming = rest.to_vec();
        if self.is_talking() {
            cable.send(&out);
        }
        Ok(bytes)
    }

    /// The server let it go, and everything it wrote was received.
    ///
    /// # Errors
    ///
    /// Last words were owed, there was room for them, and they did not come.
    pub fn check_last_words(&self, cable: &Cable) -> Result<(), Violation> {
        let hears = self.offended.is_some() && !self.left && !cable.ended_blocked();
        if hears && !self.owed.is_empty() {
            return Err(format!("client {} was let go without {:?}", self.number, self.owed));
        }
        Ok(())
    }

    /// The server let it go because it answers no PINGs.
    ///
    /// # Errors
    ///
    /// It was let go too early or too late, or was not told why.
    pub fn check_staleness(&self, cable: &Cable, ping_max: u32) -> Result<(), Violation> {
        if self.left || cable.ended_blocked() {
            return Ok(());
        }
        let as_agreed = self.character.answers_pings || self.unanswered_pings == ping_max;
        if as_agreed && self.told_stale {
            return Ok(());
        }
        let (number, count, told) = (self.number, self.unanswered_pings, self.told_stale);
        Err(format!("client {number} was let go after {count} PINGs, told: {told}"))
    }

    /// Nothing is under way.
    ///
    /// # Errors
    ///
    /// The server owes it something.
    pub fn check_is_content(&self) -> Result<(), Violation> {
        if self.owed.is_empty() && self.incoming.is_empty() {
            return Ok(());
        }
        Err(format!("client {} is owed {:?} at rest", self.number, self.owed))
    }

    fn handle(
        &mut self,
        model: &mut Model,
        out: &mut Vec<u8>,
        tick: Tick,
        op: ServerOp<'_>,
    ) -> Result<(), Violation> {
        match op {
            ServerOp::Info(json) => {
                // In lame duck mode INFO comes unasked.
                if json.windows(10).any(|window| window == b"\"ldm\":true") {
                    return Ok(());
                }
                self.pay(Owed::Info)
            }
            ServerOp::Ok => self.pay(Owed::Ok),
            ServerOp::Err(b"Stale Connection") => {
                self.told_stale = true;
                Ok(())
            }
            ServerOp::Err(text) => self.pay(Owed::Error(String::from_utf8_lossy(text).into())),
            ServerOp::Ping => {
                if self.character.answers_pings {
                    out.extend_from_slice(b"PONG\r\n");
                } else {
                    self.unanswered_pings += 1;
                }
                Ok(())
            }
            ServerOp::Pong => {
                self.pay(Owed::Pong)?;
                while let Some(sent) = self.unanswered.pop_front() {
                    model.acknowledge(sent, tick);
                    if sent == Sent::Ping {
                        break;
                    }
                }
                Ok(())
            }
            ServerOp::Message(message) => self.handle_message(model, out, tick, &message),
        }
    }

    fn handle_message(
        &mut self,
        model: &mut Model,
        out: &mut Vec<u8>,
        tick: Tick,
        message: &server_op::Message<'_>,
    ) -> Result<(), Violation> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "bytes nobody sent".to_owned());
        let (sid, subject) = (text(message.sid)?, text(message.subject)?);
        let reply = message.reply.map(text).transpose()?;
        let headers = Headers::new(message.headers);
        if headers.status().is_some_and(|(code, _)| code == 503) {
            let asked = headers.get("Nats-Subject").unwrap_or_default();
            return model.receive_no_responders(self.number, sid, subject, text(asked)?);
        }
        let (headers, payload) = (message.headers, message.payload);
        let received = Received { sid, subject, reply, headers, payload };
        model.receive(self.number, received)?;
        if let Some(reply) = reply
            && self.character.responds
            && self.is_talking()
        {
            let publication = self.publication(reply.to_owned(), None, PAYLOAD_BYTES_MIN, false);
            self.publish(model, out, tick, publication);
        }
        Ok(())
    }

    /// The server pays what it owes, in the order in which it does.
    fn pay(&mut self, paid: Owed) -> Result<(), Violation> {
        match self.owed.pop_front() {
            Some(owed) if owed == paid => Ok(()),
            owed => Err(format!("{owed:?} was owed, and {paid:?} came")),
        }
    }

    fn act_once(&mut self, model: &mut Model, out: &mut Vec<u8>, tick: Tick, random: &mut Rng) {
        match random.u8(..100) {
            0..=49 => {
                // To its inbox, or where others listen, if anybody does.
                let first = match random.u8(..5) {
                    0 => Some("_INBOX"),
                    1 => Some("a"),
                    _ => None,
                };
                let reply = first.map(|first| {
                    self.next_request += 1;
                    format!("{first}.{}.{}", self.number, self.next_request)
                });
                let (subject, size) = (subject(random), self.size(random));
                let headers = self.character.headers && random.bool();
                let publication = self.publication(subject, reply, size, headers);
                self.publish(model, out, tick, publication);
            }
            50..=67 => {
                let filter = filter(random);
                let queue = ["", "", "red", "blue"][random.usize(..4)];
                self.subscribe(model, out, tick, random, &filter, queue);
            }
            68..=69 => {
                let filter = filter(random);
                let queue = ["", "red"][random.usize(..2)];
                for _ in 0..random.usize(1..=45) {
                    self.subscribe(model, out, tick, random, &filter, queue);
                }
            }
            70..=77 => self.unsubscribe(model, out, tick, random),
            78..=82 => self.limit(model, out, random),
            83..=93 => self.write_ping(out),
            94 => {
                let subject = ["a..b", ".", "a.>.b"][random.usize(..3)];
                write_line(out, random, &["SUB", subject, "nothing"]);
                self.owed.push_back(Owed::Error("Invalid Subject".into()));
            }
            95 => {
                // Nobody can ask for it, and only who is pedantic hears that it is wrong.
                write_line(out, random, &["PUB", "a..b", "0"]);
                out.extend_from_slice(b"\r\n");
                model.publish_to_nobody(self.number);
                if self.character.pedantic {
                    self.owed.push_back(Owed::Error("Invalid Publish Subject".into()));
                }
                self.owe_ok();
            }
            96 if !self.character.is_person => {
                self.character.echo = random.bool();
                self.connect(model, out, tick);
            }
            97 if random.u8(..4) == 0 => {
                let offence = OFFENCES[random.usize(..OFFENCES.len())];
                out.extend_from_slice(offence.bytes);
                out.resize(out.len() + offence.padding, b'a');
                self.owed.extend(offence.text.map(|text| Owed::Error(text.to_owned())));
                self.offended = Some(offence);
                model.gone(self.number, tick);
            }
            _ => {
                self.reading = match random.u8(..8) {
                    0..=4 => Reading::Promptly,
                    5..=6 => Reading::Slowly,
                    _ => Reading::NotAtAll,
                };
                self.was_slow |= self.reading != Reading::Promptly;
            }
        }
    }

    /// A CONNECT, which ends all earlier subscriptions.
    fn connect(&mut self, model: &mut Model, out: &mut Vec<u8>, tick: Tick) {
        for place in self.subscriptions.drain(..).map(|own| own.place).chain(self.inbox.take()) {
            model.end(place, tick);
            self.unanswered.push_back(Sent::End(place));
        }
        let Character {
            verbose, pedantic, echo, headers, no_responders, asynchronous_info, ..
        } = self.character;
        let protocol = u8::from(asynchronous_info);
        let connect = format!(
            concat!(
                r#"CONNECT {{"verbose":{},"pedantic":{},"echo":{},"headers":{},"#,
                r#""no_responders":{},"protocol":{},"name":"client {}"}}"#,
                "\r\n"
            ),
            verbose, pedantic, echo, headers, no_responders, protocol, self.number
        );
        out.extend_from_slice(connect.as_bytes());
        self.owe_ok();
        if no_responders {
            let filter = format!("_INBOX.{}.*", self.number);
            let sid = self.sid();
            let place = model.subscribe(self.number, &sid, &filter, None, tick);
            out.extend_from_slice(format!("SUB {filter} {sid}\r\n").as_bytes());
            self.unanswered.push_back(Sent::Subscription(place));
            self.owe_ok();
            self.inbox = Some(place);
        }
    }

    fn publication(
        &self,
        subject: String,
        reply: Option<String>,
        size: usize,
        headers: bool,
    ) -> Publication {
        let Character { echo, no_responders, .. } = self.character;
        Publication { subject, reply, headers, size, echo, no_responders }
    }

    fn publish(
        &mut self,
        model: &mut Model,
        out: &mut Vec<u8>,
        tick: Tick,
        publication: Publication,
    ) {
        let Publication { subject, reply, headers, size, .. } = publication.clone();
        let id = model.publish(self.number, publication, tick);
        let (subject, reply) = (subject.as_bytes(), reply.as_deref().map(str::as_bytes));
        let payload = payload(id, size);
        if headers {
            encode::publish_with_headers(out, subject, reply, &header_block(id), &payload);
        } else {
            encode::publish(out, subject, reply, &payload);
        }
        self.unanswered.push_back(Sent::Message(id));
        self.owe_ok();
    }

    /// A SUB; an empty `queue` is none.
    fn subscribe(
        &mut self,
        model: &mut Model,
        out: &mut Vec<u8>,
        tick: Tick,
        random: &mut Rng,
        filter: &str,
        queue: &str,
    ) {
        let sid = self.sid();
        let place = match queue {
            "" => {
                write_line(out, random, &["SUB", filter, &sid]);
                model.subscribe(self.number, &sid, filter, None, tick)
            }
            queue => {
                write_line(out, random, &["SUB", filter, queue, &sid]);
                model.subscribe(self.number, &sid, filter, Some(queue), tick)
            }
        };
        self.unanswered.push_back(Sent::Subscription(place));
        self.subscriptions.push(Own { place, sid, limited: false });
        self.owe_ok();
    }

    fn unsubscribe(&mut self, model: &mut Model, out: &mut Vec<u8>, tick: Tick, random: &mut Rng) {
        if self.subscriptions.is_empty() {
            // Of a subscription that was never there.
            write_line(out, random, &["UNSUB", "never"]);
        } else {
            let own = self.subscriptions.swap_remove(random.usize(..self.subscriptions.len()));
            write_line(out, random, &["UNSUB", &own.sid]);
            model.end(own.place, tick);
            self.unanswered.push_back(Sent::End(own.place));
        }
        self.owe_ok();
    }

    fn limit(&mut self, model: &mut Model, out: &mut Vec<u8>, random: &mut Rng) {
        // Nearly always the newest: then all of its messages count.
        let own = match random.u8(..4) {
            0 => self.subscriptions.first_mut(),
            _ => self.subscriptions.last_mut(),
        };
        let Some(own) = own.filter(|own| !own.limited) else { return };
        own.limited = true;
        let limit = random.u64(1..=6);
        write_line(out, random, &["UNSUB", &own.sid, &limit.to_string()]);
        model.limit(own.place, limit);
        self.unanswered.push_back(Sent::Limit(own.place));
        self.owe_ok();
    }

    fn write_ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PING\r\n");
        self.unanswered.push_back(Sent::Ping);
        self.owed.push_back(Owed::Pong);
        if !self.pinged && self.connected && !self.character.is_person {
            self.pinged = true;
            self.owed.extend(self.character.asynchronous_info.then_some(Owed::Info));
        }
    }

    fn owe_ok(&mut self) {
        self.owed.extend(self.character.verbose.then_some(Owed::Ok));
    }

    /// A new identifier, now and then one too long to be kept in place.
    fn sid(&mut self) -> String {
        self.next_sid += 1;
        match self.next_sid % 5 {
            0 => format!("a-subscription-with-a-long-name-{}", self.next_sid),
            _ => self.next_sid.to_string(),
        }
    }

    fn size(&self, random: &mut Rng) -> usize {
        match random.u8(..100) {
            0..=39 if self.character.is_heavy => random.usize(30_000..=300_000),
            0 => random.usize(33_000..=80_000),
            1..=5 => random.usize(4_000..=9_000),
            _ => random.usize(PAYLOAD_BYTES_MIN..=60),
        }
    }
}

fn subject(random: &mut Rng) -> String {
    let tokens: Vec<_> = (0..random.usize(1..=3)).map(|_| token(random)).collect();
    tokens.join(".")
}

fn filter(random: &mut Rng) -> String {
    let mut tokens: Vec<_> = (0..random.usize(1..=3))
        .map(|_| if random.u8(..4) == 0 { "*" } else { token(random) })
        .collect();
    if random.u8(..6) == 0 {
        tokens.push(">");
    }
    tokens.join(".")
}

fn token(random: &mut Rng) -> &'static str {
    ["a", "b", "longer-token"][random.usize(..3)]
}

/// A control line as somebody may write it: in any case, with any blanks, with any line end.
fn write_line(out: &mut Vec<u8>, random: &mut Rng, words: &[&str]) {
    let lower = random.u8(..8) == 0;
    for (number, word) in words.iter().enumerate() {
        match (number, lower) {
            (0, true) => out.extend(word.bytes().map(|byte| byte.to_ascii_lowercase())),
            _ => out.extend_from_slice(word.as_bytes()),
        }
        if number + 1 < words.len() {
            out.extend_from_slice([" ", " ", " ", "\t", "  "][random.usize(..5)].as_bytes());
        }
    }
    out.extend_from_slice(if random.u8(..8) == 0 { b"\n" } else { b"\r\n" });
}
