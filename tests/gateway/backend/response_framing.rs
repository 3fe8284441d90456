//! Framing of responses of a backend, headers that only the gateway may set, and the log line about a malformed
//! response.

use crate::harness::h2_backend::{Act, H2Backend};
use crate::harness::*;

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// The answer to a GET over HTTP/2.
fn over_h2(gateway: &Gateway) -> http::Response<Vec<u8>> {
    let request = http::Request::get("https://localhost/public/x").body(()).unwrap();
    h2_client::send(gateway.address, request, b"", None).unwrap()
}

#[test]
fn lengths_that_are_equal_become_one() {
    let (backend, gateway) = world();
    for lines in [
        "Content-Length: 11, 11\r\n",
        "Content-Length: 11\r\nContent-Length: 11\r\n",
        "Content-Length: 11 ,11\r\nContent-Length: 11\r\n",
        "Content-Length: 011\r\n",
    ] {
        backend.on("/public/x", Behaviour::Raw(format!("{OK}{lines}\r\nhello world").into()));
        let answer = gateway.get("/public/x").send().ok();
        assert_eq!((answer.text().as_str(), answer.all("Content-Length")), ("hello world", vec!["11"]), "{lines:?}");
        let answer = over_h2(&gateway);
        let told: Vec<_> = answer.headers().get_all("content-length").iter().collect();
        assert_eq!(answer.body().as_slice(), b"hello world");
        assert_eq!(told, ["11"], "{lines:?}");
        backend.on("/public/x", Behaviour::Raw(format!("{OK}{lines}\r\n").into()));
        let answer = gateway.request("HEAD", "/public/x").send();
        assert_eq!((answer.status, answer.all("Content-Length")), (200, vec!["11"]), "{lines:?}");
    }
}

#[test]
fn lengths_that_differ_are_502_also_to_head() {
    let (backend, gateway) = world();
    for lines in [
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: \r\n",
        "Content-Length: five\r\n",
        "Content-Length: 99999999999999999999999\r\n",
    ] {
        backend.on("/public/x", Behaviour::RawThenClose(format!("{OK}{lines}\r\n").into()));
        for method in ["GET", "HEAD"] {
            let answer = gateway.request(method, "/public/x").send();
            assert_eq!(answer.status, 502, "{method} {lines:?}");
        }
    }
}

#[test]
fn codings_other_than_a_single_chunked_are_502() {
    let (backend, gateway) = world();
    for lines in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
    ] {
        for (method, body) in [("GET", "5\r\nhello\r\n0\r\n\r\n"), ("HEAD", "")] {
            backend.on("/public/x", Behaviour::RawThenClose(format!("{OK}{lines}\r\n{body}").into()));
            let answer = gateway.request(method, "/public/x").send();
            assert_eq!((answer.status, answer.all("Transfer-Encoding")), (502, vec![]), "{method} {lines:?}");
        }
    }
    for coding in ["chunked", "CHUNKED"] {
        let bytes = format!("{OK}Transfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        backend.on("/public/x", Behaviour::Raw(bytes.into()));
        assert_eq!(gateway.get("/public/x").send().ok().text(), "hello");
    }
}

#[test]
fn a_blank_between_name_and_colon_is_taken_away() {
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/health_check", json!({"path": "/health", "interval": "50ms"})));
    backend.on("/health", Behaviour::Raw(b"HTTP/1.1 200 OK\r\nX-A : a\r\nContent-Length: 0\r\n\r\n".to_vec()));
    backend
        .on("/public/x", Behaviour::Raw(format!("{OK}X-A : a\r\nX-B\t: b\r\nContent-Length : 5\r\n\r\nhello").into()));
    for _ in 0..3 {
        let answer = gateway.get("/public/x").send().ok();
        assert_eq!(
            (answer.text().as_str(), answer.header("X-A"), answer.header("X-B")),
            ("hello", Some("a"), Some("b"))
        );
        assert_eq!(answer.all("Content-Length"), ["5"]);
    }
    gateway.expect_metric("wicketgate_backend_server_up", &[], 1.0);
    // A blank within a name is none of this, nor one before it.
    for line in ["X A: a\r\n", " X-A: a\r\n"] {
        backend.on("/public/x", Behaviour::RawThenClose(format!("{OK}{line}Content-Length: 5\r\n\r\nhello").into()));
        gateway.get("/public/x").send().expect(502, "502-01");
    }
}

#[test]
fn a_content_length_of_a_204_does_not_pass() {
    let (backend, gateway) = world();
    backend.on("/public/x", Behaviour::RawThenClose(b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n".to_vec()));
    let answer = over_h2(&gateway);
    assert_eq!((answer.status().as_u16(), answer.headers().get("content-length")), (204, None));
    // A 304 says how long the answer would have been.
    backend.on("/public/x", Behaviour::Raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n".to_vec()));
    let answer = over_h2(&gateway);
    assert_eq!((answer.status().as_u16(), answer.headers()["content-length"].as_bytes()), (304, &b"6"[..]));
}

#[test]
fn an_answer_of_http_1_0_passes_to_the_end_of_its_connection() {
    let (backend, gateway) = world();
    for head in ["", "Connection: close\r\n", "Content-Length: 5\r\nConnection: keep-alive\r\n"] {
        backend.on("/public/x", Behaviour::RawThenClose(format!("HTTP/1.0 200 OK\r\n{head}\r\nhello").into()));
        let answer = gateway.get("/public/x").send().ok();
        assert_eq!((answer.text().as_str(), answer.header("Via")), ("hello", Some("1.0 wicketgate")), "{head:?}");
    }
    let chunked = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec();
    backend.on("/public/x", Behaviour::RawThenClose(chunked));
    gateway.get("/public/x").send().expect(502, "502-01");
}

#[test]
fn headers_about_the_connection_to_the_gateway_are_not_the_backends_to_set() {
    let theirs =
        [("Alt-Svc", "h3=\":8443\""), ("Proxy-Authenticate", "Basic"), ("X-Request-Id", "theirs"), ("X-Own", "1")];
    let (backend, gateway) = world();
    backend.on("/public/x", Behaviour::reply(200, &theirs, b"hello"));
    let answer = gateway.get("/public/x").header("X-Request-Id", "ours").send().ok();
    assert_eq!((answer.all("Alt-Svc"), answer.all("Proxy-Authenticate")), (vec![], vec![]));
    assert_eq!((answer.all("X-Request-Id"), answer.header("X-Own")), (vec!["ours"], Some("1")));
}

#[test]
fn blanks_around_a_value_of_an_http2_backend_are_taken_away() {
    let backend = H2Backend::start(None);
    let config = Config::with_server(&format!("http://{}", backend.address));
    let gateway = Gateway::start(&config.set("/backends/legacy/protocol", json!("http2")));
    backend.on("/public/x", Act::Say(200, &[("x-a", " a\t"), ("x-b", "b b"), ("x-a", "c ")], &[("x-sum", " 1 ")]));
    let request = http::Request::post("https://localhost/public/x").body(()).unwrap();
    let answer = h2_client::send(gateway.address, request, b"hello", None).unwrap();
    let all: Vec<_> = answer.headers().get_all("x-a").iter().collect();
    assert_eq!(all, ["a", "c"]);
    assert_eq!(answer.headers()["x-b"], "b b");
    assert_eq!(answer.headers()["via"], "2.0 wicketgate");
    assert_eq!(answer.extensions().get::<http::HeaderMap>().unwrap()["x-sum"], "1");
}

#[test]
fn a_field_of_an_http2_backend_whose_name_is_no_token_does_not_pass() {
    let backend = H2Backend::start(None);
    let config = Config::with_server(&format!("http://{}", backend.address));
    let gateway = Gateway::start(&config.set("/backends/legacy/protocol", json!("http2")));
    backend.on("/public/x", Act::Say(200, &[("x\"y", "1"), ("x-z", "2")], &[]));
    let answer = gateway.post("/public/x").body("hello").send().ok();
    assert_eq!((answer.all("x\"y"), answer.header("x-z")), (vec![], Some("2")));
}

/// The log line about the answer to this request.
fn said_of(gateway: &Gateway, request_id: &str) -> Option<Value> {
    gateway
        .stderr
        .all()
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["request_id"] == request_id)
}

#[test]
fn a_502_says_in_the_log_what_was_wrong_with_the_answer() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", "content-length"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length"),
        ("HTTP/1.1 200 OK\r\nX A: b\r\n\r\n", "header"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n", "101"),
        ("", "closed"),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"x\":1}", "broke off"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>", "Content-Type"),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{]}", "not JSON"),
    ];
    let backend = Backend::start();
    let mut config = Config::new(&backend);
    for (number, (bytes, _)) in cases.iter().enumerate() {
        let (name, path) = (format!("backend-{number}"), format!("/case{number}/"));
        config = config.set(&format!("/backends/{name}"), json!({"servers": [backend.url()]})).add_route(json!({
            "name": name, "path": path, "methods": ["GET"], "public": true, "backend": name, "response": {"json": true},
        }));
        backend.on(&format!("{path}x"), Behaviour::RawThenClose(bytes.as_bytes().to_vec()));
    }
    let gateway = Gateway::start(&config);
    for (number, (bytes, reason)) in cases.iter().enumerate() {
        let id = format!("wrong-{number}");
        gateway.get(&format!("/case{number}/x")).header("X-Request-Id", &id).send().expect_one_of(&[502]);
        eventually("a line about the answer", || said_of(&gateway, &id).is_some());
        let line = said_of(&gateway, &id).unwrap();
        assert_eq!((&line["level"], &line["backend"]), (&json!("WARN"), &json!(format!("backend-{number}"))), "{line}");
        assert_eq!(line["server"], json!(backend.address.to_string()), "{line}");
        assert!(line["reason"].as_str().unwrap().contains(reason), "{bytes:?}: {line}");
    }
    // What is right is not talked about.
    gateway.get("/public/x").header("X-Request-Id", "right").send().ok();
    assert_eq!(said_of(&gateway, "right"), None);
}

#[test]
fn a_502_says_in_the_log_what_was_wrong_by_http2() {
    let backend = H2Backend::start(None);
    let config = Config::with_server(&format!("http://{}", backend.address));
    let gateway = Gateway::start(&config.set("/backends/legacy/protocol", json!("http2")));
    backend.on("/public/x", Act::Reset(usize::MAX, ::h2::Reason::INTERNAL_ERROR));
    gateway.post("/public/x").header("X-Request-Id", "reset").send().expect(502, "502-01");
    eventually("a line about the answer", || said_of(&gateway, "reset").is_some());
    let line = said_of(&gateway, "reset").unwrap();
    assert!(line["reason"].as_str().unwrap().contains("internal error"), "{line}");
}

#[test]
fn a_backend_that_always_answers_wrongly_has_a_line_a_second_with_the_count_of_the_others() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 0})));
    backend.on("/public/x", Behaviour::RawThenClose(b"garbage\r\n\r\n".to_vec()));
    let lines = || {
        let all = gateway.stderr.all();
        let all = all.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter_map(|line| line["reason"].is_string().then(|| line["left_out"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let begin = std::time::Instant::now();
    let mut sent = 0;
    eventually("a line that counts those left out", || {
        // Not sent again, as a GET would be.
        gateway.post("/public/x").send().expect(502, "502-01");
        sent += 1;
        lines().iter().any(|left_out| *left_out > 0)
    });
    let (lines, seconds) = (lines(), begin.elapsed().as_secs() + 2);
    assert!(lines.len() as u64 <= seconds, "{lines:?} in {seconds} s");
    assert!(lines.iter().sum::<u64>() + lines.len() as u64 <= sent, "{lines:?} of {sent}");
    assert!(sent > lines.len() as u64);
}

#[test]
fn an_answer_that_breaks_off_in_its_body_is_counted_and_said() {
    let (backend, gateway) = world();
    backend.on("/public/x", Behaviour::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf".to_vec()));
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/x").bytes());
    assert!(connection.receive("GET").is_err());
    gateway.expect_metric("wicketgate_backend_failures_total", &[("kind", "broken")], 1.0);
    let line =
        gateway.stdout.wait(|line| line["path"] == "/public/x" || line["refusal"] == "backend_response").unwrap();
    assert_eq!((&line["status"], &line["complete"], &line["code"]), (&json!(200), &json!(false), &json!("502-01")));
    let said = gateway.stderr.wait(|line| line["message"] == "request to a backend server failed").unwrap();
    assert_eq!((&said["backend"], &said["doing"]), (&json!("legacy"), &json!("read_body")));
    assert_eq!(said["request_id"], line["request_id"]);
}

#[test]
fn a_server_that_cannot_be_connected_is_named_in_the_log() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&Config::with_server(&format!("http://{gone}")));
    gateway.get("/public/x").send().expect(502, "502-01");
    let said = gateway.stderr.wait(|line| line["message"] == "request to a backend server failed").unwrap();
    assert_eq!((&said["server"], &said["level"]), (&json!(gone.to_string()), &json!("WARN")));
    assert!(said["reason"].as_str().unwrap().contains("refused"), "{said}");
}
