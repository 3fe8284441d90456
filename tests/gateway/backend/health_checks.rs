//! Health checks, and servers that are ejected and come back.

use crate::backend::load_balancing::{several, up};
use crate::harness::*;

fn unwell() -> Behaviour {
    Behaviour::status(503)
}

/// Checks that decide within a moment.
fn checked(config: Config) -> Config {
    let health = json!({"path": "/health", "interval": "50ms", "timeout": "500ms", "healthy_threshold": 2, "unhealthy_threshold": 2});
    config.set("/backends/legacy/health_check", health).set("/backends/legacy/slow_start", json!("0s"))
}

/// Servers that are taken out by failures, and come back within a moment.
fn ejecting(config: Config, time: &str) -> Config {
    let ejection =
        json!({"failures": 3, "base_ejection_time": time, "max_ejection_time": "1m", "max_ejection_percent": 50});
    config.set("/backends/legacy/outlier_detection", ejection).set("/backends/legacy/slow_start", json!("0s"))
}

/// Calls until this many requests for the path have come to the backend.
#[track_caller]
fn call_until(gateway: &Gateway, path: &str, backend: &Backend, count: usize) {
    let until = std::time::Instant::now() + DEADLINE;
    while backend.requests_for(path).len() < count {
        assert!(std::time::Instant::now() < until, "it is not asked");
        gateway.get(path).send();
    }
}

#[test]
fn a_server_that_a_check_finds_bad_gets_no_requests_until_it_is_well() {
    let (backends, gateway) = several::<2>(checked);
    up(&gateway, &backends[0], 1.0);
    backends[0].on("/health", unwell());
    up(&gateway, &backends[0], 0.0);
    let name = backends[0].address.to_string();
    let said = |message: &str| {
        let line = gateway.stderr.wait(|line| line["message"] == message && line["server"] == name);
        line.unwrap_or_else(|| panic!("no {message:?}"))
    };
    assert_eq!(said("health check failed: the server gets no requests")["why"], "status 503");
    for _ in 0..20 {
        gateway.get("/public/x").send().ok();
    }
    assert!(backends[0].requests_for("/public/x").is_empty());
    assert_eq!(backends[0].last().header("host"), Some(&*name));
    backends[0].on("/health", Behaviour::status(204));
    up(&gateway, &backends[0], 1.0);
    said("health check succeeds again: the server gets requests");
    call_until(&gateway, "/public/x", &backends[0], 1);
}

#[test]
fn while_all_servers_are_bad_callers_get_503_at_once_and_no_server_is_asked() {
    let (backends, gateway) = several::<2>(checked);
    backends.iter().for_each(|backend| backend.on("/health", unwell()));
    backends.iter().for_each(|backend| up(&gateway, backend, 0.0));
    for _ in 0..10 {
        let answer = gateway.get("/public/x").send().expect(503, "503-05");
        assert!(answer.retry_after() >= 1);
    }
    assert!(backends.iter().all(|backend| backend.requests_for("/public/x").is_empty()));
    gateway.expect_metric("wicketgate_requests_total", &[("refusal", "backend_unavailable")], 10.0);
    backends[1].on("/health", Behaviour::status(200));
    up(&gateway, &backends[1], 1.0);
    gateway.get("/public/x").send().ok();
}

#[test]
fn a_server_that_does_not_answer_its_check_or_refuses_it_is_bad() {
    let (backends, gateway) = several::<3>(checked);
    backends[0].on("/health", Behaviour::Silent);
    backends[1].stop();
    up(&gateway, &backends[0], 0.0);
    up(&gateway, &backends[1], 0.0);
    up(&gateway, &backends[2], 1.0);
    backends[1].start_again();
    up(&gateway, &backends[1], 1.0);
}

#[test]
fn a_server_that_fails_is_ejected_and_comes_back() {
    let (backends, gateway) = several::<2>(|c| ejecting(c, "300ms"));
    backends[0].on("/public/x", unwell());
    call_until(&gateway, "/public/x", &backends[0], 3);
    let labels = [("server", &*backends[0].address.to_string())];
    gateway.expect_metric("wicketgate_backend_server_ejections_total", &labels, 1.0);
    let line = gateway.stderr.wait(|line| line["server"] == labels[0].1 && line["seconds"] == 0.3).unwrap();
    assert_eq!(line["last"], "status");
    // It comes back, fails once more, and is out for longer.
    call_until(&gateway, "/public/x", &backends[0], 4);
    gateway.expect_metric("wicketgate_backend_server_ejections_total", &labels, 2.0);
    assert!(gateway.stderr.wait(|line| line["server"] == labels[0].1 && line["seconds"] == 0.6).is_some());
    backends[0].on("/public/x", Behaviour::status(200));
    call_until(&gateway, "/public/x", &backends[0], 10);
    gateway.expect_metric("wicketgate_backend_server_ejections_total", &labels, 2.0);
}

#[test]
fn the_health_of_servers_survives_a_reload() {
    let (backends, gateway) = several::<2>(|c| ejecting(c, "1m"));
    backends[0].on("/public/x", unwell());
    call_until(&gateway, "/public/x", &backends[0], 3);
    up(&gateway, &backends[0], 0.0);
    let servers: Vec<String> = backends.iter().map(Backend::url).collect();
    let config = Config::new(&backends[0]).set("/backends/legacy/servers", json!(servers));
    let config = ejecting(config, "30s").set("/backends/legacy/timeout", json!("9s"));
    gateway.reload(&config, "reloaded");
    for _ in 0..10 {
        gateway.get("/public/x").send().ok();
    }
    assert_eq!(backends[0].requests().len(), 3);
    up(&gateway, &backends[0], 0.0);
}

#[test]
fn the_last_server_is_never_ejected() {
    let (backends, gateway) = several::<2>(|c| ejecting(c, "1m"));
    backends.iter().for_each(|backend| backend.on("/public/x", unwell()));
    for _ in 0..30 {
        assert_eq!(gateway.get("/public/x").send().status, 503);
    }
    let up: f64 = gateway.metric("wicketgate_backend_server_up", &[("backend", "legacy")]);
    assert!((up - 1.0).abs() < 0.1, "{up}");
    assert_eq!(backends.iter().map(|backend| backend.requests().len()).sum::<usize>(), 30, "nobody is asked twice");
}

#[test]
fn faults_of_callers_do_not_count_against_a_server() {
    let (backends, gateway) = several::<2>(|c| ejecting(c, "1m").limit("body_idle_timeout", json!("100ms")));
    for _ in 0..10 {
        let mut broken = gateway.post("/public/x").header("Transfer-Encoding", "chunked").bytes();
        broken.extend_from_slice(b"5\r\nhelloXX\r\n");
        gateway.connect().exchange(&broken).unwrap().expect(400, "400-01");
        let mut stalled = gateway.post("/public/x").header("Content-Length", "10").bytes();
        stalled.extend_from_slice(b"hello");
        gateway.connect().exchange(&stalled).unwrap().expect(408, "408-01");
        let mut gone = gateway.connect();
        gone.send(&stalled);
        gone.abort();
    }
    gateway.get("/public/x").send().ok();
    backends.iter().for_each(|backend| up(&gateway, backend, 1.0));
    gateway.expect_metric("wicketgate_backend_failures_total", &[], 0.0);
}

#[test]
fn a_caller_that_sends_slowly_has_longer_than_the_backend_has_to_answer() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/timeout", json!("300ms")));
    let mut caller = gateway.connect();
    caller.send(&gateway.post("/public/x").header("Content-Length", "10").bytes());
    caller.patience(std::time::Duration::from_millis(200));
    for _ in 0..5 {
        caller.send(b"xx");
        let early = caller.receive("POST");
        if let Ok(answer) = early {
            assert_eq!((answer.status, backend.only().complete), (200, true));
            return;
        }
    }
    caller.patience(DEADLINE);
    caller.receive("POST").unwrap().ok();
}
