//! A server with JetStream in a directory of its own, and what the tests of streams share.

use std::fmt::Debug;

use fulmar_client::jetstream::stream::{self, StorageType, Stream};
use fulmar_client::jetstream::{self, Context};
use fulmar_client::{Client, ConnectOptions};
use futures_util::TryStream;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

use super::{DEADLINE, Server, within};

/// A server with JetStream; its directory is removed when the test lets go of it.
pub struct JetStreamServer {
    // First the server, then its directory.
    pub server: Server,
    directory: TempDir,
}

impl JetStreamServer {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let path = directory.path().to_str().expect("its path is text");
        let server = Server::start(&["-js", "-sd", path]);
        Self { server, directory }
    }

    /// A server whose JetStream is in this domain.
    pub fn start_in_domain(domain: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let config = format!(
            "jetstream {{ domain: {domain}, store_dir: {:?} }}\n",
            directory.path().join("store")
        );
        let path = directory.path().join("server.conf");
        std::fs::write(&path, config).expect("the configuration is written");
        let server = Server::start(&["-c", path.to_str().expect("its path is text")]);
        Self { server, directory }
    }

    /// A client of its own, and its JetStream.
    pub async fn context(&self) -> Context {
        jetstream::new(self.client().await)
    }

    /// A client of its own. It comes back soon when the server does.
    pub async fn client(&self) -> Client {
        let options = ConnectOptions::new()
            .reconnect_delay_callback(|_| std::time::Duration::from_millis(20));
        within("a connection", options.connect(self.server.url())).await.expect("it connects")
    }
}

/// A stream in memory with these subjects.
pub async fn stream(context: &Context, name: &str, subjects: &[&str]) -> Stream {
    let config = stream::Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        storage: StorageType::Memory,
        ..stream::Config::default()
    };
    context.create_stream(config).await.expect("the stream is made")
}

/// Stores so many messages, "0", "1" and so on.
pub async fn fill(context: &Context, subject: &str, count: usize) {
    let mut acks = Vec::new();
    for number in 0..count {
        let payload = number.to_string().into();
        acks.push(context.publish(subject, payload).await.expect("it is published"));
    }
    for ack in acks {
        ack.await.expect("it is stored");
    }
}

/// All of a stream that ends.
pub async fn all<S, T, E>(stream: S) -> Vec<T>
where
    S: TryStream<Ok = T, Error = E>,
    E: Debug,
{
    match tokio::time::timeout(DEADLINE, stream.try_collect()).await {
        Ok(items) => items.expect("no element is an error"),
        Err(_) => panic!("the stream does not end"),
    }
}

/// The next element, which must come.
pub async fn next_ok<S, T, E>(stream: &mut S) -> T
where
    S: TryStream<Ok = T, Error = E> + Unpin,
    E: Debug,
{
    let next = within("the next element", stream.try_next()).await;
    next.expect("it is no error").expect("the stream has not ended")
}

/// The text of a message.
pub fn text(payload: &[u8]) -> String {
    String::from_utf8(payload.to_vec()).expect("the payload is text")
}
