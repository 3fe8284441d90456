//! The CA of one client: on listeners that trust several, its certificate must be signed by this one.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

/// The digest of the certificates of a CA.
pub type AuthorityId = [u8; 32];

/// The CA that vouches for the certificates of a client.
#[derive(Debug, Clone)]
pub struct ClientAuthority {
    id: AuthorityId,
    chains: Arc<dyn ClientCertVerifier>,
}

impl ClientAuthority {
    /// That of these certificates, which `roots` has in a form to verify with.
    ///
    /// # Errors
    /// There are none.
    pub fn new(
        certificates: &[CertificateDer<'_>],
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let mut context = Context::new(&SHA256);
        certificates.iter().for_each(|der| context.update(der));
        let mut id = AuthorityId::default();
        id.copy_from_slice(context.finish().as_ref());
        let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { id, chains })
    }

    /// Its name.
    pub fn id(&self) -> AuthorityId {
        self.id
    }

    /// Returns whether it has signed the first of these certificates, with the help of the others.
    pub(super) fn vouches_for(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let Some((first, others)) = chain.split_first() else { return false };
        self.chains.verify_client_cert(first, others, now).is_ok()
    }
}
