//! Which part of the shard a message is for: by the subscription it came by.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fulmar_protocol::subject::Filter;
use smallvec::SmallVec;

use super::super::post::Loopback;
use super::super::stream::Incoming;
use super::super::time::Now;
use super::copying::is_wanted;
use super::{Shard, StreamEntry};
use crate::mesh::mail::Batch;

/// Acknowledgements, for all consumers.
const ACK_FILTER: &[u8] = b"$JS.ACK.>";
/// Answers to flow control, for all consumers.
const FLOW_CONTROL_FILTER: &[u8] = b"$JS.FC.>";
/// Requests.
const API_FILTER: &[u8] = b"$JS.API.>";

/// What a subscription of the shard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Requests.
    Api,
    /// Acknowledgements.
    Ack,
    /// Answers to flow control.
    FlowControl,
    /// Messages of a stream.
    Stream(u32),
}

/// A message as the shard sees it, wherever it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) account: u32,
    pub(super) subject: &'a [u8],
    pub(super) reply: Option<&'a [u8]>,
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Shard {
    /// Subscribes to what is the shard's own in an account.
    pub(super) fn subscribe_to_requests(&mut self, account: u32) {
        for (filter, slot) in [
            (API_FILTER, Slot::Api),
            (ACK_FILTER, Slot::Ack),
            (FLOW_CONTROL_FILTER, Slot::FlowControl),
        ] {
            self.subscribe(account, filter, slot);
        }
        if let Some(domain) = self.options.domain.clone() {
            let filter = format!("$JS.{domain}.API.>");
            self.subscribe(account, filter.as_bytes(), Slot::Api);
        }
    }

    /// Has messages of an account that meet `filter` come to `slot`.
    pub(super) fn subscribe(
        &mut self,
        account: u32,
        filter: &[u8],
        slot: Slot,
    ) -> (u32, Arc<[u8]>) {
        let place = u32::try_from(self.slots.insert(slot)).expect("memory ends before that");
        let shared: Arc<[u8]> = Arc::from(filter);
        let filter = Filter::parse(filter).expect("filters of streams are checked");
        let interest = &self.post.shared().accounts[account as usize].interest;
        interest.add(filter, &shared, None, self.post.subscriber(place));
        (place, shared)
    }

    /// Takes a subscription back.
    pub(super) fn unsubscribe(&mut self, account: u32, place: u32, filter: &[u8]) {
        self.slots.remove(place as usize);
        let filter = Filter::parse(filter).expect("it was parsed when it was added");
        let interest = &self.post.shared().accounts[account as usize].interest;
        interest.remove(filter, None, self.post.subscriber(place));
    }

    pub(super) fn handle_batch(&mut self, now: Now, batch: &Batch) {
        let shared = self.post.shared().clone();
        if let Some(round) = batch.round() {
            shared.await_round(round);
        }
        let me = usize::from(self.post.subscriber(0).peer);
        shared.peers[me].inbox_bytes.fetch_sub(batch.size(), Ordering::Relaxed);
        for delivered in batch.iter() {
            let message = &delivered.message;
            let (headers, payload) =
                message.framed[..message.body_size()].split_at(message.header_size);
            let arrival = Arrival {
                account: message.account,
                subject: message.subject,
                reply: message.reply,
                headers,
                payload,
            };
            let routes = self.post.routes(message.account, message.routed_by());
            let slots: SmallVec<[u32; 4]> = SmallVec::from_slice(&routes.local);
            for slot in slots {
                self.handle_arrival(now, slot, &arrival);
            }
        }
    }

    pub(super) fn handle_loopback(&mut self, now: Now, message: &Loopback) {
        let (headers, payload) = message.body.split_at(message.header_size);
        let arrival = Arrival {
            account: message.account,
            subject: &message.subject,
            reply: message.reply.as_deref(),
            headers,
            payload,
        };
        for slot in &message.slots {
            self.handle_arrival(now, *slot, &arrival);
        }
    }

    fn handle_arrival(&mut self, now: Now, slot: u32, arrival: &Arrival<'_>) {
        match self.slots.get(slot as usize) {
            Some(Slot::Stream(id)) => {
                let id = *id;
                self.publish_to(now, id, arrival);
            }
            Some(Slot::Ack) => self.handle_ack(now, arrival),
            Some(Slot::FlowControl) => self.handle_flow_control(now, arrival),
            Some(Slot::Api) => self.handle_request(now, arrival),
            None => {}
        }
    }

    /// A message for a stream came: it is taken in, or waits behind others until there is room.
    fn publish_to(&mut self, now: Now, id: u32, arrival: &Arrival<'_>) {
        let Some(entry) = self.streams.get(id as usize) else { return };
        if entry.stalled.is_empty() && self.offer(now, id, arrival) {
            return;
        }
        let (messages_max, bytes_max) =
            (self.options.buffered_messages_max, self.options.buffered_bytes_max);
        let StreamEntry { stream, stalled, .. } = &mut *self.streams[id as usize];
        if !stalled.push(arrival, messages_max, bytes_max) {
            stream.refuse_for_now(arrival.reply, &mut self.post);
        }
        self.mark_stream(id);
    }

    /// Takes in what waited for room, as far as there is room now.
    pub(super) fn publish_stalled(&mut self, now: Now, id: u32) {
        while let Some(message) = self.streams[id as usize].stalled.pop() {
            if !self.offer(now, id, &message.arrival()) {
                self.streams[id as usize].stalled.put_back(message);
                return;
            }
        }
    }

    /// Offers a message to a stream. False: there is no room yet.
    fn offer(&mut self, now: Now, id: u32, arrival: &Arrival<'_>) -> bool {
        let incoming = Incoming {
            subject: arrival.subject,
            reply: arrival.reply,
            headers: arrival.headers,
            payload: arrival.payload,
        };
        let StreamEntry { stream, consumers: of_stream, .. } = &mut *self.streams[id as usize];
        let account = &self.accounts[stream.account as usize];
        let name = stream.name.clone();
        let is_wanted = is_wanted(&self.consumers, of_stream, account, &name);
        let is_taken = stream.handle_publish(now, &incoming, is_wanted, &mut self.post);
        if stream.has_batch_news() {
            self.follow_batches(now, id);
        }
        if is_taken {
            self.mark_stream(id);
        }
        is_taken
    }

    /// Notes that a stream has something to commit.
    pub(super) fn mark_stream(&mut self, id: u32) {
        let entry = &mut self.streams[id as usize];
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty_streams.push(id);
        }
    }
}
