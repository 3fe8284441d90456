//! Whom TLS clients trust: the CAs of a file or of the system, pinned certificates, or anybody.

mod key_proof;
mod verifiers;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::hex::hex;
use crate::pem;
use aws_lc_rs::digest;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use verifiers::{ByKey, NamedOrSigned};

/// The CA certificates that one configuration names: each file, and what the system has, is read once, however many name
/// it.
pub(super) struct Authorities<'c> {
    config: &'c Config,
    read: RefCell<HashMap<Option<PathBuf>, Result<Authority, Fault>>>,
}

/// CA certificates that were read.
#[derive(Clone)]
pub(super) struct Authority {
    verifier: Arc<dyn ServerCertVerifier>,
    /// Tells them from others.
    pub(super) digest: String,
    /// TLS towards a server that one of these vouches for, without a certificate of our own.
    pub(super) client: Arc<ClientConfig>,
}

/// Message and help.
type Fault = (String, String);

/// Client settings that lack only a certificate of our own.
pub(super) type ClientBuilder = ConfigBuilder<ClientConfig, WantsClientCert>;

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
        let unusable = || ("these certificates cannot be used".to_owned(), "give others".to_owned());
        let named = file.map(|file| read(config, file)).transpose()?.unwrap_or_default();
        let roots = Arc::new(roots(config, file)?);
        let keys = roots.roots.iter().flat_map(|anchor| anchor.subject_public_key_info.to_vec());
        let material: Vec<u8> = keys.chain(named.iter().flat_map(|der| der.to_vec())).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let signed = WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|_| unusable())?;
        let verifier: Arc<dyn ServerCertVerifier> =
            if named.is_empty() { signed } else { Arc::new(NamedOrSigned { named, signed }) };
        let client = Arc::new(trusting(Arc::clone(&verifier)).ok_or_else(unusable)?.with_no_client_auth());
        Ok(Self { verifier, digest: hex(digest::digest(&digest::SHA256, &material).as_ref()), client })
    }

    /// TLS as a client of servers that one of these vouches for.
    pub(super) fn builder(&self) -> Option<ClientBuilder> {
        trusting(Arc::clone(&self.verifier))
    }
}

/// All certificates in this file.
///
/// # Errors
/// Message and help, where there are none.
pub(super) fn read(config: &Config, file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    pem::certificates(&config.read_file(file)?, config.resolve(file).display())
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
    let shown = config.resolve(file).display().to_string();
    let (_, ignored) = roots.add_parsable_certificates(read(config, file)?);
    if roots.is_empty() {
        return Err((
            format!("{shown}: no certificate in it can be read"),
            "put the CA's certificate there, in PEM".to_owned(),
        ));
    }
    if ignored > 0 {
        tracing::warn!(file = shown, ignored, "certificates in this file cannot be read: they vouch for nobody");
    }
    Ok(roots)
}

/// TLS as a client, before it is said whom to trust.
pub(super) fn builder() -> Option<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()
}

/// TLS as a client that takes any certificate.
pub(super) fn nobody() -> Option<ClientBuilder> {
    trusting(Arc::new(ByKey::Any))
}

/// TLS as a client that takes the certificates with these digests, and no other.
pub(super) fn pinned(digests: Vec<[u8; 32]>) -> Option<ClientBuilder> {
    trusting(Arc::new(ByKey::Pinned(digests)))
}

fn trusting(verifier: Arc<dyn ServerCertVerifier>) -> Option<ClientBuilder> {
    Some(builder()?.dangerous().with_custom_certificate_verifier(verifier))
}
