//! DPoP proofs (RFC 9449): JWTs that show with each request that the sender holds the key of its token.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Map, Value, json};

use super::jwt::algorithm::Algorithm;
use super::jwt::jwk_set::JwkSet;
use super::jwt::jws::{Jws, Members};
use super::tls::certificate::Thumbprint;
use crate::explanation::trace::StepSink;
use crate::refusal::{DpopFault, TokenFault};

/// The signature algorithms of proofs, all of key pairs.
pub const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps256, Algorithm::Rs256];

/// Lifetime of a proof, in seconds; clock skew comes on top.
const LIFE: u64 = 60;
/// The longest `jti`, in bytes.
const LONGEST_ID: usize = 256;

/// A proof whose signature is right. Whether it is for this request, [`Proof::is_for`] tells.
#[derive(Debug)]
pub struct Proof {
    /// The thumbprint of its key (RFC 7638).
    pub key: Thumbprint,
    /// The method that it is for.
    method: String,
    /// The address that it is for.
    pub target: String,
    /// `iat`, in seconds since 1970.
    pub issued_at: u64,
    /// The digest of the token that it is for.
    token: Option<Thumbprint>,
    /// Digest of its key and its `jti`, against replay.
    pub id: [u8; 32],
}

impl Proof {
    /// Reads a proof and checks its signature with the key in it (RFC 9449 section 4.3, steps 2 to 7).
    ///
    /// # Errors
    /// The first fault of the proof.
    pub fn read(text: &str) -> Result<Self, DpopFault> {
        let (jws, key) = Jws::parse_with_key(text).map_err(|fault| match fault {
            TokenFault::Algorithm => DpopFault::Algorithm,
            _ => DpopFault::Malformed,
        })?;
        if jws.kind() != Some("dpop+jwt") {
            return Err(DpopFault::Type);
        }
        if !ALGORITHMS.contains(&jws.algorithm()) {
            return Err(DpopFault::Algorithm);
        }
        let key = public_members(&key).ok_or(DpopFault::Malformed)?;
        let set = json!({ "keys": [key] }).to_string();
        let (keys, _) = JwkSet::from_jwks(set.as_bytes(), &ALGORITHMS).map_err(|_| DpopFault::Malformed)?;
        keys.verify_signature(&jws, 0, StepSink::off()).map_err(|_| DpopFault::Signature)?;
        let key = thumbprint(&key);
        let claims = Members::parse(jws.payload()).ok_or(DpopFault::Malformed)?;
        let text = |name| claims.get(name).and_then(Value::as_str).ok_or(DpopFault::Malformed);
        let id = text("jti")?;
        if id.is_empty() || id.len() > LONGEST_ID {
            return Err(DpopFault::Malformed);
        }
        let token = match claims.get("ath") {
            None => None,
            Some(_) => {
                Some(BASE64.decode(text("ath")?).ok().and_then(|hash| hash.try_into().ok()).ok_or(DpopFault::Token)?)
            }
        };
        Ok(Self {
            key,
            method: text("htm")?.to_owned(),
            target: text("htu")?.to_owned(),
            issued_at: claims.get("iat").and_then(whole_seconds).ok_or(DpopFault::Malformed)?,
            token,
            id: sha256(&[&b"proof "[..], &key, id.as_bytes()].concat()),
        })
    }

    /// Checks that it is for this method and fresh. `now` and `skew` are in seconds.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn is_for(&self, method: &str, now: u64, skew: u64) -> Result<(), DpopFault> {
        if self.method != method {
            return Err(DpopFault::Method);
        }
        let is_fresh = self.issued_at <= now.saturating_add(skew) && now < self.ends(skew);
        if is_fresh { Ok(()) } else { Err(DpopFault::Time) }
    }

    /// The first second, since 1970, in which nobody takes it any more.
    pub fn ends(&self, skew: u64) -> u64 {
        self.issued_at.saturating_add(LIFE).saturating_add(skew)
    }

    /// Returns whether it was made for this token (`ath`).
    pub fn is_with(&self, token: &[u8]) -> bool {
        self.token == Some(sha256(token))
    }
}

/// A NumericDate in whole seconds.
fn whole_seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64))
}

/// The members that make a public key; `None` where it has private ones, or lacks one.
fn public_members(key: &Value) -> Option<Map<String, Value>> {
    let members = key.as_object()?;
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
        return None;
    }
    let names: &[&str] = match members.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    names
        .iter()
        .map(|name| Some(((*name).to_owned(), members.get(*name).filter(|value| is_plain(value))?.clone())))
        .collect()
}

/// Returns whether a value is a text without padding, blanks and the letters of standard base64: a key has one thumbprint.
fn is_plain(value: &Value) -> bool {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_');
    value.as_str().is_some_and(|text| text.bytes().all(is_letter))
}

/// The thumbprint of a public key of which nothing but the required members is left, in the order of their names
/// (RFC 7638 section 3).
fn thumbprint(key: &Map<String, Value>) -> Thumbprint {
    let members: BTreeMap<_, _> = key.iter().collect();
    let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    sha256(format!("{{{}}}", members.join(",")).as_bytes())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    /// The proof of RFC 9449 section 7.1, whose key has the thumbprint of section 6.1.
    const EXAMPLE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
        VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
        nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
        QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj\
        oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z\
        WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF\
        c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E\
        OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

    #[test]
    fn the_example_of_rfc_9449_is_read_and_is_for_its_request_alone() {
        let proof = Proof::read(EXAMPLE).unwrap();
        assert_eq!(BASE64.encode(proof.key), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert_eq!(proof.target, "https://resource.example.org/protectedresource");
        assert!(proof.is_with(TOKEN.as_bytes()) && !proof.is_with(b"another"));
        let at = 1_562_262_618;
        for good in [at - 30, at, at + 89] {
            assert_eq!(proof.is_for("GET", good, 30), Ok(()));
        }
        assert_eq!(proof.is_for("POST", at, 30), Err(DpopFault::Method));
        for other in [at - 31, at + 90] {
            assert_eq!(proof.is_for("GET", other, 30), Err(DpopFault::Time));
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let key = json!({
            "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
                FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgn\
                Yb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqb\
                w0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let thumbprint = thumbprint(&public_members(&key).unwrap());
        assert_eq!(BASE64.encode(thumbprint), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_private_key_or_none_is_refused() {
        for key in [
            json!({ "kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c" }),
            json!({ "kty": "oct", "k": "a" }),
            json!({ "kty": "EC", "crv": "P-256", "x": "a" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": 7 }),
            json!("key"),
        ] {
            assert!(public_members(&key).is_none(), "{key}");
        }
    }
}
