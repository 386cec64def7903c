//! Streams of counters: what is stored for a message that adds to the number of its subject.
//!
//! The number is that of the last message of the subject, whether it may be shown yet or not:
//! nothing is kept beside the log. What headers and payloads mean is in
//! [`crate::jetstream::counter`].

use fulmar_protocol::headers::Headers;
use num_bigint::BigInt;

use super::Stream;
use super::publish::Changed;
use crate::jetstream::counter::Counter;
use crate::jetstream::error::{self, ApiError};
use crate::jetstream::header_block::HeaderBlock;

impl Stream {
    /// Counts what a client published to `subject`.
    ///
    /// # Errors
    ///
    /// [`error::MESSAGE_COUNTER_BROKEN`]: the last message of the subject is no counter, or cannot
    /// be read.
    pub(super) fn count(
        &self,
        subject: &[u8],
        headers: &[u8],
        increment: &BigInt,
    ) -> Result<Changed, ApiError> {
        let mut counter = self.counter_of(subject)?;
        Ok(Changed::by_counting(&mut counter, headers, increment))
    }

    /// Counts what came from a source, and answers with the headers and the payload to be stored.
    /// `origin` is the stream and the subject it was stored in there: the first and the fifth
    /// field of `Nats-Stream-Source`, which is in `headers`.
    ///
    /// # Errors
    ///
    /// [`error::MESSAGE_COUNTER_BROKEN`]: it, or the last message of the subject, is no counter.
    pub fn count_sourced(
        &self,
        subject: &[u8],
        origin: (&str, &str),
        headers: &[u8],
        payload: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), ApiError> {
        let mut counter = self.counter_of(subject)?;
        let difference = counter.add_source(origin.0, origin.1, payload)?;
        let mut block = HeaderBlock::new(headers);
        counter.write_headers(Some(&difference), &mut block);
        Ok((block.finish(), counter.payload()))
    }

    /// The counter of a subject, by its last message.
    ///
    /// # Errors
    ///
    /// [`error::MESSAGE_COUNTER_BROKEN`]: that is no counter, or cannot be read.
    pub(super) fn counter_of(&self, subject: &[u8]) -> Result<Counter, ApiError> {
        let Some(last) = self.store.last_of(subject) else { return Ok(Counter::default()) };
        match self.store.read_accepted(last) {
            Ok(Some(record)) => Counter::read(Headers::new(record.headers()), record.payload()),
            Ok(None) => Err(error::MESSAGE_COUNTER_BROKEN),
            Err(error) => {
                tracing::error!("stream {}: {error}", self.name);
                Err(error::MESSAGE_COUNTER_BROKEN)
            }
        }
    }
}

impl Changed {
    /// What is stored for a message that adds to `counter`.
    pub(super) fn by_counting(counter: &mut Counter, headers: &[u8], increment: &BigInt) -> Self {
        counter.add(increment);
        let mut block = HeaderBlock::new(headers);
        counter.write_headers(None, &mut block);
        Self {
            headers: block.finish(),
            payload: Some(counter.payload()),
            extra: format!(",\"val\":\"{}\"", counter.total()).into_bytes(),
        }
    }
}
