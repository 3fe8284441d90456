//! Whom TLS trusts: the CA certificates of a file, or of the system.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier};

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
    Some(Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth()))
}

/// TLS as a client, before it is said whom to trust.
pub(super) fn builder() -> Option<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()
}

/// TLS as a client that takes any certificate.
pub(super) fn nobody() -> Option<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let any = Anybody(provider.signature_verification_algorithms);
    Some(builder()?.dangerous().with_custom_certificate_verifier(Arc::new(any)))
}

/// Takes any certificate, from whoever has its key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
