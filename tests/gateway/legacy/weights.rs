//! Several backends of a route.

use std::collections::HashSet;

use crate::harness::*;
use crate::websocket::tunnel::{backend as websocket_backend, open};

/// A stable backend and a canary behind all routes for customers, with these weights.
fn weighted(config: Config, canary: &Backend, weights: [u32; 2]) -> Config {
    let backends = json!([{"name": "legacy", "weight": weights[0]}, {"name": "canary", "weight": weights[1]}]);
    config
        .set("/backends/canary", json!({"servers": [canary.url()]}))
        .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
        .route("me", "backends", backends.clone())
        .without("/routes/1/backend")
        .route("public", "backends", backends)
        .without("/routes/4/backend")
}

fn world_of_weights(weights: [u32; 2]) -> (Backend, Backend, Gateway) {
    let canary = Backend::start();
    let (stable, gateway) = world_with(|config| weighted(config, &canary, weights));
    (stable, canary, gateway)
}

/// Callers of /public/ from these many addresses: those that reached the canary.
fn callers_of_canary(gateway: &Gateway, canary: &Backend, callers: u32) -> HashSet<u32> {
    let mut connection = gateway.connect();
    let mut reached = HashSet::new();
    for caller in 0..callers {
        let before = canary.requests().len();
        let address = format!("203.0.{}.{}", caller / 200, caller % 200);
        gateway.get("/public/x").header("X-Forwarded-For", &address).send_on(&mut connection).ok();
        if canary.requests().len() > before {
            reached.insert(caller);
        }
    }
    reached
}

#[test]
fn callers_are_shared_by_weight_and_stay_where_they_are() {
    let (stable, canary, gateway) = world_of_weights([3, 1]);
    let first = callers_of_canary(&gateway, &canary, 200);
    // The binomial distribution has less than one in a billion outside; and the hash is the same each time.
    assert!((15..=90).contains(&first.len()), "{} of 200", first.len());
    assert_eq!(stable.requests().len() + canary.requests().len(), 200);
    assert_eq!(callers_of_canary(&gateway, &canary, 200), first, "each caller again at the same backend");
    // Also after a restart, and in another replica.
    let other = Gateway::start(&weighted(Config::new(&stable), &canary, [3, 1]));
    assert_eq!(callers_of_canary(&other, &canary, 200), first);
}

#[test]
fn a_change_of_weights_moves_only_as_many_callers_as_it_must() {
    let (stable, canary, gateway) = world_of_weights([9, 1]);
    let few = callers_of_canary(&gateway, &canary, 200);
    gateway.reload(&weighted(Config::new(&stable), &canary, [3, 1]), "reloaded");
    let more = callers_of_canary(&gateway, &canary, 200);
    assert!(few.is_subset(&more) && more.len() > few.len(), "{few:?} {more:?}");
    gateway.reload(&weighted(Config::new(&stable), &canary, [1, 0]), "reloaded");
    assert_eq!(callers_of_canary(&gateway, &canary, 200), HashSet::new(), "a drained one gets nobody");
    gateway.reload(&weighted(Config::new(&stable), &canary, [9, 1]), "reloaded");
    assert_eq!(callers_of_canary(&gateway, &canary, 200), few);
}

#[test]
fn a_customer_reaches_the_same_backend_from_everywhere() {
    let (stable, canary, gateway) = world_of_weights([1, 1]);
    for account in [ALICE, BOB] {
        let token = gateway.login(account);
        stable.forget();
        canary.forget();
        for caller in 0..20 {
            let address = format!("203.0.113.{caller}");
            gateway.get("/me/x").header("X-Forwarded-For", &address).customer(&token).send().ok();
        }
        let reached = [stable.requests().len(), canary.requests().len()];
        assert!(reached == [20, 0] || reached == [0, 20], "{} at {reached:?}", account.name);
        let seen = [stable.requests(), canary.requests()].concat();
        let names: HashSet<&str> = seen.iter().map(|seen| seen.header("X-Customer-Id").unwrap()).collect();
        assert_eq!(names.len(), 1, "and by the same name");
    }
}

#[test]
fn log_and_metrics_name_the_backend_that_was_chosen() {
    let (_stable, canary, gateway) = world_of_weights([0, 1]);
    let answer = gateway.get("/public/x").send().ok();
    canary.only();
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["backend"], "canary");
    gateway.expect_metric("wicketgate_backend_duration_seconds_count", &[("backend", "canary")], 1.0);
    gateway.expect_metric("wicketgate_backend_duration_seconds_count", &[("backend", "legacy")], 0.0);
    // A route with one backend has no such member.
    let answer = gateway.get("/system/x").bearer(&gateway.client_token()).send().ok();
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap()).get("backend"), None);
    assert!(gateway.admin("/").text().contains(">canary 1</td>"), "{}", gateway.admin("/").text());
}

#[test]
fn what_belongs_to_a_backend_is_that_of_the_chosen_one() {
    let canary = Backend::start();
    let (stable, gateway) = world_with(|config| {
        weighted(config, &canary, [0, 1])
            .set("/backends/canary/request_headers", json!({"set": {"X-Tier": "canary"}}))
            .set("/backends/canary/response_headers", json!({"set": {"X-Tier": "canary"}}))
            .set("/backends/legacy/request_headers", json!({"set": {"X-Tier": "stable"}}))
    });
    let answer = gateway.get("/public/x").header("X_Tier", "mine").header("X-Tier", "mine").send().ok();
    assert_eq!(answer.header("X-Tier"), Some("canary"));
    let seen = canary.only();
    assert_eq!((seen.all("X-Tier"), seen.all("X_Tier")), (vec!["canary"], vec![]));
    // One that is away is not replaced by the other: a canary's faults are those of its callers alone.
    canary.stop();
    gateway.get("/public/x").send().expect_one_of(&[502, 503]);
    stable.assert_untouched();
}

#[test]
fn a_websocket_stays_at_its_backend_when_weights_change() {
    let (address, other) = websocket_backend();
    let stable = Backend::start();
    let config = |weights: Value| {
        Config::new(&stable)
            .set("/backends/live", json!({"servers": [format!("http://{address}")]}))
            .route("public", "websocket", json!(true))
            .route("public", "limits", json!({"recheck": "100ms"}))
            .route("public", "backends", weights)
            .without("/routes/4/backend")
    };
    let gateway = Gateway::start(&config(json!([{"name": "legacy", "weight": 0}, {"name": "live", "weight": 1}])));
    let (mut caller, mut live) = open(&gateway, &other, gateway.get("/public/live"));
    gateway.reload(&config(json!([{"name": "legacy", "weight": 1}, {"name": "live", "weight": 0}])), "reloaded");
    gateway.get("/public/x").send().ok();
    stable.only();
    caller.send(b"x");
    assert_eq!(live.stream.exact(1).unwrap(), b"x");
}
