//! What a consumer says about itself.

use super::ledger::Position;
use super::messages::Messages;
use super::pull::Attention;
use super::sink::Sink;
use super::{Consumer, Mode, Side};
use crate::jetstream::time::Now;

/// The numbers of a consumer at one moment, as nats-server's ConsumerInfo has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The last delivery, and the furthest message delivered.
    pub delivered: Position,
    /// When the last delivery was; unix time in nanoseconds.
    pub last_delivery_ns: Option<i64>,
    /// Everything up to here is done with.
    pub ack_floor: Position,
    /// When the last acknowledgement came; unix time in nanoseconds.
    pub last_ack_ns: Option<i64>,
    /// Messages that wait for their acknowledgement.
    pub ack_pending: u64,
    /// Messages delivered more than once and not done with.
    pub redelivered: u64,
    /// Pull requests that wait.
    pub waiting: u64,
    /// Messages still to be delivered for the first time.
    pub pending: u64,
    /// Whether anybody listens to the deliver subject; `false` for a pull consumer.
    pub is_push_bound: bool,
    /// For how long nothing is delivered yet; nothing if it is not paused.
    pub pause_left_ns: Option<u64>,
    /// The priority group, if there is one, and who has it. nats-server knows several groups and
    /// reports the first.
    pub group: Option<PinInfo>,
}

/// A priority group, and who has it for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinInfo {
    /// The group.
    pub group: String,
    /// The client's pin, and since when; unix time in nanoseconds.
    pub pin: Option<(String, i64)>,
}

impl Consumer {
    /// The numbers as they are now. Requests that are over, or that nobody listens for any more,
    /// are ended on the way.
    pub fn info(&mut self, now: Now, messages: &impl Messages, sink: &mut impl Sink) -> Info {
        self.sync(messages);
        let attention = Attention { ends_no_wait: false, checks_interest: true };
        self.attend_requests(now, sink, attention);
        let pause_left_ns = self.pause_left_ns(now);
        let time = |unix_ns: i64| (unix_ns != 0).then_some(unix_ns);
        // With a single delivery nothing is delivered again, although what is over is remembered.
        let is_delivered_once = self.settings.deliveries_max.is_some_and(|max| max.get() == 1);
        let group = match (&self.side, &self.settings.mode) {
            (Side::Pull(pull), Mode::Pull(settings)) => {
                settings.groups.first().map(|group| PinInfo {
                    group: group.to_string(),
                    pin: pull.pin.as_ref().map(|pin| (pin.id.clone(), pin.since_unix_ns)),
                })
            }
            _ => None,
        };
        Info {
            delivered: self.ledger.delivered(),
            last_delivery_ns: time(self.last_delivery_ns),
            ack_floor: self.ledger.floor(),
            last_ack_ns: time(self.last_ack_ns),
            ack_pending: self.ledger.window().len() as u64,
            redelivered: if is_delivered_once { 0 } else { self.ledger.redelivered() as u64 },
            waiting: match &self.side {
                Side::Pull(pull) => pull.requests.len() as u64,
                Side::Push(_) => 0,
            },
            pending: self.backlog.count(),
            is_push_bound: matches!(&self.side, Side::Push(push) if push.is_active),
            pause_left_ns: (pause_left_ns > 0).then_some(pause_left_ns),
            group,
        }
    }
}
