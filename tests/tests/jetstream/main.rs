//! What JetStream answers on the wire: streams, publishing, consumers and what is built on them.
//!
//! One executable with a file per noun, as for `wire`. Every test starts a server of its own with
//! an empty store, so they run in any order and beside each other. Time passes only where the
//! thing that is tested is time; then the smallest that the server takes.
//!
//! ```text
//! cargo test -p fulmar-tests --test jetstream
//! FULMAR_TEST_SERVER=/path/to/nats-server cargo test -p fulmar-tests --test jetstream
//! ```

#[cfg(feature = "ahead")]
mod account;
mod ack;
mod advisory;
mod api;
mod atomic_batch;
mod consumer_create;
mod consumer_info;
mod consumer_update;
mod counter;
mod deliver;
mod direct_get;
mod fast_batch;
mod hostile;
mod key_value;
mod limits;
mod mirror;
#[cfg(feature = "ahead")]
mod monitoring;
mod pause;
mod priority;
mod publish;
mod pull;
mod push;
mod restart;
mod retention;
mod schedule;
#[cfg(feature = "ahead")]
mod snapshot;
mod source;
mod stream_content;
mod stream_create;
mod stream_info;
mod stream_update;
mod transform;
mod ttl;

use fulmar_tests::{JetStream, Server, eventually, is_fulmar};
use serde_json::{Value, json};

/// Milliseconds and seconds as configurations write them: in nanoseconds.
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// A server with an empty store, and a connection to it.
#[track_caller]
fn start() -> (Server, JetStream) {
    let server = Server::builder().jetstream().start();
    let jetstream = server.jetstream();
    (server, jetstream)
}

/// As [`start`], with the stream `S` for the subjects `s.>`, in memory. The fields of
/// `configuration` add to this or replace it.
#[track_caller]
fn start_with(configuration: Value) -> (Server, JetStream) {
    let (server, mut jetstream) = start();
    jetstream.stream(stream(configuration));
    (server, jetstream)
}

/// The configuration of the stream `S` for the subjects `s.>`, in memory. The fields of `changes`
/// add to this or replace it; `null` takes one away.
fn stream(changes: Value) -> Value {
    changed(json!({"name": "S", "subjects": ["s.>"], "storage": "memory"}), changes)
}

/// What a field of `STREAM.MSG.GET` holds, which is in base64; as text.
#[track_caller]
fn decoded(field: &Value) -> String {
    let bytes = data_encoding::BASE64.decode(field.as_str().unwrap_or_default().as_bytes());
    String::from_utf8(bytes.expect("base64")).expect("text")
}

/// `base` with the fields of `changes`; `null` takes one away.
fn changed(mut base: Value, changes: Value) -> Value {
    let fields = base.as_object_mut().expect("an object");
    let Value::Object(changes) = changes else { panic!("an object: {changes}") };
    for (name, value) in changes {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    base
}

/// A stream `S` for `s.>` in memory, and its consumer `C`, durable with explicit acks unless
/// `configuration` says otherwise.
#[track_caller]
fn start_with_consumer(configuration: Value) -> (Server, JetStream) {
    let (server, mut jetstream) = start_with(json!({}));
    jetstream.consumer("S", consumer(configuration));
    (server, jetstream)
}

/// The configuration of the consumer `C`, durable with explicit acks; as [`stream`].
fn consumer(changes: Value) -> Value {
    changed(json!({"durable_name": "C", "ack_policy": "explicit"}), changes)
}

/// Waits until so many pull requests wait at a consumer of the stream `S`.
#[track_caller]
fn wait_for_waiting(js: &mut JetStream, consumer: &str, expected: u64) {
    eventually("so many waiting requests", || {
        js.consumer_info("S", consumer)["num_waiting"] == expected
    });
}

/// So many messages are left for the consumer `C`.
#[track_caller]
fn check_pending(js: &mut JetStream, expected: u64) {
    if !is_fulmar() {
        // nats-server counts a message a moment after it has acknowledged it.
        eventually("so many messages that are left", || {
            js.consumer_info("S", "C")["num_pending"] == expected
        });
    }
    assert_eq!(js.consumer_info("S", "C")["num_pending"], expected);
}

/// Waits until a subject has a subscriber or, as is said, no longer one.
#[track_caller]
fn wait_for_push_bound(js: &mut JetStream, consumer: &str, expected: bool) {
    eventually("the consumer to notice its subscriber", || {
        (js.consumer_info("S", consumer)["push_bound"] == true) == expected
    });
}
