//! A service: its endpoints, and the task that tells whoever asks what it is.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use bytes::Bytes;
use fulmar_protocol::subject::Filter;
use futures_core::Stream as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::config::check_name;
use super::endpoint::EndpointState;
use super::{
    Config, Endpoint, EndpointInfo, Info, Ping, QUEUE_GROUP_DEFAULT, QueueGroup, StartError, Stats,
};
use crate::{Client, Message, Subscriber};

/// Starts a service. It has no endpoints yet, and can be found.
///
/// # Errors
///
/// See [`StartError`].
pub async fn start(client: &Client, config: Config) -> Result<Service, StartError> {
    config.check()?;
    let shared = Arc::new(Shared {
        client: client.clone(),
        id: nuid::next().to_string(),
        started: Mutex::new(Timestamp::now()),
        endpoints: Mutex::new(Some(Vec::new())),
        config,
    });
    let mut questions = Vec::new();
    for verb in [Verb::Ping, Verb::Info, Verb::Stats] {
        let all = format!("$SRV.{}", verb.name());
        let named = format!("{all}.{}", shared.config.name);
        let this = format!("{named}.{}", shared.id);
        for subject in [all, named, this] {
            questions.push((verb, client.subscribe(subject).await?));
        }
    }
    let answering = tokio::spawn(answer(questions, Arc::downgrade(&shared)));
    Ok(Service { shared, answering })
}

/// A service. Dropping it stops it.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    answering: tokio::task::JoinHandle<()>,
}

struct Shared {
    client: Client,
    config: Config,
    id: String,
    /// Since when it counts.
    started: Mutex<Timestamp>,
    /// `None` when it was stopped.
    endpoints: Mutex<Option<Vec<Running>>>,
}

/// An endpoint that was added.
struct Running {
    sid: u64,
    state: Arc<EndpointState>,
}

impl Service {
    /// The id of this instance.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// What it is.
    pub fn info(&self) -> Info {
        self.shared.info()
    }

    /// What it has done.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Lets it count from the beginning.
    pub fn reset(&self) {
        *self.shared.started.lock() = Timestamp::now();
        for endpoint in self.shared.endpoints.lock().iter().flatten() {
            endpoint.state.reset();
        }
    }

    /// Adds an endpoint, whose name is its subject.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn endpoint(&self, name: impl Into<String>) -> Result<Endpoint, StartError> {
        self.endpoint_builder(name).start().await
    }

    /// Adds an endpoint that is put together piece by piece.
    pub fn endpoint_builder(&self, name: impl Into<String>) -> EndpointBuilder<'_> {
        self.root().endpoint_builder(name)
    }

    /// A group of endpoints, whose subjects begin with `prefix` and a dot.
    pub fn group(&self, prefix: impl Into<String>) -> Group<'_> {
        self.root().group(prefix)
    }

    /// A group of endpoints that are in a queue group of their own.
    pub fn group_with_queue(
        &self,
        prefix: impl Into<String>,
        queue_group: QueueGroup,
    ) -> Group<'_> {
        self.root().group_with_queue(prefix, queue_group)
    }

    /// Stops it: its endpoints end when the requests that have come are taken, and it is not found
    /// any more.
    pub async fn stop(mut self) {
        self.end();
        // Its subscriptions end with it. That it was aborted is what was wanted.
        let _ = (&mut self.answering).await;
        // When it returns, the server knows. A client without a connection has no requests.
        let _ = self.shared.client.flush().await;
    }

    fn root(&self) -> Group<'_> {
        let queue_group = self.shared.config.queue_group.within(Some(QUEUE_GROUP_DEFAULT));
        Group { service: self, prefix: String::new(), queue_group }
    }

    fn end(&self) {
        self.answering.abort();
        for endpoint in self.shared.endpoints.lock().take().unwrap_or_default() {
            self.shared.client.drain_subscription(endpoint.sid);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Endpoints whose subjects begin alike; see [`Service::group`].
#[derive(Clone, Debug)]
pub struct Group<'a> {
    service: &'a Service,
    /// Empty, or with a dot at its end.
    prefix: String,
    queue_group: Option<String>,
}

impl<'a> Group<'a> {
    /// A group in this group.
    pub fn group(&self, prefix: impl Into<String>) -> Group<'a> {
        self.group_with_queue(prefix, QueueGroup::Inherit)
    }

    /// A group in this group, whose endpoints are in a queue group of their own.
    pub fn group_with_queue(
        &self,
        prefix: impl Into<String>,
        queue_group: QueueGroup,
    ) -> Group<'a> {
        Group {
            service: self.service,
            prefix: format!("{}{}.", self.prefix, prefix.into()),
            queue_group: queue_group.within(self.queue_group.as_deref()),
        }
    }

    /// Adds an endpoint, whose subject ends with its name.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn endpoint(&self, name: impl Into<String>) -> Result<Endpoint, StartError> {
        self.endpoint_builder(name).start().await
    }

    /// Adds an endpoint that is put together piece by piece.
    pub fn endpoint_builder(&self, name: impl Into<String>) -> EndpointBuilder<'a> {
        EndpointBuilder {
            group: self.clone(),
            name: name.into(),
            subject: None,
            queue_group: QueueGroup::Inherit,
            metadata: BTreeMap::new(),
        }
    }
}

/// An endpoint that is put together piece by piece; see [`Service::endpoint_builder`].
#[derive(Clone, Debug)]
#[must_use = "there is no endpoint before `start`"]
pub struct EndpointBuilder<'a> {
    group: Group<'a>,
    name: String,
    subject: Option<String>,
    queue_group: QueueGroup,
    metadata: BTreeMap<String, String>,
}

impl EndpointBuilder<'_> {
    /// What its subject ends with, if not with its name; it may have wildcards.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Which queue group its instances are in.
    pub fn queue_group(mut self, queue_group: QueueGroup) -> Self {
        self.queue_group = queue_group;
        self
    }

    /// Anything else.
    pub fn metadata(mut self, metadata: BTreeMap<String, String>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Adds it: from here on it takes requests.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start(self) -> Result<Endpoint, StartError> {
        check_name(&self.name)?;
        let shared = &self.group.service.shared;
        let subject =
            format!("{}{}", self.group.prefix, self.subject.as_ref().unwrap_or(&self.name));
        if let Err(error) = Filter::parse(subject.as_bytes()) {
            return Err(StartError::InvalidSubject { subject, error });
        }
        let queue_group = self.queue_group.within(self.group.queue_group.as_deref());
        let client = &shared.client;
        let requests = match &queue_group {
            Some(queue_group) => client.queue_subscribe(&subject, queue_group).await?,
            None => client.subscribe(&subject).await?,
        };
        let info = EndpointInfo { name: self.name, subject, queue_group, metadata: self.metadata };
        let state = Arc::new(EndpointState::new(info));
        let running = Running { sid: requests.sid(), state: state.clone() };
        shared.endpoints.lock().as_mut().ok_or(StartError::Stopped)?.push(running);
        Ok(Endpoint::new(client.clone(), requests, state))
    }
}

/// What is asked of a service.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        }
    }
}

/// Answers questions until the service is stopped.
async fn answer(mut questions: Vec<(Verb, Subscriber)>, shared: Weak<Shared>) {
    loop {
        // Whichever subscription has one. They are few, and asked seldom.
        let next = std::future::poll_fn(|cx| {
            for (verb, questions) in &mut questions {
                if let Poll::Ready(question) = Pin::new(questions).poll_next(cx) {
                    return Poll::Ready(question.map(|question| (*verb, question)));
                }
            }
            Poll::Pending
        });
        let Some((verb, question)) = next.await else { return };
        let Some(shared) = shared.upgrade() else { return };
        let Message { reply: Some(reply), .. } = question else { continue };
        let answer = match verb {
            Verb::Ping => json(&shared.ping()),
            Verb::Info => json(&shared.info()),
            Verb::Stats => json(&shared.stats()),
        };
        if shared.client.publish(reply, answer).await.is_err() {
            return;
        }
    }
}

fn json(answer: &impl Serialize) -> Bytes {
    serde_json::to_vec(answer).expect("it has text for keys").into()
}

impl Shared {
    fn ping(&self) -> Ping {
        Ping {
            kind: "io.nats.micro.v1.ping_response".to_owned(),
            name: self.config.name.clone(),
            id: self.id.clone(),
            version: self.config.version.clone(),
            metadata: self.config.metadata.clone(),
        }
    }

    fn info(&self) -> Info {
        let endpoints = self.endpoints.lock();
        Info {
            kind: "io.nats.micro.v1.info_response".to_owned(),
            name: self.config.name.clone(),
            id: self.id.clone(),
            version: self.config.version.clone(),
            metadata: self.config.metadata.clone(),
            description: self.config.description.clone(),
            endpoints: endpoints
                .iter()
                .flatten()
                .map(|endpoint| endpoint.state.info.clone())
                .collect(),
        }
    }

    fn stats(&self) -> Stats {
        let mut endpoints: Vec<_> =
            self.endpoints.lock().iter().flatten().map(|endpoint| endpoint.state.stats()).collect();
        if let Some(handler) = &self.config.stats_handler {
            for stats in &mut endpoints {
                stats.data = Some(handler(stats));
            }
        }
        Stats {
            kind: "io.nats.micro.v1.stats_response".to_owned(),
            name: self.config.name.clone(),
            id: self.id.clone(),
            version: self.config.version.clone(),
            metadata: self.config.metadata.clone(),
            started: *self.started.lock(),
            endpoints,
        }
    }
}
