//! A received message.

use bytes::Bytes;
use fulmar_protocol::headers::Headers;
use fulmar_protocol::server_op;

use crate::{HeaderMap, StatusCode, Subject};

/// A message that a server delivered.
///
/// Payload and long subjects are slices of the memory the client read into, up to 64 KiB that
/// messages which came together share. Copy what you keep for long: one small payload keeps all
/// of it.
#[derive(Clone, Debug)]
pub struct Message {
    /// The subject it was published to.
    pub subject: Subject,
    /// Where an answer is wanted.
    pub reply: Option<Subject>,
    /// What was published.
    pub payload: Bytes,
    /// The headers; `None` when the message has no header block.
    pub headers: Option<HeaderMap>,
    /// The status, when a server generated the message.
    pub status: Option<StatusCode>,
    /// What the server says to the status.
    pub description: Option<String>,
    /// Bytes of subject, reply, headers and payload together.
    pub length: usize,
}

impl Message {
    /// The message that was parsed from `slab`.
    pub(crate) fn received(slab: &Bytes, parsed: &server_op::Message<'_>) -> Self {
        let mut message = Self {
            subject: Subject::received(slab, parsed.subject),
            reply: parsed.reply.map(|reply| Subject::received(slab, reply)),
            payload: slab.slice_ref(parsed.payload),
            headers: None,
            status: None,
            description: None,
            length: parsed.subject.len()
                + parsed.reply.map_or(0, <[u8]>::len)
                + parsed.headers.len()
                + parsed.payload.len(),
        };
        if !parsed.headers.is_empty() {
            message.read_headers(slab.slice_ref(parsed.headers));
        }
        message
    }

    #[cold]
    fn read_headers(&mut self, block: Bytes) {
        if let Some((code, description)) = Headers::new(&block).status() {
            self.status = Some(StatusCode::from(code));
            if !description.is_empty() {
                self.description = Some(String::from_utf8_lossy(description).into_owned());
            }
        }
        self.headers = Some(HeaderMap::received(block));
    }

    /// Whether this is a server's word that nobody listens to the subject of a request.
    pub(crate) fn is_no_responders(&self) -> bool {
        self.status == Some(StatusCode::NO_RESPONDERS) && self.payload.is_empty()
    }
}
