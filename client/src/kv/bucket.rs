//! Buckets as wholes: made, changed, opened, listed, deleted, and what they say of themselves.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::config::{bucket_name, check_bucket, stream_name};
use super::{Config, Error, Store};
use crate::jetstream::stream::{self, Compression};
use crate::jetstream::{Context, Pages};

impl Context {
    /// Makes a bucket. One that is there already and is the same is no error.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`STREAM_NAME_EXIST`](crate::jetstream::ErrorCode::STREAM_NAME_EXIST)
    /// when there is another bucket of this name.
    pub async fn create_key_value(&self, config: Config) -> Result<Store, Error> {
        let wanted = self.stream_of(&config).await?;
        Ok(Store::new(self.create_stream(wanted).await?))
    }

    /// Changes a bucket.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn update_key_value(&self, config: Config) -> Result<Store, Error> {
        let wanted = self.stream_of(&config).await?;
        Ok(Store::new(self.update_stream(wanted).await?))
    }

    /// Changes a bucket, or makes it if it is not there.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn create_or_update_key_value(&self, config: Config) -> Result<Store, Error> {
        let wanted = self.stream_of(&config).await?;
        Ok(Store::new(self.create_or_update_stream(wanted).await?))
    }

    async fn stream_of(&self, config: &Config) -> Result<stream::Config, Error> {
        let stream = config.to_stream()?;
        if config.limit_markers.is_some() && self.query_account().await?.api.level < 1 {
            return Err(Error::LimitMarkersUnsupported);
        }
        Ok(stream)
    }

    /// Opens a bucket.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::is_not_found`] when there is none of this name.
    pub async fn get_key_value(&self, bucket: impl AsRef<str>) -> Result<Store, Error> {
        check_bucket(bucket.as_ref())?;
        Ok(Store::new(self.get_stream(stream_name(bucket.as_ref())).await?))
    }

    /// Deletes a bucket with all its keys.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::is_not_found`] when there is none of this name.
    pub async fn delete_key_value(&self, bucket: impl AsRef<str>) -> Result<(), Error> {
        check_bucket(bucket.as_ref())?;
        Ok(self.delete_stream(stream_name(bucket.as_ref())).await?)
    }

    /// The names of all buckets, sorted.
    pub fn key_value_names(&self) -> BucketNames {
        BucketNames { names: self.stream_names_by_subject(ALL_KEYS) }
    }

    /// What all buckets say of themselves, sorted by name.
    pub fn key_values(&self) -> Statuses {
        Statuses { infos: self.streams_by_subject(ALL_KEYS) }
    }
}

/// The subjects of all keys of all buckets.
const ALL_KEYS: &str = "$KV.*.>";

/// The names of buckets; see [`Context::key_value_names`].
#[derive(Debug)]
#[must_use = "nothing is asked for before the first element is"]
pub struct BucketNames {
    names: Pages<String>,
}

impl Stream for BucketNames {
    type Item = Result<String, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.names).poll_next(cx)) {
                Some(Ok(name)) => {
                    // Other streams may have such subjects too.
                    if let Some(bucket) = bucket_name(&name) {
                        return Poll::Ready(Some(Ok(bucket.to_owned())));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// What buckets say of themselves; see [`Context::key_values`].
#[derive(Debug)]
#[must_use = "nothing is asked for before the first element is"]
pub struct Statuses {
    infos: Pages<stream::Info>,
}

impl Stream for Statuses {
    type Item = Result<Status, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.infos).poll_next(cx)) {
                Some(Ok(info)) => {
                    if bucket_name(&info.config.name).is_some() {
                        return Poll::Ready(Some(Ok(Status { info })));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// What a bucket says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What its stream says.
    pub info: stream::Info,
}

impl Status {
    /// The name.
    pub fn bucket(&self) -> &str {
        bucket_name(&self.info.config.name).unwrap_or(&self.info.config.name)
    }

    /// How many values there are, with those of the past and markers of deleted keys.
    pub fn values(&self) -> u64 {
        self.info.state.messages
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.info.state.bytes
    }

    /// How many values of a key are kept.
    pub fn history(&self) -> u64 {
        self.info.config.max_messages_per_subject
    }

    /// How long a value is kept; zero for ever.
    pub fn max_age(&self) -> Duration {
        self.info.config.max_age
    }

    /// Whether values are kept compressed.
    pub fn is_compressed(&self) -> bool {
        self.info.config.compression != Compression::None
    }

    /// For how long markers stay in the place of keys that went because of their age; `None` when
    /// there are none.
    pub fn limit_markers(&self) -> Option<Duration> {
        let config = &self.info.config;
        config.allow_message_ttl.then_some(config.subject_delete_marker_ttl)
    }
}
