//! TLS: when it is set up, whom the client trusts, and who it shows itself as.

mod support;

use fulmar_client::{ConnectError, ConnectOptions};
use support::tls::{Certificates, TlsServer, Wants};
use support::{Server, next};

/// Connects and exchanges messages, some larger than a TLS record.
async fn works(options: ConnectOptions, url: &str) -> Result<(), ConnectError> {
    let client = options.connect(url).await?;
    let mut subscriber = client.subscribe("tls").await.expect("it is subscribed");
    for size in [0, 1, 100, 20_000, 300_000] {
        client.publish("tls", vec![b'x'; size].into()).await.expect("it is published");
    }
    for size in [0, 1, 100, 20_000, 300_000] {
        assert_eq!(next(&mut subscriber).await.payload.len(), size);
    }
    client.flush().await.expect("the server has it");
    Ok(())
}

fn trusting(certificates: &Certificates) -> ConnectOptions {
    ConnectOptions::new().add_root_certificates(certificates.path("ca.pem"))
}

#[tokio::test]
async fn when_the_server_wants_it() {
    let certificates = Certificates::make();
    let server = TlsServer::start(&certificates, Wants::default()).await;
    for scheme in ["nats", "tls"] {
        works(trusting(&certificates), &format!("{scheme}://localhost:{}", server.port))
            .await
            .unwrap();
    }
    let url = format!("localhost:{}", server.port);
    works(trusting(&certificates).require_tls(true), &url).await.unwrap();
}

#[tokio::test]
async fn only_a_trusted_server_with_the_right_name() {
    let certificates = Certificates::make();
    let server = TlsServer::start(&certificates, Wants::default()).await;
    let url = format!("localhost:{}", server.port);
    let error = works(trusting(&Certificates::make()), &url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    // The certificate is for the name, not for the address.
    let by_address = format!("127.0.0.1:{}", server.port);
    let error = works(trusting(&certificates), &by_address).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn before_the_first_word() {
    let certificates = Certificates::make();
    let wants = Wants { first: true, ..Wants::default() };
    let server = TlsServer::start(&certificates, wants).await;
    let url = format!("localhost:{}", server.port);
    works(trusting(&certificates).tls_first(), &url).await.unwrap();
}

#[tokio::test]
async fn with_a_certificate_of_the_client() {
    let certificates = Certificates::make();
    let wants = Wants { client_certificate: true, ..Wants::default() };
    let server = TlsServer::start(&certificates, wants).await;
    let url = format!("localhost:{}", server.port);
    let (certificate, key) = (certificates.path("client.pem"), certificates.path("client.key"));
    let options = trusting(&certificates).add_client_certificate(certificate, key);
    works(options, &url).await.unwrap();
    assert!(works(trusting(&certificates), &url).await.is_err());
}

#[tokio::test]
async fn not_without_it_when_it_is_required() {
    let certificates = Certificates::make();
    let server = Server::start(&[]);
    for (options, scheme) in
        [(trusting(&certificates).require_tls(true), "nats"), (trusting(&certificates), "tls")]
    {
        let url = format!("{scheme}://127.0.0.1:{}", server.port());
        let error = options.connect(url).await.unwrap_err();
        assert!(matches!(error, ConnectError::TlsUnavailable { .. }), "{error}");
    }
    let plain = trusting(&certificates).connect(server.url()).await;
    plain.unwrap().flush().await.unwrap();
}

#[tokio::test]
async fn files_that_are_missing_are_named() {
    let options = ConnectOptions::new().add_root_certificates("no-such-file.pem");
    let error = options.connect("localhost").await.unwrap_err();
    assert!(error.to_string().contains("no-such-file.pem"), "{error}");
}
