//! The configuration of TLS from the options of a user.
//!
//! It reads certificates; connections are secured in `driver::transport`.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::ConnectError;
use crate::options::TlsOptions;

/// Makes the configuration. Reads files and, unless a whole configuration was given, the
/// certificates of the system.
pub(crate) fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, ConnectError> {
    if let Some(config) = &options.config {
        return Ok(config.clone());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::TlsOptions(error.to_string()))?
        .with_root_certificates(roots(options)?);
    let config = match &options.client_certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable(key, &error.to_string()))?;
            let chain = certificates(certificate)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(certificate, &error.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    for path in &options.roots {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| unusable(path, &error.to_string()))?;
        }
    }
    if roots.is_empty() {
        let reasons: Vec<String> = native.errors.iter().map(ToString::to_string).collect();
        return Err(ConnectError::TlsOptions(format!(
            "no trusted certificates: the system has none ({}), and none were added",
            reasons.join(", ")
        )));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unusable(path, &error.to_string()))?
        .collect();
    let list = list.map_err(|error| unusable(path, &error.to_string()))?;
    if list.is_empty() {
        return Err(unusable(path, "it has no certificate in it"));
    }
    Ok(list)
}

fn unusable(path: &Path, reason: &str) -> ConnectError {
    ConnectError::TlsOptions(format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(options: &TlsOptions) -> String {
        client_config(options).unwrap_err().to_string()
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        for path in [missing, empty] {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let options = TlsOptions { roots: vec![path.clone()], ..TlsOptions::default() };
            assert!(error(&options).contains(&name), "{}", error(&options));
            let certificate = Some((path.clone(), path));
            let options = TlsOptions { client_certificate: certificate, ..TlsOptions::default() };
            // A system without certificates would complain of that first.
            assert!(error(&options).contains(&name) || error(&options).contains("no trusted"));
        }
    }
}
