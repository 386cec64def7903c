//! A stream as its user sees it: asked about, emptied, read, and given consumers.

mod config;
mod direct;
mod info;

use std::future::IntoFuture;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use config::{
    Compression, Config, ConsumerLimits, DiscardPolicy, External, PersistMode, Placement,
    Republish, RetentionPolicy, Source, SourceConsumer, StorageType, SubjectTransform,
};
pub use direct::{DirectBatch, DirectMessages};
pub use info::{Alternate, ClusterInfo, Info, Lost, Replica, SourceInfo, State};

use super::consumer::{self, Consumer, ConsumerKind};
use super::context::{Context, Success};
use super::pages::{Page, Pages};
use super::wire::{base64, null_is_default, time_known};
use super::{Error, ErrorCode, StreamMessage};
use crate::{HeaderMap, Subject};

/// A stream.
///
/// ```no_run
/// # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
/// let stream = context.get_stream("ORDERS").await?;
/// println!("{} messages", stream.info().await?.state.messages);
/// stream.purge().filter("orders.old").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    context: Context,
    info: Info,
}

impl Stream {
    pub(crate) fn new(context: Context, info: Info) -> Self {
        Self { context, info }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.info.config.name
    }

    /// The JetStream it belongs to.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What the server said of it when this value was made.
    pub fn cached_info(&self) -> &Info {
        &self.info
    }

    /// What the server says of it now.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::STREAM_NOT_FOUND`] when it was deleted.
    pub async fn info(&self) -> Result<Info, Error> {
        self.call("STREAM.INFO", &(), "ask for").await
    }

    /// What the server says of it now, with the sequences that have no message any more.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn info_with_deleted(&self) -> Result<Info, Error> {
        self.call("STREAM.INFO", &json!({ "deleted_details": true }), "ask for").await
    }

    /// How many messages each subject has that matches `filter`, sorted by subject. A stream may
    /// have millions of them: the server hands out 100,000 at a time.
    pub fn subjects(&self, filter: impl Into<String>) -> Pages<(String, u64)> {
        let (context, name, filter) = (self.context.clone(), self.name().to_owned(), filter.into());
        Pages::new(move |offset| {
            let (context, name) = (context.clone(), name.clone());
            let request = json!({ "subjects_filter": filter, "offset": offset });
            Box::pin(async move {
                let operation = || format!("list the subjects of stream {name}");
                let page: SubjectsPage =
                    context.call_stream("STREAM.INFO", &name, &request, operation).await?;
                let items = page.state.subjects.into_iter().collect();
                Ok(Page { total: page.total, items })
            })
        })
    }

    /// Removes messages: all, or those that the builder says. Returns how many, when it is waited
    /// for.
    pub fn purge(&self) -> Purge<'_> {
        Purge { stream: self, request: PurgeRequest::default() }
    }

    /// Removes a message. Its bytes may stay in the files for a while; see
    /// [`Stream::erase_message`].
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn delete_message(&self, sequence: u64) -> Result<(), Error> {
        let request = json!({ "seq": sequence, "no_erase": true });
        self.call::<Success>("STREAM.MSG.DELETE", &request, "delete a message of").await.map(drop)
    }

    /// Removes a message and overwrites its bytes.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn erase_message(&self, sequence: u64) -> Result<(), Error> {
        let request = json!({ "seq": sequence });
        self.call::<Success>("STREAM.MSG.DELETE", &request, "erase a message of").await.map(drop)
    }

    // --- reading ---

    /// The message of this sequence, from the stream's leader.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::NO_MESSAGE_FOUND`] when there is none.
    pub async fn get_message(&self, sequence: u64) -> Result<StreamMessage, Error> {
        self.get(&json!({ "seq": sequence })).await
    }

    /// The last message of a subject, from the stream's leader.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::NO_MESSAGE_FOUND`] when there is none.
    pub async fn get_last_message(&self, subject: impl AsRef<str>) -> Result<StreamMessage, Error> {
        self.get(&json!({ "last_by_subj": subject.as_ref() })).await
    }

    /// The first message of a subject, which may have wildcards, from a sequence on, from the
    /// stream's leader.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::NO_MESSAGE_FOUND`] when there is none.
    pub async fn get_next_message(
        &self,
        subject: impl AsRef<str>,
        from_sequence: u64,
    ) -> Result<StreamMessage, Error> {
        self.get(&json!({ "next_by_subj": subject.as_ref(), "seq": from_sequence })).await
    }

    async fn get(&self, request: &serde_json::Value) -> Result<StreamMessage, Error> {
        let got: Got = self.call("STREAM.MSG.GET", request, "get a message of").await?;
        Ok(got.message.into())
    }

    // --- consumers ---

    /// Makes a consumer, or changes the one of this name.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    ///
    /// ```no_run
    /// # async fn example(stream: fulmar_client::jetstream::stream::Stream) -> Result<(), Box<dyn std::error::Error>> {
    /// use fulmar_client::jetstream::consumer::pull;
    ///
    /// let consumer = stream
    ///     .create_consumer(pull::Config {
    ///         durable_name: Some("worker".to_owned()),
    ///         filter_subject: Some("orders.new".to_owned()),
    ///         ..Default::default()
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_consumer<T: ConsumerKind>(&self, config: T) -> Result<Consumer<T>, Error> {
        Consumer::create(&self.context, self.name(), config, consumer::Action::CreateOrUpdate).await
    }

    /// Makes a consumer. One that is there already and is the same is no error.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_ALREADY_EXISTS`] when there is another one of this
    /// name.
    pub async fn create_consumer_strict<T: ConsumerKind>(
        &self,
        config: T,
    ) -> Result<Consumer<T>, Error> {
        Consumer::create(&self.context, self.name(), config, consumer::Action::Create).await
    }

    /// Changes a consumer.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_DOES_NOT_EXIST`] when there is none of this name.
    pub async fn update_consumer<T: ConsumerKind>(&self, config: T) -> Result<Consumer<T>, Error> {
        Consumer::create(&self.context, self.name(), config, consumer::Action::Update).await
    }

    /// The consumer of this name.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_NOT_FOUND`] when there is none, and
    /// [`Error::WrongKind`] when it is of the other kind.
    pub async fn get_consumer<T: ConsumerKind>(
        &self,
        name: impl AsRef<str>,
    ) -> Result<Consumer<T>, Error> {
        let info = self.consumer_info(name).await?;
        Consumer::from_info(self.context.clone(), info)
    }

    /// The consumer of this name, whatever else its configuration is, or a new one.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn get_or_create_consumer<T: ConsumerKind>(
        &self,
        name: impl AsRef<str>,
        config: T,
    ) -> Result<Consumer<T>, Error> {
        match self.get_consumer(name).await {
            Err(error) if error.err_code() == Some(ErrorCode::CONSUMER_NOT_FOUND) => {
                self.create_consumer(config).await
            }
            result => result,
        }
    }

    /// What the server says of a consumer, of whichever kind.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_NOT_FOUND`] when there is none.
    pub async fn consumer_info(&self, name: impl AsRef<str>) -> Result<consumer::Info, Error> {
        consumer::info_of(&self.context, self.name(), name.as_ref()).await
    }

    /// Deletes a consumer.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::CONSUMER_NOT_FOUND`] when there is none.
    pub async fn delete_consumer(&self, name: impl AsRef<str>) -> Result<(), Error> {
        consumer::delete(&self.context, self.name(), name.as_ref()).await
    }

    /// Lets a consumer deliver nothing until a time.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn pause_consumer(
        &self,
        name: impl AsRef<str>,
        until: Timestamp,
    ) -> Result<consumer::PauseState, Error> {
        consumer::pause(&self.context, self.name(), name.as_ref(), Some(until)).await
    }

    /// Lets a consumer deliver again.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn resume_consumer(
        &self,
        name: impl AsRef<str>,
    ) -> Result<consumer::PauseState, Error> {
        consumer::pause(&self.context, self.name(), name.as_ref(), None).await
    }

    /// The names of all consumers, sorted.
    pub fn consumer_names(&self) -> Pages<String> {
        let (context, name) = (self.context.clone(), self.name().to_owned());
        Pages::new(move |offset| {
            let (context, name) = (context.clone(), name.clone());
            Box::pin(async move {
                let operation = || format!("list the names of consumers of stream {name}");
                let request = json!({ "offset": offset });
                let page: ConsumersPage<String> =
                    context.call_stream("CONSUMER.NAMES", &name, &request, operation).await?;
                Ok(Page { total: page.total, items: page.items })
            })
        })
    }

    /// All consumers, sorted by name.
    pub fn consumers(&self) -> Pages<consumer::Info> {
        let (context, name) = (self.context.clone(), self.name().to_owned());
        Pages::new(move |offset| {
            let (context, name) = (context.clone(), name.clone());
            Box::pin(async move {
                let operation = || format!("list the consumers of stream {name}");
                let request = json!({ "offset": offset });
                let page: ConsumersPage<consumer::Info> =
                    context.call_stream("CONSUMER.LIST", &name, &request, operation).await?;
                Ok(Page { total: page.total, items: page.items })
            })
        })
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        api: &str,
        body: &impl Serialize,
        verb: &str,
    ) -> Result<T, Error> {
        let operation = || format!("{verb} stream {}", self.name());
        self.context.call_stream(api, self.name(), body, operation).await
    }
}

/// Which messages to remove; see [`Stream::purge`].
#[derive(Clone, Debug)]
#[must_use = "nothing is removed before it is waited for"]
pub struct Purge<'a> {
    stream: &'a Stream,
    request: PurgeRequest,
}

#[derive(Clone, Debug, Default, Serialize)]
struct PurgeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<u64>,
}

impl Purge<'_> {
    /// Only messages of this subject, which may have wildcards.
    pub fn filter(mut self, subject: impl Into<String>) -> Self {
        self.request.filter = Some(subject.into());
        self
    }

    /// Only messages before this sequence. It does not go with [`Purge::keep`].
    pub fn sequence(mut self, sequence: u64) -> Self {
        self.request.seq = Some(sequence);
        self
    }

    /// All but so many of the newest. It does not go with [`Purge::sequence`].
    pub fn keep(mut self, messages: u64) -> Self {
        self.request.keep = Some(messages);
        self
    }
}

impl<'a> IntoFuture for Purge<'a> {
    type Output = Result<u64, Error>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let purged: Purged = self.stream.call("STREAM.PURGE", &self.request, "purge").await?;
            Ok(purged.purged)
        })
    }
}

#[derive(Deserialize)]
struct Purged {
    #[serde(default)]
    purged: u64,
}

#[derive(Deserialize)]
struct SubjectsPage {
    #[serde(default)]
    total: usize,
    state: State,
}

#[derive(Deserialize)]
struct ConsumersPage<T> {
    total: usize,
    #[serde(default = "Vec::new", rename = "consumers", deserialize_with = "null_is_default")]
    #[serde(bound = "T: Deserialize<'de>")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    #[serde(default, deserialize_with = "base64::deserialize")]
    hdrs: Bytes,
    #[serde(default, deserialize_with = "base64::deserialize")]
    data: Bytes,
    #[serde(default, deserialize_with = "time_known::deserialize")]
    time: Option<Timestamp>,
}

impl From<GotMessage> for StreamMessage {
    fn from(got: GotMessage) -> Self {
        let headers =
            if got.hdrs.is_empty() { HeaderMap::new() } else { HeaderMap::received(got.hdrs) };
        Self {
            subject: Subject::from(got.subject),
            sequence: got.seq,
            headers,
            payload: got.data,
            time: got.time.unwrap_or_default(),
        }
    }
}
