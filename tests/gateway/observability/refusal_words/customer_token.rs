//! Refusals of customers' tokens.

use super::Provoked;
use crate::harness::gateway::form_encode;
use crate::harness::identity_provider::token_with;
use crate::harness::keys::{TokenKey, argon2id, hs256, now};
use crate::harness::*;

pub(super) const WORDS: &[&[&str]] = &[TOKENS, OPAQUE, DELEGATED];

const TOKENS: &[&str] = &[
    "customer_token_missing",
    "customer_token_too_long",
    "customer_token_malformed",
    "customer_token_header_not_allowed",
    "customer_token_algorithm",
    "customer_token_type",
    "customer_token_issuer",
    "customer_token_unknown_key",
    "customer_token_signature",
    "customer_token_expired",
    "customer_token_not_yet_valid",
    "customer_token_audience",
    "customer_token_subject",
    "customer_token_revoked",
    "customer_token_lifetime",
    "customer_token_claim",
    "customer_token_no_keys",
    "customer_token_binding",
];

const OPAQUE: &[&str] = &["customer_token_inactive", "customer_token_introspection"];

const DELEGATED: &[&str] = &["customer_token_actor", "customer_token_unknown_client", "customer_token_account"];

const PARTNER: &str = "https://login.example.com";
/// An issuer whose keys nobody publishes.
const KEYLESS: &str = "https://keyless.example.com";

#[test]
fn words_of_tokens_of_customers() {
    let key = TokenKey::generate();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_backend, gateway) = world_with(|config| {
        let mut config = config
            .trust(PARTNER, &key)
            .set("/trusted_issuers/0/max_lifetime", json!("1h"))
            .set("/trusted_issuers/0/claims", json!({"tid": {"equals": "t-1"}}));
        let keyless = json!({
            "issuer": KEYLESS, "jwks": format!("http://{nobody}/jwks"), "audiences": ["legacy-api"], "algorithms": ["ES256"],
        });
        config.yaml["trusted_issuers"].as_array_mut().unwrap().push(keyless);
        config
    });
    let provoked = Provoked::at(&gateway);
    let refused = |word: &'static str, token: &str| provoked.sent(word, &gateway.get("/me/x").customer(token));
    let partner = |change: &dyn Fn(&mut Value)| {
        token_with(&key, "partner-1", PARTNER, "ann", |claims| {
            claims["tid"] = json!("t-1");
            change(claims);
        })
    };
    let set = |name: &'static str, value: Value| partner(&|claims| claims[name] = value.clone());
    let forge = |name: &str, value: Value| gateway.forge(|_, claims| claims[name] = value);
    gateway.get("/me/x").customer(&partner(&|_| {})).send().ok();
    provoked.sent("customer_token_missing", &gateway.profile().drop_header("customer-auth"));
    refused("customer_token_too_long", &set("groups", json!("g".repeat(17_000))));
    refused("customer_token_malformed", "abc");
    refused("customer_token_header_not_allowed", &gateway.forge(|header, _| header["crit"] = json!(["exp"])));
    let (mut header, claims) = keys::decode(&partner(&|_| {}));
    header["alg"] = json!("HS256");
    refused("customer_token_algorithm", &hs256(&header, &claims, key.public_pem.as_bytes()));
    refused("customer_token_type", &gateway.client_token());
    refused("customer_token_issuer", &forge("iss", json!("https://test.gateway.test")));
    refused("customer_token_unknown_key", &gateway.forge(|header, _| header["kid"] = json!("another")));
    let (header, claims) = keys::decode(&gateway.customer_token());
    refused("customer_token_signature", &TokenKey::generate().sign(&header, &claims));
    refused("customer_token_expired", &forge("exp", json!(now() - 3_600)));
    refused("customer_token_not_yet_valid", &forge("nbf", json!(now() + 3_600)));
    refused("customer_token_audience", &set("aud", json!("another-api")));
    refused("customer_token_subject", &set("sub", json!("")));
    refused("customer_token_lifetime", &set("exp", json!(now() + 7 * 24 * 3_600)));
    refused("customer_token_claim", &set("tid", json!("t-2")));
    refused("customer_token_no_keys", &set("iss", json!(KEYLESS)));
    refused("customer_token_binding", &set("cnf", json!({"jkt": keys::base64url(&[7; 32])})));
    gateway.post("/auth/logout").customer(&gateway.customer_token()).send().expect(204, "");
    refused("customer_token_revoked", &gateway.customer_token());
    provoked.are(TOKENS);
}

#[test]
fn words_of_opaque_tokens_of_customers() {
    let issuer = Backend::start();
    issuer.on("/introspect", Behaviour::json(200, &json!({"active": false})));
    let (_backend, gateway) = world_with(|config| {
        let entry = json!({
            "issuer": PARTNER, "audiences": ["legacy-api"],
            "introspection": {
                "url": format!("{}/introspect", issuer.url()), "client_id": "gateway",
                "client_secret": {"file": "certs/introspection"},
            },
        });
        config.set("/trusted_issuers", json!([entry])).file("certs/introspection", "s3cret-of-the-gateway")
    });
    let provoked = Provoked::at(&gateway);
    let refused = |word: &'static str, token: &str| provoked.sent(word, &gateway.get("/me/x").customer(token));
    refused("customer_token_inactive", "opaque-1");
    issuer.stop();
    refused("customer_token_introspection", "opaque-2");
    provoked.are(OPAQUE);
}

#[test]
fn words_of_tokens_whose_client_or_account_is_another_or_gone() {
    const ACTING: Account = Account { name: "acting", secret: "acting-secret-Gh5tR2", subject: "" };
    let backend = Backend::start();
    let usual = Config::new(&backend).add_route(json!({
        "name": "both", "path": "/both/", "methods": ["GET"], "require": ["client", "customer"],
        "identifier": {"header": "X-Customer-Id"}, "backend": "legacy",
    }));
    let mut config = usual.clone();
    let client = json!({"id": ACTING.name, "secrets": [argon2id(ACTING.secret)]});
    config.yaml["clients"].as_array_mut().unwrap().push(client);
    let gateway = Gateway::start(&config);
    let provoked = Provoked::at(&gateway);
    let own = gateway.customer_token();
    let kind = form_encode("urn:ietf:params:oauth:token-type:jwt");
    let grant = form_encode("urn:ietf:params:oauth:grant-type:token-exchange");
    let form = format!(
        "grant_type={grant}&client_id={}&client_secret={}&subject_token={own}&subject_token_type={kind}",
        ACTING.name, ACTING.secret
    );
    let exchanged = gateway.post("/oauth/access_token").form(&form).send().ok().json();
    let exchanged = exchanged["access_token"].as_str().unwrap().to_owned();
    gateway.get("/me/x").customer(&exchanged).send().ok();
    let stolen = gateway.get("/both/x").bearer(&gateway.token(OTHER_CLIENT)).customer(&exchanged);
    provoked.sent("customer_token_actor", &stolen);
    gateway.reload(&usual, "reloaded");
    provoked.sent("customer_token_unknown_client", &gateway.get("/me/x").customer(&exchanged));
    let mut without_alice = usual;
    without_alice.accounts.retain(|account| account.name != ALICE.name);
    gateway.reload(&without_alice, "reloaded");
    provoked.sent("customer_token_account", &gateway.get("/me/x").customer(&own));
    provoked.are(DELEGATED);
}
