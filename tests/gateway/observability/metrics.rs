//! Metrics and probes on the admin listener.

use crate::harness::*;

#[test]
fn metrics_and_probes_are_on_the_admin_address_only() {
    let (backend, gateway) = world();
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(gateway.admin(path).status, 200, "{path}");
        gateway.get(path).send().expect(404, "404-01");
    }
    assert_eq!(gateway.admin("/account/getprofile").status, 404);
    assert_eq!(gateway.admin("/public/x").status, 404);
    backend.assert_untouched();
}

#[test]
fn requests_are_counted_by_route_method_status_and_refusal() {
    let (_backend, gateway) = world();
    for _ in 0..3 {
        gateway.get("/public/x").send().ok();
    }
    gateway.get("/me/x").send().expect(401, "401-10");
    gateway.get("/nowhere").send().expect(404, "404-01");
    let total = "wicketgate_requests_total";
    gateway.expect_metric(total, &[("route", "public"), ("method", "GET"), ("status", "200")], 3.0);
    gateway.expect_metric(total, &[("route", "me"), ("status", "401")], 1.0);
    gateway.expect_metric(total, &[("status", "404")], 1.0);
    gateway.expect_metric("wicketgate_request_duration_seconds_count", &[("route", "public")], 3.0);
    gateway.expect_metric("wicketgate_requests_in_flight", &[], 0.0);
}

#[test]
fn logins_tokens_and_backend_failures_are_counted() {
    let (backend, gateway) = world();
    gateway.customer_token();
    gateway.client_token();
    gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    gateway.token_request(CLIENT.name, "wrong").send().expect(401, "");
    backend.on("/public/x", Behaviour::Close);
    gateway.post("/public/x").body("x").send().expect(502, "502-01");
    gateway.expect_metric("wicketgate_logins_total", &[], 2.0);
    gateway.expect_metric("wicketgate_tokens_total", &[], 2.0);
    assert!(gateway.metric("wicketgate_backend_failures_total", &[("backend", "legacy")]) >= 1.0);
}

#[test]
fn build_process_and_certificate_are_told() {
    let (_backend, gateway) = world();
    gateway.get("/public/x").send().ok();
    let text = gateway.metrics();
    for name in [
        "wicketgate_build_info",
        "wicketgate_certificate_expiry_timestamp_seconds",
        "process_resident_memory_bytes",
        "wicketgate_backend_duration_seconds_count",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} in\n{text}");
    }
    assert!(gateway.metric("wicketgate_certificate_expiry_timestamp_seconds", &[]) > 0.0);
}

#[test]
fn paths_methods_hosts_and_names_make_no_new_time_series() {
    let (_backend, gateway) = world();
    let visit = |n: usize| {
        gateway.get(&format!("/nowhere/{n}")).send();
        gateway.get(&format!("/public/{n}")).send();
        gateway.request(&format!("M{n}"), "/public/x").send();
        gateway.login_request(&format!("user-{n}"), "wrong").send();
        gateway.token_request(&format!("client-{n}"), "wrong").send();
        gateway.get("/public/x").replace("Host", &format!("host-{n}.test")).send();
    };
    let series = || gateway.metrics().lines().filter(|line| line.starts_with("wicketgate_")).count();
    (0..3).for_each(visit);
    let before = series();
    (3..10).for_each(visit);
    assert_eq!(series(), before);
}
