//! Certificates, signing keys, hashes and hand-made tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use argon2::password_hash::PasswordHasher;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

/// The CA that the tests' callers trust.
pub(crate) fn authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "wicketgate tests");
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    })
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A certificate for this machine, or for a caller.
pub(crate) fn certificate(names: &[&str], usage: ExtendedKeyUsagePurpose) -> Pair {
    let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "wicketgate test end");
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority()).unwrap();
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// One that only its own key vouches for.
pub(crate) fn self_signed(names: &[&str]) -> Pair {
    let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// One whose time is over.
pub(crate) fn expired(names: &[&str]) -> Pair {
    let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority()).unwrap();
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// The gateway's usual certificate.
pub(crate) fn server() -> &'static Pair {
    static SERVER: OnceLock<Pair> = OnceLock::new();
    SERVER.get_or_init(|| certificate(&["localhost", "127.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth))
}

/// The argon2id hash of a secret (19 MiB, 2 passes, 1 lane), computed once.
pub(crate) fn argon2id(secret: &str) -> String {
    static HASHES: OnceLock<Mutex<HashMap<String, String>>> = OnceLock::new();
    let mut hashes = HASHES.get_or_init(Mutex::default).lock().unwrap();
    if let Some(hash) = hashes.get(secret) {
        return hash.clone();
    }
    let hash = argon2id_in(secret, 19_456);
    hashes.insert(secret.to_owned(), hash.clone());
    hash
}

/// A hash that takes so many KiB.
pub(crate) fn argon2id_in(secret: &str, memory: u32) -> String {
    let params = argon2::Params::new(memory, 2, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2.hash_password_with_salt(secret.as_bytes(), &random::<16>()).unwrap().to_string()
}

/// Lower-case hex SHA-256.
pub(crate) fn sha256_hex(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// The text of an identifier or cookie key file.
pub(crate) fn key_file() -> String {
    format!("v1:{}\n", base64url(&random::<64>()))
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn unbase64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap_or_else(|e| panic!("{text:?} is not base64url: {e}"))
}

/// Header and claims of a JWT, unverified.
pub(crate) fn decode(token: &str) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "not a JWT: {token:?}");
    let json = |part: &str| serde_json::from_slice(&unbase64url(part)).unwrap();
    (json(parts[0]), json(parts[1]))
}

/// What a signature is computed over.
pub(crate) fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()))
}

/// A P-256 key that signs tokens.
#[derive(Clone)]
pub(crate) struct TokenKey {
    pub(crate) pem: String,
    pub(crate) public_pem: String,
    pair: Arc<EcdsaKeyPair>,
    point: Vec<u8>,
}

impl TokenKey {
    pub(crate) fn generate() -> Self {
        let key = KeyPair::generate().unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der()).unwrap();
        Self {
            pem: key.serialize_pem(),
            public_pem: key.public_key_pem(),
            pair: Arc::new(pair),
            point: key.public_key_raw().to_vec(),
        }
    }

    pub(crate) fn signature(&self, input: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec()
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        format!("{input}.{}", base64url(&self.signature(input.as_bytes())))
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        assert_eq!(self.point.len(), 65, "an uncompressed point");
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": base64url(&self.point[1..33]), "y": base64url(&self.point[33..]),
        })
    }
}

/// An RSA key: PEM, and its public half as a JWK that leaves the algorithm open.
pub(crate) fn rsa(kid: &str) -> (String, Value) {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    // RSAPublicKey (RFC 8017 appendix A.1.1) of 2048 bits: a sequence, a modulus of 257 bytes, and 65537.
    let public = key.public_key_raw();
    assert_eq!((public.len(), &public[public.len() - 5..]), (270, &[2, 3, 1, 0, 1][..]));
    let jwk = json!({"kty": "RSA", "use": "sig", "kid": kid, "n": base64url(&public[9..265]), "e": "AQAB"});
    (key.serialize_pem(), jwk)
}

/// An RSA key of 2048 bits that signs tokens with RS256, with a certificate of its own.
pub(crate) struct RsaKey {
    pair: aws_lc_rs::signature::RsaKeyPair,
    modulus: Vec<u8>,
    /// The certificate, DER.
    pub(crate) certificate: Vec<u8>,
}

impl RsaKey {
    pub(crate) fn generate() -> Self {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate =
            CertificateParams::new(vec!["signing.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
        Self {
            pair: aws_lc_rs::signature::RsaKeyPair::from_pkcs8(key.serialized_der()).unwrap(),
            modulus: key.public_key_raw()[9..265].to_vec(),
            certificate: certificate.der().to_vec(),
        }
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
        self.pair.sign(padding, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", base64url(&signature))
    }

    /// The members of RFC 7518 section 6.3.1, and `kid`.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        json!({"kty": "RSA", "kid": kid, "n": base64url(&self.modulus), "e": "AQAB"})
    }

    /// `x5t`: the SHA-1 thumbprint of the certificate (RFC 7515 section 4.1.7).
    pub(crate) fn x5t(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.certificate);
        base64url(digest.as_ref())
    }
}

/// HS256 over the same input, with any bytes as the key.
pub(crate) fn hs256(header: &Value, claims: &Value, key: &[u8]) -> String {
    let input = signing_input(header, claims);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    format!("{input}.{}", base64url(aws_lc_rs::hmac::sign(&key, input.as_bytes()).as_ref()))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// What a server answers to the key of a WebSocket handshake (RFC 6455 section 4.2.2).
pub(crate) fn websocket_accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}
