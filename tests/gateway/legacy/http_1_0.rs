//! Callers of HTTP/1.0: without `Host`, with connections that are kept, and without chunks.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use crate::harness::*;

const OLD: &[u8] = b"GET /public/x HTTP/1.0\r\n\r\n";

#[test]
fn a_request_of_http_1_0_without_a_host_is_for_the_default_host() {
    let (backend, gateway) = world();
    let refused = gateway.connect().exchange(OLD).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (400, "400-01"));
    backend.assert_untouched();
    let (backend, gateway) = world_with(|config| {
        config.set("/listen/0/default_host", json!("old.example.com")).route(
            "public",
            "hosts",
            json!(["old.example.com"]),
        )
    });
    let response = gateway.connect().exchange(OLD).unwrap();
    assert_eq!(response.status, 200);
    let seen = backend.only();
    assert_eq!(seen.header("Host"), Some("old.example.com"));
    assert_eq!(seen.header("X-Forwarded-Host"), Some("old.example.com"));
    // Who names a host means that one.
    let named = gateway.connect().exchange(b"GET /public/x HTTP/1.0\r\nHost: other.example.com\r\n\r\n").unwrap();
    assert_eq!((named.status, named.code().as_str()), (404, "404-01"));
}

#[test]
fn http_1_1_without_a_host_is_refused_all_the_same() {
    let (backend, gateway) = world_with(|config| config.set("/listen/0/default_host", json!("localhost")));
    for text in [
        "GET /public/x HTTP/1.1\r\n\r\n",
        "GET /public/x HTTP/1.0\r\nHost:\r\n\r\n",
        "GET /public/x HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /public/x HTTP/1.0\r\nHost : localhost\r\n\r\n",
    ] {
        assert_eq!(gateway.connect().exchange(text.as_bytes()).unwrap().status, 400, "{text:?}");
    }
    backend.assert_untouched();
}

#[test]
fn a_connection_of_http_1_0_is_kept_where_the_caller_asks_for_it() {
    let (_, gateway) = world();
    let kept = b"GET /public/x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let response = connection.exchange(kept).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("Connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
        assert_eq!(response.header("Content-Length"), Some("11"));
    }
    let response = connection.exchange(b"GET /public/x HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(response.status, 200);
    assert!(connection.closes(), "without the wish it ends with its answer");
}

#[test]
fn callers_of_http_1_0_get_no_chunks() {
    let (backend, gateway) = world();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    backend.on("/public/x", Behaviour::Raw(chunked.to_vec()));
    for wish in ["", "Connection: keep-alive\r\n"] {
        let mut connection = gateway.connect();
        connection.send(format!("GET /public/x HTTP/1.0\r\nHost: localhost\r\n{wish}\r\n").as_bytes());
        let text = http1::latin1(&connection.wire.rest().unwrap());
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("keep-alive"), "{head}");
        assert_eq!(body, "hello world", "{wish:?}");
    }
    // A body in the other direction has its length.
    let post = b"POST /public/y HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(gateway.connect().exchange(post).unwrap().status, 200);
    assert_eq!(backend.last().body, b"hello");
}

#[test]
fn a_body_without_a_length_that_breaks_off_ends_with_a_reset() {
    let (backend, gateway) = world_with(|config| config.without("/listen/0/tls"));
    let read = |answer: &str| {
        backend.on("/public/x", Behaviour::RawThenClose(answer.into()));
        let mut socket = TcpStream::connect(gateway.address).unwrap();
        socket.write_all(b"GET /public/x HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).map(|_| text)
    };
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for rest in ["5\r\nab", "2\r\nab\r\n", "2\r\nab\r\nx"] {
        let cut = read(&format!("{head}{rest}"));
        assert_eq!(cut.as_ref().map_err(std::io::Error::kind), Err(ErrorKind::ConnectionReset), "{rest:?}");
    }
    for whole in [&format!("{head}2\r\nab\r\n0\r\n\r\n"), "HTTP/1.1 200 OK\r\n\r\nab"] {
        let text = read(whole).unwrap();
        assert!(text.starts_with("HTTP/1.0 200 ") && text.ends_with("\r\n\r\nab"), "{text}");
    }
}

#[test]
fn curl_speaks_http_1_0_with_the_gateway() {
    let (backend, gateway) = world_with(|config| config.set("/listen/0/default_host", json!("localhost")));
    let url = format!("https://localhost:{}/public/x", gateway.address.port());
    for more in [&["-H", "Host:"][..], &[], &["--data", "a=b"], &["-I"]] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--insecure", "--http1.0", "--max-time", "20"]);
        curl.args(["--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"]);
        let output =
            curl.args(["--connect-to", &format!("::{}", gateway.address)]).args(more).arg(&url).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("200 1"), "{more:?}: {said} {complaint}");
    }
    assert_eq!(backend.requests().len(), 4);
    assert_eq!(backend.requests()[0].header("Host"), Some("localhost"));
}
