//! The load generator and the side-by-side comparison of Fulmar with any other server that
//! speaks NATS.
//!
//! ```text
//! cargo run --release -p fulmar-benches --bin compare
//! ```
//!
//! starts both servers by turns on the loopback, drives each through the same scenarios, reads
//! from the kernel what each cost, and writes tables and plots under `benches/runs/`.
//!
//! In the order to read: [`scenario`] says what is measured, [`jetstream`] what of streams,
//! [`load`] holds the clients that do it, [`server`] starts what is measured, on a [`store`] if
//! it shall keep something, [`phase`] and [`process`] read its CPU time and memory, [`report`]
//! turns rounds into medians and ratios, [`goal`] says what they shall be, [`plot`] draws them.
//! `src/bin/compare.rs` puts them together.
//!
//! How the figures come about, and what they do not say:
//!
//! * **CPU per message** is the CPU time of the server process between two moments of rest, over
//!   the number of messages (or deliveries) between them, every one of which was counted at its
//!   receiver. It is the figure to trust on a busy machine. The kernel's work for the loopback
//!   is in it: half of a TCP connection runs on the account of whoever writes.
//! * **Rate** depends on how server and load share the cores. It compares servers on one
//!   machine; it is not the rate of a server that has the machine for itself.
//! * Publishers are kept from running far ahead of the slowest subscriber, see [`load::pace`];
//!   `--ahead 0` leaves that to the server.
//! * What is stored is counted too: every acknowledgement must name the next sequence, every
//!   message that is read must be the one that was stored, and at the end the server must hold
//!   what it acknowledged.
//! * Beside every figure of a server that may wait for its disk stands the time of a bare write
//!   and sync in the same folder, before, behind, and where messages go one by one also during the
//!   measurement: disks change by the minute.
//! * Servers take turns, every measurement starts a fresh one, and the order is swapped each
//!   round, so that a slow phase of the machine meets both.

pub mod goal;
pub mod jetstream;
pub mod load;
pub mod measure;
pub mod phase;
pub mod plot;
pub mod process;
pub mod report;
pub mod scenario;
pub mod server;
pub mod store;
