//! The texts of `-ERR`. Clients compare them, so case and punctuation are part of the protocol.
//!
//! Source: nats-server 2.15, observed on the wire.

/// A byte or an operation the parser does not know. Closes.
pub const UNKNOWN_OPERATION: &str = "Unknown Protocol Operation";
/// Credentials are wrong, or an operation came before CONNECT where they are needed. Closes.
pub const AUTHORIZATION_VIOLATION: &str = "Authorization Violation";
/// No CONNECT in time. Closes.
pub const AUTHENTICATION_TIMEOUT: &str = "Authentication Timeout";
/// A message is larger than `max_payload`. Closes.
pub const PAYLOAD_VIOLATION: &str = "Maximum Payload Violation";
/// A protocol line is longer than `max_control_line`. Closes.
pub const CONTROL_LINE_EXCEEDED: &str = "maximum control line exceeded";
/// The server has as many connections as it may. Closes.
pub const CONNECTIONS_EXCEEDED: &str = "maximum connections exceeded";
/// The connection has as many subscriptions as it may. Does not close.
pub const SUBSCRIPTIONS_EXCEEDED: &str = "maximum subscriptions exceeded";
/// A subject published to is malformed; only pedantic connections hear of it. Does not close.
pub const INVALID_PUBLISH_SUBJECT: &str = "Invalid Publish Subject";
/// A subject subscribed to is malformed. Does not close.
pub const INVALID_SUBJECT: &str = "Invalid Subject";
/// PINGs stayed unanswered. Closes.
pub const STALE_CONNECTION: &str = "Stale Connection";
/// CONNECT's `protocol` is neither 0 nor 1. Closes.
pub const INVALID_CLIENT_PROTOCOL: &str = "invalid client protocol";
/// CONNECT asks for no-responders without headers. Closes.
pub const NO_RESPONDERS_NEEDS_HEADERS: &str = "no responders requires headers support";

/// The text for a publish that the permissions, or a reserved subject, forbid.
pub fn publish_violation(subject: &[u8]) -> String {
    format!("Permissions Violation for Publish to \"{}\"", String::from_utf8_lossy(subject))
}

/// The text for a reply subject that the permissions, or a reserved subject, forbid.
pub fn reply_violation(reply: &[u8]) -> String {
    format!(
        "Permissions Violation for Publish with Reply of \"{}\"",
        String::from_utf8_lossy(reply)
    )
}

/// The text for a subscription that the permissions, or a reserved queue name, forbid.
pub fn subscription_violation(subject: &[u8], queue: Option<&[u8]>) -> String {
    let subject = String::from_utf8_lossy(subject);
    match queue {
        None => format!("Permissions Violation for Subscription to \"{subject}\""),
        Some(queue) => format!(
            "Permissions Violation for Subscription to \"{subject}\" using queue \"{}\"",
            String::from_utf8_lossy(queue)
        ),
    }
}

/// The text for a subscription whose subject has more tokens than `max_sub_tokens`.
pub fn too_many_tokens(subject: &[u8]) -> String {
    format!(
        "Permissions Violation for Subscription to \"{}\", too many tokens",
        String::from_utf8_lossy(subject)
    )
}
