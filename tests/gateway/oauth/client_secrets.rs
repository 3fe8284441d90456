//! Client secrets: a known one costs no hash, and is refused the moment it ends.

use std::time::{Duration, Instant};

use crate::harness::keys::{argon2id, now};
use crate::harness::*;

/// How many logins and calls of clients have been hashed.
fn hashed(gateway: &Gateway) -> f64 {
    gateway.metric("wicketgate_password_hashes_total", &[])
}

#[track_caller]
fn asks(gateway: &Gateway, secret: &str, status: u16) {
    gateway.token_request(CLIENT.name, secret).send().expect(status, "");
}

/// `2026-12-01T00:00:00Z`, so many seconds from now.
fn in_seconds(seconds: u64) -> String {
    let at = format!("@{}", now() + seconds);
    let output = program("date", "coreutils", &["-u", "-d", &at, "+%Y-%m-%dT%H:%M:%SZ"]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_secret_that_was_right_once_is_not_hashed_again_and_a_wrong_one_is_not_either() {
    let (_backend, gateway) = world();
    asks(&gateway, CLIENT.secret, 200);
    assert_eq!(hashed(&gateway), 1.0);
    for _ in 0..5 {
        asks(&gateway, CLIENT.secret, 200);
    }
    let basic = format!("Basic {}", keys::base64(format!("{}:{}", CLIENT.name, CLIENT.secret).as_bytes()));
    let by_basic = gateway.post("/oauth/access_token").header("Authorization", &basic);
    by_basic.form("grant_type=client_credentials").send().ok();
    assert_eq!(hashed(&gateway), 1.0, "whatever the method");
    let mut cost = 1.0;
    for round in 0..2 {
        for (id, secret) in [(CLIENT.name, "wrong"), (OTHER_CLIENT.name, CLIENT.secret), ("nobody", CLIENT.secret)] {
            gateway.token_request(id, secret).send().expect(401, "");
            cost += if round == 0 { 1.0 } else { 0.0 };
            assert_eq!(hashed(&gateway), cost, "{id}");
        }
    }
    let used = [("kind", "client_secret"), ("id", CLIENT.name)];
    assert!(gateway.metric("wicketgate_key_last_used_timestamp_seconds", &used) > 1e9);
}

#[test]
fn a_known_secret_survives_a_reload_and_not_its_removal_replacement_or_move_to_another_client() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    asks(&gateway, CLIENT.secret, 200);
    gateway.reload(&config.clone().set("/access_token/lifetime", json!("1h")), "reloaded");
    asks(&gateway, CLIENT.secret, 200);
    assert_eq!(hashed(&gateway), 1.0);
    let hash = argon2id(CLIENT.secret);
    let replaced = config.clone().set("/clients/0/secrets", json!([argon2id("another-secret")]));
    gateway.reload(&replaced, "reloaded");
    asks(&gateway, CLIENT.secret, 401);
    // Under another client's name the same hash proves the other client, and is found out anew.
    let before = hashed(&gateway);
    gateway.reload(&replaced.set("/clients/1/secrets", json!([hash])), "reloaded");
    asks(&gateway, CLIENT.secret, 401);
    gateway.token_request(OTHER_CLIENT.name, CLIENT.secret).send().ok();
    assert_eq!(hashed(&gateway), before + 1.0);
}

#[test]
fn a_known_secret_is_refused_in_the_second_in_which_it_ends() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    asks(&gateway, CLIENT.secret, 200);
    let ends = format!("{} until {}", argon2id(CLIENT.secret), in_seconds(2));
    gateway.reload(&config.set("/clients/0/secrets", json!([ends])), "reloaded");
    let until = Instant::now() + DEADLINE;
    while gateway.token_request(CLIENT.name, CLIENT.secret).send().status == 200 {
        assert_eq!(hashed(&gateway), 1.0);
        assert!(Instant::now() < until, "it never ends");
        std::thread::sleep(Duration::from_millis(20));
    }
    asks(&gateway, CLIENT.secret, 401);
}
