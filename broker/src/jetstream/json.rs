//! JSON as Go reads and writes it, which is what every NATS client has been tested against:
//! names in any case, the last of two equal names wins, `null` changes nothing, and errors in the
//! words of Go's `encoding/json`. On the way out `<`, `>` and `&` are escaped.
//!
//! What the documents mean is not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// `value` as Go's `json.Marshal` writes it.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write(value, &mut out);
    out
}

/// Appends `value` to `out`, as Go's `json.Marshal` writes it.
pub fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let mut serializer = serde_json::Serializer::with_formatter(out, GoFormatter);
    value.serialize(&mut serializer).expect("a Vec takes all bytes, and all map keys are texts");
}

/// Reads the documents in `bytes`, one after the other, into `value`: none leaves it as it is.
///
/// A field that `value` does not know is an error if `strict`. If it is not, a request is read
/// once more in the lenient way when the strict one fails, as nats-server does.
///
/// # Errors
///
/// The text that follows `invalid JSON: `.
pub fn read_request<T: Object>(bytes: &[u8], strict: bool, value: &mut T) -> Result<(), String> {
    match read_stream(bytes, value) {
        Err(_) if !strict => read(bytes, value),
        result => result,
    }
}

/// Reads the one document in `bytes`; unknown fields are passed over (Go's `json.Unmarshal`).
///
/// # Errors
///
/// Go's words for what is wrong.
pub fn read<T: Object>(bytes: &[u8], value: &mut T) -> Result<(), String> {
    let (document, rest) =
        scan_document(bytes, 0).map_err(|error| error.text("unexpected end of JSON input"))?;
    if let Some(position) = next_visible(bytes, rest) {
        return Err(format!("invalid character {} after top-level value", quoted(bytes, position)));
    }
    let root = Root { name: T::GO_NAME, unknown: Unknown::PassedOver };
    value.decode(document, &Place { root: &root, parent: None, step: Step::None })
}

/// Whether `bytes` are nothing or an object without members: what nats-server takes for "no body".
pub fn is_empty_request(bytes: &[u8]) -> bool {
    if bytes.is_empty() || bytes == b"{}" {
        return true;
    }
    match scan_document(bytes, 0) {
        Ok((document, rest)) => {
            next_visible(bytes, rest).is_none()
                && document.0[0] == b'{'
                && document.members().next().is_none()
        }
        Err(_) => false,
    }
}

/// Whether the first visible byte opens an object or an array.
pub fn is_object_or_array(bytes: &[u8]) -> bool {
    next_visible(bytes, 0).is_some_and(|position| matches!(bytes[position], b'{' | b'['))
}

/// A type that one JSON value can be read into, over what is already there.
pub trait Decode {
    /// What Go calls the type.
    const GO_TYPE: &'static str;

    /// Reads `raw`, which is valid JSON and not `null`.
    ///
    /// # Errors
    ///
    /// Go's words for what is wrong.
    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String>;

    /// What `null` does. For most types: nothing.
    ///
    /// # Errors
    ///
    /// Go's words, where `null` is an error.
    fn decode_null(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Reads `raw`, which is valid JSON.
    ///
    /// # Errors
    ///
    /// Go's words for what is wrong.
    fn decode(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        if raw.0[0] == b'n' { self.decode_null() } else { self.decode_value(raw, place) }
    }
}

/// A type that a JSON object is read into, member by member. `fields` makes one.
pub trait Object {
    /// The name of Go's struct, without its package.
    const GO_NAME: &'static str;
    /// The same with its package.
    const GO_TYPE: &'static str;

    /// Reads the member called `name`; false if there is none of that name.
    ///
    /// # Errors
    ///
    /// Go's words for what is wrong.
    fn member(&mut self, name: &str, raw: Raw<'_>, place: &Place<'_>) -> Result<bool, String>;

    /// Reads an object.
    ///
    /// # Errors
    ///
    /// Go's words for what is wrong.
    fn decode(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        match raw.0[0] {
            b'n' => return Ok(()),
            b'{' => {}
            _ => return Err(place.mismatch(raw.kind(), Self::GO_TYPE)),
        }
        for (name, member) in raw.members() {
            let name = name.text();
            let known = self.member(&name, member, place)?;
            if !known && place.root.unknown == Unknown::Refused {
                return Err(format!("json: unknown field {}", go_quoted(&name)));
            }
        }
        Ok(())
    }
}

/// Implements [`Object`] and [`Decode`] for a struct out of its fields and their names in JSON;
/// `as` gives the name of the type in Go where it is not the usual one.
macro_rules! fields {
    ($type:ty, $go_name:literal {
        $($field:ident: $name:literal $(as $go_type:literal)?,)*
        $(..$embedded:ident)?
    }) => {
        impl $crate::jetstream::json::Object for $type {
            const GO_NAME: &'static str = $go_name;
            const GO_TYPE: &'static str = concat!("server.", $go_name);

            fn member(
                &mut self,
                name: &str,
                raw: $crate::jetstream::json::Raw<'_>,
                place: &$crate::jetstream::json::Place<'_>,
            ) -> Result<bool, String> {
                $(if name.eq_ignore_ascii_case($name) {
                    let place = place.field($name);
                    $(let place = place.named($go_type);)?
                    $crate::jetstream::json::Decode::decode(&mut self.$field, raw, &place)?;
                    return Ok(true);
                })*
                $(return $crate::jetstream::json::Object::member(&mut self.$embedded, name, raw, place);)?
                #[allow(unreachable_code, reason = "not reached where a struct is embedded")]
                Ok(false)
            }
        }

        impl $crate::jetstream::json::Decode for $type {
            const GO_TYPE: &'static str = concat!("server.", $go_name);

            fn decode_value(
                &mut self,
                raw: $crate::jetstream::json::Raw<'_>,
                place: &$crate::jetstream::json::Place<'_>,
            ) -> Result<(), String> {
                $crate::jetstream::json::Object::decode(self, raw, place)
            }
        }
    };
}
pub(crate) use fields;

/// Where in a document a value stands.
pub struct Place<'a> {
    root: &'a Root,
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

struct Root {
    name: &'static str,
    unknown: Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refused,
    PassedOver,
}

enum Step<'a> {
    None,
    Field(&'a str, Option<&'static str>),
    Element(usize),
}

impl Place<'_> {
    /// The field called `name` of the object that stands here.
    pub fn field<'a>(&'a self, name: &'a str) -> Place<'a> {
        Place { root: self.root, parent: Some(self), step: Step::Field(name, None) }
    }

    /// The same place, holding what Go calls `go_type`.
    #[must_use]
    pub fn named(mut self, go_type: &'static str) -> Self {
        if let Step::Field(name, _) = self.step {
            self.step = Step::Field(name, Some(go_type));
        }
        self
    }

    fn element(&self, index: usize) -> Place<'_> {
        Place { root: self.root, parent: Some(self), step: Step::Element(index) }
    }

    /// Go's error for a value of the wrong type.
    fn mismatch(&self, kind: &str, go_type: &str) -> String {
        let (into, go_type) = match self.step {
            Step::None => {
                return format!("json: cannot unmarshal {kind} into Go value of type {go_type}");
            }
            Step::Field(_, named) => ("Go struct field ", named.unwrap_or(go_type)),
            Step::Element(_) => ("", self.element_type().unwrap_or(go_type)),
        };
        let mut path = String::from(self.root.name);
        self.write_path(&mut path);
        format!("json: cannot unmarshal {kind} into {into}{path} of type {go_type}")
    }

    /// What Go calls the elements, if the list here says what Go calls it.
    fn element_type(&self) -> Option<&'static str> {
        match self.parent?.step {
            Step::Field(_, named) => Some(named?.strip_prefix("[]")?.trim_start_matches('*')),
            _ => None,
        }
    }

    fn write_path(&self, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.write_path(path);
        }
        match self.step {
            Step::None => {}
            Step::Field(name, _) => {
                path.push('.');
                path.push_str(name);
            }
            Step::Element(index) => {
                let _ = write!(path, ".{index}");
            }
        }
    }
}

/// One valid JSON value, without blanks around it.
#[derive(Clone, Copy)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// The value as it was written.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, if this is one; `go_type` is what it was to become.
    ///
    /// # Errors
    ///
    /// Go's words for a value of another type.
    pub fn string(self, place: &Place<'_>, go_type: &str) -> Result<Cow<'a, str>, String> {
        if self.0[0] == b'"' { Ok(self.text()) } else { Err(place.mismatch(self.kind(), go_type)) }
    }

    /// What Go calls this kind of value.
    fn kind(self) -> &'static str {
        match self.0[0] {
            b'{' => "object",
            b'[' => "array",
            b'"' => "string",
            b't' | b'f' => "bool",
            b'n' => "null",
            _ => "number",
        }
    }

    fn members(self) -> impl Iterator<Item = (Raw<'a>, Raw<'a>)> {
        let mut position = 1;
        std::iter::from_fn(move || {
            let name = self.next_part(&mut position)?;
            let value = self.next_part(&mut position)?;
            Some((name, value))
        })
    }

    fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        let mut position = 1;
        std::iter::from_fn(move || self.next_part(&mut position))
    }

    /// The next value inside an object or array, whatever stands between.
    fn next_part(self, position: &mut usize) -> Option<Raw<'a>> {
        while matches!(self.0[*position], b' ' | b'\t' | b'\r' | b'\n' | b',' | b':') {
            *position += 1;
        }
        if matches!(self.0[*position], b'}' | b']') {
            return None;
        }
        let (part, rest) = scan_document(self.0, *position).ok()?;
        *position = rest;
        Some(part)
    }

    /// A JSON string without its quotes and escapes. What is not UTF-8 becomes U+FFFD.
    fn text(self) -> Cow<'a, str> {
        let inner = &self.0[1..self.0.len() - 1];
        if !inner.contains(&b'\\') {
            return String::from_utf8_lossy(inner);
        }
        let mut text = String::with_capacity(inner.len());
        let mut rest = inner;
        while let Some(backslash) = memchr::memchr(b'\\', rest) {
            text.push_str(&String::from_utf8_lossy(&rest[..backslash]));
            let escaped = rest[backslash + 1];
            rest = &rest[backslash + 2..];
            match escaped {
                b'b' => text.push('\u{8}'),
                b'f' => text.push('\u{c}'),
                b'n' => text.push('\n'),
                b'r' => text.push('\r'),
                b't' => text.push('\t'),
                b'u' => {
                    let first = hexadecimal(rest);
                    rest = &rest[4..];
                    let second = rest.strip_prefix(br"\u").map(hexadecimal);
                    match (first, second) {
                        (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                            rest = &rest[6..];
                            let code = 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00);
                            text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                        }
                        _ => {
                            text.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
                        }
                    }
                }
                other => text.push(char::from(other)),
            }
        }
        text.push_str(&String::from_utf8_lossy(rest));
        Cow::Owned(text)
    }
}

/// The number in the first four bytes, which were checked to be hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> u32 {
    digits
        .iter()
        .take(4)
        .fold(0, |number, digit| number * 16 + char::from(*digit).to_digit(16).unwrap_or(0))
}

macro_rules! integers {
    ($($type:ty: $go_type:literal,)*) => {$(
        impl Decode for $type {
            const GO_TYPE: &'static str = $go_type;

            fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
                let text = std::str::from_utf8(raw.0).unwrap_or_default();
                if raw.kind() != "number" {
                    return Err(place.mismatch(raw.kind(), Self::GO_TYPE));
                }
                *self = text
                    .parse()
                    .map_err(|_| place.mismatch(&format!("number {text}"), Self::GO_TYPE))?;
                Ok(())
            }
        }
    )*};
}

integers! {
    i64: "int64",
    i32: "int32",
    u64: "uint64",
}

impl Decode for bool {
    const GO_TYPE: &'static str = "bool";

    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        *self = match raw.0 {
            b"true" => true,
            b"false" => false,
            _ => return Err(place.mismatch(raw.kind(), <Self as Decode>::GO_TYPE)),
        };
        Ok(())
    }
}

impl Decode for String {
    const GO_TYPE: &'static str = "string";

    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        *self = raw.string(place, <Self as Decode>::GO_TYPE)?.into_owned();
        Ok(())
    }
}

impl<T: Decode + Default> Decode for Option<T> {
    const GO_TYPE: &'static str = T::GO_TYPE;

    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        self.get_or_insert_default().decode_value(raw, place)
    }

    fn decode_null(&mut self) -> Result<(), String> {
        *self = None;
        Ok(())
    }
}

impl<T: Decode + Default> Decode for Box<T> {
    const GO_TYPE: &'static str = T::GO_TYPE;

    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        self.as_mut().decode_value(raw, place)
    }

    fn decode_null(&mut self) -> Result<(), String> {
        self.as_mut().decode_null()
    }
}

impl<T: Decode + Default> Decode for Vec<T> {
    /// Each use names its own with `as`.
    const GO_TYPE: &'static str = "[]string";

    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        if raw.0[0] != b'[' {
            return Err(place.mismatch(raw.kind(), <Self as Decode>::GO_TYPE));
        }
        self.clear();
        for (index, element) in raw.elements().enumerate() {
            let mut value = T::default();
            value.decode(element, &place.element(index))?;
            self.push(value);
        }
        Ok(())
    }

    fn decode_null(&mut self) -> Result<(), String> {
        self.clear();
        Ok(())
    }
}

impl<T: Decode + Default> Decode for BTreeMap<String, T> {
    /// Each use names its own with `as`.
    const GO_TYPE: &'static str = "map[string]string";

    fn decode_value(&mut self, raw: Raw<'_>, place: &Place<'_>) -> Result<(), String> {
        if raw.0[0] != b'{' {
            return Err(place.mismatch(raw.kind(), <Self as Decode>::GO_TYPE));
        }
        for (name, member) in raw.members() {
            let name = name.text();
            let mut value = T::default();
            value.decode(member, &place.field(&name))?;
            self.insert(name.into_owned(), value);
        }
        Ok(())
    }

    fn decode_null(&mut self) -> Result<(), String> {
        self.clear();
        Ok(())
    }
}

/// An enum that is a lower-case text in JSON, and reads nothing else.
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $type:ident, $go_name:literal, $error:expr, {
            $($(#[$variant_meta:meta])* $variant:ident = $text:literal $(| $alias:literal)*,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $type {
            /// The text in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl $crate::jetstream::json::Decode for $type {
            const GO_TYPE: &'static str = concat!("server.", $go_name);

            fn decode_value(
                &mut self,
                raw: $crate::jetstream::json::Raw<'_>,
                _: &$crate::jetstream::json::Place<'_>,
            ) -> Result<(), String> {
                let text = String::from_utf8_lossy(raw.as_bytes());
                *self = match &*text {
                    $(concat!("\"", $text, "\"") $(| concat!("\"", $alias, "\""))* => Self::$variant,)*
                    other => {
                        let error: fn(&str) -> String = $error;
                        return Err(error(other));
                    }
                };
                Ok(())
            }

            fn decode_null(&mut self) -> Result<(), String> {
                let error: fn(&str) -> String = $error;
                Err(error("null"))
            }
        }
    };
}
pub(crate) use text_enum;

/// What most of nats-server's enums say to a text they do not know.
pub(crate) fn cannot_unmarshal(raw: &str) -> String {
    format!("can not unmarshal {}", go_quoted(raw))
}

/// Reads documents until `bytes` end; unknown fields are errors.
fn read_stream<T: Object>(bytes: &[u8], value: &mut T) -> Result<(), String> {
    let root = Root { name: T::GO_NAME, unknown: Unknown::Refused };
    let mut position = 0;
    while next_visible(bytes, position).is_some() {
        let (document, rest) = scan_document(bytes, position).map_err(|error| match error {
            SyntaxError::End => "unexpected EOF".to_owned(),
            SyntaxError::At { text, offset } => format!("{text} at offset {offset}"),
        })?;
        value.decode(document, &Place { root: &root, parent: None, step: Step::None })?;
        position = rest;
    }
    Ok(())
}

/// Why bytes are no JSON.
enum SyntaxError {
    /// They end too early.
    End,
    /// Something wrong ends before `offset`.
    At { text: String, offset: usize },
}

impl SyntaxError {
    fn text(self, at_end: &str) -> String {
        match self {
            Self::End => at_end.to_owned(),
            Self::At { text, .. } => text,
        }
    }
}

/// How deep arrays and objects may stand in each other; the bound is Go's.
const DEPTH_MAX: usize = 10_000;

/// The value that begins at or after `position`, and where the bytes behind it begin.
fn scan_document(bytes: &[u8], position: usize) -> Result<(Raw<'_>, usize), SyntaxError> {
    let mut scanner = Scanner { bytes, position };
    let start = scanner.visible()?;
    scanner.value()?;
    Ok((Raw(&bytes[start..scanner.position]), scanner.position))
}

fn next_visible(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|position| !matches!(bytes[*position], b' ' | b'\t' | b'\r' | b'\n'))
}

struct Scanner<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Scanner<'_> {
    /// Goes over one value, of any depth, without recursion.
    fn value(&mut self) -> Result<(), SyntaxError> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.visible()?;
            match self.bytes[self.position] {
                opening @ (b'{' | b'[') => {
                    self.position += 1;
                    if open.len() == DEPTH_MAX {
                        let text = "exceeded max depth".to_owned();
                        return Err(SyntaxError::At { text, offset: self.position });
                    }
                    open.push(opening);
                    self.visible()?;
                    match (opening, self.bytes[self.position]) {
                        (b'{', b'}') | (b'[', b']') => {}
                        (b'{', _) => {
                            self.member_name()?;
                            continue;
                        }
                        _ => continue,
                    }
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => return Err(self.wrong("looking for beginning of value")),
            }
            // A value has ended, or an empty object or array is about to.
            loop {
                let Some(innermost) = open.last().copied() else { return Ok(()) };
                self.visible()?;
                match (innermost, self.bytes[self.position]) {
                    (b'{', b'}') | (b'[', b']') => {
                        self.position += 1;
                        open.pop();
                    }
                    (b'{', b',') => {
                        self.position += 1;
                        self.visible()?;
                        self.member_name()?;
                        break;
                    }
                    (b'[', b',') => {
                        self.position += 1;
                        break;
                    }
                    (b'{', _) => return Err(self.wrong("after object key:value pair")),
                    _ => return Err(self.wrong("after array element")),
                }
            }
        }
    }

    /// Goes to the next byte that is not blank.
    fn visible(&mut self) -> Result<usize, SyntaxError> {
        self.position = next_visible(self.bytes, self.position).ok_or(SyntaxError::End)?;
        Ok(self.position)
    }

    fn member_name(&mut self) -> Result<(), SyntaxError> {
        if self.bytes[self.position] != b'"' {
            return Err(self.wrong("looking for beginning of object key string"));
        }
        self.string()?;
        self.visible()?;
        if self.bytes[self.position] != b':' {
            return Err(self.wrong("after object key"));
        }
        self.position += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        self.position += 1;
        loop {
            match *self.bytes.get(self.position).ok_or(SyntaxError::End)? {
                b'"' => {
                    self.position += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..=0x1f => return Err(self.wrong("in string")),
                _ => self.position += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        let rest = &self.bytes[self.position..];
        let size = match *rest.get(1).ok_or(SyntaxError::End)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.position += 2;
                return Ok(());
            }
            b'u' => 6,
            _ => 2,
        };
        let escape = &rest[..size.min(rest.len())];
        if size == 6 && escape[2..].iter().all(u8::is_ascii_hexdigit) {
            if escape.len() < size {
                return Err(SyntaxError::End);
            }
            self.position += size;
            return Ok(());
        }
        let shown = String::from_utf8_lossy(escape);
        let plain = shown.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '`')
            && !shown.contains(char::REPLACEMENT_CHARACTER);
        let shown = if plain { format!("`{shown}`") } else { go_quoted(&shown) };
        Err(SyntaxError::At {
            text: format!("invalid escape sequence {shown} in string"),
            offset: self.position + escape.len(),
        })
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        if self.bytes[self.position] == b'-' {
            self.position += 1;
        }
        if self.bytes.get(self.position) == Some(&b'0') {
            self.position += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.position) == Some(&b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.position), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.bytes.get(self.position), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !self.bytes.get(self.position).ok_or(SyntaxError::End)?.is_ascii_digit() {
            return Err(self.wrong("in numeric literal"));
        }
        while self.bytes.get(self.position).is_some_and(u8::is_ascii_digit) {
            self.position += 1;
        }
        Ok(())
    }

    fn literal(&mut self, literal: &str) -> Result<(), SyntaxError> {
        for expected in literal.bytes() {
            if *self.bytes.get(self.position).ok_or(SyntaxError::End)? != expected {
                let expected = char::from(expected);
                return Err(self.wrong(&format!("in literal {literal} (expecting '{expected}')")));
            }
            self.position += 1;
        }
        Ok(())
    }

    /// The error for the character at the current position.
    fn wrong(&self, place: &str) -> SyntaxError {
        let size = character(self.bytes, self.position).map_or(1, char::len_utf8);
        SyntaxError::At {
            text: format!("invalid character {} {place}", quoted(self.bytes, self.position)),
            offset: self.position + size,
        }
    }
}

/// The character at `position`, if there is UTF-8.
fn character(bytes: &[u8], position: usize) -> Option<char> {
    let longest = &bytes[position..bytes.len().min(position + 4)];
    longest.utf8_chunks().next()?.valid().chars().next()
}

/// The character at `position` in single quotes, as Go's `strconv.QuoteRune` writes it.
fn quoted(bytes: &[u8], position: usize) -> String {
    match character(bytes, position) {
        None => format!("'\\x{:x}'", bytes[position]),
        Some('\'') => r"'\''".to_owned(),
        Some('"') => "'\"'".to_owned(),
        Some(character) => {
            let text = go_quoted(character.encode_utf8(&mut [0; 4]));
            format!("'{}'", &text[1..text.len() - 1])
        }
    }
}

/// `text` in double quotes, as Go's `%q` writes it.
pub(crate) fn go_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            character if u32::from(character) < 0x20 || character == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Compact, and with what could end a script element written as an escape.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut written = 0;
        for (index, character) in fragment.char_indices() {
            let escape = match character {
                '<' => "\\u003c",
                '>' => "\\u003e",
                '&' => "\\u0026",
                '\u{2028}' => "\\u2028",
                '\u{2029}' => "\\u2029",
                _ => continue,
            };
            writer.write_all(&fragment.as_bytes()[written..index])?;
            writer.write_all(escape.as_bytes())?;
            written = index + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::stream_config::{StreamConfig, StreamConfigRequest};

    /// Errors in the words of Go are in the recorded chapters; here is what has none.
    #[test]
    fn lenient_and_strict() {
        let check = |text: &str, strict: bool, expected: Result<(&str, i64), &str>| {
            let mut request = StreamConfigRequest::default();
            let result = read_request(text.as_bytes(), strict, &mut request);
            let found =
                result.as_ref().map(|()| (request.config.name.as_str(), request.config.max_msgs));
            assert_eq!(found.map_err(String::as_str), expected, "{text}");
        };
        let known = r#"{"name":"a","max_msgs":2}"#;
        let unknown = r#"{"name":"a","x":{"y":[1,"\u0041"]},"max_msgs":2}"#;
        check(known, true, Ok(("a", 2)));
        check(unknown, true, Err("json: unknown field \"x\""));
        check(unknown, false, Ok(("a", 2)));
        check("", true, Ok(("", 0)));
        check(" \r\n\t", true, Ok(("", 0)));
        check("{} {}", false, Ok(("", 0)));
        check("{} {\"x\":1}", false, Err("invalid character '{' after top-level value"));
        check("{", false, Err("unexpected end of JSON input"));
        check("{x", false, Err("invalid character 'x' looking for beginning of object key string"));
        let deep = format!("{}{}", "[".repeat(10_001), "]".repeat(10_001));
        check(&deep, true, Err("exceeded max depth at offset 10001"));
        let within = format!("{{\"x\":{}{}}}", "[".repeat(9_999), "]".repeat(9_999));
        check(&within, false, Ok(("", 0)));
    }

    #[test]
    fn empty_requests() {
        for empty in ["", "{}", " {} ", "{ \n}"] {
            assert!(is_empty_request(empty.as_bytes()), "{empty:?}");
        }
        for full in [" ", "x", "[]", "null", "{\"a\":1}", "{}x", "{} {}", "{"] {
            assert!(!is_empty_request(full.as_bytes()), "{full:?}");
        }
        assert!(is_object_or_array(b" \t{x") && is_object_or_array(b"["));
        assert!(
            !is_object_or_array(b"") && !is_object_or_array(b"x{") && !is_object_or_array(b" ")
        );
    }

    #[test]
    fn texts() {
        let check = |raw: &str, expected: &str| {
            let mut text = String::new();
            let (value, _) = scan_document(raw.as_bytes(), 0).ok().unwrap();
            let root = Root { name: "", unknown: Unknown::PassedOver };
            text.decode(value, &Place { root: &root, parent: None, step: Step::None }).unwrap();
            assert_eq!(text, expected, "{raw}");
        };
        check(r#""a\"\\\/\b\f\n\r\t\u0041""#, "a\"\\/\u{8}\u{c}\n\r\tA");
        check(r#""\ud83e\uddc0""#, "\u{1f9c0}");
        check(r#""\ud83e\u0041""#, "\u{fffd}A");
        check(r#""\udDc0\ud83ex\ud83e""#, "\u{fffd}\u{fffd}x\u{fffd}");
        check("null", "");
    }

    #[test]
    fn go_writes_and_quotes() {
        let written = |text: &str| String::from_utf8(to_vec(text)).unwrap();
        assert_eq!(
            written("<a>&\u{2028}\u{2029}é\u{7f}"),
            "\"\\u003ca\\u003e\\u0026\\u2028\\u2029é\u{7f}\""
        );
        assert_eq!(written("\"\\\n\u{8}\u{1}"), r#""\"\\\n\b\u0001""#);
        assert_eq!(go_quoted("a\"\\\n\u{7}\u{1}\u{7f}é"), r#""a\"\\\n\a\x01\x7fé""#);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read_request(&bytes, false, &mut StreamConfigRequest::default());
            let _ = is_empty_request(&bytes);
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"(\{|\}|\[|\]|,|:|"name"|"sources"|"mirror"|"metadata"|"\\u[0-9d]{0,4}|"|null|-?[0-9.eE]{1,4}|true| ){0,24}"#) {
            for strict in [true, false] {
                let _ = read_request(text.as_bytes(), strict, &mut StreamConfigRequest::default());
            }
        }

        /// What this takes for JSON is JSON, and the other way round.
        #[test]
        fn others_agree_what_json_is(text in r#"(\{|\}|\[|\]|,|:|"a"|"\\[nu]?[0-9a]{0,4}"|null|-?[0-9.eE+]{1,4}|tru?e| ){0,12}"#) {
            let other = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            let mine = scan_document(text.as_bytes(), 0)
                .is_ok_and(|(_, rest)| next_visible(text.as_bytes(), rest).is_none());
            assert_eq!(mine, other, "{text}");
        }

        #[test]
        fn what_is_written_is_read_again(
            name in "\\PC{0,20}",
            metadata in proptest::collection::btree_map("\\PC{0,5}", "\\PC{0,5}", 0..4),
            max_msgs: i64,
            first_seq: u64,
            no_ack: bool,
            subjects in proptest::collection::vec("\\PC{0,8}", 0..4),
        ) {
            let config = StreamConfig { name, metadata, max_msgs, first_seq, no_ack, subjects, ..StreamConfig::default() };
            let mut read_again = StreamConfig::default();
            read(&to_vec(&config), &mut read_again).unwrap();
            assert_eq!(read_again, config);
        }
    }
}
