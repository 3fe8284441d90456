//! A login does not outlive its account, and a customer does not have any number of logins.

use std::thread;

use crate::harness::*;
use crate::websocket::tunnel::{backend, open, world_of};

/// What a login gives.
struct Login {
    cookie: String,
    jwt: String,
    refresh: String,
}

fn all_kinds(config: Config) -> Config {
    config.cookies("both").set("/login/refresh", json!({}))
}

#[track_caller]
fn log_in(gateway: &Gateway, account: Account) -> Login {
    let answer = gateway.login_request(account.name, account.secret).send().ok();
    let member = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
    let cookie = answer.header("Set-Cookie").and_then(|line| line.split(';').next()).unwrap_or_default().to_owned();
    Login { cookie, jwt: member("JWT"), refresh: member("refresh_token") }
}

fn by_cookie(gateway: &Gateway, login: &Login) -> Request {
    gateway.get("/me/x").header("Cookie", &login.cookie)
}

fn by_jwt(gateway: &Gateway, login: &Login) -> Request {
    gateway.get("/me/x").customer(&login.jwt)
}

fn refresh(gateway: &Gateway, login: &Login) -> Request {
    let form = format!("grant_type=refresh_token&refresh_token={}", login.refresh);
    gateway.post("/oauth/access_token").form(&form)
}

fn introspect(gateway: &Gateway, token: &str) -> Value {
    let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
    gateway.post("/oauth/introspect").form(&form).send().ok().json()["active"].clone()
}

#[track_caller]
fn is_live(gateway: &Gateway, login: &mut Login) {
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

fn the_oldest_login_of_a_customer_goes_when_there_are_too_many(store: &Store) {
    let change = |c: Config| all_kinds(c).set("/login/max_per_customer", json!(3));
    let (_backend, gateway) = store.world_with(change);
    let mut bob = log_in(&gateway, BOB);
    let mut logins: Vec<Login> = (0..5).map(|_| log_in(&gateway, ALICE)).collect();
    for (number, login) in logins.iter_mut().enumerate() {
        if number < 2 {
            by_cookie(&gateway, login).send().expect(401, "401-03");
            by_jwt(&gateway, login).send().expect(401, "401-03");
            refresh(&gateway, login).send().expect(400, "");
        } else {
            is_live(&gateway, login);
        }
    }
    is_live(&gateway, &mut bob);
    // Those from before a restart count too.
    let gateway = gateway.restart();
    let newest = log_in(&gateway, ALICE);
    logins.push(newest);
    let live = |login: &&Login| by_cookie(&gateway, login).send().status == 200;
    assert_eq!(logins.iter().filter(live).count(), 3);
    is_live(&gateway, logins.last_mut().unwrap());
}

fn logins_that_ended_already_leave_room_for_others(store: &Store) {
    let change = |c: Config| c.cookies("cookie").set("/login/max_per_customer", json!(2));
    let (_backend, gateway) = store.world_with(change);
    let kept = log_in(&gateway, ALICE);
    for _ in 0..4 {
        let short = log_in(&gateway, ALICE);
        let logout = gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin");
        logout.header("Cookie", &short.cookie).send().expect(204, "");
    }
    by_cookie(&gateway, &kept).send().ok();
}

fn logins_of_one_customer_that_come_at_once_leave_as_many_as_there_may_be(store: &Store) {
    let change = |c: Config| {
        let limits = json!({"rate": "1000/s", "burst": 1000});
        c.cookies("cookie").set("/login/max_per_customer", json!(2)).set("/login/limits", limits)
    };
    let (_backend, gateway) = store.world_with(change);
    let logins: Vec<_> = (0..8)
        .map(|_| {
            let request = gateway.login_request(ALICE.name, ALICE.secret);
            thread::spawn(move || request.send().ok())
        })
        .collect();
    let cookies: Vec<Login> = logins
        .into_iter()
        .map(|login| {
            let answer = login.join().unwrap();
            let cookie = answer.header("Set-Cookie").and_then(|line| line.split(';').next()).unwrap().to_owned();
            Login { cookie, jwt: String::new(), refresh: String::new() }
        })
        .collect();
    let live = cookies.iter().filter(|login| by_cookie(&gateway, login).send().status == 200);
    assert_eq!(live.count(), 2);
}

#[test]
fn refresh_tokens_count_towards_max_sessions_and_leave_nobody_out_whose_oldest_goes() {
    let change = |c: Config| {
        let c = c.set("/login/refresh", json!({})).set("/login/max_per_customer", json!(2));
        c.set("/state/embedded", json!({"path": "data/", "max_sessions": 3}))
    };
    let (_backend, gateway) = world_with(change);
    for _ in 0..3 {
        log_in(&gateway, ALICE);
    }
    log_in(&gateway, BOB);
    gateway.login_request(BOB.name, BOB.secret).send().expect(503, "503-03");
}

#[test]
fn the_oldest_login_goes_in_a_cluster_too_and_the_store_forgets_which_logins_a_customer_had() {
    let node = RedisServer::with(&[("cluster-enabled", "yes")]);
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("the cluster is up", || node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let redis = json!({"redis": {"url": node.url(), "cluster": true}});
    let (_backend, gateway) =
        world_with(|c| all_kinds(c).set("/login/max_per_customer", json!(2)).set("/state", redis));
    gateway.is_ready();
    let mut logins = [0, 1, 2, 3, 4].map(|_| log_in(&gateway, ALICE));
    for gone in &logins[..3] {
        by_cookie(&gateway, gone).send().expect(401, "401-03");
        refresh(&gateway, gone).send().expect(400, "");
    }
    logins[3..].iter_mut().for_each(|login| is_live(&gateway, login));
    let keys = node.command(&["KEYS", "wg:c:*"]);
    assert_eq!(keys.lines().count(), 2, "{keys}");
    for key in keys.lines() {
        // The one that has just ended is taken out with the next.
        assert_eq!(node.command(&["ZCARD", key]), "3");
        assert!(node.command(&["TTL", key]).parse::<i64>().unwrap() > 0, "{key}");
    }
}

on_both_stores! {
    a_removed_account_takes_its_cookies_jwts_and_refresh_tokens_along
    another_password_ends_the_logins_by_the_old_one_and_other_claims_or_accounts_end_none
    an_account_that_names_another_customer_ends_the_logins_of_the_one_before
    a_login_ended_while_its_account_is_removed_stays_ended_when_the_account_returns
    the_oldest_login_of_a_customer_goes_when_there_are_too_many
    logins_that_ended_already_leave_room_for_others
    logins_of_one_customer_that_come_at_once_leave_as_many_as_there_may_be
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
