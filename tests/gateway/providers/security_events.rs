//! Shared Signals: CAEP and RISC events pushed by a provider.

use super::backchannel_logout::{ISSUER, replicas};
use crate::harness::customer::{by_cookie, session_cookie};
use crate::harness::identity_provider::{token, token_with};
use crate::harness::keys::{TokenKey, now};
use crate::harness::*;

const US: &str = "https://gateway.test";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// An issuer that pushes events. Its customers are those of the gateway's own accounts.
fn told_by(config: Config, key: &TokenKey) -> Config {
    config
        .trust(ISSUER, key)
        .set("/trusted_issuers/0/security_events", json!({"audiences": [US]}))
        .set("/trusted_issuers/0/max_lifetime", json!("1h"))
        .set("/trusted_issuers/0/tenant", json!(US))
}

fn event_with(key: &TokenKey, kind: &str, about: Value, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let mut header = json!({"alg": "ES256", "typ": "secevent+jwt", "kid": "partner-1"});
    let mut claims = json!({
        "iss": ISSUER, "aud": US, "iat": now(), "jti": keys::base64url(&keys::random::<8>()), "sub_id": about,
        "events": {kind: {"event_timestamp": now()}},
    });
    change(&mut header, &mut claims);
    key.sign(&header, &claims)
}

fn event(key: &TokenKey, kind: &str, about: Value) -> String {
    event_with(key, kind, about, |_, _| {})
}

fn customer(subject: &str) -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": subject})
}

fn session(customer: Value, id: &str) -> Value {
    json!({"format": "complex", "user": customer, "session": {"format": "opaque", "id": id}})
}

fn push_request(gateway: &Gateway, event: &str) -> Request {
    gateway.post("/oauth/security_events").header("Content-Type", "application/secevent+jwt").body(event)
}

fn push(gateway: &Gateway, event: &str) -> Response {
    push_request(gateway, event).send()
}

#[track_caller]
fn accepted(gateway: &Gateway, event: &str) {
    let answer = push(gateway, event);
    assert_eq!((answer.status, answer.text().as_str()), (202, ""));
}

#[track_caller]
fn refused(answer: &Response, gateway: &Gateway, error: &str, word: &str) {
    assert_eq!((answer.status, answer.json()["err"].as_str()), (400, Some(error)), "{word}");
    assert!(answer.json()["description"].is_string() && answer.header("Content-Language") == Some("en"));
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["refusal"], word);
}

#[track_caller]
fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

fn in_session(key: &TokenKey, sub: &str, sid: &str) -> String {
    token_with(key, "partner-1", ISSUER, sub, |claims| claims["sid"] = json!(sid))
}

fn count(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric("wicketgate_provider_events_total", &[("kind", "security_event"), ("outcome", outcome)])
}

#[test]
fn events_about_a_customer_end_everything_of_that_customer_and_nothing_of_others() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c.cookies("both"), &key));
    for kind in [
        format!("{CAEP}session-revoked"),
        format!("{CAEP}credential-change"),
        format!("{RISC}account-disabled"),
        format!("{RISC}sessions-revoked"),
    ] {
        let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
        let (cookie, jwt) = (session_cookie(&login), login.json()["JWT"].as_str().unwrap().to_owned());
        let bob = token(&key, "partner-1", ISSUER, BOB.subject);
        assert_eq!((status(&gateway, &jwt), status(&gateway, &bob)), (200, 200));
        accepted(&gateway, &event(&key, &kind, customer(ALICE.subject)));
        gateway.get("/me/x").customer(&jwt).send().expect(401, "401-03");
        by_cookie(&gateway, &cookie).send().expect(401, "401-03");
        assert_eq!(
            status(&gateway, &token(&key, "partner-1", ISSUER, ALICE.subject)),
            401,
            "{kind}: of the same second"
        );
        assert_eq!(status(&gateway, &bob), 200);
    }
    assert_eq!(count(&gateway, "ok"), 4.0);
}

#[test]
fn a_revoked_session_is_that_session_and_a_changed_credential_ends_them_all() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let (one, other) = (in_session(&key, "ann", "s1"), in_session(&key, "ann", "s2"));
    assert_eq!((status(&gateway, &one), status(&gateway, &other)), (200, 200));
    let revoked = format!("{CAEP}session-revoked");
    accepted(&gateway, &event(&key, &revoked, session(customer("ann"), "s1")));
    assert_eq!((status(&gateway, &one), status(&gateway, &other)), (401, 200));
    // An opaque identifier is that of a session, or of a customer.
    accepted(&gateway, &event(&key, &revoked, json!({"format": "opaque", "id": "s2"})));
    assert_eq!(status(&gateway, &other), 401);
    let ben = in_session(&key, "ben", "s3");
    assert_eq!(status(&gateway, &ben), 200);
    accepted(&gateway, &event(&key, &revoked, json!({"format": "opaque", "id": "ben"})));
    assert_eq!(status(&gateway, &ben), 401);
    let third = in_session(&key, "cleo", "s4");
    assert_eq!(status(&gateway, &third), 200);
    accepted(&gateway, &event(&key, &format!("{CAEP}credential-change"), session(customer("cleo"), "s5")));
    assert_eq!(status(&gateway, &third), 401);
}

#[test]
fn drafts_and_products_name_the_subject_within_the_event() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    for (name, about) in [
        ("ann", json!({"subject_type": "iss-sub", "iss": ISSUER, "sub": "ann"})),
        ("ben", json!({"user": customer("ben")})),
        ("cleo", customer("cleo")),
    ] {
        let login = token(&key, "partner-1", ISSUER, name);
        assert_eq!(status(&gateway, &login), 200);
        let kind = format!("{CAEP}session-revoked");
        let pushed = event_with(&key, &kind, Value::Null, |_, claims| {
            claims.as_object_mut().unwrap().remove("sub_id");
            claims["events"] = json!({kind.clone(): {"subject": about}});
        });
        accepted(&gateway, &pushed);
        assert_eq!(status(&gateway, &login), 401, "{name}");
    }
}

#[test]
fn an_event_that_cannot_be_done_is_not_said_to_be_done() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let ann = in_session(&key, "ann", "s1");
    let revoked = format!("{CAEP}session-revoked");
    for about in [
        json!({"format": "email", "email": "ann@example.com"}),
        json!({"format": "iss_sub", "iss": "https://other.example.com", "sub": "ann"}),
        json!({"format": "complex", "device": {"format": "opaque", "id": "d1"}}),
        json!("ann"),
    ] {
        let answer = push(&gateway, &event(&key, &revoked, about));
        refused(&answer, &gateway, "invalid_request", "security_event_subject");
    }
    // Of a customer only the session is known.
    let change = event(&key, &format!("{CAEP}credential-change"), json!({"session": {"format": "opaque", "id": "s1"}}));
    refused(&push(&gateway, &change), &gateway, "invalid_request", "security_event_subject");
    assert_eq!(status(&gateway, &ann), 200);
}

#[test]
fn other_events_are_acknowledged_and_counted() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let ann = in_session(&key, "ann", "s1");
    accepted(
        &gateway,
        &event(
            &key,
            "https://schemas.openid.net/secevent/ssf/event-type/verification",
            json!({"format": "opaque", "id": "stream"}),
        ),
    );
    accepted(&gateway, &event(&key, &format!("{CAEP}device-compliance-change"), customer("ann")));
    assert_eq!((count(&gateway, "verification"), count(&gateway, "ignored")), (1.0, 1.0));
    assert_eq!(status(&gateway, &ann), 200);
}

#[test]
fn a_bad_event_ends_nothing_and_the_transmitter_learns_why() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let ann = in_session(&key, "ann", "s1");
    let kind = format!("{CAEP}session-revoked");
    let with = |change: &dyn Fn(&mut Value, &mut Value)| event_with(&key, &kind, customer("ann"), change);
    let bad = [
        ("invalid_key", "security_event_signature", event(&TokenKey::generate(), &kind, customer("ann"))),
        ("invalid_key", "security_event_unknown_key", with(&|header, _| header["kid"] = json!("partner-2"))),
        ("invalid_issuer", "security_event_issuer", with(&|_, it| it["iss"] = json!("https://evil.example"))),
        ("invalid_audience", "security_event_audience", with(&|_, it| it["aud"] = json!("legacy-api"))),
        ("invalid_request", "security_event_type", with(&|header, _| header["typ"] = json!("JWT"))),
        ("invalid_request", "security_event_type", with(&|header, _| header["typ"] = json!("logout+jwt"))),
        (
            "invalid_request",
            "security_event_type",
            with(&|header, _| drop(header.as_object_mut().unwrap().remove("typ"))),
        ),
        ("invalid_request", "security_event_claim", with(&|_, it| it["events"] = json!([]))),
        ("invalid_request", "security_event_claim", with(&|_, it| it["jti"] = json!(""))),
        ("invalid_request", "security_event_not_yet_valid", with(&|_, it| it["iat"] = json!(now() + 100))),
        ("invalid_request", "security_event_expired", with(&|_, it| it["exp"] = json!(now() - 100))),
        ("invalid_request", "security_event_malformed", "junk".to_owned()),
        ("invalid_request", "security_event_malformed", String::new()),
    ];
    for (error, word, event) in bad {
        refused(&push(&gateway, &event), &gateway, error, word);
    }
    let good = with(&|_, _| {});
    let form = gateway.post("/oauth/security_events").form(&format!("logout_token={good}")).send();
    assert_eq!((form.status, form.json()["err"].as_str()), (415, Some("invalid_request")));
    assert_eq!(push(&gateway, &"x".repeat(64 * 1024 + 1)).status, 413);
    assert_eq!(gateway.get("/oauth/security_events").send().status, 405);
    assert_eq!(status(&gateway, &ann), 200);
    accepted(&gateway, &good);
    assert_eq!(status(&gateway, &ann), 401);
}

#[test]
fn an_event_that_comes_again_is_accepted_and_ends_nothing_that_began_since() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let kind = format!("{CAEP}session-revoked");
    // Transmitters try for days.
    for age in [0, 4_000] {
        let pushed = event_with(&key, &kind, customer(ALICE.subject), |_, claims| claims["iat"] = json!(now() - age));
        let first = gateway.login(ALICE);
        accepted(&gateway, &pushed);
        assert_eq!(
            status(&gateway, &first),
            if age == 0 { 401 } else { 200 },
            "an event before this one has ended all until then"
        );
        let second = gateway.login(ALICE);
        accepted(&gateway, &pushed);
        assert_eq!(status(&gateway, &second), 200, "{age}");
    }
    assert!(count(&gateway, "repeated") >= 2.0);
}

#[test]
fn an_event_pushed_to_one_replica_holds_at_the_other() {
    let (key, redis) = (TokenKey::generate(), RedisServer::start());
    let [a, b] = replicas(&redis, |c| told_by(c, &key));
    let login = in_session(&key, "ann", "s1");
    assert_eq!((status(&a, &login), status(&b, &login)), (200, 200));
    accepted(&a, &event(&key, &format!("{CAEP}credential-change"), customer("ann")));
    assert_eq!(status(&a, &login), 401);
    eventually("it holds at the other", || status(&b, &login) == 401);
}

#[test]
fn the_transmitter_shows_its_authorization() {
    let key = TokenKey::generate();
    let secret = "transmitter-secret-5Hq2";
    let (_backend, gateway) = world_with(|c| {
        told_by(c, &key)
            .set("/trusted_issuers/0/security_events/authorization", json!({"file": "certs/transmitter.key"}))
            .file("certs/transmitter.key", secret)
    });
    let ann = in_session(&key, "ann", "s1");
    let pushed = event(&key, &format!("{CAEP}session-revoked"), customer("ann"));
    let wrong = ["Bearer wrong", "Basic transmitter-secret-5Hq2", "Bearer ", "Bearer transmitter-secret-5Hq", ""];
    for value in wrong {
        let answer = push_request(&gateway, &pushed).header("Authorization", value).send();
        refused(&answer, &gateway, "authentication_failed", "security_event_unknown_client");
    }
    refused(&push(&gateway, &pushed), &gateway, "authentication_failed", "security_event_unknown_client");
    let twice = push_request(&gateway, &pushed).bearer(secret).bearer(secret).send();
    assert_eq!(twice.status, 400);
    assert_eq!(status(&gateway, &ann), 200);
    assert_eq!(push_request(&gateway, &pushed).bearer(secret).send().status, 202);
    assert_eq!(status(&gateway, &ann), 401);
    let plain = event(&key, &format!("{CAEP}session-revoked"), customer("ben"));
    assert_eq!(push_request(&gateway, &plain).header("Authorization", secret).send().status, 202);
}

#[test]
fn check_says_what_security_events_need() {
    let key = TokenKey::generate();
    let config = || told_by(Config::new(&Backend::start()), &key);
    let complaint = |config: Config| gateway::Workspace::new(&config).fails(&["check"]);
    let said = complaint(config().set("/trusted_issuers/0/security_events/audiences", json!([])));
    assert!(said.contains("trusted_issuers[0].security_events.audiences"), "{said}");
    let missing = json!({"file": "certs/nothing.key"});
    let said = complaint(config().set("/trusted_issuers/0/security_events/authorization", missing));
    assert!(said.contains("trusted_issuers[0].security_events.authorization"), "{said}");
    let said = complaint(config().set("/routes/1/path", json!("/oauth/security_events")));
    assert!(said.contains("answered by the gateway itself"), "{said}");
    gateway::Workspace::new(&config()).succeeds(&["check"]);
}
