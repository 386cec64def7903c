//! The harness of the black-box tests: it starts a server binary, talks to it over its sockets
//! and reads what it leaves behind (exit code, log, ports file, monitoring pages).
//!
//! It refuses to know how the broker works inside. Everything it asks for is something that any
//! NATS server offers, so the same tests run against any of them:
//!
//! ```text
//! cargo test -p fulmar-tests                                           # the workspace's fulmar
//! FULMAR_TEST_SERVER=/path/to/nats-server cargo test -p fulmar-tests   # any other server
//! ```
//!
//! What passes against nats-server must pass against fulmar. Tests of what only fulmar offers ask
//! [`is_fulmar`] first.
//!
//! [`world`] is the exception: it runs the broker's reactors from memory, for the simulation, the
//! regression tests and the fuzz targets.

mod binary;
mod eventually;
mod jetstream;
mod monitoring;
mod raw_client;
mod server;
pub mod world;

pub use binary::{Finished, is_fulmar, run, run_linked_as, server_binary};
pub use eventually::{DEADLINE, eventually, eventually_some};
pub use jetstream::{
    Delivery, JetStream, Subscription, assert_contains, error, payloads, sequences,
};
pub use monitoring::Page;
pub use raw_client::{Message, RawClient};
pub use server::{Server, ServerBuilder};
