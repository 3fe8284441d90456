//! `respond` and `redirect` routes, `listen[].hosts`.

use crate::forward_auth::decisions::{asked_with, plainly, question};
use crate::harness::*;

/// A route that the gateway answers itself.
fn direct(name: &str, member: &str, value: Value) -> Value {
    let mut route =
        json!({"name": name, "path": format!("/{name}/"), "methods": ["GET", "HEAD", "POST"], "public": true});
    route[member] = value;
    route
}

fn with_routes(routes: &[Value]) -> (Backend, Gateway) {
    world_with(|config| routes.iter().cloned().fold(config, Config::add_route))
}

#[test]
fn a_route_responds_by_itself_after_the_same_checks() {
    let body = json!({"status": 410, "headers": {"Content-Type": "text/html", "X-Since": "2026"}, "body": "<p>Gone"});
    let mut gone = direct("gone", "respond", body);
    gone["public"] = json!(false);
    gone["require"] = json!(["client"]);
    gone["limits"] = json!({"rate": "1/h", "burst": 1});
    gone["cors"] = json!({"origins": ["https://www.example.com"]});
    let (backend, gateway) = with_routes(&[gone]);
    gateway.get("/gone/x").send().expect(401, "401-10");
    let token = gateway.client_token();
    gateway.request("PUT", "/gone/x").bearer(&token).send().expect(405, "405-01");
    let origin = "https://www.example.com";
    let response = gateway.get("/gone/x").bearer(&token).header("Origin", origin).send().expect(410, "");
    assert_eq!(response.text(), "<p>Gone");
    assert_eq!(response.header("Content-Type"), Some("text/html"));
    assert_eq!(response.header("X-Since"), Some("2026"));
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some(origin));
    gateway.get("/gone/x").bearer(&token).send().expect(429, "429-01");
    backend.assert_untouched();
}

#[test]
fn the_response_to_head_has_the_length_and_no_body() {
    let (_, gateway) = with_routes(&[direct("note", "respond", json!({"status": 200, "body": "a note"}))]);
    let response = gateway.request("HEAD", "/note/").send().ok();
    assert_eq!(response.header("Content-Length"), Some("6"));
    assert_eq!(response.header("Content-Type"), Some("text/plain; charset=utf-8"));
    let request = http::Request::head("https://localhost/note/").body(()).unwrap();
    let response = h2_client::send(gateway.address, request, b"", None).unwrap();
    assert_eq!((response.status().as_u16(), response.body().len()), (200, 0));
    assert_eq!(response.headers()["content-length"], "6");
    let empty = gateway.get("/note/").send().ok();
    assert_eq!(empty.text(), "a note");
}

#[test]
fn a_body_that_nobody_reads_does_not_end_the_connection() {
    let (_, gateway) = with_routes(&[direct("note", "respond", json!({"status": 503, "body": "later"}))]);
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let response = gateway.post("/note/").body(vec![b'x'; 10_000]).send_on(&mut connection);
        assert_eq!((response.status, response.text().as_str(), response.close), (503, "later", false));
    }
}

#[test]
fn a_redirect_keeps_the_rest_of_the_path_and_the_query() {
    let keeps = json!({"to": "https://new.example.com/v2", "status": 308, "keep_path": true});
    let (backend, gateway) = with_routes(&[
        direct("old", "redirect", keeps),
        direct("away", "redirect", json!({"to": "https://new.example.com/start?from=old"})),
        direct("near", "redirect", json!({"to": "/public/", "status": 302, "keep_path": true})),
    ]);
    for (target, status, expected) in [
        ("/old/a/b?x=1&y", 308, "https://new.example.com/v2/a/b?x=1&y"),
        ("/old/", 308, "https://new.example.com/v2/"),
        ("/old/a%7eb", 308, "https://new.example.com/v2/a~b"),
        ("/away/a?x=1", 307, "https://new.example.com/start?from=old"),
        ("/near/x?y", 302, "/public/x?y"),
    ] {
        let response = gateway.get(target).send().expect(status, "");
        assert_eq!(response.header("Location"), Some(expected), "{target}");
        assert!(response.body.is_empty());
    }
    backend.assert_untouched();
}

#[test]
fn no_path_of_a_caller_leads_to_another_host() {
    let mut near = direct("near", "redirect", json!({"to": "/", "keep_path": true}));
    near["allow_in_path"] = json!(["double_slash", "encoded_slash", "encoded_backslash"]);
    let far = direct("far", "redirect", json!({"to": "https://new.example.com", "keep_path": true}));
    let (_, gateway) = with_routes(&[near, far]);
    for path in
        ["/near//evil.test", "/near///evil.test", "/near/%2fevil.test", "/near/\\evil.test", "/near/%5cevil.test"]
            .into_iter()
            .chain(["/far//evil.test", "/far/@evil.test", "/far/.evil.test", "/far/%2f%2fevil.test", "/near/a//b"])
    {
        for host in ["localhost", "evil.test"] {
            let response = gateway.get(path).replace("Host", host).send().expect_one_of(&[307, 400]);
            let Some(location) = response.header("Location") else { continue };
            let is_ours = location.starts_with("https://new.example.com/")
                || (location.starts_with('/') && !location.starts_with("//") && !location.contains('\\'));
            assert!(is_ours, "{path}: {location}");
        }
    }
}

#[test]
fn other_proxies_may_not_forward_what_the_gateway_answers_itself() {
    let gone = direct("gone", "respond", json!({"status": 410, "body": "gone"}));
    let (_, _gateway, plain) = asked_with(|config| config.add_route(gone));
    let asked = |path: &str| plainly(&question(plain, "GET", path));
    asked("/public/x").ok();
    assert_eq!(asked("/gone/x").code(), "404-01");
}

#[test]
fn a_host_that_is_not_served_is_misdirected_in_every_version_of_http() {
    let (backend, gateway) =
        world_with(|config| config.set("/listen/0/hosts", json!(["localhost", "api.example.com", "[2001:db8::1]"])));
    let of = |host: &str| gateway.get("/public/x").replace("Host", host).send();
    for host in ["localhost", "LOCALHOST", "localhost.", "api.example.com:8443", "[2001:DB8:0::1]"] {
        of(host).ok();
    }
    let count = backend.requests().len();
    for host in ["127.0.0.1", "example.com", "x.api.example.com", "evil.test", "api.example.com.evil.test"] {
        of(host).expect(421, "421-02");
        let request = http::Request::get(format!("https://{host}/public/x")).body(()).unwrap();
        let response = h2_client::send(gateway.address, request, b"", None).unwrap();
        assert_eq!(response.status(), 421, "{host}");
        let line = format!("GET https://{host}/public/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(gateway.connect().exchange(line.as_bytes()).unwrap().status, 421, "{host}");
    }
    assert_eq!(backend.requests().len(), count, "nothing of them reaches the backend");
    let request = http::Request::get("https://api.example.com/public/x").body(()).unwrap();
    assert_eq!(h2_client::send(gateway.address, request, b"", None).unwrap().status(), 200);
    gateway.expect_metric("wicketgate_requests_total", &[("refusal", "host_not_served")], 15.0);
}

#[test]
fn the_gateways_own_endpoints_are_served_for_the_hosts_of_the_listener_only() {
    let (_, gateway, plain) = asked_with(|config| {
        let hosts = json!(["localhost"]);
        config.set("/listen/0/hosts", hosts.clone()).set("/listen/1/hosts", hosts)
    });
    gateway.get("/.well-known/jwks.json").send().ok();
    gateway.get("/.well-known/jwks.json").replace("Host", "evil.test").send().expect(421, "421-02");
    gateway.login_request(ALICE.name, ALICE.secret).replace("Host", "evil.test").send().expect(421, "421-02");
    let question = question(plain, "GET", "/public/x");
    plainly(&question).ok();
    plainly(&question.clone().replace("Host", "evil.test")).expect(421, "421-02");
    plainly(&question.replace("X-Forwarded-Host", "evil.test")).expect(421, "421-02");
}
