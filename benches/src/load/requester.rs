//! Request and reply, one request in flight per pair, as client libraries do it: the requester
//! holds one subscription to `inbox.*` and every request carries a reply subject of its own.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;

use super::connection::{Connection, Wait, read_busily, read_some};
use super::frames::{END_SID, SID, message_frame, payload, publish_frame, write_number};

/// Digits of the number that makes a reply subject unique.
const NUMBER_DIGITS: usize = 10;

/// Longest latency that the histogram tells apart: beyond, the server counts as stuck anyway.
const LATENCY_NANOSECONDS_MAX: u64 = 60_000_000_000;

/// A histogram of latencies in nanoseconds, exact to three digits.
///
/// # Errors
/// Never with these constants; the library reports bad ones.
pub fn latency_histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(100, LATENCY_NANOSECONDS_MAX, 3)
        .map_err(|error| anyhow::anyhow!("no histogram: {error:?}"))
}

/// A requester and the responder that answers it, each on a connection of its own.
#[derive(Debug)]
pub struct Pair {
    requester: Requester,
    responder: Responder,
}

impl Pair {
    /// Connects and subscribes both; `index` keeps pairs apart.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(address: SocketAddr, index: usize, payload_bytes: usize) -> Result<Self> {
        let responder = Responder::open(address, index, payload_bytes)?;
        let requester = Requester::open(address, index, payload_bytes)?;
        Ok(Self { requester, responder })
    }

    /// Both halves, for two threads that sleep until something comes.
    pub fn halves(&mut self) -> (&mut Requester, &mut Responder) {
        (&mut self.requester, &mut self.responder)
    }

    /// Asks and answers in this one thread, which never sleeps: the time that the kernel takes to
    /// wake the load is not in the latency, and the server has the other cores for itself.
    ///
    /// # Errors
    /// As [`Requester::run`] and [`Responder::run`].
    pub fn run_busily(
        &mut self,
        time: Duration,
        latencies: &mut Histogram<u64>,
    ) -> Result<(u64, u64)> {
        let Self { requester, responder } = self;
        for stream in [&requester.stream, &responder.stream] {
            stream.set_nonblocking(true)?;
        }
        let (mut requests, mut answers) = (0, 0);
        let begin = Instant::now();
        let mut asked = begin;
        while asked.duration_since(begin) < time {
            requester.ask()?;
            answers += u64::from(responder.answer_next(Wait::Busily)?);
            requester.take_answer(Wait::Busily)?;
            asked = note_latency(asked, latencies)?;
            requests += 1;
        }
        for stream in [&requester.stream, &responder.stream] {
            stream.set_nonblocking(false)?;
        }
        Ok((requests, answers))
    }
}

/// The side that asks and takes the time.
#[derive(Debug)]
pub struct Requester {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The request, its reply number at `request_number`.
    request: Vec<u8>,
    request_number: Range<usize>,
    reply: Vec<u8>,
    reply_number: Range<usize>,
    /// Tells the responder to stop.
    end: Vec<u8>,
    next: u64,
}

impl Requester {
    fn open(address: SocketAddr, index: usize, payload_bytes: usize) -> Result<Self> {
        let mut connection = Connection::open(address).context("a requester cannot connect")?;
        connection.send(format!("SUB {}.* {SID}\r\n", inbox(index)).as_bytes())?;
        connection.confirm().context("the inbox was not accepted")?;
        let (stream, unread) = connection.into_parts();

        let reply_subject = reply_subject(index);
        let subject_and_reply = format!("{} {reply_subject}", request_subject(index));
        let number_at = |frame: &[u8]| {
            let begin = find(frame, reply_subject.as_bytes()) + inbox(index).len() + 1;
            begin..begin + NUMBER_DIGITS
        };
        let request = publish_frame(&subject_and_reply, &payload(payload_bytes));
        let reply = message_frame(&reply_subject, SID, &payload(payload_bytes));
        Ok(Self {
            stream,
            unread,
            request_number: number_at(&request),
            request,
            reply_number: number_at(&reply),
            reply,
            end: publish_frame(&end_subject(index), b""),
            next: 0,
        })
    }

    /// Asks and waits for the answer, again and again for `time`, noting every latency in
    /// nanoseconds. Returns the number of requests.
    ///
    /// # Errors
    /// When an answer is not the one expected, or the server fails.
    pub fn run(&mut self, time: Duration, latencies: &mut Histogram<u64>) -> Result<u64> {
        let mut requests = 0;
        let begin = Instant::now();
        let mut asked = begin;
        while asked.duration_since(begin) < time {
            self.ask()?;
            self.take_answer(Wait::Asleep)?;
            asked = note_latency(asked, latencies)?;
            requests += 1;
        }
        self.stream.write_all(&self.end)?;
        Ok(requests)
    }

    fn ask(&mut self) -> Result<()> {
        self.next += 1;
        write_number(&mut self.request[self.request_number.clone()], self.next);
        write_number(&mut self.reply[self.reply_number.clone()], self.next);
        self.stream.write_all(&self.request).context("a request was not taken")
    }

    fn take_answer(&mut self, wait: Wait) -> Result<()> {
        let Self { stream, unread, reply, .. } = self;
        let got = read_frame(stream, unread, wait, reply.len(), b"\0", |frame| frame == reply)
            .with_context(|| format!("waiting for the answer to request {}", self.next))?;
        ensure!(got == Got::Frame, "an end mark where none was sent");
        Ok(())
    }
}

/// Notes the time since `begin`, and returns the present.
fn note_latency(begin: Instant, latencies: &mut Histogram<u64>) -> Result<Instant> {
    let now = Instant::now();
    latencies.saturating_record(u64::try_from(now.duration_since(begin).as_nanos())?);
    Ok(now)
}

/// The side that answers.
#[derive(Debug)]
pub struct Responder {
    stream: TcpStream,
    unread: Vec<u8>,
    /// A request as it must look, except for the number.
    request: Vec<u8>,
    request_number: Range<usize>,
    answer: Vec<u8>,
    answer_number: Range<usize>,
    end: Vec<u8>,
}

impl Responder {
    fn open(address: SocketAddr, index: usize, payload_bytes: usize) -> Result<Self> {
        let mut connection = Connection::open(address).context("a responder cannot connect")?;
        let subscriptions = format!(
            "SUB {} {SID}\r\nSUB {} {END_SID}\r\n",
            request_subject(index),
            end_subject(index)
        );
        connection.send(subscriptions.as_bytes())?;
        connection.confirm().context("the responder's subscription was not accepted")?;
        let (stream, unread) = connection.into_parts();

        let payload = payload(payload_bytes);
        let reply_subject = reply_subject(index);
        let mut request =
            format!("MSG {} {SID} {reply_subject} {payload_bytes}\r\n", request_subject(index))
                .into_bytes();
        request.extend_from_slice(&payload);
        request.extend_from_slice(b"\r\n");
        let answer = publish_frame(&reply_subject, &payload);
        let number_at = |frame: &[u8]| {
            let begin = find(frame, reply_subject.as_bytes()) + inbox(index).len() + 1;
            begin..begin + NUMBER_DIGITS
        };
        Ok(Self {
            stream,
            unread,
            request_number: number_at(&request),
            request,
            answer_number: number_at(&answer),
            answer,
            end: message_frame(&end_subject(index), END_SID, b""),
        })
    }

    /// Answers until the requester says that it is done. Returns the number of answers.
    ///
    /// # Errors
    /// When a request is not of the form expected, or the server fails.
    pub fn run(&mut self) -> Result<u64> {
        let mut answers = 0;
        while self.answer_next(Wait::Asleep)? {
            answers += 1;
        }
        Ok(answers)
    }

    /// Answers one request; false when the requester is done.
    fn answer_next(&mut self, wait: Wait) -> Result<bool> {
        let Self { stream, unread, request, request_number, answer, answer_number, end } = self;
        let got = read_frame(stream, unread, wait, request.len(), end, |frame| {
            answer[answer_number.clone()].copy_from_slice(&frame[request_number.clone()]);
            frame[..request_number.start] == request[..request_number.start]
                && frame[request_number.end..] == request[request_number.end..]
        });
        if got.context("waiting for a request")? == Got::End {
            return Ok(false);
        }
        self.stream.write_all(&self.answer).context("an answer was not taken")?;
        Ok(true)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Frame,
    End,
}

/// Reads until there is one whole frame, or the end mark; answers the server's PINGs.
fn read_frame(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    wait: Wait,
    frame_bytes: usize,
    end: &[u8],
    mut is_expected: impl FnMut(&[u8]) -> bool,
) -> Result<Got> {
    loop {
        if unread.starts_with(b"MSG ") {
            if unread.len() >= frame_bytes && is_expected(&unread[..frame_bytes]) {
                unread.drain(..frame_bytes);
                return Ok(Got::Frame);
            }
            if unread.starts_with(end) {
                unread.drain(..end.len());
                return Ok(Got::End);
            }
            if unread.len() >= frame_bytes.max(end.len()) {
                bail!("unexpected message: {:?}", String::from_utf8_lossy(unread));
            }
        } else if let Some(line_end) = unread.windows(2).position(|pair| pair == b"\r\n") {
            let line: Vec<u8> = unread.drain(..line_end + 2).collect();
            match line.as_slice() {
                b"PING\r\n" => stream.write_all(b"PONG\r\n")?,
                b"PONG\r\n" | b"+OK\r\n" => {}
                info if info.starts_with(b"INFO ") => {}
                other => bail!("the server said {:?}", String::from_utf8_lossy(other)),
            }
            continue;
        }
        let mut chunk = [0; 4096];
        let count = match wait {
            Wait::Asleep => read_some(stream, &mut chunk)?,
            Wait::Busily => read_busily(stream, &mut chunk)?,
        };
        unread.extend_from_slice(&chunk[..count]);
    }
}

fn request_subject(index: usize) -> String {
    format!("ask.{index:04}")
}

fn end_subject(index: usize) -> String {
    format!("end.{index:04}")
}

/// As long as the inboxes of client libraries, which carry 22 random letters.
fn inbox(index: usize) -> String {
    format!("_INBOX.pqrstuvwxyzabcdefg{index:04}")
}

/// The reply subject of the first request.
fn reply_subject(index: usize) -> String {
    format!("{}.{:0NUMBER_DIGITS$}", inbox(index), 0)
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_their_digits() {
        let mut digits = *b"xxxx";
        write_number(&mut digits, 42);
        assert_eq!(&digits, b"0042");
        write_number(&mut digits, 9_999);
        assert_eq!(&digits, b"9999");
    }

    #[test]
    fn pairs_have_frames_of_the_same_length() {
        assert_eq!(reply_subject(0).len(), reply_subject(9_999).len());
        assert_ne!(reply_subject(0), reply_subject(1));
    }
}
