//! Whom TLS trusts: the CA certificates of a file, or of the system.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::config::Config;

/// The CA certificates in this file, or those of the system.
///
/// # Errors
/// Message and help, where there are none.
pub fn roots(config: &Config, file: Option<&Path>) -> Result<RootCertStore, (String, String)> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let pem = config.read_file(file)?;
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    if roots.is_empty() {
        let shown = config.resolve(file).display().to_string();
        return Err((format!("no certificate in {shown}"), "put the CA's certificate there, in PEM".to_owned()));
    }
    Ok(roots)
}

/// TLS towards a server that one of these vouches for, without a certificate of our own.
pub fn client(roots: RootCertStore) -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
