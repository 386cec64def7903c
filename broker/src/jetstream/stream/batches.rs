//! The batches of a stream that are under way: how many there may be, how large, and how long.
//!
//! What all streams allow together is a [`BatchRoom`]; each batch holds a [`Place`] in it, which it
//! gives back when it is dropped. What the messages of a batch do to it is in [`super::atomic_batch`]
//! and [`super::fast_batch`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use fulmar_protocol::headers::Headers;
use hashbrown::HashMap;

use super::Stream;
use super::atomic_batch::AtomicBatch;
use super::fast_batch::FastBatch;
use super::publish::Incoming;
use crate::config::JetStreamOptions;
use crate::jetstream::batch_reply::{AtomicPart, FastPart};
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::time::{NEVER_NS, Now};

/// Bytes that the messages of one atomic batch may take until it is committed. The log takes twice
/// as much at once.
pub(super) const BATCH_BYTES_MAX: usize = 32 << 20;
/// Bytes that the messages of all atomic batches may take together. What holds them grows by
/// doubling, so that the memory is up to twice as much.
const BATCHES_BYTES_MAX: usize = 256 << 20;

/// What the batches of all streams may take together, and what they take.
#[derive(Debug)]
pub struct BatchRoom {
    pub(super) atomic_per_stream_max: usize,
    pub(super) fast_per_stream_max: usize,
    /// Messages of an atomic batch.
    pub(super) messages_max: u64,
    /// How long a batch waits for its next message.
    pub(super) timeout_ns: u64,
    atomic: Count,
    fast: Count,
    bytes: Count,
}

/// A number with a bound.
#[derive(Debug)]
struct Count {
    is: AtomicUsize,
    max: usize,
}

impl Count {
    fn new(max: usize) -> Self {
        Self { is: AtomicUsize::new(0), max }
    }

    /// Adds `number` unless that is too much. No memory hangs on the order.
    fn add(&self, number: usize) -> bool {
        let fits = |is: usize| is.checked_add(number).filter(|sum| *sum <= self.max);
        self.is.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn subtract(&self, number: usize) {
        self.is.fetch_sub(number, Ordering::Relaxed);
    }
}

impl BatchRoom {
    /// What a configuration allows.
    pub fn new(options: &JetStreamOptions) -> Self {
        Self {
            atomic_per_stream_max: options.batches_per_stream_max,
            fast_per_stream_max: options.fast_batches_per_stream_max,
            messages_max: options.batch_messages_max as u64,
            timeout_ns: u64::try_from(options.batch_timeout.as_nanos()).unwrap_or(NEVER_NS),
            atomic: Count::new(options.batches_max),
            fast: Count::new(options.fast_batches_max),
            bytes: Count::new(BATCHES_BYTES_MAX),
        }
    }
}

impl Default for BatchRoom {
    fn default() -> Self {
        Self::new(&JetStreamOptions::default())
    }
}

/// What one batch takes of the room for all.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<BatchRoom>,
    is_atomic: bool,
    bytes: usize,
}

impl Place {
    pub(super) fn take(room: &Arc<BatchRoom>, is_atomic: bool) -> Option<Self> {
        let place = Self { room: room.clone(), is_atomic, bytes: 0 };
        if place.count().add(1) {
            return Some(place);
        }
        // It was not counted, so that dropping it must not count it back.
        std::mem::forget(place);
        None
    }

    /// Takes more memory, if there is any for it.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.room.bytes.add(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// Gives memory back.
    pub(super) fn shrink(&mut self, bytes: usize) {
        self.room.bytes.subtract(bytes);
        self.bytes -= bytes;
    }

    fn count(&self) -> &Count {
        if self.is_atomic { &self.room.atomic } else { &self.room.fast }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count().subtract(1);
        self.room.bytes.subtract(self.bytes);
    }
}

/// A batch that was given up.
#[derive(Debug)]
pub struct Abandoned {
    /// Its id, as its publisher wrote it.
    pub id: Box<[u8]>,
    /// `timeout`, `large`, `incomplete` or `unsupported`.
    pub reason: &'static str,
}

/// The batches of a stream.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) room: Arc<BatchRoom>,
    pub(super) atomic: HashMap<Box<[u8]>, AtomicBatch, RandomState>,
    pub(super) fast: HashMap<Box<[u8]>, FastBatch, RandomState>,
    abandoned: Vec<Abandoned>,
    /// When somebody has to look whether batches are too old: not later than the first of them is.
    look_at_ns: u64,
    /// The owner of the stream does not know yet what is new.
    is_news: bool,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            room: Arc::default(),
            atomic: HashMap::default(),
            fast: HashMap::default(),
            abandoned: Vec::new(),
            look_at_ns: NEVER_NS,
            is_news: false,
        }
    }
}

impl Batches {
    /// A place for one more atomic batch.
    pub(super) fn atomic_place(&mut self, now: Now) -> Option<Place> {
        let is_room = self.atomic.len() < self.room.atomic_per_stream_max;
        let place = is_room.then(|| Place::take(&self.room, true))??;
        self.watch(now);
        Some(place)
    }

    /// A place for one more fast batch.
    pub(super) fn fast_place(&mut self, now: Now) -> Option<Place> {
        let is_room = self.fast.len() < self.room.fast_per_stream_max;
        let place = is_room.then(|| Place::take(&self.room, false))??;
        self.watch(now);
        Some(place)
    }

    /// Gives an atomic batch up.
    pub(super) fn abandon(&mut self, id: &[u8], reason: &'static str) {
        self.atomic.remove(id);
        self.abandoned.push(Abandoned { id: id.into(), reason });
        self.is_news = true;
    }

    /// Has somebody look when a batch that begins now is too old. Those that are under way have a
    /// look that comes earlier.
    fn watch(&mut self, now: Now) {
        if self.look_at_ns == NEVER_NS {
            self.look_at_ns = now.after(self.room.timeout_ns);
            self.is_news = true;
        }
    }

    fn expire(&mut self, now: Now) {
        let now_ns = now.monotonic_ns;
        let Self { atomic, fast, abandoned, .. } = self;
        for (id, _) in atomic.extract_if(|_, batch| batch.ends_at_ns <= now_ns) {
            abandoned.push(Abandoned { id, reason: "timeout" });
        }
        fast.retain(|_, batch| batch.ends_at_ns > now_ns);
        let ends = atomic.values().map(|batch| batch.ends_at_ns);
        let ends = ends.chain(fast.values().map(|batch| batch.ends_at_ns));
        self.look_at_ns = ends.min().unwrap_or(NEVER_NS);
        self.is_news = true;
    }
}

/// How a message belongs to a batch.
pub(super) enum Part<'a> {
    Atomic(AtomicPart<'a>),
    Fast(FastPart<'a>),
}

impl Stream {
    /// Takes the room over that its batches share with those of other streams.
    pub fn set_batch_room(&mut self, room: &Arc<BatchRoom>) {
        self.batches.room = room.clone();
    }

    /// Whether the owner has to look at [`Self::take_abandoned`] and [`Self::batch_look_ns`].
    pub fn has_batch_news(&self) -> bool {
        self.batches.is_news
    }

    /// The batches that were given up since the last time.
    pub fn take_abandoned(&mut self) -> Vec<Abandoned> {
        self.batches.is_news = false;
        std::mem::take(&mut self.batches.abandoned)
    }

    /// When [`Self::expire_batches`] is to be called, monotonic.
    pub fn batch_look_ns(&self) -> u64 {
        self.batches.look_at_ns
    }

    /// Gives batches up whose publishers were silent for too long.
    pub fn expire_batches(&mut self, now: Now) {
        if self.batches.look_at_ns <= now.monotonic_ns {
            self.batches.expire(now);
        }
    }

    /// Forgets the batches that the configuration does not allow any more.
    pub(super) fn forget_batches(&mut self) {
        if !self.config.allow_atomic {
            self.batches.atomic.clear();
        }
        if !self.config.allow_batched {
            self.batches.fast.clear();
        }
    }

    /// How a message belongs to a batch that seems to. `None`: it does not.
    pub(super) fn part_of<'a>(
        &self,
        incoming: &Incoming<'a>,
    ) -> Result<Option<Part<'a>>, ApiError> {
        let config = &self.config;
        if config.sealed {
            return Err(error::STREAM_SEALED);
        }
        let size = incoming.headers.len() + incoming.payload.len();
        if usize::try_from(config.max_msg_size).is_ok_and(|max| size > max) {
            return Err(error::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
        }
        let reply = incoming.reply.unwrap_or_default();
        if let Some(part) = FastPart::parse(reply, config.allow_batched)? {
            return Ok(Some(Part::Fast(part)));
        }
        let part = AtomicPart::parse(Headers::new(incoming.headers), config.allow_atomic)?;
        Ok(part.map(Part::Atomic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_takes_comes_back_when_it_is_gone() {
        let options = JetStreamOptions { batches_max: 2, ..JetStreamOptions::default() };
        let room = Arc::new(BatchRoom::new(&options));
        let mut one = Place::take(&room, true).unwrap();
        let two = Place::take(&room, true).unwrap();
        assert!(Place::take(&room, true).is_none());
        assert!(Place::take(&room, false).is_some());
        assert!(one.grow(BATCHES_BYTES_MAX));
        assert!(!one.grow(1));
        drop((one, two));
        assert!(Place::take(&room, true).unwrap().grow(BATCHES_BYTES_MAX));
    }
}
