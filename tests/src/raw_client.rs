//! A client that knows only bytes: it sends what the test says and compares what comes back.
//!
//! It has no opinion about the protocol, with two exceptions that every test needs: it answers
//! the server's PING, which may come at any time between two lines, and it can read a message.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::DEADLINE;

const PING: &[u8] = b"PING\r\n";

/// A connection to a server.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    /// What was read from the socket; the test has seen it up to `seen`.
    buffer: Vec<u8>,
    seen: usize,
    /// The INFO that came last.
    info: Value,
    answers_pings: bool,
}

/// A message as the server delivered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject it was published to.
    pub subject: String,
    /// The subscription it is for.
    pub sid: String,
    /// Where a reply goes.
    pub reply: Option<String>,
    /// The header block, empty for MSG.
    pub headers: Vec<u8>,
    /// What follows the header block.
    pub payload: Vec<u8>,
}

impl RawClient {
    /// Connects and reads the first INFO.
    ///
    /// # Panics
    ///
    /// When the server does not take the connection or does not begin with INFO.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        let mut client = Self::open_silently(address);
        client.expect_info();
        client
    }

    /// Connects and reads nothing.
    ///
    /// # Panics
    ///
    /// When the server does not take the connection.
    #[track_caller]
    pub fn open_silently(address: SocketAddr) -> Self {
        let stream = match TcpStream::connect_timeout(&address, DEADLINE) {
            Ok(stream) => stream,
            Err(error) => panic!("{address} takes no connection: {error}"),
        };
        Self::from_stream(stream)
    }

    /// Speaks over a socket that is already connected.
    pub fn from_stream(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("a TCP option can be set");
        Self { stream, buffer: Vec::new(), seen: 0, info: Value::Null, answers_pings: true }
    }

    /// The INFO that came last.
    pub fn info(&self) -> &Value {
        &self.info
    }

    /// The id that connz knows this connection by.
    #[track_caller]
    pub fn cid(&self) -> u64 {
        self.info["client_id"].as_u64().expect("INFO carries client_id")
    }

    /// The socket, for options and for what this client does not do.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// From now on a PING of the server is a line like any other.
    pub fn leave_pings_alone(&mut self) {
        self.answers_pings = false;
    }

    /// Sends CONNECT with the usual options of a client library, changed by `options`, then PING,
    /// and reads the answers: PONG, and for protocol 1 the second INFO.
    #[track_caller]
    pub fn handshake(&mut self, options: &Value) {
        let mut connect = json!({
            "verbose": false, "pedantic": false, "protocol": 1, "headers": true,
            "no_responders": true, "echo": true, "lang": "raw", "version": "0",
        });
        for (name, value) in options.as_object().expect("options are an object") {
            connect[name] = value.clone();
        }
        self.send(format!("CONNECT {connect}\r\nPING\r\n"));
        if connect["verbose"] == true {
            self.expect_line("+OK");
        }
        self.expect_line("PONG");
        if connect["protocol"] == 1 {
            self.expect_info();
        }
    }

    /// Sends these bytes.
    ///
    /// That the server has closed the connection is not noticed here but by what is expected
    /// next: a server may answer and close while the test is still sending.
    ///
    /// # Panics
    ///
    /// When the server does not read for [`DEADLINE`].
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match self.try_send(bytes) {
            Ok(()) => {}
            Err(error) if is_closed(&error) => {}
            Err(error) => panic!("the server does not read: {error}"),
        }
    }

    /// Sends these bytes, or says why not.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection, or does not read for [`DEADLINE`].
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends these bytes in pieces that end at `cuts`, each in a packet of its own.
    #[track_caller]
    pub fn send_cut(&mut self, bytes: &[u8], cuts: &[usize]) {
        let mut from = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            self.send(&bytes[from..cut]);
            from = cut;
        }
    }

    /// Sends PUB with `payload`.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        let mut bytes = format!("PUB {subject} {}\r\n", payload.len()).into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.send(bytes);
    }

    /// Sends PING and reads PONG: the server has then seen everything sent before, and nothing
    /// else was waiting to be read.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send(PING);
        self.expect_line("PONG");
    }

    /// Reads one line, which must end with CRLF, and compares it.
    #[track_caller]
    pub fn expect_line(&mut self, expected: &str) {
        let line = self.line();
        assert_eq!(line, expected);
    }

    /// Reads exactly these bytes.
    #[track_caller]
    pub fn expect_exact(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut matched = 0;
        while matched < expected.len() {
            let answered = if matched == 0 || expected[matched - 1] == b'\n' {
                self.answer_pings(&expected[matched..])
            } else {
                Ok(())
            };
            let end = expected[matched..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(expected.len(), |newline| matched + newline + 1);
            let received = match answered
                .map_err(|why| (why, self.unseen().to_vec()))
                .and_then(|()| self.take(end - matched))
            {
                Ok(bytes) => bytes,
                Err((why, rest)) => panic!(
                    "{why}; expected {:?}, received {:?}",
                    expected[matched..].escape_ascii().to_string(),
                    rest.escape_ascii().to_string()
                ),
            };
            assert_eq!(
                received.escape_ascii().to_string(),
                expected[matched..end].escape_ascii().to_string(),
                "at byte {matched} of {:?}",
                expected.escape_ascii().to_string(),
            );
            matched = end;
        }
    }

    /// Reads INFO and keeps it.
    #[track_caller]
    pub fn expect_info(&mut self) -> &Value {
        let line = self.line();
        let Some(text) = line.strip_prefix("INFO ") else { panic!("expected INFO: {line:?}") };
        match serde_json::from_str(text) {
            Ok(info) => self.info = info,
            Err(error) => panic!("INFO is no JSON ({error}): {text:?}"),
        }
        &self.info
    }

    /// Reads `-ERR '<text>'`; whether the connection closes then is for the test to ask.
    #[track_caller]
    pub fn expect_error(&mut self, text: &str) {
        self.expect_line(&format!("-ERR '{text}'"));
    }

    /// The server closes the connection, and nothing comes before that.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        // The server's PING may still have been on the way.
        let end = self.answer_pings(b"").and_then(|()| self.read_more());
        let rest = self.unseen().escape_ascii().to_string();
        assert!(rest.is_empty(), "expected the end, not {rest:?}");
        match end {
            Err(Why::Closed) => {}
            Err(why) => panic!("expected the end: {why}"),
            Ok(()) => unreachable!("something was read, so the rest is not empty"),
        }
    }

    /// Reads one line, which must end with CRLF.
    #[track_caller]
    pub fn line(&mut self) -> String {
        if let Err(why) = self.answer_pings(b"") {
            panic!("{why} in {:?}", self.unseen().escape_ascii().to_string());
        }
        loop {
            if let Some(newline) = self.unseen().iter().position(|byte| *byte == b'\n') {
                let line = self.unseen()[..=newline].to_vec();
                self.seen += line.len();
                let text = String::from_utf8_lossy(&line).into_owned();
                let Some(text) = text.strip_suffix("\r\n") else {
                    panic!("a line without CR: {text:?}");
                };
                return text.to_owned();
            }
            if let Err(why) = self.read_more() {
                panic!("{why} in {:?}", self.unseen().escape_ascii().to_string());
            }
        }
    }

    /// Reads so many bytes.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        match self.take(count) {
            Ok(bytes) => bytes,
            Err((why, rest)) => panic!("{why} after {} of {count} bytes", rest.len()),
        }
    }

    /// Reads one MSG or HMSG.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        let line = self.line();
        self.rest_of_message(&line)
    }

    /// Reads one MSG or HMSG, or `None` for PONG.
    #[track_caller]
    pub fn message_or_pong(&mut self) -> Option<Message> {
        let line = self.line();
        (line != "PONG").then(|| self.rest_of_message(&line))
    }

    /// Reads what follows the line that a message begins with.
    #[track_caller]
    fn rest_of_message(&mut self, line: &str) -> Message {
        let fields: Vec<&str> = line.split(' ').collect();
        let size = |text: &str| match text.parse::<usize>() {
            Ok(size) => size,
            Err(error) => panic!("{error}: {line:?}"),
        };
        let (subject, sid, reply, header_bytes, bytes) = match *fields {
            ["MSG", subject, sid, total] => (subject, sid, None, 0, size(total)),
            ["MSG", subject, sid, reply, total] => (subject, sid, Some(reply), 0, size(total)),
            ["HMSG", subject, sid, header, total] => {
                (subject, sid, None, size(header), size(total))
            }
            ["HMSG", subject, sid, reply, header, total] => {
                (subject, sid, Some(reply), size(header), size(total))
            }
            _ => panic!("expected a message: {line:?}"),
        };
        let (subject, sid) = (subject.to_owned(), sid.to_owned());
        let reply = reply.map(str::to_owned);
        let mut headers = self.bytes(bytes + 2);
        assert!(headers.ends_with(b"\r\n"), "the body of {line:?} does not end with CRLF");
        headers.truncate(bytes);
        let payload = headers.split_off(header_bytes);
        Message { subject, sid, reply, headers, payload }
    }

    /// Tells the server that nothing more will come, and still reads.
    pub fn finish_sending(&self) {
        // The server may have closed first.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Everything up to the end of the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.read_more() {
                Ok(()) => {}
                Err(Why::Closed) => return self.unseen().to_vec(),
                Err(why) => panic!("{why}, the connection stays open"),
            }
        }
    }

    /// Takes the next `count` bytes, or says why not, with what did come.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, (Why, Vec<u8>)> {
        while self.unseen().len() < count {
            if let Err(why) = self.read_more() {
                return Err((why, self.unseen().to_vec()));
            }
        }
        let bytes = self.unseen()[..count].to_vec();
        self.seen += count;
        Ok(bytes)
    }

    /// Answers PINGs that stand at the start of a line, unless one is what the test waits for.
    fn answer_pings(&mut self, expected: &[u8]) -> Result<(), Why> {
        while self.answers_pings && !expected.starts_with(PING) {
            while self.unseen().len() < PING.len() && PING.starts_with(self.unseen()) {
                self.read_more()?;
            }
            if !self.unseen().starts_with(PING) {
                break;
            }
            self.seen += PING.len();
            // That it was closed is noticed by the next read.
            drop(self.try_send(b"PONG\r\n"));
        }
        Ok(())
    }

    fn unseen(&self) -> &[u8] {
        &self.buffer[self.seen..]
    }

    fn read_more(&mut self) -> Result<(), Why> {
        if self.seen == self.buffer.len() {
            self.buffer.clear();
            self.seen = 0;
        }
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Why::Closed),
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_closed(&error) => return Err(Why::Closed),
                Err(error) => return Err(Why::Silent(error)),
            }
        }
    }
}

/// Why no more bytes come.
#[derive(Debug)]
enum Why {
    Closed,
    Silent(std::io::Error),
}

impl std::fmt::Display for Why {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => formatter.write_str("the server closed the connection"),
            Self::Silent(error) => write!(formatter, "the server is silent ({error})"),
        }
    }
}

/// A connection closed by the server while bytes for it were on the way ends with a reset.
fn is_closed(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}
