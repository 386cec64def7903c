//! The index over subjects next to a plain list of messages.

#![expect(clippy::unwrap_used, reason = "a panic in a helper of a test is a failing test")]

mod model;
