//! Certificate of a connection: verified at its handshake, and again whenever that verdict may no longer hold.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use super::certificate::{Certificate, CertificateFault};
use super::trust::{ClientTrust, ClientTrustStore};
use rustls::pki_types::{CertificateDer, UnixTime};

/// The certificate that a caller has shown, and has the key of.
#[derive(Debug)]
pub struct Peer {
    /// The parsed certificate.
    pub certificate: Certificate,
    chain: Vec<CertificateDer<'static>>,
    store: Arc<ClientTrustStore>,
    /// The trust that it was last checked against.
    trust: RefCell<Arc<ClientTrust>>,
    /// The first second, since 1970, in which that must be done again.
    until: Cell<u64>,
}

impl Peer {
    /// That of a finished handshake; `trust` is that of before the handshake. `None` where there is no certificate.
    pub fn new(
        chain: Option<&[CertificateDer<'_>]>,
        store: Arc<ClientTrustStore>,
        trust: Arc<ClientTrust>,
    ) -> Option<Self> {
        let chain: Vec<CertificateDer<'static>> = chain?.iter().map(|der| der.clone().into_owned()).collect();
        let time = UnixTime::now();
        let now = time.as_secs();
        let mut certificate = Certificate::read(chain.first()?)?;
        certificate.is_vouched_for = !trust.is_own(&certificate.thumbprint);
        certificate.authorities.replace(trust.authorities_of(&chain, time));
        Some(Self {
            certificate,
            until: Cell::new(trust.holds_until(&chain, now)),
            chain,
            store,
            trust: RefCell::new(trust),
        })
    }

    /// One that another process has taken: its first request is held against what counts here.
    pub fn again(chain: &[CertificateDer<'_>], store: Arc<ClientTrustStore>) -> Option<Self> {
        let trust = store.current();
        let peer = Self::new(Some(chain), store, trust)?;
        peer.until.set(0);
        Some(peer)
    }

    /// The certificates that it has shown, its own first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Checks that a handshake would still accept it. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The fault of the certificate.
    pub fn is_good(&self, now: u64) -> Result<(), CertificateFault> {
        if now < self.until.get() && self.store.is_current(&self.trust.borrow()) {
            return Ok(());
        }
        let trust = self.store.current();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let (first, others) = self.chain.split_first().ok_or(CertificateFault::Missing)?;
        trust.check(first, others, time).map_err(|refused| refused.fault)?;
        if self.certificate.is_vouched_for == trust.is_own(&self.certificate.thumbprint) {
            // What it counts for has changed: that is for another connection to find out.
            return Err(CertificateFault::Name);
        }
        self.certificate.authorities.replace(trust.authorities_of(&self.chain, time));
        self.until.set(trust.holds_until(&self.chain, now));
        self.trust.replace(trust);
        Ok(())
    }
}
