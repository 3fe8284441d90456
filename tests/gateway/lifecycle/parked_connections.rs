//! HTTP/1.1 connections that are idle for a second give up their buffers, and nobody notices.

use crate::harness::*;

const PARKED: &str = "wicketgate_connections_parked";

/// A connection with one request behind it, parked.
fn parked(gateway: &Gateway) -> Connection {
    let mut connection = gateway.connect();
    gateway.get("/public/x").send_on(&mut connection).ok();
    gateway.expect_metric(PARKED, &[], 1.0);
    connection
}

#[test]
fn a_parked_connection_goes_on_with_the_next_request_and_is_parked_again() {
    let (backend, gateway) = world();
    let mut connection = parked(&gateway);
    for _ in 0..2 {
        assert!(!gateway.get("/public/x").send_on(&mut connection).ok().close);
        gateway.expect_metric(PARKED, &[], 0.0);
        gateway.expect_metric(PARKED, &[], 1.0);
    }
    // Two heads at once, and a head in two parts.
    let bytes = gateway.get("/public/x").bytes();
    connection.send(&bytes.repeat(2));
    for _ in 0..2 {
        connection.receive("GET").unwrap().ok();
    }
    gateway.expect_metric(PARKED, &[], 1.0);
    let (first, rest) = bytes.split_at(5);
    connection.send(first);
    gateway.expect_metric(PARKED, &[], 0.0);
    connection.send(rest);
    connection.receive("GET").unwrap().ok();
    assert_eq!(backend.requests().len(), 6);
    gateway.expect_metric("wicketgate_connections_open", &[], 1.0);
}

#[test]
fn a_connection_that_has_not_said_anything_yet_is_parked_too() {
    let (_backend, gateway) = world();
    let mut connection = gateway.connect();
    gateway.expect_metric(PARKED, &[], 1.0);
    gateway.get("/public/x").send_on(&mut connection).ok();
}

#[test]
fn a_request_that_takes_long_and_a_head_that_is_not_there_yet_are_not_idle() {
    let (backend, gateway) = world_with(|c| c.limit("head_timeout", json!("3s")));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let (mut waiting, mut begun) = (gateway.connect(), gateway.connect());
    waiting.send(&gateway.get("/public/slow").bytes());
    begun.send(b"GET /public/x HTTP/1.1\r\n");
    let _idle = parked(&gateway);
    assert!(begun.closes(), "its head has not come in time");
    assert!(gateway.metric(PARKED, &[]) <= 1.0);
    gate.open();
    waiting.receive("GET").unwrap().ok();
}

#[test]
fn a_parked_connection_ends_by_its_idle_timeout() {
    let (_backend, gateway) = world_with(|c| c.limit("idle_timeout", json!("2s")));
    let mut connection = parked(&gateway);
    assert!(connection.closes());
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", "closed")], 1.0);
    gateway.expect_metric(PARKED, &[], 0.0);
}

#[test]
fn a_parked_connection_that_its_caller_closes_is_gone() {
    let (_backend, gateway) = world();
    drop(parked(&gateway));
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", "caller")], 1.0);
    gateway.expect_metric("wicketgate_connections_open", &[], 0.0);
}

#[test]
fn a_parked_connection_gets_its_next_answer_while_the_process_stops() {
    let (_backend, mut gateway) = world();
    let mut connection = parked(&gateway);
    gateway.signal("TERM");
    eventually("nobody listens", || std::net::TcpStream::connect(gateway.address).is_err());
    assert!(gateway.get("/public/x").send_on(&mut connection).ok().close);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_parked_connection_with_tls_goes_over_to_the_process_that_takes_over() {
    let (_backend, gateway) = world();
    let mut connection = parked(&gateway);
    let (new, mut old) = gateway.upgrade();
    new.expect_metric("wicketgate_connections_open", &[], 1.0);
    // The old process holds the TLS session, and waits for its end.
    assert!(new.get("/public/x").send_on(&mut connection).ok().close);
    assert_eq!(old.wait_exit().code(), Some(0));
}

#[test]
fn a_parked_connection_without_tls_goes_over_as_it_is() {
    let (_backend, gateway) = world_with(|c| c.without("/listen/0/tls"));
    let mut connection = Connection::plain(gateway.address);
    gateway.get("/public/x").send_on(&mut connection).ok();
    gateway.expect_metric(PARKED, &[], 1.0);
    let (new, mut old) = gateway.upgrade();
    assert_eq!(old.wait_exit().code(), Some(0), "it need not wait for it");
    assert!(!new.get("/public/x").send_on(&mut connection).ok().close);
}
