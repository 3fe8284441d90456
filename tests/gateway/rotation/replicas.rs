//! Rotation on replicas that share nothing but Redis: `rotate` says which file to copy where.

use crate::harness::redis::RedisServer;
use crate::harness::*;
use crate::rotation::keys::{run, shown};

/// Two replicas with directories and gateway.yaml files of their own, and one Redis.
fn replicas(redis: &RedisServer) -> (Backend, Gateway, Gateway) {
    let backend = Backend::start();
    let keys = [("certs/identifier.key", keys::key_file()), ("certs/cookie.key", keys::key_file())];
    let config = Config::new(&backend).cookies("both").set("/state/redis", json!({"url": redis.url()}));
    let config = keys.iter().fold(config, |config, (name, text)| config.file(name, text));
    let one = Gateway::start(&config);
    let other = Gateway::start(&config.set("/workers", json!(2)));
    one.is_ready();
    other.is_ready();
    (backend, one, other)
}

/// The file that is to be copied, as `rotate` names it.
#[track_caller]
fn file_to_copy(said: &str) -> std::path::PathBuf {
    let line = said.lines().find_map(|line| line.strip_prefix("  1. copy ")).unwrap_or_else(|| panic!("{said}"));
    line.split(" to the same path on each other replica").next().unwrap().into()
}

/// Copies it to the other replica, whose log then says that it has been taken up.
#[track_caller]
fn copy(said: &str, from: &Gateway, to: &Gateway) {
    let file = file_to_copy(said);
    let place = to.files.path.join(file.strip_prefix(&from.files.path).unwrap());
    let count = to.stderr.count();
    std::fs::copy(&file, place).unwrap();
    assert!(said.contains("2. it is read by itself"), "{said}");
    assert!(to.stderr.wait_after(count, |line| line["message"] == "reloaded").is_some());
}

/// The versions of a kind that `wicketgate keys` shows.
fn versions(gateway: &Gateway, kind: &str) -> Vec<String> {
    let lines = run(gateway, &["keys"]);
    let of_kind = lines.lines().filter(|line| line.starts_with(kind));
    of_kind.map(|line| line.split_whitespace().take(4).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_clients_new_secret_is_good_on_all_replicas_before_the_one_before_ends() {
    let redis = RedisServer::start();
    let (_backend, one, other) = replicas(&redis);
    let said = run(&one, &["rotate", "client-secret", CLIENT.name, "--overlap", "4s"]);
    let new = shown(&said);
    // The files differ, so the list is written there, as it is told.
    assert_eq!(file_to_copy(&said), one.files.config());
    let hashes: Vec<Value> = said
        .lines()
        .filter_map(|line| line.strip_prefix("       - "))
        .map(|item| serde_json::from_str(item).unwrap())
        .collect();
    assert_eq!(hashes.len(), 2, "{said}");
    assert!(said.contains("only now give the new one to whoever uses it"), "{said}");
    let mut text: Value = serde_json::from_str(&std::fs::read_to_string(other.files.config()).unwrap()).unwrap();
    text["clients"][0]["secrets"] = json!(hashes);
    other.files.write("gateway.yaml", &text.to_string());
    assert!(said.contains("2. send SIGHUP there"), "{said}");
    other.hup("reloaded");
    assert_eq!(versions(&one, "client_secret"), versions(&other, "client_secret"));
    for gateway in [&one, &other] {
        gateway.token_request(CLIENT.name, &new).send().ok();
    }
    let ended = |gateway: &Gateway| gateway.token_request(CLIENT.name, CLIENT.secret).send().status == 401;
    eventually("the secret before ends on both", || ended(&one) && ended(&other));
    for gateway in [&one, &other] {
        gateway.token_request(CLIENT.name, &new).send().ok();
    }
}

#[test]
fn keys_in_files_go_over_by_a_copy_of_the_file_that_is_named() {
    let redis = RedisServer::start();
    let (_backend, one, other) = replicas(&redis);
    for (kind, arguments) in [
        ("signing_key", &["rotate", "signing-key"][..]),
        ("cookie_key", &["rotate", "cookie-key"]),
        ("identifier_key", &["rotate", "identifier-key"]),
    ] {
        let said = run(&one, arguments);
        assert_ne!(versions(&one, kind), versions(&other, kind), "{kind}");
        copy(&said, &one, &other);
        assert_eq!(versions(&one, kind), versions(&other, kind), "{kind}");
        assert!(versions(&one, kind).iter().any(|line| line.contains("current")), "{kind}");
    }
    let said = run(&one, &["rotate", "api-key", "asapp-prod"]);
    assert_eq!(file_to_copy(&said), one.files.config());
    // What one replica gives, the other takes.
    let token = one.login(ALICE);
    other.get("/me/x").customer(&token).send().ok();
}

#[test]
fn where_no_replicas_share_a_state_nothing_is_said_of_them() {
    let (_backend, gateway) = world();
    let said = run(&gateway, &["rotate", "client-secret", CLIENT.name]);
    assert!(!said.contains("replica"), "{said}");
}
