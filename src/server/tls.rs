//! TLS of listeners: TLS 1.3, and 1.2 where configured; certificates by SNI, replaced while connections live.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, ticketer::TicketRotator};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::auth::tls::trust::{ClientTrust, ClientTrustStore};
use crate::config::raw::{self, ClientCertificate, TlsVersion};
use crate::config::{Config, Problems};
use crate::policy::certificate_pair::{self, CertificatePair, PairFault};
use crate::policy::client_certificates::{self, ContentEnd};

/// Lifetime of a ticket key in seconds: half of the 300 seconds in which a session can be resumed (docs/asapp.md, requirement 36).
const TICKET_ROTATION: u32 = 150;

/// Certificates of a listener, by DNS name.
#[derive(Debug, Clone)]
pub struct Certificates {
    default: Arc<CertifiedKey>,
    names: HashMap<String, Arc<CertifiedKey>>,
}

/// Certificates in force; replaceable.
#[derive(Debug)]
struct CertificateStore(ArcSwap<Certificates>);

/// Replaceable part of a listener's TLS.
#[derive(Debug, Clone)]
pub struct TlsStore {
    certificates: Arc<CertificateStore>,
    /// Trust store for client certificates, where the listener asks for one.
    pub(crate) clients: Option<Arc<ClientTrustStore>>,
}

/// TLS settings of a listener, with files read.
pub struct ListenerTls {
    certificates: Certificates,
    minimum: TlsVersion,
    clients: Option<(ClientTrust, ClientCertificate)>,
    /// Expiry of its certificates, CAs and CRLs.
    pub ends: Vec<ContentEnd>,
    /// Beginnings of its certificates by file, in seconds since 1970.
    pub begins: Vec<(String, i64)>,
}

/// Reads the TLS settings of all listeners, in order; `None` if there is a problem.
pub fn read(config: &Config, problems: &mut Problems) -> Option<Vec<Option<ListenerTls>>> {
    let count = problems.len();
    let mut all = Vec::new();
    for (number, listen) in config.raw().listen.iter().enumerate() {
        all.push(listen.tls.as_ref().and_then(|tls| read_listener(config, tls, number, problems)));
    }
    (problems.len() == count).then_some(all)
}

fn read_listener(config: &Config, tls: &raw::Tls, number: usize, problems: &mut Problems) -> Option<ListenerTls> {
    let mut keys = Vec::new();
    let mut names = HashMap::new();
    let (mut ends, mut begins) = (Vec::new(), Vec::new());
    for (nth, pair) in tls.certificates.iter().enumerate() {
        let at = format!("listen[{number}].tls.certificates[{nth}]");
        match read_pair(config, pair) {
            Ok(read) => {
                for name in read.names {
                    names.entry(name).or_insert_with(|| Arc::clone(&read.key));
                }
                let file = config.resolve(&pair.certificate).display().to_string();
                begins.push((file.clone(), read.begins));
                ends.push((file, read.ends));
                keys.push(read.key);
            }
            Err((key, message, help)) => problems.push(config.problem(&format!("{at}.{key}"), message, help)),
        }
    }
    let provider = Arc::new(provider(tls.min_version));
    let trust = client_certificates::read(config, tls, &format!("listen[{number}].tls"), provider, problems);
    let clients = trust.map(|(trust, more)| {
        ends.extend(more);
        (trust, tls.client_certificate.unwrap_or(ClientCertificate::Required))
    });
    let default = keys.into_iter().next()?;
    Some(ListenerTls { certificates: Certificates { default, names }, minimum: tls.min_version, clients, ends, begins })
}

struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    begins: i64,
    ends: i64,
}

fn read_pair(config: &Config, pair: &raw::Certificate) -> Result<Pair, PairFault> {
    let CertificatePair { chain, key } = certificate_pair::read(config, &pair.certificate, &pair.private_key)?;
    let not_usable = |fault: &dyn Display| {
        let shown = config.resolve(&pair.certificate).display().to_string();
        ("certificate", format!("{shown}: {fault}"), "put a certificate chain there, in PEM".to_owned())
    };
    let first = chain.first().ok_or_else(|| not_usable(&"no certificate in it"))?;
    let (_, parsed) = X509Certificate::from_der(first).map_err(|fault| not_usable(&fault))?;
    let names = dns_names(&parsed);
    let (begins, ends) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let certified =
        CertifiedKey::from_der(chain, key, &provider(TlsVersion::V12)).and_then(|key| key.keys_match().map(|()| key));
    let key = Arc::new(certified.map_err(|fault| not_usable(&fault))?);
    Ok(Pair { key, names, begins, ends })
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    names.collect()
}

/// Cipher suites (docs/asapp.md, requirement 36): all with forward secrecy and authenticated encryption. The mandatory
/// suite of TLS 1.3 is first: processors compute its SHA-256, and no SHA-384, which would be a third of a handshake.
fn provider(minimum: TlsVersion) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    if minimum == TlsVersion::V12 {
        provider.cipher_suites.retain(|suite| suite.suite() != CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    }
    provider
}

/// What a listener's TLS has in force.
pub struct TlsInForce {
    certificates: Arc<Certificates>,
    clients: Option<Arc<ClientTrust>>,
}

impl TlsStore {
    /// What is in force.
    pub fn in_force(&self) -> TlsInForce {
        let clients = self.clients.as_ref().map(|store| store.current());
        TlsInForce { certificates: self.certificates.0.load_full(), clients }
    }

    /// Puts back what was in force, for new handshakes and trust in client certificates also for open connections.
    pub fn put_back(&self, before: TlsInForce) {
        self.certificates.0.store(before.certificates);
        if let (Some(store), Some(trust)) = (&self.clients, before.clients) {
            store.put_back(trust);
        }
    }

    /// Replaces certificates for new handshakes, and trust in client certificates also for open connections.
    pub fn replace(&self, tls: ListenerTls) {
        self.certificates.0.store(Arc::new(tls.certificates));
        if let (Some(store), Some((trust, _))) = (&self.clients, tls.clients) {
            store.replace(trust);
        }
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let named = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            certificates.names.get(&name).or_else(|| certificates.names.get(&wildcard?))
        });
        Some(Arc::clone(named.unwrap_or(&certificates.default)))
    }
}

impl ListenerTls {
    /// The rustls settings of the listener, and their replaceable part.
    ///
    /// # Errors
    /// If rustls rejects them.
    pub fn settings(self) -> Result<(ServerConfig, TlsStore), rustls::Error> {
        let versions: &[_] = match self.minimum {
            TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V13 => &[&rustls::version::TLS13],
        };
        let provider = Arc::new(provider(self.minimum));
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let clients = self.clients.map(|(trust, requirements)| {
            let mandatory = requirements == ClientCertificate::Required;
            Arc::new(ClientTrustStore::new(trust, mandatory))
        });
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(store) => builder.with_client_cert_verifier(Arc::<ClientTrustStore>::clone(store)),
        };
        let certificates = Arc::new(CertificateStore(ArcSwap::from_pointee(self.certificates)));
        let mut settings = builder.with_cert_resolver(Arc::<CertificateStore>::clone(&certificates));
        settings.ignore_client_order = true;
        // Callers of HTTP/1.0 offer nothing else, and a handshake without a common protocol fails.
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        if clients.is_some() {
            // A resumed session would not be asked for its certificate again.
            settings.send_tls13_tickets = 0;
        } else {
            settings.ticketer = Arc::new(TicketRotator::new(TICKET_ROTATION, Ticketer::generate)?);
            settings.send_tls13_tickets = 1;
        }
        Ok((settings, TlsStore { certificates, clients }))
    }
}

/// One ticket key. The library's own type hides behind a rotation of six hours; ours is shorter.
#[derive(Debug)]
struct Ticketer(Arc<dyn ProducesTickets>);

impl Ticketer {
    fn generate() -> Result<Box<dyn ProducesTickets>, rustls::crypto::GetRandomFailed> {
        let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|_| rustls::crypto::GetRandomFailed)?;
        Ok(Box::new(Self(ticketer)))
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        TICKET_ROTATION * 2
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}
