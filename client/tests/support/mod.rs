//! What all tests against a server share: the server process, scripted servers, waiting.

#![allow(dead_code, reason = "every test file uses some of it")]

pub mod jetstream;
pub mod scripted;
pub mod tls;

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use fulmar_client::{Client, ConnectOptions, Event, Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

/// How long any expectation may take; only a test that fails waits so long.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A server process on a loopback port; it is killed when the test lets go of it.
pub struct Server {
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { child: None, port: free_port(), arguments };
        server.restart();
        server
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the process; its port stays its own.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it can be waited for");
        }
    }

    /// Starts the process again, on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let port = self.port.to_string();
        let child = Command::new(server_binary())
            .args(["-a", "127.0.0.1", "-p", &port])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let child = self.child.insert(child);
        let begin = Instant::now();
        while !speaks(self.port) {
            assert!(child.try_wait().expect("it can be asked").is_none(), "the server ended");
            assert!(begin.elapsed() < DEADLINE, "the server does not speak");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a server greets at this port.
fn speaks(port: u16) -> bool {
    let Ok(socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    if socket.set_read_timeout(Some(DEADLINE)).is_err() {
        return false;
    }
    let mut line = String::new();
    // A server that speaks TLS first says nothing before the client does.
    BufReader::new(socket).read_line(&mut line).is_ok_and(|_| line.starts_with("INFO"))
}

/// A port that is free, and that no outgoing connection takes while its server restarts: those
/// come from 32768 on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 700).expect("below 700");
    loop {
        let port = 11_000 + offset * 30 + NEXT.fetch_add(1, Ordering::Relaxed) % 30;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The server under test: `FULMAR_TEST_SERVER`, or the workspace's own, built first.
pub fn server_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("FULMAR_TEST_SERVER") {
            return path.into();
        }
        // <target>/<profile>/deps/<this executable>
        let executable = std::env::current_exe().expect("a test knows its own path");
        let profile = executable.ancestors().nth(2).expect("it lies in <profile>/deps");
        let target = profile.parent().expect("a profile lies in a target directory");
        let name = profile.file_name().and_then(|name| name.to_str()).expect("it has a name");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "fulmar", "--bin", "fulmar", "--profile"])
            .arg(if name == "debug" { "dev" } else { name })
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo can be run");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "fulmar does not build:\n{said}");
        profile.join("fulmar")
    })
}

/// Options whose events come out of the channel.
pub fn with_events() -> (ConnectOptions, Events) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let options = ConnectOptions::new().event_callback(move |event| {
        let sender = sender.clone();
        async move {
            // The test may have lost interest.
            let _ = sender.send(event);
        }
    });
    (options, Events(receiver))
}

/// What happened to a client, in order.
pub struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    /// Waits for this event and forgets those before it.
    pub async fn wait_for(&mut self, expected: Event) {
        self.wait_until(|event| *event == expected).await;
    }

    /// Waits for an event of which this is true and forgets those before it.
    pub async fn wait_until(&mut self, mut is_it: impl FnMut(&Event) -> bool) -> Event {
        let mut seen = Vec::new();
        let wait = async {
            while let Some(event) = self.0.recv().await {
                if is_it(&event) {
                    return Some(event);
                }
                seen.push(event);
            }
            None
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(Some(event)) => event,
            _ => panic!("the event did not come, but: {seen:?}"),
        }
    }
}

/// The next message, which must come.
pub async fn next(subscriber: &mut Subscriber) -> Message {
    let next = tokio::time::timeout(DEADLINE, subscriber.next()).await;
    next.expect("a message comes in time").expect("the subscription has not ended")
}

/// The text of the next message, which must come.
pub async fn next_text(subscriber: &mut Subscriber) -> String {
    let message = next(subscriber).await;
    String::from_utf8(message.payload.to_vec()).expect("the payload is text")
}

/// The texts of all messages up to the end of the subscription, which must come.
pub async fn rest(subscriber: &mut Subscriber) -> Vec<String> {
    let mut texts = Vec::new();
    let all = async {
        while let Some(message) = subscriber.next().await {
            texts.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
    };
    let ended = tokio::time::timeout(DEADLINE, all).await;
    assert!(ended.is_ok(), "the subscription did not end; it had {texts:?}");
    texts
}

/// Waits for something that must happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain for: {what}"),
    }
}

/// Answers every message to `subject` with its own payload, until the client ends.
pub async fn echo(client: &Client, subject: &'static str) {
    let mut requests = client.subscribe(subject).await.expect("it can be subscribed to");
    client.flush().await.expect("the server takes it");
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply
                && client.publish(reply, request.payload).await.is_err()
            {
                return;
            }
        }
    });
}
