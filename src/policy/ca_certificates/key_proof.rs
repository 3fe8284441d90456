//! The proof that a server has the key of the certificate that it shows, for certificates of which only the key counts:
//! it needs no more than that from them, so that they may be X.509 v1, or have RSA keys below 2048 bits.

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters,
    UnparsedPublicKey,
};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use rustls::{DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use x509_parser::asn1_rs::{Any, Class, FromBer as _};

/// What a signature over the handshake shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyProof {
    /// The server has the key.
    Given,
    /// It does not.
    Refuted,
    /// The library cannot verify signatures by such a key.
    Unverifiable,
}

/// The contents of a SubjectPublicKeyInfo (RFC 5280 section 4.1): algorithm identifier and key.
struct PublicKey<'c> {
    algorithm: &'c [u8],
    key: &'c [u8],
}

/// The signature schemes to offer, by preference. PKCS #1 comes before PSS: by a short RSA key the library verifies only
/// that, and servers that speak TLS 1.2 take what is offered first.
pub(super) fn schemes() -> Vec<SignatureScheme> {
    let mut schemes = supported().supported_schemes();
    schemes.sort_by_key(|scheme| match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => 1,
        SignatureScheme::RSA_PKCS1_SHA512 => 2,
        SignatureScheme::RSA_PKCS1_SHA384 => 3,
        SignatureScheme::RSA_PSS_SHA256 | SignatureScheme::RSA_PSS_SHA384 | SignatureScheme::RSA_PSS_SHA512 => 4,
        _ => 0,
    });
    schemes
}

/// Holds a signature of TLS 1.2 against the key of this certificate.
pub(super) fn tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<KeyProof, Error> {
    proof(message, certificate, signed, usize::MAX)
}

/// Holds a signature of TLS 1.3 against the key of this certificate. There a scheme has one curve, and none is PKCS #1
/// (RFC 8446 section 4.2.3).
pub(super) fn tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<KeyProof, Error> {
    if pkcs1(signed.scheme).is_some() || signed.scheme == SignatureScheme::RSA_PKCS1_SHA384 {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    proof(message, certificate, signed, 1)
}

/// With one of the first `candidates` algorithms of the scheme.
fn proof(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    candidates: usize,
) -> Result<KeyProof, Error> {
    let supported = supported();
    let Some((scheme, algorithms)) = supported.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme) else {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    };
    let Some(public) = PublicKey::of(certificate) else { return Ok(KeyProof::Unverifiable) };
    let fits = |is_valid: bool| if is_valid { KeyProof::Given } else { KeyProof::Refuted };
    let mut candidates = algorithms.iter().take(candidates);
    let Some(algorithm) = candidates.find(|one| one.public_key_alg_id().as_ref() == public.algorithm) else {
        return Ok(KeyProof::Unverifiable);
    };
    Ok(match (public.rsa_bits(), pkcs1(*scheme)) {
        (Some(1024..2048), Some(short)) => {
            fits(UnparsedPublicKey::new(short, public.key).verify(message, signed.signature()).is_ok())
        }
        (Some(..2048), _) => KeyProof::Unverifiable,
        _ => fits(algorithm.verify_signature(public.key, message, signed.signature()).is_ok()),
    })
}

/// The algorithm that takes RSA keys from 1024 bits on.
fn pkcs1(scheme: SignatureScheme) -> Option<&'static RsaParameters> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => Some(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RSA_PKCS1_SHA512 => Some(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

fn supported() -> WebPkiSupportedAlgorithms {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
}

impl<'c> PublicKey<'c> {
    /// The key of a certificate of any version; `None` where there is none in its place. Nothing else in it is looked at.
    fn of(certificate: &'c [u8]) -> Option<Self> {
        let whole = value(certificate)?.1;
        let mut rest = value(whole.data)?.1.data;
        let (behind, first) = value(rest)?;
        // Only later versions than the first say which they are.
        if first.class() == Class::ContextSpecific {
            rest = behind;
        }
        // Serial number, signature algorithm, issuer, validity, subject.
        for _ in 0..5 {
            rest = value(rest)?.0;
        }
        let (rest, algorithm) = value(value(rest)?.1.data)?;
        let key = value(rest)?.1.data.split_first()?.1;
        Some(Self { algorithm: algorithm.data, key })
    }

    /// The length of an RSA key.
    fn rsa_bits(&self) -> Option<u32> {
        let is_rsa = self.algorithm == rustls::pki_types::alg_id::RSA_ENCRYPTION.as_ref();
        is_rsa.then(|| RsaParameters::public_modulus_len(self.key).unwrap_or_default())
    }
}

/// What is behind the first value, and that value.
fn value(bytes: &[u8]) -> Option<(&[u8], Any<'_>)> {
    Any::from_ber(bytes).ok()
}
