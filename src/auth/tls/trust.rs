//! Trust in client certificates, per listener; replaced as a whole while connections live.

use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::certificate::{Certificate, CertificateFault, CertificateName, CertificateRefused, Thumbprint};
use super::client_authority::{AuthorityId, ClientAuthority};

/// The shortest RSA key under [`ClientTrust::strict`], in bits.
const SHORTEST_RSA_KEY: usize = 3072;
/// The longest time between a certificate's two dates under [`ClientTrust::strict`], in seconds: three years are too much.
const THREE_YEARS: i64 = 3 * 365 * 24 * 3600;

/// CAs, CRLs and policy that client certificates are checked against.
pub struct ClientTrust {
    chains: Arc<dyn ClientCertVerifier>,
    /// Refuses short keys and long lifetimes.
    strict: bool,
    /// Required names; empty: any certificate that a CA has signed.
    names: Vec<CertificateName>,
    /// `nextUpdate` of the CRLs, in seconds since 1970.
    lists_end: Vec<i64>,
    /// Certificates for which nobody needs to vouch: each is that of one client.
    own: Vec<Thumbprint>,
    /// The CAs of single clients.
    authorities: Vec<ClientAuthority>,
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Trust")
    }
}

impl ClientTrust {
    /// All that these CAs have signed for clients and not revoked. Where there is a list of revoked certificates, each CA
    /// but the last of a chain needs one that is in force: what cannot be looked up is not good.
    ///
    /// # Errors
    /// There is no CA, or a CRL is malformed.
    pub fn new(
        roots: RootCertStore,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        lists_end: Vec<i64>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(revoked)
            .enforce_revocation_expiration()
            .build()?;
        Ok(Self { chains, strict: false, names: Vec::new(), lists_end, own: Vec::new(), authorities: Vec::new() })
    }

    /// Also refuses RSA keys below 3072 bits and certificates that are valid for three years or more.
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Takes only certificates to which one of these fits; none: all.
    pub fn only(self, names: Vec<CertificateName>) -> Self {
        Self { names, ..self }
    }

    /// Also takes these certificates, for which nobody vouches.
    pub fn and_own(self, own: Vec<Thumbprint>) -> Self {
        Self { own, ..self }
    }

    /// Tells which of these CAs, each of a client, have signed a certificate.
    pub fn telling(self, authorities: Vec<ClientAuthority>) -> Self {
        Self { authorities, ..self }
    }

    /// The CAs of single clients that vouch for this chain.
    pub(super) fn authorities_of(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Vec<AuthorityId> {
        self.authorities.iter().filter(|one| one.vouches_for(chain, now)).map(ClientAuthority::id).collect()
    }

    /// Returns whether this certificate is trusted by its thumbprint, without a CA.
    pub(super) fn is_own(&self, thumbprint: &Thumbprint) -> bool {
        self.own.contains(thumbprint)
    }

    /// Checks this certificate with the others of its chain at this time.
    ///
    /// # Errors
    /// The fault of the certificate.
    pub fn check(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateRefused> {
        let refused = |subject, fault| Err(CertificateRefused { subject, fault });
        let Some(read) = Certificate::read(certificate) else {
            return refused(String::new(), CertificateFault::Malformed);
        };
        if self.is_own(&read.thumbprint) {
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let fault = match read.valid {
                (from, _) if now < from => CertificateFault::NotYetValid,
                (_, until) if now > until => CertificateFault::Expired,
                _ if self.strict && is_weak(&read) => CertificateFault::Policy,
                _ => return Ok(()),
            };
            return refused(read.subject.to_string(), fault);
        }
        let fault = match self.chains.verify_client_cert(certificate, others, now) {
            Err(error) => Some(fault_of(&error)),
            Ok(_) if self.strict && is_weak(&read) => Some(CertificateFault::Policy),
            Ok(_) if !self.names.is_empty() && !self.names.iter().any(|name| name.fits(&read)) => {
                Some(CertificateFault::Name)
            }
            Ok(_) => None,
        };
        fault.map_or(Ok(()), |fault| refused(read.subject.to_string(), fault))
    }

    /// End of a verdict on this chain, in seconds since 1970: a certificate or a CRL expires then.
    pub(super) fn holds_until(&self, chain: &[CertificateDer<'_>], now: u64) -> u64 {
        let dates = chain.iter().filter_map(|der| Some(Certificate::read(der)?.valid.1));
        let ends = dates.chain(self.lists_end.iter().copied()).filter_map(|end| u64::try_from(end).ok());
        ends.filter(|end| *end >= now).min().map_or(u64::MAX, |end| end + 1)
    }
}

fn is_weak(certificate: &Certificate) -> bool {
    let (from, until) = certificate.valid;
    certificate.rsa_bits.is_some_and(|bits| bits < SHORTEST_RSA_KEY) || until.saturating_sub(from) >= THREE_YEARS
}

fn fault_of(error: &Error) -> CertificateFault {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(fault) => match fault {
            C::Expired | C::ExpiredContext { .. } => CertificateFault::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => CertificateFault::NotYetValid,
            C::Revoked => CertificateFault::Revoked,
            C::UnknownRevocationStatus | C::ExpiredRevocationList | C::ExpiredRevocationListContext { .. } => {
                CertificateFault::RevocationUnknown
            }
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => CertificateFault::Purpose,
            C::BadEncoding | C::UnhandledCriticalExtension => CertificateFault::Malformed,
            _ => CertificateFault::UnknownCa,
        },
        Error::InvalidCertRevocationList(_) => CertificateFault::RevocationUnknown,
        _ => CertificateFault::UnknownCa,
    }
}

/// The certificate fault that made a handshake fail; `None` for other causes.
pub fn refused_certificate(error: &io::Error) -> Option<CertificateRefused> {
    let nameless = |fault| Some(CertificateRefused { subject: String::new(), fault });
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::NoCertificatesPresented => nameless(CertificateFault::Missing),
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref().cloned(),
        // All else about a certificate was said by `ClientTrust::check`.
        Error::InvalidCertificate(_) => nameless(CertificateFault::Signature),
        _ => None,
    }
}

/// The trust in force on a listener.
#[derive(Debug)]
pub struct ClientTrustStore {
    current: ArcSwap<ClientTrust>,
    mandatory: bool,
}

impl ClientTrustStore {
    /// Begins with this. `mandatory`: no certificate, no connection.
    pub fn new(trust: ClientTrust, mandatory: bool) -> Self {
        Self { current: ArcSwap::from_pointee(trust), mandatory }
    }

    /// From now on certificates are held against this, also those of connections that are open.
    pub fn replace(&self, trust: ClientTrust) {
        self.current.store(Arc::new(trust));
    }

    /// The same with trust that was in force before.
    pub fn put_back(&self, trust: Arc<ClientTrust>) {
        self.current.store(trust);
    }

    /// Returns whether this is the trust in force.
    pub(super) fn is_current(&self, trust: &Arc<ClientTrust>) -> bool {
        Arc::ptr_eq(&self.current.load(), trust)
    }

    /// The trust in force.
    pub fn current(&self) -> Arc<ClientTrust> {
        self.current.load_full()
    }
}

impl ClientCertVerifier for ClientTrustStore {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: they would have to stay the same for as long as the listener is open, and tell strangers who calls here.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.current.load().check(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().chains.supported_verify_schemes()
    }
}
