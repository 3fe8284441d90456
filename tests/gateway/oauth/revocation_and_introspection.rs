//! Refresh tokens, revocation and introspection at the OAuth endpoints.

use crate::harness::customer::member;
use crate::harness::keys::decode;
use crate::harness::*;

fn refreshing(config: Config) -> Config {
    config.set("/login/refresh", json!({"lifetime": "1h"}))
}

fn refresh(gateway: &Gateway, token: &str) -> Request {
    gateway.post("/oauth/access_token").form(&format!("grant_type=refresh_token&refresh_token={token}"))
}

#[track_caller]
fn oauth_error(answer: Response, status: u16, word: &str) {
    assert_eq!((answer.status, member(&answer, "error").as_str()), (status, word), "{}", answer.text());
}

fn about(gateway: &Gateway, path: &str, token: &str) -> Request {
    let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
    gateway.post(path).form(&form)
}

fn introspect(gateway: &Gateway, token: &str) -> Value {
    about(gateway, "/oauth/introspect", token).send().ok().json()
}

fn a_refresh_token_gives_another_jwt_of_the_same_customer_and_the_next_token(store: &Store) {
    let (_backend, gateway) = store.world_with(refreshing);
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let first = member(&login, "refresh_token");
    let answer = refresh(&gateway, &first).send().ok();
    let (jwt, second) = (member(&answer, "JWT"), member(&answer, "refresh_token"));
    assert_ne!(first, second);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(decode(&jwt).1["sub"], decode(&member(&login, "JWT")).1["sub"]);
    gateway.get("/me/x").customer(&jwt).send().ok();
    let gateway = gateway.restart();
    refresh(&gateway, &second).send().ok();
}

fn a_refresh_token_that_comes_back_ends_the_login_and_all_its_tokens(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| refreshing(c).set("/login/refresh/grace", json!("0s")));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let first = member(&login, "refresh_token");
    let answer = refresh(&gateway, &first).send().ok();
    oauth_error(refresh(&gateway, &first).send(), 400, "invalid_grant");
    oauth_error(refresh(&gateway, &member(&answer, "refresh_token")).send(), 400, "invalid_grant");
    gateway.get("/me/x").customer(&member(&answer, "JWT")).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&member(&login, "JWT")).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&gateway.login(ALICE)).send().ok();
    gateway.expect_metric("wicketgate_tokens_total", &[("outcome", "refresh_token_reused")], 1.0);
}

fn refresh_tokens_are_off_by_default_and_end_with_logout_account_and_lifetime(store: &Store) {
    let (_backend, gateway) = store.world();
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    assert_eq!(login.json().as_object().unwrap().len(), 3);
    oauth_error(refresh(&gateway, "wgr_x").send(), 400, "unsupported_grant_type");
    let backend = Backend::start();
    let mut config = refreshing(Config::new(&backend));
    let gateway = Gateway::start(&store.keeps(config.clone()));
    for wrong in ["x", "wgr_", "wgr_AAAA"] {
        oauth_error(refresh(&gateway, wrong).send(), 400, "invalid_grant");
    }
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    gateway.post("/auth/logout").customer(&member(&login, "JWT")).send().expect(204, "");
    oauth_error(refresh(&gateway, &member(&login, "refresh_token")).send(), 400, "invalid_grant");
    let bob = member(&gateway.login_request(BOB.name, BOB.secret).send().ok(), "refresh_token");
    config.accounts.retain(|account| account.name != BOB.name);
    gateway.reload(&store.keeps(config.set("/login/refresh", json!({"lifetime": "1s"}))), "reloaded");
    oauth_error(refresh(&gateway, &bob).send(), 400, "invalid_grant");
    let short = member(&gateway.login_request(ALICE.name, ALICE.secret).send().ok(), "refresh_token");
    let until = std::time::Instant::now() + DEADLINE;
    let mut current = short;
    loop {
        let answer = refresh(&gateway, &current).send();
        if answer.status == 400 {
            break;
        }
        current = member(&answer, "refresh_token");
        assert!(std::time::Instant::now() < until, "the family does not end");
    }
}

fn a_client_that_shows_itself_beside_a_refresh_token_must_be_right(store: &Store) {
    let (_backend, gateway) = store.world_with(refreshing);
    let token = member(&gateway.login_request(ALICE.name, ALICE.secret).send().ok(), "refresh_token");
    let with = |secret: &str| {
        let form =
            format!("grant_type=refresh_token&refresh_token={token}&client_id={}&client_secret={secret}", CLIENT.name);
        gateway.post("/oauth/access_token").form(&form)
    };
    oauth_error(with("wrong").send(), 401, "invalid_client");
    with(CLIENT.secret).send().ok();
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

fn wrong_passwords_must_wait_longer_and_longer_and_the_right_one_works_later(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| {
        c.set("/login/attempts", json!({"free": 2, "delay": "1s", "longest": "2s"}))
            .set("/login/limits", json!({"rate": "1000/s", "burst": 1000}))
    });
    for name in ["nobody", ALICE.name] {
        for _ in 0..3 {
            gateway.login_request(name, "wrong").send().expect(401, "401-04");
        }
        // Whoever fails learns nothing of whether there is such an account.
        let answer = gateway.login_request(name, "wrong").send().expect(429, "429-02");
        assert!(answer.retry_after() <= 2);
    }
    // The right password is no way to find out whether it is right either.
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(429, "429-02");
    let gateway = gateway.restart();
    let until = std::time::Instant::now() + DEADLINE;
    // Costs no hash: it comes before the lock has ended.
    let mut refused = u32::from(gateway.login_request(ALICE.name, "wrong").send().status == 429);
    gateway.login_request(BOB.name, BOB.secret).send().ok();
    while gateway.login_request(ALICE.name, ALICE.secret).send().status == 429 {
        refused += 1;
        assert!(std::time::Instant::now() < until, "locked for ever");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(refused > 0, "a restart forgives");
    for _ in 0..2 {
        gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    }
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
}

fn one_address_that_fails_under_many_names_must_wait_too(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| {
        c.set("/login/attempts", json!({"free_per_address": 4, "delay": "5m"}))
            .set("/access_token/attempts", json!({"free_per_address": 2, "delay": "5m"}))
    });
    for number in 0..5 {
        gateway.login_request(&format!("nobody{number}"), "wrong").send().expect(401, "401-04");
    }
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(429, "429-02");
    for number in 0..3 {
        gateway.token_request(&format!("nobody{number}"), "wrong").send().expect(401, "");
    }
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).send();
    oauth_error(answer, 429, "temporarily_unavailable");
}

on_both_stores! {
    a_refresh_token_gives_another_jwt_of_the_same_customer_and_the_next_token
    a_refresh_token_that_comes_back_ends_the_login_and_all_its_tokens
    refresh_tokens_are_off_by_default_and_end_with_logout_account_and_lifetime
    a_client_that_shows_itself_beside_a_refresh_token_must_be_right
    rfc_7009_a_revoked_access_token_is_refused_at_once_and_others_are_not
    revoking_an_unknown_token_or_one_of_another_client_is_200_and_changes_nothing
    introspection_needs_a_client_and_says_of_what_is_not_good_only_that
    wrong_passwords_must_wait_longer_and_longer_and_the_right_one_works_later
    one_address_that_fails_under_many_names_must_wait_too
}
