//! Key sets as .NET, Java and PHP write them.

use crate::harness::identity_provider::IdentityProvider;
use crate::harness::keys::{self, TokenKey, base64, base64url, rsa, unbase64url};
use crate::harness::workspace::Workspace;
use crate::harness::*;
use crate::oauth::private_key_jwt::{ask, refused};

pub(super) const ISSUER: &str = "https://login.example.com";

/// A gateway that trusts an issuer whose keys are here, and asks often.
pub(super) fn trusting(jwks: Value, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| change(trusts(config, jwks)))
}

pub(super) fn trusts(config: Config, jwks: Value) -> Config {
    config.set(
        "/trusted_issuers",
        json!([{
            "issuer": ISSUER, "jwks": jwks, "audiences": ["legacy-api"], "algorithms": ["ES256", "RS256"],
            "refresh": {"interval": "1s", "cooldown": "100ms", "timeout": "2s"},
        }]),
    )
}

/// A gateway with these keys in a file, in this form.
fn with_set(set: &str) -> (Backend, Gateway) {
    trusting(json!({"file": "keys.json"}), |config| config.file("keys.json", set))
}

/// A customer's token with this header.
pub(super) fn signed(key: &TokenKey, header: Value) -> String {
    let now = keys::now();
    let claims = json!({
        "iss": ISSUER, "aud": "legacy-api", "sub": "ann", "iat": now, "exp": now + 600,
        "jti": base64url(&keys::random::<8>()),
    });
    key.sign(&header, &claims)
}

pub(super) fn named(key: &TokenKey, kid: &str) -> String {
    signed(key, json!({"alg": "ES256", "kid": kid}))
}

pub(super) fn unnamed(key: &TokenKey) -> String {
    signed(key, json!({"alg": "ES256"}))
}

#[track_caller]
pub(super) fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

/// The word in the log for the refusal of a token.
#[track_caller]
pub(super) fn refusal(gateway: &Gateway, token: &str) -> String {
    let answer = gateway.get("/me/x").customer(token).send().expect(401, "401-03");
    gateway.access_line(answer.header("x-request-id").unwrap())["refusal"].as_str().unwrap().to_owned()
}

fn with(mut key: Value, members: Value) -> Value {
    key.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    key
}

fn without(mut key: Value, name: &str) -> Value {
    key.as_object_mut().unwrap().remove(name);
    key
}

#[test]
fn what_dotnet_java_and_php_write_for_nothing_is_nothing() {
    let (dotnet, java, php) = (TokenKey::generate(), TokenKey::generate(), TokenKey::generate());
    let padded = |key: Value| {
        let mut key = key;
        for name in ["x", "y"] {
            key[name] = json!(base64(&unbase64url(key[name].as_str().unwrap())));
        }
        key
    };
    let set = json!({"keys": [
        with(dotnet.jwk("dotnet"), json!({
            "alg": null, "d": null, "dp": null, "dq": null, "k": null, "key_ops": [], "oth": null, "p": null, "q": null,
            "qi": null, "x5c": [], "x5t": null, "x5t#S256": null, "x5u": null,
        })),
        with(java.jwk("java"), json!({"key_ops": null, "oth": [], "exp": null})),
        padded(with(php.jwk("php"), json!({"use": "", "x5c": ""}))),
    ]});
    let (_backend, gateway) = with_set(&format!("\u{feff}{set}"));
    for (kid, key) in [("dotnet", &dotnet), ("java", &java), ("php", &php)] {
        assert_eq!(status(&gateway, &named(key, kid)), 200, "{kid}");
    }
    assert_eq!(refusal(&gateway, &named(&TokenKey::generate(), "dotnet")), "customer_token_signature");
    let complaints = gateway.stderr.all().into_iter().filter(|line| line.contains("ignoring an issuer key"));
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_set_is_read_whatever_its_content_type() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[]);
    let set = format!("\u{feff}{}", json!({"keys": [key.jwk("one")]}));
    for kind in ["text/plain; charset=utf-8", "application/octet-stream", "text/html"] {
        provider.publish_answer("200 OK", &format!("Content-Type: {kind}\r\n"), set.as_bytes());
        let (_backend, gateway) = trusting(json!(provider.jwks_url()), |config| config);
        assert_eq!(status(&gateway, &named(&key, "one")), 200, "{kind}");
    }
}

#[test]
fn odd_keys_are_left_out_by_name_and_spoil_no_other() {
    let (good, leaked) = (TokenKey::generate(), TokenKey::generate());
    let (_, rsa) = rsa("rsa");
    let odd = [
        ("symmetric", json!({"kty": "oct", "kid": "s", "k": "AAAA"}), "symmetric"),
        ("leaked", with(leaked.jwk("leaked"), json!({"d": "AAAA"})), "the private member `d`"),
        ("null", with(TokenKey::generate().jwk("null"), json!({"x": null, "d": null})), "no `x`"),
        ("damaged", with(rsa.clone(), json!({"kid": "damaged", "n": "!"})), "`n` is not base64url"),
        ("pq", json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AAAA"}), "post-quantum"),
        ("koblitz", json!({"kty": "EC", "crv": "secp256k1", "kid": "koblitz", "x": "AA", "y": "AA"}), "ES256K"),
        ("number", with(rsa, json!({"kid": 7})), "`kid`"),
    ];
    let keys: Vec<Value> = odd.iter().map(|(_, key, _)| key.clone()).chain([good.jwk("good")]).collect();
    let (_backend, gateway) = with_set(&json!({"keys": keys}).to_string());
    assert_eq!(status(&gateway, &named(&good, "good")), 200);
    assert_eq!(refusal(&gateway, &named(&leaked, "leaked")), "customer_token_unknown_key");
    for (number, (what, _, reason)) in odd.iter().enumerate() {
        let said = gateway.stderr.all().into_iter().find(|line| line.contains(&format!("key {} ", number + 1)));
        let said = said.unwrap_or_else(|| panic!("nothing is said of {what}"));
        assert!(said.contains(reason), "{what}: {said}");
        assert_eq!(said.contains("private"), *what == "leaked", "{said}");
    }
}

#[test]
fn one_kid_names_a_key_for_each_algorithm_and_use() {
    let (key, other) = (TokenKey::generate(), TokenKey::generate());
    let (_, rsa) = rsa("one");
    for (what, keys) in [
        ("twice", vec![key.jwk("one"), key.jwk("one")]),
        ("two algorithms", vec![rsa, key.jwk("one")]),
        ("encryption first", vec![with(other.jwk("one"), json!({"use": "enc"})), key.jwk("one")]),
        ("another operation", vec![with(other.jwk("one"), json!({"key_ops": ["deriveKey"]})), key.jwk("one")]),
    ] {
        let (_backend, gateway) = with_set(&json!({"keys": keys}).to_string());
        assert_eq!(status(&gateway, &named(&key, "one")), 200, "{what}");
        assert_eq!(refusal(&gateway, &named(&other, "one")), "customer_token_signature", "{what}");
    }
}

#[test]
fn tokens_without_a_kid_find_their_key_among_several() {
    let (one, two, stranger) = (TokenKey::generate(), TokenKey::generate(), TokenKey::generate());
    let (_, rsa) = rsa("rsa");
    for keys in [
        vec![rsa.clone(), one.jwk("one"), two.jwk("two")],
        vec![rsa, without(one.jwk(""), "kid"), without(two.jwk(""), "kid")],
    ] {
        let (_backend, gateway) = with_set(&json!({"keys": keys}).to_string());
        for key in [&one, &two] {
            assert_eq!(status(&gateway, &unnamed(key)), 200, "{keys:?}");
        }
        assert_eq!(refusal(&gateway, &unnamed(&stranger)), "customer_token_unknown_key");
    }
}

#[test]
fn a_kid_that_names_no_key_belongs_to_a_key_without_a_kid_and_to_no_other() {
    let (nameless, other) = (TokenKey::generate(), TokenKey::generate());
    let keys = json!({"keys": [without(nameless.jwk(""), "kid"), other.jwk("other")]});
    let (_backend, gateway) = with_set(&keys.to_string());
    let long = "k".repeat(1024);
    for kid in ["any", "", &*long] {
        assert_eq!(status(&gateway, &named(&nameless, kid)), 200, "{kid}");
        assert_eq!(refusal(&gateway, &named(&other, kid)), "customer_token_unknown_key", "{kid}");
    }
    assert_eq!(refusal(&gateway, &named(&nameless, "other")), "customer_token_signature");
    assert_eq!(status(&gateway, &named(&other, "other")), 200);
}

#[test]
fn keys_of_an_issuer_and_a_client_may_be_pem() {
    let (one, two, stranger) = (TokenKey::generate(), TokenKey::generate(), TokenKey::generate());
    let certificate = {
        let key = rcgen::KeyPair::from_pem(&two.pem).unwrap();
        rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem()
    };
    let pem = format!("\u{feff}of the old system\n{}{certificate}", one.public_pem.replace('\n', "\r\n"));
    let (_backend, gateway) = trusting(json!({"pem": "keys.pem"}), |config| {
        let mut config = config.file("keys.pem", &pem);
        let client = json!({"id": "signer", "jwks": {"pem": "keys.pem"}, "scopes": ["profile"]});
        config.yaml["clients"].as_array_mut().unwrap().push(client);
        config
    });
    for key in [&one, &two] {
        assert_eq!(status(&gateway, &named(key, "any")), 200);
        assert_eq!(status(&gateway, &unnamed(key)), 200);
    }
    assert_eq!(refusal(&gateway, &named(&stranger, "any")), "customer_token_unknown_key");
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let (_, claims) = keys::decode(&unnamed(&one));
    let mac = keys::hs256(&header, &claims, one.public_pem.as_bytes());
    assert_eq!(refusal(&gateway, &mac), "customer_token_unknown_key");
    let assertion = |key: &TokenKey| {
        let claims = json!({
            "iss": "signer", "sub": "signer", "aud": "https://gateway.test", "exp": keys::now() + 60,
            "jti": base64url(&keys::random::<12>()),
        });
        ask(&gateway, &key.sign(&json!({"alg": "ES256", "kid": "mine"}), &claims))
    };
    assertion(&two).ok();
    refused(&gateway, assertion(&stranger), "client_assertion_unknown_key");
}

#[test]
fn the_examples_of_the_documentation_pass_the_check() {
    let page = include_str!("../../../docs/identity-providers.md");
    let (_, section) = page.split_once("\n## Keys\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let examples: Vec<&str> =
        section.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let mut config = Config::new(&Backend::start()).file("old-system.pem", &TokenKey::generate().public_pem);
        let parsed: Value = serde_saphyr::from_str(example).unwrap();
        config.yaml["trusted_issuers"] = parsed["trusted_issuers"].clone();
        Workspace::new(&config).succeeds(&["check"]);
    }
}

#[test]
fn check_refuses_a_pem_file_with_a_private_key_or_without_any_key() {
    let key = TokenKey::generate();
    let (rsa, _) = rsa("rsa");
    let backend = Backend::start();
    let checked = |change: &dyn Fn(Config) -> Config| {
        let config = trusts(Config::new(&backend), json!({"pem": "keys.pem"}));
        let files = Workspace::new(&change(config));
        files.fails(&["check"])
    };
    for (pem, message) in [
        (format!("{}{}", key.public_pem, key.pem), "a private key begins in line"),
        (rsa, "a private key begins in line 1"),
        (String::new(), "the file is empty"),
        ("keys\n".to_owned(), "no public key in it"),
        (key.public_pem.replace("PUBLIC", "RSA PUBLIC"), "openssl rsa -RSAPublicKey_in"),
    ] {
        let said = checked(&|config| config.file("keys.pem", &pem));
        assert!(said.contains("trusted_issuers[0].jwks") && said.contains(message), "{message}: {said}");
    }
    let said = checked(&|config| {
        config.file("keys.pem", &key.public_pem).set("/trusted_issuers/0/algorithms", json!(["RS256"]))
    });
    assert!(said.contains("its algorithm (ES256) is none of those allowed for it (RS256)"), "{said}");
    let said = checked(&|config| {
        config.file("keys.pem", &key.public_pem).set("/trusted_issuers/0/algorithms", json!(["ES256K"]))
    });
    assert!(said.contains("`ES256K` is not supported") && said.contains("ES256"), "{said}");
}

#[test]
fn ed25519_is_the_same_under_both_names() {
    use aws_lc_rs::signature::KeyPair as _;

    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let x = base64url(pair.public_key().as_ref());
    let now = keys::now();
    let claims = json!({"iss": ISSUER, "aud": "legacy-api", "sub": "ann", "iat": now, "exp": now + 600});
    for configured in ["EdDSA", "Ed25519"] {
        for pinned in [json!(null), json!("EdDSA"), json!("Ed25519")] {
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x, "alg": pinned});
            let (_backend, gateway) = trusting(json!({"file": "keys.json"}), |config| {
                config
                    .file("keys.json", &json!({"keys": [jwk]}).to_string())
                    .set("/trusted_issuers/0/algorithms", json!([configured]))
            });
            for name in ["EdDSA", "Ed25519"] {
                let input = keys::signing_input(&json!({"alg": name, "kid": "ed"}), &claims);
                let token = format!("{input}.{}", base64url(pair.sign(input.as_bytes()).as_ref()));
                assert_eq!(status(&gateway, &token), 200, "{name} with {configured} and {pinned}");
            }
        }
    }
}
