//! Published keys: the key set and the certificates by which ASAPP checks the customer's token, held against a token.

use http::Method;
use jsonwebtoken::jwk::{Jwk, JwkSet as PublishedSet};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::deployed_gateway::{DeployedGateway, Outgoing};
use super::login::TrialLogin;
use super::report::DoctorReport;
use crate::pem;

/// Members of a JWK that only its owner may have (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Fetches both, and checks the token's signature with the key that it names.
pub(super) async fn check(gateway: &DeployedGateway, login: &TrialLogin, report: &mut DoctorReport) {
    let Some(token) = &login.token else {
        report.skip("key_set", "the login gives no JWT");
        return;
    };
    const FIX: &str = "Callers must reach /.well-known/jwks.json and jwks.pem: see what stands in front of the gateway";
    let get = |path: &str| Outgoing::new(Method::GET, path);
    match gateway.send(&get("/.well-known/jwks.json")).await {
        Ok(reply) if reply.status == 200 => match serde_json::from_slice::<PublishedSet>(&reply.body) {
            Ok(set) => {
                report.note("key_set", !set.keys.is_empty(), format!("{} public keys", set.keys.len()), FIX);
                nothing_private(&reply.json(), report);
                verified(token, &set, report);
            }
            Err(error) => report.note("key_set", false, format!("it is no JWK set: {error}"), FIX),
        },
        Ok(reply) => report.note("key_set", false, format!("the answer is {}", reply.shown()), FIX),
        Err(error) => report.note("key_set", false, error.to_string(), FIX),
    }
    match gateway.send(&get("/.well-known/jwks.pem")).await {
        Ok(reply) if reply.status == 200 => {
            let blocks = pem::certificates(&reply.body, "jwks.pem")
                .map(|all| all.len())
                .or_else(|_| pem::public_keys(&reply.body, "jwks.pem").map(|all| all.len()));
            let saw = match &blocks {
                Ok(count) => format!("{count} in PEM"),
                Err((fault, _)) => fault.clone(),
            };
            report.note("key_pem", blocks.is_ok() && pem::is_public(&reply.body), saw, FIX);
        }
        Ok(reply) => report.note("key_pem", false, format!("the answer is {}", reply.shown()), FIX),
        Err(error) => report.note("key_pem", false, error.to_string(), FIX),
    }
}

fn nothing_private(set: &Value, report: &mut DoctorReport) {
    let keys = set["keys"].as_array().into_iter().flatten();
    let found = keys.flat_map(|key| PRIVATE.iter().filter(|name| key.get(**name).is_some())).count();
    let saw = if found == 0 { "nothing private in it" } else { "it has members of private keys" };
    report.note("key_set_public", found == 0, saw, "Change the signing keys at once, and find out who published them");
}

/// The signature, as a stranger checks it who knows the key set alone.
fn verified(token: &str, set: &PublishedSet, report: &mut DoctorReport) {
    let fix = "The key that signs must be published: is an old copy of the key set cached in front of the gateway?";
    let named = decode_header(token).ok();
    let key: Option<&Jwk> = named.as_ref().and_then(|header| set.find(header.kid.as_deref()?));
    let Some((header, key)) = named.zip(key) else {
        report.note("token_signature", false, "the key set has no key of the token's `kid`", fix);
        return;
    };
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let outcome = DecodingKey::from_jwk(key).and_then(|key| decode::<Value>(token, &key, &validation));
    let saw = match &outcome {
        Ok(_) => format!("{:?}, verified with the published key", header.alg),
        Err(error) => format!("it does not verify with the published key: {error}"),
    };
    report.note("token_signature", outcome.is_ok(), saw, fix);
}
