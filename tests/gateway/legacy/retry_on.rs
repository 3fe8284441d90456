//! `retry: {on: ...}`: requests that are sent again after a status.

use crate::harness::*;

fn retrying(config: Config, rules: Value) -> Config {
    let mut all = json!({"on": [502, 503], "backoff": "1ms"});
    all.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    config.route("public", "retry", all).set("/backends/legacy/retry_budget", json!(100))
}

/// One server, which always answers so, behind a route with these rules.
fn world_of(behaviour: Behaviour, rules: Value) -> (Backend, Gateway) {
    let (backend, gateway) = world_with(|config| retrying(config, rules).set("/workers", json!(1)));
    backend.on("/public/x", behaviour);
    (backend, gateway)
}

/// Two servers, of which the first answers so.
fn two_servers(behaviour: Behaviour, change: impl FnOnce(Config) -> Config) -> (Backend, Backend, Gateway) {
    let (bad, good) = (Backend::start(), Backend::start());
    bad.on("/public/x", behaviour);
    let config = retrying(Config::new(&bad), json!({"attempts": 1}));
    let config = config.set("/backends/legacy/servers", json!([bad.url(), good.url()]));
    let gateway = Gateway::start(&change(config));
    (bad, good, gateway)
}

#[test]
fn a_request_is_sent_again_to_another_server_after_a_status_in_on() {
    let never_ejected = |config: Config| config.set("/backends/legacy/outlier_detection/failures", json!(0));
    let (bad, good, gateway) = two_servers(Behaviour::status(503), never_ejected);
    for _ in 0..30 {
        assert_eq!(gateway.get("/public/x").send().ok().json(), json!({"ok": true}));
    }
    assert_eq!(good.requests().len(), 30);
    assert!(!bad.requests().is_empty(), "of thirty requests some began at the bad server");
}

#[test]
fn the_last_response_is_forwarded_when_all_attempts_are_used() {
    let (backend, gateway) = world_of(Behaviour::status(503), json!({"attempts": 3}));
    let response = gateway.get("/public/x").send().expect(503, "");
    assert_eq!(response.json(), json!({"from": "backend", "status": 503}));
    let seen = backend.requests();
    assert_eq!(seen.len(), 4, "once, and three times more");
    assert!(seen.iter().all(|s| s.connection == seen[0].connection), "responses that were read leave a connection");
    assert!(seen.iter().all(|s| s.lines == seen[0].lines));
    // Another status says nothing about another time.
    backend.forget();
    backend.on("/public/x", Behaviour::status(500));
    gateway.get("/public/x").send().expect(500, "");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn only_requests_that_may_be_sent_twice_and_are_at_hand_are_sent_again() {
    let (backend, gateway) = world_of(Behaviour::status(503), json!({"attempts": 1}));
    let times = |request: &Request| {
        backend.forget();
        request.send().expect(503, "");
        backend.requests().len()
    };
    assert_eq!(times(&gateway.post("/public/x").body("pay")), 1);
    assert_eq!(times(&gateway.request("DELETE", "/public/x")), 2);
    assert_eq!(times(&gateway.request("PUT", "/public/x").body("content")), 2);
    assert!(backend.requests().iter().all(|seen| seen.body == b"content"));
    assert_eq!(times(&gateway.request("PUT", "/public/x").body(vec![b'x'; 100_000])), 1, "too large to be held");
    let (backend, gateway) = world_of(Behaviour::status(503), json!({"attempts": 1, "requests": "safe"}));
    gateway.post("/public/x").body("ask").send().expect(503, "");
    assert_eq!(backend.requests().iter().map(|seen| &seen.body[..]).collect::<Vec<_>>(), [b"ask", b"ask"]);
}

#[test]
fn a_server_that_asks_for_more_time_than_there_is_is_not_asked_again() {
    for asked in ["120", "Fri, 27 Nov 2026 12:00:00 GMT", "soon"] {
        let busy = Behaviour::reply(503, &[("Retry-After", asked)], b"busy");
        let (backend, gateway) = world_of(busy, json!({}));
        let response = gateway.get("/public/x").send().expect(503, "");
        assert_eq!((response.header("Retry-After"), response.text().as_str()), (Some(asked), "busy"));
        assert_eq!(backend.requests().len(), 1, "{asked}");
    }
    let (backend, gateway) = world_of(Behaviour::reply(503, &[("Retry-After", "0")], b""), json!({}));
    gateway.get("/public/x").send().expect(503, "");
    assert_eq!(backend.requests().len(), 3);
}

#[test]
fn attempts_end_with_the_time_of_the_route() {
    let (backend, gateway) = world_with(|config| {
        retrying(config, json!({"backoff": "20s"})).route("public", "limits", json!({"timeout": "10s"}))
    });
    backend.on("/public/x", Behaviour::status(503));
    gateway.get("/public/x").send().expect(503, "");
    assert_eq!(backend.requests().len(), 1, "a pause of 10 s or more leaves no time");
}

#[test]
fn retries_are_paid_from_the_budget() {
    let (backend, gateway) =
        world_with(|config| retrying(config, json!({})).set("/backends/legacy/retry_budget", json!(0)));
    backend.on("/public/x", Behaviour::status(503));
    gateway.get("/public/x").send().expect(503, "");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn each_attempt_counts_for_outlier_detection() {
    let (bad, good, gateway) = two_servers(Behaviour::status(503), |config| {
        let rules = json!({"failures": 2, "base_ejection_time": "1h", "max_ejection_time": "1h"});
        config.set("/backends/legacy/outlier_detection", rules)
    });
    for _ in 0..40 {
        gateway.get("/public/x").send().ok();
    }
    assert_eq!(bad.requests().len(), 2, "the second failure ejects it");
    assert_eq!(good.requests().len(), 40);
}

#[test]
fn a_discarded_response_without_end_holds_nobody_up() {
    let endless = Behaviour::Staged(
        b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\nwait".to_vec(),
        Gate::default(),
        Vec::new(),
    );
    let (bad, good, gateway) =
        two_servers(endless, |config| config.set("/backends/legacy/outlier_detection/failures", json!(0)));
    for _ in 0..30 {
        gateway.get("/public/x").send().ok();
    }
    assert_eq!(good.requests().len(), 30);
    assert!(!bad.requests().is_empty());
}
