#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as BASE64};
use proptest::prelude::*;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;

use super::algorithm::Algorithm;
use super::claims::ClaimPath;
use super::jwk_set::JwkSet;
use super::*;
use crate::customer;

mod claims;
mod form;
mod header;
mod keys;

const ISSUER: &str = "https://login.example.com";
const US: &str = "legacy-api";
const NOW: u64 = 1_800_000_000;
const SKEW: u64 = 60;

/// An issuer with one key of each kind: `ed`, `ec` and `rsa`.
struct Issuer {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self {
            ed: Ed25519KeyPair::generate().unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref()).unwrap(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    fn ed_jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": BASE64.encode(self.ed.public_key()) })
    }

    fn ec_jwk(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig",
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) })
    }

    fn rsa_jwk(&self) -> Value {
        let public = self.rsa.public_key().as_ref();
        let (_, key) = x509_parser::public_key::RSAPublicKey::from_der(public).unwrap();
        json!({ "kty": "RSA", "alg": "RS256", "kid": "rsa", "e": "AQAB", "n": BASE64.encode(&key.modulus[1..]) })
    }

    fn keys(&self) -> JwkSet {
        set(&[self.ed_jwk(), self.ec_jwk(), self.rsa_jwk()])
    }

    /// Signed with Ed25519.
    fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw(&header.to_string(), &claims.to_string())
    }

    fn raw(&self, header: &str, claims: &str) -> String {
        join(header, claims, |signed| self.ed.sign(signed).as_ref().to_vec())
    }

    fn rsa_token(&self, header: &Value, encoding: &'static dyn RsaEncoding) -> String {
        join(&header.to_string(), &claims().to_string(), |signed| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &SystemRandom::new(), signed, &mut signature).unwrap();
            signature
        })
    }

    fn ec_token(&self, header: &Value) -> String {
        join(&header.to_string(), &claims().to_string(), |signed| {
            self.ec.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()
        })
    }
}

fn join(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = BASE64.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn set(keys: &[Value]) -> JwkSet {
    JwkSet::from_jwks(json!({ "keys": keys }).to_string().as_bytes(), &Algorithm::ALL).unwrap().0
}

fn set_faults(keys: &[Value], allowed: &[Algorithm]) -> String {
    match JwkSet::from_jwks(json!({ "keys": keys }).to_string().as_bytes(), allowed) {
        Ok((_, warnings)) => warnings.join("; "),
        Err(fault) => fault,
    }
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": "ed", "typ": "JWT" })
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": US, "sub": "alice", "iat": NOW - 10, "exp": NOW + 600 })
}

fn with(base: &Value, name: &str, value: Value) -> Value {
    let mut changed = base.clone();
    changed[name] = value;
    changed
}

fn without(base: &Value, name: &str) -> Value {
    let mut changed = base.clone();
    changed.as_object_mut().unwrap().remove(name);
    changed
}

/// One issuer, as a trusted one.
struct Bench {
    issuer: Issuer,
    verifier: Verifier,
}

impl Bench {
    fn new() -> Self {
        let issuer = Issuer::new();
        let verifier = Verifier::trusted(ISSUER.into(), vec![US.into()], issuer.keys(), SKEW, ClaimPath::parse("sub"));
        Self { issuer, verifier }
    }

    fn check(&self, token: &str) -> Result<Claims, TokenFault> {
        self.check_at(token, NOW)
    }

    fn check_at(&self, token: &str, now: u64) -> Result<Claims, TokenFault> {
        self.verifier.verify(&Compact::parse(token)?, now)
    }

    fn header(&self, header: &Value) -> Result<Claims, TokenFault> {
        self.check(&self.issuer.token(header, &claims()))
    }

    fn claim(&self, name: &str, value: Value) -> Result<Claims, TokenFault> {
        self.check(&self.issuer.token(&header(), &with(&claims(), name, value)))
    }

    fn raw_claims(&self, claims: &str) -> Result<Claims, TokenFault> {
        self.check(&self.issuer.raw(&header().to_string(), claims))
    }
}

#[test]
fn a_right_token_gives_its_claims() {
    let bench = Bench::new();
    let token = bench.issuer.token(&header(), &with(&claims(), "jti", json!("7")));
    assert_eq!(Compact::parse(&token).unwrap().issuer(), Some(ISSUER));
    let read = bench.check(&token).unwrap();
    let expected = Claims {
        binding: None,
        account: None,
        delegation: None,
        forwarded: None,
        login: None,
        session: None,
        family: None,
        subject: "alice".into(),
        audience: US.into(),
        issued_at: Some(NOW - 10),
        rules: None,
        expires_at: NOW + 600,
        ends: NOW + 600 + SKEW,
        key_ends: u64::MAX,
        over: NOW + 600 + SKEW,
        token_id: Some("7".into()),
        client_id: None,
        scope: None,
    };
    assert_eq!(read, expected);
    assert!(bench.check(&bench.issuer.ec_token(&json!({ "alg": "ES256", "kid": "ec" }))).is_ok());
    let rs256 = bench.issuer.rsa_token(&json!({ "alg": "RS256", "kid": "rsa" }), &signature::RSA_PKCS1_SHA256);
    assert!(bench.check(&rs256).is_ok());
}
