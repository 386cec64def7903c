//! What a bucket is asked to be, and which stream that makes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Error;
use crate::jetstream::stream::{
    self, Compression, DiscardPolicy, Placement, Republish, Source, StorageType, SubjectTransform,
};

/// So many values of a key a bucket can keep.
pub const HISTORY_MAX: u8 = 64;

/// For how long a bucket remembers ids of messages, unless it forgets values sooner.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The configuration of a bucket.
///
/// Where a number is a limit, 0 sets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The name: letters, digits, `-` and `_`.
    pub bucket: String,
    /// What it is for.
    pub description: Option<String>,
    /// How large a value may be, in bytes.
    pub max_value_size: u32,
    /// How many values of a key are kept, up to [`HISTORY_MAX`]; 0 is 1.
    pub history: u8,
    /// How long a value is kept; zero for ever.
    pub max_age: Duration,
    /// How many bytes are kept; a change for which there is no room is refused.
    pub max_bytes: u64,
    /// Where values are kept.
    pub storage: StorageType,
    /// On how many servers; 0 is 1.
    pub num_replicas: u8,
    /// Where in a cluster.
    pub placement: Option<Placement>,
    /// Changes are published again.
    pub republish: Option<Republish>,
    /// It is a copy of this bucket. What is written to it goes there.
    pub mirror: Option<Source>,
    /// It collects the keys of these buckets.
    pub sources: Vec<Source>,
    /// Values are kept compressed in files.
    pub compression: bool,
    /// A key may have a time to live (see [`Store::create_with_ttl`](super::Store)), and when
    /// keys go because of their age, watchers hear of it, through markers that stay for so long:
    /// at least a second.
    pub limit_markers: Option<Duration>,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
}

/// What the names of streams begin with that are buckets.
pub(super) const STREAM_PREFIX: &str = "KV_";

impl Config {
    /// The stream that keeps the bucket.
    pub(super) fn to_stream(&self) -> Result<stream::Config, Error> {
        check_bucket(&self.bucket)?;
        if self.history > HISTORY_MAX {
            return Err(Error::InvalidHistory(self.history));
        }
        let named = |source: &Source| Source { name: stream_name(&source.name), ..source.clone() };
        let duplicate_window = match self.max_age {
            Duration::ZERO => DUPLICATE_WINDOW,
            max_age => max_age.min(DUPLICATE_WINDOW),
        };
        let subjects = match self.mirror {
            None => vec![format!("{}>", key_prefix(&self.bucket))],
            Some(_) => Vec::new(),
        };
        Ok(stream::Config {
            name: stream_name(&self.bucket),
            description: self.description.clone(),
            subjects,
            max_messages_per_subject: u64::from(self.history.max(1)),
            max_bytes: self.max_bytes,
            max_age: self.max_age,
            max_message_size: self.max_value_size,
            storage: self.storage,
            num_replicas: self.num_replicas,
            discard: DiscardPolicy::New,
            duplicate_window,
            placement: self.placement.clone(),
            republish: self.republish.clone(),
            mirror: self.mirror.as_ref().map(named),
            mirror_direct: self.mirror.is_some(),
            sources: self.sources.iter().map(|source| self.source(named(source))).collect(),
            compression: if self.compression { Compression::S2 } else { Compression::None },
            allow_direct: true,
            allow_rollup: true,
            deny_delete: true,
            allow_message_ttl: self.limit_markers.is_some(),
            subject_delete_marker_ttl: self.limit_markers.unwrap_or_default(),
            metadata: self.metadata.clone(),
            ..stream::Config::default()
        })
    }

    /// A source, whose keys become keys of this bucket.
    fn source(&self, mut source: Source) -> Source {
        let bucket = bucket_name(&source.name).unwrap_or_default();
        // The bucket of the same name elsewhere has the right subjects already.
        if source.subject_transforms.is_empty()
            && (source.external.is_none() || bucket != self.bucket)
        {
            source.subject_transforms = vec![SubjectTransform {
                source: format!("{}>", key_prefix(bucket)),
                destination: format!("{}>", key_prefix(&self.bucket)),
            }];
        }
        source
    }
}

/// The stream of a bucket. Names that are those of streams already are left so.
pub(super) fn stream_name(bucket: &str) -> String {
    let bucket = bucket.strip_prefix(STREAM_PREFIX).unwrap_or(bucket);
    format!("{STREAM_PREFIX}{bucket}")
}

/// The bucket of a stream, if it is one.
pub(super) fn bucket_name(stream: &str) -> Option<&str> {
    stream.strip_prefix(STREAM_PREFIX)
}

/// What the subjects of keys begin with.
pub(super) fn key_prefix(bucket: &str) -> String {
    format!("$KV.{bucket}.")
}

pub(super) fn check_bucket(bucket: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !bucket.is_empty() && bucket.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::InvalidBucket(bucket.to_owned()))
}

pub(super) fn check_key(key: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_=.".contains(&byte);
    if key.bytes().all(fits) && key.split('.').all(|token| !token.is_empty()) {
        return Ok(());
    }
    Err(Error::InvalidKey(key.to_owned()))
}

/// Checks what keys are chosen with: a key in which `*` and `>` may stand for tokens.
pub(super) fn check_filter(filter: &str) -> Result<(), Error> {
    let tokens: Vec<&str> = filter.split('.').collect();
    for (number, token) in tokens.iter().enumerate() {
        let is_wildcard = *token == "*" || (*token == ">" && number + 1 == tokens.len());
        if !is_wildcard && check_key(token).is_err() {
            return Err(Error::InvalidKey(filter.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys() {
        assert!(check_bucket("a-B_9").is_ok());
        for bucket in ["", "a.b", "a b", "a*", "é"] {
            assert!(check_bucket(bucket).is_err(), "{bucket}");
        }
        for key in ["a", "a.b.c", "A-/_=9", "_"] {
            assert!(check_key(key).is_ok() && check_filter(key).is_ok(), "{key}");
        }
        for key in ["", ".", ".a", "a.", "a..b", "a b", "a$"] {
            assert!(check_key(key).is_err() && check_filter(key).is_err(), "{key}");
        }
        for filter in [">", "*", "a.*", "a.*.b.>"] {
            assert!(check_key(filter).is_err() && check_filter(filter).is_ok(), "{filter}");
        }
        for filter in ["a.>.b", "a*", ">.a"] {
            assert!(check_filter(filter).is_err(), "{filter}");
        }
    }

    #[test]
    fn streams_of_buckets() {
        let config = |config: Config| config.to_stream().unwrap();
        let plain = config(Config { bucket: "b".to_owned(), ..Config::default() });
        assert_eq!(
            (plain.name.as_str(), &plain.subjects[..]),
            ("KV_b", &["$KV.b.>".to_owned()][..])
        );
        assert_eq!((plain.max_messages_per_subject, plain.discard), (1, DiscardPolicy::New));
        assert_eq!(plain.duplicate_window, Duration::from_secs(120));
        assert!(plain.allow_rollup && plain.deny_delete && plain.allow_direct);
        let short = config(Config {
            bucket: "b".to_owned(),
            max_age: Duration::from_secs(5),
            sources: vec![Source::from("a"), Source::in_domain("KV_b", "hub")],
            ..Config::default()
        });
        assert_eq!(short.duplicate_window, Duration::from_secs(5));
        assert_eq!(short.sources[0].name, "KV_a");
        assert_eq!(short.sources[0].subject_transforms[0].source, "$KV.a.>");
        assert_eq!(short.sources[0].subject_transforms[0].destination, "$KV.b.>");
        assert!(short.sources[1].subject_transforms.is_empty());
        let mirror = config(Config {
            bucket: "b".to_owned(),
            mirror: Some(Source::from("a")),
            ..Config::default()
        });
        assert!(mirror.subjects.is_empty() && mirror.mirror_direct);
        assert_eq!(mirror.mirror.unwrap().name, "KV_a");
        let long = Config { bucket: "b".to_owned(), history: 65, ..Config::default() };
        assert_eq!(long.to_stream().unwrap_err(), Error::InvalidHistory(65));
    }
}
