//! `routes[].response` and header rules: members of JSON and header fields that pass, are removed or redacted.

use crate::harness::client::answer;
use crate::harness::h2_backend::{Act, H2Backend};
use crate::harness::*;

type Fields<'a> = &'a [(&'a str, &'a str)];

const SECRET: &str = "4111111111111111";

/// The public route under rules about its answers.
fn ruled(rules: Value) -> (Backend, Gateway) {
    world_with(|c| c.route("public", "response", rules))
}

fn json_answer(backend: &Backend, body: &str) {
    backend.on("/public/x", Behaviour::reply(200, &[("Content-Type", "application/json")], body.as_bytes()));
}

#[test]
fn only_what_is_allowed_passes_and_the_rest_stays_byte_for_byte() {
    let (backend, gateway) = ruled(json!({
        "allow": ["/customer", "/orders/*/status"],
        "remove": ["/customer/ssn"],
        "redact": [{"path": "/customer/mail"}, {"pattern": "[0-9]{12}([0-9]{4})", "with": "****$1"}],
    }));
    json_answer(
        &backend,
        r#"{"customer":{"ssn":"1","mail":"a@b","n":1.50,"note":"card 4111111111111111"},"orders":[{"status":"sent","card":"4111111111111111"}],"internal":"4111111111111111"}"#,
    );
    let got = gateway.get("/public/x").send().ok();
    assert_eq!(
        got.text(),
        r#"{"customer":{"mail":"[redacted]","n":1.50,"note":"card ****1111"},"orders":[{"status":"sent"}]}"#
    );
    assert_eq!(got.header("Content-Length"), Some(got.body.len().to_string().as_str()));
    assert_eq!(got.header("Content-Type"), Some("application/json"));
}

#[test]
fn a_response_that_cannot_be_parsed_does_not_pass() {
    let (backend, gateway) = ruled(json!({"remove": ["/card"], "body": "1KiB"}));
    let json = ("Content-Type", "application/json");
    let large = format!(r#"{{"x":"{}"}}"#, SECRET.repeat(100));
    let table: [(Fields, &str, &str); 11] = [
        (&[json], r#"{"card":"4111111111111111""#, "502-03"),
        (&[json], r#"{"card":1,"card":"4111111111111111"}"#, "502-03"),
        (&[json], r#"{"x":{"card":1,"\u0063ard":"4111111111111111"}}"#, "502-03"),
        (&[json], "4111111111111111\n{}", "502-03"),
        (&[("Content-Type", "text/html")], r#"{"x":"4111111111111111"}"#, "502-03"),
        (&[], r#"{"x":"4111111111111111"}"#, "502-03"),
        (&[json, json], r#"{"x":"4111111111111111"}"#, "502-03"),
        (&[("Content-Type", "application/json; charset=utf-16")], r#"{"x":"4111111111111111"}"#, "502-03"),
        (&[json, ("Content-Encoding", "gzip")], r#"{"x":"4111111111111111"}"#, "502-03"),
        (
            &[json, ("Content-Encoding", "identity"), ("Content-Encoding", "br")],
            r#"{"x":"4111111111111111"}"#,
            "502-03",
        ),
        (&[json], &large, "502-04"),
    ];
    for (headers, body, code) in table {
        backend.on("/public/x", Behaviour::reply(200, headers, body.as_bytes()));
        let refused = gateway.get("/public/x").send().expect(502, code);
        assert!(!refused.everything().contains("4111"), "{body}");
    }
    // Without an announced length.
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    backend.on("/public/x", Behaviour::Raw(chunked.into()));
    gateway.get("/public/x").send().expect(502, "502-04");
    let broken = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"x\":1}";
    backend.on("/public/x", Behaviour::RawThenClose(broken.into()));
    gateway.get("/public/x").send().expect(502, "502-01");
    // The next one is right again.
    json_answer(&backend, r#"{"card":"4111111111111111","x":1}"#);
    assert_eq!(gateway.get("/public/x").send().ok().text(), r#"{"x":1}"#);
}

#[test]
fn a_204_or_304_with_content_by_http2_does_not_pass_by_the_rules() {
    let backend = H2Backend::start(None);
    let config =
        Config::with_server(&format!("http://{}", backend.address)).set("/backends/legacy/protocol", json!("http2"));
    let gateway = Gateway::start(&config.route("public", "response", json!({"remove": ["/card"]})));
    for status in [204, 304] {
        backend.on("/public/x", Act::Say(status, &[("content-type", "application/json")], &[("x-card", SECRET)]));
        let request = http::Request::post("https://localhost/public/x").body(()).unwrap();
        let body = format!(r#"{{"card":"{SECRET}"}}"#);
        let answer = h2_client::send(gateway.address, request, body.as_bytes(), None).unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (status, &b""[..]));
        assert!(answer.extensions().get::<http::HeaderMap>().is_none());
    }
    // What has content is held to the rules.
    backend.on("/public/x", Act::Say(200, &[("content-type", "application/json")], &[]));
    let body = format!(r#"{{"card":"{SECRET}","x":1}}"#);
    assert_eq!(gateway.post("/public/x").body(body).send().ok().text(), r#"{"x":1}"#);
}

#[test]
fn an_error_of_the_backend_tells_no_more_than_its_rules_allow() {
    let (backend, gateway) = ruled(json!({"allow": ["/error"]}));
    let json = [("Content-Type", "application/json")];
    backend.on("/public/x", Behaviour::reply(404, &json, br#"{"error":"no order","sql":"4111111111111111"}"#));
    assert_eq!(gateway.get("/public/x").send().expect(404, "").text(), r#"{"error":"no order"}"#);
    for (kind, body) in [("text/html", "<h1>4111111111111111</h1>"), ("application/json", "{\"a\":4111111111111111")] {
        for status in [302, 400, 404, 500, 503] {
            backend.on("/public/x", Behaviour::reply(status, &[("Content-Type", kind)], body.as_bytes()));
            let got = gateway.get("/public/x").send().expect(status, &format!("{status}-00"));
            assert!(!got.everything().contains("4111"));
            assert_eq!(got.header("Content-Type"), Some("application/json"));
        }
    }
}

#[test]
fn answers_without_a_body_pass_and_what_speaks_of_bytes_does_not() {
    let (backend, gateway) = ruled(json!({"json": true}));
    let table = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304),
        ("POST", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    ];
    for (method, bytes, status) in table {
        backend.on("/public/x", Behaviour::Raw(bytes.into()));
        let mut connection = gateway.connect();
        let got = gateway.request(method, "/public/x").send_on(&mut connection);
        assert_eq!((got.status, got.text().as_str()), (status, ""), "{method} {bytes}");
        assert!(got.header("Content-Length").is_none_or(|length| length == "0" && method != "HEAD"), "{:?}", got.lines);
        gateway.get("/public/next").send_on(&mut connection).ok();
    }
    let about = [
        ("Content-Type", "application/json"),
        ("Digest", "sha-256=x"),
        ("Content-Digest", "sha-256=:x:"),
        ("Repr-Digest", "sha-256=:x:"),
        ("Content-MD5", "x"),
        ("Accept-Ranges", "bytes"),
        ("Trailer", "X-Sum"),
    ];
    backend.on("/public/x", Behaviour::Raw(answer(&about, "{}")));
    let got = gateway.get("/public/x").header("Accept-Encoding", "gzip, br").header("Range", "bytes=0-1").send().ok();
    for (name, _) in &about[1..] {
        assert_eq!(got.header(name), None, "{name}");
    }
    let seen = backend.last();
    assert_eq!((seen.header("Accept-Encoding"), seen.header("Range")), (Some("identity"), None));
}

#[test]
fn without_rules_an_encoded_answer_passes_byte_for_byte_and_as_it_comes() {
    let (backend, gateway) = world_with(|c| {
        c.add_route(json!({"name": "ruled", "path": "/ruled/", "methods": ["GET"], "public": true, "backend": "legacy", "response": {"json": true}}))
    });
    let bytes = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0xff, 0x00, 0x0d, 0x0a];
    let encoded = [
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
        ("ETag", "\"1\""),
        ("Vary", "Accept-Encoding"),
    ];
    backend.on("/public/x", Behaviour::reply(200, &encoded, &bytes));
    let got = gateway.get("/public/x").header("Accept-Encoding", "gzip, br").send().ok();
    assert_eq!((got.body.as_slice(), got.header("Content-Encoding")), (&bytes[..], Some("gzip")));
    assert_eq!((got.header("ETag"), got.header("Vary")), (Some("\"1\""), Some("Accept-Encoding")));
    assert_eq!(backend.last().header("Accept-Encoding"), Some("gzip, br"));
    // The first part passes before there is a second.
    let gate = Gate::default();
    let first = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n[1".to_vec();
    backend.on("/public/x", Behaviour::Staged(first, gate.clone(), b"2]".to_vec()));
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/x").bytes());
    connection.wire.head().unwrap();
    assert_eq!(connection.wire.exact(2).unwrap(), b"[1");
    gate.open();
    assert_eq!(connection.wire.exact(2).unwrap(), b"2]");
}

#[test]
fn header_fields_are_set_and_removed_on_both_ways_first_for_the_backend_then_for_the_route() {
    let (backend, gateway) = world_with(|c| {
        c.set(
            "/backends/legacy/request_headers",
            json!({"set": {"X-Tenant": "backend", "X-Zone": "eu"}, "remove": ["X-Debug"]}),
        )
        .set("/backends/legacy/response_headers", json!({"remove": ["Server", "X-Powered-By"]}))
        .route("me", "request_headers", json!({"set": {"x-tenant": "route"}}))
        .route(
            "me",
            "response_headers",
            json!({"set": {"X-Served-By": "gateway", "Cache-Control": "public"}, "remove": ["Set-Cookie"]}),
        )
        .route("me", "security_headers", json!(true))
    });
    let answer = answer(
        &[
            ("Content-Type", "application/json"),
            ("Server", "IIS"),
            ("X-Powered-By", "ASP"),
            ("Set-Cookie", "a=b"),
            ("X-Frame-Options", "SAMEORIGIN"),
            ("X-Other", "stays"),
        ],
        "{}",
    );
    backend.on("/me/x", Behaviour::Raw(answer));
    let call =
        gateway.get("/me/x").customer(&gateway.customer_token()).header("X-Debug", "1").header("X-Tenant", "mine");
    let got = call.send().ok();
    let seen = backend.only();
    assert_eq!(
        (seen.header("X-Tenant"), seen.header("X-Zone"), seen.header("X-Debug")),
        (Some("route"), Some("eu"), None)
    );
    for gone in ["Server", "X-Powered-By", "Set-Cookie"] {
        assert_eq!(got.header(gone), None, "{gone}");
    }
    assert_eq!((got.header("X-Served-By"), got.header("X-Other")), (Some("gateway"), Some("stays")));
    // What the gateway must say it says last.
    assert_eq!(got.header("Cache-Control"), Some("no-store"));
    assert_eq!(
        (got.header("X-Frame-Options"), got.header("X-Content-Type-Options")),
        (Some("SAMEORIGIN"), Some("nosniff"))
    );
    assert_eq!(got.header("Content-Security-Policy"), Some("default-src 'none'; frame-ancestors 'none'"));
}

#[test]
fn answers_of_the_gateway_itself_are_not_guessed_at() {
    let (_backend, gateway) = world();
    for answer in [
        gateway.login_request(ALICE.name, ALICE.secret).send().ok(),
        gateway.token_request(CLIENT.name, CLIENT.secret).send().ok(),
        gateway.get("/.well-known/jwks.json").send().ok(),
        gateway.get("/nothing").send().expect(404, "404-01"),
    ] {
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert!(answer.header("Date").is_some() && answer.header("Content-Type").is_some());
    }
}
