//! Services: endpoints that answer requests, can be found, and count what they do.
//!
//! ```no_run
//! # async fn example(client: fulmar_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use fulmar_client::services;
//! use futures_util::StreamExt as _;
//!
//! let config = services::Config::new("calculator", "1.0.0").description("adds");
//! let service = services::start(&client, config).await?;
//! let mut add = service.group("v1").endpoint("add").await?;
//! while let Some(request) = add.next().await {
//!     match std::str::from_utf8(&request.payload).map(|text| text.len()) {
//!         Ok(length) => request.respond(length.to_string().into()).await?,
//!         Err(error) => request.respond_error(400, &error.to_string(), "".into()).await?,
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * [`Config`] and [`start`]: a service with a name and a version.
//! * [`Service`], [`Group`], [`EndpointBuilder`]: endpoints, under subjects that begin alike.
//! * [`Endpoint`]: a [`Stream`](futures_core::Stream) of [`Request`]s.
//! * [`Info`], [`Stats`]: what a service says of itself.
//!
//! Members of a queue group share requests: unless it is said otherwise, all instances of an
//! endpoint are in the group [`QUEUE_GROUP_DEFAULT`]. The service is found with requests to
//! `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, alone, with its name, or with its name and its id.

mod config;
mod discovery;
mod endpoint;
mod error;
mod service;

pub use config::{Config, QUEUE_GROUP_DEFAULT, QueueGroup, StatsHandler};
pub use discovery::{EndpointInfo, EndpointStats, Info, Ping, Stats};
pub use endpoint::{ERROR_CODE_HEADER, ERROR_HEADER, Endpoint, Request};
pub use error::{RespondError, StartError};
pub use service::{EndpointBuilder, Group, Service, start};
