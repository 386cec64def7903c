//! A pull consumer's client: it asks for batches, two under way, and looks at every message.
//!
//! It knows which message must come next. A missing, doubled, redelivered or altered one ends
//! the run, and so does a wrong count of what is still pending.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::connection::Connection;
use super::messages::{Messages, number_of};
use super::stored::Stored;

const INBOX: &str = "_INBOX.pull";
const CONFIRM_INBOX: &str = "_INBOX.acked";

/// Batches that are asked for and not yet delivered: while one arrives the next is known.
const BATCHES_UNDER_WAY: u64 = 2;

/// Does the client acknowledge what it gets?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// No.
    None,
    /// Every message, those of one read together.
    Explicit,
}

/// Which messages of a load a consumer must get: `first`, `first + step` and so on.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Number of the first.
    pub first: u64,
    /// From one to the next.
    pub step: u64,
    /// How many.
    pub count: u64,
}

/// One connection that pulls.
#[derive(Debug)]
pub struct Puller {
    messages: Messages,
    acks: Acks,
    batch: u64,
    output: Vec<u8>,
}

impl Puller {
    /// Connects, for batches of `batch` messages.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(address: SocketAddr, acks: Acks, batch: u64) -> Result<Self> {
        let mut connection = Connection::open(address).context("a puller cannot connect")?;
        connection.send(format!("SUB {INBOX} 1\r\nSUB {CONFIRM_INBOX} 2\r\n").as_bytes())?;
        connection.confirm().context("the inbox was not accepted")?;
        Ok(Self { messages: Messages::on(connection), acks, batch, output: Vec::new() })
    }

    /// Takes the messages of `selection`, which are all that `consumer` has, until they are all
    /// there or `deadline` is over; the batches under way are waited for. With acks, the last is
    /// confirmed by the server. Returns how many messages came.
    ///
    /// # Errors
    /// When something else comes than was expected, or nothing.
    pub fn run(
        &mut self,
        stream: &str,
        consumer: &str,
        stored: &Stored,
        selection: Selection,
        deadline: Instant,
    ) -> Result<u64> {
        let (mut asked, mut got, mut ends, mut confirmed) = (0, 0, false, false);
        loop {
            // While something is under way, so that the last message is known as such.
            ends |= asked == selection.count || (asked > got && Instant::now() >= deadline);
            let mut requests = String::new();
            while !ends
                && asked < selection.count
                && asked - got <= (BATCHES_UNDER_WAY - 1) * self.batch
            {
                let batch = self.batch.min(selection.count - asked);
                let body = format!("{{\"batch\":{batch},\"expires\":30000000000}}");
                let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
                write!(requests, "PUB {subject} {INBOX} {}\r\n{body}\r\n", body.len())?;
                asked += batch;
            }
            if !requests.is_empty() {
                self.messages.send(requests.as_bytes())?;
                continue;
            }
            if got == asked && (self.acks == Acks::None || confirmed) {
                return Ok(got);
            }
            self.output.clear();
            let Self { messages, acks, output, .. } = self;
            let before = got;
            messages
                .read(|message| {
                    if message.sid == b"2" {
                        ensure!(
                            got == asked && !confirmed,
                            "a confirmation that was not asked for"
                        );
                        confirmed = true;
                        return Ok(());
                    }
                    if !message.headers.is_empty() {
                        bail!("the server said {:?}", String::from_utf8_lossy(message.headers));
                    }
                    ensure!(got < asked, "a message that nobody asked for");
                    let number = selection.first + got * selection.step;
                    stored.check(number, message.subject, message.payload)?;
                    let reply = message.reply.context("a message without a reply subject")?;
                    let place = Place::of(reply)
                        .with_context(|| format!("reply {}", String::from_utf8_lossy(reply)))?;
                    let expected = Place {
                        deliveries: 1,
                        // Nobody else has stored anything.
                        stream_sequence: number + 1,
                        consumer_sequence: got + 1,
                        pending: selection.count - got - 1,
                    };
                    ensure!(place == expected, "{place:?} where {expected:?} was the next");
                    got += 1;
                    if *acks == Acks::Explicit {
                        output.extend_from_slice(b"PUB ");
                        output.extend_from_slice(reply);
                        if got == asked && ends {
                            output.push(b' ');
                            output.extend_from_slice(CONFIRM_INBOX.as_bytes());
                        }
                        output.extend_from_slice(b" 4\r\n+ACK\r\n");
                    }
                    Ok(())
                })
                .with_context(|| format!("a puller, after {before} messages"))?;
            if !self.output.is_empty() {
                self.messages.send(&self.output)?;
            }
        }
    }
}

/// What the reply subject of a delivery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    /// Its sequence in the stream.
    pub stream_sequence: u64,
    /// The number of this delivery of the consumer, from 1.
    pub consumer_sequence: u64,
    /// How many more the consumer has.
    pub pending: u64,
}

impl Place {
    /// Reads `$JS.ACK.STREAM.CONSUMER.deliveries.sequence.delivery.time.pending`, or the later
    /// form with the domain and the account before the stream, and a last token that means
    /// nothing.
    pub fn of(reply: &[u8]) -> Option<Self> {
        const TOKENS_MAX: usize = 12;
        let mut tokens = [&b""[..]; TOKENS_MAX];
        let mut count = 0;
        for token in reply.split(|byte| *byte == b'.') {
            *tokens.get_mut(count)? = token;
            count += 1;
        }
        let first = match count {
            9 => 4,
            11 | 12 => 6,
            _ => return None,
        };
        let number = |index: usize| number_of(tokens[first + index]);
        (tokens[0] == b"$JS" && tokens[1] == b"ACK").then_some(())?;
        Some(Self {
            deliveries: number(0)?,
            stream_sequence: number(1)?,
            consumer_sequence: number(2)?,
            pending: number(4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_reply_are_read() {
        let place =
            Place { deliveries: 1, stream_sequence: 20, consumer_sequence: 3, pending: 400 };
        for reply in [
            "$JS.ACK.S.C.1.20.3.1700000000000000000.400",
            "$JS.ACK._.hash.S.C.1.20.3.1700000000000000000.400",
            "$JS.ACK._.hash.S.C.1.20.3.1700000000000000000.400.random",
        ] {
            assert_eq!(Place::of(reply.as_bytes()), Some(place), "{reply}");
        }
        for reply in ["$JS.ACK.S.C.1.20.3.4", "$JS.NAK.S.C.1.20.3.4.5", "$JS.ACK.S.C.1.x.3.4.5"] {
            assert_eq!(Place::of(reply.as_bytes()), None, "{reply}");
        }
    }
}
