//! What the users of a client and its driver share: the outgoing buffer under its lock, and what
//! the driver tells everybody.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use fulmar_protocol::info::Info;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, TryAcquireError, oneshot, watch};

use crate::connection::outbound::{Bounds, Outbound, Refused};
use crate::connection::requests::Waiter;
use crate::subscriber::{QueueBounds, Sink};
use crate::{FlushError, Message, State, Statistics};

/// What users and driver share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Wakes those who found the outgoing buffer full.
    pub(crate) space: Notify,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) state: watch::Sender<State>,
    pub(crate) info: RwLock<Arc<Info>>,
    pub(crate) inbox_prefix: String,
    /// `inbox_prefix`, a unique token and a dot: answers to requests come to this and a number.
    pub(crate) mux_prefix: String,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) queue_bounds: QueueBounds,
}

pub(crate) struct Core {
    pub(crate) outbound: Outbound<Command>,
    pub(crate) driver: Driver,
}

/// Whether the driver must be woken.
pub(crate) enum Driver {
    /// It will look at the buffer by itself.
    Awake,
    /// It has nothing to do.
    Asleep(Waker),
    /// It waits for the socket to take what it has; only commands may not wait so long.
    Blocked(Waker),
}

/// What users tell the driver, besides bytes.
pub(crate) enum Command {
    Subscribe(Box<NewSubscription>),
    Unsubscribe { sid: u64, max: Option<u64> },
    DrainSubscription { sid: u64 },
    SubscribeMux { sid: u64, subject: Bytes },
    Request { token: u64, caller: RequestCaller, timeout: Option<Duration> },
    Flush(FlushCaller),
    Drain,
    Reconnect,
    Close,
}

pub(crate) struct NewSubscription {
    pub(crate) sid: u64,
    pub(crate) subject: Bytes,
    pub(crate) queue: Option<Bytes>,
    pub(crate) sink: Sink,
}

/// Who waits for the answer to a request; `None` says that its time is over.
pub(crate) struct RequestCaller {
    answer: oneshot::Sender<Option<Message>>,
    /// Free again when the request is done with, whether or not somebody looks at the answer.
    place: Option<Place>,
}

/// A place in a window of requests; it is given back when this is dropped.
pub(crate) struct Place(Arc<Semaphore>);

impl Place {
    /// Waits for a place.
    pub(crate) async fn take(window: &Arc<Semaphore>) -> Self {
        let place = match window.try_acquire() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => {
                window.acquire().await.expect("nobody closes a window")
            }
            Err(TryAcquireError::Closed) => unreachable!("nobody closes a window"),
        };
        // A permit that is owned would be twice as large, and lies in each request.
        place.forget();
        Self(window.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl RequestCaller {
    pub(crate) fn new(answer: oneshot::Sender<Option<Message>>, place: Option<Place>) -> Self {
        Self { answer, place }
    }

    /// Tells the caller what came of the request. Whoever has gone needs no answer.
    pub(crate) fn tell(self, outcome: Option<Message>) {
        let _ = self.answer.send(outcome);
        drop(self.place);
    }
}

/// Who waits for a flush.
pub(crate) enum FlushCaller {
    User(oneshot::Sender<Result<(), FlushError>>),
    /// The driver itself, before it closes the connection.
    Farewell,
}

impl Shared {
    pub(crate) fn new(
        bounds: Bounds,
        queue_bounds: QueueBounds,
        inbox_prefix: String,
        request_timeout: Option<Duration>,
    ) -> Self {
        Self {
            core: Mutex::new(Core { outbound: Outbound::new(bounds), driver: Driver::Awake }),
            space: Notify::new(),
            statistics: Arc::default(),
            state: watch::Sender::new(State::Pending),
            info: RwLock::default(),
            mux_prefix: format!("{inbox_prefix}.{}.", nuid::next()),
            inbox_prefix,
            request_timeout,
            queue_bounds,
        }
    }

    /// The buffer, for the driver.
    pub(crate) fn lock(&self) -> parking_lot::MutexGuard<'_, Core> {
        self.core.lock()
    }

    /// Changes the buffer and wakes the driver if it sleeps.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(&mut Outbound<Command>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let mut core = self.core.lock();
        let result = change(&mut core.outbound)?;
        let wake = match &core.driver {
            Driver::Awake => false,
            Driver::Asleep(_) => true,
            Driver::Blocked(_) => core.outbound.has_commands(),
        };
        if wake {
            let driver = std::mem::replace(&mut core.driver, Driver::Awake);
            drop(core);
            if let Driver::Asleep(waker) | Driver::Blocked(waker) = driver {
                waker.wake();
            }
        }
        Ok(result)
    }
}

impl Waiter for RequestCaller {
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Waiter for FlushCaller {
    fn is_gone(&self) -> bool {
        match self {
            Self::User(caller) => caller.is_closed(),
            Self::Farewell => false,
        }
    }
}
