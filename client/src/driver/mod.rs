//! The task behind a client: it owns the socket and does what the state machine says.
//!
//! One task reads and writes. Each time it is woken it reads what has come, hands messages over,
//! then takes the whole outgoing buffer and writes it in one go. It decides nothing about the
//! protocol; that is in `connection`.

mod attempt;
mod link;
mod timer;
mod transport;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use fulmar_protocol::info::Info;
use fulmar_protocol::subject;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::connection::pool::{Pool, Server};
use crate::connection::{Broken, Connection, Event as Input, Notice};
use crate::options::EventCallback;
use crate::shared::{Command, Driver, FlushCaller, RequestCaller, Shared};
use crate::subscriber::{Delivered, Sink, Ticket};
use crate::{
    Client, ClientError, ConnectError, ConnectOptions, Event, FlushError, ServerAddr, State,
    Statistics,
};
use attempt::{Opened, TlsConfig};
use link::Link;
use timer::Timer;

/// How many bytes one read takes at most, and how large the memory is that its messages share.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// How long a client that ends waits for the server to confirm that it has everything.
pub const FAREWELL_TIME_MAX: Duration = Duration::from_secs(5);

/// How many events wait for the callback before more are dropped.
pub const EVENTS_MAX: usize = 128;

/// A connection that is lost sooner than this counts as a failed attempt: the next one waits.
const HELD_TIME_MIN: Duration = Duration::from_secs(1);

/// Connects and starts the task.
pub(crate) async fn start(
    options: ConnectOptions,
    servers: Vec<ServerAddr>,
) -> Result<Client, ConnectError> {
    if !subject::is_publishable(options.inbox_prefix.as_bytes()) {
        return Err(ConnectError::InboxPrefix(options.inbox_prefix));
    }
    let tls_config = Arc::new(TlsConfig::new());
    let tls = &options.tls;
    if tls.required || !tls.roots.is_empty() || tls.client_certificate.is_some() {
        // A file that cannot be used is told now, not when a server asks for TLS.
        attempt::tls_config(&options, &tls_config).await?;
    }
    let shared = Arc::new(Shared::new(
        options.bounds,
        options.queue_bounds,
        options.inbox_prefix.clone(),
        options.request_timeout,
    ));
    let task = Task::new(shared.clone(), options, servers, tls_config);
    let client = Client::new(shared);
    if task.options.retry_on_initial_connect {
        tokio::spawn(task.run(None));
        return Ok(client);
    }
    let (report, connected) = oneshot::channel();
    tokio::spawn(task.run(Some(report)));
    connected.await.unwrap_or(Err(ConnectError::Closed))?;
    Ok(client)
}

/// The task.
struct Task {
    shared: Arc<Shared>,
    options: Arc<ConnectOptions>,
    tls_config: Arc<TlsConfig>,
    connection: Connection<Sink, RequestCaller, FlushCaller>,
    pool: Pool,
    /// The server of the connection there is, or was last.
    server: Option<Server>,
    events: Option<mpsc::Sender<Event>>,
    /// Taken from the outgoing buffer; up to `written` the socket has it.
    batch: Vec<u8>,
    written: usize,
    commands: Vec<Command>,
    input: BytesMut,
    /// So many bytes of input at least make the operation at its front whole.
    input_needed: usize,
    /// Subscriptions with messages in their batches.
    touched: Vec<u64>,
    begin: Instant,
    timer: Timer,
    ending: Ending,
    exit: Option<Exit>,
    /// Others should run before this task goes on: several tasks were woken, whose answers can
    /// then be written in one go, or a queue fills up.
    yield_wanted: bool,
}

/// How the client comes to its end.
enum Ending {
    NotYet,
    /// Subscriptions end. Each has a clone of the ticket until its user has seen the end.
    Draining {
        ticket: Option<Ticket>,
        tickets: mpsc::Receiver<std::convert::Infallible>,
        until_ms: u64,
    },
    /// A last PING was sent.
    Farewell {
        until_ms: u64,
    },
}

/// Why the task is done with a connection.
enum Exit {
    /// It is lost.
    Lost(ClientError),
    /// The client has ended.
    Ended,
}

impl Task {
    fn new(
        shared: Arc<Shared>,
        options: ConnectOptions,
        servers: Vec<ServerAddr>,
        tls_config: Arc<TlsConfig>,
    ) -> Self {
        let begin = Instant::now();
        Self {
            shared,
            tls_config,
            connection: Connection::new(milliseconds(options.ping_interval)),
            pool: Pool::new(servers, !options.retain_servers_order, fastrand::u64(..)),
            server: None,
            events: options.event_callback.clone().map(spawn_callback),
            options: Arc::new(options),
            batch: Vec::new(),
            written: 0,
            commands: Vec::new(),
            input: BytesMut::new(),
            input_needed: 0,
            touched: Vec::new(),
            begin,
            timer: Timer::new(begin),
            ending: Ending::NotYet,
            exit: None,
            yield_wanted: false,
        }
    }

    /// Connects, again and again, until the client ends. The first success, or the last failure
    /// before it, goes to `report`.
    async fn run(mut self, mut report: Option<oneshot::Sender<Result<(), ConnectError>>>) {
        while let Some(opened) = self.connect(&mut report).await {
            let mut link = self.link_up(opened);
            if let Some(report) = report.take() {
                // When nobody waits any more, the client is being closed.
                let _ = report.send(Ok(()));
            }
            let exit = std::future::poll_fn(|cx| self.poll_link(cx, &mut link)).await;
            match exit {
                Exit::Lost(error) if matches!(self.ending, Ending::NotYet) => {
                    self.link_down(&link, error);
                }
                Exit::Lost(_) | Exit::Ended => {
                    // The server has been told all; what the socket says now changes nothing.
                    let _ =
                        tokio::time::timeout(FAREWELL_TIME_MAX, link.transport.shutdown()).await;
                    return;
                }
            }
        }
    }

    // --- without a connection ---

    /// Tries servers until one accepts; `None` when the client has ended before.
    async fn connect(
        &mut self,
        report: &mut Option<oneshot::Sender<Result<(), ConnectError>>>,
    ) -> Option<Opened> {
        let mut attempts = 0;
        let attempts_max = match report {
            Some(_) => Some(self.pool.len()),
            None => self.options.reconnects_max,
        };
        loop {
            let pause = match &self.options.reconnect_delay {
                _ if report.is_some() => Duration::ZERO,
                Some(delay) => delay(attempts),
                None => Duration::from_millis(self.pool.pause_ms()),
            };
            if !pause.is_zero() {
                self.serve_until(tokio::time::sleep(pause)).await?;
            }
            let server = self.pool.next();
            let (options, tls_config) = (self.options.clone(), self.tls_config.clone());
            let error = match self.serve_until(attempt::open(server, options, tls_config)).await? {
                Ok(opened) => return Some(opened),
                Err(error) => error,
            };
            tracing::debug!(%error, "cannot connect");
            attempts += 1;
            let last = attempts_max.is_some_and(|attempts_max| attempts >= attempts_max);
            if let (true, Some(report)) = (last, report.take_if(|_| last)) {
                // When nobody waits any more, nobody needs to know.
                let _ = report.send(Err(error));
                return None;
            }
            if report.is_none() {
                self.tell(Event::ClientError(ClientError::Other(error.to_string())));
            }
            if last {
                self.tell(Event::ClientError(ClientError::MaxReconnects));
                return None;
            }
        }
    }

    /// Waits for `future` and does meanwhile what users want; `None` when the client has ended.
    async fn serve_until<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            self.poll_commands(cx);
            self.poll_timer(cx);
            if self.exit.is_some() || !matches!(self.ending, Ending::NotYet) {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Takes commands and leaves messages where they are.
    fn poll_commands(&mut self, cx: &mut Context<'_>) {
        loop {
            {
                let mut core = self.shared.lock();
                if !core.outbound.has_commands() {
                    core.driver = Driver::Blocked(cx.waker().clone());
                    return;
                }
                core.outbound.take_commands(&mut self.commands);
            }
            self.handle_commands();
        }
    }

    fn link_up(&mut self, opened: Opened) -> Link {
        let Opened { server, transport, info, input } = opened;
        let mut waiting = Vec::new();
        let (taken, too_large) = {
            let mut core = self.shared.lock();
            core.driver = Driver::Awake;
            let too_large = core.outbound.handle_link_up(&info);
            (core.outbound.take(&mut waiting, &mut self.commands), too_large)
        };
        self.handle_taken(taken);
        self.handle_commands();
        debug_assert!(self.batch.is_empty() && self.written == 0);
        self.connection.handle_link_up(self.now_ms());
        self.connection.take_control(&mut self.batch);
        self.batch.append(&mut waiting);
        self.connection.resume_flushes();
        self.connection.take_control(&mut self.batch);

        Statistics::add(&self.shared.statistics.connects, 1);
        self.shared.state.send_replace(State::Connected);
        self.tell(Event::Connected);
        if too_large > 0 {
            self.tell(Event::ClientError(ClientError::MessagesTooLarge(too_large)));
        }
        self.server = Some(server);
        self.note_info(*info);
        self.input = input;
        self.input_needed = 0;
        self.handle_input();
        if matches!(self.ending, Ending::Farewell { .. }) {
            // The client was closed at the last moment: messages that waited go out all the same.
            self.connection.ping(FlushCaller::Farewell);
        }
        Link { transport, since: Instant::now() }
    }

    fn link_down(&mut self, link: &Link, error: ClientError) {
        if link.since.elapsed() >= HELD_TIME_MIN {
            self.pool.handle_held();
        }
        tracing::debug!(%error, "connection lost");
        self.shared.state.send_replace(State::Disconnected);
        self.tell(Event::ClientError(error));
        self.tell(Event::Disconnected);
        {
            let mut core = self.shared.lock();
            core.outbound.handle_link_down(&self.batch, self.written);
            core.outbound.take_commands(&mut self.commands);
        }
        // More may wait without a connection than with one.
        self.shared.space.notify_waiters();
        self.batch.clear();
        self.written = 0;
        self.input.clear();
        // First the commands, whose bytes were on their way to the lost connection; one that wants
        // it given up is satisfied.
        self.handle_commands();
        self.exit = None;
        self.connection.handle_link_down();
        self.handle_events();
    }

    // --- what the state machine says ---

    fn handle_commands(&mut self) {
        if self.commands.is_empty() {
            return;
        }
        let mut commands = std::mem::take(&mut self.commands);
        // Requests that came together begin together: one look at the clock is enough.
        let mut now_ms = None;
        for command in commands.drain(..) {
            match command {
                Command::Subscribe(new) => {
                    self.connection.subscribe(new.sid, new.subject, new.queue, new.sink);
                }
                Command::Unsubscribe { sid, max } => self.connection.unsubscribe(sid, max),
                Command::DrainSubscription { sid } => self.connection.drain_subscription(sid),
                Command::SubscribeMux { sid, subject } => {
                    self.connection.subscribe_mux(sid, subject)
                }
                Command::Request { token, caller, timeout } => {
                    let now_ms = *now_ms.get_or_insert_with(|| self.now_ms());
                    // The clock was rounded down: one more, and no request ends too early.
                    let timeout_ms = timeout.map(|limit| milliseconds(limit).saturating_add(1));
                    self.connection.request(token, caller, now_ms, timeout_ms);
                }
                Command::Flush(caller) => self.connection.flush(caller),
                Command::Drain => self.begin_drain(),
                Command::Reconnect if self.connection.is_up() => {
                    self.lose("the user wants another connection".to_owned());
                }
                Command::Reconnect => {}
                Command::Close => self.begin_farewell(),
            }
        }
        self.commands = commands;
        self.handle_events();
    }

    fn handle_events(&mut self) {
        let mut woken = 0;
        loop {
            match self.connection.poll_event() {
                Ok(Some(Input::Message { sid, subscriber, message })) => {
                    if subscriber.stage(message) {
                        self.touched.push(sid);
                    }
                }
                Ok(Some(Input::Reply { waiter, message })) => {
                    waiter.tell(Some(message));
                    woken += 1;
                }
                Ok(Some(Input::Notice(notice))) => self.handle_notice(notice),
                Ok(Some(Input::Ignored)) => {}
                Ok(None) => break,
                Err(Broken::Protocol(reason)) => {
                    self.lose(format!("the server does not speak NATS: {reason}"));
                    break;
                }
                Err(Broken::Stale(count)) => {
                    self.exit = Some(Exit::Lost(ClientError::StaleConnection(count)));
                    break;
                }
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        woken += touched.len();
        for sid in touched.drain(..) {
            if let Some(sink) = self.connection.subscriber_mut(sid) {
                let delivered = sink.deliver();
                self.handle_delivered(sid, delivered);
            }
        }
        self.touched = touched;
        // One task that is woken runs next, and it may be the only one: then yielding would only
        // cost.
        self.yield_wanted |= woken > 1;
        let counts = self.connection.take_counts();
        if counts.messages > 0 {
            Statistics::add(&self.shared.statistics.in_messages, counts.messages);
            Statistics::add(&self.shared.statistics.in_bytes, counts.message_bytes);
        }
    }

    fn handle_notice(&mut self, notice: Notice<Sink, RequestCaller, FlushCaller>) {
        match notice {
            Notice::Ended { sid, subscriber } => {
                let ticket = match &self.ending {
                    Ending::Draining { ticket, .. } => ticket.clone(),
                    Ending::NotYet | Ending::Farewell { .. } => None,
                };
                let delivered = subscriber.end(ticket);
                self.handle_delivered(sid, delivered);
            }
            Notice::Expired(caller) => caller.tell(None),
            // Whoever has gone needs no answer, here and below.
            Notice::Flushed(FlushCaller::User(caller)) => {
                let _ = caller.send(Ok(()));
            }
            Notice::FlushFailed(FlushCaller::User(caller)) => {
                let _ = caller.send(Err(FlushError::Disconnected));
            }
            Notice::Flushed(FlushCaller::Farewell) | Notice::FlushFailed(FlushCaller::Farewell) => {
                self.exit = Some(Exit::Ended);
            }
            Notice::Info(info) => {
                self.shared.lock().outbound.handle_info(&info);
                self.note_info(*info);
            }
            Notice::ServerError(error) => self.tell(Event::ServerError(error)),
            Notice::Drained => {
                if let Ending::Draining { ticket, .. } = &mut self.ending {
                    *ticket = None;
                }
            }
        }
    }

    fn handle_delivered(&mut self, sid: u64, delivered: Delivered) {
        self.yield_wanted |= delivered.filling;
        if delivered.dropped > 0 {
            let dropped_messages = &self.shared.statistics.dropped_messages;
            Statistics::add(dropped_messages, delivered.dropped);
        }
        if delivered.slow_begins {
            self.tell(Event::SlowConsumer(sid));
        }
    }

    /// The server said this of itself, at the beginning or now.
    fn note_info(&mut self, info: Info) {
        if let (Some(server), false) = (&self.server, self.options.ignore_discovered_servers) {
            let shuffle = !self.options.retain_servers_order;
            self.pool.handle_connect_urls(server, &info.connect_urls, shuffle);
        }
        let lame_duck_before = self.shared.info.read().lame_duck_mode;
        let lame_duck = info.lame_duck_mode;
        *self.shared.info.write() = Arc::new(info);
        if lame_duck && !lame_duck_before {
            self.tell(Event::LameDuckMode);
        }
    }

    // --- the end ---

    fn begin_drain(&mut self) {
        if !matches!(self.ending, Ending::NotYet) {
            return;
        }
        self.tell(Event::Draining);
        let (ticket, tickets) = mpsc::channel(1);
        let until_ms = self.now_ms().saturating_add(milliseconds(self.options.drain_timeout));
        self.ending = Ending::Draining { ticket: Some(ticket), tickets, until_ms };
        self.connection.drain();
    }

    /// Begins the farewell when all users have seen the end of their subscriptions.
    fn poll_tickets(&mut self, cx: &mut Context<'_>) {
        if let Ending::Draining { tickets, .. } = &mut self.ending
            && tickets.poll_recv(cx).is_ready()
        {
            self.begin_farewell();
        }
    }

    /// Lets nothing more in and asks the server whether it has everything.
    fn begin_farewell(&mut self) {
        if matches!(self.ending, Ending::Farewell { .. }) {
            return;
        }
        self.shared.lock().outbound.close();
        let until_ms = self.now_ms().saturating_add(milliseconds(FAREWELL_TIME_MAX));
        self.ending = Ending::Farewell { until_ms };
        if self.connection.is_up() {
            self.connection.ping(FlushCaller::Farewell);
        }
    }

    fn lose(&mut self, reason: String) {
        self.exit = Some(Exit::Lost(ClientError::Other(reason)));
    }

    /// Tells the user's callback, if there is one.
    fn tell(&self, event: Event) {
        if let Some(events) = &self.events
            && events.try_send(event).is_err()
        {
            Statistics::add(&self.shared.statistics.dropped_events, 1);
        }
    }

    // --- time ---

    fn now_ms(&self) -> u64 {
        milliseconds(self.begin.elapsed())
    }

    /// Does what is due, and sees to it that the task is woken when something will be.
    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            let ending_ms = match &self.ending {
                Ending::NotYet => u64::MAX,
                Ending::Draining { until_ms, .. } | Ending::Farewell { until_ms } => *until_ms,
            };
            let due_ms = self.connection.poll_timeout().min(ending_ms);
            if !self.timer.poll(cx, due_ms) {
                return;
            }
            let now_ms = self.now_ms();
            if let Err(Broken::Stale(count)) = self.connection.handle_timeout(now_ms) {
                self.exit = Some(Exit::Lost(ClientError::StaleConnection(count)));
                return;
            }
            self.handle_events();
            if now_ms >= ending_ms {
                match self.ending {
                    Ending::NotYet => {}
                    Ending::Draining { .. } => self.begin_farewell(),
                    Ending::Farewell { .. } => {
                        self.exit = Some(Exit::Ended);
                        return;
                    }
                }
            }
        }
    }
}

/// However the task comes to its end, users are not left waiting.
impl Drop for Task {
    fn drop(&mut self) {
        {
            let mut core = self.shared.lock();
            core.driver = Driver::Awake;
            core.outbound.close();
            core.outbound.take_commands(&mut self.commands);
        }
        // What is in commands ends by being dropped: callers find their channels closed, and
        // subscriptions end.
        self.commands.clear();
        self.connection.close();
        self.ending = Ending::NotYet;
        self.handle_events();
        self.shared.space.notify_waiters();
        self.tell(Event::Closed);
        self.shared.state.send_replace(State::Closed);
    }
}

/// Starts a task that calls `callback` for each event.
fn spawn_callback(callback: EventCallback) -> mpsc::Sender<Event> {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            callback(event).await;
        }
    });
    sender
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
