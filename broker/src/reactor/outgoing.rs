//! What waits to be written to one connection, and the pool its memory comes from.
//!
//! Small messages are copied into a segment; a large body is inserted between copied bytes by
//! reference, so that all subscribers share it. A connection has an [`Outgoing`] only while
//! something waits.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Copied bytes in one segment; a longer queue is several segments, so that it never moves.
const SEGMENT_BYTES: usize = 64 * 1024;
/// Memory the pool of one reactor keeps for the next tick.
pub const POOL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that wait for one connection, in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    segments: VecDeque<Segment>,
    pending: usize,
}

#[derive(Debug, Default)]
struct Segment {
    copied: Vec<u8>,
    copied_sent: usize,
    shared: VecDeque<Insertion>,
}

/// Shared bytes that go out before the copied byte at `at`.
#[derive(Debug)]
struct Insertion {
    at: usize,
    bytes: Bytes,
}

/// Memory of segments that were written out.
#[derive(Debug, Default)]
pub struct Pool {
    #[expect(
        clippy::vec_box,
        reason = "boxes are what connections hold: they move in and out as they are"
    )]
    outgoings: Vec<Box<Outgoing>>,
    buffers: Vec<Vec<u8>>,
    buffer_bytes: usize,
}

impl Outgoing {
    /// How many bytes wait.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Appends what `write` appends to the buffer it is given; `size_max` is how much that is at
    /// the most.
    #[inline]
    pub fn write(&mut self, pool: &mut Pool, size_max: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let fits = self.segments.back().is_some_and(|segment| {
            segment.copied.len() + size_max <= SEGMENT_BYTES || segment.copied.is_empty()
        });
        if !fits {
            self.segments.push_back(Segment { copied: pool.take_buffer(), ..Segment::default() });
        }
        let segment = self.segments.back_mut().expect("one was pushed if there was none");
        let before = segment.copied.len();
        segment.copied.reserve(size_max);
        write(&mut segment.copied);
        debug_assert!(segment.copied.len() - before <= size_max, "a write larger than announced");
        self.pending += segment.copied.len() - before;
    }

    /// Appends `bytes` without copying them.
    pub fn share(&mut self, pool: &mut Pool, bytes: Bytes) {
        if self.segments.is_empty() {
            self.segments.push_back(Segment { copied: pool.take_buffer(), ..Segment::default() });
        }
        let segment = self.segments.back_mut().expect("one was pushed if there was none");
        self.pending += bytes.len();
        segment.shared.push_back(Insertion { at: segment.copied.len(), bytes });
    }

    /// Fills `slices` with what goes out next, and returns how many there are.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut add = |bytes: &'a [u8]| {
            if !bytes.is_empty() && count < slices.len() {
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
            count < slices.len()
        };
        'all: for segment in &self.segments {
            let mut at = segment.copied_sent;
            for insertion in &segment.shared {
                if !(add(&segment.copied[at..insertion.at]) && add(&insertion.bytes)) {
                    break 'all;
                }
                at = insertion.at;
            }
            if !add(&segment.copied[at..]) {
                break;
            }
        }
        count
    }

    /// Forgets the first `written` bytes: they went out.
    pub fn advance(&mut self, pool: &mut Pool, mut written: usize) {
        debug_assert!(written <= self.pending, "more was written than waited");
        self.pending -= written;
        while let Some(segment) = self.segments.front_mut() {
            let boundary =
                segment.shared.front().map_or(segment.copied.len(), |insertion| insertion.at);
            let step = written.min(boundary - segment.copied_sent);
            segment.copied_sent += step;
            written -= step;
            if segment.copied_sent < boundary {
                return;
            }
            if let Some(insertion) = segment.shared.front_mut() {
                let step = written.min(insertion.bytes.len());
                insertion.bytes.advance(step);
                written -= step;
                if !insertion.bytes.is_empty() {
                    return;
                }
                segment.shared.pop_front();
                continue;
            }
            let segment = self.segments.pop_front().expect("it was looked at just now");
            pool.give_buffer(segment.copied);
        }
    }

    fn clear(&mut self, pool: &mut Pool) {
        self.pending = 0;
        for segment in self.segments.drain(..) {
            pool.give_buffer(segment.copied);
        }
    }
}

impl Pool {
    /// An empty queue.
    pub fn take(&mut self) -> Box<Outgoing> {
        self.outgoings.pop().unwrap_or_default()
    }

    /// Takes a queue back, whatever is left in it.
    pub fn give(&mut self, mut outgoing: Box<Outgoing>) {
        outgoing.clear(self);
        // As many as there are buffers to fill them, and a few.
        if self.outgoings.len() < 1024 {
            self.outgoings.push(outgoing);
        }
    }

    /// Memory it keeps.
    pub fn size(&self) -> usize {
        self.buffer_bytes
    }

    fn take_buffer(&mut self) -> Vec<u8> {
        match self.buffers.pop() {
            Some(buffer) => {
                self.buffer_bytes -= buffer.capacity();
                buffer
            }
            None => Vec::new(),
        }
    }

    fn give_buffer(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size == 0 || size > 2 * SEGMENT_BYTES || self.buffer_bytes + size > POOL_BYTES_MAX {
            return;
        }
        buffer.clear();
        self.buffer_bytes += size;
        self.buffers.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(Vec<u8>),
        Share(Vec<u8>),
        Send(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = || {
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                (any::<u8>(), 0usize..SEGMENT_BYTES * 2).prop_map(|(byte, size)| vec![byte; size]),
            ]
        };
        proptest::collection::vec(
            prop_oneof![
                bytes().prop_map(Step::Write),
                bytes().prop_map(Step::Share),
                (0usize..SEGMENT_BYTES * 3).prop_map(Step::Send),
            ],
            0..40,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_goes_in_comes_out_in_order(steps in steps(), slice_count in 1usize..9) {
            let mut pool = Pool::default();
            let mut outgoing = pool.take();
            let mut expected = VecDeque::new();
            for step in steps {
                match step {
                    Step::Write(bytes) => {
                        outgoing.write(&mut pool, bytes.len(), |out| out.extend_from_slice(&bytes));
                        expected.extend(bytes);
                    }
                    Step::Share(bytes) => {
                        outgoing.share(&mut pool, Bytes::from(bytes.clone()));
                        expected.extend(bytes);
                    }
                    Step::Send(most) => {
                        let mut slices = vec![IoSlice::new(&[]); slice_count];
                        let count = outgoing.gather(&mut slices);
                        let gathered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                        prop_assert_eq!(gathered.is_empty(), expected.is_empty());
                        let sent = most.min(gathered.len());
                        prop_assert!(expected.drain(..sent).eq(gathered[..sent].iter().copied()));
                        outgoing.advance(&mut pool, sent);
                    }
                }
                prop_assert_eq!(outgoing.pending(), expected.len());
            }
            pool.give(outgoing);
            prop_assert_eq!(pool.take().pending(), 0);
            let capacity: usize = pool.buffers.iter().map(Vec::capacity).sum();
            prop_assert_eq!(pool.buffer_bytes, capacity);
        }
    }
}
