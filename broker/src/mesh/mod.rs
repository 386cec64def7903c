//! How peers reach each other: mail, the inbox it lands in, and the interest that says who gets it.

pub mod inbox;
pub mod interest;
pub mod mail;
mod sync;
mod trie;
pub mod waker;
