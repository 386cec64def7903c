//! What a line looks like: `[pid] 2026/01/02 15:04:05.000000 [INF] text`, or JSON.
//!
//! Lines may repeat what a client sent. A control character is written as an escape, so that one
//! event is one line and no client paints on the operator's terminal.

use std::fmt::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};

use super::FATAL;

/// How bad it is. Trace and debug are levels of their own, as in nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub fn of(metadata: &Metadata<'_>) -> Self {
        match *metadata.level() {
            _ if metadata.target() == FATAL => Self::Fatal,
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Fatal => "FTL",
            Self::Error => "ERR",
            Self::Warn => "WRN",
            Self::Info => "INF",
            Self::Debug => "DBG",
            Self::Trace => "TRC",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The attributes of a terminal.
    fn color(self) -> &'static str {
        match self {
            Self::Fatal | Self::Error => "31",
            Self::Warn => "0;93",
            Self::Info => "32",
            Self::Debug => "36",
            Self::Trace => "33",
        }
    }
}

/// What stands around a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Text {
        has_time: bool,
        has_color: bool,
    },
    Json {
        has_time: bool,
    },
    /// Nothing: a syslog has its own frame.
    Message,
}

/// Everything that decides what a line looks like.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    frame: Frame,
    pid: u32,
    zone: TimeZone,
}

impl Shape {
    pub fn new(frame: Frame, is_utc: bool) -> Self {
        let zone = if is_utc { TimeZone::UTC } else { TimeZone::system() };
        Self { frame, pid: std::process::id(), zone }
    }

    /// The line of an event, with its end.
    pub fn write_event(&self, line: &mut dyn Write, event: &Event<'_>) -> fmt::Result {
        let level = Level::of(event.metadata());
        self.write(line, level, Timestamp::now(), &mut |visitor| event.record(visitor))
    }

    /// A line of the log's own, with its end.
    pub fn line(&self, level: Level, text: &str) -> String {
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = self.write_text(&mut line, level, Timestamp::now(), text);
        line
    }

    fn write_text(
        &self,
        line: &mut dyn Write,
        level: Level,
        now: Timestamp,
        text: &str,
    ) -> fmt::Result {
        self.write_start(line, level, now)?;
        match self.frame {
            Frame::Json { .. } => write!(line, "{}", Json(text))?,
            _ => Escaped(line).write_str(text)?,
        }
        self.write_end(line)
    }

    fn write(
        &self,
        line: &mut dyn Write,
        level: Level,
        now: Timestamp,
        record: &mut dyn FnMut(&mut dyn Visit),
    ) -> fmt::Result {
        let mut fields = Fields::default();
        record(&mut fields);
        self.write_start(line, level, now)?;
        match self.frame {
            Frame::Json { .. } => {
                write!(line, "{}", Json(&fields.message))?;
                for (name, value) in &fields.others {
                    write!(line, ",{}:{}", Json(name), value.json())?;
                }
            }
            _ => {
                let mut line = Escaped(&mut *line);
                line.write_str(&fields.message)?;
                for (name, value) in &fields.others {
                    write!(line, " {name}={}", value.text())?;
                }
            }
        }
        self.write_end(line)
    }

    fn write_start(&self, line: &mut dyn Write, level: Level, now: Timestamp) -> fmt::Result {
        match self.frame {
            Frame::Message => Ok(()),
            Frame::Text { has_time, has_color } => {
                write!(line, "[{}] ", self.pid)?;
                if has_time {
                    let time = self.zone.to_datetime(now);
                    write!(
                        line,
                        "{:04}/{:02}/{:02} {:02}:{:02}:{:02}.{:06} ",
                        time.year(),
                        time.month(),
                        time.day(),
                        time.hour(),
                        time.minute(),
                        time.second(),
                        time.subsec_nanosecond() / 1_000,
                    )?;
                }
                if has_color {
                    write!(line, "[\x1b[{}m{}\x1b[0m] ", level.color(), level.label())
                } else {
                    write!(line, "[{}] ", level.label())
                }
            }
            Frame::Json { has_time } => {
                line.write_char('{')?;
                if has_time {
                    write!(line, "\"time\":\"{}\",", rfc_3339(now, &self.zone))?;
                }
                write!(line, "\"level\":\"{}\",\"pid\":{},\"message\":", level.word(), self.pid)
            }
        }
    }

    fn write_end(&self, line: &mut dyn Write) -> fmt::Result {
        line.write_str(match self.frame {
            Frame::Json { .. } => "}\n",
            _ => "\n",
        })
    }
}

/// `2026-01-02T15:04:05.000000+01:00`, or with `Z` in UTC.
pub(super) fn rfc_3339(now: Timestamp, zone: &TimeZone) -> impl fmt::Display {
    let form = if *zone == TimeZone::UTC { "%FT%T.%6fZ" } else { "%FT%T.%6f%:z" };
    now.to_zoned(zone.clone()).strftime(form).to_string()
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

enum Value {
    /// Written as it is: a number, a boolean.
    Bare(String),
    Text(String),
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Self::Bare(text) | Self::Text(text) => text,
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Bare(text) => text.clone(),
            Self::Text(text) => Json(text).to_string(),
        }
    }
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            value.text().clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        // JSON has no infinity.
        self.add(field, if value.is_finite() { Value::Bare(text) } else { Value::Text(text) });
    }
}

/// A text as a JSON string.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

/// Passes text on, control characters as escapes.
struct Escaped<'a>(&'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let is_harmful = |character: char| character.is_control() && character != '\t';
        while let Some(at) = text.find(is_harmful) {
            let (before, from) = text.split_at(at);
            self.0.write_str(before)?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                write!(self.0, "{}", character.escape_default())?;
            }
            text = characters.as_str();
        }
        self.0.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(frame: Frame, zone: TimeZone) -> Shape {
        Shape { frame, pid: 7, zone }
    }

    /// The line of `text` at the same moment.
    #[track_caller]
    fn check(shape: &Shape, level: Level, text: &str, expected: &str) {
        let now = "2026-01-02T15:04:05.000067890Z".parse().unwrap();
        let mut line = String::new();
        shape.write_text(&mut line, level, now, text).unwrap();
        assert_eq!(line, expected);
    }

    const TEXT: Frame = Frame::Text { has_time: true, has_color: false };

    #[test]
    fn text_lines() {
        let utc = shape(TEXT, TimeZone::UTC);
        for (level, label) in [
            (Level::Info, "INF"),
            (Level::Debug, "DBG"),
            (Level::Warn, "WRN"),
            (Level::Error, "ERR"),
            (Level::Trace, "TRC"),
            (Level::Fatal, "FTL"),
        ] {
            check(&utc, level, "a b", &format!("[7] 2026/01/02 15:04:05.000067 [{label}] a b\n"));
        }
        let zone = TimeZone::fixed(jiff::tz::offset(-8));
        check(&shape(TEXT, zone), Level::Info, "x", "[7] 2026/01/02 07:04:05.000067 [INF] x\n");
        let plain = Frame::Text { has_time: false, has_color: false };
        check(&shape(plain, TimeZone::UTC), Level::Info, "x", "[7] [INF] x\n");
        check(&shape(Frame::Message, TimeZone::UTC), Level::Info, "x", "x\n");
    }

    #[test]
    fn colors() {
        let frame = Frame::Text { has_time: false, has_color: true };
        check(&shape(frame, TimeZone::UTC), Level::Info, "x", "[7] [\x1b[32mINF\x1b[0m] x\n");
        check(&shape(frame, TimeZone::UTC), Level::Warn, "x", "[7] [\x1b[0;93mWRN\x1b[0m] x\n");
    }

    #[test]
    fn json_lines() {
        let json = shape(Frame::Json { has_time: true }, TimeZone::UTC);
        check(
            &json,
            Level::Warn,
            "a \"b\"\n",
            "{\"time\":\"2026-01-02T15:04:05.000067Z\",\"level\":\"warn\",\"pid\":7,\"message\":\"a \\\"b\\\"\\n\"}\n",
        );
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let json = shape(Frame::Json { has_time: true }, zone);
        check(
            &json,
            Level::Fatal,
            "x",
            "{\"time\":\"2026-01-02T16:04:05.000067+01:00\",\"level\":\"fatal\",\"pid\":7,\"message\":\"x\"}\n",
        );
        let json = shape(Frame::Json { has_time: false }, TimeZone::UTC);
        check(&json, Level::Info, "x", "{\"level\":\"info\",\"pid\":7,\"message\":\"x\"}\n");
    }

    #[test]
    fn what_a_client_sent_stays_on_its_line() {
        let shape = shape(Frame::Message, TimeZone::UTC);
        check(
            &shape,
            Level::Info,
            "a\r\nb\x1b[2Jc\0\td\u{85}é",
            "a\\r\\nb\\u{1b}[2Jc\\u{0}\td\\u{85}é\n",
        );
    }
}
