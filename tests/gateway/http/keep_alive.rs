//! Exchanges on one connection: no byte of one is taken for a part of another.

use crate::harness::*;

const SPLIT: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

/// A line for each answer of the gateway's own, which a body must never cause.
fn refusals(gateway: &Gateway) -> f64 {
    gateway.metric("wicketgate_requests_total", &[("status", "400")])
}

#[test]
fn a_body_that_looks_like_an_answer_of_the_parser_stays_a_body() {
    let (backend, gateway) = world();
    for status in ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"] {
        let text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let gate = Gate::default();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 + text.len());
        let first = format!("{head}!");
        backend.on("/public/stored", Behaviour::Staged(first.into_bytes(), gate.clone(), text.clone().into_bytes()));
        let mut connection = gateway.connect();
        connection.send(&gateway.get("/public/stored").bytes());
        let head = connection.wire.head().unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200"), "{status}");
        assert_eq!(connection.wire.exact(1).unwrap(), b"!");
        gate.open();
        assert_eq!(String::from_utf8(connection.wire.exact(text.len()).unwrap()).unwrap(), text);
        gateway.get("/public/x").send_on(&mut connection).ok();
    }
    assert_eq!(refusals(&gateway), 0.0);
}

#[test]
fn a_long_text_of_such_answers_passes_whatever_the_pieces_in_which_it_comes() {
    let (backend, gateway) = world();
    for shift in 0..12 {
        let text = [&vec![b' '; shift * 4][..], &SPLIT.repeat(480_000 / SPLIT.len())].concat();
        backend.on("/public/stored", Behaviour::reply(200, &[], &text));
        let mut connection = gateway.connect();
        let answer = gateway.get("/public/stored").send_on(&mut connection).ok();
        assert!(answer.body == text, "shifted by {shift}");
        gateway.get("/public/x").send_on(&mut connection).ok();
    }
    assert_eq!(refusals(&gateway), 0.0);
}

#[test]
fn malformed_requests_get_our_answer_also_behind_other_requests() {
    let (_backend, gateway) = world();
    let good = gateway.get("/public/x").bytes();
    for before in 0..3 {
        let mut connection = gateway.connect();
        connection.send(&[&good.repeat(before)[..], b"no request\r\n\r\n"].concat());
        for _ in 0..before {
            connection.receive("GET").unwrap().ok();
        }
        let answer = connection.receive("GET").unwrap().expect(400, "400-01");
        assert!(answer.close && connection.closes(), "{before}");
    }
    gateway.expect_metric("wicketgate_requests_total", &[("status", "400")], 3.0);
}

/// Bytes of memory that the process has.
fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_listener_that_redirects_keeps_nothing_of_what_was_asked() {
    let (_backend, gateway, plain) = crate::listener::listeners::redirecting();
    let request = Request::new(plain, "GET", "/x").header("X-Long", &"x".repeat(30_000));
    let mut connection = Connection::plain(plain);
    let mut ask = |count: usize| (0..count).for_each(|_| drop(request.send_on(&mut connection).expect(308, "")));
    ask(50);
    let before = resident(&gateway);
    ask(1_000);
    let more = resident(&gateway).saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes more after 1,000 requests of 30 kB");
}

/// A proxy's connection, shared by its callers; `address` is whom the proxy names.
fn shared() -> (Backend, Gateway) {
    world_with(|config| {
        config
            .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
            .set("/listen/0/allow", json!(["203.0.113.0/24"]))
    })
}

#[test]
fn after_a_refused_address_the_next_caller_on_a_shared_connection_is_served() {
    let (backend, gateway) = shared();
    let mut connection = gateway.connect();
    let of = |request: Request, address: &str| request.header("X-Forwarded-For", address);
    for refused in ["198.51.100.9", "198.51.100.9"] {
        of(gateway.get("/public/x"), refused).send_on(&mut connection).expect(403, "403-04");
        of(gateway.get("/public/x"), "203.0.113.7").send_on(&mut connection).ok();
        of(gateway.post("/public/x"), "203.0.113.7").body("some bytes").send_on(&mut connection).ok();
        let chunked = of(gateway.post("/public/x"), "203.0.113.7").header("Transfer-Encoding", "chunked").bytes();
        connection.exchange(&[&chunked[..], b"3\r\nabc\r\n0\r\n\r\n"].concat()).unwrap().ok();
        of(gateway.get("/public/x"), "no address").send_on(&mut connection).expect(400, "400-01");
        of(gateway.post("/public/x"), "203.0.113.7").body("more").send_on(&mut connection).ok();
        // Its body is as large as it says, and is no request of its own.
        let inner = gateway.get("/public/hidden").bytes();
        of(gateway.post("/public/x"), refused).body(inner).send_on(&mut connection).expect(403, "403-04");
        of(gateway.get("/public/x"), "203.0.113.7").send_on(&mut connection).ok();
    }
    assert!(backend.requests_for("/public/hidden").is_empty());
    assert_eq!(backend.problems(), Vec::<String>::new());
}

#[test]
fn each_head_is_looked_at_strictly_also_behind_a_refused_one() {
    let (backend, gateway) = shared();
    let mut connection = gateway.connect();
    gateway.get("/public/x").header("X-Forwarded-For", "198.51.100.9").send_on(&mut connection).expect(403, "403-04");
    let bare = "GET /public/x HTTP/1.1\r\nHost: localhost\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
    let answer = connection.exchange(bare.as_bytes()).unwrap().expect(400, "400-01");
    assert!(answer.close);
    backend.assert_untouched();
}

#[test]
fn a_head_with_two_readings_ends_the_connection_whatever_it_is_refused_for() {
    let (backend, gateway) = shared();
    let mut connection = gateway.connect();
    let twice = "POST /public/x HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.9\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxx";
    let answer = connection.exchange(twice.as_bytes()).unwrap();
    assert!(answer.close && [400, 403].contains(&answer.status), "{answer:?}");
    assert!(connection.closes());
    backend.assert_untouched();
}

#[test]
fn the_size_of_a_chunk_has_an_end() {
    let (backend, gateway) = world();
    for path in ["/public/x", "/oauth/access_token", "/nowhere"] {
        let mut connection = gateway.connect();
        connection.send(&gateway.post(path).header("Transfer-Encoding", "chunked").bytes());
        // Were it read on and on, this would be written whole.
        let zeros = vec![b'0'; 64 * 1024];
        let begun = std::time::Instant::now();
        let mut written = 0;
        while written < (256 << 20) && begun.elapsed() < DEADLINE {
            if connection.try_send(&zeros).is_err() {
                break;
            }
            written += zeros.len();
        }
        assert!(written < 64 << 20, "{path}: {written} bytes of zeros were taken");
    }
    assert!(backend.requests().iter().all(|seen| !seen.complete), "{:?}", backend.requests());
    let padded = format!("{}5", "0".repeat(15));
    let chunked = gateway.post("/public/x").header("Transfer-Encoding", "chunked").bytes();
    let body = format!("{padded}\r\nhello\r\n0\r\n\r\n");
    gateway.connect().exchange(&[&chunked[..], body.as_bytes()].concat()).unwrap().ok();
}
