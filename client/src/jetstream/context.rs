//! What a user does with JetStream: the place where requests to its API are made. Which requests
//! there are stands where their subjects are: streams, consumers, accounts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fulmar_protocol::subject::Filter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Semaphore;

use super::account::Account;
use super::pages::{Page, Pages};
use super::stream::{self, Stream};
use super::{ApiError, Error, ErrorCode};
use crate::{Client, Message, Request, RequestError};

/// How long [`ContextBuilder::timeout`] is unless it is set.
pub const API_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How long [`ContextBuilder::ack_timeout`] is unless it is set.
pub const ACK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// What [`ContextBuilder::max_ack_inflight`] is unless it is set.
pub const ACKS_INFLIGHT_MAX: usize = 4_000;

/// JetStream as a client sees it, shared by all clones.
///
/// ```no_run
/// # async fn example(client: fulmar_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use fulmar_client::jetstream;
///
/// let context = jetstream::new(client);
/// let stream = context
///     .create_stream(jetstream::stream::Config {
///         name: "ORDERS".to_owned(),
///         subjects: vec!["orders.>".to_owned()],
///         ..Default::default()
///     })
///     .await?;
/// let ack = context.publish("orders.new", "hello".into()).await?.await?;
/// assert_eq!(ack.stream, stream.cached_info().config.name);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    prefix: String,
    timeout: Duration,
    ack_timeout: Duration,
    /// Publishes without answer have places in it.
    window: Arc<Semaphore>,
}

/// JetStream with the defaults.
pub fn new(client: Client) -> Context {
    ContextBuilder::new().build(client)
}

/// JetStream in another domain.
pub fn with_domain(client: Client, domain: impl AsRef<str>) -> Context {
    ContextBuilder::new().domain(domain).build(client)
}

/// JetStream whose API subjects begin with `prefix` instead of `$JS.API`.
pub fn with_prefix(client: Client, prefix: impl Into<String>) -> Context {
    ContextBuilder::new().api_prefix(prefix).build(client)
}

/// Options of a [`Context`], set one after the other before [`ContextBuilder::build`].
///
/// ```no_run
/// # fn example(client: fulmar_client::Client) {
/// use std::time::Duration;
///
/// let context = fulmar_client::jetstream::ContextBuilder::new()
///     .domain("hub")
///     .timeout(Duration::from_secs(2))
///     .max_ack_inflight(1_000)
///     .build(client);
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing before `build`"]
pub struct ContextBuilder {
    prefix: String,
    timeout: Duration,
    ack_timeout: Duration,
    acks_inflight_max: usize,
}

impl Default for ContextBuilder {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            timeout: API_TIMEOUT_DEFAULT,
            ack_timeout: ACK_TIMEOUT_DEFAULT,
            acks_inflight_max: ACKS_INFLIGHT_MAX,
        }
    }
}

/// What API subjects begin with.
const DEFAULT_PREFIX: &str = "$JS.API";

impl ContextBuilder {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks to the servers of a JetStream domain.
    pub fn domain(mut self, domain: impl AsRef<str>) -> Self {
        self.prefix = format!("$JS.{}.API", domain.as_ref());
        self
    }

    /// What API subjects begin with, instead of `$JS.API`: for an account that imports the API of
    /// another.
    pub fn api_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        while self.prefix.ends_with('.') {
            self.prefix.pop();
        }
        self
    }

    /// How long a request to the API may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a publish waits for the answer of the stream.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// How many publishes may be without an answer; then publishers wait. At least 1.
    pub fn max_ack_inflight(mut self, count: usize) -> Self {
        self.acks_inflight_max = count.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// The context.
    pub fn build(self, client: Client) -> Context {
        Context {
            inner: Arc::new(Inner {
                client,
                prefix: self.prefix,
                timeout: self.timeout,
                ack_timeout: self.ack_timeout,
                window: Arc::new(Semaphore::new(self.acks_inflight_max)),
            }),
        }
    }
}

impl Context {
    /// The client underneath.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// What API subjects begin with.
    pub fn api_prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// How long a request to the API may take.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// How long a publish waits for the answer of the stream.
    pub fn ack_timeout(&self) -> Duration {
        self.inner.ack_timeout
    }

    pub(crate) fn window(&self) -> &Arc<Semaphore> {
        &self.inner.window
    }

    /// What the account has of JetStream, and may have.
    ///
    /// # Errors
    ///
    /// [`Error::NoResponders`] when the server has no JetStream; otherwise see [`Error`].
    pub async fn query_account(&self) -> Result<Account, Error> {
        self.call("INFO", &(), || "ask for the account".to_owned()).await
    }

    // --- streams ---

    /// Makes a stream. One that is there already and is the same is no error.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::STREAM_NAME_EXIST`] when there is another stream of this name.
    pub async fn create_stream(&self, config: impl Into<stream::Config>) -> Result<Stream, Error> {
        let config = config.into();
        let operation = || format!("create stream {}", config.name);
        let info = self.call_stream("STREAM.CREATE", &config.name, &config, operation).await?;
        Ok(Stream::new(self.clone(), info))
    }

    /// Changes a stream.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn update_stream(&self, config: impl Into<stream::Config>) -> Result<Stream, Error> {
        let config = config.into();
        let operation = || format!("update stream {}", config.name);
        let info = self.call_stream("STREAM.UPDATE", &config.name, &config, operation).await?;
        Ok(Stream::new(self.clone(), info))
    }

    /// Changes a stream, or makes it if it is not there.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn create_or_update_stream(
        &self,
        config: impl Into<stream::Config>,
    ) -> Result<Stream, Error> {
        let config = config.into();
        match self.update_stream(&config).await {
            Err(error) if error.err_code() == Some(ErrorCode::STREAM_NOT_FOUND) => {
                self.create_stream(config).await
            }
            result => result,
        }
    }

    /// The stream of this name, whatever its configuration is, or a new one.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn get_or_create_stream(
        &self,
        config: impl Into<stream::Config>,
    ) -> Result<Stream, Error> {
        let config = config.into();
        match self.get_stream(&config.name).await {
            Err(error) if error.err_code() == Some(ErrorCode::STREAM_NOT_FOUND) => {
                self.create_stream(config).await
            }
            result => result,
        }
    }

    /// The stream of this name.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::STREAM_NOT_FOUND`] when there is none.
    pub async fn get_stream(&self, name: impl AsRef<str>) -> Result<Stream, Error> {
        let name = name.as_ref();
        let operation = || format!("get stream {name}");
        let info = self.call_stream("STREAM.INFO", name, &(), operation).await?;
        Ok(Stream::new(self.clone(), info))
    }

    /// Deletes a stream with all its messages and consumers.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::STREAM_NOT_FOUND`] when there is none.
    pub async fn delete_stream(&self, name: impl AsRef<str>) -> Result<(), Error> {
        let name = name.as_ref();
        let operation = || format!("delete stream {name}");
        self.call_stream::<Success>("STREAM.DELETE", name, &(), operation).await.map(drop)
    }

    /// The name of the stream that stores messages to `subject`.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`ErrorCode::STREAM_NOT_FOUND`] when there is none.
    pub async fn stream_by_subject(&self, subject: impl AsRef<str>) -> Result<String, Error> {
        let subject = subject.as_ref();
        let operation = || format!("find the stream of {subject}");
        let page: NamesPage =
            self.call("STREAM.NAMES", &json!({ "subject": subject }), operation).await?;
        page.items.into_iter().next().ok_or_else(|| {
            let error = ApiError {
                code: 404,
                err_code: ErrorCode::STREAM_NOT_FOUND,
                description: "no stream matches the subject".to_owned(),
            };
            Error::Refused { operation: operation(), error }
        })
    }

    /// The names of all streams, sorted.
    pub fn stream_names(&self) -> Pages<String> {
        self.stream_names_with("")
    }

    /// The names of the streams that store messages to `subject`, which may have wildcards.
    pub fn stream_names_by_subject(&self, subject: impl AsRef<str>) -> Pages<String> {
        self.stream_names_with(subject.as_ref())
    }

    fn stream_names_with(&self, subject: &str) -> Pages<String> {
        let (context, subject) = (self.clone(), subject.to_owned());
        Pages::new(move |offset| {
            let (context, subject) = (context.clone(), subject.clone());
            Box::pin(async move {
                let request = ListRequest { offset, subject: &subject };
                let operation = || "list the names of streams".to_owned();
                let page: NamesPage = context.call("STREAM.NAMES", &request, operation).await?;
                Ok(Page { total: page.total, items: page.items })
            })
        })
    }

    /// All streams, sorted by name.
    pub fn streams(&self) -> Pages<stream::Info> {
        self.streams_with("")
    }

    /// The streams that store messages to `subject`, which may have wildcards.
    pub fn streams_by_subject(&self, subject: impl AsRef<str>) -> Pages<stream::Info> {
        self.streams_with(subject.as_ref())
    }

    fn streams_with(&self, subject: &str) -> Pages<stream::Info> {
        let (context, subject) = (self.clone(), subject.to_owned());
        Pages::new(move |offset| {
            let (context, subject) = (context.clone(), subject.clone());
            Box::pin(async move {
                let request = ListRequest { offset, subject: &subject };
                let operation = || "list streams".to_owned();
                let page: StreamsPage = context.call("STREAM.LIST", &request, operation).await?;
                Ok(Page { total: page.total, items: page.items })
            })
        })
    }

    // --- the API ---

    /// Makes a request to the API that is about a stream.
    pub(crate) async fn call_stream<T: DeserializeOwned>(
        &self,
        api: &str,
        stream: &str,
        body: &impl Serialize,
        operation: impl Fn() -> String,
    ) -> Result<T, Error> {
        check_name(stream, &operation)?;
        self.call(&format!("{api}.{stream}"), body, operation).await
    }

    /// Makes a request to the API and reads the answer. `operation` says in words what it is.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        api: &str,
        body: &impl Serialize,
        operation: impl Fn() -> String,
    ) -> Result<T, Error> {
        let message = self.exchange(api, body, &operation).await?;
        read_answer(&message.payload, operation)
    }

    /// Makes a request to the API.
    pub(crate) async fn exchange(
        &self,
        api: &str,
        body: &impl Serialize,
        operation: impl Fn() -> String,
    ) -> Result<Message, Error> {
        let subject = format!("{}.{api}", self.inner.prefix);
        if let Err(error) = Filter::parse(subject.as_bytes()) {
            return Err(Error::InvalidSubject { operation: operation(), error });
        }
        let request = Request::new().payload(encode(body)).timeout(Some(self.inner.timeout));
        match self.inner.client.send_request(&subject, request).await {
            Ok(message) => Ok(message),
            Err(RequestError::NoResponders) => {
                Err(Error::NoResponders { operation: operation(), subject })
            }
            Err(error) => Err(Error::Request { operation: operation(), error }),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("client", &self.inner.client)
            .field("prefix", &self.inner.prefix)
            .finish_non_exhaustive()
    }
}

/// The body of a request; `()` is none.
pub(crate) fn encode(body: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(body).expect("keys of maps are text, and nothing else can fail");
    if json == b"null" { Bytes::new() } else { json.into() }
}

/// What the server answered, or why it did not.
pub(crate) fn read_answer<T: DeserializeOwned>(
    payload: &[u8],
    operation: impl Fn() -> String,
) -> Result<T, Error> {
    #[derive(serde::Deserialize)]
    struct Outcome {
        #[serde(default)]
        error: Option<ApiError>,
    }
    let unreadable = |error: serde_json::Error| Error::Answer {
        operation: operation(),
        reason: error.to_string(),
    };
    let outcome: Outcome = serde_json::from_slice(payload).map_err(unreadable)?;
    if let Some(error) = outcome.error {
        return Err(Error::Refused { operation: operation(), error });
    }
    serde_json::from_slice(payload).map_err(unreadable)
}

/// A name becomes part of a subject, so it is checked before anybody is asked.
pub(crate) fn check_name(name: &str, operation: impl Fn() -> String) -> Result<(), Error> {
    let fits = (1..=255).contains(&name.len())
        && !name.bytes().any(|byte| b".*>/\\".contains(&byte) || byte.is_ascii_whitespace());
    if fits { Ok(()) } else { Err(Error::InvalidName { operation: operation() }) }
}

/// An answer that says nothing but yes.
#[derive(serde::Deserialize)]
pub(crate) struct Success {}

/// Which part of a list is wanted.
#[derive(Serialize)]
pub(crate) struct ListRequest<'a> {
    pub(crate) offset: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) subject: &'a str,
}

#[derive(serde::Deserialize)]
struct NamesPage {
    total: usize,
    #[serde(default, rename = "streams", deserialize_with = "super::wire::null_is_default")]
    items: Vec<String>,
}

#[derive(serde::Deserialize)]
struct StreamsPage {
    total: usize,
    #[serde(default, rename = "streams", deserialize_with = "super::wire::null_is_default")]
    items: Vec<stream::Info>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let check = |payload: &str, expected: &str| {
            let answer = read_answer::<Vec<u8>>(payload.as_bytes(), || "test".to_owned());
            let text = match answer {
                Ok(value) => format!("{value:?}"),
                Err(error) => error.to_string(),
            };
            assert!(text.starts_with(expected), "{text}");
        };
        check("", "cannot test: the answer cannot be read: EOF");
        check("{}", "cannot test: the answer cannot be read: invalid type: map");
        check(
            r#"{"type":"a","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
            "cannot test: stream not found (error 10059)",
        );
    }

    #[test]
    fn names() {
        let check = |name: &str| check_name(name, || "test".to_owned()).is_ok();
        assert!(check("A") && check(&"x".repeat(255)) && check("a-b_c$é"));
        for name in ["", "a.b", "a b", "a*", ">", "a/b", "a\\b", "a\tb", &"x".repeat(256)] {
            assert!(!check(name), "{name:?}");
        }
    }
}
