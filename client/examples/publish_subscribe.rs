//! Publishes messages and receives them through a subscription with a wildcard.
//!
//! ```text
//! cargo run --release                                       # a broker, in another terminal
//! cargo run -p fulmar-client --example publish_subscribe    # or: ... -- nats://host:port
//! ```

use fulmar_client::{ConnectOptions, Event};
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let client = ConnectOptions::new()
        .name("publish_subscribe")
        .event_callback(|event: Event| async move { eprintln!("[{event}]") })
        .connect(&url)
        .await?;

    // `*` stands for one token of a subject, `>` for one or more at its end.
    let mut subscriber = client.subscribe("greet.*").await?;
    // Three messages, and the stream ends.
    subscriber.unsubscribe_after(3).await?;

    for name in ["joe", "sue", "bob"] {
        client.publish(format!("greet.{name}"), format!("hello {name}").into()).await?;
    }
    while let Some(message) = subscriber.next().await {
        println!("{}: {}", message.subject, String::from_utf8_lossy(&message.payload));
    }

    // Everything that was published is with the server when this has returned.
    client.flush().await?;
    Ok(())
}
