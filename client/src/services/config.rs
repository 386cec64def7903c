//! What a service is called, and what its endpoints have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{EndpointStats, StartError};

/// The queue group of endpoints unless it is said otherwise.
pub const QUEUE_GROUP_DEFAULT: &str = "q";

/// Makes what an endpoint adds to its [`EndpointStats`].
pub type StatsHandler = Arc<dyn Fn(&EndpointStats) -> serde_json::Value + Send + Sync>;

/// What a service is called, and what its endpoints have in common.
#[derive(Clone)]
#[must_use = "it does nothing before `start`"]
pub struct Config {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) queue_group: QueueGroup,
    pub(super) stats_handler: Option<StatsHandler>,
}

/// Which queue group the instances of an endpoint are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueueGroup {
    /// That of the group of endpoints it is in, or of the service; for the service
    /// [`QUEUE_GROUP_DEFAULT`].
    #[default]
    Inherit,
    /// This one.
    Named(String),
    /// None: each instance gets every request.
    None,
}

impl Config {
    /// A service of this name, made of letters, digits, `-` and `_`, and of this version, as
    /// semver.org says.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: String::new(),
            metadata: BTreeMap::new(),
            queue_group: QueueGroup::Inherit,
            stats_handler: None,
        }
    }

    /// What it is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Anything else.
    pub fn metadata(mut self, metadata: BTreeMap<String, String>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Which queue group its endpoints are in.
    pub fn queue_group(mut self, queue_group: QueueGroup) -> Self {
        self.queue_group = queue_group;
        self
    }

    /// What endpoints add to what they count, each time somebody asks.
    pub fn stats_handler(
        mut self,
        handler: impl Fn(&EndpointStats) -> serde_json::Value + Send + Sync + 'static,
    ) -> Self {
        self.stats_handler = Some(Arc::new(handler));
        self
    }

    pub(super) fn check(&self) -> Result<(), StartError> {
        check_name(&self.name)?;
        if is_version(&self.version) {
            return Ok(());
        }
        Err(StartError::InvalidVersion(self.version.clone()))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl QueueGroup {
    /// The group, where the surroundings have this one.
    pub(super) fn within(&self, outer: Option<&str>) -> Option<String> {
        match self {
            Self::Inherit => outer.map(str::to_owned),
            Self::Named(name) => Some(name.clone()),
            Self::None => None,
        }
    }
}

pub(super) fn check_name(name: &str) -> Result<(), StartError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(fits) {
        return Ok(());
    }
    Err(StartError::InvalidName(name.to_owned()))
}

/// Whether this is a version as semver.org says.
fn is_version(version: &str) -> bool {
    let (version, build) = match version.split_once('+') {
        Some((version, build)) => (version, Some(build)),
        None => (version, None),
    };
    let (core, release) = match version.split_once('-') {
        Some((core, release)) => (core, Some(release)),
        None => (version, None),
    };
    let is_number = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'))
    };
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && release.is_none_or(|release| {
            release.split('.').all(|word| is_word(word) && (!digits(word) || is_number(word)))
        })
        && build.is_none_or(|build| build.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for version in ["0.0.0", "1.20.3", "1.0.0-alpha.1", "1.0.0+b.01", "1.0.0-x-y.z+1-2"] {
            assert!(is_version(version), "{version}");
        }
        for version in
            ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.x", "1.0.0-", "1.0.0-01", "1.0.0+", "v1.0.0"]
        {
            assert!(!is_version(version), "{version}");
        }
    }

    #[test]
    fn queue_groups() {
        assert_eq!(QueueGroup::Inherit.within(Some("a")).as_deref(), Some("a"));
        assert_eq!(QueueGroup::Inherit.within(None), None);
        assert_eq!(QueueGroup::Named("b".to_owned()).within(Some("a")).as_deref(), Some("b"));
        assert_eq!(QueueGroup::None.within(Some("a")), None);
    }
}
