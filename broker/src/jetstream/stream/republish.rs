//! Publishing again what a stream stored, when it may be shown.
//!
//! What it then looks like is in [`crate::jetstream::republish`]. It happens before limits look at
//! the messages, so that one which is the last of its subject for a moment only is there to be
//! read.

use fulmar_storage::Filters;

use super::Stream;
use super::in_flight::Entry;
use crate::jetstream::post::{NO_CONSUMER, Outgoing, Post};
use crate::jetstream::republish::{Republish, StoredMessage};
use crate::jetstream::stream_config::StreamConfig;

/// What a configuration says is published again. `None`: nothing.
pub(super) fn of_config(config: &StreamConfig) -> Option<Republish> {
    let republish = config.republish.as_ref()?;
    Republish::new(&republish.source, &republish.destination, republish.headers_only).ok()
}

impl Stream {
    /// Publishes a message again that may be shown from now on.
    pub(super) fn publish_again(&self, republish: &Republish, entry: &Entry<'_>, post: &mut Post) {
        let random = post.random();
        let Some(subject) = republish.subject_for(entry.subject, random) else { return };
        // If it was deleted in between, nobody can look up what would be published.
        let Some(record) = self.record(entry.sequence) else { return };
        let last_sequence = Filters::parse([entry.subject])
            .ok()
            .and_then(|filters| self.store.previous_matching(&filters, entry.sequence - 1))
            .unwrap_or(0);
        let message = StoredMessage {
            stream: &self.name,
            subject: entry.subject,
            sequence: entry.sequence,
            unix_ns: record.timestamp_ns(),
            last_sequence,
            headers: record.headers(),
            payload: record.payload(),
        };
        post.send(&Outgoing {
            account: self.account,
            consumer: NO_CONSUMER,
            via: None,
            subject: &subject,
            reply: None,
            headers: &republish.headers(&message),
            payload: republish.payload(&message),
        });
    }
}
