//! The archive: entries one behind the other, with no table and no padding.
//!
//! ```text
//! archive  "NATSARC1" entry*
//! entry    name length u | time s | sequence u | header bytes u | payload bytes u
//!          name | headers | payload
//! ```
//!
//! u and s are variable-length integers, s with a sign (zigzag). The entries, in this order:
//!
//! * `state.json`: the state of the stream; its `consumer_count` says how many consumers follow.
//! * `consumers/<name>`: `{"config":{...},"state":{...}}`.
//! * messages: the name is the subject, the sequence is not 0.
//! * the end: everything is 0 and empty. Without it the archive is cut off.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::consumer_state::{put_signed, put_unsigned, take_signed, take_unsigned};
use super::{
    Consumer, ConsumerState, DOCUMENT_BYTES_MAX, Found, FoundItem, Limits, Message, MessageAt,
    NAME_BYTES_MAX, SnapshotError, State,
};
use crate::jetstream::s2_stream;

pub(super) const MAGIC: &[u8] = b"NATSARC1";
const STATE_NAME: &str = "state.json";
const CONSUMER_PREFIX: &str = "consumers/";

#[derive(Serialize, Deserialize)]
struct ConsumerDocument<'a> {
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    state: Option<ConsumerState>,
}

/// Writes a snapshot: what the stream was, its consumers, its messages, the end. What has become
/// ready can be taken at any time.
#[derive(Debug)]
pub struct Encoder {
    compressed: s2_stream::Encoder,
    ready: Vec<u8>,
    head: Vec<u8>,
}

impl Encoder {
    /// Begins a snapshot taken at `unix_ns`. `state` is the JSON of the stream's state, of whose
    /// `consumer_count` consumers have to be written before the first message.
    pub fn new(state: &[u8], unix_ns: i64) -> Self {
        let mut encoder = Self {
            compressed: s2_stream::Encoder::default(),
            ready: Vec::new(),
            head: MAGIC.to_vec(),
        };
        encoder.write_entry(STATE_NAME.as_bytes(), unix_ns, 0, &[], state);
        encoder
    }

    /// Adds a consumer. `config` is the JSON of its configuration.
    ///
    /// # Errors
    ///
    /// `config` is not JSON.
    pub fn write_consumer(
        &mut self,
        name: &str,
        config: &str,
        state: ConsumerState,
        unix_ns: i64,
    ) -> Result<(), serde_json::Error> {
        let config: &RawValue = serde_json::from_str(config)?;
        let document = ConsumerDocument { config: Some(config), state: Some(state) };
        let document = serde_json::to_vec(&document)?;
        let name = format!("{CONSUMER_PREFIX}{name}");
        self.write_entry(name.as_bytes(), unix_ns, 0, &[], &document);
        Ok(())
    }

    /// Adds a message. Sequences ascend.
    pub fn write_message(&mut self, message: &Message<'_>) {
        let Message { sequence, unix_ns, subject, headers, payload } = *message;
        self.write_entry(subject, unix_ns, sequence, headers, payload);
    }

    /// Adds the end. Everything is ready then.
    pub fn finish(&mut self) {
        self.write_entry(&[], 0, 0, &[], &[]);
        self.compressed.flush(&mut self.ready);
    }

    /// How many bytes are ready to be taken.
    pub fn ready_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Takes at most `bytes_max` of the bytes that are ready.
    pub fn take(&mut self, bytes_max: usize) -> Vec<u8> {
        if self.ready.len() <= bytes_max {
            return std::mem::take(&mut self.ready);
        }
        let rest = self.ready.split_off(bytes_max);
        std::mem::replace(&mut self.ready, rest)
    }

    fn write_entry(
        &mut self,
        name: &[u8],
        unix_ns: i64,
        sequence: u64,
        headers: &[u8],
        payload: &[u8],
    ) {
        put_unsigned(name.len() as u64, &mut self.head);
        put_signed(unix_ns, &mut self.head);
        put_unsigned(sequence, &mut self.head);
        put_unsigned(headers.len() as u64, &mut self.head);
        put_unsigned(payload.len() as u64, &mut self.head);
        for bytes in [&self.head, name, headers, payload] {
            self.compressed.write(bytes, &mut self.ready);
        }
        self.head.clear();
    }
}

/// Reads entries from the beginning of what it is shown.
#[derive(Debug, Default)]
pub(super) struct Reader {
    progress: Progress,
}

#[derive(Debug, Default)]
enum Progress {
    /// The state comes first.
    #[default]
    State,
    /// Then this many consumers, if any.
    Consumers { left: u64, sequence: u64 },
    /// Then messages; all up to `sequence` are there or gone.
    Messages { sequence: u64 },
}

struct Head {
    name_bytes: u64,
    unix_ns: i64,
    sequence: u64,
    header_bytes: u64,
    payload_bytes: u64,
    /// Where the name begins.
    length: usize,
}

/// Five variable-length integers.
const HEAD_BYTES_MAX: usize = 5 * 10;

impl Reader {
    pub(super) fn read(&mut self, bytes: &[u8], limits: Limits) -> Result<Found, SnapshotError> {
        let Some(head) = Head::read(bytes)? else { return Ok(Found::Nothing) };
        let name_bytes = usize::try_from(head.name_bytes).unwrap_or(usize::MAX);
        if name_bytes > NAME_BYTES_MAX {
            return Err(SnapshotError::Malformed);
        }
        let Some(name) = bytes.get(head.length..head.length + name_bytes) else {
            return Ok(Found::Nothing);
        };
        let body = head.length + name_bytes;
        let body_bytes = head.header_bytes.checked_add(head.payload_bytes);
        let body_bytes = body_bytes.and_then(|sum| usize::try_from(sum).ok()).unwrap_or(usize::MAX);
        let bytes_max = match self.progress {
            Progress::Messages { .. } => limits.message_bytes_max,
            Progress::State | Progress::Consumers { .. } => DOCUMENT_BYTES_MAX,
        };
        let text = || String::from_utf8_lossy(name).into_owned();
        // Judged before the rest arrives: nothing is collected in vain.
        match self.progress {
            Progress::State if name != STATE_NAME.as_bytes() => {
                return Err(SnapshotError::StateMissing);
            }
            Progress::Consumers { .. } if !name.starts_with(CONSUMER_PREFIX.as_bytes()) => {
                return Err(SnapshotError::ConsumerMissing(text()));
            }
            Progress::Messages { .. } if head.sequence == 0 => {
                if head.unix_ns == 0 && body_bytes == 0 {
                    return Ok(Found::Item(body, FoundItem::End));
                }
                return Err(SnapshotError::SequenceMissing);
            }
            Progress::Messages { .. } if body_bytes > bytes_max => {
                return Err(SnapshotError::MessageTooLarge(head.sequence));
            }
            Progress::Messages { sequence } if head.sequence <= sequence => {
                return Err(SnapshotError::OutOfOrder(head.sequence));
            }
            _ if body_bytes > bytes_max => return Err(SnapshotError::EntryTooLarge(text())),
            _ => {}
        }
        let end = body + body_bytes;
        let Some(document) = bytes.get(body..end) else { return Ok(Found::Nothing) };
        let item = match &mut self.progress {
            Progress::State => {
                let state: State =
                    serde_json::from_slice(document).map_err(SnapshotError::State)?;
                self.progress =
                    Progress::after_state(state.consumers, state.first_seq.saturating_sub(1));
                FoundItem::State(state)
            }
            Progress::Consumers { left, sequence } => {
                self.progress = Progress::after_state(*left - 1, *sequence);
                let name = String::from_utf8_lossy(&name[CONSUMER_PREFIX.len()..]).into_owned();
                FoundItem::Consumer(parse_consumer(name, document)?)
            }
            Progress::Messages { sequence } => {
                *sequence = head.sequence;
                // Smaller than the sum, which fits.
                let headers = usize::try_from(head.header_bytes).unwrap_or(body_bytes);
                FoundItem::Message(Box::new(MessageAt {
                    sequence: head.sequence,
                    unix_ns: head.unix_ns,
                    subject: head.length..body,
                    headers: body..body + headers,
                    payload: body + headers..end,
                }))
            }
        };
        Ok(Found::Item(end, item))
    }
}

impl Progress {
    fn after_state(consumers: u64, sequence: u64) -> Self {
        match consumers {
            0 => Self::Messages { sequence },
            left => Self::Consumers { left, sequence },
        }
    }
}

impl Head {
    /// `None`: it is not whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, SnapshotError> {
        let mut rest = bytes;
        let mut read = || {
            Some(Self {
                name_bytes: take_unsigned(&mut rest)?,
                unix_ns: take_signed(&mut rest)?,
                sequence: take_unsigned(&mut rest)?,
                header_bytes: take_unsigned(&mut rest)?,
                payload_bytes: take_unsigned(&mut rest)?,
                length: bytes.len() - rest.len(),
            })
        };
        match read() {
            None if bytes.len() >= HEAD_BYTES_MAX => Err(SnapshotError::Malformed),
            head => Ok(head),
        }
    }
}

fn parse_consumer(name: String, document: &[u8]) -> Result<Consumer, SnapshotError> {
    let parsed: Result<ConsumerDocument<'_>, _> = serde_json::from_slice(document);
    let reason = match parsed {
        Ok(ConsumerDocument { config: Some(config), state: Some(state) }) => {
            let config = config.get().as_bytes().to_vec();
            return Ok(Consumer { name, config, state });
        }
        Ok(ConsumerDocument { config: None, .. }) => "missing config".to_owned(),
        Ok(_) => "missing state".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(SnapshotError::Consumer { name, reason })
}
