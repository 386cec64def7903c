//! What of the unsent bytes of a lost connection goes to the next one.
//!
//! Only messages go: subscriptions are made again from the table, and answers to PINGs of a lost
//! connection will not come. A message whose bytes were all written is not sent again (it may
//! have arrived, and NATS delivers at most once); one that was cut off did not arrive.

use fulmar_protocol::client_op::{ClientOp, Limits, Step, parse};

/// Appends to `kept` the whole messages of `bytes` that end after the first `written` bytes and
/// have no more than `payload_bytes_max` bytes of headers and payload. Returns how many were
/// larger.
///
/// `bytes` are whole operations as `fulmar_protocol::encode` writes them.
pub(crate) fn keep_messages(
    bytes: &[u8],
    written: usize,
    payload_bytes_max: usize,
    kept: &mut Vec<u8>,
) -> u64 {
    // The limits are those of a server. What is read here was checked when it was written.
    let limits =
        Limits { control_line_bytes_max: usize::MAX, payload_bytes_max: usize::MAX, headers: true };
    let mut too_large = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Ok(Step::Op { op, consumed }) = parse(&bytes[at..], &limits) else {
            debug_assert!(false, "the outgoing buffer holds a broken operation");
            break;
        };
        let operation = &bytes[at..at + consumed];
        at += consumed;
        match op {
            _ if at <= written => {}
            ClientOp::Publish(publish) if publish.body().len() > payload_bytes_max => {
                too_large += 1
            }
            ClientOp::Publish(_) => kept.extend_from_slice(operation),
            _ => {}
        }
    }
    too_large
}

#[cfg(test)]
mod tests {
    use fulmar_protocol::encode;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Publish { payload: Vec<u8>, headers: bool },
        Subscribe,
        Unsubscribe,
        Ping,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (proptest::collection::vec(any::<u8>(), 0..20), any::<bool>())
                .prop_map(|(payload, headers)| Op::Publish { payload, headers }),
            1 => Just(Op::Subscribe),
            1 => Just(Op::Unsubscribe),
            1 => Just(Op::Ping),
        ]
    }

    fn encoded(op: &Op) -> Vec<u8> {
        let mut out = Vec::new();
        match op {
            Op::Publish { payload, headers: true } => {
                encode::publish_with_headers(&mut out, b"a", None, b"NATS/1.0\r\n\r\n", payload);
            }
            Op::Publish { payload, headers: false } => {
                encode::publish(&mut out, b"a.b", Some(b"r"), payload);
            }
            Op::Subscribe => encode::subscribe(&mut out, b"a", None, b"1"),
            Op::Unsubscribe => encode::unsubscribe(&mut out, b"1", Some(3)),
            Op::Ping => out.extend_from_slice(b"PING\r\n"),
        }
        out
    }

    proptest! {
        #[test]
        fn what_was_not_written_whole_is_kept(
            ops in proptest::collection::vec(op(), 0..12), cut in 0usize..200, limit in 0usize..40,
        ) {
            let whole: Vec<u8> = ops.iter().flat_map(encoded).collect();
            let written = cut.min(whole.len());
            let (mut end, mut expected, mut expected_too_large) = (0, Vec::new(), 0);
            for op in &ops {
                let bytes = encoded(op);
                end += bytes.len();
                if let Op::Publish { payload, headers } = op && end > written {
                    if payload.len() + if *headers { 12 } else { 0 } > limit {
                        expected_too_large += 1;
                    } else {
                        expected.extend(bytes);
                    }
                }
            }
            let mut kept = Vec::new();
            prop_assert_eq!(keep_messages(&whole, written, limit, &mut kept), expected_too_large);
            prop_assert_eq!(kept, expected);
        }
    }
}
