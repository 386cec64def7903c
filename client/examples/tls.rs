//! Connects with TLS and a certificate authority of one's own.
//!
//! ```text
//! cargo run -p fulmar-client --example tls -- tls://host:port ca.pem [client.pem client.key]
//! ```
//!
//! Without `ca.pem` only the certificates of the system are trusted. With a third and a fourth
//! argument the client shows a certificate itself.

use fulmar_client::ConnectOptions;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "tls://localhost:4222".to_owned());

    // TLS is required: a server that does not offer it is not talked to. A server that wants TLS
    // gets it without this too.
    let mut options = ConnectOptions::new().require_tls(true);
    if let Some(authority) = arguments.next() {
        options = options.add_root_certificates(authority);
    }
    if let (Some(certificate), Some(key)) = (arguments.next(), arguments.next()) {
        options = options.add_client_certificate(certificate, key);
    }

    let client = options.connect(&url).await?;
    let info = client.server_info();
    println!("connected to {} (version {}) with TLS", info.server_name, info.version);
    client.flush().await?;
    Ok(())
}
