//! The messages without a subject of their own that a consumer sends: a status line, a few
//! headers, no payload. Texts and header names are nats-server's.

use std::fmt::Write;

/// The header of a pinned client's deliveries.
pub(super) const PIN_ID_HEADER: &str = "Nats-Pin-Id";
/// The header that stands for the payload when only headers are delivered.
pub(super) const MESSAGE_SIZE_HEADER: &str = "Nats-Msg-Size";
/// The header with the sequence of the last delivery.
pub(super) const LAST_CONSUMER_HEADER: &str = "Nats-Last-Consumer";
/// The header with the stream sequence of the last delivery.
pub(super) const LAST_STREAM_HEADER: &str = "Nats-Last-Stream";

/// A status; written with [`write`](Self::write).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status<'a> {
    IdleHeartbeat { consumer: u64, stream: u64, stalled: Option<&'a str> },
    FlowControl,
    BadRequest(&'a str),
    NoMessages,
    RequestTimeout(Left),
    RequestsPending,
    BatchCompleted(Left),
    MessageTooLarge(Left),
    ConsumerDeleted,
    ServerShutdown(Left),
    PushBased,
    TooManyWaiting,
    BatchTooLarge(u64),
    ExpiresTooLate(u64),
    TooManyBytes(u64),
    WrongPin(Left),
    PinMismatch,
}

/// What a request still asks for when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Messages. Negative if it asked for so many.
    pub messages: i64,
    /// Bytes, 0 without a limit.
    pub bytes: i64,
}

impl Status<'_> {
    /// Puts the header block into `into`, in place of what is there.
    pub(super) fn write(self, into: &mut String) {
        into.clear();
        self.put(into).expect("a String takes everything");
    }

    fn put(self, into: &mut String) -> std::fmt::Result {
        into.push_str("NATS/1.0 ");
        match self {
            Self::IdleHeartbeat { consumer, stream, stalled } => {
                write!(
                    into,
                    "100 Idle Heartbeat\r\n{LAST_CONSUMER_HEADER}: {consumer}\r\n\
                     {LAST_STREAM_HEADER}: {stream}"
                )?;
                if let Some(subject) = stalled {
                    write!(into, "\r\nNats-Consumer-Stalled: {subject}")?;
                }
            }
            Self::FlowControl => into.push_str("100 FlowControl Request"),
            Self::BadRequest(reason) => write!(into, "400 Bad Request - {reason}")?,
            Self::NoMessages => into.push_str("404 No Messages"),
            Self::RequestTimeout(left) => write!(into, "408 Request Timeout{left}")?,
            Self::RequestsPending => into.push_str("408 Requests Pending"),
            Self::BatchCompleted(left) => write!(into, "409 Batch Completed{left}")?,
            Self::MessageTooLarge(left) => {
                write!(into, "409 Message Size Exceeds MaxBytes{left}")?;
            }
            Self::ConsumerDeleted => into.push_str("409 Consumer Deleted"),
            Self::ServerShutdown(left) => write!(into, "409 Server Shutdown{left}")?,
            Self::PushBased => into.push_str("409 Consumer is push based"),
            Self::TooManyWaiting => into.push_str("409 Exceeded MaxWaiting"),
            Self::BatchTooLarge(max) => write!(into, "409 Exceeded MaxRequestBatch of {max}")?,
            Self::ExpiresTooLate(max) => {
                into.push_str("409 Exceeded MaxRequestExpires of ");
                put_go_duration(into, max)?;
            }
            Self::TooManyBytes(max) => write!(into, "409 Exceeded MaxRequestMaxBytes of {max}")?,
            Self::WrongPin(left) => write!(into, "423 Nats-Wrong-Pin-Id{left}")?,
            Self::PinMismatch => into.push_str("423 Nats-Pin-Id mismatch"),
        }
        into.push_str("\r\n\r\n");
        Ok(())
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { messages, bytes } = self;
        write!(out, "\r\nNats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}")
    }
}

/// Puts a header behind those of a header block, or begins one.
pub(super) fn add_header(block: &mut Vec<u8>, name: &str, value: &[u8]) {
    if block.is_empty() {
        block.extend_from_slice(b"NATS/1.0\r\n");
    } else if block.ends_with(b"\r\n") {
        block.truncate(block.len() - 2);
    }
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n\r\n");
}

/// The value of a header, without the spaces around it.
pub(super) fn header<'a>(block: &'a [u8], name: &str) -> Option<&'a [u8]> {
    block.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        Some(value.trim_ascii())
    })
}

/// A duration as Go prints it: `1.5s`, `300ms`, `1h0m0s`.
fn put_go_duration(into: &mut String, nanoseconds: u64) -> std::fmt::Result {
    let fraction = |into: &mut String, value: u64, unit: u64, name: &str| {
        write!(into, "{}", value / unit)?;
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", value % unit);
        let rest = rest.trim_end_matches('0');
        if unit > 1 && !rest.is_empty() {
            write!(into, ".{rest}")?;
        }
        into.push_str(name);
        Ok(())
    };
    const SECOND: u64 = 1_000_000_000;
    match nanoseconds {
        0 => into.push_str("0s"),
        1..1_000 => return fraction(into, nanoseconds, 1, "ns"),
        1_000..1_000_000 => return fraction(into, nanoseconds, 1_000, "\u{b5}s"),
        1_000_000..SECOND => return fraction(into, nanoseconds, 1_000_000, "ms"),
        _ => {
            let minutes = nanoseconds / (60 * SECOND);
            if minutes >= 60 {
                write!(into, "{}h", minutes / 60)?;
            }
            if minutes > 0 {
                write!(into, "{}m", minutes % 60)?;
            }
            return fraction(into, nanoseconds % (60 * SECOND), SECOND, "s");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_exact() {
        let check = |status: Status<'_>, expected: &str| {
            let mut text = String::from("what was there");
            status.write(&mut text);
            assert_eq!(text, format!("NATS/1.0 {expected}\r\n\r\n"));
        };
        let left = Left { messages: 5, bytes: 120 };
        let lines = "\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 120";
        check(
            Status::IdleHeartbeat { consumer: 6, stream: 7, stalled: None },
            "100 Idle Heartbeat\r\nNats-Last-Consumer: 6\r\nNats-Last-Stream: 7",
        );
        check(
            Status::IdleHeartbeat { consumer: 6, stream: 7, stalled: Some("$JS.FC.S.c.abcd") },
            "100 Idle Heartbeat\r\nNats-Last-Consumer: 6\r\nNats-Last-Stream: 7\r\n\
             Nats-Consumer-Stalled: $JS.FC.S.c.abcd",
        );
        check(Status::FlowControl, "100 FlowControl Request");
        check(Status::BadRequest("it is bad"), "400 Bad Request - it is bad");
        check(Status::NoMessages, "404 No Messages");
        check(Status::RequestTimeout(left), &format!("408 Request Timeout{lines}"));
        check(Status::RequestsPending, "408 Requests Pending");
        check(Status::BatchCompleted(left), &format!("409 Batch Completed{lines}"));
        check(Status::MessageTooLarge(left), &format!("409 Message Size Exceeds MaxBytes{lines}"));
        check(Status::ConsumerDeleted, "409 Consumer Deleted");
        check(Status::ServerShutdown(left), &format!("409 Server Shutdown{lines}"));
        check(Status::PushBased, "409 Consumer is push based");
        check(Status::TooManyWaiting, "409 Exceeded MaxWaiting");
        check(Status::BatchTooLarge(3), "409 Exceeded MaxRequestBatch of 3");
        check(Status::ExpiresTooLate(1_500_000_000), "409 Exceeded MaxRequestExpires of 1.5s");
        check(Status::TooManyBytes(1000), "409 Exceeded MaxRequestMaxBytes of 1000");
        check(Status::WrongPin(left), &format!("423 Nats-Wrong-Pin-Id{lines}"));
        check(Status::PinMismatch, "423 Nats-Pin-Id mismatch");
    }

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (300_000_000, "300ms"),
            (1_000_000_000, "1s"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            let mut text = String::new();
            put_go_duration(&mut text, nanoseconds).expect("a String takes everything");
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn headers_are_added_and_found() {
        let mut block = Vec::new();
        add_header(&mut block, "A", b"1");
        add_header(&mut block, "Nats-Msg-Size", b"12");
        assert_eq!(block, b"NATS/1.0\r\nA: 1\r\nNats-Msg-Size: 12\r\n\r\n");
        assert_eq!(header(&block, "Nats-Msg-Size"), Some(&b"12"[..]));
        assert_eq!(header(&block, "Nats-Msg"), None);
        assert_eq!(header(&block, "nats-msg-size"), None, "letter case counts");
    }
}
