//! `access_token.claims`, and a CA per client.

use crate::harness::client::tls;
use crate::harness::client_certificates::{Caller, another_authority};
use crate::harness::keys::{Pair, authority, decode};
use crate::harness::*;
use rcgen::{CertifiedIssuer, KeyPair};

#[test]
fn claims_of_a_client_are_in_its_tokens_as_far_as_they_are_listed() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/access_token/claims", json!(["tier", "level", "https://example.com/beta"]))
            .set("/clients/0/claims", json!({"tier": "gold", "level": 3, "https://example.com/beta": true}))
    });
    let token = gateway.token(CLIENT);
    let claims = decode(&token).1;
    assert_eq!((&claims["tier"], &claims["level"]), (&json!("gold"), &json!(3)));
    assert_eq!((&claims["https://example.com/beta"], &claims["sub"]), (&json!(true), &json!(CLIENT.name)));
    gateway.get("/system/x").bearer(&token).send().ok();
    assert!(decode(&gateway.token(OTHER_CLIENT)).1.get("tier").is_none());
}

#[test]
fn a_claim_that_the_gateway_writes_or_nobody_lists_is_refused_by_check() {
    let said = |config: Config| {
        let (code, _, said) = gateway::Workspace::new(&config).run(&["check"]);
        assert_eq!(code, 1, "{said}");
        said
    };
    let backend = Backend::start();
    for name in ["iss", "sub", "aud", "exp", "scope", "cnf", "act", "client_id", "wg_rules", "wg_ends_with"] {
        let config = Config::new(&backend).set("/access_token/claims", json!([name]));
        let said = said(config);
        assert!(said.contains("access_token.claims[0]: the gateway writes this claim itself"), "{said}");
    }
    let personal = said(Config::new(&backend).set("/access_token/claims", json!(["email"])));
    assert!(personal.contains("personal data"), "{personal}");
    let unlisted = said(Config::new(&backend).set("/clients/0/claims", json!({"tier": "gold"})));
    assert!(unlisted.contains("clients[0].claims.tier: nothing puts this claim into a token"), "{unlisted}");
}

/// Both CAs are trusted by the listener; the first client is that of the other CA.
fn two_partners(theirs: &CertifiedIssuer<'static, KeyPair>, client: &Value) -> Config {
    let mut own = json!({"id": CLIENT.name, "scopes": ["profile"], "client_ca": "certs/theirs.pem"});
    own.as_object_mut().unwrap().extend(client.as_object().unwrap().clone());
    Config::new(&Backend::start())
        .set("/listen/0/tls/client_ca", json!("certs/both.pem"))
        .set("/listen/0/tls/client_certificate", json!("optional"))
        .set("/clients/0", own)
        .file("certs/both.pem", &format!("{}{}", authority().pem(), theirs.pem()))
        .file("certs/theirs.pem", &theirs.pem())
}

fn open(gateway: &Gateway, identity: &Pair) -> Connection {
    Connection::with(gateway.address, tls(b"http/1.1", Some(identity))).unwrap()
}

#[test]
fn the_ca_of_one_partner_cannot_stand_for_the_client_of_another() {
    let theirs = another_authority();
    let name = json!({"subject": "asapp"});
    let gateway = Gateway::start(&two_partners(&theirs, &json!({"tls_client_auth": name, "certificate": name})));
    let own = Caller::named("asapp").signed_by(&theirs);
    // The same name, by a CA that the listener trusts too.
    let forged = Caller::named("asapp").pair();
    let ask = format!("grant_type=client_credentials&client_id={}", CLIENT.name);
    let ask = gateway.post("/oauth/access_token").form(&ask);
    let answer = ask.send_on(&mut open(&gateway, &own)).ok().json();
    let token = answer["access_token"].as_str().unwrap();
    let answer = ask.send_on(&mut open(&gateway, &forged));
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")));
    gateway.get("/system/x").bearer(token).send_on(&mut open(&gateway, &own)).ok();
    // Another client, without a CA of its own, is held to nothing new.
    gateway.token_request(OTHER_CLIENT.name, OTHER_CLIENT.secret).send_on(&mut open(&gateway, &forged)).ok();
}

#[test]
fn a_certificate_of_another_ca_does_not_let_a_token_through_and_open_connections_follow_a_reload() {
    let theirs = another_authority();
    let client = json!({"secrets": [keys::argon2id(CLIENT.secret)], "certificate": {"subject": "asapp"}});
    let config = two_partners(&theirs, &client);
    let open_to_both = config.clone().without("/clients/0/client_ca");
    let gateway = Gateway::start(&open_to_both);
    let (mut own, mut other) =
        (open(&gateway, &Caller::named("asapp").signed_by(&theirs)), open(&gateway, &Caller::named("asapp").pair()));
    let ask = gateway.token_request(CLIENT.name, CLIENT.secret);
    let token = ask.send_on(&mut own).ok().json()["access_token"].as_str().unwrap().to_owned();
    let call = gateway.get("/system/x").bearer(&token);
    call.send_on(&mut own).ok();
    call.send_on(&mut other).ok();
    gateway.reload(&config, "reloaded");
    call.send_on(&mut own).ok();
    call.send_on(&mut other).expect(403, "403-09");
    gateway.reload(&open_to_both, "reloaded");
    call.send_on(&mut own).ok();
    call.send_on(&mut other).ok();
}

#[test]
fn check_says_where_no_listener_trusts_the_ca_of_a_client_or_nothing_uses_it() {
    let theirs = another_authority();
    let config = two_partners(&theirs, &json!({"tls_client_auth": {"subject": "asapp"}}));
    let check = |config: &Config| gateway::Workspace::new(config).run(&["check"]);
    let (code, said, err) = check(&config);
    assert!(code == 0 && !format!("{said}{err}").contains("client_ca"), "{said}{err}");
    let stranger = config.clone().set("/listen/0/tls/client_ca", json!("certs/ca.pem"));
    let (code, said, err) = check(&stranger);
    let all = format!("{said}{err}");
    assert!(code == 0 && all.contains("clients[0].client_ca") && all.contains("no listener"), "{all}");
    let secret = json!({"id": CLIENT.name, "scopes": ["profile"], "secrets": [keys::argon2id(CLIENT.secret)]});
    let mut useless = secret.clone();
    useless["client_ca"] = json!("certs/theirs.pem");
    let (code, _, err) = check(&config.clone().set("/clients/0", useless));
    assert!(code == 1 && err.contains("clients[0].client_ca: `client_ca` is about the CA of a certificate"), "{err}");
    let (code, _, err) = check(&config.set("/clients/0/client_ca", json!("certs/nothing.pem")));
    assert!(code == 1 && err.contains("clients[0].client_ca"), "{err}");
}
