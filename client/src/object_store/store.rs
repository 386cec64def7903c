//! A bucket of objects as its user sees it.
//!
//! An object is a message that says what it is, under a subject made of its name, and messages
//! with its pieces, under a subject made of an id of its own. Putting an object again makes other
//! pieces; those before go when what is said of the object has changed.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64URL;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::bucket::{Status, bucket_name, chunk_prefix, meta_prefix};
use super::info::{Options, digest_text};
use super::watch::{List, WatchBuilder};
use super::{Error, Link, Object, ObjectInfo, ObjectMeta};
use crate::jetstream::stream::Stream;
use crate::jetstream::{
    Context, Error as StreamError, ErrorCode, Publish, PublishAckFuture, PublishError, Rollup,
    StreamMessage,
};

/// How large the pieces of an object are, in bytes, unless [`ObjectMeta::chunk_size`] says so.
pub const CHUNK_BYTES_DEFAULT: usize = 128 * 1024;
/// How many pieces of an object that is put are without an answer of the stream.
pub const CHUNKS_INFLIGHT_MAX: usize = 16;
/// So many links may lead to each other.
pub const LINKS_MAX: usize = 8;

/// A bucket of objects.
///
/// ```no_run
/// # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::TryStreamExt as _;
///
/// let bucket = context.get_object_store("files").await?;
/// let mut objects = bucket.list().await?;
/// while let Some(object) = objects.try_next().await? {
///     println!("{}: {} bytes", object.name, object.size);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ObjectStore {
    stream: Stream,
    bucket: String,
}

impl ObjectStore {
    pub(super) fn new(stream: Stream) -> Self {
        let bucket = bucket_name(stream.name()).unwrap_or(stream.name()).to_owned();
        Self { stream, bucket }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.bucket
    }

    /// The stream that keeps it.
    pub fn stream(&self) -> &Stream {
        &self.stream
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

    /// Ends that it can be changed. It cannot be taken back.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn seal(&self) -> Result<(), Error> {
        let mut config = self.stream.info().await?.config;
        config.sealed = true;
        self.context().update_stream(config).await?;
        Ok(())
    }

    // --- whole objects ---

    /// Puts an object into the bucket: all that can be read from `data`. An object of the same
    /// name is there until this one is whole, and gone then.
    ///
    /// When this is given up or fails, what was put so far is removed.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn put<R>(
        &self,
        meta: impl Into<ObjectMeta>,
        data: &mut R,
    ) -> Result<ObjectInfo, Error>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        let meta = meta.into();
        self.check_name(&meta.name)?;
        let before = self.find(&meta.name).await?;
        let mut info = self.described(meta);
        info.nuid = nuid::next().to_string();
        let subject = self.chunk_subject(&info.nuid);
        let unfinished = Unfinished { stream: &self.stream, subject: &subject };
        self.put_chunks(&mut info, &subject, data).await?;
        let published = self.publish_info(&info).await;
        // From here on the object is there, or may be.
        if !matches!(published, Err(Error::Publish(PublishError::Refused { .. }))) {
            std::mem::forget(unfinished);
        }
        info.modified = Some(published?);
        if let Some(before) = before.filter(|before| !before.nuid.is_empty()) {
            self.purge_chunks(&before.nuid).await?;
        }
        Ok(info)
    }

    /// Publishes the pieces, several at a time, and notes what they are.
    async fn put_chunks<R>(
        &self,
        info: &mut ObjectInfo,
        subject: &str,
        data: &mut R,
    ) -> Result<(), Error>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        let mut hash = Sha256::new();
        let mut acks = VecDeque::<PublishAckFuture>::new();
        let chunk_bytes = info.options.max_chunk_size;
        loop {
            let chunk = read_chunk(data, chunk_bytes).await;
            let chunk =
                chunk.map_err(|source| Error::Read { bucket: self.bucket.clone(), source })?;
            if chunk.is_empty() {
                break;
            }
            hash.update(&chunk);
            info.size += chunk.len() as u64;
            info.chunks += 1;
            let is_last = chunk.len() < chunk_bytes;
            while acks.len() >= CHUNKS_INFLIGHT_MAX {
                let Some(ack) = acks.pop_front() else { break };
                ack.await?;
            }
            acks.push_back(self.context().publish(subject, chunk).await?);
            if is_last {
                break;
            }
        }
        for ack in acks {
            ack.await?;
        }
        info.digest = Some(digest_text(&hash.finalize()));
        Ok(())
    }

    /// Reads an object. Links are followed.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::NotFound`] when there is none of this name.
    pub async fn get(&self, name: impl AsRef<str>) -> Result<Object, Error> {
        let mut store = self.clone();
        let mut info = store.info(name.as_ref()).await?;
        for _ in 0..LINKS_MAX {
            let Some(link) = info.link() else { return Object::open(&store.stream, info).await };
            let Link { bucket, name: Some(target) } = link.clone() else {
                return Err(Error::LinkToBucket { bucket: info.bucket, name: info.name });
            };
            if bucket != store.bucket {
                store = self.context().get_object_store(&bucket).await?;
            }
            info = store.info(&target).await?;
        }
        let name = name.as_ref().to_owned();
        Err(Error::TooManyLinks { bucket: self.bucket.clone(), name })
    }

    /// Deletes an object. A marker stays, so that others hear of it.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::NotFound`] when there is none of this name.
    pub async fn delete(&self, name: impl AsRef<str>) -> Result<(), Error> {
        let info = self.info(name).await?;
        let marker = ObjectInfo { size: 0, chunks: 0, digest: None, deleted: true, ..info.clone() };
        self.publish_info(&marker).await?;
        if !info.nuid.is_empty() {
            self.purge_chunks(&info.nuid).await?;
        }
        Ok(())
    }

    // --- what is said of objects ---

    /// What is said of an object. Links are not followed.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::NotFound`] when there is none of this name.
    pub async fn info(&self, name: impl AsRef<str>) -> Result<ObjectInfo, Error> {
        let name = name.as_ref();
        self.check_name(name)?;
        let found = self.find(name).await?.filter(|info| !info.deleted);
        found.ok_or_else(|| self.not_found(name))
    }

    /// What is said of an object, which may have been deleted; `None` when nothing is known.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn info_or_marker(&self, name: impl AsRef<str>) -> Result<Option<ObjectInfo>, Error> {
        self.check_name(name.as_ref())?;
        self.find(name.as_ref()).await
    }

    /// Changes what is said of an object, and its name if that is another one.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Exists`] when there is an object of the new name.
    pub async fn update_metadata(
        &self,
        name: impl AsRef<str>,
        meta: impl Into<ObjectMeta>,
    ) -> Result<ObjectInfo, Error> {
        let (name, meta) = (name.as_ref(), meta.into());
        self.check_name(&meta.name)?;
        let info = self.info(name).await?;
        let renamed = meta.name != name;
        if renamed && self.find(&meta.name).await?.is_some_and(|other| !other.deleted) {
            return Err(Error::Exists { bucket: self.bucket.clone(), name: meta.name });
        }
        // How large the pieces are is not changed by what is said.
        let mut changed = ObjectInfo {
            name: meta.name,
            description: meta.description,
            headers: meta.headers,
            metadata: meta.metadata,
            ..info
        };
        changed.modified = Some(self.publish_info(&changed).await?);
        if renamed {
            self.stream.purge().filter(self.meta_subject(name)).await?;
        }
        Ok(changed)
    }

    /// Makes a link to an object, of this bucket or another.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Exists`] when there is an object of this name that is no link.
    pub async fn add_link(
        &self,
        name: impl AsRef<str>,
        object: &ObjectInfo,
    ) -> Result<ObjectInfo, Error> {
        let (bucket, target) = (object.bucket.clone(), object.name.clone());
        if object.deleted {
            return Err(Error::NotFound { bucket, name: target });
        }
        if object.link().is_some() {
            return Err(Error::LinkToLink { bucket, name: target });
        }
        self.link(name.as_ref(), Link { bucket, name: Some(target) }).await
    }

    /// Makes a link to a whole bucket.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Exists`] when there is an object of this name that is no link.
    pub async fn add_bucket_link(
        &self,
        name: impl AsRef<str>,
        bucket: &ObjectStore,
    ) -> Result<ObjectInfo, Error> {
        self.link(name.as_ref(), Link { bucket: bucket.bucket.clone(), name: None }).await
    }

    async fn link(&self, name: &str, link: Link) -> Result<ObjectInfo, Error> {
        self.check_name(name)?;
        let before = self.find(name).await?;
        if before.is_some_and(|before| !before.deleted && before.link().is_none()) {
            return Err(Error::Exists { bucket: self.bucket.clone(), name: name.to_owned() });
        }
        let mut info = ObjectInfo {
            name: name.to_owned(),
            bucket: self.bucket.clone(),
            nuid: nuid::next().to_string(),
            options: Options { link: Some(link), max_chunk_size: 0 },
            ..ObjectInfo::default()
        };
        info.modified = Some(self.publish_info(&info).await?);
        Ok(info)
    }

    /// What is said of all objects, in the order in which they were put or changed.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn list(&self) -> Result<List, Error> {
        Ok(List::new(self.watch().ignore_deletes().await?))
    }

    /// What is said of all objects, and all changes from then on; the builder says if it should be
    /// otherwise.
    ///
    /// ```no_run
    /// # async fn example(bucket: fulmar_client::object_store::ObjectStore) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let mut changes = bucket.watch().updates_only().await?;
    /// while let Some(object) = changes.try_next().await? {
    ///     println!("{} {}", object.name, if object.deleted { "is gone" } else { "is there" });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> WatchBuilder<'_> {
        WatchBuilder::new(self)
    }

    // --- helpers ---

    /// What is said of an object with this meta, before there is any of it.
    fn described(&self, meta: ObjectMeta) -> ObjectInfo {
        let max_chunk_size =
            if meta.chunk_size == 0 { CHUNK_BYTES_DEFAULT } else { meta.chunk_size };
        ObjectInfo {
            name: meta.name,
            description: meta.description,
            headers: meta.headers,
            metadata: meta.metadata,
            options: Options { link: None, max_chunk_size },
            bucket: self.bucket.clone(),
            ..ObjectInfo::default()
        }
    }

    async fn find(&self, name: &str) -> Result<Option<ObjectInfo>, Error> {
        let subject = self.meta_subject(name);
        let message = if self.stream.cached_info().config.allow_direct {
            self.stream.direct_get_last(subject).await
        } else {
            self.stream.get_last_message(subject).await
        };
        match message {
            Ok(message) => self.read_info(message).map(Some),
            Err(error) if error.is_not_found() && !is_stream_gone(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read_info(&self, message: StreamMessage) -> Result<ObjectInfo, Error> {
        read_info(&self.bucket, &message.payload, message.time)
    }

    /// Has the bucket say this of an object. Returns when it did.
    async fn publish_info(&self, info: &ObjectInfo) -> Result<jiff::Timestamp, Error> {
        let payload = serde_json::to_vec(info).expect("it has text for keys");
        let publish = Publish::new().payload(payload.into()).rollup(Rollup::Subject);
        let subject = self.meta_subject(&info.name);
        self.context().send_publish(subject, publish).await?.await?;
        // The server does not say when it stored the message.
        Ok(jiff::Timestamp::now())
    }

    async fn purge_chunks(&self, nuid: &str) -> Result<(), Error> {
        self.stream.purge().filter(self.chunk_subject(nuid)).await?;
        Ok(())
    }

    fn meta_subject(&self, name: &str) -> String {
        format!("{}{}", meta_prefix(&self.bucket), BASE64URL.encode(name.as_bytes()))
    }

    fn chunk_subject(&self, nuid: &str) -> String {
        format!("{}{nuid}", chunk_prefix(&self.bucket))
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::InvalidName { bucket: self.bucket.clone() });
        }
        Ok(())
    }

    fn not_found(&self, name: &str) -> Error {
        Error::NotFound { bucket: self.bucket.clone(), name: name.to_owned() }
    }
}

/// What is said of an object in a message of this time.
pub(super) fn read_info(
    bucket: &str,
    payload: &[u8],
    time: jiff::Timestamp,
) -> Result<ObjectInfo, Error> {
    let info: ObjectInfo = serde_json::from_slice(payload)
        .map_err(|error| Error::Info { bucket: bucket.to_owned(), reason: error.to_string() })?;
    Ok(ObjectInfo { modified: Some(time), ..info })
}

/// Pieces of an object that is not there yet: removed when it will not be.
struct Unfinished<'a> {
    stream: &'a Stream,
    subject: &'a str,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let context = self.stream.context();
        let subject = format!("{}.STREAM.PURGE.{}", context.api_prefix(), self.stream.name());
        let request = serde_json::json!({ "filter": self.subject }).to_string();
        context.client().publish_if_possible(&subject, request.as_bytes());
    }
}

/// The next bytes of `data`: as many as a piece has, or fewer at the end.
async fn read_chunk<R>(data: &mut R, chunk_bytes: usize) -> std::io::Result<Bytes>
where
    R: AsyncRead + Unpin + ?Sized,
{
    let mut chunk = BytesMut::with_capacity(chunk_bytes);
    // Bounded, because a buffer that is full would grow.
    let mut data = data.take(chunk_bytes as u64);
    while chunk.len() < chunk_bytes {
        if data.read_buf(&mut chunk).await? == 0 {
            break;
        }
    }
    Ok(chunk.freeze())
}

fn is_stream_gone(error: &StreamError) -> bool {
    error.err_code() == Some(ErrorCode::STREAM_NOT_FOUND)
}
