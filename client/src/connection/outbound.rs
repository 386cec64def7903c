//! The outgoing buffer that all users of a client share, without its lock.
//!
//! A publish writes its bytes here at once; the driver takes everything that has gathered and
//! writes it in one go. So a message costs its bytes and a short critical section, no entry in a
//! channel. An operation that the driver must know of leaves a command beside its bytes: both
//! are taken together, so the driver knows a subscription before the server does.
//!
//! While there is no connection only messages are written: the driver makes subscriptions anew
//! from its table when there is one.
//!
//! Invariant: `bytes` are whole operations, and, while the link is down, only messages.

use fulmar_protocol::encode;
use fulmar_protocol::info::Info;

use super::resend::keep_messages;
use crate::HeaderMap;

/// The buffer; `C` is a command to the driver.
pub(crate) struct Outbound<C> {
    bytes: Vec<u8>,
    commands: Vec<C>,
    /// A header block on its way into `bytes`.
    scratch: Vec<u8>,
    /// The reply address of a request on its way into `bytes`.
    reply: Vec<u8>,
    link: Link,
    gate: Gate,
    bounds: Bounds,
    /// What the server allows; as long as none was met, everything.
    payload_bytes_max: usize,
    headers: bool,
    messages: u64,
    message_bytes: u64,
    sid_last: u64,
    token_last: u64,
    mux_made: bool,
    space_wanted: bool,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    Down,
}

/// What is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Gate {
    Open,
    /// Messages, but no new subscriptions.
    Draining,
    Closed,
}

/// How many bytes may wait before publishers wait. The buffer is larger by at most one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// While connected.
    pub(crate) up_bytes_max: usize,
    /// While not connected.
    pub(crate) down_bytes_max: usize,
}

/// Why an operation was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The buffer is full: wait for space and try again.
    Full,
    /// The message is larger than the server allows.
    TooLarge { bytes: usize, bytes_max: usize },
    /// The server knows no headers.
    HeadersNotSupported,
    /// The client is closed.
    Closed,
}

/// A message to be published.
#[derive(Clone, Copy)]
pub(crate) struct Publication<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) payload: &'a [u8],
}

/// What was taken besides bytes and commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Messages accepted since the last time.
    pub(crate) messages: u64,
    /// Their bytes of headers and payload.
    pub(crate) message_bytes: u64,
    /// Somebody found the buffer full since the last time.
    pub(crate) space_wanted: bool,
}

/// A buffer with more capacity than this is given back once it is empty: one large message should
/// not cost its size for ever.
const CAPACITY_BYTES_KEPT: usize = 1024 * 1024;

impl<C> Outbound<C> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bytes: Vec::new(),
            commands: Vec::new(),
            scratch: Vec::new(),
            reply: Vec::new(),
            link: Link::Down,
            gate: Gate::Open,
            bounds,
            payload_bytes_max: usize::MAX,
            headers: true,
            messages: 0,
            message_bytes: 0,
            sid_last: 0,
            token_last: 0,
            mux_made: false,
            space_wanted: false,
        }
    }

    /// Writes a message. Whether it is the first in the buffer.
    pub(crate) fn publish(
        &mut self,
        publication: Publication<'_>,
        reply: Option<&[u8]>,
    ) -> Result<bool, Refused> {
        let Publication { subject, headers, payload } = publication;
        if self.gate == Gate::Closed {
            return Err(Refused::Closed);
        }
        if self.bytes.len() >= self.bytes_max() {
            self.space_wanted = true;
            return Err(Refused::Full);
        }
        let mut size = payload.len();
        if let Some(headers) = headers {
            if !self.headers {
                return Err(Refused::HeadersNotSupported);
            }
            self.scratch.clear();
            headers.encode(&mut self.scratch);
            size += self.scratch.len();
        }
        if size > self.payload_bytes_max {
            return Err(Refused::TooLarge { bytes: size, bytes_max: self.payload_bytes_max });
        }
        let first = self.bytes.is_empty();
        if headers.is_none() {
            encode::publish(&mut self.bytes, subject, reply, payload);
        } else {
            encode::publish_with_headers(&mut self.bytes, subject, reply, &self.scratch, payload);
        }
        self.messages += 1;
        self.message_bytes += size as u64;
        Ok(first)
    }

    /// Writes a request whose answer comes to `prefix` and a token, and leaves the command that
    /// `command` makes for that token. The first one subscribes to `prefix` and `*`.
    pub(crate) fn request(
        &mut self,
        publication: Publication<'_>,
        prefix: &[u8],
        subscribe_mux: impl FnOnce(u64) -> C,
        command: impl FnOnce(u64) -> C,
    ) -> Result<(), Refused> {
        let mut reply = std::mem::take(&mut self.reply);
        reply.clear();
        reply.extend_from_slice(prefix);
        let result = self.request_with(&mut reply, publication, subscribe_mux, command);
        self.reply = reply;
        result
    }

    fn request_with(
        &mut self,
        reply: &mut Vec<u8>,
        publication: Publication<'_>,
        subscribe_mux: impl FnOnce(u64) -> C,
        command: impl FnOnce(u64) -> C,
    ) -> Result<(), Refused> {
        if !self.mux_made {
            let prefix_len = reply.len();
            reply.push(b'*');
            self.subscribe(reply, None, subscribe_mux)?;
            reply.truncate(prefix_len);
            self.mux_made = true;
        }
        self.token_last += 1;
        reply.extend_from_slice(itoa::Buffer::new().format(self.token_last).as_bytes());
        self.publish(publication, Some(reply))?;
        self.commands.push(command(self.token_last));
        Ok(())
    }

    /// Makes a subscription: `command` gets its number.
    pub(crate) fn subscribe(
        &mut self,
        subject: &[u8],
        queue: Option<&[u8]>,
        command: impl FnOnce(u64) -> C,
    ) -> Result<u64, Refused> {
        if self.gate > Gate::Open {
            return Err(Refused::Closed);
        }
        if self.link == Link::Up && self.bytes.len() >= self.bytes_max() {
            self.space_wanted = true;
            return Err(Refused::Full);
        }
        self.sid_last += 1;
        if self.link == Link::Up {
            let mut digits = itoa::Buffer::new();
            let sid = digits.format(self.sid_last).as_bytes();
            encode::subscribe(&mut self.bytes, subject, queue, sid);
        }
        self.commands.push(command(self.sid_last));
        Ok(self.sid_last)
    }

    /// Ends a subscription, now or after `max` messages since it was made.
    pub(crate) fn unsubscribe(
        &mut self,
        sid: u64,
        max: Option<u64>,
        command: C,
    ) -> Result<(), Refused> {
        self.command(command)?;
        if self.link == Link::Up {
            encode::unsubscribe(&mut self.bytes, itoa::Buffer::new().format(sid).as_bytes(), max);
        }
        Ok(())
    }

    /// Ends a subscription for the server; the driver hears of it when the PING that comes with
    /// `command` is answered.
    pub(crate) fn drain_subscription(&mut self, sid: u64, command: C) -> Result<(), Refused> {
        self.unsubscribe(sid, None, command)?;
        self.write_ping();
        Ok(())
    }

    /// Asks the server for a sign of life that follows everything written so far. The driver
    /// counts the PINGs by their commands.
    pub(crate) fn ping(&mut self, command: C) -> Result<(), Refused> {
        self.command(command)?;
        self.write_ping();
        Ok(())
    }

    /// Leaves a command that goes with no bytes.
    pub(crate) fn command(&mut self, command: C) -> Result<(), Refused> {
        if self.gate == Gate::Closed {
            return Err(Refused::Closed);
        }
        self.commands.push(command);
        Ok(())
    }

    /// Lets in no more subscriptions. Whether they were let in before.
    pub(crate) fn drain(&mut self) -> bool {
        let was_open = self.gate == Gate::Open;
        if was_open {
            self.gate = Gate::Draining;
        }
        was_open
    }

    /// Lets in nothing more. What is in stays and can be taken.
    pub(crate) fn close(&mut self) {
        self.gate = Gate::Closed;
    }

    /// Whether there is a command to take.
    pub(crate) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_idle(&self) -> bool {
        self.commands.is_empty() && (self.bytes.is_empty() || self.link == Link::Down)
    }

    /// Moves what has gathered into `bytes` and `commands`, which are empty. While the link is
    /// down the messages stay.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>, commands: &mut Vec<C>) -> Taken {
        debug_assert!(bytes.is_empty());
        self.take_commands(commands);
        let mut space_wanted = false;
        if self.link == Link::Up {
            if bytes.capacity() > CAPACITY_BYTES_KEPT {
                *bytes = Vec::new();
            }
            std::mem::swap(&mut self.bytes, bytes);
            space_wanted = std::mem::take(&mut self.space_wanted);
        }
        Taken {
            messages: std::mem::take(&mut self.messages),
            message_bytes: std::mem::take(&mut self.message_bytes),
            space_wanted,
        }
    }

    /// Moves the commands into `commands`, which is empty.
    pub(crate) fn take_commands(&mut self, commands: &mut Vec<C>) {
        debug_assert!(commands.is_empty());
        std::mem::swap(&mut self.commands, commands);
    }

    /// What the server allows has changed.
    pub(crate) fn handle_info(&mut self, info: &Info) {
        // A server that names no limit has none that could be kept.
        self.payload_bytes_max = if info.max_payload == 0 { usize::MAX } else { info.max_payload };
        self.headers = info.headers;
    }

    /// There is a connection again. Returns how many of the messages that waited are larger than
    /// this server allows: they are dropped.
    ///
    /// The driver takes the commands in the same critical section, before it makes the
    /// subscriptions anew.
    pub(crate) fn handle_link_up(&mut self, info: &Info) -> u64 {
        debug_assert!(self.link == Link::Down);
        let payload_bytes_max_before = self.payload_bytes_max;
        self.handle_info(info);
        self.link = Link::Up;
        let mut dropped = 0;
        if self.payload_bytes_max < payload_bytes_max_before {
            let waiting = std::mem::take(&mut self.bytes);
            dropped = keep_messages(&waiting, 0, self.payload_bytes_max, &mut self.bytes);
        }
        dropped
    }

    /// The connection is lost; of the bytes taken last, `written` had been written.
    pub(crate) fn handle_link_down(&mut self, taken: &[u8], written: usize) {
        if self.link == Link::Down {
            return;
        }
        self.link = Link::Down;
        let waiting = std::mem::take(&mut self.bytes);
        keep_messages(taken, written, usize::MAX, &mut self.bytes);
        keep_messages(&waiting, 0, usize::MAX, &mut self.bytes);
    }

    fn write_ping(&mut self) {
        if self.link == Link::Up {
            self.bytes.extend_from_slice(b"PING\r\n");
        }
    }

    fn bytes_max(&self) -> usize {
        match self.link {
            Link::Up => self.bounds.up_bytes_max,
            Link::Down => self.bounds.down_bytes_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { up_bytes_max: 30, down_bytes_max: 40 };

    fn message(payload: &[u8]) -> Publication<'_> {
        Publication { subject: b"a", headers: None, payload }
    }

    fn up(info: &Info) -> Outbound<u64> {
        let mut outbound = Outbound::new(BOUNDS);
        assert_eq!(outbound.handle_link_up(info), 0);
        outbound
    }

    fn info(max_payload: usize) -> Info {
        Info { max_payload, headers: true, ..Info::default() }
    }

    fn taken(outbound: &mut Outbound<u64>) -> (String, Vec<u64>, bool) {
        let (mut bytes, mut commands) = (Vec::new(), Vec::new());
        let taken = outbound.take(&mut bytes, &mut commands);
        (String::from_utf8(bytes).unwrap(), commands, taken.space_wanted)
    }

    #[test]
    fn bytes_and_commands_keep_their_order() {
        let mut outbound = up(&info(9));
        assert_eq!(outbound.subscribe(b"a", None, |sid| sid), Ok(1));
        assert_eq!(outbound.subscribe(b"b", Some(b"q"), |sid| sid), Ok(2));
        outbound.publish(message(b"x"), Some(b"r")).unwrap();
        outbound.unsubscribe(1, Some(5), 7).unwrap();
        outbound.ping(8).unwrap();
        let text = "SUB a 1\r\nSUB b q 2\r\nPUB a r 1\r\nx\r\nUNSUB 1 5\r\nPING\r\n";
        assert_eq!(taken(&mut outbound), (text.to_owned(), vec![1, 2, 7, 8], false));
        assert!(outbound.is_idle());
    }

    #[test]
    fn a_full_buffer_lets_wait() {
        let mut outbound = up(&info(9));
        outbound.publish(message(b"123456789"), None).unwrap();
        outbound.publish(message(b"123456789"), None).unwrap();
        assert_eq!(outbound.publish(message(b""), None), Err(Refused::Full));
        let (_, _, space_wanted) = taken(&mut outbound);
        assert!(space_wanted);
        assert!(outbound.publish(message(b""), None).is_ok());
    }

    #[test]
    fn what_the_server_does_not_allow_is_refused() {
        let mut outbound = up(&Info { max_payload: 3, ..Info::default() });
        let too_large = Refused::TooLarge { bytes: 4, bytes_max: 3 };
        assert_eq!(outbound.publish(message(b"1234"), None), Err(too_large));
        let headers = HeaderMap::new();
        let with_headers = Publication { headers: Some(&headers), ..message(b"") };
        assert_eq!(outbound.publish(with_headers, None), Err(Refused::HeadersNotSupported));
        assert!(outbound.is_idle());
    }

    #[test]
    fn while_down_only_messages_wait() {
        let mut outbound = Outbound::new(BOUNDS);
        outbound.subscribe(b"a", None, |sid| sid).unwrap();
        outbound.ping(8).unwrap();
        outbound.publish(message(b"small"), None).unwrap();
        outbound.publish(message(b"large one"), None).unwrap();
        assert_eq!(taken(&mut outbound), (String::new(), vec![1, 8], false));
        assert!(outbound.is_idle());
        assert_eq!(outbound.handle_link_up(&info(5)), 1);
        assert_eq!(taken(&mut outbound).0, "PUB a 5\r\nsmall\r\n");
    }

    #[test]
    fn what_was_cut_off_is_sent_again() {
        let mut outbound = up(&info(9));
        outbound.subscribe(b"a", None, |sid| sid).unwrap();
        outbound.publish(message(b"1"), None).unwrap();
        outbound.publish(message(b"2"), None).unwrap();
        let (batch, _, _) = taken(&mut outbound);
        outbound.ping(9).unwrap();
        outbound.publish(message(b"3"), None).unwrap();
        let written = "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a ".len();
        outbound.handle_link_down(batch.as_bytes(), written);
        assert_eq!(outbound.handle_link_up(&info(9)), 0);
        assert_eq!(taken(&mut outbound).0, "PUB a 1\r\n2\r\nPUB a 1\r\n3\r\n");
    }

    #[test]
    fn requests_share_an_inbox() {
        let mut outbound = up(&info(9));
        outbound.request(message(b"1"), b"in.", |sid| sid, |token| 100 + token).unwrap();
        outbound.request(message(b"2"), b"in.", |sid| sid, |token| 100 + token).unwrap();
        let text = "SUB in.* 1\r\nPUB a in.1 1\r\n1\r\nPUB a in.2 1\r\n2\r\n";
        assert_eq!(taken(&mut outbound), (text.to_owned(), vec![1, 101, 102], false));
    }

    #[test]
    fn draining_and_closed() {
        let mut outbound = up(&info(9));
        assert!(outbound.drain() && !outbound.drain());
        assert_eq!(outbound.subscribe(b"a", None, |sid| sid), Err(Refused::Closed));
        outbound.publish(message(b"1"), None).unwrap();
        outbound.close();
        assert_eq!(outbound.publish(message(b"2"), None), Err(Refused::Closed));
        assert_eq!(outbound.ping(1), Err(Refused::Closed));
        assert_eq!(taken(&mut outbound).0, "PUB a 1\r\n1\r\n");
    }
}
