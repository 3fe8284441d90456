//! SIGTERM: what has begun is finished, and then the process ends.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::*;

/// Waits until nobody listens any more.
#[track_caller]
fn wait_until_refused(gateway: &Gateway) {
    let until = Instant::now() + DEADLINE;
    while TcpStream::connect(gateway.address).is_ok() {
        assert!(Instant::now() < until, "new connections are still accepted");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn h2_a_gateway_without_work_ends_at_once_with_exit_code_0() {
    let (_backend, mut gateway) = world();
    let mut idle = gateway.connect();
    gateway.get("/public/x").send_on(&mut idle).ok();
    let start = Instant::now();
    assert_eq!(gateway.terminate(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(4), "an idle connection holds it up");
    assert!(idle.closes());
}

#[test]
fn h2_a_request_in_flight_gets_its_whole_answer() {
    let (backend, mut gateway) = world();
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let waiting = thread::spawn(move || slow.send());
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    assert!(gateway.running());
    gate.open();
    let answer = waiting.join().unwrap().ok();
    assert_eq!(answer.text(), r#"{"ok":true}"#);
    assert!(answer.close, "the last answer on a connection says so: {:?}", answer.lines);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn h2_over_http_2_a_request_in_flight_gets_its_whole_answer() {
    let (backend, mut gateway) = world();
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let address = gateway.address;
    let waiting = thread::spawn(move || {
        let request = http::Request::get("https://localhost/public/slow").body(()).unwrap();
        h2::send(address, request, b"", None)
    });
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    gate.open();
    assert_eq!(waiting.join().unwrap().unwrap().status(), 200);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn h2_after_the_grace_time_the_process_ends_anyway() {
    let (backend, mut gateway) = world_with(|c| c.set("/shutdown/grace", json!("300ms")));
    backend.on("/public/slow", Behaviour::Silent);
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/slow").bytes());
    backend.wait_for(1);
    let start = Instant::now();
    gateway.signal("TERM");
    gateway.wait_exit();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn h2_a_second_signal_ends_it_now() {
    let (backend, mut gateway) =
        world_with(|c| c.set("/shutdown/grace", json!("60s")).set("/backends/legacy/timeout", json!("60s")));
    backend.on("/public/slow", Behaviour::Silent);
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/slow").bytes());
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    assert!(gateway.running());
    gateway.signal("TERM");
    gateway.wait_exit();
}

#[test]
fn h11_the_gateway_is_alive_but_not_ready_while_it_drains() {
    let (backend, gateway) = world();
    assert_eq!((gateway.admin("/livez").status, gateway.admin("/readyz").status), (200, 200));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let waiting = thread::spawn(move || slow.send());
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    assert_eq!((gateway.admin("/livez").status, gateway.admin("/readyz").status), (200, 503));
    gate.open();
    waiting.join().unwrap().ok();
}
