//! What is said of the objects of a bucket, as it is and as it changes.

use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;

use super::bucket::meta_prefix;
use super::store::read_info;
use super::{Error, ObjectInfo, ObjectStore};
use crate::jetstream::consumer::{DeliverPolicy, ordered};

/// What is watched; see [`ObjectStore::watch`].
#[derive(Clone, Debug)]
#[must_use = "nothing is watched before it is waited for"]
pub struct WatchBuilder<'a> {
    store: &'a ObjectStore,
    updates_only: bool,
    ignore_deletes: bool,
}

impl<'a> WatchBuilder<'a> {
    pub(super) fn new(store: &'a ObjectStore) -> Self {
        Self { store, updates_only: false, ignore_deletes: false }
    }

    /// Begins with the next change.
    pub fn updates_only(mut self) -> Self {
        self.updates_only = true;
        self
    }

    /// Leaves out that objects were deleted.
    pub fn ignore_deletes(mut self) -> Self {
        self.ignore_deletes = true;
        self
    }

    async fn start(self) -> Result<Watch, Error> {
        let store = self.store;
        let deliver_policy =
            if self.updates_only { DeliverPolicy::New } else { DeliverPolicy::LastPerSubject };
        let config = ordered::Config {
            deliver_policy,
            filter_subjects: vec![format!("{}>", meta_prefix(store.name()))],
            delivery: ordered::Delivery::Push,
            ..ordered::Config::default()
        };
        let messages = store.stream().ordered(config).await?;
        Ok(Watch {
            bucket: store.name().to_owned(),
            ignore_deletes: self.ignore_deletes,
            current: self.updates_only || messages.num_pending() == 0,
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

/// What is said of objects, as it is and as it changes; see [`ObjectStore::watch`]. It ends when
/// the client or the bucket does.
#[derive(Debug)]
pub struct Watch {
    bucket: String,
    ignore_deletes: bool,
    current: bool,
    messages: ordered::Messages,
}

impl Watch {
    /// Whether all has come that was said in the beginning: what comes from now on are changes.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// What is said next; within, `None` for what is left out.
    fn poll_info(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Option<ObjectInfo>, Error>>> {
        let next = std::task::ready!(Pin::new(&mut self.messages).poll_next(cx));
        Poll::Ready(next.map(|message| {
            let message = message?;
            let delivery = message.info().map_err(|error| Error::Info {
                bucket: self.bucket.clone(),
                reason: error.to_string(),
            })?;
            self.current |= delivery.pending == 0;
            let info = read_info(&self.bucket, &message.payload, delivery.published)?;
            Ok((!(self.ignore_deletes && info.deleted)).then_some(info))
        }))
    }
}

impl Stream for Watch {
    type Item = Result<ObjectInfo, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::task::ready!(self.poll_info(cx)) {
                Some(Ok(None)) => {}
                Some(Ok(Some(info))) => return Poll::Ready(Some(Ok(info))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// What is said of all objects; see [`ObjectStore::list`].
#[derive(Debug)]
pub struct List {
    watch: Watch,
}

impl List {
    pub(super) fn new(watch: Watch) -> Self {
        Self { watch }
    }
}

impl Stream for List {
    type Item = Result<ObjectInfo, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        while !self.watch.current {
            match std::task::ready!(self.watch.poll_info(cx)) {
                Some(Ok(None)) => {}
                Some(Ok(Some(info))) => return Poll::Ready(Some(Ok(info))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => break,
            }
        }
        Poll::Ready(None)
    }
}
