//! Revocation (RFC 7009) and introspection (RFC 7662) at the OAuth endpoints.

use crate::harness::customer::member;
use crate::harness::*;

fn refreshing(config: Config) -> Config {
    config.set("/login/refresh", json!({"lifetime": "1h"}))
}

fn refresh(gateway: &Gateway, token: &str) -> Request {
    gateway.post("/oauth/access_token").form(&format!("grant_type=refresh_token&refresh_token={token}"))
}

#[track_caller]
pub(super) fn oauth_error(answer: Response, status: u16, word: &str) {
    assert_eq!((answer.status, member(&answer, "error").as_str()), (status, word), "{}", answer.text());
}

fn about(gateway: &Gateway, path: &str, token: &str) -> Request {
    let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
    gateway.post(path).form(&form)
}

fn introspect(gateway: &Gateway, token: &str) -> Value {
    about(gateway, "/oauth/introspect", token).send().ok().json()
}

fn rfc_7009_a_revoked_access_token_is_refused_at_once_and_others_are_not(store: &Store) {
    let (_backend, gateway) = store.world();
    let (token, other) = (gateway.token(CLIENT), gateway.token(CLIENT));
    gateway.get("/system/x").bearer(&token).send().ok();
    about(&gateway, "/oauth/revoke", &token).send().ok();
    gateway.get("/system/x").bearer(&token).send().expect(401, "401-11");
    gateway.get("/system/x").bearer(&other).send().ok();
    let customer = gateway.login(ALICE);
    about(&gateway, "/oauth/revoke", &customer).send().ok();
    gateway.get("/me/x").customer(&customer).send().expect(401, "401-03");
}

fn revoking_an_unknown_token_or_one_of_another_client_is_200_and_changes_nothing(store: &Store) {
    let (_backend, gateway) = store.world();
    let others = gateway.token(OTHER_CLIENT);
    for token in ["x", "a.b.c", "wgr_AAAA", &others] {
        about(&gateway, "/oauth/revoke", token).send().ok();
    }
    gateway.get("/system/x").bearer(&others).send().ok();
    let no_token =
        gateway.post("/oauth/revoke").form(&format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret));
    oauth_error(no_token.send(), 400, "invalid_request");
}

fn introspection_needs_a_client_and_says_of_what_is_not_good_only_that(store: &Store) {
    let (_backend, gateway) = store.world_with(refreshing);
    let token = gateway.token(CLIENT);
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let answer = gateway.post(path).form(&format!("client_id={}&client_secret=wrong&token={token}", CLIENT.name));
        oauth_error(answer.send(), 401, "invalid_client");
        oauth_error(gateway.post(path).form(&format!("token={token}")).send(), 401, "invalid_client");
    }
    let known = introspect(&gateway, &token);
    assert_eq!((&known["active"], &known["client_id"]), (&json!(true), &json!(CLIENT.name)));
    for name in ["exp", "iat", "scope", "sub", "aud", "iss", "jti"] {
        assert!(!known[name].is_null(), "{name}: {known}");
    }
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    assert_eq!(introspect(&gateway, &member(&login, "JWT"))["token_type"], "JWT");
    let refresh_token = member(&login, "refresh_token");
    assert_eq!(introspect(&gateway, &refresh_token)["token_type"], "refresh_token");
    about(&gateway, "/oauth/revoke", &refresh_token).send().ok();
    about(&gateway, "/oauth/revoke", &token).send().ok();
    for token in [&token, &refresh_token, &member(&login, "JWT"), &gateway.token(OTHER_CLIENT), "x", "a.b.c"] {
        assert_eq!(introspect(&gateway, token), json!({"active": false}), "{token}");
    }
}

#[test]
fn introspection_names_the_issuer_of_the_token_itself() {
    const PARTNER: &str = "https://login.example.com";
    let key = keys::TokenKey::generate();
    let (_backend, gateway) = world_with(|c| c.trust(PARTNER, &key));
    let theirs = identity_provider::token(&key, "partner-1", PARTNER, "ann");
    let known = introspect(&gateway, &theirs);
    assert_eq!((&known["active"], &known["iss"]), (&json!(true), &json!(PARTNER)));
    assert_eq!(introspect(&gateway, &gateway.login(ALICE))["iss"], "https://gateway.test");
}

#[test]
fn introspection_answers_what_a_route_would_decide_now() {
    const REPORTS: &str = "https://reports.example.com/v1";
    let backend = Backend::start();
    let config = Config::new(&backend).set("/clients/0/scopes", json!(["profile", "pay"]));
    let config = config.set("/clients/0/audiences", json!([REPORTS]));
    let gateway = Gateway::start(&config);
    let token = gateway.token(CLIENT);
    let form = format!("client_id={}&client_secret={}&resource={REPORTS}", CLIENT.name, CLIENT.secret);
    let of_reports = gateway.post("/oauth/access_token?grant_type=client_credentials").form(&form).send().ok();
    let of_reports = member(&of_reports, "access_token");
    assert_eq!(introspect(&gateway, &token)["scope"], "profile pay");
    assert_eq!(introspect(&gateway, &of_reports)["aud"], REPORTS);
    let fewer = config.set("/clients/0/scopes", json!(["pay"])).without("/clients/0/audiences");
    gateway.reload(&fewer.clone().route("profile", "scopes", json!(["pay"])), "reloaded");
    assert_eq!(introspect(&gateway, &token)["scope"], "pay");
    assert_eq!(introspect(&gateway, &of_reports), json!({"active": false}), "an audience that it has no more");
    let none = fewer.route("profile", "scopes", json!([])).set("/clients/0/scopes", json!([]));
    gateway.reload(&none, "reloaded");
    let known = introspect(&gateway, &token);
    assert!(known["active"] == true && known.get("scope").is_none(), "{known}");
}

#[test]
fn introspection_waits_for_a_key_as_a_route_does_and_takes_not_knowing_for_no_no() {
    const PARTNER: &str = "https://login.example.com";
    let (old, new) = (keys::TokenKey::generate(), keys::TokenKey::generate());
    let issuer = identity_provider::IdentityProvider::start(&[old.jwk("old")]);
    let (_backend, gateway) = world_with(|config| {
        config.set(
            "/trusted_issuers",
            json!([{
                "issuer": PARTNER, "jwks": issuer.jwks_url(), "audiences": ["legacy-api"], "algorithms": ["ES256"],
                "refresh": {"interval": "10m", "cooldown": "1ms", "timeout": "2s"},
            }]),
        )
    });
    gateway.is_ready();
    issuer.publish_keys(&[old.jwk("old"), new.jwk("new")]);
    assert_eq!(introspect(&gateway, &identity_provider::token(&new, "new", PARTNER, "ann"))["active"], true);
    issuer.die();
    let unknown = identity_provider::token(&new, "newer", PARTNER, "ann");
    oauth_error(about(&gateway, "/oauth/introspect", &unknown).send(), 503, "temporarily_unavailable");
    gateway.post("/auth/logout").customer(&unknown).send().expect(503, "503-04");
}

#[test]
fn a_client_asks_about_and_revokes_only_the_tokens_that_it_may() {
    let (_backend, gateway) = world_with(|c| {
        refreshing(c)
            .set("/clients/0/introspect", json!("own"))
            .set("/clients/0/revoke", json!("own"))
            .set("/clients/1/introspect", json!("none"))
            .set("/clients/1/revoke", json!("none"))
    });
    let (token, others) = (gateway.token(CLIENT), gateway.token(OTHER_CLIENT));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let (customer, refresh_token) = (member(&login, "JWT"), member(&login, "refresh_token"));
    assert_eq!(introspect(&gateway, &token)["active"], true);
    for token in [&customer, &refresh_token, &others] {
        assert_eq!(introspect(&gateway, token), json!({"active": false}));
        about(&gateway, "/oauth/revoke", token).send().ok();
    }
    gateway.get("/me/x").customer(&customer).send().ok();
    gateway.get("/system/x").bearer(&others).send().ok();
    refresh(&gateway, &refresh_token).send().ok();
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let form = format!("client_id={}&client_secret={}&token={others}", OTHER_CLIENT.name, OTHER_CLIENT.secret);
        let answer = gateway.post(path).form(&form).send();
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["refusal"], "unauthorized_client");
        oauth_error(answer, 400, "unauthorized_client");
    }
    gateway.get("/system/x").bearer(&others).send().ok();
    about(&gateway, "/oauth/revoke", &token).send().ok();
    gateway.get("/system/x").bearer(&token).send().expect(401, "401-11");
}

on_both_stores! {
    rfc_7009_a_revoked_access_token_is_refused_at_once_and_others_are_not
    revoking_an_unknown_token_or_one_of_another_client_is_200_and_changes_nothing
    introspection_needs_a_client_and_says_of_what_is_not_good_only_that
}
