//! Numbers of public keys: out of a JWK (RFC 7518 section 6, RFC 8037 section 2) or a `SubjectPublicKeyInfo` (RFC 5280
//! section 4.1.2.7), checked, and made ready to verify.

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::auth::jwt::algorithm::Algorithm;

/// A public key of a kind that can verify. Its numbers have the length that its kind demands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum PublicKey {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Of a JWK with this `kty`; `text` reads its members.
    pub(super) fn of_jwk<'k>(
        kty: &str,
        text: &impl Fn(&str) -> Result<Option<&'k str>, String>,
    ) -> Result<Self, String> {
        let bytes = |name: &str| {
            let encoded = text(name)?.ok_or_else(|| format!("it has no `{name}`"))?;
            decode(encoded).ok_or_else(|| format!("`{name}` is not base64url"))
        };
        match (kty, text("crv")?) {
            ("RSA", _) => Self::rsa(&bytes("n")?, &bytes("e")?),
            ("EC", Some("P-256")) => Ok(Self::P256(point(&bytes("x")?, &bytes("y")?, 32)?)),
            ("EC", Some("P-384")) => Ok(Self::P384(point(&bytes("x")?, &bytes("y")?, 48)?)),
            ("EC", Some("P-521")) => Ok(Self::P521(point(&bytes("x")?, &bytes("y")?, 66)?)),
            ("OKP", Some("Ed25519")) => Ok(Self::Ed25519(bytes("x")?)),
            ("EC", Some("secp256k1")) => Err(es256k("its `crv`")),
            ("EC" | "OKP", Some(curve)) => Err(format!("the curve {curve:?} of its `crv` is not supported")),
            ("EC" | "OKP", None) => Err("it has no `crv`".into()),
            ("AKP", _) => {
                Err("its `kty` AKP is that of post-quantum signatures (ML-DSA), which are not supported".into())
            }
            (other, _) => Err(format!("the key type {other:?} is not supported")),
        }
    }

    /// Of a `SubjectPublicKeyInfo` in DER.
    pub(super) fn of_spki(der: &[u8]) -> Result<Self, String> {
        let damaged = "it is damaged, or no public key";
        let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_| damaged)?;
        let bytes: &[u8] = &spki.subject_public_key.data;
        let kind = &spki.algorithm.algorithm;
        if *kind == OID_PKCS1_RSAENCRYPTION {
            let (_, key) = RSAPublicKey::from_der(bytes).map_err(|_| damaged)?;
            return Self::rsa(key.modulus, key.exponent);
        }
        if *kind == OID_SIG_ED25519 {
            return Ok(Self::Ed25519(bytes.to_vec()));
        }
        if *kind != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return Err(format!("keys of its kind ({kind}) are not supported"));
        }
        if matches!(bytes, [2 | 3, ..]) {
            return Err(
                "its point is compressed: write it with `openssl pkey -pubin -ec_conv_form uncompressed`".into()
            );
        }
        let curve: Option<Oid<'_>> = spki.algorithm.parameters.as_ref().and_then(|any| any.clone().oid().ok());
        match curve.map(|curve| curve.to_id_string()) {
            Some(curve) if curve == OID_EC_P256.to_id_string() => Ok(Self::P256(bytes.to_vec())),
            Some(curve) if curve == OID_NIST_EC_P384.to_id_string() => Ok(Self::P384(bytes.to_vec())),
            Some(curve) if curve == OID_NIST_EC_P521.to_id_string() => Ok(Self::P521(bytes.to_vec())),
            Some(curve) if curve == "1.3.132.0.10" => Err(es256k("its curve")),
            Some(curve) => Err(format!("its curve ({curve}) is not supported")),
            None => Err("it does not name its curve".into()),
        }
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        check_rsa(modulus, exponent)?;
        Ok(Self::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
    }

    /// The algorithms that such keys can be used with.
    pub(super) fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Rsa { .. } => &[
                Algorithm::Rs256,
                Algorithm::Rs384,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Ps384,
                Algorithm::Ps512,
            ],
            Self::P256(_) => &[Algorithm::Es256],
            Self::P384(_) => &[Algorithm::Es384],
            Self::P521(_) => &[Algorithm::Es512],
            Self::Ed25519(_) => &[Algorithm::EdDsa],
        }
    }

    /// Ready to verify with this algorithm, which is one of [`PublicKey::algorithms`].
    pub(super) fn prepare(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, String> {
        let rejected = |_| "its numbers are not a public key".to_owned();
        let (bytes, verification): (_, &'static dyn VerificationAlgorithm) = match self {
            Self::Rsa { modulus, exponent } => {
                let parameters = rsa_parameters(algorithm).ok_or("it is an RSA key")?;
                let components = RsaPublicKeyComponents { n: modulus, e: exponent };
                return components.to_parsed_public_key(parameters).map_err(rejected);
            }
            Self::P256(point) => (point, &signature::ECDSA_P256_SHA256_FIXED),
            Self::P384(point) => (point, &signature::ECDSA_P384_SHA384_FIXED),
            Self::P521(point) => (point, &signature::ECDSA_P521_SHA512_FIXED),
            Self::Ed25519(point) => (point, &signature::ED25519),
        };
        ParsedPublicKey::new(verification, bytes).map_err(rejected)
    }
}

/// What is said of keys for ES256K (RFC 8812 section 3.2), whose `member` shows it.
pub(super) fn es256k(member: &str) -> String {
    format!("{member} is that of ES256K (secp256k1), which is not supported: ES256 is")
}

/// Base64url as RFC 7515 section 2 has it, and as others write it: standard base64, padding, line breaks. The numbers that
/// come out are the same, and it is they that are checked.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    const EITHER: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let letters = text.bytes().filter(|letter| !letter.is_ascii_whitespace()).map(|letter| match letter {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    });
    EITHER.decode(letters.collect::<Vec<u8>>()).ok()
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// An uncompressed point. Each coordinate should have the full length of the field (RFC 7518 section 6.2.1.2); as the
/// numbers of Java and PHP they come without the zeros in front, of which there are seldom several, or with one more.
fn point(x: &[u8], y: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let mut point = vec![4];
    for (name, coordinate) in [("x", x), ("y", y)] {
        let number = without_zeros(coordinate);
        let zeros = length.checked_sub(number.len()).filter(|_| coordinate.len() + 4 >= length);
        let zeros = zeros.ok_or_else(|| format!("`{name}` does not have the {length} bytes of its curve"))?;
        point.resize(point.len() + zeros, 0);
        point.extend_from_slice(number);
    }
    Ok(point)
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[first..]
}

/// RFC 7518 section 3.3, and the keys of CVE-2017-15361. Neither number begins with zeros.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), String> {
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if bits < 2048 {
        return Err(format!("an RSA key of {bits} bits (`n`) is too weak: 2048 is the least"));
    }
    if bits > 8192 {
        return Err(format!("an RSA key of {bits} bits (`n`) is too slow: 8192 is the most"));
    }
    if exponent.last().is_none_or(|byte| byte % 2 == 0) || *exponent == [1] {
        return Err("its exponent `e` is 1 or even".into());
    }
    if exponent.len() > 4 {
        return Err("its exponent `e` is above 32 bits".into());
    }
    if has_roca_print(modulus) {
        return Err("it was made by a device whose keys can be factored (CVE-2017-15361)".into());
    }
    Ok(())
}

/// Returns whether the modulus has the fingerprint of ROCA: a power of 65537 modulo each of these primes. Another key
/// has it with a chance below 2^-27.
fn has_roca_print(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.iter().all(|prime| {
        let remainder = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        loop {
            if power == remainder {
                return true;
            }
            power = power * 65537 % prime;
            if power == 1 {
                return false;
            }
        }
    })
}
