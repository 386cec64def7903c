//! A subscription as its user sees it, and the queue between it and the driver.
//!
//! The driver hands messages over in batches: it stages those of one read and appends them to
//! the queue under one lock with one wake-up; the user takes the whole queue at once. A message
//! is so moved twice and locked for never.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::client::Handle;
use crate::{Message, UnsubscribeError};

/// A stream of the messages of one subscription. Dropping it ends the subscription.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt as _;
///
/// let client = fulmar_client::connect("localhost").await?;
/// let mut subscriber = client.subscribe("orders.>").await?;
/// while let Some(message) = subscriber.next().await {
///     println!("{}: {} bytes", message.subject, message.payload.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscriber {
    sid: u64,
    /// Taken from the queue and not yet asked for.
    taken: VecDeque<Message>,
    /// How many messages were taken last.
    taken_last: usize,
    queue: Arc<Queue>,
    handle: Arc<Handle>,
}

impl Subscriber {
    pub(crate) fn new(sid: u64, queue: Arc<Queue>, handle: Arc<Handle>) -> Self {
        Self { sid, taken: VecDeque::new(), taken_last: 0, queue, handle }
    }

    /// The number of the subscription, as in
    /// [`Event::SlowConsumer`](crate::Event::SlowConsumer).
    pub fn sid(&self) -> u64 {
        self.sid
    }

    /// Ends the subscription now. Messages that have come already can still be taken.
    ///
    /// # Errors
    ///
    /// The client is closed.
    pub async fn unsubscribe(&mut self) -> Result<(), UnsubscribeError> {
        self.handle.unsubscribe(self.sid, None).map_err(|_| UnsubscribeError)
    }

    /// Ends the subscription after `count` messages, counted since it was made, over
    /// reconnections too. When that many have come already, it ends now.
    ///
    /// # Errors
    ///
    /// The client is closed.
    pub async fn unsubscribe_after(&mut self, count: u64) -> Result<(), UnsubscribeError> {
        // For a server "UNSUB after 0" is "UNSUB now", and that is what it means here.
        let max = Some(count).filter(|count| *count > 0);
        self.handle.unsubscribe(self.sid, max).map_err(|_| UnsubscribeError)
    }

    /// Ends the subscription without losing what the server has sent or is about to send: the
    /// stream ends after the last of these messages. Returns at once.
    ///
    /// # Errors
    ///
    /// The client is closed.
    pub async fn drain(&mut self) -> Result<(), UnsubscribeError> {
        self.handle.drain_subscription(self.sid).map_err(|_| UnsubscribeError)
    }

    /// Waits for messages and moves all that have come to the end of `messages`, up to `count`:
    /// how many; 0 when the subscription has ended.
    ///
    /// Cheaper than [`Stream::poll_next`] when messages come in masses.
    pub async fn next_many(&mut self, messages: &mut Vec<Message>, count: usize) -> usize {
        std::future::poll_fn(|cx| self.poll_taken(cx)).await;
        let count = count.min(self.taken.len());
        messages.extend(self.taken.drain(..count));
        count
    }

    /// Ready once there are messages in `taken`, or will never be any.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.taken.is_empty() {
            return Poll::Ready(());
        }
        // Once per batch and not per message: a stream that never runs dry still yields to other
        // tasks, after as many batches as the runtime allows.
        if pin!(tokio::task::consume_budget()).poll(cx).is_pending() {
            return Poll::Pending;
        }
        shrink(&mut self.taken, self.taken_last);
        let ready = self.queue.poll_take(cx, &mut self.taken);
        if ready.is_ready() {
            self.taken_last = self.taken.len();
        }
        ready
    }
}

impl Stream for Subscriber {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        match self.poll_taken(cx) {
            Poll::Ready(()) => Poll::Ready(self.taken.pop_front()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.taken.len(), None)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if !self.queue.has_ended() {
            // The client may be closed: then there is nothing to end.
            let _ = self.handle.unsubscribe(self.sid, None);
        }
    }
}

/// How much a subscription may hold before messages for it are dropped. What the user has taken
/// as one batch comes on top, so that the most is twice these, and the batch of one read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueBounds {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

/// No bound but what was asked for: the server sends no more.
pub(crate) const UNBOUNDED: QueueBounds =
    QueueBounds { messages_max: usize::MAX, bytes_max: usize::MAX };

/// The queue between the driver and a subscriber.
#[derive(Debug)]
pub(crate) struct Queue {
    bounds: QueueBounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    waker: Option<Waker>,
    /// Messages were dropped since the user took the queue last.
    slow: bool,
    ended: bool,
    /// Given back when the user has seen the end: a client that drains waits for it.
    ticket: Option<Ticket>,
}

/// Says by being dropped that a subscription is done with.
pub(crate) type Ticket = mpsc::Sender<std::convert::Infallible>;

/// A queue with room for more messages than this is given back when the last batch needed less
/// than a quarter of it.
const CAPACITY_KEPT: usize = 1024;

fn shrink(queue: &mut VecDeque<Message>, batch_last: usize) {
    if queue.capacity() > CAPACITY_KEPT && batch_last < queue.capacity() / 4 {
        *queue = VecDeque::new();
    }
}

/// The driver's end of a queue.
#[derive(Debug)]
pub(crate) struct Sink {
    queue: Arc<Queue>,
    staged: VecDeque<Message>,
    staged_bytes: usize,
}

/// What came of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Messages for which there was no room.
    pub(crate) dropped: u64,
    /// The first of them since the user took messages last is among these.
    pub(crate) slow_begins: bool,
    /// The queue is fuller than a quarter: the user should run before the driver goes on.
    pub(crate) filling: bool,
}

impl Sink {
    pub(crate) fn new(bounds: QueueBounds) -> Self {
        let queue = Arc::new(Queue { bounds, state: Mutex::default() });
        Self { queue, staged: VecDeque::new(), staged_bytes: 0 }
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }

    /// Adds a message to the batch. Whether it is the first.
    pub(crate) fn stage(&mut self, message: Message) -> bool {
        self.staged_bytes += message.length;
        self.staged.push_back(message);
        self.staged.len() == 1
    }

    /// Hands the batch over.
    pub(crate) fn deliver(&mut self) -> Delivered {
        if self.staged.is_empty() {
            return Delivered::default();
        }
        let count = self.staged.len();
        let mut state = self.queue.state.lock();
        let delivered = state.append(&mut self.staged, self.staged_bytes, self.queue.bounds);
        self.staged_bytes = 0;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        shrink(&mut self.staged, count);
        delivered
    }

    /// Hands the batch over and ends the stream after it. `ticket` is given back when the user
    /// has seen the end.
    pub(crate) fn end(mut self, ticket: Option<Ticket>) -> Delivered {
        let delivered = self.deliver();
        self.queue.state.lock().ticket = ticket;
        delivered
    }
}

/// Whatever becomes of the driver, the stream ends.
impl Drop for Sink {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.ended = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    fn append(
        &mut self,
        batch: &mut VecDeque<Message>,
        batch_bytes: usize,
        bounds: QueueBounds,
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let messages = self.messages.len() + batch.len();
        if messages <= bounds.messages_max && self.bytes + batch_bytes <= bounds.bytes_max {
            self.bytes += batch_bytes;
            if self.messages.is_empty() {
                std::mem::swap(&mut self.messages, batch);
            } else {
                self.messages.append(batch);
            }
        } else {
            for message in batch.drain(..) {
                // The first always has room: a message larger than the bound would never arrive.
                let fits = self.messages.len() < bounds.messages_max
                    && self.bytes + message.length <= bounds.bytes_max;
                if fits || self.messages.is_empty() {
                    self.bytes += message.length;
                    self.messages.push_back(message);
                } else {
                    delivered.dropped += 1;
                }
            }
            delivered.slow_begins = delivered.dropped > 0 && !self.slow;
            self.slow |= delivered.dropped > 0;
        }
        delivered.filling =
            self.messages.len() > bounds.messages_max / 4 || self.bytes > bounds.bytes_max / 4;
        delivered
    }
}

impl Queue {
    /// Swaps the queue with `taken`, which is empty. Ready when there was something, or will
    /// never be.
    fn poll_take(&self, cx: &mut Context<'_>, taken: &mut VecDeque<Message>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.messages.is_empty() {
            if state.ended {
                state.ticket = None;
                return Poll::Ready(());
            }
            match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        std::mem::swap(&mut state.messages, taken);
        state.bytes = 0;
        state.slow = false;
        Poll::Ready(())
    }

    fn has_ended(&self) -> bool {
        self.state.lock().ended
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Subject;

    fn message(payload: &'static [u8]) -> Message {
        Message {
            subject: Subject::from("a"),
            reply: None,
            payload: Bytes::from_static(payload),
            headers: None,
            status: None,
            description: None,
            length: 1 + payload.len(),
        }
    }

    fn take(queue: &Queue) -> Option<String> {
        let mut taken = VecDeque::new();
        let mut cx = Context::from_waker(Waker::noop());
        queue.poll_take(&mut cx, &mut taken).is_ready().then(|| {
            let payloads = taken.iter().map(|message| String::from_utf8_lossy(&message.payload));
            payloads.collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn batches_are_handed_over_whole() {
        let mut sink = Sink::new(QueueBounds { messages_max: 9, bytes_max: 99 });
        let queue = sink.queue();
        assert!(sink.stage(message(b"1")) && !sink.stage(message(b"2")));
        assert_eq!(take(&queue), None);
        sink.deliver();
        sink.stage(message(b"3"));
        assert_eq!(sink.deliver(), Delivered { filling: true, ..Delivered::default() });
        assert_eq!(take(&queue).as_deref(), Some("1 2 3"));
        sink.stage(message(b"4"));
        sink.end(None);
        assert_eq!(take(&queue).as_deref(), Some("4"));
        assert_eq!(take(&queue).as_deref(), Some(""));
    }

    #[test]
    fn what_has_no_room_is_dropped_and_told_once() {
        let check = |bounds, expected: &str| {
            let mut sink = Sink::new(bounds);
            let queue = sink.queue();
            for payload in [b"1", b"2", b"3"] {
                sink.stage(message(payload));
            }
            let first = sink.deliver();
            assert_eq!((first.dropped, first.slow_begins), (1, true));
            sink.stage(message(b"4"));
            let second = sink.deliver();
            assert_eq!((second.dropped, second.slow_begins), (1, false));
            assert_eq!(take(&queue).as_deref(), Some(expected));
            sink.stage(message(b"5"));
            assert_eq!(sink.deliver().dropped, 0);
            assert_eq!(take(&queue).as_deref(), Some("5"));
        };
        check(QueueBounds { messages_max: 2, bytes_max: 99 }, "1 2");
        check(QueueBounds { messages_max: 9, bytes_max: 5 }, "1 2");
    }

    #[test]
    fn a_message_larger_than_the_bound_has_room_alone() {
        let mut sink = Sink::new(QueueBounds { messages_max: 9, bytes_max: 3 });
        sink.stage(message(b"12345"));
        assert_eq!(sink.deliver().dropped, 0);
        sink.stage(message(b"1"));
        assert_eq!(sink.deliver().dropped, 1);
    }

    #[test]
    fn the_ticket_is_given_back_when_the_end_was_seen() {
        let (ticket, tickets) = mpsc::channel(1);
        let mut sink = Sink::new(QueueBounds { messages_max: 9, bytes_max: 99 });
        let queue = sink.queue();
        sink.stage(message(b"1"));
        sink.end(Some(ticket));
        assert_eq!(take(&queue).as_deref(), Some("1"));
        assert!(!tickets.is_closed() && tickets.sender_strong_count() == 1);
        assert_eq!(take(&queue).as_deref(), Some(""));
        assert_eq!(tickets.sender_strong_count(), 0);
    }
}
