//! Sends a message with headers and looks at those that arrive.
//!
//! ```text
//! cargo run --release                             # a broker, in another terminal
//! cargo run -p fulmar-client --example headers    # or: ... -- nats://host:port
//! ```

use fulmar_client::HeaderMap;
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let client = fulmar_client::connect(&url).await?;
    let mut subscriber = client.subscribe("orders.new").await?;

    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/json")?;
    // A name may have several values.
    headers.append("Trace", "shop")?;
    headers.append("Trace", "warehouse")?;
    client.publish_with_headers("orders.new", headers, r#"{"id":1}"#.into()).await?;

    let message = subscriber.next().await.ok_or("the subscription ended")?;
    if let Some(headers) = &message.headers {
        for (name, value) in headers.iter() {
            println!("{name}: {value}");
        }
        println!("content type {:?}", headers.get("Content-Type"));
        println!("traces {:?}", headers.get_all("Trace").collect::<Vec<_>>());
    }
    println!("{}", String::from_utf8_lossy(&message.payload));
    Ok(())
}
