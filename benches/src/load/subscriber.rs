//! Subscribers that count whole messages in large reads, many of them in one thread.
//!
//! A buffer always begins with a whole frame. As all frames have the same length, the first and
//! the last whole frame of a read prove that everything between is in step: a server puts its
//! own lines (PING, INFO, -ERR) only between frames, which would shift the last one. Only then
//! the slow path looks at every frame.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::epoll;
use rustix::time::Timespec;

use super::STALL_TIME_MAX;
use super::connection::{Connection, read_some};
use super::frames::{END_SID, END_SUBJECT, FramePattern, end_message_frame};
use super::pace::Pace;

/// Size of one read. What is read fits the processor's cache beside what is written.
const READ_BYTES: usize = 64 * 1024;

/// Longest line of the server between messages.
const LINE_BYTES_MAX: usize = 4096;

/// Sockets reported by one `epoll_wait`.
const EVENTS_MAX: usize = 128;

/// Who of a set gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Every subscriber.
    Everyone,
    /// One of them: a queue group, or filters that exclude each other.
    One,
}

/// Subscribing connections that one thread serves.
#[derive(Debug)]
pub struct SubscriberSet {
    subscribers: Vec<Subscriber>,
    delivery: Delivery,
    buffer: Vec<u8>,
}

impl SubscriberSet {
    /// Connects `count` subscribers; `filters(index)` are the SUB lines of the one with this
    /// index. Every one also subscribes to the end mark, and is confirmed by a PONG.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(
        address: SocketAddr,
        count: usize,
        delivery: Delivery,
        pattern: &FramePattern,
        filters: impl Fn(usize) -> Vec<u8>,
    ) -> Result<Self> {
        let mut subscribers = Vec::with_capacity(count);
        for index in 0..count {
            let mut connection =
                Connection::open(address).context("a subscriber cannot connect")?;
            connection.send(format!("SUB {END_SUBJECT} {END_SID}\r\n").as_bytes())?;
            connection.send(&filters(index))?;
            connection.confirm().context("a subscription was not accepted")?;
            subscribers.push(Subscriber::on(connection, pattern.clone(), end_message_frame()));
        }
        Ok(Self::of(subscribers, delivery))
    }

    /// A set of subscribers that exist.
    pub fn of(subscribers: Vec<Subscriber>, delivery: Delivery) -> Self {
        let frame_bytes_max = subscribers
            .iter()
            .map(|subscriber| subscriber.counter.pattern.frame_bytes())
            .max()
            .unwrap_or(0);
        Self {
            subscribers,
            delivery,
            buffer: vec![0; READ_BYTES + frame_bytes_max.max(LINE_BYTES_MAX)],
        }
    }

    /// How many subscribers get each message.
    pub fn copies(&self) -> usize {
        match self.delivery {
            Delivery::Everyone => self.subscribers.len(),
            Delivery::One => self.subscribers.len().min(1),
        }
    }

    /// Reads until every subscriber has seen `ends` end marks, and keeps `pace` informed. Returns
    /// how many messages each got.
    ///
    /// # Errors
    /// When something else arrives than was expected, a connection ends, or nothing comes for
    /// [`STALL_TIME_MAX`].
    pub fn run(&mut self, ends: usize, pace: &Pace) -> Result<Vec<u64>> {
        for subscriber in &mut self.subscribers {
            subscriber.counter.messages = 0;
            subscriber.counter.ends = 0;
        }
        match self.subscribers.as_mut_slice() {
            // A blocking read saves the epoll call.
            [only] => {
                while only.counter.ends < ends {
                    only.read(&mut self.buffer)?;
                    pace.delivered(only.counter.messages);
                }
            }
            _ => self.run_many(ends, pace)?,
        }
        Ok(self.subscribers.iter().map(|subscriber| subscriber.counter.messages).collect())
    }

    fn run_many(&mut self, ends: usize, pace: &Pace) -> Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?;
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&poll, &subscriber.stream, data, epoll::EventFlags::IN)?;
        }
        let patience = Timespec::try_from(STALL_TIME_MAX).context("a few seconds fit")?;
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut unfinished = self.subscribers.len();
        while unfinished > 0 {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&poll, spare, Some(&patience)) {
                Ok(0) => bail!(
                    "nothing came for {STALL_TIME_MAX:?} while {unfinished} of {} subscribers \
                     waited",
                    self.subscribers.len()
                ),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll failed"),
            }
            for event in &events {
                let index = usize::try_from(event.data.u64()).context("an index we gave")?;
                let subscriber = &mut self.subscribers[index];
                let before = subscriber.counter.ends;
                subscriber.read(&mut self.buffer)?;
                if before < ends && subscriber.counter.ends >= ends {
                    unfinished -= 1;
                }
            }
            let messages = self.subscribers.iter().map(|subscriber| subscriber.counter.messages);
            pace.delivered(match self.delivery {
                Delivery::Everyone => messages.min().unwrap_or(0),
                Delivery::One => messages.sum(),
            });
        }
        Ok(())
    }
}

/// One subscribing connection.
#[derive(Debug)]
pub struct Subscriber {
    stream: TcpStream,
    /// The beginning of a frame whose rest has not arrived; shorter than a frame or a line.
    carry: Vec<u8>,
    counter: FrameCounter,
}

impl Subscriber {
    /// A subscriber on a connection whose subscriptions are confirmed.
    pub fn on(connection: Connection, pattern: FramePattern, end_frame: Vec<u8>) -> Self {
        let (stream, carry) = connection.into_parts();
        Self { stream, carry, counter: FrameCounter::new(pattern, end_frame) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        let carried = self.carry.len();
        buffer[..carried].copy_from_slice(&self.carry);
        let got = read_some(&mut self.stream, &mut buffer[carried..])
            .with_context(|| format!("subscriber, after {} messages", self.counter.messages))?;
        let filled = &buffer[..carried + got];
        let used = self.counter.take(filled)?;
        self.carry.clear();
        self.carry.extend_from_slice(&filled[used..]);
        if std::mem::take(&mut self.counter.pings) > 0 {
            self.stream.write_all(b"PONG\r\n").context("cannot answer a PING")?;
        }
        Ok(())
    }
}

/// Counts what a subscriber got, and is sure of it.
#[derive(Debug)]
struct FrameCounter {
    pattern: FramePattern,
    end_frame: Vec<u8>,
    messages: u64,
    ends: usize,
    pings: usize,
}

impl FrameCounter {
    fn new(pattern: FramePattern, end_frame: Vec<u8>) -> Self {
        Self { pattern, end_frame, messages: 0, ends: 0, pings: 0 }
    }

    /// Counts the whole frames in `bytes`, which begins with a frame. Returns how many bytes
    /// they were; the rest is the beginning of something unfinished.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let frame_bytes = self.pattern.frame_bytes();
        let whole = bytes.len() / frame_bytes;
        let tail = &bytes[whole * frame_bytes..];
        let in_step = whole > 0
            && self.pattern.matches(&bytes[..frame_bytes])
            && self.pattern.matches(&bytes[(whole - 1) * frame_bytes..whole * frame_bytes])
            && self.pattern.may_begin_with(tail);
        if in_step {
            self.messages += whole as u64;
            return Ok(whole * frame_bytes);
        }
        self.take_one_by_one(bytes)
    }

    fn take_one_by_one(&mut self, bytes: &[u8]) -> Result<usize> {
        let frame_bytes = self.pattern.frame_bytes();
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if rest.len() >= frame_bytes && self.pattern.matches(&rest[..frame_bytes]) {
                self.messages += 1;
                used += frame_bytes;
            } else if rest.len() < frame_bytes && self.pattern.may_begin_with(rest) {
                return Ok(used);
            } else if rest.starts_with(&self.end_frame) {
                self.ends += 1;
                used += self.end_frame.len();
            } else if self.end_frame.starts_with(rest) {
                return Ok(used);
            } else {
                let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
                    ensure!(
                        rest.len() < LINE_BYTES_MAX,
                        "message {} is not what was sent",
                        self.messages
                    );
                    return Ok(used);
                };
                self.take_line(&rest[..end])?;
                used += end + 2;
            }
        }
    }

    fn take_line(&mut self, line: &[u8]) -> Result<()> {
        match line {
            b"PING" => self.pings += 1,
            b"PONG" | b"+OK" => {}
            info if info.starts_with(b"INFO ") => {}
            other => {
                let text = String::from_utf8_lossy(&other[..other.len().min(120)]).into_owned();
                if other.starts_with(b"-ERR") {
                    bail!("after {} messages the server said {text}", self.messages);
                }
                bail!("message {} is not what was sent: {text:?}", self.messages);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::message_frame;
    use super::*;

    /// Feeds `stream` in pieces of `step` bytes and returns messages, end marks and pings.
    fn count(stream: &[u8], step: usize) -> Result<(u64, usize, usize)> {
        let mut counter = FrameCounter::new(FramePattern::same("a.b", 16), end_message_frame());
        let mut carry = Vec::new();
        for piece in stream.chunks(step) {
            carry.extend_from_slice(piece);
            let used = counter.take(&carry)?;
            carry.drain(..used);
        }
        ensure!(carry.is_empty(), "left over: {carry:?}");
        Ok((counter.messages, counter.ends, counter.pings))
    }

    fn frame() -> Vec<u8> {
        message_frame("a.b", 1, &super::super::frames::payload(16))
    }

    #[test]
    fn counts_whatever_the_pieces() {
        let mut stream = frame().repeat(10);
        stream.extend_from_slice(b"PING\r\n");
        stream.extend(frame().repeat(7));
        stream.extend_from_slice(b"INFO {\"x\":1}\r\n");
        stream.extend(end_message_frame());
        stream.extend(frame());
        stream.extend(end_message_frame());
        for step in 1..=stream.len() {
            assert_eq!(count(&stream, step).unwrap(), (18, 2, 1), "pieces of {step}");
        }
    }

    #[test]
    fn an_error_line_is_an_error() {
        let mut stream = frame().repeat(3);
        stream.extend_from_slice(b"-ERR 'Slow Consumer'\r\n");
        let error = count(&stream, 1000).unwrap_err().to_string();
        assert_eq!(error, "after 3 messages the server said -ERR 'Slow Consumer'");
    }

    #[test]
    fn another_subject_is_an_error() {
        let mut stream = frame().repeat(3);
        stream.extend(message_frame("a.c", 1, &super::super::frames::payload(16)));
        assert!(count(&stream, 1000).is_err());
    }

    #[test]
    fn a_lost_byte_is_an_error() {
        let mut stream = frame().repeat(30);
        stream.remove(frame().len() * 20 + 25);
        stream.extend(end_message_frame());
        assert!(count(&stream, 10_000).is_err());
    }
}
