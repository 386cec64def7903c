//! Buckets as wholes: made, changed, opened, listed, deleted, and what they say of themselves.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::{Error, ObjectStore};
use crate::jetstream::stream::{self, Compression, DiscardPolicy, Placement, StorageType};
use crate::jetstream::{Context, Pages};

/// The configuration of a bucket of objects.
///
/// Where a number is a limit, 0 sets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The name: letters, digits, `-` and `_`.
    pub bucket: String,
    /// What it is for.
    pub description: Option<String>,
    /// How long an object is kept; zero for ever.
    pub max_age: Duration,
    /// How many bytes are kept.
    pub max_bytes: u64,
    /// Where objects are kept.
    pub storage: StorageType,
    /// On how many servers; 0 is 1.
    pub num_replicas: u8,
    /// Where in a cluster.
    pub placement: Option<Placement>,
    /// Objects are kept compressed in files.
    pub compression: bool,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
}

/// What the names of streams begin with that are buckets.
const STREAM_PREFIX: &str = "OBJ_";

/// The subjects of all pieces of all objects of all buckets.
const ALL_CHUNKS: &str = "$O.*.C.>";

impl Config {
    /// The stream that keeps the bucket.
    fn to_stream(&self) -> Result<stream::Config, Error> {
        check_bucket(&self.bucket)?;
        Ok(stream::Config {
            name: format!("{STREAM_PREFIX}{}", self.bucket),
            description: self.description.clone(),
            subjects: vec![
                format!("{}>", chunk_prefix(&self.bucket)),
                format!("{}>", meta_prefix(&self.bucket)),
            ],
            max_age: self.max_age,
            max_bytes: self.max_bytes,
            storage: self.storage,
            num_replicas: self.num_replicas,
            placement: self.placement.clone(),
            discard: DiscardPolicy::New,
            compression: if self.compression { Compression::S2 } else { Compression::None },
            allow_rollup: true,
            allow_direct: true,
            metadata: self.metadata.clone(),
            ..stream::Config::default()
        })
    }
}

/// What the subjects of pieces of objects begin with.
pub(super) fn chunk_prefix(bucket: &str) -> String {
    format!("$O.{bucket}.C.")
}

/// What the subjects begin with of what is said of objects.
pub(super) fn meta_prefix(bucket: &str) -> String {
    format!("$O.{bucket}.M.")
}

/// The bucket of a stream, if it is one.
pub(super) fn bucket_name(stream: &str) -> Option<&str> {
    stream.strip_prefix(STREAM_PREFIX)
}

fn check_bucket(bucket: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !bucket.is_empty() && bucket.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::InvalidBucket(bucket.to_owned()))
}

impl Context {
    /// Makes a bucket of objects. One that is there already and is the same is no error.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn create_object_store(&self, config: Config) -> Result<ObjectStore, Error> {
        Ok(ObjectStore::new(self.create_stream(config.to_stream()?).await?))
    }

    /// Changes a bucket of objects.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn update_object_store(&self, config: Config) -> Result<ObjectStore, Error> {
        Ok(ObjectStore::new(self.update_stream(config.to_stream()?).await?))
    }

    /// Changes a bucket of objects, or makes it if it is not there.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn create_or_update_object_store(
        &self,
        config: Config,
    ) -> Result<ObjectStore, Error> {
        Ok(ObjectStore::new(self.create_or_update_stream(config.to_stream()?).await?))
    }

    /// Opens a bucket of objects.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::is_not_found`] when there is none of this name.
    pub async fn get_object_store(&self, bucket: impl AsRef<str>) -> Result<ObjectStore, Error> {
        check_bucket(bucket.as_ref())?;
        let name = format!("{STREAM_PREFIX}{}", bucket.as_ref());
        Ok(ObjectStore::new(self.get_stream(name).await?))
    }

    /// Deletes a bucket with all its objects.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::is_not_found`] when there is none of this name.
    pub async fn delete_object_store(&self, bucket: impl AsRef<str>) -> Result<(), Error> {
        check_bucket(bucket.as_ref())?;
        Ok(self.delete_stream(format!("{STREAM_PREFIX}{}", bucket.as_ref())).await?)
    }

    /// The names of all buckets of objects, sorted.
    pub fn object_store_names(&self) -> BucketNames {
        BucketNames { names: self.stream_names_by_subject(ALL_CHUNKS) }
    }

    /// What all buckets of objects say of themselves, sorted by name.
    pub fn object_stores(&self) -> Statuses {
        Statuses { infos: self.streams_by_subject(ALL_CHUNKS) }
    }
}

/// The names of buckets; see [`Context::object_store_names`].
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

/// What buckets say of themselves; see [`Context::object_stores`].
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

    /// How many bytes there are, of objects and of what is said of them.
    pub fn bytes(&self) -> u64 {
        self.info.state.bytes
    }

    /// How long an object is kept; zero for ever.
    pub fn max_age(&self) -> Duration {
        self.info.config.max_age
    }

    /// Whether nothing can be changed any more.
    pub fn is_sealed(&self) -> bool {
        self.info.config.sealed
    }

    /// Whether objects are kept compressed.
    pub fn is_compressed(&self) -> bool {
        self.info.config.compression != Compression::None
    }
}
