//! Key-value buckets: the last values of keys, and if wanted those before, kept by a stream.
//!
//! ```no_run
//! # async fn example(context: fulmar_client::jetstream::Context) -> Result<(), Box<dyn std::error::Error>> {
//! use fulmar_client::kv;
//! use futures_util::TryStreamExt as _;
//!
//! let config = kv::Config { bucket: "profiles".to_owned(), history: 5, ..Default::default() };
//! let profiles = context.create_key_value(config).await?;
//!
//! let revision = profiles.put("joe.name", "Joe".into()).await?;
//! profiles.update("joe.name", "Joseph".into(), revision).await?;
//! assert_eq!(profiles.get("joe.name").await?.as_deref(), Some(&b"Joseph"[..]));
//!
//! let mut changes = profiles.watch("joe.*").await?;
//! while let Some(entry) = changes.try_next().await? {
//!     println!("{} is now {:?}", entry.key, entry.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * [`Config`] and the methods of [`Context`]: make, change, open, list and delete buckets.
//! * [`Store`]: read, write and delete keys.
//! * [`Watch`], [`History`], [`Keys`]: streams of [`Entry`]s and keys.
//!
//! Keys are made of letters, digits and `-/_=.`; a dot parts a key into tokens, which `*` and `>`
//! stand for when keys are watched.

mod bucket;
mod config;
mod entry;
mod error;
mod store;
mod watch;

pub use bucket::{BucketNames, Status, Statuses};
pub use config::{Config, HISTORY_MAX};
pub use entry::{Entry, Operation};
pub use error::Error;
pub use store::Store;
pub use watch::{History, Keys, Watch, WatchBuilder};

#[cfg(doc)]
use crate::jetstream::Context;
