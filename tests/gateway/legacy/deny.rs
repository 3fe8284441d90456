//! `routes[].deny` and `routes[].allow`.

use crate::forward_auth::decisions::{asked_with, plainly, question};
use crate::harness::*;
use crate::websocket::tunnel::{backend, open, with_websockets};

/// Callers name themselves, and the route of the customer lets some networks in.
fn bounded(config: Config) -> Config {
    config
        .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
        .route("me", "allow", json!(["203.0.113.0/24", "2001:db8::/32"]))
        .route("me", "deny", json!(["203.0.113.66/32"]))
        .route("public", "deny", json!(["203.0.113.66/32"]))
}

#[test]
fn a_denied_address_gets_403_on_that_route_before_any_credential_is_looked_at() {
    let (backend, gateway) = world_with(bounded);
    let from = |address: &str, target: &str| gateway.get(target).header("X-Forwarded-For", address);
    for (target, denied) in [("/me/x", "203.0.113.66"), ("/me/x", "198.51.100.7"), ("/public/x", "203.0.113.66")] {
        // With a good credential, a bad one, and none.
        from(denied, target).customer(&gateway.customer_token()).send().expect(403, "403-04");
        from(denied, target).customer("nonsense").send().expect(403, "403-04");
        let answer = from(denied, target).send().expect(403, "403-04");
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!((&line["refusal"], &line["client_address"]), (&json!("address_not_allowed"), &json!(denied)));
        assert_eq!(line["route"], target.split('/').nth(1).unwrap());
    }
    backend.assert_untouched();
    from("203.0.113.7", "/me/x").customer(&gateway.customer_token()).send().ok();
    from("2001:db8::7", "/me/x").customer(&gateway.customer_token()).send().ok();
    from("203.0.113.7", "/me/x").send().expect(401, "401-10");
    from("198.51.100.7", "/public/x").send().ok();
}

#[test]
fn a_denied_address_is_denied_also_where_the_route_only_observes() {
    let (backend, gateway) = world_with(|config| bounded(config).route("me", "mode", json!("observe")));
    gateway.get("/me/x").header("X-Forwarded-For", "203.0.113.66").send().expect(403, "403-04");
    backend.assert_untouched();
    gateway.get("/me/x").header("X-Forwarded-For", "203.0.113.7").send().ok();
}

#[test]
fn a_slash_less_does_not_lead_around_the_networks_of_a_route() {
    let (backend, gateway) = world_with(|config| {
        let admin = json!({"name": "admin", "path": "/public/admin/", "methods": ["GET"], "public": true,
            "deny": ["127.0.0.0/8"], "backend": "legacy"});
        config.add_route(admin)
    });
    gateway.get("/public/admin/").send().expect(403, "403-04");
    gateway.get("/public/admin").send().expect(403, "403-04");
    backend.assert_untouched();
    gateway.get("/public/administrator").send().ok();
}

#[test]
fn a_denied_address_is_denied_also_where_another_proxy_asks() {
    let (_, _gateway, plain) = asked_with(|config| config.route("public", "deny", json!(["198.51.100.0/24"])));
    let from = |address: &str| plainly(&question(plain, "GET", "/public/x").replace("X-Forwarded-For", address));
    from("198.51.100.7").expect(403, "403-04");
    from("203.0.113.7").ok();
}

#[test]
fn a_websocket_ends_when_its_route_no_longer_lets_its_caller_in() {
    let (address, backend) = backend();
    let config = || {
        with_websockets(Config::with_server(&format!("http://{address}")))
            .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
            .route("public", "limits", json!({"recheck": "100ms"}))
    };
    let gateway = Gateway::start(&config());
    let from = |caller: &str, id: &str| {
        let request = gateway.get("/public/live").header("X-Forwarded-For", caller).header("X-Request-Id", id);
        open(&gateway, &backend, request)
    };
    let (mut gone, _first) = from("203.0.113.7", "gone");
    let (mut staying, mut stays) = from("198.51.100.7", "stays");
    gateway.reload(&config().route("public", "deny", json!(["203.0.113.0/24"])), "reloaded");
    assert!(gone.closes());
    assert_eq!(gateway.access_line("gone")["refusal"], "address_not_allowed");
    staying.send(b"x");
    assert_eq!(stays.stream.exact(1).unwrap(), b"x", "the other one goes on");
}
