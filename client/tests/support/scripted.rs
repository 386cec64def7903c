//! A server that says what the test wants it to say, and a proxy that cuts connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Listens on a free port of the loopback.
pub struct Scripted {
    listener: TcpListener,
    pub info: String,
}

/// A connection of a client to it.
pub struct Session {
    stream: BufReader<TcpStream>,
    /// The line with which the client logged in.
    pub connect: String,
}

impl Scripted {
    pub async fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.expect("a port is free"))
    }

    pub fn at(listener: TcpListener) -> Self {
        Self { listener, info: r#"{"max_payload":1048576,"headers":true}"#.to_owned() }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().expect("it listens").to_string()
    }

    /// Waits for a client and does not say a word.
    pub async fn accept_silently(&self) -> TcpStream {
        self.listener.accept().await.expect("somebody connects").0
    }

    /// Waits for a client and lets it in.
    pub async fn accept(&self) -> Session {
        let mut session = Session {
            stream: BufReader::new(self.accept_silently().await),
            connect: String::new(),
        };
        session.say(&format!("INFO {}\r\n", self.info)).await;
        session.connect = session.hear().await;
        assert_eq!(session.hear().await, "PING");
        session.say("PONG\r\n").await;
        session
    }
}

impl Session {
    pub async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the client listens");
    }

    /// The next line; empty at the end.
    pub async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("the client speaks");
        line.trim_end().to_owned()
    }

    /// Everything up to and with a line.
    pub async fn hear_until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != last) {
            lines.push(self.hear().await);
            assert!(!lines.ends_with(&[String::new(), String::new()]), "not heard: {lines:?}");
        }
        lines
    }
}

/// Passes everything on to a server, and cuts connections after any number of bytes of the
/// client.
pub struct CuttingProxy {
    pub address: String,
    /// It has cut as often as it should; the connections there are now hold.
    pub done: Arc<AtomicBool>,
}

impl CuttingProxy {
    pub async fn start(behind: u16, cuts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let done = Arc::new(AtomicBool::new(false));
        let cut_all = done.clone();
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(7);
            for cut in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                // Long enough for the first exchange, then anything.
                let bytes = (cut < cuts).then(|| random.usize(250..6_000));
                cut_all.store(cut >= cuts, Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(("127.0.0.1", behind)).await else { return };
                // A connection that breaks is what this is for.
                tokio::spawn(async move { pass_on(client, server, bytes).await });
            }
        });
        Self { address, done }
    }
}

async fn pass_on(
    mut client: TcpStream,
    mut server: TcpStream,
    bytes: Option<usize>,
) -> std::io::Result<()> {
    let Some(mut left) = bytes else {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = [0; 1024];
        while left > 0 {
            let room = left.min(buffer.len());
            let count = from_client.read(&mut buffer[..room]).await?;
            if count == 0 {
                break;
            }
            to_server.write_all(&buffer[..count]).await?;
            left -= count;
        }
        Ok(())
    };
    tokio::select! {
        done = up => done,
        done = tokio::io::copy(&mut from_server, &mut to_client) => done.map(drop),
    }
}
