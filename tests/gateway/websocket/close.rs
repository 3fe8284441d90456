//! The end of a WebSocket: by either side, idle, too old, no longer authorized, shutdown, upgrade.

use super::tunnel::{backend, open, with_websockets, world_of};
use crate::harness::*;
use std::io::Write;
use std::net::Shutdown;
use std::thread;

#[test]
fn an_end_of_sending_is_passed_on_and_the_other_direction_goes_on() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c);
    let (mut caller, mut opened) = open(&gateway, &backend, gateway.get("/public/live"));
    caller.send(b"last words");
    caller.end_sending();
    assert_eq!(opened.stream.rest().unwrap(), b"last words");
    // More than all buffers on the way can hold.
    let writing = thread::spawn(move || opened.stream.stream.write_all(&vec![b'a'; 8 * 1024 * 1024]));
    assert_eq!(caller.wire.rest().unwrap().len(), 8 * 1024 * 1024);
    writing.join().unwrap().unwrap();
    gateway.expect_metric("wicketgate_websockets_closed_total", &[("reason", "caller")], 1.0);
}

#[test]
fn a_websocket_ends_with_either_side_also_where_it_breaks() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c);
    let (caller, mut opened) = open(&gateway, &backend, gateway.get("/public/live"));
    caller.abort();
    assert_eq!(opened.stream.rest().unwrap(), b"");
    drop(opened);
    let (mut caller, opened) = open(&gateway, &backend, gateway.get("/public/live"));
    socket2::SockRef::from(&opened.stream.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(opened);
    assert!(caller.closes());
    gateway.expect_metric("wicketgate_websockets_open", &[], 0.0);
    gateway.expect_metric("wicketgate_websockets_closed_total", &[("reason", "backend")], 1.0);
}

#[test]
fn a_websocket_that_is_idle_or_old_is_closed() {
    let (address, backend) = backend();
    for (limits, reason) in [(json!({"idle": "200ms"}), "idle"), (json!({"lifetime": "200ms"}), "lifetime")] {
        let gateway = world_of(address, |c| c.route("public", "limits", limits));
        let (mut caller, mut opened) = open(&gateway, &backend, gateway.get("/public/live"));
        assert!(caller.closes());
        assert_eq!(opened.stream.rest().unwrap(), b"");
        gateway.expect_metric("wicketgate_websockets_closed_total", &[("reason", reason)], 1.0);
    }
}

#[test]
fn a_websocket_is_cut_off_when_its_caller_would_not_be_let_in_any_more() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c.route("me", "limits", json!({"recheck": "100ms"})));
    let open_as = |token: &str, id: &str| {
        open(&gateway, &backend, gateway.get("/me/live").customer(token).header("X-Request-Id", id))
    };
    let (mut staying, mut stays) = open_as(&gateway.customer_token(), "stays");
    let ended = gateway.login(ALICE);
    let (mut caller, opened) = open_as(&ended, "logout");
    gateway.post("/auth/logout").customer(&ended).send();
    assert!(caller.closes());
    let line = gateway.access_line("logout");
    assert_eq!(
        (&line["refusal"], &line["status"], &line["complete"]),
        (&json!("customer_token_revoked"), &json!(101), &json!(false))
    );
    drop(opened);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // The clocks' allowance is 30 s.
    let short = gateway.forge(|_, claims| claims["exp"] = json!(now - 28));
    let (mut caller, _opened) = open_as(&short, "expiry");
    assert!(caller.closes());
    assert_eq!(gateway.access_line("expiry")["refusal"], "customer_token_expired");
    staying.send(b"x");
    assert_eq!(stays.stream.exact(1).unwrap(), b"x", "the other one goes on");
    let config =
        with_websockets(Config::with_server(&format!("http://{address}"))).route("me", "websocket", json!(false));
    gateway.reload(&config, "reloaded");
    assert!(staying.closes());
    assert_eq!(gateway.access_line("stays")["refusal"], "no_route");
}

#[test]
fn a_websocket_has_the_grace_time_to_end_and_is_written_down() {
    let (address, backend) = backend();
    for polite in [true, false] {
        let mut gateway = world_of(address, |c| {
            let grace = if polite { "10s" } else { "300ms" };
            c.set("/shutdown/grace", json!(grace))
        });
        let request = gateway.get("/public/live").header("X-Request-Id", "draining");
        let (mut caller, mut opened) = open(&gateway, &backend, request);
        gateway.signal("TERM");
        caller.send(b"still here");
        assert_eq!(opened.stream.exact(10).unwrap(), b"still here");
        if polite {
            opened.stream.stream.shutdown(Shutdown::Write).unwrap();
            caller.end_sending();
        }
        assert_eq!(gateway.wait_exit().code(), Some(0));
        assert_eq!(opened.stream.rest().unwrap(), b"");
        let line = gateway.access_line("draining");
        assert_eq!((&line["bytes_in"], &line["complete"]), (&json!(10), &json!(polite)));
    }
}

#[test]
fn a_websocket_stays_with_the_old_process_until_it_ends_or_the_grace_time_is_over() {
    let (address, backend) = backend();
    for polite in [true, false] {
        let gateway = world_of(address, |c| c.set("/shutdown/grace", json!(if polite { "10s" } else { "300ms" })));
        let (mut caller, mut opened) = open(&gateway, &backend, gateway.get("/public/live"));
        let (new, mut old) = gateway.upgrade();
        if polite {
            caller.send(b"still here");
            assert_eq!(opened.stream.exact(10).unwrap(), b"still here");
            assert!(old.running());
            opened.stream.stream.shutdown(Shutdown::Write).unwrap();
            caller.end_sending();
        }
        assert_eq!(old.wait_exit().code(), Some(0));
        // Whoever has said nothing is told with a Close frame.
        assert_eq!(opened.stream.rest().unwrap().len(), if polite { 0 } else { 8 });
        open(&new, &backend, new.get("/public/live"));
    }
}
