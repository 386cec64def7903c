//! How much of a consumer's messages is asked for and has not come: a state machine without
//! socket, clock or lock, which says when to ask for more.
//!
//! Invariant: what is asked for and has not come is never more than the bounds, unless a server
//! that was silent answers after all.

use super::PullRequest;
use super::status::Ended;

/// What is asked for and has not come.
#[derive(Debug)]
pub(super) struct Window {
    bounds: Bounds,
    messages: usize,
    bytes: usize,
    /// The number of the last request.
    last: u64,
    /// Requests before this one are forgotten: what they end with says nothing.
    first: u64,
    /// The next message does not fit into what is left of the requests: nothing is asked for
    /// before they have ended, and then everything at once.
    too_small: bool,
}

/// How much may be asked for and not have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) messages_max: usize,
    /// 0 sets no limit.
    pub(super) bytes_max: usize,
    /// With less than this, more is asked for.
    pub(super) messages_low: usize,
    pub(super) bytes_low: usize,
}

/// What an end means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// A message does not fit into all that may be asked for.
    TooLarge,
}

impl Window {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, messages: 0, bytes: 0, last: 0, first: 1, too_small: false }
    }

    /// A message of so many bytes came.
    pub(super) fn handle_message(&mut self, bytes: usize) {
        self.subtract(1, bytes);
        self.too_small = false;
    }

    /// Messages are counted as the server counts them, bytes nearly so: no bytes are left where no
    /// messages are.
    fn subtract(&mut self, messages: usize, bytes: usize) {
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = if self.messages == 0 { 0 } else { self.bytes.saturating_sub(bytes) };
    }

    /// The request of this number has ended.
    pub(super) fn handle_end(&mut self, request: u64, ended: Ended) -> Verdict {
        if request < self.first {
            return Verdict::GoOn;
        }
        match ended.messages {
            Some(messages) => self.subtract(messages, ended.bytes),
            None => self.forget(),
        }
        if ended.too_large && ended.bytes >= self.bounds.bytes_max {
            return Verdict::TooLarge;
        }
        self.too_small |= ended.too_large;
        Verdict::GoOn
    }

    /// What was asked for does not come any more.
    pub(super) fn forget(&mut self) {
        self.messages = 0;
        self.bytes = 0;
        self.first = self.last + 1;
    }

    /// What to ask for now, and the number of that request; `None` when enough is asked for.
    pub(super) fn poll_request(&mut self) -> Option<(u64, PullRequest)> {
        let bounds = self.bounds;
        let few_messages = self.messages <= bounds.messages_low;
        let few_bytes = bounds.bytes_max > 0 && self.bytes <= bounds.bytes_low;
        let batch = bounds.messages_max.saturating_sub(self.messages);
        let max_bytes = bounds.bytes_max.saturating_sub(self.bytes);
        let possible = batch > 0 && (bounds.bytes_max == 0 || max_bytes > 0);
        let waits = self.too_small && self.messages > 0;
        if waits || !(possible && (few_messages || few_bytes)) {
            return None;
        }
        self.too_small = false;
        self.messages = bounds.messages_max;
        self.bytes = bounds.bytes_max;
        self.last += 1;
        Some((self.last, PullRequest { batch, max_bytes, ..PullRequest::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(messages_max: usize, bytes_max: usize) -> Window {
        Window::new(Bounds {
            messages_max,
            bytes_max,
            messages_low: messages_max / 2,
            bytes_low: bytes_max / 2,
        })
    }

    fn request(window: &mut Window) -> Option<(u64, usize, usize)> {
        let (number, request) = window.poll_request()?;
        Some((number, request.batch, request.max_bytes))
    }

    #[test]
    fn more_is_asked_for_at_half() {
        let mut window = window(10, 0);
        assert_eq!(request(&mut window), Some((1, 10, 0)));
        for _ in 0..4 {
            window.handle_message(100);
            assert_eq!(request(&mut window), None);
        }
        window.handle_message(100);
        assert_eq!(request(&mut window), Some((2, 5, 0)));
        assert_eq!(request(&mut window), None);
    }

    #[test]
    fn bytes_bound_too() {
        let mut window = window(10, 1000);
        assert_eq!(request(&mut window), Some((1, 10, 1000)));
        window.handle_message(400);
        assert_eq!(request(&mut window), None);
        window.handle_message(200);
        assert_eq!(request(&mut window), Some((2, 2, 600)));
    }

    #[test]
    fn what_did_not_come_is_asked_for_again() {
        let mut window = window(10, 0);
        request(&mut window);
        let ended = Ended { messages: Some(10), ..Ended::default() };
        assert_eq!(window.handle_end(1, ended), Verdict::GoOn);
        assert_eq!(request(&mut window), Some((2, 10, 0)));
        // The server does not say: nothing of it comes.
        window.handle_end(2, Ended::default());
        assert_eq!(request(&mut window), Some((3, 10, 0)));
    }

    #[test]
    fn the_end_of_a_forgotten_request_says_nothing() {
        let mut window = window(10, 0);
        request(&mut window);
        window.forget();
        assert_eq!(request(&mut window), Some((2, 10, 0)));
        window.handle_end(1, Ended { messages: Some(10), ..Ended::default() });
        assert_eq!(request(&mut window), None);
    }

    #[test]
    fn a_message_larger_than_all_bytes() {
        let mut window = window(10, 100);
        let too_large =
            |messages, bytes| Ended { messages: Some(messages), bytes, too_large: true };
        request(&mut window);
        window.handle_message(60);
        assert_eq!(request(&mut window), Some((2, 1, 60)));
        // What is left of a request is too small for the next message, which says nothing yet: one
        // that follows at once would be too small too, and so on for ever.
        assert_eq!(window.handle_end(1, too_large(9, 40)), Verdict::GoOn);
        assert_eq!(request(&mut window), None);
        assert_eq!(window.handle_end(2, too_large(1, 60)), Verdict::GoOn);
        assert_eq!(request(&mut window), Some((3, 10, 100)));
        assert_eq!(window.handle_end(3, too_large(10, 100)), Verdict::TooLarge);
    }
}
