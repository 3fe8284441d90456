//! Refusals of credentials: certificates, API keys, sessions, scopes.

use super::Provoked;
use crate::harness::client::tls;
use crate::harness::client_certificates::{Caller, revoked};
use crate::harness::config::{NARROW_API_KEY, OTHER_API_KEY};
use crate::harness::customer::{by_cookie, log_in, logout_by_cookie, session_cookie};
use crate::harness::keys::{Pair, authority, sha256_hex};
use crate::harness::*;

pub(super) const WORDS: &[&[&str]] = &[KEYS_AND_COOKIES, IDLE, CERTIFICATES];

const KEYS_AND_COOKIES: &[&str] = &[
    "no_credential",
    "credential_repeated",
    "credential_conflict",
    "api_key_missing",
    "api_key_unknown",
    "api_key_route",
    "api_key_client",
    "api_key_revoked",
    "api_key_expired",
    "api_key_address",
    "session_forged",
    "session_unknown",
    "session_account",
    "scope",
    "cross_site",
];

const IDLE: &[&str] = &["session_expired"];

const CERTIFICATES: &[&str] = &["client_certificate", "other_certificate", "token_certificate"];

#[test]
fn words_of_api_keys_sessions_and_scopes() {
    let backend = Backend::start();
    let mut config = Config::new(&backend).cookies("both");
    let key = |id: &str, more: Value| {
        let mut key = json!({"id": id, "sha256": [sha256_hex(id)], "routes": ["key"]});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    let more = [
        key("elsewhere", json!({"allow": ["203.0.113.0/24"]})),
        key("over", json!({"expires": "2020-01-01T00:00:00Z"})),
        key("gone", json!({})),
    ];
    config.yaml["api_keys"].as_array_mut().unwrap().extend(more);
    let gateway = Gateway::start(&config);
    let provoked = Provoked::at(&gateway);
    let by_key = |key: &str| gateway.get("/key/x").api_key(key);
    provoked.sent("no_credential", &gateway.get("/system/x"));
    provoked.sent("credential_repeated", &gateway.profile().bearer(&gateway.client_token()));
    provoked.sent("api_key_missing", &gateway.profile().drop_header("api-key"));
    provoked.sent("api_key_unknown", &by_key("wgk_unknown"));
    provoked.sent("api_key_route", &gateway.profile().replace("api-key", NARROW_API_KEY));
    provoked.sent("api_key_client", &gateway.profile().replace("api-key", OTHER_API_KEY));
    provoked.sent("api_key_expired", &by_key("over"));
    provoked.sent("api_key_address", &by_key("elsewhere"));
    by_key("gone").send().ok();
    gateway.files.succeeds(&["revoke", "api-key", "gone"]);
    provoked.sent("api_key_revoked", &by_key("gone"));
    let other = format!("Bearer {}", gateway.token(OTHER_CLIENT));
    let scopeless = gateway.profile().replace("Authorization", &other).replace("api-key", OTHER_API_KEY);
    provoked.sent("scope", &scopeless);
    let (alice, bob) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    provoked.sent("credential_conflict", &by_cookie(&gateway, &bob).customer(&gateway.customer_token()));
    let strange = gateway.post("/me/x").header("Cookie", &bob).header("Sec-Fetch-Site", "cross-site");
    provoked.sent("cross_site", &strange.header("Origin", "https://evil.example"));
    provoked.sent("session_forged", &by_cookie(&gateway, &format!("{bob}x")));
    logout_by_cookie(&gateway, &bob).send().expect(204, "");
    provoked.sent("session_unknown", &by_cookie(&gateway, &bob));
    config.accounts.retain(|account| account.name != ALICE.name);
    gateway.reload(&config, "reloaded");
    provoked.sent("session_account", &by_cookie(&gateway, &alice));
    provoked.are(KEYS_AND_COOKIES);
}

#[test]
fn the_word_of_a_session_that_was_idle_for_too_long() {
    let (_backend, gateway) = world_with(|c| c.cookies("both").set("/login/cookie/idle", json!("1s")));
    let provoked = Provoked::at(&gateway);
    let cookie = session_cookie(&gateway.login_request(ALICE.name, ALICE.secret).send().ok());
    let mut answer = by_cookie(&gateway, &cookie).send().ok();
    eventually("the session is idle for too long", || {
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        answer = by_cookie(&gateway, &cookie).send();
        answer.status == 401
    });
    provoked.answered("session_expired", &answer);
    provoked.are(IDLE);
}

#[test]
fn words_of_client_certificates() {
    let list = |serials: &[u64]| revoked(authority(), serials, 7);
    let (_backend, gateway) = world_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/listen/0/tls/client_crl", json!(["certs/ca.crl"]))
            .set("/clients/0/certificate_bound_tokens", json!(true))
            .set("/clients/1/certificate", json!({"subject": "other"}))
            .file("certs/ca.crl", &list(&[9]))
    });
    let provoked = Provoked::at(&gateway);
    let open = |identity: &Pair| Connection::with(gateway.address, tls(b"http/1.1", Some(identity))).unwrap();
    let token = |client: Account, identity: &Pair| {
        let answer = gateway.token_request(client.name, client.secret).send_on(&mut open(identity)).ok();
        gateway.get("/system/x").bearer(answer.json()["access_token"].as_str().unwrap())
    };
    let (own, changed) = (Caller::named("asapp").pair(), Caller::named("asapp").serial(8).pair());
    let bound = token(CLIENT, &own);
    provoked.answered("token_certificate", &bound.send_on(&mut open(&changed)));
    let of_other = token(OTHER_CLIENT, &Caller::named("other").pair());
    provoked.sent("other_certificate", &of_other);
    let mut connection = open(&changed);
    gateway.get("/public/x").send_on(&mut connection).ok();
    let from = gateway.stderr.count();
    gateway.files.write("certs/ca.crl", &list(&[9, 8]));
    assert!(gateway.stderr.wait_after(from, |line| line["message"] == "reloaded").is_some());
    provoked.answered("client_certificate", &gateway.get("/public/x").send_on(&mut connection));
    provoked.are(CERTIFICATES);
}
