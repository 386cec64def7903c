//! Which waiting messages are delivered next, before anything new.
//!
//! A ticket ties a message to its place in the queue: taking one out in the middle is forgetting
//! its ticket, and a place whose ticket is forgotten is passed over. Places without meaning are
//! never more than the others, give or take [`FORGOTTEN_SLACK`].

use std::collections::VecDeque;

use super::window::Window;

/// Places without meaning that are tolerated whatever the number of others.
const FORGOTTEN_SLACK: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Redelivery {
    queue: VecDeque<(u64, u32)>,
    queued: usize,
    last_ticket: u32,
}

impl Redelivery {
    /// Messages that wait for redelivery.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queued
    }

    /// Puts a message at the end, unless it is queued already.
    pub(super) fn push(&mut self, stream: u64, window: &mut Window) {
        let ticket = match self.last_ticket.wrapping_add(1) {
            0 => 1,
            ticket => ticket,
        };
        let Some(entry) = window.get_mut(stream).filter(|entry| entry.ticket == 0) else { return };
        entry.ticket = ticket;
        self.last_ticket = ticket;
        self.queue.push_back((stream, ticket));
        self.queued += 1;
        if self.queue.len() > 2 * self.queued + FORGOTTEN_SLACK {
            self.queue.retain(|(stream, ticket)| is_place_of(window, *stream, *ticket));
        }
    }

    /// The first in the queue; it stays there.
    #[inline]
    pub(super) fn front(&mut self, window: &Window) -> Option<u64> {
        if self.queued == 0 {
            self.queue.clear();
            return None;
        }
        while let Some((stream, ticket)) = self.queue.front().copied() {
            if is_place_of(window, stream, ticket) {
                return Some(stream);
            }
            self.queue.pop_front();
        }
        None
    }

    /// A message with this ticket left the queue, the window or both. 0 is no ticket.
    #[inline]
    pub(super) fn forget(&mut self, ticket: u32) {
        if ticket != 0 {
            self.queued -= 1;
        }
    }

    /// Whether the queue agrees with the window, for the watchdog.
    pub(super) fn agrees(&self, window: &Window) -> bool {
        let tickets = window.iter().filter(|entry| entry.ticket != 0).count();
        let places = self
            .queue
            .iter()
            .filter(|(stream, ticket)| is_place_of(window, *stream, *ticket))
            .count();
        tickets == self.queued && places == self.queued
    }

    /// Starts again with everything that has a ticket, in the order of the stream.
    pub(super) fn rebuild(&mut self, window: &mut Window) {
        let streams: Vec<u64> =
            window.iter().filter(|entry| entry.ticket != 0).map(|entry| entry.stream).collect();
        *self = Self::default();
        for entry in window.iter_mut() {
            entry.ticket = 0;
        }
        for stream in streams {
            self.push(stream, window);
        }
    }
}

#[inline]
fn is_place_of(window: &Window, stream: u64, ticket: u32) -> bool {
    window.get(stream).is_some_and(|entry| entry.ticket == ticket)
}

#[cfg(test)]
mod tests {
    use super::super::window::Entry;
    use super::*;

    fn window(streams: &[u64]) -> Window {
        let mut window = Window::default();
        for stream in streams {
            window.push(Entry {
                stream: *stream,
                consumer: *stream,
                deadline: 0,
                deliveries: 1,
                ticket: 0,
            });
        }
        window
    }

    fn take(queue: &mut Redelivery, window: &mut Window) -> Option<u64> {
        let stream = queue.front(window)?;
        let entry = window.get_mut(stream)?;
        queue.forget(entry.ticket);
        entry.ticket = 0;
        Some(stream)
    }

    #[test]
    fn first_queued_first_out_whatever_leaves_in_between() {
        let mut window = window(&[1, 2, 3, 4, 5]);
        let mut queue = Redelivery::default();
        for stream in [4, 2, 4, 5, 9] {
            queue.push(stream, &mut window);
        }
        assert_eq!(queue.len(), 3);
        let gone = window.remove(4).expect("it waits");
        queue.forget(gone.ticket);
        assert!(queue.agrees(&window));
        assert_eq!(take(&mut queue, &mut window), Some(2));
        queue.push(1, &mut window);
        queue.push(2, &mut window);
        assert_eq!(take(&mut queue, &mut window), Some(5));
        assert_eq!(take(&mut queue, &mut window), Some(1));
        assert_eq!(take(&mut queue, &mut window), Some(2), "behind, as it came later");
        assert_eq!(take(&mut queue, &mut window), None);
        assert!(queue.agrees(&window) && queue.len() == 0);
    }

    #[test]
    fn memory_follows_what_is_queued() {
        let mut window = window(&[1, 2]);
        let mut queue = Redelivery::default();
        queue.push(1, &mut window);
        for _ in 0..10_000 {
            queue.push(2, &mut window);
            let entry = window.get_mut(2).expect("it waits");
            queue.forget(entry.ticket);
            entry.ticket = 0;
        }
        assert!(queue.queue.len() <= 2 * queue.queued + FORGOTTEN_SLACK + 1);
        assert_eq!(take(&mut queue, &mut window), Some(1));
    }
}
