//! Creating streams: what a configuration becomes and which ones are refused.

use fulmar_tests::{JetStream, assert_contains, error};
use serde_json::{Value, json};

use crate::{SECOND, start, start_with, stream};

#[test]
fn the_answer_describes_the_stream_with_all_defaults() {
    let (_server, mut js) = start();
    let mut answer = js.ok("STREAM.CREATE.ORDERS", json!({"name": "ORDERS"}));
    for time in ["created", "ts"] {
        let text = answer[time].take();
        assert!(text.as_str().is_some_and(|text| text.ends_with('Z')), "{time}: {text}");
    }
    assert_eq!(
        answer,
        json!({
            "type": "io.nats.jetstream.api.v1.stream_create_response",
            "config": {
                "name": "ORDERS", "subjects": ["ORDERS"], "retention": "limits",
                "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
                "max_msgs_per_subject": -1, "max_msg_size": -1, "discard": "old",
                "storage": "file", "num_replicas": 1, "duplicate_window": 120 * SECOND,
                "compression": "none", "allow_direct": false, "mirror_direct": false,
                "sealed": false, "deny_delete": false, "deny_purge": false,
                "allow_rollup_hdrs": false, "consumer_limits": {}, "allow_msg_ttl": false,
                "metadata": {
                    "_nats.level": "5", "_nats.req.level": "0", "_nats.ver": "2.15.1",
                },
            },
            "created": null,
            "state": {
                "messages": 0, "bytes": 0, "first_seq": 0, "first_ts": "0001-01-01T00:00:00Z",
                "last_seq": 0, "last_ts": "0001-01-01T00:00:00Z", "consumer_count": 0,
            },
            "ts": null,
            "did_create": true,
        })
    );
}

#[test]
fn the_answer_is_compact_and_in_the_usual_order() {
    let (_server, mut js) = start();
    let answer = js.request("$JS.API.STREAM.CREATE.S", &[], r#"{"name":"S","subjects":["a.>"]}"#);
    let start = concat!(
        r#"{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{"name":"S","#,
        r#""subjects":["a.\u003e"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"#,
        r#""max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"#,
        r#""discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"#,
    );
    assert!(answer.text().starts_with(start), "{}", answer.text());
    assert!(answer.text().ends_with(r#","did_create":true}"#), "{}", answer.text());
}

#[test]
fn the_same_again_changes_nothing_and_says_created() {
    let (_server, mut js) = start();
    let configuration = stream(json!({"max_msgs": 10, "metadata": {"owner": "tests"}}));
    let first = js.stream(configuration.clone());
    js.publish("s.x", "kept");
    let second = js.stream(configuration);
    assert_eq!(second["did_create"], true);
    assert_eq!(second["created"], first["created"]);
    assert_eq!(js.state("S")["messages"], 1);
}

#[test]
fn what_the_server_answered_is_the_same_configuration() {
    let (_server, mut js) = start();
    let answer = js.stream(stream(json!({"metadata": {"owner": "tests"}})));
    let again = js.stream(answer["config"].clone());
    assert_eq!(again["created"], answer["created"]);
}

#[test]
fn another_configuration_under_the_same_name_is_refused() {
    let (_server, mut js) = start_with(json!({}));
    for changes in [
        json!({"max_msgs": 10}),
        json!({"subjects": ["t.>"]}),
        json!({"storage": "file"}),
        json!({"description": "another"}),
        json!({"metadata": {"owner": "tests"}}),
    ] {
        js.refused(
            "STREAM.CREATE.S",
            stream(changes),
            "400 10058 stream name already in use with a different configuration",
        );
    }
}

#[test]
fn the_name_is_the_one_in_the_subject() {
    let (_server, mut js) = start();
    let mismatch = "400 10056 stream name in subject does not match request";
    js.refused("STREAM.CREATE.A", json!({"name": "B"}), mismatch);
    js.refused("STREAM.CREATE.A", json!({}), mismatch);
    js.refused("STREAM.CREATE.A", json!({"name": ""}), mismatch);
    js.stream(json!({"name": "A"}));
}

#[test]
fn without_subjects_it_stores_what_is_published_to_its_name() {
    let (_server, mut js) = start();
    for (name, subjects) in [("A", json!(null)), ("B", json!([]))] {
        let answer = js.stream(stream(json!({"name": name, "subjects": subjects})));
        assert_eq!(answer["config"]["subjects"], json!([name]));
        assert_eq!(js.publish(name, "x"), 1);
    }
}

#[test]
fn subjects_must_be_valid_and_apart() {
    let (_server, mut js) = start();
    for (subjects, expected) in [
        (json!([""]), "500 10052 invalid subject"),
        (json!(["a..b"]), "500 10052 invalid subject"),
        (json!(["a."]), "500 10052 invalid subject"),
        (json!([".a"]), "500 10052 invalid subject"),
        (json!(["a b"]), "500 10052 invalid subject"),
        (json!(["a.>.b"]), "500 10052 invalid subject"),
        (json!(["a", "b", "a"]), "500 10052 subject \"a\" overlaps with \"a\""),
        (json!(["a.*", "a.b"]), "500 10052 subject \"a.*\" overlaps with \"a.b\""),
        (json!(["a.>", "a.*.c"]), "500 10052 subject \"a.>\" overlaps with \"a.*.c\""),
        (json!([">"]), "500 10052 capturing all subjects requires no-ack to be true"),
    ] {
        check_refused(&mut js, json!({"subjects": subjects}), expected);
    }
    check_config(&mut js, json!({"subjects": ["a*", "b.*.c", "d.>", "\u{fc}ber"]}), json!({}));
}

#[test]
fn subjects_of_the_server_need_no_ack() {
    let (_server, mut js) = start();
    let jetstream = "500 10052 subjects that overlap with jetstream api require no-ack to be true";
    let system = "500 10052 subjects that overlap with system api require no-ack to be true";
    for (subject, expected) in [
        ("$JS.x", jetstream),
        ("$JS.>", jetstream),
        ("$JS.API.>", jetstream),
        ("$JS.ACK.>", jetstream),
        ("$JSC.x", jetstream),
        ("$NRG.x", jetstream),
        ("$SYS.x", system),
        ("$SYS.>", system),
    ] {
        check_refused(&mut js, json!({"subjects": [subject]}), expected);
        check_config(
            &mut js,
            json!({"subjects": [subject], "no_ack": true}),
            json!({"no_ack": true}),
        );
    }
    for subject in ["$JS.EVENT.>", "$JS.EVENT.ADVISORY.x", "$SYS.ACCOUNT.>", "$KV.x", "$O.>"] {
        check_config(&mut js, json!({"subjects": [subject]}), json!({"subjects": [subject]}));
    }
}

#[test]
fn everything_can_be_stored_without_acks() {
    let (_server, mut js) = start_with(json!({"subjects": [">"], "no_ack": true}));
    js.send("anything.at.all", "", &[], "x");
    js.settle();
    fulmar_tests::eventually("a stored message", || js.state("S")["messages"] != 0);
}

#[test]
fn two_streams_do_not_share_a_subject() {
    let (_server, mut js) = start_with(json!({"subjects": ["a.>", "b"]}));
    let overlap = "400 10065 subjects overlap with an existing stream";
    for subjects in
        [json!(["b"]), json!(["c", "a.x"]), json!(["*"]), json!(["a.*"]), json!(["a.>"])]
    {
        js.refused("STREAM.CREATE.T", json!({"name": "T", "subjects": subjects}), overlap);
    }
    js.stream(json!({"name": "T", "subjects": ["a", "b.*", "c.x.c"]}));
}

#[test]
fn enumerations_have_these_names_only() {
    let (_server, mut js) = start();
    for (field, good, bad) in [
        ("storage", &["file", "memory"][..], "disk"),
        ("retention", &["limits", "interest", "workqueue"], "forever"),
        ("discard", &["old", "new"], "none"),
        ("persist_mode", &["default", "async"], "never"),
    ] {
        for value in good {
            check_config(&mut js, json!({field: value, "storage": "file"}), json!({}));
        }
        let refusal = format!("400 10025 invalid JSON: can not unmarshal \"\\\"{bad}\\\"\"");
        check_refused(&mut js, json!({field: bad}), &refusal);
    }
    check_config(&mut js, json!({"compression": "none"}), json!({"compression": "none"}));
    check_config(&mut js, json!({"compression": "s2"}), json!({"compression": "s2"}));
    let refusal = "400 10025 invalid JSON: unknown compression algorithm";
    check_refused(&mut js, json!({"compression": "zip"}), refusal);
}

#[test]
fn limits_below_one_mean_unlimited() {
    let (_server, mut js) = start();
    for field in ["max_msgs", "max_bytes", "max_msgs_per_subject", "max_consumers", "max_msg_size"]
    {
        for (value, expected) in [(0, -1), (-1, -1), (-5, -1), (7, 7)] {
            check_config(&mut js, json!({field: value}), json!({field: expected}));
        }
    }
}

#[test]
fn ages_and_windows_have_bounds() {
    let (_server, mut js) = start();
    for (fields, expected) in [
        (json!({"max_age": -1}), "500 10052 max age can not be negative"),
        (json!({"max_age": 1}), "500 10052 max age needs to be >= 100ms"),
        (json!({"max_age": 99_999_999}), "500 10052 max age needs to be >= 100ms"),
        (json!({"duplicate_window": -1}), "500 10052 duplicates window can not be negative"),
        (json!({"duplicate_window": 1}), "500 10052 duplicates window needs to be >= 100ms"),
        (
            json!({"max_age": SECOND, "duplicate_window": SECOND + 1}),
            "500 10052 duplicates window can not be larger then max age",
        ),
        (
            json!({"subject_delete_marker_ttl": -1}),
            "500 10052 subject delete marker TTL must not be negative",
        ),
        (
            json!({"subject_delete_marker_ttl": SECOND - 1}),
            "500 10052 subject delete marker TTL must be at least 1 second",
        ),
    ] {
        check_refused(&mut js, fields, expected);
    }
    for (fields, window) in [
        (json!({}), 120 * SECOND),
        (json!({"max_age": 100_000_000}), 100_000_000),
        (json!({"max_age": 60 * SECOND}), 60 * SECOND),
        (json!({"max_age": 600 * SECOND}), 120 * SECOND),
        (json!({"duplicate_window": 100_000_000}), 100_000_000),
        (json!({"max_age": SECOND, "duplicate_window": SECOND}), SECOND),
        (json!({"duplicate_window": 1_000 * SECOND}), 1_000 * SECOND),
    ] {
        check_config(&mut js, fields, json!({"duplicate_window": window}));
    }
}

#[test]
fn one_server_keeps_one_replica() {
    let (_server, mut js) = start();
    check_config(&mut js, json!({"num_replicas": 0}), json!({"num_replicas": 1}));
    let alone = "500 10074 replicas > 1 not supported in non-clustered mode";
    check_refused(&mut js, json!({"num_replicas": 2}), alone);
    check_refused(&mut js, json!({"num_replicas": 5}), alone);
    check_refused(&mut js, json!({"num_replicas": 6}), "500 10052 maximum replicas is 5");
    check_refused(
        &mut js,
        json!({"num_replicas": -1}),
        "400 10133 replicas count cannot be negative",
    );
}

#[test]
fn descriptions_and_metadata_have_a_longest() {
    let (_server, mut js) = start();
    let text = |bytes: usize| "x".repeat(bytes);
    check_config(&mut js, json!({"description": text(4_096)}), json!({"description": text(4_096)}));
    check_refused(
        &mut js,
        json!({"description": text(4_097)}),
        "500 10052 stream description is too long, maximum allowed is 4096",
    );
    check_config(&mut js, json!({"metadata": {"k": text(100_000)}}), json!({}));
    check_refused(
        &mut js,
        json!({"metadata": {"key": text(128 * 1_024 - 2)}}),
        "500 10052 stream metadata exceeds maximum size of 131072 bytes",
    );
}

#[test]
fn metadata_of_the_server_is_its_own() {
    let (_server, mut js) = start();
    check_config(
        &mut js,
        json!({"metadata": {"a": "b", "_nats.mine": "c", "_nats.ver": "0", "_nats.level": "9"}}),
        json!({"metadata": {
            "a": "b", "_nats.mine": "c", "_nats.ver": "2.15.1", "_nats.level": "5",
            "_nats.req.level": "0",
        }}),
    );
}

#[test]
fn features_raise_the_level_that_the_stream_requires() {
    let (_server, mut js) = start();
    for (fields, level) in [
        (json!({}), "0"),
        (json!({"allow_direct": true}), "0"),
        (json!({"allow_msg_ttl": true}), "1"),
        (json!({"subject_delete_marker_ttl": SECOND}), "1"),
        (json!({"allow_msg_counter": true}), "2"),
        (json!({"allow_atomic": true}), "2"),
        (json!({"allow_msg_schedules": true}), "2"),
        (json!({"persist_mode": "async", "storage": "file"}), "2"),
        (json!({"allow_batched": true}), "4"),
    ] {
        check_config(&mut js, fields, json!({"metadata": {"_nats.req.level": level}}));
    }
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let (_server, mut js) = start();
    for (fields, expected) in [
        (
            json!({"mirror_direct": true}),
            "500 10052 stream has no mirror but does have mirror direct",
        ),
        (
            json!({"allow_rollup_hdrs": true, "deny_purge": true}),
            "500 10052 roll-ups require the purge permission",
        ),
        (json!({"sealed": true}), "500 10052 stream configuration for create can not be sealed"),
        (
            json!({"discard_new_per_subject": true}),
            "500 10052 discard new per subject requires discard new policy to be set",
        ),
        (
            json!({"discard_new_per_subject": true, "discard": "new"}),
            "500 10052 discard new per subject requires max msgs per subject > 0",
        ),
        (
            json!({"allow_atomic": true, "persist_mode": "async", "storage": "file"}),
            "500 10052 async persist mode is not supported with atomic batch publish",
        ),
        (
            json!({"persist_mode": "async"}),
            "500 10052 async persist mode is only supported on file storage",
        ),
        (
            json!({"allow_msg_counter": true, "retention": "interest"}),
            "500 10052 counter stream can only use limits retention",
        ),
        (
            json!({"allow_msg_counter": true, "retention": "workqueue"}),
            "500 10052 counter stream can only use limits retention",
        ),
        (
            json!({"allow_msg_counter": true, "discard": "new"}),
            "500 10052 counter stream cannot use discard new",
        ),
        (
            json!({"allow_msg_counter": true, "allow_msg_ttl": true}),
            "500 10052 counter stream cannot use message TTLs",
        ),
        (
            json!({"allow_msg_counter": true, "allow_msg_schedules": true}),
            "500 10052 counter stream cannot use message schedules",
        ),
        (
            json!({"allow_msg_schedules": true, "discard": "new"}),
            "500 10052 message scheduling cannot use discard new",
        ),
        (
            json!({"placement": {"preferred": "x"}}),
            "500 10052 preferred server not permitted in placement",
        ),
    ] {
        check_refused(&mut js, fields, expected);
    }
}

#[test]
fn flags_that_need_others_set_them() {
    let (_server, mut js) = start();
    check_config(
        &mut js,
        json!({"subject_delete_marker_ttl": SECOND}),
        json!({
            "subject_delete_marker_ttl": SECOND, "allow_msg_ttl": true, "allow_rollup_hdrs": true,
            "deny_purge": false,
        }),
    );
    check_config(
        &mut js,
        json!({"subject_delete_marker_ttl": SECOND, "deny_purge": true}),
        json!({"allow_rollup_hdrs": true, "deny_purge": false}),
    );
    check_config(&mut js, json!({"allow_msg_schedules": true}), json!({"allow_rollup_hdrs": true}));
}

#[test]
fn direct_get_is_never_turned_on_by_itself() {
    let (_server, mut js) = start();
    check_config(&mut js, json!({"max_msgs_per_subject": 1}), json!({"allow_direct": false}));
    check_config(&mut js, json!({"allow_direct": true}), json!({"allow_direct": true}));
}

#[test]
fn fields_are_kept_as_they_were_given() {
    let (_server, mut js) = start();
    for fields in [
        json!({"no_ack": true}),
        json!({"deny_delete": true, "deny_purge": true}),
        json!({"discard_new_per_subject": true, "discard": "new", "max_msgs_per_subject": 1}),
        json!({"first_seq": 100}),
        json!({"placement": {"cluster": "x", "tags": ["a"]}}),
        json!({"placement": {"cluster": "x"}}),
        json!({"consumer_limits": {"inactive_threshold": SECOND, "max_ack_pending": 5}}),
        json!({"subject_transform": {"src": "s.*", "dest": "t.$1"}}),
        json!({"republish": {"src": "s.>", "dest": "out.>", "headers_only": true}}),
        json!({"persist_mode": "async", "storage": "file"}),
        json!({"allow_batched": true, "allow_atomic": true}),
        json!({"max_msg_size": i32::MAX}),
        json!({"max_msgs": i64::MAX}),
    ] {
        check_config(&mut js, fields.clone(), fields);
    }
    // What says nothing is left out.
    check_config(&mut js, json!({"placement": {}}), json!({"placement": null}));
    check_config(&mut js, json!({"persist_mode": "default"}), json!({"persist_mode": null}));
    check_config(
        &mut js,
        json!({"republish": {"dest": "o.>"}}),
        json!({"republish": {"src": ">"}}),
    );
}

#[test]
fn transforms_must_lead_somewhere() {
    let (_server, mut js) = start();
    for (fields, expected) in [
        (
            json!({"subject_transform": {"src": "s..", "dest": "t"}}),
            "400 10155 stream transform source: invalid subject s..",
        ),
        (
            json!({"subject_transform": {"src": "s.*", "dest": "t.{{wildcard(2)}}"}}),
            "400 10156 stream transform: invalid mapping destination: \
             wildcard index out of range in {{wildcard(2)}}: [2]",
        ),
        (
            json!({"republish": {"src": ">", "dest": "s.x.>"}}),
            "500 10052 stream configuration for republish destination forms a cycle",
        ),
        (
            json!({"republish": {"src": "s.*", "dest": "out.{{wildcard(2)}}"}}),
            "500 10052 stream configuration for republish with transform from 's.*' to \
             'out.{{wildcard(2)}}' not valid",
        ),
    ] {
        check_refused(&mut js, fields, expected);
    }
}

#[test]
fn pedantic_refuses_what_would_be_corrected() {
    let (_server, mut js) = start();
    check_config(&mut js, json!({"pedantic": true}), json!({"pedantic": null}));
    for (fields, expected) in [
        (json!({"max_msgs": -2}), "400 10157 pedantic mode: max_msgs must be set to -1"),
        (json!({"max_bytes": -2}), "400 10157 pedantic mode: max_bytes must be set to -1"),
        (json!({"max_consumers": -2}), "400 10157 pedantic mode: max_consumers must be set to -1"),
    ] {
        check_config(&mut js, fields.clone(), json!({}));
        let Value::Object(mut fields) = fields else { unreachable!() };
        fields.insert("pedantic".to_owned(), json!(true));
        check_refused(&mut js, Value::Object(fields), expected);
    }
}

#[test]
fn wrong_types_are_refused_as_json() {
    let (_server, mut js) = start();
    for (field, value) in [
        ("name", json!(5)),
        ("subjects", json!("s")),
        ("subjects", json!([1])),
        ("storage", json!(1)),
        ("max_msgs", json!("10")),
        ("max_msgs", json!(1.5)),
        ("max_msgs", json!(9_223_372_036_854_775_808_u64)),
        ("max_msg_size", json!(2_147_483_648_u64)),
        ("max_age", json!("1h")),
        ("first_seq", json!(-1)),
        ("metadata", json!({"a": 1})),
        ("metadata", json!(["a"])),
        ("no_ack", json!("true")),
        ("mirror", json!("T")),
        ("sources", json!({"name": "T"})),
        ("placement", json!([])),
        ("unheard_of", json!(1)),
    ] {
        let answer = js.api("STREAM.CREATE.S", stream(json!({field: value})));
        assert!(error(&answer).starts_with("400 10025 invalid JSON: "), "{field}: {answer}");
    }
    js.refused(
        "STREAM.CREATE.S",
        stream(json!({"unheard_of": 1})),
        "400 10025 invalid JSON: json: unknown field \"unheard_of\"",
    );
    assert_eq!(js.ok("STREAM.NAMES", "")["streams"], Value::Null);
}

/// With these fields a stream is created, and its configuration then contains those.
#[track_caller]
fn check_config(js: &mut JetStream, fields: Value, expected: Value) {
    let mut own;
    let js = if fields["storage"] == "file" {
        // nats-server removes a directory later, and then that of the next stream with it.
        own = start();
        &mut own.1
    } else {
        js
    };
    let answer = js.stream(stream(fields));
    assert_contains(&answer["config"], &expected);
    js.ok("STREAM.DELETE.S", "");
}

/// With these fields no stream is created, with these words.
#[track_caller]
fn check_refused(js: &mut JetStream, fields: Value, expected: &str) {
    js.refused("STREAM.CREATE.S", stream(fields), expected);
    js.refused("STREAM.INFO.S", "", "404 10059 stream not found");
}
