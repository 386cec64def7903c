//! How much a push consumer may have on its way before the receiver says that it took it.
//!
//! The window starts at a sixteenth of 32 MiB and doubles with each answer. When more than half
//! of it is used a flow control message asks for an answer; when all is used nothing is sent until
//! the answer comes. Numbers and names of subjects are nats-server's.

use fastrand::Rng;

/// The largest window.
const WINDOW_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The window at the start.
const WINDOW_BYTES_START: u64 = WINDOW_BYTES_MAX / 16;
/// The prefix of subjects that answers go to.
pub(super) const FLOW_PREFIX: &str = "$JS.FC.";

#[derive(Debug)]
pub(super) struct Flow {
    window_bytes: u64,
    /// Sent and not confirmed.
    pending_bytes: u64,
    /// The question that was asked last and is not answered.
    question: Option<Question>,
}

#[derive(Debug)]
struct Question {
    subject: String,
    /// What its answer confirms.
    bytes: u64,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { window_bytes: WINDOW_BYTES_START, pending_bytes: 0, question: None }
    }

    /// Nothing may be sent until an answer comes.
    #[inline]
    pub(super) fn is_stalled(&self) -> bool {
        self.pending_bytes > self.window_bytes
    }

    /// The subject where an answer is expected.
    pub(super) fn awaited(&self) -> Option<&str> {
        self.question.as_ref().map(|question| question.subject.as_str())
    }

    /// A message was sent. Whether it is time to ask; `is_full` says that no more messages may
    /// wait for acknowledgement where answers are acknowledgements.
    pub(super) fn sent(&mut self, bytes: u64, is_full: bool) -> bool {
        self.pending_bytes += bytes;
        match &mut self.question {
            None => is_full || self.pending_bytes > self.window_bytes / 2,
            Some(question) => {
                if self.pending_bytes - question.bytes.min(self.pending_bytes) >= self.window_bytes
                {
                    question.bytes += bytes;
                }
                false
            }
        }
    }

    /// Asks: the subject for the answer.
    pub(super) fn ask(&mut self, stream: &str, consumer: &str, random: &mut Rng) -> &str {
        let token: String = std::iter::repeat_with(|| random.alphanumeric()).take(4).collect();
        let subject = format!("{FLOW_PREFIX}{stream}.{consumer}.{token}");
        let question = Question { subject, bytes: self.pending_bytes };
        &self.question.insert(question).subject
    }

    /// An answer came; whether it is the one that was waited for.
    pub(super) fn answered(&mut self, subject: &[u8]) -> bool {
        let Some(question) =
            self.question.take_if(|question| question.subject.as_bytes() == subject)
        else {
            return false;
        };
        self.window_bytes = (self.window_bytes * 2).min(WINDOW_BYTES_MAX);
        self.pending_bytes = self.pending_bytes.saturating_sub(question.bytes);
        true
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_at_half_and_stops_at_all() {
        let mut flow = Flow::new();
        let mut random = Rng::with_seed(1);
        assert!(!flow.sent(WINDOW_BYTES_START / 2, false));
        assert!(flow.sent(1, false));
        let subject = flow.ask("S", "c", &mut random).to_owned();
        assert!(subject.starts_with("$JS.FC.S.c.") && subject.len() == 15);
        assert!(!flow.sent(WINDOW_BYTES_START / 2, false));
        assert!(flow.is_stalled());
        assert!(!flow.answered(b"$JS.FC.S.c.other"));
        assert!(flow.answered(subject.as_bytes()));
        assert!(!flow.is_stalled());
        assert_eq!(flow.window_bytes, 2 * WINDOW_BYTES_START);
        assert_eq!(flow.pending_bytes(), WINDOW_BYTES_START / 2);
        assert!(!flow.answered(subject.as_bytes()), "once");
        let mut large = Flow::new();
        assert!(large.sent(WINDOW_BYTES_START, false));
        let subject = large.ask("S", "c", &mut random).to_owned();
        large.sent(WINDOW_BYTES_START, false);
        assert!(large.answered(subject.as_bytes()));
        assert_eq!(large.pending_bytes(), 0, "a message as large as the window is answered too");
        assert!(flow.sent(1, true), "where answers are acknowledgements and none is left");
    }
}
