//! What a request is answered with: a status, a kind of text, the text.

use std::io::{self, Write};

use serde::Serialize;

use super::query::Refusal;

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Pages of any site may read it: `Access-Control-Allow-Origin: *`.
    pub(super) is_for_any_origin: bool,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// JSON, indented by two spaces.
    pub(super) fn json(value: &impl Serialize) -> Self {
        Self::of_json(200, |writer| serde_json::to_writer_pretty(writer, value))
    }

    /// JSON on one line.
    pub(super) fn compact_json(status: u16, value: &impl Serialize) -> Self {
        Self::of_json(status, |writer| serde_json::to_writer(writer, value))
    }

    fn of_json(
        status: u16,
        write: impl FnOnce(&mut WithoutMarkup) -> serde_json::Result<()>,
    ) -> Self {
        let mut writer = WithoutMarkup::default();
        if let Err(error) = write(&mut writer) {
            tracing::error!("a monitoring page cannot be written as JSON: {error}");
            return Self::plain(500, "the page cannot be written as JSON");
        }
        let body = writer.json;
        Self { status, content_type: "application/json", is_for_any_origin: true, body }
    }

    /// A page for people.
    pub(super) fn html(body: String) -> Self {
        let content_type = "text/html; charset=utf-8";
        Self { status: 200, content_type, is_for_any_origin: false, body: body.into_bytes() }
    }

    /// Samples for Prometheus.
    pub(super) fn metrics(body: String) -> Self {
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Self { status: 200, content_type, is_for_any_origin: false, body: body.into_bytes() }
    }

    /// A sentence.
    pub(super) fn plain(status: u16, text: impl Into<String>) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, content_type, is_for_any_origin: false, body: text.into().into_bytes() }
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

/// JSON with those characters escaped that Go escapes although JSON does not ask for it. Outside
/// of strings JSON has none of them.
#[derive(Default)]
struct WithoutMarkup {
    json: Vec<u8>,
}

impl Write for WithoutMarkup {
    /// Takes whole characters only, which is what `serde_json` writes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2))
        {
            let (before, from) = rest.split_at(at);
            self.json.extend_from_slice(before);
            let (written, size): (&[u8], usize) = match from {
                [b'<', ..] => (b"\\u003c", 1),
                [b'>', ..] => (b"\\u003e", 1),
                [b'&', ..] => (b"\\u0026", 1),
                // The two separators of lines and paragraphs, which JavaScript had trouble with.
                [0xe2, 0x80, 0xa8, ..] => (b"\\u2028", 3),
                [0xe2, 0x80, 0xa9, ..] => (b"\\u2029", 3),
                _ => (&from[..1], 1),
            };
            self.json.extend_from_slice(written);
            rest = &from[size..];
        }
        self.json.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

    fn text(answer: Answer) -> String {
        String::from_utf8(answer.body).unwrap()
    }

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
        let page = Page {
            subject: "a.>&<b\u{2028}\u{20ac}",
            whole: 2.0,
            broken: 0.5,
            empty: [],
            nested: [1, 2],
        };
        assert_eq!(
            text(Answer::json(&page)),
            "{\n  \"subject\": \"a.\\u003e\\u0026\\u003cb\\u2028\u{20ac}\",\n  \"whole\": 2,\n  \
             \"broken\": 0.5,\n  \"empty\": [],\n  \"nested\": [\n    1,\n    2\n  ]\n}"
        );
        assert_eq!(
            text(Answer::compact_json(200, &page)),
            r#"{"subject":"a.\u003e\u0026\u003cb\u2028€","whole":2,"broken":0.5,"empty":[],"nested":[1,2]}"#
        );
    }
}
