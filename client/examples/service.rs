//! A service that computes, and a client that finds and asks it.
//!
//! ```text
//! cargo run --release                           # a broker, in another terminal
//! cargo run -p fulmar-client --example service  # or: ... -- nats://host:port
//! ```

use fulmar_client::services::{self, Config, ERROR_HEADER};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let client = fulmar_client::connect(&url).await?;

    let config = Config::new("calculator", "1.0.0").description("computes");
    let service = services::start(&client, config).await?;
    let mut squares = service.group("calculate").endpoint("square").await?;
    let answering = tokio::spawn(async move {
        while let Some(request) = squares.next().await {
            let number = std::str::from_utf8(&request.payload).ok();
            let answered = match number.and_then(|text| text.parse::<i64>().ok()) {
                Some(number) => request.respond((number * number).to_string().into()).await,
                None => request.respond_error(400, "this is no number", "".into()).await,
            };
            if let Err(error) = answered {
                eprintln!("not answered: {error}");
            }
        }
    });

    let asking = fulmar_client::connect(&url).await?;
    for payload in ["12", "twelve"] {
        let answer = asking.request("calculate.square", payload.into()).await?;
        match answer.headers.as_ref().and_then(|headers| headers.get(ERROR_HEADER)) {
            Some(error) => println!("{payload}: {error}"),
            None => println!("{payload}: {}", String::from_utf8_lossy(&answer.payload)),
        }
    }
    let found = asking.request("$SRV.STATS.calculator", "".into()).await?;
    println!("{}", String::from_utf8_lossy(&found.payload));

    service.stop().await;
    answering.await?;
    Ok(())
}
