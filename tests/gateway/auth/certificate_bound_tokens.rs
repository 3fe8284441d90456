//! Access tokens that are bound to a client's certificate (RFC 8705 section 3).

use crate::harness::client::tls;
use crate::harness::client_certificates::Caller;
use crate::harness::identity_provider::{IdentityProvider, token_with};
use crate::harness::keys::{Pair, TokenKey, base64url, decode};
use crate::harness::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fn open(gateway: &Gateway, identity: &Pair) -> Connection {
    Connection::with(gateway.address, tls(b"http/1.1", Some(identity))).unwrap()
}

fn bound_world() -> (Backend, Gateway) {
    world_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/clients/0/certificate_bound_tokens", json!(true))
    })
}

fn thumbprint(pair: &Pair) -> String {
    let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    base64url(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der).as_ref())
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_good_only_with_it() {
    let (backend, gateway) = bound_world();
    // Of the same client, as far as its names say.
    let (own, other) = (Caller::named("asapp").pair(), Caller::named("asapp").pair());
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).send_on(&mut open(&gateway, &own)).ok().json();
    assert_eq!(answer["token_type"], "Bearer");
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(decode(token).1["cnf"], json!({"x5t#S256": thumbprint(&own)}));
    let call = gateway.get("/system/x").bearer(token);
    for _ in 0..2 {
        let answer = call.send_on(&mut open(&gateway, &other)).expect(401, "401-14");
        assert_eq!(answer.header("WWW-Authenticate"), Some(r#"Bearer error="invalid_token""#));
        call.send().expect(401, "401-14");
        backend.assert_untouched();
        call.send_on(&mut open(&gateway, &own)).ok();
        backend.forget();
    }
    let id = call.send().expect(401, "401-14").header("X-Request-Id").unwrap().to_owned();
    assert_eq!(gateway.access_line(&id)["refusal"], "token_certificate");
    let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
    let known = gateway.post("/oauth/introspect").form(&form).send().ok().json();
    assert_eq!((&known["token_type"], &known["cnf"]["x5t#S256"]), (&json!("Bearer"), &json!(thumbprint(&own))));
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
}

#[test]
fn a_client_whose_tokens_are_bound_gets_none_without_a_certificate() {
    let (_backend, gateway) = bound_world();
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).send();
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")));
    // Another client is not concerned.
    let free = gateway.token(OTHER_CLIENT);
    assert!(decode(&free).1.get("cnf").is_none());
    gateway.get("/system/x").bearer(&free).send_on(&mut open(&gateway, &Caller::named("a").pair())).ok();
}

#[test]
fn a_client_that_is_held_to_its_certificate_gets_a_token_only_with_it() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/clients/0/certificate", json!({"subject": "asapp"}))
    });
    let ask = gateway.token_request(CLIENT.name, CLIENT.secret);
    for answer in [ask.send(), ask.send_on(&mut open(&gateway, &Caller::named("other").pair()))] {
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")));
    }
    ask.send_on(&mut open(&gateway, &Caller::named("asapp").pair())).ok();
}

/// A gateway on which the first client proves itself by certificates alone.
fn by_certificate(client: Value, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|c| {
        let mut own = json!({"id": CLIENT.name, "scopes": ["profile"]});
        own.as_object_mut().unwrap().extend(client.as_object().unwrap().clone());
        change(c)
            .set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/listen/0/tls/client_self_signed", json!(client.get("certificates").is_some()))
            .set("/clients/0", own)
    })
}

fn ask(gateway: &Gateway, id: &str) -> Request {
    gateway.post("/oauth/access_token").form(&format!("grant_type=client_credentials&client_id={id}"))
}

#[track_caller]
fn refused(answer: Response) -> String {
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")), "{}", answer.text());
    answer.json()["error_description"].as_str().unwrap().to_owned()
}

#[test]
fn tls_client_auth_the_certificate_alone_proves_the_client_that_it_names() {
    let own = json!({"tls_client_auth": {"subject": "CN=asapp,O=ASAPP\\, Inc.,C=US"}});
    let (_backend, gateway) = by_certificate(own, |c| c);
    let (own, other) = (Caller::named("asapp").pair(), Caller::named("other").pair());
    let answer = ask(&gateway, CLIENT.name).send_on(&mut open(&gateway, &own)).ok().json();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(decode(token).1["cnf"]["x5t#S256"], thumbprint(&own));
    gateway.get("/system/x").bearer(token).send_on(&mut open(&gateway, &own)).ok();
    gateway.get("/system/x").bearer(token).send().expect(401, "401-14");
    let wrong = refused(ask(&gateway, CLIENT.name).send_on(&mut open(&gateway, &other)));
    assert_eq!(refused(ask(&gateway, "nobody").send_on(&mut open(&gateway, &other))), wrong);
    refused(ask(&gateway, OTHER_CLIENT.name).send_on(&mut open(&gateway, &own)));
    assert_eq!(ask(&gateway, CLIENT.name).send().expect(401, "").json()["error"], "invalid_client");
    let methods = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    let methods = methods["token_endpoint_auth_methods_supported"].as_array().unwrap().clone();
    assert!(methods.contains(&json!("tls_client_auth")) && !methods.contains(&json!("self_signed_tls_client_auth")));
}

#[test]
fn tls_client_auth_a_certificate_passes_whatever_others_fail_under_the_name_of_its_client_where_it_is() {
    let own = json!({"tls_client_auth": {"subject": "CN=asapp,O=ASAPP\\, Inc.,C=US"}});
    let (_backend, gateway) = by_certificate(own, |c| {
        c.set("/access_token/attempts", json!({"free": 2, "free_per_address": 2, "delay": "5m"}))
    });
    let (own, other) = (Caller::named("asapp").pair(), Caller::named("other").pair());
    for (secret, status) in [("one", 401), ("two", 401), ("three", 401), ("four", 429)] {
        gateway.token_request(CLIENT.name, secret).send().expect(status, "");
    }
    for _ in 0..3 {
        ask(&gateway, CLIENT.name).send_on(&mut open(&gateway, &own)).ok();
        refused(ask(&gateway, CLIENT.name).send_on(&mut open(&gateway, &other)));
        ask(&gateway, "nobody").send_on(&mut open(&gateway, &other)).expect(429, "");
        gateway.token_request(CLIENT.name, "five").send().expect(429, "");
    }
}

#[test]
fn self_signed_tls_client_auth_a_certificate_counts_for_its_client_and_nothing_else() {
    let (first, second) = (Caller::named("first").self_signed(), Caller::named("other").self_signed());
    let hex = |pair: &Pair| {
        crate::harness::keys::unbase64url(&thumbprint(pair))
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect::<Vec<_>>()
            .join(":")
    };
    let certificates = json!([{"sha256": hex(&first)}, {"file": "certs/second.pem"}]);
    let (_backend, gateway) = world_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/listen/0/tls/client_self_signed", json!(true))
            .set("/clients/0", json!({"id": CLIENT.name, "certificates": certificates}))
            // What the certificate says of itself is nobody's word.
            .set("/clients/1/tls_client_auth", json!({"subject": "other"}))
            .file("certs/second.pem", &second.certificate)
    });
    for own in [&first, &second] {
        let answer = ask(&gateway, CLIENT.name).send_on(&mut open(&gateway, own)).ok().json();
        let token = answer["access_token"].as_str().unwrap();
        gateway.get("/system/x").bearer(token).send_on(&mut open(&gateway, own)).ok();
        gateway.get("/system/x").bearer(token).send().expect(401, "401-14");
        refused(ask(&gateway, OTHER_CLIENT.name).send_on(&mut open(&gateway, own)));
    }
    let stranger = Caller::named("first").self_signed();
    let outcome = Connection::with(gateway.address, tls(b"http/1.1", Some(&stranger)));
    assert!(!outcome.is_ok_and(|mut connection| gateway.get("/public/x").try_on(&mut connection).is_ok()));
    refused(ask(&gateway, CLIENT.name).send_on(&mut open(&gateway, &Caller::named("first").pair())));
    ask(&gateway, OTHER_CLIENT.name).send_on(&mut open(&gateway, &Caller::named("other").pair())).ok();
    // Taken away by a reload, also from a connection that is open.
    let mut open = open(&gateway, &second);
    ask(&gateway, CLIENT.name).send_on(&mut open).ok();
    gateway.files.write("certs/second.pem", &first.certificate);
    gateway.hup("reloaded");
    ask(&gateway, CLIENT.name).send_on(&mut open).expect(403, "");
}

#[test]
fn a_customers_token_of_another_issuer_that_is_bound_to_a_certificate_is_good_only_with_it() {
    const ISSUER: &str = "https://login.example.com";
    let signer = TokenKey::generate();
    let provider = IdentityProvider::start(&[signer.jwk("one")]);
    let (backend, gateway) = world_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set(
                "/trusted_issuers",
                json!([{"issuer": ISSUER, "jwks": provider.jwks_url(), "audiences": ["legacy-api"], "algorithms": ["ES256"]}]),
            )
    });
    let (own, other) = (Caller::named("ann").pair(), Caller::named("ann").pair());
    let token =
        token_with(&signer, "one", ISSUER, "ann", |claims| claims["cnf"] = json!({"x5t#S256": thumbprint(&own)}));
    let call = gateway.get("/me/x").customer(&token);
    for _ in 0..2 {
        call.send_on(&mut open(&gateway, &other)).expect(401, "401-03");
        let id = call.send().expect(401, "401-03").header("X-Request-Id").unwrap().to_owned();
        assert_eq!(gateway.access_line(&id)["refusal"], "customer_token_binding");
        backend.assert_untouched();
        call.send_on(&mut open(&gateway, &own)).ok();
        backend.forget();
    }
}
