//! Fulmar: a message broker for NATS clients.

pub mod config;

pub use config::Options;
