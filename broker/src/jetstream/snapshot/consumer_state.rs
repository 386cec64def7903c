//! What a consumer has delivered, in the two forms snapshots have for it: JSON, and the compact
//! binary one of the older format. How a consumer keeps it itself is not known here.
//!
//! ```text
//! 22 | version 1 or 2 | acknowledged up to: consumer, stream | delivered up to: consumer, stream
//! count of pending, then if there are any: base second | count times:
//!     stream sequence | consumer sequence (version 2) | second
//! count of redelivered | count times: stream sequence | how often
//! ```
//!
//! All are variable-length integers, seconds with a sign (zigzag). Sequences are above those
//! acknowledged. Version 2 counts seconds back from the base, and has no more than the delivered
//! sequences; version 1 counts on from it, and has what is delivered above what is acknowledged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Delivered and not acknowledged, by stream sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerState {
    /// The last that was delivered.
    pub delivered: SequencePair,
    /// All up to here are acknowledged.
    pub ack_floor: SequencePair,
    /// What waits for its acknowledgement.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map_or_null")]
    pub pending: BTreeMap<u64, Delivery>,
    /// How often it was delivered again, for what was.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map_or_null")]
    pub redelivered: BTreeMap<u64, u64>,
}

/// The same place, counted in deliveries and in messages of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SequencePair {
    /// Deliveries.
    pub consumer_seq: u64,
    /// Stream sequence.
    pub stream_seq: u64,
}

/// The last delivery of a message that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Delivery {
    /// Its first delivery, counted in deliveries.
    pub sequence: u64,
    /// When it was last delivered, in nanoseconds since 1970.
    #[serde(rename = "Timestamp")]
    pub unix_ns: i64,
}

fn map_or_null<'de, D, V>(deserializer: D) -> Result<BTreeMap<u64, V>, D::Error>
where
    D: serde::Deserializer<'de>,
    V: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

const MAGIC: u8 = 22;
const SECOND_NS: i64 = 1_000_000_000;

impl ConsumerState {
    /// Reads the binary form; `None` if it is damaged or of another version.
    pub(super) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let [MAGIC, version @ 1..=2, rest @ ..] = bytes else { return None };
        let mut input = rest;
        let ack_floor = SequencePair {
            consumer_seq: take_unsigned(&mut input)?,
            stream_seq: take_unsigned(&mut input)?,
        };
        let mut delivered = SequencePair {
            consumer_seq: take_unsigned(&mut input)?,
            stream_seq: take_unsigned(&mut input)?,
        };
        if *version == 1 {
            let above = |floor: u64| floor.saturating_sub(1);
            delivered.consumer_seq =
                delivered.consumer_seq.checked_add(above(ack_floor.consumer_seq))?;
            delivered.stream_seq = delivered.stream_seq.checked_add(above(ack_floor.stream_seq))?;
        }
        let mut state = Self { delivered, ack_floor, ..Self::default() };
        let count = take_unsigned(&mut input)?;
        let base = if count > 0 { take_signed(&mut input)? } else { 0 };
        for _ in 0..count {
            let stream_sequence = take_unsigned(&mut input)?.checked_add(ack_floor.stream_seq)?;
            let (sequence, second) = if *version == 1 {
                (0, base.checked_add(take_signed(&mut input)?)?)
            } else {
                let sequence = take_unsigned(&mut input)?.checked_add(ack_floor.consumer_seq)?;
                (sequence, base.checked_sub(take_signed(&mut input)?)?)
            };
            let unix_ns = second.checked_mul(SECOND_NS)?;
            state.pending.insert(stream_sequence, Delivery { sequence, unix_ns });
        }
        for _ in 0..take_unsigned(&mut input)? {
            let stream_sequence = take_unsigned(&mut input)?.checked_add(ack_floor.stream_seq)?;
            state.redelivered.insert(stream_sequence, take_unsigned(&mut input)?);
        }
        Some(state)
    }
}

/// Takes a variable-length integer off the front: seven bits a byte, the lowest first.
pub(super) fn take_unsigned(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..10 {
        let byte = *input.get(index)?;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if index == 9 && byte > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Takes a variable-length integer with a sign off the front: zigzag.
pub(super) fn take_signed(input: &mut &[u8]) -> Option<i64> {
    let value = take_unsigned(input)?;
    let magnitude = (value >> 1).cast_signed();
    Some(if value & 1 == 0 { magnitude } else { !magnitude })
}

/// Appends `value` in seven bits a byte.
pub(super) fn put_unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends `value` in zigzag.
pub(super) fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_unsigned((value << 1 ^ value >> 63).cast_unsigned(), out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_as_the_server_writes_it() {
        let json = r#"{"delivered":{"consumer_seq":3,"stream_seq":3},"ack_floor":{"consumer_seq":1,"stream_seq":1},"pending":{"3":{"Sequence":2,"Timestamp":1795243987030977196}},"redelivered":{"3":1}}"#;
        let state: ConsumerState = serde_json::from_str(json).unwrap();
        assert_eq!(state.delivered, SequencePair { consumer_seq: 3, stream_seq: 3 });
        assert_eq!(state.pending[&3].sequence, 2);
        assert_eq!(state.pending[&3].unix_ns, 1_795_243_987_030_977_196);
        assert_eq!(state.redelivered[&3], 1);
        assert_eq!(serde_json::to_string(&state).unwrap(), json);
        let empty: ConsumerState = serde_json::from_str(r#"{"pending":null}"#).unwrap();
        assert_eq!(empty, ConsumerState::default());
    }

    #[test]
    fn binary() {
        let pair = |consumer_seq, stream_seq| SequencePair { consumer_seq, stream_seq };
        // Floors 5 and 10, delivered 7 and 13; 12 pending since base - 2; 12 redelivered once.
        let mut bytes = vec![22, 2, 5, 10, 7, 13, 1];
        put_signed(1_000, &mut bytes);
        bytes.extend([2, 1]);
        put_signed(2, &mut bytes);
        bytes.extend([1, 2, 1]);
        let state = ConsumerState::from_binary(&bytes).unwrap();
        assert_eq!((state.ack_floor, state.delivered), (pair(5, 10), pair(7, 13)));
        let delivery = Delivery { sequence: 6, unix_ns: 998 * SECOND_NS };
        assert_eq!(state.pending, BTreeMap::from([(12, delivery)]));
        assert_eq!(state.redelivered, BTreeMap::from([(12, 1)]));
        for length in 0..bytes.len() {
            assert_eq!(ConsumerState::from_binary(&bytes[..length]), None);
        }
        // Version 1: what is delivered is above the floors, which are the next ones.
        let state = ConsumerState::from_binary(&[22, 1, 5, 10, 3, 4, 0, 0]).unwrap();
        assert_eq!((state.ack_floor, state.delivered), (pair(5, 10), pair(7, 13)));
        assert_eq!(ConsumerState::from_binary(&[22, 3, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(ConsumerState::from_binary(&[21, 2, 0, 0, 0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn integers(value: u64, shift in 0..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_unsigned(value, &mut bytes);
            put_signed(value.cast_signed(), &mut bytes);
            let mut input = &bytes[..];
            prop_assert_eq!(take_unsigned(&mut input), Some(value));
            prop_assert_eq!(take_signed(&mut input), Some(value.cast_signed()));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let mut with_version = vec![22, 2];
            with_version.extend_from_slice(&bytes);
            let _ = (ConsumerState::from_binary(&bytes), ConsumerState::from_binary(&with_version));
        }
    }
}
