//! Refusals of clients' access tokens.

use super::Provoked;
use crate::harness::identity_provider::token_with;
use crate::harness::keys::{TokenKey, hs256, now};
use crate::harness::*;

pub(super) const WORDS: &[&[&str]] = &[TOKENS, OPAQUE];

const TOKENS: &[&str] = &[
    "client_token_missing",
    "client_token_too_long",
    "client_token_malformed",
    "client_token_header_not_allowed",
    "client_token_algorithm",
    "client_token_type",
    "client_token_issuer",
    "client_token_unknown_key",
    "client_token_signature",
    "client_token_expired",
    "client_token_not_yet_valid",
    "client_token_audience",
    "client_token_subject",
    "client_token_lifetime",
    "client_token_claim",
    "client_token_no_keys",
    "client_token_binding",
    "client_token_unknown_client",
    "client_token_revoked",
];

const OPAQUE: &[&str] = &["client_token_inactive", "client_token_introspection"];

const PROVIDER: &str = "https://login.example.com";
/// An issuer whose keys nobody publishes.
const KEYLESS: &str = "https://keyless.example.com";

/// A provider of system tokens.
fn provider(issuer: &str, jwks: Value) -> Value {
    json!({
        "issuer": issuer, "jwks": jwks, "audiences": ["legacy-api"], "algorithms": ["ES256"], "for": ["client"],
        "client": {"id": "azp", "claims": {"idtyp": {"equals": "app"}}}, "max_lifetime": "1h", "claims": {"tid": {"equals": "t-1"}},
    })
}

/// A system token of the first client, changed.
fn system(key: &TokenKey, change: impl FnOnce(&mut Value)) -> String {
    token_with(key, "one", PROVIDER, "service-7", |claims| {
        (claims["azp"], claims["tid"], claims["idtyp"]) = (json!(CLIENT.name), json!("t-1"), json!("app"));
        change(claims);
    })
}

#[test]
fn words_of_access_tokens_of_clients() {
    let key = TokenKey::generate();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_backend, gateway) = world_with(|config| {
        let known = provider(PROVIDER, json!({"file": "certs/provider.json"}));
        let keyless = provider(KEYLESS, json!(format!("http://{nobody}/jwks")));
        config
            .set("/trusted_issuers", json!([known, keyless]))
            .file("certs/provider.json", &json!({"keys": [key.jwk("one")]}).to_string())
    });
    let provoked = Provoked::at(&gateway);
    let refused = |word: &'static str, token: &str| provoked.sent(word, &gateway.get("/system/x").bearer(token));
    let (header, claims) = keys::decode(&gateway.client_token());
    let headed = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        gateway.signing_key.sign(&header, &claims)
    };
    let claimed = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        gateway.signing_key.sign(&header, &claims)
    };
    let set = |name: &'static str, value: Value| system(&key, move |claims| claims[name] = value);
    gateway.get("/system/x").bearer(&system(&key, |_| {})).send().ok();
    provoked.sent("client_token_missing", &gateway.profile().drop_header("Authorization"));
    refused("client_token_too_long", &"x".repeat(17_000));
    refused("client_token_malformed", "abc");
    refused("client_token_header_not_allowed", &headed("crit", json!(["exp"])));
    let mut symmetric = header.clone();
    symmetric["alg"] = json!("HS256");
    refused("client_token_algorithm", &hs256(&symmetric, &claims, gateway.signing_key.public_pem.as_bytes()));
    refused("client_token_type", &gateway.customer_token());
    refused("client_token_issuer", &claimed("iss", json!("https://test.gateway.test")));
    refused("client_token_unknown_key", &headed("kid", json!("another")));
    refused("client_token_signature", &TokenKey::generate().sign(&header, &claims));
    refused("client_token_expired", &claimed("exp", json!(now() - 3_600)));
    refused("client_token_not_yet_valid", &claimed("nbf", json!(now() + 3_600)));
    refused("client_token_audience", &claimed("aud", json!("another-api")));
    refused("client_token_subject", &set("azp", json!("")));
    refused("client_token_lifetime", &set("exp", json!(now() + 7 * 24 * 3_600)));
    refused("client_token_claim", &set("tid", json!("t-2")));
    refused("client_token_no_keys", &set("iss", json!(KEYLESS)));
    refused("client_token_binding", &set("cnf", json!({"kid": "1"})));
    refused("client_token_unknown_client", &set("azp", json!("nobody")));
    let form = format!("client_id={}&client_secret={}&token={}", CLIENT.name, CLIENT.secret, gateway.client_token());
    gateway.post("/oauth/revoke").form(&form).send().ok();
    refused("client_token_revoked", &gateway.client_token());
    provoked.are(TOKENS);
}

#[test]
fn words_of_opaque_system_tokens() {
    let issuer = Backend::start();
    issuer.on("/introspect", Behaviour::json(200, &json!({"active": false})));
    let (_backend, gateway) = world_with(|config| {
        let entry = json!({
            "issuer": PROVIDER, "audiences": ["legacy-api"], "for": ["client"], "client": {"id": "azp", "claims": {"idtyp": {"equals": "app"}}},
            "introspection": {
                "url": format!("{}/introspect", issuer.url()), "client_id": "gateway",
                "client_secret": {"file": "certs/introspection"},
            },
        });
        config.set("/trusted_issuers", json!([entry])).file("certs/introspection", "s3cret-of-the-gateway")
    });
    let provoked = Provoked::at(&gateway);
    let refused = |word: &'static str, token: &str| provoked.sent(word, &gateway.get("/system/x").bearer(token));
    refused("client_token_inactive", "opaque-1");
    issuer.stop();
    refused("client_token_introspection", "opaque-2");
    provoked.are(OPAQUE);
}
