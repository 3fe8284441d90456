//! Fields that only the gateway may write, where another proxy forwards: whatever a caller sends under their names, no
//! backend sees it.

use std::net::SocketAddr;

use crate::forward_auth::decisions::{asked_with, caddy, nginx, plainly, question};
use crate::harness::python::python;
use crate::harness::*;

/// What a caller would like to be.
const FORGED: &str = "t1-somebody-else";

/// Two identifiers, a proof of a name of its own, and a credential that a backend wants of the gateway.
fn with_all_fields(config: Config) -> Config {
    let account = json!({"name": "account", "path": "/own/", "methods": ["GET"], "require": ["customer"],
        "identifier": {"header": "X-Account"}, "backend": "legacy"});
    config
        .add_route(account)
        .set(
            "/backends/legacy/backend_assertion",
            json!({"header": "X-Our-Proof", "audience": "legacy", "body": "streamed"}),
        )
        .set("/backends/legacy/authorization", json!({"header": {"name": "X-Gateway", "value": {"env": "PATH"}}}))
}

/// The names, as they are configured.
const NAMES: [&str; 7] = [
    "X-Customer-Id",
    "X-Customer-Id-Previous",
    "X-Account",
    "X-Account-Previous",
    "X-Wicketgate-Proof",
    "X-Our-Proof",
    "X-Gateway",
];

/// A name as CGI, WSGI, PHP and others take it for the same.
fn spellings(name: &str) -> [String; 5] {
    [
        name.to_owned(),
        name.to_ascii_lowercase(),
        name.replace('-', "_"),
        name.replace('-', "."),
        name.replacen('-', "%2d", 1),
    ]
}

/// What the backend has got of it, under whatever name.
fn reached(backend: &Backend) -> Option<String> {
    let seen = backend.requests();
    let line = seen.iter().flat_map(|seen| &seen.lines).find(|(_, value)| value.contains(FORGED));
    line.map(|(name, _)| name.clone())
}

fn no_field_reaches_the_backend(backend: &Backend, gateway: &Gateway, proxy: SocketAddr) {
    let token = gateway.customer_token();
    let call = |target: &str| Request::new(proxy, "GET", target).customer(&token);
    for target in ["/me/x", "/own/x", "/public/x"] {
        assert_eq!(plainly(&call(target)).status, 200, "{target}");
        for spelling in NAMES.iter().flat_map(|name| spellings(name)) {
            backend.forget();
            let status = plainly(&call(target).header(&spelling, FORGED)).status;
            assert_eq!(reached(backend), None, "{spelling} to {target}: {status}");
        }
        backend.forget();
    }
}

#[test]
fn behind_the_documented_nginx_no_backend_sees_a_field_of_a_callers_that_only_the_gateway_may_write() {
    let (backend, gateway, plain) = asked_with(with_all_fields);
    let nginx = nginx(&backend, plain);
    no_field_reaches_the_backend(&backend, &gateway, nginx.address);
}

#[test]
fn behind_the_documented_caddy_no_backend_sees_a_field_of_a_callers_that_only_the_gateway_may_write() {
    let (backend, gateway, plain) = asked_with(with_all_fields);
    let caddy = caddy(&backend, plain);
    no_field_reaches_the_backend(&backend, &gateway, caddy.address);
}

/// Names under which a caller says another method, path or host, or which user it is, to programs that believe it.
const CLAIMS: [&str; 40] = [
    "Client-Cert",
    "Forwarded",
    "Proxy",
    "Remote-Addr",
    "Remote-Email",
    "Remote-Groups",
    "Remote-Name",
    "Remote-User",
    "SSL-Client-Verify",
    "True-Client-IP",
    "X-Auth-Request-Email",
    "X-Auth-Request-Groups",
    "X-Auth-Request-User",
    "X-Authenticated-User",
    "X-Authentik-Username",
    "X-Client-Cert",
    "X-Client-IP",
    "X-Envoy-Original-Path",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-MS-Client-Principal",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-URI",
    "X-Original-URL",
    "X-Real-IP",
    "X-Remote-User",
    "X-Rewrite-URL",
    "X-WebAuth-User",
];

fn no_claim_reaches_the_backend(backend: &Backend, proxy: SocketAddr) {
    let call = |name: &str| plainly(&Request::new(proxy, "GET", "/public/x").header(name, FORGED)).status;
    for spelling in CLAIMS.iter().flat_map(|name| spellings(name)) {
        backend.forget();
        let status = call(&spelling);
        assert_eq!(reached(backend), None, "{spelling}: {status}");
        // Which request it is must not be said in two voices.
        assert!(
            status == 200 || (status == 403 && spelling.to_ascii_lowercase().starts_with("x-original-")),
            "{spelling}"
        );
    }
    backend.forget();
    assert_eq!((call("X-Ours"), reached(backend).as_deref()), (200, Some("X-Ours")));
}

#[test]
fn behind_the_documented_nginx_no_backend_sees_another_method_path_or_user_that_a_caller_names() {
    let (backend, _gateway, plain) = asked_with(|config| config);
    no_claim_reaches_the_backend(&backend, nginx(&backend, plain).address);
}

#[test]
fn behind_the_documented_caddy_no_backend_sees_another_method_path_or_user_that_a_caller_names() {
    let (backend, _gateway, plain) = asked_with(|config| config);
    no_claim_reaches_the_backend(&backend, caddy(&backend, plain).address);
}

#[test]
fn the_documented_middleware_of_traefik_takes_out_each_of_them() {
    let page = include_str!("../../../docs/forward-auth.md");
    let snippet = page.split("## Traefik").nth(1).unwrap().split("## Caddy").next().unwrap();
    // Two it writes itself.
    for name in CLAIMS.iter().filter(|name| !["X-Forwarded-Host", "X-Real-IP"].contains(name)) {
        assert!(snippet.contains(&format!(" {name}: \"\"")), "{name}");
    }
}

#[test]
fn envoy_is_told_to_remove_what_names_another_method_path_or_user_unless_the_route_lets_it_pass() {
    let (_backend, gateway, _plain) = asked_with(|c| {
        c.set("/forward_auth/grpc", json!(true)).route("public", "pass_request_headers", json!(["Remote-User"]))
    });
    let ca = gateway.files.path.join("certs/ca.pem");
    let port = gateway.address.port().to_string();
    let (ca, token) = (ca.to_str().unwrap(), gateway.customer_token());
    let names = CLAIMS.iter().flat_map(|name| spellings(name)).map(|name| name.to_ascii_lowercase());
    let fields: Vec<String> = names.filter(|name| name != "remote-user").collect();
    let said = python("ext_authz_fields.py", &[&port, ca, &token, &fields.join(" ")]);
    assert!(said.contains("ok"), "{said}");
    // What the route lets pass, what Envoy itself writes, and what is anybody's.
    let stay = "remote-user x-forwarded-for x-forwarded-proto x-request-id x-envoy-external-address \
                x-forwarded-client-cert te upgrade x-ours";
    let said = python("ext_authz_fields.py", &[&port, ca, &token, stay, "/public/x"]);
    assert!(said.contains("ok"), "{said}");
}

#[test]
fn the_documented_proxies_pass_the_old_identifier_on_that_the_gateway_tells() {
    let (backend, gateway, plain) = asked_with(|config| config);
    let (nginx, caddy) = (nginx(&backend, plain), caddy(&backend, plain));
    let names = |proxy: SocketAddr, token: &str| {
        backend.forget();
        assert_eq!(plainly(&Request::new(proxy, "GET", "/me/x").customer(token)).status, 200);
        let seen = backend.only();
        (seen.header("X-Customer-Id").map(str::to_owned), seen.header("X-Customer-Id-Previous").map(str::to_owned))
    };
    let token = gateway.customer_token();
    let (old, none) = names(nginx.address, &token);
    assert!(old.is_some() && none.is_none());
    assert_eq!(names(caddy.address, &token), (old.clone(), None));
    assert_eq!(gateway.files.run(&["rotate", "identifier-key"]).0, 0);
    for proxy in [nginx.address, caddy.address] {
        let (new, previous) = names(proxy, &token);
        assert!(new.unwrap().starts_with("t2-"));
        assert_eq!(previous, old);
    }
}

#[test]
fn a_question_about_a_request_with_a_header_that_only_the_gateway_may_write_is_refused() {
    let (backend, gateway, plain) = asked_with(with_all_fields);
    let token = gateway.customer_token();
    let me = question(plain, "GET", "/me/x").customer(&token);
    let own = plainly(&me).ok().header("X-Customer-Id").unwrap().to_owned();
    // Whoever names itself rightly, where the route tells it (docs/asapp.md, requirement 22).
    plainly(&me.clone().header("X-Customer-Id", &own)).ok();
    for name in NAMES {
        for spelling in spellings(name) {
            let refused = plainly(&me.clone().header(&spelling, FORGED)).expect(403, "403-03");
            let line = gateway.access_line(refused.header("X-Request-Id").unwrap());
            assert_eq!(line["refusal"], "identifier_mismatch", "{spelling}");
        }
    }
    // Where the route tells no identifier, or another one, it is nobody's to send.
    let elsewhere = question(plain, "GET", "/public/x").header("X-Customer-Id", &own);
    plainly(&elsewhere).expect(403, "403-03");
    plainly(&question(plain, "GET", "/own/x").customer(&token).header("X-Customer-Id", &own)).expect(403, "403-03");
    // Other fields are the caller's own.
    plainly(&me.header("X-Customer", "x").header("X-Customer-Id-Next", "x").header("X-Proof", "x")).ok();
    backend.assert_untouched();
}

#[test]
fn envoy_is_told_to_remove_every_field_that_only_the_gateway_may_write() {
    let (_backend, gateway, _plain) = asked_with(|c| with_all_fields(c).set("/forward_auth/grpc", json!(true)));
    let ca = gateway.files.path.join("certs/ca.pem");
    let port = gateway.address.port().to_string();
    let fields: Vec<String> =
        NAMES.iter().flat_map(|name| spellings(name)).map(|name| name.to_ascii_lowercase()).collect();
    let token = gateway.customer_token();
    let said = python("ext_authz_fields.py", &[&port, ca.to_str().unwrap(), &token, &fields.join(" ")]);
    assert!(said.contains("ok"), "{said}");
}

#[test]
fn a_caller_cannot_have_the_identifier_taken_out_by_naming_it_in_connection() {
    let (backend, gateway, plain) = asked_with(|config| config);
    let token = gateway.customer_token();
    assert_eq!(gateway.files.run(&["rotate", "identifier-key"]).0, 0);
    for proxy in [nginx(&backend, plain), caddy(&backend, plain)] {
        for named in ["X-Customer-Id", "close, x-customer-id", "X-Customer-Id-Previous,X-CUSTOMER-ID"] {
            backend.forget();
            let call = Request::new(proxy.address, "GET", "/me/x").customer(&token);
            plainly(&call.header("Connection", "keep-alive").header("Connection", named));
            let seen = backend.only();
            let names = [seen.header("X-Customer-Id"), seen.header("X-Customer-Id-Previous")];
            let [Some(new), Some(old)] = names else { panic!("{named}: {:?}", seen.lines) };
            assert!(new.starts_with("t2-") && old.starts_with("t1-"), "{named}: {:?}", seen.lines);
        }
    }
}
