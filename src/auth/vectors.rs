//! Vectors made by others, run at the level of the signature: their payloads are no claims.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it fails")]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::jwt::algorithm::Algorithm;
use super::jwt::jwk_set::JwkSet;
use super::jwt::jws::Jws;
use crate::explanation::trace::StepSink;
use crate::refusal::TokenFault;
use crate::secret::Secret;

/// The JWK says PS256 or ES521 where the figure of the RFC is signed with PS384 or ES512: the data are wrong.
const WRONG_IN_THE_DATA: [u64; 4] = [346, 347, 350, 351];

fn vectors(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A JWK or a JWK set as a set.
fn as_set(key: &Value) -> String {
    if key["keys"].is_array() { key.to_string() } else { json!({ "keys": [key] }).to_string() }
}

fn public_half(key: &Value) -> Value {
    let mut key = key.clone();
    for name in ["d", "p", "q", "dp", "dq", "qi"] {
        key.as_object_mut().unwrap().remove(name);
    }
    key
}

/// The keys as the gateway would have them: a single secret is configured as such, all else is a key set.
fn keys_of(set: &str) -> Option<JwkSet> {
    let parsed: Value = serde_json::from_str(set).unwrap();
    let only = parsed["keys"].as_array().filter(|keys| keys.len() == 1).map(|keys| &keys[0]);
    let Some(secret) = only.filter(|key| key["kty"] == "oct") else {
        return JwkSet::from_jwks(set.as_bytes(), &Algorithm::ALL).ok().map(|(keys, _)| keys);
    };
    let algorithms: Vec<Algorithm> = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]
        .into_iter()
        .filter(|algorithm| secret["alg"].is_null() || secret["alg"] == algorithm.name())
        .collect();
    let bytes = BASE64.decode(secret["k"].as_str()?).ok()?;
    // Whoever configures a secret does not choose one that is too short for some of its algorithms.
    let fitting = |algorithm: &Algorithm| JwkSet::from_secret(&Secret::new(bytes.clone()), &[*algorithm]).is_ok();
    let fitting: Vec<Algorithm> = algorithms.into_iter().filter(fitting).collect();
    JwkSet::from_secret(&Secret::new(bytes), &fitting).ok()
}

/// The expected fault of a token or its key; `Err(None)` for the key set.
fn verdict(set: &str, token: &str) -> Result<(), Option<TokenFault>> {
    let keys = keys_of(set).ok_or(None)?;
    let jws = Jws::parse(token)?;
    keys.verify_signature(&jws, 0, StepSink::off())?;
    Ok(())
}

/// Called invalid, and byte for byte the valid case 357.
const VALID_ALL_THE_SAME: [u64; 2] = [367, 370];
/// Called valid: a `?` in header or payload, which RFC 7515 section 2 does not allow; and two secrets in one set, of
/// which we take one.
const REFUSED_ALL_THE_SAME: [(&str, u64); 4] = [("signature", 372), ("signature", 373), ("key", 2), ("crypto", 48)];

/// The cases that are accepted, and how many are refused.
fn run(file: &str) -> (Vec<u64>, usize) {
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for group in vectors(file)["testGroups"].as_array().unwrap() {
        let key = if group["public"].is_object() { &group["public"] } else { &group["private"] };
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            let is_of = |kind: &str| file.contains(&format!("_{kind}_test"));
            if is_of("signature") && WRONG_IN_THE_DATA.contains(&id) {
                continue;
            }
            let text = |value: &Value| match value {
                Value::String(token) => token.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            if !test["jwe"].is_null() {
                // Valid or not as a JWE: it is no token (RFC 7516 is nothing that we do).
                assert!(Jws::parse(&text(&test["jwe"])).is_err(), "{file} {id} is encrypted");
                continue;
            }
            let token = text(&test["jws"]);
            let verdict = verdict(&as_set(key), &token);
            let mut valid = test["result"] == "valid";
            valid |= is_of("signature") && VALID_ALL_THE_SAME.contains(&id);
            valid &= !REFUSED_ALL_THE_SAME.iter().any(|(kind, other)| is_of(kind) && *other == id);
            assert_eq!(verdict.is_ok(), valid, "{file} {id} ({}): {verdict:?}", test["comment"]);
            match verdict {
                Ok(()) => accepted.push(id),
                Err(_) => refused += 1,
            }
        }
    }
    (accepted, refused)
}

#[test]
fn wycheproof_signatures() {
    let (accepted, refused) = run("wycheproof/json_web_signature_test.json");
    assert_eq!((accepted.len(), refused), (42, 355));
}

#[test]
fn wycheproof_key_sets() {
    let (accepted, refused) = run("wycheproof/json_web_key_test.json");
    assert_eq!((accepted, refused), (vec![5, 13, 14, 15], 22));
}

#[test]
fn wycheproof_crypto() {
    let (accepted, refused) = run("wycheproof/json_web_crypto_test.json");
    assert_eq!((accepted, refused), (vec![1, 18, 33], 46));
}

#[test]
fn rfc_7515_examples() {
    let mut accepted = Vec::new();
    for example in vectors("rfc7515.json")["examples"].as_array().unwrap() {
        let name = example["appendix"].as_str().unwrap();
        let token = example["token"].as_str().map_or_else(|| example["token"].to_string(), str::to_owned);
        let verdict = verdict(&as_set(&example["key"]), &token);
        assert_eq!(verdict.is_ok(), example["accepted"] == true, "{name}: {verdict:?}");
        if verdict.is_ok() {
            accepted.push(name.to_owned());
            let changed = token.replacen(".eyJpc3Mi", ".eyJpc3Nj", 1).replacen(".UGF5", ".UGF6", 1);
            assert_eq!(self::verdict(&as_set(&example["key"]), &changed), Err(Some(TokenFault::Signature)), "{name}");
        }
    }
    assert_eq!(accepted, ["A.1", "A.2", "A.3", "A.4"]);
}

/// The base64 cases are signed with a secret. Under a header of a public key it is the encoding alone that must refuse
/// them.
#[test]
fn wycheproof_base64_faults_are_found_whatever_the_algorithm() {
    let data = vectors("wycheproof/json_web_signature_test.json");
    let groups = data["testGroups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["comment"] == "base64").unwrap();
    for test in group["tests"].as_array().unwrap() {
        let id = test["tcId"].as_u64().unwrap();
        let token = test["jws"].as_str().unwrap();
        let (header, rest) = token.split_once('.').unwrap();
        let read = |token: &str| Jws::parse(token).map(|_| ());
        match id {
            // The fault is in the header itself.
            365 | 366 | 372 => assert_eq!(read(token), Err(TokenFault::Malformed), "{id}"),
            // Nothing is wrong with these: 367 and 370 are the valid case 357 over again.
            357..=359 | 367 | 370 | 376 | 377 => {
                assert_eq!(read(token), Ok(()), "{id}");
                assert_eq!(read(&format!("{}.{rest}", ours())), Ok(()), "{id}");
            }
            // 373 is called valid; we refuse a `?` in the payload as RFC 7515 section 2 has it.
            _ => {
                assert_eq!(read(&format!("{}.{rest}", ours())), Err(TokenFault::Malformed), "{id} {header}");
            }
        }
    }
}

/// `{"alg":"ES256"}`.
fn ours() -> &'static str {
    "eyJhbGciOiJFUzI1NiJ9"
}

#[test]
fn rfc_7520_and_rfc_8037_examples() {
    let mut accepted = Vec::new();
    for (file, fault) in [
        ("jws/4_1.rsa_v15_signature", None),
        ("jws/4_2.rsa-pss_signature", None),
        ("curve25519/jws", None),
        ("jws/4_3.ecdsa_signature", None),
        ("jws/4_4.hmac-sha2_integrity_protection", None),
        ("jws/4_5.signature_with_detached_content", Some("its payload is elsewhere")),
    ] {
        let data = vectors(&format!("jose-cookbook/{file}.json"));
        let key = &data["input"]["key"];
        let token = data["output"]["compact"].as_str().unwrap();
        let public = as_set(&public_half(key));
        let verdict = verdict(&public, token);
        assert_eq!(verdict.is_ok(), fault.is_none(), "{file}: {verdict:?}");
        if fault.is_none() {
            accepted.push(file);
            // One bit of the payload, and one of the signature.
            for part in [1, 2] {
                let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
                let other = if parts[part].starts_with('A') { "B" } else { "A" };
                parts[part].replace_range(..1, other);
                let changed = self::verdict(&public, &parts.join("."));
                assert_eq!(changed, Err(Some(TokenFault::Signature)), "{file}");
            }
            // The private key in a set that should be public.
            if key["kty"] == "oct" {
                continue;
            }
            let private = JwkSet::from_jwks(as_set(key).as_bytes(), &Algorithm::ALL).map(|_| ()).unwrap_err();
            assert!(private.contains("private"), "{private}");
        }
    }
    assert_eq!(accepted.len(), 5);
}

#[test]
fn the_json_serializations_of_rfc_7520_are_no_tokens() {
    for file in [
        "4_1.rsa_v15_signature",
        "4_6.protecting_specific_header_fields",
        "4_7.protecting_content_only",
        "4_8.multiple_signatures",
    ] {
        let data = vectors(&format!("jose-cookbook/jws/{file}.json"));
        for form in ["json", "json_flat"] {
            let token = data["output"][form].to_string();
            assert_eq!(Jws::parse(&token).map(|_| ()), Err(TokenFault::Malformed), "{file} {form}");
        }
    }
}

#[test]
fn rfc_7520_keys() {
    for (file, usable) in [
        ("3_1.ec_public_key", true),
        ("3_2.ec_private_key", false),
        ("3_3.rsa_public_key", true),
        ("3_4.rsa_private_key", false),
        ("3_5.symmetric_key_mac_computation", false),
        ("3_6.symmetric_key_encryption", false),
    ] {
        let key = vectors(&format!("jose-cookbook/jwk/{file}.json"));
        let set = JwkSet::from_jwks(as_set(&key).as_bytes(), &Algorithm::ALL);
        assert_eq!(set.is_ok(), usable, "{file}");
    }
}
