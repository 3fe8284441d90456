//! Logout: JWT, cookie and refresh token of one login end together; 204 means that something ended.

use crate::harness::customer::{logout, session_cookie};
use crate::harness::keys::{base64url, decode, now};
use crate::harness::*;

/// Everything that one login has given.
pub(super) struct Login {
    pub(super) cookie: String,
    pub(super) jwt: String,
    pub(super) refresh: String,
}

pub(super) fn everything(config: Config) -> Config {
    config.cookies("both").set("/login/refresh", json!({"lifetime": "1h"}))
}

#[track_caller]
fn text(answer: &Response, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.text())).to_owned()
}

#[track_caller]
pub(super) fn log_in(gateway: &Gateway) -> Login {
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    Login { cookie: session_cookie(&answer), jwt: text(&answer, "JWT"), refresh: text(&answer, "refresh_token") }
}

fn by_cookie(gateway: &Gateway, pair: &str) -> Response {
    gateway.get("/me/x").header("Cookie", pair).send()
}

pub(super) fn by_jwt(gateway: &Gateway, token: &str) -> Response {
    gateway.get("/me/x").customer(token).send()
}

fn refreshed(gateway: &Gateway, token: &str) -> Response {
    gateway.post("/oauth/access_token").form(&format!("grant_type=refresh_token&refresh_token={token}")).send()
}

#[track_caller]
pub(super) fn has_ended(gateway: &Gateway, login: &Login) {
    by_cookie(gateway, &login.cookie).expect(401, "401-03");
    by_jwt(gateway, &login.jwt).expect(401, "401-03");
    refreshed(gateway, &login.refresh).expect(400, "");
}

#[track_caller]
pub(super) fn lives(gateway: &Gateway, login: &Login) {
    by_cookie(gateway, &login.cookie).ok();
    by_jwt(gateway, &login.jwt).ok();
}

/// The same token with other claims, signed by the gateway's own key.
fn changed(gateway: &Gateway, token: &str, change: impl FnOnce(&mut Value)) -> String {
    let (header, mut claims) = decode(token);
    change(&mut claims);
    gateway.signing_key.sign(&header, &claims)
}

fn expired(gateway: &Gateway, token: &str) -> String {
    changed(gateway, token, |claims| {
        for (name, before) in [("iat", 900), ("nbf", 900), ("exp", 300)] {
            claims[name] = json!(now() - before);
        }
    })
}

fn whichever_member_of_a_login_is_shown_at_logout_all_end_and_no_other_login(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    let other = log_in(&gateway);
    type Shows = fn(&Gateway, &Login) -> Request;
    let shows: [Shows; 5] = [
        |gateway, login| logout(gateway).header("Cookie", &login.cookie),
        |gateway, login| logout(gateway).customer(&login.jwt),
        |gateway, login| logout(gateway).form(&format!("refresh_token={}", login.refresh)),
        |gateway, login| logout(gateway).json(&json!({"refresh_token": login.refresh}).to_string()),
        |gateway, login| logout(gateway).customer(&expired(gateway, &login.jwt)),
    ];
    for (number, show) in shows.into_iter().enumerate() {
        let login = log_in(&gateway);
        lives(&gateway, &login);
        let request = show(&gateway, &login);
        assert_eq!(request.send().status, 204, "{number}");
        has_ended(&gateway, &login);
        // There is nothing left of it.
        assert_eq!(request.send().status, 401, "{number}");
    }
    let gateway = gateway.restart();
    lives(&gateway, &other);
    refreshed(&gateway, &other.refresh).ok();
}

fn a_revocation_by_a_client_ends_the_cookie_session_too(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    for refresh in [true, false] {
        let login = log_in(&gateway);
        let token = if refresh { &login.refresh } else { &login.jwt };
        let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
        gateway.post("/oauth/revoke").form(&form).send().ok();
        has_ended(&gateway, &login);
    }
}

fn an_expired_jwt_ends_the_refresh_tokens_of_its_login_at_the_hands_of_clients_and_operators_too(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    let config = gateway.files.config();
    for by_operator in [true, false] {
        let (login, other) = (log_in(&gateway), log_in(&gateway));
        let token = expired(&gateway, &login.jwt);
        if by_operator {
            let args = ["revoke", "token", "-", "--config", config.to_str().unwrap()];
            let (code, said, err) = gateway.files.run_with(&args, token.as_bytes());
            assert!(code == 0 && said.starts_with("revoked: login "), "{said}{err}");
            assert_eq!(gateway.files.run_with(&args, token.as_bytes()).0, 1, "there is nothing left of it");
        } else {
            let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
            gateway.post("/oauth/revoke").form(&form).send().ok();
        }
        has_ended(&gateway, &login);
        lives(&gateway, &other);
    }
}

fn a_refresh_token_that_is_none_hinders_no_logout_by_what_is_shown_beside_it(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    type Shows = fn(Request, &Login) -> Request;
    let shows: [Shows; 2] =
        [|request, login| request.header("Cookie", &login.cookie), |request, login| request.customer(&login.jwt)];
    let bodies: [fn(Request) -> Request; 7] = [
        |request| request.form("refresh_token=wgr_AAAA"),
        |request| request.form("refresh_token=null"),
        |request| request.form("refresh_token="),
        |request| request.json("{\"refresh_token\":null}"),
        |request| request.json("{\"refresh_token\":\"undefined\"}"),
        |request| request.json("{\"refresh_token\":[1]}"),
        |request| request.json("{\"refresh_token\":\"\"}"),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        for show in shows {
            let login = log_in(&gateway);
            assert_eq!(show(body(logout(&gateway)), &login).send().status, 204, "{number}");
            has_ended(&gateway, &login);
        }
        // Alone it ends nothing, and that is said.
        assert_eq!(body(logout(&gateway)).send().status, 401, "{number}");
    }
}

fn a_jwt_of_a_refresh_ends_the_cookie_session_of_its_login(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    let login = log_in(&gateway);
    let answer = refreshed(&gateway, &login.refresh).ok();
    logout(&gateway).customer(&text(&answer, "JWT")).send().expect(204, "");
    has_ended(&gateway, &login);
    refreshed(&gateway, &text(&answer, "refresh_token")).expect(400, "");
}

fn without_refresh_tokens_a_jwt_ends_its_cookie_session_and_the_other_way_round(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("both"));
    for by in ["cookie", "jwt"] {
        let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
        let (cookie, jwt) = (session_cookie(&answer), text(&answer, "JWT"));
        let request = logout(&gateway);
        let request = if by == "jwt" { request.customer(&jwt) } else { request.header("Cookie", &cookie) };
        request.send().expect(204, "");
        by_cookie(&gateway, &cookie).expect(401, "401-03");
        by_jwt(&gateway, &jwt).expect(401, "401-03");
    }
}

fn a_login_that_replaces_a_cookie_session_ends_that_session_and_no_jwt(store: &Store) {
    for config in [everything as fn(Config) -> Config, |c| c.cookies("both")] {
        let (_backend, gateway) = store.world_with(config);
        let first = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
        let second =
            gateway.login_request(ALICE.name, ALICE.secret).header("Cookie", &session_cookie(&first)).send().ok();
        by_cookie(&gateway, &session_cookie(&first)).expect(401, "401-03");
        by_cookie(&gateway, &session_cookie(&second)).ok();
        by_jwt(&gateway, &text(&first, "JWT")).ok();
        if let Some(refresh) = first.json()["refresh_token"].as_str() {
            refreshed(&gateway, refresh).ok();
        }
    }
}

fn a_logout_that_ends_nothing_is_401_and_takes_a_dead_cookie_from_the_browser(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    let login = log_in(&gateway);
    logout(&gateway).header("Cookie", &login.cookie).send().expect(204, "");
    for dead in [login.cookie.as_str(), "__Host-session=forged", "__Host-session=\u{fc}"] {
        let answer = logout(&gateway).header("Cookie", dead).send().expect(401, "401-03");
        let line = answer.header("Set-Cookie").unwrap();
        assert!(line.starts_with("__Host-session=; ") && line.contains("Max-Age=0"), "{line}");
    }
    for request in [
        logout(&gateway).customer(&login.jwt),
        logout(&gateway).form(&format!("refresh_token={}", login.refresh)),
        logout(&gateway).form("refresh_token=wgr_AAAA"),
        logout(&gateway).form("refresh_token=x"),
    ] {
        assert_eq!(request.send().expect(401, "401-03").header("Set-Cookie"), None);
    }
    logout(&gateway).send().expect(401, "401-10");
}

fn a_token_that_opens_no_route_ends_no_login(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    let login = log_in(&gateway);
    let (_, claims) = decode(&login.jwt);
    let header = json!({"alg": "ES256", "typ": "JWT"});
    let stranger = keys::TokenKey::generate();
    let own = |change: &dyn Fn(&mut Value)| expired(&gateway, &changed(&gateway, &login.jwt, change));
    for token in [
        stranger.sign(&header, &claims),
        own(&|claims| claims["aud"] = json!("somebody else")),
        own(&|claims| claims["iss"] = json!("https://other.example")),
        own(&|claims| claims["sub"] = json!("t1-nobody")),
        own(&|claims| claims["refresh_family"] = json!(base64url(&[7; 32]))),
        own(&|claims| drop(claims.as_object_mut().unwrap().remove("refresh_family"))),
        gateway.token(CLIENT),
    ] {
        let answer = logout(&gateway).customer(&token).form("everywhere=true").send();
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    lives(&gateway, &login);
    refreshed(&gateway, &login.refresh).ok();
}

fn a_cookie_that_was_idle_for_too_long_still_ends_its_login_and_everywhere_all_of_them(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| everything(c).set("/login/cookie/idle", json!("1s")));
    for form in ["everywhere=false", "everywhere=true"] {
        let (login, other) = (log_in(&gateway), log_in(&gateway));
        let config = gateway.files.config();
        // A call by the cookie would be a use of it.
        eventually("it is idle", || {
            let (_, listed, _) =
                gateway.files.run(&["sessions", "list", "--json", "--config", config.to_str().unwrap()]);
            !listed.contains("session")
        });
        by_cookie(&gateway, &login.cookie).expect(401, "401-02");
        by_jwt(&gateway, &login.jwt).ok();
        logout(&gateway).header("Cookie", &login.cookie).form(form).send().expect(204, "");
        has_ended(&gateway, &login);
        logout(&gateway).header("Cookie", &login.cookie).send().expect(401, "401-03");
        assert_eq!(by_jwt(&gateway, &other.jwt).status, if form.ends_with("true") { 401 } else { 200 });
    }
}

#[test]
fn an_expired_jwt_of_a_login_without_refresh_tokens_ends_nothing_and_that_is_said() {
    let (_backend, gateway) = world();
    let token = gateway.login(ALICE);
    logout(&gateway).customer(&expired(&gateway, &token)).send().expect(401, "401-02");
    by_jwt(&gateway, &token).ok();
}

/// Four routes that look for the customer's token elsewhere.
fn elsewhere(config: Config) -> Config {
    let places = [
        ("bearer", json!([{"bearer": true}])),
        ("header", json!([{"header": {"name": "X-Token", "scheme": "Customer"}}])),
        ("bare", json!([{"header": {"name": "X-Token"}}])),
        ("cookie", json!([{"cookie": "token"}])),
        ("body", json!([{"body": "/auth/token"}])),
    ];
    places.into_iter().fold(config, |config, (name, places)| {
        config.add_route(json!({
            "name": name, "path": format!("/{name}/"), "methods": ["POST"], "require": ["customer"],
            "customer_token_sources": places, "backend": "legacy",
        }))
    })
}

#[test]
fn logout_finds_the_token_wherever_a_route_finds_it() {
    let (_backend, gateway) = world_with(elsewhere);
    type Shows = fn(Request, &str) -> Request;
    let shows: [(&str, Shows); 5] = [
        ("/bearer/x", |request, token| request.bearer(token)),
        ("/header/x", |request, token| request.header("x-token", &format!("customer {token}"))),
        ("/bare/x", |request, token| request.header("X-Token", token)),
        ("/cookie/x", |request, token| request.header("Cookie", &format!("a=b; token={token}"))),
        ("/body/x", |request, token| request.json(&json!({"auth": {"token": token}}).to_string())),
    ];
    for (path, show) in shows {
        let (token, other) = (gateway.login(ALICE), gateway.login(ALICE));
        let call = |token: &str| show(gateway.post(path).header("Sec-Fetch-Site", "same-origin"), token).send();
        call(&token).ok();
        show(logout(&gateway), &token).send().expect(204, "");
        call(&token).expect(401, "401-03");
        show(logout(&gateway), &token).send().expect(401, "401-03");
        call(&other).ok();
    }
}

#[test]
fn a_client_of_its_own_beside_a_customer_hinders_no_logout_and_ends_none() {
    let (_backend, gateway) = world_with(elsewhere);
    let (client, customer) = (gateway.token(CLIENT), gateway.login(ALICE));
    logout(&gateway).bearer(&client).send().expect(401, "401-03");
    logout(&gateway).header("Authorization", "Basic eDp5").send().expect(401, "401-10");
    logout(&gateway).bearer(&client).customer(&customer).send().expect(204, "");
    by_jwt(&gateway, &customer).expect(401, "401-03");
    gateway.get("/system/x").bearer(&client).send().ok();
}

#[test]
fn an_unreadable_credential_where_a_route_looks_is_no_logout() {
    let (_backend, gateway) = world_with(|c| elsewhere(c).cookies("both"));
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let (pair, token) = (session_cookie(&answer), text(&answer, "JWT"));
    for request in [
        logout(&gateway).header("X-Token", &format!("Wrong {token}")),
        logout(&gateway).header("X-Token", &format!("{token}\u{fc}")),
        logout(&gateway).json(&json!({"auth": {"token": ["x"]}}).to_string()),
        logout(&gateway).bearer(&format!("{token}\u{fc}")),
    ] {
        assert_eq!(request.send().status, 401);
    }
    logout(&gateway).json("{\"auth\":{\"token\":\"a\",\"token\":\"b\"}}").send().expect(400, "400-03");
    logout(&gateway).header("Content-Type", "text/plain").body("everywhere=true").send().expect(415, "415-01");
    by_jwt(&gateway, &token).ok();
    // What others may have left in a cookie hides no session.
    logout(&gateway).header("Cookie", &format!("token=\u{fc}; {pair}; token=x")).send().expect(204, "");
    by_jwt(&gateway, &token).expect(401, "401-03");
    by_cookie(&gateway, &pair).expect(401, "401-03");
}

#[test]
fn everywhere_is_true_or_false_and_nothing_else_is_taken_for_less() {
    let (_backend, gateway) = world();
    let (token, other) = (gateway.login(ALICE), gateway.login(ALICE));
    for wrong in ["everywhere=1", "everywhere=yes", "everywhere=True", "everywhere=true&everywhere=true"] {
        logout(&gateway).customer(&token).form(wrong).send().expect(400, "400-04");
    }
    logout(&gateway).customer(&token).json("{\"everywhere\":\"yes\"}").send().expect(400, "400-04");
    let at = |query: &str| Request { target: format!("/auth/logout?{query}"), ..logout(&gateway) }.customer(&token);
    at("everywhere=1").send().expect(400, "400-04");
    at("everywhere=false").form("everywhere=true").send().expect(400, "400-04");
    at("refresh_token=x").send().expect(400, "400-04");
    by_jwt(&gateway, &token).ok();
    logout(&gateway).customer(&token).json("{\"everywhere\":true}").send().expect(204, "");
    by_jwt(&gateway, &other).expect(401, "401-03");
    let (token, other) = (gateway.login(ALICE), gateway.login(ALICE));
    let target = "/auth/logout?everywhere=true".to_owned();
    Request { target, ..logout(&gateway) }.customer(&token).send().expect(204, "");
    by_jwt(&gateway, &other).expect(401, "401-03");
}

#[test]
fn a_strange_page_logs_nobody_out_by_what_it_can_add_itself() {
    let (_backend, gateway) = world_with(|c| elsewhere(everything(c)));
    let (victim, stranger) = (log_in(&gateway), log_in(&gateway));
    let by_page = || gateway.post("/auth/logout").header("Origin", "https://evil.example");
    let refresh = format!("refresh_token={}", stranger.refresh);
    by_page().header("Cookie", &victim.cookie).form(&refresh).send().expect(403, "403-05");
    by_page().header("Cookie", &format!("token={}", victim.jwt)).send().expect(403, "403-05");
    let body = json!({"auth": {"token": stranger.jwt}}).to_string();
    by_page().header("Cookie", &victim.cookie).json(&body).send().expect(403, "403-05");
    lives(&gateway, &victim);
    lives(&gateway, &stranger);
    // Without a cookie nobody is made to do anything.
    gateway.post("/auth/logout").form(&refresh).send().expect(204, "");
    has_ended(&gateway, &stranger);
    lives(&gateway, &victim);
}

#[test]
fn a_login_that_gives_nothing_but_a_jwt_has_a_name_and_ends_by_it() {
    let (_backend, gateway) = world();
    let (token, other) = (gateway.login(ALICE), gateway.login(ALICE));
    let name = |token: &str| decode(token).1["sid"].as_str().unwrap().to_owned();
    assert_ne!(name(&token), name(&other));
    let config = gateway.files.config();
    let args = ["revoke", "login", &name(&token), "--config", config.to_str().unwrap()];
    let (code, said, err) = gateway.files.run(&args);
    assert!(code == 0 && said.contains("no live session is of this login"), "{said}{err}");
    by_jwt(&gateway, &token).expect(401, "401-03");
    by_jwt(&gateway, &other).ok();
}

on_both_stores! {
    whichever_member_of_a_login_is_shown_at_logout_all_end_and_no_other_login
    a_revocation_by_a_client_ends_the_cookie_session_too
    a_refresh_token_that_is_none_hinders_no_logout_by_what_is_shown_beside_it
    a_jwt_of_a_refresh_ends_the_cookie_session_of_its_login
    an_expired_jwt_ends_the_refresh_tokens_of_its_login_at_the_hands_of_clients_and_operators_too
    without_refresh_tokens_a_jwt_ends_its_cookie_session_and_the_other_way_round
    a_login_that_replaces_a_cookie_session_ends_that_session_and_no_jwt
    a_logout_that_ends_nothing_is_401_and_takes_a_dead_cookie_from_the_browser
    a_token_that_opens_no_route_ends_no_login
    a_cookie_that_was_idle_for_too_long_still_ends_its_login_and_everywhere_all_of_them
}
