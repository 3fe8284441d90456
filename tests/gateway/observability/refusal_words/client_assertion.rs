//! Refusals of clients' assertions.

use super::Provoked;
use crate::harness::gateway::form_encode;
use crate::harness::keys::{TokenKey, hs256, now};
use crate::harness::*;
use crate::oauth::private_key_jwt::{SIGNER, ask, assertion, in_file};

pub(super) const WORDS: &[&[&str]] = &[ASSERTIONS];

const ASSERTIONS: &[&str] = &[
    "client_assertion_too_long",
    "client_assertion_malformed",
    "client_assertion_header_not_allowed",
    "client_assertion_algorithm",
    "client_assertion_type",
    "client_assertion_issuer",
    "client_assertion_unknown_key",
    "client_assertion_signature",
    "client_assertion_expired",
    "client_assertion_not_yet_valid",
    "client_assertion_audience",
    "client_assertion_subject",
    "client_assertion_lifetime",
    "client_assertion_claim",
    "client_assertion_no_keys",
    "client_assertion_used",
    "client_assertion_binding",
];

/// A client whose keys nobody publishes.
const KEYLESS: &str = "keyless";

#[test]
fn words_of_assertions() {
    let (key, stranger) = (TokenKey::generate(), TokenKey::generate());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_backend, gateway) = world_with(|config| {
        let mut config = in_file(config, &[key.jwk("one")])
            .set("/access_token/attempts", json!({"free": 1000, "free_per_address": 1000}));
        let client = json!({"id": KEYLESS, "jwks": format!("http://{nobody}/jwks")});
        config.yaml["clients"].as_array_mut().unwrap().push(client);
        config
    });
    let provoked = Provoked::at(&gateway);
    let refused = |word: &'static str, assertion: &str| provoked.answered(word, &ask(&gateway, assertion));
    let set = |name: &'static str, value: Value| assertion(&key, move |claims| claims[name] = value);
    let claims = || keys::decode(&assertion(&key, |_| {})).1;
    let headed = |header: Value| key.sign(&header, &claims());
    let kind = form_encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    // Where a token may stand in the form, so much is read.
    let long = set("more", json!("x".repeat(52_000)));
    let about = format!("token=abc&client_assertion_type={kind}&client_assertion={long}");
    provoked.sent("client_assertion_too_long", &gateway.post("/oauth/introspect").form(&about));
    refused("client_assertion_malformed", "abc");
    refused("client_assertion_header_not_allowed", &headed(json!({"alg": "ES256", "kid": "one", "crit": ["exp"]})));
    let header = json!({"alg": "HS256", "kid": "one"});
    refused("client_assertion_algorithm", &hs256(&header, &claims(), key.public_pem.as_bytes()));
    refused("client_assertion_type", &headed(json!({"alg": "ES256", "kid": "one", "typ": "at+jwt"})));
    let beside = format!(
        "grant_type=client_credentials&client_id={}&client_assertion_type={kind}&client_assertion={}",
        CLIENT.name,
        assertion(&key, |_| {})
    );
    provoked.sent("client_assertion_issuer", &gateway.post("/oauth/access_token").form(&beside));
    refused("client_assertion_unknown_key", &headed(json!({"alg": "ES256", "kid": "two"})));
    refused("client_assertion_signature", &assertion(&stranger, |_| {}));
    refused("client_assertion_expired", &set("exp", json!(now() - 100)));
    refused("client_assertion_not_yet_valid", &set("nbf", json!(now() + 100)));
    refused("client_assertion_audience", &set("aud", json!("https://other.test")));
    refused("client_assertion_subject", &set("sub", json!(CLIENT.name)));
    refused("client_assertion_lifetime", &set("exp", json!(now() + 3_600)));
    refused("client_assertion_claim", &set("jti", json!("")));
    let of_keyless = assertion(&key, |claims| (claims["iss"], claims["sub"]) = (json!(KEYLESS), json!(KEYLESS)));
    refused("client_assertion_no_keys", &of_keyless);
    let once = assertion(&key, |_| {});
    assert_eq!(ask(&gateway, &once).ok().json()["client_id"], SIGNER);
    refused("client_assertion_used", &once);
    refused("client_assertion_binding", &set("cnf", json!({"jkt": keys::base64url(&[7; 32])})));
    provoked.are(ASSERTIONS);
}
