//! Trusted CAs for TLS: those of a file, or of the system.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::hex::hex;
use aws_lc_rs::digest;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier};

/// The CA certificates that one configuration names: each file, and what the system has, is read once, however many name
/// it.
pub(super) struct Authorities<'c> {
    config: &'c Config,
    read: RefCell<HashMap<Option<PathBuf>, Result<Authority, Fault>>>,
}

/// CA certificates that were read.
#[derive(Clone)]
pub(super) struct Authority {
    pub(super) roots: Arc<RootCertStore>,
    /// Tells them from others.
    pub(super) digest: String,
    /// TLS towards a server that one of these vouches for, without a certificate of our own.
    pub(super) client: Arc<ClientConfig>,
}

/// Message and help.
type Fault = (String, String);

impl<'c> Authorities<'c> {
    pub(super) fn new(config: &'c Config) -> Self {
        Self { config, read: RefCell::default() }
    }

    /// The CAs of this file, or of the system.
    ///
    /// # Errors
    /// Message and help, where there are none.
    pub(super) fn of(&self, file: Option<&Path>) -> Result<Authority, Fault> {
        let mut read = self.read.borrow_mut();
        read.entry(file.map(Path::to_owned)).or_insert_with(|| Authority::read(self.config, file)).clone()
    }
}

impl Authority {
    fn read(config: &Config, file: Option<&Path>) -> Result<Self, Fault> {
        let roots = Arc::new(roots(config, file)?);
        let keys: Vec<u8> = roots.roots.iter().flat_map(|anchor| anchor.subject_public_key_info.to_vec()).collect();
        let builder = builder()
            .ok_or_else(|| ("these certificates cannot be used".to_owned(), "give others".to_owned()))?
            .with_root_certificates(Arc::clone(&roots));
        let client = Arc::new(builder.with_no_client_auth());
        Ok(Self { roots, digest: hex(digest::digest(&digest::SHA256, &keys).as_ref()), client })
    }
}

/// The CA certificates in this file, or those of the system.
///
/// # Errors
/// Message and help, where there are none.
pub(super) fn roots(config: &Config, file: Option<&Path>) -> Result<RootCertStore, Fault> {
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
