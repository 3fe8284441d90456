//! Responses of a backend, valid and malformed, and what callers get.

use crate::harness::client::answer;
use crate::harness::http1::Fault;
use crate::harness::*;

/// The next caller gets its own answer.
#[track_caller]
fn canary(backend: &Backend, gateway: &Gateway) {
    backend.on("/public/canary", Behaviour::reply(200, &[], b"canary"));
    for _ in 0..3 {
        assert_eq!(gateway.get("/public/canary").send().ok().text(), "canary");
    }
}

#[test]
fn answers_that_have_no_body_have_none_whatever_the_backend_sends() {
    let (backend, gateway) = world();
    let table = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nsecret"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nsecret"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nsecret"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"),
    ];
    for (method, bytes) in table {
        backend.on("/public/x", Behaviour::Raw(bytes.into()));
        let mut connection = gateway.connect();
        let first = gateway.request(method, "/public/x").send_on(&mut connection);
        assert!(matches!(first.status, 200 | 204 | 304 | 502), "{bytes:?}: {}", first.status);
        assert!(!first.text().contains("secret") && connection.wire.buffer.is_empty(), "{bytes:?}");
        canary(&backend, &gateway);
        if !first.close {
            assert_eq!(gateway.get("/public/canary").send_on(&mut connection).ok().text(), "canary", "{bytes:?}");
        }
    }
}

#[test]
fn an_answer_that_two_readers_read_differently_is_502_or_an_abort() {
    let (backend, gateway) = world();
    let faults = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 5\r\nX\0: y\r\n\r\nhello",
        "garbage\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    for bytes in faults {
        backend.on("/public/x", Behaviour::RawThenClose(bytes.into()));
        let mut connection = gateway.connect();
        match gateway.get("/public/x").try_on(&mut connection) {
            Ok(answer) => drop(answer.expect(502, "502-01")),
            Err(Fault::Truncated(_) | Fault::Closed) => {}
            Err(fault) => panic!("{fault:?} for {bytes:?}"),
        }
        canary(&backend, &gateway);
    }
}

#[test]
fn bytes_after_the_body_reach_nobody() {
    let (backend, gateway) = world();
    let extra = [answer(&[], "hello"), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec()].concat();
    backend.on("/public/x", Behaviour::Raw(extra));
    for _ in 0..5 {
        let mut connection = gateway.connect();
        assert_eq!(gateway.get("/public/x").send_on(&mut connection).ok().text(), "hello");
        canary(&backend, &gateway);
    }
}

#[test]
fn a_body_that_breaks_off_is_an_abort_and_no_clean_end() {
    let (backend, gateway) = world();
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        backend.on("/public/x", Behaviour::RawThenClose(bytes.into()));
        match gateway.get("/public/x").try_on(&mut gateway.connect()) {
            Err(Fault::Truncated(_) | Fault::Closed) => {}
            other => panic!("{other:?} for {bytes:?}"),
        }
        let request = http::Request::get("https://localhost/public/x").body(()).unwrap();
        let over_h2 = h2_client::send(gateway.address, request, b"", None);
        assert!(over_h2.is_err(), "{over_h2:?}");
        canary(&backend, &gateway);
    }
}

#[test]
fn curl_sees_that_a_body_broke_off() {
    let (backend, gateway) = world();
    backend.on("/public/x", Behaviour::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_vec()));
    let url = format!("https://localhost:{}/public/x", gateway.address.port());
    let ca = gateway.files.path.join("certs/ca.pem");
    let output = program("curl", "curl", &["-sS", "--http1.1", "--cacert", ca.to_str().unwrap(), &url]);
    assert!(matches!(output.status.code(), Some(18 | 56)), "{:?}", output.status);
}

#[test]
fn a_body_without_a_length_ends_with_the_backends_connection() {
    let (backend, gateway) = world();
    backend.on(
        "/public/x",
        Behaviour::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it".to_vec()),
    );
    assert_eq!(gateway.get("/public/x").send().ok().text(), "all of it");
}

#[test]
fn a_backend_that_refuses_the_gateways_credential_is_502() {
    let (backend, gateway) = world();
    for status in [401, 407] {
        backend.on(
            "/account/getprofile",
            Behaviour::reply(status, &[("WWW-Authenticate", "Basic realm=legacy")], b"who are you"),
        );
        let answer = gateway.profile().send().expect(502, "502-02");
        assert!(
            !answer.everything().contains("legacy") && !answer.text().contains("who are you"),
            "{}",
            answer.everything()
        );
    }
}

#[test]
fn a_backends_401_about_the_customer_passes_where_the_route_says_so() {
    let (backend, gateway) = world_with(|c| c.route("me", "pass_unauthorized", json!(true)));
    backend.on("/me/x", Behaviour::status(401));
    let answer = gateway.get("/me/x").customer(&gateway.customer_token()).send();
    assert_eq!((answer.status, answer.json()["from"].as_str()), (401, Some("backend")));
    backend.on("/public/x", Behaviour::status(401));
    gateway.get("/public/x").send().expect(502, "502-02");
}

#[test]
fn other_answers_of_the_backend_pass_as_they_are() {
    let (backend, gateway) = world();
    for status in [201, 301, 400, 403, 404, 409, 422, 500, 503] {
        backend.on(
            "/public/x",
            Behaviour::reply(
                status,
                &[("X-From", "backend"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
                b"as it is",
            ),
        );
        let answer = gateway.get("/public/x").send();
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.header("X-From")),
            (status, "as it is", Some("backend"))
        );
        assert_eq!(answer.all("Set-Cookie"), ["a=1", "b=2"]);
        assert!(answer.header("X-Request-Id").is_some());
    }
}

#[test]
fn interim_answers_of_the_backend_do_not_disturb_the_final_one() {
    let (backend, gateway) = world();
    let bytes = [
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n".to_vec(),
        answer(&[], "final"),
    ]
    .concat();
    backend.on("/public/x", Behaviour::Raw(bytes));
    assert_eq!(gateway.get("/public/x").send().ok().text(), "final");
    backend.on(
        "/public/x",
        Behaviour::RawThenClose(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n".to_vec(),
        ),
    );
    gateway.get("/public/x").send().expect(502, "502-01");
}

#[test]
fn an_answer_streams_through() {
    let (backend, gateway) = world();
    let gate = Gate::default();
    let first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec();
    backend.on("/public/x", Behaviour::Staged(first, gate.clone(), b"6\r\nsecond\r\n0\r\n\r\n".to_vec()));
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/x").bytes());
    let head = connection.wire.head().unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200"));
    assert_eq!(connection.wire.exact(10).unwrap(), b"5\r\nfirst\r\n", "the first piece comes before the second exists");
    gate.open();
    assert_eq!(connection.wire.chunked().unwrap().0, b"second");
}

#[test]
fn an_answer_to_head_with_two_framings_is_502() {
    let (backend, gateway) = world();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    backend.on("/public/x", Behaviour::Raw(head.into()));
    let answer = gateway.request("HEAD", "/public/x").send();
    assert_eq!((answer.status, answer.header("transfer-encoding")), (502, None));
}
