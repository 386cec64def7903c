//! A connection on which messages of any length arrive, read many at a time.
//!
//! What JetStream sends has no fixed length: sequences, times and counts stand in it. So these
//! messages are parsed, with the parser of the protocol crate, which copies nothing. One thread
//! writes and reads.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail, ensure};
use fulmar_protocol::server_op::{self, Message, ServerOp, Step};

use super::connection::{Connection, Wait, read_busily, read_some};

/// Size of one read; no message of a load is longer.
const READ_BYTES: usize = 64 * 1024;

/// Size of one write. Smaller ones would cost the server more reads.
pub const WRITE_BYTES: usize = 64 * 1024;

/// A connection for requests and messages.
#[derive(Debug)]
pub struct Messages {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What has arrived of a message that is not whole, at the front of `buffer`.
    filled: usize,
    wait: Wait,
}

impl Messages {
    /// On a connection that exists.
    pub fn on(connection: Connection) -> Self {
        let (stream, mut buffer) = connection.into_parts();
        let filled = buffer.len();
        buffer.resize(filled + READ_BYTES, 0);
        Self { stream, buffer, filled, wait: Wait::Asleep }
    }

    /// How to wait from now on.
    ///
    /// # Errors
    /// When the socket takes no options.
    pub fn set_wait(&mut self, wait: Wait) -> Result<()> {
        self.stream.set_nonblocking(wait == Wait::Busily)?;
        self.wait = wait;
        Ok(())
    }

    /// Sends `bytes` as they are; who waits busily sends only what fits the socket's buffer.
    ///
    /// # Errors
    /// When the server has closed, or takes nothing any more.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("the server took no more bytes")
    }

    /// Reads once, waiting if nothing is there, and hands every whole message to `take`.
    ///
    /// # Errors
    /// When `take` fails, the server says an error, closes, or is silent for too long.
    pub fn read(&mut self, mut take: impl FnMut(&Message<'_>) -> Result<()>) -> Result<()> {
        let free = &mut self.buffer[self.filled..];
        let got = match self.wait {
            Wait::Asleep => read_some(&mut self.stream, free)?,
            Wait::Busily => read_busily(&mut self.stream, free)?,
        };
        self.filled += got;
        let mut used = 0;
        let mut pings = 0;
        loop {
            let rest = &self.buffer[used..self.filled];
            if rest.is_empty() {
                break;
            }
            match server_op::parse(rest).context("the server's bytes are no NATS")? {
                Step::Op { op, consumed } => {
                    match op {
                        ServerOp::Message(message) => take(&message)?,
                        ServerOp::Ping => pings += 1,
                        ServerOp::Pong | ServerOp::Ok | ServerOp::Info(_) => {}
                        ServerOp::Err(text) => {
                            bail!("the server said {:?}", String::from_utf8_lossy(text))
                        }
                    }
                    used += consumed;
                }
                Step::Incomplete { needed } => {
                    ensure!(needed <= READ_BYTES, "a message of more than {READ_BYTES} bytes");
                    break;
                }
            }
        }
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        if pings > 0 {
            self.send(&b"PONG\r\n".repeat(pings))?;
        }
        Ok(())
    }
}

/// The number at the end of `text`, all digits of it, and what stands before.
pub fn number_at_end(text: &[u8]) -> Option<(&[u8], u64)> {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = text.split_at(text.len() - digits);
    Some((before, number_of(number)?))
}

/// A number written in at least one decimal digit.
pub fn number_of(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn messages_in_pieces_arrive_whole_and_in_order() {
        let mut stream = Vec::new();
        for number in 0..3_000 {
            stream.extend(format!("MSG s.{number} 1 5\r\nhello\r\n").into_bytes());
            if number % 1_000 == 500 {
                stream.extend(b"PING\r\n");
            }
        }
        let (mut messages, mut theirs) = pair();
        let mut next = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for piece in stream.chunks(997) {
                    theirs.write_all(piece).unwrap();
                }
            });
            while next < 3_000 {
                let read = messages.read(|message| {
                    let (before, number) = number_at_end(message.subject).context("a number")?;
                    assert_eq!(
                        (before, number, message.payload),
                        (&b"s."[..], next, &b"hello"[..])
                    );
                    next += 1;
                    Ok(())
                });
                read.unwrap();
            }
        });
        let mut pongs = [0; 18];
        theirs.read_exact(&mut pongs).unwrap();
        assert_eq!(&pongs, b"PONG\r\nPONG\r\nPONG\r\n");
    }

    #[test]
    fn an_error_of_the_server_is_an_error() {
        let (mut messages, mut theirs) = pair();
        theirs.write_all(b"MSG s 1 0\r\n\r\n-ERR 'enough'\r\n").unwrap();
        let mut count = 0;
        let error = messages.read(|_| {
            count += 1;
            Ok(())
        });
        assert_eq!(error.unwrap_err().to_string(), "the server said \"enough\"");
        assert_eq!(count, 1);
    }

    /// Our side, and the server's with a bound on its patience.
    fn pair() -> (Messages, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        theirs.set_read_timeout(Some(super::super::STALL_TIME_MAX)).unwrap();
        (Messages::on(Connection::unspoken(ours).unwrap()), theirs)
    }

    #[test]
    fn numbers_are_all_digits() {
        assert_eq!(number_of(b"0042"), Some(42));
        for wrong in [&b""[..], b"-1", b"4x", b"99999999999999999999"] {
            assert_eq!(number_of(wrong), None);
        }
        assert_eq!(number_at_end(b"inbox.0000000007"), Some((&b"inbox."[..], 7)));
        assert_eq!(number_at_end(b"inbox."), None);
    }
}
