//! Streams and consumers, against a real server.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fulmar_client::jetstream::consumer::{
    AckPolicy, Consumer, DeliverPolicy, MessagesError, PullConsumer, PushConsumer, ordered, pull,
    push,
};
use fulmar_client::jetstream::stream::{self, DirectBatch, DiscardPolicy, Stream};
use fulmar_client::jetstream::{
    AckKind, Context, ContextBuilder, Error, ErrorCode, Publish, PublishError, Rollup, Schedule,
    Timestamp, header,
};
use fulmar_client::{ConnectOptions, HeaderMap};
use futures_util::{StreamExt as _, TryStreamExt as _};
use support::jetstream::{JetStreamServer, all, fill, next_ok, stream, text};
use support::scripted::CuttingProxy;
use support::within;

async fn setup() -> (JetStreamServer, Context) {
    let server = JetStreamServer::start();
    let context = server.context().await;
    (server, context)
}

async fn pull_consumer(stream: &Stream, name: &str) -> PullConsumer {
    let config = pull::Config { durable_name: Some(name.to_owned()), ..Default::default() };
    stream.create_consumer(config).await.expect("it is made")
}

/// Waits until the consumer knows of so many messages: a stream answers to a publisher before
/// its consumers have heard of the message.
async fn pending<T>(consumer: &Consumer<T>, count: u64) {
    within("the consumer knows of the messages", async {
        while consumer.info().await.expect("it is there").num_pending != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Tasks may run on any thread.
#[test]
fn what_moves_between_threads() {
    fn check<T: Send + Unpin>() {}
    check::<fulmar_client::jetstream::PublishAckFuture>();
    check::<fulmar_client::jetstream::Message>();
    check::<fulmar_client::jetstream::Pages<String>>();
    check::<stream::DirectMessages>();
    check::<pull::Stream>();
    check::<pull::Batch>();
    check::<push::Messages>();
    check::<ordered::Messages>();
    check::<fulmar_client::kv::Watch>();
    check::<fulmar_client::object_store::Object>();
    check::<fulmar_client::services::Endpoint>();
    fn check_future<T: Send>(_: impl FnOnce(Context) -> T) {}
    check_future(|context| async move {
        let stream = context.get_stream("S").await?;
        stream.purge().filter("a").await?;
        let consumer: PullConsumer = stream.get_consumer("c").await?;
        drop(consumer.stream().messages().await);
        drop(consumer.fetch().messages().await);
        drop(consumer.next(Duration::ZERO).await);
        drop(stream.ordered(ordered::Config::default()).await);
        drop(context.send_publish("a", Publish::new()).await);
        Ok::<(), Error>(())
    });
    check_future(|context| async move {
        let bucket = context.get_key_value("b").await?;
        bucket.create("k", "v".into()).await?;
        drop(bucket.watch_all().await?);
        drop(bucket.purge_deletes(Duration::ZERO).await);
        Ok::<(), fulmar_client::kv::Error>(())
    });
    check_future(|context| async move {
        let bucket = context.get_object_store("b").await?;
        bucket.put("o", &mut &b"data"[..]).await?;
        drop(bucket.get("o").await?);
        Ok::<(), fulmar_client::object_store::Error>(())
    });
}

/// Waits until everything up to this message is acknowledged: a consumer takes acknowledgements
/// some time after the server has.
async fn acknowledged<T>(consumer: &Consumer<T>, sequence: u64) {
    within("the acknowledgements are taken", async {
        loop {
            let info = consumer.info().await.expect("it is there");
            if (info.num_ack_pending, info.ack_floor.stream_sequence) == (0, sequence) {
                return;
            }
        }
    })
    .await;
}

// --- publishing ---

#[tokio::test]
async fn answers_tell_where_a_message_is() {
    let (_server, context) = setup().await;
    stream(&context, "S", &["a.>"]).await;
    let first = context.publish("a.1", "one".into()).await.unwrap();
    let second = context.publish("a.2", "two".into()).await.unwrap();
    // In any order, and late.
    assert_eq!(second.await.unwrap().sequence, 2);
    let ack = first.await.unwrap();
    assert_eq!((ack.stream.as_str(), ack.sequence, ack.duplicate), ("S", 1, false));
}

#[tokio::test]
async fn a_full_window_empties_itself() {
    let (server, _) = setup().await;
    let context = ContextBuilder::new().max_ack_inflight(3).build(server.client().await);
    stream(&context, "S", &["a"]).await;
    // Nobody looks at the answers, and the window must not stay full.
    let publish = async {
        let mut acks = Vec::new();
        for _ in 0..100 {
            acks.push(context.publish("a", "x".into()).await.unwrap());
        }
        acks
    };
    let acks = within("all messages are sent", publish).await;
    for (number, ack) in (1..).zip(acks) {
        assert_eq!(ack.await.unwrap().sequence, number);
    }
    // Nor when the answers are not wanted at all.
    let publish = async {
        for _ in 0..100 {
            drop(context.publish("a", "x".into()).await.unwrap());
        }
        context.publish("a", "x".into()).await.unwrap().await.unwrap()
    };
    assert_eq!(within("all messages are sent", publish).await.sequence, 201);
}

#[tokio::test]
async fn many_tasks_publish_at_once() {
    let (server, _) = setup().await;
    let context = ContextBuilder::new().max_ack_inflight(50).build(server.client().await);
    let stream = stream(&context, "S", &["a"]).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let context = context.clone();
            tokio::spawn(async move { fill(&context, "a", 500).await })
        })
        .collect();
    for task in tasks {
        within("a task", task).await.unwrap();
    }
    assert_eq!(stream.info().await.unwrap().state.messages, 4_000);
}

#[tokio::test]
async fn no_stream_listens_and_then_one_does() {
    let (_server, context) = setup().await;
    let ack = context.publish("a", "x".into()).await.unwrap();
    let begin = Instant::now();
    let error = within("an answer", ack).await.unwrap_err();
    assert!(matches!(error, PublishError::NoStream { .. }), "{error}");
    assert_eq!(error.to_string(), "cannot publish to a: no stream listens to it");
    // It was tried again, with pauses.
    assert!(begin.elapsed() >= Duration::from_millis(500));

    let ack = context.publish("a", "x".into()).await.unwrap();
    let mut ack = Box::pin(ack);
    // The first answer comes, which says that nobody listens, before there is a stream.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(100) {
        let _ = tokio::time::timeout(Duration::from_millis(20), &mut ack).await;
    }
    stream(&context, "S", &["a"]).await;
    assert_eq!(within("an answer", ack).await.unwrap().sequence, 1);
}

#[tokio::test]
async fn what_a_publisher_may_expect() {
    let (_server, context) = setup().await;
    let config = stream::Config {
        name: "S".to_owned(),
        subjects: vec!["a.>".to_owned()],
        allow_rollup: true,
        allow_message_ttl: true,
        ..Default::default()
    };
    let stream = context.create_stream(config).await.unwrap();
    let send = async |subject: &str, publish: Publish| {
        context.send_publish(subject, publish).await.unwrap().await
    };
    let first = Publish::new().payload("1".into()).message_id("one").expected_stream("S");
    assert!(!send("a.1", first.clone()).await.unwrap().duplicate);
    let again = send("a.1", first).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (1, true));

    let check = async |publish: Publish, code: ErrorCode| {
        let error = send("a.1", publish).await.unwrap_err();
        assert_eq!(error.err_code(), Some(code), "{error}");
    };
    check(Publish::new().expected_stream("T"), ErrorCode::STREAM_NOT_MATCH).await;
    check(Publish::new().expected_last_sequence(7), ErrorCode::STREAM_WRONG_LAST_SEQUENCE).await;
    let wrong = Publish::new().expected_last_message_id("two");
    check(wrong, ErrorCode::STREAM_WRONG_LAST_MSG_ID).await;
    let wrong = Publish::new().expected_last_subject_sequence(0);
    assert!(send("a.1", wrong).await.unwrap_err().is_wrong_last_sequence());

    let right = Publish::new().expected_last_sequence(1).expected_last_message_id("one");
    assert_eq!(send("a.2", right).await.unwrap().sequence, 2);
    let right = Publish::new()
        .expected_last_subject_sequence(2)
        .expected_last_subject_sequence_subject("a.>")
        .ttl(Duration::from_secs(3600));
    assert_eq!(send("a.2", right).await.unwrap().sequence, 3);
    let message = stream.get_message(3).await.unwrap();
    assert_eq!(message.headers.get(header::TTL), Some("3600s"));
    send("a.3", Publish::new().rollup(Rollup::All)).await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);

    let bad = context.send_publish("a.1", Publish::new().message_id("a\nb")).await;
    assert!(matches!(bad.unwrap_err(), PublishError::Header { .. }));
    let bad = context.publish("a b", "x".into()).await;
    assert!(matches!(bad.unwrap_err(), PublishError::Publish(_)));
}

#[tokio::test]
async fn a_stream_that_is_full_refuses() {
    let (_server, context) = setup().await;
    let config = stream::Config {
        max_messages: 1,
        discard: DiscardPolicy::New,
        ..stream::Config::from("S")
    };
    context.create_stream(config).await.unwrap();
    fill(&context, "S", 1).await;
    let error = context.publish("S", "x".into()).await.unwrap().await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::STREAM_STORE_FAILED));
    assert_eq!(error.to_string(), "cannot publish to S: maximum messages exceeded (error 10077)");
}

#[tokio::test]
async fn counters_count() {
    let (_server, context) = setup().await;
    let config = stream::Config {
        subjects: vec!["count.>".to_owned()],
        allow_message_counter: true,
        allow_direct: true,
        ..stream::Config::from("S")
    };
    let stream = context.create_stream(config).await.unwrap();
    let add = async |by: i64| {
        let publish = Publish::new().increment(by);
        context.send_publish("count.a", publish).await.unwrap().await.unwrap()
    };
    assert_eq!(add(5).await.value.as_deref(), Some("5"));
    assert_eq!(add(-7).await.value.as_deref(), Some("-2"));
    let message = stream.direct_get_last("count.a").await.unwrap();
    assert_eq!(message.counter_value().as_deref(), Some("-2"));
}

#[tokio::test]
async fn scheduled_messages_come_later() {
    let (_server, context) = setup().await;
    let config = stream::Config {
        subjects: vec!["schedule.>".to_owned(), "target".to_owned()],
        allow_message_schedules: true,
        allow_message_ttl: true,
        ..stream::Config::from("S")
    };
    let stream = context.create_stream(config).await.unwrap();
    let mut messages = stream
        .ordered(ordered::Config { filter_subjects: vec!["target".into()], ..Default::default() })
        .await
        .unwrap();
    let soon = Timestamp::now() + Duration::from_secs(1);
    let publish = Publish::new()
        .payload("ring".into())
        .schedule(&Schedule::At(soon), "target")
        .schedule_ttl(Duration::from_secs(60));
    context.send_publish("schedule.a", publish).await.unwrap().await.unwrap();
    let message = next_ok(&mut messages).await;
    assert_eq!(text(&message.payload), "ring");
    let headers = message.headers.as_ref().unwrap();
    assert_eq!(headers.get(header::SCHEDULER), Some("schedule.a"));
    assert_eq!(headers.get(header::SCHEDULE_NEXT), Some("purge"));
    assert_eq!(headers.get(header::TTL), Some("60s"));
}

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let (_server, context) = setup().await;
    let config = stream::Config {
        subjects: vec!["a.>".to_owned()],
        allow_atomic_publish: true,
        ..stream::Config::from("S")
    };
    let stream = context.create_stream(config).await.unwrap();
    let payload = |text: &'static str| Publish::new().payload(text.into());
    let mut batch = context.atomic_batch();
    assert!(batch.is_empty());
    batch.add("a.1", payload("1")).await.unwrap();
    batch.add("a.2", payload("2")).await.unwrap();
    batch.add("a.3", payload("3")).await.unwrap();
    assert_eq!((batch.len(), stream.info().await.unwrap().state.messages), (3, 0));
    let id = batch.id().to_owned();
    let ack = batch.commit("a.4", payload("4")).await.unwrap();
    assert_eq!((ack.batch_id, ack.batch_size, ack.sequence), (Some(id), 4, 4));

    let mut batch = context.atomic_batch();
    batch.add("a.1", payload("5")).await.unwrap();
    batch.add("a.2", payload("6")).await.unwrap();
    let ack = batch.commit_added("a.2").await.unwrap();
    assert_eq!((ack.batch_size, ack.sequence), (2, 6));

    let mut batch = context.atomic_batch();
    batch.add("a.1", payload("7")).await.unwrap();
    let wrong = payload("8").expected_last_subject_sequence(99);
    let error = batch.commit("a.2", wrong).await.unwrap_err();
    assert!(error.is_wrong_last_sequence(), "{error}");
    assert_eq!(stream.info().await.unwrap().state.messages, 6);

    support::jetstream::stream(&context, "T", &["b"]).await;
    let error = context.atomic_batch().add("b", payload("x")).await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::ATOMIC_PUBLISH_DISABLED));
}

#[tokio::test]
async fn another_domain() {
    let server = JetStreamServer::start_in_domain("hub");
    let client = server.client().await;
    let context = fulmar_client::jetstream::with_domain(client.clone(), "hub");
    assert_eq!(context.api_prefix(), "$JS.hub.API");
    assert_eq!(context.query_account().await.unwrap().domain.as_deref(), Some("hub"));
    let stream = stream(&context, "S", &["a"]).await;
    assert_eq!(stream.info().await.unwrap().domain.as_deref(), Some("hub"));
    let ack = context.publish("a", "x".into()).await.unwrap().await.unwrap();
    assert_eq!(ack.domain.as_deref(), Some("hub"));
    let consumer = pull_consumer(&stream, "c").await;
    let mut messages = consumer.messages().await.unwrap();
    next_ok(&mut messages).await.double_ack().await.unwrap();

    let config = fulmar_client::kv::Config { bucket: "b".to_owned(), ..Default::default() };
    let bucket = context.create_key_value(config).await.unwrap();
    let mut watch = bucket.watch_all().await.unwrap();
    bucket.put("k", "v".into()).await.unwrap();
    assert_eq!(next_ok(&mut watch).await.key, "k");
    assert_eq!(bucket.get("k").await.unwrap().unwrap(), "v");
    assert_eq!(all(bucket.keys().await.unwrap()).await, ["k"]);

    let wrong = fulmar_client::jetstream::with_domain(client.clone(), "other");
    assert!(matches!(wrong.query_account().await, Err(Error::NoResponders { .. })));
    let prefix = fulmar_client::jetstream::with_prefix(client.clone(), "$JS.hub.API.");
    assert_eq!(prefix.api_prefix(), "$JS.hub.API");
    assert_eq!(all(prefix.stream_names()).await, ["KV_b", "S"]);
    let bad = fulmar_client::jetstream::with_prefix(client, "a..b");
    assert!(matches!(bad.query_account().await, Err(Error::InvalidSubject { .. })));
}

// --- streams ---

#[tokio::test]
async fn a_server_without_jetstream() {
    let server = support::Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let error = fulmar_client::jetstream::new(client).query_account().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot ask for the account: nobody listens to $JS.API.INFO; is JetStream on, and is the \
         domain right?"
    );
}

#[tokio::test]
async fn the_account() {
    let (_server, context) = setup().await;
    stream(&context, "S", &["a"]).await;
    fill(&context, "a", 3).await;
    let account = context.query_account().await.unwrap();
    assert_eq!(account.usage.streams, 1);
    assert!(account.usage.memory > 0);
    assert_eq!(account.usage.limits.max_streams, None);
    assert!(account.api.total > 0 && account.api.level > 0);
}

#[tokio::test]
async fn streams_are_made_changed_and_deleted() {
    let (_server, context) = setup().await;
    let config = stream::Config { subjects: vec!["a".to_owned()], ..stream::Config::from("S") };
    let stream = context.create_stream(&config).await.unwrap();
    assert_eq!((stream.name(), stream.cached_info().state.messages), ("S", 0));
    // The same again is no error.
    context.create_stream(&config).await.unwrap();
    let other = stream::Config { max_messages: 5, ..config.clone() };
    let error = context.create_stream(&other).await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::STREAM_NAME_EXIST));
    assert_eq!(
        error.to_string(),
        "cannot create stream S: stream name already in use with a different configuration \
         (error 10058)"
    );
    let same = context.get_or_create_stream(&other).await.unwrap();
    assert_eq!(same.cached_info().config.max_messages, 0);
    let updated = context.update_stream(&other).await.unwrap();
    assert_eq!(updated.cached_info().config.max_messages, 5);
    // What the server added can be sent back to it.
    context.update_stream(&updated.cached_info().config).await.unwrap();
    let made = context.create_or_update_stream(stream::Config::from("T")).await.unwrap();
    assert_eq!(made.cached_info().config.subjects, ["T"]);
    assert_eq!(context.stream_by_subject("a").await.unwrap(), "S");
    assert!(context.stream_by_subject("b").await.unwrap_err().is_not_found());
    context.delete_stream("S").await.unwrap();
    assert!(context.delete_stream("S").await.unwrap_err().is_not_found());
    assert!(context.get_stream("S").await.unwrap_err().is_not_found());
    let error = context.get_stream("a b").await.unwrap_err();
    assert!(matches!(error, Error::InvalidName { .. }), "{error}");
}

#[tokio::test]
async fn lists_have_parts() {
    let (_server, context) = setup().await;
    assert!(all(context.stream_names()).await.is_empty());
    assert!(all(context.streams()).await.is_empty());
    // The server hands out 256 at a time.
    for number in 0..300 {
        stream(&context, &format!("S{number:03}"), &[&format!("a.{number}")]).await;
    }
    let names = all(context.stream_names()).await;
    assert_eq!((names.len(), names[299].as_str()), (300, "S299"));
    let streams = all(context.streams()).await;
    assert_eq!((streams.len(), streams[299].config.name.as_str()), (300, "S299"));
    assert_eq!(all(context.stream_names_by_subject("a.7")).await, ["S007"]);
    assert_eq!(all(context.streams_by_subject("a.7")).await.len(), 1);
}

#[tokio::test]
async fn subjects_and_purges() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a.>"]).await;
    fill(&context, "a.1", 3).await;
    fill(&context, "a.2", 4).await;
    fill(&context, "a.b.3", 1).await;
    let subjects = all(stream.subjects(">")).await;
    let expected = [("a.1", 3), ("a.2", 4), ("a.b.3", 1)];
    assert_eq!(subjects, expected.map(|(subject, count)| (subject.to_owned(), count)));
    assert_eq!(all(stream.subjects("a.*")).await.len(), 2);
    assert_eq!(stream.info().await.unwrap().state.subjects_count, 3);

    stream.delete_message(2).await.unwrap();
    stream.erase_message(3).await.unwrap();
    assert!(stream.erase_message(3).await.is_err());
    let state = stream.info_with_deleted().await.unwrap().state;
    assert_eq!((state.deleted, state.deleted_count, state.first_sequence), (vec![2, 3], 2, 1));

    assert_eq!(stream.purge().filter("a.2").keep(1).await.unwrap(), 3);
    assert_eq!(stream.purge().sequence(2).await.unwrap(), 1);
    assert_eq!(stream.purge().await.unwrap(), 2);
    let state = stream.info().await.unwrap().state;
    assert_eq!((state.messages, state.first_sequence, state.last_sequence), (0, 9, 8));
    let error = stream.purge().keep(1).sequence(1).await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::BAD_REQUEST));
}

#[tokio::test]
async fn messages_are_read_from_the_leader() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a.>"]).await;
    let mut headers = HeaderMap::new();
    headers.insert("A", "b").unwrap();
    context.publish_with_headers("a.1", headers.clone(), "1".into()).await.unwrap().await.unwrap();
    fill(&context, "a.2", 2).await;
    let message = stream.get_message(1).await.unwrap();
    assert_eq!((message.subject.as_str(), message.sequence), ("a.1", 1));
    assert_eq!((text(&message.payload).as_str(), &message.headers), ("1", &headers));
    assert!(Timestamp::now().duration_since(message.time).as_secs() < 60);
    assert_eq!(stream.get_last_message("a.2").await.unwrap().sequence, 3);
    assert_eq!(stream.get_next_message("a.*", 2).await.unwrap().sequence, 2);
    let error = stream.get_message(9).await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::NO_MESSAGE_FOUND));
    assert!(error.is_not_found());
}

#[tokio::test]
async fn messages_are_read_directly() {
    let (_server, context) = setup().await;
    let config = stream::Config {
        subjects: vec!["a.>".to_owned()],
        allow_direct: true,
        ..stream::Config::from("S")
    };
    let stream = context.create_stream(config).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("A", "b").unwrap();
    context.publish_with_headers("a.1", headers.clone(), "1".into()).await.unwrap().await.unwrap();
    let between = Timestamp::now();
    fill(&context, "a.2", 2).await;
    fill(&context, "a.1", 2).await;

    let message = stream.direct_get(1).await.unwrap();
    assert_eq!((message.subject.as_str(), message.sequence), ("a.1", 1));
    assert_eq!((text(&message.payload).as_str(), &message.headers), ("1", &headers));
    assert_eq!(message.time, stream.get_message(1).await.unwrap().time);
    assert_eq!(stream.direct_get_last("a.2").await.unwrap().sequence, 3);
    assert_eq!(stream.direct_get_next("a.2", 1).await.unwrap().sequence, 2);
    assert_eq!(stream.direct_get_from_time(between).await.unwrap().sequence, 2);
    for error in
        [stream.direct_get(9).await.unwrap_err(), stream.direct_get_last("a.9").await.unwrap_err()]
    {
        assert!(error.is_not_found(), "{error}");
    }

    let sequences = async |batch: DirectBatch| {
        let messages = all(stream.direct_get_batch(batch).await.unwrap()).await;
        messages.iter().map(|message| message.sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences(DirectBatch::next(3)).await, [1, 2, 3]);
    assert_eq!(sequences(DirectBatch::next(9).subject("a.1").from_sequence(2)).await, [4, 5]);
    assert_eq!(sequences(DirectBatch::next(9).subject("a.1").from_time(between)).await, [4, 5]);
    assert!(sequences(DirectBatch::next(9).subject("a.9")).await.is_empty());
    assert_eq!(sequences(DirectBatch::last_of(["a.*"])).await, [3, 5]);
    assert_eq!(sequences(DirectBatch::last_of(["a.1", "a.2"]).up_to_sequence(4)).await, [3, 4]);
    let mut batch = stream.direct_get_batch(DirectBatch::next(2)).await.unwrap();
    while batch.try_next().await.unwrap().is_some() {}
    assert_eq!(batch.pending(), Some(3));

    let closed = support::jetstream::stream(&context, "T", &["t"]).await;
    assert!(matches!(closed.direct_get(1).await, Err(Error::NoResponders { .. })));
    let mut batch = closed.direct_get_batch(DirectBatch::next(2)).await.unwrap();
    assert!(matches!(batch.try_next().await, Err(Error::NoResponders { .. })));
}

#[tokio::test]
async fn mirrors_sources_and_transforms() {
    let (_server, context) = setup().await;
    stream(&context, "S", &["a.>"]).await;
    fill(&context, "a.1", 3).await;
    let mirror =
        stream::Config { mirror: Some(stream::Source::from("S")), ..stream::Config::from("M") };
    let mirror = context.create_stream(mirror).await.unwrap();
    let collected = stream::Config {
        sources: vec![stream::Source {
            subject_transforms: vec![stream::SubjectTransform {
                source: "a.*".to_owned(),
                destination: "b.{{wildcard(1)}}".to_owned(),
            }],
            start_sequence: 2,
            ..stream::Source::from("S")
        }],
        ..stream::Config::from("C")
    };
    let collected = context.create_stream(collected).await.unwrap();
    within("both have everything", async {
        while mirror.info().await.unwrap().state.messages < 3
            || collected.info().await.unwrap().state.messages < 2
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(collected.get_last_message("b.1").await.unwrap().sequence, 2);
    let info = mirror.info().await.unwrap().mirror.unwrap();
    assert_eq!((info.name.as_str(), info.lag), ("S", 0));
    let info = collected.info().await.unwrap();
    assert_eq!(info.sources[0].subject_transforms[0].source, "a.*");
}

// --- consumers ---

#[tokio::test]
async fn consumers_are_made_changed_and_deleted() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a.>"]).await;
    let config = pull::Config {
        durable_name: Some("c".to_owned()),
        filter_subject: Some("a.1".to_owned()),
        ack_wait: Duration::from_secs(7),
        backoff: vec![Duration::from_secs(1), Duration::from_secs(2)],
        max_deliver: 3,
        metadata: [("k".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    let consumer = stream.create_consumer_strict(config.clone()).await.unwrap();
    assert_eq!((consumer.name(), consumer.stream_name()), ("c", "S"));
    assert_eq!(consumer.config().backoff, config.backoff);
    assert_eq!(consumer.config().metadata["k"], "v");
    let other = pull::Config { max_ack_pending: 5, ..config.clone() };
    let error = stream.create_consumer_strict(other.clone()).await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::CONSUMER_ALREADY_EXISTS));
    assert_eq!(stream.update_consumer(other).await.unwrap().config().max_ack_pending, 5);
    let none = pull::Config { durable_name: Some("d".to_owned()), ..Default::default() };
    let error = stream.update_consumer(none.clone()).await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::CONSUMER_DOES_NOT_EXIST));
    stream.get_or_create_consumer("d", none.clone()).await.unwrap();
    stream.get_or_create_consumer("d", none).await.unwrap();
    let error = stream.get_consumer::<push::Config>("d").await.unwrap_err();
    let text = "cannot use consumer d of stream S: it is a pull consumer, and not a push consumer";
    assert_eq!(error.to_string(), text);
    assert_eq!(all(stream.consumer_names()).await, ["c", "d"]);
    assert_eq!(all(stream.consumers()).await.len(), 2);
    consumer.delete().await.unwrap();
    stream.delete_consumer("d").await.unwrap();
    assert!(consumer.info().await.unwrap_err().is_not_found());
    assert!(stream.delete_consumer("d").await.unwrap_err().is_not_found());
    // A name is made for one that has none.
    let unnamed = stream.create_consumer(pull::Config::default()).await.unwrap();
    assert!(!unnamed.name().is_empty());
    let several = pull::Config {
        filter_subjects: vec!["a.1".to_owned(), "a.2".to_owned()],
        ..Default::default()
    };
    let several = stream.create_consumer(several).await.unwrap();
    assert_eq!(several.config().filter_subjects.len(), 2);
}

#[tokio::test]
async fn paused_and_resumed() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    fill(&context, "a", 1).await;
    let consumer = pull_consumer(&stream, "c").await;
    let until = Timestamp::now() + Duration::from_secs(3600);
    let paused = consumer.pause(until).await.unwrap();
    assert!(paused.paused && paused.pause_remaining > Duration::from_secs(3000));
    assert_eq!(paused.pause_until, Some(until));
    assert!(consumer.info().await.unwrap().paused);
    assert!(consumer.next(Duration::from_millis(50)).await.unwrap().is_none());
    let resumed = stream.resume_consumer("c").await.unwrap();
    assert!(!resumed.paused && resumed.pause_until.is_none());
    assert!(consumer.next(Duration::from_secs(5)).await.unwrap().is_some());
    stream.pause_consumer("c", until).await.unwrap();
    assert!(!consumer.resume().await.unwrap().paused);
}

#[tokio::test]
async fn a_consumer_begins_again() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    fill(&context, "a", 5).await;
    let consumer = pull_consumer(&stream, "c").await;
    pending(&consumer, 5).await;
    for message in all(consumer.fetch().max_messages(5).messages().await.unwrap()).await {
        message.double_ack().await.unwrap();
    }
    let info = consumer.reset(Some(4)).await.unwrap();
    assert_eq!(info.num_pending, 2);
    let message = consumer.next(Duration::from_secs(5)).await.unwrap().unwrap();
    assert_eq!(message.info().unwrap().stream_sequence, 4);
}

#[tokio::test]
async fn one_message_at_a_time() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    let consumer = pull_consumer(&stream, "c").await;
    assert!(consumer.next(Duration::ZERO).await.unwrap().is_none());
    assert!(consumer.next(Duration::from_millis(20)).await.unwrap().is_none());
    let next = consumer.next(Duration::from_secs(10));
    let (message, ()) = tokio::join!(next, fill(&context, "a", 2));
    let message = message.unwrap().unwrap();
    assert_eq!(text(&message.payload), "0");
    let info = message.info().unwrap();
    assert_eq!((info.stream, info.consumer, info.delivered), ("S", "c", 1));
    assert_eq!((info.stream_sequence, info.consumer_sequence), (1, 1));
    consumer.delete().await.unwrap();
    let gone = consumer.next(Duration::from_millis(50)).await;
    assert!(matches!(gone, Err(MessagesError::Request(_))), "{gone:?}");
}

#[tokio::test]
async fn batches() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    let consumer = pull_consumer(&stream, "c").await;
    assert!(all(consumer.fetch().messages().await.unwrap()).await.is_empty());
    fill(&context, "a", 10).await;
    pending(&consumer, 10).await;
    let texts = async |builder: pull::BatchBuilder<'_>| {
        let messages = all(builder.messages().await.unwrap()).await;
        messages.iter().map(|message| text(&message.payload)).collect::<Vec<_>>()
    };
    assert_eq!(texts(consumer.fetch().max_messages(3)).await, ["0", "1", "2"]);
    let all_there = consumer.fetch().max_messages(20);
    assert_eq!(texts(all_there).await.len(), 7);
    // One that waits, for what there is and what comes.
    fill(&context, "a", 1).await;
    pending(&consumer, 1).await;
    let waiting = consumer.batch().max_messages(3).expires(Duration::from_millis(300));
    let (texts_came, ()) = tokio::join!(texts(waiting), async {
        tokio::task::yield_now().await;
        fill(&context, "a", 1).await;
    });
    assert_eq!(texts_came, ["0", "0"]);
    let beating =
        consumer.batch().expires(Duration::from_millis(500)).heartbeat(Duration::from_millis(100));
    assert!(texts(beating).await.is_empty());
    let too_often =
        consumer.batch().expires(Duration::from_millis(500)).heartbeat(Duration::from_millis(400));
    let refused = too_often.messages().await.unwrap().try_next().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "consumer c of stream S refuses the request: 400 Bad Request - heartbeat value too large"
    );
    // By bytes.
    let payload = vec![b'x'; 1000];
    for _ in 0..5 {
        context.publish("a", payload.clone().into()).await.unwrap().await.unwrap();
    }
    pending(&consumer, 5).await;
    assert_eq!(texts(consumer.fetch().max_bytes(2500)).await.len(), 2);
    let small = consumer.fetch().max_bytes(500).messages().await.unwrap().try_next().await;
    assert!(matches!(small, Err(MessagesError::MessageTooLarge { .. })), "{small:?}");
    consumer.delete().await.unwrap();
    let gone = consumer.fetch().messages().await.unwrap().try_next().await;
    assert!(matches!(gone, Err(MessagesError::Request(_))), "{gone:?}");
}

#[tokio::test]
async fn on_and_on() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    let consumer = pull_consumer(&stream, "c").await;
    let mut messages = consumer.stream().max_messages(10).messages().await.unwrap();
    for _ in 0..3 {
        fill(&context, "a", 33).await;
        for number in 0..33 {
            let message = next_ok(&mut messages).await;
            assert_eq!(text(&message.payload), number.to_string());
            message.ack().await.unwrap();
        }
    }
    acknowledged(&consumer, 99).await;
    drop(messages);
    context.client().flush().await.unwrap();
}

#[tokio::test]
async fn no_more_comes_than_is_asked_for() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    fill(&context, "a", 100).await;
    let consumer = pull_consumer(&stream, "c").await;
    let mut messages = consumer.stream().max_messages(10).messages().await.unwrap();
    next_ok(&mut messages).await;
    context.client().flush().await.unwrap();
    let info = consumer.info().await.unwrap();
    assert_eq!(info.delivered.stream_sequence, 10);
    // By bytes: the payloads are small, what goes around them counts too.
    let consumer = pull_consumer(&stream, "d").await;
    let mut messages = consumer.stream().max_bytes(600).messages().await.unwrap();
    for number in 0..100 {
        let message = next_ok(&mut messages).await;
        assert_eq!(text(&message.payload), number.to_string());
        let delivered = consumer.info().await.unwrap().delivered.stream_sequence;
        assert!(delivered <= number + 14, "{delivered} were delivered when {number} was taken");
    }
    let large = vec![0; 1000];
    context.publish("a", large.into()).await.unwrap().await.unwrap();
    let error = within("an error", messages.try_next()).await.unwrap_err();
    assert!(matches!(error, MessagesError::MessageTooLarge { bytes_max: 600, .. }), "{error}");
    assert!(messages.next().await.is_none());
}

#[tokio::test]
async fn it_ends_when_the_consumer_does() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    let consumer = pull_consumer(&stream, "c").await;
    let mut messages = consumer.messages().await.unwrap();
    let delete = async {
        context.client().flush().await.unwrap();
        consumer.delete().await.unwrap();
    };
    let (next, ()) = tokio::join!(within("the end", messages.next()), delete);
    let error = next.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "there is no consumer c of stream S any more");
    assert!(messages.next().await.is_none());
    // One that was not there from the beginning.
    let mut messages = consumer.messages().await.unwrap();
    let error = within("the end", messages.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, MessagesError::ConsumerDeleted { .. }), "{error}");
    // What the server does not serve.
    let config = push::Config {
        deliver_subject: "p".to_owned(),
        name: Some("p".to_owned()),
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();
    let next = context.client().request("$JS.API.CONSUMER.MSG.NEXT.S.p", "".into()).await;
    assert!(next.is_err() || next.unwrap().status.is_some());
    let limited = pull::Config {
        durable_name: Some("limited".to_owned()),
        max_batch: 5,
        ..Default::default()
    };
    let limited = stream.create_consumer(limited).await.unwrap();
    let mut messages = limited.messages().await.unwrap();
    let error = within("the end", messages.next()).await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "consumer limited of stream S refuses the request: 409 Exceeded MaxRequestBatch of 5"
    );
}

#[tokio::test]
async fn it_goes_on_when_the_server_comes_back() {
    let (mut server, context) = setup().await;
    let config = stream::Config { subjects: vec!["a".to_owned()], ..stream::Config::from("S") };
    let stream = context.create_stream(config).await.unwrap();
    let consumer = pull_consumer(&stream, "c").await;
    let mut messages = consumer.messages().await.unwrap();
    let mut ordered = stream.ordered(ordered::Config::default()).await.unwrap();
    let push = ordered::Config { delivery: ordered::Delivery::Push, ..Default::default() };
    let mut pushed = stream.ordered(push).await.unwrap();
    for round in 0..3 {
        fill(&context, "a", 10).await;
        let expected = round * 10 + 1..round * 10 + 11;
        // A server that is killed may forget acknowledgements: older messages may come again.
        let mut missing: BTreeSet<u64> = expected.clone().collect();
        while !missing.is_empty() {
            let message = next_ok(&mut messages).await;
            missing.remove(&message.info().unwrap().stream_sequence);
            message.double_ack().await.unwrap();
        }
        for sequence in expected {
            for messages in [&mut ordered, &mut pushed] {
                let message = next_ok(messages).await;
                assert_eq!(message.info().unwrap().stream_sequence, sequence);
            }
        }
        let statistics = context.client().statistics();
        let connects = statistics.connects.load(Ordering::Relaxed);
        server.server.restart();
        within("another connection", async {
            while statistics.connects.load(Ordering::Relaxed) == connects {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Whatever is lost on the way, everything is done in the end, and what is read in order has no
/// gaps and nothing twice.
#[tokio::test]
async fn cuts_anywhere() {
    let (server, direct) = setup().await;
    let stream = stream(&direct, "S", &["a"]).await;
    let config = pull::Config {
        durable_name: Some("c".to_owned()),
        ack_wait: Duration::from_millis(500),
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();
    const COUNT: u64 = 400;
    let connect = async || {
        let proxy = CuttingProxy::start(server.server.port(), 6).await;
        let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(10));
        let client = options.connect(proxy.address.as_str()).await.unwrap();
        let limit = Duration::from_millis(300);
        ContextBuilder::new().timeout(limit).ack_timeout(limit).build(client)
    };
    // The first requests may be cut off too.
    let open = async |context: &Context| loop {
        if let Ok(stream) = context.get_stream("S").await {
            return stream;
        }
    };
    let publish = async {
        let context = connect().await;
        for number in 0..COUNT {
            // Again until there is an answer: the id keeps it from becoming two.
            let send =
                || Publish::new().payload(number.to_string().into()).message_id(number.to_string());
            while context.send_publish("a", send()).await.unwrap().await.is_err() {}
        }
    };
    let consume = async {
        let context = connect().await;
        let stream = open(&context).await;
        let consumer: PullConsumer = loop {
            if let Ok(consumer) = stream.get_consumer("c").await {
                break consumer;
            }
        };
        let builder = consumer.stream().max_messages(10).expires(Duration::from_secs(2));
        let builder = builder.heartbeat(Duration::from_millis(500));
        let mut messages = builder.messages().await.unwrap();
        let mut missing: BTreeSet<u64> = (1..=COUNT).collect();
        while !missing.is_empty() {
            let message = next_ok(&mut messages).await;
            missing.remove(&message.info().unwrap().stream_sequence);
            message.ack().await.unwrap();
        }
    };
    let read = async |delivery: ordered::Delivery| {
        let context = connect().await;
        let stream = context.get_stream("S").await.unwrap();
        let heartbeat = Duration::from_millis(500);
        let config = ordered::Config { delivery, heartbeat, max_messages: 4, ..Default::default() };
        let mut messages = stream.ordered(config).await.unwrap();
        for sequence in 1..=COUNT {
            let message = next_ok(&mut messages).await;
            assert_eq!(message.info().unwrap().stream_sequence, sequence);
        }
    };
    let (pull, push) = (read(ordered::Delivery::Pull), read(ordered::Delivery::Push));
    within("everything", async { tokio::join!(publish, consume, pull, push) }).await;
}

/// Nothing tells the client that its requests are gone but the silence.
#[tokio::test]
async fn silence_is_noticed() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    let config =
        pull::Config { durable_name: Some("c".to_owned()), max_waiting: 1, ..Default::default() };
    let consumer = stream.create_consumer(config).await.unwrap();
    // Somebody else's request takes the only place, so that the server drops those that follow.
    let other = consumer.batch().expires(Duration::from_secs(1)).messages().await.unwrap();
    let messages = consumer
        .stream()
        .expires(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(200))
        .messages();
    let mut messages = messages.await.unwrap();
    assert!(all(other).await.is_empty());
    let (message, ()) = tokio::join!(next_ok(&mut messages), fill(&context, "a", 1));
    assert_eq!(text(&message.payload), "0");
}

#[tokio::test]
async fn acknowledgements() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    fill(&context, "a", 4).await;
    let config = pull::Config {
        durable_name: Some("c".to_owned()),
        ack_wait: Duration::from_secs(60),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let next = async || consumer.next(Duration::from_secs(10)).await.unwrap().unwrap();
    let first = next().await;
    first.progress().await.unwrap();
    first.double_ack_with(AckKind::Nak(None)).await.unwrap();
    let again = next().await;
    assert_eq!((text(&again.payload).as_str(), again.info().unwrap().delivered), ("0", 2));
    again.double_ack().await.unwrap();
    assert_eq!(consumer.info().await.unwrap().ack_floor.stream_sequence, 1);
    let begin = Instant::now();
    let second = next().await;
    second.double_ack_with(AckKind::Nak(Some(Duration::from_millis(100)))).await.unwrap();
    let third = next().await;
    assert_eq!(text(&third.payload), "2");
    third.term(Some("no use")).await.unwrap();
    third.nak(None).await.unwrap();
    let fourth = next().await;
    let (message, acker) = fourth.split();
    assert_eq!(text(&message.payload), "3");
    acker.double_ack().await.unwrap();
    let again = next().await;
    assert_eq!(text(&again.payload), "1");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    again.acker().ack().await.unwrap();
    acknowledged(&consumer, 4).await;
    fill(&context, "a", 2).await;
    let fifth = next().await;
    let sixth = fifth.ack_next(Duration::from_secs(10)).await.unwrap().unwrap();
    assert_eq!(sixth.info().unwrap().stream_sequence, 6);
    assert!(sixth.ack_next(Duration::from_millis(20)).await.unwrap().is_none());
    acknowledged(&consumer, 6).await;
}

#[tokio::test]
async fn ordered_messages() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a.>"]).await;
    for delivery in [ordered::Delivery::Pull, ordered::Delivery::Push] {
        stream.purge().await.unwrap();
        fill(&context, "a.1", 5).await;
        let config = ordered::Config {
            deliver_policy: DeliverPolicy::LastPerSubject,
            delivery,
            name_prefix: Some("mine-".to_owned()),
            ..Default::default()
        };
        let mut messages = stream.ordered(config).await.unwrap();
        assert_eq!(messages.num_pending(), 1);
        assert_eq!(text(&next_ok(&mut messages).await.payload), "4");
        let names = all(stream.consumer_names()).await;
        assert!(names.len() == 1 && names[0].starts_with("mine-"), "{names:?}");
        // Somebody deletes the consumer, and another takes its place.
        stream.delete_consumer(&names[0]).await.unwrap();
        let heartbeat = Duration::from_millis(200);
        drop(messages);

        let config = ordered::Config {
            deliver_policy: DeliverPolicy::New,
            heartbeat,
            delivery,
            filter_subjects: vec!["a.2".to_owned(), "a.3".to_owned()],
            ..Default::default()
        };
        let mut messages = stream.ordered(config).await.unwrap();
        for name in all(stream.consumer_names()).await {
            stream.delete_consumer(&name).await.unwrap();
        }
        // It was new for the first consumer, so it is for the one that takes its place.
        fill(&context, "a.2", 3).await;
        fill(&context, "a.1", 3).await;
        for number in 0..3 {
            assert_eq!(text(&next_ok(&mut messages).await.payload), number.to_string());
        }
        assert_eq!(messages.resets(), 1, "{delivery:?}");
        fill(&context, "a.3", 1).await;
        assert_eq!(next_ok(&mut messages).await.subject, "a.3");
        drop(messages);
        within("no consumer stays", async {
            while !all(stream.consumer_names()).await.is_empty() {}
        })
        .await;
        let headers_only = ordered::Config { headers_only: true, delivery, ..Default::default() };
        let mut messages = stream.ordered(headers_only).await.unwrap();
        let message = next_ok(&mut messages).await;
        assert!(message.payload.is_empty());
        let size = message.headers.as_ref().unwrap().get(header::MESSAGE_SIZE);
        assert_eq!(size, Some("1"));
        drop(messages);
        within("no consumer stays", async {
            while !all(stream.consumer_names()).await.is_empty() {}
        })
        .await;
    }
    // The end of the stream is the end.
    let config = ordered::Config {
        deliver_policy: DeliverPolicy::New,
        heartbeat: Duration::from_millis(200),
        ..Default::default()
    };
    let mut messages = stream.ordered(config).await.unwrap();
    context.delete_stream("S").await.unwrap();
    let error = within("the end", messages.next()).await.unwrap().unwrap_err();
    assert!(matches!(&error, MessagesError::Recreate(error) if error.is_not_found()), "{error}");
    assert!(messages.next().await.is_none());
}

/// With flow control a slow reader gets all messages, however many there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flow_control_does_not_drop() {
    let server = JetStreamServer::start();
    let options = fulmar_client::ConnectOptions::new().subscription_bytes_max(48 * 1024 * 1024);
    let client = options.connect(server.server.url()).await.unwrap();
    let context = fulmar_client::jetstream::new(client);
    let stream = stream(&context, "S", &["a"]).await;
    let payload = bytes::Bytes::from(vec![b'x'; 200_000]);
    let mut acks = Vec::new();
    for _ in 0..500 {
        acks.push(context.publish("a", payload.clone()).await.unwrap());
    }
    for ack in acks {
        ack.await.unwrap();
    }
    let config = ordered::Config { delivery: ordered::Delivery::Push, ..Default::default() };
    let mut messages = stream.ordered(config).await.unwrap();
    for number in 1..=500 {
        let message = next_ok(&mut messages).await;
        assert_eq!(message.info().unwrap().stream_sequence, number);
    }
    assert_eq!(messages.resets(), 0);
}

#[tokio::test]
async fn pushed_messages() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    let config = push::Config {
        deliver_subject: context.client().new_inbox(),
        durable_name: Some("p".to_owned()),
        idle_heartbeat: Duration::from_millis(200),
        flow_control: true,
        ..Default::default()
    };
    let consumer: PushConsumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    fill(&context, "a", 5).await;
    for number in 0..5 {
        let message = next_ok(&mut messages).await;
        assert_eq!(text(&message.payload), number.to_string());
        message.ack().await.unwrap();
    }
    assert!(consumer.info().await.unwrap().push_bound);
    // Heartbeats are no messages, and their absence is told.
    consumer.delete().await.unwrap();
    let missing = within("silence is told", messages.next()).await.unwrap().unwrap_err();
    assert_eq!(missing.to_string(), "consumer p of stream S gave no sign of life for 400ms");

    let config = push::Config {
        deliver_subject: "shared".to_owned(),
        deliver_group: Some("g".to_owned()),
        name: Some("q".to_owned()),
        ack_policy: AckPolicy::None,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let (mut one, mut other) =
        (consumer.messages().await.unwrap(), consumer.messages().await.unwrap());
    let mut count = 0;
    while count < 5 {
        within("a message", async {
            tokio::select! {
                message = one.next() => message.unwrap().unwrap(),
                message = other.next() => message.unwrap().unwrap(),
            }
        })
        .await;
        count += 1;
    }
}

#[tokio::test]
async fn groups_of_those_that_pull() {
    let (_server, context) = setup().await;
    let stream = stream(&context, "S", &["a"]).await;
    fill(&context, "a", 20).await;
    let config = pull::Config {
        durable_name: Some("pinned".to_owned()),
        priority_policy: fulmar_client::jetstream::consumer::PriorityPolicy::PinnedClient,
        priority_groups: vec!["g".to_owned()],
        priority_timeout: Duration::from_secs(60),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut first = consumer.stream().group("g").max_messages(2).messages().await.unwrap();
    let mut second = consumer.stream().group("g").max_messages(2).messages().await.unwrap();
    for _ in 0..6 {
        let message = next_ok(&mut first).await;
        assert!(message.headers.as_ref().unwrap().get(header::PIN_ID).is_some());
        message.ack().await.unwrap();
    }
    let info = consumer.info().await.unwrap();
    assert!(info.priority_groups[0].pinned_client_id.is_some());
    drop(first);
    consumer.unpin("g").await.unwrap();
    next_ok(&mut second).await.ack().await.unwrap();
    let error = consumer.unpin("other").await.unwrap_err();
    assert_eq!(error.err_code(), Some(ErrorCode::CONSUMER_INVALID_PRIORITY_GROUP));

    let config = pull::Config {
        durable_name: Some("overflow".to_owned()),
        priority_policy: fulmar_client::jetstream::consumer::PriorityPolicy::Overflow,
        priority_groups: vec!["g".to_owned()],
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let few = consumer.fetch().group("g").min_pending(100).messages().await.unwrap();
    assert!(all(few).await.is_empty());
    let many = consumer.fetch().group("g").min_pending(10).max_messages(3).messages();
    assert_eq!(all(many.await.unwrap()).await.len(), 3);
}
