//! What a server sends, as a client reads it.
//!
//! The reading is strict where a wrong byte could be taken for a message, and lenient in
//! letter case and blanks, as clients are.

use memchr::memchr;

use crate::line::{Arguments, is_beginning_of, parse_size, starts_with_verb};

/// One operation of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOp<'a> {
    /// `INFO {json}`: the document, not yet read.
    Info(&'a [u8]),
    /// `MSG` or `HMSG` with its payload.
    Message(Message<'a>),
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR 'text'`: the text without its quotes.
    Err(&'a [u8]),
}

/// A message that the server delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// The identifier of the subscription it is for.
    pub sid: &'a [u8],
    /// Where answers are wanted.
    pub reply: Option<&'a [u8]>,
    /// The header block; empty for `MSG`.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
    /// How many bytes from the front of the buffer the headers begin at.
    pub body_offset: usize,
}

/// What [`parse`] found at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A whole operation of `consumed` bytes.
    Op {
        /// The operation.
        op: ServerOp<'a>,
        /// Bytes it took, its line end and payload included.
        consumed: usize,
    },
    /// The operation is not whole: it needs at least `needed` bytes in all, which is more than
    /// the buffer has.
    Incomplete {
        /// A lower bound of the operation's whole length.
        needed: usize,
    },
}

/// Why the bytes are no operation of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No operation begins like this, or a payload is not followed by CR LF.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// The arguments of an operation are wrong in number or kind.
    #[error("malformed arguments of {0}")]
    Arguments(&'static str),
    /// A line has no end within [`LINE_BYTES_MAX`].
    #[error("protocol line longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
}

/// The longest line a server may send. INFO of a large cluster, with hundreds of addresses, is
/// the longest there is; it stays far below.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// How the arguments of an operation that is one line are read.
type ReadLine = fn(&[u8]) -> ServerOp<'_>;

/// Reads the operation at the front of `buffer`.
///
/// # Errors
///
/// The bytes cannot become an operation, however many follow; see [`ParseError`].
pub fn parse(buffer: &[u8]) -> Result<Step<'_>, ParseError> {
    if starts_with_verb(buffer, b"msg ") {
        return parse_message(buffer, 4, false);
    }
    if starts_with_verb(buffer, b"hmsg ") {
        return parse_message(buffer, 5, true);
    }
    let one_line: [(&[u8], ReadLine); 5] = [
        (b"ping", |_| ServerOp::Ping),
        (b"pong", |_| ServerOp::Pong),
        (b"+ok", |_| ServerOp::Ok),
        (b"info ", |line| ServerOp::Info(line.trim_ascii())),
        (b"-err", |line| ServerOp::Err(unquoted(line.trim_ascii()))),
    ];
    for (verb, read) in one_line {
        if starts_with_verb(buffer, verb) {
            let Some((line, consumed)) = line(buffer, verb.len())? else {
                return Ok(Step::Incomplete { needed: buffer.len() + 1 });
            };
            return Ok(Step::Op { op: read(line), consumed });
        }
    }
    let verbs: [&[u8]; 7] = [b"msg ", b"hmsg ", b"ping", b"pong", b"+ok", b"info ", b"-err"];
    if verbs.iter().any(|verb| is_beginning_of(buffer, verb)) {
        return Ok(Step::Incomplete { needed: buffer.len() + 1 });
    }
    Err(ParseError::UnknownOperation)
}

fn parse_message(buffer: &[u8], from: usize, with_headers: bool) -> Result<Step<'_>, ParseError> {
    let verb = if with_headers { "HMSG" } else { "MSG" };
    let Some((line, line_end)) = line(buffer, from)? else {
        return Ok(Step::Incomplete { needed: buffer.len() + 1 });
    };
    let arguments = Arguments::<5>::split(line).ok_or(ParseError::Arguments(verb))?;
    let (subject, sid, reply, header_size, size) = match (with_headers, arguments.as_slice()) {
        (false, &[subject, sid, size]) => (subject, sid, None, None, size),
        (false, &[subject, sid, reply, size]) => (subject, sid, Some(reply), None, size),
        (true, &[subject, sid, headers, size]) => (subject, sid, None, Some(headers), size),
        (true, &[subject, sid, reply, headers, size]) => {
            (subject, sid, Some(reply), Some(headers), size)
        }
        _ => return Err(ParseError::Arguments(verb)),
    };
    let size = parse_size(size).ok_or(ParseError::Arguments(verb))?;
    let header_size = match header_size {
        None => 0,
        Some(digits) => parse_size(digits)
            .filter(|header_size| *header_size <= size)
            .ok_or(ParseError::Arguments(verb))?,
    };
    let consumed = line_end + size + 2;
    let Some(rest) = buffer.get(line_end..consumed) else {
        return Ok(Step::Incomplete { needed: consumed });
    };
    if !rest.ends_with(b"\r\n") {
        return Err(ParseError::UnknownOperation);
    }
    let (headers, payload) = rest[..size].split_at(header_size);
    let message = Message { subject, sid, reply, headers, payload, body_offset: line_end };
    Ok(Step::Op { op: ServerOp::Message(message), consumed })
}

/// The bytes from `from` to the line end (without it), and where the line ends.
fn line(buffer: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, ParseError> {
    let Some(end) = memchr(b'\n', &buffer[from..]) else {
        return if buffer.len() > LINE_BYTES_MAX { Err(ParseError::LineTooLong) } else { Ok(None) };
    };
    let line = &buffer[from..from + end];
    Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), from + end + 1)))
}

fn unquoted(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"'").unwrap_or(text);
    text.strip_suffix(b"'").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(buffer: &[u8], expected: Result<ServerOp<'_>, ParseError>) {
        match expected {
            Ok(op) => assert_eq!(parse(buffer), Ok(Step::Op { op, consumed: buffer.len() })),
            Err(error) => assert_eq!(parse(buffer), Err(error), "{buffer:?}"),
        }
    }

    #[test]
    fn operations() {
        check(b"PING\r\n", Ok(ServerOp::Ping));
        check(b"PONG\r\n", Ok(ServerOp::Pong));
        check(b"+OK\r\n", Ok(ServerOp::Ok));
        check(b"INFO {\"a\":1} \r\n", Ok(ServerOp::Info(b"{\"a\":1}")));
        check(b"-ERR 'Stale Connection'\r\n", Ok(ServerOp::Err(b"Stale Connection")));
        check(b"XYZ\r\n", Err(ParseError::UnknownOperation));
        check(b"MSG a 1\r\n", Err(ParseError::Arguments("MSG")));
        check(b"MSG a 1 2\r\nabc\r\n", Err(ParseError::UnknownOperation));
        check(b"HMSG a 1 3 2\r\nabc\r\n", Err(ParseError::Arguments("HMSG")));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            subject in "[a-z]{1,9}", sid in 0u64..1_000_000, reply in proptest::option::of("[a-z]{1,8}"),
            headers in proptest::option::of("NATS/1.0\r\n[a-z]{0,9}\r\n\r\n"),
            payload in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut whole = Vec::new();
            let headers = headers.unwrap_or_default();
            let body = [headers.as_bytes(), &payload].concat();
            let sid = sid.to_string();
            crate::encode::message(
                &mut whole, subject.as_bytes(), sid.as_bytes(), reply.as_deref().map(str::as_bytes),
                headers.len(), &body,
            );
            for cut in 0..whole.len() {
                let Ok(Step::Incomplete { needed }) = parse(&whole[..cut]) else {
                    return Err(TestCaseError::fail(format!("not incomplete at {cut}")));
                };
                prop_assert!(needed > cut && needed <= whole.len());
            }
            let Ok(Step::Op { op: ServerOp::Message(message), consumed }) = parse(&whole) else {
                return Err(TestCaseError::fail("no message"));
            };
            prop_assert_eq!(consumed, whole.len());
            prop_assert_eq!(message.subject, subject.as_bytes());
            prop_assert_eq!(message.sid, sid.as_bytes());
            prop_assert_eq!(message.reply, reply.as_deref().map(str::as_bytes));
            prop_assert_eq!(message.headers, headers.as_bytes());
            prop_assert_eq!(message.payload, &payload[..]);
            prop_assert_eq!(&whole[message.body_offset..message.body_offset + body.len()], &body[..]);
        }

        #[test]
        fn never_panics(buffer: Vec<u8>) {
            let _ = parse(&buffer);
        }
    }
}
