//! Issuers with several spellings or tenants.

use super::claims::{ISSUER, checked, identifier, refusal};
use crate::harness::identity_provider::{IdentityProvider, token, token_with};
use crate::harness::keys::TokenKey;
use crate::harness::*;

const ONE: &str = "11111111-2222-3333-4444-555555555555";
const TWO: &str = "66666666-7777-8888-9999-000000000000";
const OTHER: &str = "99999999-8888-7777-6666-555555555555";

fn second(tenant: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

fn first(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// Both versions of an issuer with two tenants, whose keys are in a file.
fn tenants(config: Config, key: &TokenKey) -> Config {
    let names = [second("{tenant}"), first("{tenant}")];
    config
        .trust(ISSUER, key)
        .set("/trusted_issuers/0/issuer", json!(names))
        .set("/trusted_issuers/0/tenants", json!([ONE, TWO]))
}

/// One issuer under these names.
fn spelled(config: Config, key: &TokenKey, names: &[&str]) -> Config {
    config.trust(ISSUER, key).set("/trusted_issuers/0/issuer", json!(names))
}

#[test]
fn the_same_subject_in_two_tenants_is_two_customers() {
    let key = TokenKey::generate();
    let (backend, gateway) = world_with(|config| tenants(config, &key));
    let of = |iss: String| identifier(&backend, &gateway, &token(&key, "partner-1", &iss, "ann"));
    let found = of(second(ONE));
    assert_ne!(found, of(second(TWO)));
    // Version 1 of the same tenant.
    assert_eq!((of(first(ONE)), of(first(TWO))), (found.clone(), of(second(TWO))));
    for named in [second(ONE), first(ONE)] {
        assert_eq!(gateway.files.succeeds(&["id", "for", "--issuer", &named, "ann"]).trim(), found);
    }
    let traced = gateway.files.succeeds(&["id", "trace", &found]);
    assert!(traced.contains(&second(ONE)) && traced.contains("ann"), "{traced}");
    gateway.files.succeeds(&["revoke", "customer", &found]);
    for (iss, status) in [(second(ONE), 401), (first(ONE), 401), (second(TWO), 200)] {
        assert_eq!(
            gateway.get("/me/x").customer(&token(&key, "partner-1", &iss, "ann")).send().status,
            status,
            "{iss}"
        );
    }
}

#[test]
fn a_tenant_that_is_not_listed_is_nobody_though_its_keys_are_the_same() {
    let key = TokenKey::generate();
    let (backend, gateway) = world_with(|config| tenants(config, &key));
    for iss in [
        second(OTHER),
        second("{tenant}"),
        second("common"),
        second(""),
        second(&ONE.replace('1', "%31")),
        format!("{}/", second(ONE)),
        first(ONE).trim_end_matches('/').to_owned(),
        second(&format!("{ONE}/../{TWO}")),
    ] {
        assert_eq!(refusal(&gateway, &token(&key, "partner-1", &iss, "ann")), "customer_token_issuer", "{iss}");
    }
    // A tenant cannot be claimed beside the issuer.
    let claimed = token_with(&key, "partner-1", &second(OTHER), "ann", |claims| claims["tid"] = json!(ONE));
    assert_eq!(refusal(&gateway, &claimed), "customer_token_issuer");
    backend.assert_untouched();
    let err = gateway.files.fails(&["id", "for", "--issuer", &second(OTHER), "ann"]);
    assert!(err.contains(&second(ONE)) && err.contains(&second(TWO)), "{err}");
}

#[test]
fn the_keys_of_all_tenants_are_fetched_once() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let name = second("{tenant}");
    let (_backend, gateway) = world_with(|config| {
        config.set(
            "/trusted_issuers",
            json!([{
                "issuer": [name, first("{tenant}")], "tenants": [ONE, TWO, OTHER], "jwks": provider.jwks_url(),
                "audiences": ["legacy-api"], "algorithms": ["ES256"],
            }]),
        )
    });
    for iss in [second(ONE), second(TWO), first(OTHER)] {
        gateway.get("/me/x").customer(&token(&key, "one", &iss, "ann")).send().ok();
    }
    assert_eq!(provider.asked(), 1);
    gateway.expect_metric("wicketgate_issuer_keys", &[("issuer", &name)], 1.0);
    let metrics = gateway.metrics();
    assert_eq!(metrics.lines().filter(|line| line.starts_with("wicketgate_issuer_keys{")).count(), 1, "{metrics}");
}

#[test]
fn a_tenant_alone_has_a_discovery_document() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let name = |tenant: &str| format!("http://{}/{tenant}", provider.address);
    provider.metadata(
        &format!("/{ONE}/.well-known/openid-configuration"),
        json!({"issuer": name(ONE), "jwks_uri": provider.jwks_url()}),
    );
    let trusting = |config: Config, tenants: Value| {
        config.set(
            "/trusted_issuers",
            json!([{
                "issuer": name("{tenant}"), "tenants": tenants, "discovery": true, "audiences": ["legacy-api"],
                "algorithms": ["ES256"],
            }]),
        )
    };
    let (backend, gateway) = world_with(|config| {
        trusting(config, json!([ONE])).set("/readiness", json!({"require": [format!("issuer:{}", name(ONE))]}))
    });
    gateway.get("/me/x").customer(&token(&key, "one", &name(ONE), "ann")).send().ok();
    gateway.expect_metric("wicketgate_issuer_keys", &[("issuer", &name(ONE))], 1.0);
    let (_, _, said) = gateway.files.run(&["check"]);
    assert!(!said.contains("readiness"), "{said}");
    let (code, said) = checked(&backend, |config| trusting(config, json!([ONE, TWO])));
    assert!(code != 0 && said.contains("trusted_issuers[0].discovery") && said.contains("jwks"), "{said}");
}

#[test]
fn what_would_merge_customers_or_match_nobody_is_refused_by_the_check() {
    let key = TokenKey::generate();
    let backend = Backend::start();
    let (code, said) = checked(&backend, |config| tenants(config, &key));
    assert_eq!(code, 0, "{said}");
    type Case = (&'static str, Value, &'static str, &'static str);
    let cases: [Case; 11] = [
        ("tenant", json!("shop"), "trusted_issuers[0].tenant:", "one customer"),
        ("tenants", json!([]), "trusted_issuers[0].tenants", "remove `tenants`"),
        ("tenants", json!([ONE, ONE]), "trusted_issuers[0].tenants[1]", "already used"),
        ("tenants", json!(["common"]), "trusted_issuers[0].tenants[0]", "many tenants"),
        ("tenants", json!(["Organizations"]), "trusted_issuers[0].tenants[0]", "many tenants"),
        ("tenants", json!(["a/b"]), "trusted_issuers[0].tenants[0]", "not the id"),
        ("tenants", json!([""]), "trusted_issuers[0].tenants[0]", "not the id"),
        ("tenants", json!(["x".repeat(500)]), "trusted_issuers[0].issuer[0]", "512"),
        ("issuer", json!([second("{tenant}"), ISSUER]), "trusted_issuers[0].issuer[1]", "every tenant"),
        ("issuer", json!(ISSUER), "trusted_issuers[0].issuer", "every tenant"),
        ("issuer", json!([]), "trusted_issuers[0].issuer", "empty"),
    ];
    for (member, value, place, words) in cases {
        let (code, said) = checked(&backend, |config| {
            tenants(config, &key).set(&format!("/trusted_issuers/0/{member}"), value.clone())
        });
        assert!(code != 0 && said.contains(place) && said.contains(words), "{member} {value}: {said}");
    }
    let (code, said) = checked(&backend, |config| tenants(config, &key).without("/trusted_issuers/0/tenants"));
    assert!(code != 0 && said.contains("add `tenants`"), "{said}");
}

#[test]
fn spellings_of_an_issuer_are_one_issuer_with_the_customers_of_the_first() {
    let key = TokenKey::generate();
    let names = ["https://accounts.google.com", "accounts.google.com", "https://accounts.google.com/"];
    let (backend, gateway) = world_with(|config| spelled(config, &key, &names));
    let of = |iss: &str| token(&key, "partner-1", iss, "ann");
    let found: Vec<String> = names.iter().map(|iss| identifier(&backend, &gateway, &of(iss))).collect();
    assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
    // As it was known when the first was the only one.
    let (backend_before, before) = world_with(|config| {
        let key_file = std::fs::read_to_string(gateway.files.path.join("certs/identifier.key")).unwrap();
        spelled(config, &key, &names[..1]).file("certs/identifier.key", &key_file)
    });
    assert_eq!(identifier(&backend_before, &before, &of(names[0])), found[0]);
    assert_eq!(refusal(&before, &of(names[1])), "customer_token_issuer");
    for iss in ["https://accounts.google.com//", "http://accounts.google.com", "HTTPS://accounts.google.com"] {
        assert_eq!(refusal(&gateway, &of(iss)), "customer_token_issuer", "{iss}");
    }
    // What it is told of a token is the token's own word.
    let form = format!("token={}&client_id={}&client_secret={}", of(names[1]), CLIENT.name, CLIENT.secret);
    assert_eq!(gateway.post("/oauth/introspect").form(&form).send().ok().json()["iss"], json!(names[1]));
}

#[test]
fn a_token_is_revoked_by_its_id_under_any_spelling_of_its_issuer() {
    let key = TokenKey::generate();
    let names = ["https://login.example.com/", "https://login.example.com"];
    let (_backend, gateway) = world_with(|config| spelled(config, &key, &names));
    for (number, written) in names.iter().enumerate() {
        for (other, named) in names.iter().enumerate() {
            let id = format!("id-{number}-{other}");
            let token = token_with(&key, "partner-1", written, "ann", |claims| claims["jti"] = json!(id));
            gateway.get("/me/x").customer(&token).send().ok();
            gateway.files.succeeds(&["revoke", "token", "--issuer", named, &id]);
            assert_eq!(refusal(&gateway, &token), "customer_token_revoked", "{written} {named}");
        }
    }
}

#[test]
fn no_spelling_stands_in_two_entries() {
    let key = TokenKey::generate();
    let backend = Backend::start();
    let two = |config: Config, one: Value, other: Value| {
        let config = config.trust(ISSUER, &key).set("/trusted_issuers/0/issuer", one);
        let mut second = config.yaml["trusted_issuers"][0].clone();
        second["issuer"] = other;
        let first = config.yaml["trusted_issuers"][0].clone();
        config.set("/trusted_issuers", json!([first, second]))
    };
    let (code, said) =
        checked(&backend, |config| two(config, json!(["https://a.test", "a.test"]), json!("https://b.test")));
    assert_eq!(code, 0, "{said}");
    for other in [json!("a.test"), json!(["https://b.test", "https://a.test"]), json!(["https://gateway.test", "x"])] {
        let (code, said) = checked(&backend, |config| two(config, json!(["https://a.test", "a.test"]), other.clone()));
        assert!(
            code != 0 && said.contains("trusted_issuers[1].issuer") && said.contains("already used"),
            "{other}: {said}"
        );
    }
    let (code, said) = checked(&backend, |config| spelled(config, &key, &["a.test", "a.test"]));
    assert!(code != 0 && said.contains("trusted_issuers[0].issuer[1]"), "{said}");
}
