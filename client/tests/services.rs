//! Services, against a real server.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use fulmar_client::services::{
    self, Config, ERROR_CODE_HEADER, ERROR_HEADER, Endpoint, Info, Ping, QueueGroup, RespondError,
    Service, StartError, Stats,
};
use fulmar_client::{Client, RequestError};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use support::{Server, next, within};

async fn connect(server: &Server) -> Client {
    fulmar_client::connect(server.url()).await.expect("it connects")
}

async fn start(client: &Client, name: &str) -> Service {
    services::start(client, Config::new(name, "1.2.3")).await.expect("it starts")
}

/// Answers each request with its own payload, or with an error if that is "bad".
fn echo(mut endpoint: Endpoint) {
    tokio::spawn(async move {
        while let Some(request) = endpoint.next().await {
            if request.payload == "bad" {
                request.respond_error(400, "it is bad", "sorry".into()).await
            } else {
                request.respond(request.payload.clone()).await
            }
            .expect("it is answered");
        }
    });
}

/// All answers to a question, of which there are so many.
async fn ask<T: serde::de::DeserializeOwned>(
    client: &Client,
    subject: &str,
    count: usize,
) -> Vec<T> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(&inbox).await.expect("it is subscribed");
    client.publish_with_reply(subject, inbox, "".into()).await.expect("it is asked");
    let mut parsed = Vec::new();
    for _ in 0..count {
        let answer = next(&mut answers).await;
        parsed.push(serde_json::from_slice(&answer.payload).expect("it can be read"));
    }
    parsed
}

#[tokio::test]
async fn endpoints_answer() {
    let server = Server::start(&[]);
    let (client, other) = (connect(&server).await, connect(&server).await);
    let service = start(&client, "echo").await;
    echo(service.endpoint("plain").await.unwrap());
    echo(service.group("v1").group("a").endpoint("grouped").await.unwrap());
    echo(service.endpoint_builder("special").subject("any.*.where").start().await.unwrap());
    client.flush().await.unwrap();
    for subject in ["plain", "v1.a.grouped", "any.thing.where"] {
        let answer = other.request(subject, "hello".into()).await.unwrap();
        assert_eq!(answer.payload, "hello");
    }
    let answer = other.request("plain", "bad".into()).await.unwrap();
    let headers = answer.headers.unwrap();
    assert_eq!(headers.get(ERROR_HEADER), Some("it is bad"));
    assert_eq!(headers.get(ERROR_CODE_HEADER), Some("400"));
    assert_eq!(answer.payload, "sorry");

    let stats = service.stats();
    let plain = &stats.endpoints[0];
    assert_eq!((plain.num_requests, plain.num_errors), (2, 1));
    assert_eq!((plain.name.as_str(), plain.last_error.as_str()), ("plain", "400:it is bad"));
    service.reset();
    let stats = service.stats();
    assert_eq!((stats.endpoints[0].num_requests, stats.endpoints[0].last_error.as_str()), (0, ""));
}

#[tokio::test]
async fn services_are_found() {
    let server = Server::start(&[]);
    let (client, other) = (connect(&server).await, connect(&server).await);
    let metadata: BTreeMap<_, _> = [("k".to_owned(), "v".to_owned())].into();
    let config = Config::new("a", "1.0.0")
        .description("first")
        .metadata(metadata.clone())
        .stats_handler(|stats| serde_json::json!({ "name": stats.name }));
    let first = services::start(&client, config).await.unwrap();
    let endpoint = first
        .group("g")
        .endpoint_builder("e")
        .metadata(metadata.clone())
        .queue_group(QueueGroup::None)
        .start()
        .await
        .unwrap();
    echo(endpoint);
    let second = start(&client, "a").await;
    let third = start(&client, "b").await;
    client.flush().await.unwrap();

    let mut ids: Vec<_> =
        ask::<Ping>(&other, "$SRV.PING", 3).await.into_iter().map(|ping| ping.id).collect();
    ids.sort();
    let mut expected = [first.id(), second.id(), third.id()];
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(ask::<Ping>(&other, "$SRV.PING.a", 2).await[0].name, "a");
    let ping = &ask::<Ping>(&other, &format!("$SRV.PING.b.{}", third.id()), 1).await[0];
    assert_eq!((ping.version.as_str(), &ping.metadata), ("1.2.3", &BTreeMap::new()));
    assert_eq!(ping.kind, "io.nats.micro.v1.ping_response");

    let info = &ask::<Info>(&other, &format!("$SRV.INFO.a.{}", first.id()), 1).await[0];
    assert_eq!(info, &first.info());
    assert_eq!((info.description.as_str(), &info.metadata), ("first", &metadata));
    assert_eq!(info.kind, "io.nats.micro.v1.info_response");
    let endpoint = &info.endpoints[0];
    assert_eq!((endpoint.name.as_str(), endpoint.subject.as_str()), ("e", "g.e"));
    assert_eq!((&endpoint.queue_group, &endpoint.metadata), (&None, &metadata));

    other.request("g.e", "x".into()).await.unwrap();
    let stats = &ask::<Stats>(&other, &format!("$SRV.STATS.a.{}", first.id()), 1).await[0];
    assert_eq!(stats.kind, "io.nats.micro.v1.stats_response");
    let endpoint = &stats.endpoints[0];
    assert_eq!((endpoint.num_requests, endpoint.num_errors), (1, 0));
    assert_eq!(endpoint.data, Some(serde_json::json!({ "name": "e" })));

    // One that does not exist is not found, and neither is one that was stopped.
    let missing = other.request("$SRV.PING.c", "".into()).await;
    assert_eq!(missing.unwrap_err(), RequestError::NoResponders);
    third.stop().await;
    let stopped = other.request("$SRV.PING.b", "".into()).await;
    assert_eq!(stopped.unwrap_err(), RequestError::NoResponders);
}

#[tokio::test]
async fn instances_share_requests() {
    let server = Server::start(&[]);
    let clients = [connect(&server).await, connect(&server).await];
    let mut instances = Vec::new();
    for client in &clients {
        let service = start(client, "s").await;
        echo(service.endpoint("shared").await.unwrap());
        let named = QueueGroup::Named("mine".to_owned());
        echo(service.group_with_queue("g", named).endpoint("grouped").await.unwrap());
        echo(service.endpoint_builder("all").queue_group(QueueGroup::None).start().await.unwrap());
        client.flush().await.unwrap();
        instances.push(service);
    }
    let asking = connect(&server).await;
    let asks = (0..100).map(|_| asking.request("shared", "x".into()));
    for answer in within("all answers", join_all(asks)).await {
        answer.unwrap();
    }
    asking.request("g.grouped", "x".into()).await.unwrap();
    asking.request("all", "x".into()).await.unwrap();
    let counted = |name: &str| -> Vec<u64> {
        let stats = instances.iter().map(|instance| instance.stats());
        stats
            .map(|stats| {
                let of = stats.endpoints.iter().find(|endpoint| endpoint.name == name);
                of.expect("it is there").num_requests
            })
            .collect()
    };
    let shared = counted("shared");
    assert!(shared.iter().sum::<u64>() == 100 && shared.iter().all(|count| *count > 0));
    assert_eq!(counted("grouped").iter().sum::<u64>(), 1);
    within("each gets it", async {
        while counted("all") != [1, 1] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let info = instances[0].info();
    let groups: Vec<_> =
        info.endpoints.iter().map(|endpoint| endpoint.queue_group.as_deref()).collect();
    assert_eq!(groups, [Some("q"), Some("mine"), None]);
}

#[tokio::test]
async fn what_has_come_is_answered_before_the_end() {
    let server = Server::start(&[]);
    let (client, other) = (connect(&server).await, connect(&server).await);
    let service = start(&client, "s").await;
    let mut endpoint = service.endpoint("slow").await.unwrap();
    client.flush().await.unwrap();
    let ask = async { other.request("slow", "x".into()).await };
    let answer = async {
        let request = within("a request", endpoint.next()).await.unwrap();
        service.stop().await;
        request.respond("late".into()).await.unwrap();
        drop(request);
        assert!(within("the end", endpoint.next()).await.is_none());
    };
    let (answer, ()) = tokio::join!(ask, answer);
    assert_eq!(answer.unwrap().payload, "late");
    assert_eq!(endpoint.stats().num_requests, 1);
    assert!(endpoint.stats().processing_time > Duration::ZERO);
    let stopped = other.request("slow", "x".into()).await;
    assert_eq!(stopped.unwrap_err(), RequestError::NoResponders);

    // Dropping a service stops it too, and an endpoint can be stopped alone.
    let service = start(&client, "s").await;
    let mut alone = service.endpoint("alone").await.unwrap();
    let mut rest = service.endpoint("rest").await.unwrap();
    alone.stop();
    assert!(within("the end", alone.next()).await.is_none());
    drop(service);
    assert!(within("the end", rest.next()).await.is_none());
}

#[tokio::test]
async fn what_cannot_be() {
    let server = Server::start(&[]);
    let client = connect(&server).await;
    for name in ["", "a.b", "a b", "a*"] {
        let error = services::start(&client, Config::new(name, "1.0.0")).await.unwrap_err();
        assert_eq!(error, StartError::InvalidName(name.to_owned()));
    }
    let error = services::start(&client, Config::new("a", "1.0")).await.unwrap_err();
    let text = "\"1.0\" is not a version: use three numbers, such as 1.0.0, as semver.org says";
    assert_eq!(error.to_string(), text);
    let service = start(&client, "s").await;
    assert!(matches!(service.endpoint("a.b").await, Err(StartError::InvalidName(_))));
    let bad = service.endpoint_builder("a").subject("a..b").start().await;
    assert!(matches!(bad, Err(StartError::InvalidSubject { .. })));
    let bad = service.group("a b").endpoint("a").await;
    assert!(matches!(bad, Err(StartError::InvalidSubject { .. })));
    let bad = service.endpoint_builder("a").queue_group(QueueGroup::Named("a b".to_owned()));
    assert!(matches!(bad.start().await, Err(StartError::Subscribe(_))));

    let mut endpoint = service.endpoint("silent").await.unwrap();
    client.publish("silent", "x".into()).await.unwrap();
    let request = within("a request", endpoint.next()).await.unwrap();
    assert_eq!(request.respond("y".into()).await.unwrap_err(), RespondError::NoReply);
    let error = request.respond_error(1, "a\nb", "".into()).await.unwrap_err();
    assert!(matches!(error, RespondError::Header(_)));
}
