//! The binary `fulmar`: the broker of the crate with a command line around it.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fulmar::cli::main(std::env::args_os().skip(1), fulmar::run)
}
