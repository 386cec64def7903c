//! Direct get: messages straight to the one who asks, single, in batches and the last of many
//! subjects.

use fulmar_tests::{JetStream, Message};
use serde_json::{Value, json};

use crate::{start_with, stream};

/// A stream with five messages: `s.a`, `s.b`, `s.a`, `s.c.d`, `s.b`, the first with a header.
#[track_caller]
fn start_filled(storage: &str) -> (fulmar_tests::Server, JetStream) {
    let (server, mut js) = start_with(json!({"allow_direct": true, "storage": storage}));
    js.publish_with("s.a", &[("A", "b")], "1");
    for (subject, payload) in [("s.b", "2"), ("s.a", "3"), ("s.c.d", "4"), ("s.b", "5")] {
        js.publish(subject, payload);
    }
    (server, js)
}

#[test]
fn a_message_comes_with_where_it_is_from() {
    let (_server, mut js) = start_filled("memory");
    let message = js.request("$JS.API.DIRECT.GET.S", &[], r#"{"seq":1}"#);
    let time = js.get("S", 1)["message"]["time"].take();
    // There is no status, and its own headers come first.
    assert_eq!(
        String::from_utf8_lossy(&message.headers),
        format!(
            "NATS/1.0\r\nA: b\r\nNats-Stream: S\r\nNats-Subject: s.a\r\nNats-Sequence: 1\r\n\
             Nats-Time-Stamp: {}\r\n\r\n",
            time.as_str().unwrap()
        )
    );
    assert_eq!((message.text().as_str(), message.reply.as_deref()), ("1", None));
    assert!(message.subject.starts_with("_INBOX."), "{}", message.subject);
}

#[test]
fn messages_are_got_by_sequence_subject_and_time() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_filled(storage);
        for (request, expected) in [
            (json!({"seq": 1}), "1"),
            (json!({"seq": 4}), "4"),
            (json!({"last_by_subj": "s.a"}), "3"),
            (json!({"last_by_subj": "s.*"}), "5"),
            (json!({"last_by_subj": "s.*.d"}), "4"),
            (json!({"next_by_subj": "s.b"}), "2"),
            (json!({"next_by_subj": "s.b", "seq": 3}), "5"),
            (json!({"next_by_subj": "s.*"}), "1"),
            (json!({"next_by_subj": "s.*.*", "seq": 2}), "4"),
            (json!({"start_time": "2020-01-01T00:00:00Z"}), "1"),
            (json!({"start_time": "2020-01-01T00:00:00Z", "next_by_subj": "s.b"}), "2"),
            // Unknown fields are ignored here.
            (json!({"seq": 2, "unheard_of": 1}), "2"),
            (json!({"seq": 2, "max_bytes": 1}), "2"),
        ] {
            let message = get(&mut js, &request);
            assert_eq!(message.text(), expected, "{storage} {request}");
            assert_eq!(message.header("Nats-Sequence").as_deref(), Some(expected));
        }
    }
}

#[test]
fn the_subject_may_stand_in_the_request_subject() {
    let (_server, mut js) = start_filled("memory");
    for (subject, expected) in
        [("s.a", "3"), ("s.c.d", "4"), ("s.b", "5"), ("s.*", "5"), ("s.>", "5")]
    {
        let message = js.request(&format!("$JS.API.DIRECT.GET.S.{subject}"), &[], "");
        assert_eq!(message.text(), expected, "{subject}");
    }
    for (subject, body, expected) in [
        ("s.none", "", "404 Message Not Found"),
        ("s.a", "x", "408 Malformed Request"),
        ("s.a", r#"{"seq":1}"#, "408 Bad Request"),
    ] {
        let message = js.request(&format!("$JS.API.DIRECT.GET.S.{subject}"), &[], body);
        assert_eq!(message.status().as_deref(), Some(expected), "{subject} {body}");
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let (_server, mut js) = start_filled("memory");
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 2}));
    for request in [
        json!({"seq": 2}),
        json!({"seq": 100}),
        json!({"last_by_subj": "s.none"}),
        json!({"next_by_subj": "s.a", "seq": 4}),
        json!({"start_time": "2100-01-01T00:00:00Z"}),
        json!({"seq": 100, "batch": 10}),
        json!({"next_by_subj": "s.none", "batch": 2}),
    ] {
        let message = get(&mut js, &request);
        assert_eq!(message.headers, b"NATS/1.0 404 Message Not Found\r\n\r\n", "{request}");
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (_server, mut js) = start_filled("memory");
    for (request, expected) in [
        ("", "408 Empty Request"),
        ("{}", "408 Empty Request"),
        (r#"{"seq":0}"#, "408 Empty Request"),
        (r#"{"batch":2}"#, "408 Empty Request"),
        (r#"{"multi_last":[]}"#, "408 Empty Request"),
        (r#"{"unheard_of":1}"#, "408 Empty Request"),
        ("{", "408 Malformed Request"),
        ("x", "408 Malformed Request"),
        (r#"{"seq":"1"}"#, "408 Malformed Request"),
        (r#"{"seq":-1}"#, "408 Malformed Request"),
        (r#"{"seq":1,"last_by_subj":"s.a"}"#, "408 Bad Request"),
        (r#"{"seq":1,"start_time":"2020-01-01T00:00:00Z"}"#, "408 Bad Request"),
        (r#"{"last_by_subj":"s.a","next_by_subj":"s.a"}"#, "408 Bad Request"),
        (r#"{"last_by_subj":"s.a","batch":2}"#, "408 Bad Request"),
        (r#"{"multi_last":["s.a"],"last_by_subj":"s.a"}"#, "408 Bad Request"),
        (r#"{"multi_last":["s.a"],"next_by_subj":"s.a"}"#, "408 Bad Request"),
        (
            r#"{"multi_last":["s.a"],"up_to_seq":1,"up_to_time":"2100-01-01T00:00:00Z"}"#,
            "408 Bad Request",
        ),
    ] {
        let message = js.request("$JS.API.DIRECT.GET.S", &[], request);
        assert_eq!(message.status().as_deref(), Some(expected), "{request}");
    }
}

#[test]
fn without_leave_nobody_answers() {
    let (_server, mut js) = start_with(json!({}));
    js.publish("s.a", "1");
    for subject in ["$JS.API.DIRECT.GET.S", "$JS.API.DIRECT.GET.S.s.a", "$JS.API.DIRECT.GET.T"] {
        let message = js.request(subject, &[], r#"{"seq":1}"#);
        assert_eq!(message.status().as_deref(), Some("503"), "{subject}");
    }
    js.ok("STREAM.UPDATE.S", stream(json!({"allow_direct": true})));
    assert_eq!(get(&mut js, &json!({"seq": 1})).text(), "1");
    js.ok("STREAM.UPDATE.S", stream(json!({})));
    assert_eq!(get(&mut js, &json!({"seq": 1})).status().as_deref(), Some("503"));
}

#[test]
fn without_headers_there_are_none_at_all() {
    let (_server, mut js) = start_filled("memory");
    let message = get(&mut js, &json!({"seq": 1, "no_hdr": true}));
    assert_eq!((&message.headers[..], message.text().as_str()), (&b""[..], "1"));
    let messages = batch(&mut js, &json!({"seq": 1, "batch": 2, "no_hdr": true}));
    assert_eq!((&messages[0].headers[..], &messages[1].headers[..]), (&b""[..], &b""[..]));
}

#[test]
fn a_batch_tells_what_is_left_and_ends_with_204() {
    let (_server, mut js) = start_filled("memory");
    let messages = batch(&mut js, &json!({"seq": 1, "batch": 3}));
    check_messages(&messages, &[(1, 4, 0), (2, 3, 1), (3, 2, 2)]);
    let end = messages.last().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&end.headers),
        "NATS/1.0 204 EOB\r\nNats-Num-Pending: 2\r\nNats-Last-Sequence: 3\r\n\r\n"
    );
    assert_eq!(end.text(), "");
}

#[test]
fn a_batch_is_what_its_request_says() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_filled(storage);
        for (request, expected) in [
            (
                json!({"seq": 1, "batch": 10}),
                &[(1, 4, 0), (2, 3, 1), (3, 2, 2), (4, 1, 3), (5, 0, 4)][..],
            ),
            (json!({"seq": 4, "batch": 10}), &[(4, 1, 0), (5, 0, 4)]),
            (json!({"next_by_subj": "s.a", "batch": 10}), &[(1, 1, 0), (3, 0, 1)]),
            (json!({"next_by_subj": "s.b", "seq": 3, "batch": 10}), &[(5, 0, 0)]),
            (json!({"next_by_subj": "s.*", "batch": 2}), &[(1, 3, 0), (2, 2, 1)]),
            (json!({"start_time": "2020-01-01T00:00:00Z", "batch": 2}), &[(1, 4, 0), (2, 3, 1)]),
            // At least one message, however small the largest size.
            (json!({"seq": 4, "batch": 10, "max_bytes": 1}), &[(4, 1, 0)]),
        ] {
            let messages = batch(&mut js, &request);
            check_messages(&messages, expected);
        }
    }
}

#[test]
fn a_batch_can_be_continued_where_it_ended() {
    let (_server, mut js) = start_filled("memory");
    let mut all = Vec::new();
    let mut next = 1;
    loop {
        let messages = batch(&mut js, &json!({"seq": next, "batch": 2}));
        let end = messages.last().unwrap();
        all.extend(messages[..messages.len() - 1].iter().map(Message::text));
        next = number(end, "Nats-Last-Sequence") + 1;
        if number(end, "Nats-Num-Pending") == 0 {
            break;
        }
    }
    assert_eq!(all, ["1", "2", "3", "4", "5"]);
}

#[test]
fn deleted_messages_are_left_out_of_a_batch() {
    let (_server, mut js) = start_filled("memory");
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 2}));
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 4}));
    let messages = batch(&mut js, &json!({"seq": 1, "batch": 10}));
    check_messages(&messages, &[(1, 2, 0), (3, 1, 1), (5, 0, 3)]);
    let messages = batch(&mut js, &json!({"seq": 2, "batch": 10}));
    check_messages(&messages, &[(3, 1, 0), (5, 0, 3)]);
}

#[test]
fn the_last_message_of_each_subject_comes_in_order_of_sequence() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_filled(storage);
        for (request, up_to, expected) in [
            (json!({"multi_last": ["s.a", "s.b"]}), "5", &[(3, 1, 0), (5, 0, 3)][..]),
            (json!({"multi_last": ["s.>"]}), "5", &[(3, 2, 0), (4, 1, 3), (5, 0, 4)]),
            (json!({"multi_last": ["s.*"]}), "5", &[(3, 1, 0), (5, 0, 3)]),
            (json!({"multi_last": ["s.none", "s.a"]}), "5", &[(3, 0, 0)]),
            (json!({"multi_last": ["s.>"], "batch": 2}), "5", &[(3, 2, 0), (4, 1, 3)]),
            (json!({"multi_last": ["s.>"], "seq": 4}), "5", &[(4, 1, 0), (5, 0, 4)]),
            (json!({"multi_last": ["s.>"], "up_to_seq": 3}), "3", &[(2, 1, 0), (3, 0, 2)]),
            (
                json!({"multi_last": ["s.>"], "up_to_time": "2100-01-01T00:00:00Z"}),
                "5",
                &[(3, 2, 0), (4, 1, 3), (5, 0, 4)],
            ),
            (json!({"multi_last": ["s.>"], "max_bytes": 1}), "5", &[(3, 2, 0)]),
        ] {
            let messages = batch(&mut js, &request);
            check_messages(&messages, expected);
            let end = messages.last().unwrap();
            assert_eq!(end.header("Nats-UpTo-Sequence").as_deref(), Some(up_to), "{request}");
        }
    }
}

#[test]
fn the_last_messages_up_to_a_time_are_those_before_it() {
    let (_server, mut js) = start_filled("memory");
    let time = js.get("S", 4)["message"]["time"].take();
    let request = json!({"multi_last": ["s.>"], "up_to_time": time});
    let sequences: Vec<_> = batch(&mut js, &request)
        .iter()
        .filter_map(|message| message.header("Nats-Sequence"))
        .collect();
    assert_eq!(sequences, ["2", "3"]);
}

#[test]
fn no_subject_that_has_a_message_is_no_result() {
    let (_server, mut js) = start_filled("memory");
    for request in [
        json!({"multi_last": ["s.none"]}),
        json!({"multi_last": ["s.none"], "batch": 5}),
        json!({"multi_last": ["s.>"], "up_to_time": "2020-01-01T00:00:00Z"}),
    ] {
        let message = get(&mut js, &request);
        assert_eq!(message.headers, b"NATS/1.0 404 No Results\r\n\r\n", "{request}");
    }
}

#[test]
fn more_than_1024_subjects_are_too_many() {
    let (_server, mut js) = start_with(json!({"allow_direct": true}));
    for number in 1..1_024 {
        js.send(&format!("s.{number}"), "", &[], "");
    }
    js.publish("s.1024", "");
    let messages = batch(&mut js, &json!({"multi_last": ["s.*"]}));
    assert_eq!(messages.len(), 1_024 + 1);
    js.publish("s.1025", "");
    let message = get(&mut js, &json!({"multi_last": ["s.*"]}));
    assert_eq!(message.headers, b"NATS/1.0 413 Too Many Results\r\n\r\n");
}

#[test]
fn a_publisher_reads_its_own_writes() {
    let (_server, mut js) = start_with(json!({"allow_direct": true, "max_msgs_per_subject": 1}));
    for number in 0..50 {
        js.publish("s.key", number.to_string());
        assert_eq!(get(&mut js, &json!({"last_by_subj": "s.key"})).text(), number.to_string());
    }
}

#[test]
fn an_empty_message_has_headers_all_the_same() {
    let (_server, mut js) = start_with(json!({"allow_direct": true}));
    js.publish("s.a", "");
    let message = get(&mut js, &json!({"seq": 1}));
    assert_eq!(message.header("Nats-Subject").as_deref(), Some("s.a"));
    assert_eq!(message.text(), "");
}

#[track_caller]
fn get(js: &mut JetStream, request: &Value) -> Message {
    js.request("$JS.API.DIRECT.GET.S", &[], request.to_string())
}

/// All messages of a batch, up to and with the one that ends it.
#[track_caller]
fn batch(js: &mut JetStream, request: &Value) -> Vec<Message> {
    let answers = js.start_request("$JS.API.DIRECT.GET.S", &[], request.to_string());
    let mut messages = Vec::new();
    loop {
        let message = js.receive(&answers);
        let status = message.status();
        messages.push(message);
        match status.as_deref() {
            None => {}
            Some("204 EOB") => return messages,
            Some(status) => panic!("{status} to {request}"),
        }
    }
}

/// The messages of a batch are these: sequence, how many are left, the sequence before; and the
/// end says the same as the last one.
#[track_caller]
fn check_messages(messages: &[Message], expected: &[(u64, u64, u64)]) {
    let (end, messages) = messages.split_last().expect("a batch ends");
    let found: Vec<_> = messages
        .iter()
        .map(|message| {
            let sequence = number(message, "Nats-Sequence");
            assert_eq!(message.text(), sequence.to_string());
            (sequence, number(message, "Nats-Num-Pending"), number(message, "Nats-Last-Sequence"))
        })
        .collect();
    assert_eq!(found, expected);
    let (last, pending, _) = *expected.last().expect("some messages");
    assert_eq!(number(end, "Nats-Last-Sequence"), last);
    assert_eq!(number(end, "Nats-Num-Pending"), pending);
}

#[track_caller]
fn number(message: &Message, header: &str) -> u64 {
    let text = message.header(header).unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("{header}: {text:?}"))
}
