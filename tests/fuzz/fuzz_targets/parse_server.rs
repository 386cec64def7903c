//! What a server sends, however its bytes are cut; and what our own encoder writes is read back
//! as it was.

#![no_main]

use fulmar_protocol::encode;
use fulmar_protocol::server_op::{ServerOp, Step, parse};
use libfuzzer_sys::fuzz_target;

/// Longer inputs have nothing new in them, and every cut of every operation is tried.
const INPUT_BYTES_MAX: usize = 2_048;

fuzz_target!(|buffer: &[u8]| {
    if buffer.len() > INPUT_BYTES_MAX {
        return;
    }
    let mut rest = buffer;
    loop {
        match parse(rest) {
            Ok(Step::Op { op, consumed }) => {
                assert!(0 < consumed && consumed <= rest.len());
                for cut in 0..consumed {
                    check_incomplete(&rest[..cut], consumed);
                }
                check_op(&op, rest);
                rest = &rest[consumed..];
            }
            Ok(Step::Incomplete { needed }) => {
                assert!(needed > rest.len());
                for cut in 0..rest.len() {
                    check_incomplete(&rest[..cut], usize::MAX);
                }
                break;
            }
            Err(error) => {
                let mut cuts = (0..rest.len()).map(|cut| parse(&rest[..cut]));
                let first = cuts.by_ref().find(|step| !matches!(step, Ok(Step::Incomplete { .. })));
                let mut from_there = first.into_iter().chain(cuts);
                assert!(from_there.all(|step| step == Err(error)), "an error stays what it is");
                break;
            }
        }
    }
});

fn check_incomplete(beginning: &[u8], whole_max: usize) {
    match parse(beginning) {
        Ok(Step::Incomplete { needed }) => {
            assert!(needed > beginning.len() && needed <= whole_max);
        }
        other => panic!("the beginning {beginning:?} is {other:?}"),
    }
}

fn check_op(op: &ServerOp<'_>, buffer: &[u8]) {
    let ServerOp::Message(message) = op else { return };
    let body = [message.headers, message.payload].concat();
    assert!(buffer[message.body_offset..].starts_with(&body));
    let mut written = Vec::new();
    encode::message(
        &mut written,
        message.subject,
        message.sid,
        message.reply,
        message.headers.len(),
        &body,
    );
    let Ok(Step::Op { op: ServerOp::Message(again), consumed }) = parse(&written) else {
        panic!("{written:?} cannot be read");
    };
    assert_eq!(consumed, written.len());
    assert_eq!(
        (again.subject, again.sid, again.reply, again.headers, again.payload),
        (message.subject, message.sid, message.reply, message.headers, message.payload)
    );
}
