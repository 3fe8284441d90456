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
fn a_symmetric_key_beside_public_ones_is_left_out_and_signs_nothing() {
    let bench = Bench::new();
    let symmetric = json!({ "kty": "oct", "kid": "mac", "k": BASE64.encode([7; 32]) });
    let keys = [symmetric.clone(), bench.issuer.ed_jwk()];
    let warning = set_faults(&keys, &Algorithm::ALL);
    assert!(warning.contains("key 1 (kid \"mac\")") && warning.contains("symmetric"), "{warning}");
    let verifier = bench.verifier.with_keys(set(&keys));
    let verify = |token: &str| verifier.verify(&Compact::parse(token).unwrap(), NOW).map(|_| ());
    assert_eq!(verify(&bench.issuer.token(&header(), &claims())), Ok(()));
    for header in [json!({ "alg": "HS256", "kid": "mac" }), json!({ "alg": "HS256" })] {
        let token = join(&header.to_string(), &claims().to_string(), |signed| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), signed).as_ref().to_vec()
        });
        assert_eq!(verify(&token), Err(TokenFault::UnknownKey), "{header}");
    }
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
        ("key_ops", json!("verify"), "key_ops"),
        ("alg", json!("ES256"), "algorithm"),
        ("alg", json!("ES256K"), "ES256K"),
        ("alg", json!("HS256"), "algorithm"),
        ("alg", json!(["EdDSA"]), "`alg`"),
        ("kty", json!("EC"), "Ed25519"),
        ("kty", json!("ed"), "key type"),
        ("kty", json!(null), "`kty`"),
        ("crv", json!("X25519"), "X25519"),
        ("crv", json!("P-256"), "P-256"),
        ("kid", json!(7), "`kid`"),
        ("d", json!("AA"), "private member `d`"),
        ("d", json!(7), "private member `d`"),
        ("k", json!("AA"), "private member `k`"),
        ("oth", json!([{}]), "private member `oth`"),
        ("kty", json!("AKP"), "post-quantum"),
        ("crv", json!("secp256k1"), "secp256k1"),
        ("revoked", json!({ "revoked_at": 1 }), "`revoked`"),
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
    let two = bench.verifier.with_keys(set(&[second.clone(), bench.issuer.ed_jwk()]));
    let named = |kid: &str| bench.issuer.token(&with(&header(), "kid", json!(kid)), &claims());
    let verify = |verifier: &Verifier, token: &str| verifier.verify(&Compact::parse(token).unwrap(), NOW).map(|_| ());
    assert_eq!(verify(&two, &named("ed")), Ok(()));
    assert_eq!(verify(&two, &named("second")), Err(TokenFault::Signature));
    assert_eq!(verify(&two, &named("third")), Err(TokenFault::UnknownKey));
    // Without a kid: those that fit are tried.
    let unnamed = bench.issuer.token(&without(&header(), "kid"), &claims());
    assert_eq!(verify(&two, &unnamed), Ok(()));
    let forged = Issuer::new().token(&without(&header(), "kid"), &claims());
    assert_eq!(verify(&two, &forged), Err(TokenFault::UnknownKey));
    assert_eq!(bench.check(&forged), Err(TokenFault::Signature), "only one fits");
    // A key without a kid has no name to be called by: it is tried where no other has the name.
    let nameless = bench.verifier.with_keys(set(&[without(&bench.issuer.ed_jwk(), "kid"), second]));
    assert_eq!(verify(&nameless, &unnamed), Ok(()));
    assert_eq!(verify(&nameless, &named("ed")), Ok(()));
    assert_eq!(verify(&nameless, &named("second")), Err(TokenFault::Signature));
    assert_eq!(verify(&nameless, &forged), Err(TokenFault::UnknownKey));
}

#[test]
fn no_more_than_eight_keys_are_tried() {
    let bench = Bench::new();
    let others: Vec<Value> = (0..8).map(|_| without(&Issuer::new().ed_jwk(), "kid")).collect();
    let own = without(&bench.issuer.ed_jwk(), "kid");
    for (before, verdict) in [(7, Ok(())), (8, Err(TokenFault::UnknownKey))] {
        let keys: Vec<Value> = others[..before].iter().chain([&own]).cloned().collect();
        let verifier = bench.verifier.with_keys(set(&keys));
        for header in [header(), without(&header(), "kid")] {
            let token = bench.issuer.token(&header, &claims());
            assert_eq!(verifier.verify(&Compact::parse(&token).unwrap(), NOW).map(|_| ()), verdict);
        }
    }
}

#[test]
fn a_certificate_names_its_key() {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

    let bench = Bench::new();
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, b"certificate");
    let sha256 = digest(&SHA256, b"certificate");
    let (x5t, x5t_s256) = (BASE64.encode(sha1), BASE64.encode(sha256));
    let hex = crate::hex::hex(sha1.as_ref());
    let own = bench.issuer.ed_jwk();
    let other = with(&with(&Issuer::new().ed_jwk(), "kid", json!("other")), "x5t", json!(BASE64.encode([7; 20])));
    for key in [
        with(&own, "x5t", json!(x5t)),
        with(&own, "x5t#S256", json!(x5t_s256)),
        with(&own, "x5c", json!([STANDARD.encode("certificate"), "AAAA"])),
    ] {
        let is_in = |name: &str| key[name].is_string() || key["x5c"].is_array();
        let verifier = bench.verifier.with_keys(set(&[other.clone(), key.clone()]));
        let verify = |header: Value| {
            let token = bench.issuer.token(&header, &claims());
            verifier.verify(&Compact::parse(&token).unwrap(), NOW).map(|_| ())
        };
        let due = |right: bool| if right { Ok(()) } else { Err(TokenFault::UnknownKey) };
        for (name, text) in [("x5t", &x5t), ("x5t", &hex), ("x5t#S256", &x5t_s256)] {
            let is_known = is_in(if text.len() == 43 { "x5t#S256" } else { "x5t" });
            assert_eq!(verify(json!({ "alg": "EdDSA", name: text })), due(is_known), "{name} {key}");
            assert_eq!(verify(json!({ "alg": "EdDSA", "kid": text })), due(is_known), "kid {text} {key}");
            assert_eq!(verify(json!({ "alg": "EdDSA", "kid": "?", name: text })), due(is_known), "{name} {key}");
        }
        // The certificate of another key, and the name of another key beside the right certificate.
        let stolen = json!({ "alg": "EdDSA", "x5t": BASE64.encode([7; 20]) });
        assert_eq!(verify(stolen), Err(TokenFault::Signature));
        let named = json!({ "alg": "EdDSA", "kid": "other", "x5t": x5t });
        assert_eq!(verify(named), Err(TokenFault::Signature), "a kid of the set goes first");
        assert_eq!(verify(json!({ "alg": "ES256", "x5t": x5t })), Err(TokenFault::UnknownKey));
    }
    // Neither key says what its certificate is.
    let plain = bench.verifier.with_keys(set(&[without(&other, "x5t"), own]));
    let token = bench.issuer.token(&json!({ "alg": "EdDSA", "x5t": x5t }), &claims());
    assert!(plain.verify(&Compact::parse(&token).unwrap(), NOW).is_ok());
}

#[test]
fn ed25519_has_two_names() {
    let bench = Bench::new();
    for pinned in [json!(null), json!("EdDSA"), json!("Ed25519")] {
        let keys = [with(&bench.issuer.ed_jwk(), "alg", pinned.clone())];
        let jwks = json!({ "keys": keys }).to_string();
        let (keys, warnings) = JwkSet::from_jwks(jwks.as_bytes(), &[Algorithm::EdDsa]).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let verifier = bench.verifier.with_keys(keys);
        for name in ["EdDSA", "Ed25519"] {
            let token = bench.issuer.token(&with(&header(), "alg", json!(name)), &claims());
            assert!(verifier.verify(&Compact::parse(&token).unwrap(), NOW).is_ok(), "{name} with {pinned}");
        }
    }
}

#[test]
fn what_a_key_does_not_have_may_be_null_or_empty() {
    let bench = Bench::new();
    for key in [bench.issuer.ed_jwk(), bench.issuer.ec_jwk(), bench.issuer.rsa_jwk()] {
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "use", "alg", "key_ops", "x5t", "x5c", "x5u", "exp"] {
            for value in [json!(null), json!([]), json!("")] {
                assert_eq!(set_faults(&[with(&key, name, value.clone())], &Algorithm::ALL), "", "{name}: {value}");
            }
        }
        for name in ["n", "e", "x", "y"] {
            let fault = set_faults(&[with(&key, name, json!(null))], &Algorithm::ALL);
            assert!(fault.is_empty() == key[name].is_null() && !fault.contains("private"), "{name}: {fault}");
        }
    }
}

#[test]
fn numbers_are_read_in_the_base64_that_others_write() {
    let bench = Bench::new();
    for (key, names) in [
        (bench.issuer.rsa_jwk(), &["n", "e"][..]),
        (bench.issuer.ec_jwk(), &["x", "y"]),
        (bench.issuer.ed_jwk(), &["x"]),
    ] {
        for name in names {
            let bytes = BASE64.decode(key[name].as_str().unwrap()).unwrap();
            let standard = STANDARD.encode(&bytes);
            let lines = standard.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
            let lines = lines.collect::<Vec<_>>().join("\r\n");
            for text in [URL_SAFE.encode(&bytes), standard.trim_end_matches('=').to_owned(), standard, lines] {
                assert_eq!(set_faults(&[with(&key, name, json!(text))], &Algorithm::ALL), "", "{name} {text}");
            }
            if key["kty"] != "OKP" {
                let signed = BASE64.encode([&[0], &bytes[..]].concat());
                assert_eq!(set_faults(&[with(&key, name, json!(signed))], &Algorithm::ALL), "", "{name} {signed}");
            }
            let fault = set_faults(&[with(&key, name, json!("!"))], &Algorithm::ALL);
            assert!(fault.contains(&format!("`{name}` is not base64url")), "{fault}");
        }
    }
    let mut set = b"\xef\xbb\xbf".to_vec();
    set.extend(json!({ "keys": [bench.issuer.ed_jwk()] }).to_string().into_bytes());
    assert!(JwkSet::from_jwks(&set, &Algorithm::ALL).is_ok(), "a byte order mark");
}

#[test]
fn a_key_ends_with_its_exp() {
    let bench = Bench::new();
    let verifier = bench.verifier.with_keys(set(&[with(&bench.issuer.ed_jwk(), "exp", json!(NOW + 9))]));
    let token = bench.issuer.token(&header(), &claims());
    let at = |now: u64| verifier.verify(&Compact::parse(&token).unwrap(), now).map(|claims| claims.ends);
    assert_eq!(at(NOW), Ok(NOW + 9), "a verdict ends with its key");
    assert_eq!(at(NOW + 9), Err(TokenFault::UnknownKey));
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
        ("n", json!(""), "no `n`"),
        ("e", json!("AQ"), "1 or even"),
        ("e", json!("AAAB"), "1 or even"),
        ("e", json!("Ag"), "1 or even"),
        ("e", json!("AQAA"), "1 or even"),
        ("e", json!(""), "no `e`"),
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
        ("x", json!(BASE64.encode([0; 33])), "not a public key"),
        ("x", json!(BASE64.encode([1; 33])), "32 bytes"),
        ("y", json!(BASE64.encode([1; 31])), "not a public key"),
    ] {
        let fault = set_faults(&[with(&ec, name, value)], &Algorithm::ALL);
        assert!(fault.contains(part), "{name}: {fault}");
    }
    assert_eq!(set_faults(&[rsa, ec], &Algorithm::ALL), "");
}

#[test]
fn a_kid_of_several_keys_names_one_for_each_algorithm() {
    let bench = Bench::new();
    let verdict = |keys: &[Value], token: &str| {
        let verifier = bench.verifier.with_keys(set(keys));
        verifier.verify(&Compact::parse(token).unwrap(), NOW).map(|_| ())
    };
    let (ed, same) = (bench.issuer.ed_jwk(), |key: Value| with(&key, "kid", json!("ed")));
    let token = bench.issuer.token(&header(), &claims());
    let ec_token = bench.issuer.ec_token(&json!({ "alg": "ES256", "kid": "ed" }));
    let two = [ed.clone(), same(bench.issuer.ec_jwk())];
    assert_eq!((set_faults(&two, &Algorithm::ALL), verdict(&two, &token)), (String::new(), Ok(())));
    assert_eq!(verdict(&two, &ec_token), Ok(()));
    // One of the two is not for signatures, or is the same over again.
    let encryption = with(&same(bench.issuer.rsa_jwk()), "use", json!("enc"));
    assert_eq!(verdict(&[encryption.clone(), ed.clone()], &token), Ok(()));
    let twice = [ed.clone(), ed.clone(), with(&ed, "use", json!("sig"))];
    assert_eq!((set_faults(&twice, &Algorithm::ALL), verdict(&twice, &token)), (String::new(), Ok(())));
    // One RSA key for two algorithms.
    let rsa = |alg: &str| with(&bench.issuer.rsa_jwk(), "alg", json!(alg));
    let rsa_token = bench.issuer.rsa_token(&json!({ "alg": "PS256", "kid": "rsa" }), &signature::RSA_PSS_SHA256);
    assert_eq!(verdict(&[rsa("RS256"), rsa("PS256")], &rsa_token), Ok(()));
    // Two keys of one algorithm: nobody can say which is meant.
    let doubtful = [ed, same(Issuer::new().ed_jwk()), same(bench.issuer.ec_jwk())];
    let warning = set_faults(&doubtful, &Algorithm::ALL);
    assert!(warning.contains("EdDSA") && warning.contains("more than once"), "{warning}");
    assert_eq!(verdict(&doubtful, &token), Err(TokenFault::Algorithm));
    assert_eq!(verdict(&doubtful, &ec_token), Ok(()));
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
