//! Messages encoded before the measurement, and the exact form in which they must come back.
//!
//! All frames of one load have the same length, so counting messages is counting bytes; the
//! pattern says whether a frame that arrived is the one that was meant.

use std::ops::Range;
use std::sync::Arc;

/// Size of one write of a publisher; a chunk holds as many whole frames as fit, at least two.
/// Sizes from 4 KiB to 128 KiB cost a server the same; larger ones only push each other out of
/// the processor's cache.
const CHUNK_BYTES: usize = 16 * 1024;

/// First of the subscription ids of numbered filters: all have the same number of digits.
pub const NUMBERED_SID_FIRST: usize = 1_000_000;

/// Most numbered subjects: number and subscription id keep seven digits.
pub const NUMBERED_COUNT_MAX: usize = 9_000_000;

/// The subscription id of the messages of a load.
pub const SID: usize = 1;

/// The subscription id of end marks.
pub const END_SID: usize = 9;

/// The subject on which a publisher says that it is done.
pub const END_SUBJECT: &str = "end.mark";

const END_PAYLOAD: &str = "END";

/// A publisher's messages, ready to be written again and again.
#[derive(Clone, Debug)]
pub struct PublishRing {
    bytes: Arc<[u8]>,
    frame_bytes: usize,
    chunk_frames: usize,
    /// Index of the next frame to be written.
    next: usize,
}

impl PublishRing {
    /// Always the same message, to one subject.
    pub fn same(subject: &str, payload_bytes: usize) -> Self {
        let frame = publish_frame(subject, &payload(payload_bytes));
        let chunk_frames = (CHUNK_BYTES / frame.len()).max(2);
        Self {
            bytes: frame.repeat(chunk_frames).into(),
            frame_bytes: frame.len(),
            chunk_frames,
            next: 0,
        }
    }

    /// One message to each of the subjects [`numbered_subject`]`(0..count)`, neighbours far
    /// apart, then again from the beginning.
    pub fn numbered(count: usize, payload_bytes: usize) -> Self {
        let payload = payload(payload_bytes);
        let mut bytes = Vec::new();
        for index in 0..count {
            let number = scattered(index as u64, count as u64);
            bytes.extend_from_slice(&publish_frame(&numbered_subject(number), &payload));
        }
        let frame_bytes = bytes.len() / count;
        Self {
            bytes: bytes.into(),
            frame_bytes,
            chunk_frames: (CHUNK_BYTES / frame_bytes).max(2).min(count),
            next: 0,
        }
    }

    /// Length of every frame in bytes.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Frames in a full chunk.
    pub fn chunk_frames(&self) -> usize {
        self.chunk_frames
    }

    /// The next frames to write, and how many they are.
    pub fn next_chunk(&mut self) -> (&[u8], u64) {
        let frames_all = self.bytes.len() / self.frame_bytes;
        let first = if self.next == frames_all { 0 } else { self.next };
        self.next = (first + self.chunk_frames).min(frames_all);
        let chunk = &self.bytes[first * self.frame_bytes..self.next * self.frame_bytes];
        (chunk, (self.next - first) as u64)
    }
}

/// The form of the frames that a subscriber gets.
#[derive(Clone, Debug)]
pub struct FramePattern {
    /// One frame, with zeros where numbers stand.
    frame: Vec<u8>,
    /// Length of the beginning that is the same in every frame.
    fixed_prefix_bytes: usize,
    numbers: Option<Numbers>,
}

/// Where the subject's number and the subscription id stand in a numbered frame.
#[derive(Clone, Debug)]
struct Numbers {
    subject: Range<usize>,
    sid: Range<usize>,
}

impl FramePattern {
    /// `MSG subject 1 N`, always the same.
    pub fn same(subject: &str, payload_bytes: usize) -> Self {
        Self::exactly(message_frame(subject, SID, &payload(payload_bytes)))
    }

    /// What a relay passes on: the PUB frame itself.
    pub fn relayed(subject: &str, payload_bytes: usize) -> Self {
        Self::exactly(publish_frame(subject, &payload(payload_bytes)))
    }

    fn exactly(frame: Vec<u8>) -> Self {
        Self { fixed_prefix_bytes: frame.len(), frame, numbers: None }
    }

    /// Frames for the subjects of [`PublishRing::numbered`], each with the subscription id that
    /// belongs to its number.
    pub fn numbered(payload_bytes: usize) -> Self {
        let subject = numbered_subject(0);
        let frame = message_frame(&subject, NUMBERED_SID_FIRST, &payload(payload_bytes));
        let digits = NUMBERED_SID_FIRST.to_string().len();
        let number_begin = b"MSG ".len() + subject.find("0000000").unwrap_or(0);
        let sid_begin = b"MSG ".len() + subject.len() + 1;
        Self {
            frame,
            fixed_prefix_bytes: number_begin,
            numbers: Some(Numbers {
                subject: number_begin..number_begin + digits,
                sid: sid_begin..sid_begin + digits,
            }),
        }
    }

    /// Length of every frame in bytes.
    pub fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// Is `frame`, of the right length, one that was meant?
    pub fn matches(&self, frame: &[u8]) -> bool {
        let Some(Numbers { subject, sid }) = &self.numbers else { return frame == self.frame };
        let same = |range: Range<usize>| frame[range.clone()] == self.frame[range];
        let number = |range: &Range<usize>| {
            std::str::from_utf8(&frame[range.clone()]).ok()?.parse::<usize>().ok()
        };
        same(0..subject.start)
            && same(subject.end..sid.start)
            && same(sid.end..frame.len())
            && number(subject).map(|number| number + NUMBERED_SID_FIRST) == number(sid)
    }

    /// May `bytes`, fewer than a frame, be the beginning of one?
    pub fn may_begin_with(&self, bytes: &[u8]) -> bool {
        let known = bytes.len().min(self.fixed_prefix_bytes);
        bytes[..known] == self.frame[..known]
    }
}

/// The message with which a publisher says that it is done.
pub fn end_publish_frame() -> Vec<u8> {
    publish_frame(END_SUBJECT, END_PAYLOAD.as_bytes())
}

/// The end mark as a subscriber gets it.
pub fn end_message_frame() -> Vec<u8> {
    message_frame(END_SUBJECT, END_SID, END_PAYLOAD.as_bytes())
}

/// `PUB subject N` with its payload.
pub fn publish_frame(subject: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = format!("PUB {subject} {}\r\n", payload.len()).into_bytes();
    frame.extend_from_slice(payload);
    frame.extend_from_slice(b"\r\n");
    frame
}

/// `MSG subject sid N` with its payload.
pub fn message_frame(subject: &str, sid: usize, payload: &[u8]) -> Vec<u8> {
    let mut frame = format!("MSG {subject} {sid} {}\r\n", payload.len()).into_bytes();
    frame.extend_from_slice(payload);
    frame.extend_from_slice(b"\r\n");
    frame
}

/// A payload of printable bytes without a period that a copy error could hide behind.
pub fn payload(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        b'!' + (state >> 24).to_le_bytes()[0] % 94
    };
    (0..bytes).map(|_| next()).collect()
}

/// The subject with this number; all have the same length.
pub fn numbered_subject(number: u64) -> String {
    format!("device.{number:07}.state")
}

/// The filter for [`numbered_subject`]`(number)`: every tenth ends in `*`.
pub fn numbered_filter(number: u64) -> String {
    if number.is_multiple_of(10) {
        format!("device.{number:07}.*")
    } else {
        numbered_subject(number)
    }
}

/// A permutation of `0..count` in which neighbours are far apart, so that no cache, the
/// processor's neither, profits from order.
pub fn scattered(index: u64, count: u64) -> u64 {
    /// A prime, thus without a common divisor with any smaller count, near 0.618 of 9 million.
    const STRIDE: u64 = 5_562_293;
    debug_assert!(count <= NUMBERED_COUNT_MAX as u64);
    if count.is_multiple_of(STRIDE) { index } else { index * STRIDE % count }
}

/// Writes the last decimal digits of `number`, as many as there is room for.
pub fn write_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_form_of_the_wire() {
        assert_eq!(publish_frame("a", b"xy"), b"PUB a 2\r\nxy\r\n");
        assert_eq!(message_frame("a", 7, b"xy"), b"MSG a 7 2\r\nxy\r\n");
        assert_eq!(end_message_frame(), b"MSG end.mark 9 3\r\nEND\r\n");
    }

    #[test]
    fn a_ring_of_the_same_message_is_one_chunk() {
        let mut ring = PublishRing::same("a", 16);
        let (chunk, count) = ring.next_chunk();
        let frame = publish_frame("a", &payload(16));
        assert_eq!(chunk, frame.repeat(usize::try_from(count).unwrap()));
        assert!(chunk.len() <= CHUNK_BYTES && chunk.len() + frame.len() > CHUNK_BYTES);
    }

    #[test]
    fn large_messages_still_come_two_at_a_time() {
        assert_eq!(PublishRing::same("a", 64 * 1024).next_chunk().1, 2);
    }

    #[test]
    fn a_numbered_ring_visits_every_subject_once_before_it_repeats() {
        for count in [1, 10, 2_999, 12_345] {
            let mut ring = PublishRing::numbered(count, 16);
            for _ in 0..2 {
                let mut seen = vec![false; count];
                let mut written = 0;
                while written < count {
                    let (chunk, frames) = ring.next_chunk();
                    written += usize::try_from(frames).unwrap();
                    for frame in chunk.chunks(ring_frame_bytes()) {
                        let number = std::str::from_utf8(&frame[11..18]).unwrap();
                        let number: usize = number.parse().unwrap();
                        assert!(!std::mem::replace(&mut seen[number], true));
                    }
                }
                assert_eq!(written, count);
                assert!(seen.into_iter().all(|seen| seen));
            }
        }
    }

    fn ring_frame_bytes() -> usize {
        publish_frame(&numbered_subject(0), &payload(16)).len()
    }

    #[test]
    fn numbered_frames_match_their_own_subscription_only() {
        let pattern = FramePattern::numbered(16);
        let frame = |number, sid| message_frame(&numbered_subject(number), sid, &payload(16));
        assert!(pattern.matches(&frame(0, 1_000_000)));
        assert!(pattern.matches(&frame(123_456, 1_123_456)));
        assert!(!pattern.matches(&frame(123_456, 1_123_457)));
        let mut damaged = frame(1, 1_000_001);
        let last = damaged.len() - 3;
        damaged[last] ^= 1;
        assert!(!pattern.matches(&damaged));
        assert!(pattern.may_begin_with(b"MSG dev"));
        assert!(pattern.may_begin_with(b"MSG device.0099"));
        assert!(!pattern.may_begin_with(b"PING\r\n"));
    }

    #[test]
    fn one_filter_in_ten_has_a_wildcard() {
        let wildcards = (0..1000).filter(|number| numbered_filter(*number).ends_with('*')).count();
        assert_eq!(wildcards, 100);
    }
}
