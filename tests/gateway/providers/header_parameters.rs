//! Header parameters of tokens: `jku`, `x5u`, `jwk`, `x5c`, `x5t`, `kid`, `crit`.

use std::net::TcpListener;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::key_sets::{named, refusal, signed, status, trusting};
use crate::harness::identity_provider::IdentityProvider;
use crate::harness::keys::{TokenKey, base64, base64url};
use crate::harness::*;

#[test]
fn addresses_and_keys_in_a_header_are_ignored_and_nothing_is_fetched() {
    let (key, attacker) = (TokenKey::generate(), TokenKey::generate());
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", elsewhere.local_addr().unwrap());
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), |config| config);
    for (name, value) in [
        ("jku", json!(url)),
        ("jku", json!("https://tenant.authentication.example.com/token_keys")),
        ("x5u", json!(url)),
        ("jwk", attacker.jwk("one")),
        ("x5c", json!(["MIIB"])),
        ("x5c", json!(url)),
    ] {
        for kid in [json!("one"), json!(null)] {
            let mut header = json!({"alg": "ES256", "typ": "JWT", name: value});
            if !kid.is_null() {
                header["kid"] = kid;
            }
            assert_eq!(status(&gateway, &signed(&key, header.clone())), 200, "{header}");
            assert_eq!(refusal(&gateway, &signed(&attacker, header.clone())), "customer_token_signature", "{header}");
        }
    }
    assert!(elsewhere.accept().is_err(), "the gateway connected to an address out of a token");
}

#[test]
fn what_changes_the_meaning_of_a_token_is_refused() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (backend, gateway) = trusting(json!(provider.jwks_url()), |config| config);
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let token = signed(&key, json!({"alg": "ES256", "kid": "one", name: value}));
        assert_eq!(refusal(&gateway, &token), "customer_token_header_not_allowed", "{name}");
    }
    backend.assert_untouched();
}

#[test]
fn a_certificate_names_its_key_by_x5t_or_kid() {
    let (key, other, stranger) = (TokenKey::generate(), TokenKey::generate(), TokenKey::generate());
    let pair = rcgen::KeyPair::from_pem(&key.pem).unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap();
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
    let (sha1, sha256) = (sha1.as_ref(), digest(&SHA256, certificate.der()));
    let hex: String = sha1.iter().map(|byte| format!("{byte:02X}")).collect();
    let mut published = key.jwk("published");
    published["x5c"] = json!([base64(certificate.der())]);
    let provider = IdentityProvider::start(&[other.jwk("other"), published]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), |config| config);
    for header in [
        json!({"alg": "ES256", "x5t": base64url(sha1)}),
        json!({"alg": "ES256", "x5t#S256": base64url(sha256.as_ref())}),
        json!({"alg": "ES256", "kid": base64url(sha1)}),
        json!({"alg": "ES256", "kid": base64url(sha1), "x5t": base64url(sha1)}),
        json!({"alg": "ES256", "kid": hex}),
    ] {
        assert_eq!(status(&gateway, &signed(&key, header.clone())), 200, "{header}");
        assert_eq!(refusal(&gateway, &signed(&stranger, header.clone())), "customer_token_signature", "{header}");
        assert_eq!(refusal(&gateway, &signed(&other, header.clone())), "customer_token_signature", "{header}");
    }
    // A certificate of nobody's leads to no key that has another one.
    let unknown = signed(&key, json!({"alg": "ES256", "x5t": base64url(&[7; 20])}));
    assert_eq!(refusal(&gateway, &unknown), "customer_token_unknown_key");
    assert_eq!(refusal(&gateway, &named(&key, "unknown")), "customer_token_unknown_key");
}
