//! A pull request as it is written: nothing, a number, or JSON.
//!
//! Fields nobody knows are ignored, whatever the strictness of the rest of the API. Sentences
//! about wrong types are nats-server's, which are Go's; about broken syntax they say where.

use serde_json::Value;

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
        let body = body.trim_ascii();
        let plain = |batch| Self {
            batch,
            bytes_max: 0,
            expires_ns: None,
            no_wait: false,
            heartbeat_ns: 0,
            priority: None,
        };
        if body.first() == Some(&b'{') {
            return Self::parse_json(body);
        }
        let number = std::str::from_utf8(body).ok().and_then(|text| text.parse::<i64>().ok());
        Ok(plain(number.unwrap_or(1)))
    }

    fn parse_json(body: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let integer = |name: &str, kind: &str| match &value[name] {
            Value::Null => Ok(0),
            Value::Number(number) => {
                number.as_i64().ok_or_else(|| wrong_type(&format!("number {number}"), name, kind))
            }
            other => Err(wrong_type(kind_of(other), name, kind)),
        };
        let text = |name: &str| match &value[name] {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            other => Err(wrong_type(kind_of(other), name, "string")),
        };
        let no_wait = match &value["no_wait"] {
            Value::Null => false,
            Value::Bool(value) => *value,
            other => return Err(wrong_type(kind_of(other), "no_wait", "bool")),
        };
        let expires = integer("expires", "time.Duration")?;
        let heartbeat = integer("idle_heartbeat", "time.Duration")?;
        let request = Self {
            batch: integer("batch", "int")?,
            bytes_max: integer("max_bytes", "int")?,
            expires_ns: (expires != 0).then_some(expires),
            no_wait,
            heartbeat_ns: u64::try_from(heartbeat).unwrap_or(0),
            priority: Some(Priority {
                group: text("group")?,
                min_pending: integer("min_pending", "int64")?,
                min_ack_pending: integer("min_ack_pending", "int64")?,
                id: text("id")?,
                priority: integer("priority", "int")?,
            }),
        };
        if heartbeat > 0 && heartbeat.saturating_mul(2) > expires {
            return Err("heartbeat value too large".to_owned());
        }
        Ok(request)
    }
}

fn wrong_type(found: &str, field: &str, kind: &str) -> String {
    format!("json: cannot unmarshal {found} into Go struct field .{field} of type {kind}")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
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

    #[test]
    fn what_is_wrong_is_said() {
        let check = |body: &str, expected: &str| {
            assert_eq!(PullRequest::parse(body.as_bytes()), Err(expected.to_owned()), "{body}");
        };
        check(
            "{\"batch\":\"x\"}",
            "json: cannot unmarshal string into Go struct field .batch of type int",
        );
        check(
            "{\"expires\":1.5}",
            "json: cannot unmarshal number 1.5 into Go struct field .expires of type time.Duration",
        );
        check(
            "{\"no_wait\":1}",
            "json: cannot unmarshal number into Go struct field .no_wait of type bool",
        );
        check("{\"batch\":1,\"expires\":100,\"idle_heartbeat\":51}", "heartbeat value too large");
        check("{\"batch\":1,\"idle_heartbeat\":1}", "heartbeat value too large");
        assert!(PullRequest::parse(b"{x").is_err());
    }
}
