//! `circuit_breaker` and `outlier_detection`: a failed connection, a failed TLS handshake or no response counts as a
//! failure. A malformed response of one page does not: other pages go on.

use std::thread;
use std::time::Duration;

use crate::backend::load_balancing::several;
use crate::harness::h2_backend::{Act, H2Backend};
use crate::harness::*;

fn circuit(config: Config) -> Config {
    config.set("/backends/legacy/circuit_breaker", json!({"failures": 3, "pause": "1m"}))
}

fn failures(gateway: &Gateway, kind: &str, count: f64) {
    gateway.expect_metric("wicketgate_backend_failures_total", &[("kind", kind)], count);
}

#[test]
fn a_malformed_response_does_not_open_the_circuit_breaker() {
    let (backend, gateway) = world_with(circuit);
    let answers: [&[u8]; 3] =
        [b"this is not HTTP\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"];
    for bytes in answers {
        backend.on("/public/page", Behaviour::RawThenClose(bytes.to_vec()));
        for _ in 0..7 {
            gateway.post("/public/page").body("x").send().expect(502, "502-01");
            gateway.post("/public/page").body("x").send().expect(502, "502-01");
        }
        gateway.get("/public/other").send().ok();
    }
    failures(&gateway, "malformed", 42.0);
    failures(&gateway, "broken", 0.0);
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 0.0);
}

#[test]
fn a_malformed_response_ejects_no_server() {
    let ejection = json!({"failures": 2, "base_ejection_time": "1m"});
    let (backends, gateway) = several::<2>(|c| circuit(c).set("/backends/legacy/outlier_detection", ejection));
    backends.iter().for_each(|backend| backend.on("/public/page", Behaviour::RawThenClose(b"HELLO\r\n\r\n".to_vec())));
    for _ in 0..12 {
        gateway.post("/public/page").body("x").send().expect(502, "502-01");
    }
    gateway.expect_metric("wicketgate_backend_server_ejections_total", &[], 0.0);
    gateway.expect_metric("wicketgate_backend_server_up", &[], 2.0);
}

#[test]
fn a_connection_closed_without_a_response_ejects_the_server_and_opens_the_circuit_breaker() {
    let ejection = json!({"failures": 2, "base_ejection_time": "1m"});
    let (backends, gateway) = several::<2>(|c| circuit(c).set("/backends/legacy/outlier_detection", ejection));
    backends.iter().for_each(|backend| backend.on("/public/page", Behaviour::Close));
    for _ in 0..12 {
        gateway.post("/public/page").body("x").send().expect_one_of(&[502, 503]);
    }
    gateway.expect_metric("wicketgate_backend_server_ejections_total", &[], 1.0);
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 1.0);
    failures(&gateway, "broken", 3.0);
}

#[test]
fn one_http2_connection_that_breaks_counts_once_however_many_streams_it_had() {
    let backend = H2Backend::start(None);
    let config = circuit(Config::with_server(&format!("http://{}", backend.address)));
    let gateway = Gateway::start(&config.set("/backends/legacy/protocol", json!("http2")).set("/workers", json!(1)));
    backend.on("/public/slow", Act::Hold);
    backend.on("/public/end", Act::HangUp);
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let request = gateway.post("/public/slow").body("x");
            thread::spawn(move || request.send())
        })
        .collect();
    eventually("all are at work", || backend.begun() == 6);
    gateway.post("/public/end").body("x").send().expect(502, "502-01");
    calls.into_iter().for_each(|call| drop(call.join().unwrap().expect(502, "502-01")));
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 0.0);
    gateway.post("/public/other").body("x").send().ok();
    failures(&gateway, "broken", 7.0);
}

#[test]
fn a_stream_reset_by_an_http2_server_does_not_open_the_circuit_breaker() {
    let backend = H2Backend::start(None);
    let config = circuit(Config::with_server(&format!("http://{}", backend.address)));
    let gateway = Gateway::start(&config.set("/backends/legacy/protocol", json!("http2")).set("/workers", json!(1)));
    backend.on("/public/page", Act::Reset(usize::MAX, ::h2::Reason::INTERNAL_ERROR));
    for _ in 0..7 {
        gateway.post("/public/page").body("x").send().expect(502, "502-01");
    }
    gateway.post("/public/other").body("x").send().ok();
    failures(&gateway, "malformed", 7.0);
}

#[test]
fn stalled_uploads_do_not_keep_the_circuit_breaker_open() {
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 2, "pause": "500ms"})));
    backend.on("/public/page", Behaviour::Close);
    for _ in 0..2 {
        gateway.post("/public/page").body("x").send().expect(502, "502-01");
    }
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 1.0);
    backend.forget();
    let mut uploads = Vec::new();
    eventually("a complete request is let through", || {
        let mut upload = gateway.connect();
        upload.send(b"POST /public/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n");
        upload.patience(Duration::from_millis(50));
        // Refused at once, or on its way for good.
        upload.receive("POST").ok();
        uploads.push(upload);
        gateway.get("/public/other").send().status == 200
    });
    assert_eq!(backend.requests_for("/public/upload").len(), 0);
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 0.0);
}

#[test]
fn a_slow_page_does_not_open_the_circuit_breaker_while_others_are_answered() {
    let (backend, gateway) = world_with(|c| circuit(c).set("/backends/legacy/timeout", json!("1s")));
    backend.on("/public/slow", Behaviour::Silent);
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let request = gateway.get("/public/slow");
            thread::spawn(move || request.send())
        })
        .collect();
    backend.wait_for(8);
    while !slow.iter().all(|call| call.is_finished()) {
        gateway.get("/public/other").send().ok();
    }
    slow.into_iter().for_each(|call| drop(call.join().unwrap().expect(504, "504-01")));
    gateway.get("/public/other").send().ok();
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 0.0);
    // Where nobody is answered it opens as ever.
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let request = gateway.get("/public/slow");
            thread::spawn(move || request.send())
        })
        .collect();
    slow.into_iter().for_each(|call| drop(call.join().unwrap().expect(504, "504-01")));
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 1.0);
}

#[test]
fn a_request_with_a_body_waits_no_longer_for_its_answer_than_one_without() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/timeout", json!("1s")));
    backend.on("/public/slow", Behaviour::Silent);
    for body in [1, 1_000, 300_000] {
        let begun = std::time::Instant::now();
        gateway.post("/public/slow").body(vec![b'x'; body]).send().expect(504, "504-01");
        assert!(begun.elapsed() < Duration::from_millis(1_900), "{body}: {:?}", begun.elapsed());
    }
}
