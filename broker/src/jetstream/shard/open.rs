//! Opening: the streams and consumers that are on the disk, and new ones.
//!
//! What cannot be read is reported and left alone: nothing is deleted here.

use std::path::PathBuf;
use std::sync::Arc;

use fulmar_storage::{Error, MemoryDisk, Options, Promise, Recovery, Slots, Store};
use serde::Deserialize;
use serde_json::value::RawValue;
use slab::Slab;

use super::super::consumer::{Consumer, Identity, State};
use super::super::consumer_config::ConsumerConfig;
use super::super::consumer_log::{ConsumerLog, Recovered};
use super::super::disk::AnyDisk;
use super::super::error::{self, ApiError};
use super::super::limits::Room;
use super::super::post::Post;
use super::super::store_root::{StoreError, StoreRoot, StreamPlace};
use super::super::stream::{BatchRoom, Durability, Stream, View};
use super::super::stream_config::{StorageType, StreamConfig};
use super::super::time::{NEVER_NS, Now};
use super::super::writer::Writer;
use super::super::{capacity, json};
use super::consumers::{ConsumerEntry, settings_of};
use super::jobs::Remove;
use super::{Account, Shard, StreamEntry};
use crate::config::{JetStreamOptions, SyncPolicy};
use crate::mesh::interest::PeerId;
use crate::shared::Shared;

/// The name of a stream's configuration in its directory.
const CONFIG_NAME: &str = "stream";
/// The longest segment of messages, in bytes; the first ones are shorter.
const SEGMENT_BYTES: u64 = 64 << 20;
/// The longest segment of notes about consumers, in bytes.
const NOTES_SEGMENT_BYTES: u64 = 4 << 20;
/// Messages of a relaxed stream that may be accepted and not synced.
const UNSYNCED_SEQUENCES_MAX: u64 = 1 << 32;

/// Why streams cannot be opened. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be listed.
    #[error("the streams in the store directory cannot be listed: {0}")]
    List(std::io::Error),
    /// The system has no threads left.
    #[error("cannot start a thread that waits for the disk: {0}")]
    Thread(std::io::Error),
}

/// A stream's or consumer's document on the disk.
#[derive(Deserialize)]
struct Document<'a> {
    created_unix_ns: i64,
    #[serde(borrow)]
    config: &'a RawValue,
}

impl Shard {
    /// Opens all streams. The shard is the peer `me`.
    ///
    /// # Errors
    ///
    /// The store directory cannot be used. A stream that cannot be opened is no error: it is
    /// reported in the log, and left as it is.
    pub fn open(
        me: PeerId,
        shared: Arc<Shared>,
        options: JetStreamOptions,
        seed: u64,
        now: Now,
    ) -> Result<Self, OpenError> {
        let mut root = StoreRoot::open(&options.directory())?;
        let places = root.streams().map_err(OpenError::List)?;
        let inbox = shared.peers[usize::from(me)].inbox.clone();
        let start = |name: &str| Writer::start(name.to_owned(), inbox.clone());
        let mut shard = Self {
            post: Post::new(me, shared.clone(), seed),
            room: Room {
                memory_bytes_max: options.memory_bytes_max.unwrap_or_else(capacity::memory_bytes),
                file_bytes_max: options
                    .file_bytes_max
                    .unwrap_or_else(|| capacity::file_bytes(&options.directory())),
            },
            batch_room: Arc::new(BatchRoom::new(&options)),
            options,
            root: Some(root),
            slots: Slab::new(),
            accounts: shared.accounts.iter().map(|_| Account::default()).collect(),
            streams: Slab::new(),
            consumers: Slab::new(),
            next_generation: 0,
            now,
            dirty_streams: Vec::new(),
            dirty_consumers: std::collections::VecDeque::new(),
            dirty_copiers: std::collections::VecDeque::new(),
            noted_consumers: Vec::new(),
            last_acked: None,
            looks: std::collections::BinaryHeap::new(),
            writer: start("fulmar-writer-0").map_err(OpenError::Thread)?,
            background: start("fulmar-background-0").map_err(OpenError::Thread)?,
            random: fastrand::Rng::with_seed(seed ^ 0x5bd1_e995),
            has_stopped: false,
        };
        for (account, one) in shared.accounts.iter().enumerate() {
            let account = u32::try_from(account).expect("there are few accounts");
            let (mut complete, mut are_all_there) = (Vec::new(), true);
            for place in places.iter().filter(|place| place.account == one.name) {
                if let Err(error) = shard.open_found(now, account, place, &mut complete) {
                    are_all_there = false;
                    tracing::error!(
                        "stream {} of account {} cannot be opened: {error}; its files are left as \
                         they are",
                        place.name,
                        place.account
                    );
                }
            }
            // Not if a stream is missing: what it copies must stay.
            for id in complete.into_iter().filter(|_| are_all_there) {
                shard.release_unwanted(now, id);
            }
            shard.subscribe_to_requests(account);
        }
        for place in places {
            if !shared.accounts.iter().any(|account| account.name == place.account) {
                tracing::warn!(
                    "stream {} is of account {}, which is not configured: it is left as it is",
                    place.name,
                    place.account
                );
            }
        }
        Ok(shard)
    }

    /// Opens a stream. It is added to `complete` if all of its consumers are there too.
    fn open_found(
        &mut self,
        now: Now,
        account: u32,
        place: &StreamPlace,
        complete: &mut Vec<u32>,
    ) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let root = self.root.as_ref().ok_or("there is no store directory")?;
        let directory = root.stream(&place.account, &place.name).map_err(|error| text(&error))?;
        let disk = AnyDisk::Real(directory.config().map_err(|error| text(&error))?);
        let (slots, found) = Slots::open(disk, CONFIG_NAME).map_err(|error| text(&error))?;
        for damaged in &found.damaged {
            tracing::error!("stream {}: {damaged} is damaged", place.name);
        }
        let Some(document) = found.document else {
            if found.damaged.is_empty() {
                // It was being made when the server stopped, and nobody was told that it is there.
                return Err("it has no configuration yet".to_owned());
            }
            return Err("no version of its configuration can be read".to_owned());
        };
        let (created_unix_ns, config) = read_document::<StreamConfig>(&document)?;
        let durability = self.durability(&config);
        let disk = AnyDisk::Real(directory.messages().map_err(|error| text(&error))?);
        let options = self.store_options(durability, &config);
        let (store, recovery) = Store::open(disk, options).map_err(|error| text(&error))?;
        report(&place.name, &recovery);
        let mut stream = Stream::new(
            &place.name,
            account,
            config,
            created_unix_ns,
            durability,
            store,
            self.options.domain.as_deref(),
        );
        stream.recover_dedupe(now);
        stream.recover_times(now);
        let id = self.add_stream(stream, Some(slots));
        if directory.has_consumers() {
            let found = self.open_consumer_log(id).map_err(|error| text(&error))?;
            let mut are_all_there = true;
            for (name, recovered) in found {
                if let Err(error) = self.restore_consumer(now, id, &name, &recovered) {
                    tracing::error!(
                        "consumer {name} of stream {} cannot be restored: {error}; what the disk \
                         says of it is left as it is",
                        place.name
                    );
                    are_all_there = false;
                }
            }
            // Not if a consumer is missing: what it wants must stay.
            if are_all_there {
                complete.push(id);
            }
        }
        self.subscribe_stream(id);
        self.settle(now, id);
        Ok(())
    }

    /// Makes a stream whose configuration was checked. It is on the disk when this returns.
    pub(super) fn open_new(
        &mut self,
        now: Now,
        account: u32,
        config: StreamConfig,
    ) -> Result<u32, ApiError> {
        let failed = |error: &dyn std::fmt::Display| error::stream_create(error.to_string());
        let durability = self.durability(&config);
        let options = self.store_options(durability, &config);
        let name = config.name.clone();
        let (store, slots) = match (config.storage, &self.root) {
            (StorageType::File, Some(root)) => {
                let account_name = &self.post.shared().accounts[account as usize].name;
                let directory = root.stream(account_name, &name).map_err(|error| failed(&error))?;
                let disk = AnyDisk::Real(directory.messages().map_err(|error| failed(&error))?);
                let (store, _) = Store::open(disk, options).map_err(|error| failed(&error))?;
                let disk = AnyDisk::Real(directory.config().map_err(|error| failed(&error))?);
                let (mut slots, _) =
                    Slots::open(disk, CONFIG_NAME).map_err(|error| failed(&error))?;
                slots.replace(&document(now.unix_ns, &config)).map_err(|error| failed(&error))?;
                (store, Some(slots))
            }
            _ => {
                let disk = AnyDisk::Memory(MemoryDisk::new());
                (Store::open(disk, options).map_err(|error| failed(&error))?.0, None)
            }
        };
        let stream = Stream::new(
            &name,
            account,
            config,
            now.unix_ns,
            durability,
            store,
            self.options.domain.as_deref(),
        );
        let id = self.add_stream(stream, slots);
        self.subscribe_stream(id);
        Ok(id)
    }

    /// Writes another configuration of a stream to the disk.
    pub(super) fn write_config(&mut self, id: u32, config: &StreamConfig) -> Result<(), Error> {
        let entry = &mut self.streams[id as usize];
        let created = entry.stream.created_unix_ns;
        match &mut entry.slots {
            Some(slots) => slots.replace(&document(created, config)),
            None => Ok(()),
        }
    }

    /// Whether consumers of a stream may be kept on the disk.
    pub(super) fn keeps_consumers(&self, id: u32) -> bool {
        self.streams[id as usize].slots.is_some()
    }

    /// Opens the log of a stream's consumers, if it is not open, and says who is in it.
    pub(super) fn open_consumer_log(
        &mut self,
        id: u32,
    ) -> Result<Vec<(String, Recovered)>, String> {
        let entry = &self.streams[id as usize];
        if entry.consumer_log.is_some() {
            return Ok(Vec::new());
        }
        let Some(root) = &self.root else { return Ok(Vec::new()) };
        let account = &self.post.shared().accounts[entry.stream.account as usize].name;
        let directory =
            root.stream(account, &entry.stream.name).map_err(|error| error.to_string())?;
        let disk = AnyDisk::Real(directory.consumers().map_err(|error| error.to_string())?);
        let options =
            Options { segment_bytes: NOTES_SEGMENT_BYTES, ..Options::new(self.random.u64(..)) };
        let (log, found, recovery) =
            ConsumerLog::open(disk, options).map_err(|error| error.to_string())?;
        report(&entry.stream.name, &recovery);
        self.streams[id as usize].consumer_log = Some(log);
        Ok(found.into_iter().collect())
    }

    /// Has the files of a deleted stream removed.
    pub(super) fn remove_files(&self, path: PathBuf) {
        self.background.give(Box::new(Remove(path)));
    }

    /// Commits and closes everything: the server stops.
    pub(super) fn stop(&mut self) {
        self.has_stopped = true;
        // What is under way comes back to the inbox; what it brings is told to nobody any more,
        // but it is on the disk.
        for entry in self.streams.drain() {
            close(*entry);
        }
        self.post.push();
    }

    fn restore_consumer(
        &mut self,
        now: Now,
        stream_id: u32,
        name: &str,
        recovered: &Recovered,
    ) -> Result<(), String> {
        let (created_unix_ns, config) = read_document::<ConsumerConfig>(&recovered.config)?;
        let settings = settings_of(&config, self.message_bytes_max(stream_id));
        let seed = self.random.u64(..);
        let stream = &self.streams[stream_id as usize].stream;
        let identity = Identity { stream: stream.name.to_string(), consumer: name.to_owned() };
        let view = View::new(stream);
        let consumer = match recovered.changes.split_first() {
            None => Consumer::new(identity, settings, now, &view, seed),
            Some((first, rest)) => {
                let mut state = State::decode(first).map_err(|error| error.to_string())?;
                for change in rest {
                    if let Err(error) = state.apply(change) {
                        tracing::error!(
                            "consumer {name} of stream {}: {error}; it goes on from before that, \
                             so some messages come again",
                            stream.name
                        );
                        break;
                    }
                }
                Consumer::restore(identity, settings, state, now, &view, seed)
            }
        };
        self.add_consumer(ConsumerEntry {
            consumer,
            config,
            created_unix_ns,
            name: Arc::from(name),
            stream: stream_id,
            generation: 0,
            is_kept: true,
            is_dirty: false,
            look_at_ns: NEVER_NS,
            paused_until_ns: 0,
            replies: Vec::new(),
            is_noted: false,
        });
        Ok(())
    }

    fn add_stream(&mut self, mut stream: Stream, slots: Option<Slots<AnyDisk>>) -> u32 {
        let (account, name) = (stream.account, stream.name.clone());
        stream.set_batch_room(&self.batch_room);
        let generation = self.generation();
        let entry = StreamEntry {
            stream,
            generation,
            subscriptions: Vec::new(),
            consumers: std::collections::BTreeMap::new(),
            slots,
            consumer_log: None,
            stalled: super::Stalled::default(),
            is_dirty: false,
            is_copy_due: false,
            is_in_background: false,
            is_note_wanted: false,
            look_at_ns: NEVER_NS,
            sync_at_ns: NEVER_NS,
            commit_at_ns: NEVER_NS,
            note_at_ns: NEVER_NS,
        };
        let id =
            u32::try_from(self.streams.insert(Box::new(entry))).expect("memory ends before that");
        self.accounts[account as usize].by_name.insert(name, id);
        self.follow_origins(id);
        id
    }

    fn durability(&self, config: &StreamConfig) -> Durability {
        match (config.storage, self.options.sync) {
            (StorageType::Memory, _) => Durability::Memory,
            (StorageType::File, SyncPolicy::Always) => Durability::Durable,
            (StorageType::File, SyncPolicy::Interval(_)) => Durability::Relaxed,
        }
    }

    fn store_options(&mut self, durability: Durability, config: &StreamConfig) -> Options {
        let promise = match durability {
            Durability::Durable => Promise::Durable,
            Durability::Relaxed | Durability::Memory => {
                Promise::Written { unsynced_sequences_max: UNSYNCED_SEQUENCES_MAX }
            }
        };
        Options {
            segment_bytes: SEGMENT_BYTES,
            first_sequence: config.first_seq.max(1),
            promise,
            ..Options::new(self.random.u64(..))
        }
    }
}

/// Writes and syncs what a stream and its consumers have not yet.
fn close(entry: StreamEntry) {
    let name = entry.stream.name.clone();
    if let Err(error) = entry.stream.close() {
        tracing::error!("stream {name}: {error}");
    }
    if let Some(log) = entry.consumer_log
        && let Err(error) = log.close()
    {
        tracing::error!("consumers of stream {name}: {error}");
    }
}

/// A consumer's document.
pub(super) fn consumer_document(entry: &ConsumerEntry) -> Vec<u8> {
    document(entry.created_unix_ns, &entry.config)
}

fn document<T: serde::Serialize>(created_unix_ns: i64, config: &T) -> Vec<u8> {
    let mut out = format!("{{\"created_unix_ns\":{created_unix_ns},\"config\":").into_bytes();
    json::write(config, &mut out);
    out.push(b'}');
    out
}

fn read_document<T: json::Object + Default>(bytes: &[u8]) -> Result<(i64, T), String> {
    let document: Document<'_> =
        serde_json::from_slice(bytes).map_err(|error| format!("its configuration: {error}"))?;
    let mut config = T::default();
    json::read(document.config.get().as_bytes(), &mut config)
        .map_err(|error| format!("its configuration: {error}"))?;
    Ok((document.created_unix_ns, config))
}

/// Says what opening a log found.
fn report(name: &str, recovery: &Recovery) {
    for damage in &recovery.damage {
        tracing::error!(
            "stream {name}: segment {} is damaged from byte {} to {} ({:?}); sequences {} to {} \
             cannot be read, all others can",
            damage.segment,
            damage.bytes.start,
            damage.bytes.end,
            damage.cause,
            damage.sequences.start,
            damage.sequences.end.saturating_sub(1),
        );
    }
}
