//! TLS towards backends: verification of the certificate, and the client certificate of the gateway.

use std::sync::Arc;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

use crate::harness::keys::{Pair, certificate, expired, self_signed};
use crate::harness::*;

/// A gateway whose backend is another gateway, over TLS with this certificate.
fn chain(shown: &Pair, tls: Value, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway, Gateway) {
    let (backend, inner) =
        world_with(|c| change(c.file("certs/server.pem", &shown.certificate).file("certs/server.key", &shown.key)));
    let config = Config::with_server(&format!("https://localhost:{}", inner.address.port()));
    let outer = Gateway::start(&config.set("/backends/legacy/tls", tls));
    (backend, inner, outer)
}

fn ca() -> Value {
    json!({"ca": "certs/ca.pem"})
}

#[test]
fn a_backend_whose_certificate_is_not_good_is_502_and_gets_no_request() {
    let right = certificate(&["localhost"], ServerAuth);
    let cases = [
        ("self-signed", self_signed(&["localhost"]), "UnknownIssuer"),
        ("of another name", certificate(&["other.test"], ServerAuth), "not valid for name"),
        ("expired", expired(&["localhost"]), "expired"),
        ("of a client", certificate(&["localhost"], ClientAuth), "invalid peer certificate"),
        ("good", right, ""),
    ];
    for (what, shown, why) in cases {
        let (backend, _inner, outer) = chain(&shown, ca(), |c| c);
        let answer = outer.post("/public/x").body("secret").send();
        if why.is_empty() {
            answer.ok();
            assert_eq!(backend.only().body, b"secret");
            continue;
        }
        answer.expect(502, "502-01");
        backend.assert_untouched();
        outer.expect_metric("wicketgate_backend_failures_total", &[("kind", "tls")], 1.0);
        let line =
            outer.stderr.wait(|line| line["message"] == "request to a backend server failed" && line["doing"] == "tls");
        let line = line.unwrap_or_else(|| panic!("{what}"));
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{what}: {line}");
    }
}

#[test]
fn another_name_can_be_asked_for() {
    let shown = certificate(&["legacy.internal"], ServerAuth);
    let (backend, _inner, outer) =
        chain(&shown, json!({"ca": "certs/ca.pem", "server_name": "legacy.internal"}), |c| c);
    outer.get("/public/x").send().ok();
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn any_certificate_is_taken_only_where_that_danger_is_asked_for_and_then_each_start_says_so() {
    let shown = self_signed(&["other.test"]);
    let (backend, _inner, outer) = chain(&shown, json!({"danger_accept_any_certificate": true}), |c| c);
    outer.get("/public/x").send().ok();
    assert_eq!(backend.requests().len(), 1);
    let said = |line: &Value| {
        line["level"] == "WARN"
            && line["message"].as_str().unwrap_or_default().contains("danger_accept_any_certificate")
    };
    assert!(outer.stderr.wait(said).is_some());
    let from = outer.stderr.count();
    outer.hup("reloaded");
    assert!(outer.stderr.wait_after(from.saturating_sub(1), said).is_some());
}

#[test]
fn a_backend_that_asks_for_a_certificate_gets_ours() {
    let ours = certificate(&["gateway"], ClientAuth);
    let demand = |c: Config| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("required"))
    };
    let (backend, inner) = world_with(demand);
    let server = format!("https://localhost:{}", inner.address.port());
    let tls = json!({"ca": "certs/ca.pem", "certificate": "certs/ours.pem", "private_key": "certs/ours.key"});
    let config =
        Config::with_server(&server).file("certs/ours.pem", &ours.certificate).file("certs/ours.key", &ours.key);
    let outer = Gateway::start(&config.clone().set("/backends/legacy/tls", tls));
    outer.get("/public/x").send().ok();
    assert_eq!(backend.requests().len(), 1);
    let without = Gateway::start_in(
        Arc::new(gateway::Workspace::new(&config.set("/backends/legacy/tls", ca()))),
        keys::TokenKey::generate(),
    );
    without.get("/public/x").send().expect(502, "502-01");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_certificate_of_a_backend_that_is_replaced_is_believed_after_a_reload_of_the_ca() {
    let (backend, inner, outer) = chain(&self_signed(&["localhost"]), ca(), |c| c);
    outer.get("/public/x").send().expect(502, "502-01");
    let good = certificate(&["localhost"], ServerAuth);
    inner.files.write("certs/server.pem", &good.certificate);
    inner.files.write("certs/server.key", &good.key);
    inner.hup("reloaded");
    outer.get("/public/x").send().ok();
    assert_eq!(backend.requests().len(), 1);
}

/// A gateway whose backend is another gateway, over TLS.
fn behind_tls(ca: bool) -> (Backend, Gateway, Gateway) {
    let (backend, inner) = world();
    let config = Config::with_server(&format!("https://localhost:{}", inner.address.port()));
    let config = if ca { config.set("/backends/legacy/tls", json!({"ca": "certs/ca.pem"})) } else { config };
    let outer = Gateway::start(&config);
    (backend, inner, outer)
}

#[test]
fn a_backend_over_tls_is_asked_when_its_certificate_is_good() {
    let (backend, _inner, outer) = behind_tls(true);
    outer.get("/public/x").send().ok();
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_backend_whose_certificate_cannot_be_verified_is_not_asked() {
    let (backend, _inner, outer) = behind_tls(false);
    outer.get("/public/x").send().expect(502, "502-01");
    backend.assert_untouched();
}
