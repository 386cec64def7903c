//! The broker inside another program.

#![expect(clippy::unwrap_used, reason = "a panic here is a failing test with a place")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fulmar::{Options, Server, StartError};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { reader: BufReader::new(stream) };
        assert!(client.line().starts_with("INFO {"));
        client.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
        assert_eq!(client.line(), "PONG");
        client
    }

    fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).unwrap();
        rest
    }
}

#[test]
fn a_message_goes_through_and_shutdown_ends_everything() {
    let server = Server::start(Options::local()).unwrap();
    let address = server.client_address();
    assert_eq!(server.client_url(), format!("nats://{address}"));
    assert_eq!((server.server_id().len(), &server.server_id()[..1]), (56, "N"));
    let mut subscriber = Client::connect(address);
    subscriber.send("SUB greet.* 1\r\nPING\r\n");
    assert_eq!(subscriber.line(), "PONG");
    Client::connect(address).send("PUB greet.joe 5\r\nhello\r\n");
    assert_eq!(
        (subscriber.line(), subscriber.line()),
        ("MSG greet.joe 1 5".into(), "hello".into())
    );
    server.shutdown();
    assert_eq!(subscriber.rest(), "");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn two_brokers_in_one_program_know_nothing_of_each_other() {
    let servers = [0, 1].map(|_| Server::start(Options::local()).unwrap());
    let mut subscriber = Client::connect(servers[0].client_address());
    subscriber.send("SUB a 1\r\nPING\r\n");
    assert_eq!(subscriber.line(), "PONG");
    let mut publisher = Client::connect(servers[1].client_address());
    publisher.send("PUB a 1\r\nx\r\nPING\r\n");
    assert_eq!(publisher.line(), "PONG");
    subscriber.send("PING\r\n");
    assert_eq!(subscriber.line(), "PONG");
}

#[test]
fn a_taken_port_is_said_so() {
    let server = Server::start(Options::local()).unwrap();
    let port = server.client_address().port();
    let error = Server::start(Options { port, ..Options::local() }).unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
}

#[test]
fn impossible_reactor_counts_are_refused() {
    for count in [0, 64] {
        let error =
            Server::start(Options { reactors: Some(count), ..Options::local() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{count} reactors are not possible: choose from 1 to 63")
        );
    }
}

#[test]
fn settings_change_while_clients_stay() {
    let server = Server::start(Options::local()).unwrap();
    let mut client = Client::connect(server.client_address());
    let mut options = server.options();
    options.limits.payload_bytes_max = 10;
    assert_eq!(server.reload(options.clone()).unwrap(), ["max_payload"]);
    client.send("PUB a 11\r\n");
    assert_eq!(client.rest(), "-ERR 'Maximum Payload Violation'\r\n");

    options.host = "::1".to_owned();
    let error = server.reload(options).unwrap_err();
    assert!(error.to_string().starts_with("config reload not supported for host"), "{error}");
    assert_eq!(server.options().host, "127.0.0.1");
}

#[test]
fn lame_duck_mode_ends_by_itself() {
    let mut options = Options::local();
    options.timers.lame_duck_grace_period = Duration::from_millis(10);
    options.timers.lame_duck_duration = Duration::from_millis(500);
    let server = Server::start(options).unwrap();
    let mut clients: Vec<Client> =
        (0..5).map(|_| Client::connect(server.client_address())).collect();
    let began = Instant::now();
    server.enter_lame_duck_mode();
    server.wait();
    assert!(began.elapsed() < PATIENCE);
    for client in &mut clients {
        assert_eq!(client.rest(), "");
    }
}
