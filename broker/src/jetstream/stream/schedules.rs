//! Plans: messages that a stream keeps and publishes when their time comes.
//!
//! A subject has one plan at the most, its last message. When plans fire is noted in memory, and
//! read off the log again at each opening: off the plans, and off what they published, which says
//! when they fire next. What headers mean is in [`crate::jetstream::schedule`].
//!
//! ```text
//!  plan accepted ──► noted ──► fires: its message is accepted ──► visible ──► plan is deleted
//!                      ▲                     │                                (unless it repeats)
//!                      └───── next time ─────┘
//! ```

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use foldhash::fast::RandomState;
use fulmar_protocol::headers::Headers;
use fulmar_storage::Filters;
use hashbrown::HashMap;

use super::publish_headers::PublishHeaders;
use super::{Removed, Stream};
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::schedule::{self, Allowed, Instruction, Published};
use crate::jetstream::time::Now;

/// Plans that fire in one look; others do in the next.
const FIRED_MAX: usize = 1024;
/// How long after a failure it is tried again.
const AGAIN_NS: i64 = 1_000_000_000;
/// Notes about plans that are gone may make up half of all, and so many more.
const GONE_MAX: usize = 1024;

/// When plans fire.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// By the sequence of the plan, in nanoseconds since 1970.
    times: HashMap<u64, i64, RandomState>,
    /// The same, soonest first, and times that were changed since.
    soonest: BinaryHeap<Reverse<(i64, u64)>>,
    /// Messages that end a plan when they may be shown, in order, and the subject of the plan.
    ending: VecDeque<(u64, Box<[u8]>)>,
}

impl Plans {
    /// Notes when a plan fires, first or next.
    fn set(&mut self, sequence: u64, at_ns: i64) {
        self.times.insert(sequence, at_ns);
        self.soonest.push(Reverse((at_ns, sequence)));
        if self.soonest.len() > self.times.len() * 2 + GONE_MAX {
            let times = &self.times;
            self.soonest.retain(|Reverse((at_ns, sequence))| times.get(sequence) == Some(at_ns));
        }
    }

    /// Forgets plans that are gone, if they may be many: `messages` are there.
    fn tidy_up(&mut self, messages: u64, is_there: impl Fn(u64) -> bool) {
        if self.times.len() as u64 > messages * 2 + GONE_MAX as u64 {
            self.times.retain(|sequence, _| is_there(*sequence));
        }
    }

    /// When the first plan fires, if it is one up to `visible`.
    fn next(&self, visible: u64) -> Option<i64> {
        let Reverse((at_ns, sequence)) = self.soonest.peek()?;
        // What may not be shown yet is looked at when it may.
        (*sequence <= visible).then_some(*at_ns)
    }

    /// A plan up to `visible` whose time has come, and that time.
    fn take_due(&mut self, now_ns: i64, visible: u64) -> Option<(u64, i64)> {
        while self.next(visible)? <= now_ns {
            let Reverse((at_ns, sequence)) = self.soonest.pop()?;
            if self.times.get(&sequence) == Some(&at_ns) {
                self.times.remove(&sequence);
                return Some((sequence, at_ns));
            }
        }
        None
    }
}

impl Stream {
    /// Checks what a message that was published to `subject` says of plans.
    ///
    /// # Errors
    ///
    /// See [`schedule::check_published`]; 10212 also if it ends something that is no plan.
    pub(super) fn check_plan<'a>(
        &self,
        now: Now,
        subject: &[u8],
        headers: &'a [u8],
    ) -> Result<Published<'a>, ApiError> {
        let allowed =
            Allowed { schedules: self.config.allow_msg_schedules, ttl: self.config.allow_msg_ttl };
        let is_of_stream = |subject: &[u8]| {
            Filters::parse(self.config.subjects.iter().map(String::as_bytes))
                .is_ok_and(|filters| filters.matches(subject))
        };
        let published = schedule::check_published(
            Headers::new(headers),
            subject,
            allowed,
            now.unix_ns,
            is_of_stream,
        )?;
        if let Some(scheduler) = published.ends
            && let Some(last) = self.store.last_of(scheduler)
            && let Ok(Some(record)) = self.store.read_accepted(last)
            && PublishHeaders::read(record.headers()).schedule.is_none()
        {
            return Err(error::MESSAGE_SCHEDULES_SCHEDULER_INVALID);
        }
        Ok(published)
    }

    /// Notes what a message that was accepted means for plans.
    pub(super) fn note_plan(&mut self, sequence: u64, published: &Published<'_>) {
        if let Some(at_ns) = published.fires_unix_ns {
            self.plans.set(sequence, at_ns);
            let store = &self.store;
            self.plans.tidy_up(store.messages(), |sequence| store.subject_of(sequence).is_some());
        }
        if let Some(scheduler) = published.ends {
            // It does not fire any more, though it is there until the end of it may be shown.
            if let Some(plan) = self.store.last_of(scheduler) {
                self.plans.times.remove(&plan);
            }
            self.plans.ending.push_back((sequence, scheduler.into()));
        }
    }

    /// Reads off a message of the log what it means for plans. Messages come in order.
    pub(super) fn recover_plan(
        &mut self,
        now: Now,
        sequence: u64,
        stored_ns: i64,
        headers: &[u8],
        found: &PublishHeaders<'_>,
    ) {
        if found.schedule.is_some()
            && let Ok(Some(instruction)) = Instruction::parse(Headers::new(headers))
            && let Some(at_ns) = instruction.schedule.next(stored_ns, now.unix_ns)
        {
            self.plans.set(sequence, at_ns);
        }
        let (Some(scheduler), Some(next)) = (found.scheduler, found.schedule_next) else { return };
        let Some(plan) = self.store.last_of(scheduler).filter(|plan| *plan < sequence) else {
            return;
        };
        if next == schedule::NEXT_PURGE.as_bytes() {
            self.plans.times.remove(&plan);
            self.plans.ending.push_back((sequence, scheduler.into()));
        } else if self.plans.times.contains_key(&plan)
            && let Some(at_ns) = std::str::from_utf8(next).ok().and_then(schedule::parse_time)
        {
            self.plans.set(plan, at_ns);
        }
    }

    /// Deletes the plans that ended with messages that may be shown by now.
    pub(super) fn end_plans(&mut self, removed: &mut Removed) {
        while let Some((sequence, _)) = self.plans.ending.front()
            && *sequence <= self.visible
            && let Some((sequence, subject)) = self.plans.ending.pop_front()
        {
            self.remove_older_of(&subject, sequence, removed);
        }
    }

    /// Publishes what is due.
    pub(super) fn fire_plans(&mut self, now: Now, random: u32, is_wanted: &dyn Fn(&[u8]) -> bool) {
        for _ in 0..FIRED_MAX {
            let Some((plan, at_ns)) = self.plans.take_due(now.unix_ns, self.visible) else {
                return;
            };
            let Some(fired) = self.fire(now, plan, at_ns) else { continue };
            let transform = self.subject_transform.as_ref();
            let transformed = transform.and_then(|one| one.apply(&fired.target, random));
            let subject = transformed.unwrap_or(fired.target);
            if let Err(error) =
                self.publish_own(now, &subject, &fired.headers, &fired.payload, is_wanted)
            {
                tracing::error!(
                    "stream {}: what is scheduled by message {plan} cannot be stored: {error}",
                    self.name
                );
                self.plans.set(plan, now.unix_ns.saturating_add(AGAIN_NS));
                continue;
            }
            match fired.next_unix_ns {
                Some(next) => self.plans.set(plan, next),
                None => {
                    let sequence = self.store.last_sequence();
                    self.plans.ending.push_back((sequence, fired.scheduler.into()));
                }
            }
        }
    }

    /// When the next plan fires, in nanoseconds since 1970.
    pub(super) fn next_plan_unix_ns(&self) -> Option<i64> {
        self.plans.next(self.visible)
    }

    /// What a plan publishes whose time has come. `None`: it is gone, or replaced.
    fn fire(&self, now: Now, plan: u64, at_ns: i64) -> Option<Fired> {
        let scheduler = self.store.subject_of(plan)?;
        if self.store.last_of(scheduler) != Some(plan) {
            return None;
        }
        let record = self.record(plan)?;
        let instruction = Instruction::parse(Headers::new(record.headers())).ok()??;
        let source = instruction
            .source
            .and_then(|source| Filters::parse([source]).ok())
            .and_then(|filters| self.store.previous_matching(&filters, self.visible))
            .and_then(|last| self.record(last));
        let next_unix_ns = if instruction.schedule.repeats() {
            instruction.schedule.next(at_ns, now.unix_ns)
        } else {
            None
        };
        let carried = source.as_ref().unwrap_or(&record);
        Some(Fired {
            scheduler: scheduler.to_vec(),
            target: instruction.target.to_vec(),
            headers: instruction.fired_headers(carried.headers(), scheduler, next_unix_ns),
            payload: carried.payload().to_vec(),
            next_unix_ns,
        })
    }
}

/// What a plan publishes.
struct Fired {
    /// The subject of the plan.
    scheduler: Vec<u8>,
    target: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
    /// When it fires again; `None`: it is over.
    next_unix_ns: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_fire_in_order_at_the_time_that_was_set_last() {
        let mut plans = Plans::default();
        plans.set(1, 30);
        plans.set(2, 10);
        plans.set(1, 20);
        plans.set(3, 5);
        plans.times.remove(&3);
        assert_eq!(plans.take_due(9, 3), None);
        assert_eq!(plans.next(3), Some(10));
        assert_eq!(plans.next(1), None);
        assert_eq!(plans.take_due(100, 3), Some((2, 10)));
        assert_eq!(plans.take_due(100, 3), Some((1, 20)));
        assert_eq!(plans.take_due(100, 3), None);
        assert!(plans.times.is_empty() && plans.soonest.is_empty());
    }

    #[test]
    fn what_is_gone_is_forgotten_before_it_is_many() {
        let mut plans = Plans::default();
        for at_ns in 0..10_000 {
            plans.set(1, at_ns);
            assert!(plans.soonest.len() <= GONE_MAX + 2);
        }
        for sequence in 1..=GONE_MAX as u64 + 11 {
            plans.set(sequence, 1);
        }
        plans.tidy_up(5, |sequence| sequence < 3);
        assert_eq!(plans.times.len(), 2);
    }
}
