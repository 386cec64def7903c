//! The protocol in the log: `<<-` is what a client sent, `->>` what it is sent.

use fulmar_protocol::client_op::{ClientOp, Publish};

use super::Reactor;
use crate::config::LogOptions;
use crate::mesh::mail::Message;

impl Reactor {
    /// Logs an operation of the client at `slot`.
    pub(super) fn trace_operation(&self, slot: u32, op: &ClientOp<'_>) {
        let label = self.label(slot);
        match op {
            ClientOp::Publish(publish) => self.trace_publish(&label, publish),
            ClientOp::Connect(json) => {
                tracing::trace!("{label} - <<- [CONNECT {}]", without_secrets(json))
            }
            ClientOp::Subscribe { subject, queue, sid } => tracing::trace!(
                "{label} - <<- [SUB {} {}{}]",
                text(subject),
                word(*queue),
                text(sid)
            ),
            ClientOp::Unsubscribe { sid, max } => tracing::trace!(
                "{label} - <<- [UNSUB {}{}]",
                text(sid),
                max.map_or(String::new(), |max| format!(" {max}"))
            ),
            ClientOp::Ping => tracing::trace!("{label} - <<- [PING]"),
            ClientOp::Pong => tracing::trace!("{label} - <<- [PONG]"),
            ClientOp::Ignored => {}
        }
    }

    /// Logs something that is not a message and goes to the client at `slot`.
    pub(super) fn trace_answer(&self, slot: u32, answer: &str) {
        tracing::trace!("{} - ->> [{answer}]", self.label(slot));
    }

    fn trace_publish(&self, label: &str, publish: &Publish<'_>) {
        let (subject, reply) = (text(publish.subject), word(publish.reply));
        let (header_size, size) = (publish.headers.len(), publish.body().len());
        if header_size > 0 {
            tracing::trace!("{label} - <<- [HPUB {subject} {reply}{header_size} {size}]");
        } else {
            tracing::trace!("{label} - <<- [PUB {subject} {reply}{size}]");
        }
        let payload = payload(&self.live.options.log, publish.headers, publish.body());
        tracing::trace!("{label} - <<- MSG_PAYLOAD: [{payload}]");
    }
}

/// Logs a delivery to the client called `label`, on its subscription `sid`.
pub(super) fn trace_delivery(
    label: &str,
    sid: &[u8],
    message: &Message<'_>,
    with_headers: bool,
    log: &LogOptions,
) {
    let (subject, sid, reply) = (text(message.subject), text(sid), word(message.reply));
    let body = &message.framed[..message.body_size()];
    let (headers, body) = if with_headers {
        (&body[..message.header_size], body)
    } else {
        (&[][..], &body[message.header_size..])
    };
    let size = body.len();
    if headers.is_empty() {
        tracing::trace!("{label} - ->> [MSG {subject} {sid} {reply}{size}]");
    } else {
        tracing::trace!("{label} - ->> [HMSG {subject} {sid} {reply}{} {size}]", headers.len());
    }
    tracing::trace!("{label} - ->> MSG_PAYLOAD: [{}]", payload(log, headers, body));
}

/// A payload in quotes, cut to what the log may show of it.
fn payload(log: &LogOptions, headers: &[u8], body: &[u8]) -> String {
    let body = if log.trace_headers { headers } else { body };
    match log.traced_message_bytes_max {
        Some(max) if max < body.len() => format!("{:?}", text(&body[..max]) + "..."),
        _ => format!("{:?}", text(body)),
    }
}

/// A CONNECT as a log may show it.
fn without_secrets(json: &[u8]) -> String {
    const SECRETS: [&str; 4] = ["pass", "auth_token", "jwt", "sig"];
    let text = text(json);
    if !SECRETS.iter().any(|name| text.contains(name)) {
        return text;
    }
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(json) else {
        return "[REDACTED]".to_owned();
    };
    for name in SECRETS {
        if let Some(value) = fields.get_mut(name) {
            *value = "[REDACTED]".into();
        }
    }
    serde_json::Value::Object(fields).to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An optional word of a line, with the blank behind it.
fn word(bytes: Option<&[u8]>) -> String {
    bytes.map_or(String::new(), |bytes| format!("{} ", text(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let check =
            |json: &str, expected: &str| assert_eq!(without_secrets(json.as_bytes()), expected);
        check(r#"{"verbose":false}"#, r#"{"verbose":false}"#);
        check(r#"{"pass":"s3cret","user":"ana"}"#, r#"{"pass":"[REDACTED]","user":"ana"}"#);
        check(r#"{"auth_token":"s3cret"}"#, r#"{"auth_token":"[REDACTED]"}"#);
        check(r#"{"pass":"s3cret""#, "[REDACTED]");
    }
}
