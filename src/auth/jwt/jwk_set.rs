//! JWK set of an issuer (RFC 7517): parsed once, filtered, ready to verify signatures.

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::jws::{Jws, Members};
use crate::key_validity::LastUse;
use crate::refusal::TokenFault;
use crate::secret::Secret;

/// One key, parsed once for each algorithm that it may be used with.
#[derive(Debug)]
struct VerifyingKey {
    /// The `kid` that selects it; `None`: tokens may omit it, and with a secret may send any.
    id: Option<String>,
    uses: Vec<(Algorithm, Material)>,
    /// The first second in which it is no longer good.
    until: u64,
    /// Receives the time of each use.
    used: Option<Arc<LastUse>>,
}

/// Key material, ready to verify.
#[derive(Debug)]
enum Material {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

impl Material {
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Public(key) => key.verify_sig(signed, signature).is_ok(),
            Self::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
        }
    }
}

impl VerifyingKey {
    fn fit(&self, algorithm: Algorithm) -> Option<&Material> {
        self.uses.iter().find(|(known, _)| *known == algorithm).map(|(_, material)| material)
    }

    fn is_secret(&self) -> bool {
        self.uses.iter().any(|(_, material)| matches!(material, Material::Secret(_)))
    }
}

/// The keys of one issuer: public ones, or one secret. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JwkSet(Arc<[VerifyingKey]>);

impl JwkSet {
    /// The keys of a JWK set that can verify with one of `allowed`, and a sentence about each key that cannot.
    ///
    /// # Errors
    /// The text is not a JWK set, mixes symmetric with other keys (RFC 8725 section 2.1), or has no key of use.
    pub fn from_jwks(json: &[u8], allowed: &[Algorithm]) -> Result<(Self, Vec<String>), String> {
        Self::noted(json, allowed, |_| (u64::MAX, None))
    }

    /// The same, with keys that end and whose use is noted: `about` tells of the key of this `kid` the first second,
    /// since 1970, in which it is no longer good, and where its use is noted.
    ///
    /// # Errors
    /// As [`JwkSet::from_jwks`].
    pub fn noted(
        json: &[u8],
        allowed: &[Algorithm],
        about: impl Fn(&str) -> (u64, Option<Arc<LastUse>>),
    ) -> Result<(Self, Vec<String>), String> {
        let set = Members::parse(json).ok_or("the key set is not a JSON object, or has a member twice")?;
        let Some(Value::Array(keys)) = set.get("keys") else {
            return Err("the key set has no list `keys` (RFC 7517 section 5)".into());
        };
        let symmetric = keys.iter().filter(|key| key["kty"] == "oct").count();
        if symmetric > 0 && symmetric < keys.len() {
            return Err(
                "the key set mixes symmetric and public keys (RFC 8725 section 2.1): publish public keys only".into()
            );
        }
        let mut usable: Vec<VerifyingKey> = Vec::new();
        let mut warnings = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            match parse_key(key, allowed) {
                Ok(mut key) => {
                    (key.until, key.used) = about(key.id.as_deref().unwrap_or_default());
                    usable.push(key);
                }
                Err(reason) => warnings.push(format!("{} is ignored: {reason}", describe(position, key))),
            }
        }
        remove_repeated(&mut usable, &mut warnings);
        if usable.is_empty() {
            let why = if warnings.is_empty() { "it is empty".into() } else { warnings.join("; ") };
            return Err(format!("the key set has no key that can verify a signature: {why}"));
        }
        Ok((Self(usable.into()), warnings))
    }

    /// A secret that an issuer shares with us; nothing else belongs to such a set (RFC 8725 section 2.1).
    ///
    /// # Errors
    /// It is too short for one of these algorithms, or one is not symmetric.
    pub fn from_secret(secret: &Secret, algorithms: &[Algorithm]) -> Result<Self, String> {
        let mut uses = Vec::new();
        for algorithm in algorithms {
            let (hash, shortest) =
                algorithm.hash().ok_or_else(|| format!("{} needs a public key", algorithm.name()))?;
            if secret.expose().len() < shortest {
                return Err(format!(
                    "this secret is shorter than the {shortest} bytes that {} needs",
                    algorithm.name()
                ));
            }
            uses.push((*algorithm, Material::Secret(Box::new(hmac::Key::new(hash, secret.expose())))));
        }
        Ok(Self([VerifyingKey { id: None, uses, until: u64::MAX, used: None }].into()))
    }

    /// Count of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `kid`s of the keys.
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|key| key.id.as_deref())
    }

    /// Verifies a signature with the one algorithm that both the key and the token name; returns the end of the key.
    /// Times are in seconds since 1970.
    ///
    /// A `kid` names its key, and no other is tried; without one there must be exactly one key that fits.
    ///
    /// # Errors
    /// [`TokenFault::UnknownKey`], [`TokenFault::Algorithm`] or [`TokenFault::Signature`].
    pub(in crate::auth) fn verify_signature(&self, jws: &Jws<'_>, now: u64) -> Result<u64, TokenFault> {
        let algorithm = jws.algorithm();
        let mut live = self.0.iter().filter(|key| now < key.until || key.until == u64::MAX);
        let (key, material) = match jws.key_id() {
            Some(id) => {
                let is_named = |key: &&VerifyingKey| key.id.as_deref() == Some(id) || key.is_secret();
                let key = live.find(is_named).ok_or(TokenFault::UnknownKey)?;
                (key, key.fit(algorithm).ok_or(TokenFault::Algorithm)?)
            }
            None => {
                let mut fitting = live.filter_map(|key| Some((key, key.fit(algorithm)?)));
                match (fitting.next(), fitting.next()) {
                    (Some(fit), None) => fit,
                    _ => return Err(TokenFault::UnknownKey),
                }
            }
        };
        if !material.verifies(jws.signed(), jws.signature()) {
            return Err(TokenFault::Signature);
        }
        if let Some(used) = &key.used {
            used.note(now);
        }
        Ok(key.until)
    }
}

/// A `kid` that two keys claim names neither.
fn remove_repeated(keys: &mut Vec<VerifyingKey>, warnings: &mut Vec<String>) {
    let mut ids: Vec<_> = keys.iter().filter_map(|key| key.id.clone()).collect();
    ids.sort_unstable();
    let mut repeated: Vec<_> = ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
    repeated.dedup();
    for id in repeated {
        keys.retain(|key| key.id.as_ref() != Some(&id));
        warnings.push(format!("all keys with the kid {id:?} are ignored: it stands there more than once"));
    }
}

fn describe(position: usize, key: &Value) -> String {
    match key["kid"].as_str() {
        Some(id) => format!("key {} (kid {id:?})", position + 1),
        None => format!("key {}", position + 1),
    }
}

fn parse_key(key: &Value, allowed: &[Algorithm]) -> Result<VerifyingKey, String> {
    let Value::Object(members) = key else {
        return Err("it is not an object".into());
    };
    let text = |name: &str| match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("`{name}` is not a string")),
    };
    let kty = text("kty")?.ok_or("it has no `kty`")?;
    if kty == "oct" {
        return Err("it is symmetric".into());
    }
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
        return Err("it has private members; its owner must withdraw it and publish the public part only".into());
    }
    if let Some(purpose) = text("use")?.filter(|purpose| *purpose != "sig") {
        return Err(format!("its `use` is {purpose:?}, not \"sig\""));
    }
    match members.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
        Some(_) => return Err("its `key_ops` lack \"verify\"".into()),
    }
    let numbers = Numbers::parse(kty, &text)?;
    let pinned = text("alg")?;
    let mut uses = Vec::new();
    for algorithm in numbers.algorithms().iter().copied().filter(|algorithm| allowed.contains(algorithm)) {
        if pinned.is_none_or(|name| name == algorithm.name()) {
            uses.push((algorithm, Material::Public(numbers.prepare(algorithm)?)));
        }
    }
    if uses.is_empty() {
        let names = |algorithms: &[Algorithm]| {
            algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ")
        };
        let own = pinned.map_or_else(|| names(numbers.algorithms()), str::to_owned);
        return Err(format!("its algorithm ({own}) is none of those allowed for it ({})", names(allowed)));
    }
    Ok(VerifyingKey { id: text("kid")?.map(str::to_owned), uses, until: u64::MAX, used: None })
}

/// The numbers of a public key.
enum Numbers {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Numbers {
    fn parse<'k>(kty: &str, text: &impl Fn(&str) -> Result<Option<&'k str>, String>) -> Result<Self, String> {
        let bytes = |name: &str| {
            let encoded = text(name)?.ok_or_else(|| format!("it has no `{name}`"))?;
            BASE64.decode(encoded).map_err(|_| format!("`{name}` is not base64url"))
        };
        match (kty, text("crv")?) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                check_rsa(&modulus, &exponent)?;
                Ok(Self::Rsa { modulus: without_zeros(&modulus), exponent: without_zeros(&exponent) })
            }
            ("EC", Some("P-256")) => Ok(Self::P256(point(&bytes("x")?, &bytes("y")?, 32)?)),
            ("EC", Some("P-384")) => Ok(Self::P384(point(&bytes("x")?, &bytes("y")?, 48)?)),
            ("EC", Some("P-521")) => Ok(Self::P521(point(&bytes("x")?, &bytes("y")?, 66)?)),
            ("OKP", Some("Ed25519")) => Ok(Self::Ed25519(bytes("x")?)),
            ("EC" | "OKP", Some(curve)) => Err(format!("the curve {curve:?} is not supported")),
            ("EC" | "OKP", None) => Err("it has no `crv`".into()),
            (other, _) => Err(format!("the key type {other:?} is not supported")),
        }
    }

    fn algorithms(&self) -> &'static [Algorithm] {
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

    fn prepare(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, String> {
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

/// An uncompressed point; each coordinate has the full length of the field (RFC 7518 section 6.2.1.2).
fn point(x: &[u8], y: &[u8], length: usize) -> Result<Vec<u8>, String> {
    if x.len() != length || y.len() != length {
        return Err(format!("its coordinates do not have the {length} bytes of its curve"));
    }
    Ok([&[4], x, y].concat())
}

fn without_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// RFC 7518 section 3.3, and the keys of CVE-2017-15361.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), String> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if bits < 2048 {
        return Err(format!("an RSA key of {bits} bits is too weak: 2048 is the least"));
    }
    if bits > 8192 {
        return Err(format!("an RSA key of {bits} bits is too slow: 8192 is the most"));
    }
    if exponent.last().is_none_or(|byte| byte % 2 == 0) || exponent[..] == [1] {
        return Err("its exponent `e` is 1 or even".into());
    }
    if exponent.len() > 4 {
        return Err("its exponent `e` is above 32 bits".into());
    }
    if has_roca_print(&modulus) {
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
