//! `tolerate`, `max_response_fields`, `max_response_head`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use rcgen::ExtendedKeyUsagePurpose::ServerAuth;

use crate::harness::h2_backend::{Act, H2Backend, server_tls};
use crate::harness::*;

const FAILED: &str = "request to a backend server failed";
const ACCEPTED: &str = "odd response of a backend server accepted";
const HEAD_FAULTS: [&str; 3] = ["folded_fields", "invalid_fields", "odd_status_lines"];

fn tolerating(faults: &[&str]) -> (Backend, Gateway) {
    world_with(|config| config.set("/backends/legacy/tolerate", json!(faults)))
}

/// The reason in the log for which an exchange failed.
#[track_caller]
fn reason(gateway: &Gateway) -> String {
    let line = gateway.stderr.wait(|line| line["message"] == FAILED).expect("a failure in the log");
    line["reason"].as_str().unwrap().to_owned()
}

#[test]
fn each_fault_is_accepted_and_said_where_it_is_tolerated_and_otherwise_the_log_names_the_key() {
    let cases = [
        ("folded_fields", "HTTP/1.1 200 OK\r\nX-Long: one\r\n  two\r\n\tthree\r\nContent-Length: 2\r\n\r\nok"),
        (
            "invalid_fields",
            "HTTP/1.1 200 OK\r\nno field\r\nX Y: 1\r\nX-Long: one two three\r\nContent-Length: 2\r\n\r\nok",
        ),
        ("odd_status_lines", "http/1.1   200OK\r\nX-Long: one two three\r\nContent-Length: 2\r\n\r\nok"),
        ("odd_status_lines", "HTTP/1.0 200 \x01\r\nX-Long: one two three\r\nContent-Length: 2\r\n\r\nok"),
    ];
    for (fault, answer) in cases {
        let (backend, gateway) = tolerating(&[fault]);
        backend.on("/public/x", Behaviour::Raw(answer.into()));
        for _ in 0..3 {
            let told = gateway.get("/public/x").header("X-Request-Id", "odd-answer-1").send().ok();
            assert_eq!((told.text(), told.header("x-long")), ("ok".to_owned(), Some("one two three")), "{answer:?}");
            assert!(told.lines.iter().all(|(name, _)| !name.contains(' ')));
        }
        let line = gateway.stderr.wait(|line| line["message"] == ACCEPTED).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(
            (&line["backend"], &line["server"], &line["tolerated"], &line["request_id"]),
            (&json!("legacy"), &json!(backend.address.to_string()), &json!(fault), &json!("odd-answer-1"))
        );

        let others: Vec<&str> = HEAD_FAULTS.into_iter().filter(|other| *other != fault).collect();
        let (backend, gateway) = tolerating(&others);
        backend.on("/public/x", Behaviour::Raw(answer.into()));
        gateway.get("/public/x").send().expect(502, "502-01");
        let reason = reason(&gateway);
        assert!(reason.contains(&format!("`tolerate: [{fault}]`")), "{fault}: {reason}");
    }
}

#[test]
fn with_all_of_them_nothing_about_the_length_of_a_body_is_guessed() {
    let (backend, gateway) = tolerating(&HEAD_FAULTS);
    let mut caller = gateway.connect();
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\r\n Content-Length: 40\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent Length: 40\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length 40\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n",
        "HTTP/1.1 200 OK\r\nTransfer\x01-Encoding: chunked\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n",
        "HTTP/1.1 200 OK\rContent-Length: 2\r\nX: a\r\n",
        "HTTP/1.1 200 OK\r\n Content-Length: 2\r\n",
        "HTTP/2 200 OK\r\nContent-Length: 2\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n",
        "ICY 200 OK\r\nContent-Length: 2\r\n",
        "HTTP/1.1200 OK\r\nContent-Length: 2\r\n",
    ] {
        let answer = format!("{head}\r\nokHTTP/1.1 200 OK\r\nX-Smuggled: 1\r\nContent-Length: 4\r\n\r\nevil");
        backend.on("/public/x", Behaviour::Raw(answer.into()));
        gateway.get("/public/x").send_on(&mut caller).expect(502, "502-01");
        let next = gateway.get("/public/y").send_on(&mut caller).ok();
        assert_eq!(next.json(), json!({"ok": true}), "{head:?}");
        assert!(next.header("x-smuggled").is_none());
    }
    assert!(gateway.stderr.all().iter().all(|line| !line.contains(ACCEPTED)));
}

#[test]
fn with_all_of_them_only_heads_are_mended() {
    let (backend, gateway) = tolerating(&HEAD_FAULTS);
    const BODY: &str = "http/1.1 200OK\r\nA: b\r\n c\r\nno field\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n b\r\n\r\n";
    let length = format!("{interim}HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let closed = format!("HTTP/1.1 200 OK\r\n\r\n{BODY}");
    backend.on("/public/length", Behaviour::Raw(length.into()));
    backend.on("/public/chunked", Behaviour::Raw(chunked.into()));
    backend.on("/public/closed", Behaviour::RawThenClose(closed.into()));
    for _ in 0..2 {
        for path in ["/public/length", "/public/chunked", "/public/closed"] {
            assert_eq!(gateway.get(path).send().ok().text(), BODY, "{path}");
        }
    }
}

#[test]
fn logins_and_health_checks_accept_what_requests_do() {
    let folded = "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 19\r\n\r\n{\"id\": \"account-7\"}";
    for tolerated in [true, false] {
        let backend = Backend::start();
        for path in ["/login", "/health"] {
            backend.on(path, Behaviour::Raw(folded.into()));
        }
        let check = json!({"path": "/health", "interval": "50ms", "unhealthy_threshold": 1, "healthy_threshold": 1});
        let config = Config::new(&backend)
            .set("/login/accounts", json!({"backend": "login", "path": "/login", "subject": "/id"}))
            .set("/backends/login", json!({"servers": [backend.url()]}))
            .set("/backends/legacy/health_check", check);
        let faults = if tolerated { json!(["folded_fields"]) } else { json!([]) };
        let config = config.set("/backends/legacy/tolerate", faults.clone()).set("/backends/login/tolerate", faults);
        let gateway = Gateway::start(&config);
        let login = gateway.login_request("erin", "x").send();
        if tolerated {
            login.ok();
            eventually("health checks", || backend.requests_for("/health").len() > 2);
            let labels = [("backend", "legacy")];
            gateway.expect_metric("wicketgate_backend_server_up", &labels, 1.0);
        } else {
            login.expect(503, "");
            assert!(reason(&gateway).contains("`tolerate: [folded_fields]`"));
            let said = gateway.stderr.wait(|line| {
                line["message"] == "health check failed: the server gets no requests"
                    && line["why"].as_str().unwrap().contains("`tolerate: [folded_fields]`")
            });
            assert!(said.is_some());
        }
    }
}

#[test]
fn a_head_may_be_as_large_as_is_configured() {
    let fields = |count: usize| {
        let lines: String = (0..count).map(|number| format!("X-Field-{number}: a\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok")
    };
    let large =
        |size: usize| format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\nContent-Length: 2\r\n\r\nok", "a".repeat(size));
    let cases = [
        ("max_response_fields", json!(200), fields(150), fields(250)),
        ("max_response_head", json!("256KiB"), large(150_000), large(300_000)),
        ("max_response_head", json!("8KiB"), large(7_000), large(9_000)),
    ];
    for (key, value, fits, does_not) in cases {
        // With the option that reads heads itself, and without.
        for faults in [json!([]), json!(["folded_fields"])] {
            let (backend, gateway) = world_with(|config| {
                config.set(&format!("/backends/legacy/{key}"), value.clone()).set("/backends/legacy/tolerate", faults)
            });
            backend.on("/public/fits", Behaviour::Raw(fits.clone().into()));
            backend.on("/public/not", Behaviour::Raw(does_not.clone().into()));
            assert_eq!(gateway.get("/public/fits").send().ok().text(), "ok", "{key}");
            gateway.get("/public/not").send().expect(502, "502-01");
            let reason = reason(&gateway);
            assert!(reason.contains(&format!("`{key}`")), "{reason}");
            assert!(key == "max_response_head" || reason.contains("above 200 fields"), "{reason}");
        }
    }
    // As before: 100 fields, and about 64 KiB.
    let (backend, gateway) = world();
    backend.on("/public/fields", Behaviour::Raw(fields(101).into()));
    backend.on("/public/large", Behaviour::Raw(large(200_000).into()));
    backend.on("/public/fine", Behaviour::Raw(large(60_000).into()));
    gateway.get("/public/fields").send().expect(502, "502-01");
    gateway.get("/public/large").send().expect(502, "502-01");
    gateway.get("/public/fine").send().ok();
}

#[test]
fn over_http2_too() {
    for (value, status) in [("64KiB", 502), ("256KiB", 200)] {
        let backend = H2Backend::start(None);
        let config = Config::with_server(&format!("http://{}", backend.address))
            .set("/backends/legacy/protocol", json!("http2"))
            .set("/backends/legacy/max_response_head", json!(value));
        let gateway = Gateway::start(&config);
        backend.on("/public/x", Act::Head(100_000));
        gateway.get("/public/x").send().expect(status, "");
        if status == 502 {
            assert!(reason(&gateway).contains("`max_response_head`"));
        }
    }
}

/// A server over TLS that answers each connection with these bytes, and ends without close_notify.
fn impolite(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tls = server_tls(&keys::certificate(&["localhost"], ServerAuth), &[]);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = rustls::ServerConnection::new(tls.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let mut read = Vec::new();
            let mut piece = [0; 1024];
            while http1::find(&read, b"\r\n\r\n").is_none() {
                match stream.read(&mut piece) {
                    Ok(count) if count > 0 => read.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).ok();
        }
    });
    address
}

#[test]
fn tls_without_close_notify_ends_only_a_body_that_has_no_other_end() {
    let closed = "HTTP/1.1 200 OK\r\n\r\nhello";
    let cases = [
        (true, closed, Some("hello")),
        (true, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", Some("hello")),
        (true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some("hello")),
        (true, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", None),
        (true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", None),
        (true, "HTTP/1.1 200 OK\r\nX-Half: a", None),
        (false, closed, None),
        (false, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", None),
        (false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", None),
    ];
    for (tolerated, answer, expected) in cases {
        let address = impolite(answer.to_owned());
        let faults = if tolerated { json!(["missing_close_notify"]) } else { json!([]) };
        let config = Config::with_server(&format!("https://localhost:{}", address.port()))
            .set("/backends/legacy/tls", json!({"ca": "certs/ca.pem"}))
            .set("/backends/legacy/tolerate", faults);
        let gateway = Gateway::start(&config);
        let told = gateway.get("/public/x").try_on(&mut gateway.connect());
        match (expected, told) {
            (Some(body), Ok(told)) => {
                assert_eq!(told.ok().text(), body, "{answer:?}");
                if answer == closed {
                    let line = gateway.stderr.wait(|line| line["message"] == ACCEPTED).unwrap();
                    assert_eq!(line["tolerated"], "missing_close_notify");
                }
            }
            (None, Err(_)) => {
                let reason = reason(&gateway);
                let helps = !tolerated && answer == closed;
                assert_eq!(reason.contains("missing_close_notify"), helps, "{answer:?}: {reason}");
            }
            (None, Ok(told)) => drop(told.expect(502, "502-01")),
            (Some(_), Err(fault)) => panic!("{answer:?}: {fault:?}"),
        }
    }
}

#[test]
fn the_log_names_no_key_that_is_set_already_or_cannot_help() {
    for (answer, wanted, unwanted) in [
        ("HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", "no key accepts this", "tolerate"),
        ("<html></html>", "no key accepts this", "tolerate"),
        ("HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 2\r\n\r\nok", "no key accepts this", "tolerate"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", "no key accepts this", "tolerate"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "", "close_notify"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", "", "close_notify"),
    ] {
        let (backend, gateway) = tolerating(&HEAD_FAULTS);
        backend.on("/public/x", Behaviour::RawThenClose(answer.into()));
        gateway.get("/public/x").try_on(&mut gateway.connect()).ok();
        let reason = reason(&gateway);
        assert!(reason.contains(wanted) && !reason.contains(unwanted), "{answer:?}: {reason}");
    }
    let (backend, gateway) = tolerating(&["folded_fields"]);
    backend.on("/public/x", Behaviour::Raw("HTTP/1.1 200 OK\r\nno field\r\n\r\n".into()));
    gateway.get("/public/x").send().expect(502, "502-01");
    let reason = reason(&gateway);
    assert!(reason.contains("invalid_fields") && !reason.contains("folded_fields"), "{reason}");
}

#[test]
fn what_cannot_be_accepted_is_refused_with_all_of_them() {
    let (backend, gateway) = tolerating(&HEAD_FAULTS);
    for answer in [
        // Lines of chunks that end with LF alone.
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\n0\r\n\r\n",
        // A last chunk without its final line break, a chunk that is none.
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok",
        // Less than was announced.
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        // HTTP/0.9, lines that end with a carriage return alone.
        "<html></html>",
        "HTTP/1.1 200 OK\rContent-Length: 2\r\rok",
        // Two lengths; chunks by HTTP/1.0.
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        backend.on("/public/x", Behaviour::RawThenClose(answer.into()));
        match gateway.get("/public/x").try_on(&mut gateway.connect()) {
            Ok(told) => drop(told.expect(502, "502-01")),
            Err(fault) => assert!(matches!(fault, http1::Fault::Truncated(_)), "{answer:?}: {fault:?}"),
        }
    }
}

#[test]
fn what_needs_no_option_is_accepted_always() {
    let (backend, gateway) = world();
    for answer in [
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200  OK\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/1.1 200 Schön\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "\r\nHTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nok",
    ] {
        backend.on("/public/x", Behaviour::RawThenClose(answer.into()));
        assert_eq!(gateway.get("/public/x").send().ok().text(), "ok", "{answer:?}");
    }
}
