//! The log as its owner sees it, on the simulated disk and on the real one.

#![expect(clippy::unwrap_used, reason = "a panic in a helper of a test is a failing test")]

mod behaviour;
mod crash;
mod damage;
mod model;
mod sealed;
mod support;
