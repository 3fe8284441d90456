//! `host`: which Host a backend gets.

use crate::harness::h2_backend::{Act, H2Backend};
use crate::harness::*;
use crate::websocket::tunnel::{handshake, with_websockets};

/// A gateway with all kinds of requests to its backend: calls, WebSockets, logins and health checks.
fn with_host(host: Option<&str>, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| {
        let config = with_websockets(config)
            .set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/id"}))
            .set("/backends/legacy/health_check", json!({"path": "/health", "interval": "50ms"}));
        change(match host {
            Some(host) => config.set("/backends/legacy/host", json!(host)),
            None => config,
        })
    })
}

/// The `Host` of the last request for this path.
fn host_of(backend: &Backend, path: &str) -> String {
    let seen = backend.requests_for(path);
    seen.last().unwrap_or_else(|| panic!("no {path}")).header("host").unwrap().to_owned()
}

#[test]
fn requests_websockets_logins_and_health_checks_get_the_host_that_is_configured() {
    const CALLERS: &str = "api.example.test:8443";
    for host in [None, Some("caller"), Some("server"), Some("shop.internal"), Some("shop.internal:8080")] {
        let (backend, gateway) = with_host(host, |c| c);
        let server = backend.address.to_string();
        let (expected, checked) = match host {
            None | Some("caller") => (CALLERS, &*server),
            Some("server") => (&*server, &*server),
            Some(name) => (name, name),
        };
        backend.on("/login", Behaviour::json(200, &json!({"id": "account-7"})));
        gateway.get("/public/x").replace("Host", CALLERS).send().ok();
        gateway.login_request("erin", "x").replace("Host", CALLERS).send().ok();
        handshake(gateway.get("/public/socket")).replace("Host", CALLERS).send().ok();
        for path in ["/public/x", "/login", "/public/socket"] {
            assert_eq!(host_of(&backend, path), expected, "{host:?} {path}");
        }
        for path in ["/public/x", "/public/socket"] {
            let seen = backend.requests_for(path);
            assert_eq!(seen[0].header("x-forwarded-host"), Some(CALLERS), "{host:?} {path}");
            assert!(seen[0].header("forwarded").unwrap().contains(&format!("host=\"{CALLERS}\"")));
        }
        eventually("a health check", || !backend.requests_for("/health").is_empty());
        assert_eq!(host_of(&backend, "/health"), checked, "{host:?}");
        assert!(backend.problems().is_empty(), "{:?}", backend.problems());
    }
}

#[test]
fn a_health_check_asks_for_the_first_host_of_the_routes() {
    let hosts = json!(["api.example.test", "www.example.test"]);
    let (backend, gateway) = with_host(None, |c| c.route("public", "hosts", hosts));
    eventually("a health check", || !backend.requests_for("/health").is_empty());
    assert_eq!(host_of(&backend, "/health"), "api.example.test");
    // So does the trial.
    backend.forget();
    let (code, out, err) = gateway.files.run(&["check", "--connect"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(backend.requests_for("/health").iter().all(|seen| seen.header("host") == Some("api.example.test")));
}

#[test]
fn each_attempt_names_the_server_that_it_asks() {
    let backends = [Backend::start(), Backend::start()];
    let config = Config::new(&backends[0])
        .set("/backends/legacy/servers", json!([backends[0].url(), backends[1].url()]))
        .set("/backends/legacy/host", json!("server"))
        .set("/backends/legacy/outlier_detection", json!({"failures": 0}))
        .set("/backends/legacy/circuit_breaker", json!({"failures": 0}))
        .set("/backends/legacy/retry_budget", json!(100));
    let gateway = Gateway::start(&config);
    backends[0].on("/public/x", Behaviour::Close);
    let is_repeated = || {
        gateway.get("/public/x").header("X-Try", "1").send().ok();
        !backends[0].requests().is_empty()
    };
    eventually("the failing server is asked first", is_repeated);
    let answered = backends[1].requests();
    assert!(!answered.is_empty());
    for backend in &backends {
        let name = backend.address.to_string();
        for seen in backend.requests() {
            assert_eq!(seen.header("host"), Some(&*name));
            assert_eq!(seen.header("x-forwarded-host"), Some("localhost"));
        }
    }
}

#[test]
fn over_http2_it_is_the_authority() {
    for (host, expected) in [("caller", "localhost"), ("server", ""), ("shop.internal:81", "shop.internal:81")] {
        let backend = H2Backend::start(None);
        let server = backend.address.to_string();
        let config = Config::with_server(&format!("http://{server}"))
            .set("/backends/legacy/protocol", json!("http2"))
            .set("/backends/legacy/host", json!(host));
        let gateway = Gateway::start(&config);
        backend.on("/public/x", Act::Say(200, &[], &[]));
        gateway.get("/public/x").send().ok();
        let seen = backend.requests();
        let expected = if expected.is_empty() { &*server } else { expected };
        assert_eq!(seen[0].head.uri.authority().map(|host| host.as_str()), Some(expected), "{host}");
        assert!(seen[0].head.headers.get("host").is_none());
        assert_eq!(seen[0].head.headers["x-forwarded-host"], "localhost");
    }
}

#[test]
fn the_assertion_names_the_host_that_the_caller_asked_for_whatever_is_sent() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/host", json!("shop.internal")).set("/backends/legacy/backend_assertion", json!({}))
    });
    gateway.get("/public/x").replace("Host", "one.example.test").send().ok();
    let seen = backend.only();
    let (_, claims) = keys::decode(seen.header("x-wicketgate-proof").unwrap());
    assert_eq!(claims["host"], "one.example.test");
    assert_eq!(seen.header("x-forwarded-host"), Some("one.example.test"));
    assert_eq!(seen.header("host"), Some("shop.internal"));
}
