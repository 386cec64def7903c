//! What a shard does with its streams beside their messages: commits, timers, making and deleting.

use super::super::advisory::Event as AdvisoryEvent;
use super::super::stream::{Abandoned, Durability};
use super::super::time::{NEVER_NS, Now};
use super::copying::is_wanted;
use super::jobs::{Commit, ShardMail, StreamId, TidyUp};
use super::{Shard, StreamEntry};
use crate::config::SyncPolicy;

impl Shard {
    /// Commits what was accepted: on disk elsewhere, in memory and relaxed streams here and now.
    pub(super) fn commit_streams(&mut self, now: Now) {
        let mut dirty = std::mem::take(&mut self.dirty_streams);
        for id in dirty.drain(..) {
            let Some(entry) = self.streams.get_mut(id as usize) else { continue };
            entry.is_dirty = false;
            match entry.stream.durability {
                Durability::Durable => {
                    let stream = StreamId { id, generation: entry.generation };
                    if let Some(job) = entry.stream.take_commit(true) {
                        self.writer.give(Box::new(Commit { stream, job, is_notes: false }));
                    } else if entry.stream.begin_empty_commit() {
                        // Repetitions of what is on the disk already: there is nothing to wait for.
                        self.settle(now, id);
                    }
                }
                Durability::Relaxed | Durability::Memory => {
                    if let Err(error) = entry.stream.commit_here() {
                        tracing::error!("stream {}: {error}", entry.stream.name);
                        continue;
                    }
                    if entry.stream.durability == Durability::Relaxed {
                        self.sync_later(now, id);
                    }
                    self.settle(now, id);
                    self.publish_stalled(now, id);
                }
            }
            self.tidy_up(id);
        }
        // A list that is used in turn.
        if self.dirty_streams.is_empty() {
            self.dirty_streams = dirty;
        }
    }

    /// A job came back.
    pub(super) fn handle_shard_mail(&mut self, now: Now, mail: ShardMail) {
        match mail {
            ShardMail::Committed { stream, done } => {
                let Some(id) = self.living(stream) else { return };
                let entry = &mut self.streams[id as usize];
                if let Err(error) = entry.stream.handle_committed(done) {
                    tracing::error!(
                        "stream {}: {error}; it takes in nothing more until the server is started \
                         again, and what it has can be read",
                        entry.stream.name
                    );
                }
                self.settle(now, id);
                self.publish_stalled(now, id);
                if self.streams[id as usize].stream.needs_commit() {
                    self.mark_stream(id);
                }
                self.tidy_up(id);
            }
            ShardMail::Noted { stream, done } => {
                let Some(id) = self.living(stream) else { return };
                self.handle_noted(now, id, done);
            }
            ShardMail::TidiedUp { stream, done } => {
                let Some(id) = self.living(stream) else { return };
                let entry = &mut self.streams[id as usize];
                entry.is_in_background = false;
                if let Err(error) = entry.stream.store_mut().handle_background(done) {
                    tracing::warn!("stream {}: {error}", entry.stream.name);
                } else {
                    self.tidy_up(id);
                }
                self.publish_stalled(now, id);
            }
            ShardMail::Removed => {}
        }
    }

    /// Does what a commit brought about.
    pub(super) fn settle(&mut self, now: Now, id: u32) {
        let Self { streams, consumers, accounts, post, .. } = self;
        let StreamEntry { stream, consumers: of_stream, .. } = &mut *streams[id as usize];
        let account = &accounts[stream.account as usize];
        let name = stream.name.clone();
        let visible = stream.settle(now, &is_wanted(consumers, of_stream, account, &name), post);
        if stream.needs_commit() {
            // Markers, and what plans publish.
            self.mark_stream(id);
        }
        if !visible.removed.is_empty() {
            self.commit_later(now, id);
        }
        self.tell_consumers(now, id, &visible);
        if !visible.sequences.is_empty() {
            self.mark_copiers_of(id);
        }
        self.mark_copier(id);
        self.watch_expiry(now, id);
    }

    /// A timer of a stream.
    pub(super) fn handle_stream_timeout(&mut self, now: Now, id: u32) {
        let entry = &mut self.streams[id as usize];
        let stream = StreamId { id, generation: entry.generation };
        if entry.sync_at_ns <= now.monotonic_ns {
            entry.sync_at_ns = NEVER_NS;
            if let Some(job) = entry.stream.take_commit(true) {
                self.writer.give(Box::new(Commit { stream, job, is_notes: false }));
            }
        }
        let entry = &mut self.streams[id as usize];
        if entry.commit_at_ns <= now.monotonic_ns {
            entry.commit_at_ns = NEVER_NS;
            self.mark_stream(id);
        }
        self.streams[id as usize].stream.expire_batches(now);
        self.follow_batches(now, id);
        let entry = &mut self.streams[id as usize];
        if entry.note_at_ns <= now.monotonic_ns {
            self.commit_notes(id);
        }
        self.settle(now, id);
    }

    /// Tells of batches that were given up, and has the timer look when the next may be.
    pub(super) fn follow_batches(&mut self, now: Now, id: u32) {
        let stream = &mut self.streams[id as usize].stream;
        let (account, name) = (stream.account, stream.name.clone());
        let (abandoned, look_ns) = (stream.take_abandoned(), stream.batch_look_ns());
        for Abandoned { id, reason } in abandoned {
            let batch = &String::from_utf8_lossy(&id);
            let event = AdvisoryEvent::BatchAbandoned { stream: &name, batch, reason };
            self.advise(now, account, &event);
        }
        if look_ns != NEVER_NS {
            self.look_at_stream(id, look_ns);
        }
    }

    /// Has the timer look when the oldest message is too old.
    fn watch_expiry(&mut self, now: Now, id: u32) {
        let entry = &self.streams[id as usize];
        let mut at_ns = entry.sync_at_ns.min(entry.note_at_ns).min(entry.commit_at_ns);
        at_ns = at_ns.min(entry.stream.batch_look_ns());
        if let Some(unix_ns) = entry.stream.next_time() {
            // Not more often than that, or a stream of many small messages would do nothing else.
            at_ns = at_ns.min(now.monotonic_of(unix_ns).max(now.monotonic_ns + EXPIRY_STEP_NS));
        }
        if at_ns != NEVER_NS {
            self.look_at_stream(id, at_ns);
        }
    }

    /// Has deletions go to the disk in a while, if nothing is published before.
    pub(super) fn commit_later(&mut self, now: Now, id: u32) {
        let entry = &mut self.streams[id as usize];
        if entry.commit_at_ns == NEVER_NS {
            let at_ns = now.after(COMMIT_WITHIN_NS);
            entry.commit_at_ns = at_ns;
            self.look_at_stream(id, at_ns);
        }
    }

    fn sync_later(&mut self, now: Now, id: u32) {
        let SyncPolicy::Interval(interval) = self.options.sync else { return };
        let entry = &mut self.streams[id as usize];
        if entry.sync_at_ns == NEVER_NS {
            let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(NEVER_NS);
            let at_ns = now.after(interval_ns);
            entry.sync_at_ns = at_ns;
            self.look_at_stream(id, at_ns);
        }
    }

    /// Has segments prepared and tidied up, if that is due.
    pub(super) fn tidy_up(&mut self, id: u32) {
        let entry = &mut self.streams[id as usize];
        if entry.is_in_background {
            return;
        }
        if let Some(job) = entry.stream.store_mut().take_background() {
            entry.is_in_background = true;
            let stream = StreamId { id, generation: entry.generation };
            self.background.give(Box::new(TidyUp { stream, job }));
        }
    }

    /// The place of a stream, if it is still there.
    fn living(&self, stream: StreamId) -> Option<u32> {
        let entry = self.streams.get(stream.id as usize)?;
        (entry.generation == stream.generation).then_some(stream.id)
    }
}

/// How long a deletion that nobody asked for may be in memory only.
const COMMIT_WITHIN_NS: u64 = 100_000_000;
/// Expired messages are looked for at most this often.
const EXPIRY_STEP_NS: u64 = 1_000_000;
