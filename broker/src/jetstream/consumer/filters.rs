//! Stands in for the storage's filters until they are merged.

use fulmar_protocol::subject::{Filter, SubjectError};

/// Subject filters, of which one has to match. None at all match every subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<Box<[u8]>>);

impl Filters {
    /// Filters that match every subject.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Parses filters.
    ///
    /// # Errors
    ///
    /// What is wrong with the first one that is malformed.
    pub fn parse<T: AsRef<[u8]>>(
        filters: impl IntoIterator<Item = T>,
    ) -> Result<Self, SubjectError> {
        let mut all = Vec::new();
        for filter in filters {
            Filter::parse(filter.as_ref())?;
            all.push(filter.as_ref().into());
        }
        Ok(Self(all))
    }

    /// Whether they match a message of this subject.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|filter| Filter::parse(filter).is_ok_and(|filter| filter.matches(subject)))
    }
}
