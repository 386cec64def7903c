//! The JetStream of a server as a client that knows only its subjects: it sends a request and reads
//! the answer, publishes and reads the PubAck, pulls and reads until the pull ends.
//!
//! It refuses to know what a stream or a consumer is: configurations and answers are JSON that the
//! test writes and compares. What is read for one subscription never disturbs another one, so a
//! test may read in the order it thinks in.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{Message, RawClient, Server};

/// A connection that speaks JetStream.
#[derive(Debug)]
pub struct JetStream {
    client: RawClient,
    /// Where the API lives: `$JS.API`, or that of a domain.
    prefix: String,
    /// The subscriptions made so far; the next one's id, and part of its inbox.
    subscriptions: u64,
    /// What was read while looking for something else.
    unread: VecDeque<Message>,
}

/// A subscription of a [`JetStream`] connection.
#[derive(Clone, Debug)]
pub struct Subscription {
    sid: String,
    /// The subject it was made with.
    pub subject: String,
}

/// What a delivered message says in its reply subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The stream it is from.
    pub stream: String,
    /// The consumer that delivered it.
    pub consumer: String,
    /// How often it has been delivered, this time included.
    pub delivered: u64,
    /// Its sequence in the stream.
    pub stream_sequence: u64,
    /// The number of this delivery.
    pub consumer_sequence: u64,
    /// When it was stored, in nanoseconds of Unix time.
    pub timestamp_ns: u64,
    /// How many messages were still to be delivered.
    pub pending: u64,
}

impl Server {
    /// A connection that speaks JetStream.
    #[track_caller]
    pub fn jetstream(&self) -> JetStream {
        JetStream::new(self.connect())
    }

    /// As [`Server::jetstream`], with options of CONNECT.
    #[track_caller]
    pub fn jetstream_with(&self, options: &Value) -> JetStream {
        JetStream::new(self.connect_with(options))
    }
}

impl JetStream {
    /// Speaks over a connection that has sent CONNECT.
    pub fn new(client: RawClient) -> Self {
        Self { client, prefix: "$JS.API".to_owned(), subscriptions: 0, unread: VecDeque::new() }
    }

    /// From now on requests go to this domain.
    pub fn use_domain(&mut self, domain: &str) {
        self.prefix = format!("$JS.{domain}.API");
    }

    /// The connection below, for bytes that nothing here sends.
    pub fn client(&mut self) -> &mut RawClient {
        &mut self.client
    }

    /// Subscribes, and waits until the server knows.
    #[track_caller]
    pub fn subscribe(&mut self, subject: &str) -> Subscription {
        let subscription = self.start_subscription(subject, "");
        self.settle();
        subscription
    }

    /// Subscribes as a member of a queue group, and waits until the server knows.
    #[track_caller]
    pub fn subscribe_queue(&mut self, subject: &str, queue: &str) -> Subscription {
        let subscription = self.start_subscription(subject, queue);
        self.settle();
        subscription
    }

    /// Subscribes to an inbox that nobody else knows.
    #[track_caller]
    pub fn subscribe_inbox(&mut self) -> Subscription {
        let inbox = self.next_inbox();
        self.start_subscription(&inbox, "")
    }

    /// Ends a subscription, and waits until the server knows. What it was sent is forgotten.
    #[track_caller]
    pub fn unsubscribe(&mut self, subscription: Subscription) {
        self.client.send(format!("UNSUB {}\r\n", subscription.sid));
        self.settle();
        self.unread.retain(|message| message.sid != subscription.sid);
    }

    /// Reads the next message of this subscription.
    #[track_caller]
    pub fn receive(&mut self, subscription: &Subscription) -> Message {
        let is_wanted = |message: &Message| message.sid == subscription.sid;
        if let Some(index) = self.unread.iter().position(is_wanted) {
            return self.unread.remove(index).expect("there is something at its index");
        }
        loop {
            if let Some(message) = self.client.message_or_pong() {
                if is_wanted(&message) {
                    return message;
                }
                self.unread.push_back(message);
            }
        }
    }

    /// Takes what has arrived for this subscription when the server answers a PING.
    #[track_caller]
    pub fn arrived(&mut self, subscription: &Subscription) -> Vec<Message> {
        self.settle();
        let (wanted, rest) = std::mem::take(&mut self.unread)
            .into_iter()
            .partition(|message| message.sid == subscription.sid);
        self.unread = rest;
        Vec::from(wanted)
    }

    /// Sends PING and reads up to PONG: the server has seen everything sent before.
    #[track_caller]
    pub fn settle(&mut self) {
        self.client.send("PING\r\n");
        while let Some(message) = self.client.message_or_pong() {
            self.unread.push_back(message);
        }
    }

    /// Publishes and expects no answer.
    #[track_caller]
    pub fn send(
        &mut self,
        subject: &str,
        reply: &str,
        headers: &[(&str, &str)],
        payload: impl AsRef<[u8]>,
    ) {
        let payload = payload.as_ref();
        let mut bytes = if headers.is_empty() {
            format!("PUB {subject} {reply} {}\r\n", payload.len()).into_bytes()
        } else {
            let block = header_block(headers);
            let (header_bytes, total) = (block.len(), block.len() + payload.len());
            format!("HPUB {subject} {reply} {header_bytes} {total}\r\n{block}").into_bytes()
        };
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.client.send(bytes);
    }

    /// Sends a request and reads the first message that answers it.
    #[track_caller]
    pub fn request(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: impl AsRef<[u8]>,
    ) -> Message {
        let subscription = self.start_request(subject, headers, payload);
        let answer = self.receive(&subscription);
        self.client.send(format!("UNSUB {}\r\n", subscription.sid));
        answer
    }

    /// Sends a request; its answers come to the subscription.
    #[track_caller]
    pub fn start_request(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: impl AsRef<[u8]>,
    ) -> Subscription {
        let subscription = self.subscribe_inbox();
        self.send(subject, &subscription.subject, headers, payload);
        subscription
    }

    /// Asks the API, for instance `STREAM.INFO.ORDERS` with `""` or `json!({...})`. The type of the
    /// answer is checked, as it follows from the question; an error is an answer like any other.
    #[track_caller]
    pub fn api(&mut self, path: &str, body: impl ToString) -> Value {
        self.api_with(path, &[], body)
    }

    /// As [`JetStream::api`], with headers.
    #[track_caller]
    pub fn api_with(&mut self, path: &str, headers: &[(&str, &str)], body: impl ToString) -> Value {
        let answer = self.request(&format!("{}.{path}", self.prefix), headers, body.to_string());
        let value = answer.json();
        assert_eq!(value["type"], response_type(path), "{path}: {value}");
        value
    }

    /// Asks the API for something that it does.
    #[track_caller]
    pub fn ok(&mut self, path: &str, body: impl ToString) -> Value {
        let body = body.to_string();
        let answer = self.api(path, &body);
        assert!(answer.get("error").is_none(), "{path} {body}: {answer}");
        answer
    }

    /// Asks the API for something that it refuses with these words:
    /// `<code> <error code> <description>`, for instance `404 10059 stream not found`.
    #[track_caller]
    pub fn refused(&mut self, path: &str, body: impl ToString, expected: &str) -> Value {
        let body = body.to_string();
        let answer = self.api(path, &body);
        assert_eq!(error(&answer), expected, "{path} {body}");
        answer
    }

    /// Creates the stream with this configuration.
    #[track_caller]
    pub fn stream(&mut self, configuration: Value) -> Value {
        self.ok(&format!("STREAM.CREATE.{}", name(&configuration)), configuration)
    }

    /// Creates or updates the consumer with this configuration.
    #[track_caller]
    pub fn consumer(&mut self, stream: &str, configuration: Value) -> Value {
        self.ok(&consumer_path(stream, &configuration), consumer_body(stream, configuration))
    }

    /// Asks for a consumer with this configuration, which is refused with these words.
    #[track_caller]
    pub fn consumer_refused(&mut self, stream: &str, configuration: Value, expected: &str) {
        let path = consumer_path(stream, &configuration);
        self.refused(&path, consumer_body(stream, configuration), expected);
    }

    /// The stream's description.
    #[track_caller]
    pub fn stream_info(&mut self, stream: &str) -> Value {
        self.ok(&format!("STREAM.INFO.{stream}"), "")
    }

    /// The stream's state.
    #[track_caller]
    pub fn state(&mut self, stream: &str) -> Value {
        self.stream_info(stream)["state"].take()
    }

    /// The consumer's description.
    #[track_caller]
    pub fn consumer_info(&mut self, stream: &str, consumer: &str) -> Value {
        self.ok(&format!("CONSUMER.INFO.{stream}.{consumer}"), "")
    }

    /// Publishes a message that is stored, and gives its sequence.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, payload: impl AsRef<[u8]>) -> u64 {
        self.publish_with(subject, &[], payload)
    }

    /// As [`JetStream::publish`], with headers.
    #[track_caller]
    pub fn publish_with(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: impl AsRef<[u8]>,
    ) -> u64 {
        let answer = self.put(subject, headers, payload);
        assert!(answer.get("error").is_none(), "{subject} {headers:?}: {answer}");
        answer["seq"].as_u64().expect("a PubAck has a sequence")
    }

    /// Publishes the numbers from 1 to `count`, each stored before the next.
    #[track_caller]
    pub fn publish_numbers(&mut self, subject: &str, count: u64) {
        for number in 1..=count {
            self.publish(subject, number.to_string());
        }
    }

    /// Publishes and gives the answer, whatever it is.
    #[track_caller]
    pub fn put(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: impl AsRef<[u8]>,
    ) -> Value {
        self.request(subject, headers, payload).json()
    }

    /// Publishes what is refused with these words: see [`JetStream::refused`].
    #[track_caller]
    pub fn put_refused(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: impl AsRef<[u8]>,
        expected: &str,
    ) {
        let answer = self.put(subject, headers, payload);
        assert_eq!(error(&answer), expected, "{subject} {headers:?}");
    }

    /// Sends a pull request; what it gets comes to the subscription.
    #[track_caller]
    pub fn pull(&mut self, stream: &str, consumer: &str, body: impl ToString) -> Subscription {
        let subject = format!("{}.CONSUMER.MSG.NEXT.{stream}.{consumer}", self.prefix);
        self.start_request(&subject, &[], body.to_string())
    }

    /// Pulls exactly so many messages, waiting for those that are not there yet.
    #[track_caller]
    pub fn fetch(&mut self, stream: &str, consumer: &str, count: usize) -> Vec<Message> {
        let pull = self.pull(stream, consumer, json!({"batch": count}));
        let messages = (0..count).map(|_| {
            let message = self.receive(&pull);
            assert_eq!(message.status(), None, "instead of one of {count} messages");
            message
        });
        messages.collect()
    }

    /// Pulls one message.
    #[track_caller]
    pub fn next(&mut self, stream: &str, consumer: &str) -> Message {
        self.fetch(stream, consumer, 1).remove(0)
    }

    /// Pulls everything that can be delivered at this moment, up to 1,000 messages.
    ///
    /// What was published after the consumer was created may come a moment later: nats-server
    /// tells its consumers of a message after it has acknowledged it.
    #[track_caller]
    pub fn fetch_available(&mut self, stream: &str, consumer: &str) -> Vec<Message> {
        let pull = self.pull(stream, consumer, json!({"batch": 1_000, "no_wait": true}));
        let mut messages = Vec::new();
        loop {
            let message = self.receive(&pull);
            match message.status().as_deref() {
                None => messages.push(message),
                Some("404 No Messages") => return messages,
                Some(status) => panic!("{status} after {} messages", messages.len()),
            }
        }
    }

    /// Nothing can be delivered at this moment.
    #[track_caller]
    pub fn expect_nothing(&mut self, stream: &str, consumer: &str) {
        let messages = self.fetch_available(stream, consumer);
        assert_eq!(payloads(&messages), Vec::<String>::new());
    }

    /// Answers a message and waits until the server has applied that.
    #[track_caller]
    pub fn acknowledge(&mut self, message: &Message, body: &str) {
        let subject = message.reply.as_deref().expect("what a consumer delivers can be answered");
        let answer = self.request(subject, &[], body);
        assert_eq!((answer.status(), answer.text().as_str()), (None, ""), "{subject} {body}");
    }

    /// The stored message with this sequence, or the error.
    #[track_caller]
    pub fn get(&mut self, stream: &str, sequence: u64) -> Value {
        self.api(&format!("STREAM.MSG.GET.{stream}"), json!({"seq": sequence}))
    }

    fn start_subscription(&mut self, subject: &str, queue: &str) -> Subscription {
        self.subscriptions += 1;
        let sid = self.subscriptions.to_string();
        self.client.send(format!("SUB {subject} {queue} {sid}\r\n"));
        Subscription { sid, subject: subject.to_owned() }
    }

    fn next_inbox(&self) -> String {
        let cid = self.client.info()["client_id"].as_u64().unwrap_or_default();
        format!("_INBOX.{cid}.{}", self.subscriptions + 1)
    }
}

impl Message {
    /// The value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.headers);
        let mut lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find_map(|(key, value)| (key == name).then(|| value.trim().to_owned()))
    }

    /// What follows `NATS/1.0` in the first line of the headers: `404 No Messages`.
    pub fn status(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.headers);
        let status = text.lines().next()?.strip_prefix("NATS/1.0")?.trim();
        (!status.is_empty()).then(|| status.to_owned())
    }

    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The payload as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.payload) {
            Ok(value) => value,
            Err(error) => panic!(
                "no JSON ({error}): {:?} {:?}",
                String::from_utf8_lossy(&self.headers),
                self.text()
            ),
        }
    }

    /// What its reply subject says, `$JS.ACK.` and seven more tokens.
    ///
    /// # Panics
    ///
    /// When there is none, or it is of another form.
    #[track_caller]
    pub fn delivery(&self) -> Delivery {
        let reply = self.reply.as_deref().unwrap_or_default();
        let tokens: Vec<&str> = reply.split('.').collect();
        let ["$JS", "ACK", stream, consumer, rest @ ..] = tokens.as_slice() else {
            panic!("not what a consumer delivers: {self:?}");
        };
        let numbers: Vec<u64> = rest.iter().map_while(|token| token.parse().ok()).collect();
        let [delivered, stream_sequence, consumer_sequence, timestamp_ns, pending] =
            *numbers.as_slice()
        else {
            panic!("five numbers end an ack subject: {reply:?}");
        };
        Delivery {
            stream: (*stream).to_owned(),
            consumer: (*consumer).to_owned(),
            delivered,
            stream_sequence,
            consumer_sequence,
            timestamp_ns,
            pending,
        }
    }
}

/// The payloads as text.
pub fn payloads(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::text).collect()
}

/// The sequences that messages have in their stream.
#[track_caller]
pub fn sequences(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.delivery().stream_sequence).collect()
}

/// The error of an answer as `<code> <error code> <description>`, empty when there is none.
pub fn error(answer: &Value) -> String {
    match answer.get("error") {
        None => String::new(),
        Some(error) => format!(
            "{} {} {}",
            error["code"],
            error["err_code"],
            error["description"].as_str().unwrap_or_default()
        ),
    }
}

/// Every field of `expected` is in `actual` with that value, however deep; what else is in
/// `actual` does not matter. `null` stands for a field that is not there. Arrays are compared
/// element by element.
///
/// # Panics
///
/// When something differs; with all that does.
#[track_caller]
pub fn assert_contains(actual: &Value, expected: &Value) {
    let mut differences = String::new();
    compare("", actual, expected, &mut differences);
    assert!(differences.is_empty(), "{differences}in {actual}");
}

fn compare(path: &str, actual: &Value, expected: &Value, differences: &mut String) {
    match (actual, expected) {
        (Value::Object(_), Value::Object(fields)) => {
            for (name, value) in fields {
                let found = actual.get(name).unwrap_or(&Value::Null);
                compare(&format!("{path}.{name}"), found, value, differences);
            }
        }
        (Value::Array(found), Value::Array(values)) if found.len() == values.len() => {
            for (index, (found, value)) in found.iter().zip(values).enumerate() {
                compare(&format!("{path}[{index}]"), found, value, differences);
            }
        }
        _ if actual == expected => {}
        _ => writeln!(differences, "{path}: {actual}, expected {expected}")
            .expect("strings can be written to"),
    }
}

fn header_block(headers: &[(&str, &str)]) -> String {
    let mut block = "NATS/1.0\r\n".to_owned();
    for (name, value) in headers {
        write!(block, "{name}: {value}\r\n").expect("strings can be written to");
    }
    block + "\r\n"
}

fn name(configuration: &Value) -> &str {
    let field = ["durable_name", "name"].iter().find_map(|field| configuration[field].as_str());
    field.unwrap_or_default()
}

fn consumer_path(stream: &str, configuration: &Value) -> String {
    match name(configuration) {
        "" => format!("CONSUMER.CREATE.{stream}"),
        name => format!("CONSUMER.CREATE.{stream}.{name}"),
    }
}

fn consumer_body(stream: &str, configuration: Value) -> Value {
    json!({"stream_name": stream, "config": configuration})
}

/// The type that an answer has, by the question.
fn response_type(path: &str) -> String {
    let mut tokens = path.split('.');
    let mut next = || tokens.next().unwrap_or_default().to_ascii_lowercase();
    let name = match next().as_str() {
        "info" => "account_info".to_owned(),
        group => match next().as_str() {
            "durable" => format!("{group}_create"),
            "msg" => format!("{group}_msg_{}", next()),
            "leader" => format!("{group}_leader_stepdown"),
            "peer" => format!("{group}_remove_peer"),
            action => format!("{group}_{action}"),
        },
    };
    format!("io.nats.jetstream.api.v1.{name}_response")
}
