//! Puts a file into a bucket and reads it from there.
//!
//! ```text
//! cargo run --release -- -js                                      # a broker, in another terminal
//! cargo run -p fulmar-client --example object_store -- README.md  # and maybe nats://host:port
//! ```

use std::io::Cursor;

use fulmar_client::{jetstream, object_store};
use futures_util::TryStreamExt as _;
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let url = std::env::args().nth(2).unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let client = fulmar_client::connect(&url).await?;
    let context = jetstream::new(client.clone());
    let config = object_store::Config { bucket: "files".to_owned(), ..Default::default() };
    let files = context.create_or_update_object_store(config).await?;

    // Anything that can be read asynchronously will do, such as `tokio::fs::File`.
    let mut data = Cursor::new(std::fs::read(&path)?);
    let info = files.put(path.as_str(), &mut data).await?;
    println!("{}: {} bytes in {} pieces", info.name, info.size, info.chunks);

    let mut object = files.get(&path).await?;
    let mut read = Vec::new();
    object.read_to_end(&mut read).await?;
    println!("read {} bytes, which are what was put", read.len());

    let mut objects = files.list().await?;
    while let Some(object) = objects.try_next().await? {
        println!("there is {} ({} bytes)", object.name, object.size);
    }
    client.drain().await?;
    client.closed().await;
    Ok(())
}
