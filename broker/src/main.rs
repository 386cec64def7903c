//! The binary `fulmar`.
fn main() {}
