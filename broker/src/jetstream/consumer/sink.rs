//! What comes out of a consumer. The owner writes it straight into mail.

/// Takes what a consumer produces, in order.
pub trait Sink {
    /// A message for whoever listens to `to`; they see `subject`, and answer to `reply`.
    /// `headers` is a whole header block or empty.
    fn send(
        &mut self,
        to: &[u8],
        subject: &[u8],
        reply: Option<&[u8]>,
        headers: &[u8],
        payload: &[u8],
    );

    /// Whether anybody listens to a subject now.
    fn has_interest(&mut self, subject: &[u8]) -> bool;

    /// Something that happened, for those who watch.
    fn advisory(&mut self, advisory: Advisory<'_>);

    /// The consumer is done with a message: the stream may remove it where its retention says so.
    fn acknowledged(&mut self, sequence: u64);

    /// An empty message to `to`, once the change is kept that
    /// [`Consumer::take_change`](super::Consumer::take_change) returns next, or, if there is
    /// nothing to take, what was taken before: it tells the client that its acknowledgement is
    /// never undone.
    fn reply_when_durable(&mut self, to: &[u8]);
}

/// Something that happened in a consumer. The owner knows which one, and makes JSON of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advisory<'a> {
    /// A message was delivered as often as it may be, and is not delivered any more.
    MaxDeliveries {
        /// Its sequence in the stream.
        stream_sequence: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A client refused a message.
    Naked {
        /// The delivery it refused.
        consumer_sequence: u64,
        /// The message's sequence in the stream.
        stream_sequence: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A message will not be delivered again, because a client said so or it is deleted.
    Terminated {
        /// The delivery it is about.
        consumer_sequence: u64,
        /// The message's sequence in the stream.
        stream_sequence: u64,
        /// How often it was delivered.
        deliveries: u64,
        /// Why, in the client's words; may be empty.
        reason: &'a [u8],
    },
    /// A sampled acknowledgement; a metric.
    Acknowledged {
        /// The delivery it is for.
        consumer_sequence: u64,
        /// The message's sequence in the stream.
        stream_sequence: u64,
        /// Nanoseconds since it was delivered.
        ack_time_ns: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A client has a priority group for itself from now on.
    Pinned {
        /// The group.
        group: &'a str,
        /// What the client must send with its requests.
        pin_id: &'a str,
    },
    /// No client has a priority group for itself any more.
    Unpinned {
        /// The group.
        group: &'a str,
        /// `timeout` or `admin`.
        reason: &'static str,
    },
    /// Delivery was paused, or goes on.
    Paused {
        /// Whether it is paused now.
        paused: bool,
        /// Until when, unix time in nanoseconds.
        until_unix_ns: Option<i64>,
    },
    /// A message is there and cannot be read; it was passed over. nats-server has no word for it.
    Unreadable {
        /// Its sequence in the stream.
        stream_sequence: u64,
    },
}
