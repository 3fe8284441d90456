//! Refusals of requests as HTTP: heads, bodies, WebSockets, routes, limits.

use super::Provoked;
use crate::forward_auth::decisions::{asked_with, plainly, question};
use crate::harness::*;
use crate::websocket::tunnel::{backend, handshake, open, world_of};

pub(super) const WORDS: &[&[&str]] = &[REQUESTS, CALLERS, LIMITS, ADDRESSES, HANDSHAKE, DECISIONS, WEBSOCKETS, UPLOADS];

const REQUESTS: &[&str] = &[
    "malformed_request",
    "host",
    "host_not_served",
    "ambiguous_path",
    "ambiguous_route",
    "no_route",
    "method",
    "expectation",
    "malformed_body",
    "websocket_handshake",
    "websocket_version",
    "connect_not_allowed",
];

const CALLERS: &[&str] =
    &["address_not_allowed", "content_type", "identifier_mismatch", "json", "quota", "rate_limited", "schema"];

const LIMITS: &[&str] = &["head_too_large", "target_too_long", "body_timeout", "body_too_large"];

const ADDRESSES: &[&str] = &["plain_http", "forwarded_for"];

const HANDSHAKE: &[&str] = &["misdirected"];

const DECISIONS: &[&str] = &["bad_forwarded_request", "needs_body"];

const WEBSOCKETS: &[&str] = &["websocket_share"];

const UPLOADS: &[&str] = &["upload_share"];

#[test]
fn words_of_requests_that_are_not_what_the_gateway_serves() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/listen/0/hosts", json!(["localhost"])).route("public", "websocket", json!(true)).add_route(json!({
            "name": "beta", "path": "/public/", "methods": ["GET"], "public": true, "backend": "legacy",
            "queries": [{"name": "beta", "present": true}],
        }))
    });
    let provoked = Provoked::at(&gateway);
    let raw = |word: &'static str, head: &str, body: &str| {
        let bytes = format!("{head}\r\nHost: localhost\r\n{body}");
        provoked.answered(word, &gateway.connect().exchange(bytes.as_bytes()).unwrap());
    };
    raw("malformed_request", "POST /public/x HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw("malformed_body", "POST /public/x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    let get = || gateway.get("/public/x");
    provoked.sent("host", &get().replace("Host", "a..b"));
    provoked.sent("host_not_served", &get().replace("Host", "127.0.0.1"));
    provoked.sent("ambiguous_path", &gateway.get("/public/..%2fadmin"));
    provoked.sent("ambiguous_route", &gateway.get("/public/x?beta=1&beta=2"));
    provoked.sent("no_route", &gateway.get("/no/such/path"));
    provoked.sent("method", &gateway.get("/account/x"));
    provoked.sent("expectation", &get().header("Expect", "200-ok"));
    let opening = handshake(get());
    provoked.sent("websocket_handshake", &opening.clone().drop_header("Sec-WebSocket-Key"));
    provoked.sent("websocket_version", &opening.replace("Sec-WebSocket-Version", "8"));
    let connect = ::http::Request::builder().uri("https://localhost/system/x").header("X-Request-Id", "connect");
    assert_eq!(h2_client::connect(gateway.address, connect, "websocket").unwrap(), 501);
    provoked.noted("connect_not_allowed", "connect");
    provoked.are(REQUESTS);
}

#[test]
fn words_of_callers_that_the_route_does_not_take_as_they_come() {
    let (_backend, gateway) = world_with(|c| {
        c.route("public", "allow", json!(["10.0.0.0/8"]))
            .route("system", "content_types", json!(["application/json"]))
            .route("me", "identifier", json!({"body": "/customer/id"}))
            .route("key", "limits", json!({"rate": "1/m", "burst": 1, "per": "api_key"}))
            .set("/api_keys/0/quota", json!({"day": 1}))
            .set("/api_keys/0/routes", json!(["profile"]))
            .add_route(json!({"name": "described", "path": "/described/", "methods": ["GET"], "public": true,
                "backend": "legacy", "openapi": "api.yaml", "validate": "request"}))
            .file("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {/described/a: {get: {responses: {'200': {description: ok}}}}}\n")
    });
    let provoked = Provoked::at(&gateway);
    provoked.sent("address_not_allowed", &gateway.get("/public/x"));
    let system = gateway.post("/system/x").bearer(&gateway.client_token());
    provoked.sent("content_type", &system.header("Content-Type", "text/xml").body("<a/>"));
    let me = gateway.post("/me/x").customer(&gateway.customer_token());
    provoked.sent("json", &me.clone().json(r#"{"a":1,"a":2}"#));
    provoked.sent("identifier_mismatch", &me.json(r#"{"customer":{"id":"another"}}"#));
    provoked.sent("schema", &gateway.get("/described/b"));
    gateway.profile().send().ok();
    provoked.sent("quota", &gateway.profile());
    let by_key = gateway.get("/key/x").api_key(config::FREE_API_KEY);
    by_key.send().ok();
    provoked.sent("rate_limited", &by_key);
    provoked.are(CALLERS);
}

#[test]
fn words_of_requests_that_are_too_large_or_too_slow() {
    let (_backend, gateway) = world_with(|c| {
        c.limit("head", json!("4KiB")).limit("target", json!("1KiB")).limit("body_idle_timeout", json!("300ms")).route(
            "public",
            "limits",
            json!({"body": "1KiB"}),
        )
    });
    let provoked = Provoked::at(&gateway);
    provoked.sent("head_too_large", &gateway.get("/public/x").header("X-Long", &"x".repeat(5_000)));
    provoked.sent("target_too_long", &gateway.get(&format!("/public/{}", "x".repeat(1_100))));
    provoked.sent("body_too_large", &gateway.post("/public/x").body(vec![b'x'; 2_000]));
    let mut bytes = gateway.post("/public/x").header("Content-Length", "10").bytes();
    bytes.extend_from_slice(b"hello");
    provoked.answered("body_timeout", &gateway.connect().exchange(&bytes).unwrap());
    provoked.are(LIMITS);
}

#[test]
fn words_of_requests_that_came_by_another_way_than_they_should() {
    let (_backend, gateway) = world_with(|c| {
        c.set(
            "/listen",
            json!([{
                "address": "0.0.0.0:0", "plain_http_from": ["127.0.0.9/32"], "trusted_proxies": ["127.0.0.9/32"],
            }]),
        )
    });
    let provoked = Provoked::at(&gateway);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    let by = |scheme: &str, chain: &str| {
        let request = Request::new(address, "GET", "/public/x").header("X-Forwarded-Proto", scheme);
        request.header("X-Forwarded-For", chain).send_on(&mut Connection::plain_from("127.0.0.9", address))
    };
    provoked.answered("plain_http", &by("http", "203.0.113.9"));
    provoked.answered("forwarded_for", &by("https", "203.0.113.9, nobody"));
    provoked.are(ADDRESSES);
}

#[test]
fn the_word_of_a_request_on_a_connection_that_was_opened_for_another_host() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
    });
    let provoked = Provoked::at(&gateway);
    provoked.sent("misdirected", &gateway.get("/public/x").replace("Host", "other.test"));
    provoked.are(HANDSHAKE);
}

#[test]
fn words_of_decisions_that_another_proxy_cannot_have() {
    let (_backend, gateway, plain) = asked_with(|c| c.route("me", "identifier", json!({"body": "/customer/id"})));
    let provoked = Provoked::at(&gateway);
    let whole = question(plain, "POST", "/me/x").customer(&gateway.customer_token());
    provoked.answered("bad_forwarded_request", &plainly(&whole.clone().drop_header("X-Forwarded-Method")));
    provoked.answered("needs_body", &plainly(&whole));
    provoked.are(DECISIONS);
}

#[test]
fn the_word_of_a_caller_that_holds_its_share_of_websockets() {
    let (address, backend) = backend();
    let gateway = world_of(address, |c| c.set("/backends/legacy/concurrency", json!(3)));
    let provoked = Provoked::at(&gateway);
    let live = gateway.get("/me/live").customer(&gateway.customer_token());
    let held = open(&gateway, &backend, live.clone());
    provoked.sent("websocket_share", &handshake(live));
    drop(held);
    provoked.are(WEBSOCKETS);
}

#[test]
fn the_word_of_a_caller_that_holds_its_share_of_uploads() {
    let (_backend, gateway) = world_with(|c| c.set("/backends/legacy/concurrency", json!(4)));
    let provoked = Provoked::at(&gateway);
    let begun = || {
        let mut connection = gateway.connect();
        let upload = gateway.post("/me/x").customer(&gateway.customer_token()).header("Content-Length", "1000");
        connection.send(&upload.bytes());
        connection
    };
    let held = [begun(), begun()];
    gateway.expect_metric("wicketgate_backend_in_flight", &[], 2.0);
    provoked.answered("upload_share", &begun().receive("POST").unwrap());
    drop(held);
    provoked.are(UPLOADS);
}
