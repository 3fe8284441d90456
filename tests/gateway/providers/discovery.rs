//! Discovery documents of others.

use crate::harness::identity_provider::{IdentityProvider, token};
use crate::harness::keys::TokenKey;
use crate::harness::*;

/// A gateway that trusts this issuer by `discovery`.
fn trusting(issuer: &str, discovery: &Value) -> Gateway {
    let (_backend, gateway) = world_with(|config| {
        config.set(
            "/trusted_issuers",
            json!([{"issuer": issuer, "discovery": discovery, "audiences": ["legacy-api"], "algorithms": ["ES256"]}]),
        )
    });
    gateway
}

#[track_caller]
fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

#[test]
fn metadata_of_another_issuer_are_refused_with_both_names() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let issuer = format!("http://{}", provider.address);
    let named = format!("{issuer}/");
    provider.metadata("/.well-known/openid-configuration", json!({"issuer": named, "jwks_uri": provider.jwks_url()}));
    let gateway = trusting(&issuer, &json!(true));
    assert_eq!(status(&gateway, &token(&key, "one", &issuer, "ann")), 503);
    let said = gateway.stderr.all().join("\n");
    assert!(
        said.contains(&format!("the metadata are of the issuer {named}, and the configuration says {issuer}")),
        "{said}"
    );
    assert_eq!(provider.asked(), 0);
}

#[test]
fn metadata_at_an_address_of_their_own_may_name_another_issuer_and_that_is_told_once() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let url = format!("http://{}/tenant/.well-known/openid-configuration?appid=7", provider.address);
    provider.metadata(
        "/tenant/.well-known/openid-configuration?appid=7",
        json!({"issuer": "https://login.example.com/{tenantid}/v2.0", "jwks_uri": provider.jwks_url()}),
    );
    let issuer = "https://login.example.com/7d1f/v2.0";
    let (_backend, gateway) = world_with(|config| {
        config.set(
            "/trusted_issuers",
            json!([{
                "issuer": issuer, "discovery": url, "audiences": ["legacy-api"], "algorithms": ["ES256"],
                "refresh": {"interval": "100ms"},
            }]),
        )
    });
    assert_eq!(status(&gateway, &token(&key, "one", issuer, "ann")), 200);
    // The tokens are still of the issuer that is configured, and of no other.
    for other in ["https://login.example.com/{tenantid}/v2.0", "https://login.example.com/other/v2.0"] {
        assert_eq!(status(&gateway, &token(&key, "one", other, "ann")), 401, "{other}");
    }
    eventually("further fetches", || provider.asked() >= 3);
    let told = gateway.stderr.all().iter().filter(|line| line.contains("the metadata name another issuer")).count();
    assert_eq!(told, 1);
    let line = gateway.stderr.wait(|line| line["issuer"] == issuer && line["named"].is_string()).unwrap();
    assert_eq!(line["named"], "https://login.example.com/{tenantid}/v2.0");
}

#[test]
fn the_issuer_of_access_tokens_of_ad_fs_is_found_in_its_own_member() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let issuer = "http://adfs.example.com/adfs/services/trust";
    provider.metadata(
        "/adfs/.well-known/openid-configuration",
        json!({
            "issuer": "https://adfs.example.com/adfs", "access_token_issuer": issuer, "jwks_uri": provider.jwks_url(),
        }),
    );
    let gateway =
        trusting(issuer, &json!(format!("http://{}/adfs/.well-known/openid-configuration", provider.address)));
    assert_eq!(status(&gateway, &token(&key, "one", issuer, "ann")), 200);
    assert!(!gateway.stderr.all().join("\n").contains("another issuer"));
    // By the issuer's own address the member counts as well.
    let issuer = format!("http://{}/issuer", provider.address);
    provider.metadata(
        "/issuer/.well-known/openid-configuration",
        json!({"issuer": "https://other.example.com", "access_token_issuer": issuer, "jwks_uri": provider.jwks_url()}),
    );
    let gateway = trusting(&issuer, &json!(true));
    assert_eq!(status(&gateway, &token(&key, "one", &issuer, "ann")), 200);
}

#[test]
fn a_document_at_an_address_of_its_own_leads_to_no_private_network_and_is_no_source_beside_others() {
    let key = TokenKey::generate();
    let other = IdentityProvider::start_at("127.0.0.2:0", &[key.jwk("one")]);
    let provider = IdentityProvider::start(&[]);
    provider.metadata("/metadata", json!({"issuer": "https://login.example.com", "jwks_uri": other.jwks_url()}));
    let url = format!("http://{}/metadata", provider.address);
    let gateway = trusting("https://login.example.com", &json!(url));
    assert_eq!(status(&gateway, &token(&key, "one", "https://login.example.com", "ann")), 503);
    assert!(gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "address")]) >= 1.0);
    assert_eq!(other.asked(), 0);
    let backend = Backend::start();
    let entry = json!({
        "issuer": "https://login.example.com", "discovery": "http://login.example.com/metadata",
        "jwks": {"file": "jwks.json"}, "audiences": ["legacy-api"], "algorithms": ["ES256"],
    });
    let config = Config::new(&backend).set("/trusted_issuers", json!([entry])).file("jwks.json", "{}");
    let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
    assert!(code == 1 && complained.contains("side by side"), "{complained}");
    assert!(
        complained.contains("trusted_issuers[0].discovery") && complained.contains("danger_plaintext"),
        "{complained}"
    );
}
