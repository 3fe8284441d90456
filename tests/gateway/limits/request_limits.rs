//! Bounds on size, time and number.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::http1::Fault;
use crate::harness::*;

#[test]
fn a_head_that_is_too_large_is_431() {
    let (backend, gateway) = world_with(|c| c.limit("head", json!("4KiB")).limit("target", json!("1KiB")));
    gateway.get("/public/x").header("X-Long", &"x".repeat(3_000)).send().ok();
    gateway.get("/public/x").header("X-Long", &"x".repeat(5_000)).send().expect(431, "431-01");
    let start = Instant::now();
    gateway.get("/public/x").header("X-Long", &"x".repeat(1_000_000)).try_on(&mut gateway.connect()).ok();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn too_many_header_fields_are_431() {
    let (backend, gateway) = world_with(|c| c.limit("headers", json!(20)));
    let many =
        |count: usize| (0..count).fold(gateway.get("/public/x"), |request, n| request.header(&format!("X-{n}"), "1"));
    many(15).send().ok();
    many(25).send().expect(431, "431-01");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_target_that_is_too_long_is_414() {
    let (backend, gateway) = world_with(|c| c.limit("target", json!("1KiB")));
    gateway.get(&format!("/public/{}", "x".repeat(900))).send().ok();
    gateway.get(&format!("/public/{}", "x".repeat(1_100))).send().expect(414, "414-01");
    gateway.get(&format!("/public/x?{}", "x".repeat(1_100))).send().expect(414, "414-01");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_body_that_is_too_large_is_413() {
    let (backend, gateway) =
        world_with(|c| c.limit("body", json!("1KiB")).route("key", "limits", json!({"body": "2KiB"})));
    gateway.post("/public/x").body(vec![b'x'; 1024]).send().ok();
    gateway.post("/public/x").body(vec![b'x'; 1025]).send().expect(413, "413-01");
    gateway.post("/key/x").api_key(API_KEY).body(vec![b'x'; 2000]).send().ok();
    gateway.post("/key/x").api_key(API_KEY).body(vec![b'x'; 2049]).send().expect(413, "413-01");
    let announced = gateway.post("/public/x").header("Content-Length", "10737418240").send();
    assert_eq!(announced.status, 413, "refused before a byte of it is read");
    assert_eq!(backend.requests().iter().filter(|s| s.complete).count(), 2);
}

#[test]
fn a_chunked_body_that_grows_too_large_is_413() {
    let (backend, gateway) = world_with(|c| c.limit("body", json!("1KiB")));
    let mut bytes = gateway.post("/public/x").header("Transfer-Encoding", "chunked").bytes();
    bytes.extend_from_slice(
        format!("400\r\n{}\r\n400\r\n{}\r\n0\r\n\r\n", "x".repeat(1024), "x".repeat(1024)).as_bytes(),
    );
    gateway.connect().exchange(&bytes).unwrap().expect(413, "413-01");
    assert!(!backend.requests().iter().any(|s| s.complete));
}

#[test]
fn a_caller_that_does_not_finish_the_handshake_is_closed() {
    let (_backend, gateway) = world_with(|c| c.limit("handshake_timeout", json!("300ms")));
    let mut silent = Connection::plain(gateway.address);
    assert!(silent.closes());
    let mut slow = Connection::plain(gateway.address);
    slow.send(b"\x16\x03\x01\x02\x00");
    assert!(slow.wire.rest().is_ok(), "half a hello is closed");
}

#[test]
fn a_head_that_does_not_end_is_closed() {
    let (backend, gateway) = world_with(|c| c.limit("head_timeout", json!("300ms")));
    let mut connection = gateway.connect();
    connection.send(b"GET /public/x HTTP/1.1\r\nHost: loc");
    match connection.receive("GET") {
        Ok(answer) => assert_eq!(answer.status, 408),
        Err(fault) => assert_eq!(fault, Fault::Closed),
    }
    assert!(connection.closes());
    backend.assert_untouched();
}

#[test]
fn an_idle_connection_is_closed() {
    let (_backend, gateway) = world_with(|c| c.limit("idle_timeout", json!("300ms")));
    let mut connection = gateway.connect();
    gateway.get("/public/x").send_on(&mut connection).ok();
    assert!(connection.closes());
}

#[test]
fn a_body_that_stalls_is_408() {
    let (backend, gateway) = world_with(|c| c.limit("body_idle_timeout", json!("300ms")));
    let mut connection = gateway.connect();
    let mut bytes = gateway.post("/public/x").header("Content-Length", "10").bytes();
    bytes.extend_from_slice(b"hello");
    connection.exchange(&bytes).unwrap().expect(408, "408-01");
    assert!(connection.closes());
    assert!(!backend.requests().iter().any(|s| s.complete));
    let mut login = gateway.post("/auth/customer_authenticate").header("Content-Length", "50").bytes();
    login.extend_from_slice(b"username=");
    gateway.connect().exchange(&login).unwrap().expect(408, "408-01");
}

#[test]
fn connections_above_the_limit_are_closed_and_open_ones_live() {
    let (_backend, gateway) = world_with(|c| c.limit("connections", json!(2)));
    let (mut first, mut second) = (gateway.connect(), gateway.connect());
    gateway.get("/public/x").send_on(&mut first).ok();
    let mut third = Connection::plain(gateway.address);
    assert!(third.closes());
    gateway.get("/public/x").send_on(&mut first).ok();
    gateway.get("/public/x").send_on(&mut second).ok();
}

#[test]
fn overload_is_503_with_retry_after() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/concurrency", json!(1)));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let waiting = thread::spawn(move || slow.send());
    backend.wait_for(1);
    let answer = gateway.get("/public/x").send().expect(503, "503-01");
    assert!(answer.retry_after() >= 1);
    gate.open();
    waiting.join().unwrap().ok();
    gateway.get("/public/x").send().ok();
}

#[test]
fn load_is_shed_before_the_queue_grows_where_a_backend_has_become_slow() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/adaptive", json!({"min": 2})).set("/backends/legacy/concurrency", json!(50))
    });
    let call = |path: &'static str, count: usize| {
        let request = gateway.get(path);
        thread::spawn(move || {
            let mut connection = Connection::open(request.address);
            let answers = (0..count).map(|_| request.send_on(&mut connection));
            answers.fold((0, 0), |(fine, shed), answer| match answer.status {
                200 => (fine + 1, shed),
                _ => {
                    assert!(answer.expect(503, "503-01").retry_after() >= 1);
                    (fine, shed + 1)
                }
            })
        })
    };
    // It learns what is usual; then the same backend takes far longer, and more is asked of it than it is given.
    let fast: Vec<_> = (0..4).map(|_| call("/public/x", 150)).collect();
    for caller in fast {
        assert_eq!(caller.join().unwrap(), (150, 0));
    }
    backend.on("/public/slow", Behaviour::Delay(Duration::from_millis(150)));
    let slow: Vec<_> = (0..30).map(|_| call("/public/slow", 10)).collect();
    let (fine, shed) =
        slow.into_iter().map(|caller| caller.join().unwrap()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert!(fine >= 2 && shed > 0, "{fine} were answered, {shed} were told to come again");
    gateway.get("/public/x").send().ok();
}

#[test]
fn a_backend_that_does_not_answer_is_504() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/timeout", json!("300ms")).route("key", "limits", json!({"timeout": "100ms"}))
    });
    backend.on("/public/x", Behaviour::Silent);
    backend.on("/key/x", Behaviour::Silent);
    gateway.get("/public/x").send().expect(504, "504-01");
    gateway.get("/key/x").api_key(API_KEY).send().expect(504, "504-01");
    assert_eq!(backend.requests().len(), 2, "a request that timed out is not sent again");
    gateway.get("/public/canary").send().ok();
}

#[test]
fn a_backend_that_cannot_be_reached_is_502() {
    let gateway = Gateway::start(&Config::with_server("http://127.0.0.1:9"));
    gateway.get("/public/x").send().expect(502, "502-01");
    gateway.post("/public/x").body("x").send().expect(502, "502-01");
    let config =
        Config::with_server("http://backend.invalid:8080").set("/backends/legacy/danger_plaintext", json!(true));
    let gateway = Gateway::start(&config);
    gateway.get("/public/x").send().expect(502, "502-01");
}

#[test]
fn a_rate_limit_is_429_with_retry_after_and_counts_each_client_apart() {
    let (backend, gateway) = world_with(|c| c.route("system", "limits", json!({"rate": "1/m", "burst": 3})));
    let (first, second) = (gateway.token(CLIENT), gateway.token(OTHER_CLIENT));
    for _ in 0..3 {
        gateway.get("/system/x").bearer(&first).send().ok();
    }
    gateway.get("/system/x").bearer(&first).send().expect(429, "429-01");
    gateway.get("/system/x").bearer(&second).send().ok();
    gateway.get("/public/x").send().ok();
    assert_eq!(backend.requests_for("/system/x").len(), 4);
}

#[test]
fn a_rate_limit_can_count_customers_keys_and_addresses() {
    for per in ["customer", "address"] {
        let (_backend, gateway) =
            world_with(|c| c.route("me", "limits", json!({"rate": "1/m", "burst": 1, "per": per})));
        let (alice, bob) = (gateway.login(ALICE), gateway.login(BOB));
        gateway.get("/me/x").customer(&alice).send().ok();
        gateway.get("/me/x").customer(&alice).send().expect(429, "429-01");
        let other = gateway.get("/me/x").customer(&bob).send();
        assert_eq!(other.status, if per == "customer" { 200 } else { 429 }, "{per}");
    }
    let (_backend, gateway) =
        world_with(|c| c.route("key", "limits", json!({"rate": "1/m", "burst": 1, "per": "api_key"})));
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().expect(429, "429-01");
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
}

#[test]
fn logins_above_what_can_be_hashed_are_503_and_other_requests_go_on() {
    let (_backend, gateway) = world();
    let logins: Vec<_> = (0..60)
        .map(|number| {
            let request = gateway.login_request(&format!("nobody{number}"), "wrong");
            thread::spawn(move || request.try_on(&mut Connection::open(request.address)).map(|a| a.status))
        })
        .collect();
    for _ in 0..5 {
        gateway.get("/public/x").send().ok();
    }
    for login in logins {
        let status = login.join().unwrap();
        assert!(matches!(status, Ok(401 | 503)), "{status:?}");
    }
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
}

#[test]
fn a_refusal_reaches_a_caller_that_is_still_sending() {
    let (backend, gateway) = world();
    let body = vec![b'x'; 3 * 1024 * 1024];
    for _ in 0..5 {
        let mut caller = gateway.connect();
        gateway.post("/public/x").body(body.clone()).send_on(&mut caller).expect(413, "413-01");
    }
    backend.assert_untouched();
}

#[test]
fn an_exchange_that_takes_too_long_in_all_is_ended_however_busy_it_is() {
    let (backend, gateway) = world_with(|c| c.limit("request_timeout", json!("600ms")));
    let mut caller = gateway.connect();
    caller.send(b"POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    caller.patience(Duration::from_millis(50));
    let begun = Instant::now();
    let answer = loop {
        caller.send(b"1\r\nx\r\n");
        match caller.receive("POST") {
            Err(Fault::Timeout) => assert!(begun.elapsed() < DEADLINE, "it goes on and on"),
            other => break other,
        }
    };
    answer.unwrap().expect(408, "408-01");
    let gate = Gate::default();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec();
    backend.on("/public/y", Behaviour::Staged(head, gate.clone(), b"world".to_vec()));
    let broken = gateway.get("/public/y").try_on(&mut gateway.connect());
    assert!(matches!(broken, Err(Fault::Truncated(_) | Fault::Closed)), "{broken:?}");
    gate.open();
}

#[test]
fn answers_of_a_limited_route_say_what_is_left() {
    let (backend, gateway) = world_with(|c| c.route("me", "limits", json!({"rate": "60/m", "burst": 3})));
    backend.on("/me/x", Behaviour::Raw(client::answer(&[("RateLimit", "theirs")], "")));
    let token = gateway.customer_token();
    let call = || gateway.get("/me/x").customer(&token).send();
    for left in [2, 1, 0] {
        let answer = call().ok();
        assert_eq!(answer.header("RateLimit-Policy"), Some(r#""rate";q=3;w=3"#));
        assert!(
            answer.header("RateLimit").unwrap().starts_with(&format!(r#""rate";r={left};t="#)),
            "{:?}",
            answer.lines
        );
    }
    let answer = call().expect(429, "429-01");
    assert_eq!(answer.header("RateLimit"), Some(&*format!(r#""rate";r=0;t={}"#, answer.retry_after())));
    assert_eq!(gateway.get("/public/x").send().ok().header("RateLimit"), None);
}

/// A gateway whose first API key may make three calls a day and five a month.
fn with_quota(store: &Store) -> (Backend, Gateway) {
    store.world_with(|c| c.set("/api_keys/0/quota", json!({"day": 3, "month": 5})))
}

fn a_quota_of_an_api_key_ends_and_survives_a_restart(store: &Store) {
    let (_backend, gateway) = with_quota(store);
    let call = |gateway: &Gateway| gateway.get("/key/x").api_key(API_KEY).send();
    assert_eq!(
        call(&gateway).ok().header("RateLimit-Policy").map(|text| text.contains(r#""day";q=3;w=86400"#)),
        Some(true)
    );
    call(&gateway).ok();
    let (mut gateway, key) = (gateway, keys::TokenKey::generate());
    assert_eq!(gateway.terminate(), Some(0));
    let gateway = Gateway::start_in(Arc::clone(&gateway.files), key);
    gateway.is_ready();
    assert!(call(&gateway).ok().header("RateLimit").unwrap().starts_with(r#""day";r=0;t="#));
    let over = call(&gateway).expect(429, "429-03");
    assert!((1..=86_400).contains(&over.retry_after()));
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
}

fn a_noisy_caller_takes_nothing_from_the_quiet_ones(store: &Store) {
    let (_backend, gateway) =
        store.world_with(|c| c.route("key", "limits", json!({"rate": "5/m", "burst": 20, "per": "api_key"})));
    let noisy: Vec<_> = (0..4)
        .map(|_| {
            let request = gateway.get("/key/x").api_key(API_KEY);
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                (0..100).filter(|_| request.send_on(&mut connection).status == 200).count()
            })
        })
        .collect();
    for _ in 0..10 {
        gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
    }
    let passed: usize = noisy.into_iter().map(|caller| caller.join().unwrap()).sum();
    assert!((20..=22).contains(&passed), "{passed}");
}

on_both_stores! {
    a_quota_of_an_api_key_ends_and_survives_a_restart
    a_noisy_caller_takes_nothing_from_the_quiet_ones
}
