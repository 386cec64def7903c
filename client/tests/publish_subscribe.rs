//! Messages from publishers to subscribers, against a real server.

mod support;

use std::sync::atomic::Ordering;

use fulmar_client::{
    Bytes, ConnectOptions, Event, HeaderMap, PublishError, Statistics, SubscribeError,
};
use futures_util::{FutureExt as _, StreamExt as _};
use support::{Server, next, next_text, rest, with_events, within};

#[tokio::test]
async fn a_message_arrives_with_all_its_parts() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut subscriber = client.subscribe("parts.*").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Kind", "test").unwrap();
    headers.append("Kind", "again").unwrap();
    let payload = Bytes::from_static(b"payload");
    client
        .publish_with_reply_and_headers("parts.a", "back", headers.clone(), payload)
        .await
        .unwrap();
    let message = next(&mut subscriber).await;
    assert_eq!(message.subject, "parts.a");
    assert_eq!(message.reply.as_deref(), Some("back"));
    assert_eq!(&message.payload[..], b"payload");
    assert_eq!((message.status, message.description.as_deref()), (None, None));
    let received = message.headers.unwrap();
    assert_eq!(received, headers);
    assert_eq!(received.get_all("Kind").collect::<Vec<_>>(), ["test", "again"]);

    client.publish_with_headers("parts.b", received, "again".into()).await.unwrap();
    assert_eq!(next(&mut subscriber).await.headers, Some(headers));
    client.publish_with_reply("parts.c", "back", "".into()).await.unwrap();
    let message = next(&mut subscriber).await;
    assert!(message.headers.is_none() && message.payload.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_arrive_in_order() {
    const COUNT: u32 = 100_000;
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut subscriber = client.subscribe("order").await.unwrap();
    client.flush().await.unwrap();
    let publisher = fulmar_client::connect(server.url()).await.unwrap();
    let publish = tokio::spawn(async move {
        for number in 0..COUNT {
            // Sizes from nothing to 4 KiB, so that messages begin and end anywhere in a read.
            let mut payload = number.to_be_bytes().to_vec();
            payload
                .resize(4 + (number as usize * 37) % if number % 100 == 0 { 4096 } else { 64 }, 7);
            publisher.publish("order", payload.into()).await.unwrap();
        }
        publisher.flush().await.unwrap();
    });
    for number in 0..COUNT {
        let message = next(&mut subscriber).await;
        assert_eq!(message.payload[..4], number.to_be_bytes());
        assert!(message.payload[4..].iter().all(|byte| *byte == 7));
    }
    publish.await.unwrap();
}

#[tokio::test]
async fn a_batch_can_be_taken_at_once() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut subscriber = client.subscribe("batch").await.unwrap();
    for number in 0..100 {
        client.publish("batch", format!("{number}").into()).await.unwrap();
    }
    let mut messages = Vec::new();
    while messages.len() < 100 {
        let count = within("a batch", subscriber.next_many(&mut messages, 30)).await;
        assert!((1..=30).contains(&count));
    }
    assert_eq!(messages[99].payload, "99");
    subscriber.unsubscribe().await.unwrap();
    assert_eq!(within("the end", subscriber.next_many(&mut messages, 30)).await, 0);
}

#[tokio::test]
async fn a_large_message_arrives() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let size = client.max_payload();
    assert_eq!(size, client.server_info().max_payload);
    let payload: Bytes = (0..size).map(|at| at.to_le_bytes()[0]).collect::<Vec<_>>().into();
    let mut subscriber = client.subscribe("large").await.unwrap();
    client.publish("large", payload.clone()).await.unwrap();
    assert!(next(&mut subscriber).await.payload == payload);
    let too_large = client.publish("large", vec![0; size + 1].into()).await;
    let expected = PublishError::MaxPayloadExceeded { bytes: size + 1, bytes_max: size };
    assert_eq!(too_large, Err(expected));
    // The connection is as good as before.
    client.publish("large", "small".into()).await.unwrap();
    assert_eq!(next_text(&mut subscriber).await, "small");
}

#[tokio::test]
async fn one_member_of_a_queue_group_gets_a_message() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(client.queue_subscribe("work", "workers").await.unwrap());
    }
    for number in 0..300 {
        client.publish("work", format!("{number}").into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let mut numbers = Vec::new();
    for member in &mut members {
        member.drain().await.unwrap();
        let share = rest(member).await;
        assert!(!share.is_empty());
        numbers.extend(share.into_iter().map(|text| text.parse::<u32>().unwrap()));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn subscriptions_end_when_they_should() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let publish = async |count: u32| {
        for number in 1..=count {
            client.publish("end", format!("{number}").into()).await.unwrap();
        }
        client.flush().await.unwrap();
    };
    let mut after = client.subscribe("end").await.unwrap();
    after.unsubscribe_after(3).await.unwrap();
    let mut after_the_fact = client.subscribe("end").await.unwrap();
    let mut at_once = client.subscribe("end").await.unwrap();
    let dropped = client.subscribe("end").await.unwrap();
    let mut drained = client.subscribe("end").await.unwrap();
    publish(5).await;
    drop(dropped);
    at_once.unsubscribe().await.unwrap();
    drained.drain().await.unwrap();
    after_the_fact.unsubscribe_after(2).await.unwrap();
    publish(2).await;
    assert_eq!(rest(&mut after).await, ["1", "2", "3"]);
    // It had them all before it was limited.
    assert_eq!(rest(&mut after_the_fact).await, ["1", "2", "3", "4", "5"]);
    assert_eq!(rest(&mut at_once).await, ["1", "2", "3", "4", "5"]);
    assert_eq!(rest(&mut drained).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn own_messages_come_back_unless_not_wanted() {
    let server = Server::start(&[]);
    let quiet = ConnectOptions::new().no_echo().connect(server.url()).await.unwrap();
    let other = fulmar_client::connect(server.url()).await.unwrap();
    let mut subscriber = quiet.subscribe("echo").await.unwrap();
    quiet.publish("echo", "own".into()).await.unwrap();
    quiet.flush().await.unwrap();
    other.publish("echo", "other".into()).await.unwrap();
    assert_eq!(next_text(&mut subscriber).await, "other");
}

#[tokio::test]
async fn what_is_malformed_is_refused_at_once() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    for subject in ["", "a b", "a..b", ".a", "a.", "a\r\nPUB b 0\r\n"] {
        let published = client.publish(subject, "".into()).await;
        assert!(matches!(published, Err(PublishError::InvalidSubject(_))), "{subject}");
        let published = client.publish_with_reply("a", subject, "".into()).await;
        assert!(matches!(published, Err(PublishError::InvalidSubject(_))), "{subject}");
        let subscribed = client.subscribe(subject).await.map(|_| ());
        assert!(matches!(subscribed, Err(SubscribeError::InvalidSubject(_))), "{subject}");
    }
    for queue in ["", "a b", "a\n"] {
        let subscribed = client.queue_subscribe("a", queue).await.map(|_| ());
        assert_eq!(subscribed, Err(SubscribeError::InvalidQueueName));
    }
    client.flush().await.unwrap();
}

#[tokio::test]
async fn messages_and_bytes_are_counted() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut subscriber = client.subscribe("count").await.unwrap();
    for _ in 0..3 {
        client.publish("count", "12345".into()).await.unwrap();
    }
    for _ in 0..3 {
        next(&mut subscriber).await;
    }
    let statistics: &Statistics = &client.statistics();
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((read(&statistics.out_messages), read(&statistics.out_bytes)), (3, 15));
    client.flush().await.unwrap();
    assert_eq!((read(&statistics.in_messages), read(&statistics.in_bytes)), (3, 15));
    assert_eq!(read(&statistics.connects), 1);
}

#[tokio::test]
async fn a_slow_subscriber_loses_messages_and_hears_of_it() {
    let server = Server::start(&[]);
    let (options, mut events) = with_events();
    let client = options.subscription_capacity(10).connect(server.url()).await.unwrap();
    let mut slow = client.subscribe("slow").await.unwrap();
    let mut fast = client.subscribe("slow").await.unwrap();
    for number in 0..50 {
        client.publish("slow", format!("{number}").into()).await.unwrap();
        // One at a time: the fast one is never behind.
        assert_eq!(next_text(&mut fast).await, format!("{number}"));
    }
    events.wait_for(Event::SlowConsumer(slow.sid())).await;
    let dropped = client.statistics().dropped_messages.load(Ordering::Relaxed);
    assert_eq!(dropped, 40);
    slow.unsubscribe().await.unwrap();
    client.flush().await.unwrap();
    let kept: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(rest(&mut slow).await, kept);
}

/// A publisher that never waits for anything must not keep others from running.
#[tokio::test]
async fn a_publisher_waits_while_the_buffer_is_full() {
    let server = Server::start(&[]);
    let options = ConnectOptions::new().write_buffer_bytes_max(1000);
    let client = options.connect(server.url()).await.unwrap();
    let mut subscriber = client.subscribe("full").await.unwrap();
    let publisher = client.clone();
    let publish = tokio::spawn(async move {
        for _ in 0..10_000 {
            publisher.publish("full", vec![1; 100].into()).await.unwrap();
        }
    });
    for _ in 0..10_000 {
        assert_eq!(next(&mut subscriber).await.payload.len(), 100);
    }
    publish.await.unwrap();
    assert!(subscriber.next().now_or_never().is_none());
}
