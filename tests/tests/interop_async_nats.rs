//! The crate `async-nats` against the server under test: what a Rust program that was written for
//! NATS does, it does here too.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, HeaderValue, Message,
    PublishErrorKind, Request, RequestErrorKind, Subscriber,
};
use bytes::Bytes;
use fulmar_tests::{DEADLINE, Server};
use futures_util::StreamExt;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[test]
fn the_server_introduces_itself() {
    let server = Server::start();
    run(async {
        let client = connect(&server).await;
        let info = client.server_info();
        assert_eq!(info.version, "2.15.1");
        assert_eq!((info.port, info.host.as_str()), (server.port(), "127.0.0.1"));
        assert_eq!(info.max_payload, 1_048_576);
        assert!(info.headers && !info.auth_required && !info.tls_required);
        assert!(client.is_server_compatible(2, 15, 0));
        assert!(!client.is_server_compatible(2, 16, 0));
    });
}

#[test]
fn publish_and_subscribe() {
    let server = Server::start();
    run(async {
        let publisher = connect(&server).await;
        let subscriber = connect(&server).await;
        let mut subscription = subscriber.subscribe("greet.joe").await.unwrap();
        settle(&subscriber).await;
        for number in 0..1_000 {
            publisher.publish("greet.joe", number.to_string().into()).await.unwrap();
        }
        publisher.publish_with_reply("greet.joe", "back.here", "last".into()).await.unwrap();
        publisher.publish("greet.sue", "not for joe".into()).await.unwrap();
        settle(&publisher).await;
        for number in 0..1_000 {
            let message = next(&mut subscription).await;
            assert_eq!(message.subject.as_str(), "greet.joe");
            assert_eq!(message.payload, number.to_string());
            assert_eq!((message.reply, message.headers), (None, None));
        }
        let message = next(&mut subscription).await;
        assert_eq!(message.payload, "last");
        assert_eq!(message.reply.unwrap().as_str(), "back.here");
    });
}

#[test]
fn wildcards() {
    let server = Server::start();
    run(async {
        let client = connect(&server).await;
        let mut star = client.subscribe("time.*.east").await.unwrap();
        let mut rest = client.subscribe("time.us.>").await.unwrap();
        for subject in ["time.us.east", "time.eu.east", "time.us.east.atlanta", "time.us"] {
            client.publish(subject, subject.into()).await.unwrap();
        }
        settle(&client).await;
        for expected in ["time.us.east", "time.eu.east"] {
            assert_eq!(next(&mut star).await.subject.as_str(), expected);
        }
        for expected in ["time.us.east", "time.us.east.atlanta"] {
            assert_eq!(next(&mut rest).await.subject.as_str(), expected);
        }
    });
}

#[test]
fn queue_groups() {
    let server = Server::start();
    run(async {
        let publisher = connect(&server).await;
        let (count, mut counted) = mpsc::unbounded_channel();
        let mut clients = Vec::new();
        for member in 0..3 {
            let client = connect(&server).await;
            let mut subscription =
                client.queue_subscribe("work", "workers".to_owned()).await.unwrap();
            settle(&client).await;
            clients.push(client);
            let count = count.clone();
            tokio::spawn(async move {
                while let Some(message) = subscription.next().await {
                    drop(count.send((member, message.payload)));
                }
            });
        }
        for number in 0..600 {
            publisher.publish("work", number.to_string().into()).await.unwrap();
        }
        settle(&publisher).await;
        let mut shares: HashMap<usize, usize> = HashMap::new();
        let mut all = Vec::new();
        for _ in 0..600 {
            let (member, payload) = counted.recv().await.unwrap();
            *shares.entry(member).or_default() += 1;
            all.push(String::from_utf8(payload.to_vec()).unwrap().parse::<usize>().unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (0..600).collect::<Vec<_>>(), "each message exactly once");
        assert!(shares.len() == 3 && shares.values().all(|share| *share > 50), "{shares:?}");
    });
}

#[test]
fn requests_and_replies() {
    let server = Server::start();
    run(async {
        let responder = connect(&server).await;
        let mut requests = responder.subscribe("square").await.unwrap();
        settle(&responder).await;
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let number: u64 = text(&request).parse().unwrap();
                let reply = request.reply.unwrap();
                responder.publish(reply, (number * number).to_string().into()).await.unwrap();
            }
        });
        let client = connect(&server).await;
        for number in 0..200_u64 {
            let reply = client.request("square", number.to_string().into()).await.unwrap();
            assert_eq!(text(&reply), (number * number).to_string());
        }
        // Many at once find their own reply.
        let replies = (0..100_u64).map(|number| {
            let client = client.clone();
            async move {
                let reply = client.request("square", number.to_string().into()).await.unwrap();
                (number, text(&reply))
            }
        });
        for (number, reply) in futures_util::future::join_all(replies).await {
            assert_eq!(reply, (number * number).to_string());
        }
        // With an inbox of its own.
        let request = Request::new().payload("12".into()).inbox(client.new_inbox());
        let reply = client.send_request("square", request).await.unwrap();
        assert_eq!(text(&reply), "144");
    });
}

#[test]
fn requests_without_an_answer() {
    let server = Server::start();
    run(async {
        let client = connect(&server).await;
        let error = client.request("nobody", "hello".into()).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoResponders);

        let _silent = client.subscribe("silent").await.unwrap();
        let request = Request::new().timeout(Some(Duration::from_millis(100)));
        let error = client.send_request("silent", request).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::TimedOut);
    });
}

#[test]
fn headers() {
    let server = Server::start();
    run(async {
        let client = connect(&server).await;
        let mut subscription = client.subscribe("headers").await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Color", "blue");
        headers.append("Many", "one");
        headers.append("Many", HeaderValue::from("two"));
        headers.insert("X-Odd_1", "gr\u{fc}n: yes");
        client.publish_with_headers("headers", headers.clone(), "body".into()).await.unwrap();
        client
            .publish_with_reply_and_headers("headers", "back", headers.clone(), Bytes::new())
            .await
            .unwrap();
        client.publish("headers", "plain".into()).await.unwrap();
        let message = next(&mut subscription).await;
        assert_eq!((text(&message).as_str(), message.reply), ("body", None));
        assert_eq!(message.headers, Some(headers.clone()));
        let message = next(&mut subscription).await;
        assert_eq!((text(&message).as_str(), message.reply.unwrap().as_str()), ("", "back"));
        assert_eq!(message.headers, Some(headers));
        let message = next(&mut subscription).await;
        assert_eq!((text(&message).as_str(), message.headers), ("plain", None));
    });
}

#[test]
fn unsubscribe_after_a_number() {
    let server = Server::start();
    run(async {
        let client = connect(&server).await;
        let mut subscription = client.subscribe("few").await.unwrap();
        subscription.unsubscribe_after(3).await.unwrap();
        for number in 0..10 {
            client.publish("few", number.to_string().into()).await.unwrap();
        }
        settle(&client).await;
        for number in 0..3 {
            assert_eq!(text(&next(&mut subscription).await), number.to_string());
        }
        let end = timeout(DEADLINE, subscription.next()).await.unwrap();
        assert!(end.is_none(), "{end:?}");
        // A subscription that is dropped is gone for the server too.
        let subscription = client.subscribe("gone").await.unwrap();
        settle(&client).await;
        drop(subscription);
        until(async || {
            let error = client.request("gone", "".into()).await;
            matches!(error, Err(error) if error.kind() == RequestErrorKind::NoResponders)
        })
        .await;
    });
}

#[test]
fn draining() {
    let server = Server::start();
    run(async {
        let publisher = connect(&server).await;
        let client = connect(&server).await;
        let mut subscription = client.subscribe("drain").await.unwrap();
        let mut other = client.subscribe("other").await.unwrap();
        settle(&client).await;
        let arrived = || client.statistics().in_messages.load(Ordering::Relaxed);
        let before = arrived();
        for number in 0..100 {
            publisher.publish("drain", number.to_string().into()).await.unwrap();
            publisher.publish("other", number.to_string().into()).await.unwrap();
        }
        settle(&publisher).await;
        // This client does not wait for what is still on its way: let it arrive.
        until(async || arrived() >= before + 200).await;
        // One subscription: it ends after what has arrived.
        subscription.drain().await.unwrap();
        let mut received = 0;
        while timeout(DEADLINE, subscription.next()).await.unwrap().is_some() {
            received += 1;
        }
        assert_eq!(received, 100);
        // The whole client: all subscriptions end, then the connection.
        client.drain().await.unwrap();
        let mut received = 0;
        while timeout(DEADLINE, other.next()).await.unwrap().is_some() {
            received += 1;
        }
        assert_eq!(received, 100);
        until(async || publisher.request("other", "".into()).await.is_err()).await;
    });
}

#[test]
fn payloads_up_to_the_limit() {
    let server = Server::with_configuration("max_payload: 100KB");
    run(async {
        let client = connect(&server).await;
        assert_eq!(client.max_payload(), 102_400);
        let mut subscription = client.subscribe("large").await.unwrap();
        for size in [0, 1, 511, 512, 4_096, 65_536, 102_400] {
            client.publish("large", vec![b'x'; size].into()).await.unwrap();
            assert_eq!(next(&mut subscription).await.payload.len(), size);
        }
        let error = client.publish("large", vec![b'x'; 102_401].into()).await.unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::MaxPayloadExceeded);
        settle(&client).await;
    });
}

#[test]
fn credentials() {
    for (configuration, good, bad) in [
        (
            "authorization { user: ana, password: secret }",
            ConnectOptions::with_user_and_password("ana".into(), "secret".into()),
            ConnectOptions::with_user_and_password("ana".into(), "wrong".into()),
        ),
        (
            "authorization { token: secret }",
            ConnectOptions::with_token("secret".into()),
            ConnectOptions::with_token("wrong".into()),
        ),
    ] {
        let server = Server::with_configuration(configuration);
        run(async {
            let client = good.connect(server.url()).await.unwrap();
            assert!(client.server_info().auth_required);
            echo(&client).await;
            for options in [bad, ConnectOptions::new()] {
                let error = options.connect(server.url()).await.unwrap_err();
                assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
            }
        });
    }
}

#[test]
fn reconnecting_after_a_restart() {
    let mut server = Server::builder().restartable().start();
    let (events, mut seen) = mpsc::unbounded_channel();
    run(async {
        let client = ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(20))
            .event_callback(move |event| {
                drop(events.send(event));
                std::future::ready(())
            })
            .connect(server.url())
            .await
            .unwrap();
        let mut plain = client.subscribe("after.*").await.unwrap();
        let mut queue = client.queue_subscribe("after.all", "group".to_owned()).await.unwrap();
        echo(&client).await;
        for round in 1..=2 {
            server.kill();
            expect(&mut seen, |event| matches!(event, Event::Disconnected)).await;
            // While the server is away what is published waits.
            client.publish("after.away", "waited".into()).await.unwrap();
            server.start_again();
            expect(&mut seen, |event| matches!(event, Event::Connected)).await;
            assert_eq!(text(&next(&mut plain).await), "waited", "round {round}");
            client.publish("after.all", "hello".into()).await.unwrap();
            assert_eq!(text(&next(&mut plain).await), "hello");
            assert_eq!(text(&next(&mut queue).await), "hello");
            echo(&client).await;
        }
        assert_eq!(client.statistics().connects.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn going_to_another_server_of_the_list() {
    let mut first = Server::start();
    let second = Server::start();
    run(async {
        let urls = [first.url(), second.url()];
        let addresses: Vec<async_nats::ServerAddr> =
            urls.iter().map(|url| url.parse().unwrap()).collect();
        let client = ConnectOptions::new()
            .retain_servers_order()
            .reconnect_delay_callback(|_| Duration::from_millis(20))
            .connect(addresses)
            .await
            .unwrap();
        let mut subscription = client.subscribe("moved").await.unwrap();
        echo(&client).await;
        assert_eq!(client.server_info().port, first.port());
        first.kill();
        until(async || client.server_info().port == second.port()).await;
        client.publish("moved", "here".into()).await.unwrap();
        assert_eq!(text(&next(&mut subscription).await), "here");
    });
}

#[test]
fn lame_duck_is_an_event() {
    let server =
        Server::with_configuration("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"");
    let (events, mut seen) = mpsc::unbounded_channel();
    run(async {
        let client = ConnectOptions::new()
            .event_callback(move |event| {
                drop(events.send(event));
                std::future::ready(())
            })
            .connect(server.url())
            .await
            .unwrap();
        settle(&client).await;
        echo(&client).await;
        server.signal(Signal::USR2);
        expect(&mut seen, |event| matches!(event, Event::LameDuckMode)).await;
        echo(&client).await;
        expect(&mut seen, |event| matches!(event, Event::Disconnected)).await;
    });
}

#[test]
fn no_echo() {
    let server = Server::start();
    run(async {
        let deaf = ConnectOptions::new().no_echo().connect(server.url()).await.unwrap();
        let hearing = connect(&server).await;
        let mut own = deaf.subscribe("voice").await.unwrap();
        let mut others = hearing.subscribe("voice").await.unwrap();
        settle(&deaf).await;
        settle(&hearing).await;
        deaf.publish("voice", "from deaf".into()).await.unwrap();
        settle(&deaf).await;
        hearing.publish("voice", "from hearing".into()).await.unwrap();
        assert_eq!(text(&next(&mut own).await), "from hearing");
        assert_eq!(text(&next(&mut others).await), "from deaf");
        assert_eq!(text(&next(&mut others).await), "from hearing");
    });
}

#[test]
fn statistics_and_flush() {
    let server = Server::start();
    run(async {
        let client = connect(&server).await;
        let mut subscription = client.subscribe("count").await.unwrap();
        for _ in 0..10 {
            client.publish("count", "12345".into()).await.unwrap();
            client.flush().await.unwrap();
            next(&mut subscription).await;
        }
        let statistics = client.statistics();
        for (counter, value) in [
            (&statistics.in_messages, 10),
            (&statistics.out_messages, 10),
            (&statistics.connects, 1),
        ] {
            assert_eq!(counter.load(Ordering::Relaxed), value);
        }
    });
}

/// Runs a test of async code, with an end.
#[track_caller]
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        timeout(DEADLINE * 2, test).await.expect("the test ends in time");
    });
}

async fn connect(server: &Server) -> Client {
    async_nats::connect(server.url()).await.expect("the server takes the connection")
}

async fn next(subscription: &mut Subscriber) -> Message {
    let message = timeout(DEADLINE, subscription.next()).await.expect("a message in time");
    message.expect("the subscription goes on")
}

/// The server has seen everything that the client did before.
///
/// This client's `flush` says only that it has left the client, so this is a round trip: a request
/// that nobody answers.
async fn settle(client: &Client) {
    let error = client.request("nobody.at.all", "".into()).await.expect_err("nobody answers");
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
}

/// A message to itself and back.
async fn echo(client: &Client) {
    let subject = client.new_inbox();
    let mut subscription = client.subscribe(subject.clone()).await.expect("a subscription");
    client.publish(subject, "echo".into()).await.expect("a message");
    assert_eq!(text(&next(&mut subscription).await), "echo");
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

async fn expect(seen: &mut mpsc::UnboundedReceiver<Event>, wanted: impl Fn(&Event) -> bool) {
    loop {
        let event = timeout(DEADLINE, seen.recv()).await.expect("the event in time");
        if wanted(&event.expect("the client lives")) {
            return;
        }
    }
}

/// Asks again until the answer is yes.
async fn until(mut condition: impl AsyncFnMut() -> bool) {
    timeout(DEADLINE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the condition holds in time");
}
