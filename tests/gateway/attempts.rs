//! A help desk sees who has failed to log in and must wait, and lifts that by name.

use crate::harness::*;

const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "203.0.113.9";

/// One failure is free, and callers say where they are.
fn strict(config: Config) -> Config {
    config
        .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
        .set("/login/attempts", json!({"free": 1, "free_per_address": 50, "delay": "5m"}))
        .set("/access_token/attempts", json!({"free": 1, "free_per_address": 50, "delay": "5m"}))
}

fn log_in(gateway: &Gateway, address: &str, name: &str, password: &str) -> Response {
    gateway.login_request(name, password).header("X-Forwarded-For", address).send()
}

/// Fails until the name is locked there.
#[track_caller]
fn lock(gateway: &Gateway, address: &str, name: &str) {
    for status in [401, 401, 429] {
        log_in(gateway, address, name, "wrong").expect(status, "");
    }
}

#[track_caller]
fn told(gateway: &Gateway, args: &[&str]) -> String {
    let (code, said, complained) = gateway.files.run(&[&["attempts"], args].concat());
    assert_eq!(code, 0, "{args:?}: {complained}");
    said
}

#[track_caller]
fn listed(gateway: &Gateway, args: &[&str]) -> Vec<Value> {
    serde_json::from_str(&told(gateway, &[&["list", "--json"], args].concat())).unwrap()
}

fn an_operator_lifts_the_locks_of_a_name_wherever_it_failed_and_no_others(store: &Store) {
    let (_backend, gateway) = store.world_with(strict);
    lock(&gateway, HOME, ALICE.name);
    lock(&gateway, ELSEWHERE, ALICE.name);
    lock(&gateway, HOME, BOB.name);
    let refused = log_in(&gateway, HOME, ALICE.name, ALICE.secret).expect(429, "429-02");
    let line = gateway.access_line(refused.header("X-Request-Id").unwrap());
    assert_eq!(line["refusal"], "login_locked", "{line}");
    let found = listed(&gateway, &["--login", ALICE.name]);
    assert_eq!(found.len(), 2, "{found:?}");
    for one in &found {
        assert_eq!((&one["attempt"], &one["failures"]), (&line["attempt"], &json!(2)), "{one}");
        assert!(one["wait"].as_u64().unwrap() > 200, "{one}");
    }
    // Beside these there are Bob's, and two networks.
    assert_eq!(listed(&gateway, &[]).len(), 5);
    assert!(told(&gateway, &["list"]).contains("(a network)"));
    // As people type it.
    let said = told(&gateway, &["clear", "login", " Alice "]);
    assert!(said.contains(line["attempt"].as_str().unwrap()) && said.contains(": 2 failure counts"), "{said}");
    assert!(listed(&gateway, &["--login", ALICE.name]).is_empty());
    for address in [HOME, ELSEWHERE] {
        log_in(&gateway, address, ALICE.name, ALICE.secret).ok();
    }
    log_in(&gateway, HOME, BOB.name, BOB.secret).expect(429, "429-02");
    assert!(told(&gateway, &["clear", "login", "nobody"]).contains(": 0 failure counts"));
    // It is written, and so is what was not lifted.
    let gateway = gateway.restart();
    log_in(&gateway, HOME, ALICE.name, ALICE.secret).ok();
    log_in(&gateway, HOME, BOB.name, BOB.secret).expect(429, "429-02");
    for line in gateway.stdout.all().iter().chain(&gateway.stderr.all()) {
        assert!(!line.contains("alice") && !line.contains("Alice"), "{line}");
    }
}

fn a_network_is_lifted_only_where_it_is_named(store: &Store) {
    let few = json!({"free": 5, "free_per_address": 1, "delay": "5m"});
    let (_backend, gateway) = store.world_with(|c| strict(c).set("/login/attempts", few));
    for name in ["one", "two"] {
        log_in(&gateway, HOME, name, "wrong").expect(401, "");
    }
    log_in(&gateway, HOME, ALICE.name, ALICE.secret).expect(429, "429-02");
    told(&gateway, &["clear", "login", ALICE.name]);
    told(&gateway, &["clear", "login", ALICE.name, "--from", ELSEWHERE]);
    log_in(&gateway, HOME, ALICE.name, ALICE.secret).expect(429, "429-02");
    told(&gateway, &["clear", "login", ALICE.name, "--from", HOME]);
    log_in(&gateway, HOME, ALICE.name, ALICE.secret).ok();
}

fn what_counts_by_name_alone_is_lifted_too(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| strict(c).set("/login/limits", json!({"rate": "1/m", "burst": 2})));
    for address in [HOME, ELSEWHERE] {
        log_in(&gateway, address, ALICE.name, "wrong").expect(401, "");
    }
    let there = "198.51.100.1";
    let refused = log_in(&gateway, there, ALICE.name, ALICE.secret).expect(429, "429-02");
    let line = gateway.access_line(refused.header("X-Request-Id").unwrap());
    assert_eq!((&line["refusal"], line["attempt"].is_string()), (&json!("login_rate"), true), "{line}");
    told(&gateway, &["clear", "login", ALICE.name]);
    log_in(&gateway, there, ALICE.name, ALICE.secret).ok();
}

fn a_client_is_lifted_by_its_id_and_not_by_that_of_a_user(store: &Store) {
    let (_backend, gateway) = store.world_with(strict);
    for (secret, status) in [("one", 401), ("two", 401), ("three", 429)] {
        gateway.token_request(CLIENT.name, secret).send().expect(status, "");
    }
    told(&gateway, &["clear", "login", CLIENT.name]);
    let refused = gateway.token_request(CLIENT.name, CLIENT.secret).send().expect(429, "");
    let line = gateway.access_line(refused.header("X-Request-Id").unwrap());
    assert_eq!(listed(&gateway, &["--client", CLIENT.name])[0]["attempt"], line["attempt"], "{line}");
    told(&gateway, &["clear", "client", CLIENT.name]);
    gateway.token_request(CLIENT.name, CLIENT.secret).send().ok();
}

on_both_stores! {
    an_operator_lifts_the_locks_of_a_name_wherever_it_failed_and_no_others
    a_network_is_lifted_only_where_it_is_named
    what_counts_by_name_alone_is_lifted_too
    a_client_is_lifted_by_its_id_and_not_by_that_of_a_user
}

#[test]
fn what_is_lifted_at_one_replica_is_lifted_at_all() {
    let store = Store::Redis(RedisServer::start());
    let backend = Backend::start();
    let config = strict(Config::new(&backend))
        .set("/login/limits", json!({"rate": "1/m", "burst": 2}))
        .file("certs/identifier.key", &keys::key_file());
    let gateways = [(); 2].map(|()| Gateway::start(&store.keeps(config.clone())));
    gateways.iter().for_each(Gateway::is_ready);
    let [one, other] = &gateways;
    log_in(one, HOME, ALICE.name, "wrong").expect(401, "");
    log_in(one, HOME, ALICE.name, "wrong").expect(401, "");
    let digest = |gateway: &Gateway| {
        let refused = log_in(gateway, HOME, ALICE.name, ALICE.secret).expect(429, "429-02");
        gateway.access_line(refused.header("X-Request-Id").unwrap())["attempt"].clone()
    };
    assert_eq!(digest(one), digest(other), "what stands for a name is the same everywhere");
    // Its limit by name alone is used up at one of them.
    log_in(one, ELSEWHERE, ALICE.name, ALICE.secret).expect(429, "429-02");
    told(other, &["clear", "login", ALICE.name]);
    log_in(other, HOME, ALICE.name, ALICE.secret).ok();
    eventually("it is lifted at the other replica", || {
        log_in(one, "198.51.100.3", ALICE.name, ALICE.secret).status == 200
    });
    log_in(one, HOME, ALICE.name, ALICE.secret).ok();
}

#[test]
fn nobody_can_try_names_by_what_stands_for_them_in_the_log() {
    let digest = || {
        let (_backend, gateway) = world_with(strict);
        let refused = log_in(&gateway, HOME, ALICE.name, "wrong").expect(401, "");
        gateway.access_line(refused.header("X-Request-Id").unwrap())["attempt"].clone()
    };
    // Another key of identifiers, as another company has.
    assert_ne!(digest(), digest());
    let (_backend, gateway) = world_with(strict);
    let good = log_in(&gateway, HOME, ALICE.name, ALICE.secret).ok();
    let line = gateway.access_line(good.header("X-Request-Id").unwrap());
    assert!(line.get("attempt").is_none(), "{line}");
}
