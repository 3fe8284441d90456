//! Refusals of logins.

use super::Provoked;
use crate::harness::login_page::{OpenForm, authorize, query, with, with_codes};
use crate::harness::*;
use crate::login::lockout::from;

pub(super) const WORDS: &[&[&str]] = &[PASSWORDS, LIMITS, SERVICE, PAGE];

const PASSWORDS: &[&str] = &["login_unknown_user", "login_wrong_password", "login_locked"];

const LIMITS: &[&str] = &["login_rate"];

const SERVICE: &[&str] = &["login_backend"];

const PAGE: &[&str] = &["authorization_request", "login_form"];

#[test]
fn words_of_passwords() {
    let (_backend, gateway) =
        world_with(|c| c.set("/login/attempts", json!({"free": 1, "free_per_address": 50, "delay": "5m"})));
    let provoked = Provoked::at(&gateway);
    provoked.sent("login_unknown_user", &gateway.login_request("nobody", "wrong"));
    provoked.sent("login_wrong_password", &gateway.login_request(ALICE.name, "wrong"));
    let mut answer = gateway.login_request(ALICE.name, "wrong").send();
    for _ in 0..3 {
        if answer.status != 429 {
            answer = gateway.login_request(ALICE.name, "wrong").send();
        }
    }
    provoked.answered("login_locked", &answer);
    provoked.are(PASSWORDS);
}

#[test]
fn the_word_of_a_name_that_is_tried_from_too_many_addresses() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
            .set("/login/limits", json!({"rate": "1/m", "burst": 2}))
    });
    let provoked = Provoked::at(&gateway);
    for address in ["203.0.113.1", "198.51.100.2"] {
        from(address, gateway.login_request(ALICE.name, "wrong")).send().expect(401, "401-04");
    }
    provoked.sent("login_rate", &from("192.0.2.3", gateway.login_request(ALICE.name, "wrong")));
    provoked.are(LIMITS);
}

#[test]
fn the_word_of_a_login_service_that_fails_and_what_it_did() {
    let (backend, gateway) = world_with(|c| {
        c.set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"}))
    });
    let provoked = Provoked::at(&gateway);
    let fault =
        || provoked.sent("login_backend", &gateway.login_request(ALICE.name, ALICE.secret))["backend_fault"].clone();
    backend.on("/login", Behaviour::status(500));
    assert_eq!(fault(), "500 from the login backend");
    backend.on("/login", Behaviour::json(200, &json!({"secret": "of the backend"})));
    assert_eq!(fault(), "unusable answer of the login backend");
    backend.stop();
    assert_eq!(fault(), format!("{}: connection refused", backend.address));
    provoked.are(SERVICE);
}

#[test]
fn words_of_the_login_page() {
    let (_backend, gateway) = world_with(with_codes);
    let provoked = Provoked::at(&gateway);
    let elsewhere = with(query(), "redirect_uri", "https://evil.example/callback");
    provoked.sent("authorization_request", &authorize(&gateway, &elsewhere));
    let (mine, theirs) = (OpenForm::open(&gateway, &query()), OpenForm::open(&gateway, &query()));
    let planted = OpenForm { cookie: mine.cookie, sealed: theirs.sealed };
    provoked.sent("login_form", &planted.filled(&gateway, ALICE.name, ALICE.secret));
    provoked.are(PAGE);
}
