//! Messages that a stream takes together, all or none.

use super::context::Context;
use super::publish::read_ack;
use super::{Publish, PublishAck, PublishError, header};
use crate::client::accept_later;
use crate::{HeaderMap, Message, Subject, ToSubject};

/// How many messages a server takes as one batch, unless it is configured otherwise.
pub const BATCH_MESSAGES_MAX: u64 = 1_000;

/// Messages that a stream takes together, all or none; see [`Context::atomic_batch`].
///
/// Dropping it before [`AtomicBatch::commit`] gives them up: the server forgets them after some
/// time.
#[derive(Debug)]
#[must_use = "nothing is stored before `commit`"]
pub struct AtomicBatch {
    context: Context,
    id: String,
    /// How many messages were added.
    count: u64,
}

impl Context {
    /// Begins a batch: messages that a stream takes together, all or none. The stream must
    /// [allow it](super::stream::Config::allow_atomic_publish).
    ///
    /// ```no_run
    /// # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut batch = context.atomic_batch();
    /// batch.add("accounts.joe", "-10").await?;
    /// batch.add("accounts.ann", "+10").await?;
    /// let ack = batch.commit("transfers", "10").await?;
    /// assert_eq!(ack.batch_size, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn atomic_batch(&self) -> AtomicBatch {
        AtomicBatch { context: self.clone(), id: nuid::next().to_string(), count: 0 }
    }
}

impl AtomicBatch {
    /// The number of messages so far.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are no messages yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The id by which the server knows it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Adds a message. Only the first waits for an answer, which says whether the stream takes
    /// batches at all.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]; the batch should be given up then.
    pub async fn add(
        &mut self,
        subject: impl ToSubject,
        publish: impl Into<Publish>,
    ) -> Result<(), PublishError> {
        let subject = subject.to_subject();
        let (headers, publish) = self.next(publish.into(), None, &subject)?;
        if self.count > 1 {
            let client = self.context.client();
            client.publish_with_headers(&subject, headers, publish).await?;
            return Ok(());
        }
        let answer = self.ask(&subject, headers, publish).await?;
        if answer.payload.is_empty() {
            return Ok(());
        }
        // Something was said, and it should have been nothing.
        read_ack(Ok(answer), &subject).map(drop)
    }

    /// Adds the last message and has all of them stored.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]; nothing was stored then, unless no answer came.
    pub async fn commit(
        mut self,
        subject: impl ToSubject,
        publish: impl Into<Publish>,
    ) -> Result<PublishAck, PublishError> {
        self.end(subject.to_subject(), publish.into(), "1").await
    }

    /// Has the messages stored that were added. `subject` is one that the stream listens to:
    /// nothing is stored there.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]; nothing was stored then, unless no answer came.
    pub async fn commit_added(
        mut self,
        subject: impl ToSubject,
    ) -> Result<PublishAck, PublishError> {
        self.end(subject.to_subject(), Publish::new(), "eob").await
    }

    async fn end(
        &mut self,
        subject: Subject,
        publish: Publish,
        how: &str,
    ) -> Result<PublishAck, PublishError> {
        let (headers, payload) = self.next(publish, Some(how), &subject)?;
        let answer = self.ask(&subject, headers, payload).await?;
        read_ack(Ok(answer), &subject)
    }

    /// The next message, with what says that it belongs here.
    fn next(
        &mut self,
        publish: Publish,
        commit: Option<&str>,
        subject: &Subject,
    ) -> Result<(HeaderMap, bytes::Bytes), PublishError> {
        self.count += 1;
        let mut publish = publish
            .header(header::BATCH_ID, &self.id)
            .header(header::BATCH_SEQUENCE, self.count.to_string());
        if let Some(how) = commit {
            publish = publish.header(header::BATCH_COMMIT, how);
        }
        let (headers, payload) = publish.into_parts(subject)?;
        Ok((headers.unwrap_or_default(), payload))
    }

    async fn ask(
        &self,
        subject: &Subject,
        headers: HeaderMap,
        payload: bytes::Bytes,
    ) -> Result<Message, PublishError> {
        let client = self.context.client();
        let timeout = Some(self.context.ack_timeout());
        let answer =
            client.begin_request(subject.as_bytes(), Some(&headers), &payload, timeout, None);
        let answer = match answer.await {
            Ok(answer) => accept_later(answer).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| PublishError::from_request(error, subject))
    }
}
