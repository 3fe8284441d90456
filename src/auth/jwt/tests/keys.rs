//! The key set: which keys it takes, and which of them a token may use.

use super::*;

#[test]
fn an_algorithm_that_the_issuer_may_not_use_is_refused() {
    let issuer = Issuer::new();
    let jwks = json!({ "keys": [issuer.ed_jwk(), issuer.ec_jwk()] }).to_string();
    let (keys, warnings) = JwkSet::from_jwks(jwks.as_bytes(), &[Algorithm::Es256]).unwrap();
    assert!(warnings[0].contains("EdDSA"), "{warnings:?}");
    let bench = Bench {
        verifier: Verifier::trusted(ISSUER.into(), vec![US.into()], keys, SKEW, ClaimPath::parse("sub")),
        issuer,
    };
    assert_eq!(bench.header(&header()), Err(TokenFault::UnknownKey));
    assert_eq!(bench.header(&without(&header(), "kid")), Err(TokenFault::UnknownKey));
    assert!(bench.check(&bench.issuer.ec_token(&json!({ "alg": "ES256", "kid": "ec" }))).is_ok());
    assert!(bench.check(&bench.issuer.ec_token(&json!({ "alg": "ES256" }))).is_ok());
}

#[test]
fn symmetric_and_public_keys_in_one_set_are_refused() {
    let issuer = Issuer::new();
    let symmetric = json!({ "kty": "oct", "kid": "mac", "k": BASE64.encode([7; 32]) });
    let fault = set_faults(&[issuer.ed_jwk(), symmetric.clone()], &Algorithm::ALL);
    assert!(fault.contains("mixes"), "{fault}");
    let fault = set_faults(&[symmetric], &Algorithm::ALL);
    assert!(fault.contains("symmetric") && fault.contains("no key"), "{fault}");
}

#[test]
fn the_key_says_what_it_is_for() {
    let bench = Bench::new();
    // The RSA key is marked RS256.
    for (name, encoding) in [
        ("PS256", &signature::RSA_PSS_SHA256 as &'static dyn RsaEncoding),
        ("RS384", &signature::RSA_PKCS1_SHA384),
        ("RS512", &signature::RSA_PKCS1_SHA512),
    ] {
        let token = bench.issuer.rsa_token(&json!({ "alg": name, "kid": "rsa" }), encoding);
        assert_eq!(bench.check(&token), Err(TokenFault::Algorithm), "{name}");
        // Without the mark it may.
        let verifier = bench.verifier.with_keys(set(&[without(&bench.issuer.rsa_jwk(), "alg")]));
        assert!(verifier.verify(&Compact::parse(&token).unwrap(), NOW).is_ok(), "{name}");
    }
    // The header names another family than the key.
    assert_eq!(bench.header(&json!({ "alg": "ES256", "kid": "ed" })), Err(TokenFault::Algorithm));
    assert_eq!(bench.header(&json!({ "alg": "EdDSA", "kid": "ec" })), Err(TokenFault::Algorithm));
    assert_eq!(bench.header(&json!({ "alg": "RS256", "kid": "ec" })), Err(TokenFault::Algorithm));
    let ed = bench.issuer.ed_jwk();
    for (name, value, part) in [
        ("use", json!("enc"), "`use`"),
        ("use", json!(["sig"]), "`use`"),
        ("key_ops", json!(["encrypt"]), "key_ops"),
        ("key_ops", json!([]), "key_ops"),
        ("key_ops", json!("verify"), "key_ops"),
        ("alg", json!("ES256"), "algorithm"),
        ("alg", json!(""), "algorithm"),
        ("alg", json!("HS256"), "algorithm"),
        ("alg", json!(["EdDSA"]), "`alg`"),
        ("kty", json!("EC"), "Ed25519"),
        ("kty", json!("ed"), "key type"),
        ("kty", json!(null), "`kty`"),
        ("crv", json!("X25519"), "X25519"),
        ("crv", json!("P-256"), "P-256"),
        ("kid", json!(7), "`kid`"),
        ("d", json!("AA"), "private"),
        ("x", json!("AA"), "not a public key"),
        ("x", json!("A"), "base64url"),
        ("x", json!(null), "`x`"),
    ] {
        let fault = set_faults(&[with(&ed, name, value.clone())], &Algorithm::ALL);
        assert!(fault.contains(part), "{name} {value}: {fault}");
        // It does not take the good key beside it along.
        let warning = set_faults(&[with(&ed, name, value), bench.issuer.ec_jwk()], &Algorithm::ALL);
        assert!(warning.contains("key 1") && warning.contains("ignored"), "{warning}");
    }
    assert_eq!(set_faults(&[with(&ed, "key_ops", json!(["verify", "sign"]))], &Algorithm::ALL), "");
    assert_eq!(set_faults(&[with(&ed, "unknown", json!({}))], &Algorithm::ALL), "");
}

#[test]
fn no_other_key_is_tried_than_the_one_that_is_named() {
    let bench = Bench::new();
    assert_eq!(bench.header(&with(&header(), "kid", json!("ec"))), Err(TokenFault::Algorithm));
    let second = with(&Issuer::new().ed_jwk(), "kid", json!("second"));
    let two = bench.verifier.with_keys(set(&[bench.issuer.ed_jwk(), second.clone()]));
    let named = |kid: &str| bench.issuer.token(&with(&header(), "kid", json!(kid)), &claims());
    let verify = |token: &str| two.verify(&Compact::parse(token).unwrap(), NOW).map(|_| ());
    assert_eq!(verify(&named("ed")), Ok(()));
    assert_eq!(verify(&named("second")), Err(TokenFault::Signature));
    assert_eq!(verify(&named("third")), Err(TokenFault::UnknownKey));
    // Without a kid: one fitting key is right, two are none.
    let unnamed = bench.issuer.token(&without(&header(), "kid"), &claims());
    assert!(bench.check(&unnamed).is_ok());
    assert_eq!(verify(&unnamed), Err(TokenFault::UnknownKey));
    // A key without a kid has no name to be called by.
    let nameless = bench.verifier.with_keys(set(&[without(&bench.issuer.ed_jwk(), "kid")]));
    assert!(nameless.verify(&Compact::parse(&unnamed).unwrap(), NOW).is_ok());
    let token = named("ed");
    assert_eq!(nameless.verify(&Compact::parse(&token).unwrap(), NOW), Err(TokenFault::UnknownKey));
}

#[test]
fn weak_keys_are_ignored_with_a_reason() {
    let issuer = Issuer::new();
    let rsa = issuer.rsa_jwk();
    let modulus = |bytes: usize| {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = 0x80;
        BASE64.encode(modulus)
    };
    for (name, value, part) in [
        ("n", json!(modulus(128)), "1024 bits"),
        ("n", json!(modulus(255)), "2040 bits"),
        ("n", json!(modulus(1025)), "8200 bits"),
        ("n", json!(""), "0 bits"),
        ("e", json!("AQ"), "1 or even"),
        ("e", json!("AAAB"), "1 or even"),
        ("e", json!("Ag"), "1 or even"),
        ("e", json!("AQAA"), "1 or even"),
        ("e", json!(""), "1 or even"),
        ("e", json!("AQAAAAAB"), "32 bits"),
    ] {
        let fault = set_faults(&[with(&rsa, name, value)], &Algorithm::ALL);
        assert!(fault.contains(part), "{name}: {fault}");
    }
    let mut zeros = vec![0; 200];
    zeros.extend(BASE64.decode(modulus(128)).unwrap());
    let fault = set_faults(&[with(&rsa, "n", json!(BASE64.encode(zeros)))], &Algorithm::ALL);
    assert!(fault.contains("1024 bits"), "zeros in front add nothing: {fault}");
    let ec = issuer.ec_jwk();
    for (name, value, part) in [
        ("crv", json!("P-521"), "66 bytes"),
        ("crv", json!("secp256k1"), "secp256k1"),
        ("crv", json!("P-384"), "48 bytes"),
        ("x", json!(BASE64.encode([0; 32])), "not a public key"),
        ("x", json!(BASE64.encode([0; 33])), "32 bytes"),
        ("y", json!(BASE64.encode([1; 31])), "32 bytes"),
    ] {
        let fault = set_faults(&[with(&ec, name, value)], &Algorithm::ALL);
        assert!(fault.contains(part), "{name}: {fault}");
    }
    assert_eq!(set_faults(&[rsa, ec], &Algorithm::ALL), "");
}

#[test]
fn a_kid_that_two_keys_claim_names_neither() {
    let bench = Bench::new();
    let other = with(&bench.issuer.ec_jwk(), "kid", json!("ed"));
    let keys = [bench.issuer.ed_jwk(), other, bench.issuer.rsa_jwk()];
    let warning = set_faults(&keys, &Algorithm::ALL);
    assert!(warning.contains("more than once"), "{warning}");
    let verifier = bench.verifier.with_keys(set(&keys));
    let token = bench.issuer.token(&header(), &claims());
    assert_eq!(verifier.verify(&Compact::parse(&token).unwrap(), NOW), Err(TokenFault::UnknownKey));
    // One of the two is not for signatures: then there is no doubt.
    let encryption = with(&with(&bench.issuer.rsa_jwk(), "kid", json!("ed")), "use", json!("enc"));
    let verifier = bench.verifier.with_keys(set(&[bench.issuer.ed_jwk(), encryption]));
    assert!(verifier.verify(&Compact::parse(&token).unwrap(), NOW).is_ok());
}

#[test]
fn what_is_no_key_set_is_refused() {
    for text in [
        "",
        "<html>",
        "[]",
        "null",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[]}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[1,null,"x",[]]}"#,
        r#"{"keys":[{}]}"#,
    ] {
        assert!(JwkSet::from_jwks(text.as_bytes(), &Algorithm::ALL).is_err(), "{text}");
    }
    assert!(JwkSet::from_jwks("[".repeat(1 << 20).as_bytes(), &Algorithm::ALL).is_err());
    let issuer = Issuer::new();
    assert!(JwkSet::from_jwks(json!({ "keys": [issuer.ed_jwk()] }).to_string().as_bytes(), &[]).is_err());
}
