//! Publishes to a stream without waiting for each answer, and consumes what was stored.
//!
//! ```text
//! cargo run --release -- -js                      # a broker, in another terminal
//! cargo run -p fulmar-client --example jetstream  # or: ... -- nats://host:port
//! ```

use fulmar_client::jetstream::consumer::pull;
use fulmar_client::jetstream::{self, Publish, stream};
use futures_util::TryStreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let client = fulmar_client::connect(&url).await?;
    let context = jetstream::new(client.clone());

    let stream = context
        .create_or_update_stream(stream::Config {
            name: "ORDERS".to_owned(),
            subjects: vec!["orders.>".to_owned()],
            max_messages: 10_000,
            ..Default::default()
        })
        .await?;

    // Many messages are on their way at once; the answers come later, in any order.
    let mut acks = Vec::new();
    for number in 0..1_000 {
        let payload = format!("order {number}").into();
        acks.push(context.publish("orders.new", payload).await?);
    }
    for ack in acks {
        ack.await?;
    }

    // A message with an id is not stored twice.
    let publish = || Publish::new().payload("once".into()).message_id("id-1");
    for _ in 0..2 {
        let ack = context.send_publish("orders.once", publish()).await?.await?;
        println!("sequence {}, duplicate: {}", ack.sequence, ack.duplicate);
    }

    // The consumer remembers what was acknowledged, also when this program ends.
    let config = pull::Config { durable_name: Some("worker".to_owned()), ..Default::default() };
    let consumer = stream.get_or_create_consumer("worker", config).await?;
    let mut messages = consumer.messages().await?;
    let mut count = 0;
    while let Some(message) = messages.try_next().await? {
        message.ack().await?;
        count += 1;
        if message.info()?.pending == 0 {
            break;
        }
    }
    println!("{count} messages were done");

    client.drain().await?;
    client.closed().await;
    Ok(())
}
