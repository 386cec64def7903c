//! nats-server's configuration format: bytes to a tree of values, each with its place.
//!
//! Which options exist, and what their values mean, is not known here.
//!
//! The tree is bounded whatever the input: nesting, files, and bytes of values (variables copy
//! whole subtrees, so a few lines could otherwise ask for any amount of memory).

mod diagnostic;
mod digest;
mod lexer;
mod parser;
mod source;

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use jiff::Timestamp;

pub use diagnostic::{Diagnostic, Severity, in_order};
pub use parser::Document;
pub use source::Place;

/// Maps and arrays within each other, and files and variables within each other.
pub const DEPTH_MAX: usize = 64;
/// Bytes of all files, variables and values of one configuration.
pub const CONFIGURATION_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Files and environment variables of one configuration.
pub const SOURCES_MAX: usize = 1_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it is written; for the value of a variable, where the variable is used.
    pub place: Place,
    /// What is written there.
    pub value: Value,
}

/// What can be written as a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any of the forms of strings.
    Text(String),
    /// With its suffix multiplied in.
    Integer(i64),
    /// Always finite.
    Float(f64),
    /// `true`, `yes`, `on`, `false`, `no` or `off`.
    Bool(bool),
    /// `2006-01-02T15:04:05Z`.
    Date(Timestamp),
    /// `[...]`.
    Array(Vec<Node>),
    /// `{...}`.
    Map(Map),
    /// The variable does not exist. That has been reported: who finds this has nothing to add.
    Missing,
}

impl Value {
    /// The kind of value, with its article, as errors call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "true or false",
            Self::Date(_) => "a date",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Missing => "a missing variable",
        }
    }
}

/// Keys and values, sorted by key. Keys differ in case; options do not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: BTreeMap<String, Entry>,
}

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key_place: Place,
    /// The value.
    pub node: Node,
    /// Whether a variable named it: then nobody may call the key unknown.
    pub is_variable: bool,
}

impl Map {
    /// All entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The world a configuration may read from: files and environment variables.
pub trait Surroundings {
    /// The content of a file, no more than one byte above `bytes_max`.
    ///
    /// # Errors
    /// Those of opening and reading.
    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
}

/// This process's files and environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Surroundings for System {
    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        use io::Read as _;
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn variable(&self, name: &str) -> Option<String> {
        // The library panics on names that no environment can contain.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var(name).ok()
    }
}

/// Files and variables that exist only in memory.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub files: BTreeMap<std::path::PathBuf, Vec<u8>>,
    pub variables: BTreeMap<String, String>,
}

#[cfg(test)]
impl Memory {
    /// One file.
    pub fn file(path: &str, text: &str) -> Self {
        Self { files: [(path.into(), text.into())].into(), ..Self::default() }
    }
}

#[cfg(test)]
impl Surroundings for Memory {
    fn file(&self, path: &Path, _bytes_max: usize) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}
