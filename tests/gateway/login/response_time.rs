//! Response times of failed logins: they do not tell which users and clients exist.

use super::lockout::{HOME, from, usual};
use crate::harness::keys::{argon2id, argon2id_in};
use crate::harness::*;
use std::thread;
use std::time::Instant;

#[test]
fn an_unknown_client_costs_one_hash_whatever_it_shows() {
    let secrets = json!([argon2id("one"), argon2id("two"), argon2id("three")]);
    let (_backend, gateway) = world_with(|c| usual(c).set("/clients/0/secrets", secrets));
    let costs = |id: &str| {
        let before = gateway.metric("wicketgate_password_hashes_total", &[]);
        let basic = format!("Basic {}", keys::base64(format!("{id}:wr%6fng").as_bytes()));
        let request = gateway.post("/oauth/access_token").header("Authorization", &basic);
        request.form("grant_type=client_credentials").send().expect(401, "");
        gateway.metric("wicketgate_password_hashes_total", &[]) - before
    };
    assert_eq!(costs("nobody"), 1.0);
    assert_eq!(costs(CLIENT.name), 6.0, "each secret in each reading");
}

#[test]
fn refusals_take_as_long_as_the_dearest_hash_whoever_is_named() {
    let accounts = json!([
        {"username": "dear", "password": argon2id_in("dear-password", 4 * 19_456), "subject": "account-1"},
        {"username": "cheap", "password": argon2id("cheap-password"), "subject": "account-2"},
    ]);
    let (_backend, gateway) = world_with(|c| {
        usual(c)
            .set("/login/accounts/file", json!("mixed.yaml"))
            .file("mixed.yaml", &accounts.to_string())
            .set("/clients/0/secrets", json!([argon2id("one"), argon2id("two"), argon2id("three")]))
    });
    let fastest = |times: usize, request: Request| {
        let mut connection = gateway.connect();
        let one = |_| {
            let start = Instant::now();
            request.send_on(&mut connection).expect(401, "");
            start.elapsed()
        };
        (0..times).map(one).min().unwrap()
    };
    let login = |name: &str| fastest(3, from(HOME, gateway.login_request(name, "wrong")));
    let dearest = login("dear");
    for name in ["cheap", "nobody"] {
        let took = login(name);
        assert!(took > dearest / 2, "{name}: {took:?}, the dearest: {dearest:?}");
    }
    // A secret that was wrong before costs nothing, whoever is named.
    let client = |id: &str| {
        let secrets = ["wrong1", "wrong2", "wrong3"];
        secrets.map(|secret| fastest(1, from(HOME, gateway.token_request(id, secret)))).into_iter().min().unwrap()
    };
    let dearest = client(CLIENT.name);
    for id in [OTHER_CLIENT.name, "nobody"] {
        let took = client(id);
        assert!(took > dearest / 2, "{id}: {took:?}, the dearest: {dearest:?}");
    }
}

#[test]
fn several_attempts_at_one_name_take_as_long_as_the_dearest_hash_each_whoever_is_named() {
    let accounts = json!([
        {"username": "dear", "password": argon2id_in("dear-password", 8 * 19_456), "subject": "account-1"},
        {"username": "cheap", "password": argon2id("cheap-password"), "subject": "account-2"},
    ]);
    let (_backend, gateway) = world_with(|c| {
        usual(c)
            .set("/login/accounts/file", json!("mixed.yaml"))
            .file("mixed.yaml", &accounts.to_string())
            .set("/clients/0/secrets", Value::from(vec![argon2id("one"); 10]))
    });
    let slowest = |request: &dyn Fn(&str) -> Request| {
        let start = Instant::now();
        let guesses: Vec<_> = (0..5)
            .map(|number| {
                let request = from(HOME, request(&format!("wrong{number}")));
                thread::spawn(move || request.send_patiently().expect(401, ""))
            })
            .collect();
        guesses.into_iter().for_each(|guess| drop(guess.join().unwrap()));
        start.elapsed()
    };
    let login = |name: &str| slowest(&|password| gateway.login_request(name, password));
    let (unknown, cheap) = (login("nobody"), login("cheap"));
    assert!(cheap > unknown / 2, "{cheap:?}, an unknown name: {unknown:?}");
    let client = |id: &str| slowest(&|secret| gateway.token_request(id, secret));
    let (known, unknown) = (client(CLIENT.name), client("nobody"));
    assert!(unknown > known / 2, "{unknown:?}, a client with many secrets: {known:?}");
}
