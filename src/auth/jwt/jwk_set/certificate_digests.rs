//! Certificates by which a token names its key, and a key set describes it: `x5t`, `x5t#S256`, `x5c` (RFC 7515 sections
//! 4.1.7 and 4.1.8, RFC 7517 sections 4.7 to 4.9). Only digests are compared: the certificates prove nothing here.

use aws_lc_rs::digest::{Algorithm as Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::Value;

use super::public_key::decode;
use crate::hex::unhex;

/// SHA-1 and SHA-256 digests of certificates.
#[derive(Debug, Default)]
pub(super) struct CertificateDigests(Vec<Vec<u8>>);

impl CertificateDigests {
    /// Those of a key: as it says them, and of the first certificate of its `x5c`. `member` reads its members.
    pub(super) fn of_jwk<'k>(member: impl Fn(&str) -> Option<&'k Value>) -> Self {
        let said = ["x5t", "x5t#S256"].map(|name| member(name)?.as_str().and_then(read));
        let certificate = match member("x5c") {
            Some(Value::Array(chain)) => chain.first().and_then(Value::as_str).and_then(decode),
            _ => None,
        };
        let Self(computed) = certificate.map(|der| Self::of_certificate(&der)).unwrap_or_default();
        Self(said.into_iter().flatten().chain(computed).collect())
    }

    /// Those of a certificate in DER.
    pub(super) fn of_certificate(der: &[u8]) -> Self {
        let of = |algorithm: &'static Digest| digest(algorithm, der).as_ref().to_vec();
        Self(vec![of(&SHA1_FOR_LEGACY_USE_ONLY), of(&SHA256)])
    }

    /// Those that a token may name by these texts.
    pub(super) fn of_texts<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        Self(texts.filter_map(read).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether both have the same certificate.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().any(|one| other.0.contains(one))
    }
}

/// A digest as people write it: base64url, or the hex of Windows and OpenSSL.
fn read(text: &str) -> Option<Vec<u8>> {
    match text.len() {
        40 => unhex::<20>(text).map(Vec::from),
        64 => unhex::<32>(text).map(Vec::from),
        27..=44 => decode(text).filter(|bytes| matches!(bytes.len(), 20 | 32)),
        _ => None,
    }
}
