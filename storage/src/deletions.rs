//! Sequences that are deleted, as ranges: gathered, put in order, and as the body of a record.
//!
//! It knows numbers. It refuses to know what has them.

use std::ops::Range;

/// A range takes at most this many bytes: two numbers of seven bits a byte.
const RANGE_BYTES_MAX: usize = 20;

/// Ranges of sequences in the order of their starts, without overlaps, and with a gap between
/// any two.
pub(crate) fn normalize(ranges: &mut Vec<Range<u64>>) {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, kept| {
        let joined = next.start <= kept.end;
        if joined {
            kept.end = kept.end.max(next.end);
        }
        joined
    });
}

/// The bodies of deletion records that together hold `ranges`, which are normalized. None is
/// longer than `body_bytes_max`, which is at least [`RANGE_BYTES_MAX`].
///
/// A body is ranges, each the distance from the end of the one before (from 0 for the first) and
/// the length, as numbers of seven bits a byte, least first, the eighth bit saying that more
/// follows.
pub(crate) fn encode(ranges: &[Range<u64>], body_bytes_max: usize) -> Vec<Vec<u8>> {
    debug_assert!(body_bytes_max >= RANGE_BYTES_MAX);
    let mut bodies = Vec::new();
    let mut body = Vec::new();
    let mut previous = 0;
    for range in ranges {
        if body.len() + RANGE_BYTES_MAX > body_bytes_max {
            bodies.push(std::mem::take(&mut body));
            previous = 0;
        }
        put_number(&mut body, range.start - previous);
        put_number(&mut body, range.end - range.start);
        previous = range.end;
    }
    if !body.is_empty() {
        bodies.push(body);
    }
    bodies
}

/// The most bytes that one body of so many ranges can have.
pub(crate) fn body_bytes_max(ranges: usize) -> usize {
    ranges * RANGE_BYTES_MAX
}

/// The ranges of a body whose checksum is right. `None`: it was not made by [`encode`].
pub(crate) fn decode(mut body: &[u8]) -> Option<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut previous = 0_u64;
    while !body.is_empty() {
        let start = previous.checked_add(take_number(&mut body)?)?;
        let end = start.checked_add(take_number(&mut body)?)?;
        ranges.push(start..end);
        previous = end;
    }
    Some(ranges)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [bits, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(bits);
            return;
        }
        out.push(bits | 0x80);
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10_u32 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            return None;
        }
        number |= bits << (place * 7);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_back_from_as_many_bodies_as_they_need() {
        let mut ranges: Vec<Range<u64>> = (0..1_000).map(|n| n * 7..n * 7 + n % 5).collect();
        ranges.push(u64::MAX - 3..u64::MAX);
        normalize(&mut ranges);
        for body_bytes_max in [RANGE_BYTES_MAX, 100, 1 << 20] {
            let bodies = encode(&ranges, body_bytes_max);
            assert!(bodies.iter().all(|body| body.len() <= body_bytes_max));
            let back: Vec<_> = bodies.iter().flat_map(|body| decode(body).unwrap()).collect();
            assert_eq!(back, ranges);
        }
        assert_eq!(encode(&[], 100), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn overlaps_and_neighbours_become_one() {
        let check = |ranges: &[Range<u64>], expected: &[Range<u64>]| {
            let mut ranges = ranges.to_vec();
            normalize(&mut ranges);
            assert_eq!(ranges, expected);
        };
        check(&[5..6, 1..2, 2..3], &[1..3, 5..6]);
        check(&[1..9, 3..4, 9..9, 20..21], &[1..9, 20..21]);
        check(&[], &[]);
    }

    #[test]
    fn a_body_that_is_none_is_refused() {
        for body in [&[0x80][..], &[1], &[0xff; 11], &[5, 0xff, 0xff]] {
            assert_eq!(decode(body), None, "{body:?}");
        }
    }
}
