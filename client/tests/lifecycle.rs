//! How clients come to a connection, and to their end.

mod support;

use std::time::{Duration, Instant};

use fulmar_client::{
    Client, ConnectError, ConnectOptions, DrainError, Event, PublishError, State, SubscribeError,
};
use support::scripted::Scripted;
use support::{Server, free_port, next, next_text, rest, with_events, within};

async fn works(client: &Client) {
    let mut subscriber = client.subscribe("works").await.expect("it is subscribed");
    client.publish("works", "yes".into()).await.expect("it is published");
    assert_eq!(next_text(&mut subscriber).await, "yes");
}

#[tokio::test]
async fn user_and_password() {
    let server = Server::start(&["--user", "joe", "--pass", "p@ss"]);
    let options =
        |password: &str| ConnectOptions::with_user_and_password("joe".into(), password.into());
    works(&options("p@ss").connect(server.url()).await.unwrap()).await;
    let url = format!("nats://joe:p%40ss@127.0.0.1:{}", server.port());
    works(&fulmar_client::connect(&url).await.unwrap()).await;
    // What is in the address goes before the options.
    works(&options("wrong").connect(&url).await.unwrap()).await;
    for refused in [options("wrong"), ConnectOptions::new()] {
        let error = refused.connect(server.url()).await.unwrap_err();
        assert!(matches!(error, ConnectError::AuthorizationViolation { .. }), "{error}");
        assert!(error.to_string().contains(&server.port().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_token() {
    let server = Server::start(&["--auth", "s3cret"]);
    let client = ConnectOptions::with_token("s3cret".into()).connect(server.url()).await;
    works(&client.unwrap()).await;
    let url = format!("nats://s3cret@127.0.0.1:{}", server.port());
    works(&fulmar_client::connect(url).await.unwrap()).await;
    let error = ConnectOptions::with_token("other".into()).connect(server.url()).await;
    assert!(matches!(error, Err(ConnectError::AuthorizationViolation { .. })));
}

#[tokio::test]
async fn who_it_says_it_is() {
    let server = Scripted::start().await;
    let address = server.address();
    let connecting =
        tokio::spawn(async move { ConnectOptions::new().name("me").connect(address).await });
    let session = server.accept().await;
    connecting.await.unwrap().unwrap();
    for part in [
        r#""name":"me""#,
        r#""lang":"rust""#,
        r#""verbose":false"#,
        r#""pedantic":false"#,
        r#""protocol":1"#,
        r#""headers":true"#,
        r#""no_responders":true"#,
        r#""echo":true"#,
    ] {
        assert!(session.connect.contains(part), "{part} is not in {}", session.connect);
    }
}

#[tokio::test]
async fn why_there_is_no_connection() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let error = fulmar_client::connect(nobody).await.unwrap_err();
    assert!(matches!(error, ConnectError::Io { .. }), "{error}");

    let error = fulmar_client::connect("no-such-host.invalid").await.unwrap_err();
    assert!(matches!(error, ConnectError::Dns { .. }), "{error}");

    let silent = Scripted::start().await;
    let begin = Instant::now();
    let options = ConnectOptions::new().connection_timeout(Duration::from_millis(50));
    let error = options.connect(silent.address()).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    assert!(begin.elapsed() >= Duration::from_millis(50));

    for (greeting, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak NATS"),
        ("-ERR 'maximum connections exceeded'\r\n", "maximum connections exceeded"),
    ] {
        let server = Scripted::start().await;
        let connecting = tokio::spawn(fulmar_client::connect(server.address()));
        let mut stream = server.accept_silently().await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, greeting.as_bytes()).await.unwrap();
        let error = within("an error", connecting).await.unwrap().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn drain_loses_nothing() {
    let server = Server::start(&[]);
    let (options, mut events) = with_events();
    let client = options.connect(server.url()).await.unwrap();
    let other = fulmar_client::connect(server.url()).await.unwrap();
    let mut answers = other.subscribe("answers").await.unwrap();
    other.flush().await.unwrap();
    let mut subscriber = client.subscribe("drain").await.unwrap();
    client.flush().await.unwrap();
    for number in 0..100 {
        other.publish("drain", format!("{number}").into()).await.unwrap();
    }
    other.flush().await.unwrap();
    client.drain().await.unwrap();
    events.wait_for(Event::Draining).await;
    let refused = client.subscribe("drain").await.map(|_| ());
    assert_eq!(refused, Err(SubscribeError::Closed));
    // What comes is answered while the client drains.
    for number in 0..100 {
        let message = next(&mut subscriber).await;
        assert_eq!(message.payload, number.to_string());
        client.publish("answers", message.payload).await.unwrap();
    }
    assert!(rest(&mut subscriber).await.is_empty());
    within("the end", client.closed()).await;
    events.wait_for(Event::Closed).await;
    assert_eq!(client.connection_state(), State::Closed);
    assert_eq!(client.publish("answers", "".into()).await, Err(PublishError::Closed));
    assert_eq!(client.drain().await, Err(DrainError));
    for number in 0..100 {
        assert_eq!(next_text(&mut answers).await, number.to_string());
    }
}

/// A subscriber that nobody reads does not keep a client for ever.
#[tokio::test]
async fn drain_has_a_time_limit() {
    let server = Server::start(&[]);
    let options = ConnectOptions::new().drain_timeout(Duration::from_millis(50));
    let client = options.connect(server.url()).await.unwrap();
    let mut forgotten = client.subscribe("forgotten").await.unwrap();
    client.publish("forgotten", "1".into()).await.unwrap();
    client.flush().await.unwrap();
    let begin = Instant::now();
    client.drain().await.unwrap();
    within("the end", client.closed()).await;
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert_eq!(rest(&mut forgotten).await, ["1"]);
}

#[tokio::test]
async fn what_was_published_is_sent_before_the_last_clone_goes() {
    const COUNT: usize = 20_000;
    let server = Server::start(&[]);
    let listener = fulmar_client::connect(server.url()).await.unwrap();
    let mut subscriber = listener.subscribe("last").await.unwrap();
    listener.flush().await.unwrap();
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let clone = client.clone();
    drop(client);
    let own = clone.subscribe("own").await.unwrap();
    for _ in 0..COUNT {
        clone.publish("last", vec![0; 100].into()).await.unwrap();
    }
    drop(clone);
    // A subscriber keeps its client.
    drop(own);
    for _ in 0..COUNT {
        next(&mut subscriber).await;
    }
}

#[tokio::test]
async fn a_subscriber_keeps_its_client() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut subscriber = client.subscribe("kept").await.unwrap();
    client.flush().await.unwrap();
    drop(client);
    let other = fulmar_client::connect(server.url()).await.unwrap();
    other.publish("kept", "still here".into()).await.unwrap();
    assert_eq!(next_text(&mut subscriber).await, "still here");
}

#[tokio::test]
async fn the_connection_ends_with_the_client() {
    let server = Scripted::start().await;
    let address = server.address();
    let connecting = tokio::spawn(async move { fulmar_client::connect(address).await });
    let mut session = server.accept().await;
    let client = connecting.await.unwrap().unwrap();
    client.publish("bye", "".into()).await.unwrap();
    drop(client);
    assert_eq!(session.hear_until("PING").await, ["PUB bye 0", "", "PING"]);
    session.say("PONG\r\n").await;
    assert_eq!(within("the end of the connection", session.hear()).await, "");
}

/// Giving up on `connect` leaves nothing behind.
#[tokio::test]
async fn a_connect_that_is_dropped_ends() {
    let server = Scripted::start().await;
    let connecting = tokio::spawn(fulmar_client::connect(server.address()));
    let mut stream = server.accept_silently().await;
    connecting.abort();
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    within("the end of the connection", end).await.unwrap();
}

#[tokio::test]
async fn versions_are_compared() {
    let mut server = Scripted::start().await;
    server.info = r#"{"version":"2.10.5-beta"}"#.to_owned();
    let address = server.address();
    let connecting = tokio::spawn(async move { fulmar_client::connect(address).await });
    let _session = server.accept().await;
    let client = connecting.await.unwrap().unwrap();
    for (version, expected) in [
        ((2, 10, 5), true),
        ((2, 9, 99), true),
        ((1, 99, 0), true),
        ((2, 10, 6), false),
        ((3, 0, 0), false),
    ] {
        let (major, minor, patch) = version;
        assert_eq!(client.is_server_compatible(major, minor, patch), expected, "{version:?}");
    }
}
