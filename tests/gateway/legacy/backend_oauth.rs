//! The backend's own OAuth token.

use crate::harness::backend::Seen;
use crate::harness::*;

const SECRET: &str = "s3cret&of+the=gateway";

/// A token server's answer.
fn token(token: &str, seconds: u64) -> Behaviour {
    Behaviour::json(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds}))
}

/// A token server with this answer.
fn server(answer: Behaviour) -> Backend {
    let server = Backend::start();
    server.on("/token", answer);
    server
}

/// The credential of the backend comes from there. The routes `public` have another backend, which needs none.
fn from(config: Config, server: &Backend, free: &Backend) -> Config {
    let oauth = json!({
        "token_url": format!("{}/token", server.url()), "client_id": "gate:way", "client_secret": {"file": "certs/secret"},
        "scopes": ["read", "write"], "parameters": {"audience": "https://legacy.internal/"}, "timeout": "1s",
    });
    config
        .set("/backends/legacy/authorization", json!({"oauth": oauth}))
        .set("/backends/free", json!({"servers": [free.url()]}))
        .route("public", "backend", json!("free"))
        .file("certs/secret", SECRET)
}

/// A gateway whose backend wants tokens of this server.
fn gateway_with(server: &Backend, change: impl FnOnce(Config) -> Config) -> (Backend, Backend, Gateway) {
    let (backend, free) = (Backend::start(), Backend::start());
    let gateway = Gateway::start(&change(from(Config::new(&backend), server, &free)));
    (backend, free, gateway)
}

fn credential(seen: &Seen) -> Option<&str> {
    seen.header("Authorization")
}

/// Neither the secret nor a token stands in the log.
#[track_caller]
fn assert_discreet(gateway: &Gateway) {
    let said = [gateway.stderr.all(), gateway.stdout.all()].concat().join("\n");
    for secret in [SECRET, "s3cret", "tok-"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_token_is_fetched_once_ahead_of_all_calls_and_shown_to_the_backend() {
    let server = server(token("tok-1", 3600));
    let (backend, _free, gateway) = gateway_with(&server, |config| config);
    server.wait_for(1);
    for _ in 0..20 {
        gateway.get("/system/x").bearer(&gateway.client_token()).send().ok();
        assert_eq!(credential(&backend.last()), Some("Bearer tok-1"));
    }
    let asked = server.only();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token"));
    assert_eq!(asked.header("Content-Type"), Some("application/x-www-form-urlencoded"));
    let basic = keys::base64(b"gate%3Away:s3cret%26of%2Bthe%3Dgateway");
    assert_eq!(credential(&asked), Some(format!("Basic {basic}").as_str()));
    let form = "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Flegacy.internal%2F";
    assert_eq!(String::from_utf8_lossy(&asked.body), form);
    gateway.expect_metric("wicketgate_backend_token_fetches_total", &[("backend", "legacy"), ("outcome", "ok")], 1.0);
    assert!(gateway.metric("wicketgate_backend_token_left_seconds", &[("backend", "legacy")]) > 3000.0);
    assert_discreet(&gateway);
}

#[test]
fn a_client_can_show_its_secret_in_the_form() {
    let server = server(token("tok-1", 3600));
    let (backend, _free, gateway) =
        gateway_with(&server, |config| config.set("/backends/legacy/authorization/oauth/auth", json!("form")));
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    assert_eq!(credential(&backend.last()), Some("Bearer tok-1"));
    let asked = server.only();
    assert_eq!(credential(&asked), None);
    let body = String::from_utf8(asked.body).unwrap();
    assert!(body.ends_with("&client_id=gate%3Away&client_secret=s3cret%26of%2Bthe%3Dgateway"), "{body}");
}

#[test]
fn a_token_is_renewed_before_it_expires_and_no_call_is_without_one() {
    let server = server(token("tok-1", 4));
    let (backend, _free, gateway) = gateway_with(&server, |config| config);
    server.wait_for(1);
    server.on("/token", token("tok-2", 3600));
    let mut seen = std::collections::BTreeSet::new();
    eventually("the next token", || {
        gateway.get("/key/x").api_key(API_KEY).send().ok();
        seen.insert(credential(&backend.last()).unwrap().to_owned());
        seen.contains("Bearer tok-2")
    });
    assert!(seen.iter().all(|one| one == "Bearer tok-1" || one == "Bearer tok-2"), "{seen:?}");
    assert_discreet(&gateway);
}

#[test]
fn while_the_server_is_away_the_last_token_is_used_until_it_expires_and_then_callers_get_503() {
    let server = server(token("tok-1", 3));
    let (backend, _free, gateway) = gateway_with(&server, |config| config);
    server.wait_for(1);
    server.stop();
    let call = gateway.get("/key/x").api_key(API_KEY);
    call.send().ok();
    assert_eq!(credential(&backend.last()), Some("Bearer tok-1"));
    eventually("no token any more", || call.send().status == 503);
    backend.forget();
    call.send().expect(503, "503-06");
    backend.assert_untouched();
    gateway.get("/public/x").send().ok();
    let said =
        gateway.stderr.wait(|line| line["message"].as_str().is_some_and(|it| it.contains("cannot fetch the access")));
    assert!(
        said.is_some(),
        "{}",
        gateway.stderr.all().join(
            "
"
        )
    );
    server.on("/token", token("tok-2", 3600));
    server.start_again();
    eventually("recovery", || call.send().status == 200);
    assert_eq!(credential(&backend.last()), Some("Bearer tok-2"));
    assert_discreet(&gateway);
}

#[test]
fn a_server_that_refuses_the_gateway_is_named_with_its_reason_and_callers_get_503() {
    let refused = json!({"error": "invalid_client", "error_description": SECRET});
    let server = server(Behaviour::json(401, &refused));
    let (backend, _free, gateway) = gateway_with(&server, |config| config);
    let call = gateway.get("/key/x").api_key(API_KEY);
    call.send().expect(503, "503-06");
    backend.assert_untouched();
    gateway.get("/public/x").send().ok();
    let said = gateway.stderr.all().join("\n");
    assert!(said.contains("401, invalid_client") && said.contains("cannot fetch the access token"), "{said}");
    assert_discreet(&gateway);
    let (code, out, err) = gateway.files.run(&["check", "--connect", "--config", "gateway.yaml"]);
    assert!(code != 0 && out.contains("access token of backend legacy: "), "{out}{err}");
    server.on("/token", token("tok-1", 3600));
    eventually("recovery", || call.send().status == 200);
}

#[test]
fn a_server_that_hangs_delays_nobody() {
    let server = server(Behaviour::Silent);
    let (backend, free, gateway) = gateway_with(&server, |config| config);
    server.wait_for(1);
    gateway.get("/public/x").send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().expect(503, "503-06");
    backend.assert_untouched();
    assert_eq!(free.requests().len(), 1);
    eventually("the fetch is given up", || {
        gateway.metric("wicketgate_backend_token_fetches_total", &[("outcome", "timeout")]) >= 1.0
    });
    server.on("/token", token("tok-1", 3600));
    eventually("recovery", || gateway.get("/key/x").api_key(API_KEY).send().status == 200);
}

#[test]
fn a_401_of_the_backend_renews_the_token_once_for_later_calls() {
    let server = server(token("tok-1", 3600));
    let (backend, _free, gateway) = gateway_with(&server, |config| config);
    server.wait_for(1);
    server.on("/token", token("tok-2", 3600));
    backend.on("/key/refused", Behaviour::status(401));
    let refused = gateway.get("/key/refused").api_key(API_KEY);
    refused.send().expect(502, "502-02");
    let call = gateway.get("/key/x").api_key(API_KEY);
    eventually("the next token", || {
        call.send().ok();
        credential(&backend.last()) == Some("Bearer tok-2")
    });
    for _ in 0..10 {
        refused.send().expect(502, "502-02");
    }
    call.send().ok();
    assert_eq!(server.requests().len(), 2, "one renewal, however many calls are refused");
}

#[test]
fn a_reload_keeps_the_token_while_its_section_is_the_same() {
    let server = server(token("tok-1", 3600));
    let (backend, free) = (Backend::start(), Backend::start());
    let config = from(Config::new(&backend), &server, &free);
    let gateway = Gateway::start(&config);
    server.wait_for(1);
    server.on("/token", token("tok-2", 3600));
    let call = gateway.get("/key/x").api_key(API_KEY);
    gateway.reload(&config.clone().set("/backends/legacy/timeout", json!("7s")), "reloaded");
    call.send().ok();
    assert_eq!(credential(&backend.last()), Some("Bearer tok-1"));
    assert_eq!(server.requests().len(), 1);
    gateway.reload(&config.file("certs/secret", "another"), "reloaded");
    call.send().ok();
    assert_eq!(credential(&backend.last()), Some("Bearer tok-2"));
}

#[test]
fn a_new_secret_that_the_server_refuses_costs_no_token_that_is_good() {
    let server = server(token("tok-1", 3600));
    let (backend, free) = (Backend::start(), Backend::start());
    let config = from(Config::new(&backend), &server, &free);
    let gateway = Gateway::start(&config);
    server.wait_for(1);
    server.on("/token", Behaviour::json(401, &json!({"error": "invalid_client"})));
    let call = gateway.get("/key/x").api_key(API_KEY);
    gateway.reload(&config.clone().file("certs/secret", "a slip"), "reloaded");
    server.wait_for(2);
    call.send().ok();
    assert_eq!(credential(&backend.last()), Some("Bearer tok-1"));
    // A token for something else is none for this.
    gateway.reload(&config.set("/backends/legacy/authorization/oauth/scopes", json!(["admin"])), "reloaded");
    call.send().expect(503, "503-06");
}
