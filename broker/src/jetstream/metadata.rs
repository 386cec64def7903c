//! The entries of a configuration's metadata that the server keeps: which API level it needs
//! (stored), which version and level answers (only in answers).
//!
//! What the other entries mean is their writers' business.

use std::collections::BTreeMap;

use fulmar_protocol::NATS_VERSION;

/// Names and values that clients attach to a stream or consumer.
pub type Metadata = BTreeMap<String, String>;

/// The API level this server answers for.
pub const API_LEVEL: u32 = 5;

/// Bytes of all names and values of a stream's or consumer's metadata.
pub const METADATA_BYTES_MAX: usize = 128 * 1024;

const REQUIRED_LEVEL: &str = "_nats.req.level";
const SERVER_VERSION: &str = "_nats.ver";
const SERVER_LEVEL: &str = "_nats.level";

/// Notes the level a configuration needs; takes out what stands only in answers.
pub fn set_static(metadata: &mut Metadata, required_level: u32) {
    remove_dynamic(metadata);
    metadata.insert(REQUIRED_LEVEL.to_owned(), required_level.to_string());
}

/// The metadata as answers show it.
#[must_use]
pub fn with_dynamic(metadata: &Metadata) -> Metadata {
    let mut metadata = metadata.clone();
    metadata.insert(SERVER_VERSION.to_owned(), NATS_VERSION.to_owned());
    metadata.insert(SERVER_LEVEL.to_owned(), API_LEVEL.to_string());
    metadata
}

/// Makes `metadata` say about levels what `before` says, so that only what the user wrote differs.
pub fn copy_level(metadata: &mut Metadata, before: &Metadata) {
    remove_dynamic(metadata);
    match before.get(REQUIRED_LEVEL) {
        Some(level) => metadata.insert(REQUIRED_LEVEL.to_owned(), level.clone()),
        None => metadata.remove(REQUIRED_LEVEL),
    };
}

/// Whether an asset with this metadata can be served, by the level it says it needs.
pub fn is_supported(metadata: &Metadata) -> bool {
    match metadata.get(REQUIRED_LEVEL).map(String::as_str) {
        None | Some("") => true,
        Some(level) => level.parse().is_ok_and(|level: i64| level <= i64::from(API_LEVEL)),
    }
}

/// Whether a request whose header asks for `level` must be refused.
pub fn is_level_refused(level: &[u8]) -> bool {
    let level = std::str::from_utf8(level).unwrap_or("?");
    !level.is_empty() && !level.parse().is_ok_and(|level: i64| level <= i64::from(API_LEVEL))
}

/// Bytes of all names and values.
pub fn size(metadata: &Metadata) -> usize {
    metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn remove_dynamic(metadata: &mut Metadata) {
    metadata.remove(SERVER_VERSION);
    metadata.remove(SERVER_LEVEL);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: &[(&str, &str)]) -> Metadata {
        entries.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn what_is_stored_and_what_is_shown() {
        let mut stored = metadata(&[("a", "b"), ("_nats.ver", "x"), ("_nats.level", "9")]);
        set_static(&mut stored, 2);
        assert_eq!(stored, metadata(&[("_nats.req.level", "2"), ("a", "b")]));
        let shown = with_dynamic(&stored);
        assert_eq!(shown["_nats.ver"], NATS_VERSION);
        assert_eq!(shown["_nats.level"], "5");
        assert_eq!(shown.len(), 4);
    }

    #[test]
    fn levels() {
        for (level, supported) in
            [("", true), ("0", true), ("5", true), ("6", false), ("x", false), ("+1", true)]
        {
            assert_eq!(is_supported(&metadata(&[("_nats.req.level", level)])), supported);
            assert_eq!(is_level_refused(level.as_bytes()), !supported);
        }
        assert!(is_supported(&Metadata::new()));
    }

    #[test]
    fn levels_do_not_count_in_a_comparison() {
        let stored = metadata(&[("_nats.req.level", "1"), ("a", "b")]);
        let mut asked = metadata(&[("_nats.req.level", "3"), ("_nats.ver", "x"), ("a", "b")]);
        copy_level(&mut asked, &stored);
        assert_eq!(asked, stored);
        let mut asked = stored;
        copy_level(&mut asked, &Metadata::new());
        assert_eq!(asked, metadata(&[("a", "b")]));
    }
}
