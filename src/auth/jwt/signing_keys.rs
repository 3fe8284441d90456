//! Signing keys of this gateway, and the JWK set that it publishes.

mod pair;

use std::collections::HashSet;
use std::sync::Arc;

use super::algorithm::Algorithm;
use super::jwk_set::JwkSet;
use crate::key_validity::{KeyVersion, LastUse, parse_time};
use crate::pem;
use crate::secret::Secret;
use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SerialNumber, date_time_ymd};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use pair::Pair;

/// Failure to sign a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignFault {
    /// The claims do not become JSON.
    #[error("the claims cannot be written as JSON")]
    Claims,
    /// The library refused.
    #[error("the signing key could not sign")]
    Key,
}

/// The kinds of key that [`SigningKeys::generate`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKey {
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA of 3072 bits.
    Rs256,
}

/// A file with a signing key.
pub struct KeyFile {
    /// Its name; keys are in the order of their names.
    pub name: String,
    /// The PEM text.
    pub pem: Secret,
    /// The time at which the file was put in place, in seconds since 1970.
    pub placed: u64,
}

/// Schedule of key rotation.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Time between publication of a new key and its first signature, in seconds.
    pub delay: u64,
    /// The longest life of a token, in seconds, clock skew included: so long a key verifies after it has signed last.
    pub longest: u64,
}

/// Our signing keys: the newest that has been published for long enough signs; each verifies until the last token that
/// it signed has ended.
pub struct SigningKeys {
    /// In the order of their file names; never empty.
    keys: Vec<SigningKey>,
    verifying: JwkSet,
}

struct SigningKey {
    /// The first second in which it signs.
    from: u64,
    /// The first second in which it does not verify any more.
    until: u64,
    used: Arc<LastUse>,
    /// Parsed once: the library that writes headers of tokens would parse and check its key with each signature.
    pair: Pair,
    algorithm: jsonwebtoken::Algorithm,
    id: String,
    /// The public half as it is published (RFC 7517 section 4).
    jwk: Value,
    certificate: String,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl SigningKeys {
    /// The keys in these PEM files (PKCS #8, RFC 5958), all as old as can be: the one whose name sorts last signs, and
    /// none ends. `issuer_url` stands in the certificates.
    ///
    /// # Errors
    /// As [`SigningKeys::scheduled`].
    pub fn from_pems(files: Vec<(String, Secret)>, issuer_url: &str) -> Result<Self, Vec<(String, String)>> {
        let files = files.into_iter().map(|(name, pem)| KeyFile { name, pem, placed: 0 }).collect();
        Self::scheduled(files, issuer_url, Schedule { delay: 0, longest: u64::MAX }, |_| Arc::default())
    }

    /// The keys in these PEM files, which take turns. A key is new from the time in its name on (as
    /// `20261124T101500Z-es256.pem` has it), or since its file came to its place, if that was later. `used` tells where
    /// the use of the key of this `kid` is noted.
    ///
    /// # Errors
    /// Every file that cannot be used, with what to do about it; an empty name where there is no file at all.
    pub fn scheduled(
        files: Vec<KeyFile>,
        issuer_url: &str,
        schedule: Schedule,
        used: impl Fn(&str) -> Arc<LastUse>,
    ) -> Result<Self, Vec<(String, String)>> {
        let mut files = files;
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let mut keys: Vec<SigningKey> = Vec::new();
        let mut problems = Vec::new();
        let mut ids = HashSet::new();
        for KeyFile { name, pem, placed } in files {
            match SigningKey::from_pem(&pem, &name, issuer_url) {
                Ok(key) if !ids.insert(key.id.clone()) => {
                    problems.push((name, "this key stands in another file too: remove one of them".to_owned()));
                }
                Ok(mut key) => {
                    let since = time_in(&name).unwrap_or_default().max(placed);
                    key.from = if since == 0 { 0 } else { since.saturating_add(schedule.delay) };
                    key.used = used(&key.id);
                    keys.push(key);
                }
                Err(problem) => problems.push((name, problem)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let nothing =
            || vec![(String::new(), "there is no signing key: make one with `wicketgate new signing-key`".to_owned())];
        if keys.is_empty() {
            return Err(nothing());
        }
        // Each ends so long after the first of those behind it has begun to sign.
        let mut next = u64::MAX;
        for key in keys.iter_mut().rev() {
            key.until = next.saturating_add(schedule.longest);
            next = next.min(key.from);
        }
        let about = |id: &str| {
            let key = keys.iter().find(|key| key.id == id);
            (key.map_or(u64::MAX, |key| key.until), key.map(|key| Arc::clone(&key.used)))
        };
        let (verifying, _) = JwkSet::noted(jwks(keys.iter()).as_bytes(), &Algorithm::ALL, about)
            .map_err(|problem| vec![(String::new(), problem)])?;
        Ok(Self { keys, verifying })
    }

    /// The one that signs: the newest whose time has come, else the oldest.
    fn signer(&self, now: u64) -> Option<&SigningKey> {
        self.keys.iter().rev().find(|key| key.from <= now).or(self.keys.first())
    }

    /// A compact JWS over the claims, with the key whose turn it is `now`, in seconds since 1970: `typ` as given and
    /// `kid` the key's RFC 7638 thumbprint.
    ///
    /// # Errors
    /// [`SignFault`].
    pub fn sign(&self, typ: &str, claims: &impl Serialize, now: u64) -> Result<String, SignFault> {
        let key = self.signer(now).ok_or(SignFault::Key)?;
        key.used.note(now);
        let mut header = jsonwebtoken::Header::new(key.algorithm);
        header.typ = Some(typ.to_owned());
        header.kid = Some(key.id.clone());
        let header = serde_json::to_vec(&header).map_err(|_| SignFault::Claims)?;
        let claims = serde_json::to_vec(claims).map_err(|_| SignFault::Claims)?;
        // Each part becomes four characters for three bytes; the longest signature that is common has 384 bytes.
        let mut token = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 520);
        BASE64.encode_string(header, &mut token);
        token.push('.');
        BASE64.encode_string(claims, &mut token);
        let signature = key.pair.sign(token.as_bytes())?;
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The public halves, to verify with.
    pub fn key_set(&self) -> JwkSet {
        self.verifying.clone()
    }

    /// The public halves as a JWK set (RFC 7517 section 5): each with `kid`, `use` and `alg`. Those that have ended `now`,
    /// in seconds since 1970, are not among them.
    pub fn jwks(&self, now: u64) -> String {
        jwks(self.live(now))
    }

    /// All of them, newest first.
    pub fn versions(&self) -> impl Iterator<Item = KeyVersion> {
        self.keys.iter().rev().map(|key| KeyVersion {
            kind: "signing_key",
            id: String::new(),
            version: key.id.clone(),
            from: key.from,
            until: key.until,
            used: Arc::clone(&key.used),
        })
    }

    /// A self-signed X.509 certificate for each key, as PEM, the signing key's first: for callers that verify with a
    /// certificate instead of a key set. Made when the keys are read, so their bytes differ after a restart; their
    /// public keys do not.
    pub fn certificates_pem(&self, now: u64) -> String {
        let signer = self.signer(now).map(|key| key.id.as_str());
        let mut live: Vec<&SigningKey> = self.live(now).collect();
        live.sort_by_key(|key| (signer != Some(&key.id), std::cmp::Reverse(key.from)));
        live.iter().map(|key| key.certificate.as_str()).collect()
    }

    fn live(&self, now: u64) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |key| now < key.until || key.until == u64::MAX)
    }

    /// A new key: the name of its file, which sorts behind those made before `now` (in seconds since 1970), and its
    /// PKCS #8 PEM.
    ///
    /// # Errors
    /// The library could not make one.
    pub fn generate(algorithm: NewKey, now: u64) -> Result<(String, Zeroizing<String>), String> {
        let failed = |_| "the cryptographic library could not make a key".to_owned();
        let der: Zeroizing<Vec<u8>> = match algorithm {
            NewKey::Es256 => {
                let document =
                    EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                        .map_err(failed)?;
                Zeroizing::new(document.as_ref().to_vec())
            }
            NewKey::EdDsa => {
                // Version 1 of the format: OpenSSL reads no other.
                let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(failed)?;
                Zeroizing::new(document.as_ref().to_vec())
            }
            NewKey::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
        };
        Ok((Self::file_name(algorithm, now)?, pem::block("PRIVATE KEY", &der)))
    }

    /// The name of the file of a key that is made `now`, in seconds since 1970: `20261124T101500Z-es256.pem`.
    ///
    /// # Errors
    /// `now` is outside the range of dates.
    pub fn file_name(algorithm: NewKey, now: u64) -> Result<String, String> {
        let kind = match algorithm {
            NewKey::Es256 => "es256",
            NewKey::EdDsa => "eddsa",
            NewKey::Rs256 => "rs256",
        };
        Ok(format!("{}-{kind}.pem", basic_time(now)?))
    }
}

fn jwks<'k>(keys: impl Iterator<Item = &'k SigningKey>) -> String {
    json!({ "keys": keys.map(|key| key.jwk.clone()).collect::<Vec<_>>() }).to_string()
}

/// `20261122T101500Z` (ISO 8601, basic format).
fn basic_time(now: u64) -> Result<String, String> {
    let time = i64::try_from(now).ok().and_then(|now| time::OffsetDateTime::from_unix_timestamp(now).ok());
    let time = time.ok_or("the clock of this machine is wrong: set it first")?;
    Ok(format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    ))
}

/// The time with which the name of a key begins, in seconds since 1970.
fn time_in(name: &str) -> Option<u64> {
    let part = |from: usize, to: usize| name.get(from..to);
    let (date, clock) = ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(9, 11)?, part(11, 13)?, part(13, 15)?));
    let marks = (part(8, 9)?, part(15, 16)?);
    parse_time(&format!("{}-{}-{}{}{}:{}:{}{}", date.0, date.1, date.2, marks.0, clock.0, clock.1, clock.2, marks.1))
}

impl SigningKey {
    fn from_pem(pem: &Secret, name: &str, issuer_url: &str) -> Result<Self, String> {
        let der = private_key(pem.expose(), name)?;
        let pair = Pair::from_pkcs8(der.secret_pkcs8_der())?;
        let public = pair.public_jwk()?;
        let id = thumbprint(&public);
        let certificate = certificate(&der, &pair, &id, issuer_url)
            .map_err(|fault| format!("no certificate can be made for this key: {fault}"))?;
        let mut jwk = public;
        jwk["kid"] = id.as_str().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = pair.algorithm().name().into();
        let algorithm = pair.header_algorithm();
        Ok(Self { from: 0, until: u64::MAX, used: Arc::default(), pair, algorithm, id, jwk, certificate })
    }
}

/// The only private key in a PEM file of this name.
fn private_key(pem: &[u8], name: &str) -> Result<PrivatePkcs8KeyDer<'static>, String> {
    let key = pem::only_private_key(pem, name).map_err(|(message, help)| format!("{message}; {help}"))?;
    let form = match key {
        PrivateKeyDer::Pkcs8(key) => return Ok(key),
        PrivateKeyDer::Sec1(_) => "SEC 1",
        _ => "PKCS #1",
    };
    Err(format!("this key is in {form} form; convert it: openssl pkcs8 -topk8 -nocrypt -in {name} -out NEW.pem"))
}

/// RFC 7638: SHA-256 over the members in the order of their names, without white space. `serde_json` writes an object
/// so as long as its map is sorted; `the_key_id_is_the_rfc_7638_thumbprint` holds it to that.
fn thumbprint(public: &Value) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, public.to_string().as_bytes()))
}

/// Valid without end: a key ends when its file is removed, not by a date. RFC 5280 section 4.1.2.5 has this form.
fn certificate(der: &PrivatePkcs8KeyDer<'_>, pair: &Pair, id: &str, issuer_url: &str) -> Result<String, rcgen::Error> {
    let algorithm = match pair {
        Pair::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        Pair::P256(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
        Pair::Ed25519(_) => &rcgen::PKCS_ED25519,
    };
    let signer = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(der, algorithm)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("token signing key {id}"));
    parameters.distinguished_name.push(DnType::OrganizationName, issuer_url);
    let mut serial = digest::digest(&digest::SHA256, id.as_bytes()).as_ref()[..16].to_vec();
    serial[0] = serial[0] & 0x7f | 0x40;
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(9999, 12, 31);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = Vec::<ExtendedKeyUsagePurpose>::new();
    Ok(parameters.self_signed(&signer)?.pem())
}

#[cfg(test)]
mod tests;
