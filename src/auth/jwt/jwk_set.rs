//! JWK set of an issuer (RFC 7517): parsed once, filtered, ready to verify signatures.

mod certificate_digests;
mod jwk;
mod lapsed;
mod public_key;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::algorithm::Algorithm;
use super::jws::{Jws, Members};
use crate::explanation::trace::{StepDetail, StepSink, shown, span};
use crate::key_validity::LastUse;
use crate::pem::{self, PublicBlock};
use crate::refusal::TokenFault;
use crate::secret::Secret;
use certificate_digests::CertificateDigests;
pub(super) use lapsed::NewKeySet;
use public_key::PublicKey;

/// Limit of keys that are tried for a token that names none.
const MOST_TRIED: usize = 8;

/// One key, parsed once for each algorithm that it may be used with.
#[derive(Debug)]
struct VerifyingKey {
    /// The `kid` that selects it; `None`: it is tried where no other has the token's, and a secret for any.
    id: Option<String>,
    /// The certificate that may select it.
    certificates: CertificateDigests,
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
    /// Without a name, for the algorithms that the key allows (`pinned`) and the issuer may use.
    fn of(public: &PublicKey, pinned: Option<&str>, allowed: &[Algorithm]) -> Result<Self, String> {
        let is_pinned = |algorithm| pinned.is_none_or(|name| Algorithm::named(name) == Some(algorithm));
        let mut uses = Vec::new();
        for algorithm in public.algorithms().iter().copied().filter(|algorithm| allowed.contains(algorithm)) {
            if is_pinned(algorithm) {
                uses.push((algorithm, Material::Public(public.prepare(algorithm)?)));
            }
        }
        if uses.is_empty() {
            let names = |algorithms: &[Algorithm]| {
                algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ")
            };
            let own = pinned.map_or_else(|| names(public.algorithms()), |name| format!("`alg` {name}"));
            return Err(format!("its algorithm ({own}) is none of those allowed for it ({})", names(allowed)));
        }
        Ok(Self { id: None, certificates: CertificateDigests::default(), uses, until: u64::MAX, used: None })
    }

    fn fit(&self, algorithm: Algorithm) -> Option<&Material> {
        self.uses.iter().find(|(known, _)| *known == algorithm).map(|(_, material)| material)
    }

    fn is_secret(&self) -> bool {
        self.uses.iter().any(|(_, material)| matches!(material, Material::Secret(_)))
    }

    fn is_live(&self, now: u64) -> bool {
        now < self.until || self.until == u64::MAX
    }

    /// Itself, where it has made this signature.
    fn verify(&self, material: &Material, jws: &Jws<'_>) -> Option<&Self> {
        material.verifies(jws.signed(), jws.signature()).then_some(self)
    }

    /// Its name, its end and its last use, for people.
    fn described(&self, now: u64) -> String {
        let mut text = match &self.id {
            Some(id) => format!("key {}", shown(id)),
            None => "a key without kid".to_owned(),
        };
        if self.until != u64::MAX {
            text.push_str(&format!(", ends in {}", span(self.until.saturating_sub(now))));
        }
        if let Some(last) = self.used.as_ref().and_then(|used| used.seconds()) {
            text.push_str(&format!(", last used {} ago", span(now.saturating_sub(last))));
        }
        text
    }
}

/// The keys of one issuer: public ones, or one secret. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JwkSet(Arc<[VerifyingKey]>);

impl JwkSet {
    /// The keys of a JWK set that can verify with one of `allowed`, and a sentence about each key that cannot.
    ///
    /// # Errors
    /// The text is not a JWK set, or has no key of use.
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
        let mut warnings = Vec::new();
        let mut usable = parse_all(keys_of(&read(json)?)?, allowed, 0, &mut warnings);
        for (key, _) in &mut usable {
            let (until, used) = about(key.id.as_deref().unwrap_or_default());
            (key.until, key.used) = (key.until.min(until), used);
        }
        Self::of(usable, warnings)
    }

    /// Those of `keys`, which are JWKs, that can verify with one of `allowed`, and are not marked as withdrawn; and a
    /// sentence about each other. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// There is no key of use.
    pub(super) fn from_keys(keys: &[Value], allowed: &[Algorithm], now: u64) -> Result<(Self, Vec<String>), String> {
        let mut warnings = Vec::new();
        let usable = parse_all(keys, allowed, now, &mut warnings);
        Self::of(usable, warnings)
    }

    /// The public keys and certificates of a PEM file that can verify with one of `allowed`, and a sentence about each
    /// that cannot. They have no `kid`. `path` is for the message.
    ///
    /// # Errors
    /// Message and help: the file cannot be read, has something private in it, or no key of use.
    pub fn from_pem(
        pem: &[u8],
        path: impl std::fmt::Display,
        allowed: &[Algorithm],
    ) -> Result<(Self, Vec<String>), (String, String)> {
        let (mut usable, mut warnings) = (Vec::new(), Vec::new());
        for (line, block) in pem::public_keys(pem, &path)? {
            match of_block(&block, allowed) {
                Ok(key) => usable.push(key),
                Err(reason) => warnings.push(format!("the key that begins in line {line} is ignored: {reason}")),
            }
        }
        let help = "put the public keys or certificates there by which the issuer signs";
        Self::of(usable, warnings).map_err(|fault| (format!("{path}: {fault}"), help.to_owned()))
    }

    fn of(usable: Vec<(VerifyingKey, PublicKey)>, mut warnings: Vec<String>) -> Result<(Self, Vec<String>), String> {
        let usable = told_apart(usable, &mut warnings);
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
        let certificates = CertificateDigests::default();
        Ok(Self([VerifyingKey { id: None, certificates, uses, until: u64::MAX, used: None }].into()))
    }

    /// Count of keys that are good at this time, in seconds since 1970.
    pub fn count(&self, now: u64) -> usize {
        self.0.iter().filter(|key| key.is_live(now)).count()
    }

    /// The `kid`s of the keys.
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|key| key.id.as_deref())
    }

    /// Verifies a signature with the one algorithm that both the key and the token name; returns the end of the key.
    /// Times are in seconds since 1970.
    ///
    /// A `kid` names its key, and no other is tried. A token that names no key of the set by its `kid` may do so by a
    /// certificate, and else belongs to one of the keys without a name: at most eight of them are tried.
    ///
    /// # Errors
    /// [`TokenFault::UnknownKey`], [`TokenFault::Algorithm`] or [`TokenFault::Signature`].
    pub(in crate::auth) fn verify_signature(
        &self,
        jws: &Jws<'_>,
        now: u64,
        steps: StepSink<'_>,
    ) -> Result<u64, TokenFault> {
        let found = self.signing_key(jws, now);
        steps.note("signature", found.is_ok(), || self.explained(jws, now, &found));
        let key = found?;
        if let Some(used) = key.used.as_ref().filter(|_| !steps.is_on()) {
            used.note(now);
        }
        Ok(key.until)
    }

    fn explained(&self, jws: &Jws<'_>, now: u64, found: &Result<&VerifyingKey, TokenFault>) -> StepDetail {
        const MOST: usize = 5;
        let live: Vec<_> = self.0.iter().filter(|key| key.is_live(now)).collect();
        let mut names: Vec<String> = live
            .iter()
            .take(MOST)
            .map(|key| key.id.as_deref().map_or_else(|| "one without kid".to_owned(), shown))
            .collect();
        if live.len() > MOST {
            names.push(format!("and {} more", live.len() - MOST));
        }
        let wanted = format!("made by one of the keys {}", names.join(", "));
        let named = jws.key_id().map_or_else(|| "no kid".to_owned(), |id| format!("kid {}", shown(id)));
        let saw = format!("{named}, alg {}", jws.algorithm().name());
        StepDetail::new(
            wanted,
            match found {
                Ok(key) => format!("{saw}: {}", key.described(now)),
                Err(TokenFault::Signature) => format!("{saw}: the signature is not by this key"),
                Err(TokenFault::Algorithm) => format!("{saw}: the key is not for this algorithm"),
                Err(_) => format!("{saw}: no such key, and none without a name has signed it"),
            },
        )
    }

    fn signing_key(&self, jws: &Jws<'_>, now: u64) -> Result<&VerifyingKey, TokenFault> {
        let Some(id) = jws.key_id() else { return self.unnamed_key(jws, now) };
        let mut is_named = false;
        for key in self.0.iter().filter(|key| key.is_live(now)) {
            if key.id.as_deref() == Some(id) || key.is_secret() {
                is_named = true;
                if let Some(material) = key.fit(jws.algorithm()) {
                    return key.verify(material, jws).ok_or(TokenFault::Signature);
                }
            }
        }
        if is_named { Err(TokenFault::Algorithm) } else { self.unnamed_key(jws, now) }
    }

    /// The same for a token whose `kid` names no key.
    #[cold]
    fn unnamed_key(&self, jws: &Jws<'_>, now: u64) -> Result<&VerifyingKey, TokenFault> {
        let said = jws.certificate_names();
        let texts = || said.iter().map(String::as_str);
        let named = CertificateDigests::of_texts(texts().chain(jws.key_id()));
        let has_name =
            |key: &VerifyingKey| key.certificates.meets(&named) || texts().any(|text| key.id.as_deref() == Some(text));
        let is_nameless = |key: &VerifyingKey| {
            (jws.key_id().is_none() || key.id.is_none()) && (said.is_empty() || key.certificates.is_empty())
        };
        let live = self.0.iter().filter(|key| key.is_live(now));
        let fitting = live.filter_map(|key| Some((key, key.fit(jws.algorithm())?)));
        let is_named = self.0.iter().any(|key| key.is_live(now) && has_name(key));
        let candidates = fitting.filter(|(key, _)| if is_named { has_name(key) } else { is_nameless(key) });
        let mut tried = 0;
        for (key, material) in candidates.take(MOST_TRIED) {
            if let Some(key) = key.verify(material, jws) {
                return Ok(key);
            }
            tried += 1;
        }
        // One that is named, or the only one: there is no other key to ask for.
        let is_sure = is_named || (jws.key_id().is_none() && said.is_empty() && tried == 1);
        Err(if is_sure && tried > 0 { TokenFault::Signature } else { TokenFault::UnknownKey })
    }
}

/// The JWKs of a set (RFC 7517 section 5).
///
/// # Errors
/// The text is not a JWK set.
pub(super) fn listed(json: &[u8]) -> Result<Vec<Value>, String> {
    Ok(keys_of(&read(json)?)?.to_vec())
}

/// .NET may write it with a byte order mark.
fn read(json: &[u8]) -> Result<Members, String> {
    let set = Members::parse(json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json));
    set.ok_or_else(|| "the key set is not a JSON object, or has a member twice".to_owned())
}

fn keys_of(set: &Members) -> Result<&[Value], String> {
    match set.get("keys") {
        Some(Value::Array(keys)) => Ok(keys),
        _ => Err("the key set has no list `keys` (RFC 7517 section 5)".into()),
    }
}

fn parse_all(
    keys: &[Value],
    allowed: &[Algorithm],
    now: u64,
    warnings: &mut Vec<String>,
) -> Vec<(VerifyingKey, PublicKey)> {
    let mut usable = Vec::new();
    for (position, key) in keys.iter().enumerate() {
        match jwk::parse(key, allowed, now) {
            Ok(key) => usable.push(key),
            Err(unusable) => warnings.push(format!("{} is ignored: {}", describe(position, key), unusable.reason)),
        }
    }
    usable
}

fn describe(position: usize, key: &Value) -> String {
    match key["kid"].as_str() {
        Some(id) => format!("key {} (kid {id:?})", position + 1),
        None => format!("key {}", position + 1),
    }
}

fn of_block(block: &PublicBlock, allowed: &[Algorithm]) -> Result<(VerifyingKey, PublicKey), String> {
    let (public, certificates) = match block {
        PublicBlock::Key(spki) => (PublicKey::of_spki(spki)?, CertificateDigests::default()),
        PublicBlock::Certificate(der) => {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "it is not a certificate")?;
            let public = PublicKey::of_spki(certificate.public_key().raw)?;
            (public, CertificateDigests::of_certificate(der))
        }
    };
    let key = VerifyingKey { certificates, ..VerifyingKey::of(&public, None, allowed)? };
    Ok((key, public))
}

/// Leaves out what is there twice. A `kid` may name several keys, told apart by algorithm; two of one algorithm it
/// does not name.
fn told_apart(keys: Vec<(VerifyingKey, PublicKey)>, warnings: &mut Vec<String>) -> Vec<VerifyingKey> {
    if keys.len() < 2 {
        return keys.into_iter().map(|(key, _)| key).collect();
    }
    let mut known: HashMap<(Option<String>, Algorithm), HashSet<PublicKey>> = HashMap::new();
    let mut apart = Vec::new();
    for (mut key, public) in keys {
        key.uses.retain(|(algorithm, _)| known.entry((key.id.clone(), *algorithm)).or_default().insert(public.clone()));
        apart.push(key);
    }
    let mut doubted: Vec<_> = known.iter().filter(|((id, _), keys)| id.is_some() && keys.len() > 1).collect();
    doubted.sort_unstable_by_key(|((id, algorithm), _)| (id, algorithm.name()));
    for ((id, algorithm), _) in &doubted {
        let (id, name) = (id.as_deref().unwrap_or_default(), algorithm.name());
        warnings.push(format!("all keys with the kid {id:?} are ignored for {name}: it stands there more than once"));
    }
    let doubted: HashSet<&(Option<String>, Algorithm)> = doubted.into_iter().map(|(name, _)| name).collect();
    for key in &mut apart {
        key.uses.retain(|(algorithm, _)| !doubted.contains(&(key.id.clone(), *algorithm)));
    }
    apart.retain(|key| !key.uses.is_empty());
    apart
}
