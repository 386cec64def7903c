//! Creating consumers: what a configuration becomes and which ones are refused.

use fulmar_tests::{JetStream, assert_contains, error};
use serde_json::{Value, json};

use crate::{MILLISECOND, SECOND, changed, start, start_with, stream};

/// A consumer that messages are pushed to.
fn push(changes: Value) -> Value {
    changed(json!({"deliver_subject": "deliver.here"}), changes)
}

/// A pull consumer with explicit acks.
fn explicit(changes: Value) -> Value {
    changed(json!({"ack_policy": "explicit"}), changes)
}

#[test]
fn the_answer_describes_a_durable_consumer_with_all_defaults() {
    let (_server, mut js) = start_with(json!({}));
    js.publish_numbers("s.a", 2);
    let mut answer = js.consumer("S", json!({"durable_name": "C", "ack_policy": "explicit"}));
    for time in ["created", "ts"] {
        let text = answer[time].take();
        assert!(text.as_str().is_some_and(|text| text.ends_with('Z')), "{time}: {text}");
    }
    assert_eq!(
        answer,
        json!({
            "type": "io.nats.jetstream.api.v1.consumer_create_response",
            "stream_name": "S",
            "name": "C",
            "created": null,
            "config": {
                "durable_name": "C", "name": "C", "deliver_policy": "all",
                "ack_policy": "explicit", "ack_wait": 30 * SECOND, "max_deliver": -1,
                "replay_policy": "instant", "max_waiting": 512, "max_ack_pending": 1_000,
                "num_replicas": 0,
                "metadata": {
                    "_nats.level": "5", "_nats.req.level": "0", "_nats.ver": "2.15.1",
                },
            },
            "delivered": {"consumer_seq": 0, "stream_seq": 0},
            "ack_floor": {"consumer_seq": 0, "stream_seq": 0},
            "num_ack_pending": 0, "num_redelivered": 0, "num_waiting": 0, "num_pending": 2,
            "ts": null,
        })
    );
}

#[test]
fn what_is_said_nothing_about_has_a_default() {
    let (_server, mut js) = start_with(json!({}));
    check_config(
        &mut js,
        json!({}),
        json!({
            "durable_name": null, "name": null, "deliver_policy": "all", "ack_policy": "none",
            "ack_wait": null, "max_deliver": -1, "replay_policy": "instant", "max_waiting": 512,
            "max_ack_pending": null, "inactive_threshold": 5 * SECOND, "num_replicas": 0,
        }),
    );
    check_config(&mut js, json!({"durable_name": "C"}), json!({"inactive_threshold": null}));
    check_config(
        &mut js,
        json!({"ack_policy": "all"}),
        json!({"ack_wait": 30 * SECOND, "max_ack_pending": 1_000}),
    );
    check_config(&mut js, push(json!({})), json!({"max_waiting": null, "max_ack_pending": null}));
    check_config(&mut js, json!({"deliver_policy": "undefined"}), json!({"deliver_policy": "all"}));
}

#[test]
fn fields_are_kept_as_they_were_given() {
    let (_server, mut js) = start_with(json!({}));
    for fields in [
        json!({"description": "x".repeat(4_096), "metadata": {"a": "b"}}),
        explicit(json!({"ack_wait": SECOND, "max_ack_pending": 5, "max_deliver": 3})),
        explicit(json!({"max_ack_pending": -1})),
        explicit(json!({"backoff": [SECOND, 2 * SECOND], "max_deliver": 2})),
        json!({"replay_policy": "original"}),
        json!({"max_waiting": 5}),
        json!({"inactive_threshold": SECOND}),
        json!({"durable_name": "D", "inactive_threshold": SECOND}),
        json!({"headers_only": true, "mem_storage": true, "num_replicas": 1}),
        json!({"sample_freq": "50"}),
        json!({"sample_freq": "50%"}),
        json!({"max_batch": 5, "max_expires": MILLISECOND, "max_bytes": 100}),
        json!({"filter_subject": "s.a"}),
        json!({"filter_subject": "s.>"}),
        json!({"filter_subjects": ["s.a", "s.b.*"]}),
        json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 300}),
        json!({"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}),
        json!({"deliver_policy": "last_per_subject", "filter_subject": "s.*"}),
        json!({"deliver_policy": "last_per_subject", "filter_subjects": ["s.a", "s.b"]}),
        push(json!({"deliver_group": "group", "rate_limit_bps": 1_000})),
        push(json!({"idle_heartbeat": 100 * MILLISECOND, "flow_control": true})),
        json!({"pause_until": "2100-01-01T00:00:00Z"}),
        json!({"priority_policy": "overflow", "priority_groups": ["A", "a-Z_0/9="]}),
        json!({"priority_policy": "prioritized", "priority_groups": ["A"]}),
        json!({
            "priority_policy": "pinned_client", "priority_groups": ["A"],
            "priority_timeout": SECOND,
        }),
    ] {
        check_config(&mut js, fields.clone(), fields);
    }
}

#[test]
fn values_that_mean_nothing_are_replaced() {
    let (_server, mut js) = start_with(json!({}));
    for (fields, expected) in [
        (json!({"max_deliver": 0}), json!({"max_deliver": -1})),
        (json!({"max_deliver": -3}), json!({"max_deliver": -1})),
        (explicit(json!({"max_ack_pending": 0})), json!({"max_ack_pending": 1_000})),
        (json!({"max_waiting": 0}), json!({"max_waiting": 512})),
        (json!({"max_waiting": -1}), json!({"max_waiting": 512})),
        (json!({"inactive_threshold": -1}), json!({"inactive_threshold": 5 * SECOND})),
        (
            json!({"max_batch": -1, "max_expires": -1}),
            json!({"max_batch": null, "max_expires": null}),
        ),
        (explicit(json!({"ack_wait": 5, "backoff": [SECOND]})), json!({"ack_wait": SECOND})),
        (
            json!({"priority_policy": "pinned_client", "priority_groups": ["A"]}),
            json!({"priority_timeout": 120 * SECOND}),
        ),
        (push(json!({"idle_heartbeat": -1})), json!({"idle_heartbeat": null})),
    ] {
        check_config(&mut js, fields, expected);
    }
}

#[test]
fn an_ephemeral_consumer_gets_a_name_of_eight_letters_and_digits() {
    let (_server, mut js) = start_with(json!({}));
    let first = js.consumer("S", json!({}));
    let second = js.consumer("S", json!({}));
    for answer in [&first, &second] {
        let name = answer["name"].as_str().expect("a name");
        assert!(name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
    }
    assert_ne!(first["name"], second["name"]);
}

#[test]
fn names_in_subject_and_configuration_agree() {
    let (_server, mut js) = start_with(json!({}));
    for (path, fields, expected) in [
        (
            "CONSUMER.CREATE.S.C",
            json!({"durable_name": "D"}),
            "400 10017 consumer name in subject does not match durable name in request",
        ),
        (
            "CONSUMER.CREATE.S",
            json!({"durable_name": "D"}),
            "400 10020 consumer expected to be ephemeral but a durable name was set in request",
        ),
        (
            "CONSUMER.DURABLE.CREATE.S.C",
            json!({"durable_name": "D"}),
            "400 10017 consumer name in subject does not match durable name in request",
        ),
        (
            "CONSUMER.DURABLE.CREATE.S.C",
            json!({}),
            "400 10018 consumer expected to be durable but a durable name was not set",
        ),
        (
            "CONSUMER.DURABLE.CREATE.S.C",
            json!({"name": "C"}),
            "400 10018 consumer expected to be durable but a durable name was not set",
        ),
    ] {
        js.refused(path, body("S", fields), expected);
    }
    js.refused(
        "CONSUMER.CREATE.S.C",
        body("T", json!({"name": "C"})),
        "400 10056 stream name in subject does not match request",
    );
    assert_eq!(js.ok("CONSUMER.NAMES.S", "")["consumers"], json!([]));
}

#[test]
fn the_name_may_stand_in_either_place() {
    let (_server, mut js) = start_with(json!({}));
    for (path, fields) in [
        ("CONSUMER.CREATE.S.C", json!({})),
        ("CONSUMER.CREATE.S.C", json!({"name": "C"})),
        // The subject wins.
        ("CONSUMER.CREATE.S.C", json!({"name": "D"})),
        ("CONSUMER.CREATE.S", json!({"name": "C"})),
        ("CONSUMER.CREATE.S.C", json!({"durable_name": "C"})),
        ("CONSUMER.CREATE.S.C", json!({"durable_name": "C", "name": "C"})),
        ("CONSUMER.DURABLE.CREATE.S.C", json!({"durable_name": "C"})),
    ] {
        let answer = js.ok(path, body("S", fields.clone()));
        assert_eq!(answer["name"], "C", "{path} {fields}");
        js.ok("CONSUMER.DELETE.S.C", "");
    }
}

#[test]
fn the_filter_in_the_subject_is_the_one_in_the_request() {
    let (_server, mut js) = start_with(json!({}));
    let mismatch = "400 10131 Consumer create request did not match filtered subject from create \
                    subject";
    let several = "400 10137 consumer with multiple subject filters cannot use subject based API";
    for (filter, fields, expected) in [
        ("s.a", json!({"filter_subject": "s.b"}), mismatch),
        ("s.a", json!({}), mismatch),
        ("s.a.b", json!({"filter_subject": "s.a"}), mismatch),
        ("s.a", json!({"filter_subjects": ["s.a"]}), several),
        ("s.a", json!({"filter_subjects": ["s.a", "s.b"]}), several),
    ] {
        let path = format!("CONSUMER.CREATE.S.C.{filter}");
        js.refused(&path, body("S", changed(fields, json!({"name": "C"}))), expected);
    }
    for filter in ["s.a", "s.*", "s.>", "s.a.b.c"] {
        let fields = json!({"name": "C", "filter_subject": filter});
        let answer = js.ok(&format!("CONSUMER.CREATE.S.C.{filter}"), body("S", fields));
        assert_eq!(answer["config"]["filter_subject"], filter);
        js.ok("CONSUMER.DELETE.S.C", "");
    }
}

#[test]
fn filters_must_be_valid_and_apart() {
    let (_server, mut js) = start_with(json!({}));
    let overlap = "400 10138 consumer subject filters cannot overlap";
    let empty = "400 10139 consumer filter in FilterSubjects cannot be empty";
    for (fields, expected) in [
        (
            json!({"filter_subject": "s.a", "filter_subjects": ["s.b"]}),
            "400 10136 consumer cannot have both FilterSubject and FilterSubjects specified",
        ),
        (json!({"filter_subjects": ["s.a", "s.a"]}), overlap),
        (json!({"filter_subjects": ["s.*", "s.a"]}), overlap),
        (json!({"filter_subjects": ["s.b", "s.a.x", "s.a.>"]}), overlap),
        (json!({"filter_subjects": ["s.a", ""]}), empty),
        (json!({"filter_subjects": [""]}), empty),
        (json!({"filter_subject": "s..a"}), "500 10052 invalid subject"),
    ] {
        js.consumer_refused("S", fields, expected);
    }
    check_config(&mut js, json!({"filter_subjects": []}), json!({"filter_subjects": null}));
    // One that nothing can match is not refused.
    check_config(&mut js, json!({"filter_subject": "t"}), json!({"filter_subject": "t"}));
}

#[test]
fn where_to_start_fits_the_deliver_policy() {
    let (_server, mut js) = start_with(json!({}));
    for (fields, expected) in [
        (
            json!({"deliver_policy": "by_start_sequence"}),
            "deliver by start sequence, but optional start sequence is not set",
        ),
        (
            json!({"deliver_policy": "by_start_sequence", "opt_start_seq": 0}),
            "deliver by start sequence, but optional start sequence is not set",
        ),
        (
            json!({"deliver_policy": "by_start_time"}),
            "deliver by start time, but optional start time is not set",
        ),
        (
            json!({"deliver_policy": "by_start_time", "opt_start_seq": 3}),
            "deliver by start time, but optional start time is not set",
        ),
        (
            json!({"deliver_policy": "last_per_subject"}),
            "deliver last per subject, but optional filter subject is not set",
        ),
        (
            json!({"deliver_policy": "all", "opt_start_seq": 3}),
            "deliver all, but optional start sequence is also set",
        ),
        (
            json!({"deliver_policy": "last", "opt_start_seq": 3}),
            "deliver last, but optional start sequence is also set",
        ),
        (
            json!({"deliver_policy": "new", "opt_start_time": "2020-01-01T00:00:00Z"}),
            "deliver new, but optional start time is also set",
        ),
        (
            json!({
                "deliver_policy": "last_per_subject", "filter_subject": "s.*",
                "opt_start_seq": 1,
            }),
            "deliver last per subject, but optional start sequence is also set",
        ),
    ] {
        let expected = format!("400 10094 consumer delivery policy is {expected}");
        js.consumer_refused("S", fields, &expected);
    }
}

#[test]
fn enumerations_have_these_names_only() {
    let (_server, mut js) = start_with(json!({}));
    for field in ["deliver_policy", "ack_policy", "replay_policy"] {
        js.consumer_refused(
            "S",
            json!({field: "zz"}),
            "400 10025 invalid JSON: can not unmarshal \"\\\"zz\\\"\"",
        );
    }
    js.consumer_refused(
        "S",
        json!({"priority_policy": "zz"}),
        "400 10025 invalid JSON: unknown priority policy: \"zz\"",
    );
    js.refused(
        "CONSUMER.CREATE.S.C",
        json!({"stream_name": "S", "config": {"name": "C"}, "action": "zz"}),
        "400 10025 invalid JSON: unknown consumer action: \"zz\"",
    );
    js.consumer_refused(
        "S",
        json!({"unheard_of": 1}),
        "400 10025 invalid JSON: json: unknown field \"unheard_of\"",
    );
}

#[test]
fn acks_and_redeliveries_have_bounds() {
    let (_server, mut js) = start_with(json!({}));
    for (fields, expected) in [
        (json!({"ack_wait": -1}), "400 10183 consumer ack wait needs to be positive"),
        (json!({"backoff": [-1]}), "400 10184 consumer backoff needs to be positive"),
        (
            json!({"backoff": [SECOND, SECOND], "max_deliver": 1}),
            "400 10116 max deliver is required to be > length of backoff values",
        ),
    ] {
        js.consumer_refused("S", explicit(fields), expected);
    }
}

#[test]
fn push_only_settings_are_refused_for_pull() {
    let (_server, mut js) = start_with(json!({}));
    for (fields, expected) in [
        (
            json!({"idle_heartbeat": SECOND}),
            "400 10088 consumer idle heartbeat requires a push based consumer",
        ),
        (
            json!({"flow_control": true}),
            "400 10089 consumer flow control requires a push based consumer",
        ),
        (
            json!({"rate_limit_bps": 1_000}),
            "400 10086 consumer in pull mode can not have rate limit set",
        ),
        (json!({"direct": true}), "400 10090 consumer direct requires a push based consumer"),
        (
            json!({"ack_policy": "flow_control"}),
            "400 10218 flow control ack policy requires a push based consumer",
        ),
    ] {
        js.consumer_refused("S", fields, expected);
    }
}

#[test]
fn pull_only_settings_are_refused_for_push() {
    let (_server, mut js) = start_with(json!({}));
    for (fields, expected) in [
        (json!({"max_waiting": 5}), "400 10080 consumer in push mode can not set max waiting"),
        (
            json!({"priority_policy": "overflow", "priority_groups": ["A"]}),
            "400 10178 priority groups can not be used with push consumers",
        ),
    ] {
        js.consumer_refused("S", push(fields), expected);
    }
}

#[test]
fn a_deliver_subject_is_one_subject_outside_of_the_stream() {
    let (_server, mut js) = start_with(json!({}));
    for (subject, expected) in [
        ("d.*", "400 10079 consumer deliver subject has wildcards"),
        ("d.>", "400 10079 consumer deliver subject has wildcards"),
        ("s.x", "400 10081 consumer deliver subject forms a cycle"),
        ("d x", "400 10112 invalid push consumer deliver subject"),
        ("d..x", "400 10112 invalid push consumer deliver subject"),
    ] {
        js.consumer_refused("S", json!({"deliver_subject": subject}), expected);
    }
}

#[test]
fn heartbeats_and_flow_control_need_each_other() {
    let (_server, mut js) = start_with(json!({}));
    js.consumer_refused(
        "S",
        push(json!({"idle_heartbeat": 1})),
        "400 10083 consumer idle heartbeat needs to be >= 100ms",
    );
    js.consumer_refused(
        "S",
        push(json!({"flow_control": true})),
        "400 10108 consumer with flow control also needs heartbeats",
    );
    js.consumer_refused(
        "S",
        push(json!({"direct": true, "durable_name": "C"})),
        "400 10091 consumer direct requires an ephemeral consumer",
    );
}

#[test]
fn acks_by_flow_control_allow_no_other_acks() {
    let (_server, mut js) = start_with(json!({}));
    let by_flow_control = |changes| push(changed(json!({"ack_policy": "flow_control"}), changes));
    check_config(
        &mut js,
        by_flow_control(json!({"max_ack_pending": 100})),
        json!({"flow_control": true, "idle_heartbeat": SECOND, "ack_wait": null}),
    );
    for (fields, expected) in [
        (json!({"ack_wait": SECOND}), "400 10221 flow control ack policy requires unset ack wait"),
        (json!({"max_deliver": 5}), "400 10222 flow control ack policy requires unset max deliver"),
    ] {
        js.consumer_refused("S", by_flow_control(fields), expected);
    }
}

#[test]
fn other_settings_have_bounds() {
    let (_server, mut js) = start_with(json!({}));
    for (fields, expected) in [
        (json!({"max_expires": 1}), "400 10115 consumer max request expires needs to be >= 1ms"),
        (json!({"num_replicas": -1}), "400 10133 replicas count cannot be negative"),
        (json!({"num_replicas": 3}), "500 10074 replicas > 1 not supported in non-clustered mode"),
        (
            json!({"description": "x".repeat(4_097)}),
            "400 10107 consumer description is too long, maximum allowed is 4096",
        ),
        (
            json!({"metadata": {"a": "x".repeat(128 * 1_024)}}),
            "400 10135 consumer metadata exceeds maximum size of 128KB",
        ),
    ] {
        js.consumer_refused("S", fields, expected);
    }
    for frequency in ["x", "-1", "5.5"] {
        let answer = js.api("CONSUMER.CREATE.S", body("S", json!({"sample_freq": frequency})));
        let text = error(&answer);
        let start = "400 10095 failed to parse consumer sampling configuration:";
        assert!(text.starts_with(start), "{text}");
    }
}

#[test]
fn priority_groups_go_with_a_policy() {
    let (_server, mut js) = start_with(json!({}));
    let name = "400 10162 Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not \
                exceed 16 characters";
    for (fields, expected) in [
        (
            json!({"priority_policy": "overflow"}),
            "400 10159 Setting PriorityPolicy requires at least one PriorityGroup to be set",
        ),
        (
            json!({"priority_policy": "overflow", "priority_groups": []}),
            "400 10159 Setting PriorityPolicy requires at least one PriorityGroup to be set",
        ),
        (
            json!({"priority_policy": "overflow", "priority_groups": [""]}),
            "400 10161 Group name cannot be an empty string",
        ),
        (json!({"priority_policy": "overflow", "priority_groups": ["a b"]}), name),
        (json!({"priority_policy": "overflow", "priority_groups": ["a.b"]}), name),
        (json!({"priority_policy": "overflow", "priority_groups": ["12345678901234567"]}), name),
        (
            json!({"priority_groups": ["A"]}),
            "400 10196 consumer can not have priority groups when policy is none",
        ),
        (
            json!({"priority_policy": "none", "priority_groups": ["A"]}),
            "400 10196 consumer can not have priority groups when policy is none",
        ),
        (
            json!({"priority_timeout": SECOND}),
            "400 10197 PinnedTTL cannot be set when PriorityPolicy is none",
        ),
    ] {
        js.consumer_refused("S", fields, expected);
    }
}

#[test]
fn names_are_one_token_that_is_no_path() {
    let (_server, mut js) = start_with(json!({}));
    let characters = "500 10052 consumer name can not contain '.', '*', '>', '\\', '/'";
    for name in ["a b", "a*", "a>", "a.b", "a\tb"] {
        js.refused("CONSUMER.CREATE.S", body("S", json!({"name": name})), characters);
    }
    let path = "400 10127 Consumer name can not contain path separators";
    for name in ["a/b", "a\\b", "/", "..\\x"] {
        js.refused("CONSUMER.CREATE.S", body("S", json!({"name": name})), path);
        js.refused(
            &format!("CONSUMER.CREATE.S.{}", name.replace('.', "_")),
            body("S", json!({})),
            path,
        );
    }
    js.consumer("S", json!({"durable_name": "x".repeat(255)}));
    js.consumer_refused(
        "S",
        json!({"durable_name": "x".repeat(256)}),
        "400 10102 consumer name is too long, maximum allowed is 255",
    );
}

#[test]
fn the_stream_must_be_there() {
    let (_server, mut js) = start();
    js.refused(
        "CONSUMER.CREATE.S.C",
        body("S", json!({"name": "C"})),
        "404 10059 stream not found",
    );
    let mismatch = "400 10056 stream name in subject does not match request";
    js.refused("CONSUMER.CREATE.S", "", mismatch);
    js.refused("CONSUMER.CREATE.S", "{}", mismatch);
}

#[test]
fn features_raise_the_level_that_the_consumer_requires() {
    let (_server, mut js) = start_with(json!({}));
    for (fields, level) in [
        (json!({}), "0"),
        (json!({"pause_until": "2100-01-01T00:00:00Z"}), "1"),
        (json!({"priority_policy": "overflow", "priority_groups": ["A"]}), "1"),
        (push(json!({"ack_policy": "flow_control", "max_ack_pending": 10})), "4"),
    ] {
        check_config(&mut js, fields, json!({"metadata": {"_nats.req.level": level}}));
    }
}

#[test]
fn consumers_keep_within_the_limits_of_the_stream() {
    let limits = json!({"max_ack_pending": 10, "inactive_threshold": 60 * SECOND});
    let (_server, mut js) = start_with(json!({"consumer_limits": limits}));
    for name in [json!(null), json!("C")] {
        check_config(
            &mut js,
            explicit(json!({"durable_name": name})),
            json!({"max_ack_pending": 10, "inactive_threshold": 60 * SECOND}),
        );
    }
    js.consumer_refused(
        "S",
        explicit(json!({"max_ack_pending": 11})),
        "400 10121 consumer max ack pending exceeds system limit of 10",
    );
    js.consumer_refused(
        "S",
        json!({"inactive_threshold": 61 * SECOND}),
        "400 10153 consumer inactive threshold exceeds system limit of 1m0s",
    );
}

#[test]
fn create_takes_no_other_consumer_and_update_wants_one() {
    let (_server, mut js) = start_with(json!({}));
    let request = |action: &str, description: &str| {
        json!({
            "stream_name": "S", "action": action,
            "config": {"durable_name": "C", "description": description},
        })
    };
    let path = "CONSUMER.CREATE.S.C";
    js.refused(path, request("update", "one"), "400 10149 consumer does not exist");
    js.ok(path, request("create", "one"));
    js.ok(path, request("create", "one"));
    js.refused(path, request("create", "two"), "400 10148 consumer already exists");
    let answer = js.ok(path, request("update", "two"));
    assert_eq!(answer["config"]["description"], "two");
    let answer = js.ok(path, request("", "three"));
    assert_eq!(answer["config"]["description"], "three");
    assert_eq!(js.consumer_info("S", "C")["config"]["description"], "three");
}

#[test]
fn wrong_types_are_refused_as_json() {
    let (_server, mut js) = start_with(json!({}));
    for (field, value) in [
        ("durable_name", json!(5)),
        ("ack_wait", json!("30s")),
        ("max_deliver", json!(1.5)),
        ("filter_subjects", json!("s.a")),
        ("backoff", json!(SECOND)),
        ("opt_start_seq", json!(-1)),
        ("opt_start_time", json!("yesterday")),
        ("metadata", json!([])),
        ("headers_only", json!(1)),
    ] {
        let answer = js.api("CONSUMER.CREATE.S", body("S", json!({field: value})));
        assert!(error(&answer).starts_with("400 10025 invalid JSON: "), "{field}: {answer}");
    }
}

/// With these fields a consumer is created, and its configuration then contains those.
#[track_caller]
fn check_config(js: &mut JetStream, fields: Value, expected: Value) {
    let answer = js.consumer("S", fields);
    assert_contains(&answer["config"], &expected);
    js.ok(&format!("CONSUMER.DELETE.S.{}", answer["name"].as_str().unwrap_or_default()), "");
}

fn body(stream: &str, configuration: Value) -> Value {
    json!({"stream_name": stream, "config": configuration})
}

#[test]
fn a_consumer_is_of_one_stream() {
    let (_server, mut js) = start_with(json!({}));
    js.stream(stream(json!({"name": "T", "subjects": ["t.>"]})));
    js.consumer("S", json!({"durable_name": "C"}));
    js.refused("CONSUMER.INFO.T.C", "", "404 10014 consumer not found");
    js.consumer("T", json!({"durable_name": "C", "description": "another"}));
    js.ok("CONSUMER.DELETE.S.C", "");
    assert_eq!(js.consumer_info("T", "C")["config"]["description"], "another");
}
