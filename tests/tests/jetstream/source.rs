//! Sources: streams that collect the messages of others, and say where they are from.

use fulmar_tests::{JetStream, assert_contains, eventually, is_fulmar};
use serde_json::{Value, json};

use crate::{decoded, start, stream};

/// The streams `A` for `a.>` and `B` for `b.>`, each with three messages.
#[track_caller]
fn start_filled() -> (fulmar_tests::Server, JetStream) {
    let (server, mut js) = start();
    for (name, letter) in [("A", "a"), ("B", "b")] {
        js.stream(stream(json!({"name": name, "subjects": [format!("{letter}.>")]})));
        for number in 1..=3 {
            js.publish(&format!("{letter}.{}", number % 2), format!("{letter}{number}"));
        }
    }
    (server, js)
}

/// The configuration of the stream `S` with these sources.
fn collecting(sources: Value, changes: Value) -> Value {
    let base = json!({"name": "S", "storage": "memory", "sources": sources});
    crate::changed(base, changes)
}

#[test]
fn the_messages_of_all_sources_are_there_in_their_order() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_filled();
        let answer = js
            .stream(collecting(json!([{"name": "A"}, {"name": "B"}]), json!({"storage": storage})));
        assert_contains(&answer["config"], &json!({"subjects": null, "duplicate_window": null}));
        wait_for_messages(&mut js, 6);
        let all = stored(&mut js);
        for letter in ["a", "b"] {
            let of_one: Vec<_> = all.iter().filter(|text| text.starts_with(letter)).collect();
            assert_eq!(
                of_one,
                [&format!("{letter}1"), &format!("{letter}2"), &format!("{letter}3")]
            );
        }
        // And what comes later.
        js.publish("a.x", "later");
        wait_for_messages(&mut js, 7);
        assert_eq!(stored(&mut js)[6], "later");
    }
}

#[test]
fn each_message_says_where_it_is_from() {
    let (_server, mut js) = start_filled();
    js.publish_with("a.x", &[("C", "d")], "a4");
    let sources = json!([{
        "name": "A", "subject_transforms": [{"src": "a.*", "dest": "new.$1"}],
    }]);
    js.stream(collecting(sources, json!({})));
    wait_for_messages(&mut js, 4);
    let message = js.get("S", 1)["message"].take();
    assert_eq!(message["subject"], "new.1");
    let headers = decoded(&message["hdrs"]);
    // Stream, sequence, filter, destination and the subject it had; then who the stream is.
    let start = "NATS/1.0\r\nNats-Stream-Source: A 1 a.* new.$1 a.1";
    assert!(headers.starts_with(start), "{headers}");
    let identity = headers[start.len()..].trim();
    assert!(identity.len() == 8 || is_fulmar(), "{headers}");
    // After what it had itself.
    let headers = decoded(&js.get("S", 4)["message"]["hdrs"]);
    let start = "NATS/1.0\r\nC: d\r\nNats-Stream-Source: A 4 a.* new.$1 a.x";
    assert!(headers.starts_with(start), "{headers}");
}

#[test]
fn without_filter_and_transform_the_source_says_so() {
    let (_server, mut js) = start_filled();
    js.stream(collecting(json!([{"name": "A"}]), json!({})));
    wait_for_messages(&mut js, 3);
    let headers = decoded(&js.get("S", 1)["message"]["hdrs"]);
    assert!(headers.starts_with("NATS/1.0\r\nNats-Stream-Source: A 1 > > a.1"), "{headers}");
}

#[test]
fn a_filter_leaves_out_what_it_does_not_match() {
    let (_server, mut js) = start_filled();
    js.stream(collecting(json!([{"name": "A", "filter_subject": "a.1"}]), json!({})));
    wait_for_messages(&mut js, 2);
    assert_eq!(stored(&mut js), ["a1", "a3"]);
    let headers = decoded(&js.get("S", 2)["message"]["hdrs"]);
    assert!(headers.contains("Nats-Stream-Source: A 3 a.1 > a.1"), "{headers}");
}

#[test]
fn one_stream_may_be_several_sources() {
    let (_server, mut js) = start_filled();
    let sources = json!([
        {"name": "A", "filter_subject": "a.1"},
        {"name": "A", "filter_subject": "a.0"},
    ]);
    js.stream(collecting(sources, json!({})));
    wait_for_messages(&mut js, 3);
    let mut all = stored(&mut js);
    all.sort();
    assert_eq!(all, ["a1", "a2", "a3"]);
}

#[test]
fn a_start_leaves_out_what_came_before() {
    let (_server, mut js) = start_filled();
    let time = js.get("A", 2)["message"]["time"].take();
    for start in [json!({"opt_start_seq": 2}), json!({"opt_start_time": time})] {
        let source = crate::changed(json!({"name": "A"}), start);
        js.stream(collecting(json!([source]), json!({})));
        wait_for_messages(&mut js, 2);
        assert_eq!(stored(&mut js), ["a2", "a3"]);
        js.ok("STREAM.DELETE.S", "");
    }
}

#[test]
fn it_may_have_subjects_of_its_own() {
    let (_server, mut js) = start_filled();
    js.stream(collecting(json!([{"name": "A"}]), json!({"subjects": ["s.>"]})));
    wait_for_messages(&mut js, 3);
    assert_eq!(js.publish("s.x", "own"), 4);
    js.publish("a.x", "later");
    wait_for_messages(&mut js, 5);
    assert_eq!(stored(&mut js), ["a1", "a2", "a3", "own", "later"]);
}

#[test]
fn info_tells_how_far_each_source_is() {
    let (_server, mut js) = start_filled();
    let sources = json!([{"name": "A", "filter_subject": "a.1"}, {"name": "B"}]);
    js.stream(collecting(sources, json!({})));
    wait_for_messages(&mut js, 5);
    let info = js.stream_info("S");
    let mut told = info["sources"].as_array().expect("a list").clone();
    told.sort_by_key(|source| source["name"].to_string());
    assert_contains(
        &json!(told),
        &json!([
            {"name": "A", "lag": 0, "filter_subject": "a.1", "error": null},
            {"name": "B", "lag": 0, "filter_subject": null, "error": null},
        ]),
    );
    assert!(told.iter().all(|source| source["active"].as_i64() >= Some(0)), "{info}");
}

#[test]
fn sources_are_added_and_removed_by_updates() {
    let (_server, mut js) = start_filled();
    js.stream(collecting(json!([{"name": "A"}]), json!({})));
    wait_for_messages(&mut js, 3);
    js.ok("STREAM.UPDATE.S", collecting(json!([{"name": "A"}, {"name": "B"}]), json!({})));
    wait_for_messages(&mut js, 6);
    js.ok("STREAM.UPDATE.S", collecting(json!([{"name": "B"}]), json!({})));
    js.publish("a.x", "not any more");
    js.publish("b.x", "still");
    wait_for_messages(&mut js, 7);
    assert_eq!(stored(&mut js)[6], "still");
}

#[test]
fn it_goes_on_where_it_was_after_a_restart() {
    let mut server = fulmar_tests::Server::builder().jetstream().restartable().start();
    let mut js = server.jetstream();
    js.stream(stream(json!({"name": "A", "subjects": ["a.>"], "storage": "file"})));
    for number in 1..=3 {
        js.publish("a.x", format!("a{number}"));
    }
    js.stream(collecting(json!([{"name": "A"}]), json!({"storage": "file"})));
    wait_for_messages(&mut js, 3);
    server.signal(rustix::process::Signal::INT);
    server.wait_for_exit();
    server.start_again();
    let mut js = server.jetstream();
    js.publish("a.x", "a4");
    wait_for_messages(&mut js, 4);
    assert_eq!(stored(&mut js), ["a1", "a2", "a3", "a4"]);
}

#[test]
fn a_work_queue_is_emptied_by_the_one_who_collects() {
    let (_server, mut js) = start();
    js.stream(stream(json!({"name": "A", "subjects": ["a.>"], "retention": "workqueue"})));
    js.stream(collecting(json!([{"name": "A"}]), json!({})));
    for number in 1..=3 {
        js.publish("a.x", format!("a{number}"));
    }
    wait_for_messages(&mut js, 3);
    eventually("an empty work queue", || js.state("A")["messages"] == 0);
    assert_eq!(stored(&mut js), ["a1", "a2", "a3"]);
}

#[test]
fn a_work_queue_keeps_what_one_of_two_has_not_collected() {
    let (_server, mut js) = start();
    js.stream(stream(json!({"name": "A", "subjects": ["a.>"], "retention": "workqueue"})));
    js.stream(collecting(json!([{"name": "A"}]), json!({})));
    let full = json!({"name": "T", "discard": "new", "max_msgs": 1});
    js.stream(collecting(json!([{"name": "A"}]), full));
    js.publish("a.x", "a1");
    js.publish("a.x", "a2");
    wait_for_messages(&mut js, 2);
    eventually("one message in the full stream", || js.state("T")["messages"] == 1);
    // What does not fit there is left.
    assert_ne!(js.state("A")["messages"], 0);
    js.ok("STREAM.PURGE.T", "");
    eventually("it to be copied", || js.state("T")["last_seq"] == 2);
    eventually("an empty work queue", || js.state("A")["messages"] == 0);
    assert_eq!(stored(&mut js), ["a1", "a2"]);
}

#[test]
fn ids_are_remembered_if_a_window_says_so() {
    let (_server, mut js) = start();
    js.stream(stream(json!({"name": "A", "subjects": ["a.>"], "duplicate_window": 0})));
    js.stream(stream(json!({"name": "B", "subjects": ["b.>"]})));
    for subject in ["a.x", "b.x"] {
        js.publish_with(subject, &[("Nats-Msg-Id", "one")], "same");
        js.publish(subject, "other");
    }
    let sources = json!([{"name": "A"}, {"name": "B"}]);
    js.stream(collecting(sources.clone(), json!({})));
    wait_for_messages(&mut js, 4);
    js.ok("STREAM.DELETE.S", "");
    js.stream(collecting(sources, json!({"duplicate_window": 60 * crate::SECOND})));
    wait_for_messages(&mut js, 3);
}

#[test]
fn a_rollup_is_one_only_where_it_is_allowed() {
    let (_server, mut js) = start();
    let origin = json!({"name": "A", "subjects": ["a.>"], "allow_rollup_hdrs": true});
    js.stream(stream(origin));
    js.stream(collecting(json!([{"name": "A"}]), json!({})));
    let allowed = json!({"name": "T", "allow_rollup_hdrs": true});
    js.stream(collecting(json!([{"name": "A"}]), allowed));
    js.publish("a.x", "1");
    wait_for_messages(&mut js, 1);
    js.publish_with("a.x", &[("Nats-Rollup", "sub")], "2");
    wait_for_messages(&mut js, 2);
    eventually("the rollup", || js.state("T")["last_seq"] == 2 && js.state("T")["messages"] == 1);
}

#[test]
fn clients_cannot_say_where_a_message_is_from() {
    let (_server, mut js) = start_filled();
    js.put_refused(
        "a.x",
        &[("Nats-Stream-Source", "B 1 > > b.x")],
        "",
        "400 10227 message stream source header is not allowed",
    );
}

#[test]
fn circles_are_refused() {
    let (_server, mut js) = start_filled();
    let cycle = "500 10052 detected cycle";
    js.refused("STREAM.CREATE.S", collecting(json!([{"name": "S"}]), json!({})), cycle);
    js.stream(collecting(json!([{"name": "T"}]), json!({"subjects": ["s.>"]})));
    js.refused(
        "STREAM.CREATE.T",
        json!({"name": "T", "subjects": ["t.>"], "sources": [{"name": "S"}]}),
        cycle,
    );
    js.stream(json!({"name": "T", "subjects": ["t.>"], "sources": [{"name": "U"}]}));
    js.refused(
        "STREAM.CREATE.U",
        json!({"name": "U", "subjects": ["u.>"], "sources": [{"name": "S"}]}),
        cycle,
    );
}

#[test]
fn contradictions_are_refused() {
    let (_server, mut js) = start_filled();
    let transform = |src: &str, dest: &str| json!({"src": src, "dest": dest});
    for (sources, expected) in [
        (
            json!([{"name": "A"}, {"name": "A"}]),
            "400 10140 duplicate source configuration detected",
        ),
        (
            json!([
                {"name": "A", "filter_subject": "a.1"}, {"name": "A", "filter_subject": "a.1"},
            ]),
            "400 10140 duplicate source configuration detected",
        ),
        (json!([{"name": "a.b"}]), "400 10141 sourced stream name is invalid"),
        (json!([{"name": ""}]), "400 10141 sourced stream name is invalid"),
        (
            json!([{
                "name": "A", "filter_subject": "a.1",
                "subject_transforms": [transform("a.*", "t.$1")],
            }]),
            "400 10144 source with multiple subject transforms cannot also have a single subject \
             filter",
        ),
        (
            json!([{"name": "A", "subject_transforms": [transform("a..", "t")]}]),
            "400 10145 source transform source: invalid subject a..",
        ),
        (
            json!([{"name": "A", "subject_transforms": [transform("a.*", "t.{{wildcard(3)}}")]}]),
            "400 10146 source transform: invalid mapping destination: wildcard index out of range \
             in {{wildcard(3)}}: [3]",
        ),
        (
            json!([{
                "name": "A",
                "subject_transforms": [transform("a.*", "t"), transform("a.1", "u")],
            }]),
            "400 10147 source filters can not overlap",
        ),
    ] {
        js.refused("STREAM.CREATE.S", collecting(sources, json!({})), expected);
    }
    js.refused(
        "STREAM.CREATE.S",
        collecting(json!([{"name": "A"}]), json!({"allow_msg_schedules": true})),
        "400 10187 stream source can not also schedule messages",
    );
}

/// The payloads in the stream `S`.
#[track_caller]
fn stored(js: &mut JetStream) -> Vec<String> {
    let last = js.state("S")["last_seq"].as_u64().unwrap_or_default();
    (1..=last).map(|sequence| decoded(&js.get("S", sequence)["message"]["data"])).collect()
}

#[track_caller]
fn wait_for_messages(js: &mut JetStream, count: u64) {
    eventually(&format!("{count} messages"), || js.state("S")["messages"] == count);
}
