//! The API of JetStream, request by request: what a server answers is compared with what
//! nats-server answered, byte for byte, where time and chance have no part in it.
//!
//! Each chapter is a text file beside this one:
//!
//! ```text
//! --- begins anew: all streams are deleted
//! > [Header: value] ~ subject body
//! < answer
//! ```
//!
//! No chapter uses the name of a stream again: nats-server removes the files of a deleted stream
//! later than it says so, and a new one of that name finds them.
//!
//! The header may be missing; `~` is there if no answer must come. The answers were written by nats-server 2.15.1:
//!
//! ```sh
//! FULMAR_TEST_SERVER=$(which nats-server) FULMAR_RECORD=1 cargo test -p fulmar-tests --test jetstream_api
//! ```
//!
//! does so again; without `FULMAR_RECORD` it checks them.

use std::fmt::Write as _;
use std::path::Path;

use fulmar_tests::{RawClient, Server, ServerBuilder, eventually_some};

#[test]
fn json() {
    play("json");
}

#[test]
fn stream_create() {
    play("stream_create");
}

#[cfg(feature = "ahead")]
#[test]
fn stream_update() {
    play("stream_update");
}

#[test]
fn stream_origins() {
    play("stream_origins");
}

#[cfg(feature = "ahead")]
#[test]
fn consumer_create() {
    play("consumer_create");
}

#[cfg(feature = "ahead")]
#[test]
fn consumer_update() {
    play("consumer_update");
}

#[cfg(feature = "ahead")]
#[test]
fn requests() {
    play("requests");
}

#[test]
fn messages() {
    play("messages");
}

#[test]
fn limits() {
    let limits = "max_ack_pending: 50, max_request_batch: 5, duplicate_window: \"1m\"";
    let block = format!("max_mem: 1000, max_file: 2000, limits {{{limits}}}");
    play_on(Server::builder().configuration(format!("jetstream {{{block}}}")), "limits");
}

#[cfg(feature = "ahead")]
#[test]
fn lenient() {
    play_on(Server::builder().configuration("jetstream {strict: false}"), "lenient");
}

#[cfg(feature = "ahead")]
#[test]
fn domain() {
    play_on(Server::builder().configuration("jetstream {domain: hub}"), "domain");
}

/// Plays a chapter on a server as it comes.
#[track_caller]
fn play(chapter: &str) {
    play_on(Server::builder().arguments(["-js"]), chapter);
}

/// Plays a chapter and compares each answer, or writes them down if that is asked for.
#[track_caller]
fn play_on(server: ServerBuilder, chapter: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/jetstream_api")
        .join(chapter)
        .with_extension("txt");
    let text = std::fs::read_to_string(&file).expect("the chapter is beside this file");
    let records = std::env::var_os("FULMAR_RECORD").is_some();
    let server = server.arguments(["-sd", "store"]).start();
    let mut player = Player::connect(&server);
    let mut played = String::with_capacity(text.len());
    let mut differences = String::new();
    let mut answer: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(expected) = line.strip_prefix("< ") {
            let Some(answer) = answer.take() else {
                assert!(records, "line {}: an answer without a request", index + 1);
                continue;
            };
            if answer != expected {
                let request = text.lines().nth(index - 1).unwrap_or_default();
                let _ = writeln!(
                    differences,
                    "line {index}: {request}\n  expected {expected}\n  answered {answer}"
                );
            }
            continue;
        }
        played.push_str(line);
        played.push('\n');
        if line.starts_with("---") {
            player.delete_streams();
        } else if let Some(request) = line.strip_prefix("> ") {
            let received = player.ask(request);
            let _ = writeln!(played, "< {received}");
            answer = Some(received);
        }
    }
    if records {
        std::fs::write(&file, played).expect("the chapter can be written");
    } else {
        assert!(differences.is_empty(), "{differences}");
        assert_eq!(played, text, "an answer is missing");
    }
}

/// Asks, each time with a reply subject of its own.
struct Player {
    client: RawClient,
    asked: usize,
}

impl Player {
    fn connect(server: &Server) -> Self {
        let mut client = server.connect();
        client.send("SUB _INBOX.> 1\r\n");
        client.ping();
        Self { client, asked: 0 }
    }

    /// Asks and reads the answer, with what time and chance decide made the same.
    #[track_caller]
    fn ask(&mut self, request: &str) -> String {
        let (header, request) = match request.strip_prefix('[') {
            Some(rest) => rest.split_once("] ").expect("a header ends with a bracket"),
            None => ("", request),
        };
        let (is_silent, request) = match request.strip_prefix("~ ") {
            Some(request) => (true, request),
            None => (false, request),
        };
        // nats-server says so at times while it is removing the files of another stream.
        const BUSY: &str = "error creating store for stream";
        eventually_some("an answer that is not about files", || {
            Some(self.ask_once(header, request, is_silent)).filter(|text| !text.contains(BUSY))
        })
    }

    #[track_caller]
    fn ask_once(&mut self, header: &str, request: &str, is_silent: bool) -> String {
        let (subject, body) = request.split_once(' ').unwrap_or((request, ""));
        self.publish(subject, header, &unescaped(body));
        if is_silent {
            // An answer would come first, or else before the next one.
            self.publish("$JS.API.INFO", "", b"");
        }
        let answer = self.client.message();
        assert_eq!(answer.subject, format!("_INBOX.{}", self.asked), "not the answer to {request}");
        if is_silent {
            return "nothing".to_owned();
        }
        let answer = [answer.headers, answer.payload].concat();
        masked(&String::from_utf8_lossy(&answer).replace("\r\n", "\\r\\n"))
    }

    fn publish(&mut self, subject: &str, header: &str, body: &[u8]) {
        self.asked += 1;
        let reply = format!("_INBOX.{}", self.asked);
        let bytes = if header.is_empty() {
            format!("PUB {subject} {reply} {}\r\n", body.len()).into_bytes()
        } else {
            let header = format!("NATS/1.0\r\n{header}\r\n\r\n");
            let (size, total) = (header.len(), header.len() + body.len());
            format!("HPUB {subject} {reply} {size} {total}\r\n{header}").into_bytes()
        };
        self.client.send([bytes.as_slice(), body, b"\r\n"].concat());
    }

    fn delete_streams(&mut self) {
        loop {
            let names = self.ask("$JS.API.STREAM.NAMES");
            let names: serde_json::Value = serde_json::from_str(&names).expect("names are JSON");
            let Some(name) = names["streams"].get(0).and_then(|name| name.as_str()) else {
                return;
            };
            let deleted = self.ask(&format!("$JS.API.STREAM.DELETE.{name}"));
            assert!(deleted.contains("\"success\":true"), "{deleted}");
        }
    }
}

/// `\xNN` as that byte; everything else as it is.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    bytes
}

/// Takes out times, names that were made up, and counters of the whole server.
fn masked(answer: &str) -> String {
    let mut text = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, found) = rest.split_at(start);
        text.push_str(before);
        let end = found.find(|c: char| !is_of_time(c)).unwrap_or(found.len());
        let (token, after) = found.split_at(end);
        // Requests use the years around 2000 and 2050.
        let is_now = token.len() > 19 && token.ends_with('Z') && token.starts_with("202");
        let is_count = ["\"pause_remaining\":", "\"total\":", "\"errors\":"]
            .iter()
            .any(|name| text.ends_with(name) && (*name != "\"total\":" || in_api(&text)));
        text.push_str(if is_now {
            "*"
        } else if is_count {
            "0"
        } else {
            token
        });
        rest = after;
    }
    text.push_str(rest);
    let always = |_: &str| true;
    let is_made_up =
        |name: &str| name.len() == 8 && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let text = mask_text(&text, "\"leader\":\"", '"', always);
    let text = mask_text(&text, "Nats-Stream-Identity: ", '\\', always);
    mask_text(&text, "\"name\":\"", '"', is_made_up)
}

fn is_of_time(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '-' | ':' | 'T' | '.' | 'Z')
}

fn in_api(text: &str) -> bool {
    text.ends_with(&format!("\"api\":{{\"level\":{},\"total\":", 5))
}

/// Takes out each text between `name` and `end` that `is_masked`.
fn mask_text(text: &str, name: &str, end: char, is_masked: impl Fn(&str) -> bool) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(name) {
        let (before, found) = rest.split_at(start + name.len());
        masked.push_str(before);
        let (value, after) = found.split_at(found.find(end).unwrap_or(found.len()));
        masked.push_str(if is_masked(value) { "*" } else { value });
        rest = after;
    }
    masked.push_str(rest);
    masked
}
