//! Mirrors: streams that hold what another one holds, with its sequences.

use fulmar_tests::{JetStream, assert_contains, eventually};
use serde_json::{Value, json};

use crate::{SECOND, decoded, start_with, stream};

/// The origin `S` with five messages, the second one deleted.
#[track_caller]
fn start_filled(configuration: Value) -> (fulmar_tests::Server, JetStream) {
    let (server, mut js) = start_with(configuration);
    for (number, subject) in ["s.a", "s.b", "s.a", "s.b", "s.a"].into_iter().enumerate() {
        let id = (number + 1).to_string();
        js.publish_with(subject, &[("Nats-Msg-Id", &id)], &id);
    }
    js.ok("STREAM.MSG.DELETE.S", json!({"seq": 2}));
    (server, js)
}

/// The configuration of the stream `M` that mirrors `S`.
fn mirror(mirror: Value, changes: Value) -> Value {
    let mirror = crate::changed(json!({"name": "S"}), mirror);
    let base = json!({"name": "M", "storage": "memory", "mirror": mirror});
    crate::changed(base, changes)
}

#[test]
fn a_mirror_has_the_messages_and_sequences_of_its_origin() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_filled(json!({"storage": storage}));
        js.stream(mirror(json!({}), json!({"storage": storage})));
        wait_for_sequence(&mut js, 5);
        assert_contains(
            &js.ok("STREAM.INFO.M", json!({"deleted_details": true}))["state"],
            &json!({"messages": 4, "first_seq": 1, "last_seq": 5, "deleted": [2]}),
        );
        for sequence in [1, 3, 4, 5] {
            assert_eq!(js.get("M", sequence)["message"], js.get("S", sequence)["message"]);
        }
        // And what comes later.
        js.publish("s.a", "new");
        wait_for_sequence(&mut js, 6);
    }
}

#[test]
fn the_answer_tells_of_the_origin() {
    let (_server, mut js) = start_filled(json!({}));
    let answer = js.stream(mirror(json!({}), json!({})));
    assert_contains(
        &answer,
        &json!({
            "config": {"subjects": null, "mirror": {"name": "S"}, "duplicate_window": null},
            "mirror": {"name": "S", "lag": 0, "active": -1},
        }),
    );
    wait_for_sequence(&mut js, 5);
    let info = js.stream_info("M");
    assert_contains(&info["mirror"], &json!({"name": "S", "lag": 0, "error": null}));
    assert!(info["mirror"]["active"].as_i64().is_some_and(|active| active >= 0), "{info}");
}

#[test]
fn nothing_can_be_published_to_a_mirror() {
    let (_server, mut js) = start_filled(json!({}));
    js.stream(mirror(json!({}), json!({})));
    assert_eq!(js.request("M", &[], "").status().as_deref(), Some("503"));
}

#[test]
fn a_filter_leaves_out_what_it_does_not_match() {
    let (_server, mut js) = start_filled(json!({}));
    js.stream(mirror(json!({"filter_subject": "s.a"}), json!({})));
    wait_for_sequence(&mut js, 5);
    check_stored(&mut js, &[(1, "s.a"), (3, "s.a"), (5, "s.a")]);
    assert_eq!(js.stream_info("M")["mirror"]["filter_subject"], "s.a");
}

#[test]
fn a_start_leaves_out_what_came_before() {
    let (_server, mut js) = start_filled(json!({}));
    let time = js.get("S", 4)["message"]["time"].take();
    for start in [json!({"opt_start_seq": 4}), json!({"opt_start_time": time})] {
        js.stream(mirror(start, json!({})));
        wait_for_sequence(&mut js, 5);
        check_stored(&mut js, &[(4, "s.b"), (5, "s.a")]);
        js.ok("STREAM.DELETE.M", "");
    }
}

#[test]
fn transforms_change_the_subjects() {
    let (_server, mut js) = start_filled(json!({}));
    let transforms = json!([{"src": "s.a", "dest": "t.first"}, {"src": "s.b", "dest": "t.second"}]);
    js.stream(mirror(json!({"subject_transforms": transforms}), json!({})));
    wait_for_sequence(&mut js, 5);
    check_stored(&mut js, &[(1, "t.first"), (3, "t.first"), (4, "t.second"), (5, "t.first")]);
    // A transform is a filter too.
    let transforms = json!([{"src": "s.b", "dest": "t.$1"}]);
    let answer = js.api(
        "STREAM.CREATE.M2",
        json!({"name": "M2", "mirror": {"name": "S", "subject_transforms": transforms}}),
    );
    assert!(fulmar_tests::error(&answer).starts_with("400 10154 "), "{answer}");
}

#[test]
fn a_mirror_answers_for_its_origin_directly() {
    let (_server, mut js) = start_filled(json!({"allow_direct": true}));
    let answer = js.stream(mirror(json!({}), json!({})));
    assert_eq!(answer["config"]["mirror_direct"], true);
    wait_for_sequence(&mut js, 5);
    // The origin is gone, the mirror still answers for it.
    js.ok("STREAM.DELETE.S", "");
    eventually("an answer of the mirror", || {
        js.request("$JS.API.DIRECT.GET.S", &[], r#"{"seq":3}"#).text() == "3"
    });
    let message = js.request("$JS.API.DIRECT.GET.S.s.b", &[], "");
    assert_eq!(message.text(), "4");
    assert_eq!(message.header("Nats-Stream").as_deref(), Some("M"));
}

#[test]
fn a_mirror_keeps_its_own_limits() {
    let (_server, mut js) = start_filled(json!({}));
    js.stream(mirror(json!({}), json!({"max_msgs": 2})));
    wait_for_sequence(&mut js, 5);
    check_stored(&mut js, &[(4, "s.b"), (5, "s.a")]);
    // A purge of the origin leaves the mirror alone.
    js.ok("STREAM.PURGE.S", "");
    js.publish("s.a", "");
    wait_for_sequence(&mut js, 6);
    check_stored(&mut js, &[(5, "s.a"), (6, "s.a")]);
}

#[test]
fn consumers_of_a_mirror_see_the_sequences_of_the_origin() {
    let (_server, mut js) = start_filled(json!({}));
    js.stream(mirror(json!({}), json!({})));
    wait_for_sequence(&mut js, 5);
    js.consumer("M", json!({"durable_name": "C", "filter_subject": "s.b"}));
    let message = js.next("M", "C");
    assert_eq!((message.text().as_str(), message.delivery().stream_sequence), ("4", 4));
}

#[test]
fn the_origin_may_come_later() {
    let (_server, mut js) = start_with(json!({"name": "T", "subjects": ["t.>"]}));
    js.stream(mirror(json!({}), json!({})));
    js.stream(stream(json!({})));
    js.publish("s.a", "");
    eventually("the mirror to find its origin", || js.state("M")["messages"] == 1);
}

#[test]
fn an_origin_that_is_not_there_is_told_as_an_error() {
    let (_server, mut js) = start_with(json!({"name": "T", "subjects": ["t.>"]}));
    js.stream(mirror(json!({}), json!({})));
    let error = json!({"code": 404, "err_code": 10059, "description": "stream not found"});
    eventually("the error", || js.stream_info("M")["mirror"]["error"] == error);
    assert_eq!(js.stream_info("M")["mirror"]["active"], -1);
}

#[test]
fn a_mirror_begins_with_the_first_message_of_its_origin() {
    let (_server, mut js) = start_filled(json!({}));
    js.ok("STREAM.PURGE.S", json!({"seq": 4}));
    for (mirrored, first) in
        [(json!({"filter_subject": "s.none"}), 4), (json!({"opt_start_seq": 100}), 100)]
    {
        js.stream(mirror(mirrored, json!({})));
        eventually("an empty mirror", || js.state("M")["first_seq"] == first);
        assert_contains(&js.state("M"), &json!({"messages": 0, "last_seq": first - 1}));
        js.ok("STREAM.DELETE.M", "");
    }
}

#[test]
fn an_origin_by_interest_keeps_what_its_mirror_wants() {
    let (_server, mut js) = start_with(json!({"retention": "interest"}));
    js.stream(mirror(json!({"filter_subject": "s.a"}), json!({})));
    eventually("the mirror to be there", || {
        js.stream_info("M")["mirror"]["active"].as_i64() >= Some(0)
    });
    js.publish("s.a", "1");
    js.publish("s.b", "2");
    js.publish("s.a", "3");
    wait_for_sequence(&mut js, 3);
    check_stored(&mut js, &[(1, "s.a"), (3, "s.a")]);
    eventually("an empty origin", || js.state("S")["messages"] == 0);
}

#[test]
fn a_mirror_can_be_promoted() {
    let (_server, mut js) = start_filled(json!({}));
    js.stream(mirror(json!({}), json!({})));
    wait_for_sequence(&mut js, 5);
    js.ok("STREAM.DELETE.S", "");
    js.ok("STREAM.UPDATE.M", json!({"name": "M", "storage": "memory", "subjects": ["s.>"]}));
    let answer = js.put("s.a", &[], "own");
    assert_eq!(answer, json!({"stream": "M", "seq": 6}));
}

#[test]
fn the_origin_tells_of_nobody_who_mirrors_it() {
    let (_server, mut js) = start_filled(json!({}));
    js.stream(mirror(json!({}), json!({})));
    wait_for_sequence(&mut js, 5);
    assert_eq!(js.ok("CONSUMER.NAMES.S", "")["consumers"], json!([]));
    assert_eq!(js.state("S")["consumer_count"], 0);
}

#[test]
fn contradictions_are_refused() {
    let (_server, mut js) = start_filled(json!({"max_msg_size": 100}));
    let transform = |src: &str, dest: &str| json!({"src": src, "dest": dest});
    for (mirrored, changes, expected) in [
        (
            json!({}),
            json!({"subjects": ["x"]}),
            "400 10034 stream mirrors can not contain subjects",
        ),
        (
            json!({}),
            json!({"sources": [{"name": "S"}]}),
            "400 10031 stream mirrors can not also contain other sources",
        ),
        (
            json!({}),
            json!({"first_seq": 5}),
            "400 10143 stream mirrors can not have first sequence configured",
        ),
        (
            json!({"filter_subject": "s.a", "subject_transforms": [transform("s.*", "t.$1")]}),
            json!({}),
            "400 10150 mirror with multiple subject transforms cannot also have a single subject \
             filter",
        ),
        (json!({"name": "a.b"}), json!({}), "400 10142 mirrored stream name is invalid"),
        (json!({"name": ""}), json!({}), "400 10142 mirrored stream name is invalid"),
        (json!({"name": null}), json!({}), "400 10142 mirrored stream name is invalid"),
        (
            json!({}),
            json!({"allow_msg_counter": true}),
            "400 10173 stream mirrors can not also calculate counters",
        ),
        (
            json!({}),
            json!({"allow_atomic": true}),
            "400 10198 stream mirrors can not also use atomic publishing",
        ),
        (
            json!({}),
            json!({"allow_batched": true}),
            "400 10209 stream mirrors can not also use batch publishing",
        ),
        (
            json!({}),
            json!({"allow_msg_schedules": true}),
            "400 10186 stream mirrors can not also schedule messages",
        ),
        (
            json!({}),
            json!({"subject_delete_marker_ttl": SECOND}),
            "500 10052 subject delete markers forbidden on mirrors",
        ),
        (
            json!({"subject_transforms": [transform("s.*", "t"), transform("s.a", "u")]}),
            json!({}),
            "400 10152 mirror subject filters can not overlap",
        ),
        (
            json!({"subject_transforms": [transform("s..", "t")]}),
            json!({}),
            "400 10151 mirror transform source: invalid subject s..",
        ),
        (
            json!({"subject_transforms": [transform("s.*", "t.{{wildcard(3)}}")]}),
            json!({}),
            "400 10154 mirror transform: invalid mapping destination: wildcard index out of range \
             in {{wildcard(3)}}: [3]",
        ),
        (json!({"name": "M"}), json!({}), "500 10052 detected cycle"),
        (
            json!({}),
            json!({"max_msg_size": 10}),
            "400 10030 stream mirror must have max message size >= source",
        ),
    ] {
        js.refused("STREAM.CREATE.M", mirror(mirrored, changes), expected);
    }
}

/// The mirror has got this far.
#[track_caller]
fn wait_for_sequence(js: &mut JetStream, sequence: u64) {
    eventually("the mirror to get this far", || js.state("M")["last_seq"] == sequence);
}

#[track_caller]
fn check_stored(js: &mut JetStream, expected: &[(u64, &str)]) {
    let mut stored = Vec::new();
    for sequence in 1..=10 {
        let answer = js.get("M", sequence);
        if let Some(message) = answer.get("message") {
            stored.push((sequence, message["subject"].as_str().unwrap_or_default().to_owned()));
            let text = decoded(&message["data"]);
            assert!(text.is_empty() || text == sequence.to_string(), "{message}");
        }
    }
    let stored: Vec<(u64, &str)> =
        stored.iter().map(|(sequence, subject)| (*sequence, subject.as_str())).collect();
    assert_eq!(stored, expected);
}
