//! A login does not outlive its account.

use crate::harness::*;
use crate::websocket::tunnel::{backend, open, world_of};

/// What a login gives.
pub(super) struct Login {
    pub(super) cookie: String,
    pub(super) jwt: String,
    pub(super) refresh: String,
}

pub(super) fn all_kinds(config: Config) -> Config {
    config.cookies("both").set("/login/refresh", json!({}))
}

#[track_caller]
pub(super) fn log_in(gateway: &Gateway, account: Account) -> Login {
    let answer = gateway.login_request(account.name, account.secret).send().ok();
    let member = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
    let cookie = answer.header("Set-Cookie").and_then(|line| line.split(';').next()).unwrap_or_default().to_owned();
    Login { cookie, jwt: member("JWT"), refresh: member("refresh_token") }
}

pub(super) fn by_cookie(gateway: &Gateway, login: &Login) -> Request {
    gateway.get("/me/x").header("Cookie", &login.cookie)
}

pub(super) fn by_jwt(gateway: &Gateway, login: &Login) -> Request {
    gateway.get("/me/x").customer(&login.jwt)
}

pub(super) fn refresh(gateway: &Gateway, login: &Login) -> Request {
    let form = format!("grant_type=refresh_token&refresh_token={}", login.refresh);
    gateway.post("/oauth/access_token").form(&form)
}

fn introspect(gateway: &Gateway, token: &str) -> Value {
    let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
    gateway.post("/oauth/introspect").form(&form).send().ok().json()["active"].clone()
}

#[track_caller]
pub(super) fn is_live(gateway: &Gateway, login: &mut Login) {
    by_cookie(gateway, login).send().ok();
    by_jwt(gateway, login).send().ok();
    assert_eq!(introspect(gateway, &login.jwt), true);
    assert_eq!(introspect(gateway, &login.refresh), true);
    login.refresh = refresh(gateway, login).send().ok().json()["refresh_token"].as_str().unwrap().to_owned();
}

#[track_caller]
fn is_over(gateway: &Gateway, login: &Login) {
    let answer = by_cookie(gateway, login).send().expect(401, "401-03");
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["refusal"], "session_account");
    let answer = by_jwt(gateway, login).send().expect(401, "401-03");
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["refusal"], "customer_token_account");
    assert_eq!(introspect(gateway, &login.jwt), false);
    assert_eq!(introspect(gateway, &login.refresh), false);
    refresh(gateway, login).send().expect(400, "");
}

fn a_removed_account_takes_its_cookies_jwts_and_refresh_tokens_along(store: &Store) {
    let backend = Backend::start();
    let mut config = store.keeps(all_kinds(Config::new(&backend)));
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    let (mut alice, bob) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    by_cookie(&gateway, &bob).send().ok();
    by_jwt(&gateway, &bob).send().ok();
    config.accounts.retain(|account| account.name != BOB.name);
    gateway.reload(&config, "reloaded");
    is_over(&gateway, &bob);
    is_live(&gateway, &mut alice);
    let gateway = gateway.restart();
    is_live(&gateway, &mut alice);
    by_cookie(&gateway, &bob).send().expect(401, "401-03");
    by_jwt(&gateway, &bob).send().expect(401, "401-03");
}

fn another_password_ends_the_logins_by_the_old_one_and_other_claims_or_accounts_end_none(store: &Store) {
    let backend = Backend::start();
    let config = store.keeps(all_kinds(Config::new(&backend)));
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    let (mut alice, bob) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    let entry = |account: Account, secret: &str, tier: &str| {
        let password = keys::argon2id(secret);
        json!({"username": account.name, "password": password, "subject": account.subject, "claims": {"tier": tier}})
    };
    let carol = Account { name: "carol", subject: "account-100003", ..BOB };
    let accounts = json!([
        entry(carol, BOB.secret, "a"),
        entry(BOB, "Another-password-of-bob", "b"),
        entry(ALICE, ALICE.secret, "c"),
    ]);
    gateway.reload(&config.file("accounts.yaml", &accounts.to_string()), "reloaded");
    is_over(&gateway, &bob);
    is_live(&gateway, &mut alice);
    let mut anew = log_in(&gateway, Account { secret: "Another-password-of-bob", ..BOB });
    is_live(&gateway, &mut anew);
}

fn an_account_that_names_another_customer_ends_the_logins_of_the_one_before(store: &Store) {
    let backend = Backend::start();
    let mut config = store.keeps(all_kinds(Config::new(&backend)));
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    let alice = log_in(&gateway, ALICE);
    config.accounts[0].subject = "account-100009";
    gateway.reload(&config, "reloaded");
    is_over(&gateway, &alice);
}

fn a_login_ended_while_its_account_is_removed_stays_ended_when_the_account_returns(store: &Store) {
    let backend = Backend::start();
    let config = store.keeps(all_kinds(Config::new(&backend)));
    let mut without = config.clone();
    without.accounts.retain(|account| account.name != BOB.name);
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    fn run(gateway: &Gateway, args: &[&str], input: &str) {
        let config = gateway.files.config();
        let args = [args, &["--config", config.to_str().unwrap()]].concat();
        let (code, said, err) = gateway.files.run_with(&args, input.as_bytes());
        assert_eq!(code, 0, "{said}{err}");
    }
    fn logout(gateway: &Gateway) -> Request {
        gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin")
    }
    fn revoke(gateway: &Gateway, token: &str) {
        let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
        gateway.post("/oauth/revoke").form(&form).send().ok();
    }
    type Ends = fn(&Gateway, &Login);
    let ends: [Ends; 7] = [
        |gateway, login| revoke(gateway, &login.jwt),
        |gateway, login| revoke(gateway, &login.refresh),
        |gateway, login| drop(logout(gateway).customer(&login.jwt).send().expect(204, "")),
        |gateway, login| drop(logout(gateway).header("Cookie", &login.cookie).send().expect(204, "")),
        |gateway, login| run(gateway, &["revoke", "token", "-"], &login.jwt),
        |gateway, login| {
            let id = keys::decode(&login.jwt).1["sid"].as_str().unwrap().to_owned();
            run(gateway, &["sessions", "end", &id], "");
        },
        |gateway, login| {
            let form = format!("refresh_token={}", login.refresh);
            logout(gateway).form(&form).send().expect(204, "");
        },
    ];
    let (logins, mut stays) = (ends.map(|_| log_in(&gateway, BOB)), log_in(&gateway, BOB));
    gateway.reload(&without, "reloaded");
    for (end, login) in ends.iter().zip(&logins) {
        assert_eq!(introspect(&gateway, &login.jwt), false);
        end(&gateway, login);
    }
    gateway.reload(&config, "reloaded");
    for (number, login) in logins.iter().enumerate() {
        let answers = [by_cookie(&gateway, login), by_jwt(&gateway, login), refresh(&gateway, login)];
        assert_eq!(answers.map(|request| request.send().status), [401, 401, 400], "{number}");
    }
    is_live(&gateway, &mut stays);
}

#[test]
fn a_changed_file_of_accounts_ends_logins_without_anybody_asking_for_it() {
    let (_backend, gateway) = world_with(all_kinds);
    let (bob, mut alice) = (log_in(&gateway, BOB), log_in(&gateway, ALICE));
    by_jwt(&gateway, &bob).send().ok();
    let text = std::fs::read_to_string(gateway.files.path.join("accounts.yaml")).unwrap();
    let mut accounts: Value = serde_json::from_str(&text).unwrap();
    accounts.as_array_mut().unwrap().retain(|account| account["username"] != BOB.name);
    gateway.files.write("accounts.yaml", &accounts.to_string());
    eventually("bob is out", || by_jwt(&gateway, &bob).send().status == 401);
    is_over(&gateway, &bob);
    is_live(&gateway, &mut alice);
}

#[test]
fn logins_of_an_earlier_version_stay_good_whatever_becomes_of_the_accounts() {
    let redis = RedisServer::start();
    let backend = Backend::start();
    let mut config = all_kinds(Config::new(&backend)).set("/state", json!({"redis": {"url": redis.url()}}));
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    let bob = log_in(&gateway, BOB);
    let key = redis.command(&["KEYS", "wg:s:*"]);
    assert_eq!(redis.command(&["HDEL", &key, "u"]), "1");
    let gateway = gateway.restart();
    config.accounts.retain(|account| account.name != BOB.name);
    gateway.reload(&config, "reloaded");
    by_cookie(&gateway, &bob).send().ok();
}

#[test]
fn each_replica_ends_logins_by_its_own_file_of_accounts() {
    let redis = RedisServer::start();
    let backend = Backend::start();
    let config = all_kinds(Config::new(&backend)).set("/state", json!({"redis": {"url": redis.url()}}));
    let config = config.file("certs/identifier.key", &keys::key_file());
    let [a, b] = [0, 1].map(|_| Gateway::start(&config));
    [&a, &b].into_iter().for_each(Gateway::is_ready);
    let bob = log_in(&a, BOB);
    let mut without = config;
    without.accounts.retain(|account| account.name != BOB.name);
    for gateway in [&a, &b] {
        by_cookie(gateway, &bob).send().ok();
        by_jwt(gateway, &bob).send().ok();
    }
    b.reload(&without, "reloaded");
    by_cookie(&a, &bob).send().ok();
    by_jwt(&a, &bob).send().ok();
    for gateway in [&b, &a] {
        gateway.reload(&without, "reloaded");
        by_cookie(gateway, &bob).send().expect(401, "401-03");
        by_jwt(gateway, &bob).send().expect(401, "401-03");
        refresh(gateway, &bob).send().expect(400, "");
    }
}

#[test]
fn an_open_websocket_ends_with_the_account_of_its_caller() {
    let (address, opened) = backend();
    let change = |c: Config| all_kinds(c).route("me", "limits", json!({"recheck": "100ms"}));
    let gateway = world_of(address, change);
    let (alice, bob) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    let shown = |login: &Login| gateway.get("/me/live").customer(&login.jwt);
    let (mut stays, mut other_side) = open(&gateway, &opened, shown(&alice));
    let (mut goes, _other_side) = open(&gateway, &opened, shown(&bob).header("X-Request-Id", "goes"));
    let cookie = gateway.get("/me/live").header("Cookie", &bob.cookie).header("Sec-Fetch-Site", "same-origin");
    let (mut goes_too, _its_other_side) = open(&gateway, &opened, cookie);
    let mut config =
        change(crate::websocket::tunnel::with_websockets(Config::with_server(&format!("http://{address}"))));
    config.accounts.retain(|account| account.name != BOB.name);
    gateway.reload(&config, "reloaded");
    assert!(goes.closes() && goes_too.closes());
    assert_eq!(gateway.access_line("goes")["refusal"], "customer_token_account");
    stays.send(b"x");
    assert_eq!(other_side.stream.exact(1).unwrap(), b"x");
}

on_both_stores! {
    a_removed_account_takes_its_cookies_jwts_and_refresh_tokens_along
    another_password_ends_the_logins_by_the_old_one_and_other_claims_or_accounts_end_none
    an_account_that_names_another_customer_ends_the_logins_of_the_one_before
    a_login_ended_while_its_account_is_removed_stays_ended_when_the_account_returns
}

#[test]
fn logins_of_accounts_end_where_no_file_of_accounts_is_in_force_any_more() {
    let backend = Backend::start();
    let config = all_kinds(Config::new(&backend));
    let gateway = Gateway::start(&config);
    let mut alice = log_in(&gateway, ALICE);
    is_live(&gateway, &mut alice);
    let asked = json!({"backend": "legacy", "path": "/login", "subject": "/id"});
    gateway.reload(&config.clone().set("/login/accounts", asked), "reloaded");
    by_jwt(&gateway, &alice).send().expect(401, "401-03");
    by_cookie(&gateway, &alice).send().expect(401, "401-03");
    gateway.reload(&config.clone().without("/login"), "reloaded");
    by_jwt(&gateway, &alice).send().expect(401, "401-03");
    // With the file they are what they were.
    gateway.reload(&config, "reloaded");
    is_live(&gateway, &mut alice);
}
