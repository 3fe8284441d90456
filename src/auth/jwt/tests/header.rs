//! Header parameters.

use super::*;

#[test]
fn none_in_any_spelling_is_refused() {
    let bench = Bench::new();
    for name in [
        "none", "None", "NONE", "nOnE", "none ", " none", "", "null", "eddsa", "EDDSA", "ed25519", "Ed448", "HS256",
        "ES512",
    ] {
        assert_eq!(bench.header(&with(&header(), "alg", json!(name))), Err(TokenFault::Algorithm), "{name}");
    }
    let token = bench.issuer.token(&with(&header(), "alg", json!("none")), &claims());
    let (signed, _) = token.rsplit_once('.').unwrap();
    for signature in ["", "AA"] {
        assert!(bench.check(&format!("{signed}.{signature}")).is_err());
    }
    for value in [json!(null), json!(1), json!(["EdDSA"]), json!({ "a": "EdDSA" }), json!(true)] {
        assert_eq!(bench.header(&with(&header(), "alg", value)), Err(TokenFault::Malformed));
    }
    assert_eq!(bench.header(&without(&header(), "alg")), Err(TokenFault::Malformed));
    assert!(bench.header(&header()).is_ok());
}

#[test]
fn a_mac_with_public_key_material_is_refused() {
    let bench = Bench::new();
    let jwk = bench.issuer.rsa_jwk();
    let der = bench.issuer.rsa.public_key().as_ref();
    let pem = |end: &str| {
        format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----{end}", STANDARD.encode(der))
            .into_bytes()
    };
    let secrets = [
        pem(""),
        pem("\n"),
        der.to_vec(),
        jwk.to_string().into_bytes(),
        BASE64.decode(jwk["n"].as_str().unwrap()).unwrap(),
        bench.issuer.ed.public_key().as_ref().to_vec(),
        bench.issuer.ec.public_key().as_ref().to_vec(),
        Vec::new(),
    ];
    for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        for secret in &secrets {
            for kid in [json!("rsa"), json!("ed"), json!("ec")] {
                let header = json!({ "alg": name, "kid": kid });
                let token = join(&header.to_string(), &claims().to_string(), |signed| {
                    hmac::sign(&hmac::Key::new(algorithm, secret), signed).as_ref().to_vec()
                });
                assert_eq!(bench.check(&token), Err(TokenFault::Algorithm));
            }
        }
    }
}

#[test]
fn a_key_that_the_header_brings_is_ignored() {
    let bench = Bench::new();
    let (attacker, url) = (Issuer::new(), json!("http://127.0.0.1:9/jwks.json"));
    for (name, value) in
        [("jwk", attacker.ed_jwk()), ("jwk", json!(null)), ("jku", url.clone()), ("x5u", url), ("x5c", json!(["MIIB"]))]
    {
        for header in [with(&header(), name, value.clone()), with(&without(&header(), "kid"), name, value)] {
            let signed = |issuer: &Issuer| bench.check(&issuer.token(&header, &claims())).map(|_| ());
            assert_eq!(signed(&bench.issuer), Ok(()), "{header}");
            assert_eq!(signed(&attacker), Err(TokenFault::Signature), "{header}");
        }
    }
    for (name, value) in [("zip", json!("DEF")), ("enc", json!("A256GCM")), ("zip", json!(null))] {
        let header = with(&header(), name, value);
        assert_eq!(bench.header(&header), Err(TokenFault::HeaderNotAllowed), "{name}");
    }
}

#[test]
fn other_header_parameters_are_ignored_of_whatever_type() {
    let bench = Bench::new();
    for value in [json!(1), json!(null), json!([1, { "a": [] }]), json!({ "crit": 1 }), json!("x")] {
        for name in ["cty", "x5t", "x5t#S256", "nonce", "org.example"] {
            assert!(bench.header(&with(&header(), name, value.clone())).is_ok(), "{name}");
        }
    }
}

#[test]
fn the_key_id_only_looks_up() {
    let bench = Bench::new();
    for kid in ["", "ED", "ed ", "../../dev/null", "' OR 1=1 --", "http://127.0.0.1:9/", "$(id)", "`id`", "ec\u{e9}"] {
        assert_eq!(bench.header(&with(&header(), "kid", json!(kid))), Err(TokenFault::UnknownKey), "{kid}");
    }
    assert_eq!(bench.header(&with(&header(), "kid", json!("x".repeat(1024)))), Err(TokenFault::UnknownKey));
    for kid in [json!("x".repeat(1025)), json!("ed\0"), json!("e\nd"), json!(1), json!(null), json!(["ed"]), json!({})]
    {
        assert_eq!(bench.header(&with(&header(), "kid", kid.clone())), Err(TokenFault::Malformed), "{kid}");
    }
    assert_eq!(bench.header(&with(&header(), "kid", json!("x".repeat(100_000)))), Err(TokenFault::TooLong));
}

#[test]
fn crit_and_b64_are_refused_in_any_form() {
    let bench = Bench::new();
    for value in [
        json!(["x"]),
        json!([]),
        json!(["alg"]),
        json!(["b64"]),
        json!(["exp", "exp"]),
        json!("exp"),
        json!(null),
        json!({}),
        json!(0),
        json!(false),
    ] {
        let header = with(&header(), "crit", value.clone());
        assert_eq!(bench.header(&header), Err(TokenFault::HeaderNotAllowed), "{value}");
        assert_eq!(bench.header(&with(&header, "exp", json!(1))), Err(TokenFault::HeaderNotAllowed), "{value}");
    }
    for value in [json!(false), json!(true), json!(null)] {
        assert_eq!(bench.header(&with(&header(), "b64", value)), Err(TokenFault::HeaderNotAllowed));
    }
}

#[test]
fn the_type_keeps_the_kinds_apart() {
    let bench = Bench::new();
    let own = |kind| Verifier::own(kind, ISSUER.into(), vec![US.into()], bench.issuer.keys(), SKEW);
    let (customer, access) = (own(TokenKind::Customer), own(TokenKind::Access));
    let rows = [
        // typ, own customer, own access, trusted customer
        (json!("JWT"), true, false, true),
        (json!("jwt"), true, false, true),
        (json!("application/jwt"), true, false, true),
        (json!("at+jwt"), false, true, false),
        (json!("AT+JWT"), false, true, false),
        (json!("application/at+jwt"), false, true, false),
        (json!("Application/AT+JWT"), false, true, false),
        (json!("at+jwt "), false, false, false),
        (json!("text/at+jwt"), false, false, false),
        (json!("application/application/at+jwt"), false, false, false),
        (json!("id_token+jwt"), false, false, false),
        (json!("logout+jwt"), false, false, false),
        (json!("dpop+jwt"), false, false, false),
        (json!("secevent+jwt"), false, false, false),
        (json!("JOSE"), false, false, false),
        (json!(""), false, false, false),
    ];
    let verdict =
        |verifier: &Verifier, token: &str| verifier.verify(&Compact::parse(token).unwrap(), NOW).map(|_| ()).err();
    let due = |right: bool| if right { None } else { Some(TokenFault::Type) };
    for (typ, own_customer, own_access, trusted) in rows {
        let token = bench.issuer.token(&with(&header(), "typ", typ.clone()), &claims());
        assert_eq!(verdict(&customer, &token), due(own_customer), "{typ}");
        assert_eq!(verdict(&access, &token), due(own_access), "{typ}");
        assert_eq!(verdict(&bench.verifier, &token), due(trusted), "{typ}");
    }
    let absent = bench.issuer.token(&without(&header(), "typ"), &claims());
    assert_eq!(verdict(&customer, &absent), Some(TokenFault::Type));
    assert_eq!(verdict(&access, &absent), Some(TokenFault::Type));
    assert_eq!(verdict(&bench.verifier, &absent), None);
    for typ in [json!(1), json!(null), json!(["JWT"])] {
        assert_eq!(bench.header(&with(&header(), "typ", typ)), Err(TokenFault::Malformed));
    }
}
