//! `websocket_share`: WebSockets of one caller at once.

use crate::harness::*;
use crate::websocket::tunnel::{backend, handshake, open, world_of};

fn four_in_flight(config: Config) -> Config {
    config.set("/backends/legacy/concurrency", json!(4)).set("/backends/legacy/websocket_share", json!(50))
}

#[test]
fn one_caller_holds_at_most_its_share_of_a_backend_by_websockets() {
    let (address, backend) = backend();
    let gateway = world_of(address, four_in_flight);
    let (alice, bob) = (gateway.customer_token(), gateway.login(BOB));
    let live = |token: &str| gateway.get("/me/live").customer(token);
    let mut held: Vec<_> = (0..2).map(|_| open(&gateway, &backend, live(&alice))).collect();
    // By a token of another login it is still the same customer, and on another route of the backend the same caller.
    for token in [&alice, &gateway.login(ALICE)] {
        let refused = handshake(live(token)).send().expect(429, "429-04");
        assert!(refused.retry_after() >= 1 && refused.text().contains("WebSocket"), "{}", refused.text());
    }
    let refused = handshake(live(&alice)).header("X-Request-Id", "too-many").send();
    assert_eq!((refused.status, &gateway.access_line("too-many")["refusal"]), (429, &json!("websocket_share")));
    assert!(backend.try_recv().is_err(), "a handshake that is refused reaches no backend");
    // Others have what is theirs, by address where nothing else is known of them.
    let theirs = open(&gateway, &backend, live(&bob));
    let strangers = open(&gateway, &backend, gateway.get("/public/live"));
    // What is given back can be had again.
    drop(held.pop());
    eventually("a place that was given back", || {
        handshake(live(&alice)).header("X-Request-Id", "again").send_on(&mut gateway.connect()).status != 429
            || backend.try_recv().is_ok()
    });
    drop((held, theirs, strangers));
    gateway.expect_metric("wicketgate_websockets_open", &[], 0.0);
}

#[test]
fn a_caller_may_always_hold_one_and_its_calls_are_no_websockets() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c.set("/backends/legacy/concurrency", json!(3)));
    let token = gateway.customer_token();
    let held = open(&gateway, &backend, gateway.get("/me/live").customer(&token));
    handshake(gateway.get("/me/live").customer(&token)).send().expect(429, "429-04");
    let call = gateway.get("/me/x").customer(&token);
    let calling = std::thread::spawn(move || call.send().status);
    let mut opened = backend.recv_timeout(DEADLINE).unwrap();
    opened.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(calling.join().unwrap(), 200);
    drop(held);
}

#[test]
fn a_handshake_that_fails_holds_no_share() {
    let (backend, gateway) = world_with(|c| four_in_flight(c).route("me", "websocket", json!(true)));
    let token = gateway.customer_token();
    for _ in 0..5 {
        handshake(gateway.get("/me/x").customer(&token)).send().ok();
    }
    assert_eq!(backend.requests().len(), 5);
}

#[test]
fn a_share_is_a_percentage() {
    let backend = Backend::start();
    for (share, fault) in [(0, "no WebSocket"), (101, "more than 100 percent")] {
        let config = Config::new(&backend).set("/backends/legacy/websocket_share", json!(share));
        let (code, _, said) = gateway::Workspace::new(&config).run(&["check"]);
        assert!(code == 1 && said.contains(fault) && said.contains("websocket_share"), "{said}");
    }
}
