//! What must hold of a consumer between two polls, what to do if it does not, and what the
//! consumer waits for, in words.
//!
//! The check counts again what is counted along the way, and asks the one question that matters
//! to users: is there a message that could be delivered now, and nothing that will? It costs as
//! much as a count of the stream's index and a look at everything on its way, so it is for a
//! timer and for tests, not for every poll.

use std::fmt;

use super::deliver::WaitsFor;
use super::flow::Flow;
use super::messages::Messages;
use super::{Consumer, Filters, Mode, Side};
use crate::jetstream::time::{NEVER_NS, Now};

/// Something that must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The count of messages still to be delivered is not what the stream says.
    #[error("{counted} messages are counted as still to be delivered, and there are {actual}")]
    Pending {
        /// What was counted along the way.
        counted: u64,
        /// What there is.
        actual: u64,
    },
    /// The count of messages delivered more than once is wrong.
    #[error("{counted} messages are counted as delivered again, and there are {actual}")]
    Redelivered {
        /// What was counted along the way.
        counted: usize,
        /// What there is.
        actual: usize,
    },
    /// The floor is not below everything that waits.
    #[error("the acknowledgement floor is not below the oldest message that waits")]
    Floor,
    /// A message waits for its acknowledgement and no deadline will find it.
    #[error("a message that waits for its acknowledgement has no deadline")]
    Deadlines,
    /// The redelivery queue and the waiting messages do not agree.
    #[error("the redelivery queue and the messages that wait do not agree")]
    Redelivery,
    /// A message that waits for its acknowledgement is not in the stream any more.
    #[error("message {sequence} waits for its acknowledgement and is not in the stream")]
    Missing {
        /// Its sequence.
        sequence: u64,
    },
    /// A message could be delivered now, and nothing will deliver it.
    #[error("message {sequence} could be delivered, and nothing is going to")]
    Stuck {
        /// Its sequence.
        sequence: u64,
    },
}

impl Consumer {
    /// Checks what must hold after a poll that had nothing more to do, with the stream as it was
    /// then.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn check(&self, now: Now, messages: &impl Messages) -> Result<(), Fault> {
        let actual = self.backlog.counted_anew(&self.settings.filters, messages);
        let counted = self.backlog.count();
        if actual != counted {
            return Err(Fault::Pending { counted, actual });
        }
        let (counted, actual) = (self.ledger.redelivered_waiting(), self.ledger.recount());
        if counted != actual {
            return Err(Fault::Redelivered { counted, actual });
        }
        let window = self.ledger.window();
        if let Some(front) = window.front()
            && (self.ledger.floor().stream >= front.stream
                || self.ledger.floor().consumer >= front.consumer)
        {
            return Err(Fault::Floor);
        }
        if !self.redelivery.agrees(window) {
            return Err(Fault::Redelivery);
        }
        if !self.deadlines.covers(window) {
            return Err(Fault::Deadlines);
        }
        let everything = Filters::all();
        for entry in window.iter() {
            if messages.next_matching(&everything, entry.stream) != Some(entry.stream) {
                return Err(Fault::Missing { sequence: entry.stream });
            }
        }
        match self.forgotten(now, messages) {
            Some(sequence) => Err(Fault::Stuck { sequence }),
            None => Ok(()),
        }
    }

    /// Makes everything right that [`check`](Self::check) looks at, from what is known for sure.
    /// Poll afterwards.
    pub fn repair(&mut self, messages: &impl Messages) {
        self.drop_missing(messages);
        self.ledger.repair();
        self.redelivery.rebuild(self.ledger.window_mut());
        self.deadlines.rebuild(self.ledger.window());
        self.backlog.recount(&self.settings.filters, messages);
        self.journal.need_snapshot();
    }

    /// What the consumer waits for, in a sentence for people.
    #[must_use]
    pub fn why(&self, now: Now) -> String {
        let ready = self.backlog.count();
        let again = self.redelivery.len();
        let on_their_way = self.ledger.window().len();
        let queued = Queued { ready, again };
        match self.waits_for {
            WaitsFor::Poll => format!("It is delivering; {queued}."),
            WaitsFor::Resume => {
                format!("It is paused for another {}; {queued}.", Time(self.pause_left_ns(now)))
            }
            WaitsFor::Interest => match &self.settings.mode {
                Mode::Push(push) => format!(
                    "It waits for somebody to listen to its deliver subject {}; {queued}.",
                    String::from_utf8_lossy(&push.deliver_subject)
                ),
                Mode::Pull(_) => format!("It waits for somebody to listen; {queued}."),
            },
            WaitsFor::FlowControl => {
                let (bytes, subject) = match &self.side {
                    Side::Push(push) => push
                        .flow
                        .as_ref()
                        .map_or((0, ""), |flow| (flow.pending_bytes(), awaited(flow))),
                    Side::Pull(_) => (0, ""),
                };
                format!(
                    "It waits for an answer to flow control at {subject}: {bytes} bytes are not \
                     confirmed; {queued}."
                )
            }
            WaitsFor::Request => format!("It waits for a pull request; {queued}."),
            WaitsFor::Acknowledgement => {
                let max = self.settings.ack_pending_max.map_or(0, std::num::NonZeroUsize::get);
                format!(
                    "It waits for acknowledgements: {on_their_way} messages are on their way, \
                     max_ack_pending is {max}{}; {queued}.",
                    self.next_redelivery(now)
                )
            }
            WaitsFor::Messages => format!(
                "It waits for messages: everything up to sequence {} is delivered or does not \
                 match; {on_their_way} are on their way{}.",
                self.backlog.reached().saturating_sub(1),
                self.next_redelivery(now)
            ),
            WaitsFor::Moment(at) => format!(
                "The next message may go in {}, for its rate limit or the pauses of its replay; \
                 {queued}.",
                Time(now.until(at))
            ),
            WaitsFor::OtherRequest => {
                let waiting = match &self.side {
                    Side::Pull(pull) => pull.requests.len(),
                    Side::Push(_) => 0,
                };
                let pinned = match &self.side {
                    Side::Pull(pull) if pull.pin.is_some() => {
                        " Another client is pinned and has not asked."
                    }
                    _ => "",
                };
                format!(
                    "{waiting} pull requests wait, and none may have the next message for the \
                     conditions of its priority group; {queued}.{pinned}"
                )
            }
        }
    }

    /// A message that could be delivered although the consumer waits for something else.
    fn forgotten(&self, now: Now, messages: &impl Messages) -> Option<u64> {
        let waits_on = match self.waits_for {
            WaitsFor::Poll | WaitsFor::OtherRequest => true,
            WaitsFor::Moment(at) => at > now.monotonic_ns,
            _ => false,
        };
        if waits_on || self.waits_for_receiver().is_some() {
            return None;
        }
        let again = self.ledger.window().iter().find(|entry| entry.ticket != 0);
        if let Some(entry) = again {
            return Some(entry.stream);
        }
        if self.is_ack_pending_full() {
            return None;
        }
        if let Some(selection) = self.backlog.selection() {
            let there = |sequence: &&u64| {
                messages.next_matching(&self.settings.filters, **sequence) == Some(**sequence)
            };
            return selection.sequences[selection.done..].iter().find(there).copied();
        }
        messages.next_matching(&self.settings.filters, self.backlog.next())
    }

    /// When the next message is due again, as the end of a clause.
    fn next_redelivery(&self, now: Now) -> String {
        let due = self
            .ledger
            .window()
            .iter()
            .filter(|entry| entry.ticket == 0 && entry.deadline != NEVER_NS)
            .map(|entry| entry.deadline)
            .min();
        due.map_or(String::new(), |due| {
            format!(", the first of them is due again in {}", Time(now.until(due)))
        })
    }
}

fn awaited(flow: &Flow) -> &str {
    flow.awaited().unwrap_or("")
}

/// What could be delivered.
struct Queued {
    ready: u64,
    again: usize,
}

impl fmt::Display for Queued {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} messages are ready", self.ready)?;
        if self.again > 0 {
            write!(out, ", and {} to be delivered again", self.again)?;
        }
        Ok(())
    }
}

/// Nanoseconds in seconds, to the millisecond.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:03} s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}
