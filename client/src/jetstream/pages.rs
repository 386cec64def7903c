//! Lists that a server hands out in parts.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Error;
use crate::BoxFuture;

/// A list that a server hands out in parts: the next is asked for when the one before was taken.
/// It ends after an error.
///
/// ```no_run
/// # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::TryStreamExt as _;
///
/// let names: Vec<String> = context.stream_names().try_collect().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is asked for before the first element is"]
pub struct Pages<T> {
    fetch: Box<dyn Fn(usize) -> Fetching<T> + Send + Sync>,
    fetching: Option<Fetching<T>>,
    taken: VecDeque<T>,
    /// How many were received.
    offset: usize,
    ended: bool,
}

/// A part of a list, when it comes.
type Fetching<T> = BoxFuture<Result<Page<T>, Error>>;

/// A part of a list.
pub(crate) struct Page<T> {
    /// How long the whole list is.
    pub(crate) total: usize,
    pub(crate) items: Vec<T>,
}

impl<T> Pages<T> {
    /// A list whose part from an offset on `fetch` gets.
    pub(crate) fn new(fetch: impl Fn(usize) -> Fetching<T> + Send + Sync + 'static) -> Self {
        Self {
            fetch: Box::new(fetch),
            fetching: None,
            taken: VecDeque::new(),
            offset: 0,
            ended: false,
        }
    }
}

impl<T: Unpin> Stream for Pages<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.taken.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let fetching = this.fetching.get_or_insert_with(|| (this.fetch)(this.offset));
            let page = std::task::ready!(fetching.as_mut().poll(cx));
            this.fetching = None;
            match page {
                Ok(page) => {
                    this.offset += page.items.len();
                    // A list that shrinks meanwhile may have an empty part.
                    this.ended = page.items.is_empty() || this.offset >= page.total;
                    this.taken = page.items.into();
                }
                Err(error) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("offset", &self.offset).finish_non_exhaustive()
    }
}
