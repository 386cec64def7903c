//! S2 streams: compressed blocks in frames with checksums, as snapshots travel.
//!
//! Blocks are compressed by the library; here are only the frames, so that bytes can be pushed
//! in and taken out as they come, and memory has a bound. What is in the stream is not known.
//!
//! ```text
//! stream  ff 06 00 00 "S2sTwO"   (or "sNaPpY": Snappy, a subset of S2)
//!         { type 1 | length 3, little endian | that many bytes }*
//! 00      checksum 4 | compressed block
//! 01      checksum 4 | the bytes themselves
//! 02..7f  refused;   80..fd  skipped;   fe  padding;   ff  the beginning, once more
//! ```
//!
//! The checksum is the CRC-32C of the bytes themselves, rotated by 15 bits and increased by
//! `a282ead8`. A stream that ends between two frames is complete as far as this layer knows.
//!
//! Sources: Snappy's framing format, and the S2 stream format of klauspost/compress.

/// Bytes of a block before compression, at most: ours, and what is accepted.
const OWN_BLOCK_BYTES: usize = 128 * 1024;
const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The compressed form of a block can be a little larger than the block.
const FRAME_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 6 + 64;

const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;
const UNSKIPPABLE_MAX: u8 = 0x7f;
const BEGINNING: u8 = 0xff;
const S2: &[u8] = b"S2sTwO";
const SNAPPY: &[u8] = b"sNaPpY";

/// What is wrong with a stream. The texts are those of the library nats-server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S2Error {
    /// Not frames, or not a block.
    #[error("s2: corrupt input")]
    Corrupt,
    /// A block is not what was compressed.
    #[error("s2: corrupt input, crc mismatch")]
    Checksum,
    /// A frame that may not be skipped.
    #[error("s2: unsupported input")]
    Unsupported,
    /// A block of more than 4 MiB.
    #[error("s2: decoded block is too large")]
    TooLarge,
}

/// Compresses a stream of bytes.
///
/// It holds at most one block of 128 KiB; what it emits goes to the caller's buffer at once.
#[derive(Debug, Default)]
pub struct Encoder {
    block: Vec<u8>,
    begun: bool,
}

impl Encoder {
    /// Takes `bytes`; appends to `out` what has become complete.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = OWN_BLOCK_BYTES - self.block.len();
            let (fits, after) = rest.split_at(room.min(rest.len()));
            self.block.extend_from_slice(fits);
            if self.block.len() == OWN_BLOCK_BYTES {
                self.flush(out);
            }
            rest = after;
        }
    }

    /// Appends to `out` what is held back: whatever was written can then be decoded. Also the
    /// end of the stream.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            write_frame(BEGINNING, &[], S2, out);
        }
        if self.block.is_empty() {
            return;
        }
        let checksum = masked_checksum(&self.block).to_le_bytes();
        let compressed = minlz::s2::encode(&self.block);
        if compressed.len() < self.block.len() {
            write_frame(COMPRESSED, &checksum, &compressed, out);
        } else {
            write_frame(UNCOMPRESSED, &checksum, &self.block, out);
        }
        self.block.clear();
    }
}

fn write_frame(kind: u8, checksum: &[u8], bytes: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(checksum.len() + bytes.len()).expect("a block is 128 KiB at most");
    out.push(kind);
    out.extend_from_slice(&length.to_le_bytes()[..3]);
    out.extend_from_slice(checksum);
    out.extend_from_slice(bytes);
}

/// Decompresses a stream that arrives in pieces.
///
/// It holds what was pushed and not yet polled, and never decodes more than one block of at most
/// 4 MiB at a time.
#[derive(Debug, Default)]
pub struct Decoder {
    input: Vec<u8>,
    /// How much of the input is done with.
    taken: usize,
    begun: bool,
    /// Bytes still to come of a frame that is skipped.
    skipping: usize,
}

impl Decoder {
    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.extend_from_slice(bytes);
    }

    /// Appends the bytes of the next block to `out`; `false`: more has to be pushed first.
    ///
    /// # Errors
    ///
    /// See [`S2Error`]. The stream is then over: what follows cannot be told apart.
    pub fn poll(&mut self, out: &mut Vec<u8>) -> Result<bool, S2Error> {
        loop {
            let skipped = self.skipping.min(self.input.len() - self.taken);
            self.skipping -= skipped;
            self.taken += skipped;
            let rest = &self.input[self.taken..];
            let Some([kind, length @ ..]) = rest.first_chunk::<4>() else { return Ok(false) };
            let kind = *kind;
            let length = u32::from_le_bytes([length[0], length[1], length[2], 0]);
            let length = usize::try_from(length).expect("24 bits");
            if !self.begun && kind != BEGINNING {
                return Err(S2Error::Corrupt);
            }
            match kind {
                COMPRESSED | UNCOMPRESSED | BEGINNING => {}
                0..=UNSKIPPABLE_MAX => return Err(S2Error::Unsupported),
                _ => {
                    self.taken += 4;
                    self.skipping = length;
                    continue;
                }
            }
            if length > FRAME_BYTES_MAX {
                return Err(S2Error::TooLarge);
            }
            let Some(frame) = rest.get(4..4 + length) else { return Ok(false) };
            self.taken += 4 + length;
            if kind == BEGINNING {
                if frame != S2 && frame != SNAPPY {
                    return Err(S2Error::Corrupt);
                }
                self.begun = true;
                continue;
            }
            return decode_block(kind, frame, out).map(|()| true);
        }
    }

    /// Whether everything that was pushed has been polled: the stream may end here.
    pub fn is_complete(&self) -> bool {
        self.begun && self.taken == self.input.len() && self.skipping == 0
    }
}

fn decode_block(kind: u8, frame: &[u8], out: &mut Vec<u8>) -> Result<(), S2Error> {
    let (checksum, bytes) = frame.split_first_chunk::<4>().ok_or(S2Error::Corrupt)?;
    let start = out.len();
    if kind == COMPRESSED {
        let (length, _) = minlz::s2::decode_len(bytes).map_err(|_| S2Error::Corrupt)?;
        if length > BLOCK_BYTES_MAX {
            return Err(S2Error::TooLarge);
        }
        out.resize(start + length, 0);
        let decoded = minlz::s2::decode_into(&mut out[start..], bytes);
        if decoded != Ok(length) {
            out.truncate(start);
            return Err(S2Error::Corrupt);
        }
    } else {
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(S2Error::TooLarge);
        }
        out.extend_from_slice(bytes);
    }
    if masked_checksum(&out[start..]) != u32::from_le_bytes(*checksum) {
        out.truncate(start);
        return Err(S2Error::Checksum);
    }
    Ok(())
}

fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut out = Vec::new();
        for piece in pieces {
            encoder.write(piece, &mut out);
        }
        encoder.flush(&mut out);
        out
    }

    fn decode(stream: &[u8], piece_bytes: usize) -> Result<(Vec<u8>, bool), S2Error> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in stream.chunks(piece_bytes) {
            decoder.push(piece);
            while decoder.poll(&mut out)? {}
        }
        Ok((out, decoder.is_complete()))
    }

    #[test]
    fn there_and_back() {
        let compressible = b"subject.and.payload".repeat(20_000);
        let random: Vec<u8> = (0..300_000_u32)
            .map(|index| u8::try_from(index.wrapping_mul(0x9e37_79b9) >> 24).unwrap())
            .scan(7_u8, |last, byte| {
                *last = last.rotate_left(3) ^ byte;
                Some(*last)
            })
            .collect();
        for bytes in [&b""[..], b"x", &compressible, &random] {
            let stream = encode(&[bytes]);
            for piece_bytes in [1, 1000, usize::MAX] {
                assert_eq!(decode(&stream, piece_bytes), Ok((bytes.to_vec(), true)));
            }
        }
        assert!(encode(&[&compressible]).len() < compressible.len() / 10);
        assert_eq!(encode(&[]), b"\xff\x06\0\0S2sTwO");
    }

    #[test]
    fn other_writers() {
        // What python-snappy's framing writes, with padding and something to skip in between.
        let beginning = b"\xff\x06\0\0sNaPpY";
        let mut stream = beginning.to_vec();
        write_frame(0xfe, &[], &[0; 9], &mut stream);
        write_frame(0x99, &[], b"index", &mut stream);
        let checksum = masked_checksum(b"abc").to_le_bytes();
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        write_frame(UNCOMPRESSED, &checksum, b"abc", &mut stream);
        stream.extend_from_slice(beginning);
        // A Snappy block: its length, and one literal.
        write_frame(COMPRESSED, &checksum, b"\x03\x08abc", &mut stream);
        for piece_bytes in [1, 5, usize::MAX] {
            assert_eq!(decode(&stream, piece_bytes), Ok((b"abcabc".to_vec(), true)));
        }
        assert_eq!(decode(&stream[..stream.len() - 1], 7), Ok((b"abc".to_vec(), false)));
    }

    #[test]
    fn refused() {
        let check = |frames: &[(u8, &[u8], &[u8])], expected: S2Error| {
            let mut stream = Vec::new();
            for (kind, checksum, bytes) in frames {
                write_frame(*kind, checksum, bytes, &mut stream);
            }
            assert_eq!(decode(&stream, 3), Err(expected), "{frames:?}");
        };
        let begin: (u8, &[u8], &[u8]) = (BEGINNING, &[], S2);
        let checksum = masked_checksum(b"abc").to_le_bytes();
        check(&[(UNCOMPRESSED, &checksum, b"abc")], S2Error::Corrupt);
        check(&[(BEGINNING, &[], b"S2sTw0")], S2Error::Corrupt);
        check(&[(BEGINNING, &[], b"S2sTwO!")], S2Error::Corrupt);
        check(&[begin, (UNCOMPRESSED, &checksum, b"abd")], S2Error::Checksum);
        check(&[begin, (COMPRESSED, &checksum, b"\x03\x08abd")], S2Error::Checksum);
        check(&[begin, (COMPRESSED, &checksum, b"\x04\x08abc")], S2Error::Corrupt);
        check(&[begin, (COMPRESSED, &checksum, b"\xff\xff\xff\xff\x0f")], S2Error::TooLarge);
        check(&[begin, (COMPRESSED, &checksum, b"\x81\x80\x80\x02")], S2Error::TooLarge);
        check(&[begin, (COMPRESSED, &[1, 2], b"")], S2Error::Corrupt);
        check(&[begin, (0x02, &[], b"")], S2Error::Unsupported);
        check(&[begin, (0x7f, &[], b"")], S2Error::Unsupported);
        // A frame that would have to be collected, larger than any block is refused unseen.
        assert_eq!(decode(b"\xff\x06\0\0S2sTwO\x00\xff\xff\xff", 99), Err(S2Error::TooLarge));
    }

    proptest! {
        #[test]
        fn any_pieces(pieces in proptest::collection::vec(proptest::collection::vec(0_u8..4, 0..300), 0..20), piece_bytes in 1_usize..99) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let stream = encode(&pieces);
            prop_assert_eq!(decode(&stream, piece_bytes), Ok((pieces.concat(), true)));
        }

        #[test]
        fn damage_is_noticed_and_never_panics(
            bytes in proptest::collection::vec(0_u8..4, 50..300),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut stream = encode(&[&bytes]);
            for (index, byte) in damage {
                let length = stream.len();
                stream[index.index(length)] = byte;
            }
            if let Ok((decoded, complete)) = decode(&stream, 40) {
                prop_assert!(!complete || decoded == bytes || decoded.is_empty());
            }
        }

        /// With the right checksums the library gets to see every kind of nonsense.
        #[test]
        fn no_block_makes_it_panic(block: Vec<u8>, length in 0_u8..=127) {
            let mut frame = vec![0; 4];
            frame.push(length);
            frame.extend_from_slice(&block);
            let mut out = Vec::new();
            let _ = decode_block(COMPRESSED, &frame, &mut out);
        }

        #[test]
        fn nothing_makes_it_panic(stream: Vec<u8>) {
            let mut begun = b"\xff\x06\0\0S2sTwO".to_vec();
            begun.extend_from_slice(&stream);
            let _ = (decode(&stream, 7), decode(&begun, 7));
        }
    }
}
