//! One key of a set (RFC 7517 section 4), as providers write it: a member that is null or empty is not there.

use serde_json::{Map, Value};

use super::VerifyingKey;
use super::certificate_digests::CertificateDigests;
use super::public_key::{PublicKey, es256k};
use crate::auth::jwt::algorithm::Algorithm;

/// Members of private keys (RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Reason why a key is not used.
pub(super) struct UnusableKey {
    /// A sentence about the key, which names the member.
    pub(super) reason: String,
    /// The set itself says that it is no longer good, or its private part is out.
    pub(super) is_withdrawn: bool,
}

impl From<String> for UnusableKey {
    fn from(reason: String) -> Self {
        Self { reason, is_withdrawn: false }
    }
}

impl From<&str> for UnusableKey {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// The key, for each of `allowed` that it may be used with. `now` is in seconds since 1970.
pub(super) fn parse(key: &Value, allowed: &[Algorithm], now: u64) -> Result<(VerifyingKey, PublicKey), UnusableKey> {
    let members = Jwk::of(key).ok_or("it is not an object")?;
    let kty = members.text("kty")?.ok_or("it has no `kty`")?;
    if kty == "oct" {
        return Err("it is symmetric (`kty` oct), and a secret is never read out of a key set".into());
    }
    members.check_withdrawn(now)?;
    if let Some(purpose) = members.text("use")?.filter(|purpose| *purpose != "sig") {
        return Err(format!("its `use` is {purpose:?}, not \"sig\"").into());
    }
    match members.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
        Some(_) => return Err("its `key_ops` lack \"verify\"".into()),
    }
    let pinned = members.text("alg")?;
    if pinned == Some("ES256K") {
        return Err(es256k("its `alg`").into());
    }
    let public = PublicKey::of_jwk(kty, &|name| members.text(name))?;
    let verifying = VerifyingKey {
        id: members.text("kid")?.map(str::to_owned),
        certificates: CertificateDigests::of_jwk(|name| members.get(name)),
        until: members.end().unwrap_or(u64::MAX),
        ..VerifyingKey::of(&public, pinned, allowed)?
    };
    Ok((verifying, public))
}

/// The public key in a JWK, whatever it is good for.
pub(super) fn public_key(key: &Value) -> Option<PublicKey> {
    let members = Jwk::of(key)?;
    PublicKey::of_jwk(members.text("kty").ok()??, &|name| members.text(name)).ok()
}

/// The members of a JWK.
pub(super) struct Jwk<'k>(&'k Map<String, Value>);

impl<'k> Jwk<'k> {
    pub(super) fn of(key: &'k Value) -> Option<Self> {
        key.as_object().map(Self)
    }

    /// The member of this name. .NET, Java and PHP write what a key does not have as `null`, `[]` or `""`.
    pub(super) fn get(&self, name: &str) -> Option<&'k Value> {
        self.0.get(name).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(values) => !values.is_empty(),
            _ => true,
        })
    }

    /// The member of this name, which must be a string if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'k str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` is not a string")),
        }
    }

    /// `exp`, in seconds since 1970: the first second in which it is no longer good. Registered for JWKs by OpenID
    /// Federation 1.0, as is `revoked`.
    pub(super) fn end(&self) -> Option<u64> {
        let exp = self.get("exp")?;
        exp.as_u64().or_else(|| exp.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64))
    }

    fn check_withdrawn(&self, now: u64) -> Result<(), UnusableKey> {
        let withdrawn = |reason: String| Err(UnusableKey { reason, is_withdrawn: true });
        if let Some(name) = PRIVATE.iter().find(|name| self.get(name).is_some()) {
            return withdrawn(format!(
                "it has the private member `{name}`; its owner must withdraw it and publish the public part only"
            ));
        }
        match self.get("revoked") {
            None | Some(Value::Bool(false)) => {}
            Some(_) => return withdrawn("it is marked as withdrawn (`revoked`)".to_owned()),
        }
        if self.end().is_some_and(|end| end <= now) {
            return withdrawn("it has ended (`exp`)".to_owned());
        }
        Ok(())
    }
}
