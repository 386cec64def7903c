//! Operations as bytes, appended to a `Vec<u8>`.
//!
//! Nothing here checks: subjects and identifiers come from types or parsers that did.

/// Appends `PUB`.
pub fn publish(out: &mut Vec<u8>, subject: &[u8], reply: Option<&[u8]>, payload: &[u8]) {
    out.reserve(subject.len() + reply.map_or(0, <[u8]>::len) + payload.len() + 32);
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject);
    if let Some(reply) = reply {
        out.push(b' ');
        out.extend_from_slice(reply);
    }
    out.push(b' ');
    number(out, payload.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends `HPUB`. `headers` is a whole header block, its blank line included.
pub fn publish_with_headers(
    out: &mut Vec<u8>,
    subject: &[u8],
    reply: Option<&[u8]>,
    headers: &[u8],
    payload: &[u8],
) {
    out.reserve(subject.len() + reply.map_or(0, <[u8]>::len) + headers.len() + payload.len() + 48);
    out.extend_from_slice(b"HPUB ");
    out.extend_from_slice(subject);
    if let Some(reply) = reply {
        out.push(b' ');
        out.extend_from_slice(reply);
    }
    out.push(b' ');
    number(out, headers.len());
    out.push(b' ');
    number(out, headers.len() + payload.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends `SUB`.
pub fn subscribe(out: &mut Vec<u8>, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
    out.extend_from_slice(b"SUB ");
    out.extend_from_slice(subject);
    if let Some(queue) = queue {
        out.push(b' ');
        out.extend_from_slice(queue);
    }
    out.push(b' ');
    out.extend_from_slice(sid);
    out.extend_from_slice(b"\r\n");
}

/// Appends `UNSUB`.
pub fn unsubscribe(out: &mut Vec<u8>, sid: &[u8], max: Option<u64>) {
    out.extend_from_slice(b"UNSUB ");
    out.extend_from_slice(sid);
    if let Some(max) = max {
        out.push(b' ');
        number(out, max);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `MSG`, or `HMSG` when `header_size` is not 0. `body` is headers and payload.
pub fn message(
    out: &mut Vec<u8>,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header_size: usize,
    body: &[u8],
) {
    out.reserve(subject.len() + sid.len() + reply.map_or(0, <[u8]>::len) + body.len() + 48);
    message_head(out, subject, sid, reply, header_size, body.len());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line of `MSG` or `HMSG`, without the body of `size` bytes and its CR LF.
pub fn message_head(
    out: &mut Vec<u8>,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header_size: usize,
    size: usize,
) {
    out.extend_from_slice(if header_size == 0 { b"MSG " } else { b"HMSG " });
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    message_head_tail(out, reply, header_size, size);
}

/// Appends what follows the identifier in the line of `MSG` or `HMSG`: the part that is the
/// same for every subscriber of a message.
pub fn message_head_tail(out: &mut Vec<u8>, reply: Option<&[u8]>, header_size: usize, size: usize) {
    if let Some(reply) = reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if header_size != 0 {
        number(out, header_size);
        out.push(b' ');
    }
    number(out, size);
    out.extend_from_slice(b"\r\n");
}

/// Appends `-ERR`.
pub fn error(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

/// Appends `INFO`.
pub fn info(out: &mut Vec<u8>, info: &crate::info::Info) {
    json_line(out, b"INFO ", info);
}

/// Appends `CONNECT`.
pub fn connect(out: &mut Vec<u8>, connect: &crate::connect::Connect) {
    json_line(out, b"CONNECT ", connect);
}

/// The status a publisher hears when nobody listens: `HMSG` with a 503 and the subject.
///
/// The header block is the whole body, and the identifier that of the publisher's own
/// subscription to the reply.
pub fn no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const BEFORE: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const AFTER: &[u8] = b"\r\n\r\n";
    let size = BEFORE.len() + subject.len() + AFTER.len();
    message_head(out, reply, sid, None, size, size);
    out.extend_from_slice(BEFORE);
    out.extend_from_slice(subject);
    out.extend_from_slice(AFTER);
    out.extend_from_slice(b"\r\n");
}

fn json_line(out: &mut Vec<u8>, verb: &[u8], document: &impl serde::Serialize) {
    out.extend_from_slice(verb);
    serde_json::to_writer(&mut *out, document)
        .expect("a document of strings and numbers serialises");
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn operations() {
        check(|out| publish(out, b"a", None, b"hi"), "PUB a 2\r\nhi\r\n");
        check(|out| publish(out, b"a", Some(b"r"), b""), "PUB a r 0\r\n\r\n");
        check(
            |out| publish_with_headers(out, b"a", Some(b"r"), b"NATS/1.0\r\n\r\n", b"hi"),
            "HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        );
        check(|out| subscribe(out, b"a.>", Some(b"q"), b"7"), "SUB a.> q 7\r\n");
        check(|out| unsubscribe(out, b"7", Some(3)), "UNSUB 7 3\r\n");
        check(|out| message(out, b"a", b"7", Some(b"r"), 0, b"hi"), "MSG a 7 r 2\r\nhi\r\n");
        check(|out| message(out, b"a", b"7", None, 1, b"hi"), "HMSG a 7 1 2\r\nhi\r\n");
        check(|out| error(out, "Invalid Subject"), "-ERR 'Invalid Subject'\r\n");
        check(
            |out| no_responders(out, b"r", b"3", b"foo"),
            "HMSG r 3 35 35\r\nNATS/1.0 503\r\nNats-Subject: foo\r\n\r\n\r\n",
        );
    }
}
