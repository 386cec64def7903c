//! What the tests share: messages made from numbers, and a log read back whole.

use std::collections::BTreeMap;

use fulmar_storage::{
    Disk, Error, Log, Message, Options, Promise, Recovery, SimulatedDisk, Visited, Visitor,
};

/// Small enough that a short workload rolls often.
pub const SEGMENT_BYTES: u64 = 4_096;

/// A message that can be kept in a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub subject: Vec<u8>,
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
    pub timestamp_ns: i64,
}

impl Owned {
    pub fn random(random: &mut fastrand::Rng, payload_bytes_max: usize) -> Self {
        let mut bytes = |max: usize| -> Vec<u8> {
            let length = random.usize(..=max);
            std::iter::repeat_with(|| random.u8(..)).take(length).collect()
        };
        let subject = [b"orders.".as_slice(), &bytes(12)].concat();
        let headers = if bytes(1).is_empty() { Vec::new() } else { bytes(40) };
        let payload = bytes(payload_bytes_max);
        Self { subject, headers, payload, timestamp_ns: random.i64(..) }
    }

    pub fn as_message(&self) -> Message<'_> {
        Message {
            subject: &self.subject,
            headers: &self.headers,
            payload: &self.payload,
            timestamp_ns: self.timestamp_ns,
        }
    }
}

pub fn options() -> Options {
    Options {
        first_segment_bytes: SEGMENT_BYTES,
        segment_bytes: SEGMENT_BYTES,
        footer_segment_bytes_min: 0,
        unwritten_bytes_max: 1 << 20,
        ..Options::new(0x0bad_cafe)
    }
}

/// Segments get longer.
pub fn growing() -> Options {
    Options { segment_bytes: 4 * SEGMENT_BYTES, ..options() }
}

pub fn relaxed(unsynced_sequences_max: u64) -> Options {
    Options { promise: Promise::Written { unsynced_sequences_max }, ..options() }
}

pub fn open(disk: &SimulatedDisk) -> (Log<SimulatedDisk>, Recovery) {
    Log::open(disk.clone(), options()).unwrap()
}

/// Appends, writes and syncs messages of which number `n` has the payload `message n`.
pub fn append_durable<D: Disk>(log: &mut Log<D>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        append_one(log, &format!("message {number}")).unwrap();
    }
    log.commit(true).unwrap();
}

pub fn append_one<D: Disk>(log: &mut Log<D>, payload: &str) -> Result<u64, Error> {
    let message =
        Message { subject: b"a", headers: b"", payload: payload.as_bytes(), timestamp_ns: 1 };
    log.append(&[message]).map(|sequences| sequences.start)
}

/// Everything that can be read, and the sequences that are reported as damaged on the way.
pub fn read_all<D: Disk>(log: &Log<D>) -> (BTreeMap<u64, Owned>, Vec<std::ops::Range<u64>>) {
    let mut messages = BTreeMap::new();
    let mut damaged = Vec::new();
    for item in log.iter_from(0) {
        match item {
            Ok(record) => {
                let owned = Owned {
                    subject: record.subject().to_vec(),
                    headers: record.headers().to_vec(),
                    payload: record.payload().to_vec(),
                    timestamp_ns: record.timestamp_ns(),
                };
                let last = messages.last_key_value().map_or(0, |(last, _)| *last);
                assert!(record.sequence() > last, "order is kept and nothing comes twice");
                messages.insert(record.sequence(), owned);
            }
            Err(Error::Damaged { sequences, .. }) => damaged.push(sequences),
            Err(error) => panic!("{error}"),
        }
    }
    (messages, damaged)
}

pub fn payloads<D: Disk>(log: &Log<D>) -> Vec<(u64, String)> {
    let (messages, _) = read_all(log);
    let text = |owned: Owned| String::from_utf8(owned.payload).unwrap();
    messages.into_iter().map(|(sequence, owned)| (sequence, text(owned))).collect()
}

/// The files of a disk, by name.
pub fn files(disk: &SimulatedDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list().unwrap();
    names.into_iter().map(|name| (name.clone(), disk.contents(&name).unwrap())).collect()
}

/// Those of them that are segments.
pub fn segments(disk: &SimulatedDisk) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(disk);
    files.retain(|name, _| name.ends_with(".segment"));
    files
}

/// Another disk with these files.
pub fn disk_with(files: &BTreeMap<String, Vec<u8>>) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for (name, bytes) in files {
        disk.put(name, bytes);
    }
    disk
}

/// What opening a log tells about its messages: subject and sizes of each, by sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub messages: BTreeMap<u64, (Vec<u8>, usize, usize)>,
    last: u64,
}

impl Visitor for Told {
    fn message(&mut self, message: Visited<'_>) {
        assert!(message.sequence > self.last, "sequences rise");
        self.last = message.sequence;
        let sizes = (message.headers_bytes as usize, message.payload_bytes as usize);
        self.messages.insert(message.sequence, (message.subject.to_vec(), sizes.0, sizes.1));
    }
}

impl Told {
    /// What should be told about these messages.
    pub fn about<'a>(messages: impl Iterator<Item = (&'a u64, &'a Owned)>) -> Self {
        let told = messages.map(|(sequence, owned)| {
            (*sequence, (owned.subject.clone(), owned.headers.len(), owned.payload.len()))
        });
        Self { messages: told.collect(), last: 0 }
    }
}
