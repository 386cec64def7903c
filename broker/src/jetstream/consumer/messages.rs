//! What a consumer may see of its stream: the messages that cannot disappear in a crash.
//!
//! A trait, so that the consumer knows neither the log nor its index, and so that tests can put a
//! plain list in their place.

use super::Filters;

/// A message as it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Its subject.
    pub subject: &'a [u8],
    /// Its headers with the version line and the empty line behind them, or nothing.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
    /// When it was stored: unix time in nanoseconds.
    pub timestamp_ns: i64,
}

/// The visible part of a stream. Nothing here changes while a call into a consumer lasts.
pub trait Messages {
    /// The first message there is; the one behind the last if there is none; 0 if there never
    /// was any.
    fn first_sequence(&self) -> u64;

    /// The last sequence that was given out and is visible, whether its message is still there
    /// or not.
    fn last_sequence(&self) -> u64;

    /// The first message at or behind `from` that a filter matches.
    fn next_matching(&self, filters: &Filters, from: u64) -> Option<u64>;

    /// How many messages at or behind `from` a filter matches, exactly.
    fn count_matching(&self, filters: &Filters, from: u64) -> u64;

    /// The last message that a filter matches.
    fn last_matching(&self, filters: &Filters) -> Option<u64>;

    /// The last message of each subject that a filter matches, looking at nothing behind
    /// `up_to`, in ascending order.
    fn last_per_subject(&self, filters: &Filters, up_to: u64) -> Vec<u64>;

    /// The first message stored at or after a unix time; the sequence behind the last one if
    /// there is none.
    fn sequence_at_time(&self, unix_ns: i64) -> u64;

    /// Shows the message with a sequence and returns what was made of it; nothing if it was
    /// deleted, or cannot be read for damage. It is shown and not returned because it may have to
    /// be put together first, in a buffer that lasts only as long.
    fn read<R>(&self, sequence: u64, show: impl FnOnce(Delivery<'_>) -> R) -> Option<R>;
}
