//! An object that is read: its pieces one after the other, and a check that they are all.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::{Buf as _, Bytes};
use futures_core::Stream as _;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};

use super::bucket::chunk_prefix;
use super::info::digest_matches;
use super::{Error, ObjectInfo};
use crate::jetstream::consumer::ordered;
use crate::jetstream::stream::Stream;

/// How many pieces of an object are asked for in advance.
pub const CHUNKS_AHEAD_MAX: usize = 16;

/// An object that is read.
///
/// The last read gives an error when the bytes are not those that were put.
pub struct Object {
    info: ObjectInfo,
    /// `None` when all pieces have come.
    messages: Option<ordered::Messages>,
    /// Of the piece that came last, what was not read.
    chunk: Bytes,
    chunks_left: u64,
    size: u64,
    hash: Sha256,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// Everything was read, and is what was put.
    Whole,
    Failed,
}

impl Object {
    pub(super) async fn open(stream: &Stream, info: ObjectInfo) -> Result<Self, Error> {
        let messages = match info.chunks {
            0 => None,
            chunks => {
                let config = ordered::Config {
                    filter_subjects: vec![format!("{}{}", chunk_prefix(&info.bucket), info.nuid)],
                    max_messages: usize::try_from(chunks)
                        .map_or(CHUNKS_AHEAD_MAX, |chunks| chunks.min(CHUNKS_AHEAD_MAX)),
                    ..ordered::Config::default()
                };
                Some(stream.ordered(config).await?)
            }
        };
        Ok(Self {
            chunks_left: info.chunks,
            info,
            messages,
            chunk: Bytes::new(),
            size: 0,
            hash: Sha256::new(),
            state: State::Reading,
        })
    }

    /// What is said of it.
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// The end: whether it is what was put.
    fn check(&mut self) -> io::Result<()> {
        let broken = |reason: String| {
            let text = format!(
                "object {:?} of bucket {} is damaged: {reason}",
                self.info.name, self.info.bucket
            );
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        };
        if self.size != self.info.size {
            return broken(format!("it has {} bytes instead of {}", self.size, self.info.size));
        }
        let Some(digest) = &self.info.digest else { return Ok(()) };
        match digest_matches(digest, &self.hash.finalize_reset()) {
            Some(true) => Ok(()),
            Some(false) => broken("its hash is another".to_owned()),
            None => broken(format!("its hash is of an unknown kind: {digest}")),
        }
    }

    /// Takes the next piece, or finds the end. Ready when there is something to read, or nothing
    /// will be.
    fn poll_chunk(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() && self.chunks_left > 0 {
            let Some(messages) = &mut self.messages else { break };
            match std::task::ready!(Pin::new(messages).poll_next(cx)) {
                Some(Ok(message)) => {
                    self.chunks_left -= 1;
                    self.hash.update(&message.payload);
                    self.size += message.payload.len() as u64;
                    self.chunk = message.payload.clone();
                    let is_last = message.info().is_ok_and(|info| info.pending == 0);
                    if is_last {
                        // If there should be more, the check will say so.
                        self.chunks_left = 0;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => {
                    let text = "the client was closed before the object was read";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
                }
            }
        }
        if self.chunks_left == 0 {
            self.messages = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Object {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state {
            State::Whole => return Poll::Ready(Ok(())),
            State::Failed => return Poll::Ready(Err(io::Error::other("it failed before"))),
            State::Reading => {}
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut result = std::task::ready!(this.poll_chunk(cx));
        if result.is_ok() && this.chunk.is_empty() {
            result = this.check();
            if result.is_ok() {
                this.state = State::Whole;
            }
        }
        if result.is_err() {
            this.state = State::Failed;
            this.messages = None;
            return Poll::Ready(result);
        }
        let count = this.chunk.len().min(buffer.remaining());
        buffer.put_slice(&this.chunk[..count]);
        this.chunk.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("info", &self.info).finish_non_exhaustive()
    }
}
