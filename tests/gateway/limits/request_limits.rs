//! Limits of size and time of a request, and of the number of connections.

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
fn a_backend_that_is_slower_than_the_exchange_may_be_is_504_by_either_version_and_is_not_to_blame() {
    let (backend, gateway) = world_with(|c| {
        c.limit("request_timeout", json!("600ms"))
            .set("/backends/legacy/timeout", json!("60s"))
            .set("/backends/legacy/circuit_breaker", json!({"failures": 1, "pause": "60s"}))
    });
    backend.on("/public/slow", Behaviour::Silent);
    gateway.get("/public/slow").send().expect(504, "504-01");
    let request = http::Request::get("https://localhost/public/slow").body(()).unwrap();
    assert_eq!(h2_client::send(gateway.address, request, b"", None).unwrap().status(), 504);
    assert_eq!(gateway.get("/public/x").send().status, 200, "the circuit breaker is closed");
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
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", "request_timeout")], 1.0);
    gate.open();
}
