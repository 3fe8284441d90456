//! Log lines and metrics about failing servers: which one, at which step, why, for which request, and when it works
//! again.

use std::net::TcpListener;
use std::time::Duration;

use crate::backend::load_balancing::{several, up};
use crate::harness::*;

const FAILED: &str = "request to a backend server failed";
const AGAIN: &str = "backend server recovered";

#[track_caller]
fn said(gateway: &Gateway, message: &str) -> Value {
    gateway.stderr.wait(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message:?}"))
}

fn count(gateway: &Gateway, message: &str) -> usize {
    gateway.stderr.all().iter().filter(|line| line.contains(message)).count()
}

/// Calls until this holds.
#[track_caller]
fn call_until(gateway: &Gateway, what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || {
        gateway.get("/public/x").send();
        holds()
    });
}

#[test]
fn a_killed_server_is_logged_once_ejected_and_logged_again_when_it_is_back() {
    let (backends, gateway) = several::<2>(|c| {
        c.set("/backends/legacy/outlier_detection", json!({"failures": 3, "base_ejection_time": "300ms", "max_ejection_time": "1m", "max_ejection_percent": 50}))
            .set("/backends/legacy/slow_start", json!("0s"))
    });
    let name = backends[0].address.to_string();
    gateway.get("/public/x").send().ok();
    backends[0].stop();
    let is_out = || gateway.metric("wicketgate_backend_server_up", &[("server", &name)]) < 0.5;
    call_until(&gateway, "it is out", is_out);
    let line = said(&gateway, FAILED);
    assert_eq!(
        (&line["level"], &line["backend"], &line["server"], &line["doing"], &line["left_out"]),
        (&json!("WARN"), &json!("legacy"), &json!(name), &json!("connect"), &json!(0))
    );
    assert!(line["reason"].as_str().unwrap().contains("os error"), "{line}");
    let id = line["request_id"].as_str().unwrap();
    assert_eq!(gateway.access_line(id)["status"], 200, "another server has taken it");
    assert_eq!(count(&gateway, AGAIN), 0);
    backends[0].start_again();
    call_until(&gateway, "it is back", || count(&gateway, AGAIN) == 1);
    let line = said(&gateway, AGAIN);
    assert_eq!((&line["level"], &line["server"]), (&json!("INFO"), &json!(name)));
    assert!(line["failures"].as_u64().unwrap() >= 3 && line["seconds"].as_f64().unwrap() >= 0.3, "{line}");
    up(&gateway, &backends[0], 1.0);
    // Whoever has not failed is not named.
    let other = backends[1].address.to_string();
    assert!(!gateway.stderr.all().iter().any(|line| line.contains(&other)));
}

#[test]
fn while_the_only_server_is_away_log_metric_and_circuit_breaker_agree() {
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 3, "pause": "200ms"})));
    up(&gateway, &backend, 1.0);
    backend.stop();
    for _ in 0..3 {
        gateway.get("/public/x").send().expect_one_of(&[502]);
    }
    up(&gateway, &backend, 0.0);
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 1.0);
    assert_eq!(said(&gateway, FAILED)["server"], json!(backend.address.to_string()));
    said(&gateway, "circuit breaker open: the backend does not answer");
    backend.start_again();
    call_until(&gateway, "it answers", || count(&gateway, AGAIN) == 1);
    said(&gateway, "circuit breaker closed: the backend answers again");
    up(&gateway, &backend, 1.0);
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 0.0);
}

#[test]
fn a_server_that_goes_on_failing_has_a_line_a_second_at_most_with_the_count_of_the_others() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 0})));
    backend.stop();
    let lines = || {
        let all = gateway.stderr.all();
        let all = all.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|line| line["message"] == FAILED).map(|line| line["left_out"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (begin, mut sent) = (std::time::Instant::now(), 0);
    call_until(&gateway, "a line with a count", || {
        sent += 1;
        lines().iter().any(|left_out| *left_out > 0)
    });
    let (lines, seconds) = (lines(), begin.elapsed().as_secs() + 2);
    assert!(lines.len() as u64 <= seconds, "{lines:?} in {seconds} s");
    assert!(lines.iter().sum::<u64>() + lines.len() as u64 <= sent, "{lines:?} of {sent}");
}

#[test]
fn the_line_says_what_was_being_done_and_which_time_was_over() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let secure = format!("https://{}", silent.local_addr().unwrap());
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf".to_vec();
    let cases = [
        (Some(Behaviour::Silent), "read_head", "timed out (timeout)"),
        (Some(Behaviour::Close), "read_head", "closed"),
        (Some(Behaviour::Raw(half.clone())), "read_body", "timed out (timeout)"),
        (Some(Behaviour::RawThenClose(half)), "read_body", "end of file"),
        (None, "tls", "timed out (connect_timeout)"),
    ];
    for (behaviour, doing, reason) in cases {
        let backend = Backend::start();
        let url = if behaviour.is_some() { backend.url() } else { secure.clone() };
        let config = Config::with_server(&url)
            .set("/backends/legacy/timeout", json!("300ms"))
            .set("/backends/legacy/connect_timeout", json!("300ms"));
        let config =
            if url == secure { config.set("/backends/legacy/tls", json!({"ca": "certs/ca.pem"})) } else { config };
        let gateway = Gateway::start(&config);
        behaviour.into_iter().for_each(|behaviour| backend.on("/public/x", behaviour));
        let request = gateway.post("/public/x").header("X-Request-Id", "this-one").body("x");
        request.try_on(&mut gateway.connect()).ok();
        let line = said(&gateway, FAILED);
        assert_eq!((&line["doing"], &line["request_id"]), (&json!(doing), &json!("this-one")), "{line}");
        assert!(line["reason"].as_str().unwrap().contains(reason), "{reason}: {line}");
    }
}

#[test]
fn a_timeout_beside_other_connections_names_max_connections() {
    for (callers, limit) in [(1, None), (2, None), (2, Some(5))] {
        let (backend, gateway) = world_with(|config| {
            let config = config.set("/backends/legacy/timeout", json!("2s"));
            limit
                .into_iter()
                .fold(config, |config, limit: u64| config.set("/backends/legacy/max_connections", json!(limit)))
        });
        backend.on("/public/x", Behaviour::Silent);
        std::thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| gateway.post("/public/x").body("x").send().expect(504, ""));
            }
        });
        let line = said(&gateway, FAILED);
        let is_named = line["reason"].as_str().unwrap().contains("`max_connections: 1`");
        assert_eq!(is_named, callers > 1 && limit.is_none(), "{line}");
    }
}

/// Logins are asked of the backend.
fn asked(config: Config) -> Config {
    config
        .set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"}))
        .set("/login/attempts", json!({"free": 1, "free_per_address": 1, "delay": "5m"}))
}

#[test]
fn the_log_says_why_the_companys_own_login_said_nothing() {
    const OUT: &str = "the company's login service is unavailable";
    let (backend, gateway) = world_with(asked);
    backend.on("/login", Behaviour::status(500));
    gateway.login_request("erin", "x").header("X-Request-Id", "this-one").send().expect(503, "503-02");
    let line = said(&gateway, OUT);
    assert_eq!(
        (&line["level"], &line["backend"], &line["status"], &line["reason"], &line["request_id"]),
        (&json!("WARN"), &json!("legacy"), &json!(500), &json!("status"), &json!("this-one"))
    );
    let from = gateway.stderr.count();
    eventually("another reason", || {
        backend.on("/login", Behaviour::json(200, &json!({"unknown": "form"})));
        gateway.login_request("erin", "x").send().expect(503, "503-02");
        gateway.stderr.all()[from..].iter().any(|line| line.contains(OUT) && line.contains(r#""reason":"answer""#))
    });
    assert!(!gateway.stderr.all().iter().any(|line| line.contains("erin")));
}

#[test]
fn callers_who_give_up_on_a_login_that_answers_nobody_are_no_guessers() {
    let (backend, gateway) = world_with(asked);
    backend.on("/login", Behaviour::Silent);
    for number in 1..=3 {
        let mut connection = gateway.connect();
        connection.send(&gateway.login_request("erin", "right").bytes());
        backend.wait_for(number);
        // As long as somebody waits who thinks that it does not work.
        std::thread::sleep(Duration::from_millis(1_200));
        connection.abort();
        gateway.expect_metric("wicketgate_requests_total", &[("route", "login"), ("status", "499")], number as f64);
    }
    backend.on("/login", Behaviour::json(200, &json!({"customer": {"id": "account-7"}})));
    gateway.login_request("erin", "right").send().ok();
    // Who does not wait for an answer that comes is one.
    backend.on("/login", Behaviour::Silent);
    for number in 5..=6 {
        let mut connection = gateway.connect();
        connection.send(&gateway.login_request("erin", "guess").bytes());
        backend.wait_for(number);
        connection.abort();
    }
    eventually("erin is locked", || {
        gateway
            .login_request("erin", "guess")
            .try_on(&mut {
                let connection = gateway.connect();
                connection.patience(Duration::from_millis(200));
                connection
            })
            .is_ok_and(|answer| answer.status == 429)
    });
}
