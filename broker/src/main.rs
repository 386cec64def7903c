//! The binary `fulmar`.

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut options = fulmar::Options::default();
    let args: Vec<String> = std::env::args().collect();
    options.port = args.iter().position(|a| a == "-p").map_or(4222, |i| args[i + 1].parse().expect("port"));
    options.reactors = args.iter().position(|a| a == "--reactors").map(|i| args[i + 1].parse().expect("n"));
    if args.iter().any(|a| a == "-v") {
        return println!("fulmar: v0.1.0 (serves NATS 2.15.1)");
    }
    let server = fulmar::Server::start(options).expect("start");
    println!("{}", server.client_url());
    server.wait();
}
