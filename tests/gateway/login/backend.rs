//! `login.accounts.backend`: the company's own login, asked by the gateway.

use crate::harness::*;

/// Logins are asked of the backend; this member of `login.accounts` beside it.
fn asked(config: Config, more: Value) -> Config {
    let mut accounts = json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"});
    accounts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.set("/login/accounts", accounts).set("/login/limits", json!({"rate": "1000/s", "burst": 1000}))
}

fn welcome() -> Behaviour {
    Behaviour::json(200, &json!({"customer": {"id": "account-7"}}))
}

#[test]
fn every_status_by_which_the_companys_own_login_says_no_is_the_same_wrong_password() {
    let (backend, gateway) = world_with(|config| asked(config, json!({})));
    let answer = |status: u16| {
        backend.on("/login", Behaviour::json(status, &json!({"error": "no such user erin"})));
        let answer = gateway.login_request("erin", "x").header("X-Request-Id", "same-id").send();
        let mut fields: Vec<_> = answer.lines.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")).collect();
        fields.sort();
        (answer.status, format!("{fields:?}"), answer.text())
    };
    let wrong = answer(401);
    assert_eq!(wrong.0, 401);
    for status in [400, 403, 404, 422] {
        assert_eq!(answer(status), wrong, "{status}");
    }
    backend.on("/login", welcome());
    gateway.login_request("erin", "x").send().ok();
}

#[test]
fn a_user_that_the_companys_own_login_does_not_know_is_counted_as_a_wrong_password_is() {
    let attempts = json!({"free": 2, "delay": "5m"});
    let (backend, gateway) = world_with(|config| asked(config, json!({})).set("/login/attempts", attempts));
    for (name, status) in [("erin", 401), ("nobody", 404), ("other", 422)] {
        backend.on("/login", Behaviour::status(status));
        for _ in 0..3 {
            gateway.login_request(name, "x").send().expect(401, "401-04");
        }
        let asked = backend.requests().len();
        gateway.login_request(name, "x").send().expect(429, "429-02");
        assert_eq!(backend.requests().len(), asked, "the backend is not asked about what is locked");
    }
}

#[test]
fn a_failure_of_the_companys_own_login_is_an_outage_and_no_failed_attempt() {
    let attempts = json!({"free": 1, "free_per_address": 1, "delay": "5m"});
    let (backend, gateway) = world_with(|config| asked(config, json!({})).set("/login/attempts", attempts));
    for status in [302, 405, 408, 409, 410, 418, 429, 500, 502, 503] {
        backend.on("/login", Behaviour::reply(status, &[("Location", "/welcome"), ("Retry-After", "99")], b""));
        gateway.login_request("erin", "x").send().expect(503, "503-02");
    }
    backend.on("/login", welcome());
    gateway.login_request("erin", "x").send().ok();
}

#[test]
fn the_statuses_of_a_wrong_password_are_configurable() {
    let (backend, gateway) = world_with(|config| asked(config, json!({"no": {"status": [401, 409]}})));
    for (status, expected, code) in [(401, 401, "401-04"), (409, 401, "401-04"), (404, 503, "503-02")] {
        backend.on("/login", Behaviour::status(status));
        gateway.login_request("erin", "x").send().expect(expected, code);
    }
}

#[test]
fn the_companys_own_login_learns_where_the_caller_is_and_nothing_that_the_caller_made_up() {
    let (backend, gateway) = world_with(|config| asked(config, json!({})));
    backend.on("/login", welcome());
    let forged = |gateway: &Gateway| {
        gateway
            .login_request("erin", "x")
            .header("X-Forwarded-For", "192.0.2.1, 203.0.113.7")
            .header("X-Request-Id", "id-1")
    };
    forged(&gateway).send().ok();
    let seen = backend.last();
    assert_eq!(seen.all("X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(seen.all("X-Request-Id"), ["id-1"]);
    let (backend, gateway) =
        world_with(|config| asked(config, json!({})).set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"])));
    backend.on("/login", welcome());
    forged(&gateway).send().ok();
    assert_eq!(backend.last().all("X-Forwarded-For"), ["203.0.113.7, 127.0.0.1"]);
    gateway.get("/public/x").header("X-Forwarded-For", "192.0.2.1, 203.0.113.7").send().ok();
    assert_eq!(backend.last().all("X-Forwarded-For"), ["203.0.113.7, 127.0.0.1"], "as on routes");
}

#[test]
fn a_login_response_without_a_subject_logs_nobody_in_whatever_its_status() {
    let (backend, gateway) = world_with(|config| asked(config, json!({})));
    for id in [json!(null), json!(false), json!(true), json!({}), json!([]), json!(""), json!("  "), json!(42.0)] {
        backend.on("/login", Behaviour::json(200, &json!({"success": false, "customer": {"id": id}})));
        gateway.login_request("erin", "x").send().expect(503, "503-02");
    }
    // A number is the same customer as its digits.
    let subject = |id: Value| {
        backend.on("/login", Behaviour::json(200, &json!({"customer": {"id": id}})));
        keys::decode(gateway.login_request("erin", "x").send().ok().json()["JWT"].as_str().unwrap()).1["sub"].clone()
    };
    assert_eq!(subject(json!(42)), subject(json!("42")));
    assert_ne!(subject(json!("null")), subject(json!(42)));
}
