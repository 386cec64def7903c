//! What a client sends, however its bytes are cut: an operation is the same when it comes whole
//! and when it comes byte by byte, and a wrong byte is found when it comes and not later.
//!
//! The first byte of the input chooses the limits; the rest is what the client sends.

#![no_main]

use fulmar_protocol::client_op::{ClientOp, Limits, Step, parse};
use libfuzzer_sys::fuzz_target;

/// Longer inputs have nothing new in them, and every cut of every operation is tried.
const INPUT_BYTES_MAX: usize = 2_048;

fuzz_target!(|input: &[u8]| {
    let Some((choice, buffer)) = input.split_first() else { return };
    if buffer.len() > INPUT_BYTES_MAX {
        return;
    }
    let limits = match choice % 4 {
        0 => Limits::default(),
        1 => Limits { headers: false, ..Limits::default() },
        2 => Limits { control_line_bytes_max: 16, payload_bytes_max: 8, headers: true },
        _ => Limits { control_line_bytes_max: 1, payload_bytes_max: 0, headers: true },
    };
    let mut rest = buffer;
    loop {
        match parse(rest, &limits) {
            Ok(Step::Op { op, consumed }) => {
                assert!(0 < consumed && consumed <= rest.len());
                check_op(&op, &limits);
                for cut in 0..consumed {
                    check_incomplete(&rest[..cut], consumed, &limits);
                }
                assert_eq!(
                    parse(&rest[..consumed], &limits),
                    Ok(Step::Op { op, consumed }),
                    "what follows changes nothing"
                );
                rest = &rest[consumed..];
            }
            Ok(Step::Incomplete { needed }) => {
                assert!(needed > rest.len());
                for cut in 0..rest.len() {
                    check_incomplete(&rest[..cut], usize::MAX, &limits);
                }
                break;
            }
            Err(error) => {
                let mut cuts = (0..rest.len()).map(|cut| parse(&rest[..cut], &limits));
                let first = cuts.by_ref().find(|step| !matches!(step, Ok(Step::Incomplete { .. })));
                let mut from_there = first.into_iter().chain(cuts);
                assert!(from_there.all(|step| step == Err(error)), "an error stays what it is");
                break;
            }
        }
    }
});

fn check_incomplete(beginning: &[u8], whole_max: usize, limits: &Limits) {
    match parse(beginning, limits) {
        Ok(Step::Incomplete { needed }) => {
            assert!(needed > beginning.len() && needed <= whole_max);
        }
        other => panic!("the beginning {beginning:?} is {other:?}"),
    }
}

fn check_op(op: &ClientOp<'_>, limits: &Limits) {
    let is_word = |bytes: &[u8]| {
        !bytes.is_empty() && !bytes.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    };
    match op {
        ClientOp::Publish(publish) => {
            assert!(is_word(publish.subject) && publish.reply.is_none_or(is_word));
            assert!(publish.body().len() <= limits.payload_bytes_max);
            assert_eq!(publish.body(), [publish.headers, publish.payload].concat());
            assert!(publish.framed.ends_with(b"\r\n"));
            assert!(publish.headers.is_empty() || limits.headers);
        }
        ClientOp::Subscribe { subject, queue, sid } => {
            assert!(is_word(subject) && is_word(sid) && queue.is_none_or(is_word));
            assert!(subject.len() + sid.len() < limits.control_line_bytes_max);
        }
        ClientOp::Unsubscribe { sid, max } => assert!(is_word(sid) && *max != Some(0)),
        ClientOp::Connect(json) => assert!(json.len() <= limits.control_line_bytes_max),
        ClientOp::Ping | ClientOp::Pong | ClientOp::Ignored => {}
    }
}
