//! A server that speaks TLS: the one under test if it can, or else TLS set up in front of it.
//!
//! Certificates are made for the test and forgotten after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::{Server, server_binary};

/// An authority, a certificate for `localhost`, and one for a client.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn make() -> Self {
        let certificates = Self { folder: tempfile::tempdir().expect("a folder") };
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, key).expect("a certificate");
        certificates.write("ca.pem", &authority.pem());
        for (name, purpose) in [
            ("localhost", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            params.extended_key_usages = vec![purpose];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            certificates.write(&format!("{name}.pem"), &certificate.pem());
            certificates.write(&format!("{name}.key"), &key.serialize_pem());
        }
        certificates
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder can be written");
    }
}

/// How the server wants TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants {
    /// Before it says a word.
    pub first: bool,
    /// The client shows a certificate.
    pub client_certificate: bool,
}

/// A server that speaks TLS.
pub struct TlsServer {
    _server: Server,
    pub port: u16,
}

impl TlsServer {
    pub async fn start(certificates: &Certificates, wants: Wants) -> Self {
        let own_name = Path::new(server_binary()).file_name().expect("it has a name");
        if own_name.to_string_lossy().contains("nats-server") {
            return Self::start_nats_server(certificates, wants);
        }
        let server = Server::start(&[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(certificates, wants)));
        let behind = server.port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A client that is refused ends the session with an error, as it should.
                tokio::spawn(async move { serve(stream, acceptor, behind, wants.first).await });
            }
        });
        Self { _server: server, port }
    }

    fn start_nats_server(certificates: &Certificates, wants: Wants) -> Self {
        let text = format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: {}, handshake_first: {} }}",
            certificates.path("localhost.pem"),
            certificates.path("localhost.key"),
            certificates.path("ca.pem"),
            wants.client_certificate,
            // After a moment it greets in the clear, which is how the test sees that it is up.
            if wants.first { "\"50ms\"" } else { "false" },
        );
        certificates.write("server.conf", &text);
        let path = certificates.path("server.conf");
        let server = Server::start(&["-c", path.to_str().expect("a path of text")]);
        Self { port: server.port(), _server: server }
    }
}

fn server_config(certificates: &Certificates, wants: Wants) -> ServerConfig {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let read =
        |name| CertificateDer::from_pem_file(certificates.path(name)).expect("a certificate");
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = if wants.client_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(read("ca.pem")).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(certificates.path("localhost.key")).expect("a key");
    builder.with_single_cert(vec![read("localhost.pem")], key).expect("they fit")
}

/// Passes the INFO of the server behind on with TLS required, sets TLS up, and then passes
/// everything on.
async fn serve(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    behind: u16,
    first: bool,
) -> std::io::Result<()> {
    let mut behind = BufReader::new(TcpStream::connect(("127.0.0.1", behind)).await?);
    let mut info = String::new();
    behind.read_line(&mut info).await?;
    let info = info.replacen('{', "{\"tls_required\":true,", 1);
    let mut stream = if first {
        let mut stream = acceptor.accept(stream).await?;
        stream.write_all(info.as_bytes()).await?;
        stream
    } else {
        stream.write_all(info.as_bytes()).await?;
        acceptor.accept(stream).await?
    };
    tokio::io::copy_bidirectional(&mut stream, &mut behind).await?;
    Ok(())
}
