//! Entries of a bucket, one after the other: as they are, as they were, and as they change.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::config::check_filter;
use super::{Entry, Error, Operation, Store};
use crate::HeaderMap;
use crate::jetstream::Message;
use crate::jetstream::consumer::{DeliverPolicy, ordered};

/// Which entries are watched; see [`Store::watch`].
#[derive(Clone, Debug)]
#[must_use = "nothing is watched before it is waited for"]
pub struct WatchBuilder<'a> {
    store: &'a Store,
    filters: Vec<String>,
    begin: Begin,
    ignore_deletes: bool,
    meta_only: bool,
    heartbeat: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Last,
    History,
    Now,
    Revision(u64),
}

impl<'a> WatchBuilder<'a> {
    pub(super) fn new(store: &'a Store, filters: Vec<String>) -> Self {
        Self {
            store,
            filters,
            begin: Begin::Last,
            ignore_deletes: false,
            meta_only: false,
            heartbeat: ordered::ORDERED_HEARTBEAT_DEFAULT,
        }
    }

    /// Begins with all that is known of the keys, and not with their last values.
    pub fn include_history(mut self) -> Self {
        self.begin = Begin::History;
        self
    }

    /// Begins with the next change.
    pub fn updates_only(mut self) -> Self {
        self.begin = Begin::Now;
        self
    }

    /// Begins with this revision.
    pub fn from_revision(mut self, revision: u64) -> Self {
        self.begin = Begin::Revision(revision);
        self
    }

    /// Leaves out that keys were deleted.
    pub fn ignore_deletes(mut self) -> Self {
        self.ignore_deletes = true;
        self
    }

    /// Leaves out values.
    pub fn meta_only(mut self) -> Self {
        self.meta_only = true;
        self
    }

    /// How often the server gives a sign of life. When there is none for twice as long, it is asked
    /// anew for what follows.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    async fn start(self) -> Result<Watch, Error> {
        let store = self.store;
        for filter in &self.filters {
            check_filter(filter)?;
        }
        let subject = |filter: &String| format!("{}{filter}", store.prefix());
        let deliver_policy = match self.begin {
            Begin::Last => DeliverPolicy::LastPerSubject,
            Begin::History => DeliverPolicy::All,
            Begin::Now => DeliverPolicy::New,
            Begin::Revision(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        };
        let config = ordered::Config {
            deliver_policy,
            filter_subjects: self.filters.iter().map(subject).collect(),
            headers_only: self.meta_only,
            delivery: ordered::Delivery::Push,
            heartbeat: self.heartbeat,
            ..ordered::Config::default()
        };
        let messages = store.stream().ordered(config).await?;
        Ok(Watch {
            bucket: store.name().to_owned(),
            prefix: store.prefix().to_owned(),
            ignore_deletes: self.ignore_deletes,
            current: self.begin == Begin::Now || messages.num_pending() == 0,
            waiting: VecDeque::new(),
            messages,
        })
    }
}

impl<'a> IntoFuture for WatchBuilder<'a> {
    type Output = Result<Watch, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// Entries as they are and as they change; see [`Store::watch`]. It ends when the client or the
/// bucket does.
#[derive(Debug)]
pub struct Watch {
    bucket: String,
    prefix: String,
    ignore_deletes: bool,
    current: bool,
    /// Taken by a [`Watch::current`] that was given up.
    waiting: VecDeque<Entry>,
    messages: ordered::Messages,
}

impl Watch {
    /// Whether all entries have come that were there in the beginning: what comes from now on are
    /// changes.
    pub fn is_current(&self) -> bool {
        self.current && self.waiting.is_empty()
    }

    /// The entries that were there in the beginning and have not come yet; what comes after them
    /// are changes.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn current(&mut self) -> Result<Vec<Entry>, Error> {
        while !self.current {
            // It may be skipped, and be the last.
            match std::future::poll_fn(|cx| self.poll_entry(cx)).await {
                Some(Ok(Some(entry))) => self.waiting.push_back(entry),
                Some(Ok(None)) => {}
                Some(Err(error)) => return Err(error),
                None => break,
            }
        }
        Ok(std::mem::take(&mut self.waiting).into())
    }

    /// The next entry; within, `None` for one that is left out.
    fn poll_entry(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Option<Entry>, Error>>> {
        let next = std::task::ready!(Pin::new(&mut self.messages).poll_next(cx));
        Poll::Ready(next.map(|message| {
            let entry = self.entry(message?)?;
            self.current |= entry.delta == 0;
            let ignored = self.ignore_deletes && entry.operation.is_delete();
            Ok((!ignored).then_some(Entry { seen_current: self.current, ..entry }))
        }))
    }

    fn entry(&self, message: Message) -> Result<Entry, Error> {
        let bad = |reason: &str| Error::Entry {
            bucket: self.bucket.clone(),
            reason: format!("{reason}: {}", message.subject),
        };
        let info = message.info().map_err(|_| bad("it was not delivered by a consumer"))?;
        let key = message.subject.strip_prefix(&self.prefix);
        let key = key.ok_or_else(|| bad("its subject is not one of the bucket"))?;
        let none = HeaderMap::new();
        Ok(Entry {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            operation: Operation::of(message.headers.as_ref().unwrap_or(&none)),
            value: message.payload.clone(),
            revision: info.stream_sequence,
            delta: info.pending,
            created: info.published,
            seen_current: false,
        })
    }
}

impl Stream for Watch {
    type Item = Result<Entry, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(entry) = this.waiting.pop_front() {
            return Poll::Ready(Some(Ok(entry)));
        }
        loop {
            match std::task::ready!(this.poll_entry(cx)) {
                Some(Ok(None)) => {}
                Some(Ok(Some(entry))) => return Poll::Ready(Some(Ok(entry))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// All that is known of a key, the oldest first; see [`Store::history`].
#[derive(Debug)]
pub struct History {
    watch: Watch,
}

impl History {
    pub(super) fn new(watch: Watch) -> Self {
        Self { watch }
    }
}

impl Stream for History {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        poll_current(&mut self.watch, cx)
    }
}

/// Keys that have values; see [`Store::keys`].
#[derive(Debug)]
pub struct Keys {
    watch: Watch,
}

impl Keys {
    pub(super) fn new(watch: Watch) -> Self {
        Self { watch }
    }
}

impl Stream for Keys {
    type Item = Result<String, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(poll_current(&mut self.watch, cx));
        Poll::Ready(next.map(|entry| entry.map(|entry| entry.key)))
    }
}

/// The next of the entries that were there in the beginning.
fn poll_current(watch: &mut Watch, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Entry, Error>>> {
    while !watch.current {
        match std::task::ready!(watch.poll_entry(cx)) {
            Some(Ok(None)) => {}
            Some(Ok(Some(entry))) => return Poll::Ready(Some(Ok(entry))),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => break,
        }
    }
    Poll::Ready(None)
}
