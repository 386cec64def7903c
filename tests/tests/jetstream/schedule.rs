//! Messages that are published later, once or again and again.

use fulmar_tests::{JetStream, assert_contains, eventually};
use serde_json::{Value, json};

use crate::{decoded, start_with};

#[track_caller]
fn start_schedules() -> (fulmar_tests::Server, JetStream) {
    start_with(json!({"allow_msg_schedules": true, "allow_msg_ttl": true}))
}

#[test]
fn patterns_are_checked() {
    let (_server, mut js) = start_schedules();
    for pattern in [
        "@at 2100-01-01T00:00:00Z",
        "@every 1h",
        "@every 1s",
        "0 0 12 * * 1",
        "* * * * * *",
        "@hourly",
        "@daily",
        "@midnight",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
    ] {
        js.publish_with("s.plan", &schedule(pattern, &[]), "");
    }
    for pattern in
        ["@at x", "@at", "@every 999ms", "@every x", "* * * * *", "60 * * * * *", "@often", "x"]
    {
        js.put_refused(
            "s.plan",
            &schedule(pattern, &[]),
            "",
            "400 10189 message schedules pattern is invalid",
        );
    }
}

#[test]
fn a_target_is_another_subject_of_the_stream() {
    let (_server, mut js) = start_schedules();
    let invalid = "400 10190 message schedules target is invalid";
    js.put_refused("s.plan", &[("Nats-Schedule", "@every 1h")], "", invalid);
    for target in ["t.x", "s.plan", "s.*", "", "s..a"] {
        let headers = [("Nats-Schedule", "@every 1h"), ("Nats-Schedule-Target", target)];
        js.put_refused("s.plan", &headers, "", invalid);
    }
}

#[test]
fn the_other_headers_are_checked_too() {
    let (_server, mut js) = start_schedules();
    let pattern = "400 10189 message schedules pattern is invalid";
    for (when, header, expected) in [
        ("@every 1h", ("Nats-Schedule-Source", "s.source"), ""),
        (
            "@every 1h",
            ("Nats-Schedule-Source", "s.*"),
            "400 10203 message schedules source is invalid",
        ),
        (
            "@every 1h",
            ("Nats-Schedule-Source", "s.plan"),
            "400 10203 message schedules source is invalid",
        ),
        (
            "@every 1h",
            ("Nats-Schedule-Source", "s.out"),
            "400 10203 message schedules source is invalid",
        ),
        (
            "@every 1h",
            ("Nats-Schedule-Source", "t.x"),
            "400 10203 message schedules source is invalid",
        ),
        ("@every 1h", ("Nats-Schedule-TTL", "1s"), ""),
        (
            "@every 1h",
            ("Nats-Schedule-TTL", "0.1s"),
            "400 10191 message schedules invalid per-message TTL",
        ),
        (
            "@every 1h",
            ("Nats-Schedule-TTL", "x"),
            "400 10191 message schedules invalid per-message TTL",
        ),
        ("@every 1h", ("Nats-Schedule-Rollup", "sub"), ""),
        (
            "@every 1h",
            ("Nats-Schedule-Rollup", "all"),
            "400 10192 message schedules invalid rollup",
        ),
        ("@daily", ("Nats-Schedule-Time-Zone", "Europe/Paris"), ""),
        ("0 0 12 * * *", ("Nats-Schedule-Time-Zone", "America/New_York"), ""),
        (
            "@daily",
            ("Nats-Schedule-Time-Zone", "Mars/Olympus"),
            "400 10223 message schedules time zone is invalid",
        ),
        // Only what repeats by the calendar has a time zone.
        ("@every 1h", ("Nats-Schedule-Time-Zone", "Europe/Paris"), pattern),
        ("@at 2100-01-01T00:00:00Z", ("Nats-Schedule-Time-Zone", "UTC"), pattern),
    ] {
        let answer = js.put("s.plan", &schedule(when, &[header]), "");
        assert_eq!(fulmar_tests::error(&answer), expected, "{when} {header:?}");
    }
}

#[test]
fn the_stream_must_allow_it() {
    let (_server, mut js) = start_with(json!({}));
    js.put_refused(
        "s.plan",
        &schedule("@every 1h", &[]),
        "",
        "400 10188 message schedules is disabled",
    );
}

#[test]
fn a_time_in_the_past_is_now_and_the_plan_is_gone() {
    for storage in ["memory", "file"] {
        let (_server, mut js) = start_with(json!({
            "allow_msg_schedules": true, "allow_msg_ttl": true, "storage": storage,
        }));
        let headers =
            schedule("@at 2020-01-01T00:00:00Z", &[("A", "b"), ("Nats-Schedule-TTL", "1h")]);
        js.publish_with("s.plan", &headers, "body");
        eventually("the message", || js.get("S", 2).get("error").is_none());
        let message = js.get("S", 2)["message"].take();
        assert_eq!(
            (&message["subject"], decoded(&message["data"]).as_str()),
            (&json!("s.out"), "body")
        );
        assert_eq!(
            decoded(&message["hdrs"]),
            "NATS/1.0\r\nA: b\r\nNats-Scheduler: s.plan\r\nNats-Schedule-Next: purge\r\n\
             Nats-TTL: 1h\r\n\r\n"
        );
        eventually("the plan to be gone", || js.state("S")["messages"] == 1);
    }
}

#[test]
fn what_repeats_tells_when_it_comes_again() {
    let (_server, mut js) = start_schedules();
    let plan = js.publish_with("s.plan", &schedule("@every 1s", &[]), "body");
    eventually("two messages", || js.state("S")["messages"] == 3);
    let message = js.get("S", plan + 1)["message"].take();
    let headers = decoded(&message["hdrs"]);
    assert!(
        headers.starts_with("NATS/1.0\r\nNats-Scheduler: s.plan\r\nNats-Schedule-Next: 20"),
        "{headers}"
    );
    // The plan stays, as the only message of its subject.
    let stored = js.get("S", plan)["message"].take();
    assert_contains(&stored, &json!({"subject": "s.plan"}));
    assert_eq!(
        decoded(&stored["hdrs"]),
        "NATS/1.0\r\nNats-Schedule: @every 1s\r\nNats-Schedule-Target: s.out\r\n\
         Nats-Rollup: sub\r\n\r\n"
    );
}

#[test]
fn a_new_plan_replaces_the_old_one() {
    let (_server, mut js) = start_schedules();
    js.publish_with("s.plan", &schedule("@every 1s", &[]), "old");
    js.publish_with("s.plan", &schedule("@at 2100-01-01T00:00:00Z", &[]), "new");
    assert_contains(&js.state("S"), &json!({"messages": 1, "first_seq": 2}));
}

#[test]
fn what_is_published_may_be_the_last_of_another_subject() {
    let (_server, mut js) = start_schedules();
    js.publish_with("s.source", &[("C", "d")], "old");
    js.publish_with("s.source", &[("C", "d")], "latest");
    let headers = schedule("@at 2020-01-01T00:00:00Z", &[("Nats-Schedule-Source", "s.source")]);
    js.publish_with("s.plan", &headers, "not this");
    eventually("the message", || js.get("S", 4).get("error").is_none());
    let message = js.get("S", 4)["message"].take();
    assert_eq!(decoded(&message["data"]), "latest");
    assert!(decoded(&message["hdrs"]).contains("C: d\r\n"), "{message}");
}

#[test]
fn a_plan_is_cancelled_by_what_takes_its_place() {
    let (_server, mut js) = start_schedules();
    js.publish_with("s.plan", &schedule("@at 2100-01-01T00:00:00Z", &[]), "");
    let headers = [("Nats-Scheduler", "s.plan"), ("Nats-Schedule-Next", "purge")];
    js.publish_with("s.a", &headers, "");
    eventually("the plan to be gone", || js.get("S", 1).get("error").is_some());
    let invalid = "400 10212 message schedules invalid scheduler";
    for headers in [
        &[("Nats-Scheduler", "s.plan")][..],
        &[("Nats-Schedule-Next", "purge")],
        &[("Nats-Scheduler", "s.plan"), ("Nats-Schedule-Next", "2100-01-01T00:00:00Z")],
        &[("Nats-Scheduler", "s.*"), ("Nats-Schedule-Next", "purge")],
        &[("Nats-Scheduler", ""), ("Nats-Schedule-Next", "purge")],
    ] {
        js.put_refused("s.a", headers, "", invalid);
    }
    // Its own subject is not the one.
    js.put_refused("s.plan", &headers, "", invalid);
}

#[test]
fn only_a_plan_can_be_cancelled() {
    let (_server, mut js) = start_schedules();
    js.publish("s.plain", "");
    let headers = |scheduler| [("Nats-Scheduler", scheduler), ("Nats-Schedule-Next", "purge")];
    let invalid = "400 10212 message schedules invalid scheduler";
    js.put_refused("s.a", &headers("s.plain"), "", invalid);
    // Nothing is there.
    js.publish_with("s.a", &headers("s.nothing"), "");
    assert_eq!(js.state("S")["messages"], 2);
}

#[test]
fn whatever_is_published_there_ends_a_plan() {
    let (_server, mut js) = start_schedules();
    js.publish_with("s.plan", &schedule("@every 1s", &[]), "");
    js.publish("s.plan", "no plan");
    let headers = [("Nats-Schedule", "@every 1s"), ("Nats-Schedule-Target", "s.other")];
    js.publish_with("s.another", &headers, "");
    eventually("two messages of the other plan", || js.state("S")["messages"] == 5);
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": "s.plan"}));
    assert_eq!(info["state"]["subjects"], json!({"s.plan": 2}));
}

#[test]
fn a_plan_is_known_after_a_restart() {
    let mut server = fulmar_tests::Server::builder().jetstream().restartable().start();
    let mut js = server.jetstream();
    js.stream(crate::stream(json!({"storage": "file", "allow_msg_schedules": true})));
    js.publish_with("s.plan", &schedule("@every 1s", &[]), "body");
    let past = [("Nats-Schedule", "@at 2020-01-01T00:00:00Z"), ("Nats-Schedule-Target", "s.once")];
    js.publish_with("s.past", &past, "once");
    eventually("the second plan to be gone", || js.get("S", 2).get("error").is_some());
    eventually("the first message", || count_of(&mut js, "s.out") > 0);
    server.restart();
    let mut js = server.jetstream();
    let before = count_of(&mut js, "s.out");
    eventually("two more messages", || count_of(&mut js, "s.out") >= before + 2);
    assert_eq!(count_of(&mut js, "s.once"), 1);
}

#[test]
fn what_is_published_goes_through_the_transform() {
    let (_server, mut js) = start_with(json!({
        "allow_msg_schedules": true, "subject_transform": {"src": "s.*", "dest": "s.new.$1"},
    }));
    js.publish_with("s.plan", &schedule("@at 2020-01-01T00:00:00Z", &[]), "");
    eventually("the message", || count_of(&mut js, "s.new.out") == 1);
    let message = js.get("S", 2)["message"].take();
    assert!(decoded(&message["hdrs"]).contains("Nats-Scheduler: s.new.plan\r\n"), "{message}");
}

/// How many messages of a subject there are.
fn count_of(js: &mut JetStream, subject: &str) -> u64 {
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": subject}));
    info["state"]["subjects"][subject].as_u64().unwrap_or(0)
}

#[test]
fn a_purged_plan_publishes_nothing() {
    let (_server, mut js) = start_schedules();
    js.publish_with("s.plan", &schedule("@every 1s", &[]), "");
    js.ok("STREAM.PURGE.S", "");
    // Another plan shows that the time has passed.
    let headers = [("Nats-Schedule", "@every 1s"), ("Nats-Schedule-Target", "s.other")];
    js.publish_with("s.another", &headers, "");
    eventually("two messages of the other plan", || js.state("S")["messages"] == 3);
    let info = js.ok("STREAM.INFO.S", json!({"subjects_filter": ">"}));
    assert_eq!(info["state"]["subjects"]["s.out"], Value::Null);
}

#[test]
fn a_scheduled_message_is_delivered_to_consumers() {
    let (_server, mut js) = start_schedules();
    js.consumer("S", json!({"durable_name": "C", "filter_subject": "s.out"}));
    js.publish_with("s.plan", &schedule("@at 2020-01-01T00:00:00Z", &[]), "body");
    assert_eq!(js.next("S", "C").text(), "body");
}

fn schedule<'a>(pattern: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("Nats-Schedule", pattern), ("Nats-Schedule-Target", "s.out")], more].concat()
}
