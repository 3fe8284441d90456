//! Refresh tokens, as honest callers and as thieves use them: rotation, the same token twice, lost answers, a store that fails.

use std::thread;

use super::revocation_and_introspection::oauth_error;
use crate::harness::customer::member;
use crate::harness::keys::decode;
use crate::harness::*;

fn with_refresh_tokens(config: Config) -> Config {
    config.set("/login/refresh", json!({"lifetime": "1h"}))
}

/// Refresh tokens; two uses of one that are `grace` apart are one.
fn refreshing(config: Config, grace: &str) -> Config {
    config.set("/login/refresh", json!({"lifetime": "1h", "grace": grace}))
}

fn refresh(gateway: &Gateway, token: &str) -> Request {
    gateway.post("/oauth/access_token").form(&format!("grant_type=refresh_token&refresh_token={token}"))
}

/// A login: its refresh token and its JWT.
#[track_caller]
fn log_in(gateway: &Gateway, account: Account) -> (String, String) {
    let answer = gateway.login_request(account.name, account.secret).send().ok();
    (member(&answer, "refresh_token"), member(&answer, "JWT"))
}

#[track_caller]
fn next(gateway: &Gateway, token: &str) -> (String, String) {
    let answer = refresh(gateway, token).send().ok();
    (member(&answer, "refresh_token"), member(&answer, "JWT"))
}

#[track_caller]
fn is_refused(gateway: &Gateway, token: &str) {
    let answer = refresh(gateway, token).send();
    assert_eq!((answer.status, member(&answer, "error").as_str()), (400, "invalid_grant"), "{}", answer.text());
}

fn two_tabs_that_hand_in_one_refresh_token_at_once_stay_logged_in(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| refreshing(c, "10s"));
    let (mut token, _) = log_in(&gateway, ALICE);
    for _ in 0..2 {
        let tabs: Vec<_> = (0..6)
            .map(|_| {
                let request = refresh(&gateway, &token);
                thread::spawn(move || request.send().ok())
            })
            .collect();
        let answers: Vec<Response> = tabs.into_iter().map(|tab| tab.join().unwrap()).collect();
        token = member(&answers[0], "refresh_token");
        for answer in &answers {
            assert_eq!(member(answer, "refresh_token"), token, "all of them go on with the same token");
            gateway.get("/me/x").customer(&member(answer, "JWT")).send().ok();
        }
    }
    gateway.expect_metric("wicketgate_tokens_total", &[("outcome", "refresh_token_reused")], 0.0);
}

fn a_refresh_token_whose_answer_was_lost_gives_the_same_successor_and_an_older_one_ends_the_login(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| refreshing(c, "10s"));
    let (first, _) = log_in(&gateway, ALICE);
    let (second, jwt) = next(&gateway, &first);
    let gateway = gateway.restart();
    assert_eq!(next(&gateway, &first).0, second);
    let (third, _) = next(&gateway, &second);
    // Nobody who got an answer to the second one still has use for the first.
    is_refused(&gateway, &first);
    is_refused(&gateway, &third);
    gateway.get("/me/x").customer(&jwt).send().expect(401, "401-03");
}

fn a_predecessor_that_comes_after_the_grace_ends_the_login(store: &Store) {
    // Any two requests are further apart.
    let (_backend, gateway) = store.world_with(|c| refreshing(c, "1ms"));
    let (first, _) = log_in(&gateway, ALICE);
    let (second, jwt) = next(&gateway, &first);
    is_refused(&gateway, &first);
    is_refused(&gateway, &second);
    gateway.get("/me/x").customer(&jwt).send().expect(401, "401-03");
    gateway.expect_metric("wicketgate_tokens_total", &[("outcome", "refresh_token_reused")], 1.0);
}

fn a_predecessor_within_the_grace_is_revoked_with_its_login(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| refreshing(c, "10s"));
    let (first, _) = log_in(&gateway, ALICE);
    let (second, _) = next(&gateway, &first);
    let form = format!("client_id={}&client_secret={}&token={first}", CLIENT.name, CLIENT.secret);
    assert_eq!(gateway.post("/oauth/introspect").form(&form).send().ok().json()["active"], true);
    gateway.post("/oauth/revoke").form(&form).send().ok();
    is_refused(&gateway, &second);
    is_refused(&gateway, &first);
}

fn a_refresh_gives_the_claims_of_the_account_that_logged_in(store: &Store) {
    let entry = |account: Account, role: &str| {
        let password = keys::argon2id(account.secret);
        json!({"username": account.name, "password": password, "subject": ALICE.subject, "claims": {"role": role}})
    };
    let accounts = |entries: &[Value]| json!(entries).to_string();
    let both = accounts(&[entry(ALICE, "reader"), entry(BOB, "admin")]);
    let world = |c: Config| refreshing(c, "10s").set("/login/claims", json!(["role"])).file("accounts.yaml", &both);
    let (_backend, gateway) = store.world_with(world);
    let logins = [(ALICE, "reader"), (BOB, "admin")].map(|(account, role)| (log_in(&gateway, account), role));
    for ((token, jwt), role) in &logins {
        let (_, again) = next(&gateway, token);
        assert_eq!((&decode(jwt).1["role"], &decode(&again).1["role"]), (&json!(role), &json!(role)));
    }
    // What the account may say has changed: that holds from the next refresh on, and ends no login.
    gateway.files.write("accounts.yaml", &accounts(&[entry(ALICE, "writer"), entry(BOB, "admin")]));
    gateway.hup("reloaded");
    let (token, jwt) = next(&gateway, &logins[0].0.0);
    assert_eq!(decode(&jwt).1["role"], "writer");
    // Without its account nothing is given, though the customer has another one.
    gateway.files.write("accounts.yaml", &accounts(&[entry(BOB, "admin")]));
    gateway.hup("reloaded");
    is_refused(&gateway, &token);
}

fn a_refresh_while_the_account_is_not_in_force_is_refused_and_uses_no_token_up(store: &Store) {
    let backend = Backend::start();
    // No two uses of one token are so near to each other that they are one.
    let config = store.keeps(refreshing(Config::new(&backend), "0s"));
    let mut without = config.clone();
    without.accounts.retain(|account| account.name != ALICE.name);
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    let (first, _) = log_in(&gateway, ALICE);
    let (second, jwt) = next(&gateway, &first);
    gateway.reload(&without, "reloaded");
    is_refused(&gateway, &second);
    is_refused(&gateway, &second);
    gateway.reload(&config, "reloaded");
    let (third, _) = next(&gateway, &second);
    gateway.get("/me/x").customer(&jwt).send().ok();
    // What was used and answered is theft when it comes again, with and without its account.
    gateway.reload(&without, "reloaded");
    is_refused(&gateway, &second);
    gateway.reload(&config, "reloaded");
    is_refused(&gateway, &third);
    gateway.get("/me/x").customer(&jwt).send().expect(401, "401-03");
}

#[test]
fn a_refresh_writes_numbers_as_its_endpoint_does_and_grants_no_scope() {
    let change = |c: Config| refreshing(c, "0s").set("/access_token/number_style", json!("number"));
    let (_backend, gateway) = world_with(change);
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    assert!(login.json()["expires_in"].is_string(), "{}", login.text());
    let token = member(&login, "refresh_token");
    let with_scope = |scope: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={token}&scope={scope}");
        gateway.post("/oauth/access_token").form(&form).send()
    };
    // What was refused has used nothing up.
    assert_eq!(member(&with_scope("profile").expect(400, ""), "error"), "invalid_scope");
    let answer = with_scope("").ok();
    assert!(answer.json()["expires_in"].is_u64() && answer.json()["issued_at"].is_u64(), "{}", answer.text());
}

/// The key of the only family in this store.
fn family_key(redis: &RedisServer) -> String {
    redis.command(&["KEYS", "wg:f:*"])
}

#[test]
fn a_family_of_an_earlier_version_goes_on_where_its_customer_has_one_account_only() {
    let store = Store::Redis(RedisServer::start());
    let Store::Redis(redis) = &store else { return };
    let twin = Account { name: "alice2", ..BOB };
    let twin = Account { subject: ALICE.subject, ..twin };
    let backend = Backend::start();
    let config = store.keeps(refreshing(Config::new(&backend), "10s"));
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    let (token, _) = log_in(&gateway, ALICE);
    let key = family_key(redis);
    redis.command(&["HDEL", &key, "u"]);
    let (token, jwt) = next(&gateway, &token);
    gateway.get("/me/x").customer(&jwt).send().ok();
    gateway.reload(&config.clone().account(twin), "reloaded");
    is_refused(&gateway, &token);
    assert_eq!(redis.command(&["EXISTS", &key]), "1", "nobody can tell whose it is, for now");
    gateway.reload(&config, "reloaded");
    next(&gateway, &token);
}

#[test]
fn a_replica_that_does_not_have_the_account_yet_ends_no_login_of_the_others() {
    let redis = RedisServer::start();
    let backend = Backend::start();
    let config = refreshing(Config::new(&backend), "0s").set("/state/redis", json!({"url": redis.url()}));
    let config = config.file("certs/identifier.key", &keys::key_file());
    let mut behind = config.clone();
    behind.accounts.retain(|account| account.name != ALICE.name);
    let [a, b] = [&config, &behind].map(Gateway::start);
    [&a, &b].into_iter().for_each(Gateway::is_ready);
    let (first, jwt) = log_in(&a, ALICE);
    is_refused(&b, &first);
    a.get("/me/x").customer(&jwt).send().ok();
    let (second, _) = next(&a, &first);
    is_refused(&b, &second);
    b.reload(&config, "reloaded");
    next(&b, &second);
}

#[test]
fn replicas_give_the_same_successor_and_a_retry_at_the_other_is_no_theft() {
    let redis = RedisServer::start();
    let backend = Backend::start();
    let config = refreshing(Config::new(&backend), "10s").set("/state/redis", json!({"url": redis.url()}));
    let config = config.file("certs/identifier.key", &keys::key_file());
    let [a, b] = [0, 1].map(|_| Gateway::start(&config));
    [&a, &b].into_iter().for_each(Gateway::is_ready);
    let (first, _) = log_in(&a, ALICE);
    let (second, _) = next(&a, &first);
    assert_eq!(next(&b, &first).0, second);
    let (third, _) = next(&b, &second);
    assert_eq!(next(&a, &second).0, third);
    is_refused(&b, &first);
}

#[test]
fn a_retry_after_503_is_no_theft_however_late_it_comes_and_at_whichever_replica() {
    let redis = RedisServer::start();
    let backend = Backend::start();
    let config = refreshing(Config::new(&backend), "0s").set("/state/redis", json!({"url": redis.url()}));
    let config = config.file("certs/identifier.key", &keys::key_file());
    let [a, b] = [0, 1].map(|_| Gateway::start(&config));
    [&a, &b].into_iter().for_each(Gateway::is_ready);
    // The store knows how to rotate from here on: all that it still needs is one word.
    let mut token = next(&a, &log_in(&a, ALICE).0).0;
    let key = family_key(&redis);
    for retried_at in [&b, &a] {
        let current = || redis.command(&["HGET", &key, "d"]);
        let before = current();
        redis.pause();
        refresh(&a, &token).send().expect(503, "");
        redis.resume();
        eventually("the rotation is made all the same", || current() != before);
        let until = std::time::Instant::now() + DEADLINE;
        let answer = loop {
            let answer = refresh(retried_at, &token).send();
            if answer.status != 503 {
                break answer.ok();
            }
            assert!(std::time::Instant::now() < until, "the store does not come back");
        };
        let (latest, jwt) = next(retried_at, &member(&answer, "refresh_token"));
        eventually("the login is good everywhere", || a.get("/me/x").customer(&jwt).send().status == 200);
        eventually("both see the store", || {
            [&a, &b].iter().all(|gateway| gateway.metric("wicketgate_state_up", &[]) == 1.0)
        });
        token = latest;
    }
    // A token whose answer was given is taken no second time, as before.
    let (_, jwt) = next(&b, &token);
    is_refused(&b, &token);
    eventually("theft ends it", || b.get("/me/x").customer(&jwt).send().status == 401);
}

fn a_refresh_token_gives_another_jwt_of_the_same_customer_and_the_next_token(store: &Store) {
    let (_backend, gateway) = store.world_with(with_refresh_tokens);
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
    let (_backend, gateway) = store.world_with(|c| with_refresh_tokens(c).set("/login/refresh/grace", json!("0s")));
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
    let mut config = with_refresh_tokens(Config::new(&backend));
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
    let (_backend, gateway) = store.world_with(with_refresh_tokens);
    let token = member(&gateway.login_request(ALICE.name, ALICE.secret).send().ok(), "refresh_token");
    let with = |secret: &str| {
        let form =
            format!("grant_type=refresh_token&refresh_token={token}&client_id={}&client_secret={secret}", CLIENT.name);
        gateway.post("/oauth/access_token").form(&form)
    };
    oauth_error(with("wrong").send(), 401, "invalid_client");
    with(CLIENT.secret).send().ok();
}

on_both_stores! {
    two_tabs_that_hand_in_one_refresh_token_at_once_stay_logged_in
    a_refresh_token_whose_answer_was_lost_gives_the_same_successor_and_an_older_one_ends_the_login
    a_predecessor_that_comes_after_the_grace_ends_the_login
    a_predecessor_within_the_grace_is_revoked_with_its_login
    a_refresh_gives_the_claims_of_the_account_that_logged_in
    a_refresh_while_the_account_is_not_in_force_is_refused_and_uses_no_token_up
    a_refresh_token_gives_another_jwt_of_the_same_customer_and_the_next_token
    a_refresh_token_that_comes_back_ends_the_login_and_all_its_tokens
    refresh_tokens_are_off_by_default_and_end_with_logout_account_and_lifetime
    a_client_that_shows_itself_beside_a_refresh_token_must_be_right
}
