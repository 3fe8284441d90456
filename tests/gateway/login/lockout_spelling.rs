//! Lockout of user names in several spellings.

use super::lockout::{ATTACKER, ELSEWHERE, HOME, guess, log_in, usual};
use crate::harness::keys::argon2id;
use crate::harness::*;

const CAPITAL: Account = Account { name: "Bob", secret: "Bob-password", subject: "Bob" };
const SMALL: Account = Account { name: "bob", secret: "bob-password", subject: "bob" };

/// Accounts whose names differ in their spelling alone.
fn two_bobs(config: Config) -> Config {
    let account =
        |name: &str| json!({"username": name, "password": argon2id(&format!("{name}-password")), "subject": name});
    usual(config)
        .set("/login/accounts/file", json!("bobs.yaml"))
        .file("bobs.yaml", &json!([account("bob"), account("Bob")]).to_string())
}

fn a_login_under_another_spelling_forgives_nothing_and_one_under_the_same_does(store: &Store) {
    let attempts = json!({"free": 3, "free_per_address": 100, "delay": "5m"});
    let (_backend, gateway) = store.world_with(|c| two_bobs(c).set("/login/attempts", attempts));
    for _ in 0..4 {
        for _ in 0..3 {
            guess(&gateway, HOME, CAPITAL.name).expect(401, "401-04");
        }
        log_in(&gateway, HOME, CAPITAL).ok();
    }
    for _ in 0..3 {
        guess(&gateway, ATTACKER, SMALL.name).expect(401, "401-04");
    }
    log_in(&gateway, ATTACKER, CAPITAL).ok();
    guess(&gateway, ATTACKER, SMALL.name).expect(401, "401-04");
    guess(&gateway, ATTACKER, SMALL.name).expect(429, "429-02");
    // Nor where both spellings have failed.
    for name in [CAPITAL.name, SMALL.name, SMALL.name] {
        guess(&gateway, ELSEWHERE, name).expect(401, "401-04");
    }
    log_in(&gateway, ELSEWHERE, CAPITAL).ok();
    guess(&gateway, ELSEWHERE, SMALL.name).expect(401, "401-04");
    guess(&gateway, ELSEWHERE, SMALL.name).expect(429, "429-02");
}

fn a_successful_login_is_remembered_by_its_spelling_alone(store: &Store) {
    let few = json!({"rate": "1/m", "burst": 2});
    let (_backend, gateway) = store.world_with(|c| two_bobs(c).set("/login/limits", few));
    log_in(&gateway, HOME, CAPITAL).ok();
    for address in [ATTACKER, "198.51.100.2"] {
        guess(&gateway, address, SMALL.name).expect(401, "401-04");
    }
    guess(&gateway, HOME, SMALL.name).expect(429, "429-02");
    log_in(&gateway, HOME, SMALL).expect(429, "429-02");
    log_in(&gateway, HOME, CAPITAL).ok();
}

#[test]
fn a_name_that_is_folded_is_one_name_in_every_spelling() {
    let attempts = json!({"free": 3, "delay": "5m"});
    let (_backend, gateway) =
        world_with(|c| usual(c).set("/login/accounts/fold", json!(true)).set("/login/attempts", attempts));
    for _ in 0..4 {
        for name in [ALICE.name.to_uppercase(), format!(" {}", ALICE.name), ALICE.name.to_owned()] {
            guess(&gateway, HOME, &name).expect(401, "401-04");
        }
        log_in(&gateway, HOME, ALICE).ok();
    }
}

on_both_stores! {
    a_login_under_another_spelling_forgives_nothing_and_one_under_the_same_does
    a_successful_login_is_remembered_by_its_spelling_alone
}
