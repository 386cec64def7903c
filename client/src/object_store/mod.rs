//! Object stores: buckets of named objects of any size, kept in pieces by a stream.
//!
//! ```no_run
//! # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
//! use fulmar_client::object_store;
//! use tokio::io::AsyncReadExt as _;
//!
//! let config = object_store::Config { bucket: "files".to_owned(), ..Default::default() };
//! let files = context.create_object_store(config).await?;
//!
//! let info = files.put("hello.txt", &mut &b"hello"[..]).await?;
//! assert_eq!(info.size, 5);
//!
//! let mut text = String::new();
//! files.get("hello.txt").await?.read_to_string(&mut text).await?;
//! # Ok(())
//! # }
//! ```
//!
//! * [`Config`] and the methods of [`Context`]: make, change, open, list and delete buckets.
//! * [`ObjectStore`]: put, get, delete and watch objects.
//! * [`Object`]: reads an object, and checks that it is whole.
//!
//! # Bounds
//!
//! While an object is put, at most [`CHUNKS_INFLIGHT_MAX`] of its pieces are without an answer;
//! while it is read, at most [`CHUNKS_AHEAD_MAX`] are asked for in advance. A piece has
//! [`CHUNK_BYTES_DEFAULT`] bytes unless [`ObjectMeta::chunk_size`] says otherwise.

mod bucket;
mod error;
mod info;
mod read;
mod store;
mod watch;

pub use bucket::{BucketNames, Config, Status, Statuses};
pub use error::Error;
pub use info::{Link, ObjectInfo, ObjectMeta};
pub use read::{CHUNKS_AHEAD_MAX, Object};
pub use store::{CHUNK_BYTES_DEFAULT, CHUNKS_INFLIGHT_MAX, LINKS_MAX, ObjectStore};
pub use watch::{List, Watch, WatchBuilder};

#[cfg(doc)]
use crate::jetstream::Context;
