//! HTTP monitoring: pages about the broker in nats-server's words, and metrics.
//!
//! Whoever asks cannot hold up anything else: visits are few and short, answers are bounded, and
//! the reactors are asked a page at a time. What a request is answered with is in [`site`]; here
//! is only HTTP.
//!
//! Memory at the most: [`VISITS_MAX`] times what is read and written of a small answer
//! ([`REQUEST_BYTES_MAX`], [`LARGE_ANSWER_BYTES`]), [`LARGE_ANSWERS_MAX`] large answers, and what
//! one request gathers; the pages name their longest lists.

mod answer;
mod connz;
mod gather;
mod healthz;
mod metrics;
mod query;
mod root;
mod site;
mod subsz;
mod text;
mod usage;
mod varz;

use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use self::answer::Answer;
use self::site::Site;
use crate::Shared;

/// Connections at once. For one more, the one that has been silent longest is cut.
const VISITS_MAX: usize = 64;
/// From connecting, or from the answer before, until the whole head of a request is there.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection is used for one request after the other.
const VISIT_TIME_MAX: Duration = Duration::from_secs(60);
/// From then on until the last answer is read.
const LAST_ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// The head of a request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an answer that are handed to the socket at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Answers from here on are large.
const LARGE_ANSWER_BYTES: usize = 1024 * 1024;
/// Large answers that are being read at once.
const LARGE_ANSWERS_MAX: usize = 4;
/// The wait after a failed accept.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Serves the pages until it is dropped, which cuts all connections.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let listener = listener
        .local_addr()
        .and_then(|address| Ok((tokio::net::TcpListener::from_std(listener)?, address)));
    let (listener, address) = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the monitoring listener cannot be polled: {error}"),
    };
    let house = Arc::new(House {
        site: Arc::new(Site::new(shared, address)),
        large_answers: Arc::new(Semaphore::new(LARGE_ANSWERS_MAX)),
        opened_at: Instant::now(),
    });
    let mut tasks = JoinSet::new();
    let mut visits = Vec::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while tasks.try_join_next().is_some() {}
                make_room(&mut visits);
                let last_request = Arc::new(AtomicU64::new(house.now_us()));
                let task = tasks.spawn(attend(stream, house.clone(), last_request.clone()));
                visits.push(Visit { task, last_request });
            }
            Err(error) => {
                tracing::error!("a monitoring request could not be accepted: {error}");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// What all visits share.
struct House {
    site: Arc<Site>,
    large_answers: Arc<Semaphore>,
    opened_at: Instant,
}

/// A connection.
struct Visit {
    task: AbortHandle,
    /// When it asked last, or came; see [`House::now_us`].
    last_request: Arc<AtomicU64>,
}

impl House {
    /// Microseconds since the listener was opened.
    fn now_us(&self) -> u64 {
        u64::try_from(self.opened_at.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Sees to it that there are fewer than [`VISITS_MAX`].
fn make_room(visits: &mut Vec<Visit>) {
    visits.retain(|visit| !visit.task.is_finished());
    if visits.len() < VISITS_MAX {
        return;
    }
    let silent =
        (0..visits.len()).min_by_key(|at| visits[*at].last_request.load(Ordering::Relaxed));
    if let Some(silent) = silent {
        visits.swap_remove(silent).task.abort();
    }
}

/// Answers the requests of one connection.
async fn attend(stream: TcpStream, house: Arc<House>, last_request: Arc<AtomicU64>) {
    let service = service_fn(move |request: Request<Incoming>| {
        last_request.store(house.now_us(), Ordering::Relaxed);
        let house = house.clone();
        async move {
            let uri = request.uri();
            let answer = house.site.answer(uri.path(), uri.query().unwrap_or_default()).await;
            Ok::<_, Infallible>(house.response(answer))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        // Who has ended its side may still be answered.
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // An error is the visitor's: no HTTP, too long, too slow, gone. It has had its answer.
    if timeout(VISIT_TIME_MAX, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER_TIME_MAX, connection).await;
    }
}

impl House {
    /// The answer as HTTP; or a refusal, if it is large and enough large ones are being read.
    fn response(&self, answer: Answer) -> Response<Text> {
        if answer.body.len() < LARGE_ANSWER_BYTES {
            return response(answer, None);
        }
        match self.large_answers.clone().try_acquire_owned() {
            Ok(permit) => response(answer, Some(permit)),
            Err(_) => {
                let size = answer.body.len();
                tracing::warn!(
                    "a monitoring answer of {size} bytes was refused: too many are read"
                );
                let text = "too many large answers are being read; ask again, or for less (limit)";
                response(Answer::plain(503, text), None)
            }
        }
    }
}

fn response(answer: Answer, permit: Option<OwnedSemaphorePermit>) -> Response<Text> {
    let mut response = Response::new(Text { rest: Bytes::from(answer.body), _permit: permit });
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if answer.is_for_any_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.status == 404 {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// The text of an answer, which goes out piece by piece, so that a large one counts as being
/// read until nearly all of it was.
struct Text {
    rest: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(size);
        Poll::Ready((size > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
