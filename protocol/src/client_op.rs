//! What a client sends, as a server reads it.
//!
//! [`parse`] looks at the front of a buffer and returns one operation that borrows from it.
//! Nothing is copied and nothing is remembered between calls: when the operation is not whole,
//! the caller keeps the bytes and calls again with more.

use memchr::memchr;
use serde::de::IgnoredAny;

use crate::line::{Arguments, is_beginning_of, parse_size, starts_with_verb};

/// One operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOp<'a> {
    /// `CONNECT {json}`: the document, not yet read.
    Connect(&'a [u8]),
    /// `PUB` or `HPUB` with its payload.
    Publish(Publish<'a>),
    /// `SUB subject [queue] sid`.
    Subscribe {
        /// The subject as written; it may be malformed.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// The identifier the client chose.
        sid: &'a [u8],
    },
    /// `UNSUB sid [max]`.
    Unsubscribe {
        /// The identifier of the subscription.
        sid: &'a [u8],
        /// Deliveries since SUB after which it ends; `None` ends it now, as does a number that
        /// cannot be read (as in nats-server).
        max: Option<u64>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK` or `INFO`: tolerated from a client, and without effect.
    Ignored,
}

/// A message that a client publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The subject as written; it may be malformed.
    pub subject: &'a [u8],
    /// Where answers are wanted.
    pub reply: Option<&'a [u8]>,
    /// The header block with its closing blank line; empty for `PUB`.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
    /// Headers, payload and the CR LF after them, as they lie side by side in the buffer: what
    /// a delivery carries after its head.
    pub framed: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Headers and payload.
    pub fn body(&self) -> &'a [u8] {
        &self.framed[..self.framed.len() - 2]
    }
}

/// What [`parse`] found at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A whole operation of `consumed` bytes.
    Op {
        /// The operation.
        op: ClientOp<'a>,
        /// Bytes it took, its line end and payload included.
        consumed: usize,
    },
    /// The operation is not whole. It needs at least `needed` bytes in all, counted from the
    /// front of the buffer; `needed` is greater than the buffer's length.
    Incomplete {
        /// A lower bound of the operation's whole length.
        needed: usize,
    },
}

/// Why the bytes are no operation. Every kind ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No operation begins like this, or a payload is not followed by CR LF.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// The arguments of an operation are wrong in number or kind.
    #[error("malformed arguments of {0}")]
    Arguments(&'static str),
    /// The arguments are longer than [`Limits::control_line_bytes_max`].
    #[error("control line longer than {0} bytes")]
    ControlLineTooLong(usize),
    /// The message is larger than [`Limits::payload_bytes_max`].
    #[error("message of {0} bytes is larger than allowed")]
    PayloadTooLarge(usize),
    /// `HPUB` on a connection that did not agree on headers.
    #[error("message headers not supported")]
    HeadersNotSupported,
    /// The client sent `-ERR`.
    #[error("the client reported an error")]
    ClientError,
}

/// What a connection may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of arguments in one line.
    pub control_line_bytes_max: usize,
    /// Bytes of headers and payload in one message.
    pub payload_bytes_max: usize,
    /// Whether `HPUB` is accepted.
    pub headers: bool,
}

impl Default for Limits {
    /// nats-server's defaults, for a connection that agreed on headers.
    fn default() -> Self {
        Self { control_line_bytes_max: 4096, payload_bytes_max: 1024 * 1024, headers: true }
    }
}

/// Reads the operation at the front of `buffer`.
///
/// # Errors
///
/// The bytes cannot become an operation, however many follow; see [`ParseError`].
#[inline]
pub fn parse<'a>(buffer: &'a [u8], limits: &Limits) -> Result<Step<'a>, ParseError> {
    // Nearly every operation that arrives is a whole PUB as a library writes it. It is read in
    // one pass here, inlined into the caller; whatever is unusual about it goes the long way.
    if let Some((publish, consumed)) = parse_common_pub(buffer, limits) {
        return Ok(Step::Op { op: ClientOp::Publish(publish), consumed });
    }
    parse_any(buffer, limits)
}

/// Reads `PUB subject [reply] size CR LF payload CR LF` with single spaces, upper case, all of
/// it there and within the limits; anything else is `None` and not an error.
#[inline]
fn parse_common_pub<'a>(buffer: &'a [u8], limits: &Limits) -> Option<(Publish<'a>, usize)> {
    if !buffer.starts_with(b"PUB ") {
        return None;
    }
    let subject_end = end_of_word(buffer, 4)?;
    let subject = &buffer[4..subject_end];
    let (second_at, mut size_at) = (subject_end + 1, subject_end + 1);
    let mut reply = None;
    if !buffer.get(second_at)?.is_ascii_digit() {
        let reply_end = end_of_word(buffer, second_at)?;
        reply = Some(&buffer[second_at..reply_end]);
        size_at = reply_end + 1;
    }
    let mut size = 0usize;
    let mut at = size_at;
    loop {
        let digit = buffer.get(at)?.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        size = size * 10 + usize::from(digit);
        at += 1;
        if at - size_at > 9 {
            return None;
        }
    }
    let line_end = at + 2;
    let plain = at > size_at
        && subject_end > 4
        && reply.is_none_or(|reply| !reply.is_empty())
        && at - 4 <= limits.control_line_bytes_max
        && size <= limits.payload_bytes_max
        && buffer.get(at..line_end)? == b"\r\n";
    let framed = buffer.get(line_end..line_end + size + 2)?;
    if !plain || &framed[size..] != b"\r\n" {
        return None;
    }
    let publish = Publish { subject, reply, headers: &[], payload: &framed[..size], framed };
    Some((publish, line_end + size + 2))
}

/// Where the word that begins at `from` ends, if a single space ends it.
#[inline]
fn end_of_word(buffer: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = from;
    // Eight bytes at a time: those up to the space have their high bit set in `low`, exactly up
    // to the first of them.
    while let Some(chunk) = buffer.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes were taken"));
        let low = word.wrapping_sub(ONES * 0x21) & !word & HIGHS;
        if low != 0 {
            at += low.trailing_zeros() as usize / 8;
            return (buffer[at] == b' ').then_some(at);
        }
        at += 8;
    }
    let offset = buffer.get(at..)?.iter().position(|byte| *byte <= b' ')?;
    (buffer[at + offset] == b' ').then_some(at + offset)
}

fn parse_any<'a>(buffer: &'a [u8], limits: &Limits) -> Result<Step<'a>, ParseError> {
    let Some(&first) = buffer.first() else {
        return Ok(Step::Incomplete { needed: 1 });
    };
    if first | 0x20 == b'p'
        && buffer.len() > 4
        && starts_with_verb(buffer, b"pub")
        && is_blank(buffer[3])
    {
        return parse_pub(buffer, limits);
    }
    parse_other(buffer, limits)
}

fn parse_other<'a>(buffer: &'a [u8], limits: &Limits) -> Result<Step<'a>, ParseError> {
    let verb = Verb::at_front(buffer)?;
    let Some(verb) = verb else {
        return Ok(Step::Incomplete { needed: buffer.len() + 1 });
    };
    match verb {
        Verb::Pub => parse_pub(buffer, limits),
        Verb::Hpub => parse_hpub(buffer, limits),
        Verb::Sub => with_line(buffer, 4, limits, |line| {
            let arguments = Arguments::<3>::split(line).ok_or(ParseError::Arguments("SUB"))?;
            match *arguments.as_slice() {
                [subject, sid] => Ok(ClientOp::Subscribe { subject, queue: None, sid }),
                [subject, queue, sid] => {
                    Ok(ClientOp::Subscribe { subject, queue: Some(queue), sid })
                }
                _ => Err(ParseError::Arguments("SUB")),
            }
        }),
        Verb::Unsub => with_line(buffer, 6, limits, |line| {
            let arguments = Arguments::<2>::split(line).ok_or(ParseError::Arguments("UNSUB"))?;
            match *arguments.as_slice() {
                [sid] => Ok(ClientOp::Unsubscribe { sid, max: None }),
                [sid, max] => {
                    let max = parse_size(max).filter(|max| *max > 0).map(|max| max as u64);
                    Ok(ClientOp::Unsubscribe { sid, max })
                }
                _ => Err(ParseError::Arguments("UNSUB")),
            }
        }),
        Verb::Connect => {
            // The blank after the verb is no argument.
            let from = if buffer.get(7).is_some_and(|byte| is_blank(*byte)) { 8 } else { 7 };
            with_line(buffer, from, limits, |line| Ok(ClientOp::Connect(line.trim_ascii_start())))
        }
        Verb::Ping => with_line(buffer, 4, limits, |_| Ok(ClientOp::Ping)),
        Verb::Pong => with_line(buffer, 4, limits, |_| Ok(ClientOp::Pong)),
        Verb::Ok => with_line(buffer, 3, limits, |_| Ok(ClientOp::Ignored)),
        Verb::Info => {
            with_line(buffer, 5, limits, |line| match serde_json::from_slice::<IgnoredAny>(line) {
                Ok(_) => Ok(ClientOp::Ignored),
                Err(_) => Err(ParseError::Arguments("INFO")),
            })
        }
        Verb::Err => with_line(buffer, 4, limits, |_| Err(ParseError::ClientError)),
    }
}

fn parse_pub<'a>(buffer: &'a [u8], limits: &Limits) -> Result<Step<'a>, ParseError> {
    let Some((line, line_end)) = control_line(buffer, 4, limits)? else {
        return Ok(Step::Incomplete { needed: buffer.len() + 1 });
    };
    let arguments = Arguments::<3>::split(line).ok_or(ParseError::Arguments("PUB"))?;
    let (subject, reply, size) = match *arguments.as_slice() {
        [subject, size] => (subject, None, size),
        [subject, reply, size] => (subject, Some(reply), size),
        _ => return Err(ParseError::Arguments("PUB")),
    };
    let size = parse_size(size).ok_or(ParseError::Arguments("PUB"))?;
    let Some(framed) = framed(buffer, line_end, size, limits)? else {
        return Ok(Step::Incomplete { needed: line_end + size + 2 });
    };
    let publish = Publish { subject, reply, headers: &[], payload: &framed[..size], framed };
    Ok(Step::Op { op: ClientOp::Publish(publish), consumed: line_end + size + 2 })
}

fn parse_hpub<'a>(buffer: &'a [u8], limits: &Limits) -> Result<Step<'a>, ParseError> {
    if !limits.headers {
        return Err(ParseError::HeadersNotSupported);
    }
    let Some((line, line_end)) = control_line(buffer, 5, limits)? else {
        return Ok(Step::Incomplete { needed: buffer.len() + 1 });
    };
    let arguments = Arguments::<4>::split(line).ok_or(ParseError::Arguments("HPUB"))?;
    let (subject, reply, header_size, size) = match *arguments.as_slice() {
        [subject, header_size, size] => (subject, None, header_size, size),
        [subject, reply, header_size, size] => (subject, Some(reply), header_size, size),
        _ => return Err(ParseError::Arguments("HPUB")),
    };
    let header_size = parse_size(header_size).ok_or(ParseError::Arguments("HPUB"))?;
    let size = parse_size(size).ok_or(ParseError::Arguments("HPUB"))?;
    if header_size > size {
        return Err(ParseError::Arguments("HPUB"));
    }
    let Some(framed) = framed(buffer, line_end, size, limits)? else {
        return Ok(Step::Incomplete { needed: line_end + size + 2 });
    };
    let (headers, payload) = framed[..size].split_at(header_size);
    let publish = Publish { subject, reply, headers, payload, framed };
    Ok(Step::Op { op: ClientOp::Publish(publish), consumed: line_end + size + 2 })
}

/// The `size` bytes after the line and their CR LF, or `None` when they are not all there.
/// The size is judged before the bytes have come.
fn framed<'a>(
    buffer: &'a [u8],
    line_end: usize,
    size: usize,
    limits: &Limits,
) -> Result<Option<&'a [u8]>, ParseError> {
    if size > limits.payload_bytes_max {
        return Err(ParseError::PayloadTooLarge(size));
    }
    let rest = &buffer[line_end..];
    if let Some(byte) = rest.get(size)
        && *byte != b'\r'
    {
        return Err(ParseError::UnknownOperation);
    }
    match rest.get(size + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some(&rest[..size + 2])),
        Some(_) => Err(ParseError::UnknownOperation),
    }
}

/// Reads an operation that is one line, whose arguments begin at `from`.
fn with_line<'a>(
    buffer: &'a [u8],
    from: usize,
    limits: &Limits,
    read: impl FnOnce(&'a [u8]) -> Result<ClientOp<'a>, ParseError>,
) -> Result<Step<'a>, ParseError> {
    match control_line(buffer, from, limits)? {
        None => Ok(Step::Incomplete { needed: buffer.len() + 1 }),
        Some((line, consumed)) => Ok(Step::Op { op: read(line)?, consumed }),
    }
}

/// The arguments from `from` to the line end (without it), and where the line ends.
fn control_line<'a>(
    buffer: &'a [u8],
    from: usize,
    limits: &Limits,
) -> Result<Option<(&'a [u8], usize)>, ParseError> {
    let max = limits.control_line_bytes_max;
    // The line end counts for up to two bytes beyond the arguments.
    let window = &buffer[from..buffer.len().min(from.saturating_add(max).saturating_add(2))];
    let Some(end) = memchr(b'\n', window) else {
        if window.len() > max.saturating_add(1) {
            return Err(ParseError::ControlLineTooLong(max));
        }
        return Ok(None);
    };
    let line = &window[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > max {
        return Err(ParseError::ControlLineTooLong(max));
    }
    Ok(Some((line, from + end + 1)))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[derive(Clone, Copy)]
enum Verb {
    Pub,
    Hpub,
    Sub,
    Unsub,
    Connect,
    Ping,
    Pong,
    Ok,
    Err,
    Info,
}

impl Verb {
    /// Verbs as they are written, the blank that must follow some of them included.
    const ALL: [(&'static [u8], bool, Verb); 10] = [
        (b"pub", true, Verb::Pub),
        (b"hpub", true, Verb::Hpub),
        (b"sub", true, Verb::Sub),
        (b"unsub", true, Verb::Unsub),
        (b"connect", false, Verb::Connect),
        (b"ping", false, Verb::Ping),
        (b"pong", false, Verb::Pong),
        (b"+ok", false, Verb::Ok),
        (b"-err", false, Verb::Err),
        (b"info", true, Verb::Info),
    ];

    /// The verb at the front of `buffer`; `None` while it is still a beginning of one.
    fn at_front(buffer: &[u8]) -> Result<Option<Self>, ParseError> {
        for (name, blank_follows, verb) in Self::ALL {
            if starts_with_verb(buffer, name) {
                return match buffer.get(name.len()) {
                    None => Ok(None),
                    Some(next) if blank_follows && !is_blank(*next) => {
                        Err(ParseError::UnknownOperation)
                    }
                    Some(_) => Ok(Some(verb)),
                };
            }
            if is_beginning_of(buffer, name) {
                return Ok(None);
            }
        }
        Err(ParseError::UnknownOperation)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits =
        Limits { control_line_bytes_max: 64, payload_bytes_max: 32, headers: true };

    fn check(buffer: &[u8], expected: Result<ClientOp<'_>, ParseError>) {
        let parsed = parse(buffer, &LIMITS);
        match expected {
            Ok(op) => assert_eq!(parsed, Ok(Step::Op { op, consumed: buffer.len() }), "{buffer:?}"),
            Err(error) => assert_eq!(parsed, Err(error), "{buffer:?}"),
        }
    }

    fn publish<'a>(subject: &'a [u8], reply: Option<&'a [u8]>, framed: &'a [u8]) -> ClientOp<'a> {
        let payload = &framed[..framed.len() - 2];
        ClientOp::Publish(Publish { subject, reply, headers: &[], payload, framed })
    }

    #[test]
    fn publishes() {
        check(b"PUB foo 5\r\nhello\r\n", Ok(publish(b"foo", None, b"hello\r\n")));
        check(b"pub foo 5\nhello\r\n", Ok(publish(b"foo", None, b"hello\r\n")));
        check(b"PuB\tfoo  bar\t0\r\n\r\n", Ok(publish(b"foo", Some(b"bar"), b"\r\n")));
        check(b"PUB foo 2\r\n\r\n\r\n", Ok(publish(b"foo", None, b"\r\n\r\n")));
        check(b"PUB foo\r\n", Err(ParseError::Arguments("PUB")));
        check(b"PUB \r\n", Err(ParseError::Arguments("PUB")));
        check(b"PUB a b c 1\r\nx\r\n", Err(ParseError::Arguments("PUB")));
        check(b"PUB foo 0000000005\r\n", Err(ParseError::Arguments("PUB")));
        check(b"PUB foo -1\r\n", Err(ParseError::Arguments("PUB")));
        check(b"PUB foo 33\r\n", Err(ParseError::PayloadTooLarge(33)));
        check(b"PUB foo 2\r\nhello\r\n", Err(ParseError::UnknownOperation));
        check(b"PUB foo 5\r\nhello\r\r", Err(ParseError::UnknownOperation));
        check(b"PUBX foo 5\r\n", Err(ParseError::UnknownOperation));
    }

    #[test]
    fn publishes_with_headers() {
        let headers = b"NATS/1.0\r\nA: b\r\n\r\n";
        let op = ClientOp::Publish(Publish {
            subject: b"foo",
            reply: Some(b"bar"),
            headers,
            payload: b"hi",
            framed: b"NATS/1.0\r\nA: b\r\n\r\nhi\r\n",
        });
        check(b"HPUB foo bar 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n", Ok(op));
        check(b"HPUB foo 5 4\r\n", Err(ParseError::Arguments("HPUB")));
        check(b"HPUB foo 4\r\n", Err(ParseError::Arguments("HPUB")));
        check(b"HPUB foo 4 33\r\n", Err(ParseError::PayloadTooLarge(33)));
        let no_headers = Limits { headers: false, ..LIMITS };
        assert_eq!(parse(b"HPUB foo 4 4\r\n", &no_headers), Err(ParseError::HeadersNotSupported));
    }

    #[test]
    fn subscriptions() {
        let sub = |subject, queue, sid| Ok(ClientOp::Subscribe { subject, queue, sid });
        check(b"SUB foo.* 1\r\n", sub(b"foo.*", None, b"1"));
        check(b"sub foo  q\t22\n", sub(b"foo", Some(b"q"), b"22"));
        check(b"SUB foo\r\n", Err(ParseError::Arguments("SUB")));
        check(b"SUB a b c d\r\n", Err(ParseError::Arguments("SUB")));
        check(b"UNSUB 1\r\n", Ok(ClientOp::Unsubscribe { sid: b"1", max: None }));
        check(b"UNSUB 1 5\r\n", Ok(ClientOp::Unsubscribe { sid: b"1", max: Some(5) }));
        check(b"UNSUB 1 x\r\n", Ok(ClientOp::Unsubscribe { sid: b"1", max: None }));
        check(b"UNSUB\r\n", Err(ParseError::UnknownOperation));
        check(b"UNSUB 1 2 3\r\n", Err(ParseError::Arguments("UNSUB")));
    }

    #[test]
    fn short_operations() {
        check(b"PING\r\n", Ok(ClientOp::Ping));
        check(b"ping whatever\n", Ok(ClientOp::Ping));
        check(b"PONG\r\n", Ok(ClientOp::Pong));
        check(b"+OK\r\n", Ok(ClientOp::Ignored));
        check(b"INFO {}\r\n", Ok(ClientOp::Ignored));
        check(b"INFO {\r\n", Err(ParseError::Arguments("INFO")));
        check(b"-ERR 'oops'\r\n", Err(ParseError::ClientError));
        check(b"CONNECT {\"verbose\":false}\r\n", Ok(ClientOp::Connect(b"{\"verbose\":false}")));
        check(b"RS+ foo\r\n", Err(ParseError::UnknownOperation));
        check(b"GET / HTTP/1.1\r\n", Err(ParseError::UnknownOperation));
        check(b"\r\n", Err(ParseError::UnknownOperation));
    }

    #[test]
    fn a_beginning_is_judged_by_its_first_wrong_byte() {
        let incomplete = |buffer: &[u8]| {
            assert!(matches!(parse(buffer, &LIMITS), Ok(Step::Incomplete { .. })), "{buffer:?}");
        };
        for end in 1..7 {
            incomplete(&b"CONNECT"[..end]);
        }
        incomplete(b"");
        incomplete(b"U");
        incomplete(b"PUB foo 5\r\nhell");
        incomplete(b"PUB foo 5\r\nhello\r");
        check(b"X", Err(ParseError::UnknownOperation));
        check(b"PUX", Err(ParseError::UnknownOperation));
    }

    #[test]
    fn control_lines_have_a_limit() {
        let line =
            |length: usize, end: &str| format!("SUB {}{end}", "a".repeat(length)).into_bytes();
        let too_long = Err(ParseError::ControlLineTooLong(64));
        // One argument is too few, but it is not too long.
        check(&line(64, "\r\n"), Err(ParseError::Arguments("SUB")));
        check(&line(64, "\n"), Err(ParseError::Arguments("SUB")));
        check(&line(65, "\r\n"), too_long);
        check(&line(65, "\n"), too_long);
        check(&line(66, ""), too_long);
        assert_eq!(parse(&line(64, ""), &LIMITS), Ok(Step::Incomplete { needed: 69 }));
    }

    proptest! {
        #[test]
        fn the_short_way_and_the_long_way_agree(
            line in "PUB [a-z.\\x01é ]{0,20}[ \t]{0,2}[a-z0-9]{0,12}[ \t]{0,2}[0-9]{1,3}\r?\n?",
            body in "[ -~\r\n]{0,40}",
        ) {
            let buffer = [line.as_bytes(), body.as_bytes(), b"\r\n"].concat();
            prop_assert_eq!(parse(&buffer, &LIMITS), parse_any(&buffer, &LIMITS));
        }

        #[test]
        fn never_panics_and_never_consumes_more_than_there_is(buffer: Vec<u8>) {
            match parse(&buffer, &LIMITS) {
                Ok(Step::Op { consumed, .. }) => prop_assert!(consumed > 0 && consumed <= buffer.len()),
                Ok(Step::Incomplete { needed }) => prop_assert!(needed > buffer.len()),
                Err(_) => {}
            }
        }

        #[test]
        fn a_cut_operation_is_incomplete_at_every_place(
            subject in "[a-z]{1,5}(\\.[a-z*>]{1,3}){0,3}",
            reply in proptest::option::of("[a-z]{1,8}"),
            body in proptest::collection::vec(any::<u8>(), 0..32),
        ) {
            let mut whole = Vec::new();
            crate::encode::publish(&mut whole, subject.as_bytes(), reply.as_deref().map(str::as_bytes), &body);
            for cut in 0..whole.len() {
                let step = parse(&whole[..cut], &LIMITS);
                let Ok(Step::Incomplete { needed }) = step else {
                    return Err(TestCaseError::fail(format!("{step:?} at {cut}")));
                };
                prop_assert!(needed > cut && needed <= whole.len());
            }
            let framed = [&body[..], b"\r\n"].concat();
            check(&whole, Ok(publish(subject.as_bytes(), reply.as_deref().map(str::as_bytes), &framed)));
        }
    }
}
