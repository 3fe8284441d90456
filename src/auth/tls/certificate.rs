//! Fields of a client certificate, and names that it is matched with.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::client_authority::AuthorityId;
use super::subject::DistinguishedName;

/// Fields of a certificate. [`Trust`](super::trust::ClientTrust) decides whether they are vouched for.
#[derive(Debug)]
pub struct Certificate {
    /// The SHA-256 of its DER (RFC 8705 section 3.1).
    pub thumbprint: Thumbprint,
    /// Its subject.
    pub subject: DistinguishedName,
    /// Its subject alternative names, as far as they are of a kind that can be configured.
    names: Vec<AlternativeName>,
    /// The bits of its key, where that is one of RSA.
    pub rsa_bits: Option<usize>,
    /// Its two dates, in seconds since 1970.
    pub valid: (i64, i64),
    /// Signed by a trusted CA. Otherwise it counts only by its thumbprint.
    pub(super) is_vouched_for: bool,
    /// The CAs among those of single clients that have signed it.
    pub(super) authorities: RefCell<Vec<AuthorityId>>,
}

/// The SHA-256 of a certificate's DER.
pub type Thumbprint = [u8; 32];

/// A subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlternativeName {
    /// A DNS name, in small letters.
    Dns(String),
    /// A URI.
    Uri(String),
    /// An e-mail address.
    Email(String),
}

/// Name that a certificate must have: all parts that are set must match.
#[derive(Debug, Clone)]
pub struct CertificateName {
    /// The required subject.
    pub subject: Option<SubjectName>,
    /// The required subject alternative name.
    pub san: Option<AlternativeName>,
    /// The CA that must have signed it; `None`: any that the listener trusts.
    pub authority: Option<AuthorityId>,
}

/// Required subject of a certificate.
#[derive(Debug, Clone)]
pub enum SubjectName {
    /// All of it.
    Whole(DistinguishedName),
    /// Its only common name.
    Common(String),
}

/// Fault of a caller's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// There is none, and one is required.
    Missing,
    /// It cannot be read.
    Malformed,
    /// None of the CAs has signed it.
    UnknownCa,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It was revoked.
    Revoked,
    /// No list of revoked certificates that is in force covers it.
    RevocationUnknown,
    /// It is not for clients (RFC 5280 section 4.2.1.12).
    Purpose,
    /// Its key is too short, or it is valid for too long.
    Policy,
    /// It is none of those that are named.
    Name,
    /// The caller does not have its key.
    Signature,
}

/// A certificate that is not good, and why.
#[derive(Debug, Clone)]
pub struct CertificateRefused {
    /// Its subject; empty where it cannot be read.
    pub subject: String,
    /// The fault.
    pub fault: CertificateFault,
}

impl CertificateFault {
    /// The word for logs, metrics and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownCa => "unknown_ca",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::Purpose => "purpose",
            Self::Policy => "policy",
            Self::Name => "name",
            Self::Signature => "signature",
        }
    }
}

impl fmt::Display for CertificateRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.fault.as_str(), self.subject)
    }
}

impl std::error::Error for CertificateRefused {}

impl From<CertificateRefused> for rustls::Error {
    fn from(refused: CertificateRefused) -> Self {
        rustls::CertificateError::Other(rustls::OtherError(Arc::new(refused))).into()
    }
}

impl Certificate {
    /// Reads one; `None` where these bytes are no certificate.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        let names = match parsed.subject_alternative_name().ok()? {
            Some(names) => names.value.general_names.iter().filter_map(AlternativeName::of).collect(),
            None => Vec::new(),
        };
        let rsa_bits = match parsed.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Some(key.key_size()),
            _ => None,
        };
        let mut thumbprint = Thumbprint::default();
        thumbprint.copy_from_slice(digest(&SHA256, der).as_ref());
        rest.is_empty().then(|| Self {
            thumbprint,
            subject: DistinguishedName::of(parsed.subject()),
            names,
            rsa_bits,
            valid: (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp()),
            is_vouched_for: true,
            authorities: RefCell::default(),
        })
    }
}

impl AlternativeName {
    fn of(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Dns(name.to_ascii_lowercase())),
            GeneralName::URI(uri) => Some(Self::Uri((*uri).to_owned())),
            GeneralName::RFC822Name(address) => Some(Self::Email((*address).to_owned())),
            _ => None,
        }
    }
}

impl CertificateName {
    /// Returns whether the certificate has this name.
    pub fn fits(&self, certificate: &Certificate) -> bool {
        let subject = match &self.subject {
            None => true,
            Some(SubjectName::Whole(subject)) => *subject == certificate.subject,
            Some(SubjectName::Common(name)) => certificate.subject.common_name() == Some(name),
        };
        let authority = self.authority.is_none_or(|authority| certificate.authorities.borrow().contains(&authority));
        certificate.is_vouched_for
            && authority
            && subject
            && self.san.as_ref().is_none_or(|name| certificate.names.contains(name))
    }
}
