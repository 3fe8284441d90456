//! Lockout of clients after wrong secrets and assertions: it hits the one who fails, and nobody elsewhere.

use super::private_key_jwt::{SIGNER, TOKEN, ask, assertion, claims, form, in_file, refused, with_signer};
use crate::harness::identity_provider::IdentityProvider;
use crate::harness::keys::{TokenKey, argon2id};
use crate::harness::*;
use crate::login::lockout::{ATTACKER, ELSEWHERE, Flood, HOME, from, token, usual};

fn calls_with_a_wrong_secret_do_not_keep_the_client_out_elsewhere(store: &Store) {
    let (_backend, gateway) = store.world_with(usual);
    let flood = Flood::of(8, |_| from(ATTACKER, gateway.token_request(CLIENT.name, "wrong")));
    eventually("the flood is under way", || flood.answers() > 600);
    for _ in 0..25 {
        token(&gateway, HOME, CLIENT.secret).ok();
    }
    for _ in 0..5 {
        let form = format!("client_id={}&client_secret={}&token=x", CLIENT.name, CLIENT.secret);
        from(ELSEWHERE, gateway.post("/oauth/introspect").form(&form)).send().ok();
    }
}

#[test]
fn a_known_secret_passes_where_others_are_locked_and_guesses_there_come_to_an_end() {
    let attempts = json!({"free": 2, "delay": "5m"});
    let (_backend, gateway) = world_with(|c| usual(c).set("/access_token/attempts", attempts));
    token(&gateway, HOME, CLIENT.secret).ok();
    for number in 0..3 {
        token(&gateway, HOME, &format!("wrong{number}")).expect(401, "");
    }
    token(&gateway, HOME, "another").expect(429, "");
    token(&gateway, HOME, CLIENT.secret).ok();
    // Somebody goes on guessing from there: what he learns nothing from is not even looked at.
    for number in 0..20 {
        token(&gateway, HOME, &format!("guess{number}")).expect(429, "");
    }
    token(&gateway, HOME, CLIENT.secret).expect(429, "");
    token(&gateway, ELSEWHERE, CLIENT.secret).ok();
}

#[test]
fn an_instance_with_an_old_secret_behind_the_same_address_counts_once_and_shuts_no_other_out() {
    let attempts = json!({"free": 2, "free_per_address": 8, "delay": "5m"});
    let (_backend, gateway) = world_with(|c| usual(c).set("/access_token/attempts", attempts));
    token(&gateway, HOME, CLIENT.secret).ok();
    let hashed = || gateway.metric("wicketgate_password_hashes_total", &[]);
    let before = hashed();
    for _ in 0..20 {
        token(&gateway, HOME, "old").expect(401, "");
        from(HOME, gateway.token_request("nobody", "old")).send().expect(401, "");
    }
    assert_eq!(hashed() - before, 2.0);
    // New guesses count, and lock the name.
    for number in 0..2 {
        token(&gateway, HOME, &format!("wrong{number}")).expect(401, "");
    }
    token(&gateway, HOME, "another").expect(429, "");
    for _ in 0..20 {
        token(&gateway, HOME, "old").expect(401, "");
        token(&gateway, HOME, CLIENT.secret).ok();
    }
}

#[test]
fn a_secret_that_was_wrong_is_right_once_it_is_the_clients() {
    let backend = Backend::start();
    let config = usual(Config::new(&backend));
    let gateway = Gateway::start(&config);
    token(&gateway, HOME, "the-next").expect(401, "");
    gateway.reload(&config.set("/clients/0/secrets", json!([argon2id("the-next")])), "reloaded");
    token(&gateway, HOME, "the-next").ok();
    token(&gateway, HOME, CLIENT.secret).expect(401, "");
}

#[test]
fn the_access_log_names_the_known_client_whose_secret_is_wrong_and_no_unknown_one() {
    let (_backend, gateway) = world_with(usual);
    for (id, logged) in [(CLIENT.name, json!(CLIENT.name)), ("nobody", json!(null))] {
        let answer = gateway.token_request(id, "wrong").send().expect(401, "");
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["client"], logged, "{line}");
    }
}

/// Two failures are free, and what locks does so for longer than any test.
fn locking(config: Config) -> Config {
    config.set("/access_token/attempts", json!({"free": 2, "delay": "5m"}))
}

fn forged() -> String {
    assertion(&TokenKey::generate(), |_| {})
}

/// So many at once, each on its own connection; their statuses.
fn all_at_once(request: &Request, times: usize) -> Vec<u16> {
    let all: Vec<_> = (0..times)
        .map(|_| {
            let request = request.clone();
            std::thread::spawn(move || request.send().status)
        })
        .collect();
    all.into_iter().map(|one| one.join().unwrap()).collect()
}

#[test]
fn assertions_that_are_wrong_are_counted_as_wrong_secrets_are() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|config| locking(in_file(config, &[key.jwk("one")])));
    for _ in 0..3 {
        refused(&gateway, ask(&gateway, &forged()), "client_assertion_signature");
    }
    let answer = ask(&gateway, &forged()).expect(429, "");
    assert!(answer.header("Retry-After").is_some());
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["refusal"], "token_locked");
    gateway.token_request(CLIENT.name, CLIENT.secret).send().ok();
}

fn a_client_that_signs_is_not_locked_out_by_what_others_forge_under_its_name_where_it_is(store: &Store) {
    let key = TokenKey::generate();
    let attempts = json!({"free": 2, "free_per_address": 2, "delay": "5m"});
    let (_backend, gateway) =
        store.world_with(|config| in_file(config, &[key.jwk("one")]).set("/access_token/attempts", attempts));
    let junk = |status| {
        ask(&gateway, &forged()).expect(status, "");
        let unknown = TokenKey::generate().sign(&json!({"alg": "ES256", "kid": "other"}), &claims());
        ask(&gateway, &unknown).expect(status, "");
        ask(&gateway, &assertion(&key, |claims| claims["iss"] = json!("nobody"))).expect(status, "");
    };
    junk(401);
    junk(429);
    for _ in 0..3 {
        let token = ask(&gateway, &assertion(&key, |_| {})).ok().json()["access_token"].as_str().unwrap().to_owned();
        for path in ["/oauth/introspect", "/oauth/revoke"] {
            let with = |assertion: &str| gateway.post(path).form(&format!("token={token}&{}", form(assertion))).send();
            with(&assertion(&key, |_| {})).ok();
            with(&forged()).expect(429, "");
        }
        // What is right lifts nothing from what is wrong.
        junk(429);
    }
}

fn concurrent_uses_of_one_assertion_give_one_token_and_lock_neither_client_nor_network(store: &Store) {
    let key = TokenKey::generate();
    let attempts = json!({"free": 2, "free_per_address": 2, "delay": "5m"});
    let (_backend, gateway) =
        store.world_with(|config| in_file(config, &[key.jwk("one")]).set("/access_token/attempts", attempts));
    let first = assertion(&key, |_| {});
    let request = gateway.post(TOKEN).form(&format!("grant_type=client_credentials&{}", form(&first)));
    let statuses = all_at_once(&request, 16);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 401].contains(status)), "{statuses:?}");
    for _ in 0..3 {
        ask(&gateway, &assertion(&key, |_| {})).ok();
        refused(&gateway, ask(&gateway, &first), "client_assertion_used");
    }
    // A secret that nobody has shown before is looked at.
    gateway.token_request(CLIENT.name, CLIENT.secret).send().ok();
    // What nobody has signed with its key is counted all the same.
    for status in [401, 401, 401, 429] {
        ask(&gateway, &forged()).expect(status, "");
    }
    refused(&gateway, ask(&gateway, &first), "client_assertion_used");
}

#[test]
fn a_client_with_keys_and_a_secret_signs_its_way_past_a_lock_and_does_not_lift_it_for_who_guesses_its_secret() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|config| {
        locking(in_file(config, &[key.jwk("one")])).set("/clients/2/secrets", json!([keys::argon2id(CLIENT.secret)]))
    });
    for number in 0..3 {
        gateway.token_request(SIGNER, &format!("wrong{number}")).send().expect(401, "");
    }
    for _ in 0..3 {
        ask(&gateway, &assertion(&key, |_| {})).ok();
        gateway.token_request(SIGNER, "another").send().expect(429, "");
    }
    // Nobody has seen the right one before the lock.
    gateway.token_request(SIGNER, CLIENT.secret).send().expect(429, "");
}

#[test]
fn junk_that_names_unknown_keys_has_keys_fetched_no_more_often_than_the_cooldown_allows_also_in_a_lock() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = world_with(|config| locking(with_signer(config, json!(provider.jwks_url()))));
    ask(&gateway, &assertion(&key, |_| {})).ok();
    let begun = std::time::Instant::now();
    let mut locked = 0;
    for number in 0..100 {
        let unknown = TokenKey::generate().sign(&json!({"alg": "ES256", "kid": format!("no{number}")}), &claims());
        let status = ask(&gateway, &unknown).status;
        assert!([401, 429].contains(&status), "{status}");
        locked += usize::from(status == 429);
    }
    assert_eq!(locked, 97);
    // One before the first call, and one in each 30 s.
    let allowed = 2 + usize::try_from(begun.elapsed().as_secs() / 30).unwrap();
    assert!(provider.asked() <= allowed, "{} fetches", provider.asked());
    ask(&gateway, &assertion(&key, |_| {})).ok();
}

on_both_stores! {
    calls_with_a_wrong_secret_do_not_keep_the_client_out_elsewhere
    a_client_that_signs_is_not_locked_out_by_what_others_forge_under_its_name_where_it_is
    concurrent_uses_of_one_assertion_give_one_token_and_lock_neither_client_nor_network
}
