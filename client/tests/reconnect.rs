//! What survives the loss of a connection.

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fulmar_client::{
    ClientError, ConnectOptions, Event, FlushError, PublishError, RequestError, State,
};
use futures_util::FutureExt as _;
use support::scripted::{CuttingProxy, Scripted};
use support::{DEADLINE, Server, echo, free_port, next_text, rest, with_events, within};

#[tokio::test]
async fn subscriptions_are_made_anew() {
    let mut server = Server::start(&[]);
    let (options, mut events) = with_events();
    let client = options.connect(server.url()).await.unwrap();
    events.wait_for(Event::Connected).await;
    assert_eq!(client.connection_state(), State::Connected);
    let mut plain = client.subscribe("again.*").await.unwrap();
    let mut queue = client.queue_subscribe("again.*", "group").await.unwrap();
    let ended = client.subscribe("again.*").await.unwrap();
    client.publish("again.a", "1".into()).await.unwrap();
    assert_eq!(
        (next_text(&mut plain).await, next_text(&mut queue).await),
        ("1".into(), "1".into())
    );
    drop(ended);

    server.stop();
    events.wait_for(Event::Disconnected).await;
    assert_eq!(client.connection_state(), State::Disconnected);
    // Made while there is no connection.
    let mut late = client.subscribe("again.*").await.unwrap();
    server.restart();
    events.wait_for(Event::Connected).await;
    client.publish("again.b", "2".into()).await.unwrap();
    for subscriber in [&mut plain, &mut queue, &mut late] {
        assert_eq!(next_text(subscriber).await, "2");
    }
    client.flush().await.unwrap();
    let statistics = client.statistics();
    assert_eq!(statistics.connects.load(Ordering::Relaxed), 2);
    assert_eq!(statistics.in_messages.load(Ordering::Relaxed), 6, "the dropped one came back");
}

#[tokio::test]
async fn what_is_left_of_a_limit_is_kept() {
    let mut server = Server::start(&[]);
    let (options, mut events) = with_events();
    let client = options.connect(server.url()).await.unwrap();
    events.wait_for(Event::Connected).await;
    let mut subscriber = client.subscribe("limit").await.unwrap();
    subscriber.unsubscribe_after(5).await.unwrap();
    for text in ["1", "2"] {
        client.publish("limit", text.into()).await.unwrap();
        assert_eq!(next_text(&mut subscriber).await, text);
    }
    server.restart();
    events.wait_for(Event::Disconnected).await;
    events.wait_for(Event::Connected).await;
    for text in ["3", "4", "5", "6"] {
        client.publish("limit", text.into()).await.unwrap();
    }
    assert_eq!(rest(&mut subscriber).await, ["3", "4", "5"]);
    client.flush().await.unwrap();
    // The server did not send the sixth: it knew what was left.
    assert_eq!(client.statistics().in_messages.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn messages_wait_for_a_connection() {
    let mut server = Server::start(&[]);
    let (options, mut events) = with_events();
    let client = options.reconnect_buffer_bytes_max(3000).connect(server.url()).await.unwrap();
    events.wait_for(Event::Connected).await;
    let mut subscriber = client.subscribe("wait").await.unwrap();
    server.stop();
    events.wait_for(Event::Disconnected).await;
    let mut waiting = 0;
    // "PUB wait 100", the payload and two line ends are 116 bytes.
    while client.publish("wait", vec![b'x'; 100].into()).now_or_never().is_some() {
        waiting += 1;
    }
    assert_eq!(waiting, 3000usize.div_ceil(116));
    let publisher = client.clone();
    let one_more = tokio::spawn(async move { publisher.publish("wait", "one more".into()).await });
    let mut flush = Box::pin(client.flush());
    assert!(flush.as_mut().now_or_never().is_none());
    server.restart();
    events.wait_for(Event::Connected).await;
    within("the flush", flush).await.unwrap();
    for _ in 0..waiting {
        assert_eq!(next_text(&mut subscriber).await.len(), 100);
    }
    assert_eq!(next_text(&mut subscriber).await, "one more");
    one_more.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_may_wait_for_a_connection() {
    let mut server = Server::start(&[]);
    let (options, mut events) = with_events();
    let client = options.connect(server.url()).await.unwrap();
    events.wait_for(Event::Connected).await;
    echo(&client, "echo").await;
    assert_eq!(client.request("echo", "1".into()).await.unwrap().payload, "1");
    server.stop();
    events.wait_for(Event::Disconnected).await;
    let request = tokio::spawn({
        let client = client.clone();
        async move { client.request("echo", "2".into()).await }
    });
    server.restart();
    let answer = within("the answer", request).await.unwrap();
    assert_eq!(answer.unwrap().payload, "2");
}

#[tokio::test]
async fn a_request_does_not_wait_longer_than_its_time() {
    let mut server = Server::start(&[]);
    let limit = Duration::from_millis(50);
    let (options, mut events) = with_events();
    let options = options.request_timeout(Some(limit)).reconnect_buffer_bytes_max(1);
    let client = options.connect(server.url()).await.unwrap();
    server.stop();
    events.wait_for(Event::Disconnected).await;
    // The first finds room in the buffer, the second does not.
    for _ in 0..2 {
        let answer = within("the time limit", client.request("a", "".into())).await;
        assert_eq!(answer.unwrap_err(), RequestError::TimedOut);
    }
}

#[tokio::test]
async fn another_server_takes_over() {
    let (mut first, second) = (Server::start(&[]), Server::start(&[]));
    let (options, mut events) = with_events();
    let client = options.retain_servers_order().connect([first.url(), second.url()]).await.unwrap();
    events.wait_for(Event::Connected).await;
    assert_eq!(client.server_info().port, first.port());
    let mut subscriber = client.subscribe("moved").await.unwrap();
    first.stop();
    events.wait_for(Event::Disconnected).await;
    events.wait_for(Event::Connected).await;
    assert_eq!(client.server_info().port, second.port());
    let other = fulmar_client::connect(second.url()).await.unwrap();
    client.flush().await.unwrap();
    other.publish("moved", "here".into()).await.unwrap();
    assert_eq!(next_text(&mut subscriber).await, "here");
    // Once is enough, whether there is a connection or not.
    client.force_reconnect().await;
    client.force_reconnect().await;
    events.wait_for(Event::Disconnected).await;
    client.force_reconnect().await;
    events.wait_for(Event::Connected).await;
    client.flush().await.unwrap();
}

#[tokio::test]
async fn the_first_server_that_is_there_is_taken() {
    let server = Server::start(&[]);
    let nobody = format!("nats://127.0.0.1:{}", free_port());
    let servers = format!("{nobody},{}", server.url());
    for _ in 0..5 {
        let client = fulmar_client::connect(&servers).await.unwrap();
        assert_eq!(client.server_info().port, server.port());
    }
}

#[tokio::test]
async fn it_may_connect_later() {
    let port = free_port();
    let (options, mut events) = with_events();
    let client = options
        .retry_on_initial_connect()
        .reconnect_delay_callback(|_| Duration::from_millis(10))
        .connect(format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    assert_eq!(client.connection_state(), State::Pending);
    let mut subscriber = client.subscribe("later").await.unwrap();
    client.publish("later", "at last".into()).await.unwrap();
    events.wait_until(|event| matches!(event, Event::ClientError(ClientError::Other(_)))).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mut session = Scripted::at(listener).accept().await;
    events.wait_for(Event::Connected).await;
    let heard = session.hear_until("at last").await;
    assert_eq!(heard, ["SUB later 1", "PUB later 7", "at last"]);
    session.say("MSG later 1 7\r\nat last\r\n").await;
    assert_eq!(next_text(&mut subscriber).await, "at last");
}

#[tokio::test]
async fn it_gives_up_after_so_many_attempts() {
    let mut server = Server::start(&[]);
    let (options, mut events) = with_events();
    let client = options
        .max_reconnects(3)
        .reconnect_delay_callback(|attempt| Duration::from_millis(attempt as u64))
        .connect(server.url())
        .await
        .unwrap();
    let mut subscriber = client.subscribe("end").await.unwrap();
    server.stop();
    events.wait_for(Event::ClientError(ClientError::MaxReconnects)).await;
    events.wait_for(Event::Closed).await;
    within("the end", client.closed()).await;
    assert_eq!(client.connection_state(), State::Closed);
    assert_eq!(client.publish("a", "".into()).await, Err(PublishError::Closed));
    assert_eq!(client.flush().await, Err(FlushError::Closed));
    assert!(rest(&mut subscriber).await.is_empty());
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let server = Scripted::start().await;
    let (options, mut events) = with_events();
    let options = options.ping_interval(Duration::from_millis(30));
    let connecting = tokio::spawn({
        let address = server.address();
        async move { options.connect(address).await }
    });
    let begin = Instant::now();
    let mut silent = server.accept().await;
    let _client = connecting.await.unwrap().unwrap();
    assert_eq!((silent.hear().await, silent.hear().await), ("PING".into(), "PING".into()));
    events.wait_for(Event::ClientError(ClientError::StaleConnection(2))).await;
    assert!(begin.elapsed() >= Duration::from_millis(90));
    within("another attempt", server.accept()).await;
}

/// A large message over a slow line keeps PONGs from coming.
#[tokio::test]
async fn a_message_that_comes_slowly_is_a_sign_of_life() {
    let server = Scripted::start().await;
    let (options, mut events) = with_events();
    let options = options.ping_interval(Duration::from_millis(60));
    let address = server.address();
    let connecting = tokio::spawn(async move { options.connect(address).await });
    let mut session = server.accept().await;
    let client = connecting.await.unwrap().unwrap();
    let mut subscriber = client.subscribe("slow").await.unwrap();
    assert_eq!(session.hear().await, "SUB slow 1");
    session.say("MSG slow 1 40\r\n").await;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        session.say("x").await;
    }
    session.say("\r\n").await;
    assert_eq!(next_text(&mut subscriber).await, "x".repeat(40));
    events.wait_for(Event::Connected).await;
    assert_eq!(client.statistics().connects.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_flush_fails_with_its_connection() {
    let server = Scripted::start().await;
    let address = server.address();
    let connecting = tokio::spawn(async move { fulmar_client::connect(address).await });
    let mut session = server.accept().await;
    let client = connecting.await.unwrap().unwrap();
    client.publish("lost", "x".into()).await.unwrap();
    let flush = client.flush();
    let lose = async {
        session.hear_until("PING").await;
        drop(session);
    };
    let (flushed, ()) = within("the end of the flush", async { tokio::join!(flush, lose) }).await;
    assert_eq!(flushed, Err(FlushError::Disconnected));
    // What was written is not sent a second time.
    let mut session = within("another attempt", server.accept()).await;
    client.publish("next", "y".into()).await.unwrap();
    assert_eq!(session.hear().await, "PUB next 1");
}

#[tokio::test]
async fn servers_tell_of_others() {
    let (mut known, told) = (Scripted::start().await, Scripted::start().await);
    known.info = format!(r#"{{"max_payload":99,"connect_urls":[{:?}]}}"#, told.address());
    let address = known.address();
    let (options, mut events) = with_events();
    let connecting =
        tokio::spawn(async move { options.connect(format!("nats://joe:secret@{address}")).await });
    let session = known.accept().await;
    let client = connecting.await.unwrap().unwrap();
    assert_eq!(client.max_payload(), 99);
    drop(session);
    // The server that was lost comes last.
    let mut session = within("a connection to the other", told.accept()).await;
    assert!(session.connect.contains(r#""user":"joe","pass":"secret""#), "{}", session.connect);
    events.wait_for(Event::Disconnected).await;
    events.wait_for(Event::Connected).await;
    session.say("INFO {\"max_payload\":1,\"ldm\":true}\r\n-ERR 'Some Trouble'\r\n").await;
    events.wait_for(Event::LameDuckMode).await;
    let trouble = fulmar_client::ServerError::Other("Some Trouble".into());
    events.wait_for(Event::ServerError(trouble)).await;
    assert_eq!(client.max_payload(), 1);
    let too_large = client.publish("a", "22".into()).await;
    assert_eq!(too_large, Err(PublishError::MaxPayloadExceeded { bytes: 2, bytes_max: 1 }));
}

#[tokio::test]
async fn messages_too_large_for_the_next_server_are_dropped() {
    let (first, mut second) = (Scripted::start().await, Scripted::start().await);
    second.info = r#"{"max_payload":3}"#.to_owned();
    let (options, mut events) = with_events();
    let servers = [first.address(), second.address()];
    let connecting =
        tokio::spawn(async move { options.retain_servers_order().connect(servers).await });
    let session = first.accept().await;
    let client = connecting.await.unwrap().unwrap();
    drop(session);
    events.wait_for(Event::Disconnected).await;
    let accepting = tokio::spawn(async move { second.accept().await });
    client.publish("a", "small".into()).await.unwrap_or(());
    client.publish("a", "1".into()).await.unwrap();
    let mut session = within("a connection", accepting).await.unwrap();
    // Published before or after the new limit was known, it is not sent.
    assert_eq!(session.hear_until("1").await, ["PUB a 1", "1"]);
}

/// A server that lets clients in and throws them out is not asked without a pause.
#[tokio::test]
async fn connections_that_do_not_hold_are_made_more_slowly() {
    let server = Scripted::start().await;
    let address = server.address();
    let connecting = tokio::spawn(async move { fulmar_client::connect(address).await });
    drop(server.accept().await);
    let _client = connecting.await.unwrap().unwrap();
    let begin = Instant::now();
    for _ in 0..3 {
        drop(within("another attempt", server.accept()).await);
    }
    // At least half of 100, 200 and 400 ms.
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(350) && elapsed < DEADLINE, "{elapsed:?}");
}

/// Wherever a connection is cut, in the middle of a message or between two, what is sent on the
/// next one makes sense to the server, and nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_anywhere() {
    const CUTS: usize = 40;
    let server = Server::start(&[]);
    let proxy = CuttingProxy::start(server.port(), CUTS).await;
    let (options, mut events) = with_events();
    let options = options.reconnect_delay_callback(|_| Duration::from_millis(1));
    let client = options.connect(&proxy.address).await.unwrap();
    let mut subscriber = client.subscribe("cuts").await.unwrap();
    let publisher = client.clone();
    let done = proxy.done.clone();
    let publish = tokio::spawn(async move {
        let mut number = 0;
        while !done.load(Ordering::Relaxed) {
            number += 1;
            let mut payload = format!("{number} ").into_bytes();
            payload.resize(10 + number % 300, b'.');
            publisher.publish("cuts", payload.into()).await.unwrap();
            if number % 20 == 0 {
                // It may fail with its connection, and does not matter.
                let _ = publisher.flush().await;
            }
        }
        // The connection that holds: nothing is lost any more.
        while publisher.flush().await.is_err() {}
        publisher.publish("cuts", "end".into()).await.unwrap();
        number
    });
    let (mut last, mut count) = (0, 0);
    loop {
        let text = next_text(&mut subscriber).await;
        if text == "end" {
            break;
        }
        let number: usize = text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(text.len(), 10 + number % 300);
        assert!(number > last, "{number} came after {last}");
        (last, count) = (number, count + 1);
    }
    let published = publish.await.unwrap();
    assert!(count > 0 && count <= published, "{count} of {published}");
    client.drain().await.unwrap();
    assert!(rest(&mut subscriber).await.is_empty());
    // The server understood everything.
    let mut connections = 0;
    let end = |event: &Event| {
        assert!(!matches!(event, Event::ServerError(_)), "{event}");
        connections += usize::from(*event == Event::Connected);
        *event == Event::Closed
    };
    events.wait_until(end).await;
    assert!(connections > CUTS / 2, "{connections}");
}

#[tokio::test]
async fn options_without_servers_or_with_bad_ones() {
    assert!(ConnectOptions::new().connect(Vec::<String>::new()).await.is_err());
    assert!(fulmar_client::connect("nats://a:99999").await.is_err());
    assert!(fulmar_client::connect("ftp://a").await.is_err());
}
