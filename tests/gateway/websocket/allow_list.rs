//! Open WebSockets after a change of the allow list.

use crate::harness::*;
use crate::websocket::tunnel::{backend, open, with_websockets};

fn config(address: std::net::SocketAddr) -> Config {
    with_websockets(Config::with_server(&format!("http://{address}")))
        .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
        .route("public", "limits", json!({"recheck": "100ms"}))
}

#[test]
fn a_websocket_ends_when_its_callers_address_is_no_longer_allowed() {
    let (address, backend) = backend();
    let gateway = Gateway::start(&config(address));
    let from = |caller: &str, id: &str| {
        let request = gateway.get("/public/live").header("X-Forwarded-For", caller).header("X-Request-Id", id);
        open(&gateway, &backend, request)
    };
    let (mut gone, _first) = from("203.0.113.7", "gone");
    let (mut staying, mut stays) = from("198.51.100.7", "stays");
    gateway.reload(&config(address).set("/listen/0/allow", json!(["198.51.100.0/24"])), "reloaded");
    assert!(gone.closes());
    let line = gateway.access_line("gone");
    assert_eq!((&line["refusal"], &line["client_address"]), (&json!("address_not_allowed"), &json!("203.0.113.7")));
    staying.send(b"x");
    assert_eq!(stays.stream.exact(1).unwrap(), b"x", "the other one goes on");
    // A proxy whose word no longer counts is a caller itself.
    let untrusted = config(address).without("/listen/0/trusted_proxies");
    gateway.reload(&untrusted.set("/listen/0/allow", json!(["198.51.100.0/24"])), "reloaded");
    assert!(staying.closes());
    assert_eq!(gateway.access_line("stays")["refusal"], "address_not_allowed");
}
