//! Trust in client certificates of a listener, read: CAs, CRLs, names.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::auth::credentials::api_key;
use crate::auth::tls::certificate::{AlternativeName, Certificate, CertificateName, SubjectName, Thumbprint};
use crate::auth::tls::client_authority::ClientAuthority;
use crate::auth::tls::subject::DistinguishedName;
use crate::auth::tls::trust::ClientTrust;
use crate::config::raw::{self, CertificatePolicy};
use crate::config::{Config, Problems};
use crate::pem;

/// Message and help.
type Fault = (String, String);

/// Expiry of a file's content: its path, and seconds since 1970.
pub type ContentEnd = (String, i64);

/// The trust of the listener at this place, and when its CAs and lists end; `None` where it asks for no certificate or
/// something is wrong, which goes to `problems`.
pub fn read(
    config: &Config,
    tls: &raw::Tls,
    at: &str,
    provider: Arc<CryptoProvider>,
    problems: &mut Problems,
) -> Option<(ClientTrust, Vec<ContentEnd>)> {
    let count = problems.len();
    let mut ends = Vec::new();
    let roots = read_roots(config, tls.client_ca.as_ref()?, &mut ends).unwrap_or_else(|(message, help)| {
        problems.push(config.problem(&format!("{at}.client_ca"), message, help));
        RootCertStore::empty()
    });
    let mut lists = Vec::new();
    for (number, file) in tls.client_crl.iter().enumerate() {
        match read_lists(config, file) {
            Ok(read) => lists.extend(read),
            Err((message, help)) => problems.push(config.problem(&format!("{at}.client_crl[{number}]"), message, help)),
        }
    }
    let mut names = Vec::new();
    for (number, name) in tls.client_names.iter().enumerate() {
        names.extend(read_name(config, name, &format!("{at}.client_names[{number}]"), problems));
    }
    let mut own = Vec::new();
    for (number, client) in config.raw().clients.iter().enumerate().filter(|_| tls.client_self_signed) {
        // What is wrong with one is said where the clients are read.
        own.extend(read_own(config, client, number, &mut Problems::default()));
    }
    // Here, too, what is wrong with one is said where the clients are read.
    let files: BTreeSet<&Path> = config.raw().clients.iter().filter_map(|client| client.client_ca.as_deref()).collect();
    let authorities = files.into_iter().filter_map(|file| client_authority(config, file).ok()).collect();
    if problems.len() > count {
        return None;
    }
    // Of two lists of one CA the newer one counts.
    lists.sort_by_key(|list| std::cmp::Reverse(list.issued));
    let lists_end: Vec<i64> = lists.iter().map(|list| list.end.1).collect();
    ends.extend(lists.iter().map(|list| list.end.clone()));
    let revoked = lists.into_iter().map(|list| list.der).collect();
    match ClientTrust::new(roots, revoked, lists_end, provider) {
        Ok(trust) => {
            let strict = tls.client_certificate_policy == CertificatePolicy::Strict;
            Some((trust.strict(strict).only(names).and_own(own).telling(authorities), ends))
        }
        Err(fault) => {
            let message = format!("these lists cannot be used: {fault}");
            let help = "give complete lists (RFC 5280 section 5), not deltas or indirect ones";
            problems.push(config.problem(&format!("{at}.client_crl"), message, help));
            None
        }
    }
}

/// The certificates by which a client proves itself, whoever has signed them.
pub(super) fn read_own(
    config: &Config,
    client: &raw::Client,
    number: usize,
    problems: &mut Problems,
) -> Vec<Thumbprint> {
    let mut own = Vec::new();
    for (nth, certificate) in client.certificates.iter().enumerate() {
        let read = match certificate {
            raw::OwnCertificate::Sha256(digest) => fingerprint(digest),
            raw::OwnCertificate::File(file) => config.read_file(file).and_then(|pem| {
                let shown = config.resolve(file).display().to_string();
                let first = pem::certificates(&pem, &shown)?.into_iter().next();
                let read = first.and_then(|der| Certificate::read(&der)).map(|read| read.thumbprint);
                read.ok_or_else(|| (format!("{shown}: not a certificate"), "put it there, in PEM".to_owned()))
            }),
        };
        match read {
            Ok(thumbprint) => own.push(thumbprint),
            Err((message, help)) => {
                problems.push(config.problem(&format!("clients[{number}].certificates[{nth}]"), message, help));
            }
        }
    }
    own
}

/// The SHA-256 of a certificate as it is written: 64 hex digits, also with colons, or the whole line that OpenSSL prints.
pub(super) fn fingerprint(digest: &str) -> Result<Thumbprint, Fault> {
    const LABEL: &str = "sha256 fingerprint";
    let is_label = |label: &str| label.trim().eq_ignore_ascii_case(LABEL);
    let digits =
        digest.split_once('=').filter(|(label, _)| is_label(label)).map_or(digest, |(_, digits)| digits.trim());
    api_key::parse_digest(&digits.replace(':', "")).map_err(|_| {
        let help = "take it from `openssl x509 -noout -fingerprint -sha256`";
        ("this is not a SHA-256 in 64 hex digits".to_owned(), help.to_owned())
    })
}

/// The CA of a client.
///
/// # Errors
/// Message and help.
pub(super) fn client_authority(config: &Config, file: &Path) -> Result<ClientAuthority, Fault> {
    let roots = read_roots(config, file, &mut Vec::new())?;
    let shown = config.resolve(file).display().to_string();
    let certificates = pem::certificates(&config.read_file(file)?, &shown)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientAuthority::new(&certificates, roots, provider).map_err(|fault| {
        (format!("{shown}: {fault}"), "put the certificates of the client's CA there, in PEM".to_owned())
    })
}

/// Returns whether some listener trusts one of these CAs, or one right above or below it.
pub(super) fn is_trusted_somewhere(config: &Config, file: &Path) -> bool {
    let read = |file: &Path| {
        let text = config.read_file(file).ok()?;
        pem::certificates(&text, config.resolve(file).display()).ok()
    };
    let names = |der: &CertificateDer<'_>| {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        Some((read.subject().as_raw().to_vec(), read.issuer().as_raw().to_vec()))
    };
    let own: Vec<_> = read(file).iter().flatten().filter_map(names).collect();
    let files = config.raw().listen.iter().filter_map(|listen| listen.tls.as_ref()?.client_ca.as_ref());
    files
        .filter_map(|file| read(file))
        .flatten()
        .filter_map(|der| names(&der))
        .any(|(subject, issuer)| own.iter().any(|own| own.0 == subject || own.1 == subject || own.0 == issuer))
}

/// All CA certificates of a file. One that cannot be used is an error: whoever wrote it there means it.
fn read_roots(config: &Config, file: &Path, ends: &mut Vec<ContentEnd>) -> Result<RootCertStore, Fault> {
    let shown = config.resolve(file).display().to_string();
    let help = || "put the certificates of the CAs there, in PEM".to_owned();
    let pem = config.read_file(file)?;
    let mut roots = RootCertStore::empty();
    for der in pem::certificates(&pem, &shown)? {
        let read = Certificate::read(&der).ok_or_else(|| (format!("{shown}: not a certificate"), help()))?;
        roots.add(der).map_err(|fault| (format!("{shown}: {fault}"), help()))?;
        ends.push((shown.clone(), read.valid.1));
    }
    Ok(roots)
}

/// A list of revoked certificates.
struct List {
    der: CertificateRevocationListDer<'static>,
    issued: i64,
    end: ContentEnd,
}

fn read_lists(config: &Config, file: &Path) -> Result<Vec<List>, Fault> {
    let shown = config.resolve(file).display().to_string();
    let fault = |what: &str| {
        (
            format!("{shown}: {what}"),
            "put a certificate revocation list there, in PEM or DER, with nextUpdate".to_owned(),
        )
    };
    let ders = pem::revocation_lists(&config.read_file(file)?, &shown)?;
    let list = |der: CertificateRevocationListDer<'static>| {
        let (_, parsed) =
            CertificateRevocationList::from_der(&der).map_err(|_| fault("not a certificate revocation list"))?;
        let end = parsed.next_update().ok_or_else(|| fault("this list does not say when the next one comes"))?;
        let (issued, end) = (parsed.last_update().timestamp(), (shown.clone(), end.timestamp()));
        Ok(List { issued, end, der })
    };
    ders.into_iter().map(list).collect()
}

/// The required name of a certificate; `None` where the subject is malformed.
pub(super) fn read_name(
    config: &Config,
    name: &raw::CertificateName,
    at: &str,
    problems: &mut Problems,
) -> Option<CertificateName> {
    let subject = match name.subject.as_deref() {
        None => None,
        Some(text) if !text.contains('=') => Some(SubjectName::Common(text.to_owned())),
        Some(text) => match DistinguishedName::parse(text) {
            Ok(subject) => Some(SubjectName::Whole(subject)),
            Err(fault) => {
                let help =
                    "write it like CN=asapp,O=ASAPP,C=US: `openssl x509 -noout -subject -nameopt RFC2253` shows it";
                problems.push(config.problem(&format!("{at}.subject"), fault, help));
                return None;
            }
        },
    };
    let san = name.san.as_ref().map(|san| match san {
        raw::AlternativeName::Dns(name) => AlternativeName::Dns(name.to_ascii_lowercase()),
        raw::AlternativeName::Uri(uri) => AlternativeName::Uri(uri.clone()),
        raw::AlternativeName::Email(address) => AlternativeName::Email(address.clone()),
    });
    Some(CertificateName { subject, san, authority: None })
}
