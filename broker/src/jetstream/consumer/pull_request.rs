//! A pull request as the state machine wants it. How it is written is `request`'s business.

use crate::jetstream::request;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PullRequest {
    /// Messages. Less than one is one, but is reported as it was written.
    pub batch: i64,
    /// Bytes, 0 without a limit.
    pub bytes_max: i64,
    /// How long it waits, nothing for ever.
    pub expires_ns: Option<i64>,
    /// Ends when there is nothing to deliver at once.
    pub no_wait: bool,
    /// After so long without a message an empty one is sent, 0 never.
    pub heartbeat_ns: u64,
    /// What only a JSON request can say.
    pub priority: Option<Priority>,
}

/// Which other requests go before, and who may be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Priority {
    pub group: String,
    pub min_pending: i64,
    pub min_ack_pending: i64,
    pub id: String,
    /// 0 to 9 once it is checked.
    pub priority: i64,
}

impl PullRequest {
    /// Reads a body; an error is the sentence behind `400 Bad Request - `.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let asked = request::PullRequest::parse(body)?;
        Ok(Self {
            batch: asked.batch,
            bytes_max: asked.max_bytes,
            expires_ns: (asked.expires_ns != 0).then_some(asked.expires_ns),
            no_wait: asked.no_wait,
            heartbeat_ns: u64::try_from(asked.idle_heartbeat_ns).unwrap_or(0),
            priority: asked.priority.map(|priority| Priority {
                group: priority.group,
                min_pending: priority.min_pending,
                min_ack_pending: priority.min_ack_pending,
                id: priority.id,
                priority: priority.priority,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let batch = |body: &str| PullRequest::parse(body.as_bytes()).map(|request| request.batch);
        assert_eq!(batch(""), Ok(1));
        assert_eq!(batch("  \r\n"), Ok(1));
        assert_eq!(batch("12"), Ok(12));
        assert_eq!(batch("-3"), Ok(-3));
        assert_eq!(batch("many"), Ok(1), "what is no number is one");
        assert_eq!(batch("{}"), Ok(0));
        assert_eq!(batch("{\"batch\":7,\"unknown\":[1]}"), Ok(7));
        let all = br#"{"batch":5,"expires":100,"no_wait":true,"max_bytes":9,"idle_heartbeat":50,
            "group":"A","min_pending":1,"min_ack_pending":2,"id":"x","priority":3}"#;
        assert_eq!(
            PullRequest::parse(all),
            Ok(PullRequest {
                batch: 5,
                bytes_max: 9,
                expires_ns: Some(100),
                no_wait: true,
                heartbeat_ns: 50,
                priority: Some(Priority {
                    group: "A".into(),
                    min_pending: 1,
                    min_ack_pending: 2,
                    id: "x".into(),
                    priority: 3
                }),
            })
        );
    }
}
