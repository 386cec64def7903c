//! What a publisher asks of a stream in headers, read in one pass.
//!
//! It finds the headers and refuses to judge them: what they mean, and in which order they are
//! checked, is the stream's business. Names are matched by case, as nats-server does.

use fulmar_protocol::headers::Headers;

/// The headers of a message that mean something to a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishHeaders<'a> {
    /// `Nats-Msg-Id`: the same again within the window is a duplicate.
    pub message_id: Option<&'a [u8]>,
    /// `Nats-Expected-Stream`.
    pub expected_stream: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Sequence`.
    pub expected_last_sequence: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Subject-Sequence`.
    pub expected_last_subject_sequence: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Subject-Sequence-Subject`.
    pub expected_last_subject_sequence_subject: Option<&'a [u8]>,
    /// `Nats-Expected-Last-Msg-Id`.
    pub expected_last_message_id: Option<&'a [u8]>,
    /// `Nats-Rollup`.
    pub rollup: Option<&'a [u8]>,
    /// `Nats-TTL`.
    pub ttl: Option<&'a [u8]>,
    /// `Nats-Incr`.
    pub increment: Option<&'a [u8]>,
    /// `Nats-Stream-Source`.
    pub stream_source: Option<&'a [u8]>,
    /// `Nats-Schedule`.
    pub schedule: Option<&'a [u8]>,
    /// `Nats-Schedule-Target`.
    pub schedule_target: Option<&'a [u8]>,
    /// `Nats-Schedule-Source`.
    pub schedule_source: Option<&'a [u8]>,
    /// `Nats-Schedule-TTL`.
    pub schedule_ttl: Option<&'a [u8]>,
    /// `Nats-Schedule-Time-Zone`.
    pub schedule_time_zone: Option<&'a [u8]>,
    /// `Nats-Schedule-Rollup`.
    pub schedule_rollup: Option<&'a [u8]>,
    /// `Nats-Scheduler`.
    pub scheduler: Option<&'a [u8]>,
    /// `Nats-Schedule-Next`.
    pub schedule_next: Option<&'a [u8]>,
    /// `Nats-Batch-Id`.
    pub batch_id: Option<&'a [u8]>,
    /// `Nats-Batch-Sequence`.
    pub batch_sequence: Option<&'a [u8]>,
    /// `Nats-Batch-Commit`.
    pub batch_commit: Option<&'a [u8]>,
    /// `Nats-Required-Api-Level`.
    pub required_api_level: Option<&'a [u8]>,
}

impl<'a> PublishHeaders<'a> {
    /// Reads a header block; of a header that is there twice, the first counts.
    pub fn read(block: &'a [u8]) -> Self {
        let mut found = Self::default();
        if block.is_empty() {
            return found;
        }
        for (name, value) in Headers::new(block).iter() {
            let Some(name) = name.strip_prefix(b"Nats-") else { continue };
            let place = match name {
                b"Msg-Id" => &mut found.message_id,
                b"Expected-Stream" => &mut found.expected_stream,
                b"Expected-Last-Sequence" => &mut found.expected_last_sequence,
                b"Expected-Last-Subject-Sequence" => &mut found.expected_last_subject_sequence,
                b"Expected-Last-Subject-Sequence-Subject" => {
                    &mut found.expected_last_subject_sequence_subject
                }
                b"Expected-Last-Msg-Id" => &mut found.expected_last_message_id,
                b"Rollup" => &mut found.rollup,
                b"TTL" => &mut found.ttl,
                b"Incr" => &mut found.increment,
                b"Stream-Source" => &mut found.stream_source,
                b"Schedule" => &mut found.schedule,
                b"Schedule-Target" => &mut found.schedule_target,
                b"Schedule-Source" => &mut found.schedule_source,
                b"Schedule-TTL" => &mut found.schedule_ttl,
                b"Schedule-Time-Zone" => &mut found.schedule_time_zone,
                b"Schedule-Rollup" => &mut found.schedule_rollup,
                b"Scheduler" => &mut found.scheduler,
                b"Schedule-Next" => &mut found.schedule_next,
                b"Batch-Id" => &mut found.batch_id,
                b"Batch-Sequence" => &mut found.batch_sequence,
                b"Batch-Commit" => &mut found.batch_commit,
                b"Required-Api-Level" => &mut found.required_api_level,
                _ => continue,
            };
            if place.is_none() && !value.is_empty() {
                *place = Some(value);
            }
        }
        found
    }

    /// Whether there is any of the headers that schedules have.
    pub fn is_about_schedules(&self) -> bool {
        self.schedule.is_some()
            || self.schedule_time_zone.is_some()
            || self.scheduler.is_some()
            || self.schedule_next.is_some()
    }
}

/// A number of plain digits, as nats-server reads it. `None`: anything else.
pub fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_by_their_exact_names() {
        let block = b"NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Msg-Id: b\r\nnats-ttl: 1\r\n\
            Nats-Expected-Last-Sequence: 7\r\nX: y\r\n\r\n";
        let found = PublishHeaders::read(block);
        assert_eq!(found.message_id, Some(&b"a"[..]));
        assert_eq!(found.expected_last_sequence.and_then(number), Some(7));
        assert!(found.ttl.is_none() && found.rollup.is_none());
        assert!(PublishHeaders::read(b"").message_id.is_none());
    }

    #[test]
    fn numbers() {
        for (text, expected) in
            [("0", Some(0)), ("12", Some(12)), ("", None), ("-1", None), ("1x", None), ("+1", None)]
        {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(number(b"99999999999999999999999"), None);
    }
}
