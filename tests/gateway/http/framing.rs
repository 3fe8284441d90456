//! Framing of requests: what could be read in two ways is refused, and nothing of it reaches a backend.

use crate::harness::http1::Fault;
use crate::harness::*;

/// Sends bytes on a connection of their own: a 400 (or one of `others`), the connection ends, the backend sees nothing whole.
#[track_caller]
pub(super) fn refused(backend: &Backend, gateway: &Gateway, bytes: &[u8], others: &[u16]) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let mut connection = gateway.connect();
    match connection.exchange(bytes) {
        Ok(answer) => {
            assert!(answer.status == 400 || others.contains(&answer.status), "{} to {shown:?}", answer.status);
            if answer.status == 400 {
                assert!(answer.code().starts_with("400-"), "{}", answer.text());
            }
            assert!(connection.closes(), "the connection goes on after {shown:?}");
        }
        Err(Fault::Closed) if others.contains(&0) => {}
        Err(fault) => panic!("{fault:?} to {shown:?}"),
    }
    assert!(!backend.requests().iter().any(|seen| seen.complete), "the backend saw {shown:?}");
    assert_eq!(backend.problems(), [""; 0], "{shown:?}");
}

pub(super) fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}").into_bytes()
}

fn get(lines: &str) -> Vec<u8> {
    format!("GET /public/x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes()
}

#[test]
fn content_length_with_transfer_encoding_is_refused() {
    let (backend, gateway) = world();
    refused(&backend, &gateway, &post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[]);
    refused(&backend, &gateway, &post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), &[]);
    gateway.post("/public/x").body("hello").send().ok();
}

#[test]
fn several_content_lengths_are_refused() {
    let (backend, gateway) = world();
    for lines in [
        "Content-Length: 5\r\nContent-Length: 10\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 10\r\n",
        "Content-Length: 5, 5\r\n",
    ] {
        refused(&backend, &gateway, &post(lines, "hello"), &[]);
    }
}

#[test]
fn a_content_length_is_digits_and_nothing_else() {
    let (backend, gateway) = world();
    for value in ["+5", "-5", "0x5", "5_0", "", "5.0", "5 5", "18446744073709551616", "99999999999999999999999", "five"]
    {
        refused(&backend, &gateway, &post(&format!("Content-Length: {value}\r\n"), "hello"), &[413]);
    }
}

#[test]
fn a_content_length_with_leading_zeros_is_refused_or_written_anew() {
    let (backend, gateway) = world();
    let answer = gateway.connect().exchange(&post("Content-Length: 010\r\n", "0123456789")).unwrap();
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    for seen in backend.requests() {
        assert_eq!((seen.header("Content-Length"), seen.body.as_slice()), (Some("10"), &b"0123456789"[..]));
    }
    assert_eq!(backend.problems(), [""; 0]);
}

#[test]
fn every_transfer_encoding_but_one_line_chunked_is_refused() {
    let (backend, gateway) = world();
    let odd = [
        "chunked, identity",
        ",chunked",
        "identity, chunked",
        "gzip, chunked",
        "deflate",
        "chunked, chunked",
        "chunked;x=y",
        "\"chunked\"",
        "xchunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "identity\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: x",
        "\x0bchunked",
        "",
    ];
    for value in odd {
        refused(
            &backend,
            &gateway,
            &post(&format!("Transfer-Encoding: {value}\r\n"), "5\r\nhello\r\n0\r\n\r\n"),
            &[501],
        );
    }
    let good = gateway.connect().exchange(&post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")).unwrap();
    assert_eq!((good.status, backend.last().body.as_slice()), (200, &b"hello"[..]));
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused_and_the_connection_ends() {
    let (backend, gateway) = world();
    let smuggled = "0\r\n\r\nGET /public/second HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bytes = format!(
        "POST /public/x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"
    );
    refused(&backend, &gateway, bytes.as_bytes(), &[]);
}

#[test]
fn control_bytes_in_header_values_are_refused() {
    let (backend, gateway) = world();
    for byte in (0_u8..0x20).chain([0x7f]).filter(|&b| b != b'\t' && b != b'\n' && b != b'\r') {
        let mut bytes = b"GET /public/x HTTP/1.1\r\nHost: localhost\r\nX-A: a".to_vec();
        bytes.push(byte);
        bytes.extend_from_slice(b"b\r\n\r\n");
        refused(&backend, &gateway, &bytes, &[]);
    }
    refused(&backend, &gateway, &get("X-A: a\rX-B: b\r\n"), &[]);
    refused(&backend, &gateway, &get("X-A\0: a\r\n"), &[]);
}

#[test]
fn a_bare_line_feed_never_ends_a_field_differently_for_the_backend() {
    let (backend, gateway) = world();
    let answer = gateway.connect().exchange(&get("X-A: a\nX-Customer-Id: admin\r\n"));
    if let Ok(answer) = answer {
        assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    }
    for seen in backend.requests() {
        assert!(seen.all("X-Customer-Id").is_empty());
    }
    assert_eq!(backend.problems(), [""; 0]);
}

#[test]
fn odd_field_lines_are_refused() {
    let (backend, gateway) = world();
    for line in
        ["X-A : a", "X-A\t: a", "no colon", ": empty name", "X A: a", "X(A): a", "X-A=: a\x01", "Host : localhost"]
    {
        refused(&backend, &gateway, &get(&format!("{line}\r\n")), &[]);
    }
    refused(&backend, &gateway, b"GET /public/x HTTP/1.1\r\n X: y\r\nHost: localhost\r\n\r\n", &[]);
    refused(&backend, &gateway, b"GET /public/x HTTP/1.1\r\n\tHost: localhost\r\n\r\n", &[]);
}

#[test]
fn a_folded_line_is_refused_or_becomes_one_line() {
    let (backend, gateway) = world();
    for bytes in [
        get("X-A: a\r\n b\r\n"),
        get("X-A: a\r\n\tX-Customer-Id: admin\r\n"),
        post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
    ] {
        if let Ok(answer) = gateway.connect().exchange(&bytes) {
            assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
        }
    }
    assert_eq!(backend.problems(), [""; 0]);
    assert!(backend.requests().iter().all(|seen| seen.all("X-Customer-Id").is_empty()));
}

#[test]
fn a_host_that_is_missing_repeated_or_no_host_is_400() {
    let (backend, gateway) = world();
    for host in [
        "",
        "Host: \r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nHost: evil.test\r\n",
        "Host: user@localhost\r\n",
        "Host: localhost/path\r\n",
        "Host: local host\r\n",
        "Host: localhost:port\r\n",
        "Host: [::1\r\n",
        "Host: localhost?x\r\n",
    ] {
        refused(&backend, &gateway, format!("GET /public/x HTTP/1.1\r\n{host}\r\n").as_bytes(), &[]);
    }
    gateway.get("/public/x").replace("Host", "[::1]:8443").send().ok();
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let (backend, gateway) = world();
    let bytes = b"GET https://wanted.test/public/x HTTP/1.1\r\nHost: other.test\r\n\r\n";
    let answer = gateway.connect().exchange(bytes).unwrap();
    assert!(matches!(answer.status, 200 | 400 | 421), "{}", answer.status);
    for seen in backend.requests() {
        assert_eq!((seen.target.as_str(), seen.header("Host")), ("/public/x", Some("wanted.test")));
    }
    assert_eq!(backend.problems(), [""; 0]);
    gateway.connect().exchange(b"GET http://127.0.0.1:9/public/x HTTP/1.1\r\nHost: localhost\r\n\r\n").ok();
    assert!(backend.problems().is_empty(), "the target never chooses the backend");
}

#[test]
fn bytes_after_an_early_refusal_are_never_taken_for_a_request() {
    let (backend, gateway) = world();
    let inner = "GET /public/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let request = gateway.post("/me/x").body(inner);
    let mut connection = gateway.connect();
    request.send_on(&mut connection).expect(401, "401-10");
    match gateway.get("/public/next").try_on(&mut connection) {
        Ok(answer) => drop(answer.ok()),
        Err(fault) => assert_eq!(fault, Fault::Closed),
    }
    gateway.post("/public/x").body("x").replace("Host", "").send().expect(400, "400-01");
    assert!(backend.requests_for("/public/smuggled").is_empty());
}

#[test]
fn pipelined_requests_are_answered_in_order_and_each_is_checked() {
    let (backend, gateway) = world();
    let mut bytes = gateway.get("/public/1").bytes();
    bytes.extend(gateway.get("/me/2").bytes());
    bytes.extend(gateway.get("/public/3").bytes());
    let mut connection = gateway.connect();
    connection.send(&bytes);
    let statuses: Vec<u16> = (0..3).map(|_| connection.receive("GET").unwrap().status).collect();
    assert_eq!(statuses, [200, 401, 200]);
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn request_lines_have_two_spaces_and_a_version() {
    let (backend, gateway) = world();
    for line in [
        "GET /public/x",
        "GET  /public/x HTTP/1.1",
        "GET /public/x  HTTP/1.1",
        "GET /public/x HTTP/1.9",
        "GET /public/x HTTP/2.0",
        "GET /public/x HTTP/1.1 ",
        "GET /public/x http/1.1",
        "GET\t/public/x\tHTTP/1.1",
        "GET /public/x y HTTP/1.1",
        " GET /public/x HTTP/1.1",
        "GET /public/x HTTP/11",
        "G@T /public/x HTTP/1.1",
        "G\u{e9}T /public/x HTTP/1.1",
    ] {
        refused(&backend, &gateway, format!("{line}\r\nHost: localhost\r\n\r\n").as_bytes(), &[505, 405, 501]);
    }
    refused(&backend, &gateway, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not HTTP at all\r\n\r\n", &[0]);
}

#[test]
fn an_upgrade_is_not_a_tunnel() {
    let (backend, gateway) = world();
    let mut bytes = gateway.get("/public/x").header("Connection", "Upgrade").header("Upgrade", "foo").bytes();
    bytes.extend(gateway.get("/me/secret").bytes());
    let mut connection = gateway.connect();
    connection.send(&bytes);
    let first = connection.receive("GET").unwrap();
    assert!(matches!(first.status, 200 | 400 | 501), "{}", first.status);
    if let Ok(second) = connection.receive("GET") {
        assert_eq!(second.status, 401);
    }
    assert!(backend.requests_for("/me/secret").is_empty());
    assert!(backend.requests().iter().all(|seen| seen.all("Upgrade").is_empty()));
}

#[test]
fn connect_and_trace_reach_no_backend() {
    let (backend, gateway) = world();
    for bytes in [
        &b"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n"[..],
        b"TRACE /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let answer = gateway.connect().exchange(bytes).unwrap();
        assert!(matches!(answer.status, 400 | 404 | 405 | 501), "{}", answer.status);
    }
    backend.assert_untouched();
}

#[test]
fn expect_continue_is_answered_before_the_body_and_other_expectations_are_417() {
    let (backend, gateway) = world();
    let mut connection = gateway.connect();
    connection.send(&post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    let interim = connection.wire.head().unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
    connection.exchange(b"hello").unwrap().ok();
    assert_eq!(backend.last().body, b"hello");
    let refused = gateway
        .post("/me/x")
        .header("Expect", "100-continue")
        .header("Content-Length", "5")
        .send()
        .expect(401, "401-10");
    assert_eq!(refused.interim, [0_u16; 0]);
    gateway.get("/public/x").header("Expect", "wonders").send().expect(417, "417-01");
}

#[test]
fn over_http_2_host_must_not_differ_from_the_authority() {
    let (backend, gateway) = world();
    let request = http::Request::get("https://localhost/public/x").header("host", "evil.test");
    if let Ok(answer) = h2_client::send(gateway.address, request.body(()).unwrap(), b"", None) {
        assert_eq!(answer.status(), 400);
    }
    backend.assert_untouched();
    let request = http::Request::get("https://localhost/public/x").header("host", "localhost");
    assert_eq!(h2_client::send(gateway.address, request.body(()).unwrap(), b"", None).unwrap().status(), 200);
    assert_eq!(backend.only().header("Host"), Some("localhost"));
}

#[test]
fn a_get_with_a_body_is_forwarded_whole_or_refused() {
    let (backend, gateway) = world();
    let answer = gateway.get("/public/x").body("hello").send();
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    if answer.status == 200 {
        assert_eq!(backend.only().body, b"hello");
    }
}

#[test]
fn a_body_without_a_length_is_forwarded_whole_whatever_the_method() {
    let (backend, gateway) = world();
    for method in ["GET", "DELETE", "PUT", "POST"] {
        let head = format!("{method} /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut caller = gateway.connect();
        caller.send(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes());
        caller.receive(method).unwrap().ok();
        assert_eq!(backend.last().body, b"hello", "{method}");
        // Nor does one that breaks off arrive as a request without one.
        backend.forget();
        gateway.connect().exchange(format!("{head}5\r\nhelloX0\r\n").as_bytes()).unwrap().expect(400, "400-01");
        assert!(!backend.requests().iter().any(|seen| seen.complete), "{method}");
    }
    let request = http::Request::get("https://localhost/public/x").body(()).unwrap();
    assert_eq!(h2_client::send(gateway.address, request, b"hello", None).unwrap().status(), 200);
    assert_eq!(backend.last().body, b"hello");
    assert_eq!(backend.problems(), [""; 0]);
}

#[test]
fn ambiguous_heads_are_refused_also_behind_other_requests_on_the_connection() {
    let first = [
        "GET /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        "POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    ];
    let ambiguous = [
        "POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "GET /public/x HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    ];
    let (backend, gateway) = world();
    for first in first {
        for ambiguous in ambiguous {
            for pipelined in [false, true] {
                backend.forget();
                let mut caller = gateway.connect();
                if pipelined {
                    caller.send(format!("{first}{ambiguous}").as_bytes());
                } else {
                    caller.send(first.as_bytes());
                }
                assert_eq!(caller.receive("GET").unwrap().status, 200, "{first:?}");
                if !pipelined {
                    caller.send(ambiguous.as_bytes());
                }
                caller.receive("GET").unwrap().expect(400, "400-01");
                assert!(caller.closes(), "the connection goes on after {ambiguous:?}");
                assert_eq!(backend.requests().len(), 1);
            }
        }
    }
}

#[test]
fn many_requests_of_all_framings_follow_each_other_on_one_connection() {
    let (backend, gateway) = world();
    let mut caller = gateway.connect();
    let bodies = [
        "GET /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        "POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "\r\nPOST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    ];
    let all: String = (0..40).map(|n| bodies[n % 4]).collect();
    for piece in all.as_bytes().chunks(37) {
        caller.send(piece);
    }
    for _ in 0..40 {
        caller.receive("GET").unwrap().ok();
    }
    assert_eq!(backend.requests().len(), 40);
}

#[test]
fn a_body_over_http_2_without_a_length_is_held_to_its_content_type() {
    let (_backend, gateway) = world_with(|c| c.route("public", "content_types", json!(["application/json"])));
    let request = |kind: &str| {
        let builder = http::Request::post("https://localhost/public/x").header("content-type", kind);
        h2_client::send(gateway.address, builder.body(()).unwrap(), b"{}", None).unwrap()
    };
    assert_eq!(request("text/plain").status(), 415);
    assert_eq!(request("application/json").status(), 200);
}
