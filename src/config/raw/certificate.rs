//! Certificates of callers: whose they are, and what is asked of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FilePath;

/// Whose certificate: all that stands here must fit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateName {
    /// The whole subject, as RFC 4514 writes it: `CN=asapp,O=ASAPP,C=US`, the most specific part first. Without `=`
    /// only its common name: `asapp`.
    pub subject: Option<String>,
    /// One of its subject alternative names.
    pub san: Option<AlternativeName>,
}

/// A subject alternative name, exactly: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum AlternativeName {
    /// A DNS name.
    Dns(String),
    /// A URI, such as spiffe://example.com/asapp.
    Uri(String),
    /// An e-mail address.
    Email(String),
}

/// A client's own certificate, by one of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum OwnCertificate {
    /// A PEM file.
    File(FilePath),
    /// Its SHA-256 in hex, as `openssl x509 -noout -fingerprint -sha256` prints it.
    Sha256(String),
}

/// Names that a client certificate must bear, beside the signature of its CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CertificatePolicy {
    /// Nothing.
    #[default]
    Any,
    /// An RSA key of at least 3072 bits or one on an elliptic curve, and less than three years between its two dates.
    Strict,
}
