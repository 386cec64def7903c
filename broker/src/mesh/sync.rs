//! What the inbox is built of. The loom test gives it the same names out of loom.

pub use std::sync::atomic::{AtomicBool, Ordering, fence};

pub use crossbeam::queue::SegQueue as Queue;
