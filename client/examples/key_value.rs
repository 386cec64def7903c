//! A bucket of keys and values: written, read, changed only if nobody else did, and watched.
//!
//! ```text
//! cargo run --release -- -js                      # a broker, in another terminal
//! cargo run -p fulmar-client --example key_value  # or: ... -- nats://host:port
//! ```

use fulmar_client::{jetstream, kv};
use futures_util::TryStreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let client = fulmar_client::connect(&url).await?;
    let context = jetstream::new(client.clone());
    let config = kv::Config { bucket: "settings".to_owned(), history: 5, ..Default::default() };
    let settings = context.create_or_update_key_value(config).await?;

    // What is there already comes first, then changes.
    let mut changes = settings.watch("color.*").await?;
    for entry in changes.current().await? {
        println!("before: {} {:?} {:?}", entry.key, entry.operation, entry.value);
    }

    let revision = settings.put("color.sky", "blue".into()).await?;
    settings.update("color.sky", "grey".into(), revision).await?;
    match settings.update("color.sky", "red".into(), revision).await {
        Err(error @ kv::Error::WrongRevision { .. }) => println!("{error}"),
        other => println!("unexpected: {other:?}"),
    }
    println!("the sky is {:?}", settings.get("color.sky").await?);
    settings.delete("color.sky").await?;

    for _ in 0..3 {
        let Some(change) = changes.try_next().await? else { break };
        println!("change: {} {:?} {:?}", change.key, change.operation, change.value);
    }
    let history: Vec<_> = settings.history("color.sky").await?.try_collect().await?;
    println!("{} values are known of color.sky", history.len());

    client.drain().await?;
    client.closed().await;
    Ok(())
}
