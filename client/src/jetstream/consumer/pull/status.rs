//! What a server says instead of a message, to somebody who asked for messages.

use crate::jetstream::header;
use crate::{Message, StatusCode};

/// What a server says instead of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// A sign of life.
    Heartbeat,
    /// The request has ended as requests do; so many messages and bytes of it did not come.
    Ended(Ended),
    /// The request has ended, and others should too: the server that decides is another.
    Moved,
    /// Somebody else is pinned.
    WrongPin,
    /// Nobody listens to pull requests.
    NoResponders,
    /// There is no such consumer any more.
    ConsumerDeleted,
    /// The request is one that the server does not serve.
    Refused(String),
}

/// What did not come of a request that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// `None` when the server does not say: whatever it was.
    pub(crate) messages: Option<usize>,
    pub(crate) bytes: usize,
    /// The next message is larger than the bytes that were left.
    pub(crate) too_large: bool,
}

impl Status {
    /// What `message`, which has the status `code`, says.
    pub(crate) fn of(code: StatusCode, message: &Message) -> Self {
        let description = message.description.as_deref().unwrap_or_default();
        let number = |name| {
            let text = message.headers.as_ref()?.get(name)?;
            text.parse::<usize>().ok()
        };
        let ended = || Ended {
            messages: number(header::PENDING_MESSAGES),
            bytes: number(header::PENDING_BYTES).unwrap_or(0),
            too_large: false,
        };
        // Texts are compared without regard to case, as other clients do.
        let is = |text: &str| description.eq_ignore_ascii_case(text);
        let begins = |text: &str| {
            description.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text))
        };
        match code.as_u16() {
            100 => Self::Heartbeat,
            404 | 408 => Self::Ended(ended()),
            409 if is("Consumer Deleted") => Self::ConsumerDeleted,
            409 if is("Leadership Change") || is("Server Shutdown") => Self::Moved,
            409 if is("Batch Completed") => Self::Ended(ended()),
            409 if is("Message Size Exceeds MaxBytes") => {
                Self::Ended(Ended { too_large: true, ..ended() })
            }
            // It comes only when there is no heartbeat, which says the same by its absence.
            409 if begins("Exceeded MaxWaiting") => Self::Moved,
            423 => Self::WrongPin,
            503 => Self::NoResponders,
            number => Self::Refused(format!("{number} {description}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{HeaderMap, Subject};

    #[test]
    fn what_servers_say() {
        let check = |code: u16, description: &str, headers: &str, expected: Status| {
            let block = format!("NATS/1.0\r\n{headers}\r\n");
            let message = Message {
                subject: Subject::from("inbox"),
                reply: None,
                payload: Bytes::new(),
                headers: Some(HeaderMap::received(block.into())),
                status: Some(code.into()),
                description: (!description.is_empty()).then(|| description.to_owned()),
                length: 0,
            };
            assert_eq!(Status::of(code.into(), &message), expected, "{code} {description}");
        };
        let pending = "Nats-Pending-Messages: 3\r\nNats-Pending-Bytes: 40\r\n";
        let ended = Ended { messages: Some(3), bytes: 40, too_large: false };
        check(100, "Idle Heartbeat", "", Status::Heartbeat);
        check(404, "No Messages", "", Status::Ended(Ended::default()));
        check(408, "Request Timeout", pending, Status::Ended(ended));
        check(409, "Batch Completed", pending, Status::Ended(ended));
        let too_large = Ended { too_large: true, ..ended };
        check(409, "Message Size Exceeds MaxBytes", pending, Status::Ended(too_large));
        check(409, "Consumer Deleted", "", Status::ConsumerDeleted);
        check(409, "Leadership Change", "", Status::Moved);
        check(409, "Server Shutdown", pending, Status::Moved);
        check(423, "Nats-Pin-Id mismatch", "", Status::WrongPin);
        check(503, "", "", Status::NoResponders);
        let text = "409 Consumer is push based".to_owned();
        check(409, "Consumer is push based", "", Status::Refused(text));
        let text = "400 Bad Request - heartbeat value too large".to_owned();
        check(400, "Bad Request - heartbeat value too large", "", Status::Refused(text));
    }
}
