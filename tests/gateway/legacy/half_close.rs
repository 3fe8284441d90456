//! Early answers and half-closed connections.

use crate::harness::client::Stream;
use crate::harness::*;

/// A gateway with TLS, or without.
fn start(tls: bool) -> (Backend, Gateway) {
    world_with(|c| if tls { c } else { c.without("/listen/0/tls") })
}

fn connect(gateway: &Gateway, tls: bool) -> Connection {
    if tls { gateway.connect() } else { Connection::plain(gateway.address) }
}

/// Ends our direction, and goes on reading: by close_notify over TLS, where the socket stays open, and by FIN without.
fn end_direction(connection: &mut Connection) {
    match &mut connection.wire.stream {
        Stream::Plain(socket) => socket.shutdown(std::net::Shutdown::Write).unwrap(),
        Stream::Tls(stream) => {
            stream.conn.send_close_notify();
            std::io::Write::flush(stream).unwrap();
        }
    }
}

#[test]
fn a_caller_that_ends_its_direction_after_its_request_gets_its_answer() {
    for tls in [false, true] {
        let (backend, gateway) = start(tls);
        for (method, body) in [("GET", ""), ("POST", "name=value")] {
            let gate = Gate::default();
            backend.on("/public/x", Behaviour::Hold(gate.clone()));
            backend.forget();
            let mut connection = connect(&gateway, tls);
            connection.send(&gateway.request(method, "/public/x").body(body).bytes());
            backend.wait_for(1);
            end_direction(&mut connection);
            if !tls {
                // It has been seen: the gateway asks whether anybody is there.
                let head = String::from_utf8(connection.wire.head().unwrap()).unwrap();
                assert_eq!(head, "HTTP/1.1 100 Continue\r\n\r\n");
            }
            // And another request of somebody else, for the rest to be seen.
            gateway.request("GET", "/public/other").send_on(&mut connect(&gateway, tls)).ok();
            gate.open();
            let answer = connection.receive(method).unwrap().ok();
            assert_eq!(answer.json(), json!({"ok": true}), "{method} {tls}");
            assert!(answer.close && connection.closes(), "nothing can follow");
        }
    }
}

#[test]
fn a_request_and_the_end_of_its_direction_in_one_piece_are_answered() {
    for tls in [false, true] {
        let (backend, gateway) = start(tls);
        for round in 0..20 {
            let mut connection = connect(&gateway, tls);
            connection.send(&gateway.get("/public/x").bytes());
            end_direction(&mut connection);
            let answer = connection.receive("GET").unwrap_or_else(|fault| panic!("{tls} {round}: {fault:?}"));
            answer.ok();
        }
        assert_eq!(backend.requests().len(), 20);
    }
}

#[test]
fn a_large_answer_reaches_a_caller_that_has_ended_its_direction() {
    let large = vec![b'l'; 4 << 20];
    for tls in [false, true] {
        let (backend, gateway) = start(tls);
        backend.on("/public/x", Behaviour::reply(200, &[], &large));
        let mut connection = connect(&gateway, tls);
        connection.send(&gateway.get("/public/x").bytes());
        end_direction(&mut connection);
        assert!(connection.receive("GET").unwrap().ok().body == large, "{tls}");
    }
}

#[test]
fn an_old_caller_of_http_1_0_is_sent_no_interim_answer() {
    let (backend, gateway) = start(false);
    let gate = Gate::default();
    backend.on("/public/x", Behaviour::Hold(gate.clone()));
    let mut connection = Connection::plain(gateway.address);
    connection.send(b"GET /public/x HTTP/1.0\r\nHost: localhost\r\n\r\n");
    end_direction(&mut connection);
    backend.wait_for(1);
    gateway.request("GET", "/public/other").send_on(&mut Connection::plain(gateway.address)).ok();
    gate.open();
    let answer = connection.receive("GET").unwrap().ok();
    assert_eq!(answer.interim, Vec::<u16>::new());
}

#[test]
fn a_caller_that_has_gone_is_noticed_as_before() {
    for tls in [false, true] {
        // With a place for one, the next finds it free only once the first is given up.
        let (backend, gateway) = world_with(|c| {
            let config = c.set("/backends/legacy/timeout", json!("1m")).set("/backends/legacy/concurrency", json!(1));
            let config = config.set("/backends/legacy/queue", json!({"length": 1, "timeout": "10s"}));
            if tls { config } else { config.without("/listen/0/tls") }
        });
        backend.on("/public/gone", Behaviour::Silent);
        let mut connection = connect(&gateway, tls);
        connection.send(&gateway.get("/public/gone").header("X-Request-Id", "gone-1").bytes());
        backend.wait_for(1);
        end_direction(&mut connection);
        // As close() does it, with the end of TLS before.
        drop(connection);
        gateway.get("/public/x").send_on(&mut connect(&gateway, tls)).ok();
        let line = gateway.access_line("gone-1");
        assert_eq!((&line["status"], &line["complete"]), (&json!(499), &json!(false)), "{tls}");
    }
}

#[test]
fn a_body_that_the_end_cuts_off_is_no_request() {
    for tls in [false, true] {
        let (backend, gateway) = start(tls);
        let mut connection = connect(&gateway, tls);
        connection.send(b"POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello");
        end_direction(&mut connection);
        if let Ok(answer) = connection.receive("POST") {
            answer.expect(400, "400-01");
        }
        assert!(backend.requests().iter().all(|seen| !seen.complete), "{tls}");
    }
}
