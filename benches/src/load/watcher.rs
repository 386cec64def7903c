//! A push consumer's client: it gets all there is at once, and answers flow control.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use fulmar_protocol::headers::Headers;
use serde_json::{Value, json};

use super::api::Api;
use super::connection::Connection;
use super::messages::Messages;
use super::puller::Place;
use super::stored::Stored;

const INBOX: &str = "_INBOX.watch";

/// What clients ask for: often enough to notice a consumer that is gone, never in a short run.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// One connection that watches.
#[derive(Debug)]
pub struct Watcher {
    messages: Messages,
    next: u64,
}

impl Watcher {
    /// Connects.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let connection = Connection::open(address).context("a watcher cannot connect")?;
        Ok(Self { messages: Messages::on(connection), next: 0 })
    }

    /// Watches the last message of every subject with a consumer of its own, as clients watch a
    /// bucket, until the `count` that are there have come, in their order.
    ///
    /// # Errors
    /// When something else comes than was expected, or nothing.
    pub fn watch_all(
        &mut self,
        api: &mut Api,
        stream: &str,
        stored: &Stored,
        count: u64,
    ) -> Result<()> {
        self.next += 1;
        let (inbox, name) = (format!("{INBOX}.{}", self.next), format!("watch{}", self.next));
        // As clients do: the very subject. A filter that matches it is nobody's interest for a
        // push consumer of nats-server.
        let sid = self.next.to_string();
        self.messages.send(format!("SUB {inbox} {sid}\r\n").as_bytes())?;
        let config = watching(&inbox, &stored.subjects().filter());
        // Deliveries may come before the answer; they wait in the socket.
        api.create_consumer(stream, &name, &config)?;
        let mut got = 0;
        while got < count {
            let mut answers = Vec::new();
            self.messages
                .read(|message| {
                    ensure!(message.sid == sid.as_bytes(), "a message of a former watcher");
                    if !message.headers.is_empty() {
                        take_status(message.headers, message.reply, &mut answers)?;
                        return Ok(());
                    }
                    ensure!(got < count, "more than the {count} that are there");
                    stored.check(got, message.subject, message.payload)?;
                    let place = message.reply.and_then(Place::of).context("no place")?;
                    let expected = Place {
                        deliveries: 1,
                        stream_sequence: got + 1,
                        consumer_sequence: got + 1,
                        pending: count - got - 1,
                    };
                    ensure!(place == expected, "{place:?} where {expected:?} was the next");
                    got += 1;
                    Ok(())
                })
                .with_context(|| format!("a watcher, after {got} messages"))?;
            if !answers.is_empty() {
                self.messages.send(&answers)?;
            }
        }
        self.messages.send(format!("UNSUB {sid}\r\n").as_bytes())?;
        api.delete_consumer(stream, &name)
    }
}

/// The consumer that clients make for watching a bucket.
fn watching(deliver_subject: &str, filter: &str) -> Value {
    json!({
        "deliver_subject": deliver_subject,
        "deliver_policy": "last_per_subject",
        "filter_subject": filter,
        "ack_policy": "none",
        "max_deliver": 1,
        "replay_policy": "instant",
        "flow_control": true,
        "idle_heartbeat": u64::try_from(HEARTBEAT_INTERVAL.as_nanos()).unwrap_or(u64::MAX),
        "mem_storage": true,
        "num_replicas": 1,
    })
}

/// Answers a flow control request, and a heartbeat that says that one is missing.
fn take_status(headers: &[u8], reply: Option<&[u8]>, answers: &mut Vec<u8>) -> Result<()> {
    let headers = Headers::new(headers);
    let Some((100, _)) = headers.status() else {
        bail!("the server said {headers:?}");
    };
    if let Some(subject) = reply.or_else(|| headers.get("Nats-Consumer-Stalled")) {
        answers.extend_from_slice(b"PUB ");
        answers.extend_from_slice(subject);
        answers.extend_from_slice(b" 0\r\n\r\n");
    }
    Ok(())
}
