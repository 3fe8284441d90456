//! Duties of an HTTP intermediary (RFC 9110, RFC 9112) beside framing: Via, Max-Forwards, Expect, 1xx, Date.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::harness::client::answer;
use crate::harness::http1::{Fault, Wire};
use crate::harness::*;

#[test]
fn an_absolute_target_names_the_host_and_never_the_backend() {
    let (backend, gateway) = world_with(|c| c.route("public", "hosts", json!(["wanted.test"])));
    let absolute = |target: &str, host: &str| {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        gateway.connect().exchange(bytes.as_bytes()).unwrap()
    };
    assert_eq!(absolute("https://wanted.test/public/x?a=1", "other.test").status, 200);
    let seen = backend.only();
    assert_eq!((seen.target.as_str(), seen.header("Host")), ("/public/x?a=1", Some("wanted.test")));
    absolute("https://other.test/public/x", "wanted.test").expect(404, "404-01");
    absolute("https://user@wanted.test/public/x", "wanted.test").expect(400, "400-01");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_host_that_no_route_serves_is_not_found() {
    let (backend, gateway) = world_with(|c| c.route("public", "hosts", json!(["api.test"])));
    for host in ["evil.test", "localhost", "api.test.evil.test", "127.0.0.1"] {
        gateway.get("/public/x").replace("Host", host).send().expect(404, "404-01");
    }
    backend.assert_untouched();
    for host in ["api.test", "API.test:8443"] {
        gateway.get("/public/x").replace("Host", host).send().ok();
        assert_eq!(backend.last().header("Host"), Some(host));
    }
}

#[test]
fn via_names_the_gateway_once_in_both_directions_and_keeps_what_stands_there() {
    let (backend, gateway) = world();
    backend.on("/public/old", Behaviour::reply(200, &[("Via", "1.0 legacy-cache")], b""));
    assert_eq!(gateway.get("/public/x").send().ok().header("Via"), Some("1.1 wicketgate"));
    assert_eq!(backend.last().header("Via"), Some("1.1 wicketgate"));
    let answer = gateway.get("/public/old").header("Via", "1.1 edge").header("Via", "2 cdn").send().ok();
    assert_eq!(answer.header("Via"), Some("1.0 legacy-cache, 1.1 wicketgate"));
    assert_eq!(backend.last().header("Via"), Some("1.1 edge, 2 cdn, 1.1 wicketgate"));
    let request = http::Request::get("https://localhost/public/x").body(()).unwrap();
    let answer = h2_client::send(gateway.address, request, b"", None).unwrap();
    assert_eq!(answer.headers()["via"], "1.1 wicketgate");
    assert_eq!(backend.last().header("Via"), Some("2.0 wicketgate"));
}

#[test]
fn max_forwards_is_counted_for_options_and_the_last_hop_answers() {
    let (backend, gateway) = world_with(|c| c.route("public", "methods", json!(["GET", "OPTIONS"])));
    let options = |hops: &str| gateway.request("OPTIONS", "/public/x").header("Max-Forwards", hops);
    let answer = options("0").send().expect(204, "");
    assert_eq!((answer.header("Allow"), answer.header("Content-Length")), (Some("GET, OPTIONS"), None));
    backend.assert_untouched();
    options("5").send().ok();
    assert_eq!(backend.last().header("Max-Forwards"), Some("4"));
    // For other methods it means nothing.
    gateway.get("/public/x").header("Max-Forwards", "0").send().ok();
    assert_eq!(backend.last().header("Max-Forwards"), Some("0"));
    // A caller that is not let in learns nothing by it.
    let (backend, gateway) = world_with(|c| c.route("me", "methods", json!(["GET", "OPTIONS"])));
    gateway.request("OPTIONS", "/me/x").header("Max-Forwards", "0").send().expect(401, "401-10");
    gateway.request("OPTIONS", "*").send().expect(204, "");
    gateway.request("GET", "*").send().expect(400, "400-01");
    backend.assert_untouched();
}

#[test]
fn a_final_answer_that_comes_before_the_body_ends_the_exchange() {
    let (backend, gateway) = world();
    // Refused by the gateway: no 100, and the body that comes nevertheless is no request.
    let mut caller = gateway.connect();
    let head = "POST /me/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 52\r\n\r\n";
    caller.send(head.as_bytes());
    let refused = caller.receive("POST").unwrap().expect(401, "401-10");
    assert_eq!(refused.interim, [0_u16; 0]);
    caller.send(b"GET /public/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n");
    assert!(matches!(caller.receive("GET"), Err(Fault::Closed)));
    backend.assert_untouched();
    // Answered by the backend from the head alone.
    let early = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", early.local_addr().unwrap());
    let answering = thread::spawn(move || {
        let mut wire = Wire::new(early.accept().unwrap().0);
        wire.head().unwrap();
        let said = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
        wire.stream.write_all(said).unwrap();
    });
    let gateway = Gateway::start(&Config::with_server(&url));
    let mut caller = gateway.connect();
    caller.send(b"POST /public/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n");
    assert_eq!(caller.receive("POST").unwrap().status, 403);
    answering.join().unwrap();
}

#[test]
fn no_interim_answer_reaches_http_1_0_and_others_get_100_only() {
    let (backend, gateway) = world();
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
    backend.on("/public/x", Behaviour::Raw([hints, answer(&[], "final")].concat()));
    let old = b"POST /public/x HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    let mut caller = gateway.connect();
    let response = caller.exchange(old).unwrap();
    assert_eq!((response.status, response.interim.len(), response.text().as_str()), (200, 0, "final"));
    assert!(caller.closes());
    assert_eq!(gateway.get("/public/x").send().ok().interim, [0_u16; 0]);
}

#[test]
fn trailers_stay_trailers_and_lose_what_must_not_stand_there() {
    let (backend, gateway) = world();
    let names = ["Host", "Content-Length", "Authorization", "Cookie", "X-Customer-Id", "X-Forwarded-For", "X-Checksum"];
    let head = format!(
        "POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: {}\r\n\r\n5\r\nhello\r\n0\r\n",
        names.join(", ")
    );
    let trailers: String = names.iter().map(|name| format!("{name}: 7\r\n")).collect();
    gateway.connect().exchange(format!("{head}{trailers}\r\n").as_bytes()).unwrap().ok();
    let seen = backend.only();
    assert_eq!(seen.trailers, [("x-checksum".to_owned(), "7".to_owned())]);
    assert!(!seen.lines.iter().any(|(_, value)| value == "7"), "{:?}", seen.lines);
}

#[test]
fn limits_of_a_head_hold_before_all_of_it_has_come() {
    let (backend, gateway) = world();
    let mut caller = gateway.connect();
    caller.send(b"GET /public/x HTTP/1.1\r\nHost: localhost\r\nX-Endless: ");
    // It never ends, and is refused all the same.
    for _ in 0..64 {
        caller.send(&[b'a'; 1024]);
    }
    caller.receive("GET").unwrap().expect(431, "431-01");
    gateway.get(&format!("/public/{}", "a".repeat(9000))).send().expect(414, "414-01");
    gateway.post("/public/x").header("Content-Length", "99999999").send().expect(413, "413-01");
    backend.assert_untouched();
}

#[test]
fn answers_of_the_gateway_itself_have_a_date_and_a_type() {
    let (_backend, gateway) = world();
    for answer in [gateway.get("/nowhere").send(), gateway.get("/me/x").send(), gateway.get("/account/x").send()] {
        let date = answer.header("Date").unwrap();
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert_eq!((answer.header("X-Content-Type-Options"), answer.header("Server")), (Some("nosniff"), None));
    }
}

#[test]
fn date_and_server_of_the_backend_pass_as_they_are() {
    let (backend, gateway) = world();
    let headers = [("Date", "Tue, 15 Nov 1994 08:12:31 GMT"), ("Server", "Legacy/2.4")];
    backend.on("/public/x", Behaviour::reply(200, &headers, b""));
    let answer = gateway.get("/public/x").send().ok();
    assert_eq!((answer.header("Date"), answer.header("Server")), (Some(headers[0].1), Some(headers[1].1)));
    // Where the backend sends no date, the first recipient with a clock adds one (RFC 9110 section 6.6.1).
    backend.on("/public/y", Behaviour::reply(200, &[], b""));
    assert!(gateway.get("/public/y").send().ok().header("Date").is_some());
}

#[test]
fn refusals_have_www_authenticate_allow_or_retry_after() {
    let (_backend, gateway) = world_with(|c| c.route("public", "limits", json!({"rate": "1/h", "burst": 1})));
    assert!(gateway.get("/me/x").send().expect(401, "401-10").header("WWW-Authenticate").is_some());
    let allow = gateway.get("/account/x").send().expect(405, "405-01");
    assert_eq!(allow.header("Allow"), Some("POST"));
    gateway.get("/public/x").send().ok();
    assert!(gateway.get("/public/x").send().expect(429, "429-01").retry_after() > 1);
}

#[test]
fn encoded_bodies_pass_byte_for_byte_both_ways() {
    let (backend, gateway) = world();
    // The encoder's own bytes: gzip of "hello", and what only says that it is br.
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05\x00\x00\x00";
    for (coding, bytes) in [("gzip", &gzip[..]), ("br", b"\x0b\x02\x80hello\x03")] {
        backend.on("/public/x", Behaviour::reply(200, &[("Content-Encoding", coding), ("ETag", "\"a\"")], bytes));
        let answer = gateway
            .post("/public/x")
            .header("Content-Encoding", coding)
            .header("Accept-Encoding", coding)
            .body(bytes)
            .send()
            .ok();
        assert_eq!((answer.body.as_slice(), answer.header("Content-Encoding")), (bytes, Some(coding)));
        assert_eq!(answer.header("ETag"), Some("\"a\""));
        let seen = backend.last();
        assert_eq!((seen.body.as_slice(), seen.header("Content-Encoding")), (bytes, Some(coding)));
        assert_eq!(seen.header("Accept-Encoding"), Some(coding));
    }
}

#[test]
fn events_pass_one_by_one_over_http_2_too() {
    let (backend, gateway) = world();
    let gate = Gate::default();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let first = format!("{head}d\r\ndata: first\n\n\r\n");
    backend.on(
        "/public/x",
        Behaviour::Staged(first.into_bytes(), gate.clone(), b"e\r\ndata: second\n\n\r\n0\r\n\r\n".to_vec()),
    );
    let pieces = h2_client::pieces(gateway.address, "https://localhost/public/x", || gate.open()).unwrap();
    assert_eq!(pieces.concat(), b"data: first\n\ndata: second\n\n");
    assert_eq!(pieces[0], b"data: first\n\n", "the first event comes before the second exists");
}

#[test]
fn http_1_0_callers_and_backends_get_what_they_can_read() {
    let (backend, gateway) = world();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec();
    backend.on("/public/x", Behaviour::Raw(chunked));
    let mut caller = gateway.connect();
    caller.send(b"GET /public/x HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let all = String::from_utf8(caller.wire.rest().unwrap()).unwrap();
    assert!(all.ends_with("\r\n\r\nhello") && !all.to_ascii_lowercase().contains("transfer-encoding"), "{all:?}");
    assert_eq!(backend.last().header("Via"), Some("1.0 wicketgate"));
    // A backend of HTTP/1.0 ends its body with its connection.
    let old = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold body".to_vec();
    backend.on("/public/old", Behaviour::RawThenClose(old));
    let mut caller = gateway.connect();
    for _ in 0..2 {
        assert_eq!(gateway.get("/public/old").send_on(&mut caller).ok().text(), "old body");
    }
}

#[test]
fn a_connection_closes_after_the_request_that_says_so() {
    let (backend, gateway) = world();
    let mut caller = gateway.connect();
    let last = gateway.get("/public/2").header("Connection", "close");
    caller.send(&[gateway.get("/public/1").bytes(), last.bytes(), gateway.get("/public/3").bytes()].concat());
    assert_eq!(caller.receive("GET").unwrap().status, 200);
    assert!(caller.receive("GET").unwrap().ok().close);
    let mut rest = Vec::new();
    caller.wire.stream.read_to_end(&mut rest).ok();
    assert!(rest.is_empty() && caller.wire.buffer.is_empty());
    assert!(backend.requests_for("/public/3").is_empty());
}

#[test]
fn the_answer_to_head_has_no_content_by_http_2_either() {
    let (_backend, gateway) = world();
    for (path, status) in
        [("/nowhere", 404), ("/me/x", 401), ("/auth/customer_authenticate", 405), ("/.well-known/jwks.json", 200)]
    {
        let request = |method: &str| {
            let request = http::Request::builder().method(method).uri(format!("https://localhost{path}"));
            h2_client::send(gateway.address, request.body(()).unwrap(), b"", None).unwrap()
        };
        let (head, get) = (request("HEAD"), request("GET"));
        assert_eq!((head.status().as_u16(), head.body().len()), (status, 0), "{path}");
        assert!(!get.body().is_empty(), "{path}");
        let length = head.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
        assert_eq!(length, get.body().len(), "{path}");
    }
}
