//! The monitoring pages by their paths: who answers which request, and how often.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::query::{Query, Refusal};
use super::text::Clock;
use super::usage::Usage;
use super::varz::Varz;
use super::{connz, healthz, metrics, root, subsz};
use crate::Shared;

/// Requests that may ask the reactors at once: each holds what it gathers until its answer is
/// written down.
const GATHERING_MAX: usize = 1;
/// Entries from which on a page is not written down on the control thread, which has other things
/// to do: accepting connections.
const ENTRIES_ASIDE_FROM: usize = 256;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Root,
    Varz,
    Connz,
    Subsz,
    Healthz,
    Metrics,
}

impl Page {
    /// All pages, in the order of their numbers.
    pub(super) const ALL: [Self; 6] =
        [Self::Root, Self::Varz, Self::Connz, Self::Subsz, Self::Healthz, Self::Metrics];

    fn at(path: &str) -> Option<Self> {
        match path {
            "/subscriptionsz" => Some(Self::Subsz),
            _ => Self::ALL.into_iter().find(|page| page.path() == path),
        }
    }

    /// Its path below the base path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Varz => "/varz",
            Self::Connz => "/connz",
            Self::Subsz => "/subsz",
            Self::Healthz => "/healthz",
            Self::Metrics => "/metrics",
        }
    }

    /// What it is about.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Root => "this page",
            Self::Varz => "the broker as a whole",
            Self::Connz => "connections, open and closed",
            Self::Subsz => "subscriptions",
            Self::Healthz => "whether it is healthy",
            Self::Metrics => "metrics for Prometheus",
        }
    }
}

/// All pages of a broker.
pub(super) struct Site {
    shared: Arc<Shared>,
    clock: Clock,
    usage: Usage,
    server_id: String,
    server_name: String,
    port: u16,
    /// The base path without a slash at its end: empty, or `/nats`.
    base_path: String,
    request_counts: [AtomicU64; Page::ALL.len()],
    gathering: Semaphore,
}

impl Site {
    /// The pages of the broker that has `shared`, served at `address`.
    pub(super) fn new(shared: Arc<Shared>, address: SocketAddr) -> Self {
        let live = shared.live();
        let base_path = live.options.monitoring.as_ref().map_or("", |options| &options.base_path);
        Self {
            server_id: live.info.server_id.clone(),
            server_name: live.info.server_name.clone(),
            clock: Clock::new(shared.started, shared.started_at, TimeZone::system()),
            usage: Usage::since(shared.started_at),
            port: address.port(),
            base_path: base_path.trim_end_matches('/').to_owned(),
            request_counts: Default::default(),
            gathering: Semaphore::new(GATHERING_MAX),
            shared,
        }
    }

    /// Answers a request for `path`, with `query` behind the `?`.
    pub(super) async fn answer(self: &Arc<Self>, path: &str, query: &str) -> Answer {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let below = match path.strip_prefix(&self.base_path) {
            // The root page is at the base path itself, and not below it.
            Some("") => "/",
            Some("/") if !self.base_path.is_empty() => return Answer::not_found(),
            Some(below) => below,
            None => return Answer::not_found(),
        };
        let Some(page) = Page::at(below) else { return Answer::not_found() };
        self.request_counts[page as usize].fetch_add(1, Ordering::Relaxed);
        let query = Query::parse(query);
        self.page(page, &query).await.unwrap_or_else(Answer::from)
    }

    async fn page(self: &Arc<Self>, page: Page, query: &Query) -> Result<Answer, Refusal> {
        match page {
            Page::Root => Ok(Answer::html(root::page(&self.base_path))),
            Page::Varz => Ok(Answer::json(&Varz::of(self, &self.shared.live()))),
            Page::Connz => Ok(self.connz(connz::Wanted::read(query)?).await),
            Page::Subsz => Ok(self.subsz(subsz::Wanted::read(query)?).await),
            Page::Healthz => healthz::answer(&self.shared, query),
            Page::Metrics => {
                let _turn = self.gathering.acquire().await;
                Ok(Answer::metrics(metrics::page(self).await))
            }
        }
    }

    async fn connz(self: &Arc<Self>, wanted: connz::Wanted) -> Answer {
        // It is never closed; and who waits gives up when the request's time is over.
        let _turn = self.gathering.acquire().await;
        let (offset, limit) = wanted.bounds();
        match connz::find(&self.shared, wanted).await {
            None => Answer::json(&connz::Connz::of_nobody(self, offset, limit)),
            Some(found) => {
                let site = self.clone();
                written(found.entry_count(), move || Answer::json(&connz::Connz::of(&site, &found)))
                    .await
            }
        }
    }

    async fn subsz(self: &Arc<Self>, wanted: subsz::Wanted) -> Answer {
        let _turn = if wanted.is_listed() { self.gathering.acquire().await.ok() } else { None };
        let found = subsz::find(self, wanted).await;
        let site = self.clone();
        written(found.entry_count(), move || Answer::json(&subsz::Subsz::of(&site, &found))).await
    }

    /// What the pages are about.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Tells the time of moments.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the process takes.
    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The server's id.
    pub(super) fn server_id(&self) -> &str {
        &self.server_id
    }

    /// The server's name, which is its id where none is configured.
    pub(super) fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The port the pages are at.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What stands before the path of each page; empty, or `/nats`.
    pub(super) fn base_path(&self) -> &str {
        &self.base_path
    }

    /// How often each page was asked for, by its path.
    pub(super) fn request_counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Page::ALL
            .into_iter()
            .map(|page| (page.path(), self.request_counts[page as usize].load(Ordering::Relaxed)))
    }

    /// The name of the account with this number.
    pub(super) fn account_name(&self, number: u32) -> &str {
        self.shared.accounts.get(number as usize).map_or("", |account| &account.name)
    }
}

/// What `write` makes of a page with so many entries, on another thread if there are many.
async fn written(entry_count: usize, write: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    if entry_count < ENTRIES_ASIDE_FROM {
        return write();
    }
    let began = Instant::now();
    let answer = tokio::task::spawn_blocking(write).await;
    tracing::debug!("a monitoring page of {entry_count} entries took {:?}", began.elapsed());
    answer.unwrap_or_else(|error| {
        tracing::error!("a monitoring page could not be written: {error}");
        Answer::plain(500, "the page could not be written")
    })
}
