//! What a request is answered with: a status, a kind of text, the text.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::query::Refusal;

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Pages of any site may read it: `Access-Control-Allow-Origin: *`.
    pub(super) is_for_any_origin: bool,
    pub(super) body: String,
}

impl Answer {
    /// JSON, indented by two spaces.
    pub(super) fn json(value: &impl Serialize) -> Self {
        let mut bytes = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::new());
        let done = value.serialize(&mut serializer);
        Self::of_json(200, done.map(|()| bytes))
    }

    /// JSON on one line.
    pub(super) fn compact_json(status: u16, value: &impl Serialize) -> Self {
        Self::of_json(status, serde_json::to_vec(value))
    }

    fn of_json(status: u16, json: serde_json::Result<Vec<u8>>) -> Self {
        match json.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
            Ok(body) => Self {
                status,
                content_type: "application/json",
                is_for_any_origin: true,
                body: without_markup(body),
            },
            Err(error) => {
                tracing::error!("a monitoring page cannot be written as JSON: {error}");
                Self::plain(500, "the page cannot be written as JSON")
            }
        }
    }

    /// A page for people.
    pub(super) fn html(body: String) -> Self {
        let content_type = "text/html; charset=utf-8";
        Self { status: 200, content_type, is_for_any_origin: false, body }
    }

    /// Samples for Prometheus.
    pub(super) fn metrics(body: String) -> Self {
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Self { status: 200, content_type, is_for_any_origin: false, body }
    }

    /// A sentence.
    pub(super) fn plain(status: u16, text: impl Into<String>) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, content_type, is_for_any_origin: false, body: text.into() }
    }

    /// There is no such page.
    pub(super) fn not_found() -> Self {
        Self::plain(404, "404 page not found\n")
    }
}

impl From<Refusal> for Answer {
    fn from(Refusal(text): Refusal) -> Self {
        Self::plain(400, text)
    }
}

/// Escapes what Go escapes in JSON although JSON does not ask for it. Outside of strings JSON has
/// none of these characters.
fn without_markup(json: String) -> String {
    const ESCAPES: [(char, &str); 5] = [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    let is_escaped = |letter: char| ESCAPES.iter().any(|(escaped, _)| *escaped == letter);
    if !json.contains(is_escaped) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + json.len() / 16);
    let mut rest = json.as_str();
    while let Some(at) = rest.find(is_escaped) {
        let (before, from) = rest.split_at(at);
        escaped.push_str(before);
        for (letter, escape) in ESCAPES {
            if let Some(after) = from.strip_prefix(letter) {
                escaped.push_str(escape);
                rest = after;
            }
        }
    }
    escaped.push_str(rest);
    escaped
}

/// Writes a number as Go does: without a point when it is whole.
pub(super) fn go_float<S: serde::Serializer>(
    value: &f64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    /// Up to here every whole number has a float of its own.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and fits")]
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// Whether a number is left out of JSON.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_as_go_writes_it() {
        #[derive(Serialize)]
        struct Page {
            subject: &'static str,
            #[serde(serialize_with = "go_float")]
            whole: f64,
            #[serde(serialize_with = "go_float")]
            broken: f64,
            empty: [u8; 0],
            nested: [u8; 2],
        }
        let page =
            Page { subject: "a.>&<b\u{2028}", whole: 2.0, broken: 0.5, empty: [], nested: [1, 2] };
        assert_eq!(
            Answer::json(&page).body,
            "{\n  \"subject\": \"a.\\u003e\\u0026\\u003cb\\u2028\",\n  \"whole\": 2,\n  \
             \"broken\": 0.5,\n  \"empty\": [],\n  \"nested\": [\n    1,\n    2\n  ]\n}"
        );
        assert_eq!(
            Answer::compact_json(200, &page).body,
            r#"{"subject":"a.\u003e\u0026\u003cb\u2028","whole":2,"broken":0.5,"empty":[],"nested":[1,2]}"#
        );
    }
}
