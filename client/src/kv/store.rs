//! A bucket as its user sees it: keys are read, written and deleted.

use std::time::Duration;

use bytes::Bytes;

use super::bucket::Status;
use super::config::{bucket_name, check_key, key_prefix};
use super::entry::OPERATION_HEADER;
use super::watch::{History, Keys, WatchBuilder};
use super::{Entry, Error, Operation};
use crate::jetstream::stream::Stream;
use crate::jetstream::{Context, Error as StreamError, Publish, Rollup, StreamMessage};

/// A bucket.
///
/// ```no_run
/// # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
/// let bucket = context.get_key_value("settings").await?;
/// bucket.put("color", "blue".into()).await?;
/// println!("{:?}", bucket.get("color").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    stream: Stream,
    bucket: String,
    /// What the subjects of stored keys begin with.
    prefix: String,
    /// What the subjects begin with to which keys are written.
    write_prefix: String,
    direct: bool,
}

impl Store {
    pub(super) fn new(stream: Stream) -> Self {
        let config = &stream.cached_info().config;
        let bucket = bucket_name(&config.name).unwrap_or(&config.name).to_owned();
        // A mirror has the subjects of the bucket that it copies, and what is written to it goes
        // there.
        let origin = config.mirror.as_ref();
        let origin_bucket =
            origin.map_or(&bucket[..], |origin| bucket_name(&origin.name).unwrap_or(&origin.name));
        let prefix = key_prefix(origin_bucket);
        let elsewhere = origin.and_then(|origin| origin.external.as_ref());
        let api_prefix = stream.context().api_prefix();
        let write_prefix = match elsewhere {
            Some(external) => format!("{}.{prefix}", external.api_prefix),
            None if api_prefix != "$JS.API" => format!("{api_prefix}.{prefix}"),
            None => prefix.clone(),
        };
        let direct = config.allow_direct || config.mirror_direct;
        Self { bucket, prefix, write_prefix, direct, stream }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.bucket
    }

    /// The stream that keeps it.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn context(&self) -> &Context {
        self.stream.context()
    }

    /// What it says of itself.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn status(&self) -> Result<Status, Error> {
        Ok(Status { info: self.stream.info().await? })
    }

    // --- reading ---

    /// The value of a key; `None` when it has none.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<Bytes>, Error> {
        let entry = self.entry(key).await?;
        Ok(entry.filter(|entry| !entry.operation.is_delete()).map(|entry| entry.value))
    }

    /// What happened last to a key; `None` when nothing is known.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn entry(&self, key: impl AsRef<str>) -> Result<Option<Entry>, Error> {
        let key = key.as_ref();
        check_key(key)?;
        let subject = format!("{}{key}", self.prefix);
        let message = if self.direct {
            self.stream.direct_get_last(subject).await
        } else {
            self.stream.get_last_message(subject).await
        };
        self.found(key, message)
    }

    /// What happened to a key with a revision; `None` when nothing is known, or it happened to
    /// another key.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn entry_for_revision(
        &self,
        key: impl AsRef<str>,
        revision: u64,
    ) -> Result<Option<Entry>, Error> {
        let key = key.as_ref();
        check_key(key)?;
        let message = if self.direct {
            self.stream.direct_get(revision).await
        } else {
            self.stream.get_message(revision).await
        };
        self.found(key, message)
    }

    fn found(
        &self,
        key: &str,
        message: Result<StreamMessage, StreamError>,
    ) -> Result<Option<Entry>, Error> {
        let message = match message {
            Ok(message) => message,
            // That the stream is not there is another matter than that the message is not.
            Err(error) if error.is_not_found() && !is_stream_gone(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if message.subject.strip_prefix(&self.prefix) != Some(key) {
            return Ok(None);
        }
        Ok(Some(Entry {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            operation: Operation::of(&message.headers),
            value: message.payload,
            revision: message.sequence,
            delta: 0,
            created: message.time,
            seen_current: true,
        }))
    }

    /// The keys that have values, in no order.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn keys(&self) -> Result<Keys, Error> {
        self.keys_with([">"]).await
    }

    /// The keys that have values and match one of these filters, in which `*` stands for any token
    /// and `>` for any rest. The filters must not overlap.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn keys_with(
        &self,
        filters: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Keys, Error> {
        let watch = self.watch_many(filters).meta_only().ignore_deletes().await?;
        Ok(Keys::new(watch))
    }

    /// All that is known of a key, the oldest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn history(&self, key: impl AsRef<str>) -> Result<History, Error> {
        check_key(key.as_ref())?;
        let watch = self.watch(key).include_history().await?;
        Ok(History::new(watch))
    }

    /// The last values of the keys that match a filter, and all changes from then on; the builder
    /// says if it should be otherwise. In a filter `*` stands for any token and `>` for any rest.
    ///
    /// ```no_run
    /// # async fn example(bucket: fulmar_client::kv::Store) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let mut changes = bucket.watch("users.*.name").ignore_deletes().await?;
    /// let names_now = changes.current().await?;
    /// while let Some(change) = changes.try_next().await? {
    ///     println!("{} {:?}", change.key, change.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, filter: impl AsRef<str>) -> WatchBuilder<'_> {
        self.watch_many([filter])
    }

    /// The keys that match one of these filters, which must not overlap; see [`Store::watch`].
    pub fn watch_many(
        &self,
        filters: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> WatchBuilder<'_> {
        let filters = filters.into_iter().map(|filter| filter.as_ref().to_owned()).collect();
        WatchBuilder::new(self, filters)
    }

    /// All keys; see [`Store::watch`].
    pub fn watch_all(&self) -> WatchBuilder<'_> {
        self.watch(">")
    }

    // --- writing ---

    /// Gives a key a value. Returns the revision.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn put(&self, key: impl AsRef<str>, value: Bytes) -> Result<u64, Error> {
        self.write(key.as_ref(), Publish::new().payload(value)).await
    }

    /// Gives a key a value that has none, or was deleted. Returns the revision.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Exists`] when it has a value.
    pub async fn create(&self, key: impl AsRef<str>, value: Bytes) -> Result<u64, Error> {
        self.create_as(key.as_ref(), Publish::new().payload(value)).await
    }

    /// Gives a key a value that has none, or was deleted, for a time: at least a second. The
    /// bucket must have [limit markers](super::Config::limit_markers). Returns the revision.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Exists`] when it has a value.
    pub async fn create_with_ttl(
        &self,
        key: impl AsRef<str>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<u64, Error> {
        self.create_as(key.as_ref(), Publish::new().payload(value).ttl(ttl)).await
    }

    async fn create_as(&self, key: &str, publish: Publish) -> Result<u64, Error> {
        let exists = || Error::Exists { bucket: self.bucket.clone(), key: key.to_owned() };
        match self.write_if(key, publish.clone(), 0).await {
            Err(Error::WrongRevision { .. }) => {}
            result => return result,
        }
        // It is there, or there is the marker of its end.
        let revision = match self.entry(key).await? {
            Some(entry) if entry.operation.is_delete() => entry.revision,
            Some(_) => return Err(exists()),
            None => 0,
        };
        match self.write_if(key, publish, revision).await {
            Err(Error::WrongRevision { .. }) => Err(exists()),
            result => result,
        }
    }

    /// Gives a key another value, if its last revision is this one. Returns the new revision.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::WrongRevision`] when it is another.
    pub async fn update(
        &self,
        key: impl AsRef<str>,
        value: Bytes,
        revision: u64,
    ) -> Result<u64, Error> {
        self.write_if(key.as_ref(), Publish::new().payload(value), revision).await
    }

    /// Deletes a key. Its history stays. A key that has no value may be deleted too.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn delete(&self, key: impl AsRef<str>) -> Result<(), Error> {
        self.write(key.as_ref(), deletion()).await.map(drop)
    }

    /// Deletes a key, if its last revision is this one.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::WrongRevision`] when it is another.
    pub async fn delete_if(&self, key: impl AsRef<str>, revision: u64) -> Result<(), Error> {
        self.write_if(key.as_ref(), deletion(), revision).await.map(drop)
    }

    /// Deletes a key with its history. A marker stays.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn purge(&self, key: impl AsRef<str>) -> Result<(), Error> {
        self.write(key.as_ref(), purge()).await.map(drop)
    }

    /// Deletes a key with its history, if its last revision is this one. A marker stays.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::WrongRevision`] when it is another.
    pub async fn purge_if(&self, key: impl AsRef<str>, revision: u64) -> Result<(), Error> {
        self.write_if(key.as_ref(), purge(), revision).await.map(drop)
    }

    /// Deletes a key with its history. A marker stays for this long: at least a second. The bucket
    /// must have [limit markers](super::Config::limit_markers).
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn purge_with_ttl(&self, key: impl AsRef<str>, ttl: Duration) -> Result<(), Error> {
        self.write(key.as_ref(), purge().ttl(ttl)).await.map(drop)
    }

    /// Removes the history of all keys that were deleted, and the markers that are older than
    /// this. Returns how many keys it found.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn purge_deletes(&self, older_than: Duration) -> Result<usize, Error> {
        let mut entries = self.watch_all().meta_only().await?.current().await?;
        entries.retain(|entry| entry.operation.is_delete());
        for entry in &entries {
            let age = jiff::Timestamp::now().duration_since(entry.created);
            let is_old = Duration::try_from(age).is_ok_and(|age| age >= older_than);
            let purge = self.stream.purge().filter(format!("{}{}", self.prefix, entry.key));
            let purge = if is_old { purge } else { purge.keep(1) };
            purge.await?;
        }
        Ok(entries.len())
    }

    async fn write(&self, key: &str, publish: Publish) -> Result<u64, Error> {
        check_key(key)?;
        let subject = format!("{}{key}", self.write_prefix);
        let ack = self.context().send_publish(subject, publish).await?.await?;
        Ok(ack.sequence)
    }

    async fn write_if(&self, key: &str, publish: Publish, revision: u64) -> Result<u64, Error> {
        match self.write(key, publish.expected_last_subject_sequence(revision)).await {
            Err(Error::Publish(error)) if error.is_wrong_last_sequence() => {
                let (bucket, key) = (self.bucket.clone(), key.to_owned());
                Err(Error::WrongRevision { bucket, key, expected: revision })
            }
            result => result,
        }
    }
}

fn deletion() -> Publish {
    Publish::new().header(OPERATION_HEADER, "DEL")
}

fn purge() -> Publish {
    Publish::new().header(OPERATION_HEADER, "PURGE").rollup(Rollup::Subject)
}

fn is_stream_gone(error: &StreamError) -> bool {
    error.err_code() == Some(crate::jetstream::ErrorCode::STREAM_NOT_FOUND)
}
