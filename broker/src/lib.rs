//! Fulmar: a message broker for NATS clients.
//!
//! The broker can be embedded: see [`Server`]. The binary `fulmar` is the same broker with a
//! command line around it.

pub mod cli;
pub mod config;
mod control;
pub mod executable;
pub mod jetstream;
pub mod log;
pub mod mesh;
pub mod reactor;
mod reload;
mod server;
mod shared;
mod signal;
pub mod stats;
mod verifier;

pub use config::Options;
pub use control::{RunError, run};
pub use server::{ReloadError, Server, StartError};
pub use shared::{Account, Live, Peer, PeerInbox, Shared};
