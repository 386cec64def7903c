//! The pull requests that wait, in the order in which they are served.
//!
//! A request that got a message goes to the end, so that all get something; with priorities, to
//! the end of those with the same number. A ring of places is turned for that, requests
//! themselves do not move. The number of places is bounded by the consumer's `max_waiting`.

use std::collections::VecDeque;

use slab::Slab;

use super::pull_request::Priority;
use super::status::Left;
use crate::jetstream::time::NEVER_NS;

/// A pull request that waits.
#[derive(Debug)]
pub(super) struct Request {
    /// Where its messages go.
    pub reply: Box<[u8]>,
    /// Messages it still gets.
    pub left: Left,
    /// Messages it got.
    pub delivered: u64,
    /// When it ends, [`NEVER_NS`] if it does not by itself.
    pub expires_at: u64,
    /// Time without a message after which it gets a heartbeat, 0 for none.
    pub heartbeat_ns: u64,
    /// When that is.
    pub heartbeat_at: u64,
    /// It ends when there is nothing for it.
    pub no_wait: bool,
    /// What only a JSON request says.
    pub priority: Option<Priority>,
    /// The poll in which somebody was last known to listen.
    pub seen_in_poll: u64,
}

impl Request {
    /// The place in line: lower goes first. Requests that say nothing go last.
    fn rank(&self) -> i64 {
        self.priority.as_ref().map_or(i64::MAX, |priority| priority.priority)
    }

    pub(super) fn pin_id(&self) -> &str {
        self.priority.as_ref().map_or("", |priority| priority.id.as_str())
    }

    fn due_at(&self) -> u64 {
        self.expires_at.min(self.heartbeat_at)
    }
}

#[derive(Debug)]
pub(super) struct Requests {
    slots: Slab<Request>,
    /// Places in `slots`, those to be served first in front.
    order: VecDeque<usize>,
    is_ranked: bool,
    waiting_max: usize,
    /// Not later than the first moment at which a request needs attention.
    due_at: u64,
    /// Requests that end when there is nothing for them.
    no_wait: usize,
}

impl Requests {
    pub(super) fn new(waiting_max: usize, is_ranked: bool) -> Self {
        Self {
            slots: Slab::new(),
            order: VecDeque::new(),
            is_ranked,
            waiting_max: waiting_max.max(1),
            due_at: NEVER_NS,
            no_wait: 0,
        }
    }

    /// Other settings. Requests beyond a lower bound stay until they end.
    pub(super) fn configure(&mut self, waiting_max: usize, is_ranked: bool) {
        self.waiting_max = waiting_max.max(1);
        if is_ranked && !self.is_ranked {
            let slots = &self.slots;
            self.order.make_contiguous().sort_by_key(|slot| slots[*slot].rank());
        }
        self.is_ranked = is_ranked;
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.order.len() >= self.waiting_max
    }

    /// Whether any request ends when there is nothing for it.
    pub(super) fn has_no_wait(&self) -> bool {
        self.no_wait > 0
    }

    /// Messages all requests together still ask for.
    pub(super) fn messages_wanted(&self) -> i64 {
        self.iter().fold(0, |sum, request| sum.saturating_add(request.left.messages))
    }

    /// Not later than the first moment at which [`retain`](Self::retain) has something to do.
    #[inline]
    pub(super) fn due_at(&self) -> u64 {
        self.due_at
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.order.iter().map(|slot| &self.slots[*slot])
    }

    /// Adds a request; the caller made sure there is a place.
    pub(super) fn push(&mut self, request: Request) {
        self.due_at = self.due_at.min(request.due_at());
        self.no_wait += usize::from(request.no_wait);
        let slot = self.slots.insert(request);
        self.line_up(slot);
    }

    /// The first in line.
    #[inline]
    pub(super) fn front(&mut self) -> Option<&mut Request> {
        let slot = *self.order.front()?;
        self.slots.get_mut(slot)
    }

    /// The first goes to the end of the line without having got anything.
    pub(super) fn pass_over(&mut self) {
        if self.order.len() > 1 {
            self.order.rotate_left(1);
        }
    }

    /// The first is removed.
    pub(super) fn remove_front(&mut self) -> Option<Request> {
        let slot = self.order.pop_front()?;
        Some(self.forget(slot))
    }

    /// The first got a message: it goes to the end of its line, or away when it has all it asked
    /// for.
    #[inline]
    pub(super) fn turn(&mut self, now: u64) -> Option<Request> {
        let slot = *self.order.front()?;
        let request = self.slots.get_mut(slot)?;
        request.delivered += 1;
        request.left.messages -= 1;
        if request.left.messages <= 0 {
            return self.remove_front();
        }
        if request.heartbeat_ns > 0 {
            request.heartbeat_at = now.saturating_add(request.heartbeat_ns);
        }
        if self.order.len() > 1 {
            self.order.pop_front();
            self.line_up(slot);
        }
        None
    }

    /// Looks at all; those for which `keep` says no are removed.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Request) -> bool) {
        let mut due_at = NEVER_NS;
        let mut no_wait = 0;
        let slots = &mut self.slots;
        self.order.retain(|slot| {
            let request = &mut slots[*slot];
            if keep(request) {
                due_at = due_at.min(request.due_at());
                no_wait += usize::from(request.no_wait);
                return true;
            }
            slots.remove(*slot);
            false
        });
        self.due_at = due_at;
        self.no_wait = no_wait;
    }

    fn line_up(&mut self, slot: usize) {
        if !self.is_ranked {
            self.order.push_back(slot);
            return;
        }
        let rank = self.slots[slot].rank();
        let place = self.order.partition_point(|other| self.slots[*other].rank() <= rank);
        self.order.insert(place, slot);
    }

    fn forget(&mut self, slot: usize) -> Request {
        let request = self.slots.remove(slot);
        self.no_wait -= usize::from(request.no_wait);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, messages: i64, rank: Option<i64>) -> Request {
        Request {
            reply: name.as_bytes().into(),
            left: Left { messages, bytes: 0 },
            delivered: 0,
            expires_at: NEVER_NS,
            heartbeat_ns: 0,
            heartbeat_at: NEVER_NS,
            no_wait: false,
            priority: rank.map(|priority| Priority { priority, ..Priority::default() }),
            seen_in_poll: 0,
        }
    }

    fn serve(requests: &mut Requests) -> String {
        let name = requests.front().map(|request| request.reply.clone()).unwrap_or_default();
        requests.turn(0);
        String::from_utf8(name.into()).expect("it is ASCII")
    }

    #[test]
    fn all_are_served_in_turn() {
        let mut requests = Requests::new(10, false);
        requests.push(request("a", 2, None));
        requests.push(request("b", 1, None));
        requests.push(request("c", 3, None));
        let served: Vec<String> = (0..7).map(|_| serve(&mut requests)).collect();
        assert_eq!(served, ["a", "b", "c", "a", "c", "c", ""]);
    }

    #[test]
    fn lower_numbers_are_served_first() {
        let mut requests = Requests::new(10, true);
        requests.push(request("none", 1, None));
        requests.push(request("two", 2, Some(2)));
        requests.push(request("one", 2, Some(1)));
        requests.push(request("one'", 2, Some(1)));
        let served: Vec<String> = (0..7).map(|_| serve(&mut requests)).collect();
        assert_eq!(served, ["one", "one'", "one", "one'", "two", "two", "none"]);
    }

    #[test]
    fn what_is_due_is_known_without_looking() {
        let mut requests = Requests::new(10, false);
        requests.push(Request { expires_at: 50, ..request("a", 1, None) });
        requests.push(Request { heartbeat_ns: 20, heartbeat_at: 20, ..request("b", 5, None) });
        requests.push(Request { no_wait: true, ..request("c", 1, None) });
        assert_eq!((requests.due_at(), requests.has_no_wait()), (20, true));
        assert_eq!(requests.messages_wanted(), 7);
        requests.retain(|request| &*request.reply != b"b");
        assert_eq!((requests.due_at(), requests.len()), (50, 2));
        requests.retain(|request| !request.no_wait);
        assert!(!requests.has_no_wait());
        assert!(requests.remove_front().is_some());
        assert!(requests.is_empty());
        requests.push(Request { no_wait: true, ..request("d", 1, None) });
        requests.turn(0);
        assert!(requests.is_empty() && !requests.has_no_wait());
    }
}
