//! `mode: observe`: every check runs, nothing is refused, and callers still cannot set the identity.

use crate::harness::*;

fn observing() -> (Backend, Gateway) {
    world_with(|c| c.route("profile", "mode", json!("observe")))
}

#[test]
fn observe_lets_through_what_enforce_would_refuse_and_says_so() {
    let (backend, gateway) = observing();
    gateway.post("/account/x").header("X-Request-Id", "bare").send().ok();
    gateway.profile().replace("api-key", "unknown").header("X-Request-Id", "key").send().ok();
    gateway.profile().header("X-Request-Id", "good").send().ok();
    assert_eq!(backend.requests().len(), 3);
    let bare = gateway.access_line("bare");
    assert_eq!(bare["status"], 200);
    assert!(bare.to_string().contains("observe") && !gateway.access_line("good")["observed"].is_string(), "{bare}");
}

#[test]
fn a_caller_cannot_say_who_he_is_in_observe_mode_either() {
    let (backend, gateway) = observing();
    for name in ["X-Customer-Id", "x_customer_id", "X-CUSTOMER_ID"] {
        gateway.post("/account/x").header(name, "admin").send().ok();
        gateway.profile().replace("customer-auth", "JWT garbage").header(name, "admin").send().ok();
    }
    for seen in backend.requests() {
        assert!(!seen.lines.iter().any(|(_, v)| v == "admin"), "{:?}", seen.lines);
    }
}

#[test]
fn observe_opens_no_other_route_and_still_refuses_what_is_no_http() {
    let (backend, gateway) = observing();
    gateway.get("/me/x").send().expect(401, "401-10");
    gateway.get("/account/x").send().expect(405, "405-01");
    gateway.post("/account/../me/x").send().expect(400, "400-01");
    backend.assert_untouched();
}
