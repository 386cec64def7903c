//! Shares work among the members of a queue group: each message reaches one of them.
//!
//! ```text
//! cargo run --release                           # a broker, in another terminal
//! cargo run -p fulmar-client --example queue    # or: ... -- nats://host:port
//! ```

use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://localhost:4222".to_owned());

    // Each worker has a client of its own, as it would in a process of its own.
    let mut clients = Vec::new();
    let mut workers = Vec::new();
    for worker in 1..=3 {
        let client = fulmar_client::connect(&url).await?;
        let mut jobs = client.queue_subscribe("jobs", "workers").await?;
        // From here on the server knows of the worker.
        client.flush().await?;
        clients.push(client);
        workers.push(tokio::spawn(async move {
            let mut count = 0;
            while jobs.next().await.is_some() {
                count += 1;
            }
            println!("worker {worker} did {count} jobs");
        }));
    }

    let client = fulmar_client::connect(&url).await?;
    for job in 0..3000 {
        client.publish("jobs", format!("job {job}").into()).await?;
    }
    client.flush().await?;

    // Draining ends the subscriptions after what is still on its way has come.
    for client in &clients {
        client.drain().await?;
    }
    for worker in workers {
        worker.await?;
    }
    Ok(())
}
