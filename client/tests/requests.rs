//! Requests and their answers, against a real server.

mod support;

use std::time::{Duration, Instant};

use fulmar_client::{ConnectOptions, HeaderMap, PublishError, Request, RequestError, StatusCode};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use support::{Server, echo, next, within};

#[tokio::test]
async fn answers_come_back_to_their_requests() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    echo(&fulmar_client::connect(server.url()).await.unwrap(), "echo").await;
    let answers = join_all((0..500).map(|number: u32| {
        let client = &client;
        async move {
            let payload = number.to_string();
            let answer = client.request("echo", payload.clone().into()).await.unwrap();
            assert_eq!(answer.payload, payload);
        }
    }));
    within("all answers", answers).await;
}

/// Whoever waits for space or for an answer is woken, whatever the threads do meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_share_a_small_buffer() {
    let server = Server::start(&[]);
    let options = ConnectOptions::new().write_buffer_bytes_max(500);
    let client = options.connect(server.url()).await.unwrap();
    echo(&client, "echo").await;
    let tasks = (0..16).map(|task: u32| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..300 {
                let payload = format!("{task}.{number}");
                let answer = client.request("echo", payload.clone().into()).await.unwrap();
                assert_eq!(answer.payload, payload);
                client.publish("nobody", vec![0; 200].into()).await.unwrap();
                if number % 50 == 0 {
                    client.flush().await.unwrap();
                }
            }
        })
    });
    for task in within("all tasks", join_all(tasks)).await {
        task.unwrap();
    }
}

#[tokio::test]
async fn headers_go_with_a_request() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut requests = client.subscribe("headers").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Trace", "1").unwrap();
    let answer = client.request_with_headers("headers", headers, "?".into());
    let respond = async {
        let request = next(&mut requests).await;
        assert_eq!(request.headers.unwrap().get("Trace"), Some("1"));
        client.publish(request.reply.unwrap(), "!".into()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(answer, respond);
    assert_eq!(answer.unwrap().payload, "!");
}

#[tokio::test]
async fn nobody_listens() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let begin = Instant::now();
    assert_eq!(client.request("nobody", "".into()).await.unwrap_err(), RequestError::NoResponders);
    let own_inbox = Request::new().inbox(client.new_inbox());
    let answer = client.send_request("nobody", own_inbox).await;
    assert_eq!(answer.unwrap_err(), RequestError::NoResponders);
    assert!(begin.elapsed() < Duration::from_secs(5), "it waited for the time limit");
}

#[tokio::test]
async fn nobody_answers() {
    let server = Server::start(&[]);
    let limit = Duration::from_millis(200);
    let options = ConnectOptions::new().request_timeout(Some(limit));
    let client = options.connect(server.url()).await.unwrap();
    let _listener = client.subscribe("silent").await.unwrap();
    let begin = Instant::now();
    assert_eq!(client.request("silent", "".into()).await.unwrap_err(), RequestError::TimedOut);
    assert!(begin.elapsed() >= limit);
    let begin = Instant::now();
    let shorter = Request::new().timeout(Some(Duration::from_millis(20)));
    let answer = within("the time limit", client.send_request("silent", shorter.clone())).await;
    assert_eq!(answer.unwrap_err(), RequestError::TimedOut);
    let own_inbox = shorter.inbox(client.new_inbox());
    let answer = within("the time limit", client.send_request("silent", own_inbox)).await;
    assert_eq!(answer.unwrap_err(), RequestError::TimedOut);
    assert!(begin.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn a_late_answer_and_a_dropped_request_do_no_harm() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let mut requests = client.subscribe("late").await.unwrap();
    let mut given_up = Box::pin(client.request("late", "1".into()));
    assert!(given_up.as_mut().now_or_never().is_none());
    let first = next(&mut requests).await;
    drop(given_up);
    client.publish(first.reply.unwrap(), "late".into()).await.unwrap();
    let respond = async {
        let second = next(&mut requests).await;
        client.publish(second.reply.unwrap(), "2".into()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.request("late", "2".into()), respond);
    assert_eq!(answer.unwrap().payload, "2");
}

#[tokio::test]
async fn inboxes_have_the_prefix_that_was_chosen() {
    let server = Server::start(&[]);
    let options = ConnectOptions::new().custom_inbox_prefix("_MY.inbox");
    let client = options.connect(server.url()).await.unwrap();
    assert!(client.new_inbox().starts_with("_MY.inbox."));
    assert_ne!(client.new_inbox(), client.new_inbox());
    let mut requests = client.subscribe("prefix").await.unwrap();
    let respond = async {
        let reply = next(&mut requests).await.reply.unwrap();
        assert!(reply.starts_with("_MY.inbox."), "{reply}");
        client.publish(reply, "ok".into()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.request("prefix", "".into()), respond);
    let answer = answer.unwrap();
    assert_eq!(answer.payload, "ok");
    assert!(answer.subject.starts_with("_MY.inbox."));
    for prefix in ["", "a b", "a.*", "a..b"] {
        let options = ConnectOptions::new().custom_inbox_prefix(prefix);
        assert!(options.connect(server.url()).await.is_err(), "{prefix}");
    }
}

#[tokio::test]
async fn a_request_is_checked_like_a_publish() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let answer = client.request("a b", "".into()).await;
    assert!(matches!(answer, Err(RequestError::Publish(PublishError::InvalidSubject(_)))));
    let large = vec![0; client.max_payload() + 1];
    let answer = client.request("a", large.into()).await;
    let too_large = PublishError::MaxPayloadExceeded {
        bytes: client.max_payload() + 1,
        bytes_max: client.max_payload(),
    };
    assert_eq!(answer.unwrap_err(), RequestError::Publish(too_large));
}

/// 503 is a status like any other for whoever subscribes to the inbox himself.
#[tokio::test]
async fn a_status_can_be_seen() {
    let server = Server::start(&[]);
    let client = fulmar_client::connect(server.url()).await.unwrap();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(&inbox).await.unwrap();
    client.publish_with_reply("nobody", inbox, "".into()).await.unwrap();
    let answer = within("an answer", answers.next()).await.unwrap();
    assert_eq!(answer.status, Some(StatusCode::NO_RESPONDERS));
    assert!(answer.headers.is_some());
}
