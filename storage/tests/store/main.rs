//! The store as its owner sees it, on each disk.

#![expect(clippy::unwrap_used, reason = "a panic in a helper of a test is a failing test")]

mod behaviour;
mod crash;
mod model;
mod support;
