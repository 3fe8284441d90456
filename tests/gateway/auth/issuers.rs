//! Tokens of other issuers and their JWKS: an issuer that is down, slow, wrong or rotates its keys costs no valid token
//! a 401.

use std::time::{Duration, Instant};

use crate::harness::identity_provider::{IdentityProvider, Published, token, token_with};
use crate::harness::keys::{TokenKey, authority, hs256, key_file, now};
use crate::harness::*;

pub(super) const ISSUER: &str = "https://login.example.com";

/// A gateway that trusts an issuer whose keys are at this address, and asks often.
pub(super) fn trusting(url: &str, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| change(trusts(config, url)))
}

pub(super) fn trusts(config: Config, url: &str) -> Config {
    config.set(
        "/trusted_issuers",
        json!([{
            "issuer": ISSUER, "jwks": url, "audiences": ["legacy-api"], "algorithms": ["ES256"],
            "refresh": {"interval": "1s", "cooldown": "300ms", "timeout": "2s"},
        }]),
    )
}

pub(super) fn slowly(config: Config) -> Config {
    config.set("/trusted_issuers/0/refresh", json!({"interval": "10m", "cooldown": "2s", "timeout": "2s"}))
}

#[track_caller]
pub(super) fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

#[test]
fn customers_of_an_issuer_that_dies_are_served_also_after_a_restart() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = trusting(&provider.jwks_url(), |config| config);
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
    provider.die();
    gateway.expect_metric("wicketgate_issuer_keys", &[("issuer", ISSUER)], 1.0);
    eventually("a failed fetch", || {
        gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "connect")]) >= 1.0
    });
    gateway.expect_metric("wicketgate_issuer_last_fetch", &[("issuer", ISSUER), ("outcome", "connect")], 1.0);
    gateway.expect_metric("wicketgate_issuer_last_fetch", &[("outcome", "ok")], 0.0);
    for _ in 0..5 {
        assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
    }
    let gateway = gateway.restart();
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200, "the copy on the disk is used");
    // Nobody can know whether there is such a key.
    let answer = gateway.get("/me/x").customer(&token(&key, "two", ISSUER, "ann")).send();
    assert_eq!((answer.status, answer.code().as_str()), (503, "503-04"));
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn a_start_without_the_issuer_serves_all_others_and_says_what_is_missing() {
    let key = TokenKey::generate();
    let address = IdentityProvider::start(&[]).die();
    let (backend, gateway) = trusting(&format!("http://{address}/jwks"), |config| config);
    let ready = gateway.admin("/readyz");
    assert_eq!((ready.status, ready.text()), (200, format!("ok\ndegraded: issuer:{ISSUER}\n")));
    gateway.expect_metric("wicketgate_degraded", &[("part", &format!("issuer:{ISSUER}"))], 1.0);
    let answer = gateway.get("/me/x").customer(&token(&key, "one", ISSUER, "ann")).send();
    assert_eq!((answer.status, answer.code().as_str()), (503, "503-04"));
    backend.assert_untouched();
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
    let _provider = IdentityProvider::revive(address, &[key.jwk("one")]);
    eventually("its keys are there", || gateway.admin("/readyz").text() == "ok\n");
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
}

#[test]
fn a_replica_is_not_ready_without_an_issuer_that_the_operator_requires() {
    let key = TokenKey::generate();
    let address = IdentityProvider::start(&[]).die();
    let (_backend, gateway) = trusting(&format!("http://{address}/jwks"), |config| {
        config.set("/readiness", json!({"require": [format!("issuer:{ISSUER}")]}))
    });
    let ready = gateway.admin("/readyz");
    assert_eq!((ready.status, ready.text().lines().next()), (503, Some(&*format!("not ready: issuer:{ISSUER}"))));
    let _provider = IdentityProvider::revive(address, &[key.jwk("one")]);
    gateway.is_ready();
    // Who takes the issuer out is not kept from it by what is required.
    let files = gateway::Workspace::new(
        &Config::new(&Backend::start()).set("/readiness", json!({"require": [format!("issuer:{ISSUER}")]})),
    );
    let (code, _, complained) = files.run(&["check"]);
    assert!(code == 0 && complained.contains("readiness.require[0]"), "{complained}");
}

#[test]
fn a_hanging_issuer_delays_nobody_whose_key_is_known() {
    let (key, next) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = trusting(&provider.jwks_url(), slowly);
    eventually("the cooldown is over", || {
        let gate = Gate::default();
        provider.publish(Published::Hang(gate.clone()));
        let begun = Instant::now();
        let answer = gateway.get("/me/x").customer(&token(&next, "two", ISSUER, "ann")).send();
        let waited = begun.elapsed();
        let hung = provider.asked() > 1;
        if hung {
            // While that fetch hangs.
            assert_eq!((answer.status, answer.code().as_str()), (503, "503-04"));
            assert!(waited < Duration::from_secs(5), "{waited:?}");
            Load::of(gateway.get("/me/x").customer(&token(&key, "one", ISSUER, "ann"))).finish();
            assert_eq!(
                gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "timeout")]),
                0.0,
                "it still hangs"
            );
        } else {
            assert_eq!(answer.status, 401);
        }
        gate.open();
        hung
    });
}

#[test]
fn two_tokens_while_no_keys_can_be_had_are_a_refusal_and_no_crash() {
    let key = TokenKey::generate();
    let address = IdentityProvider::start(&[]).die();
    let (backend, mut gateway) = trusting(&format!("http://{address}/jwks"), |config| {
        config.route(
            "me",
            "customer_token_sources",
            json!([{"bearer": true}, {"header": {"name": "customer-auth", "scheme": "JWT"}}]),
        )
    });
    let (one, other) = (token(&key, "one", ISSUER, "ann"), token(&key, "one", ISSUER, "bob"));
    gateway.get("/me/x").bearer(&one).bearer(&other).send().expect(400, "400-02");
    gateway.get("/me/x").bearer(&one).bearer(&one).send().expect(400, "400-02");
    gateway.get("/me/x").bearer(&one).customer(&other).send().expect(400, "400-02");
    gateway.get("/me/x").bearer(&one).send().expect(503, "503-04");
    backend.assert_untouched();
    assert!(gateway.running());
    gateway.get("/public/x").send().ok();
}

#[test]
fn an_issuer_is_asked_where_its_keys_are() {
    let key = TokenKey::generate();
    for path in ["/realms/one/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/realms/one"] {
        let provider = IdentityProvider::start(&[key.jwk("one")]);
        let issuer = format!("http://{}/realms/one", provider.address);
        provider.metadata(path, json!({"issuer": issuer, "jwks_uri": provider.jwks_url()}));
        let (_backend, gateway) = world_with(|config| {
            config.set(
                "/trusted_issuers",
                json!([{"issuer": issuer, "discovery": true, "audiences": ["legacy-api"], "algorithms": ["ES256"]}]),
            )
        });
        assert_eq!(status(&gateway, &token(&key, "one", &issuer, "ann")), 200, "{path}");
    }
}

#[test]
fn metadata_of_another_issuer_or_of_a_private_network_lead_nowhere() {
    let key = TokenKey::generate();
    let other = IdentityProvider::start(&[key.jwk("one")]);
    for (word, said) in [
        ("json", json!({"issuer": "https://evil.example.com", "jwks_uri": other.jwks_url()})),
        ("json", json!({"jwks_uri": other.jwks_url()})),
        ("address", json!({"jwks_uri": format!("http://localhost:{}/jwks", other.address.port())})),
        ("address", json!({"jwks_uri": "file:///etc/passwd"})),
        ("address", json!({"jwks_uri": "http://169.254.169.254/latest/meta-data"})),
    ] {
        let provider = IdentityProvider::start(&[]);
        let issuer = format!("http://{}", provider.address);
        let mut document = said.clone();
        if word == "address" {
            document["issuer"] = json!(issuer);
        }
        provider.metadata("/.well-known/openid-configuration", document);
        let (_backend, gateway) = world_with(|config| {
            config.set(
                "/trusted_issuers",
                json!([{"issuer": issuer, "discovery": true, "audiences": ["legacy-api"], "algorithms": ["ES256"]}]),
            )
        });
        assert_eq!(status(&gateway, &token(&key, "one", &issuer, "ann")), 503, "{said}");
        assert!(
            gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", word)]) >= 1.0,
            "{said}\n{}",
            gateway.metrics()
        );
    }
    assert_eq!(other.asked(), 0);
}

#[test]
fn keys_come_by_https_from_whom_the_ca_vouches_for() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start_tls(&[key.jwk("one")]);
    let url = format!("https://localhost:{}/jwks", provider.address.port());
    let (_backend, gateway) = trusting(&url, |config| config.set("/trusted_issuers/0/ca", json!("certs/ca.pem")));
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
    let (_backend, gateway) = trusting(&url, |config| config);
    assert_eq!(
        status(&gateway, &token(&key, "one", ISSUER, "ann")),
        503,
        "the system trusts no {}",
        authority().pem().len()
    );
    assert!(gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "tls")]) >= 1.0);
}

#[test]
fn a_secret_that_an_issuer_shares_verifies_its_tokens_and_no_others() {
    let secret = key_file();
    let (_backend, gateway) = world_with(|config| {
        config
            .set(
                "/trusted_issuers",
                json!([{"issuer": ISSUER, "secret": {"file": "certs/shared.key"}, "audiences": ["legacy-api"], "algorithms": ["HS256"]}]),
            )
            .file("certs/shared.key", &secret)
    });
    let claims = json!({"iss": ISSUER, "aud": "legacy-api", "sub": "ann", "iat": now(), "exp": now() + 600});
    let signed = |header: Value, key: &str| hs256(&header, &claims, key.as_bytes());
    let right = secret.trim_end();
    assert_eq!(status(&gateway, &signed(json!({"alg": "HS256", "typ": "JWT"}), right)), 200);
    assert_eq!(status(&gateway, &signed(json!({"alg": "HS256", "kid": "any"}), right)), 200);
    assert_eq!(status(&gateway, &signed(json!({"alg": "HS256"}), &secret)), 401);
    assert_eq!(status(&gateway, &signed(json!({"alg": "HS512"}), right)), 401);
    assert_eq!(status(&gateway, &signed(json!({"alg": "ES256"}), right)), 401);
}

#[test]
fn claims_types_and_lifetimes_are_as_the_configuration_wants_them() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = trusting(&provider.jwks_url(), |config| {
        config
            .set("/trusted_issuers/0/max_lifetime", json!("1h"))
            .set("/trusted_issuers/0/subject", json!("/user/id"))
            .set("/trusted_issuers/0/types", json!(["at+jwt", "JWT"]))
            .set(
                "/trusted_issuers/0/claims",
                json!({
                    "tenant": {"equals": "acme"}, "/realm_access/roles": {"contains": "customer"},
                    "level": {"one_of": [2, 3]}, "session": {"present": true},
                }),
            )
    });
    let good = |claims: &mut Value| {
        claims["user"] = json!({"id": "ann"});
        claims["tenant"] = json!("acme");
        claims["realm_access"] = json!({"roles": ["other", "customer"]});
        claims["level"] = json!(3);
        claims["session"] = json!("x");
    };
    let said = |change: &dyn Fn(&mut Value)| {
        let token = token_with(&key, "one", ISSUER, "not used", |claims| {
            good(claims);
            change(claims);
        });
        let answer = gateway.get("/me/x").customer(&token).send();
        let line = gateway.access_line(answer.header("x-request-id").unwrap());
        (answer.status, line["refusal"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(said(&|_| {}).0, 200);
    let claim = (401, "customer_token_claim".to_owned());
    assert_eq!(said(&|claims| claims["tenant"] = json!("other")), claim);
    assert_eq!(said(&|claims| claims["realm_access"]["roles"] = json!(["customers"])), claim);
    assert_eq!(said(&|claims| claims["level"] = json!("3")), claim);
    assert_eq!(said(&|claims| claims["session"] = json!(null)), claim);
    assert_eq!(said(&|claims| claims["exp"] = json!(now() + 7200)), (401, "customer_token_lifetime".to_owned()));
    assert_eq!(said(&|claims| drop(claims.as_object_mut().unwrap().remove("iat"))).0, 401);
    assert_eq!(said(&|claims| claims["user"] = json!({"id": ""})), (401, "customer_token_subject".to_owned()));
    let claims = |kind: &str| {
        let mut claims = json!({"iss": ISSUER, "aud": "legacy-api", "iat": now(), "exp": now() + 600});
        good(&mut claims);
        key.sign(&json!({"alg": "ES256", "kid": "one", "typ": kind}), &claims)
    };
    assert_eq!(status(&gateway, &claims("at+jwt")), 200);
    assert_eq!(status(&gateway, &claims("logout+jwt")), 401);
}

#[test]
fn the_same_person_has_one_identifier_through_whichever_door() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (backend, gateway) = trusting(&provider.jwks_url(), |config| {
        config
            .set("/identifier/tenant", json!("acme"))
            .set("/trusted_issuers/0/tenant", json!("acme"))
            .set("/trusted_issuers/0/subject", json!("account"))
    });
    let by_password = gateway.customer_token();
    let by_provider = token_with(&key, "one", ISSUER, "x", |claims| claims["account"] = json!(ALICE.subject));
    let stranger = token_with(&key, "one", ISSUER, "x", |claims| claims["account"] = json!(BOB.subject));
    for token in [&by_password, &by_provider, &stranger] {
        gateway.get("/me/x").customer(token).send().ok();
    }
    let seen: Vec<String> =
        backend.requests().iter().map(|request| request.header("x-customer-id").unwrap().to_owned()).collect();
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}
