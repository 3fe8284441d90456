//! WebSockets: the handshake after the same checks as any call, then bytes both ways.

use std::io::{BufRead as _, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::harness::backend::message;
use crate::harness::http1::{Lines, Wire, parse_head, values};
use crate::harness::keys::{decode, websocket_accept};
use crate::harness::python::{interpreter, python};
use crate::harness::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A route with WebSockets for customers, and one for everybody.
pub(crate) fn with_websockets(config: Config) -> Config {
    config.route("me", "websocket", json!(true)).route("public", "websocket", json!(true))
}

pub(crate) fn handshake(request: Request) -> Request {
    request
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// What came to a backend with a connection: the field lines of its head.
pub(crate) struct Opened {
    lines: Lines,
    pub(crate) stream: Wire<TcpStream>,
}

/// A backend that hands each connection with its first head to the test.
pub(crate) fn backend() -> (SocketAddr, Receiver<Opened>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            thread::spawn(move || {
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                let mut stream = Wire::new(stream);
                if let Ok(head) = stream.head() {
                    let (_, lines) = parse_head(&head).unwrap();
                    sender.send(Opened { lines, stream }).ok();
                }
            });
        }
    });
    (address, receiver)
}

impl Opened {
    /// Answers with these bytes.
    pub(crate) fn answer(&mut self, bytes: &[u8]) {
        self.stream.stream.write_all(bytes).unwrap();
    }

    /// Agrees, with more field lines.
    fn accept(&mut self, more: &str) {
        let key = values(&self.lines, "sec-websocket-key")[0].to_owned();
        let accept = websocket_accept(&key);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{more}\r\n"
        );
        self.stream.stream.write_all(answer.as_bytes()).unwrap();
    }
}

pub(crate) fn world_of(address: SocketAddr, change: impl FnOnce(Config) -> Config) -> Gateway {
    Gateway::start(&change(with_websockets(Config::with_server(&format!("http://{address}")))))
}

/// Opens a WebSocket on an open route: the caller's side and the backend's.
#[track_caller]
pub(crate) fn open(gateway: &Gateway, backend: &Receiver<Opened>, request: Request) -> (Connection, Opened) {
    let mut caller = gateway.connect();
    caller.send(&handshake(request).bytes());
    let mut opened = backend.recv_timeout(DEADLINE).unwrap();
    opened.accept("");
    assert_eq!(caller.receive("GET").unwrap().status, 101);
    (caller, opened)
}

#[test]
fn a_websocket_passes_bytes_both_ways_once_both_sides_agree() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c);
    let request = gateway
        .get("/me/live?room=1")
        .customer(&gateway.customer_token())
        .header("X-Request-Id", "ws-1")
        .header("Sec-WebSocket-Protocol", "chat");
    let mut caller = gateway.connect();
    let mut bytes = handshake(request).bytes();
    // What is sent before the answer comes after it.
    bytes.extend_from_slice(b"GET /me/early HTTP/1.1\r\n\r\n");
    caller.send(&bytes);
    let mut opened = backend.recv_timeout(DEADLINE).unwrap();
    let one = |name: &str| values(&opened.lines, name);
    assert_eq!((one("upgrade"), one("connection")), (vec!["websocket"], vec!["Upgrade"]));
    assert_eq!((one("sec-websocket-version"), one("sec-websocket-protocol")), (vec!["13"], vec!["chat"]));
    assert_eq!(one("x-customer-id").len(), 1, "{:?}", opened.lines);
    assert!(one("customer-auth").is_empty());
    assert_eq!(opened.stream.buffer, b"", "bytes before the answer");
    opened.accept("Sec-WebSocket-Protocol: chat\r\nX-Private: 1\r\n");
    let answer = caller.receive("GET").unwrap();
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, Some("chat")));
    assert_eq!((answer.header("Upgrade"), answer.header("X-Request-Id")), (Some("websocket"), Some("ws-1")));
    assert_eq!(answer.header("Sec-WebSocket-Accept"), Some(websocket_accept(KEY).as_str()));
    assert_eq!(opened.stream.exact(26).unwrap(), b"GET /me/early HTTP/1.1\r\n\r\n");
    let large: Vec<u8> = (0..2 * 1024 * 1024_u32).map(|n| (n % 253) as u8).collect();
    for bytes in [&b"\x00\x01"[..], &large] {
        let (up, back) = (bytes.to_vec(), bytes.len());
        thread::scope(|scope| {
            let echo = scope.spawn(|| {
                let got = opened.stream.exact(back).unwrap();
                opened.stream.stream.write_all(&got).unwrap();
            });
            caller.send(&up);
            echo.join().unwrap();
        });
        assert!(caller.wire.exact(back).unwrap() == up);
    }
    gateway.expect_metric("wicketgate_websockets_open", &[], 1.0);
    drop(opened);
    assert!(caller.closes());
    drop(caller);
    let line = gateway.access_line("ws-1");
    let moved = large.len() as u64 + 2;
    assert_eq!((&line["status"], &line["route"], &line["complete"]), (&json!(101), &json!("me"), &json!(true)));
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(moved + 26), &json!(moved)));
    gateway.expect_metric("wicketgate_websockets_open", &[], 0.0);
    gateway.expect_metric("wicketgate_websockets_closed_total", &[("route", "me"), ("reason", "backend")], 1.0);
    gateway.expect_metric("wicketgate_requests_in_flight", &[], 0.0);
}

#[test]
fn bytes_after_a_failed_websocket_handshake_reach_nobody() {
    let early = "GET /public/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // The backend answers otherwise.
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c);
    let mut caller = gateway.connect();
    caller.send(&[handshake(gateway.get("/public/x")).bytes(), early.into()].concat());
    let mut opened = backend.recv_timeout(DEADLINE).unwrap();
    opened.stream.stream.write_all(&message(200, &[("Connection", "close")], b"no")).unwrap();
    opened.stream.stream.shutdown(Shutdown::Write).unwrap();
    let answer = caller.receive("GET").unwrap().ok();
    assert_eq!((answer.text().as_str(), answer.close), ("no", true));
    assert!(caller.closes());
    assert_eq!(opened.stream.rest().unwrap(), b"");
    assert!(backend.try_recv().is_err(), "another request reached the backend");
    // The caller is not let in, or asks for another protocol.
    let (backend, gateway) = world_with(with_websockets);
    let foreign = |protocol: &str| {
        gateway.get("/public/x").header("Connection", "Upgrade, HTTP2-Settings").header("Upgrade", protocol)
    };
    for (request, status) in [
        (handshake(gateway.get("/me/x")), 401),
        (foreign("h2c").header("HTTP2-Settings", "AAMAAABk"), 200),
        (foreign("foo"), 200),
    ] {
        let mut caller = gateway.connect();
        caller.send(&[request.bytes(), early.into()].concat());
        assert_eq!(caller.receive("GET").unwrap().status, status);
        assert!(caller.closes(), "the connection goes on");
    }
    assert!(backend.requests_for("/public/smuggled").is_empty());
    assert!(backend.requests().iter().all(|seen| seen.all("upgrade").is_empty()));
}

#[test]
fn a_handshake_that_is_none_reaches_no_backend() {
    let (backend, gateway) = world_with(with_websockets);
    let good = handshake(gateway.get("/public/x"));
    let post = handshake(gateway.post("/public/x"));
    for request in [
        good.clone().drop_header("Sec-WebSocket-Key"),
        good.clone().replace("Sec-WebSocket-Key", "c2hvcnQ="),
        good.clone().replace("Sec-WebSocket-Key", "not base64 of 16 bytes=="),
        good.clone().header("Sec-WebSocket-Key", KEY),
        good.clone().body("hello"),
        post,
    ] {
        let mut caller = gateway.connect();
        request.send_on(&mut caller).expect(400, "400-08");
        assert!(caller.closes());
    }
    for request in [
        good.clone().replace("Sec-WebSocket-Version", "8"),
        good.clone().header("Sec-WebSocket-Version", "8"),
        good.drop_header("Sec-WebSocket-Version"),
    ] {
        let answer = request.send().expect(426, "426-01");
        assert_eq!((answer.header("Sec-WebSocket-Version"), answer.header("Upgrade")), (Some("13"), Some("websocket")));
    }
    backend.assert_untouched();
}

#[test]
fn a_101_that_answers_no_handshake_is_502() {
    let head = "HTTP/1.1 101 Switching Protocols\r\n";
    let accept = format!("Sec-WebSocket-Accept: {}\r\n", websocket_accept(KEY));
    for lines in [
        String::new(),
        "Upgrade: websocket\r\nConnection: Upgrade\r\n".to_owned(),
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n".to_owned(),
        format!("Upgrade: foo\r\nConnection: Upgrade\r\n{accept}"),
        format!("Upgrade: websocket\r\n{accept}"),
    ] {
        let (address, backend) = backend();
        let gateway = world_of(address, |c| c);
        let mut caller = gateway.connect();
        caller.send(&handshake(gateway.get("/public/x")).bytes());
        let mut opened = backend.recv_timeout(DEADLINE).unwrap();
        opened.stream.stream.write_all(format!("{head}{lines}\r\nsecret").as_bytes()).unwrap();
        caller.receive("GET").unwrap().expect(502, "502-01");
        assert!(caller.closes());
        assert_eq!(opened.stream.rest().unwrap(), b"", "the backend's connection is used again");
    }
}

#[test]
fn a_route_without_websockets_opens_none() {
    let (backend, gateway) = world();
    handshake(gateway.get("/public/x")).send().ok();
    assert!(backend.only().all("upgrade").is_empty());
}

#[test]
fn a_browsers_websocket_by_cookie_must_come_from_the_own_site() {
    let (address, backend) = backend();
    let gateway =
        world_of(address, |c| c.cookies("cookie").set("/login/cookie/origins", json!(["https://www.example.com"])));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let request = || gateway.get("/me/live").header("Cookie", &cookie);
    for strange in [
        request(),
        request().header("Origin", "https://evil.example"),
        request().header("Origin", "null"),
        request().header("Origin", "https://evil.example").header("Sec-Fetch-Site", "cross-site"),
    ] {
        handshake(strange).send().expect(403, "403-05");
    }
    assert!(backend.try_recv().is_err());
    for own in ["https://localhost", "https://www.example.com"] {
        let (mut caller, mut opened) = open(&gateway, &backend, request().header("Origin", own));
        assert!(values(&opened.lines, "cookie").is_empty(), "the session cookie at the backend");
        opened.stream.stream.write_all(b"hello").unwrap();
        assert_eq!(caller.wire.exact(5).unwrap(), b"hello");
    }
}

#[test]
fn an_open_websocket_is_a_request_in_flight_to_its_backend() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c.set("/backends/legacy/concurrency", json!(1)));
    let (caller, opened) = open(&gateway, &backend, gateway.get("/public/live"));
    // It is another caller that asks: the same would be told that it holds its share.
    handshake(gateway.get("/me/live").customer(&gateway.customer_token())).send().expect(503, "503-01");
    gateway.get("/public/x").send().expect(503, "503-01");
    drop((caller, opened));
    gateway.expect_metric("wicketgate_websockets_open", &[], 0.0);
    open(&gateway, &backend, gateway.get("/public/live"));
}

#[test]
fn websockets_over_http_2_reach_the_backend_by_http_1_1() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c);
    let token = gateway.customer_token();
    let request = http::Request::builder()
        .uri("https://localhost/me/live")
        .header("customer-auth", format!("JWT {token}"))
        .header("x-request-id", "over-h2")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat");
    let speaking = thread::spawn(move || {
        let mut opened = backend.recv_timeout(DEADLINE).unwrap();
        let one = |name: &str| values(&opened.lines, name)[..].to_vec();
        assert_eq!((one("upgrade"), one("host")), (vec!["websocket"], vec!["localhost"]));
        assert_eq!(values(&opened.lines, "x-customer-id"), [decode(&token).1["sub"].as_str().unwrap()]);
        assert!(opened.stream.buffer.is_empty());
        opened.accept("Sec-WebSocket-Protocol: chat\r\n");
        // To the end of what the caller sends, and then as much back.
        let all = opened.stream.rest().unwrap();
        opened.stream.stream.write_all(&all).unwrap();
        all.len()
    });
    let size = 3 * 1024 * 1024;
    let answer = h2_client::websocket(gateway.address, request, &vec![b'w'; size]).unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, size));
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    for gone in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(speaking.join().unwrap(), size);
    let line = gateway.access_line("over-h2");
    assert_eq!((&line["status"], &line["protocol"], &line["complete"]), (&json!(200), &json!("HTTP/2"), &json!(true)));
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(size), &json!(size)));
    gateway.expect_metric("wicketgate_websockets_open", &[], 0.0);
}

#[test]
fn a_backend_that_does_not_switch_opens_nothing_over_http_2() {
    let (backend, gateway) = world_with(|c| c.route("public", "websocket", json!(true)));
    let connect = |version: &str| {
        let request =
            http::Request::builder().uri("https://localhost/public/x").header("sec-websocket-version", version);
        h2_client::connect(gateway.address, request, "websocket").unwrap()
    };
    // The backend answers 200, which the caller would take for an open WebSocket.
    assert_eq!(connect("13"), 502);
    assert_eq!(backend.only().header("upgrade"), Some("websocket"));
    backend.forget();
    assert_eq!(connect("8"), 426);
    backend.assert_untouched();
}

#[test]
fn extended_connect_opens_nothing_where_the_route_does_not_say_so() {
    let (backend, gateway) = world_with(|c| c.route("me", "websocket", json!(true)));
    let connect = |path: &str, protocol: &str| {
        let request =
            http::Request::builder().uri(format!("https://localhost{path}")).header("sec-websocket-version", "13");
        h2_client::connect(gateway.address, request, protocol).unwrap()
    };
    assert_eq!(connect("/public/x", "websocket"), 501);
    assert_eq!(connect("/me/x", "connect-udp"), 501);
    assert_eq!(connect("/nowhere", "websocket"), 404);
    assert_eq!(connect("/me/x", "websocket"), 401);
    backend.assert_untouched();
    // Without any such route it is not even offered.
    let (backend, gateway) = world();
    let request = http::Request::builder().uri("https://localhost/public/x");
    assert!(h2_client::connect(gateway.address, request, "websocket").is_err());
    backend.assert_untouched();
}

/// A program that serves until it is dropped.
pub(crate) struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn library_server() -> (Serving, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket_server.py");
    let mut child =
        Command::new(interpreter()).arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    (Serving(child), format!("http://127.0.0.1:{}", port.trim()))
}

#[test]
fn a_websocket_library_talks_to_another_through_an_authenticated_route() {
    let (_server, url) = library_server();
    let gateway = Gateway::start(&with_websockets(Config::with_server(&url)));
    let token = gateway.customer_token();
    let identifier = decode(&token).1["sub"].as_str().unwrap().to_owned();
    let url = format!("wss://localhost:{}/me/live", gateway.address.port());
    let ca = gateway.files.path.join("certs/ca.pem");
    python("websocket_client.py", &[&url, ca.to_str().unwrap(), &token, &identifier]);
    gateway.expect_metric("wicketgate_websockets_open", &[], 0.0);
    gateway.expect_metric("wicketgate_websockets_closed_total", &[("route", "me")], 4.0);
}
