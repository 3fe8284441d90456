//! Other proxies ask before they forward: a real nginx, the words of Traefik and Caddy, and Envoy's ext_authz by a real
//! gRPC client.

use std::net::SocketAddr;
use std::path::Path;

use crate::harness::config::FREE_API_KEY;
use crate::harness::other_proxy::OtherProxy;
use crate::harness::python::python;
use crate::harness::*;

/// A gateway that other proxies may ask, also without TLS.
pub(crate) fn asked_with(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway, SocketAddr) {
    let (backend, gateway) = world_with(|config| {
        let tls = config.yaml["listen"][0].clone();
        change(config.set("/listen", json!([tls, {"address": "127.0.0.1:0"}])).set("/forward_auth", json!({})))
    });
    let plain = gateway.stderr.wait(|line| {
        line["message"] == "listening" && line["role"] == "gateway" && line["address"] != gateway.address.to_string()
    });
    let plain = plain.unwrap()["address"].as_str().unwrap().parse().unwrap();
    (backend, gateway, plain)
}

pub(crate) fn asked() -> (Backend, Gateway, SocketAddr) {
    asked_with(|config| config)
}

/// The block of docs/forward-auth.md in this language.
pub(crate) fn documented(language: &str) -> &'static str {
    let text = include_str!("../../../docs/forward-auth.md");
    let begin = format!("```{language}\n");
    let rest = &text[text.find(&begin).unwrap() + begin.len()..];
    &rest[..rest.find("```").unwrap()]
}

/// nginx as docs/forward-auth.md has it, in front of both.
pub(crate) fn nginx(backend: &Backend, plain: SocketAddr) -> OtherProxy {
    nginx_with(backend, plain, plain)
}

/// The same where questions are answered on a listener of their own.
pub(crate) fn nginx_with(backend: &Backend, callers: SocketAddr, questions: SocketAddr) -> OtherProxy {
    let snippet = documented("nginx");
    OtherProxy::nginx(|own| {
        let places = [("8000", own), ("8080", callers), ("8081", questions), ("9000", backend.address)];
        places.into_iter().fold(snippet.to_owned(), |text, (port, address)| {
            let documented = format!("127.0.0.1:{port}");
            assert!(text.contains(&documented), "{documented}");
            text.replace(&documented, &address.to_string())
        })
    })
}

/// Caddy as docs/forward-auth.md has it, in front of both.
pub(crate) fn caddy(backend: &Backend, plain: SocketAddr) -> OtherProxy {
    let snippet = documented("caddy");
    OtherProxy::caddy(|own| {
        snippet
            .replace("api.example.com {", &format!("http://:{} {{\n    bind 127.0.0.1", own.port()))
            .replace("https://wicketgate.internal:8443", &format!("http://{plain}"))
            .replace("127.0.0.1:9000", &backend.address.to_string())
    })
}

/// Sends without TLS.
pub(crate) fn plainly(request: &Request) -> Response {
    request.send_on(&mut Connection::plain(request.address))
}

/// A question in the words of Traefik and Caddy.
pub(crate) fn question(plain: SocketAddr, method: &str, uri: &str) -> Request {
    Request::new(plain, "GET", "/_wicketgate/auth")
        .header("X-Forwarded-Method", method)
        .header("X-Forwarded-Uri", uri)
        .header("X-Forwarded-Host", "localhost")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-For", "198.51.100.7")
}

#[test]
fn nginx_lets_pass_what_the_gateway_admits_and_tells_its_backend_who_the_customer_is() {
    let (backend, gateway, plain) = asked();
    let nginx = nginx(&backend, plain);
    let token = gateway.customer_token();
    let call = Request::new(nginx.address, "POST", "/me/orders?page=2").customer(&token).body("x=1");
    assert_eq!(plainly(&call).status, 200);
    let seen = backend.only();
    let (_, claims) = keys::decode(&token);
    assert_eq!(seen.header("X-Customer-Id"), claims["sub"].as_str());
    assert_eq!((seen.target.as_str(), &seen.body[..]), ("/me/orders?page=2", &b"x=1"[..]));
    assert_eq!(seen.header("customer-auth"), None);
}

#[test]
fn nginx_refuses_what_the_gateway_refuses_and_its_backend_sees_nothing() {
    let (backend, gateway, plain) = asked();
    let nginx = nginx(&backend, plain);
    let to = |method: &str, target: &str| Request::new(nginx.address, method, target);
    let absent = plainly(&to("POST", "/me/orders"));
    assert_eq!(absent.status, 401);
    assert!(absent.header("WWW-Authenticate").is_some());
    let mut forged = gateway.customer_token();
    forged.replace_range(forged.len() - 6.., "AAAAAA");
    assert_eq!(plainly(&to("POST", "/me/orders").customer(&forged)).status, 401);
    let token = gateway.customer_token();
    let named = to("POST", "/me/orders").customer(&token).header("X-Customer-Id", "somebody-else");
    assert_eq!(plainly(&named).status, 403);
    // 404 and 405, which nginx knows only as a no.
    assert_eq!(plainly(&to("POST", "/unknown").customer(&token)).status, 403);
    assert_eq!(plainly(&to("PATCH", "/me/orders").customer(&token)).status, 403);
    backend.assert_untouched();
}

#[test]
fn a_caller_cannot_tell_the_gateway_through_nginx_what_it_asks_for() {
    let (backend, _gateway, plain) = asked();
    let nginx = nginx(&backend, plain);
    let to = |target: &str| Request::new(nginx.address, "GET", target);
    assert_eq!(plainly(&to("/public/x")).status, 200);
    backend.forget();
    for family in [
        ["X-Original-URI", "X-Original-Method", "X-Original-Host"],
        ["X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Host"],
    ] {
        let [uri, method, host] = family;
        let lied = to("/me/orders").header(uri, "/public/x").header(method, "GET").header(host, "localhost");
        assert_eq!(plainly(&lied).status, 401, "{family:?}");
        assert_eq!(plainly(&to("/me/orders").header(uri, "/public/x")).status, 401, "{uri}");
    }
    for ambiguous in
        ["/public/../me/orders", "/public//me", "/public/%2e%2e/me/orders", "/public/..;/me", "/me%2forders"]
    {
        assert!(plainly(&to(ambiguous)).status >= 400, "{ambiguous}");
    }
    backend.assert_untouched();
}

#[test]
fn nginx_sends_on_no_identity_of_the_callers_own() {
    let (backend, gateway, plain) = asked();
    let nginx = nginx(&backend, plain);
    let call = Request::new(nginx.address, "GET", "/public/x").header("X-Customer-Id", "somebody");
    assert_eq!(plainly(&call).status, 403);
    backend.assert_untouched();
    // Without nginx's own care the gateway says no.
    let odd =
        question(plain, "GET", "/me/orders").customer(&gateway.customer_token()).header("X_Customer_Id", "somebody");
    plainly(&odd).expect(403, "403-03");
}

#[test]
fn caddy_lets_pass_what_the_gateway_admits_and_nothing_that_a_caller_says_of_itself() {
    let (backend, gateway, plain) = asked();
    let caddy = caddy(&backend, plain);
    let to = |method: &str, target: &str| Request::new(caddy.address, method, target);
    let token = gateway.customer_token();
    let call = to("POST", "/me/orders?page=2").customer(&token).body("x=1");
    assert_eq!(plainly(&call).status, 200);
    let seen = backend.only();
    assert_eq!(seen.header("X-Customer-Id"), keys::decode(&token).1["sub"].as_str());
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str(), &seen.body[..]),
        ("POST", "/me/orders?page=2", &b"x=1"[..])
    );
    assert_eq!(seen.header("customer-auth"), None);
    backend.forget();
    plainly(&to("GET", "/public/x").header("X-Customer-Id", "somebody")).expect(403, "403-03");
    // The answer is the gateway's own, with its body.
    plainly(&to("POST", "/me/orders")).expect(401, "401-10");
    plainly(&to("PATCH", "/me/orders").customer(&token)).expect(405, "405-01");
    let named = to("GET", "/me/orders").customer(&token).header("X-Customer-Id", "somebody");
    plainly(&named).expect(403, "403-03");
    let lied = to("GET", "/me/orders").header("X-Forwarded-Uri", "/public/x").header("X-Forwarded-Method", "GET");
    plainly(&lied).expect(401, "401-10");
    plainly(&to("GET", "/me/orders").header("X-Original-URI", "/public/x")).expect(403, "403-07");
    for ambiguous in ["/public/../me/orders", "/public//me", "/public/%2e%2e/me/orders", "/me%2forders"] {
        assert!(plainly(&to("GET", ambiguous)).status >= 400, "{ambiguous}");
    }
    backend.assert_untouched();
}

#[test]
fn traefik_and_caddy_get_the_identifier_or_the_refusal_of_the_route() {
    let (backend, gateway, plain) = asked();
    let token = gateway.customer_token();
    let allowed = plainly(&question(plain, "POST", "/me/orders?a=b").customer(&token)).ok();
    assert_eq!(allowed.header("X-Customer-Id"), keys::decode(&token).1["sub"].as_str());
    assert_eq!(allowed.header("Cache-Control"), Some("no-store"));
    let line = gateway.access_line(allowed.header("X-Request-Id").unwrap());
    assert_eq!((&line["route"], &line["customer"]), (&json!("me"), &keys::decode(&token).1["sub"]));
    assert_eq!(line["client_address"], "198.51.100.7");
    plainly(&question(plain, "POST", "/me/orders")).expect(401, "401-10");
    plainly(&question(plain, "POST", "/unknown")).expect(404, "404-01");
    assert_eq!(plainly(&question(plain, "PATCH", "/me/x")).expect(405, "405-01").header("Allow").unwrap().len(), 28);
    plainly(&question(plain, "POST", "/account/x").customer(&token)).expect(403, "403-01");
    plainly(&question(plain, "GET", "/public/x")).ok();
    backend.assert_untouched();
}

#[test]
fn a_question_that_names_no_request_or_two_is_refused() {
    let (_backend, gateway, plain) = asked();
    let whole = question(plain, "GET", "/public/x");
    for part in ["X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For"] {
        let refused = plainly(&whole.clone().drop_header(part)).expect(403, "403-07");
        let line = gateway.access_line(refused.header("X-Request-Id").unwrap());
        assert_eq!((&line["route"], &line["refusal"]), (&json!("forward_auth"), &json!("bad_forwarded_request")));
        let twice = whole.lines.iter().find(|(name, _)| name == part).unwrap().1.clone();
        plainly(&whole.clone().header(part, &twice)).expect(403, "403-07");
    }
    plainly(&Request::new(plain, "GET", "/_wicketgate/auth")).expect(403, "403-07");
    let other = whole.clone().header("X-Original-URI", "/me/x").header("X-Original-Method", "GET");
    plainly(&other.header("X-Original-Host", "localhost")).expect(403, "403-07");
    for odd in ["/public//x", "/public/%2fx", "public/x", "/public/x#y", "http://localhost/public/x"] {
        assert!(plainly(&whole.clone().replace("X-Forwarded-Uri", odd)).status >= 400, "{odd}");
    }
    for host in ["a@b", "a, b", "a/b"] {
        plainly(&whole.clone().replace("X-Forwarded-Host", host)).expect(400, "400-01");
    }
}

#[test]
fn only_the_networks_that_may_ask_are_answered() {
    let (_backend, gateway, plain) = asked_with(|c| c.set("/forward_auth/allow", json!(["192.0.2.0/24"])));
    let question = question(plain, "GET", "/public/x");
    plainly(&question).expect(403, "403-04");
    // The endpoint goes before a route that would answer in its place.
    let wide = json!({"name": "wide", "hosts": ["localhost"], "path": "/", "methods": ["GET"], "public": true, "backend": "legacy"});
    let text = gateway.files.config();
    let mut yaml: Value = serde_json::from_str(&std::fs::read_to_string(text).unwrap()).unwrap();
    yaml["routes"].as_array_mut().unwrap().push(wide);
    gateway.files.write("gateway.yaml", &yaml.to_string());
    gateway.hup("reloaded");
    plainly(&question).expect(403, "403-04");
}

#[test]
fn limits_and_networks_of_keys_hold_for_the_caller_and_not_for_the_proxy_that_asks() {
    let (_backend, _gateway, plain) = asked_with(|c| {
        c.set("/api_keys/2/allow", json!(["198.51.100.0/24"])).route(
            "public",
            "limits",
            json!({"rate": "1/h", "burst": 1, "per": "address"}),
        )
    });
    let key = |address| {
        let question = question(plain, "GET", "/key/x").api_key(FREE_API_KEY).replace("X-Forwarded-For", address);
        plainly(&question)
    };
    key("198.51.100.7").ok();
    key("203.0.113.9, 198.51.100.8").ok();
    key("198.51.100.7, 203.0.113.9").expect(403, "403-01");
    let public = |address| plainly(&question(plain, "GET", "/public/x").replace("X-Forwarded-For", address));
    assert!(public("198.51.100.1").ok().header("RateLimit").is_some());
    public("198.51.100.1").expect(429, "429-01");
    public("198.51.100.2").ok();
}

#[test]
fn a_cookie_from_a_strange_site_is_refused_and_one_from_the_own_site_passes() {
    let (_backend, gateway, plain) = asked_with(|c| c.cookies("cookie"));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let call = |origin| question(plain, "POST", "/me/orders").header("Cookie", &cookie).header("Origin", origin);
    plainly(&call("https://localhost")).ok();
    plainly(&call("https://evil.example")).expect(403, "403-05");
    plainly(&call("http://localhost")).expect(403, "403-05");
    // A page of any site may open a WebSocket, and would be read from.
    let websocket = |origin| {
        let opened = question(plain, "GET", "/me/live").header("Cookie", &cookie).header("Origin", origin);
        opened.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    plainly(&websocket("https://localhost")).ok();
    plainly(&websocket("https://evil.example")).expect(403, "403-05");
}

#[test]
fn a_route_whose_body_decides_is_refused_and_the_type_of_a_body_is_checked() {
    let (_backend, gateway, plain) = asked_with(|c| {
        c.route("me", "identifier", json!({"body": "/customer/id"})).route(
            "system",
            "content_types",
            json!(["application/json"]),
        )
    });
    plainly(&question(plain, "POST", "/me/x").customer(&gateway.customer_token())).expect(403, "403-08");
    let system = question(plain, "POST", "/system/x").bearer(&gateway.client_token());
    plainly(&system).expect(415, "415-01");
    plainly(&system.clone().header("Content-Type", "text/plain")).expect(415, "415-01");
    plainly(&system.header("Content-Type", "application/json")).ok();
}

#[test]
fn where_refusals_are_only_counted_the_proxy_is_told_yes_without_an_identifier() {
    let (_backend, gateway, plain) = asked_with(|c| c.route("me", "mode", json!("observe")));
    let passed = plainly(&question(plain, "GET", "/me/x")).ok();
    assert_eq!(passed.header("X-Customer-Id"), None);
    let line = gateway.access_line(passed.header("X-Request-Id").unwrap());
    assert_eq!(line["observed"], "no_credential");
}

#[test]
fn envoy_is_told_by_grpc_what_to_set_what_to_remove_and_what_to_refuse_with() {
    let (backend, gateway, _plain) = asked_with(|c| c.cookies("both").set("/forward_auth/grpc", json!(true)));
    let token = gateway.customer_token();
    let ca = gateway.files.path.join("certs/ca.pem");
    let port = gateway.address.port().to_string();
    let sub = keys::decode(&token).1["sub"].as_str().unwrap().to_owned();
    let said = python("ext_authz_client.py", &[&port, ca.to_str().unwrap(), &token, &sub]);
    assert!(said.contains("ok"), "{said}");
    backend.assert_untouched();
    let line = gateway.stdout.wait(|line| line["refusal"] == "no_credential").unwrap();
    assert_eq!((&line["route"], &line["status"], &line["code"]), (&json!("me"), &json!(401), &json!("401-10")));
}

#[test]
fn without_the_setting_envoy_gets_no_answer() {
    let (_backend, gateway, _plain) = asked();
    let check = gateway.post("/envoy.service.auth.v3.Authorization/Check").header("Content-Type", "application/grpc");
    check.send().expect(404, "404-01");
    let (_backend, gateway, _plain) = asked_with(|c| c.set("/forward_auth/grpc", json!(true)));
    let check = gateway.post("/envoy.service.auth.v3.Authorization/Check").header("Content-Type", "application/grpc");
    // Only over HTTP/2.
    check.send().expect(404, "404-01");
}

#[test]
fn the_documented_blocks_of_yaml_are_yaml_and_the_first_is_configuration() {
    assert!(documented("yaml").starts_with("forward_auth:\n"));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/forward-auth.md").exists());
}
