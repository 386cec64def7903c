//! The texts a configuration is read from, and places in them.

use std::rc::Rc;

/// A range of bytes in one of the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) source: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A text and what it is called.
#[derive(Debug)]
pub(super) struct Source {
    /// A path as the user wrote it, or `$NAME`.
    pub name: String,
    pub text: Rc<[u8]>,
    /// Environment variables carry secrets: their text is not shown.
    pub is_shown: bool,
}

/// Every text of one configuration.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

/// Line and column of a place, counted from 1, and the line itself.
pub(super) struct Position<'a> {
    pub line: usize,
    /// In characters.
    pub column: usize,
    /// Without its line end; `None` when it must not be shown.
    pub text: Option<&'a [u8]>,
    /// Where the place starts and ends in `text`.
    pub start: usize,
    pub end: usize,
}

impl Sources {
    pub fn add(&mut self, name: String, text: Vec<u8>, is_shown: bool) -> usize {
        self.0.push(Source { name, text: text.into(), is_shown });
        self.0.len() - 1
    }

    pub fn get(&self, source: usize) -> &Source {
        &self.0[source]
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn position(&self, place: Place) -> Position<'_> {
        let source = self.get(place.source);
        let text = &source.text[..];
        let start = place.start.min(text.len());
        let line_start = memchr::memrchr(b'\n', &text[..start]).map_or(0, |newline| newline + 1);
        let line_end =
            memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |newline| start + newline);
        let line =
            text[line_start..line_end].strip_suffix(b"\r").unwrap_or(&text[line_start..line_end]);
        let start = (start - line_start).min(line.len());
        Position {
            line: memchr::memchr_iter(b'\n', &text[..line_start]).count() + 1,
            column: String::from_utf8_lossy(&line[..start]).chars().count() + 1,
            text: source.is_shown.then_some(line),
            start,
            end: place.end.saturating_sub(line_start).clamp(start, line.len()),
        }
    }
}
