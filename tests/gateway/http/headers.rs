//! Headers that reach a backend: identity, hop-by-hop, forwarding, credentials, request id.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::harness::keys::decode;
use crate::harness::*;

const SPELLINGS: [&str; 8] = [
    "x_customer_id",
    "X_Customer_Id",
    "x-customer_id",
    "X-Customer_Id",
    "x_customer-id",
    "X_CUSTOMER-ID",
    "x__customer__id",
    "X-CUSTOMER_ID",
];

/// The headers at the backend that a careless server would take for the identity.
fn identity_like(seen: &backend::Seen) -> Vec<(String, String)> {
    let normal = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    seen.lines.iter().filter(|(n, _)| normal(n) == "x-customer-id").cloned().collect()
}

#[test]
fn no_spelling_of_the_identity_header_passes() {
    let (backend, gateway) = world();
    let token = gateway.customer_token();
    let own = decode(&token).1["sub"].as_str().unwrap().to_owned();
    for spelling in SPELLINGS {
        backend.forget();
        let answer = gateway.get("/me/x").customer(&token).header(spelling, "admin").send();
        assert!(matches!(answer.status, 200 | 400 | 403), "{spelling}");
        for seen in backend.requests() {
            let values: Vec<String> = identity_like(&seen).into_iter().map(|(_, v)| v).collect();
            assert_eq!(values, [own.as_str()], "{spelling}");
        }
    }
}

#[test]
fn the_identity_header_twice_or_on_an_open_route_does_not_pass() {
    let (backend, gateway) = world();
    let token = gateway.customer_token();
    let own = decode(&token).1["sub"].as_str().unwrap().to_owned();
    for second in ["admin", own.as_str()] {
        let answer =
            gateway.get("/me/x").customer(&token).header("X-Customer-Id", &own).header("X-Customer-Id", second).send();
        assert!(matches!(answer.status, 200 | 400 | 403), "{}", answer.status);
        assert!(second == own || answer.status != 200, "another identifier was let through");
    }
    for seen in backend.requests() {
        assert_eq!(identity_like(&seen).len(), 1);
    }
    backend.forget();
    gateway.get("/public/x").header("X-Customer-Id", "admin").header("x_customer_id", "admin").send();
    for seen in backend.requests() {
        assert_eq!(identity_like(&seen), [], "an open route must not carry an identity");
    }
}

#[test]
fn a_trailer_never_becomes_the_identity() {
    let (backend, gateway) = world();
    let head = gateway
        .post("/me/x")
        .customer(&gateway.customer_token())
        .header("Transfer-Encoding", "chunked")
        .header("Trailer", "X-Customer-Id");
    let mut bytes = head.bytes();
    bytes.extend_from_slice(b"2\r\n{}\r\n0\r\nX-Customer-Id: admin\r\nx_customer_id: admin\r\nAuthorization: Bearer x\r\nHost: evil\r\n\r\n");
    let answer = gateway.connect().exchange(&bytes).unwrap();
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    for seen in backend.requests() {
        assert_eq!(identity_like(&seen).len(), 1);
        assert!(seen.trailers.is_empty(), "{:?}", seen.trailers);
        assert!(!seen.lines.iter().any(|(_, v)| v == "admin"), "{:?}", seen.lines);
    }
}

#[test]
fn over_http_2_no_spelling_of_the_identity_header_passes() {
    let (backend, gateway) = world();
    let token = gateway.customer_token();
    let own = decode(&token).1["sub"].as_str().unwrap().to_owned();
    for spelling in ["x_customer_id", "x-customer_id", "x-customer-id"] {
        backend.forget();
        let request = http::Request::get("https://localhost/me/x")
            .header("customer-auth", format!("JWT {token}"))
            .header(spelling, "admin");
        let answer = h2_client::send(gateway.address, request.body(()).unwrap(), b"", None);
        if let Ok(answer) = answer {
            assert!(matches!(answer.status().as_u16(), 200 | 400 | 403), "{spelling}: {}", answer.status());
        }
        for seen in backend.requests() {
            let values: Vec<String> = identity_like(&seen).into_iter().map(|(_, v)| v).collect();
            assert_eq!(values, [own.as_str()], "{spelling}");
        }
    }
    backend.forget();
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("x-customer-id"), HeaderValue::from_static("admin"));
    let request = http::Request::post("https://localhost/me/x").header("customer-auth", format!("JWT {token}"));
    drop(h2_client::send(gateway.address, request.body(()).unwrap(), b"{}", Some(trailers)));
    for seen in backend.requests() {
        assert_eq!((identity_like(&seen).len(), seen.trailers.len()), (1, 0));
    }
}

#[test]
fn http_2_requests_are_forwarded_with_the_same_headers() {
    let (backend, gateway) = world();
    let request = http::Request::post("https://localhost/public/x?a=1")
        .header("content-type", "text/plain")
        .header("x-request-id", "over-h2");
    let answer = h2_client::send(gateway.address, request.body(()).unwrap(), b"hello", None).unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, &br#"{"ok":true}"#[..]));
    assert_eq!(answer.headers()["x-request-id"], "over-h2");
    let seen = backend.only();
    assert_eq!((seen.target.as_str(), seen.body.as_slice()), ("/public/x?a=1", &b"hello"[..]));
    assert_eq!((seen.header("Host"), seen.header("Via")), (Some("localhost"), Some("2.0 wicketgate")));
}

#[test]
fn connection_cannot_take_away_what_the_gateway_sets() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/authorization", json!({"bearer": {"file": "certs/backend.token"}}))
            .file("certs/backend.token", "gateways-own")
    });
    let named = "X-Customer-Id, Authorization, Host, X-Forwarded-For, X-Forwarded-Proto, Forwarded, Via, X-Request-Id, Content-Length, Content-Type";
    let answer =
        gateway.post("/me/x").customer(&gateway.customer_token()).header("Connection", named).json("{}").send();
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    for seen in backend.requests() {
        assert_eq!(seen.header("Authorization"), Some("Bearer gateways-own"));
        assert_eq!((seen.header("Host"), seen.header("X-Forwarded-For")), (Some("localhost"), Some("127.0.0.1")));
        assert!(seen.header("X-Customer-Id").is_some() && seen.header("X-Request-Id").is_some());
        assert_eq!(seen.body, b"{}");
    }
}

#[test]
fn hop_by_hop_headers_of_the_caller_end_at_the_gateway() {
    let (backend, gateway) = world();
    gateway
        .get("/public/x")
        .header("Connection", "keep-alive, X-Private, X-Other")
        .header("X-Private", "1")
        .header("x-other", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic x")
        .header("TE", "trailers")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAAQAAP__")
        .header("X-Kept", "1")
        .send()
        .ok();
    let seen = backend.only();
    for name in [
        "X-Private",
        "X-Other",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "TE",
        "Upgrade",
        "HTTP2-Settings",
        "Trailer",
    ] {
        assert!(seen.all(name).is_empty(), "{name}: {:?}", seen.lines);
    }
    assert_eq!(seen.header("X-Kept"), Some("1"));
}

#[test]
fn hop_by_hop_headers_of_the_backend_end_at_the_gateway() {
    let (backend, gateway) = world();
    let headers = [
        ("Connection", "X-Private"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("X-Kept", "1"),
    ];
    backend.on("/public/x", Behaviour::reply(200, &headers, b"hi"));
    let answer = gateway.get("/public/x").send().ok();
    for name in ["X-Private", "Keep-Alive", "Proxy-Authenticate"] {
        assert!(answer.all(name).is_empty(), "{name}: {:?}", answer.lines);
    }
    assert_eq!((answer.header("X-Kept"), answer.text().as_str()), (Some("1"), "hi"));
}

#[test]
fn forwarding_headers_of_the_caller_are_replaced() {
    let (backend, gateway) = world();
    let spoofed = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X_Forwarded_For",
        "x_real_ip",
    ];
    let request = spoofed.iter().fold(gateway.get("/public/x"), |request, name| request.header(name, "6.6.6.6"));
    request.send().ok();
    let seen = backend.only();
    assert!(!seen.lines.iter().any(|(_, v)| v.contains("6.6.6.6")), "{:?}", seen.lines);
    assert_eq!(seen.header("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(seen.header("X-Forwarded-Proto"), Some("https"));
    assert_eq!(seen.header("X-Forwarded-Host"), Some("localhost"));
    let forwarded = seen.header("Forwarded").unwrap().to_ascii_lowercase();
    for part in ["127.0.0.1", "proto=https", "localhost"] {
        assert!(forwarded.contains(part), "{forwarded}");
    }
    assert_eq!((seen.header("Via"), seen.header("Host")), (Some("1.1 wicketgate"), Some("localhost")));
}

#[test]
fn no_header_opens_a_route() {
    let (backend, gateway) = world();
    for name in ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Original-URI", "X-Forwarded-Path"] {
        gateway.get("/me/x").header(name, "/public/x").send().expect(401, "401-10");
    }
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Forwarded-Method"] {
        gateway.get("/account/x").header(name, "POST").send().expect(405, "405-01");
    }
    gateway.get("/me/x").header("User-Agent", "kube-probe/1.30").send().expect(401, "401-10");
    backend.assert_untouched();
}

#[test]
fn credentials_do_not_reach_the_backend_unless_the_route_says_so() {
    let (backend, gateway) = world();
    gateway.profile().send().ok();
    let seen = backend.only();
    for name in ["Authorization", "customer-auth", "api-key"] {
        assert!(seen.all(name).is_empty(), "{name} at the backend");
    }
    let (backend, gateway) = world_with(|c| c.route("profile", "forward_credentials", json!(["customer"])));
    gateway.profile().send().ok();
    let seen = backend.only();
    assert_eq!(seen.header("customer-auth"), Some(format!("JWT {}", gateway.customer_token()).as_str()));
    assert!(seen.all("Authorization").is_empty() && seen.all("api-key").is_empty());
}

#[test]
fn the_gateway_shows_its_own_credential_in_the_configured_form() {
    let header = json!({"header": {"name": "X-Backend-Key", "value": {"file": "certs/backend.key"}}});
    let basic = json!({"basic": {"username": "gw", "password": {"file": "certs/backend.key"}}});
    for (credential, name, value) in
        [(header, "X-Backend-Key", "p:w d"), (basic, "Authorization", "Basic Z3c6cDp3IGQ=")]
    {
        let (backend, gateway) =
            world_with(|c| c.set("/backends/legacy/authorization", credential).file("certs/backend.key", "p:w d\n"));
        gateway.get("/public/x").header(name, "callers").send().ok();
        assert_eq!(backend.only().header(name), Some(value));
    }
}

#[test]
fn a_valid_request_id_is_kept_and_any_other_is_replaced() {
    let (backend, gateway) = world();
    let answer = gateway.get("/public/x").header("X-Request-Id", "call-17_a.b").send().ok();
    assert_eq!(answer.header("X-Request-Id"), Some("call-17_a.b"));
    assert_eq!(backend.last().header("X-Request-Id"), Some("call-17_a.b"));
    let long = "x".repeat(129);
    for bad in ["", "a b", "a/b", "<script>", long.as_str(), "a,b"] {
        let answer = gateway.get("/public/x").header("X-Request-Id", bad).send().ok();
        let id = answer.header("X-Request-Id").unwrap().to_owned();
        assert!(id != bad && !id.is_empty(), "{bad:?}");
        assert_eq!(backend.last().header("X-Request-Id"), Some(id.as_str()));
    }
    let twice = gateway.get("/public/x").header("X-Request-Id", "one").header("X-Request-Id", "two").send();
    assert!(matches!(twice.status, 200 | 400) && backend.last().all("X-Request-Id").len() == 1);
}

#[test]
fn answers_about_a_customer_are_not_stored_and_never_from_a_cache() {
    let (backend, gateway) = world();
    for _ in 0..2 {
        let answer = gateway.profile().header("Cache-Control", "no-cache").send().ok();
        assert!(answer.header("Cache-Control").unwrap().contains("no-store"), "{:?}", answer.lines);
    }
    assert_eq!(backend.requests().len(), 2);
}
