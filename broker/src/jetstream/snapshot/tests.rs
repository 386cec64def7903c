use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::jetstream::timestamp::Timestamp;

/// Taken from a stream of seven messages, of which two are gone, with two consumers.
const ARCHIVE: &[u8] = include_bytes!("testdata/nats-server-2.15.1.s2");
/// The same, as the version before 2.14 has it.
const LEGACY: &[u8] = include_bytes!("testdata/nats-server-2.12.8.s2");

const LIMITS: Limits = Limits { message_bytes_max: 1024 * 1024 };

/// An item that does not borrow.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    State(State),
    Config(String),
    Consumer(Consumer),
    Message(OwnedMessage),
    Deleted(u64),
    End,
}

#[derive(Clone, Debug, PartialEq)]
struct OwnedMessage {
    sequence: u64,
    unix_ns: i64,
    subject: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl OwnedMessage {
    fn borrowed(&self) -> Message<'_> {
        Message {
            sequence: self.sequence,
            unix_ns: self.unix_ns,
            subject: &self.subject,
            headers: &self.headers,
            payload: &self.payload,
        }
    }
}

fn decode_pieces(
    snapshot: &[u8],
    piece_bytes: usize,
    limits: Limits,
) -> Result<Vec<Owned>, SnapshotError> {
    let mut decoder = Decoder::new(limits);
    let mut items = Vec::new();
    for piece in snapshot.chunks(piece_bytes) {
        decoder.push(piece);
        while let Some(item) = decoder.poll()? {
            items.push(match item {
                Item::State(state) => Owned::State(state),
                Item::Config(config) => {
                    Owned::Config(String::from_utf8_lossy(&config).into_owned())
                }
                Item::Consumer(consumer) => Owned::Consumer(consumer),
                Item::Deleted(sequence) => Owned::Deleted(sequence),
                Item::End => Owned::End,
                Item::Message(message) => Owned::Message(OwnedMessage {
                    sequence: message.sequence,
                    unix_ns: message.unix_ns,
                    subject: message.subject.to_vec(),
                    headers: message.headers.to_vec(),
                    payload: message.payload.to_vec(),
                }),
            });
        }
    }
    decoder.finish()?;
    Ok(items)
}

fn decode(snapshot: &[u8]) -> Result<Vec<Owned>, SnapshotError> {
    decode_pieces(snapshot, usize::MAX, LIMITS)
}

fn message(sequence: u64, time: &str, subject: &str, headers: &str, payload: &str) -> Owned {
    Owned::Message(OwnedMessage {
        sequence,
        unix_ns: Timestamp::parse(time).unwrap().unix_ns(),
        subject: subject.into(),
        headers: headers.into(),
        payload: payload.into(),
    })
}

/// What `STREAM.MSG.GET` of the same server said; times without what they have in common.
fn messages(day: &str, times: [&str; 5]) -> Vec<Owned> {
    let at = |index: usize| format!("{day}{}Z", times[index]);
    let headers = "NATS/1.0\r\nX: 1\r\nNats-Msg-Id: m1\r\n\r\n";
    vec![
        message(1, &at(0), "t.a", "", "one"),
        message(2, &at(1), "t.b", headers, "two"),
        message(3, &at(2), "t.a", "", ""),
        message(5, &at(3), "t.\u{c3}\u{a4}", "NATS/1.0\r\nY: 2\r\n\r\n", "five"),
        message(7, &at(4), "t.a", "", "seven"),
    ]
}

fn pair(consumer_seq: u64, stream_seq: u64) -> SequencePair {
    SequencePair { consumer_seq, stream_seq }
}

#[test]
fn what_nats_server_makes_is_read() {
    for piece_bytes in [1, 100, usize::MAX] {
        let items = decode_pieces(ARCHIVE, piece_bytes, LIMITS).unwrap();
        let state = State { messages: 5, bytes: 244, first_seq: 1, last_seq: 7, consumers: 2 };
        assert_eq!(items[0], Owned::State(state));
        let Owned::Consumer(consumer) = &items[1] else { panic!("{:?}", items[1]) };
        assert_eq!(consumer.name, "C");
        let config: serde_json::Value = serde_json::from_slice(&consumer.config).unwrap();
        assert_eq!(config["filter_subject"], "t.a");
        assert_eq!(config["durable_name"], "C");
        assert_eq!(consumer.state.delivered, pair(3, 3));
        assert_eq!(consumer.state.ack_floor, pair(1, 2));
        let delivery = Delivery { sequence: 2, unix_ns: 1_795_243_987_030_977_196 };
        assert_eq!(consumer.state.pending, BTreeMap::from([(3, delivery)]));
        assert_eq!(consumer.state.redelivered, BTreeMap::from([(3, 1)]));
        let Owned::Consumer(consumer) = &items[2] else { panic!("{:?}", items[2]) };
        assert_eq!((&consumer.name[..], &consumer.state), ("E", &ConsumerState::default()));
        let times =
            ["07.030560675", "07.030834934", "07.030977196", "07.031246217", "07.031610871"];
        assert_eq!(items[3..8], messages("2026-11-21T06:53:", times));
        assert_eq!(items[8..], [Owned::End]);
    }
}

#[test]
fn what_older_servers_make_is_read() {
    for piece_bytes in [1, 100, usize::MAX] {
        let items = decode_pieces(LEGACY, piece_bytes, LIMITS).unwrap();
        let Owned::Config(config) = &items[0] else { panic!("{:?}", items[0]) };
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        assert_eq!((&config["name"], &config["subjects"][0]), (&"T".into(), &"t.>".into()));
        // Four was erased in place. Six was only unlinked: its record is still there.
        let (read, rest) = items[1..].split_at(6);
        let six = read
            .iter()
            .position(|item| matches!(item, Owned::Message(OwnedMessage { sequence: 6, .. })));
        let mut read = read.to_vec();
        read.remove(six.unwrap());
        let times =
            ["45.173550654", "45.173923099", "45.174196266", "45.174586608", "45.174918904"];
        assert_eq!(read, messages("2026-11-21T06:54:", times));
        let Some(deleted) = rest.iter().position(|item| *item == Owned::Deleted(6)) else {
            panic!("{rest:?}")
        };
        let consumers: Vec<_> = rest[deleted..]
            .iter()
            .filter_map(
                |item| if let Owned::Consumer(consumer) = item { Some(consumer) } else { None },
            )
            .collect();
        assert_eq!((&consumers[0].name[..], &consumers[1].name[..]), ("C", "E"));
        let state = &consumers[0].state;
        assert_eq!((state.delivered, state.ack_floor), (pair(3, 3), pair(1, 2)));
        assert_eq!(state.pending[&3].sequence, 2);
        assert_eq!(state.redelivered, BTreeMap::from([(3, 1)]));
        assert_eq!(consumers[1].state, ConsumerState::default());
        assert_eq!(rest.last(), Some(&Owned::End));
    }
}

fn plain(snapshot: &[u8]) -> Vec<u8> {
    let mut decoder = s2_stream::Decoder::default();
    let mut plain = Vec::new();
    decoder.push(snapshot);
    while decoder.poll(&mut plain).unwrap() {}
    assert!(decoder.is_complete());
    plain
}

/// Everything again as it was, without the state of the stream, which an item has only in part.
fn encode(state: &[u8], items: &[Owned], unix_ns: i64) -> Vec<u8> {
    let mut encoder = Encoder::new(state, unix_ns);
    let mut out = Vec::new();
    for item in items {
        match item {
            Owned::Consumer(Consumer { name, config, state }) => {
                let config = std::str::from_utf8(config).unwrap();
                encoder.write_consumer(name, config, state.clone(), unix_ns).unwrap();
            }
            Owned::Message(message) => encoder.write_message(&message.borrowed()),
            Owned::End => encoder.finish(),
            item => panic!("{item:?}"),
        }
        if encoder.ready_bytes() >= 1000 {
            out.extend_from_slice(&encoder.take(1000));
        }
    }
    while encoder.ready_bytes() > 0 {
        out.extend_from_slice(&encoder.take(300));
    }
    out
}

#[test]
fn what_is_made_is_byte_for_byte_what_nats_server_makes() {
    let items = decode(ARCHIVE).unwrap();
    let original = plain(ARCHIVE);
    // The time of the snapshot is that of its first entry, behind the magic and a name length.
    let unix_ns = consumer_state::take_signed(&mut &original[9..]).unwrap();
    let begin = original.iter().position(|byte| *byte == b'{').unwrap();
    let end = original.iter().position(|byte| *byte == b'}').unwrap();
    let made = encode(&original[begin..=end], &items[1..], unix_ns);
    assert_eq!(plain(&made), original);
    assert_eq!(decode(&made).unwrap(), items);
}

/// The archive of these entries, compressed.
fn archive(entries: &[(&str, u64, &[u8], &[u8])]) -> Vec<u8> {
    let mut plain = archive::MAGIC.to_vec();
    for (name, sequence, headers, payload) in entries {
        consumer_state::put_unsigned(name.len() as u64, &mut plain);
        consumer_state::put_signed(7, &mut plain);
        consumer_state::put_unsigned(*sequence, &mut plain);
        consumer_state::put_unsigned(headers.len() as u64, &mut plain);
        consumer_state::put_unsigned(payload.len() as u64, &mut plain);
        plain.extend_from_slice(&[name.as_bytes(), headers, payload].concat());
    }
    compress(&plain)
}

fn compress(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = s2_stream::Encoder::default();
    encoder.write(plain, &mut out);
    encoder.flush(&mut out);
    out
}

#[test]
fn refused() {
    let check = |snapshot: &[u8], expected: &str| {
        let limits = Limits { message_bytes_max: 10 };
        for piece_bytes in [1, usize::MAX] {
            let error = decode_pieces(snapshot, piece_bytes, limits).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    };
    let state = ("state.json", 0, &b""[..], &br#"{"first_seq":5,"last_seq":9}"#[..]);
    let one_consumer = ("state.json", 0, &b""[..], &br#"{"consumer_count":1}"#[..]);
    let consumer = |document: &'static [u8]| ("consumers/C", 0, &b""[..], document);
    check(b"", "backup was truncated");
    check(&archive(&[]), "backup was truncated");
    check(&archive(&[state]), "backup was truncated");
    check(&archive(&[state, ("a", 5, b"", b"x")]), "backup was truncated");
    check(&archive(&[("a", 5, b"", b"x")]), "expected state.json first");
    check(
        &archive(&[("state.json", 0, b"", b"{")]),
        "error in state.json: EOF while parsing an object at line 1 column 1",
    );
    check(&archive(&[one_consumer, ("a", 5, b"", b"x")]), "expected consumer, found \"a\"");
    check(
        &archive(&[one_consumer, consumer(br#"{"state":{}}"#)]),
        "failed to decode consumer \"C\" state: missing config",
    );
    check(
        &archive(&[one_consumer, consumer(br#"{"config":{}}"#)]),
        "failed to decode consumer \"C\" state: missing state",
    );
    check(&archive(&[state, consumer(b"{}")]), "expected message sequence");
    check(&archive(&[state, ("a", 4, b"", b"x")]), "message sequence 4 out of order");
    check(
        &archive(&[state, ("a", 6, b"", b"x"), ("a", 6, b"", b"x")]),
        "message sequence 6 out of order",
    );
    check(
        &archive(&[state, ("a", 6, b"12345", b"123456")]),
        "message sequence 6 exceeds maximum payload size",
    );
    let mut endless = archive::MAGIC.to_vec();
    endless.extend_from_slice(&[0xff; 60]);
    check(&compress(&endless), "archive: invalid archive stream");
    check(&compress(b"neither of them"), "backup was truncated");
    check(&compress(&[b'x'; 600]), "archive: invalid archive stream");
    check(b"not compressed", "s2: corrupt input");
    let mut damaged = ARCHIVE.to_vec();
    damaged[100] ^= 1;
    let error = decode(&damaged).unwrap_err().to_string();
    assert!(error.starts_with("s2: corrupt input"), "{error}");
}

/// A tar of these files.
fn tar(files: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, kind, bytes) in files {
        let mut head = [0_u8; 512];
        head[..path.len()].copy_from_slice(path.as_bytes());
        head[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        head[148..156].fill(b' ');
        head[156] = *kind;
        let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
        head[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        head[154] = 0;
        tar.extend_from_slice(&head);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn record(sequence: u64, subject: &str, headers: Option<&str>, payload: &str) -> Vec<u8> {
    let mut rest = sequence.to_le_bytes().to_vec();
    rest.extend_from_slice(&9_i64.to_le_bytes());
    rest.extend_from_slice(&u16::try_from(subject.len()).unwrap().to_le_bytes());
    rest.extend_from_slice(subject.as_bytes());
    if let Some(headers) = headers {
        rest.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_le_bytes());
        rest.extend_from_slice(headers.as_bytes());
    }
    rest.extend_from_slice(payload.as_bytes());
    rest.extend_from_slice(&[0; 8]);
    let length = u32::try_from(rest.len() + 4).unwrap();
    let flag = if headers.is_some() { 1 << 31 } else { 0 };
    [&(length | flag).to_le_bytes()[..], &rest].concat()
}

fn owned(sequence: u64, subject: &str, headers: &str, payload: &str) -> Owned {
    Owned::Message(OwnedMessage {
        sequence,
        unix_ns: 9,
        subject: subject.into(),
        headers: headers.into(),
        payload: payload.into(),
    })
}

#[test]
fn files_of_older_servers() {
    let long = format!("obs/{}/meta.inf", "c".repeat(150));
    let extension = format!("{} path={long}\n", long.len() + 10);
    assert_eq!(extension.len(), long.len() + 10);
    let blocks = [
        record(3, "a", None, "x"),
        record(1 << 63 | 4, "", None, "any bytes"),
        record(0, "", None, ""),
        record(5, "b", Some("H"), ""),
        record(2, "again", None, ""),
        record(1 << 62 | 1, "", None, ""),
    ]
    .concat();
    let snapshot = compress(&tar(&[
        ("meta.inf", b'0', b"{}"),
        ("meta.sum", b'0', b"0123"),
        ("msgs/1.blk", b'0', &blocks),
        ("msgs/2.blk", b'0', &record(6, "c", Some(""), "y")),
        ("msgs/3.blk", b'0', b""),
        ("msgs/index.db", 0, &[7; 3000]),
        ("", b'x', extension.as_bytes()),
        ("cut off", b'0', b"{\"a\":1}"),
        ("obs/D/meta.inf", b'0', b"{}"),
        ("obs/D/o.dat", b'0', &[22, 2, 1, 1, 1, 1, 0, 0]),
        ("obs/E/meta.inf", b'0', b"{}"),
    ]));
    let consumer = |name: &str, config: &str, state| {
        Owned::Consumer(Consumer { name: name.to_owned(), config: config.into(), state })
    };
    let nothing = ConsumerState::default;
    let expected = [
        Owned::Config("{}".to_owned()),
        owned(3, "a", "", "x"),
        owned(5, "b", "H", ""),
        Owned::Deleted(1),
        owned(6, "c", "", "y"),
        consumer(&"c".repeat(150), "{\"a\":1}", nothing()),
        consumer(
            "D",
            "{}",
            ConsumerState { delivered: pair(1, 1), ack_floor: pair(1, 1), ..nothing() },
        ),
        consumer("E", "{}", nothing()),
        Owned::End,
    ];
    for piece_bytes in [1, 700, usize::MAX] {
        assert_eq!(decode_pieces(&snapshot, piece_bytes, LIMITS).unwrap(), expected);
    }
}

#[test]
fn files_that_are_refused() {
    let check = |files: &[(&str, u8, &[u8])], expected: &str| {
        let limits = Limits { message_bytes_max: 10 };
        let error = decode_pieces(&compress(&tar(files)), 333, limits).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(&[("msgs/", b'5', b"")], "unexpected content");
    check(&[("link", b'2', b"")], "unexpected content");
    check(&[("errors.txt", b'0', b"no disk")], "the snapshot is incomplete: no disk");
    let block = record(8, "s", Some("12345"), "123456");
    check(&[("msgs/1.blk", b'0', &block)], "message sequence 8 exceeds maximum payload size");
    let invalid = "archive: invalid archive stream";
    check(&[("msgs/1.blk", b'0', &record(8, "s", None, "x")[..20])], invalid);
    check(&[("msgs/1.blk", b'0', &record(8, "s", None, "x")[..30])], invalid);
    let mut long_subject = record(8, "s", None, "x");
    long_subject[20] = 99;
    check(&[("msgs/1.blk", b'0', &long_subject)], invalid);
    let mut long_headers = record(8, "s", Some("x"), "");
    long_headers[23] = 99;
    check(&[("msgs/1.blk", b'0', &long_headers)], invalid);
    check(&[("", b'x', b"999 path=x\n")], invalid);
    check(&[("", b'x', b"0 ")], invalid);
    check(&[("obs/C/o.dat", b'0', b"")], "failed to decode consumer \"C\" state: missing config");
    check(
        &[("obs/C/meta.inf", b'0', b"{}"), ("obs/C/o.dat", b'0', b"\x16\x09")],
        "failed to decode consumer \"C\" state: corrupt state",
    );
    let mut wrong_sum = tar(&[("meta.inf", b'0', b"{}")]);
    wrong_sum[0] = b'n';
    assert!(matches!(decode(&compress(&wrong_sum)), Err(SnapshotError::Malformed)));
}

/// What would have to be collected is refused as soon as its size is known.
#[test]
fn nothing_large_is_waited_for() {
    let mut plain = archive::MAGIC.to_vec();
    for value in [10, 14, 0, 0] {
        consumer_state::put_unsigned(value, &mut plain);
    }
    consumer_state::put_unsigned(DOCUMENT_BYTES_MAX as u64 + 1, &mut plain);
    plain.extend_from_slice(b"state.json");
    let error = decode(&compress(&plain)).unwrap_err().to_string();
    assert_eq!(error, "entry \"state.json\" is too large");
    for sizes in [[u64::MAX, 1], [1, u64::MAX], [i64::MAX as u64, i64::MAX as u64]] {
        let mut plain = self::plain(&archive(&[("state.json", 0, b"", b"{}")]));
        for value in [1, 14, 1, sizes[0], sizes[1]] {
            consumer_state::put_unsigned(value, &mut plain);
        }
        plain.push(b's');
        let error = decode(&compress(&plain)).unwrap_err();
        assert!(matches!(error, SnapshotError::MessageTooLarge(1)), "{error:?}");
    }
    let mut plain = archive::MAGIC.to_vec();
    for value in [NAME_BYTES_MAX as u64 + 1, 14, 1, 0, 0] {
        consumer_state::put_unsigned(value, &mut plain);
    }
    assert!(matches!(decode(&compress(&plain)), Err(SnapshotError::Malformed)));
}

#[test]
fn many_small_messages_take_no_time() {
    let mut encoder = Encoder::new(b"{}", 0);
    for sequence in 1..=50_000 {
        let message = Message { sequence, unix_ns: 1, subject: b"s", headers: b"", payload: b"x" };
        encoder.write_message(&message);
    }
    encoder.finish();
    let snapshot = encoder.take(usize::MAX);
    assert_eq!(decode(&snapshot).unwrap().len(), 50_002);
}

proptest! {
    #[test]
    fn there_and_back(
        messages in proptest::collection::vec((1_u64..1000, any::<i64>(), "[a-z.]{1,9}", any::<Vec<u8>>(), any::<Vec<u8>>()), 0..20),
        first_seq in 0_u64..100,
        piece_bytes in 1_usize..500,
    ) {
        let mut last = first_seq.saturating_sub(1);
        let mut items = vec![Owned::Consumer(Consumer {
            name: "C".to_owned(),
            config: b"{\"a\": 1}".to_vec(),
            state: ConsumerState { delivered: pair(last, first_seq), ..ConsumerState::default() },
        })];
        for (step, unix_ns, subject, headers, payload) in messages {
            last += step;
            let subject = subject.into_bytes();
            items.push(Owned::Message(OwnedMessage { sequence: last, unix_ns, subject, headers, payload }));
        }
        items.push(Owned::End);
        let state = format!("{{\"consumer_count\":1,\"first_seq\":{first_seq}}}");
        let made = encode(state.as_bytes(), &items, 5);
        prop_assert_eq!(&decode_pieces(&made, piece_bytes, LIMITS).unwrap()[1..], items);
    }

    /// Damage behind the compression, which would notice it.
    #[test]
    fn damage_never_panics(
        legacy: bool,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = plain(if legacy { LEGACY } else { ARCHIVE });
        let mut damaged = whole.clone();
        for (index, byte) in damage {
            let index = index.index(whole.len());
            damaged[index] = byte;
        }
        let _ = decode(&compress(&damaged));
        // A tar is over with the first of its empty blocks at the end.
        let cut = decode(&compress(&whole[..cut.index(whole.len())]));
        prop_assert!(legacy || cut.is_err());
    }

    #[test]
    fn nothing_makes_it_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes);
        let _ = decode(&compress(&bytes));
        let mut begun = archive::MAGIC.to_vec();
        begun.extend_from_slice(&bytes);
        let _ = decode(&compress(&begun));
    }
}
