//! A service that answers requests, a client that asks, and a request that nobody answers.
//!
//! ```text
//! cargo run --release                                   # a broker, in another terminal
//! cargo run -p fulmar-client --example request_reply    # or: ... -- nats://host:port
//! ```

use std::time::Duration;

use fulmar_client::{Request, RequestError};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let client = fulmar_client::connect(&url).await?;

    let mut requests = client.subscribe("upper").await?;
    let service = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            // A message without a reply address wants no answer.
            if let Some(reply) = request.reply {
                let answer = String::from_utf8_lossy(&request.payload).to_uppercase();
                if let Err(error) = service.publish(reply, answer.into()).await {
                    eprintln!("the answer was not sent: {error}");
                }
            }
        }
    });

    let answer = client.request("upper", "how are you?".into()).await?;
    println!("{}", String::from_utf8_lossy(&answer.payload));

    // A time limit of its own instead of the client's.
    let request =
        Request::new().payload("and now?".into()).timeout(Some(Duration::from_millis(500)));
    let answer = client.send_request("upper", request).await?;
    println!("{}", String::from_utf8_lossy(&answer.payload));

    // The server says at once when nobody listens: no need to wait for the time limit.
    match client.request("nobody.listens", "hello?".into()).await {
        Err(RequestError::NoResponders) => println!("nobody listens to nobody.listens"),
        other => println!("unexpected: {other:?}"),
    }
    Ok(())
}
