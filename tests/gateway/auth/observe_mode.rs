//! `mode: observe`: every check runs, nothing is refused, and callers still cannot set the identity.

use super::dpop::Proof;
use crate::harness::config::OTHER_API_KEY;
use crate::harness::customer::{by_cookie, session_cookie};
use crate::harness::keys::{TokenKey, decode, now};
use crate::harness::*;

fn observing() -> (Backend, Gateway) {
    world_with(|c| c.route("profile", "mode", json!("observe")))
}

/// Routes that observe; the backend is told of the client and the API key too, where a route asks for them.
fn telling(config: Config) -> Config {
    let config =
        ["profile", "system", "me"].iter().fold(config, |config, route| config.route(route, "mode", json!("observe")));
    config
        .route("profile", "request_headers", json!({"set": {"X-Client": "${client.id}", "X-Key": "${api_key.id}"}}))
        .route("system", "request_headers", json!({"set": {"X-Client": "${client.id}"}}))
}

/// What was observed of this call, in which the caller claims to be somebody, and what the backend was told: client, API
/// key and customer.
fn told_of(backend: &Backend, gateway: &Gateway, request: Request) -> (Value, [Option<String>; 3]) {
    let is_of = |path: &str| request.target.starts_with(path);
    let claims: &[&str] = match () {
        () if is_of("/account") => &["X-Customer-Id", "X_Customer_Id", "X-Client", "x_client", "X-Key", "x_key"],
        () if is_of("/system") => &["X-Customer-Id", "X-Client", "x_client"],
        () => &["X-Customer-Id", "X_Customer_Id"],
    };
    let answer = claims.iter().fold(request, |request, name| request.header(name, "admin")).send().ok();
    let seen = backend.last();
    assert!(!seen.lines.iter().any(|(_, value)| value.contains("admin")), "{:?}", seen.lines);
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    let told = ["X-Client", "X-Key", "X-Customer-Id"].map(|name| seen.header(name).map(str::to_owned));
    (line["observed"].clone(), told)
}

#[test]
fn observe_lets_through_what_enforce_would_refuse_and_says_so() {
    let (backend, gateway) = observing();
    gateway.post("/account/x").header("X-Request-Id", "bare").send().ok();
    gateway.profile().replace("api-key", "unknown").header("X-Request-Id", "key").send().ok();
    gateway.profile().header("X-Request-Id", "good").send().ok();
    assert_eq!(backend.requests().len(), 3);
    let bare = gateway.access_line("bare");
    assert_eq!(bare["status"], 200);
    assert!(bare.to_string().contains("observe") && !gateway.access_line("good")["observed"].is_string(), "{bare}");
}

#[test]
fn a_caller_cannot_say_who_he_is_in_observe_mode_either() {
    let (backend, gateway) = observing();
    for name in ["X-Customer-Id", "x_customer_id", "X-CUSTOMER_ID"] {
        gateway.post("/account/x").header(name, "admin").send().ok();
        gateway.profile().replace("customer-auth", "JWT garbage").header(name, "admin").send().ok();
    }
    for seen in backend.requests() {
        assert!(!seen.lines.iter().any(|(_, v)| v == "admin"), "{:?}", seen.lines);
    }
}

#[test]
fn observe_opens_no_other_route_and_still_refuses_what_is_no_http() {
    let (backend, gateway) = observing();
    gateway.get("/me/x").send().expect(401, "401-10");
    gateway.get("/account/x").send().expect(405, "405-01");
    gateway.post("/account/../me/x").send().expect(400, "400-01");
    backend.assert_untouched();
}

#[test]
fn a_backend_is_told_of_each_part_of_the_caller_only_where_its_own_credential_is_proved() {
    let (backend, gateway) = world_with(telling);
    let customer = decode(&gateway.customer_token()).1["sub"].as_str().unwrap().to_owned();
    let good = gateway.profile();
    let of_client = |change: fn(&mut Value)| {
        let (header, mut claims) = decode(&gateway.client_token());
        change(&mut claims);
        format!("Bearer {}", gateway.signing_key.sign(&header, &claims))
    };
    let expired_client = of_client(|claims| claims["exp"] = json!(now() - 60));
    let expired_customer = format!("JWT {}", gateway.forge(|_, claims| claims["exp"] = json!(now() - 60)));
    let of_other_audience = of_client(|claims| claims["aud"] = json!("elsewhere"));
    let other = format!("Bearer {}", gateway.token(OTHER_CLIENT));
    let (asapp, key, alice) = (Some("asapp"), Some("asapp-prod"), Some(customer.as_str()));
    let table = [
        (good.clone(), "identifier_mismatch", [asapp, key, alice]),
        (gateway.post("/account/x"), "no_credential", [None, None, None]),
        (good.clone().replace("customer-auth", "JWT garbage"), "customer_token_malformed", [asapp, key, None]),
        (good.clone().replace("customer-auth", &expired_customer), "customer_token_expired", [asapp, key, None]),
        (good.clone().drop_header("customer-auth"), "customer_token_missing", [asapp, key, None]),
        (good.clone().replace("Authorization", "Bearer garbage"), "client_token_malformed", [None, key, alice]),
        (good.clone().replace("Authorization", &expired_client), "client_token_expired", [None, key, alice]),
        (good.clone().replace("Authorization", &of_other_audience), "client_token_audience", [None, key, alice]),
        (good.clone().replace("api-key", "unknown"), "api_key_unknown", [asapp, None, alice]),
        (good.clone().replace("api-key", OTHER_API_KEY), "api_key_client", [asapp, None, alice]),
        (
            good.clone().replace("api-key", OTHER_API_KEY).replace("Authorization", &other),
            "scope",
            [Some("other"), Some("other-prod"), alice],
        ),
        (good.clone().header("Authorization", "Bearer x"), "credential_repeated", [None, None, None]),
        (good.clone().header("customer-auth", "JWT x"), "credential_repeated", [None, None, None]),
    ];
    for (request, word, told) in table {
        let (observed, seen) = told_of(&backend, &gateway, request);
        assert_eq!((observed, seen.each_ref().map(Option::as_deref)), (json!(word), told), "{word}");
    }
    gateway.files.succeeds(&["revoke", "client", "asapp"]);
    let (observed, seen) = told_of(&backend, &gateway, good.clone());
    assert_eq!((observed, seen.each_ref().map(Option::as_deref)), (json!("client_token_revoked"), [None, key, alice]));
    gateway.files.succeeds(&["revoke", "api-key", "asapp-prod"]);
    let (observed, seen) = told_of(&backend, &gateway, good);
    assert_eq!((observed, seen.each_ref().map(Option::as_deref)), (json!("api_key_revoked"), [None, None, alice]));
}

#[test]
fn a_backend_is_not_told_of_a_client_that_only_half_proves_that_it_holds_its_key() {
    let (backend, gateway) = world_with(|config| telling(config).route("system", "dpop", json!("required")));
    let key = TokenKey::generate();
    let proof = Proof::new(&key, "POST", "/oauth/access_token").text();
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).header("DPoP", &proof).send().ok().json();
    let token = answer["access_token"].as_str().unwrap().to_owned();
    let call = gateway.get("/system/x").header("Authorization", &format!("DPoP {token}"));
    let stolen = Proof::new(&TokenKey::generate(), "GET", "/system/x").with(&token).text();
    let fresh = Proof::new(&key, "GET", "/system/x").with(&token).text();
    let elsewhere = Proof::new(&key, "GET", "/system/y").with(&token).text();
    for (request, word, client) in [
        (call.clone(), json!("dpop_missing"), None),
        (call.clone().header("DPoP", &stolen), json!("dpop_key"), None),
        (call.clone().header("DPoP", &elsewhere), json!("dpop_target"), None),
        (call.clone().header("DPoP", &fresh), Value::Null, Some("asapp")),
        (call.header("DPoP", &fresh), json!("dpop_used"), None),
        (gateway.get("/system/x").bearer(&token), json!("dpop_scheme"), None),
    ] {
        let (observed, [told, ..]) = told_of(&backend, &gateway, request);
        assert_eq!((&observed, told.as_deref()), (&word, client), "{word}");
        // Whose token it is is known, though, for the log and for `wicketgate readiness`.
        let line = gateway.stdout.wait(|line| line["observed"] == word).unwrap();
        assert_eq!(line["client"], "asapp", "{line}");
    }
}

#[test]
fn a_backend_is_not_told_of_a_customer_whose_browser_calls_for_a_strange_page() {
    let (backend, gateway) = world_with(|config| telling(config.cookies("both")));
    let cookie = session_cookie(&gateway.login_request(ALICE.name, ALICE.secret).send().ok());
    let call = gateway.post("/me/x").header("Cookie", &cookie);
    for (origin, word) in [("https://evil.example", "cross_site"), ("https://localhost", "identifier_mismatch")] {
        let (observed, [.., customer]) = told_of(&backend, &gateway, call.clone().header("Origin", origin));
        assert_eq!((observed, customer.is_some()), (json!(word), word != "cross_site"), "{origin}");
    }
    let (observed, [.., customer]) = told_of(&backend, &gateway, by_cookie(&gateway, &cookie));
    assert!(
        observed == json!("identifier_mismatch") && customer.is_some(),
        "what changes nothing needs no proof of its page"
    );
}

#[test]
fn a_backend_is_told_of_nobody_while_it_is_not_known_what_was_revoked() {
    let redis = RedisServer::start();
    let network = NetworkLink::to(redis.port, std::time::Duration::ZERO);
    let backend = Backend::start();
    let state = json!({"redis": {"url": network.url()}, "outage": {"revocations": "2s"}});
    let gateway = Gateway::start(&telling(Config::new(&backend).set("/state", state)));
    gateway.is_ready();
    let call = gateway.profile();
    let (observed, told) = told_of(&backend, &gateway, call.clone());
    assert!(observed == json!("identifier_mismatch") && told.iter().all(Option::is_some), "{told:?}");
    network.partition();
    eventually("nobody is sure of anything", || {
        let (observed, told) = told_of(&backend, &gateway, call.clone());
        assert_eq!(observed == json!("state_unavailable"), told == [const { None }; 3], "{observed} {told:?}");
        told.iter().all(Option::is_none)
    });
    network.heal();
    eventually("it is sure again", || told_of(&backend, &gateway, call.clone()).1.iter().all(Option::is_some));
}
