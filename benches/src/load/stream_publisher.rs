//! A publisher that wants every message acknowledged, with many or one under way.
//!
//! Every message carries its number, in its payload and in the subject of its acknowledgement.
//! An acknowledgement counts if it is the next one and names the sequence that follows the one
//! before: so none is lost, doubled, or stored twice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use serde_json::Value;

use super::connection::{Connection, Wait};
use super::messages::{Messages, WRITE_BYTES, number_at_end, number_of};
use super::stored::Stored;

const INBOX: &str = "_INBOX.pqrstuvwxyzabcdefghijk";

/// Digits of the number of a message, where its acknowledgement goes.
pub const REPLY_DIGITS: usize = 10;

/// As long as messages can be sent for as many pieces of the window as this, they wait for each
/// other: one by one they would cost the server a read each.
const WINDOW_PIECES: u64 = 10;

/// When a publisher stops.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// When this time is over.
    Over(Duration),
    /// When it has sent this many.
    Count(u64),
}

/// One connection that publishes into one stream, where nobody else does.
#[derive(Debug)]
pub struct StreamPublisher {
    messages: Messages,
    stream: String,
    stored: Stored,
    /// Most messages that may wait for their acknowledgement.
    window: u64,
    sent: u64,
    acknowledged: u64,
    /// Sequence of message 0.
    sequence_first: u64,
    output: Vec<u8>,
}

impl StreamPublisher {
    /// Connects, to publish the messages of `stored` into `stream`, where the next sequence is
    /// `sequence_first`; the first message has this number.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(
        address: SocketAddr,
        stream: &str,
        stored: Stored,
        window: u64,
        sequence_first: u64,
    ) -> Result<Self> {
        let mut connection = Connection::open(address).context("a publisher cannot connect")?;
        connection.send(format!("SUB {INBOX}.* 1\r\n").as_bytes())?;
        connection.confirm().context("the inbox was not accepted")?;
        Ok(Self {
            messages: Messages::on(connection),
            stream: stream.to_owned(),
            stored,
            window,
            sent: 0,
            acknowledged: 0,
            sequence_first,
            output: Vec::new(),
        })
    }

    /// Messages that were acknowledged since the beginning.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Publishes, and waits until everything is acknowledged. Returns how many these were.
    ///
    /// # Errors
    /// When an acknowledgement is an error, missing, or not the one expected.
    pub fn run(&mut self, until: Until) -> Result<u64> {
        let begin = Instant::now();
        let before = self.acknowledged;
        let piece = self.window.div_ceil(WINDOW_PIECES);
        loop {
            let left = match until {
                Until::Over(time) if begin.elapsed() < time => u64::MAX,
                Until::Over(_) => 0,
                Until::Count(count) => count - (self.sent - before),
            };
            let under_way = self.sent - self.acknowledged;
            if left > 0 && self.window - under_way >= piece.min(left) {
                self.send(left.min(self.window - under_way))?;
            } else if under_way > 0 {
                self.take_acknowledgements()?;
            } else {
                return Ok(self.acknowledged - before);
            }
        }
    }

    /// How to wait from now on; a publisher with many under way must wait asleep.
    ///
    /// # Errors
    /// When the socket takes no options.
    pub fn set_wait(&mut self, wait: Wait) -> Result<()> {
        self.messages.set_wait(wait)
    }

    /// Publishes `count` messages one after the other, each when the one before is acknowledged,
    /// and notes the latencies in nanoseconds.
    ///
    /// # Errors
    /// As [`StreamPublisher::run`].
    pub fn run_one_by_one(&mut self, count: u64, latencies: &mut Histogram<u64>) -> Result<()> {
        let mut sent_at = Instant::now();
        for _ in 0..count {
            self.send(1)?;
            while self.acknowledged < self.sent {
                self.take_acknowledgements()?;
            }
            let now = Instant::now();
            latencies.saturating_record(u64::try_from(now.duration_since(sent_at).as_nanos())?);
            sent_at = now;
        }
        Ok(())
    }

    fn send(&mut self, count: u64) -> Result<()> {
        self.output.clear();
        for number in self.sent..self.sent + count {
            self.stored.append_publish(&mut self.output, number);
            if self.output.len() >= WRITE_BYTES {
                self.messages.send(&self.output)?;
                self.output.clear();
            }
        }
        self.sent += count;
        self.messages.send(&self.output).with_context(|| format!("after {} messages", self.sent))
    }

    fn take_acknowledgements(&mut self) -> Result<()> {
        let Self { messages, stream, sent, acknowledged, sequence_first, .. } = self;
        let before = *acknowledged;
        messages
            .read(|message| {
                let number = match number_at_end(message.subject) {
                    Some((_, number)) => number,
                    None => bail!("an acknowledgement came to nobody"),
                };
                ensure!(
                    number == *acknowledged && number < *sent,
                    "message {number} was acknowledged where {acknowledged} was the next"
                );
                let sequence = sequence_of(message.payload, stream)
                    .with_context(|| format!("message {number}"))?;
                ensure!(
                    sequence == *sequence_first + number,
                    "message {number} got sequence {sequence}, and the one before {}",
                    (*sequence_first + number).saturating_sub(1)
                );
                *acknowledged += 1;
                Ok(())
            })
            .with_context(|| format!("a publisher, after {before} acknowledgements"))
    }
}

/// Where acknowledgements go, with zeros in place of the number of the message: its last
/// [`REPLY_DIGITS`] bytes.
pub fn reply_placeholder() -> String {
    format!("{INBOX}.{:0REPLY_DIGITS$}", 0)
}

/// The sequence that an acknowledgement names.
fn sequence_of(acknowledgement: &[u8], stream: &str) -> Result<u64> {
    let sequence = || {
        let rest = acknowledgement.strip_prefix(b"{\"stream\":\"")?;
        let rest = rest.strip_prefix(stream.as_bytes())?.strip_prefix(b"\",")?;
        let rest = rest.trim_ascii_start().strip_prefix(b"\"seq\":")?;
        number_of(rest.trim_ascii_start().strip_suffix(b"}")?)
    };
    // The usual form is read at once, any other as what it is.
    if let Some(sequence) = sequence() {
        return Ok(sequence);
    }
    let text = String::from_utf8_lossy(acknowledgement);
    let json: Value = serde_json::from_slice(acknowledgement)
        .with_context(|| format!("{text:?} is no acknowledgement"))?;
    ensure!(json.get("error").is_none(), "was refused: {text}");
    ensure!(json["stream"] == *stream, "went to another stream: {text}");
    ensure!(json.get("duplicate").is_none(), "was taken for a duplicate: {text}");
    json["seq"].as_u64().with_context(|| format!("{text:?} names no sequence"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::stored::Subjects;
    use super::*;

    #[test]
    fn acknowledgements_say_what_they_say() {
        let sequence = |text: &str| sequence_of(text.as_bytes(), "S");
        assert_eq!(sequence(r#"{"stream":"S","seq":42}"#).unwrap(), 42);
        assert_eq!(sequence(r#"{"stream":"S", "seq":42}"#).unwrap(), 42);
        assert_eq!(sequence(r#"{"domain":"d", "seq":7, "stream":"S"}"#).unwrap(), 7);
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", sequence(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(r#"{"stream":"S","seq":1,"duplicate": true}"#, "duplicate");
        check(r#"{"stream":"SS","seq":1}"#, "another stream");
        check(r#"{"error":{"code":503},"stream":"S","seq":0}"#, "refused");
        check(r#"{"stream":"S"}"#, "no sequence");
        check("", "no acknowledgement");
    }

    /// Publishes `count` messages to a server that acknowledges the first of them with these
    /// sequences, all at once, and then hangs up.
    fn publish_to(sequences: &'static [(u64, u64)], count: u64) -> Result<u64> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut client, _) = listener.accept().unwrap();
                client.write_all(b"INFO {}\r\n").unwrap();
                let mut received = Vec::new();
                let mut wait_for =
                    |client: &mut std::net::TcpStream, needle: &str, times: usize| {
                        let mut chunk = [0; 4096];
                        while String::from_utf8_lossy(&received).matches(needle).count() < times {
                            let got = client.read(&mut chunk).unwrap();
                            assert!(got > 0, "the publisher hung up");
                            received.extend_from_slice(&chunk[..got]);
                        }
                    };
                wait_for(&mut client, "PING", 1);
                client.write_all(b"PONG\r\n").unwrap();
                wait_for(&mut client, "PING", 2);
                client.write_all(b"PONG\r\n").unwrap();
                wait_for(&mut client, "PUB s ", usize::try_from(count).unwrap());
                let mut answers = Vec::new();
                for (number, sequence) in sequences {
                    let body = format!("{{\"stream\":\"S\",\"seq\":{sequence}}}");
                    let head = format!("MSG {INBOX}.{number:010} 1 {}", body.len());
                    write!(answers, "{head}\r\n{body}\r\n").unwrap();
                }
                client.write_all(&answers).unwrap();
            });
            let stored = Stored::new(Subjects::Same("s"), 16);
            let mut publisher = StreamPublisher::open(address, "S", stored, 10, 5)?;
            publisher.run(Until::Count(count))
        })
    }

    #[test]
    fn only_the_next_message_with_the_next_sequence_is_acknowledged() {
        assert_eq!(publish_to(&[(0, 5), (1, 6), (2, 7)], 3).unwrap(), 3);
        let check = |sequences, expected: &str| {
            let error = format!("{:#}", publish_to(sequences, 3).unwrap_err());
            assert!(error.contains(expected), "{sequences:?}: {error}");
        };
        check(&[(0, 5), (1, 7), (2, 8)], "message 1 got sequence 7, and the one before 5");
        check(&[(0, 5), (1, 5)], "message 1 got sequence 5");
        check(&[(0, 5), (2, 7)], "message 2 was acknowledged where 1 was the next");
        check(&[(0, 5), (0, 5)], "message 0 was acknowledged where 1 was the next");
        check(&[(0, 5), (1, 6), (2, 7), (3, 8)], "message 3 was acknowledged where 3 was the next");
        check(&[(0, 5), (1, 6)], "the server closed the connection");
    }
}
