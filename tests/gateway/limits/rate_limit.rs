//! Rate limits of routes, quotas of API keys, and the callers that they leave alone.

use std::sync::Arc;
use std::thread;

use crate::harness::*;

#[test]
fn a_rate_limit_is_429_with_retry_after_and_counts_each_client_apart() {
    let (backend, gateway) = world_with(|c| c.route("system", "limits", json!({"rate": "1/m", "burst": 3})));
    let (first, second) = (gateway.token(CLIENT), gateway.token(OTHER_CLIENT));
    for _ in 0..3 {
        gateway.get("/system/x").bearer(&first).send().ok();
    }
    gateway.get("/system/x").bearer(&first).send().expect(429, "429-01");
    gateway.get("/system/x").bearer(&second).send().ok();
    gateway.get("/public/x").send().ok();
    assert_eq!(backend.requests_for("/system/x").len(), 4);
}

#[test]
fn a_rate_limit_can_count_customers_keys_and_addresses() {
    for per in ["customer", "address"] {
        let (_backend, gateway) =
            world_with(|c| c.route("me", "limits", json!({"rate": "1/m", "burst": 1, "per": per})));
        let (alice, bob) = (gateway.login(ALICE), gateway.login(BOB));
        gateway.get("/me/x").customer(&alice).send().ok();
        gateway.get("/me/x").customer(&alice).send().expect(429, "429-01");
        let other = gateway.get("/me/x").customer(&bob).send();
        assert_eq!(other.status, if per == "customer" { 200 } else { 429 }, "{per}");
    }
    let (_backend, gateway) =
        world_with(|c| c.route("key", "limits", json!({"rate": "1/m", "burst": 1, "per": "api_key"})));
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().expect(429, "429-01");
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
}

#[test]
fn answers_of_a_limited_route_say_what_is_left() {
    let (backend, gateway) = world_with(|c| c.route("me", "limits", json!({"rate": "60/m", "burst": 3})));
    backend.on("/me/x", Behaviour::Raw(client::answer(&[("RateLimit", "theirs")], "")));
    let token = gateway.customer_token();
    let call = || gateway.get("/me/x").customer(&token).send();
    for left in [2, 1, 0] {
        let answer = call().ok();
        assert_eq!(answer.header("RateLimit-Policy"), Some(r#""rate";q=3;w=3"#));
        assert!(
            answer.header("RateLimit").unwrap().starts_with(&format!(r#""rate";r={left};t="#)),
            "{:?}",
            answer.lines
        );
    }
    let answer = call().expect(429, "429-01");
    assert_eq!(answer.header("RateLimit"), Some(&*format!(r#""rate";r=0;t={}"#, answer.retry_after())));
    assert_eq!(gateway.get("/public/x").send().ok().header("RateLimit"), None);
}

/// A gateway whose first API key may make three calls a day and five a month.
fn with_quota(store: &Store) -> (Backend, Gateway) {
    store.world_with(|c| c.set("/api_keys/0/quota", json!({"day": 3, "month": 5})))
}

fn a_quota_of_an_api_key_ends_and_survives_a_restart(store: &Store) {
    let (_backend, gateway) = with_quota(store);
    let call = |gateway: &Gateway| gateway.get("/key/x").api_key(API_KEY).send();
    assert_eq!(
        call(&gateway).ok().header("RateLimit-Policy").map(|text| text.contains(r#""day";q=3;w=86400"#)),
        Some(true)
    );
    call(&gateway).ok();
    let (mut gateway, key) = (gateway, keys::TokenKey::generate());
    assert_eq!(gateway.terminate(), Some(0));
    let gateway = Gateway::start_in(Arc::clone(&gateway.files), key);
    gateway.is_ready();
    assert!(call(&gateway).ok().header("RateLimit").unwrap().starts_with(r#""day";r=0;t="#));
    let over = call(&gateway).expect(429, "429-03");
    assert!((1..=86_400).contains(&over.retry_after()));
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
}

fn a_noisy_caller_takes_nothing_from_the_quiet_ones(store: &Store) {
    let (_backend, gateway) =
        store.world_with(|c| c.route("key", "limits", json!({"rate": "5/m", "burst": 20, "per": "api_key"})));
    let noisy: Vec<_> = (0..4)
        .map(|_| {
            let request = gateway.get("/key/x").api_key(API_KEY);
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                (0..100).filter(|_| request.send_on(&mut connection).status == 200).count()
            })
        })
        .collect();
    for _ in 0..10 {
        gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
    }
    let passed: usize = noisy.into_iter().map(|caller| caller.join().unwrap()).sum();
    assert!((20..=22).contains(&passed), "{passed}");
}

on_both_stores! {
    a_quota_of_an_api_key_ends_and_survives_a_restart
    a_noisy_caller_takes_nothing_from_the_quiet_ones
}
