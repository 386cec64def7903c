//! Gets of last values by their subjects, straight from the stream, many under way.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use fulmar_protocol::headers::Headers;

use super::connection::Connection;
use super::messages::{Messages, WRITE_BYTES, number_at_end, number_of};
use super::stored::Stored;

const INBOX: &str = "_INBOX.get";

/// One connection that gets.
#[derive(Debug)]
pub struct Getter {
    messages: Messages,
    window: u64,
    output: Vec<u8>,
}

impl Getter {
    /// Connects; at most `window` gets wait for their answer.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(address: SocketAddr, window: u64) -> Result<Self> {
        let mut connection = Connection::open(address).context("a getter cannot connect")?;
        connection.send(format!("SUB {INBOX}.* 1\r\n").as_bytes())?;
        connection.confirm().context("the inbox was not accepted")?;
        Ok(Self { messages: Messages::on(connection), window, output: Vec::new() })
    }

    /// Gets each of the first `count` messages of a load once, by their subjects, of which each
    /// has one message. Answers may come in any order.
    ///
    /// # Errors
    /// When an answer is missing, doubled, or not what was stored.
    pub fn get_all(&mut self, stream: &str, stored: &Stored, count: u64) -> Result<()> {
        let mut is_answered = vec![false; usize::try_from(count)?];
        let (mut asked, mut answered) = (0, 0);
        while answered < count {
            // Not one by one, which would cost the server a read each.
            let free = (self.window - (asked - answered)).min(count - asked);
            if free > 0 && free >= (self.window / 10).min(count - asked) {
                self.ask(stream, stored, asked, free)?;
                asked += free;
                continue;
            }
            self.messages
                .read(|message| {
                    let (_, number) = number_at_end(message.subject).context("whose answer?")?;
                    let index = usize::try_from(number)?;
                    ensure!(
                        number < asked && !is_answered[index],
                        "an answer to {number}, which nobody waits for"
                    );
                    let headers = Headers::new(message.headers);
                    let subject = headers
                        .get("Nats-Subject")
                        .with_context(|| format!("get {number} was answered with {headers:?}"))?;
                    stored.check(number, subject, message.payload)?;
                    let sequence = headers.get("Nats-Sequence").and_then(number_of);
                    ensure!(sequence == Some(number + 1), "{number} has sequence {sequence:?}");
                    is_answered[index] = true;
                    answered += 1;
                    Ok(())
                })
                .context("a getter")?;
        }
        Ok(())
    }

    fn ask(&mut self, stream: &str, stored: &Stored, first: u64, count: u64) -> Result<()> {
        use std::io::Write as _;
        self.output.clear();
        for number in first..first + count {
            let subject = stored.subjects().of(number);
            write!(
                self.output,
                "PUB $JS.API.DIRECT.GET.{stream}.{subject} {INBOX}.{number} 0\r\n\r\n"
            )?;
            if self.output.len() >= WRITE_BYTES {
                self.messages.send(&self.output)?;
                self.output.clear();
            }
        }
        self.messages.send(&self.output)
    }
}
