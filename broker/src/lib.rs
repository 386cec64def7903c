//! Fulmar: a message broker for NATS clients.
//!
//! The broker can be embedded: see [`Server`]. The binary `fulmar` is the same broker with a
//! command line around it.

pub mod config;
mod control;
pub mod mesh;
pub mod reactor;
mod server;
mod shared;
pub mod stats;

pub use config::Options;
pub use server::{Server, StartError};
pub use shared::{Account, Peer, ReactorInbox, Shared};
