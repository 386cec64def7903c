//! The NATS client protocol without I/O: bytes become borrowed operations, operations
//! become bytes.
//!
//! The crate knows no sockets, no clocks and no runtime, so that the broker, the client and
//! the tests share one reading of the wire.
//!
//! * [`client_op`]: what a client sends (`CONNECT`, `PUB`, `SUB`, ...), as a server reads it.
//! * [`server_op`]: what a server sends (`INFO`, `MSG`, `-ERR`, ...), as a client reads it.
//! * [`encode`]: both directions, written into a `Vec<u8>`.
//! * [`subject`]: subjects and filters, parsed once into types that cannot be wrong.
//! * [`headers`]: the header block of a message, as a lazy view and as a builder.
//! * [`info`] and [`connect`]: the two JSON documents of the handshake.
//! * [`error_text`]: every `-ERR` text.
//!
//! ```
//! use fulmar_protocol::client_op::{ClientOp, Limits, Step, parse};
//!
//! let bytes = b"PUB greet.joe 5\r\nhello\r\n";
//! let Ok(Step::Op { op: ClientOp::Publish(publish), consumed }) = parse(bytes, &Limits::default()) else {
//!     panic!("a complete PUB is an operation");
//! };
//! assert_eq!((publish.subject, publish.payload), (&b"greet.joe"[..], &b"hello"[..]));
//! assert_eq!(consumed, bytes.len());
//! ```

pub mod client_op;
pub mod connect;
pub mod encode;
pub mod error_text;
pub mod headers;
pub mod info;
mod line;
pub mod server_op;
pub mod subject;

/// The NATS version whose behaviour is offered and expected: clients switch features on by it.
pub const NATS_VERSION: &str = "2.15.1";
