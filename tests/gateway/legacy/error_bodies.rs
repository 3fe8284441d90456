//! `errors`: bodies of refusals in the company's own form.

use crate::forward_auth::decisions::{asked_with, plainly, question};
use crate::harness::*;

const REQUEST_ID: &str = "order-4711.a_b";

fn fault(status: Value, name: &str) -> Value {
    let body = json!({
        "fault": name, "code": "${error.code}", "text": "${error.message}", "id": "${request.id}",
    });
    json!({"status": status, "content_type": "application/problem+json", "body": body.to_string()})
}

fn with_errors() -> (Backend, Gateway) {
    world_with(|config| {
        config
            .set(
                "/errors",
                json!([
                    fault(json!([401, 404]), "first"),
                    fault(json!("4xx"), "client"),
                    fault(json!("5xx"), "server")
                ]),
            )
            .route("system", "errors", json!([fault(json!(401), "system")]))
    })
}

/// The body is that entry's, and has the request id.
#[track_caller]
fn assert_fault(response: &Response, name: &str, code: &str) {
    assert_eq!(response.header("Content-Type"), Some("application/problem+json"), "{}", response.text());
    let body = response.json();
    assert_eq!((body["fault"].as_str(), body["code"].as_str()), (Some(name), Some(code)), "{body}");
    assert_eq!(body["id"].as_str(), response.header("X-Request-Id"));
    assert!(body["text"].as_str().unwrap().ends_with('.'));
}

#[test]
fn refusals_have_the_body_of_their_status_and_the_routes_own_first() {
    let (backend, gateway) = with_errors();
    let other = gateway.get("/me/x").header("X-Request-Id", REQUEST_ID).send().expect(401, "");
    assert_fault(&other, "first", "401-10");
    assert_eq!(other.json()["id"], REQUEST_ID);
    assert_fault(&gateway.get("/system/x").send().expect(401, ""), "system", "401-10");
    let method = gateway.request("PATCH", "/system/x").send().expect(405, "");
    assert_fault(&method, "client", "405-01");
    assert!(method.header("Allow").is_some());
    backend.on("/public/x", Behaviour::Close);
    assert_fault(&gateway.post("/public/x").send().expect(502, ""), "server", "502-01");
    let bearer = gateway.get("/system/x").bearer("nonsense").send().expect(401, "");
    assert_eq!(bearer.header("WWW-Authenticate"), Some(r#"Bearer error="invalid_token""#));
    let head = gateway.request("HEAD", "/me/x").send();
    assert_eq!((head.status, head.body.len()), (401, 0));
}

#[test]
fn what_is_refused_before_there_is_a_route_has_the_body_for_all() {
    let (_, gateway) = with_errors();
    assert_fault(&gateway.get("/nowhere").send().expect(404, ""), "first", "404-01");
    assert_fault(&gateway.get("/public/x").replace("Host", "a..b").send().expect(400, ""), "client", "400-01");
    // Bytes that were never a request.
    let garbage = gateway.connect().exchange(b"\x16\x03\x01 nonsense\r\n\r\n").unwrap();
    assert_eq!(garbage.status, 400);
    assert_fault(&garbage, "client", "400-01");
    let request = http::Request::get("https://localhost/nowhere").body(()).unwrap();
    let response = h2_client::send(gateway.address, request, b"", None).unwrap();
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["fault"], "first");
}

#[test]
fn errors_of_the_backend_pass_as_they_are() {
    let (backend, gateway) = with_errors();
    for status in [400, 404, 500, 503] {
        backend.on("/public/x", Behaviour::status(status));
        let response = gateway.get("/public/x").send().expect(status, "");
        assert_eq!(response.json(), json!({"from": "backend", "status": status}));
    }
}

#[test]
fn a_withheld_error_page_of_a_backend_has_the_body_of_its_status() {
    let (backend, gateway) = world_with(|config| {
        config.set("/errors", json!([fault(json!("5xx"), "server")])).route("public", "response", json!({"json": true}))
    });
    backend.on("/public/x", Behaviour::reply(500, &[("Content-Type", "text/html")], b"<h1>at Foo.java:42"));
    let response = gateway.get("/public/x").send().expect(500, "");
    assert_fault(&response, "server", "500-00");
    assert!(!response.everything().contains("java"));
}

#[test]
fn markup_and_text_have_values_that_cannot_break_out_of_them() {
    let xml = json!({"status": 404, "content_type": "text/xml; charset=utf-8",
        "body": "<fault id=\"${request.id}\"><status>${error.status}</status>${error.message}</fault>"});
    let text = json!({"content_type": "text/plain", "body": "${error.code} ($5) ${request.id}"});
    let (_, gateway) = world_with(|config| config.set("/errors", json!([xml, text])));
    let response = gateway.get("/nowhere").header("X-Request-Id", REQUEST_ID).send().expect(404, "");
    let expected = format!("<fault id=\"{REQUEST_ID}\"><status>404</status>No route matches.</fault>");
    assert_eq!(response.text(), expected);
    assert_eq!(response.header("Content-Type"), Some("text/xml; charset=utf-8"));
    let response = gateway.get("/me/x").header("X-Request-Id", "\"><script>").send().expect(401, "");
    let id = response.header("X-Request-Id").unwrap();
    assert!(!id.contains('<'));
    assert_eq!(response.text(), format!("401-10 ($5) {id}"));
}

#[test]
fn oauth_endpoints_keep_the_form_of_their_standard() {
    let (_, gateway) = world_with(|config| config.set("/errors", json!([fault(json!(["4xx", "5xx"]), "any")])));
    let response = gateway.token_request(CLIENT.name, "wrong").send();
    assert_eq!((response.status, response.json()["error"].as_str()), (401, Some("invalid_client")));
    assert_fault(&gateway.login_request(ALICE.name, "wrong").send().expect(401, ""), "any", "401-04");
}

#[test]
fn other_proxies_get_the_same_body_to_pass_on() {
    let (_, _gateway, plain) = asked_with(|config| {
        config.set("/errors", json!([fault(json!("4xx"), "client")])).route(
            "system",
            "errors",
            json!([fault(json!(401), "system")]),
        )
    });
    let asked = |path: &str| plainly(&question(plain, "GET", path));
    assert_fault(&asked("/system/x").expect(401, ""), "system", "401-10");
    assert_fault(&asked("/nowhere").expect(404, ""), "client", "404-01");
}
