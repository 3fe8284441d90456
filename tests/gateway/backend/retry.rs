//! `retry`: requests that are sent to a backend a second time, and those that never are.

use crate::harness::*;

/// A gateway with one idle backend connection, which the backend closes as soon as it is used again.
fn with_a_dying_connection(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    // One worker, so that the second request finds the connection of the first.
    let (backend, gateway) = world_with(|c| change(c.set("/workers", json!(1))));
    backend.on("/public/x", Behaviour::CloseWhenReused);
    gateway.get("/public/x").send().ok();
    (backend, gateway)
}

#[test]
fn an_idempotent_request_on_a_dead_connection_is_sent_once_more() {
    for method in ["GET", "PUT", "DELETE"] {
        let (backend, gateway) = with_a_dying_connection(|c| c);
        gateway.request(method, "/public/x").send().ok();
        let seen = backend.requests();
        assert_eq!(seen.len(), 3, "{method}: the first, the one that died, and its repetition");
        assert_ne!(seen[1].connection, seen[2].connection);
    }
}

#[test]
fn a_post_is_not_sent_again_once_bytes_went_out() {
    let (backend, gateway) = with_a_dying_connection(|c| c);
    gateway.post("/public/x").body("pay").send().expect(502, "502-01");
    assert_eq!(backend.requests().iter().filter(|s| s.method == "POST").count(), 1);
}

#[test]
fn a_post_on_a_route_marked_safe_is_sent_again() {
    let (backend, gateway) = with_a_dying_connection(|c| c.route("public", "retry", json!("safe")));
    gateway.post("/public/x").body("ask").send().ok();
    let posts: Vec<_> = backend.requests().into_iter().filter(|s| s.method == "POST").collect();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[1].body, b"ask");
}

#[test]
fn never_means_that_a_request_whose_bytes_went_out_is_not_repeated() {
    let (backend, gateway) = with_a_dying_connection(|c| c.route("public", "retry", json!("never")));
    gateway.get("/public/x").send().expect(502, "502-01");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_backend_that_always_closes_is_asked_twice_at_most() {
    let (backend, gateway) = world();
    backend.on("/public/x", Behaviour::Close);
    gateway.get("/public/x").send().expect(502, "502-01");
    let asked = backend.requests().len();
    assert!(asked <= 2, "{asked} attempts");
}

#[test]
fn another_server_takes_over_when_nothing_was_sent() {
    let backend = Backend::start();
    let servers = json!(["http://127.0.0.1:9", backend.url()]);
    let gateway = Gateway::start(&Config::new(&backend).set("/backends/legacy/servers", servers));
    for _ in 0..4 {
        gateway.post("/public/x").body("x").send().ok();
    }
    assert_eq!(backend.requests().len(), 4);
}
